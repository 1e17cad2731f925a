import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { type IdentityKey, identityKey, sameIdentity } from '../identity.js';
import type { IndexEntry, Lending, OpenRepo } from '../repo/repo.js';
import type { HostNote } from '../slot/host.js';
import { PLAIN, resumeLeftover, takeBack } from './hand-back.js';
import { importFromHome } from './import-home.js';
import { freshest, type LendDeps, type LendPlan, planLending, refuseDoubtful } from './lend-plan.js';
import type { LendHome } from './lend-source.js';
import { afterTaking, unlendCommand } from './lent.js';
import { entryOf } from './resolve.js';

export interface Lent extends LendPlan {
  /** Who is put back there by `unlend`. */
  readonly displaced: IndexEntry | null;
}

/**
 * Lends what was planned, decided anew under the locks. The intention is recorded before anything is taken or written, so that a crash
 * leaves a lending that `unlend` ends.
 * @param agreed whose login the person agreed to take out of that home first
 * @throws as `planLending`; SLOT_CHANGED when that home holds another login than was agreed to; BUSY, IO
 */
export async function lend(deps: LendDeps, repo: OpenRepo, planned: LendPlan): Promise<Lent> {
  const who = planned.entry.identity;
  const agreed = planned.takes?.identity ?? null;
  return deps.withGrantLock(who, () =>
    deps.withLock(async () => {
      const plan = await planLending(deps, repo, who, planned.what);
      const now = plan.takes?.identity ?? null;
      const isAgreed = now === null || (agreed !== null && sameIdentity(now, agreed));
      if (plan.home.folder !== planned.home.folder || !isAgreed) throw changed(plan.home);
      return deps.critical(() => carryOut(deps, repo, plan));
    }),
  );
}

async function carryOut(deps: LendDeps, repo: OpenRepo, plan: LendPlan): Promise<Lent> {
  const { entry, what, home, takes } = plan;
  const key = identityKey(entry.identity);
  const { folder } = home;
  const notes = [...plan.notes];
  if (plan.isThere && entry.lent !== null) {
    const lent = await repo.lend(key, { ...entry.lent, proved: true });
    return { ...plan, entry: lent, displaced: await storedAs(repo, entry.lent.displaced) };
  }
  await home.make();
  if ((await resumeLeftover(repo, home, notes)) !== null) {
    // It may have been of this very identity: then another grant is stored now.
    const again = await planLending(deps, repo, entry.identity, what);
    return carryOut(deps, repo, { ...again, notes: [...again.notes, ...notes.slice(plan.notes.length)] });
  }
  const others = (await repo.list()).filter(({ lent }) => lent?.folder === folder && lent.what === 'access');
  const isSame = what === 'grant' && takes !== null && sameIdentity(takes.identity, entry.identity);
  const displaced = takes === null ? carried(entry, others) : isSame ? null : identityKey(takes.identity);
  const lending: Lending = { folder, what, displaced, at: deps.now(), proved: false };
  // Of its own login nothing has to be remembered: taken out, it is simply stored.
  if (!isSame) await repo.lend(key, lending);
  let isBegun = false;
  try {
    if (takes !== null) await takeOut(repo, home, takes);
    isBegun = true;
    const holding = what === 'grant' ? await wholeLogin(repo, key) : await freshest(deps, repo, entry, []);
    const fingerprint = entryOf(entry.identity, await repo.list()).fingerprint;
    const until = what === 'grant' ? {} : { until: holding.grant.expiresAt };
    const meant = { ...lending, fingerprint, ...until };
    await repo.lend(key, meant);
    await home.put(holding, what, takes === null ? plan.file : { kind: 'empty' });
    const lent = await repo.lend(key, { ...meant, proved: true });
    for (const other of others) {
      if (!sameIdentity(other.identity, entry.identity)) await repo.lend(identityKey(other.identity), null);
    }
    if (takes !== null) notes.push(takenNote(folder));
    return { ...plan, entry: lent, displaced: await storedAs(repo, displaced), notes };
  } catch (error) {
    // Then nothing was written, and where nothing was taken either, nothing has begun.
    const isUntouched = takes === null && error instanceof RouterError && error.code === 'HOST_BUSY';
    if (isBegun && !isUntouched) throw halfDone(error, isSame ? null : entry);
    await repo.lend(key, entry.lent);
    throw error;
  }
}

async function storedAs(repo: OpenRepo, key: IdentityKey | null): Promise<IndexEntry | null> {
  return (await repo.list()).find(({ identity }) => identityKey(identity) === key) ?? null;
}

/** The login there comes home first: as `import --take`, or, where it was handed over from here, as `unlend`. */
async function takeOut(repo: OpenRepo, home: LendHome, takes: Holding): Promise<void> {
  const owner = (await repo.list()).find(({ identity }) => sameIdentity(identity, takes.identity));
  if (owner?.lent?.what === 'grant' && owner.lent.folder === home.folder)
    await takeBack(repo, home, takes, owner.lent, afterTaking(owner.lent));
  else await importFromHome(await home.logins(), repo, takes, 'take', PLAIN);
}

/** Who was put aside by an earlier lending to the same home. */
function carried(entry: IndexEntry, others: readonly IndexEntry[]): IdentityKey | null {
  return [entry, ...others].map(({ lent }) => lent?.displaced ?? null).find((one) => one !== null) ?? null;
}

/** @throws LOGIN_DOUBTFUL, IDENTITY_IN_USE when what was taken last has left it unfit */
async function wholeLogin(repo: OpenRepo, key: IdentityKey): Promise<Holding> {
  const entry = (await repo.list()).find(({ identity }) => identityKey(identity) === key);
  if (entry !== undefined) refuseDoubtful(entry);
  return repo.load(key);
}

function takenNote(folder: string): HostNote {
  const text = `the login that was in ${folder} is stored here now, and unlend puts it back: Codex programs still running should be closed`;
  return { code: 'TAKEN', text };
}

function changed({ folder }: LendHome): RouterError {
  return new RouterError('SLOT_CHANGED', `${folder} has another login now`, {
    hint: 'run the command again',
  });
}

/** What was taken out or begun to be written is on record; whoever reads "it failed" must know how to end it. */
function halfDone(error: unknown, entry: IndexEntry | null): unknown {
  if (!(error instanceof RouterError)) return error;
  const back = entry === null ? 'the login is stored here' : `${unlendCommand(entry)} puts everything back`;
  const hint = `${back}; or run the command again`;
  return new RouterError(error.code, error.message, { hint, cause: error });
}
