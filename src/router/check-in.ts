import { issuedAt } from '../grant.js';
import type { Holding } from '../holding.js';
import { identityKey, sameIdentity } from '../identity.js';
import type { Fingerprint, IndexEntry, OpenRepo, Placement } from '../repo/repo.js';

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
  /** Durable when it returns; what loses is sealed as a back-up first. */
  carryOut(): Promise<void>;
}

type Copy = { readonly fingerprint: Fingerprint; readonly issuedAt: number | null };

/**
 * Which of two copies of one identity's login is kept. Decided by comparing fingerprints with the grant we last put into
 * that slot; only where we never put one there does the issuer's own `iat` decide, and the loser is sealed either way.
 */
export function winner(slot: Copy, repo: Copy, placed: Fingerprint | null): 'same' | 'slot' | 'repo' {
  if (slot.fingerprint === repo.fingerprint) return 'same';
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
  const stored = await repo.load(identityKey(entry.identity));
  const placed = entry.placement?.slot === slot ? entry.placement.fingerprint : null;
  const decided = winner(
    { fingerprint, issuedAt: issuedAt(held.grant) },
    { fingerprint: entry.fingerprint, issuedAt: issuedAt(stored.grant) },
    placed,
  );
  // Another router may have spent the stored one; what the host runs on is at least alive.
  const disputed = entry.doubt === 'taken-over';
  const kept = disputed && decided === 'repo' ? 'slot' : decided;
  if (kept === 'repo') {
    const carryOut = () => repo.backUp(held, 'the slot held an older grant of this identity');
    return { result: 'repo-newer', kept: stored, fingerprint: entry.fingerprint, carryOut };
  }
  const merged = merge(held, stored, entry);
  if (kept === 'slot') {
    const carryOut = async () => {
      if (placed === null) await repo.backUp(stored, 'the slot held a newer grant of this identity');
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
