import { RouterError } from '../errors.js';
import type { LeftArrival } from '../repo/arriving-logins.js';
import type { OpenRepo } from '../repo/repo.js';
import type { HostNote } from '../slot/host.js';
import type { Finding } from './finding.js';
import type { Revocation } from './revocation.js';

/** ms that the issuer is waited for: the command that is meant comes after it. */
const REVOKE_MS = 10_000;

/**
 * Ends what interrupted logins left: nobody has agreed to keep it, so it is revoked, as well as that can be done, and then forgotten. One
 * that was stored before its `login` ended is only forgotten. What could not be revoked stays where it is. Never throws for one of them.
 * @returns what happened, one note each; none for one that is stored
 * @throws what the repo throws
 */
export async function endLeftArrivals(
  { revocation }: { readonly revocation: Revocation },
  repo: OpenRepo,
  left: readonly LeftArrival[],
): Promise<readonly HostNote[]> {
  const notes: HostNote[] = [];
  for (const one of left) {
    try {
      const text = await endOf(revocation, repo, one);
      if (text !== null) notes.push({ code: 'LOGIN_LEFT', text });
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      notes.push({ code: error.code, text: `${subject(one)} stays in ${one.path}: ${error.message}` });
    }
  }
  return notes;
}

/** Null when it is stored. */
async function endOf(revocation: Revocation, repo: OpenRepo, left: LeftArrival): Promise<string | null> {
  const grant = left.open(repo);
  const what = subject(left);
  if (grant === null)
    return `${what} lies in ${left.path}, which is damaged or of another vault: it cannot be revoked; delete that file to forget it`;
  const print = repo.fingerprint(grant);
  const isStored = (await repo.list()).some(
    ({ fingerprint, former }) => fingerprint === print || former.includes(print),
  );
  if (isStored) {
    await left.drop();
    return null;
  }
  const end = await revocation.revoke(grant, AbortSignal.timeout(REVOKE_MS));
  if (end.kind !== 'revoked') {
    return `${what} was never stored and could not be revoked at the issuer (${end.why}): it stays valid there, and sealed in ${left.path}; the next login tries again`;
  }
  await left.drop();
  return `${what} was never stored, so it was revoked at the issuer`;
}

function subject({ person, how }: LeftArrival): string {
  if (person === null) return `a login ${how}`;
  const { email, accountId, userId } = person;
  return `the login of ${email ?? userId} (account ${accountId}) ${how}`;
}

/** What `doctor` and `status` say of it. */
export function arrivalFindings(left: readonly LeftArrival[]): readonly Finding[] {
  return left.map((one) => ({
    code: 'LOGIN_LEFT',
    part: 'leftover',
    danger: false,
    text: `${subject(one)} was never stored, and may be valid at the issuer still; it lies sealed in ${one.path}`,
    remedy: 'codex-router login',
    mend: null,
  }));
}
