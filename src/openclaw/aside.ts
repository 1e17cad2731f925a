import type { Stats } from 'node:fs';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError, temporaryBeside } from '../os/atomic.js';
import { link, lstat, rename, rmdir, unlink } from '../os/files.js';

/**
 * Removes a file, or an empty folder, if it still is the one that was judged: it is moved aside at one stroke, looked at, and put back
 * where it is another one. A crash in between leaves it beside its place, under a name that codex-router's own temporary files have.
 * @throws HOST_BUSY when it is another one, or a folder that is no longer empty; IO
 */
export async function takeAway(path: string, judged: Stats): Promise<void> {
  const aside = temporaryBeside(path);
  try {
    // Nothing comes between these two of ours; a lock that lives is not moved even for a moment, in which others could take it.
    if (!isSame(await lstat(path), judged)) throw changed(path);
    await rename(path, aside);
    const found = await lstat(aside);
    if (!isSame(found, judged)) {
      await putBack(aside, path, found);
      throw changed(path);
    }
    if (!found.isDirectory()) return await unlink(aside);
    await removeEmpty(aside, path, found);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') throw changed(path);
    throw ioError(error, path, 'write');
  }
}

function isSame(found: Stats, judged: Stats): boolean {
  return found.ino === judged.ino && found.mtimeMs === judged.mtimeMs && found.size === judged.size;
}

async function removeEmpty(aside: string, path: string, found: Stats): Promise<void> {
  try {
    await rmdir(aside);
  } catch (error) {
    await putBack(aside, path, found);
    if (systemErrorCode(error) === 'ENOTEMPTY' || systemErrorCode(error) === 'EEXIST') throw changed(path);
    throw error;
  }
}

/** Over nothing that has come there meanwhile. */
async function putBack(aside: string, path: string, found: Stats): Promise<void> {
  if (found.isDirectory()) return await rename(aside, path);
  await link(aside, path);
  await unlink(aside);
}

function changed(path: string): RouterError {
  return new RouterError('HOST_BUSY', `${path} changed at the same moment`, {
    hint: 'run the command again; nothing was changed there',
  });
}
