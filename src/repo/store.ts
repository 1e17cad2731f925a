import { changeEntry, removeIdentity } from './closed.js';
import { repoFiles } from './files.js';
import { type IndexMemo, isBehind, readClosedIndex, readIndex, standingOf } from './index.js';
import type { OpenedDeps } from './opened.js';
import type { RepoDeps } from './opening.js';
import type { OpenRepo, Repo } from './repo.js';
import { refuseNewerVault } from './vault-path.js';

/**
 * The encrypted repo in `deps.folders.data`. Nothing is read until a method is called; `list` loads neither the keychain
 * nor a key. `open()` answers with the same open repo each time, and may be tried again after it failed.
 * Methods that change something are to be called under `withRouterLock`; `open` never is: it may ask a person.
 */
export function openRepoAt(deps: RepoDeps): Repo {
  const files = repoFiles(deps.folders.data);
  const memo: IndexMemo = { last: null };
  let opening: Promise<OpenRepo> | null = null;

  async function open(): Promise<OpenRepo> {
    const [{ openOrInit }, { openedRepo }] = await Promise.all([
      import('./opening.js'),
      import('./opened.js'),
    ]);
    const opened: OpenedDeps = { files, memo, now: deps.now, vault: await openOrInit(deps) };
    return openedRepo(opened);
  }

  return {
    list: async () => (await readClosedIndex(files, memo)).index?.identities ?? [],
    isBehind: async () => isBehind(files, (await readIndex(files, memo)).index),
    standing: async () => standingOf((await readClosedIndex(files, memo)).index),
    setAlias: async (key, alias) => {
      await refuseNewerVault(deps.folders);
      return changeEntry(files, memo, await readClosedIndex(files, memo), key, (entry) => ({
        ...entry,
        alias,
      }));
    },
    remove: async (key) => {
      await refuseNewerVault(deps.folders);
      await removeIdentity(files, await readClosedIndex(files, memo), key);
    },
    open: () => {
      opening ??= open().catch((error: unknown) => {
        opening = null;
        throw error;
      });
      return opening;
    },
  };
}
