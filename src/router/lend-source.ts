import type { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import type { Identity } from '../identity.js';
import type { Secret } from '../secret.js';
import type { LoginHome } from './import-source.js';

/** What lies in a Codex home where its login belongs. */
export type LoginFile =
  | { readonly kind: 'empty' }
  /** A login with its grant. */
  | { readonly kind: 'login'; readonly holding: Holding }
  /** An access token without a grant, as `put` writes it. */
  | { readonly kind: 'lent'; readonly identity: Identity; readonly accessToken: Secret }
  /** Anything else; writing over it would destroy it. `refusal` says what it is; `mayHold`: a login may be in it. */
  | { readonly kind: 'other'; readonly refusal: RouterError; readonly mayHold: boolean };

/** The Codex homes of this machine. `src/codex` implements it; `cli/compose` hands it in. */
export interface CodexHomes {
  /** The one that the environment names; the default one need not exist yet. @throws LOGIN_NOT_FOUND when it names no folder */
  current(): Promise<LendHome>;

  /** Null when it is gone. */
  at(folder: string): Promise<LendHome | null>;
}

/** A Codex home that an identity can be lent to. */
export interface LendHome {
  /** Symbolic links resolved; what `Lending.folder` says. */
  readonly folder: string;

  /** The same home as `import` sees it. */
  logins(): Promise<LoginHome>;

  /** Read without a lock. @throws IO, USAGE for what is no file */
  read(): Promise<LoginFile>;

  /**
   * Says what speaks against lending this identity there, before anything is written or asked.
   * @throws PLATFORM_UNSUPPORTED, HOST_FOREIGN_OWNER, IDENTITY_UNEXPECTED, IO
   */
  admit(identity: Identity): Promise<void>;

  /** Makes the folder, 0700, where it does not exist. */
  make(): Promise<void>;

  /**
   * Writes a login there under Codex's own locks and reads it back: `access` without its grant, so that Codex can neither refresh nor
   * revoke it; `grant` whole.
   * @param instead what was read there; a lent access token or nothing.
   * @throws SLOT_CHANGED when something else is there, HOST_BUSY: nothing was written. IO
   */
  put(holding: Holding, what: 'access' | 'grant', instead: LoginFile): Promise<void>;

  /**
   * Removes the lent access token of this identity, and what a killed `put` left, under Codex's own locks; leaves anything else.
   * @returns whether a lent one was there. @throws HOST_BUSY, IO
   */
  clear(identity: Identity): Promise<boolean>;
}
