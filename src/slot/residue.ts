/** Logins that lie in files of a host besides the stores it reads, as far as was looked. Nothing in it is a token. */
export interface Residue {
  readonly files: readonly ResidueFile[];
  /** What was passed over, and why: what lies there was not seen. */
  readonly notLookedAt: readonly { readonly path: string; readonly reason: string }[];
}

export interface ResidueFile {
  readonly path: string;
  /**
   * `archive`: a copy the host made before a migration; `leftover`: a store that this release does not read; `database`: in a
   * database, but not among its logins, as a rule in pages that are no longer in use; `sealed`: an encrypted side file of 2026.5.12.
   */
  readonly kind: 'archive' | 'leftover' | 'database' | 'sealed';
  /** Group or others may read it. */
  readonly readableByOthers: boolean;
  readonly logins: readonly ResidueLogin[];
}

export interface ResidueLogin {
  /** From the access token's own claims, or what stands beside them where that is cut; null where nothing tells. */
  readonly accountId: string | null;
  readonly userId: string | null;
  readonly email: string | null;
  /** Whether its refresh token is one that the host holds now: in a slot, or in another profile. `other` may be old, or parked. */
  readonly live: 'same-as-slot' | 'same-as-profile' | 'other';
  /** ms epoch, of the access token; null where it does not tell. */
  readonly expiresAt: number | null;
}
