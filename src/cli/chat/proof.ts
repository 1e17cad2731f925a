import { canonicalKey } from '../../slot/session.js';
import type { UseDocument } from '../documents.js';
import type { Chat, ChatAnswer } from './chat.js';
import { capital, labelOf, personOfIdentity } from './labels.js';
import type { Look } from './look.js';
import { type Others, othersText } from './others.js';
import { inChat } from './trouble.js';

/** Who says it, to a chat that may or may not be shown e-mails. */
export type Teller = Pick<Chat, 'entries' | 'showsEmails'>;

export interface Used {
  readonly document: UseDocument;
  /** The stores as they were read again after it. */
  readonly look: Look;
  /** "5 h: 62 % left, week: 88 % left."; null when it is not known. */
  readonly usage: string | null;
  readonly others: Others;
  /** No turn runs in this chat: what OpenClaw counts as one is the command itself, which writes no pin back. */
  readonly isIdle: boolean;
}

type Effective = NonNullable<UseDocument['effective']>;

export const WHEN: { readonly [effective in Effective]: string } = {
  now: 'from your next message on',
  'after-idle':
    'as soon as this chat has been quiet for five minutes: until then OpenClaw keeps its connection to the model',
  'after-next-turn': 'after one more message: the next one still runs on the account before',
  'after-reload': 'once OpenClaw has reloaded',
  'no-gateway': "from the gateway's next start on: none is running now",
};

/** What a switch came to, in a paragraph, and what was looked at to say so. */
export async function usedAnswer(chat: Teller, used: Used): Promise<ChatAnswer> {
  const { document, look } = used;
  const entries = await chat.entries();
  const label = labelOf(document.to, entries, chat.showsEmails);
  const { occupant } = look;
  if (
    occupant === null ||
    `${occupant.accountId}/${occupant.userId}` !== `${document.to.accountId}/${document.to.userId}`
  ) {
    const now =
      occupant === null ? 'nobody' : labelOf(personOfIdentity(occupant, entries), entries, chat.showsEmails);
    return {
      text: `${label} was put into the slot, and right after it ${now} was there: another switch came in between. /codex_profile shows how it is now.`,
      result: 'overtaken',
      effective: document.effective,
    };
  }
  const pin = pinOf(used);
  const say = (effective: UseDocument['effective'], proved: boolean) =>
    paragraph(label, used, effective, pin) +
    `\n${proofLine(used, effective, proved, pin)}${adviceLine(chat, document.advice, effective)}${noteLines(chat, document)}`;
  const { effective, proved } = document;
  return {
    text: say(effective, proved),
    result: document.result === 'switched' ? 'switched' : 'already-active',
    effective,
    pinsPending: isPending(document.pins, look, used.isIdle),
    ...fromInside(look, effective, proved, say),
  };
}

/**
 * `none`: this chat has no entry yet, so that its first turn follows the slot. `follows`: it is pinned to nothing. `lost`: somebody
 * else has pinned it meanwhile.
 */
type Pin = 'set' | 'pending' | 'none' | 'follows' | 'lost';

function pinOf({ document, look, isIdle }: Used): Pin {
  const { entry, slot } = look;
  if (entry === null) return 'none';
  const told = document.pins.filter(({ key }) => canonicalKey(key) === canonicalKey(entry.key));
  if (isPending(told, look, isIdle)) return 'pending';
  if (entry.pinnedTo === null) return 'follows';
  return entry.pinnedTo === slot.profileId ? 'set' : 'lost';
}

/** Whether one of these pins may still be lost, or is not set yet. @param isIdle as in `Used` */
export function isPending(
  pins: UseDocument['pins'],
  { entry, companions, slot }: Look,
  isIdle: boolean,
): boolean {
  const own = new Map(
    [entry, ...companions].flatMap((one) => (one === null ? [] : [[one.key, one.pinnedTo]])),
  );
  // The look, not the command, says what is there: OpenClaw may have pinned the slot by itself before.
  const isThere = ({ key, is }: UseDocument['pins'][number]) => is === slot.profileId && own.get(key) === is;
  return pins.some((pin) => pin.result === 'pending' && !(isIdle && isThere(pin)));
}

