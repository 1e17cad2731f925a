import { leftText } from '../limits.js';
import { clockText } from '../router/times.js';
import type { UsageLook } from './usage-text.js';

/** One window's looks, oldest first, with at least one in it. Times are ms epoch. */
export interface Course {
  /** What the window is called. */
  readonly title: string;
  readonly looks: readonly {
    readonly at: number;
    readonly leftPercent: number;
    readonly resetsAt: number | null;
  }[];
}

interface Column {
  readonly percent: number;
  /** Whether somebody looked within it; else it is what was seen last. */
  readonly isSeen: boolean;
}

/** Rows of a chart; each is a quarter. */
const HEIGHT = 4;

/** Columns in front of the chart: `100 % |`. */
const MARGIN = 7;

/** ms; less than that is no course. */
const SHORTEST = 3_600_000;

/**
 * How one window went: time from left to right, what was left upwards. Every number it draws stands beside it, and a column that nobody looked
 * at has a character of its own.
 * @param width of all of it, in columns
 */
export function chart({ title, looks }: Course, look: UsageLook, width: number): string[] {
  const { now, page } = look;
  const isPlain = look.ascii || page?.unicode !== true;
  const marks = isPlain ? PLAIN : BLOCKS;
  const across = Math.max(8, width - MARGIN - 1);
  const end = now;
  const start = Math.min(looks[0]?.at ?? now, end - SHORTEST);
  const span = (end - start) / across;
  const columns = columnsOfLooks(looks, start, span, across);
  const rows = Array.from({ length: HEIGHT }, (_, place) => {
    const row = HEIGHT - 1 - place;
    const label = row === HEIGHT - 1 ? '100 %' : row === 0 ? '0 %' : '';
    const cells = columns.map((column) => cellOf(column, row, marks)).join('');
    return `${label.padStart(MARGIN - 2)} ${marks.edge}${cells}`.trimEnd();
  });
  const resets = resetsIn(looks, now);
  const under = ruler(resets, start, span, across, marks);
  return [...headOf(title, looks, look, width), ...rows, under, feet(start, end, now, across)];
}

const BLOCKS = { edge: '│', floor: '─', corner: '└', reset: '┴', seen: '▁▂▃▄▅▆▇█', carried: '░' } as const;
const PLAIN = { edge: '|', floor: '-', corner: '+', reset: '^', seen: '#', carried: ':' } as const;
type Marks = typeof BLOCKS | typeof PLAIN;

/** What the characters of a chart mean. */
export function legend({ ascii, page }: UsageLook): string {
  const { seen, carried, reset } = ascii || page?.unicode !== true ? PLAIN : BLOCKS;
  return `${seen.slice(-1)} looked at   ${carried} not looked at since   ${reset} a reset`;
}

/** The last look in each column; where there is none, the one before, until its window has reset. */
function columnsOfLooks(
  looks: Course['looks'],
  start: number,
  span: number,
  across: number,
): readonly (Column | null)[] {
  let next = 0;
  let last: Course['looks'][number] | null = null;
  return Array.from({ length: across }, (_, place) => {
    const from = start + place * span;
    const isLastColumn = place === across - 1;
    let isSeen = false;
    for (
      let one = looks[next];
      one !== undefined && (one.at < from + span || isLastColumn);
      one = looks[next]
    ) {
      last = one;
      isSeen = true;
      next += 1;
    }
    if (last === null) return null;
    if (!isSeen && last.resetsAt !== null && last.resetsAt <= from) return null;
    return { percent: last.leftPercent, isSeen };
  });
}

function cellOf(column: Column | null, row: number, { seen, carried }: Marks): string {
  if (column === null) return ' ';
  const { percent, isSeen } = column;
  const steps = seen.length;
  // What is not used up yet is seen, however little it is.
  const full = Math.max(percent > 0 ? 1 : 0, Math.round((percent / 100) * HEIGHT * steps));
  const here = Math.min(steps, Math.max(0, full - row * steps));
  if (here === 0) return ' ';
  return isSeen ? (seen[here - 1] ?? ' ') : carried;
}

/** When a window had started anew by `now`, as far as the looks tell: each reset once. */
function resetsIn(looks: Course['looks'], now: number): readonly number[] {
  const found: number[] = [];
  looks.forEach(({ resetsAt, leftPercent }, place) => {
    const after = looks[place + 1];
    const until = after?.at ?? now;
    // One that was not begun moves its end with the clock.
    if (resetsAt === null || leftPercent >= 100 || resetsAt > until) return;
    if (!found.includes(resetsAt)) found.push(resetsAt);
  });
  return found;
}

function ruler(resets: readonly number[], start: number, span: number, across: number, marks: Marks): string {
  const places = new Set(
    resets.map((at) => Math.min(across - 1, Math.max(0, Math.floor((at - start) / span)))),
  );
  const cells = Array.from({ length: across }, (_, place) => (places.has(place) ? marks.reset : marks.floor));
  return `${' '.repeat(MARGIN - 1)}${marks.corner}${cells.join('')}`;
}

function feet(start: number, end: number, now: number, across: number): string {
  const [left, right] = [clockText(start, now), `now ${clockText(end, now)}`];
  const between = MARGIN + across - left.length - right.length - MARGIN;
  return between < 2
    ? `${' '.repeat(MARGIN)}${left}`
    : `${' '.repeat(MARGIN)}${left}${' '.repeat(between)}${right}`;
}

function headOf(title: string, looks: Course['looks'], { now, paint }: UsageLook, width: number): string[] {
  const last = looks.at(-1);
  if (last === undefined) return [`  ${title}`];
  const least = looks.reduce((low, one) => (one.leftPercent < low.leftPercent ? one : low), last);
  const isPast = last.resetsAt !== null && last.resetsAt <= now;
  const facts = [
    `last ${leftText(last.leftPercent)} left (${clockText(last.at, now)})${isPast ? ', reset since' : ''}`,
    `least ${leftText(least.leftPercent)} (${clockText(least.at, now)})`,
  ];
  const line = `  ${paint('bold', title)}  ${facts.join(', ')}`;
  const plain = `  ${title}  ${facts.join(', ')}`;
  return plain.length <= width
    ? [line]
    : [`  ${paint('bold', title)}`, ...facts.map((fact) => `    ${fact}`)];
}
