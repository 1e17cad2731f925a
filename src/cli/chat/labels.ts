import { type Identity, sameIdentity } from '../../identity.js';
import type { IndexEntry } from '../../repo/repo.js';
import { showText } from '../../text.js';

/** Who is meant, where it may be somebody who is not stored here. */
export interface Person {
  readonly accountId: string;
  readonly userId: string;
  readonly alias: string | null;
  readonly email: string | null;
  readonly plan: string | null;
}

/**
 * A person in a chat, as "work (acme, Team)": the alias first, then what tells look-alikes apart. Where e-mails are not to be shown, one
 * without an alias is known by workspace and plan only.
 */
export function labelOf(
  { alias, email, plan, accountId, userId }: Person,
  entries: readonly IndexEntry[],
  showsEmails: boolean,
): string {
  const stored = entries.find(
    ({ identity }) => identity.accountId === accountId && identity.userId === userId,
  )?.identity;
  const workspace = stored?.workspace ?? null;
  const marks = [workspace === null ? null : showText(workspace, 32), planName(plan ?? stored?.plan ?? null)];
  const known = marks.filter((mark) => mark !== null);
  const shownEmail = showsEmails && email !== null ? showText(email, 60) : null;
  const name = alias === null ? shownEmail : showText(alias, 32);
  const behind = [alias === null ? null : shownEmail, ...known].filter((mark) => mark !== null);
  if (name === null) return nameless(workspace, planName(plan ?? stored?.plan ?? null));
  return behind.length === 0 ? name : `${name} (${behind.join(', ')})`;
}

/** Where nothing else may be shown: "Plus login", "acme (Team login)". */
function nameless(workspace: string | null, plan: string | null): string {
  const login = plan === null ? 'login without a name' : `${plan} login`;
  return workspace === null ? capital(login) : `${showText(workspace, 32)} (${login})`;
}

/** What a button says. */
export function shortLabelOf(person: Person, showsEmails: boolean): string {
  const { alias, email, plan } = person;
  if (alias !== null) return showText(alias, 32);
  if (showsEmails && email !== null) return showText(email, 32);
  return nameless(null, planName(plan));
}

export function personOf({ alias, identity }: Pick<IndexEntry, 'alias' | 'identity'>): Person {
  const { accountId, userId, email, plan } = identity;
  return { accountId, userId, alias, email, plan };
}

export function personOfIdentity(identity: Identity, entries: readonly IndexEntry[]): Person {
  const entry = entries.find((candidate) => sameIdentity(candidate.identity, identity));
  return personOf({ alias: entry?.alias ?? null, identity });
}

/** OpenAI's plans are words in small letters. */
function planName(plan: string | null): string | null {
  if (plan === null) return null;
  return capital(showText(plan, 16));
}

/** As the beginning of a sentence, or a name. */
export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What is left of a text for a group chat: whatever in it looks like an e-mail is not shown. */
export function withoutEmails(text: string): string {
  return text.replace(/[^\s@<>()[\]"',;:]+@[^\s@<>()[\]"',;:]+/gu, '(e-mail)');
}
