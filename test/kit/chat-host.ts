import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, type ModelCall } from './backend.js';
import { type ChatClient, chatClient, GUEST, type Heard, OWNER } from './chat-client.js';
import { TELEGRAM_OWNER, type Telegram, telegram } from './chat-telegram.js';
import { startGateway } from './gateway-process.js';
import { type Issuer, startIssuer } from './issuer.js';
import { type NativeState, nativeState } from './native.js';
import { outputOf, type ProcessRun, runProcess } from './process.js';
import { real, type Tester } from './real.js';
import type { Release } from './releases.js';
import { type JsonDocument, PROJECT, router, type Sandbox, sandbox } from './router.js';
import { readJson, writeJson } from './state.js';
import { codexAuthJson, type Login } from './tokens.js';

type Fields = Record<string, unknown>;

export interface ChatHostOptions {
  /** What `openclaw plugins install` is given instead of the folder that `codex-router plugin path` names. */
  readonly plugin?: (box: Sandbox) => Promise<string>;
  /** `plugins.entries.codex-router.config`. */
  readonly settings?: Fields;
  /** Laid over openclaw.json, section by section. */
  readonly config?: Readonly<Record<string, Fields>>;
  /** Laid over the gateway's environment; undefined takes a variable away. */
  readonly env?: () => Readonly<Record<string, string | undefined>>;
  /** CODEX_ROUTER_KEY of the gateway and of everybody else; default `file`, null for none. */
  readonly key?: string | null;
  /** Before anything of OpenClaw runs: what it adds to `box.env` is the gateway's too. False ends it there. */
  readonly before?: (box: Sandbox) => Promise<boolean>;
}

/** A gateway of one release with codex-router's plugin in it, and those who write to it. */
export interface ChatHost {
  readonly release: Release;
  readonly box: Sandbox;
  readonly issuer: Issuer;
  readonly state: NativeState;
  readonly node: string;
  readonly port: number;
  /** Who is in the slot at first. */
  readonly alice: Login;
  /** Puts a login into the repo. */
  add(login: Login, ...flags: readonly string[]): Promise<JsonDocument>;
  run(args: readonly string[]): Promise<JsonDocument>;
  /** OpenClaw's own command line. */
  openclaw(args: readonly string[]): Promise<ProcessRun>;
  start(): Promise<void>;
  stop(): Promise<void>;
  owner(): Promise<ChatClient>;
  guest(): Promise<ChatClient>;
  /**
   * Sends `ping` and gives the model call that was answered in the chat; the host may make others beside it (a title for the
   * chat). @throws when the turn failed.
   */
  turn(client: ChatClient, session: string): Promise<ModelCall>;
  /** The other end of the gateway's Telegram channel. */
  readonly telegram: Telegram;
  log(): string;
}

const REDIRECT = fileURLToPath(new URL('./redirect.mjs', import.meta.url));
const GUARDED = fileURLToPath(new URL('./redirect-guarded.mjs', import.meta.url));
const PROBE = fileURLToPath(new URL('./chat-probe.mjs', import.meta.url));
export const PLUGIN = path.join(PROJECT, 'dist', 'plugin');

/**
 * A state directory that the release made itself, alice in its slot, with codex-router's plugin installed by the release's
 * own command, and its gateway not yet started. Null when the release is not installed (see `real`).
 */
