import { type ErrorCandidate, RouterError } from '../errors.js';
import { identityKey, sameIdentity } from '../identity.js';
import type { Who } from '../repo/journal.js';
import type { IndexEntry, OpenRepo, Repo } from '../repo/repo.js';

/** Characters; a shorter beginning is more likely a slip than a name. */
export const SHORTEST_PREFIX = 4;

/**
 * Whom a selector names: an accountId, `accountId/userId`, an alias, an e-mail, or a prefix of at least four characters
 * of an accountId or alias that only one identity has. Exact matches win over prefixes; letter case of e-mails and
 * aliases does not matter. Never a position in a list (a removal would make it name somebody else).
 * @throws IDENTITY_NOT_FOUND with the list, IDENTITY_AMBIGUOUS with the candidates.
 */
export function resolve(selector: string, entries: readonly IndexEntry[]): IndexEntry {
  const wanted = selector.trim();
  const lower = wanted.toLowerCase();
  const rungs: readonly ((entry: IndexEntry) => boolean)[] = [
    (entry) => identityKey(entry.identity) === wanted,
    (entry) => entry.alias?.toLowerCase() === lower,
    (entry) => entry.identity.accountId === wanted,
    (entry) => entry.identity.email?.toLowerCase() === lower,
    (entry) =>
      wanted.length >= SHORTEST_PREFIX &&
      (identityKey(entry.identity).startsWith(wanted) ||
        entry.alias?.toLowerCase().startsWith(lower) === true),
  ];
  for (const rung of rungs) {
    const found = entries.filter(rung);
    const only = found[0];
    if (only !== undefined && found.length === 1) return only;
    if (found.length > 1) throw ambiguous(found);
  }
  throw notFound(entries);
}

/** Every stored identity, also one that a crash left unlisted: only then the vault is waited for. */
export async function storedEntries({
  repo,
  opening,
}: {
  readonly repo: Repo;
  readonly opening: Promise<OpenRepo>;
}): Promise<readonly IndexEntry[]> {
  return ((await repo.isBehind()) ? await opening : repo).list();
}

/** @throws IDENTITY_NOT_FOUND when the identity was removed in the meantime. */
export function entryOf(who: IndexEntry['identity'], entries: readonly IndexEntry[]): IndexEntry {
  const entry = entryOrNull(who, entries);
  if (entry === null) throw notFound(entries);
  return entry;
}

/** Null for somebody who is not stored. */
export function entryOrNull(who: Who, entries: readonly IndexEntry[]): IndexEntry | null {
  return entries.find(({ identity }) => sameIdentity(identity, who)) ?? null;
}

/** What a person calls an identity, in a sentence. */
export function nameOf({ alias, identity }: Pick<IndexEntry, 'alias' | 'identity'>): string {
  return alias ?? identity.email ?? identityKey(identity);
}

/** What names an identity, and no other, in a command. */
export function selectorOf({ alias, identity }: Pick<IndexEntry, 'alias' | 'identity'>): string {
  return alias ?? identityKey(identity);
}

/** The shortest that names an identity, and no other of `entries`, in a command: what a person is told to type. */
export function typedSelectorOf(entry: IndexEntry, entries: readonly IndexEntry[]): string {
  const { accountId } = entry.identity;
  const several = entries.filter(({ identity }) => identity.accountId === accountId).length > 1;
  return entry.alias ?? (several ? identityKey(entry.identity) : accountId);
}

export function candidateOf(entry: Pick<IndexEntry, 'alias' | 'identity'>): ErrorCandidate {
  const { accountId, userId, email, plan } = entry.identity;
  return { accountId, userId, alias: entry.alias, email, plan };
}

function ambiguous(found: readonly IndexEntry[]): RouterError {
  const accounts = new Set(found.map((entry) => entry.identity.accountId));
  const what = accounts.size === 1 ? 'that workspace has several of your logins' : 'several identities match';
  return new RouterError('IDENTITY_AMBIGUOUS', `${what}: ${found.length} to choose from`, {
    hint: 'name one by its alias or as accountId/userId',
    candidates: found.map(candidateOf),
  });
}

function notFound(entries: readonly IndexEntry[]): RouterError {
  if (entries.length === 0) {
    return new RouterError('IDENTITY_NOT_FOUND', 'no identity is stored yet', {
      hint: 'codex-router login',
      candidates: [],
    });
  }
  return new RouterError('IDENTITY_NOT_FOUND', 'no stored identity matches that', {
    hint: 'codex-router list',
    candidates: entries.map(candidateOf),
  });
}
