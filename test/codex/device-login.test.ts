import t, { type Test } from 'tap';
import { loginIssuer } from '../../src/codex/login-issuer.js';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import type { DeviceCode, LoginIssuer } from '../../src/router/login-issuer.js';
import { freePort } from '../kit/backend.js';
import { type CannedAnswer, startIssuer } from '../kit/issuer.js';
import { CANARY, CODEX_CLIENT_ID, DAY, OPENAI_ISSUER, people } from '../kit/tokens.js';

const MINUTE = 60_000;
const never = new AbortController().signal;

/** The login issuer as the router knows it, on a clock that only its own pauses move. */
function bench(url: string) {
  const waits: number[] = [];
  let now = Date.parse('2026-11-21T12:00:00Z');
  const start = now;
  const issuer: LoginIssuer = loginIssuer({
    env: {},
    testIssuer: url,
    now: () => now,
    pause: async (ms, signal) => {
      signal.throwIfAborted();
      waits.push(ms);
      now += ms;
    },
  });
  return { issuer, waits, start, elapsed: () => now - start };
}

/** A whole login, as far as it gets. */
async function logIn(url: string, on = bench(url)): Promise<Holding> {
  const device = await on.issuer.deviceCode(never);
  return on.issuer.exchange(await on.issuer.approval(device, never));
}

/** How a login ends that must not succeed; whatever is said of it holds no secret. */
async function refusal(t: Test, url: string, on = bench(url)): Promise<RouterError> {
  try {
    await logIn(url, on);
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    t.notMatch(`${error.message} ${error.hint}`, new RegExp(`${CANARY}|rt_|eyJ|ac_`));
    return error;
  }
  throw new Error('it logged in');
}

const coded = (status: number, code: string): CannedAnswer => ({
  status,
  body: { error: { message: 'x', code } },
});
const plain = (status: number, error: string): CannedAnswer => ({ status, body: { error } });
const times = (count: number, answer: CannedAnswer) => Array.from({ length: count }, () => answer);

t.test('logs in as the Codex CLI does, with a grant that is as the issuer gave it', async (t) => {
  const fake = await startIssuer(t);
  fake.approveAs(people['bob-team']);
  fake.behaviour.pendingPolls = 2;
  const on = bench(fake.url);
  const device = await on.issuer.deviceCode(never);
  t.match(device, { userCode: /^TEST-/, url: `${fake.url}/codex/device`, interval: 1000 });
  t.equal(device.expiresAt, on.start + 15 * MINUTE);
  const holding = await on.issuer.exchange(await on.issuer.approval(device, never));
  t.match(holding.identity, { accountId: people['bob-team'].accountId, userId: 'user-bob', plan: 'team' });
  t.ok(fake.isLive(holding.grant.refreshToken.reveal()));
  t.ok(Math.abs(holding.grant.expiresAt - (on.start + on.elapsed() + 10 * DAY)) <= 2000);
  t.strictSame(holding.grant.provenance, { issuer: OPENAI_ISSUER, clientId: CODEX_CLIENT_ID });
  t.strictSame(on.waits, [1000, 1000], 'the first question comes at once');
  t.strictSame(
    fake.requests.map(({ kind, method, form }) => [kind, method, form]),
    [
      ['usercode', 'POST', 'json'],
      ...times(3, { status: 0, body: 0 }).map(() => ['device-token', 'POST', 'json']),
      ['login', 'POST', 'form'],
    ],
  );
});

t.test('takes an interval in every form, and the code under either name', async (t) => {
  const fake = await startIssuer(t);
  fake.behaviour.userCodeName = 'usercode';
  const forms: [unknown, number][] = [
    ['5', 5000],
    [7, 7000],
    ['0', 1000],
    [0, 1000],
    [undefined, 5000],
    [null, 5000],
    ['', 5000],
    ['soon', 5000],
    [-3, 5000],
    [86_400, 60_000],
  ];
  for (const [interval, expected] of forms) {
    fake.behaviour.interval = interval;
    const device = await bench(fake.url).issuer.deviceCode(never);
    t.equal(device.interval, expected, `${JSON.stringify(interval)}`);
    t.match(device.userCode, /^TEST-/);
  }
});

t.test('waits while nobody has approved, in whatever way that is said', async (t) => {
  const fake = await startIssuer(t);
  fake.behaviour.answers['device-token'] = [
    coded(403, 'deviceauth_authorization_unknown'),
    coded(400, 'deviceauth_authorization_unknown'),
    coded(500, 'deviceauth_authorization_unknown'),
    { status: 404, body: '' },
    { status: 403, body: '<html>' },
    plain(400, 'authorization_pending'),
    { status: 200, body: { error: 'authorization_pending' } },
  ];
  const on = bench(fake.url);
  await logIn(fake.url, on);
  t.strictSame(
    on.waits,
    times(7, { status: 0, body: 0 }).map(() => 1000),
    'none of it slows it down',
  );
});

