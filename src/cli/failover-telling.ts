import { type ErrorCode, RouterError } from '../errors.js';
import { identityKey } from '../identity.js';
import { type FailoverEvent, failoverLogIn } from '../repo/failover-log.js';
import { failoverStateIn, type WatchStatus } from '../repo/failover-state.js';
import type { RoundAnswer, RoundMode } from '../router/failover-plan.js';
import type { FailoverNotify } from '../router/failover-settings.js';
import type { WatchStanding, WatchStep } from '../router/failover-watch.js';
import type { Cli } from './cli.js';
import { compose, type Parts } from './compose.js';
import { DONE, type FailoverWatchDocument } from './documents.js';
import { eventsOf, keepEvents } from './failover-events.js';
import { maskedNames, type Names, PLAIN, peopleNames } from './failover-names.js';
import { notices } from './failover-notices.js';
import { commandPort, notifier } from './failover-notify.js';
import type { HostOptions } from './options.js';

export interface TellingOptions {
  readonly host: HostOptions;
  readonly apply: boolean;
  readonly mode: RoundMode;
  readonly intervalMs: number;
  readonly sessions: readonly string[];
  /** Whether what is shown names people and sessions as they are. */
  readonly named: boolean;
  /** As they are now. */
  notify(): Promise<FailoverNotify | null>;
}

type Shown = (document: FailoverWatchDocument) => void;

/** What becomes of a step: the log, the standing that `failover status` reads, the line that is shown, and the notification. */
export interface Telling {
  started(at: number, ways: Extract<FailoverWatchDocument, { event: 'started' }>['notifies']): Promise<void>;
  step(step: WatchStep<RoundAnswer>): Promise<void>;
  stopped(standing: WatchStanding, at: number): Promise<void>;
  /** It ends with an error, which whoever called it tells. */
  gaveUp(trouble: RouterError, at: number): Promise<void>;
}

/** ms */
const KEEP_MS = 3000;

export function telling(cli: Cli, options: TellingOptions, show: Shown): Telling {
  const { apply, intervalMs, sessions } = options;
  const parts = compose(cli, options.host);
  const log = failoverLogIn(parts.folders.data);
  const state = failoverStateIn(parts.folders.data);
  let kept: WatchStatus | null = null;
  let isKeepingTold = false;

  const trouble = (code: string, message: string) => {
    show({ ...DONE, event: 'notice', at: cli.now(), code, message });
  };
  /** The watch goes on without its own notes; a disk that is full for hours is told once. */
  const bestEffort = async (work: () => Promise<unknown>) => {
    try {
      await work();
      isKeepingTold = false;
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      if (isKeepingTold) return;
      isKeepingTold = true;
      trouble(error.code, `what the watch does could not be noted down: ${error.code}`);
    }
  };
  const keep = (status: WatchStatus) =>
    bestEffort(async () => {
      kept = status;
      await parts.withLock(() => state.keep({ watch: status }, apply, cli.now()), KEEP_MS);
    });
  const logged = (events: readonly FailoverEvent[]) => bestEffort(() => keepEvents(parts, events));
  const plainEvent = (kind: FailoverEvent['kind'], at: number, code: ErrorCode | null): FailoverEvent => ({
    ...{ at, kind, apply, code, slot: null, sessions: [], from: null, to: null },
    ...{ reason: null, status: null, held: null },
  });
  const failedToTell = async (way: string, why: string) => {
    trouble('NOTIFY_FAILED', `nobody was told by ${way}: ${why}`);
    await logged([plainEvent('notify-failed', cli.now(), null)]);
  };
  const sender = notifier(
    { command: commandPort(cli.env), message: (to, text) => parts.hostMessage(to, text) },
    failedToTell,
  );
  const watched = notices(apply);

  const namesOf = async (round: RoundAnswer | null): Promise<{ shown: Names; masks: Names }> => {
    const masks = await maskedNames(log, namedIn(sessions, round)).catch(() => NOTHING);
    if (!options.named) return { shown: masks, masks };
    return { shown: cli.json ? PLAIN : peopleNames(await entriesOf(parts)), masks };
  };

  return {
    async started(at, ways) {
      await logged([{ ...plainEvent('started', at, null), sessions }]);
      const { shown } = await namesOf(null);
      show({
        ...DONE,
        event: 'started',
        at,
        apply,
        mode: options.mode,
        intervalSeconds: intervalMs / 1000,
        sessions: sessions.map(shown.session),
        notifies: ways,
      });
    },
    async step(step) {
      const { standing } = step;
      if (step.kind === 'looking') {
        // Who asks for the status before the first round is over is to see that there is one.
        if (kept === null) await keep(statusOf(options, standing, null));
        return;
      }
      const at = standing.lastAt ?? cli.now();
      if (step.isNew) {
        await logged(
          step.kind === 'round' ? eventsOf(step.round) : [plainEvent('failed', at, step.trouble.code)],
        );
      }
      const { shown, masks } = await namesOf(step.kind === 'round' ? step.round : null);
      show(step.kind === 'round' ? roundDocument(step, shown) : troubleDocument(step, at, options.named));
      await keep(statusOf(options, standing, step.kind === 'round' ? step.round : null));
      const aliases = await aliasesOf(parts);
      const notify = await options.notify();
      for (const notice of watched.of(step, masks, aliases)) await sender.send(notice, notify);
    },
    async stopped(standing, at) {
      await logged([plainEvent('stopped', at, null)]);
      if (kept !== null) await keep({ ...kept, stoppedAt: at });
      show({ ...DONE, event: 'stopped', at, ...countsOf(standing) });
    },
    async gaveUp({ code }, at) {
      await logged([plainEvent('failed', at, code), plainEvent('stopped', at, null)]);
      // A watch that took the lock meanwhile has its own.
      const isOurs = (await state.read(at).catch(() => null))?.watch?.pid === process.pid;
      if (kept !== null && isOurs) await keep({ ...kept, lastError: code, stoppedAt: at });
    },
  };
}

