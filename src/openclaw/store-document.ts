import { createHash } from 'node:crypto';
import { RouterError } from '../errors.js';
import { isObject, type Json, type JsonObject } from '../json.js';
import { isOwnSlot } from '../slot/own-slot.js';
import type { Neighbour, Occupant, Revision, SlotAddress, SlotChange, SlotReading } from '../slot/slot.js';
import { changedByOwn } from './own-document.js';
import { type EntryPlace, encodeEntry, parseEntry, parseNeighbour, providerOf } from './profiles.js';
import {
  awake,
  deselect,
  forgetProvider,
  forgetRenamed,
  isSelectable,
  isSilent,
  lastGoodIn,
  leaveChoice,
  meaningfulStats,
  namedBy,
  putChoice,
  STATE_GROUPS,
  select,
  setIn,
  setStats,
  statsOf,
} from './selection.js';

/**
 * One store's logins and what chooses among them, as OpenClaw's two JSON documents have it: files in the JSON layouts, rows in the
 * SQLite ones, one object in its SDK. A document that is not there is null.
 */
export interface StoreDocuments {
  readonly profiles: JsonObject | null;
  readonly state: JsonObject | null;
}

/** What decides how those documents are read and written. */
export interface StoreShape {
  readonly provider: string;
  readonly profileId: string;
  /** Where the documents lie, for messages. */
  readonly path: string;
  /** Order, lastGood and usageStats are in `state`, not in `profiles` (from 4.7). */
  readonly stateApart: boolean;
  /** An entry may name its plan as `chatgptPlanType` (from 4.24). */
  readonly planField: boolean;
  /** An agent's own store whose silence means main's: without an entry of its own it should choose nothing. */
  readonly overMain: boolean;
  /** An own slot: nothing that chooses may name it, and what chooses is not ours to change for its sake. */
  readonly isOwn?: boolean;
}

const EMPTY: JsonObject = { version: 1, profiles: {} };

/** What an adapter knows of a store beside its documents. */
export interface StoreKnowledge {
  /** What a slot without an entry is; absent by default. */
  readonly nobody?: Occupant;
  /** Entries whose tokens could not be had, and why. */
  readonly sealed?: ReadonlyMap<string, string>;
}

/** @throws SLOT_UNREADABLE for a login in the slot with fields of the wrong type; neighbours never throw. */
export function readingOf(
  shape: StoreShape,
  documents: StoreDocuments,
  known: StoreKnowledge = {},
): SlotReading {
  const { profileId, provider } = shape;
  const layers = layersOf(shape, documents);
  const entries = providerEntries(shape, documents);
  const own = entries.find(([id]) => id === profileId);
  const at = (id: string): EntryPlace => ({ path: shape.path, id, provider });
  const closed = (id: string) => {
    const why = known.sealed?.get(id);
    const what = `a sealed login that cannot be opened (${why})`;
    return why === undefined ? null : ({ kind: 'foreign', what } as const);
  };
  const occupant =
    own === undefined
      ? (known.nobody ?? { kind: 'absent' as const })
      : (closed(profileId) ?? parseEntry(at(profileId), own[1], statsOf(layers, profileId)));
  return {
    // Hashed when it is asked for: who only looks needs none, and loading node:crypto would be most of a look.
    get revision() {
      return revisionOf(shape, documents);
    },
    occupant,
    neighbours: entries
      .filter(([id]) => id !== profileId)
      .map(([id, entry]): Neighbour => {
        const foreign = closed(id);
        return foreign === null
          ? parseNeighbour(at(id), entry, statsOf(layers, id))
          : { profileId: id, ...foreign };
      }),
    selectable: isAsMeant(shape, documents),
    order: Array.isArray(storedOrderOrNone(shape, documents)) ? storedOrder(shape, documents) : null,
    lastGood: lastGoodIn(layers, provider),
    named: namedBy(layers, provider),
  };
}

