import type { Identity } from '../identity.js';
import type { IndexEntry } from '../repo/repo.js';
import type { GatewayHolds, Host } from '../slot/host.js';
import type { Slot } from '../slot/slot.js';

/** As `Host.held`; `unknown` of a host that nobody can ask. */
export async function heldIn(
  host: Pick<Host, 'held'>,
  slot: Slot,
  expiresAt: number,
  withinMs?: number,
): Promise<GatewayHolds> {
  const why = 'this host has nothing that could be asked';
  return (await host.held?.(slot, expiresAt, withinMs)) ?? { kind: 'unknown', why };
}

/**
 * Whose login a gateway holds, of which it gives nothing away but when it expires: whose stored one expires at that very millisecond. Null
 * for nobody's, and for several.
 */
export function ownerOf(expiresAt: number | null, entries: readonly IndexEntry[]): Identity | null {
  const [one, other] = entries.filter((entry) => entry.expiresAt === expiresAt);
  return one === undefined || other !== undefined ? null : one.identity;
}

/**
 * Runs `look` on a host whose running gateway is asked about each slot once; one that did not tell is asked again. What outlives the look,
 * as a mend does, asks anew.
 */
export async function askingOnce<T>(host: Host, look: (host: Host) => Promise<T>): Promise<T> {
  const told = new Map<string, GatewayHolds>();
  let isOver = false;
  const held = async (slot: Slot, expiresAt: number, withinMs?: number): Promise<GatewayHolds> => {
    const question = `${slot.address.id} ${expiresAt}`;
    const known = isOver ? undefined : told.get(question);
    if (known !== undefined) return known;
    const answer = await heldIn(host, slot, expiresAt, withinMs);
    if (answer.kind !== 'unknown') told.set(question, answer);
    return answer;
  };
  try {
    return await look({ ...host, held });
  } finally {
    isOver = true;
  }
}
