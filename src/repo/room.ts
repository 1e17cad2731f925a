import { join } from 'node:path';
import { unlinkDurably, writeAtomic } from '../os/atomic.js';
import { ensureFolder } from '../os/folders.js';

/** More than a record, a back-up and the index grow by when one login is stored. */
const BYTES = 64 * 1024;

const NAME = 'room';

/**
 * Proves that a login could be stored in the data folder now, by writing as much and taking it away again. The caller holds the
 * router's lock. @throws IO
 */
export async function proveRoom(folder: string): Promise<void> {
  await ensureFolder(folder);
  await writeAtomic(join(folder, NAME), new Uint8Array(BYTES));
  await unlinkDurably(folder, NAME);
}
