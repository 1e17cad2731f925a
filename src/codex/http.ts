import type { ClientRequest } from 'node:http';
import { Agent } from 'node:https';
import { RouterError } from '../errors.js';
import type { JsonObject } from '../json.js';
import type { Env } from '../os/folders.js';
import { failureOf } from './http-failure.js';
import { isTestIssuer } from './issuer.js';
import { tunnel, wayTo } from './proxy.js';

/** The only places codex-router ever talks to. */
const ORIGINS: readonly string[] = ['https://auth.openai.com', 'https://chatgpt.com'];

const INTERRUPTED = 'it was interrupted';

export interface HttpLimits {
  /** ms until the connection stands: look-up, proxy, TLS. */
  readonly connect: number;
  /** ms from then until the head of the answer is read. */
  readonly head: number;
  /** ms for everything. */
  readonly whole: number;
  /** Bytes of an answer's body, after decompression. */
  readonly body: number;
}

export const LIMITS: HttpLimits = { connect: 15_000, head: 30_000, whole: 60_000, body: 1024 * 1024 };

export interface HttpDeps {
  /** HTTPS_PROXY and NO_PROXY are read from it (proxy.ts). NODE_EXTRA_CA_CERTS is Node's own, read when it starts. */
  readonly env: Env;
  /** See `parseIssuer`: the one plain-http origin that may be asked, on loopback; null outside tests. Never proxied. */
  readonly testIssuer: string | null;
  /** Default `LIMITS`. */
  readonly limits?: Partial<HttpLimits>;
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  /** Lower-case names. */
  readonly headers?: { readonly [name: string]: string };
  /** The body of a POST, one of the two. */
  readonly json?: JsonObject;
  readonly form?: { readonly [name: string]: string };
  readonly signal?: AbortSignal | undefined;
}

/**
 * What became of one request; `why` completes a sentence ("the refresh failed: ...") and holds no token, header, body or password.
 * `unsent`: not a byte of it left this machine towards the server.
 * `unanswered`: it may have arrived, and no whole answer came back.
 * `redirected`: answered with 3xx, which is not followed.
 * `answered`: whole, whatever the status.
 */
export type HttpOutcome =
  | { readonly kind: 'unsent'; readonly why: string }
  | { readonly kind: 'unanswered'; readonly why: string }
  | { readonly kind: 'redirected'; readonly status: number; readonly why: string }
  | {
      readonly kind: 'answered';
      readonly status: number;
      readonly body: string;
      /** The headers of these names, verbatim; absent without them. */
      readonly retryAfter?: string;
      readonly date?: string;
    };

/** What is read of the headers of an answer. */
interface Told {
  readonly date?: string;
  readonly 'retry-after'?: string;
}

/**
 * One request over one connection of its own, sent once: no retry, no redirect, no cookie, no keep-alive, no cache. TLS is
 * always verified, whatever NODE_TLS_REJECT_UNAUTHORIZED says.
 * @throws ISSUER_FOREIGN when the url is outside the list; nothing was looked up or sent.
 */
export async function send(deps: HttpDeps, request: HttpRequest): Promise<HttpOutcome> {
  const url = admit(request.url, deps.testIssuer);
  const limits = { ...LIMITS, ...deps.limits };
  const way = url.protocol === 'https:' ? wayTo(url.hostname, deps.env) : ({ kind: 'direct' } as const);
  if (way.kind === 'unusable') return { kind: 'unsent', why: way.why };
  const proxy = way.kind === 'proxy' ? way.proxy : null;
  const { host } = url;
  const first = proxy === null ? host : `the proxy ${proxy.host}`;
  const via = proxy === null ? host : `${host} through ${first}`;
  const { got } = await import('got');
  if (request.signal?.aborted) return { kind: 'unsent', why: INTERRUPTED };

  const ending = new AbortController();
  /** Why we ended it ourselves; the first reason is the true one. */
  let ended: string | null = null;
  const end = (why: string) => {
    ended ??= why;
    ending.abort();
  };
  const onAbort = () => end(INTERRUPTED);
  request.signal?.addEventListener('abort', onAbort);
  const late = (ms: number, why: string) => setTimeout(() => end(why), ms);
  const timers = [
    late(limits.whole, `${host} took longer than ${limits.whole / 1000} s`),
    late(limits.connect, `no connection to ${via} within ${limits.connect / 1000} s`),
  ];

  let sent = false;
  try {
    const stream = got.stream(url, {
      method: request.method,
      headers: {
        'user-agent': 'codex-router',
        accept: 'application/json',
        'accept-encoding': 'identity',
        ...request.headers,
      },
      ...(request.json !== undefined && { json: request.json }),
      ...(request.form !== undefined && { form: request.form }),
      agent: await agentFor(url, proxy, ending.signal),
      https: { rejectUnauthorized: true },
      signal: ending.signal,
      followRedirect: false,
      throwHttpErrors: false,
      retry: { limit: 0 },
    });
    stream.once('request', (outgoing: ClientRequest) =>
      outgoing.once('socket', (socket) =>
        // Not before: until the certificate is verified, Node holds back what is to be written.
        socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
          sent = true;
          clearTimeout(timers[1]);
          timers.push(late(limits.head, `${host} did not answer within ${limits.head / 1000} s`));
        }),
      ),
    );
    let status = 0;
    let headers: Told = {};
    stream.once('response', (response: { statusCode: number; headers?: Told }) => {
      status = response.statusCode;
      headers = response.headers ?? {};
      clearTimeout(timers[2]);
    });
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of stream) {
      size += chunk.length;
      if (size > limits.body) {
        return { kind: 'unanswered', why: `${host} answered with more than ${limits.body} bytes` };
      }
      chunks.push(chunk);
    }
    // An end of ours that comes only now changes nothing: the answer is here.
    if (status >= 300 && status < 400) {
      return { kind: 'redirected', status, why: `${host} answered with a redirect (${status})` };
    }
    const body = Buffer.concat(chunks).toString('utf8');
    const { date, 'retry-after': retryAfter } = headers;
    return {
      kind: 'answered',
      status,
      body,
      ...(retryAfter !== undefined && { retryAfter }),
      ...(date !== undefined && { date }),
    };
  } catch (error) {
    return {
      kind: sent ? 'unanswered' : 'unsent',
      why: ended ?? failureOf(error, sent ? host : first, host),
    };
  } finally {
    for (const timer of timers) clearTimeout(timer);
    request.signal?.removeEventListener('abort', onAbort);
  }
}

function admit(text: string, testIssuer: string | null): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url !== null && url.username === '' && url.password === '') {
    if (ORIGINS.includes(url.origin) || isTestIssuer(url.origin, testIssuer)) return url;
  }
  throw new RouterError('ISSUER_FOREIGN', `codex-router talks to ${ORIGINS.join(' and ')} only`, {
    hint: 'nothing was sent',
  });
}

/** An agent for one request: Node's own keeps connections, and with them the process, alive. */
async function agentFor(url: URL, proxy: URL | null, signal: AbortSignal) {
  if (url.protocol === 'http:') return { http: new (await import('node:http')).Agent() };
  if (proxy === null) return { https: new Agent() };
  return { https: await tunnel(proxy, signal) };
}
