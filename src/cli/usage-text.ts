import { type LimitWindow, leftText } from '../limits.js';
import { ageText, clockText, untilText } from '../router/times.js';
import { columnsOf, showText } from '../text.js';
import type { UsageDocument } from './documents.js';
import { type paint, table } from './paint.js';
import { phrase } from './people.js';
import type { Screen } from './terminal.js';
import { wrapped } from './wrap.js';

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
export function usageText(document: UsageDocument, look: UsageLook): string {
  return plainly(textOf(document, look), look);
}

/** What we have cut is marked with a character of its own, which `--ascii` and a locale without UTF-8 do without. */
export function plainly(text: string, { ascii, page }: UsageLook): string {
  return ascii || page?.unicode === false ? text.replaceAll('…', '~') : text;
}

function textOf({ usage, sharing }: UsageDocument, look: UsageLook): string {
  if (usage.length === 0) return 'no identity is stored yet: codex-router login';
  const blocks = usage.map((row) => [
    ...headOf(row, look),
    ...stateLines(row, look),
    ...limitLines(row, look),
  ]);
  const shared = sharing.map(({ accountId, workspace, identities }) => {
    const who = identities.map((one) => showText(one.alias ?? one.email ?? one.userId, 40)).join(', ');
    const name = workspace === null ? '' : `${showText(workspace, 40)}, `;
    return fitted(
      `in one workspace (${name}account ${showText(accountId.slice(0, 8), 8)}): ${who}`,
      look,
    ).join('\n');
  });
  return [...blocks.map((lines) => lines.join('\n')), ...(shared.length > 0 ? [shared.join('\n')] : [])].join(
    usage.length > 1 ? '\n\n' : '\n',
  );
}

function headOf({ identity, workspace, heldBy, agent, stored }: Row, look: UsageLook): string[] {
  const where = [
    workspace === null ? null : showText(workspace, 30),
    heldBy === 'slot' ? `in OpenClaw, agent ${showText(agent, 20)}` : null,
    heldBy === 'codex' ? 'handed over to Codex' : null,
    stored ? null : 'not stored here',
  ].filter((part) => part !== null);
  const who = phrase(identity);
  const beside = where.length > 0 ? `  ${where.join(', ')}` : '';
  if (columnsOf(who + beside) <= (look.page?.columns ?? Infinity))
    return [`${look.paint('bold', who)}${beside}`];
  const name = fitted(who, look).map((line) => look.paint('bold', line));
  return [...name, ...(beside === '' ? [] : fitted(beside, look))];
}

/** As wide as the page; plain text is left for who reads it to break. */
function fitted(text: string, { page }: UsageLook): string[] {
  return page === null ? [text] : wrapped(text, page.columns, '    ');
}

export const STATES: { readonly [state in Row['state']]: string | null } = {
  answered: null,
  offline: null,
  expired: 'not asked',
  refreshing: 'not asked',
  rejected: 'not accepted',
  forbidden: 'not allowed',
  failed: 'no usage',
  unreachable: 'not reached',
  timeout: 'no answer',
  interrupted: 'no answer',
  mismatch: 'not this identity',
  'no-token': 'not asked',
};

function stateLines({ state, why, remedy, answeredFor, at, limits }: Row, look: UsageLook): string[] {
  const { now } = look;
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
  return lines.flatMap((line) => fitted(line, look));
}

function limitLines({ limits, state, identity }: Row, look: UsageLook): string[] {
  if (limits === null) return [];
  const { windows, credits, spend, reached } = limits;
  const facts: (readonly [string, string])[] = [];
  if (limits.plan !== null && limits.plan !== identity.plan) facts.push(['plan', showText(limits.plan, 20)]);
  if (credits !== null) {
    facts.push(['credits', credits.unlimited ? 'unlimited' : showText(credits.balance, 20)]);
  }
  if (spend !== null) {
    const of = spend.limit === null ? '' : ` of ${showText(spend.limit, 20)}`;
    const reset = spend.resetsAt === null ? '' : `, ${resetText(spend.resetsAt, look.now)}`;
    facts.push(['spending', `${showText(spend.used, 20)}${of}${spend.reached ? ', used up' : ''}${reset}`]);
  }
  const lines = [
    ...windowLines(windows, look),
    ...facts.flatMap(([name, text]) => fitted(`  ${name}  ${text}`, look)),
  ];
  if (reached && state === 'answered') {
    lines.push(...fitted('  used up: its turns are refused until a limit resets', look));
  }
  return lines.length > 0 ? lines : ['  no limit is told'];
}

/** A line for each; where a page is too narrow for all of it the reset gets one of its own. */
function windowLines(windows: readonly LimitWindow[], look: UsageLook): string[] {
  const rest = windows.map(({ resetsAt }) => resetText(resetsAt, look.now));
  const names = windows.map(nameOf);
  const beside = barWidth(look.page, names, rest);
  const isNarrow = look.page !== null && beside === 0;
  const width = isNarrow ? barWidth(look.page, names, []) : beside;
  const bars = windows.map((window) =>
    width === 0 ? '' : bar(window, width, { ...look, paint: unpainted }),
  );
  const cells = windows.map(({ leftPercent }, place) => [
    `  ${names[place]}`,
    ...(width === 0 ? [] : [bars[place] ?? '']),
    `${leftText(leftPercent).padStart(5)} left`,
    ...(isNarrow ? [] : [rest[place] ?? '']),
  ]);
  const lines = table(cells);
  return windows.flatMap((window, place) => {
    const line = lines[place] ?? '';
    // Painted only now: a style has no width.
    const shown = width === 0 ? line : line.replace(bars[place] ?? '', bar(window, width, look));
    const reset = isNarrow ? (rest[place] ?? '') : '';
    return reset === '' ? [shown] : [shown, ...fitted(`    ${reset}`, look)];
  });
}

const unpainted: UsageLook['paint'] = (_, text) => text;

function nameOf({ name, label }: LimitWindow): string {
  return name === null ? label : `${showText(name, 14)}, ${label}`;
}

/** Columns left for bars; 0 where there are none, or not enough for a bar that tells something. */
function barWidth(page: Screen | null, names: readonly string[], rest: readonly string[]): number {
  if (page === null) return 0;
  const widest = (texts: readonly string[]) => Math.max(0, ...texts.map(columnsOf));
  const resets = rest.length === 0 ? 0 : 2 + widest(rest);
  const left = page.columns - (2 + widest(names) + 2 + 2 + 10 + resets);
  return left < 6 ? 0 : Math.min(24, left);
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
