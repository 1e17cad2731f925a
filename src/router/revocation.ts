import type { Grant } from '../grant.js';

/**
 * What became of one revocation (RFC 7009). `revoked`: the grant is worth nothing any more, whether or not it was before.
 * `failed`: it is as it was. `unanswered`: it was sent and no answer came that tells; asking again does no harm.
 */
export type RevokeAnswer =
  | { readonly kind: 'revoked' }
  | { readonly kind: 'failed'; readonly why: string }
  | { readonly kind: 'unanswered'; readonly why: string };

/** The issuer's revocation endpoint. `why` is a clause for a sentence and holds no token. */
export interface Revocation {
  /**
   * One POST, never repeated by itself, bounded in time.
   * @throws ISSUER_FOREIGN for a grant whose provenance is not an allowed issuer; nothing was sent.
   */
  revoke(grant: Pick<Grant, 'refreshToken' | 'provenance'>, signal?: AbortSignal): Promise<RevokeAnswer>;
}
