import type { IdentityKey } from './identity.js';

/** Why one is left, or would be; the words are those people know from the tools that failed over before this one. */
export const FAILOVER_REASONS = [
  'missing_profile_entry',
  'missing_token',
  'token_expired',
  'current_profile_usage_error',
  'remaining_below_threshold',
] as const;
export type FailoverReason = (typeof FAILOVER_REASONS)[number];

/**
 * `healthy`: more is left than threshold and hysteresis together; `ok`: more than the threshold; `within_threshold`: at it or below, and
 * kept for now; `unknown_current_usage`: what is left could not be told, or a failure is not sure or not acted on yet;
 * `switch_recommended`: there is somebody to go to, and nothing holds; `switched`: it was done; `no_candidate_available`: it should be
 * left, and nobody is fit; `missing_session`: the named session is not there.
 */
export const FAILOVER_STATUSES = [
  'healthy',
  'ok',
  'within_threshold',
  'unknown_current_usage',
  'switch_recommended',
  'switched',
  'no_candidate_available',
  'missing_session',
] as const;
export type FailoverStatus = (typeof FAILOVER_STATUSES)[number];

/**
 * What keeps a switch from being made now. `failures-not-sure`: not yet `hardFailures` in a row; `busy`: a turn runs, or may;
 * `dwell`: the current one came in too lately; `rate`: as many switches as an hour may have; `rest`: who would be fit was left too lately,
 * or OpenClaw rests them; `good-reads-missing`: who would be fit has failed or was left, and has not been good often enough since.
 */
export const FAILOVER_HOLDS = [
  'failures-not-sure',
  'busy',
  'dwell',
  'rate',
  'rest',
  'good-reads-missing',
] as const;
export type FailoverHold = (typeof FAILOVER_HOLDS)[number];

/** What is remembered of one identity. Counts end at 99. */
export interface IdentityMemory {
  readonly key: IdentityKey;
  /** Hard failures since the last good read. */
  readonly failures: number;
  /** Good reads since it failed or was left; null for one that did neither: nothing has to be proved. */
  readonly goodReads: number | null;
  /** ms epoch; null when it was never left. */
  readonly leftAt: number | null;
  /** ms epoch of the latest reading that was counted; 0 for none. */
  readonly seenAt: number;
}

/** What is remembered of one slot between two looks. Plain data, bounded: it is written to a file as it is. */
export interface FailoverMemory {
  /** Who was in the slot when it was last looked at; null before the first look. Stays while the slot is empty. */
  readonly current: IdentityKey | null;
  /** ms epoch at which the current one came in; null when that is not known: long ago. */
  readonly since: number | null;
  /** How often in a row the slot was found empty. Ends at 99. */
  readonly empty: number;
  /** ms epoch of each change of who is in the slot, whoever made it, of the last hour; oldest first. */
  readonly switches: readonly number[];
  /** 100 at most. */
  readonly identities: readonly IdentityMemory[];
}
