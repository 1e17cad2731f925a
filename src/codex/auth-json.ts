import * as z from 'zod/mini';
import { identityOf, readClaims } from '../claims.js';
import { RouterError } from '../errors.js';
import type { Grant } from '../grant.js';
import type { Holding } from '../holding.js';
import type { Identity } from '../identity.js';
import { Secret } from '../secret.js';
import { parseIssuer } from './issuer.js';

/** How long Codex itself trusts an access token that has no `exp`: 8 days after `last_refresh` (Codex 0.169, measured). */
export const TRUSTED_WITHOUT_EXP = 8 * 24 * 3600 * 1000;

/**
 * The ChatGPT login in the text of a Codex auth.json, of any shape Codex has written: with or without `auth_mode`,
 * `last_refresh`, `oauth_provenance`, `login_owner_id`.
 *
 * `expiresAt` is the access token's `exp`; without one, 8 days after `last_refresh`, as Codex counts; without either, 0:
 * refresh before the first use, which is what Codex does with such a file.
 *
 * Fields that `Grant` has no place for are dropped. That loses nothing of the login: Codex drops unknown fields at its own
 * next save, and `login_owner_id` is absent from every file written before 0.166. Other credentials in the file are a
 * different matter: see `otherCredentials`.
 *
 * @param where the file's name, for sentences; no token of the text is ever in one.
 * @param testIssuer see `parseIssuer`.
 * @throws LOGIN_NOT_FOUND when the file is understood and holds no ChatGPT login with a refresh token.
 * @throws IDENTITY_UNREADABLE, IDENTITY_MISMATCH, ISSUER_FOREIGN
 */
export function parseAuthJson(text: string, where: string, testIssuer: string | null = null): Holding {
  const file = parseFile(text, where);
  const tokens = tokensOf(file, where, text);
  const accessToken = new Secret(tokens.access_token);
  const idToken = tokens.id_token ? new Secret(tokens.id_token) : null;
  const lastRefresh = parseDate(file.last_refresh ?? null, where);
  const provenance = tokens.oauth_provenance
    ? {
        issuer: parseIssuer(tokens.oauth_provenance.issuer, where, testIssuer),
        clientId: parseClientId(tokens.oauth_provenance.client_id, where),
      }
    : null;
  const identity = identityIn(where, () =>
    identityOf(accessToken, { accountId: tokens.account_id || null, idToken }),
  );
  const grant: Grant = {
    accessToken,
    refreshToken: new Secret(tokens.refresh_token),
    // Codex refuses a file whose id_token is no JWT, so one that is not is worth nothing to anybody.
    idToken: idToken !== null && readClaims(idToken) !== null ? idToken : null,
    expiresAt: Math.floor(
      readClaims(accessToken)?.expiresAt ?? (lastRefresh === null ? 0 : lastRefresh + TRUSTED_WITHOUT_EXP),
    ),
    lastRefresh,
    provenance,
  };
  return { identity, grant, hostFields: {}, selection: null };
}

/**
 * What else an auth.json holds that codex-router does not keep, in words; removing the file would destroy it.
 * Empty when the text is no auth.json.
 */
export function otherCredentials(text: string): readonly string[] {
  const parsed = readJson(text);
  if (parsed === undefined) return [];
  const file = OtherCredentials.safeParse(parsed);
  if (!file.success) return [];
  return OTHERS.filter(([field]) => file.data[field] !== undefined && file.data[field] !== null).map(
    ([, words]) => words,
  );
}

/** Whether reading again may help: an older Codex truncates and writes in place (through 0.163), so a reader can see half. */
export function looksTorn(text: string): boolean {
  return readJson(text) === undefined;
}

const Tokens = z.object({
  id_token: z.nullish(z.string()),
  access_token: z.string(),
  refresh_token: z.string(),
  account_id: z.nullish(z.string()),
  oauth_provenance: z.nullish(z.object({ issuer: z.string(), client_id: z.string() })),
});

const AuthFile = z.object({
  auth_mode: z.nullish(z.string()),
  OPENAI_API_KEY: z.nullish(z.string()),
  tokens: z.nullish(Tokens),
  last_refresh: z.nullish(z.string()),
  /** Not Codex's: the mark of an OpenClaw auth-profiles.json. */
  profiles: z.optional(z.unknown()),
});

