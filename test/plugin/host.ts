import { spawn } from 'node:child_process';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { PROJECT } from '../kit/router.js';

type Fields = Record<string, unknown>;
// biome-ignore lint/suspicious/noExplicitAny: what the plugin registers, called as the host would
type Handler = (...args: any[]) => any;

export interface PlayedHostOptions {
  readonly release?: string;
  readonly config?: Fields;
  /** The gateway's environment. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Members of the API that this host does not have, or has instead. */
  readonly api?: Fields;
  readonly runtime?: Fields;
}

/** A host of the plugin that does what no real gateway can be brought to do; programs are really run. */
export interface PlayedHost {
  readonly commands: ReadonlyMap<string, Fields & { readonly handler: Handler }>;
  readonly presses: ReadonlyMap<string, Handler>;
  readonly hooks: ReadonlyMap<string, Handler>;
  /** Tells the plugin of a run's event. */
  event(event: Fields): void;
  /** Every program that was run: its argv and what it was given on standard input. */
  readonly runs: { readonly argv: readonly string[]; readonly input: string; readonly env: Fields }[];
  /** What was sent by the plugin itself. */
  readonly sent: Fields[];
  readonly warnings: string[];
  /** One command as the host gives it to the plugin; its reply. */
  say(name: string, args: string, context?: Fields): Promise<Reply>;
}

export interface Reply {
  readonly text?: string;
  readonly suppressReply?: boolean;
  readonly channelData?: {
    readonly telegram: { readonly buttons: { readonly text: string; readonly callback_data: string }[][] };
  };
}

/** A direct message of the owner in Telegram. */
export const DIRECT: Fields = {
  senderId: '1001',
  channel: 'telegram',
  isAuthorizedSender: true,
  senderIsOwner: true,
  sessionKey: 'agent:main:main',
  agentId: 'main',
  from: 'telegram:1001',
  to: 'telegram:1001',
  accountId: 'default',
  config: { commands: { ownerAllowFrom: ['telegram:1001'] } },
};

/** Loads the built plugin anew and registers it. */
export async function playHost({
  release = '2026.9.6',
  config = {},
  env = {},
  api = {},
  runtime = {},
}: PlayedHostOptions = {}): Promise<PlayedHost> {
  const file = pathToFileURL(path.join(PROJECT, 'dist', 'plugin', 'index.js'));
  const { default: plugin } = await import(file.href);
  const commands: Map<string, Fields & { readonly handler: Handler }> = new Map();
  const presses = new Map<string, Handler>();
  const hooks = new Map<string, Handler>();
  const listeners: Handler[] = [];
  const runs: PlayedHost['runs'] = [];
  const sent: Fields[] = [];
  const warnings: string[] = [];
  plugin.register({
    pluginConfig: config,
    logger: { warn: (line: string) => warnings.push(line) },
    on: (name: string, handler: Handler) => hooks.set(name, handler),
    registerCommand: (command: Fields & { readonly name: string; readonly handler: Handler }) =>
      commands.set(command.name, command),
    registerInteractiveHandler: (one: { readonly namespace: string; readonly handler: Handler }) =>
      presses.set(one.namespace, one.handler),
    registerAgentEventSubscription: ({ handle }: { readonly handle: Handler }) => listeners.push(handle),
    runtime: {
      version: release,
      system: {
        runCommandWithTimeout: (argv: string[], options: RunOptions) => {
          runs.push({ argv, input: options.input, env: options.env });
          return run(argv, options, env);
        },
      },
      channel: {
        outbound: {
          loadAdapter: async () => ({ sendText: async (message: Fields) => sent.push(message) }),
        },
      },
      ...runtime,
    },
    ...api,
  });
  return {
    commands,
    presses,
    hooks,
    event: (event) => {
      for (const listener of listeners) listener(event, {});
    },
    runs,
    sent,
    warnings,
    say: async (name, args, context = {}) =>
      await commands.get(name)?.handler({ ...DIRECT, args, commandBody: `/${name} ${args}`, ...context }),
  };
}

interface RunOptions {
  readonly timeoutMs: number;
  readonly input: string;
  readonly env: Fields;
}

/** As the host does it: its own environment below, an undefined variable taken away, and a child that takes too long killed. */
function run([file = '', ...args]: string[], options: RunOptions, env: Fields): Promise<Fields> {
  const given = { ...process.env, ...env, ...options.env };
  const child = spawn(file, args, {
    env: Object.fromEntries(
      Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
    ),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input);
  return new Promise((resolve, reject) => {
    let stdout = '';
    let termination = 'exit';
    const timer = setTimeout(() => {
      termination = 'timeout';
      child.kill('SIGKILL');
    }, options.timeoutMs);
    child.stdout.on('data', (data) => {
      stdout += data;
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({
        code,
        signal,
        stdout,
        stderr: '',
        termination: signal && termination === 'exit' ? 'signal' : termination,
      });
    });
  });
}
