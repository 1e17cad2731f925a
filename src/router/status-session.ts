import { RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';
import { companionsOf } from '../slot/companions.js';
import type { Host } from '../slot/host.js';
import type { SessionEntry } from '../slot/pins.js';
import { agentMeant, currentSession } from '../slot/session.js';
import type { SlotAddress } from '../slot/slot.js';
import { meantSession } from './chat-session.js';
import { turnsSlot } from './turns-slot.js';

/** The current session, and what pins it. */
export interface SessionStatus {
  readonly agent: string;
  /** The entry's key as it is stored; null where none is meant. */
  readonly key: string | null;
  /** Why it is the current one, or why none is. */
  readonly why: string;
  readonly pinnedTo: string | null;
  /**
   * Who chose that: a `person` (in OpenClaw, or by a switch of codex-router), or OpenClaw itself (`host`), which may choose again; null
   * where nothing is pinned.
   */
  readonly pinnedBy: 'person' | 'host' | null;
  /** Whether that is the slot; null where nothing is pinned, or the slot cannot be told. */
  readonly isSlot: boolean | null;
  /** The entries that a switch pins together with it, as they are now. */
  readonly companions: readonly { readonly key: string; readonly pinnedTo: string | null }[];
}

/** @throws RouterError when the sessions cannot be read */
export async function sessionStatus(host: Host, env: Env): Promise<SessionStatus> {
  const wish = await meantSession(host, { kind: 'current' }, env);
  const named = agentMeant(wish, env);
  const agent = named !== null && host.agents.includes(named) ? named : host.defaultAgent;
  const entries = await host.pinsOf(agent).read();
  const { key, why } = currentSession(entries, wish, env);
  const entry = entries.find((one) => one.key === key) ?? null;
  const pinnedTo = entry?.pinnedTo ?? null;
  const pinnedBy = pinnedTo === null ? null : entry?.pinSource === 'auto' ? 'host' : 'person';
  const there = await idsThere(host, agent);
  const isSlot = pinnedTo === null || there === null ? null : pinnedTo === there.address.profileId;
  const companions = key === null || there === null ? [] : companionsIn(host, key, entries, there);
  return { agent, key, why, pinnedTo, pinnedBy, isSlot, companions };
}

interface SlotIds {
  readonly address: SlotAddress;
  readonly profileIds: readonly string[];
}

/** Null for one that cannot be read: that is told of the slot itself. */
async function idsThere(host: Host, agent: string): Promise<SlotIds | null> {
  try {
    const { slot, reading } = await turnsSlot(host, agent);
    const ids = reading.neighbours.map(({ profileId }) => profileId);
    return { address: slot.address, profileIds: [slot.address.profileId, ...ids] };
  } catch (error) {
    if (error instanceof RouterError) return null;
    throw error;
  }
}

function companionsIn(
  host: Host,
  key: string,
  entries: readonly SessionEntry[],
  { address, profileIds }: SlotIds,
): SessionStatus['companions'] {
  const { provider, formerProvider } = host.summary;
  const rules = {
    slotProfileId: address.profileId,
    provider,
    formerProvider,
    knownProfileIds: new Set(profileIds),
  };
  return companionsOf(key, entries, rules).map((one) => ({
    key: one,
    pinnedTo: entries.find((entry) => entry.key === one)?.pinnedTo ?? null,
  }));
}
