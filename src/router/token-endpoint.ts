import type { Grant } from '../grant.js';

/**
 * What became of one refresh (RFC 6749, section 6; classes as the Codex CLI 0.169 has them).
 * `renewed`: the answer's tokens over the old grant's; what the answer left out is kept.
 * `refused`: for good; asking again with this token is of no use and may do harm.
 * `failed`: the token was not spent: the request never left whole, or the server said to try later.
 * `unanswered`: it was sent and no whole answer came, so the token may be spent: ask again soon with the same one.
 */
export type RefreshAnswer =
  | { readonly kind: 'renewed'; readonly grant: Grant }
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly why: string }
  | { readonly kind: 'failed'; readonly why: string }
  | { readonly kind: 'unanswered'; readonly why: string };

/** OpenAI's `refresh_token_*` codes; `invalid` is any other answer that is final. */
export type RefusalReason = 'expired' | 'reused' | 'invalidated' | 'invalid';

/** The issuer's token endpoint. `why` is a noun phrase or clause for a sentence and holds no token. */
export interface TokenEndpoint {
  /**
   * One POST, never repeated by itself, bounded in time. Whose tokens came back is for the caller to check.
   * @param signal ends the wait: `unanswered` once the request was sent.
   * @throws ISSUER_FOREIGN for a grant whose provenance is not an allowed issuer; nothing was sent.
   */
  refresh(grant: Grant, signal?: AbortSignal): Promise<RefreshAnswer>;
}
