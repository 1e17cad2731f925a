import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { type Release, type ReleaseTraits, traitsOf } from './releases.js';
import { integrityOf, query, rowsOf, type SqlRow, sql } from './sqlite.js';
import { type AgentPaths, readJson, writeJson } from './state.js';
import type { Login } from './tokens.js';

type Fields = Record<string, unknown>;

/** order, lastGood and usageStats as they are stored. */
export interface Selection {
  readonly order?: Record<string, readonly string[]>;
  readonly lastGood?: Record<string, string>;
  readonly usageStats?: Record<string, Fields>;
}

/** Whatever a switch may touch, apart; and a hash of each thing it may not. */
export interface Snapshot {
  readonly profiles: Record<string, Record<string, Fields>>;
  readonly selection: Record<string, Selection>;
  /** Every column of an entry's row (`entry` parsed), or the entry of the JSON file, by agent and key. */
  readonly sessions: Record<string, Record<string, Fields>>;
  /** By file, or file and table: all but the above. */
  readonly rest: Record<string, string>;
}

/** What lies in a state directory now, whichever layout it has; each call reads it anew. */
export interface Stores {
  readonly dir: string;
  readonly release: Release;
  readonly traits: ReleaseTraits;
  readonly shared: string;
  /** Where each kind of store lies, or would. */
  paths(agent?: string): AgentPaths;
  database(agent?: string): string;
  /** Ids with a folder under `agents`. */
  agents(): readonly string[];
  /** An agent's own entry in the slot: not what it reads through to. */
  slot(agent?: string): Fields | undefined;
  profiles(agent?: string): Record<string, Fields>;
  selection(agent?: string): Selection;
  sessions(agent?: string): Record<string, Fields>;
  /** The rows of `session_nodes` by key; of a JSON release the entries. */
  sessionRows(agent?: string): Record<string, Fields>;
  snapshot(): Snapshot;
  /** What SQLite finds wrong in any database of the state directory, with its path; empty is right. */
  integrity(): readonly string[];
  /** Changes an entry as no program does while one runs: lays `fields` over it, or removes it (null). Not for sealed entries. */
  put(profileId: string, fields: Fields | null, agent?: string): void;
  /** Lays order, lastGood or usageStats over what is stored, as `put` does an entry. */
  choose(selection: Selection, agent?: string): void;
  /** Pins a session as its person's choice; where the sessions lie in a file. */
  pin(session: string, profileId: string): void;
  /** Puts a login into the slot in place of what is there. */
  plant(login: Login, agent?: string): void;
}

