import { isObject, type JsonObject } from '../json.js';

/**
 * The error code in an answer of the issuer or the backend, from `error.code`, `error` or `code`, wherever OpenAI puts it. Null unless it
 * is one of `known`: any other text of the server may be anything, the token it was sent included.
 */
export function codeIn(body: JsonObject | null, known: ReadonlySet<string>): string | null {
  if (body === null) return null;
  const { error, code } = body;
  const found = [isObject(error) ? error.code : error, code].find((one) => typeof one === 'string');
  return typeof found === 'string' && known.has(found) ? found : null;
}

/** What the issuer says no to a login with: RFC 6749, section 5.2; RFC 8628, section 3.5; OpenAI's own. */
export const LOGIN_CODES: ReadonlySet<string> = new Set([
  'access_denied',
  'authorization_pending',
  'deviceauth_authorization_unknown',
  'expired_token',
  'invalid_client',
  'invalid_grant',
  'invalid_request',
  'invalid_scope',
  'missing_codex_entitlement',
  'rate_limit_exceeded',
  'server_error',
  'slow_down',
  'temporarily_unavailable',
  'unauthorized_client',
  'unsupported_grant_type',
]);
