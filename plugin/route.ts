import {
  accountOf,
  type CommandContext,
  channelOf,
  PLAIN,
  senderIdOf,
  senderOf,
  threadOf,
  WEBCHAT,
} from './sender.js';
import {
  type BoundTo,
  derivedSession,
  isTelegramDirect,
  isTelegramPrivate,
  type Session,
  telegramChat,
} from './telegram.js';

/** Where a request comes from; the fields are the ones of the chat request. */
export interface Route {
  readonly session: string | null;
  /** One clause; null where there is a session. */
  readonly sessionWhy: string | null;
  /** `<channel>:<account>:<sender id>` */
  readonly sender: string | null;
  /** `<channel>:<account>:<conversation>[:<thread>]`; a colon within a conversation is written %3A. */
  readonly chat: string | null;
  /** True only where it is certain that one person alone reads along. */
  readonly isDirect: boolean;
}

/**
 * Everything from the context, nothing from the text of the message. `boundTo` is asked where the release gives no session
 * key (2026.3.28) or a slash command's; null there means that no session of a direct chat is named.
 */
export function routeOf(context: CommandContext, boundTo: BoundTo | null): Route {
  const { key, why } = sessionOf(context, boundTo);
  return {
    session: key,
    sessionWhy: why,
    sender: senderOf(context),
    chat: chatOf(context, key),
    isDirect: isDirect(context, key),
  };
}

/** Whether the release itself says which session is meant: the key of a slash command's own entry does not. */
export function namesSession({ sessionKey }: CommandContext): boolean {
  return !isMissing(sessionKey) && !SLASH.test(String(sessionKey));
}

function isMissing(sessionKey: unknown): boolean {
  return sessionKey === undefined || sessionKey === null || sessionKey === '';
}

function sessionOf(context: CommandContext, boundTo: BoundTo | null): Session {
  const { sessionKey } = context;
  if (isMissing(sessionKey)) return derivedSession(context, boundTo);
  if (typeof sessionKey !== 'string' || !KEY.test(sessionKey)) {
    return { key: null, why: 'the session key that OpenClaw gave cannot be read' };
  }
  if (SLASH.test(sessionKey)) return sessionOfSlash(sessionKey, context, boundTo);
  return isEarlyNative(context) ? sessionOfEarlyNative(sessionKey, context) : { key: sessionKey, why: null };
}

const KEY = /^[\x21-\x7e]{1,512}$/;
const SLASH = /(^|:)slash:/i;

/** The entry of a slash command serves all chats of its person: only the direct one it was used in is meant by it. */
function sessionOfSlash(key: string, context: CommandContext, boundTo: BoundTo | null): Session {
  const why = 'OpenClaw named the entry of a slash command, not the chat it was typed in';
  const derived = isTelegramDirect(context) ? derivedSession(context, boundTo) : null;
  return derived !== null && derived.key !== null && agentOf(derived.key) === agentOf(key)
    ? derived
    : { key: null, why };
}

function agentOf(key: string): string | undefined {
  return /^agent:([^:]+):/i.exec(key)?.[1]?.toLowerCase();
}

/**
 * Through 2026.5.12 a command from Telegram's own menu gets the key of the route, without the thread and the account that the
 * next message is kept under. A command on the way of all messages has a `channelId`; 2026.5.28, which mends it, an `agentId`.
 */
function isEarlyNative(context: CommandContext): boolean {
  return context.agentId === undefined && context.channelId === undefined && isTelegramPrivate(context);
}

function sessionOfEarlyNative(key: string, context: CommandContext): Session {
  if (threadOf(context) !== null) {
    return {
      key: null,
      why: 'this OpenClaw does not tell in which topic of a direct chat a command was typed',
    };
  }
  // A key that is no main key is of a binding, which the host has looked up.
  if (accountOf(context) === 'default' || !/^agent:[^:]+:main$/.test(key)) return { key, why: null };
  return derivedSession(context, () => null);
}

function chatOf(context: CommandContext, session: string | null): string | null {
  const [channel, account, thread] = [channelOf(context), accountOf(context), threadOf(context)];
  const conversation = channel === null ? null : conversationOf(context, channel, session);
  if (account === null || thread === false || conversation === null) return null;
  const end = thread === null ? '' : `:${thread}`;
  return `${channel}:${account}:${conversation.replaceAll('%', '%25').replaceAll(':', '%3A')}${end}`;
}

function conversationOf(context: CommandContext, channel: string, session: string | null): string | null {
  if (channel === 'telegram') return telegramChat(context);
  // In the browser a session is a chat; a release that names none has one chat for each client.
  if (channel === WEBCHAT) return session ?? 'unnamed';
  const { from } = context;
  return typeof from === 'string' && PLAIN.test(from) && !SLASH.test(from) ? from : null;
}

function isDirect(context: CommandContext, session: string | null): boolean {
  const [channel, account, sender] = [channelOf(context), accountOf(context), senderIdOf(context)];
  const { from, to, gatewayClientScopes } = context;
  if ([from, to, session].some((text) => typeof text === 'string' && MANY_PEOPLE.test(text))) return false;
  if (channel === null || account === null || sender === null) return false;
  if (channel === 'telegram') return isTelegramDirect(context);
  const rest = session === null ? null : /^agent:[^:]+:(.+)$/.exec(session.toLowerCase())?.[1];
  if (rest === null || rest === undefined) return false;
  // What is said in a session of another channel can be sent on to there.
  if (channel === WEBCHAT) return Array.isArray(gatewayClientScopes) && /^(main|dashboard:[^:]+)$/.test(rest);
  const peer = `direct:${sender.toLowerCase()}`;
  return [peer, `${channel}:${peer}`, `${channel}:${account}:${peer}`].includes(rest);
}

const MANY_PEOPLE = /(^|:)(group|channel|room|space|spaces|chat|chat_id):|@g\.us/i;
