import { RouterError } from '../errors.js';
import { type Identity, sameIdentity } from '../identity.js';
import type { Env } from '../os/folders.js';
import type { Journal } from '../repo/journal.js';
import type { IndexEntry, Repo } from '../repo/repo.js';
import type { Host, HostNote, HostSummary } from '../slot/host.js';
import { agentMeant, currentSession } from '../slot/session.js';
import type { Slot, SlotAddress } from '../slot/slot.js';
import { meantSession } from './chat-session.js';
import { lentNotes } from './lent.js';
import { problemIn } from './lost.js';
import { ownerNotes } from './owner.js';

/** One slot as it is now. */
export interface SlotStatus {
  readonly address: SlotAddress;
  readonly occupant: Identity | null;
  /** Its index entry; null when the occupant is not stored here. */
  readonly entry: IndexEntry | null;
  /** What is there instead of a login, or why it cannot be read; null when neither. */
  readonly problem: string | null;
  readonly selectable: boolean;
}

export interface Status {
  readonly host: HostSummary | null;
  readonly slots: readonly SlotStatus[];
  readonly session: {
    readonly key: string | null;
    readonly why: string;
    readonly pinnedTo: string | null;
  } | null;
  /** A switch that never reported its end: a crash, or another one running now. */
  readonly interrupted: { readonly at: number; readonly step: 'begun' | 'swapped' } | null;
  readonly identities: number;
  readonly notes: readonly HostNote[];
}

/** Who is in which slot, and what the current session is pinned to. Opens no vault and writes nothing. */
export async function status(
  repo: Repo,
  findHost: () => Promise<Host>,
  journal: Journal,
  env: Env,
): Promise<Status> {
  const entries = await repo.list();
  const last = (await journal.read()).at(-1);
  const step = last?.step;
  const interrupted =
    last !== undefined && (step === 'begun' || step === 'swapped') ? { at: last.at, step } : null;
  const base = { interrupted, identities: entries.length };
  let host: Host;
  try {
    host = await findHost();
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    const notes = [{ code: error.code, text: error.message }];
    return { ...base, host: null, slots: [], session: null, notes: [...notes, ...lentNotes(entries)] };
  }
  const slots: SlotStatus[] = [];
  for (const slot of await host.allSlots()) {
    const seen = await slotStatus(slot, entries);
    // A store that only could hold a login of its own is no second slot to a person.
    const isEmpty = seen.occupant === null && seen.problem === null;
    if (slots.length === 0 || !isEmpty) slots.push(seen);
  }
  const session = await sessionStatus(host, env);
  return {
    ...base,
    host: host.summary,
    slots,
    session: session.session,
    notes: [
      ...(await ownerNotes(host, repo)),
      ...host.summary.notes,
      ...labelNotes(host, slots),
      ...lentNotes(entries),
      ...session.notes,
    ],
  };
}

/** One name is shown for the slot of every agent: it is enough that it lies about one of them. */
function labelNotes({ labelFor }: Host, slots: readonly SlotStatus[]): readonly HostNote[] {
  const label = slots
    .map(({ occupant }) => (occupant === null ? null : (labelFor?.(occupant.email) ?? null)))
    .find((found) => found !== null);
  return label ? [label.note] : [];
}

async function slotStatus(slot: Slot, entries: readonly IndexEntry[]): Promise<SlotStatus> {
  const { address } = slot;
  try {
    const { occupant, selectable } = await slot.read();
    if (occupant.kind !== 'login') {
      const problem = problemIn(slot, occupant, entries);
      return { address, occupant: null, entry: null, problem, selectable };
    }
    const entry = entries.find(({ identity }) => sameIdentity(identity, occupant.identity)) ?? null;
    return { address, occupant: occupant.identity, entry, problem: null, selectable };
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return { address, occupant: null, entry: null, problem: error.message, selectable: false };
  }
}

async function sessionStatus(host: Host, env: Env): Promise<Pick<Status, 'session' | 'notes'>> {
  try {
    const wish = await meantSession(host, { kind: 'current' }, env);
    const agent = agentMeant(wish, env);
    const known = agent !== null && host.agents.includes(agent) ? agent : host.defaultAgent;
    const entries = await host.pinsOf(known).read();
    const current = currentSession(entries, wish, env);
    const pinnedTo = entries.find(({ key }) => key === current.key)?.pinnedTo ?? null;
    return { session: { ...current, pinnedTo }, notes: [] };
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return { session: null, notes: [{ code: error.code, text: error.message }] };
  }
}