/** The reader of a state directory as `release` keeps it. */
export function storesOf(dir: string, release: Release): Stores {
  const traits = traitsOf(release);
  const sqlite = traits.layout === 'sqlite-agent' || traits.layout === 'sqlite-shared';
  const sharedStore = traits.layout === 'sqlite-shared';
  const shared = path.join(dir, 'state', 'openclaw.sqlite');
  const paths = (agent = 'main'): AgentPaths => {
    const agentDir = path.join(dir, 'agents', agent, 'agent');
    return {
      dir: agentDir,
      profiles: path.join(agentDir, 'auth-profiles.json'),
      state: path.join(agentDir, 'auth-state.json'),
      sessions: path.join(dir, 'agents', agent, 'sessions', 'sessions.json'),
    };
  };
  const database = (agent = 'main') => path.join(paths(agent).dir, 'openclaw-agent.sqlite');

  /** One of the two documents of an agent's own store, or undefined where it has none. */
  const documentOf = (what: 'store' | 'state', agent = 'main'): Fields | undefined => {
    if (!sqlite) {
      const { profiles, state } = paths(agent);
      const file = what === 'store' || !traits.stateFile ? profiles : state;
      return existsSync(file) ? asObject(readJson(file)) : undefined;
    }
    const { file, table, key, value, row } = placeOf(what, agent);
    if (!existsSync(file)) return undefined;
    const found = query(file, `SELECT ${value} AS json FROM ${table} WHERE ${key} = ?`, row)[0];
    return found && asObject(JSON.parse(String(found.json)));
  };

  const write = (what: 'store' | 'state', agent: string, document: Fields): void => {
    if (!sqlite) {
      const { profiles, state } = paths(agent);
      writeJson(what === 'store' || !traits.stateFile ? profiles : state, document);
      return;
    }
    const { file, table, key, value, time, row } = placeOf(what, agent);
    sql(file, [
      [
        `INSERT INTO ${table} (${key}, ${value}, ${time}) VALUES (?, ?, ?) ` +
          `ON CONFLICT (${key}) DO UPDATE SET ${value} = excluded.${value}, ${time} = excluded.${time}`,
        row,
        JSON.stringify(document),
        Date.now(),
      ],
    ]);
  };

  const placeOf = (what: 'store' | 'state', agent: string) =>
    sharedStore && agent === 'main'
      ? {
          file: shared,
          table: 'config_machine_state',
          key: 'state_key',
          value: 'value_json',
          time: 'updated_at_ms',
          row: `authProfiles.${what}`,
        }
      : {
          file: database(agent),
          table: `auth_profile_${what}`,
          key: `${what}_key`,
          value: `${what}_json`,
          time: 'updated_at',
          row: 'primary',
        };

  const stores: Stores = {
    dir,
    release,
    traits,
    shared,
    paths,
    database,
    agents: () => readdirSync(path.join(dir, 'agents')).sort(),
    slot: (agent) => stores.profiles(agent)[traits.slot],
    profiles: (agent) => asObject(documentOf('store', agent)?.profiles) as Record<string, Fields>,
    selection: (agent) => {
      const { order, lastGood, usageStats } = documentOf('state', agent) ?? {};
      const given = Object.entries({ order, lastGood, usageStats }).filter(
        ([, value]) => value !== undefined,
      );
      return Object.fromEntries(given) as Selection;
    },
    sessions: (agent) =>
      Object.fromEntries(
        Object.entries(stores.sessionRows(agent)).map(([key, row]) => [
          key,
          sharedStore ? asObject(row.entry) : row,
        ]),
      ),
    sessionRows: (agent) => {
      if (!sharedStore) {
        const file = paths(agent).sessions;
        return existsSync(file) ? (asObject(readJson(file)) as Record<string, Fields>) : {};
      }
      if (!existsSync(database(agent))) return {};
      const rows = query(database(agent), 'SELECT * FROM session_nodes');
      return Object.fromEntries(rows.map((row) => [String(row.session_key), rowFields(row)]));
    },
    snapshot: () => {
      const each = <T>(look: (agent: string) => T) =>
        Object.fromEntries(stores.agents().map((agent) => [agent, look(agent)]));
      return {
        profiles: each(stores.profiles),
        selection: each(stores.selection),
        sessions: each(stores.sessionRows),
        rest: restOf(stores, sqlite),
      };
    },
    integrity: () =>
      databasesBelow(dir).flatMap((file) =>
        integrityOf(file).map((text) => `${path.relative(dir, file)}: ${text}`),
      ),
    put: (profileId, fields, agent = 'main') => {
      const document = documentOf('store', agent) ?? { version: 1, profiles: {} };
      const profiles = asObject(document.profiles) as Record<string, Fields>;
      if (fields === null) delete profiles[profileId];
      else profiles[profileId] = { ...profiles[profileId], ...fields };
      write('store', agent, { ...document, profiles });
    },
    choose: (selection, agent = 'main') => {
      const document = documentOf('state', agent) ?? { version: 1 };
      write('state', agent, { ...document, ...selection });
    },
    pin: (session, profileId) => {
      const sessions = stores.sessions();
      const pin = { authProfileOverride: profileId, authProfileOverrideSource: 'user' };
      writeJson(paths().sessions, { ...sessions, [session]: { ...sessions[session], ...pin } }, '');
    },
    plant: (login, agent) => {
      const { access, refresh, expires, email, accountId, plan } = login;
      stores.put(
        traits.slot,
        {
          ...{ type: 'oauth', provider: traits.provider, access, refresh, expires, email, accountId },
          ...(traits.planField ? { chatgptPlanType: plan } : {}),
        },
        agent,
      );
    },
  };
  return stores;
}

function rowFields({ entry_json: entry, ...row }: SqlRow): Fields {
  return { ...row, entry: JSON.parse(String(entry)) };
}

/** Tables that a switch may write; `config_machine_state` is looked at row by row. */
const SWITCHED = [
  'auth_profile_store',
  'auth_profile_state',
  'session_nodes',
  'session_canonical_validation_pending',
];

function restOf(stores: Stores, sqlite: boolean): Record<string, string> {
  const rest: Record<string, string> = {};
  const databases = databasesBelow(stores.dir);
  const switched = sqlite
    ? []
    : stores.agents().flatMap((agent) => [stores.paths(agent).profiles, stores.paths(agent).state]);
  for (const agent of stores.agents()) switched.push(stores.paths(agent).sessions);
  for (const file of filesBelow(stores.dir)) {
    if (/\.sqlite(-wal|-shm|-journal)?$/.test(file) || switched.includes(file)) continue;
    // Our own: it says which vault routes this OpenClaw.
    if (path.relative(stores.dir, file) === 'codex-router.json') continue;
    rest[path.relative(stores.dir, file)] = hash(readFileSync(file));
  }
  for (const file of databases) {
    for (const [table, rows] of Object.entries(rowsOf(file))) {
      if (SWITCHED.includes(table)) continue;
      const kept = rows.filter(
        (row) => !row.includes('"authProfiles.store"') && !row.includes('"authProfiles.state"'),
      );
      rest[`${path.relative(stores.dir, file)} ${table}`] = hash(kept.join('\n'));
    }
  }
  return rest;
}

export function databasesBelow(dir: string): readonly string[] {
  return filesBelow(dir).filter((file) => file.endsWith('.sqlite'));
}

function filesBelow(dir: string): readonly string[] {
  return readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
}

function hash(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

function asObject(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}
