import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { locateHost } from '../../src/openclaw/locate.js';
import { traitsOf } from '../../src/openclaw/release.js';
import { hostAtWork } from '../../src/openclaw/session-watch.js';
import { jsonPins, type PinsPlace } from '../../src/openclaw/sessions.js';
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
      sessionId: '00000000-0000-4000-8000-000000000001',
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
      sessionId: '00000000-0000-4000-8000-000000000002',
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
      sessionId: '00000000-0000-4000-8000-000000000003',
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

type Store = Record<string, Record<string, unknown>>;

const OTHER = 'agent:main:telegram:direct:1001';

/** A store that a host without a lock writes too, in the middle of its turns. */
async function shared(t: Test, sessions: Store, place: Partial<PinsPlace> = {}) {
  const { file } = await bench(t, { sessions });
  const pins = jsonPins({
    agent: 'main',
    path: file,
    uid: process.getuid?.() ?? null,
    torn: { tornMs: 60 },
    lock: { waitMs: 2000 },
    gatewayRuns: async () => true,
    watchMs: 400,
    ...place,
  });
  const { keep } = pins;
  if (keep === undefined) throw new Error('nothing is kept');
  const now = (): Store => JSON.parse(readFileSync(file, 'utf8'));
  return {
    file,
    now,
    pins,
    keep,
    /** As 5.2 to 7.35 do it: a temporary file and a rename, whatever lies there. */
    hostWrites: (store: Store) => {
      const temporary = `${file}.${randomUUID()}.tmp`;
      writeFileSync(temporary, JSON.stringify(store, null, 2), { mode: 0o600 });
      renameSync(temporary, file);
    },
  };
}

/** `work` each time the store is pinned again, until it says that it is done. */
function atEachPin(t: Test, file: string, work: () => boolean): void {
  const timer = setInterval(() => {
    if (!existsSync(file)) clearInterval(timer);
    else if (readFileSync(file, 'utf8').includes(`"${SLOT}"`) && work()) clearInterval(timer);
  }, 2);
  t.teardown(() => clearInterval(timer));
}

t.test('what the host writes while the pins are prepared stays, without any lock of its own', async (t) => {
  const { file, now, pins, hostWrites } = await shared(t, { [MAIN]: { turns: 1 }, [OTHER]: {} });
  writeFileSync(`${file}.lock`, JSON.stringify({ pid: process.pid, createdAt: new Date().toISOString() }));
  const setting = pins.set([MAIN], SLOT);
  // Read and planned: it waits for the other codex-router that holds the lock.
  await new Promise((wake) => setTimeout(wake, 60));
  const { [OTHER]: _, ...rest } = now();
  hostWrites({ ...rest, [MAIN]: { ...rest[MAIN], turns: 2 }, 'agent:main:new': { turns: 0 } });
  rmSync(`${file}.lock`);
  t.match(await setting, [{ key: MAIN, is: SLOT, result: 'set' }]);
  t.match(now()[MAIN], { ...PIN, turns: 2 });
  t.same(Object.keys(now()), [MAIN, 'agent:main:new'], 'what it made is there, what it deleted is not');
});

t.test('a write of the host that is under way is let through first', async (t) => {
  const { file, now, pins } = await shared(t, { [MAIN]: { turns: 1 } });
  const before = now();
  const temporary = `${file}.${process.pid}.${randomUUID()}.tmp`;
  writeFileSync(temporary, JSON.stringify({ ...before, 'agent:main:new': {} }));
  const setting = pins.set([MAIN], SLOT);
  await new Promise((wake) => setTimeout(wake, 30));
  t.notMatch(now()[MAIN], PIN, 'nothing is written while its temporary file lies there');
  renameSync(temporary, file);
  t.match(await setting, [{ result: 'set' }]);
  t.same(Object.keys(now()), [MAIN, 'agent:main:new']);
});

t.test('a temporary file that a dead host left behind stops nothing', async (t) => {
  const { file, now, pins } = await shared(t, { [MAIN]: {} });
  const left = `${file}.${randomUUID()}.tmp`;
  writeFileSync(left, '{');
  t.match(await pins.set([MAIN], SLOT), [{ result: 'set' }], 'just now');
  t.match(now()[MAIN], PIN);
  const old = new Date(Date.now() - 3_600_000);
  utimesSync(left, old, old);
  t.match(await pins.set([MAIN], null), [{ result: 'set' }], 'an hour ago');
  t.ok(existsSync(left), 'it is the host’s to delete');
});

t.test('a pin the host writes its older copy over is put back, and what it wrote stays', async (t) => {
  const { file, now, pins, keep, hostWrites } = await shared(t, {
    [MAIN]: { turns: 1, authProfileOverride: 'openai-codex:old', authProfileOverrideSource: 'auto' },
    [OTHER]: { turns: 1 },
  });
  const copy = now();
  const outcomes = await pins.set([MAIN, OTHER], SLOT);
  let times = 0;
  atEachPin(t, file, () => {
    times += 1;
    hostWrites({ ...copy, [MAIN]: { ...copy[MAIN], turns: times }, 'agent:main:new': { times } });
    return times === 3;
  });
  hostWrites({ ...copy, [MAIN]: { ...copy[MAIN], turns: 9 } });
  t.same(await keep(outcomes, SLOT), [
    { key: MAIN, was: 'openai-codex:old', is: SLOT, result: 'set', repaired: 4 },
    { key: OTHER, was: null, is: SLOT, result: 'set', repaired: 4 },
  ]);
  t.equal(times, 3);
  t.match(now(), {
    [MAIN]: { ...PIN, turns: 3 },
    [OTHER]: { ...PIN, turns: 1 },
    'agent:main:new': { times: 3 },
  });
});

