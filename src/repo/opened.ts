import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import { RouterError } from '../errors.js';
import type { Grant } from '../grant.js';
import type { Holding } from '../holding.js';
import { type IdentityKey, identityKey } from '../identity.js';
import { writeAtomic } from '../os/atomic.js';
import { ensureFolder } from '../os/folders.js';
import { backupsIn } from './backup-record.js';
import { changeEntry, removeIdentity } from './closed.js';
import { type RepoFiles, recordName } from './files.js';
import { damage, expectWritten, FORMAT_VERSION, readTextOrNull } from './format.js';
import { mendedReading, recordsIn } from './heal.js';
import { entryOf, type IndexMemo, identityNotFound, standingOf, withEntry, writeIndex } from './index.js';
import { formerThan, parseFingerprint } from './index-format.js';
import { openRecord, parseHeader, type RecordFacts, sealRecord } from './record.js';
import type { Fingerprint, IndexEntry, OpenRepo, SaveFacts } from './repo.js';
import { seal, unseal } from './seal.js';
import type { Vault } from './vault.js';

export interface OpenedDeps {
  readonly files: RepoFiles;
  readonly vault: Vault;
  readonly memo?: IndexMemo;
  /** ms epoch */
  readonly now: () => number;
}

/** The repo with its key. What changes something is to be called under the router lock; what reads may be called without. */
export function openedRepo({ files, vault, memo = { last: null }, now }: OpenedDeps): OpenRepo {
  const records = recordsIn(files);
  const backups = backupsIn(files.backups, vault, fingerprint);
  const read = () => mendedReading({ files, vault, memo, records, fingerprint });

  function fingerprint(grant: Pick<Grant, 'refreshToken'>): Fingerprint {
    const mac = createHmac('sha256', vault.fingerprintKey).update(grant.refreshToken.reveal(), 'utf8');
    return parseFingerprint(mac.digest('hex').slice(0, 32));
  }

  async function load(key: IdentityKey): Promise<Holding> {
    const entry = entryOf((await read()).index, key);
    if (entry === null) throw identityNotFound(key);
    const path = join(files.records, recordName(key));
    const text = await readTextOrNull(path);
    if (text === null) throw lost(key, 'is missing', path);
    const head = parseHeader(text, path);
    if (head.identity !== key) throw lost(key, "was swapped with another identity's", path);
    if (head.revision < entry.revision) throw lost(key, 'was rolled back to an older one', path);
    return openRecord(vault, head, key, path).holding;
  }

  async function save(holding: Holding, facts: SaveFacts = {}): Promise<IndexEntry> {
    let { index, text } = await read();
    if (text === null) {
      // A record without any index beside it is damage to who has no key: a crash before the first index must not look so.
      await writeIndex(files, index, text, memo);
      ({ index, text } = await read());
    }
    const key = identityKey(holding.identity);
    const old = entryOf(index, key);
    const path = join(files.records, recordName(key));
    const above = Math.max(
      old?.revision ?? 0,
      index.removing[recordName(key)] ?? 0,
      await revisionAt(path, key),
    );
    const entry = entryFor(holding, facts, old, {
      now: now(),
      revision: above + 1,
      print: fingerprint(holding.grant),
    });
    const record = sealRecord(
      vault,
      { holding: { ...holding, identity: entry.identity }, facts: factsOf(entry) },
      entry.revision,
    );
    await ensureFolder(files.records);
    await writeAtomic(path, record);
    await readBack(path, record, key);
    await writeIndex(files, withEntry(index, entry), text, memo);
    return entry;
  }

  async function readBack(path: string, record: string, key: IdentityKey): Promise<void> {
    await expectWritten(path, record);
    openRecord(vault, parseHeader(record, path), key, path);
  }

  /**
   * The revision of the record there. One that is damaged, or another identity's, is set aside by name first: it may be
   * the only copy. What its header claims then counts for nothing.
   */
  async function revisionAt(path: string, key: IdentityKey): Promise<number> {
    const text = await readTextOrNull(path);
    if (text === null) return 0;
    try {
      const head = parseHeader(text, path);
      if (head.identity !== key) throw damage(path, "it is another identity's", 'RECORD_DAMAGED');
      openRecord(vault, head, key, path);
      return head.revision;
    } catch (error) {
      if (!(error instanceof RouterError) || error.code !== 'RECORD_DAMAGED') throw error;
      await writeAtomic(`${path}.damaged`, text);
      return 0;
    }
  }

  const repo: OpenRepo = {
    vaultId: vault.vaultId,
    standing: async () => standingOf((await read()).index),
    outgrow: async (generation) => {
      const { index, text } = await read();
      await writeIndex(files, index, text, memo, generation);
    },
    fingerprint,
    load,
    save,
    backUp: (holding, reason) => backups.write(holding, reason, now()),
    backUps: backups.list,
    openBackUp: backups.open,
    sealText: (purpose, text) =>
      seal(vault.recordKey, textBoundTo(vault.vaultId, purpose), Buffer.from(text, 'utf8')),
    unsealText: (purpose, box) =>
      unseal(vault.recordKey, textBoundTo(vault.vaultId, purpose), box)?.toString('utf8') ?? null,
    list: async () => (await read()).index.identities,
    isBehind: async () => false,
    setAlias: async (key, alias) =>
      changeEntry(files, memo, await read(), key, (entry) => ({ ...entry, alias })),
    place: async (key, placement) =>
      changeEntry(files, memo, await read(), key, (entry) => ({ ...entry, placement })),
    lend: async (key, lending) =>
      changeEntry(files, memo, await read(), key, (entry) => ({ ...entry, lent: lending })),
    markExported: async (keys) => {
      const { index, text } = await read();
      const identities = index.identities.map((entry) =>
        keys.includes(identityKey(entry.identity)) ? { ...entry, exported: entry.fingerprint } : entry,
      );
      await writeIndex(files, { ...index, identities }, text, memo);
    },
    doubt: async (key, why) =>
      changeEntry(files, memo, await read(), key, (entry) => ({ ...entry, doubt: why })),
    remove: async (key) => removeIdentity(files, await read(), key),
    open: async () => repo,
    mend: async () => (await read()).mend(),
  };
  return repo;
}

