import { type FailureReason, GatewayFailure } from './gateway-failure.js';
import { type Answer, answerOf, type Hello, parseFrame, parseHello, type Refusal } from './gateway-frame.js';
import type { GatewayCredential } from './gateway-secret.js';
import type { Connect, Wire } from './gateway-wire.js';

/** An authenticated connection. */
export interface Link {
  readonly hello: Hello;
  /** @throws GatewayFailure `timeout`, `closed`, `unknown` */
  call(method: string, params: object): Promise<Answer>;
  close(): void;
}

/**
 * The `connect` request of a local back-end program: with the gateway's own token or password it needs no paired device
 * (4.5 and later, 3.13, 3.24). Protocol 3 is that of 3.28 to 5.7; from 5.12 on a gateway takes only 4.
 */
function connectParams(credential: GatewayCredential): object {
  const { token, password } = credential;
  return {
    minProtocol: 3,
    maxProtocol: 4,
    client: { id: 'gateway-client', version: '1', platform: process.platform, mode: 'backend' },
    role: 'operator',
    scopes: ['operator.admin'],
    caps: [],
    auth: {
      ...(token === null ? {} : { token: token.reveal() }),
      ...(password === null ? {} : { password: password.reveal() }),
    },
  };
}

/**
 * Connects and authenticates, trying each credential in turn; waits while the gateway says it is starting. A credential
 * is sent only after the other side has issued OpenClaw's `connect.challenge`.
 * @throws GatewayFailure `unknown`, `timeout`, `closed`, `starting`, `protocol`, `denied`, `no-secret`
 */
export async function openLink(
  url: string,
  tries: readonly GatewayCredential[],
  connect: Connect,
  signal: AbortSignal,
): Promise<Link> {
  let refused = new GatewayFailure('denied');
  let starting = false;
  for (let next = 0; next < tries.length; ) {
    const credential = tries[next];
    if (credential === undefined) break;
    const result = await introduce(url, credential, connect, signal).catch((error: unknown) => {
      throw starting && signal.aborted ? new GatewayFailure('starting') : error;
    });
    if (result.ok) return result.link;
    const { retryAfterMs } = result.refusal;
    starting = retryAfterMs !== null;
    if (retryAfterMs !== null) {
      await pause(retryAfterMs, signal);
      continue;
    }
    refused = new GatewayFailure(reasonOf(result.refusal));
    if (refused.reason !== 'denied') throw refused;
    next += 1;
  }
  throw refused;
}

type Introduction =
  | { readonly ok: true; readonly link: Link }
  | { readonly ok: false; readonly refusal: Refusal };

async function introduce(
  url: string,
  credential: GatewayCredential,
  connect: Connect,
  signal: AbortSignal,
): Promise<Introduction> {
  const line = await openLine(url, connect, signal);
  try {
    await line.challenge;
    const answer = await line.call('connect', connectParams(credential));
    if (answer.ok) {
      return { ok: true, link: { hello: parseHello(answer.payload), call: line.call, close: line.close } };
    }
    line.close();
    return answer;
  } catch (error) {
    line.close();
    throw error;
  }
}

function reasonOf(refusal: Refusal): FailureReason {
  if (refusal.code === 'UNAVAILABLE') return 'starting';
  if (refusal.message.startsWith('protocol mismatch')) return 'protocol';
  // What 5.7 answers under auth mode `none`, whatever is shown to it.
  if (refusal.detailCode === 'DEVICE_IDENTITY_REQUIRED') return 'no-secret';
  return 'denied';
}

/** A connection on which nobody has said who he is. */
interface Line {
  readonly challenge: Promise<void>;
  readonly call: Link['call'];
  readonly close: () => void;
}

async function openLine(url: string, connect: Connect, signal: AbortSignal): Promise<Line> {
  const waiting = new Map<string, PromiseWithResolvers>();
  const challenge = withResolvers();
  let ended: GatewayFailure | null = null;
  const end = (failure: GatewayFailure) => {
    ended ??= failure;
    for (const one of [challenge, ...waiting.values()]) one.reject(ended);
    waiting.clear();
  };
  let greeted = false;
  const wire: Wire = await connect(
    url,
    {
      text(text) {
        const frame = parseFrame(text);
        if (frame === null) return greeted ? undefined : end(new GatewayFailure('unknown'));
        if (frame.type === 'event') {
          // Other events (health, presence, ticks) are not for us.
          if (frame.event !== 'connect.challenge') return;
          greeted = true;
          return challenge.resolve({ ok: true, payload: null });
        }
        waiting.get(frame.id)?.resolve(answerOf(frame));
        waiting.delete(frame.id);
      },
      ended: () => end(new GatewayFailure(signal.aborted ? 'timeout' : greeted ? 'closed' : 'unknown')),
    },
    signal,
  );
  let count = 0;
  return {
    challenge: challenge.promise.then(() => undefined),
    close: () => wire.close(),
    async call(method, params) {
      if (ended !== null) throw ended;
      count += 1;
      const reply = withResolvers();
      waiting.set(String(count), reply);
      wire.send(JSON.stringify({ type: 'req', id: String(count), method, params }));
      return await reply.promise;
    },
  };
}

interface PromiseWithResolvers {
  readonly promise: Promise<Answer>;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (failure: GatewayFailure) => void;
}

/** Promise.withResolvers, which Node 20 has not. */
function withResolvers(): PromiseWithResolvers {
  let resolve: PromiseWithResolvers['resolve'] = () => undefined;
  let reject: PromiseWithResolvers['reject'] = () => undefined;
  const promise = new Promise<Answer>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  // A failure that nobody waits for any more is not an unhandled one.
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const give = () => {
      clearTimeout(timer);
      reject(new GatewayFailure('starting'));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', give);
      resolve();
    }, ms);
    signal.addEventListener('abort', give, { once: true });
    if (signal.aborted) give();
  });
}
