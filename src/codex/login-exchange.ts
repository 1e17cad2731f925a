import * as z from 'zod/mini';
import { identityOf, readClaims } from '../claims.js';
import { RouterError } from '../errors.js';
import type { Grant } from '../grant.js';
import type { Holding } from '../holding.js';
import { parseJsonObject } from '../json.js';
import { Secret } from '../secret.js';
import { send } from './http.js';
import { OPENAI_ISSUER, parseIssuer } from './issuer.js';
import { codeIn, LOGIN_CODES } from './issuer-error.js';
import { revocation } from './revoke.js';
import { CODEX_CLIENT_ID, expiryOf, type TokenEndpointDeps } from './token-endpoint.js';

/** `LoginCode` of the router's port, which documents every member. */
export interface LoginCode {
  readonly code: Secret;
  readonly verifier: Secret;
  readonly redirectUri: string;
}

/** Who issues a login of our own making: OpenAI, or the issuer of a test. @throws ISSUER_FOREIGN */
export function loginIssuerUrl(testIssuer: string | null): string {
  return parseIssuer(testIssuer ?? OPENAI_ISSUER, 'CODEX_ROUTER_TEST_ISSUER', testIssuer);
}

const filled = z.string().check(z.minLength(1));
const Tokens = z.object({
  id_token: filled,
  access_token: filled,
  refresh_token: filled,
  expires_in: z.optional(z.unknown()),
});

/** `LoginIssuer.exchange` of the router's port. */
export async function exchangeCode(
  deps: TokenEndpointDeps,
  { code, verifier, redirectUri }: LoginCode,
): Promise<Holding> {
  const outcome = await send(deps, {
    method: 'POST',
    url: `${loginIssuerUrl(deps.testIssuer)}/oauth/token`,
    form: {
      grant_type: 'authorization_code',
      client_id: CODEX_CLIENT_ID,
      code: code.reveal(),
      redirect_uri: redirectUri,
      code_verifier: verifier.reveal(),
    },
  });
  if (outcome.kind !== 'answered') throw failed(outcome.why);
  const { status } = outcome;
  const body = parseJsonObject(outcome.body);
  if (status >= 200 && status < 300) {
    const { data: tokens } = Tokens.safeParse(body);
    if (!tokens) {
      const why = `the issuer answered ${status} without the three tokens of a login`;
      const { data } = Spare.safeParse(body);
      throw failed(why, data && (await ended(deps, new Secret(data.refresh_token))));
    }
    return ofSomebody(deps, grantOf(tokens, deps.now()));
  }
  const said = codeIn(body, LOGIN_CODES);
  if (status === 400 && said === 'invalid_grant') {
    throw new RouterError('LOGIN_EXPIRED', 'the issuer does not take the code of this login any more', {
      hint: LOG_IN,
    });
  }
  throw failed(`the issuer answered ${said === null ? status : `${status} ${said}`}`);
}

/** All that is needed to end what came. */
const Spare = z.object({ refresh_token: filled });

/** Ends a login that is of no use, as well as that can be done, and says so. */
async function ended(deps: TokenEndpointDeps, refreshToken: Secret): Promise<string> {
  const answer = await revocation(deps).revoke({ refreshToken, provenance: null });
  return answer.kind === 'revoked'
    ? 'nothing was stored, it was revoked at the issuer; log in again'
    : `nothing was stored, it could not be revoked at the issuer (${answer.why}) and stays valid there; log in again`;
}

function grantOf(tokens: z.infer<typeof Tokens>, now: number): Grant {
  const accessToken = new Secret(tokens.access_token);
  const idToken = new Secret(tokens.id_token);
  return {
    accessToken,
    refreshToken: new Secret(tokens.refresh_token),
    idToken,
    expiresAt: expiryOf(accessToken, tokens.expires_in, now),
    lastRefresh: now,
    // As Codex has it (0.166 and later); OpenAI's own name also where a test stands in.
    provenance: { issuer: OPENAI_ISSUER, clientId: CODEX_CLIENT_ID },
  };
}

/** A login of nobody that can be told is of no use to anybody, so it does not stay valid either. */
async function ofSomebody(deps: TokenEndpointDeps, grant: Grant): Promise<Holding> {
  const { accessToken, idToken } = grant;
  try {
    const identity = identityOf(accessToken, { idToken });
    // As in auth-json.ts: Codex refuses a file whose id_token is no JWT.
    const isJwt = idToken !== null && readClaims(idToken) !== null;
    return {
      identity,
      grant: { ...grant, idToken: isJwt ? idToken : null },
      hostFields: {},
      selection: null,
    };
  } catch (error) {
    const hint = await ended(deps, grant.refreshToken);
    if (!(error instanceof RouterError)) throw error;
    throw new RouterError(error.code, error.message, { hint, cause: error });
  }
}

const LOG_IN = 'log in again; nothing was stored';

function failed(why: string, hint: string = LOG_IN): RouterError {
  return new RouterError('LOGIN_FAILED', `the login could not be finished: ${why}`, { hint });
}
