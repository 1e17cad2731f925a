import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { RouterError } from '../../src/errors.js';
import type { Grant } from '../../src/grant.js';
import type { Holding } from '../../src/holding.js';
import { type IdentityKey, identityKey } from '../../src/identity.js';
import { recordName } from '../../src/repo/files.js';
import { formerThan } from '../../src/repo/index-format.js';
import type { Fingerprint, IndexEntry, OpenRepo, Placement, Repo, SaveFacts } from '../../src/repo/repo.js';

/** A back-up as the fake keeps it: what was sealed, and why. */
export interface FakeBackUp {
  readonly id: string;
  /** ms epoch */
  readonly at: number;
  readonly holding: Holding;
  readonly reason: string;
}

/** The Repo port in memory, with the promises of the real one, and windows for a test to look through. */
export interface FakeRepo extends Repo {
  readonly vaultId: string;
  /** Everything `backUp` was given, oldest first. */
  readonly backUps: readonly FakeBackUp[];
  /** The calls that changed something or opened the vault, in order: `open`, `save <key>`, `place <key>`, ... */
  readonly calls: readonly string[];
  /** The record of `key` as it is sealed now, or null; looking is not a call. */
  sealed(key: string): Holding | null;
  /** The next call of this name (`open`, `save`, `load`, `backUp`, `place`, `remove`) throws `error` and does nothing. */
  failNext(call: string, error: Error): void;
  /** From now on `load` of this identity, or `openBackUp` of this id, throws RECORD_DAMAGED, as an altered one does. */
  damage(keyOrId: string): void;
}

const CHANGES: ReadonlySet<string> = new Set([
  'save',
  'setAlias',
  'remove',
  'place',
  'doubt',
  'lend',
  'markExported',
]);

