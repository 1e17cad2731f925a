import type { Grant } from '../grant.js';
import type { Holding } from '../holding.js';
import type { Secret } from '../secret.js';

/**
 * What sits in a slot. `foreign` is something `use` must not overwrite: an API key, a SecretRef, a sealed side file, a login
 * whose own tokens do not tell whose it is. `what` is a noun phrase for a sentence and holds no token.
 * From 2026.9.4 the host puts a fence in the place of the tokens while it refreshes them: `refreshing` passes within 120 s
 * and must be waited for, because the rotated token is on its way (`accountId` is a name, no proof); `lost` is what a failed refresh leaves, for good.
 */
export type Occupant =
  | { readonly kind: 'absent' }
  | ({ readonly kind: 'login' } & Holding)
  | { readonly kind: 'refreshing'; readonly accountId: string | null }
  | LostLogin
  | { readonly kind: 'foreign'; readonly what: string; readonly remains?: Remains };

/** What is left of an OAuth login that somebody, or something, has damaged. */
export interface Remains {
  /** Whether it proves to have been this very grant: by its refresh token, or, where that is gone, by its whole access token. */
  areOf(grant: Grant): boolean;
}

/** In words, what is in a slot that is no login; null for an empty one. */
export function problemOf(occupant: Exclude<Occupant, { kind: 'login' }>): string | null {
  if (occupant.kind === 'foreign') return occupant.what;
  if (occupant.kind === 'refreshing') return 'a login that OpenClaw is refreshing just now';
  if (occupant.kind === 'lost') return 'nothing usable: a refresh by OpenClaw failed and destroyed the login';
  return null;
}

/** What a refresh that failed for good left of a login. */
export interface LostLogin {
  readonly kind: 'lost';
  /** The workspace whose login it was; null where the entry does not say. A name, no proof. */
  readonly accountId: string | null;
  /** Whether this is the very token that the failed refresh had sent: the proof of whose it was. */
  spent(refreshToken: Secret): boolean;
}

/**
 * Another login of the same provider in the same store: one that a native multi-profile setup left there. One that cannot
 * be understood is `foreign` too: it must not stop a switch that does not touch it.
 */
export type Neighbour = { readonly profileId: string } & (
  | ({ readonly kind: 'login' } & Holding)
  | { readonly kind: 'foreign'; readonly what: string }
);

/** Opaque; equal exactly when the slot's entry and its neighbours are byte for byte what was read. Never persisted. */
export type Revision = string & { readonly revision: unique symbol };

export interface SlotReading {
  readonly revision: Revision;
  readonly occupant: Occupant;
  readonly neighbours: readonly Neighbour[];
  /**
   * Whether unpinned and later sessions land on the slot: lastGood names it, and the stored order names it first and no other
   * login behind it. In an agent's store without the entry: whether the choice is left to main's.
   */
  readonly selectable: boolean;
  /** The order that this store has for the provider, ids of profiles that are gone in it too; null where it has none. */
  readonly order: readonly string[] | null;
  /** The profile that this store calls the last that worked; null where it says nothing. */
  readonly lastGood: string | null;
  /** The ids that this store's own order and lastGood name for the provider. */
  readonly named: readonly string[];
}

/** Where a slot is, in words a person and a program can use. */
export interface SlotAddress {
  /**
   * Stable id of this slot on this machine, through upgrades of its host: `<real state dir>#<store>#<name>`. The store is its
   * agent's id, `main` for the one all agents read, `main@own` where main has another beside it, `@shared` for one that a variable
   * moved; the name is the profile id, the default slot's as it was before 6.1.
   */
  readonly id: string;
  readonly layout: string;
  readonly agent: string;
  readonly profileId: string;
}

export interface SlotChange {
  /** The reading this change was decided on; SLOT_CHANGED if the slot differs when the host's locks are held. */
  readonly expect: Revision;
  /** The login to put in; `null` clears the slot, `'keep'` leaves the entry and mends only what makes it selectable. */
  readonly put: Holding | null | 'keep';
  /** Neighbours taken out in the same write (their grant was moved into the slot or into the repo). */
  readonly takeOut: readonly string[];
  /**
   * Logins put beside the slot in the same write. Where it is given, also empty, the host is left its own choice: its order names
   * the slot first, then these, then what it named before; where that was no login but the slot, every other login that can be read and
   * is not a person's own (`personal:*`) follows. SLOT_CHANGED for an id that is taken.
   */
  readonly beside?: readonly NewNeighbour[];
  /** With `keep`: what this store chooses by is put as given, in the place of the slot alone. */
  readonly choose?: Choice;
  /** With `keep`: failures that were counted against the slot, and the rest it was given for them, are forgotten; what it chooses by stays. */
  readonly wake?: boolean;
}

/** What a store chooses by for the provider; null where it is to say nothing. */
export type Choice = Pick<SlotReading, 'order' | 'lastGood'>;

/** A login on its way to a place beside the slot. */
export interface NewNeighbour {
  /** `<provider>:<name>`, of no entry that is there. */
  readonly profileId: string;
  readonly holding: Holding;
}

/**
 * The one place in a host where the active identity lives. Every host layout implements this port; test/contract runs
 * the same promises on each.
 */
export interface Slot {
  readonly address: SlotAddress;

  /**
   * Reads without a lock; a torn read is retried for a bounded time.
   * A store that does not exist reads as `absent` with no neighbours.
   * @throws SLOT_UNREADABLE when the store or the entry cannot be understood (never treated as empty).
   * @throws HOST_UNSUPPORTED for a store of a later format; HOST_BUSY for one whose writer does not let it be read in time;
   * HOST_NODE_TOO_OLD; IO when the system refuses the read.
   */
  read(): Promise<SlotReading>;

  /**
   * Under the host's own locks: re-reads, compares the revision, writes atomically, carries every unknown field outside
   * the entry, reads back and returns what is there now.
   * @throws SLOT_CHANGED nothing was written; read again and decide again.
   * @throws HOST_BUSY a live process holds the host's lock past the bounded wait.
   * @throws HOST_UNSUPPORTED where there is no store yet that may be written, or the host keeps no login there.
   * @throws HOST_UNREADABLE, IO on a read-only or full disk; the old store is intact.
   */
  replace(change: SlotChange): Promise<SlotReading>;
}
