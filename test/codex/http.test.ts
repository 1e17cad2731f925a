import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type Server as TcpServer } from 'node:net';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { type HttpLimits, type HttpOutcome, type HttpRequest, send } from '../../src/codex/http.js';
import { wayTo } from '../../src/codex/proxy.js';
import { freePort, listen } from '../kit/backend.js';
import { until } from '../kit/process.js';
import type { Owner } from '../kit/router.js';
import { CANARY } from '../kit/tokens.js';

const TOKEN = `rt_${CANARY}_http`;
const MIB = 1024 * 1024;

interface Site {
  readonly origin: string;
  readonly requests: readonly IncomingMessage[];
  /** Connections taken, whether or not a request came. */
  connections(): number;
  /** Connections open now. */
  open(): number;
  post(limits?: Partial<HttpLimits>, changes?: Partial<HttpRequest>): Promise<HttpOutcome>;
}

type Handler = (response: ServerResponse, request: IncomingMessage) => void;

/** An http server on loopback and a client that may talk to it: each request carries the token in its body. */
async function site(t: Owner, handler: Handler): Promise<Site> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    // The requests are read first: what follows is about the answer.
    request.resume().on('end', () => {
      requests.push(request);
      handler(response, request);
    });
  });
  return siteOf(server, await listen(server, t), requests);
}

/** The same for a server that is not even HTTP. */
async function rawSite(t: Owner, onConnection: Parameters<typeof createTcpServer>[1]): Promise<Site> {
  const server = createTcpServer(onConnection);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void server.close());
  const address = server.address();
  return siteOf(server, typeof address === 'object' && address !== null ? address.port : 0, []);
}

function siteOf(server: Server | TcpServer, port: number, requests: readonly IncomingMessage[]): Site {
  const origin = `http://127.0.0.1:${port}`;
  let connections = 0;
  let open = 0;
  server.on('connection', (socket) => {
    connections += 1;
    open += 1;
    socket
      .on('error', () => undefined)
      .on('close', () => {
        open -= 1;
      });
  });
  return {
    origin,
    requests,
    connections: () => connections,
    open: () => open,
    post: (limits = {}, changes = {}) =>
      send(
        { env: {}, testIssuer: origin, limits },
        { method: 'POST', url: `${origin}/oauth/token`, json: { refresh_token: TOKEN }, ...changes },
      ),
  };
}

/** Sees that a connection is given up, and that nothing told about it holds the token. */
async function isGivenUp(t: Test, site: Site, outcome: HttpOutcome, why: RegExp): Promise<void> {
  t.match(outcome, { kind: 'unanswered', why });
  t.notMatch(JSON.stringify(outcome), CANARY);
  await until('the connection is closed', () => site.open() === 0);
}

t.test('asks only the two hosts, by https, and a loopback origin only when a test names it', async (t) => {
  const server = await site(t, (response) => response.end('{}'));
  const port = new URL(server.origin).port;
  const foreign = async (url: string, testIssuer: string | null) =>
    t.rejects(
      send({ env: {}, testIssuer }, { method: 'POST', url, json: { refresh_token: TOKEN } }),
      { code: 'ISSUER_FOREIGN' },
      `${url} with ${testIssuer}`,
    );
  await foreign(server.origin, null);
  await foreign(`https://127.0.0.1:${port}`, server.origin);
  await foreign(`http://localhost:${port}`, server.origin);
  await foreign(`http://127.0.0.1:${Number(port) - 1}`, server.origin);
  await foreign(`http://user:secret@127.0.0.1:${port}`, server.origin);
  await foreign('http://issuer.test', 'http://issuer.test');
  await foreign('http://10.0.0.1:80', 'http://10.0.0.1:80');
  for (const url of [
    'http://auth.openai.com/oauth/token',
    'https://auth.openai.com:444/oauth/token',
    'https://auth.openai.com.evil.test/oauth/token',
    'https://evil.test/https://auth.openai.com',
    'https://auth.openai.com@evil.test/',
    'https://user@auth.openai.com/',
    'https://api.openai.com/',
    'https://openai.com/',
    'ftp://chatgpt.com/',
    'chatgpt.com',
    '',
  ]) {
    await foreign(url, null);
    await foreign(url, server.origin);
  }
  t.equal(server.connections(), 0, 'nobody was connected to');
  t.match(await server.post(), { kind: 'answered', status: 200, body: '{}' });
});

