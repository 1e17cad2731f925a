import type { Holding } from '../holding.js';
import type { Secret } from '../secret.js';

/** What a person is to type, and where (RFC 8628, section 3.2). */
export interface DeviceCode {
  /** Printable ASCII. */
  readonly userCode: string;
  /** Where it is typed in. */
  readonly url: string;
  /** ms epoch after which it is worth nothing. */
  readonly expiresAt: number;
  /** With the user code it fetches the login, so it is one. */
  readonly id: Secret;
  /** ms between two questions. */
  readonly interval: number;
}

/** What a flow got from the issuer, to be exchanged for tokens (RFC 6749, section 4.1.3; RFC 7636, section 4.5). */
export interface LoginCode {
  readonly code: Secret;
  readonly verifier: Secret;
  /** Exactly the one that the code was asked for with. */
  readonly redirectUri: string;
}

/**
 * What the backend says of a login's account. `known`: it accepted the login. `ended`: it says that the issuer has revoked it.
 * `unknown`: it could not be asked, or said nothing that can be used; `why` completes a sentence and holds no token.
 */
export type AccountAnswer =
  | {
      readonly kind: 'known';
      /** The workspace's name; null for a personal account, and where the answer does not have the account. */
      readonly workspace: string | null;
      readonly plan: string | null;
      readonly isDeactivated: boolean;
    }
  | { readonly kind: 'ended'; readonly why: string }
  | { readonly kind: 'unknown'; readonly why: string };

/** What the issuer says to one question about a device login. */
export type ApprovalAnswer =
  | { readonly kind: 'approved'; readonly code: LoginCode }
  /** Nobody has approved it yet. `interval`: ms to wait before the next question. */
  | { readonly kind: 'pending'; readonly interval: number }
  /** It is out of order for a while; `why` completes a sentence. */
  | { readonly kind: 'unanswered'; readonly why: string };

/** Whoever makes logins. `src/codex` implements it; `cli/compose` hands it in. */
export interface LoginIssuer {
  /**
   * Begins a device login.
   * @throws LOGIN_FAILED, also where the issuer offers none (then the hint names the other way)
   */
  deviceCode(signal: AbortSignal): Promise<DeviceCode>;

  /** As `deviceCode`, but null where the issuer offers no device login. @throws LOGIN_FAILED */
  deviceCodeOrNone(signal: AbortSignal): Promise<DeviceCode | null>;

  /**
   * Asks once. An approval is told once: what is not exchanged then is lost.
   * @throws LOGIN_DENIED, LOGIN_EXPIRED; LOGIN_FAILED for an answer that means nothing; the signal's reason
   */
  askApproval(
    device: Pick<DeviceCode, 'id' | 'userCode' | 'interval'>,
    signal: AbortSignal,
  ): Promise<ApprovalAnswer>;

  /**
   * Asks until a person has approved or refused, or the code has expired; what is only out of order for a while is asked again.
   * @throws LOGIN_DENIED, LOGIN_EXPIRED, LOGIN_FAILED; the signal's reason
   */
  approval(device: DeviceCode, signal: AbortSignal): Promise<LoginCode>;

  /**
   * Exchanges a code for a login. Sent once: a code is good once, so an answer that was lost means a new login.
   * @throws LOGIN_EXPIRED for a code that is not taken any more; LOGIN_FAILED for every other answer and for none; IDENTITY_UNREADABLE,
   *   IDENTITY_MISMATCH for tokens that do not tell whose they are
   */
  exchange(code: LoginCode): Promise<Holding>;

  /** Asks the backend about a login's account: a GET, nothing is spent. Never throws. */
  account(login: Holding, signal: AbortSignal): Promise<AccountAnswer>;
}
