import { RouterError } from '../errors.js';

export interface WatchDeps<Look> {
  /** One round. */
  look(): Promise<Look>;
  /** Told before a round, and after it; `trouble` is why there is none. */
  show(seen: Seen<Look>): void;
  /** Ends after `ms`, at once when somebody wants to look now, and with null when it is to end. */
  rest(ms: number): Promise<'look' | null>;
  /** ms of a clock that nobody sets */
  readonly steady: () => number;
}

export type Seen<Look> =
  | { readonly kind: 'asking' }
  | { readonly kind: 'seen'; readonly look: Look; readonly nextIn: number }
  | { readonly kind: 'trouble'; readonly trouble: RouterError; readonly nextIn: number };

/**
 * Looks again and again, one round after another and never two at once, at the beats of a clock that the length of a round does not shift: a
 * beat that a round has run past, or nearly, is left out. What goes wrong in a round ends it, not the rest.
 * @throws what goes wrong in the first round: it would go wrong in all of them; INTERRUPTED
 */
export async function watchUsage<Look>(
  { look, show, rest, steady }: WatchDeps<Look>,
  intervalMs: number,
): Promise<void> {
  let beat = steady();
  let isFirst = true;
  do {
    show({ kind: 'asking' });
    const seen = await lookOrTrouble(look, isFirst);
    isFirst = false;
    const now = steady();
    beat = nextBeat(beat, intervalMs, now);
    show({ ...seen, nextIn: beat - now });
  } while ((await rest(Math.max(0, beat - steady()))) !== null);
}

async function lookOrTrouble<Look>(look: () => Promise<Look>, isFirst: boolean) {
  try {
    return { kind: 'seen', look: await look() } as const;
  } catch (error) {
    if (isFirst || !(error instanceof RouterError) || error.code === 'INTERRUPTED') throw error;
    return { kind: 'trouble', trouble: error } as const;
  }
}

/** The next beat that is at least a quarter of the interval away. */
function nextBeat(last: number, interval: number, now: number): number {
  const beats = Math.ceil((now + interval / 4 - last) / interval);
  return last + Math.max(1, beats) * interval;
}
