import t from 'tap';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import { type ChosenSessionDeps, clearSession, setSession } from '../../src/router/chosen-session.js';
import { explain } from '../../src/router/explain.js';
import { showSession } from '../../src/router/shown-session.js';
import { sync } from '../../src/router/sync.js';
import { undo } from '../../src/router/undo.js';
import type { Host } from '../../src/slot/host.js';
import type { SessionEntry } from '../../src/slot/pins.js';
import { type FakeHostOptions, fakeHost } from '../contract/fake-host.js';
import { fakeSlot } from '../contract/fake-slot.js';
import { NONE } from '../kit/none.js';
import { codeOf } from './support.js';
import { keyOf, login, NOW, SLOT, vault } from './vaults.js';

const [alice, bob, carol, team] = [login('alice'), login('bob'), login('carol'), login('bob-team', 'two')];
const CHAT = 'agent:main:telegram:direct:1001';
const SLASH = 'agent:main:telegram:slash:1001';
const MAIN = 'agent:main:main';
const OTHER = 'agent:main:discord:direct:7';
const OWN = 'openai-codex:router-1';
const CAROL = 'openai-codex:carol';
const TELEGRAM = { channel: 'telegram', from: 'telegram:1001' };

/** Alice is in the slot, bob in a slot of his own, carol beside them, bob-team is parked; nobody is pinned unless told. */
async function bench(
  pins: Record<string, Partial<SessionEntry>> = {},
  options: Partial<FakeHostOptions> = {},
) {
  const slot = fakeSlot();
  const running = new Set<string>();
  const entries: Record<string, Partial<SessionEntry>> = {
    [CHAT]: { ...TELEGRAM, updatedAt: 9 },
    [SLASH]: { ...TELEGRAM },
    [MAIN]: { updatedAt: 5 },
    [OTHER]: { updatedAt: 7 },
  };
  for (const [key, pin] of Object.entries(pins)) entries[key] = { ...entries[key], ...pin };
  const sessions = Object.entries(entries).map(([key, entry]) => ({ key, ...entry }));
  const host = fakeHost({ running, ...options, slots: [slot], sessions });
  const one = vault();
  await one.store(alice, bob, carol, team);
  await one.use(host, alice, { session: { kind: 'none' } });
  slot.hostPuts(OWN, bob);
  slot.hostPuts(CAROL, carol);
  const { replacements } = slot;
  let opened = 0;
  const deps = (on: Host = host): ChosenSessionDeps => ({
    ...one.deps(on),
    openRepo: () => {
      opened += 1;
      return one.repo.open();
    },
  });
  return {
    ...{ slot, host, one, running, deps },
    opened: () => opened,
    written: () => slot.replacements - replacements,
    pinned: () => Object.fromEntries(host.pinned),
    /** The host's own hand, or the end of a turn. */
    hostPins: (key: string, profileId: string | null) => host.pinsOf('main').set([key], profileId),
    set: (key: string, to: string | null = null, on: Host = host) =>
      setSession(deps(on), { key, to, dryRun: false }),
    plan: (key: string, to: string | null = null) => setSession(deps(), { key, to, dryRun: true }),
    clear: (key: string, on: Host = host) => clearSession(deps(on), { key, dryRun: false }),
    show: (key: string, on: Host = host) => showSession(on, key),
    sync: () => sync(one.deps(host), null),
    undo: () => undo(one.deps(host), { agent: null, dryRun: false }),
    use: (who: Holding, key: string | null = null) =>
      one.use(host, who, { session: key === null ? { kind: 'none' } : { kind: 'key', key } }),
  };
}

const UNPINNED = { [CHAT]: null, [SLASH]: null, [MAIN]: null, [OTHER]: null };

t.test('a session and its companions are pinned to the slot, and nothing else is touched', async (t) => {
  const it = await bench({ [OTHER]: { pinnedTo: CAROL } });
  const answer = await it.set(CHAT);
  t.match(answer, {
    result: 'set',
    agent: 'main',
    key: CHAT,
    to: { profileId: SLOT, kind: 'slot', identity: alice.identity },
    pins: [
      { key: CHAT, was: null, is: SLOT, result: 'set' },
      { key: SLASH, was: null, is: SLOT, result: 'set' },
    ],
    notes: NONE,
  });
  t.strictSame(it.pinned(), { ...UNPINNED, [CHAT]: SLOT, [SLASH]: SLOT, [OTHER]: CAROL });
  t.equal(it.written(), 0, 'no login was moved');
  t.match(await it.set(CHAT), { result: 'unchanged', pins: [{ result: 'already' }, { result: 'already' }] });
});

