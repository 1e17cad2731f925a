import { EXIT, type ExitStatus, RouterError } from '../errors.js';
import type { OpenRepo } from '../repo/repo.js';
import { usageFileIn } from '../repo/usage-file.js';
import { usageHistoryIn } from '../repo/usage-history.js';
import { type LookedAt, lookedAt } from '../router/looked-at.js';
import { candidateOf } from '../router/resolve.js';
import { turnsSlot } from '../router/turns-slot.js';
import { type UsageWish, usage } from '../router/usage.js';
import type { UsagePace } from '../router/usage-pace.js';
import type { IdentityUsage, UsageState } from '../router/usage-result.js';
import type { Host, HostNote } from '../slot/host.js';
import { showText } from '../text.js';
import { hostOrNull } from './adapt.js';
import type { Cli } from './cli.js';
import type { Parts } from './compose.js';
import { DONE, type UsageDocument } from './documents.js';
import type { HostOptions } from './options.js';

/** Who is looked at, and how. */
export interface UsageOptions extends HostOptions {
  readonly agent?: string;
  readonly session?: string;
  readonly all?: boolean;
  readonly offline?: boolean;
  /** Seconds, as it was typed. */
  readonly timeout?: string;
  readonly ascii?: boolean;
  readonly watch?: boolean;
  /** Seconds, as it was typed. */
  readonly interval?: string;
  readonly history?: boolean;
  /** As it was typed. */
  readonly days?: string;
}

export interface Looked {
  readonly document: UsageDocument;
  /** The worst of what was found. */
  readonly status: ExitStatus;
}

/** One look at what is left to those who are meant. */
export async function lookAtUsage(
  cli: Cli,
  parts: Parts,
  selectors: readonly string[],
  options: UsageOptions,
  more: { readonly open?: () => Promise<OpenRepo>; readonly pace?: UsagePace } = {},
): Promise<Looked> {
  const waitMs = waitOf(options);
  const { signal } = cli.interruption;
  const { meant, host, notes } = await meantBy(cli, parts, selectors, options);
  const answer = await usage(
    {
      repo: parts.repo,
      host,
      homes: parts.codexHomes,
      open: more.open ?? parts.openRepo,
      source: parts.usage,
      file: usageFileIn(parts.folders.data),
      history: usageHistoryIn(parts.folders.data),
      // Who has pressed Ctrl-C waits for nobody; what was answered is kept where it can be at once.
      withLock: (work) => (signal.aborted ? parts.withLock(work, 0) : parts.withLock(work, KEEP_MS, signal)),
      now: cli.now,
      signal,
      pace: more.pace,
    },
    { wish: meant.wish, offline: options.offline ?? false, waitMs },
  );
  const document: UsageDocument = {
    ...DONE,
    meant: meant.wish.kind,
    session: meant.session,
    usage: answer.usage.map(rowOf),
    sharing: sharingIn(answer.usage),
    notes: [...notes, ...answer.notes],
  };
  return { document, status: signal.aborted ? EXIT.interrupted : worst(answer.usage) };
}

/** What there is to say beside a look. */
export function saidBeside({ session, notes }: Pick<UsageDocument, 'session' | 'notes'>): readonly string[] {
  const texts = [
    ...(session === null ? [] : [whoseSlot(session)]),
    ...notes.map(({ text }) => showText(text, 300)),
  ];
  return texts.map((text) => `note: ${text}`);
}

/** ms; the answers are there, and need not be kept. */
const KEEP_MS = 3000;

/** s */
const [SHORTEST, LONGEST, DEFAULT] = [0.1, 60, 15];

function waitOf({ timeout }: UsageOptions): number {
  const seconds = timeout === undefined ? DEFAULT : Number(timeout);
  if (timeout?.trim() !== '' && seconds >= SHORTEST && seconds <= LONGEST) return seconds * 1000;
  throw new RouterError('USAGE', `--timeout takes seconds, ${LONGEST} at most`, {
    hint: 'codex-router usage --timeout 15',
  });
}

export interface Meant {
  readonly wish: UsageWish;
  readonly session: UsageDocument['session'];
}

