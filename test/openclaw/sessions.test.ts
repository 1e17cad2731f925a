import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { locateHost } from '../../src/openclaw/locate.js';
import type { Pins } from '../../src/slot/pins.js';
import { makeState, type OpenClawState, PIN, RELEASES, SLOT, type StateOptions } from '../kit/state.js';
import { loginOf } from '../kit/tokens.js';

const MAIN = 'agent:main:main';

async function bench(
  t: Test,
  options: Partial<StateOptions> = {},
): Promise<{ state: OpenClawState; file: string; pins: Pins }> {
  const state = makeState(t.testdir({}), { release: '2026.5.7', slot: loginOf('alice'), ...options });
  return { state, file: state.paths().sessions, pins: await pinsOf(state) };
}

async function pinsOf(state: OpenClawState, agent = 'main'): Promise<Pins> {
  const host = await locateHost({
    env: { HOME: path.join(state.dir, 'home') },
    platform: process.platform,
    options: { stateDir: state.dir },
    lock: { waitMs: 250 },
    torn: { tornMs: 60 },
  });
  return host.pinsOf(agent);
}

t.test('reads of each entry what the pin and the companion rule look at', async (t) => {
  const { pins } = await bench(t, {
    sessions: {
      'agent:main:telegram:direct:1001': {
        updatedAt: 5,
        lastChannel: 'telegram',
        lastTo: 'telegram:1001',
        lastAccountId: 'bot2',
        origin: { provider: 'telegram', from: 'telegram:1001', to: 'bot' },
        ...PIN,
      },
      'agent:main:telegram:slash:1001': {
        origin: { provider: 'telegram', from: 'telegram:1001' },
        updatedAt: 'x',
      },
      'agent:main:subagent:1': { updatedAt: 7, spawnedBy: MAIN, authProfileOverride: 'anthropic:default' },
    },
  });
  t.same(await pins.read(), [
    {
      key: 'agent:main:telegram:direct:1001',
      updatedAt: 5,
      pinnedTo: SLOT,
      pinSource: 'user',
      channel: 'telegram',
      from: 'telegram:1001',
      to: 'telegram:1001',
      accountId: 'bot2',
      spawnedBy: null,
    },
    {
      key: 'agent:main:telegram:slash:1001',
      updatedAt: 0,
      pinnedTo: null,
      pinSource: null,
      channel: 'telegram',
      from: 'telegram:1001',
      to: null,
      accountId: null,
      spawnedBy: null,
    },
    {
      key: 'agent:main:subagent:1',
      updatedAt: 7,
      pinnedTo: 'anthropic:default',
      pinSource: null,
      channel: null,
      from: null,
      to: null,
      accountId: null,
      spawnedBy: MAIN,
    },
  ]);
});

t.test('pins three fields of the named entries and nothing else', async (t) => {
  for (const release of RELEASES) {
    const { state, file, pins } = await bench(t, { release });
    const text = readFileSync(file, 'utf8').replace(
      '"agent:main:main": {',
      '$&"authProfileOverride":"openai-codex:old","authProfileOverrideSource":"auto","authProfileOverrideCompactionCount":2,"unknown":{"deep":[1,null]},',
    );
    writeFileSync(file, text, { mode: 0o640 });
    const before = state.sessions();
    const outcomes = await pins.set([MAIN, 'agent:main:telegram:slash:1001', 'agent:main:nowhere'], SLOT);
    t.same(outcomes, [
      { key: MAIN, was: 'openai-codex:old', is: SLOT, result: 'set' },
      { key: 'agent:main:telegram:slash:1001', was: null, is: SLOT, result: 'set' },
      { key: 'agent:main:nowhere', was: null, is: null, result: 'gone' },
    ]);
    const after = state.sessions();
    const { authProfileOverrideCompactionCount: _, ...main } = { ...before[MAIN], ...PIN };
    t.strictSame(after[MAIN], main, 'updatedAt and unknown fields stay');
    t.same(after['agent:main:telegram:slash:1001'], { ...before['agent:main:telegram:slash:1001'], ...PIN });
    for (const key of Object.keys(before)) {
      if (!outcomes.some((outcome) => outcome.key === key)) t.strictSame(after[key], before[key], key);
    }
    t.same(Object.keys(after), Object.keys(before), 'in the same order, none created');
    const written = readFileSync(file, 'utf8');
    t.equal(
      written,
      JSON.stringify(after, null, 2),
      'printed as OpenClaw prints it, no line break at the end',
    );
    t.same(readdirSync(path.dirname(file)), ['sessions.json'], 'no lock or temporary file is left');
  }
});

