import type { ErrorCode, RouterError } from '../errors.js';

/** What a round came to, as far as the watch has to know it. */
export interface Seen<Round> {
  readonly round: Round;
  /** Two rounds with equal texts came to the same: there is nothing new to say. */
  readonly digest: string;
}

/** How the watch stands; what `failover status` shows of it. */
export interface WatchStanding {
  /** ms epoch */
  readonly startedAt: number;
  /** ms epoch of the last round's end; null before the first. */
  readonly lastAt: number | null;
  /** ms epoch of the next round; null when it will not come. */
  readonly nextAt: number | null;
  readonly rounds: number;
  /** Rounds that failed, in all and since the last one that did not. */
  readonly failed: number;
  readonly failedInARow: number;
  readonly trouble: { readonly code: ErrorCode; readonly message: string } | null;
}

/** What there is to tell. `isNew`: it is not what the round before came to. */
export type WatchStep<Round> =
  | { readonly kind: 'looking'; readonly standing: WatchStanding }
  | {
      readonly kind: 'round';
      readonly round: Round;
      readonly isNew: boolean;
      /** Whether the round before had failed. */
      readonly recovered: boolean;
      readonly standing: WatchStanding;
    }
  | {
      readonly kind: 'trouble';
      readonly trouble: RouterError;
      readonly isNew: boolean;
      readonly standing: WatchStanding;
    };

export interface FailoverWatchDeps<Round> {
  /** One round; a rejection is a round that failed. It is told the signal by whoever made it. */
  round(): Promise<Seen<Round>>;
  /** What a rejection was, in words for a person. */
  troubleOf(error: unknown): RouterError;
  /** Called before each round; what it throws ends the watch: it is not, or no longer, the one that may go on. */
  mayGoOn(): Promise<void>;
  /** Shows it, keeps it where another process can read it, and sends what somebody is to be told. Bounded, and never throws. */
  tell(step: WatchStep<Round>): Promise<void>;
  /** Ends after `ms`. @throws when the signal is aborted */
  pause(ms: number, signal: AbortSignal): Promise<void>;
  /** Whether nobody reads any more what is shown. */
  isUnheard(): boolean;
  /** ms epoch */
  now(): number;
  /** From 0 to 1, without 1. */
  random(): number;
  readonly signal: AbortSignal;
}

/** What only a person can mend in what they asked for: it would go wrong in every round. */
const HOPELESS: ReadonlySet<string> = new Set([
  'USAGE',
  'CONFIG_UNREADABLE',
  'FAILOVER_NO_SESSIONS',
  'FAILOVER_SCOPE',
  'PLATFORM_UNSUPPORTED',
  'HOST_NODE_TOO_OLD',
  'HOST_NOT_FOUND',
  'HOST_UNSUPPORTED',
  'VAULT_MISSING',
]);

/** Part of the interval by which a pause is longer or shorter, so that nobody is asked by everyone in the same second. */
const JITTER = 0.1;

/** ms by which a rest of this interval is as long as it is, 10 % more or less. */
export function restOf(intervalMs: number, random: number): number {
  return Math.round(intervalMs * (1 - JITTER + 2 * JITTER * random));
}

/**
 * Rounds, one after another and never two at once, with a rest between them, until the signal is aborted or nobody reads any more. A round
 * that fails is told, counted and tried again after the ordinary rest; nothing of a round but its digest is kept.
 * @throws what goes wrong in the first round, where it would in all of them (the command line, the settings, the scope, no OpenClaw); what `mayGoOn` throws
 */
export async function watchFailover<Round>(
  deps: FailoverWatchDeps<Round>,
  intervalMs: number,
): Promise<WatchStanding> {
  const { signal } = deps;
  let standing: WatchStanding = {
    startedAt: deps.now(),
    lastAt: null,
    nextAt: null,
    rounds: 0,
    failed: 0,
    failedInARow: 0,
    trouble: null,
  };
  let before: string | null = null;
  const isOver = () => signal.aborted || deps.isUnheard();
  while (!isOver()) {
    await deps.mayGoOn();
    await deps.tell({ kind: 'looking', standing });
    const outcome = await seenOrTrouble(deps);
    const rest = restOf(intervalMs, deps.random());
    if (outcome.kind === 'trouble') {
      const { trouble } = outcome;
      // What a signal ended is no failure.
      if (signal.aborted) break;
      if (standing.rounds === 0 && standing.failed === 0 && HOPELESS.has(trouble.code)) throw trouble;
      standing = failedStanding(standing, trouble, deps.now(), rest);
      const digest = `${trouble.code} ${trouble.message}`;
      const isNew = before !== digest;
      before = digest;
      await deps.tell({ kind: 'trouble', trouble, isNew, standing });
    } else {
      const { round, digest } = outcome.seen;
      const recovered = standing.failedInARow > 0;
      const at = deps.now();
      standing = {
        ...standing,
        lastAt: at,
        nextAt: at + rest,
        rounds: standing.rounds + 1,
        failedInARow: 0,
        trouble: null,
      };
      const isNew = before !== digest;
      before = digest;
      await deps.tell({ kind: 'round', round, isNew, recovered, standing });
    }
    if (isOver()) break;
    try {
      await deps.pause(rest, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
  return { ...standing, nextAt: null };
}

async function seenOrTrouble<Round>({ round, troubleOf }: FailoverWatchDeps<Round>) {
  try {
    return { kind: 'seen', seen: await round() } as const;
  } catch (error) {
    return { kind: 'trouble', trouble: troubleOf(error) } as const;
  }
}

function failedStanding(
  before: WatchStanding,
  { code, message }: RouterError,
  at: number,
  rest: number,
): WatchStanding {
  return {
    ...before,
    lastAt: at,
    nextAt: at + rest,
    failed: before.failed + 1,
    failedInARow: before.failedInARow + 1,
    trouble: { code, message },
  };
}
