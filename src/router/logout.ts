import { RouterError } from '../errors.js';
import type { Grant } from '../grant.js';
import { identityKey, sameIdentity } from '../identity.js';
import { recordName } from '../repo/files.js';
import type { Who } from '../repo/journal.js';
import type { Fingerprint, IndexEntry, OpenRepo, SoundBackUp } from '../repo/repo.js';
import type { HostNote } from '../slot/host.js';
import { type CustodyDeps, type Holder, holderOf } from './custody.js';
import { refuseLent } from './lent.js';
import { neighbourId } from './places.js';
import { clearSlots, planRemoval, type Removal, type RemoveDeps } from './remove.js';
import { entryOf, nameOf, selectorOf } from './resolve.js';
import type { Revocation, RevokeAnswer } from './revocation.js';

export interface LogoutDeps extends Omit<RemoveDeps, 'open' | 'repo'>, CustodyDeps {
  readonly repo: OpenRepo;
  readonly revocation: Revocation;
  /** @param waitMs ms to wait for another holder; the default is for what can be asked again. */
  withLock<T>(work: () => Promise<T>, waitMs?: number): Promise<T>;
  /** The lock of one identity's grant; taken before `withLock`, held across the request. */
  withGrantLock<T>(who: Who, work: () => Promise<T>): Promise<T>;
  /** Waits before the one retry of an unanswered request. */
  readonly pause: (ms: number) => Promise<void>;
}

/** What a logout would do, for the person to confirm; or what it has done. */
export interface Logout {
  readonly removal: Removal;
  /** Other logins of the identity in sealed back-ups, which are forgotten with it: revoked too, as nobody could do it later. */
  readonly sealed: readonly SoundBackUp[];
}

/** As for a refresh: a revocation may be asked for twice, and its answer may get lost. */
const RETRY_MS = 2000;
const PATIENT_MS = 15 * 60 * 1000;

/**
 * Previews a logout; writes nothing.
 * @throws LENT, IDENTITY_IN_USE when somebody holds the login who would be signed out with it; RECORD_DAMAGED where there is nothing to
 * revoke with; as `planRemoval`
 */
export async function planLogout(deps: LogoutDeps, entry: IndexEntry, fromSlot: boolean): Promise<Logout> {
  const removal = await admit(deps, entry, fromSlot);
  // What is in a slot may mend it.
  if (removal.slots.length === 0) await storedGrant(deps, entry);
  return withSealed(deps, removal, idsOf(removal));
}

async function admit(deps: LogoutDeps, entry: IndexEntry, fromSlot: boolean): Promise<Removal> {
  refuseLent(entry, ['access', 'grant']);
  refuseShared(entry);
  const removal = await planRemoval(deps, entry, fromSlot);
  const holder = await otherHolder(deps, entry, entry.fingerprint, idsOf(removal));
  if (holder === null) return removal;
  throw new RouterError('IDENTITY_IN_USE', `${holder.name} holds this login and would be signed out`, {
    hint: holder.remedy,
  });
}

function idsOf({ slots }: Removal): ReadonlySet<string> {
  return new Set(slots.map(({ slot }) => slot.address.id));
}

/**
 * Revokes the newest grant of the identity at the issuer, then those in its sealed back-ups, then forgets all of it. A slot that holds it
 * is checked in and cleared before, so that its host cannot rotate the grant away from under the request. Marked before the request
 * leaves: after a crash it is doubtful until a logout has ended, and revoking twice does no harm. What is done is decided anew under the
 * locks.
 * @returns what was really done
 * @throws REVOKE_FAILED: the identity is still stored; as `planLogout`; SLOT_CHANGED, RECORD_DAMAGED, ISSUER_FOREIGN
 */
export async function logout(deps: LogoutDeps, who: IndexEntry, fromSlot: boolean): Promise<Logout> {
  const { repo, withLock } = deps;
  const key = identityKey(who.identity);
  return deps.withGrantLock(who.identity, () =>
    deps.critical(async () => {
      const begun = await withLock(() => begin(deps, who, fromSlot));
      const unmark = () => repo.doubt(key, begun.entry.doubt);
      const [current, ...older] = begun.grants;
      const answer = await revoke(deps, current).catch(async (error: unknown) => {
        const isUnsent = error instanceof RouterError && error.code === 'ISSUER_FOREIGN';
        if (isUnsent) await withLock(unmark, PATIENT_MS);
        throw error;
      });
      if (answer.kind === 'failed') await withLock(unmark, PATIENT_MS);
      if (answer.kind !== 'revoked') throw notRevoked(begun, answer);
      for (const grant of older) {
        const one = await revoke(deps, grant);
        if (one.kind !== 'revoked') throw olderNotRevoked(begun, one.why);
      }
      await withLock(() => forget(deps, begun), PATIENT_MS);
      return begun.plan;
    }),
  );
}

interface Begun {
  readonly entry: IndexEntry;
  /** The stored one first. */
  readonly grants: readonly [Grant, ...Grant[]];
  readonly plan: Logout;
}

async function begin(deps: LogoutDeps, who: IndexEntry, fromSlot: boolean): Promise<Begun> {
  const { repo } = deps;
  const key = identityKey(who.identity);
  const removal = await admit(deps, entryOf(who.identity, await repo.list()), fromSlot);
  const notes = await clearSlots(deps, repo, removal);
  // The check-in may have brought a newer grant home, and sealed another.
  const entry = entryOf(who.identity, await repo.list());
  const plan = await withSealed(deps, { ...removal, entry, notes: [...removal.notes, ...notes] }, new Set());
  const grant = await storedGrant(deps, entry);
  const older: Grant[] = [];
  for (const { id } of plan.sealed) older.push((await repo.openBackUp(id)).grant);
  await repo.doubt(key, 'revoke-sent');
  return { entry, grants: [grant, ...older], plan };
}

