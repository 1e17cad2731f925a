import t from 'tap';
import { RouterError } from '../../src/errors.js';
import { identityKey } from '../../src/identity.js';
import { fakeSlot } from '../contract/fake-slot.js';
import { holdingOf } from '../contract/slot.js';
import { DAY, loginOf } from '../kit/tokens.js';
import { holdingFor, keyOf, MAIN, NOW, type RoundBench, roundBench, SLOT } from './failover-support.js';
import { codeOf } from './support.js';

const MINUTE = 60_000;
const LOW = [4, 60] as const;
const FULL = [90, 80] as const;

/** Everything that a round could have written. */
const written =
  ({ host, slot, repo, journal, memory }: RoundBench) =>
  async () => ({
    pins: [...host.pinned],
    replaced: slot.replacements,
    reloads: host.reloads.length,
    calls: repo.calls.filter((call) => !/^(open|load)\b/.test(call)),
    journal: await journal.read(),
    owner: await host.owner(),
    memory: [...memory],
  });

t.test('while enough is left the current one alone is asked, and stays', async (t) => {
  const bed = roundBench();
  await bed.begin('alice', 'bob', 'carol');
  const { slots, asked } = await bed.round();
  t.match(slots, [{ decision: { status: 'healthy', reason: null, to: null }, to: null, changes: [] }]);
  t.match(slots[0]?.why, /^5 h 80 % left \(leaves at 10 %\), resets .+; week 80 % left \(leaves at 5 %\)/);
  t.strictSame(bed.asked, ['alice']);
  t.strictSame(asked.map(identityKey), [keyOf('alice')]);
});

t.test(
  'a dry run tells from whom, to whom and why, and writes nothing, not even what it remembers',
  async (t) => {
    const bed = roundBench();
    await bed.begin('alice', 'bob', 'carol');
    bed.say({ alice: LOW, bob: [50, 40], carol: FULL });
    const before = await written(bed)();
    const { slots } = await bed.round();
    const [seen] = slots;
    t.match(seen, {
      decision: { status: 'switch_recommended', reason: 'remaining_below_threshold', held: null },
      to: { alias: 'carol' },
      changes: [{ session: MAIN, from: { accountId: keyOf('alice').split('/')[0] }, named: true }],
      outcome: null,
    });
    t.match(seen?.why, /^5 h 4 % left \(leaves at 10 %\), resets /);
    t.strictSame(await written(bed)(), before);
    t.equal(bed.kept(), 0);
    t.equal(await bed.inSlot(), 'alice');
  },
);

t.test('a preferred order decides, and names the only candidates', async (t) => {
  const bed = roundBench({}, { order: ['bob', 'nobody at all', 'alice'] });
  await bed.begin('alice', 'bob', 'carol');
  bed.say({ alice: LOW, bob: [50, 40], carol: FULL });
  const { slots, notes } = await bed.round();
  t.match(slots, [{ to: { alias: 'bob' } }]);
  t.strictSame(bed.asked, ['alice', 'bob'], 'carol is no candidate: her token was not used');
  t.match(notes, [{ code: 'ORDER_UNKNOWN', text: /nobody at all/ }]);
});

t.test('with apply it is made, pinned as use pins it, and looked at once more', async (t) => {
  const bed = roundBench({
    sessions: [
      { key: 'agent:main:telegram:direct:1001', pinnedTo: SLOT, pinSource: 'user' },
      { key: 'agent:main:telegram:slash:1001', channel: 'telegram', from: 'telegram:1001' },
    ],
  });
  await bed.begin('alice', 'bob');
  bed.say({ alice: LOW, bob: FULL });
  const { slots } = await bed.round({ sessions: ['telegram:direct:1001'], apply: true });
  t.match(slots, [
    {
      decision: { status: 'switched', reason: 'remaining_below_threshold' },
      changes: [
        { session: 'agent:main:telegram:direct:1001', named: true },
        { session: 'agent:main:telegram:slash:1001', named: false },
      ],
      outcome: {
        inSlot: { userId: keyOf('bob').split('/')[1] },
        pins: [{ result: 'already' }, { key: 'agent:main:telegram:slash:1001', result: 'set' }],
        effective: 'now',
        proved: true,
      },
      failure: null,
    },
  ]);
  t.equal(await bed.inSlot(), 'bob');
  const [memory] = [...bed.memory.values()];
  t.match(memory, { current: keyOf('bob'), since: NOW, switches: [NOW] });
  t.ok(bed.repo.sealed(keyOf('alice')), 'who was left is stored');
});

