import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Server as NetServer } from 'node:net';
import { RouterError, systemErrorCode } from '../errors.js';
import type { Secret } from '../secret.js';
import { redirectUriOn } from './authorize.js';
import { type AuthorizeAnswer, parseAnswer } from './authorize-answer.js';
import { showPage } from './loopback-page.js';

/** A listener on 127.0.0.1 that waits for one browser to come back (RFC 8252, section 7.3). */
export interface Loopback {
  readonly redirectUri: string;
  /**
   * An address of our own that leads a browser to `target` once, so that what is in `target` is in no argument list. Whoever
   * comes second is told that somebody was there before.
   */
  doorTo(target: string): string;
  /** The first answer that bears `state`. Any other one is refused and heard by `onStranger`; the wait goes on. */
  answer(state: Secret, onStranger: () => void): Promise<AuthorizeAnswer['outcome']>;
  /** Frees the port at once; a page that is being sent is sent whole. */
  close(): void;
}

/**
 * Listens on the first of `ports` that is free. Nobody else's login is asked to leave (Codex's `GET /cancel`), and nobody can
 * ask us: any page in the browser could.
 * @throws BUSY when none is free
 */
export async function openLoopback(ports: readonly number[]): Promise<Loopback> {
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 10_000, maxHeaderSize: 32 * 1024 });
  server.maxConnections = 50;
  const port = await listenOnOneOf(server, ports);
  let door: { readonly path: string; readonly target: string; used: boolean } | null = null;
  let waiting: { readonly state: Secret; hear(answer: AuthorizeAnswer | null): void } | null = null;

  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const host = request.headers.host ?? '';
    // A name that somebody let point here (DNS rebinding) is not ours.
    if (host !== `127.0.0.1:${port}` && host !== `localhost:${port}`) return showPage(response, 'foreign');
    if (request.method !== 'GET') return showPage(response, 'method');
    const address = `http://${host}${request.url}`;
    // A whole address in the request line is for proxies.
    if (!request.url?.startsWith('/') || !URL.canParse(address)) return showPage(response, 'unknown');
    const url = new URL(address);
    if (url.pathname === door?.path) {
      if (door.used) return showPage(response, 'opened');
      door.used = true;
      return showPage(response, 'door', door.target);
    }
    if (url.pathname !== '/auth/callback') return showPage(response, 'unknown');
    if (waiting === null) return showPage(response, 'over');
    const answer = parseAnswer(url.searchParams);
    if (answer === null || !answer.state.equals(waiting.state)) {
      showPage(response, 'stranger');
      return waiting.hear(null);
    }
    showPage(response, answer.outcome.kind);
    const { hear } = waiting;
    waiting = null;
    hear(answer);
  });

  return {
    redirectUri: redirectUriOn(port),
    doorTo(target) {
      door = { path: `/login/${randomBytes(16).toString('base64url')}`, target, used: false };
      return `http://127.0.0.1:${port}${door.path}`;
    },
    answer: (state, onStranger) =>
      new Promise((resolve) => {
        waiting = { state, hear: (answer) => (answer === null ? onStranger() : resolve(answer.outcome)) };
      }),
    close() {
      server.close();
      server.closeIdleConnections();
      // A browser opens connections in advance and says nothing on them.
      setTimeout(() => server.closeAllConnections(), 1000).unref();
    },
  };
}

async function listenOnOneOf(server: NetServer, ports: readonly number[]): Promise<number> {
  const reasons: string[] = [];
  for (const port of ports) {
    const trouble = await listen(server, port);
    const address = server.address();
    if (trouble === null) return typeof address === 'object' && address !== null ? address.port : port;
    reasons.push(`${port} ${trouble}`);
  }
  throw new RouterError(
    'BUSY',
    `no port of 127.0.0.1 is free for the browser to come back to: ${reasons.join(', ')}`,
    {
      hint: 'end the other login if it is yours, or use codex-router login start, which needs no port',
    },
  );
}

/** Null when it listens, else why not. */
function listen(server: NetServer, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const onError = (error: unknown) => {
      const code = systemErrorCode(error);
      resolve(code === 'EADDRINUSE' ? 'is taken' : `cannot be had (${code ?? 'unknown'})`);
    };
    server.once('error', onError);
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      server.off('error', onError);
      resolve(null);
    });
  });
}
