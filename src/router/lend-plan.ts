import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { IndexEntry, Lending, OpenRepo } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import { type CustodyDeps, readOrNote } from './custody.js';
import { PLAIN } from './hand-back.js';
import { planImport, readStored } from './import.js';
import { homeCandidate } from './import-home.js';
import type { CodexHomes, LendHome, LoginFile } from './lend-source.js';
import { shortTime, unlendCommand } from './lent.js';
import { requireOwner } from './owner.js';
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
  /** A kill came after the login had been handed over: only the record is left to be made true. */
  readonly isThere: boolean;
  readonly notes: readonly HostNote[];
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
  const isThere =
    isUnfinished(entry, home.folder) && file.kind === 'login' && sameIdentity(file.holding.identity, who);
  const takes = isThere ? null : await admitFile(repo, home, file, entries);
  const notes: HostNote[] = [];
  if (what === 'grant' && !isThere) await refuseUnfit(deps, repo, unheld(entry, home.folder), takes);
  const until = what === 'grant' ? null : (await freshest(deps, repo, entry, notes)).grant.expiresAt;
  if (until !== null) notes.push(...timeNotes(entry, until, deps.now()));
  const renews = entry.lent !== null && file.kind === 'lent' && sameIdentity(file.identity, who);
  return { entry, what, home, file, takes, until, renews, isThere, notes };
}

/** Whether a kill interrupted a hand-over to this home, or it failed: it can be gone on with. */
export function isUnfinished({ lent }: IndexEntry, folder: string): boolean {
  return lent?.what === 'grant' && lent.proved === false && lent.folder === folder;
}

/** The entry as it was before a hand-over to this home that did not end: Codex does not hold it yet. */
export function unheld(entry: IndexEntry, folder: string): IndexEntry {
  return isUnfinished(entry, folder) ? { ...entry, lent: null } : entry;
}

/** One identity is lent to one home at a time, and one that was handed over is not ours to lend. */
function refuseSecond(entry: IndexEntry, { folder }: LendHome, what: Lending['what']): void {
  const { lent } = entry;
  if (lent === null) return;
  if (lent.what === 'access' && lent.folder === folder) return;
  if (what === 'grant' && isUnfinished(entry, folder)) return;
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
  try {
    planImport([candidate], await readStored(repo, [candidate]), PLAIN);
  } catch (error) {
    throw withImport(error);
  }
  return holding;
}

/** What keeps the login there from being stored is for `import` to be told about. */
function withImport(error: unknown): unknown {
  if (!(error instanceof RouterError) || error.code !== 'GRANT_NOT_NEWER') return error;
  const hint = 'codex-router import --take --replace stores it all the same; then run the command again';
  return new RouterError(error.code, error.message, { hint, cause: error });
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
  // Another codex-router may have routed this OpenClaw since, and hold what is stored here too.
  if (deps.host !== null) await requireOwner(deps.host, repo);
  const isThere = takes !== null && sameIdentity(takes.identity, entry.identity);
  if (!isThere) refuseDoubtful(entry);
  const held = await heldBy(isThere ? { ...deps, outside: [] } : deps, repo, entry);
  if (held === null) return;
  throw new RouterError('IDENTITY_IN_USE', `it cannot be handed over: ${held.why}`, {
    hint: held.remedy ?? 'codex-router use <another> first, then run the command again',
  });
}

/** @throws IDENTITY_IN_USE, LOGIN_DOUBTFUL for a stored login that may be somebody else's too, or spent */
export function refuseDoubtful(entry: IndexEntry): void {
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
export async function freshest(
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
