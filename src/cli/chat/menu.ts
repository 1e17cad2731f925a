import type { Handle } from '../../repo/chat-state.js';
import type { IndexEntry } from '../../repo/repo.js';
import type { Chat } from './chat.js';
import { labelOf, personOf, shortLabelOf } from './labels.js';
import type { ChatDocument } from './protocol.js';

export type Buttons = ChatDocument['buttons'];

/** Lines of a menu. More are named by their alias. */
const MOST = 20;

export interface Menu {
  readonly lines: readonly string[];
  readonly buttons: Buttons;
}

/**
 * Identities as numbered lines and as buttons. The numbers hold for who asked, in this chat, for some minutes, and stand for identities:
 * one that is removed makes no other move up.
 * @param data what a button begins with, before the eight letters
 */
export async function menuOf(
  chat: Chat,
  shown: readonly IndexEntry[],
  data: string,
  mark: (entry: IndexEntry) => string | null = () => null,
): Promise<Menu> {
  const all = await chat.entries();
  const listed = shown.slice(0, MOST);
  const handles: Handle[] = [];
  for (const entry of listed) handles.push(await chat.handleOf(entry));
  const { sender, chat: place } = chat.request;
  const numbered = sender !== null && place !== null;
  if (numbered) await chat.state.showMenu(chat.asked(), handles);
  const lines = listed.map((entry, index) => {
    const marked = mark(entry);
    const label = labelOf(personOf(entry), all, chat.showsEmails);
    return `${numbered ? `${index + 1}. ` : '- '}${label}${marked === null ? '' : ` - ${marked}`}`;
  });
  if (shown.length > listed.length)
    lines.push(`and ${shown.length - listed.length} more: name one by its alias`);
  const buttons = listed.map((entry, index) => ({
    text: `${numbered ? `${index + 1}. ` : ''}${shortLabelOf(personOf(entry), chat.showsEmails)}`,
    data: `${data}${handles[index]}`,
  }));
  return { lines, buttons: rowsOf(buttons) };
}

/** Two in a row: names are short, and a screen may be narrow. */
function rowsOf(buttons: Buttons[number]): Buttons {
  const rows: Buttons = [];
  for (let start = 0; start < buttons.length; start += 2) rows.push(buttons.slice(start, start + 2));
  return rows;
}
