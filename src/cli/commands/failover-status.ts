import type { FailoverMemory } from '../../failover.js';
import { type FoundLock, lookAtLock } from '../../os/found-lock.js';
import { watchLockIn } from '../../os/lock.js';
import { failoverLogIn } from '../../repo/failover-log.js';
import { failoverStateIn, type WatchStatus } from '../../repo/failover-state.js';
import { ageText, spanText, untilText } from '../../router/times.js';
import { showText } from '../../text.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { DONE, type FailoverStatusDocument } from '../documents.js';
import { maskedNames, type Names, PLAIN, peopleNames } from '../failover-names.js';

export interface FailoverStatusOptions {
  readonly names?: boolean;
}

/** `codex-router failover status`: whether a watch runs, when it looked last, and what is remembered; asks nobody, takes no lock. */
export async function runFailoverStatus(cli: Cli, { names = false }: FailoverStatusOptions): Promise<void> {
  const { folders, repo } = compose(cli, {});
  const [found, state] = await Promise.all([
    lookAtLock(watchLockIn(folders.data)),
    failoverStateIn(folders.data).read(cli.now()),
  ]);
  const memories = state.slots.map((slot) => [slot, state.memoryOf(slot)] as const);
  const named = {
    slots: state.slots,
    sessions: [],
    identities: memories.flatMap(([, { current, identities }]) => [
      ...(current === null ? [] : [current]),
      ...identities.map(({ key }) => key),
    ]),
  };
  const called: Names = !names
    ? await maskedNames(failoverLogIn(folders.data), named)
    : cli.json
      ? PLAIN
      : peopleNames(await repo.list());
  const running = runningOf(found);
  const document: FailoverStatusDocument = {
    ...DONE,
    running,
    watch: state.watch && watchOf(state.watch, found, running),
    slots: memories.map(([slot, memory]) => slotOf(slot, memory, called)),
    notes: state.note === null ? [] : [{ ...state.note }],
  };
  cli.print(document, () => text(document, cli.now()).join('\n'));
}

function runningOf(found: FoundLock | null): FailoverStatusDocument['running'] {
  if (found === null || found.kind === 'dead' || found.kind === 'unnamed') return 'no';
  return found.kind === 'alive' ? 'yes' : 'unknown';
}

function watchOf(
  watch: WatchStatus,
  found: FoundLock | null,
  running: FailoverStatusDocument['running'],
): FailoverStatusDocument['watch'] {
  const { intervalMs, lastRoundAt, stoppedAt, ...facts } = watch;
  const runs = running !== 'no' && found?.pid === watch.pid;
  return {
    ...facts,
    intervalSeconds: intervalMs / 1000,
    lastRoundAt,
    nextAt: runs && lastRoundAt !== null ? lastRoundAt + intervalMs : null,
    stoppedAt: runs ? null : stoppedAt,
    wasKilled: !runs && stoppedAt === null,
  };
}

function slotOf(
  slot: string,
  { current, since, switches, identities }: FailoverMemory,
  names: Names,
): FailoverStatusDocument['slots'][number] {
  return {
    slot: names.slot(slot),
    current: current && names.identity(current),
    since,
    switchesInHour: switches.length,
    identities: identities.map(({ key, failures, goodReads, leftAt, seenAt }) => ({
      identity: names.identity(key),
      failures,
      goodReads,
      leftAt,
      seenAt: seenAt === 0 ? null : seenAt,
    })),
  };
}

const RUNNING = {
  yes: 'a failover watch runs',
  no: 'no failover watch runs',
  unknown: 'whether a failover watch runs cannot be told from here',
} as const;

function text({ running, watch, slots, notes }: FailoverStatusDocument, now: number): string[] {
  return [
    running === 'yes' && watch !== null ? `${RUNNING.yes} (process ${watch.pid})` : RUNNING[running],
    ...(watch === null ? [] : watchText(watch, now)),
    ...slots.flatMap((slot) => slotText(slot, now)),
    ...notes.map((note) => `note: ${showText(note.text, 300)}`),
  ];
}

function watchText(watch: NonNullable<FailoverStatusDocument['watch']>, now: number): string[] {
  const { apply, intervalSeconds, sessions, startedAt, lastRoundAt, nextAt, stoppedAt } = watch;
  const outcome = watch.lastError ?? watch.lastStatus;
  return [
    `  mode      ${apply ? 'applies what it decides' : 'dry run: changes nothing'}`,
    `  looks     every ${spanText(intervalSeconds * 1000)}, after ${sessions} session${sessions === 1 ? '' : 's'}`,
    `  started   ${ageText(startedAt, now)}`,
    `  last      ${lastRoundAt === null ? 'not yet' : `${ageText(lastRoundAt, now)}${outcome === null ? '' : `: ${outcome}`}`}`,
    ...(nextAt === null ? [] : [`  next      ${untilText(nextAt, now)}`]),
    ...(stoppedAt === null ? [] : [`  ended     ${ageText(stoppedAt, now)}`]),
    ...(watch.wasKilled ? ['  ended     it was killed, or the machine went down'] : []),
  ];
}

function slotText(
  { slot, current, since, switchesInHour, identities }: FailoverStatusDocument['slots'][number],
  now: number,
) {
  const came = since === null ? '' : `, since ${ageText(since, now)}`;
  return [
    `slot ${slot}: ${current ?? 'nobody'}${came}, ${switchesInHour} switch${switchesInHour === 1 ? '' : 'es'} in the last hour`,
    ...identities.map(({ identity, failures, goodReads, leftAt, seenAt }) => {
      const marks = [
        seenAt === null ? 'not read yet' : `read ${ageText(seenAt, now)}`,
        failures === 0 ? null : `${failures} failure${failures === 1 ? '' : 's'} in a row`,
        goodReads === null ? null : `${goodReads} good read${goodReads === 1 ? '' : 's'} since`,
        leftAt === null ? null : `left ${ageText(leftAt, now)}`,
      ].filter((mark) => mark !== null);
      return `  ${identity}  ${marks.join(', ')}`;
    }),
  ];
}
