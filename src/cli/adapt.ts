import { RouterError } from '../errors.js';
import type { Host } from '../slot/host.js';
import type { Cli } from './cli.js';
import type { ImportParts } from './commands/import.js';
import type { VaultCli } from './commands/vault.js';
import { compose, type Parts, pause } from './compose.js';
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

/** What every command that switches, refreshes or checks in is given. The vault has begun to open when this returns. */
export function switchDeps(cli: Cli, parts: Parts, host: Host) {
  return { ...refreshDeps(cli, parts), host, env: cli.env };
}

/** The same without an OpenClaw. */
export function refreshDeps(cli: Cli, parts: Parts) {
  const { repo, hostAt, outside, journal, withGrantLock, endpoint } = parts;
  const opening = parts.openRepo();
  return {
    ...writeDeps(cli, parts),
    repo,
    opening,
    hostAt,
    outside,
    journal,
    withGrantLock,
    endpoint,
    pause,
  };
}

/** What every command that writes is given. */
export function writeDeps(cli: Cli, { withLock }: Parts) {
  return {
    withLock,
    critical: cli.interruption.critical,
    onRefreshing: () => cli.say('waiting for OpenClaw to finish refreshing the login in the slot ...'),
    signal: cli.interruption.signal,
    now: cli.now,
  };
}

/** Null when there is no OpenClaw here. @throws for one that cannot be understood */
export async function hostOrNull(parts: Parts): Promise<Host | null> {
  try {
    return await parts.host();
  } catch (error) {
    if (error instanceof RouterError && error.code === 'HOST_NOT_FOUND') return null;
    throw error;
  }
}
