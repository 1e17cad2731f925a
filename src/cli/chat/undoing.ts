import { identityKey } from '../../identity.js';
import type { Confirmed } from '../../repo/chat-state.js';
import { refuseAgent } from '../agent-guard.js';
import type { UndoDocument } from '../documents.js';
import type { Chat, ChatAnswer } from './chat.js';
import { labelOf } from './labels.js';
import { lookAt } from './look.js';
import { countOf, othersText } from './others.js';
import { undoneAnswer } from './proof-undo.js';
import { ask } from './questions.js';
import { raise } from './raise.js';
import { sessionOf } from './switching.js';

/** The kind of its question. */
export const UNDO = 'undo';

/**
 * `/codex_profile undo`: takes back the last switch of this chat's slot, whoever made it.
 * @param agreed what was confirmed; null when nothing was
 */
export async function undoFromChat(chat: Chat, agreed: Confirmed | null): Promise<ChatAnswer> {
  sessionOf(chat);
  await refuseAgent(chat.cli, 'undo', {}, []);
  const plan = raise(await chat.within('undo', ['--dry-run']));
  const { others, slot } = await lookAt(chat);
  const about = JSON.stringify([plan.undoes, plan.slot]);
  const moving = othersText(others);
  const covers = agreed?.isAbout(about) === true && countOf(others) <= agreed.others;
  const moves = moving !== null && chat.request.asksBeforeMovingOthers;
  const isSecond = await hasJustUndone(chat, slot.id);
  if ((moves || isSecond) && !covers) {
    const changed = agreed === null ? '' : 'Things have changed since you were asked. ';
    const second = isSecond ? 'A switch has just been undone. ' : '';
    const back = await backTo(chat, plan);
    const along = moves ? ` It moves ${moving} too.` : '';
    const what = isSecond ? 'Undoing the one before' : 'Undoing the last switch';
    const text = `${changed}${second}${what} ${back}.${along} Do it?`;
    return ask(
      chat,
      'profile',
      { kind: UNDO, subject: await subjectOf(chat, plan), about, others: countOf(others) },
      text,
    );
  }
  const document = raise(await chat.within('undo', []));
  return undoneAnswer(chat, document, await lookAt(chat), chat.request.isTurnRunning === false);
}

/** ms within which a channel may deliver one message twice. */
const AGAIN = 2 * 60 * 1000;

/** A second undo takes back another switch of the slot, and it may be the same message once more. */
async function hasJustUndone(chat: Chat, slot: string): Promise<boolean> {
  const { switches } = raise(await chat.within('history', ['--limit=50']));
  const last = switches.find((one) => one.slot === slot);
  return last !== undefined && last.undoes !== null && chat.cli.now() - last.at < AGAIN;
}

async function backTo(chat: Chat, { to }: UndoDocument): Promise<string> {
  if (to === null) return 'leaves the slot empty, as it was before';
  return `brings ${labelOf(to, await chat.entries(), chat.showsEmails)} back`;
}

async function subjectOf(chat: Chat, { to }: UndoDocument) {
  const entry = (await chat.entries()).find(
    ({ identity }) => to !== null && identityKey(identity) === `${to.accountId}/${to.userId}`,
  );
  return entry === undefined ? null : chat.handleOf(entry);
}
