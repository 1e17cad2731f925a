import { join } from 'node:path';
import { RouterError } from '../errors.js';
import { homeFolder } from '../os/folders.js';
import { type PoolFiles, readPoolFile, readPools } from './account-pool.js';
import { type FoundLogins, noFinds, type ToolDeps } from './found.js';
import { isFolder, namesIn, noStore } from './store-file.js';

/** As 6.14.0 names them, and the releases before it. */
const FILES: PoolFiles = {
  tool: 'oc-codex-multi-auth',
  accounts: ['oc-codex-multi-auth-accounts.json', 'openai-codex-accounts.json'],
  flagged: ['oc-codex-multi-auth-flagged-accounts.json', 'openai-codex-flagged-accounts.json'],
};

/** What its `codex-keychain migrate` makes of an accounts file. */
const MOVED = /\.migrated-to-keychain\./;

/** The OpenCode plugin oc-codex-multi-auth: its files. Its accounts in the OS keychain (CODEX_KEYCHAIN=1) are not read. */
export function ocCodexMultiAuth({ env }: ToolDeps) {
  return {
    source: 'oc-codex-multi-auth' as const,
    title: 'oc-codex-multi-auth (OpenCode)',
    find: async (path: string | null): Promise<FoundLogins> => {
      const place = path ?? join(homeFolder(env), '.opencode');
      const finds = noFinds();
      if (path !== null && !(await isFolder(path))) {
        if (await readPoolFile(path, FILES.tool, finds)) return finds;
        throw noStore(FILES.tool, path);
      }
      // The file that is left beside a keychain is an old copy, whose tokens may be spent.
      if (path === null && env.CODEX_KEYCHAIN === '1') throw inKeychain();
      const found = await readPools(place, FILES, finds);
      const moved = (await namesIn(place))?.some((name) => MOVED.test(name)) ?? false;
      if (!found && moved) throw inKeychain();
      if (!found && finds.skipped.length === 0) throw noStore(FILES.tool, place);
      return finds;
    },
  };
}

function inKeychain(): RouterError {
  return new RouterError(
    'LOGIN_NOT_FOUND',
    'oc-codex-multi-auth keeps its accounts in the OS keychain here, which codex-router does not read',
    { hint: 'its codex-keychain tool, with rollback, puts them into a file again; then import' },
  );
}
