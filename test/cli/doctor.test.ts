import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { NONE } from '../kit/none.js';
import { leaksOf, type RouterOptions, router, type Sandbox, sandbox } from '../kit/router.js';
import {
  makeState,
  type OpenClawState,
  PIN,
  PROVIDER,
  profileOf,
  readJson,
  SLOT,
  type StateOptions,
  writeJson,
} from '../kit/state.js';
import { codexAuthJson, loginOf } from '../kit/tokens.js';
import { morningZone } from '../kit/zone.js';

const alice = loginOf('alice');
const bob = loginOf('bob', { issuedAt: Date.now() - 60_000 });
const carol = loginOf('carol');
const MAIN = 'agent:main:main';
const TELEGRAM = 'agent:main:telegram:direct:1001';
const CAROL = 'openai-codex:carol';

interface Bench {
  readonly box: Sandbox;
  readonly state: OpenClawState;
  run(args: readonly string[], options?: RouterOptions): ReturnType<typeof router>;
  /** The document of `doctor`, whatever its exit status. */
  doctor(...args: string[]): Promise<Doctor>;
  /** Everything of the host that a mend could write. */
  files(): readonly string[];
}

interface Doctor {
  readonly code: number | null;
  readonly json: {
    readonly findings: readonly { code: string; part: string; mends: string | null }[];
    readonly mended: readonly { code: string; part: string; text: string; undo: string | null }[];
    readonly failed: readonly { code: string; error: string; message: string }[];
  };
}

/** Alice (a) and bob (b) are stored, and alice was routed. */
async function bench(t: Test, options: Partial<StateOptions> = {}): Promise<Bench> {
  const box = sandbox(t);
  const state = makeState(box.stateDir, { release: '2026.5.7', slot: null, ...options });
  const env = { CODEX_ROUTER_KEY: 'file', TZ: morningZone() };
  const run: Bench['run'] = (args, more = {}) => router(box, args, { ...more, env: { ...env, ...more.env } });
  for (const [alias, login] of Object.entries({ a: alice, b: bob })) {
    const { code, stderr } = await run(['import', '--from', '-', '--alias', alias], {
      input: codexAuthJson(login),
    });
    if (code !== 0) throw new Error(stderr);
  }
  const { code, stderr } = await run(['use', 'a', '--session', MAIN]);
  if (code !== 0) throw new Error(stderr);
  t.teardown(() => {
    const leaks = leaksOf(box);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
  });
  const { profiles, state: selection, sessions } = state.paths();
  return {
    box,
    state,
    run,
    doctor: async (...args) => {
      const { json, code } = await run(['doctor', '--json', ...args]);
      return { json, code };
    },
    files: () => [profiles, selection, sessions, state.configPath].map((file) => readFileSync(file, 'utf8')),
  };
}

function edit(state: OpenClawState, entry: object | undefined): void {
  const { profiles } = state.paths();
  const store = readJson(profiles) as { profiles: Record<string, unknown> };
  writeJson(profiles, { ...store, profiles: { ...store.profiles, [SLOT]: entry } });
}

function select(state: OpenClawState, fields: object): void {
  const { state: file } = state.paths();
  writeJson(file, { ...(readJson(file) as object), ...fields });
}

function pin(state: OpenClawState, key: string, profileId: string): void {
  const { sessions } = state.paths();
  const all = readJson(sessions) as Record<string, object>;
  writeJson(sessions, { ...all, [key]: { ...all[key], ...PIN, authProfileOverride: profileId } }, '');
}

const agreesNow = async ({ run }: Bench) => (await run(['explain', '--json'])).json.agrees;
const mendsOf = ({ json }: Doctor) => json.findings.filter(({ mends }) => mends !== null);

t.test('says that nothing is wrong, and mends nothing, where all is as it should be', async (t) => {
  const it = await bench(t);
  const before = it.files();
  t.match(await it.doctor(), { code: 0, json: { findings: NONE, mended: NONE, failed: NONE } });
  t.match(await it.doctor('--fix'), { code: 0, json: { findings: NONE, mended: NONE, failed: NONE } });
  t.strictSame(it.files(), before);
  t.match((await it.run(['doctor', '--undo'])).stderr, /no mend is left to take back \(BACKUP_NOT_FOUND\)/);
});

