import { RouterError } from '../errors.js';
import { identityKey, sameIdentity } from '../identity.js';
import type { IndexEntry, Lending, OpenRepo, Repo } from '../repo/repo.js';
import type { Remains } from '../repo/vault-removal.js';
import type { Host, HostNote, HostOwner } from '../slot/host.js';
import { type CustodyDeps, holderOf, readOrNote } from './custody.js';
import { type EjectDeps, type Ejection, eject, previewEject } from './eject.js';
import type { CodexHomes, LendHome } from './lend-source.js';
import { handedOver, unlendCommand } from './lent.js';
import { readOwnership } from './owner.js';
import { parsePlace } from './places.js';
import { nameOf, selectorOf } from './resolve.js';

/** In the order they are removed. */
export const BELONGING_KINDS = [
  'owner-file',
  'plugin',
  'service',
  'completion',
  'data',
  'key-file',
  'keychain-item',
  'vault',
  'folder',
] as const;

export interface UninstallDeps extends CustodyDeps {
  readonly repo: Repo;
  /** Opens the vault; called only while identities are stored. */
  open(): Promise<OpenRepo>;
  /** Null when there is no OpenClaw here. */
  readonly host: Host | null;
  /** What `eject` needs of that host. */
  ejectDeps(host: Host): EjectDeps;
  /** Throw-away Codex homes in which a fresh login lies, or is being made. */
  unfinishedAdds(): Promise<readonly string[]>;
  /** Sealed copies of logins that were made and neither stored nor revoked. */
  unfinishedLogins(): Promise<readonly string[]>;
  /** What there is of us outside our folders. @param stateDirs of the OpenClaws that we route */
  belongings(stateDirs: readonly string[]): Promise<readonly Outside[]>;
  readonly homes: CodexHomes;
  removeBelonging(one: Outside): Promise<void>;
  remains(): Promise<Remains>;
  removeRemains(): Promise<void>;
  removeFolders(): Promise<void>;
  withLock<T>(work: () => Promise<T>): Promise<T>;
  critical<T>(work: () => Promise<T>): Promise<T>;
}

