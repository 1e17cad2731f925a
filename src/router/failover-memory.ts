import type { FailoverMemory, IdentityMemory } from '../failover.js';
import type { IdentityKey } from '../identity.js';
import type { Reading } from './failover-policy.js';
import { FAILOVER_RANGES } from './failover-settings.js';

/** ms */
export const HOUR = 3_600_000;

const MOST_IDENTITIES = 100;
const MOST_SWITCHES = 100;
const MOST_COUNTED = 99;

/** ms: no setting makes one that was left rest for longer. */
const LONGEST_REST = (FAILOVER_RANGES.dwellMinutes.most + FAILOVER_RANGES.restMinutes.most) * 60_000;

/** Nothing known of anybody. @param since ms epoch of the slot's last switch, say the journal's; null: long ago, or never */
export function freshMemory(since: number | null): FailoverMemory {
  return { current: null, since, empty: 0, switches: [], identities: [] };
}

/**
 * Counts each reading once (by its `at`). Holds 100 identities: who has been seen least lately goes first, who was left lately last. Pure.
 * @param now ms epoch; what is remembered from a time to come counts as of now: a clock was set back
 */
export function remember(memory: FailoverMemory, readings: readonly Reading[], now: number): FailoverMemory {
  const before = calmed(memory, now);
  const known = new Map(before.identities.map((one) => [one.key, one]));
  for (const reading of [...readings].sort((a, b) => a.at - b.at)) {
    const one = known.get(reading.key) ?? newcomer(reading.key);
    if (reading.state !== 'unknown' && !isCounted(one, reading))
      known.set(reading.key, counted(one, reading));
  }
  return { ...before, identities: bounded([...known.values()], now) };
}

/**
 * Notes who is in the slot: in each round before `decide`, and once more right after a switch was made. Somebody else than at the last look
 * came in now, whoever put them there: that begins their dwell and the rest of who was there, and counts for the hour. The first look ever
 * changes no time. Pure.
 * @param current null for an empty slot
 */
export function noteCurrent(
  memory: FailoverMemory,
  current: IdentityKey | null,
  now: number,
): FailoverMemory {
  const before = calmed(memory, now);
  if (current === null) return { ...before, empty: Math.min(before.empty + 1, MOST_COUNTED) };
  const isFirst = before.current === null && before.empty === 0;
  if (isFirst || before.current === current) return { ...before, current, empty: 0 };
  return {
    current,
    since: now,
    empty: 0,
    switches: [...before.switches, now].slice(-MOST_SWITCHES),
    identities: before.current === null ? before.identities : left(before, before.current, now),
  };
}

/** Notes a switch that took sessions out of this slot and left who is in it: it counts for the hour. Pure. */
export function noteDeparture(memory: FailoverMemory, now: number): FailoverMemory {
  const before = calmed(memory, now);
  return { ...before, switches: [...before.switches, now].slice(-MOST_SWITCHES) };
}

function left({ identities }: FailoverMemory, key: IdentityKey, now: number): readonly IdentityMemory[] {
  const one = identities.find((known) => known.key === key) ?? newcomer(key);
  const others = identities.filter((known) => known.key !== key);
  return bounded([...others, { ...one, leftAt: now, goodReads: 0 }], now);
}

function newcomer(key: IdentityKey): IdentityMemory {
  return { key, failures: 0, goodReads: null, leftAt: null, seenAt: 0 };
}

/** Another outcome at the very same time is another look: a clock was set back between the two. */
function isCounted({ failures, seenAt }: IdentityMemory, { state, at }: Reading): boolean {
  return at < seenAt || (at === seenAt && (state === 'good') === (failures === 0));
}

function counted(one: IdentityMemory, { state, at }: Reading): IdentityMemory {
  if (state !== 'good')
    return { ...one, failures: Math.min(one.failures + 1, MOST_COUNTED), goodReads: 0, seenAt: at };
  const goodReads = one.goodReads === null ? null : Math.min(one.goodReads + 1, MOST_COUNTED);
  return { ...one, failures: 0, goodReads, seenAt: at };
}

/** Without who has nothing to prove, and cut to what fits. */
function bounded(identities: readonly IdentityMemory[], now: number): readonly IdentityMemory[] {
  const known = identities.filter(
    ({ failures, goodReads, leftAt }) => failures > 0 || goodReads !== null || leftAt !== null,
  );
  if (known.length <= MOST_IDENTITIES) return known;
  // One that was left and is not there any more would be taken back before its time.
  const restsSince = ({ leftAt }: IdentityMemory) =>
    leftAt !== null && now - leftAt < LONGEST_REST ? leftAt : Number.NEGATIVE_INFINITY;
  const kept = [...known]
    .sort((a, b) => compare(restsSince(b), restsSince(a)) || compare(b.seenAt, a.seenAt))
    .slice(0, MOST_IDENTITIES);
  return known.filter((one) => kept.includes(one));
}

function compare(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

/** Times to come are brought back to now, so that a clock that was set back holds nothing for longer than it would last. */
function calmed(memory: FailoverMemory, now: number): FailoverMemory {
  const past = (at: number | null) => (at === null ? null : Math.min(at, now));
  return {
    ...memory,
    since: past(memory.since),
    switches: memory.switches.map((at) => Math.min(at, now)).filter((at) => now - at < HOUR),
    identities: memory.identities.map((one) => ({
      ...one,
      leftAt: past(one.leftAt),
      seenAt: one.seenAt > now ? 0 : one.seenAt,
    })),
  };
}
