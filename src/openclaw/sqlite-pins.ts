import { RouterError } from '../errors.js';
import { type JsonObject, parseJsonObject } from '../json.js';
import type { PinOutcome, Pins, SessionEntry, SessionSurvey } from '../slot/pins.js';
import { canonicalKey } from '../slot/session.js';
import type { LockPatience } from './locks.js';
import { refuseForeignOwner } from './owner.js';
import { isPinned, parseSessionEntry, pinnedEntry, pinOf } from './session-entry.js';
import type { Databases, Sql, SqlRow } from './sqlite.js';
import { hasTable, isDatabase, refuseMaintenance } from './sqlite-store.js';

export interface SqlitePinsPlace {
  readonly agent: string;
  /** The agent's own database; need not exist. */
  readonly path: string;
  readonly databases: Databases;
  /** The shared database, which tells of maintenance. */
  readonly statePath: string | null;
  readonly uid: number | null;
  readonly lock: LockPatience;
  readonly now: () => number;
}

/** `session_nodes` of one agent's database (8.1 and later): only the rows that are meant are read and written. */
export function sqlitePins(place: SqlitePinsPlace): Pins {
  const look = async <T>(nothing: T, from: (sql: Sql) => T): Promise<T> => {
    if (!(await isDatabase(place.path))) return nothing;
    return place.databases.read(place.path, 'HOST_UNREADABLE', (sql) =>
      hasTable(sql, 'session_nodes') ? from(sql) : nothing,
    );
  };
  return {
    agent: place.agent,
    read: async () => await look<SessionEntry[]>([], (sql) => entriesOf(place, sql.rows(ROWS))),
    survey: async (key) =>
      await look<SessionSurvey>({ entries: [], unread: 0 }, (sql) => survey(place, sql, key)),
    set: async (keys, profileId) => await setPins(place, keys, profileId),
  };
}

const ROWS =
  'SELECT session_key AS key, entry_json AS entry, updated_at AS at, entry_valid AS valid FROM session_nodes';

/** Enough to find the chat a person means, and few enough to cost nothing beside a switch. */
const RECENT = 100;

function survey(place: SqlitePinsPlace, sql: Sql, key: string | null): SessionSurvey {
  const found = new Map<string, SqlRow>();
  const add = (rows: readonly SqlRow[]) => {
    for (const row of rows) found.set(String(row.key), row);
  };
  add(sql.rows(`${ROWS} ORDER BY updated_at DESC LIMIT ${RECENT}`));
  // An index of the keys alone is searched: no other entry is read.
  add(
    sql.rows(
      `${ROWS} WHERE session_key IN (SELECT session_key FROM session_nodes WHERE session_key LIKE '%:slash:%')`,
    ),
  );
  for (const name of key === null ? [] : namesOf(place.agent, key))
    add(sql.rows(`${ROWS} WHERE session_key = ?`, name));
  const all = Number(sql.row('SELECT count(*) AS n FROM session_nodes')?.n ?? 0);
  const entries = entriesOf(place, [...found.values()]);
  return { entries, unread: all - entries.length };
}

/** The spellings a key can have in the store, and the key a thread hangs on. */
function namesOf(agent: string, key: string): string[] {
  const canonical = canonicalKey(key);
  const full = canonical.startsWith('agent:') ? canonical : `agent:${agent}:${canonical}`;
  const thread = full.lastIndexOf(':thread:');
  return [...new Set([key, canonical, full, ...(thread === -1 ? [] : [full.slice(0, thread)])])];
}

/** The row's own time counts: it is what OpenClaw sorts by. One that OpenClaw calls invalid may hold anything. */
function entriesOf(place: SqlitePinsPlace, rows: readonly SqlRow[]): SessionEntry[] {
  const whole = rows.filter((row) => isValid(row) || parseJsonObject(String(row.entry)) !== null);
  return whole.map((row) => {
    const { key, entry } = textRow(place, row);
    return { ...parseSessionEntry(key, entry), updatedAt: Number(row.at) };
  });
}

