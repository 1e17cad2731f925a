import { accountOf, type CommandContext, channelOf, senderIdOf, threadOf } from './sender.js';

/** A conversation as the host's own bindings name it. */
export interface Conversation {
  readonly channel: string;
  readonly accountId: string;
  readonly conversationId: string;
}

/** The session that a conversation was bound to by hand (`/focus`, an ACP thread); null: none. Throws: not known. */
export type BoundTo = (conversation: Conversation) => string | null;

export type Session =
  | { readonly key: string; readonly why: null }
  | { readonly key: null; readonly why: string };

interface Place {
  readonly isGroup: boolean;
  readonly chat: string;
  readonly thread: string | null;
}

/** The chat's id; null when the context does not say it in one voice. */
export function telegramChat(context: CommandContext): string | null {
  return placeOf(context)?.chat ?? null;
}

/** Whether it is the private chat of the bot and the sender. A business chat of somebody else's is none. */
export function isTelegramDirect(context: CommandContext): boolean {
  const place = placeOf(context);
  return place !== null && !place.isGroup && place.chat === senderIdOf(context);
}

export function isTelegramPrivate(context: CommandContext): boolean {
  return placeOf(context)?.isGroup === false;
}

/** `from` says group or not, in every release and on both ways of a command; a native one has `to` as `slash:<sender>`. */
function placeOf(context: CommandContext): Place | null {
  const { from, to } = context;
  const thread = threadOf(context);
  if (channelOf(context) !== 'telegram' || typeof from !== 'string' || thread === false) return null;
  const [, group, chat = '', topic = null] = FROM.exec(from) ?? [];
  if (chat === '' || (group === undefined) === chat.startsWith('-')) return null;
  if (group === undefined ? topic !== null : topic !== thread) return null;
  const isSlash = to === `slash:${senderIdOf(context)}`;
  const places = [`telegram:${chat}`, `telegram:${chat}:topic:${thread}`];
  if (to !== undefined && !isSlash && !(typeof to === 'string' && places.includes(to))) return null;
  return { isGroup: group !== undefined, chat, thread };
}

const FROM = /^telegram:(group:)?(-?[1-9]\d{0,19})(?::topic:([1-9]\d{0,9}))?$/;

const OTHER_CHANNEL = "this OpenClaw does not name the session of a command, and only Telegram's can be told";
const NOT_READ = 'this OpenClaw does not name the session of a command, and its context cannot be read';

/**
 * The session that 2026.3.28 keeps a Telegram chat under, which it does not tell a command: its own rule (resolveAgentRoute and
 * what its Telegram channel makes of it), where openclaw.json leaves no doubt. session.scope and session.mainKey change nothing there.
 */
export function derivedSession(context: CommandContext, boundTo: BoundTo | null): Session {
  if (channelOf(context) !== 'telegram') return none(OTHER_CHANNEL);
  const place = placeOf(context);
  const account = accountOf(context);
  const sender = senderIdOf(context);
  if (place === null || account === null || sender === null || !/^\d{1,20}$/.test(sender))
    return none(NOT_READ);
  const doubt = doubtOf(context.config, place, account) ?? bindingDoubt(place, account, boundTo);
  const agent = defaultAgent(context.config);
  if (doubt !== null) return none(doubt);
  if (agent === null) return none('the agents in openclaw.json cannot be told apart');
  const { isGroup, chat, thread } = place;
  if (isGroup)
    return some(`agent:${agent}:telegram:group:${chat}${thread === null ? '' : `:topic:${thread}`}`);
  const base = directKey(agent, account, sender, memberOf(context.config, 'session', 'dmScope'));
  if (base === null) return none('session.dmScope in openclaw.json is not one of the known ones');
  return some(thread === null ? base : `${base}:thread:${chat}:${thread}`);
}

/** An account besides the default one never shares the main session. */
function directKey(agent: string, account: string, sender: string, dmScope: unknown): string | null {
  if (account !== 'default') return `agent:${agent}:telegram:${account}:direct:${sender}`;
  if (dmScope === undefined || dmScope === 'main') return `agent:${agent}:main`;
  if (dmScope === 'per-peer') return `agent:${agent}:direct:${sender}`;
  if (dmScope === 'per-channel-peer') return `agent:${agent}:telegram:direct:${sender}`;
  return dmScope === 'per-account-channel-peer' ? `agent:${agent}:telegram:default:direct:${sender}` : null;
}

/** What in openclaw.json could send the chat elsewhere; null when nothing does. */
function doubtOf(config: unknown, { isGroup }: Place, account: string): string | null {
  if (!isObject(config)) return NOT_READ;
  if (!isEmpty(memberOf(config, 'bindings'))) return 'openclaw.json binds chats to agents';
  const dmScope = memberOf(config, 'session', 'dmScope');
  const isPeer = account !== 'default' || (dmScope !== undefined && dmScope !== 'main');
  if (!isGroup && isPeer && !isEmpty(memberOf(config, 'session', 'identityLinks'))) {
    return 'session.identityLinks in openclaw.json give people other names';
  }
  // The release drops the messages of such a group, so that there is no session.
  if (isGroup && account !== 'default')
    return 'a group of a second bot account has no session without a binding';
  return hasMember(memberOf(config, 'channels', 'telegram'), 'agentId')
    ? 'openclaw.json gives topics of Telegram to agents'
    : null;
}

function bindingDoubt(
  { isGroup, chat, thread }: Place,
  account: string,
  boundTo: BoundTo | null,
): string | null {
  const conversationId = thread !== null ? `${chat}:topic:${thread}` : isGroup ? null : chat;
  if (conversationId === null) return null;
  const unknown = 'this OpenClaw does not say whether the chat is bound to another session';
  if (boundTo === null) return unknown;
  try {
    return boundTo({ channel: 'telegram', accountId: account, conversationId }) === null
      ? null
      : 'the chat is bound to another session';
  } catch {
    return unknown;
  }
}

/** The one marked `default`, else the first; null when its id is not written as the release would write it. */
function defaultAgent(config: unknown): string | null {
  const list = memberOf(config, 'agents', 'list');
  if (isEmpty(list)) return 'main';
  if (!Array.isArray(list)) return null;
  const id = memberOf(list.find((agent) => memberOf(agent, 'default') === true) ?? list[0], 'id');
  return typeof id === 'string' && /^[a-z0-9][a-z0-9_-]{0,63}$/.test(id) ? id : null;
}

function some(key: string): Session {
  return { key, why: null };
}

function none(why: string): Session {
  return { key: null, why };
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function memberOf(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>((at, name) => (isObject(at) ? Reflect.get(at, name) : undefined), value);
}

function isEmpty(value: unknown): boolean {
  return value === undefined || (isObject(value) && Object.keys(value).length === 0);
}

/** Somewhere within; of a config too deep to look through, yes. */
function hasMember(value: unknown, name: string, depth = 12): boolean {
  if (!isObject(value)) return false;
  if (depth === 0) return true;
  return Object.entries(value).some(([key, inner]) => key === name || hasMember(inner, name, depth - 1));
}