/** @throws RECORD_DAMAGED with what can be done instead */
async function storedGrant({ repo }: LogoutDeps, entry: IndexEntry): Promise<Grant> {
  try {
    return (await repo.load(identityKey(entry.identity))).grant;
  } catch (error) {
    if (!(error instanceof RouterError) || error.code !== 'RECORD_DAMAGED') throw error;
    throw new RouterError(error.code, `${error.message}, so there is nothing to revoke it with`, {
      hint: `codex-router restore lists sealed back-ups; codex-router remove ${selectorOf(entry)} forgets it without revoking it`,
    });
  }
}

/** The other logins in back-ups of the identity, one of each. What somebody else runs on is left and said. */
async function withSealed(deps: LogoutDeps, removal: Removal, cleared: ReadonlySet<string>): Promise<Logout> {
  const { entry } = removal;
  const others = new Map<Fingerprint, SoundBackUp>();
  const notes: HostNote[] = [];
  const record = recordName(identityKey(entry.identity));
  for (const one of await deps.repo.backUps()) {
    if (one.trouble !== null) {
      const text = `back-up ${one.id} of it cannot be opened, so its login is not revoked and it is deleted: ${one.trouble}`;
      if (one.record === record) notes.push({ code: 'NOT_REVOKED', text });
      continue;
    }
    if (!sameIdentity(one.identity, entry.identity)) continue;
    if (one.fingerprint !== entry.fingerprint) others.set(one.fingerprint, one);
  }
  const sealed: SoundBackUp[] = [];
  for (const [fingerprint, one] of others) {
    const holder = await otherHolder(deps, entry, fingerprint, cleared);
    if (holder === null) sealed.push(one);
    else {
      const text = `${holder.name} runs on another login of ${nameOf(entry)}, which is not revoked`;
      notes.push({ code: 'COPY_LEFT', text });
    }
  }
  return { removal: { ...removal, notes: [...removal.notes, ...notes] }, sealed };
}

async function revoke({ revocation, pause }: LogoutDeps, grant: Grant): Promise<RevokeAnswer> {
  const first = await revocation.revoke(grant);
  if (first.kind !== 'unanswered') return first;
  await pause(RETRY_MS);
  const second = await revocation.revoke(grant);
  // That it could not be asked again says nothing about the first time.
  return second.kind === 'failed' ? { kind: 'unanswered', why: second.why } : second;
}

/** Another login of the identity that was stored during the request is not the one that was meant. */
async function forget({ repo }: LogoutDeps, { entry }: Begun): Promise<void> {
  const key = identityKey(entry.identity);
  const now = (await repo.list()).find(({ identity }) => sameIdentity(identity, entry.identity));
  if (now === undefined) return;
  if (now.fingerprint === entry.fingerprint) return repo.remove(key);
  throw new RouterError(
    'BUSY',
    `the login of ${nameOf(entry)} was revoked, and another login of it was stored meanwhile, which is kept`,
    { hint: `codex-router logout ${selectorOf(now)} logs that one out too` },
  );
}

/** A login that the Codex CLI was left with would be signed out there too. */
function refuseShared(entry: IndexEntry): void {
  if (entry.sharedWith === null) return;
  throw new RouterError('IDENTITY_IN_USE', 'the Codex CLI has this login too and would be signed out', {
    hint: `codex-router import --take takes it out of the Codex home, then codex-router logout ${selectorOf(entry)}`,
  });
}

/** Who holds a grant and would be signed out by surprise. @param cleared slots that are emptied first, by `SlotAddress.id` */
async function otherHolder(
  deps: LogoutDeps,
  entry: IndexEntry,
  fingerprint: Fingerprint,
  cleared: ReadonlySet<string>,
): Promise<Holder | null> {
  const { holders } = await holderOf({ entry, fingerprint }, deps.repo, deps.host, null, deps);
  const isCleared = (one: Holder) =>
    one.kind === 'slot' && cleared.has(neighbourId(one.slot.address, one.profileId));
  return holders.find((one) => one.kind !== 'unknown' && !isCleared(one)) ?? null;
}

function notRevoked(
  { entry, plan }: Begun,
  { kind, why }: Extract<RevokeAnswer, { why: string }>,
): RouterError {
  const name = selectorOf(entry);
  const what =
    kind === 'failed'
      ? `the login of ${nameOf(entry)} is not revoked: ${why}`
      : `whether the login of ${nameOf(entry)} is revoked is not known: ${why}`;
  const slot = plan.removal.slots.length > 0 ? ', its slot is empty' : '';
  return new RouterError('REVOKE_FAILED', `${what}; it is still stored${slot}`, {
    hint: `codex-router logout ${name} tries again; codex-router remove ${name} forgets it without revoking it`,
  });
}

function olderNotRevoked({ entry }: Begun, why: string): RouterError {
  const name = selectorOf(entry);
  return new RouterError(
    'REVOKE_FAILED',
    `the login of ${nameOf(entry)} is revoked, and an older one in a sealed back-up is not: ${why}; both are still stored`,
    { hint: `codex-router logout ${name} tries again; codex-router remove ${name} forgets them` },
  );
}
