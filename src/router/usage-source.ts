import type { AccountId } from '../identity.js';
import type { Limits } from '../limits.js';
import type { Secret } from '../secret.js';

/**
 * What became of one question about a login's limits; `why` is a clause for a sentence and holds no token.
 * `answered`: `named` is whom the server says it speaks of; it decides nothing until the caller has compared it.
 * `expired`: the server calls the access token expired, which says nothing of the login. `rejected`: 401, it takes this token no more.
 * `forbidden`: 403, the person may not look at this workspace. `failed`: any other answer. `unreachable`: none, `timeout`: none in time.
 */
export type UsageAnswer = {
  /** ms by which this machine's clock is ahead of the server's; absent where that does not tell the time. */
  readonly aheadMs?: number;
} & (
  | { readonly kind: 'answered'; readonly limits: Limits; readonly named: NamedPerson }
  | {
      readonly kind: 'expired' | 'rejected' | 'forbidden' | 'failed' | 'unreachable' | 'timeout';
      readonly why: string;
      /** How long the server asks not to be asked again; absent where it does not say. */
      readonly retryAfterMs?: number;
    }
);

export interface NamedPerson {
  readonly accountId: string | null;
  readonly userId: string | null;
  readonly email: string | null;
}

/** ChatGPT's usage backend. `src/codex` implements it. */
export interface UsageSource {
  /**
   * One request with this token for this workspace, and with no other ever; nothing is refreshed.
   * @param waitMs for all of it
   */
  ask(token: Secret, accountId: AccountId, waitMs: number, signal?: AbortSignal): Promise<UsageAnswer>;
}
