import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { IdentityKey } from '../identity.js';

/** Where things lie in the data folder, beside vault.json. */
export interface RepoFiles {
  readonly index: string;
  readonly records: string;
  readonly backups: string;
}

export function repoFiles(data: string): RepoFiles {
  return { index: join(data, 'index.json'), records: join(data, 'records'), backups: join(data, 'backups') };
}

/** The name of an identity's record: 32 hex digits that tell nothing to who does not know the identity already. */
export function recordName(key: IdentityKey): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 32);
}
