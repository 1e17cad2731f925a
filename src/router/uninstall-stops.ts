import { RouterError } from '../errors.js';
import { identityKey, sameIdentity } from '../identity.js';
import type { IndexEntry, Lending, OpenRepo } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import { type CustodyDeps, holderOf } from './custody.js';
import type { Ejection } from './eject.js';
import type { CodexHomes, LendHome } from './lend-source.js';
import { handedOver, unlendCommand } from './lent.js';
import { nameOf, selectorOf } from './resolve.js';

export interface StopDeps extends CustodyDeps {
  /** Null when there is no OpenClaw here. */
  readonly host: Host | null;
  /** Throw-away Codex homes in which a fresh login lies, or is being made. */
  unfinishedAdds(): Promise<readonly string[]>;
  /** Sealed copies of logins that were made and neither stored nor revoked. */
  unfinishedLogins(): Promise<readonly string[]>;
  readonly homes: CodexHomes;
}

/**
 * What has to be settled before anything is removed. `ONLY_HERE`: a login that nobody else has. `LENT`: an access token of ours lies in a
 * Codex home, which only `unlend` clears.
 */
export interface Stop {
  readonly code: 'ONLY_HERE' | 'LENT';
  /** Null for a login that is not stored yet. */
  readonly entry: IndexEntry | null;
  /** Whose login, or where. */
  readonly what: string;
  readonly why: string;
  readonly remedy: string;
}

/** @param ejection what is going to be handed over, and counts as held then; null after the fact */
export async function stopsOf(
  deps: StopDeps,
  repo: OpenRepo | null,
  ejection: Ejection | null,
): Promise<readonly Stop[]> {
  const stops: Stop[] = (await deps.unfinishedAdds()).map((folder) => ({
    code: 'ONLY_HERE',
    entry: null,
    what: `the login in ${folder}`,
    why: 'an add was interrupted, or is at work',
    remedy: 'codex-router import stores what it has left',
  }));
  for (const path of await deps.unfinishedLogins()) {
    const why = 'a login was interrupted, or is at work';
    const remedy = 'codex-router login or import revokes what it has left';
    stops.push({ code: 'ONLY_HERE', entry: null, what: `the login in ${path}`, why, remedy });
  }
  stops.push(...(await leftTakes(deps, (await repo?.list()) ?? [])));
  const goes = new Set((ejection?.added ?? []).map(({ entry }) => identityKey(entry.identity)));
  for (const entry of (await repo?.list()) ?? []) {
    const { fingerprint, exported, lent } = entry;
    const stop = { entry, what: nameOf(entry) };
    if (lent?.what === 'access') {
      const why = `the Codex CLI in ${lent.folder} has an access token of it`;
      stops.push({ ...stop, code: 'LENT', why, remedy: unlendCommand(entry) });
    }
    const isSafe = exported === fingerprint || goes.has(identityKey(entry.identity));
    if (repo === null || isSafe || (await isHeld(deps, repo, entry))) continue;
    const given = handedOver(entry);
    if (given !== null) {
      const trouble = await lostFrom(deps, repo, entry, given);
      const why = `it was handed over to the Codex CLI in ${given.folder}, ${trouble}`;
      if (trouble !== null) stops.push({ ...stop, code: 'ONLY_HERE', why, remedy: unlendCommand(entry) });
      continue;
    }
    const left = ejection?.left.find((one) => sameIdentity(one.entry.identity, entry.identity));
    const why =
      left?.why ?? (deps.host === null ? 'there is no OpenClaw to hand it to' : 'nobody else has it');
    const remedy = `codex-router export keeps it, codex-router remove ${selectorOf(entry)} forgets it`;
    stops.push({ ...stop, code: 'ONLY_HERE', why, remedy });
  }
  return stops;
}

/** Who will be nowhere but in the file of an export: only the person can know whether that is still there. */
export async function onlyExported(
  deps: StopDeps,
  repo: OpenRepo | null,
  ejection: Ejection | null,
): Promise<readonly HostNote[]> {
  const goes = new Set((ejection?.added ?? []).map(({ entry }) => identityKey(entry.identity)));
  const notes: HostNote[] = [];
  for (const entry of (await repo?.list()) ?? []) {
    if (repo === null || entry.exported !== entry.fingerprint || goes.has(identityKey(entry.identity)))
      continue;
    if (await isHeld(deps, repo, entry)) continue;
    const text = `${nameOf(entry)} will be nowhere but in the file that it was exported to: see that you still have it`;
    notes.push({ code: 'ONLY_EXPORTED', text });
  }
  return notes;
}

/** What an interrupted `import --take` or `unlend` left in a Codex home, under a name that only we know. */
async function leftTakes({ homes }: StopDeps, entries: readonly IndexEntry[]): Promise<readonly Stop[]> {
  const found = new Map<string, Stop>();
  const look = async (find: () => Promise<LendHome | null>, remedy: string): Promise<void> => {
    const home = await find().catch(absentOnly);
    if (home === null || found.has(home.folder)) return;
    const left = await leftoverIn(home);
    if (left === null) return;
    const what = `the login in ${home.folder}`;
    const why = `an import or unlend was killed on its way out of there${left}`;
    found.set(home.folder, { code: 'ONLY_HERE', entry: null, what, why, remedy });
  };
  for (const entry of entries) {
    const { lent } = entry;
    if (lent !== null) await look(() => homes.at(lent.folder), unlendCommand(entry));
  }
  await look(() => homes.current(), 'codex-router import --take stores it');
  return [...found.values()];
}

function absentOnly(error: unknown): null {
  if (error instanceof RouterError && error.code === 'LOGIN_NOT_FOUND') return null;
  throw error;
}

/** Empty for one that can be read, else why it cannot; null when there is none. */
async function leftoverIn(home: LendHome): Promise<string | null> {
  try {
    return (await (await home.logins()).readLeftover()) === null ? null : '';
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return `, and cannot be read: ${error.message}`;
  }
}

/** Why a login that was handed over cannot be seen in that Codex home; null when it lies there, rotated or not. */
async function lostFrom(
  { homes }: StopDeps,
  repo: OpenRepo,
  { identity, former }: IndexEntry,
  { folder }: Lending,
): Promise<string | null> {
  try {
    const file = (await (await homes.at(folder))?.read()) ?? null;
    if (file === null) return 'which is gone';
    if (file.kind !== 'login' || !sameIdentity(file.holding.identity, identity))
      return 'which has it no more';
    return former.includes(repo.fingerprint(file.holding.grant)) ? 'which has an older one now' : null;
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return `which could not be read: ${error.message}`;
  }
}

/** Whether somebody else has been seen with the stored grant: what cannot be read has not. */
async function isHeld(deps: StopDeps, repo: OpenRepo, entry: IndexEntry): Promise<boolean> {
  const { holders } = await holderOf({ entry, fingerprint: entry.fingerprint }, repo, deps.host, null, deps);
  return holders.some(({ kind }) => kind === 'slot' || kind === 'outside');
}
