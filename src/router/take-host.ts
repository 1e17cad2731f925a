import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { OpenRepo, RepoView } from '../repo/repo.js';
import type { HostNote, ReloadOutcome } from '../slot/host.js';
import { runningIn } from './carry-out.js';
import { type CheckIn, type CheckInResult, planCheckIn } from './check-in.js';
import { alsoHeld } from './check-ins.js';
import { mendLabel } from './labels.js';
import { claimHost, renewClaim, requireOwner } from './owner.js';
import { neighbourId } from './places.js';
import { type RecoverDeps, recover } from './recover.js';
import { takeOffPins } from './remove.js';
import type { PinMend } from './take-pins.js';
import {
  isUnfinished,
  planTaking,
  type StoreTaking,
  staysSomewhere,
  type TakingDeps,
  type TakingPlan,
} from './take-plan.js';

export type TakeHostDeps = TakingDeps & RecoverDeps;

export interface HostTaking extends TakingPlan {
  readonly result: 'planned' | 'routed' | 'already-routed';
  /** How each login came home; where it was planned only, what the repo has of it now. */
  readonly stored: readonly {
    readonly identity: Identity;
    readonly from: string;
    readonly result: CheckInResult;
  }[];
  /** Of the main store; null where nothing was written to it. */
  readonly reload: ReloadOutcome | null;
}

/**
 * What `takeHost` would do; writes nothing.
 * @throws HOST_OWNED, VAULT_ROLLED_BACK; as `planTaking`
 */
export async function previewTaking(deps: TakingDeps, repo: RepoView): Promise<HostTaking> {
  await requireOwner(deps.host, repo);
  const plan = await planTaking(deps);
  const stored = [];
  let isKnown = true;
  for (const { from, login } of loginsOf(plan)) {
    const result = await forecast(repo, login);
    isKnown &&= result === 'unchanged';
    stored.push({ identity: login.identity, from, result });
  }
  const isLeft = hasWork(plan) || (await isUnfinished(deps));
  const isRouted = isKnown && !isLeft && (await deps.host.owner()) !== null;
  return { ...plan, result: isRouted ? 'already-routed' : 'planned', stored, reload: null };
}

async function forecast(repo: RepoView, login: Holding): Promise<CheckInResult> {
  const entry = (await repo.list()).find(({ identity }) => sameIdentity(identity, login.identity));
  if (entry === undefined) return 'imported';
  const fingerprint = repo.fingerprint(login.grant);
  if (entry.fingerprint === fingerprint) return 'unchanged';
  return entry.former.includes(fingerprint) ? 'repo-newer' : 'taken-home';
}

function hasWork({ stores, pins }: TakingPlan): boolean {
  return stores.some(({ changes }) => changes) || pins.some(({ was, is }) => was !== is);
}

/** Attempts, where OpenClaw rotates a login between our read and its lock. */
const ATTEMPTS = 3;

/**
 * Turns a native multi-profile OpenClaw into a routed one: stores every login of every agent, sealed and proved, and only then leaves
 * one of them in the slot of each store, with order, lastGood and pins to match. A crash at any moment leaves each login in the repo, in
 * OpenClaw, or in both; run again it goes on, and finds nothing to do when it is done.
 * @throws HOST_OWNED, VAULT_ROLLED_BACK, SLOT_FOREIGN, SLOT_UNREADABLE, HOST_*, IO, BUSY; RECORD_DAMAGED where the repo does not give back
 *   what was stored: nothing was taken then
 */
export async function takeHost(deps: TakeHostDeps, repo: OpenRepo): Promise<HostTaking> {
  await requireOwner(deps.host, repo);
  const earlier = await recover(deps, repo, { except: null, reapply: false });
  return deps.withLock(async () => {
    await requireOwner(deps.host, repo);
    await repo.mend();
    for (let attempt = 1; ; attempt += 1) {
      const plan = await planTaking(deps);
      try {
        const done = await deps.critical(() => carryOut(deps, repo, plan));
        return { ...done, notes: [...earlier, ...done.notes] };
      } catch (error) {
        if (attempt === ATTEMPTS || !(error instanceof RouterError) || error.code !== 'SLOT_CHANGED')
          throw error;
      }
    }
  });
}

