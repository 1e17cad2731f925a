import { holdsAnswer } from '../src/cli/chat/auth-words.js';
import type { ChatRequest } from '../src/cli/chat/protocol.js';
import { bindingsFor } from './bindings.js';
import { payloadOf, type Reply } from './buttons.js';
import { type Answer, ask } from './child.js';
import { type Config, parseConfig } from './config.js';
import { type Host, memberOf, textOf } from './host.js';
import { silentReply, verdictOf } from './permission.js';
import { findProgram, type Program } from './program.js';
import { withProgress } from './progress.js';
import type { Remembered } from './remembered.js';
import type { recentRequests } from './requests.js';
import { holds } from './reread.js';
import { type Route, routeOf } from './route.js';
import type { CommandContext } from './sender.js';

/** What the plugin keeps while the gateway runs; nothing of it is secret. */
export interface Room {
  readonly host: Host;
  readonly requests: ReturnType<typeof recentRequests>;
  readonly remembered: Remembered;
  /** The session of an answer whose pin has to be looked at again when its run ends. */
  readonly pending: (session: string) => void;
  /** After a switch: the gateway's open connections to the model are of the login before. */
  readonly renewConnections: (ids: readonly string[]) => Promise<boolean>;
  /** Null where the release does not tell. */
  readonly isTurnRunningIn: (session: string) => boolean | null;
  readonly now: () => number;
}

/** The names that a person types, and what the host's own lists say of them. */
export const COMMANDS: Readonly<Record<string, string>> = {
  codex_profile: 'Which Codex login is active in this chat, and switch to another',
  codex_usage: 'How much of the Codex limits is left',
  codex_auth: 'Log in to another Codex account of your own',
};

export interface Answered {
  readonly reply: Reply;
  /** False when nothing was done, because nobody may ask that here or it has just been asked. */
  readonly isFirst: boolean;
}

/** One question, from a command or a button. Never throws. */
export async function answer(room: Room, text: string, context: CommandContext): Promise<Answered> {
  const { host, requests, remembered, now } = room;
  const config = configOf(host);
  if (config === null)
    return not({
      text: 'codex-router: the config of its plugin is wrong; the log of the gateway says what.',
    });
  const route = routeOf(context, await bindingsFor(context));
  const verdict = verdictOf(text, context, route, config);
  if (verdict.kind !== 'allowed') {
    host.warn(verdict.log);
    return not(
      verdict.kind === 'refused' ? { text: withDeletion(verdict.text, text) } : silentReply(context),
    );
  }
  remembered.keep(route.sender, route.chat, context, now());
  const admission = requests.admit({ sender: route.sender, chat: route.chat, text }, now());
  if (admission.kind === 'again') return not({ text: withDeletion(admission.text, text) });
  let isDone = false;
  try {
    const request = {
      ...requestOf(text, { ...route, isDirect: verdict.isDirect }, verdict.showsEmails, config),
      isTurnRunning: route.session === null ? null : room.isTurnRunningIn(route.session),
    };
    const given = await withProgress(host, context, () => askRouter(room, config, request));
    isDone = given.document !== null;
    const said = await proved(host, context.config, given);
    const reply = withDeletion(said, text, given.dropsMessage);
    return { reply: payloadOf(textOf(context.channel), reply, given.buttons), isFirst: true };
  } finally {
    // What failed may be asked again at once.
    admission.done(isDone);
  }
}

function not(reply: Reply): Answered {
  return { reply, isFirst: false };
}

/** Null when it cannot be read; the log says why. */
export function configOf(host: Host): Config | null {
  try {
    return parseConfig(host.pluginConfig);
  } catch (error) {
    host.warn(error instanceof Error ? error.message : 'the config of the plugin cannot be read');
    return null;
  }
}

async function askRouter(
  { host, pending, renewConnections }: Room,
  config: Config,
  request: ChatRequest,
): Promise<Answer & { readonly isRenewed: boolean }> {
  const program = await programOf(config);
  const given = await ask(host, program, process.execPath, config.timeoutMs, request);
  const { document } = given;
  if (document?.pinsPending === true && document.session !== null) pending(document.session);
  const isRenewed =
    document !== null && document.effective !== null && (await renewConnections(document.closes));
  return { ...given, isRenewed };
}

/** Whatever became of it: an address that ends a login is not to stay where it can be read. */
function withDeletion(said: string, text: string, isAsked = false): string {
  return isAsked || holdsAnswer(text) ? `${said}\n\n${DELETE_IT}` : said;
}

/** No release tells a command which message it came in, so that nobody but its author can delete it. */
const DELETE_IT =
  'Please delete your message with the address: it is good for one login, and a chat keeps it.';

async function proved(
  host: Host,
  config: unknown,
  { text, document, isRenewed }: Awaited<ReturnType<typeof askRouter>>,
): Promise<string> {
  if (document === null || document.textIfTaken === null) return text;
  if (document.closes.length > 0) return isRenewed ? document.textIfTaken : text;
  if (document.taken === null) return text;
  return (await holds(host, config, document.taken)) ? document.textIfTaken : text;
}

export async function programOf(config: Config): Promise<Program> {
  return await findProgram({
    configured: config.program,
    self: import.meta.url,
    node: process.execPath,
    searchPath: process.env.PATH ?? '',
    user: process.getuid?.() ?? null,
  });
}

/** As long as the host lets a command be; the child refuses what is longer. */
const LONGEST_TEXT = 4200;

function requestOf(text: string, route: Route, showsEmails: boolean, config: Config): ChatRequest {
  return {
    schemaVersion: 1,
    text: text.slice(0, LONGEST_TEXT),
    ...route,
    showsEmails,
    asksBeforeMovingOthers: config.askBeforeMovingOthers,
  };
}

/** As it was typed: the host gives the name and the rest apart. */
export function typed(name: string, context: unknown): string {
  const rest = (textOf(memberOf(context, 'args')) ?? '').trim();
  return rest === '' ? `/${name}` : `/${name} ${rest}`;
}

/** The fields that we look at, none of them trusted yet. */
export function contextOf(context: unknown): CommandContext {
  const field = (name: string): unknown => memberOf(context, name);
  return {
    senderId: field('senderId'),
    channel: field('channel'),
    channelId: field('channelId'),
    isAuthorizedSender: field('isAuthorizedSender'),
    senderIsOwner: field('senderIsOwner'),
    gatewayClientScopes: field('gatewayClientScopes'),
    agentId: field('agentId'),
    sessionKey: field('sessionKey'),
    from: field('from'),
    to: field('to'),
    accountId: field('accountId'),
    messageThreadId: field('messageThreadId'),
    threadParentId: field('threadParentId'),
    config: field('config'),
  };
}
