import { dirname } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError, syncFolder, writeNew } from '../os/atomic.js';
import { type FileHandle, open } from '../os/files.js';
import { ensureFolder } from '../os/folders.js';

/**
 * Reads a file that only its owner may read; null when it does not exist. A symlink is followed: what counts is the file.
 * A pipe is read to its end, say `CODEX_ROUTER_PASSPHRASE_FILE=<(pass show router)`, which works once.
 * Windows has no such bits; there the folder's inherited access list protects it.
 * @throws VAULT_PERMISSIONS when group or others may read it, or another user owns it; IO, also for a device or a folder.
 */
export async function readPrivateFile(path: string, what: string): Promise<string | null> {
  try {
    const file = await open(path, 'r');
    try {
      const about = await file.stat();
      if (process.platform !== 'win32') refuseShared(path, what, about.mode, about.uid);
      if (about.isFIFO()) return await readPipe(file);
      if (about.isFile()) return await file.readFile('utf8');
      throw new RouterError('IO', `${what} ${path} is not a regular file`, {
        hint: 'put a plain file there, readable by you only',
      });
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
    await writeNew(path, text);
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

/** Looks again while the pipe is empty, so that a signal can end the wait. */
async function readPipe(pipe: FileHandle): Promise<string> {
  const chunks: Buffer[] = [];
  const buffer = Buffer.alloc(4096);
  for (;;) {
    try {
      const { bytesRead } = await pipe.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) return Buffer.concat(chunks).toString('utf8');
      chunks.push(Buffer.from(buffer.subarray(0, bytesRead)));
    } catch (error) {
      if (systemErrorCode(error) !== 'EAGAIN') throw error;
      await new Promise((wake) => setTimeout(wake, PAUSE));
    }
  }
}

/** ms */
const PAUSE = 20;

function refuseShared(path: string, what: string, mode: number, uid: number): void {
  if ((mode & 0o077) !== 0) {
    const bits = (mode & 0o777).toString(8).padStart(4, '0');
    throw new RouterError('VAULT_PERMISSIONS', `${what} ${path} can be read by others (mode ${bits})`, {
      hint: `chmod 600 ${path}, and think of who may have read it meanwhile`,
    });
  }
  const me = process.geteuid?.();
  if (me !== undefined && uid !== me) {
    throw new RouterError('VAULT_PERMISSIONS', `${what} ${path} belongs to another user (uid ${uid})`, {
      hint: 'run codex-router as the user who owns it, without sudo',
    });
  }
}
