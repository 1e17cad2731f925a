import { createHash } from 'node:crypto';
import { lstatSync, unlinkSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError, removeLeftovers, temporaryBeside } from '../os/atomic.js';
import { WITHOUT_LINKS } from '../os/exclusive.js';
import { type FileHandle, link, lstat, mkdir, open, readFile, realpath, stat, unlink } from '../os/files.js';
import { pidsTell, startTimeOf } from '../os/live-process.js';
import { type Holder, inspectHolder } from './lock-holder.js';
import { compareVersions } from './release.js';

/** A file of the host to be held: `<path>.lock` is created beside it. */
export interface HostLock {
  /** The file as OpenClaw names it: its folder is resolved, the file's own link is not followed (5.7 `file-lock`). */
  readonly path: string;
  /**
   * Age in ms after which a lock is taken over whose holder can neither be proved alive nor dead. Longer than OpenClaw's
   * own 30 s for the auth store: through 4.15 that lock is held during the refresh call, and a refresh takes up to 120 s.
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

/** The refresh lock as 4.20 to 6.5 name it. */
function refreshLock(stateDir: string, provider: string, profileId: string): HostLock {
  const name = createHash('sha256').update(`${provider}\0${profileId}`).digest('hex');
  return refreshLockAt(stateDir, `sha256-${name}`);
}

function refreshLockAt(stateDir: string, name: string): HostLock {
  return { path: join(stateDir, 'locks', 'oauth-refresh', name), staleMs: REFRESH_STALE_MS };
}

/**
 * The lock that 4.20 and later take first, around a refresh of one profile by any agent; in 9.6 around every change of it.
 * 6.6 gave it another name (6.5 has the old one). For a release that cannot be told both, in the order to take them.
 */
export function refreshLocks(
  stateDir: string,
  provider: string,
  profileId: string,
  release: string | null,
): readonly HostLock[] {
  // An unreadable version sorts before every other.
  const known = release !== null && compareVersions(release, '2000.0.0') >= 0;
  const former = () => refreshLock(stateDir, provider, profileId);
  const current = () => refreshLockAt(stateDir, `lock-${lockDigest(JSON.stringify([provider, profileId]))}`);
  if (!known) return [former(), current()];
  return [compareVersions(release, '2026.6.6') < 0 ? former() : current()];
}

/** OpenClaw's own digest, to the letter (6.6 to 9.6: `oauthLockPathDigest`, two 64-bit FNV-1a, one of them with an offset). */
function lockDigest(text: string): string {
  let left = 0xcbf29ce484222325n;
  let right = 0x9ae16a3b2f90404fn;
  for (const byte of Buffer.from(text, 'utf8')) {
    left = BigInt.asUintN(64, (left ^ BigInt(byte)) * 0x100000001b3n);
    right = BigInt.asUintN(64, (right ^ (BigInt(byte) + 0x9e3779b97f4a7c15n)) * 0x100000001b3n);
  }
  return [left, right].map((half) => half.toString(16).padStart(16, '0')).join('');
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
    // Only a wait is ended: a switch in its middle takes the locks it can have at once.
    if (attempt > 1) waiting.signal?.throwIfAborted();
    const guard = `${path}.reclaim`;
    const guarded = await isThere(guard);
    const created = guarded ? null : await create(path);
    if (created !== null) return created;
    const holder = guarded ? GUARDED : await inspectHolder(path, lock.staleMs);
    if (holder.kind === 'orphan-folder') throw orphanFolder(path);
    if (holder.kind === 'stale') {
      await takeAway(path, holder.text);
      continue;
    }
    waiting.deadline ??= performance.now() + waiting.waitMs;
    if (performance.now() >= waiting.deadline) throw guarded ? leftGuard(guard) : busy(path, holder);
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

/**
 * Null when the path is taken. It appears with its owner's name in it: an empty one, which a kill would leave, holds for minutes
 * against everybody.
 */
async function create(path: string): Promise<HeldLock | null> {
  if (await isThere(path)) return null;
  const text = JSON.stringify({ ...ownerAt(dirname(path)), createdAt: new Date().toISOString() }, null, 2);
  await removeLeftovers(path);
  const temporary = temporaryBeside(path);
  const handle = await openNew(temporary, path);
  try {
    await handle.writeFile(text);
    await link(temporary, path);
    return { path, handle, inode: (await handle.stat()).ino };
  } catch (error) {
    await handle.close();
    const code = systemErrorCode(error) ?? '';
    // ENOENT: another codex-router took the temporary file for a dead one's.
    if (code === 'EEXIST' || code === 'ENOENT') return null;
    if (WITHOUT_LINKS.has(code)) return createInPlace(path, text);
    throw ioError(error, path, 'write');
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
}

async function openNew(path: string, shown: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600);
  } catch (error) {
    throw ioError(error, shown, 'write');
  }
}

async function createInPlace(path: string, text: string): Promise<HeldLock | null> {
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

/** Where our pid means nothing to others, an OpenClaw that finds none goes by the lock's age instead of taking it (3.28 to 9.6). */
function ownerAt(folder: string): { readonly pid?: number; readonly starttime?: number } {
  if (!pidsTell(folder)) return {};
  const starttime = startTimeOf(process.pid);
  return { pid: process.pid, ...(starttime === null ? {} : { starttime }) };
}

/** From 8.1 (fs-safe 0.5) a lock is taken away, and meanwhile by nobody taken, under a folder `<lock>.reclaim`. */
const GUARDED: Holder = { kind: 'held', pid: null, until: null };

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw ioError(error, path, 'read');
  }
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

function busy(path: string, holder: Holder): RouterError {
  const { pid, until } = holder.kind === 'held' ? holder : { pid: null, until: null };
  const who = pid === null ? 'something' : `process ${pid}`;
  const wait = until === null ? 0 : Math.max(0, Math.ceil((until - Date.now()) / 1000));
  return new RouterError('HOST_BUSY', `${who} holds OpenClaw's lock ${path}`, {
    hint:
      wait === 0
        ? 'wait for its turn or refresh to end and run the command again; nothing was changed'
        : `wait for its turn or refresh to end, or ${wait} s if that program is gone, and run the command again; nothing was changed`,
  });
}

function leftGuard(guard: string): RouterError {
  return new RouterError('HOST_BUSY', `an OpenClaw is taking over a lock: ${guard}`, {
    hint: `run the command again; if it stays and no OpenClaw runs, rmdir '${guard}'; nothing was changed`,
  });
}

function orphanFolder(path: string): RouterError {
  return new RouterError('HOST_BUSY', `a folder lies where OpenClaw's lock belongs: ${path}`, {
    hint: `stop the tool that made it, then rmdir '${path}'; OpenClaw cannot get past it either`,
  });
}
