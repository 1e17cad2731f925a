import type { Stats } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { systemErrorCode } from '../errors.js';
import { ioError, isTemporary, unlinkDurably } from '../os/atomic.js';
import { readdir, readFile } from '../os/files.js';
import type { FoundStore } from '../slot/host.js';
import type { ResidueFile } from '../slot/residue.js';
import type { HostTrouble } from '../slot/trouble.js';
import { shellWord } from '../text.js';
import { notAsFound, statAt } from './judged.js';
import { type FoundPlace, findResidue } from './residue.js';

/** ms for the look into archives; what it does not get to is told. */
const RESIDUE_MS = 1500;
/** ms; no write of ours takes as long, so a temporary file that old is a dead process'. */
const ABANDONED_MS = 10 * 60 * 1000;

/**
 * Stores that this release does not read and copies of its logins in the clear. None is touched: what to do with them is OpenClaw's
 * doctor's or the person's to say. Databases are not looked into: unused pages of theirs always keep something.
 * @param mover the command of this release that takes such stores over; null where none does
 */
export async function leftoverTroubles(
  found: FoundPlace,
  mover: string | null,
): Promise<readonly HostTrouble[]> {
  const residue = await findResidue(found, { files: 'all-but-databases', ms: RESIDUE_MS });
  const retired = found.stores.filter(({ state, holds }) => state === 'leftover' && holds === 'logins');
  const copies = residue.files.filter(({ path }) => !retired.some((store) => store.path === path));
  const troubles = retired.map((store) =>
    retiredTrouble(store, residue.files.find(({ path }) => path === store.path) ?? null, mover),
  );
  if (copies.length > 0) troubles.push(copiesTrouble(copies));
  return troubles;
}

function retiredTrouble({ path }: FoundStore, held: ResidueFile | null, mover: string | null): HostTrouble {
  const live = held?.logins.some((login) => login.live !== 'other') ?? false;
  const what = live
    ? ', and a login that is in use lies in it too'
    : held === null
      ? ''
      : ', and logins lie in it';
  return {
    code: 'STORE_LEFT',
    part: 'leftover',
    danger: live,
    text: `${path} is a store that this OpenClaw does not read${what}`,
    remedy: mover ?? `rm ${shellWord(path)}`,
    mend: null,
  };
}

function copiesTrouble(files: readonly ResidueFile[]): HostTrouble {
  const logins = files.reduce((sum, file) => sum + file.logins.length, 0);
  const live = files.some((file) => file.logins.some((login) => login.live !== 'other'));
  const [first] = files;
  const more = files.length > 1 ? ` and ${files.length - 1} more` : '';
  const open = files.some(({ readableByOthers }) => readableByOthers);
  const text = [
    `copies of ${logins} login(s) lie in the clear in ${first?.path}${more}`,
    ...(live ? ['one of them is in use now'] : []),
    ...(open ? ['other users may read some of them'] : []),
  ].join('; ');
  const remedy = 'codex-router host --residue';
  return { code: 'LOGIN_COPIES', part: 'leftover', danger: live && open, text, remedy, mend: null };
}

/** Temporary files of codex-router's own that a killed write has left in the host's folders; they can hold logins. */
export async function temporaryTroubles(folders: readonly string[]): Promise<readonly HostTrouble[]> {
  const troubles: HostTrouble[] = [];
  for (const folder of folders) {
    for (const name of await namesIn(folder)) {
      if (!isTemporary(name)) continue;
      const path = join(folder, name);
      const found = await statAt(path);
      if (found === null || !isAbandoned(found)) continue;
      troubles.push(temporaryTrouble(path, found));
    }
  }
  return troubles;
}

function temporaryTrouble(path: string, judged: Stats): HostTrouble {
  return {
    code: 'TEMPORARY_LEFT',
    part: 'leftover',
    danger: false,
    text: `${path} was left behind by a codex-router that was killed as it wrote, and can hold logins`,
    remedy: `rm ${shellWord(path)}`,
    mend: {
      does: `remove ${path}`,
      carryOut: async (keep) => {
        const found = await statAt(path);
        if (found?.ino !== judged.ino || found.mtimeMs !== judged.mtimeMs) throw notAsFound(path);
        const kept = await keep({ path, mode: found.mode & 0o777, bytes: await readFile(path) });
        await unlinkDurably(dirname(path), basename(path));
        return { text: `${path} was removed`, kept };
      },
    },
  };
}

function isAbandoned(found: Stats): boolean {
  return found.isFile() && Date.now() - found.mtimeMs > ABANDONED_MS;
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw ioError(error, folder, 'read');
  }
}
