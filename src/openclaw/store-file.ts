import { isUtf8 } from 'node:buffer';
import { constants, type Stats } from 'node:fs';
import { type ErrorCode, RouterError, systemErrorCode } from '../errors.js';
import type { JsonObject } from '../json.js';
import { ioError, writeAtomic } from '../os/atomic.js';
import { lstat, open, readFile, stat } from '../os/files.js';

/** How long a read waits for a host that is in the middle of writing (2026.3.28 truncates, then writes). */
export interface Patience {
  readonly tornMs: number;
}

export interface JsonFile {
  /** As read, to tell whether the file is still the same right before it is replaced. */
  readonly bytes: Buffer;
  readonly value: JsonObject;
}

export const PATIENCE: Patience = { tornMs: 1000 };

const POLL_MS = 25;

/**
 * A JSON object the host keeps in a file, or null when there is no such file. Empty and half-written text is read again
 * until `patience` is used up; a symlink is followed, one that leads nowhere is an error and not an absent store.
 * @param known an earlier reading, which is returned again while the file holds the same bytes.
 * @throws `code` with one sentence naming the file and what is wrong with it; IO when the system refuses the read.
 */
export async function readJsonFile(
  path: string,
  code: ErrorCode,
  patience: Patience = PATIENCE,
  known: JsonFile | null = null,
): Promise<JsonFile | null> {
  // The first look is free: Node loads its clock only for a file that has to be read again.
  let deadline: number | null = null;
  for (;;) {
    const bytes = await readBytes(path, code);
    if (bytes === null) return null;
    if (known?.bytes.equals(bytes)) return known;
    if (!isUtf8(bytes)) throw unreadable(path, code, 'it is not UTF-8 text');
    const text = bytes.toString('utf8');
    const outcome = parseObject(text);
    if (typeof outcome !== 'string') return { bytes, value: outcome };
    deadline ??= performance.now() + patience.tornMs;
    if (text.startsWith(BOM) || performance.now() >= deadline) throw unreadable(path, code, outcome);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Whether the file still holds these bytes (null: is still absent). */
export async function isUnchanged(path: string, bytes: Buffer | null): Promise<boolean> {
  try {
    const now = await readFile(path);
    return bytes?.equals(now) ?? false;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return bytes === null;
    throw ioError(error, path, 'read');
  }
}

/** Replaces the file if it still holds `before` (null: is still absent) right before the rename; false when it does not. */
export async function writeUnchanged(path: string, text: string, before: Buffer | null): Promise<boolean> {
  let moved = false;
  try {
    await writeAtomic(path, text, {
      beforeRename: async () => {
        moved = !(await isUnchanged(path, before));
        if (moved) throw new Error('moved');
      },
    });
    return true;
  } catch (error) {
    if (moved) return false;
    throw error;
  }
}

/** What lies there, behind links; null when nothing does. @throws IO when the system refuses the look: that is not "nothing". */
export async function statOf(path: string): Promise<Stats | null> {
  try {
    return await stat(path);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw ioError(error, path, 'read');
  }
}

const BOM = '\ufeff';

/** The object, or in words why the text is none. */
function parseObject(text: string): JsonObject | string {
  if (text.startsWith(BOM)) return 'it begins with a byte-order mark, which OpenClaw cannot read either';
  if (text.trim() === '') return 'it is empty';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return /^\s*[[{]/.test(text) ? 'it is not complete JSON' : 'it is not JSON';
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  return `it holds ${Array.isArray(value) ? 'a list' : value === null ? 'null' : `a ${typeof value}`} where an object belongs`;
}

async function readBytes(path: string, code: ErrorCode): Promise<Buffer | null> {
  try {
    // Not blocking, so that a pipe someone put there cannot hang the command.
    const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      if (!(await file.stat()).isFile()) throw unreadable(path, code, 'it is not a regular file');
      return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw ioError(error, path, 'read');
  }
  const link = await lstat(path).catch(() => null);
  if (link?.isSymbolicLink()) throw unreadable(path, code, 'it is a link to a file that does not exist');
  return null;
}

function unreadable(path: string, code: ErrorCode, why: string): RouterError {
  return new RouterError(code, `cannot understand ${path}: ${why}`, {
    hint: 'look at the file or restore it; nothing was changed, and it is never taken for an empty one',
  });
}
