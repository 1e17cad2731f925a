import { RouterError } from '../errors.js';
import type { Host } from '../slot/host.js';
import { MOST_OWN_SLOTS, ownSlotAddress, ownSlotNumber } from '../slot/own-slot.js';
import type { Slot, SlotReading } from '../slot/slot.js';
import type { Adapters, StorePlace } from './adapters.js';
import { type AgentStores, existingSlots } from './agents.js';
import type { Provider } from './layout.js';

/** Where an own slot is, in the store of another. */
export function ownSlotPlace(place: StorePlace | undefined, provider: Provider, n: number): StorePlace {
  if (place === undefined || !Number.isInteger(n) || n < 1 || n > MOST_OWN_SLOTS) {
    throw new RouterError('USAGE', `an own slot has a number from 1 to ${MOST_OWN_SLOTS}`);
  }
  const address = ownSlotAddress(place.address, provider, n);
  return { ...place, address, shape: { ...place.shape, profileId: address.profileId, isOwn: true } };
}

/** The part of the port Host that tells of own slots. @param known refuses an agent that there is not */
export function ownSlotsOf(
  stores: AgentStores,
  { ownSlotIn }: Pick<Adapters, 'ownSlotIn'>,
  provider: Provider,
  known: (agent: string) => string,
): Pick<Host, 'ownSlots' | 'ownSlot' | 'everyOwnSlot'> {
  const within = (slot: Slot, { neighbours }: SlotReading): readonly Slot[] =>
    neighbours
      .flatMap(({ profileId }) => numberOf(provider, profileId) ?? [])
      .sort((a, b) => a - b)
      .map((n) => ownSlotIn(slot, n));
  return {
    ownSlots: async (agent) => {
      const slot = await turnsOn(stores, known(agent));
      return within(slot, await slot.read());
    },
    ownSlot: async (agent, n) => {
      const slot = await turnsOn(stores, known(agent));
      if (stores.copiesMain) throw tiedAgents(stores);
      return ownSlotIn(slot, n);
    },
    everyOwnSlot: async () => {
      const found: Slot[] = [];
      for (const slot of await existingSlots(stores)) {
        const reading = await readable(slot);
        if (reading !== null) found.push(...within(slot, reading));
      }
      return found;
    },
  };
}

function numberOf(provider: Provider, profileId: string): number | null {
  return profileId.startsWith(`${provider}:`) ? ownSlotNumber(profileId) : null;
}

/** The slot of the store that the agent's turns run on: its own where that has the entry, else the one all agents read through to. */
async function turnsOn(stores: AgentStores, agent: string): Promise<Slot> {
  const own = stores.ownOf(agent);
  if (own === stores.shared) return own;
  return (await own.read()).occupant.kind === 'absent' ? stores.shared : own;
}

async function readable(slot: Slot): Promise<SlotReading | null> {
  try {
    return await slot.read();
  } catch (error) {
    if (error instanceof RouterError) return null;
    throw error;
  }
}

/** It would copy the own slot's login over, or drop it, with the others. */
function tiedAgents({ release }: AgentStores): RouterError {
  return new RouterError(
    'HOST_UNSUPPORTED',
    `${release} keeps its agents on one set of logins, so no session can have a slot of its own`,
    {
      hint: 'update OpenClaw to 2026.4.20 or later; codex-router use switches all of them',
    },
  );
}
