import { RouterError } from '../errors.js';
import { affectedBy, companionsOf, type PinRules } from '../slot/companions.js';
import type { Host } from '../slot/host.js';
import type { SessionEntry } from '../slot/pins.js';
import { canonicalKey, isChat, isSlash } from '../slot/session.js';
import { runningIn } from './carry-out.js';
import type { Home } from './failover-sessions.js';

/** Whom a switch of a slot moves beside the sessions that were named. */
export interface Others {
  readonly sessions: readonly string[];
  /** Agents whose chats, also those yet to come, run on the slot; those whose sessions cannot be read too. */
  readonly agents: readonly string[];
}

/** Who is concerned by a switch of one slot, for the sessions that were named. */
export interface Scope {
  /** The named ones and their companions: all that is ever written. */
  readonly written: readonly { readonly agent: string; readonly key: string }[];
  readonly others: Others;
  /** Whose activity holds the switch up: the named ones, and the others that would move. */
  readonly concerned: readonly SessionEntry[];
  /** Agents whose running turns are looked at. */
  readonly agents: readonly string[];
  /** Whether a running turn of this key is concerned: also one that has no entry yet. */
  readonly isConcerned: (key: string) => boolean;
}

/** For a slot that the named sessions alone are to leave: nobody else is looked at. @throws what `Pins.survey` throws */
export async function scopeOfNamed(host: Host, home: Home): Promise<Scope> {
  const named: SessionEntry[] = [];
  const written: { agent: string; key: string }[] = [];
  for (const agent of agentsOf(home)) {
    const keys = home.named.filter((one) => one.agent === agent).map(({ key }) => key);
    const own = await surveyed(host, agent, keys);
    const company = own.filter(({ key }) => keys.includes(key));
    named.push(...company);
    written.push(...writtenIn(agent, keys, own, rulesOf(host, home)));
  }
  const isOurs = belongsTo(written.map(({ key }) => key));
  return {
    written,
    others: { sessions: [], agents: [] },
    concerned: named,
    agents: agentsOf(home),
    isConcerned: (key) => isOurs({ key, spawnedBy: null }),
  };
}

/**
 * For a slot that is switched as a whole: everybody whose account changes with it. Of the entries that were not named only the key, the pin,
 * the time of the last turn and who spawned it are looked at.
 * @throws what `Host.slotsFor` throws; HOST_UNREADABLE for the sessions of an agent that was named
 */
export async function scopeOfSlot(host: Host, home: Home): Promise<Scope> {
  const group = await host.slotsFor(home.slot.address.agent);
  const rules = rulesOf(host, home, await neighboursOf(group.copies));
  const namedAgents = agentsOf(home);
  const follows = [...new Set([...group.follows, ...namedAgents])];
  const written: { agent: string; key: string }[] = [];
  const sessions: string[] = [];
  const unread: string[] = [];
  const concerned: SessionEntry[] = [];
  const elsewhere = new Set<string>();
  for (const agent of follows) {
    const keys = home.named.filter((one) => one.agent === agent).map(({ key }) => key);
    const entries = await entriesOf(host, agent, keys.length > 0);
    if (entries === null) {
      unread.push(agent);
      continue;
    }
    written.push(...writtenIn(agent, keys, entries, rules));
    const moving = movingIn(entries, home, rules);
    const isOurs = belongsTo(written.map(({ key }) => key));
    for (const entry of entries) {
      if (!moving.has(entry.key)) elsewhere.add(canonicalKey(entry.key));
      else concerned.push(entry);
      if (moving.has(entry.key) && !isOurs(entry)) sessions.push(entry.key);
    }
  }
  const agents = home.own === null ? follows.filter((agent) => !namedAgents.includes(agent)) : [];
  return {
    written,
    others: { sessions, agents: [...new Set([...agents, ...unread])] },
    concerned,
    agents: follows,
    isConcerned: (key) => !elsewhere.has(canonicalKey(key)),
  };
}

/**
 * Whether a turn of a concerned session runs, or was at work so lately that one may.
 * @param quietMs for how long none may have been
 */
export async function isBusy(host: Host, scope: Scope, quietMs: number, now: number): Promise<boolean> {
  // A time to come is no activity: some clock was set back.
  const isRecent = ({ key, updatedAt }: SessionEntry) => !isSlash(key) && Math.abs(now - updatedAt) < quietMs;
  if (scope.concerned.some(isRecent)) return true;
  const running = await runningIn(host, scope.agents);
  return running === null || [...running].some(scope.isConcerned);
}

/** The agents of the sessions that were named. */
function agentsOf({ named }: Home): readonly string[] {
  return [...new Set(named.map(({ agent }) => agent))];
}

async function surveyed(
  host: Host,
  agent: string,
  keys: readonly string[],
): Promise<readonly SessionEntry[]> {
  const found = new Map<string, SessionEntry>();
  for (const key of keys) {
    for (const entry of (await host.pinsOf(agent).survey(key)).entries) found.set(entry.key, entry);
  }
  return [...found.values()];
}

async function entriesOf(
  host: Host,
  agent: string,
  isNeeded: boolean,
): Promise<readonly SessionEntry[] | null> {
  try {
    return await host.pinsOf(agent).read();
  } catch (error) {
    if (isNeeded || !(error instanceof RouterError)) throw error;
    return null;
  }
}

async function neighboursOf(copies: readonly Home['slot'][]): Promise<readonly string[]> {
  const ids: string[] = [];
  for (const slot of copies) ids.push(...(await slot.read()).neighbours.map(({ profileId }) => profileId));
  return ids;
}

function rulesOf(host: Host, home: Home, more: readonly string[] = []): PinRules {
  const { provider, formerProvider } = host.summary;
  const slotProfileId = home.slot.address.profileId;
  return { slotProfileId, provider, formerProvider, knownProfileIds: new Set([...home.known, ...more]) };
}

function writtenIn(
  agent: string,
  keys: readonly string[],
  entries: readonly SessionEntry[],
  rules: PinRules,
): readonly { agent: string; key: string }[] {
  const all = keys.flatMap((key) => [key, ...companionsOf(key, entries, rules)]);
  return [...new Set(all)].map((key) => ({ agent, key }));
}

/** Whose turns run on the slot. An own slot has only those that are pinned to it. */
function movingIn(entries: readonly SessionEntry[], home: Home, rules: PinRules): ReadonlySet<string> {
  if (home.own !== null) {
    return new Set(entries.filter((one) => one.pinnedTo === rules.slotProfileId).map(({ key }) => key));
  }
  // Runs of cron, sub-agents and heartbeats use it too; no turn runs on a slash entry.
  const unpinned = entries.filter((one) => one.pinnedTo === null && !isChat(one) && !isSlash(one.key));
  return new Set([...affectedBy(entries, rules).sessions, ...unpinned.map(({ key }) => key)]);
}

/** What is part of a session that was named: itself, its companions, its heartbeat, and what it has spawned. */
function belongsTo(keys: readonly string[]): (one: Pick<SessionEntry, 'key' | 'spawnedBy'>) => boolean {
  const ours = new Set(keys.map(canonicalKey));
  return ({ key, spawnedBy }) =>
    ours.has(canonicalKey(key)) ||
    ours.has(canonicalKey(key).replace(/:heartbeat$/, '')) ||
    (spawnedBy !== null && ours.has(canonicalKey(spawnedBy)));
}
