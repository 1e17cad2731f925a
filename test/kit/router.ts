import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { complaint } from '../contract/documents.js';
import { findCanary } from './canary.js';
import { outputOf, type ProcessRun, runProcess } from './process.js';

export const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const PROGRAM = path.join(PROJECT, 'dist', 'codex-router.js');

/** Folders of one test, below one temporary folder; nothing of the machine's own HOME is reachable through `env`. */
export interface Sandbox {
  readonly root: string;
  readonly home: string;
  readonly codexHome: string;
  /** OPENCLAW_STATE_DIR; not made (makeState does). */
  readonly stateDir: string;
  /** CODEX_ROUTER_HOME; not made. */
  readonly routerHome: string;
  /** First on PATH: holds `node`; a test links what else the router should find. */
  readonly bin: string;
  readonly tmp: string;
  /** The whole environment the router gets; a test may add to it or delete from it. */
  readonly env: Record<string, string>;
  /** Where codex-router could have left something: its own home, config, data, cache, runtime and temp folders. */
  readonly written: readonly string[];
}

/** What a tap test offers; only the clean-up is used. */
export interface Owner {
  teardown(clean: () => unknown): void;
}

/** Makes a sandbox and removes it when the test `t` ends. */
export function sandbox(t: Owner): Sandbox {
  const root = realpathSync(mkdtempSync(path.join(tmpdir(), 'codex-router-test-')));
  t.teardown(() => rmSync(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }));
  const made = (name: string) => {
    const dir = path.join(root, name);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    return dir;
  };
  const home = made('home');
  const bin = made('bin');
  symlinkSync(process.execPath, path.join(bin, 'node'));
  const codexHome = made('home/.codex');
  const tmp = made('tmp');
  const xdg = { config: made('xdg/config'), data: made('xdg/data'), state: made('xdg/state') };
  const stateDir = path.join(root, 'openclaw');
  const routerHome = path.join(root, 'router');
  return {
    root,
    home,
    codexHome,
    stateDir,
    routerHome,
    bin,
    tmp,
    env: {
      PATH: `${bin}:/usr/bin:/bin`,
      HOME: home,
      TMPDIR: tmp,
      LANG: 'C.UTF-8',
      CODEX_HOME: codexHome,
      OPENCLAW_STATE_DIR: stateDir,
      CODEX_ROUTER_HOME: routerHome,
      XDG_CONFIG_HOME: xdg.config,
      XDG_DATA_HOME: xdg.data,
      XDG_STATE_HOME: xdg.state,
      XDG_CACHE_HOME: made('xdg/cache'),
      XDG_RUNTIME_DIR: made('xdg/runtime'),
    },
    written: [path.join(root, 'xdg'), tmp, routerHome],
  };
}

/** What codex-router wrote outside the host and holds CANARY; empty is what every test wants. */
export function leaksOf(box: Sandbox): ReturnType<typeof findCanary> {
  return findCanary(box.written.filter((dir) => existsSync(dir)));
}

export interface Answer {
  /** Sent as soon as this is seen in what came after the previous answer. */
  readonly after: string | RegExp;
  /** Bytes as typed: `y\r`, `\x1b[B` (down), `\x03` (Ctrl-C). */
  readonly send: string;
}

export interface RouterOptions {
  readonly input?: string | Buffer;
  /** Laid over the sandbox's; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /**
   * Runs under a pseudo terminal of 80 columns, answering as a person would. Terminal output, stderr included, is
   * `stdout` then (line ends as `\n`); with `splitStdout` the program's stdout is a file, as in `codex-router ... > x`.
   */
  readonly tty?: readonly Answer[];
  readonly splitStdout?: boolean;
  readonly cwd?: string;
  /** Another Node than the one that runs the test. */
  readonly node?: string;
  /** ms until the run is killed and counted as an error; default 60 000. */
  readonly timeout?: number;
  /** Called once it runs, with a way to send it a signal. Not under a terminal: type there. */
  readonly onStart?: (kill: (signal: NodeJS.Signals) => void) => void;
}

/** One JSON document as `--json` prints it; `any` because each test knows the fields of its command. */
// biome-ignore lint/suspicious/noExplicitAny: a test reads the fields it expects, and fails when they are not there
export type JsonDocument = any;

export interface RouterRun extends ProcessRun {
  /** The document, when `--json` was given; else undefined. */
  readonly json: JsonDocument;
}

/**
 * Runs the built codex-router in the sandbox, and nothing of this process's environment.
 * @throws when stdout or stderr holds CANARY in any coding, when `--json` did not print exactly one valid document, or
 *   when it did not end in time.
 */
