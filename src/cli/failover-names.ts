import { type IdentityKey, identityKey } from '../identity.js';
import type { FailoverLog } from '../repo/failover-log.js';
import type { IndexEntry } from '../repo/repo.js';
import { candidateOf } from '../router/resolve.js';
import { showText } from '../text.js';
import { phrase } from './people.js';

/** How slots, sessions and identities are called in what is shown. */
export interface Names {
  slot(id: string): string;
  session(key: string): string;
  identity(key: IdentityKey): string;
}

/** What is to be called by a name. */
export interface Named {
  readonly slots: readonly string[];
  readonly sessions: readonly string[];
  readonly identities: readonly IdentityKey[];
}

/** As they are: for programs. */
export const PLAIN: Names = { slot: (id) => id, session: (key) => key, identity: (key) => key };

/** For a person at a terminal: an identity by alias or e-mail. */
export function peopleNames(entries: readonly IndexEntry[]): Names {
  const people = new Map(entries.map((entry) => [identityKey(entry.identity), phrase(candidateOf(entry))]));
  return {
    slot: (id) => showText(id, 200),
    session: (key) => showText(key, 200),
    identity: (key) => people.get(key) ?? showText(key, 80),
  };
}

/** By the masks of the log: what is written or sent where others may read it. */
export async function maskedNames(log: FailoverLog, named: Named): Promise<Names> {
  const of = async (what: 'slot' | 'session' | 'identity', texts: readonly string[]) => {
    const found = new Map<string, string>();
    for (const text of texts) found.set(text, (await log.maskOf(what, text)) ?? UNKNOWN);
    return (text: string) => found.get(text) ?? UNKNOWN;
  };
  return {
    slot: await of('slot', named.slots),
    session: await of('session', named.sessions),
    identity: await of('identity', named.identities),
  };
}

/** Nothing was logged yet, so that nothing has a mask. */
const UNKNOWN = '-';
