import { createHash, timingSafeEqual } from 'node:crypto';
import { RouterError } from '../errors.js';
import type { ArrivingLogins } from '../repo/arriving-logins.js';
import {
  type ChatLogin,
  type ChatLoginSecrets,
  type ChatLogins,
  type ChatOwner,
  newChatLoginId,
  type StoredAs,
} from '../repo/chat-logins.js';
import type { Who } from '../repo/journal.js';
import type { OpenRepo } from '../repo/repo.js';
import type { Secret } from '../secret.js';
import type { BrowserIssuer } from './browser-issuer.js';
import { ended, type HeldEnd, requireStored, type ShownLogin, show } from './chat-login-held.js';
import * as trouble from './chat-login-trouble.js';
import type { LoginCode, LoginIssuer } from './login-issuer.js';
import type { Revocation } from './revocation.js';

/** Of all senders and chats. */
const MOST = 20;
/** ms to wait for the moment at which the issuer may be asked again. */
const MOST_PATIENCE = 15_000;

export interface ChatLoginDeps {
  readonly logins: ChatLogins;
  readonly arriving: ArrivingLogins;
  readonly issuer: LoginIssuer;
  readonly browser: BrowserIssuer;
  readonly revocation: Revocation;
  /** The lock of one owner's login: taken before all others, and held across requests to the issuer. */
  withOwner<T>(owner: ChatOwner, work: () => Promise<T>): Promise<T>;
  withLock<T>(work: () => Promise<T>): Promise<T>;
  critical<T>(work: () => Promise<T>): Promise<T>;
  /** ms epoch */
  now(): number;
  pause(ms: number, signal: AbortSignal): Promise<void>;
  readonly signal: AbortSignal;
}

export interface ChatLoginWish {
  readonly flow: ChatLogin['flow'];
  readonly wanted: Who | null;
  readonly alias: string | null;
}

/** What the sender is told to do, and what had to give way. */
export interface BegunChatLogin {
  readonly login: ChatLogin;
  /** The address to open. */
  readonly url: string;
  /** To be typed in there; null for a link. */
  readonly userCode: string | null;
  /** The earlier one of this owner, which can be neither finished nor kept any more. `begun`: it held no login. */
  readonly replaced: { readonly kind: 'begun' } | { readonly kind: 'held'; readonly end: HeldEnd } | null;
}

/**
 * Begins a login that only this sender can finish, and only in this chat. A device login, or where the issuer has none, or where it is
 * wished, an address whose answer is brought back. An earlier one of the same owner gives way, and is revoked if it was made already.
 * @throws BUSY when too many wait already; LOGIN_FAILED; VAULT_NEWER, IO
 */
export function beginChatLogin(
  deps: ChatLoginDeps,
  repo: OpenRepo,
  owner: ChatOwner,
  { flow, wanted, alias }: ChatLoginWish,
): Promise<BegunChatLogin> {
  return deps.withOwner(owner, async () => {
    await requireRoom(deps, owner);
    const { shown, secrets, until } = await attempt(deps, flow, wanted);
    return deps.critical(async () => {
      const replaced = await gaveWay(deps, repo, owner);
      const startedAt = deps.now();
      const expiresAt = Math.min(until, startedAt + trouble.CHAT_LOGIN_LIFETIME);
      const login = { id: newChatLoginId(), startedAt, expiresAt, flow: secrets.flow, wanted, alias };
      await deps.withLock(async () => {
        await requireRoom(deps, owner);
        await deps.logins.begin(repo, owner, login, secrets);
      });
      return { login, ...shown, replaced };
    });
  });
}

interface Attempt {
  readonly shown: Pick<BegunChatLogin, 'url' | 'userCode'>;
  readonly secrets: ChatLoginSecrets;
  /** ms epoch at which the issuer forgets it; Infinity where it does not say. */
  readonly until: number;
}

async function attempt(
  { issuer, browser, signal }: ChatLoginDeps,
  flow: ChatLogin['flow'],
  wanted: Who | null,
): Promise<Attempt> {
  const device = flow === 'link' ? null : await issuer.deviceCodeOrNone(signal).catch(refuse);
  if (device !== null) {
    const { id, userCode, url, interval, expiresAt } = device;
    const secrets = { flow: 'device', id, userCode, interval, askAfter: 0 } as const;
    return { shown: { url, userCode }, secrets, until: expiresAt };
  }
  const { url, redirectUri, secrets } = browser.begin(wanted?.accountId ?? null);
  const found = { flow: 'link', redirectUri, ...secrets } as const;
  return { shown: { url, userCode: null }, secrets: found, until: Number.POSITIVE_INFINITY };
}

/** Ends in words of a chat. */
function refuse(error: unknown): never {
  throw trouble.inChat(error, null);
}

/** Each of them is a file, and may be a login that is valid at the issuer. */
async function requireRoom({ logins }: ChatLoginDeps, owner: ChatOwner): Promise<void> {
  const others = (await logins.owners()).filter((one) => one !== owner);
  if (others.length < MOST) return;
  throw new RouterError('BUSY', `${others.length} logins of other chats are being made already`, {
    hint: 'try again in a quarter of an hour',
  });
}

