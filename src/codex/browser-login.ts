import { RouterError } from '../errors.js';
import { authorizeUrl, CALLBACK_PORTS, newAttempt, redirectUriOn } from './authorize.js';
import { parseReturned } from './authorize-answer.js';
import type { LoginCode } from './login-exchange.js';
import { openLoopback } from './loopback.js';

export interface BrowserLoginDeps {
  /** An origin, as `loginIssuer` gives it. */
  readonly issuer: string;
  /** Ends the wait: AbortError. */
  readonly signal: AbortSignal;
  /** Default `CALLBACK_PORTS`. */
  readonly ports?: readonly number[];
  /** ms until the person must have come back; default `PATIENCE`. */
  readonly patience?: number;
}

/** As long as the issuer lets a device code live, ms. */
export const PATIENCE = 15 * 60 * 1000;

/** `BrowserTalk` of the router's port, which documents every member. */
interface BrowserTalk {
  show(url: string, door: string): void;
  stranger(): void;
}

/** OpenAI as the maker of logins in a browser: the router's port BrowserIssuer. */
export function browserIssuer(issuer: string) {
  return {
    begin: (workspace: string | null) => beginLogin(issuer, workspace),
    parseAnswer: parseReturned,
    code: (workspace: string | null, talk: BrowserTalk, signal: AbortSignal) =>
      browserLogin({ issuer, signal }, workspace, talk),
  };
}

/** `BrowserIssuer.begin` of the router's port: for a browser that may be on any machine. */
export function beginLogin(issuer: string, workspace: string | null) {
  const attempt = newAttempt(redirectUriOn(CALLBACK_PORTS[0]));
  const { state, verifier, redirectUri } = attempt;
  return { secrets: { state, verifier }, redirectUri, url: authorizeUrl(issuer, attempt, workspace) };
}

/**
 * Lets a person log in in a browser on this machine. The port is free again when this ends, however it ends.
 * @param workspace the accountId to log in to; null leaves the choice to the person.
 * @throws BUSY when both ports are taken; LOGIN_DENIED, LOGIN_FAILED as the issuer said; LOGIN_EXPIRED; AbortError
 */
export async function browserLogin(
  { issuer, signal, ports = CALLBACK_PORTS, patience = PATIENCE }: BrowserLoginDeps,
  workspace: string | null,
  talk: BrowserTalk,
): Promise<LoginCode> {
  const loopback = await openLoopback(ports);
  try {
    const attempt = newAttempt(loopback.redirectUri);
    const answer = loopback.answer(attempt.state, talk.stranger);
    const url = authorizeUrl(issuer, attempt, workspace);
    talk.show(url, loopback.doorTo(url));
    const outcome = await within(answer, patience, signal);
    if (outcome.kind === 'refused') throw outcome.error;
    return { code: outcome.code, verifier: attempt.verifier, redirectUri: attempt.redirectUri };
  } finally {
    loopback.close();
  }
}

/** @throws LOGIN_EXPIRED after `ms`; the signal's reason */
async function within<T>(work: Promise<T>, ms: number, signal: AbortSignal): Promise<T> {
  const waiting = new AbortController();
  const timer = setTimeout(() => waiting.abort(late(ms)), ms);
  const ending = AbortSignal.any([signal, waiting.signal]);
  try {
    ending.throwIfAborted();
    return await Promise.race([
      work,
      new Promise<never>((_, reject) => ending.addEventListener('abort', () => reject(ending.reason))),
    ]);
  } finally {
    clearTimeout(timer);
  }
}

function late(ms: number): RouterError {
  return new RouterError('LOGIN_EXPIRED', `nobody came back from the browser within ${ms / 60_000} minutes`, {
    hint: 'codex-router login --browser, or codex-router login start for a browser on another machine',
  });
}
