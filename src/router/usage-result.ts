import { type Claims, readClaims } from '../claims.js';
import type { Identity } from '../identity.js';
import type { Limits } from '../limits.js';
import type { IndexEntry } from '../repo/repo.js';
import type { Secret } from '../secret.js';
import { LOG_IN_AGAIN } from './remedies.js';
import { typedSelectorOf } from './resolve.js';
import type { UsagePace } from './usage-pace.js';
import type { NamedPerson, UsageAnswer, UsageSource } from './usage-source.js';
import type { HeldBy, OwnToken } from './usage-tokens.js';

/**
 * `answered`: these limits are of now; in every other state they are the last known ones, or null. `expired`: the access token has, the
 * login need not have. `refreshing`: its host is renewing it. `rejected`, `forbidden`, `failed`, `unreachable`, `timeout`: as
 * `UsageAnswer`. `mismatch`: the token, or the server's answer to it, is about somebody else: nothing of it is taken for this identity.
 * `no-token`: its access token could not be read. `interrupted`: the question was given up before it was answered. `offline`: nobody was
 * asked.
 */
export const USAGE_STATES = [
  'answered',
  'expired',
  'refreshing',
  'rejected',
  'forbidden',
  'failed',
  'unreachable',
  'timeout',
  'mismatch',
  'no-token',
  'interrupted',
  'offline',
] as const;

export type UsageState = (typeof USAGE_STATES)[number];

export interface IdentityUsage {
  readonly identity: Identity;
  /** Null for somebody in a slot who is not stored. */
  readonly entry: IndexEntry | null;
  readonly heldBy: HeldBy;
  /** The agent in whose store it lies; null elsewhere. */
  readonly agent: string | null;
  readonly state: UsageState;
  /** A clause; null for `answered` and `offline`. */
  readonly why: string | null;
  /** The command that helps; null where none does or need be given. */
  readonly remedy: string | null;
  /** Whom the server spoke of instead; null but for `mismatch`. */
  readonly answeredFor: NamedPerson | null;
  /** ms epoch of the limits; null without any. */
  readonly at: number | null;
  readonly limits: Limits | null;
}

export interface ResultDeps {
  readonly source: UsageSource;
  /** ms epoch */
  readonly now: () => number;
  readonly signal?: AbortSignal | undefined;
  /** Where the same people are asked again and again: who is to be left in peace for a while. */
  readonly pace?: UsagePace | undefined;
}

/** Somebody who is asked about. */
export interface Target {
  readonly identity: Identity;
  readonly entry: IndexEntry | null;
}

/** What became of one question, without what was known before. */
export type Result = Omit<IdentityUsage, 'at' | 'limits'> & {
  readonly at?: number;
  readonly limits?: Limits;
};

/**
 * Asks about one identity with the token that was found, once it is known to be its own.
 * @param leftMs how long the answer may take; 0: the time is up
 */
export async function usageResult(
  { source, now, signal, pace }: ResultDeps,
  { identity, entry }: Target,
  found: OwnToken,
  offline: boolean,
  leftMs: number,
  entries: readonly IndexEntry[],
): Promise<Result> {
  const { heldBy, agent } = found;
  const result = (
    state: UsageState,
    why: string | null,
    remedy: string | null = null,
    more: Pick<Result, 'at' | 'limits'> & { readonly answeredFor?: NamedPerson } = {},
  ): Result => ({ identity, entry, heldBy, agent, state, why, remedy, answeredFor: null, ...more });
  const selector = entry === null ? null : typedSelectorOf(entry, entries);
  const refresh = heldBy === 'store' && selector !== null ? `codex-router refresh ${selector}` : null;

  if (offline) return result('offline', null);
  if (found.kind === 'refreshing') return result('refreshing', 'OpenClaw is renewing it just now');
  if (found.kind === 'none') return result('no-token', found.why, found.remedy);
  const claims = claimsOf(found.token);
  if (!isOwn(claims, identity)) {
    return result('mismatch', 'the token that is stored for it is of somebody else: it was not sent');
  }
  if ((claims?.expiresAt ?? found.expiresAt) <= now()) {
    return result('expired', `its access token has expired; ${RENEWS[heldBy]}`, refresh);
  }
  if (leftMs <= 0) return result('timeout', 'the time was up before it was asked');
  const early = pace?.early(found, identity);
  if (early) return result(early.state, early.why, early.remedy);
  const answer = await source.ask(found.token, identity.accountId, leftMs, signal);
  const heard = heardOf(answer);
  pace?.heard(found, identity, heard, answer.kind === 'answered' ? null : (answer.retryAfterMs ?? null));
  return heard;

  function heardOf(answer: UsageAnswer): Result {
    if (answer.kind === 'answered') {
      const { named, limits } = answer;
      if (isNamed(named, identity)) return result('answered', null, null, { at: now(), limits });
      const why = 'ChatGPT answered about somebody else';
      return result('mismatch', why, null, { answeredFor: named });
    }
    if (answer.kind === 'expired') return result('expired', `${answer.why}; ${RENEWS[heldBy]}`, refresh);
    return result(answer.kind, answer.why, answer.kind === 'rejected' ? (refresh ?? LOG_IN_AGAIN) : null);
  }
}

/** Completes "its access token has expired;". */
const RENEWS: { readonly [holder in HeldBy]: string } = {
  slot: 'OpenClaw renews it when it is next used',
  store: 'it is renewed when it is next used',
  codex: 'Codex renews it when it is next used',
};

function claimsOf(token: Secret): Claims | null {
  try {
    return readClaims(token);
  } catch {
    return null;
  }
}

function isOwn(claims: Claims | null, { accountId, userId }: Identity): boolean {
  return claims !== null && claims.accountId === accountId && claims.userId === userId;
}

/**
 * Whether the server speaks of this identity. For a personal account it gives the user's id as the account's too (seen in published
 * answers of 2026); `<user>__<account>` is how it joins the two.
 */
function isNamed(named: NamedPerson, { accountId, userId }: Identity): boolean {
  const isUser = named.userId === null || named.userId === userId;
  const accounts: readonly (string | null)[] = [null, accountId, userId, `${userId}__${accountId}`];
  return isUser && accounts.includes(named.accountId);
}