t.test('asks five seconds more rarely from each slow_down on', async (t) => {
  const fake = await startIssuer(t);
  fake.behaviour.answers['device-token'] = [
    plain(400, 'slow_down'),
    coded(403, 'deviceauth_authorization_unknown'),
    coded(429, 'slow_down'),
    plain(400, 'authorization_pending'),
  ];
  const on = bench(fake.url);
  await logIn(fake.url, on);
  t.strictSame(on.waits, [6000, 6000, 11_000, 11_000]);
});

t.test('outlasts what passes, ever more rarely, and is quick again afterwards', async (t) => {
  const fake = await startIssuer(t);
  fake.behaviour.answers['device-token'] = [
    { status: 429, body: { error: { code: 'rate_limit_exceeded' } } },
    { status: 503, body: '<html>' },
    { status: 502, body: '' },
    coded(403, 'deviceauth_authorization_unknown'),
    { status: 500, body: 'no' },
  ];
  const on = bench(fake.url);
  await logIn(fake.url, on);
  t.strictSame(on.waits, [2000, 4000, 8000, 1000, 2000]);
});

t.test('outlasts an issuer that is away for a while', async (t) => {
  const port = await freePort();
  const gone = `http://127.0.0.1:${port}`;
  const on = bench(gone);
  const device = { ...(await made(t)), expiresAt: on.start + 3 * MINUTE };
  const error = await on.issuer.approval(device, never).catch((failure: unknown) => failure);
  t.match(error, { code: 'LOGIN_FAILED', message: /takes no connections/ });
  t.equal(on.elapsed(), 3 * MINUTE, 'until the code has expired');
});

async function made(t: Test): Promise<DeviceCode> {
  const fake = await startIssuer(t);
  return bench(fake.url).issuer.deviceCode(never);
}

t.test('gives up when the code has expired, and says whether the issuer answered at all', async (t) => {
  const fake = await startIssuer(t);
  fake.behaviour.pendingPolls = Number.POSITIVE_INFINITY;
  fake.behaviour.interval = 5;
  const on = bench(fake.url);
  t.match(await refusal(t, fake.url, on), {
    code: 'LOGIN_EXPIRED',
    exitCode: 4,
    message: 'the code has expired: nobody approved it within 15 minutes',
  });
  t.equal(on.elapsed(), 15 * MINUTE);
  t.equal(fake.of('device-token').length, 181);

  fake.behaviour.answers['device-token'] = times(1000, { status: 503, body: '' });
  const busy = bench(fake.url);
  t.match(await refusal(t, fake.url, busy), {
    code: 'LOGIN_FAILED',
    exitCode: 5,
    message: 'the login failed: the issuer answered 503',
  });
  t.equal(busy.elapsed(), 15 * MINUTE);
});

t.test('every other word of the issuer ends it, each in its own words', async (t) => {
  const fake = await startIssuer(t);
  const ends: [CannedAnswer, string, RegExp][] = [
    [plain(400, 'access_denied'), 'LOGIN_DENIED', /was refused in the browser/],
    [coded(403, 'access_denied'), 'LOGIN_DENIED', /was refused in the browser/],
    [plain(400, 'expired_token'), 'LOGIN_EXPIRED', /the code has expired/],
    [coded(404, 'expired_token'), 'LOGIN_EXPIRED', /the code has expired/],
    [coded(400, 'invalid_request'), 'LOGIN_FAILED', /answered 400 invalid_request/],
    [{ status: 401, body: { error: `rt_${CANARY}` } }, 'LOGIN_FAILED', /answered 401$/],
    [{ status: 200, body: 'not json' }, 'LOGIN_FAILED', /something else than a login/],
    [{ status: 200, body: { authorization_code: `ac_${CANARY}` } }, 'LOGIN_FAILED', /something else/],
    [{ status: 307, body: '' }, 'LOGIN_FAILED', /redirect \(307\)/],
  ];
  for (const [answer, code, message] of ends) {
    fake.behaviour.answers['device-token'] = [answer];
    t.match(await refusal(t, fake.url), { code, message }, `${answer.status} ${code}`);
  }
  t.equal(fake.of('login').length, 0, 'nothing was exchanged');
});

t.test('an issuer without device login is told from one that is busy', async (t) => {
  const fake = await startIssuer(t);
  const { answers } = fake.behaviour;
  answers.usercode = [{ status: 404, body: { detail: 'Not Found' } }];
  t.match(await refusal(t, fake.url), { code: 'LOGIN_FAILED', hint: 'codex-router login --browser' });
  answers.usercode = [
    { status: 503, body: '' },
    { status: 429, body: '' },
  ];
  const on = bench(fake.url);
  await logIn(fake.url, on);
  t.strictSame(on.waits, [1000, 2000]);
  answers.usercode = times(3, { status: 500, body: '' });
  t.match(await refusal(t, fake.url), {
    code: 'LOGIN_FAILED',
    message: 'the login failed: the issuer answered 500',
  });
  for (const body of [
    'not json',
    {},
    { device_auth_id: 'x' },
    { device_auth_id: 'x', user_code: '' },
    { device_auth_id: 'x', user_code: 'A\u001b[31mB' },
    { device_auth_id: '', user_code: 'AB' },
  ]) {
    answers.usercode = [{ status: 200, body }];
    t.match(await refusal(t, fake.url), { code: 'LOGIN_FAILED', message: /without a usable code/ });
  }
  t.match(await refusal(t, `http://127.0.0.1:${await freePort()}`), {
    code: 'LOGIN_FAILED',
    message: /takes no connections/,
  });
});

