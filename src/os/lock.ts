import { dirname, join } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError } from './atomic.js';
import { ensureFolder, refuseForeignFolder } from './folders.js';
import { lookAtLock } from './found-lock.js';
import { lockFolder } from './lock-folder.js';

export interface RouterLock {
  /**
   * To be called right before each write that must not be interleaved: the lock can be lost while the process is stopped
   * for longer than ten seconds. It asks the clock, not a timer, which would come too late.
   * @throws BUSY when it was, or may have been.
   */
  check(): void;
}

/** The lock of the one watch, which is held for hours and through a suspend. */
export interface WatchLock {
  /** To be called before each round. @throws BUSY when it is not ours any more */
  check(): Promise<void>;
}

export interface LockPatience {
  /**
   * ms to wait for another holder; default 30,000: longer than `STALE`, so that a killed holder's lock is waited out, and
   * longer than a `use` that waits for the gateway to reload.
   */
  readonly wait?: number;
  /** Called once when it has waited for about a second. */
  readonly onWait?: () => void;
  /** ms of a clock that nobody sets: a jump must neither end a wait nor make a holder look dead. */
  readonly now?: () => number;
  /** Ends the wait, with its reason; what runs under the lock goes on. */
  readonly signal?: AbortSignal | undefined;
}

/** ms without a sign of life after which a holder that cannot be judged counts as dead; a live one gives a sign every half of it. */
const STALE = 10_000;
const STEP = 100;
const LONG = 1000;

const WATCH_LOCK = 'watch.lock';

/**
 * Runs `fn` while holding codex-router's own lock, `router.lock` in `folder` (our data folder, made if need be). For our own
 * files only: never on a host's. Order: this lock first, then the host's. The caller never holds it across a prompt, a
 * keychain call (`Repo.open`) or the network; it is not reentrant.
 * @throws BUSY when another codex-router holds it past the wait; VAULT_PERMISSIONS when the folder is another user's; IO;
 *   what `fn` throws. A lock lost before `fn` ended is not seen here, only by `RouterLock.check`.
 */
export async function withRouterLock<Result>(
  folder: string,
  fn: (lock: RouterLock) => Promise<Result>,
  { wait = 30_000, onWait = () => undefined, now = steady, signal }: LockPatience = {},
): Promise<Result> {
  await refuseForeignFolder(folder);
  await ensureFolder(folder);
  const path = join(folder, 'router.lock');
  return withLock(path, 'another codex-router is at work', fn, { wait, onWait, now, signal });
}

/**
 * Runs `fn` while holding the lock of one stored grant, `locks/<name>` in `folder`: nobody else refreshes that grant or hands it to a
 * host meanwhile. Taken before the router lock, and held across the request to the issuer.
 * @param name a record's name
 * @throws as `withRouterLock`
 */
export async function withGrantLock<Result>(
  folder: string,
  name: string,
  fn: (lock: RouterLock) => Promise<Result>,
  { wait = 90_000, onWait = () => undefined, now = steady, signal }: LockPatience = {},
): Promise<Result> {
  await refuseForeignFolder(folder);
  const locks = join(folder, 'locks');
  await ensureFolder(locks);
  const what = 'another codex-router is refreshing or routing this very login';
  return withLock(join(locks, name), what, fn, { wait, onWait, now, signal });
}

/** Where the lock of the one watch lies. @param folder our data folder */
export function watchLockIn(folder: string): string {
  return join(folder, 'failover', WATCH_LOCK);
}

/**
 * Runs `fn` while holding the lock of the one watch, for as long as that takes; the other two locks may be taken meanwhile. A live holder
 * is not waited for.
 * @throws BUSY, which names the process that holds it; otherwise as `withRouterLock`
 */
