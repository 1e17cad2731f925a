import { type IdentityKey, identityKey, parseAccountId, parseUserId } from '../identity.js';
import { damage, FORMAT_VERSION, parseVersioned } from './format.js';
import {
  DOUBTS,
  type Doubt,
  type Fingerprint,
  type IndexEntry,
  type Lending,
  type Placement,
  SOURCES,
} from './repo.js';

/** index.json: everything about the identities that is not secret. Fields of other releases ride along through every change. */
export interface Index {
  readonly version: typeof FORMAT_VERSION;
  /** The vault whose records it lists. */
  readonly vaultId: string;
  /** Goes up with every write; each step is random, so that two copies of a vault that part never pass the same ones. */
  readonly generation: number;
  /** The generations before, oldest first; as many as the owner file of a host may lag behind. */
  readonly earlier: readonly number[];
  readonly identities: readonly IndexEntry[];
  /** Records being removed, by file name: an orphan up to that revision is to be deleted, a later one to be adopted. */
  readonly removing: { readonly [name: string]: number };
}

/**
 * Written by hand where the other formats use zod: `list` needs no other parser of ours, and loading zod would be most of
 * its cost (docs/decisions/0012).
 * @throws VAULT_DAMAGED, VAULT_NEWER
 */
export function parseIndex(text: string, path: string): Index {
  const fields = parseVersioned(text, path, 'VAULT_DAMAGED');
  const { vaultId, identities, removing = {}, generation = 0, earlier = [] } = fields;
  const isCounted = isCount(generation) && Array.isArray(earlier) && earlier.every(isCount);
  if (typeof vaultId !== 'string' || !Array.isArray(identities) || !isCounts(removing) || !isCounted) {
    throw damage(path, 'its fields are not as they must be');
  }
  const seen = new Set<IdentityKey>();
  const entries = identities.map((value: unknown, place) => {
    const entry = parseEntry(value);
    if (entry === null) throw damage(path, `its identity number ${place + 1} is not as it must be`);
    const key = identityKey(entry.identity);
    if (seen.has(key)) throw damage(path, 'it lists an identity twice');
    seen.add(key);
    return entry;
  });
  return { ...fields, version: FORMAT_VERSION, vaultId, generation, earlier, identities: entries, removing };
}

const MOST_FORMER = 32;

/** What the grants before `print` are, once it takes the place of that of `old`. */
export function formerThan(
  print: Fingerprint,
  old: Pick<IndexEntry, 'fingerprint' | 'former'> | null,
): readonly Fingerprint[] {
  if (old === null || old.fingerprint === print) return old?.former ?? [];
  const before = old.former.filter((one) => one !== print && one !== old.fingerprint);
  return [old.fingerprint, ...before].slice(0, MOST_FORMER);
}

/** `text` is 32 hex digits: checked by `parseEntry`, or just made from a MAC. */
export function parseFingerprint(text: string): Fingerprint {
  return text as Fingerprint;
}

interface Fields {
  readonly [name: string]: unknown;
}

function parseEntry(value: unknown): IndexEntry | null {
  if (!isFields(value)) return null;
  const identity = parseIdentity(value.identity);
  const placement = value.placement === null ? null : parsePlacement(value.placement);
  const { alias, fingerprint, expiresAt, revision, source, verified, sharedWith, addedAt, updatedAt } = value;
  if (identity === null || placement === undefined) return null;
  if (!isTextOrNull(alias) || !isFingerprint(fingerprint) || !isSource(source)) return null;
  if (!isNumber(expiresAt) || !isNumber(addedAt) || !isNumber(updatedAt)) return null;
  if (!isCount(revision) || revision < 1 || typeof verified !== 'boolean') return null;
  if (sharedWith !== null && sharedWith !== 'codex') return null;
  const { doubt = null, former = [] } = value;
  if (!Array.isArray(former) || !former.every(isFingerprint)) return null;
  if (doubt !== null && !isDoubt(doubt)) return null;
  const lent = parseLending(value.lent ?? null);
  const { exported = null } = value;
  if (lent === undefined || (exported !== null && !isFingerprint(exported))) return null;
  const rest = { alias, fingerprint: parseFingerprint(fingerprint), expiresAt, revision, source, verified };
  return {
    ...value,
    identity,
    ...rest,
    sharedWith,
    placement,
    lent,
    exported: exported === null ? null : parseFingerprint(exported),
    former: former.map(parseFingerprint),
    doubt,
    addedAt,
    updatedAt,
  };
}

function parseIdentity(value: unknown): IndexEntry['identity'] | null {
  if (!isFields(value)) return null;
  const { email, plan, workspace } = value;
  if (!isTextOrNull(email) || !isTextOrNull(plan) || !isTextOrNull(workspace)) return null;
  try {
    const accountId = parseAccountId(value.accountId);
    const userId = parseUserId(value.userId);
    return { ...value, accountId, userId, email, plan, workspace };
  } catch {
    return null;
  }
}

/** Undefined when it is none. */
export function parsePlacement(value: unknown): Placement | undefined {
  if (!isFields(value)) return undefined;
  const { slot, fingerprint, at } = value;
  if (typeof slot !== 'string' || !isFingerprint(fingerprint) || !isNumber(at)) return undefined;
  return { ...value, slot, fingerprint: parseFingerprint(fingerprint), at };
}

/** Undefined when it is none. */
function parseLending(value: unknown): Lending | null | undefined {
  if (value === null) return null;
  if (!isFields(value)) return undefined;
  const { folder, what, displaced, at, fingerprint, until, proved, own, replaced } = value;
  if (typeof folder !== 'string' || !isNumber(at)) return undefined;
  if (what !== 'access' && what !== 'grant') return undefined;
  if (fingerprint !== undefined && !isFingerprint(fingerprint)) return undefined;
  if (until !== undefined && !isNumber(until)) return undefined;
  if (proved !== undefined && typeof proved !== 'boolean') return undefined;
  if (own !== undefined && typeof own !== 'boolean') return undefined;
  if (replaced !== undefined && typeof replaced !== 'boolean') return undefined;
  const rest: Omit<Lending, 'displaced'> = {
    ...value,
    folder,
    what,
    at,
    ...(fingerprint !== undefined && { fingerprint: parseFingerprint(fingerprint) }),
    ...(until !== undefined && { until }),
    ...(proved !== undefined && { proved }),
    ...(own !== undefined && { own }),
    ...(replaced !== undefined && { replaced }),
  };
  if (displaced === null) return { ...rest, displaced };
  const [accountId, userId, more] = typeof displaced === 'string' ? displaced.split('/') : [];
  if (more !== undefined) return undefined;
  try {
    const whose = { accountId: parseAccountId(accountId), userId: parseUserId(userId) };
    return { ...rest, displaced: identityKey(whose) };
  } catch {
    return undefined;
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

function isCounts(value: unknown): value is { [name: string]: number } {
  return isFields(value) && Object.values(value).every(isCount);
}

function isFingerprint(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{32}$/.test(value);
}

function isDoubt(value: unknown): value is Doubt {
  return DOUBTS.some((doubt) => doubt === value);
}

function isSource(value: unknown): value is IndexEntry['source'] {
  return SOURCES.some((source) => source === value);
}
