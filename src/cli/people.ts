import type { ErrorCandidate } from '../errors.js';
import { columnsOf, showText } from '../text.js';
import { table } from './paint.js';

/** A person in one phrase: the name they are known by, then what tells look-alikes apart. */
export function phrase({ alias, email, plan, accountId }: ErrorCandidate): string {
  const marks = [plan === null ? null : showText(plan, 16), `account ${showText(accountId.slice(0, 8), 8)}`];
  if (alias === null) return `${showText(email, 40)} (${marks.filter((mark) => mark !== null).join(', ')})`;
  return `${showText(alias, 32)} (${[showText(email, 40), ...marks].filter((mark) => mark !== null).join(', ')})`;
}

/**
 * The shortest beginning of each accountId, at least eight characters, that no other accountId in the list shares, followed
 * by `/userId` where one workspace has several logins: what a person can type, and what tells two look-alikes apart.
 */
export function shortKeys(people: readonly ErrorCandidate[]): string[] {
  return people.map(({ accountId, userId }) => {
    let length = 8;
    const clash = (other: ErrorCandidate) =>
      other.accountId !== accountId && other.accountId.startsWith(accountId.slice(0, length));
    while (length < accountId.length && people.some(clash)) length += 1;
    const shared = people.some((other) => other.accountId === accountId && other.userId !== userId);
    return shared ? `${accountId}/${userId}` : accountId.slice(0, length);
  });
}

/** Identities as an 80-column table: marker, what to type, alias, e-mail, plan, workspace. */
export function peopleTable(
  rows: readonly (ErrorCandidate & { marker: string; workspace?: string | null })[],
): string[] {
  const keys = shortKeys(rows);
  const wide = Math.max(8, ...keys.map(columnsOf));
  const email = Math.max(16, Math.min(30, 80 - wide - 36));
  const head = ['', 'ACCOUNT', 'ALIAS', 'EMAIL', 'PLAN', 'WORKSPACE'];
  const cells = rows.map((row, index) => [
    row.marker,
    showText(keys[index], 80),
    showText(row.alias, 12),
    showText(row.email, email),
    showText(row.plan, 10),
    showText(row.workspace, 12),
  ]);
  return table([head, ...cells]);
}
