import { leftText } from '../../limits.js';
import { clockText } from '../../router/times.js';
import { showText } from '../../text.js';
import type { FailoverLeaveDocument, FailoverRoundDocument } from '../documents.js';
import { calledIn } from '../failover-people.js';
import { type paint, table } from '../paint.js';

export interface FailoverLook {
  /** ms epoch */
  readonly now: number;
  readonly paint: ReturnType<typeof paint>;
}

type SlotSeen = FailoverRoundDocument['slots'][number];

/** One round, for the terminal of whose sessions it is about: keys are shown as they are. */
export function roundText(document: FailoverRoundDocument, look: FailoverLook): string {
  const { apply, slots, sessions, asked } = document;
  const head = apply ? [] : ['dry run: nothing was written'];
  const names = asked.map((one) => showText(one.alias ?? one.email ?? one.accountId, 40));
  return [
    ...head,
    ...slots.flatMap((slot) => slotLines(slot, apply, look)),
    ...sessions.flatMap(({ key, runsOn, why }) =>
      runsOn === 'left' || runsOn === 'missing'
        ? [`${showText(key, 80)}: ${look.paint('yellow', runsOn)}, ${showText(why, 200)}`]
        : [],
    ),
    names.length === 0
      ? 'nobody was asked for their limits'
      : `asked, each with its own login: ${names.join(', ')}`,
  ].join('\n');
}

function slotLines(slot: SlotSeen, apply: boolean, look: FailoverLook): string[] {
  const { current, changes, others, looked, passed, outcome, failure } = slot;
  const where = `${slot.slot.profileId} of agent ${showText(slot.slot.agent)}`;
  const who = current === null ? 'nobody' : calledIn(current);
  const moving = [...others.sessions, ...others.agents.map((agent) => `agent ${agent}`)];
  return [
    `${where}: ${look.paint('bold', who)}`,
    `  status    ${statusText(slot, look)}`,
    `  why       ${showText(slot.why, 300)}`,
    ...slot.sessions.map((key) => `  session   ${showText(key, 80)}`),
    ...weighedLines(looked, look),
    ...passed.map(({ identity, why }) => `  passed    ${calledIn(identity)}: ${showText(why, 200)}`),
    ...changes.map(
      ({ session, from, to, named }) =>
        `  ${apply ? 'changed' : 'change '}   ${showText(session, 80)}${named ? '' : ' (companion)'}: ${from === null ? 'nobody' : calledIn(from)} -> ${calledIn(to)}`,
    ),
    ...listed('  moves too ', moving),
    ...(outcome === null ? [] : outcomeLines(outcome)),
    ...(failure === null ? [] : [`  failed    ${showText(failure.message, 300)} (${failure.code})`]),
    ...(failure?.hint ? [`  hint      ${showText(failure.hint, 300)}`] : []),
  ];
}

const MOST = 10;

function listed(head: string, names: readonly string[]): string[] {
  const lines = names.slice(0, MOST).map((name) => `${head}${showText(name, 80)}`);
  return names.length > MOST ? [...lines, `${head}and ${names.length - MOST} more`] : lines;
}

const HELD: { readonly [held in NonNullable<SlotSeen['held']>]: string } = {
  'failures-not-sure': 'it has not failed often enough in a row',
  busy: 'a turn runs, or was there a moment ago',
  dwell: 'it came in too lately',
  rate: 'it was switched often enough for one hour',
  rest: 'who would be fit is to rest for a while',
  'good-reads-missing': 'who would be fit has to be found good again first',
};

function statusText({ status, reason, held, to }: SlotSeen, { paint }: FailoverLook): string {
  const isGood = status === 'healthy' || status === 'ok' || status === 'switched';
  const shown = paint(isGood ? 'green' : 'yellow', status);
  const because = reason === null ? '' : `, ${reason}`;
  const way = to === null ? '' : `, to ${calledIn(to)}`;
  const not = held === null ? '' : `; not yet: ${HELD[held]} (${held})`;
  return `${shown}${because}${way}${not}`;
}

const WINDOWS = { fiveHour: '5 h', weekly: 'week' } as const;

/** Who was looked at, and what was made of them. */
function weighedLines(looked: SlotSeen['looked'], { now }: FailoverLook): string[] {
  const rows = looked.map(({ identity, verdict, state, windows, restsUntil, why }) => {
    const left = windows.map(({ window, remainingPercent, resetsAt }) => {
      const resets = resetsAt === null ? '' : `, resets ${clockText(resetsAt, now)}`;
      return `${WINDOWS[window]} ${leftText(remainingPercent)} left${resets}`;
    });
    const rest = restsUntil === null ? [] : [`OpenClaw lets it rest until ${clockText(restsUntil, now)}`];
    const said = [...left, ...rest, ...(why === null ? [] : [showText(why, 160)])];
    return [`  ${calledIn(identity)}`, verdict ?? state, said.join('; ')];
  });
  return table(rows);
}

function outcomeLines({ slot, inSlot, pins, effective, proved, advice }: NonNullable<SlotSeen['outcome']>) {
  const gateway =
    effective === 'no-gateway'
      ? 'none is running'
      : proved
        ? 'took it over: proved'
        : 'was told; it cannot prove it';
  return [
    `  now       ${inSlot === null ? 'nobody' : calledIn(inSlot)} is in ${slot.profileId} of agent ${showText(slot.agent)}`,
    ...pins.map(({ key, is, result }) => `  pin       ${showText(key, 80)}: ${showText(is)}, ${result}`),
    `  gateway   ${gateway} (${effective})`,
    ...(advice === null ? [] : [`  next      ${showText(advice, 300)}`]),
  ];
}

/** What `failover leave` did, or would. */
export function leaveText({ result, slots }: FailoverLeaveDocument, { paint }: FailoverLook): string {
  if (result === 'nothing') return 'no session is in a slot of its own';
  const head = result === 'planned' ? ['dry run: nothing was written'] : [];
  const lines = slots.flatMap(({ slot, identity, emptied, pins, checkedIn }) => [
    `${slot.profileId} of agent ${showText(slot.agent)}: ${paint('bold', identity === null ? 'nobody' : calledIn(identity))}`,
    ...pins.map(
      ({ key, was, is, result: how }) =>
        `  pin       ${showText(key, 80)}: ${showText(was)} -> ${showText(is)}, ${how}`,
    ),
    `  login     ${emptied ? `comes home${checkedIn === null ? '' : ` (${checkedIn})`}, and the slot goes` : 'stays: other sessions are pinned to it'}`,
  ]);
  return [...head, ...lines].join('\n');
}
