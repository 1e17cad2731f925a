import type { Grant } from '../grant.js';
import { type HttpDeps, type HttpOutcome, send } from './http.js';
import { CODEX_CLIENT_ID, issuerOf } from './token-endpoint.js';

/** `RevokeAnswer` of the router's port, which documents every member. */
type Answer =
  | { readonly kind: 'revoked' }
  | { readonly kind: 'failed'; readonly why: string }
  | { readonly kind: 'unanswered'; readonly why: string };

/** The issuer's `/oauth/revoke`, asked as the Codex CLI 0.169 asks it (measured): the router's port Revocation. */
export function revocation(deps: HttpDeps) {
  return {
    revoke: async (
      grant: Pick<Grant, 'refreshToken' | 'provenance'>,
      signal?: AbortSignal,
    ): Promise<Answer> => {
      const outcome = await send(deps, {
        method: 'POST',
        url: `${issuerOf(grant, deps.testIssuer)}/oauth/revoke`,
        json: {
          token: grant.refreshToken.reveal(),
          token_type_hint: 'refresh_token',
          client_id: grant.provenance?.clientId ?? CODEX_CLIENT_ID,
        },
        signal,
      });
      return answerOf(outcome);
    },
  };
}

/** RFC 7009, section 2.2: 200 says that the token is worth nothing now, whether or not it ever was. */
function answerOf(outcome: HttpOutcome): Answer {
  if (outcome.kind === 'unsent') return { kind: 'failed', why: outcome.why };
  if (outcome.kind !== 'answered') return { kind: 'unanswered', why: outcome.why };
  const { status } = outcome;
  if (status >= 200 && status < 300) return { kind: 'revoked' };
  // 503 is its own word that the token still exists (section 2.2.1); of the other 5xx nobody can say.
  const isKnown = status < 500 || status === 503;
  return { kind: isKnown ? 'failed' : 'unanswered', why: `the issuer answered ${status}` };
}