/** Who is meant. An OpenClaw that cannot be understood only stops who needs its slot. */
export async function meantBy(
  cli: Cli,
  parts: Parts,
  selectors: readonly string[],
  options: UsageOptions,
): Promise<{ readonly meant: Meant; readonly host: Host | null; readonly notes: readonly HostNote[] }> {
  const isSlot = selectors.length === 0 && !options.all;
  if (isSlot) {
    const host = await parts.host();
    const { agent = null, session = null } = options;
    const found = await lookedAt(host, cli.env, { agent, session });
    const { key, why } = found;
    const meant = {
      wish: { kind: 'slot', agent: found.agent } as const,
      session: { key, why, agent: found.agent },
    };
    return { meant, host, notes: await pinNotes(host, found) };
  }
  const wish: UsageWish = options.all ? { kind: 'all' } : { kind: 'selectors', selectors };
  try {
    return { meant: { wish, session: null }, host: await hostOrNull(parts), notes: [] };
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    const text = `this OpenClaw was not looked at, so whom it holds is not known: ${error.message}`;
    return { meant: { wish, session: null }, host: null, notes: [{ code: error.code, text }] };
  }
}

/** A chat that runs on another login has another's limits. */
async function pinNotes(host: Host, { agent, key, entry }: LookedAt): Promise<readonly HostNote[]> {
  const { profileId } = (await turnsSlot(host, agent)).slot.address;
  const pinnedTo = entry?.pinnedTo ?? profileId;
  if (key === null || pinnedTo === profileId) return [];
  const text = `${key} is pinned to ${pinnedTo}, so its turns do not run on this slot: codex-router explain tells more`;
  return [{ code: 'PINNED_ELSEWHERE', text }];
}

function whoseSlot({ agent, key, why }: NonNullable<UsageDocument['session']>): string {
  const session = key === null ? '' : `, the agent of ${showText(key, 80)}`;
  return `nobody was named, so this is who is in the slot of agent ${showText(agent)}${session} (${showText(why, 120)})`;
}

function rowOf(one: IdentityUsage): UsageDocument['usage'][number] {
  const { identity, entry, heldBy, agent, state, why, remedy, answeredFor, at, limits } = one;
  return {
    identity: personOf(one),
    workspace: entry?.identity.workspace ?? identity.workspace,
    stored: entry !== null,
    heldBy,
    agent,
    state,
    why,
    remedy,
    answeredFor,
    at,
    limits: limits && { ...limits, windows: limits.windows.map((window) => ({ ...window })) },
  };
}

export function personOf({ identity, entry }: Pick<IdentityUsage, 'identity' | 'entry'>) {
  return candidateOf({ alias: entry?.alias ?? null, identity });
}

function sharingIn(rows: readonly IdentityUsage[]): UsageDocument['sharing'] {
  const byAccount = new Map<string, IdentityUsage[]>();
  for (const row of rows) {
    const { accountId } = row.identity;
    byAccount.set(accountId, [...(byAccount.get(accountId) ?? []), row]);
  }
  return [...byAccount].flatMap(([accountId, shared]) => {
    if (shared.length < 2) return [];
    const workspace = shared.map(({ identity }) => identity.workspace).find((name) => name !== null) ?? null;
    return [{ accountId, workspace, identities: shared.map(personOf) }];
  });
}

/** What is only a matter of time is no failure: a token that expired while nobody used it, a refresh under way. */
const STATUS_OF: { readonly [state in UsageState]: ExitStatus } = {
  answered: EXIT.ok,
  offline: EXIT.ok,
  expired: EXIT.ok,
  refreshing: EXIT.ok,
  rejected: EXIT.login,
  forbidden: EXIT.outside,
  failed: EXIT.outside,
  unreachable: EXIT.outside,
  timeout: EXIT.outside,
  interrupted: EXIT.interrupted,
  'no-token': EXIT.outside,
  mismatch: EXIT.refused,
};

function worst(rows: readonly IdentityUsage[]): ExitStatus {
  const all = rows.map(({ state }) => STATUS_OF[state]);
  return [EXIT.refused, EXIT.login, EXIT.outside].find((status) => all.includes(status)) ?? EXIT.ok;
}
