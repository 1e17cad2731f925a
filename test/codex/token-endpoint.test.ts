import t, { type Test } from 'tap';
import type { HttpLimits } from '../../src/codex/http.js';
import { CODEX_CLIENT_ID, tokenEndpoint } from '../../src/codex/token-endpoint.js';
import type { Grant } from '../../src/grant.js';
import type { RefreshAnswer, TokenEndpoint } from '../../src/router/token-endpoint.js';
import { Secret } from '../../src/secret.js';
import { freePort } from '../kit/backend.js';
import { type Issuer, type RefreshFault, startIssuer } from '../kit/issuer.js';
import { until } from '../kit/process.js';
import { CANARY, DAY, jwt, type Login, OPENAI_ISSUER, people } from '../kit/tokens.js';

const NOW = Date.parse('2026-11-21T12:00:00Z');

function grantOf(login: Login, changes: Partial<Grant> = {}): Grant {
  return {
    accessToken: new Secret(login.access),
    refreshToken: new Secret(login.refresh),
    idToken: new Secret(login.idToken),
    expiresAt: login.expires,
    lastRefresh: login.issued,
    provenance: { issuer: OPENAI_ISSUER, clientId: CODEX_CLIENT_ID },
    ...changes,
  };
}

/** The endpoint as the router knows it, against the issuer of the test. */
function endpointAt(url: string, limits: Partial<HttpLimits> = {}): TokenEndpoint {
  return tokenEndpoint({ env: {}, testIssuer: url, limits, now: () => NOW });
}

/** One refresh of alice's grant; whatever is said of it holds no token. */
async function refresh(
  t: Test,
  issuer: Issuer,
  { login = issuer.mint(people.alice), grant = grantOf(login), limits = {} } = {},
): Promise<{ login: Login; answer: RefreshAnswer }> {
  const answer = await endpointAt(issuer.url, limits).refresh(grant);
  if (answer.kind !== 'renewed') t.notMatch(answer.why, new RegExp(`${CANARY}|rt_|eyJ`));
  t.equal(issuer.presentations(login.refresh), 1, 'asked once');
  return { login, answer };
}

t.test('renews with what the issuer gives, and says it as the Codex CLI does', async (t) => {
  const issuer = await startIssuer(t);
  const { login, answer } = await refresh(t, issuer);
  if (answer.kind !== 'renewed') return t.fail(answer.why);
  const { accessToken, refreshToken, idToken, expiresAt, lastRefresh, provenance } = answer.grant;
  t.not(refreshToken.reveal(), login.refresh);
  t.not(accessToken.reveal(), login.access);
  t.not(idToken?.reveal(), login.idToken);
  t.ok(issuer.isLive(refreshToken.reveal()));
  t.equal(lastRefresh, NOW);
  t.ok(Math.abs(expiresAt - (NOW + 10 * DAY)) <= 2000, 'expires_in counts from our clock');
  t.strictSame(provenance, { issuer: OPENAI_ISSUER, clientId: CODEX_CLIENT_ID });
  await refresh(t, issuer, {
    grant: grantOf(login, { refreshToken, expiresAt: NOW + 299_000, provenance: null }),
    login: { ...login, refresh: refreshToken.reveal() },
  });
  t.match(
    issuer.of('refresh').map(({ method, path, form, refreshReason, error }) => ({
      method,
      path,
      form,
      refreshReason,
      error,
    })),
    [
      { method: 'POST', path: '/oauth/token', form: 'json', refreshReason: 'forced', error: null },
      { refreshReason: 'proactive_expiry', error: null },
    ],
  );
  const foreignClient = grantOf(issuer.mint(people.alice), {
    provenance: { issuer: issuer.url, clientId: 'app_other' },
  });
  t.match(
    await endpointAt(issuer.url).refresh(foreignClient),
    { kind: 'refused', reason: 'invalid', why: 'the issuer answered 401 invalid_client' },
    'the client id of the grant is sent',
  );
});

t.test('what the answer leaves out is kept', async (t) => {
  const issuer = await startIssuer(t);
  const renewed = async (...omitted: string[]) => {
    issuer.behaviour.refreshOmit = omitted;
    const { login, answer } = await refresh(t, issuer);
    if (answer.kind !== 'renewed') throw new Error(answer.why);
    return { login, grant: answer.grant };
  };
  const noId = await renewed('id_token');
  t.equal(noId.grant.idToken?.reveal(), noId.login.idToken);
  t.not(noId.grant.refreshToken.reveal(), noId.login.refresh);
  const noRefresh = await renewed('refresh_token');
  t.equal(noRefresh.grant.refreshToken.reveal(), noRefresh.login.refresh);
  t.not(noRefresh.grant.accessToken.reveal(), noRefresh.login.access);
  const noAccess = await renewed('access_token');
  t.equal(noAccess.grant.accessToken.reveal(), noAccess.login.access);
  t.equal(noAccess.grant.expiresAt, noAccess.login.expires);
  t.ok(issuer.isLive(noAccess.grant.refreshToken.reveal()), 'the new refresh token is never dropped');
  const noTime = await renewed('expires_in');
  t.equal(noTime.grant.expiresAt % 1000, 0);
  t.ok(Math.abs(noTime.grant.expiresAt - (Date.now() + 10 * DAY)) < DAY, 'from exp');
});

