import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { RouterError } from '../errors.js';
import type { Grant } from '../grant.js';
import { type Identity, identityKey } from '../identity.js';
import { unlinkDurably } from '../os/atomic.js';
import { type RepoFiles, recordName } from './files.js';
import { damage, FORMAT_VERSION, readTextOrNull } from './format.js';
import { type IndexMemo, type IndexReading, readIndex, recordNames, withEntry, writeIndex } from './index.js';
import { formerThan, type Index } from './index-format.js';
import { type OpenedRecord, openRecord, parseHeader, type RecordHeader } from './record.js';
import type { Fingerprint, IndexEntry, Mending } from './repo.js';
import type { Vault } from './vault.js';

export interface MendedReading extends IndexReading {
  /** The index as it would be had no crash happened. */
  readonly index: Index;
  mend(): Promise<Mending>;
}

export interface ReadingDeps {
  readonly files: RepoFiles;
  readonly vault: Vault;
  readonly memo: IndexMemo;
  readonly records: Records;
  readonly fingerprint: (grant: Grant) => Fingerprint;
}

/** The folder of sealed records, whose files are looked at once each, not at every reading. */
export interface Records {
  /** The revision that each record says it has, by its name; null for one that does not say. */
  list(): Promise<ReadonlyMap<string, number | null>>;
  /** The index by the names of the records. */
  namesOf(index: Index): ReadonlyMap<string, IndexEntry>;
}

/** ns within which two changes of a folder may bear the same time; then it is looked at again. */
const BLURRED = 100_000_000n;

export function recordsIn(files: RepoFiles): Records {
  let seen: { readonly at: bigint; readonly claims: ReadonlyMap<string, number | null> } | null = null;
  // Entries that are carried over into a changed index keep their identity object.
  const names = new WeakMap<Identity, string>();
  return {
    async list() {
      // Every record comes and goes by a rename or an unlink, which changes the folder.
      const at = changedAt(files.records);
      if (seen !== null && seen.at === at) return seen.claims;
      const found = await recordNames(files);
      const claims = new Map(found.map((name) => [name, claimedBy(join(files.records, name))]));
      seen = BigInt(Date.now()) * 1_000_000n - at > BLURRED ? { at, claims } : null;
      return claims;
    },
    namesOf: (index) =>
      new Map(
        index.identities.map((entry) => {
          const name = names.get(entry.identity) ?? recordName(identityKey(entry.identity));
          names.set(entry.identity, name);
          return [name, entry];
        }),
      ),
  };
}

/**
 * The index, put right from the records. `save` writes the record before the index, so a record ahead of its entry, or
 * without one, is the newer truth; a record whose removal the index remembers is on its way out. Opens only records that say
 * they are ahead of the index, which is none in the usual case. Never by times: a clock may be set, and a file put back. Writes nothing.
 * @throws VAULT_DAMAGED when the index belongs to another vault; VAULT_NEWER, IO
 */
export async function mendedReading({
  files,
  vault,
  memo,
  records,
  fingerprint,
}: ReadingDeps): Promise<MendedReading> {
  const { index: found, text } = await readIndex(files, memo);
  if (found !== null && found.vaultId !== vault.vaultId)
    throw damage(files.index, 'it belongs to another vault');
  let index: Index = found ?? {
    version: FORMAT_VERSION,
    vaultId: vault.vaultId,
    generation: await generationBefore(files),
    earlier: [],
    identities: [],
    removing: {},
  };
  const known = records.namesOf(index);
  const leftovers: string[] = [];
  const unreadable: string[] = [];
  let rebuilt = 0;
  for (const [name, claimed] of await records.list()) {
    const entry = known.get(name) ?? null;
    if (entry !== null && claimed !== null && claimed <= entry.revision) continue;
    const path = join(files.records, name);
    const record = await readRecord(path, name, vault);
    if (record === null) {
      if (entry === null) unreadable.push(name);
    } else if (entry === null && record.head.revision <= (index.removing[name] ?? 0)) {
      leftovers.push(name);
    } else if (record.head.revision > (entry?.revision ?? 0)) {
      const whole = rebuildEntry(entry, record, fingerprint);
      // With the index went what it alone knew: a login that was ended, or spent by a rotation since, must not look like a sound one.
      const doubt = found === null ? (whole.doubt ?? 'restored') : whole.doubt;
      index = withEntry(index, { ...whole, doubt });
      rebuilt += 1;
    }
  }

  async function mend(): Promise<Mending> {
    for (const name of leftovers) await unlinkDurably(files.records, name);
    const done = Object.keys(index.removing).length > 0;
    if (rebuilt > 0 || done) await writeIndex(files, { ...index, removing: {} }, text, memo);
    return { rebuilt, removed: leftovers.length, unreadable };
  }

  return { index, text, mend };
}

/**
 * How far the index had come that was set aside as damaged: one rebuilt from the records is not an older one. 0 when there is none, or
 * it does not tell.
 */
async function generationBefore(files: RepoFiles): Promise<number> {
  const told = /"generation":\s*(\d{1,15})\b/.exec((await readTextOrNull(`${files.index}.damaged`)) ?? '');
  return Number(told?.[1] ?? 0);
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
  const print = fingerprint(holding.grant);
  const sameGrantsDoubt = old?.fingerprint === print ? old.doubt : null;
  return {
    ...old,
    ...facts,
    identity: holding.identity,
    fingerprint: print,
    expiresAt: holding.grant.expiresAt,
    revision: head.revision,
    lent: old?.lent ?? null,
    exported: old?.exported ?? null,
    former: formerThan(print, old),
    // Without the place of the very grant that came home, the slot's next rotation would look older than the spent one here.
    placement: facts.placement === undefined ? (old?.placement ?? null) : facts.placement,
    doubt: facts.doubt === undefined ? sameGrantsDoubt : facts.doubt,
  };
}

/** A glance at the header, believed only so far that a record is opened. */
function claimedBy(path: string): number | null {
  try {
    const head = readFileSync(path, 'latin1').slice(0, 512);
    return (
      Number(/^\{"version":\d+,"identity":"[^"\\]*","revision":(\d{1,15}),/.exec(head)?.[1] ?? Number.NaN) ||
      null
    );
  } catch {
    return null;
  }
}

// Nanoseconds: a save takes well under a millisecond apart from the disk's own time.
function changedAt(path: string): bigint {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.mtimeNs ?? 0n;
}
