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
  const accounts = [...new Set(people.map(({ accountId }) => accountId))].sort();
  const lengths = new Map(
    // Sorted, so that the longest shared beginning is with a neighbour.
    accounts.map((accountId, index) => {
      const shared = Math.max(
        sharedLength(accountId, accounts[index - 1] ?? ''),
        sharedLength(accountId, accounts[index + 1] ?? ''),
      );
      return [accountId, Math.max(8, shared + 1)];
    }),
  );
  const seats = new Map<string, Set<string>>();
  for (const { accountId, userId } of people) {
    seats.set(accountId, (seats.get(accountId) ?? new Set()).add(userId));
  }
  return people.map(({ accountId, userId }) =>
    (seats.get(accountId)?.size ?? 0) > 1
      ? `${accountId}/${userId}`
      : accountId.slice(0, lengths.get(accountId) ?? accountId.length),
  );
}

function sharedLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return length;
}

/** Identities as an 80-column table: marker, what to type, alias, e-mail, plan, workspace. */
export function peopleTable(
  rows: readonly (ErrorCandidate & { marker: string; workspace?: string | null })[],
): string[] {
  const keys = shortKeys(rows);
  const wide = keys.reduce((widest, key) => Math.max(widest, columnsOf(key)), 8);
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
