import { basename, dirname } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError, unlinkDurably } from '../os/atomic.js';
import { constants, open } from '../os/files.js';
import { type HousePart, look } from './house.js';

/** ms after which a file that an atomic write leaves for a moment was left for good. */
const LEFT_AFTER = 10 * 60 * 1000;

/** Whether a write that was killed left it. */
export function isLeftOver({ role, kind, changedAt }: HousePart, now: number): boolean {
  const isOurs = kind === 'file' && (role === 'temporary' || role === 'room');
  return isOurs && Math.abs(now - changedAt) > LEFT_AFTER;
}

/** Deletes it if it is still what was seen. Under the router lock. @returns whether it did. @throws IO */
export async function removeLeftOver(seen: HousePart, now: number): Promise<boolean> {
  const part = await look(seen.path, seen.role);
  if (part === null || !isLeftOver(part, now)) return false;
  await unlinkDurably(dirname(part.path), basename(part.path));
  return true;
}

/**
 * Takes what is open to group and others away from them, and gives the owner what a file of ours has: 0600, folders 0700. The handle that
 * is changed is the one that was looked at, and no link is followed.
 * @throws VAULT_PERMISSIONS when it is another user's, or no plain file or folder any more; IO
 */
export async function closeToOthers({ path, kind }: HousePart): Promise<void> {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const about = await handle.stat();
      const isSame = kind === 'folder' ? about.isDirectory() : about.isFile();
      if (!isSame || about.uid !== process.geteuid?.()) throw notOurs(path);
      await handle.chmod(kind === 'folder' ? 0o700 : 0o600);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (systemErrorCode(error) === 'ELOOP') throw notOurs(path);
    throw ioError(error, path, 'write');
  }
}

function notOurs(path: string): RouterError {
  return new RouterError('VAULT_PERMISSIONS', `${path} is not a file or folder of yours any more`, {
    hint: 'codex-router doctor',
  });
}
