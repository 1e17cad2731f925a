import { RouterError } from '../errors.js';
import { type Identity, type IdentityKey, identityKey, sameIdentity } from '../identity.js';
import type { IndexEntry, Lending, OpenRepo } from '../repo/repo.js';
import type { HostNote } from '../slot/host.js';
import { type HandBack, resumeLeftover, takeBack } from './hand-back.js';
import { isUnfinished, type LendDeps, unheld } from './lend-plan.js';
import type { CodexHomes, LendHome, LoginFile } from './lend-source.js';
import { afterTaking, handedOver } from './lent.js';
import { readOwnership } from './owner.js';
import { heldBy } from './refresh.js';
import { candidateOf, entryOf, nameOf, resolve, selectorOf } from './resolve.js';

/** The part of a lending that ended. */
export interface Unlent {
  readonly entry: IndexEntry;
  /** Null when it was not lent. */
  readonly lent: Lending | null;
  /** Whether what was lent was still there and has been removed, or taken home. */
  readonly removed: boolean;
  /** How a login that was handed over came home; null when none did. */
  readonly handBack: HandBack | null;
  /** Who was put back there; null when nobody was. */
  readonly restored: IndexEntry | null;
  readonly notes: readonly HostNote[];
}

/**
 * Which lending is meant: the one of a selector; without one the only one there is, or the only one of the Codex home that the
 * environment names. Null when nothing is lent.
 * @throws IDENTITY_NOT_FOUND; IDENTITY_AMBIGUOUS when several may be meant
 */
export async function chooseLent(
  selector: string | undefined,
  entries: readonly IndexEntry[],
  homes: CodexHomes,
): Promise<IndexEntry | null> {
  if (selector !== undefined) return resolve(selector, entries);
  // Codex's own login, once it went back, is taken only by name: the same command again must not sign Codex out.
  const lent = entries.filter((entry) => entry.lent !== null && entry.lent.own !== true);
  const [only, another] = lent;
  if (only === undefined) return null;
  if (another === undefined) return only;
  const folder = await folderOf(homes);
  const [here, ...more] = lent.filter((entry) => entry.lent?.folder === folder);
  if (here !== undefined && more.length === 0) return here;
  throw new RouterError('IDENTITY_AMBIGUOUS', `${lent.length} identities are lent: name one`, {
    hint: 'codex-router unlend <selector>',
    candidates: lent.map(candidateOf),
  });
}

async function folderOf(homes: CodexHomes): Promise<string | null> {
  try {
    return (await homes.current()).folder;
  } catch (error) {
    if (error instanceof RouterError) return null;
    throw error;
  }
}

/**
 * Ends a lending: removes the lent access token, or takes the login home that was handed over, as Codex has rotated it; then whose login
 * was there before is handed back. What somebody else has put there since is left as it is.
 *
 * A crash leaves the lending, or what is left of it, on record: run again, it goes on.
 * @throws HOST_BUSY, SLOT_CHANGED, BUSY, IO; CHOICE_NEEDED or IDENTITY_* when what was handed over may be in a file that got other
 *   credentials meanwhile, or cannot be read; then the lending stands
 */
export async function unlend(deps: LendDeps, repo: OpenRepo, who: Identity): Promise<Unlent> {
  const locked = <T>(whose: Identity, work: () => Promise<T>) =>
    deps.withGrantLock(whose, () => deps.withLock(() => deps.critical(work)));
  const ended = await locked(who, () => end(deps, repo, who));
  const { before, ...unlent } = ended;
  if (before === null) return unlent;
  const { identity } = before.entry;
  return locked(identity, () => putBack(deps, repo, unlent, before));
}

/** Who has to be put back, and into which home. */
interface Before {
  readonly entry: IndexEntry;
  readonly home: LendHome;
}

type Ended = Unlent & { readonly before: Before | null };

async function end(deps: LendDeps, repo: OpenRepo, who: Identity): Promise<Ended> {
  const entry = entryOf(who, await repo.list());
  const { lent } = entry;
  const nothing = { removed: false, handBack: null, restored: null, before: null };
  if (lent === null) return { ...nothing, entry, lent, notes: [] };
  const home = await deps.homes.at(lent.folder);
  const notes: HostNote[] = [];
  if (home === null) {
    notes.push({ code: 'HOME_GONE', text: `${lent.folder} is gone, and what was lent to it` });
    notes.push(...(await lose(repo, entry, lent)), ...(await kept(repo, lent, 'is not put back there')));
    return { ...nothing, entry: await repo.lend(identityKey(who), null), lent, notes };
  }
  const left = await resumeLeftover(repo, home, notes);
  // The leftover may have been the very login that was handed over.
  const now = entryOf(who, await repo.list());
  const cleared = await home.clear(who);
  const file = await home.read();
  const gone = { ...nothing, lent, notes };
  if (now.lent === null) return { ...gone, entry: now, removed: true, handBack: 'taken-home' };
  if (now.lent.what === 'access') {
    const wasTaken = lent.what === 'grant' && left !== null;
    if (!cleared && !wasTaken && lent.proved !== false) notes.push(missing(entry, home, file));
    return finish(repo, { ...gone, entry: now, removed: cleared || wasTaken }, now.lent, home, file);
  }
  if (file.kind === 'login' && sameIdentity(file.holding.identity, who)) {
    await (await home.logins()).admitTaking();
    const handBack = await takeBack(repo, home, file.holding, lent, afterTaking(lent));
    const after = await home.read();
    return finish(repo, { ...gone, entry: now, removed: true, handBack }, lent, home, after);
  }
  // Broken is not gone: it may be in there.
  if (file.kind === 'other' && file.mayHold) throw file.refusal;
  const isUnwritten = lent.proved === false && (file.kind === 'empty' || isBack(file, lent));
  if (!isUnwritten) notes.push(missing(entry, home, file), ...(await lose(repo, now, lent)));
  return finish(repo, { ...gone, entry: now }, lent, home, file);
}

