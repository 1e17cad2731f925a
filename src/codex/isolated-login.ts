import { spawn } from 'node:child_process';
import { browserOpener } from '../os/browser.js';
import type { Env } from '../os/folders.js';
import { type CodexProgram, findCodex, notFound } from './codex-program.js';
import {
  type Contents,
  listHomes,
  makeHome,
  markElsewhere,
  readHome,
  removeHome,
  type Wanted,
} from './isolated-home.js';
import { type Use, useOf, useOfOwn } from './isolated-use.js';
import { isTestIssuer } from './issuer.js';

export interface IsolatedDeps {
  readonly env: Env;
  readonly platform: NodeJS.Platform;
  /** Our data folder: tokens never lie in a folder that others can list. */
  readonly data: string;
  /** See `parseIssuer`; null outside tests. */
  readonly testIssuer: string | null;
  readonly now: () => number;
}

/** Logins made by the person's own Codex CLI, each in a throw-away CODEX_HOME: the router's port IsolatedLogins. */
export function isolatedLogins(deps: IsolatedDeps) {
  const { env, platform, data, testIssuer, now } = deps;
  return {
    usualFlow: browserOpener(env, platform) === null ? ('device' as const) : ('browser' as const),
    mayBeLeft: async () => (await listHomes(data)).length > 0,
    left: async () => {
      const found: LeftHome[] = [];
      for (const folder of await listHomes(data)) {
        found.push(await lookAt(testIssuer, folder, useOf(folder, now())));
      }
      return found;
    },
    findCodex: async (named: string | null) => findCodex(env, platform, named),
    begin: async (codex: CodexProgram, wanted: Wanted) => {
      const folder = await makeHome(data, wanted);
      return {
        folder,
        run: (flow: 'device' | 'browser', signal: AbortSignal) => {
          const args = ['login', ...(flow === 'device' ? ['--device-auth'] : []), ...issuerFor(testIssuer)];
          return runCodex(codex, args, childEnv(env, folder), folder, signal);
        },
        markElsewhere: () => markElsewhere(folder),
        look: async () => {
          const found = await lookAt(testIssuer, folder, 'free');
          return found.state === 'login' ? found : lookAt(testIssuer, folder, useOfOwn(folder));
        },
      };
    },
  };
}

async function lookAt(testIssuer: string | null, folder: string, use: Use): Promise<LeftHome> {
  const found = await readHome(folder, testIssuer);
  const runs = use === 'used' || (use === 'done-with-login' && found.holding === null);
  return { folder, ...found, state: runs ? 'running' : stateOf(found), remove: () => removeHome(folder) };
}

interface LeftHome extends Contents {
  readonly folder: string;
  readonly state: 'running' | 'login' | 'unreadable' | 'empty';
  remove(): Promise<void>;
}

function stateOf({ holding, trouble }: Contents): 'login' | 'unreadable' | 'empty' {
  if (holding !== null) return 'login';
  return trouble === null ? 'empty' : 'unreadable';
}

/** A hidden option of the CLI, honoured by its device flow only (0.169, measured). */
function issuerFor(testIssuer: string | null): readonly string[] {
  return testIssuer !== null && isTestIssuer(testIssuer, testIssuer)
    ? ['--experimental_issuer', testIssuer]
    : [];
}

/**
 * The person's own, but for another CODEX_HOME: without what Codex would take for a login instead, without the second place where it
 * keeps state, and without ours. HOME stays: 0.169 writes nothing there when CODEX_HOME is set (measured), and a browser needs it.
 */
function childEnv(env: Env, folder: string): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(([name]) => !LEFT_OUT.test(name));
  return { ...Object.fromEntries(kept), CODEX_HOME: folder };
}

const LEFT_OUT = /^(OPENAI_API_KEY|CODEX_API_KEY|CODEX_ACCESS_TOKEN|CODEX_SQLITE_HOME|CODEX_ROUTER_.*)$/i;

/** ms that Codex is given to end after it was asked to. */
const GRACE = 5000;

function runCodex(
  { file, args: before }: CodexProgram,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  folder: string,
  signal: AbortSignal,
): Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }> {
  // Its own folder for working folder: no project's configuration applies there. Its talk is talk: stdout is ours alone.
  const child = spawn(file, [...before, ...args], { env, cwd: folder, stdio: ['inherit', 2, 2] });
  let patience: NodeJS.Timeout | undefined;
  const stop = () => {
    child.kill('SIGTERM');
    patience = setTimeout(() => child.kill('SIGKILL'), GRACE);
  };
  const onExit = () => child.kill('SIGTERM');
  process.once('exit', onExit);
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  return new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((settle, fail) => {
    child.once('error', () => fail(notFound(`${file} could not be started`)));
    child.once('close', (code, by) => settle({ code, signal: by }));
  }).finally(() => {
    clearTimeout(patience);
    signal.removeEventListener('abort', stop);
    process.removeListener('exit', onExit);
  });
}