/** Ends what lies there, so that the next can take its place. */
async function gaveWay(
  deps: ChatLoginDeps,
  repo: OpenRepo,
  owner: ChatOwner,
): Promise<BegunChatLogin['replaced']> {
  try {
    const before = await deps.logins.read(owner);
    if (before === null || before.kind === 'used') return null;
    if (before.kind === 'begun') return trouble.isOver(before, deps.now()) ? null : { kind: 'begun' };
    const { holding } = deps.logins.openHeld(repo, owner, before);
    const end = await ended(deps, repo, owner, before.login, holding, 'discarded');
    // Its place is taken now, and it has to be known of elsewhere.
    if (end.kind === 'valid') await deps.arriving.put(repo, holding.identity, holding.grant);
    return before.kind === 'held' ? { kind: 'held', end } : null;
  } catch (error) {
    if (error instanceof RouterError && error.code === 'RECORD_DAMAGED') return null;
    throw error;
  }
}

/** `pending`: nobody has approved it yet. */
export type FinishedChatLogin =
  | { readonly kind: 'pending'; readonly login: ChatLogin }
  | ({ readonly kind: 'held' } & ShownLogin);

/**
 * Fetches what the sender has approved, or takes what their browser came back with, and holds the login that comes of it for their word;
 * one that is held already is shown again. It is exchanged once: what that needs is gone from the disk before.
 * @param answer what the browser came back with; null for a device login
 * @throws LOGIN_NOT_FOUND, LOGIN_USED, LOGIN_EXPIRED; LOGIN_DENIED, LOGIN_FAILED; USAGE for an answer that is none; STATE_MISMATCH, which
 *   leaves it pending; IDENTITY_*, LOGIN_NEEDED, after the login was revoked; RECORD_DAMAGED, VAULT_NEWER, IO
 */
export function finishChatLogin(
  deps: ChatLoginDeps,
  repo: OpenRepo,
  owner: ChatOwner,
  answer: string | null,
): Promise<FinishedChatLogin> {
  return deps.withOwner(owner, async () => {
    const stored = await requireStored(deps, repo, owner);
    if (stored.kind === 'begun') {
      const code = await codeOf(deps, repo, owner, stored, answer);
      if (code === null) return { kind: 'pending', login: stored.login };
      await deps.critical(() => exchange(deps, repo, owner, stored.login, code));
    }
    return { kind: 'held', ...(await show(deps, repo, owner)) };
  });
}

/** From the first write to the last it runs to its end although a signal arrives. */
async function exchange(
  deps: ChatLoginDeps,
  repo: OpenRepo,
  owner: ChatOwner,
  login: ChatLogin,
  code: LoginCode,
): Promise<void> {
  await deps.logins.markUsed(owner, login, 'sent', deps.now());
  const holding = await deps.issuer.exchange(code).catch(refuse);
  const held = { holding, isShown: false, verified: false };
  await deps.logins.hold(repo, owner, login, held, deps.now()).catch(async (error: unknown) => {
    throw trouble.inChat(error, (await ended(deps, repo, owner, login, holding, 'refused')).text);
  });
}

/** Null: not yet. */
async function codeOf(
  deps: ChatLoginDeps,
  repo: OpenRepo,
  owner: ChatOwner,
  stored: StoredAs<'begun'>,
  answer: string | null,
): Promise<LoginCode | null> {
  const secrets = deps.logins.openBegun(repo, owner, stored);
  if (secrets.flow === 'link') {
    if (answer === null) throw trouble.needsAnswer();
    return returned(deps, owner, stored.login, secrets, answer);
  }
  if (answer !== null) throw trouble.needsNoAnswer();
  // The issuer's own pace, some seconds: "not yet" is to be its word of now.
  const wait = Math.min(secrets.askAfter - deps.now(), MOST_PATIENCE);
  if (wait > 0) await deps.pause(wait, deps.signal);
  const said = await deps.issuer
    .askApproval(secrets, deps.signal)
    .catch((error: unknown) => refused(deps, owner, stored.login, error));
  if (said.kind === 'approved') return said.code;
  if (said.kind === 'unanswered') throw trouble.unanswered(said.why);
  const { interval } = said;
  const later = { ...secrets, interval, askAfter: deps.now() + interval };
  await deps.critical(() => deps.logins.begin(repo, owner, stored.login, later));
  return null;
}

async function returned(
  deps: ChatLoginDeps,
  owner: ChatOwner,
  login: ChatLogin,
  { redirectUri, verifier, state: own }: Extract<ChatLoginSecrets, { flow: 'link' }>,
  answer: string,
): Promise<LoginCode> {
  const { state, outcome } = deps.browser.parseAnswer(answer);
  if (!sameState(state, own)) throw trouble.mismatch();
  if (outcome.kind === 'refused') return refused(deps, owner, login, outcome.error);
  return { code: outcome.code, verifier, redirectUri };
}

/** A no for good ends the login; what may pass leaves it. */
async function refused(
  { logins, critical, now }: ChatLoginDeps,
  owner: ChatOwner,
  login: ChatLogin,
  error: unknown,
): Promise<never> {
  if (!(error instanceof RouterError)) throw error;
  if (login.flow === 'device' && error.code === 'LOGIN_FAILED') {
    throw trouble.withHint(error, '/codex_auth finish tries again, /codex_auth begins a new one');
  }
  await critical(() => logins.markUsed(owner, login, 'refused', now()));
  throw trouble.inChat(error, null);
}

/** In constant time, whatever their lengths. */
function sameState(a: Secret, b: Secret): boolean {
  const digest = (state: Secret) => createHash('sha256').update(state.reveal()).digest();
  return timingSafeEqual(digest(a), digest(b));
}
