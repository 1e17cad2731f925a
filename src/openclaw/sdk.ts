import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { type ErrorCode, RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';
import type { SdkAnswer, SdkOpening, SdkRequest } from './sdk-message.js';

export interface SdkDeps {
  /** The folder of the installed package `openclaw`. */
  readonly packageRoot: string;
  /** The Node that runs it. */
  readonly node: string;
  /** As the host was located: without variables that point into another one. */
  readonly env: Env;
  readonly stateDir: string;
  readonly configPath: string;
  /** The built src/openclaw/sdk-child.ts. */
  readonly childPath: string;
  /** ms for one answer, the import included; default 30,000. */
  readonly deadline?: number;
}

/** Answers that are no failure. */
export type SdkResult = Exclude<SdkAnswer, { readonly stage: 'failed' }>;

/** The plugin SDK of the installed OpenClaw, in one child process that is started by the first question. */
export interface Sdk {
  /** For sentences: `OpenClaw 2026.9.6`. */
  readonly release: string;
  /**
   * One question at a time, in the order they came. An answer may be of another stage than the question's: the caller checks.
   * @param unreadable the code for a store that OpenClaw itself does not read.
   * @throws HOST_BUSY when it does not answer in time or its store stays locked; HOST_UNSUPPORTED when the SDK cannot be used;
   *   IO when it failed to write; `unreadable`.
   */
  ask(request: SdkRequest, unreadable: ErrorCode): Promise<SdkResult>;
  /** Ends the child once it has answered; a later question starts another. Without it the child ends with this process. */
  close(): void;
}

const DEADLINE_MS = 30_000;
/** More than any store or session list takes. */
const LONGEST_ANSWER = 256 * 1024 * 1024;

/** Starts nothing yet. */
export function openSdk(deps: SdkDeps): Sdk {
  const deadline = deps.deadline ?? DEADLINE_MS;
  let child: Helper | null = null;
  let last: Promise<unknown> = Promise.resolve();
  let release: string | null = null;
  const nameOf = () => {
    release ??= `OpenClaw ${versionOf(deps.packageRoot) ?? '(release unknown)'}`;
    return release;
  };

  async function exchange(request: SdkRequest): Promise<SdkAnswer | Silence> {
    if (child === null || child.ended) child = startHelper(deps, deadline);
    return await child.ask(request, deadline);
  }

  return {
    get release() {
      return nameOf();
    },
    async ask(request, unreadable) {
      const answering = last.then(() => exchange(request));
      last = answering.catch(() => undefined);
      const answer = await answering;
      if ('silence' in answer) throw silent(nameOf(), answer, request, deadline);
      if (answer.stage === 'failed') throw troubled(nameOf(), answer, unreadable);
      return answer;
    },
    close() {
      child?.close();
      child = null;
    },
  };
}

function versionOf(packageRoot: string): string | null {
  try {
    const manifest: unknown = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8'));
    if (typeof manifest !== 'object' || manifest === null || !('version' in manifest)) return null;
    return typeof manifest.version === 'string' ? manifest.version : null;
  } catch {
    return null;
  }
}

/** No answer, and why. */
interface Silence {
  readonly silence: 'late' | 'ended' | 'garbled';
  /** `exit status 1`, `signal SIGSEGV`, `no start` */
  readonly how: string;
}

interface Helper {
  readonly ended: boolean;
  ask(request: SdkRequest, deadline: number): Promise<SdkAnswer | Silence>;
  close(): void;
}

function startHelper(deps: SdkDeps, deadline: number): Helper {
  const child = spawn(deps.node, [deps.childPath], {
    env: environment(deps),
    // OpenClaw's own talk goes nowhere; answers come on a descriptor it does not know.
    stdio: ['pipe', 'ignore', 'ignore', 'pipe'],
    windowsHide: true,
  });
  const [stdin, , , answers] = child.stdio;
  let ended = false;
  let waiting: ((answer: SdkAnswer | Silence) => void) | null = null;
  let received = '';

  const settle = (answer: SdkAnswer | Silence) => {
    const answered = waiting;
    waiting = null;
    answered?.(answer);
  };
  const giveUp = (silence: Silence) => {
    ended = true;
    child.kill('SIGKILL');
    settle(silence);
  };
  // A helper in the middle of something does not outlive the command that asked; an idle one ends with its stdin.
  const atExit = () => {
    if (waiting !== null) child.kill('SIGKILL');
  };
  process.on('exit', atExit);
  const finish = (how: string) => {
    ended = true;
    process.off('exit', atExit);
    settle({ silence: 'ended', how });
  };
  child.on('close', () => finish(endOf(child)));
  child.on('error', () => finish('no start'));
  // How the child ended says more than a broken pipe.
  stdin?.on('error', () => undefined);
  answers?.on('error', () => undefined);
  if (answers instanceof Socket) {
    answers.setEncoding('utf8').on('data', (chunk: string) => {
      received += chunk;
      // One question is open, so one line comes.
      if (!chunk.includes('\n') && received.length < LONGEST_ANSWER) return;
      const answer = parseAnswer(received);
      received = '';
      if ('silence' in answer) giveUp(answer);
      else settle(answer);
    });
  }
  const send = (line: object) => {
    if (stdin instanceof Socket) stdin.write(`${JSON.stringify(line)}\n`);
  };
  const opening: SdkOpening = { packageRoot: deps.packageRoot, deadline };
  send(opening);
  hold(child, false);
  return {
    get ended() {
      return ended;
    },
    ask: (request, limit) =>
      new Promise((resolve) => {
        if (ended) {
          resolve({ silence: 'ended', how: endOf(child) });
          return;
        }
        hold(child, true);
        const timer = setTimeout(() => giveUp({ silence: 'late', how: '' }), limit);
        waiting = (answer) => {
          clearTimeout(timer);
          hold(child, false);
          resolve(answer);
        };
        send(request);
      }),
    close() {
      if (stdin instanceof Socket) stdin.end();
    },
  };
}

/** Whether this process waits for the child: only while a question is open. */
function hold(child: ChildProcess, on: boolean): void {
  for (const one of [child, child.stdio[0], child.stdio[3]]) {
    if (one !== child && !(one instanceof Socket)) continue;
    if (on) one.ref();
    else one.unref();
  }
}

/** Flags of this Node are not flags of that one, and our own variables are no business of OpenClaw's. */
function environment({ env, stateDir, configPath }: SdkDeps): Env {
  const kept = Object.entries(env).filter(
    ([name]) => name !== 'NODE_OPTIONS' && name !== 'NODE_PATH' && !name.startsWith('CODEX_ROUTER_'),
  );
  return { ...Object.fromEntries(kept), OPENCLAW_STATE_DIR: stateDir, OPENCLAW_CONFIG_PATH: configPath };
}

function endOf(child: ChildProcess): string {
  if (child.signalCode !== null) return `signal ${child.signalCode}`;
  return child.exitCode === null ? 'no start' : `exit status ${child.exitCode}`;
}

const STAGES = ['store', 'changed', 'sessions', 'pinned', 'failed'];

/** The helper is our own program, but what runs in it is not. */
function parseAnswer(text: string): SdkAnswer | Silence {
  try {
    const answer: unknown = JSON.parse(text);
    if (typeof answer === 'object' && answer !== null && 'stage' in answer) {
      if (STAGES.some((stage) => stage === answer.stage)) return answer as SdkAnswer;
    }
  } catch {
    // Told below.
  }
  return { silence: 'garbled', how: '' };
}

const LOOK = 'codex-router status shows what is there now; then run the command again';

function silent(
  release: string,
  { silence, how }: Silence,
  request: SdkRequest,
  deadline: number,
): RouterError {
  const hint = request.op === 'read' || request.op === 'sessions' ? 'nothing was changed' : LOOK;
  if (silence === 'late') {
    const seconds = Math.round(deadline / 1000);
    return new RouterError('HOST_BUSY', `the SDK of ${release} gave no answer within ${seconds} s`, { hint });
  }
  const why = silence === 'garbled' ? 'gave an answer that is none' : `ended without an answer (${how})`;
  return new RouterError('HOST_UNSUPPORTED', `the SDK of ${release} ${why}`, { hint });
}

function troubled(
  release: string,
  { trouble, what }: Extract<SdkAnswer, { readonly stage: 'failed' }>,
  unreadable: ErrorCode,
): RouterError {
  const kind = what === '' ? '' : ` (${what})`;
  switch (trouble) {
    case 'import':
      return new RouterError('HOST_UNSUPPORTED', `the SDK of ${release} cannot be loaded${kind}`, {
        hint: 'look whether openclaw --version works; nothing was changed',
      });
    case 'missing':
      return new RouterError('HOST_UNSUPPORTED', `the SDK of ${release} has no ${what} any more`, {
        hint: 'update codex-router; nothing was changed',
      });
    case 'busy':
      return new RouterError('HOST_BUSY', `another process holds the store of ${release}`, {
        hint: 'wait for it to end and run the command again; nothing was changed',
      });
    case 'refused':
      return new RouterError(unreadable, `${release} cannot use its own store${kind}`, {
        hint: 'openclaw doctor says what is wrong, openclaw doctor --fix mends it; nothing was changed',
      });
    case 'write':
      return new RouterError('IO', `${release} could not write its store${kind}`, { hint: LOOK });
  }
}
