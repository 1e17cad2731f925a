import { isObject, type Json, type JsonObject } from '../json.js';
import type { Choice } from '../slot/slot.js';

/**
 * Order, lastGood and usageStats: how OpenClaw chooses among the profiles of a provider. The same three groups lie in
 * auth-profiles.json (to 4.5), or in auth-state.json (from 4.7) and the state rows (from 6.5), whose entries win key by key
 * where both have them.
 */
export const STATE_GROUPS: readonly string[] = ['order', 'lastGood', 'usageStats'];

/** Whose choice. */
export interface SelectionKey {
  readonly provider: string;
  readonly profileId: string;
}

/**
 * What the host effectively reads; `layers` from weakest to strongest.
 * @param logins the ids of the provider's logins; in the openai-codex stores no other id may follow the slot either.
 */
export function isSelectable(
  layers: readonly JsonObject[],
  key: SelectionKey,
  logins: ReadonlySet<string>,
): boolean {
  const order = lookUp(layers, 'order', key.provider);
  const [first, ...rest] = Array.isArray(order) ? order : [];
  return (
    first === key.profileId &&
    rest.every((id) => key.provider === RENAMED_TO && typeof id === 'string' && !logins.has(id)) &&
    lookUp(layers, 'lastGood', key.provider) === key.profileId &&
    !layers.some((layer) => namesRenamed(layer, key.provider))
  );
}

/** Null when it is silent. */
export function lastGoodIn(layers: readonly JsonObject[], provider: string): string | null {
  const good = lookUp(layers, 'lastGood', provider);
  return typeof good === 'string' ? good : null;
}

/** The ids that order and lastGood name; empty when both are silent. */
export function namedBy(layers: readonly JsonObject[], provider: string): readonly string[] {
  const order = lookUp(layers, 'order', provider);
  const good = lookUp(layers, 'lastGood', provider);
  const ids = [...(Array.isArray(order) ? order : []), good];
  return [...new Set(ids.filter((id) => typeof id === 'string'))];
}

/** Whether an agent's own store leaves the choice, and what is known of the slot, to main's. */
export function isSilent(layers: readonly JsonObject[], { provider, profileId }: SelectionKey): boolean {
  return (
    lookUp(layers, 'order', provider) === undefined &&
    lookUp(layers, 'lastGood', provider) === undefined &&
    statsOf(layers, profileId) === undefined &&
    !layers.some((layer) => namesRenamed(layer, provider))
  );
}

/** 6.1 renamed the provider; its doctor left order, lastGood and statistics under the old names (6.1 to 9.6). */
const RENAMED_FROM = 'openai-codex';
const RENAMED_TO = 'openai';

function namesRenamed(doc: JsonObject, provider: string): boolean {
  if (provider !== RENAMED_TO) return false;
  return ['order', 'lastGood'].some((group) => {
    const entries = doc[group];
    return isObject(entries) && Object.hasOwn(entries, RENAMED_FROM);
  });
}

/** Drops what an upgrade left under the old provider's name: it chooses among profiles that are no longer there. */
export function forgetRenamed(doc: JsonObject, provider: string, profiles: JsonObject): JsonObject {
  if (provider !== RENAMED_TO) return doc;
  const ordered = setIn(doc, 'order', RENAMED_FROM, undefined);
  const good = setIn(ordered, 'lastGood', RENAMED_FROM, undefined);
  const stats = isObject(good.usageStats) ? Object.keys(good.usageStats) : [];
  return stats
    .filter((id) => id.startsWith(`${RENAMED_FROM}:`) && !Object.hasOwn(profiles, id))
    .reduce((next, id) => setIn(next, 'usageStats', id, undefined), good);
}

export function statsOf(layers: readonly JsonObject[], profileId: string): Json | undefined {
  return lookUp(layers, 'usageStats', profileId);
}

function lookUp(layers: readonly JsonObject[], group: string, key: string): Json | undefined {
  let found: Json | undefined;
  for (const layer of layers) {
    const entries = layer[group];
    if (isObject(entries) && Object.hasOwn(entries, key)) found = entries[key];
  }
  return found;
}

/**
 * Makes the slot what unpinned and later sessions land on. lastGood matters beside the order: when the slot's refresh
 * fails, OpenClaw silently runs on lastGood's profile otherwise (seen on 3.28 and 5.7).
 */
