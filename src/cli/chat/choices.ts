import type { RouterError } from '../../errors.js';
import { identityKey } from '../../identity.js';
import type { Chat } from './chat.js';
import { type Menu, menuOf } from './menu.js';
import type { Words } from './words.js';

/** Those who may have been meant, as a menu of the same command; null where nobody can be chosen from. */
export async function choicesOf(
  chat: Chat,
  words: Words,
  { code, candidates = [] }: RouterError,
): Promise<Menu | null> {
  const data = dataOf(words);
  if (code !== 'IDENTITY_AMBIGUOUS' || data === null) return null;
  const meant = new Set(candidates.map(({ accountId, userId }) => `${accountId}/${userId}`));
  const entries = (await chat.entries()).filter(({ identity }) => meant.has(identityKey(identity)));
  return entries.length === 0 ? null : menuOf(chat, entries, data);
}

function dataOf(words: Words): string | null {
  if (words.command === 'auth') return 'codex_auth_start_';
  if (words.verb === 'use') return 'codex_profile_use_';
  if (words.verb === 'show') return 'codex_usage_show_';
  if (words.verb === 'delete') return words.hard ? 'codex_usage_hard_' : 'codex_usage_delete_';
  return null;
}