type AuthFile = z.infer<typeof AuthFile>;

const OTHERS = [
  ['OPENAI_API_KEY', 'an API key'],
  ['personal_access_token', 'a personal access token'],
  ['agent_identity', 'an agent identity'],
  ['bedrock_api_key', 'a Bedrock API key'],
  ['bedrock_access_keys', 'Bedrock access keys'],
] as const;

const OtherCredentials = z.object({
  OPENAI_API_KEY: z.optional(z.unknown()),
  personal_access_token: z.optional(z.unknown()),
  agent_identity: z.optional(z.unknown()),
  bedrock_api_key: z.optional(z.unknown()),
  bedrock_access_keys: z.optional(z.unknown()),
});

function parseFile(text: string, where: string): AuthFile {
  if (text.startsWith('\uFEFF')) {
    throw unreadable(`${where} begins with a byte order mark, which Codex never writes`, SAVE_PLAIN);
  }
  if (text.trim() === '') throw unreadable(`${where} is empty`);
  const value = readJson(text);
  // The parser's own message would quote the text, so it goes no further than here.
  if (value === undefined) throw unreadable(`${where} is not complete JSON`);
  const file = AuthFile.safeParse(value);
  if (file.success) return file.data;
  const path = file.error.issues[0]?.path.map(String).join('.') ?? '';
  throw unreadable(
    path === ''
      ? `${where} holds JSON, but not the object that Codex writes`
      : `${where} has no usable ${path}: it is missing or of the wrong type`,
  );
}

function tokensOf(file: AuthFile, where: string, text: string): z.infer<typeof Tokens> {
  const { auth_mode: mode, tokens } = file;
  if (mode === 'chatgptAuthTokens') {
    throw noLogin(
      `${where} holds tokens that were lent to Codex (auth_mode chatgptAuthTokens), not a login; where codex-router lent them, codex-router unlend takes them back`,
    );
  }
  if (mode === 'apikey') throw noLogin(`${where} holds an API key, not a ChatGPT login`);
  if (typeof mode === 'string' && mode !== 'chatgpt') {
    const shown = /^[A-Za-z]{1,40}$/.test(mode) ? mode : 'of an unknown kind';
    throw noLogin(`${where} holds a login of another kind (auth_mode ${shown}), not a ChatGPT login`);
  }
  if (tokens) {
    if (tokens.refresh_token === '') throw noLogin(`${where} holds a login without a refresh token`);
    // What no issuer gives, and no request can carry as it stands.
    if (!/^[\x21-\x7e]+$/.test(tokens.refresh_token))
      throw unreadable(`${where} has no usable tokens.refresh_token`);
    return tokens;
  }
  const others = otherCredentials(text);
  if (others.length > 0) throw noLogin(`${where} holds ${others.join(' and ')}, not a ChatGPT login`);
  if (typeof file.profiles === 'object' && file.profiles !== null) {
    throw new RouterError(
      'LOGIN_NOT_FOUND',
      `${where} is OpenClaw's auth-profiles.json, not Codex's auth.json`,
      {
        hint: 'codex-router import --from openclaw',
      },
    );
  }
  throw noLogin(`${where} holds no ChatGPT login`);
}

function parseDate(text: string | null, where: string): number | null {
  if (text === null) return null;
  const at = /^\d{4}-\d\d-\d\d[Tt ]/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) throw unreadable(`${where} has a last_refresh that is not a date`);
  return at;
}

function parseClientId(text: string, where: string): string {
  if (/^[\x21-\x7e]{1,200}$/.test(text)) return text;
  throw unreadable(`${where} has no usable tokens.oauth_provenance.client_id`);
}

function identityIn(where: string, read: () => Identity): Identity {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    throw new RouterError(error.code, `in ${where}, ${error.message}`, {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      cause: error,
    });
  }
}

/** undefined when it is not JSON; JSON has no undefined of its own. */
function readJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

const SAVE_PLAIN = 'save it as UTF-8 without a byte order mark, then import again';
const LOG_IN = 'codex-router login, or codex login --device-auth and then codex-router import';

function unreadable(message: string, hint: string = LOG_IN): RouterError {
  return new RouterError('IDENTITY_UNREADABLE', message, { hint });
}

function noLogin(message: string): RouterError {
  return new RouterError('LOGIN_NOT_FOUND', message, { hint: LOG_IN });
}
