import { basename, dirname, join } from 'node:path';
import * as z from 'zod/mini';
import { homeFolder } from '../os/folders.js';
import { type FoundLogins, noFinds, type ToolDeps } from './found.js';
import { withoutSpent } from './live.js';
import { isFolder, namesIn, noStore, otherVersion, readBytes, readStore } from './store-file.js';
import { find } from './token-login.js';

/** `current_schema_version` of 0.3.0; files before 3 are keyed by e-mail, which is no identity. */
const OLDEST = 3;
const NEWEST = 4;
const text = z.nullish(z.string());

const Registry = z.object({
  schema_version: z.optional(z.number()),
  /** What it was called before. */
  version: z.optional(z.number()),
  active_account_key: text,
  accounts: z.array(
    z.object({
      chatgpt_account_id: text,
      chatgpt_user_id: text,
      account_key: text,
      alias: text,
      account_name: text,
    }),
  ),
});

type Account = z.infer<typeof Registry>['accounts'][number];

/** Loongphy's codex-auth: a copy of auth.json for each account, and a registry of them. */
export function codexAuth(deps: ToolDeps) {
  const { env, parseAuthJson } = deps;
  return {
    source: 'codex-auth' as const,
    title: 'codex-auth (Loongphy)',
    find: async (path: string | null): Promise<FoundLogins> => {
      const folder = await accountsFolder(path ?? (env.CODEX_HOME || join(homeFolder(env), '.codex')));
      const file = join(folder, 'registry.json');
      const registry = await readStore(file, Registry);
      if (registry === null) throw noStore('codex-auth', file);
      const version = registry.schema_version ?? registry.version;
      if (version === undefined || version < OLDEST || version > NEWEST)
        throw otherVersion(file, version, NEWEST);

      const finds = noFinds();
      const open = new Set<Account>(registry.accounts);
      for (const name of (await namesIn(folder)) ?? []) {
        if (!name.endsWith('.auth.json')) continue;
        const from = `codex-auth accounts/${name}`;
        const bytes = await readBytes(join(folder, name));
        if (bytes === null) continue;
        const mine = registry.accounts.find(
          ({ account_key }) => account_key && fileNames(account_key).includes(name),
        );
        if (mine === undefined) {
          finds.skipped.push({
            from,
            reason: 'its registry does not list it: it was removed there, or never added',
          });
          continue;
        }
        open.delete(mine);
        find(finds, from, () => {
          const holding = parseAuthJson(bytes, from);
          const workspace = mine.account_name || null;
          return {
            holding: { ...holding, identity: { ...holding.identity, workspace } },
            alias: mine.alias || null,
            isActive: mine.account_key === registry.active_account_key,
          };
        });
      }
      for (const { account_key } of open) {
        const from = `codex-auth ${account_key ?? 'account'}`;
        finds.skipped.push({ from, reason: 'its registry lists it, and its file is not there' });
      }
      return withoutSpent(finds, deps);
    },
  };
}

/** @param path a Codex home, its `accounts`, or the registry */
async function accountsFolder(path: string): Promise<string> {
  if (!(await isFolder(path)))
    return basename(path) === 'registry.json' ? dirname(path) : join(path, 'accounts');
  return basename(path) === 'accounts' ? path : join(path, 'accounts');
}

/** A key that is no safe file name is written in base64url; a `::` makes every key of today one of those. */
function fileNames(key: string): string[] {
  return [`${key}.auth.json`, `${Buffer.from(key).toString('base64url')}.auth.json`];
}
