import type { Command } from '@commander-js/extra-typings';
import { TOOLS } from '../repo/repo.js';
import type { Cli } from './cli.js';
import { agent, examples, json, key, withHost } from './flags.js';
import type { Commands } from './program.js';

/** What changes or lists the stored identities. */
export function identityCommands(program: Command, cli: Cli): Commands {
  return {
    import: () =>
      withHost(
        program
          .command('import')
          .description('store logins: from the Codex CLI, a file, standard input, OpenClaw, or another tool')
          .option(
            '--from <source>',
            `codex (the default), openclaw, ${TOOLS.join(', ')}, a file (an auth.json or an archive of export), or "-" for standard input`,
          )
          .option('--path <path>', "where that tool's store lies, when it is not in its own place")
          .option('--alias <name>', 'a short name of your own for it')
          .option('--expect <accountId>', 'refuse the login of any other account')
          .option(
            '--take',
            'take the login over: it leaves the Codex home, so that codex login cannot revoke it; of openclaw, leave one slot in it',
          )
          .option('--keep', 'leave it in the Codex home too: marked as shared, and not routed while it is')
          .option('--replace', 'replace a stored login that may be newer; the old one is kept sealed')
          .option('--dry-run', 'show by identity what would change, and write nothing')
          .option('--identity <file>', 'the age key file that opens an archive')
          .option(
            '--passphrase-file <file>',
            'a file with the passphrase of an archive, or "-" for standard input',
          )
          .option('--yes', 'do not ask before an OpenClaw is routed (--from openclaw --take)')
          .addOption(key())
          .option('--key-file <path>', 'where the key file lies, with --key file'),
      )
        .addHelpText(
          'after',
          examples(
            ['codex-router import', 'after codex login --device-auth'],
            ['codex-router import --take --alias work', 'in a script'],
            ['codex-router import --from openclaw', "OpenClaw's own profiles"],
            ['codex-router import --from openclaw --take', 'and route that OpenClaw from then on'],
            ['codex-router import --from codex-auth --dry-run', 'what another tool would bring'],
          ),
        )
        .action(async (options) => {
          const [{ importLogins }, { importParts }] = await Promise.all([
            import('./commands/import.js'),
            import('./adapt.js'),
          ]);
          if (!options.dryRun) await (await import('./commands/finish-adds.js')).finishLeftAdds(cli, options);
          if (options.from === 'openclaw' && options.take) {
            await (await import('./commands/take-host.js')).runTakeHost(cli, options);
            return;
          }
          await importLogins(await importParts(cli, options), options);
        }),
    list: () =>
      withHost(
        program
          .command('list')
          .description('the stored identities and which one is active')
          .addOption(agent()),
      )
        .addHelpText('after', examples(['codex-router list'], ['codex-router list --json']))
        .action(async (options) => (await import('./commands/list.js')).runList(cli, options)),
    alias: () =>
      program
        .command('alias')
        .description('give an identity a short name of your own')
        .argument('<selector>')
        .argument('[name]')
        .option('--remove', 'take the alias off')
        .addOption(json())
        .addHelpText(
          'after',
          examples(['codex-router alias 11111111 work'], ['codex-router alias work --remove']),
        )
        .action(async (selector, name, options) =>
          (await import('./commands/alias.js')).runAlias(cli, selector, name, options),
        ),
    remove: () =>
      withHost(
        program
          .command('remove')
          .description('forget an identity here; nothing is revoked at the issuer, which is what logout does')
          .argument('<selector>')
          .option('--yes', 'do not ask')
          .option('--from-slot', 'also when it is active: clear the slot, its order and its pins first')
          .option('--dry-run', 'show what would be removed and write nothing'),
      )
        .addHelpText(
          'after',
          examples(['codex-router remove work'], ['codex-router remove work --from-slot --yes']),
        )
        .action(async (selector, options) =>
          (await import('./commands/remove.js')).runRemove(cli, selector, options),
        ),
    restore: () =>
      withHost(
        program
          .command('restore')
          .description('list the sealed back-ups of logins that gave way to others, or put one back')
          .argument(
            '[number|id]',
            'the back-up that becomes the stored login of its identity; 1 is the newest',
          )
          .option('--yes', 'do not ask')
          .option('--dry-run', 'show what would be restored and write nothing'),
      )
        .addHelpText(
          'after',
          examples(
            ['codex-router restore', 'what there is'],
            ['codex-router restore 2 --dry-run', 'what would change'],
            ['codex-router restore 4f1c09ab --yes', 'by its id, in a script'],
          ),
        )
        .action(async (which, options) =>
          (await import('./commands/restore.js')).runRestore(cli, which, options),
        ),
    refresh: () =>
      withHost(
        program
          .command('refresh')
          .description(
            'renew the tokens of parked identities at the issuer; one in a slot is left to OpenClaw',
          )
          .argument(
            '[selector]',
            'one identity; without it and without --all those whose tokens expire within a day',
          )
          .option('--all', 'every parked identity')
          .option('--due', 'those whose access token expires within a day'),
      )
        .addHelpText(
          'after',
          examples(
            ['codex-router refresh work'],
            ['codex-router refresh --due --json', 'in a timer, once a day'],
          ),
        )
        .action(async (selector, options) =>
          (await import('./commands/refresh.js')).runRefresh(cli, selector, options),
        ),
  };
}
