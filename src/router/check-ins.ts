import type { Holding } from '../holding.js';
import { type Identity, sameIdentity } from '../identity.js';
import type { OpenRepo } from '../repo/repo.js';
import type { SlotGroup } from '../slot/host.js';
import { isOwnSlot } from '../slot/own-slot.js';
import { type CheckIn, planCheckIn } from './check-in.js';
import { neighbourId } from './places.js';
import type { ReadSlot } from './settled.js';

/**
 * Decides how the logins of a group's slots come home: each occupant, and every neighbour that is meant. Nothing is written.
 * @param slots the main one first
 */
export async function planCheckIns(
  repo: OpenRepo,
  group: Pick<SlotGroup, 'main'>,
  slots: readonly ReadSlot[],
  isMeant: (who: Identity) => boolean,
  now: number,
): Promise<readonly CheckIn[]> {
  const checkIns: CheckIn[] = [];
  for (const each of slots) {
    for (const { held, place, stays } of loginsOf(group, each, isMeant)) {
      const checkIn = alsoHeld(repo, held, await planCheckIn(repo, held, place, now), checkIns);
      // An older login under another profile id is not overwritten, so it needs no back-up.
      if (checkIn !== null && !(stays && checkIn.result === 'repo-newer')) checkIns.push(checkIn);
    }
  }
  return checkIns;
}

interface FoundLogin {
  readonly held: Holding;
  /** `SlotAddress.id` of where it was found. */
  readonly place: string;
  /** Whether it is left there unless it turns out to be the very grant that goes into the slot. */
  readonly stays: boolean;
}

function loginsOf(
  group: Pick<SlotGroup, 'main'>,
  { slot, reading: { occupant, neighbours } }: ReadSlot,
  isMeant: (who: Identity) => boolean,
): FoundLogin[] {
  const found: FoundLogin[] = [];
  // Copies that a release itself makes of its main agent's slot count as one holder with it.
  if (occupant.kind === 'login') found.push({ held: occupant, place: group.main.address.id, stays: false });
  for (const neighbour of neighbours) {
    if (neighbour.kind !== 'login') continue;
    // What the host made of a login in an own slot comes home with the others.
    if (!isOwnSlot(neighbour.profileId) && !isMeant(neighbour.identity)) continue;
    found.push({ held: neighbour, place: neighbourId(slot.address, neighbour.profileId), stays: true });
  }
  return found;
}

/** The same identity found in a second place: the same grant needs nothing more, another grant is sealed, never merged. */
export function alsoHeld(
  repo: OpenRepo,
  held: Holding,
  checkIn: CheckIn,
  earlier: readonly CheckIn[],
): CheckIn | null {
  const first = earlier.findLast((other) => sameIdentity(other.kept.identity, held.identity));
  if (first === undefined) return checkIn;
  if (repo.fingerprint(held.grant) === first.fingerprint) return null;
  const firstWrites = first.result === 'taken-home' || first.result === 'imported';
  if (!firstWrites) return checkIn;
  const carryOut = () => repo.backUp(held, 'two places held different grants of this identity');
  return { result: 'repo-newer', kept: first.kept, fingerprint: first.fingerprint, carryOut };
}
