import type { Holding } from '../holding.js';
import { isOwnSlot, ownSlotNumber } from '../slot/own-slot.js';
import type { Neighbour, Occupant, Slot, SlotAddress, SlotReading } from '../slot/slot.js';

/** The id under which a neighbour's placement is remembered: the slot's own with the other profile's name. */
export function neighbourId({ id, profileId: own }: SlotAddress, profileId: string): string {
  if (profileId === own) return id;
  const number = ownSlotNumber(profileId);
  return `${id.slice(0, id.lastIndexOf('#') + 1)}${number === null ? profileId : `router-${number}`}`;
}

/** All of a `SlotAddress.id` but the profile id; undefined for a text that is none. */
export function storeOf(slot: string): string | undefined {
  return parsePlace(slot)?.store;
}

/** The parts of a `SlotAddress.id`; `store` is all but the profile id. Null for a text that is none. */
export function parsePlace(slot: string): { stateDir: string; agent: string; store: string } | null {
  const [, store = '', stateDir = '', agent = ''] = /^((.+)#([^#]+))#[^#]+$/s.exec(slot) ?? [];
  return store === '' ? null : { stateDir, agent, store };
}

interface FoundLogin {
  readonly login: Holding;
  readonly profileId: string;
}

/** Every login in a store, the slot's own first; of an own slot only its own, because the store's slot tells of the others. */
export function loginsIn({ address }: Slot, { occupant, neighbours }: SlotReading): readonly FoundLogin[] {
  const named: readonly (Occupant | Neighbour)[] = isOwnSlot(address.id)
    ? [occupant]
    : [occupant, ...neighbours];
  return named.flatMap((login) => {
    if (login.kind !== 'login') return [];
    return [{ login, profileId: 'profileId' in login ? login.profileId : address.profileId }];
  });
}