t.test('takes odd answers for what they are worth', async (t) => {
  const issuer = await startIssuer(t);
  const access = jwt('odd', { exp: 4_000_000_000 });
  const answering = async (body: unknown, status = 200) => {
    issuer.behaviour.refreshAnswer = { status, body };
    return (await refresh(t, issuer)).answer;
  };
  const expiry = async (expires_in: unknown, token = access) => {
    const answer = await answering({ access_token: token, expires_in });
    return answer.kind === 'renewed' ? answer.grant.expiresAt : null;
  };
  t.equal(await expiry(3600), NOW + 3_600_000);
  t.equal(await expiry('60'), NOW + 60_000);
  for (const odd of [0, -1, 1e300, 'soon', null, [5], {}])
    t.equal(await expiry(odd), 4_000_000_000_000, String(odd));
  t.equal(await expiry(undefined, `opaque-${CANARY}`), NOW + 8 * DAY, 'as Codex trusts one without exp');
  const malformed = jwt('bad', { exp: 4e9, 'https://api.openai.com/auth': { chatgpt_account_id: '../x' } });
  t.equal(
    await expiry(undefined, malformed),
    NOW + 8 * DAY,
    'unreadable claims are the router’s to judge; the tokens are kept',
  );
  const badId = await answering({ access_token: access, id_token: CANARY, refresh_token: '' });
  t.equal(badId.kind === 'renewed' && badId.grant.idToken?.reveal().startsWith('eyJ'), true);
  t.equal((await answering({ access_token: access }, 201)).kind, 'renewed');

  for (const body of [
    {},
    [],
    null,
    'text',
    5,
    { access_token: '' },
    { access_token: null, refresh_token: null },
    { id_token: access },
    { access_token: 5 },
    { access_token: access, refresh_token: { token: CANARY } },
    { error: { code: 'server_error' } },
  ]) {
    t.match(
      await answering(body),
      { kind: 'unanswered', why: 'the issuer answered 200 without usable tokens' },
      JSON.stringify(body),
    );
  }
  t.equal((await answering({}, 204)).kind, 'unanswered');
});

t.test('each error is in the class the Codex CLI has it in; a gateway’s means no answer', async (t) => {
  const issuer = await startIssuer(t);
  const classOf = async (status: number, body: unknown) => {
    issuer.behaviour.refreshAnswer = { status, body };
    const { login, answer } = await refresh(t, issuer);
    t.ok(issuer.isLive(login.refresh));
    return answer.kind === 'refused' ? answer.reason : answer.kind;
  };
  for (const reason of ['expired', 'reused', 'invalidated'] as const) {
    const code = `refresh_token_${reason}`;
    for (const status of [200, 400, 401, 403, 429, 500, 502]) {
      t.equal(await classOf(status, { error: { code, message: CANARY } }), reason);
      t.equal(await classOf(status, { error: code, error_description: CANARY }), reason);
      t.equal(await classOf(status, { code }), reason);
      t.equal(await classOf(status, { error: { message: 'no code here' }, code }), reason);
    }
  }
  for (const body of [{}, null, { error: { code: 'invalid_client' } }, { error: CANARY }]) {
    t.equal(await classOf(401, body), 'invalid');
    for (const status of [502, 504, 520, 522, 524]) t.equal(await classOf(status, body), 'unanswered');
    for (const status of [400, 403, 404, 405, 408, 409, 413, 422, 429, 500, 501, 503, 521, 523]) {
      t.equal(await classOf(status, body), 'failed', String(status));
    }
  }
  t.equal(await classOf(400, { error: 'invalid_grant' }), 'invalid');
  t.equal(await classOf(400, { error: { code: 'invalid_grant' } }), 'invalid');
  t.equal(await classOf(403, { error: { code: 'app_session_terminated' } }), 'failed');
  t.equal(await classOf(429, { error: { code: 'rate_limit_exceeded' } }), 'failed');
});

