import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { leaksOf, type RouterOptions, router, type Sandbox, sandbox, withoutEscapes } from '../kit/router.js';
import { makeState, type OpenClawState, PIN, readJson, writeJson } from '../kit/state.js';
import { codexAuthJson, DAY, type Login, loginOf, makeLogin, type Person, people } from '../kit/tokens.js';
import { startUsageBackend, type UsageBackend, usageOf, windowOf } from '../kit/usage-backend.js';
import { morningZone } from '../kit/zone.js';

interface Bench {
  readonly box: Sandbox;
  readonly state: OpenClawState;
  readonly backend: UsageBackend;
  run(args: readonly string[], options?: RouterOptions): ReturnType<typeof router>;
  store(alias: string, login: Login): Promise<Login>;
  /** What `usage --json` says of each, by alias. */
  states(args: readonly string[], options?: RouterOptions): Promise<Record<string, unknown>>;
  readonly file: string;
}

async function bench(t: Test, inSlot: Login | null = null): Promise<Bench> {
  const box = sandbox(t);
  const backend = await startUsageBackend(t);
  const state = makeState(box.stateDir, { release: '2026.5.7', slot: inSlot });
  const env = { CODEX_ROUTER_KEY: 'file', CODEX_ROUTER_TEST_ISSUER: backend.url, TZ: morningZone() };
  const self: Bench = {
    box,
    state,
    backend,
    file: path.join(box.routerHome, 'usage.json'),
    run: (args, options = {}) => router(box, args, { ...options, env: { ...env, ...options.env } }),
    async store(alias, login) {
      const { stderr, code } = await self.run(['import', '--from', '-', '--alias', alias], {
        input: codexAuthJson(login),
      });
      if (code !== 0) throw new Error(stderr);
      return login;
    },
    async states(args, options) {
      const { json } = await self.run(['usage', ...args, '--json'], options);
      const rows: { identity: { alias: string; accountId: string }; state: string }[] = json.usage;
      return Object.fromEntries(rows.map((row) => [row.identity.alias ?? row.identity.accountId, row.state]));
    },
  };
  t.teardown(() => {
    const leaks = leaksOf(box);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
  });
  return self;
}

const keyOf = ({ accountId, userId }: Person) => `${accountId}/${userId}`;

t.test(
  'without a selector it asks for who is in the slot, with the slot’s own token, and says so',
  async (t) => {
    const inSlot = loginOf('alice-team');
    const { run, store, backend, state, file } = await bench(t, inSlot);
    // Another login of that very identity is stored: the host is the holder, so its token is the one that counts.
    await store('work', loginOf('alice-team', { expiresAt: Date.now() - DAY }));
    const before = readFileSync(state.paths().profiles);
    const { code, json } = await run(['usage', '--json']);
    t.equal(code, 0);
    t.match(json, {
      meant: 'slot',
      session: { key: 'agent:main:main', agent: 'main', why: 'the most recently active chat' },
      usage: [
        {
          identity: { alias: 'work', accountId: inSlot.accountId, userId: inSlot.userId },
          stored: true,
          heldBy: 'slot',
          agent: 'main',
          state: 'answered',
          limits: {
            plan: 'team',
            allowed: true,
            reached: false,
            windows: [
              { name: null, label: '5 h', seconds: 18_000, usedPercent: 38, leftPercent: 62 },
              { name: null, label: 'week', leftPercent: 88 },
            ],
            credits: null,
          },
        },
      ],
    });
    t.strictSame(backend.questions, [
      {
        method: 'GET',
        path: '/backend-api/wham/usage',
        bearer: keyOf(inSlot),
        accountHeader: inSlot.accountId,
      },
    ]);
    t.ok(readFileSync(state.paths().profiles).equals(before), 'nothing was changed');
    t.equal(statSync(file).mode & 0o777, 0o600);
    t.notMatch(readFileSync(file, 'utf8'), /example\.test/, 'no e-mail is kept');

    const { stdout, stderr } = await run(['usage']);
    t.match(stdout, /^work \(alice@example\.test, team, account b2222222\) {2}in OpenClaw, agent main$/m);
    t.match(stdout, /^ {2}5 h {3} 62 % left {2}resets .*, in 2 h 10 min$/m);
    t.match(stdout, /^ {2}week {2} 88 % left {2}resets \w{3} \d+ \w{3}.*, in 4 d$/m);
    t.match(
      stderr,
      /nobody was named, so this is who is in the slot of agent main, the agent of agent:main:main/,
    );
  },
);

