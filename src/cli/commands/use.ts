import { RouterError } from '../../errors.js';
import { requireReplacing } from '../../os/platform.js';
import type { IndexEntry } from '../../repo/repo.js';
import { resolve } from '../../router/resolve.js';
import { type UseAnswer, use } from '../../router/use.js';
import type { SessionWish } from '../../slot/session.js';
import { showText } from '../../text.js';
import { switchDeps } from '../adapt.js';
import { type Cli, painter } from '../cli.js';
import { compose } from '../compose.js';
import { DONE, personIn, slotOf, type UseDocument } from '../documents.js';
import type { HostOptions } from '../options.js';
import { phrase } from '../people.js';
import { pick } from '../picker.js';

export interface UseOptions extends HostOptions {
  readonly agent?: string;
  /** A key; `false` for --no-session; true or absent for the current one. */
  readonly session?: string | boolean;
  readonly allSessions?: boolean;
  readonly dryRun?: boolean;
  readonly fixLabels?: boolean;
  readonly move?: boolean;
}

/** `codex-router use [selector]` */
export async function runUse(cli: Cli, selector: string | undefined, options: UseOptions): Promise<void> {
  requireReplacing(cli.platform);
  const session = sessionChoice(options);
  const parts = compose(cli, options);
  const { wanted, host } = await parts.besideKeychain(async () => {
    const finding = parts.host();
    finding.catch(() => undefined);
    const chosen = selector ?? (await pick(cli, parts, options.agent ?? null));
    // Nobody is asked for a passphrase for an identity or an OpenClaw that is not there.
    if (chosen !== '-' && !(await parts.repo.isBehind())) resolve(chosen, await parts.repo.list());
    return { wanted: chosen, host: await finding };
  });
  const answer = await use(switchDeps(cli, parts, host), {
    selector: wanted,
    agent: options.agent ?? null,
    session,
    dryRun: options.dryRun ?? false,
    fixLabels: options.fixLabels ?? false,
    move: options.move ?? false,
  });
  const document = useDocument(answer, await parts.repo.list());
  cli.print(document, () => (answer.result === 'planned' ? planText(document) : lineOf(cli, document)));
  if (!cli.json && answer.result !== 'planned') for (const line of detail(document)) cli.say(line);
}

function sessionChoice({ session, allSessions }: UseOptions): SessionWish {
  if (allSessions) {
    if (session !== undefined && session !== true) {
      throw new RouterError('USAGE', '--all-sessions cannot be combined with --session or --no-session', {
        hint: 'codex-router use --help',
      });
    }
    return { kind: 'all' };
  }
  if (session === false) return { kind: 'none' };
  return typeof session === 'string' ? { kind: 'key', key: session } : { kind: 'current' };
}

function useDocument(answer: UseAnswer, entries: readonly IndexEntry[]): UseDocument {
  const { reload } = answer;
  return {
    ...DONE,
    result: answer.result,
    from: answer.from === null ? null : personIn(answer.from, entries),
    to: personIn(answer.to.identity, entries),
    slot: slotOf(answer.slot),
    session: answer.session,
    pins: answer.pins.map(({ key, was, is, result }) => ({ key, was, is, result })),
    affects: { agents: [...answer.affects.agents], sessions: [...answer.affects.sessions] },
    checkedIn: answer.checkedIn.flatMap(({ identity, result }) =>
      result === 'unchanged' ? [] : [{ accountId: identity.accountId, userId: identity.userId, result }],
    ),
    moved: answer.moved.map((move) => ({
      from: move.name,
      unpinned: move.kind === 'slot' ? move.unpin.map(({ key }) => key) : [],
    })),
    effective: reload?.effective ?? null,
    proved: reload?.proved ?? false,
    advice: reload?.advice ?? null,
    notes: [...answer.notes],
  };
}

const WHEN = {
  now: 'from the next message on',
  'after-idle': 'once this chat has been quiet for five minutes',
  'after-next-turn': 'after one more message on the old account',
  'after-reload': 'after a reload',
  'no-gateway': 'no gateway is running',
} as const;

