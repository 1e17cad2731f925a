import { mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { identityKey } from '../../src/identity.js';
import { locateHost } from '../../src/openclaw/locate.js';
import type { Before, Finding } from '../../src/router/finding.js';
import { fileFindings, hostFindings } from '../../src/router/host-findings.js';
import { claimOf } from '../../src/router/owner.js';
import type { GatewayHolds, Host, ReloadOutcome } from '../../src/slot/host.js';
import { fakeJournal } from '../contract/fake-journal.js';
import { fakeRepo } from '../contract/fake-repo.js';
import { holdingOf } from '../contract/slot.js';
import { sandbox } from '../kit/router.js';
import { makeState, PIN, PROVIDER, readJson, SLOT, type StateOptions, writeJson } from '../kit/state.js';
import { DAY, loginOf } from '../kit/tokens.js';
import { SURROUNDINGS } from './support.js';

const NOW = Date.now();
const HOUR = 3_600_000;
const alice = loginOf('alice', { issuedAt: NOW - HOUR, expiresAt: NOW + 5 * DAY });
const bob = loginOf('bob');
const BOB = `${PROVIDER}:bob`;
const GONE = `${PROVIDER}:gone`;
const MAIN = 'agent:main:main';

/** A real state directory whose agents' slots codex-router has filled, and what a gateway would say. */
async function bench(
  t: Test,
  options: Partial<StateOptions> & { readonly routed?: readonly string[] } = {},
  ports: Partial<Host> = {},
) {
  const box = sandbox(t);
  const state = makeState(box.stateDir, {
    release: '2026.5.7',
    slot: alice,
    order: [SLOT],
    sessions: { [MAIN]: {} },
    ...options,
  });
  const { HOME, CODEX_HOME, OPENCLAW_STATE_DIR } = box.env;
  const env = { HOME, CODEX_HOME, OPENCLAW_STATE_DIR, PATH: box.bin };
  const repo = fakeRepo(() => NOW);
  await (await repo.open()).save(holdingOf(alice), { source: 'codex' });
  const journal = fakeJournal();
  const { routed = ['main'] } = options;
  const isRouted = routed.length > 0;
  const look = async () => {
    const real = await locateHost({ env, platform: 'linux', options: {}, now: () => NOW });
    if (isRouted && (await real.owner()) === null)
      await real.claim(await claimOf(await repo.open(), NOW), null);
    const held = async (): Promise<GatewayHolds> => ({ kind: 'no-gateway' });
    const host: Host = { ...real, held, activeRuns: async () => new Set(), ...ports };
    return hostFindings({
      ...{ repo, opening: repo.open(), host, outside: [], hostAt: async () => host, journal },
      ...{ ...SURROUNDINGS, now: () => NOW, env: {} },
    });
  };
  for (const agent of routed) {
    const intent = { from: null, to: holdingOf(alice).identity, pins: [], undoes: null };
    const id = await journal.begin({ ...intent, slot: `${state.dir}#${agent}#${SLOT}` }, NOW - HOUR);
    await journal.advance(id, 'done', NOW - HOUR);
  }
  const kept: Before[] = [];
  return {
    box,
    state,
    repo,
    look,
    kept,
    codes: async () => (await look()).map(({ code }) => code),
    of: async (code: Finding['code']) => (await look()).filter((finding) => finding.code === code),
    only: async (code: Finding['code']): Promise<Finding> => {
      const [first, ...more] = (await look()).filter((finding) => finding.code === code);
      if (first === undefined || more.length > 0) throw new Error(`not one ${code}`);
      return first;
    },
    mend: async ({ mend }: Finding) => {
      if (mend === null) throw new Error('there is no mend');
      return mend.carryOut(async (before) => `kept-${kept.push(before)}`);
    },
  };
}

const config = (auth: object) => ({
  auth: { profiles: { [SLOT]: { provider: PROVIDER, mode: 'oauth' } }, ...auth },
});
const both = (order?: object) =>
  config({
    profiles: { [SLOT]: { provider: PROVIDER, mode: 'oauth' }, [BOB]: { provider: PROVIDER, mode: 'oauth' } },
    ...(order && { order }),
  });

t.test('nothing is found where every agent lands on its slot, and nothing is written', async (t) => {
  const { state, codes, repo } = await bench(t, { agents: [{ id: 'research', slot: bob }] });
  const before = readFileSync(state.paths().profiles);
  t.strictSame(await codes(), []);
  t.strictSame(readFileSync(state.paths().profiles), before);
  t.notOk(repo.calls.some((call) => /^(place|backUp|remove)/.test(call)));
});

t.test(
  'pins to what is gone are counted for each agent and set on its slot, and no other pin is',
  async (t) => {
    const gone = { authProfileOverride: GONE, authProfileOverrideSource: 'user' };
    const kept = {
      'agent:main:telegram:direct:1': { authProfileOverride: BOB, authProfileOverrideSource: 'user' },
      'agent:main:telegram:direct:2': {
        authProfileOverride: GONE,
        authProfileOverrideSource: 'auto',
        authProfileOverrideCompactionCount: 0,
      },
      'agent:main:telegram:direct:3': {
        authProfileOverride: 'anthropic:gone',
        authProfileOverrideSource: 'user',
      },
      'agent:main:telegram:direct:4': {
        authProfileOverride: 'personal:1:gone',
        authProfileOverrideSource: 'user',
      },
      'agent:main:telegram:direct:5': {},
    };
    const {
      state,
      of,
      only,
      look,
      mend,
      kept: backUps,
    } = await bench(t, {
      others: { [BOB]: bob },
      sessions: {
        [MAIN]: gone,
        'agent:main:telegram:direct:9': { ...gone, authProfileOverrideSource: 'user-link' },
        ...kept,
      },
      agents: [{ id: 'research', sessions: { 'agent:research:main': gone } }],
    });
    const before = state.sessions();
    const [main, research] = (await look()).filter(({ code }) => code === 'PIN_ORPHANED');
    t.match(main, {
      part: 'pin',
      text: '2 sessions of agent main are pinned to a login that is not there any more',
    });
    t.match(research, {
      text: 'one session of agent research is pinned to a login that is not there any more',
    });
    t.notMatch(JSON.stringify(main), /telegram|gone"/, 'no key in the text');
    if (main)
      t.match(await mend(main), {
        text: /^2 session\(s\)/,
        undo: 'codex-router doctor --undo kept-1',
        notes: [],
      });
    const after = state.sessions();
    for (const key of [MAIN, 'agent:main:telegram:direct:9']) t.match(after[key], PIN);
    for (const key of Object.keys(kept)) t.strictSame(after[key], before[key], key);
    t.match(backUps, [
      { kind: 'pins', agent: 'main', pins: [{ key: MAIN, was: GONE, is: SLOT }, { was: GONE }] },
    ]);
    await mend(await only('PIN_ORPHANED'));
    t.match(state.sessions('research')['agent:research:main'], PIN);
    t.strictSame(await of('PIN_ORPHANED'), []);
  },
);

t.test(
  'a pinned session in a turn is left for later, and an empty slot is pinned to by nobody',
  async (t) => {
    const gone = { authProfileOverride: GONE, authProfileOverrideSource: 'user' };
    const sessions = { [MAIN]: gone, 'agent:main:other': gone };
    const inTurn = new Set([MAIN]);
    const { state, only, mend } = await bench(t, { sessions }, { activeRuns: async () => inTurn });
    t.match(await mend(await only('PIN_ORPHANED')), { notes: [{ code: 'PINS_LEFT' }] });
    t.match(state.sessions(), { [MAIN]: gone, 'agent:main:other': PIN });
    await t.rejects(mend(await only('PIN_ORPHANED')), { code: 'HOST_BUSY' });
    const empty = await bench(t, { slot: null, sessions });
    t.match(await empty.only('PIN_ORPHANED'), { mend: null, text: /and the slot is empty$/ });
  },
);

t.test(
  'another login before or behind a routed slot is told for every agent and mended, by the store alone',
  async (t) => {
    const research = { id: 'research', slot: alice };
    for (const [name, options, code] of [
      ['another first', { order: [BOB, SLOT] }, 'ORDER_ELSEWHERE'],
      ['another behind', { order: [SLOT, BOB] }, 'ORDER_ELSEWHERE'],
      ['by the configuration', { order: undefined, config: both({ [PROVIDER]: [BOB] }) }, 'ORDER_IN_CONFIG'],
      ['nothing fixes it', { order: undefined, config: both() }, 'ORDER_ELSEWHERE'],
    ] as const) {
      const { order, ...more } = options;
      const { state, only, of, mend, kept } = await bench(t, {
        others: { [BOB]: bob },
        agents: [research],
        ...more,
        ...(order ? { order } : { order: [] }),
      });
      if (!order)
        writeJson(state.paths().state, { version: 1, lastGood: { [PROVIDER]: BOB }, usageStats: {} });
      const [profiles, config] = [state.paths().profiles, state.configPath].map((file) => readFileSync(file));
      const found = await only(code);
      t.match(found, { part: 'order', text: /^order of agent main: / }, name);
      await mend(found);
      t.match(state.selection(), { order: { [PROVIDER]: [SLOT] }, lastGood: { [PROVIDER]: SLOT } }, name);
      t.strictSame(
        [readFileSync(state.paths().profiles), readFileSync(state.configPath)],
        [profiles, config],
        'bytes',
      );
      t.match(kept, [
        { kind: 'selection', agent: 'main', slots: [{ order: order ?? null, lastGood: order ? SLOT : BOB }] },
      ]);
      t.strictSame(await of(code), []);
    }
  },
);

t.test(
  'a slot that nobody routes, or that only the configuration refuses, keeps its own choice',
  async (t) => {
    const native = await bench(t, { others: { [BOB]: bob }, order: [BOB, SLOT], routed: [] });
    t.strictSame(await native.codes(), []);
    for (const [field, wrong, right] of [
      ['mode', 'api_key', 'oauth'],
      ['provider', 'anthropic', PROVIDER],
    ] as const) {
      const profile = { provider: PROVIDER, mode: 'oauth', [field]: wrong };
      const { only } = await bench(t, { config: config({ profiles: { [SLOT]: profile } }) });
      const remedy = `openclaw config set auth.profiles.${SLOT}.${field} ${right}`;
      t.match(await only('PROFILE_REFUSED'), { mend: null, remedy });
    }
    const tied = {
      release: '2026.5.7',
      others: { [BOB]: bob },
      agents: [{ id: 'research', slot: bob }],
    } as const;
    const { state, codes } = await bench(t, tied);
    const own = state.paths('research').state;
    writeJson(own, { version: 1, order: { [PROVIDER]: [BOB] } });
    t.strictSame(await codes(), [], 'the own slot of an agent that was not routed');
    t.match(readJson(own), { order: { [PROVIDER]: [BOB] } });
  },
);

t.test('a rest is respected, unless it is proved to be another login’s', async (t) => {
  const until = NOW + 2 * HOUR;
  const failed = { errorCount: 2, lastUsed: 7, lastFailureAt: NOW - 2 * HOUR, failureCounts: { auth: 2 } };
  const resting = (stats: object) =>
    bench(t, { usageStats: { [SLOT]: { ...failed, ...stats }, [BOB]: { cooldownUntil: until } } });
  for (const [name, stats] of Object.entries({
    'a limit of the account': {
      cooldownUntil: until,
      cooldownReason: 'rate_limit',
      failureCounts: { rate_limit: 2 },
    },
    'a limit that was counted beside it': {
      cooldownUntil: until,
      cooldownReason: 'auth',
      failureCounts: { auth: 1, billing: 1 },
    },
    'a failure of this very login': {
      disabledUntil: until,
      disabledReason: 'auth_permanent',
      lastFailureAt: NOW - HOUR / 2,
    },
    'no reason at all': { cooldownUntil: until, failureCounts: {} },
    'no time of the failure': { cooldownUntil: until, cooldownReason: 'auth', lastFailureAt: 'x' },
  })) {
    const { only } = await resting(stats);
    t.match(await only('SLOT_RESTING'), { mend: null, remedy: null, text: / rests until / }, name);
  }
  const over = await resting({ cooldownUntil: NOW - 1, cooldownReason: 'auth' });
  t.strictSame(await over.codes(), []);
  const { state, only, mend, of } = await resting({ cooldownUntil: until, cooldownReason: 'auth' });
  const before = readFileSync(state.paths().profiles);
  t.match(await only('REST_STALE'), { text: /\(auth\), for a failure of the login that was there before$/ });
  await mend(await only('REST_STALE'));
  t.strictSame(state.selection(), {
    version: 1,
    order: { [PROVIDER]: [SLOT] },
    lastGood: { [PROVIDER]: SLOT },
    usageStats: { [SLOT]: { lastUsed: 7 }, [BOB]: { cooldownUntil: until } },
  });
  t.strictSame(readFileSync(state.paths().profiles), before);
  t.strictSame(await of('REST_STALE'), []);
});

t.test('a gateway that holds another login is told for each slot and made to read it', async (t) => {
  const answers = new Map<string, number | null>();
  const asked: string[] = [];
  const proof: ReloadOutcome = { effective: 'now', proved: true, advice: null, notes: [] };
  let outcome = proof;
  const ports: Partial<Host> = {
    held: async ({ address }, expiresAt) => ({
      kind: 'holds',
      expiresAt: answers.get(address.agent) ?? expiresAt,
      askedAt: null,
    }),
    reload: async ({ address }, expiresAt) => {
      asked.push(`${address.agent} ${expiresAt}`);
      answers.delete(address.agent);
      return outcome;
    },
  };
  const { codes, only, mend } = await bench(t, { agents: [{ id: 'research', slot: bob }] }, ports);
  t.strictSame(await codes(), []);
  answers.set('research', NOW);
  const found = await only('GATEWAY_BEHIND');
  t.match(found, { part: 'effective', text: /agent research/ });
  t.match(await mend(found), { undo: null });
  t.strictSame(asked, [`research ${bob.expires}`]);
  t.strictSame(await codes(), []);
  outcome = { ...proof, effective: 'after-reload', proved: false, advice: 'restart it yourself' };
  answers.set('main', NOW);
  await t.rejects(mend(await only('GATEWAY_BEHIND')), { code: 'HOST_BUSY', hint: 'restart it yourself' });
  answers.set('main', NOW);
  outcome = { ...proof, proved: false };
  await t.rejects(mend(await only('GATEWAY_BEHIND')), { code: 'HOST_BUSY' }, 'its word without a proof');
  answers.set('main', NOW);
  outcome = { ...proof, effective: 'no-gateway', proved: false };
  t.match((await mend(await only('GATEWAY_BEHIND'))).text, /^no gateway runs any more/);
  const none = await bench(t, {}, { held: async () => ({ kind: 'unknown', why: 'it does not answer' }) });
  t.strictSame(await none.codes(), [], 'what cannot be told is no finding');
});

t.test('the mend of a file looks whose host it is first', async (t) => {
  const { state, only, mend, repo } = await bench(t);
  const lock = `${state.paths().profiles}.lock`;
  mkdirSync(lock);
  utimesSync(lock, new Date(NOW - HOUR), new Date(NOW - HOUR));
  const found = await only('LOCK_FOLDER');
  const owner = path.join(state.dir, 'codex-router.json');
  writeJson(owner, { version: 1, vaultId: 'another', generation: 1, at: NOW });
  await t.rejects(mend(found), { code: 'HOST_OWNED' });
  writeJson(owner, {
    version: 1,
    vaultId: repo.vaultId,
    generation: (await repo.standing())?.generation,
    at: NOW,
  });
  t.match(await mend(found), { text: /was removed$/, undo: null });
  t.match(identityKey(holdingOf(alice).identity), alice.accountId);
});

t.test(
  'with a closed vault the files are told all the same, without a mend; stores that cannot be read stop nothing',
  async (t) => {
    const { state, look, codes } = await bench(t);
    const lock = `${state.paths().profiles}.lock`;
    mkdirSync(lock);
    utimesSync(lock, new Date(NOW - HOUR), new Date(NOW - HOUR));
    t.match(await look(), [{ code: 'LOCK_FOLDER', mend: { does: /^remove the empty folder / } }]);
    const env = { OPENCLAW_STATE_DIR: state.dir, HOME: path.dirname(state.dir), PATH: '' };
    const host = await locateHost({ env, platform: 'linux', options: {} });
    t.match(await fileFindings(host), [{ code: 'LOCK_FOLDER', part: 'lock', mend: null }]);
    writeFileSync(state.paths().profiles, 'no json');
    t.ok((await codes()).includes('LOCK_FOLDER'));
  },
);
