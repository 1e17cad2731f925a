import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsProxy, createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { build } from 'esbuild';
import t, { type Test } from 'tap';
import type { HttpOutcome } from '../../src/codex/http.js';
import { freePort } from '../kit/backend.js';
import { outputOf, runProcess } from '../kit/process.js';
import type { Owner } from '../kit/router.js';

const PROJECT = join(import.meta.dirname, '..', '..');
const tls = (name: string) => join(PROJECT, 'test/fixtures/tls', `${name}.pem`);
const certified = (name: string) => ({ cert: readFileSync(tls(name)), key: readFileSync(tls('key')) });

const program = join(t.testdir(), 'http-client.mjs');
t.before(() =>
  build({
    entryPoints: [join(PROJECT, 'test/codex/http-client.ts')],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'esm',
    // What got depends on is CommonJS, and asks for Node's modules.
    banner: {
      js: "import { createRequire } from 'node:module';const require = createRequire(import.meta.url);",
    },
    logLevel: 'error',
  }),
);

/** Listens on loopback until the test ends, with every connection it took. */
async function serve(t: Owner, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  for (const event of ['connection', 'secureConnection']) {
    server.on(event, (socket: Socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    });
  }
  // `localhost` may be either family.
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

interface Issuer {
  readonly port: number;
  readonly requests: { readonly headers: IncomingMessage['headers']; readonly body: string }[];
}

/** What the client takes for https://auth.openai.com. */
async function startIssuer(t: Owner, certificate = 'auth.openai.com', answers = true): Promise<Issuer> {
  const requests: Issuer['requests'] = [];
  const server = createTlsServer(certified(certificate), async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    requests.push({ headers: request.headers, body });
    if (answers) response.end('{"from":"issuer"}');
  });
  return { port: await serve(t, server), requests };
}

interface Proxy {
  readonly port: number;
  readonly asked: { readonly target: string; readonly authorization: string | null }[];
}

/** A CONNECT proxy: whatever it is asked for, `answer` decides; by default it connects to `port`. */
async function startProxy(
  t: Owner,
  answer: number | ((socket: Socket) => void),
  server: Server = createServer(),
): Promise<Proxy> {
  const asked: Proxy['asked'] = [];
  server.on('request', (_, response) => response.writeHead(405).end());
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    asked.push({
      target: request.url ?? '',
      authorization: request.headers['proxy-authorization'] ?? null,
    });
    if (typeof answer !== 'number') {
      answer(socket);
      return;
    }
    const onward = connect(answer, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(onward).pipe(socket);
    });
    onward.on('error', () => socket.destroy());
    socket.on('close', () => onward.destroy());
  });
  return { port: await serve(t, server), asked };
}

/** The outcome of the same refresh in each of these environments, made by a process that trusts the test's CA. */
async function refreshes(
  t: Test,
  environments: readonly Record<string, string>[],
  { direct = 0, env = { NODE_EXTRA_CA_CERTS: tls('ca') } as Record<string, string> } = {},
): Promise<readonly HttpOutcome[]> {
  const run = await runProcess([process.execPath, program], {
    env: { ...env, DEBUG: '*', NODE_DEBUG: '', TEST_TLS_PORT: String(direct) },
    cwd: PROJECT,
    input: JSON.stringify(environments),
    timeout: 30_000,
  });
  t.equal(run.code, 0, outputOf(run));
  t.equal(run.stderr, '');
  t.notMatch(run.stdout, /CANARY|hunter/, 'neither the token nor the password of the proxy');
  return JSON.parse(run.stdout);
}

/** Which of the proxies below leave the client waiting. */
const SILENT = [6, 7, 8];

const ANSWERED = { kind: 'answered', status: 200, body: '{"from":"issuer"}' } as const;

t.test('goes through the proxy of HTTPS_PROXY, TLS to the issuer inside; NO_PROXY goes direct', async (t) => {
  const issuer = await startIssuer(t);
  const proxy = await startProxy(t, issuer.port);
  const secure = await startProxy(t, issuer.port, createTlsProxy(certified('localhost')));
  const HTTPS_PROXY = `http://hunter:hunter%402@127.0.0.1:${proxy.port}`;
  const outcomes = await refreshes(
    t,
    [
      { HTTPS_PROXY },
      { https_proxy: `127.0.0.1:${proxy.port}` },
      { HTTPS_PROXY: `https://localhost:${secure.port}` },
      { HTTPS_PROXY, NO_PROXY: 'openai.com' },
      {},
    ],
    { direct: issuer.port },
  );
  t.match(outcomes, [ANSWERED, ANSWERED, ANSWERED, ANSWERED, ANSWERED]);
  t.equal(outcomes.length, 5);
  const target = 'auth.openai.com:443';
  const authorization = `Basic ${Buffer.from('hunter:hunter@2').toString('base64')}`;
  t.strictSame(proxy.asked, [
    { target, authorization },
    { target, authorization: null },
  ]);
  t.strictSame(secure.asked, [{ target, authorization: null }]);
  t.equal(issuer.requests.length, 5);
  for (const { headers, body } of issuer.requests) {
    t.match(headers, { host: 'auth.openai.com', connection: 'close', 'proxy-authorization': undefined });
    t.equal(body, '{"refresh_token":"rt_CANARY_proxy"}');
  }
});

t.test('a silent issuer behind a proxy is given up, and nothing keeps the process', async (t) => {
  const issuer = await startIssuer(t, 'auth.openai.com', false);
  const proxy = await startProxy(t, issuer.port);
  const outcomes = await refreshes(t, [{ HTTPS_PROXY: `127.0.0.1:${proxy.port}`, HEAD_LIMIT: '300' }]);
  t.strictSame(outcomes, [{ kind: 'unanswered', why: 'auth.openai.com did not answer within 0.3 s' }]);
  t.equal(issuer.requests.length, 1);
});

