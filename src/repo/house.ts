import type { Stats } from 'node:fs';
import { dirname, join } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError, isTemporary } from '../os/atomic.js';
import { lstat, readdir } from '../os/files.js';
import type { RouterFolders } from '../os/folders.js';
import { readTextOrNull } from './format.js';
import {
  HOUSE_FOLDERS,
  type HouseRole,
  KEY_FILE,
  roleInData,
  roleInFolder,
  SETTINGS_FILE,
} from './house-files.js';
import { parseVaultFile, type Unlocker } from './vault-file.js';
import { vaultPath } from './vault-path.js';

/** One file or folder of codex-router's own house; nothing was opened to learn this. */
export interface HousePart {
  readonly role: HouseRole;
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'link' | 'other';
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  /** Bytes. */
  readonly size: number;
  /** ms epoch */
  readonly changedAt: number;
}

export interface House {
  /** The folders first, each before what is in it. */
  readonly parts: readonly HousePart[];
  /** Null where vault.json is missing or cannot be understood. */
  readonly unlockers: readonly Unlocker[] | null;
  /** What could not be listed or looked at. */
  readonly troubles: readonly RouterError[];
}

/** All that lies in our two folders, and the key files that vault.json names. Reads vault.json only; writes nothing. Never a RouterError. */
export async function lookAtHouse(folders: RouterFolders): Promise<House> {
  const troubles: RouterError[] = [];
  const parts: HousePart[] = [];
  const unlockers = await unlockersOf(folders);
  const keyFiles = new Set((unlockers ?? []).flatMap((one) => (one.kind === 'file' ? [one.path] : [])));
  const add = async (path: string, role: HouseRole) => {
    if (parts.some((part) => part.path === path)) return;
    const part = await orTrouble(() => look(path, keyFiles.has(path) ? 'key-file' : role), troubles);
    if (part) parts.push(part);
  };
  const namesIn = async (folder: string) => (await orTrouble(() => list(folder), troubles)) ?? [];
  await add(folders.data, 'data-folder');
  for (const name of await namesIn(folders.data)) {
    const path = join(folders.data, name);
    await add(path, roleInData(name));
    if (Object.hasOwn(HOUSE_FOLDERS, name))
      for (const one of await namesIn(path)) await add(join(path, one), roleInFolder(name, one));
  }
  await add(folders.config, 'config-folder');
  for (const name of await namesIn(folders.config)) await add(join(folders.config, name), roleInConfig(name));
  for (const path of keyFiles) await add(path, 'key-file');
  return { parts, unlockers, troubles };
}

function roleInConfig(name: string): HouseRole {
  if (name === SETTINGS_FILE) return 'settings';
  if (KEY_FILE.test(name)) return 'key-file';
  return isTemporary(name) ? 'temporary' : 'unknown';
}

/** Null when it is not there. @throws IO */
export async function look(path: string, role: HouseRole): Promise<HousePart | null> {
  try {
    const about = await lstat(path);
    const { mode, uid, size, mtimeMs } = about;
    return { role, path, kind: kindOf(about), mode: mode & 0o777, uid, size, changedAt: mtimeMs };
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemErrorCode(error) ?? '')) return null;
    throw ioError(error, path, 'read');
  }
}

function kindOf(about: Stats): HousePart['kind'] {
  if (about.isSymbolicLink()) return 'link';
  return about.isDirectory() ? 'folder' : about.isFile() ? 'file' : 'other';
}

/** In an order that is always the same; none where there is no folder. */
async function list(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    // A file in the place of a folder is told by its own look.
    if (['ENOENT', 'ENOTDIR'].includes(systemErrorCode(error) ?? '')) return [];
    throw ioError(error, folder, 'read');
  }
}

async function unlockersOf(folders: RouterFolders): Promise<readonly Unlocker[] | null> {
  try {
    const path = vaultPath(folders);
    const text = await readTextOrNull(path);
    return text === null ? null : parseVaultFile(text, path).unlockers;
  } catch (error) {
    // Opening the vault says why.
    if (error instanceof RouterError) return null;
    throw error;
  }
}

async function orTrouble<T>(work: () => Promise<T>, troubles: RouterError[]): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    troubles.push(error);
    return null;
  }
}

/** What is told of a part in a sentence: its path from the folder it lies in. */
export function nameIn(folders: RouterFolders, path: string): string {
  const inside = [folders.data, folders.config].find((folder) => path.startsWith(`${folder}/`));
  return inside === undefined || dirname(path) === path ? path : path.slice(inside.length + 1);
}
