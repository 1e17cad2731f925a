import { RouterError } from '../../errors.js';
import { identityKey } from '../../identity.js';
import { withRouterLock } from '../../os/lock.js';
import { repoFiles } from '../../repo/files.js';
import { type Choice, chooseKey } from '../../repo/first-run.js';
import { setAsideDamagedIndex } from '../../repo/index.js';
import { KEY_KIND_NAME, type KeyKind, parseKeyKind } from '../../repo/key-kind.js';
import type { NewKey } from '../../repo/key-source.js';
import { openedRepo } from '../../repo/opened.js';
import { openOrInit } from '../../repo/opening.js';
import { initVault, type VaultDeps } from '../../repo/vault.js';
import { addKey, type KeyChange, rekeyVault } from '../../repo/vault-keys.js';
import { keyStatus, type VaultStatus, vaultStatus } from '../../repo/vault-status.js';

/** What the vault commands need of the command line. */
export interface VaultCli {
  /** Its `keyFile` is this command's `--key-file`, made absolute. */
  readonly repoDeps: VaultDeps;
  readonly ask: (question: string, choices: readonly Choice[]) => Promise<string>;
  /** With `--json` prints `document`, else `text()`. */
  readonly print: (document: object, text: () => string) => void;
}

export interface StatusOptions {
  /** Opens the vault, mends what a crash left and opens every record. */
  readonly check?: boolean | undefined;
}

export interface InitOptions {
  /** `--key`; else CODEX_ROUTER_KEY, else the keychain or a question. */
  readonly key?: string | undefined;
  /** `--key-file`: where the new key file goes. */
  readonly keyFile?: string | undefined;
}

export interface RekeyOptions {
  readonly to: string;
  /** `--with`: the kind of key to open the vault with now. */
  readonly with?: string | undefined;
  readonly keyFile?: string | undefined;
}

export type AddKeyOptions = Pick<RekeyOptions, 'with' | 'keyFile'>;

/** `vault status`: never opens the vault, unless asked to check it. @throws RECORD_DAMAGED with `--check` */
export async function runVaultStatus(cli: VaultCli, options: StatusOptions): Promise<void> {
  const check = options.check === true ? await checkVault(cli.repoDeps) : null;
  const status = await vaultStatus(cli.repoDeps);
  cli.print({ schemaVersion: 1, ok: true, vault: status, check }, () => statusText(status, check));
}

/** `vault init`: @throws VAULT_EXISTS, VAULT_DAMAGED, KEY_CHOICE_NEEDED, and what the key source throws. */
export async function runVaultInit(cli: VaultCli, options: InitOptions): Promise<void> {
  const deps = cli.repoDeps;
  const asked = options.key === undefined ? null : parseKeyKind(options.key, '--key');
  if ((await vaultStatus(deps)).exists) throw existing(deps);
  const keyFile = deps.keyFile ?? options.keyFile ?? null;
  if ((asked ?? deps.env.CODEX_ROUTER_KEY) !== 'file') refuseKeyFile(keyFile, '--key file');
  const kind = await chooseKey(deps, { key: asked, ask: cli.ask });
  await initVault(deps, { kind, keyFile });
  const status = await vaultStatus(deps);
  cli.print(
    { schemaVersion: 1, ok: true, vault: status },
    () => `made a vault in ${status.folder}\n${keysText(status)}`,
  );
}

/** `vault rekey --to <kind> [--with <kind>]` */
export async function runVaultRekey(cli: VaultCli, options: RekeyOptions): Promise<void> {
  const { deps, choice } = change(cli, parseKeyKind(options.to, '--to'), options.keyFile);
  printChange(cli, await rekeyVault(deps, choice, withKind(options.with)));
}

/** `vault add-key <kind> [--with <kind>]` */
export async function runVaultAddKey(cli: VaultCli, kind: string, options: AddKeyOptions): Promise<void> {
  const { deps, choice } = change(
    cli,
    parseKeyKind(kind, 'the kind of key', 'codex-router vault add-key passphrase'),
    options.keyFile,
  );
  printChange(cli, await addKey(deps, choice, withKind(options.with)));
}

