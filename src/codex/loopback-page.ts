import type { ServerResponse } from 'node:http';

interface Page {
  readonly status: number;
  readonly text: string;
}

/** What each visitor of the listener reads. Nothing of a request is in any of them. */
const PAGES = {
  code: {
    status: 200,
    text: 'codex-router has got the answer. Close this page and go back to the terminal.',
  },
  refused: {
    status: 200,
    text: 'The login did not come about. Close this page; the terminal says what to do next.',
  },
  stranger: {
    status: 400,
    text: 'This is not the answer to the login that codex-router is waiting for (another state). It still waits: use the address in the terminal.',
  },
  over: {
    status: 400,
    text: 'codex-router is not waiting for an answer any more. See the terminal.',
  },
  door: { status: 303, text: 'Going on to the login ...' },
  opened: {
    status: 410,
    text: 'This link was opened before. If that was not you, stop the login with Ctrl-C; else open the address in the terminal.',
  },
  foreign: { status: 403, text: 'This listener answers to 127.0.0.1 only.' },
  method: { status: 405, text: 'Only GET is answered here.' },
  unknown: { status: 404, text: 'There is nothing here.' },
} as const satisfies { readonly [name: string]: Page };

/** Answers and ends the connection. No referrer is sent on, nothing is cached, nothing on the page is loaded or run. */
export function showPage(response: ServerResponse, name: keyof typeof PAGES, location?: string): void {
  const { status, text } = PAGES[name];
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'x-content-type-options': 'nosniff',
    'cross-origin-resource-policy': 'same-origin',
    connection: 'close',
    ...(status === 405 && { allow: 'GET' }),
    ...(location !== undefined && { location }),
  });
  response.end(`${text}\n`);
}
