import { RouterError } from '../errors.js';
import { issuedAt } from '../grant.js';
import type { Holding } from '../holding.js';
import { identityKey, sameIdentity } from '../identity.js';
import type { Lending, OpenRepo } from '../repo/repo.js';
import type { HostNote } from '../slot/host.js';
import { winner } from './check-in.js';
import { importFromHome } from './import-home.js';
import type { Seal } from './import-source.js';
import type { LendHome } from './lend-source.js';
import { afterTaking } from './lent.js';
import { entryOf } from './resolve.js';

/**
 * What became of a login that Codex had. `unchanged`: it is the stored one. `taken-home`: Codex rotated it, or logged the same identity
 * in anew. `repo-newer`: a login was stored here since; Codex's is sealed as a back-up.
 */
export type HandBack = 'unchanged' | 'taken-home' | 'repo-newer';

/** How an import decides where nobody chose anything. */
export const PLAIN = { alias: null, expect: null, replace: false } as const;

/**
 * Takes a login that was handed over out of its Codex home, seals it as the stored one of its identity, and only then removes it there.
 * @param after what the index says of the lending from the moment the login is stored.
 * @throws as `LoginHome.take`: then the login is back in that home, and the lending stands as it was
 */
export async function takeBack(
  repo: OpenRepo,
  home: LendHome,
  shown: Holding,
  lent: Lending,
  after: Lending | null,
): Promise<HandBack> {
  const sealing = sealBack(repo, lent, after);
  try {
    await (await home.logins()).take(shown, sealing.seal);
  } catch (error) {
    await repo.lend(identityKey(shown.identity), lent);
    throw error;
  }
  return sealing.result();
}

/**
 * Finishes what a kill interrupted: a login that was on its way out of this home is stored.
 * @returns what was left and is stored now; null when nothing was
 */
export async function resumeLeftover(
  repo: OpenRepo,
  home: LendHome,
  notes: HostNote[],
): Promise<Holding | null> {
  const logins = await home.logins();
  const left = await logins.readLeftover();
  if (left === null) return null;
  const owner = (await repo.list()).find(({ identity }) => sameIdentity(identity, left.identity));
  const { lent } = owner ?? { lent: null };
  if (lent?.what === 'grant' && lent.folder === home.folder) {
    const sealing = sealBack(repo, lent, afterTaking(lent));
    await logins.resume(sealing.seal);
    notes.push({ code: 'RESUMED', text: `an interrupted unlend from ${home.folder} was finished` });
  } else {
    notes.push(...(await importFromHome(logins, repo, null, 'take', PLAIN)).notes);
  }
  return left;
}

/**
 * Decides as a check-in does: Codex's is what became of the stored one, unless a login of our own making took its place or Codex has
 * one that gave way before.
 */
function sealBack(repo: OpenRepo, lent: Lending, after: Lending | null) {
  let result: HandBack = 'unchanged';
  const seal: Seal = async (found) => {
    const key = identityKey(found.identity);
    const entry = entryOf(found.identity, await repo.list());
    const stored = await repo.load(key);
    const there = { fingerprint: repo.fingerprint(found.grant), issuedAt: issuedAt(found.grant) };
    const here = { fingerprint: entry.fingerprint, issuedAt: issuedAt(stored.grant), former: entry.former };
    const placed = lent.replaced === true ? (lent.fingerprint ?? null) : entry.fingerprint;
    const kept = winner(there, here, placed);
    if (kept === 'repo') {
      await repo.backUp(found, 'the Codex CLI held an older login of this identity');
      result = 'repo-newer';
    } else {
      result = kept === 'same' ? 'unchanged' : 'taken-home';
      const isOdd = (there.issuedAt ?? 0) < (here.issuedAt ?? 0);
      const isAnother = lent.fingerprint !== undefined && lent.fingerprint !== entry.fingerprint;
      if (kept === 'slot' && (isOdd || isAnother))
        await repo.backUp(stored, 'the Codex CLI held another login of this identity');
      if (kept === 'slot' || found.grant.expiresAt > stored.grant.expiresAt)
        await repo.save(merged(found, stored));
      await prove(repo, found);
    }
    await repo.lend(key, after);
  };
  return { seal, result: () => result };
}

/** Codex keeps neither the entry's own fields nor the workspace's name; the id token and the provenance it always has. */
function merged(found: Holding, stored: Holding): Holding {
  const { email, plan } = found.identity;
  return {
    ...stored,
    identity: {
      ...stored.identity,
      email: email ?? stored.identity.email,
      plan: plan ?? stored.identity.plan,
    },
    grant: {
      ...found.grant,
      idToken: found.grant.idToken ?? stored.grant.idToken,
      provenance: found.grant.provenance ?? stored.grant.provenance,
    },
  };
}

/** Codex's copy is about to be removed, so what the record gives back is compared with it. */
async function prove(repo: OpenRepo, { identity, grant }: Holding): Promise<void> {
  const key = identityKey(identity);
  if ((await repo.load(key)).grant.refreshToken.equals(grant.refreshToken)) return;
  throw new RouterError('RECORD_DAMAGED', `the sealed record of ${key} does not give back what was put in`, {
    hint: 'codex-router vault status --check',
  });
}