function paragraph(label: string, used: Used, effective: UseDocument['effective'], pin: Pin): string {
  const { document, usage, others } = used;
  const when = effective === null ? '' : `, ${WHEN[effective]}`;
  const isOld = document.result === 'already-active' && (effective === 'now' || effective === 'no-gateway');
  const first = {
    set: isOld ? `${label} is active here already.` : `${label} is active here${when}.`,
    none: `This chat is new, and its first turn follows the slot: ${label} is in it${when}.`,
    pending: `${label} is in the slot${when}. This chat's own pin is pending: a turn is running, and when it ends the pin is set again.`,
    follows: `${label} is in the slot${when}, which this chat follows; its own pin is not there any more.`,
    lost: `${label} is in the slot${when}, but this chat was pinned elsewhere in the meantime: ask again.`,
  }[pin];
  const moving = othersText(others);
  const along =
    moving === null
      ? null
      : `${moving} ${isOne(others) ? 'uses this slot and moves' : 'use this slot and move'} too.`;
  const former = document.checkedIn.some(({ result }) => result === 'imported')
    ? 'The login that was there before was not stored yet, and is now.'
    : null;
  return [first, usage, former, along === null ? null : capital(along)]
    .filter((part) => part !== null)
    .join(' ');
}

function isOne({ chats, background, agents, more }: Others): boolean {
  return chats + background + agents.length === 1 && !more;
}

const PIN: { readonly [pin in Pin]: string } = {
  set: "this chat's pin is on it",
  none: 'this chat has no entry to pin yet',
  pending: "this chat's pin is pending",
  follows: 'this chat is not pinned and follows it',
  lost: "this chat's pin is not on it",
};

function proofLine(used: Used, effective: UseDocument['effective'], proved: boolean, pin: Pin): string {
  const { look } = used;
  const { companions, slot } = look;
  const synced = companions.filter(({ pinnedTo }) => pinnedTo === slot.profileId).length;
  const beside =
    companions.length === 0 ? [] : [`${synced} of ${companions.length} companion entries synced`];
  return `Checked: the slot holds it, ${[PIN[pin], ...beside, gatewayText(effective, proved)].join(', ')}.`;
}

export function gatewayText(effective: UseDocument['effective'], proved: boolean): string {
  if (effective === 'no-gateway') return 'no gateway is running';
  if (effective === 'now' || effective === 'after-idle')
    return proved ? 'the gateway took it' : 'the gateway was told, which this release cannot prove';
  return 'the gateway has not taken it yet';
}

/** What is to be done, where the gateway has not taken it. */
export function adviceLine(chat: Teller, advice: string | null, effective: UseDocument['effective']): string {
  if (advice === null || effective === 'now' || effective === 'no-gateway') return '';
  return `\n${inChat(capital(advice), chat.showsEmails)}`;
}

/** What may come of the login itself; what is said of pins, stores and releases is for the computer. */
const TOLD = new Set(['LOGIN_DOUBTFUL', 'LOGIN_NEEDED', 'LOGIN_LOST', 'ACCESS_EXPIRED']);

function noteLines(chat: Teller, { notes }: UseDocument): string {
  const told = notes.filter(({ code }) => TOLD.has(code));
  return told.map(({ text }) => `\n${capital(inChat(text, chat.showsEmails))}.`).join('');
}

/** What whoever is inside the gateway can see or do, and may say once that came true. */
export function fromInside(
  look: Look,
  effective: UseDocument['effective'],
  proved: boolean,
  say: (effective: UseDocument['effective'], proved: boolean) => string,
): Pick<ChatAnswer, 'taken' | 'closes' | 'textIfTaken'> {
  if (effective === 'after-idle') {
    const id = look.entry?.sessionId;
    return id === undefined ? {} : { closes: [id], textIfTaken: say('now', proved) };
  }
  const taken = takenBy(look, effective, proved);
  return { taken, textIfTaken: taken === null ? null : say('now', true) };
}

/** What a gateway that was told and proved nothing should be seen to hold, by who can look into it. */
function takenBy(
  { slot, expiresAt }: Look,
  effective: UseDocument['effective'],
  proved: boolean,
): NonNullable<ChatAnswer['taken']> | null {
  if (expiresAt === null || proved || effective === null || effective === 'no-gateway') return null;
  return { agent: slot.agent, profileId: slot.profileId, expiresAt };
}
