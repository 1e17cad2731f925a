import type { LimitWindow } from '../limits.js';
import { ageText, clockText, leftText, untilText } from '../router/usage-words.js';
import { columnsOf, showText } from '../text.js';
import type { UsageDocument } from './documents.js';
import { type paint, table } from './paint.js';
import { phrase } from './people.js';
import type { Screen } from './terminal.js';

export interface UsageLook {
  /** ms epoch */
  readonly now: number;
  /** What bars are drawn on; null for plain text. */
  readonly page: Screen | null;
  readonly ascii: boolean;
  readonly paint: ReturnType<typeof paint>;
}

type Row = UsageDocument['usage'][number];

/** Everybody's limits: a line for each window, with a bar on a terminal; every bar has its number. */
export function usageText({ usage, sharing }: UsageDocument, look: UsageLook): string {
  if (usage.length === 0) return 'no identity is stored yet: codex-router login';
  const blocks = usage.map((row) => [headOf(row, look), ...stateLines(row, look), ...limitLines(row, look)]);
  const shared = sharing.map(({ accountId, workspace, identities }) => {
    const who = identities.map((one) => showText(one.alias ?? one.email ?? one.userId, 40)).join(', ');
    const name = workspace === null ? '' : `${showText(workspace, 40)}, `;
    return `in one workspace (${name}account ${showText(accountId.slice(0, 8), 8)}): ${who}`;
  });
  return [...blocks.map((lines) => lines.join('\n')), ...(shared.length > 0 ? [shared.join('\n')] : [])].join(
    usage.length > 1 ? '\n\n' : '\n',
  );
}

function headOf({ identity, workspace, heldBy, agent, stored }: Row, { paint }: UsageLook): string {
  const where = [
    workspace === null ? null : showText(workspace, 30),
    heldBy === 'slot' ? `in OpenClaw, agent ${showText(agent, 20)}` : null,
    heldBy === 'codex' ? 'handed over to Codex' : null,
    stored ? null : 'not stored here',
  ].filter((part) => part !== null);
  return `${paint('bold', phrase(identity))}${where.length > 0 ? `  ${where.join(', ')}` : ''}`;
}

const STATES: { readonly [state in Row['state']]: string | null } = {
  answered: null,
  offline: null,
  expired: 'not asked',
  refreshing: 'not asked',
  rejected: 'not accepted',
  forbidden: 'not allowed',
  failed: 'no usage',
  unreachable: 'not reached',
  timeout: 'no answer',
  mismatch: 'not this identity',
  'no-token': 'not asked',
};

function stateLines({ state, why, remedy, answeredFor, at, limits }: Row, { now }: UsageLook): string[] {
  const said = STATES[state];
  const lines = said === null ? [] : [`  ${said}${why === null ? '' : `: ${showText(why, 200)}`}`];
  if (answeredFor !== null) {
    const { accountId, userId, email } = answeredFor;
    lines.push(
      `  it spoke of account ${showText(accountId, 60)}, user ${showText(userId, 60)}, ${showText(email, 60)}`,
    );
  }
  if (remedy !== null) lines.push(`  next: ${showText(remedy, 200)}`);
  if (state !== 'answered') {
    if (limits !== null && at !== null) lines.push(`  last known, ${ageText(at, now)}:`);
    else if (state === 'offline') lines.push('  nothing is known yet');
  }
  return lines;
}

function limitLines({ limits, state, identity }: Row, look: UsageLook): string[] {
  if (limits === null) return [];
  const { windows, credits, spend, reached } = limits;
  const { now } = look;
  const rest = windows.map(({ resetsAt }) => resetText(resetsAt, now));
  const names = windows.map(nameOf);
  const width = barWidth(look.page, names, rest);
  const rows = windows.map((window, place) => [
    `  ${names[place]}`,
    ...(width === 0 ? [] : [bar(window, width, look)]),
    `${leftText(window.leftPercent).padStart(5)} left`,
    rest[place] ?? '',
  ]);
  const facts: (readonly [string, string])[] = [];
  if (limits.plan !== null && limits.plan !== identity.plan) facts.push(['plan', showText(limits.plan, 20)]);
  if (credits !== null) {
    facts.push(['credits', credits.unlimited ? 'unlimited' : showText(credits.balance, 20)]);
  }
  if (spend !== null) {
    const of = spend.limit === null ? '' : ` of ${showText(spend.limit, 20)}`;
    facts.push(['spending', `${showText(spend.used, 20)}${of}${spend.reached ? ', used up' : ''}`]);
  }
  const lines = [...table(rows), ...facts.map(([name, text]) => `  ${name}  ${text}`)];
  if (reached && state === 'answered') lines.push('  used up: its turns are refused until a limit resets');
  return lines.length > 0 ? lines : ['  no limit is told'];
}

function nameOf({ name, label }: LimitWindow): string {
  return name === null ? label : `${showText(name, 14)}, ${label}`;
}

/** Columns left for bars; 0 where there are to be none. */
function barWidth(page: Screen | null, names: readonly string[], rest: readonly string[]): number {
  if (page === null) return 0;
  const widest = (texts: readonly string[]) => Math.max(0, ...texts.map(columnsOf));
  const others = 2 + widest(names) + 2 + 2 + 10 + 2 + widest(rest);
  return Math.min(24, Math.max(6, page.columns - others));
}

/** What is left, filled. */
function bar({ leftPercent }: LimitWindow, width: number, { page, ascii, paint }: UsageLook): string {
  const plain = ascii || page?.unicode !== true;
  const inner = plain ? width - 2 : width;
  const full = Math.min(inner, Math.max(leftPercent > 0 ? 1 : 0, Math.round((leftPercent / 100) * inner)));
  if (plain) return `[${'#'.repeat(full)}${'-'.repeat(inner - full)}]`;
  const style = leftPercent > 20 ? 'green' : 'yellow';
  return `${paint(style, '█'.repeat(full))}${paint('dim', '░'.repeat(inner - full))}`;
}

function resetText(at: number | null, now: number): string {
  return at === null ? '' : `resets ${clockText(at, now)}, ${untilText(at, now)}`;
}
