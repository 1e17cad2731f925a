import { randomUUID } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { constants, type FileHandle, open, readdir, realpath, rename, unlink } from './files.js';

export interface AtomicWrite {
  /** Permission bits of a new file. Default 0o600. An existing file keeps its own, but for those of group and others. */
  readonly mode?: number;
  /** Called between the finished temporary file and the rename; throw to abandon the write. */
  readonly beforeRename?: () => Promise<void>;
  /** Does the rename itself, where nothing may come between a last look and it; throw to abandon the write. */
  readonly move?: (temporary: string, target: string) => void;
}

/**
 * Replaces `path` by `text` so that a reader, or a crash, sees the old bytes or the new ones: temporary file in the same
 * folder (`wx`, final mode from birth), fsync, rename, fsync of the folder. A symlink stays and its target is replaced.
 * What is replaced is never readable for group or others afterwards, whatever it was before.
 *
 * The caller holds the lock of that file: what a killed write of the same file left behind, which may hold tokens, is
 * deleted first, and so would be the temporary file of a write that is under way.
 * @throws IO naming the file when the disk is full or read-only; the old file is intact and no temporary file is left.
 * @throws IO "is not proved durable" after the rename: then the new file is there already.
 */
export async function writeAtomic(
  path: string,
  text: string | Uint8Array,
  options: AtomicWrite = {},
): Promise<void> {
  const target = await realTarget(path);
  const mode = (await modeOf(target)) ?? options.mode ?? 0o600;
  const temporary = temporaryBeside(target);
  await removeLeftovers(target);
  try {
    await writeNew(temporary, text, mode);
    await options.beforeRename?.();
    if (options.move === undefined) await rename(temporary, target);
    else options.move(temporary, target);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw ioError(error, target, 'write');
  }
  await syncFolder(dirname(target));
}

/** A name that no other write uses, in the folder of `path`. */
export function temporaryBeside(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`);
}

/** Creates `path` with all of `text`, flushed to the disk but for its name. @throws the system's error: EEXIST and others. */
export async function writeNew(path: string, text: string | Uint8Array, mode = 0o600): Promise<void> {
  const file = await open(path, 'wx', mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Makes a rename or unlink in `folder` survive a power cut. Windows has no such call and needs none.
 * @throws IO when that is not certain; what was done in the folder stays done.
 */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  try {
    const handle = await open(folder, constants.O_RDONLY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw new RouterError('IO', `${folder} was written, but is not proved durable: ${reasonOf(error)}`, {
      hint: 'check the disk, then run the command again',
      cause: error,
    });
  }
}

/** Deletes a file of `folder` so that it stays deleted; one that is gone already is no error. */
export async function unlinkDurably(folder: string, name: string): Promise<void> {
  const path = join(folder, name);
  try {
    await unlink(path);
    await syncFolder(folder);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw ioError(error, path, 'write');
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
  return new RouterError('IO', `cannot ${verb} ${path}: ${reasonOf(error)}`, {
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

function reasonOf(error: unknown): string {
  const code = systemErrorCode(error);
  return code === null ? 'unknown' : (REASONS[code] ?? `the system said ${code}`);
}

/** What group and others may do is cleared; null when there is no file. */
async function modeOf(path: string): Promise<number | null> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw ioError(error, path, 'read');
  }
  try {
    return (await handle.stat()).mode & 0o700;
  } finally {
    await handle.close();
  }
}

/** Deletes `.<name>.<uuid>.tmp` beside `target`, and nothing that is named otherwise. */
export async function removeLeftovers(target: string): Promise<void> {
  const folder = dirname(target);
  const prefix = `.${basename(target)}.`;
  // A folder that cannot be listed says so when it is written to.
  const names = await readdir(folder).catch((): string[] => []);
  for (const name of names) {
    if (!name.startsWith(prefix) || !TEMPORARY.test(name.slice(prefix.length))) continue;
    await unlinkDurably(folder, name);
  }
}

/** Whether it is a name that `temporaryBeside` gives. */
export function isTemporary(name: string): boolean {
  return (
    name.startsWith('.') && TEMPORARY.test(name.slice(-UUID_AND_END)) && name.at(-UUID_AND_END - 1) === '.'
  );
}

const UUID_AND_END = 40;
const TEMPORARY = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/;
