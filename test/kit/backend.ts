import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';
import type { Owner } from './router.js';
import { payloadOf } from './tokens.js';

/** One model call, as the account it was made on. */
export interface ModelCall {
  readonly via: 'http' | 'ws';
  readonly path: string;
  /** The model that was asked for; null where that cannot be read (2026.9.6 compresses the calls of a turn). */
  readonly model: string | null;
  /** The `chatgpt-account-id` header; null when it was not sent. */
  readonly accountHeader: string | null;
  /** The bearer itself and what it says of its owner; null when there was none, or it was not a JWT. */
  readonly bearer: string | null;
  readonly email: string | null;
  readonly accountId: string | null;
  readonly userId: string | null;
}

/** What a call gets besides its message, or instead of it. */
export interface Verdict {
  readonly refusal: { readonly status: number; readonly body: unknown } | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** Codex's responses endpoint: answers every call with one short message and records who made it. */
export interface Responses {
  readonly calls: ModelCall[];
  /**
   * The calls of turns since the last `take`; all are then forgotten. What the host asks its utility model beside them is left out: 2026.9.6
   * makes a recap of a chat some time after its turn, on whoever ran that, and it may fall into the next chat's turn.
   */
  take(): readonly ModelCall[];
  /** Set to answer the next calls with an error instead; null goes back. */
  refusal: { readonly status: number; readonly body: unknown } | null;
  /** Given, asked at each call when its turn to be answered has come, after a `hold` too. */
  judge: ((call: ModelCall) => Verdict) | null;
  /**
   * What the agent is to run with its exec tool: the next calls are answered with one each, then again with a message. Only
   * where the agent's calls come by WebSocket; 2026.9.6 makes others beside them, for a title, by HTTP.
   */
  readonly commands: string[];
  /** From now on calls are recorded and not answered, until what is returned is called: a slow model. */
  hold(): () => void;
  handle(request: IncomingMessage, response: ServerResponse): void;
  /** Takes WebSocket connections of `server`; each message is a model call. */
  attach(server: Server): void;
}

export interface Backend extends Responses {
  /** For OpenClaw's model provider: `http://127.0.0.1:<port>/backend-api`. */
  readonly baseUrl: string;
  readonly port: number;
}

/** A responses backend alone on a port of its own, stopped when the test ends. */
export async function startBackend(t: Owner): Promise<Backend> {
  const responses = makeResponses();
  const server = createServer((request, response) => {
    if (
      request.method === 'POST' &&
      new URL(request.url ?? '/', 'http://x').pathname.endsWith('/responses')
    ) {
      responses.handle(request, response);
      return;
    }
    response.writeHead(404, { 'content-type': 'application/json' }).end('{"detail":"Not Found"}');
  });
  responses.attach(server);
  const port = await listen(server, t);
  return Object.assign(responses, { baseUrl: `http://127.0.0.1:${port}/backend-api`, port });
}

/** Listens on a free loopback port and closes, with every connection, when the test ends. */
export async function listen(server: Server, t: Owner): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  t.teardown(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return (server.address() as AddressInfo).port;
}

/** A free loopback port, for a program that must be told one. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** facts: openclaw-sqlite.md, side calls; the same in 2026.9.6. */
const UTILITY_MODEL = 'gpt-5.6-luna';

export function makeResponses(): Responses {
  let serial = 0;
  let answering: Promise<void> = Promise.resolve();
  const verdictOn = (call: ModelCall): Verdict => {
    if (responses.refusal) return { refusal: responses.refusal, headers: {} };
    return responses.judge?.(call) ?? { refusal: null, headers: {} };
  };
  const responses: Responses = {
    calls: [],
    commands: [],
    refusal: null,
    judge: null,
    take: () => responses.calls.splice(0).filter(({ model }) => model !== UTILITY_MODEL),
    hold: () => {
      let open: () => void = () => undefined;
      answering = new Promise<void>((resolve) => {
        open = resolve;
      });
      return open;
    },
    handle: (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', async () => {
        const call = callOf('http', request, Buffer.concat(chunks).toString());
        responses.calls.push(call);
        await answering;
        const { refusal, headers } = verdictOn(call);
        if (refusal) {
          response.writeHead(refusal.status, { 'content-type': 'application/json', ...headers });
          response.end(JSON.stringify(refusal.body));
          return;
        }
        response.writeHead(200, { 'content-type': 'text/event-stream', ...headers });
        for (const event of answer(call.email, ++serial)) {
          response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
        }
        response.end('data: [DONE]\n\n');
      });
    },
    attach: (server) => {
      const sockets = new WebSocketServer({ server });
      sockets.on('connection', (socket, request) => {
        socket.on('message', async (message) => {
          const call = callOf('ws', request, String(message));
          responses.calls.push(call);
          await answering;
          const { refusal, headers } = verdictOn(call);
          if (refusal) {
            socket.send(
              JSON.stringify({ type: 'error', status: refusal.status, ...asObject(refusal.body), headers }),
            );
            return;
          }
          const events = answer(call.email, ++serial, responses.commands.shift());
          for (const event of events) socket.send(JSON.stringify(event));
        });
      });
      // closeAllConnections does not reach upgraded sockets.
      server.on('close', () => sockets.close());
      const close = server.closeAllConnections.bind(server);
      server.closeAllConnections = () => {
        for (const socket of sockets.clients) socket.terminate();
        close();
      };
    },
  };
  return responses;
}

