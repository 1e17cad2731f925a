import fc from 'fast-check';
import t from 'tap';
import { type IdentityKey, identityKey, parseAccountId, parseUserId } from '../../src/identity.js';
import { freshMemory, noteCurrent, remember } from '../../src/router/failover-memory.js';
import {
  type Decision,
  decide,
  type Memory,
  type Question,
  type Reading,
  type ReadWindow,
} from '../../src/router/failover-policy.js';
import { FAILOVER_DEFAULTS, type FailoverSettings } from '../../src/router/failover-settings.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const NOON = Date.UTC(2026, 10, 22, 12);

const keyOf = (name: string) =>
  identityKey({ accountId: parseAccountId(`acc-${name}`), userId: parseUserId(`user-${name}`) });
const PEOPLE = ['alice', 'bob', 'carol', 'dave'].map(keyOf);
const [ALICE, BOB, CAROL] = [keyOf('alice'), keyOf('bob'), keyOf('carol')];

/** What one identity answers in one step; times are minutes from that step. */
interface Says {
  readonly state: Reading['state'];
  readonly left: Partial<Record<ReadWindow['window'], number>>;
  readonly resets: number | null;
  readonly rests: number | null;
}

interface Step {
  readonly minutes: number;
  /** By how much the clock is set back before it. */
  readonly back: number;
  readonly says: readonly Says[];
  readonly busy: boolean;
  /** Whom a person puts in, or that the slot is emptied; null for neither. */
  readonly person: number | 'empties' | null;
  /** Whether a switch that is decided is made. */
  readonly made: boolean;
}

/** One step of a history as it went, with both clocks: one that nobody sets, and the one that was told. */
interface Went {
  readonly real: number;
  readonly question: Question;
  readonly decision: Decision;
  readonly made: boolean;
}

function readingsOf(says: readonly Says[], now: number): readonly Reading[] {
  return says.map(({ state, left, resets, rests }, place): Reading => {
    const windows = (['fiveHour', 'weekly'] as const).flatMap((window): ReadWindow[] => {
      const remainingPercent = left[window];
      const resetsAt = resets === null ? null : now + resets * MINUTE;
      return remainingPercent === undefined ? [] : [{ window, remainingPercent, resetsAt }];
    });
    const restsUntil = rests === null ? null : now + rests * MINUTE;
    return { key: PEOPLE[place] ?? ALICE, state, windows, restsUntil, at: now };
  });
}

/** What goes on between the host, a person, and the policy, as the rounds of a watch would have it. */
function play(settings: FailoverSettings, order: readonly IdentityKey[], steps: readonly Step[]): Went[] {
  const went: Went[] = [];
  let memory: Memory = freshMemory(null);
  let current: IdentityKey | null = ALICE;
  let real = NOON;
  let ahead = 0;
  for (const { minutes, back, says, busy, person, made } of steps) {
    real += minutes * MINUTE;
    ahead += back * MINUTE;
    const now = real - ahead;
    if (person !== null) current = person === 'empties' ? null : (PEOPLE[person] ?? null);
    const readings = readingsOf(says, now);
    memory = noteCurrent(remember(memory, readings, now), current, now);
    const question = { settings, current, currentTrouble: null, readings, memory, order, busy, now };
    const decision = decide(question);
    const isMade = made && decision.to !== null;
    went.push({ real, question, decision, made: isMade });
    if (isMade) {
      current = decision.to;
      memory = noteCurrent(memory, current, now);
    }
  }
  return went;
}

