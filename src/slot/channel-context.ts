import { isObject, type Json, parseJsonObject } from '../json.js';
import type { SessionEntry } from './pins.js';
import { canonicalKey, isChat, keyRest } from './session.js';

/** Whom OpenClaw's exec tool (2026.6.11 and later) says a command is run for; ids are the channel's own, in lower case. */
export interface ChannelContext {
  readonly sender: string | null;
  readonly chat: string;
}

/** OpenClaw writes some 100 characters. */
const LONGEST = 4096;
const LONGEST_ID = 512;

/**
 * What `OPENCLAW_CHANNEL_CONTEXT` says: `{"sender":{"id":"..."},"chat":{"id":"..."}}`, either may be left out (`buildSubprocessChannelContext`,
 * 6.11 to 9.6). Null when it cannot be told which chat is meant: not JSON, too long, of another shape, or no chat in it, because
 * one sender can be in several.
 */
export function parseChannelContext(text: string): ChannelContext | null {
  if (text.length > LONGEST) return null;
  const context = parseJsonObject(text);
  if (context === null) return null;
  const chat = idIn(context.chat);
  const sender = idIn(context.sender);
  return chat === null || (context.sender !== undefined && sender === null) ? null : { sender, chat };
}

function idIn(value: Json | undefined): string | null {
  if (!isObject(value) || typeof value.id !== 'string') return null;
  const id = canonicalKey(value.id);
  return id === '' || id.length > LONGEST_ID || /\p{C}/u.test(id) ? null : id;
}

/**
 * The chats that a context can mean, in the store's order: those whose key names it, and those whose last message went there. The
 * context names no channel and no thread: the same id on two channels, a base and its threads, or an agent's main chat beside a
 * direct one are several.
 */
export function chatsIn(context: ChannelContext, entries: readonly SessionEntry[]): readonly SessionEntry[] {
  return entries.filter((entry) => isChat(entry) && (isNamed(entry, context) || wentTo(entry, context.chat)));
}

const CONVERSATION = /^(?:.*?:)?(?:direct|dm|group|channel):(.+)$/;

function isNamed(entry: SessionEntry, { sender, chat }: ChannelContext): boolean {
  const conversation = CONVERSATION.exec(keyRest(entry.key))?.[1];
  if (conversation === undefined) return false;
  if (conversation === chat) return true;
  // What a channel scopes by below the chat: its topics and threads, or each sender by himself.
  if (!conversation.startsWith(`${chat}:`)) return false;
  const scope = conversation.slice(chat.length + 1);
  const own = /(?:^|:)sender:([^:]+)/.exec(scope)?.[1];
  return own === undefined ? /^(?:topic|thread):./.test(scope) : own === sender;
}

/** `telegram:1001`, `channel:c1`, `telegram:group:-100:topic:7`, or the bare id. */
function wentTo({ from, to, nativeChat }: SessionEntry, chat: string): boolean {
  return [from, to, nativeChat].some((route) => {
    const place =
      route === null || route === undefined ? '' : canonicalKey(route).replace(/:(?:topic|thread):.*$/, '');
    return place === chat || place.endsWith(`:${chat}`);
  });
}
