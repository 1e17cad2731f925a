import { randomUUID } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { systemErrorCode } from '../errors.js';
import { ioError, syncFolder } from '../os/atomic.js';
import { link, open, unlink } from '../os/files.js';

/**
 * Creates `path` with all of `text` at one stroke, durably, 0600. Returns false, touching nothing, when it exists already:
 * of two programs only one creates it.
 * @throws IO
 */
export async function createExclusively(path: string, text: string): Promise<boolean> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`);
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
const WITHOUT_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

async function createInPlace(path: string, text: string): Promise<boolean> {
  try {
    await writeNew(path, text);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw ioError(error, path, 'write');
  }
}

async function writeNew(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}
