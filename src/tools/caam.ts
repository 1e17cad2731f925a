import { basename, join } from 'node:path';
import { type Env, homeFolder } from '../os/folders.js';
import { type FoundLogins, noFinds, type ToolDeps } from './found.js';
import { withoutSpent } from './live.js';
import { isFolder, namesIn, noStore, readBytes } from './store-file.js';
import { find } from './token-login.js';

/** coding_agent_account_manager: a copy of auth.json for each profile, in its vault (0.1.9). */
export function caam(deps: ToolDeps) {
  return {
    source: 'caam' as const,
    title: 'caam',
    find: async (path: string | null): Promise<FoundLogins> => {
      const vault = path ?? vaultFolder(deps.env);
      const codex = basename(vault) === 'codex' ? vault : join(vault, 'codex');
      const profiles = await namesIn(codex);
      if (profiles === null) throw noStore('caam', codex);
      const finds = noFinds();
      for (const profile of profiles) {
        const folder = join(codex, profile);
        if (!(await isFolder(folder))) continue;
        const from = `caam codex/${profile}`;
        const bytes = await readBytes(join(folder, 'auth.json'));
        // Profiles of that form are caam's own: a copy of what was there before its first switch.
        if (profile.startsWith('_')) {
          finds.skipped.push({ from, reason: 'a copy that caam made by itself, which may be spent' });
        } else if (bytes === null) {
          finds.skipped.push({ from, reason: 'it has no auth.json' });
        } else {
          find(finds, from, () => ({ holding: deps.parseAuthJson(bytes, from), alias: profile }));
        }
      }
      return withoutSpent(finds, deps);
    },
  };
}

function vaultFolder(env: Env): string {
  if (env.CAAM_HOME) return join(env.CAAM_HOME, 'data', 'vault');
  const data = env.XDG_DATA_HOME || join(homeFolder(env), '.local', 'share');
  return join(data, 'caam', 'vault');
}
