import { identityOf } from '../claims.js';
import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { Env } from '../os/folders.js';
import type { Journal } from '../repo/journal.js';
import type { Fingerprint, IndexEntry, OpenRepo } from '../repo/repo.js';
import type { Host, HostNote, SlotGroup } from '../slot/host.js';
import { isOwnSlot } from '../slot/own-slot.js';
import type { SessionWish } from '../slot/session.js';
import type { LostLogin, Occupant, Slot, SlotChange, SlotReading } from '../slot/slot.js';
import type { CheckIn } from './check-in.js';
import { planCheckIns } from './check-ins.js';
import { type Custody, type CustodyDeps, type Holder, holderOf } from './custody.js';
import { type Damaged, damagedIn } from './damaged.js';
import { inOwnSlot, refuseInOwnSlot } from './every-slot.js';
import { isStoredCopy, lastPlaced } from './lost.js';
import { inUse, type Move, type MovePlan, planMoves } from './move.js';
import { ownerNotes, refuseTakenOver, requireOwner } from './owner.js';
import { type PinPlan, planPins } from './pins.js';
import { LOG_IN_AS_WANTED } from './remedies.js';
import { entryOf, nameOf, selectorOf } from './resolve.js';
import { type SettledDeps, settleAccounts, settledReading } from './settled.js';

export interface PlanDeps extends CustodyDeps, SettledDeps {
  readonly host: Host;
  /** Nothing will be written: that the host is not ours is a note then. */
  readonly looking?: boolean;
  /** Takes the login from whoever else holds it. */
  readonly move?: boolean;
  readonly journal: Journal;
  readonly now: () => number;
  readonly env: Env;
}

/** One slot's part of a switch. */
export interface SlotPlan {
  readonly slot: Slot;
  readonly reading: SlotReading;
  readonly put: SlotChange['put'];
  readonly takeOut: readonly string[];
}

export interface LostOwner {
  readonly entry: IndexEntry;
  readonly isOnlyCopy: boolean;
}

/** A whole switch, decided on one reading of the host, nothing written yet. */
export interface SwitchPlan {
  readonly entry: IndexEntry;
  readonly holding: Holding;
  readonly fingerprint: Fingerprint;
  readonly group: SlotGroup;
  readonly from: Identity | null;
  /**
   * The identity whose login a failed refresh of the host destroyed in the slot, or that lies there damaged; `isOnlyCopy`: the stored
   * one may be spent too.
   */
  readonly lost: LostOwner | null;
  readonly slots: readonly SlotPlan[];
  readonly checkIns: readonly CheckIn[];
  /** Where the login is taken out before it goes into the slot. */
  readonly moves: readonly Move[];
  readonly pins: PinPlan;
  readonly notes: readonly HostNote[];
}

/** Whether this plan rewrites a token in some slot; mending order and pins does not count. */
export function isSwitch({ slots, moves }: Pick<SwitchPlan, 'slots' | 'moves'>): boolean {
  return moves.length > 0 || slots.some(({ put, takeOut }) => put !== 'keep' || takeOut.length > 0);
}

/**
 * Reads everything a switch depends on and decides it (docs/architecture.md, 5 to 8).
 * @throws HOST_OWNED, VAULT_ROLLED_BACK, SLOT_FOREIGN, SLOT_UNREADABLE, IDENTITY_IN_USE, LOGIN_DOUBTFUL, IDENTITY_MISMATCH,
 * HOST_UNTRUSTED_WITH_GRANT, AGENTS_TIED, SESSION_NOT_FOUND, RECORD_DAMAGED and what the ports throw; in every case nothing was written.
 */
