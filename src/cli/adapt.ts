import { RouterError } from '../errors.js';
import type { RepoView } from '../repo/repo.js';
import type { PendingDeps } from '../router/pending-login.js';
import type { Host } from '../slot/host.js';
import type { ArchiveOptions } from './archive-keys.js';
import type { Cli } from './cli.js';
import type { ImportParts } from './commands/import.js';
import type { VaultCli } from './commands/vault.js';
import { compose, type Parts, pause } from './compose.js';
import type { HostOptions, KeyOptions } from './options.js';

/** What `import` asks for, out of the command line and the composed parts. */
export async function importParts(
  cli: Cli,
  options: HostOptions & KeyOptions & ArchiveOptions & { readonly dryRun?: boolean },
): Promise<ImportParts> {
  const { terminal, interruption, json, now } = cli;
  const parts = compose(cli, options, !options.dryRun);
  return {
    canAsk: terminal.canAsk,
    stdinIsTerminal: terminal.stdinIsTerminal,
    readStdin: terminal.readStdinBytes,
    ask: terminal.ask,
    say: cli.say,
    print: cli.print,
    json,
    logins: await parts.logins(),
    stores: parts.stores,
    archive: () => parts.archive(options),
    openRepo: parts.openRepo,
    viewRepo: () => viewRepo(parts),
    host: parts.host,
    withLock: parts.withLock,
    critical: interruption.critical,
    now,
  };
}

/** The open repo, or nothing stored where there is no vault. @throws as `Repo.open` */
export async function viewRepo(parts: Parts): Promise<RepoView> {
  try {
    return await parts.openRepo();
  } catch (error) {
    if (!(error instanceof RouterError && error.code === 'VAULT_MISSING')) throw error;
    return (await import('../repo/absent.js')).absentRepo();
  }
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

/**
 * What `lend` and `unlend` are given. The vault has begun to open when this returns.
 * @param needsHost whether an OpenClaw that cannot be understood is an error; else it is as if there were none, and said
 */
export async function lendDeps(cli: Cli, parts: Parts, needsHost: boolean) {
  const host = await parts.besideKeychain(async () => {
    try {
      return await hostOrNull(parts);
    } catch (error) {
      if (needsHost || !(error instanceof RouterError)) throw error;
      cli.say(`this OpenClaw was not looked at: ${error.message}`);
      return null;
    }
  });
  return { ...refreshDeps(cli, parts), host, homes: await parts.codexHomes() };
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

/** What the login that was begun and not finished is worked on with. */
export async function pendingDeps(cli: Cli, { folders, withLock }: Parts): Promise<PendingDeps> {
  const { pendingLoginsIn } = await import('../repo/pending-logins.js');
  const { interruption, now } = cli;
  return { pending: pendingLoginsIn(folders.data), withLock, critical: interruption.critical, now };
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
