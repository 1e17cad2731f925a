import { RouterError } from '../errors.js';
import { identityKey } from '../identity.js';
import type { IndexEntry, Repo } from '../repo/repo.js';
import { SHORTEST_PREFIX } from './resolve.js';

const ALIAS = /^[\p{L}\p{N}][\p{L}\p{N}._-]{0,31}$/u;

/**
 * A short name of the person's own. Never one that could be taken for another selector.
 * @throws USAGE unless it is 1 to 32 letters, digits, dots, dashes or underscores, begins with a letter or digit, and no
 * other identity's alias, user id or e-mail is the same text, nor its accountId begins with it.
 */
export function parseAlias(
  text: string,
  entry: Pick<IndexEntry, 'identity'> | null,
  entries: readonly Pick<IndexEntry, 'alias' | 'identity'>[],
): string {
  if (!ALIAS.test(text)) {
    throw new RouterError('USAGE', 'an alias is 1 to 32 letters, digits, dots, dashes or underscores', {
      hint: 'codex-router alias <selector> work',
    });
  }
  const lower = text.toLowerCase();
  const taken = entries.find(
    ({ alias, identity }) =>
      (entry === null || identityKey(identity) !== identityKey(entry.identity)) &&
      ([alias, identity.userId, identity.email].some((name) => name?.toLowerCase() === lower) ||
        (text.length >= SHORTEST_PREFIX && identityKey(identity).startsWith(text))),
  );
  if (taken !== undefined) {
    throw new RouterError('USAGE', `${text} already names another identity`, { hint: 'codex-router list' });
  }
  return text;
}

/** Names an identity, or takes its name off (null). */
export async function setAlias(repo: Repo, entry: IndexEntry, text: string | null): Promise<IndexEntry> {
  const alias = text === null ? null : parseAlias(text, entry, await repo.list());
  return repo.setAlias(identityKey(entry.identity), alias);
}
