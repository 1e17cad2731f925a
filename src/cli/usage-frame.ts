import { leftText } from '../limits.js';
import { ageText, clockText, secondsText, stampText } from '../router/times.js';
import { showText } from '../text.js';
import type { UsageDocument } from './documents.js';
import { phrase } from './people.js';
import { STATES, type UsageLook, usageText } from './usage-text.js';
import { wrapped } from './wrap.js';

/** What `usage --watch` has to show. Times are ms epoch. */
export interface FrameState {
  /** Null before the first answer. */
  readonly looked: UsageDocument | null;
  readonly askedAt: number;
  /** Null while they are being asked. */
  readonly nextAt: number | null;
  /** Why nobody was asked, cleaned; null when they were. */
  readonly trouble: string | null;
}

/** One picture of `usage --watch`, of `rows` lines at most; what has no room is counted. */
export function usageFrame(
  { looked, askedAt, nextAt, trouble }: FrameState,
  look: UsageLook,
  rows: number,
): string[] {
  const columns = look.page?.columns ?? 80;
  const next = nextAt === null ? 'asking ...' : `next ${secondsText(nextAt)}`;
  const head = `asked ${secondsText(askedAt)}, ${next}   q ends, r asks now`;
  const notes = (looked?.notes ?? []).map(({ text }) => `note: ${showText(text, 300)}`);
  const lines = [
    ...wrapped(head, columns, ''),
    '',
    ...(trouble === null ? [] : [...wrapped(`nobody was asked: ${trouble}`, columns, '  '), '']),
    ...(looked === null ? [] : usageText(looked, look).split('\n')),
    ...(notes.length === 0 ? [] : ['', ...notes.flatMap((note) => wrapped(note, columns, '  '))]),
  ];
  if (lines.length <= rows) return lines;
  const left = lines.length - rows + 1;
  return [...lines.slice(0, rows - 1), showText(`... ${left} more lines: enlarge the window`, columns)];
}

type Row = UsageDocument['usage'][number];

/** A round of `usage --watch` where nothing is drawn: a line for each, with the time. */
export function usageLines({ usage }: UsageDocument, now: number): string[] {
  const stamp = stampText(now);
  if (usage.length === 0) return [`${stamp}  no identity is stored yet: codex-router login`];
  return usage.map((row) => `${stamp}  ${phrase(row.identity)}  ${whatOf(row, now)}`);
}

function whatOf({ state, why, limits, at }: Row, now: number): string {
  const said = STATES[state];
  const trouble = said === null ? [] : [`${said}${why === null ? '' : `: ${showText(why, 200)}`}`];
  if (limits === null)
    return [...trouble, ...(trouble.length === 0 ? ['nothing is known yet'] : [])].join('; ');
  const windows = limits.windows.map(({ name, label, leftPercent, resetsAt }) => {
    const what = name === null ? label : `${showText(name, 30)}, ${label}`;
    const reset = resetsAt === null ? '' : `, resets ${clockText(resetsAt, now)}`;
    return `${what} ${leftText(leftPercent)} left${reset}`;
  });
  const known = state === 'answered' || at === null ? '' : `last known, ${ageText(at, now)}: `;
  const facts = windows.length === 0 ? ['no limit is told'] : windows;
  return [...trouble, `${known}${facts.join('; ')}`].join('; ');
}
