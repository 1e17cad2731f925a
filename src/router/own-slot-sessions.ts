import { RouterError } from '../errors.js';
import type { PinChange } from '../repo/journal.js';
import { affectedBy, companionsOf, type PinRules } from '../slot/companions.js';
import type { Host, HostNote } from '../slot/host.js';
import { isOwnSlot } from '../slot/own-slot.js';
import type { PinOutcome, SessionEntry } from '../slot/pins.js';
import { agentOf, currentSession } from '../slot/session.js';
import type { Slot, SlotReading } from '../slot/slot.js';
import type { AgentSession, OwnSlotView } from './every-slot.js';
import type { Target } from './pins.js';
import type { PlanDeps } from './switch-plan.js';
import { turnsSlot } from './turns-slot.js';

/** What an own slot is chosen and filled by. */
export interface OwnSlotScene {
  readonly host: Host;
  readonly named: readonly NamedSession[];
  /** The slot that the turns of the named sessions run on as long as they have none of their own. */
  readonly shared: Slot;
  readonly sharedReading: SlotReading;
  readonly views: readonly OwnSlotView[];
}

/** Whose pins are set to an own slot. */
export interface OwnSlotPins {
  readonly targets: readonly Target[];
  readonly changes: readonly PinChange[];
  /** The entries of the named sessions and their companions. */
  readonly following: readonly SessionEntry[];
  /** Named, and pinned to another login by somebody's choice. */
  readonly left: readonly { readonly key: string; readonly pinnedTo: string }[];
}

export interface NamedSession extends AgentSession {
  readonly entry: SessionEntry;
  readonly entries: readonly SessionEntry[];
}

/** @throws SESSION_NOT_FOUND; USAGE when none is named */
export async function namedSessions(
  { host, env }: Pick<PlanDeps, 'host' | 'env'>,
  sessions: readonly string[],
): Promise<readonly NamedSession[]> {
  const named = new Map<string, NamedSession>();
  for (const wish of sessions) {
    const agent = agentOf(wish) ?? host.defaultAgent;
    const entries = await host.pinsOf(agent).read();
    const { key } = currentSession(entries, { kind: 'key', key: wish }, env);
    const entry = entries.find((one) => one.key === key);
    if (key !== null && entry !== undefined) named.set(`${agent} ${key}`, { agent, key, entry, entries });
  }
  if (named.size > 0) return [...named.values()];
  throw new RouterError('USAGE', 'an own slot is for named sessions', { hint: 'add --session <key>' });
}

/** The slot that the turns of all named sessions run on. @throws USAGE when they are several */
export async function sharedSlot(host: Host, named: readonly NamedSession[]): Promise<Slot> {
  const slots: Slot[] = [];
  for (const agent of new Set(named.map((one) => one.agent))) {
    const { slot } = await turnsSlot(host, agent);
    if (!slots.some(({ address }) => address.id === slot.address.id)) slots.push(slot);
  }
  const [first, second] = slots;
  if (first !== undefined && second === undefined) return first;
  throw new RouterError('USAGE', 'the named sessions are of agents with stores of their own', {
    hint: 'name the sessions of one agent at a time',
  });
}

/** The named sessions and their companions. To the companion rule, a pin to the own slot is one to the slot. */
export function targetsOf(
  { host, named, shared, sharedReading }: OwnSlotScene,
  profileId: string,
  served: OwnSlotView | null,
): OwnSlotPins {
  const { provider, formerProvider } = host.summary;
  const slotProfileId = shared.address.profileId;
  const knownProfileIds = new Set([slotProfileId, ...sharedReading.neighbours.map((one) => one.profileId)]);
  const rules: PinRules = { slotProfileId, provider, formerProvider, knownProfileIds };
  const own = served?.slot.address.profileId ?? null;
  const asShared = (entry: SessionEntry): SessionEntry =>
    entry.pinnedTo !== null && entry.pinnedTo === own ? { ...entry, pinnedTo: slotProfileId } : entry;
  const left: { key: string; pinnedTo: string }[] = [];
  const following: SessionEntry[] = [];
  const targets: Target[] = [];
  for (const agent of new Set(named.map((one) => one.agent))) {
    const mine = named.filter((one) => one.agent === agent);
    const entries = (mine[0]?.entries ?? []).map(asShared);
    const elsewhere = new Set(affectedBy(entries, rules).left);
    const keys = new Set<string>();
    for (const { key, entry } of mine) {
      if (elsewhere.has(key) && entry.pinnedTo !== null) left.push({ key, pinnedTo: entry.pinnedTo });
      else for (const one of [key, ...companionsOf(key, entries, rules)]) keys.add(one);
    }
    const found = (mine[0]?.entries ?? []).filter(({ key }) => keys.has(key));
    following.push(...found);
    const planned = found.map(({ key, pinnedTo: was }): PinOutcome => {
      return { key, was, is: profileId, result: was === profileId ? 'already' : 'set' };
    });
    targets.push({ pins: host.pinsOf(agent), planned });
  }
  const changes = targets.flatMap(({ pins, planned }) =>
    planned.flatMap(({ key, was, result }) => (result === 'set' ? [{ agent: pins.agent, key, was }] : [])),
  );
  return { targets, changes, following, left };
}

export function leftNotes(left: OwnSlotPins['left']): readonly HostNote[] {
  return left.map(({ key, pinnedTo }) => {
    const where = isOwnSlot(pinnedTo) ? `${pinnedTo}, another slot of its own` : pinnedTo;
    return { code: 'PINS_LEFT', text: `${key} is pinned to ${where} and was left alone` };
  });
}
