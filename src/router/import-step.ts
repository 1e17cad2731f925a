import { readClaims } from '../claims.js';
import { RouterError } from '../errors.js';
import type { Grant } from '../grant.js';
import type { Holding } from '../holding.js';
import { type IdentityKey, identityKey, sameIdentity } from '../identity.js';
import type { Doubt, Fingerprint, IndexEntry, Placement, SaveFacts, Source } from '../repo/repo.js';
import { showText } from '../text.js';
import { winner } from './check-in.js';
import { handedOver, refuseLent } from './lent.js';

/** A login that could be imported. */
export interface Candidate {
  readonly holding: Holding;
  readonly fingerprint: Fingerprint;
  /** Where it was found, in words. */
  readonly from: string;
  readonly source: Source;
  /** Who keeps a copy after the import; undefined when that is not known (a file). */
  readonly sharedWith: 'codex' | null | undefined;
  /** Set when a slot of a host holds it. */
  readonly placement: Placement | null;
  /** The Codex home that it is taken out of; left out for what stays where it is. */
  readonly takenFrom?: string;
  /** What the program it comes from calls it, as it stands there. */
  readonly alias?: string | null;
  /** Why it may not work any more, where that is known. */
  readonly doubt?: Doubt | undefined;
}

/**
 * `added`: a new identity. `unchanged`: the same grant is stored already. `updated`: a newer grant took the place of the
 * stored one. `replaced`: it did so because `replace` said so.
 */
export type ImportResult = 'added' | 'unchanged' | 'updated' | 'replaced';

export interface ImportStep {
  readonly candidate: Candidate;
  readonly result: ImportResult;
  /** The stored login that gives way, to be sealed as a back-up first; null when none does. */
  readonly backUp: Holding | null;
  /** Null when the repo already holds exactly this. */
  readonly save: { readonly holding: Holding; readonly facts: SaveFacts } | null;
}

/** What the repo holds, as far as a plan needs it. */
export interface Stored {
  readonly entries: readonly IndexEntry[];
  /** The logins of identities that a candidate has too; one that is listed and missing here has a damaged record. */
  readonly holdings: ReadonlyMap<IdentityKey, Holding>;
}

/**
 * What becomes of one candidate; writes nothing.
 * @throws LENT for another grant of who was handed over to Codex, unless it is taken from there; GRANT_NOT_NEWER unless the incoming grant is proved newer or `replace` is set; RECORD_DAMAGED when the stored one
 *   cannot be read to compare.
 */
export function decide(
  candidate: Candidate,
  stored: Stored,
  alias: string | null,
  replace: boolean,
): ImportStep {
  const { holding, fingerprint } = candidate;
  const entry = stored.entries.find(({ identity }) => sameIdentity(identity, holding.identity));
  const own: SaveFacts = {
    ...(alias === null ? {} : { alias }),
    ...(candidate.placement === null ? {} : { placement: candidate.placement }),
  };
  if (entry === undefined) {
    const facts = {
      ...own,
      source: candidate.source,
      verified: false,
      sharedWith: candidate.sharedWith ?? null,
      ...(candidate.doubt !== undefined && { doubt: candidate.doubt }),
    };
    return { candidate, result: 'added', backUp: null, save: { holding, facts } };
  }
  const before = stored.holdings.get(identityKey(entry.identity)) ?? null;
  if (entry.fingerprint === fingerprint) return sameGrant(candidate, entry, before, own);
  // A copy of what Codex made of a login that was handed over would pass for one that only we have.
  if (candidate.takenFrom !== entry.lent?.folder) refuseLent(entry, ['grant']);
  const newer = before !== null && isNewer(candidate, entry, before);
  if (!newer && !replace) throw notNewer(candidate, entry, before);
  return {
    candidate,
    result: newer ? 'updated' : 'replaced',
    backUp: before,
    save: {
      holding: withOwn(holding, before),
      // A grant that was not in the repo is not known to be shared, whatever the old one was.
      facts: {
        ...own,
        source: candidate.source,
        verified: false,
        sharedWith: candidate.sharedWith ?? null,
        ...(candidate.doubt !== undefined && { doubt: candidate.doubt }),
        // It gave way to a later one once, or is the older of the two, and may have been spent.
        ...((entry.former.includes(fingerprint) || (before !== null && !newer)) && {
          doubt: 'restored' as const,
        }),
      },
    },
  };
}

