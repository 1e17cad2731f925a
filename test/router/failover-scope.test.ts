import t from 'tap';
import { RouterError } from '../../src/errors.js';
import type { Pins, SessionEntry } from '../../src/slot/pins.js';
import { fakeSlot } from '../contract/fake-slot.js';
import { holdingFor, keyOf, MAIN, NOW, type RoundBench, roundBench, SLOT } from './failover-support.js';

const LOW = [4, 60] as const;
const FULL = [90, 80] as const;
const ROOM = 'agent:main:discord:channel:555';
const OWN = 'openai-codex:router-1';

const pinned = (key: string, pinnedTo: string = SLOT, more: Partial<SessionEntry> = {}) => ({
  key,
  pinnedTo,
  pinSource: 'user',
  ...more,
});

async function low(bed: RoundBench): Promise<RoundBench> {
  await bed.begin('alice', 'bob', 'carol');
  bed.say({ alice: LOW, bob: [70, 70], carol: FULL });
  return bed;
}

async function refusal(work: Promise<unknown>): Promise<RouterError> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error instanceof RouterError) return error;
  throw new Error(`no refusal: ${String(error)}`);
}

t.test('a switch that would move others is refused before anybody is asked, and lists them', async (t) => {
  const sessions = [
    pinned(MAIN),
    pinned(ROOM),
    { key: 'agent:main:telegram:direct:7' },
    { key: 'agent:main:cron:job1' },
    { key: 'agent:main:subagent:1', spawnedBy: ROOM },
    pinned('agent:main:elsewhere', 'anthropic:default'),
  ];
  const bed = await low(roundBench({ sessions }));
  const error = await refusal(bed.round({ apply: true }));
  t.equal(error.code, 'FAILOVER_SCOPE');
  t.equal(error.exitCode, 6);
  for (const key of [ROOM, 'agent:main:telegram:direct:7', 'agent:main:cron:job1', 'agent:main:subagent:1'])
    t.ok(error.message.includes(key), key);
  t.notMatch(error.message, /elsewhere/);
  t.match(error.hint, /--own-slot.*--shared-slot/);
  t.strictSame(bed.asked, []);
  t.equal(bed.slot.replacements, 0);
  t.equal(bed.kept(), 0);

  const { slots } = await bed.round();
  t.match(
    slots,
    [{ to: { alias: 'carol' }, changes: [{ session: MAIN }] }],
    'a dry run shows it all the same',
  );
  t.equal(slots[0]?.others.sessions.length, 4);
  t.equal(slots[0]?.changes.length, 1);
});

t.test(
  'it is refused as well while there is nothing to switch: a watch that could never act ends at once',
  async (t) => {
    const bed = roundBench({ sessions: [pinned(MAIN), pinned(ROOM)] });
    await bed.begin('alice', 'bob');
    t.equal((await refusal(bed.round({ apply: true }))).code, 'FAILOVER_SCOPE');
  },
);

t.test('with --shared-slot it is made, and no entry but the named ones is written', async (t) => {
  const room = { key: ROOM };
  const bed = await low(
    roundBench({ sessions: [{ key: MAIN }, room, pinned('agent:main:x', 'anthropic:default')] }),
  );
  const { slots } = await bed.round({ apply: true, mode: 'shared' });
  t.match(slots, [{ decision: { status: 'switched' }, others: { sessions: [ROOM] } }]);
  t.strictSame(
    [...bed.host.pinned],
    [
      [MAIN, SLOT],
      [ROOM, null],
      ['agent:main:x', 'anthropic:default'],
    ],
  );
  t.equal(await bed.inSlot(), 'carol');
});

t.test(
  'a pin that an upgrade left over in a session that was not named is not mended on the way',
  async (t) => {
    const slot = fakeSlot({ profileId: 'openai:default' });
    const bed = roundBench({
      slots: [slot],
      provider: 'openai',
      sessions: [pinned(MAIN, 'openai:default'), pinned(ROOM, 'openai-codex:default')],
    });
    await bed.begin(null, 'alice', 'bob');
    slot.hostPuts('openai:default', holdingFor('alice'));
    bed.say({ alice: LOW, bob: FULL });
    const { slots } = await bed.round({ apply: true, mode: 'shared' });
    t.match(slots, [{ decision: { status: 'switched' } }]);
    t.equal(bed.host.pinned.get(ROOM), 'openai-codex:default');
  },
);

t.test(
  'what belongs to a named session is nobody else: its slash entry, its heartbeat, what it has spawned',
  async (t) => {
    const chat = 'agent:main:telegram:direct:1001';
    const bed = await low(
      roundBench({
        sessions: [
          pinned(chat),
          pinned('agent:main:telegram:slash:1001', SLOT, { channel: 'telegram' }),
          { key: `${chat}:heartbeat` },
          { key: 'agent:main:subagent:1', spawnedBy: chat },
          { key: 'agent:main:telegram:slash:7' },
        ],
      }),
    );
    const { slots } = await bed.round({ sessions: [chat], apply: true });
    t.match(slots, [{ decision: { status: 'switched' } }]);
    t.strictSame(slots[0]?.others, { sessions: [], agents: [] });
    t.equal(bed.host.pinned.get('agent:main:telegram:slash:7'), null);
  },
);

t.test('agents that follow the slot count, and so does one whose sessions cannot be read', async (t) => {
  const copy = fakeSlot({ agent: 'work' });
  for (const unreadable of [false, true]) {
    const bed = await low(roundBench({ copies: [copy] }));
    const pinsOf = (agent: string): Pins => {
      const pins = bed.host.pinsOf(agent);
      if (!unreadable || agent !== 'work') return pins;
      return { ...pins, read: () => Promise.reject(new RouterError('HOST_UNREADABLE', 'cannot')) };
    };
    const error = await refusal(bed.round({ apply: true }, { host: { ...bed.host, pinsOf } }));
    t.equal(error.code, 'FAILOVER_SCOPE');
    t.match(error.message, /agent work/);
  }
});