t.test('a plan says what would be pinned, opens no vault and writes nothing', async (t) => {
  const it = await bench();
  t.match(await it.plan(CHAT, OWN), {
    result: 'planned',
    to: { profileId: OWN, kind: 'own-slot', identity: bob.identity },
    pins: [
      { key: CHAT, was: null, is: OWN, result: 'set' },
      { key: SLASH, was: null, is: OWN, result: 'set' },
    ],
  });
  t.match(await clearSession(it.deps(), { key: CHAT, dryRun: true }), { result: 'planned', to: null });
  t.strictSame(it.pinned(), UNPINNED);
  t.equal(it.opened(), 0);
  t.strictSame(await it.one.journal.choices(), []);
});

t.test(
  'who is in the slot, in a slot of its own or beside them can be named, by person or by id',
  async (t) => {
    const it = await bench();
    for (const [to, profileId] of [
      [keyOf(alice), SLOT],
      [keyOf(bob), OWN],
      [keyOf(carol), CAROL],
      [SLOT, SLOT],
      [OWN, OWN],
      [CAROL, CAROL],
    ] as const) {
      t.match(await it.set(CHAT, to), { result: /set|unchanged/, to: { profileId } }, to);
      t.strictSame(
        it.pinned(),
        { ...UNPINNED, [CHAT]: profileId, [SLASH]: profileId },
        'the companion goes along',
      );
    }
    t.match(await it.set(CHAT), { result: 'set', to: { profileId: SLOT } });
    t.equal(it.written(), 0);
  },
);

t.test('whom OpenClaw does not have is refused with the two commands that bring him in', async (t) => {
  const it = await bench();
  await t.rejects(it.set(CHAT, keyOf(team)), {
    code: 'IDENTITY_PARKED',
    hint: new RegExp(
      `^codex-router use \\S+ .*; codex-router failover once --own-slot --session ${CHAT} --apply`,
    ),
  });
  t.equal(await codeOf(it.set(CHAT, 'nobody')), 'IDENTITY_NOT_FOUND');
  await t.rejects(it.set(CHAT, 'openai-codex:gone'), {
    code: 'IDENTITY_NOT_FOUND',
    hint: `it has ${SLOT}, ${OWN}, ${CAROL}`,
  });
  it.slot.hostPuts(CAROL, { what: 'an API key' });
  await t.rejects(it.set(CHAT, CAROL), { code: 'SLOT_FOREIGN', message: /an API key/ });
  it.slot.hostPuts(SLOT, null);
  t.equal(await codeOf(it.set(CHAT)), 'SLOT_FOREIGN');
  t.strictSame(it.pinned(), UNPINNED);
});

t.test('whom another agent has is refused: no session of this one could use that login', async (t) => {
  const it = await bench();
  const ops = fakeSlot({ agent: 'ops' });
  ops.hostPuts(SLOT, team);
  const both = fakeHost({ slots: [it.slot, ops], sessions: [{ key: CHAT }] });
  await both.claim(await ownerOf(it.host), null);
  await t.rejects(it.set(CHAT, keyOf(team), both), {
    code: 'IDENTITY_IN_USE',
    message: /of agent ops, which no session of agent main uses/,
    hint: /^codex-router use .* --agent main --move/,
  });
  ops.hostPuts(SLOT, null);
  ops.hostPuts(OWN, team);
  t.equal(await codeOf(it.set(CHAT, keyOf(team), both)), 'IN_OWN_SLOT');
  t.strictSame([...both.pinned], [[CHAT, null]]);
});

t.test("a pin to another provider's login, or to a person's own, is nobody's to change", async (t) => {
  for (const pinnedTo of ['anthropic:default', 'personal:me']) {
    const it = await bench({ [CHAT]: { pinnedTo } });
    for (const work of [it.set(CHAT), it.plan(CHAT), it.clear(CHAT)]) {
      await t.rejects(work, { code: 'SLOT_FOREIGN', message: new RegExp(`pinned to ${pinnedTo}`) });
    }
    t.strictSame(it.pinned(), { ...UNPINNED, [CHAT]: pinnedTo });
  }
});

