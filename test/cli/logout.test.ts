import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { type Issuer, startIssuer } from '../kit/issuer.js';
import { leaksOf, type RouterOptions, router, type Sandbox, sandbox } from '../kit/router.js';
import { makeState, readJson, SLOT, writeJson } from '../kit/state.js';
import { codexAuthJson, type Login, type LoginOptions, type Person, people } from '../kit/tokens.js';

interface Bench {
  readonly box: Sandbox;
  readonly issuer: Issuer;
  run(args: readonly string[], options?: RouterOptions): ReturnType<typeof router>;
  add(alias: string, person: Person, options?: Partial<LoginOptions>): Promise<Login>;
  inSlot(): string | undefined;
  /** OpenClaw refreshes what is in the slot; the new refresh token. */
  hostRefreshes(): Promise<string>;
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
      return answer.refresh;
    },
  };
  t.teardown(() => {
    const leaks = leaksOf(box);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
    if (issuer.reuses().length > 0) throw new Error('a token was spent twice');
  });
  return self;
}

async function doubts({ run }: Bench): Promise<readonly (string | null)[]> {
  return (await run(['list', '--json'])).json.identities.map(({ doubt }: { doubt: string | null }) => doubt);
}

t.test('logout revokes at the issuer, then forgets; remove only forgets, and each says so', async (t) => {
  const { run, add, issuer } = await bench(t);
  const alice = await add('a', people.alice);
  const bob = await add('b', people.bob);
  t.match(await run(['logout', 'a', '--json']), { code: 2, json: { error: { code: 'CHOICE_NEEDED' } } });
  const plan = await run(['logout', 'a', '--dry-run', '--json']);
  t.match(plan.json, { result: 'planned', revoked: false, identity: { alias: 'a' }, sealed: 0 });
  t.equal(issuer.of('revoke').length, 0, 'neither a question nor a dry run sends anything');
  t.ok(issuer.isLive(alice.refresh));

  const done = await run(['logout', 'a', '--yes', '--json']);
  t.equal(done.code, 0, done.stderr);
  t.match(done.json, { result: 'logged-out', revoked: true, clearedSlots: [] });
  t.notOk(issuer.isLive(alice.refresh));
  t.match(issuer.of('revoke'), [{ method: 'POST', form: 'json', status: 200 }]);
  t.match((await run(['list', '--json'])).json.identities, [{ alias: 'b' }]);

  const removed = await run(['remove', 'b', '--yes']);
  t.match(removed.stdout, /forgotten here, and not revoked/);
  t.ok(issuer.isLive(bob.refresh));
  t.match(
    (await run(['logout', '--help'])).stdout,
    /revoke a login at the issuer, then forget it; remove only forgets/,
  );
  t.match(
    (await run(['remove', '--help'])).stdout.replace(/\s+/g, ' '),
    /nothing is revoked at the issuer, which is what logout does/,
  );
  t.match(await run(['logout', 'a', '--yes', '--json']), { code: 3 });
});

t.test(
  'the one in the slot is checked in and cleared first, and its newest grant is the one that is revoked',
  async (t) => {
    const { run, add, issuer, hostRefreshes, inSlot } = await bench(t);
    await add('a', people.alice);
    await run(['use', 'a']);
    const newest = await hostRefreshes();
    t.match(await run(['logout', 'a', '--yes', '--json']), {
      code: 6,
      json: { error: { code: 'IDENTITY_IN_USE', hint: /--from-slot/ } },
    });
    t.ok(issuer.isLive(newest));
    const done = await run(['logout', 'a', '--yes', '--from-slot', '--json']);
    t.equal(done.code, 0, done.stderr);
    t.match(done.json, { result: 'logged-out', clearedSlots: [{ profileId: SLOT }] });
    t.notOk(issuer.isLive(newest));
    t.equal(inSlot(), undefined);
    t.strictSame((await run(['list', '--json'])).json.identities, []);
  },
);

t.test(
  'an issuer that cannot be reached, or does not do it, keeps the login stored and as good as it was',
  async (t) => {
    const self = await bench(t);
    const { run, add, issuer } = self;
    const alice = await add('a', people.alice);
    const away = { env: { CODEX_ROUTER_TEST_ISSUER: 'http://127.0.0.1:9' } };
    const hint = /codex-router logout a tries again; codex-router remove a forgets/;
    t.match(await run(['logout', 'a', '--yes', '--json'], away), {
      code: 5,
      json: {
        error: {
          code: 'REVOKE_FAILED',
          message: /not revoked: 127\.0\.0\.1:9 takes no connections; it is still stored/,
          hint,
        },
      },
    });
    t.strictSame(await doubts(self), [null], 'what was never sent leaves no doubt');
    issuer.behaviour.revokeAnswer = { status: 503, body: {} };
    t.match(await run(['logout', 'a', '--yes', '--json']), {
      code: 5,
      json: { error: { code: 'REVOKE_FAILED', message: /is not revoked: the issuer answered 503/ } },
    });
    t.strictSame(await doubts(self), [null]);
    issuer.behaviour.revokeAnswer = null;
    t.ok(issuer.isLive(alice.refresh));
    t.equal((await run(['refresh', 'a'])).code, 0);
  },
);

