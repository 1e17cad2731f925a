import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { hostEnv } from '../../src/openclaw/gateway-config.js';
import { type LocateDeps, locateHost } from '../../src/openclaw/locate.js';
import { findPlaces } from '../../src/openclaw/places.js';
import { compareVersions, type ReleaseTraits, traitsOf } from '../../src/openclaw/release.js';
import type { Env } from '../../src/os/folders.js';
import type { SlotGroup } from '../../src/slot/host.js';
import { holdingOf } from '../contract/slot.js';
import { type AgentOptions, makeState, type OpenClawState, PROVIDER, profileOf, SLOT } from '../kit/state.js';
import { CANARY, codexAuthJson, DAY, loginOf } from '../kit/tokens.js';

async function locate(env: Env, options: LocateDeps['options'] = {}, more: Partial<LocateDeps> = {}) {
  return await locateHost({
    env: { PATH: '', ...env },
    platform: process.platform,
    options,
    torn: { tornMs: 60 },
    lock: { waitMs: 300 },
    ...more,
  });
}

/** Puts a package of that version on a PATH of its own, installed as npm does it. */
function install(prefix: string, version: string): string {
  const root = path.join(prefix, 'lib', 'node_modules', 'openclaw');
  mkdirSync(path.join(root, 'bin'), { recursive: true });
  writeFileSync(path.join(root, 'package.json'), JSON.stringify({ name: 'openclaw', version }));
  writeFileSync(path.join(root, 'openclaw.mjs'), '');
  mkdirSync(path.join(prefix, 'bin'), { recursive: true });
  symlinkSync('../lib/node_modules/openclaw/openclaw.mjs', path.join(prefix, 'bin', 'openclaw'));
  return path.join(prefix, 'bin');
}

/** A state whose openclaw.json does not tell the release. */
function unstamped(state: OpenClawState): OpenClawState {
  const { meta: _, ...config } = JSON.parse(readFileSync(state.configPath, 'utf8'));
  writeFileSync(state.configPath, JSON.stringify(config));
  return state;
}

t.test('finds the state directory by OpenClaw’s own rules', (t) => {
  const home = t.testdir({ '.openclaw': {}, '.clawdbot': {} });
  const bare = t.testdir({ bare: {} });
  const at = (env: Env, options = {}) => findPlaces({ HOME: home, ...env }, '/some where', options).stateDir;
  t.equal(at({}), path.join(home, '.openclaw'));
  t.equal(at({ OPENCLAW_HOME: '/other' }), '/other/.openclaw');
  t.equal(at({ OPENCLAW_HOME: '~/sub' }), path.join(home, 'sub', '.openclaw'));
  t.equal(at({ OPENCLAW_HOME: 'undefined' }), path.join(home, '.openclaw'));
  t.equal(at({ OPENCLAW_STATE_DIR: ' ~/state ' }), path.join(home, 'state'));
  t.equal(at({ OPENCLAW_STATE_DIR: '/s' }, { profile: 'work' }), '/s', 'as in OpenClaw the variable wins');
  t.equal(at({}, { profile: 'work' }), path.join(home, '.openclaw-work'));
  t.equal(at({}, { profile: 'default' }), path.join(home, '.openclaw'));
  t.equal(at({ OPENCLAW_STATE_DIR: '/s' }, { stateDir: '/given' }), '/given');
  t.equal(at({}, { stateDir: 'sub' }), '/some where/sub', 'an option may be relative to where one is');
  t.equal(findPlaces({ USERPROFILE: bare }, '/', {}).stateDir, path.join(bare, '.openclaw'));
  mkdirSync(path.join(bare, '.moldbot'));
  t.equal(findPlaces({ HOME: bare }, '/', {}).stateDir, path.join(bare, '.moldbot'));
  for (const [env, options] of [
    [{ OPENCLAW_STATE_DIR: 'relative' }, {}],
    [{ OPENCLAW_CONFIG_PATH: './openclaw.json' }, {}],
    [{ OPENCLAW_AGENT_DIR: 'agent' }, {}],
    [{ OPENCLAW_STATE_DIR: '/a\0b' }, {}],
    [{}, { stateDir: 'a\0b' }],
    [{}, { stateDir: ' ' }],
    [{}, { profile: '../x' }],
    [{}, { profile: '' }],
    [{}, { profile: 'a b' }],
    [{}, { profile: '-x' }],
    [{}, { profile: 'x'.repeat(65) }],
    [{ OPENCLAW_STATE_DIR: '/s' }, { profile: '../x' }],
    [{}, { stateDir: '/s', profile: 'a/b' }],
  ] as const) {
    t.throws(() => at(env, options), { code: 'USAGE', hint: /./ });
  }
  t.end();
});

