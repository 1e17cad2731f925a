import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import type { Env } from '../os/folders.js';
import type { SdkAnswer, SdkOpening, SdkRequest } from './sdk-message.js';

/** What the helper of one OpenClaw is started with. */
export interface HelperPlace {
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
}

/** No answer, and why. */
export interface Silence {
  readonly silence: 'late' | 'ended' | 'garbled';
  /** `exit status 1`, `signal SIGSEGV`, `no start` */
  readonly how: string;
}

/** The child process that asks the SDK (sdk-child.ts). */
export interface Helper {
  readonly ended: boolean;
  /** One at a time. Never rejects; a child that is silent for `deadline` ms is killed. */
  ask(request: SdkRequest, deadline: number): Promise<SdkAnswer | Silence>;
  close(): void;
}

/** Starts at once. This process waits for it only while it is asked something. */
export function startHelper(deps: HelperPlace, deadline: number): Helper {
  const child = spawn(deps.node, [deps.childPath], {
    env: environment(deps),
    // OpenClaw's own talk goes nowhere; answers come on a descriptor it does not know.
    stdio: ['pipe', 'ignore', 'ignore', 'pipe'],
    windowsHide: true,
  });
  const [stdin, , , answers] = child.stdio;
  let ended = false;
  let waiting: ((answer: SdkAnswer | Silence) => void) | null = null;

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
    readAnswers(answers, (answer) => ('silence' in answer ? giveUp(answer) : settle(answer)));
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

/** More than any store or session list takes. */
const LONGEST_ANSWER = 256 * 1024 * 1024;

function readAnswers(answers: Socket, take: (answer: SdkAnswer | Silence) => void): void {
  let received = '';
  answers.setEncoding('utf8').on('data', (chunk: string) => {
    received += chunk;
    // One question is open, so one line comes.
    if (!chunk.includes('\n') && received.length < LONGEST_ANSWER) return;
    const answer = parseAnswer(received);
    received = '';
    take(answer);
  });
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
function environment({ env, stateDir, configPath }: HelperPlace): Env {
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
