import { RouterError } from '../../src/errors.js';
import type { Host, HostOwner, ReloadOutcome } from '../../src/slot/host.js';
import { ownSlotNumber } from '../../src/slot/own-slot.js';
import type { PinOutcome, Pins, SessionEntry } from '../../src/slot/pins.js';
import type { Slot } from '../../src/slot/slot.js';
import type { FakeSlot } from './fake-slot.js';

/** A host in memory: one slot an agent, no copies unless given, a gateway that always takes over. */
export interface FakeHost extends Host {
  /** Session keys of agent main and what each is pinned to. */
  readonly pinned: ReadonlyMap<string, string | null>;
  /** The `expiresAt` each reload was called with. */
  readonly reloads: readonly (number | null)[];
}

export interface FakeHostOptions {
  readonly slots: readonly [FakeSlot, ...FakeSlot[]];
  /** Slots that the release copies from the first one. */
  readonly copies?: readonly FakeSlot[];
  readonly sessions?: readonly Partial<SessionEntry>[];
  /** What a gateway does to the slot while it re-reads it. */
  readonly duringReload?: () => void;
  readonly admit?: Host['admit'];
  /** What `activeRuns` answers for every agent; default: no turn runs; null: it cannot be told. */
  readonly running?: ReadonlySet<string> | null;
  /** Stores that only choose. */
  readonly choosers?: readonly FakeSlot[];
  readonly tied?: boolean;
  readonly provider?: 'openai-codex' | 'openai';
  /** Default `/fake`. */
  readonly stateDir?: string;
}

export function fakeHost({
  slots,
  copies = [],
  sessions = [],
  duringReload,
  admit,
  running = new Set(),
  choosers = [],
  tied = false,
  provider = 'openai-codex',
  stateDir = '/fake',
}: FakeHostOptions): FakeHost {
  const [main] = slots;
  const entries = sessions.map((session) => ({ ...BARE, ...session }));
  const pinned = new Map(entries.map(({ key, pinnedTo }) => [key, pinnedTo]));
  const reloads: (number | null)[] = [];
  const agents = [...slots, ...copies].map(({ address }) => address.agent);
  const outcome: ReloadOutcome = { effective: 'now', proved: true, advice: null, notes: [] };
  const now = (agent: string) =>
    agent !== 'main' ? [] : entries.map((entry) => ({ ...entry, pinnedTo: pinned.get(entry.key) ?? null }));
  let owner: HostOwner | null = null;
  const pins = (agent: string): Pins => ({
    agent,
    read: async () => now(agent),
    survey: async () => ({ entries: now(agent), unread: 0 }),
    set: async (keys, profileId) =>
      keys.map((key): PinOutcome => {
        const was = pinned.get(key) ?? null;
        pinned.set(key, profileId);
        return { key, was, is: profileId, result: was === profileId ? 'already' : 'set' };
      }),
  });
  return {
    summary: {
      stateDir,
      layout: 'fake',
      release: null,
      provider,
      formerProvider: provider === 'openai' ? 'openai-codex' : null,
      notes: [],
    },
    agents,
    defaultAgent: 'main',
    slotsFor: async (agent) => ({
      agent,
      main: slots.find(({ address }) => address.agent === agent) ?? main,
      copies,
      follows: [agent, ...copies.map(({ address }) => address.agent)],
      choosers,
      tied,
      notes: [],
    }),
    allSlots: async () => [...slots, ...copies],
    ownSlots: async (agent) => ownIn(slots.find(({ address }) => address.agent === agent) ?? main),
    ownSlot: async (agent, n) => (slots.find(({ address }) => address.agent === agent) ?? main).own(n),
    everyOwnSlot: async () => (await Promise.all([...slots, ...copies].map(ownIn))).flat(),
    pinsOf: pins,
    admit: admit ?? (async () => undefined),
    reload: async (_, expiresAt) => {
      reloads.push(expiresAt);
      duringReload?.();
      return outcome;
    },
    activeRuns: async () => running,
    owner: async () => owner,
    claim: async (next, instead) => {
      if (instead !== 'unreadable' && JSON.stringify(owner) !== JSON.stringify(instead))
        throw new RouterError('SLOT_CHANGED', 'claimed');
      owner = next;
    },
    disown: async (expected) => {
      if (owner !== null && JSON.stringify(owner) !== JSON.stringify(expected))
        throw new RouterError('SLOT_CHANGED', 'claimed');
      owner = null;
    },
    pinned,
    reloads,
  };
}

async function ownIn(slot: FakeSlot): Promise<readonly Slot[]> {
  const { neighbours } = await slot.read().catch(() => ({ neighbours: [] }));
  return neighbours.flatMap(({ profileId }) => {
    const n = ownSlotNumber(profileId);
    return n === null ? [] : [slot.own(n)];
  });
}

const BARE: SessionEntry = {
  key: 'agent:main:main',
  updatedAt: 1,
  pinnedTo: null,
  pinSource: null,
  channel: null,
  from: null,
  to: null,
  accountId: null,
  spawnedBy: null,
};
