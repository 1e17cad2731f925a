import { dirname } from 'node:path';
import { systemErrorCode } from '../errors.js';
import { ioError, syncFolder, temporaryBeside, writeNew } from './atomic.js';
import { link, unlink } from './files.js';

/**
 * Creates `path` with all of `text` at one stroke, durably, 0600. Returns false, touching nothing, when it exists already:
 * of two programs only one creates it.
 * @throws IO
 */
export async function createExclusively(path: string, text: string | Uint8Array): Promise<boolean> {
  const temporary = temporaryBeside(path);
  try {
    await writeNew(temporary, text);
    // rename() would replace what another program created meanwhile; link() refuses.
    await link(temporary, path);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'EEXIST') return false;
    if (code === null || !WITHOUT_LINKS.has(code)) throw ioError(error, path, 'write');
    if (!(await createInPlace(path, text))) return false;
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
  await syncFolder(dirname(path));
  return true;
}

/** What file systems without hard links (FAT, some network ones) answer. */
export const WITHOUT_LINKS: ReadonlySet<string> = new Set([
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EMLINK',
]);

async function createInPlace(path: string, text: string | Uint8Array): Promise<boolean> {
  try {
    await writeNew(path, text);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw ioError(error, path, 'write');
  }
}
