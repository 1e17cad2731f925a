import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { authorizeUrl, newAttempt, redirectUriOn } from '../../src/codex/authorize.js';
import { type AuthorizeAnswer, parseReturned } from '../../src/codex/authorize-answer.js';
import { beginLogin, browserLogin } from '../../src/codex/browser-login.js';
import { browserOpener, openBrowser } from '../../src/os/browser.js';
import { Secret } from '../../src/secret.js';
import { listen } from '../kit/backend.js';
import { CANARY } from '../kit/tokens.js';

const ISSUER = 'https://auth.openai.com';
const CODE = `ac_${CANARY}-code`;

interface Waiting {
  readonly url: URL;
  readonly door: string;
  readonly state: string;
  /** `http://127.0.0.1:<port>` */
  readonly origin: string;
  /** How many answers of strangers were heard. */
  strangers(): number;
  readonly code: ReturnType<typeof browserLogin>;
  readonly stop: AbortController;
}

/** A login that waits on a free port; it is stopped when the test ends. */
async function waiting(t: Test, patience?: number): Promise<Waiting> {
  const stop = new AbortController();
  let strangers = 0;
  let code: ReturnType<typeof browserLogin> | undefined;
  const shown = await new Promise<{ url: string; door: string }>((resolve, reject) => {
    code = browserLogin(
      { issuer: ISSUER, signal: stop.signal, ports: [0], ...(patience !== undefined && { patience }) },
      null,
      {
        show: (url, door) => resolve({ url, door }),
        stranger: () => {
          strangers += 1;
        },
      },
    );
    code.catch(reject);
  });
  t.teardown(() => stop.abort());
  const url = new URL(shown.url);
  return {
    url,
    door: shown.door,
    state: url.searchParams.get('state') ?? '',
    origin: new URL(shown.door).origin,
    strangers: () => strangers,
    code: code ?? Promise.reject(new Error('nothing was begun')),
    stop,
  };
}

function answerTo({ origin }: Waiting, query: Record<string, string>): Promise<Response> {
  return fetch(`${origin}/auth/callback?${new URLSearchParams(query)}`, { redirect: 'manual' });
}

/** A request with a Host header, and a target, of the test's choice, which fetch does not send. */
function get(address: string, host: string, method = 'GET', target?: string): Promise<number> {
  return new Promise((resolve, reject) => {
    request(address, { method, headers: { host }, ...(target && { path: target }) }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on('error', reject)
      .end();
  });
}

function isOpen(origin: string): Promise<boolean> {
  const { hostname, port } = new URL(origin);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => {
      socket.destroy();
      resolve(true);
    }).on('error', () => resolve(false));
  });
}

t.test('asks for a login as Codex 0.169 does, with the challenge of RFC 7636', async (t) => {
  // The pair of RFC 7636, appendix B.
  const verifier = new Secret('dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk');
  const attempt = { verifier, state: new Secret('the state'), redirectUri: redirectUriOn(1455) };
  const url = new URL(authorizeUrl(ISSUER, attempt, null));
  t.equal(url.origin + url.pathname, 'https://auth.openai.com/oauth/authorize');
  t.notMatch(url.href, /\+| /, 'no chat ends the link early');
  t.strictSame(Object.fromEntries(url.searchParams), {
    response_type: 'code',
    client_id: 'app_EMoamEEZ73f0CkXaXp7hrann',
    redirect_uri: 'http://127.0.0.1:1455/auth/callback',
    scope: 'openid profile email offline_access api.connectors.read api.connectors.invoke',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
    id_token_add_organizations: 'true',
    codex_cli_simplified_flow: 'true',
    state: 'the state',
    originator: 'codex_cli_rs',
  });
  const chosen = new URL(authorizeUrl(ISSUER, attempt, 'workspace-1'));
  t.equal(chosen.searchParams.get('allowed_workspace_id'), 'workspace-1');
});