t.test('writes nothing when every entry is pinned already', async (t) => {
  const { file, pins } = await bench(t, { sessions: { [MAIN]: { ...PIN } } });
  const { ino } = statSync(file);
  mkdirSync(`${file}.lock`);
  t.same(await pins.set([MAIN], SLOT), [{ key: MAIN, was: SLOT, is: SLOT, result: 'already' }]);
  t.equal(statSync(file).ino, ino);
});

t.test('takes a pin off again, all three fields', async (t) => {
  const { state, pins } = await bench(t, {
    sessions: { [MAIN]: { ...PIN, authProfileOverrideCompactionCount: 1 }, 'agent:main:b': {} },
  });
  t.same(await pins.set([MAIN, 'agent:main:b'], null), [
    { key: MAIN, was: SLOT, is: null, result: 'set' },
    { key: 'agent:main:b', was: null, is: null, result: 'already' },
  ]);
  t.same(
    Object.keys(state.sessions()[MAIN] ?? {}).filter((name) => name.startsWith('auth')),
    [],
  );
});

t.test('pinning and unpinning any entries gives the first store back', async (t) => {
  const { state, file, pins } = await bench(t);
  const field = fc.string({ maxLength: 8 }).map((name) => `f-${name}`);
  const entry = fc.dictionary(field, fc.jsonValue({ maxDepth: 1 }), { maxKeys: 3, noNullPrototype: true });
  const key = fc
    .string({ minLength: 1, maxLength: 8 })
    .map((name) => `agent:main:k${name.trim().toLowerCase()}`);
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(key, entry, { minKeys: 1, maxKeys: 4, noNullPrototype: true }),
      async (store) => {
        writeFileSync(file, JSON.stringify(store));
        const before = state.sessions();
        await pins.set(Object.keys(before), SLOT);
        t.ok(Object.values(state.sessions()).every((value) => value.authProfileOverride === SLOT));
        await pins.set(Object.keys(before), null);
        t.strictSame(state.sessions(), before);
      },
    ),
    { numRuns: 15 },
  );
});

t.test('finds an entry by the spelling OpenClaw merges it into', async (t) => {
  const { state, pins } = await bench(t, { sessions: { 'agent:main:Telegram:direct:AB': {} } });
  t.match(await pins.set([' AGENT:main:telegram:direct:ab'], SLOT), [{ result: 'set' }]);
  t.match(state.sessions()['agent:main:Telegram:direct:AB'], PIN);
});

t.test('a store that is missing has no entries, and none is made', async (t) => {
  const { file, pins } = await bench(t);
  rmSync(file);
  t.same(await pins.read(), []);
  t.same(await pins.set([MAIN], SLOT), [{ key: MAIN, was: null, is: null, result: 'gone' }]);
  t.notOk(existsSync(file));
});

