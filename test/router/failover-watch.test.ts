import fc from 'fast-check';
import t from 'tap';
import { RouterError } from '../../src/errors.js';
import { restOf, type WatchStep, watchFailover } from '../../src/router/failover-watch.js';

const INTERVAL = 300_000;

/** What the rounds of a watch come to, one after another; the watch is stopped when none is left. */
type Script = readonly (string | RouterError | Error)[];

interface Watched {
  readonly steps: readonly WatchStep<string>[];
  readonly rests: readonly number[];
  /** Rounds and checks under way at the same time, at most. */
  readonly atOnce: number;
  readonly checks: number;
}

interface Bench {
  readonly script: Script;
  readonly random?: () => number;
  readonly mayGoOn?: (round: number) => Promise<void>;
  /** Before which round the signal comes, while it runs. */
  readonly abortIn?: number;
  readonly unheardAfter?: number;
}

async function watched({ script, random = () => 0.5, mayGoOn, abortIn, unheardAfter }: Bench) {
  const controller = new AbortController();
  const steps: WatchStep<string>[] = [];
  const rests: number[] = [];
  let [time, place, checks, underWay, atOnce] = [1_000_000, 0, 0, 0, 0];
  const seen = (): Watched => ({ steps, rests, atOnce, checks });
  const standing = await watchFailover<string>(
    {
      round: async () => {
        underWay += 1;
        atOnce = Math.max(atOnce, underWay);
        await new Promise((done) => setImmediate(done));
        underWay -= 1;
        const outcome = script[place] ?? 'nothing left';
        place += 1;
        time += 1000;
        if (place === abortIn) controller.abort();
        if (outcome instanceof Error) throw outcome;
        return { round: outcome, digest: outcome };
      },
      troubleOf: (error) =>
        error instanceof RouterError ? error : new RouterError('BUG', 'something went wrong'),
      mayGoOn: async () => {
        checks += 1;
        await mayGoOn?.(checks);
      },
      tell: async (step) => {
        steps.push(step);
      },
      pause: async (ms, signal) => {
        rests.push(ms);
        time += ms;
        if (place >= script.length) controller.abort();
        signal.throwIfAborted();
      },
      isUnheard: () => unheardAfter !== undefined && place >= unheardAfter,
      now: () => time,
      random,
      signal: controller.signal,
    },
    INTERVAL,
  );
  return { ...seen(), standing };
}

const told = (steps: readonly WatchStep<string>[]) => steps.filter(({ kind }) => kind !== 'looking');
const news = (steps: readonly WatchStep<string>[]) =>
  told(steps).flatMap((step) => (step.kind !== 'looking' && step.isNew ? [step] : []));

const busy = () => new RouterError('HOST_BUSY', 'OpenClaw is busy');
const gone = () => new RouterError('IO', 'the disk is full');

t.test('each round is told, and only one that came to something else is news', async (t) => {
  const { steps, standing, checks } = await watched({ script: ['a', 'a', 'b', 'b', 'b', 'a'] });
  t.equal(told(steps).length, 6);
  t.strictSame(
    news(steps).map((step) => (step.kind === 'round' ? step.round : step.kind)),
    ['a', 'b', 'a'],
  );
  t.match(standing, { rounds: 6, failed: 0, failedInARow: 0, trouble: null, nextAt: null });
  t.equal(checks, 6, 'before each it is asked whether it may still go on');
});

t.test('a round that fails is told once, counted, and tried again after an ordinary rest', async (t) => {
  const { steps, rests, standing } = await watched({
    script: ['a', busy(), busy(), gone(), new TypeError('x'), 'a', 'a'],
  });
  t.strictSame(
    news(steps).map((step) => (step.kind === 'trouble' ? step.trouble.code : step.kind)),
    ['round', 'HOST_BUSY', 'IO', 'BUG', 'round'],
  );
  t.strictSame(
    told(steps).map(({ standing: { failedInARow } }) => failedInARow),
    [0, 1, 2, 3, 4, 0, 0],
  );
  t.strictSame(
    told(steps).map((step) => step.kind === 'round' && step.recovered),
    [false, false, false, false, false, true, false],
  );
  t.match(standing, { rounds: 3, failed: 4 });
  t.ok(
    rests.every((rest) => rest === INTERVAL),
    'no round comes sooner for a failure',
  );
});

t.test('what would go wrong in every round ends it in the first, and in no later one', async (t) => {
  const wrong = () => new RouterError('FAILOVER_SCOPE', 'others would move');
  await t.rejects(watched({ script: [wrong(), 'a'] }), { code: 'FAILOVER_SCOPE' });
  for (const script of [
    ['a', wrong(), 'a'],
    [busy(), wrong(), 'a'],
  ]) {
    const { standing } = await watched({ script });
    t.equal(standing.rounds + standing.failed, 3, 'it was looked again');
  }
  const { standing } = await watched({ script: [new RouterError('KEYCHAIN_LOCKED', 'locked'), 'a'] });
  t.match(standing, { rounds: 1, failed: 1 }, 'what passes is waited out, also in the first round');
});

t.test(
  'a signal in the middle of a round lets it end, tells what it came to and begins no other',
  async (t) => {
    const { steps, rests, standing } = await watched({ script: ['a', 'b', 'c'], abortIn: 2 });
    t.strictSame(
      news(steps).map((step) => (step.kind === 'round' ? step.round : step.kind)),
      ['a', 'b'],
    );
    t.equal(rests.length, 1);
    t.match(standing, { rounds: 2, failed: 0, nextAt: null });
    const ended = await watched({ script: ['a', gone()], abortIn: 2 });
    t.match(ended.standing, { rounds: 1, failed: 0 }, 'a round that the signal ended did not fail');
  },
);

t.test('nobody who reads ends it', async (t) => {
  const { standing, rests } = await watched({ script: ['a', 'b', 'c'], unheardAfter: 2 });
  t.equal(standing.rounds, 2);
  t.equal(rests.length, 1);
});

t.test('who may not go on does not look', async (t) => {
  const taken = async (round: number) => {
    if (round === 2) throw new RouterError('BUSY', 'another one has taken the lock');
  };
  await t.rejects(watched({ script: ['a', 'b'], mayGoOn: taken }), { code: 'BUSY' });
});

t.test('never two rounds at once, and each rest is the interval, a tenth more or less', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom<string | RouterError>('a', 'b', busy(), gone()), {
        minLength: 1,
        maxLength: 30,
      }),
      fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
      async (script, numbers) => {
        const { rests, atOnce, standing } = await watched({
          script,
          random: () => numbers.next().value ?? 0,
        });
        const isFair = rests.every((rest) => rest >= INTERVAL * 0.9 && rest <= INTERVAL * 1.1);
        return isFair && atOnce === 1 && standing.rounds + standing.failed === script.length;
      },
    ),
    { numRuns: 50 },
  );
});

t.test('the rests are not all the same', (t) => {
  t.equal(restOf(INTERVAL, 0), 270_000);
  t.equal(restOf(INTERVAL, 0.5), 300_000);
  t.ok(restOf(INTERVAL, 0.999) > 329_000);
  t.end();
});

t.test('nothing is remembered of the rounds but the last one', async (t) => {
  const long = (place: number) => `${place % 2}${'x'.repeat(1000)}`;
  const { standing } = await watched({ script: Array.from({ length: 500 }, (_, place) => long(place)) });
  t.ok(JSON.stringify(standing).length < 300);
});