t.test('an exchange is made once, and wants all three tokens', async (t) => {
  const fake = await startIssuer(t);
  const { access, refresh, idToken } = fake.mint(people.alice);
  const whole = { access_token: access, refresh_token: refresh, id_token: idToken };
  const other = fake.mint(people.bob);
  const ends: [CannedAnswer, string, RegExp][] = [
    [plain(400, 'invalid_grant'), 'LOGIN_EXPIRED', /does not take the code/],
    [plain(403, 'access_denied'), 'LOGIN_FAILED', /answered 403 access_denied/],
    [{ status: 500, body: `rt_${CANARY}` }, 'LOGIN_FAILED', /answered 500$/],
    [{ status: 200, body: `{"access_token":"${access}` }, 'LOGIN_FAILED', /without the three tokens/],
    [{ status: 200, body: { ...whole, id_token: undefined } }, 'LOGIN_FAILED', /without the three tokens/],
    [{ status: 200, body: { ...whole, refresh_token: '' } }, 'LOGIN_FAILED', /without the three tokens/],
    [{ status: 200, body: { ...whole, access_token: null } }, 'LOGIN_FAILED', /without the three tokens/],
    [
      { status: 200, body: { ...whole, access_token: `opaque${CANARY}` } },
      'IDENTITY_UNREADABLE',
      /whose it is/,
    ],
    [{ status: 200, body: { ...whole, id_token: other.idToken } }, 'IDENTITY_MISMATCH', /two different/],
  ];
  for (const [place, [answer, code, message]] of ends.entries()) {
    fake.behaviour.answers.login = [answer];
    t.match(await refusal(t, fake.url), { code, message }, `${answer.status} ${code}`);
    t.equal(fake.of('login').length, place + 1, 'asked once');
    if (code.startsWith('IDENTITY')) t.equal(fake.of('revoke').at(-1)?.status, 200, 'nobody can use it');
  }
});

t.test('the wait ends with its signal, also in the middle of a request', async (t) => {
  const fake = await startIssuer(t);
  fake.behaviour.pendingPolls = Number.POSITIVE_INFINITY;
  const stop = new AbortController();
  const on = bench(fake.url);
  const device = await on.issuer.deviceCode(stop.signal);
  fake.behaviour.onAnswer = () => {
    if (fake.of('device-token').length < 3) return;
    stop.abort();
    return new Promise((later) => setTimeout(later, 50));
  };
  await t.rejects(on.issuer.approval(device, stop.signal), { name: 'AbortError' });
  t.equal(fake.of('device-token').length, 3);
});

t.test('the account tells its workspace, in a list or by its id', async (t) => {
  const fake = await startIssuer(t);
  const on = bench(fake.url);
  fake.approveAs(people['alice-team']);
  const holding = await logIn(fake.url, on);
  const ask = () => on.issuer.account(holding, never);
  const { accountId } = people['alice-team'];
  t.strictSame(await ask(), { kind: 'known', workspace: 'Acme', plan: 'team', isDeactivated: false });
  const { answers } = fake.behaviour;
  const account = { account_id: accountId, name: 'Acme', plan_type: 'team', is_deactivated: true, more: 1 };
  for (const accounts of [{ [accountId]: { account } }, { [accountId]: account }, [{ account }], [account]]) {
    answers.accounts = [{ status: 200, body: { accounts } }];
    t.match(await ask(), { kind: 'known', workspace: 'Acme', plan: 'team', isDeactivated: true });
  }
  for (const body of [
    {},
    { accounts: [] },
    { accounts: [{ id: 'other', name: 'No' }] },
    { accounts: [null, 3] },
  ]) {
    answers.accounts = [{ status: 200, body }];
    t.strictSame(await ask(), { kind: 'known', workspace: null, plan: null, isDeactivated: false });
  }
  answers.accounts = [{ status: 200, body: { accounts: [{ ...account, name: 7, plan_type: {} }] } }];
  t.match(await ask(), { kind: 'known', workspace: null, plan: null });
  answers.accounts = [coded(401, 'token_expired')];
  t.match(await ask(), { kind: 'unknown', why: 'ChatGPT answered 401' });
  answers.accounts = [{ status: 503, body: '' }];
  t.match(await ask(), { kind: 'unknown', why: 'ChatGPT answered 503' });
  answers.accounts = [coded(401, 'token_invalidated')];
  t.match(await ask(), { kind: 'ended', why: 'ChatGPT answered 401 token_invalidated' });
});