t.test('finds the configuration beside the state, and leaves another host’s variables alone', (t) => {
  const home = t.testdir({ '.openclaw': { 'clawdbot.json': '' } });
  const env = { HOME: home, OPENCLAW_CONFIG_PATH: '/c.json', PI_CODING_AGENT_DIR: '~/agent' };
  t.equal(findPlaces({ HOME: home }, '/', {}).configPath, path.join(home, '.openclaw', 'clawdbot.json'));
  t.match(findPlaces(env, '/', {}), { configPath: '/c.json', mainAgentDir: path.join(home, 'agent') });
  t.match(findPlaces({ ...env, OPENCLAW_AGENT_DIR: '/first' }, '/', {}), { mainAgentDir: '/first' });
  t.match(findPlaces(env, '/', { stateDir: '/other' }), {
    configPath: '/other/openclaw.json',
    mainAgentDir: null,
  });
  const same = { ...env, OPENCLAW_STATE_DIR: '/other' };
  t.match(findPlaces(same, '/', { stateDir: '/other' }), { configPath: '/c.json' });
  t.end();
});

t.test('no state directory is one sentence with what to do', async (t) => {
  const home = t.testdir({ file: '' });
  await t.rejects(locate({ HOME: home }), {
    code: 'HOST_NOT_FOUND',
    message: /\.openclaw$/,
    hint: /--state-dir/,
  });
  await t.rejects(locate({ HOME: home, OPENCLAW_STATE_DIR: path.join(home, 'file') }), {
    code: 'HOST_NOT_FOUND',
    message: /from OPENCLAW_STATE_DIR/,
  });
  t.same(readdirSync(home), ['file'], 'and nothing is created');
});

t.test(
  'names the state directory behind links, and takes only a profile id of the provider as slot',
  async (t) => {
    const state = makeState(t.testdir({}), { release: '2026.5.7', slot: loginOf('alice') });
    const link = path.join(t.testdirName, 'link');
    symlinkSync(state.dir, link);
    const host = await locate({ HOME: '/nowhere' }, { stateDir: link, slot: 'openai-codex:work' });
    t.match(host.summary, { stateDir: state.dir, layout: 'json+state', provider: PROVIDER });
    t.equal((await host.allSlots())[0]?.address.id, `${state.dir}#main#openai-codex:work`);
    for (const slot of [
      'openai:default',
      'openai-codex:',
      'openai-codex:a b',
      'openai-codex:../x',
      `${SLOT}\n`,
    ]) {
      await t.rejects(locate({}, { stateDir: state.dir, slot }), { code: 'USAGE' });
    }
  },
);

t.test('reads the configuration as OpenClaw does: JSON5, includes, variables', async (t) => {
  const state = makeState(t.testdir({}), { release: '2026.5.7', slot: loginOf('alice') });
  writeFileSync(
    state.configPath,
    `// by hand
    { $include: ['./agents.json5', './more.json'], meta: { lastTouchedVersion: '2026.5.7', },
      agents: { list: [{ id: 'Work Two', agentDir: '\${BASE}/two' }], }, }`,
  );
  writeFileSync(
    path.join(state.dir, 'agents.json5'),
    `{ agents: { list: [{ id: 'main' }, { id: 'work', default: true, agentDir: '~/w' }] } }`,
  );
  writeFileSync(path.join(state.dir, 'more.json'), `{ "meta": { "lastTouchedVersion": "2026.1.1" } }`);
  const host = await locate({ HOME: '/h', BASE: state.dir }, { stateDir: state.dir });
  t.same(host.agents, ['main', 'work', 'work-two']);
  t.equal(host.defaultAgent, 'work');
  t.equal(host.summary.release?.version, '2026.5.7', 'the including file wins');
  await t.rejects(locate({ HOME: '/h' }, { stateDir: state.dir }), {
    code: 'HOST_UNREADABLE',
    message: /needs BASE, which is not set here/,
  });
});

