import { join } from 'node:path';
import * as z from 'zod/mini';
import { RouterError } from '../errors.js';
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
 * Where a Codex home keeps its login, from config.toml; `file` is Codex's own default (0.169). Neither `codex -c` nor a machine's
 * managed configuration is seen. A file that cannot be understood says nothing: it must not hide a login that can.
 */
export async function credentialsStore(home: CodexHome): Promise<CredentialsStore> {
  const text = await readLoginFile(configOf(home.folder)).catch(() => null);
  // Most name none, and to parse one costs a module.
  if (text === null || !text.includes(STORE_KEY)) return 'file';
  const found = (await parseConfig(text))?.[STORE_KEY];
  return STORES.find((store) => store === found) ?? 'file';
}

const STORE_KEY = 'cli_auth_credentials_store';

const STORES: readonly CredentialsStore[] = ['file', 'keyring', 'auto', 'ephemeral'];

/** The top-level keys that decide what Codex does with a login; each undefined where it is not set. */
const Config = z.object({
  [STORE_KEY]: z.optional(z.string()),
  forced_login_method: z.optional(z.string()),
  /** One workspace, or those that are allowed. */
  forced_chatgpt_workspace_id: z.optional(z.union([z.string(), z.array(z.string())])),
});

export type CodexConfig = z.infer<typeof Config>;

/** What config.toml says of logins; nothing where there is none. @throws IO when it cannot be read or is not what Codex reads */
export async function readConfig(folder: string): Promise<CodexConfig> {
  const path = configOf(folder);
  const config = await parseConfig((await readLoginFile(path)) ?? '');
  if (config !== null) return config;
  throw new RouterError('IO', `${path} cannot be understood: it is no TOML, or not of the kind Codex reads`, {
    hint: 'mend it: Codex itself does not start with it',
  });
}

function configOf(folder: string): string {
  return join(folder, 'config.toml');
}

async function parseConfig(text: string): Promise<CodexConfig | null> {
  const { parse } = await import('smol-toml');
  try {
    return Config.parse(parse(text));
  } catch {
    return null;
  }
}

/** 0 for what is no file. */
async function sizeOf(path: string): Promise<number> {
  try {
    const found = await stat(path);
    return found.isFile() ? found.size : 0;
  } catch {
    return 0;
  }
}
