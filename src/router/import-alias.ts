import { RouterError } from '../errors.js';
import { sameIdentity } from '../identity.js';
import type { IndexEntry } from '../repo/repo.js';
import type { HostNote } from '../slot/host.js';
import { showText } from '../text.js';
import { parseAlias } from './alias.js';
import type { Candidate, Stored } from './import-step.js';

type Named = Pick<IndexEntry, 'identity' | 'alias'>;

/** The alias that a person asked for. @throws USAGE when it is malformed or taken, or several logins come in. */
export function aliasAskedFor(
  chosen: readonly Candidate[],
  stored: Stored,
  alias: string | null,
): string | null {
  if (alias === null) return null;
  const [only, another] = chosen;
  if (another !== undefined) {
    throw new RouterError('USAGE', `--alias names one identity, and there are ${chosen.length}`, {
      hint: 'import them without --alias, then codex-router alias <accountId> <name>',
    });
  }
  const entry = stored.entries.find(({ identity }) => only && sameIdentity(identity, only.holding.identity));
  return parseAlias(alias, entry ?? null, stored.entries);
}

/**
 * The name that the login's own tool has for it, where it may be an alias here: never instead of one that a person gave.
 * @param others who has a name already, those of this import included.
 * @param notes gets why a name is left out.
 */
export function aliasSuggested(
  { alias, from, holding: { identity } }: Candidate,
  others: readonly Named[],
  notes: HostNote[],
): string | null {
  const entry = others.find((other) => sameIdentity(other.identity, identity)) ?? null;
  if (alias === undefined || alias === null || alias === '' || entry?.alias) return null;
  // Many tools call a login by its e-mail, which names it here already.
  if (alias.toLowerCase() === identity.email?.toLowerCase()) return null;
  try {
    return parseAlias(alias, entry, [...others]);
  } catch (error) {
    if (!(error instanceof RouterError && error.code === 'USAGE')) throw error;
    const text = `${from}: its name ${showText(alias, 40)} is left out: ${error.message}`;
    notes.push({ code: 'ALIAS_LEFT_OUT', text });
    return null;
  }
}
