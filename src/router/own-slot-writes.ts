import { RouterError } from '../errors.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { Env } from '../os/folders.js';
import type { Journal, PinChange, Who } from '../repo/journal.js';
import type { OpenRepo } from '../repo/repo.js';
import type { Host, HostNote, ReloadOutcome } from '../slot/host.js';
import type { PinOutcome } from '../slot/pins.js';
import type { Slot } from '../slot/slot.js';
import { runningIn } from './carry-out.js';
import { planCheckIn } from './check-in.js';
import { damagedIn } from './damaged.js';
import type { AgentSession } from './every-slot.js';
import { withKept } from './kept-connections.js';
import type { OwnSlotPlan } from './own-slot-plan.js';
import { claimHost, renewClaim } from './owner.js';
import { keepPins, setPins, type Target } from './pins.js';
import { type SettledDeps, settledReading } from './settled.js';

export interface OwnWriteDeps extends SettledDeps {
  readonly host: Host;
  readonly journal: Journal;
  readonly env: Env;
  /** ms epoch */
  readonly now: () => number;
}

export interface OwnDone {
  /** Whether anything of the host was changed. */
  readonly changed: boolean;
  readonly pins: readonly PinOutcome[];
  readonly reload: ReloadOutcome;
  readonly notes: readonly HostNote[];
}

/**
 * The login first and the pins after it: a session that is pinned to a login that is not there yet runs no more (9.6). Each step is in
 * the journal before it is begun.
 * @throws what `Slot.replace`, the repo and the journal throw; SLOT_CHANGED when it does not hold the login when it is read back
 */
export async function carryOutOwn(deps: OwnWriteDeps, repo: OpenRepo, plan: OwnSlotPlan): Promise<OwnDone> {
  const { host, journal, now } = deps;
  for (const checkIn of plan.checkIns) await checkIn.carryOut();
  await claimHost(host, repo, now());
  const writes = plan.put !== 'keep' || !plan.reading.selectable;
  const changed = writes || plan.changes.length > 0;
  const record = changed ? await begin(deps, plan) : null;
  if (writes) await writeLogin(deps, repo, plan, record);
  if (record !== null) await journal.advance(record, 'swapped', now());
  const { outgoing, entry, slot } = plan;
  if (outgoing !== null && !sameIdentity(outgoing, entry.identity)) await forgetPlace(repo, outgoing, slot);

  const reload = await host.reload(slot, plan.holding.grant.expiresAt);
  const gatewayRuns = reload.effective !== 'no-gateway';
  const late = gatewayRuns ? await checkInLate(deps, repo, slot, entry.identity) : [];
  const agents = plan.targets.map(({ pins }) => pins.agent);
  const running = gatewayRuns ? await runningIn(host, agents) : null;
  const pins = await pinAll(deps, plan.targets, slot.address.profileId, running);
  const open = gatewayRuns && (running === null || running.size > 0);
  if (record !== null) {
    const pending = open || pins.outcomes.some(({ result }) => result === 'pending');
    await journal.advance(record, pins.failed ? 'swapped' : pending ? 'applied' : 'done', now());
  }
  const kept = withKept({
    reload,
    changedAt: writes ? now() : null,
    current: plan.following[0]?.key ?? null,
    following: plan.following,
    pins: plan.targets.flatMap(({ planned }) => planned),
    running,
    now: now(),
  });
  const notes = [
    ...reload.notes,
    ...kept.notes,
    ...late,
    ...pins.notes,
    ...(await renewClaim(host, repo, now())),
  ];
  return { changed, pins: pins.outcomes, reload: kept.reload, notes };
}

async function begin({ journal, now }: OwnWriteDeps, plan: OwnSlotPlan): Promise<string> {
  const { slot, outgoing, entry, changes } = plan;
  const last = (await journal.read()).findLast((record) => record.slot === slot.address.id);
  if (last !== undefined && last.step !== 'done' && last.step !== 'abandoned') {
    await journal.advance(last.id, last.step === 'begun' ? 'abandoned' : 'done', now());
  }
  const from = outgoing && whoOf(outgoing);
  const intent = { slot: slot.address.id, from, to: whoOf(entry.identity), pins: changes, undoes: null };
  return journal.begin(intent, now());
}

async function writeLogin(
  { journal, now }: OwnWriteDeps,
  repo: OpenRepo,
  { entry, fingerprint, slot, reading, put }: OwnSlotPlan,
  record: string | null,
): Promise<void> {
  const key = identityKey(entry.identity);
  // Before the write: a crash in between then still knows which grant the slot may hold.
  await repo.place(key, { slot: slot.address.id, fingerprint, at: now() });
  try {
    const { occupant } = await slot.replace({ expect: reading.revision, put, takeOut: [] });
    const proved = occupant.kind === 'login' && repo.fingerprint(occupant.grant) === fingerprint;
    if (!proved) throw notAsWritten(slot);
  } catch (error) {
    const { occupant } = await slot.read();
    const isThere = occupant.kind === 'login' && sameIdentity(occupant.identity, entry.identity);
    if (!isThere) {
      await repo.place(key, entry.placement);
      if (record !== null) await journal.advance(record, 'abandoned', now());
    }
    throw error;
  }
}