t.test(
  'every attempt has a verifier and a state of its own, of 256 random bits, and the verifier is not shown',
  async (t) => {
    const [one, two] = [newAttempt('http://x'), newAttempt('http://x')];
    const all = [one, two].flatMap(({ state, verifier }) => [state.reveal(), verifier.reveal()]);
    t.equal(new Set(all).size, 4);
    for (const text of all) t.match(text, /^[\w-]{43}$/);
    const begun = beginLogin(ISSUER, null);
    t.notMatch(JSON.stringify(begun), begun.secrets.verifier.reveal());
    t.match(begun.url, begun.secrets.state.reveal());
  },
);

t.test('the answer with our state ends the wait and gives the code; the page does not show it', async (t) => {
  const it = await waiting(t);
  const page = await answerTo(it, { code: CODE, state: it.state });
  t.equal(page.status, 200);
  t.equal(page.headers.get('referrer-policy'), 'no-referrer');
  t.equal(page.headers.get('cache-control'), 'no-store');
  t.match(page.headers.get('content-security-policy'), "default-src 'none'");
  t.match(page.headers.get('content-type'), 'text/plain');
  const text = await page.text();
  t.notMatch(text, CANARY);
  t.notMatch(text, it.state);
  const { code, verifier, redirectUri } = await it.code;
  t.equal(code.reveal(), CODE);
  t.equal(redirectUri, it.url.searchParams.get('redirect_uri'));
  t.equal(redirectUri, `${it.origin}/auth/callback`);
  t.match(verifier.reveal(), /^[\w-]{43}$/);
  t.notOk(await isOpen(it.origin), 'the port is free again');
});

t.test(
  'an answer with another state, or none, or not one code, is refused and the wait goes on',
  async (t) => {
    const it = await waiting(t);
    const bad = [
      '',
      `code=${CODE}`,
      `code=${CODE}&state=`,
      `code=${CODE}&state=${it.state}x`,
      `code=${CODE}&state=${it.state.slice(0, -1)}`,
      `code=${CODE}&state=${it.state}&state=${it.state}`,
      `code=${CODE}&code=other&state=${it.state}`,
      `code=${CODE}&error=access_denied&state=${it.state}`,
      `error=access_denied&state=guessed`,
      `state=${it.state}`,
    ];
    for (const query of bad) {
      const page = await fetch(`${it.origin}/auth/callback?${query}`);
      t.equal(page.status, 400, query);
      t.notMatch(await page.text(), CANARY);
    }
    t.equal(it.strangers(), bad.length);
    await answerTo(it, { code: CODE, state: it.state });
    t.equal((await it.code).code.reveal(), CODE);
  },
);

t.test(
  'only GET is answered, only to our own name, only at the callback; nobody can ask us to leave',
  async (t) => {
    const it = await waiting(t);
    const callback = `${it.origin}/auth/callback?code=${CODE}&state=${it.state}`;
    const { port } = new URL(it.origin);
    for (const host of [
      'evil.test',
      `evil.test:${port}`,
      '127.0.0.1',
      '127.0.0.1:1',
      `127.0.0.1.evil.test:${port}`,
    ]) {
      t.equal(await get(callback, host), 403, host);
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD']) {
      t.equal(await get(callback, `127.0.0.1:${port}`, method), 405, method);
    }
    for (const path of [
      '/',
      '/cancel',
      '/success',
      '/auth/callback/',
      '/auth/callback/x',
      '//auth/callback',
    ]) {
      t.equal((await fetch(`${it.origin}${path}?code=${CODE}&state=${it.state}`)).status, 404, path);
    }
    for (const target of ['//[', '*', callback, '/%zz', `//auth/callback?code=${CODE}&state=${it.state}`]) {
      t.equal(await get(it.origin, `127.0.0.1:${port}`, 'GET', target), 404, target);
    }
    t.equal(it.strangers(), 0);
    t.equal(await get(callback, `localhost:${port}`), 200);
    t.equal((await it.code).code.reveal(), CODE);
  },
);