t.test(
  'each is asked with its own token and workspace, and what goes wrong with one stays with it',
  async (t) => {
    const { run, store, backend } = await bench(t, loginOf('bob'));
    const team = await store('team', loginOf('alice-team'));
    await store('mate', loginOf('bob-team'));
    await store('home', loginOf('alice'));
    await store('old', loginOf('carol', { expiresAt: Date.now() - 1000 }));
    const crowd = ['gone', 'barred', 'broken', 'odd', 'other', 'slow'].map((name) => ({
      name,
      ...people.alice,
      accountId: `acc-${name}`,
      userId: `user-${name}`,
    }));
    for (const { name, ...person } of crowd) await store(name, makeLogin(person));
    const person = (name: string): Person => crowd.find((one) => one.name === name) ?? people.alice;
    backend.answer(person('gone'), { status: 401, body: { error: { code: 'token_invalidated' } } });
    backend.answer(person('barred'), {
      status: 403,
      body: { detail: { code: 'x' }, code: 'invalid_workspace_selected' },
    });
    backend.answer(person('broken'), { status: 503, body: '<html>CANARY-not-shown</html>' });
    backend.answer(person('odd'), { body: '[1, 2]' });
    backend.answer(person('other'), { body: usageOf(people.carol) });
    backend.answer(person('slow'), 'hang');
    backend.answer(people.alice, 'reset');

    const { json, code } = await run(['usage', '--all', '--timeout', '2', '--json']);
    t.equal(code, 6, 'the worst of them: an answer about somebody else');
    const rows: Record<string, { state: string; why: string; remedy: string | null }> = Object.fromEntries(
      json.usage.map((row: { identity: { alias: string | null } }) => [
        row.identity.alias ?? 'in the slot',
        row,
      ]),
    );
    t.match(rows, {
      team: { state: 'answered', heldBy: 'store', agent: null },
      mate: { state: 'answered' },
      home: { state: 'unreachable' },
      old: {
        state: 'expired',
        why: 'its access token has expired; it is renewed when it is next used',
        remedy: 'codex-router refresh old',
      },
      gone: {
        state: 'rejected',
        why: 'ChatGPT answered 401 token_invalidated',
        remedy: 'codex-router refresh gone',
      },
      barred: { state: 'forbidden', why: 'ChatGPT answered 403 invalid_workspace_selected', remedy: null },
      broken: { state: 'failed', why: 'ChatGPT answered 503' },
      odd: { state: 'failed', why: 'ChatGPT answered 200 with nothing that tells of limits' },
      other: {
        state: 'mismatch',
        limits: null,
        answeredFor: { accountId: people.carol.accountId, userId: people.carol.userId },
      },
      slow: { state: 'timeout', why: 'ChatGPT did not answer within 2 s' },
      'in the slot': { state: 'answered', heldBy: 'slot', stored: false },
    });
    t.strictSame(
      json.sharing.map((one: { accountId: string; identities: { alias: string }[] }) => [
        one.accountId,
        one.identities.map(({ alias }) => alias),
      ]),
      [[team.accountId, ['team', 'mate']]],
    );
    for (const { bearer, accountHeader } of backend.questions) {
      t.equal(bearer.split('/')[0], accountHeader, 'the token and the header are of one identity');
    }
    t.equal(
      new Set(backend.questions.map(({ bearer }) => bearer)).size,
      backend.questions.length,
      'once each',
    );
    t.notOk(
      backend.questions.some(({ bearer }) => bearer === keyOf(people.carol)),
      'an expired token is not sent',
    );

    t.match(await run(['usage', 'gone', '--json']), { code: 4 });
    t.match(await run(['usage', 'broken', 'team', '--json']), { code: 5 });
    t.match(await run(['usage', 'old', '--json']), { code: 0 });
    t.match(await run(['usage', 'nobody', '--json']), {
      code: 3,
      json: { error: { code: 'IDENTITY_NOT_FOUND' } },
    });
    t.match(await run(['usage', 'team', '--all', '--json']), { code: 2 });
    t.match(await run(['usage', '--timeout', 'soon', '--json']), { code: 2 });
  },
);