t.test(
  'who was left is not taken again within dwell and rest, however little is left of the other',
  async (t) => {
    const bed = roundBench();
    await bed.begin('alice', 'bob');
    bed.say({ alice: LOW, bob: FULL });
    await bed.round({ apply: true });
    bed.say({ alice: FULL, bob: LOW });
    for (const minutes of [1, 20, 30, 8]) {
      bed.pass(minutes * MINUTE);
      await bed.round({ apply: true });
      t.equal(await bed.inSlot(), 'bob', `after ${minutes} more minutes`);
    }
    bed.pass(5 * MINUTE);
    await bed.round({ apply: true });
    t.equal(await bed.inSlot(), 'alice');
  },
);

t.test('one hard failure moves nobody, a second one in a row does', async (t) => {
  const bed = roundBench();
  await bed.begin('alice', 'bob');
  bed.say({ alice: 'forbidden', bob: FULL });
  const [first] = (await bed.round({ apply: true })).slots;
  t.match(first, { decision: { held: 'failures-not-sure', to: null }, changes: [] });
  t.equal(await bed.inSlot(), 'alice');
  bed.pass(5 * MINUTE);
  const [second] = (await bed.round({ apply: true })).slots;
  t.match(second, { decision: { status: 'switched', reason: 'current_profile_usage_error' } });
  t.equal(await bed.inSlot(), 'bob');
});

t.test('a network that is down, and a slow answer, are nobody’s failure', async (t) => {
  const bed = roundBench();
  await bed.begin('alice', 'bob');
  for (const said of ['unreachable', 'timeout'] as const) {
    bed.say({ alice: said, bob: FULL });
    for (let round = 1; round <= 4; round += 1) {
      bed.pass(5 * MINUTE);
      const [seen] = (await bed.round({ apply: true })).slots;
      t.match(seen, { decision: { status: 'unknown_current_usage', reason: null, to: null } });
    }
  }
  t.equal(await bed.inSlot(), 'alice');
  t.notMatch(bed.asked, ['bob']);
});

t.test(
  'never takes one that needs a login, is in doubt, or that somebody else holds; nor asks about them',
  async (t) => {
    const bed = roundBench();
    await bed.begin('alice', 'bob', 'carol', 'alice-team', 'bob-team');
    const open = await bed.repo.open();
    await open.doubt(keyOf('bob'), 'login-needed');
    await open.doubt(keyOf('carol'), 'restored');
    bed.slot.hostPuts('openai-codex:team', holdingFor('alice-team'));
    const fingerprint = open.fingerprint(holdingFor('bob-team').grant);
    await open.place(keyOf('bob-team'), { slot: `/elsewhere#main#${SLOT}`, fingerprint, at: NOW });
    bed.say({ alice: LOW });
    const { slots } = await bed.round({ apply: true });
    const [seen] = slots;
    t.match(seen, { decision: { status: 'no_candidate_available' }, to: null });
    t.strictSame(bed.asked, ['alice']);
    t.match(seen?.decision.weighed, [{ verdict: 'current' }, { key: keyOf('bob'), verdict: 'needs-login' }]);
    t.match(
      seen?.passed.map(({ entry, why }) => [entry.alias, why]),
      [
        ['carol', /put back from a back-up/],
        ['alice-team', /in OpenClaw already/],
        ['bob-team', /in the OpenClaw in \/elsewhere/],
      ],
    );
    t.equal(await bed.inSlot(), 'alice');
  },
);

