import { RouterError } from '../errors.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { Journal, SwitchRecord, Who } from '../repo/journal.js';
import type { IndexEntry, OpenRepo, Repo } from '../repo/repo.js';
import type { HostNote, ReloadOutcome, SlotGroup } from '../slot/host.js';
import type { PinOutcome } from '../slot/pins.js';
import type { SessionWish } from '../slot/session.js';
import type { Occupant, Slot, SlotAddress } from '../slot/slot.js';
import { type CheckInResult, planCheckIn } from './check-in.js';
import { mendLabel } from './labels.js';
import type { Affects, PinPlan } from './pins.js';
import { resolve } from './resolve.js';
import { settledReading } from './settled.js';
import { type Begun, writeSlots } from './slot-writes.js';
import { isSwitch, type PlanDeps, planSwitch, type SwitchPlan } from './switch-plan.js';

export interface UseDeps extends PlanDeps {
  readonly repo: Repo;
  /** The vault, being opened since the command began (it may be waiting for a keychain). */
  readonly opening: Promise<OpenRepo>;
  readonly journal: Journal;
  /** Our own lock, always taken before any of the host's. */
  withLock<T>(work: () => Promise<T>): Promise<T>;
  /** Runs what an interruption must not cut in half. */
  critical<T>(work: () => Promise<T>): Promise<T>;
}

export interface UseRequest {
  readonly selector: string;
  readonly agent: string | null;
  readonly session: SessionWish;
  readonly dryRun: boolean;
  /** Takes a name out of the host's configuration that would lie about who is in the slot. */
  readonly fixLabels?: boolean;
}

export interface UseAnswer {
  readonly result: 'switched' | 'already-active' | 'planned';
  readonly from: Identity | null;
  /** The index entry of the identity that is (or would be) in the slot. */
  readonly to: IndexEntry;
  readonly slot: SlotAddress;
  readonly session: PinPlan['current'];
  readonly pins: readonly PinOutcome[];
  readonly affects: Affects;
  readonly checkedIn: readonly { readonly identity: Identity; readonly result: CheckInResult }[];
  /** Null for a plan: nothing was told to anybody. */
  readonly reload: ReloadOutcome | null;
  readonly notes: readonly HostNote[];
}

/**
 * Puts one stored identity into OpenClaw's slot, proves it, and syncs the current session (docs/architecture.md).
 * Idempotent: run again after a crash, or on the identity that is active, it mends what is left and rewrites no token.
 * @throws IDENTITY_*, SLOT_*, HOST_*, AGENT*, KEY*, VAULT_*, RECORD_DAMAGED, NO_PREVIOUS, SESSION_NOT_FOUND, BUSY
 */
export async function use(deps: UseDeps, request: UseRequest): Promise<UseAnswer> {
  const agent = request.agent ?? agentOf(request.session) ?? deps.host.defaultAgent;
  const wanted = await select(deps, request.selector, agent);
  const repo = await deps.opening;
  const begun: Begun = { record: null, from: null };
  return deps.withLock(async () => {
    // The host may rotate the slot between our read and its lock; then decide again on what is there now.
    for (let attempt = 1; ; attempt += 1) {
      const plan = await planSwitch(deps, repo, wanted.identity, agent, request.session);
      if (request.agent !== null && plan.group.tied) throw tiedAgents(plan.group);
      if (request.dryRun) {
        const label = await mendLabel(deps.host, wanted.identity.email, false, false);
        const notes = [...plan.notes, ...label];
        return answer({ ...plan, notes }, 'planned', plan.pins.planned, null);
      }
      try {
        return await deps.critical(() => carryOut(deps, repo, plan, begun, request.fixLabels ?? false));
      } catch (error) {
        if (attempt === 3 || !(error instanceof RouterError) || error.code !== 'SLOT_CHANGED') throw error;
      }
    }
  });
}

/** Law 1: two agents on two identities would be made one again by this release, over the other's login. */
function tiedAgents({ agent, follows, notes }: SlotGroup): RouterError {
  const why =
    notes.find(({ code }) => code === 'AGENTS_TIED')?.text ?? 'this release keeps all agents on one login';
  return new RouterError('AGENTS_TIED', `agent ${agent} cannot be switched alone: ${why}`, {
    hint: `codex-router use without --agent switches all of them: ${follows.join(', ')}`,
  });
}

async function select(deps: UseDeps, selector: string, agent: string): Promise<IndexEntry> {
  const entries = await deps.repo.list();
  if (selector !== '-') return resolve(selector, entries);
  const { main } = await deps.host.slotsFor(agent);
  const { occupant } = await main.read();
  const last = (await deps.journal.read()).findLast(
    (record) => record.slot === main.address.id && isChange(record) && hasSwitched(record, occupant),
  );
  if (last === undefined || last.from === null) {
    throw new RouterError('NO_PREVIOUS', 'there is no earlier identity to go back to', {
      hint: 'codex-router list',
    });
  }
  return resolve(identityKey(last.from), entries);
}

