import { join } from 'node:path';
import { stat } from '../os/files.js';
import type { CodexHome } from './home.js';
import { readLoginFile } from './login-file.js';

/** `cli_auth_credentials_store` of Codex's config.toml. `auto`: the keyring, and the file where that fails. */
export type CredentialsStore = 'file' | 'keyring' | 'auto' | 'ephemeral';

/** What a home uses beside auth.json: a few small looks, at no secret. */
export interface OtherStores {
  readonly store: CredentialsStore;
  /** Age-encrypted files that are there, and large enough to hold a login. */
  readonly age: readonly string[];
}

export async function otherStores(home: CodexHome): Promise<OtherStores> {
  const age: string[] = [];
  for (const name of AGE_FILES) {
    const file = join(home.folder, 'secrets', name);
    if ((await sizeOf(file)) >= SMALLEST_WITH_LOGIN) age.push(file);
  }
  return { store: await credentialsStore(home), age };
}

/** The first is Codex's from 0.141 to 0.169 (facts of its binaries); one revision of its sources says the second. */
const AGE_FILES = ['codex_auth.age', 'cli_auth.age'];

/** Bytes. An empty store, as a logout leaves it, has 208 (Codex 0.169, measured); a login's tokens alone are over 1,000. */
const SMALLEST_WITH_LOGIN = 512;

/**
 * Where a Codex home keeps its login, from config.toml's top-level keys; `file` is Codex's own default (0.169). This is a
 * light reading of single lines, not a TOML parser, and knows neither `codex -c` nor a machine's managed configuration. A file
 * that cannot be read says nothing: it must not hide a login that can.
 */
export async function credentialsStore(home: CodexHome): Promise<CredentialsStore> {
  const config = await readLoginFile(join(home.folder, 'config.toml')).catch(() => null);
  for (const line of (config ?? '').split('\n')) {
    if (/^\s*\[/.test(line)) break;
    const [, , , found] =
      /^\s*(["']?)cli_auth_credentials_store\1\s*=\s*(["'])([a-z]+)\2\s*(?:#.*)?\r?$/.exec(line) ?? [];
    if (found !== undefined) return STORES.find((store) => store === found) ?? 'file';
  }
  return 'file';
}

const STORES: readonly CredentialsStore[] = ['file', 'keyring', 'auto', 'ephemeral'];

/** 0 for what is no file. */
async function sizeOf(path: string): Promise<number> {
  try {
    const found = await stat(path);
    return found.isFile() ? found.size : 0;
  } catch {
    return 0;
  }
}
