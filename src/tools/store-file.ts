import type * as z from 'zod/mini';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError } from '../os/atomic.js';
import { readdir, readFile, stat } from '../os/files.js';

/** Bytes. A store of a hundred logins takes under 2 MB; what is larger than this is something else. */
const LARGEST = 16 * 1024 * 1024;

/** All of a file; null when there is none. @throws USAGE for what is no regular file, or too large; IO */
export async function readBytes(path: string): Promise<Buffer | null> {
  try {
    const about = await stat(path);
    if (!about.isFile()) {
      throw new RouterError('USAGE', `${path} is not a regular file`, { hint: 'codex-router import --help' });
    }
    if (about.size > LARGEST) {
      throw new RouterError('USAGE', `${path} is over 16 MB, far too large for a store of logins`, {
        hint: 'codex-router import --help',
      });
    }
    return await readFile(path);
  } catch (error) {
    if (isAbsent(error)) return null;
    throw ioError(error, path, 'read');
  }
}

/**
 * The JSON of a file, as `schema` takes it; null when there is no file. No text of the file is in an error.
 * @throws IDENTITY_UNREADABLE when it is not complete JSON of that form, USAGE, IO
 */
export async function readStore<T extends z.ZodMiniType>(
  path: string,
  schema: T,
): Promise<z.output<T> | null> {
  const bytes = await readBytes(path);
  if (bytes === null) return null;
  const found = schema.safeParse(jsonOf(bytes, path));
  if (found.success) return found.data;
  const field = found.error.issues[0]?.path.map(String).join('.') ?? '';
  throw unreadable(
    path,
    field === '' ? 'it is JSON, but of another form' : `its ${field} is not as it must be`,
  );
}

/** Names in a folder; null when there is no such folder. @throws IO */
export async function namesIn(folder: string): Promise<readonly string[] | null> {
  try {
    return (await readdir(folder)).toSorted();
  } catch (error) {
    if (isAbsent(error)) return null;
    throw ioError(error, folder, 'read');
  }
}

/** @throws IO */
export async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (isAbsent(error)) return false;
    throw ioError(error, path, 'read');
  }
}

export function unreadable(path: string, why: string): RouterError {
  return new RouterError('IDENTITY_UNREADABLE', `${path} cannot be understood: ${why}`, {
    hint: 'nothing was imported; run the tool it belongs to once, then import again',
  });
}

/** @param newest the newest version that is understood */
export function otherVersion(path: string, version: unknown, newest: number): RouterError {
  const isNewer = typeof version === 'number' && version > newest;
  const shown = typeof version === 'number' ? String(version) : 'unknown';
  const what = isNewer ? 'newer than codex-router knows' : 'one that codex-router does not know';
  return new RouterError('IDENTITY_UNREADABLE', `${path} is of version ${shown}, ${what}`, {
    hint: isNewer
      ? 'update codex-router'
      : 'update the tool it belongs to and run it once, then import again',
  });
}

/** @param name the tool, @param path where it was looked for */
export function noStore(name: string, path: string): RouterError {
  return new RouterError('LOGIN_NOT_FOUND', `there is no store of ${name} at ${path}`, {
    hint: 'add --path <path> when it lies in another place',
  });
}

function jsonOf(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    // The parser's own message would quote the text.
    throw unreadable(path, bytes.length === 0 ? 'it is empty' : 'it is not complete JSON');
  }
}

function isAbsent(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(systemErrorCode(error) ?? '');
}
