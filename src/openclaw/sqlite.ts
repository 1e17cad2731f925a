import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type ErrorCode, RouterError } from '../errors.js';
import type { LockPatience } from './locks.js';

export type SqlValue = string | number | bigint | null | Uint8Array;

export interface SqlRow {
  readonly [column: string]: SqlValue | undefined;
}

/** The few calls of a database that are needed here; `?` marks a parameter. */
export interface Sql {
  /** The first row; null when there is none. */
  row(sql: string, ...values: SqlValue[]): SqlRow | null;
  rows(sql: string, ...values: SqlValue[]): readonly SqlRow[];
  /** How many rows it changed. */
  run(sql: string, ...values: SqlValue[]): number;
}

interface Statement {
  all(...values: SqlValue[]): SqlRow[];
  get(...values: SqlValue[]): SqlRow | undefined;
  run(...values: SqlValue[]): { readonly changes: number | bigint };
}

interface Database {
  prepare(sql: string): Statement;
  exec(sql: string): void;
  close(): void;
}

interface Sqlite {
  readonly DatabaseSync: new (path: string, options?: { readonly readOnly?: boolean }) => Database;
}

/** Whether this Node has `node:sqlite` (22.13 and later; each OpenClaw with SQLite needs a newer one). */
export function hasSqlite(): boolean {
  return loadSqlite() !== null;
}

/** Node says on the first load that the module is experimental: OpenClaw itself rests on it, and a person cannot act on it. */
function loadSqlite(): Sqlite | null {
  const emitWarning = process.emitWarning;
  process.emitWarning = () => undefined;
  try {
    return parseModule(process.getBuiltinModule?.('node:sqlite'));
  } finally {
    process.emitWarning = emitWarning;
  }
}

function parseModule(found: unknown): Sqlite | null {
  if (typeof found !== 'object' || found === null || !('DatabaseSync' in found)) return null;
  return found as Sqlite;
}

/**
 * Runs `look` on a database without changing a byte of it: no file is left beside it that was not there, but for the index (`-shm`)
 * of a log that a dead process left.
 * @throws `code` for what is no database or a damaged one, HOST_BUSY, HOST_NODE_TOO_OLD, IO.
 */
export type Read = <T>(path: string, code: ErrorCode, look: (sql: Sql) => T) => T;

/** The databases of one host, for one command: a connection that looks is kept, because opening one parses its whole schema. */
export interface Databases {
  readonly read: Read;
  /** As `withWriting`. */
  write<T>(path: string, code: ErrorCode, patience: LockPatience, work: (sql: Sql) => T): Promise<T>;
  close(): void;
}

interface Kept {
  readonly database: Database;
  /** What the file was when a connection without its log was opened; null for one that reads the log. */
  readonly stamp: string | null;
}

/** Opens nothing yet. Without `close` the connections end with the process. */
export function openDatabases(): Databases {
  const kept = new Map<string, Kept>();
  const forget = (path: string) => {
    kept.get(path)?.database.close();
    kept.delete(path);
  };
  const connection = (path: string): Database => {
    // Without a log nobody is writing, and a plain read-only connection would leave a log and an index of its own behind.
    const stamp = existsSync(`${path}-wal`) ? null : stampOf(path);
    const known = kept.get(path);
    if (known !== undefined && known.stamp === stamp) return known.database;
    forget(path);
    const location = stamp === null ? path : `${pathToFileURL(path).href}?immutable=1`;
    const database = open(location, true);
    kept.set(path, { database, stamp });
    database.exec('PRAGMA busy_timeout = 2000');
    return database;
  };
  return {
    read: (path, code, look) => guarded(path, code, () => look(sqlOf(connection(path)))),
    write: async (path, code, patience, work) => {
      // The last connection that closes tidies the log away: it must be the one that wrote.
      forget(path);
      return await withWriting(path, code, patience, work);
    },
    close: () => {
      for (const path of [...kept.keys()]) forget(path);
    },
  };
}

/** One look on its own. */
export const withReading: Read = (path, code, look) => {
  const databases = openDatabases();
  try {
    return databases.read(path, code, look);
  } finally {
    databases.close();
  }
};

function stampOf(path: string): string {
  const { ino, size, mtimeNs } = statSync(path, { bigint: true });
  return `${ino} ${size} ${mtimeNs}`;
}

/**
 * Runs `work` in one `BEGIN IMMEDIATE` transaction, as OpenClaw itself writes; what it throws rolls back. The database must exist:
 * none is ever made here, and its journal mode, file and schema stay as they are.
 * @throws HOST_BUSY past `patience`; else as `withReading`.
 */
