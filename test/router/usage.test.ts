import t from 'tap';
import { RouterError } from '../../src/errors.js';
import { parseAccountId, parseUserId } from '../../src/identity.js';
import { usagePace } from '../../src/router/usage-pace.js';
import type { Result } from '../../src/router/usage-result.js';
import { type Alarms, askRound } from '../../src/router/usage-round.js';
import { type Seen, watchUsage } from '../../src/router/usage-watch.js';

/** A clock that stands still until it is told to go on; its alarms ring in their order. */
function stoppedClock(): Alarms & { goTo(ms: number): Promise<void> } {
  let time = 0;
  const alarms = new Map<object, { at: number; ring: () => void }>();
  return {
    now: () => time,
    after: (ms, ring) => {
      const key = {};
      alarms.set(key, { at: time + ms, ring });
      return () => void alarms.delete(key);
    },
    async goTo(ms) {
      for (;;) {
        await settled();
        const [first] = [...alarms].filter(([, { at }]) => at <= ms).sort(([, a], [, b]) => a.at - b.at);
        if (first === undefined) break;
        const [key, { at, ring }] = first;
        alarms.delete(key);
        time = Math.max(time, at);
        ring();
      }
      time = ms;
    },
  };
}

const settled = () => new Promise((done) => setImmediate(done));

t.test(
  'a round of 100 takes little more than the slowest allowed answer, loses nobody and keeps the order, whoever hangs',
  async (t) => {
    const waitMs = 16_000;
    for (const [hanging, name] of [
      [() => true, 'all of 100'],
      [(place: number) => place % 2 === 0, 'every other'],
      [(place: number) => place < 50, 'the first half'],
    ] as const) {
      const clock = stoppedClock();
      const told: number[] = [];
      const open = { now: 0, most: 0 };
      let ended: readonly (string | null)[] | null = null;
      const work = async (place: number, leftMs: number) => {
        told.push(leftMs);
        if (leftMs === 0) return `late ${place}`;
        open.now += 1;
        open.most = Math.max(open.most, open.now);
        // A quick answer is there at once, a hanging one is given up after what it was told.
        if (hanging(place)) await new Promise<void>((done) => clock.after(leftMs, done));
        open.now -= 1;
        return `${hanging(place) ? 'hung' : 'quick'} ${place}`;
      };
      const round = askRound([...Array(100).keys()], waitMs, work, undefined, clock).then((all) => {
        ended = all;
      });
      await clock.goTo(1.2 * waitMs);
      await settled();
      t.ok(ended, `${name}: it has ended`);
      await round;
      t.strictSame(
        ended,
        [...Array(100).keys()].map((place) => `${hanging(place) ? 'hung' : 'quick'} ${place}`),
        `${name}: each with its own answer, in their order, and all of them were begun`,
      );
      t.ok(Math.min(...told) > 0 && Math.max(...told) <= waitMs);
      t.ok(open.most <= 100);
    }
  },
);

t.test('who has not been begun when the time is up is told so, and is not lost', async (t) => {
  const clock = stoppedClock();
  const round = askRound(
    [...Array(2000).keys()],
    1000,
    async (place, leftMs) => {
      if (leftMs > 0) await new Promise<void>((done) => clock.after(leftMs, done));
      return [place, leftMs > 0];
    },
    undefined,
    clock,
  );
  await clock.goTo(2000);
  const answers = await round;
  t.equal(answers.length, 2000);
  t.ok(answers.every((answer, place) => answer?.[0] === place));
  t.ok(answers.some((answer) => answer?.[1] === false));
});

t.test(
  'a round that is interrupted gives what was answered by then and begins nobody any more',
  async (t) => {
    const stop = new AbortController();
    const begun: number[] = [];
    const round = askRound(
      [...Array(30).keys()],
      60_000,
      async (place) => {
        begun.push(place);
        if (place % 3 === 0) return place;
        return new Promise<number>((_, fail) => {
          stop.signal.addEventListener('abort', () => fail(new RouterError('INTERRUPTED', 'x')));
        });
      },
      stop.signal,
    );
    await settled();
    stop.abort();
    const answers = await round;
    const count = begun.length;
    await settled();
    t.equal(begun.length, count);
    t.strictSame(answers.slice(0, 8), [0, null, null, 3, null, null, 6, null]);
    t.equal(answers.length, 30);
    const before = await askRound([1], 1000, async () => t.fail('nobody is asked'), AbortSignal.abort());
    t.strictSame(before, [null]);
  },
);

t.test('what is no RouterError ends the round', async (t) => {
  const round = askRound([1, 2], 1000, async () => {
    throw new TypeError('a bug');
  });
  await t.rejects(round, { name: 'TypeError' });
});

const alice = {
  accountId: parseAccountId('acc-alice'),
  userId: parseUserId('user-alice'),
  email: null,
  plan: null,
  workspace: null,
};
const found = { heldBy: 'store', expiresAt: 5_000_000 } as const;

