import { RouterError } from '../errors.js';
import { type IdentityKey, identityKey } from '../identity.js';
import type { ArchivedLogin } from '../repo/archive-document.js';
import type { Fingerprint, IndexEntry, OpenRepo } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import { type CustodyDeps, holderOf } from './custody.js';
import { handedOver } from './lent.js';
import { nameOf, resolve, selectorOf } from './resolve.js';
import { bringHome, type HomeDeps } from './sync.js';

export interface ExportDeps extends HomeDeps, CustodyDeps {
  readonly repo: OpenRepo;
  /** Null when there is no OpenClaw here. */
  readonly host: Host | null;
  withLock<T>(work: () => Promise<T>): Promise<T>;
}

/** One identity that goes into an export. */
export interface Exported {
  readonly entry: IndexEntry;
  readonly login: ArchivedLogin;
  /** Who runs on it now and will refresh it, so that the copy is outdated then; null when nobody here does. */
  readonly heldBy: string | null;
}

export interface ExportPlan {
  readonly exported: readonly Exported[];
  readonly notes: readonly HostNote[];
}

/**
 * Brings the tokens of every slot home, without the network, and gathers what an export holds.
 * @param selectors whom; empty for everybody
 * @throws IDENTITY_NOT_FOUND, IDENTITY_AMBIGUOUS; RECORD_DAMAGED: an export is whole or is not made
 */
export async function gatherExport(deps: ExportDeps, selectors: readonly string[]): Promise<ExportPlan> {
  const { repo, host } = deps;
  return deps.withLock(async () => {
    const notes = host === null ? [] : await homeNotes(deps, host);
    const entries = await repo.list();
    const named = new Set(selectors.map((selector) => resolve(selector, entries)));
    const meant = selectors.length === 0 ? entries : entries.filter((entry) => named.has(entry));
    if (meant.length === 0) {
      throw new RouterError(
        'IDENTITY_NOT_FOUND',
        'no identity is stored yet, so there is nothing to export',
        {
          hint: 'codex-router login',
        },
      );
    }
    const exported: Exported[] = [];
    for (const entry of meant) {
      const { alias, source, verified, doubt, addedAt, updatedAt } = entry;
      const holding = await repo.load(identityKey(entry.identity));
      const login = { holding, alias, source, verified, doubt, addedAt, updatedAt };
      exported.push({ entry, login, heldBy: await heldBy(deps, entry) });
    }
    return { exported, notes };
  });
}

/**
 * Writes down that an export holds these logins.
 * @returns those of whom another login was stored while it was written: the file has an older one
 */
export async function recordExport(
  { repo, withLock, critical }: ExportDeps,
  { exported }: ExportPlan,
): Promise<readonly IndexEntry[]> {
  return withLock(() =>
    critical(async () => {
      const now = new Map<IdentityKey, Fingerprint>();
      for (const { identity, fingerprint } of await repo.list()) now.set(identityKey(identity), fingerprint);
      const isSame = ({ entry }: Exported) => now.get(identityKey(entry.identity)) === entry.fingerprint;
      await repo.markExported(exported.filter(isSame).map(({ entry }) => identityKey(entry.identity)));
      return exported.filter((one) => !isSame(one)).map(({ entry }) => entry);
    }),
  );
}

/** What a person has to know of the copy of each login. */
export function copyNotes({ exported, notes }: ExportPlan): readonly HostNote[] {
  const held = exported.filter(({ heldBy }) => heldBy !== null);
  const all: HostNote[] = held.map(({ entry, heldBy }) => {
    const text = `${nameOf(entry)}: ${heldBy} runs on this login, and its next refresh makes the copy in the file worthless`;
    return { code: 'COPY_WILL_AGE', text };
  });
  const [parked, ...more] = exported.filter((one) => one.heldBy === null);
  if (parked !== undefined) {
    const who = more.length === 0 ? nameOf(parked.entry) : `the ${more.length + 1} others`;
    const whom = held.length === 0 && more.length > 0 ? 'each of them' : who;
    const text = `${whom}: a login rotates, so one of the two copies stops working as soon as the other is refreshed: codex-router remove ${selectorOf(parked.entry)} here before it is used there`;
    all.push({ code: 'COPY', text });
  }
  return [...notes, ...all];
}

/** A host that is not ours to read, or cannot be, keeps nobody from saving what is stored. */
async function homeNotes(deps: ExportDeps, host: Host): Promise<readonly HostNote[]> {
  try {
    const { notes, slots } = await bringHome(deps, deps.repo, host);
    const fresh = slots.flatMap(({ checkedIn }) => checkedIn.filter(({ result }) => result === 'taken-home'));
    const taken = fresh.map(({ identity }) => ({
      code: 'TAKEN_HOME',
      text: `OpenClaw had refreshed ${identity.email ?? identity.accountId}: its new tokens are stored and in the file`,
    }));
    return [...notes, ...taken];
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    const text = `OpenClaw's slots were not checked in, so the file may hold older logins than they do: ${error.message}`;
    return [{ code: error.code, text }];
  }
}

async function heldBy(deps: ExportDeps, entry: IndexEntry): Promise<string | null> {
  const lent = handedOver(entry);
  if (lent !== null) return `the Codex CLI in ${lent.folder}`;
  try {
    const { holder } = await holderOf(
      { entry, fingerprint: entry.fingerprint },
      deps.repo,
      deps.host,
      null,
      deps,
    );
    return holder?.name ?? null;
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return 'a place that cannot be read now';
  }
}
