import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { findCanary } from '../kit/canary.js';
import { codexCli } from '../kit/codex-cli.js';
import { startIssuer } from '../kit/issuer.js';
import { leaksOf, type RouterOptions, router, sandbox } from '../kit/router.js';
import { makeState, profileOf, readJson, SLOT, writeJson } from '../kit/state.js';
import { codexAuthJson, type LoginOptions, type Person, people } from '../kit/tokens.js';

/** The real Codex CLI, an OpenClaw state, a vault with a key file, and the issuer they all name. */
async function together(t: Test) {
  const issuer = await startIssuer(t);
  const box = sandbox(t);
  box.env.CODEX_ROUTER_KEY = 'file';
  box.env.CODEX_ROUTER_TEST_ISSUER = issuer.url;
  const codex = codexCli(t, box, issuer);
  if (codex === null) return null;
  const state = makeState(box.stateDir, { release: '2026.5.7', slot: null });
  const file = path.join(box.codexHome, 'auth.json');
  const run = async (args: readonly string[], options: RouterOptions = {}) => {
    const done = await router(box, [...args, '--json'], options);
    return { ...done, json: done.json ?? {} };
  };
  const add = async (alias: string, person: Person, options: Partial<LoginOptions> = {}) => {
    const login = issuer.mint(person, options);
    const input = codexAuthJson(login, '0.169', { issuer: issuer.url });
    const done = await run(['import', '--from', '-', '--alias', alias], { input });
    if (done.code !== 0) throw new Error(done.stderr + done.stdout);
    return login;
  };
  const whoIs = async () => (await codex.rpc(['account/read']))[0].account?.email ?? null;
  t.teardown(() => {
    const leaks = leaksOf(box);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
    if (issuer.reuses().length > 0) throw new Error('a token was spent twice');
  });
  return { issuer, box, codex, state, file, run, add, whoIs };
}

t.test('a lent identity works in the real CLI, which can neither refresh nor revoke its login', async (t) => {
  const parts = await together(t);
  if (!parts) return;
  const { issuer, box, codex, file, run, add, whoIs } = parts;
  const alice = await add('a', people.alice);
  const lent = await run(['lend', 'a', '--to', 'codex']);
  t.match(lent, {
    code: 0,
    json: { result: 'lent', what: 'access', until: alice.expires, displaced: null, folder: box.codexHome },
  });
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.notMatch(readFileSync(file, 'utf8'), alice.refresh);
  t.equal(await whoIs(), people.alice.email);
  t.match((await codex.exec('say hi')).stdout, 'for alice@example.test');
  await codex.rpc(['account/read', { refreshToken: true }], ['getAuthStatus', { refreshToken: true }]);
  t.strictSame(codex.auth().tokens.access_token, alice.access, 'a forced refresh changed nothing');

  t.match(await codex.run(['logout']), { code: 0 });
  t.match((await run(['unlend', 'a'])).json, {
    result: 'unlent',
    removed: false,
    notes: [{ code: 'LENT_GONE' }],
  });
  t.equal((await run(['lend', 'a'])).code, 0);
  await codex.rpc(['account/logout']);
  t.equal(codex.auth(), null);
  t.equal((await run(['lend', 'a'])).json.result, 'lent', 'it is lent anew');
  await codex.login(people.bob);
  t.match(issuer.of('revoke'), [], 'neither the logouts nor the login over it revoked anything');
  const bobs = readFileSync(file, 'utf8');
  const unlent = await run(['unlend', 'a']);
  t.match(unlent.json, { result: 'unlent', removed: false, notes: [{ code: 'LENT_REPLACED' }] });
  t.equal(readFileSync(file, 'utf8'), bobs, 'the login of its own is left as it is');
  t.strictSame(issuer.of('refresh'), []);
  t.ok(issuer.isLive(alice.refresh));
  t.equal((await run(['use', 'a'])).code, 0);
});

