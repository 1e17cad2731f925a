import { RouterError } from '../errors.js';
import type { IndexEntry, OpenRepo, Repo, RepoView } from '../repo/repo.js';
import type { Host, HostNote, HostOwner } from '../slot/host.js';
import { LOG_IN_AGAIN } from './remedies.js';
import { nameOf } from './resolve.js';

const ADOPT = 'codex-router host adopt';

/**
 * Whose a host is. `nobody`: no codex-router has written there yet. `other`: another vault's. `ahead`: this vault's, as it was in a
 * state that this index has never been in: a back-up of the vault was put back, or there are two of it.
 */
export type Ownership = 'nobody' | 'ours' | 'other' | 'ahead';

export interface OwnerReading {
  readonly ownership: Ownership;
  readonly owner: HostOwner | null;
  /** Why nothing may be written there; null for `nobody` and `ours`. */
  readonly refusal: RouterError | null;
}

/** @param repo closed or open. @throws HOST_UNREADABLE, IO, VAULT_* */
export async function readOwnership(host: Host, repo: Repo | RepoView): Promise<OwnerReading> {
  const owner = await host.owner();
  if (owner === null) return { ownership: 'nobody', owner, refusal: null };
  const standing = await repo.standing();
  const vaultId = 'vaultId' in repo ? repo.vaultId : (standing?.vaultId ?? null);
  if (owner.vaultId !== vaultId) return { ownership: 'other', owner, refusal: owned(owner) };
  if (standing?.hasBeenAt(owner.generation)) return { ownership: 'ours', owner, refusal: null };
  return { ownership: 'ahead', owner, refusal: rolledBack() };
}

/**
 * The gate before a login is taken from a host or anything is written to it; writes nothing.
 * @throws HOST_OWNED, VAULT_ROLLED_BACK; HOST_UNREADABLE for an owner file that cannot be understood; IO
 */
export async function requireOwner(host: Host, repo: Repo | RepoView): Promise<HostOwner | null> {
  const { owner, refusal } = await readOwnership(host, repo);
  if (refusal !== null) throw refusal;
  return owner;
}

/**
 * Leaves our name in the host, right before the first write to it in a command. Under the router lock.
 * @throws as `requireOwner`; SLOT_CHANGED when another codex-router did the same at this moment; HOST_FOREIGN_OWNER, IO
 */
export async function claimHost(host: Host, repo: OpenRepo, now: number): Promise<void> {
  if ((await requireOwner(host, repo)) === null) await host.claim(await claimOf(repo, now), null);
}

/**
 * Brings the owner file up to the index, at the end of each command that changed something. What goes wrong is a note: the command
 * itself has succeeded, and an owner file that lags behind is no danger by itself.
 */
export async function renewClaim(host: Host, repo: OpenRepo, now: number): Promise<readonly HostNote[]> {
  try {
    const { ownership, owner, refusal } = await readOwnership(host, repo);
    if (refusal !== null) throw refusal;
    const claim = await claimOf(repo, now);
    const isCurrent = owner?.generation === claim.generation;
    if (ownership === 'ours' && !isCurrent) await host.claim(claim, owner);
    return [];
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return [{ code: error.code, text: `the owner file could not be renewed: ${error.message}` }];
  }
}

/** What a command that only looks says of the owner; empty when there is nothing to say. Never a RouterError. */
export async function ownerNotes(host: Host, repo: Repo | OpenRepo): Promise<readonly HostNote[]> {
  try {
    const { refusal } = await readOwnership(host, repo);
    if (refusal === null) return [];
    return [{ code: refusal.code, text: `${refusal.message}: ${ADOPT}` }];
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return [{ code: error.code, text: error.message }];
  }
}

/**
 * Refuses a login that another codex-router may have spent: until it is logged in or imported again, or found in a slot of ours.
 * @throws LOGIN_DOUBTFUL
 */
export function refuseTakenOver(entry: IndexEntry): void {
  if (entry.doubt !== 'taken-over') return;
  throw new RouterError(
    'LOGIN_DOUBTFUL',
    `the stored login of ${nameOf(entry)} was in the hands of another codex-router, which may have spent it`,
    { hint: LOG_IN_AGAIN },
  );
}

export async function claimOf(repo: OpenRepo, at: number): Promise<HostOwner> {
  return { vaultId: repo.vaultId, generation: (await repo.standing())?.generation ?? 0, at };
}

function owned({ vaultId }: HostOwner): RouterError {
  return new RouterError(
    'HOST_OWNED',
    `another codex-router (vault ${vaultId.slice(0, 8)}) routes this OpenClaw`,
    { hint: `${ADOPT} takes it over` },
  );
}

function rolledBack(): RouterError {
  return new RouterError(
    'VAULT_ROLLED_BACK',
    'this vault is older than the one that last wrote here: stored logins may have been spent since',
    { hint: `${ADOPT} goes on with this one` },
  );
}
