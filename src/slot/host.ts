import type { Pins } from './pins.js';
import type { Slot } from './slot.js';
import type { HostTrouble } from './trouble.js';

/** Something true about a host that a person should hear; `code` is stable for programs. */
export interface HostNote {
  readonly code: string;
  readonly text: string;
}

/** When a switch is seen by the host's turns (docs/gateway.md). */
export type Effective = 'now' | 'after-idle' | 'after-next-turn' | 'after-reload' | 'no-gateway';

export interface ReloadOutcome {
  readonly effective: Effective;
  /** True only when the gateway itself reported the new slot after re-reading. */
  readonly proved: boolean;
  /** What to do when `effective` is not `now`; null when nothing is needed. */
  readonly advice: string | null;
  readonly notes: readonly HostNote[];
  /**
   * ms after a session's last turn for which this gateway may keep the session's connection to the model, and with it the login
   * that opened it; left out where it keeps none.
   */
  readonly keptMs?: number;
}

/**
 * What a running gateway holds in a slot, as it says itself. `expiresAt`: ms epoch of its login, null for none; `askedAt`: when it
 * looked, null for now.
 */
export type GatewayHolds =
  | { readonly kind: 'no-gateway' }
  | { readonly kind: 'holds'; readonly expiresAt: number | null; readonly askedAt: number | null }
  | { readonly kind: 'unknown'; readonly why: string };

export interface HostSummary {
  /** The state directory, symlinks resolved. */
  readonly stateDir: string;
  readonly layout: string;
  /** The installed release, and where it was read; null when no package was found. */
  readonly release: { readonly version: string; readonly source: string } | null;
  /** The provider id of this release (`openai-codex` through 2026.5.28). */
  readonly provider: string;
  /** What the provider was called before this release renamed it: a pin to one of its ids is left over; null where it never was. */
  readonly formerProvider: string | null;
  readonly notes: readonly HostNote[];
}

/** What was found of a host and why it is routed the way it is; what `codex-router host` shows. */
export interface FoundHost {
  /** The state directory, symlinks resolved. */
  readonly stateDir: string;
  /** Null where it could not be told. */
  readonly layout: string | null;
  readonly release: HostSummary['release'];
  readonly provider: string | null;
  /** The profile id of the slot. */
  readonly profileId: string | null;
  /**
   * `direct`: codex-router's own adapter; `sdk`: the installed release's plugin SDK writes; null: nothing would be written.
   */
  readonly via: 'direct' | 'sdk' | null;
  /** What led to this answer, in the order it was found. */
  readonly reasons: readonly HostNote[];
  readonly stores: readonly FoundStore[];
  readonly agents: readonly FoundAgent[];
  /** What a switch of the default agent holds while it writes, in that order; empty where OpenClaw itself writes. */
  readonly locks: readonly FoundLock[];
  /** The gateway that runs on this state directory, as its own lock tells; null when none was found. */
  readonly gateway: { readonly pid: number; readonly port: number } | null;
  /** Why nothing would be written here, and the remedy; null when it is routed. */
  readonly refusal: { readonly code: string; readonly message: string; readonly hint: string | null } | null;
  readonly notes: readonly HostNote[];
}

export interface FoundStore {
  readonly path: string;
  readonly format: 'json' | 'sqlite';
  /** `selection`: order, lastGood and statistics in a file of their own. */
  readonly holds: 'logins' | 'selection' | 'sessions';
  /** Null for the store all agents share. */
  readonly agent: string | null;
  /** SQLite's `user_version`; null for JSON, or where it could not be read. */
  readonly schema: number | null;
  /**
   * `leftover`: this release does not read it; `unreadable` has its reason in `trouble`; `unknown`: it holds something, and it
   * could not be told whether that is read.
   */
  readonly state: 'used' | 'empty' | 'leftover' | 'unreadable' | 'unknown';
  /** Ids of the profiles in it, of every provider. */
  readonly profiles: readonly string[];
  readonly trouble: string | null;
}

export interface FoundAgent {
  readonly id: string;
  /** Where a new chat lands. */
  readonly isDefault: boolean;
  /**
   * Whose login its turns run on: `own` entry (which shadows the main one), `main`'s (of the main store itself, or by reading
   * through), or a `copy` of it; `unknown` where its store cannot be read, or the layout could not be told.
   */
  readonly runsOn: 'own' | 'main' | 'copy' | 'unknown';
  readonly trouble: string | null;
}