t.test('where the lent access token has expired, the CLI fails cleanly and the login lives on', async (t) => {
  const parts = await together(t);
  if (!parts) return;
  const { issuer, codex, run, add, box } = parts;
  const alice = await add('a', people.alice, { expiresAt: Date.now() + 11 * 60_000 });
  const soon = await run(['lend', 'a']);
  t.match(soon.json, { notes: [{ code: 'ENDS_SOON', text: /codex-router refresh a/ }] });
  // An issuer that refuses it is all that an expired token is to Codex.
  const late = issuer.mint(people.alice, {
    issuedAt: Date.now() - 3_600_000,
    expiresAt: Date.now() - 60_000,
  });
  writeJson(path.join(box.codexHome, 'auth.json'), {
    ...codex.auth(),
    tokens: { ...codex.auth().tokens, access_token: late.access },
  });
  const turn = await codex.exec('say hi');
  t.match(turn, { code: 1, stderr: /401 Unauthorized: token_expired/ });
  t.strictSame([...issuer.of('refresh'), ...issuer.of('revoke')], []);
  t.ok(issuer.isLive(alice.refresh));
  t.match((await run(['refresh', 'a'])).json, { refreshed: [{ result: 'refreshed' }] });
  t.equal((await run(['lend', 'a'])).json.result, 'renewed');
  t.match((await codex.exec('say hi')).stdout, 'for alice@example.test');
});

t.test(
  'a login of its own that Codex had is put aside and comes back, and Codex is logged in as before',
  async (t) => {
    const parts = await together(t);
    if (!parts) return;
    const { issuer, codex, file, run, add, whoIs } = parts;
    await add('a', people.alice);
    await codex.login(people.bob);
    const before = codex.auth();
    t.match(await run(['lend', 'a']), {
      code: 2,
      json: { error: { code: 'CHOICE_NEEDED', hint: /--take/ } },
    });
    t.strictSame(codex.auth(), before);
    const lent = await run(['lend', 'a', '--take']);
    t.match(lent.json, { result: 'lent', displaced: { email: people.bob.email } });
    t.equal(await whoIs(), people.alice.email);
    t.notOk(readFileSync(file, 'utf8').includes(before.tokens.refresh_token));
    const back = await run(['unlend']);
    t.match(back.json, { result: 'unlent', removed: true, restored: { email: people.bob.email } });
    const { login_owner_id: _, ...tokens } = before.tokens;
    t.strictSame({ ...codex.auth(), last_refresh: null }, { ...before, tokens, last_refresh: null });
    t.equal(Date.parse(codex.auth().last_refresh), Date.parse(before.last_refresh));
    t.equal(await whoIs(), people.bob.email);
    await codex.rpc(['account/read', { refreshToken: true }]);
    t.not(codex.auth().tokens.refresh_token, before.tokens.refresh_token, 'it refreshes as before');
    t.match(issuer.of('refresh'), [{ status: 200 }]);
    t.strictSame(issuer.of('revoke'), []);
    t.match(await run(['use', people.bob.accountId]), {
      code: 6,
      json: { error: { code: 'IDENTITY_IN_USE' } },
    });
    t.match((await run(['lend', 'a', '--take'])).json, { displaced: { email: people.bob.email } }, 'again');
    t.match((await run(['unlend', 'a'])).json, { restored: { email: people.bob.email } });
    t.equal(await whoIs(), people.bob.email);
  },
);

