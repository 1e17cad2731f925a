import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { type Identity, type IdentityKey, identityKey, sameIdentity } from '../identity.js';
import type { IndexEntry, Lending, OpenRepo } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import { type CustodyDeps, readOrNote } from './custody.js';
import { afterTaking, PLAIN, resumeLeftover, takeBack } from './hand-back.js';
import { planImport, readStored } from './import.js';
import { homeCandidate, importFromHome } from './import-home.js';
import type { CodexHomes, LendHome, LoginFile } from './lend-source.js';
import { shortTime, unlendCommand } from './lent.js';
import { loginsIn } from './places.js';
import { heldBy } from './refresh.js';
import { entryOf, nameOf, selectorOf } from './resolve.js';

export interface LendDeps extends CustodyDeps {
  readonly homes: CodexHomes;
  /** Null when there is no OpenClaw here. */
  readonly host: Host | null;
  withGrantLock<T>(who: Identity, work: () => Promise<T>): Promise<T>;
  withLock<T>(work: () => Promise<T>): Promise<T>;
  critical<T>(work: () => Promise<T>): Promise<T>;
  /** ms epoch */
  readonly now: () => number;
}

/** What a lending would do, for the person to confirm. */
export interface LendPlan {
  readonly entry: IndexEntry;
  readonly what: Lending['what'];
  readonly home: LendHome;
  /** What is there now. */
  readonly file: LoginFile;
  /** The login that Codex has there now and that is taken out first; null when there is none. */
  readonly takes: Holding | null;
  /** ms epoch at which the lent access token expires; null for a grant, which Codex refreshes. */
  readonly until: number | null;
  /** It is lent to that very home already. */
  readonly renews: boolean;
  readonly notes: readonly HostNote[];
}

export interface Lent extends LendPlan {
  /** Who is put back there by `unlend`. */
  readonly displaced: IndexEntry | null;
}

/** Below so many ms an access token is not worth lending: Codex itself would want another one (facts: codex.md section 4). */
const LEAST_MS = 10 * 60 * 1000;
const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Previews a lending; writes nothing.
 * @throws LENT, LOGIN_EXPIRED, LOGIN_DOUBTFUL, IDENTITY_IN_USE, GRANT_NOT_NEWER, CHOICE_NEEDED for other credentials there, and what
 *   `LendHome.admit` throws
 */
export async function planLending(
  deps: LendDeps,
  repo: OpenRepo,
  who: Identity,
  what: Lending['what'],
): Promise<LendPlan> {
  const entries = await repo.list();
  const entry = entryOf(who, entries);
  const home = await deps.homes.current();
  refuseSecond(entry, home, what);
  await home.admit(entry.identity);
  const file = await home.read();
  const takes = await admitFile(repo, home, file, entries);
  const notes: HostNote[] = [];
  if (what === 'grant') await refuseUnfit(deps, repo, entry, takes);
  const until = what === 'grant' ? null : (await freshest(deps, repo, entry, notes)).grant.expiresAt;
  if (until !== null) notes.push(...timeNotes(entry, until, deps.now()));
  const renews = entry.lent !== null && file.kind === 'lent' && sameIdentity(file.identity, who);
  return { entry, what, home, file, takes, until, renews, notes };
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
  await repo.lend(key, lending);
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
    const whose = (await repo.list()).find(({ identity }) => identityKey(identity) === displaced) ?? null;
    return { ...plan, entry: lent, displaced: whose, notes };
  } catch (error) {
    if (isBegun) throw halfDone(error, entry);
    await repo.lend(key, entry.lent);
    throw error;
  }
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

/** One identity is lent to one home at a time, and one that was handed over is not ours to lend. */
function refuseSecond(entry: IndexEntry, { folder }: LendHome, what: Lending['what']): void {
  const { lent } = entry;
  if (lent === null) return;
  if (lent.what === 'access' && lent.folder === folder) return;
  const already = lent.what === 'grant' ? 'was handed over' : 'is lent';
  const whole = lent.what === 'grant' && what === 'grant' && lent.folder === folder ? ' already' : '';
  throw new RouterError('LENT', `${nameOf(entry)} ${already} to the Codex CLI in ${lent.folder}${whole}`, {
    hint: `${unlendCommand(entry)} first`,
  });
}

/**
 * The login that has to be taken out of there first; null when nothing has.
 * @throws when what is there cannot be taken or written over
 */
