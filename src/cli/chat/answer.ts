import type { Chat, ChatAnswer } from './chat.js';
import { deleteConfirmed, deleteFromChat, REMOVE } from './deleting.js';
import { explainChat } from './explain.js';
import { showProfile } from './profile.js';
import { answered } from './questions.js';
import { USE, useConfirmed, useFromChat } from './switching.js';
import { UNDO, undoFromChat } from './undoing.js';
import { usageMenu, usageOf } from './usage.js';
import type { Words } from './words.js';

/** Carries out what was asked. @throws what the commands throw */
export async function answerTo(chat: Chat, words: Words): Promise<ChatAnswer> {
  if (words.command === 'auth') return (await import('./auth.js')).answerAuth(chat, words);
  switch (words.verb) {
    case 'use':
      return words.whom === null ? showProfile(chat) : useFromChat(chat, words.whom);
    case 'undo':
      return undoFromChat(chat, null);
    case 'explain':
      return explainChat(chat);
    case 'menu':
      return usageMenu(chat);
    case 'all':
    case 'active':
      return usageOf(chat, words.verb);
    case 'show':
      return words.command === 'usage' ? usageOf(chat, words.whom) : showProfile(chat);
    case 'delete':
      return deleteFromChat(chat, words.whom, words.hard);
    case 'yes':
      return confirmed(chat, words.command, words.id);
    case 'no':
      await answered(chat, KINDS[words.command], words.id, AGAIN[words.command]);
      return { text: 'Nothing was changed.', result: 'declined' };
  }
}

/** The questions that each command asks: a yes to another's is none. */
const KINDS = { profile: [USE, UNDO], usage: [REMOVE] } as const;
const AGAIN = {
  profile: '/codex_profile use <name> asks anew',
  usage: '/codex_usage delete <name> hard asks anew',
} as const;

async function confirmed(chat: Chat, command: keyof typeof KINDS, id: string | null): Promise<ChatAnswer> {
  const question = await answered(chat, KINDS[command], id, AGAIN[command]);
  if (question.kind === USE) return useConfirmed(chat, question);
  return question.kind === UNDO ? undoFromChat(chat, question) : deleteConfirmed(chat, question);
}
