import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Login, loginOf } from '../kit/tokens.js';

/** Releases whose own schema lies in ./schemas: one for each pair of `user_version` numbers that are written directly. */
export type SqliteRelease = '2026.7.35' | '2026.8.1' | '2026.9.6';
export const SQLITE_RELEASES: readonly SqliteRelease[] = ['2026.7.35', '2026.8.1', '2026.9.6'];

export const SLOT = 'openai:default';

type Fields = Record<string, unknown>;
type Row = Record<string, string | number | null>;

interface Database {
  exec(sql: string): void;
  prepare(sql: string): {
    get(...values: (string | number | null)[]): Row | undefined;
    all(...values: (string | number | null)[]): Row[];
    run(...values: (string | number | null)[]): unknown;
  };
  close(): void;
}

/** These tests run under Node 24 (test/run.mjs): elsewhere they fail. */
export function openDatabase(file: string): Database {
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite') as unknown as {
    DatabaseSync: new (file: string) => Database;
  };
  return new DatabaseSync(file);
}

/** One short look at, or change of, a database; closed afterwards, as by another process. */
export function withDatabase<T>(file: string, work: (database: Database) => T): T {
  const database = openDatabase(file);
  try {
    return work(database);
  } finally {
    database.close();
  }
}

export interface SqliteStateOptions {
  readonly release: SqliteRelease;
  /** Profiles of main's store (`openai:default` and others), logins or raw entries. */
  readonly profiles?: Record<string, Login | Fields>;
  readonly selection?: Fields | null;
  /** Further agents and what lies in their own store; null: no database at all. */
  readonly agents?: Record<
    string,
    { readonly profiles?: Record<string, Login | Fields>; readonly selection?: Fields } | null
  >;
  /** main's sessions. */
  readonly sessions?: Record<string, Fields>;
  readonly config?: Fields;
}

export interface SqliteState {
  readonly dir: string;
  readonly release: SqliteRelease;
  /** The database that holds main's store. */
  readonly store: string;
  readonly stateDatabase: string;
  agentDatabase(agent?: string): string;
  /** An entry as the host would write it; null takes it out. */
  put(profileId: string, entry: Fields | null, agent?: string): void;
  choose(selection: Fields, agent?: string): void;
  profiles(agent?: string): Record<string, Fields>;
  selection(agent?: string): Fields;
  session(key: string): { readonly entry: Fields; readonly row: Row };
  /** `PRAGMA integrity_check` and `foreign_key_check` of every database; 'ok' when all are. */
  integrity(): string;
}

export function entryOf(login: Login): Fields {
  return {
    type: 'oauth',
    provider: 'openai',
    access: login.access,
    refresh: login.refresh,
    expires: login.expires,
    email: login.email,
    accountId: login.accountId,
    chatgptPlanType: login.plan,
  };
}