export async function planSwitch(
  deps: PlanDeps,
  repo: OpenRepo,
  wanted: Identity,
  agent: string,
  session: SessionWish,
): Promise<SwitchPlan> {
  const { host } = deps;
  const now = deps.now();
  const owner = deps.looking ? await ownerNotes(host, repo) : [];
  if (!deps.looking) await requireOwner(host, repo);
  const entry = entryOf(wanted, await repo.list());
  await settleAccounts(host, () => accountsIn(host, agent, wanted), deps);
  const group = await host.slotsFor(agent);
  const main = await settledReading(group.main, deps);
  const readings = [{ slot: group.main, reading: main }];
  for (const slot of group.copies) readings.push({ slot, reading: await settledReading(slot, deps) });
  const damaged = await damagedIn(repo, readings);
  for (const { slot, reading } of readings) refuseForeign(slot, reading, damaged);
  await refuseInOwnSlot(
    host,
    readings.map(({ reading }) => reading),
    wanted,
    nameOf(entry),
  );

  const ours = await planCheckIns(repo, group, readings, (who) => sameIdentity(who, wanted), now);
  const { moves, custody, ...taking } = await planTaking(deps, repo, entry, group, ours);
  const checkIns = [...ours, ...taking.checkIns];
  const home = homeOf(checkIns, wanted);
  const holding = home?.kept ?? (await repo.load(identityKey(wanted)));
  const fingerprint = home?.fingerprint ?? entry.fingerprint;
  refuseOther(holding, wanted);
  // Found in a slot of a host of ours, it is proved to be alive.
  if (homeOf(ours, wanted) === undefined && moves.every(({ kind }) => kind === 'outside'))
    refuseTakenOver(entry);
  await host.admit(holding.grant.expiresAt, now);

  const slots = readings.map(({ slot, reading }) => planSlot(repo, slot, reading, holding, fingerprint));
  for (const slot of group.choosers)
    slots.push({ slot, reading: await slot.read(), put: 'keep', takeOut: [] });
  const lost =
    main.occupant.kind === 'lost'
      ? await lostOwner(repo, group.main, main.occupant)
      : ownerOfDamaged(main.occupant, damaged);
  const pins = await planPins(host, group, slots, session, deps.env, {
    switched: isSwitch({ slots, moves }),
    unfinished: await isUnfinished(deps.journal, group.main),
  });
  const notes = [
    ...owner,
    ...host.summary.notes,
    ...group.notes,
    ...custody.notes,
    ...checkIns.flatMap(({ note }) => note ?? []),
    ...expiryNotes(holding, now),
    ...lostNotes(main, lost),
    ...pins.notes,
  ];
  const from = main.occupant.kind === 'login' ? main.occupant.identity : (lost?.entry.identity ?? null);
  return { entry, holding, fingerprint, group, from, lost, slots, checkIns, moves, pins, notes };
}

function homeOf(checkIns: readonly CheckIn[], wanted: Identity): CheckIn | undefined {
  return checkIns.findLast(({ kept }) => sameIdentity(kept.identity, wanted));
}

interface Taking extends MovePlan {
  readonly custody: Custody;
}

/**
 * Who else holds the wanted login, and how it is taken from them where that was asked for.
 * @throws IDENTITY_IN_USE
 */
async function planTaking(
  deps: PlanDeps,
  repo: OpenRepo,
  entry: IndexEntry,
  group: SlotGroup,
  ours: readonly CheckIn[],
): Promise<Taking> {
  const { host } = deps;
  const find = async (checkIns: readonly CheckIn[]) => {
    const fingerprint = homeOf(checkIns, entry.identity)?.fingerprint ?? entry.fingerprint;
    return holderOf({ entry, fingerprint }, repo, host, group, deps);
  };
  let custody = await find(ours);
  if (custody.holder === null) return { custody, moves: [], checkIns: [] };
  await refuseHeldInOwnSlot(host, custody, entry);
  const { holder } = custody;
  const canMove =
    holder.kind !== 'unknown' && (holder.kind !== 'outside' || holder.outside.taking !== undefined);
  if (!deps.move) throw inUse(holder, canMove ? moveCommand(host, entry, group) : null);
  for (const holder of custody.holders) {
    if (holder.kind === 'refreshing') await settledReading(holder.slot, deps);
  }
  custody = await find(ours);
  const plan = await planMoves(repo, entry, custody.holders, ours, deps.now());
  // What one of them made of the grant may lie in a further place.
  const again = await find([...ours, ...plan.checkIns]);
  const more = again.holders.filter((one) => !custody.holders.some((known) => samePlace(known, one)));
  if (more.length === 0) return { custody, ...plan };
  return { custody, ...(await planMoves(repo, entry, [...custody.holders, ...more], ours, deps.now())) };
}

/** What serves some sessions alone is not taken from them, not even where that was asked for. @throws IN_OWN_SLOT */
async function refuseHeldInOwnSlot(host: Host, { holders }: Custody, entry: IndexEntry): Promise<void> {
  for (const one of holders) {
    if (one.kind === 'slot' && isOwnSlot(one.profileId))
      throw await inOwnSlot(one.host, nameOf(entry), one.profileId, host);
  }
}

function samePlace(a: Holder, b: Holder): boolean {
  if (a.kind !== 'slot' || b.kind !== 'slot') return a.kind === b.kind && a.name === b.name;
  return a.slot.address.id === b.slot.address.id && a.profileId === b.profileId;
}

