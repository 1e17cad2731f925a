import type { RouterError } from '../errors.js';
import type { Identity } from '../identity.js';
import type { IndexEntry } from '../repo/repo.js';
import type { Host } from '../slot/host.js';
import type { Neighbour, Slot, SlotReading } from '../slot/slot.js';
import type { LookedAt } from './looked-at.js';

/** What the layers are told by: one look at everything they can disagree about. */
export interface Scene {
  readonly host: Host;
  readonly slot: Slot;
  /** Null when it cannot be read; `trouble` says why. */
  readonly reading: SlotReading | null;
  readonly trouble: RouterError | null;
  /** The other logins that the agent's turns can choose: those of the slot's store, and of the one that OpenClaw reads beside it. */
  readonly neighbours: readonly Neighbour[];
  /** The order that the agent's turns have: of its own store, else of main's; null where neither has one. */
  readonly order: readonly string[] | null;
  /** The agent in whose store that is; null where it is in none. */
  readonly orderOf: string | null;
  /** Agents whose own store chooses over this slot's. */
  readonly choosers: readonly string[];
  /** The slot of all agents, where this one is the default agent's own and goes before it; null for any other. */
  readonly shadows: { readonly slot: Slot; readonly reading: SlotReading } | null;
  readonly entries: readonly IndexEntry[];
  readonly session: LookedAt;
  /** Whether what the session is pinned to was chosen by `session set`, so that it disagrees with nothing. */
  readonly isChosen: boolean;
  /** ms epoch */
  readonly now: number;
  /** Who is in the slot, with the name they are stored under. */
  readonly occupant: Identity | null;
  /**
   * `codex-router use <whom>`, for this agent; for somebody who is not stored, or nobody where one is in the slot, the command that
   * stores them.
   */
  use(whom: Identity | null, flags?: string): string;
}