t.test('one that OpenClaw itself lets rest is no candidate', async (t) => {
  const bed = roundBench();
  await bed.begin('alice', 'bob');
  const open = await bed.repo.open();
  const rest = { cooldownUntil: NOW + 20 * MINUTE, cooldownReason: 'rate_limit' };
  await open.save(holdingFor('bob', rest), { source: 'codex', alias: 'bob' });
  bed.say({ alice: LOW, bob: FULL });
  const [seen] = (await bed.round({ apply: true })).slots;
  t.match(seen, { decision: { to: null, held: 'rest' } });
  t.match(seen?.decision.weighed, [{}, { key: keyOf('bob'), verdict: 'cooling' }]);
  t.equal(await bed.inSlot(), 'alice');
  bed.pass(21 * MINUTE);
  await bed.round({ apply: true });
  t.equal(await bed.inSlot(), 'bob');
});

t.test(
  'an access token that has only expired is no reason; a refresh that OpenClaw was refused is one',
  async (t) => {
    const bed = roundBench();
    await bed.begin('alice', 'bob');
    const old = loginOf('alice', { nonce: 'ofalice', issuedAt: NOW - 11 * DAY, expiresAt: NOW - MINUTE });
    bed.slot.hostPuts(SLOT, holdingOf(old));
    t.match((await bed.round({ apply: true })).slots, [
      { decision: { status: 'unknown_current_usage', reason: null } },
    ]);
    t.strictSame(bed.asked, [], 'an expired token is not sent');
    bed.slot.hostPuts(SLOT, holdingOf(old, { selection: { failureCounts: { auth_permanent: 2 } } }));
    t.match((await bed.round({ apply: true })).slots, [
      { decision: { reason: 'token_expired', held: 'failures-not-sure' } },
    ]);
    bed.pass(5 * MINUTE);
    t.match((await bed.round({ apply: true })).slots, [
      { decision: { status: 'switched', reason: 'token_expired' } },
    ]);
  },
);

t.test('an empty slot and one whose login was destroyed are filled, once that is sure', async (t) => {
  for (const [entry, reason] of [
    [null, 'missing_profile_entry'],
    ['lost', 'missing_token'],
  ] as const) {
    const bed = roundBench();
    await bed.begin('alice', 'bob');
    await bed.round({ apply: true });
    bed.slot.hostPuts(SLOT, entry);
    bed.pass(5 * MINUTE);
    t.match((await bed.round({ apply: true })).slots, [{ decision: { reason, to: null } }]);
    bed.pass(40 * MINUTE);
    const [seen] = (await bed.round({ apply: true })).slots;
    t.match(seen, { decision: { status: 'switched', reason } });
  }
});

t.test('somebody in the slot who was never stored is not asked about', async (t) => {
  const bed = roundBench();
  await bed.begin(null, 'bob');
  bed.slot.hostPuts(SLOT, holdingFor('alice'));
  const { slots, notes } = await bed.round();
  t.match(slots, [
    { decision: { status: 'unknown_current_usage' }, current: { userId: keyOf('alice').split('/')[1] } },
  ]);
  t.strictSame(bed.asked, []);
  t.match(notes, [{ code: 'CURRENT_NOT_STORED' }]);
});

t.test('never in the middle of a turn, nor right after one', async (t) => {
  const cases = [
    { running: new Set([MAIN]) },
    { running: null },
    { sessions: [{ key: MAIN, pinnedTo: SLOT, updatedAt: NOW - 100_000 }] },
    { running: new Set(['agent:main:cron:new']) },
  ];
  for (const options of cases) {
    const bed = roundBench(options);
    await bed.begin('alice', 'bob');
    bed.say({ alice: LOW, bob: FULL });
    t.match((await bed.round({ apply: true })).slots, [
      { decision: { held: 'busy', to: null }, changes: [] },
    ]);
    t.equal(await bed.inSlot(), 'alice');
  }
});

