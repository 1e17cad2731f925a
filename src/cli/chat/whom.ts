import { RouterError } from '../../errors.js';
import type { IndexEntry } from '../../repo/repo.js';
import { candidateOf, resolve } from '../../router/resolve.js';
import type { Chat } from './chat.js';
import type { Whom } from './words.js';

/**
 * The one identity that is meant: what was typed as the command line takes it, else a number of the menu shown last, else a button.
 * @throws IDENTITY_NOT_FOUND, IDENTITY_AMBIGUOUS with candidates; IDENTITY_NOT_FOUND for a number or button of no menu that still holds
 */
export async function entryMeant(chat: Chat, whom: Whom): Promise<IndexEntry> {
  const entries = await chat.entries();
  if (entries.length === 0) {
    throw new RouterError('IDENTITY_NOT_FOUND', 'no identity is stored yet', {
      hint: '/codex_auth new, in a direct chat, stores one',
      candidates: [],
    });
  }
  if (whom.kind === 'handle')
    return (await byHandle(chat, entries, whom.text)) ?? gone('that button is from before');
  if (!/^\d{1,2}$/.test(whom.text))
    return (await ofButton(chat, entries, whom.text)) ?? resolve(whom.text, entries);
  const named = entries.find(({ alias }) => alias === whom.text);
  const line = await byNumber(chat, entries, Number(whom.text));
  if (named !== undefined && line !== null && line !== named) {
    throw new RouterError(
      'IDENTITY_AMBIGUOUS',
      'that is a number of the menu and the name of another login',
      {
        hint: 'name one by its account, or press its button',
        candidates: [named, line].map(candidateOf),
      },
    );
  }
  return named ?? line ?? gone('no menu that still holds has that number');
}

/** Some channels turn a button into a typed command; a name that somebody gave comes first. */
async function ofButton(
  chat: Chat,
  entries: readonly IndexEntry[],
  text: string,
): Promise<IndexEntry | null> {
  if (!/^[a-z2-7]{8}$/.test(text)) return null;
  const isNamed = entries.some(({ alias }) => alias?.toLowerCase().startsWith(text) === true);
  return isNamed ? null : byHandle(chat, entries, text);
}

export async function entryByHandle(chat: Chat, wanted: string): Promise<IndexEntry | null> {
  return byHandle(chat, await chat.entries(), wanted);
}

async function byHandle(
  chat: Chat,
  entries: readonly IndexEntry[],
  wanted: string,
): Promise<IndexEntry | null> {
  for (const entry of entries) if ((await chat.handleOf(entry)) === wanted) return entry;
  return null;
}

async function byNumber(
  chat: Chat,
  entries: readonly IndexEntry[],
  number: number,
): Promise<IndexEntry | null> {
  const { sender, chat: place } = chat.request;
  if (sender === null || place === null) return null;
  const handle = (await chat.state.menuOf(chat.asked()))?.[number - 1];
  return handle === undefined ? null : byHandle(chat, entries, handle);
}

function gone(what: string): never {
  throw new RouterError('IDENTITY_NOT_FOUND', what, { hint: '/codex_profile shows a new menu' });
}
