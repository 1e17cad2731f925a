import type { RouterError } from '../errors.js';
import type { PendingLogin, PendingSecrets } from '../repo/pending-logins.js';
import type { Secret } from '../secret.js';
import type { LoginCode } from './login-issuer.js';

/** What the issuer sent a browser back with; the state is not compared yet. */
export interface BrowserAnswer {
  readonly state: Secret;
  readonly outcome:
    | { readonly kind: 'code'; readonly code: Secret }
    /** LOGIN_DENIED or LOGIN_FAILED: the issuer's no, in our words. */
    | { readonly kind: 'refused'; readonly error: RouterError };
}

/** A login in a browser that may be on another machine. */
export interface BegunLogin {
  readonly secrets: PendingSecrets;
  readonly redirectUri: PendingLogin['redirectUri'];
  /** The address that a person opens; it holds the state, and is for showing. */
  readonly url: string;
}

/** What a person is told while we wait for their browser. */
export interface BrowserTalk {
  /**
   * The listener is up.
   * @param url the address that a person opens
   * @param door an address without any secret that leads a browser of this machine there, once
   */
  show(url: string, door: string): void;
  /** Somebody sent an answer that is none to this login; the wait goes on. */
  stranger(): void;
}

/** The login flow of a browser. `src/codex` implements it; `cli/compose` hands it in. */
export interface BrowserIssuer {
  /** @param workspace the accountId to log in to; null leaves the choice to the person. Nothing is sent. */
  begin(workspace: string | null): BegunLogin;

  /**
   * What a person brings back: the address that their browser ended on, or `code#state`.
   * @throws USAGE for anything else, also for a code without its state; the text is in no message.
   */
  parseAnswer(text: string): BrowserAnswer;

  /**
   * Waits on a port of this machine for a browser of this machine. The port is free again when it ends, however it ends.
   * @throws BUSY when both ports are taken; LOGIN_DENIED, LOGIN_FAILED as the issuer said; LOGIN_EXPIRED after 15 minutes; the
   *   signal's reason
   */
  code(workspace: string | null, talk: BrowserTalk, signal: AbortSignal): Promise<LoginCode>;
}
