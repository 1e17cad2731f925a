import { type ErrorCandidate, RouterError } from '../errors.js';
import { type Identity, identityKey } from '../identity.js';
import type { IndexEntry } from '../repo/repo.js';
import { showText } from '../text.js';
import type { Cli } from './cli.js';
import { personIn } from './documents.js';
import { phrase } from './people.js';

/** How people are called in what a round prints. */
export interface People {
  person(who: Identity): ErrorCandidate;
  /** A sentence, or a session's key, that may quote an e-mail or an id, or who a direct chat is with. */
  said(text: string): string;
}

/** Whether people are called by their e-mails and ids: where it was asked for, and on a terminal, which its person alone reads. */
export function namesPeople({ terminal, json }: Cli, { names }: { readonly names?: boolean }): boolean {
  return names === true || (terminal.page !== null && !json);
}

/**
 * @param isNamed see `namesPeople`; else by alias and the beginning of the account id: what is printed may end in a log that others read
 * @param others whom the sentences may tell of beside who is stored
 */
export function peopleOf(
  entries: readonly IndexEntry[],
  isNamed: boolean,
  others: readonly Identity[] = [],
): People {
  if (isNamed) return { person: (who) => personIn(who, entries), said: (text) => text };
  const everybody = [...entries.map(({ identity }) => identity), ...others];
  const masks = everybody.flatMap((who): (readonly [string, string])[] => {
    const { accountId, userId, email } = who;
    const called = personIn(who, entries).alias ?? `account ${short(accountId)}`;
    const mail = email === null ? [] : [[email, called] as const];
    return [[identityKey(who), called], ...mail, [userId, short(userId)], [accountId, short(accountId)]];
  });
  // A key before the ids in it.
  const found = new Map(masks.toSorted(([a], [b]) => b.length - a.length));
  return {
    person: (who) => masked(personIn(who, entries)),
    said: (text) =>
      [...found]
        .reduce((told, [name, mask]) => told.replaceAll(name, mask), text)
        .replace(MAIL, '…@…')
        .replace(PEER, (_, kind: string, peer: string) => `${kind}:${short(peer)}`),
  };
}

/** The e-mail of somebody who is not stored, in a profile id or in the settings; WhatsApp's groups look like one, and are none. */
const MAIL = /[^\s@:/,;"'()<>]+@(?!g\.us\b)[^\s@:/,;"'()<>]*[^\s@:/,;"'()<>.]/gu;

/** Who is at the other end of a direct chat, as the keys of sessions tell it. */
const PEER = /\b(direct|dm|slash):([^\s:,;]+)/g;

/** An error's own sentences may quote somebody too. */
export function maskedError(error: unknown, { said }: People): unknown {
  if (!(error instanceof RouterError)) return error;
  const { code, message, hint, candidates, cause } = error;
  return new RouterError(code, said(message), {
    ...(hint !== undefined && { hint: said(hint) }),
    ...(candidates !== undefined && { candidates: candidates.map(masked) }),
    ...(cause !== undefined && { cause }),
  });
}

/** In a phrase; by alias and account where the e-mail is not told. */
export function calledIn(person: ErrorCandidate): string {
  if (person.email !== null) return phrase(person);
  const account = `account ${showText(person.accountId, 12)}`;
  const plan = person.plan === null ? '' : `, ${showText(person.plan, 16)}`;
  return person.alias === null ? account : `${showText(person.alias, 32)} (${account}${plan})`;
}

function masked({ accountId, userId, alias, plan }: ErrorCandidate): ErrorCandidate {
  return { accountId: short(accountId), userId: short(userId), alias, email: null, plan };
}

/** As many characters of an id as tell two apart, most times, and name nobody. */
function short(id: string): string {
  return `${id.slice(0, Math.min(8, Math.floor(id.length / 2)))}…`;
}
