import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { Who } from '../repo/journal.js';
import type { Doubt, IndexEntry, OpenRepo } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import { parseAlias } from './alias.js';
import type { CustodyDeps } from './custody.js';
import { type FormerPlace, formerPlace } from './former-place.js';
import { typedSelectorOf } from './resolve.js';

export interface KeepDeps extends CustodyDeps {
  /** Null when there is no OpenClaw here, or none that can be understood: then no slot is looked into. */
  readonly host: Host | null;
  /** @param waitMs ms to wait for another holder. @param signal ends the wait with its reason. */
  withLock<T>(work: () => Promise<T>, waitMs?: number, signal?: AbortSignal): Promise<T>;
  /** The lock of one identity's grant; taken before `withLock`. @param waitMs as there. @param signal as there */
  withGrantLock<T>(who: Who, work: () => Promise<T>, waitMs?: number, signal?: AbortSignal): Promise<T>;
  critical<T>(work: () => Promise<T>): Promise<T>;
  /** ms epoch */
  readonly now: () => number;
  /** Ends the wait for another codex-router; left out where this process has the only copy of the login. */
  readonly signal?: AbortSignal | undefined;
}

/** A login of our own making, that nobody else has. */
export interface ArrivedLogin {
  /** Its identity with the workspace's name, where that is known. */
  readonly holding: Holding;
  readonly source: 'login' | 'add';
  /** Whether a server has accepted a call with it. */
  readonly verified: boolean;
  /** A name that was found free before the person logged in; null for none. One that is taken by now is left out and noted. */
  readonly alias: string | null;
}

/**
 * `added`: a new identity. `renewed`: one that was stored has the newer grant now. `unchanged`: this very grant is stored, or was and
 * has been renewed since.
 */
export type KeptResult = 'added' | 'renewed' | 'unchanged';

/** What became of the grant that was stored before. */
export interface FormerGrant {
  /** Whether it is sealed as a back-up (`codex-router restore` lists it); false where its record was damaged. */
  readonly sealed: boolean;
  /** Who still runs on it: nobody (`parked`), a slot, the Codex CLI, a place that cannot be read now. */
  readonly place: FormerPlace['place'];
  /** What had spoken against it, and is settled by the new one; null when nothing had. */
  readonly doubt: Doubt | null;
  /** In words, and the command that goes on from there. */
  readonly text: string;
}

export interface Kept {
  readonly entry: IndexEntry;
  readonly result: KeptResult;
  /** Null unless another grant gave way. */
  readonly former: FormerGrant | null;
  /** What a person types to mean this identity. */
  readonly selector: string;
  readonly notes: readonly HostNote[];
}

/** Why a back-up was made: the grant in it was not spent for the one that took its place. */
export const GAVE_WAY_TO_LOGIN = 'a login brought another grant of this identity';

/** ms that a login waits for another command to end: there is no second copy of it. */
const PATIENT_MS = 15 * 60 * 1000;

/**
 * Stores a login of our own making: the one way in which one is. A new identity is added. One that is stored stays one identity and
 * gets this grant, because a login just made is the newest there is; the grant that gives way is sealed first, and whoever runs on it
 * is not disturbed. Neither a slot nor anything outside the repo is written. Runs to its end although a signal arrives.
 * @throws IDENTITY_MISMATCH when another identity has this very grant; BUSY, IO, RECORD_DAMAGED: then nothing was stored over anything
 */
export async function keepLogin(deps: KeepDeps, repo: OpenRepo, arrived: ArrivedLogin): Promise<Kept> {
  const { identity } = arrived.holding;
  return deps.critical(() =>
    // A refresh of the old grant that is under way ends first: its answer would else be taken for the newer one.
    deps.withGrantLock(
      identity,
      () => deps.withLock(() => keep(deps, repo, arrived), PATIENT_MS, deps.signal),
      PATIENT_MS,
      deps.signal,
    ),
  );
}

async function keep(deps: KeepDeps, repo: OpenRepo, arrived: ArrivedLogin): Promise<Kept> {
  const kept = await decided(deps, repo, arrived);
  return { ...kept, selector: typedSelectorOf(kept.entry, await repo.list()) };
}

