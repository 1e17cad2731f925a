import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  type Stats,
  statSync,
  unlinkSync,
  utimesSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { systemErrorCode } from '../errors.js';
import { judgeHolder, pidsTell, startTimeOf } from './live-process.js';

export interface LockFolderDeps {
  /** ms without a sign of life after which a holder that cannot be judged counts as dead. */
  readonly stale: number;
  /** ms of a clock that nobody sets. */
  readonly now: () => number;
  /** The lock has got a new sign of life. */
  readonly onRenewal: () => void;
}

type Done<Result> = (error: unknown, result?: Result) => void;

/**
 * What proper-lockfile asks of node:fs for one lock, carried out at once (see src/os/files.ts), with another answer to when a lock counts
 * as left behind. Its own is the age by the wall clock: a clock set forward, or a laptop that wakes up, makes a live holder look dead, and
 * in the middle of a refresh that costs the login; one set back makes a dead holder's lock last for a day
 * (docs/decisions/0043-own-locks.md).
 *
 * The lock is a folder and names its holder by an empty file in it, `<pid>-<start>`. A dead holder's is free at once and a live one's
 * never; one that cannot be judged is free when we have seen it unchanged for `stale`, or when it names nobody and is that old. Who takes
 * one away takes away the name it has judged, so that of two that take the same one only one can.
 */
export function lockFolder({ stale, now, onRenewal }: LockFolderDeps) {
  let mine: string | null = null;
  let judged: string | null = null;
  let watched: { readonly changed: number; readonly since: number } | null = null;

  function take(path: string): void {
    mkdirSync(path, { mode: 0o700 });
    const name = `${process.pid}-${startTimeOf(process.pid) ?? 0}`;
    try {
      closeSync(openSync(join(path, name), constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600));
    } catch (error) {
      // Somebody took the folder for one that was left behind without a name.
      if (systemErrorCode(error) === 'ENOENT') throw isHeld();
      rmdirSync(path);
      throw error;
    }
    mine = name;
  }

  /** Whether it was left behind; remembers whose it is. */
  function isLeft(path: string, { mtimeMs }: Stats): boolean {
    const [name] = readdirSync(path);
    const [holder, pid, start] = /^([1-9]\d*)-(\d+)$/.exec(name ?? '') ?? [];
    judged = holder ?? null;
    if (holder !== undefined) {
      const verdict = judgeHolder(pidsTell(dirname(path)), Number(pid), Number(start) || null);
      if (verdict !== 'unknown') return verdict === 'dead';
    } else if (name === undefined && mtimeMs < Date.now() - stale) {
      return true;
    }
    if (watched?.changed !== mtimeMs) watched = { changed: mtimeMs, since: now() };
    return now() - watched.since >= stale;
  }

  /** Ours, or the one that was judged. */
  function remove(path: string): void {
    const name = mine ?? judged;
    try {
      if (name !== null) unlinkSync(join(path, name));
      rmdirSync(path);
      mine = null;
    } catch (error) {
      if (['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(systemErrorCode(error) ?? '')) throw isHeld();
      throw error;
    }
  }

  return {
    mkdir: (path: string, done: Done<void>) => atOnce(() => take(path), done),
    stat: (path: string, done: Done<Pick<Stats, 'mtime'>>) =>
      atOnce(() => {
        const stats = statSync(path);
        if (mine !== null) return stats;
        // All that is asked of another's lock is whether it is too old.
        return { mtime: isLeft(path, stats) ? new Date(0) : new Date() };
      }, done),
    utimes: (path: string, accessed: Date, changed: Date, done: Done<void>) =>
      atOnce(() => {
        utimesSync(path, accessed, changed);
        onRenewal();
      }, done),
    rmdir: (path: string, done: Done<void>) => atOnce(() => remove(path), done),
    rmdirSync: remove,
  };
}

function isHeld(): Error {
  return Object.assign(new Error('another one holds it'), { code: 'ELOCKED' });
}

function atOnce<Result>(call: () => Result, done: Done<Result>): void {
  let result: Result;
  try {
    result = call();
  } catch (error) {
    done(error);
    return;
  }
  done(null, result);
}
