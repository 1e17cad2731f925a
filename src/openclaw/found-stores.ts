import { join } from 'node:path';
import { RouterError } from '../errors.js';
import { isObject } from '../json.js';
import type { Ground } from './ground.js';
import { providerOf } from './profiles.js';
import type { Release } from './release.js';
import { type DatabaseLook, isDatabase, lookAt } from './sqlite-store.js';
import { readJsonFile, statOf } from './store-file.js';

/** What lies in a state directory that could hold logins. */
export interface FoundStores {
  /** Null when there is none. */
  readonly state: DatabaseLook | null;
  readonly databases: ReadonlyMap<string, DatabaseLook | null>;
  /** Why an agent's database could not be looked at. */
  readonly broken: ReadonlyMap<string, RouterError>;
  /** An auth-profiles.json, in the order of the agents. */
  readonly json: string | null;
  readonly stateFile: boolean;
}

/** @throws SLOT_UNREADABLE, HOST_BUSY, HOST_NODE_TOO_OLD, IO when the shared database cannot be looked at */
export async function findStores(ground: Ground): Promise<FoundStores> {
  const { stateDir, agents, config } = ground;
  const configured = config.agents.map(({ id }) => id);
  const databases = new Map<string, DatabaseLook | null>();
  const broken = new Map<string, RouterError>();
  let json: string | null = null;
  let stateFile = false;
  for (const agent of agents) {
    const folder = agent === 'main' ? ground.sharedDir : ground.agentDir(agent);
    const path = join(folder, 'openclaw-agent.sqlite');
    try {
      databases.set(agent, (await isDatabase(path)) ? lookAt(path, 'agent', ground.databases.read) : null);
    } catch (error) {
      if (!(error instanceof RouterError) || error.code === 'HOST_NODE_TOO_OLD') throw error;
      // One agent's damage is nobody else's: who needs this store hears of it.
      broken.set(agent, error);
      databases.set(agent, null);
    }
    const profiles = join(folder, 'auth-profiles.json');
    // A folder of an agent that is no longer configured holds nothing OpenClaw looks at.
    const isLive = agent === 'main' || configured.length === 0 || configured.includes(agent);
    if (isLive && json === null && (await statOf(profiles)) !== null) json = profiles;
    // Only where no package tells the release does it matter what lies there.
    if (!stateFile && ground.installed === null)
      stateFile = (await statOf(join(folder, 'auth-state.json'))) !== null;
  }
  // 6.1 has one for other purposes: only its content tells.
  const shared = join(stateDir, 'state', 'openclaw.sqlite');
  const state = (await isDatabase(shared)) ? lookAt(shared, 'shared', ground.databases.read) : null;
  return { state, databases, broken, json, stateFile };
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

/** A database that the installed release says it cannot read. */
export function tooLate(
  release: Release | null,
  { state, databases }: FoundStores,
): DatabaseLook | undefined {
  const { schemas } = release ?? {};
  if (!schemas) return undefined;
  if (state !== null && state.schema > schemas.state) return state;
  return [...databases.values()].find((look) => look !== null && look.schema > schemas.agent) ?? undefined;
}

export function hasLogins({ rows }: DatabaseLook): boolean {
  const profiles = rows.profiles?.value.profiles;
  return isObject(profiles) && Object.keys(profiles).length > 0;
}
