import { spawn } from 'node:child_process';

export interface ProcessRun {
  /** The exit status; null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProcessOptions {
  /** The whole environment of the process. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly input?: string | Buffer;
  /** ms until the process is killed and counted as an error; default 60 000. */
  readonly timeout?: number;
  /** Called once it runs, with a way to send it a signal. */
  readonly onStart?: (kill: (signal: NodeJS.Signals) => void) => void;
  /** Called with everything printed so far; what it returns is typed. Keeps stdin open until the process ends. */
  readonly onOutput?: (output: string) => string | null;
}

/**
 * `command` in front of which env(1) empties the environment: tap puts NODE_OPTIONS and variables of its own into that
 * of every child, and a program under test must not run with its loader.
 */
export function bare(command: readonly string[], env: Readonly<Record<string, string>>): readonly string[] {
  return [
    '/usr/bin/env',
    '-i',
    ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
    ...command,
  ];
}

/** Runs a program with exactly `env`. @throws when it cannot be started or does not end in time. */
export function runProcess(command: readonly string[], options: ProcessOptions): Promise<ProcessRun> {
  const [file = '', ...args] = bare(command, options.env);
  const child = spawn(file, args, { cwd: options.cwd, stdio: ['pipe', 'pipe', 'pipe'] });
  options.onStart?.((signal) => child.kill(signal));
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk) => {
    out.push(chunk);
    const typed = options.onOutput?.(Buffer.concat(out).toString('utf8'));
    if (typed) child.stdin.write(typed);
  });
  child.stderr.on('data', (chunk) => err.push(chunk));
  // A program that ends without reading its input closes the pipe; that is its right.
  child.stdin.on('error', () => undefined);
  if (options.onOutput === undefined) child.stdin.end(options.input ?? '');
  return new Promise((resolve, reject) => {
    const limit = options.timeout ?? 60_000;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, limit);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const run = {
        code,
        signal,
        stdout: Buffer.concat(out).toString('utf8'),
        stderr: Buffer.concat(err).toString('utf8'),
      };
      if (late) reject(new Error(`${command.join(' ')} did not end in ${limit} ms\n${outputOf(run)}`));
      else resolve(run);
    });
  });
}

/** What a process said, for the message of a failing test. */
export function outputOf(run: ProcessRun): string {
  return `exit ${run.code ?? run.signal}\nstdout: ${run.stdout.slice(-4000)}\nstderr: ${run.stderr.slice(-4000)}`;
}

/** Asks until `question` gives something else than null, undefined or false; never a fixed sleep. @throws at the deadline. */
export async function until<T>(
  what: string,
  question: () => Promise<T> | T,
  limit = 30_000,
): Promise<Exclude<T, null | undefined | false>> {
  const end = Date.now() + limit;
  for (;;) {
    const answer = await question();
    if (answer !== null && answer !== undefined && answer !== false) {
      return answer as Exclude<T, null | undefined | false>;
    }
    if (Date.now() > end) throw new Error(`waited ${limit} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