t.test('sends JSON or a form once, on a connection of its own, and keeps no cookie', async (t) => {
  const server = await site(t, (response) => response.setHeader('set-cookie', 'a=b').end('yes'));
  const { date, ...rest } = { date: '', ...(await server.post()) };
  t.strictSame(rest, { kind: 'answered', status: 200, body: 'yes' });
  t.match(date, / GMT$/);
  await send(
    { env: {}, testIssuer: server.origin },
    { method: 'GET', url: server.origin, headers: { authorization: 'Bearer x' } },
  );
  t.equal(server.connections(), 2);
  await until('both connections are closed', () => server.open() === 0);
  t.match(
    server.requests.map(({ method, headers }) => [method, headers]),
    [
      [
        'POST',
        {
          'content-type': 'application/json',
          'user-agent': 'codex-router',
          connection: 'close',
          cookie: undefined,
        },
      ],
      ['GET', { authorization: 'Bearer x', connection: 'close', cookie: undefined }],
    ],
  );
});

t.test('does not repeat a request the server could not serve', async (t) => {
  for (const status of [408, 413, 429, 500, 502, 503, 504, 521]) {
    const server = await site(t, (response) => {
      response.writeHead(status, { 'retry-after': '0' }).end('{}');
    });
    t.match(await server.post(), { kind: 'answered', status });
    t.equal(server.connections(), 1, String(status));
  }
});

t.test('follows no redirect, wherever it leads', async (t) => {
  const evil = await site(t, (response) => response.end('{}'));
  for (const status of [301, 302, 303, 307, 308]) {
    for (const location of [evil.origin, 'https://chatgpt.com/', 'https://evil.test/', '/again']) {
      const server = await site(t, (response) => response.writeHead(status, { location }).end());
      const outcome = await server.post();
      t.match(outcome, { kind: 'redirected', status });
      t.equal(server.connections(), 1);
      t.notMatch(JSON.stringify(outcome), 'evil');
    }
  }
  t.equal(evil.connections(), 0);
});

t.test('reads no more of an answer than the limit', async (t) => {
  const endless = (response: ServerResponse) => {
    const more = () => {
      while (!response.destroyed && response.write('x'.repeat(64 * 1024)));
    };
    response.on('drain', more);
    more();
  };
  const lying = await site(t, (response) => {
    response.writeHead(200, { 'content-length': String(2 ** 40) });
    endless(response);
  });
  await isGivenUp(t, lying, await lying.post(), /more than 1048576 bytes/);
  const chunked = await site(t, endless);
  await isGivenUp(t, chunked, await chunked.post(), /more than 1048576 bytes/);

  const bomb = gzipSync(Buffer.alloc(64 * MIB));
  t.ok(bomb.length < MIB / 8, 'small on the wire');
  const zipped = await site(t, (response) =>
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb),
  );
  await isGivenUp(t, zipped, await zipped.post(), /more than 1048576 bytes/);

  const whole = await site(t, (response) => response.end('x'.repeat(MIB)));
  t.match(await whole.post(), { kind: 'answered', body: 'x'.repeat(MIB) });
  const gzip = await site(t, (response) =>
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('{"small":1}')),
  );
  t.match(await gzip.post(), { kind: 'answered', body: '{"small":1}' }, 'unasked for, but readable');
  const torn = await site(t, (response) =>
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('{"small":1}').subarray(0, 12)),
  );
  await isGivenUp(t, torn, await torn.post(), /broke/);
});

t.test('a server that is not HTTP, or never ends its head, is not listened to', async (t) => {
  const echo = await rawSite(t, (socket) => socket.pipe(socket));
  await isGivenUp(t, echo, await echo.post(), /broke \(HPE_/);
  const endless = await rawSite(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n');
    const more = () => {
      while (!socket.destroyed && socket.write(`x-more: ${'x'.repeat(1000)}\r\n`));
    };
    socket.on('drain', more).resume();
    more();
  });
  await isGivenUp(t, endless, await endless.post(), /broke \(HPE_HEADER_OVERFLOW\)/);
});

t.test('a silent, a dripping and an unfinished answer end at their limits', async (t) => {
  const silent = await site(t, () => undefined);
  await isGivenUp(t, silent, await silent.post({ head: 300 }), /did not answer within 0.3 s/);
  const every = (
    ms: number,
    drip: () => unknown,
    socket: { on(event: 'close', done: () => void): unknown },
  ) => {
    const timer = setInterval(drip, ms);
    socket.on('close', () => clearInterval(timer));
  };
  const body = await site(t, (response) => every(20, () => response.write(' '), response));
  await isGivenUp(t, body, await body.post({ head: 10_000, whole: 600 }), /took longer than 0.6 s/);
  const head = await rawSite(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nx: ');
    every(20, () => socket.write('x'), socket.resume());
  });
  await isGivenUp(t, head, await head.post({ head: 400 }), /did not answer within 0.4 s/);
});

