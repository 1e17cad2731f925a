import { join } from 'node:path';
import { RouterError } from '../errors.js';
import { isObject, type JsonObject } from '../json.js';
import type { Env } from '../os/folders.js';
import type { FoundStore } from '../slot/host.js';
import { sessionsPath } from './adapters.js';
import type { Examined } from './examine.js';
import type { Ground } from './ground.js';
import { withReading } from './sqlite.js';
import { hasTable, lookAt, type StoreRows, schemaOf } from './sqlite-store.js';
import { type Patience, readJsonFile, statOf } from './store-file.js';

/**
 * Every store that lies in the places this ground names, read each by itself: what cannot be read is listed with its reason
 * and stops nothing. Nothing is written.
 * @param found null where the layout could not be told.
 */
export async function listStores(
  ground: Ground,
  found: Examined | null,
  stateApart: boolean,
  env: Env,
  torn: Patience,
): Promise<readonly FoundStore[]> {
  const listed: FoundStore[] = [];
  const statePath = join(ground.stateDir, 'state', 'openclaw.sqlite');
  if (await isThere(statePath)) listed.push(await logins(found, statePath, null, 'shared'));
  const folders = new Set<string>();
  for (const agent of ground.agents) {
    const own = agent === 'main' ? [ground.sharedDir, ground.agentDir(agent)] : [ground.agentDir(agent)];
    for (const folder of own) {
      if (!folders.has(folder)) listed.push(...(await storesIn(folder, agent, found, stateApart, torn)));
      folders.add(folder);
    }
    listed.push(...(await sessionsOf(ground, agent, found, env, torn)));
  }
  return listed;
}

async function storesIn(
  folder: string,
  agent: string,
  found: Examined | null,
  stateApart: boolean,
  torn: Patience,
): Promise<readonly FoundStore[]> {
  const listed: FoundStore[] = [];
  const database = join(folder, 'openclaw-agent.sqlite');
  if (await isThere(database)) {
    listed.push(await logins(found, database, agent, 'agent'), ...sessionRows(found, database, agent));
  }
  const inJson = found === null ? null : found.layout.startsWith('json');
  for (const [name, holds, read] of [
    ['auth-profiles.json', 'logins', inJson],
    ['auth-state.json', 'selection', inJson === null ? null : inJson && stateApart],
    // What 2026.1 and before kept; later releases import it only where there is nothing else.
    ['auth.json', 'logins', inJson === null ? null : false],
  ] as const) {
    const path = join(folder, name);
    if (!(await isThere(path))) continue;
    listed.push(
      await attempt({ path, format: 'json', holds, agent }, async () => {
        const value = (await readJsonFile(path, 'SLOT_UNREADABLE', torn))?.value ?? {};
        const profiles = holds === 'logins' ? profileIds(value, name === 'auth.json') : [];
        const holdsAny = holds === 'logins' ? profiles.length > 0 : Object.keys(value).length > 0;
        return { schema: null, profiles, state: stateOf(holdsAny, read) };
      }),
    );
  }
  return listed;
}

/** Null: it could not be told whether the release reads it. */
function stateOf(holdsAny: boolean, read: boolean | null): FoundStore['state'] {
  if (!holdsAny) return 'empty';
  if (read === null) return 'unknown';
  return read ? 'used' : 'leftover';
}

function profileIds(value: JsonObject, bare = false): readonly string[] {
  const profiles = bare ? value : value.profiles;
  return isObject(profiles) ? Object.keys(profiles) : [];
}

/** The rows of a database that hold logins. */
async function logins(
  found: Examined | null,
  path: string,
  agent: string | null,
  rows: StoreRows,
): Promise<FoundStore> {
  const place = { path, format: 'sqlite', holds: 'logins', agent } as const;
  return await attempt(place, async () => {
    const look = lookAt(path, rows);
    const profiles = profileIds(look.rows.profiles?.value ?? {});
    // Where a mixed state is refused, nobody reads a store until OpenClaw's doctor has been there.
    const read =
      found === null || found.refusal !== null ? null : found.shared !== null && readsRows(found, rows);
    return { schema: look.schema, profiles, state: stateOf(profiles.length > 0, read) };
  });
}

function readsRows({ layout, shared }: Examined, rows: StoreRows): boolean {
  return rows === 'agent' ? layout.startsWith('sqlite') : shared?.rows === 'shared';
}

/** From 8.1 an agent's database holds its sessions. */
function sessionRows(found: Examined | null, path: string, agent: string): readonly FoundStore[] {
  const place = { path, format: 'sqlite', holds: 'sessions', agent } as const;
  try {
    const seen = withReading(path, 'HOST_UNREADABLE', (sql) =>
      hasTable(sql, 'session_nodes')
        ? { schema: schemaOf(sql), any: sql.row('SELECT 1 AS found FROM session_nodes LIMIT 1') !== null }
        : null,
    );
    if (seen === null) return [];
    const read = found === null || found.refusal !== null ? null : found.layout === 'sqlite-shared';
    return [{ ...place, schema: seen.schema, profiles: [], trouble: null, state: stateOf(seen.any, read) }];
  } catch (error) {
    // Told already of the logins in the same file.
    if (error instanceof RouterError) return [];
    throw error;
  }
}

async function sessionsOf(
  ground: Ground,
  agent: string,
  found: Examined | null,
  env: Env,
  torn: Patience,
): Promise<readonly FoundStore[]> {
  const { stateDir, config, places } = ground;
  let path = join(stateDir, 'agents', agent, 'sessions', 'sessions.json');
  try {
    path = sessionsPath(stateDir, config, places, env, agent);
    if (!(await isThere(path))) return [];
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return [failed({ path, format: 'json', holds: 'sessions', agent }, error)];
  }
  const read = found === null ? null : found.layout !== 'sqlite-shared';
  return [
    await attempt({ path, format: 'json', holds: 'sessions', agent }, async () => {
      const value = (await readJsonFile(path, 'HOST_UNREADABLE', torn))?.value ?? {};
      return { schema: null, profiles: [], state: stateOf(Object.keys(value).length > 0, read) };
    }),
  ];
}

type Place = Pick<FoundStore, 'path' | 'format' | 'holds' | 'agent'>;
type Seen = Pick<FoundStore, 'schema' | 'profiles' | 'state'>;

async function attempt(place: Place, look: () => Promise<Seen>): Promise<FoundStore> {
  try {
    return { ...place, ...(await look()), trouble: null };
  } catch (error) {
    return failed(place, error);
  }
}

/** A database whose rows are broken may still tell of which schema it is. */
function failed(place: Place, error: unknown): FoundStore {
  if (!(error instanceof RouterError)) throw error;
  return {
    ...place,
    schema: place.format === 'sqlite' ? schemaAt(place.path) : null,
    profiles: [],
    state: 'unreadable',
    trouble: error.message,
  };
}

function schemaAt(path: string): number | null {
  try {
    return withReading(path, 'HOST_UNREADABLE', schemaOf);
  } catch (error) {
    if (error instanceof RouterError) return null;
    throw error;
  }
}

/** What cannot be looked at is there: reading it says why it cannot be. */
async function isThere(path: string): Promise<boolean> {
  try {
    return (await statOf(path)) !== null;
  } catch (error) {
    if (error instanceof RouterError) return true;
    throw error;
  }
}
