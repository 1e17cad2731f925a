import { RouterError } from '../errors.js';

/** Who issues ChatGPT logins. */
export const OPENAI_ISSUER = 'https://auth.openai.com';

/**
 * The issuer a login names, as an origin without a trailing slash. A refresh token goes wherever this says, so an issuer
 * other than OpenAI's own is hostile input.
 * @param testIssuer the one loopback origin a test may name besides (CODEX_ROUTER_TEST_ISSUER); null outside tests. An
 *   origin that is not loopback is never allowed, whatever this says.
 * @throws ISSUER_FOREIGN
 */
export function parseIssuer(text: string, where: string, testIssuer: string | null): string {
  const origin = originOf(text);
  if (origin === OPENAI_ISSUER) return origin;
  if (origin !== null && isTestIssuer(origin, testIssuer)) return origin;
  throw new RouterError('ISSUER_FOREIGN', `${where} names an issuer that is not ${OPENAI_ISSUER}`, {
    hint: 'its refresh token would be sent there: codex-router login makes one of its own',
  });
}

/** Whether `origin` is the one a test may name (see `parseIssuer`). */
export function isTestIssuer(origin: string, testIssuer: string | null): boolean {
  return testIssuer !== null && origin === originOf(testIssuer) && isLoopback(origin);
}

/** Null unless `text` is a bare origin: no credentials, path, query or fragment, which would all change where it leads. */
function originOf(text: string): string | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  return url !== null && url.href === `${url.origin}/` ? url.origin : null;
}

function isLoopback(origin: string): boolean {
  return ['127.0.0.1', '[::1]', 'localhost'].includes(new URL(origin).hostname);
}
