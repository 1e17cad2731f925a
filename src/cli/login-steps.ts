import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { Option } from '@commander-js/extra-typings';
import { RouterError } from '../errors.js';
import type { Cli } from './cli.js';
import { examples, json, key, withHost } from './flags.js';

/** `codex-router login start`, `finish`, `status` and `cancel`: a login with a browser on another machine. */
export function addLoginSteps(login: CommandUnknownOpts, cli: Cli): void {
  start(login, cli);
  finish(login, cli);
  status(login, cli);
  cancel(login, cli);
}

function start(login: CommandUnknownOpts, cli: Cli): void {
  login
    .command('start')
    .description('log in with a browser on any machine: the first of two steps, prints the address to open')
    .option('--alias <name>', 'a short name of your own for it')
    .option('--expect <accountId>', 'refuse the login of any other account; accountId/userId is accepted')
    .addOption(key())
    .option('--key-file <path>', 'where the key file lies, with --key file')
    .addOption(json())
    .addHelpText(
      'after',
      examples(
        ['codex-router login start', 'then open the address, and log in'],
        ['codex-router login finish', 'then paste the address that the browser ended on'],
      ),
    )
    .action(async (_options, command) => {
      const options = command.optsWithGlobals();
      refuseBrowser(options);
      await (await import('./commands/login-start.js')).runLoginStart(cli, options);
    });
}

function finish(login: CommandUnknownOpts, cli: Cli): void {
  withHost(
    login
      .command('finish')
      .description(
        'the second step: takes the address that the browser ended on, from a prompt or standard input',
      )
      // Taken only to be refused: what commander does not know it repeats in its message.
      .argument('[address...]', 'not here: it would stay in the history of the shell')
      .addOption(new Option('--callback-url [address]', 'refused').hideHelp())
      .option('--alias <name>', 'a short name of your own for it, where start was told none')
      .option('--expect <accountId>', 'refuse the login of any other account, where start was told none')
      .option('--yes', 'keep it without a question'),
  )
    .addHelpText(
      'after',
      examples(
        ['codex-router login finish', 'asks for the address, and does not show it'],
        ['codex-router login finish --yes < address.txt', 'in a script'],
      ),
    )
    .action(async (given, _options, command) => {
      const options = command.optsWithGlobals();
      refuseBrowser(options);
      await (await import('./commands/login-finish.js')).runLoginFinish(cli, given, options);
    });
}

function status(login: CommandUnknownOpts, cli: Cli): void {
  login
    .command('status')
    .description('whether a login was started and not finished')
    .addOption(json())
    .addHelpText('after', examples(['codex-router login status']))
    .action(async () => (await import('./commands/login-status.js')).runLoginStatus(cli));
}

function cancel(login: CommandUnknownOpts, cli: Cli): void {
  login
    .command('cancel')
    .description('forget the login that was started')
    .addOption(json())
    .addHelpText('after', examples(['codex-router login cancel']))
    .action(async () => (await import('./commands/login-cancel.js')).runLoginCancel(cli));
}

/** `login --browser start` */
function refuseBrowser(options: object): void {
  if (!('browser' in options)) return;
  throw new RouterError(
    'USAGE',
    '--browser waits for a browser on this machine, start and finish for one anywhere',
    {
      hint: 'codex-router login --browser, or codex-router login start',
    },
  );
}
