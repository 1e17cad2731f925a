import { RouterError } from '../errors.js';
import { type IdentityKey, identityKey, sameIdentity } from '../identity.js';
import type { Doubt, IndexEntry } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import type { Looked } from './failover-readings.js';
import { unread } from './failover-readings.js';
import { handedOver } from './lent.js';
import { parsePlace } from './places.js';
import { resolve, typedSelectorOf } from './resolve.js';
import type { SlotLogins } from './usage-tokens.js';

/** Who was passed over without being asked, and why. */
export interface Passed {
  readonly entry: IndexEntry;
  readonly why: string;
}

export interface Candidates {
  /** To be asked, the preferred first. */
  readonly asked: readonly IndexEntry[];
  /** Who needs a login: known without asking. */
  readonly known: readonly Looked[];
  readonly passed: readonly Passed[];
  /** Of all that the policy is told of, in the person's order. */
  readonly order: readonly IdentityKey[];
  readonly notes: readonly HostNote[];
}

/** What candidates are chosen from. */
export interface CandidateQuestion {
  readonly host: Pick<Host, 'summary'>;
  readonly entries: readonly IndexEntry[];
  /** Selectors, best first; empty: everybody who is stored. */
  readonly preferred: readonly string[];
  /** Who is in the slot; null for nobody. */
  readonly current: IdentityKey | null;
  /** Who lies in the stores of the host. */
  readonly seen: SlotLogins;
  /** Whom another slot of the same round takes. */
  readonly taken: ReadonlySet<IdentityKey>;
  /** ms epoch */
  readonly now: number;
}

/**
 * Who may be taken: stored by the person, held by nobody else, and nothing spoken against. A login that somebody else holds is never
 * moved for failover.
 */
export function candidatesFor(question: CandidateQuestion): Candidates {
  const { entries, current, now } = question;
  const notes: HostNote[] = [];
  const asked: IndexEntry[] = [];
  const known: Looked[] = [];
  const passed: Passed[] = [];
  const order: IdentityKey[] = [];
  for (const entry of preferredIn(question, notes)) {
    const key = identityKey(entry.identity);
    if (order.includes(key)) continue;
    const why = key === current ? null : heldElsewhere(entry, question);
    if (why !== null) {
      passed.push({ entry, why });
      continue;
    }
    const doubt = key === current || entry.doubt === null ? null : DOUBTFUL[entry.doubt];
    if (doubt !== null && doubt !== LOGIN) {
      passed.push({ entry, why: `${doubt}: codex-router refresh ${typedSelectorOf(entry, entries)} tells` });
      continue;
    }
    order.push(key);
    if (key === current) continue;
    if (doubt === LOGIN)
      known.push(unread(entry, 'needs-login', 'it has to log in again', now, 'codex-router login'));
    else asked.push(entry);
  }
  return { asked, known, passed, order, notes };
}

const LOGIN = 'login';

/** Nothing is tried out by itself that a person was told may be refused. */
const DOUBTFUL: { readonly [doubt in Doubt]: string } = {
  'login-needed': LOGIN,
  'taken-over': LOGIN,
  'lost-outside': LOGIN,
  'refresh-failed': 'a refresh of it by OpenClaw failed, which may have spent it',
  'refresh-sent': 'its last refresh got no answer',
  restored: 'it was put back from a back-up, and may be an old one',
  'revoke-sent': 'a logout of it was begun',
};

function preferredIn({ preferred, entries }: CandidateQuestion, notes: HostNote[]): readonly IndexEntry[] {
  if (preferred.length === 0) return entries;
  return preferred.flatMap((selector) => {
    try {
      return [resolve(selector, entries)];
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      const text = `failover.order names ${selector}, and is passed over there: ${error.message}`;
      notes.push({ code: 'ORDER_UNKNOWN', text });
      return [];
    }
  });
}

/** Null for a login that is parked here. */
function heldElsewhere(entry: IndexEntry, { host, seen, taken }: CandidateQuestion): string | null {
  const { identity, placement, sharedWith } = entry;
  const there = seen.logins.find((login) => sameIdentity(login.identity, identity));
  if (there !== undefined) return `it is in OpenClaw already, with agent ${there.agent}`;
  if (seen.refreshing.some(({ slot }) => slot === placement?.slot)) {
    return 'OpenClaw is renewing it in another slot just now';
  }
  const place = placement === null ? null : parsePlace(placement.slot);
  if (place !== null && place.stateDir !== host.summary.stateDir) {
    return `it is in the OpenClaw in ${place.stateDir}`;
  }
  const lent = handedOver(entry);
  if (lent !== null) return `it was handed over to the Codex CLI in ${lent.folder}`;
  if (sharedWith === 'codex') return 'the Codex CLI has this login too';
  return taken.has(identityKey(identity)) ? 'another slot of this round takes it' : null;
}
