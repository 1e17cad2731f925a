import { RouterError } from '../errors.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { Journal } from '../repo/journal.js';
import type { OpenRepo } from '../repo/repo.js';
import type { Slot, SlotAddress, SlotReading } from '../slot/slot.js';
import { type Moved, withTaken } from './move.js';
import { isSwitch, type SwitchPlan } from './switch-plan.js';

export interface WriteDeps {
  readonly journal: Journal;
  /** ms epoch */
  readonly now: () => number;
}

/** What outlives an attempt that wrote one slot of several and then found another changed. */
export interface Begun extends Moved {
  record: string | null;
  from: Identity | null;
  /** What became of a switch to the same identity that an earlier run had left half done. */
  left?: 'finished' | 'taken-back';
}

/**
 * Writes each slot of the plan that is not yet as it should be, and proves it.
 * @throws what `Slot.replace` throws; SLOT_CHANGED too when a slot did not hold the new login when it was read back
 */
export async function writeSlots(
  deps: WriteDeps,
  repo: OpenRepo,
  plan: SwitchPlan,
  begun: Begun,
  switched: boolean,
): Promise<void> {
  const { entry, group, fingerprint } = plan;
  const key = identityKey(entry.identity);
  if (switched) await sealRenewed(repo, plan);
  // Before the write: a crash in between then still knows which grant the slot may hold.
  if (switched) await repo.place(key, { slot: group.main.address.id, fingerprint, at: deps.now() });
  let written = 0;
  try {
    for (const { slot, reading, put, takeOut } of plan.slots) {
      if (put === 'keep' && takeOut.length === 0 && reading.selectable) continue;
      const after = await slot.replace({ expect: reading.revision, put, takeOut });
      written += 1;
      // A store that only chooses holds no login to be proved.
      if (!group.choosers.includes(slot)) prove(repo, plan, slot, after);
    }
  } catch (cause) {
    const error = withTaken(cause, begun);
    if (!switched || !isSwitch(plan)) throw error;
    if (written > 0) throw halfway(error, group.main.address);
    if (await unchanged(group.main, plan)) {
      await repo.place(key, entry.placement);
      if (begun.record !== null) await deps.journal.advance(begun.record, 'abandoned', deps.now());
      begun.record = null;
    }
    throw error;
  }
}

/**
 * A renewed login over an older one of the same identity: should a crash come between the note of its place and the write, a rotation of
 * the older one would look like one of the renewed, and be taken home over it.
 */
async function sealRenewed(repo: OpenRepo, { holding, fingerprint, slots }: SwitchPlan): Promise<void> {
  const isOver = slots.some(
    ({ put, reading: { occupant } }) =>
      put !== 'keep' &&
      occupant.kind === 'login' &&
      sameIdentity(occupant.identity, holding.identity) &&
      repo.fingerprint(occupant.grant) !== fingerprint,
  );
  if (isOver)
    await repo.backUp(holding, 'it was about to replace an older login of this identity in the slot');
}

/** The main slot is written and a copy of it is not: whoever reads "nothing was changed" would be misled. */
function halfway(error: unknown, { profileId, agent }: SlotAddress): unknown {
  if (!(error instanceof RouterError)) return error;
  return new RouterError(
    error.code,
    `${profileId} of agent ${agent} was switched, but not every copy of it: ${error.message}`,
    { hint: 'run the command again to finish it', cause: error },
  );
}

/** Whether the slot still is not the wanted one's, so that a failed write can be called one that never happened. */
async function unchanged(slot: Slot, { slots }: SwitchPlan): Promise<boolean> {
  const before = slots[0]?.reading.occupant;
  const { occupant } = await slot.read();
  if (before?.kind !== 'login' || occupant.kind !== 'login') return before?.kind === occupant.kind;
  return sameIdentity(before.identity, occupant.identity);
}

/** Read back under the host's lock: what is there now must be the wanted login, or the switch is not called one. */
function prove(
  repo: OpenRepo,
  { entry, fingerprint }: SwitchPlan,
  { address }: Slot,
  after: SlotReading,
): void {
  const { occupant } = after;
  const proved =
    occupant.kind === 'login' &&
    sameIdentity(occupant.identity, entry.identity) &&
    repo.fingerprint(occupant.grant) === fingerprint;
  if (proved) return;
  throw new RouterError(
    'SLOT_CHANGED',
    `${address.profileId} did not hold the new login when it was read back`,
    {
      hint: 'codex-router status, then run the command again; both logins are stored',
    },
  );
}
