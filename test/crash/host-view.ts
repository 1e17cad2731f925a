import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** A login as it lies in some program's store. */
export interface HeldLogin {
  /** `<file below the state directory>#<profile id>`; the shared store of all agents lies in `state`. */
  readonly place: string;
  readonly profileId: string;
  readonly access: string;
  readonly refresh: string;
}

export interface HostView {
  readonly logins: readonly HeldLogin[];
  /** `<agent>/<key>` */
  readonly sessions: readonly string[];
  /** What no OpenClaw could read, or SQLite finds wrong; empty is right. */
  readonly problems: readonly string[];
}

/**
 * What a state directory of any layout holds, read strictly: nothing torn, every login whole. It is not touched: a database is copied
 * with its log and the copy is opened, because opening one finishes what a killed writer left.
 */
export function viewHost(stateDir: string): HostView {
  const logins: HeldLogin[] = [];
  const sessions: string[] = [];
  const problems: string[] = [];
  const seen = { logins, sessions, problems };
  for (const file of filesBelow(stateDir)) {
    const name = path.relative(stateDir, file);
    try {
      if (/\.sqlite$/.test(name)) viewDatabase(file, name, seen);
      else if (/\/auth-profiles\.json$/.test(name))
        viewProfiles(parse(readFileSync(file, 'utf8')), name, seen);
      else if (/\/sessions\.json$/.test(name)) {
        const [, agent] = name.split('/');
        for (const [key, entry] of Object.entries(parse(readFileSync(file, 'utf8')))) {
          if (typeof object(entry).sessionId !== 'string') problems.push(`${name}: ${key} has no session id`);
          sessions.push(`${agent}/${key}`);
        }
      } else if (/\.json$/.test(name)) parse(readFileSync(file, 'utf8'));
    } catch (error) {
      problems.push(`${name}: ${error instanceof Error ? error.message : error}`);
    }
  }
  return seen;
}

type Seen = { readonly logins: HeldLogin[]; readonly sessions: string[]; readonly problems: string[] };
type Fields = { readonly [name: string]: unknown };

function viewProfiles(store: Fields, name: string, { logins, problems }: Seen): void {
  if (typeof store.version !== 'number') problems.push(`${name} has no version`);
  for (const [profileId, value] of Object.entries(object(store.profiles))) {
    const entry = object(value);
    if (entry.type !== 'oauth') continue;
    const { access, refresh, expires } = entry;
    if (typeof access !== 'string' || typeof refresh !== 'string' || typeof expires !== 'number') {
      problems.push(`${name}: ${profileId} is not a whole login`);
    } else logins.push({ place: `${name}#${profileId}`, profileId, access, refresh });
  }
}

const STORES = {
  config_machine_state:
    "SELECT value_json AS json FROM config_machine_state WHERE state_key = 'authProfiles.store'",
  auth_profile_store: "SELECT store_json AS json FROM auth_profile_store WHERE store_key = 'primary'",
};

function viewDatabase(file: string, name: string, seen: Seen): void {
  const folder = mkdtempSync(path.join(tmpdir(), 'codex-router-look-'));
  const copy = path.join(folder, 'copy.sqlite');
  try {
    for (const suffix of ['', '-wal', '-journal']) {
      if (existsSync(file + suffix)) copyFileSync(file + suffix, copy + suffix);
    }
    const { DatabaseSync } = process.getBuiltinModule('node:sqlite') as unknown as NodeSqlite;
    const database = new DatabaseSync(copy);
    try {
      const all = (sql: string) => database.prepare(sql).all();
      for (const row of [...all('PRAGMA integrity_check'), ...all('PRAGMA foreign_key_check')]) {
        if (row.integrity_check !== 'ok') seen.problems.push(`${name}: ${JSON.stringify(row)}`);
      }
      const tables = all("SELECT name FROM sqlite_master WHERE type = 'table'").map((row) => row.name);
      for (const [table, sql] of Object.entries(STORES)) {
        for (const { json } of tables.includes(table) ? all(sql) : []) {
          viewProfiles(parse(String(json)), name, seen);
        }
      }
      if (tables.includes('session_nodes')) {
        const [, agent] = name.split('/');
        for (const row of all('SELECT session_key AS key, entry_json AS json FROM session_nodes')) {
          parse(String(row.json));
          seen.sessions.push(`${agent}/${row.key}`);
        }
      }
    } finally {
      database.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface NodeSqlite {
  readonly DatabaseSync: new (
    file: string,
  ) => {
    prepare(sql: string): { all(): Fields[] };
    close(): void;
  };
}

/** @throws unless it is one JSON object */
function parse(text: string): Fields {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('holds no object');
  return value as Fields;
}

function object(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

export function filesBelow(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
}
