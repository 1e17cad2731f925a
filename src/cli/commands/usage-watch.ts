import { EXIT, RouterError } from '../../errors.js';
import type { OpenRepo } from '../../repo/repo.js';
import { usagePace } from '../../router/usage-pace.js';
import { type Seen, watchUsage } from '../../router/usage-watch.js';
import { showText } from '../../text.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { type FrameState, usageFrame, usageLines } from '../usage-frame.js';
import { type Looked, lookAtUsage, type UsageOptions } from '../usage-look.js';
import { usageText } from '../usage-text.js';
import { lookOf } from './usage.js';

/**
 * `codex-router usage --watch`: looks again and again until it is stopped. On a terminal it draws in place; elsewhere, and with --json,
 * each round adds lines.
 *
 * Each round finds the OpenClaw, its slots and who is stored anew, so that it sees what another process has switched; it holds no lock and
 * no token between rounds. Only the vault is opened once, when first needed: each opening may ask a person, and one who is asked
 * every minute learns to say yes. So its key stays in memory while this runs, as it does in any command that takes that long.
 */
export async function runUsageWatch(
  cli: Cli,
  selectors: readonly string[],
  options: UsageOptions,
): Promise<void> {
  const intervalMs = intervalOf(cli, options);
  // What was seen is still shown after Ctrl-C.
  await cli.interruption.critical(() => watch(cli, selectors, options, intervalMs));
}

async function watch(
  cli: Cli,
  selectors: readonly string[],
  options: UsageOptions,
  intervalMs: number,
): Promise<void> {
  const { signal } = cli.interruption;
  const bell = bellOf(signal);
  let frame: FrameState = { looked: null, askedAt: 0, nextAt: null, trouble: null };
  const draw = () => {
    // Before the first answer there is nothing to draw, and something may still be asked.
    if (live === null || frame.looked === null) return;
    const { columns, rows } = live;
    const look = lookOf(cli, options);
    live.draw(usageFrame(frame, { ...look, page: look.page && { ...look.page, columns } }, rows));
  };
  const live = cli.json
    ? null
    : cli.terminal.live({
        onResize: draw,
        onKey: (key) => (key === 'q' ? bell.end() : key === 'r' ? bell.ring() : undefined),
      });
  const vault = openedOnce((open) => (live === null ? open() : live.aside(open)));
  const pace = usagePace(intervalMs, cli.now);
  const look = async (): Promise<Looked> => {
    // What is said would stand in the picture.
    const inner = live === null || frame.looked === null ? cli : { ...cli, say: () => undefined };
    const parts = compose(inner, options);
    try {
      return await lookAtUsage(inner, parts, selectors, options, { open: () => vault(parts.openRepo), pace });
    } finally {
      if (signal.aborted) parts.repoDeps.keychain.close();
    }
  };
  const show = (seen: Seen<Looked>): void => {
    frame = frameAfter(frame, seen, cli.now());
    if (live !== null) draw();
    else if (seen.kind === 'seen') {
      cli.stream(seen.look.document, () => usageLines(seen.look.document, cli.now()).join('\n'));
    } else if (seen.kind === 'trouble') cli.say(`note: nobody was asked: ${frame.trouble}`);
  };
  // Spans of time grow old while nobody is asked.
  const timer = setInterval(draw, REDRAW);
  try {
    const rest = async (ms: number) => {
      const next = await bell.rest(ms);
      return cli.terminal.isUnheard ? null : next;
    };
    await watchUsage({ look, show, rest, steady: () => performance.now() }, intervalMs);
  } catch (error) {
    if (!signal.aborted || frame.looked === null) throw error;
  } finally {
    clearInterval(timer);
    bell.end();
    live?.close();
  }
  const { looked } = frame;
  // The screen is as it was before; what was seen last stays to be read, where there is a terminal still.
  if (live !== null && looked !== null && !cli.terminal.isGone) {
    cli.print(looked, () => usageText(looked, lookOf(cli, options)));
  }
  cli.exitWith(signal.aborted ? EXIT.interrupted : EXIT.ok);
}

/** ms */
const REDRAW = 15_000;

/**
 * s. The backend tells whole percents, and publishes no limit for its own being asked: a turn that moves one takes longer than this, and
 * oftener would be load without news. A test's own server takes any.
 */
const SHORTEST = 15;
const [LONGEST, DEFAULT] = [24 * 3600, 60];

function intervalOf({ env }: Cli, { interval }: UsageOptions): number {
  const seconds = interval === undefined ? DEFAULT : Number(interval);
  const shortest = env.CODEX_ROUTER_TEST_ISSUER ? 0.05 : SHORTEST;
  if (interval?.trim() !== '' && seconds >= shortest && seconds <= LONGEST) return seconds * 1000;
  throw new RouterError('USAGE', `--interval takes seconds, ${SHORTEST} at least`, {
    hint: 'codex-router usage --watch --interval 60',
  });
}

function frameAfter(before: FrameState, seen: Seen<Looked>, now: number): FrameState {
  if (seen.kind === 'asking') return { ...before, askedAt: now, nextAt: null };
  const nextAt = now + seen.nextIn;
  if (seen.kind === 'seen')
    return { looked: seen.look.document, askedAt: before.askedAt, nextAt, trouble: null };
  return { ...before, nextAt, trouble: `${showText(seen.trouble.message, 300)} (${seen.trouble.code})` };
}

/** A second failure would be a second prompt. */
function openedOnce(aside: (open: () => Promise<OpenRepo>) => Promise<OpenRepo>) {
  let opening: Promise<OpenRepo> | null = null;
  return (open: () => Promise<OpenRepo>): Promise<OpenRepo> => {
    opening ??= aside(open);
    return opening;
  };
}

/** What ends a rest: its time, a ring, the end. */
function bellOf(signal: AbortSignal) {
  let wake: (() => void) | null = null;
  let isOver = false;
  const ring = () => wake?.();
  const end = () => {
    isOver = true;
    ring();
  };
  signal.addEventListener('abort', end, { once: true });
  return {
    ring,
    end,
    rest: (ms: number) =>
      new Promise<'look' | null>((rested) => {
        const done = () => {
          clearTimeout(timer);
          wake = null;
          rested(isOver ? null : 'look');
        };
        const timer = setTimeout(done, ms);
        wake = done;
        if (isOver) done();
      }),
  };
}
