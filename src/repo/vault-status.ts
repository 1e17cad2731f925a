import { dirname } from 'node:path';
import { stat } from '../os/files.js';
import { repoFiles } from './files.js';
import { FORMAT_VERSION } from './format.js';
import { readIndex, recordNames } from './index.js';
import type { KeyKind } from './key-kind.js';
import { keychainAccount, SERVICE } from './keychain.js';
import { refuseOrphans } from './opening.js';
import { readVaultFile, type VaultDeps } from './vault.js';
import type { Unlocker } from './vault-file.js';

export interface KeyStatus {
  readonly kind: KeyKind;
  /** The one every command opens with. */
  readonly primary: boolean;
  /** ms epoch */
  readonly addedAt: number;
  /** Where the key file lies; null for the other kinds. */
  readonly path: string | null;
  /** Where the key lies, in words; null for what a person types. */
  readonly where: string | null;
}

/** What can be told of a vault without opening it. */
export interface VaultStatus {
  readonly exists: boolean;
  readonly folder: string;
  readonly formatVersion: number;
  /** Null when there is no vault. */
  readonly vaultId: string | null;
  readonly identities: number;
  readonly keys: readonly KeyStatus[];
  readonly warnings: readonly string[];
}

/** Never opens the vault. @throws VAULT_NEWER, VAULT_DAMAGED, IO */
export async function vaultStatus(deps: VaultDeps): Promise<VaultStatus> {
  const folder = deps.folders.data;
  const file = await readVaultFile(deps.folders);
  if (file === null) {
    await refuseOrphans(deps);
    const nothing = { vaultId: null, identities: 0, keys: [], warnings: [] };
    return { exists: false, folder, formatVersion: FORMAT_VERSION, ...nothing };
  }
  const files = repoFiles(folder);
  const { index } = await readIndex(files);
  const records = (await recordNames(files)).length;
  const warnings = await keyWarnings(file.unlockers, folder);
  if (index === null && records > 0) {
    warnings.push('index.json is missing: codex-router vault status --check rebuilds it from the records');
  }
  return {
    exists: true,
    folder,
    formatVersion: file.version,
    vaultId: file.vaultId,
    identities: index?.identities.length ?? records,
    keys: file.unlockers.map(keyStatus),
    warnings,
  };
}

export function keyStatus(unlocker: Unlocker, place: number): KeyStatus {
  const path = unlocker.kind === 'file' ? unlocker.path : null;
  const { kind, addedAt } = unlocker;
  return { kind, primary: place === 0, addedAt, path, where: placeOf(unlocker) };
}

function placeOf(unlocker: Unlocker): string | null {
  switch (unlocker.kind) {
    case 'keychain':
      return `service ${SERVICE}, account ${keychainAccount(unlocker.id)}`;
    case 'file':
      return unlocker.path;
    case 'credential':
      return `the credential ${unlocker.name} of the unit`;
    case 'passphrase':
      return null;
  }
}

async function keyWarnings(unlockers: readonly Unlocker[], folder: string): Promise<string[]> {
  const warnings: string[] = [];
  if (unlockers.length === 1) {
    const other = unlockers[0]?.kind === 'passphrase' ? 'file' : 'passphrase';
    warnings.push(
      `there is only one key: losing it loses every login; codex-router vault add-key ${other} adds another`,
    );
  }
  for (const unlocker of unlockers) {
    if (unlocker.kind !== 'file') continue;
    if (dirname(unlocker.path) === folder)
      warnings.push(`the key file ${unlocker.path} lies beside what it opens`);
    const there = await stat(unlocker.path).then(
      () => true,
      () => false,
    );
    if (!there) warnings.push(`the key file ${unlocker.path} is not there`);
  }
  return warnings;
}
