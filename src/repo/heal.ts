import { statSync } from 'node:fs';
import { join } from 'node:path';
import { RouterError } from '../errors.js';
import type { Grant } from '../grant.js';
import { identityKey } from '../identity.js';
import { keysOf, unlinkDurably } from './closed.js';
import { type RepoFiles, recordName } from './files.js';
import { damage, FORMAT_VERSION, readTextOrNull } from './format.js';
import { type IndexReading, readIndex, recordNames, withEntry, writeIndex } from './index.js';
import type { Index } from './index-format.js';
import { type OpenedRecord, openRecord, parseHeader, type RecordHeader } from './record.js';
import type { Fingerprint, IndexEntry } from './repo.js';
import type { Vault } from './vault.js';

/** What a crash had left and `mend` put right. */
export interface Mending {
  /** Identities whose entry was rebuilt from their record. */
  readonly rebuilt: number;
  /** Records deleted because their removal had not finished. */
  readonly removed: number;
  /** Records that belong to no identity and cannot be opened; left alone. */
  readonly unreadable: readonly string[];
}

export interface MendedReading extends IndexReading {
  /** The index as it would be had no crash happened. */
  readonly index: Index;
  mend(): Promise<Mending>;
}

/**
 * The index, put right from the records. `save` writes the record before the index, so a record ahead of its entry, or
 * without one, is the newer truth; a record whose removal the index remembers is on its way out. Reads only records written
 * no earlier than the index, which is none in the usual case. Writes nothing.
 * @throws VAULT_DAMAGED when the index belongs to another vault; VAULT_NEWER, IO
 */
export async function mendedReading(
  files: RepoFiles,
  vault: Vault,
  fingerprint: (grant: Grant) => Fingerprint,
): Promise<MendedReading> {
  const { index: found, text } = await readIndex(files);
  if (found !== null && found.vaultId !== vault.vaultId)
    throw damage(files.index, 'it belongs to another vault');
  let index: Index = found ?? {
    version: FORMAT_VERSION,
    vaultId: vault.vaultId,
    identities: [],
    removing: {},
  };
  const known = keysOf(index);
  const since = found === null ? 0n : changedAt(files.index);
  const leftovers: string[] = [];
  const unreadable: string[] = [];
  let rebuilt = 0;
  for (const name of await recordNames(files)) {
    const entry = known.get(name) ?? null;
    const path = join(files.records, name);
    if (entry !== null && changedAt(path) < since) continue;
    const record = await readRecord(path, name, vault);
    if (record === null) {
      if (entry === null) unreadable.push(name);
    } else if (entry === null && record.head.revision <= (index.removing[name] ?? 0)) {
      leftovers.push(name);
    } else if (record.head.revision > (entry?.revision ?? 0)) {
      index = withEntry(index, rebuildEntry(entry, record, fingerprint));
      rebuilt += 1;
    }
  }

  async function mend(): Promise<Mending> {
    for (const name of leftovers) await unlinkDurably(files.records, name);
    const done = Object.keys(index.removing).length > 0;
    if (rebuilt > 0 || done) await writeIndex(files, { ...index, removing: {} }, text);
    return { rebuilt, removed: leftovers.length, unreadable };
  }

  return { index, text, mend };
}

type FoundRecord = OpenedRecord & { readonly head: RecordHeader };

/** Null when it is damaged: `load` says so to who asks for that identity; the others must stay usable. */
async function readRecord(path: string, name: string, vault: Vault): Promise<FoundRecord | null> {
  const text = await readTextOrNull(path);
  if (text === null) return null;
  try {
    const head = parseHeader(text, path);
    const record = openRecord(vault, head, head.identity, path);
    return recordName(identityKey(record.holding.identity)) === name ? { ...record, head } : null;
  } catch (error) {
    if (error instanceof RouterError && error.code === 'RECORD_DAMAGED') return null;
    throw error;
  }
}

function rebuildEntry(
  old: IndexEntry | null,
  { holding, facts, head }: FoundRecord,
  fingerprint: (grant: Grant) => Fingerprint,
): IndexEntry {
  return {
    ...old,
    ...facts,
    identity: holding.identity,
    fingerprint: fingerprint(holding.grant),
    expiresAt: holding.grant.expiresAt,
    revision: head.revision,
    placement: old?.placement ?? null,
  };
}

// Nanoseconds: a save takes well under a millisecond apart from the disk's own time.
function changedAt(path: string): bigint {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.mtimeNs ?? 0n;
}