t.test('a configuration that cannot be understood is refused, naming the file', async (t) => {
  const state = makeState(t.testdir({}), {
    release: '2026.5.7',
    slot: loginOf('alice'),
  });
  const cases: ReadonlyArray<readonly [string, RegExp]> = [
    ['{ agents: ', /not JSON5/],
    ['[]', /not an object/],
    ['{"agents":{"list":"main"}}', /agents\.list has the wrong type/],
    ['{"agents":{"list":[{"id":"main","agentDir":5}]}}', /agents\.list\.0\.agentDir has the wrong type/],
    ['{"agents":{"list":[{"id":"main","agentDir":"rel"}]}}', /not an absolute path/],
    ['{"agents":{"list":[{"id":"main","agentDir":"/a\\u0000b"}]}}', /not an absolute path/],
    ['{"$include":"./openclaw.json"}', /goes round in a circle/],
    ['{"$include":"/etc/hostname"}', /leaves the configuration folder/],
    ['{"$include":"./gone.json"}', /does not exist/],
    ['{"$include":5}', /not a file name/],
  ];
  for (const [text, message] of cases) {
    writeFileSync(state.configPath, text);
    await t.rejects(
      locate({}, { stateDir: state.dir }),
      { code: 'HOST_UNREADABLE', message, hint: /./ },
      text,
    );
  }
  rmSync(state.configPath);
  t.same((await locate({}, { stateDir: state.dir })).agents, ['main'], 'an absent one is an empty one');
});

t.test('tells the release by the package on PATH, else by what last wrote openclaw.json', async (t) => {
  const state = makeState(t.testdir({}), { release: '2026.5.7', slot: loginOf('alice') });
  const bin = install(path.join(state.dir, 'npm'), '2026.5.28');
  const at = async (env: Env) => (await locate(env, { stateDir: state.dir })).summary;
  t.same((await at({ PATH: `relative:${state.dir}:${bin}` })).release, {
    version: '2026.5.28',
    source: path.join(bin, 'openclaw'),
  });
  t.match(await at({}), {
    release: { version: '2026.5.7', source: /lastTouchedVersion/ },
    notes: [{ code: 'RELEASE_NOT_INSTALLED' }],
  });
  // A wrapper script that is not a link: the npm prefix its folder belongs to.
  rmSync(path.join(bin, 'openclaw'));
  writeFileSync(path.join(bin, 'openclaw'), '#!/bin/sh\n', { mode: 0o755 });
  t.equal((await at({ PATH: bin })).release?.version, '2026.5.28');
  unstamped(state);
  t.equal((await at({})).release, null);
  t.equal((await at({})).layout, 'json+state', 'auth-state.json is there');
  const old = unstamped(
    makeState(path.join(t.testdirName, 'old'), { release: '2026.3.28', slot: loginOf('bob') }),
  );
  t.match((await locate({}, { stateDir: old.dir })).summary, { release: null, layout: 'json' });
});

t.test('what last wrote openclaw.json is not believed against what lies there', async (t) => {
  const state = makeState(t.testdir({}), {
    release: '2026.5.7',
    slot: loginOf('alice'),
    config: { meta: { lastTouchedVersion: '2026.3.28' } },
  });
  t.match((await locate({}, { stateDir: state.dir })).summary, { release: null, layout: 'json+state' });
});

