import { identityOf, readClaims } from '../claims.js';
import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { Secret } from '../secret.js';
import type { Finds } from './found.js';

/** The bare tokens of a login, as tools that make logins of their own keep them. */
export interface Tokens {
  /** Null where the tool has not kept it. */
  readonly access: string | null;
  readonly refresh: string;
  /** ms epoch, for an access token that does not say it itself. */
  readonly expires: number | null;
  /** What the tool says besides; each must agree with the token, null for what it does not say. */
  readonly accountId: string | null;
  readonly email: string | null;
}

/**
 * A login from its tokens; whose it is, is told by the access token alone.
 * @throws IDENTITY_UNREADABLE, IDENTITY_MISMATCH
 */
export function holdingOf({ access, refresh, expires, accountId, email }: Tokens): Holding {
  if (access === null || access === '') {
    throw new RouterError(
      'IDENTITY_UNREADABLE',
      'it has no access token, so it cannot be told whose it is: use it once in that tool, then import again',
    );
  }
  if (refresh === '') {
    throw new RouterError('IDENTITY_UNREADABLE', 'it has no refresh token, so it is no login that lasts');
  }
  const accessToken = new Secret(access);
  const identity = identityOf(accessToken, { accountId, email });
  const expiresAt = Math.floor(readClaims(accessToken)?.expiresAt ?? expires ?? 0);
  const grant = {
    accessToken,
    refreshToken: new Secret(refresh),
    idToken: null,
    expiresAt,
    lastRefresh: null,
    provenance: null,
  };
  return { identity, grant, hostFields: {}, selection: null };
}

/** Notes the login that `read` gives, or why it cannot be had: one of many does not stop the others. */
export function find(finds: Finds, from: string, read: () => Omit<Finds['logins'][number], 'from'>): void {
  try {
    finds.logins.push({ ...read(), from });
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    finds.skipped.push({ from, reason: error.message });
  }
}
