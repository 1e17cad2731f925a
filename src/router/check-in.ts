import { RouterError } from '../errors.js';
import { issuedAt } from '../grant.js';
import type { Holding } from '../holding.js';
import { identityKey, sameIdentity } from '../identity.js';
import type { Fingerprint, IndexEntry, OpenRepo, Placement } from '../repo/repo.js';
import type { HostNote } from '../slot/host.js';

/**
 * What becomes of a slot's login at check-in.
 * `unchanged`: the repo has it. `taken-home`: the host rotated it. `imported`: never seen before.
 * `repo-newer`: the repo's copy was renewed by a login or import since; the slot's is sealed as a back-up.
 */
export type CheckInResult = 'unchanged' | 'taken-home' | 'imported' | 'repo-newer';

/** A check-in decided, nothing written yet. */
export interface CheckIn {
  readonly result: CheckInResult;
  /** What the repo holds of this identity once it is carried out. */
  readonly kept: Holding;
  readonly fingerprint: Fingerprint;
  /** The slot holds a grant that gave way to the stored one, which nobody else holds: the host has written an old store back. */
  readonly isStale?: boolean;
  /** What a person should know of it beside the result. */
  readonly note?: HostNote;
  /** Durable when it returns; what loses is sealed as a back-up first. */
  carryOut(): Promise<void>;
}

type Copy = { readonly fingerprint: Fingerprint; readonly issuedAt: number | null };

/** The stored copy, and the grants that it took the place of. */
type StoredCopy = Copy & { readonly former: readonly Fingerprint[] };

/**
 * Which of two copies of one identity's login is kept. Decided by comparing fingerprints, with those that the stored one took the place
 * of (a host that writes an old store back brings a spent one) and with the grant we last put into that slot; only where we never put
 * one there does the issuer's own `iat` decide, and the loser is sealed either way.
 */
export function winner(slot: Copy, repo: StoredCopy, placed: Fingerprint | null): 'same' | 'slot' | 'repo' {
  if (slot.fingerprint === repo.fingerprint) return 'same';
  if (repo.former.includes(slot.fingerprint)) return 'repo';
  if (placed !== null) return slot.fingerprint !== placed && repo.fingerprint === placed ? 'slot' : 'repo';
  return slot.issuedAt !== null && repo.issuedAt !== null && slot.issuedAt > repo.issuedAt ? 'slot' : 'repo';
}

/**
 * Decides how a slot's login comes home before it can be overwritten, matched by the identity in its own tokens.
 * @param slot `SlotAddress.id` of where `held` was read.
 */
export async function planCheckIn(
  repo: OpenRepo,
  held: Holding,
  slot: string,
  now: number,
): Promise<CheckIn> {
  const fingerprint = repo.fingerprint(held.grant);
  const placement: Placement = { slot, fingerprint, at: now };
  const entry = (await repo.list()).find((candidate) => sameIdentity(candidate.identity, held.identity));
  if (entry === undefined) {
    const { identity, grant, hostFields, selection } = held;
    const kept: Holding = { identity, grant, hostFields, selection };
    const carryOut = async () => void (await repo.save(kept, { source: 'slot', placement }));
    return { result: 'imported', kept, fingerprint, carryOut };
  }
  const stored = await loadOrDamage(repo, entry);
  if (stored instanceof RouterError) return inPlaceOf(stored, repo, held, entry, placement);
  const placed = entry.placement?.slot === slot ? entry.placement.fingerprint : null;
  const there = { fingerprint, issuedAt: issuedAt(held.grant) };
  const here = { fingerprint: entry.fingerprint, issuedAt: issuedAt(stored.grant), former: entry.former };
  const decided = winner(there, here, placed);
  // The stored one may be spent; what the host runs on is at least alive.
  const { doubt } = entry;
  const disputed = doubt === 'taken-over' || doubt === 'restored' || doubt === 'lost-outside';
  const isFormer = entry.former.includes(fingerprint);
  const kept = disputed && decided === 'repo' && !isFormer ? 'slot' : decided;
  if (kept === 'repo') {
    const carryOut = () => repo.backUp(held, 'the slot held an older grant of this identity');
    const wasHere = placed === entry.fingerprint || entry.placement === null;
    const isStale = wasHere && isFormer;
    return { result: 'repo-newer', kept: stored, fingerprint: entry.fingerprint, isStale, carryOut };
  }
  const merged = merge(held, stored, entry);
  if (kept === 'slot') {
    const carryOut = async () => {
      // A rotation is issued after what it rotates: where it says otherwise, nothing is given up for good.
      const isOdd = (there.issuedAt ?? 0) < (here.issuedAt ?? 0);
      if (placed === null || isOdd) await repo.backUp(stored, 'the slot held another grant of this identity');
      await repo.save(merged, { placement });
    };
    return { result: 'taken-home', kept: merged, fingerprint, carryOut };
  }
  // A refresh may answer without a new refresh token (RFC 6749, section 6): same grant, newer access token.
  const fresher = held.grant.expiresAt > stored.grant.expiresAt ? merged.grant : stored.grant;
  const current = { ...merged, grant: fresher };
  const carryOut = async () => {
    if (disputed || !sameHolding(current, stored)) await repo.save(current, { placement });
    if (disputed) await repo.doubt(identityKey(entry.identity), null);
  };
  return { result: 'unchanged', kept: current, fingerprint, carryOut };
}

async function loadOrDamage(repo: OpenRepo, { identity }: IndexEntry): Promise<Holding | RouterError> {
  try {
    return await repo.load(identityKey(identity));
  } catch (error) {
    if (error instanceof RouterError && error.code === 'RECORD_DAMAGED') return error;
    throw error;
  }
}

/** What cannot be opened is no copy: the slot's is the only one, and comes home. The save sets aside what lies there. */
function inPlaceOf(
  damage: RouterError,
  repo: OpenRepo,
  { identity, grant, hostFields, selection }: Holding,
  entry: IndexEntry,
  placement: Placement,
): CheckIn {
  const { email, plan } = entry.identity;
  const who = { ...entry.identity, email: identity.email ?? email, plan: identity.plan ?? plan };
  const kept = { identity: who, grant, hostFields, selection };
  const text = `${damage.message}; the login in the slot is stored in its place`;
  const { fingerprint } = placement;
  const isSpent = entry.former.includes(fingerprint);
  const facts = { placement, ...(isSpent && { doubt: 'restored' as const }) };
  const carryOut = async () => void (await repo.save(kept, facts));
  return { result: 'taken-home', kept, fingerprint, note: { code: damage.code, text }, carryOut };
}

function merge(held: Holding, stored: Holding, entry: IndexEntry): Holding {
  const { identity } = stored;
  return {
    identity: {
      ...identity,
      email: held.identity.email ?? identity.email,
      plan: held.identity.plan ?? identity.plan,
      workspace: entry.identity.workspace,
    },
    // A slot's entry keeps neither: the id token and the provenance came with the login and stay with it.
    grant: {
      ...held.grant,
      idToken: held.grant.idToken ?? stored.grant.idToken,
      provenance: held.grant.provenance ?? stored.grant.provenance,
    },
    hostFields: held.hostFields,
    selection: held.selection,
  };
}

function sameHolding(a: Holding, b: Holding): boolean {
  const rest = ({ identity, hostFields, selection }: Holding) =>
    JSON.stringify([identity, hostFields, selection]);
  return (
    a.grant.accessToken.equals(b.grant.accessToken) &&
    a.grant.expiresAt === b.grant.expiresAt &&
    rest(a) === rest(b)
  );
}
