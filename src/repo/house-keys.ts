import { RouterError } from '../errors.js';
import { isAtHand, readKey } from './key-source.js';
import type { VaultDeps } from './vault.js';
import { type Unlocker, unwrapKey } from './vault-file.js';

/** A way to the vault's key that does not lead there. */
export interface KeyTrouble {
  readonly unlocker: Unlocker;
  /** The one that every command opens with. */
  readonly primary: boolean;
  /** `gone`: what held the key is not there. `wrong`: it holds another. `shared`: others can read it. `unread`: it could not be had. */
  readonly kind: 'gone' | 'wrong' | 'shared' | 'unread';
  readonly error: RouterError;
}

/**
 * Tries every key that can be had without asking anybody. A further key in a keychain that cannot be reached here says nothing of the key,
 * and a key file that is named instead of the recorded ones nothing of those.
 * @param failed why the vault could not be opened: a keychain that has just failed is not asked again; null when it was opened.
 */
export async function keyTroubles(
  deps: VaultDeps,
  vaultId: string,
  unlockers: readonly Unlocker[],
  failed: RouterError | null,
): Promise<readonly KeyTrouble[]> {
  const found: KeyTrouble[] = [];
  const isNamed = deps.keyFile !== null || Boolean(deps.env.CODEX_ROUTER_KEY_FILE);
  for (const [place, unlocker] of unlockers.entries()) {
    if (unlocker.kind === 'passphrase' || !isAtHand(deps, unlocker)) continue;
    if (unlocker.kind === 'file' && isNamed) continue;
    if (unlocker.kind === 'keychain' && failed?.code.startsWith('KEYCHAIN_')) continue;
    const error = await troubleOf(deps, vaultId, unlocker);
    if (error === null) continue;
    const kind = KINDS[error.code] ?? 'unread';
    if (kind === 'unread' && unlocker.kind === 'keychain' && place > 0) continue;
    found.push({ unlocker, primary: place === 0, kind, error });
  }
  return found;
}

const KINDS: { readonly [code: string]: KeyTrouble['kind'] } = {
  KEY_MISSING: 'gone',
  KEY_WRONG: 'wrong',
  VAULT_PERMISSIONS: 'shared',
};

async function troubleOf(deps: VaultDeps, vaultId: string, unlocker: Unlocker): Promise<RouterError | null> {
  try {
    if (unwrapKey(await readKey(deps, unlocker), vaultId, unlocker) !== null) return null;
    return new RouterError('KEY_WRONG', 'it holds the key of another vault');
  } catch (error) {
    if (error instanceof RouterError) return error;
    throw error;
  }
}
