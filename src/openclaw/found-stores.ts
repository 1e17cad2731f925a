import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { RouterError } from '../errors.js';
import type { Ground } from './ground.js';
import { isObject, providerOf } from './profiles.js';
import { hasSqlite } from './sqlite.js';
import { type DatabaseLook, lookAt } from './sqlite-store.js';
import { readJsonFile, statOf } from './store-file.js';

/** What lies in a state directory that could hold logins. */
export interface FoundStores {
  /** Null when there is none, or when it is one of a release that keeps no logins there and this Node cannot read it. */
  readonly state: DatabaseLook | null;
  readonly databases: ReadonlyMap<string, DatabaseLook | null>;
  /** An auth-profiles.json, in the order of the agents. */
  readonly json: string | null;
  readonly stateFile: boolean;
}

/** @throws SLOT_UNREADABLE, HOST_BUSY, HOST_NODE_TOO_OLD, IO when a database cannot be looked at */
export async function findStores(ground: Ground): Promise<FoundStores> {
  const { stateDir, agents } = ground;
  const databases = new Map<string, DatabaseLook | null>();
  let json: string | null = null;
  let stateFile = false;
  for (const agent of agents) {
    const folder = agent === 'main' ? ground.sharedDir : ground.agentDir(agent);
    const path = join(folder, 'openclaw-agent.sqlite');
    databases.set(agent, (await statOf(path)) === null ? null : lookAt(path, 'agent'));
    const profiles = join(folder, 'auth-profiles.json');
    if (json === null && (await statOf(profiles)) !== null) json = profiles;
    // Only where no package tells the release does it matter what lies there.
    if (!stateFile && ground.installed === null)
      stateFile = (await statOf(join(folder, 'auth-state.json'))) !== null;
  }
  return { state: await findState(join(stateDir, 'state', 'openclaw.sqlite')), databases, json, stateFile };
}

/** 6.1 has a shared database for other purposes: a Node that cannot open it looks for the words. */
async function findState(path: string): Promise<DatabaseLook | null> {
  if ((await statOf(path)) === null) return null;
  if (hasSqlite()) return lookAt(path, 'shared');
  for (const suffix of ['', '-wal']) {
    if (await containsAny(`${path}${suffix}`, SHARED_STORE)) return lookAt(path, 'shared');
  }
  return null;
}

/** What 8.1 and later write into the shared database once it owns the logins. SQLite stores text as it is. */
const SHARED_STORE = ['auth.sharedStore', 'authProfiles.store'];

async function containsAny(path: string, words: readonly string[]): Promise<boolean> {
  // No database is a pipe or a device, and reading one could wait for ever.
  if (!(await statOf(path))?.isFile()) return false;
  let tail = '';
  for await (const chunk of createReadStream(path, { encoding: 'latin1' })) {
    const text = tail + String(chunk);
    if (words.some((word) => text.includes(word))) return true;
    tail = text.slice(-32);
  }
  return false;
}

/** The providers of the OAuth logins in an auth-profiles.json; a broken file fails later, where it is read for its slot. */
export async function loginProviders(path: string): Promise<readonly string[]> {
  try {
    const file = await readJsonFile(path, 'SLOT_UNREADABLE');
    const profiles = isObject(file?.value.profiles) ? Object.values(file.value.profiles) : [];
    return profiles
      .filter((entry) => isObject(entry) && (entry.type ?? entry.mode) === 'oauth')
      .map(providerOf);
  } catch (error) {
    if (error instanceof RouterError) return [];
    throw error;
  }
}