t.test('clearing takes the pin off the session and its companions, and off nothing else', async (t) => {
  const it = await bench({
    [CHAT]: { pinnedTo: OWN },
    [SLASH]: { pinnedTo: OWN },
    [MAIN]: { pinnedTo: OWN },
  });
  t.match(await it.clear(CHAT), {
    result: 'cleared',
    to: null,
    pins: [
      { key: CHAT, was: OWN, is: null, result: 'set' },
      { key: SLASH, was: OWN, is: null, result: 'set' },
    ],
    notes: NONE,
  });
  t.strictSame(it.pinned(), { ...UNPINNED, [MAIN]: OWN });
  t.match(await it.clear(MAIN), { notes: [{ code: 'OWN_SLOT_UNUSED', text: /failover leave/ }] });
  it.slot.hostOrders([CAROL, SLOT], CAROL);
  t.match((await it.clear(CHAT)).notes, [{ code: 'FOLLOWS_ORDER', text: /codex-router explain/ }]);
});

t.test('a companion that is pinned to another login than its chat is left, and told', async (t) => {
  const it = await bench({ [CHAT]: { pinnedTo: SLOT }, [SLASH]: { pinnedTo: CAROL } });
  for (const answer of [await it.plan(CHAT, OWN), await it.set(CHAT, OWN), await it.clear(CHAT)]) {
    t.match(answer.pins, [{ key: CHAT }]);
    t.equal(answer.pins.length, 1);
    t.match(answer.notes[0], { code: 'PINS_LEFT', text: new RegExp(SLASH) });
  }
  t.strictSame(it.pinned(), { ...UNPINNED, [SLASH]: CAROL });
});

t.test('a pin that OpenClaw chose becomes a choice of a person', async (t) => {
  const it = await bench({ [CHAT]: { pinnedTo: SLOT, pinSource: 'auto' } });
  t.match(await it.plan(CHAT), { pins: [{ key: CHAT, was: SLOT, is: SLOT, result: 'set' }, {}] });
  t.match((await it.show(CHAT)).session, { pinnedBy: 'host' });
});

t.test(
  'a pin that was chosen is no disagreement, and nothing mends it; what a later switch left is',
  async (t) => {
    const it = await bench();
    const seen = async () => {
      const found = await explain({ ...it.one.deps(it.host), env: {} }, { agent: null, session: CHAT });
      return found.layers.flatMap(({ layer, verdict }) => (verdict === 'disagrees' ? [layer] : []));
    };
    await it.hostPins(CHAT, CAROL);
    t.strictSame(await seen(), ['pin', 'effective', 'label']);
    await it.set(CHAT, CAROL);
    t.strictSame(await seen(), []);
    await it.use(team, CHAT);
    await it.hostPins(CHAT, CAROL);
    t.strictSame(await seen(), ['pin', 'effective', 'label']);
  },
);

t.test('a release that drops a pin its order does not name says so before it is relied on', async (t) => {
  const it = await bench();
  const silent = {
    order: null,
    profiles: [],
    passesGoneOrder: false,
    expiredLast: false,
    restMovesPin: false,
  };
  const choosing = { ...silent, goneStops: false, labelsFromGateway: true, dropsUnordered: true };
  const old: Host = { ...it.host, choosing };
  t.match((await it.set(CHAT, CAROL, old)).notes, [{ code: 'PIN_UNORDERED', text: /2026\.5\.7/ }]);
  t.match((await it.set(CHAT, null, old)).notes, NONE);
  it.slot.hostOrders([SLOT, CAROL], SLOT);
  t.match((await it.set(CHAT, CAROL, old)).notes, NONE);
  t.match((await it.set(MAIN, OWN)).notes, NONE, 'a later one keeps it');
});