/** A lock file in OpenClaw's own format, or a write transaction on one of its databases. */
export interface FoundLock {
  readonly kind: 'file' | 'transaction';
  readonly path: string;
}

/** Which slots a switch for one agent writes, because this release ties them together. */
export interface SlotGroup {
  /** The agent the person means. */
  readonly agent: string;
  /** The slot that decides; read and checked in first. */
  readonly main: Slot;
  /** Slots that hold, or would be overwritten by, a copy of the main one; swapped together with it. */
  readonly copies: readonly Slot[];
  /** Stores of agents without an entry of their own, whose order or statistics decide over main's: mended with it. */
  readonly choosers: readonly Slot[];
  /** Agents whose turns run on this group's identity. */
  readonly follows: readonly string[];
  /** This release overwrites the other agents' logins with main's, so that no agent can be switched alone. */
  readonly tied: boolean;
  readonly notes: readonly HostNote[];
}

/** A name that the host's configuration gives the slot, and that is not the one of who is in it. */
export interface HostLabel {
  /** The e-mail that the host shows instead. */
  readonly shown: string;
  readonly note: HostNote;
  /**
   * Takes that name out of the configuration and says so; leaves it, and says why, where a running gateway would restart
   * itself for the change.
   * @param before hears of each file before it is written, and may throw: that file is not written then
   * @throws HOST_UNREADABLE, HOST_FOREIGN_OWNER, HOST_BUSY, IO
   */
  mend(gatewayRuns: boolean, before?: (change: FileChange) => Promise<void>): Promise<HostNote>;
}

/** One file of the host's own, as it is and as it will be. */
export interface FileChange {
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  readonly bytes: Uint8Array;
  readonly next: Uint8Array;
  /** A gateway that runs restarts itself for any change of it. */
  readonly restarts: boolean;
}

/**
 * How a host chooses among the logins of its provider, beside what their store says: what its configuration names, where the
 * store names no order, and what is its release's own way.
 */
export interface HostChoosing {
  /** The configured order of the provider; null where there is none. */
  readonly order: readonly string[] | null;
  /** The configured profiles, of every provider. */
  readonly profiles: readonly ConfiguredProfile[];
  /** A stored order of ids that are all gone is passed over (from 6.1); before, it leaves no login to choose. */
  readonly passesGoneOrder: boolean;
  /** A login whose access token has expired comes after the others where nothing fixes their order (from 8.1). */
  readonly expiredLast: boolean;
  /** A session that a person pinned to a login that rests runs on another one of the order (from 5.4). */
  readonly restMovesPin: boolean;
  /** A session that a person pinned to a login that is gone runs no more (9.6, not yet 9.1); before, it follows the order. */
  readonly goneStops: boolean;
  /**
   * A session without a pin may run on the login of an own slot when the renewal of the slot's own is refused (5.7 and 7.35 did, 9.6
   * does not); left out for no.
   */
  readonly fallsBack?: boolean;
  /** A person's pin to a login that the order does not name is taken off at the next turn (3.28 does, 5.7 does not); left out for no. */
  readonly dropsUnordered?: boolean;
  /** What is shown of a login comes from the gateway's copy, not from the store (through 4.15). */
  readonly labelsFromGateway: boolean;
}

export interface ConfiguredProfile {
  readonly id: string;
  readonly provider: string | null;
  readonly mode: string | null;
}

/** Which codex-router routes a host, as the file it leaves there says; no token in it, and nothing of who is routed. */
export interface HostOwner {
  readonly vaultId: string;
  /** `Standing.generation` of that vault when it last wrote here. */
  readonly generation: number;
  /** ms epoch */
  readonly at: number;
}

/** An OpenClaw state directory of one layout. `src/openclaw` makes it; the router sees only this port. */
export interface Host {
  readonly summary: HostSummary;

  /** Agent ids, `main` first, then those configured or found on disk. */
  readonly agents: readonly string[];
  /** The agent a new chat lands on (config `agents.list[].default`, else the first, else `main`). */
  readonly defaultAgent: string;

