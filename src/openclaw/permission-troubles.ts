import { constants, type Stats } from 'node:fs';
import { dirname } from 'node:path';
import { ioError } from '../os/atomic.js';
import { open } from '../os/files.js';
import type { FileAsFound, HostTrouble } from '../slot/trouble.js';
import { shellWord } from '../text.js';
import { notAsFound, statAt } from './judged.js';

/** A file or folder of a host and what it should be. */
export interface Guarded {
  readonly path: string;
  readonly kind: 'logins' | 'file' | 'folder';
}

const OTHERS = 0o077;
const WRITABLE = 0o022;

/**
 * Files with logins, and folders of agents, that group or others may read, or that belong to somebody else; a state directory that others
 * may write to. OpenClaw makes them 0600 and 0700 (3.28 to 9.6). Windows has no such bits.
 * @param uid our own user id; null where the platform has none: then nothing is found.
 */
export async function permissionTroubles(
  stateDir: string,
  guarded: readonly Guarded[],
  uid: number | null,
): Promise<readonly HostTrouble[]> {
  if (uid === null) return [];
  const troubles: HostTrouble[] = [];
  const root = await statAt(stateDir);
  if (root !== null && (root.mode & WRITABLE) !== 0) troubles.push(writable(stateDir, root));
  const present: (Guarded & { readonly found: Stats })[] = [];
  for (const each of guarded) {
    const found = await statAt(each.path);
    if (found !== null) present.push({ ...each, found });
  }
  for (const { found, ...each } of present) {
    // Who may only list a folder of private files learns nothing; but a file that is open is reached through it.
    if (each.kind === 'folder' && (found.mode & WRITABLE) === 0 && !present.some(isOpenIn(each.path)))
      continue;
    const trouble = await troubleAt(each, found, uid, stateDir);
    if (trouble !== null) troubles.push(trouble);
  }
  return troubles;
}

function isOpenIn(folder: string) {
  return ({ path, found }: Guarded & { readonly found: Stats }) =>
    dirname(path) === folder && found.isFile() && (found.mode & OTHERS) !== 0;
}

async function troubleAt(
  { path, kind }: Guarded,
  found: Stats,
  uid: number,
  stateDir: string,
): Promise<HostTrouble | null> {
  const common = { part: 'permissions', mend: null } as const;
  if (found.isSymbolicLink()) {
    const text = `${path} is a link: what it leads to was not looked at, and a switch writes there`;
    return { ...common, code: 'FILE_LINKED', danger: false, text, remedy: null };
  }
  if (found.uid !== uid) {
    const text = `${path} belongs to another user (uid ${found.uid}), so neither OpenClaw nor codex-router can replace it as you`;
    const remedy = `sudo chown ${uid} ${shellWord(path)}`;
    return { ...common, code: 'FILE_FOREIGN', danger: false, text, remedy };
  }
  if ((found.mode & OTHERS) === 0) return null;
  if (kind === 'folder' ? !found.isDirectory() : !found.isFile()) return null;
  const reached = await isReached(path, found.mode & OTHERS, stateDir);
  const what = kind === 'logins' ? ', and OpenClaw keeps logins in it' : '';
  return {
    code: 'FILE_OPEN',
    part: 'permissions',
    danger: kind === 'logins' && reached,
    text: `${path} is open to other users (mode ${octal(found.mode)})${what}${reached ? '' : '; a folder above it keeps them out'}`,
    remedy: `chmod ${octal(narrowed(found))} ${shellWord(path)}`,
    // What is changed under this name is changed under the other one too, which may be anybody's.
    mend: kind !== 'folder' && found.nlink > 1 ? null : narrowing(path, found, narrowed(found)),
  };
}

/** What group and others may do is cleared; what the owner may stays. */
function narrowed({ mode }: Stats): number {
  return mode & 0o7777 & ~OTHERS;
}

function writable(path: string, found: Stats): HostTrouble {
  const mode = found.mode & 0o7777 & ~WRITABLE;
  return {
    code: 'FILE_OPEN',
    part: 'permissions',
    danger: true,
    text: `other users may write to the state directory ${path} (mode ${octal(found.mode)}), and so replace what lies in it`,
    remedy: `chmod ${octal(mode)} ${shellWord(path)}`,
    mend: narrowing(path, found, mode),
  };
}

/** Whether those whom `bits` let in can get through the folders between: the state directory's own are the last that are asked. */
async function isReached(path: string, bits: number, stateDir: string): Promise<boolean> {
  let open = (bits & 0o070 ? 0o010 : 0) | (bits & 0o007 ? 0o001 : 0);
  for (let folder = dirname(path); open !== 0; folder = dirname(folder)) {
    const found = await statAt(folder);
    if (found === null) return true;
    open &= found.mode;
    if (folder === stateDir || dirname(folder) === folder) break;
  }
  return open !== 0;
}

function narrowing(path: string, judged: Stats, mode: number): HostTrouble['mend'] {
  return {
    does: `give ${path} the mode ${octal(mode)}`,
    carryOut: async (keep: (before: FileAsFound) => Promise<string>) => {
      const handle = await openSame(path, judged);
      try {
        const kept = await keep({ path, mode: judged.mode & 0o7777, bytes: null, nextMode: mode });
        await handle.chmod(mode);
        return { text: `${path} has the mode ${octal(mode)} now, it had ${octal(judged.mode)}`, kept };
      } catch (error) {
        throw ioError(error, path, 'write');
      } finally {
        await handle.close();
      }
    },
  };
}

/** Opened without following a link, so that what is changed is what was judged. */
async function openSame(path: string, judged: Stats) {
  const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0);
  const handle = await opened(path, flags);
  const found = await handle.stat();
  if (
    found.ino === judged.ino &&
    found.dev === judged.dev &&
    found.uid === judged.uid &&
    found.mode === judged.mode
  )
    return handle;
  await handle.close();
  throw notAsFound(path);
}

async function opened(path: string, flags: number) {
  try {
    return await open(path, flags);
  } catch (error) {
    throw ioError(error, path, 'write');
  }
}

function octal(mode: number): string {
  return `0${(mode & 0o777).toString(8).padStart(3, '0')}`;
}