t.test('undo of a switch takes back no pin that was chosen for its session since', async (t) => {
  const it = await bench();
  await it.use(team, CHAT);
  t.match(it.pinned(), { [CHAT]: SLOT, [SLASH]: SLOT });
  t.match(await it.set(CHAT), { result: 'unchanged' });
  await it.undo();
  t.match((await it.slot.read()).occupant, { identity: alice.identity });
  t.strictSame(it.pinned(), { ...UNPINNED, [CHAT]: SLOT, [SLASH]: SLOT }, 'chosen, so it stays');

  const cleared = await bench({ [CHAT]: { pinnedTo: CAROL } });
  await cleared.use(team, CHAT);
  await cleared.clear(CHAT);
  await cleared.undo();
  t.equal(cleared.pinned()[CHAT], null);

  const untouched = await bench();
  await untouched.use(team, CHAT);
  await untouched.set(MAIN);
  await untouched.undo();
  t.strictSame(
    untouched.pinned(),
    { ...UNPINNED, [MAIN]: SLOT },
    "another session's choice changes nothing here",
  );
});

t.test('a switch that is looked at again sets no pin that was taken off since', async (t) => {
  const it = await bench();
  it.running.add(CHAT);
  await it.use(team, CHAT);
  await it.clear(CHAT);
  t.equal(it.pinned()[CHAT], null);
  await it.sync();
  t.equal(it.pinned()[CHAT], null);
  it.running.clear();
  await it.sync();
  t.strictSame(it.pinned(), UNPINNED);
});

t.test(
  'inside a turn a pin is pending, and set again when the turn has written the old one back',
  async (t) => {
    const it = await bench();
    it.running.add(CHAT);
    const answer = await it.set(CHAT, OWN);
    t.match(answer, {
      result: 'pending',
      pins: [
        { key: CHAT, result: 'pending' },
        { key: SLASH, result: 'set' },
      ],
      notes: [{ code: 'TURN_RUNNING', text: /codex-router sync --wait/ }],
    });
    await it.hostPins(CHAT, null);
    it.running.clear();
    t.match((await it.sync()).notes, [{ code: 'PINS_REPAIRED', text: new RegExp(CHAT) }]);
    t.strictSame(it.pinned(), { ...UNPINNED, [CHAT]: OWN, [SLASH]: OWN });
    await it.hostPins(CHAT, null);
    t.match((await it.sync()).notes, NONE, 'it was at its end: what is chosen now is chosen');
    t.equal(it.pinned()[CHAT], null);
  },
);

t.test(
  'what somebody chose otherwise meanwhile stays, and nothing is pinned to a login that is gone',
  async (t) => {
    const it = await bench();
    it.running.add(CHAT);
    await it.set(CHAT, OWN);
    await it.hostPins(CHAT, CAROL);
    it.running.clear();
    await it.sync();
    t.equal(it.pinned()[CHAT], CAROL);

    const gone = await bench();
    gone.running.add(CHAT);
    await gone.set(CHAT, CAROL);
    await gone.hostPins(CHAT, null);
    gone.slot.hostPuts(CAROL, null);
    gone.running.clear();
    t.match((await gone.sync()).notes, [{ code: 'PINS_LEFT', text: /which is gone/ }]);
    t.equal(gone.pinned()[CHAT], null);
    t.match((await gone.sync()).notes, NONE, 'once');
  },
);

t.test('where nobody can tell whether a turn runs, a pin is looked at again for ten minutes', async (t) => {
  const it = await bench({}, { running: null });
  t.match(await it.set(CHAT, OWN), { result: 'set' });
  await it.sync();
  await it.hostPins(CHAT, null);
  t.match((await it.sync()).notes, [{ code: 'PINS_REPAIRED' }]);
  t.equal(it.pinned()[CHAT], OWN);
  await sync({ ...it.one.deps(it.host), now: () => NOW + 700_000 }, null);
  await it.hostPins(CHAT, null);
  await it.sync();
  t.equal(it.pinned()[CHAT], null, 'no turn that ran then is on its way any more');
});

t.test('of two choices the later one counts, and a later switch of that session over both', async (t) => {
  const it = await bench();
  it.running.add(CHAT);
  await it.set(CHAT, OWN);
  await it.set(CHAT, CAROL);
  await it.hostPins(CHAT, OWN);
  it.running.clear();
  await it.sync();
  t.equal(it.pinned()[CHAT], CAROL);

  it.running.add(CHAT);
  await it.clear(CHAT);
  await it.use(team, CHAT);
  t.equal(it.pinned()[CHAT], SLOT);
  await it.hostPins(CHAT, CAROL);
  it.running.clear();
  await it.sync();
  t.equal(it.pinned()[CHAT], CAROL, 'neither set again nor taken off');
});

