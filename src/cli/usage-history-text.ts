import { leftText } from '../limits.js';
import { clockText, stampText } from '../router/times.js';
import { showText } from '../text.js';
import type { UsageHistoryDocument } from './documents.js';
import { table } from './paint.js';
import { phrase } from './people.js';
import { type Course, chart, legend } from './usage-chart.js';
import { plainly, type UsageLook } from './usage-text.js';
import { wrapped } from './wrap.js';

type Row = UsageHistoryDocument['history'][number];

/** How it went for each: a chart for each window on a terminal, a line for each look elsewhere. */
export function usageHistoryText(document: UsageHistoryDocument, look: UsageLook): string {
  return plainly(textOf(document, look), look);
}

function textOf({ history, since }: UsageHistoryDocument, look: UsageLook): string {
  if (history.length === 0) return 'no identity is stored yet: codex-router login';
  const { page, paint, now } = look;
  const columns = page?.columns ?? Infinity;
  const blocks = history.map((row) => {
    const head = wrapped(phrase(row.identity), columns, '    ').map((line) => paint('bold', line));
    if (row.looks.length === 0) {
      const why = row.stored
        ? `  nobody has looked since ${clockText(since, now)}: codex-router usage looks`
        : '  it is not stored here, so nothing of it is kept';
      return [...head, ...wrapped(why, columns, '    ')];
    }
    return [...head, ...(page === null ? lines(row) : charts(row, look, page.columns))];
  });
  const hasCharts = page !== null && history.some(({ looks }) => looks.length > 0);
  return [
    ...blocks.map((block) => block.join('\n')),
    ...(hasCharts ? [wrapped(legend(look), columns, '').join('\n')] : []),
  ].join('\n\n');
}

function charts(row: Row, look: UsageLook, columns: number): string[] {
  return coursesOf(row).flatMap((course, place) => [
    ...(place === 0 ? [] : ['']),
    ...chart(course, look, Math.min(columns, 100)),
  ]);
}

/** One for each window, the ordinary ones first and by their length. */
function coursesOf({ looks }: Row): readonly Course[] {
  const windows = new Map<
    string,
    { seconds: number; name: string | null; looks: Course['looks'][number][] }
  >();
  for (const { at, windows: seen } of looks) {
    for (const { name, label, seconds, leftPercent, resetsAt } of seen) {
      const title = name === null ? label : `${showText(name, 30)}, ${label}`;
      const course = windows.get(title) ?? { seconds: seconds ?? Infinity, name, looks: [] };
      course.looks.push({ at, leftPercent, resetsAt });
      windows.set(title, course);
    }
  }
  return [...windows]
    .sort(([, a], [, b]) => Number(a.name !== null) - Number(b.name !== null) || a.seconds - b.seconds)
    .map(([title, course]) => ({ title, looks: course.looks }));
}

function lines({ looks }: Row): string[] {
  return table(
    looks.flatMap(({ at, windows }) =>
      windows.map(({ name, label, leftPercent, resetsAt }) => [
        `  ${stampText(at)}`,
        name === null ? label : `${showText(name, 30)}, ${label}`,
        `${leftText(leftPercent).padStart(5)} left`,
        resetsAt === null ? '' : `resets ${stampText(resetsAt)}`,
      ]),
    ),
  );
}