export async function chatHost(
  t: Tester,
  release: Release,
  options: ChatHostOptions = {},
): Promise<ChatHost | null> {
  const found = real(t, 'node24');
  if (found === null) return null;
  const { node24: node } = found;
  const issuer = await startIssuer(t);
  const box = sandbox(t);
  const { key = 'file' } = options;
  if (key !== null) box.env.CODEX_ROUTER_KEY = key;
  box.env.CODEX_ROUTER_TEST_ISSUER = issuer.url;
  // As npm install -g leaves it.
  symlinkSync(path.join(PROJECT, 'dist', 'codex-router.js'), path.join(box.bin, 'codex-router'));
  if (options.before && !(await options.before(box))) return null;
  const port = await freePort();
  // 2026.7.35 takes the address as it is, the others add `/codex` to it.
  const baseUrl = `${issuer.url}/backend-api${release === '2026.7.35' ? '/codex' : ''}`;
  const state = await nativeState(t, box, release, { port, baseUrl });
  if (state === null) return null;
  const { slot: alice, neighbour } = state.logins;
  for (const login of [alice, neighbour]) issuer.adopt(login);

  const sqlite = state.traits.layout.startsWith('sqlite');
  const work = path.join(box.root, 'openclaw-work');
  const env = definedOnly({
    ...box.env,
    TMPDIR: path.join(work, 'tmp'),
    NO_COLOR: '1',
    OPENCLAW_DISABLE_BONJOUR: '1',
    OPENCLAW_SKIP_CANVAS_HOST: '1',
    npm_config_offline: 'true',
    npm_config_fetch_retries: '0',
    npm_config_fetch_timeout: '2000',
    NODE_OPTIONS: `--import=${sqlite ? GUARDED : REDIRECT}`,
    NODE_COMPILE_CACHE: path.join(PROJECT, '.cache', 'node-compile'),
    TEST_ISSUER_URL: issuer.url,
    ...options.env?.(),
  });
  const entry = path.join(state.claw.root, 'openclaw.mjs');
  const openclaw = (args: readonly string[]) =>
    runProcess([node, entry, ...args], { env, cwd: work, timeout: 180_000 });

  // What else is in the package is loaded at each start otherwise, which takes twice as long.
  change(state, (config) => {
    config.plugins = { ...config.plugins, allow: ['openai', 'telegram', 'probe'] };
  });
  await install(openclaw, release, options.plugin ? await options.plugin(box) : PLUGIN);
  const bot = await telegram(t);
  configure(state, box, options, bot);

  const logFile = path.join(work, 'gateway.log');
  let stop: () => Promise<void> = async () => undefined;
  const clients: ChatClient[] = [];
  const connect = async (scopes: readonly string[]) => {
    const client = await chatClient(port, scopes);
    clients.push(client);
    return client;
  };
  t.teardown(() => {
    for (const client of clients) client.close();
  });
  const run = async (args: readonly string[], input?: string): Promise<JsonDocument> => {
    const typed = input === undefined ? {} : { input };
    return (await router(box, [...args, '--json'], { node, timeout: 180_000, ...typed })).json;
  };
  return {
    release,
    box,
    issuer,
    state,
    node,
    port,
    alice,
    add: (login, ...flags) => run(['import', '--from', '-', ...flags], codexAuthJson(login)),
    run,
    openclaw,
    start: async () => {
      const path = sqlite ? 'readyz' : 'healthz';
      stop = await startGateway(t, [node, entry], env, work, logFile, port, path);
      await bot.ready();
    },
    stop: () => stop(),
    owner: () => connect(OWNER),
    guest: () => connect(GUEST),
    turn: async (client, session) => {
      const heard = await client.say(session, 'ping');
      const [, email] = /^pong \d+ for (\S+)$/m.exec(heard.text) ?? [];
      const call = issuer.model.take().findLast((one) => one.email === email);
      if (call === undefined)
        throw new Error(`the turn failed: ${JSON.stringify(heard)}\n${logTail(logFile)}`);
      return call;
    },
    telegram: bot,
    log: () => readFileSync(logFile, 'utf8'),
  };
}

/** The later ones ask a person whether a plugin from a local path is meant, and what it may do: without a terminal, these answer. */
const MEANT = ['--force', '--accept-capabilities'];
const ASKING: readonly Release[] = ['2026.8.1', '2026.9.1', '2026.9.6'];

async function install(openclaw: ChatHost['openclaw'], release: Release, plugin: string): Promise<void> {
  const args = ['plugins', 'install', plugin, ...(ASKING.includes(release) ? MEANT : [])];
  const run = await openclaw(args);
  if (run.code !== 0) throw new Error(`openclaw ${args.join(' ')} failed\n${outputOf(run)}`);
}

function configure(state: NativeState, box: Sandbox, options: ChatHostOptions, bot: Telegram): void {
  const probe = path.join(box.root, 'probe');
  mkdirSync(probe, { mode: 0o700 });
  cpSync(PROBE, path.join(probe, 'index.js'));
  writeFileSync(
    path.join(probe, 'package.json'),
    JSON.stringify({
      ...{ name: 'probe', version: '1.0.0', type: 'module' },
      openclaw: { extensions: ['./index.js'] },
    }),
  );
  writeFileSync(
    path.join(probe, 'openclaw.plugin.json'),
    JSON.stringify({
      ...{ id: 'probe', name: 'probe', version: '1.0.0', activation: { onStartup: true } },
      configSchema: { type: 'object', additionalProperties: false, properties: {} },
    }),
  );
  change(state, (config) => {
    const { load, entries } = config.plugins;
    config.plugins.load = { ...load, paths: [...(load?.paths ?? []), probe] };
    const ours = entries?.['codex-router'];
    config.plugins.entries = {
      ...entries,
      probe: { enabled: true },
      telegram: { enabled: true },
      'codex-router': { ...ours, enabled: true, config: { ...ours?.config, ...options.settings } },
    };
    config.session = { ...config.session, dmScope: 'per-channel-peer' };
    config.channels = { ...config.channels, telegram: channelOf(state.release, bot) };
    config.commands = { ...config.commands, ownerAllowFrom: [`telegram:${TELEGRAM_OWNER}`] };
    for (const [section, fields] of Object.entries(options.config ?? {})) {
      config[section] = { ...config[section], ...fields };
    }
  });
}

/** Open to everybody as far as the host goes: who may ask codex-router is its own business. */
function channelOf(release: Release, bot: Telegram): Fields {
  return {
    enabled: true,
    botToken: bot.token,
    apiRoot: bot.apiRoot,
    dmPolicy: 'open',
    allowFrom: ['*'],
    groupPolicy: 'open',
    groups: { '*': { requireMention: false } },
    ...(release === '2026.3.28' ? { streaming: 'off' } : {}),
    ...(release === '2026.3.28' ? {} : { network: { dangerouslyAllowPrivateNetwork: true } }),
  };
}

// biome-ignore lint/suspicious/noExplicitAny: a configuration the kit and the release wrote
function change(state: NativeState, edit: (config: any) => void): void {
  const config = readJson(state.configPath);
  edit(config);
  writeJson(state.configPath, config);
}

function definedOnly(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

function logTail(file: string): string {
  return readFileSync(file, 'utf8').slice(-3000);
}

export type { ChatClient, Heard };
