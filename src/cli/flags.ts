import { type Command, Option, type OptionValues } from '@commander-js/extra-typings';
import { KEY_KINDS } from '../repo/key-kind.js';

export function key() {
  return new Option('--key <source>', 'the key source for a new vault (CODEX_ROUTER_KEY)').choices(KEY_KINDS);
}

function stateDir() {
  return new Option('--state-dir <path>', 'the OpenClaw state directory (OPENCLAW_STATE_DIR)');
}

function profile() {
  return new Option('--profile <name>', "OpenClaw's own --profile");
}

function slot() {
  return new Option('--slot <profileId>', 'the slot, when it is not the default profile');
}

function via() {
  return new Option(
    '--via <adapter>',
    "who reads and writes OpenClaw's stores: codex-router itself, or the installed release's own SDK (slow)",
  ).choices(['direct', 'sdk']);
}

export function agent() {
  return new Option('--agent <id>', 'the OpenClaw agent whose slot is meant');
}

export function json() {
  return new Option('--json', 'print one JSON document');
}

/** The flags of a command that looks at an OpenClaw, behind its own. */
export function withHost<Args extends unknown[], Options extends OptionValues>(
  command: Command<Args, Options>,
) {
  return command
    .addOption(stateDir())
    .addOption(profile())
    .addOption(slot())
    .addOption(via())
    .addOption(json());
}

/** The examples that end a command's help: what to type, and why. */
export function examples(...lines: readonly (readonly [string, string?])[]): string {
  const width = Math.max(...lines.map(([command]) => command.length));
  const shown = lines.map(([command, why]) => (why ? `  ${command.padEnd(width)}  ${why}` : `  ${command}`));
  return `\nExamples:\n${shown.join('\n')}`;
}