/** The grant stays; what the login says of its person is refreshed, unless its access token is the older one. */
function sameGrant(
  candidate: Candidate,
  entry: IndexEntry,
  before: Holding | null,
  own: SaveFacts,
): ImportStep {
  const { holding, sharedWith, source, placement } = candidate;
  const stale = before !== null && holding.grant.expiresAt < before.grant.expiresAt;
  const fresher = before === null || holding.grant.expiresAt > before.grant.expiresAt;
  const merged: Holding = {
    identity: stale ? before.identity : withKnown(holding.identity, entry.identity),
    grant: fresher ? withGrantOf(holding.grant, before?.grant ?? null) : before.grant,
    hostFields: before === null || source === 'openclaw' ? holding.hostFields : before.hostFields,
    selection: before === null || source === 'openclaw' ? holding.selection : before.selection,
  };
  const claimed = fresher || JSON.stringify(merged.identity) !== JSON.stringify(entry.identity);
  // A slot of ours holds it: whoever had it meanwhile has not spent it.
  const proved = placement !== null && entry.doubt === 'taken-over';
  const same =
    !claimed &&
    !proved &&
    JSON.stringify([merged.hostFields, merged.selection]) ===
      JSON.stringify([before.hostFields, before.selection]) &&
    (own.alias === undefined || own.alias === entry.alias) &&
    (sharedWith === undefined || sharedWith === entry.sharedWith) &&
    (placement === null ||
      (placement.slot === entry.placement?.slot && placement.fingerprint === entry.placement.fingerprint));
  const facts: SaveFacts = {
    ...own,
    ...(sharedWith === undefined ? {} : { sharedWith }),
    ...(claimed ? { verified: false } : {}),
    ...(proved ? { doubt: null } : {}),
  };
  return { candidate, result: 'unchanged', backUp: null, save: same ? null : { holding: merged, facts } };
}

/** What the repo knew of this identity and a login from outside does not carry. */
function withOwn(holding: Holding, before: Holding | null): Holding {
  const { hostFields } = holding;
  return {
    identity: withKnown(holding.identity, before?.identity ?? holding.identity),
    grant: holding.grant,
    hostFields: Object.keys(hostFields).length === 0 ? (before?.hostFields ?? {}) : hostFields,
    // The old grant's failures say nothing about the new one.
    selection: holding.selection,
  };
}

function withKnown(is: Holding['identity'], was: Holding['identity']): Holding['identity'] {
  return {
    ...is,
    email: is.email ?? was.email,
    plan: is.plan ?? was.plan,
    workspace: is.workspace ?? was.workspace,
  };
}

function withGrantOf(is: Grant, was: Grant | null): Grant {
  return {
    ...is,
    idToken: is.idToken ?? was?.idToken ?? null,
    lastRefresh: is.lastRefresh ?? was?.lastRefresh ?? null,
    provenance: is.provenance ?? was?.provenance ?? null,
  };
}

function isNewer(
  { holding, fingerprint, placement, takenFrom }: Candidate,
  entry: IndexEntry,
  before: Holding,
): boolean {
  const left =
    placement !== null && placement.slot === entry.placement?.slot ? entry.placement.fingerprint : null;
  // Out of the home that the stored one was handed over to comes what Codex made of it, whatever its clock says.
  const isBack = takenFrom !== undefined && handedOver(entry)?.folder === takenFrom;
  const placed = isBack ? entry.fingerprint : left;
  const incoming = { fingerprint, issuedAt: tokenIssuedAt(holding) };
  const kept = { fingerprint: entry.fingerprint, issuedAt: tokenIssuedAt(before), former: entry.former };
  return winner(incoming, kept, placed) === 'slot';
}

/** ms epoch. By the token's own `iat` only: a file's `last_refresh` is written by whoever wrote the file. */
export function tokenIssuedAt(holding: Holding): number | null {
  return readClaims(holding.grant.accessToken)?.issuedAt ?? null;
}

function notNewer(candidate: Candidate, entry: IndexEntry, before: Holding | null): RouterError {
  const { accountId, userId, email } = entry.identity;
  const who = showText(email ?? `${accountId}/${userId}`);
  const hint = 'if this one is right, repeat the command with --replace, which keeps the stored one sealed';
  if (before === null) {
    return new RouterError('RECORD_DAMAGED', `the stored login of ${who} cannot be read`, {
      hint: 'repeat the command with --replace, which stores this login in its place',
    });
  }
  const [was, is] = [dateOf(before), dateOf(candidate.holding)];
  return new RouterError(
    'GRANT_NOT_NEWER',
    `another login of ${who} is stored, issued ${was}, and this one, issued ${is}, is not known to be newer`,
    { hint },
  );
}

function dateOf(holding: Holding): string {
  const at = tokenIssuedAt(holding);
  if (at === null || Math.abs(at) > 8.64e15) return 'at an unknown time';
  return new Date(at).toISOString().replace('.000Z', 'Z');
}