function isValid(row: SqlRow): boolean {
  return Number(row.valid) === 1;
}

function textRow(
  { path }: SqlitePinsPlace,
  row: SqlRow,
): { readonly key: string; readonly entry: JsonObject } {
  const entry = typeof row.entry === 'string' ? parseJsonObject(row.entry) : null;
  if (typeof row.key === 'string' && entry !== null) return { key: row.key, entry };
  throw new RouterError('HOST_UNREADABLE', `cannot understand ${path}: a session entry is not an object`, {
    hint: 'openclaw sessions says what is wrong; nothing was changed',
  });
}

async function setPins(
  place: SqlitePinsPlace,
  keys: readonly string[],
  profileId: string | null,
): Promise<readonly PinOutcome[]> {
  const gone = (key: string): PinOutcome => ({ key, was: null, is: null, result: 'gone' });
  if (keys.length === 0 || !(await isDatabase(place.path))) return keys.map(gone);
  await refuseForeignOwner([place.path, `${place.path}-wal`, `${place.path}-shm`], place.uid);
  const known = place.databases.read(place.path, 'HOST_UNREADABLE', (sql) =>
    hasTable(sql, 'session_nodes') ? keys.map((key) => pinNow(place, sql, key, profileId)) : keys.map(gone),
  );
  // A write takes the database from everybody, if only for a moment: none is begun for nothing.
  if (known.every((outcome) => outcome !== null)) return known;
  refuseMaintenance(place.statePath, place.now(), place.databases.read);
  return await place.databases.write(place.path, 'HOST_UNREADABLE', place.lock, (sql) => {
    refuseMaintenance(place.statePath, place.now(), place.databases.read, { path: place.path, sql });
    if (!hasTable(sql, 'session_nodes')) return keys.map(gone);
    return keys.map((key) => setPin(place, sql, key, profileId));
  });
}

/** The outcome for a key whose entry needs no write; null for one that does. */
function pinNow(place: SqlitePinsPlace, sql: Sql, key: string, profileId: string | null): PinOutcome | null {
  const row = rowOf(sql, key);
  if (row === null) return { key, was: null, is: null, result: 'gone' };
  if (!isValid(row)) {
    const pinned = pinOf(parseJsonObject(String(row.entry)) ?? {});
    return { key, was: pinned, is: pinned, result: 'pending', why: INVALID };
  }
  const { entry } = textRow(place, row);
  const was = pinOf(entry);
  return isPinned(entry, profileId) ? { key, was, is: was, result: 'already' } : null;
}

function rowOf(sql: Sql, key: string): SqlRow | null {
  const found = `${ROWS} WHERE session_key = ?`;
  return sql.row(found, key) ?? sql.row(found, canonicalKey(key));
}

function setPin(place: SqlitePinsPlace, sql: Sql, key: string, profileId: string | null): PinOutcome {
  const known = pinNow(place, sql, key, profileId);
  const row = rowOf(sql, key);
  if (known !== null || row === null) return known ?? { key, was: null, is: null, result: 'gone' };
  const { key: name, entry } = textRow(place, row);
  const was = pinOf(entry);
  const updatedAt = Math.max(place.now(), Number(row.at));
  const next = JSON.stringify({ ...pinnedEntry(entry, profileId), updatedAt });
  sql.run(
    'UPDATE session_nodes SET entry_json = ?, updated_at = ? WHERE session_key = ?',
    next,
    updatedAt,
    name,
  );
  // The first statement's triggers mark the row invalid, which no OpenClaw would read again; 21 and later validate it themselves.
  sql.run('UPDATE session_nodes SET entry_valid = 1 WHERE session_key = ?', name);
  const after = rowOf(sql, name);
  const proved = after !== null && isValid(after) && isPinned(textRow(place, after).entry, profileId);
  return { key, was, is: proved ? profileId : was, result: proved ? 'set' : 'pending' };
}

const INVALID =
  'OpenClaw has marked it invalid and reads no session while it is: stop the gateway and run openclaw doctor --fix';
