import { RouterError } from '../errors.js';
import { writeAtomic } from '../os/atomic.js';
import { withRouterLock } from '../os/lock.js';
import { expectWritten, readTextOrNull } from './format.js';
import { KEY_KIND_NAME, type KeyKind } from './key-kind.js';
import { forgetKey, type NewKey } from './key-source.js';
import { newUnlocker, unlock, type VaultDeps } from './vault.js';
import { encodeVaultFile, parseVaultFile, type Unlocker } from './vault-file.js';
import { vaultPath } from './vault-path.js';

export interface KeyChange {
  readonly added: Unlocker;
  /** Keys that no longer open the vault. */
  readonly replaced: readonly Unlocker[];
  readonly unlockers: readonly Unlocker[];
}

/**
 * Moves the vault to a new primary key. The vault's own key stays, so no record is touched: one rename of vault.json decides.
 * Order: the new key exists and reads back, vault.json names it, only then the old one is deleted. Replaced are the primary
 * and any other key of the new kind; a second key file stays, for it may lie where nobody can replace it.
 * @param withKind open the vault with this kind of key, say a recovery passphrase; null for the usual one.
 * @throws as `openVault`, and as the new key's source; then nothing has changed. BUSY, IO
 */
export function rekeyVault(deps: VaultDeps, choice: NewKey, withKind: KeyKind | null): Promise<KeyChange> {
  return changeKeys(deps, choice, withKind, (unlockers, added) => {
    const [, ...others] = unlockers;
    return [added, ...others.filter((other) => !gives(other, added))];
  });
}

/**
 * Adds a second key, so that losing one loses nothing. A keychain, passphrase or credential the vault already has is
 * replaced by the new one in its place.
 * @throws as `rekeyVault`
 */
export function addKey(deps: VaultDeps, choice: NewKey, withKind: KeyKind | null): Promise<KeyChange> {
  return changeKeys(deps, choice, withKind, (unlockers, added) => {
    const at = unlockers.findIndex((other) => gives(other, added));
    const kept = unlockers.filter((other) => !gives(other, added));
    return at === -1 ? [...kept, added] : [...kept.slice(0, at), added, ...kept.slice(at)];
  });
}

function gives(way: Unlocker, added: Unlocker): boolean {
  return way.kind === added.kind && way.kind !== 'file';
}

async function changeKeys(
  deps: VaultDeps,
  choice: NewKey,
  withKind: KeyKind | null,
  arrange: (unlockers: readonly Unlocker[], added: Unlocker) => Unlocker[],
): Promise<KeyChange> {
  const path = vaultPath(deps.folders);
  const was = await readTextOrNull(path);
  if (was === null) {
    throw new RouterError('VAULT_MISSING', 'there is no vault yet', { hint: 'codex-router vault init' });
  }
  const file = parseVaultFile(was, path);
  const dataKey = await unlock(deps, file, withKind);
  const added = await newUnlocker(deps, file.vaultId, dataKey, choice);
  const unlockers = arrange(file.unlockers, added);
  try {
    await replaceVaultFile(deps, was, encodeVaultFile({ ...file, unlockers }));
  } catch (error) {
    // A write that failed after its rename has put the new key into force.
    const now = await readTextOrNull(path).catch(() => null);
    if (now !== null && !now.includes(added.id)) await forgetKey(deps, added).catch(() => undefined);
    throw error;
  }
  const replaced = file.unlockers.filter((old) => !unlockers.includes(old));
  for (const old of replaced) await forgetAloud(deps, old);
  return { added, replaced, unlockers };
}

const WAITING = 'waiting for another codex-router to finish ...';

// The lock is held for the write alone: asking and the keychain come before it.
function replaceVaultFile(deps: VaultDeps, was: string, text: string): Promise<void> {
  const path = vaultPath(deps.folders);
  return withRouterLock(
    deps.folders.data,
    async (lock) => {
      const beforeRename = async () => {
        lock.check();
        if ((await readTextOrNull(path)) === was) return;
        throw new RouterError('BUSY', 'another codex-router changed the vault just now', {
          hint: 'run the command again',
        });
      };
      await writeAtomic(path, text, { beforeRename });
      await expectWritten(path, text);
    },
    { onWait: () => deps.say(WAITING) },
  );
}

async function forgetAloud(deps: VaultDeps, old: Unlocker): Promise<void> {
  let why = 'it was not found there: the keychain is locked, or it was deleted before';
  try {
    if (await forgetKey(deps, old)) return;
  } catch (error) {
    why = error instanceof Error ? error.message : 'unknown';
  }
  deps.say(
    `the old key in ${KEY_KIND_NAME[old.kind]} could not be deleted (${why}); it opens nothing here any more`,
  );
}
