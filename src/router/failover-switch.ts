import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { IndexEntry, OpenRepo } from '../repo/repo.js';
import type { Host, ReloadOutcome } from '../slot/host.js';
import type { PinOutcome } from '../slot/pins.js';
import { agentOf, findSession } from '../slot/session.js';
import type { SlotAddress } from '../slot/slot.js';
import { noteCurrent, noteDeparture } from './failover-memory.js';
import type { RoundMode, SlotOutcome } from './failover-plan.js';
import type { Memory } from './failover-policy.js';
import type { RoundMemory } from './failover-remembered.js';
import type { Scope } from './failover-scope.js';
import type { Home } from './failover-sessions.js';
import { useOwnSlot } from './own-slot.js';
import { type UseDeps, use } from './use.js';

export interface CarrySwitchDeps extends Omit<UseDeps, 'opening'> {
  readonly open: () => Promise<OpenRepo>;
  readonly memory: RoundMemory;
}

export interface CarrySwitch {
  readonly home: Home;
  readonly scope: Scope;
  readonly mode: RoundMode;
  readonly from: Identity | null;
  readonly to: IndexEntry;
  /** Looks once more under the router lock, and may throw: nothing is written to the slot then. */
  readonly still: () => Promise<void>;
}

export interface Carried {
  readonly outcome: SlotOutcome;
  /** Whether the second look found the new identity in the slot. */
  readonly isProved: boolean;
}

/**
 * Makes one switch as `use` does it, or `useOwnSlot`, and looks once more at what came of it. The pins that are written are those of the
 * scope and no others.
 * @throws as `use` and `useOwnSlot`; what `still` throws
 */
export async function carrySwitch(deps: CarrySwitchDeps, plan: CarrySwitch): Promise<Carried> {
  const { home, to, from } = plan;
  const done = await switched(deps, plan);
  const isAnother = done.slot.id !== home.slot.address.id;
  const wanted = identityKey(to.identity);
  await deps.memory.change(done.slot.id, (before) => {
    const arrived = (memory: Memory) => noteCurrent(memory, wanted, deps.now());
    if (!isAnother || from === null || before.current !== null) return arrived(before);
    // A slot that is new begins with who the sessions came from: so the dwell begins.
    return arrived(noteCurrent(before, identityKey(from), deps.now()));
  });
  // A pin that is taken off again leads back here: without this each such round would take one login more.
  if (isAnother) {
    await deps.memory.change(home.slot.address.id, (before) => noteDeparture(before, deps.now()));
  }
  const slot = isAnother
    ? (await deps.host.ownSlots(done.slot.agent)).find(({ address }) => address.id === done.slot.id)
    : home.slot;
  const occupant = slot === undefined ? null : (await slot.read()).occupant;
  const inSlot = occupant?.kind === 'login' ? occupant.identity : null;
  const pins: PinOutcome[] = [];
  for (const pin of done.pins) pins.push(await seenAgain(deps.host, home, pin));
  const isProved = inSlot !== null && sameIdentity(inSlot, to.identity);
  const { effective, proved, advice } = done.reload;
  return {
    outcome: { slot: done.slot, inSlot, pins, effective, proved, advice, notes: done.notes },
    isProved,
  };
}

interface Done {
  readonly slot: SlotAddress;
  readonly pins: readonly PinOutcome[];
  readonly reload: ReloadOutcome;
  readonly notes: SlotOutcome['notes'];
}

const UNTOLD: ReloadOutcome = { effective: 'no-gateway', proved: false, advice: null, notes: [] };

async function switched(deps: CarrySwitchDeps, { home, scope, mode, to, still }: CarrySwitch): Promise<Done> {
  const opening = deps.open();
  opening.catch(() => undefined);
  const selector = identityKey(to.identity);
  const { slot, own, named } = home;
  if (own !== null || mode === 'own') {
    // An own slot that others are pinned to is switched for all of them, or refused there.
    const others = own !== null && mode === 'shared' ? scope.others.sessions : [];
    const sessions = [...named.map(fullKey), ...others];
    const answer = await useOwnSlot({ ...deps, opening }, { selector, sessions, dryRun: false, still });
    return { slot: answer.slot, pins: answer.pins, reload: answer.reload ?? UNTOLD, notes: answer.notes };
  }
  const session = { kind: 'only', agent: slot.address.agent, pins: scope.written } as const;
  const answer = await use({ ...deps, opening }, { selector, agent: null, session, dryRun: false, still });
  return { slot: answer.slot, pins: answer.pins, reload: answer.reload ?? UNTOLD, notes: answer.notes };
}

function fullKey({ agent, key }: Home['named'][number]): string {
  return agentOf(key) === null ? `agent:${agent}:${key}` : key;
}

/** What the session is pinned to now: OpenClaw may have written over it. */
async function seenAgain(host: Host, home: Home, pin: PinOutcome): Promise<PinOutcome> {
  const agent = home.named.find(({ key }) => key === pin.key)?.agent ?? agentOf(pin.key) ?? host.defaultAgent;
  const entry = findSession((await host.pinsOf(agent).survey(pin.key)).entries, pin.key);
  if (entry === null) return { ...pin, is: null, result: 'gone' };
  if (entry.pinnedTo === pin.is) return pin;
  return { ...pin, is: entry.pinnedTo, result: 'pending' };
}