function entryFor(
  holding: Holding,
  facts: SaveFacts,
  old: IndexEntry | null,
  { now, revision, print }: { readonly now: number; readonly revision: number; readonly print: Fingerprint },
): IndexEntry {
  const { identity, grant } = holding;
  const known = old?.identity;
  const sameGrantsDoubt = old?.fingerprint === print ? old.doubt : null;
  return {
    ...old,
    // Tokens carry no workspace name, and not always the rest: what is known is not forgotten.
    identity: {
      ...known,
      ...identity,
      email: identity.email ?? known?.email ?? null,
      plan: identity.plan ?? known?.plan ?? null,
      workspace: identity.workspace ?? known?.workspace ?? null,
    },
    alias: facts.alias === undefined ? (old?.alias ?? null) : facts.alias,
    fingerprint: print,
    expiresAt: grant.expiresAt,
    revision,
    source: facts.source ?? old?.source ?? 'file',
    verified: facts.verified ?? old?.verified ?? false,
    sharedWith: facts.sharedWith === undefined ? (old?.sharedWith ?? null) : facts.sharedWith,
    placement: facts.placement === undefined ? (old?.placement ?? null) : facts.placement,
    lent: old?.lent ?? null,
    exported: old?.exported ?? null,
    former: formerThan(print, old),
    doubt: facts.doubt === undefined ? sameGrantsDoubt : facts.doubt,
    addedAt: old?.addedAt ?? now,
    updatedAt: old !== null && old.fingerprint === print ? old.updatedAt : now,
  };
}

function factsOf({
  alias,
  source,
  verified,
  sharedWith,
  doubt,
  placement,
  addedAt,
  updatedAt,
}: IndexEntry): RecordFacts {
  return { alias, source, verified, sharedWith, doubt, placement, addedAt, updatedAt };
}

/** No identity's key lacks a slash, so a text never opens as a record, nor a record as a text. */
function textBoundTo(vaultId: string, purpose: string): string {
  return `codex-router|${FORMAT_VERSION}|${vaultId}|text|${purpose}`;
}

function lost(key: IdentityKey, why: string, path: string): RouterError {
  return new RouterError('RECORD_DAMAGED', `the sealed record of ${key} ${why}`, {
    hint: `put ${path} back from a backup, or codex-router login, as that account`,
  });
}