t.test('shows a code it knows and no other word of the server', async (t) => {
  const issuer = await startIssuer(t);
  const said = async (status: number, body: (login: Login) => unknown) => {
    const login = issuer.mint(people.alice);
    issuer.behaviour.refreshAnswer = { status, body: body(login) };
    const { answer } = await refresh(t, issuer, { login });
    return answer.kind === 'renewed' ? null : answer.why;
  };
  t.equal(
    await said(401, () => ({ error: { code: 'refresh_token_reused', message: 'x' } })),
    'the issuer answered 401 refresh_token_reused',
  );
  t.equal(
    await said(429, () => ({ error: { code: 'rate_limit_exceeded' } })),
    'the issuer answered 429 rate_limit_exceeded',
  );
  t.equal(await said(400, ({ refresh }) => ({ error: { code: refresh } })), 'the issuer answered 400');
  t.equal(await said(401, ({ refresh }) => ({ error: refresh, code: refresh })), 'the issuer answered 401');
  t.equal(await said(503, ({ access }) => `<html>${access}</html>`), 'the issuer answered 503');
});

t.test(
  'a request that never left failed; one whose answer is lost is unanswered, and asks again well',
  async (t) => {
    const port = await freePort();
    const login = { access: 'a', refresh: `rt_${CANARY}`, idToken: 'i', expires: 0, issued: 0 } as Login;
    t.match(await endpointAt(`http://127.0.0.1:${port}`).refresh(grantOf(login)), {
      kind: 'failed',
      why: `127.0.0.1:${port} takes no connections`,
    });
    const issuer = await startIssuer(t);
    const meeting = async (fault: RefreshFault, limits: Partial<HttpLimits> = {}) => {
      issuer.behaviour.refreshFaults.push(fault);
      return refresh(t, issuer, { limits });
    };
    t.match((await meeting({ kind: 'drop-unspent' })).answer, { kind: 'unanswered' }, 'it cannot be known');
    t.match((await meeting({ kind: 'truncate' })).answer, { kind: 'unanswered' });
    t.match((await meeting({ kind: 'delay', ms: 60_000 }, { head: 200 })).answer, {
      kind: 'unanswered',
      why: /did not answer within 0.2 s/,
    });
    for (const location of ['https://auth.openai.com/', 'https://evil.test/', issuer.url]) {
      const { answer } = await meeting({ kind: 'redirect', status: 307, location });
      t.match(answer, { kind: 'unanswered', why: /answered with a redirect \(307\)$/ });
    }
    issuer.behaviour.graceMs = 60_000;
    const { login: spent, answer } = await meeting({ kind: 'drop' });
    t.match(answer, { kind: 'unanswered', why: /broke \(ECONNRESET\)$/ });
    t.match(await endpointAt(issuer.url).refresh(grantOf(spent)), { kind: 'renewed' });
    t.equal(issuer.graceRetries().length, 1);
    t.strictSame(issuer.reuses(), []);
  },
);

t.test('a signal ends the wait: unanswered once it was sent, failed before', async (t) => {
  const issuer = await startIssuer(t);
  const { refresh } = endpointAt(issuer.url);
  t.match(await refresh(grantOf(issuer.mint(people.bob)), AbortSignal.abort()), { kind: 'failed' });
  t.equal(issuer.requests.length, 0);
  issuer.behaviour.refreshFaults.push({ kind: 'delay', ms: 60_000 });
  const ending = new AbortController();
  const answer = refresh(grantOf(issuer.mint(people.bob)), ending.signal);
  await until('it arrived', () => issuer.requests.length === 1);
  ending.abort();
  t.strictSame(await answer, { kind: 'unanswered', why: 'it was interrupted' });
});

t.test('a grant of a foreign issuer is sent nowhere, with the switch of the tests or without', async (t) => {
  const issuer = await startIssuer(t);
  const login = issuer.mint(people.alice);
  const at = (url: string, testIssuer: string | null) =>
    tokenEndpoint({ env: {}, testIssuer, now: () => NOW }).refresh(
      grantOf(login, { provenance: { issuer: url, clientId: CODEX_CLIENT_ID } }),
    );
  for (const url of [
    'https://evil.test',
    'https://auth.openai.com.evil.test',
    `${issuer.url}/path`,
    'http://auth.openai.com',
    '',
  ]) {
    for (const testIssuer of [null, issuer.url]) {
      await t.rejects(at(url, testIssuer), { code: 'ISSUER_FOREIGN' }, `${url} ${testIssuer}`);
    }
  }
  await t.rejects(at(issuer.url, null), { code: 'ISSUER_FOREIGN' });
  await t.rejects(at(OPENAI_ISSUER, 'https://evil.test'), { code: 'ISSUER_FOREIGN' });
  t.strictSame(issuer.requests, []);
  t.match(await at(OPENAI_ISSUER, issuer.url), { kind: 'renewed' }, 'a test’s issuer stands in for OpenAI');
});

t.test('whose tokens came back is left to the router', async (t) => {
  const issuer = await startIssuer(t);
  issuer.behaviour.refreshAs = people.bob;
  t.match((await refresh(t, issuer)).answer, { kind: 'renewed' });
});