t.test('one that was killed before its pins were written is finished by the next command', async (t) => {
  const it = await bench();
  const dead: Host = {
    ...it.host,
    pinsOf: (agent) => ({ ...it.host.pinsOf(agent), set: () => new Promise(() => undefined) }),
  };
  void it.set(CHAT, OWN, dead);
  while ((await it.one.journal.choices()).length === 0) await new Promise(setImmediate);
  t.strictSame(it.pinned(), UNPINNED);
  t.match((await it.sync()).notes, [{ code: 'FINISHED', text: /was interrupted: it is set now/ }]);
  t.strictSame(it.pinned(), { ...UNPINNED, [CHAT]: OWN, [SLASH]: OWN });
});

t.test('one that the host refused is not made later', async (t) => {
  const it = await bench();
  const busy: Host = {
    ...it.host,
    pinsOf: (agent) => ({
      ...it.host.pinsOf(agent),
      set: () => Promise.reject(new RouterError('HOST_BUSY', 'the store is locked')),
    }),
  };
  await it.use(team, CHAT);
  t.equal(await codeOf(it.set(CHAT, OWN, busy)), 'HOST_BUSY');
  await it.sync();
  t.equal(it.pinned()[CHAT], SLOT);
  await it.undo();
  t.equal(it.pinned()[CHAT], null, 'and the switch before it can be taken back whole');
});

t.test('an OpenClaw that another vault routes is left alone', async (t) => {
  const it = await bench();
  const other = vault();
  await other.store(alice);
  const deps = { ...it.deps(), repo: other.repo, openRepo: () => other.repo.open() };
  for (const work of [
    setSession(deps, { key: CHAT, to: null, dryRun: false }),
    clearSession(deps, { key: CHAT, dryRun: false }),
  ]) {
    t.equal(await codeOf(work), 'HOST_OWNED');
  }
  t.match(await setSession(deps, { key: CHAT, to: null, dryRun: true }), { notes: [{ code: 'HOST_OWNED' }] });
  t.strictSame(it.pinned(), UNPINNED);
  t.strictSame(await it.one.journal.choices(), []);
});

t.test('a key may lack its agent; one that no session has is answered with the nearest', async (t) => {
  const it = await bench();
  t.match(await it.set('telegram:direct:1001'), { key: CHAT });
  t.match(await it.set('  Agent:Main:MAIN '), { key: MAIN, pins: [{ key: MAIN }] });
  await t.rejects(it.set('agent:main:telegram:direct:1002'), {
    code: 'SESSION_NOT_FOUND',
    hint: new RegExp(`^did you mean ${CHAT}`),
  });
  t.equal(await codeOf(it.clear('agent:nobody:main')), 'SESSION_NOT_FOUND');
  t.equal(await codeOf(it.show('')), 'SESSION_NOT_FOUND');

  const ROOM = 'slack:direct:u1';
  const inAgents = (...agents: readonly string[]): Host => {
    const ops = fakeSlot({ agent: 'ops' });
    const dev = fakeSlot({ agent: 'dev' });
    for (const slot of [ops, dev]) slot.hostPuts(SLOT, carol);
    const all = fakeHost({ slots: [it.slot, ops, dev] });
    const entry = (key: string) => ({ ...fakeEntry, key });
    const pinsOf: Host['pinsOf'] = (agent) => {
      const entries = agents.includes(agent) ? [entry(`agent:${agent}:${ROOM}`)] : [];
      const pins = all.pinsOf(agent);
      return { ...pins, read: async () => entries, survey: async () => ({ entries, unread: 0 }) };
    };
    return { ...all, pinsOf };
  };
  t.match(await it.show(ROOM, inAgents('ops')), { agent: 'ops', session: { key: `agent:ops:${ROOM}` } });
  t.match(await it.show(ROOM, inAgents('main', 'ops')), { agent: 'main' }, "the default agent's comes first");
  await t.rejects(it.show(ROOM, inAgents('ops', 'dev')), {
    code: 'SESSION_NOT_FOUND',
    hint: /agent:ops:slack:direct:u1.*agent:dev:slack:direct:u1|agent:dev.*agent:ops/,
  });
});