/** What is left to do once nothing of the lending is there any more: who was there before comes back where the place is free. */
async function finish(
  repo: OpenRepo,
  unlent: Unlent,
  lent: Lending,
  home: LendHome,
  file: LoginFile,
): Promise<Ended> {
  const key = identityKey(unlent.entry.identity);
  const before = (await repo.list()).find(({ identity }) => identityKey(identity) === lent.displaced);
  if (before !== undefined && file.kind === 'empty') {
    // Run again after a crash, only this is left.
    const entry = await repo.lend(key, afterTaking(lent));
    return { ...unlent, entry, before: { entry: before, home } };
  }
  const again = isBack(file, lent);
  if (again && before?.lent && isUnfinished(before, home.folder))
    await repo.lend(identityKey(before.identity), { ...before.lent, proved: true });
  const why = 'gives way to what is there now';
  const notes = [...unlent.notes, ...(again ? [] : await kept(repo, lent, why))];
  return { ...unlent, entry: await repo.lend(key, null), before: null, notes };
}

/** Whether who was there before is there, put back already or never taken out. */
function isBack(file: LoginFile, { displaced }: Lending): boolean {
  return file.kind === 'login' && identityKey(file.holding.identity) === displaced;
}

/** Under the lock of the grant that goes back. */
async function putBack(
  deps: LendDeps,
  repo: OpenRepo,
  unlent: Unlent,
  { entry: before, home }: Before,
): Promise<Unlent> {
  const key = identityKey(before.identity);
  const lender = identityKey(unlent.entry.identity);
  const entry = entryOf(before.identity, await repo.list());
  const why = await unfit(deps, repo, unheld(entry, home.folder), lender);
  if (why !== null) {
    const notes = [...unlent.notes, ...(await kept(repo, { folder: home.folder, displaced: key }, why))];
    return { ...unlent, entry: await repo.lend(lender, null), notes };
  }
  const { fingerprint } = entry;
  const lending: Lending = {
    folder: home.folder,
    what: 'grant',
    displaced: null,
    at: deps.now(),
    fingerprint,
    proved: false,
    own: true,
  };
  await repo.lend(key, lending);
  await home.put(await repo.load(key), 'grant', { kind: 'empty' });
  const restored = await repo.lend(key, { ...lending, proved: true });
  const ended = key === lender ? restored : await repo.lend(lender, null);
  return { ...unlent, entry: ended, restored, notes: [...unlent.notes, restoredNote(home, restored)] };
}

/** Why a login does not go back to where it was; null when it does. */
async function unfit(
  deps: LendDeps,
  repo: OpenRepo,
  entry: IndexEntry,
  lender: IdentityKey,
): Promise<string | null> {
  const isLender = identityKey(entry.identity) === lender;
  if (entry.lent !== null && !isLender) return 'is lent itself';
  if (entry.doubt !== null) return 'may not work any more';
  if (entry.sharedWith !== null) return 'another Codex home has a copy of it';
  const refusal = deps.host === null ? null : (await readOwnership(deps.host, repo)).refusal;
  if (refusal !== null) return `may be in use: ${refusal.message}`;
  const held = await heldBy(deps, repo, entry);
  return held === null ? null : `is in use: ${held.why}`;
}

/** Nothing of a handed over login is left to be taken home: what is stored may have been spent, or revoked, by whoever had it. */
async function lose(repo: OpenRepo, entry: IndexEntry, lent: Lending): Promise<readonly HostNote[]> {
  if (handedOver({ lent }) === null) return [];
  if (entry.doubt === null) await repo.doubt(identityKey(entry.identity), 'lost-outside');
  const text = `the login of ${nameOf(entry)} that Codex had cannot be taken home: codex-router refresh ${selectorOf(entry)} tells whether the stored one still works; if not, log that account in again`;
  return [{ code: 'LOGIN_DOUBTFUL', text }];
}

function missing(entry: IndexEntry, { folder }: LendHome, file: LoginFile): HostNote {
  if (file.kind === 'empty') {
    const text = `${folder} has no login any more: somebody logged Codex out there`;
    return { code: 'LENT_GONE', text };
  }
  const what =
    file.kind === 'login'
      ? 'a login of its own'
      : file.kind === 'lent'
        ? 'another access token'
        : 'something else';
  const text = `${folder} has ${what} now in place of what was lent of ${nameOf(entry)}: it is left as it is`;
  return { code: 'LENT_REPLACED', text };
}

/** @param why in words: it ... */
async function kept(
  repo: OpenRepo,
  { folder, displaced }: Pick<Lending, 'folder' | 'displaced'>,
  why: string,
): Promise<readonly HostNote[]> {
  if (displaced === null) return [];
  const entry = (await repo.list()).find(({ identity }) => identityKey(identity) === displaced);
  const what = entry === undefined ? 'is not stored any more' : `stays stored here: it ${why}`;
  const who = entry === undefined ? displaced : nameOf(entry);
  return [{ code: 'NOT_PUT_BACK', text: `the login of ${who} that was in ${folder} before ${what}` }];
}

function restoredNote({ folder }: LendHome, entry: IndexEntry): HostNote {
  const text = `${folder} is signed in as ${nameOf(entry)} again, who stays listed here as handed over to it`;
  return { code: 'PUT_BACK', text };
}
