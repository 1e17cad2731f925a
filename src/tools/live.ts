import { RouterError } from '../errors.js';
import { issuedAt } from '../grant.js';
import type { Holding } from '../holding.js';
import { sameIdentity } from '../identity.js';
import type { Finds, FoundLogins, ToolDeps } from './found.js';

/**
 * Leaves out copies of the login that Codex runs on, where Codex has refreshed it since: tools that keep copies of auth.json
 * bring the tokens home only when they next run, and until then the copy is spent.
 */
export async function withoutSpent({ logins, skipped }: Finds, deps: ToolDeps): Promise<FoundLogins> {
  const live = logins.length === 0 ? null : await liveLogin(deps);
  if (live === null) return { logins, skipped };
  const isSpent = ({ holding }: Finds['logins'][number]) =>
    sameIdentity(holding.identity, live.identity) &&
    !holding.grant.refreshToken.equals(live.grant.refreshToken) &&
    (issuedAt(live.grant) ?? 0) >= (issuedAt(holding.grant) ?? 0);
  const reason =
    'the Codex CLI has a newer login of this identity, which this copy may have been spent for: codex-router import --take';
  return {
    logins: logins.filter((login) => !isSpent(login)),
    skipped: [...skipped, ...logins.filter(isSpent).map(({ from }) => ({ from, reason }))],
  };
}

/** What cannot be read now says nothing about the copies. */
async function liveLogin({ live }: ToolDeps): Promise<Holding | null> {
  try {
    return await live();
  } catch (error) {
    if (error instanceof RouterError) return null;
    throw error;
  }
}