async function decided(
  deps: KeepDeps,
  repo: OpenRepo,
  arrived: ArrivedLogin,
): Promise<Omit<Kept, 'selector'>> {
  const { holding, source, verified } = arrived;
  const entries = await repo.list();
  const print = repo.fingerprint(holding.grant);
  const entry = entries.find(({ identity }) => sameIdentity(identity, holding.identity)) ?? null;
  refuseSharedGrant(print, holding.identity, entries);
  const notes: HostNote[] = [];
  const alias = aliasFor(arrived.alias, entry, entries, notes);
  const own = { source, verified, ...(alias !== null && { alias }) };
  if (entry === null) {
    const facts = { ...own, sharedWith: null, placement: null };
    return { entry: await repo.save(holding, facts), result: 'added', former: null, notes };
  }
  // It came here before, and what was made of it since is newer (a left-over of an interrupted `add`).
  if (entry.fingerprint === print || entry.former.includes(print)) {
    const named = alias === null ? entry : await repo.setAlias(identityKey(entry.identity), alias);
    return { entry: named, result: 'unchanged', former: null, notes };
  }
  const before = await storedOf(repo, entry, notes);
  const place = await formerPlace(deps, repo, entry);
  notes.push(...place.notes);
  if (before !== null) await repo.backUp(before, GAVE_WAY_TO_LOGIN);
  const saved = await repo.save(merged(holding, entry, before), {
    ...own,
    sharedWith: null,
    // Where the old one lies: the next check-in tells by it that what is there is the older.
    ...(place.placement !== null && { placement: place.placement }),
    doubt: null,
  });
  const former = { sealed: before !== null, place: place.place, doubt: entry.doubt };
  const kept = await ownFromNow(repo, saved, entry);
  return { entry: kept, result: 'renewed', former: { ...former, text: textOf(former, place) }, notes };
}

/** Codex goes on with the login that was handed over to it, and nobody has this one. */
async function ownFromNow(repo: OpenRepo, saved: IndexEntry, { lent, fingerprint }: IndexEntry) {
  if (lent?.what !== 'grant' || lent.replaced === true) return saved;
  return repo.lend(identityKey(saved.identity), { fingerprint, ...lent, replaced: true });
}

/** What the repo knew of this identity and a login does not carry. The old grant's failures say nothing about the new one. */
function merged(holding: Holding, { identity: was }: IndexEntry, before: Holding | null): Holding {
  const is = holding.identity;
  const identity: Identity = {
    ...is,
    email: is.email ?? was.email,
    plan: is.plan ?? was.plan,
    workspace: is.workspace ?? was.workspace,
  };
  return { identity, grant: holding.grant, hostFields: before?.hostFields ?? {}, selection: null };
}

/** Null when its record is damaged: then there is nothing to seal, and the save sets the damaged record aside. */
async function storedOf(repo: OpenRepo, entry: IndexEntry, notes: HostNote[]): Promise<Holding | null> {
  try {
    return await repo.load(identityKey(entry.identity));
  } catch (error) {
    if (!(error instanceof RouterError) || error.code !== 'RECORD_DAMAGED') throw error;
    notes.push({ code: error.code, text: `the stored login could not be opened: ${error.message}` });
    return null;
  }
}

/** One rotating grant under two identities would be ended by the first refresh of either. */
function refuseSharedGrant(
  print: IndexEntry['fingerprint'],
  identity: Identity,
  entries: readonly IndexEntry[],
): void {
  const other = entries.find((one) => one.fingerprint === print && !sameIdentity(one.identity, identity));
  if (other === undefined) return;
  throw new RouterError(
    'IDENTITY_MISMATCH',
    `this login's grant is already stored for ${identityKey(other.identity)}, and one grant cannot serve two identities`,
    { hint: 'log in to this workspace separately' },
  );
}

function aliasFor(
  wanted: string | null,
  entry: IndexEntry | null,
  entries: readonly IndexEntry[],
  notes: HostNote[],
): string | null {
  if (wanted === null) return null;
  try {
    return parseAlias(wanted, entry, entries);
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    const text = `it is stored without the alias: ${error.message}`;
    notes.push({ code: 'ALIAS_TAKEN', text });
    return null;
  }
}

function textOf({ sealed, doubt }: Pick<FormerGrant, 'sealed' | 'doubt'>, { text }: FormerPlace): string {
  const kept = sealed
    ? 'the login stored before is sealed as a back-up: codex-router restore lists it'
    : 'the login stored before could not be opened; its damaged record is set aside';
  const settled = doubt === null ? '' : `; what spoke against it (${doubt}) is settled`;
  return `${kept}${settled}${text === null ? '' : `; ${text}`}`;
}
