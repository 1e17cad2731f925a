/** ms */
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `in 2 h 10 min`, `in 3 d 4 h`, `in 5 min`; `now` for what is past or a moment away. */
export function untilText(at: number, now: number): string {
  return at - now < MINUTE / 2 ? 'now' : `in ${spanText(Math.max(MINUTE, at - now))}`;
}

/** `3 h 5 min ago`; `just now` within the minute. */
export function ageText(at: number, now: number): string {
  return now - at < MINUTE / 2 ? 'just now' : `${spanText(Math.max(MINUTE, now - at))} ago`;
}

/** The two largest units: `40 s`, `12 min`, `2 h 10 min`, `3 d 4 h`; never below a second. */
export function spanText(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(ms / MINUTE);
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

/** `14:05:09`, in this machine's time zone. */
export function secondsText(at: number): string {
  const time = new Date(at);
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(':');
}

/** `2026-11-22T14:05:09+01:00`: a line of a log sorts and is understood elsewhere. */
export function stampText(at: number): string {
  const time = new Date(at);
  const ahead = -time.getTimezoneOffset();
  const offset = `${ahead < 0 ? '-' : '+'}${two(Math.floor(Math.abs(ahead) / 60))}:${two(Math.abs(ahead) % 60)}`;
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}T${secondsText(at)}${offset}`;
}

function two(number: number): string {
  return String(number).padStart(2, '0');
}
