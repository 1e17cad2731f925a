import { join } from 'node:path';
import { RouterError } from '../errors.js';
import type { JsonObject } from '../json.js';
import { unlinkDurably } from '../os/atomic.js';
import { createExclusively } from '../os/exclusive.js';
import { rename } from '../os/files.js';
import type { HostOwner } from '../slot/host.js';
import { refuseForeignOwner } from './owner.js';
import { isUnchanged, type JsonFile, type Patience, readJsonFile, writeUnchanged } from './store-file.js';

/** Beside openclaw.json. OpenClaw reads no file of this name (2.26 to 9.6). */
const OWNER_FILE = 'codex-router.json';
const VERSION = 1;

/** As the port Host has it. */
export async function readOwner(stateDir: string, patience?: Patience): Promise<HostOwner | null> {
  return await readOwnerAt(join(stateDir, OWNER_FILE), patience);
}

async function readOwnerAt(path: string, patience?: Patience): Promise<HostOwner | null> {
  const file = await readJsonFile(path, 'HOST_UNREADABLE', patience);
  return file === null ? null : parseOwner(path, file.value);
}

/** As the port Host has it. */
export async function writeOwner(
  stateDir: string,
  uid: number | null,
  owner: HostOwner,
  instead: HostOwner | null | 'unreadable',
): Promise<void> {
  const path = join(stateDir, OWNER_FILE);
  await refuseForeignOwner([path, stateDir], uid);
  if (instead === 'unreadable') return await replaceUnreadable(path, owner);
  const before = await readJsonFile(path, 'HOST_UNREADABLE');
  if (!isSame(before === null ? null : parseOwner(path, before.value), instead)) throw cameFirst(path);
  if (!(await written(path, before, owner))) throw cameFirst(path);
}

/** As the port Host has it. */
export async function removeOwner(stateDir: string, uid: number | null, owner: HostOwner): Promise<void> {
  const path = join(stateDir, OWNER_FILE);
  await refuseForeignOwner([path, stateDir], uid);
  const found = await readJsonFile(path, 'HOST_UNREADABLE');
  if (found === null) return;
  if (!isSame(parseOwner(path, found.value), owner)) throw cameFirst(path);
  await unlinkDurably(stateDir, OWNER_FILE);
}

/** What cannot be understood is not merged, and not thrown away either. @throws as `readOwner` for a later release's */
async function replaceUnreadable(path: string, owner: HostOwner): Promise<void> {
  try {
    await readOwnerAt(path);
    throw cameFirst(path);
  } catch (error) {
    if (!(error instanceof RouterError) || error.code !== 'HOST_UNREADABLE') throw error;
  }
  await rename(path, `${path}.damaged`);
  if (!(await written(path, null, owner))) throw cameFirst(path);
}

async function written(path: string, before: JsonFile | null, owner: HostOwner): Promise<boolean> {
  const { vaultId, generation, at } = owner;
  const value = { ...before?.value, version: VERSION, vaultId, generation, at };
  const text = `${JSON.stringify(value, null, 2)}\n`;
  // Two routers have two locks of their own: of two that find no file only one may make it.
  if (before === null) return (await isUnchanged(path, null)) && (await createExclusively(path, text));
  return await writeUnchanged(path, text, before.bytes);
}

/** @throws HOST_UNREADABLE: a file that cannot be understood may be another router's; VAULT_NEWER */
function parseOwner(path: string, { version, vaultId, generation, at }: JsonObject): HostOwner {
  const isKnown = version === VERSION && typeof vaultId === 'string' && vaultId !== '';
  if (isKnown && isCount(generation) && typeof at === 'number') return { vaultId, generation, at };
  if (typeof version === 'number' && version > VERSION) {
    throw new RouterError('VAULT_NEWER', `${path} was written by a later codex-router`, {
      hint: 'update codex-router; nothing was changed',
    });
  }
  throw new RouterError('HOST_UNREADABLE', `cannot understand ${path}: its fields are not as they must be`, {
    hint: 'codex-router host adopt replaces it and takes this OpenClaw over',
  });
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isSame(a: HostOwner | null, b: HostOwner | null): boolean {
  return a?.vaultId === b?.vaultId && a?.generation === b?.generation && a?.at === b?.at;
}

function cameFirst(path: string): RouterError {
  return new RouterError('SLOT_CHANGED', `another codex-router wrote ${path} at the same moment`, {
    hint: 'run the command again; nothing was changed',
  });
}
