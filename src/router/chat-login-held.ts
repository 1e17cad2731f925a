import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { ChatLogin, ChatLoginEnd, ChatOwner, HeldLogin, StoredAs } from '../repo/chat-logins.js';
import type { IndexEntry, OpenRepo } from '../repo/repo.js';
import type { HostNote } from '../slot/host.js';
import { accountNotes, withAccount } from './account-facts.js';
import type { ChatLoginDeps } from './chat-login.js';
import * as trouble from './chat-login-trouble.js';
import { parseExpectation, requireExpected } from './expectation.js';
import { type KeepDeps, type Kept, keepLogin } from './keep-login.js';

/** ms that the issuer is waited for: somebody waits for the answer in a chat. */
const REVOKE_MS = 10_000;

/** A login that was made, for the word of whoever began it. */
export interface ShownLogin {
  readonly login: ChatLogin;
  /** With the workspace's name, where that is known. */
  readonly identity: Identity;
  /** The identity as it is stored already; null when it is new. */
  readonly stored: IndexEntry | null;
  readonly verified: boolean;
  /** ms epoch after which it is revoked without a word. */
  readonly expiresAt: number;
  readonly notes: readonly HostNote[];
}

/**
 * What waits of this owner and has not expired. One that was made and has expired is revoked.
 * @throws LOGIN_NOT_FOUND, LOGIN_USED, LOGIN_EXPIRED; RECORD_DAMAGED, VAULT_NEWER, IO
 */
export async function requireStored(
  deps: ChatLoginDeps,
  repo: OpenRepo,
  owner: ChatOwner,
): Promise<StoredAs<'begun' | 'held'>> {
  const { logins, critical } = deps;
  const stored = await logins.read(owner);
  if (stored === null) throw trouble.notFound();
  if (stored.kind === 'ending') throw trouble.used(stored.how);
  const now = deps.now();
  if (!trouble.isOver(stored, now)) {
    if (stored.kind === 'used') throw trouble.used(stored.how);
    return stored;
  }
  if (stored.kind === 'held') {
    const { holding } = logins.openHeld(repo, owner, stored);
    const { text } = await critical(() => ended(deps, repo, owner, stored.login, holding, 'discarded'));
    throw trouble.expired(stored, now, text);
  }
  await critical(() => logins.remove(owner));
  throw stored.kind === 'used' ? trouble.notFound() : trouble.expired(stored, now, null);
}

/**
 * Looks at the held login, as often as it is wished; the backend is asked about it once.
 * @throws IDENTITY_UNEXPECTED, LOGIN_NEEDED: then it was revoked; RECORD_DAMAGED, IO
 */
export function show(deps: ChatLoginDeps, repo: OpenRepo, owner: ChatOwner): Promise<ShownLogin> {
  return deps.critical(async () => {
    const stored = await deps.logins.read(owner);
    if (stored?.kind !== 'held') throw trouble.notFound();
    const held = deps.logins.openHeld(repo, owner, stored);
    const entries = await repo.list();
    await admit(deps, repo, owner, stored.login, held, entries);
    const notes: HostNote[] = [];
    const now = held.isShown ? held : await known(deps, repo, owner, stored, held, notes);
    const { identity } = now.holding;
    return {
      login: stored.login,
      identity,
      stored: entries.find((entry) => sameIdentity(entry.identity, identity)) ?? null,
      verified: now.verified,
      expiresAt: trouble.untilOf(stored),
      notes,
    };
  });
}

/** Refuses whoever was not selected. */
async function admit(
  deps: ChatLoginDeps,
  repo: OpenRepo,
  owner: ChatOwner,
  login: ChatLogin,
  { holding }: HeldLogin,
  entries: readonly IndexEntry[],
): Promise<void> {
  if (login.wanted === null) return;
  try {
    requireExpected(holding.identity, parseExpectation(identityKey(login.wanted)), entries);
  } catch (error) {
    const { text } = await ended(deps, repo, owner, login, holding, 'refused');
    if (!(error instanceof RouterError)) throw error;
    throw trouble.withHint(error, `nothing was stored, ${text}; ${error.hint}: ${trouble.AGAIN}`);
  }
}

/** @throws LOGIN_NEEDED when its backend says that it has ended */
async function known(
  deps: ChatLoginDeps,
  repo: OpenRepo,
  owner: ChatOwner,
  { login, heldAt }: StoredAs<'held'>,
  { holding: came }: HeldLogin,
  notes: HostNote[],
): Promise<HeldLogin> {
  const { issuer, logins, signal } = deps;
  const account = await issuer.account(came, signal);
  if (account.kind === 'ended') {
    await ended(deps, repo, owner, login, came, 'refused');
    const message = `the issuer has ended this login already: ${account.why}`;
    throw trouble.inChat(new RouterError('LOGIN_NEEDED', message), null);
  }
  notes.push(...accountNotes(account));
  const held = {
    holding: withAccount(came, account),
    isShown: true,
    verified: account.kind === 'known',
  };
  await logins.hold(repo, owner, login, held, heldAt);
  return held;
}

