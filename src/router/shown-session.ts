import type { Identity } from '../identity.js';
import { isOfProvider } from '../slot/companions.js';
import type { Host } from '../slot/host.js';
import { canonicalKey, isSlash } from '../slot/session.js';
import type { SlotAddress } from '../slot/slot.js';
import { chatsOf, companionsIn, type LoginPlace, type SessionScene, sessionScene } from './session-scene.js';

/** One entry and what it is pinned to. */
export interface ShownEntry {
  readonly key: string;
  readonly pinnedTo: string | null;
  /** Who chose that: a `person` (in OpenClaw, or by codex-router), or OpenClaw itself (`host`); null where nothing is pinned. */
  readonly pinnedBy: 'person' | 'host' | null;
  /** `gone`: a login of the provider that is not there; `foreign`: not one of the provider; null where nothing is pinned. */
  readonly place: LoginPlace['kind'] | 'gone' | 'foreign' | null;
  /**
   * Whose login that is; without a pin who is in the slot, where OpenClaw's order leads to it alone. Null where it cannot be told.
   */
  readonly identity: Identity | null;
  /** What is there instead of a login; null for a login. */
  readonly problem: string | null;
}

export interface ShownSession {
  readonly agent: string;
  /** The slot that the agent's turns run on. */
  readonly slot: SlotAddress;
  readonly session: ShownEntry;
  /** ms epoch; null where the entry does not say. */
  readonly updatedAt: number | null;
  /** The entries that are pinned together with it. */
  readonly companions: readonly ShownEntry[];
  /** Of a slash entry: the chats whose companion it is. */
  readonly companionOf: readonly string[];
  /** Whether a gateway runs a turn in it now. */
  readonly turn: 'running' | 'none' | 'unknown';
}

/**
 * One session as it is now. Opens no vault, writes nothing, makes nobody read or renew anything.
 * @throws SESSION_NOT_FOUND with the nearest keys; HOST_UNREADABLE, what `Slot.read` throws
 */
export async function showSession(host: Host, key: string): Promise<ShownSession> {
  const scene = await sessionScene(host, key, null);
  const { agent, entry, turns } = scene;
  const running = await host.activeRuns(agent);
  const isRunning = running?.has(canonicalKey(entry.key)) ?? null;
  return {
    agent,
    slot: turns.slot.address,
    session: shown(host, scene, entry.key),
    updatedAt: entry.updatedAt === 0 ? null : entry.updatedAt,
    companions: companionsIn(host, scene, null).map((one) => shown(host, scene, one)),
    companionOf: isSlash(entry.key) ? chatsOf(host, scene) : [],
    turn: isRunning === null ? 'unknown' : isRunning ? 'running' : 'none',
  };
}

function shown({ summary }: Host, { entries, places, turns }: SessionScene, key: string): ShownEntry {
  const entry = entries.find((one) => one.key === key);
  const pinnedTo = entry?.pinnedTo ?? null;
  if (pinnedTo === null) {
    const { reading, choosers } = turns;
    const follows = reading.selectable && choosers.length === 0;
    const identity = follows ? (places[0]?.identity ?? null) : null;
    return { key, pinnedTo, pinnedBy: null, place: null, identity, problem: null };
  }
  const pin = { key, pinnedTo, pinnedBy: entry?.pinSource === 'auto' ? 'host' : 'person' } as const;
  const found = places.find(({ profileId }) => profileId === pinnedTo);
  if (found !== undefined && found.problem !== 'nothing') {
    return { ...pin, place: found.kind, identity: found.identity, problem: found.problem };
  }
  const place = isOfProvider(pinnedTo, summary) ? 'gone' : 'foreign';
  return { ...pin, place, identity: null, problem: null };
}