t.test(
  'an order that names another login: looking writes nothing, --fix names the slot alone, --undo puts it back',
  async (t) => {
    const it = await bench(t, { others: { [CAROL]: carol } });
    const odd = { order: { [PROVIDER]: [CAROL, SLOT] }, lastGood: { [PROVIDER]: CAROL } };
    select(it.state, odd);
    const before = it.files();
    const seen = await it.doctor();
    t.strictSame(it.files(), before, 'doctor only looks');
    t.match(mendsOf(seen), [{ part: 'order' }]);
    t.match((await it.run(['doctor'])).stdout, /^ {10}--fix would .+/m);

    const fixed = await it.doctor('--fix');
    t.match(fixed, { code: 0, json: { mended: [{ part: 'order' }], failed: NONE, findings: NONE } });
    t.match(it.state.selection(), { order: { [PROVIDER]: [SLOT] }, lastGood: { [PROVIDER]: SLOT } });
    t.equal(await agreesNow(it), true);
    const [one] = fixed.json.mended;
    const id = /^codex-router doctor --undo ([0-9a-f]{8})$/.exec(one?.undo ?? '')?.[1] ?? '';

    const mends = path.join(it.box.routerHome, 'mends');
    const names = readdirSync(mends);
    t.equal(names.length, 1);
    t.equal(statSync(path.join(mends, names[0] ?? '')).mode & 0o777, 0o600);
    t.notMatch(readFileSync(path.join(mends, names[0] ?? ''), 'utf8'), /carol/, 'it is sealed');

    t.match((await it.run(['doctor', '--undo', 'ffffffff'])).stderr, /BACKUP_NOT_FOUND/);
    const undone = await it.run(['doctor', '--undo', id, '--json']);
    t.match(undone.json, { ok: true, result: 'undone', id });
    t.strictSame(it.state.selection().order, odd.order);
    t.strictSame(it.state.selection().lastGood, odd.lastGood);
    t.match((await it.run(['doctor', '--undo'])).code, 3, 'and only once');
  },
);

t.test('a mend that was changed since is left by --undo, and said', async (t) => {
  const it = await bench(t, { others: { [CAROL]: carol } });
  select(it.state, { order: { [PROVIDER]: [CAROL] } });
  t.match(await it.doctor('--fix'), { json: { mended: [{ part: 'order' }] } });
  select(it.state, { order: { [PROVIDER]: [SLOT, CAROL] } });
  const before = it.files();
  const undone = await it.run(['doctor', '--undo']);
  t.match(undone, { code: 75, stderr: /was changed since, and was left \(SLOT_CHANGED\)/ });
  t.strictSame(it.files(), before);
});

t.test(
  'a pin to another login of the store: only the session that is meant is pinned to the slot',
  async (t) => {
    const it = await bench(t, { others: { [CAROL]: carol } });
    pin(it.state, MAIN, CAROL);
    pin(it.state, TELEGRAM, CAROL);
    const fixed = await it.doctor('--fix', '--session', MAIN);
    t.match(fixed.json, { mended: [{ code: 'PIN_DISAGREES' }], failed: NONE });
    t.equal(it.state.sessions()[MAIN]?.authProfileOverride, SLOT);
    t.equal(it.state.sessions()[TELEGRAM]?.authProfileOverride, CAROL, "another chat's own choice is left");
    t.equal((await it.run(['doctor', '--undo'])).code, 0);
    t.equal(it.state.sessions()[MAIN]?.authProfileOverride, CAROL);

    pin(it.state, MAIN, 'personal:own');
    t.match((await it.doctor('--fix', '--session', MAIN)).json, { mended: NONE, failed: NONE });
    t.equal(it.state.sessions()[MAIN]?.authProfileOverride, 'personal:own');
    t.match((await it.run(['doctor', '--session', 'agent:main:nowhere'])).stderr, /SESSION_NOT_FOUND/);
  },
);

t.test('another login in the slot comes home, and the one that was chosen is put in again', async (t) => {
  const it = await bench(t);
  edit(it.state, profileOf(bob, '2026.5.7'));
  const fixed = await it.doctor('--fix');
  t.match(fixed, { code: 0, json: { mended: [{ code: 'SLOT_DISAGREES', undo: 'codex-router undo' }] } });
  t.equal(it.state.slot()?.access, alice.access);
  t.equal(await agreesNow(it), true);
  t.equal((await it.run(['undo'])).code, 0);
  t.equal(it.state.slot()?.access, bob.access);
});

t.test(
  'a damaged entry whose login is stored is put in again; what is not proved to be stored is left',
  async (t) => {
    const it = await bench(t);
    const whole = profileOf(alice, '2026.5.7');
    for (const entry of [
      { ...whole, access: alice.access.slice(0, 40) },
      { ...whole, refresh: '' },
    ]) {
      edit(it.state, entry);
      t.match(await it.doctor('--fix'), { code: 0, json: { mended: [{ part: 'slot', undo: null }] } });
      t.equal(it.state.slot()?.refresh, alice.refresh);
      t.equal(it.state.slot()?.access, alice.access);
    }
    const rotated = { ...whole, access: alice.access.slice(0, 40), refresh: 'rt_CANARY_rotated-by-the-host' };
    edit(it.state, rotated);
    const left = await it.doctor('--fix');
    t.match(left.json, { mended: NONE });
    t.match(it.state.slot(), rotated, 'the only copy of a rotated login is never written over');
    edit(it.state, { type: 'api_key', provider: PROVIDER, key: 'sk-CANARY' });
    t.match((await it.doctor('--fix')).json.mended, NONE);
    t.match(it.state.slot(), { type: 'api_key' });
    edit(it.state, undefined);
    t.match((await it.doctor('--fix')).json, { mended: [{ part: 'slot' }] });
    t.equal(it.state.slot()?.refresh, alice.refresh);
  },
);