t.test('refuses a later release over stores it has not moved yet, and touches nothing', async (t) => {
  const dir = t.testdir({});
  const make = (name: string) =>
    makeState(path.join(dir, name), { release: '2026.5.7', slot: loginOf('alice') });
  const newer = make('newer');
  const bin = install(path.join(newer.dir, 'npm'), '2026.6.1');
  const touched = make('touched');
  writeFileSync(touched.configPath, '{"meta":{"lastTouchedVersion":"2026.9.4"}}');
  for (const [state, env, message, hint] of [
    [
      newer,
      { PATH: bin },
      /OpenClaw 2026\.6\.1 .*still say openai-codex/,
      /doctor --fix.*nothing was touched/,
    ],
    [touched, {}, /OpenClaw 2026\.9\.4 .*in SQLite.*still lie in/, /doctor --fix.*nothing was touched/],
  ] as const) {
    const before = readFileSync(state.paths().profiles, 'utf8');
    await t.rejects(locate(env, { stateDir: state.dir }), {
      code: 'HOST_UNSUPPORTED',
      message,
      hint,
    });
    t.equal(readFileSync(state.paths().profiles, 'utf8'), before);
    t.notOk(existsSync(path.join(state.dir, 'locks')));
  }
});

t.test('knows each release by what it does to the slot', (t) => {
  const known = (version: string) => traitsOf({ version, source: '' }, false);
  const table: Record<string, Partial<ReleaseTraits>> = {
    '2026.3.13-1': { codexOverwrites: false, losesRotation: false, copiesMain: true, stateFile: false },
    '2026.3.24': { codexOverwrites: true, losesRotation: true },
    '2026.3.31': { losesRotation: true },
    '2026.4.1': { losesRotation: false, codexOverwrites: true },
    '2026.4.5': { stateFile: false },
    '2026.4.7': { stateFile: true, refreshLock: false },
    '2026.4.15': { codexOverwrites: true, copiesMain: true },
    '2026.4.20': { codexOverwrites: false, copiesMain: false, refreshLock: true, planField: false },
    '2026.4.24': { planField: true },
    '2026.5.7': { sealsTokens: false },
    '2026.5.12': { sealsTokens: true },
    '2026.5.18': { sealsTokens: false },
  };
  for (const [version, traits] of Object.entries(table)) t.match(known(version), traits, version);
  t.match(traitsOf(null, false), { refreshLock: true, copiesMain: true, stateFile: false });
  t.match(traitsOf(null, true), { refreshLock: true, copiesMain: false, stateFile: true });
  const sorted = ['2026.3.28', '2026.4.5', '2026.4.15', '2026.5.7', '2026.5.28', '2026.6.1', '2027.1.1'];
  t.same([...sorted].reverse().sort(compareVersions), sorted);
  t.end();
});

/** Ids of the slots a switch would write, main slot first. */
const written = (group: SlotGroup) => [group.main, ...group.copies].map(({ address }) => address.agent);

async function withAgents(t: Test, release: '2026.3.28' | '2026.5.7', agents: readonly AgentOptions[]) {
  const state = makeState(t.testdir({}), { release, slot: loginOf('alice', { nonce: 'one' }), agents });
  return { state, host: await locate({ HOME: '/nowhere' }, { stateDir: state.dir }) };
}

t.test('a release that copies main over its other agents has them switched together', async (t) => {
  const { host } = await withAgents(t, '2026.3.28', [
    { id: 'work', slot: loginOf('bob') },
    { id: 'plain' },
    { id: 'keyed', slot: { type: 'api_key', provider: PROVIDER, key: CANARY } },
  ]);
  t.same(host.agents, ['main', 'work', 'plain', 'keyed']);
  for (const agent of ['main', 'work', 'plain']) {
    const group = await host.slotsFor(agent);
    t.same(written(group), ['main', 'work']);
    t.same(group.follows, ['main', 'work', 'plain']);
    t.match(group.notes, [
      { code: 'AGENT_FOREIGN', text: /keyed/ },
      { code: 'AGENTS_TIED', text: /main, work, plain/ },
    ]);
  }
  const keyed = await host.slotsFor('keyed');
  t.same([written(keyed), keyed.follows], [['keyed'], ['keyed']]);
});

