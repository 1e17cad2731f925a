import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type WebSocket, WebSocketServer } from 'ws';
import { readConfig } from '../../src/openclaw/config.js';
import { activeRuns, type ReloadDeps, reloadGateway } from '../../src/openclaw/gateway.js';
import { parseGatewayConfig } from '../../src/openclaw/gateway-config.js';
import { connectWebSocket } from '../../src/openclaw/gateway-wire.js';
import type { ReloadTarget } from '../../src/openclaw/locate.js';
import { runningSessions } from '../../src/openclaw/reload.js';

const TOKEN = 'gateway-token-CANARY-0123456789';
const PASSWORD = 'gateway-password-CANARY-0123456789';
const ALICE = 4102444800000;
const BOB = 4102444860000;
const SLOT = 'openai-codex:default';

type Frame = { type: string; id: string; method: string; params: Record<string, unknown> };
type Say = (id: string, body: { payload: unknown } | { error: unknown }) => void;

interface StandInOptions {
  readonly release?: '2026.3.28' | '2026.5.7' | '2026.6.1' | '2026.8.1' | '2026.9.6';
  readonly auth?: { token?: string; password?: string };
  readonly stateDir?: string;
  /** Agents besides main with a login of their own, which a gateway from 8.1 on reports if asked for them. */
  readonly agents?: Readonly<Record<string, number>>;
  /** What the gateway loaded at its start, and what lies on disk now. */
  readonly snapshot?: number;
  readonly disk?: number;
  readonly runs?: readonly string[];
  /** Takes a request away from the stand-in; true when it has dealt with it. */
  readonly intercept?: (frame: Frame, say: Say, socket: WebSocket) => boolean;
  readonly challenge?: boolean;
  readonly protocols?: readonly number[];
}

/**
 * A gateway with the frames that 3.28, 5.7, 6.1, 8.1 and 9.6 sent when they were run: challenge, hello-ok (3.28 has neither
 * `auth` nor `stateDir` in it), refusals word for word, a `health` event between a request and its answer. What makes them
 * read again: `secrets.reload`, from 6.1 `models.authStatus {refresh}`, in 9.6 `models.authRefresh`.
 */
async function standIn(t: Test, options: StandInOptions = {}) {
  const { release = '2026.5.7', auth = { token: TOKEN }, challenge = true, protocols = [3] } = options;
  const modern = release !== '2026.3.28';
  let snapshot = options.snapshot ?? ALICE;
  const load = () => {
    snapshot = options.disk ?? BOB;
  };
  const seen: Frame[] = [];
  const server = createServer((_request, response) => response.writeHead(404).end('Not Found'));
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => {
    const send = (frame: object) => socket.send(JSON.stringify(frame));
    const say: Say = (id, body) => send({ type: 'res', id, ok: !('error' in body), ...body });
    const health = () => send({ type: 'event', event: 'health', payload: { ok: true, agents: [] }, seq: 1 });
    let admin = false;
    if (challenge) {
      const payload = { nonce: 'a47d29cc-b408-4ab5-85f6-eb329ae9e01e', ts: 1795280798231 };
      send({ type: 'event', event: 'connect.challenge', payload });
    }
    socket.on('message', (data) => {
      const frame: Frame = JSON.parse(data.toString());
      seen.push(frame);
      if (options.intercept?.(frame, say, socket)) return;
      const { id, method, params } = frame;
      if (method === 'connect') {
        const refusal = refuse(params, auth, protocols);
        if (refusal !== null) {
          say(id, { error: refusal.error });
          socket.close(refusal.close, refusal.error.message);
          return;
        }
        const client = params.client as { id: string; mode: string };
        admin = modern && client.id === 'gateway-client' && client.mode === 'backend';
        say(id, { payload: hello(release, admin, options.stateDir ?? '/nowhere') });
        return;
      }
      health();
      if (!admin)
        return say(id, { error: { code: 'INVALID_REQUEST', message: 'missing scope: operator.admin' } });
      if (method === 'secrets.reload') {
        load();
        return say(id, { payload: { ok: true, warningCount: 0 } });
      }
      const agent = release >= '2026.8' ? params.agentId : undefined;
      const own = typeof agent === 'string' ? options.agents?.[agent] : undefined;
      if (agent !== undefined && agent !== 'main' && own === undefined) {
        const details = { code: 'UNKNOWN_AGENT_ID', agentId: agent };
        const error = { code: 'INVALID_REQUEST', message: `unknown agent id "${agent}"`, details };
        return say(id, { error });
      }
      if (method === 'models.authRefresh' && release === '2026.9.6') {
        load();
        return say(id, { payload: { refreshed: true } });
      }
      if (method === 'models.authStatus') {
        if (params.refresh === true && release >= '2026.6') load();
        return say(id, { payload: authStatus(own ?? snapshot, release) });
      }
      if (method === 'sessions.list') return say(id, { payload: sessionsList(options.runs ?? []) });
      say(id, { error: { code: 'INVALID_REQUEST', message: `unknown method: ${method}` } });
    });
  });
  const port = await listen(t, server);
  t.teardown(() => {
    for (const socket of sockets.clients) socket.terminate();
  });
  return { port, seen, methods: () => seen.map((frame) => frame.method) };
}

function refuse(
  params: Record<string, unknown>,
  auth: { token?: string; password?: string },
  protocols: readonly number[],
) {
  const given = params.auth as { token?: string; password?: string };
  const [min, max] = [Number(params.minProtocol), Number(params.maxProtocol)];
  if (!protocols.some((one) => one >= min && one <= max)) {
    const error = { code: 'INVALID_REQUEST', message: 'protocol mismatch', details: { expectedProtocol: 3 } };
    return { close: 1002, error };
  }
  if (auth.token === undefined && auth.password === undefined) {
    const details = { code: 'DEVICE_IDENTITY_REQUIRED' };
    return { close: 1008, error: { code: 'NOT_PAIRED', message: 'device identity required', details } };
  }
  if (auth.token !== undefined ? given.token === auth.token : given.password === auth.password) return null;
  const what = auth.token !== undefined ? 'token' : 'password';
  const details = {
    code: `AUTH_${what.toUpperCase()}_MISMATCH`,
    authReason: `${what}_mismatch`,
    canRetryWithDeviceToken: false,
    recommendedNextStep: 'update_auth_credentials',
  };
  const message = `unauthorized: gateway ${what} mismatch (provide gateway auth ${what})`;
  return { close: 1008, error: { code: 'INVALID_REQUEST', message, details } };
}

