import { readClaims } from '../claims.js';
import type { Grant } from '../grant.js';
import type { IndexEntry } from '../repo/repo.js';
import { CLOCK_TOLERANCE } from './clock.js';
import type { Finding } from './finding.js';
import { spanText } from './times.js';

export interface ClockSeen {
  /** ms epoch */
  readonly now: number;
  readonly platform: NodeJS.Platform;
  /** Logins whose access tokens say when the issuer made them. */
  readonly grants: readonly Pick<Grant, 'accessToken'>[];
  readonly entries: readonly IndexEntry[];
  /** When each line of the journal was written, by the clock of this machine, in the order of the lines. */
  readonly journal: readonly number[];
}

type ClockCode = 'CLOCK_BEHIND' | 'CLOCK_AHEAD_BEFORE' | 'CLOCK_SET_BACK';

/** ms for which it is told that the clock was set back: what is older is of no use to anybody. */
const RECENT = 7 * 24 * 60 * 60 * 1000;

/** What the times that lie here say of this machine's clock. Nothing is mended: a clock is set by who owns it. */
export function clockFindings(seen: ClockSeen): readonly Finding<ClockCode>[] {
  const { now, platform, grants, entries, journal } = seen;
  const remedy = platform === 'linux' ? 'timedatectl status' : null;
  const finding = (code: ClockCode, text: string): Finding<ClockCode> => ({
    code,
    part: 'clock',
    danger: false,
    text,
    remedy,
    mend: null,
  });
  const findings: Finding<ClockCode>[] = [];
  const issued = latest(grants.map(({ accessToken }) => issuedAt(accessToken)));
  if (issued - now > CLOCK_TOLERANCE) {
    const text = `the newest access token was made ${spanText(issued - now)} from now, so the clock of this machine is behind by that much or more: what has expired looks as if it had not`;
    findings.push(finding('CLOCK_BEHIND', text));
  }
  const written = latest([
    ...entries.flatMap(({ updatedAt, addedAt, placement }) => [updatedAt, addedAt, placement?.at ?? 0]),
    ...journal,
  ]);
  // An issuer's clock tells which way; our own notes tell only that ours was not always the same.
  if (written - now > CLOCK_TOLERANCE && findings.length === 0) {
    const text = `codex-router wrote something down ${spanText(written - now)} from now: the clock of this machine is behind by that much, or was ahead then`;
    findings.push(finding('CLOCK_AHEAD_BEFORE', text));
  }
  const back = lastStepBack(journal);
  if (back !== null && Math.abs(now - back.at) < RECENT && written - now <= CLOCK_TOLERANCE) {
    const text = `between two lines of the journal the clock of this machine went back by ${spanText(back.by)}, ${spanText(Math.max(0, now - back.at))} ago`;
    findings.push(finding('CLOCK_SET_BACK', text));
  }
  return findings;
}

function lastStepBack(times: readonly number[]): { readonly at: number; readonly by: number } | null {
  let last: { at: number; by: number } | null = null;
  times.forEach((at, place) => {
    const by = (times[place - 1] ?? at) - at;
    if (by > CLOCK_TOLERANCE) last = { at, by };
  });
  return last;
}

function issuedAt(token: Grant['accessToken']): number {
  try {
    return readClaims(token)?.issuedAt ?? 0;
  } catch {
    // A token that does not tell whose it is is told of elsewhere.
    return 0;
  }
}

function latest(times: readonly number[]): number {
  return times.reduce((last, time) => Math.max(last, time), 0);
}
