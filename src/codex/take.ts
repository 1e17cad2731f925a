import { dirname, join } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import type { Holding } from '../holding.js';
import { sameIdentity } from '../identity.js';
import { ioError, syncFolder } from '../os/atomic.js';
import { link, lstat, rename, stat, unlink } from '../os/files.js';
import { otherCredentials, parseAuthJson } from './auth-json.js';
import { type CodexHome, type CodexLogin, TAKING } from './home.js';
import { type Flock, withCodexLocks } from './locks.js';
import { readLiveFile } from './login-file.js';

/** Stores a login durably and proves that it can be read back; throws when it could not, and then nothing is removed. */
export type Seal = (holding: Holding) => Promise<void>;

/** What can be said without writing against taking this login; throws it. */
export async function admitTaking(
  login: Pick<CodexLogin, 'alsoHolds'> & { readonly file: string | null; readonly name?: string },
  uid: number | null,
): Promise<void> {
  if (login.alsoHolds.length > 0) {
    throw new RouterError(
      'CHOICE_NEEDED',
      `${login.name ?? login.file} also holds ${login.alsoHolds.join(' and ')}, which taking the login away would destroy`,
      { hint: 'save that elsewhere and take it out of there, or codex-router import --keep' },
    );
  }
  if (login.file === null || uid === null) return;
  const owner = await ownerOf(login.file);
  if (owner !== uid) {
    throw new RouterError('HOST_FOREIGN_OWNER', `${login.file} belongs to another user of this machine`, {
      hint: 'run codex-router as that user, without sudo',
    });
  }
}

/**
 * Moves a login out of its Codex home: under Codex's own locks the file is renamed beside itself; then it is sealed; only
 * then is it removed. A crash in between leaves the renamed file for `resumeTaking`. The login is never in no place, and
 * when this returns no plaintext of it is left.
 *
 * Not prevented: a Codex that is waiting for a refresh's answer at this very moment drops the rotated token when it finds
 * no auth.json (0.169, measured). An idle running one never refreshes again without the file (0.169, measured).
 * @param login what the person was shown; `seal` gets what the file really held when it was taken, of the same identity.
 * @throws SLOT_CHANGED another identity or no login is there now; nothing was taken.
 * @throws HOST_BUSY nothing was taken.
 * @throws what `seal` throws, saying where the login is now: put back, unless Codex has a new one by then.
 */
export async function takeLogin(home: CodexHome, login: CodexLogin, flock: Flock, seal: Seal): Promise<void> {
  const taken = join(dirname(login.file), TAKING);
  await withCodexLocks(flock, home.folder, login.file, async (stillHeld) => {
    await expectStill(home, login, login.file);
    if (await exists(taken)) throw changed(`another import is taking the login of ${home.folder}`);
    await stillHeld();
    await move(login.file, taken);
  });
  try {
    await syncFolder(dirname(taken));
    // Read from the renamed file: a Codex without locks (through 0.163) may have written between the look and the rename.
    const text = await expectStill(home, login, taken);
    await seal(parseAuthJson(text, taken, home.testIssuer));
    if ((await readLiveFile(taken)) !== text) throw changed(`the login changed while it was being sealed`);
  } catch (error) {
    throw withAddition(error, await putBack(home, login.file, taken, flock));
  }
  await remove(taken);
}

/**
 * Finishes what a crash interrupted: seals the login in a left-over file and removes the file.
 * @param leftover as `findLeftover` gives it.
 */
export async function resumeTaking(home: CodexHome, leftover: string, seal: Seal): Promise<void> {
  await seal(await readLeftover(home, leftover));
  await remove(leftover);
}

/** @throws as `parseAuthJson`; the file stays. */
export async function readLeftover(home: CodexHome, leftover: string): Promise<Holding> {
  return parseAuthJson((await readLiveFile(leftover)) ?? '', leftover, home.testIssuer);
}

/** The text of `file`, proved to be the login the person was shown, rotated at most. */
async function expectStill(home: CodexHome, login: CodexLogin, file: string): Promise<string> {
  const text = await readLiveFile(file);
  if (text === null) throw changed(`the login of ${home.folder} is no longer there`);
  const now = parseAuthJson(text, file, home.testIssuer);
  if (!sameIdentity(now.identity, login.holding.identity) || otherCredentials(text).length > 0) {
    throw changed(`${home.folder} has another login now`);
  }
  return text;
}

/** Where the login is after all, in words. Never overwrites a login that appeared meanwhile. */
async function putBack(home: CodexHome, file: string, taken: string, flock: Flock): Promise<string> {
  try {
    await withCodexLocks(flock, home.folder, file, async () => {
      try {
        await link(taken, file);
      } catch (error) {
        if (systemErrorCode(error) === 'EEXIST' || (await exists(file))) throw error;
        await move(taken, file); // a file system without hard links
        return;
      }
      await unlink(taken);
    });
    await syncFolder(dirname(file));
    return `the login was put back in ${file}`;
  } catch {
    return `the login waits in ${taken}, where the next codex-router import finds it`;
  }
}

async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    throw ioError(error, from, 'write');
  }
}

async function remove(path: string): Promise<void> {
  try {
    await unlink(path);
    await syncFolder(dirname(path));
  } catch (error) {
    throw withAddition(
      ioError(error, path, 'write'),
      'the login is sealed, but its file could not be removed',
    );
  }
}

async function ownerOf(path: string): Promise<number> {
  try {
    return (await stat(path)).uid;
  } catch (error) {
    throw ioError(error, path, 'read');
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw ioError(error, path, 'read');
  }
}

function changed(message: string): RouterError {
  return new RouterError('SLOT_CHANGED', message, { hint: 'codex-router import' });
}

function withAddition(error: unknown, addition: string): unknown {
  if (!(error instanceof RouterError)) {
    return new RouterError('BUG', `importing failed unexpectedly; ${addition}`, { cause: error });
  }
  return new RouterError(error.code, `${error.message}; ${addition}`, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.candidates === undefined ? {} : { candidates: error.candidates }),
    cause: error,
  });
}