/**
 * Stores the login that waits, as `keepLogin` stores one. Nothing is activated.
 * @param id the login that is meant; null for whichever waits
 * @throws LOGIN_PENDING when there is nothing to keep yet, or it was not shown; as `requireStored`, `show` and `keepLogin`: after a
 *   failure of that it still waits
 */
export function keepChatLogin(
  deps: ChatLoginDeps,
  keepDeps: KeepDeps,
  repo: OpenRepo,
  owner: ChatOwner,
  id: string | null,
): Promise<Kept> {
  return deps.withOwner(owner, async () => {
    const stored = await requireStored(deps, repo, owner);
    const { login } = stored;
    if (id !== null && id !== login.id) throw trouble.another();
    if (stored.kind === 'begun') throw trouble.unfinished(login);
    const held = deps.logins.openHeld(repo, owner, stored);
    if (!held.isShown) throw trouble.unseen();
    const { holding, verified } = held;
    return deps.critical(async () => {
      await admit(deps, repo, owner, login, held, await repo.list());
      const kept = await keepLogin(keepDeps, repo, {
        holding,
        source: 'login',
        verified,
        alias: login.alias,
      });
      await deps.logins.markUsed(owner, login, 'kept', deps.now()).catch(storedAnyway);
      return kept;
    });
  });
}

/** What stays of it is found to be stored when its time is up, and only forgotten. */
function storedAnyway(error: unknown): void {
  if (!(error instanceof RouterError)) throw error;
}

/** What became of a login that nobody is to have. */
export interface HeldEnd {
  readonly kind: 'revoked' | 'valid' | 'stored';
  /** Completes a sentence. */
  readonly text: string;
}

/** `cancelled`: nothing had been made. `damaged`: what lay there could not be read. */
export type DroppedChatLogin =
  | { readonly kind: 'cancelled' | 'damaged' }
  | { readonly kind: 'discarded'; readonly identity: Identity; readonly end: HeldEnd };

/**
 * Forgets what waits of this owner; a login that was made is revoked first.
 * @param id the login that is meant; null for whichever waits
 * @throws as `requireStored`
 */
export function dropChatLogin(
  deps: ChatLoginDeps,
  repo: OpenRepo,
  owner: ChatOwner,
  id: string | null,
): Promise<DroppedChatLogin> {
  const { logins, critical } = deps;
  const damaged = async (error: unknown): Promise<DroppedChatLogin> => {
    if (!(error instanceof RouterError) || error.code !== 'RECORD_DAMAGED') throw error;
    await critical(() => logins.remove(owner));
    return { kind: 'damaged' };
  };
  const drop = async (): Promise<DroppedChatLogin> => {
    const stored = await requireStored(deps, repo, owner);
    const { login } = stored;
    if (id !== null && id !== login.id) throw trouble.another();
    if (stored.kind === 'begun') {
      await critical(() => logins.remove(owner));
      return { kind: 'cancelled' };
    }
    const { holding } = logins.openHeld(repo, owner, stored);
    const end = await critical(() => ended(deps, repo, owner, login, holding, 'discarded'));
    return { kind: 'discarded', identity: holding.identity, end };
  };
  return deps.withOwner(owner, () => drop().catch(damaged));
}

/**
 * Ends a login that is held, or should have been. It can be kept by nobody from before it is revoked, and what would revoke it stays until
 * it is: nothing is lost to a kill, and the next login tries again. One that is stored after all is left.
 */
export async function ended(
  { logins, revocation, now }: ChatLoginDeps,
  repo: OpenRepo,
  owner: ChatOwner,
  login: ChatLogin,
  holding: Holding,
  how: ChatLoginEnd,
): Promise<HeldEnd> {
  const { grant } = holding;
  const print = repo.fingerprint(grant);
  const isStored = (await repo.list()).some(
    ({ fingerprint, former }) => fingerprint === print || former.includes(print),
  );
  if (isStored) {
    await logins.markUsed(owner, login, 'kept', now());
    return { kind: 'stored', text: 'it is stored already and stays so' };
  }
  const isLeft = await logins.end(repo, owner, login, holding, how, now()).then(() => true, ioOnly);
  const end = await revocation.revoke(grant, AbortSignal.timeout(REVOKE_MS));
  if (end.kind !== 'revoked') {
    const text = `it could not be revoked at the issuer (${end.why}) and stays valid there`;
    return { kind: 'valid', text: isLeft ? `${text}; the next codex-router login tries again` : text };
  }
  await logins.markUsed(owner, login, how, now()).catch(ioOnly);
  return { kind: 'revoked', text: 'it was revoked at the issuer' };
}

/** Where the disk takes nothing, revoking it is all that can be done. */
function ioOnly(error: unknown): false {
  if (error instanceof RouterError) return false;
  throw error;
}