export async function withWatchLock<Result>(
  folder: string,
  fn: (lock: WatchLock) => Promise<Result>,
  { signal, onWait = () => undefined, now = steady }: Omit<LockPatience, 'wait'> = {},
): Promise<Result> {
  await refuseForeignFolder(folder);
  const path = watchLockIn(folder);
  await ensureFolder(dirname(path));
  const held = async () => {
    const found = await lookAtLock(path);
    const who = found?.pid == null ? 'another process' : `process ${found.pid}`;
    return new RouterError('BUSY', `a failover watch runs already: ${who}`, {
      hint: 'codex-router failover status shows it, codex-router failover stop ends it',
    });
  };
  if ((await lookAtLock(path))?.kind === 'alive') throw await held();
  // Of a holder that cannot be judged nothing but time tells that it is gone.
  const patience = { wait: STALE + LONG, onWait, now, signal };
  const check = async () => {
    const found = await lookAtLock(path);
    if (found?.pid === process.pid && found.kind !== 'dead') return;
    throw new RouterError('BUSY', 'the lock of this failover watch is gone, or another one has taken it', {
      hint: 'codex-router failover status',
    });
  };
  let began = false;
  const work = async () => {
    began = true;
    return await fn({ check });
  };
  try {
    return await withLock(path, 'a failover watch runs already', work, patience);
  } catch (error) {
    throw !began && error instanceof RouterError && error.code === 'BUSY' ? await held() : error;
  }
}

function steady(): number {
  return process.uptime() * 1000;
}

async function withLock<Result>(
  path: string,
  held: string,
  fn: (lock: RouterLock) => Promise<Result>,
  { wait, onWait, now, signal }: Required<LockPatience>,
): Promise<Result> {
  let lost = false;
  let renewed = now();
  const release = await acquire(path, {
    until: renewed + wait,
    held,
    onWait,
    now,
    signal,
    onRenewal: () => {
      renewed = now();
    },
    onCompromised: () => {
      lost = true;
    },
  });
  try {
    return await fn({
      check() {
        if (!lost && now() - renewed < STALE) return;
        throw busy('this codex-router was stopped so long that another one took over');
      },
    });
  } finally {
    await release();
  }
}

interface Acquiring {
  /** What is wrong when it cannot be had, in words. */
  readonly held: string;
  /** As `now`. */
  readonly until: number;
  readonly onWait: () => void;
  readonly now: () => number;
  readonly signal: AbortSignal | undefined;
  /** The lock has got a new sign of life. */
  readonly onRenewal: () => void;
  readonly onCompromised: () => void;
}

async function acquire(
  lockfilePath: string,
  { until, held, onWait, now, signal, onRenewal, onCompromised }: Acquiring,
): Promise<() => Promise<void>> {
  // The default export exists both unbundled and bundled; the named ones only unbundled.
  const { lock } = (await import('proper-lockfile')).default;
  const fs = lockFolder({ stale: STALE, now, onRenewal });
  let unsaidUntil = now() + LONG;
  for (;;) {
    try {
      // Its own way to report a lost lock throws out of a timer, which would end the process in mid-write.
      const release = await lock(lockfilePath, {
        lockfilePath,
        fs,
        realpath: false,
        stale: STALE,
        update: STALE / 2,
        onCompromised,
      });
      // A lock that was lost is not ours to release; one that the disk did not let go is tried again, or it would be ours until we end.
      return () =>
        release().catch((error: unknown) => {
          const isLost = ['ERELEASED', 'ENOTACQUIRED', 'ELOCKED'].includes(systemErrorCode(error) ?? '');
          if (!isLost) fs.rmdir(lockfilePath, () => undefined);
        });
    } catch (error) {
      if (systemErrorCode(error) !== 'ELOCKED') throw ioError(error, lockfilePath, 'write');
    }
    signal?.throwIfAborted();
    if (now() >= until) throw busy(held);
    if (now() >= unsaidUntil) {
      unsaidUntil = Number.POSITIVE_INFINITY;
      onWait();
    }
    await new Promise((wake) => setTimeout(wake, STEP));
  }
}

function busy(message: string): RouterError {
  return new RouterError('BUSY', message, { hint: 'run the command again in a moment' });
}