t.test('a session that others joined after the decision stops the switch under the lock', async (t) => {
  const bed = await low(roundBench());
  const pins = bed.host.pinsOf('main');
  let joined = false;
  const host = {
    ...bed.host,
    pinsOf: (): Pins => ({
      ...pins,
      read: async () => {
        const entries = await pins.read();
        const [first] = entries;
        return joined && first ? [...entries, { ...first, key: ROOM }] : entries;
      },
    }),
  };
  const withGrantLock = <T>(_: unknown, work: () => Promise<T>) => {
    joined = true;
    return work();
  };
  const { slots } = await bed.round({ apply: true }, { host, withGrantLock });
  t.match(slots, [{ failure: { code: 'FAILOVER_SCOPE' }, outcome: null }]);
  t.equal(bed.slot.replacements, 0);
});

t.test('with --own-slot nobody else is looked at, moves, or is written', async (t) => {
  const bed = await low(roundBench({ sessions: [pinned(MAIN), pinned(ROOM)] }));
  const { slots } = await bed.round({ apply: true, mode: 'own' });
  t.match(slots, [
    {
      decision: { status: 'switched' },
      others: { sessions: [], agents: [] },
      outcome: { slot: { profileId: OWN }, inSlot: { userId: keyOf('carol').split('/')[1] } },
    },
  ]);
  t.equal(await bed.inSlot(), 'alice', 'the slot that the others use is as it was');
  t.strictSame(
    [...bed.host.pinned],
    [
      [MAIN, OWN],
      [ROOM, SLOT],
    ],
  );
  t.match(bed.memory.get('/fake#main#router-1'), { current: keyOf('carol'), since: NOW });
});

t.test(
  'a session that loses the pin to its own slot takes no more logins than an hour may have',
  async (t) => {
    const bed = await low(roundBench({ sessions: [pinned(MAIN), pinned(ROOM)] }, { maxSwitchesPerHour: 1 }));
    const round = async () => (await bed.round({ apply: true, mode: 'own' })).slots;
    t.match(await round(), [{ decision: { status: 'switched' } }]);
    await bed.host.pinsOf('main').set([MAIN], SLOT);
    bed.pass(10 * 60_000);
    t.match(await round(), [{ decision: { status: 'within_threshold', held: 'rate' }, outcome: null }]);
    bed.pass(50 * 60_000);
    t.match(await round(), [{ decision: { status: 'switched' } }]);
  },
);

t.test(
  'in its own slot a session is looked after there, and whoever else is pinned to it counts as another',
  async (t) => {
    const bed = roundBench({ sessions: [pinned(MAIN, OWN), pinned(ROOM, OWN), pinned('agent:main:third')] });
    await bed.begin('alice', 'bob', 'carol');
    bed.slot.hostPuts(OWN, holdingFor('bob'));
    bed.say({ bob: LOW, carol: FULL });
    const { sessions, slots } = await bed.round();
    t.match(sessions, [{ key: MAIN, runsOn: 'own-slot' }]);
    t.match(slots, [
      { slot: { profileId: OWN }, to: { alias: 'carol' }, others: { sessions: [ROOM], agents: [] } },
    ]);
    t.strictSame(bed.asked, ['bob', 'carol'], 'alice is in the other slot');
    t.equal((await refusal(bed.round({ apply: true, mode: 'own' }))).code, 'FAILOVER_SCOPE');

    const both = await bed.round({ sessions: [MAIN, ROOM], apply: true });
    t.match(both.slots, [{ decision: { status: 'switched' }, outcome: { slot: { profileId: OWN } } }]);
    t.equal(await bed.inSlot(), 'alice');
  },
);

t.test(
  'what a person, or OpenClaw itself, has pinned elsewhere is left and told, and nobody is asked for it',
  async (t) => {
    const other = 'openai-codex:other';
    for (const [pinSource, pinnedBy, why] of [
      ['user', 'person', /by a person's choice/],
      ['auto', 'host', /OpenClaw itself has moved it/],
    ] as const) {
      const bed = await low(roundBench({ sessions: [{ key: MAIN, pinnedTo: other, pinSource }] }));
      bed.slot.hostPuts(other, holdingFor('bob-team'));
      const { sessions, slots } = await bed.round({ apply: true });
      t.match(sessions, [{ runsOn: 'left', pinnedBy, why, slot: null }]);
      t.strictSame(slots, []);
      t.strictSame(bed.asked, []);
      t.equal(bed.host.pinned.get(MAIN), other);
    }
  },
);

t.test('a session that is not there, or of no agent here, is missing; the others go on', async (t) => {
  const bed = await low(roundBench());
  const { sessions, slots } = await bed.round({
    sessions: ['agent:main:gone', 'agent:nobody:main', 'main', MAIN],
  });
  t.match(sessions, [
    { key: 'agent:main:gone', runsOn: 'missing' },
    { key: 'agent:nobody:main', runsOn: 'missing' },
    { key: MAIN, runsOn: 'slot' },
  ]);
  t.equal(sessions.length, 3, 'one that was named twice counts once');
  t.match(slots, [{ sessions: [MAIN], to: { alias: 'carol' } }]);
});

t.test('a slot with what is no login of ours is left as it is', async (t) => {
  const bed = roundBench();
  await bed.begin(null, 'bob');
  bed.slot.hostPuts(SLOT, { what: 'an API key' });
  t.match(await bed.round({ apply: true }), { sessions: [{ runsOn: 'left', why: /an API key/ }], slots: [] });
});
