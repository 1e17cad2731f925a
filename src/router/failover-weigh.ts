import type { IdentityKey } from '../identity.js';
import type { FailoverVerdict, Question, Reading, ReadWindow, Weighed } from './failover-policy.js';

/** The windows that limit it: those that were told, but for one that has been reset since it was read. */
export function limitingWindows({ windows }: Reading, now: number): readonly ReadWindow[] {
  return windows.filter(({ resetsAt }) => resetsAt === null || resetsAt > now);
}

/**
 * The smaller of what is left in both windows; a window that is missing, or past its reset, limits nothing. Null when that leaves none,
 * or nobody answered.
 */
export function effectivePercent(reading: Reading, now: number): number | null {
  const left = limitingWindows(reading, now).map(({ remainingPercent }) => remainingPercent);
  return reading.state !== 'good' || left.length === 0 ? null : Math.min(...left);
}

/** The latest of this identity; undefined where there is none. */
export function readingOf(readings: readonly Reading[], key: IdentityKey): Reading | undefined {
  return readings.reduce<Reading | undefined>(
    (latest, one) => (one.key === key && (latest === undefined || one.at >= latest.at) ? one : latest),
    undefined,
  );
}

/** The current one first, then the candidates, each once: in their order, or by what is left to them where nobody is preferred. */
export function weigh(question: Question): readonly Weighed[] {
  const { settings, current, readings, order, now } = question;
  const effectiveOf = (key: IdentityKey): number | null => {
    const reading = readingOf(readings, key);
    return reading === undefined ? null : effectivePercent(reading, now);
  };
  const floor = current === null ? null : effectiveOf(current);
  const candidates = [...new Set(order)]
    .filter((key) => key !== current)
    .map((key): Weighed => {
      const effective = effectiveOf(key);
      return { key, verdict: verdictOn(question, key, effective, floor), effectivePercent: effective };
    });
  // Array.sort is stable: those with as much left stay in the order given.
  if (settings.order.length === 0) candidates.sort((a, b) => rank(b) - rank(a));
  if (current === null) return candidates;
  return [{ key: current, verdict: 'current', effectivePercent: floor }, ...candidates];
}

function rank({ effectivePercent }: Weighed): number {
  return effectivePercent ?? -1;
}

/**
 * What only passes with time comes last, so that such a verdict means: fit but for that.
 * @param floor what is left to the current one; null when that is not known
 */
function verdictOn(
  { settings, readings, memory, now }: Question,
  key: IdentityKey,
  effective: number | null,
  floor: number | null,
): FailoverVerdict {
  const reading = readingOf(readings, key);
  if (reading?.state === 'needs-login' || reading?.state === 'failed') return reading.state;
  if (reading === undefined || effective === null) return 'unknown';
  const isRoomy = limitingWindows(reading, now).every(
    ({ window, remainingPercent }) =>
      remainingPercent > settings.thresholdPercent[window] + settings.hysteresisPercent,
  );
  if (!isRoomy) return 'too-low';
  if (floor !== null && effective <= floor) return 'not-better';
  if (reading.restsUntil !== null && reading.restsUntil > now) return 'cooling';
  const known = memory.identities.find((one) => one.key === key);
  if (known === undefined) return 'fit';
  // The rest begins after the dwell of who came in its place: so nobody goes A, B, A within both.
  const isResting = known.leftAt !== null && now - known.leftAt < settings.dwellMs + settings.restMs;
  if (isResting) return 'just-left';
  const isProved = known.goodReads === null || known.goodReads >= settings.goodReads;
  return isProved ? 'fit' : 'good-reads-missing';
}
