import { basename, dirname, join } from 'node:path';
import { homeFolder } from '../os/folders.js';
import { type FoundLogins, noFinds, type ToolDeps } from './found.js';
import { withoutSpent } from './live.js';
import { namesIn, noStore, readBytes } from './store-file.js';
import { find } from './token-login.js';

/** codex-multipass: copies of auth.json in the Codex home's `profiles`, and a marker that names the active one (0.1.6). */
export function codexMultipass(deps: ToolDeps) {
  return {
    source: 'codex-multipass' as const,
    title: 'codex-multipass',
    find: async (path: string | null): Promise<FoundLogins> => {
      const named = path ?? (deps.env.CODEX_HOME || join(homeFolder(deps.env), '.codex'));
      const folder = basename(named) === 'profiles' ? named : join(named, 'profiles');
      const names = (await namesIn(folder))?.filter((name) => NAME.test(name));
      if (names === undefined) throw noStore('codex-multipass', folder);
      const marker = await readBytes(join(dirname(folder), '.codex-mp-active'));
      const active = marker?.toString('utf8').trim();
      const finds = noFinds();
      for (const name of names) {
        const from = `codex-multipass profiles/${name}`;
        const bytes = await readBytes(join(folder, name));
        if (bytes === null) continue;
        const alias = name.replace(/\.json$/, '');
        find(finds, from, () => ({
          holding: deps.parseAuthJson(bytes, from),
          alias,
          isActive: alias === active,
        }));
      }
      return withoutSpent(finds, deps);
    },
  };
}

/** What it allows as a profile's name; a dot in front is a copy under way. */
const NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]*\.json$/;
