import { appendFileSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { type Issuer, startIssuer } from '../kit/issuer.js';
import { leaksOf, type RouterOptions, router, type Sandbox, sandbox } from '../kit/router.js';
import { makeState, type OpenClawState, readJson, SLOT, writeJson } from '../kit/state.js';
import { codexAuthJson, DAY, type Login, type LoginOptions, type Person, people } from '../kit/tokens.js';

interface Bench {
  readonly box: Sandbox;
  readonly state: OpenClawState;
  readonly issuer: Issuer;
  run(args: readonly string[], options?: RouterOptions): ReturnType<typeof router>;
  /** A login handed out by the issuer, stored under `alias`. */
  add(alias: string, person: Person, options?: Partial<LoginOptions>): Promise<Login>;
  /** The refresh token in the slot. */
  inSlot(): string | undefined;
  /** OpenClaw refreshes what is in the slot. */
  hostRefreshes(): Promise<void>;
}

async function bench(t: Test): Promise<Bench> {
  const box = sandbox(t);
  const issuer = await startIssuer(t);
  const state = makeState(box.stateDir, { release: '2026.5.7', slot: null });
  const env = { CODEX_ROUTER_KEY: 'file', CODEX_ROUTER_TEST_ISSUER: issuer.url };
  const store = () =>
    readJson(state.paths().profiles) as { profiles: Record<string, { refresh: string; access: string }> };
  const self: Bench = {
    box,
    state,
    issuer,
    run: (args, options = {}) => router(box, args, { ...options, env: { ...env, ...options.env } }),
    async add(alias, person, options = {}) {
      const login = issuer.mint(person, options);
      const run = await self.run(['import', '--from', '-', '--alias', alias], {
        input: codexAuthJson(login),
      });
      if (run.code !== 0) throw new Error(run.stderr);
      return login;
    },
    inSlot: () => store().profiles[SLOT]?.refresh,
    async hostRefreshes() {
      const all = store();
      const answer = await issuer.refresh(self.inSlot() ?? '');
      if (!answer.ok) throw new Error(answer.error);
      all.profiles[SLOT] = { ...all.profiles[SLOT], refresh: answer.refresh, access: answer.access };
      writeJson(state.paths().profiles, all);
    },
  };
  t.teardown(() => {
    const leaks = leaksOf(box);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
    if (issuer.reuses().length > 0) throw new Error('a token was spent twice');
  });
  return self;
}

t.test(
  'a parked identity is refreshed, the one in the slot is left to OpenClaw, and use puts the new token in',
  async (t) => {
    const { run, add, issuer, inSlot } = await bench(t);
    const alice = await add('a', people.alice);
    await add('b', people.bob);
    await run(['use', 'b']);
    const all = await run(['refresh', '--all', '--json']);
    t.equal(all.code, 0, all.stderr);
    t.match(all.json.refreshed, [
      { identity: { alias: 'a' }, result: 'refreshed' },
      { identity: { alias: 'b' }, result: 'held' },
    ]);
    t.equal(issuer.of('refresh').length, 1);
    t.notOk(issuer.isLive(alice.refresh));
    await run(['use', 'a']);
    t.ok(issuer.isLive(inSlot() ?? ''), 'what OpenClaw gets is the token of the refresh');
    const held = await run(['refresh', 'a', '--json']);
    t.match(held, { code: 6, json: { error: { code: 'IDENTITY_IN_USE' } } });
  },
);

t.test('only what is due is refreshed unless more is asked for', async (t) => {
  const { run, add, issuer } = await bench(t);
  await add('soon', people.alice, { expiresAt: Date.now() + DAY / 2 });
  await add('late', people.bob);
  const due = await run(['refresh', '--json']);
  t.match(due.json, { refreshed: [{ identity: { alias: 'soon' } }], notDue: [{ alias: 'late' }] });
  t.equal(issuer.of('refresh').length, 1);
  t.equal((await run(['refresh', '--all', '--due'])).code, 2);
});

t.test(
  'a login that the server has ended is said, kept, used while its access token lives, and not asked for again',
  async (t) => {
    const { run, add, issuer } = await bench(t);
    await add('a', people.alice);
    issuer.behaviour.refreshAnswer = { status: 401, body: { error: { code: 'refresh_token_expired' } } };
    t.match(await run(['refresh', 'a', '--json']), { code: 4, json: { error: { code: 'LOGIN_NEEDED' } } });
    issuer.behaviour.refreshAnswer = null;
    t.match(await run(['refresh', '--all', '--json']), {
      code: 4,
      json: { refreshed: [{ result: 'login-needed' }] },
    });
    t.equal(issuer.of('refresh').length, 1);
    t.match((await run(['list', '--json'])).json.identities, [{ doubt: 'login-needed' }]);
    t.equal((await run(['use', 'a'])).code, 0);
  },
);

t.test('a server that is busy or away costs nothing', async (t) => {
  const { run, add, issuer } = await bench(t);
  const alice = await add('a', people.alice);
  issuer.behaviour.refreshAnswer = { status: 429, body: {} };
  t.match(await run(['refresh', 'a', '--json']), { code: 5, json: { error: { code: 'REFRESH_FAILED' } } });
  const away = { env: { CODEX_ROUTER_TEST_ISSUER: 'http://127.0.0.1:9' } };
  t.match(await run(['refresh', 'a', '--json'], away), {
    code: 5,
    json: { error: { code: 'REFRESH_FAILED' } },
  });
  t.ok(issuer.isLive(alice.refresh));
  t.match((await run(['list', '--json'])).json.identities, [{ doubt: null }]);
});

t.test('rotated tokens come home with sync', async (t) => {
  const { run, add, hostRefreshes, inSlot } = await bench(t);
  await add('a', people.alice);
  await add('b', people.bob);
  await run(['use', 'a']);
  await hostRefreshes();
  const rotated = inSlot();
  const sync = await run(['sync', '--json']);
  t.match(sync.json.slots, [{ checkedIn: [{ result: 'taken-home' }] }]);
  t.match((await run(['sync', '--json'])).json.slots, [{ checkedIn: [{ result: 'unchanged' }] }]);
  await run(['use', 'b']);
  await run(['use', 'a']);
  t.equal(inSlot(), rotated);
});

t.test(
  'undo takes the last switches back one by one, history shows them, and no token is spent twice',
  async (t) => {
    const { run, add, hostRefreshes, inSlot, issuer } = await bench(t);
    await add('a', people.alice);
    await add('b', people.bob);
    await run(['use', 'a']);
    await run(['use', 'b']);
    await hostRefreshes();
    t.match((await run(['undo', '--dry-run', '--json'])).json, { result: 'planned', to: { alias: 'a' } });
    t.match((await run(['undo', '--json'])).json, {
      result: 'undone',
      from: { alias: 'b' },
      to: { alias: 'a' },
    });
    t.match((await run(['undo', '--json'])).json, { result: 'undone', from: { alias: 'a' }, to: null });
    t.equal(inSlot(), undefined);
    t.match(await run(['undo', '--json']), { code: 3, json: { error: { code: 'NOTHING_TO_UNDO' } } });
    const { switches } = (await run(['history', '--json'])).json;
    t.match(
      switches.map((one: { undone: boolean; undoes: string | null }) => [one.undone, one.undoes !== null]),
      [
        [false, true],
        [false, true],
        [true, false],
        [true, false],
      ],
    );
    t.match((await run(['history'])).stdout, /-> b \(.*\(undone\)/);
    await run(['use', 'b']);
    t.ok(issuer.isLive(inSlot() ?? ''));
  },
);

t.test('a torn or damaged journal stops nothing, and history says so', async (t) => {
  const { run, add, box } = await bench(t);
  await add('a', people.alice);
  await add('b', people.bob);
  await run(['use', 'a']);
  const journal = path.join(box.routerHome, 'journal.jsonl');
  const text = readFileSync(journal, 'utf8');
  writeFileSync(journal, `garbage\n${text.slice(0, -7)}`);
  t.equal((await run(['use', 'b'])).code, 0);
  const history = await run(['history', '--json']);
  t.equal(history.json.damagedLines > 0, true);
  t.match(history.json.switches[0], { to: { alias: 'b' }, step: 'done' });
  appendFileSync(
    journal,
    '{"v":1,"id":"x","at":1,"slot":"s","from":null,"to":null,"step":"begun","pins":7}\n',
  );
  t.equal((await run(['use', 'a'])).code, 0);
  t.equal(statSync(journal).mode & 0o777, 0o600);
  rmSync(journal);
  t.equal((await run(['history'])).stdout, 'nothing has been switched yet\n');
  t.match(await run(['undo', '--json']), { code: 3, json: { error: { code: 'NOTHING_TO_UNDO' } } });
});

t.test(
  'an interrupted refresh is asked again by the next use, and the token it stored is what goes in',
  async (t) => {
    const { run, add, issuer, inSlot, box } = await bench(t);
    issuer.behaviour.graceMs = 60_000;
    const alice = await add('a', people.alice);
    // What a kill between the answer and its commit leaves: the mark, and a token that the server has spent.
    const index = path.join(box.routerHome, 'index.json');
    const marked = readJson(index) as { identities: { doubt: string | null }[] };
    for (const entry of marked.identities) entry.doubt = 'refresh-sent';
    writeJson(index, marked);
    await issuer.refresh(alice.refresh);
    const use = await run(['use', 'a', '--json']);
    t.equal(use.code, 0, use.stderr);
    t.match(use.json.notes, [{ code: 'REFRESHED' }]);
    t.not(inSlot(), alice.refresh);
    t.ok(issuer.isLive(inSlot() ?? ''));
  },
);

t.test(
  'another person in the answer is refused in words that help, and nothing is stored over the old one',
  async (t) => {
    const { run, add, issuer } = await bench(t);
    await add('a', people.alice);
    issuer.behaviour.refreshAs = people.bob;
    t.match(await run(['refresh', 'a', '--json']), {
      code: 6,
      json: { error: { code: 'IDENTITY_MISMATCH' } },
    });
    t.match((await run(['list', '--json'])).json.identities, [{ alias: 'a', email: people.alice.email }]);
    t.match((await run(['restore', '--json'])).json.backUps, [{ identity: { email: people.bob.email } }]);
  },
);

t.test('looking never refreshes', async (t) => {
  const { run, add, issuer } = await bench(t);
  await add('a', people.alice, { expiresAt: Date.now() - DAY });
  for (const args of [
    ['list'],
    ['status'],
    ['history'],
    ['doctor'],
    ['restore'],
    ['use', 'a', '--dry-run'],
    ['host'],
  ]) {
    await run(args);
  }
  t.equal(issuer.of('refresh').length, 0);
});