t.test(
  'a later release has each agent on its own entry, else on main’s, and copies of a grant move together',
  async (t) => {
    const { host, state } = await withAgents(t, '2026.5.7', [
      { id: 'own', slot: loginOf('bob') },
      { id: 'copy', slot: loginOf('alice', { nonce: 'one' }) },
      { id: 'through' },
      { id: 'broken', slot: null },
    ]);
    writeFileSync(state.paths('broken').profiles, '{');
    const main = await host.slotsFor('main');
    t.same(written(main), ['main', 'copy']);
    t.same(main.follows, ['main', 'copy', 'through']);
    t.match(main.notes, [{ code: 'AGENT_UNREADABLE', text: /broken/ }, { code: 'AGENTS_FOLLOW' }]);
    const own = await host.slotsFor('own');
    t.same([written(own), own.follows], [['own'], ['own']]);
    t.same(written(await host.slotsFor('copy')), ['copy', 'main']);
    await t.rejects(host.slotsFor('broken'), { code: 'SLOT_UNREADABLE' });
    await t.rejects(host.slotsFor('nobody'), {
      code: 'AGENT_NOT_FOUND',
      hint: /main, own, copy, through, broken/,
    });
    t.same(
      (await host.allSlots()).map(({ address }) => address.agent),
      ['main', 'own', 'copy', 'broken'],
    );
  },
);

t.test('an agent named that ran on main’s entry gets its own, and main keeps its own', async (t) => {
  const { host, state } = await withAgents(t, '2026.5.7', [
    { id: 'through' },
    { id: 'usual', default: true },
  ]);
  const group = await host.slotsFor('through');
  t.match(group.notes, [{ code: 'AGENT_GETS_OWN_SLOT' }]);
  t.same([written(group), group.follows], [['through'], ['through']]);
  const { revision } = await group.main.read();
  await group.main.replace({ expect: revision, put: holdingOf(loginOf('bob')), takeOut: [] });
  t.equal(state.slot('through')?.email, 'bob@example.test');
  t.equal(state.slot('main')?.email, 'alice@example.test');
  t.same(written(await host.slotsFor('usual')), ['main'], 'the default agent is served by main’s');
});

t.test('agentDir and OPENCLAW_AGENT_DIR say where the stores are', async (t) => {
  const dir = t.testdir({});
  const elsewhere = path.join(dir, 'elsewhere');
  const state = makeState(path.join(dir, 'state'), {
    release: '2026.5.7',
    slot: loginOf('alice'),
    agents: [{ id: 'work', agentDir: elsewhere, slot: loginOf('bob') }],
  });
  const host = await locate({}, { stateDir: state.dir });
  t.match(await (await host.slotsFor('work')).main.read(), {
    occupant: { identity: { email: 'bob@example.test' } },
  });

  const moved = path.join(dir, 'moved');
  mkdirSync(moved);
  writeFileSync(
    path.join(moved, 'auth-profiles.json'),
    JSON.stringify({ version: 1, profiles: { [SLOT]: profileOf(loginOf('carol'), '2026.5.7') } }),
  );
  const env = { OPENCLAW_STATE_DIR: state.dir, OPENCLAW_AGENT_DIR: moved };
  const shared = (await (await locate(env)).allSlots())[0];
  t.match(await shared?.read(), { occupant: { identity: { email: 'carol@example.test' } } });
  t.match(shared?.address, { agent: 'main', id: `${state.dir}#@shared#${SLOT}` });

  const told: unknown[] = [];
  const reload: LocateDeps['reload'] = async ({ mainSlot }, { address }) => {
    told.push([address.agent, address.id === mainSlot]);
    return { effective: 'now', proved: true, advice: null, notes: [] };
  };
  const both = await locate(env, {}, { reload });
  const group = await both.slotsFor('main');
  t.equal(
    group.main.address.id,
    `${state.dir}#main#${SLOT}`,
    'main’s own entry goes before the main store’s',
  );
  t.equal(new Set((await both.allSlots()).map(({ address }) => address.id)).size, 3);
  await both.reload(group.main, 1);
  rmSync(state.paths().profiles);
  const through = await both.slotsFor('main');
  t.match(through.main.address, shared?.address ?? {});
  await both.reload(through.main, 1);
  t.same(told, [
    ['main', false],
    ['main', true],
  ]);
});

