import type { SlotAddress } from './slot.js';

/** How many own slots one store can have. */
export const MOST_OWN_SLOTS = 9;

const OWN = /:router-([1-9])$/;

/**
 * The profile id of an own slot: a second place in the same store that holds another identity, for the sessions that are pinned to it
 * alone. No order and no lastGood ever names it.
 * @param n 1 to `MOST_OWN_SLOTS`
 */
export function ownSlotProfile(provider: string, n: number): string {
  return `${provider}:router-${n}`;
}

/** Which own slot a profile id, or the id of a place, names; null for any other. */
export function ownSlotNumber(id: string): number | null {
  const found = OWN.exec(id.replace('#router-', ':router-'))?.[1];
  return found === undefined ? null : Number(found);
}

export function isOwnSlot(id: string): boolean {
  return ownSlotNumber(id) !== null;
}

/** @param slot of the store that the own slot is in */
export function ownSlotAddress({ id, layout, agent }: SlotAddress, provider: string, n: number): SlotAddress {
  const store = id.slice(0, id.lastIndexOf('#') + 1);
  return { id: `${store}router-${n}`, layout, agent, profileId: ownSlotProfile(provider, n) };
}
