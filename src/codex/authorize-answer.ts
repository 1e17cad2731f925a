import { RouterError } from '../errors.js';
import { Secret } from '../secret.js';

/** What the issuer sent the browser back with (RFC 6749, section 4.1.2); the state is there and not compared yet. */
export interface AuthorizeAnswer {
  readonly state: Secret;
  readonly outcome:
    | { readonly kind: 'code'; readonly code: Secret }
    | { readonly kind: 'refused'; readonly error: RouterError };
}

/**
 * What a person gives back: the address their browser ended on, or `code#state`.
 * @throws USAGE for anything else, also for a code without its state. The text itself is in no message.
 */
export function parseReturned(text: string): AuthorizeAnswer {
  // Chats put an address between < and >, people between quotes.
  const given = text.trim().replace(/^[<"'`](.*)[>"'`]$/s, '$1');
  if (given === '') throw wrong('nothing was given back');
  const [, code = '', state = ''] = /^([^\s#?&=/]+)#([^\s#?&=/]+)$/.exec(given) ?? [];
  if (code !== '') return answer(new Secret(state), { kind: 'code', code: new Secret(code) });
  if (/^[A-Za-z0-9._~-]{8,}$/.test(given)) {
    throw wrong('that is a code without its state, and without it nobody can tell whose login it is');
  }
  // Browsers show an address without its scheme.
  const address = /^(127\.0\.0\.1|localhost)[:/]/.test(given) ? `http://${given}` : given;
  const url = /\s/.test(address) || !URL.canParse(address) ? null : new URL(address);
  if (url?.pathname === '/oauth/authorize') {
    throw wrong('that is the address to open; wanted is the one that the browser ends on after it');
  }
  const isCallback = url?.pathname === '/auth/callback' && ['127.0.0.1', 'localhost'].includes(url.hostname);
  if (url === null || !isCallback) throw wrong('that is not the address that the login ended on');
  const found = parseAnswer(url.searchParams);
  if (found === null) throw wrong('that address carries no answer of a login, or not the whole of it');
  return found;
}

/** The parameters of a callback; null unless there is one state, and one code or one error (RFC 6749, section 3.1). */
export function parseAnswer(query: URLSearchParams): AuthorizeAnswer | null {
  const one = (name: string): string | null => {
    const all = query.getAll(name);
    return all.length === 1 && all[0] ? all[0] : null;
  };
  const [state, code, error] = [one('state'), one('code'), one('error')];
  if (state === null) return null;
  const isCode = code !== null && !query.has('error');
  const isError = error !== null && !query.has('code');
  if (isCode) return answer(new Secret(state), { kind: 'code', code: new Secret(code) });
  if (!isError) return null;
  return answer(new Secret(state), {
    kind: 'refused',
    error: refusal(error, one('error_description') ?? ''),
  });
}

function answer(state: Secret, outcome: AuthorizeAnswer['outcome']): AuthorizeAnswer {
  return { state, outcome };
}

/** The codes of RFC 6749, section 4.1.2.1. Any other text came through a browser and is not shown. */
const KNOWN: ReadonlySet<string> = new Set([
  'invalid_request',
  'unauthorized_client',
  'unsupported_response_type',
  'invalid_scope',
  'server_error',
  'temporarily_unavailable',
]);

function refusal(error: string, description: string): RouterError {
  if (error === 'access_denied' && description.includes('missing_codex_entitlement')) {
    return new RouterError('LOGIN_DENIED', 'Codex is not enabled for that workspace, so nothing was stored', {
      hint: 'ask an administrator of the workspace to enable Codex, or log in with another workspace',
    });
  }
  if (error === 'access_denied') {
    return new RouterError('LOGIN_DENIED', 'the login was declined in the browser, so nothing was stored', {
      hint: 'log in again and agree',
    });
  }
  const said = KNOWN.has(error) ? `: ${error}` : '';
  return new RouterError('LOGIN_FAILED', `the issuer ended the login with an error${said}`, {
    hint: 'nothing was stored; try again, or codex-router login for the way with a code',
  });
}

function wrong(message: string): RouterError {
  return new RouterError('USAGE', message, {
    hint: 'give back the whole address from the browser: http://127.0.0.1:.../auth/callback?code=...&state=...',
  });
}
