import { createHash } from 'node:crypto';
import { lstatSync, unlinkSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError } from '../os/atomic.js';
import { type FileHandle, lstat, mkdir, open, readFile, realpath, stat, unlink } from '../os/files.js';
import { isRunning, startTimeOf } from './live-process.js';

/** A file of the host to be held: `<path>.lock` is created beside it. */
export interface HostLock {
  /** The file as OpenClaw names it: its folder is resolved, the file's own link is not followed (5.7 `file-lock`). */
  readonly path: string;
  /**
   * Age in ms after which the lock of a process that is still alive is taken over. Longer than OpenClaw's own 30 s for
   * the auth store: through 4.15 that lock is held during the refresh call, and a refresh takes up to 120 s.
   */
  readonly staleMs: number;
}

export interface LockPatience {
  /** ms in all, for all locks together. */
  readonly waitMs: number;
  readonly signal?: AbortSignal;
}

const REFRESH_STALE_MS = 180_000;

/** The lock of an agent's auth-profiles.json, which guards auth-state.json too. */
export function storeLock(profilesPath: string): HostLock {
  return { path: profilesPath, staleMs: REFRESH_STALE_MS };
}

/** The lock that 4.20 and later take first, around a refresh of one profile by any agent. */
export function refreshLock(stateDir: string, provider: string, profileId: string): HostLock {
  const name = createHash('sha256').update(`${provider}\0${profileId}`).digest('hex');
  return { path: join(stateDir, 'locks', 'oauth-refresh', `sha256-${name}`), staleMs: REFRESH_STALE_MS };
}

/** The lock that releases through 4.29 take on sessions.json; later ones ignore it. */
export function sessionsLock(sessionsPath: string): HostLock {
  return { path: sessionsPath, staleMs: 30_000 };
}

/**
 * Runs `work` while holding the locks, taken in the given order in OpenClaw's own format and released in reverse, also
 * when `work` throws and (synchronously) when the process exits. Never held across a prompt, a keychain or the network.
 * @throws HOST_BUSY when a live process, or something that is not a lock file, is still there after `waitMs`.
 * @throws IO when a lock cannot be created.
 */
export async function withHostLocks<T>(
  locks: readonly HostLock[],
  patience: LockPatience,
  work: () => Promise<T>,
): Promise<T> {
  const held: HeldLock[] = [];
  const releaseAtExit = () => {
    for (const lock of held) releaseSync(lock);
  };
  process.once('exit', releaseAtExit);
  try {
    const waiting: Waiting = { ...patience, deadline: null };
    for (const lock of locks) held.push(await acquire(lock, waiting));
    return await work();
  } finally {
    for (const lock of held.reverse()) await release(lock);
    process.removeListener('exit', releaseAtExit);
  }
}

interface HeldLock {
  readonly path: string;
  readonly handle: FileHandle;
  readonly inode: number;
}

interface Waiting extends LockPatience {
  /** Of the process's clock; null until there is something to wait for. */
  deadline: number | null;
}

async function acquire(lock: HostLock, waiting: Waiting): Promise<HeldLock> {
  const path = await lockPath(lock.path);
  for (let attempt = 1; ; attempt += 1) {
    waiting.signal?.throwIfAborted();
    const created = await create(path);
    if (created !== null) return created;
    const holder = await inspect(path, lock.staleMs);
    if (holder.kind === 'orphan-folder') throw orphanFolder(path);
    if (holder.kind === 'stale') {
      await takeAway(path, holder.text);
      continue;
    }
    waiting.deadline ??= performance.now() + waiting.waitMs;
    if (performance.now() >= waiting.deadline) throw busy(path, holder.kind === 'held' ? holder.pid : null);
    await new Promise((wake) => setTimeout(wake, Math.min(25 * attempt, 250)));
  }
}

async function lockPath(file: string): Promise<string> {
  const folder = dirname(resolve(file));
  try {
    await makeFolder(folder);
    return join(await realpath(folder), `${basename(file)}.lock`);
  } catch (error) {
    throw ioError(error, folder, 'write');
  }
}

