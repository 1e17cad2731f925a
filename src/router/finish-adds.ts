import { RouterError } from '../errors.js';
import { identityKey } from '../identity.js';
import type { OpenRepo } from '../repo/repo.js';
import type { HostNote } from '../slot/host.js';
import { parseExpectation, requireExpected } from './expectation.js';
import type { Finding } from './finding.js';
import { type KeepDeps, type Kept, keepLogin } from './keep-login.js';
import type { LeftLogin } from './left-logins.js';
import type { Revocation } from './revocation.js';

export interface FinishDeps extends KeepDeps {
  readonly revocation: Revocation;
}

/** A login that an interrupted `add` had made, and that is stored now. */
export interface FinishedAdd {
  /** What it was to be called. */
  readonly alias: string | null;
  readonly kept: Kept;
}

export interface Finished {
  readonly adds: readonly FinishedAdd[];
  readonly notes: readonly HostNote[];
}

/**
 * Brings what interrupted `add`s left to its end: a whole login is stored, read back, and only then deleted from where it lay; a home
 * without one is removed; one that is in use, or holds what cannot be read, is left alone and noted. A login that its `add` would have
 * refused is deleted and revoked, as it would have been. Never throws for one of them: that one stays, and a note says why.
 */
export async function finishAdds(
  deps: FinishDeps,
  repo: OpenRepo,
  left: readonly LeftLogin[],
): Promise<Finished> {
  const adds: FinishedAdd[] = [];
  const notes: HostNote[] = [];
  for (const one of left) {
    try {
      const kept = await deps.critical(() => finish(deps, repo, one, notes));
      if (kept !== null) adds.push({ alias: one.wanted.alias, kept });
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      notes.push({ code: error.code, text: `the login in ${one.folder} stays there: ${error.message}` });
    }
  }
  return { adds, notes };
}

/** Null when there is no login to store. */
async function finish(
  deps: FinishDeps,
  repo: OpenRepo,
  left: LeftLogin,
  notes: HostNote[],
): Promise<Kept | null> {
  const { state, holding, wanted } = left;
  if (state === 'empty') await left.remove();
  const trouble = troubleOf(left);
  if (trouble !== null) notes.push({ code: 'ADD_UNFINISHED', text: trouble });
  if (state !== 'login' || holding === null) return null;
  const refusal = await refusalOf(repo, left);
  if (refusal !== null) {
    await left.remove();
    const end = await deps.revocation.revoke(holding.grant);
    const what = end.kind === 'revoked' ? 'it was revoked' : 'it could not be revoked and stays valid';
    const text = `a login that an interrupted add had made was not stored, and ${what}: ${refusal.message}`;
    notes.push({ code: refusal.code, text });
    return null;
  }
  const kept = await keepLogin(deps, repo, { holding, source: 'add', verified: false, alias: wanted.alias });
  notes.push(...kept.notes);
  await left.remove();
  return kept;
}

/** What its own `add` would have refused it for. */
async function refusalOf(repo: OpenRepo, { holding, wanted }: LeftLogin): Promise<RouterError | null> {
  if (holding === null || wanted.expect === null) return null;
  try {
    requireExpected(holding.identity, parseExpectation(wanted.expect), await repo.list());
    return null;
  } catch (error) {
    if (error instanceof RouterError) return error;
    throw error;
  }
}

/** What a person has to know of a home that is left where it is; null when there is nothing. */
function troubleOf({ state, folder, trouble }: LeftLogin): string | null {
  if (state === 'running') return `a codex login of codex-router add still waits, or may, in ${folder}`;
  if (state !== 'unreadable') return null;
  return `${folder} may hold the only copy of a login, and it cannot be read: ${trouble}`;
}

/** What `doctor` and `status` say of what interrupted `add`s left. */
export function leftFindings(left: readonly LeftLogin[]): readonly Finding[] {
  return left.flatMap((one): Finding[] => {
    const { state, folder, wanted, holding } = one;
    const base = { code: 'ADD_UNFINISHED', part: 'leftover', danger: false, mend: null } as const;
    if (state === 'login' && holding !== null) {
      const who = holding.identity.email ?? identityKey(holding.identity);
      const text = `an interrupted add left a login of ${who} in ${folder}, and it is nowhere else`;
      const remedy = `codex-router add ${wanted.alias ?? '<alias>'}`;
      return [{ ...base, text, remedy }];
    }
    const text = troubleOf(one);
    return text === null || state === 'running' ? [] : [{ ...base, text, remedy: null }];
  });
}
