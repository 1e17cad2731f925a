import * as z from 'zod/mini';
import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { parseAccountId, parseUserId } from '../identity.js';
import { Secret } from '../secret.js';
import type {
  ChatLogin,
  ChatLoginSecrets,
  ChatOwner,
  HeldLogin,
  StoredAs,
  StoredChatLogin,
} from './chat-logins.js';
import { parseVersioned } from './format.js';

/** `ChatLoginEnd` */
export const ENDS = ['sent', 'refused', 'kept', 'discarded', 'expired'] as const;

const login = z.looseObject({
  id: z.string(),
  startedAt: z.int().check(z.positive()),
  expiresAt: z.int().check(z.positive()),
  flow: z.enum(['device', 'link']),
  wanted: z.nullable(z.object({ accountId: z.string(), userId: z.string() })),
  alias: z.nullable(z.string()),
});
const person = { accountId: z.string(), userId: z.string(), email: z.nullable(z.string()) };
const box = { nonce: z.string(), sealed: z.string() };
const file = z.union([
  z.looseObject({ kind: z.literal('begun'), login, ...box }),
  z.looseObject({ kind: z.literal('held'), login, heldAt: z.int(), person: z.looseObject(person), ...box }),
  z.looseObject({
    kind: z.literal('ending'),
    login,
    endedAt: z.int(),
    how: z.enum(ENDS),
    person: z.looseObject(person),
    ...box,
  }),
  z.looseObject({ kind: z.literal('used'), login, usedAt: z.int(), how: z.enum(ENDS) }),
]);
const filled = z.string().check(z.minLength(1));
const secretsFormat = z.union([
  z.looseObject({
    flow: z.literal('device'),
    id: filled,
    userCode: filled,
    interval: z.number(),
    askAfter: z.number(),
  }),
  z.looseObject({ flow: z.literal('link'), redirectUri: filled, state: filled, verifier: filled }),
]);
const heldFormat = z.looseObject({
  identity: z.looseObject({
    ...person,
    plan: z.nullable(z.string()),
    workspace: z.nullable(z.string()),
  }),
  grant: z.looseObject({
    accessToken: filled,
    refreshToken: filled,
    idToken: z.nullable(z.string()),
    expiresAt: z.number(),
    lastRefresh: z.nullable(z.number()),
    provenance: z.nullable(z.object({ issuer: z.string(), clientId: z.string() })),
  }),
  isShown: z.boolean(),
  verified: z.boolean(),
});

/** @throws RECORD_DAMAGED, VAULT_NEWER */
export function parseStored(text: string, path: string): StoredChatLogin {
  const found = file.safeParse(parseOurs(text, path));
  if (!found.success) throw damaged(path, 'it is not as it must be');
  const { data } = found;
  const { wanted } = data.login;
  const about: ChatLogin = {
    ...data.login,
    wanted: wanted && { accountId: parseAccountId(wanted.accountId), userId: parseUserId(wanted.userId) },
  };
  if (data.kind === 'used') return { ...data, login: about };
  const sealed = { nonce: data.nonce, sealed: data.sealed };
  if (data.kind === 'begun') return { kind: 'begun', login: about, box: sealed };
  if (data.kind === 'ending') {
    const { endedAt, how, person: whose } = data;
    return { kind: 'ending', login: about, endedAt, how, person: whose, box: sealed };
  }
  return { kind: 'held', login: about, heldAt: data.heldAt, person: data.person, box: sealed };
}

export function encodeSecrets(secrets: ChatLoginSecrets): string {
  if (secrets.flow === 'device') return JSON.stringify({ ...secrets, id: secrets.id.reveal() });
  const { state, verifier } = secrets;
  return JSON.stringify({ ...secrets, state: state.reveal(), verifier: verifier.reveal() });
}

/** Null when it is something else. */
export function parseSecrets(plain: string): ChatLoginSecrets | null {
  const { data } = secretsFormat.safeParse(JSON.parse(plain));
  if (data === undefined) return null;
  if (data.flow === 'device') return { ...data, id: new Secret(data.id) };
  return { ...data, state: new Secret(data.state), verifier: new Secret(data.verifier) };
}

/** A login of our own making has nothing of a host yet. */
export function encodeHeld({ holding: { identity, grant }, isShown, verified }: HeldLogin): string {
  const tokens = {
    accessToken: grant.accessToken.reveal(),
    refreshToken: grant.refreshToken.reveal(),
    idToken: grant.idToken?.reveal() ?? null,
  };
  return JSON.stringify({ identity, grant: { ...grant, ...tokens }, isShown, verified });
}

/** Null when it is something else. */
export function parseHeld(plain: string): HeldLogin | null {
  const { data } = heldFormat.safeParse(JSON.parse(plain));
  if (data === undefined) return null;
  const { identity, grant, isShown, verified } = data;
  const holding: Holding = {
    identity: {
      ...identity,
      accountId: parseAccountId(identity.accountId),
      userId: parseUserId(identity.userId),
    },
    grant: {
      ...grant,
      accessToken: new Secret(grant.accessToken),
      refreshToken: new Secret(grant.refreshToken),
      idToken: grant.idToken === null ? null : new Secret(grant.idToken),
    },
    hostFields: {},
    selection: null,
  };
  return { holding, isShown, verified };
}

/** Whose it is, and everything that stands there in the clear, is authenticated by it. */
export function purposeOf(
  owner: ChatOwner,
  stored: Omit<StoredAs<'begun'>, 'box'> | Omit<StoredAs<'held'>, 'box'> | Omit<StoredAs<'ending'>, 'box'>,
): string {
  const { id, startedAt, expiresAt, flow, wanted, alias } = stored.login;
  const about = [id, startedAt, expiresAt, flow, wanted?.accountId ?? null, wanted?.userId ?? null, alias];
  return `chat-login|${stored.kind}|${JSON.stringify([owner, ...about, ...more(stored)])}`;
}

function more(stored: Parameters<typeof purposeOf>[1]): readonly unknown[] {
  if (stored.kind === 'begun') return [];
  const { accountId, userId, email } = stored.person;
  const since = stored.kind === 'held' ? [stored.heldAt] : [stored.endedAt, stored.how];
  return [...since, accountId, userId, email];
}

function parseOurs(text: string, path: string): object {
  try {
    return parseVersioned(text, path, 'RECORD_DAMAGED');
  } catch (error) {
    if (error instanceof RouterError && error.code === 'RECORD_DAMAGED')
      throw damaged(path, 'it cannot be read');
    throw error;
  }
}

export function damaged(path: string, why: string): RouterError {
  return new RouterError('RECORD_DAMAGED', `${path}, a login that was begun in a chat, is damaged: ${why}`, {
    hint: '/codex_auth cancel removes it; no stored login is touched',
  });
}