/** A state directory as the release itself makes one: its own tables and triggers, filled here. */
export function makeSqliteState(dir: string, options: SqliteStateOptions): SqliteState {
  const { release } = options;
  const shared = release !== '2026.7.35';
  const stateDatabase = path.join(dir, 'state', 'openclaw.sqlite');
  const agentDatabase = (agent = 'main') => path.join(dir, 'agents', agent, 'agent', 'openclaw-agent.sqlite');
  create(stateDatabase, release, 'state');
  for (const agent of ['main', ...Object.keys(options.agents ?? {})]) {
    if (agent !== 'main' && options.agents?.[agent] === null)
      mkdirSync(path.dirname(agentDatabase(agent)), { recursive: true });
    else create(agentDatabase(agent), release, 'agent');
  }
  const store = shared ? stateDatabase : agentDatabase();
  /** Where an agent's documents are: table, key column, value column, time column, row of the profiles and of the state. */
  const place = (agent: string) =>
    shared && agent === 'main'
      ? {
          file: stateDatabase,
          rows: [
            ['config_machine_state', 'state_key', 'value_json', 'updated_at_ms', 'authProfiles.store'],
            ['config_machine_state', 'state_key', 'value_json', 'updated_at_ms', 'authProfiles.state'],
          ] as const,
        }
      : {
          file: agentDatabase(agent),
          rows: [
            ['auth_profile_store', 'store_key', 'store_json', 'updated_at', 'primary'],
            ['auth_profile_state', 'state_key', 'state_json', 'updated_at', 'primary'],
          ] as const,
        };
  const read = (agent: string, which: 0 | 1): Fields => {
    const { file, rows } = place(agent);
    const [table, key, value, , name] = rows[which];
    const row = withDatabase(file, (db) =>
      db.prepare(`SELECT ${value} AS v FROM ${table} WHERE ${key} = ?`).get(name),
    );
    return row === undefined
      ? { version: 1, ...(which === 0 ? { profiles: {} } : {}) }
      : JSON.parse(String(row.v));
  };
  const write = (agent: string, which: 0 | 1, value: Fields) => {
    const { file, rows } = place(agent);
    const [table, key, column, time, name] = rows[which];
    withDatabase(file, (db) =>
      db
        .prepare(
          `INSERT INTO ${table} (${key}, ${column}, ${time}) VALUES (?, ?, ?) ON CONFLICT (${key}) DO UPDATE SET ${column} = excluded.${column}`,
        )
        .run(name, JSON.stringify(value), Date.now()),
    );
  };
  const fill = (
    agent: string,
    profiles: Record<string, Login | Fields> | undefined,
    selection: Fields | null | undefined,
  ) => {
    if (profiles !== undefined) {
      const entries = Object.entries(profiles).map(([id, entry]) => [
        id,
        isLogin(entry) ? entryOf(entry) : entry,
      ]);
      write(agent, 0, { version: 1, profiles: Object.fromEntries(entries) });
    }
    if (selection) write(agent, 1, { version: 1, ...selection });
  };
  if (shared) {
    withDatabase(stateDatabase, (db) =>
      db
        .prepare(
          'INSERT INTO config_machine_state VALUES (\'auth.sharedStore\', \'{"location":"state-db"}\', 1)',
        )
        .run(),
    );
  }
  fill('main', options.profiles ?? {}, options.selection);
  for (const [agent, own] of Object.entries(options.agents ?? {}))
    if (own !== null) fill(agent, own.profiles, own.selection);
  if (shared)
    for (const [key, entry] of Object.entries(options.sessions ?? {}))
      addSession(agentDatabase(), key, entry);
  const names = ['main', ...Object.keys(options.agents ?? {})];
  const config = names.length > 1 ? { agents: { list: names.map((id) => ({ id })) } } : {};
  writeFileSync(path.join(dir, 'openclaw.json'), JSON.stringify({ ...config, ...options.config }), {
    mode: 0o600,
  });
  const state: SqliteState = {
    dir,
    release,
    store,
    stateDatabase,
    agentDatabase,
    put: (id, entry, agent = 'main') => {
      const document = read(agent, 0);
      const profiles = { ...(document.profiles as Record<string, Fields>) };
      if (entry === null) delete profiles[id];
      else profiles[id] = entry;
      write(agent, 0, { ...document, profiles });
    },
    choose: (selection, agent = 'main') => write(agent, 1, { ...read(agent, 1), ...selection }),
    profiles: (agent = 'main') => read(agent, 0).profiles as Record<string, Fields>,
    selection: (agent = 'main') => read(agent, 1),
    session: (key) =>
      withDatabase(agentDatabase(), (db) => {
        const row = db.prepare('SELECT * FROM session_nodes WHERE session_key = ?').get(key);
        if (row === undefined) throw new Error(`no session ${key}`);
        return { row, entry: JSON.parse(String(row.entry_json)) };
      }),
    integrity: () => {
      const files = [
        stateDatabase,
        ...names.filter((name) => name === 'main' || options.agents?.[name] !== null).map(agentDatabase),
      ];
      const said = files.map((file) =>
        withDatabase(file, (db) =>
          [
            db.prepare('PRAGMA integrity_check').get()?.integrity_check,
            db.prepare('PRAGMA foreign_key_check').all().length,
          ].join(),
        ),
      );
      return said.every((text) => text === 'ok,0') ? 'ok' : said.join(' ');
    },
  };
  return state;
}

/** Adds an entry as the host does: valid, with its own time. */
export function addSession(file: string, key: string, fields: Fields): void {
  const entry = { sessionId: `session of ${key}`, updatedAt: 1000, ...fields };
  withDatabase(file, (db) => {
    db.exec('BEGIN');
    db.prepare(
      'INSERT INTO session_nodes (session_key, current_session_id, entry_json, updated_at) VALUES (?, ?, ?, ?)',
    ).run(key, entry.sessionId, JSON.stringify(entry), entry.updatedAt);
    db.prepare('UPDATE session_nodes SET entry_valid = 1 WHERE session_key = ?').run(key);
    db.exec('COMMIT');
  });
}

function create(file: string, release: SqliteRelease, role: 'state' | 'agent'): void {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, '', { mode: 0o600 });
  const sql = readFileSync(
    fileURLToPath(new URL(`./schemas/${release}-${role}.sql`, import.meta.url)),
    'utf8',
  );
  withDatabase(file, (db) => db.exec(sql));
}

function isLogin(value: Login | Fields): value is Login {
  return 'idToken' in value && 'nonce' in value;
}

export const CHATS: Record<string, Fields> = {
  'agent:main:main': {
    updatedAt: 5000,
    chatType: 'direct',
    delivery: {
      kind: 'external',
      route: { channel: 'telegram', accountId: 'default', target: { to: 'telegram:1001' } },
      origin: { from: 'telegram:1001', provider: 'telegram' },
    },
  },
  'agent:main:telegram:slash:1001': { updatedAt: 900, chatType: 'direct', delivery: { kind: 'none' } },
  'agent:main:telegram:group:-100200': {
    updatedAt: 4000,
    chatType: 'group',
    delivery: { kind: 'external', route: { channel: 'telegram' } },
    authProfileOverride: 'anthropic:default',
    authProfileOverrideSource: 'user',
  },
  'agent:main:subagent:99999999-9999-4999-8999-999999999999': {
    updatedAt: 6000,
    spawnedBy: 'agent:main:main',
  },
};

export { loginOf };
