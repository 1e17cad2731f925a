import type { Command } from '@commander-js/extra-typings';
import { RouterError } from '../errors.js';
import type { Cli } from './cli.js';
import { examples, key, withHost } from './flags.js';
import { addLoginSteps } from './login-steps.js';

/** `codex-router login ...` */
export function addLogin(program: Command, cli: Cli): void {
  const login = withHost(
    program
      .command('login')
      .description('log in to ChatGPT: a login of its own for codex-router, which disturbs no other one')
      .option('--alias <name>', 'a short name of your own for it')
      .option('--expect <accountId>', 'refuse the login of any other account; accountId/userId is accepted')
      .option('--yes', 'keep it without a question')
      .option('--browser', 'with a browser on this machine, which comes back by itself')
      .option('--no-open', 'with --browser: print its address, open nothing')
      .addOption(key())
      .option('--key-file <path>', 'where the key file lies, with --key file'),
  )
    .addHelpText(
      'after',
      examples(
        ['codex-router login', 'shows a code to type in, in any browser'],
        ['codex-router login --alias work', 'and a name for it'],
        ['codex-router login --browser', 'in the browser of this machine'],
        ['codex-router login start', 'in a browser anywhere, finished by pasting an address'],
        ['codex-router login --expect <accountId> --yes', 'in a script: that workspace, or nothing is kept'],
      ),
    )
    // Options behind a subcommand are its own, not those of `login` itself.
    .enablePositionalOptions()
    .action(async (options) => {
      if (options.browser) await (await import('./commands/login-browser.js')).runLoginBrowser(cli, options);
      else if (options.open) await (await import('./commands/login.js')).runLogin(cli, options);
      else
        throw new RouterError('USAGE', '--no-open goes with --browser', {
          hint: 'codex-router login --help',
        });
    });
  addLoginSteps(login, cli);
}