function hello(release: string, admin: boolean, stateDir: string) {
  const modern = release !== '2026.3.28';
  const methods = [
    'health',
    'status',
    'models.list',
    'secrets.reload',
    'secrets.resolve',
    'sessions.list',
    'chat.send',
  ];
  return {
    type: 'hello-ok',
    protocol: 3,
    server: { version: release, connId: 'b3a25cb5-291f-465a-a86c-b826f869b51b' },
    features: {
      methods: [
        ...methods,
        ...(modern ? ['models.authStatus'] : []),
        ...(release === '2026.9.6' ? ['models.authRefresh'] : []),
      ],
      events: ['connect.challenge', 'agent', 'chat', 'presence', 'tick', 'shutdown', 'health'],
    },
    snapshot: {
      presence: [],
      health: { ok: true },
      stateVersion: { presence: 2, health: 2 },
      uptimeMs: 43897,
      sessionDefaults: {
        defaultAgentId: 'main',
        mainKey: 'main',
        mainSessionKey: 'agent:main:main',
        scope: 'per-sender',
      },
      ...(modern && admin
        ? { configPath: join(stateDir, 'openclaw.json'), stateDir, authMode: 'token' }
        : {}),
    },
    ...(modern ? { auth: { role: 'operator', scopes: admin ? ['operator.admin'] : [] } } : {}),
    policy: { maxPayload: 26214400, maxBufferedBytes: 52428800, tickIntervalMs: 30000 },
  };
}

function authStatus(at: number, release = '2026.5.7') {
  const provider = release >= '2026.6' ? 'openai' : 'openai-codex';
  const expiry = { at, remainingMs: at - 1795280799101, label: '26703d' };
  return {
    ts: 1795280799101,
    providers: [
      {
        provider,
        displayName: 'Codex',
        status: 'ok',
        expiry,
        profiles: [
          {
            profileId: `${provider}:work`,
            type: 'oauth',
            status: 'ok',
            expiry: { ...expiry, at: ALICE + 1 },
          },
          { profileId: `${provider}:default`, type: 'oauth', status: 'ok', expiry },
        ],
        usage: { windows: [] },
      },
    ],
  };
}

function sessionsList(running: readonly string[]) {
  const keys = ['agent:main:main', 'agent:main:telegram:direct:1001'];
  return {
    ts: 1795280800776,
    path: '/nowhere/agents/main/sessions/sessions.json',
    count: keys.length,
    totalCount: keys.length,
    hasMore: false,
    sessions: keys.map((key) => ({ key, kind: 'direct', updatedAt: 1, hasActiveRun: running.includes(key) })),
  };
}