t.test('tells a request that never left from one that may have arrived', async (t) => {
  const url = `http://127.0.0.1:${await freePort()}`;
  t.strictSame(
    await send({ env: {}, testIssuer: url }, { method: 'POST', url, json: { refresh_token: TOKEN } }),
    { kind: 'unsent', why: `${new URL(url).host} takes no connections` },
  );
  const early = await rawSite(t, (socket) => socket.once('data', () => socket.resetAndDestroy()));
  const long = { refresh_token: TOKEN, rest: 'x'.repeat(8 * MIB) };
  await isGivenUp(t, early, await early.post({}, { json: long }), /broke \(E/);
  const late = await site(t, (response) => response.socket?.resetAndDestroy());
  await isGivenUp(t, late, await late.post(), /broke \(ECONNRESET\)/);
  const closing = await site(t, (response) => response.socket?.end());
  await isGivenUp(t, closing, await closing.post(), /broke/);
  const counted = await site(t, (response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('{"half":', () => response.socket?.end());
  });
  await isGivenUp(t, counted, await counted.post(), /broke/);
  const chunked = await site(t, (response) => {
    response.write('{"whole":1}', () => response.socket?.end());
  });
  await isGivenUp(t, chunked, await chunked.post(), /broke/);
});

t.test('a signal ends it at once: before, nobody is connected to; later, it may have arrived', async (t) => {
  const server = await site(t, () => undefined);
  const why = 'it was interrupted';
  t.strictSame(await server.post({}, { signal: AbortSignal.abort() }), { kind: 'unsent', why });
  t.equal(server.connections(), 0);
  const ending = new AbortController();
  const outcome = server.post({}, { signal: ending.signal });
  await until('the request has arrived', () => server.requests.length === 1);
  ending.abort();
  await isGivenUp(t, server, await outcome, /^it was interrupted$/);
});

t.test('reads the proxy variables as curl does, and shows no password', (t) => {
  const via = (env: Record<string, string>, host = 'auth.openai.com') => {
    const way = wayTo(host, env);
    return way.kind === 'proxy' ? way.proxy.href : way.kind === 'unusable' ? way.why : way.kind;
  };
  const HTTPS_PROXY = 'http://proxy.test:3128';
  const proxied = 'http://proxy.test:3128/';
  t.equal(via({}), 'direct');
  t.equal(via({ HTTPS_PROXY: '', https_proxy: '' }), 'direct');
  t.equal(via({ HTTP_PROXY: HTTPS_PROXY, http_proxy: HTTPS_PROXY }), 'direct', 'of another protocol');
  t.equal(via({ HTTPS_PROXY }), proxied);
  t.equal(via({ HTTPS_PROXY, https_proxy: 'lower.test:1' }), 'http://lower.test:1/');
  t.equal(via({ HTTPS_PROXY: 'proxy.test:3128' }), proxied);
  t.equal(via({ HTTPS_PROXY: 'https://u:p%40@proxy.test' }), 'https://u:p%40@proxy.test/');
  for (const NO_PROXY of [
    '*',
    'auth.openai.com',
    'localhost,.openai.com',
    'x openai.com',
    '*.openai.com',
    'OPENAI.COM:443',
    'com',
  ]) {
    t.equal(via({ HTTPS_PROXY, NO_PROXY }), 'direct', NO_PROXY);
    t.equal(via({ HTTPS_PROXY, no_proxy: NO_PROXY, NO_PROXY: 'x' }), 'direct', `no_proxy ${NO_PROXY}`);
  }
  for (const NO_PROXY of [
    '',
    ',',
    '.',
    'penai.com',
    'auth.openai.com.test',
    'openai.com:80',
    'chatgpt.com',
  ]) {
    t.equal(via({ HTTPS_PROXY, NO_PROXY }), proxied, NO_PROXY);
  }
  t.equal(via({ HTTPS_PROXY, NO_PROXY: 'chatgpt.com' }, 'chatgpt.com'), 'direct');
  for (const bad of [
    'socks5://u:CANARY@proxy.test',
    'http://u:CANARY%zz@proxy.test',
    'http://',
    'http://u:CANARY@proxy.test:port',
    'http://u:CANARY@pro xy',
  ]) {
    const way = wayTo('auth.openai.com', { HTTPS_PROXY: bad });
    t.match(way, { kind: 'unusable', why: /^HTTPS_PROXY / }, bad);
    t.notMatch(JSON.stringify(way), /CANARY|proxy\.test/);
  }
  t.end();
});
