import { basename, dirname, join } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError, syncFolder } from '../os/atomic.js';
import { removeTree } from '../os/belongings.js';
import { readdir, rmdir } from '../os/files.js';
import { readTextOrNull } from './format.js';
import { HOUSE_FOLDERS, roleInData, roleInFolder, SETTINGS_FILE } from './house-files.js';
import { forgetKey } from './key-source.js';
import { keychainAccount } from './keychain.js';
import type { VaultDeps } from './vault.js';
import { parseVaultFile, type Unlocker } from './vault-file.js';
import { vaultPath } from './vault-path.js';

/** What lies in our folders. */
export interface Remains {
  readonly removes: readonly {
    readonly kind: 'data' | 'key-file' | 'keychain-item' | 'vault' | 'folder';
    /** A path, or the account of a keychain item. */
    readonly what: string;
  }[];
  /** Paths of what is none of ours, or not known to this release: left. */
  readonly leaves: readonly string[];
  /** Sealed back-ups among it. */
  readonly backUps: number;
}

/** What would be removed, in that order. @throws VAULT_NEWER, VAULT_DAMAGED, IO */
export async function lookAtRemains(deps: VaultDeps): Promise<Remains> {
  const { data } = deps.folders;
  const unlockers = await unlockersOf(deps);
  const keyFiles = new Set(unlockers.flatMap((one) => (one.kind === 'file' ? [one.path] : [])));
  const ours: string[] = [];
  const leaves: string[] = [];
  for (const name of await namesIn(data)) {
    const path = join(data, name);
    const role = roleInData(name);
    if (role === 'lock' || role === 'vault' || keyFiles.has(path)) continue;
    if (role !== 'folder') (role === 'unknown' ? leaves : ours).push(path);
    else {
      // A throw-away Codex home goes whole: who asks for it has seen that it holds no login.
      for (const one of await namesIn(path))
        (roleInFolder(name, one) === 'unknown' ? leaves : ours).push(join(path, one));
    }
  }
  const hasVault = (await readTextOrNull(vaultPath(deps.folders))) !== null;
  const { config } = deps.folders;
  const beside = await namesIn(config);
  if (beside.includes(SETTINGS_FILE)) ours.push(join(config, SETTINGS_FILE));
  const isEmptied = beside.every((name) => name === SETTINGS_FILE || keyFiles.has(join(config, name)));
  const folders = [...(leaves.length === 0 ? [data] : []), ...(isEmptied ? [config] : [])];
  return {
    removes: [
      ...ours.map((what) => ({ kind: 'data' as const, what })),
      ...unlockers.flatMap((one) => keyOf(one) ?? []),
      ...(hasVault ? [{ kind: 'vault' as const, what: vaultPath(deps.folders) }] : []),
      ...(await there(folders)).map((what) => ({ kind: 'folder' as const, what })),
    ],
    leaves,
    backUps: ours.filter((path) => basename(dirname(path)) === 'backups').length,
  };
}

function keyOf(unlocker: Unlocker) {
  if (unlocker.kind === 'file') return { kind: 'key-file' as const, what: unlocker.path };
  if (unlocker.kind === 'keychain')
    return { kind: 'keychain-item' as const, what: `codex-router ${keychainAccount(unlocker.id)}` };
  return null;
}

/**
 * Removes all of it, under the router lock, identities and their records gone before. What is sealed goes first, then its keys, then
 * vault.json, which alone names them: a crash anywhere leaves something that running it again finishes. The folders themselves go when
 * they are empty, without the lock: `removeFolders`.
 * @throws KEYCHAIN_* when a keychain cannot be asked: everything sealed is gone then, vault.json is not; IO
 */
export async function removeRemains(deps: VaultDeps): Promise<void> {
  const { data } = deps.folders;
  const { removes } = await lookAtRemains(deps);
  for (const { kind, what } of removes) if (kind === 'data') await removeTree(what);
  for (const folder of Object.keys(HOUSE_FOLDERS)) await removeEmpty(join(data, folder));
  if (await isThere(data)) await syncFolder(data);
  for (const unlocker of await unlockersOf(deps)) {
    if (await forgetKey(deps, unlocker)) continue;
    // An item that was not found may be one of a locked keychain, which only reading it tells.
    if (unlocker.kind === 'keychain' && (await deps.keychain.get(keychainAccount(unlocker.id))) !== null)
      throw keyStays();
  }
  await removeTree(vaultPath(deps.folders));
  if (await isThere(data)) await syncFolder(data);
}

/** Our folders, where nothing is left in them. */
export async function removeFolders({ folders }: Pick<VaultDeps, 'folders'>): Promise<void> {
  await removeEmpty(folders.data);
  await removeEmpty(folders.config);
}

async function unlockersOf({ folders }: VaultDeps): Promise<readonly Unlocker[]> {
  const path = vaultPath(folders);
  const text = await readTextOrNull(path);
  return text === null ? [] : parseVaultFile(text, path).unlockers;
}

async function there(folders: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const folder of folders) if (await isThere(folder)) found.push(folder);
  return found;
}

async function isThere(folder: string): Promise<boolean> {
  try {
    await readdir(folder);
    return true;
  } catch {
    return false;
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw ioError(error, folder, 'read');
  }
}

/** One with something in it stays. */
async function removeEmpty(folder: string): Promise<void> {
  try {
    await rmdir(folder);
  } catch (error) {
    if (!['ENOENT', 'ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(systemErrorCode(error) ?? '')) {
      throw ioError(error, folder, 'write');
    }
  }
}

function keyStays(): RouterError {
  return new RouterError('KEYCHAIN_DENIED', "the vault's key could not be deleted from the OS keychain", {
    hint: 'delete the item codex-router there by hand, or run the command again; nothing it opens is left',
  });
}