async function carryOut(deps: TakeHostDeps, repo: OpenRepo, plan: TakingPlan): Promise<HostTaking> {
  const { host, now } = deps;
  const wasOurs = (await host.owner()) !== null;
  const stored = await storeAll(deps, repo, plan);
  await claimHost(host, repo, now());
  const notes: HostNote[] = [];
  let reload: ReloadOutcome | null = null;
  // The main one last: what a release keeps like it is like it then, before its pins are set.
  for (const store of [...plan.stores].reverse()) {
    const mends = plan.pins.filter(({ follows }) => follows === store.slot.address.id);
    if (!store.changes && mends.every(({ was, is }) => was === is)) continue;
    const done = await routeStore(deps, repo, store, mends);
    reload = done.reload;
    notes.push(...done.notes);
  }
  await forgetPlaces(deps, repo, plan);
  notes.push(...(await renewClaim(host, repo, now())));
  const isNews = stored.some(({ result }) => result === 'imported' || result === 'taken-home');
  const result = wasOurs && !hasWork(plan) && !isNews ? 'already-routed' : 'routed';
  return { ...plan, result, stored, reload, notes: [...plan.notes, ...notes] };
}

interface Found {
  readonly store: StoreTaking;
  readonly profileId: string;
  readonly login: Holding;
  /** In words. */
  readonly from: string;
  readonly stays: boolean;
}

/** Every login of the host, those that stay first: which of two logins of one person is stored is theirs to say. */
function loginsOf({ stores }: Pick<TakingPlan, 'stores'>): readonly Found[] {
  const all = stores.flatMap((store): Found[] => {
    const { agent } = store.slot.address;
    const found = (one: { profileId: string; login: Holding }, stays: boolean): Found => ({
      ...one,
      store,
      stays,
      from: `OpenClaw ${agent}/${one.profileId}`,
    });
    const { stays } = store;
    // Where a release keeps its agents on main's login, it is main's.
    const own = stays === null || stays.because === 'main' ? [] : [found(stays, true)];
    return [...own, ...store.goes.map((one) => found(one, false))];
  });
  return [...all.filter(({ stays }) => stays), ...all.filter(({ stays }) => !stays)];
}

async function storeAll(deps: TakeHostDeps, repo: OpenRepo, plan: TakingPlan): Promise<HostTaking['stored']> {
  const stored: HostTaking['stored'][number][] = [];
  const done: CheckIn[] = [];
  for (const { store, profileId, login, from } of loginsOf(plan)) {
    const place = neighbourId(store.slot.address, profileId);
    const own = await planCheckIn(repo, login, place, deps.now());
    const checkIn = alsoHeld(repo, login, own, done) ?? null;
    const chosen = sealedBeside(repo, plan, login) ?? checkIn;
    if (chosen !== null) {
      // Each run would else seal it once more, and push a real back-up out.
      if (chosen.result !== 'repo-newer' || !(await isSealed(repo, login))) await chosen.carryOut();
      done.push(chosen);
    }
    await prove(repo, login, chosen ?? own);
    stored.push({ identity: login.identity, from, result: (chosen ?? own).result });
  }
  return stored;
}

/** Another login of somebody who stays: it does not take the place of the one that the first store to keep them runs on. */
function sealedBeside(repo: OpenRepo, { stores }: TakingPlan, login: Holding): CheckIn | null {
  const staying = stores.find(
    ({ stays }) => stays !== null && sameIdentity(stays.login.identity, login.identity),
  )?.stays;
  if (staying == null || staying.login.grant.refreshToken.equals(login.grant.refreshToken)) return null;
  const carryOut = () =>
    repo.backUp(login, 'OpenClaw had another login of this identity, which is in its slot now');
  const fingerprint = repo.fingerprint(staying.login.grant);
  return { result: 'repo-newer', kept: staying.login, fingerprint, carryOut };
}

/** The last look before it is taken out: the repo gives it back, as the stored login or as a sealed back-up. */
async function prove(repo: OpenRepo, login: Holding, { result }: CheckIn): Promise<void> {
  const key = identityKey(login.identity);
  const print = repo.fingerprint(login.grant);
  const { grant } = await repo.load(key);
  if (repo.fingerprint(grant) === print) return;
  if (result === 'repo-newer' && (await isSealed(repo, login))) return;
  throw new RouterError('RECORD_DAMAGED', `the sealed record of ${key} does not give back what was put in`, {
    hint: 'codex-router vault status --check; nothing was taken out of OpenClaw',
  });
}

async function isSealed(repo: OpenRepo, { grant }: Holding): Promise<boolean> {
  const print = repo.fingerprint(grant);
  return (await repo.backUps()).some(({ fingerprint }) => fingerprint === print);
}

