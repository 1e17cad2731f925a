import type { Grant } from '../grant.js';
import type { Holding } from '../holding.js';
import type { Identity, IdentityKey } from '../identity.js';
import type { Sealed } from './seal.js';

/**
 * A keyed hash of a refresh token (HMAC-SHA-256 under a key derived from the vault's): equal for the same grant, telling
 * nothing about it. The only trace of a token outside the sealed records.
 */
export type Fingerprint = string & { readonly fingerprint: unique symbol };

/** Where an identity's tokens came from: the name of a command or of a tool, never a path. */
export type Source = (typeof SOURCES)[number];

/** Other tools that keep several Codex logins. */
export const TOOLS = [
  'codex-oauth-profiles',
  'codex-auth',
  'codex-multi-auth',
  'oc-codex-multi-auth',
  'caam',
  'codex-multipass',
] as const;

/** `login` and `add`: a login of our own making. `archive`: an exported file. */
export const SOURCES = ['codex', 'file', 'openclaw', 'slot', 'login', 'add', 'archive', ...TOOLS] as const;

/** A Codex home that `lend` put an identity into. */
export interface Lending {
  /** The Codex home, symlinks resolved. */
  readonly folder: string;
  /** `access`: its access token only, which Codex can neither refresh nor revoke. `grant`: the whole login, which Codex holds now. */
  readonly what: 'access' | 'grant';
  /** Whose login was taken out of that home first, to be put back by `unlend`; null when it had none. */
  readonly displaced: IdentityKey | null;
  /** ms epoch */
  readonly at: number;
  /** The stored grant when it was lent; absent means the one stored now. */
  readonly fingerprint?: Fingerprint;
  /** ms epoch at which the lent access token expires; absent where Codex refreshes it. */
  readonly until?: number;
  /** False from the intention until the file was written and read back. */
  readonly proved?: boolean;
  /** True for a login that was Codex's own and went back to it: nobody lent it. */
  readonly own?: boolean;
  /** True once a login of our own making was stored since: Codex has the one before, and the stored one is ours. */
  readonly replaced?: boolean;
}

/** The grant we last put into a slot, or found there when we took our copy. */
export interface Placement {
  /** `SlotAddress.id`, or `<SlotAddress.id without profile>#<profileId>` for a neighbour. */
  readonly slot: string;
  readonly fingerprint: Fingerprint;
  /** ms epoch */
  readonly at: number;
}

/** Why the stored grant may not work any more. */
export type Doubt = (typeof DOUBTS)[number];

/**
 * `refresh-failed`: a refresh by its host failed, which may have spent it. `refresh-sent`: our own refresh was sent and no answer is
 * stored. `login-needed`: the issuer refused it for good. `restored`: put back from a back-up or an export, so it may be an old one.
 * `taken-over`: another codex-router adopted the host that it was in. `revoke-sent`: a logout was begun, so it may be revoked.
 * `lost-outside`: it was handed over to Codex and is gone from there.
 */
export const DOUBTS = [
  'refresh-failed',
  'refresh-sent',
  'login-needed',
  'restored',
  'taken-over',
  'revoke-sent',
  'lost-outside',
] as const;

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
  /** Null when no Codex home has it from us. */
  readonly lent: Lending | null;
  /** The grant that an encrypted export last held; null when none ever did. */
  readonly exported: Fingerprint | null;
  /** Grants of this identity that gave way to others here, the last first, 32 at most; one that is stored again is none of them. */
  readonly former: readonly Fingerprint[];
  /** Null when nothing speaks against the stored grant. */
  readonly doubt: Doubt | null;
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
  /** Left out: none for a grant that was not stored before. */
  readonly doubt?: Doubt | null;
}

/** A sealed copy of a login that gave way to another one. */
export interface SoundBackUp {
  /** Stable; never a position. */
  readonly id: string;
  /** ms epoch at which it was made. */
  readonly at: number;
  readonly identity: Identity;
  /** Why it was made, in words. */
  readonly reason: string;
  readonly fingerprint: Fingerprint;
  readonly trouble: null;
}

