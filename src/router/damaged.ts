import { RouterError } from '../errors.js';
import type { Grant } from '../grant.js';
import { identityKey } from '../identity.js';
import type { IndexEntry, RepoView } from '../repo/repo.js';
import type { Occupant, SlotReading } from '../slot/slot.js';

/** Damaged logins in slots whose every token that is left is stored, and of whom they are: nothing is lost when they give way. */
export type Damaged = ReadonlyMap<Occupant, IndexEntry>;

/** @throws VAULT_DAMAGED, VAULT_NEWER; a record that cannot be opened proves nothing and is passed over */
export async function damagedIn(
  repo: Pick<RepoView, 'list' | 'load'>,
  slots: readonly { readonly reading: SlotReading }[],
): Promise<Damaged> {
  const found = new Map<Occupant, IndexEntry>();
  for (const { reading } of slots) {
    const { occupant } = reading;
    if (occupant.kind !== 'foreign' || occupant.remains === undefined) continue;
    for (const entry of await repo.list()) {
      const grant = await grantOf(repo, entry);
      if (grant !== null && occupant.remains.areOf(grant)) found.set(occupant, entry);
    }
  }
  return found;
}

async function grantOf(repo: Pick<RepoView, 'load'>, { identity }: IndexEntry): Promise<Grant | null> {
  try {
    return (await repo.load(identityKey(identity))).grant;
  } catch (error) {
    if (error instanceof RouterError && error.code === 'RECORD_DAMAGED') return null;
    throw error;
  }
}
