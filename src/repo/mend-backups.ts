import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError, unlinkDurably, writeAtomic } from '../os/atomic.js';
import { readdir, rmdir } from '../os/files.js';
import { ensureFolder } from '../os/folders.js';
import { expectWritten, FORMAT_VERSION, parseVersioned, readTextOrNull } from './format.js';
import type { OpenRepo } from './repo.js';

/** What stood somewhere before a mend of `doctor --fix`, as it was sealed. */
export interface MendBackup {
  /** Eight hex digits, random. */
  readonly id: string;
  /** ms epoch */
  readonly at: number;
  /** What it was kept of; the caller's own format. */
  readonly text: string;
}

/** `mends/` in the data folder: sealed with the vault, 60 at most, none older than 30 days. */
export interface MendBackups {
  /** Sealed, written durably and proved when it returns its id. Under the router lock. @throws IO */
  keep(text: string): Promise<string>;
  /** @param id null for the newest. @throws BACKUP_NOT_FOUND, RECORD_DAMAGED, VAULT_NEWER, IO */
  open(id: string | null): Promise<MendBackup>;
  /** Forgets one that was taken back. Under the router lock. @throws IO */
  drop(id: string): Promise<void>;
}

type Sealer = Pick<OpenRepo, 'sealText' | 'unsealText'>;

const FOLDER = 'mends';
const NAME = /^(\d{13,16})-([0-9a-f]{8})\.json$/;
/** More than one `doctor --fix` makes, so that each of its mends can be taken back. */
const MOST = 60;
const LONGEST = 30 * 24 * 60 * 60 * 1000;
/** Beyond it nothing is kept, and so nothing is mended: it would be no part of a login's state. */
const BIGGEST = 16 * 1024 * 1024;

interface MendFile {
  readonly name: string;
  readonly at: number;
  readonly id: string;
}

/** @param now ms epoch */
export function mendBackupsIn(data: string, sealer: Sealer, now: () => number): MendBackups {
  const folder = join(data, FOLDER);

  async function files(): Promise<readonly MendFile[]> {
    try {
      const found = (await readdir(folder)).flatMap((name): MendFile[] => {
        const [, at, id = ''] = NAME.exec(name) ?? [];
        return at === undefined ? [] : [{ name, at: Number(at), id }];
      });
      return found.sort((a, b) => b.at - a.at || a.id.localeCompare(b.id));
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return [];
      throw ioError(error, folder, 'read');
    }
  }

  async function prune(fresh: string, at: number): Promise<void> {
    const others = (await files()).filter(({ name }) => name !== fresh);
    for (const [place, file] of others.entries()) {
      if (place >= MOST - 1 || file.at < at - LONGEST) await unlinkDurably(folder, file.name);
    }
  }

  async function openOne({ name, at, id }: MendFile): Promise<string> {
    const path = join(folder, name);
    const { nonce, sealed } = parseVersioned((await readTextOrNull(path)) ?? '', path, 'RECORD_DAMAGED');
    const isBox = typeof nonce === 'string' && typeof sealed === 'string';
    const text = isBox ? sealer.unsealText(purposeOf(id, at), { nonce, sealed }) : null;
    if (text !== null) return text;
    throw new RouterError('RECORD_DAMAGED', `the back-up ${id} was altered or belongs to another vault`, {
      hint: 'nothing was changed; codex-router doctor looks at what is there now',
    });
  }

  return {
    async keep(text) {
      if (text.length > BIGGEST) throw tooBig();
      const [id, at] = [randomBytes(4).toString('hex'), now()];
      const file = { name: `${at}-${id}.json`, at, id };
      const box = sealer.sealText(purposeOf(id, at), text);
      const sealed = `${JSON.stringify({ version: FORMAT_VERSION, ...box })}\n`;
      await ensureFolder(folder);
      await writeAtomic(join(folder, file.name), sealed);
      await expectWritten(join(folder, file.name), sealed);
      await openOne(file);
      await prune(file.name, at);
      return id;
    },
    async open(id) {
      const file = (await files()).find((one) => id === null || one.id === id);
      if (file !== undefined) return { id: file.id, at: file.at, text: await openOne(file) };
      const which = id === null ? 'no mend is left to take back' : `there is no mend ${id} to take back`;
      throw new RouterError('BACKUP_NOT_FOUND', which, {
        hint: id === null ? 'codex-router doctor' : 'codex-router doctor --undo takes the last one back',
      });
    },
    async drop(id) {
      for (const file of await files()) if (file.id === id) await unlinkDurably(folder, file.name);
      // Others may lie there.
      await rmdir(folder).catch(() => undefined);
    },
  };
}

/** Neither a record nor a text of another purpose opens as one of these, and none under another name. */
function purposeOf(id: string, at: number): string {
  return `mend|${at}|${id}`;
}

function tooBig(): RouterError {
  return new RouterError('IO', 'what would be changed is too big to be kept first', {
    hint: 'change it by hand; nothing was changed',
  });
}