/** Each level by itself: on a read-only file system Node's `recursive` says that the folder does not exist. */
async function makeFolder(folder: string): Promise<void> {
  try {
    await makeLevel(folder);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT' || dirname(folder) === folder) throw error;
    await makeFolder(dirname(folder));
    await makeLevel(folder);
  }
}

async function makeLevel(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: false, mode: 0o700 });
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST' || (await isFolder(folder))) return;
    throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

/** Null when the path is taken. */
async function create(path: string): Promise<HeldLock | null> {
  // All that takes time comes before the file is there: a lock without its owner's name looks held to everybody.
  const starttime = startTimeOf(process.pid);
  const payload = {
    pid: process.pid,
    createdAt: new Date().toISOString(),
    ...(starttime === null ? {} : { starttime }),
  };
  const text = JSON.stringify(payload, null, 2);
  let handle: FileHandle;
  try {
    handle = await open(path, 'wx', 0o600);
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return null;
    throw ioError(error, path, 'write');
  }
  try {
    await handle.writeFile(text);
    return { path, handle, inode: (await handle.stat()).ino };
  } catch (error) {
    await handle.close();
    await unlink(path).catch(() => undefined);
    throw ioError(error, path, 'write');
  }
}

type Holder =
  | { readonly kind: 'gone' }
  | { readonly kind: 'held'; readonly pid: number | null }
  | { readonly kind: 'stale'; readonly text: string }
  | { readonly kind: 'orphan-folder' };

/**
 * OpenClaw's rule: dead or recycled process, or too old; a lock that names nobody goes by its file's age. Unlike there,
 * a process that only belongs to another user counts as alive.
 */
async function inspect(path: string, staleMs: number): Promise<Holder> {
  let text: string;
  let modified: number;
  try {
    const found = await lstat(path);
    if (found.isDirectory()) return { kind: 'orphan-folder' };
    if (!found.isFile() && !found.isSymbolicLink()) return { kind: 'held', pid: null };
    modified = found.mtimeMs;
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return { kind: 'gone' };
    throw ioError(error, path, 'read');
  }
  const { pid, createdAt, starttime } = parsePayload(text);
  const since = createdAt ?? modified;
  if (Date.now() - since > staleMs) return { kind: 'stale', text };
  if (pid !== null && !isRunning(pid, starttime)) return { kind: 'stale', text };
  return { kind: 'held', pid };
}

function parsePayload(text: string): {
  pid: number | null;
  createdAt: number | null;
  starttime: number | null;
} {
  try {
    const value = JSON.parse(text) as { pid?: unknown; createdAt?: unknown; starttime?: unknown } | null;
    const created = typeof value?.createdAt === 'string' ? Date.parse(value.createdAt) : Number.NaN;
    return {
      pid: whole(value?.pid),
      createdAt: Number.isFinite(created) ? created : null,
      starttime: whole(value?.starttime),
    };
  } catch {
    return { pid: null, createdAt: null, starttime: null };
  }
}

function whole(value: unknown): number | null {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : null;
}

/** Removes a stale lock if it still is the one that was judged; the revision check is the guard against the rest. */
async function takeAway(path: string, judged: string): Promise<void> {
  try {
    if ((await readFile(path, 'utf8')) === judged) await unlink(path);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw ioError(error, path, 'write');
  }
}

/** Only our own file: a host that found us too old may have put its own lock there. */
async function release(lock: HeldLock): Promise<void> {
  releaseSync(lock);
  await lock.handle.close();
}

function releaseSync(lock: HeldLock): void {
  try {
    if (lstatSync(lock.path).ino === lock.inode) unlinkSync(lock.path);
  } catch {
    // Gone already, or unremovable: our pid in it is dead soon, and OpenClaw takes it over at once.
  }
}

function busy(path: string, pid: number | null): RouterError {
  const who = pid === null ? 'something' : `process ${pid}`;
  return new RouterError('HOST_BUSY', `${who} holds OpenClaw's lock ${path}`, {
    hint: 'wait for its turn or refresh to end and run the command again; nothing was changed',
  });
}

function orphanFolder(path: string): RouterError {
  return new RouterError('HOST_BUSY', `a folder lies where OpenClaw's lock belongs: ${path}`, {
    hint: `stop the tool that made it, then rmdir '${path}'; OpenClaw cannot get past it either`,
  });
}
