import { RouterError } from '../errors.js';
import { type JsonObject, parseJsonObject } from '../json.js';
import { type Read, type Sql, type SqlRow, withReading } from './sqlite.js';
import type { StoreDocuments } from './store-document.js';
import { statOf } from './store-file.js';

/** Which rows hold a store: those all agents share (8.1 and later), or those of one agent (6.5 and later). */
export type StoreRows = 'shared' | 'agent';

/** What a database says of itself; `null` where it has no such table or row. */
export interface StoredRow {
  readonly value: JsonObject;
  /** As it was stored, to tell whether it is still the same right before it is replaced. */
  readonly text: string;
}

export interface StoredRows {
  readonly profiles: StoredRow | null;
  readonly state: StoredRow | null;
}

const NOTHING: StoredRows = { profiles: null, state: null };

interface Place {
  readonly table: string;
  readonly key: string;
  readonly value: string;
  readonly time: string;
  /** The key of the row. */
  readonly name: string;
}

const PLACES: { readonly [rows in StoreRows]: { readonly profiles: Place; readonly state: Place } } = {
  shared: {
    profiles: sharedPlace('authProfiles.store'),
    state: sharedPlace('authProfiles.state'),
  },
  agent: {
    profiles: agentPlace('auth_profile_store', 'store'),
    state: agentPlace('auth_profile_state', 'state'),
  },
};

function sharedPlace(name: string): Place {
  return {
    table: 'config_machine_state',
    key: 'state_key',
    value: 'value_json',
    time: 'updated_at_ms',
    name,
  };
}

function agentPlace(table: string, what: string): Place {
  return { table, key: `${what}_key`, value: `${what}_json`, time: 'updated_at', name: 'primary' };
}

/** @throws SLOT_UNREADABLE for a row that is not a JSON object. */
export function readRows(sql: Sql, path: string, rows: StoreRows): StoredRows {
  const { profiles, state } = PLACES[rows];
  if (!hasTable(sql, profiles.table)) return NOTHING;
  return { profiles: readRow(sql, path, profiles), state: readRow(sql, path, state) };
}

function readRow(sql: Sql, path: string, { table, key, value: column, name }: Place): StoredRow | null {
  const row = sql.row(`SELECT ${column} AS value FROM ${table} WHERE ${key} = ?`, name);
  if (row === null) return null;
  const text = row.value;
  const value = typeof text === 'string' ? parseJsonObject(text) : null;
  if (typeof text === 'string' && value !== null) return { value, text };
  throw new RouterError('SLOT_UNREADABLE', `cannot understand ${path}: ${table} holds no JSON object`, {
    hint: 'openclaw doctor says what is wrong; nothing was changed, and it is never taken for an empty one',
  });
}

/** Writes what differs from what was read. @param now ms epoch, for the row's own time. */
export function writeRows(
  sql: Sql,
  rows: StoreRows,
  before: StoredRows,
  after: StoreDocuments,
  now: number,
): void {
  const places = PLACES[rows];
  writeRow(sql, places.profiles, before.profiles, after.profiles, now);
  writeRow(sql, places.state, before.state, after.state, now);
}

function writeRow(
  sql: Sql,
  { table, key, value, time, name }: Place,
  before: StoredRow | null,
  after: JsonObject | null,
  now: number,
): void {
  if (after === null || before?.value === after) return;
  const text = JSON.stringify(after);
  if (before?.text === text) return;
  sql.run(
    `INSERT INTO ${table} (${key}, ${value}, ${time}) VALUES (?, ?, ?)
     ON CONFLICT (${key}) DO UPDATE SET ${value} = excluded.${value}, ${time} = excluded.${time}`,
    name,
    text,
    now,
  );
}

/** Whether a database lies there; a pipe or a device is none, and opening one could wait for ever. @throws IO when the system refuses the look */
export async function isDatabase(path: string): Promise<boolean> {
  return (await statOf(path))?.isFile() ?? false;
}

export function hasTable(sql: Sql, name: string): boolean {
  return sql.row("SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = ?", name) !== null;
}

/** Where 8.1 and later keep the logins all agents share; the row is absent before the first of them is written. */
export type SharedLocation = 'state-db' | 'legacy-main';

/** What one database is, read in one look. */
export interface DatabaseLook {
  readonly path: string;
  /** `user_version` */
  readonly schema: number;
  /** Null where the database has no place for the shared store: before 8.1, and in an agent's own. */
  readonly shared: SharedLocation | null;
  readonly rows: StoredRows;
  /** The agents' databases as the shared one registers them: full paths through 7.35, relative ones from 8.1. */
  readonly registered: readonly string[];
}

/** @throws SLOT_UNREADABLE, HOST_UNSUPPORTED, HOST_BUSY, HOST_NODE_TOO_OLD, IO */
export function lookAt(path: string, rows: StoreRows, read: Read = withReading): DatabaseLook {
  return read(path, 'SLOT_UNREADABLE', (sql) => ({
    path,
    schema: schemaOf(sql),
    shared: rows === 'shared' ? sharedLocation(sql, path) : null,
    rows: readRows(sql, path, rows),
    registered: hasTable(sql, 'agent_databases')
      ? sql.rows('SELECT path FROM agent_databases').map(({ path: registered }) => String(registered))
      : [],
  }));
}

export function schemaOf(sql: Sql): number {
  return numberIn(sql.row('PRAGMA user_version'), 'user_version');
}

function numberIn(row: SqlRow | null, column: string): number {
  const value = row?.[column];
  return typeof value === 'number' ? value : Number(value ?? 0);
}

function sharedLocation(sql: Sql, path: string): SharedLocation | null {
  if (!hasTable(sql, 'config_machine_state')) return null;
  const row = sql.row(
    "SELECT value_json AS value FROM config_machine_state WHERE state_key = 'auth.sharedStore'",
  );
  if (row === null) return 'legacy-main';
  const location = typeof row.value === 'string' ? parseJsonObject(row.value)?.location : undefined;
  if (location === 'state-db' || location === 'legacy-main') return location;
  throw new RouterError('HOST_UNSUPPORTED', `${path} says in words unknown here where the logins are`, {
    hint: 'update codex-router; nothing was changed',
  });
}

/** While OpenClaw's doctor holds its lease, nobody else may write (9.6: `AGENT_DATABASE_MAINTENANCE_LEASE`). @param now ms epoch */
function isUnderMaintenance(sql: Sql, now: number): boolean {
  if (!hasTable(sql, 'state_leases')) return false;
  const row = sql.row(
    "SELECT expires_at AS until FROM state_leases WHERE scope = 'core:agent-database-maintenance' AND lease_key = 'global'",
  );
  return row !== null && (row.until === null || Number(row.until) > now);
}

/**
 * @param within an open transaction on `path`: the shared database is asked through it where it is the same one.
 * @throws HOST_BUSY while a lease is held in the shared database; nothing when there is no such database.
 */
export function refuseMaintenance(
  statePath: string | null,
  now: number,
  read: Read,
  within?: { readonly path: string; readonly sql: Sql },
): void {
  if (statePath === null) return;
  const held =
    within?.path === statePath
      ? isUnderMaintenance(within.sql, now)
      : read(statePath, 'HOST_UNREADABLE', (sql) => isUnderMaintenance(sql, now));
  if (!held) return;
  throw new RouterError(
    'HOST_BUSY',
    'OpenClaw is under maintenance (openclaw doctor), and may rewrite its stores',
    { hint: 'wait for it to end and run the command again; nothing was changed' },
  );
}
