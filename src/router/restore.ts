import { RouterError } from '../errors.js';
import { issuedAt } from '../grant.js';
import type { Holding } from '../holding.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { BackUp, IndexEntry, OpenRepo, Placement, SoundBackUp } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import { isOwnSlot } from '../slot/own-slot.js';
import type { Neighbour, Occupant, Slot, SlotReading } from '../slot/slot.js';
import { type CustodyDeps, placedElsewhere, readOrNote } from './custody.js';
import { inOwnSlot } from './every-slot.js';
import { refuseLent } from './lent.js';
import { neighbourId } from './places.js';
import { type SettledDeps, settleAccounts } from './settled.js';

export interface RestoreDeps extends Pick<CustodyDeps, 'hostAt'>, SettledDeps {
  /** Null when there is no OpenClaw here: then no slot can hold the identity. */
  readonly host: Host | null;
  /** The lock of one identity's grant; taken before `withLock`. */
  withGrantLock<T>(who: Identity, work: () => Promise<T>): Promise<T>;
  withLock<T>(work: () => Promise<T>): Promise<T>;
  critical<T>(work: () => Promise<T>): Promise<T>;
  /** ms epoch */
  readonly now: () => number;
}

/** A back-up as it is listed, with what is stored now of the same identity. */
export interface Listed<Kind extends BackUp = BackUp> {
  /** Counts from the newest, 1; moves with every new back-up. */
  readonly number: number;
  readonly backUp: Kind;
  /** Null when that identity is not stored now, or a damaged back-up does not tell whose it is. */
  readonly entry: IndexEntry | null;
  /** Whether it is the very grant that is stored now; null for a damaged one. */
  readonly isStored: boolean | null;
}

/** What a restoration would do, for the person to confirm. */
export interface Restoration {
  readonly chosen: Listed<SoundBackUp>;
  /** False when the very grant is stored already: nothing is to do. */
  readonly changes: boolean;
  /** Whether a stored login gives way, and is sealed as a back-up first. */
  readonly seals: boolean;
  readonly notes: readonly HostNote[];
}

export interface RestorePlan extends Restoration {
  readonly copy: Holding;
  /** What gives way; null when there is nothing, or nothing that can be opened. */
  readonly stored: Holding | null;
  /** Where the copy's grant lies in a host; null when it is parked. */
  readonly placement: Placement | null;
}

/** The back-ups, newest first. Writes nothing. */
export async function listBackUps(repo: OpenRepo): Promise<readonly Listed[]> {
  const entries = await repo.list();
  return (await repo.backUps()).map((backUp, place): Listed => {
    const { identity, fingerprint } = backUp;
    const entry =
      identity === null ? null : (entries.find((one) => sameIdentity(one.identity, identity)) ?? null);
    const isStored = identity === null ? null : entry?.fingerprint === fingerprint;
    return { number: place + 1, backUp, entry, isStored };
  });
}

/**
 * The one that is meant, by its number or its id.
 * @throws BACKUP_NOT_FOUND; RECORD_DAMAGED when it cannot be opened
 */
export function choose(which: string, listed: readonly Listed[]): Listed<SoundBackUp> {
  const found = listed.find(({ number, backUp }) => which === `${number}` || which === backUp.id);
  if (found === undefined) {
    throw new RouterError('BACKUP_NOT_FOUND', 'there is no such back-up', { hint: 'codex-router restore' });
  }
  const { backUp } = found;
  if (backUp.identity !== null) return { ...found, backUp };
  throw new RouterError('RECORD_DAMAGED', backUp.trouble, { hint: 'choose another: codex-router restore' });
}

/**
 * Previews a restoration; writes nothing.
 *
 * Refused while a slot holds another login of this identity: its host rotates that one, so it is newer than any copy, and two logins
 * of one identity would then stand against each other at the next check-in, where the restored one would win without being newer.
 * After `use <another>` the slot's login is at home, gives way in the open, and is sealed like any other. A slot that holds the very
 * grant of the copy refuses nothing: there the copy is the truth. What cannot be read is noted and stops nothing, because a
 * restoration overwrites no slot and seals what it overwrites here.
 * @throws IDENTITY_IN_USE; LENT while Codex has the login; HOST_BUSY while a slot is being refreshed; BACKUP_NOT_FOUND, RECORD_DAMAGED
 */
export async function planRestore(deps: RestoreDeps, repo: OpenRepo, id: string): Promise<RestorePlan> {
  const chosen = choose(id, await listBackUps(repo));
  const { entry } = chosen;
  const copy = await repo.openBackUp(id);
  const notes: HostNote[] = [];
  const stored = entry === null ? null : await storedOf(repo, entry, notes);
  const changes = stored === null || chosen.isStored !== true;
  if (!changes) return { chosen, copy, stored, changes, seals: false, placement: null, notes };
  if (entry !== null) refuseLent(entry, ['grant']);
  const placement = await placeOf(deps, repo, chosen, notes);
  if (stored !== null && laterThan(stored, copy)) {
    notes.push({
      code: 'OLDER_LOGIN',
      text: 'it was issued before the one stored now: if both come from the same login, its refresh token is spent',
    });
  }
  if (placement?.fingerprint !== chosen.backUp.fingerprint) notes.push(doubtful(stored !== null));
  return { chosen, copy, stored, changes, seals: stored !== null, placement, notes };
}

/**
 * Makes a back-up the stored login of its identity, which comes back if it was removed. What is stored now is sealed first. The restored
 * login is in doubt, since its refresh token may be spent, until a refresh of it has been answered.
 * @returns what was really done, decided anew under the locks
 * @throws as `planRestore`; BUSY, IO
 */
