import { RouterError } from '../errors.js';
import { type Identity, type IdentityKey, identityKey } from '../identity.js';
import type { IndexEntry, OpenRepo, Repo } from '../repo/repo.js';
import type { LastUsage, LastUsages, UsageFile } from '../repo/usage-file.js';
import type { UsageHistory } from '../repo/usage-history.js';
import type { Host, HostNote } from '../slot/host.js';
import { clockNote } from './clock.js';
import { BEHIND } from './list.js';
import { problemIn } from './lost.js';
import { entryOrNull, resolve } from './resolve.js';
import { turnsSlot } from './turns-slot.js';
import {
  type IdentityUsage,
  type Result,
  type ResultDeps,
  type Target,
  usageResult,
} from './usage-result.js';
import { askRound } from './usage-round.js';
import type { UsageSource } from './usage-source.js';
import { type OwnToken, ownToken, type SlotLogins, slotLogins, type TokenDeps } from './usage-tokens.js';

export interface UsageDeps extends TokenDeps, ResultDeps {
  readonly repo: Repo;
  /** Null when there is no OpenClaw here, or none that can be read. */
  readonly host: Host | null;
  readonly file: UsageFile;
  readonly history: UsageHistory;
  /** Our own lock; bounded to seconds: the answer does not wait for its being kept. */
  withLock<T>(work: () => Promise<T>): Promise<T>;
}

/** About whom: whoever is in the slot of an agent, those named, or everybody stored and everybody in a slot. */
export type UsageWish =
  | { readonly kind: 'slot'; readonly agent: string }
  | { readonly kind: 'selectors'; readonly selectors: readonly string[] }
  | { readonly kind: 'all' };

export interface UsageRequest {
  readonly wish: UsageWish;
  /** Asks nobody: what was answered last. */
  readonly offline: boolean;
  /** ms for each answer; for all of them twice as long. */
  readonly waitMs: number;
}

export interface UsageAnswers {
  readonly usage: readonly IdentityUsage[];
  readonly notes: readonly HostNote[];
}

/**
 * Asks what is left to each identity, with that identity's own access token and workspace and no other ever. Refreshes nothing and changes
 * no login; keeps the answers for `offline`. What goes wrong with one is its state and does not stop the others.
 * @throws IDENTITY_NOT_FOUND, IDENTITY_AMBIGUOUS; KEY*, VAULT_* when nobody's token can be had without the vault; INTERRUPTED
 */
export async function usage(deps: UsageDeps, request: UsageRequest): Promise<UsageAnswers> {
  const { repo, now } = deps;
  const entries = await repo.list();
  const seen = await slotLogins(deps.host);
  const notes: HostNote[] = [...seen.notes];
  if (await repo.isBehind())
    notes.push({ code: BEHIND.code, text: `${BEHIND.text}: ${BEHIND.remedy} lists it` });
  const targets = await targetsOf(deps, request.wish, entries, seen);
  const known = await lastKnown(deps, notes);

  const vault = lazily(deps.open);
  const { source, ahead } = timed(deps.source);
  const heard = await withOwnSignal(deps.signal, (signal) => {
    const work = async (target: Target, leftMs: number): Promise<Result> => {
      const found = await tokenOf({ ...deps, open: vault.open }, target, seen, request.offline);
      return usageResult({ ...deps, source, signal }, target, found, request.offline, leftMs, entries);
    };
    return askRound(targets, request.waitMs, work, signal);
  });
  // What some have answered is not lost with the rest.
  if (heard.every((result) => result?.state !== 'answered')) deps.signal?.throwIfAborted();
  const results = targets.map((target, place) => heard[place] ?? givenUp(target));
  // What would be true of every one of them is an error of the command.
  const { failure } = vault;
  if (failure !== null && results.every(({ state }) => state === 'no-token')) throw failure;

  const fresh = new Map<IdentityKey, LastUsage>();
  const usage = results.map(({ at = null, limits = null, ...result }): IdentityUsage => {
    const key = identityKey(result.identity);
    if (at !== null && limits !== null) {
      fresh.set(key, { at, limits });
      return { ...result, at, limits };
    }
    const last = result.state === 'mismatch' ? undefined : known.get(key);
    return { ...result, at: last?.at ?? null, limits: last?.limits ?? null };
  });
  notes.push(...(await keep(deps, fresh, seen)));
  notes.push(...[clockNote(ahead())].filter((note) => note !== null));
  return { usage: usage.map((one) => withoutPast(one, now())), notes };
}

/** The same source, and by how many ms this machine's clock is ahead by its answers, at the least; null where none tells the time. */
function timed({ ask }: UsageSource): { readonly source: UsageSource; readonly ahead: () => number | null } {
  let least: number | null = null;
  return {
    source: {
      ask: async (...question) => {
        const answer = await ask(...question);
        const { aheadMs = null } = answer;
        if (aheadMs !== null && Math.abs(aheadMs) < Math.abs(least ?? Number.POSITIVE_INFINITY))
          least = aheadMs;
        return answer;
      },
    },
    ahead: () => least,
  };
}

/** Whom a wish means, without asking anybody. @throws IDENTITY_NOT_FOUND, IDENTITY_AMBIGUOUS, HOST_NOT_FOUND */
export async function whoIsMeant(
  { repo, host }: Pick<UsageDeps, 'repo' | 'host'>,
  wish: UsageWish,
): Promise<readonly Target[]> {
  return targetsOf({ host }, wish, await repo.list(), await slotLogins(wish.kind === 'all' ? host : null));
}

