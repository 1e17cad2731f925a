import t from 'tap';
import { startIssuer } from './issuer.js';
import { CODEX_CLIENT_ID, payloadOf, people } from './tokens.js';

t.test(
  'a refresh token works once, in both forms; its reuse kills the family and is remembered',
  async (t) => {
    const issuer = await startIssuer(t);
    const first = issuer.mint(people.alice);
    const other = issuer.mint(people.alice);
    const second = await issuer.refresh(first.refresh);
    t.match(second, { ok: true });
    if (!second.ok) return;
    t.match(payloadOf(second.access), { 'https://api.openai.com/profile': { email: 'alice@example.test' } });
    const third = await issuer.refresh(second.refresh, 'json');
    t.match(third, { ok: true });
    t.strictSame(issuer.reuses(), []);
    t.match(await issuer.refresh(first.refresh), { ok: false, status: 401, error: 'refresh_token_reused' });
    t.equal(issuer.reuses().length, 1);
    t.equal(third.ok && issuer.isLive(third.refresh), false);
    t.equal(issuer.isLive(other.refresh), true, 'another login of the same person lives on');
    t.strictSame(
      issuer.of('refresh').map(({ who, form, error }) => [who, form, error]),
      [
        ['a1111111-aaaa-4aaa-8aaa-111111111111/user-alice', 'form', null],
        ['a1111111-aaaa-4aaa-8aaa-111111111111/user-alice', 'json', null],
        ['a1111111-aaaa-4aaa-8aaa-111111111111/user-alice', 'form', 'refresh_token_reused'],
      ],
    );
    t.match(await issuer.refresh('rt_unknown'), { ok: false, error: 'refresh_token_invalidated' });
  },
);

t.test(
  'within the grace the last token gives tokens once more, until its successor was presented',
  async (t) => {
    const issuer = await startIssuer(t);
    issuer.behaviour.graceMs = 60_000;
    const first = issuer.mint(people.alice);
    const tokenOf = async (token: string) => {
      const answer = await issuer.refresh(token);
      return answer.ok ? answer.refresh : answer.error;
    };
    const lost = await tokenOf(first.refresh);
    t.ok(issuer.isLive(first.refresh));
    const second = await tokenOf(first.refresh);
    t.not(second, lost);
    t.equal(issuer.isLive(lost), false, 'the successor nobody presented is dead');
    t.equal(issuer.presentations(first.refresh), 2);
    t.match(issuer.graceRetries(), [{ graceRetry: true, status: 200 }]);
    const third = await tokenOf(second);
    t.equal(issuer.isLive(first.refresh), false);
    t.strictSame(issuer.reuses(), []);
    t.equal(await tokenOf(first.refresh), 'refresh_token_reused', 'two steps back is a reuse');
    t.equal(issuer.isLive(third), false, 'and kills the family');

    const late = issuer.mint(people.alice);
    await tokenOf(late.refresh);
    issuer.behaviour.graceMs = 0;
    t.equal(await tokenOf(late.refresh), 'refresh_token_reused', 'after the grace too');
    issuer.behaviour.graceMs = 60_000;
    const twice = issuer.mint(people.alice);
    const superseded = await tokenOf(twice.refresh);
    await tokenOf(twice.refresh);
    t.equal(await tokenOf(superseded), 'refresh_token_reused', 'a successor that came to light after all');
  },
);

t.test('a refresh meets the faults in their order, one each, and they are remembered', async (t) => {
  const issuer = await startIssuer(t);
  const login = issuer.mint(people.alice);
  issuer.behaviour.refreshFaults.push(
    { kind: 'drop-unspent' },
    { kind: 'redirect', status: 307, location: '/' },
  );
  await t.rejects(issuer.refresh(login.refresh));
  const redirected = await fetch(`${issuer.url}/oauth/token`, {
    method: 'POST',
    redirect: 'manual',
    body: new URLSearchParams({
      client_id: CODEX_CLIENT_ID,
      grant_type: 'refresh_token',
      refresh_token: login.refresh,
    }),
  });
  t.equal(redirected.headers.get('location'), '/');
  t.ok(issuer.isLive(login.refresh), 'neither spends the token');
  for (const kind of ['drop', 'truncate'] as const) {
    const spent = issuer.mint(people.alice);
    issuer.behaviour.refreshFaults.push({ kind });
    await t.rejects(issuer.refresh(spent.refresh));
    t.equal(issuer.isLive(spent.refresh), false, `${kind} does`);
  }
  issuer.behaviour.refreshFaults.push({ kind: 'delay', ms: 20 });
  t.match(await issuer.refresh(login.refresh), { ok: true });
  t.strictSame(
    issuer.of('refresh').map(({ fault }) => fault),
    ['drop-unspent', 'redirect', 'drop', 'truncate', 'delay'],
  );
  issuer.behaviour.refreshAs = people.bob;
  issuer.behaviour.refreshOmit = ['id_token'];
  const other = await issuer.refresh(issuer.mint(people.alice).refresh);
  t.match(other, { ok: true, idToken: '' });
  t.match(other.ok && payloadOf(other.access), { sub: 'auth0|user-bob' });
});

