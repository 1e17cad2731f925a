import { dirname, join } from 'node:path';
import { RouterError } from '../errors.js';
import { isObject, type JsonObject } from '../json.js';
import type { Occupant, Revision, Slot, SlotAddress, SlotChange, SlotReading } from '../slot/slot.js';
import { type HostLock, type LockPatience, storeLock, withHostLocks } from './locks.js';
import { refuseForeignOwner } from './owner.js';
import { parseState, parseStore } from './profiles.js';
import type { SealedPlace } from './sealed.js';
import { setIn } from './selection.js';
import {
  changedDocuments,
  changedIds,
  isTaken,
  profilesOf,
  readingOf,
  revisionOf,
  type StoreDocuments,
  type StoreShape,
  slotChanged,
} from './store-document.js';
import {
  isUnchanged,
  type JsonFile,
  type Patience,
  readJsonFile,
  statOf,
  writeUnchanged,
} from './store-file.js';

export interface JsonSlotPlace {
  readonly address: SlotAddress;
  /** Where sealed side files and their key are (5.12 to 5.28). */
  readonly sealing: Omit<SealedPlace, 'profileId'>;
  readonly shape: StoreShape;
  /** The agent's auth-profiles.json; its folder may not exist yet. */
  readonly profilesPath: string;
  /** auth-state.json beside it. */
  readonly statePath: string;
  /** OpenClaw's refresh locks of these profiles, under the names its release may give them; empty before 4.20. */
  readonly locks: (profileIds: readonly string[]) => readonly HostLock[];
  /** Our own user id; null where the platform has none. */
  readonly uid: number | null;
  readonly torn: Patience;
  readonly lock: LockPatience;
  readonly now: () => number;
}

/** The slot of one agent in the JSON layouts: one entry of auth-profiles.json and what chooses it. */
export function jsonSlot(place: JsonSlotPlace): Slot {
  return {
    address: place.address,
    read: async () => readingIn(place, await load(place)),
    replace: async (change) => await replace(place, change),
  };
}

/** Both files as they are now; a value is null when there is no such file. */
interface Loaded {
  readonly profiles: JsonFile | null;
  readonly state: JsonFile | null;
  /** auth.json of 2026.1 and before lies beside them. */
  readonly hasOlderStore: boolean;
  /** Both with the tokens of sealed side files in their entries. */
  readonly opened: StoreDocuments;
  /** Why an entry's side file could not be opened, by profile id. */
  readonly sealed: ReadonlyMap<string, string>;
}

async function load(place: JsonSlotPlace): Promise<Loaded> {
  const profiles = await readJsonFile(place.profilesPath, 'SLOT_UNREADABLE', place.torn);
  const state = await readJsonFile(place.statePath, 'SLOT_UNREADABLE', place.torn);
  if (profiles !== null) parseStore(place.profilesPath, profiles.value, place.shape.provider);
  if (state !== null) parseState(place.statePath, state.value);
  const hasOlderStore = (await statOf(join(dirname(place.profilesPath), 'auth.json'))) !== null;
  const documents = { profiles: profiles?.value ?? null, state: state?.value ?? null };
  return { profiles, state, hasOlderStore, ...(await opened(place, documents)) };
}

/** A refresh can change a side file and leave its entry as it was: what is compared and read are the tokens themselves. */
async function opened(
  place: JsonSlotPlace,
  documents: StoreDocuments,
): Promise<Pick<Loaded, 'opened' | 'sealed'>> {
  const sealed = new Map<string, string>();
  const found = Object.entries(profilesOf(documents)).filter(
    (each): each is [string, JsonObject] => isObject(each[1]) && (each[1].oauthRef ?? null) !== null,
  );
  if (documents.profiles === null || found.length === 0) return { opened: documents, sealed };
  const { openSealed } = await import('./sealed.js');
  let profiles = documents.profiles;
  for (const [profileId, entry] of found) {
    try {
      const whole = await openSealed(entry, { ...place.sealing, profileId });
      profiles = setIn(profiles, 'profiles', profileId, whole);
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      sealed.set(profileId, error.message);
    }
  }
  return { opened: { ...documents, profiles }, sealed };
}

function readingIn(place: JsonSlotPlace, loaded: Loaded): SlotReading {
  return readingOf(place.shape, loaded.opened, { nobody: nobody(loaded), sealed: loaded.sealed });
}

/** OpenClaw imports an older store only while there is no auth-profiles.json: making one would bury what it holds. */
function nobody(loaded: Loaded): Occupant {
  if (loaded.profiles === null && loaded.hasOlderStore) {
    return { kind: 'foreign', what: 'an older auth.json, which OpenClaw imports on its next start' };
  }
  return { kind: 'absent' };
}

function revisionIn(place: JsonSlotPlace, loaded: Loaded): Revision {
  return revisionOf(place.shape, loaded.opened);
}

async function replace(place: JsonSlotPlace, change: SlotChange): Promise<SlotReading> {
  await refuseForeignOwner([place.profilesPath, place.statePath], place.uid);
  const locks = [...place.locks(changedIds(place.address, change)), storeLock(place.profilesPath)];
  // Before the locks: making one can create folders, and nothing may appear where the store is refused.
  if (revisionIn(place, await load(place)) !== change.expect) throw slotChanged(place.address);
  return await withHostLocks(locks, place.lock, async () => {
    for (let attempt = 1; ; attempt += 1) {
      const loaded = await load(place);
      if (revisionIn(place, loaded) !== change.expect || isTaken(loaded.opened, change))
        throw slotChanged(place.address);
      try {
        await write(place, loaded, change);
        return readingIn(place, await load(place));
      } catch (error) {
        if (!(error instanceof MovedError)) throw error;
        if (attempt === 5) throw slotChanged(place.address);
      }
    }
  });
}

/** An unlocked writer of the host (3.28 has several) got between our read and our rename. */
class MovedError extends Error {}

/**
 * Two files, so a crash can fall between them. With a login in the slot the choice is written first: until the entry
 * follows, the old login answers as the one in order. With an empty slot the entry goes first, because an order that
 * names only missing profiles leaves OpenClaw nothing to run on (`resolveAuthProfileOrder`, 5.7 and 3.28).
 */
async function write(place: JsonSlotPlace, loaded: Loaded, change: SlotChange): Promise<void> {
  const documents = { profiles: loaded.profiles?.value ?? null, state: loaded.state?.value ?? null };
  const next = changedDocuments(place.shape, documents, change, place.now());
  const writeState = async () => {
    if (next.state !== null) await writeDoc(place.statePath, loaded.state, next.state);
  };
  // The choice must not be written for a login that the host has just rotated.
  if (!(await isUnchanged(place.profilesPath, loaded.profiles?.bytes ?? null))) throw new MovedError();
  const occupied = Object.hasOwn(profilesOf(documents), place.address.profileId);
  if (occupied) await writeState();
  await writeDoc(place.profilesPath, loaded.profiles, next.profiles);
  if (!occupied) await writeState();
}

/** OpenClaw's own format: two blanks and a line break at the end. A document that would not change is not written. */
async function writeDoc(path: string, before: JsonFile | null, after: JsonObject): Promise<void> {
  if (before !== null && JSON.stringify(before.value) === JSON.stringify(after)) return;
  const text = `${JSON.stringify(after, null, 2)}\n`;
  if (!(await writeUnchanged(path, text, before?.bytes ?? null))) throw new MovedError();
}
