import type { ChatLogin } from '../../repo/chat-logins.js';
import type { IndexEntry } from '../../repo/repo.js';
import type { BegunChatLogin } from '../../router/chat-login.js';
import type { DroppedChatLogin, ShownLogin } from '../../router/chat-login-held.js';
import type { FormerGrant, Kept } from '../../router/keep-login.js';
import { nameOf } from '../../router/resolve.js';
import type { HostNote } from '../../slot/host.js';
import { showText } from '../../text.js';
import type { ChatAnswer } from './chat.js';
import { labelOf, personOf } from './labels.js';

// All of it is said in a direct chat to whoever began the login: e-mails are shown.

/** @param wished whether the sender asked for a link themselves */
export function begunText(
  { login, url, userCode, replaced }: BegunChatLogin,
  whom: IndexEntry | null,
  wished: boolean,
  now: number,
): ChatAnswer {
  const who = whom === null ? '' : ` as ${labelOf(personOf(whom), [whom], true)}`;
  const text = [
    ...(replaced === null ? [] : [replacedText(replaced), '']),
    `To log in${who}, if you have just asked for this yourself:`,
    ...(userCode === null ? linkSteps(url, wished) : codeSteps(url, userCode)),
    '',
    `That is good for ${minutes(login.expiresAt, now)}, for you and in this chat only. Nothing is stored before you have seen whose login it is.`,
  ].join('\n');
  const cancel = { text: 'Cancel', data: 'codex_auth_cancel' };
  const approved = { text: 'I have approved it', data: 'codex_auth_finish' };
  return { text, result: 'login-begun', buttons: [userCode === null ? [cancel] : [approved, cancel]] };
}

/** The code stands alone on its line, to be copied. */
function codeSteps(url: string, userCode: string): string[] {
  return [
    `1. Open ${url}`,
    '2. Type in this code:',
    '',
    userCode,
    '',
    '3. Where ChatGPT asks for a workspace, choose the one that you want to store.',
    '4. Then write /codex_auth finish',
  ];
}

function linkSteps(url: string, wished: boolean): string[] {
  return [
    ...(wished ? [] : ['(The issuer offers no login with a code, so this is the way with a link.)']),
    '1. Open this link in any browser and log in there:',
    '',
    url,
    '',
    '2. The browser ends on a page at 127.0.0.1 that cannot be shown: that is right. Copy its whole address.',
    '3. Then write /codex_auth finish and the address behind it. Delete that message afterwards if it is still there.',
  ];
}

function replacedText(replaced: NonNullable<BegunChatLogin['replaced']>): string {
  if (replaced.kind === 'begun') return 'The login that you began before gives way to this one.';
  return `The login that waited for your word gives way to this one: ${replaced.end.text}.`;
}

export function pendingText(login: ChatLogin, now: number): ChatAnswer {
  const text = `Nobody has approved it in the browser yet. Approve it, then write /codex_auth finish; ${minutes(login.expiresAt, now)} left.`;
  const buttons = [
    [
      { text: 'I have approved it', data: 'codex_auth_finish' },
      { text: 'Cancel', data: 'codex_auth_cancel' },
    ],
  ];
  return { text, result: 'login-pending', buttons };
}

/** Whose login it is, and the question. */
export function heldText({ login, identity, stored, expiresAt, notes }: ShownLogin, now: number): ChatAnswer {
  const { accountId, userId, email, plan, workspace } = identity;
  const known =
    stored === null
      ? 'It is not stored yet.'
      : `It is stored already, as ${showText(nameOf(stored), 80)}: this is the newer login.`;
  const text = [
    `You have logged in as ${showText(email, 80)}.`,
    `Workspace: ${workspace === null ? 'no name is known' : showText(workspace)}`,
    `Plan: ${showText(plan)}`,
    `Account: ${showText(accountId, 80)} / ${showText(userId, 80)}`,
    ...notes.map(({ text: note }) => `Note: ${showText(note, 300)}.`),
    '',
    `${known} Keep it? /codex_auth keep stores it, /codex_auth discard revokes it. Without your word it cannot be kept any more in ${minutes(expiresAt, now)}, and is revoked when the next login is made here.`,
  ].join('\n');
  const buttons = [
    [
      { text: 'Keep it', data: `codex_auth_keep_${login.id}` },
      { text: 'Discard it', data: `codex_auth_discard_${login.id}` },
    ],
  ];
  return { text, result: 'login-held', buttons };
}

export function keptText(
  { entry, result, former, selector, notes }: Kept,
  more: readonly HostNote[],
): ChatAnswer {
  const name = labelOf(personOf(entry), [entry], true);
  const use = `/codex_profile use ${showText(selector, 200)}`;
  const text = [
    `${name} ${HAPPENED[result]}.`,
    ...(former === null ? [] : formerText(former, use)),
    ...(entry.verified ? [] : ['It is unverified until its first successful call.']),
    ...[...notes, ...more].map(({ text: note }) => `Note: ${showText(note, 300)}.`),
    `It was not made active: ${use} does that.`,
  ].join('\n');
  return { text, result: 'login-kept' };
}

const HAPPENED: { readonly [result in Kept['result']]: string } = {
  added: 'is stored',
  renewed: 'has the newer login now',
  unchanged: 'was stored already',
};

function formerText({ sealed, place }: FormerGrant, use: string): string[] {
  const kept = sealed
    ? 'The login stored before is sealed as a back-up.'
    : 'The login stored before could not be opened; its damaged record is set aside.';
  return [`${kept} ${RUNS[place](use)}`.trim()];
}

const RUNS: { readonly [place in FormerGrant['place']]: (use: string) => string } = {
  parked: () => '',
  slot: (use) => `OpenClaw goes on with it until ${use}.`,
  elsewhere: () => 'Another OpenClaw goes on with it.',
  codex: () => 'The Codex CLI goes on with it.',
  unknown: () => 'Who goes on with it could not be told.',
};

export function droppedText(dropped: DroppedChatLogin): ChatAnswer {
  if (dropped.kind === 'discarded') {
    const whose = showText(dropped.identity.email ?? dropped.identity.userId, 80);
    const { kind, text: end } = dropped.end;
    const text =
      kind === 'stored'
        ? `The login of ${whose} was not discarded: ${end}.`
        : `The login of ${whose} is discarded: nothing was stored, ${end}.`;
    return { text, result: 'login-discarded' };
  }
  const text =
    dropped.kind === 'damaged'
      ? 'What was left of your login here was damaged, and is removed.'
      : 'Your login here is cancelled: it cannot be finished any more.';
  return { text, result: 'login-cancelled' };
}

function minutes(until: number, now: number): string {
  const left = Math.round((until - now) / 60_000);
  if (left <= 0) return 'less than a minute';
  return left === 1 ? '1 minute' : `${left} minutes`;
}
