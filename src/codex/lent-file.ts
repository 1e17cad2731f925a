import * as z from 'zod/mini';
import { identityOf, readClaims } from '../claims.js';
import { RouterError } from '../errors.js';
import type { Grant } from '../grant.js';
import type { Holding } from '../holding.js';
import { type Identity, sameIdentity } from '../identity.js';
import { Secret } from '../secret.js';
import { otherCredentials, parseAuthJson } from './auth-json.js';

/** What an auth.json holds, as far as lending has to know it. */
export type LoginFile =
  | { readonly kind: 'empty' }
  /** A login with its grant. */
  | { readonly kind: 'login'; readonly holding: Holding }
  /** An access token without a grant, in the form that `accessText` writes. */
  | { readonly kind: 'lent'; readonly identity: Identity; readonly accessToken: Secret }
  /** Anything else; writing over it would destroy it. `mayHold`: a login may be in it. */
  | { readonly kind: 'other'; readonly refusal: RouterError; readonly mayHold: boolean };

/**
 * The text of an auth.json that lets Codex use an access token and nothing more: with this `auth_mode` and no refresh token it neither
 * refreshes nor revokes, at a 401, a forced refresh, `codex logout` and `codex login` alike (0.169, measured).
 * @param now ms epoch
 */
export function accessText({ identity, grant }: Holding, now: number): string {
  const { accessToken, idToken, lastRefresh } = grant;
  return authJson('chatgptAuthTokens', lastRefresh ?? now, {
    ...jwts(accessToken, idToken),
    refresh_token: '',
    account_id: identity.accountId,
  });
}

/**
 * The text of an auth.json that hands the whole login to Codex. `login_owner_id` is left out, as in every file before 0.166; 0.169
 * does without it (measured).
 * @param now ms epoch
 */
export function grantText({ identity, grant }: Holding, now: number): string {
  const { accessToken, refreshToken, idToken, lastRefresh, provenance } = grant;
  return authJson('chatgpt', lastRefresh ?? now, {
    ...jwts(accessToken, idToken),
    refresh_token: refreshToken.reveal(),
    ...(provenance && {
      oauth_provenance: { issuer: provenance.issuer, client_id: provenance.clientId },
    }),
    account_id: identity.accountId,
  });
}

/** Codex refuses a file whose id_token is no JWT, and reads an access token in its place (0.169, measured). */
function jwts(accessToken: Grant['accessToken'], idToken: Grant['idToken']) {
  const id = idToken !== null && readClaims(idToken) !== null ? idToken : accessToken;
  return { id_token: id.reveal(), access_token: accessToken.reveal() };
}

/** `last_refresh` is always written: without it 0.169 does not send the bearer at all (measured). */
function authJson(mode: 'chatgpt' | 'chatgptAuthTokens', lastRefresh: number, tokens: object): string {
  const last_refresh = new Date(lastRefresh).toISOString();
  return JSON.stringify({ auth_mode: mode, OPENAI_API_KEY: null, tokens, last_refresh }, null, 2);
}

const Lent = z.object({
  auth_mode: z.literal('chatgptAuthTokens'),
  tokens: z.object({
    access_token: z.string(),
    refresh_token: z.literal(''),
    account_id: z.nullish(z.string()),
  }),
});

/**
 * What lies in an auth.json.
 * @param text null when there is none
 * @param where its name in sentences
 * @param testIssuer see `parseIssuer`
 */
export function parseLoginFile(text: string | null, where: string, testIssuer: string | null): LoginFile {
  if (text === null) return { kind: 'empty' };
  const others = otherCredentials(text);
  let found: LoginFile;
  try {
    found = parseLent(text) ?? { kind: 'login', holding: parseAuthJson(text, where, testIssuer) };
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    found = { kind: 'other', refusal: error, mayHold: error.code !== 'LOGIN_NOT_FOUND' };
  }
  if (others.length === 0) return found;
  const mayHold = found.kind === 'login' || (found.kind === 'other' && found.mayHold);
  return { kind: 'other', refusal: alsoHolds(where, others), mayHold };
}

/** Whether two readings are of one state: nothing, or the very login or access token. */
export function sameLoginFile(a: LoginFile, b: LoginFile): boolean {
  if (a.kind === 'login' && b.kind === 'login') {
    const same = a.holding.grant.refreshToken.equals(b.holding.grant.refreshToken);
    return same && sameIdentity(a.holding.identity, b.holding.identity);
  }
  if (a.kind === 'lent' && b.kind === 'lent') return a.accessToken.equals(b.accessToken);
  return a.kind === 'empty' && b.kind === 'empty';
}

/** Null when the text is something else. @throws IDENTITY_* for tokens that do not tell whose they are */
function parseLent(text: string): LoginFile | null {
  const file = Lent.safeParse(jsonOf(text));
  if (!file.success) return null;
  const { access_token, account_id } = file.data.tokens;
  const accessToken = new Secret(access_token);
  return { kind: 'lent', accessToken, identity: identityOf(accessToken, { accountId: account_id ?? null }) };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

function alsoHolds(where: string, others: readonly string[]): RouterError {
  return new RouterError(
    'CHOICE_NEEDED',
    `${where} holds ${others.join(' and ')}, which writing it anew, or taking it away, would destroy`,
    { hint: 'save that elsewhere and take it out of the file, then run the command again' },
  );
}
