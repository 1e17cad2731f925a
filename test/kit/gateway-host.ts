import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, listen, type ModelCall } from './backend.js';
import { callGateway, startGateway } from './gateway-process.js';
import type { Issuer } from './issuer.js';
import { outputOf, type ProcessRun, runProcess, until } from './process.js';
import { real, type Tester } from './real.js';
import { type Release, traitsOf } from './releases.js';
import { PROJECT, type Sandbox } from './router.js';
import { GATEWAY_TOKEN, writeJson } from './state.js';
import type { Login } from './tokens.js';

type Fields = Record<string, unknown>;

export interface GatewayHostOptions {
  /** Agents besides main. */
  readonly agents?: readonly string[];
  /** Makes another `gateway` section of the one it would get, where the port is the one it is started on. */
  readonly gateway?: (own: Fields) => Fields;
  /** What `call` shows instead of the token. */
  readonly password?: string;
}

/** A fresh state directory of a release from 2026.5.28 on, whose stores the release itself makes, and its gateway. */
export interface GatewayHost {
  readonly release: Release;
  readonly stateDir: string;
  readonly configPath: string;
  readonly port: number;
  readonly provider: string;
  /** The profile id of the slot. */
  readonly slotId: string;
  /** Node 24, under which this release runs. */
  readonly node: string;
  /** Writes a login into the slot as a program beside the gateway does, through this release's own plugin SDK. */
  put(login: Login, agent?: string): Promise<void>;
  /** Every stored login by store (relative path) and profile id, and every session entry. */
  read(): Promise<{ stores: Record<string, Record<string, Fields>>; sessions: Record<string, Fields> }>;
  /** The slot's entry in the store of agent main. */
  slot(): Promise<Fields | undefined>;
  /** Lets the slot's login look as if it expired at `expires`; waits for a refresh to end first. */
  expire(expires: number): Promise<void>;
  /** What SQLite finds wrong in any database; empty is right. */
  integrity(): Promise<readonly string[]>;
  /** Listens on `port`, whatever openclaw.json says. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** From now on the host's refreshes wait; what is returned lets them go on. */
  holdRefreshes(): () => void;
  /** One call over WebSocket with the gateway's token. @throws on an error answer. */
  // biome-ignore lint/suspicious/noExplicitAny: a test reads the fields it expects, and fails when they are not there
  call(method: string, params?: object): Promise<any>;
  /** One turn through the gateway, by default in the agent's main session; its model calls. @throws when it failed. */
  turn(agent?: string, sessionKey?: string): Promise<readonly ModelCall[]>;
  run(args: readonly string[]): Promise<ProcessRun>;
  log(): string;
}

const REDIRECT = fileURLToPath(new URL('./redirect-guarded.mjs', import.meta.url));
const STORE = fileURLToPath(new URL('./host-store.mjs', import.meta.url));

/** Null when the release is not installed (see `real`). Nothing of it runs yet. */
export async function gatewayHost(
  t: Tester,
  box: Sandbox,
  release: Release,
  issuer: Issuer,
  options: GatewayHostOptions = {},
): Promise<GatewayHost | null> {
  const name = `openclaw-${release}` as const;
  const found: Record<string, string> | null = real(t, 'node24', name);
  if (found === null) return null;
  const { node24: node = '', [name]: entry = '' } = found;
  rmSync(path.join(box.bin, 'node'), { force: true });
  symlinkSync(node, path.join(box.bin, 'node'));
  symlinkSync(entry, path.join(box.bin, 'openclaw'));
  const work = path.join(box.root, 'openclaw-work');
  mkdirSync(path.join(work, 'tmp'), { recursive: true });
  const { provider, slot: slotId } = traitsOf(release);
  const port = await freePort();
  const { stateDir } = box;
  const configPath = path.join(stateDir, 'openclaw.json');
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const config = configOf(box, release, provider, port, issuer, options.agents ?? []);
  writeJson(configPath, options.gateway ? { ...config, gateway: options.gateway(config.gateway) } : config);

  let held: Promise<void> = Promise.resolve();
  const env = {
    PATH: `${box.bin}:/usr/bin:/bin`,
    HOME: box.home,
    TMPDIR: box.tmp,
    NO_COLOR: '1',
    CODEX_HOME: box.codexHome,
    OPENCLAW_STATE_DIR: stateDir,
    OPENCLAW_DISABLE_BONJOUR: '1',
    OPENCLAW_SKIP_CANVAS_HOST: '1',
    OPENCLAW_SKIP_CHANNELS: '1',
    npm_config_offline: 'true',
    npm_config_fetch_retries: '0',
    NODE_OPTIONS: `--import=${REDIRECT}`,
    NODE_COMPILE_CACHE: path.join(PROJECT, '.cache', 'node-compile'),
    TEST_ISSUER_URL: `http://127.0.0.1:${await startDoor(t, issuer, () => held)}`,
  };
  const store = async (command: string, input: Fields = {}) => {
    const run = await runProcess([node, STORE, command], {
      env,
      cwd: work,
      input: JSON.stringify({ stateDir, ...input }),
      timeout: 120_000,
    });
    if (run.code !== 0) throw new Error(`${command} failed\n${outputOf(run)}`);
    return JSON.parse(run.stdout.trim().split('\n').at(-1) ?? '');
  };

  const logFile = path.join(work, 'gateway.log');
  const log = () => readFileSync(logFile, 'utf8');
  let stop: () => Promise<void> = async () => undefined;
  const call: GatewayHost['call'] = (method, params = {}) =>
    callGateway(port, method, params, options.password);
  const host: GatewayHost = {
    release,
    stateDir,
    configPath,
    port,
    provider,
    slotId,
    node,
    put: async (login, agent) => {
      const agentDir = agent === undefined ? undefined : path.join(stateDir, 'agents', agent, 'agent');
      await store('put', {
        root: path.dirname(entry),
        profileId: slotId,
        entry: entryOf(login, provider),
        agentDir,
      });
    },
    read: () => store('slots'),
    slot: async () => {
      const { stores } = await host.read();
      return (stores['state/openclaw.sqlite'] ??
        stores['agents/main/agent/openclaw-agent.sqlite'] ??
        stores['agents/main/agent/auth-profiles.json'])?.[slotId];
    },
    expire: async (expires) => {
      await until('no refresh is under way in the slot', async () => {
        const { changed } = await store('expire', { root: path.dirname(entry), profileId: slotId, expires });
        return changed > 0;
      });
    },
    integrity: () => store('integrity'),
    start: async () => {
      stop = await startGateway(t, [node, entry], env, work, logFile, port);
    },
    stop: () => stop(),
    holdRefreshes: () => {
      let open: () => void = () => undefined;
      held = new Promise<void>((resolve) => {
        open = resolve;
      });
      return open;
    },
    call,
    turn: async (agent = 'main', sessionKey) => {
      for (let attempt = 1; ; attempt += 1) {
        issuer.model.take();
        const { runId } = await call('agent', {
          message: 'ping',
          agentId: agent,
          ...(sessionKey === undefined ? {} : { sessionKey }),
          deliver: false,
          idempotencyKey: randomUUID(),
        });
        const { status, error } = await call('agent.wait', { runId, timeoutMs: 60_000 });
        if (status === 'ok') return issuer.model.take();
        if (attempt === 4 || !endedByItself(error))
          throw new Error(`the turn ended ${status}: ${error}\n${log().slice(-3000)}`);
      }
    },
    run: (args) => runProcess([node, entry, ...args], { env, cwd: work, timeout: 180_000 }),
    log,
  };
  return host;
}

