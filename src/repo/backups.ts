import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { systemErrorCode } from '../errors.js';
import { ioError, unlinkDurably, writeAtomic } from '../os/atomic.js';
import { readdir } from '../os/files.js';
import { ensureFolder } from '../os/folders.js';

const MOST = 20;
const LONGEST = 30 * 24 * 60 * 60 * 1000;
/** `<ms epoch>-<record name>-<random>`: sorts by time, tells whose it is as little as a record does. */
const NAME = /^(\d{13,16})-([0-9a-f]{32})-[0-9a-f]{8}$/;

/** Writes a sealed back-up, then deletes what is older than 30 days or beyond the newest 20. Returns its path. @throws IO */
export async function writeBackup(folder: string, name: string, at: number, text: string): Promise<string> {
  await ensureFolder(folder);
  const path = join(folder, `${at}-${name}-${randomBytes(4).toString('hex')}`);
  await writeAtomic(path, text);
  await pruneBackups(folder, at);
  return path;
}

/** Deletes the back-ups of one identity: who removes a login does not want copies of it kept. */
export async function removeBackups(folder: string, name: string): Promise<void> {
  for (const file of await backupNames(folder)) {
    if (NAME.exec(file)?.[2] === name) await unlinkDurably(folder, file);
  }
}

async function pruneBackups(folder: string, now: number): Promise<void> {
  const newestFirst = (await backupNames(folder)).sort((a, b) => madeAt(b) - madeAt(a));
  for (const [place, file] of newestFirst.entries()) {
    if (place >= MOST || madeAt(file) < now - LONGEST) await unlinkDurably(folder, file);
  }
}

async function backupNames(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => NAME.test(name));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw ioError(error, folder, 'read');
  }
}

function madeAt(file: string): number {
  return Number(NAME.exec(file)?.[1]);
}
