import { join } from 'node:path';
import { RouterError } from '../../errors.js';
import type { FoundHost } from '../../slot/host.js';
import { type HostSnippets, SNIPPET_KINDS, type Snippet, type SnippetKind } from '../../slot/snippets.js';
import { shellWord, showText } from '../../text.js';
import type { Cli } from '../cli.js';
import { compose, type Parts } from '../compose.js';
import { type ConfigSnippetDocument, DONE } from '../documents.js';
import type { HostOptions } from '../options.js';

export interface ConfigSnippetOptions extends HostOptions {
  readonly agent?: string;
  /** For `fallbacks`. */
  readonly model?: readonly string[];
  /** These are for `cron`. */
  readonly session?: readonly string[];
  readonly apply?: boolean;
  readonly sharedSlot?: boolean;
  readonly ownSlot?: boolean;
}

/** Stands for a model that the person has; both lines of releases know it. */
const SOME_MODEL = 'anthropic/claude-sonnet-4-6';

/** `codex-router config snippet [kind]`: looks at the host for its release, and writes nothing. */
export async function runConfigSnippet(
  cli: Cli,
  named: string | undefined,
  options: ConfigSnippetOptions,
): Promise<void> {
  const kind = kindOf(named);
  requireFitting(kind, options);
  const parts = compose(cli, options);
  const found = await hostFound(parts, options);
  const told = await parts.snippets(found, {
    agent: options.agent ?? null,
    models: options.model ?? [SOME_MODEL],
    check: routerCommand('check', found, options),
    once: routerCommand('once', found, options),
  });
  const snippets = told.snippets.filter((snippet) => kind === null || snippet.kind === kind);
  if (options.apply === true) requireScheduler(told, snippets);
  const document: ConfigSnippetDocument = {
    ...DONE,
    release: told.release,
    writtenFor: told.writtenFor,
    snippets: snippets.map((snippet) => ({
      ...snippet,
      commands: snippet.commands.map((words) => [...words]),
      shell: snippet.commands.map(lineOf),
      notes: [...snippet.notes],
    })),
    notes: told.doubt === null ? [] : [{ code: 'RELEASE_UNKNOWN', text: told.doubt }],
  };
  cli.print(document, () => text(document));
}

/** @throws USAGE */
function kindOf(named: string | undefined): SnippetKind | null {
  if (named === undefined) return null;
  const kind = SNIPPET_KINDS.find((one) => one === named);
  if (kind !== undefined) return kind;
  throw new RouterError('USAGE', `there is no such snippet: only ${SNIPPET_KINDS.join(', ')}`, {
    hint: 'codex-router config snippet --help',
  });
}

const FOR: readonly (readonly [keyof ConfigSnippetOptions, string, SnippetKind])[] = [
  ['model', '--model', 'fallbacks'],
  ['session', '--session', 'cron'],
  ['apply', '--apply', 'cron'],
  ['sharedSlot', '--shared-slot', 'cron'],
  ['ownSlot', '--own-slot', 'cron'],
];

/** Refuses an option that would have no part in what is printed, and what no command line can hold. @throws USAGE */
function requireFitting(kind: SnippetKind | null, options: ConfigSnippetOptions): void {
  const idle = FOR.find(([name, , whose]) => options[name] !== undefined && kind !== null && kind !== whose);
  if (idle !== undefined) throw usage(`${idle[1]} belongs to the snippet ${idle[2]}`);
  if (options.sharedSlot === true && options.ownSlot === true)
    throw usage('--shared-slot and --own-slot exclude each other');
  if (options.model?.some((model) => !/^[A-Za-z0-9][\w.@:/+-]*$/.test(model)))
    throw usage('--model takes a model as OpenClaw names it, <provider>/<model>');
  const words = [...(options.session ?? []), options.agent ?? ''];
  if (words.some((word) => /\p{Cc}/u.test(word)))
    throw usage('a session key or an agent with a control character cannot go into a command line');
}

function usage(message: string): RouterError {
  return new RouterError('USAGE', message, { hint: 'codex-router config snippet --help' });
}

/** Null where no OpenClaw is found and none was named: the snippets are worth reading before there is one. */
async function hostFound(parts: Parts, { stateDir, profile }: HostOptions): Promise<FoundHost | null> {
  try {
    return await parts.foundHost();
  } catch (error) {
    const isThere = stateDir !== undefined || profile !== undefined;
    if (!isThere && error instanceof RouterError && error.code === 'HOST_NOT_FOUND') return null;
    throw error;
  }
}

/** An agent that OpenClaw starts may not switch, whatever stands in its errand. @throws HOST_UNSUPPORTED */
function requireScheduler({ writtenFor }: HostSnippets, snippets: readonly Snippet[]): void {
  if (!snippets.some(({ runs }) => runs === 'agent')) return;
  throw new RouterError(
    'HOST_UNSUPPORTED',
    `the cron of OpenClaw ${showText(writtenFor)} has an agent run a command, and agents may look but not switch`,
    { hint: 'codex-router failover unit --apply' },
  );
}

/** By absolute paths: a gateway that a service manager starts has another PATH than this shell. */
function routerCommand(
  verb: 'check' | 'once',
  found: FoundHost | null,
  { stateDir, profile, session = [], apply, sharedSlot, ownSlot }: ConfigSnippetOptions,
): readonly string[] {
  const isNamed = found !== null && (stateDir !== undefined || profile !== undefined);
  return [
    process.execPath,
    join(import.meta.dirname, 'codex-router.js'),
    ...['failover', verb],
    ...session.flatMap((key) => ['--session', key]),
    ...(sharedSlot === true ? ['--shared-slot'] : []),
    ...(ownSlot === true ? ['--own-slot'] : []),
    ...(isNamed ? ['--state-dir', found.stateDir] : []),
    ...(verb === 'once' && apply === true ? ['--apply'] : []),
    ...(verb === 'check' ? ['--json'] : []),
  ];
}

/** A shell reads it as it stands: all but the commands is comment. */
function text({ writtenFor, snippets, notes }: ConfigSnippetDocument): string {
  const doubts = notes.map((note) => `# note: ${showText(note.text, 300)}`);
  const blocks = snippets.map(({ kind, title, shell, undo, notes: more }) =>
    [
      `# ${kind} (OpenClaw ${showText(writtenFor)}): ${title}`,
      ...more.map((line) => `# - ${line}`),
      `# - taken back with: ${undo}`,
      ...shell,
    ].join('\n'),
  );
  return [...(doubts.length > 0 ? [doubts.join('\n')] : []), ...blocks].join('\n\n');
}

function lineOf(words: readonly string[]): string {
  return words.map(shellWord).join(' ');
}
