import { EXIT, type ExitStatus, RouterError } from '../../errors.js';
import { usageFileIn } from '../../repo/usage-file.js';
import { type LookedAt, lookedAt } from '../../router/looked-at.js';
import { candidateOf } from '../../router/resolve.js';
import { turnsSlot } from '../../router/turns-slot.js';
import { type UsageWish, usage } from '../../router/usage.js';
import type { IdentityUsage, UsageState } from '../../router/usage-result.js';
import type { Host, HostNote } from '../../slot/host.js';
import { showText } from '../../text.js';
import { hostOrNull } from '../adapt.js';
import { type Cli, painter } from '../cli.js';
import { compose, type Parts } from '../compose.js';
import { DONE, type UsageDocument } from '../documents.js';
import type { HostOptions } from '../options.js';
import { usageText } from '../usage-text.js';

export interface UsageOptions extends HostOptions {
  readonly agent?: string;
  readonly session?: string;
  readonly all?: boolean;
  readonly offline?: boolean;
  /** Seconds, as it was typed. */
  readonly timeout?: string;
  readonly ascii?: boolean;
}

/** `codex-router usage [selector...]`: what is left to each, asked with its own token; changes and refreshes nothing. */
export async function runUsage(cli: Cli, selectors: readonly string[], options: UsageOptions): Promise<void> {
  const waitMs = waitOf(options);
  if (selectors.length > 0 && options.all) {
    throw new RouterError('USAGE', 'a selector and --all exclude each other', {
      hint: 'codex-router usage --help',
    });
  }
  const parts = compose(cli, options);
  const { meant, host, notes } = await meantBy(cli, parts, selectors, options);
  const answer = await usage(
    {
      repo: parts.repo,
      host,
      homes: parts.codexHomes,
      open: parts.openRepo,
      source: parts.usage,
      file: usageFileIn(parts.folders.data),
      withLock: (work) => parts.withLock(work, KEEP_MS, cli.interruption.signal),
      now: cli.now,
      signal: cli.interruption.signal,
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
  cli.exitWith(worst(answer.usage));
  const look = {
    now: cli.now(),
    page: cli.terminal.page,
    ascii: options.ascii ?? false,
    paint: painter(cli),
  };
  cli.print(document, () => usageText(document, look));
  if (cli.json) return;
  if (meant.session !== null) cli.say(`note: ${whoseSlot(meant.session)}`);
  for (const note of document.notes) cli.say(`note: ${showText(note.text, 300)}`);
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

interface Meant {
  readonly wish: UsageWish;
  readonly session: UsageDocument['session'];
}

/** Who is meant. An OpenClaw that cannot be understood only stops who needs its slot. */
async function meantBy(
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

function personOf({ identity, entry }: Pick<IdentityUsage, 'identity' | 'entry'>) {
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
  'no-token': EXIT.outside,
  mismatch: EXIT.refused,
};

function worst(rows: readonly IdentityUsage[]): ExitStatus {
  const all = rows.map(({ state }) => STATUS_OF[state]);
  return [EXIT.refused, EXIT.login, EXIT.outside].find((status) => all.includes(status)) ?? EXIT.ok;
}
