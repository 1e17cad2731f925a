import { dirname, join } from 'node:path';
import type { IdentityKey } from '../identity.js';
import { type Json, parseJsonObject } from '../json.js';
import type { LimitWindow } from '../limits.js';
import { ioError, writeAtomic } from '../os/atomic.js';
import { open } from '../os/files.js';
import { ensureFolder } from '../os/folders.js';
import { recordName } from './files.js';
import { readTextOrNull } from './format.js';

/** What was left in one window; its length tells how it is called. */
export type PastWindow = Pick<LimitWindow, 'name' | 'seconds' | 'leftPercent' | 'resetsAt'>;

/** One look at an identity's limits. */
export interface PastLook {
  /** ms epoch */
  readonly at: number;
  readonly windows: readonly PastWindow[];
}

/**
 * `usage-history.jsonl` in the data folder: what was left to each stored identity when it was looked at. No secret, e-mail, account or name
 * of anybody: a look lies under the name of its identity's record, which tells nothing to who does not know the identity.
 */
export interface UsageHistory {
  /**
   * The looks at each, oldest first; none of whom it does not know. A line that cannot be understood is left out: it may be torn, or a
   * later release's. @throws IO
   */
  read(): Promise<(key: IdentityKey) => readonly PastLook[]>;
  /**
   * Adds those looks that tell something: a whole percent more or less than the one before, or half an hour after it. What is there of
   * anybody not in `stored` goes. Under the router lock. @throws IO
   */
  add(looks: ReadonlyMap<IdentityKey, PastLook>, stored: readonly IdentityKey[]): Promise<void>;
  /** Nothing of this identity is left. Under the router lock. @throws IO */
  forget(key: IdentityKey): Promise<void>;
}

/** ms after which a look is kept although nothing has changed: so that a chart can tell that somebody looked. */
const STILL = 30 * 60_000;

/** ms */
const OLDEST = 90 * 24 * 3_600_000;

/** Bytes; a line is about 120. */
const LARGEST = 1024 * 1024;

interface Line {
  readonly who: string;
  readonly look: PastLook;
}

/** @param data the data folder */
export function usageHistoryIn(data: string): UsageHistory {
  const path = join(data, 'usage-history.jsonl');
  const load = async (): Promise<{ readonly text: string; readonly lines: readonly Line[] }> => {
    const text = (await readTextOrNull(path)) ?? '';
    return { text, lines: text.split('\n').flatMap((line) => parseLine(line) ?? []) };
  };
  const rewrite = (lines: readonly Line[]) => writeAtomic(path, lines.map(encodeLine).join(''));
  return {
    read: async () => {
      const looks = byWhom((await load()).lines);
      return (key) => [...(looks.get(recordName(key)) ?? [])].sort((a, b) => a.at - b.at);
    },
    add: async (looks, stored) => {
      const { text, lines } = await load();
      const names = new Set(stored.map(recordName));
      const kept = lines.filter(({ who }) => names.has(who));
      const last = new Map(kept.map(({ who, look }) => [who, look]));
      const due = [...looks].flatMap(([key, look]): Line[] => {
        const who = recordName(key);
        return names.has(who) && tells(look, last.get(who)) ? [{ who, look }] : [];
      });
      const added = due.map(encodeLine).join('');
      if (kept.length < lines.length || text.length + added.length > LARGEST) {
        await rewrite(thinned([...kept, ...due]));
      } else if (added !== '') {
        await append(path, text === '' || text.endsWith('\n') ? added : `\n${added}`);
      }
    },
    forget: async (key) => {
      const name = recordName(key);
      const { lines } = await load();
      const others = lines.filter(({ who }) => who !== name);
      if (others.length < lines.length) await rewrite(others);
    },
  };
}

function tells(look: PastLook, last: PastLook | undefined): boolean {
  // A clock that was set back must not stop it.
  return last === undefined || Math.abs(look.at - last.at) >= STILL || !isSame(look, last);
}

function isSame(a: PastLook, b: PastLook): boolean {
  const whole = ({ windows }: PastLook) =>
    JSON.stringify(windows.map(({ name, seconds, leftPercent }) => [name, seconds, Math.round(leftPercent)]));
  return whole(a) === whole(b);
}

/** Cut to what fits: what is too old goes, then what stands between two that say the same, then the oldest. */
function thinned(lines: readonly Line[]): readonly Line[] {
  const newest = lines.reduce((latest, { look }) => Math.max(latest, look.at), 0);
  const young = lines.filter(({ look }) => look.at > newest - OLDEST);
  const size = (some: readonly Line[]) => some.reduce((bytes, line) => bytes + encodeLine(line).length, 0);
  if (size(young) <= LARGEST) return young;
  const turns = withoutRuns(young);
  const room = (LARGEST / 4) * 3;
  // With room for a while, so that not every look writes all of it anew.
  let bytes = size(turns);
  return turns.filter((line) => {
    if (bytes <= room) return true;
    bytes -= encodeLine(line).length;
    return false;
  });
}

/** Without the looks that say what the one before and the one after them say too. */
function withoutRuns(lines: readonly Line[]): readonly Line[] {
  const needless = new Set<PastLook>();
  for (const looks of byWhom(lines).values()) {
    looks.forEach((look, place) => {
      const [before, after] = [looks[place - 1], looks[place + 1]];
      if (before && after && isSame(before, look) && isSame(look, after)) needless.add(look);
    });
  }
  return lines.filter(({ look }) => !needless.has(look));
}

function byWhom(lines: readonly Line[]): ReadonlyMap<string, readonly PastLook[]> {
  const looks = new Map<string, PastLook[]>();
  for (const { who, look } of lines) {
    const known = looks.get(who);
    if (known === undefined) looks.set(who, [look]);
    else known.push(look);
  }
  return looks;
}

async function append(path: string, text: string): Promise<void> {
  await ensureFolder(dirname(path));
  try {
    const file = await open(path, 'a', 0o600);
    try {
      await file.writeFile(text);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw ioError(error, path, 'write');
  }
}

function encodeLine({ who, look: { at, windows } }: Line): string {
  const left = windows.map(({ name, seconds, leftPercent, resetsAt }) => [
    name,
    seconds,
    leftPercent,
    resetsAt,
  ]);
  return `${JSON.stringify({ v: 1, who, at, left })}\n`;
}

/** Null for a torn or foreign line. */
function parseLine(text: string): Line | null {
  const line = parseJsonObject(text);
  if (line?.v !== 1 || typeof line.who !== 'string' || !isNumber(line.at) || !isList(line.left)) return null;
  const windows = line.left.flatMap((window): PastWindow[] => {
    const [name = null, seconds = null, leftPercent = null, resetsAt = null] = isList(window) ? window : [];
    if (name !== null && typeof name !== 'string') return [];
    if (!isNumber(leftPercent) || leftPercent < 0 || leftPercent > 100) return [];
    const whole = Number.isInteger(seconds) ? orNull(seconds) : null;
    return [{ name, seconds: whole, leftPercent, resetsAt: orNull(resetsAt) }];
  });
  return { who: line.who, look: { at: line.at, windows } };
}

function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

function isNumber(value: Json | undefined): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function orNull(value: Json): number | null {
  return isNumber(value) ? value : null;
}
