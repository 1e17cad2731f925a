import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './backend.js';
import { endedByItself } from './gateway-host.js';
import { callGateway, startGateway } from './gateway-process.js';
import { type Issuer, startIssuer } from './issuer.js';
import { type SimulatedClock, simulatedClock } from './limits.js';
import { type NativeState, nativeState } from './native.js';
import { outputOf, type ProcessRun, runProcess } from './process.js';
import { real, type Tester } from './real.js';
import type { Release } from './releases.js';
import { type JsonDocument, PROJECT, router, type Sandbox, sandbox } from './router.js';
import { readJson, writeJson } from './state.js';
import { codexAuthJson, DAY, type Login, people } from './tokens.js';

/** A gateway of one release on a state that the release made, those who can tell what it does, and codex-router beside it. */
export interface TruthHost {
  readonly release: Release;
  readonly box: Sandbox;
  readonly issuer: Issuer;
  readonly state: NativeState;
  readonly node: string;
  readonly port: number;
  /** The time that OpenClaw and codex-router live in; the real one until it leaps. */
  readonly clock: SimulatedClock;
  /** OpenClaw's own command line. */
  openclaw(args: readonly string[]): Promise<ProcessRun>;
  /** The same, and what it printed. @throws when it failed. */
  openclawJson(args: readonly string[]): Promise<JsonDocument>;
  start(): Promise<void>;
  stop(): Promise<void>;
  isRunning(): boolean;
  /** What its agents run on. */
  readonly model: string;
  /** Makes the running gateway read its store again. */
  tell(): Promise<void>;
  /** What is to be done before the gateway stops. */
  onStop(clean: () => Promise<void>): void;
  /** Any command of codex-router that knows `--json`. */
  run(args: readonly string[], input?: string): Promise<JsonDocument>;
  add(login: Login, alias: string): Promise<JsonDocument>;
  mint(name: keyof typeof people, days: number): Login;
  /** Whom one turn of a session ran on, by the accounts its model calls were made with; what the host says where it failed. */
  turn(session: string): Promise<string>;
  /** One call over WebSocket with the gateway's token. @throws on an error answer. */
  call(method: string, params?: object): Promise<JsonDocument>;
  log(): string;
}

const MODEL = 'openai/gpt-5.5';
const REDIRECT = fileURLToPath(new URL('./redirect.mjs', import.meta.url));
const GUARDED = fileURLToPath(new URL('./redirect-guarded.mjs', import.meta.url));

/**
 * Null when the release is not installed (see `real`). The gateway does not run yet.
 * @param leaps whether its clock shall leap; else everybody looks at the machine's own
 */
