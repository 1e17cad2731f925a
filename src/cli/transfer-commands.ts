import type { Command } from '@commander-js/extra-typings';
import type { Cli } from './cli.js';
import { agent, examples, withHost } from './flags.js';
import type { Commands } from './program.js';

/** What carries the stored identities elsewhere, and the way out. */
export function transferCommands(program: Command, cli: Cli): Commands {
  return {
    eject: () =>
      withHost(
        program
          .command('eject')
          .description('give OpenClaw every stored login, so that it works without codex-router')
          .addOption(agent())
          .option('--yes', 'do not ask')
          .option('--dry-run', 'show what would be handed over and write nothing'),
      )
        .addHelpText(
          'after',
          examples(
            ['codex-router eject --dry-run', 'which login would go where'],
            ['codex-router eject --yes', 'in a script'],
          ),
        )
        .action(async (options) => (await import('./commands/eject.js')).runEject(cli, options)),
    uninstall: () =>
      withHost(
        program
          .command('uninstall')
          .description(
            'eject, then remove all that codex-router made here; refused while a login exists only here',
          )
          .option('--yes', 'do not ask')
          .option('--dry-run', 'show everything it would do and write nothing'),
      )
        .addHelpText(
          'after',
          examples(
            ['codex-router uninstall --dry-run', 'everything it would do'],
            ['codex-router uninstall --yes', 'in a script'],
          ),
        )
        .action(async (options) => (await import('./commands/uninstall.js')).runUninstall(cli, options)),
    export: () =>
      withHost(
        program
          .command('export')
          .description('write the stored logins into one file, encrypted with age')
          .argument('[selector...]', 'whom; everybody without it')
          .requiredOption('--to <file>', 'the file, 0600; it must not be there yet')
          .option(
            '--recipient <key>',
            'for whoever has the key of this age recipient (age1...); may be repeated',
            gather,
          )
          .option('--passphrase', 'with a passphrase, which is asked for; the default on a terminal')
          .option('--passphrase-file <file>', 'with the passphrase in that file, or "-" for standard input')
          .option('--armor', 'as text, to be pasted somewhere')
          .option('--force', 'replace the file when it is there')
          .option('--plaintext', 'unencrypted; has to be confirmed')
          .option('--yes-write-my-tokens-unencrypted', 'confirms --plaintext in a script'),
      )
        .addHelpText(
          'after',
          examples(
            ['codex-router export --to logins.age', 'everybody, with a passphrase'],
            ['codex-router export --to logins.age --recipient age1...', 'in a script'],
            ['codex-router import --from logins.age', 'on the other machine'],
          ),
        )
        .action(async (selectors, options) =>
          (await import('./commands/export.js')).runExport(cli, selectors, options),
        ),
  };
}

/** An option that may be given several times. */
function gather(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
