import type { FailoverHold, FailoverMemory, FailoverReason, FailoverStatus } from '../failover.js';
import type { IdentityKey } from '../identity.js';
import { HOUR } from './failover-memory.js';
import type { FailoverSettings } from './failover-settings.js';
import { effectivePercent, limitingWindows, readingOf, weigh } from './failover-weigh.js';

export type { FailoverHold, FailoverReason, FailoverStatus } from '../failover.js';
export { effectivePercent } from './failover-weigh.js';
export type Memory = FailoverMemory;

/** What is left of one window of an identity. */
export interface ReadWindow {
  readonly window: 'fiveHour' | 'weekly';
  readonly remainingPercent: number;
  /** ms epoch; null when it was not told. Once it has passed, the window says nothing till it is read again. */
  readonly resetsAt: number | null;
}

/**
 * One look at an identity. `good`: it was answered; `failed`: a hard failure (refused, or a server's error more than once); `needs-login`:
 * a person must log in; `unknown`: nothing was learnt (offline, timed out, an expired access token that its holder renews): counts for
 * nothing and against nothing.
 */
export interface Reading {
  readonly key: IdentityKey;
  readonly state: 'good' | 'failed' | 'needs-login' | 'unknown';
  /** At most one of each; none where it was not told. */
  readonly windows: readonly ReadWindow[];
  /** ms epoch until which OpenClaw itself rests this login; null when it does not. */
  readonly restsUntil: number | null;
  /** ms epoch of the look; the same one is counted once. */
  readonly at: number;
}

/**
 * `current`: it is the one; `fit`: could be taken; `needs-login`; `failed`: its last read did; `unknown`: what is left is not known;
 * `cooling`: OpenClaw rests it; `just-left`: it was left too lately; `good-reads-missing`; `too-low`: not more than threshold and
 * hysteresis in each window; `not-better`: no more is left than of the current one.
 */
export const FAILOVER_VERDICTS = [
  'current',
  'fit',
  'needs-login',
  'failed',
  'unknown',
  'cooling',
  'just-left',
  'good-reads-missing',
  'too-low',
  'not-better',
] as const;
export type FailoverVerdict = (typeof FAILOVER_VERDICTS)[number];

export interface Weighed {
  readonly key: IdentityKey;
  readonly verdict: FailoverVerdict;
  /** The smaller of both windows; null when neither is known. */
  readonly effectivePercent: number | null;
}

export interface Question {
  readonly settings: FailoverSettings;
  /** Who is in the slot; null when it is empty. */
  readonly current: IdentityKey | null;
  /**
   * What is wrong with the current one beside what is left to it; null for nothing. Its reading is then `failed` or `needs-login`, and
   * it is left only when that was so `hardFailures` times in a row. `remaining_below_threshold` is found here, and ignored when given.
   */
  readonly currentTrouble: FailoverReason | null;
  /** Of the current one and of the candidates; who has none is `unknown`. */
  readonly readings: readonly Reading[];
  /** With these readings and the current one in it already: `remember`, then `noteCurrent`. */
  readonly memory: Memory;
  /** Candidates: in the person's order where `settings.order` names any, else in any order. The current one may be among them. */
  readonly order: readonly IdentityKey[];
  /** Whether a turn of a concerned session runs, or may. */
  readonly busy: boolean;
  /** ms epoch */
  readonly now: number;
}

export interface Decision {
  /** `switch_recommended` exactly where `to` is not null; never `switched` or `missing_session`, which are for who acts. */
  readonly status: FailoverStatus;
  /** Why the current one should be left; null when it should not. */
  readonly reason: FailoverReason | null;
  readonly to: IdentityKey | null;
  /** What keeps it from being left now; null when nothing does, or it should not be left. */
  readonly held: FailoverHold | null;
  /** The current one first, then the candidates in the order they would be taken in. */
  readonly weighed: readonly Weighed[];
}

/** Whether to leave the current identity, and for whom. Pure: the same question has the same answer, and nothing given is changed. */
export function decide(question: Question): Decision {
  const weighed = weigh(question);
  const found = find(question);
  const answer = (status: FailoverStatus, to: IdentityKey | null, held: FailoverHold | null): Decision => ({
    status,
    reason: found.reason,
    to,
    held,
    weighed,
  });
  if (found.reason === null) return answer(found.status, null, null);
  if (!found.isSure) return answer(found.status, null, 'failures-not-sure');
  const fit = weighed.find(({ verdict }) => verdict === 'fit');
  if (fit === undefined) return answer('no_candidate_available', null, waitedFor(weighed));
  const held = holdOf(question);
  return held === null ? answer('switch_recommended', fit.key, null) : answer(found.status, null, held);
}

type Found =
  | { readonly reason: null; readonly status: FailoverStatus }
  /** `status`: what it is while it is not left. */
  | { readonly reason: FailoverReason; readonly status: FailoverStatus; readonly isSure: boolean };

/** Whether the current one is to be left. */
function find({ settings, current, currentTrouble, readings, memory, now }: Question): Found {
  const status = 'unknown_current_usage';
  if (current === null) {
    const isSure = memory.empty >= settings.hardFailures;
    return { reason: troubleIn(currentTrouble) ?? 'missing_profile_entry', status, isSure };
  }
  const reading = readingOf(readings, current);
  const hasFailed = reading?.state === 'failed' || reading?.state === 'needs-login';
  const trouble = troubleIn(currentTrouble) ?? (hasFailed ? 'current_profile_usage_error' : null);
  if (trouble !== null) {
    const failures = memory.identities.find(({ key }) => key === current)?.failures ?? 0;
    return { reason: trouble, status, isSure: failures >= settings.hardFailures };
  }
  if (reading === undefined || effectivePercent(reading, now) === null) return { reason: null, status };
  const windows = limitingWindows(reading, now);
  const isAbove = (by: number) =>
    windows.every(
      ({ window, remainingPercent }) => remainingPercent > settings.thresholdPercent[window] + by,
    );
  if (!isAbove(0)) return { reason: 'remaining_below_threshold', status: 'within_threshold', isSure: true };
  return { reason: null, status: isAbove(settings.hysteresisPercent) ? 'healthy' : 'ok' };
}

function troubleIn(given: FailoverReason | null): FailoverReason | null {
  return given === 'remaining_below_threshold' ? null : given;
}

/** What forbids any switch now, whoever would come in. */
function holdOf({ settings, memory, busy, now }: Question): FailoverHold | null {
  if (busy) return 'busy';
  if (memory.since !== null && now - memory.since < settings.dwellMs) return 'dwell';
  // A time to come is one of a clock that was set back: it counts.
  const lately = memory.switches.filter((at) => now - at < HOUR);
  return lately.length >= settings.maxSwitchesPerHour ? 'rate' : null;
}

/** What somebody would be fit without. */
function waitedFor(weighed: readonly Weighed[]): FailoverHold | null {
  const is = (...verdicts: readonly FailoverVerdict[]) =>
    weighed.some(({ verdict }) => verdicts.includes(verdict));
  if (is('cooling', 'just-left')) return 'rest';
  return is('good-reads-missing') ? 'good-reads-missing' : null;
}
