import { RouterError } from '../errors.js';
import { identityKey } from '../identity.js';
import type { OpenRepo, Repo } from '../repo/repo.js';
import type { Remains } from '../repo/vault-removal.js';
import type { Host, HostNote, HostOwner } from '../slot/host.js';
import { readOrNote } from './custody.js';
import { type EjectDeps, type Ejection, eject, previewEject } from './eject.js';
import { leaveAll } from './leave-own-slot.js';
import { readOwnership } from './owner.js';
import { parsePlace } from './places.js';
import { onlyExported, type Stop, type StopDeps, stopsOf } from './uninstall-stops.js';

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

export interface UninstallDeps extends StopDeps {
  readonly repo: Repo;
  /** Opens the vault; called only while identities are stored. */
  open(): Promise<OpenRepo>;
  /** What `eject` needs of that host. */
  ejectDeps(host: Host): EjectDeps;
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
  notes.push(...(await onlyExported(deps, repo, ejection)));
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
  { hostAt, ejectDeps }: UninstallDeps,
  repo: OpenRepo | null,
  stateDir: string,
  notes: HostNote[],
): Promise<void> {
  const name = `the OpenClaw in ${stateDir}`;
  await readOrNote(
    async () => {
      const there = await hostAt(stateDir);
      if (repo !== null) await leaveAll(ejectDeps(there), repo, {});
      const owner: HostOwner | null = repo === null ? null : (await readOwnership(there, repo)).owner;
      if (owner !== null) await there.disown(owner);
    },
    name,
    notes,
  );
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
