import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { systemErrorCode } from '../errors.js';
import { ioError, unlinkDurably, writeAtomic } from '../os/atomic.js';
import { readdir } from '../os/files.js';
import { ensureFolder } from '../os/folders.js';

const MOST = 20;
const LONGEST = 30 * 24 * 60 * 60 * 1000;
/** `<ms epoch>-<record name>-<id>`: sorts by time, tells whose it is as little as a record does. */
const NAME = /^(\d{13,16})-([0-9a-f]{32})-([0-9a-f]{8})$/;

/** What a back-up's file name says; nothing else of it is known yet. */
export interface BackupFile {
  readonly path: string;
  /** Eight hex digits, random. */
  readonly id: string;
  /** ms epoch */
  readonly at: number;
  /** `recordName` of whose it is. */
  readonly record: string;
}

/**
 * Writes a sealed back-up, then deletes of the others what is older than 30 days or beyond the newest 20 of its identity. Returns its path.
 * @throws IO
 */
export async function writeBackup(folder: string, name: string, at: number, text: string): Promise<string> {
  await ensureFolder(folder);
  const file = `${at}-${name}-${randomBytes(4).toString('hex')}`;
  await writeAtomic(join(folder, file), text);
  await pruneBackups(folder, name, at, file);
  return join(folder, file);
}

/** Deletes the back-ups of one identity: who removes a login does not want copies of it kept. */
export async function removeBackups(folder: string, name: string): Promise<void> {
  for (const file of await backupNames(folder)) {
    if (recordOf(file) === name) await unlinkDurably(folder, file);
  }
}

/** The back-ups in `folder`, newest first; none when there is no folder. @throws IO */
export async function backupFiles(folder: string): Promise<readonly BackupFile[]> {
  const files = (await backupNames(folder)).map((file): BackupFile => {
    const [, at, record = '', id = ''] = NAME.exec(file) ?? [];
    return { path: join(folder, file), id, at: Number(at), record };
  });
  return files.sort((a, b) => b.at - a.at || a.id.localeCompare(b.id));
}

/** Those that the next back-up deletes: older than 30 days, or beyond the newest 20 of their identity. @param now ms epoch @throws IO */
export async function backupsPastKeeping(folder: string, now: number): Promise<readonly BackupFile[]> {
  const counted = new Map<string, number>();
  return (await backupFiles(folder)).filter(({ record, at }) => {
    const place = (counted.get(record) ?? 0) + 1;
    counted.set(record, place);
    return place > MOST || at < now - LONGEST;
  });
}

/** @param fresh is kept wherever a clock that went back has put it: it may hold the only copy. */
async function pruneBackups(folder: string, record: string, now: number, fresh: string): Promise<void> {
  const others = (await backupNames(folder)).filter((file) => file !== fresh);
  const newestFirst = others
    .filter((file) => recordOf(file) === record)
    .sort((a, b) => madeAt(b) - madeAt(a));
  const beyond = new Set(newestFirst.slice(MOST - 1));
  for (const file of others) {
    if (beyond.has(file) || madeAt(file) < now - LONGEST) await unlinkDurably(folder, file);
  }
}

async function backupNames(folder: string): Promise<string[]> {
  try {
    const found = await readdir(folder, { withFileTypes: true });
    // A folder of that name is none of ours, and could not be deleted as a file.
    return found.filter((entry) => NAME.test(entry.name) && !entry.isDirectory()).map(({ name }) => name);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw ioError(error, folder, 'read');
  }
}

function madeAt(file: string): number {
  return Number(NAME.exec(file)?.[1]);
}

function recordOf(file: string): string | null {
  return NAME.exec(file)?.[2] ?? null;
}
