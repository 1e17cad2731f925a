import { RouterError } from '../../errors.js';
import { withGrantLock } from '../../os/lock.js';
import { arrivingLoginsIn } from '../../repo/arriving-logins.js';
import { type ChatOwner, chatLoginsIn, chatOwnerOf } from '../../repo/chat-logins.js';
import type { IndexEntry, OpenRepo } from '../../repo/repo.js';
import { proveRoom } from '../../repo/room.js';
import { parseAlias } from '../../router/alias.js';
import { beginChatLogin, type ChatLoginDeps, finishChatLogin } from '../../router/chat-login.js';
import { dropChatLogin, keepChatLogin } from '../../router/chat-login-held.js';
import { isOver, notFound } from '../../router/chat-login-trouble.js';
import type { HostNote } from '../../slot/host.js';
import { hostOrNull } from '../adapt.js';
import { refuseAgent } from '../agent-guard.js';
import { endArrivals, mendIndex } from '../commands/finish-adds.js';
import { compose, type Parts, pause } from '../compose.js';
import { begunText, droppedText, heldText, keptText, pendingText } from './auth-text.js';
import { type AuthAsk, parseAuth } from './auth-words.js';
import type { Chat, ChatAnswer } from './chat.js';
import { menuOf } from './menu.js';
import { entryMeant } from './whom.js';
import type { AuthWords } from './words.js';

/**
 * `/codex_auth`: a login that is begun, shown, confirmed and stored in a chat. It belongs to one sender in one direct chat: for anybody
 * else, and anywhere else, there is none.
 * @throws CHAT_NOT_DIRECT, USAGE where it is not known who asks; what the router throws, with a next step in words of a chat
 */
export async function answerAuth(chat: Chat, words: AuthWords): Promise<ChatAnswer> {
  const ask = parseAuth(words);
  if (!chat.request.isDirect) throw notDirect();
  const { sender, chat: place } = chat.asked();
  if (ask.kind === 'menu') return menu(chat);
  await refuseAgent(chat.cli, ask.kind === 'begin' ? 'login start' : 'login finish', {}, []);
  return carriedOut(chat, chatOwnerOf(sender, place), ask);
}

async function menu(chat: Chat): Promise<ChatAnswer> {
  const { lines, buttons } = await menuOf(chat, await chat.entries(), 'codex_auth_start_');
  const other = [{ text: 'New', data: 'codex_auth_new' }];
  const text =
    lines.length === 0
      ? 'No login is stored yet: /codex_auth new begins one.'
      : [
          'Whom do you want to log in?',
          ...lines,
          '',
          '/codex_auth <name or number>, or /codex_auth new.',
        ].join('\n');
  return { text, buttons: [...buttons, other], result: 'menu' };
}

async function carriedOut(
  chat: Chat,
  owner: ChatOwner,
  ask: Exclude<AuthAsk, { kind: 'menu' }>,
): Promise<ChatAnswer> {
  const { cli, options } = chat;
  // Only what is begun may make a vault.
  const parts = compose(cli, options, ask.kind === 'begin');
  await mendIndex(parts);
  // What others left is theirs: nothing is said of it here.
  await endArrivals(cli, parts, owner);
  const whom = ask.kind === 'begin' && ask.whom !== null ? await entryMeant(chat, ask.whom) : null;
  const deps = await depsOf(chat, parts);
  if (ask.kind !== 'begin' && !(await deps.logins.owners()).includes(owner)) throw notFound();
  const repo = await parts.openRepo();
  switch (ask.kind) {
    case 'begin':
      return begin(chat, parts, repo, deps, owner, ask, whom);
    case 'finish': {
      const found = await finishChatLogin(deps, repo, owner, ask.answer);
      const said =
        found.kind === 'pending' ? pendingText(found.login, cli.now()) : heldText(found, cli.now());
      return { ...said, dropsMessage: ask.answer !== null };
    }
    case 'keep':
      return keep(chat, parts, repo, deps, owner, ask.id);
    case 'drop':
      return droppedText(await dropChatLogin(deps, repo, owner, ask.id));
  }
}

async function begin(
  chat: Chat,
  parts: Parts,
  repo: OpenRepo,
  deps: ChatLoginDeps,
  owner: ChatOwner,
  { alias, flow }: Extract<AuthAsk, { kind: 'begin' }>,
  whom: IndexEntry | null,
): Promise<ChatAnswer> {
  const before = await deps.logins.read(owner);
  // A channel may deliver the message that began it once more, minutes later.
  if (before?.kind === 'held' && !isOver(before, chat.cli.now())) {
    throw new RouterError('LOGIN_PENDING', 'a login waits for your word here', {
      hint: '/codex_auth finish shows it again, /codex_auth keep stores it, /codex_auth discard revokes it',
    });
  }
  const named = alias === null ? null : parseAlias(alias, null, await repo.list());
  // What is wrong with the disk is told now, not when there is a login to be lost.
  await parts.withLock(() => proveRoom(parts.folders.data));
  const wanted = whom && { accountId: whom.identity.accountId, userId: whom.identity.userId };
  const begun = await beginChatLogin(deps, repo, owner, { flow, wanted, alias: named });
  return begunText(begun, whom, flow === 'link', chat.cli.now());
}

async function depsOf({ cli: { interruption, now } }: Chat, parts: Parts): Promise<ChatLoginDeps> {
  const { data } = parts.folders;
  const { critical, signal } = interruption;
  return {
    logins: chatLoginsIn(data),
    arriving: arrivingLoginsIn(data, now),
    issuer: await parts.issuer(),
    browser: await parts.browserIssuer(),
    revocation: parts.revocation,
    withOwner: (owner, work) => oneAtATime(data, owner, work, signal),
    withLock: parts.withLock,
    critical,
    now,
    pause,
    signal,
  };
}

/** ms: two messages of one sender, of which the first asks the issuer. */
const OWNER_WAIT = 30_000;

async function oneAtATime<T>(
  data: string,
  owner: ChatOwner,
  work: () => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  let isHeld = false;
  const begun = () => {
    isHeld = true;
    return work();
  };
  try {
    return await withGrantLock(data, owner, begun, { wait: OWNER_WAIT, signal });
  } catch (error) {
    if (isHeld || !(error instanceof RouterError) || error.code !== 'BUSY') throw error;
    const message = 'your last message about this login is still being worked on';
    throw new RouterError('BUSY', message, { hint: 'ask again in a moment', cause: error });
  }
}

async function keep(
  { cli: { interruption, now } }: Chat,
  parts: Parts,
  repo: OpenRepo,
  deps: ChatLoginDeps,
  owner: ChatOwner,
  id: string | null,
): Promise<ChatAnswer> {
  const { hostAt, outside, journal, withLock, withGrantLock: withGrant } = parts;
  const { critical, signal } = interruption;
  const notes: HostNote[] = [];
  // A login is stored whatever is the matter with the OpenClaw beside it.
  const host = await hostOrNull(parts).catch((error: unknown) => {
    if (!(error instanceof RouterError)) throw error;
    notes.push({ code: error.code, text: `OpenClaw was not looked at: ${error.message}` });
    return null;
  });
  const around = { hostAt, outside, journal, withLock, withGrantLock: withGrant, critical, now, signal };
  return keptText(await keepChatLogin(deps, { host, ...around }, repo, owner, id), notes);
}

function notDirect(): RouterError {
  return new RouterError(
    'CHAT_NOT_DIRECT',
    'a login is made in a direct chat only: here others could see it, or make it theirs',
    { hint: 'write to me alone, and ask again there' },
  );
}
