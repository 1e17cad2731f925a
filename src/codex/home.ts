import { dirname, join, resolve } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import type { Holding } from '../holding.js';
import { ioError } from '../os/atomic.js';
import { realpath, stat } from '../os/files.js';
import { type Env, homeFolder } from '../os/folders.js';
import { otherCredentials, parseAuthJson } from './auth-json.js';
import { credentialsStore } from './config.js';
import { linkTarget, readLiveFile, readLoginFile } from './login-file.js';

/** A folder in which the Codex CLI keeps its state, and its one login. */
export interface CodexHome {
  readonly folder: string;
  /** `<folder>/auth.json`, which may be a symbolic link. */
  readonly authJson: string;
  /** See `parseIssuer`; null outside tests. */
  readonly testIssuer: string | null;
}

/** The login in a Codex home. */
export interface CodexLogin {
  readonly holding: Holding;
  /** The file that holds it, symbolic links resolved. */
  readonly file: string;
  /** Credentials of other kinds in the same file, in words: taking the file away would destroy them. */
  readonly alsoHolds: readonly string[];
}

/** Where an interrupted import left a login, in the folder of the real auth.json. */
export const TAKING = '.auth.json.codex-router-taking';

/**
 * `$CODEX_HOME`, else `~/.codex`, which need not exist.
 * @throws LOGIN_NOT_FOUND when the variable names no folder, as Codex itself refuses to start then (0.169, measured).
 */
export async function codexHome(env: Env): Promise<CodexHome> {
  const named = env.CODEX_HOME || null;
  const folder = named === null ? join(homeFolder(env), '.codex') : resolve(named);
  if (named !== null && !(await isFolder(folder))) {
    throw new RouterError('LOGIN_NOT_FOUND', `CODEX_HOME is ${folder}, which is not a folder`, {
      hint: 'unset CODEX_HOME, or name the folder that holds auth.json',
    });
  }
  return { folder, authJson: join(folder, 'auth.json'), testIssuer: env.CODEX_ROUTER_TEST_ISSUER || null };
}

/**
 * The login of a Codex home, read without a lock; a torn read is retried for about a second. Null when there is no
 * auth.json: `absentLogin` says why.
 * @throws as `parseAuthJson` and `readLoginFile`.
 */
export async function readLogin(home: CodexHome): Promise<CodexLogin | null> {
  const text = await readLiveFile(home.authJson);
  const file = await linkTarget(home.authJson);
  if (text === null || file === null) return null;
  return {
    holding: parseAuthJson(text, home.authJson, home.testIssuer),
    file,
    alsoHolds: otherCredentials(text),
  };
}

/** The file in which an interrupted import left a login of this home; null when there is none. Nothing in it is parsed. */
export async function findLeftover(home: CodexHome): Promise<string | null> {
  const file = await linkTarget(home.authJson);
  if (file === null) return null;
  const leftover = join(dirname(file), TAKING);
  return (await readLoginFile(leftover)) === null ? null : leftover;
}

/** Why a home in whose stores there is no login has none. */
export async function absentLogin(home: CodexHome): Promise<RouterError> {
  const store = await credentialsStore(home);
  const where = store === 'keyring' || store === 'auto' ? ', nor in the system keyring' : '';
  const why = store === 'ephemeral' ? ': Codex keeps it in memory only' : where;
  return new RouterError('LOGIN_NOT_FOUND', `there is no login in ${home.folder}${why}`, {
    hint: 'codex-router login, or codex login --device-auth and then codex-router import',
  });
}

/** A Codex home with its symbolic links resolved; one that does not exist yet is where it will be made. @throws IO */
export async function realFolder(folder: string): Promise<string> {
  try {
    return await realpath(folder);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw ioError(error, folder, 'read');
    return (await linkTarget(folder)) ?? folder;
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    const known = ioError(error, path, 'read');
    if (known instanceof RouterError) return false;
    throw error;
  }
}
