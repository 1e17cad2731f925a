import { RouterError } from '../../errors.js';
import type { Confirmed, Question } from '../../repo/chat-state.js';
import type { Chat, ChatAnswer } from './chat.js';

type Command = 'profile' | 'usage';

/** Asks who wrote, here, and nobody else; what was asked is done only when they say yes, once, within two minutes. */
export async function ask(
  chat: Chat,
  command: Command,
  question: Question,
  text: string,
): Promise<ChatAnswer> {
  const id = await chat.state.ask(chat.asked(), question);
  // Their last yes may come once more, and is no answer to this.
  const word = (await chat.state.hasAnswered(chat.asked())) ? ` ${id}` : '';
  return {
    text: `${text} Answer /codex_${command} yes${word} or /codex_${command} no${word} within 2 minutes.`,
    result: 'confirm',
    buttons: [
      [
        { text: 'Yes', data: `codex_${command}_yes_${id}` },
        { text: 'No', data: `codex_${command}_no_${id}` },
      ],
    ],
  };
}

/** The question that was answered. @throws USAGE when none is open for who answers, here */
export async function answered(
  chat: Chat,
  kinds: readonly string[],
  id: string | null,
  again: string,
): Promise<Confirmed> {
  const found = await chat.state.takeAnswered(chat.asked(), kinds, id);
  if (found !== null) return found;
  if (id === null && (await chat.state.hasAnswered(chat.asked()))) {
    throw new RouterError('USAGE', 'that may be your earlier answer once more, so nothing was done', {
      hint: 'press the button of the question, or write the answer with the word that it gives',
    });
  }
  throw new RouterError(
    'USAGE',
    'no question of yours is open here, or it was asked more than 2 minutes ago',
    {
      hint: again,
    },
  );
}