function lineOf(cli: Cli, { result, to, slot, effective }: UseDocument): string {
  const paint = painter(cli);
  const when = effective === null ? '' : `, ${WHEN[effective]}`;
  const still = result === 'already-active' ? 'is already' : 'is now';
  return `${paint('bold', phrase(to))} ${still} active in ${slot.profileId} of agent ${showText(slot.agent)}${when}`;
}

/** What a person should know beside the one line; goes to stderr. */
function detail(document: UseDocument): string[] {
  const { affects, checkedIn, session, pins, moved, advice, proved, effective, notes } = document;
  const lines: string[] = [];
  for (const { from, unpinned } of moved) lines.push(`  taken     ${movedLine(from, unpinned)}`);
  for (const { accountId, result } of checkedIn)
    lines.push(`  stored    ${showText(accountId, 40)}: ${CHECKED_IN[result]}`);
  lines.push(`  session   ${sessionLine(session, pins)}`);
  const others = affects.sessions.filter((key) => !pins.some((pin) => pin.key === key)).length;
  if (others > 0) lines.push(`  moves     ${others} other session(s) use this slot and move too`);
  if (affects.agents.length > 1)
    lines.push(`  agents    ${affects.agents.map((agent) => showText(agent)).join(', ')}`);
  if (effective === 'now' || effective === 'after-idle')
    lines.push(`  gateway   ${proved ? 'took it over: proved' : 'was told; this release cannot prove it'}`);
  if (advice !== null) lines.push(`  next      ${showText(advice, 300)}`);
  for (const { text } of notes) lines.push(`  note      ${showText(text, 300)}`);
  return lines;
}

function movedLine(from: string, unpinned: readonly string[]): string {
  const pins = unpinned.length === 0 ? '' : `; ${unpinned.length} pin(s) to it are taken off`;
  return `from ${showText(from, 200)}${pins}`;
}

const CHECKED_IN = {
  'taken-home': 'OpenClaw had refreshed it; the new tokens were brought home',
  imported: 'was not stored yet; imported before it was replaced',
  'repo-newer': 'a newer login is stored; the one in the slot was kept as a back-up',
} as const;

function sessionLine(session: UseDocument['session'], pins: UseDocument['pins']): string {
  if (pins.length === 0) return `none pinned: ${showText(session.why, 200)}`;
  const each = pins.map(
    ({ key, was, is, result }) =>
      `${showText(key, 80)} ${result === 'pending' && is !== was ? WATCHED : PINNED[result]}`,
  );
  return `${each.slice(0, 4).join(', ')}${each.length > 4 ? ` and ${each.length - 4} more` : ''} (${showText(session.why, 120)})`;
}

const PINNED = {
  set: 'pinned',
  already: 'was pinned',
  gone: 'is gone',
  pending: 'pending, not set yet: run it again',
} as const;

/** Written, in a turn whose end may write over it. */
const WATCHED = 'pinned, pending until the turn there has ended';

function planText(document: UseDocument): string {
  const { from, to, slot, pins, affects, notes } = document;
  const lines = [
    'plan (nothing was written)',
    `  slot      ${slot.profileId} of agent ${showText(slot.agent)} (${slot.layout})`,
    `  from      ${from === null ? 'empty' : phrase(from)}`,
    `  to        ${phrase(to)}`,
    ...pins.map(
      ({ key, was, is }) => `  pin       ${showText(key, 80)}: ${showText(was)} -> ${showText(is)}`,
    ),
    ...affects.sessions.slice(0, 10).map((key) => `  moves     ${showText(key, 80)}`),
    ...(affects.sessions.length > 10 ? [`  moves     and ${affects.sessions.length - 10} more`] : []),
    ...document.moved.map(({ from, unpinned }) => `  take      ${movedLine(from, unpinned)}`),
    ...document.checkedIn.map(({ accountId, result }) => `  check in  ${showText(accountId, 40)}: ${result}`),
    ...notes.map(({ text }) => `  note      ${showText(text, 300)}`),
  ];
  return lines.join('\n');
}
