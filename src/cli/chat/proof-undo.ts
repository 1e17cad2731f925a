import type { UndoDocument } from '../documents.js';
import type { ChatAnswer } from './chat.js';
import { labelOf, personOfIdentity } from './labels.js';
import type { Look } from './look.js';
import { adviceLine, fromInside, gatewayText, isPending, type Teller, WHEN } from './proof.js';

/** What an undo came to, and what was looked at to say so. @param isIdle as in `Used` */
export async function undoneAnswer(
  chat: Teller,
  document: UndoDocument,
  look: Look,
  isIdle: boolean,
): Promise<ChatAnswer> {
  const { to, effective, proved, pins } = document;
  const entries = await chat.entries();
  const { occupant, entry, slot } = look;
  const wanted = to === null ? null : `${to.accountId}/${to.userId}`;
  const found = occupant === null ? null : `${occupant.accountId}/${occupant.userId}`;
  const label = to === null ? 'nobody' : labelOf(to, entries, chat.showsEmails);
  if (found !== wanted) {
    const now =
      occupant === null ? 'nobody' : labelOf(personOfIdentity(occupant, entries), entries, chat.showsEmails);
    const text = `The switch was taken back, and right after it ${now} was in the slot: another switch came in between. /codex_profile shows how it is now.`;
    return { text, result: 'overtaken', effective };
  }
  const pending = isPending(pins, look, isIdle);
  const pin =
    entry === null
      ? 'this chat has no entry to pin yet'
      : entry.pinnedTo === null
        ? 'this chat is not pinned and follows it'
        : entry.pinnedTo === slot.profileId
          ? "this chat's pin is on it"
          : "this chat's pin is on another login";
  const say = (when: UndoDocument['effective'], isProved: boolean) => {
    const first =
      to === null
        ? 'The slot is empty again, as it was before.'
        : `${label} is active again${when === null ? '' : `, ${WHEN[when]}`}.`;
    const later = pending ? ' A pin is pending: a turn is running, and when it ends it is set again.' : '';
    const holds = to === null ? 'the slot is empty' : 'the slot holds it';
    return `${first}${later}\nChecked: ${holds}, ${pin}, ${gatewayText(when, isProved)}.${adviceLine(chat, document.advice, when)}`;
  };
  return {
    text: say(effective, proved),
    result: 'undone',
    effective,
    pinsPending: pending,
    ...(to === null ? {} : fromInside(look, effective, proved, say)),
  };
}
