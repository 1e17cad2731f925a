import { join } from 'node:path';
import type { RouterFolders } from '../os/folders.js';

export function vaultPath(folders: RouterFolders): string {
  return join(folders.data, 'vault.json');
}
