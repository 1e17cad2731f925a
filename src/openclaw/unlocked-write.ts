import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  renameSync,
  type Stats,
  statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { systemErrorCode } from '../errors.js';
import { realTarget, writeAtomic } from '../os/atomic.js';
import { readdir } from '../os/files.js';

/**
 * `moved`: nothing was written, the file is not what was compared. `unsure`: written, but this process was held up between the
 * last look and the end of the rename for so long that another's whole write may fit in there.
 */
export type Replaced = 'moved' | 'written' | 'unsure';

/**
 * Replaces a file that others write under no lock (sessions.json of 5.2 to 7.35, by temporary file and rename), if it still holds
 * `before`. The last look and the rename are three system calls in a row, some 0.1 ms.
 * @param quiet counts it as `moved` too when another's temporary file lies in the folder, or anything was created or renamed
 *   there since that was looked for. OpenClaw takes 0.7 ms as a rule, and 0.14 at the very least, from making its own to
 *   renaming it (as 6.1 to 7.35 do it; 5.x syncs it too): one that begins after that look does not end before ours.
 * @throws as `writeAtomic`
 */
export async function replaceUnlocked(
  path: string,
  text: string,
  before: Buffer,
  quiet: boolean,
): Promise<Replaced> {
  let stillness: number | null = null;
  let moved = false;
  let replaced: Replaced = 'moved';
  try {
    await writeAtomic(path, text, {
      beforeRename: async () => {
        if (quiet) stillness = await stillFolder(await realTarget(path));
      },
      move: (temporary, target) => {
        replaced = moveOver(temporary, target, before, stillness);
        moved = replaced === 'moved';
        if (moved) throw new Error('moved');
      },
    });
    return replaced;
  } catch (error) {
    if (moved) return 'moved';
    throw error;
  }
}

/** More than a tick of any file system's clock: what is created later in a folder gives it another time. */
const STILL_MS = 12;
const STILL_LIMIT_MS = 250;
/** A temporary file this old was left behind. */
const LEFT_MS = 10_000;

/**
 * The folder's time of change, once it is long enough ago to be told from the next one and no temporary file of OpenClaw's lies
 * there; null when that does not come in time: a busy host, a file left behind, a folder whose clock is not ours.
 */
async function stillFolder(target: string): Promise<number | null> {
  const folder = dirname(target);
  const deadline = performance.now() + STILL_LIMIT_MS;
  for (;;) {
    const changed = statSync(folder).mtimeMs;
    const wait = changed + STILL_MS - Date.now();
    if (wait <= 0 && !(await isBeingWritten(target))) return changed;
    if (performance.now() >= deadline) return null;
    await new Promise((wake) => setTimeout(wake, Math.min(Math.max(wait, 1), STILL_MS)));
  }
}

/** `<file>.<uuid>.tmp` (5.x), `<file>.<pid>.<uuid>.tmp` (6.1 to 7.35); one of ours begins with a dot. */
async function isBeingWritten(target: string): Promise<boolean> {
  const folder = dirname(target);
  const prefix = `${basename(target)}.`;
  for (const name of await readdir(folder)) {
    if (!name.startsWith(prefix) || !name.endsWith('.tmp')) continue;
    const found = statSync(join(folder, name), { throwIfNoEntry: false });
    if (found !== undefined && Math.abs(Date.now() - found.mtimeMs) < LEFT_MS) return true;
  }
  return false;
}

/** From the last look to the end of the rename; longer means that this process did not run. */
const AT_ONCE_MS = 0.3;
/** The last look alone. */
const LOOK_MS = 0.07;
const LOOKS = 20;

/** Nothing here waits: neither a timer nor another of this process's own writes gets in between. */
function moveOver(temporary: string, target: string, before: Buffer, stillness: number | null): Replaced {
  for (let look = 1; ; look += 1) {
    const compared = statIfSame(target, before);
    if (compared === null) return 'moved';
    const start = performance.now();
    if (stillness !== null && statSync(dirname(target)).mtimeMs !== stillness) return 'moved';
    const now = statSync(target, { throwIfNoEntry: false });
    if (now === undefined || !isSameFile(now, compared)) return 'moved';
    if (performance.now() - start > LOOK_MS && look < LOOKS) continue;
    renameSync(temporary, target);
    return performance.now() - start <= AT_ONCE_MS ? 'written' : 'unsure';
  }
}

/** As it was before it was read, so that a change while it was read shows. */
function statIfSame(target: string, before: Buffer): Stats | null {
  let fd: number;
  try {
    fd = openSync(target, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw error;
  }
  try {
    const stats = fstatSync(fd);
    return stats.size === before.length && stats.isFile() && before.equals(readFileSync(fd)) ? stats : null;
  } finally {
    closeSync(fd);
  }
}

/** The same file with the same content, as far as its numbers tell. */
export function isSameFile(one: Stats, other: Stats): boolean {
  return one.ino === other.ino && one.size === other.size && one.mtimeMs === other.mtimeMs;
}
