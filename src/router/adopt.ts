import { RouterError } from '../errors.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { Fingerprint, IndexEntry, OpenRepo, Placement } from '../repo/repo.js';
import type { Host, HostNote, HostOwner } from '../slot/host.js';
import type { CheckInResult } from './check-in.js';
import { planCheckIns } from './check-ins.js';
import { claimOf, type OwnerReading, type Ownership, readOwnership } from './owner.js';
import { loginsIn, neighbourId, parsePlace, storeOf } from './places.js';
import type { ReadSlot } from './settled.js';
import { type SettledDeps, settledReading } from './settled.js';

export interface AdoptDeps extends SettledDeps {
  readonly host: Host;
  /** ms epoch */
  readonly now: () => number;
  withLock<T>(work: () => Promise<T>): Promise<T>;
  critical<T>(work: () => Promise<T>): Promise<T>;
}

/** `unreadable`: the owner file cannot be understood, so it may be another's. */
export type AdoptedFrom = Ownership | 'unreadable';

export interface Adoption {
  /** Whose the host was. */
  readonly was: AdoptedFrom;
  readonly owner: HostOwner | null;
  /** What was brought home from its slots, but for what was stored already. */
  readonly checkedIn: readonly { readonly identity: Identity; readonly result: CheckInResult }[];
  /** Whose stored login may have been spent by the other router: not used until it is logged in or imported again. */
  readonly doubted: readonly IndexEntry[];
  readonly notes: readonly HostNote[];
}

/** What an adoption would do, for the person to confirm; writes nothing. @throws what `Host.owner` and `Slot.read` throw */
export async function planAdoption(deps: AdoptDeps, repo: OpenRepo): Promise<Adoption> {
  const { was, owner } = await ownerNow(deps.host, repo);
  const notes: HostNote[] = [];
  const checkedIn: Adoption['checkedIn'][number][] = [];
  const kept = new Map<string, Fingerprint>();
  const slots = await readSlots(deps, notes);
  for (const { group, readings } of slots) {
    for (const { kept: holding, result, fingerprint } of await planned(repo, group, readings, deps.now())) {
      checkedIn.push({ identity: holding.identity, result });
      kept.set(identityKey(holding.identity), fingerprint);
    }
  }
  const entries = (await repo.list()).map((entry) => {
    const print = kept.get(identityKey(entry.identity));
    return print === undefined ? entry : { ...entry, fingerprint: print };
  });
  const proved = provedIn(repo, slots, entries);
  const doubted = entries.filter((entry) => isDoubtful(entry, was, deps.host, proved));
  return { was, owner, checkedIn: checkedIn.filter(isNews), doubted, notes };
}

/**
 * Makes this vault the one that routes the host. First what lies in its slots comes home, by proof; then every stored login that the
 * router before may have spent is marked; only then our name is left there; and what changed in the slots until then comes home too.
 * A crash in between leaves marks that are too many, never one too few.
 * @throws SLOT_CHANGED when yet another router came first; what the ports throw
 */
export async function adopt(deps: AdoptDeps, repo: OpenRepo): Promise<Adoption> {
  const { host, now } = deps;
  return deps.withLock(async () => {
    const { was, owner } = await ownerNow(host, repo);
    return deps.critical(async () => {
      const notes: HostNote[] = [];
      const before = await takeStock(deps, repo, was, notes);
      if (was === 'ahead' && owner !== null) await repo.outgrow(owner.generation);
      await host.claim(await claimOf(repo, now()), was === 'unreadable' ? 'unreadable' : owner);
      // The router before did not know until now, and may have written since the first look.
      const after = await takeStock(deps, repo, was, []);
      if (await isBehind(host, repo)) await host.claim(await claimOf(repo, now()), await host.owner());
      // Of two copies of the same second the first look keeps the stored one; once that is doubted, the second look decides.
      const lastWord = new Map(
        [...before, ...after].filter(isNews).map((one) => [identityKey(one.identity), one]),
      );
      const checkedIn = [...lastWord.values()];
      const doubted = (await repo.list()).filter(({ doubt }) => doubt === 'taken-over');
      return { was, owner, checkedIn, doubted, notes };
    });
  });
}

async function isBehind(host: Host, repo: OpenRepo): Promise<boolean> {
  return (await host.owner())?.generation !== (await repo.standing())?.generation;
}

async function ownerNow(
  host: Host,
  repo: OpenRepo,
): Promise<{ readonly was: AdoptedFrom; readonly owner: OwnerReading['owner'] }> {
  try {
    const { ownership, owner } = await readOwnership(host, repo);
    return { was: ownership, owner };
  } catch (error) {
    if (!(error instanceof RouterError) || error.code !== 'HOST_UNREADABLE') throw error;
    return { was: 'unreadable', owner: null };
  }
}

interface ReadGroup {
  readonly group: { readonly main: ReadSlot['slot'] };
  /** The main slot first. */
  readonly readings: readonly ReadSlot[];
}

