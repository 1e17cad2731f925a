import type { Route } from './route.js';
import { accountOf, type CommandContext, channelOf, senderIdOf, WEBCHAT } from './sender.js';

/** Who may ask: `plugins.entries.codex-router.config` of openclaw.json. */
export interface PluginConfig {
  /**
   * `telegram:1001`, or `telegram:work:1001` for that bot account only (the form for an id with a colon of its own);
   * `owner`; `*`. Empty is `owner` alone.
   */
  readonly allowSenders: readonly string[];
  /** `telegram`, or `telegram:work`. Empty is every channel. */
  readonly allowChannels: readonly string[];
  /** What an allowed sender may do where others read along; a login never. */
  readonly groups: 'nothing' | 'look' | 'use';
  readonly showEmailsInGroups: boolean;
  readonly askBeforeMovingOthers: boolean;
}

export type Verdict =
  /** `isDirect` is the request's; false too for a sender whom nobody named: no log-in, and no e-mails. */
  | { readonly kind: 'allowed'; readonly showsEmails: boolean; readonly isDirect: boolean }
  /** Nothing is answered; `log` is for the gateway's log. */
  | { readonly kind: 'silent'; readonly log: string }
  | { readonly kind: 'refused'; readonly text: string; readonly log: string };

const KEY = 'plugins.entries.codex-router.config';

/** @throws Error with one sentence about what is wrong in it */
export function parsePluginConfig(value: unknown): PluginConfig {
  const config = value ?? {};
  if (typeof config !== 'object' || Array.isArray(config)) throw new Error(`${KEY} is not an object`);
  const at = (name: string): unknown => Reflect.get(config, name);
  return {
    allowSenders: entries(at('allowSenders'), 'allowSenders', isSender, '"telegram:1001", "owner"'),
    allowChannels: entries(at('allowChannels'), 'allowChannels', isChannel, '"telegram", "telegram:work"'),
    groups: choice(at('groups')),
    showEmailsInGroups: flag(at('showEmailsInGroups'), 'showEmailsInGroups', false),
    askBeforeMovingOthers: flag(at('askBeforeMovingOthers'), 'askBeforeMovingOthers', true),
  };
}

function entries(
  value: unknown,
  name: string,
  isEntry: (text: string) => boolean,
  examples: string,
): readonly string[] {
  const list: unknown = value ?? [];
  if (!Array.isArray(list)) throw new Error(`${KEY}.${name} is not a list`);
  return list.map((entry: unknown) => {
    if (typeof entry === 'string' && isEntry(entry)) return entry;
    throw new Error(`${KEY}.${name} has an entry that is none; entries are written like ${examples}`);
  });
}

/** A client of the gateway names itself, so that no name of one is an entry: there the right of the owner counts. */
function isSender(text: string): boolean {
  if (text === 'owner' || text === '*') return true;
  return SENDER.test(text) && !text.endsWith(':*') && !text.startsWith(`${WEBCHAT}:`);
}

const SENDER =
  /^[a-z0-9][a-z0-9_-]{0,63}:(?:[\x21-\x39\x3b-\x7e]{1,200}|[a-z0-9][a-z0-9_-]{0,63}:[\x21-\x7e]{1,200})$/;

function isChannel(text: string): boolean {
  return /^[a-z0-9][a-z0-9_-]{0,63}(?::[a-z0-9][a-z0-9_-]{0,63})?$/.test(text);
}

function choice(value: unknown): PluginConfig['groups'] {
  if (value === undefined) return 'use';
  if (value === 'nothing' || value === 'look' || value === 'use') return value;
  throw new Error(`${KEY}.groups is "nothing", "look" or "use"`);
}

function flag(value: unknown, name: string, otherwise: boolean): boolean {
  if (value === undefined) return otherwise;
  if (typeof value === 'boolean') return value;
  throw new Error(`${KEY}.${name} is true or false`);
}

/**
 * To be spread into the registration of every command. Only a command that asks for a scope is told who the owner is (2026.4.29
 * on), and then the release itself lets nobody else through; so it asks where nobody else is allowed.
 */
export function commandScopesOf(config: PluginConfig): { readonly requiredScopes?: readonly string[] } {
  return config.allowSenders.every((entry) => entry === 'owner') ? { requiredScopes: [ADMIN] } : {};
}

const ADMIN = 'operator.admin';

/** `text` is that of the chat request: a command, or the data of a button. */
export function verdictOf(
  text: string,
  context: CommandContext,
  route: Route,
  config: PluginConfig,
): Verdict {
  if (context.isAuthorizedSender !== true) return silent('OpenClaw does not authorise the sender', route);
  if (!isChannelAllowed(context, config)) return silent('the channel is not in allowChannels', route);
  const standing = standingOf(context, config);
  if (standing === 'nobody') return silent('the sender is not in allowSenders', route);
  if (standing === 'perhaps the owner') {
    return refused(`OpenClaw does not say here who the owner is. ${howToAllow(context)}`, route);
  }
  if (standing === 'the owner, not listed')
    return refused(`You are not in ${KEY}.allowSenders. Add "owner".`, route);
  const deed = deedOf(text);
  if (standing === 'anybody' && (deed === 'login' || deed === 'delete')) {
    return refused(`For that a sender has to be named. ${howToAllow(context)}`, route);
  }
  if (!route.isDirect) {
    if (config.groups === 'nothing')
      return silent('groups is "nothing", and the chat is not known to be direct', route);
    if (deed === 'login') {
      return refused(
        'A login is only for a direct chat with the bot, and this is not known to be one.',
        route,
      );
    }
    if (deed !== 'look' && (config.groups === 'look' || standing === 'anybody')) {
      return refused(
        'Where others read along, this only shows: switch in a direct chat with the bot.',
        route,
      );
    }
  }
  const isNamed = standing !== 'anybody';
  return {
    kind: 'allowed',
    showsEmails: config.showEmailsInGroups && isNamed,
    isDirect: route.isDirect && isNamed,
  };
}

