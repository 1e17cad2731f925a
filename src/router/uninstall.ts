import { RouterError } from '../errors.js';
import { identityKey } from '../identity.js';
import type { IndexEntry, OpenRepo, Repo } from '../repo/repo.js';
import type { Remains } from '../repo/vault-removal.js';
import type { Host, HostNote, HostOwner } from '../slot/host.js';
import { type CustodyDeps, holderOf, readOrNote } from './custody.js';
import { type EjectDeps, type Ejection, eject, previewEject } from './eject.js';
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
] as const;

export interface UninstallDeps extends CustodyDeps {
  readonly repo: Repo;
  /** Opens the vault; called only while identities are stored. */
  open(): Promise<OpenRepo>;
  /** Null when there is no OpenClaw here. */
  readonly host: Host | null;
  /** What `eject` needs of that host. */
  ejectDeps(host: Host): EjectDeps;
  /** Where an interrupted `add` has left a fresh login. */
  unfinishedAdds(): Promise<readonly string[]>;
  /** What there is of us outside our folders. @param stateDirs of the OpenClaws that we route */
  belongings(stateDirs: readonly string[]): Promise<readonly Outside[]>;
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

/** An identity whose login nobody else has. */
export interface OnlyHere {
  readonly entry: IndexEntry;
  readonly why: string;
  readonly remedy: string;
}

export interface Uninstall {
  readonly result: 'planned' | 'uninstalled' | 'nothing-here';
  readonly eject: Ejection | null;
  readonly onlyHere: readonly OnlyHere[];
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
  const onlyHere = repo === null ? [] : await onlyStoredHere(deps, repo, ejection);
  const others = await otherHosts(deps, repo, notes);
  const stateDirs = [...(deps.host === null ? [] : [deps.host.summary.stateDir]), ...others];
  const outside = await deps.belongings(stateDirs);
  const remains = await deps.remains();
  const identities = repo === null ? 0 : (await repo.list()).length;
  const isNothing = ejection === null && outside.length === 0 && remains.removes.length === 0;
  const result = isNothing ? 'nothing-here' : 'planned';
  return { result, eject: ejection, onlyHere, others, outside, remains, identities, notes };
}

/**
 * Ejects, then removes everything that is ours: first what others look for, then what is sealed, then its keys. Refused while an
 * identity exists only here. Run again after a crash or Ctrl-C it finishes.
 * @throws ONLY_HERE, with whom; what `eject` throws; KEYCHAIN_*, IO
 */
export async function uninstall(deps: UninstallDeps): Promise<Uninstall> {
  const before = await previewUninstall(deps);
  refuseUnfinished(await deps.unfinishedAdds());
  refuseOnlyHere(before.onlyHere);
  const repo = await openIfAny(deps);
  const notes: HostNote[] = [...before.notes];
  const ours = repo === null ? null : await ourHost(deps, repo, []);
  const ejection = repo === null || ours === null ? null : await eject(deps.ejectDeps(ours), repo, null);
  await deps.withLock(async () => {
    // What was planned may have become another thing by now, and this is the last look.
    if (repo !== null) refuseOnlyHere(await onlyStoredHere(deps, repo, null));
    refuseUnfinished(await deps.unfinishedAdds());
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

/**
 * Identities whose stored grant nobody else holds: no slot or profile of an OpenClaw, no Codex home, no exported archive.
 * @param ejection what is going to be handed over, and counts as held then
 */
async function onlyStoredHere(
  deps: UninstallDeps,
  repo: OpenRepo,
  ejection: Ejection | null,
): Promise<readonly OnlyHere[]> {
  const found: OnlyHere[] = [];
  const goes = new Set((ejection?.added ?? []).map(({ entry }) => identityKey(entry.identity)));
  for (const entry of await repo.list()) {
    const { fingerprint, exported, lent } = entry;
    if (exported === fingerprint || goes.has(identityKey(entry.identity)) || lent?.what === 'grant') continue;
    const { holders } = await holderOf({ entry, fingerprint }, repo, deps.host, null, deps);
    if (holders.some(({ kind }) => kind === 'slot' || kind === 'outside')) continue;
    const left = ejection?.left.find((one) => one.entry === entry || sameEntry(one.entry, entry));
    const why =
      left?.why ?? (deps.host === null ? 'there is no OpenClaw to hand it to' : 'nobody else has it');
    found.push({ entry, why, remedy: remedyFor(entry) });
  }
  return found;
}

function sameEntry(a: IndexEntry, b: IndexEntry): boolean {
  return identityKey(a.identity) === identityKey(b.identity);
}

function remedyFor(entry: IndexEntry): string {
  return `codex-router export keeps it; codex-router remove ${selectorOf(entry)} forgets it`;
}

function refuseOnlyHere(onlyHere: readonly OnlyHere[]): void {
  if (onlyHere.length === 0) return;
  const names = onlyHere.map(({ entry, why }) => `${nameOf(entry)} (${why})`).join(', ');
  throw new RouterError('ONLY_HERE', `these logins exist only here and would be lost: ${names}`, {
    hint: 'codex-router export keeps them in an encrypted file; codex-router remove <selector> forgets one; nothing was removed',
  });
}

function refuseUnfinished(folders: readonly string[]): void {
  const [first] = folders;
  if (first === undefined) return;
  throw new RouterError(
    'ONLY_HERE',
    `an interrupted add has left a login in ${first}, and nobody else has it`,
    {
      hint: 'codex-router import stores it; nothing was removed',
    },
  );
}