const NOTHING: Names = { slot: () => '-', session: () => '-', identity: () => '-' };

function namedIn(sessions: readonly string[], round: RoundAnswer | null) {
  if (round === null) return { slots: [], sessions, identities: [] };
  const people = round.slots.flatMap(({ current, to }) => [current, to?.identity ?? null]);
  return {
    slots: round.slots.map(({ slot }) => slot.id),
    sessions: [
      ...new Set([...round.sessions.map(({ key }) => key), ...round.slots.flatMap((one) => one.sessions)]),
    ],
    identities: people.flatMap((one) => (one === null ? [] : [identityKey(one)])),
  };
}

/** Nobody where the index cannot be read: the round says so itself. */
async function entriesOf({ repo }: Parts) {
  return await repo.list().catch(() => []);
}

/** What a person calls an identity, where that is no e-mail. */
async function aliasesOf(parts: Parts): Promise<(key: string) => string | null> {
  const entries = await entriesOf(parts);
  const aliases = new Map(
    entries.flatMap(({ identity, alias }) =>
      alias === null || alias.includes('@') ? [] : [[identityKey(identity) as string, alias] as const],
    ),
  );
  return (key) => aliases.get(key) ?? null;
}

function countsOf({ rounds, failed, failedInARow, nextAt }: WatchStanding) {
  return { rounds, failed, failedInARow, nextAt };
}

function roundDocument(
  { round, isNew, standing }: Extract<WatchStep<RoundAnswer>, { kind: 'round' }>,
  names: Names,
): FailoverWatchDocument {
  const which = (runsOn: string) =>
    round.sessions.flatMap((one) => (one.runsOn === runsOn ? [names.session(one.key)] : []));
  return {
    ...DONE,
    event: 'round',
    at: round.at,
    isNew,
    slots: round.slots.map(({ slot, sessions, decision, current, to, changes, others, failure }) => ({
      slot: names.slot(slot.id),
      sessions: sessions.map(names.session),
      reason: decision.reason,
      status: decision.status,
      held: decision.held,
      current: current && names.identity(identityKey(current)),
      leftPercent: decision.weighed.find(({ verdict }) => verdict === 'current')?.effectivePercent ?? null,
      to: to && names.identity(identityKey(to.identity)),
      changes: changes.length,
      others: others.sessions.length + others.agents.length,
      code: failure?.code ?? null,
    })),
    missing: which('missing'),
    left: which('left'),
    asked: round.asked.length,
    ...countsOf(standing),
  };
}

function troubleDocument(
  { trouble: { code, message }, isNew, standing }: Extract<WatchStep<RoundAnswer>, { kind: 'trouble' }>,
  at: number,
  named: boolean,
): FailoverWatchDocument {
  return {
    ...DONE,
    event: 'trouble',
    at,
    isNew,
    code,
    message: named ? message : null,
    ...countsOf(standing),
  };
}

function statusOf(
  { apply, intervalMs, sessions }: TellingOptions,
  { startedAt, lastAt, trouble }: WatchStanding,
  round: RoundAnswer | null,
): WatchStatus {
  return {
    pid: process.pid,
    startedAt,
    apply,
    intervalMs,
    sessions: sessions.length,
    lastRoundAt: lastAt,
    lastStatus: worstOf(round),
    lastError: trouble?.code ?? null,
    stoppedAt: null,
  };
}

/** Of several slots, the one that most needs a look. */
function worstOf(round: RoundAnswer | null): WatchStatus['lastStatus'] {
  if (round === null) return null;
  const found = new Set(round.slots.map(({ decision }) => decision.status));
  if (round.sessions.some(({ runsOn }) => runsOn === 'missing')) found.add('missing_session');
  return WORST_FIRST.find((status) => found.has(status)) ?? null;
}

const WORST_FIRST = [
  'no_candidate_available',
  'missing_session',
  'switch_recommended',
  'switched',
  'within_threshold',
  'unknown_current_usage',
  'ok',
  'healthy',
] as const;
