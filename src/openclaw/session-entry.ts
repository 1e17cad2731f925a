import { isObject, type Json, type JsonObject } from '../json.js';
import type { SessionEntry } from '../slot/pins.js';

/**
 * Only the few fields that are needed are narrowed by hand: a schema per entry would take seconds on 10,000 of them. Where the
 * channel and the people are: beside the rest through 7.35, below `delivery` from 8.1.
 */
export function parseSessionEntry(key: string, entry: JsonObject): SessionEntry {
  const delivery = objectAt(entry.delivery);
  const route = objectAt(delivery.route);
  const context = objectAt(entry.deliveryContext ?? delivery.context);
  const origin = objectAt(entry.origin ?? delivery.origin);
  const nativeChat = text(origin.nativeChannelId);
  const sessionId = text(entry.sessionId);
  return {
    key,
    updatedAt: typeof entry.updatedAt === 'number' ? entry.updatedAt : 0,
    pinnedTo: pinOf(entry),
    pinSource: text(entry.authProfileOverrideSource) ?? (isCounted(entry) ? 'auto' : null),
    channel:
      text(entry.channel) ??
      text(entry.lastChannel) ??
      text(route.channel) ??
      text(context.channel) ??
      text(origin.provider),
    from: text(origin.from),
    to: text(entry.lastTo) ?? text(objectAt(route.target).to) ?? text(context.to) ?? text(origin.to),
    accountId:
      text(entry.lastAccountId) ?? text(route.accountId) ?? text(context.accountId) ?? text(origin.accountId),
    spawnedBy: text(entry.spawnedBy),
    ...(nativeChat !== null && { nativeChat }),
    ...(sessionId !== null && { sessionId }),
  };
}

/** A pin without a source and with a compaction count is OpenClaw's own (3.28 to 9.6). */
function isCounted({ authProfileOverrideCompactionCount: count }: JsonObject): boolean {
  return typeof count === 'number';
}

function objectAt(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {};
}

function text(value: Json | undefined): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

/** What the session is pinned to; null when to nothing. */
export function pinOf(entry: JsonObject): string | null {
  return text(entry[PIN]);
}

export function isPinned(entry: JsonObject, profileId: string | null): boolean {
  const {
    authProfileOverride: to,
    authProfileOverrideSource: source,
    authProfileOverrideCompactionCount: count,
  } = entry;
  if (profileId === null) return to === undefined && source === undefined && count === undefined;
  return to === profileId && source === 'user' && count === undefined;
}

/** A number in the compaction count makes OpenClaw read the pin as its own choice; an explicit `user` survives a reset. */
export function pinnedEntry(entry: JsonObject, profileId: string | null): JsonObject {
  const kept = Object.entries(entry).filter(
    ([key]) => key !== 'authProfileOverrideCompactionCount' && (profileId !== null || !key.startsWith(PIN)),
  );
  if (profileId === null) return Object.fromEntries(kept);
  return { ...Object.fromEntries(kept), authProfileOverride: profileId, authProfileOverrideSource: 'user' };
}

const PIN = 'authProfileOverride';