export async function truthHost(t: Tester, release: Release, leaps = false): Promise<TruthHost | null> {
  const found = real(t, 'node24');
  if (found === null) return null;
  const { node24: node } = found;
  const issuer = await startIssuer(t);
  const box = sandbox(t);
  box.env.CODEX_ROUTER_KEY = 'file';
  box.env.CODEX_ROUTER_TEST_ISSUER = issuer.url;
  const clock = simulatedClock(box);
  if (leaps) Object.assign(box.env, clock.env);
  const port = await freePort();
  // 2026.7.35 takes the address as it is, the others add `/codex` to it.
  const baseUrl = `${issuer.url}/backend-api${release === '2026.7.35' ? '/codex' : ''}`;
  const state = await nativeState(t, box, release, { port, baseUrl });
  if (state === null) return null;
  for (const login of [state.logins.slot, state.logins.neighbour]) issuer.adopt(login);
  // As OpenClaw's own login leaves it: every login is named.
  change(state.configPath, (config) => {
    config.auth.profiles[state.neighbourId] = { provider: state.traits.provider, mode: 'oauth' };
  });
  // Where the model calls go through `fetch`, which is redirected, no connection is kept that would hide who the next turn runs on.
  if (state.traits.layout === 'sqlite-shared') {
    change(state.configPath, (config) => {
      delete config.models;
      config.agents.defaults.model = { primary: MODEL };
      config.agents.defaults.models = { [MODEL]: { agentRuntime: { id: 'openclaw' } } };
    });
  }
  const sqlite = state.traits.layout.startsWith('sqlite');
  const work = path.join(box.root, 'openclaw-work');
  const env = {
    ...box.env,
    TMPDIR: path.join(work, 'tmp'),
    NO_COLOR: '1',
    OPENCLAW_DISABLE_BONJOUR: '1',
    OPENCLAW_SKIP_CANVAS_HOST: '1',
    OPENCLAW_SKIP_CHANNELS: '1',
    npm_config_offline: 'true',
    npm_config_fetch_retries: '0',
    NODE_OPTIONS: `--import=${sqlite ? GUARDED : REDIRECT} ${box.env.NODE_OPTIONS ?? ''}`.trim(),
    NODE_COMPILE_CACHE: path.join(PROJECT, '.cache', 'node-compile'),
    TEST_ISSUER_URL: issuer.url,
  };
  const entry = path.join(state.claw.root, 'openclaw.mjs');
  const openclaw = (args: readonly string[]) =>
    runProcess([node, entry, ...args], { env, cwd: work, timeout: 180_000 });
  const logFile = path.join(work, 'gateway.log');
  let stop: () => Promise<void> = async () => undefined;
  let running = false;
  const cleaners: (() => Promise<void>)[] = [];
  const run = async (args: readonly string[], input?: string): Promise<JsonDocument> => {
    const typed = input === undefined ? {} : { input };
    return (await router(box, [...args, '--json'], { node, timeout: 180_000, ...typed })).json;
  };
  const call = (method: string, params: object = {}) =>
    callGateway(port, method, params) as Promise<JsonDocument>;
  return {
    ...{ release, box, issuer, state, node, port, clock, openclaw, run },
    model: readModel(state.configPath),
    openclawJson: async (args) => {
      const ran = await openclaw(args);
      if (ran.code !== 0) throw new Error(`openclaw ${args.join(' ')} failed\n${outputOf(ran)}`);
      return JSON.parse(ran.stdout);
    },
    start: async () => {
      running = true;
      stop = await startGateway(t, [node, entry], env, work, logFile, port, sqlite ? 'readyz' : 'healthz');
    },
    stop: async () => {
      for (const clean of cleaners) await clean();
      await stop();
      running = false;
    },
    isRunning: () => running,
    tell: async () => {
      // From 6.1 on (facts: openclaw-sqlite.md section 0); it looks again for its answer too.
      if (sqlite) await call('models.authStatus', { refresh: true });
      else await call('secrets.reload');
    },
    onStop: (clean) => {
      cleaners.push(clean);
      t.teardown(clean);
    },
    add: (login, alias) => run(['import', '--from', '-', '--alias', alias], codexAuthJson(login)),
    mint: (name, days) => issuer.mint(people[name], { expiresAt: Date.now() + days * DAY }),
    turn: async (session) => {
      for (let attempt = 1; ; attempt += 1) {
        issuer.model.take();
        const message = { message: 'ping', agentId: 'main', sessionKey: session, deliver: false };
        const { runId } = await call('agent', { ...message, idempotencyKey: randomUUID() });
        const { status, error } = await call('agent.wait', { runId, timeoutMs: 60_000 });
        if (status !== 'ok' && attempt < 4 && endedByItself(error)) continue;
        if (status !== 'ok') return `failed: ${error}`;
        return [...new Set(issuer.model.take().map(({ email }) => email))].join();
      }
    },
    call,
    log: () => readFileSync(logFile, 'utf8'),
  };
}

function readModel(file: string): string {
  let model = '';
  change(file, (config) => {
    model = config.agents.defaults.model.primary;
  });
  return model;
}

// biome-ignore lint/suspicious/noExplicitAny: a configuration the kit and the release wrote
export function change(file: string, edit: (config: any) => void): void {
  const config = readJson(file);
  edit(config);
  writeJson(file, config);
}
