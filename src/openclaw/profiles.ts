import { createHash } from 'node:crypto';
import { type IdentityHints, identityOf, readClaims } from '../claims.js';
import { type ErrorCode, RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import type { Identity } from '../identity.js';
import { isObject, type Json, type JsonObject } from '../json.js';
import { Secret } from '../secret.js';
import type { Neighbour, Occupant, Remains } from '../slot/slot.js';

/**
 * auth-profiles.json, carried whole: `raw` is what the file held, unknown fields and key order included. The groups are
 * checked to be objects; single entries are only looked at when they are asked for.
 */
export interface ProfileStore {
  readonly raw: JsonObject;
  readonly profiles: JsonObject;
}

/** The version OpenClaw writes through 2026.5.28, in auth-profiles.json and in auth-state.json. */
const VERSION = 1;

/**
 * @throws SLOT_UNREADABLE naming the file and the part of the wrong type.
 * @throws HOST_UNSUPPORTED for a newer format, or a store of `openai-codex` whose logins are `openai:*` (6.1 and later).
 */
export function parseStore(path: string, value: JsonObject, provider: string): ProfileStore {
  checkGroups(path, value);
  const profiles = value.profiles;
  if (!isObject(profiles)) throw unreadableStore(path, value, 'profiles');
  if (provider === 'openai') return { raw: value, profiles };
  const renamed = Object.entries(profiles).find(
    ([, entry]) => isObject(entry) && entry.type === 'oauth' && entry.provider === 'openai',
  );
  if (renamed !== undefined) {
    throw new RouterError(
      'HOST_UNSUPPORTED',
      `${path} holds logins of OpenClaw 2026.6.1 or later (provider openai), which this layout does not cover`,
      { hint: 'start that OpenClaw and run openclaw doctor --fix; nothing was changed' },
    );
  }
  return { raw: value, profiles };
}

/** auth-state.json: order, lastGood and usageStats. @throws as `parseStore`. */
export function parseState(path: string, value: JsonObject): JsonObject {
  checkGroups(path, value);
  return value;
}

/** By hand, like all that `list` reads: loading zod would be a third of its time (docs/decisions/0006). */
function checkGroups(path: string, value: JsonObject): void {
  const { version } = value;
  if (typeof version === 'number' && version > VERSION) {
    throw new RouterError('HOST_UNSUPPORTED', `${path} is of format ${version}, newer than any known here`, {
      hint: 'update codex-router; nothing was changed',
    });
  }
  const misfit =
    version !== undefined && typeof version !== 'number'
      ? 'version'
      : (misfitIn(value, 'order', (ids) => Array.isArray(ids) && ids.every(isText)) ??
        misfitIn(value, 'lastGood', isText) ??
        misfitIn(value, 'usageStats', () => true));
  if (misfit !== null) throw unreadableStore(path, value, misfit);
}

/** The group, or its entry, that is not as it must be; a group may be absent or null. */
function misfitIn(value: JsonObject, group: string, fits: (entry: Json) => boolean): string | null {
  const entries = value[group] ?? null;
  if (entries === null) return null;
  if (!isObject(entries)) return group;
  const bad = Object.entries(entries).find(([, entry]) => !fits(entry));
  return bad === undefined ? null : `${group}.${bad[0]}`;
}

function unreadableStore(path: string, value: JsonObject, where: string): RouterError {
  const why = Object.hasOwn(value, where.split('.')[0] ?? '') ? 'has the wrong type' : 'is missing';
  return new RouterError('SLOT_UNREADABLE', `cannot understand ${path}: ${where} ${why}`, {
    hint: 'look at the file or restore it; nothing was changed, and it is never taken for an empty one',
  });
}

/** What `encodeEntry` writes itself or what must not outlive the login it came with. */
const INTERPRETED = new Set([
  'type',
  'mode',
  'provider',
  'access',
  'refresh',
  'expires',
  'email',
  'accountId',
  'chatgptPlanType',
  'idToken',
  // 4.7 to 4.15: makes the host write refreshed tokens into Codex's own store.
  'managedBy',
  // 5.12: a decryptable side file would win over the tokens beside it.
  'oauthRef',
]);

/** Where an entry was read. */
export interface EntryPlace {
  readonly path: string;
  readonly id: string;
  readonly provider: string;
}

/**
 * One entry of a store; a login whose tokens do not tell whose it is counts as `foreign`. `stats` is the host's `usageStats`
 * of that id.
 * @throws SLOT_UNREADABLE when the entry is a login with fields of the wrong type.
 */
export function parseEntry(
  place: EntryPlace,
  entry: Json,
  stats: Json | undefined,
): Exclude<Occupant, { kind: 'absent' }> {
  if (!isObject(entry)) throw unreadableEntry(place, 'it is not an object');
  const foreign = foreignKind(entry, place.provider);
  if (foreign !== null) return damagedOrForeign(entry, foreign);
  const fence = fenceOf(entry);
  if (fence !== null) return fencedLogin(place, entry, fence);
  const accessToken = new Secret(tokenAt(place, entry, 'access'));
  const refreshToken = new Secret(tokenAt(place, entry, 'refresh'));
  const expires = entry.expires ?? null;
  if (expires !== null && typeof expires !== 'number') throw wrongType(place, 'expires');
  const email = textAt(place, entry, 'email');
  const accountId = textAt(place, entry, 'accountId');
  const plan = textAt(place, entry, 'chatgptPlanType');
  const idToken = textAt(place, entry, 'idToken');
  const idSecret = idToken ? new Secret(idToken) : null;
  const identity = ownerOf(accessToken, { accountId, idToken: idSecret, email, plan });
  if (typeof identity === 'string') {
    return damagedOrForeign(entry, `a login whose owner cannot be told (${identity})`);
  }
  return {
    kind: 'login',
    identity,
    grant: {
      accessToken,
      refreshToken,
      idToken: idSecret,
      expiresAt: expires ?? readClaims(accessToken)?.expiresAt ?? 0,
      lastRefresh: null,
      provenance: null,
    },
    hostFields: Object.fromEntries(Object.entries(entry).filter(([key]) => !INTERPRETED.has(key))),
    selection: isObject(stats) ? stats : null,
  };
}

function damagedOrForeign(entry: JsonObject, what: string): Extract<Occupant, { kind: 'foreign' }> {
  const { access, refresh } = entry;
  const isSealed = (entry.oauthRef ?? null) !== null;
  const isGone = (refresh ?? '') === '';
  if ((entry.type ?? entry.mode) !== 'oauth' || isSealed) return { kind: 'foreign', what };
  const areOf: Remains['areOf'] = ({ accessToken, refreshToken }) =>
    isGone ? access === accessToken.reveal() : refresh === refreshToken.reveal();
  return { kind: 'foreign', what, remains: { areOf } };
}

/** What stands where the tokens were while, or since, the host refreshed them (9.4: `oauth-refresh-marker.ts`). */
const FENCE = /^openclaw-oauth-refresh-fence:v\d+:[^:]+:(failed:)?(?:access|refresh):(.*)$/;

function fenceOf({
  access,
  refresh,
}: JsonObject): { readonly failed: boolean; readonly digest: string } | null {
  for (const token of [refresh, access]) {
    const found = typeof token === 'string' ? FENCE.exec(token) : null;
    if (found !== null) return { failed: found[1] !== undefined, digest: found[2] ?? '' };
  }
  return null;
}

/** The fence holds a digest of the token that was sent (9.6: `buildOAuthRefreshSecretDigest`). */
function fencedLogin(
  { id, provider }: EntryPlace,
  entry: JsonObject,
  { failed, digest }: { readonly failed: boolean; readonly digest: string },
): Extract<Occupant, { kind: 'refreshing' | 'lost' }> {
  const accountId = typeof entry.accountId === 'string' ? entry.accountId : null;
  if (!failed) return { kind: 'refreshing', accountId };
  const spent = (token: Secret) => {
    const generation = ['openclaw.oauth-refresh-generation', 1, id, provider, 'refresh', token.reveal()];
    return createHash('sha256').update(JSON.stringify(generation)).digest('hex') === digest;
  };
  return { kind: 'lost', accountId, spent };
}

/** The identity, or in words why the tokens do not tell it. */
function ownerOf(accessToken: Secret, hints: IdentityHints): Identity | string {
  try {
    return identityOf(accessToken, hints);
  } catch (error) {
    if (error instanceof RouterError && UNTOLD.has(error.code)) return error.message;
    throw error;
  }
}

const UNTOLD: ReadonlySet<ErrorCode> = new Set(['IDENTITY_UNREADABLE', 'IDENTITY_MISMATCH']);

function tokenAt(place: EntryPlace, entry: JsonObject, name: string): string {
  const token = entry[name];
  if (typeof token === 'string' && token !== '') return token;
  throw wrongType(place, name);
}

function textAt(place: EntryPlace, entry: JsonObject, name: string): string | null {
  const text = entry[name] ?? null;
  if (text === null || isText(text)) return text;
  throw wrongType(place, name);
}

function isText(value: Json): value is string {
  return typeof value === 'string';
}

function wrongType(place: EntryPlace, name: string): RouterError {
  return unreadableEntry(place, `${name} has the wrong type`);
}

/** Like `parseEntry`, but one that cannot be read is `foreign`: it must not stop a switch that does not touch it. */
export function parseNeighbour(place: EntryPlace, entry: Json, stats: Json | undefined): Neighbour {
  try {
    const occupant = parseEntry(place, entry, stats);
    if (occupant.kind === 'login' || occupant.kind === 'foreign') return { profileId: place.id, ...occupant };
    const what =
      occupant.kind === 'lost' ? 'a login whose refresh failed' : 'a login that is being refreshed';
    return { profileId: place.id, kind: 'foreign', what };
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return { profileId: place.id, kind: 'foreign', what: `a login that cannot be read (${error.message})` };
  }
}

/**
 * The entry as this host's release writes one: a full replacement, nothing of another login left in it. The id_token
 * stays in the repo: no release through 5.28 reads it, and one beside a refreshed access token could only contradict it.
 * (These releases decode the access token with atob, which fails on `-` and `_`; it is written as OpenAI gave it.)
 */
export function encodeEntry(holding: Holding, provider: string, planField: boolean): JsonObject {
  const { identity, grant, hostFields } = holding;
  const kept = Object.entries(hostFields).filter(([key]) => !INTERPRETED.has(key));
  return {
    type: 'oauth',
    provider,
    access: grant.accessToken.reveal(),
    refresh: grant.refreshToken.reveal(),
    expires: grant.expiresAt,
    ...(identity.email === null ? {} : { email: identity.email }),
    accountId: identity.accountId,
    ...(planField && identity.plan !== null ? { chatgptPlanType: identity.plan } : {}),
    ...Object.fromEntries(kept),
  };
}

function foreignKind(entry: JsonObject, provider: string): string | null {
  if (providerOf(entry) !== provider) return 'a credential of another provider';
  // Older entries say `mode` where newer ones say `type` (5.7: normalizeRawCredentialEntry).
  const type = entry.type ?? entry.mode;
  if (entry.oauthRef !== undefined && entry.oauthRef !== null) {
    return 'a login in a sealed side file (oauthRef) of OpenClaw 2026.5.12';
  }
  if (type === 'api_key') {
    return isReference(entry.keyRef) || isReference(entry.key)
      ? 'an API key behind a SecretRef'
      : 'an API key';
  }
  if (type === 'token') {
    return isReference(entry.tokenRef) || isReference(entry.token)
      ? 'a token behind a SecretRef'
      : 'a fixed token without refresh';
  }
  if (type !== 'oauth') return 'a credential of an unknown kind';
  if (isReference(entry.access) || isReference(entry.refresh)) return 'a login behind a SecretRef';
  const refresh = entry.refresh;
  if (refresh === undefined || refresh === null || refresh === '') return 'a login without a refresh token';
  return null;
}

/** As OpenClaw compares it: trimmed and lower-case; empty when there is none. */
export function providerOf(entry: Json): string {
  const provider = isObject(entry) ? entry.provider : undefined;
  return typeof provider === 'string' ? provider.trim().toLowerCase() : '';
}

function isReference(value: Json | undefined): boolean {
  return value !== undefined && isObject(value);
}

function unreadableEntry(place: EntryPlace, why: string): RouterError {
  return new RouterError('SLOT_UNREADABLE', `cannot understand ${place.id} in ${place.path}: ${why}`, {
    hint: 'look at the entry or log in again with openclaw models auth login; nothing was changed',
  });
}
