import { RouterError } from './errors.js';
import { type AccountId, type Identity, parseAccountId, parseUserId, type UserId } from './identity.js';
import type { Secret } from './secret.js';

/**
 * What a ChatGPT token says of itself. Nobody has checked the signature: claims tell which person a file is *about*
 * and are trusted no further (facts: Codex itself never verifies the id_token).
 */
export interface Claims {
  readonly accountId: AccountId | null;
  readonly userId: UserId | null;
  readonly email: string | null;
  readonly plan: string | null;
  /** ms epoch, from `exp`; null when absent. */
  readonly expiresAt: number | null;
  /** ms epoch, from `iat`; null when absent. */
  readonly issuedAt: number | null;
}

/**
 * Reads the claims of a JWT. Returns null when the token is not a JWT with a JSON object as payload (an opaque token).
 * A claim of the wrong type counts as absent.
 * @throws IDENTITY_UNREADABLE when an id is there and malformed
 */
export function readClaims(token: Secret): Claims | null {
  const payload = decodePayload(token.reveal());
  if (payload === null) return null;
  const auth = objectAt(payload, 'https://api.openai.com/auth');
  const profile = objectAt(payload, 'https://api.openai.com/profile');
  const account = textAt(auth, 'chatgpt_account_id');
  const user = textAt(auth, 'chatgpt_user_id') ?? textAt(auth, 'user_id');
  return {
    accountId: account === null ? null : parseAccountId(account),
    userId: user === null ? null : parseUserId(user),
    email: boundText(textAt(payload, 'email') ?? textAt(profile, 'email')),
    plan: boundText(textAt(auth, 'chatgpt_plan_type')),
    expiresAt: secondsAt(payload, 'exp'),
    issuedAt: secondsAt(payload, 'iat'),
  };
}

/** Characters of the longest e-mail address (RFC 5321: 64, @ and 255), and more than any plan or workspace is called. */
const LONGEST = 320;

/** What is longer is nobody's name, and counts as absent: it would be stored, and shown, whole. */
export function boundText(text: string | null | undefined): string | null {
  return text === undefined || text === null || text.length > LONGEST ? null : text;
}

/** Where else a file states whom it belongs to; each must agree with the access token where it is present. */
export interface IdentityHints {
  /** Codex's `tokens.account_id` or the OpenClaw profile's `accountId`. */
  readonly accountId?: string | null;
  readonly idToken?: Secret | null;
  readonly email?: string | null;
  readonly plan?: string | null;
}

/**
 * The identity of a login, from its access token.
 * @throws IDENTITY_UNREADABLE when the access token is not a JWT or lacks either id.
 * @throws IDENTITY_MISMATCH when a hint names another workspace or person; the message shows both.
 */
export function identityOf(accessToken: Secret, hints: IdentityHints = {}): Identity {
  const claims = readClaims(accessToken);
  if (claims === null) {
    throw new RouterError(
      'IDENTITY_UNREADABLE',
      'the access token is not a JWT, so it cannot be told whose it is',
      {
        hint: 'codex-router login makes a new one',
      },
    );
  }
  const accountId = parseAccountId(claims.accountId);
  const userId = parseUserId(claims.userId);
  const idClaims = hints.idToken ? readClaims(hints.idToken) : null;
  refuseOther('workspace', accountId, hints.accountId ?? null);
  refuseOther('workspace', accountId, idClaims?.accountId ?? null);
  refuseOther('person', userId, idClaims?.userId ?? null);
  return {
    accountId,
    userId,
    email: claims.email ?? idClaims?.email ?? boundText(hints.email),
    plan: claims.plan ?? idClaims?.plan ?? boundText(hints.plan),
    workspace: null,
  };
}

function refuseOther(what: 'workspace' | 'person', said: string, other: string | null): void {
  if (other === null || other === said) return;
  const shown = /^[\x21-\x7e]{1,80}$/.test(other) ? other : 'something unreadable';
  throw new RouterError(
    'IDENTITY_MISMATCH',
    `the login names two different ${what}s: ${said} in the access token, ${shown} beside it`,
    { hint: 'log in again; nothing was stored or changed' },
  );
}

type JsonObject = { readonly [key: string]: unknown };

function decodePayload(token: string): JsonObject | null {
  const parts = token.split('.');
  const payload = parts[1];
  if (parts.length !== 3 || payload === undefined || !/^[A-Za-z0-9_-]+={0,2}$/.test(payload)) return null;
  try {
    const value: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function objectAt(from: JsonObject, key: string): JsonObject | null {
  const value = from[key];
  return isObject(value) ? value : null;
}

function textAt(from: JsonObject | null, key: string): string | null {
  const value = from?.[key];
  return typeof value === 'string' && value !== '' ? value : null;
}

function secondsAt(from: JsonObject, key: string): number | null {
  const value = from[key];
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value * 1000 : null;
}