t.test('an entry that the host deletes, or points elsewhere, meanwhile is left so', async (t) => {
  const { now, pins, keep, hostWrites } = await shared(t, { [MAIN]: {}, [OTHER]: {}, 'agent:main:b': {} });
  const outcomes = await pins.set([MAIN, OTHER, 'agent:main:b'], SLOT);
  const { [OTHER]: _, ...rest } = now();
  const otherwise = { ...rest, [MAIN]: { ...rest[MAIN], authProfileOverride: 'openai-codex:other' } };
  hostWrites(otherwise);
  t.match(await keep(outcomes, SLOT), [
    { key: MAIN, is: 'openai-codex:other', result: 'pending', why: /another login meanwhile/ },
    { key: OTHER, is: null, result: 'gone' },
    { key: 'agent:main:b', is: SLOT, result: 'set', repaired: undefined },
  ]);
  t.same(now(), otherwise);
});

t.test('a host that never stops writing its copy leaves the pin pending, and says why', async (t) => {
  const { file, now, pins, keep, hostWrites } = await shared(t, { [MAIN]: {} });
  const copy = now();
  const outcomes = await pins.set([MAIN], SLOT);
  atEachPin(t, file, () => {
    hostWrites(copy);
    return false;
  });
  hostWrites(copy);
  t.match(await keep(outcomes, SLOT), [
    { key: MAIN, was: null, is: null, result: 'pending', why: /wrote over it again and again/, repaired: 5 },
  ]);
});

t.test(
  'a copy in the host’s memory that took our file for its own is given away by the file’s time',
  async (t) => {
    const { file, now, pins, keep, hostWrites } = await shared(t, { [MAIN]: { turns: 1 } });
    const copy = now();
    const outcomes = await pins.set([MAIN], SLOT);
    // OpenClaw renamed before us and asks only now for the time and the size that its copy shall go by.
    const { mtimeMs, size } = statSync(file);
    const content = readFileSync(file, 'utf8');
    t.match(await keep(outcomes, SLOT), [{ result: 'set' }]);
    t.equal(readFileSync(file, 'utf8'), content);
    const later = statSync(file);
    t.notSame([later.mtimeMs, later.size], [mtimeMs, size], 'the copy does not count as current any more');
    hostWrites(copy);
  },
);

t.test('the watch ends at once when the command is stopped', async (t) => {
  const stop = new AbortController();
  const lock = { waitMs: 2000, signal: stop.signal };
  const { now, pins, keep, hostWrites } = await shared(t, { [MAIN]: {} }, { lock, watchMs: 600_000 });
  const copy = now();
  const outcomes = await pins.set([MAIN], SLOT);
  setTimeout(() => stop.abort(), 30);
  t.match(await keep(outcomes, SLOT), [{ result: 'set' }]);
  hostWrites(copy);
  t.match(await keep(await pins.set([MAIN], SLOT), SLOT), [{ result: 'set' }]);
});

t.test(
  'a store is watched for as long as a host can be at work on it, and not at all where none is',
  async (t) => {
    const { file } = await bench(t);
    const work = async (age: number, runs: boolean) => {
      const when = new Date(Date.now() - age);
      utimesSync(file, when, when);
      return await hostAtWork(statSync(file), async () => runs);
    };
    t.equal(await work(1000, true), 'turns');
    t.equal(await work(3_600_000, true), 'idle');
    t.equal(await work(0, false), 'idle', 'a turn of the command line');
    t.equal(await work(3_600_000, false), 'none');
    t.equal(await work(-3_600_000, false), 'none', 'a clock that is wrong is no host');
    const { now, pins, keep } = await shared(t, { [MAIN]: {} }, { gatewayRuns: async () => false });
    const old = new Date(Date.now() - 3_600_000);
    utimesSync(file, old, old);
    const before = now();
    const outcomes = await pins.set([MAIN], SLOT);
    t.equal(await keep(outcomes, SLOT), outcomes);
    t.notSame(now(), before);
  },
);

t.test('releases through 4.29 keep to their lock and are not watched', async (t) => {
  const of = (version: string | null, hasStateFile: boolean) =>
    traitsOf(version === null ? null : { version, source: '' }, hasStateFile).locksSessions;
  t.same(
    ['2026.3.28', '2026.4.29', '2026.5.2', '2026.7.35'].map((version) => of(version, true)),
    [true, true, false, false],
  );
  t.same(
    [of(null, false), of(null, true)],
    [true, false],
    'the careful answer where the release is not known',
  );
  const before = await bench(t, { release: '2026.3.28' });
  const since = await bench(t, { release: '2026.5.7' });
  t.equal(before.pins.keep, undefined);
  t.type(since.pins.keep, 'function');
});