async function targetsOf(
  { host }: Pick<UsageDeps, 'host'>,
  wish: UsageWish,
  entries: readonly IndexEntry[],
  seen: SlotLogins,
): Promise<readonly Target[]> {
  const targetOf = (identity: Identity): Target => {
    const entry = entryOrNull(identity, entries);
    return { identity: entry?.identity ?? identity, entry };
  };
  if (wish.kind === 'slot') return [targetOf(await inSlot(host, wish.agent, entries))];
  const stored = wish.kind === 'all' ? entries : wish.selectors.map((one) => resolve(one, entries));
  const others = wish.kind === 'all' ? seen.logins.map(({ identity }) => identity) : [];
  const targets = new Map<string, Target>();
  for (const who of [...stored.map(({ identity }) => identity), ...others]) {
    if (!targets.has(identityKey(who))) targets.set(identityKey(who), targetOf(who));
  }
  return [...targets.values()];
}

/** Who is in the slot of an agent, or was until the host began to refresh it. @throws IDENTITY_NOT_FOUND, HOST_NOT_FOUND */
async function inSlot(host: Host | null, agent: string, entries: readonly IndexEntry[]): Promise<Identity> {
  if (host === null) {
    throw new RouterError('HOST_NOT_FOUND', 'there is no OpenClaw here whose slot could be meant', {
      hint: 'codex-router usage --all, or name an identity',
    });
  }
  const { slot, reading } = await turnsSlot(host, agent);
  const { occupant } = reading;
  if (occupant.kind === 'login') return occupant.identity;
  if (occupant.kind === 'refreshing') {
    const placed = entries.find(({ placement }) => placement?.slot === slot.address.id);
    if (placed !== undefined) return placed.identity;
  }
  const what = problemIn(slot, occupant, entries) ?? 'nobody';
  throw new RouterError('IDENTITY_NOT_FOUND', `${slot.address.profileId} of agent ${agent} holds ${what}`, {
    hint: 'codex-router usage --all, or name an identity',
  });
}

/** Offline nobody's token is wanted, and no vault is opened. */
async function tokenOf(
  deps: TokenDeps,
  { identity, entry }: Target,
  seen: SlotLogins,
  offline: boolean,
): Promise<OwnToken> {
  const open = () => Promise.reject(new RouterError('VAULT_MISSING', 'the vault was not opened'));
  try {
    return await ownToken(offline ? { ...deps, open } : deps, identity, entry, seen);
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    const { message: why, hint = null } = error;
    return { heldBy: 'store', agent: null, kind: 'none', why, remedy: hint };
  }
}

interface Vault {
  readonly open: () => Promise<OpenRepo>;
  /** Why it could not be opened, once that was tried. */
  readonly failure: RouterError | null;
}

/** Opened once, when the first asks for it. */
function lazily(open: () => Promise<OpenRepo>): Vault {
  let opening: Promise<OpenRepo> | null = null;
  let failure: RouterError | null = null;
  return {
    open: () => {
      opening ??= open().catch((error: unknown) => {
        if (error instanceof RouterError) failure = error;
        throw error;
      });
      return opening;
    },
    get failure() {
      return failure;
    },
  };
}

async function lastKnown({ file }: UsageDeps, notes: HostNote[]): Promise<LastUsages> {
  try {
    return await file.read();
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    notes.push({
      code: 'USAGE_FILE_UNREADABLE',
      text: `the last known usage is not shown: ${error.message}`,
    });
    return new Map();
  }
}

/**
 * With a signal that is aborted with the outer one and is gone after `work`: the outer one may live for days, and would keep something of
 * every question (Node 20).
 */
async function withOwnSignal<T>(outer: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>) {
  const inner = new AbortController();
  const stop = () => inner.abort(outer?.reason);
  outer?.addEventListener('abort', stop);
  if (outer?.aborted) stop();
  try {
    return await work(inner.signal);
  } finally {
    outer?.removeEventListener('abort', stop);
  }
}

function givenUp({ identity, entry }: Target): Result {
  const why = 'it was given up before it was answered';
  const nobody = { heldBy: 'store', agent: null, remedy: null, answeredFor: null } as const;
  return { identity, entry, ...nobody, state: 'interrupted', why };
}

/** Only where there is a vault: nothing of ours is made for a look. */
async function keep(
  { repo, file, history, withLock }: UsageDeps,
  fresh: ReadonlyMap<IdentityKey, LastUsage>,
  seen: SlotLogins,
): Promise<readonly HostNote[]> {
  if (fresh.size === 0 || (await repo.standing()) === null) return [];
  try {
    await withLock(async () => {
      // Somebody may have been removed while the others were asked.
      const stored = (await repo.list()).map(({ identity }) => identityKey(identity));
      const inSlots = seen.logins.map(({ identity }) => identityKey(identity));
      const kept = new Set<string>([...stored, ...inSlots]);
      await file.keep(fresh, (key) => kept.has(key));
      const looks = [...fresh].map(
        ([key, { at, limits }]) => [key, { at, windows: limits.windows }] as const,
      );
      await history.add(new Map(looks), stored);
    });
    return [];
  } catch (error) {
    if (!(error instanceof RouterError) || error.code === 'INTERRUPTED') throw error;
    return [
      {
        code: 'USAGE_NOT_KEPT',
        text: `the answers were not kept for --offline and --history: ${error.message}`,
      },
    ];
  }
}

/** A window that has ended since it was told of is whole again, as far as anybody knows. */
function withoutPast(one: IdentityUsage, now: number): IdentityUsage {
  if (one.limits === null || one.state === 'answered') return one;
  const windows = one.limits.windows.filter(({ resetsAt }) => resetsAt === null || resetsAt > now);
  return { ...one, limits: { ...one.limits, windows } };
}