t.test('a revoked grant refreshes no more, and the revoke is seen', async (t) => {
  const issuer = await startIssuer(t);
  const login = issuer.mint(people.bob);
  const body = JSON.stringify({ token: login.refresh });
  await fetch(`${issuer.url}/oauth/revoke`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  t.match(issuer.of('revoke'), [{ who: `${people.bob.accountId}/user-bob`, status: 200 }]);
  t.match(await issuer.refresh(login.refresh), { ok: false, error: 'refresh_token_invalidated' });
});

t.test(
  'the device flow hands out the tokens of the person who approved, after the pending answers',
  async (t) => {
    const issuer = await startIssuer(t);
    issuer.approveAs(people['bob-team']);
    issuer.behaviour.pendingPolls = 1;
    const post = (path: string, body: object) =>
      fetch(issuer.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    const json = async (answer: Response) => (await answer.json()) as Record<string, string>;
    const { device_auth_id, user_code, interval } = await json(
      await post('/api/accounts/deviceauth/usercode', {}),
    );
    t.equal(interval, '1');
    const poll = () => post('/api/accounts/deviceauth/token', { device_auth_id, user_code });
    t.equal((await poll()).status, 403);
    const { authorization_code, code_verifier } = await json(await poll());
    const exchange = (redirect: string) =>
      fetch(`${issuer.url}/oauth/token`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'authorization_code',
          client_id: CODEX_CLIENT_ID,
          code: authorization_code ?? '',
          redirect_uri: issuer.url + redirect,
          code_verifier: code_verifier ?? '',
        }),
      });
    const tokens = await json(await exchange('/deviceauth/callback'));
    t.match(payloadOf(tokens.access_token ?? ''), {
      'https://api.openai.com/auth': {
        chatgpt_account_id: people['bob-team'].accountId,
        chatgpt_user_id: 'user-bob',
      },
    });
    t.equal((await exchange('/deviceauth/callback')).status, 400, 'a code works once');
  },
);

t.test('the backend refuses an unknown or expired bearer and records who called the model', async (t) => {
  const issuer = await startIssuer(t);
  const fresh = issuer.mint(people.carol);
  const stale = issuer.mint(people.carol, { expiresAt: Date.now() - 1000, issuedAt: Date.now() - 5000 });
  const get = (path: string, bearer: string, method = 'GET', body?: object) =>
    fetch(`${issuer.url}/backend-api${path}`, {
      method,
      body: body ? JSON.stringify(body) : null,
      headers: { authorization: `Bearer ${bearer}`, 'chatgpt-account-id': people.carol.accountId },
    });
  t.match(await (await get('/wham/usage', fresh.access)).json(), {
    plan_type: 'plus',
    user_id: 'user-carol',
  });
  t.equal((await get('/wham/usage', stale.access)).status, 401);
  t.equal((await get('/wham/usage', 'x.y.z')).status, 401);
  t.match(await (await get('/codex/responses', fresh.access, 'POST')).text(), 'for carol@example.test');
  // What a host asks its utility model is answered too, and is no turn.
  const recap = await get('/codex/responses', fresh.access, 'POST', { model: 'gpt-5.6-luna' });
  t.match(await recap.text(), 'for carol@example.test');
  t.equal(issuer.model.calls.length, 2);
  const turns = issuer.model.take();
  t.equal(turns.length, 1);
  t.match(turns, [
    { via: 'http', email: 'carol@example.test', accountHeader: people.carol.accountId, bearer: fresh.access },
  ]);
  t.strictSame(issuer.model.calls, []);
});
