import { basename, dirname, join, resolve } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError } from '../os/atomic.js';
import { constants, type FileHandle, open, readlink, realpath } from '../os/files.js';
import { looksTorn } from './auth-json.js';

/** A login is 4 to 8 KB; what is larger than this is something else. */
export const LARGEST_LOGIN = 1024 * 1024;

const TORN_RETRIES = 20;
const TORN_PAUSE_MS = 50;

/**
 * The text of a file, null when there is none (a link that leads nowhere included).
 * @throws as `readBytes` and `decodeLogin`.
 */
export async function readLoginFile(path: string): Promise<string | null> {
  const bytes = await readBytes(path, LARGEST_LOGIN);
  return bytes === null ? null : decodeLogin(bytes, path);
}

/**
 * The bytes of a file, at most `limit` and one more; null when there is none.
 * @throws USAGE for a folder, a pipe or a device; IO.
 */
export async function readBytes(path: string, limit: number): Promise<Uint8Array | null> {
  let file: FileHandle;
  try {
    // Non-blocking, because opening a pipe that nobody writes to would wait for ever.
    file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw ioError(error, path, 'read');
  }
  try {
    const about = await file.stat();
    if (about.isDirectory()) {
      throw new RouterError('USAGE', `${path} is a folder, not a login`, {
        hint: `CODEX_HOME=<that folder> codex-router import takes the login of a Codex home`,
      });
    }
    if (!about.isFile()) {
      throw new RouterError('USAGE', `${path} is not a regular file`, {
        hint: 'pipe it in: codex-router import --from -',
      });
    }
    const buffer = Buffer.alloc(Math.min(about.size, limit) + 1);
    let filled = 0;
    while (filled < buffer.length) {
      const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  } catch (error) {
    throw ioError(error, path, 'read');
  } finally {
    await file.close();
  }
}

/**
 * Reads a file that an older Codex may be writing in place right now (through 0.163): text that is not whole JSON is read
 * again for about a second, then returned as it is for the parser to refuse.
 */
export async function readLiveFile(path: string): Promise<string | null> {
  for (let attempt = 0; ; attempt += 1) {
    const text = await readLoginFile(path);
    if (text === null || !looksTorn(text) || attempt === TORN_RETRIES) return text;
    await new Promise((wake) => setTimeout(wake, TORN_PAUSE_MS));
  }
}

/** @throws USAGE when there are more than `LARGEST_LOGIN` bytes; IDENTITY_UNREADABLE when they are not UTF-8. */
export function decodeLogin(bytes: Uint8Array, where: string): string {
  if (bytes.length > LARGEST_LOGIN) {
    throw new RouterError('USAGE', `${where} is over 1 MB, far too large for a login`, {
      hint: 'name the auth.json itself',
    });
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new RouterError('IDENTITY_UNREADABLE', `${where} is not UTF-8 text`, {
      hint: 'save it as UTF-8 without a byte order mark, then import again',
    });
  }
}

/**
 * The file that `path` stands for: through symbolic links, whether or not the last one leads to a file. Codex itself
 * replaces the target and leaves the link (0.169, measured). Null when its folder does not exist.
 * @throws IO when the links turn in a circle or cannot be read.
 */
export async function linkTarget(path: string): Promise<string | null> {
  let current = path;
  try {
    for (let hops = 0; hops < 40; hops += 1) {
      const folder = await orNull(['ENOENT'], realpath(dirname(current)));
      if (folder === null) return null;
      const here = join(folder, basename(current));
      const leadsTo = await orNull(['ENOENT', 'EINVAL'], readlink(here));
      if (leadsTo === null) return here;
      current = resolve(folder, leadsTo);
    }
  } catch (error) {
    throw ioError(error, path, 'read');
  }
  throw new RouterError('IO', `cannot read ${path}: too many symbolic links`, {
    hint: 'mend the link and run the command again',
  });
}

async function orNull<T>(codes: readonly string[], work: Promise<T>): Promise<T | null> {
  try {
    return await work;
  } catch (error) {
    if (codes.includes(systemErrorCode(error) ?? '')) return null;
    throw error;
  }
}
