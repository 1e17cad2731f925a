import type { Cli } from './cli.js';
import type { ImportParts } from './commands/import.js';
import type { VaultCli } from './commands/vault.js';
import { compose } from './compose.js';
import type { HostOptions, KeyOptions } from './options.js';

/** What `import` asks for, out of the command line and the composed parts. */
export async function importParts(cli: Cli, options: HostOptions & KeyOptions): Promise<ImportParts> {
  const { terminal, interruption, json, now } = cli;
  const parts = compose(cli, options, true);
  return {
    canAsk: terminal.canAsk,
    stdinIsTerminal: terminal.stdinIsTerminal,
    readStdin: terminal.readStdin,
    ask: terminal.ask,
    say: cli.say,
    print: cli.print,
    json,
    logins: await parts.logins(),
    openRepo: parts.openRepo,
    host: parts.host,
    withLock: parts.withLock,
    critical: interruption.critical,
    now,
  };
}

/** What the vault's own commands ask for. */
export function vaultCli(cli: Cli, options: KeyOptions): VaultCli {
  return { repoDeps: compose(cli, options, true).repoDeps, ask: cli.terminal.ask, print: cli.print };
}
