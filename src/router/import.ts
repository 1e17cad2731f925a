import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { type IdentityKey, identityKey, sameIdentity } from '../identity.js';
import type { IndexEntry, OpenRepo } from '../repo/repo.js';
import { showText } from '../text.js';
import { parseAlias } from './alias.js';
import {
  type Candidate,
  decide,
  type ImportResult,
  type ImportStep,
  type Stored,
  tokenIssuedAt,
} from './import-step.js';

export interface ImportOptions {
  readonly alias: string | null;
  /** `accountId` or `accountId/userId` that every candidate must be of. */
  readonly expect: string | null;
  /** Replace a stored grant although the incoming one is not known to be newer. */
  readonly replace: boolean;
}

export interface Skipped {
  readonly from: string;
  readonly reason: string;
}

export interface ImportPlan {
  /** At least one. */
  readonly steps: readonly ImportStep[];
  readonly skipped: readonly Skipped[];
}

export interface Imported {
  readonly entry: IndexEntry;
  readonly result: ImportResult;
  readonly from: string;
}

export async function readStored(repo: OpenRepo, candidates: readonly Candidate[]): Promise<Stored> {
  const entries = await repo.list();
  const holdings = new Map<IdentityKey, Holding>();
  for (const { identity } of entries) {
    if (!candidates.some(({ holding }) => sameIdentity(holding.identity, identity))) continue;
    const key = identityKey(identity);
    try {
      holdings.set(key, await repo.load(key));
    } catch (error) {
      if (!(error instanceof RouterError && error.code === 'RECORD_DAMAGED')) throw error;
    }
  }
  return { entries, holdings };
}

/**
 * Decides what becomes of each candidate; writes nothing. An import never replaces a grant that may be newer: only the
 * access tokens' own `iat`, or the grant we last put into the slot it comes from, can prove which one is.
 * One candidate that cannot be imported is skipped with its reason, as long as another can be.
 * @param skipped what could not even be read.
 * @throws IDENTITY_UNEXPECTED, USAGE (alias), LOGIN_NOT_FOUND when there are no candidates; and when none can be imported,
 *   the first one's reason: GRANT_NOT_NEWER, IDENTITY_MISMATCH, RECORD_DAMAGED.
 */
export function planImport(
  candidates: readonly Candidate[],
  stored: Stored,
  options: ImportOptions,
  skipped: readonly Skipped[] = [],
): ImportPlan {
  const left = [...skipped];
  const chosen = newestOfEach(candidates, left);
  if (options.expect !== null) for (const candidate of chosen) expectIdentity(candidate, options.expect);
  const alias = aliasFor(chosen, stored, options.alias);
  const steps: ImportStep[] = [];
  let refusal: RouterError | null = null;
  for (const candidate of chosen) {
    try {
      refuseSharedGrant(candidate, [...stored.entries, ...steps.map((step) => asEntry(step.candidate))]);
      steps.push(decide(candidate, stored, alias, options.replace));
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      refusal ??= error;
      left.push({ from: candidate.from, reason: error.message });
    }
  }
  if (steps.length > 0) return { steps, skipped: left };
  throw refusal ?? nothing(left);
}

/** Carries a plan out: each grant that gives way is sealed before the one that takes its place. */
export async function applyImport(repo: OpenRepo, plan: ImportPlan): Promise<readonly Imported[]> {
  const imported: Imported[] = [];
  for (const { candidate, result, backUp, save } of plan.steps) {
    if (backUp !== null) await repo.backUp(backUp, 'an import brought another grant of this identity');
    const entry =
      save === null
        ? (await repo.list()).find(({ identity }) => sameIdentity(identity, candidate.holding.identity))
        : await repo.save(save.holding, save.facts);
    if (entry === undefined) {
      throw new RouterError('BUSY', 'the identity was removed in the meantime', {
        hint: 'codex-router import',
      });
    }
    imported.push({ entry, result, from: candidate.from });
  }
  return imported;
}

/** @throws IDENTITY_UNEXPECTED, USAGE unless the login is the one that `--expect` names */
export function expectIdentity({ holding, from }: Pick<Candidate, 'holding' | 'from'>, expect: string): void {
  const { accountId, userId, email } = holding.identity;
  if (!/^[^/\s]+(\/[^/\s]+)?$/.test(expect)) {
    throw new RouterError('USAGE', '--expect wants an accountId or accountId/userId', {
      hint: 'codex-router import --expect <accountId>',
    });
  }
  if (expect === accountId || expect === identityKey(holding.identity)) return;
  throw new RouterError(
    'IDENTITY_UNEXPECTED',
    `${from} is the login of ${showText(email)} (${accountId}/${userId}), not of ${showText(expect, 200)}`,
    { hint: 'nothing was stored or changed; leave out --expect to import it all the same' },
  );
}

function aliasFor(chosen: readonly Candidate[], stored: Stored, alias: string | null): string | null {
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

/** One candidate for each identity. Copies of one grant are one login; of different grants the newest is taken. */
function newestOfEach(candidates: readonly Candidate[], skipped: Skipped[]): readonly Candidate[] {
  const best = new Map<IdentityKey, Candidate>();
  for (const candidate of candidates) {
    const key = identityKey(candidate.holding.identity);
    const other = best.get(key);
    if (other === undefined) {
      best.set(key, candidate);
    } else if (other.fingerprint !== candidate.fingerprint) {
      const newer = (tokenIssuedAt(candidate.holding) ?? 0) > (tokenIssuedAt(other.holding) ?? 0);
      if (newer) best.set(key, candidate);
      skipped.push({
        from: (newer ? other : candidate).from,
        reason: `another login of the same identity, in ${(newer ? candidate : other).from}, is taken instead`,
      });
    }
  }
  return [...best.values()];
}

/** One rotating grant under two identities would be revoked by the first refresh of either (Codex can switch workspaces). */
function refuseSharedGrant(
  { holding, fingerprint }: Candidate,
  others: readonly Pick<IndexEntry, 'identity' | 'fingerprint'>[],
): void {
  const other = others.find(
    (entry) => entry.fingerprint === fingerprint && !sameIdentity(entry.identity, holding.identity),
  );
  if (other === undefined) return;
  const key = identityKey(other.identity);
  throw new RouterError(
    'IDENTITY_MISMATCH',
    `this login's grant is already stored for ${key}, and one grant cannot serve two identities`,
    { hint: 'log in to this workspace separately, then import that login' },
  );
}

function asEntry({ holding, fingerprint }: Candidate): Pick<IndexEntry, 'identity' | 'fingerprint'> {
  return { identity: holding.identity, fingerprint };
}

function nothing(skipped: readonly Skipped[]): RouterError {
  const [first] = skipped;
  const message =
    first === undefined
      ? 'there is no login to import'
      : `nothing can be imported: ${first.from}: ${first.reason}`;
  return new RouterError('LOGIN_NOT_FOUND', message, {
    hint: 'codex login --device-auth, then codex-router import',
  });
}
