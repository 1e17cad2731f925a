import { RouterError } from '../errors.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { OpenRepo } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import { isOwnSlot } from '../slot/own-slot.js';
import type { Slot } from '../slot/slot.js';
import { planCheckIn } from './check-in.js';
import { type ReadSlot, settledReading } from './settled.js';
import type { HomeDeps, StaleSlot, SyncedSlot } from './sync.js';

/** Checks every own slot of the host in; one that cannot be read is a note. Under the router lock. */
export async function bringOwnHome(
  deps: HomeDeps,
  repo: OpenRepo,
  host: Host,
): Promise<{
  readonly slots: readonly SyncedSlot[];
  readonly stale: readonly StaleSlot[];
  readonly notes: readonly HostNote[];
}> {
  const slots: SyncedSlot[] = [];
  const stale: StaleSlot[] = [];
  const notes: HostNote[] = [];
  for (const slot of await host.everyOwnSlot()) {
    const { address } = slot;
    try {
      const { occupant } = await settledReading(slot, deps);
      if (occupant.kind !== 'login') {
        slots.push({ slot: address, occupant: null, checkedIn: [] });
        continue;
      }
      const { identity } = occupant;
      const checkIn = await planCheckIn(repo, occupant, address.id, deps.now());
      // Nothing is about to overwrite what is there, so it needs no back-up.
      if (checkIn.result !== 'repo-newer') await deps.critical(() => checkIn.carryOut());
      if (checkIn.isStale) stale.push({ agent: address.agent, own: slot, who: checkIn.kept.identity });
      if (checkIn.note !== undefined) notes.push(checkIn.note);
      const home = { identity: checkIn.kept.identity, result: checkIn.result };
      slots.push({ slot: address, occupant: identity, checkedIn: [home] });
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      notes.push({ code: error.code, text: `${address.profileId} was not checked in: ${error.message}` });
    }
  }
  return { slots, stale, notes };
}

/** A store's slot without its own slots, which are checked in by themselves. */
export function withoutOwn(read: ReadSlot): ReadSlot {
  const { slot, reading } = read;
  if (!reading.neighbours.some(({ profileId }) => isOwnSlot(profileId))) return read;
  const neighbours = reading.neighbours.filter(({ profileId }) => !isOwnSlot(profileId));
  return { slot, reading: { ...reading, neighbours } };
}

/**
 * Puts the stored login over an older one of the same identity that OpenClaw has written back. Under the grant lock of `who` and the
 * router lock. @throws SLOT_CHANGED where somebody else is in it by now
 */
export async function renewOwnSlot(
  deps: Pick<HomeDeps, 'onRefreshing' | 'signal' | 'now'> & { readonly host: Host },
  repo: OpenRepo,
  slot: Slot,
  who: Identity,
): Promise<void> {
  const reading = await settledReading(slot, deps);
  const { occupant } = reading;
  if (occupant.kind !== 'login' || !sameIdentity(occupant.identity, who)) {
    throw new RouterError('SLOT_CHANGED', `${slot.address.profileId} is somebody else's by now`);
  }
  const checkIn = await planCheckIn(repo, occupant, slot.address.id, deps.now());
  await checkIn.carryOut();
  if (!checkIn.isStale) return;
  const { fingerprint, kept } = checkIn;
  await repo.place(identityKey(who), { slot: slot.address.id, fingerprint, at: deps.now() });
  await slot.replace({ expect: reading.revision, put: kept, takeOut: [] });
  await deps.host.reload(slot, kept.grant.expiresAt);
}