const percent = fc.constantFrom(0, 3, 5, 10, 20, 25, 30, 45, 60, 100);
const says: fc.Arbitrary<Says> = fc.record({
  state: fc.oneof(
    { weight: 6, arbitrary: fc.constant('good' as const) },
    { weight: 3, arbitrary: fc.constant('failed' as const) },
    { weight: 1, arbitrary: fc.constantFrom('needs-login' as const, 'unknown' as const) },
  ),
  left: fc.oneof(
    { weight: 8, arbitrary: fc.record({ fiveHour: percent, weekly: percent }) },
    { weight: 2, arbitrary: fc.constantFrom({}, { weekly: 60 }, { weekly: 5 }, { fiveHour: 100 }) },
  ),
  resets: fc.option(fc.constantFrom(-5, 0, 5, 300), { freq: 3 }),
  rests: fc.option(fc.constantFrom(-5, 0, 30), { nil: null, freq: 3 }),
});
const manySays = fc.array(says, { minLength: PEOPLE.length, maxLength: PEOPLE.length });
const step: fc.Arbitrary<Step> = fc.record({
  minutes: fc.constantFrom(1, 3, 5, 10, 15),
  back: fc.oneof(
    { weight: 12, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.constantFrom(1, 20, 600) },
  ),
  says: manySays,
  busy: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  person: fc.oneof(
    { weight: 25, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.constantFrom(0, 1, 2, 3, 'empties' as const) },
  ),
  made: fc.oneof({ weight: 9, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
});
/** Long stretches in which the same is said: what a real day looks like. */
const steps = fc
  .array(fc.tuple(step, fc.integer({ min: 1, max: 6 })), { minLength: 10, maxLength: 40 })
  .map((stretches) =>
    stretches.flatMap(([one, times]) =>
      Array.from({ length: times }, (_, place) => (place === 0 ? one : { ...one, back: 0, person: null })),
    ),
  );
const settings = (preferred: readonly string[]): fc.Arbitrary<FailoverSettings> =>
  fc
    .record({
      fiveHour: fc.constantFrom(0, 5, 10, 40),
      weekly: fc.constantFrom(0, 5, 30),
      hysteresisPercent: fc.constantFrom(0, 15, 25),
      dwell: fc.constantFrom(1, 10, 30, 90),
      rest: fc.constantFrom(1, 10, 30, 90),
      maxSwitchesPerHour: fc.integer({ min: 1, max: 4 }),
      hardFailures: fc.integer({ min: 2, max: 4 }),
      goodReads: fc.integer({ min: 1, max: 4 }),
    })
    .map(({ fiveHour, weekly, dwell, rest, ...others }) => ({
      ...FAILOVER_DEFAULTS,
      ...others,
      order: preferred,
      thresholdPercent: { fiveHour, weekly },
      dwellMs: dwell * MINUTE,
      restMs: rest * MINUTE,
    }));
const someOrder = fc.shuffledSubarray([...PEOPLE], { minLength: 2 });
const history = fc
  .tuple(fc.boolean(), someOrder)
  .chain(([isPreferred, order]) => fc.tuple(settings(isPreferred ? order : []), fc.constant(order), steps))
  .map(([settings, order, steps]) => ({ settings, order, went: play(settings, order, steps) }))
  // What is shown of a failure is the seed; the whole history would fill the screen.
  .map((one) => Object.assign(one, { [fc.toStringMethod]: () => `${one.went.length} steps` }));

const RUNS = { numRuns: 300 };

type History = { readonly settings: FailoverSettings; readonly went: readonly Went[] };

/** Holds for whatever happens; `fc.assert` prints the seed of a history for which it does not. */
function always(holds: (history: History) => boolean | undefined): void {
  fc.assert(
    fc.property(history, (one) => holds(one) ?? true),
    RUNS,
  );
}

interface Leaving {
  readonly real: number;
  /** The step in which it was. */
  readonly place: number;
  readonly who: IdentityKey;
  /** By failover, not by a person. */
  readonly made: boolean;
}

/** Who was left when, whoever did it. An empty slot is nobody's leaving till somebody else comes in. */
function leavings(went: readonly Went[]): readonly Leaving[] {
  const found: Leaving[] = [];
  let known: IdentityKey | null = null;
  for (const [place, { real, question, decision, made }] of went.entries()) {
    const next = (key: IdentityKey | null, made: boolean) => {
      if (key === null) return;
      if (known !== null && known !== key) found.push({ real, place, who: known, made });
      known = key;
    };
    next(question.current, false);
    if (made) next(decision.to, true);
  }
  return found;
}

function windowsOf(question: Question, key: IdentityKey): readonly ReadWindow[] {
  const reading = question.readings.find((one) => one.key === key);
  if (reading?.state !== 'good') return [];
  return reading.windows.filter(({ resetsAt }) => resetsAt === null || resetsAt > question.now);
}

/** Null for unknown. */
function effective(question: Question, key: IdentityKey): number | null {
  const left = windowsOf(question, key).map(({ remainingPercent }) => remainingPercent);
  return left.length === 0 ? null : Math.min(...left);
}

const recommended = (went: readonly Went[]) =>
  went.flatMap((one, place) => (one.decision.to === null ? [] : [{ ...one, to: one.decision.to, place }]));

t.test('whatever happens, one that was left is not taken back within dwell and rest together', async () => {
  always(({ settings, went }) => {
    const left = leavings(went);
    return recommended(went).every(({ to, real, place }) =>
      left
        .filter((one) => one.who === to && (one.place < place || (one.place === place && !one.made)))
        .every((one) => real - one.real >= settings.dwellMs + settings.restMs),
    );
  });
});

t.test('whatever happens, who came in stays for the dwell, whoever put them there', async () => {
  always(({ settings, went }) => {
    const left = leavings(went);
    return recommended(went).every(({ real, place }) =>
      left
        .filter((one) => one.place < place || (one.place === place && !one.made))
        .every((one) => real - one.real >= settings.dwellMs),
    );
  });
});

t.test('whatever happens, no hour has more switches than it may', async () => {
  always(({ settings, went }) => {
    const made = leavings(went).filter((one) => one.made);
    return made.every(
      ({ real }) =>
        made.filter((one) => one.real > real - HOUR && one.real <= real).length <=
        settings.maxSwitchesPerHour,
    );
  });
});

t.test('while the same is answered it comes to rest after one switch, and makes that one', async (t) => {
  let switches = 0;
  fc.assert(
    fc.property(settings([]), manySays, fc.boolean(), (settings, says, isPreferred) => {
      const steady = says.map((one) => ({ ...one, resets: null, rests: null }));
      const one: Step = { minutes: 5, back: 0, says: steady, busy: false, person: null, made: true };
      const chosen = { ...settings, order: isPreferred ? PEOPLE : [] };
      const went = play(chosen, PEOPLE, new Array<Step>(100).fill(one));
      const made = went.filter((step) => step.made);
      const [first] = went;
      const worst = first?.question;
      if (worst === undefined) return false;
      switches += made.length;
      const others = PEOPLE.filter((key) => key !== ALICE);
      const isRoomy = (key: IdentityKey) =>
        effective(worst, key) !== null &&
        (effective(worst, key) ?? 0) > (effective(worst, ALICE) ?? -1) &&
        windowsOf(worst, key).every(
          ({ window, remainingPercent }) =>
            remainingPercent > settings.thresholdPercent[window] + settings.hysteresisPercent,
        );
      const isLow = windowsOf(worst, ALICE).some(
        ({ window, remainingPercent }) => remainingPercent <= settings.thresholdPercent[window],
      );
      const [alice] = worst.readings;
      const isBroken = alice?.state === 'failed' || alice?.state === 'needs-login';
      const wanted = (isLow || isBroken) && others.some(isRoomy) ? 1 : 0;
      return made.length === wanted;
    }),
    { numRuns: 500 },
  );
  t.ok(switches > 20, 'some had a reason to');
});

t.test('whatever happens, nobody is taken who needs a login, has failed, is unknown or rests', async () => {
  always(({ went }) =>
    recommended(went).every(({ question, to }) => {
      const reading = question.readings.find((one) => one.key === to);
      const rests = reading?.restsUntil ?? null;
      return (
        reading?.state === 'good' &&
        effective(question, to) !== null &&
        (rests === null || rests <= question.now) &&
        to !== question.current
      );
    }),
  );
});

t.test(
  'whatever happens, only a candidate is taken, with more left than threshold and hysteresis',
  async () => {
    always(({ settings, went }) =>
      recommended(went).every(
        ({ question, to }) =>
          question.order.includes(to) &&
          windowsOf(question, to).every(
            ({ window, remainingPercent }) =>
              remainingPercent > settings.thresholdPercent[window] + settings.hysteresisPercent,
          ),
      ),
    );
  },
);

t.test('whatever happens, a better one is never left, and one that is well neither', async () => {
  always(({ settings, went }) =>
    recommended(went).every(({ question, to, decision }) => {
      const { current } = question;
      const own = current === null ? null : effective(question, current);
      if (own === null || current === null) return decision.reason !== 'remaining_below_threshold';
      const isLow = windowsOf(question, current).some(
        ({ window, remainingPercent }) => remainingPercent <= settings.thresholdPercent[window],
      );
      return (
        isLow && (effective(question, to) ?? -1) > own && decision.reason === 'remaining_below_threshold'
      );
    }),
  );
});

t.test('whatever happens, a failure is one only when it came so often in a row', async () => {
  always(({ settings, went }) =>
    recommended(went).every(({ question, decision, place }) => {
      const { current } = question;
      if (decision.reason === 'remaining_below_threshold') return true;
      let row = 0;
      for (const { question: past } of went.slice(0, place + 1).reverse()) {
        const state = past.readings.find((one) => one.key === current)?.state;
        if (current === null ? past.current !== null : state === 'good') break;
        if (current === null || state !== 'unknown') row += 1;
      }
      return row >= settings.hardFailures;
    }),
  );
});

t.test(
  'whatever happens, who failed or was left comes back only after enough good reads in a row',
  async () => {
    always(({ settings, went }) => {
      const left = leavings(went);
      return recommended(went).every(({ to, place }) => {
        const states = went.map(
          ({ question }) => question.readings.find((one) => one.key === to)?.state ?? 'unknown',
        );
        const isDoubted = (_: Went, at: number) =>
          at <= place &&
          (states[at] === 'failed' ||
            states[at] === 'needs-login' ||
            left.some((one) => one.who === to && one.place === at));
        const since = went.findLastIndex(isDoubted);
        const good = states.slice(since + 1, place + 1).filter((state) => state === 'good').length;
        return since === -1 || good >= settings.goodReads;
      });
    });
  },
);

t.test('whatever happens, nothing is switched while a turn runs', async () => {
  always(({ went }) => recommended(went).every(({ question }) => !question.busy));
});

t.test('the person’s order decides where there is one, and what is left where there is none', async () => {
  always(({ settings, went }) =>
    recommended(went).every(({ decision, question, to }) => {
      const fit = decision.weighed.filter(({ verdict }) => verdict === 'fit').map(({ key }) => key);
      if (settings.order.length > 0) return question.order.find((key) => fit.includes(key)) === to;
      return fit.every((key) => (effective(question, key) ?? -1) <= (effective(question, to) ?? -1));
    }),
  );
});

t.test('a decision says what it is: who is recommended, what holds it, or that there is nobody', async () => {
  always(({ went }) =>
    went.every(({ decision: { status, reason, to, held, weighed } }) => {
      const hasFit = weighed.some(({ verdict }) => verdict === 'fit');
      if ((status === 'switch_recommended') !== (to !== null)) return false;
      if (to !== null) return reason !== null && held === null;
      if (status === 'no_candidate_available')
        return reason !== null && !hasFit && [null, 'rest', 'good-reads-missing'].includes(held);
      return (reason === null) === (held === null);
    }),
  );
});

t.test('the same question has the same answer, and nothing that is given is changed', async () => {
  always(({ went }) =>
    went.every(({ question, decision }) => {
      const copy = structuredClone(question);
      const again = decide(frozen(structuredClone(question)));
      const { memory, readings, now, current } = frozen(structuredClone(question));
      noteCurrent(remember(memory, readings, now), current, now);
      return isSame(copy, question) && isSame(again, decision);
    }),
  );
});

t.test('what is remembered stays small, and is the same after it was written and read', async () => {
  const many = Array.from({ length: 300 }, (_, place) => keyOf(String(place)));
  const happening = fc.record({
    who: fc.nat({ max: 299 }),
    state: fc.constantFrom('good' as const, 'failed' as const, 'needs-login' as const),
    enters: fc.boolean(),
    ms: fc.constantFrom(1, MINUTE),
  });
  fc.assert(
    fc.property(fc.array(happening, { minLength: 500, maxLength: 900 }), (happenings) => {
      let memory = freshMemory(null);
      let now = NOON;
      for (const { who, state, enters, ms } of happenings) {
        now += ms;
        const key = many[who] ?? ALICE;
        memory = remember(memory, [{ key, state, windows: [], restsUntil: null, at: now }], now);
        if (enters) memory = noteCurrent(memory, key, now);
        if (memory.identities.length > 100 || memory.switches.length > 100) return false;
      }
      return isSame(JSON.parse(JSON.stringify(memory)), memory);
    }),
    { numRuns: 20 },
  );
});

t.test('of too many, those that were left lately are remembered longest', async (t) => {
  let memory = noteCurrent(noteCurrent(freshMemory(null), ALICE, NOON), BOB, NOON + MINUTE);
  for (let place = 0; place < 300; place += 1) {
    const at = NOON + 2 * MINUTE + place;
    const key = keyOf(String(place));
    memory = remember(memory, [{ key, state: 'failed', windows: [], restsUntil: null, at }], at);
  }
  t.equal(memory.identities.length, 100);
  const keys = memory.identities.map(({ key }) => key);
  t.ok(keys.includes(ALICE));
  t.ok(keys.includes(keyOf('299')));
  t.notOk(keys.includes(keyOf('100')));
});

const good = (
  key: IdentityKey,
  fiveHour: number | null,
  weekly: number | null,
  more: Partial<Reading> & { readonly resetsAt?: number } = {},
): Reading => {
  const { resetsAt = null, ...others } = more;
  const windows: ReadWindow[] = [];
  if (fiveHour !== null) windows.push({ window: 'fiveHour', remainingPercent: fiveHour, resetsAt });
  if (weekly !== null) windows.push({ window: 'weekly', remainingPercent: weekly, resetsAt: null });
  return { key, state: 'good', windows, restsUntil: null, at: NOON, ...others };
};
const bad = (key: IdentityKey, state: Reading['state'] = 'failed', at = NOON): Reading => ({
  key,
  state,
  windows: [],
  restsUntil: null,
  at,
});

function asked(readings: readonly Reading[], more: Partial<Question> = {}): Decision {
  const current = more.current === undefined ? ALICE : more.current;
  const memory = more.memory ?? noteCurrent(remember(freshMemory(null), readings, NOON), current, NOON);
  return decide({
    settings: FAILOVER_DEFAULTS,
    current,
    currentTrouble: null,
    readings,
    memory,
    order: [ALICE, BOB, CAROL],
    busy: false,
    now: NOON,
    ...more,
  });
}

t.test('the words of a day: healthy, ok, within the threshold, recommended, nobody, unknown', async (t) => {
  const plenty = good(BOB, 90, 90);
  const says = (readings: readonly Reading[], more: Partial<Question> = {}) => {
    const { status, reason, to, held } = asked(readings, more);
    return [status, reason, to === null ? null : to === BOB ? 'bob' : 'carol', held];
  };
  const low = 'remaining_below_threshold';
  const error = 'current_profile_usage_error';
  t.strictSame(says([good(ALICE, 26, 21), plenty]), ['healthy', null, null, null]);
  t.strictSame(says([good(ALICE, 25, 21), plenty]), ['ok', null, null, null]);
  t.strictSame(says([good(ALICE, 11, 6), plenty]), ['ok', null, null, null]);
  t.strictSame(says([good(ALICE, 10, 90), plenty]), ['switch_recommended', low, 'bob', null]);
  t.strictSame(says([good(ALICE, 90, 5), plenty]), ['switch_recommended', low, 'bob', null]);
  t.strictSame(says([good(ALICE, 0, 90), plenty], { busy: true }), ['within_threshold', low, null, 'busy']);
  t.strictSame(says([good(ALICE, 0, 90), good(BOB, 25, 90)]), ['no_candidate_available', low, null, null]);
  t.strictSame(says([good(ALICE, 0, 90), good(BOB, 90, 20)]), ['no_candidate_available', low, null, null]);
  t.strictSame(says([good(ALICE, null, null), plenty]), ['unknown_current_usage', null, null, null]);
  t.strictSame(says([bad(ALICE, 'unknown'), plenty]), ['unknown_current_usage', null, null, null]);
  t.strictSame(says([plenty]), ['unknown_current_usage', null, null, null]);
  t.strictSame(says([bad(ALICE), plenty]), ['unknown_current_usage', error, null, 'failures-not-sure']);
  t.strictSame(says([plenty], { current: null }), [
    'unknown_current_usage',
    'missing_profile_entry',
    null,
    'failures-not-sure',
  ]);
});

t.test('a trouble of the current one is told by its own word, and acted on when it is sure', async (t) => {
  const first = [bad(ALICE, 'needs-login', NOON - MINUTE)];
  const readings = [bad(ALICE, 'needs-login'), good(BOB, 90, 90)];
  const memory = remember(remember(freshMemory(null), first, NOON - MINUTE), readings, NOON);
  for (const currentTrouble of ['missing_token', 'token_expired'] as const) {
    t.match(asked(readings, { currentTrouble, memory }), {
      status: 'switch_recommended',
      reason: currentTrouble,
      to: BOB,
    });
  }
  const again = remember(memory, readings, NOON);
  t.strictSame(again, memory, 'one look that comes twice is counted once');
  const once = remember(freshMemory(null), readings, NOON);
  t.match(asked(readings, { memory: remember(once, readings, NOON) }), {
    held: 'failures-not-sure',
    to: null,
  });
  const well = [good(ALICE, 90, 90), good(BOB, 95, 95)];
  t.match(asked(well, { currentTrouble: 'remaining_below_threshold' }), { status: 'healthy', to: null });
});

t.test(
  'an empty slot is filled when it was found empty more than once, and coming back is no switch',
  async (t) => {
    const readings = [good(BOB, 90, 90)];
    const was = noteCurrent(freshMemory(null), ALICE, NOON - HOUR);
    const once = noteCurrent(was, null, NOON - MINUTE);
    t.strictSame(noteCurrent(once, ALICE, NOON), was, 'as while OpenClaw renews it');
    const twice = noteCurrent(once, null, NOON);
    t.match(asked(readings, { current: null, memory: twice }), { to: BOB, reason: 'missing_profile_entry' });
    t.match(noteCurrent(twice, BOB, NOON), { current: BOB, since: NOON, switches: [NOON], empty: 0 });
  },
);

t.test('a window that has been reset since limits nobody till it is read again', async (t) => {
  const past = { resetsAt: NOON };
  t.match(asked([good(ALICE, 0, 90, past), good(BOB, 95, 95)]), { status: 'healthy', to: null });
  t.match(asked([good(ALICE, 0, null, past), good(BOB, 95, 95)]), {
    status: 'unknown_current_usage',
    to: null,
  });
  t.match(asked([good(ALICE, 0, 90, { resetsAt: NOON + 1 }), good(BOB, 95, 95)]), { to: BOB });
  t.match(asked([good(ALICE, 0, 90), good(BOB, 0, 95, past)]), {
    to: BOB,
    weighed: [{ effectivePercent: 0 }, { effectivePercent: 95 }],
  });
  t.match(asked([good(ALICE, 0, 90), good(BOB, 100, null, past)]), { status: 'no_candidate_available' });
});

t.test('what is said of each tells why it is not taken', async (t) => {
  const rested = { restsUntil: NOON + 1 };
  const verdicts = (reading: Reading, memory?: Memory) =>
    asked([good(ALICE, 5, 90), reading], { order: [BOB], ...(memory && { memory }) }).weighed.map(
      ({ verdict }) => verdict,
    );
  t.strictSame(verdicts(good(BOB, 90, 90)), ['current', 'fit']);
  t.strictSame(verdicts(bad(BOB, 'needs-login')), ['current', 'needs-login']);
  t.strictSame(verdicts(bad(BOB)), ['current', 'failed']);
  t.strictSame(verdicts(bad(BOB, 'unknown')), ['current', 'unknown']);
  t.strictSame(verdicts(good(CAROL, 90, 90)), ['current', 'unknown']);
  t.strictSame(verdicts(good(BOB, 90, 90, rested)), ['current', 'cooling']);
  t.strictSame(
    verdicts(good(BOB, 20, 90, rested)),
    ['current', 'too-low'],
    'what passes with time comes last',
  );
  const left = noteCurrent(noteCurrent(freshMemory(null), BOB, NOON - HOUR), ALICE, NOON - HOUR + 1);
  t.strictSame(verdicts(good(BOB, 90, 90), left), ['current', 'just-left']);
  const longer = { ...left, identities: left.identities.map((one) => ({ ...one, leftAt: NOON - HOUR })) };
  t.strictSame(verdicts(good(BOB, 90, 90), longer), ['current', 'good-reads-missing']);
  t.match(asked([good(ALICE, 5, 90), good(BOB, 90, 90)], { order: [BOB], memory: longer }), {
    held: 'good-reads-missing',
    status: 'no_candidate_available',
  });
  const narrow = {
    ...FAILOVER_DEFAULTS,
    hysteresisPercent: 0,
    thresholdPercent: { fiveHour: 10, weekly: 60 },
  };
  const better = asked([good(ALICE, 100, 60), good(BOB, 12, 61)], { settings: narrow });
  t.match(better, { to: null, weighed: [{ verdict: 'current' }, { verdict: 'not-better' }] });
});

t.test('a person’s own switch begins a dwell and a rest as well, and counts for the hour', async (t) => {
  const before = noteCurrent(freshMemory(null), BOB, NOON - 40 * MINUTE);
  const memory = noteCurrent(before, ALICE, NOON - 29 * MINUTE);
  const readings = [good(ALICE, 0, 0), good(BOB, 90, 90), good(CAROL, 80, 80)];
  t.match(asked(readings, { memory }), { held: 'dwell', to: null, status: 'within_threshold' });
  const later = { memory, now: NOON + 2 * MINUTE };
  t.match(asked(readings, later), { to: CAROL });
  const one = { ...FAILOVER_DEFAULTS, maxSwitchesPerHour: 1 };
  t.match(asked(readings, { ...later, settings: one }), { held: 'rate', to: null });
});

t.test('a clock that was set back makes nothing last for ever, and lets nothing end early', async (t) => {
  const ahead = NOON + 500 * HOUR;
  const switched = noteCurrent(noteCurrent(freshMemory(null), BOB, ahead), ALICE, ahead);
  const readings = [good(ALICE, 0, 0), good(BOB, 90, 90), good(CAROL, 80, 80)];
  t.match(asked(readings, { memory: switched }), { held: 'dwell' });
  const { dwellMs, restMs } = FAILOVER_DEFAULTS;
  const memory = noteCurrent(remember(switched, readings, NOON), ALICE, NOON);
  t.match(asked(readings, { memory, now: NOON + dwellMs - 1 }), { held: 'dwell' });
  t.match(asked(readings, { memory, now: NOON + dwellMs }), { to: CAROL });
  const again = remember(
    memory,
    [good(BOB, 90, 90, { at: NOON + 1 }), good(BOB, 90, 90, { at: NOON + 2 })],
    NOON + 2,
  );
  t.match(asked(readings, { memory: again, now: NOON + dwellMs + restMs, order: [BOB] }), { to: BOB });
});

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    Object.values(value).forEach(frozen);
    Object.freeze(value);
  }
  return value;
}
