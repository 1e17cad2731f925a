/** What ChatGPT's usage backend says is left to a login. All times are ms epoch, all percentages 0 to 100. */
export interface Limits {
  /** Verbatim; null when it was not told. */
  readonly plan: string | null;
  /** Whether ordinary turns are let through now; null when it was not told. */
  readonly allowed: boolean | null;
  /** Whether the ordinary limit, or what a workspace lets its member spend, is used up. */
  readonly reached: boolean;
  /** The ordinary limit's first, each group by its length. */
  readonly windows: readonly LimitWindow[];
  /** Null for a login without credits. */
  readonly credits: { readonly unlimited: boolean; readonly balance: string | null } | null;
  /** What a workspace lets one member spend; null where it sets nothing. */
  readonly spend: Spend | null;
}

export interface LimitWindow {
  /** Null for the ordinary limit; else what it is of: `code review`, or the name the backend gives it. */
  readonly name: string | null;
  /** By its length, never by its place: the backend gives a lone weekly window first. */
  readonly label: string;
  /** Null when it was not told. */
  readonly seconds: number | null;
  readonly usedPercent: number;
  readonly leftPercent: number;
  readonly resetsAt: number | null;
}

export interface Spend {
  readonly reached: boolean;
  readonly limit: string | null;
  readonly used: string | null;
  readonly resetsAt: number | null;
}

/** What a window of so many seconds is called: `5 h`, `week`, else `30 min`, `12 h`, `30 d`. */
export function windowLabel(seconds: number | null): string {
  if (seconds === null) return 'limit';
  if (seconds < HOUR) return `${Math.max(1, Math.round(seconds / 60))} min`;
  const hours = Math.round(seconds / HOUR);
  if (hours === 7 * 24) return 'week';
  return hours % 24 === 0 && hours > 24 ? `${hours / 24} d` : `${hours} h`;
}

/** s */
const HOUR = 3600;

/** What is left, as it is shown: whole, and never a 0 for what is not used up yet. */
export function leftText(percent: number): string {
  return percent > 0 && percent < 1 ? '<1 %' : `${Math.round(percent)} %`;
}
