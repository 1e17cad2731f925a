import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { RouterError } from '../errors.js';
import type { JsonObject } from '../json.js';
import { writeAtomic } from '../os/atomic.js';
import type { Occupant, Revision, Slot, SlotAddress, SlotChange, SlotReading } from '../slot/slot.js';
import { type LockPatience, refreshLock, storeLock, withHostLocks } from './locks.js';
import { refuseForeignOwner } from './owner.js';
import {
  type EntryPlace,
  encodeEntry,
  isObject,
  parseEntry,
  parseNeighbour,
  parseState,
  parseStore,
  providerOf,
} from './profiles.js';
import type { ReleaseTraits } from './release.js';
import {
  deselect,
  forgetProvider,
  isSelectable,
  meaningfulStats,
  select,
  setIn,
  setStats,
  statsOf,
} from './selection.js';
import { isUnchanged, type JsonFile, type Patience, readJsonFile, statOf } from './store-file.js';

export interface JsonSlotPlace {
  readonly address: SlotAddress;
  readonly provider: string;
  readonly stateDir: string;
  /** The agent's auth-profiles.json; its folder may not exist yet. */
  readonly profilesPath: string;
  /** auth-state.json beside it. */
  readonly statePath: string;
  readonly traits: ReleaseTraits;
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
    read: async () => readingOf(place, await load(place)),
    replace: async (change) => await replace(place, change),
  };
}

/** Both files as they are now; a value is null when there is no such file. */
interface Loaded {
  readonly profiles: JsonFile | null;
  readonly state: JsonFile | null;
  /** auth.json of 2026.1 and before lies beside them. */
  readonly hasOlderStore: boolean;
}

const EMPTY: JsonObject = { version: 1, profiles: {} };

async function load(place: JsonSlotPlace): Promise<Loaded> {
  const profiles = await readJsonFile(place.profilesPath, 'SLOT_UNREADABLE', place.torn);
  const state = await readJsonFile(place.statePath, 'SLOT_UNREADABLE', place.torn);
  if (profiles !== null) parseStore(place.profilesPath, profiles.value);
  if (state !== null) parseState(place.statePath, state.value);
  const hasOlderStore = (await statOf(join(dirname(place.profilesPath), 'auth.json'))) !== null;
  return { profiles, state, hasOlderStore };
}

/** What this host chooses by, weakest first: auth-state.json wins over what auth-profiles.json still says. */
function layersOf(place: JsonSlotPlace, loaded: Loaded): readonly JsonObject[] {
  const base = loaded.profiles?.value ?? EMPTY;
  return loaded.state !== null && place.traits.stateFile ? [base, loaded.state.value] : [base];
}

function readingOf(place: JsonSlotPlace, loaded: Loaded): SlotReading {
  const { profileId } = place.address;
  const layers = layersOf(place, loaded);
  const entries = providerEntries(place, loaded);
  const own = entries.find(([id]) => id === profileId);
  const at = (id: string): EntryPlace => ({ path: place.profilesPath, id, provider: place.provider });
  return {
    // Hashed when it is asked for: who only looks needs none, and loading node:crypto would be most of a look.
    get revision() {
      return revisionOf(place, loaded);
    },
    occupant:
      own === undefined ? nobody(loaded) : parseEntry(at(profileId), own[1], statsOf(layers, profileId)),
    neighbours: entries
      .filter(([id]) => id !== profileId)
      .map(([id, entry]) => parseNeighbour(at(id), entry, statsOf(layers, id))),
    selectable: isSelectable(layers, { provider: place.provider, profileId }),
  };
}

/** OpenClaw imports an older store only while there is no auth-profiles.json: making one would bury what it holds. */
function nobody(loaded: Loaded): Occupant {
  if (loaded.profiles === null && loaded.hasOlderStore) {
    return { kind: 'foreign', what: 'an older auth.json, which OpenClaw imports on its next start' };
  }
  return { kind: 'absent' };
}

/** The slot's entry, whatever it is, and every other entry of its provider. */
function providerEntries(place: JsonSlotPlace, loaded: Loaded) {
  return Object.entries(profilesOf(loaded)).filter(
    ([id, entry]) => id === place.address.profileId || providerOf(entry) === place.provider,
  );
}

/** Order, lastGood and statistics stay out: the host changes them with every turn, and that is no conflict. */
function revisionOf(place: JsonSlotPlace, loaded: Loaded): Revision {
  const text = JSON.stringify(providerEntries(place, loaded));
  return createHash('sha256').update(text).digest('hex') as Revision;
}