export function select(doc: JsonObject, key: SelectionKey, behind: readonly string[] = []): JsonObject {
  const ordered = setIn(doc, 'order', key.provider, [key.profileId, ...behind]);
  return setIn(ordered, 'lastGood', key.provider, key.profileId);
}

/** Leaves the host its own choice among `ids`, the first before all others; nothing is named where there is none. */
export function leaveChoice(doc: JsonObject, provider: string, ids: readonly string[]): JsonObject {
  const ordered = setIn(doc, 'order', provider, ids.length > 0 ? [...ids] : undefined);
  return setIn(ordered, 'lastGood', provider, ids[0]);
}

/** Puts a choice back as it once was. */
export function putChoice(doc: JsonObject, provider: string, { order, lastGood }: Choice): JsonObject {
  const ordered = setIn(doc, 'order', provider, order === null ? undefined : [...order]);
  return setIn(ordered, 'lastGood', provider, lastGood ?? undefined);
}

/** Takes a profile out of everything that chooses, so that OpenClaw falls to what is left. */
export function deselect(doc: JsonObject, key: SelectionKey): JsonObject {
  const order = isObject(doc.order) ? doc.order[key.provider] : undefined;
  const rest = Array.isArray(order) ? order.filter((id) => id !== key.profileId) : [];
  let next = doc;
  if (order !== undefined) next = setIn(next, 'order', key.provider, rest.length > 0 ? rest : undefined);
  if (isObject(doc.lastGood) && doc.lastGood[key.provider] === key.profileId) {
    next = setIn(next, 'lastGood', key.provider, undefined);
  }
  return setIn(next, 'usageStats', key.profileId, undefined);
}

/** Forgets what this layer says of the provider: another one is what the host reads. */
export function forgetProvider(doc: JsonObject, key: SelectionKey): JsonObject {
  const ordered = setIn(doc, 'order', key.provider, undefined);
  const good = setIn(ordered, 'lastGood', key.provider, undefined);
  return setIn(good, 'usageStats', key.profileId, undefined);
}

export function setStats(doc: JsonObject, profileId: string, stats: JsonObject | null): JsonObject {
  return setIn(doc, 'usageStats', profileId, stats ?? undefined);
}

const COOLING = [
  'cooldownUntil',
  'cooldownReason',
  'cooldownModel',
  'disabledUntil',
  'disabledReason',
  'blockedUntil',
  'blockedReason',
  'blockedSource',
  'lastProbeAt',
  'errorCount',
  'failureCounts',
  'lastFailureAt',
];

/**
 * The statistics an identity brings back: as they were while a cooldown, a lock-out or a block is still running, else only when
 * the profile was last used; null when nothing is left to say.
 */
export function meaningfulStats(stats: JsonObject | null, now: number): JsonObject | null {
  if (stats === null) return null;
  const running = [stats.cooldownUntil, stats.disabledUntil, stats.blockedUntil].some(
    (until) => typeof until === 'number' && until > now,
  );
  if (running) return stats;
  const rest = Object.fromEntries(Object.entries(stats).filter(([key]) => !COOLING.includes(key)));
  return Object.keys(rest).length > 0 ? rest : null;
}

/** Without what was counted against a profile. */
export function awake(doc: JsonObject, profileId: string): JsonObject {
  const stats = statsOf([doc], profileId);
  if (!isObject(stats)) return doc;
  // In no time that is, nothing still runs.
  return setStats(doc, profileId, meaningfulStats(stats, Number.POSITIVE_INFINITY));
}

/** `doc[group][key]` set or (undefined) removed, everything else and its order kept; an emptied group goes too. */
export function setIn(doc: JsonObject, group: string, key: string, value: Json | undefined): JsonObject {
  const entries = doc[group];
  const before = isObject(entries) ? entries : {};
  if (value === undefined && !Object.hasOwn(before, key)) return doc;
  const after = Object.fromEntries(
    Object.entries(before).filter(([name]) => value !== undefined || name !== key),
  );
  const changed = value === undefined ? after : { ...after, [key]: value };
  if (Object.keys(changed).length > 0 || group === 'profiles') return { ...doc, [group]: changed };
  return Object.fromEntries(Object.entries(doc).filter(([name]) => name !== group));
}