function notAsWritten({ address }: Slot): RouterError {
  return new RouterError(
    'SLOT_CHANGED',
    `${address.profileId} did not hold the login when it was read back`,
    { hint: 'codex-router status, then run the command again; the login is stored' },
  );
}

/** Points the sessions of each target at a profile, and puts back what the host wrote over meanwhile. Never a RouterError. */
export async function pinAll(
  { env }: Pick<OwnWriteDeps, 'env'>,
  targets: readonly Target[],
  profileId: string,
  running: ReadonlySet<string> | null,
): Promise<{
  readonly outcomes: readonly PinOutcome[];
  readonly notes: readonly HostNote[];
  readonly failed: boolean;
}> {
  const written: Awaited<ReturnType<typeof setPins>>[] = [];
  for (const target of targets) written.push(await setPins(target, profileId));
  const done = await Promise.all(written.map((each) => keepPins(each, profileId, env, running)));
  return {
    outcomes: done.flatMap(({ outcomes }) => outcomes),
    notes: done.flatMap(({ notes }) => notes),
    failed: done.some(({ failed }) => failed),
  };
}

/** Sessions as what `pinAll` writes. */
export function targetsFor(
  host: Pick<Host, 'pinsOf'>,
  sessions: readonly (AgentSession & { readonly was: string | null })[],
  is: string,
): readonly Target[] {
  return [...new Set(sessions.map(({ agent }) => agent))].map((agent) => ({
    pins: host.pinsOf(agent),
    planned: sessions.flatMap(({ agent: of, key, was }): PinOutcome[] =>
      of === agent ? [{ key, was, is, result: was === is ? 'already' : 'set' }] : [],
    ),
  }));
}

/** The pins of a record that are as they were before it; one that is something else by now was chosen since. */
export async function stillAsBefore(host: Host, pins: readonly PinChange[]): Promise<readonly PinChange[]> {
  const old: PinChange[] = [];
  for (const agent of new Set(pins.map((pin) => pin.agent))) {
    const pinnedTo = new Map((await host.pinsOf(agent).read()).map((entry) => [entry.key, entry.pinnedTo]));
    old.push(...pins.filter((pin) => pin.agent === agent && pinnedTo.get(pin.key) === pin.was));
  }
  return old;
}

/** Empties an own slot nobody is pinned to: what is in it comes home first, and what is no login of ours stays. @throws what `Slot.replace` and the repo throw */
export async function emptyOwnSlot(
  deps: OwnWriteDeps,
  repo: OpenRepo,
  slot: Slot,
): Promise<{
  readonly checkedIn: Awaited<ReturnType<typeof planCheckIn>> | null;
  readonly isEmpty: boolean;
  readonly reload: ReloadOutcome;
}> {
  const reading = await settledReading(slot, deps);
  const { occupant } = reading;
  const checkedIn =
    occupant.kind === 'login' ? await planCheckIn(repo, occupant, slot.address.id, deps.now()) : null;
  await checkedIn?.carryOut();
  const isEmpty = occupant.kind !== 'foreign' || (await damagedIn(repo, [{ reading }])).has(occupant);
  if (isEmpty && occupant.kind !== 'absent') {
    await slot.replace({ expect: reading.revision, put: null, takeOut: [] });
  }
  // Also whose login a failed refresh destroyed there: it can be told by nothing else any more.
  const placed = (await repo.list()).filter(({ placement }) => placement?.slot === slot.address.id);
  if (isEmpty) for (const { identity } of placed) await repo.place(identityKey(identity), null);
  return { checkedIn, isEmpty, reload: await deps.host.reload(slot, null) };
}

/** Who was there is parked now. */
export async function forgetPlace(repo: OpenRepo, who: Who, { address }: Slot): Promise<void> {
  const entry = (await repo.list()).find(({ identity }) => sameIdentity(identity, who));
  if (entry?.placement?.slot === address.id) await repo.place(identityKey(entry.identity), null);
}

/** The re-read a gateway does may itself rotate a token that is near its expiry: bring that home too. */
async function checkInLate(
  deps: OwnWriteDeps,
  repo: OpenRepo,
  slot: Slot,
  who: Identity,
): Promise<readonly HostNote[]> {
  try {
    const { occupant } = await settledReading(slot, deps);
    if (occupant.kind !== 'login' || !sameIdentity(occupant.identity, who)) {
      return [{ code: 'SLOT_CHANGED', text: 'OpenClaw has put something else into the own slot since' }];
    }
    await (await planCheckIn(repo, occupant, slot.address.id, deps.now())).carryOut();
    return [];
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return [{ code: error.code, text: `the own slot could not be checked again: ${error.message}` }];
  }
}

export function whoOf({ accountId, userId }: Who): Who {
  return { accountId, userId };
}
