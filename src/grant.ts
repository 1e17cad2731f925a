import { readClaims } from './claims.js';
import type { Secret } from './secret.js';

/** One login: the rotating refresh-token chain and the tokens it last gave (RFC 6749, section 1.5). */
export interface Grant {
  readonly accessToken: Secret;
  /** Never empty: a login without one (Codex's `chatgptAuthTokens`) is not a grant and is refused at the edge. */
  readonly refreshToken: Secret;
  readonly idToken: Secret | null;
  /** ms epoch after which the access token is refused; OpenClaw decides by this, not by the JWT's `exp`. */
  readonly expiresAt: number;
  /** ms epoch of the last refresh or login the source recorded; null when it did not say. */
  readonly lastRefresh: number | null;
  /** Codex's `oauth_provenance` (0.166 and later): who issued the grant; null means the default issuer and client. */
  readonly provenance: { readonly issuer: string; readonly clientId: string } | null;
}

/** When the access token was issued, ms epoch; null when its claims do not say. */
export function issuedAt(grant: Grant): number | null {
  return readClaims(grant.accessToken)?.issuedAt ?? grant.lastRefresh;
}
