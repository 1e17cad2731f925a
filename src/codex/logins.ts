import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import type { Env } from '../os/folders.js';
import { parseAuthJson } from './auth-json.js';
import { absentLogin, type CodexHome, type CodexLogin, codexHome, findLeftover, readLogin } from './home.js';
import { findFlock } from './locks.js';
import { LARGEST_LOGIN, linkTarget, readLoginFile } from './login-file.js';
import { admitTaking, readLeftover, resumeTaking, type Seal, takeLogin } from './take.js';

export interface CodexSurroundings {
  readonly env: Env;
  readonly platform: NodeJS.Platform;
  /** The effective user id; null where the platform has none. */
  readonly uid: number | null;
}

/** Codex's logins as `import` wants them: the router's port LoginSource, which documents every member. */
export function codexLogins(around: CodexSurroundings) {
  const testIssuer = around.env.CODEX_ROUTER_TEST_ISSUER || null;
  const parse = (text: string, where: string): Holding => parseAuthJson(text, where, testIssuer);
  return {
    largest: LARGEST_LOGIN,
    parse,
    home: async () => loginHome(await codexHome(around.env), around),
    readFile: async (path: string): Promise<Holding> => {
      const text = await readLoginFile(path);
      if (text !== null) return parse(text, path);
      throw new RouterError('LOGIN_NOT_FOUND', `there is no file ${path}`, {
        hint: 'codex-router import --from <file>',
      });
    },
  };
}

function loginHome(home: CodexHome, { env, platform, uid }: CodexSurroundings) {
  const present = async (): Promise<CodexLogin> => {
    const login = await readLogin(home);
    if (login === null) throw await absentLogin(home);
    return login;
  };
  return {
    folder: home.folder,
    isOwn: async (path: string): Promise<boolean> => {
      const [named, own] = await Promise.all([linkTarget(path), linkTarget(home.authJson)]);
      return named !== null && named === own;
    },
    read: async (): Promise<Holding | null> => (await readLogin(home))?.holding ?? null,
    absence: () => absentLogin(home),
    readLeftover: async (): Promise<Holding | null> => {
      const leftover = await findLeftover(home);
      return leftover === null ? null : readLeftover(home, leftover);
    },
    resume: async (seal: Seal): Promise<void> => {
      const leftover = await findLeftover(home);
      if (leftover !== null) await resumeTaking(home, leftover, seal);
    },
    admitTaking: async (): Promise<void> => {
      await findFlock(env, platform);
      await admitTaking(await present(), uid);
    },
    take: async (shown: Holding, seal: Seal): Promise<void> => {
      const login = { ...(await present()), holding: shown };
      const flock = await findFlock(env, platform);
      await admitTaking(login, uid);
      await takeLogin(home, login, flock, seal);
    },
  };
}
