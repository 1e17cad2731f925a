import { type Command, Option } from '@commander-js/extra-typings';
import { KEY_KINDS } from '../repo/key-kind.js';
import type { Cli } from './cli.js';
import { examples, json, key } from './flags.js';

/** `codex-router vault ...` */
export function addVault(vault: Command, cli: Cli): void {
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
