import { Command, Option } from '@commander-js/extra-typings';
import { KEY_KINDS } from '../repo/key-kind.js';
import type { Cli } from './cli.js';

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
        ['codex login --device-auth && codex-router import', 'store a login'],
        ['codex-router use work', 'route OpenClaw to it'],
        ['codex-router use -', 'back to the one before'],
        ['codex-router list --json', 'for programs'],
      ),
    );

  const commands: { readonly [name: string]: () => unknown } = {
    import: () =>
      program
        .command('import')
        .description('store a login: from the Codex CLI, a file, standard input, or OpenClaw')
        .option('--from <source>', 'a file in the form of auth.json, "-" for standard input, or "openclaw"')
        .option('--alias <name>', 'a short name of your own for it')
        .option('--expect <accountId>', 'refuse the login of any other account')
        .option(
          '--take',
          'take the login over: it leaves the Codex home, so that codex login cannot revoke it',
        )
        .option('--keep', 'leave it in the Codex home too: marked as shared, and not routed while it is')
        .option('--replace', 'replace a stored login that may be newer; the old one is kept sealed')
        .addOption(key())
        .option('--key-file <path>', 'where the key file lies, with --key file')
        .addOption(stateDir())
        .addOption(profile())
        .addOption(slot())
        .addOption(via())
        .addOption(json())
        .addHelpText(
          'after',
          examples(
            ['codex-router import', 'after codex login --device-auth'],
            ['codex-router import --take --alias work', 'in a script'],
            ['codex-router import --from openclaw', "OpenClaw's own profiles"],
          ),
        )
        .action(async (options) => {
          const [{ importLogins }, { importParts }] = await Promise.all([
            import('./commands/import.js'),
            import('./adapt.js'),
          ]);
          await importLogins(await importParts(cli, options), options);
        }),
    use: () =>
      program
        .command('use')
        .description('put an identity into the slot and sync the current session')
        .argument(
          '[selector]',
          'accountId, accountId/userId, alias, e-mail, unique prefix, or "-" for the previous one',
        )
        .addOption(agent())
        .option('--session <key>', 'pin this session instead of the current one')
        .option('--no-session', 'pin no session')
        .option('--all-sessions', 'pin every session that follows the slot')
        .option(
          '--move',
          'take the login from another agent, another OpenClaw or the Codex CLI that holds it',
        )
        .option('--fix-labels', 'take an e-mail out of openclaw.json that would name another account')
        .option('--dry-run', 'show the full plan and write nothing')
        .addOption(stateDir())
        .addOption(profile())
        .addOption(slot())
        .addOption(via())
        .addOption(json())
        .addHelpText(
          'after',
          examples(
            ['codex-router use', 'choose from a list'],
            ['codex-router use work --dry-run', 'what would change'],
            ['codex-router use 11111111 --session agent:main:main', 'pin that chat'],
          ),
        )
        .action(async (selector, options) =>
          (await import('./commands/use.js')).runUse(cli, selector, options),
        ),
    list: () =>
      program
        .command('list')
        .description('the stored identities and which one is active')
        .addOption(agent())
        .addOption(stateDir())
        .addOption(profile())
        .addOption(slot())
        .addOption(via())
        .addOption(json())
        .addHelpText('after', examples(['codex-router list'], ['codex-router list --json']))
        .action(async (options) => (await import('./commands/list.js')).runList(cli, options)),
    status: () =>
      program
        .command('status')
        .description('the host found, who is in each slot, the current session, and how the vault is opened')
        .addOption(stateDir())
        .addOption(profile())
        .addOption(slot())
        .addOption(via())
        .addOption(json())
        .addHelpText('after', examples(['codex-router status'], ['codex-router status --json']))
        .action(async (options) => (await import('./commands/status.js')).runStatus(cli, options)),
    host: () => {
      const host = program
        .command('host')
        .description('what was found of OpenClaw: its stores, its agents, and why it is routed as it is')
        .option('--residue', "list the logins that OpenClaw's own archives and leftovers still keep")
        .addOption(stateDir())
        .addOption(profile())
        .addOption(slot())
        .addOption(via())
        .addOption(json())
        .addHelpText('after', examples(['codex-router host'], ['codex-router host --residue --json']))
        // Options behind `adopt` are its own, not those of `host` itself.
        .enablePositionalOptions()
        .action(async (options) => (await import('./commands/host.js')).runHost(cli, options));
      host
        .command('adopt')
        .description('make this codex-router the one that routes that OpenClaw')
        .option('--yes', 'do not ask')
        .option('--dry-run', 'show whom it would touch and write nothing')
        .addOption(stateDir())
        .addOption(profile())
        .addOption(slot())
        .addOption(via())
        .addOption(json())
        .addHelpText(
          'after',
          examples(
            ['codex-router host adopt --dry-run', 'whose logins would be doubted'],
            ['codex-router host adopt --yes', 'in a script'],
          ),
        )
        .action(async (options) => (await import('./commands/host-adopt.js')).runAdopt(cli, options));
    },
    doctor: () =>
      program
        .command('doctor')
        .description(
          'what could cost a login: one login in two places, doubts, unfinished switches; only looks',
        )
        .addOption(stateDir())
        .addOption(profile())
        .addOption(slot())
        .addOption(via())
        .addOption(json())
        .addHelpText('after', examples(['codex-router doctor'], ['codex-router doctor --json']))
        .action(async (options) => (await import('./commands/doctor.js')).runDoctor(cli, options)),
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
      program
        .command('remove')
        .description('forget an identity here; nothing is revoked at the server')
        .argument('<selector>')
        .option('--yes', 'do not ask')
        .option('--from-slot', 'also when it is active: clear the slot, its order and its pins first')
        .option('--dry-run', 'show what would be removed and write nothing')
        .addOption(stateDir())
        .addOption(profile())
        .addOption(slot())
        .addOption(via())
        .addOption(json())
        .addHelpText(
          'after',
          examples(['codex-router remove work'], ['codex-router remove work --from-slot --yes']),
        )
        .action(async (selector, options) =>
          (await import('./commands/remove.js')).runRemove(cli, selector, options),
        ),
    restore: () =>
      program
        .command('restore')
        .description('list the sealed back-ups of logins that gave way to others, or put one back')
        .argument('[number|id]', 'the back-up that becomes the stored login of its identity; 1 is the newest')
        .option('--yes', 'do not ask')
        .option('--dry-run', 'show what would be restored and write nothing')
        .addOption(stateDir())
        .addOption(profile())
        .addOption(slot())
        .addOption(via())
        .addOption(json())
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
      program
        .command('refresh')
        .description('renew the tokens of parked identities at the issuer; one in a slot is left to OpenClaw')
        .argument(
          '[selector]',
          'one identity; without it and without --all those whose tokens expire within a day',
        )
        .option('--all', 'every parked identity')
        .option('--due', 'those whose access token expires within a day')
        .addOption(stateDir())
        .addOption(profile())
        .addOption(slot())
        .addOption(via())
        .addOption(json())
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
    sync: () =>
      program
        .command('sync')
        .description("bring the slots' rotated tokens home, and finish what was interrupted")
        .option('--wait [seconds]', 'wait for running turns to end first, 600 seconds at most unless told')
        .addOption(stateDir())
        .addOption(profile())
        .addOption(slot())
        .addOption(via())
        .addOption(json())
        .addHelpText(
          'after',
          examples(
            ['codex-router sync'],
            ['codex-router sync --wait', 'after a switch in the middle of a turn'],
          ),
        )
        .action(async (options) => (await import('./commands/sync.js')).runSync(cli, options)),
    undo: () =>
      program
        .command('undo')
        .description('take the last switch back: the identity before it, and the pins as they were')
        .addOption(agent())
        .option('--dry-run', 'show what would be taken back and write nothing')
        .addOption(stateDir())
        .addOption(profile())
        .addOption(slot())
        .addOption(via())
        .addOption(json())
        .addHelpText('after', examples(['codex-router undo'], ['codex-router undo --dry-run']))
        .action(async (options) => (await import('./commands/undo.js')).runUndo(cli, options)),
    history: () =>
      program
        .command('history')
        .description('the switches made, newest first')
        .option('--limit <n>', 'how many, 20 unless told')
        .addOption(json())
        .addHelpText('after', examples(['codex-router history'], ['codex-router history --limit 100 --json']))
        .action(async (options) => (await import('./commands/history.js')).runHistory(cli, options)),
    vault: () => addVault(program.command('vault').description('how the stored logins are sealed'), cli),
  };
  // The others are only needed for help and for a name that is none.
  const wanted = Object.keys(commands).filter((name) => name === only);
  for (const name of wanted.length > 0 ? wanted : Object.keys(commands)) commands[name]?.();
  return program;
}

