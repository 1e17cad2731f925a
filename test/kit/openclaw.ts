import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import type { Issuer } from './issuer.js';
import { bare, outputOf, type ProcessRun, runProcess, until } from './process.js';
import { real, type Tester } from './real.js';
import { PROJECT, type Sandbox } from './router.js';
import { GATEWAY_TOKEN, type OpenClawState, type Release } from './state.js';

/** A real OpenClaw on the sandbox's state directory. Its own fetches to OpenAI reach the issuer, or nothing. */
export interface OpenClaw {
  readonly release: Release;
  /** The package's folder. */
  readonly root: string;
  run(args: readonly string[]): Promise<ProcessRun>;
  /** Runs and parses stdout. @throws when it fails or prints something else. */
  // biome-ignore lint/suspicious/noExplicitAny: a test reads the fields it expects, and fails when they are not there
  json(args: readonly string[]): Promise<any>;
  /** One turn of the agent without a gateway, as the model provider of openclaw.json answers it. */
  localTurn(options?: TurnOptions): Promise<ProcessRun>;
  /** Starts the gateway of this state and waits until it answers; it stops when the test ends. */
  startGateway(state: Pick<OpenClawState, 'port'>): Promise<Gateway>;
}

export interface TurnOptions {
  readonly agent?: string;
  readonly sessionId?: string;
}

export interface Gateway {
  readonly port: number;
  /** One call over WebSocket with the gateway's token (2026.5.7: no pairing needed). @throws on an error answer. */
  // biome-ignore lint/suspicious/noExplicitAny: as above
  call(method: string, params?: object): Promise<any>;
  /** One turn of agent main through the gateway, finished when this returns. @throws when the turn failed. */
  turn(): Promise<void>;
  log(): string;
  stop(): Promise<void>;
}

/** The folder of a person's settings, the same for OpenClaw and codex-router. */
export function configHome(box: Sandbox): string {
  return box.env.XDG_CONFIG_HOME ?? path.join(box.home, '.config');
}

const REDIRECT = fileURLToPath(new URL('./redirect.mjs', import.meta.url));

/**
 * Puts `openclaw` and its Node 24 on the sandbox's PATH, as a global install would, or returns null when they are not
 * installed (see `real`).
 */
export function openclaw(t: Tester, box: Sandbox, release: Release, issuer?: Issuer): OpenClaw | null {
  const name = `openclaw-${release}` as const;
  const found = real(t, 'node24', name);
  if (found === null) return null;
  const { node24: node, [name]: entry } = found;
  rmSync(path.join(box.bin, 'node'), { force: true });
  symlinkSync(node, path.join(box.bin, 'node'));
  symlinkSync(entry, path.join(box.bin, 'openclaw'));
  const work = path.join(box.root, 'openclaw-work');
  mkdirSync(path.join(work, 'tmp'), { recursive: true });
  const env = {
    PATH: `${box.bin}:/usr/bin:/bin`,
    HOME: box.home,
    // 2026.5.12 keeps the key of its sealed logins there.
    XDG_CONFIG_HOME: configHome(box),
    TMPDIR: path.join(work, 'tmp'),
    NO_COLOR: '1',
    CODEX_HOME: box.codexHome,
    OPENCLAW_STATE_DIR: box.stateDir,
    OPENCLAW_DISABLE_BONJOUR: '1',
    OPENCLAW_SKIP_CANVAS_HOST: '1',
    // Later releases ask npm for a plugin of theirs, which takes minutes where there is no network.
    npm_config_offline: 'true',
    npm_config_fetch_retries: '0',
    npm_config_fetch_timeout: '2000',
    NODE_OPTIONS: `--import=${REDIRECT}`,
    NODE_COMPILE_CACHE: path.join(PROJECT, '.cache', 'node-compile'),
    ...(issuer ? { TEST_ISSUER_URL: issuer.url } : {}),
  };
  const run = (args: readonly string[]) =>
    runProcess([node, entry, ...args], { env, cwd: work, timeout: 180_000 });
  const turn = (options: TurnOptions = {}) => [
    ...['--message', 'ping', '--json'],
    ...(options.sessionId ? ['--session-id', options.sessionId] : ['--agent', options.agent ?? 'main']),
  ];
  return {
    release,
    root: path.dirname(entry),
    run,
    json: async (args) => {
      const result = await run(args);
      if (result.code !== 0) throw new Error(`openclaw ${args.join(' ')} failed\n${outputOf(result)}`);
      return JSON.parse(result.stdout);
    },
    localTurn: (options) => run(['agent', '--local', ...turn(options)]),
    startGateway: async (state) => {
      const gateway = await startGateway(t, [node, entry], env, work, state.port);
      return {
        ...gateway,
        turn: async () => {
          // The command takes ten times as long to start; 2026.3.28 gives no rights to anything else.
          if (release === '2026.5.7') return rpcTurn(gateway.call);
          const result = await run(['agent', ...turn()]);
          if (result.code !== 0) throw new Error(`the turn failed\n${outputOf(result)}`);
        },
      };
    },
  };
}

