import type { Holding } from '../holding.js';
import type { IndexEntry, SaveFacts } from '../repo/repo.js';
import { type Candidate, type ImportStep, tokenIssuedAt } from './import-step.js';

/** What an import may change of an identity that is stored, beside its tokens. */
export const CHANGED_FIELDS = [
  'email',
  'plan',
  'workspace',
  'alias',
  'issuedAt',
  'expiresAt',
  'sharedWith',
  'source',
] as const;

export interface Change {
  readonly field: (typeof CHANGED_FIELDS)[number];
  /** Null for nothing; times are ISO 8601. Text from outside: clean it before it is shown. */
  readonly from: string | null;
  readonly to: string | null;
}

/** How a login that comes in differs from the stored one. */
export interface Difference {
  /** `new`: nothing of this identity is stored. `another`: another login of it is. */
  readonly grant: 'new' | 'same' | 'another';
  /** Whether that other login is the later one; null where it cannot be told, or there is none. */
  readonly newer: boolean | null;
  /** Fields that are not the same; all that are set, for a new identity. */
  readonly changes: readonly Change[];
}

type Fields = { readonly [field in Change['field']]: string | null };

export interface Was {
  readonly entry: IndexEntry | null;
  /** The stored login; null when none is, or its record is damaged. */
  readonly before: Holding | null;
}

/** @param step what becomes of it; null for a login that is refused: what it would have changed. */
export function differenceOf(was: Was, candidate: Candidate, step: ImportStep | null): Difference {
  const { entry, before } = was;
  const refused = { holding: candidate.holding, facts: { source: candidate.source } };
  const kept = { holding: before ?? candidate.holding, facts: {} };
  const old = entry === null ? NOTHING : fieldsOf(entry, before);
  const fresh = fieldsAfter(entry, step === null ? refused : (step.save ?? kept));
  const changes = CHANGED_FIELDS.filter((field) => old[field] !== fresh[field]).map((field) => ({
    field,
    from: old[field],
    to: fresh[field],
  }));
  if (entry === null) return { grant: 'new', newer: null, changes };
  if (entry.fingerprint === candidate.fingerprint) return { grant: 'same', newer: null, changes };
  if (step?.result === 'updated') return { grant: 'another', newer: true, changes };
  return { grant: 'another', newer: isLater(candidate, entry, before), changes };
}

function isLater(candidate: Candidate, entry: IndexEntry, before: Holding | null): boolean | null {
  if (entry.former.includes(candidate.fingerprint)) return false;
  const [old, fresh] = [before === null ? null : tokenIssuedAt(before), tokenIssuedAt(candidate.holding)];
  return old === null || fresh === null ? null : fresh > old;
}

const NOTHING: Fields = {
  email: null,
  plan: null,
  workspace: null,
  alias: null,
  issuedAt: null,
  expiresAt: null,
  sharedWith: null,
  source: null,
};

function fieldsOf(entry: IndexEntry, before: Holding | null): Fields {
  const { email, plan, workspace } = entry.identity;
  return {
    email,
    plan,
    workspace,
    alias: entry.alias,
    issuedAt: before === null ? null : timeOf(tokenIssuedAt(before)),
    expiresAt: timeOf(entry.expiresAt),
    sharedWith: entry.sharedWith,
    source: entry.source,
  };
}

function fieldsAfter(
  entry: IndexEntry | null,
  { holding, facts }: { readonly holding: Holding; readonly facts: SaveFacts },
): Fields {
  const { identity, grant } = holding;
  const known = entry?.identity;
  return {
    email: identity.email ?? known?.email ?? null,
    plan: identity.plan ?? known?.plan ?? null,
    workspace: identity.workspace ?? known?.workspace ?? null,
    alias: facts.alias === undefined ? (entry?.alias ?? null) : facts.alias,
    issuedAt: timeOf(tokenIssuedAt(holding)),
    expiresAt: timeOf(grant.expiresAt),
    sharedWith: facts.sharedWith === undefined ? (entry?.sharedWith ?? null) : facts.sharedWith,
    source: facts.source ?? entry?.source ?? null,
  };
}

/** Null also for 0, which a login without a date has, and for what no date can be. */
function timeOf(at: number | null): string | null {
  if (at === null || at <= 0 || at > 8.64e15) return null;
  return new Date(at).toISOString().replace('.000Z', 'Z');
}
