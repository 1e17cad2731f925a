import { RouterError } from '../errors.js';
import { type Identity, identityKey } from '../identity.js';
import type { IndexEntry } from '../repo/repo.js';
import { showText } from '../text.js';

/** Whom a login has to be of: an accountId, or `accountId/userId`. */
export interface Expectation {
  /** In lower case where it is a UUID, as `userId`. */
  readonly accountId: string;
  readonly userId: string | null;
}

/** OpenAI writes them in lower case, people copy them from elsewhere. */
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function canonical(id: string): string {
  return UUID.test(id) ? id.toLowerCase() : id;
}

/**
 * @param entries those that are stored: an alias or e-mail of one is told before a person logs in for nothing.
 * @returns ids that are UUIDs in lower case
 * @throws USAGE unless it is an accountId or `accountId/userId`
 */
export function parseExpectation(text: string, entries: readonly IndexEntry[] = []): Expectation {
  const [, accountId, userId] = /^([^/\s]+)(?:\/([^/\s]+))?$/.exec(text) ?? [];
  const lower = text.toLowerCase();
  const meant = entries.find(({ alias, identity }) =>
    [alias, identity.email].some((name) => name?.toLowerCase() === lower),
  );
  if (meant !== undefined) {
    throw new RouterError(
      'USAGE',
      '--expect wants an accountId or accountId/userId, no alias and no e-mail',
      {
        hint: `--expect ${identityKey(meant.identity)}`,
      },
    );
  }
  if (accountId !== undefined)
    return { accountId: canonical(accountId), userId: userId === undefined ? null : canonical(userId) };
  throw new RouterError('USAGE', '--expect wants an accountId or accountId/userId', {
    hint: 'codex-router list shows those that are stored',
  });
}

/** The stored identities that are meant. */
export function expected(
  { accountId, userId }: Expectation,
  entries: readonly IndexEntry[],
): readonly IndexEntry[] {
  return entries.filter(
    ({ identity }) =>
      canonical(identity.accountId) === accountId &&
      (userId === null || canonical(identity.userId) === userId),
  );
}

/**
 * Refuses the login of anybody else; tells the wrong workspace of the right person from another person, where that can be told.
 * @throws IDENTITY_UNEXPECTED
 */
export function requireExpected(
  identity: Identity,
  wanted: Expectation,
  entries: readonly IndexEntry[],
): void {
  const { email } = identity;
  const [accountId, userId] = [canonical(identity.accountId), canonical(identity.userId)];
  if (accountId === wanted.accountId && (wanted.userId ?? userId) === userId) return;
  const persons =
    wanted.userId === null
      ? expected(wanted, entries).map((one) => canonical(one.identity.userId))
      : [wanted.userId];
  const came = `${showText(email)} (${identityKey(identity)})`;
  const meant = showText(
    wanted.userId === null ? wanted.accountId : `${wanted.accountId}/${wanted.userId}`,
    200,
  );
  const isSamePerson = persons.some((one) => one === userId);
  const text = isSamePerson
    ? `the right person logged in to another workspace: ${came}, not ${meant}`
    : accountId === wanted.accountId
      ? `another person of that workspace logged in: ${came}, not ${meant}`
      : `somebody else logged in, or to another workspace: ${came}, not ${meant}`;
  const hint = isSamePerson
    ? 'log in again and choose the workspace in the browser'
    : 'log in again as the one you want, in a private window if the browser is signed in as another';
  throw new RouterError('IDENTITY_UNEXPECTED', text, { hint });
}
