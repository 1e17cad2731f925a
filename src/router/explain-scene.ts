import type { RouterError } from '../errors.js';
import { type Identity, sameIdentity } from '../identity.js';
import type { Who } from '../repo/journal.js';
import type { IndexEntry } from '../repo/repo.js';
import type { Host } from '../slot/host.js';
import type { Slot, SlotReading } from '../slot/slot.js';
import type { LookedAt } from './looked-at.js';

/** What the layers are told by: one look at everything they can disagree about. */
export interface Scene {
  readonly host: Host;
  readonly slot: Slot;
  /** Null when it cannot be read; `trouble` says why. */
  readonly reading: SlotReading | null;
  readonly trouble: RouterError | null;
  /** Agents whose own store chooses over this slot's. */
  readonly choosers: readonly string[];
  readonly entries: readonly IndexEntry[];
  readonly session: LookedAt;
  /** ms epoch */
  readonly now: number;
  /** Who is in the slot, with the name they are stored under. */
  readonly occupant: Identity | null;
  /** `codex-router use <whom>`, for this agent; null where nobody is stored who could be meant. */
  use(whom: Identity | null, flags?: string): string | null;
}

/** Null for somebody who is not stored. */
export function entryOf(who: Who, entries: readonly IndexEntry[]): IndexEntry | null {
  return entries.find(({ identity }) => sameIdentity(identity, who)) ?? null;
}