export interface Outside {
  readonly kind: 'plugin' | 'service' | 'completion';
  readonly path: string;
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

export interface Uninstall {
  readonly result: 'planned' | 'uninstalled' | 'nothing-here';
  readonly eject: Ejection | null;
  readonly stops: readonly Stop[];
  /** Other OpenClaws that we route: their owner file goes, whoever is in their slot stays. */
  readonly others: readonly string[];
  readonly outside: readonly Outside[];
  readonly remains: Remains;
  readonly identities: number;
  readonly notes: readonly HostNote[];
}

/**
 * What `uninstall` would do; writes nothing.
 * @throws KEYCHAIN_*, KEY_*, VAULT_* where identities are stored and cannot be looked at; what `previewEject` throws
 */
export async function previewUninstall(deps: UninstallDeps): Promise<Uninstall> {
  const notes: HostNote[] = [];
  const repo = await openIfAny(deps);
  const ours = repo === null ? null : await ourHost(deps, repo, notes);
  const ejection =
    repo === null || ours === null ? null : await previewEject(deps.ejectDeps(ours), repo, null);
  const stops = await stopsOf(deps, repo, ejection);
  const others = await otherHosts(deps, repo, notes);
  const stateDirs = [...(deps.host === null ? [] : [deps.host.summary.stateDir]), ...others];
  const outside = await deps.belongings(stateDirs);
  const remains = await deps.remains();
  const identities = repo === null ? 0 : (await repo.list()).length;
  const isNothing = outside.length === 0 && remains.removes.length === 0 && stops.length === 0;
  const result = isNothing ? 'nothing-here' : 'planned';
  return { result, eject: ejection, stops, others, outside, remains, identities, notes };
}

/**
 * Ejects, then removes everything that is ours: first what others look for, then what is sealed, then its keys. Refused while an
 * identity exists only here. Run again after a crash or Ctrl-C it finishes.
 * @throws ONLY_HERE, LENT, with whom; what `eject` throws; KEYCHAIN_*, IO
 */
export async function uninstall(deps: UninstallDeps): Promise<Uninstall> {
  const before = await previewUninstall(deps);
  refuse(before.stops);
  const repo = await openIfAny(deps);
  const notes: HostNote[] = [...before.notes];
  const ours = repo === null ? null : await ourHost(deps, repo, []);
  const ejection = repo === null || ours === null ? null : await eject(deps.ejectDeps(ours), repo, null);
  await deps.withLock(async () => {
    // What was planned may have become another thing by now, and this is the last look.
    refuse(await stopsOf(deps, repo, null));
    await deps.critical(async () => {
      for (const stateDir of before.others) await disown(deps, repo, stateDir, notes);
      for (const one of before.outside) await deps.removeBelonging(one);
      // One by one, each with its entry, so that what is left after a crash is an ordinary vault.
      for (const { identity } of (await repo?.list()) ?? []) await deps.repo.remove(identityKey(identity));
      await deps.removeRemains();
    });
  });
  await deps.removeFolders();
  return { ...before, result: 'uninstalled', eject: ejection, notes };
}

/** Null where nothing is stored: then no key is asked for. */
async function openIfAny({ repo, open }: UninstallDeps): Promise<OpenRepo | null> {
  const isStored = (await repo.list()).length > 0 || (await repo.isBehind());
  return isStored ? await open() : null;
}

/** The OpenClaw here, where it is ours or nobody's; what another codex-router routes is left to that. */
async function ourHost({ host }: UninstallDeps, repo: OpenRepo, notes: HostNote[]): Promise<Host | null> {
  if (host === null) return null;
  const { refusal } = await readOwnership(host, repo);
  if (refusal === null) return host;
  notes.push({ code: refusal.code, text: `${refusal.message}, so nothing is ejected into it` });
  return null;
}

/** Other OpenClaws with our owner file, as far as the index and the journal know of them. */
async function otherHosts(
  { host, hostAt, journal }: UninstallDeps,
  repo: OpenRepo | null,
  notes: HostNote[],
): Promise<readonly string[]> {
  if (repo === null) return [];
  const places = [
    ...(await repo.list()).map(({ placement }) => placement?.slot ?? ''),
    ...(await journal.read()).map(({ slot }) => slot),
  ];
  const found = new Set(places.flatMap((slot) => parsePlace(slot)?.stateDir ?? []));
  if (host !== null) found.delete(host.summary.stateDir);
  const ours: string[] = [];
  for (const stateDir of found) {
    const name = `the OpenClaw in ${stateDir}`;
    const reading = await readOrNote(async () => readOwnership(await hostAt(stateDir), repo), name, notes);
    if (reading?.ownership === 'ours') ours.push(stateDir);
  }
  return ours;
}

async function disown(
  { hostAt }: UninstallDeps,
  repo: OpenRepo | null,
  stateDir: string,
  notes: HostNote[],
): Promise<void> {
  const name = `the OpenClaw in ${stateDir}`;
  await readOrNote(
    async () => {
      const there = await hostAt(stateDir);
      const owner: HostOwner | null = repo === null ? null : (await readOwnership(there, repo)).owner;
      if (owner !== null) await there.disown(owner);
    },
    name,
    notes,
  );
}

/** @param ejection what is going to be handed over, and counts as held then; null after the fact */
async function stopsOf(
  deps: UninstallDeps,
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

/** What an interrupted `import --take` or `unlend` left in a Codex home, under a name that only we know. */
async function leftTakes({ homes }: UninstallDeps, entries: readonly IndexEntry[]): Promise<readonly Stop[]> {
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
  { homes }: UninstallDeps,
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
async function isHeld(deps: UninstallDeps, repo: OpenRepo, entry: IndexEntry): Promise<boolean> {
  const { holders } = await holderOf({ entry, fingerprint: entry.fingerprint }, repo, deps.host, null, deps);
  return holders.some(({ kind }) => kind === 'slot' || kind === 'outside');
}

function refuse(stops: readonly Stop[]): void {
  const code = stops.some((stop) => stop.code === 'ONLY_HERE') ? 'ONLY_HERE' : 'LENT';
  const meant = stops.filter((stop) => stop.code === code);
  const [first] = meant;
  if (first === undefined) return;
  const names = meant.map(({ what, why }) => `${what} (${why})`).join(', ');
  const message =
    code === 'LENT' ? `lent to Codex: ${names}` : `what exists only here would be lost: ${names}`;
  throw new RouterError(code, message, { hint: `${first.remedy}; nothing was removed` });
}
