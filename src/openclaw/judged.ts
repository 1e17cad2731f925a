import type { Stats } from 'node:fs';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError } from '../os/atomic.js';
import { lstat } from '../os/files.js';

/** What a name means now, no link followed; null where there is nothing. @throws IO */
export async function statAt(path: string): Promise<Stats | null> {
  try {
    return await lstat(path);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw ioError(error, path, 'read');
  }
}

/** For what was judged in a look and is another thing when it is to be changed. */
export function notAsFound(path: string): RouterError {
  return new RouterError('HOST_BUSY', `${path} is not as it was found any more`, {
    hint: 'run the command again; nothing was changed',
  });
}
