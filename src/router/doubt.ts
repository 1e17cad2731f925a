import { RouterError } from '../errors.js';
import { type Identity, identityKey } from '../identity.js';
import type { IndexEntry, OpenRepo } from '../repo/repo.js';
import type { HostNote } from '../slot/host.js';
import { type RefreshDeps, refresh } from './refresh.js';
import { LOG_IN_AGAIN } from './remedies.js';
import { entryOf } from './resolve.js';
import type { SwitchPlan } from './switch-plan.js';

/**
 * Asks again about a grant whose refresh was sent and got no answer, before it goes into a slot. Called without any lock.
 * @throws as `refresh`
 */
export async function settleWanted(
  deps: RefreshDeps,
  repo: OpenRepo,
  wanted: Identity,
): Promise<readonly HostNote[]> {
  if (entryOf(wanted, await repo.list()).doubt !== 'refresh-sent') return [];
  const settled = await refresh(deps, repo, wanted, 'settle');
  if (settled === null) return [];
  const { result, why } = settled;
  if (result === 'refreshed') {
    const text = 'an earlier refresh of it had been interrupted; it is finished now';
    return [{ code: 'REFRESHED', text }];
  }
  return [{ code: 'REFRESH_UNANSWERED', text: `its last refresh is not settled: ${why}` }];
}

/** Refuses to hand the stored grant over in doubt. One that is in the slot already, or is newer there, can lose nothing. */
export function refuseUnfitPlan({ entry, fingerprint, slots }: SwitchPlan, now: number): void {
  if (slots.every(({ put }) => put === 'keep') || entry.fingerprint !== fingerprint) return;
  refuseUnfit(entry, now);
}

/** A grant that may be spent would be spent again by the host (law 1). @throws REFRESH_UNANSWERED, LOGIN_NEEDED, LOGIN_DOUBTFUL */
export function refuseUnfit({ identity, doubt, expiresAt }: IndexEntry, now: number): void {
  const key = identityKey(identity);
  if (doubt === 'refresh-sent') {
    throw new RouterError(
      'REFRESH_UNANSWERED',
      `the last refresh of ${key} got no answer, so its login may be spent`,
      { hint: `codex-router refresh ${key}, when the network is back` },
    );
  }
  if (doubt === 'revoke-sent') {
    throw new RouterError(
      'LOGIN_DOUBTFUL',
      `the logout of ${key} was begun and did not end, so it may be revoked`,
      {
        hint: `codex-router logout ${key} ends it; codex-router refresh ${key} tells whether it still works`,
      },
    );
  }
  if (doubt === 'login-needed' && expiresAt <= now) {
    throw new RouterError(
      'LOGIN_NEEDED',
      `the issuer has ended the login of ${key}, and its access token has expired`,
      { hint: LOG_IN_AGAIN },
    );
  }
}