function result(state: Result['state']): Result {
  const why = state === 'answered' ? null : `said ${state}`;
  const nobody = { entry: null, agent: null, remedy: null, answeredFor: null } as const;
  return { identity: alice, heldBy: 'store', state, why, ...nobody };
}

t.test(
  'after each answer that is none the next question waits twice as long, a quarter of an hour at most',
  (t) => {
    let now = 0;
    const pace = usagePace(60_000, () => now);
    t.equal(pace.early(found, alice), null);
    const waits: number[] = [];
    for (let time = 0; time < 6; time += 1) {
      pace.heard(found, alice, result('failed'), null);
      let waited = 0;
      for (; pace.early(found, alice) !== null; waited += 60_000) now += 60_000;
      waits.push(waited / 60_000);
    }
    t.strictSame(waits, [2, 4, 8, 15, 15, 15]);
    pace.heard(found, alice, result('rejected'), null);
    t.match(pace.early(found, alice), {
      state: 'rejected',
      why: 'said rejected; it is asked again in 15 min',
    });
    t.equal(
      pace.early({ ...found, expiresAt: 6_000_000 }, alice),
      null,
      'with a new token it is asked at once',
    );
    t.equal(pace.early({ ...found, heldBy: 'slot' }, alice), null);
    t.equal(
      pace.early(found, { ...alice, userId: parseUserId('user-bob') }),
      null,
      'nobody waits for another',
    );
    pace.heard(found, alice, result('answered'), null);
    t.equal(pace.early(found, alice), null);
    pace.heard(found, alice, result('failed'), 3_600_000);
    now += 3_590_000;
    t.ok(pace.early(found, alice), 'as long as the server said');
    now += 10_000;
    t.equal(pace.early(found, alice), null);
    pace.heard(found, alice, result('failed'), 1e12);
    now += 24 * 3_600_000;
    t.equal(pace.early(found, alice), null, 'but no longer than a day');
    pace.heard(found, alice, result('unreachable'), null);
    t.equal(pace.early(found, alice), null, 'a network that is gone is asked for again at once');
    t.end();
  },
);

/** Rounds that take as long as they are told; `times` is when each began. */
async function watched(lengths: readonly number[], intervalMs: number, rings: readonly number[] = []) {
  let now = 1000;
  let [running, most] = [0, 0];
  const times: number[] = [];
  const seen: Seen<number>[] = [];
  await watchUsage<number>(
    {
      steady: () => now,
      look: async () => {
        running += 1;
        most = Math.max(most, running);
        times.push(now - 1000);
        await settled();
        const length = lengths[times.length - 1] ?? 0;
        now += Math.abs(length);
        running -= 1;
        if (length < 0) throw new RouterError('HOST_UNREADABLE', 'gone');
        return times.length;
      },
      show: (one) => void seen.push(one),
      rest: async (ms) => {
        const ring = rings[times.length - 1];
        now += ring ?? ms;
        return times.length < lengths.length ? 'look' : null;
      },
    },
    intervalMs,
  );
  return { times, most, seen };
}

t.test('rounds keep the beat whatever they take, and never overlap', async (t) => {
  const even = await watched([100, 5000, 30_000, 10, 1], 60_000);
  t.strictSame(even.times, [0, 60_000, 120_000, 180_000, 240_000]);
  t.equal(even.most, 1);
  t.strictSame(
    even.seen.slice(0, 3).map(({ kind }) => kind),
    ['asking', 'seen', 'asking'],
  );
  t.match(even.seen[1], { look: 1, nextIn: 59_900 });
  const long = await watched([70_000, 50_000, 0, 0], 60_000);
  t.strictSame(
    long.times,
    [0, 120_000, 240_000, 300_000],
    'a beat that was run past, or nearly, is left out',
  );
  t.equal(long.most, 1);
  const rung = await watched([0, 0, 0], 60_000, [10_000]);
  t.strictSame(rung.times.slice(0, 2), [0, 10_000], 'who wants to look now does');
});

t.test('a round that goes wrong ends nothing; a first one ends all', async (t) => {
  const { seen, times } = await watched([0, -10, 0], 60_000);
  t.equal(times.length, 3);
  t.match(
    seen.filter(({ kind }) => kind !== 'asking'),
    [{ kind: 'seen' }, { kind: 'trouble', trouble: { code: 'HOST_UNREADABLE' } }, { kind: 'seen' }],
  );
  await t.rejects(watched([-1, 0], 60_000), { code: 'HOST_UNREADABLE' });
  const bug = watchUsage(
    {
      steady: () => 0,
      look: () => Promise.reject(new TypeError('a bug')),
      show: () => undefined,
      rest: async () => null,
    },
    60_000,
  );
  await t.rejects(bug, { name: 'TypeError' });
});
