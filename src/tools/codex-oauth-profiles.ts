import { join } from 'node:path';
import * as z from 'zod/mini';
import { homeFolder } from '../os/folders.js';
import { type FoundLogins, noFinds, type ToolDeps } from './found.js';
import { isFolder, noStore, readBytes, readStore } from './store-file.js';
import { find, holdingOf } from './token-login.js';

const NAME = 'codex-oauth-profiles.json';
const PREFIX = 'openai-codex:';
const text = z.nullish(z.string());

/** As that skill's own scripts read it (1.2.1): OpenClaw's auth profiles, under either name for each token. */
const Profile = z.object({
  type: text,
  access: text,
  token: text,
  refresh: text,
  refreshToken: text,
  expires: z.nullish(z.number()),
  accountId: text,
  email: text,
  workspaceName: text,
});

const Store = z.object({ profiles: z.record(z.string(), z.unknown()) });

/** The repository of an external router after the openai-codex-multi-oauth skill: a LoginStore. */
export function codexOauthProfiles({ env }: ToolDeps) {
  return {
    source: 'codex-oauth-profiles' as const,
    title: 'the codex-oauth-profiles.json of an external router',
    find: async (path: string | null): Promise<FoundLogins> => {
      const named = path ?? (env.OPENCLAW_STATE_DIR || join(homeFolder(env), '.openclaw'));
      const folder = (await isFolder(named)) ? named : null;
      const file = folder === null && path !== null ? path : join(named, NAME);
      const store = await readStore(file, Store);
      if (store === null) throw noStore(NAME, file);
      const saved = folder === null ? null : await readBytes(join(folder, 'codex_profile_id'));
      const active = saved?.toString('utf8').trim() ?? null;
      const finds = noFinds();
      for (const [id, value] of Object.entries(store.profiles)) {
        const from = `${NAME} ${id}`;
        const profile = Profile.safeParse(value);
        if (!id.startsWith(PREFIX)) {
          finds.skipped.push({ from, reason: 'it is a login of another provider' });
        } else if (!profile.success) {
          finds.skipped.push({ from, reason: 'it is not an OAuth profile as OpenClaw writes it' });
        } else {
          find(finds, from, () => ({
            holding: holdingIn(profile.data),
            alias: id.slice(PREFIX.length),
            isActive: id === active,
          }));
        }
      }
      return finds;
    },
  };
}

function holdingIn({
  access,
  token,
  refresh,
  refreshToken,
  expires,
  accountId,
  email,
  workspaceName,
}: z.infer<typeof Profile>) {
  const holding = holdingOf({
    access: access || token || null,
    refresh: refresh || refreshToken || '',
    expires: expires ?? null,
    accountId: accountId || null,
    email: email || null,
  });
  return { ...holding, identity: { ...holding.identity, workspace: workspaceName || null } };
}
