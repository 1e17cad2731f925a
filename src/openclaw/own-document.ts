import { isObject, type JsonObject } from '../json.js';
import type { SlotChange } from '../slot/slot.js';
import { encodeEntry } from './profiles.js';
import {
  awake,
  deselect,
  lastGoodIn,
  meaningfulStats,
  namedBy,
  type SelectionKey,
  STATE_GROUPS,
  setIn,
  setStats,
  statsOf,
} from './selection.js';
import type { StoreDocuments, StoreShape } from './store-document.js';

/** As `changedDocuments` for an own slot: its entry, its statistics, and whatever chooses no longer names it. */
export function changedByOwn(
  { provider, profileId, stateApart, planField }: StoreShape,
  documents: StoreDocuments,
  { put, wake }: Pick<SlotChange, 'put' | 'wake'>,
  now: number,
): { readonly profiles: JsonObject; readonly state: JsonObject | null } {
  const key = { provider, profileId };
  let profiles = documents.profiles ?? { version: 1, profiles: {} };
  if (put === null) profiles = setIn(profiles, 'profiles', profileId, undefined);
  else if (put !== 'keep') {
    profiles = setIn(profiles, 'profiles', profileId, encodeEntry(put, provider, planField));
  }
  const stats = put === null || put === 'keep' ? null : meaningfulStats(put.selection, now);
  const unnamed = (doc: JsonObject): JsonObject => {
    const next = unchosen(doc, key);
    if (put !== 'keep') return setStats(next, profileId, stats);
    return wake ? awake(next, profileId) : next;
  };
  if (!stateApart) {
    return { profiles: unnamed(profiles), state: documents.state === null ? null : unnamed(documents.state) };
  }
  const state = unnamed(documents.state ?? { version: 1 });
  const says = documents.state !== null || STATE_GROUPS.some((group) => Object.hasOwn(state, group));
  const silent = put === 'keep' ? profiles : setStats(profiles, profileId, null);
  return { profiles: unchosen(silent, key), state: says ? state : null };
}

/** Without the profile in what chooses; its statistics stay. What the host last called good is then the first of its order again. */
function unchosen(doc: JsonObject, key: SelectionKey): JsonObject {
  const { provider, profileId } = key;
  if (!namedBy([doc], provider).includes(profileId)) return doc;
  const next = setStats(deselect(doc, key), profileId, statsObject(doc, profileId));
  const order = isObject(next.order) ? next.order[provider] : undefined;
  const [first] = Array.isArray(order) ? order : [];
  const isSilent = lastGoodIn([next], provider) === null;
  return isSilent && typeof first === 'string' ? setIn(next, 'lastGood', provider, first) : next;
}

function statsObject(doc: JsonObject, profileId: string): JsonObject | null {
  const stats = statsOf([doc], profileId);
  return isObject(stats) ? stats : null;
}