async function replace(place: JsonSlotPlace, change: SlotChange): Promise<SlotReading> {
  await refuseForeignOwner([place.profilesPath, place.statePath], place.uid);
  const { profileId } = place.address;
  const locks = [
    ...(place.traits.refreshLock ? [refreshLock(place.stateDir, place.provider, profileId)] : []),
    storeLock(place.profilesPath),
  ];
  // Before the locks: making one can create folders, and nothing may appear where the store is refused.
  if (revisionOf(place, await load(place)) !== change.expect) throw slotChanged(place);
  return await withHostLocks(locks, place.lock, async () => {
    for (let attempt = 1; ; attempt += 1) {
      const loaded = await load(place);
      if (revisionOf(place, loaded) !== change.expect) throw slotChanged(place);
      try {
        await write(place, loaded, change);
        return readingOf(place, await load(place));
      } catch (error) {
        if (!(error instanceof MovedError)) throw error;
        if (attempt === 5) throw slotChanged(place);
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
  const next = changed(place, loaded, change);
  const writeState = async () => {
    if (next.state !== null) await writeDoc(place.statePath, loaded.state, next.state);
  };
  // The choice must not be written for a login that the host has just rotated.
  if (!(await isUnchanged(place.profilesPath, loaded.profiles?.bytes ?? null))) throw new MovedError();
  const occupied = Object.hasOwn(profilesOf(loaded), place.address.profileId);
  if (occupied) await writeState();
  await writeDoc(place.profilesPath, loaded.profiles, next.profiles);
  if (!occupied) await writeState();
}

function changed(
  place: JsonSlotPlace,
  loaded: Loaded,
  change: SlotChange,
): { readonly profiles: JsonObject; readonly state: JsonObject | null } {
  const { traits, provider } = place;
  const key = { provider, profileId: place.address.profileId };
  const takeOut = change.takeOut.filter((id) => id !== key.profileId);
  const { put } = change;

  const choose = (doc: JsonObject): JsonObject => {
    let next = put === null ? deselect(doc, key) : select(doc, key);
    if (put !== null && put !== 'keep') {
      next = setStats(next, key.profileId, meaningfulStats(put.selection, place.now()));
    }
    for (const id of takeOut) next = deselect(next, { provider, profileId: id });
    return next;
  };
  const silence = (doc: JsonObject): JsonObject =>
    [key.profileId, ...takeOut].reduce(
      (next, profileId) => forgetProvider(next, { provider, profileId }),
      doc,
    );

  let profiles = loaded.profiles?.value ?? EMPTY;
  if (put === null) profiles = setIn(profiles, 'profiles', key.profileId, undefined);
  else if (put !== 'keep') {
    profiles = setIn(profiles, 'profiles', key.profileId, encodeEntry(put, provider, traits.planField));
  }
  for (const id of takeOut) profiles = setIn(profiles, 'profiles', id, undefined);

  if (!traits.stateFile) {
    // A state file beside a release that does not read one is left for the release that will: kept in step.
    return { profiles: choose(profiles), state: loaded.state === null ? null : choose(loaded.state.value) };
  }
  // What auth-profiles.json still says from before 4.7 shows through where auth-state.json is silent.
  const state = choose(loaded.state?.value ?? { version: 1 });
  const says = loaded.state !== null || STATE_GROUPS.some((group) => Object.hasOwn(state, group));
  return { profiles: silence(profiles), state: says ? state : null };
}

const STATE_GROUPS = ['order', 'lastGood', 'usageStats'];

function profilesOf(loaded: Loaded): JsonObject {
  const profiles = loaded.profiles?.value.profiles;
  return isObject(profiles) ? profiles : {};
}

/** OpenClaw's own format: two blanks and a line break at the end. A document that would not change is not written. */
async function writeDoc(path: string, before: JsonFile | null, after: JsonObject): Promise<void> {
  if (before !== null && JSON.stringify(before.value) === JSON.stringify(after)) return;
  await writeAtomic(path, `${JSON.stringify(after, null, 2)}\n`, {
    beforeRename: async () => {
      if (!(await isUnchanged(path, before?.bytes ?? null))) throw new MovedError();
    },
  });
}

function slotChanged(place: JsonSlotPlace): RouterError {
  return new RouterError(
    'SLOT_CHANGED',
    `OpenClaw changed ${place.address.profileId} of agent ${place.address.agent} at the same moment`,
    { hint: 'run the command again; nothing was changed' },
  );
}