/**
 * What a handler returns so that nothing is said: 2026.3.28, which gives no session key, shows the word that means silence to
 * every later release; those say that there was no response when they get neither it nor the mark.
 */
export function silentReply({ sessionKey }: CommandContext): {
  readonly text?: string;
  readonly suppressReply: true;
} {
  return sessionKey === undefined ? { suppressReply: true } : { text: 'NO_REPLY', suppressReply: true };
}

type Deed = 'look' | 'use' | 'delete' | 'login';

/** What is not known to be less is a login, which needs most. */
function deedOf(text: string): Deed {
  const [, command, rest = ''] = COMMAND.exec(text.trim()) ?? [];
  const words = rest.trim().toLowerCase();
  switch (command?.toLowerCase()) {
    case 'profile':
      return ['', 'show', 'explain'].includes(words) ? 'look' : 'use';
    case 'usage':
      return /^(delete|hard|yes|no|confirm)(?![\p{L}\p{N}])/u.test(words) ? 'delete' : 'look';
    default:
      return 'login';
  }
}

const COMMAND = /^\/?codex[_-](profile|usage|auth)(?:@[A-Za-z0-9_]{1,64})?(?:[\s_:]+([\s\S]*))?$/i;

type Standing = 'listed' | 'anybody' | 'perhaps the owner' | 'the owner, not listed' | 'nobody';

function standingOf(context: CommandContext, { allowSenders }: PluginConfig): Standing {
  const isOwner = ownerOf(context);
  const isForOwner = allowSenders.length === 0 || allowSenders.includes('owner');
  if (spellings(context).some((spelling) => allowSenders.includes(spelling))) return 'listed';
  if (isForOwner && isOwner === true) return 'listed';
  if (allowSenders.includes('*')) return 'anybody';
  if (isOwner === true) return 'the owner, not listed';
  const isNobodyNamed = allowSenders.every((entry) => entry === 'owner');
  return isOwner === null && isNobodyNamed ? 'perhaps the owner' : 'nobody';
}

/** How a sender may be listed, the best way last. An id with a colon could be read as an account and another's id. */
function spellings(context: CommandContext): readonly string[] {
  const [channel, account, id] = [channelOf(context), accountOf(context), senderIdOf(context)];
  if (channel === null || account === null || id === null || channel === WEBCHAT) return [];
  const full = `${channel}:${account}:${id}`;
  return id.includes(':') ? [full] : [full, `${channel}:${id}`];
}

/** Null where the release does not say, or says it of everybody. */
function ownerOf(context: CommandContext): boolean | null {
  const { gatewayClientScopes: scopes, senderIsOwner } = context;
  if (channelOf(context) === WEBCHAT) return Array.isArray(scopes) ? scopes.includes(ADMIN) : null;
  if (!namesOwners(context)) return null;
  return typeof senderIsOwner === 'boolean' ? senderIsOwner : null;
}

/**
 * Whether `commands.ownerAllowFrom` names owners for this channel, and not everybody: where it does not, releases to 2026.7.35 take
 * whoever the channel lets in for the owner.
 */
function namesOwners(context: CommandContext): boolean {
  const owners = memberOf(memberOf(context.config, 'commands'), 'ownerAllowFrom');
  if (!Array.isArray(owners)) return false;
  const entries = owners.map((entry) => String(entry).trim().toLowerCase());
  if (entries.some((entry) => /(^|:)\s*\*$/.test(entry))) return false;
  const channel = channelOf(context);
  return entries.some((entry) => {
    const [, prefix = null] = /^([a-z][a-z0-9_-]*):/.exec(entry) ?? [];
    return entry !== '' && (prefix === null || prefix === channel);
  });
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function isChannelAllowed(context: CommandContext, { allowChannels }: PluginConfig): boolean {
  const [channel, account] = [channelOf(context), accountOf(context)];
  if (channel === null || account === null) return false;
  return (
    allowChannels.length === 0 ||
    [channel, `${channel}:${account}`].some((name) => allowChannels.includes(name))
  );
}

function howToAllow(context: CommandContext): string {
  const spelling = spellings(context).at(-1);
  const entry = spelling === undefined ? 'who may ask' : `"${spelling}"`;
  return `Add ${entry} to ${KEY}.allowSenders in openclaw.json.`;
}

function silent(why: string, route: Route): Verdict {
  return { kind: 'silent', log: logOf(why, route) };
}

function refused(text: string, route: Route): Verdict {
  return { kind: 'refused', text, log: logOf('refused', route) };
}

function logOf(why: string, { sender, chat }: Route): string {
  return `${why} (sender ${sender ?? 'unknown'}, chat ${chat ?? 'unknown'})`;
}