t.test(
  'the last known answers are shown with their age, from a file without a secret, and nobody is asked',
  async (t) => {
    const { run, store, states, backend, file, box } = await bench(t);
    await store('work', loginOf('alice-team'));
    await store('home', loginOf('alice'));
    t.strictSame(await states(['--all', '--offline']), { work: 'offline', home: 'offline' });
    t.match((await run(['usage', 'work', '--offline'])).stdout, /nothing is known yet/);
    t.strictSame(await states(['work']), { work: 'answered' });
    const asked = backend.questions.length;
    // Three hours ago, when the 5 h still had two of them to go.
    const known = readJson(file) as { usage: Record<string, { at: number }> };
    for (const one of Object.values(known.usage)) one.at -= 3 * 3_600_000;
    writeJson(file, known);
    // Without its key the vault cannot be opened, and need not be.
    rmSync(path.join(box.root, 'xdg', 'config', 'codex-router'), { recursive: true });
    const { json } = await run(['usage', '--all', '--offline', '--json']);
    t.match(json.usage, [
      {
        state: 'offline',
        at: Object.values(known.usage)[0]?.at,
        limits: { windows: [{ leftPercent: 62 }, {}] },
      },
      { state: 'offline', at: null, limits: null },
    ]);
    t.match(
      (await run(['usage', 'work', '--offline'])).stdout,
      /^ {2}last known, 3 h ago:\n {2}5 h {3} 62 % left/m,
    );
    t.equal(backend.questions.length, asked, 'nobody was asked');

    writeFileSync(file, '{"version": 1, "usage": [');
    const broken = await run(['usage', 'work', '--offline', '--json']);
    t.match(broken.json, { usage: [{ at: null }], notes: [{ code: 'USAGE_FILE_UNREADABLE' }] });
  },
);

t.test(
  'a question that fails shows what was known before; what belongs to somebody else is never taken',
  async (t) => {
    const { run, store, backend, file } = await bench(t);
    const work = await store('work', loginOf('alice-team'));
    const home = await store('home', loginOf('alice'));
    // For a personal account the backend gives the user's id as the account's.
    backend.answer(home, { body: usageOf({ accountId: home.userId, userId: home.userId }) });
    await run(['usage', 'work', 'home']);
    const kept = () => Object.keys((readJson(file) as { usage: object }).usage).sort();
    t.strictSame(kept(), [keyOf(home), keyOf(work)].sort());
    backend.answer(work, { status: 500, body: {} });
    const { json } = await run(['usage', 'work', '--json']);
    t.match(json.usage, [{ state: 'failed', limits: { plan: 'team' } }]);
    t.ok(json.usage[0].at < Date.now());
    for (const other of [people.bob, { ...people.bob, userId: work.userId }, people['bob-team']]) {
      backend.answer(work, { body: usageOf(other) });
      const { json: wrong } = await run(['usage', 'work', '--json']);
      t.match(
        wrong.usage,
        [{ state: 'mismatch', limits: null, at: null }],
        keyOf({ ...people.bob, ...other }),
      );
    }
    await run(['remove', 'work', '--yes']);
    await run(['usage', 'home']);
    t.strictSame(kept(), [keyOf(home)], 'of who is removed nothing is kept');
    const { json: gone } = await run(['uninstall', '--dry-run', '--json']);
    t.match(JSON.stringify(gone), /usage\.json/, 'and uninstall removes the rest');
  },
);

t.test('a vault that cannot be opened stops only whom it holds', async (t) => {
  const { run, store, states, box, backend } = await bench(t);
  await store('work', loginOf('alice-team'));
  await store('home', loginOf('alice'));
  await run(['use', 'work']);
  rmSync(path.join(box.root, 'xdg', 'config', 'codex-router'), { recursive: true });
  t.strictSame(await states([]), { work: 'answered' }, 'the host holds it: no vault is opened');
  t.strictSame(await states(['--all']), { work: 'answered', home: 'no-token' });
  t.match(await run(['usage', 'home', '--json']), { code: 5, json: { error: { code: 'KEY_MISSING' } } });
  t.equal(backend.questions.length, 2);
});

t.test(
  'a lent identity is asked with its own token, one that was handed over with the token Codex has',
  async (t) => {
    const { run, store, states, backend, box } = await bench(t);
    const work = await store('work', loginOf('alice-team'));
    const home = await store('home', loginOf('alice'));
    t.equal((await run(['lend', 'work', '--json'])).code, 0);
    t.strictSame(await states(['work']), { work: 'answered' });
    t.equal((await run(['unlend', 'work', '--json'])).code, 0);
    const handed = await run(['lend', 'home', '--move', '--json']);
    t.equal(handed.code, 0, handed.stdout);
    // Codex has renewed it since.
    const renewed = loginOf('alice', { nonce: 'renewed' });
    writeFileSync(path.join(box.codexHome, 'auth.json'), codexAuthJson(renewed));
    const { json } = await run(['usage', 'home', '--json']);
    t.match(json.usage, [{ state: 'answered', heldBy: 'codex' }]);
    t.strictSame(
      backend.questions.map(({ bearer }) => bearer),
      [keyOf(work), keyOf(home)],
    );
  },
);

