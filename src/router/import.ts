import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { type IdentityKey, identityKey, sameIdentity } from '../identity.js';
import type { IndexEntry, OpenRepo, RepoView } from '../repo/repo.js';
import type { HostNote } from '../slot/host.js';
import { showText } from '../text.js';
import { parseExpectation } from './expectation.js';
import { aliasAskedFor, aliasSuggested } from './import-alias.js';
import { type Difference, differenceOf } from './import-difference.js';
import type { Imported, ImportOutcome, Refused } from './import-outcome.js';
import type { Skipped } from './import-source.js';
import { type Candidate, decide, type ImportStep, type Stored, tokenIssuedAt } from './import-step.js';

export interface ImportOptions {
  readonly alias: string | null;
  /** `accountId` or `accountId/userId` that every candidate must be of. */
  readonly expect: string | null;
  /** Replace a stored grant although the incoming one is not known to be newer. */
  readonly replace: boolean;
}

/** A step, and what it changes. */
export interface PlannedStep extends ImportStep {
  readonly difference: Difference;
}

export interface ImportPlan {
  readonly steps: readonly PlannedStep[];
  readonly refused: readonly Refused[];
  readonly skipped: readonly Skipped[];
  readonly notes: readonly HostNote[];
}

export async function readStored(repo: RepoView, candidates: readonly Candidate[]): Promise<Stored> {
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
 * One candidate that cannot be imported is refused with its reason; so may all be.
 * @param skipped what could not even be read.
 * @throws IDENTITY_UNEXPECTED, USAGE (alias), LOGIN_NOT_FOUND when there are no candidates.
 */
export function forecastImport(
  candidates: readonly Candidate[],
  stored: Stored,
  options: ImportOptions,
  skipped: readonly Skipped[] = [],
): ImportPlan {
  const left = [...skipped];
  const chosen = newestOfEach(candidates, left);
  if (chosen.length === 0) throw nothingToImport(left);
  if (options.expect !== null) for (const candidate of chosen) expectIdentity(candidate, options.expect);
  const asked = aliasAskedFor(chosen, stored, options.alias);
  const steps: PlannedStep[] = [];
  const refused: Refused[] = [];
  const notes: HostNote[] = [];
  for (const candidate of chosen) {
    const { identity } = candidate.holding;
    const entry = stored.entries.find((one) => sameIdentity(one.identity, identity)) ?? null;
    const was = { entry, before: stored.holdings.get(identityKey(identity)) ?? null };
    try {
      refuseSharedGrant(candidate, [...stored.entries, ...steps.map((step) => asEntry(step.candidate))]);
      const named = [...steps.map(asNamed), ...stored.entries];
      const alias = asked ?? aliasSuggested(candidate, named, notes);
      const step = decide(candidate, stored, alias, options.replace);
      steps.push({ ...step, difference: differenceOf(was, candidate, step) });
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      refused.push({ candidate, entry, error, difference: differenceOf(was, candidate, null) });
    }
  }
  return { steps, refused, skipped: left, notes };
}

/** As `forecastImport`. @throws also, when no candidate can be imported, the first one's reason: GRANT_NOT_NEWER, IDENTITY_MISMATCH, RECORD_DAMAGED. */
export function planImport(
  candidates: readonly Candidate[],
  stored: Stored,
  options: ImportOptions,
  skipped: readonly Skipped[] = [],
): ImportPlan {
  const plan = forecastImport(candidates, stored, options, skipped);
  const [first] = plan.refused;
  if (plan.steps.length === 0 && first !== undefined) throw first.error;
  return plan;
}

/** Carries a plan out: each grant that gives way is sealed before the one that takes its place. */
export async function applyImport(repo: OpenRepo, plan: ImportPlan): Promise<readonly Imported[]> {
  const imported: Imported[] = [];
  for (const { candidate, result, backUp, save, difference } of plan.steps) {
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
    imported.push({ entry, result, from: candidate.from, difference });
  }
  return imported;
}

/** What carrying a plan out would come to. */
export function previewImport(plan: ImportPlan, stored: Stored): ImportOutcome {
  const imported = plan.steps.map(({ candidate, result, save, difference }): Imported => {
    const entry = stored.entries.find((one) => sameIdentity(one.identity, candidate.holding.identity));
    const identity = save?.holding.identity ?? entry?.identity ?? candidate.holding.identity;
    const known = entry?.identity;
    const facts = save?.facts ?? {};
    return {
      entry: {
        identity: {
          ...identity,
          email: identity.email ?? known?.email ?? null,
          plan: identity.plan ?? known?.plan ?? null,
          workspace: identity.workspace ?? known?.workspace ?? null,
        },
        alias: facts.alias === undefined ? (entry?.alias ?? null) : facts.alias,
        source: facts.source ?? entry?.source ?? candidate.source,
        sharedWith: facts.sharedWith === undefined ? (entry?.sharedWith ?? null) : facts.sharedWith,
        verified: facts.verified ?? entry?.verified ?? false,
        doubt:
          facts.doubt !== undefined
            ? facts.doubt
            : difference.grant === 'same'
              ? (entry?.doubt ?? null)
              : null,
      },
      result,
      from: candidate.from,
      difference,
    };
  });
  return { imported, refused: plan.refused, skipped: plan.skipped, notes: plan.notes };
}

/** @throws IDENTITY_UNEXPECTED, USAGE unless the login is the one that `--expect` names */
export function expectIdentity({ holding, from }: Pick<Candidate, 'holding' | 'from'>, expect: string): void {
  const { accountId, userId, email } = holding.identity;
  const wanted = parseExpectation(expect);
  if (wanted.accountId === accountId && (wanted.userId ?? userId) === userId) return;
  throw new RouterError(
    'IDENTITY_UNEXPECTED',
    `${from} is the login of ${showText(email)} (${accountId}/${userId}), not of ${showText(expect, 200)}`,
    { hint: 'nothing was stored or changed; leave out --expect to import it all the same' },
  );
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

function asNamed({ candidate, save }: PlannedStep): Pick<IndexEntry, 'identity' | 'alias'> {
  return { identity: candidate.holding.identity, alias: save?.facts.alias ?? null };
}

/** LOGIN_NOT_FOUND, with the first reason. */
export function nothingToImport(skipped: readonly Skipped[]): RouterError {
  const [first] = skipped;
  const message =
    first === undefined
      ? 'there is no login to import'
      : `nothing can be imported: ${first.from}: ${first.reason}`;
  return new RouterError('LOGIN_NOT_FOUND', message, {
    hint: 'codex-router login',
  });
}