export async function router(
  box: Sandbox,
  args: readonly string[],
  options: RouterOptions = {},
): Promise<RouterRun> {
  if (!existsSync(PROGRAM)) throw new Error('dist/codex-router.js is missing: run npm run build first');
  const run = await program(box, [options.node ?? process.execPath, PROGRAM], args, options);
  const trouble = run.json === undefined ? null : complaint(args, run.json, run.json.ok);
  if (trouble !== null)
    throw new Error(`${args.join(' ')} printed what docs/schemas does not promise: ${trouble}`);
  return run;
}

/** `router` for any program: the same environment, the same checks. */
export async function program(
  box: Sandbox,
  prefix: readonly string[],
  args: readonly string[],
  options: RouterOptions = {},
): Promise<RouterRun> {
  const env = definedOnly({ ...box.env, ...options.env });
  const command = [...prefix, ...args];
  const run = options.tty
    ? await onTerminal(box, command, env, options, options.tty)
    : await runProcess(command, { ...options, env, cwd: options.cwd ?? box.home });
  const shown = [path.basename(prefix.at(-1) ?? ''), ...args].join(' ');
  const leaks = findCanary([], { strings: { stdout: run.stdout, stderr: run.stderr } });
  if (leaks.length > 0) throw new Error(`${shown} showed a secret: ${JSON.stringify(leaks)}`);
  const wantsJson = args.includes('--json') && !args.includes('--help') && !args.includes('--version');
  return { ...run, json: wantsJson && run.signal === null ? parseDocument(args, run) : undefined };
}

/** What is true of every document, whatever the command. */
function parseDocument(args: readonly string[], run: ProcessRun): JsonDocument {
  const shown = args.join(' ');
  const wrong = (what: string) => new Error(`${shown}: ${what}\n${outputOf(run)}`);
  let json: JsonDocument;
  try {
    json = JSON.parse(run.stdout);
  } catch {
    throw wrong('--json did not print exactly one JSON document');
  }
  if (json?.schemaVersion !== 1) throw wrong('schemaVersion is not 1');
  if (typeof json.ok !== 'boolean') throw wrong('ok is not a boolean');
  // These end with a status of what they found, after a document that says it.
  const mayFind = json.ok && ['doctor', 'failover', 'refresh', 'status', 'usage'].includes(args[0] ?? '');
  if (json.ok !== (run.code === 0) && !mayFind) throw wrong('ok and the exit status disagree');
  if (!json.ok && !/^[A-Z_]+$/.test(json.error?.code ?? '')) throw wrong('error.code is missing');
  return json;
}

async function onTerminal(
  box: Sandbox,
  command: readonly string[],
  env: Record<string, string>,
  options: RouterOptions,
  answers: readonly Answer[],
): Promise<ProcessRun> {
  if (!existsSync('/usr/bin/script'))
    throw new Error('util-linux script is missing: no pseudo terminal to test on');
  const aside = path.join(box.root, 'stdout');
  const quoted = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  const line = `stty cols 80 rows 24; exec ${quoted}${options.splitStdout ? ` > '${aside}'` : ''}`;
  const waiting = [...answers];
  let seen = 0;
  const run = await runProcess(
    ['/usr/bin/script', '--quiet', '--return', '--echo', 'always', '--command', line, '/dev/null'],
    {
      env: { TERM: 'xterm-256color', ...env, SHELL: '/bin/sh' },
      cwd: options.cwd ?? box.home,
      ...(options.timeout === undefined ? {} : { timeout: options.timeout }),
      onOutput: (output) => {
        const next = waiting[0];
        if (next === undefined) return null;
        const fresh = withoutEscapes(output.slice(seen));
        if (typeof next.after === 'string' ? !fresh.includes(next.after) : !next.after.test(fresh))
          return null;
        waiting.shift();
        seen = output.length;
        return next.send;
      },
    },
  );
  if (waiting.length > 0) {
    throw new Error(
      `the terminal never showed ${String(waiting[0]?.after)}; it showed:\n${withoutEscapes(run.stdout)}`,
    );
  }
  const screen = run.stdout.replaceAll('\r\n', '\n');
  return options.splitStdout
    ? { ...run, stdout: readAside(aside), stderr: screen }
    : { ...run, stdout: screen };
}

function readAside(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}

function definedOnly(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

/** Terminal output as a person reads it: cursor moves and colours taken out. */
export function withoutEscapes(text: string): string {
  return text.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, '');
}
