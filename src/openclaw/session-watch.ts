import { closeSync, constants, fstatSync, futimesSync, openSync, type Stats } from 'node:fs';
import { RouterError } from '../errors.js';
import type { PinOutcome } from '../slot/pins.js';
import { statOf } from './store-file.js';
import { isSameFile, type Replaced } from './unlocked-write.js';

/** `turns`: it writes now or did a moment ago. `idle`: a gateway runs, and its next turn may be just beginning. */
export type HostWork = 'turns' | 'idle' | 'none';

const MINUTE_MS = 60_000;
const BURST_MS = 500;

/**
 * Whether an OpenClaw that takes no lock may be in the middle of writing a session store: `turns` where it was written within the
 * last minute and a gateway runs; `idle` where a gateway runs, or none is seen but the file changed half a second ago
 * (a turn of the command line; a gateway with another temporary folder). What we wrote ourselves counts too.
 */
export async function hostAtWork(file: Stats, gatewayRuns: () => Promise<boolean>): Promise<HostWork> {
  const age = Math.abs(Date.now() - file.mtimeMs);
  if (await gatewayRuns()) return age < MINUTE_MS ? 'turns' : 'idle';
  return age < BURST_MS ? 'idle' : 'none';
}

/** A store right after its pins were written. */
export interface KeptStore {
  readonly path: string;
  readonly work: HostWork;
  readonly replaced: Replaced;
  /** For `turns`. */
  readonly watchMs: number;
  /** Ends the watch. */
  readonly signal?: AbortSignal;
}

export interface PinHands {
  /** As `plan` judges it: `set` for an entry that is not pinned as wanted. */
  readonly look: (keys: readonly string[]) => Promise<readonly PinOutcome[]>;
  readonly putBack: (
    keys: readonly string[],
  ) => Promise<{ readonly outcomes: readonly PinOutcome[]; readonly replaced: Replaced }>;
}

/** As long as the host's write that had read the file before ours may still be on its way. */
export const WATCH_MS = 2000;
/** For a turn that was just beginning. */
const BEGINNING_MS = 250;
/** After the last repair. */
const AGAIN_MS = 500;
const POLL_MS = 25;
const REPAIRS = 5;
const LIMIT_MS = 6000;
/**
 * When the file's time is moved on: 50, 200, 500 and 1500 ms after a write, as parts of the 2 s. OpenClaw asks for time and size of
 * the file after its own rename, and takes them for those of the copy it keeps in memory (45 s); if ours has come in between,
 * that copy, without our pins, counts as current until the time of the file changes.
 */
const TOUCHES = [0.025, 0.1, 0.25, 0.75];
/** After an `unsure` write: a host whose own write was hit has the time to bring that back out of its memory. */
const LATE_TOUCH = [0.75];

/**
 * Looks at the store every 25 ms for 2 s (`turns`; 0.25 s for `idle`, but 2 s once anybody has written; not at all for `none`).
 * A pin that was written over by an older copy of its entry is put back, five times and for 6 s at most. An entry that is gone stays
 * gone, and one that was given another login meanwhile keeps that one. Ended by `signal`, what was seen last counts.
 */
export async function keepPins(
  store: KeptStore,
  outcomes: readonly PinOutcome[],
  profileId: string | null,
  hands: PinHands,
): Promise<readonly PinOutcome[]> {
  // Pending is what was written over, or could not be written, while `set` was still at it; the latter is no repair.
  const repaired = store.replaced === 'moved' ? -1 : 0;
  const pins = outcomes
    .filter(({ result }) => result === 'set' || result === 'pending')
    .map(({ key, was }) => ({ key, was, repaired }));
  if (store.work === 'none' || pins.length === 0) return outcomes;
  const start = performance.now();
  const watch: Watch = {
    ...store,
    pins,
    written: start,
    deadline: start + (store.work === 'turns' ? store.watchMs : Math.min(store.watchMs, BEGINNING_MS)),
    limit: start + LIMIT_MS,
    touches: touchesAfter(store.replaced),
    found: new Map(),
  };
  let trouble: string | null;
  try {
    trouble = await watchOver(watch, hands);
  } catch (error) {
    const stopped = error instanceof Error && error.name === 'AbortError';
    if (!stopped && !(error instanceof RouterError)) throw error;
    trouble = stopped ? 'the command was stopped' : error.message;
  }
  return outcomes.map((outcome) => {
    const pin = pins.find(({ key }) => key === outcome.key);
    const now = watch.found.get(outcome.key);
    if (pin === undefined || now === undefined) return outcome;
    const { key, was } = outcome;
    const counted = { key, was, ...(pin.repaired > 0 && { repaired: pin.repaired }) };
    if (now.result === 'already') return { ...counted, is: profileId, result: 'set' };
    if (now.result === 'gone') return { ...counted, is: null, result: 'gone' };
    const why =
      now.was === was ? (trouble ?? 'OpenClaw wrote over it') : 'OpenClaw gave it another login meanwhile';
    return { ...counted, is: now.was, result: 'pending', why };
  });
}

