import { createServer, type ServerResponse } from 'node:http';
import { listen } from './backend.js';
import type { Owner } from './router.js';
import { type Person, payloadOf } from './tokens.js';

/**
 * How one question is answered. `hang`: never; `reset`: the connection breaks; `trickle`: a byte now and then, without an end; a text is
 * sent as it is.
 */
export type UsageReply =
  | 'hang'
  | 'reset'
  | 'trickle'
  | {
      readonly status?: number;
      readonly body: unknown;
      readonly afterMs?: number;
      readonly headers?: Readonly<Record<string, string>>;
    };

/** One question, by whom its token is and what its header says. */
export interface UsageQuestion {
  readonly method: string;
  readonly path: string;
  /** `<accountId>/<userId>` of the bearer. */
  readonly bearer: string;
  readonly accountHeader: string | undefined;
}

/** A loopback stand-in for ChatGPT's usage backend that answers each person as the test says. */
export interface UsageBackend {
  /** For CODEX_ROUTER_TEST_ISSUER. */
  readonly url: string;
  readonly questions: UsageQuestion[];
  /** The most questions that were open at the same time. */
  readonly mostOpen: () => number;
  /** From now on; else `usageOf(person)` of whose the bearer is. */
  answer(person: Person, reply: UsageReply): void;
}

/** Starts it on a free port; it stops when the test ends. */
export async function startUsageBackend(t: Owner): Promise<UsageBackend> {
  const questions: UsageQuestion[] = [];
  const replies = new Map<string, UsageReply>();
  let open = 0;
  let most = 0;
  const server = createServer((request, response) => {
    const { accountId, userId } = bearerOf(request.headers.authorization);
    const accountHeader = request.headers['chatgpt-account-id']?.toString();
    const bearer = `${accountId}/${userId}`;
    questions.push({ method: request.method ?? '', path: request.url ?? '', bearer, accountHeader });
    open += 1;
    most = Math.max(most, open);
    response.on('close', () => {
      open -= 1;
    });
    const reply = replies.get(bearer) ?? { body: usageOf({ accountId, userId }) };
    if (reply === 'reset') request.socket.destroy();
    else if (reply === 'trickle') trickle(response);
    else if (reply !== 'hang') setTimeout(() => send(response, reply), reply.afterMs ?? 0);
  });
  const port = await listen(server, t);
  return {
    url: `http://127.0.0.1:${port}`,
    questions,
    mostOpen: () => most,
    answer: ({ accountId, userId }, reply) => void replies.set(`${accountId}/${userId}`, reply),
  };
}

function trickle(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  const timer = setInterval(() => response.write(' '), 20);
  response.on('close', () => clearInterval(timer));
}

function send(response: ServerResponse, { status = 200, body, headers }: Exclude<UsageReply, string>): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

function bearerOf(header: string | undefined): { accountId: string; userId: string } {
  const auth = payloadOf(header?.replace(/^Bearer /, '') ?? '')['https://api.openai.com/auth'];
  const { chatgpt_account_id: accountId, chatgpt_user_id: userId } = auth as Record<string, string>;
  return { accountId: accountId ?? '', userId: userId ?? '' };
}

/** An answer as the backend gives it (facts: codex.md section 5.1), 38 % of 5 h and 12 % of a week used. */
export function usageOf(
  { accountId, userId }: Pick<Person, 'accountId' | 'userId'>,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    user_id: userId,
    account_id: accountId,
    email: 'someone@example.test',
    plan_type: 'team',
    rate_limit: {
      allowed: true,
      limit_reached: false,
      primary_window: windowOf(38, 18_000, 7800),
      secondary_window: windowOf(12, 604_800, 345_600),
    },
    code_review_rate_limit: null,
    additional_rate_limits: null,
    credits: { has_credits: false, unlimited: false, balance: '0' },
    spend_control: { reached: false, individual_limit: null },
    rate_limit_reached_type: null,
    ...more,
  };
}

/** A window that resets in `after` seconds. */
export function windowOf(used: unknown, seconds: unknown, after: number): Record<string, unknown> {
  const resetAt = Math.floor(Date.now() / 1000) + after;
  return { used_percent: used, limit_window_seconds: seconds, reset_after_seconds: after, reset_at: resetAt };
}
