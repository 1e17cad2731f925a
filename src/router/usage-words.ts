/** ms */
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `in 2 h 10 min`, `in 3 d 4 h`, `in 5 min`; `now` for what is past or a moment away. */
export function untilText(at: number, now: number): string {
  const span = spanText(at - now);
  return span === null ? 'now' : `in ${span}`;
}

/** Whole, and never a 0 for what is not used up yet. */
export function leftText(percent: number): string {
  return percent > 0 && percent < 1 ? '<1 %' : `${Math.round(percent)} %`;
}

/** `3 h 5 min ago`; `just now` within the minute. */
export function ageText(at: number, now: number): string {
  const span = spanText(now - at);
  return span === null ? 'just now' : `${span} ago`;
}

/** The two largest units; null for less than half a minute. */
function spanText(ms: number): string | null {
  const minutes = Math.round(ms / MINUTE);
  if (minutes < 1) return null;
  const parts = [
    [Math.floor((minutes * MINUTE) / DAY), 'd'],
    [Math.floor(((minutes * MINUTE) % DAY) / HOUR), 'h'],
    [minutes % 60, 'min'],
  ] as const;
  const first = parts.findIndex(([count]) => count > 0);
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ');
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** In this machine's time zone: `14:05` today, `Thu 27 Nov 09:00` on another day. */
export function clockText(at: number, now: number): string {
  const [time, today] = [new Date(at), new Date(now)];
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}`;
  if (time.toDateString() === today.toDateString()) return clock;
  const year = time.getFullYear() === today.getFullYear() ? '' : ` ${time.getFullYear()}`;
  return `${DAYS[time.getDay()]} ${time.getDate()} ${MONTHS[time.getMonth()]}${year} ${clock}`;
}

function two(number: number): string {
  return String(number).padStart(2, '0');
}
