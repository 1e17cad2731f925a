import { sameIdentity } from '../../identity.js';
import { showText } from '../../text.js';
import type { Chat, ChatAnswer } from './chat.js';
import { labelOf, personOfIdentity } from './labels.js';
import { type Look, lookAt } from './look.js';
import { menuOf } from './menu.js';
import { inChat } from './trouble.js';
import { usageLine } from './usage-line.js';

/** `/codex_profile`: who is active here, and whom it could be. */
export async function showProfile(chat: Chat): Promise<ChatAnswer> {
  const [look, entries, usage] = await Promise.all([lookAt(chat), chat.entries(), usageLine(chat, null)]);
  const lines = [[await standing(chat, look), usage].filter((part) => part !== null).join(' ')];
  if (entries.length === 0) {
    lines.push('No login is stored yet: /codex_auth new, in a direct chat, stores one.');
    return { text: lines.join('\n'), result: 'empty' };
  }
  const { occupant } = look;
  const menu = await menuOf(chat, entries, 'codex_profile_use_', ({ identity }) =>
    occupant !== null && sameIdentity(identity, occupant) ? 'active' : null,
  );
  lines.push('', ...menu.lines, '', 'Switch with /codex_profile use <name or number>.');
  return { text: lines.join('\n'), result: 'menu', buttons: menu.buttons };
}

/** Whom the turns of this chat run on, in a sentence or two. */
async function standing(chat: Chat, look: Look): Promise<string> {
  const { occupant, problem, slot, entry } = look;
  const entries = await chat.entries();
  const who = occupant === null ? null : personOfIdentity(occupant, entries);
  const isStored = occupant !== null && entries.some(({ identity }) => sameIdentity(identity, occupant));
  const label =
    who === null ? null : `${labelOf(who, entries, chat.showsEmails)}${isStored ? '' : ', not stored here,'}`;
  const elsewhere =
    entry !== null && entry.pinnedTo !== null && entry.pinnedTo !== slot.profileId ? entry.pinnedTo : null;
  const said: string[] = [];
  if (label === null) {
    said.push(
      problem === null ? 'No login is active.' : `The slot holds ${inChat(problem, chat.showsEmails)}.`,
    );
  } else if (elsewhere !== null) {
    said.push(
      `This chat is pinned to ${inChat(showText(elsewhere, 60), chat.showsEmails)}, not to the slot, where ${label} is.`,
    );
  } else {
    said.push(chat.request.session === null ? `${label} is active in OpenClaw.` : `${label} is active here.`);
  }
  if (chat.request.session === null) said.push(unknownChat(chat));
  return said.join(' ');
}

/** Why it is not known which chat this is. */
export function unknownChat({ request, showsEmails }: Chat): string {
  const why = request.sessionWhy === null ? '' : ` (${inChat(request.sessionWhy, showsEmails)})`;
  return `Which chat this is could not be told${why}.`;
}