t.test('what a proxy answers is never taken for the issuer, and nothing was sent', async (t) => {
  const issuer = await startIssuer(t);
  const body = '{"error":{"code":"refresh_token_reused"}}';
  const says = (status: string) => (socket: Socket) =>
    void socket.end(`HTTP/1.1 ${status}\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
  const proxies = await Promise.all([
    startProxy(t, says('407 hunter')),
    startProxy(t, says('403 no')),
    startProxy(t, says('401 no')),
    startProxy(t, (socket) => void socket.destroy()),
    startProxy(t, (socket) => void socket.end('HTTP/1.1 200 OK\r\n\r\n')),
    startProxy(t, (socket) => {
      const more = () => {
        while (!socket.destroyed && socket.write(`x: ${'x'.repeat(1000)}\r\n`));
      };
      socket.write('HTTP/1.1 200 OK\r\n');
      socket.on('drain', more);
      more();
    }),
    startProxy(t, () => undefined),
    startProxy(t, (socket) => void socket.write(`HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 401 no\r\n\r\n${body}`)),
    startProxy(t, (socket) => void socket.write('HTTP/1.1 200 OK\r\n\r\n')),
  ]);
  const ports = [...proxies.map(({ port }) => port), await freePort()];
  const outcomes = await refreshes(t, [
    ...ports.map((port, at) => ({
      HTTPS_PROXY: `http://hunter:hunter2@127.0.0.1:${port}`,
      ...(SILENT.includes(at) && { CONNECT_LIMIT: '400' }),
    })),
    { HTTPS_PROXY: `http://hunter:hunter2@[::1]:${ports.at(-1)}` },
    { HTTPS_PROXY: 'socks5://hunter:hunter2@127.0.0.1:1' },
  ]);
  const whys = [
    /^the proxy 127.0.0.1:\d+ answered 407: it wants another user name and password$/,
    /^the proxy 127.0.0.1:\d+ answered 403$/,
    /^the proxy 127.0.0.1:\d+ answered 401$/,
    /^the connection to the proxy 127.0.0.1:\d+ broke/,
    /^the connection to the proxy 127.0.0.1:\d+ broke/,
    /^the connection to the proxy 127.0.0.1:\d+ broke \(HPE_HEADER_OVERFLOW\)$/,
    /^no connection to auth.openai.com through the proxy 127.0.0.1:\d+ within 0.4 s$/,
    /^no connection to auth.openai.com through the proxy 127.0.0.1:\d+ within 0.4 s$/,
    /^no connection to auth.openai.com through the proxy 127.0.0.1:\d+ within 0.4 s$/,
    /^the proxy 127.0.0.1:\d+ takes no connections$/,
    /^the (proxy|connection to the proxy) \[::1\]:\d+ (takes no connections|cannot be reached|broke \(EADDRNOTAVAIL\))$/,
    /^HTTPS_PROXY names a proxy of another kind than http and https$/,
  ];
  t.equal(outcomes.length, whys.length);
  outcomes.forEach((outcome, at) => {
    t.match(outcome, { kind: 'unsent', why: whys[at] });
  });
  t.strictSame(issuer.requests, []);
});

t.test('a certificate that is not the issuer’s gets not a byte, whatever the environment says', async (t) => {
  const good = await startIssuer(t);
  const bad = await Promise.all(['other-host', 'expired', 'self-signed'].map((name) => startIssuer(t, name)));
  const proxied = await Promise.all(
    [...bad, good].map(async ({ port }) => ({
      HTTPS_PROXY: `http://127.0.0.1:${(await startProxy(t, port)).port}`,
    })),
  );
  const impostor = await startProxy(t, good.port, createTlsProxy(certified('self-signed')));
  proxied.push({ HTTPS_PROXY: `https://localhost:${impostor.port}` });
  const untrusted = (code: RegExp) => ({ kind: 'unsent', why: code });
  const codes = [
    untrusted(
      /^the certificate shown for auth.openai.com through the proxy 127.0.0.1:\d+ is not trusted \(ERR_TLS_CERT_ALTNAME_INVALID\)$/,
    ),
    untrusted(/\(CERT_HAS_EXPIRED\)$/),
    untrusted(/\(DEPTH_ZERO_SELF_SIGNED_CERT\)$/),
  ];
  const expected = [...codes, ANSWERED, untrusted(/\(DEPTH_ZERO_SELF_SIGNED_CERT\)$/)];
  t.match(await refreshes(t, proxied), expected);
  t.match(
    await refreshes(t, proxied, {
      env: { NODE_EXTRA_CA_CERTS: tls('ca'), NODE_TLS_REJECT_UNAUTHORIZED: '0', NODE_NO_WARNINGS: '1' },
    }),
    expected,
    'NODE_TLS_REJECT_UNAUTHORIZED is not obeyed',
  );
  t.match(
    await refreshes(t, proxied.slice(3, 4), { env: {} }),
    [untrusted(/ \(UNABLE_TO_VERIFY_LEAF_SIGNATURE\), a CA of your own goes into NODE_EXTRA_CA_CERTS$/)],
    'without NODE_EXTRA_CA_CERTS its CA is nobody',
  );
  for (const { port } of bad) {
    t.match(await refreshes(t, [{}], { direct: port }), [{ kind: 'unsent' }], 'directly neither');
  }
  t.strictSame(
    bad.flatMap(({ requests }) => requests),
    [],
  );
  t.equal(good.requests.length, 2);
  t.strictSame(impostor.asked, [], 'a proxy with such a certificate is not even asked');
});