async function admitFile(
  repo: OpenRepo,
  home: LendHome,
  file: LoginFile,
  entries: readonly IndexEntry[],
): Promise<Holding | null> {
  const ours = entries.filter(({ lent }) => lent?.folder === home.folder);
  if (file.kind === 'other') throw notOurs(file.refusal);
  if (file.kind === 'lent') {
    const { identity } = file;
    if (ours.some((entry) => sameIdentity(entry.identity, identity))) return null;
    throw new RouterError('LENT', `${home.folder} uses an access token that another program lent it`, {
      hint: 'codex logout there removes it and revokes nothing; then run the command again',
    });
  }
  if (file.kind === 'empty') return null;
  const { holding } = file;
  await (await home.logins()).admitTaking();
  const owner = ours.find((entry) => sameIdentity(entry.identity, holding.identity));
  if (owner?.lent?.what === 'grant') {
    if (owner.lent.displaced === null) return holding;
    throw new RouterError('LENT', `${nameOf(owner)} was handed over to ${home.folder}`, {
      hint: `${unlendCommand(owner)} first, which puts back who was there before`,
    });
  }
  const candidate = homeCandidate(await home.logins(), holding, repo, 'take');
  planImport([candidate], await readStored(repo, [candidate]), PLAIN);
  return holding;
}

function notOurs(refusal: RouterError): RouterError {
  if (refusal.code !== 'LOGIN_NOT_FOUND') return refusal;
  return new RouterError('CHOICE_NEEDED', `${refusal.message}: lending would destroy it`, {
    hint: 'save it elsewhere and remove that file, or lend to another CODEX_HOME',
  });
}

/** Only what is parked without doubt is ours to hand over. @param takes the login there, which may be the very one */
async function refuseUnfit(
  deps: LendDeps,
  repo: OpenRepo,
  entry: IndexEntry,
  takes: Holding | null,
): Promise<void> {
  const isThere = takes !== null && sameIdentity(takes.identity, entry.identity);
  if (!isThere) refuseDoubtful(entry);
  const held = await heldBy(isThere ? { ...deps, outside: [] } : deps, repo, entry);
  if (held === null) return;
  throw new RouterError('IDENTITY_IN_USE', `it cannot be handed over: ${held.why}`, {
    hint: held.remedy ?? 'codex-router use <another> first, then run the command again',
  });
}

function refuseDoubtful(entry: IndexEntry): void {
  const selector = selectorOf(entry);
  if (entry.sharedWith !== null) {
    throw new RouterError('IDENTITY_IN_USE', 'it cannot be handed over: a Codex home has a copy of it', {
      hint: 'codex-router import --take moves that login here first',
    });
  }
  if (entry.doubt === null) return;
  throw new RouterError(
    'LOGIN_DOUBTFUL',
    'it cannot be handed over: its stored login may not work any more',
    {
      hint: `codex-router refresh ${selector} tells`,
    },
  );
}

/** The stored login with the access token that lives longest: OpenClaw's, where it has refreshed it since. Reads only. */
async function freshest(
  { host }: LendDeps,
  repo: OpenRepo,
  { identity }: IndexEntry,
  notes: HostNote[],
): Promise<Holding> {
  let best = await repo.load(identityKey(identity));
  for (const slot of (await host?.allSlots()) ?? []) {
    const reading = await readOrNote(() => slot.read(), `agent ${slot.address.agent}`, notes);
    for (const { login } of reading === null ? [] : loginsIn(slot, reading)) {
      const { accessToken, expiresAt, idToken } = login.grant;
      if (!sameIdentity(login.identity, identity) || expiresAt <= best.grant.expiresAt) continue;
      best = {
        ...best,
        grant: { ...best.grant, accessToken, expiresAt, idToken: idToken ?? best.grant.idToken },
      };
    }
  }
  return best;
}

/** @throws LOGIN_EXPIRED when too little is left */
function timeNotes(entry: IndexEntry, until: number, now: number): readonly HostNote[] {
  const renew = `codex-router refresh ${selectorOf(entry)}, then codex-router lend ${selectorOf(entry)} --to codex`;
  if (until - now < LEAST_MS) {
    const when = until <= now ? 'has expired' : 'expires within ten minutes';
    throw new RouterError('LOGIN_EXPIRED', `the access token of ${nameOf(entry)} ${when}`, {
      hint: `${renew}; where it is active, send OpenClaw one message instead of the refresh`,
    });
  }
  if (until - now >= DAY_MS) return [];
  return [{ code: 'ENDS_SOON', text: `it works until ${shortTime(until)} only: ${renew} renews it` }];
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
function halfDone(error: unknown, entry: IndexEntry): unknown {
  if (!(error instanceof RouterError)) return error;
  const hint = `${unlendCommand(entry)} puts everything back; or run the command again`;
  return new RouterError(error.code, error.message, { hint, cause: error });
}
