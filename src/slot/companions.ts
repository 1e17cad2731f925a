import type { SessionEntry } from './pins.js';
import { agentOf, canonicalKey, isChat, isSlash, keyRest } from './session.js';

export interface PinRules {
  readonly slotProfileId: string;
  readonly provider: string;
  /** The provider's name before the release renamed it; null where it never was. */
  readonly formerProvider: string | null;
  /** The ids the store holds; a pin to another one of the provider is dangling. */
  readonly knownProfileIds: ReadonlySet<string>;
}

/** Whether a profile id is one of the provider's, under its present name or its former one. */
export function isOfProvider(
  profileId: string,
  { provider, formerProvider }: Pick<PinRules, 'provider' | 'formerProvider'>,
): boolean {
  return [provider, formerProvider].some((name) => name !== null && profileId.startsWith(`${name}:`));
}

/**
 * DESIGN's word "companion": the existing entries that are pinned together with `key`, in the store's order. Empty for a
 * key that is not a chat. An entry pinned to another login stays out.
 */
export function companionsOf(key: string, entries: readonly SessionEntry[], rules: PinRules): string[] {
  const chat = entries.find((entry) => canonicalKey(entry.key) === canonicalKey(key));
  if (chat === undefined || !isChat(chat)) return [];
  const base = baseKey(chat.key);
  return entries
    .filter((entry) => entry !== chat && agentOf(entry.key) === agentOf(chat.key))
    .filter((entry) => {
      if (isSlash(entry.key)) return isSlashOf(entry, chat) && pinState(entry, rules) !== 'elsewhere';
      if (base === null || canonicalKey(entry.key) !== base || !isChat(entry)) return false;
      return ['slot', 'dangling'].includes(pinState(entry, rules));
    })
    .map((entry) => entry.key);
}

/** The key a thread hangs on; null for a key without one. */
function baseKey(key: string): string | null {
  const canonical = canonicalKey(key);
  const at = canonical.lastIndexOf(':thread:');
  return at === -1 ? null : canonical.slice(0, at);
}

/**
 * Same channel, sender and bot account. A slash entry last used in a group serves all chats of that person, so it is
 * nobody's companion; neither has a group chat one, because it has many senders.
 */
function isSlashOf(slash: SessionEntry, chat: SessionEntry): boolean {
  if (isManyPeople(keyRest(chat.key)) || (slash.from !== null && isManyPeople(canonicalKey(slash.from)))) {
    return false;
  }
  const [channel, user] = slashParts(slash);
  if (channel === null || user === null) return false;
  if (slash.accountId !== null && chat.accountId !== null && slash.accountId !== chat.accountId) return false;
  return channel === channelOf(chat) && sendersOf(chat).includes(user);
}

function slashParts(slash: SessionEntry): [channel: string | null, user: string | null] {
  const parts = /^(?:(.*?):)?slash:(.+)$/.exec(keyRest(slash.key));
  const channel = slash.channel === null ? (parts?.[1] ?? null) : canonicalKey(slash.channel);
  return [channel, parts?.[2] ?? null];
}

function isManyPeople(text: string): boolean {
  return /(^|:)(group|channel):/.test(text);
}

const DIRECT = /^(?:(.*?):)?(?:direct|dm):([^:]+)/;

function channelOf(chat: SessionEntry): string | null {
  const named = DIRECT.exec(keyRest(chat.key))?.[1]?.split(':')[0];
  return named ?? (chat.channel === null ? null : canonicalKey(chat.channel));
}

/** Who is at the other end: the key's own peer where it has one, else what the entry says of its last message. */
function sendersOf(chat: SessionEntry): string[] {
  const peer = DIRECT.exec(keyRest(chat.key))?.[2];
  if (peer !== undefined) return [peer];
  const said = [chat.from, chat.to].flatMap((text) => (text === null ? [] : [canonicalKey(text)]));
  return said.filter((text) => !isManyPeople(text)).map((text) => text.slice(text.lastIndexOf(':') + 1));
}

type PinState = 'none' | 'slot' | 'dangling' | 'elsewhere';

function pinState(entry: SessionEntry, rules: PinRules): PinState {
  const { pinnedTo } = entry;
  if (pinnedTo === null) return 'none';
  if (pinnedTo === rules.slotProfileId) return 'slot';
  const ours = pinnedTo.startsWith(`${rules.provider}:`) || isLeftOver(pinnedTo, rules);
  return ours && !rules.knownProfileIds.has(pinnedTo) ? 'dangling' : 'elsewhere';
}

function isLeftOver(pinnedTo: string, { formerProvider, knownProfileIds }: PinRules): boolean {
  return (
    formerProvider !== null && pinnedTo.startsWith(`${formerProvider}:`) && !knownProfileIds.has(pinnedTo)
  );
}

/**
 * The chats and slash entries that an upgrade of the host left pinned to an id of the provider's former name, in the store's order.
 * The next turn of each would drop the pin.
 */
export function leftOverPins(entries: readonly SessionEntry[], rules: PinRules): string[] {
  return entries
    .filter((entry) => entry.pinnedTo !== null && isLeftOver(entry.pinnedTo, rules))
    .filter((entry) => isChat(entry) || isSlash(entry.key))
    .map((entry) => entry.key);
}

export interface Affected {
  /** Keys whose account changes with the slot: pinned to it, pinned to a profile that is gone, or a chat without a pin. */
  readonly sessions: readonly string[];
  /** Keys pinned to another login (another provider, `personal:*`, another profile of the store): left alone. */
  readonly left: readonly string[];
}

/** What a switch of the slot does to one agent's sessions, in the store's order. */
export function affectedBy(entries: readonly SessionEntry[], rules: PinRules): Affected {
  const states = entries.map((entry) => ({ entry, state: pinState(entry, rules) }));
  return {
    sessions: states
      .filter(
        ({ entry, state }) => state === 'slot' || state === 'dangling' || (state === 'none' && isChat(entry)),
      )
      .map(({ entry }) => entry.key),
    left: states.filter(({ state }) => state === 'elsewhere').map(({ entry }) => entry.key),
  };
}