t.test(
  'no answer is said as what it is; the login is not used until a logout or a refresh has told',
  async (t) => {
    const self = await bench(t);
    const { run, add, issuer } = self;
    await add('a', people.alice);
    await add('b', people.bob);
    issuer.behaviour.revokeAnswer = { status: 500, body: {} };
    t.match(await run(['logout', 'a', '--yes', '--json']), {
      code: 5,
      json: { error: { code: 'REVOKE_FAILED', message: /whether the login of a is revoked is not known/ } },
    });
    t.equal(issuer.of('revoke').length, 2, 'asked twice, which does no harm');
    t.strictSame(await doubts(self), ['revoke-sent', null]);
    t.match(await run(['use', 'a', '--json']), {
      code: 6,
      json: { error: { code: 'LOGIN_DOUBTFUL', hint: /codex-router logout .* ends it/ } },
    });
    t.match((await run(['refresh', '--all', '--json'])).json.refreshed, [
      { identity: { alias: 'a' }, result: 'doubtful' },
      { identity: { alias: 'b' }, result: 'refreshed' },
    ]);
    t.match((await run(['doctor', '--json'])).json.findings, [{ remedy: 'codex-router logout a' }]);
    issuer.behaviour.revokeAnswer = null;
    t.equal((await run(['refresh', 'a'])).code, 0, 'by name it is tried, and was alive');
    t.strictSame(await doubts(self), [null, null]);
    t.equal((await run(['logout', 'a', '--yes'])).code, 0);
  },
);

t.test(
  'a crash between the revocation and the forgetting leaves no login that looks healthy; again finishes it',
  async (t) => {
    const self = await bench(t);
    const { run, add, issuer } = self;
    const alice = await add('a', people.alice);
    let kill: ((signal: NodeJS.Signals) => void) | null = null;
    issuer.behaviour.onRevoke = () => kill?.('SIGKILL');
    await run(['logout', 'a', '--yes', '--json'], {
      onStart: (end) => {
        kill = end;
      },
    });
    kill = null;
    t.notOk(issuer.isLive(alice.refresh), 'it was revoked');
    t.strictSame(await doubts(self), ['revoke-sent']);
    t.match(await run(['use', 'a', '--json']), { code: 6 });
    const again = await run(['logout', 'a', '--yes', '--json']);
    t.equal(again.code, 0, again.stderr);
    t.strictSame(await doubts(self), []);
  },
);

t.test('who else has the login is not signed out by surprise', async (t) => {
  const { run, issuer, box } = await bench(t);
  const login = issuer.mint(people.alice);
  writeJson(path.join(box.codexHome, 'auth.json'), JSON.parse(codexAuthJson(login)));
  await run(['import', '--keep', '--alias', 'a']);
  t.match(await run(['logout', 'a', '--yes', '--json']), {
    code: 6,
    json: { error: { code: 'IDENTITY_IN_USE', hint: /import --take/ } },
  });
  t.ok(issuer.isLive(login.refresh));
  t.match(readFileSync(path.join(box.codexHome, 'auth.json'), 'utf8'), login.refresh);
});

t.test(
  'other logins of the identity in sealed back-ups are forgotten with it, so they are revoked too',
  async (t) => {
    const { run, add, issuer } = await bench(t);
    const old = await add('a', people.alice, { issuedAt: Date.now() - 60_000 });
    const current = await add('a', people.alice);
    t.match(
      (await run(['logout', 'a', '--dry-run'])).stdout,
      /1 other login\(s\) of it, sealed here, are revoked/,
    );
    const done = await run(['logout', 'a', '--yes', '--json']);
    t.match(done.json, { sealed: 1, revoked: true });
    t.notOk(issuer.isLive(old.refresh));
    t.notOk(issuer.isLive(current.refresh));
    t.strictSame((await run(['restore', '--json'])).json.backUps, []);
  },
);

t.test('a damaged record is told before anything is said to be revoked, and ways on are named', async (t) => {
  const { run, add, issuer, box } = await bench(t);
  await add('a', people.alice);
  const records = path.join(box.routerHome, 'records');
  for (const name of readdirSync(records)) writeFileSync(path.join(records, name), 'torn');
  const end = await run(['logout', 'a', '--yes']);
  t.match(end.stderr, /codex-router remove a forgets it/);
  t.notMatch(end.stderr, /revoking the login/);
  t.equal(issuer.of('revoke').length, 0);
});

t.test('a store that cannot be read keeps even a parked login, and says which and what to do', async (t) => {
  const { run, add, issuer, box } = await bench(t);
  const alice = await add('a', people.alice);
  const { profiles } = makeState(box.stateDir, { release: '2026.5.7', slot: null }).paths();
  writeFileSync(profiles, '{ torn');
  for (const command of ['logout', 'remove']) {
    t.match(await run([command, 'a', '--yes', '--json']), {
      json: {
        error: {
          code: 'SLOT_UNREADABLE',
          message: /auth-profiles\.json/,
          hint: /agent main holds this login cannot be told: .*openclaw doctor, codex-router status.*run the command again/,
        },
      },
    });
  }
  t.ok(issuer.isLive(alice.refresh));
});