/** Every slot of the host, those that a release keeps alike together; one that cannot be read is noted. */
async function readSlots(deps: AdoptDeps, notes: HostNote[]): Promise<readonly ReadGroup[]> {
  const { host } = deps;
  const seen = new Set<string>();
  const groups: ReadGroup[] = [];
  const add = async (main: ReadSlot['slot'], copies: readonly ReadSlot['slot'][]) => {
    const readings: ReadSlot[] = [];
    for (const slot of [main, ...copies]) {
      if (seen.has(slot.address.id)) continue;
      seen.add(slot.address.id);
      try {
        readings.push({ slot, reading: await settledReading(slot, deps) });
      } catch (error) {
        if (!(error instanceof RouterError) || error.code === 'HOST_BUSY') throw error;
        notes.push({ code: 'HOLDER_UNREADABLE', text: `agent ${slot.address.agent}: ${error.message}` });
      }
    }
    if (readings.length > 0) groups.push({ group: { main }, readings });
  };
  for (const agent of host.agents) {
    try {
      const { main, copies } = await host.slotsFor(agent);
      await add(main, copies);
    } catch (error) {
      if (!(error instanceof RouterError) || error.code === 'HOST_BUSY') throw error;
    }
  }
  for (const slot of await host.allSlots()) await add(slot, []);
  return groups;
}

async function planned(
  repo: OpenRepo,
  group: ReadGroup['group'],
  readings: readonly ReadSlot[],
  now: number,
) {
  const stored = await repo.list();
  const isStored = (who: Identity) => stored.some(({ identity }) => sameIdentity(identity, who));
  return planCheckIns(repo, group, readings, isStored, now);
}

/** Brings home what lies in the slots, and says of every stored login what is known of it then. */
async function takeStock(
  deps: AdoptDeps,
  repo: OpenRepo,
  was: AdoptedFrom,
  notes: HostNote[],
): Promise<Adoption['checkedIn']> {
  const { host, now } = deps;
  const checkedIn: Adoption['checkedIn'][number][] = [];
  const slots = await readSlots(deps, notes);
  for (const { group, readings } of slots) {
    for (const checkIn of await planned(repo, group, readings, now())) {
      await checkIn.carryOut();
      checkedIn.push({ identity: checkIn.kept.identity, result: checkIn.result });
    }
  }
  const entries = await repo.list();
  const proved = provedIn(repo, slots, entries);
  for (const entry of entries) {
    const key = identityKey(entry.identity);
    const place = proved.get(key);
    if (place !== undefined) {
      if (entry.placement?.slot !== place) {
        const placement: Placement = { slot: place, fingerprint: entry.fingerprint, at: now() };
        await repo.place(key, placement);
      }
      if (entry.doubt === 'taken-over') await repo.doubt(key, null);
      continue;
    }
    if (isDoubtful(entry, was, host, proved)) await repo.doubt(key, 'taken-over');
    if (isPlacedIn(entry, host) && isRead(entry, slots)) await repo.place(key, null);
  }
  return checkedIn;
}

/** Where each stored grant lies in these slots right now, by identity key. */
function provedIn(
  repo: OpenRepo,
  slots: readonly ReadGroup[],
  entries: readonly IndexEntry[],
): ReadonlyMap<string, string> {
  const places = new Map<Fingerprint, string>();
  for (const { group, readings } of slots) {
    for (const { slot, reading } of readings) {
      for (const { login, profileId } of loginsIn(slot, reading)) {
        const print = repo.fingerprint(login.grant);
        const isOwn = profileId === slot.address.profileId;
        const place = isOwn ? group.main.address.id : neighbourId(slot.address, profileId);
        if (!places.has(print)) places.set(print, place);
      }
    }
  }
  const proved = new Map<string, string>();
  for (const { identity, fingerprint } of entries) {
    const place = places.get(fingerprint);
    if (place !== undefined) proved.set(identityKey(identity), place);
  }
  return proved;
}

/**
 * Whether somebody else may have spent the stored login. Another router: what we last left in this very host and is no longer there. A
 * later state of this vault: anything, for nobody can say what it refreshed.
 */
function isDoubtful(
  entry: IndexEntry,
  was: AdoptedFrom,
  host: Host,
  proved: ReadonlyMap<string, string>,
): boolean {
  const { placement, fingerprint, doubt } = entry;
  if (was === 'nobody' || was === 'ours' || doubt === 'login-needed') return false;
  if (proved.has(identityKey(entry.identity))) return false;
  return was === 'ahead' || (isPlacedIn(entry, host) && placement?.fingerprint === fingerprint);
}

/** Whether the store it was put into could be read: one that could not may still have it. */
function isRead({ placement }: IndexEntry, slots: readonly ReadGroup[]): boolean {
  const read = slots.flatMap(({ readings }) => readings.map(({ slot }) => storeOf(slot.address.id)));
  return placement !== null && read.includes(storeOf(placement.slot));
}

function isPlacedIn({ placement }: IndexEntry, { summary }: Host): boolean {
  return placement !== null && parsePlace(placement.slot)?.stateDir === summary.stateDir;
}

function isNews({ result }: Adoption['checkedIn'][number]): boolean {
  return result !== 'unchanged';
}
