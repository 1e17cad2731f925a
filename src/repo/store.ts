import { changeEntry, removeIdentity } from './closed.js';
import { repoFiles } from './files.js';
import { type IndexMemo, readClosedIndex } from './index.js';
import type { KeyKind } from './key-kind.js';
import type { OpenedDeps } from './opened.js';
import type { OpenRepo, Repo } from './repo.js';
import type { VaultDeps } from './vault.js';

export interface RepoDeps extends VaultDeps {
  /** How `open()` makes the vault when there is none; null for a command that stores nothing: VAULT_MISSING. */
  readonly firstRun: FirstRun | null;
}

/** A first run: the person, or the script, decides where the key lives; codex-router never does so silently. */
export interface FirstRun {
  /** `--key`; null: CODEX_ROUTER_KEY, else the keychain if it works, else the question. */
  readonly key: KeyKind | null;
  /** Returns one of `choices`' values. Called on a terminal only. */
  readonly ask: (question: string, choices: readonly Choice[]) => Promise<string>;
}

export interface Choice {
  readonly value: string;
  readonly label: string;
}

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
    setAlias: async (key, alias) =>
      changeEntry(files, memo, await readClosedIndex(files, memo), key, (entry) => ({ ...entry, alias })),
    remove: async (key) => removeIdentity(files, await readClosedIndex(files, memo), key),
    open: () => {
      opening ??= open().catch((error: unknown) => {
        opening = null;
        throw error;
      });
      return opening;
    },
  };
}
