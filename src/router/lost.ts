import type { IndexEntry } from '../repo/repo.js';
import type { LostLogin, Occupant, Slot, SlotAddress } from '../slot/slot.js';
import { problemOf } from '../slot/slot.js';
import { nameOf, selectorOf } from './resolve.js';

/** Whom we last put into a slot, unless the fence there names another account; null when nobody is known. */
export function lastPlaced(
  { id }: SlotAddress,
  { accountId }: LostLogin,
  entries: readonly IndexEntry[],
): IndexEntry | null {
  const placed = entries
    .filter(({ placement }) => placement?.slot === id)
    .sort((a, b) => (b.placement?.at ?? 0) - (a.placement?.at ?? 0))[0];
  if (placed === undefined) return null;
  return (accountId ?? placed.identity.accountId) === placed.identity.accountId ? placed : null;
}

/** Whether the stored login still is the one that was put there; a login or import since has made it another. */
export function isStoredCopy({ placement, fingerprint }: IndexEntry): boolean {
  return placement?.fingerprint === fingerprint;
}

/** In words, what is in a slot that is no login, with what is left of a lost one; null for an empty slot. */
export function problemIn(
  { address }: Slot,
  occupant: Exclude<Occupant, { kind: 'login' }>,
  entries: readonly IndexEntry[],
): string | null {
  const problem = problemOf(occupant);
  const owner = occupant.kind === 'lost' ? lastPlaced(address, occupant, entries) : null;
  if (owner === null) return problem;
  const left = isStoredCopy(owner)
    ? 'whose stored copy is the only one left'
    : 'of whom a newer login is stored';
  return `${problem} of ${nameOf(owner)}, ${left}: codex-router use ${selectorOf(owner)} puts it in`;
}