async function routeStore(
  deps: TakeHostDeps,
  repo: OpenRepo,
  { slot, reading, stays, put, takeOut, changes }: StoreTaking,
  mends: readonly PinMend[],
): Promise<{ readonly reload: ReloadOutcome | null; readonly notes: readonly HostNote[] }> {
  const { host, journal, now } = deps;
  const { id, profileId, agent } = slot.address;
  const off = mends.filter(({ is }) => is === null);
  const on = mends.filter(({ was, is }) => is !== null && is !== was);
  // A pin to a login that is gone makes a chat unrunnable, so those go first.
  await takeOffPins(host, off);
  const isCopy = stays?.because === 'main';
  const who = stays === null || isCopy ? null : whoOf(stays.login.identity);
  const pins = on.map(({ agent: of, key, was }) => ({ agent: of, key, was }));
  // Whoever comes after a crash sets these pins; a switch from and to the same person is none that `undo` takes back.
  const record =
    who === null ? null : await journal.begin({ slot: id, from: who, to: who, pins, undoes: null }, now());
  let after = reading;
  if (changes) {
    if (stays !== null && !isCopy) await placeIt(repo, stays.login, id, now());
    after = await slot.replace({ expect: reading.revision, put, takeOut });
    const { occupant, neighbours } = after;
    const isThere =
      stays === null ||
      (occupant.kind === 'login' && occupant.grant.refreshToken.equals(stays.login.grant.refreshToken));
    const isLeft = neighbours.some((one) => takeOut.includes(one.profileId));
    if (!isThere || isLeft) throw notAsWritten(profileId, agent);
  }
  const { occupant } = after;
  const reload = await host.reload(slot, occupant.kind === 'login' ? occupant.grant.expiresAt : null);
  const notes: HostNote[] = [...reload.notes];
  if (reload.advice !== null) notes.push({ code: 'RELOAD_NEEDED', text: reload.advice });
  if (who !== null) notes.push(...(await mendLabel(host, stays?.login.identity.email ?? null, false, false)));
  notes.push(...(await setPins(deps, on, profileId)));
  const running = reload.effective === 'no-gateway' ? new Set() : await runningIn(host, [agent]);
  const mayChange = running === null || running.size > 0;
  if (mayChange && off.length > 0) notes.push(TURN_RUNNING);
  if (record !== null) await journal.advance(record, mayChange ? 'applied' : 'done', now());
  return { reload, notes };
}

const TURN_RUNNING: HostNote = {
  code: 'TURN_RUNNING',
  text: 'a turn may be running and write an old pin back when it ends: run the command again then, it only mends what is left',
};

/** Only where the stored grant is the one that stays: of two logins of one person the other one is stored. */
async function placeIt(
  repo: OpenRepo,
  { identity, grant }: Holding,
  slot: string,
  at: number,
): Promise<void> {
  const key = identityKey(identity);
  const entry = (await repo.list()).find((one) => identityKey(one.identity) === key);
  const fingerprint = repo.fingerprint(grant);
  if (entry?.fingerprint === fingerprint) await repo.place(key, { slot, fingerprint, at });
}

async function setPins(
  { host }: TakeHostDeps,
  mends: readonly PinMend[],
  profileId: string,
): Promise<readonly HostNote[]> {
  const notes: HostNote[] = [];
  for (const agent of new Set(mends.map((mend) => mend.agent))) {
    const keys = mends.flatMap((mend) => (mend.agent === agent ? [mend.key] : []));
    const pins = host.pinsOf(agent);
    const set = await pins.set(keys, profileId);
    for (const { key, result } of (await pins.keep?.(set, profileId)) ?? set) {
      if (result !== 'pending') continue;
      notes.push({ code: 'PINS_PENDING', text: `${key} could not be pinned now: codex-router sync sets it` });
    }
  }
  return notes;
}

/** Who went lies nowhere but in the repo now. */
async function forgetPlaces({ host }: TakeHostDeps, repo: OpenRepo, { stores }: TakingPlan): Promise<void> {
  const gone = stores.flatMap(({ goes }) => goes.map(({ login }) => login.identity));
  for (const entry of await repo.list()) {
    const went =
      gone.some((who) => sameIdentity(who, entry.identity)) && !staysSomewhere(stores, entry.identity);
    if (went && entry.placement?.slot.startsWith(`${host.summary.stateDir}#`))
      await repo.place(identityKey(entry.identity), null);
  }
}

function whoOf({ accountId, userId }: Identity) {
  return { accountId, userId };
}

function notAsWritten(profileId: string, agent: string): RouterError {
  return new RouterError(
    'SLOT_CHANGED',
    `${profileId} of agent ${agent} was not as written when it was read back`,
    {
      hint: 'codex-router doctor, then run the command again; every login is stored',
    },
  );
}
