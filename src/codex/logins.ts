import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import type { Env } from '../os/folders.js';
import { parseAuthJson } from './auth-json.js';
import { otherStores } from './config.js';
import {
  absentLogin,
  type CodexHome,
  type CodexLogin,
  codexHome,
  findLeftover,
  readLogin,
  realFolder,
} from './home.js';
import { findFlock } from './locks.js';
import { decodeLogin, LARGEST_LOGIN, linkTarget, readBytes } from './login-file.js';
import { admitTaking, readLeftover, resumeTaking, type Seal, takeLogin } from './take.js';

export interface CodexSurroundings {
  readonly env: Env;
  readonly platform: NodeJS.Platform;
  /** The effective user id; null where the platform has none. */
  readonly uid: number | null;
  /** Whether a person can answer a keyring's own prompt; left out: nobody can. */
  readonly isTerminal?: boolean;
}

/** In which of Codex's stores to look: auth.json, the system keyring, the age-encrypted file. */
export type Store = 'file' | 'keyring' | 'age';

/** Codex's logins as `import` wants them: the router's port LoginSource, which documents every member. */
export function codexLogins(around: CodexSurroundings) {
  const testIssuer = around.env.CODEX_ROUTER_TEST_ISSUER || null;
  return {
    largest: LARGEST_LOGIN,
    parse: (bytes: Uint8Array, where: string): Holding =>
      parseAuthJson(decodeLogin(bytes, where), where, testIssuer),
    home: async (store?: Store) => {
      const home = await codexHome(around.env);
      // As a lending names it, so that the two can be told to be one.
      return loginHome({ ...home, folder: await realFolder(home.folder) }, around, store ?? null);
    },
    readFile: async (path: string, limit: number): Promise<Uint8Array> => {
      const bytes = await readBytes(path, limit);
      if (bytes !== null) return bytes;
      throw new RouterError('LOGIN_NOT_FOUND', `there is no file ${path}`, {
        hint: 'codex-router import --from <file>',
      });
    },
  };
}

/** One of the stores in which a home's login may lie. */
export interface LoginPlace {
  /** Null when it holds no login. */
  read(): Promise<Holding | null>;
  admitTaking(): Promise<void>;
  take(shown: Holding, seal: Seal): Promise<void>;
  /** Codex goes on with its next store when this one fails (`auto`). */
  readonly mayFail: boolean;
}

function loginHome(home: CodexHome, around: CodexSurroundings, store: Store | null) {
  let found: Promise<readonly LoginPlace[]> | null = null;
  const current = async (): Promise<{ place: LoginPlace; login: Holding } | null> => {
    found ??= placesOf(home, around, store);
    let trouble: unknown = null;
    for (const place of await found) {
      try {
        const login = await place.read();
        if (login !== null) return { place, login };
      } catch (error) {
        if (!place.mayFail) throw error;
        // A keyring that is not there at all holds nothing for who looks for that alone.
        if (store === null || !isNowhere(error)) trouble ??= error;
      }
    }
    if (trouble !== null) throw trouble;
    return null;
  };
  const present = async (): Promise<LoginPlace> => {
    const place = (await current())?.place ?? null;
    if (place === null) throw await absentLogin(home);
    return place;
  };
  return {
    folder: home.folder,
    isOwn: async (path: string): Promise<boolean> => {
      const [named, own] = await Promise.all([linkTarget(path), linkTarget(home.authJson)]);
      return named !== null && named === own;
    },
    read: async (): Promise<Holding | null> => (await current())?.login ?? null,
    absence: () => absentLogin(home),
    readLeftover: async (): Promise<Holding | null> => {
      const leftover = await findLeftover(home);
      return leftover === null ? null : readLeftover(home, leftover);
    },
    resume: async (seal: Seal): Promise<void> => {
      const leftover = await findLeftover(home);
      if (leftover !== null) await resumeTaking(home, leftover, seal);
    },
    admitTaking: async (): Promise<void> => (await present()).admitTaking(),
    take: async (shown: Holding, seal: Seal): Promise<void> => (await present()).take(shown, seal),
  };
}

/** In the order in which Codex itself looks; a file that it would not read comes last. */
async function placesOf(
  home: CodexHome,
  around: CodexSurroundings,
  only: Store | null,
): Promise<readonly LoginPlace[]> {
  const file = filePlace(home, around);
  if (only === 'file') return [file];
  const { store, age } = await otherStores(home);
  const usesKeyring = store === 'keyring' || store === 'auto';
  const wantsKeyring = usesKeyring && only !== 'age';
  const wantsAge = age.length > 0 && only !== 'keyring';
  const secrets: LoginPlace[] = [];
  if (wantsKeyring || wantsAge) {
    const { secretPlaces } = await import('./take-secret.js');
    const wanted = { keyring: wantsKeyring, age: wantsAge ? age : [] };
    secrets.push(...secretPlaces(home, around, wanted, store === 'auto'));
  }
  if (only !== null) return secrets;
  return usesKeyring ? [...secrets, file] : [file, ...secrets];
}

function filePlace(home: CodexHome, { env, platform, uid }: CodexSurroundings): LoginPlace {
  const present = async (): Promise<CodexLogin> => {
    const login = await readLogin(home);
    if (login === null) throw await absentLogin(home);
    return login;
  };
  return {
    mayFail: false,
    read: async () => (await readLogin(home))?.holding ?? null,
    admitTaking: async () => {
      await findFlock(env, platform);
      await admitTaking(await present(), uid);
    },
    take: async (shown, seal) => {
      const login = { ...(await present()), holding: shown };
      const flock = await findFlock(env, platform);
      await admitTaking(login, uid);
      await takeLogin(home, login, flock, seal);
    },
  };
}

function isNowhere(error: unknown): boolean {
  const code = error instanceof RouterError ? error.code : '';
  return code === 'KEYCHAIN_NO_BUS' || code === 'KEYCHAIN_NO_SERVICE';
}