t.test('an agent’s store that cannot be looked at stays in custody, and fails who reads it', async (t) => {
  const { host, state } = await withAgents(t, '2026.5.7', [{ id: 'odd', slot: loginOf('bob') }]);
  const { profiles } = state.paths('odd');
  rmSync(profiles);
  t.same((await host.allSlots()).length, 1, 'one that does not exist is none');
  symlinkSync('auth-profiles.json', profiles);
  const odd = (await host.allSlots())[1];
  t.equal(odd?.address.agent, 'odd');
  await t.rejects(async () => odd?.read(), { code: 'IO', message: /symbolic links/ });
});

t.test('what tells the release and cannot be looked at is not taken for absent', async (t) => {
  const state = unstamped(makeState(t.testdir({}), { release: '2026.3.28', slot: loginOf('alice') }));
  const file = state.paths().state;
  rmSync(file, { force: true });
  t.match((await locate({}, { stateDir: state.dir })).summary, { layout: 'json' });
  symlinkSync('auth-state.json', file);
  await t.rejects(locate({}, { stateDir: state.dir }), { code: 'IO', message: /symbolic links/ });
  const bin = install(path.join(state.dir, 'prefix'), '2026.3.28');
  t.match((await locate({ PATH: bin }, { stateDir: state.dir })).summary, { layout: 'json' });
});

t.test('a pipe where a file belongs is refused or passed over, and never waited on', async (t) => {
  const state = makeState(t.testdir({}), { release: '2026.3.28', slot: loginOf('alice') });
  const config = JSON.parse(readFileSync(state.configPath, 'utf8'));
  const codex = path.join(state.dir, 'codex');
  mkdirSync(codex);
  mkdirSync(path.join(state.dir, 'state'));
  const pipe = (...names: string[]) => execFileSync('mkfifo', [path.join(...names)]);
  const env = { CODEX_HOME: codex };

  pipe(state.dir, '.env');
  pipe(state.dir, 'state', 'openclaw.sqlite');
  t.same(await hostEnv(state.dir, env), env, 'an .env of a password manager');
  const host = await locate(env, { stateDir: state.dir });
  pipe(codex, 'auth.json');
  await t.rejects(host.admit(Date.now() + 5 * DAY, Date.now()), { code: 'IO', message: /auth\.json/ });

  pipe(state.dir, 'more.json');
  writeFileSync(state.configPath, JSON.stringify({ ...config, $include: './more.json' }));
  await t.rejects(locate(env, { stateDir: state.dir }), { code: 'IO', message: /more\.json/ });
  rmSync(state.configPath);
  pipe(state.configPath);
  await t.rejects(locate(env, { stateDir: state.dir }), { code: 'IO', message: /openclaw\.json/ });
});

t.test('an agent without a name is nobody, and not main', async (t) => {
  const { host } = await withAgents(t, '2026.5.7', [{ id: 'work' }]);
  for (const name of ['', ' ', '!!', '\u00e4'])
    await t.rejects(
      host.slotsFor(name),
      { code: 'AGENT_NOT_FOUND', hint: /main, work/ },
      JSON.stringify(name),
    );
  t.equal((await host.slotsFor(' MAIN ')).agent, 'main');
});

t.test('says which state directory it took when --profile was overruled', async (t) => {
  const home = t.testdir({});
  const state = makeState(path.join(home, '.openclaw-work'), { release: '2026.5.7', slot: loginOf('alice') });
  const notes = async (profile: string, OPENCLAW_STATE_DIR?: string) => {
    const env = { HOME: home, ...(OPENCLAW_STATE_DIR === undefined ? {} : { OPENCLAW_STATE_DIR }) };
    return (await locate(env, { profile })).summary.notes.map(({ code, text }) => `${code} ${text}`);
  };
  const overruled =
    /^PROFILE_OVERRULED OPENCLAW_STATE_DIR is set and wins over --profile home.*openclaw-work$/m;
  t.match((await notes('home', state.dir)).join('\n'), overruled);
  t.notMatch((await notes('work', state.dir)).join('\n'), /PROFILE_OVERRULED/, 'both say the same');
  t.notMatch((await notes('work')).join('\n'), /PROFILE_OVERRULED/);
});

