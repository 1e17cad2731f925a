import { EXIT, RouterError } from '../../errors.js';
import { type WatchLock, withWatchLock } from '../../os/lock.js';
import { requireReplacing } from '../../os/platform.js';
import type { FailoverSettings } from '../../router/failover-settings.js';
import { type WatchStanding, watchFailover } from '../../router/failover-watch.js';
import type { Cli } from '../cli.js';
import { compose, pause } from '../compose.js';
import type { FailoverWatchDocument } from '../documents.js';
import { digestOf } from '../failover-events.js';
import { modeOf, noSessions, type RoundOptions, roundFor } from '../failover-look.js';
import { waysOf } from '../failover-notify.js';
import { maskedError, peopleOf } from '../failover-people.js';
import { telling } from '../failover-telling.js';
import { restLine, watchLines } from '../failover-watch-text.js';
import { asRouterError } from '../report.js';
import { readSettings } from '../settings.js';

export interface FailoverWatchOptions extends RoundOptions {
  readonly apply?: boolean;
  /** Seconds, as it was typed. */
  readonly interval?: string;
  readonly names?: boolean;
}

/**
 * `codex-router failover watch`: rounds until it is stopped, in the foreground, one watch for one data folder. A signal is heard between two
 * steps: a switch that was begun is finished first.
 *
 * The vault is opened once, when first needed, and its key stays in memory while this runs: each opening may ask a person, and one who is
 * asked every few minutes learns to say yes.
 */
export async function runFailoverWatch(cli: Cli, options: FailoverWatchOptions): Promise<void> {
  requireReplacing(cli.platform);
  const { folders } = compose(cli, options);
  const read = async () => (await readSettings(folders.config)).failover;
  const settings = await read();
  const plan: Plan = {
    intervalMs: intervalOf(cli, options, settings),
    sessions: options.session ?? settings.sessions,
    settings: lastGood(read, settings),
  };
  if (plan.sessions.length === 0) throw noSessions();
  const { signal } = cli.interruption;
  await cli.interruption.critical(() =>
    withWatchLock(folders.data, async (lock) => await watch(cli, options, plan, lock), { signal }),
  );
  cli.exitWith(signal.aborted ? EXIT.interrupted : EXIT.ok);
}

interface Plan {
  readonly intervalMs: number;
  readonly sessions: readonly string[];
  readonly settings: () => Promise<FailoverSettings>;
}

async function watch(cli: Cli, options: FailoverWatchOptions, plan: Plan, lock: WatchLock): Promise<void> {
  const { terminal, interruption, now } = cli;
  const { signal } = interruption;
  const apply = options.apply === true;
  // What goes to a terminal its person alone reads; a journal or a file may be read by others.
  const named = options.names === true || (terminal.page !== null && !cli.json);
  const line = restingLine(cli);
  const show = (document: FailoverWatchDocument): void => {
    line.clear();
    if (cli.json) cli.stream(document, () => '');
    else for (const text of watchLines(document)) cli.stream(document, () => text);
  };
  const inner: Cli = {
    ...cli,
    say: (text, facts) => {
      line.clear();
      if (named) cli.say(text, facts);
    },
  };
  const told = telling(
    inner,
    {
      host: options,
      apply,
      mode: modeOf(options),
      intervalMs: plan.intervalMs,
      sessions: plan.sessions,
      named,
      notify: async () => (await plan.settings()).notify,
    },
    show,
  );
  const rounds = roundFor(inner, options, apply ? 'file' : 'process', { pacedMs: plan.intervalMs });
  await told.started(now(), [...waysOf((await plan.settings()).notify)]);
  const ended = async (error: unknown): Promise<never> => {
    line.clear();
    await told.gaveUp(asRouterError(error), now());
    const { repo } = rounds.parts();
    throw maskedError(error, peopleOf(await repo.list().catch(() => []), named));
  };
  const standing = await watchFailover(
    {
      round: async () => {
        const round = await rounds.round();
        return { round, digest: digestOf(round) };
      },
      troubleOf: asRouterError,
      mayGoOn: () => lock.check(),
      tell: async (step) => {
        line.clear();
        await told.step(step);
        line.draw(step.standing);
      },
      pause,
      isUnheard: () => terminal.isUnheard,
      now,
      random: Math.random,
      signal,
    },
    plan.intervalMs,
  ).catch(ended);
  line.clear();
  await told.stopped(standing, now());
}

/** What the terminal shows while nothing happens; nothing where there is none, or a program reads. */
function restingLine({ terminal, json, now }: Cli) {
  const isDrawn = terminal.screen !== null && !json;
  let isThere = false;
  return {
    draw(standing: WatchStanding): void {
      if (!isDrawn) return;
      terminal.rewrite(restLine(standing, now()));
      isThere = true;
    },
    clear(): void {
      if (isThere) terminal.rewrite('');
      isThere = false;
    },
  };
}

/** A configuration that is being edited does not silence the watch. */
function lastGood(read: () => Promise<FailoverSettings>, first: FailoverSettings) {
  let last = first;
  return async () => {
    last = await read().catch(() => last);
    return last;
  };
}

/** s */
const [SHORTEST, LONGEST] = [60, 24 * 3600];

/** A test's own server takes any. */
export function intervalOf(
  { env }: Cli,
  { interval }: FailoverWatchOptions,
  { intervalMs }: FailoverSettings,
): number {
  if (interval === undefined) return intervalMs;
  const seconds = Number(interval);
  const shortest = env.CODEX_ROUTER_TEST_ISSUER ? 0.05 : SHORTEST;
  if (interval.trim() !== '' && seconds >= shortest && seconds <= LONGEST) return seconds * 1000;
  throw new RouterError('USAGE', `--interval takes seconds, ${SHORTEST} at least`, {
    hint: 'codex-router failover watch --interval 300',
  });
}
