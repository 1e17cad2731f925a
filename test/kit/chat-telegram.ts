import { createServer } from 'node:http';
import { listen } from './backend.js';
import { until } from './process.js';
import type { Owner } from './router.js';

type Fields = Record<string, unknown>;

/** One call of OpenClaw's Telegram channel, as Telegram's Bot API would get it. */
export interface BotCall {
  readonly method: string;
  readonly chat: string | null;
  readonly text: string;
  /** The data of the inline buttons under a message, row by row. */
  readonly buttons: readonly { readonly text: string; readonly data: string }[];
  readonly body: Fields;
}

/** Where a message is written: a direct chat, a group, or a topic of a forum. */
export type Room = 'direct' | 'group' | 'topic';

export interface Telegram {
  readonly apiRoot: string;
  readonly token: string;
  /** Everything the channel asked for, in order; polling left out. */
  readonly calls: readonly BotCall[];
  /** Waits until the channel polls. */
  ready(): Promise<void>;
  /** Somebody writes; what the bot sends to that chat from then on until it matches. @throws when it never does. */
  ask(text: string, answer: RegExp, options?: Writing): Promise<readonly BotCall[]>;
  /** Somebody writes, and nothing is waited for but that the channel has taken it. The message's id. */
  write(text: string, options?: Writing): Promise<number>;
  /** Somebody presses a button of a message. */
  press(data: string, answer: RegExp, options?: Writing): Promise<readonly BotCall[]>;
  /** What was sent to, or edited in, the chat of a writer. */
  sentTo(options?: Writing): readonly BotCall[];
}

export interface Writing {
  /** A Telegram user id; default the owner's. */
  readonly from?: number;
  readonly room?: Room;
}

/** The Telegram user of the made sessions (native.ts). */
export const TELEGRAM_OWNER = 1001;
const GROUP = -1_001_234_567_890;
const TOPIC = 42;
const BOT = { id: 111, is_bot: true, first_name: 'Bot', username: 'router_bot' };

/** The session key that the host gives a chat, with `dmScope: "per-channel-peer"`. */
export function sessionOf({ from = TELEGRAM_OWNER, room = 'direct' }: Writing = {}): string {
  if (room === 'direct') return `agent:main:telegram:direct:${from}`;
  return `agent:main:telegram:group:${GROUP}${room === 'topic' ? `:topic:${TOPIC}` : ''}`;
}

