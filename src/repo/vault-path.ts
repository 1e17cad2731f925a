import { join } from 'node:path';
import type { RouterFolders } from '../os/folders.js';
import { parseVersioned, readTextOrNull } from './format.js';

export function vaultPath(folders: RouterFolders): string {
  return join(folders.data, 'vault.json');
}

/**
 * For who changes something without the key: a later release may keep more than we know of.
 * @throws VAULT_NEWER; VAULT_DAMAGED when vault.json is no such file; IO
 */
export async function refuseNewerVault(folders: RouterFolders): Promise<void> {
  const path = vaultPath(folders);
  const text = await readTextOrNull(path);
  if (text !== null) parseVersioned(text, path, 'VAULT_DAMAGED');
}