t.test(
  'the address for our own browser holds no secret, leads on once, and tells who comes second',
  async (t) => {
    const it = await waiting(t);
    t.notMatch(it.door, it.state);
    t.notMatch(it.door, it.url.searchParams.get('code_challenge') ?? '?');
    t.equal((await fetch(`${it.origin}/login/guessed`, { redirect: 'manual' })).status, 404);
    const first = await fetch(it.door, { redirect: 'manual' });
    t.equal(first.status, 303);
    t.equal(first.headers.get('location'), it.url.href);
    t.equal(first.headers.get('referrer-policy'), 'no-referrer');
    const second = await fetch(it.door, { redirect: 'manual' });
    t.equal(second.status, 410);
    t.equal(second.headers.get('location'), null);
    t.match(await second.text(), 'opened before');
  },
);

t.test('what the issuer refuses ends the login in its own words', async (t) => {
  const said = [
    [{ error: 'access_denied' }, 'LOGIN_DENIED', /declined in the browser/],
    [
      { error: 'access_denied', error_description: 'missing_codex_entitlement' },
      'LOGIN_DENIED',
      /Codex is not enabled for that workspace/,
    ],
    [{ error: 'server_error' }, 'LOGIN_FAILED', /an error: server_error$/],
    [{ error: `x${CANARY}`, error_description: CANARY }, 'LOGIN_FAILED', /with an error$/],
  ] as const;
  for (const [query, code, message] of said) {
    const it = await waiting(t);
    const ended = t.rejects(it.code, { code, message });
    const page = await answerTo(it, { ...query, state: it.state });
    t.notMatch(await page.text(), CANARY);
    await ended;
    t.notOk(await isOpen(it.origin));
  }
});

t.test('nobody coming back in time, or Ctrl-C, ends the wait and frees the port', async (t) => {
  const late = await waiting(t, 50);
  await t.rejects(late.code, { code: 'LOGIN_EXPIRED' });
  t.notOk(await isOpen(late.origin));
  const stopped = await waiting(t);
  const ended = t.rejects(stopped.code, { name: 'AbortError' });
  stopped.stop.abort();
  await ended;
  t.notOk(await isOpen(stopped.origin));
});

t.test('a connection on which a browser says nothing holds nobody up', async (t) => {
  const it = await waiting(t);
  const { hostname, port } = new URL(it.origin);
  const socket = connect(Number(port), hostname);
  const closed = once(socket, 'close');
  await once(socket, 'connect');
  await answerTo(it, { code: CODE, state: it.state });
  t.equal((await it.code).code.reveal(), CODE);
  await closed;
});

t.test(
  'the second port is used when the first is taken; both taken names both and the way without a port',
  async (t) => {
    const servers = [createServer(), createServer()];
    const ports = [];
    for (const server of servers) ports.push(await listen(server, t));
    const signal = AbortSignal.timeout(20_000);
    const talk = { show: () => undefined, stranger: () => undefined };
    await t.rejects(browserLogin({ issuer: ISSUER, signal, ports }, null, talk), {
      code: 'BUSY',
      message: new RegExp(`${ports[0]} is taken, ${ports[1]} is taken`),
      hint: /codex-router login start/,
    });
    const [first = 0] = ports;
    const shown = await new Promise<string>((resolve) => {
      const stop = new AbortController();
      t.teardown(() => stop.abort());
      const show = (url: string) => resolve(url);
      browserLogin({ issuer: ISSUER, signal: stop.signal, ports: [first, 0] }, null, { ...talk, show }).catch(
        () => undefined,
      );
    });
    const redirect = new URL(new URL(shown).searchParams.get('redirect_uri') ?? '');
    t.not(redirect.port, `${first}`);
    t.equal(redirect.hostname, '127.0.0.1');
  },
);