async function listen(
  t: Test,
  server: { listen(port: number, host: string): unknown; address(): unknown; close(): unknown },
) {
  const up = once(server as never, 'listening');
  server.listen(0, '127.0.0.1');
  await up;
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function closedPort(): Promise<number> {
  const server = createTcp().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function scratch(t: Test, ...folders: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-test-'));
  for (const name of folders) mkdirSync(join(folder, name));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** One host per test, however often it is set up. */
const hosts = new WeakMap<Test, string>();

type Overrides = Partial<Omit<ReloadDeps, 'config'>> & { gateway?: Record<string, unknown> };

function setUp(t: Test, port: number, overrides: Overrides = {}): ReloadDeps {
  const folder = hosts.get(t) ?? scratch(t, 'state', 'tmp');
  hosts.set(t, folder);
  const { gateway, ...rest } = overrides;
  return {
    config: parseGatewayConfig({ mode: 'local', port, auth: { mode: 'token', token: TOKEN }, ...gateway }),
    configPath: join(folder, 'state', 'openclaw.json'),
    stateDir: join(folder, 'state'),
    env: { HOME: folder },
    release: '2026.5.7',
    command: null,
    agent: 'main',
    inMainStore: true,
    provider: 'openai-codex',
    profileId: SLOT,
    expiresAt: BOB,
    now: () => BOB - 3_600_000,
    temporary: join(folder, 'tmp'),
    ...rest,
  };
}

/** The slot as it is called from 6.1 on, or before. */
function slotOf(release: string) {
  const provider = release >= '2026.6' ? 'openai' : 'openai-codex';
  return { provider, profileId: `${provider}:default` };
}

/** OpenClaw's template for a variable in a config value. */
const ref = (name: string) => `\${${name}}`;

const codes = (outcome: { notes: readonly { code: string }[] }) => outcome.notes.map((note) => note.code);

t.test('a gateway that re-reads and reports the login written is proved', async (t) => {
  const deps = setUp(t, 0);
  const gateway = await standIn(t, { stateDir: deps.stateDir });
  const outcome = await reloadGateway({
    ...deps,
    config: parseGatewayConfig({ port: gateway.port, auth: { token: TOKEN } }),
  });
  t.strictSame(outcome, { effective: 'now', proved: true, advice: null, notes: [] });
  t.strictSame(gateway.methods(), ['connect', 'secrets.reload', 'models.authStatus']);
  t.strictSame(gateway.seen[2]?.params, { refresh: true });
  t.match(gateway.seen[0]?.params, {
    client: { id: 'gateway-client', mode: 'backend' },
    role: 'operator',
    scopes: ['operator.admin'],
    auth: { token: TOKEN },
  });
});

t.test('a state directory reached through a symlink is the same one', async (t) => {
  const deps = setUp(t, 0);
  const link = join(scratch(t), 'link');
  symlinkSync(deps.stateDir, link);
  const { port } = await standIn(t, { stateDir: link });
  t.match(await reloadGateway({ ...deps, config: parseGatewayConfig({ port, auth: { token: TOKEN } }) }), {
    proved: true,
  });
});

t.test('a gateway of protocol 4 (5.12 and later) is spoken to as well', async (t) => {
  const { port } = await standIn(t, { protocols: [4], stateDir: setUp(t, 0).stateDir });
  const deps = setUp(t, port);
  t.match(await reloadGateway(deps), { effective: 'now', proved: true });
});

t.test('an unknown protocol is told, not guessed', async (t) => {
  const { port } = await standIn(t, { protocols: [9] });
  const outcome = await reloadGateway(setUp(t, port));
  t.match(outcome, { effective: 'after-next-turn', proved: false });
  t.strictSame(codes(outcome), ['GATEWAY_PROTOCOL']);
});

t.test('nothing listening is no-gateway, and nothing is loaded or sent', async (t) => {
  let loaded = 0;
  const connect: typeof connectWebSocket = (...all) => {
    loaded += 1;
    return connectWebSocket(...all);
  };
  const deps = setUp(t, await closedPort(), { connect });
  t.strictSame(await reloadGateway(deps), {
    effective: 'no-gateway',
    proved: false,
    advice: null,
    notes: [],
  });
  t.strictSame(await activeRuns(deps), new Set());
  t.equal(loaded, 0);
});

t.test('a live gateway of this configuration on another port is not "no gateway"', async (t) => {
  const deps = setUp(t, await closedPort());
  const lock = (pid: number, more = {}) => {
    const uid = process.getuid?.();
    const folder = join(deps.temporary ?? '', uid === undefined ? 'openclaw' : `openclaw-${uid}`);
    mkdirSync(folder, { recursive: true });
    const hash = createHash('sha256').update(deps.configPath).digest('hex').slice(0, 8);
    const payload = { pid, createdAt: '2026-11-21T17:05:56.626Z', configPath: deps.configPath, ...more };
    writeFileSync(join(folder, `gateway.${hash}.lock`), JSON.stringify(payload));
  };
  lock(process.pid);
  const outcome = await reloadGateway(deps);
  t.match(outcome, { effective: 'after-next-turn', proved: false, advice: /openclaw secrets reload/ });
  t.strictSame(codes(outcome), ['GATEWAY_OTHER_PORT']);
  t.match(outcome.notes[0]?.text, new RegExp(`process ${process.pid} `));
  t.equal(await activeRuns(deps), null);

  const gone = spawn(process.execPath, ['-e', '0']);
  await once(gone, 'exit');
  lock(gone.pid ?? 0);
  t.match(await reloadGateway(deps), { effective: 'no-gateway' }, 'the lock of a dead process is no gateway');
  if (process.platform === 'linux') {
    lock(process.pid, { startTime: 1 });
    t.match(await reloadGateway(deps), { effective: 'no-gateway' }, 'nor is that of a reused pid');
  }
});

t.test('a gateway of another state directory is not asked to reload', async (t) => {
  const { port, methods } = await standIn(t, { stateDir: scratch(t) });
  const deps = setUp(t, port);
  const outcome = await reloadGateway(deps);
  t.match(outcome, { effective: 'after-next-turn', proved: false });
  t.strictSame(codes(outcome), ['GATEWAY_OTHER_STATE']);
  t.equal(outcome.notes[0]?.text, `the gateway on port ${port} does not serve this state directory`);
  t.strictSame(methods(), ['connect']);
  t.equal(await activeRuns(deps), null);
});

t.test('a gateway that does not name its directory is told apart by the login it reports', async (t) => {
  const silentOnDirectory = (frame: Frame, say: Say) => {
    if (frame.method !== 'connect') return false;
    const full = hello('2026.5.7', true, '/nowhere');
    const { stateDir, configPath, ...snapshot } = { stateDir: '', configPath: '', ...full.snapshot };
    say(frame.id, { payload: { ...full, snapshot } });
    return true;
  };
  const admin = (reports: number) => (frame: Frame, say: Say) => {
    if (silentOnDirectory(frame, say)) return true;
    say(frame.id, {
      payload: frame.method === 'secrets.reload' ? { ok: true, warningCount: 0 } : authStatus(reports),
    });
    return true;
  };
  const ours = await standIn(t, { intercept: admin(BOB) });
  t.match(await reloadGateway(setUp(t, ours.port)), { effective: 'now', proved: true });
  const contained = await standIn(t, { stateDir: '/folder/of/a/container' });
  t.match(await reloadGateway(setUp(t, contained.port)), { effective: 'now', proved: true });
  const other = await standIn(t, { intercept: admin(ALICE) });
  const outcome = await reloadGateway(setUp(t, other.port));
  t.match(outcome, { effective: 'after-next-turn', proved: false });
  t.strictSame(codes(outcome), ['GATEWAY_OTHER_STATE']);
});

t.test('our own gateway that still reports another login is never called switched', async (t) => {
  const deps = setUp(t, 0);
  const { port } = await standIn(t, { stateDir: deps.stateDir, disk: ALICE });
  const config = parseGatewayConfig({ port, auth: { token: TOKEN } });
  const outcome = await reloadGateway({ ...deps, config });
  t.match(outcome, { effective: 'after-next-turn', proved: false, advice: /send one message/ });
  t.strictSame(codes(outcome), ['GATEWAY_OTHER_LOGIN']);
  const missing = await reloadGateway({ ...deps, config, profileId: 'openai-codex:elsewhere' });
  t.strictSame(codes(missing), ['GATEWAY_OTHER_LOGIN']);
});

t.test('a reload that cannot be proved is now, unproved, and says why', async (t) => {
  const deps = setUp(t, 0);
  const at = (port: number, more: Partial<ReloadDeps> = {}) =>
    reloadGateway({ ...deps, config: parseGatewayConfig({ port, auth: { token: TOKEN } }), ...more });
  const { stateDir } = deps;

  const plain = await standIn(t, { stateDir });
  for (const more of [{ inMainStore: false }, { provider: 'another' }]) {
    const outcome = await at(plain.port, more);
    t.match(outcome, { effective: 'now', proved: false, advice: null }, JSON.stringify(more));
    t.strictSame(codes(outcome), ['GATEWAY_UNPROVED']);
  }

  const onStatus = (deal: (frame: Frame, say: Say, socket: WebSocket) => void) =>
    standIn(t, {
      stateDir,
      intercept: (frame, say, socket) => {
        if (frame.method === 'models.authStatus') deal(frame, say, socket);
        return frame.method === 'models.authStatus';
      },
    });
  const cases = {
    failing: await onStatus((frame, say) =>
      say(frame.id, { error: { code: 'UNAVAILABLE', message: 'Error' } }),
    ),
    nonsense: await onStatus((frame, say) => say(frame.id, { payload: { providers: 'many' } })),
    'hanging up': await onStatus((_frame, _say, socket) => socket.terminate()),
    silent: await onStatus(() => undefined),
  };
  for (const [name, { port }] of Object.entries(cases)) {
    const outcome = await at(port, { limits: { exchange: 2000, command: 1000 } });
    t.match(outcome, { effective: 'now', proved: false, advice: null }, name);
    t.strictSame(codes(outcome), ['GATEWAY_UNPROVED'], name);
  }
});

t.test('each release is told in the way it understands, once, and asked for the login', async (t) => {
  const { stateDir } = setUp(t, 0);
  const ways: Record<string, readonly (readonly [string, object])[]> = {
    '2026.5.7': [
      ['secrets.reload', {}],
      ['models.authStatus', { refresh: true }],
    ],
    '2026.6.1': [['models.authStatus', { refresh: true }]],
    '2026.8.1': [['models.authStatus', { refresh: true, agentId: 'main' }]],
    '2026.9.6': [
      ['models.authRefresh', { operation: 'update', agentId: 'main' }],
      ['models.authStatus', { agentId: 'main' }],
    ],
  };
  for (const [release, calls] of Object.entries(ways)) {
    const standing = release as '2026.5.7' | '2026.6.1';
    const { port, seen } = await standIn(t, { release: standing, stateDir, protocols: [3, 4] });
    // The package on disk may be another: what runs decides.
    const outcome = await reloadGateway(setUp(t, port, { ...slotOf(release), release: '2026.4.23' }));
    t.strictSame(outcome, { effective: 'now', proved: true, advice: null, notes: [] }, release);
    t.strictSame(
      seen.slice(1).map(({ method, params }) => [method, params]),
      calls,
      release,
    );
  }
});

t.test('a way that is refused or changes nothing is followed by the next', async (t) => {
  const { stateDir } = setUp(t, 0);
  const run = async (deal: (frame: Frame, say: Say) => boolean, more: Overrides = {}) => {
    const { port, methods } = await standIn(t, { release: '2026.9.6', stateDir, intercept: deal });
    const outcome = await reloadGateway(setUp(t, port, { ...slotOf('2026.9.6'), ...more }));
    return { outcome, asked: methods().slice(1) };
  };
  const refuse =
    (...methods: string[]) =>
    (frame: Frame, say: Say) => {
      const message = `rate limit exceeded for ${frame.method}; retry after 59s`;
      if (methods.includes(frame.method)) say(frame.id, { error: { code: 'UNAVAILABLE', message } });
      return methods.includes(frame.method);
    };
  const busy = await run(refuse('models.authRefresh'));
  t.match(busy.outcome, { effective: 'now', proved: true });
  t.strictSame(busy.asked, ['models.authRefresh', 'models.authStatus']);

  const twice = await run(refuse('models.authRefresh', 'models.authStatus'));
  t.match(twice.outcome, { effective: 'now', proved: false });
  t.strictSame(codes(twice.outcome), ['GATEWAY_UNPROVED']);

  const all = await run(refuse('models.authRefresh', 'models.authStatus', 'secrets.reload'));
  t.match(all.outcome, { effective: 'after-next-turn', proved: false });
  t.strictSame(codes(all.outcome), ['GATEWAY_RELOAD_FAILED']);

  const unmoved = await run((frame, say) => {
    if (frame.method === 'models.authRefresh') say(frame.id, { payload: { refreshed: true } });
    return frame.method === 'models.authRefresh';
  });
  t.match(unmoved.outcome, { effective: 'now', proved: true }, 'the status call reads again by itself');
  t.strictSame(unmoved.asked, ['models.authRefresh', 'models.authStatus', 'models.authStatus']);

  const silent = await run((frame, say) => {
    const unavailable = { code: 'PREPARED_MODEL_AUTH_UNAVAILABLE' };
    if (frame.method !== 'models.authStatus') return false;
    say(frame.id, { payload: { ts: 1, providers: [], unavailable } });
    return true;
  });
  t.match(silent.outcome, { effective: 'now', proved: false });

  const cleared = await run(() => false, { expiresAt: null });
  t.match(cleared.outcome, { effective: 'now', proved: false });
  t.strictSame(cleared.asked, ['models.authRefresh']);
});

t.test('the slot of another agent is proved where a gateway can be asked for it', async (t) => {
  const { stateDir } = setUp(t, 0);
  const own = { agent: 'work', inMainStore: false };
  const newer = await standIn(t, { release: '2026.8.1', stateDir, agents: { work: BOB }, disk: ALICE });
  t.match(await reloadGateway(setUp(t, newer.port, { ...slotOf('2026.8.1'), ...own })), { proved: true });
  t.strictSame(newer.seen[1]?.params, { refresh: true, agentId: 'work' });

  const older = await standIn(t, { release: '2026.6.1', stateDir });
  const unproved = await reloadGateway(setUp(t, older.port, { ...slotOf('2026.6.1'), ...own }));
  t.match(unproved, { effective: 'now', proved: false });
  t.strictSame(codes(unproved), ['GATEWAY_UNPROVED']);

  const unlisted = await standIn(t, { release: '2026.9.6', stateDir });
  const shared = { ...slotOf('2026.9.6'), agent: 'unlisted' };
  t.match(await reloadGateway(setUp(t, unlisted.port, shared)), { proved: true }, 'the default agent then');
  const unprovable = await reloadGateway(setUp(t, unlisted.port, { ...shared, inMainStore: false }));
  t.match(unprovable, { effective: 'now', proved: false });
});

t.test('a login near its expiry that the gateway renewed at once is unproved, not another one', async (t) => {
  const { stateDir } = setUp(t, 0);
  const { port } = await standIn(t, { release: '2026.9.6', stateDir, disk: BOB + 864_000_000 });
  const renewing = { ...slotOf('2026.9.6'), now: () => BOB - 60_000 };
  const outcome = await reloadGateway(setUp(t, port, renewing));
  t.match(outcome, { effective: 'now', proved: false });
  t.strictSame(codes(outcome), ['GATEWAY_UNPROVED', 'GATEWAY_MAY_ROTATE']);
  const later = await reloadGateway(setUp(t, port, slotOf('2026.9.6')));
  t.strictSame(codes(later), ['GATEWAY_OTHER_LOGIN']);
});

t.test('a gateway at a port of its own is found by the lock in its state directory', async (t) => {
  const deps = setUp(t, await closedPort(), slotOf('2026.9.6'));
  const { port, methods } = await standIn(t, { release: '2026.9.6', stateDir: deps.stateDir });
  const uid = process.getuid?.();
  const folder = join(deps.stateDir, 'tmp', uid === undefined ? 'openclaw' : `openclaw-${uid}`);
  mkdirSync(folder, { recursive: true });
  const lock = (name: string, more: object) => {
    const payload = {
      pid: process.pid,
      ownerId: '83ea8515-0046-4c39-9eb8-439a83e258df',
      createdAt: '2026-11-21T20:03:40.425Z',
      configPath: deps.configPath,
      stateDir: deps.stateDir,
      port,
      ...more,
    };
    // 9.6 leaves blanks behind the document.
    writeFileSync(join(folder, name), `${JSON.stringify(payload, null, 2)}\n\t \t\n`);
  };
  lock('gateway.state.lock', { role: 'sqlite-maintenance' });
  t.match(await reloadGateway(deps), { effective: 'no-gateway' }, 'a doctor is no gateway');
  lock('gateway.state.lock', { configPath: '/another/openclaw.json' });
  t.match(await reloadGateway(deps), { effective: 'now', proved: true });
  t.strictSame(await activeRuns(deps), new Set());
  lock('gateway.state.lock', { port: await closedPort() });
  t.strictSame(codes(await reloadGateway(deps)), ['GATEWAY_OTHER_PORT']);
  lock('gateway.state.lock', { stateDir: '/another' });
  t.match(await reloadGateway(deps), { effective: 'no-gateway' });

  const hash = createHash('sha256').update(deps.configPath).digest('hex').slice(0, 8);
  lock(`gateway.${hash}.lock`, {});
  t.match(await reloadGateway(deps), { effective: 'now', proved: true });
  const before = methods().length;
  const env = { ...deps.env, OPENCLAW_GATEWAY_URL: `ws://127.0.0.1:${await closedPort()}` };
  await reloadGateway({ ...deps, env });
  t.equal(methods().length, before, 'an address the person named is not left for another');
});

t.test('a login near its expiry is said to be one the gateway may renew', async (t) => {
  const deps = setUp(t, 0, { now: () => BOB - 60_000 });
  const { port } = await standIn(t, { stateDir: deps.stateDir });
  const outcome = await reloadGateway({
    ...deps,
    config: parseGatewayConfig({ port, auth: { token: TOKEN } }),
  });
  t.match(outcome, { effective: 'now', proved: true });
  t.strictSame(codes(outcome), ['GATEWAY_MAY_ROTATE']);
});

t.test(
  'a refused token is denied; the config is tried after a variable the gateway does not take',
  async (t) => {
    const wrong = await standIn(t, { auth: { token: 'another' } });
    const outcome = await reloadGateway(setUp(t, wrong.port));
    t.match(outcome, { effective: 'after-next-turn', proved: false });
    t.strictSame(codes(outcome), ['GATEWAY_DENIED']);
    t.strictSame(wrong.methods(), ['connect'], 'the same token is not tried twice');

    const deps = setUp(t, 0);
    const right = await standIn(t, { stateDir: deps.stateDir });
    const env = { ...deps.env, OPENCLAW_GATEWAY_TOKEN: 'stale-CANARY' };
    const second = await reloadGateway({
      ...deps,
      env,
      config: parseGatewayConfig({ port: right.port, auth: { token: TOKEN } }),
    });
    t.match(second, { proved: true });
    t.strictSame(
      right.seen.filter((frame) => frame.method === 'connect').map((frame) => frame.params.auth),
      [{ token: 'stale-CANARY' }, { token: TOKEN }],
    );
  },
);

t.test('the secret is found where OpenClaw looks for it', async (t) => {
  const deps = setUp(t, 0);
  const byPassword = await standIn(t, { stateDir: deps.stateDir, auth: { password: PASSWORD } });
  const byToken = await standIn(t, { stateDir: deps.stateDir });
  const ask = async (port: number, auth: unknown, env: Record<string, string> = {}) => {
    const config = parseGatewayConfig({ port, auth });
    return (await reloadGateway({ ...deps, config, env: { ...deps.env, ...env } })).proved;
  };
  t.ok(await ask(byPassword.port, { mode: 'password', password: PASSWORD }));
  t.ok(await ask(byPassword.port, {}, { OPENCLAW_GATEWAY_PASSWORD: PASSWORD }));
  t.ok(await ask(byToken.port, {}, { OPENCLAW_GATEWAY_TOKEN: TOKEN }));
  const halves = { HALF: TOKEN.slice(0, 9), REST: TOKEN.slice(9) };
  t.ok(await ask(byToken.port, { token: `${ref('HALF')}${ref('REST')}` }, halves));
  t.ok(
    await ask(byToken.port, { token: { source: 'env', provider: 'default', id: 'MINE' } }, { MINE: TOKEN }),
  );
  writeFileSync(join(deps.stateDir, '.env'), `MINE=${TOKEN}\n`, { mode: 0o600 });
  t.ok(await ask(byToken.port, { token: ref('MINE') }), 'in the .env of the state directory');
  t.notOk(
    await ask(byToken.port, { token: ref('MINE') }, { MINE: 'another' }),
    'which the person’s own variable beats',
  );
});

t.test('a secret only OpenClaw can read, and none at all, are two notes, and nothing is sent', async (t) => {
  const { port, seen } = await standIn(t);
  const ask = async (auth: unknown) => codes(await reloadGateway(setUp(t, port, { gateway: { auth } })));
  t.strictSame(await ask({ token: ref('NOT_SET') }), ['GATEWAY_SECRET_UNREADABLE']);
  t.strictSame(await ask({ token: { source: 'file', provider: 'vault', id: '/gw' } }), [
    'GATEWAY_SECRET_UNREADABLE',
  ]);
  t.strictSame(await ask({}), ['GATEWAY_NO_SECRET']);
  t.strictSame(await ask('token'), ['GATEWAY_CONFIG_UNREADABLE']);
  t.strictSame(seen, []);
  const open = await standIn(t, { auth: {} });
  for (const auth of [{ mode: 'none', token: TOKEN }, { token: TOKEN }]) {
    const outcome = await reloadGateway(setUp(t, open.port, { gateway: { auth } }));
    t.strictSame(codes(outcome), ['GATEWAY_NO_SECRET'], 'a gateway without auth');
  }
  t.strictSame(open.seen[0]?.params.auth, {}, 'where none is asked for, none is sent');
});

t.test('a server that is not OpenClaw gets no token', async (t) => {
  const elsewhere: IncomingMessage[] = [];
  const target = createServer((request, response) => {
    elsewhere.push(request);
    response.end();
  });
  target.on('upgrade', (request, socket) => {
    elsewhere.push(request);
    socket.destroy();
  });
  const targetPort = await listen(t, target);
  const http = (answer: (response: ServerResponse) => void) =>
    createServer((_request, response) => answer(response));
  const tcp = (greet: (socket: Socket) => void) =>
    createTcp((socket) => {
      socket.on('error', () => undefined);
      greet(socket);
    });
  const servers = {
    'HTTP only': http((response) => response.end('<html>hello</html>')),
    redirect: http((response) =>
      response.writeHead(302, { location: `ws://127.0.0.1:${targetPort}/` }).end(),
    ),
    'hangs up': tcp((socket) => socket.destroy()),
    'another protocol': tcp((socket) => socket.end('SSH-2.0-OpenSSH_9.6\r\n')),
  };
  for (const [name, server] of Object.entries(servers)) {
    const outcome = await reloadGateway(setUp(t, await listen(t, server)));
    t.match(outcome, { effective: 'after-next-turn', proved: false }, name);
    t.strictSame(codes(outcome), ['GATEWAY_UNKNOWN'], name);
  }
  t.strictSame(elsewhere, [], 'the redirect was not followed');

  const chat = await standIn(t, { challenge: false });
  const quick = { limits: { exchange: 300, command: 300 } };
  t.strictSame(codes(await reloadGateway(setUp(t, chat.port, quick))), ['GATEWAY_TIMEOUT']);
  t.strictSame(chat.seen, [], 'a WebSocket server that issues no challenge');
});

t.test('a silent server and a slow one end at the bound', async (t) => {
  const quick = { limits: { exchange: 300, command: 300 } };
  const silent = createTcp((socket) => socket.on('error', () => undefined));
  t.strictSame(codes(await reloadGateway(setUp(t, await listen(t, silent), quick))), ['GATEWAY_TIMEOUT']);
  const slow = (method: string) =>
    standIn(t, { stateDir: setUp(t, 0).stateDir, intercept: (frame) => frame.method === method });
  for (const method of ['connect', 'secrets.reload']) {
    const { port } = await slow(method);
    const outcome = await reloadGateway(setUp(t, port, quick));
    t.match(outcome, { effective: 'after-next-turn', proved: false }, method);
    t.strictSame(codes(outcome), ['GATEWAY_TIMEOUT'], method);
    if (method === 'connect') t.equal(await activeRuns(setUp(t, port, quick)), null);
  }
});

t.test('a gateway that is starting is asked again, until the bound', async (t) => {
  const starting = (times: number) => {
    let left = times;
    return (frame: Frame, say: Say, socket: WebSocket) => {
      if (frame.method !== 'connect' || left === 0) return false;
      left -= 1;
      const message = 'gateway starting; retry shortly';
      say(frame.id, { error: { code: 'UNAVAILABLE', message, retryable: true, retryAfterMs: 50 } });
      socket.close(1013, 'gateway starting');
      return true;
    };
  };
  const { stateDir } = setUp(t, 0);
  const soon = await standIn(t, { stateDir, intercept: starting(2) });
  t.match(await reloadGateway(setUp(t, soon.port)), { proved: true });
  const never = await standIn(t, { stateDir, intercept: starting(Number.POSITIVE_INFINITY) });
  const outcome = await reloadGateway(setUp(t, never.port, { limits: { exchange: 1000, command: 300 } }));
  t.strictSame(codes(outcome), ['GATEWAY_STARTING']);
});

t.test('a refused or failed reload is told as such', async (t) => {
  const answering = (error: object) =>
    standIn(t, {
      stateDir: setUp(t, 0).stateDir,
      intercept: (frame, say) => {
        if (frame.method === 'secrets.reload') say(frame.id, { error });
        return frame.method === 'secrets.reload';
      },
    });
  const noScope = await answering({ code: 'INVALID_REQUEST', message: 'missing scope: operator.admin' });
  t.strictSame(codes(await reloadGateway(setUp(t, noScope.port))), ['GATEWAY_NO_SCOPE']);
  const failed = await answering({ code: 'UNAVAILABLE', message: 'secrets.reload failed' });
  t.strictSame(codes(await reloadGateway(setUp(t, failed.port))), ['GATEWAY_RELOAD_FAILED']);
  const closing = await standIn(t, {
    stateDir: setUp(t, 0).stateDir,
    intercept: (frame, _say, socket) => {
      if (frame.method === 'secrets.reload') socket.close(4001, 'gateway auth changed');
      return frame.method === 'secrets.reload';
    },
  });
  t.strictSame(codes(await reloadGateway(setUp(t, closing.port))), ['GATEWAY_CLOSED']);
});

t.test('when it takes effect without a reload follows the release that runs', async (t) => {
  const { port } = await standIn(t, { auth: { token: 'another' } });
  const effective = async (release: string | null) =>
    (await reloadGateway(setUp(t, port, { release }))).effective;
  t.equal(await effective('2026.4.14'), 'after-next-turn');
  t.equal(await effective('2026.4.12'), 'after-reload');
  t.equal(await effective('2026.3.28'), 'after-reload');
  t.equal(await effective(null), 'after-reload');
  const old = await standIn(t, { release: '2026.3.28' });
  const updated = await reloadGateway(setUp(t, old.port, { release: '2026.5.7' }));
  t.equal(updated.effective, 'after-reload', 'an old gateway under a newer package is an old gateway');
});

t.test(
  'nothing is sent to a gateway off loopback or behind TLS, and the advice names what to do',
  async (t) => {
    const { port, seen } = await standIn(t);
    let connections = 0;
    const connect: typeof connectWebSocket = (...all) => {
      connections += 1;
      return connectWebSocket(...all);
    };
    const ask = async (gateway: Record<string, unknown>, env: Record<string, string> = {}) => {
      const deps = setUp(t, port, { gateway, connect });
      return await reloadGateway({ ...deps, env: { ...deps.env, ...env } });
    };
    const urls = [
      `ws://192.0.2.1:${port}`,
      `ws://gateway.example.test:${port}`,
      `ws://127.0.0.1.example.test:${port}`,
      `ws://127.0.0.1@192.0.2.1:${port}`,
      `ws://[2001:db8::1]:${port}`,
      `wss://gateway.example.test:${port}`,
      `ftp://127.0.0.1:${port}`,
      'not a url',
    ];
    for (const url of urls) {
      for (const outcome of [
        await ask({ mode: 'remote', remote: { url, token: TOKEN } }),
        await ask({}, { OPENCLAW_GATEWAY_URL: url }),
      ]) {
        t.match(outcome, { proved: false, advice: /on its machine/ }, url);
        t.strictSame(codes(outcome), ['GATEWAY_NOT_LOOPBACK'], url);
      }
    }
    for (const outcome of [
      await ask({ tls: { enabled: true } }),
      await ask({ mode: 'remote', remote: { url: `wss://127.0.0.1:${port}` } }),
    ]) {
      t.match(outcome, {
        effective: 'after-next-turn',
        proved: false,
        advice: /type: .*openclaw secrets reload/,
      });
      t.strictSame(codes(outcome), ['GATEWAY_TLS']);
    }
    const tailnet = await ask({ port: await closedPort(), bind: 'tailnet' });
    t.match(tailnet, { effective: 'after-next-turn', proved: false });
    t.strictSame(
      codes(tailnet),
      ['GATEWAY_NOT_LOOPBACK'],
      'a gateway bound to a network address may be there',
    );
    t.equal(connections, 0);
    t.strictSame(seen, []);
  },
);

t.test('a tunnel on loopback is spoken to, with the secret that belongs to it', async (t) => {
  const deps = setUp(t, 0);
  const { port, seen } = await standIn(t, { stateDir: deps.stateDir });
  const remote = { url: `ws://localhost:${port}`, token: TOKEN };
  const config = parseGatewayConfig({ mode: 'remote', remote, auth: { token: 'the local one' } });
  t.match(await reloadGateway({ ...deps, config }), { proved: true });
  const env = { ...deps.env, OPENCLAW_GATEWAY_URL: `ws://127.0.0.1:${port}` };
  seen.length = 0;
  t.strictSame(codes(await reloadGateway({ ...deps, config, env })), ['GATEWAY_NO_SECRET']);
  t.strictSame(seen, [], 'a URL from the environment does not get the secrets of the config');
  t.match(await reloadGateway({ ...deps, config, env: { ...env, OPENCLAW_GATEWAY_TOKEN: TOKEN } }), {
    proved: true,
  });
});

t.test('OPENCLAW_GATEWAY_PORT wins over the config', async (t) => {
  const deps = setUp(t, await closedPort());
  const { port } = await standIn(t, { stateDir: deps.stateDir });
  for (const value of [`${port}`, `127.0.0.1:${port}`]) {
    const env = { ...deps.env, OPENCLAW_GATEWAY_PORT: value };
    t.match(await reloadGateway({ ...deps, env }), { proved: true }, value);
  }
  t.match(await reloadGateway({ ...deps, env: { ...deps.env, OPENCLAW_GATEWAY_PORT: 'x' } }), {
    effective: 'no-gateway',
  });
});

t.test(
  'before 4.5 the installed command reloads, with the person’s environment and nothing more',
  async (t) => {
    const { port, methods } = await standIn(t, { release: '2026.3.28' });
    const folder = scratch(t);
    const program = (name: string, code: string) => {
      const file = join(folder, name);
      writeFileSync(file, code);
      return [process.execPath, file];
    };
    const record = `require('node:fs').writeFileSync(${JSON.stringify(join(folder, 'record.json'))},
    JSON.stringify({ argv: process.argv.slice(2), env: process.env }));`;
    const deps = setUp(t, port, { release: '2026.3.28' });
    const env = { ...deps.env, PATH: process.env.PATH, CODEX_ROUTER_KEY: 'x', MINE: '1' };
    const ask = (command: readonly string[] | null, limits = { exchange: 5000, command: 15_000 }) =>
      reloadGateway({ ...deps, env, command, limits });

    const done = await ask(
      program('ok.cjs', `${record} console.log('plugin: hello\\n{\\n "ok": true,\\n "warningCount": 0\\n}')`),
    );
    t.match(done, { effective: 'now', proved: false, advice: null });
    t.strictSame(codes(done), ['GATEWAY_UNPROVED']);
    const recorded = JSON.parse(readFileSync(join(folder, 'record.json'), 'utf8'));
    t.strictSame(recorded.argv, ['secrets', 'reload', '--json']);
    t.match(recorded.env, {
      MINE: '1',
      OPENCLAW_STATE_DIR: deps.stateDir,
      OPENCLAW_CONFIG_PATH: deps.configPath,
    });
    t.notMatch(JSON.stringify(recorded), /CANARY|CODEX_ROUTER/);
    t.strictSame(methods(), ['connect', 'secrets.reload'], 'it was a gateway, and it was asked first');

    const failures: [string, readonly string[] | null, string, RegExp][] = [
      ['missing', null, 'GATEWAY_COMMAND_MISSING', /no openclaw command/],
      ['gone', [join(folder, 'gone')], 'GATEWAY_COMMAND_FAILED', /could not be started/],
      [
        'rc 1',
        program('rc.cjs', `console.error('${TOKEN}');process.exit(1)`),
        'GATEWAY_COMMAND_FAILED',
        /status 1$/,
      ],
      [
        'says no',
        program('no.cjs', `console.log('{"ok":false}')`),
        'GATEWAY_COMMAND_FAILED',
        /did not confirm/,
      ],
      ['says nothing', program('nil.cjs', ''), 'GATEWAY_COMMAND_FAILED', /did not confirm/],
    ];
    for (const [name, command, code, text] of failures) {
      const outcome = await ask(command);
      t.match(
        outcome,
        { effective: 'after-reload', proved: false, advice: /^type: .*openclaw secrets reload$/ },
        name,
      );
      t.strictSame(codes(outcome), [code], name);
      t.match(outcome.notes[0]?.text, text, name);
      t.notMatch(JSON.stringify(outcome), /CANARY/, name);
    }
  },
);

t.test(
  'a command that hangs is ended with its own children',
  { skip: process.platform === 'win32' && 'no process groups on Windows' },
  async (t) => {
    const { port } = await standIn(t, { release: '2026.3.28' });
    const folder = scratch(t);
    const pidFile = join(folder, 'pid');
    writeFileSync(join(folder, 'hang.sh'), `sleep 600 & echo $! > '${pidFile}'; wait`);
    const deps = setUp(t, port, { release: '2026.3.28', command: ['/bin/sh', join(folder, 'hang.sh')] });
    const outcome = await reloadGateway({ ...deps, limits: { exchange: 5000, command: 2000 } });
    t.strictSame(codes(outcome), ['GATEWAY_COMMAND_FAILED']);
    t.match(outcome.notes[0]?.text, /did not end within/);
    t.ok(await gone(Number(readFileSync(pidFile, 'utf8'))));
  },
);

t.test(
  'a newer gateway that grants no scope is not asked through the command, which would leave a pairing request',
  async (t) => {
    const folder = scratch(t);
    const file = join(folder, 'command.cjs');
    writeFileSync(file, `require('node:fs').writeFileSync(${JSON.stringify(join(folder, 'ran'))}, '')`);
    const { port } = await standIn(t, {
      stateDir: setUp(t, 0).stateDir,
      intercept: (frame, say) => {
        if (frame.method === 'connect') return false;
        say(frame.id, { error: { code: 'INVALID_REQUEST', message: 'missing scope: operator.admin' } });
        return true;
      },
    });
    const outcome = await reloadGateway(setUp(t, port, { command: [process.execPath, file] }));
    t.strictSame(codes(outcome), ['GATEWAY_NO_SCOPE']);
    t.notOk(existsSync(join(folder, 'ran')));
  },
);

t.test('the advice is a command that means this state directory', async (t) => {
  const { port } = await standIn(t, { auth: { token: 'another' } });
  const advice = async (more: Partial<ReloadDeps>) =>
    (await reloadGateway({ ...setUp(t, port), release: null, ...more })).advice;
  t.equal(
    await advice({ env: { HOME: '/home/me' }, stateDir: '/home/me/.openclaw' }),
    'type: openclaw secrets reload',
  );
  t.equal(
    await advice({ env: { HOME: '/home/me' }, stateDir: '/home/me/.openclaw-work' }),
    'type: OPENCLAW_STATE_DIR=/home/me/.openclaw-work openclaw secrets reload',
  );
  t.equal(
    await advice({ env: { HOME: '/home/me', OPENCLAW_STATE_DIR: '/srv/it' }, stateDir: '/srv/it' }),
    'type: openclaw secrets reload',
  );
  t.equal(
    await advice({ env: { HOME: '/home/me' }, stateDir: "/srv/it's here" }),
    "type: OPENCLAW_STATE_DIR='/srv/it'\\''s here' openclaw secrets reload",
  );
});

t.test('active runs are read from a gateway that knows them, and null from one that does not', async (t) => {
  const { stateDir } = setUp(t, 0);
  const busy = await standIn(t, { stateDir, runs: ['agent:main:main'] });
  t.strictSame(await activeRuns(setUp(t, busy.port)), new Set(['agent:main:main']));
  t.strictSame(busy.methods(), ['connect', 'sessions.list'], 'looking reloads nothing');
  const idle = await standIn(t, { stateDir });
  t.strictSame(await activeRuns(setUp(t, idle.port)), new Set());
  const old = await standIn(t, { release: '2026.3.28' });
  t.equal(await activeRuns(setUp(t, old.port)), null);
  const denied = await standIn(t, { stateDir, auth: { token: 'another' } });
  t.equal(await activeRuns(setUp(t, denied.port)), null);
});

t.test(
  'of one agent only its own sessions are told, and a silent gateway is not waited for long',
  async (t) => {
    const { stateDir, configPath } = setUp(t, 0);
    const runs = ['agent:main:main', 'Agent:Work:Main ', 'global'];
    const rows = (_frame: Frame, say: Say) =>
      say(_frame.id, { payload: { sessions: runs.map((key) => ({ key, hasActiveRun: true })) } });
    const stood = await standIn(t, {
      stateDir,
      intercept: (frame, say) => {
        if (frame.method === 'sessions.list') rows(frame, say);
        return frame.method === 'sessions.list';
      },
    });
    const target = async (port: number): Promise<ReloadTarget> => {
      writeFileSync(configPath, JSON.stringify({ gateway: { port, auth: { token: TOKEN } } }));
      const config = await readConfig(configPath);
      const env = { HOME: stateDir };
      return { stateDir, mainSlot: 'x', config, release: null, provider: 'openai-codex', env };
    };
    t.same(await runningSessions(await target(stood.port), 'main'), new Set(['agent:main:main', 'global']));
    t.same(await runningSessions(await target(stood.port), 'work'), new Set(['agent:work:main', 'global']));
    const mute = await standIn(t, { stateDir, intercept: ({ method }) => method === 'sessions.list' });
    t.equal(await runningSessions(await target(mute.port), 'main'), null);
    t.same(await runningSessions(await target(await closedPort()), 'main'), new Set(), 'no gateway, no turn');
  },
);

t.test('no note, advice or answer ever holds the gateway’s secret', async (t) => {
  const { port } = await standIn(t, { auth: { token: 'another' } });
  const deps = setUp(t, port, { env: { OPENCLAW_GATEWAY_TOKEN: 'env-CANARY' } });
  const outcome = await reloadGateway(deps);
  t.notMatch(JSON.stringify([outcome, deps.config]), /CANARY/);
});

async function gone(pid: number): Promise<boolean> {
  const deadline = Date.now() + 5000;
  while (Date.now() < deadline) {
    try {
      process.kill(pid, 0);
    } catch {
      return true;
    }
    // A killed orphan stays a zombie until init reaps it.
    if (process.platform === 'linux' && /^State:\s+Z/m.test(statusOf(pid))) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}

function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return '';
  }
}
