import { RouterError } from '../errors.js';
import type { Slot, SlotAddress, SlotChange, SlotReading } from '../slot/slot.js';
import { type HostLock, type LockPatience, withHostLocks } from './locks.js';
import { refuseForeignOwner } from './owner.js';
import { parseState, parseStore } from './profiles.js';
import type { Databases, Sql } from './sqlite.js';
import {
  isDatabase,
  readRows,
  refuseMaintenance,
  type StoredRows,
  type StoreRows,
  writeRows,
} from './sqlite-store.js';
import {
  changedDocuments,
  changedIds,
  isTaken,
  readingOf,
  revisionOf,
  type StoreDocuments,
  type StoreShape,
  slotChanged,
} from './store-document.js';

export interface SqliteSlotPlace {
  readonly address: SlotAddress;
  readonly shape: StoreShape;
  /** The database that holds the store; need not exist for an agent's own. */
  readonly path: string;
  readonly databases: Databases;
  readonly rows: StoreRows;
  /** The shared database, which tells of maintenance; null where there is none. */
  readonly statePath: string | null;
  /** OpenClaw's refresh locks of these profiles, under the names its release may give them. */
  readonly locks: (profileIds: readonly string[]) => readonly HostLock[];
  readonly uid: number | null;
  readonly lock: LockPatience;
  readonly now: () => number;
}

/** The slot in the SQLite layouts: one entry in a JSON row and what chooses it, written in one transaction. */
export function sqliteSlot(place: SqliteSlotPlace): Slot {
  return {
    address: place.address,
    read: async () => {
      if (!(await isDatabase(place.path))) return readingOf(place.shape, { profiles: null, state: null });
      return place.databases.read(place.path, 'SLOT_UNREADABLE', (sql) =>
        readingOf(place.shape, load(place, sql).documents),
      );
    },
    replace: async (change) => await replace(place, change),
  };
}

interface Loaded {
  readonly rows: StoredRows;
  readonly documents: StoreDocuments;
}

function load({ path, rows: which, shape }: SqliteSlotPlace, sql: Sql): Loaded {
  const rows = readRows(sql, path, which);
  if (rows.profiles !== null) parseStore(path, rows.profiles.value, shape.provider);
  if (rows.state !== null) parseState(path, rows.state.value);
  return {
    rows,
    documents: { profiles: rows.profiles?.value ?? null, state: rows.state?.value ?? null },
  };
}

async function replace(place: SqliteSlotPlace, change: SlotChange): Promise<SlotReading> {
  const { path, shape, statePath, databases, now } = place;
  await refuseForeignOwner([path, `${path}-wal`, `${path}-shm`], place.uid);
  if (!(await isDatabase(path))) throw noDatabase(place);
  refuseMaintenance(statePath, now(), databases.read);
  return await withHostLocks(place.locks(changedIds(place.address, change)), place.lock, () =>
    databases.write(path, 'SLOT_UNREADABLE', place.lock, (sql) => {
      // Doctor may have begun while the locks were waited for.
      refuseMaintenance(statePath, now(), databases.read, { path, sql });
      const before = load(place, sql);
      if (revisionOf(shape, before.documents) !== change.expect || isTaken(before.documents, change))
        throw slotChanged(place.address);
      const after = changedDocuments(shape, before.documents, change, now());
      writeRows(sql, place.rows, before.rows, after, now());
      return readingOf(shape, load(place, sql).documents);
    }),
  );
}

/** An agent that never ran has no database, and only OpenClaw makes one. */
function noDatabase({ address }: SqliteSlotPlace): RouterError {
  return new RouterError('HOST_UNSUPPORTED', `agent ${address.agent} has no database yet`, {
    hint: 'send it one message in OpenClaw, or add --via sdk; nothing was changed',
  });
}
