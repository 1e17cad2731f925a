import { dirname, join } from 'node:path';
import { systemErrorCode } from '../errors.js';
import { ioError } from './atomic.js';
import { readdir, stat } from './files.js';
import { isRunning, judgeHolder, pidsTell, startTimeOf, type Verdict } from './live-process.js';

/** One of codex-router's own locks, as it lies there. */
export interface FoundLock {
  readonly path: string;
  /** `blocked`: what lies there is no lock of ours, and no command can take it away. `unnamed`: it names nobody. */
  readonly kind: Verdict | 'unnamed' | 'blocked';
  /** Null when it names nobody. */
  readonly pid: number | null;
  /** Whether `pid` is a process of ours, seen from here by that number and with the start that the lock names: it may be sent a signal. */
  readonly isHere: boolean;
  /** ms epoch since when it is held, or lies there. */
  readonly since: number;
}

/** How `lockFolder` (lock-folder.ts) names the holder of a lock. */
const HOLDER = /^([1-9]\d*)-(\d+)$/;

/** Looks and takes nothing. Null when there is no lock. @throws IO */
export async function lookAtLock(path: string): Promise<FoundLock | null> {
  try {
    const about = await stat(path);
    const found = { path, pid: null, isHere: false, since: about.mtimeMs };
    if (!about.isDirectory()) return { ...found, kind: 'blocked' };
    const names = await readdir(path);
    const [name] = names;
    if (name === undefined) return { ...found, kind: 'unnamed' };
    const [, pid, start] = HOLDER.exec(name) ?? [];
    if (names.length > 1 || pid === undefined) return { ...found, kind: 'blocked' };
    const starttime = Number(start) || null;
    const kind = judgeHolder(pidsTell(dirname(path)), Number(pid), starttime);
    // One in a container is alive, too, but its number may be another process's here.
    const isHere =
      starttime !== null && isRunning(Number(pid), starttime) && startTimeOf(Number(pid)) === starttime;
    // The folder's own time is renewed while it is held; the name's is not.
    return { path, kind, pid: Number(pid), isHere, since: (await stat(join(path, name))).mtimeMs };
  } catch (error) {
    // Released while it was looked at.
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw ioError(error, path, 'read');
  }
}