function isAsMeant(shape: StoreShape, documents: StoreDocuments): boolean {
  const { profileId, provider } = shape;
  const layers = layersOf(shape, documents);
  // lastGood is the host's own memory: 5.7 names there whatever the last turn of any session ran on.
  if (shape.isOwn) return !storedOrder(shape, documents).includes(profileId);
  const key = { provider, profileId };
  return shape.overMain && !Object.hasOwn(profilesOf(documents), profileId)
    ? isSilent(layers, key)
    : isSelectable(layers, key, loginIds(shape, documents));
}

/** Order, lastGood and statistics stay out: the host changes them with every turn, and that is no conflict. */
export function revisionOf(shape: StoreShape, documents: StoreDocuments): Revision {
  return parseRevision(JSON.stringify(providerEntries(shape, documents)));
}

/** @param text the part of a store that makes one of its states differ from another. */
function parseRevision(text: string): Revision {
  return createHash('sha256').update(text).digest('hex') as Revision;
}

/** What a slot throws when its store is not of the revision that a change was decided on. */
export function slotChanged({ profileId, agent }: SlotAddress): RouterError {
  return new RouterError(
    'SLOT_CHANGED',
    `OpenClaw changed ${profileId} of agent ${agent} at the same moment`,
    {
      hint: 'run the command again; nothing was changed',
    },
  );
}

/** The profiles whose refresh by the host must not be under way meanwhile. */
export function changedIds(
  { profileId }: Pick<SlotAddress, 'profileId'>,
  { takeOut }: Pick<SlotChange, 'takeOut'>,
): readonly string[] {
  return [...new Set([profileId, ...takeOut])];
}

/** Whether an id that is to be new in the store has an entry there, of whatever provider. */
export function isTaken(documents: StoreDocuments, { beside = [] }: Pick<SlotChange, 'beside'>): boolean {
  const profiles = profilesOf(documents);
  return beside.some(({ profileId }) => Object.hasOwn(profiles, profileId));
}

/** The documents after a change, pure: same objects where nothing changed. @param now ms epoch */
export function changedDocuments(
  shape: StoreShape,
  documents: StoreDocuments,
  { put, beside, choose: given, wake, ...change }: Omit<SlotChange, 'expect'>,
  now: number,
): { readonly profiles: JsonObject; readonly state: JsonObject | null } {
  if (shape.isOwn) return changedByOwn(shape, documents, { put, ...(wake && { wake }) }, now);
  const { provider, profileId } = shape;
  const key = { provider, profileId };
  const takeOut = change.takeOut.filter((id) => id !== profileId);
  let profiles = documents.profiles ?? EMPTY;
  const occupied = Object.hasOwn(profilesOf(documents), profileId);
  if (put === null) profiles = setIn(profiles, 'profiles', profileId, undefined);
  else if (put !== 'keep') {
    profiles = setIn(profiles, 'profiles', profileId, encodeEntry(put, provider, shape.planField));
  }
  for (const id of takeOut) profiles = setIn(profiles, 'profiles', id, undefined);
  for (const { profileId: id, holding } of beside ?? []) {
    profiles = setIn(profiles, 'profiles', id, encodeEntry(holding, provider, shape.planField));
  }

  const after: StoreDocuments = { profiles, state: documents.state };
  const kept = keptInOrder(shape, after);
  const arriving = (beside ?? []).map((one) => one.profileId);
  const choose = (doc: JsonObject): JsonObject => {
    let next = forgetRenamed(doc, provider, profilesOf({ profiles, state: null }));
    if (put === 'keep' && wake) next = awake(next, profileId);
    else if (put === 'keep' && given !== undefined) next = putChoice(next, provider, given);
    else if (beside !== undefined) next = leaveChoice(next, provider, choicesIn(shape, after, arriving));
    else if (put === null) next = deselect(next, key);
    else if (put === 'keep' && shape.overMain && !occupied) next = forgetProvider(next, key);
    else next = select(next, key, kept);
    if (put !== null && put !== 'keep') {
      next = setStats(next, profileId, meaningfulStats(put.selection, now));
    }
    for (const { profileId: id, holding } of beside ?? []) {
      next = setStats(next, id, meaningfulStats(holding.selection, now));
    }
    for (const id of takeOut) next = deselect(next, { provider, profileId: id });
    return next;
  };
  const silence = (doc: JsonObject): JsonObject =>
    [profileId, ...takeOut, ...arriving].reduce(
      (next, id) => forgetProvider(next, { provider, profileId: id }),
      doc,
    );

  if (!shape.stateApart) {
    // A state file beside a release that does not read one is left for the release that will: kept in step.
    return { profiles: choose(profiles), state: documents.state === null ? null : choose(documents.state) };
  }
  // What the profiles still say from before 4.7 shows through where the state is silent.
  const state = choose(documents.state ?? { version: 1 });
  const says = documents.state !== null || STATE_GROUPS.some((group) => Object.hasOwn(state, group));
  return { profiles: silence(profiles), state: says ? state : null };
}

