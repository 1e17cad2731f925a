/** What a command's handler gets (facts: openclaw-json.md section 5). Which fields there are depends on the release. */
export interface CommandContext {
  readonly senderId?: unknown;
  readonly channel?: unknown;
  readonly channelId?: unknown;
  readonly isAuthorizedSender?: unknown;
  /** Only for a command that was registered with `requiredScopes`, from 2026.4.29 on. */
  readonly senderIsOwner?: unknown;
  readonly gatewayClientScopes?: unknown;
  /** From 2026.5.28 on. */
  readonly agentId?: unknown;
  /** From 2026.4.2 on. */
  readonly sessionKey?: unknown;
  readonly from?: unknown;
  readonly to?: unknown;
  readonly accountId?: unknown;
  readonly messageThreadId?: unknown;
  readonly threadParentId?: unknown;
  /** The host's openclaw.json. */
  readonly config?: unknown;
}

/** The host's own name for chats in the browser and for clients of the gateway. */
export const WEBCHAT = 'webchat';

const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;
/** No blanks, no look-alikes: what is not plain belongs to nobody. */
export const PLAIN = /^[\x21-\x7e]{1,200}$/;

/** The channel as the host spells it; null when it is none. */
export function channelOf({ channel }: CommandContext): string | null {
  return typeof channel === 'string' && NAME.test(channel) ? channel : null;
}

/** The bot's account: `default` where the host names none; null for what no release writes. */
export function accountOf({ accountId }: CommandContext): string | null {
  if (accountId === undefined || accountId === null || accountId === '') return 'default';
  return typeof accountId === 'string' && NAME.test(accountId) ? accountId : null;
}

/** The id within its channel; null when there is none, or one that could be taken for another. */
export function senderIdOf({ senderId }: CommandContext): string | null {
  return typeof senderId === 'string' && PLAIN.test(senderId) ? senderId : null;
}

/** `<channel>:<account>:<sender id>`; only the id can hold a colon, so no two senders are written alike. */
export function senderOf(context: CommandContext): string | null {
  const parts = [channelOf(context), accountOf(context), senderIdOf(context)];
  return parts.includes(null) ? null : parts.join(':');
}

/** A topic or thread; false where there is one that cannot be read. */
export function threadOf({ messageThreadId: id }: CommandContext): string | null | false {
  if (id === undefined || id === null || id === '') return null;
  if (typeof id === 'number') return Number.isSafeInteger(id) && id > 0 ? String(id) : false;
  return typeof id === 'string' && /^[A-Za-z0-9._-]{1,120}$/.test(id) ? id : false;
}
