import type { Host, SlotGroup } from '../slot/host.js';
import type { Slot, SlotReading } from '../slot/slot.js';

/** The slot that an agent's turns run on. */
export interface TurnsSlot {
  readonly slot: Slot;
  readonly reading: SlotReading;
  /** Agents whose own store, without a login in it, chooses over this slot's. */
  readonly choosers: readonly string[];
  /** Whether it is the agent's own and not the default agent's: a command has to name the agent. */
  readonly isOwn: boolean;
}

/**
 * For a look: its own one, or main's where it has none; a switch that named the agent would give it one.
 * @throws AGENT_NOT_FOUND; what `Slot.read` throws
 */
export async function turnsSlot(host: Host, agent: string): Promise<TurnsSlot> {
  const group = await host.slotsFor(agent);
  const reading = await group.main.read();
  const isNamed = agent !== host.defaultAgent;
  const [main = group.main] = await host.allSlots();
  if (reading.occupant.kind !== 'absent' || main.address.id === group.main.address.id) {
    const isOwn = isNamed && main.address.id !== group.main.address.id;
    return { slot: group.main, reading, choosers: await choosingOtherwise(group), isOwn };
  }
  const choosers = choosesOther(main, reading) ? [agent] : [];
  return { slot: main, reading: await main.read(), choosers, isOwn: false };
}

async function choosingOtherwise({ main, choosers }: SlotGroup): Promise<readonly string[]> {
  const agents: string[] = [];
  for (const slot of choosers) if (choosesOther(main, await slot.read())) agents.push(slot.address.agent);
  return agents;
}

/** A store that is silent, or names nobody but the slot, chooses as main's does. */
function choosesOther({ address }: Slot, { selectable, named }: SlotReading): boolean {
  return !selectable && named.some((id) => id !== address.profileId);
}

/** The slots that are switched, or mended, together for what an agent's turns run on. @throws as `turnsSlot` */
export async function turnsGroup(host: Host, agent: string): Promise<SlotGroup> {
  const { slot } = await turnsSlot(host, agent);
  return host.slotsFor(slot.address.agent);
}

/**
 * Every store whose order decides what an agent's turns run on: those of the group, and the agent's own where that has no login but a
 * choice. @throws as `turnsSlot`
 */
export async function choosingSlots(host: Host, agent: string): Promise<readonly Slot[]> {
  const { main, copies, choosers } = await turnsGroup(host, agent);
  const { main: own } = await host.slotsFor(agent);
  const all = [main, ...copies, ...choosers];
  return all.some(({ address }) => address.id === own.address.id) ? all : [...all, own];
}
