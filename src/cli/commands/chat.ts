import { EXIT_OF, RouterError } from '../../errors.js';
import { chatSession } from '../../router/chat-session.js';
import { agentOf, type CurrentSession, currentSession } from '../../slot/session.js';
import { answerTo } from '../chat/answer.js';
import { holdsAnswer } from '../chat/auth-words.js';
import { type Chat, type ChatAnswer, chatOf } from '../chat/chat.js';
import { choicesOf } from '../chat/choices.js';
import { withoutEmails } from '../chat/labels.js';
import type { Menu } from '../chat/menu.js';
import { type ChatDocument, type ChatFailure, ChatRequest } from '../chat/protocol.js';
import { troubleText } from '../chat/trouble.js';
import { parseWords, type Words } from '../chat/words.js';
import { type Cli, encodeDocument } from '../cli.js';
import { compose } from '../compose.js';
import type { HostOptions } from '../options.js';
import { asRouterError } from '../report.js';

export interface ChatOptions extends HostOptions {
  readonly stdin?: boolean;
  readonly session?: string;
}

/** Bytes of a request; the text in it is at most 8,000 characters. */
const LIMIT = 100_000;
/** Characters of an answer. */
const LONGEST = 3500;

/** `codex-router chat [text]`: what a person wrote in a chat, carried out by the other commands and answered in words for that chat. */
export async function runChat(cli: Cli, text: string | undefined, options: ChatOptions): Promise<void> {
  const isDocument = options.stdin === true || cli.json;
  const write = (document: ChatDocument | ChatFailure, shown: string) =>
    cli.terminal.write(`${isDocument ? encodeDocument(document) : shown}\n`);
  let request: ChatRequest | null = null;
  let chat: Chat | null = null;
  let words: Words | null = null;
  try {
    request = options.stdin ? await readRequest(cli, text) : await requestOf(cli, text, options);
    words = parseWords(request.text);
    chat = chatOf(cli, request, options);
    const document = documentOf(request, await answerTo(chat, words));
    write(document, document.text);
  } catch (error) {
    const known = asRouterError(error);
    const menu = chat === null || words === null ? null : await choicesOf(chat, words, known);
    const failure = failureOf(known, request, menu);
    cli.exitWith(EXIT_OF[known.code]);
    if (isDocument) write(failure, '');
    else for (const line of failure.text?.split('\n') ?? []) cli.terminal.say(line);
  }
}

/** @throws USAGE; the message repeats nothing of what came in */
async function readRequest(cli: Cli, text: string | undefined): Promise<ChatRequest> {
  if (text !== undefined) throw usage('with --stdin the text is in the request, not behind the command');
  if (cli.terminal.stdinIsTerminal) throw usage('--stdin wants a request on standard input');
  let value: unknown;
  try {
    value = JSON.parse(await cli.terminal.readStdin(LIMIT, null));
  } catch (error) {
    if (error instanceof RouterError) throw usage('the request on standard input is too long');
    throw usage('standard input is not one JSON document');
  }
  const found = ChatRequest.safeParse(value);
  if (!found.success)
    throw usage('the request on standard input is not as docs/schemas/chat-request.json has it');
  return found.data;
}

/** A request of whoever runs this command: they see all, and what they confirm is theirs. */
async function requestOf(
  cli: Cli,
  text: string | undefined,
  { session, ...options }: ChatOptions,
): Promise<ChatRequest> {
  if (text === undefined) throw usage('what was written in the chat is missing');
  if (holdsAnswer(text)) {
    throw new RouterError(
      'USAGE',
      'the address of a login must not stand on a command line, where every program of this computer can read it',
      {
        hint: 'send it with codex-router chat --stdin, after codex-router chat "/codex_auth cancel" and a new login',
      },
    );
  }
  const sender = `local:${process.geteuid?.() ?? 'user'}`;
  const { key, why } =
    session === undefined ? await sessionHere(cli, options) : await sessionNamed(cli, session, options);
  return {
    schemaVersion: 1,
    text,
    session: key,
    sessionWhy: key === null ? why : null,
    sender,
    chat: `${sender}:${key ?? ''}`,
    isDirect: true,
    showsEmails: true,
    asksBeforeMovingOthers: true,
  };
}

/** @throws SESSION_NOT_FOUND with the nearest ones: what was typed may be mistyped */
async function sessionNamed(cli: Cli, session: string, options: HostOptions): Promise<CurrentSession> {
  const host = await compose(cli, options).host();
  const { entries } = await host.pinsOf(agentOf(session) ?? host.defaultAgent).survey(session);
  return currentSession(entries, { kind: 'key', key: session }, {});
}

/** As the environment tells it; what it does not tell is not guessed. */
async function sessionHere(cli: Cli, options: HostOptions): Promise<CurrentSession> {
  try {
    return await chatSession(await compose(cli, options).host(), cli.env);
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return { key: null, why: error.message };
  }
}

function documentOf(request: ChatRequest, answer: ChatAnswer): ChatDocument {
  const shown = request.isDirect || request.showsEmails ? (text: string) => text : withoutEmails;
  const { textIfTaken = null, buttons = [] } = answer;
  return {
    schemaVersion: 1,
    ok: true,
    session: request.session,
    effective: null,
    pinsPending: false,
    dropsMessage: holdsSecret(request),
    taken: null,
    closes: [],
    ...answer,
    text: shown(clamped(answer.text)),
    textIfTaken: textIfTaken === null ? null : shown(clamped(textIfTaken)),
    // Whatever somebody has called a workspace.
    buttons: buttons.map((row) => row.map(({ text, data }) => ({ text: shown(text), data }))),
  };
}

/** Whole lines, as many as a message of any channel takes. */
function clamped(text: string): string {
  if (text.length <= LONGEST) return text;
  const end = text.lastIndexOf('\n', LONGEST - 2);
  return `${text.slice(0, end <= 0 ? LONGEST - 2 : end)}\n…`;
}

/** A failure never names candidates: they are whole e-mails and accounts, and a group may be listening. */
function failureOf(error: RouterError, request: ChatRequest | null, menu: Menu | null): ChatFailure {
  const shows = request === null || request.isDirect || request.showsEmails;
  const { code, message, hint = null } = error;
  const text = troubleText({ code, message, hint }, shows);
  const lines = clamped([text, ...(menu?.lines ?? [])].join('\n'));
  return {
    schemaVersion: 1,
    ok: false,
    error: { code, message: shows ? message : text, hint: shows ? hint : null },
    text: shows ? lines : withoutEmails(lines),
    buttons: menu?.buttons ?? [],
    dropsMessage: request !== null && holdsSecret(request),
  };
}

/** Whether it holds, or may hold, the address that ends a login: that is to be deleted whatever became of it. */
function holdsSecret({ text }: ChatRequest): boolean {
  return holdsAnswer(text);
}

function usage(message: string): RouterError {
  return new RouterError('USAGE', message, { hint: 'codex-router chat --help' });
}
