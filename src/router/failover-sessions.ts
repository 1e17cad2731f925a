import { RouterError } from '../errors.js';
import { isOfProvider } from '../slot/companions.js';
import type { Host, HostNote } from '../slot/host.js';
import { ownSlotNumber } from '../slot/own-slot.js';
import type { SessionEntry } from '../slot/pins.js';
import { agentOf, findSession, isSlash } from '../slot/session.js';
import type { Slot, SlotReading } from '../slot/slot.js';
import { turnsSlot } from './turns-slot.js';

/** A session that was named, and what it runs on. */
export interface SessionSeen {
  /** As it is stored; as it was named where it is missing. */
  readonly key: string;
  readonly agent: string;
  /** `slot`: the agent's; `own-slot`: one of its own; `left`: something that failover does not touch, `why` tells. */
  readonly runsOn: 'slot' | 'own-slot' | 'left' | 'missing';
  readonly pinnedTo: string | null;
  /** `host`: OpenClaw itself, which may choose again. */
  readonly pinnedBy: 'person' | 'host' | null;
  /** Null for one that is looked after. */
  readonly why: string | null;
  /** `SlotAddress.id`; null for one that is left or missing. */
  readonly slot: string | null;
}

/** A slot that sessions which were named run on. */
export interface Home {
  readonly slot: Slot;
  readonly reading: SlotReading;
  /** The number of an own slot; null for the agent's. */
  readonly own: number | null;
  /** Profile ids that the store has, the slot's own among them. */
  readonly known: ReadonlySet<string>;
  readonly named: readonly { readonly agent: string; readonly key: string }[];
}

export interface SessionsSeen {
  /** In the order they were named, each once. */
  readonly sessions: readonly SessionSeen[];
  readonly homes: readonly Home[];
  readonly notes: readonly HostNote[];
}

/**
 * Finds the sessions that were named, and no others, with the slots they run on. One that is not there is `missing`.
 * @param keys full, or without `agent:<id>:` for the default agent's
 * @throws HOST_UNREADABLE, what `Slot.read` throws
 */
export async function namedSessions(host: Host, keys: readonly string[]): Promise<SessionsSeen> {
  const sessions: SessionSeen[] = [];
  const homes = new Map<string, Home>();
  const notes: HostNote[] = [];
  for (const wanted of keys) {
    const agent = agentOf(wanted) ?? host.defaultAgent;
    const entry = await entryNamed(host, agent, wanted);
    if (entry === null) {
      const why = `agent ${agent} has no session of that key`;
      sessions.push({ ...MISSING, key: wanted.trim(), agent, why });
      continue;
    }
    if (sessions.some((one) => one.key === entry.key && one.agent === agent)) continue;
    const found = await homeOf(host, agent, entry);
    const { key, pinnedTo } = entry;
    const seen = { key, agent, pinnedTo, pinnedBy: pinnedBy(entry) };
    if ('why' in found) {
      sessions.push({ ...seen, runsOn: 'left', why: found.why, slot: null });
      continue;
    }
    const { id } = found.slot.address;
    const home = homes.get(id) ?? { ...found, named: [] };
    homes.set(id, { ...home, named: [...home.named, { agent, key }] });
    sessions.push({ ...seen, runsOn: found.own === null ? 'slot' : 'own-slot', why: null, slot: id });
    if (pinnedTo !== null && !found.known.has(pinnedTo)) {
      const text = `${key} is pinned to ${pinnedTo}, which is gone: it counts as one that follows the slot`;
      notes.push({ code: 'PIN_DANGLING', text });
    }
  }
  return { sessions, homes: [...homes.values()], notes };
}

const MISSING = { runsOn: 'missing', pinnedTo: null, pinnedBy: null, slot: null } as const;

async function entryNamed(host: Host, agent: string, key: string): Promise<SessionEntry | null> {
  if (!host.agents.includes(agent)) return null;
  return findSession((await host.pinsOf(agent).survey(key)).entries, key);
}

function pinnedBy({ pinnedTo, pinSource }: SessionEntry): SessionSeen['pinnedBy'] {
  if (pinnedTo === null) return null;
  return pinSource === 'auto' ? 'host' : 'person';
}

type Found = Omit<Home, 'named'> | { readonly why: string };

async function homeOf(host: Host, agent: string, entry: SessionEntry): Promise<Found> {
  const { pinnedTo } = entry;
  if (isSlash(entry.key)) return { why: 'no turn runs on a slash entry' };
  const { slot, reading } = await turnsSlot(host, agent);
  const { profileId } = slot.address;
  const known = new Set([profileId, ...reading.neighbours.map((neighbour) => neighbour.profileId)]);
  const isGone = pinnedTo !== null && isOfProvider(pinnedTo, host.summary) && !known.has(pinnedTo);
  if (pinnedTo === null || pinnedTo === profileId || isGone) {
    return foreignIn(reading) ?? { slot, reading, own: null, known };
  }
  if (entry.pinSource === 'auto') {
    return {
      why: `OpenClaw itself has moved it to ${pinnedTo}, and may move it back: that is left to OpenClaw`,
    };
  }
  const own = ownSlotNumber(pinnedTo);
  const place = (await host.ownSlots(agent)).find(({ address }) => address.profileId === pinnedTo);
  if (own === null || place === undefined) {
    return { why: `it is pinned to ${pinnedTo} by a person's choice, and is left there` };
  }
  const there = await place.read();
  return foreignIn(there) ?? { slot: place, reading: there, own, known };
}

function foreignIn({ occupant }: SlotReading): { readonly why: string } | null {
  if (occupant.kind !== 'foreign' || occupant.remains !== undefined) return null;
  return { why: `its slot holds ${occupant.what}, which codex-router does not overwrite` };
}

/** The sessions to look after: those that were named, else those of the settings. @throws FAILOVER_NO_SESSIONS */
export function keysMeant(named: readonly string[], configured: readonly string[]): readonly string[] {
  const keys = (named.length > 0 ? named : configured).filter((key) => key.trim() !== '');
  if (keys.length === 0) throw noSessions();
  return keys;
}

export function noSessions(): RouterError {
  return new RouterError('FAILOVER_NO_SESSIONS', 'no session was named, and the configuration names none', {
    hint: 'codex-router failover check --session agent:main:main, or codex-router config set failover.sessions agent:main:main',
  });
}