export async function restore(
  deps: RestoreDeps,
  repo: OpenRepo,
  { chosen }: Restoration,
): Promise<Restoration> {
  const { id, identity } = chosen.backUp;
  return deps.withGrantLock(identity, () =>
    deps.withLock(async () => {
      const decided = await planRestore(deps, repo, id);
      if (decided.changes) await deps.critical(() => carryOut(repo, decided));
      return decided;
    }),
  );
}

async function carryOut(repo: OpenRepo, { copy, stored, placement, chosen }: RestorePlan): Promise<void> {
  if (stored !== null) await repo.backUp(stored, 'another login of this identity was restored');
  const isHeld = placement?.fingerprint === chosen.backUp.fingerprint;
  await repo.save(copy, {
    ...(chosen.entry === null ? { source: 'slot' as const } : {}),
    verified: false,
    sharedWith: null,
    placement,
    doubt: isHeld ? null : 'restored',
  });
}

/** Null when its record is damaged: then there is nothing to seal, and the damaged record is set aside by the save. */
async function storedOf(repo: OpenRepo, entry: IndexEntry, notes: HostNote[]): Promise<Holding | null> {
  try {
    return await repo.load(identityKey(entry.identity));
  } catch (error) {
    if (!(error instanceof RouterError) || error.code !== 'RECORD_DAMAGED') throw error;
    notes.push({ code: error.code, text: `the stored login cannot be opened: ${error.message}` });
    return null;
  }
}

function doubtful(seals: boolean): HostNote {
  const back = seals ? 'codex-router restore 1 takes this back, or ' : '';
  const text = `its refresh token may be spent, and its next refresh be refused: then ${back}codex-router login, as that account`;
  return { code: 'RESTORED', text };
}

function laterThan(stored: Holding, copy: Holding): boolean {
  const [is, was] = [issuedAt(stored.grant), issuedAt(copy.grant)];
  return is !== null && was !== null && is > was;
}

/** Where the copy's grant lies in a host now, by what can be known; null when it is parked. @throws IDENTITY_IN_USE, HOST_BUSY */
async function placeOf(
  deps: RestoreDeps,
  repo: OpenRepo,
  { backUp, entry }: Listed<SoundBackUp>,
  notes: HostNote[],
): Promise<Placement | null> {
  const { identity, fingerprint } = backUp;
  const { host } = deps;
  if (host !== null) await settleAccounts(host, async () => [identity.accountId], deps);
  const seen = new Set<string>();
  const holders: string[] = [];
  for (const slot of host === null ? [] : await host.allSlots()) {
    const reading = await readOrNote(() => slot.read(), `agent ${slot.address.agent}`, notes);
    for (const { place, profileId, name, login } of reading === null
      ? []
      : placesIn(slot, reading, identity)) {
      seen.add(place);
      if (login === null) continue;
      if (repo.fingerprint(login.grant) === fingerprint) holders.push(place);
      else if (place === slot.address.id) throw inUse(slot);
      else if (host !== null && isOwnSlot(place))
        throw await inOwnSlot(host, 'another login of this identity', profileId);
      // Nobody has routed to it: a check-in compares it by its date.
      else notes.push({ code: 'COPY_LEFT', text: `${name} holds another login of this identity` });
    }
  }
  const [holder] = holders;
  if (holder !== undefined) return { slot: holder, fingerprint, at: deps.now() };
  const elsewhere = entry === null ? null : await placedElsewhere(entry, repo, host, deps.hostAt, notes);
  if (elsewhere !== null) {
    throw new RouterError('IDENTITY_IN_USE', `${elsewhere.name} holds the stored login of this identity`, {
      hint: elsewhere.remedy,
    });
  }
  // A place that was not seen now may still hold what was put there.
  const last = entry?.placement ?? null;
  return last === null || seen.has(last.slot) ? null : last;
}

interface FoundPlace {
  /** As `Placement.slot`. */
  readonly place: string;
  readonly profileId: string;
  /** In words. */
  readonly name: string;
  /** Null when it holds none of this identity. */
  readonly login: Holding | null;
}

/** The slot and every profile beside it. @throws HOST_BUSY */
function placesIn(
  { address }: Slot,
  { occupant, neighbours }: SlotReading,
  identity: Identity,
): readonly FoundPlace[] {
  const { agent, profileId } = address;
  const { accountId } = identity;
  if (occupant.kind === 'refreshing' && (occupant.accountId ?? accountId) === accountId) {
    throw new RouterError('HOST_BUSY', `OpenClaw is refreshing ${profileId} of agent ${agent} just now`, {
      hint: 'run the command again in a moment',
    });
  }
  const found = (place: string, id: string, one: Occupant | Neighbour): FoundPlace => ({
    place,
    profileId: id,
    name: `${id} of OpenClaw's agent ${agent}`,
    login: one.kind === 'login' && sameIdentity(one.identity, identity) ? one : null,
  });
  const beside = neighbours.map((one) => found(neighbourId(address, one.profileId), one.profileId, one));
  return [found(address.id, profileId, occupant), ...beside];
}

function inUse({ address }: Slot): RouterError {
  return new RouterError(
    'IDENTITY_IN_USE',
    `${address.profileId} of OpenClaw's agent ${address.agent} runs on another login of this identity right now`,
    { hint: `codex-router use <another> --agent ${address.agent} brings that one home, then restore` },
  );
}
