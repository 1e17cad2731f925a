import { dirname } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError, syncFolder } from '../os/atomic.js';
import { open } from '../os/files.js';
import { ensureFolder } from '../os/folders.js';

/**
 * Reads a file that only its owner may read; null when it does not exist. A symlink is followed: what counts is the file.
 * Windows has no such bits; there the folder's inherited access list protects it.
 * @throws VAULT_PERMISSIONS when group or others may read it, or another user owns it; IO.
 */
export async function readPrivateFile(path: string, what: string): Promise<string | null> {
  try {
    const file = await open(path, 'r');
    try {
      const { mode, uid } = await file.stat();
      if (process.platform !== 'win32') refuseShared(path, what, mode, uid);
      return await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw ioError(error, path, 'read');
  }
}

/**
 * Writes a new file, 0600 from birth, durably, in a folder made 0700 if need be.
 * @throws USAGE when something is already there: a key is never overwritten; IO.
 */
export async function createPrivateFile(path: string, text: string): Promise<void> {
  const folder = dirname(path);
  await ensureFolder(folder);
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') {
      throw new RouterError('USAGE', `${path} exists already, and a key is never overwritten`, {
        hint: 'name a new file with --key-file',
      });
    }
    throw ioError(error, path, 'write');
  }
  await syncFolder(folder);
}

function refuseShared(path: string, what: string, mode: number, uid: number): void {
  if ((mode & 0o077) !== 0) {
    const bits = (mode & 0o777).toString(8).padStart(4, '0');
    throw new RouterError('VAULT_PERMISSIONS', `${what} ${path} can be read by others (mode ${bits})`, {
      hint: `chmod 600 ${path}, and think of who may have read it meanwhile`,
    });
  }
  const me = process.getuid?.();
  if (me !== undefined && uid !== me) {
    throw new RouterError('VAULT_PERMISSIONS', `${what} ${path} belongs to another user (uid ${uid})`, {
      hint: 'run codex-router as the user who owns it, without sudo',
    });
  }
}
