import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { RouterError } from '../errors.js';
import { ioError } from '../os/atomic.js';
import { open } from '../os/files.js';
import type { Env } from '../os/folders.js';

/**
 * A way to take Codex's locks, which are flock(2) locks (0.166 and later). Node has no flock(2), so util-linux's `flock`
 * takes them in a child process.
 */
export interface Flock {
  /** The child's whole environment. */
  readonly env: { readonly PATH: string };
  /** How long to wait for each of the two locks, seconds. */
  readonly waitSeconds: number;
  /**
   * After how long coreutils' `timeout` ends the child that holds them, ms, whatever this process does. Far below 5 s: after that Codex gives up on `auth.json.lock`, and loses the token it
   * wanted to write (0.169, measured).
   */
  readonly holdMs: number;
}

const CONFLICT = 100;

const TIMED_OUT = 124;

/**
 * Finds `flock` and `timeout` before anything is written.
 * @throws PLATFORM_UNSUPPORTED where there is no util-linux `flock` (Windows, macOS, BusyBox).
 */
export async function findFlock(env: Env, platform: NodeJS.Platform): Promise<Flock> {
  const flock: Flock = { env: { PATH: env.PATH ?? '' }, waitSeconds: 4, holdMs: 2500 };
  const found = platform !== 'win32' && (await isUtilLinux(flock)) && (await isInTime(flock));
  if (!found) {
    throw new RouterError(
      'PLATFORM_UNSUPPORTED',
      "taking a login out of Codex needs util-linux's flock and coreutils' timeout, which this machine has not",
      { hint: 'codex-router import --keep copies it instead, and leaves it shared with Codex' },
    );
  }
  return flock;
}

/**
 * Runs `work` while holding `<home>/auth.lock` and `<auth.json>.lock`, in Codex's own order, for `holdMs` at most: then the
 * child that holds them ends, also while this process is stopped or busy, and `stillHeld` rejects with HOST_BUSY. They are
 * let go too when this process dies.
 * @param file the real auth.json; its lock lies beside it.
 * @throws HOST_BUSY when somebody holds a lock longer than `flock.waitSeconds`, or `work` was too slow; IO.
 */
export async function withCodexLocks<T>(
  flock: Flock,
  home: string,
  file: string,
  work: (stillHeld: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const locks = [join(home, 'auth.lock'), `${file}.lock`];
  for (const lock of locks) await createLockFile(lock);
  // --no-fork: one process takes both locks. It hands them to `timeout` and `cat`, which end with each other.
  const take = ['--no-fork', '--exclusive', '-E', String(CONFLICT), '-w', String(flock.waitSeconds)];
  const [first = '', second = ''] = locks;
  const hold = ['timeout', String(flock.holdMs / 1000), 'cat'];
  const child = spawn('flock', [...take, first, 'flock', ...take, second, ...hold], {
    env: flock.env,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const ended = endOf(child);
  try {
    await heldBy(child, ended, flock);
    return await work(async () => {
      // File calls that are carried out at once let no event in: the second turn has looked for the child's end.
      await turn();
      await turn();
      if (child.exitCode !== null || child.signalCode !== null) throw tooSlow();
    });
  } finally {
    child.stdin.end();
    const stop = setTimeout(() => child.kill('SIGKILL'), 1000);
    await ended;
    clearTimeout(stop);
  }
}

async function heldBy(
  child: ChildProcess & { readonly stdin: NodeJS.WritableStream; readonly stdout: NodeJS.ReadableStream },
  ended: Promise<number | null>,
  flock: Flock,
): Promise<void> {
  child.stdin.on('error', () => undefined);
  child.stdin.write('held\n');
  const deadline = setTimeout(() => child.kill('SIGKILL'), (2 * flock.waitSeconds + 2) * 1000);
  // cat runs only once both locks are held, so its echo says that they are.
  const echo = once(child.stdout, 'data').then(() => 'held' as const);
  try {
    const outcome = await Promise.race([echo, ended]);
    if (outcome === 'held') return;
    if (outcome === TIMED_OUT) throw tooSlow();
    if (outcome === CONFLICT || outcome === null) {
      throw new RouterError('HOST_BUSY', 'a Codex program is holding the lock on its login', {
        hint: 'close it, or wait until its turn has ended, and run codex-router import again',
      });
    }
    throw new RouterError('IO', `Codex's lock files cannot be locked: flock ended with status ${outcome}`, {
      hint: 'codex-router import --keep copies the login instead, and leaves it shared with Codex',
    });
  } finally {
    clearTimeout(deadline);
    echo.catch(() => undefined);
  }
}

/** Codex creates its own so; flock would create it readable by all. An existing one is left as it is. */
async function createLockFile(path: string): Promise<void> {
  try {
    await (await open(path, 'a', 0o600)).close();
  } catch (error) {
    throw ioError(error, path, 'write');
  }
}

async function isUtilLinux(flock: Flock): Promise<boolean> {
  const child = spawn('flock', ['--version'], { env: flock.env, stdio: ['ignore', 'pipe', 'ignore'] });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString('latin1');
  });
  const deadline = setTimeout(() => child.kill('SIGKILL'), 3000);
  const status = await endOf(child);
  clearTimeout(deadline);
  return status === 0 && said.includes('util-linux');
}

/** Whether `timeout` knows parts of a second, as that of coreutils does. */
async function isInTime(flock: Flock): Promise<boolean> {
  const child = spawn('timeout', ['2.5', 'true'], { env: flock.env, stdio: 'ignore' });
  return (await endOf(child)) === 0;
}

function turn(): Promise<void> {
  return new Promise((next) => setImmediate(next));
}

/** The exit status; null when it was killed; -1 when it could not be started. */
function endOf(child: ChildProcess): Promise<number | null> {
  return new Promise((settle) => {
    child.once('error', () => settle(-1));
    child.once('close', (status) => settle(status));
  });
}

function tooSlow(): RouterError {
  return new RouterError('HOST_BUSY', "the disk was too slow to take the login within Codex's patience", {
    hint: 'run codex-router import again',
  });
}
