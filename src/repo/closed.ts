import { dirname } from 'node:path';
import { RouterError } from '../errors.js';
import type { IdentityKey } from '../identity.js';
import { unlinkDurably } from '../os/atomic.js';
import { type RepoFiles, recordName } from './files.js';
import {
  entryOf,
  type IndexMemo,
  type IndexReading,
  identityNotFound,
  withEntry,
  withoutEntry,
  writeIndex,
} from './index.js';
import type { Index } from './index-format.js';
import type { IndexEntry } from './repo.js';

/** Changes one entry of the index. @throws IDENTITY_NOT_FOUND, BUSY, IO */
export async function changeEntry(
  files: RepoFiles,
  memo: IndexMemo,
  { index, text }: IndexReading,
  key: IdentityKey,
  change: (entry: IndexEntry) => IndexEntry,
): Promise<IndexEntry> {
  const entry = entryOf(index, key);
  if (index === null || entry === null) throw identityNotFound(key);
  const changed = change(entry);
  await writeIndex(files, withEntry(index, changed), text, memo);
  return changed;
}

/**
 * Index first, then record and back-ups. The index remembers what is being removed until it is gone, so that after a crash
 * the orphan is told from one that a crashed `save` left and that must come back.
 * @throws IDENTITY_NOT_FOUND, BUSY, IO
 */
export async function removeIdentity(
  files: RepoFiles,
  reading: IndexReading,
  key: IdentityKey,
): Promise<void> {
  const { index, text } = reading;
  const entry = entryOf(index, key);
  if (index === null || entry === null) throw identityNotFound(key);
  const name = recordName(key);
  const removing: Index = {
    ...withoutEntry(index, key),
    removing: { ...index.removing, [name]: entry.revision },
  };
  await writeIndex(files, removing, text);
  await unlinkDurably(files.records, name);
  await unlinkDurably(files.records, `${name}.damaged`);
  const { removeBackups } = await import('./backups.js');
  await removeBackups(files.backups, name);
  await forgetUsage(dirname(files.index), key);
}

/** What was left to whom is nothing that a removal may fail for: the next look at anybody takes out who is no longer stored. */
async function forgetUsage(data: string, key: IdentityKey): Promise<void> {
  const [{ usageFileIn }, { usageHistoryIn }] = await Promise.all([
    import('./usage-file.js'),
    import('./usage-history.js'),
  ]);
  for (const forget of [usageFileIn(data).forget, usageHistoryIn(data).forget]) {
    try {
      await forget(key);
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
    }
  }
}
