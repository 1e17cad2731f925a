import { createHmac, randomBytes } from 'node:crypto';
import { identityNotFound } from './index.js';
import { parseFingerprint } from './index-format.js';
import type { RepoView } from './repo.js';

/**
 * What a plan reads where there is no vault yet, so that a dry run need not make one: nothing is stored. Its fingerprints tell
 * equal grants from different ones within this process, and are never written.
 */
export function absentRepo(): RepoView {
  const key = randomBytes(32);
  return {
    vaultId: '',
    standing: async () => null,
    list: async () => [],
    load: async (which) => {
      throw identityNotFound(which);
    },
    fingerprint: (grant) =>
      parseFingerprint(
        createHmac('sha256', key).update(grant.refreshToken.reveal(), 'utf8').digest('hex').slice(0, 32),
      ),
  };
}
