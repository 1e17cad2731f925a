import { RouterError } from '../errors.js';
import type { Grant } from '../grant.js';
import { identityKey } from '../identity.js';
import { repoFiles } from '../repo/files.js';
import { lookAtHouse } from '../repo/house.js';
import { readIndex } from '../repo/index.js';
import { journalTimes } from '../repo/journal-times.js';
import type { IndexEntry, OpenRepo } from '../repo/repo.js';
import type { VaultDeps } from '../repo/vault.js';
import type { Finding } from './finding.js';
import { clockFindings } from './house-clock.js';
import { leftoverFindings, unreadable } from './house-leftovers.js';
import { lockFindings } from './house-locks.js';
import { permissionFindings } from './house-permissions.js';
import { vaultFindings } from './house-vault.js';

export interface HouseDeps {
  readonly vault: VaultDeps;
  readonly platform: NodeJS.Platform;
  /** Why it cannot be opened, where it cannot: then all is looked at that needs no key. */
  readonly opened: OpenRepo | RouterError;
  /** Logins that were seen in slots, for when they were made. */
  readonly placed: readonly Pick<Grant, 'accessToken'>[];
  /** The router lock. */
  readonly withLock: <T>(work: () => Promise<T>) => Promise<T>;
  /** As `Interruption.critical`. */
  readonly critical: <T>(work: () => Promise<T>) => Promise<T>;
  /** ms epoch */
  readonly now: () => number;
}

/**
 * What is not as it should be in codex-router's own house: vault, index and records, permissions, its own locks, what a crash left, and the
 * clock. Needs no key, tells more with one; reads only. @throws what is no RouterError
 */
export async function houseFindings(deps: HouseDeps): Promise<readonly Finding[]> {
  const { vault, platform, opened, placed } = deps;
  const { folders } = vault;
  const house = await lookAtHouse(folders);
  const entries = await listedIn(folders.data);
  const stored = opened instanceof RouterError ? [] : await grantsOf(opened, entries);
  const journal = await orNone(() => journalTimes(folders.data));
  const findings = [
    ...(await orTold(() => vaultFindings(deps, house, repoFiles(folders.data)))),
    ...permissionFindings(deps, house),
    ...(await orTold(() => lockFindings(deps, house))),
    ...(await orTold(() => leftoverFindings(deps, house))),
    ...clockFindings({ now: deps.now(), platform, grants: [...placed, ...stored], entries, journal }),
  ];
  // What cannot be read is met by more than one look.
  const isFirst = ({ code, text }: Finding, place: number) =>
    findings.findIndex((other) => other.code === code && other.text === text) === place;
  return findings.filter(isFirst);
}

/** What the index lists, where it can be read: that it cannot be is a finding of its own. */
function listedIn(data: string): Promise<readonly IndexEntry[]> {
  return orNone(async () => (await readIndex(repoFiles(data))).index?.identities ?? []);
}

/** The stored logins that can be opened. */
async function grantsOf(
  repo: OpenRepo,
  entries: readonly IndexEntry[],
): Promise<readonly Pick<Grant, 'accessToken'>[]> {
  const found: Grant[] = [];
  for (const { identity } of entries)
    found.push(...(await orNone(async () => [(await repo.load(identityKey(identity))).grant])));
  return found;
}

/** What cannot be read ends the look at its kind, and no other. */
async function orTold(look: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await look();
  } catch (error) {
    return [unreadable(error)];
  }
}

async function orNone<T>(read: () => Promise<readonly T[]>): Promise<readonly T[]> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof RouterError) return [];
    throw error;
  }
}