interface Watch extends KeptStore {
  readonly pins: { readonly key: string; readonly was: string | null; repaired: number }[];
  /** Of `performance.now()`, as `deadline`. */
  written: number;
  deadline: number;
  readonly limit: number;
  touches: number[];
  /** By key, as last looked at. */
  found: ReadonlyMap<string, PinOutcome>;
}

/** Why a pin was given up; null when none was. @throws RouterError, AbortError */
async function watchOver(watch: Watch, { look, putBack }: PinHands): Promise<string | null> {
  const keys = watch.pins.map(({ key }) => key);
  let seen: Stats | null | undefined;
  for (let repairs = 0; ; ) {
    const file = await statOf(watch.path);
    if (seen !== undefined && isUnchanged(seen, file)) {
      const isOver = performance.now() >= watch.deadline || watch.signal?.aborted === true;
      // A process that was held up still owes the last one.
      if (file !== null && (isDue(watch) || (isOver && watch.touches.length > 0))) {
        seen = touched(watch.path, file);
      }
      if (isOver) return null;
      await new Promise((wake) => setTimeout(wake, POLL_MS));
      continue;
    }
    // Somebody has written: the next of its writes may be the one that began before ours.
    if (seen !== undefined) watch.deadline = Math.max(watch.deadline, watch.written + watch.watchMs);
    watch.found = new Map((await look(keys)).map((outcome) => [outcome.key, outcome]));
    const lost = watch.pins.filter(({ key, was }) => {
      const now = watch.found.get(key);
      return now?.result === 'set' && now.was === was;
    });
    if (lost.length === 0) {
      // What another has written with our pins in it, it has read.
      if (seen !== undefined) watch.touches = [];
      seen = file;
      continue;
    }
    if (watch.signal?.aborted) return 'OpenClaw wrote over it, and the command was stopped';
    if (repairs === REPAIRS || performance.now() >= watch.limit)
      return 'OpenClaw wrote over it again and again';
    repairs += 1;
    const { outcomes, replaced } = await putBack(lost.map(({ key }) => key));
    seen = undefined;
    if (replaced === 'moved') continue;
    for (const pin of lost) {
      if (outcomes.some(({ key, result }) => key === pin.key && result === 'set')) pin.repaired += 1;
    }
    watch.written = performance.now();
    watch.deadline = Math.max(watch.deadline, watch.written + AGAIN_MS);
    watch.touches = touchesAfter(replaced);
  }
}

function isUnchanged(seen: Stats | null, file: Stats | null): boolean {
  return seen === null || file === null ? seen === file : isSameFile(seen, file);
}

function touchesAfter(replaced: Replaced): number[] {
  return [...(replaced === 'written' ? TOUCHES : LATE_TOUCH)];
}

function isDue(watch: Watch): boolean {
  const [next] = watch.touches;
  if (next === undefined || performance.now() - watch.written < next * watch.watchMs) return false;
  watch.touches.shift();
  return true;
}

/** The file with its time moved on, if it still is the one that was looked at. */
function touched(path: string, file: Stats): Stats {
  try {
    const fd = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      if (!isSameFile(fstatSync(fd), file)) return file;
      futimesSync(fd, file.atime, new Date(Math.max(Date.now(), file.mtimeMs + 2)));
      return fstatSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch {
    // Gone, or a file system without it: the next look tells.
    return file;
  }
}