interface VaultCheck {
  readonly opened: true;
  readonly records: number;
  readonly rebuilt: number;
  readonly removed: number;
}

async function checkVault(deps: VaultDeps): Promise<VaultCheck> {
  const vault = await openOrInit({ ...deps, firstRun: null });
  const files = repoFiles(deps.folders.data);
  const repo = openedRepo({ files, vault, now: deps.now });
  const mend = async () => {
    if (await setAsideDamagedIndex(files)) {
      deps.say('index.json was damaged: it is kept as index.json.damaged and rebuilt from the records');
    }
    return repo.mend();
  };
  const onWait = () => deps.say('waiting for another codex-router to finish ...');
  const mending = await withRouterLock(deps.folders.data, mend, { onWait });
  const entries = await repo.list();
  const bad: string[] = mending.unreadable.map((name) => `records/${name} cannot be opened`);
  for (const { identity } of entries) {
    await repo.load(identityKey(identity)).catch((error: unknown) => {
      bad.push(error instanceof RouterError ? error.message : String(error));
    });
  }
  if (bad.length > 0) {
    throw new RouterError(
      'RECORD_DAMAGED',
      `${bad.length} sealed record(s) cannot be used: ${bad.join('; ')}`,
      {
        hint: 'put them back from a backup, or log those accounts in again: codex-router login',
      },
    );
  }
  return { opened: true, records: entries.length, rebuilt: mending.rebuilt, removed: mending.removed };
}

function printChange(cli: VaultCli, change: KeyChange): void {
  const keys = change.unlockers.map(keyStatus);
  const replaced = change.replaced.map((old) => keyStatus(old, 1).kind);
  cli.print({ schemaVersion: 1, ok: true, added: change.added.kind, replaced, keys }, () => {
    const lines = [`the vault now opens with ${KEY_KIND_NAME[change.added.kind]}`];
    if (replaced.length > 0) lines.push(`no longer with: ${replaced.join(', ')}`);
    return [...lines, ...keys.map(keyLine)].join('\n');
  });
}

// Here `--key-file` names the new file only: the present one is where vault.json or CODEX_ROUTER_KEY_FILE says.
function change(
  cli: VaultCli,
  kind: KeyKind,
  asked: string | undefined,
): { deps: VaultDeps; choice: NewKey } {
  const keyFile = cli.repoDeps.keyFile ?? asked ?? null;
  if (kind !== 'file') refuseKeyFile(keyFile, 'a key of kind file');
  return { deps: { ...cli.repoDeps, keyFile: null }, choice: { kind, keyFile } };
}

/** An option that would do nothing is a misunderstanding. @throws USAGE */
function refuseKeyFile(keyFile: string | null, goesWith: string): void {
  if (keyFile === null) return;
  throw new RouterError('USAGE', `--key-file goes only with ${goesWith}`, {
    hint: 'leave --key-file out, or choose the kind file',
  });
}

function withKind(kind: string | undefined): KeyKind | null {
  return kind === undefined ? null : parseKeyKind(kind, '--with');
}

function existing(deps: VaultDeps): RouterError {
  return new RouterError('VAULT_EXISTS', `there is a vault already in ${deps.folders.data}`, {
    hint: 'codex-router vault rekey --to <kind> changes its key',
  });
}

function statusText(status: VaultStatus, check: VaultCheck | null): string {
  if (!status.exists) return `no vault yet in ${status.folder}; codex-router import makes one`;
  const lines = [
    `vault in ${status.folder} (format ${status.formatVersion}), ${status.identities} identities`,
    keysText(status),
    ...status.warnings.map((warning) => `warning: ${warning}`),
  ];
  if (check !== null) lines.push(`checked: it opens, and all ${check.records} records do`);
  return lines.join('\n');
}

function keysText(status: VaultStatus): string {
  return status.keys.map(keyLine).join('\n');
}

function keyLine(key: { kind: KeyKind; primary: boolean; path: string | null }): string {
  const where = key.path === null ? '' : `: ${key.path}`;
  return `key: ${KEY_KIND_NAME[key.kind]}${where}${key.primary ? '' : ' (further key)'}`;
}
