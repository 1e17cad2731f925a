import { join } from 'node:path';
import { type Env, homeFolder } from '../os/folders.js';
import { type PoolFiles, readPoolFile, readPools } from './account-pool.js';
import { type FoundLogins, noFinds, type ToolDeps } from './found.js';
import { isFolder, namesIn, noStore } from './store-file.js';

/** As 2.8.7 names them. */
const FILES: PoolFiles = {
  tool: 'codex-multi-auth',
  accounts: ['openai-codex-accounts.json'],
  flagged: ['openai-codex-flagged-accounts.json', 'openai-codex-blocked-accounts.json'],
};

/** ndycode's codex-multi-auth: one file of accounts, and one for each project that has its own. */
export function codexMultiAuth({ env }: ToolDeps) {
  return {
    source: 'codex-multi-auth' as const,
    title: 'codex-multi-auth',
    find: async (path: string | null): Promise<FoundLogins> => {
      const place = path ?? (await usualFolder(env));
      const finds = noFinds();
      const found =
        path === null || (await isFolder(place))
          ? await readPools(place, FILES, finds)
          : await readPoolFile(place, FILES.tool, finds);
      if (!found && finds.skipped.length === 0) throw noStore(FILES.tool, place);
      return finds;
    },
  };
}

/** Where the tool itself would look (2.8.7): the first folder that holds accounts, unless a variable names one. */
async function usualFolder(env: Env): Promise<string> {
  if (env.CODEX_MULTI_AUTH_DIR?.trim()) return env.CODEX_MULTI_AUTH_DIR.trim();
  const home = homeFolder(env);
  const usual = join(home, '.codex');
  const codexHome = env.CODEX_HOME?.trim() || usual;
  const first = join(codexHome, 'multi-auth');
  if (codexHome !== usual) return first;
  for (const folder of [first, join(home, 'DevTools', 'config', 'codex', 'multi-auth'), usual]) {
    const names = (await namesIn(folder)) ?? [];
    if (names.some((name) => FILES.accounts.some((file) => name.startsWith(file)))) return folder;
  }
  return first;
}