function addVault(vault: Command, cli: Cli): void {
  const load = async (options: { keyFile?: string }) => {
    const [commands, { vaultCli }] = await Promise.all([import('./commands/vault.js'), import('./adapt.js')]);
    return { commands, on: vaultCli(cli, options) };
  };
  vault
    .command('status')
    .description('the key sources of the vault, and whether losing one would lose everything')
    .option('--check', 'open the vault, mend what a crash left, and open every record')
    .addOption(json())
    .addHelpText('after', examples(['codex-router vault status']))
    .action(async (options) => {
      const { commands, on } = await load({});
      await commands.runVaultStatus(on, options);
    });
  vault
    .command('init')
    .description('make the vault; never over an existing one')
    .addOption(key())
    .option('--key-file <path>', 'where the key file lies, with --key file')
    .addOption(json())
    .addHelpText(
      'after',
      examples(['codex-router vault init --key keychain'], ['codex-router vault init --key file']),
    )
    .action(async (options) => {
      const { commands, on } = await load(options);
      await commands.runVaultInit(on, options);
    });
  vault
    .command('rekey')
    .description('change the key source; every stored login stays')
    .addOption(new Option('--to <source>', 'the new key source').choices(KEY_KINDS).makeOptionMandatory())
    .addOption(new Option('--with <source>', 'open it with this key source now').choices(KEY_KINDS))
    .option('--key-file <path>', 'where the new key file lies, with --to file')
    .addOption(json())
    .addHelpText(
      'after',
      examples(['codex-router vault rekey --to keychain --with passphrase', 'after a lost keychain']),
    )
    .action(async (options) => {
      const { commands, on } = await load(options);
      await commands.runVaultRekey(on, options);
    });
  vault
    .command('add-key')
    .description('add a second key source, say a recovery passphrase')
    .argument('<source>', 'keychain, file, passphrase or credential')
    .addOption(new Option('--with <source>', 'open it with this key source now').choices(KEY_KINDS))
    .option('--key-file <path>', 'where the key file lies, with file')
    .addOption(json())
    .addHelpText('after', examples(['codex-router vault add-key passphrase']))
    .action(async (source, options) => {
      const { commands, on } = await load(options);
      await commands.runVaultAddKey(on, source, options);
    });
}

function key() {
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

function agent() {
  return new Option('--agent <id>', 'the OpenClaw agent whose slot is meant');
}

function json() {
  return new Option('--json', 'print one JSON document');
}

function examples(...lines: readonly (readonly [string, string?])[]): string {
  const width = Math.max(...lines.map(([command]) => command.length));
  const shown = lines.map(([command, why]) => (why ? `  ${command.padEnd(width)}  ${why}` : `  ${command}`));
  return `\nExamples:\n${shown.join('\n')}`;
}