t.test('a thread takes its base along, and a slash entry nobody', async (t) => {
  const BASE = 'agent:main:discord:channel:5';
  const THREAD = `${BASE}:thread:6`;
  const it = await bench({ [BASE]: { pinnedTo: SLOT }, [THREAD]: {} });
  t.match((await it.set(THREAD, OWN)).pins, [{ key: THREAD }, { key: BASE, was: SLOT, is: OWN }]);
  const slash = await it.set(SLASH, CAROL);
  t.match(slash, {
    pins: [{ key: SLASH }],
    notes: [{ code: 'SLASH_ENTRY', text: new RegExp(`chat is ${CHAT}`) }],
  });
  t.equal(slash.pins.length, 1);
  t.strictSame(it.pinned()[CHAT], null);
});

t.test(
  'a chat that was just at work is said to go on with its connection, where OpenClaw keeps one',
  async (t) => {
    const it = await bench({ [CHAT]: { updatedAt: NOW - 60_000 }, [MAIN]: { updatedAt: NOW - 600_000 } });
    const keeps: Host = { ...it.host, keptMs: 315_000 };
    t.match((await it.set(CHAT, OWN, keeps)).notes, [{ code: 'CONNECTION_KEPT', text: /quiet for 5/ }]);
    t.match((await it.set(CHAT, OWN, keeps)).notes, NONE, 'nothing was changed');
    t.match((await it.set(MAIN, OWN, keeps)).notes, NONE, 'it was quiet');
    t.match((await it.set(CHAT, SLOT, keeps)).notes, [{ code: 'CONNECTION_KEPT' }]);
    t.match((await it.clear(CHAT, keeps)).notes, NONE, 'it stays on the same account');
    t.match((await it.set(CHAT, SLOT)).notes, NONE, 'this release keeps none');
  },
);

t.test('show tells the pins, who chose them, whose logins they are and whether a turn runs', async (t) => {
  const it = await bench({ [CHAT]: { pinnedTo: OWN }, [SLASH]: { pinnedTo: OWN, pinSource: 'auto' } });
  it.running.add(CHAT);
  t.match(await it.show(CHAT), {
    agent: 'main',
    slot: { profileId: SLOT },
    session: { pinnedTo: OWN, pinnedBy: 'person', place: 'own-slot', identity: bob.identity, problem: null },
    updatedAt: 9,
    companions: [{ key: SLASH, pinnedTo: OWN, pinnedBy: 'host', place: 'own-slot' }],
    companionOf: NONE,
    turn: 'running',
  });
  t.match(await it.show(MAIN), {
    session: { pinnedTo: null, pinnedBy: null, place: null, identity: alice.identity },
    companions: NONE,
    turn: 'none',
  });
  t.match(await it.show(SLASH), { companionOf: [CHAT] });
  t.match(await it.show(MAIN, { ...it.host, activeRuns: async () => null }), { turn: 'unknown' });
  const pins: readonly (readonly [string, object])[] = [
    [SLOT, { place: 'slot', identity: alice.identity }],
    [CAROL, { place: 'neighbour', identity: carol.identity }],
    ['openai-codex:gone', { place: 'gone', identity: null }],
    ['anthropic:default', { place: 'foreign', identity: null }],
  ];
  for (const [pinnedTo, session] of pins) {
    await it.hostPins(MAIN, pinnedTo);
    t.match((await it.show(MAIN)).session, { pinnedTo, ...session });
  }
  await it.hostPins(MAIN, SLOT);
  it.slot.hostPuts(SLOT, null);
  t.match((await it.show(MAIN)).session, { pinnedTo: SLOT, place: 'gone', identity: null }, 'an empty slot');
  it.slot.hostPuts(SLOT, alice);
  it.slot.hostOrders([CAROL, SLOT], CAROL);
  await it.hostPins(MAIN, null);
  t.match((await it.show(MAIN)).session, { place: null, identity: null }, 'the order does not say whose');
  t.equal(it.opened(), 0);
});

const fakeEntry: SessionEntry = {
  key: '',
  updatedAt: 1,
  pinnedTo: null,
  pinSource: null,
  channel: null,
  from: null,
  to: null,
  accountId: null,
  spawnedBy: null,
};

async function ownerOf(host: Host) {
  const owner = await host.owner();
  if (owner === null) throw new Error('nobody owns it');
  return owner;
}