t.test('a name in openclaw.json that lies is taken out, and put back byte for byte', async (t) => {
  const profiles = { [SLOT]: { provider: PROVIDER, mode: 'oauth', email: 'old@example.test' } };
  const it = await bench(t, { config: { auth: { profiles } } });
  const before = readFileSync(it.state.configPath, 'utf8');
  const mode = statSync(it.state.configPath).mode & 0o777;
  t.match(await it.doctor('--fix'), { json: { mended: [{ code: 'LABEL_DISAGREES' }], failed: NONE } });
  t.notMatch(readFileSync(it.state.configPath, 'utf8'), /old@example/);
  t.equal(await agreesNow(it), true);
  t.equal((await it.run(['doctor', '--undo'])).code, 0);
  t.equal(readFileSync(it.state.configPath, 'utf8'), before);
  t.equal(statSync(it.state.configPath).mode & 0o777, mode);
});

t.test(
  'an agent without a login of its own: its store that chooses over the slot leads to it again',
  async (t) => {
    const sessions = { 'agent:ops:main': {} };
    const it = await bench(t, { others: { [CAROL]: carol }, agents: [{ id: 'ops', slot: null, sessions }] });
    const { state: file } = it.state.paths('ops');
    writeJson(file, { version: 1, order: { [PROVIDER]: [CAROL] }, lastGood: { [PROVIDER]: CAROL } });
    const fixed = await it.doctor('--fix', '--agent', 'ops');
    t.match(fixed, { code: 0, json: { mended: [{ part: 'order' }], failed: NONE, findings: NONE } });
    t.equal(it.state.slot('ops'), undefined, 'it is given no login');
    t.strictSame(it.state.selection('ops').order, { [PROVIDER]: [SLOT] });
    t.equal((await it.run(['doctor', '--undo'])).code, 0);
    t.strictSame(it.state.selection('ops').order, { [PROVIDER]: [CAROL] });
  },
);

t.test('several things at once: the ones that others rest on first, each said, none left', async (t) => {
  const it = await bench(t, { others: { [CAROL]: carol } });
  edit(it.state, profileOf(bob, '2026.5.7'));
  select(it.state, { order: { [PROVIDER]: [CAROL] } });
  pin(it.state, MAIN, CAROL);
  chmodSync(path.join(it.box.routerHome, 'index.json'), 0o644);
  const { code, stdout, stderr } = await it.run(['doctor', '--fix', '--session', MAIN]);
  t.equal(code, 0);
  t.match(stderr, /^mending: .+ \.\.\.$/m);
  t.match(stdout, /^mended .+\n(.|\n)*nothing is wrong any more/);
  const again = await it.doctor();
  t.match(again, { code: 0, json: { findings: NONE } });
  t.equal(await agreesNow(it), true);
});

t.test('a mend that fails is told with its code, the rest goes on, and its status is the exit', async (t) => {
  const it = await bench(t, { others: { [CAROL]: carol } });
  select(it.state, { order: { [PROVIDER]: [CAROL] } });
  chmodSync(path.join(it.box.routerHome, 'index.json'), 0o644);
  // Another vault's name in the host: nothing may be written there.
  const owner = readdirSync(it.state.dir).find((name) => /codex-router/.test(name)) ?? '';
  const file = path.join(it.state.dir, owner);
  const text = readFileSync(file, 'utf8');
  const { vaultId } = JSON.parse(text);
  const other = text.replace(vaultId, '00000000-0000-4000-8000-000000000000');
  writeFileSync(file, other);
  const before = it.files();
  const fixed = await it.doctor('--fix');
  t.equal(fixed.code, 6);
  t.match(fixed.json.failed, [{ part: 'order', error: 'HOST_OWNED' }]);
  t.match(fixed.json.mended, [{ part: 'permissions' }]);
  t.strictSame(it.files(), before);
});

t.test('what could not be looked at is said, and never that nothing is wrong', async (t) => {
  const { box, state, doctor } = await bench(t);
  writeFileSync(state.paths().sessions, 'x');
  t.match((await doctor()).json.findings, [
    { code: 'NOT_LOOKED_AT', part: 'pin', text: /sessions of agent main/ },
  ]);
  const journal = path.join(box.routerHome, 'journal.jsonl');
  rmSync(journal);
  mkdirSync(journal);
  const { code, json } = await doctor();
  t.match(
    json.findings.find(({ part }) => part === 'custody'),
    { code: 'NOT_LOOKED_AT', text: /were not looked at: .*journal/ },
  );
  t.not(code, 0);
});

t.test('an agent may look, and mends nothing', async (t) => {
  const it = await bench(t);
  const env = { OPENCLAW_SHELL: 'exec' };
  t.equal((await it.run(['doctor'], { env })).code, 0);
  for (const args of [['--fix'], ['--undo']]) {
    t.match((await it.run(['doctor', ...args], { env })).stderr, /AGENT_REFUSED/);
  }
});