t.test(
  'a login that was handed over is refreshed by Codex, and unlend brings the rotated one home',
  async (t) => {
    const parts = await together(t);
    if (!parts) return;
    const { issuer, box, codex, run, add, whoIs, state } = parts;
    const alice = await add('a', people.alice);
    await codex.login(people.bob);
    t.match((await run(['lend', 'a', '--move', '--take'])).json, {
      result: 'moved',
      what: 'grant',
      until: null,
      displaced: { email: people.bob.email },
    });
    t.match(codex.auth().tokens, { oauth_provenance: { issuer: issuer.url }, refresh_token: alice.refresh });
    t.equal(await whoIs(), people.alice.email);
    await codex.rpc(['account/read', { refreshToken: true }]);
    const rotated = codex.auth().tokens.refresh_token;
    t.not(rotated, alice.refresh);
    for (const [command, code] of [
      ['use a', 'IDENTITY_IN_USE'],
      ['use a --move', 'IDENTITY_IN_USE'],
      ['refresh a', 'IDENTITY_IN_USE'],
      ['remove a --yes', 'LENT'],
      ['lend a', 'LENT'],
    ] as const) {
      const refused = await run(command.split(' '), { env: { CODEX_HOME: box.tmp } });
      t.match(refused, { code: 6, json: { error: { code, hint: /codex-router unlend a/ } } }, command);
    }
    const home = await run(['unlend', 'a'], { env: { CODEX_HOME: box.tmp } });
    t.match(home.json, { handBack: 'taken-home', restored: { email: people.bob.email } });
    t.equal(await whoIs(), people.bob.email);
    t.match((await run(['use', 'a'])).json, { result: 'switched' });
    const slot = (readJson(state.paths().profiles) as { profiles: Record<string, { refresh: string }> })
      .profiles[SLOT];
    t.equal(slot?.refresh, rotated);
    t.match(await issuer.refresh(rotated), { ok: true });
    t.strictSame(issuer.of('revoke'), []);
  },
);

t.test('the access token of the active identity is lent while OpenClaw goes on refreshing it', async (t) => {
  const parts = await together(t);
  if (!parts) return;
  const { issuer, codex, run, add, state, whoIs } = parts;
  await add('a', people.alice, { expiresAt: Date.now() + 60_000 });
  t.equal((await run(['use', 'a'])).code, 0);
  t.match(await run(['lend', 'a']), { code: 4, json: { error: { code: 'LOGIN_EXPIRED' } } });
  const newer = issuer.mint(people.alice);
  writeJson(state.paths().profiles, { version: 1, profiles: { [SLOT]: profileOf(newer, '2026.5.7') } });
  t.match((await run(['lend', 'a'])).json, { result: 'lent', until: newer.expires });
  t.equal(codex.auth().tokens.access_token, newer.access);
  t.equal(await whoIs(), people.alice.email);
  t.match(await issuer.refresh(newer.refresh), { ok: true });
  t.match((await codex.exec('say hi')).stdout, 'for alice@example.test');
  t.match(await run(['lend', 'a', '--move']), { code: 6, json: { error: { code: 'IDENTITY_IN_USE' } } });
  t.match((await run(['unlend'])).json, { removed: true });
  t.match(await run(['lend', 'a', '--move']), { code: 6, json: { error: { code: 'IDENTITY_IN_USE' } } });
  t.equal(codex.auth(), null);
  t.strictSame(findCanary([codex.home]), []);
});

t.test(
  'a Codex that runs while its login is taken out, or taken home, never spends it any more',
  async (t) => {
    const parts = await together(t);
    if (!parts) return;
    const { issuer, codex, run, add } = parts;
    const alice = await add('a', people.alice);
    await codex.login(people.bob);
    const own = codex.auth().tokens.refresh_token;
    const forced = ['account/read', { refreshToken: true }] as const;
    const [, lent, after] = await codex.rpc(['account/read'], () => run(['lend', 'a', '--take']), forced);
    t.equal(lent.code, 0);
    t.match(after.account, { email: people.bob.email }, 'it goes on with what it had read');
    t.equal((await run(['unlend', 'a'])).code, 0);
    t.equal(codex.auth().tokens.refresh_token, own);
    t.equal((await run(['lend', 'a', '--move', '--take'])).code, 0);
    const [, home] = await codex.rpc(['account/read'], () => run(['unlend', 'a']), forced);
    t.match(home.json, { handBack: 'unchanged', restored: { email: people.bob.email } });
    t.strictSame([...issuer.of('refresh'), ...issuer.of('revoke')], []);
    t.ok(issuer.isLive(own) && issuer.isLive(alice.refresh));
  },
);
