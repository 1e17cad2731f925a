import { RouterError } from '../errors.js';
import { statOf } from './store-file.js';

/**
 * Refuses files of another user before one is replaced; a file that does not exist is nobody's.
 * @param uid our own user id; null where the platform has none.
 * @throws HOST_FOREIGN_OWNER; IO when the system refuses the look.
 */
export async function refuseForeignOwner(paths: readonly string[], uid: number | null): Promise<void> {
  for (const path of paths) {
    const found = await statOf(path);
    if (found !== null && uid !== null && found.uid !== uid) throw foreignOwner(path, found.uid);
  }
}

/** Writing there as another user would leave files its owner cannot replace, or hand a login to somebody else. */
export function foreignOwner(path: string, owner: number, stateDir?: string): RouterError {
  // sudo drops the variables that may have led here.
  const where = stateDir === undefined ? '' : ` --state-dir '${stateDir}'`;
  return new RouterError('HOST_FOREIGN_OWNER', `${path} belongs to another user (uid ${owner})`, {
    hint: `run it as that user: sudo -u '#${owner}' -H codex-router ...${where}`,
  });
}