t.test('an OpenClaw with several agents: whose slot is meant follows the session', async (t) => {
  const box = sandbox(t);
  makeState(box.stateDir, {
    release: '2026.5.7',
    slot: loginOf('alice'),
    others: { 'openai-codex:carol': loginOf('carol') },
    agents: [{ id: 'research', slot: loginOf('bob') }, { id: 'ops' }],
    sessions: { 'agent:main:main': { ...PIN, authProfileOverride: 'openai-codex:carol' } },
  });
  const backend = await startUsageBackend(t);
  const env = { CODEX_ROUTER_TEST_ISSUER: backend.url };
  const usage = async (more: Record<string, string>, ...args: string[]) =>
    (await router(box, ['usage', '--json', ...args], { env: { ...env, ...more } })).json;
  const who = ({ usage: [row] }: { usage: { identity: { userId: string } }[] }) => row?.identity.userId;
  const pinned = await usage({});
  t.equal(who(pinned), 'user-alice');
  t.match(pinned.notes, [{ code: 'PINNED_ELSEWHERE' }], 'its turns run on another login');
  t.equal(
    who(await usage({}, '--session', 'agent:research:main')),
    'user-bob',
    'a chat without an entry yet',
  );
  t.equal(who(await usage({ CODEX_ROUTER_SESSION_KEY: 'agent:research:main' })), 'user-bob');
  t.equal(who(await usage({}, '--agent', 'ops')), 'user-alice', 'it reads through to main');
  t.equal((await router(box, ['usage', '--all', '--json'], { env })).json.usage.length, 3);
  t.strictSame(leaksOf(box), []);
  t.throws(() => statSync(box.routerHome), 'without a vault nothing is kept');
});

t.test(
  'bars on a terminal: each has its number, in 80 columns, with and without colours and special characters',
  async (t) => {
    const { run, store, backend } = await bench(t);
    const work = await store('work', loginOf('alice-team'));
    const body = usageOf(work, {
      code_review_rate_limit: { allowed: true, primary_window: windowOf(100, 604_800, 345_600) },
      additional_rate_limits: [
        { limit_name: 'A model of a long name', rate_limit: { primary_window: windowOf(1, 3600, 60) } },
      ],
      credits: { has_credits: true, unlimited: false, balance: '12.5' },
    });
    backend.answer(work, { body });
    const shown = async (args: readonly string[] = [], env: Record<string, string> = {}) => {
      const { stdout } = await run(['usage', 'work', ...args], { tty: [], env });
      for (const line of withoutEscapes(stdout).split('\n')) t.ok([...line].length <= 80, line);
      return stdout;
    };
    const bars = /^ {2}5 h {18}█{7}░{5} {3}62 % left {2}resets/m;
    const coloured = await shown();
    t.match(withoutEscapes(coloured), bars);
    t.match(coloured, /\u001b\[32m█/);
    t.match(withoutEscapes(coloured), /^ {2}code review, week {4}░{12} {4}0 % left/m);
    t.match(withoutEscapes(coloured), /^ {2}A model of a …, 1 h {2}█{12} {3}99 % left/m);
    t.match(coloured, /^ {2}credits {2}12\.5$/m);
    const plain = await shown([], { NO_COLOR: '1' });
    t.match(plain, bars);
    t.notMatch(plain, /\u001b\[3/);
    t.match(withoutEscapes(await shown(['--ascii'])), /^ {2}5 h {18}\[######----\] {3}62 % left/m);
    t.match(withoutEscapes(await shown([], { LANG: 'C', LC_ALL: 'C' })), /\[######----\]/);
    t.match(await shown([], { TERM: 'dumb' }), /^ {2}5 h {19,20}62 % left/m);
    t.notMatch((await run(['usage', 'work'])).stdout, /[█░#]/, 'plain text elsewhere');
  },
);

t.test("a clock that is not the server's is told, once and in words", async (t) => {
  const { backend, run, store } = await bench(t);
  await store('work', loginOf('alice'));
  const date = new Date(Date.now() - 2 * 3_600_000).toUTCString();
  backend.answer(loginOf('alice'), { status: 200, body: usageOf(people.alice), headers: { date } });
  const { json } = await run(['usage', 'work', '--json']);
  t.match(json.notes, [{ code: 'CLOCK_SKEW', text: /2 h ahead of the server's/ }]);
  backend.answer(loginOf('alice'), { status: 200, body: usageOf(people.alice) });
  t.strictSame((await run(['usage', 'work', '--json'])).json.notes, []);
});
