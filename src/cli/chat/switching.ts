import { RouterError } from '../../errors.js';
import { identityKey } from '../../identity.js';
import type { Confirmed } from '../../repo/chat-state.js';
import { isSlash } from '../../slot/session.js';
import { refuseAgent } from '../agent-guard.js';
import type { UseDocument } from '../documents.js';
import type { Chat, ChatAnswer } from './chat.js';
import { labelOf } from './labels.js';
import { lookAt } from './look.js';
import { countOf, othersOf, othersText } from './others.js';
import { usedAnswer } from './proof.js';
import { ask } from './questions.js';
import { raise } from './raise.js';
import { inChat } from './trouble.js';
import { usageLine } from './usage-line.js';
import { entryByHandle, entryMeant } from './whom.js';
import type { Whom } from './words.js';

/** The kind of its question. */
export const USE = 'use';

/** `/codex_profile use <whom>` */
export async function useFromChat(chat: Chat, whom: Whom): Promise<ChatAnswer> {
  const session = sessionOf(chat);
  const wanted = whom.text === '-' ? '-' : identityKey((await entryMeant(chat, whom)).identity);
  return planned(chat, session, wanted, null);
}

/** `/codex_profile yes`, to a question of `use`. */
export async function useConfirmed(chat: Chat, question: Confirmed): Promise<ChatAnswer> {
  const session = sessionOf(chat);
  const entry = question.subject === null ? null : await entryByHandle(chat, question.subject);
  if (entry === null) {
    throw new RouterError('IDENTITY_NOT_FOUND', 'that login is not stored any more', {
      hint: '/codex_profile shows which are',
    });
  }
  return planned(chat, session, identityKey(entry.identity), question);
}

/** @param agreed what was confirmed; null when nothing was */
async function planned(
  chat: Chat,
  session: string,
  wanted: string,
  agreed: Confirmed | null,
): Promise<ChatAnswer> {
  // `-` delivered twice would flip back, without a word.
  const isSecond = wanted === '-' && (await hasJustSwitched(chat));
  // Before a person is asked what an agent may not do.
  await refuseAgent(chat.cli, 'use', {}, [wanted]);
  const plan = raise(await chat.within('use', ['--dry-run'], wanted));
  if (plan.session.key === null) await refuseOtherPin(chat, plan);
  const others = othersOf(plan, session);
  const moving = othersText(others);
  const about = JSON.stringify([personKey(plan.to), plan.slot, session]);
  const covers = agreed?.isAbout(about) === true && countOf(others) <= agreed.others;
  const moves = moving !== null && chat.request.asksBeforeMovingOthers;
  if ((moves || isSecond) && !covers) {
    const subject = await chat.handleOf({ identity: await storedIdentity(chat, plan) });
    const question = { kind: USE, subject, about, others: countOf(others) };
    const label = labelOf(plan.to, await chat.entries(), chat.showsEmails);
    const changed = agreed === null ? '' : 'Things have changed since you were asked. ';
    const again = isSecond ? 'A switch has just been made. ' : '';
    const along = moves ? ` moves ${moving} too. Do it?` : ': do it?';
    return ask(chat, 'profile', question, `${changed}${again}Switching to ${label}${along}`);
  }
  return carriedOut(chat, session, plan);
}

/** ms within which a channel may deliver one message twice. */
const AGAIN = 2 * 60 * 1000;

async function hasJustSwitched(chat: Chat): Promise<boolean> {
  const [last] = raise(await chat.within('history', ['--limit=1'])).switches;
  return last !== undefined && chat.cli.now() - last.at < AGAIN;
}

async function carriedOut(chat: Chat, session: string, plan: UseDocument): Promise<ChatAnswer> {
  const key = personKey(plan.to);
  const usage = usageLine(chat, key);
  const document = raise(await chat.within('use', [], key));
  // Looked at again: what the command itself says of its work is no proof that it stayed.
  const [look, line] = await Promise.all([lookAt(chat), usage]);
  return usedAnswer(chat, {
    document,
    look,
    usage: line,
    others: othersOf(document, session),
    isIdle: chat.request.isTurnRunning === false,
  });
}

/** A chat that its person pinned to another kind of login is left on it, and so it is no use to switch the slot for it. */
async function refuseOtherPin(chat: Chat, { session }: UseDocument): Promise<void> {
  const { entry } = await lookAt(chat);
  if (entry === null) return;
  throw new RouterError('SLOT_FOREIGN', `nothing was changed: ${inChat(session.why, chat.showsEmails)}`, {
    hint: 'choose another model or login for this chat first, with /model',
  });
}

/** @throws SESSION_NOT_FOUND: what cannot be told is not guessed, and nothing is changed */
export function sessionOf({ request }: Chat): string {
  const { session, sessionWhy } = request;
  const why = session === null ? sessionWhy : 'it is a slash entry, which no turn runs on';
  if (session !== null && !isSlash(session)) return session;
  const message = 'which chat this is could not be told, so nothing was changed';
  throw new RouterError('SESSION_NOT_FOUND', why === null ? message : `${message}: ${why}`, {
    hint: 'codex-router use <name> --session <key>',
  });
}

export function personKey({ accountId, userId }: UseDocument['to']): string {
  return `${accountId}/${userId}`;
}

async function storedIdentity(chat: Chat, { to }: UseDocument) {
  const found = (await chat.entries()).find(({ identity }) => identityKey(identity) === personKey(to));
  if (found !== undefined) return found.identity;
  throw new RouterError('IDENTITY_NOT_FOUND', 'that login is not stored any more', {
    hint: '/codex_profile shows which are',
  });
}