/** @param now the clock that stamps `addedAt` and `updatedAt`, ms epoch. */
export function fakeRepo(now: () => number = Date.now): FakeRepo {
  const key = randomBytes(32);
  const index = new Map<IdentityKey, IndexEntry>();
  const records = new Map<string, Holding>();
  const damaged = new Set<string>();
  const failures = new Map<string, Error[]>();
  const backUps: FakeBackUp[] = [];
  const calls: string[] = [];

  const vaultId = randomUUID();
  /** Every generation the index has been through, the present one last. */
  const generations = [0];

  function enter(call: string, about?: string): void {
    const failure = failures.get(call)?.shift();
    if (failure !== undefined) throw failure;
    calls.push(about === undefined ? call : `${call} ${about}`);
    if (CHANGES.has(call))
      generations.push((generations.at(-1) ?? 0) + 1 + Math.floor(Math.random() * 2 ** 20));
  }

  function entryOf(which: IdentityKey): IndexEntry {
    const entry = index.get(which);
    if (entry === undefined) throw notStored(which);
    return entry;
  }

  function update(which: IdentityKey, change: Partial<IndexEntry>): IndexEntry {
    const entry = { ...entryOf(which), ...change };
    index.set(which, entry);
    return entry;
  }

  function fingerprint(grant: Pick<Grant, 'refreshToken'>): Fingerprint {
    return createHmac('sha256', key).update(grant.refreshToken.reveal()).digest('base64url') as Fingerprint;
  }

  function save(holding: Holding, facts: SaveFacts = {}): IndexEntry {
    const which = identityKey(holding.identity);
    enter('save', which);
    const old = index.get(which);
    const print = fingerprint(holding.grant);
    const entry: IndexEntry = {
      identity: holding.identity,
      alias: facts.alias !== undefined ? facts.alias : (old?.alias ?? null),
      fingerprint: print,
      expiresAt: holding.grant.expiresAt,
      revision: (old?.revision ?? 0) + 1,
      source: facts.source ?? old?.source ?? 'file',
      verified: facts.verified ?? old?.verified ?? false,
      sharedWith: facts.sharedWith !== undefined ? facts.sharedWith : (old?.sharedWith ?? null),
      placement: facts.placement !== undefined ? facts.placement : (old?.placement ?? null),
      lent: old?.lent ?? null,
      exported: old?.exported ?? null,
      former: formerThan(print, old ?? null),
      doubt: facts.doubt !== undefined ? facts.doubt : old?.fingerprint === print ? old.doubt : null,
      addedAt: old?.addedAt ?? now(),
      updatedAt: old !== undefined && old.fingerprint === print ? old.updatedAt : now(),
    };
    records.set(which, holding);
    damaged.delete(which);
    index.set(which, entry);
    return entry;
  }

  const repo: Repo = {
    standing: async () => ({
      vaultId,
      generation: generations.at(-1) ?? 0,
      hasBeenAt: (generation) => generations.includes(generation),
    }),
    list: async () => [...index.values()],
    isBehind: async () => false,
    setAlias: async (which, alias) => {
      entryOf(which);
      enter('setAlias', which);
      return update(which, { alias });
    },
    remove: async (which) => {
      entryOf(which);
      enter('remove', which);
      index.delete(which);
      records.delete(which);
    },
    open: async () => {
      enter('open');
      return opened;
    },
  };

  const opened: OpenRepo = {
    ...repo,
    vaultId,
    outgrow: async (generation) => {
      enter('outgrow');
      generations.push(Math.max(generations.at(-1) ?? 0, generation) + 1);
    },
    fingerprint,
    mend: async () => ({ rebuilt: 0, removed: 0, unreadable: [] }),
    load: async (which) => {
      entryOf(which);
      enter('load', which);
      const holding = records.get(which);
      if (holding === undefined || damaged.has(which)) {
        throw new RouterError('RECORD_DAMAGED', `the sealed record of ${which} was altered`, {
          hint: 'codex-router doctor',
        });
      }
      return holding;
    },
    save: async (holding, facts) => save(holding, facts),
    place: async (which, placement: Placement | null) => {
      entryOf(which);
      enter('place', which);
      return update(which, { placement });
    },
    lend: async (which, lent) => {
      entryOf(which);
      enter('lend', which);
      return update(which, { lent });
    },
    markExported: async (keys) => {
      enter('markExported');
      for (const which of keys) update(which, { exported: entryOf(which).fingerprint });
    },
    doubt: async (which, doubt) => {
      entryOf(which);
      enter('doubt', which);
      return update(which, { doubt });
    },
    backUp: async (holding, reason) => {
      enter('backUp', identityKey(holding.identity));
      backUps.push({ id: (backUps.length + 1).toString(16).padStart(8, '0'), at: now(), holding, reason });
    },
    backUps: async () =>
      backUps.toReversed().map(({ id, at, holding, reason }) => {
        const { identity, grant } = holding;
        return damaged.has(id)
          ? {
              id,
              at,
              identity: null,
              record: recordName(identityKey(identity)),
              reason: null,
              fingerprint: null,
              trouble: 'it was altered',
            }
          : { id, at, identity, reason, fingerprint: fingerprint(grant), trouble: null };
      }),
    sealText: (purpose, text) => ({ nonce: purpose, sealed: Buffer.from(text).toString('base64url') }),
    unsealText: (purpose, { nonce, sealed }) =>
      nonce === purpose ? Buffer.from(sealed, 'base64url').toString('utf8') : null,
    openBackUp: async (id) => {
      const found = backUps.find((backUp) => backUp.id === id);
      if (found === undefined) throw new RouterError('BACKUP_NOT_FOUND', `there is no back-up ${id}`);
      if (damaged.has(id)) throw new RouterError('RECORD_DAMAGED', 'the back-up was altered');
      return found.holding;
    },
  };

  return {
    ...repo,
    vaultId,
    backUps,
    calls,
    sealed: (which) => records.get(which) ?? null,
    failNext: (call, error) => {
      failures.set(call, [...(failures.get(call) ?? []), error]);
    },
    damage: (which) => {
      damaged.add(which);
    },
  };
}

function notStored(which: string): RouterError {
  return new RouterError('IDENTITY_NOT_FOUND', `no identity ${which} is stored`, {
    hint: 'codex-router list',
  });
}
