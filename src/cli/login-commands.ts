import { type Command, Option } from '@commander-js/extra-typings';
import type { Cli } from './cli.js';
import { examples, key, withHost } from './flags.js';
import { addLogin } from './login-command.js';
import type { Commands } from './program.js';

/** What makes, lends and ends logins. */
export function loginCommands(program: Command, cli: Cli): Commands {
  return {
    login: () => addLogin(program, cli),
    add: () =>
      withHost(
        program
          .command('add')
          .description(
            'log in with your own Codex CLI, in a Codex home of its own: the login there is not touched',
          )
          .argument('<alias>', 'a short name of your own for the new login')
          .option('--device-auth', 'with a code to type in; the default where no browser can be opened')
          .option('--browser', 'with the browser of this machine')
          .option('--codex <path>', 'the codex program to run (CODEX_ROUTER_CODEX); default: the one on PATH')
          .option(
            '--expect <accountId>',
            'refuse the login of any other account; accountId/userId is accepted',
          )
          .option('--yes', 'keep it without a question')
          .addOption(key())
          .option('--key-file <path>', 'where the key file lies, with --key file'),
      )
        .addHelpText(
          'after',
          examples(
            ['codex-router add work', 'codex login, but ~/.codex keeps the login it has'],
            ['codex-router add work --device-auth', 'in a browser on another machine'],
            ['codex-router add work --expect <accountId> --yes', 'in a script'],
          ),
        )
        .action(async (alias, options) => (await import('./commands/add.js')).runAdd(cli, alias, options)),
    lend: () =>
      withHost(
        program
          .command('lend')
          .description('let the Codex CLI use an identity, without being able to spend or revoke its login')
          .argument('<selector>')
          .addOption(lendTo())
          .option('--move', 'hand the login over entirely: Codex refreshes it until unlend')
          .option('--take', 'store the login that Codex has there now first; unlend puts it back')
          .option('--yes', 'do not ask')
          .option('--dry-run', 'show what would be lent and write nothing'),
      )
        .addHelpText(
          'after',
          examples(
            ['codex-router lend work --to codex', 'for as long as its access token lives; again renews it'],
            ['codex-router lend work --to codex --take', 'in a script, where Codex is signed in'],
            ['codex-router lend work --to codex --move', 'for good, until unlend'],
          ),
        )
        .action(async (selector, options) =>
          (await import('./commands/lend.js')).runLend(cli, selector, options),
        ),
    unlend: () =>
      withHost(
        program
          .command('unlend')
          .description('end a lending, take home what was handed over, and put back who was there before')
          .argument('[selector]'),
      )
        .addHelpText('after', examples(['codex-router unlend'], ['codex-router unlend work --json']))
        .action(async (selector, options) =>
          (await import('./commands/unlend.js')).runUnlend(cli, selector, options),
        ),
    logout: () =>
      withHost(
        program
          .command('logout')
          .description('revoke a login at the issuer, then forget it; remove only forgets')
          .argument('<selector>')
          .option('--yes', 'do not ask')
          .option(
            '--from-slot',
            'also when it is active: check it in and clear the slot, its order and its pins first',
          )
          .option('--dry-run', 'show what would be done and write and send nothing'),
      )
        .addHelpText(
          'after',
          examples(
            ['codex-router logout work', 'revoke the stored login and its sealed back-ups'],
            ['codex-router logout work --from-slot --yes', 'also the one that OpenClaw runs on'],
            ['codex-router remove work', 'forget it here only: the login stays valid'],
          ),
        )
        .action(async (selector, options) =>
          (await import('./commands/logout.js')).runLogout(cli, selector, options),
        ),
  };
}

function lendTo() {
  return new Option('--to <tool>', 'to whom').choices(['codex'] as const).default('codex' as const);
}
