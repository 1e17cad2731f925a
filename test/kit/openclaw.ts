import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { callGateway, startGateway } from './gateway-process.js';
import type { Issuer } from './issuer.js';
import { outputOf, type ProcessRun, runProcess } from './process.js';
import { real, type Tester } from './real.js';
import { PROJECT, type Sandbox } from './router.js';
import type { OpenClawState, Release } from './state.js';

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
      const { port } = state;
      const logFile = path.join(work, 'gateway.log');
      const stop = await startGateway(t, [node, entry], env, work, logFile, port, 'healthz');
      const gateway: Omit<Gateway, 'turn'> = {
        port,
        stop,
        log: () => readFileSync(logFile, 'utf8'),
        call: (method, params = {}) => callGateway(port, method, params),
      };
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
