import type { Host } from '../slot/host.js';
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
    return { slot: group.main, reading, choosers: group.choosers.map(({ address }) => address.agent), isOwn };
  }
  const choosers = reading.selectable ? [] : [agent];
  return { slot: main, reading: await main.read(), choosers, isOwn: false };
}