t.test('what a person brings back is understood in every form that carries a state', async (t) => {
  const query = `code=${CODE}&scope=openid%20email&state=the-state`;
  const forms = [
    `http://127.0.0.1:1455/auth/callback?${query}`,
    `http://localhost:1455/auth/callback?${query}`,
    ` <http://127.0.0.1:1457/auth/callback?${query}>\n`,
    `"http://127.0.0.1:1455/auth/callback?${query}"`,
    `127.0.0.1:1455/auth/callback?${query}`,
    `localhost:1455/auth/callback?${query}#`,
    `${CODE}#the-state`,
  ];
  for (const form of forms) {
    const { state, outcome } = parseReturned(form);
    t.equal(state.reveal(), 'the-state', form);
    t.match(outcome, { kind: 'code' });
    t.equal(outcome.kind === 'code' && outcome.code.reveal(), CODE);
  }
  const denied: AuthorizeAnswer = parseReturned(
    'http://127.0.0.1:1455/auth/callback?error=access_denied&state=the-state',
  );
  t.match(denied.outcome, { kind: 'refused', error: { code: 'LOGIN_DENIED' } });
});

t.test('anything else is refused with what is wrong, and never repeated', async (t) => {
  const at = 'http://127.0.0.1:1455/auth/callback';
  const bad: readonly (readonly [string, RegExp])[] = [
    ['', /nothing/],
    [' \n', /nothing/],
    [CODE, /without its state/],
    [`${at}?code=${CODE}`, /no answer of a login, or not the whole/],
    [`${at}?code=${CODE}&state=`, /no answer/],
    [`${at}?code=${CODE}&state=a&state=b`, /no answer/],
    [`${at}?state=a`, /no answer/],
    [`https://evil.test/auth/callback?code=${CODE}&state=a`, /not the address/],
    [`http://127.0.0.1:1455/other?code=${CODE}&state=a`, /not the address/],
    [`${at}?code=${CODE}&state=a ${at}?code=${CODE}&state=b`, /not the address/],
    [`https://auth.openai.com/oauth/authorize?state=${CANARY}`, /the address to open/],
    [`${CODE} and more`, /not the address/],
    [`${CODE}#`, /not the address/],
    [`#${CODE}`, /not the address/],
    ['\u0000', /not the address/],
  ];
  for (const [text, message] of bad) {
    try {
      parseReturned(text);
      t.fail(text);
    } catch (error) {
      t.match(error, { code: 'USAGE', message }, text);
      t.notMatch(`${(error as Error).message} ${(error as { hint?: string }).hint}`, CANARY);
    }
  }
});

t.test('a browser is opened only where the person can see it, and never through a shell', async (t) => {
  const display = { DISPLAY: ':0' };
  const ssh = { SSH_CONNECTION: '192.0.2.1 1 192.0.2.2 22' };
  t.strictSame(browserOpener(display, 'linux'), ['xdg-open']);
  t.strictSame(browserOpener({ WAYLAND_DISPLAY: 'wayland-0' }, 'freebsd'), ['xdg-open']);
  t.equal(browserOpener({ ...display, ...ssh }, 'linux'), null, 'the screen of the machine at the other end');
  t.strictSame(
    browserOpener({ DISPLAY: 'localhost:10.0', ...ssh }, 'linux'),
    ['xdg-open'],
    'ssh -X shows it',
  );
  t.equal(browserOpener({}, 'linux'), null);
  t.equal(browserOpener(ssh, 'linux'), null);
  t.strictSame(browserOpener({}, 'darwin'), ['/usr/bin/open']);
  t.equal(browserOpener(ssh, 'darwin'), null);
  t.strictSame(browserOpener({}, 'win32'), ['rundll32.exe', 'url.dll,FileProtocolHandler']);
  t.equal(browserOpener({ SSH_TTY: '/dev/pts/1' }, 'win32'), null);
  t.equal(browserOpener(display, 'aix'), null);
  t.equal(await openBrowser(['/nowhere/opener'], 'http://127.0.0.1:1', {}), false);
});
