import { RouterError } from '../errors.js';
import type { Identity } from '../identity.js';
import type { IndexEntry, OpenRepo } from '../repo/repo.js';
import type { HostNote, ReloadOutcome } from '../slot/host.js';
import type { PinOutcome } from '../slot/pins.js';
import type { SlotAddress } from '../slot/slot.js';
import type { CheckInResult } from './check-in.js';
import { settleWanted } from './doubt.js';
import { type OwnSlotPlan, planOwnSlot } from './own-slot-plan.js';
import { carryOutOwn } from './own-slot-writes.js';
import { requireOwner } from './owner.js';
import { recover } from './recover.js';
import { resolve, storedEntries } from './resolve.js';
import type { UseDeps } from './use.js';

export interface OwnSlotRequest {
  readonly selector: string;
  /** Keys, full or without their agent, which is the default agent then. */
  readonly sessions: readonly string[];
  readonly dryRun: boolean;
  /** Looks once more under the router lock and may throw: nothing is written then. */
  readonly still?: () => Promise<void>;
}

export interface OwnSlotAnswer {
  readonly result: 'switched' | 'already-active' | 'planned';
  /** Whom the named sessions ran on before: who was in their own slot, else who is in the slot. */
  readonly from: Identity | null;
  readonly to: IndexEntry;
  /** Of the own slot. */
  readonly slot: SlotAddress;
  /** 1 to `MOST_OWN_SLOTS` */
  readonly n: number;
  /** Whether it had to be made. */
  readonly isNew: boolean;
  /** The named sessions and their companions. */
  readonly pins: readonly PinOutcome[];
  /** Named, and pinned to another login by somebody's choice: left. */
  readonly left: OwnSlotPlan['left'];
  readonly checkedIn: readonly { readonly identity: Identity; readonly result: CheckInResult }[];
  /** Null for a plan: nothing was told to anybody. */
  readonly reload: ReloadOutcome | null;
  readonly notes: readonly HostNote[];
}

/**
 * Puts one stored identity into a slot of its own in the same store, and pins exactly the named sessions and their companions to it.
 * No other entry of the store, no order and no lastGood is changed, so every other session stays where it is. The own slot that
 * serves exactly these sessions is used again. Idempotent: run again after a crash it finishes what was begun.
 * @throws IN_OWN_SLOT, IDENTITY_IN_USE where the identity sits in another slot; OWN_SLOT_SHARED when sessions that were not named would
 *   move too; OWN_SLOTS_FULL; SESSION_NOT_FOUND; HOST_UNSUPPORTED where the release ties its agents; USAGE; as `use`
 */
export async function useOwnSlot(deps: UseDeps, request: OwnSlotRequest): Promise<OwnSlotAnswer> {
  const wanted = resolve(request.selector, await storedEntries(deps));
  const repo = await deps.opening;
  const { dryRun, sessions } = request;
  if (dryRun) {
    const plan = await planOwnSlot({ ...deps, looking: true }, repo, wanted.identity, sessions);
    return answerOf(plan, 'planned', plannedPins(plan), null, plan.notes);
  }
  await requireOwner(deps.host, repo);
  const earlier = await recover(deps, repo, { except: null, reapply: false });
  const settled = await settleWanted(deps, repo, wanted.identity);
  return deps.withGrantLock(wanted.identity, () =>
    deps.withLock(async () => {
      await request.still?.();
      const { plan, done } = await carriedOut(deps, repo, wanted.identity, sessions);
      const notes = [...earlier, ...settled, ...plan.notes, ...done.notes];
      return answerOf(plan, done.changed ? 'switched' : 'already-active', done.pins, done.reload, notes);
    }),
  );
}

/** Plans anew where the host rotated the store between our read and its lock. */
async function carriedOut(
  deps: UseDeps,
  repo: OpenRepo,
  wanted: Identity,
  sessions: readonly string[],
): Promise<{ readonly plan: OwnSlotPlan; readonly done: Awaited<ReturnType<typeof carryOutOwn>> }> {
  for (let attempt = 1; ; attempt += 1) {
    const plan = await planOwnSlot(deps, repo, wanted, sessions);
    try {
      return { plan, done: await deps.critical(() => carryOutOwn(deps, repo, plan)) };
    } catch (error) {
      if (attempt === 3 || !(error instanceof RouterError) || error.code !== 'SLOT_CHANGED') throw error;
    }
  }
}

function plannedPins({ targets }: OwnSlotPlan): readonly PinOutcome[] {
  return targets.flatMap(({ planned }) => planned);
}

function answerOf(
  plan: OwnSlotPlan,
  result: OwnSlotAnswer['result'],
  pins: readonly PinOutcome[],
  reload: ReloadOutcome | null,
  notes: readonly HostNote[],
): OwnSlotAnswer {
  return {
    result,
    from: plan.from,
    to: plan.entry,
    slot: plan.slot.address,
    n: plan.n,
    isNew: plan.isNew,
    pins,
    left: plan.left,
    checkedIn: plan.checkIns
      .map(({ kept, result: checkIn }) => ({ identity: kept.identity, result: checkIn }))
      .filter(({ result: checkIn }) => checkIn !== 'unchanged'),
    reload,
    notes,
  };
}
