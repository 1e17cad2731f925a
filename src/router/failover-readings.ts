import { RouterError } from '../errors.js';
import type { FailoverReason } from '../failover.js';
import { type Identity, type IdentityKey, identityKey } from '../identity.js';
import type { JsonObject } from '../json.js';
import type { Limits } from '../limits.js';
import type { IndexEntry, OpenRepo, Repo } from '../repo/repo.js';
import type { UsageFile } from '../repo/usage-file.js';
import type { UsageHistory } from '../repo/usage-history.js';
import type { Host, HostNote } from '../slot/host.js';
import type { SlotReading } from '../slot/slot.js';
import { FOR_THE_LOGIN, restingUntil } from './explain-choice.js';
import type { Reading, ReadWindow } from './failover-policy.js';
import type { CodexHomes } from './lend-source.js';
import { entryOrNull } from './resolve.js';
import { usage } from './usage.js';
import type { UsagePace } from './usage-pace.js';
import type { IdentityUsage, UsageState } from './usage-result.js';
import type { UsageSource } from './usage-source.js';

export interface ReadingDeps {
  readonly repo: Repo;
  readonly host: Host;
  /** The vault; called only for somebody whose login lies in no slot. */
  readonly open: () => Promise<OpenRepo>;
  readonly homes: () => Promise<CodexHomes>;
  readonly source: UsageSource;
  /** ms epoch */
  readonly now: () => number;
  /** ms for one answer; 15 s unless told */
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
  /** Where the same people are asked again and again: who is to be left in peace for a while. */
  readonly pace?: UsagePace;
}

/** One identity as it was looked at. */
export interface Looked {
  readonly entry: IndexEntry;
  readonly reading: Reading;
  /** Whether its token was sent. */
  readonly asked: boolean;
  /** In words, what is wrong; null for a good one. */
  readonly why: string | null;
  /** The command that helps; null where none does. */
  readonly remedy: string | null;
}

/** What came of a round of questions. */
export interface LookedAll {
  readonly looked: readonly Looked[];
  readonly notes: readonly HostNote[];
}

/**
 * Asks what is left to these and to nobody else, each with its own token; keeps nothing, refreshes nothing.
 * @throws KEY*, VAULT_* where nobody's token can be had without the vault; the signal's reason
 */
export async function lookAt(deps: ReadingDeps, entries: readonly IndexEntry[]): Promise<LookedAll> {
  if (entries.length === 0) return { looked: [], notes: [] };
  deps.signal?.throwIfAborted();
  const early = new Set<string>();
  const { pace } = deps;
  const answer = await usage(
    {
      ...deps,
      file: NO_FILE,
      history: NO_HISTORY,
      withLock: (work) => work(),
      pace: pace && {
        early: (found, identity) => {
          const said = pace.early(found, identity);
          if (said !== null) early.add(identityKey(identity));
          return said;
        },
        heard: (...heard) => pace.heard(...heard),
      },
    },
    {
      wish: { kind: 'selectors', selectors: entries.map(({ identity }) => identityKey(identity)) },
      offline: false,
      waitMs: deps.waitMs ?? WAIT_MS,
    },
  );
  deps.signal?.throwIfAborted();
  const looked = entries.map((entry): Looked => {
    const key = identityKey(entry.identity);
    const found = answer.usage.find(({ identity }) => identityKey(identity) === key);
    if (found === undefined) return unread(entry, 'unknown', 'it was not asked', deps.now());
    const isEarly = early.has(key);
    const reading = readingOf(key, found, isEarly, deps.now());
    const asked = !isEarly && ASKED.has(found.state);
    return { entry, reading, asked, why: found.why, remedy: found.remedy };
  });
  return { looked, notes: answer.notes };
}

/** ms */
const WAIT_MS = 15_000;

/** A look of failover's leaves no trace of its own: a dry run writes nothing at all. */
const NO_FILE: UsageFile = {
  read: async () => new Map(),
  keep: async () => undefined,
  forget: async () => undefined,
};
const NO_HISTORY: UsageHistory = {
  read: async () => () => [],
  add: async () => undefined,
  forget: async () => undefined,
};

/** States in which a question was sent. */
const ASKED: ReadonlySet<UsageState> = new Set<UsageState>([
  'answered',
  'rejected',
  'forbidden',
  'failed',
  'unreachable',
  'timeout',
  'interrupted',
]);

/** What no question was sent about. */
export function unread(
  entry: IndexEntry,
  state: Reading['state'],
  why: string,
  now: number,
  remedy: string | null = null,
): Looked {
  const key = identityKey(entry.identity);
  const reading: Reading = { key, state, windows: [], restsUntil: null, at: now };
  return { entry, reading, asked: false, why, remedy };
}

/** What is learnt of a state; those that are nobody's fault, or only a matter of time, count for nothing. */
const STATE_OF: { readonly [state in UsageState]: Reading['state'] } = {
  answered: 'good',
  rejected: 'needs-login',
  forbidden: 'failed',
  failed: 'failed',
  mismatch: 'failed',
  'no-token': 'needs-login',
  expired: 'unknown',
  refreshing: 'unknown',
  unreachable: 'unknown',
  timeout: 'unknown',
  interrupted: 'unknown',
  offline: 'unknown',
};

