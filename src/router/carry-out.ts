import { RouterError } from '../errors.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { Journal, Who } from '../repo/journal.js';
import type { OpenRepo } from '../repo/repo.js';
import type { Host, HostNote, ReloadOutcome } from '../slot/host.js';
import type { PinOutcome } from '../slot/pins.js';
import type { Slot } from '../slot/slot.js';
import { planCheckIn } from './check-in.js';
import { changedTo, withKept } from './kept-connections.js';
import { mendLabel } from './labels.js';
import { carryOutMoves, type Move } from './move.js';
import { claimHost, renewClaim } from './owner.js';
import { nameOf } from './resolve.js';
import { type SettledDeps, settledReading } from './settled.js';
import { type Begun, writeSlots } from './slot-writes.js';
import { isSwitch, type SwitchPlan } from './switch-plan.js';

export interface CarryDeps extends SettledDeps {
  readonly host: Host;
  readonly journal: Journal;
  /** ms epoch */
  readonly now: () => number;
}

export interface CarryOptions {
  /** Takes a name out of the host's configuration that would lie about who is in the slot. */
  readonly fixLabels?: boolean;
  /** The id of the switch that this one takes back. */
  readonly undoes?: string | null;
  /** The chat that the answer is for, where none is pinned. */
  readonly chat?: string | null;
}

export interface CarriedOut {
  /** Whether a token was rewritten in some slot. */
  readonly switched: boolean;
  readonly from: Identity | null;
  /** What was taken from other holders, in all attempts. */
  readonly moved: readonly Move[];
  readonly pins: readonly PinOutcome[];
  readonly reload: ReloadOutcome;
  readonly notes: readonly HostNote[];
  /** `applied`: all is written, and a turn that is running may write old values back; `swapped`: some pins could not be written. */
  readonly ended: 'swapped' | 'applied' | 'done';
  /** Sessions inside a turn; null when there is no gateway or it cannot be told. */
  readonly running: readonly string[] | null;
}

/**
 * Carries a plan out: check-ins, journal, slots, gateway, pins, each proved. Run again on a plan made anew after SLOT_CHANGED, with the
 * same `begun`, it goes on where it was.
 * @throws what `Slot.replace`, the repo and the journal throw; SLOT_CHANGED; then `begun` and the journal know how far it came
 */
export async function carryOut(
  deps: CarryDeps,
  repo: OpenRepo,
  plan: SwitchPlan,
  begun: Begun,
  { fixLabels = false, undoes = null, chat = null }: CarryOptions = {},
): Promise<CarriedOut> {
  const { entry, group } = plan;
  for (const checkIn of plan.checkIns) await checkIn.carryOut();
  if (plan.lost?.isOnlyCopy) await repo.doubt(identityKey(plan.lost.entry.identity), 'refresh-failed');

  await claimHost(deps.host, repo, deps.now());
  const switched = isSwitch(plan) || begun.record !== null;
  if (begun.record === null) {
    begun.from = plan.from;
    begun.record = await beginRecord(deps, plan, begun, switched, undoes);
  }
  const { from } = begun;
  const taken = await carryOutMoves(deps, repo, plan, begun);
  await writeSlots(deps, repo, taken.plan, begun, switched);
  const { record } = begun;
  if (switched && record !== null) await deps.journal.advance(record, 'swapped', deps.now());
  if (from !== null && !sameIdentity(from, entry.identity)) await forgetPlace(repo, from, group.main);

  const reload = await deps.host.reload(group.main, plan.holding.grant.expiresAt);
  const gatewayRuns = reload.effective !== 'no-gateway';
  // Where nobody was told to re-read, nobody can have rotated it by that.
  const late = gatewayRuns ? await checkInLate(deps, repo, plan) : [];
  const running = gatewayRuns ? await runningIn(deps.host, group.follows) : null;
  const pins = await plan.pins.carryOut(running);
  const pending = pins.outcomes.some(({ result }) => result === 'pending');
  const mayChange = gatewayRuns && (running === null || running.size > 0);
  const ended = pins.failed ? 'swapped' : pending || mayChange ? 'applied' : 'done';
  await endRecord(deps, plan, record, ended);
  const label = await mendLabel(deps.host, entry.identity.email, fixLabels, gatewayRuns);
  const turns = running === null ? null : [...running];
  const kept = withKept({
    reload,
    changedAt: await changedAt(deps, plan, from),
    current: plan.pins.current.key ?? chat,
    following: plan.pins.following,
    pins: plan.pins.planned,
    running,
    now: deps.now(),
  });
  const notes = [
    ...plan.notes,
    ...taken.notes,
    ...leftNotes(plan, begun),
    ...turnNotes(turns),
    ...reload.notes,
    ...kept.notes,
    ...late,
    ...pins.notes,
    ...label,
    ...(await renewClaim(deps.host, repo, deps.now())),
  ];
  const { moved = [] } = begun;
  return { switched, from, moved, pins: pins.outcomes, reload: kept.reload, notes, ended, running: turns };
}

