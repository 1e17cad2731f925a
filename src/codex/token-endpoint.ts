import * as z from 'zod/mini';
import { type Claims, readClaims } from '../claims.js';
import type { Grant } from '../grant.js';
import { type JsonObject, parseJsonObject } from '../json.js';
import { Secret } from '../secret.js';
import { TRUSTED_WITHOUT_EXP } from './auth-json.js';
import { type HttpDeps, type HttpOutcome, send } from './http.js';
import { OPENAI_ISSUER, parseIssuer } from './issuer.js';
import { codeIn } from './issuer-error.js';

/** The Codex CLI's own client id: what a login without `oauth_provenance` was made with (before 0.166). */
export const CODEX_CLIENT_ID = 'app_EMoamEEZ73f0CkXaXp7hrann';

/** Codex refreshes on its own account when the access token has no longer than this to live, ms (0.169, measured). */
const NEARLY_EXPIRED = 300_000;

export interface TokenEndpointDeps extends HttpDeps {
  /** ms epoch. */
  readonly now: () => number;
}

type RefusalReason = 'expired' | 'reused' | 'invalidated' | 'invalid';

/** `RefreshAnswer` of the router's port, which documents every member. */
type Answer =
  | { readonly kind: 'renewed'; readonly grant: Grant }
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly why: string }
  | { readonly kind: 'failed'; readonly why: string }
  | { readonly kind: 'unanswered'; readonly why: string };

/** The issuer's `/oauth/token`: the router's port TokenEndpoint. */
export function tokenEndpoint(deps: TokenEndpointDeps) {
  return {
    refresh: async (grant: Grant, signal?: AbortSignal): Promise<Answer> => {
      const issuer = issuerOf(grant, deps.testIssuer);
      const outcome = await send(deps, {
        method: 'POST',
        url: `${issuer}/oauth/token`,
        json: {
          client_id: grant.provenance?.clientId ?? CODEX_CLIENT_ID,
          grant_type: 'refresh_token',
          refresh_reason: grant.expiresAt <= deps.now() + NEARLY_EXPIRED ? 'proactive_expiry' : 'forced',
          refresh_token: grant.refreshToken.reveal(),
        },
        signal,
      });
      return answerOf(outcome, grant, deps.now());
    },
  };
}

/** Where a grant's tokens go. A test's issuer stands in for OpenAI's, so that no test can send a token there. @throws ISSUER_FOREIGN */
export function issuerOf(grant: Pick<Grant, 'provenance'>, testIssuer: string | null): string {
  const issuer = parseIssuer(grant.provenance?.issuer ?? OPENAI_ISSUER, 'the stored login', testIssuer);
  return testIssuer === null ? issuer : parseIssuer(testIssuer, 'CODEX_ROUTER_TEST_ISSUER', testIssuer);
}

/**
 * The class of each outcome. What decides is whether the issuer may have spent the token: it rotates when it answers 200, and
 * an answer that got lost on its way looks the same to it.
 *
 * `refused`: a `refresh_token_*` code at any status; any other 401; 400 `invalid_grant` (Codex CLI 0.169, measured).
 * `failed`: never sent (also: the proxy refused, the certificate is not trusted); 403, 404, 429, 500, 503 and every other
 *   error: the issuer's own word that it gave no token (RFC 6749, section 5.2).
 * `unanswered`: sent, and no whole answer within the limits; a gateway's word that the issuer did not answer *it* (502, 504,
 *   Cloudflare's 520, 522, 524); a redirect, which may follow the work (303); a success that is no JSON object or has neither
 *   an access nor a refresh token: what it gave is lost to us.
 */
function answerOf(outcome: HttpOutcome, grant: Grant, now: number): Answer {
  if (outcome.kind === 'unsent') return { kind: 'failed', why: outcome.why };
  if (outcome.kind !== 'answered') return { kind: 'unanswered', why: outcome.why };
  const { status } = outcome;
  const body = parseJsonObject(outcome.body);
  const success = status >= 200 && status < 300;
  const renewed = success && body !== null ? renew(grant, body, now) : null;
  if (renewed !== null) return { kind: 'renewed', grant: renewed };
  const code = codeIn(body, KNOWN_CODES);
  const said = code === null ? `the issuer answered ${status}` : `the issuer answered ${status} ${code}`;
  const reason = REASONS.get(code ?? '');
  if (reason !== undefined) return { kind: 'refused', reason, why: said };
  if (success) return { kind: 'unanswered', why: `the issuer answered ${status} without usable tokens` };
  if (status === 401 || (status === 400 && code === 'invalid_grant')) {
    return { kind: 'refused', reason: 'invalid', why: said };
  }
  return { kind: GATEWAY_LOST_IT.has(status) ? 'unanswered' : 'failed', why: said };
}

const REASONS: ReadonlyMap<string, RefusalReason> = new Map([
  ['refresh_token_expired', 'expired'],
  ['refresh_token_reused', 'reused'],
  ['refresh_token_invalidated', 'invalidated'],
]);

const GATEWAY_LOST_IT: ReadonlySet<number> = new Set([502, 504, 520, 522, 524]);

/** The codes that are shown. */
const KNOWN_CODES: ReadonlySet<string> = new Set([
  ...REASONS.keys(),
  'app_session_terminated',
  'invalid_client',
  'invalid_grant',
  'invalid_request',
  'rate_limit_exceeded',
  'unauthorized_client',
  'unsupported_grant_type',
]);

const Token = z.nullish(z.string());
const Tokens = z.object({
  access_token: Token,
  refresh_token: Token,
  id_token: Token,
  expires_in: z.optional(z.unknown()),
});

/**
 * The answer's tokens over the old ones. A new refresh token is worth keeping even without an access token: the old one is
 * spent. Null when there is neither, or one is no text.
 */
function renew(grant: Grant, body: JsonObject, now: number): Grant | null {
  const { data: tokens } = Tokens.safeParse(body);
  if (!tokens || !(tokens.access_token || tokens.refresh_token)) return null;
  const accessToken = tokens.access_token ? new Secret(tokens.access_token) : null;
  const idToken = tokens.id_token ? new Secret(tokens.id_token) : null;
  return {
    accessToken: accessToken ?? grant.accessToken,
    refreshToken: tokens.refresh_token ? new Secret(tokens.refresh_token) : grant.refreshToken,
    // As in auth-json.ts: Codex refuses a file whose id_token is no JWT.
    idToken: idToken !== null && claimsOf(idToken) !== null ? idToken : grant.idToken,
    expiresAt: accessToken === null ? grant.expiresAt : expiryOf(accessToken, tokens.expires_in, now),
    lastRefresh: now,
    provenance: grant.provenance,
  };
}

/** `expires_in` counts from our clock, so it holds where that is wrong; else `exp`; else as Codex trusts such a token. */
export function expiryOf(accessToken: Secret, expiresIn: unknown, now: number): number {
  const seconds = typeof expiresIn === 'string' ? Number(expiresIn) : expiresIn;
  if (typeof seconds === 'number' && seconds > 0 && seconds < A_YEAR) return Math.floor(now + seconds * 1000);
  return Math.floor(claimsOf(accessToken)?.expiresAt ?? now + TRUSTED_WITHOUT_EXP);
}

const A_YEAR = 366 * 24 * 3600;

/** Null also for claims that are malformed: whose tokens came back is the router's to judge, and these are not to be lost. */
function claimsOf(token: Secret): Claims | null {
  try {
    return readClaims(token);
  } catch {
    return null;
  }
}
