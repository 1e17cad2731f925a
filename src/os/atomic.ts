import { randomUUID } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { constants, type FileHandle, open, realpath, rename, unlink } from './files.js';

export interface AtomicWrite {
  /** Permission bits of a new file; an existing file's mode is kept. Default 0o600. */
  readonly mode?: number;
  /** Called between the finished temporary file and the rename; throw to abandon the write. */
  readonly beforeRename?: () => Promise<void>;
}

/**
 * Replaces `path` by `text` so that a reader, or a crash, sees the old bytes or the new ones: temporary file in the same
 * folder (`wx`, final mode from birth), fsync, rename, fsync of the folder. A symlink stays and its target is replaced.
 * @throws IO naming the file when the disk is full or read-only; the old file is intact and no temporary file is left.
 */
export async function writeAtomic(path: string, text: string, options: AtomicWrite = {}): Promise<void> {
  const target = await realTarget(path);
  const mode = (await modeOf(target)) ?? options.mode ?? 0o600;
  const temporary = join(dirname(target), `.${basename(target)}.${randomUUID()}.tmp`);
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await options.beforeRename?.();
    await rename(temporary, target);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw ioError(error, target, 'write');
  }
  await syncFolder(dirname(target));
}

/** Makes a rename or unlink in `folder` survive a power cut. Windows has no such call and needs none. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** What `path` really names: through symlinks where it exists, else itself under its folder's real path. */
export async function realTarget(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw ioError(error, path, 'read');
  }
  try {
    return join(await realpath(dirname(path)), basename(path));
  } catch (error) {
    throw ioError(error, path, 'write');
  }
}

/** A system error on a file as one sentence; a RouterError passes through. */
export function ioError(error: unknown, path: string, verb: 'read' | 'write'): unknown {
  const code = systemErrorCode(error);
  if (error instanceof RouterError || code === null) return error;
  const reason = REASONS[code] ?? `the system said ${code}`;
  return new RouterError('IO', `cannot ${verb} ${path}: ${reason}`, {
    hint: 'mend that and run the command again; nothing was changed there',
    cause: error,
  });
}

const REASONS: { readonly [code: string]: string } = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EIO: 'the disk reported an error',
  ENOENT: 'the folder does not exist',
  ENOTDIR: 'a part of the path is not a folder',
  ELOOP: 'too many symbolic links',
};

async function modeOf(path: string): Promise<number | null> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw ioError(error, path, 'read');
  }
  try {
    return (await handle.stat()).mode & 0o777;
  } finally {
    await handle.close();
  }
}