async function startGateway(
  t: Tester,
  program: readonly string[],
  env: Readonly<Record<string, string>>,
  work: string,
  port: number,
): Promise<Omit<Gateway, 'turn'>> {
  const logFile = path.join(work, 'gateway.log');
  const log = openSync(logFile, 'a');
  const command = [...program, 'gateway', 'run', '--port', String(port), '--bind', 'loopback'];
  const [file = '', ...args] = bare(command, env);
  const child = spawn(file, args, { cwd: work, stdio: ['ignore', log, log] });
  closeSync(log);
  let running = true;
  const ended = new Promise<void>((resolve) =>
    child.on('close', () => {
      running = false;
      resolve();
    }),
  );
  const stop = async () => {
    if (!running) return;
    child.kill('SIGTERM');
    const patience = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(patience);
  };
  t.teardown(stop);
  const read = () => readFileSync(logFile, 'utf8');
  await until(
    'the gateway answers',
    async () => {
      if (!running) throw new Error(`the gateway ended\n${read().slice(-4000)}`);
      const answer = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => null);
      return answer?.ok;
    },
    120_000,
  ).catch((error) => {
    throw new Error(`${error.message}\n${read().slice(-4000)}`);
  });
  return { port, stop, log: read, call: (method, params = {}) => callGateway(port, method, params) };
}

async function rpcTurn(call: Gateway['call']): Promise<void> {
  const { runId } = await call('agent', {
    message: 'ping',
    agentId: 'main',
    deliver: false,
    idempotencyKey: randomUUID(),
  });
  const { status, error } = await call('agent.wait', { runId, timeoutMs: 60_000 });
  if (status !== 'ok') throw new Error(`the turn ended ${status}: ${error}`);
}

/** Speaks the gateway's protocol as facts: openclaw-json.md section 2 gives it. */
function callGateway(port: number, method: string, params: object): Promise<unknown> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}`, { maxPayload: 25_000_000 });
  const request = (id: string, name: string, fields: object) =>
    socket.send(JSON.stringify({ type: 'req', id, method: name, params: fields }));
  const connect = {
    minProtocol: 3,
    maxProtocol: 3,
    client: { id: 'gateway-client', version: '0.0.0', platform: process.platform, mode: 'backend' },
    role: 'operator',
    scopes: ['operator.admin'],
    caps: [],
    auth: { token: GATEWAY_TOKEN },
  };
  return new Promise<unknown>((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error(`${method} was not answered`)), 90_000);
    const close = () => {
      clearTimeout(deadline);
      socket.terminate();
    };
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the gateway closed the connection')));
    socket.on('message', (data) => {
      const message = JSON.parse(String(data));
      if (message.type === 'event' && message.event === 'connect.challenge') request('1', 'connect', connect);
      if (message.type !== 'res') return;
      if (!message.ok) reject(new Error(`${method}: ${JSON.stringify(message.error)}`));
      else if (message.id === '1') request('2', method, params);
      else resolve(message.payload);
      if (!message.ok || message.id === '2') close();
    });
  });
}
