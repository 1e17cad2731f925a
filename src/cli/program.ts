import { Command } from '@commander-js/extra-typings';
import { chatCommands } from './chat-commands.js';
import type { Cli } from './cli.js';
import { failoverCommands } from './failover-commands.js';
import { examples } from './flags.js';
import { identityCommands } from './identity-commands.js';
import { loginCommands } from './login-commands.js';
import { addSession } from './session-commands.js';
import { slotCommands } from './slot-commands.js';
import { transferCommands } from './transfer-commands.js';
import { addVault } from './vault-commands.js';

/** By name; each adds itself to the program when it is called. */
export type Commands = { readonly [name: string]: () => unknown };

/**
 * The whole command line. Each action loads its command when it runs, so that help costs nothing.
 * @param only the first argument: a command's name makes just that one.
 */
export function programOf(cli: Cli, version: string, only?: string) {
  const program = new Command('codex-router')
    .description(
      'Keeps your own ChatGPT/Codex logins encrypted and puts one of them into the active slot of OpenClaw.\n' +
        'One login at a time, yours only: no pooling, no sharing, no evading of limits.',
    )
    .version(version, '-V, --version', 'print the version')
    .exitOverride()
    .configureOutput({ writeErr: () => undefined, writeOut: (text) => cli.terminal.write(text) })
    .showHelpAfterError(false)
    .addHelpText(
      'after',
      examples(
        ['codex-router login --alias work', 'store a login'],
        ['codex-router use work', 'route OpenClaw to it'],
        ['codex-router use -', 'back to the one before'],
        ['codex-router list --json', 'for programs'],
      ),
    );

  program.hook('preAction', async (_program, command) => {
    if (!cli.env.OPENCLAW_SHELL) return;
    const { pathOf, refuseAgent } = await import('./agent-guard.js');
    await refuseAgent(cli, pathOf(command), command.opts(), command.processedArgs);
  });
  const commands: Commands = {
    ...identityCommands(program, cli),
    ...loginCommands(program, cli),
    ...slotCommands(program, cli),
    ...transferCommands(program, cli),
    ...failoverCommands(program, cli),
    ...chatCommands(program, cli),
    session: () => addSession(program, cli),
    vault: () => addVault(program.command('vault').description('how the stored logins are sealed'), cli),
  };
  // The others are only needed for help and for a name that is none.
  const wanted = Object.keys(commands).filter((name) => name === only);
  for (const name of wanted.length > 0 ? wanted : Object.keys(commands)) commands[name]?.();
  return program;
}
