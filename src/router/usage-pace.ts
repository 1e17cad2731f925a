import { type Identity, identityKey } from '../identity.js';
import { untilText } from './times.js';
import type { Result } from './usage-result.js';
import type { HeldBy } from './usage-tokens.js';

/** Which copy of whose token; with another one the server may answer another thing. */
interface TokenFound {
  readonly heldBy: HeldBy;
  readonly expiresAt: number;
}

/** What was said last of one who is not asked again yet. */
export type Early = Pick<Result, 'state' | 'why' | 'remedy'>;

/** Who is to be left in peace for a while, by what was answered before. Holds no token. */
export interface UsagePace {
  /** Null for one who may be asked. */
  early(found: TokenFound, identity: Identity): Early | null;
  /** @param retryAfterMs what the server asked for; null where it did not */
  heard(found: TokenFound, identity: Identity, result: Result, retryAfterMs: number | null): void;
}

/** ms; what a server asks for is honoured beyond it, a day at most. */
const LONGEST = 15 * 60_000;
const A_DAY = 24 * 3_600_000;

/**
 * After an answer that was no answer the next question waits twice as long each time, a quarter of an hour at most, or as long as the server
 * said; after one in time that was one, or with another token, nobody waits. That nothing could be reached is nobody's answer, and
 * the end of it is wanted at once.
 * @param intervalMs of the rounds
 */
export function usagePace(intervalMs: number, now: () => number): UsagePace {
  const held = new Map<string, { token: string; failures: number; until: number; said: Early }>();
  return {
    early(found, identity) {
      const one = held.get(identityKey(identity));
      // A round begins a moment sooner or later than it should.
      if (one === undefined || one.token !== tokenOf(found) || one.until <= now() + SLACK) return null;
      const why = `${one.said.why}; it is asked again ${untilText(one.until, now())}`;
      return { ...one.said, why };
    },
    heard(found, identity, { state, why, remedy }, retryAfterMs) {
      const key = identityKey(identity);
      if (state === 'answered' || state === 'unreachable') {
        held.delete(key);
        return;
      }
      const token = tokenOf(found);
      const before = held.get(key);
      const failures = before?.token === token ? before.failures + 1 : 1;
      const wait = Math.min(LONGEST, intervalMs * 2 ** Math.min(failures, 20));
      const until = now() + Math.max(wait, Math.min(retryAfterMs ?? 0, A_DAY));
      held.set(key, { token, failures, until, said: { state, why, remedy } });
    },
  };
}

/** ms */
const SLACK = 500;

function tokenOf({ heldBy, expiresAt }: TokenFound): string {
  return `${heldBy} ${expiresAt}`;
}
