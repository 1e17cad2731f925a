import { identityKey } from '../../identity.js';
import { leftText } from '../../limits.js';
import { ageText, clockText, untilText } from '../../router/times.js';
import { showText } from '../../text.js';
import type { UsageDocument } from '../documents.js';
import type { Chat, ChatAnswer } from './chat.js';
import { labelOf } from './labels.js';
import { menuOf } from './menu.js';
import { raise } from './raise.js';
import { inChat } from './trouble.js';
import { entryMeant } from './whom.js';
import type { Whom } from './words.js';

/** s that the servers have to answer. */
const PATIENCE = 15;

type Row = UsageDocument['usage'][number];
type Limits = NonNullable<Row['limits']>;

/** `/codex_usage`: whose limits are wanted; asks nobody's server yet. */
export async function usageMenu(chat: Chat): Promise<ChatAnswer> {
  const entries = await chat.entries();
  if (entries.length === 0) {
    return {
      text: 'No login is stored yet: /codex_auth new, in a direct chat, stores one.',
      result: 'empty',
    };
  }
  const menu = await menuOf(chat, entries, 'codex_usage_show_');
  const text = [
    'Whose limits?',
    ...menu.lines,
    '',
    'Ask with /codex_usage <name or number>, /codex_usage active (who is active here) or /codex_usage all.',
  ].join('\n');
  const buttons = [
    [
      { text: 'Active here', data: 'codex_usage_active' },
      { text: 'All', data: 'codex_usage_all' },
    ],
    ...menu.buttons,
  ];
  return { text, result: 'menu', buttons };
}

/** `/codex_usage <whom>`, `all`, `active`. @param whom of whom; `active`: who is in the slot that this chat uses */
export async function usageOf(chat: Chat, whom: Whom | 'all' | 'active'): Promise<ChatAnswer> {
  const document = await asked(chat, whom);
  const entries = await chat.entries();
  const now = chat.cli.now();
  const blocks = document.usage.map((row) =>
    [labelOf(row.identity, entries, chat.showsEmails), ...rowLines(chat, row, now)].join('\n'),
  );
  const shared = document.sharing.map(({ identities }) => {
    const names = identities.map((person) => labelOf(person, entries, chat.showsEmails));
    return `In one workspace: ${names.join(', ')}.`;
  });
  const elsewhere = document.notes.some(({ code }) => code === 'PINNED_ELSEWHERE')
    ? ['This chat is pinned to another login, so these are not its limits.']
    : [];
  const nobody = blocks.length === 0 ? ['Nobody is active here.'] : [];
  return { text: [...blocks, ...nobody, ...elsewhere, ...shared].join('\n\n'), result: 'usage' };
}

async function asked(chat: Chat, whom: Whom | 'all' | 'active'): Promise<UsageDocument> {
  const patience = `--timeout=${PATIENCE}`;
  if (whom === 'all') return raise(await chat.within('usage', [patience, '--all']));
  if (whom === 'active') return raise(await chat.within('usage', [patience]));
  const { identity } = await entryMeant(chat, whom);
  return raise(await chat.within('usage', [patience], identityKey(identity)));
}

function rowLines(chat: Chat, { state, why, limits, at }: Row, now: number): string[] {
  const lines: string[] = [];
  if (state !== 'answered') {
    const clause = why === null ? '' : `: ${inChat(why, chat.showsEmails)}`;
    const last = limits === null || at === null ? '' : `; the last known ones, ${ageText(at, now)}:`;
    lines.push(`The limits of now are not known${clause}${last === '' ? '.' : last}`);
  }
  if (limits !== null) lines.push(...limitLines(limits, now));
  return lines;
}

function limitLines({ windows, reached, credits }: Limits, now: number): string[] {
  const lines = windows.map(({ name, label, leftPercent, resetsAt }) => {
    const what = name === null ? label : `${showText(name, 30)}, ${label}`;
    const reset =
      resetsAt === null ? '' : `, resets ${untilText(resetsAt, now)} (${clockText(resetsAt, now)})`;
    return `${what}: ${leftText(leftPercent)} left${reset}`;
  });
  if (reached) lines.push('A limit is used up.');
  if (credits !== null) {
    const left = credits.unlimited
      ? 'unlimited'
      : credits.balance === null
        ? null
        : showText(credits.balance, 20);
    if (left !== null) lines.push(`Credits: ${left}`);
  }
  return lines.length === 0 ? ['No limits were named.'] : lines;
}
