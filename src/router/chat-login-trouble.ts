import { RouterError } from '../errors.js';
import type { ChatLogin, ChatLoginEnd, StoredChatLogin } from '../repo/chat-logins.js';

/** ms for which a login that was begun can be finished, and for which one that was made waits for its sender's word. */
export const CHAT_LOGIN_LIFETIME = 15 * 60 * 1000;

/** Whether its time is up. A clock that was set back must not make it live longer. */
export function isOver(stored: StoredChatLogin, now: number): boolean {
  return now < sinceOf(stored) || now >= untilOf(stored);
}

/** ms epoch until which it is good, or remembered. */
export function untilOf(stored: StoredChatLogin): number {
  if (stored.kind === 'begun') return stored.login.expiresAt;
  return sinceOf(stored) + CHAT_LOGIN_LIFETIME;
}

function sinceOf(stored: StoredChatLogin): number {
  if (stored.kind === 'held') return stored.heldAt;
  if (stored.kind === 'ending') return stored.endedAt;
  return stored.kind === 'used' ? stored.usedAt : stored.login.startedAt;
}

/** A next step. */
export const AGAIN = '/codex_auth begins a new one';

export function notFound(): RouterError {
  return new RouterError('LOGIN_NOT_FOUND', 'no login of yours is waiting in this chat', { hint: AGAIN });
}

export function used(how: ChatLoginEnd): RouterError {
  return new RouterError(how === 'expired' ? 'LOGIN_EXPIRED' : 'LOGIN_USED', HOW[how], { hint: AGAIN });
}

const HOW: { readonly [how in ChatLoginEnd]: string } = {
  sent: 'the answer of your last login here was sent to the issuer before, and it is good for once',
  refused: 'your last login here was refused and has ended',
  kept: 'your last login here was kept before',
  discarded: 'your last login here was discarded before',
  expired: 'the login that waited for your word has expired, 15 minutes after it was made',
};

/** @param ended what became of a login that had been made. */
export function expired(stored: StoredChatLogin, now: number, ended: string | null): RouterError {
  const what =
    stored.kind === 'held'
      ? 'the login that waited for your word has expired, 15 minutes after it was made'
      : 'the login was begun more than 15 minutes ago and has expired';
  const message =
    now < sinceOf(stored)
      ? 'the clock of this machine was set back since the login was begun, so it counts as expired'
      : what;
  return new RouterError('LOGIN_EXPIRED', message, {
    hint: `nothing was stored${ended === null ? '' : `, ${ended}`}; ${AGAIN}`,
  });
}

export function unfinished({ flow }: ChatLogin): RouterError {
  const how =
    flow === 'device'
      ? '/codex_auth finish, once you have approved it in the browser'
      : '/codex_auth finish with the address that the browser ended on';
  return new RouterError('LOGIN_PENDING', 'that login is not finished yet, so there is nothing to keep', {
    hint: how,
  });
}

export function unseen(): RouterError {
  const message = 'you have not been shown whose login that is yet';
  return new RouterError('LOGIN_PENDING', message, { hint: '/codex_auth finish shows it' });
}

export function another(): RouterError {
  const message = 'that button belongs to an earlier login than the one that waits here';
  return new RouterError('LOGIN_NOT_FOUND', message, {
    hint: '/codex_auth finish shows the one that waits',
  });
}

export function needsNoAnswer(): RouterError {
  const message = 'this login needs nothing pasted: it is approved in the browser, with its code';
  return new RouterError('USAGE', message, { hint: '/codex_auth finish, once you have approved it' });
}

export function needsAnswer(): RouterError {
  const message = 'this login is finished with the address that the browser ended on';
  return new RouterError('USAGE', message, {
    hint: '/codex_auth finish http://127.0.0.1:.../auth/callback?code=...&state=...',
  });
}

export function unanswered(why: string): RouterError {
  return new RouterError('LOGIN_FAILED', `the issuer could not be asked: ${why}`, {
    hint: '/codex_auth finish asks it again',
  });
}

export function mismatch(): RouterError {
  const message = 'that is the answer to another login than the one that was begun here by you';
  return new RouterError('STATE_MISMATCH', message, {
    hint: `give back the address that your last link led to; ${AGAIN}`,
  });
}

/** The same refusal with another next step: what speaks of the issuer knows only commands of a terminal. */
export function withHint(error: RouterError, hint: string): RouterError {
  return new RouterError(error.code, error.message, { hint, cause: error });
}

/** After a login that has ended. @param end what became of it, if it had been made. */
export function inChat(error: unknown, end: string | null): unknown {
  if (!(error instanceof RouterError)) return error;
  const { hint } = error;
  const step = hint === undefined || hint.includes('codex-router') ? 'nothing was stored' : hint;
  return withHint(error, `${end === null ? step : `nothing was stored, ${end}`}; ${AGAIN}`);
}