/** A renewed login of the same identity, or one put back, is no step of the way back. */
function isChange({ from, to }: SwitchRecord): boolean {
  return from === null || to === null || !sameIdentity(from, to);
}

/** A switch that a crash stopped right after the slot was written never said so: then the slot itself tells. */
function hasSwitched({ step, to }: SwitchRecord, occupant: Occupant): boolean {
  if (step !== 'begun') return step !== 'abandoned';
  return occupant.kind === 'login' && to !== null && sameIdentity(occupant.identity, to);
}

function agentOf(session: SessionWish): string | null {
  return session.kind === 'key' ? (/^agent:([^:]+):/.exec(session.key)?.[1] ?? null) : null;
}

async function carryOut(
  deps: UseDeps,
  repo: OpenRepo,
  plan: SwitchPlan,
  begun: Begun,
  fixLabels: boolean,
): Promise<UseAnswer> {
  const { entry, group } = plan;
  for (const checkIn of plan.checkIns) await checkIn.carryOut();
  if (plan.lost?.isOnlyCopy) await repo.doubt(identityKey(plan.lost.entry.identity), 'refresh-failed');

  const switched = isSwitch(plan) || begun.record !== null;
  if (begun.record === null) {
    begun.from = plan.from;
    begun.record = await beginRecord(deps, plan, switched);
  }
  const { from } = begun;
  await writeSlots(deps, repo, plan, begun, switched);
  const { record } = begun;
  if (switched && record !== null) await deps.journal.advance(record, 'swapped', deps.now());
  if (from !== null && !sameIdentity(from, entry.identity)) await forgetPlace(repo, from, group.main);

  const reload = await deps.host.reload(group.main, plan.holding.grant.expiresAt);
  // Nobody was told to re-read, so nobody can have rotated it by that.
  const late = reload.effective === 'no-gateway' ? [] : await checkInLate(deps, repo, plan);
  const running = reload.effective === 'no-gateway' ? null : await deps.host.activeRuns(group.agent);
  const pins = await plan.pins.carryOut(running);
  await endRecord(deps, plan, record, pins.failed);
  const gatewayRuns = reload.effective !== 'no-gateway';
  const label = await mendLabel(deps.host, entry.identity.email, fixLabels, gatewayRuns);
  const notes = [...plan.notes, ...reload.notes, ...late, ...pins.notes, ...label];
  const result = switched ? 'switched' : 'already-active';
  return answer({ ...plan, from, notes }, result, pins.outcomes, reload);
}

/** A switch whose pins could not be written stays open in the journal, so that the next run looks for them everywhere. */
async function endRecord(
  { journal, now }: UseDeps,
  { entry, group }: SwitchPlan,
  record: string | null,
  failed: boolean,
): Promise<void> {
  if (!failed) {
    if (record !== null) await journal.advance(record, 'done', now());
  } else if (record === null) {
    const who = whoOf(entry.identity);
    await journal.advance(await journal.begin(group.main.address.id, who, who, now()), 'swapped', now());
  }
}

/** A new record for a switch; else the one that a crash left unfinished and that this run finishes; else null. */
async function beginRecord(deps: UseDeps, plan: SwitchPlan, switched: boolean): Promise<string | null> {
  const { id } = plan.group.main.address;
  const { identity } = plan.entry;
  if (switched) return deps.journal.begin(id, plan.from && whoOf(plan.from), whoOf(identity), deps.now());
  const last = (await deps.journal.read()).findLast((record) => record.slot === id);
  if (last === undefined || last.step === 'done' || last.step === 'abandoned') return null;
  if (last.to !== null && sameIdentity(last.to, identity)) return last.id;
  await deps.journal.advance(last.id, 'abandoned', deps.now());
  return null;
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
  deps: UseDeps,
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

function answer(
  plan: SwitchPlan,
  result: UseAnswer['result'],
  pins: readonly PinOutcome[],
  reload: ReloadOutcome | null,
): UseAnswer {
  return {
    result,
    from: plan.from,
    to: plan.entry,
    slot: plan.group.main.address,
    session: plan.pins.current,
    pins,
    affects: plan.pins.affects,
    checkedIn: plan.checkIns
      .map(({ kept, result: checkIn }) => ({ identity: kept.identity, result: checkIn }))
      .filter(({ result: checkIn }) => checkIn !== 'unchanged'),
    reload,
    notes: plan.notes,
  };
}