  /** Null when no codex-router has written here yet. @throws HOST_UNREADABLE when it cannot be understood; VAULT_NEWER, IO */
  owner(): Promise<HostOwner | null>;

  /**
   * Writes or renews the owner file at one stroke, 0600. What it holds beside these fields is kept.
   * @param instead the owner that was read when this was decided; `unreadable` for a file that could not be understood.
   * @throws SLOT_CHANGED when another codex-router came first: nothing was written. HOST_UNREADABLE, HOST_FOREIGN_OWNER, IO
   */
  claim(owner: HostOwner, instead: HostOwner | null | 'unreadable'): Promise<void>;

  /**
   * Removes the owner file: no codex-router routes this host any more.
   * @param owner as it was read when this was decided.
   * @throws SLOT_CHANGED when it is another one now; HOST_FOREIGN_OWNER, IO
   */
  disown(owner: HostOwner): Promise<void>;

  /** @throws AGENT_NOT_FOUND, also for a blank name, which OpenClaw itself would take for main; what `Slot.read` throws. */
  slotsFor(agent: string): Promise<SlotGroup>;

  /** Every slot of every agent, for custody, the main one first; a read-through agent has none of its own. */
  allSlots(): Promise<readonly Slot[]>;

  /**
   * The own slots (own-slot.ts) that hold something in the store of the agent's slot, lowest number first; also those that hold no
   * login any more.
   * @throws as `slotsFor`
   */
  ownSlots(agent: string): Promise<readonly Slot[]>;

  /**
   * One own slot in the store of the agent's slot, whether there is anything in it or not. A `replace` of it touches that one entry:
   * neither order nor lastGood nor any other entry of the store.
   * @param n 1 to `MOST_OWN_SLOTS`
   * @throws HOST_UNSUPPORTED where the release keeps all agents on main's logins; as `slotsFor`
   */
  ownSlot(agent: string, n: number): Promise<Slot>;

  /** Those of every store of `allSlots`; a store that cannot be read has none. */
  everyOwnSlot(): Promise<readonly Slot[]>;

  pinsOf(agent: string): Pins;

  /**
   * The keys (in `canonicalKey`'s form) of the agent's sessions in which a gateway is running a turn now, whose pins it may
   * therefore still overwrite; empty when no gateway runs. Null when it cannot be told. Bounded to 3 s, never a RouterError.
   */
  activeRuns(agent: string): Promise<ReadonlySet<string> | null>;

  /**
   * Refuses what this release would do to a grant, before anything is written.
   * @param expiresAt ms epoch of the grant that would go in.
   * @throws HOST_UNTRUSTED_WITH_GRANT with the remedy as hint.
   */
  admit(expiresAt: number, now: number): Promise<void>;

  /**
   * Makes a running gateway re-read the slot and proves it; `no-gateway` when none answers. Never fatal, never restarts
   * anything, bounded to a few seconds.
   * @param expiresAt ms epoch the gateway must report for the slot as proof; null for a cleared slot (nothing to prove).
   */
  reload(slot: Slot, expiresAt: number | null): Promise<ReloadOutcome>;

  /**
   * Asks a running gateway what it holds in the slot, without making it read or renew anything. Never fatal, bounded to seconds.
   * A host that has no such thing has no such method.
   * @param expiresAt ms epoch of the login in the slot: one that a question could make the gateway renew is not asked about.
   * @param withinMs how long the exchange may take; 12 s unless told
   */
  held?(slot: Slot, expiresAt: number, withinMs?: number): Promise<GatewayHolds>;

  /**
   * ms after a session's last turn for which a gateway of this release may keep the session's connection to the model, and with it the
   * login that opened it; null, or left out, where it keeps none.
   */
  readonly keptMs?: number | null;

  /** As its configuration was when the host was found. A host that never chooses has no such thing. */
  readonly choosing?: HostChoosing;

  /**
   * What is wrong with the files of this host: its locks, who may read them, what lies about in them, and another program's login that
   * it copies over the slot. Reads only, bounded to a few seconds. A host without files has no such method.
   */
  troubles?(): Promise<readonly HostTrouble[]>;

  /**
   * What the host would go on showing for the slot with somebody of this e-mail in it; null when that is the truth. A host without
   * such names has no such method.
   */
  labelFor?(email: string | null): HostLabel | null;
}