t.test('a store that cannot be understood is refused and left as it is', async (t) => {
  const { file, pins } = await bench(t);
  const whole = readFileSync(file, 'utf8');
  const cases: ReadonlyArray<readonly [string, RegExp]> = [
    ['', /is empty/],
    [whole.slice(0, -20), /not complete JSON/],
    [`\ufeff${whole}`, /byte-order mark/],
    ['oops', /not JSON/],
    ['[]', /a list/],
    [`{"${MAIN}":"x"}`, /an entry is not an object/],
  ];
  for (const [text, message] of cases) {
    writeFileSync(file, text);
    await t.rejects(pins.read(), { code: 'HOST_UNREADABLE', message, hint: /./ });
    await t.rejects(pins.set([MAIN], SLOT), { code: 'HOST_UNREADABLE', message });
    t.equal(readFileSync(file, 'utf8'), text);
  }
});

t.test('keeps out of the way of a live holder, takes a dead one’s lock, names a folder', async (t) => {
  const { file, pins, state } = await bench(t, { release: '2026.3.28' });
  const lock = `${file}.lock`;
  writeFileSync(lock, JSON.stringify({ pid: process.pid, createdAt: new Date().toISOString() }));
  await t.rejects(pins.set([MAIN], SLOT), {
    code: 'HOST_BUSY',
    message: new RegExp(`process ${process.pid} holds`),
  });
  t.notMatch(state.sessions()[MAIN], PIN);
  writeFileSync(lock, JSON.stringify({ pid: 2 ** 30, createdAt: new Date().toISOString() }));
  t.match(await pins.set([MAIN], SLOT), [{ result: 'set' }]);
  t.notOk(existsSync(lock));
  mkdirSync(lock);
  await t.rejects(pins.set([MAIN], null), { code: 'HOST_BUSY', hint: /rmdir/ });
});

t.test('takes 10,000 entries and 50 MB, through a link, keeping its mode', async (t) => {
  const { file, pins, state } = await bench(t);
  const filler = { systemPrompt: 'é'.repeat(2500) };
  const store = Object.fromEntries(
    Array.from({ length: 10_000 }, (_, index) => [
      `agent:main:direct:${index}`,
      { updatedAt: index, ...filler },
    ]),
  );
  const real = path.join(state.dir, 'big.json');
  writeFileSync(real, JSON.stringify(store), { mode: 0o600 });
  t.ok(statSync(real).size > 50_000_000);
  rmSync(file);
  symlinkSync(real, file);
  t.equal((await pins.read()).length, 10_000);
  t.match(await pins.set(['agent:main:direct:9999'], SLOT), [{ result: 'set' }]);
  const after = JSON.parse(readFileSync(real, 'utf8'));
  t.match(after['agent:main:direct:9999'], PIN);
  t.same(after['agent:main:direct:1'], { updatedAt: 1, ...filler });
  t.equal(statSync(real).mode & 0o777, 0o600);
});

t.test('goes to the store openclaw.json names, per agent or one for all', async (t) => {
  const state = makeState(t.testdir({}), {
    release: '2026.5.7',
    slot: loginOf('alice'),
    agents: [{ id: 'work' }],
  });
  const config = JSON.parse(readFileSync(state.configPath, 'utf8'));
  const set = (store: string) =>
    writeFileSync(state.configPath, JSON.stringify({ ...config, session: { store } }));
  const home = path.join(state.dir, 'home');
  mkdirSync(path.join(home, 'work'), { recursive: true });

  set('~/{agentId}/s.json');
  writeFileSync(path.join(home, 'work', 's.json'), '{"agent:work:main":{}}');
  t.match(await (await pinsOf(state, 'work')).read(), [{ key: 'agent:work:main' }]);

  const shared = path.join(state.dir, 'all.json');
  set(shared);
  writeFileSync(shared, '{"agent:work:main":{},"agent:main:main":{},"global":{}}');
  const work = await pinsOf(state, 'work');
  t.same(
    (await work.read()).map(({ key }) => key),
    ['agent:work:main', 'global'],
  );
  t.match(await work.set(['agent:work:main'], SLOT), [{ result: 'set' }]);

  set('sessions.json');
  await t.rejects(async () => (await pinsOf(state)).read(), {
    code: 'HOST_UNREADABLE',
    message: /session\.store in openclaw\.json is not an absolute path/,
  });
});
