import { dirname, join } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import type { Holding } from '../holding.js';
import { type Identity, sameIdentity } from '../identity.js';
import { ioError, removeLeftovers, syncFolder, writeAtomic } from '../os/atomic.js';
import { stat, unlink } from '../os/files.js';
import { ensureFolder } from '../os/folders.js';
import { type CodexHome, codexHome, realFolder } from './home.js';
import { admitConfig } from './lend-config.js';
import { accessText, grantText, type LoginFile, parseLoginFile, sameLoginFile } from './lent-file.js';
import { type Flock, findFlock, withCodexLocks } from './locks.js';
import { linkTarget, readLiveFile } from './login-file.js';
import { type CodexSurroundings, codexLogins } from './logins.js';

export interface LendSurroundings extends CodexSurroundings {
  /** ms epoch */
  readonly now: () => number;
}

/** Codex homes as `lend` wants them: the router's port CodexHomes, which documents every member. */
export function codexHomes(around: LendSurroundings) {
  return {
    current: async () => {
      const home = await codexHome(around.env);
      return lendHome({ ...home, folder: await realFolder(home.folder) }, around);
    },
    at: async (folder: string) => {
      const env = { ...around.env, CODEX_HOME: folder };
      try {
        return lendHome(await codexHome(env), { ...around, env });
      } catch (error) {
        if (error instanceof RouterError && error.code === 'LOGIN_NOT_FOUND') return null;
        throw error;
      }
    },
  };
}

function lendHome({ folder, testIssuer }: CodexHome, around: LendSurroundings) {
  const { env, platform, uid, now } = around;
  const authJson = join(folder, 'auth.json');
  const read = async (): Promise<LoginFile> =>
    parseLoginFile(await readLiveFile(authJson), authJson, testIssuer);
  const flock = () => lendingFlock(env, platform);
  /** Under the locks: still what was read before. */
  const expect = async (was: LoginFile): Promise<void> => {
    if (!sameLoginFile(await read(), was)) throw changed(folder);
  };
  return {
    folder,
    logins: () => codexLogins({ ...around, env: { ...env, CODEX_HOME: folder } }).home(),
    read,
    admit: async (identity: Identity): Promise<void> => {
      await flock();
      await refuseForeign(folder, uid);
      await admitConfig(folder, identity);
    },
    make: () => ensureFolder(folder),
    put: async (holding: Holding, what: 'access' | 'grant', instead: LoginFile): Promise<void> => {
      const file = await targetOf(authJson);
      const text = what === 'access' ? accessText(holding, now()) : grantText(holding, now());
      await locked(await flock(), folder, file, async (stillHeld) => {
        await expect(instead);
        await writeAtomic(file, text, { beforeRename: stillHeld });
      });
      // A Codex that runs may have refreshed a login already.
      const there = await read();
      const who =
        there.kind === 'login' ? there.holding.identity : there.kind === 'lent' ? there.identity : null;
      const isIt = there.kind === (what === 'access' ? 'lent' : 'login');
      if (!isIt || who === null || !sameIdentity(who, holding.identity)) throw changed(folder);
    },
    clear: async (identity: Identity): Promise<boolean> => {
      const file = await targetOf(authJson);
      const cleared = await locked(await flock(), folder, file, async (stillHeld) => {
        // What a killed `put` left may hold the whole login.
        await removeLeftovers(file);
        const there = await read();
        if (there.kind !== 'lent' || !sameIdentity(there.identity, identity)) return false;
        await stillHeld();
        await remove(file);
        return true;
      });
      await syncFolder(dirname(file));
      return cleared;
    },
  };
}

/** The file that auth.json stands for: a link is followed on purpose, as Codex itself does (0.169, measured). */
async function targetOf(authJson: string): Promise<string> {
  const file = await linkTarget(authJson);
  if (file !== null) return file;
  throw new RouterError('IO', `${authJson} leads into a folder that does not exist`, {
    hint: 'mend that link, or lend to another CODEX_HOME',
  });
}

async function refuseForeign(folder: string, uid: number | null): Promise<void> {
  let owner: number;
  try {
    owner = (await stat(folder)).uid;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return;
    throw ioError(error, folder, 'read');
  }
  if (uid === null || owner === uid) return;
  throw new RouterError('HOST_FOREIGN_OWNER', `${folder} belongs to another user of this machine`, {
    hint: 'run codex-router as that user, without sudo',
  });
}

async function lendingFlock(env: LendSurroundings['env'], platform: NodeJS.Platform): Promise<Flock> {
  try {
    return await findFlock(env, platform);
  } catch (error) {
    if (!(error instanceof RouterError) || error.code !== 'PLATFORM_UNSUPPORTED') throw error;
    const message =
      "lending to Codex needs util-linux's flock and coreutils' timeout, which this machine has not";
    throw new RouterError('PLATFORM_UNSUPPORTED', message, {
      hint: 'log Codex in by itself: codex login --device-auth',
      cause: error,
    });
  }
}

/** As `withCodexLocks`, whose sentences end in a command of another verb. */
async function locked<T>(
  flock: Flock,
  folder: string,
  file: string,
  work: (stillHeld: () => Promise<void>) => Promise<T>,
): Promise<T> {
  try {
    return await withCodexLocks(flock, folder, file, work);
  } catch (error) {
    if (!(error instanceof RouterError) || !/codex-router import/.test(error.hint ?? '')) throw error;
    const hint = 'close that Codex, or wait until its turn has ended, then run the command again';
    throw new RouterError(error.code, error.message, { hint, cause: error });
  }
}

async function remove(file: string): Promise<void> {
  try {
    await unlink(file);
  } catch (error) {
    throw ioError(error, file, 'write');
  }
}

function changed(folder: string): RouterError {
  return new RouterError('SLOT_CHANGED', `the login in ${folder} was changed at the same moment`, {
    hint: 'run the command again',
  });
}
