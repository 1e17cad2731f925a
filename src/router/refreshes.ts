import { sameIdentity } from '../identity.js';
import type { IndexEntry, OpenRepo, Repo } from '../repo/repo.js';
import type { HostNote } from '../slot/host.js';
import { renewClaim } from './owner.js';
import { type RefreshDeps, type Refreshed, refresh, refreshOrFail } from './refresh.js';
import { resolve, storedEntries } from './resolve.js';
import type { SettledDeps } from './settled.js';
import { bringHome, settleSent } from './sync.js';

export interface RefreshesDeps extends RefreshDeps, SettledDeps {
  readonly repo: Repo;
  readonly opening: Promise<OpenRepo>;
}

/** Whom to refresh: one by a selector, every parked identity, or those that are due. */
export type RefreshWish =
  | { readonly kind: 'one'; readonly selector: string }
  | { readonly kind: 'all' }
  | { readonly kind: 'due' };

export interface RefreshesAnswer {
  readonly refreshed: readonly Refreshed[];
  /** What became of the one that was named; null for a round. */
  readonly named: Refreshed | null;
  /** Identities that were not due. */
  readonly left: readonly IndexEntry[];
  readonly notes: readonly HostNote[];
}

/** ms before its access token expires from which on a parked identity is due. */
const DUE_MS = 24 * 60 * 60 * 1000;

/**
 * Refreshes parked identities, one after the other, on what the slots hold now. What goes wrong with one does not stop the others.
 * @param onEach heard before each request, with its place and how many there are
 * @throws HOST_OWNED, VAULT_ROLLED_BACK, IDENTITY_NOT_FOUND, IDENTITY_AMBIGUOUS, KEY*, VAULT_*, BUSY, INTERRUPTED; never for one of them
 */
export async function refreshes(
  deps: RefreshesDeps,
  wish: RefreshWish,
  onEach: (entry: IndexEntry, place: number, of: number) => void = () => undefined,
): Promise<RefreshesAnswer> {
  // Nobody waits for a keychain for an identity that is not there.
  const named = wish.kind === 'one' ? resolve(wish.selector, await storedEntries(deps)).identity : null;
  const repo = await deps.opening;
  const { host } = deps;
  const home = host === null ? null : await deps.withLock(() => bringHome(deps, repo, host));
  const notes: HostNote[] = [...(home?.notes ?? [])];
  for (const { who } of home?.stale ?? []) {
    const text = `OpenClaw has written an older login of ${who.email ?? who.accountId} back: codex-router sync puts the stored one in again`;
    notes.push({ code: 'SLOT_OVERWRITTEN', text });
  }
  const settled = await settleSent(deps, repo);

  const entries = await repo.list();
  const isMeant = ({ identity }: IndexEntry) => named === null || sameIdentity(identity, named);
  const open = entries.filter(
    (entry) => isMeant(entry) && !settled.some((one) => sameIdentity(one.entry.identity, entry.identity)),
  );
  const meant = wish.kind === 'due' ? open.filter((entry) => isDue(entry, deps.now())) : open;
  const refreshed = [...settled];
  for (const [place, entry] of meant.entries()) {
    deps.signal?.throwIfAborted();
    onEach(entry, place + 1, meant.length);
    const one =
      named === null
        ? await refreshOrFail(deps, repo, entry, 'round')
        : await refresh(deps, repo, named, 'named');
    if (one !== null) refreshed.push(one);
  }
  if (host !== null) notes.push(...(await deps.withLock(() => renewClaim(host, repo, deps.now()))));
  const own = named && refreshed.findLast(({ entry }) => sameIdentity(entry.identity, named));
  return { refreshed, named: own ?? null, left: open.filter((entry) => !meant.includes(entry)), notes };
}

function isDue({ expiresAt, doubt }: IndexEntry, now: number): boolean {
  return doubt === 'refresh-sent' || expiresAt <= now + DUE_MS;
}