/** One that cannot be opened: altered, renamed, of another vault, of a later release. Nothing it says of itself is believed. */
export interface DamagedBackUp {
  readonly id: string;
  /** ms epoch, by its file's name only. */
  readonly at: number;
  readonly identity: null;
  /** `recordName` of whose it is, by its file's name only: with whom it is deleted. */
  readonly record: string;
  readonly reason: null;
  readonly fingerprint: null;
  /** Why, in words. */
  readonly trouble: string;
}

export type BackUp = SoundBackUp | DamagedBackUp;

/** What a crash had left and `mend` put right. */
export interface Mending {
  /** Identities whose entry was rebuilt from their record. */
  readonly rebuilt: number;
  /** Records deleted because their removal had not finished. */
  readonly removed: number;
  /** Records that belong to no identity and cannot be opened; left alone. */
  readonly unreadable: readonly string[];
}

/** Which vault this is, and how far its index has come. */
export interface Standing {
  readonly vaultId: string;
  /** Goes up, by a random step, with every write of the index; 0 for one of a release that did not count. */
  readonly generation: number;
  /** Whether this index was once at `generation`: false for one that lies after, or apart from, what this index has been through. */
  hasBeenAt(generation: number): boolean;
}

/** The encrypted store of identities, closed: what can be known and done without the key. */
export interface Repo {
  /** In the order they were added. An absent repo is an empty list. @throws VAULT_NEWER, VAULT_DAMAGED */
  list(): Promise<readonly IndexEntry[]>;

  /** Null when there is no index yet. @throws VAULT_NEWER, VAULT_DAMAGED */
  standing(): Promise<Standing | null>;

  /** Whether a sealed record lies there that no entry lists: a crash came between the two, and `OpenRepo.mend` lists it. */
  isBehind(): Promise<boolean>;

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

/** What a plan reads of an open repo: one of these can write nothing. */
export type RepoView = Pick<OpenRepo, 'vaultId' | 'standing' | 'list' | 'load' | 'fingerprint'>;

/** The store with its key at hand. */
export interface OpenRepo extends Repo {
  readonly vaultId: string;

  /** Makes `generation` higher than this one, so that a copy of the vault that had come so far is seen to be another. */
  outgrow(generation: number): Promise<void>;

  fingerprint(grant: Pick<Grant, 'refreshToken'>): Fingerprint;

  /** @throws RECORD_DAMAGED when the record is missing, swapped, rolled back or altered; IDENTITY_NOT_FOUND. */
  load(key: IdentityKey): Promise<Holding>;

  /**
   * Writes down what every reading of an open repo already takes into account: entries rebuilt from records that a crash
   * left ahead of the index, and orphans of an unfinished removal deleted. Call it under the router lock.
   */
  mend(): Promise<Mending>;

  /** Seals durably (fsync of file and folder), reads back, and only then updates the index. */
  save(holding: Holding, facts?: SaveFacts): Promise<IndexEntry>;

  /** Records the grant we put into a slot; null forgets it. */
  place(key: IdentityKey, placement: Placement | null): Promise<IndexEntry>;

  /** Records which Codex home was given the identity; null when none has it any more. */
  lend(key: IdentityKey, lending: Lending | null): Promise<IndexEntry>;

  /** Records that an encrypted export holds the stored grants of these identities. */
  markExported(keys: readonly IdentityKey[]): Promise<void>;

  /** Records why the stored grant may not work any more; null takes it back, and so does the next `save` of another grant. */
  doubt(key: IdentityKey, why: IndexEntry['doubt']): Promise<IndexEntry>;

  /** Seals a copy that is about to be overwritten; the number and age of back-ups are capped. */
  backUp(holding: Holding, reason: string): Promise<void>;

  /** Newest first; a damaged one is among them. @throws IO */
  backUps(): Promise<readonly BackUp[]>;

  /** @throws BACKUP_NOT_FOUND, RECORD_DAMAGED, VAULT_NEWER, IO */
  openBackUp(id: string): Promise<Holding>;

  /** Seals text of ours that is no identity, bound to `purpose` and to this vault. */
  sealText(purpose: string, text: string): Sealed;

  /** Null when it was altered, or sealed for another purpose or vault. */
  unsealText(purpose: string, box: Sealed): string | null;
}
