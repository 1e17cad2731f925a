import { RouterError } from '../errors.js';
import type { Identity } from '../identity.js';
import type { Env } from '../os/folders.js';
import type { Journal } from '../repo/journal.js';
import type { IndexEntry, Repo } from '../repo/repo.js';
import type { Host, HostNote, HostSummary } from '../slot/host.js';
import { isOwnSlot } from '../slot/own-slot.js';
import type { Neighbour, Slot, SlotAddress } from '../slot/slot.js';
import { everySlot } from './every-slot.js';
import { heldIn, ownerOf } from './held.js';
import { lentNotes } from './lent.js';
import { problemIn } from './lost.js';
import { ownerNotes } from './owner.js';
import { entryOrNull } from './resolve.js';
import { type SessionStatus, sessionStatus } from './status-session.js';

/** One slot as it is now. */
export interface SlotStatus {
  readonly address: SlotAddress;
  readonly occupant: Identity | null;
  /** Its index entry; null when the occupant is not stored here. */
  readonly entry: IndexEntry | null;
  /** What is there instead of a login, or why it cannot be read; null when neither. */
  readonly problem: string | null;
  readonly selectable: boolean;
  /** Other logins of the provider in the same store. */
  readonly others: number;
  /** Null where there is no login that a gateway could have taken. */
  readonly gateway: GatewayStatus | null;
}

/** Whether the running gateway has taken what is in a slot. */
export interface GatewayStatus {
  readonly taken: 'yes' | 'no' | 'no-gateway' | 'unknown';
  /** Whose login it still has, where that is told by when it expires. */
  readonly holds: Identity | null;
  /** Always there for `unknown`. */
  readonly why: string | null;
}

export interface Status {
  /** Null when there is none that can be understood; `trouble` says why. */
  readonly host: HostSummary | null;
  readonly trouble: RouterError | null;
  readonly slots: readonly SlotStatus[];
  readonly session: SessionStatus | null;
  /** A switch that never reported its end: a crash, or another one running now. */
  readonly interrupted: { readonly at: number; readonly step: 'begun' | 'swapped' } | null;
  /** Null when the index cannot be read. */
  readonly identities: number | null;
  /** Why the index tells nothing; null where it does. */
  readonly unlisted: RouterError | null;
  readonly notes: readonly HostNote[];
}

/** ms; a gateway that needs longer is said to have not answered, so that a look stays one. */
const ANSWER = 5000;

/**
 * Who is in which slot, whether a running gateway has taken it, and what the current session is pinned to. Opens no vault, writes
 * nothing, makes nobody read or renew anything. What cannot be read is a note, and the rest is told all the same.
 */
export async function status(
  repo: Repo,
  findHost: () => Promise<Host>,
  journal: Pick<Journal, 'read'>,
  env: Env,
): Promise<Status> {
  const notes: HostNote[] = [];
  const orNote = async <T>(work: Promise<T>, instead: T): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      notes.push(noteOf(error));
      return instead;
    }
  };
  const listed = await orError(repo.list());
  const unlisted = listed instanceof RouterError ? listed : null;
  if (unlisted !== null) notes.push(noteOf(unlisted));
  const entries = listed instanceof RouterError ? [] : listed;
  const last = (await orNote(journal.read(), [])).at(-1);
  const step = last?.step;
  const interrupted =
    last !== undefined && (step === 'begun' || step === 'swapped') ? { at: last.at, step } : null;
  const base = { interrupted, unlisted, identities: unlisted === null ? entries.length : null };
  let host: Host;
  try {
    host = await findHost();
  } catch (error) {
    notes.push(noteOf(error));
    const trouble = error instanceof RouterError ? error : null;
    return {
      ...base,
      host: null,
      trouble,
      slots: [],
      session: null,
      notes: [...notes, ...lentNotes(entries)],
    };
  }
  const all = await orNote<readonly Slot[]>(everySlot(host), []);
  const [seen, session] = await Promise.all([
    Promise.all(all.map((slot) => slotStatus(host, slot, entries))),
    orNote<SessionStatus | null>(sessionStatus(host, env), null),
  ]);
  // A store that only could hold a login of its own is no second slot to a person.
  const slots = seen.filter(
    ({ occupant, problem }, place) => place === 0 || occupant !== null || problem !== null,
  );
  return {
    ...base,
    host: host.summary,
    trouble: null,
    slots,
    session,
    notes: [
      ...notes,
      ...(await ownerNotes(host, repo)),
      ...host.summary.notes,
      ...labelNotes(host, slots),
      ...lentNotes(entries),
    ],
  };
}

async function orError<T>(work: Promise<T>): Promise<T | RouterError> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof RouterError) return error;
    throw error;
  }
}

/** What could not be read, and what to do about it. @throws what is no RouterError */
export function noteOf(error: unknown): HostNote {
  if (!(error instanceof RouterError)) throw error;
  const { code, message, hint } = error;
  return { code, text: hint === undefined ? message : `${message}: ${hint}` };
}

/** One name is shown for the slot of every agent: it is enough that it lies about one of them. */
function labelNotes({ labelFor }: Host, slots: readonly SlotStatus[]): readonly HostNote[] {
  const label = slots
    .map(({ occupant }) => (occupant === null ? null : (labelFor?.(occupant.email) ?? null)))
    .find((found) => found !== null);
  return label ? [label.note] : [];
}

async function slotStatus(host: Host, slot: Slot, entries: readonly IndexEntry[]): Promise<SlotStatus> {
  const { address } = slot;
  try {
    const { occupant, selectable, neighbours } = await slot.read();
    const others = isOwnSlot(address.id) ? 0 : neighbours.filter(isOther).length;
    if (occupant.kind !== 'login') {
      const problem = problemIn(slot, occupant, entries);
      return { address, occupant: null, entry: null, problem, selectable, others, gateway: null };
    }
    const { identity, grant } = occupant;
    const entry = entryOrNull(identity, entries);
    const gateway = await gatewayStatus(host, slot, grant.expiresAt, entries);
    return { address, occupant: identity, entry, problem: null, selectable, others, gateway };
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    const nothing = { occupant: null, entry: null, selectable: false, others: 0, gateway: null };
    return { address, ...nothing, problem: error.message };
  }
}

/** What lies in an own slot is told of by itself. */
function isOther({ kind, profileId }: Neighbour): boolean {
  return kind === 'login' && !isOwnSlot(profileId);
}

async function gatewayStatus(
  host: Host,
  slot: Slot,
  expiresAt: number,
  entries: readonly IndexEntry[],
): Promise<GatewayStatus> {
  const held = await heldIn(host, slot, expiresAt, ANSWER);
  if (held.kind === 'unknown') return { taken: 'unknown', holds: null, why: held.why };
  if (held.kind === 'no-gateway') return { taken: 'no-gateway', holds: null, why: null };
  if (held.expiresAt === expiresAt) return { taken: 'yes', holds: null, why: null };
  if (held.expiresAt === null) return { taken: 'no', holds: null, why: 'it has no login there' };
  return { taken: 'no', holds: ownerOf(held.expiresAt, entries), why: null };
}