/** A stand-in of Telegram's Bot API on loopback, which OpenClaw's own Telegram channel polls. */
export async function telegram(t: Owner): Promise<Telegram> {
  const calls: BotCall[] = [];
  let updates: (Fields & { readonly update_id: number })[] = [];
  let serial = 1000;
  let message = 5000;
  let acknowledged = 0;
  let polls = 0;
  let wake: () => void = () => undefined;

  const results: Record<string, (body: Fields) => unknown> = {
    getMe: () => ({ ...BOT, can_join_groups: true, can_read_all_group_messages: true }),
    getWebhookInfo: () => ({ url: '', pending_update_count: 0 }),
    getMyCommands: () => [],
    getChat: ({ chat_id }) => ({ id: Number(chat_id), ...chatOf(Number(chat_id)) }),
    getChatMember: ({ user_id }) => ({ status: 'member', user: { id: Number(user_id), is_bot: false } }),
  };
  const sent = ({ chat_id, message_thread_id, text = '' }: Fields) => {
    message += 1;
    const chat = { id: Number(chat_id), ...chatOf(Number(chat_id)) };
    // Without the thread 2026.9.6 takes the message for undelivered and runs the command again.
    const thread = message_thread_id === undefined ? {} : { message_thread_id: Number(message_thread_id) };
    return { message_id: message, date: Math.floor(Date.now() / 1000), chat, text, ...thread };
  };
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', async () => {
      const method = /^\/bot[^/]+\/(\w+)/.exec(request.url ?? '')?.[1] ?? '';
      const answer = (result: unknown) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ ok: true, result }));
      };
      const body = parseBody(Buffer.concat(parts).toString('utf8'));
      if (method === 'getUpdates') {
        acknowledged = Math.max(acknowledged, Number(body.offset ?? 0));
        updates = updates.filter((update) => update.update_id >= acknowledged);
        polls += 1;
        if (updates.length === 0) {
          const patience = Math.min(Number(body.timeout ?? 1), 5) * 1000;
          await new Promise<void>((resolve) => {
            wake = resolve;
            setTimeout(resolve, patience).unref();
          });
        }
        answer(updates);
        return;
      }
      calls.push(callOf(method, body));
      if (/^(send|edit)/.test(method) && method !== 'sendChatAction') answer(sent(body));
      else answer(results[method]?.(body) ?? true);
    });
  });
  const port = await listen(server, t);

  const push = async (update: Fields): Promise<void> => {
    serial += 1;
    const mine = serial;
    updates.push({ update_id: mine, ...update });
    wake();
    await until('the channel takes the message', () => acknowledged > mine, 60_000);
  };
  const messageIn = (text: string, { from = TELEGRAM_OWNER, room = 'direct' }: Writing, author?: Fields) => {
    message += 1;
    const id = room === 'direct' ? from : GROUP;
    const command = /^\/\w+/.exec(text)?.[0];
    return {
      message_id: message,
      date: Math.floor(Date.now() / 1000),
      from: author ?? { id: from, is_bot: false, first_name: `User ${from}` },
      chat: { id, ...chatOf(id) },
      ...(room === 'topic' ? { message_thread_id: TOPIC, is_topic_message: true } : {}),
      text,
      ...(command ? { entities: [{ type: 'bot_command', offset: 0, length: command.length }] } : {}),
    };
  };
  const heard = async (from: number, answer: RegExp, writing: Writing, what: string) => {
    const mine = () => calls.slice(from).filter((call) => isShown(call) && call.chat === chatIdOf(writing));
    return await until(
      `${what} is answered ${answer}`,
      () => {
        const found = mine();
        return found.some(({ text }) => answer.test(text)) ? found : null;
      },
      60_000,
    ).catch((error: Error) => {
      const seen = calls.slice(from).map(({ method, chat, text }) => ({ method, chat, text }));
      throw new Error(`${error.message}; there came ${JSON.stringify(seen)}`);
    });
  };
  const bot: Telegram = {
    apiRoot: `http://127.0.0.1:${port}`,
    token: '111:AAtest',
    calls,
    ready: async () => {
      await until('the channel polls', () => polls > 0, 60_000);
    },
    write: async (text, writing = {}) => {
      const written = messageIn(text, writing);
      await push({ message: written });
      return written.message_id;
    },
    ask: async (text, answer, writing = {}) => {
      const from = calls.length;
      await bot.write(text, writing);
      return await heard(from, answer, writing, text.slice(0, 60));
    },
    press: async (data, answer, writing = {}) => {
      const from = calls.length;
      const { from: who = TELEGRAM_OWNER } = writing;
      await push({
        callback_query: {
          ...{ id: String(serial + 1), chat_instance: 'x', data },
          from: { id: who, is_bot: false, first_name: `User ${who}` },
          message: messageIn('which one?', writing, BOT),
        },
      });
      return await heard(from, answer, writing, data);
    },
    sentTo: (writing = {}) => calls.filter((call) => isShown(call) && call.chat === chatIdOf(writing)),
  };
  return bot;
}

function chatOf(id: number): Fields {
  return id > 0
    ? { type: 'private', first_name: `User ${id}` }
    : { type: 'supergroup', title: 'Team', is_forum: true };
}

function chatIdOf({ from = TELEGRAM_OWNER, room = 'direct' }: Writing): string {
  return String(room === 'direct' ? from : GROUP);
}

function isShown({ method }: BotCall): boolean {
  return /^(send|edit)/.test(method) && method !== 'sendChatAction';
}

function callOf(method: string, body: Fields): BotCall {
  const markup = typeof body.reply_markup === 'string' ? parseBody(body.reply_markup) : body.reply_markup;
  const rows = ((markup as Fields | undefined)?.inline_keyboard ?? []) as Fields[][];
  return {
    method,
    chat: body.chat_id === undefined ? null : String(body.chat_id),
    text: plainText(String(body.text ?? body.caption ?? '')),
    buttons: rows.flat().map((one) => ({ text: String(one.text), data: String(one.callback_data ?? '') })),
    body,
  };
}

/** As Telegram shows it: the channel writes HTML. */
function plainText(html: string): string {
  const characters: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', '#39': "'" };
  return html
    .replace(/<[^>]*>/g, '')
    .replace(/&(#?\w+);/g, (entity, name: string) => characters[name] ?? entity);
}

function parseBody(text: string): Fields {
  try {
    return JSON.parse(text) as Fields;
  } catch {
    return Object.fromEntries(new URLSearchParams(text));
  }
}