async function withWriting<T>(
  path: string,
  code: ErrorCode,
  patience: LockPatience,
  work: (sql: Sql) => T,
): Promise<T> {
  const deadline = performance.now() + patience.waitMs;
  for (let tries = 1; ; tries += 1) {
    if (tries > 1) patience.signal?.throwIfAborted();
    const done = guarded(path, code, () => attempt(path, work));
    if (done !== 'busy') return done.value;
    if (performance.now() >= deadline) throw busy(path);
    await new Promise((wake) => setTimeout(wake, 20));
  }
}

function attempt<T>(path: string, work: (sql: Sql) => T): { readonly value: T } | 'busy' {
  // A path without a file would become an empty database, one that is read-only would get a log that nobody can write.
  accessSync(path, constants.R_OK | constants.W_OK);
  accessSync(dirname(path), constants.W_OK);
  const database = open(path, false);
  try {
    // A short wait in SQLite and a long one outside it: Ctrl-C is heard between.
    database.exec('PRAGMA busy_timeout = 100; PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL');
    try {
      database.exec('BEGIN IMMEDIATE');
    } catch (error) {
      if (resultOf(error) === SQLITE.busy) return 'busy';
      throw error;
    }
    try {
      const value = work(sqlOf(database));
      database.exec('COMMIT');
      return { value };
    } catch (error) {
      rollBack(database);
      throw error;
    }
  } finally {
    database.close();
  }
}

/** A full disk has rolled back by itself, and says so with an error that must not hide the first one. */
function rollBack(database: Database): void {
  try {
    database.exec('ROLLBACK');
  } catch {
    return;
  }
}

function open(location: string, readOnly: boolean): Database {
  const sqlite = loadSqlite();
  if (sqlite === null) {
    throw new RouterError(
      'HOST_NODE_TOO_OLD',
      `this OpenClaw keeps its logins in SQLite, which Node ${process.versions.node} cannot read`,
      { hint: 'run codex-router with the Node that runs OpenClaw (22.13 or later)' },
    );
  }
  return new sqlite.DatabaseSync(location, { readOnly });
}

function sqlOf(database: Database): Sql {
  return {
    row: (sql, ...values) => database.prepare(sql).get(...values) ?? null,
    rows: (sql, ...values) => database.prepare(sql).all(...values),
    run: (sql, ...values) => Number(database.prepare(sql).run(...values).changes),
  };
}

/** SQLite's primary result codes (sqlite.org/rescode.html). */
const SQLITE = {
  error: 1,
  busy: 5,
  locked: 6,
  readOnly: 8,
  io: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  notADatabase: 26,
};

/** Null for an error that is not SQLite's. */
function resultOf(error: unknown): number | null {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return null;
  return error.errcode & 0xff;
}

function guarded<T>(path: string, code: ErrorCode, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const result = resultOf(error);
    if (result === null) throw systemTrouble(error, path);
    throw troubleOf(path, code, result, error);
  }
}

/** What `stat` says of the path. */
function systemTrouble(error: unknown, path: string): unknown {
  if (!(error instanceof Error) || !('syscall' in error)) return error;
  return new RouterError(
    'IO',
    `cannot use ${path}: ${'code' in error ? String(error.code) : error.message}`,
    {
      hint: 'nothing was changed; look at the folder and run the command again',
      cause: error,
    },
  );
}

function troubleOf(path: string, code: ErrorCode, result: number, cause: unknown): RouterError {
  if (result === SQLITE.busy || result === SQLITE.locked) return busy(path);
  if (result === SQLITE.corrupt || result === SQLITE.notADatabase || result === SQLITE.error) {
    const why =
      result === SQLITE.error ? 'its tables are not as this release has them' : 'the database is damaged';
    return new RouterError(code, `cannot understand ${path}: ${why}`, {
      hint: 'stop OpenClaw and run openclaw doctor --fix; nothing was changed',
      cause,
    });
  }
  const why =
    new Map([
      [SQLITE.readOnly, 'it is read-only'],
      [SQLITE.full, 'the disk is full'],
      [SQLITE.cannotOpen, 'it cannot be opened'],
      [SQLITE.io, 'the disk failed'],
    ]).get(result) ?? `SQLite refused (${result})`;
  return new RouterError('IO', `cannot use ${path}: ${why}`, {
    hint: 'nothing was changed; look at the disk and the permissions, then run the command again',
    cause,
  });
}

function busy(path: string): RouterError {
  return new RouterError('HOST_BUSY', `another process is writing ${path}`, {
    hint: 'wait for it to end and run the command again; nothing was changed',
  });
}