function moveCommand({ defaultAgent }: Host, entry: IndexEntry, { agent }: SlotGroup): string {
  const named = agent === defaultAgent ? '' : ` --agent ${agent}`;
  return `codex-router use ${selectorOf(entry)}${named} --move`;
}

/**
 * Whose login a failed refresh destroyed: whom we last put into the slot, unless the host has put another there since; else the one
 * whose very token was sent. Null when it was nobody's that is stored here.
 */
async function lostOwner(repo: OpenRepo, { address }: Slot, lost: LostLogin): Promise<LostOwner | null> {
  const entries = await repo.list();
  const placed = lastPlaced(address, lost, entries);
  if (placed !== null) return { entry: placed, isOnlyCopy: isStoredCopy(placed) };
  for (const entry of entries.filter(({ identity }) => identity.accountId === lost.accountId)) {
    const { grant } = await repo.load(identityKey(entry.identity));
    if (lost.spent(grant.refreshToken)) return { entry, isOnlyCopy: true };
  }
  return null;
}

function lostNotes({ occupant }: SlotReading, lost: LostOwner | null): readonly HostNote[] {
  if (occupant.kind === 'foreign' && lost !== null) {
    const text = `the slot held a damaged login of ${nameOf(lost.entry)}: ${occupant.what}; all of it that was left is stored`;
    return [{ code: 'ENTRY_DAMAGED', text }];
  }
  if (occupant.kind !== 'lost') return [];
  const whose = lost === null ? 'a login' : `the login of ${nameOf(lost.entry)}`;
  const left =
    lost === null
      ? 'if that account is not stored here, log it in again'
      : lost.isOnlyCopy
        ? 'the stored copy is the only one left; it can be used, and if it is refused that account must log in again'
        : 'a newer login of it is stored';
  const text = `a refresh by OpenClaw failed and destroyed ${whose} in the slot: ${left}`;
  return [{ code: 'LOGIN_LOST', text }];
}

/** Whether the last switch of this slot never came to its end: its pins may be left to set. */
async function isUnfinished(journal: Journal, { address }: Slot): Promise<boolean> {
  const last = (await journal.read()).findLast((record) => record.slot === address.id);
  return last?.step === 'begun' || last?.step === 'swapped';
}

/** The accounts whose logins a switch moves: the wanted one and the one in the slot. */
async function accountsIn(host: Host, agent: string, wanted: Identity): Promise<readonly string[]> {
  const { occupant } = await (await host.slotsFor(agent)).main.read();
  return occupant.kind === 'login' ? [wanted.accountId, occupant.identity.accountId] : [wanted.accountId];
}

function planSlot(
  repo: OpenRepo,
  slot: Slot,
  reading: SlotReading,
  holding: Holding,
  fingerprint: Fingerprint,
): SlotPlan {
  const { occupant, neighbours } = reading;
  const there = occupant.kind === 'login' && repo.fingerprint(occupant.grant) === fingerprint;
  const takeOut = neighbours
    .filter((neighbour) => neighbour.kind === 'login' && repo.fingerprint(neighbour.grant) === fingerprint)
    .map((neighbour) => neighbour.profileId);
  return { slot, reading, put: there ? 'keep' : holding, takeOut };
}

function refuseForeign({ address }: Slot, { occupant }: SlotReading, damaged: Damaged): void {
  if (occupant.kind !== 'foreign' || damaged.has(occupant)) return;
  throw new RouterError(
    'SLOT_FOREIGN',
    `${address.profileId} of agent ${address.agent} holds ${occupant.what}, which codex-router does not overwrite`,
    { hint: 'move it to another profile id in OpenClaw, then run the command again' },
  );
}

function ownerOfDamaged(occupant: Occupant, damaged: Damaged): LostOwner | null {
  const entry = damaged.get(occupant);
  return entry === undefined ? null : { entry, isOnlyCopy: false };
}

/** The record's own tokens must say what its key says: the last guard before they reach the host. @throws IDENTITY_MISMATCH */
export function refuseOther(holding: Holding, wanted: Identity): void {
  const said = identityOf(holding.grant.accessToken);
  if (sameIdentity(said, wanted)) return;
  throw new RouterError(
    'IDENTITY_MISMATCH',
    `the stored tokens belong to ${identityKey(said)}, not to ${identityKey(wanted)}`,
    { hint: LOG_IN_AS_WANTED },
  );
}

function expiryNotes(holding: Holding, now: number): readonly HostNote[] {
  if (holding.grant.expiresAt > now) return [];
  return [
    { code: 'ACCESS_EXPIRED', text: 'its access token has expired; OpenClaw refreshes it on the next turn' },
  ];
}
