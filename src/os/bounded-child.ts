import { type ChildProcess, spawn } from 'node:child_process';
import type { Writable } from 'node:stream';
import { systemErrorCode } from '../errors.js';

export interface BoundedChild {
  /** The program and its arguments; no shell takes them apart. Every user of this machine may read them. */
  readonly argv: readonly [string, ...string[]];
  /** The whole environment. */
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** All of its standard input. */
  readonly input: string;
  readonly timeoutMs: number;
}

/**
 * Runs a program to its end, or to its time: then it and what it has started are killed. What it prints goes nowhere.
 * @returns null when it ended with status 0, else how it ended, in words that quote nothing of it; never throws
 */
export async function runBounded({ argv, env, cwd, input, timeoutMs }: BoundedChild): Promise<string | null> {
  const [program, ...args] = argv;
  if (argv.some((word) => word.includes('\0'))) return 'could not be started (a word with a zero byte)';
  // A group of its own: what it starts must not outlive its time either.
  const grouped = process.platform !== 'win32';
  let child: ChildProcess & { readonly stdin: Writable };
  try {
    child = spawn(program, args, {
      env,
      cwd,
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: grouped,
      windowsHide: true,
    });
  } catch (error) {
    // Node tells only of some errors by an event; a file where a folder should be, or a name that is too long, it throws.
    return `could not be started (${systemErrorCode(error) ?? 'unknown'})`;
  }
  const endAll = () => {
    try {
      if (grouped && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      else child.kill('SIGKILL');
    } catch {
      // It has ended by itself meanwhile.
    }
  };
  process.on('exit', endAll);
  return await new Promise((resolve) => {
    const finish = (why: string | null) => {
      clearTimeout(timer);
      process.off('exit', endAll);
      resolve(why);
    };
    const timer = setTimeout(() => {
      finish(`did not end within ${Math.round(timeoutMs / 1000)} s and was killed`);
      endAll();
    }, timeoutMs);
    child.on('error', (error: NodeJS.ErrnoException) =>
      finish(`could not be started (${error.code ?? 'unknown'})`),
    );
    child.on('exit', (status, signal) =>
      finish(status === 0 ? null : `ended with ${signal ?? `status ${status}`}`),
    );
    // A program that does not read its input closes the pipe; that is its right.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}
