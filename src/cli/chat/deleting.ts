import { RouterError } from '../../errors.js';
import { identityKey, sameIdentity } from '../../identity.js';
import type { Confirmed } from '../../repo/chat-state.js';
import type { IndexEntry } from '../../repo/repo.js';
import { refuseAgent } from '../agent-guard.js';
import type { RemoveDocument } from '../documents.js';
import type { Chat, ChatAnswer } from './chat.js';
import { capital, labelOf, personOf } from './labels.js';
import { lookAt } from './look.js';
import { menuOf } from './menu.js';
import { type Others, othersText } from './others.js';
import { ask } from './questions.js';
import { raise } from './raise.js';
import { inChat } from './trouble.js';
import { entryByHandle, entryMeant } from './whom.js';
import type { Whom } from './words.js';

/** The kind of its question. */
export const REMOVE = 'remove';

/**
 * `/codex_usage delete <whom> [hard]`. To detach is to take out of OpenClaw's routing, which is done by putting another in its place; what
 * is stored goes only when that was asked for, of an identity that is in no slot, and after a confirmation.
 */
export async function deleteFromChat(chat: Chat, whom: Whom | null, hard: boolean): Promise<ChatAnswer> {
  if (whom === null) return whichOne(chat);
  const entry = await entryMeant(chat, whom);
  const { occupant, others, slot } = await lookAt(chat);
  if (occupant !== null && sameIdentity(occupant, entry.identity)) {
    return detachFirst(chat, entry, others, slot.agent);
  }
  if (hard) await refuseAgent(chat.cli, 'remove', {}, []);
  const plan = raise(await chat.within('remove', ['--dry-run'], identityKey(entry.identity)));
  return hard ? askToForget(chat, entry, plan) : parked(chat, entry, plan);
}

/** `/codex_usage yes`, to its question. */
export async function deleteConfirmed(chat: Chat, question: Confirmed): Promise<ChatAnswer> {
  const entry = question.subject === null ? null : await entryByHandle(chat, question.subject);
  if (entry === null || !question.isAbout(aboutOf(entry))) {
    throw new RouterError('IDENTITY_NOT_FOUND', 'that login is not the one you were asked about any more', {
      hint: '/codex_usage delete <name> hard asks anew',
    });
  }
  const label = await labelIn(chat, entry);
  raise(await chat.within('remove', ['--yes'], identityKey(entry.identity)));
  const isThere = (await chat.parts.repo.list()).some(({ identity }) =>
    sameIdentity(identity, entry.identity),
  );
  if (isThere)
    throw new RouterError('BUSY', 'it was stored again in the meantime', { hint: '/codex_profile' });
  return {
    text: `${label} is forgotten here: checked, it is not stored any more. It was not revoked at OpenAI.`,
    result: 'removed',
  };
}

/** Another login of the same identity, stored since it was asked, is not what was agreed to. */
function aboutOf({ identity, fingerprint }: IndexEntry): string {
  return JSON.stringify([identityKey(identity), fingerprint]);
}

async function whichOne(chat: Chat): Promise<ChatAnswer> {
  const entries = await chat.entries();
  if (entries.length === 0) return { text: 'No login is stored.', result: 'empty' };
  const { lines, buttons } = await menuOf(chat, entries, 'codex_usage_delete_');
  const text = ['Which one?', ...lines, '', 'Choose with /codex_usage delete <name or number>.'].join('\n');
  return { text, result: 'menu', buttons };
}

async function detachFirst(
  chat: Chat,
  entry: IndexEntry,
  others: Others,
  agent: string,
): Promise<ChatAnswer> {
  const rest = (await chat.entries()).filter((one) => one !== entry);
  const users = othersText(others);
  const used = users === null ? '' : `; ${users} would move too`;
  const first = `${await labelIn(chat, entry)} is active: the slot of agent ${agent} holds it${used}. Nothing was changed.`;
  if (rest.length === 0) {
    const text = `${first} It is the only stored login, so that none can take its place: /codex_auth new stores another.`;
    return { text, result: 'preview' };
  }
  const menu = await menuOf(chat, rest, 'codex_profile_use_');
  const text = [
    `${first} Detach it by putting another in its place:`,
    ...menu.lines,
    '',
    'Choose with /codex_profile use <name or number>. It stays stored; /codex_usage delete <name> hard forgets it after that.',
  ].join('\n');
  return { text, result: 'preview', buttons: menu.buttons };
}

async function parked(chat: Chat, entry: IndexEntry, plan: RemoveDocument): Promise<ChatAnswer> {
  const label = await labelIn(chat, entry);
  const copies = noteLines(chat, plan);
  const text = [
    `${label} is in no slot of OpenClaw, so there is nothing to detach. It is stored here, encrypted, and can be used again.`,
    ...copies,
    'To forget it here: /codex_usage delete <name or number> hard.',
  ].join('\n');
  const data = `codex_usage_hard_${await chat.handleOf(entry)}`;
  return { text, result: 'preview', buttons: [[{ text: 'Forget it', data }]] };
}

async function askToForget(chat: Chat, entry: IndexEntry, plan: RemoveDocument): Promise<ChatAnswer> {
  const label = await labelIn(chat, entry);
  const copies = noteLines(chat, plan);
  const only =
    copies.length === 0 && entry.sharedWith === null
      ? 'No other copy of it is known: to use it again, that account has to log in anew.'
      : entry.sharedWith === null
        ? 'Here it is the only copy.'
        : 'The Codex CLI on the computer has a copy of its own.';
  const question = {
    kind: REMOVE,
    subject: await chat.handleOf(entry),
    about: aboutOf(entry),
    others: 0,
  };
  const text = [
    `Forget ${label}? Its stored login is deleted from the computer.`,
    only,
    ...copies,
    'It is not revoked at OpenAI: that is codex-router logout, on the computer.',
  ].join(' ');
  return ask(chat, 'usage', question, text);
}

function noteLines(chat: Chat, { notes }: RemoveDocument): string[] {
  return notes.map(({ text }) => `${inChat(capital(text), chat.showsEmails)}.`);
}

async function labelIn(chat: Chat, entry: IndexEntry): Promise<string> {
  return labelOf(personOf(entry), await chat.entries(), chat.showsEmails);
}