/** A switch is now; who was there already came at some time that the journal knows. */
async function changedAt(
  { journal, now }: CarryDeps,
  { entry, group }: SwitchPlan,
  from: Identity | null,
): Promise<number | null> {
  if (from === null || !sameIdentity(from, entry.identity)) return now();
  return changedTo(await journal.read(), group.main.address.id, entry.identity);
}

/** The end of a turn can write back what it read before the switch: a slot on some releases, a session's pin on others. */
function turnNotes(running: readonly string[] | null): readonly HostNote[] {
  if (running === null || running.length === 0) return [];
  const text = `a turn is running in ${running.length} session(s) and may write old values back when it ends: codex-router sync --wait looks again then`;
  return [{ code: 'TURN_RUNNING', text }];
}

/** Sessions inside a turn, of all agents that use the slot; null when that cannot be told of one of them. */
export async function runningIn(
  host: Pick<Host, 'activeRuns'>,
  agents: readonly string[],
): Promise<ReadonlySet<string> | null> {
  const running = new Set<string>();
  for (const agent of agents) {
    const keys = await host.activeRuns(agent);
    if (keys === null) return null;
    for (const key of keys) running.add(key);
  }
  return running;
}

function leftNotes({ entry }: SwitchPlan, { left }: Begun): readonly HostNote[] {
  if (left === undefined) return [];
  return [{ code: 'FINISHED', text: `an earlier switch to ${nameOf(entry)} ${LEFT[left]}` }];
}

/** A switch that is not yet at its end stays open in the journal, so that the next command looks at it again. */
async function endRecord(
  { journal, now }: CarryDeps,
  { entry, group, pins }: SwitchPlan,
  record: string | null,
  ended: 'swapped' | 'applied' | 'done',
): Promise<void> {
  if (record !== null) {
    await journal.advance(record, ended, now());
  } else {
    const who = whoOf(entry.identity);
    const last = (await journal.read()).findLast(
      ({ slot, step }) => slot === group.main.address.id && step !== 'abandoned',
    );
    // Whom a person chose is known later only if it is written down, also where nothing had to change.
    if (ended === 'done' && last?.to && sameIdentity(last.to, who)) return;
    const intent = { slot: group.main.address.id, from: who, to: who, pins: pins.changes, undoes: null };
    await journal.advance(await journal.begin(intent, now()), ended, now());
  }
}

/** What `begun.left` says of the switch before this one, in the order of its life. */
const LEFT = {
  finished: 'had been interrupted; it is finished now',
  'taken-back': 'had been interrupted before anything was written',
} as const;

/** A new record for a switch; else the one that an earlier run left unfinished and that this run finishes; else null. */
async function beginRecord(
  deps: CarryDeps,
  plan: SwitchPlan,
  begun: Begun,
  switched: boolean,
  undoes: string | null,
): Promise<string | null> {
  const { id } = plan.group.main.address;
  const { identity } = plan.entry;
  const last = (await deps.journal.read()).findLast((record) => record.slot === id);
  const open = last !== undefined && last.step !== 'done' && last.step !== 'abandoned' ? last : null;
  const same = open !== null && open.to !== null && sameIdentity(open.to, identity);
  if (open !== null && same && !switched) {
    if (open.step !== 'applied') begun.left = 'finished';
    return open.id;
  }
  if (open !== null) {
    if (same && open.step === 'begun') begun.left = 'taken-back';
    await deps.journal.advance(open.id, open.step === 'begun' ? 'abandoned' : 'done', deps.now());
  }
  if (!switched) return null;
  const { changes } = plan.pins;
  const intent = { slot: id, from: plan.from && whoOf(plan.from), to: whoOf(identity), pins: changes };
  return deps.journal.begin({ ...intent, undoes }, deps.now());
}

/** The outgoing identity is parked now, unless its login lies in another OpenClaw: this slot held an older one of it. */
async function forgetPlace(repo: OpenRepo, from: Identity, { address }: Slot): Promise<void> {
  const entry = (await repo.list()).find(({ identity }) => sameIdentity(identity, from));
  if (entry?.placement?.slot === address.id) await repo.place(identityKey(from), null);
}

/**
 * The re-read a gateway does may itself rotate a token that is near its expiry: bring that home too. The switch is done
 * and proved by now, so what goes wrong here is a note.
 */
async function checkInLate(
  deps: CarryDeps,
  repo: OpenRepo,
  { entry, group }: SwitchPlan,
): Promise<readonly HostNote[]> {
  try {
    const { occupant } = await settledReading(group.main, deps);
    if (occupant.kind !== 'login' || !sameIdentity(occupant.identity, entry.identity)) {
      return [
        { code: 'SLOT_CHANGED', text: 'OpenClaw has put something else into the slot since: run it again' },
      ];
    }
    const late = await planCheckIn(repo, occupant, group.main.address.id, deps.now());
    await late.carryOut();
    return [];
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError') {
      const text =
        'OpenClaw is refreshing the new login just now; its rotated token is brought home by the next use';
      return [{ code: 'INTERRUPTED', text }];
    }
    if (!(error instanceof RouterError)) throw error;
    return [
      { code: error.code, text: `the slot could not be checked again after the switch: ${error.message}` },
    ];
  }
}

function whoOf({ accountId, userId }: Identity): Who {
  return { accountId, userId };
}