function readingOf(key: IdentityKey, found: IdentityUsage, isEarly: boolean, now: number): Reading {
  const { state, limits } = found;
  const windows = state === 'answered' && limits !== null ? windowsOf(limits) : [];
  // What was not asked again is not one failure more.
  return { key, state: isEarly ? 'unknown' : STATE_OF[state], windows, restsUntil: null, at: now };
}

/** s; what is longer counts as the weekly one */
const DAY = 24 * 3600;

/** The ordinary limit's windows by their length, the tightest of each; whoever gets no more turns has nothing left of any. */
export function windowsOf({ windows, reached, allowed, spend }: Limits): readonly ReadWindow[] {
  const found = new Map<ReadWindow['window'], ReadWindow>();
  for (const { name, seconds, leftPercent, resetsAt } of windows) {
    if (name !== null) continue;
    const window = seconds !== null && seconds > DAY ? 'weekly' : 'fiveHour';
    const before = found.get(window);
    if (before === undefined || leftPercent < before.remainingPercent) {
      found.set(window, { window, remainingPercent: leftPercent, resetsAt });
    }
  }
  const all = [...found.values()];
  const isOut = reached || allowed === false;
  if (!isOut || all.some(({ remainingPercent }) => remainingPercent <= 0)) return all;
  if (all.length === 0) {
    return [{ window: 'fiveHour', remainingPercent: 0, resetsAt: spend?.resetsAt ?? null }];
  }
  return all.map((one) => ({ ...one, remainingPercent: 0 }));
}

/** A look with what OpenClaw itself has noted against the login. @param stats `usageStats` of its entry; null for none */
export function withRest(looked: Looked, stats: JsonObject | null, now: number): Looked {
  const rest = stats === null ? null : restingUntil(stats, now);
  if (rest === null) return looked;
  return { ...looked, reading: { ...looked.reading, restsUntil: rest.until } };
}

/** What is wrong with what is in a slot. */
export interface SlotTrouble {
  readonly reason: FailoverReason;
  /** Of who is there. */
  readonly state: 'failed' | 'needs-login';
  readonly why: string;
}

/**
 * What is wrong with the login in a slot beside its limits: it is gone, or OpenClaw's own notes say that its refresh was refused. An access
 * token that has only expired is no trouble: OpenClaw renews it with the next turn. Null for nothing.
 */
export function slotTrouble(
  { occupant }: SlotReading,
  entry: IndexEntry | null,
  now: number,
): SlotTrouble | null {
  switch (occupant.kind) {
    case 'absent':
      return { reason: 'missing_profile_entry', state: 'failed', why: 'the slot holds no login' };
    case 'lost': {
      const why = 'a refresh by OpenClaw failed, and it keeps no login after that';
      return { reason: 'missing_token', state: 'failed', why };
    }
    case 'foreign':
      return { reason: 'missing_token', state: 'failed', why: `the slot holds ${occupant.what}` };
    case 'refreshing':
      return null;
    case 'login': {
      const isExpired = occupant.grant.expiresAt <= now;
      const isEnded = entry?.doubt === 'login-needed' && entry.placement?.fingerprint === entry.fingerprint;
      const refusal = refusedRefresh(occupant.selection ?? {}, isExpired, now);
      if (refusal !== null && isExpired)
        return { reason: 'token_expired', state: 'needs-login', why: refusal };
      if (isEnded && isExpired) {
        const why = 'its access token has expired, and the issuer has ended the login';
        return { reason: 'token_expired', state: 'needs-login', why };
      }
      if (refusal === null) return null;
      return { reason: 'current_profile_usage_error', state: 'failed', why: refusal };
    }
  }
}

/** As OpenClaw has noted it (`usageStats`, 3.28 to 9.6); null where it noted nothing against the login itself. */
function refusedRefresh(stats: JsonObject, isExpired: boolean, now: number): string | null {
  const rest = restingUntil(stats, now);
  if (rest?.reason && FOR_THE_LOGIN.has(rest.reason))
    return `OpenClaw was refused its login (${rest.reason})`;
  const { failureCounts } = stats;
  if (
    !isExpired ||
    typeof failureCounts !== 'object' ||
    failureCounts === null ||
    Array.isArray(failureCounts)
  ) {
    return null;
  }
  const failed = Object.entries(failureCounts).some(
    ([reason, count]) => FOR_THE_LOGIN.has(reason) && typeof count === 'number' && count > 0,
  );
  return failed ? 'its access token has expired, and OpenClaw could not renew it' : null;
}

/** What OpenClaw has noted against a login that is stored here; it travels with its identity. Null where there is no record. */
export async function parkedStats(deps: ReadingDeps, who: Identity): Promise<JsonObject | null> {
  try {
    return (await (await deps.open()).load(identityKey(who))).selection ?? null;
  } catch (error) {
    if (error instanceof RouterError) return null;
    throw error;
  }
}

/** Who is in a slot: by its own tokens, or whom codex-router put there, where its login cannot be read just now. */
export function occupantOf(
  { occupant }: SlotReading,
  slotId: string,
  entries: readonly IndexEntry[],
): { readonly identity: Identity | null; readonly entry: IndexEntry | null } {
  if (occupant.kind === 'login') {
    const entry = entryOrNull(occupant.identity, entries);
    return { identity: entry?.identity ?? occupant.identity, entry };
  }
  if (occupant.kind === 'absent') return { identity: null, entry: null };
  const entry = entries.find(({ placement }) => placement?.slot === slotId) ?? null;
  return { identity: entry?.identity ?? null, entry };
}
