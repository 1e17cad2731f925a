import { clockText, spanText, stampText } from '../router/times.js';
import { showText } from '../text.js';
import type { FailoverWatchDocument } from './documents.js';

type Event<Name> = Extract<FailoverWatchDocument, { event: Name }>;
type SlotSeen = Event<'round'>['slots'][number];

/** The lines of one event of the watch; none for a round that came to the same as the one before. */
export function watchLines(document: FailoverWatchDocument): readonly string[] {
  const stamped = (text: string) => `${stampText(document.at)}  ${text}`;
  switch (document.event) {
    case 'started':
      return [stamped(startedText(document))];
    case 'round':
      return document.isNew ? roundTexts(document).map(stamped) : [];
    case 'trouble':
      return document.isNew ? [stamped(troubleText(document))] : [];
    case 'notice':
      return [stamped(`note: ${showText(document.message, 300)}`)];
    case 'stopped':
      return [stamped(`stopped after ${counted(document.rounds, 'round')}${failures(document.failed)}`)];
  }
}

function startedText({ apply, mode, intervalSeconds, sessions, notifies }: Event<'started'>): string {
  const what = apply
    ? {
        named: 'switches',
        shared: 'switches, for whoever else shares the slot too',
        own: 'switches in a slot of their own',
      }[mode]
    : 'dry run: changes nothing';
  const whom = sessions.length === 0 ? 'the sessions of the configuration' : sessions.join(', ');
  const told = notifies.length === 0 ? '' : `; tells by ${notifies.join(' and ')}`;
  return `failover watch, ${what}: looks every ${spanText(intervalSeconds * 1000)} after ${whom}${told}`;
}

function roundTexts({ slots, missing, left }: Event<'round'>): readonly string[] {
  return [
    ...slots.map(slotText),
    ...(missing.length === 0 ? [] : [`missing_session: ${missing.join(', ')}`]),
    ...(left.length === 0 ? [] : [`left as it is, because somebody pinned it elsewhere: ${left.join(', ')}`]),
  ];
}

function slotText(slot: SlotSeen): string {
  const { status, reason, held, current, to, code, leftPercent, changes, others } = slot;
  const who = current ?? 'nobody';
  const marks = [
    leftPercent === null ? null : `${Math.round(leftPercent)} % left`,
    reason,
    held === null ? null : `held: ${held}`,
    changes === 0 ? null : counted(changes, 'session'),
    others === 0 ? null : `${others} more would move that ${others === 1 ? 'is' : 'are'} not named`,
    code === null ? null : `failed (${code})`,
  ].filter((mark) => mark !== null);
  const way = to === null ? who : `${who} -> ${to}`;
  return `${status ?? 'unknown'}: ${way}${marks.length === 0 ? '' : `, ${marks.join(', ')}`}`;
}

function troubleText({ code, message, nextAt, at }: Event<'trouble'>): string {
  const again = nextAt === null ? '' : `; it is tried again at ${clockText(nextAt, at)}`;
  const what = message === null ? code : `${showText(message, 300)} (${code})`;
  return `this round failed: ${what}${again}`;
}

/** What stands on the terminal while nothing happens. */
export function restLine(
  {
    nextAt,
    rounds,
    failedInARow,
  }: { readonly nextAt: number | null; readonly rounds: number; readonly failedInARow: number },
  now: number,
): string {
  const next = nextAt === null ? 'looking now' : `next round at ${clockText(nextAt, now)}`;
  return `${next}; ${counted(rounds, 'round')} so far${failures(failedInARow, ' in a row')}; Ctrl-C stops`;
}

function failures(count: number, how = ''): string {
  return count === 0 ? '' : `, ${count} failed${how}`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
