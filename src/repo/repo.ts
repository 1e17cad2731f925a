import type { Grant } from '../grant.js';
import type { Holding } from '../holding.js';
import type { Identity, IdentityKey } from '../identity.js';

/**
 * A keyed hash of a refresh token (HMAC-SHA-256 under a key derived from the vault's): equal for the same grant, telling
 * nothing about it. The only trace of a token outside the sealed records.
 */
export type Fingerprint = string & { readonly fingerprint: unique symbol };

/** Where an identity's tokens came from: a command's name, never a path. */
export type Source = 'codex' | 'file' | 'openclaw' | 'slot';

/** The grant we last put into a slot, or found there when we took our copy. */
export interface Placement {
  /** `SlotAddress.id`, or `<SlotAddress.id without profile>#<profileId>` for a neighbour. */
  readonly slot: string;
  readonly fingerprint: Fingerprint;
  /** ms epoch */
  readonly at: number;
}

/** One identity as the index knows it: no secret in it, readable without the vault. */
export interface IndexEntry {
  readonly identity: Identity;
  readonly alias: string | null;
  readonly fingerprint: Fingerprint;
  /** ms epoch at which the stored access token expires. */
  readonly expiresAt: number;
  /** Counts up at each save; part of the sealed record's associated data, so that an old record cannot be put back. */
  readonly revision: number;
  readonly source: Source;
  /** False until a server has accepted a call with these tokens: a file's claims are unsigned. */
  readonly verified: boolean;
  /** The holder a copy was knowingly left with (`import --keep`); null when nobody else has it. */
  readonly sharedWith: 'codex' | null;
  readonly placement: Placement | null;
  /** A refresh of this very grant failed at its holder, which may have spent it: it may be refused. Null when nothing speaks against it. */
  readonly doubt: 'refresh-failed' | null;
  /** ms epoch */
  readonly addedAt: number;
  /** ms epoch of the last change of the grant. */
  readonly updatedAt: number;
}

/** What `save` records beside the holding; a field left out keeps what the index had (or the default for a new identity). */
export interface SaveFacts {
  readonly source?: Source;
  readonly alias?: string | null;
  readonly verified?: boolean;
  readonly sharedWith?: 'codex' | null;
  readonly placement?: Placement | null;
}

/** The encrypted store of identities, closed: what can be known and done without the key. */
export interface Repo {
  /** In the order they were added. An absent repo is an empty list. @throws VAULT_NEWER, VAULT_DAMAGED */
  list(): Promise<readonly IndexEntry[]>;

  /** Names or un-names (null) an identity. The caller has checked that the alias is free. */
  setAlias(key: IdentityKey, alias: string | null): Promise<IndexEntry>;

  /**
   * Index first, then the sealed record: a crash leaves an orphan record that nobody lists, never an entry without one.
   */
  remove(key: IdentityKey): Promise<void>;

  /**
   * Opens the vault with the key source its vault.json names, once per command.
   * @throws KEYCHAIN_*, KEY_MISSING, KEY_WRONG, VAULT_MISSING, VAULT_NEWER, VAULT_DAMAGED, VAULT_PERMISSIONS
   */
  open(): Promise<OpenRepo>;
}

/** The store with its key at hand. */
export interface OpenRepo extends Repo {
  fingerprint(grant: Grant): Fingerprint;

  /** @throws RECORD_DAMAGED when the record is missing, swapped, rolled back or altered; IDENTITY_NOT_FOUND. */
  load(key: IdentityKey): Promise<Holding>;

  /** Seals durably (fsync of file and folder), reads back, and only then updates the index. */
  save(holding: Holding, facts?: SaveFacts): Promise<IndexEntry>;

  /** Records the grant we put into a slot; null forgets it. */
  place(key: IdentityKey, placement: Placement | null): Promise<IndexEntry>;

  /** Records why the stored grant may not work any more; null takes it back, and so does the next `save` of another grant. */
  doubt(key: IdentityKey, why: IndexEntry['doubt']): Promise<IndexEntry>;

  /** Seals a copy that is about to be overwritten; the number and age of back-ups are capped. */
  backUp(holding: Holding, reason: string): Promise<void>;
}
