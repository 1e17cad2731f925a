import { type ErrorCode, RouterError, systemErrorCode } from '../errors.js';
import { ioError } from '../os/atomic.js';
import { readFile } from '../os/files.js';

/** The version of every file the repo writes: vault.json, index.json, records and back-ups. */
export const FORMAT_VERSION = 1;

/** The text of a file, or null when it does not exist. @throws IO */
export async function readTextOrNull(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw ioError(error, path, 'read');
  }
}

/** Proves what was just written. @throws IO */
export async function expectWritten(path: string, text: string): Promise<void> {
  if ((await readTextOrNull(path)) === text) return;
  throw new RouterError('IO', `${path} does not read back as it was written`, {
    hint: 'check the disk, and that no other program writes there',
  });
}

/**
 * The JSON object in `text`, once its `version` is known to be ours.
 * @throws VAULT_NEWER for a version a later release wrote; `damaged` for anything that is not such an object.
 */
export function parseVersioned(text: string, path: string, damaged: ErrorCode): { [name: string]: unknown } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw damage(path, 'it is not JSON', damaged);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw damage(path, 'it is not a JSON object', damaged);
  }
  const version = 'version' in value ? value.version : undefined;
  if (typeof version === 'number' && Number.isInteger(version) && version > FORMAT_VERSION) {
    throw new RouterError(
      'VAULT_NEWER',
      `${path} has format version ${version}, newer than this codex-router knows`,
      {
        hint: 'update codex-router; nothing was changed',
      },
    );
  }
  if (version !== FORMAT_VERSION) throw damage(path, 'it carries no known format version', damaged);
  return { ...value };
}

export function damage(path: string, why: string, code: ErrorCode = 'VAULT_DAMAGED'): RouterError {
  return new RouterError(code, `${path} is damaged: ${why}`, {
    hint: 'put that file back from a backup; codex-router does not guess and has changed nothing',
  });
}