t.test('hands on which sessions are in a turn, and null when nobody can tell', async (t) => {
  const state = makeState(t.testdir({}), { release: '2026.5.7', slot: loginOf('alice') });
  t.equal(await (await locate({}, { stateDir: state.dir })).activeRuns('main'), null);
  const activeRuns: LocateDeps['activeRuns'] = async ({ stateDir }, agent) => new Set([stateDir, agent]);
  const host = await locate({}, { stateDir: state.dir }, { activeRuns });
  t.same(await host.activeRuns('Work'), new Set([state.dir, 'work']));
});

t.test('refuses to hand a grant to a release that would lose it, with the remedy', async (t) => {
  const now = Date.now();
  const state = makeState(t.testdir({}), { release: '2026.5.7', slot: loginOf('alice') });
  const old = unstamped(
    makeState(path.join(state.dir, 'old'), { release: '2026.3.28', slot: loginOf('alice') }),
  );
  const codex = path.join(state.dir, 'codex');
  mkdirSync(codex);
  const admit = async (version: string, left: number, slot?: string) => {
    const bin = version === '' ? '' : path.join(state.dir, version, 'bin');
    if (bin !== '' && !existsSync(bin)) install(path.dirname(bin), version);
    const env = { PATH: bin, HOME: '/nowhere', CODEX_HOME: codex };
    const host = await locate(env, {
      stateDir: version === '' ? old.dir : state.dir,
      ...(slot ? { slot } : {}),
    });
    await host.admit(now + left, now);
  };
  const refused = { code: 'HOST_UNTRUSTED_WITH_GRANT', hint: /./ };
  const near = DAY - 1000;
  for (const version of ['2026.3.24', '2026.3.31', '']) {
    await t.rejects(admit(version, near), { ...refused, message: /less than 24 hours/ }, version);
    await t.resolves(admit(version, DAY + 1000), version);
  }
  for (const version of ['2026.3.13', '2026.4.1', '2026.5.7'])
    await t.resolves(admit(version, near), version);
  await t.resolves(admit('2026.5.12', near), 'what it seals is opened again');
  const apple = async (more: NodeJS.ProcessEnv) => {
    const env = {
      PATH: path.join(state.dir, '2026.5.12', 'bin'),
      HOME: '/nowhere',
      CODEX_HOME: codex,
      ...more,
    };
    await (await locate(env, { stateDir: state.dir }, { platform: 'darwin' })).admit(now + 5 * DAY, now);
  };
  await t.rejects(apple({}), { ...refused, message: /its own keychain item/, hint: /2026\.5\.28/ });
  await t.resolves(apple({ OPENCLAW_AUTH_PROFILE_SECRET_KEY: 'a key of both' }));

  writeFileSync(path.join(codex, 'auth.json'), codexAuthJson(loginOf('bob')));
  for (const version of ['2026.3.24', '2026.4.15', '']) {
    await t.rejects(admit(version, 5 * DAY), {
      ...refused,
      message: /copies Codex's own login/,
      hint: /import --take/,
    });
    await t.resolves(admit(version, 5 * DAY, 'openai-codex:work'), 'only the default slot is copied over');
  }
  for (const version of ['2026.3.13', '2026.4.20', '2026.5.7'])
    await t.resolves(admit(version, 5 * DAY), version);
  for (const text of ['{"OPENAI_API_KEY":"sk"}', '{"tokens":{"access_token":"a"}}', '{']) {
    writeFileSync(path.join(codex, 'auth.json'), text);
    await t.resolves(admit('2026.4.15', 5 * DAY), text);
  }
});

t.test('says what in openclaw.json would get in the way', async (t) => {
  const state = makeState(t.testdir({}), {
    release: '2026.5.7',
    slot: loginOf('alice'),
    config: {
      auth: { profiles: { [SLOT]: { provider: PROVIDER, mode: 'api_key', email: 'old@example.test' } } },
    },
  });
  const { notes } = (await locate({}, { stateDir: state.dir })).summary;
  t.match(notes, [{ code: 'RELEASE_NOT_INSTALLED' }, { code: 'CONFIG_MODE_DIFFERS' }]);
});