t.test('a turn that began after the decision is seen under the lock', async (t) => {
  const running = new Set<string>();
  const bed = roundBench({ running });
  await bed.begin('alice', 'bob');
  bed.say({ alice: LOW, bob: FULL });
  const withGrantLock = <T>(_: unknown, work: () => Promise<T>) => {
    running.add(MAIN);
    return work();
  };
  const [seen] = (await bed.round({ apply: true }, { withGrantLock })).slots;
  t.match(seen, {
    decision: { held: 'busy', to: null },
    to: null,
    changes: [],
    outcome: null,
    failure: null,
  });
  t.equal(bed.slot.replacements, 0);
  t.strictSame(await bed.journal.read(), []);
});

t.test('what a person has switched meanwhile is left as it is', async (t) => {
  const bed = roundBench();
  await bed.begin('alice', 'bob', 'carol');
  bed.say({ alice: LOW, bob: FULL, carol: [50, 50] });
  const withGrantLock = <T>(_: unknown, work: () => Promise<T>) => {
    bed.slot.hostPuts(SLOT, holdingFor('carol'));
    return work();
  };
  const [seen] = (await bed.round({ apply: true }, { withGrantLock })).slots;
  t.match(seen, { to: null, changes: [], outcome: null });
  t.equal(await bed.inSlot(), 'carol');
  t.equal(bed.slot.replacements, 0);
});

t.test('an interruption ends the looking, before anything is written', async (t) => {
  const bed = roundBench();
  await bed.begin('alice', 'bob');
  bed.say({ alice: LOW, bob: FULL });
  const stop = new AbortController();
  bed.onAsk((name) => name === 'bob' && stop.abort());
  const before = await written(bed)();
  await t.rejects(bed.round({ apply: true }, { signal: stop.signal }), { name: 'AbortError' });
  t.strictSame(await written(bed)(), before);
});

t.test('a switch that use refuses is told as a failure, and nothing else is tried', async (t) => {
  const bed = roundBench({
    admit: async () => {
      throw new RouterError('HOST_UNTRUSTED_WITH_GRANT', 'not this one');
    },
  });
  await bed.begin('alice', 'bob', 'carol');
  bed.say({ alice: LOW });
  const [seen] = (await bed.round({ apply: true })).slots;
  t.match(seen, {
    failure: { code: 'HOST_UNTRUSTED_WITH_GRANT' },
    outcome: null,
    decision: { status: 'switch_recommended' },
  });
  t.equal(await bed.inSlot(), 'alice');
});

t.test('two slots of one round do not take the same login', async (t) => {
  const work = fakeSlot({ agent: 'work' });
  const slots = [fakeSlot(), work] as const;
  const bed = roundBench({ slots: [...slots], sessions: [{ key: MAIN }] });
  await bed.begin('alice', 'bob', 'carol');
  work.hostPuts(SLOT, holdingFor('carol'));
  bed.say({ alice: LOW, carol: [3, 50], bob: FULL });
  const pinsOf: typeof bed.host.pinsOf = (agent) => ({
    ...bed.host.pinsOf('main'),
    agent,
    read: async () =>
      (await bed.host.pinsOf('main').read()).map((one) => ({ ...one, key: `agent:${agent}:main` })),
    survey: async () => ({
      entries: (await bed.host.pinsOf('main').read()).map((one) => ({ ...one, key: `agent:${agent}:main` })),
      unread: 0,
    }),
  });
  const { slots: seen } = await bed.round(
    { sessions: [MAIN, 'agent:work:main'] },
    { host: { ...bed.host, pinsOf } },
  );
  t.match(seen, [
    { to: { alias: 'bob' } },
    {
      decision: { status: 'no_candidate_available' },
      passed: [{ why: /in OpenClaw already/ }, { why: /another slot/ }],
    },
  ]);
});

t.test('without a session in the command and in the settings nothing is looked at', async (t) => {
  const bed = roundBench();
  t.equal(await codeOf(bed.round({ sessions: [] })), 'FAILOVER_NO_SESSIONS');
  t.equal(await codeOf(bed.round({ sessions: [' '] })), 'FAILOVER_NO_SESSIONS');
  const configured = roundBench({}, { sessions: [MAIN] });
  await configured.begin('alice');
  t.match(await configured.round({ sessions: [] }), { sessions: [{ key: MAIN, runsOn: 'slot' }] });
});