export function profilesOf({ profiles }: StoreDocuments): JsonObject {
  const found = profiles?.profiles;
  return isObject(found) ? found : {};
}

/** What this host chooses by, weakest first: the state wins over what the profiles still say. */
function layersOf({ stateApart }: StoreShape, { profiles, state }: StoreDocuments): readonly JsonObject[] {
  const base = profiles ?? EMPTY;
  return state !== null && stateApart ? [base, state] : [base];
}

/** The slot's entry, whatever it is, and every other entry of its provider. */
function providerEntries({ provider, profileId }: StoreShape, documents: StoreDocuments) {
  return Object.entries(profilesOf(documents)).filter(
    ([id, entry]) => id === profileId || providerOf(entry) === provider,
  );
}

function loginIds(shape: StoreShape, documents: StoreDocuments): ReadonlySet<string> {
  const logins = providerEntries(shape, documents).filter(
    ([, entry]) => isObject(entry) && (entry.type ?? entry.mode) === 'oauth',
  );
  return new Set(logins.map(([id]) => id));
}

/**
 * The slot first, then who arrives, then what the order names and is there. Only where it names no login but the slot, as we leave it,
 * every other login that can be read follows too; never a person's own (`personal:*`), which OpenClaw has in no order.
 */
function choicesIn(
  shape: StoreShape,
  documents: StoreDocuments,
  arriving: readonly string[],
): readonly string[] {
  const { profileId, provider, path } = shape;
  const logins = loginIds(shape, documents);
  const entries = providerEntries(shape, documents);
  const order = storedOrder(shape, documents).filter((id) => entries.some(([there]) => there === id));
  const isOurs = !order.some((id) => id !== profileId && logins.has(id));
  const others = entries.flatMap(([id, entry]) => {
    const { kind } = parseNeighbour({ path, id, provider }, entry, undefined);
    return isOurs && kind === 'login' && !id.startsWith('personal:') && !isOwnSlot(id) ? [id] : [];
  });
  const own = logins.has(profileId) ? [profileId] : [];
  return [...new Set([...own, ...arriving, ...order, ...others, ...keptInOrder(shape, documents)])];
}

/** The order that this host effectively reads; empty when there is none. */
function storedOrder(shape: StoreShape, documents: StoreDocuments): readonly string[] {
  const stored = storedOrderOrNone(shape, documents);
  return Array.isArray(stored) ? stored.filter((id) => typeof id === 'string') : [];
}

function storedOrderOrNone(shape: StoreShape, documents: StoreDocuments): Json | undefined {
  return layersOf(shape, documents)
    .map(({ order }) => (isObject(order) ? order[shape.provider] : undefined))
    .findLast((ids) => ids !== undefined);
}

/**
 * From 6.1 the provider's API keys share its order with the logins. They stay behind the slot, as the person's own way out;
 * another login must not be there, because OpenClaw would take turns with it.
 */
function keptInOrder(shape: StoreShape, documents: StoreDocuments): readonly string[] {
  if (shape.provider !== 'openai') return [];
  const logins = loginIds(shape, documents);
  const others = providerEntries(shape, documents).map(([id]) => id);
  const hasOrder = Array.isArray(storedOrderOrNone(shape, documents));
  const ids = hasOrder ? storedOrder(shape, documents) : others;
  return ids.filter((id) => id !== shape.profileId && others.includes(id) && !logins.has(id));
}
