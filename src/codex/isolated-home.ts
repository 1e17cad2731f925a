import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import type { Holding } from '../holding.js';
import { ioError, syncFolder, unlinkDurably, writeAtomic, writeNew } from '../os/atomic.js';
import { mkdir, readdir } from '../os/files.js';
import { ensureFolder, refuseForeignFolder } from '../os/folders.js';
import { parseAuthJson } from './auth-json.js';
import { homeName, isHomeName } from './isolated-use.js';
import { readLoginFile } from './login-file.js';

/** What a person asked for who runs `add`. */
export interface Wanted {
  readonly alias: string | null;
  readonly expect: string | null;
}

/** What lies in a throw-away home. */
export interface Contents {
  readonly wanted: Wanted;
  readonly holding: Holding | null;
  /** Why something that may be a login is not understood; null when there is nothing such. */
  readonly trouble: string | null;
}

/** Not Codex's: what the `add` was asked for. */
const WANTED = 'codex-router-add.json';
/** Nor is this. */
const ELSEWHERE = 'codex-router-elsewhere';

/**
 * The login has to come to rest in the home itself: with another store it would lie in the person's keyring after the home is gone. The
 * rest is switched off because a login needs none of it.
 */
const CONFIG = `cli_auth_credentials_store = "file"
check_for_update_on_startup = false
[analytics]
enabled = false
[features]
secret_auth_storage = false
plugins = false
apps = false
`;

/** The folder of all of them, in our data folder. */
export function homesIn(data: string): string {
  return join(data, 'codex-homes');
}

/** Makes a home, 0700 from birth and durable, that holds no login. @throws VAULT_PERMISSIONS, IO */
export async function makeHome(data: string, wanted: Wanted): Promise<string> {
  await refuseForeignFolder(data);
  const homes = homesIn(data);
  await ensureFolder(homes);
  const folder = join(homes, homeName());
  try {
    await mkdir(folder, { recursive: false, mode: 0o700 });
    await writeNew(join(folder, WANTED), JSON.stringify(wanted));
    await writeNew(join(folder, 'config.toml'), CONFIG);
  } catch (error) {
    throw ioError(error, folder, 'write');
  }
  await syncFolder(folder);
  await syncFolder(homes);
  return folder;
}

/** Every home that is there, by when it was made as far as names tell. An absent folder holds none. @throws IO */
export async function listHomes(data: string): Promise<readonly string[]> {
  const homes = homesIn(data);
  try {
    return (await readdir(homes)).filter(isHomeName).map((name) => join(homes, name));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw ioError(error, homes, 'read');
  }
}

/** @throws IO when the folder itself cannot be read */
export async function readHome(folder: string, testIssuer: string | null): Promise<Contents> {
  const wanted = parseWanted(await readLoginFile(join(folder, WANTED)).catch(() => null));
  let trouble: string | null = null;
  for (const name of await loginNames(folder)) {
    const path = join(folder, name);
    try {
      const text = await readLoginFile(path);
      // Codex was ended before it had written anything into its temporary file.
      if (text === null || (text === '' && name !== AUTH)) continue;
      return { wanted, holding: parseAuthJson(text, path, testIssuer), trouble: null };
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      trouble ??= error.message;
    }
  }
  if (trouble === null && existsSync(join(folder, ELSEWHERE))) {
    trouble = `Codex said that it made one, but left no file: CODEX_HOME=${folder} codex-router import --take looks for it in the keyring; then remove that folder`;
  }
  return { wanted, holding: null, trouble };
}

/**
 * Marks a home whose Codex has ended well without a file: an administrator's configuration (/etc/codex/managed_config.toml, measured with
 * 0.169) goes before ours, and may send logins to the keyring, where they are found by the name of the home alone.
 */
export async function markElsewhere(folder: string): Promise<void> {
  try {
    await writeNew(join(folder, ELSEWHERE), '');
    // For whoever looks there next: our own pin was not heeded.
    await writeAtomic(join(folder, 'config.toml'), 'cli_auth_credentials_store = "auto"\n');
  } catch (error) {
    throw ioError(error, folder, 'write');
  }
}

/**
 * Deletes the login, and what Codex had written of it beside it, durably; then the rest. Killed in between, it leaves a home without
 * a login. The issuer is told nothing: `codex logout` would revoke what was just stored.
 * @throws IO
 */
export async function removeHome(folder: string): Promise<void> {
  try {
    for (const name of await loginNames(folder)) await unlinkDurably(folder, name);
    // Links in it are removed, not followed.
    rmSync(folder, { recursive: true, force: true });
  } catch (error) {
    throw ioError(error, folder, 'write');
  }
}

const AUTH = 'auth.json';

/** auth.json, then the temporary files that Codex renames to it (`.auth-XXXXXX`, 0.169). */
async function loginNames(folder: string): Promise<readonly string[]> {
  try {
    const names = await readdir(folder);
    return [...names.filter((name) => name === AUTH), ...names.filter((name) => name.startsWith('.auth-'))];
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw ioError(error, folder, 'read');
  }
}

/** A torn one was written before Codex was started, so there is no login beside it. */
function parseWanted(text: string | null): Wanted {
  const none = { alias: null, expect: null };
  let value: unknown;
  try {
    value = JSON.parse(text ?? 'null');
  } catch {
    return none;
  }
  if (typeof value !== 'object' || value === null) return none;
  const alias = 'alias' in value && typeof value.alias === 'string' ? value.alias : null;
  const expect = 'expect' in value && typeof value.expect === 'string' ? value.expect : null;
  return { alias, expect };
}
