import { RouterError } from '../errors.js';
import type { Grant } from '../grant.js';
import { identityKey, sameIdentity } from '../identity.js';
import type { Who } from '../repo/journal.js';
import type { IndexEntry, OpenRepo } from '../repo/repo.js';
import type { HostNote } from '../slot/host.js';
import { type CustodyDeps, holderOf } from './custody.js';
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
  /** Sealed back-ups of the identity that hold other logins of it: they stay, and may still be live at the issuer. */
  readonly sealed: number;
}

/** As for a refresh: a revocation may be asked for twice, and its answer may get lost. */
const RETRY_MS = 2000;
const PATIENT_MS = 15 * 60 * 1000;

/**
 * Previews a logout; writes nothing.
 * @throws LENT, IDENTITY_IN_USE when somebody holds the login who would be signed out with it; as `planRemoval`
 */
export async function planLogout(deps: LogoutDeps, entry: IndexEntry, fromSlot: boolean): Promise<Logout> {
  refuseLent(entry);
  const removal = await planRemoval(deps, entry, fromSlot);
  await refuseHeld(deps, removal);
  const backUps = await deps.repo.backUps();
  const others = backUps.filter(
    (one) =>
      one.trouble === null &&
      sameIdentity(one.identity, entry.identity) &&
      one.fingerprint !== entry.fingerprint,
  );
  return { removal, sealed: new Set(others.map(({ fingerprint }) => fingerprint)).size };
}

/**
 * Revokes the newest grant of the identity at the issuer, then forgets it. A slot that holds it is checked in and cleared before, so that
 * its host cannot rotate the grant away from under the request. Marked before the request leaves: after a crash it is doubtful until a
 * logout has ended. What is done is decided anew under the locks.
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
      const answer = await revoke(deps, begun.grant).catch(async (error: unknown) => {
        const isUnsent = error instanceof RouterError && error.code === 'ISSUER_FOREIGN';
        if (isUnsent) await withLock(unmark, PATIENT_MS);
        throw error;
      });
      if (answer.kind === 'failed') await withLock(unmark, PATIENT_MS);
      if (answer.kind !== 'revoked') throw notRevoked(begun, answer);
      await withLock(() => forget(deps, begun), PATIENT_MS);
      return begun.plan;
    }),
  );
}

interface Begun {
  readonly entry: IndexEntry;
  readonly grant: Grant;
  readonly plan: Logout;
}

async function begin(deps: LogoutDeps, who: IndexEntry, fromSlot: boolean): Promise<Begun> {
  const { repo } = deps;
  const key = identityKey(who.identity);
  const plan = await planLogout(deps, entryOf(who.identity, await repo.list()), fromSlot);
  const notes = await clearSlots(deps, repo, plan.removal);
  // The check-in may have brought a newer grant home.
  const entry = entryOf(who.identity, await repo.list());
  const { grant } = await repo.load(key);
  await repo.doubt(key, 'revoke-sent');
  return {
    entry,
    grant,
    plan: { ...plan, removal: { ...plan.removal, entry, notes: [...plan.removal.notes, ...notes] } },
  };
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

/** A login that the Codex CLI has from us would be signed out there too, and would come back from there. */
function refuseLent(entry: IndexEntry): void {
  const { lent, sharedWith } = entry;
  const name = selectorOf(entry);
  if (lent !== null) {
    const what = lent.what === 'grant' ? 'was moved' : 'is lent';
    throw new RouterError('LENT', `this login ${what} to the Codex CLI in ${lent.folder}`, {
      hint: `codex-router unlend ${name}, then codex-router logout ${name}`,
    });
  }
  if (sharedWith !== null) {
    throw new RouterError('IDENTITY_IN_USE', 'the Codex CLI has this login too and would be signed out', {
      hint: `codex-router import --take takes it out of the Codex home, then codex-router logout ${name}`,
    });
  }
}

/** Whoever else holds the grant would be signed out by surprise. The slots that the removal clears are known. */
async function refuseHeld(deps: LogoutDeps, { entry, slots }: Removal): Promise<void> {
  const cleared = new Set(slots.map(({ slot }) => slot.address.id));
  const { holders } = await holderOf(
    { entry, fingerprint: entry.fingerprint },
    deps.repo,
    deps.host,
    null,
    deps,
  );
  const held = holders.find(
    (one) =>
      one.kind !== 'unknown' &&
      !(
        one.kind === 'slot' &&
        one.profileId === one.slot.address.profileId &&
        cleared.has(one.slot.address.id)
      ),
  );
  if (held === undefined) return;
  throw new RouterError('IDENTITY_IN_USE', `${held.name} holds this login and would be signed out`, {
    hint: held.remedy,
  });
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

/** What a person has to know of the sealed back-ups that a logout leaves. */
export function sealedNote({ removal, sealed }: Logout): HostNote | null {
  if (sealed === 0) return null;
  const what =
    sealed === 1 ? 'a sealed back-up of another login' : `sealed back-ups of ${sealed} other logins`;
  const text = `${what} of ${nameOf(removal.entry)} stay here and may still be valid at the issuer: codex-router restore, then logout, ends one`;
  return { code: 'BACKED_UP', text };
}