/** A stored login as these releases' own login writes it (facts: openclaw-sqlite.md 2.1). */
export function entryOf(login: Login, provider: string): Fields {
  const { access, refresh, expires, email, accountId, plan } = login;
  return { type: 'oauth', provider, access, refresh, expires, email, accountId, chatgptPlanType: plan };
}

/**
 * Whether OpenClaw ended a turn by its own hand on a busy machine, in files that codex-router never writes: 6.1's two writers of one
 * transcript, and 9.6's maintenance of its database. The person sends the message again.
 */
export function endedByItself(error: unknown): boolean {
  return OWN_TROUBLE.test(String(error));
}

const OWN_TROUBLE =
  /EmbeddedAttemptSessionTakeoverError|inputs changed before commit|Agent database cleanup failed|owns state-lifecycle/;

const MODEL = 'gpt-5.5';

function configOf(
  box: Sandbox,
  release: Release,
  provider: string,
  port: number,
  issuer: Issuer,
  agents: readonly string[],
): Fields & { readonly gateway: Fields } {
  return {
    gateway: { mode: 'local', bind: 'loopback', port, auth: { mode: 'token', token: GATEWAY_TOKEN } },
    agents: {
      defaults: {
        model: { primary: `${provider}/${MODEL}` },
        // The embedded runtime: the Codex app-server is not in the package.
        models: {
          [`${provider}/${MODEL}`]: provider === 'openai' ? { agentRuntime: { id: 'openclaw' } } : {},
        },
        skipBootstrap: true,
        heartbeat: { every: '0m' },
        workspace: path.join(box.root, 'workspace'),
      },
      ...(agents.length > 0
        ? { list: [{ id: 'main', default: true }, ...agents.map((id) => ({ id }))] }
        : {}),
    },
    auth: { profiles: { [`${provider}:default`]: { provider, mode: 'oauth' } } },
    ...(traitsOf(release).layout === 'sqlite-shared' ? {} : { models: modelsOf(provider, issuer) }),
    plugins: { allow: ['openai'] },
    logging: { file: path.join(box.root, 'openclaw-work', 'openclaw.log') },
    update: { checkOnStart: false },
    discovery: { mdns: { mode: 'off' } },
  };
}

/** Through 2026.7 the model calls do not go through `fetch`, which the tests redirect, so their address is configured. */
function modelsOf(provider: string, issuer: Issuer): Fields {
  const model = {
    id: MODEL,
    name: MODEL,
    reasoning: true,
    input: ['text'],
    cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
    contextWindow: 200_000,
    maxTokens: 8000,
  };
  const api = provider === 'openai' ? 'openai-chatgpt-responses' : 'openai-codex-responses';
  return {
    mode: 'merge',
    providers: { [provider]: { baseUrl: `${issuer.url}/backend-api/codex`, api, models: [model] } },
  };
}

/** Passes everything on to the issuer, refreshes only when `mayRefresh` lets them. */
async function startDoor(t: Tester, issuer: Issuer, mayRefresh: () => Promise<void>): Promise<number> {
  const door = createServer((request, response) => {
    const { method = 'GET', url = '/', headers } = request;
    const waits = url.startsWith('/oauth/token') ? mayRefresh() : Promise.resolve();
    void waits.then(() => {
      const { host: _door, ...rest } = headers;
      const onwards = httpRequest(`${issuer.url}${url}`, { method, headers: rest }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      onwards.on('error', () => response.destroy());
      request.pipe(onwards);
    });
  });
  return await listen(door, t);
}
