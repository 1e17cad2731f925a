import { RouterError } from '../errors.js';
import { type Identity, sameIdentity } from '../identity.js';
import type { IndexEntry, Repo } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import type { SlotAddress } from '../slot/slot.js';
import { ownSlotNotes } from './every-slot.js';
import type { Finding } from './finding.js';
import { problemIn } from './lost.js';
import { ownerNotes } from './owner.js';

export interface ListedIdentity {
  readonly entry: IndexEntry;
  /** Whether the slot's own tokens say it is this identity; null when the slot could not be read. */
  readonly active: boolean | null;
}

export interface Listing {
  readonly identities: readonly ListedIdentity[];
  readonly slot: SlotAddress | null;
  /** Who is in the slot, stored here or not; null when it is empty, holds something else or could not be read. */
  readonly occupant: Identity | null;
  readonly notes: readonly HostNote[];
}

/** The stored identities and which one is active. Opens no vault, takes no lock, writes nothing, needs no network. */
export async function list(
  repo: Repo,
  findHost: () => Promise<Host>,
  agent: string | null,
): Promise<Listing> {
  const reading = repo.list();
  const [entries, seen] = await Promise.all([reading, occupantOf(repo, findHost, agent, reading)]);
  const { slot, occupant, notes, known } = seen;
  const identities = entries.map((entry) => ({
    entry,
    active: known ? occupant !== null && sameIdentity(entry.identity, occupant) : null,
  }));
  const { code, text, remedy } = BEHIND;
  const behind = (await repo.isBehind()) ? [{ code, text: `${text}: ${remedy} lists it` }] : [];
  return { identities, slot, occupant, notes: [...behind, ...notes] };
}

/** A record that no entry lists. */
export const BEHIND = {
  code: 'NOT_LISTED',
  part: 'vault',
  danger: false,
  text: 'a crash has left a stored login that is not listed yet',
  remedy: 'codex-router vault status --check',
  mend: null,
} as const satisfies Finding;

const CODES = {
  absent: null,
  foreign: 'SLOT_FOREIGN',
  refreshing: 'SLOT_REFRESHING',
  lost: 'LOGIN_LOST',
} as const;

interface Seen extends Omit<Listing, 'identities'> {
  readonly known: boolean;
}

async function occupantOf(
  repo: Repo,
  findHost: () => Promise<Host>,
  agent: string | null,
  entries: Promise<readonly IndexEntry[]>,
): Promise<Seen> {
  let slot: SlotAddress | null = null;
  try {
    const host = await findHost();
    const group = await host.slotsFor(agent ?? host.defaultAgent);
    slot = group.main.address;
    const { occupant, neighbours } = await group.main.read();
    const owner = [...(await ownerNotes(host, repo)), ...ownSlotNotes(neighbours, await entries)];
    if (occupant.kind === 'login') return { slot, occupant: occupant.identity, notes: owner, known: true };
    const problem = problemIn(group.main, occupant, await entries);
    const code = CODES[occupant.kind];
    const notes = problem === null || code === null ? [] : [{ code, text: `the slot holds ${problem}` }];
    return { slot, occupant: null, notes: [...owner, ...notes], known: occupant.kind !== 'refreshing' };
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return { slot, occupant: null, notes: [{ code: error.code, text: error.message }], known: false };
  }
}