function asObject(body: unknown): object {
  return typeof body === 'object' && body !== null ? body : {};
}

function callOf(via: 'http' | 'ws', request: IncomingMessage, body: string): ModelCall {
  const bearer = request.headers.authorization?.replace(/^Bearer /, '') ?? null;
  const account = request.headers['chatgpt-account-id'];
  const claims = claimsOf(bearer);
  return {
    via,
    path: request.url ?? '',
    model: modelOf(body),
    accountHeader: typeof account === 'string' ? account : null,
    bearer,
    email: claims['https://api.openai.com/profile']?.email ?? null,
    accountId: claims['https://api.openai.com/auth']?.chatgpt_account_id ?? null,
    userId: claims['https://api.openai.com/auth']?.chatgpt_user_id ?? null,
  };
}

function modelOf(body: string): string | null {
  try {
    const { model } = JSON.parse(body);
    return typeof model === 'string' ? model : null;
  } catch {
    return null;
  }
}

function claimsOf(bearer: string | null): Record<string, Record<string, string> | undefined> {
  try {
    return payloadOf(bearer ?? '') as Record<string, Record<string, string>>;
  } catch {
    return {};
  }
}

interface ResponseEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** The events of one short answer, or of one call of the exec tool, as OpenClaw's and Codex's clients wait for them. */
function answer(email: string | null, serial: number, command?: string): readonly ResponseEvent[] {
  if (command !== undefined) return execCall(serial, command);
  const text = `pong ${serial} for ${email}`;
  const at = { item_id: `msg_${serial}`, output_index: 0, content_index: 0 };
  const item = {
    type: 'message',
    id: `msg_${serial}`,
    role: 'assistant',
    status: 'completed',
    content: [{ type: 'output_text', text, annotations: [] }],
  };
  const response = { id: `resp_${serial}`, status: 'in_progress' };
  return [
    { type: 'response.created', response },
    {
      type: 'response.output_item.added',
      output_index: 0,
      item: { ...item, status: 'in_progress', content: [] },
    },
    {
      type: 'response.content_part.added',
      ...at,
      part: { type: 'output_text', text: '', annotations: [] },
    },
    { type: 'response.output_text.delta', ...at, delta: text },
    { type: 'response.output_text.done', ...at, text },
    { type: 'response.output_item.done', output_index: 0, item },
    {
      type: 'response.completed',
      response: { ...response, status: 'completed', output: [item], usage: USAGE },
    },
  ];
}

const USAGE = {
  input_tokens: 5,
  input_tokens_details: { cached_tokens: 0 },
  output_tokens: 1,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: 6,
};

function execCall(serial: number, command: string): readonly ResponseEvent[] {
  const response = { id: `resp_${serial}`, status: 'in_progress' };
  const text = JSON.stringify({ command });
  const at = { item_id: `fc_${serial}`, output_index: 0 };
  const item = {
    ...{ type: 'function_call', id: at.item_id, call_id: `call_${serial}`, name: 'exec' },
    ...{ arguments: text, status: 'completed' },
  };
  return [
    { type: 'response.created', response },
    {
      type: 'response.output_item.added',
      output_index: 0,
      item: { ...item, arguments: '', status: 'in_progress' },
    },
    { type: 'response.function_call_arguments.delta', ...at, delta: text },
    { type: 'response.function_call_arguments.done', ...at, arguments: text },
    { type: 'response.output_item.done', output_index: 0, item },
    {
      type: 'response.completed',
      response: { ...response, status: 'completed', output: [item], usage: USAGE },
    },
  ];
}
