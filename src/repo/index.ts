import { basename, dirname } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { type IdentityKey, identityKey } from '../identity.js';
import { ioError, unlinkDurably, writeAtomic } from '../os/atomic.js';
import { readdir } from '../os/files.js';
import { type RepoFiles, recordName } from './files.js';
import { expectWritten, readTextOrNull } from './format.js';
import { type Index, parseIndex } from './index-format.js';
import type { IndexEntry, Standing } from './repo.js';

/** index.json as it was read; `text` is what a change must still find there. */
export interface IndexReading {
  /** Null when there is no file. */
  readonly index: Index | null;
  readonly text: string | null;
}

/** The index that was read or written last and its text: a command asks for it ten times over. */
export interface IndexMemo {
  last: { readonly text: string; readonly index: Index } | null;
}

/** @throws VAULT_DAMAGED, VAULT_NEWER, IO */
export async function readIndex(files: RepoFiles, memo: IndexMemo = { last: null }): Promise<IndexReading> {
  const text = await readTextOrNull(files.index);
  if (text === null) return { text, index: null };
  if (memo.last?.text !== text) memo.last = { text, index: parsed(text, files) };
  return { text, index: memo.last.index };
}

const CHECK = 'codex-router vault status --check';

function parsed(text: string, files: RepoFiles): Index {
  try {
    return parseIndex(text, files.index);
  } catch (error) {
    if (!isDamage(error)) throw error;
    throw new RouterError(error.code, error.message, { hint: CHECK, cause: error });
  }
}

function isDamage(error: unknown): error is RouterError {
  return error instanceof RouterError && error.code === 'VAULT_DAMAGED';
}

/**
 * Makes room for a new index where the present one cannot be read; it is kept as `index.json.damaged`. Returns whether it
 * did. The caller holds the router lock and rebuilds the index from the records.
 * @throws VAULT_NEWER, IO
 */
export async function setAsideDamagedIndex(files: RepoFiles): Promise<boolean> {
  try {
    await readIndex(files);
    return false;
  } catch (error) {
    if (!isDamage(error)) throw error;
  }
  await writeAtomic(`${files.index}.damaged`, (await readTextOrNull(files.index)) ?? '');
  await unlinkDurably(dirname(files.index), basename(files.index));
  return true;
}

/** As `readIndex` for who has no key: records without an index are not "no identities". @throws VAULT_DAMAGED */
export async function readClosedIndex(files: RepoFiles, memo: IndexMemo): Promise<IndexReading> {
  const reading = await readIndex(files, memo);
  if (reading.index !== null) return reading;
  const records = await recordNames(files);
  if (records.length === 0) return reading;
  throw new RouterError('VAULT_DAMAGED', `index.json is missing beside ${records.length} sealed identities`, {
    hint: CHECK,
  });
}

/** Whether a record lies there that `index` neither lists nor is removing. @throws IO */
export async function isBehind(files: RepoFiles, index: Index | null): Promise<boolean> {
  const listed = new Set(index?.identities.map(({ identity }) => recordName(identityKey(identity))));
  const records = await recordNames(files);
  return records.some((name) => !listed.has(name) && index?.removing[name] === undefined);
}

/** The names of the sealed records that exist; none when there is no folder. */
export async function recordNames(files: RepoFiles): Promise<readonly string[]> {
  try {
    return (await readdir(files.records)).filter((name) => /^[0-9a-f]{32}$/.test(name));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw ioError(error, files.records, 'read');
  }
}

/**
 * Replaces index.json durably and reads it back. The caller holds the router lock; should it not, a change made since
 * `was` was read is still not lost.
 * @param above a generation that the written index passes too.
 * @throws BUSY when the file is no longer `was`, IO
 */
export async function writeIndex(
  files: RepoFiles,
  index: Index,
  was: string | null,
  memo: IndexMemo = { last: null },
  above = 0,
): Promise<void> {
  const next = grown(index, above);
  const text = `${JSON.stringify(next, null, 1)}\n`;
  const beforeRename = async () => {
    if ((await readTextOrNull(files.index)) === was) return;
    throw new RouterError('BUSY', 'another codex-router changed the list of identities just now', {
      hint: 'run the command again',
    });
  };
  await writeAtomic(files.index, text, { beforeRename });
  await expectWritten(files.index, text);
  memo.last = { text, index: next };
}

function grown(index: Index, above: number): Index {
  const earlier = [...index.earlier, index.generation].slice(-REMEMBERED);
  return {
    ...index,
    generation: Math.max(index.generation, above) + 1 + Math.floor(Math.random() * STEP),
    earlier,
  };
}

/** How many writes of the index an owner file may lag behind. */
const REMEMBERED = 512;
/** Two copies of a vault meet by chance once in this many writes; 8,000 million steps of it fit into 2^53. */
const STEP = 1 << 20;

export function standingOf(index: Index | null): Standing | null {
  if (index === null) return null;
  const { vaultId, generation, earlier } = index;
  const oldest = earlier[0] ?? generation;
  return {
    vaultId,
    generation,
    // What lies before all that is remembered cannot be told, and is not later.
    hasBeenAt: (which) => which === generation || which < oldest || earlier.includes(which),
  };
}

export function entryOf(index: Index | null, key: IdentityKey): IndexEntry | null {
  return index?.identities.find((entry) => identityKey(entry.identity) === key) ?? null;
}

/** The index with `entry` in the place of the one of the same identity, else at the end. */
export function withEntry(index: Index, entry: IndexEntry): Index {
  const key = identityKey(entry.identity);
  const known = entryOf(index, key) !== null;
  const identities = known
    ? index.identities.map((old) => (identityKey(old.identity) === key ? entry : old))
    : [...index.identities, entry];
  return { ...index, identities };
}

export function withoutEntry(index: Index, key: IdentityKey): Index {
  return { ...index, identities: index.identities.filter((entry) => identityKey(entry.identity) !== key) };
}

export function identityNotFound(key: IdentityKey): RouterError {
  return new RouterError('IDENTITY_NOT_FOUND', `there is no stored identity ${key}`, {
    hint: 'codex-router list',
  });
}
