import { join } from 'node:path';
import { RouterError } from '../errors.js';
import { identityKey } from '../identity.js';
import { type RepoFiles, recordName } from './files.js';
import { readTextOrNull } from './format.js';
import { readIndex, recordNames, setAsideDamagedIndex } from './index.js';
import type { Index } from './index-format.js';
import { parseHeader } from './record.js';
import type { IndexEntry, Mending, OpenRepo } from './repo.js';

/** How the index and the sealed records fit together, as far as can be told without the key, and with it where there is one. */
export interface RecordLook {
  /** Why index.json cannot be used; null when it can, or is not there. */
  readonly damage: RouterError | null;
  /** Sealed records beside no index at all; 0 where there is one. */
  readonly withoutIndex: number;
  /** File names of records that no entry lists and that are not being removed. `opens`: null without the key. */
  readonly unlisted: readonly { readonly name: string; readonly opens: boolean | null }[];
  /** Records that say they are later than their entry. */
  readonly ahead: readonly IndexEntry[];
  /** Records whose removal did not end. */
  readonly removing: number;
  /** Entries whose record is not there. */
  readonly missing: readonly IndexEntry[];
  /** Entries whose record cannot be used, and why. */
  readonly damaged: readonly { readonly entry: IndexEntry; readonly error: RouterError }[];
}

/** Reads every record; writes nothing. @param repo null without the key. @throws IO */
export async function lookAtRecords(
  files: RepoFiles,
  vaultId: string | null,
  repo: OpenRepo | null,
): Promise<RecordLook> {
  const names = await recordNames(files);
  const { index, damage } = await readOrDamage(files, vaultId);
  const nothing = { unlisted: [], ahead: [], removing: 0, missing: [], damaged: [] };
  if (damage !== null) return { ...nothing, damage, withoutIndex: 0 };
  if (index === null) return { ...nothing, damage, withoutIndex: names.length };
  const listed = new Map(index.identities.map((entry) => [recordName(identityKey(entry.identity)), entry]));
  const opened = await namesOpened(repo);
  const unlisted = names
    .filter((name) => !listed.has(name) && index.removing[name] === undefined)
    .map((name) => ({ name, opens: opened === null ? null : opened.has(name) }));
  const removing = names.filter((name) => index.removing[name] !== undefined && !listed.has(name)).length;
  const ahead: IndexEntry[] = [];
  const missing: IndexEntry[] = [];
  const damaged: { entry: IndexEntry; error: RouterError }[] = [];
  for (const [name, entry] of listed) {
    if (!names.includes(name)) {
      missing.push(entry);
      continue;
    }
    const error = await troubleOf(join(files.records, name), entry, repo);
    if (error === 'ahead') ahead.push(entry);
    else if (error !== null) damaged.push({ entry, error });
  }
  return { damage, withoutIndex: 0, unlisted, ahead, removing, missing, damaged };
}

async function readOrDamage(
  files: RepoFiles,
  vaultId: string | null,
): Promise<{ readonly index: Index | null; readonly damage: RouterError | null }> {
  try {
    const { index } = await readIndex(files);
    if (index === null || vaultId === null || index.vaultId === vaultId) return { index, damage: null };
    const message = `${files.index} belongs to another vault than vault.json beside it`;
    const hint = 'put the two files back from one backup; nothing was changed';
    return { index: null, damage: new RouterError('VAULT_DAMAGED', message, { hint }) };
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return { index: null, damage: error };
  }
}

/** With the key, a record that a crash left ahead of the index is listed already. */
async function namesOpened(repo: OpenRepo | null): Promise<ReadonlySet<string> | null> {
  if (repo === null) return null;
  const entries = await repo.list();
  return new Set(entries.map(({ identity }) => recordName(identityKey(identity))));
}

async function troubleOf(
  path: string,
  entry: IndexEntry,
  repo: OpenRepo | null,
): Promise<RouterError | 'ahead' | null> {
  const key = identityKey(entry.identity);
  try {
    const head = parseHeader((await readTextOrNull(path)) ?? '', path);
    // What a header claims is believed where the key proves it, and without a key.
    if (repo !== null) await repo.load(key);
    if (head.identity !== key) throw new RouterError('RECORD_DAMAGED', `${path} is another identity's`);
    if (head.revision < entry.revision)
      throw new RouterError('RECORD_DAMAGED', `${path} is older than index.json says`);
    return head.revision > entry.revision ? 'ahead' : null;
  } catch (error) {
    if (error instanceof RouterError) return error;
    throw error;
  }
}

/** What `vault status --check` does: sets a damaged index aside and lists what a crash left. Under the router lock. @throws as `OpenRepo.mend` */
export async function mendIndexOf(
  files: RepoFiles,
  repo: Pick<OpenRepo, 'mend'>,
): Promise<Mending & { readonly setAside: boolean }> {
  const setAside = await setAsideDamagedIndex(files);
  return { ...(await repo.mend()), setAside };
}
