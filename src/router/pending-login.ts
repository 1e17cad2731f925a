import { RouterError } from '../errors.js';
import type { PendingLogin, PendingLogins, PendingSecrets, StoredLogin } from '../repo/pending-logins.js';
import type { OpenRepo } from '../repo/repo.js';
import type { Secret } from '../secret.js';

/** ms for which a login that was begun can be finished: as long as a device code lives. */
export const PENDING_LIFETIME = 15 * 60 * 1000;

export interface PendingDeps {
  readonly pending: PendingLogins;
  withLock<T>(work: () => Promise<T>): Promise<T>;
  critical<T>(work: () => Promise<T>): Promise<T>;
  /** ms epoch */
  now(): number;
}

/** Where the one login stands that can be pending. */
export interface PendingStanding {
  /** `used`: finished or refused, and not repeatable; forgotten when it would have expired. */
  readonly kind: 'pending' | 'used' | 'expired';
  readonly login: PendingLogin;
  /** ms epoch */
  readonly expiresAt: number;
}

/**
 * Stores what `login finish` will need. A login that was pending gives way: it holds no grant, and who starts again has lost
 * the first address or never meant to use it.
 * @returns the one that gave way, if any was pending.
 * @throws RECORD_DAMAGED, VAULT_NEWER for what lies there; IO
 */
export function startPending(
  deps: PendingDeps,
  repo: OpenRepo,
  wish: Omit<PendingLogin, 'createdAt'>,
  secrets: PendingSecrets,
): Promise<PendingStanding & { readonly replaced: PendingStanding | null }> {
  return deps.withLock(() =>
    deps.critical(async () => {
      const before = standingOf(await deps.pending.read(), deps.now());
      const login = { createdAt: deps.now(), ...wish };
      await deps.pending.write(repo, login, secrets);
      const replaced = before?.kind === 'pending' ? before : null;
      return { kind: 'pending' as const, login, expiresAt: expiryOf(login), replaced };
    }),
  );
}

/**
 * The login that waits for its answer.
 * @throws LOGIN_NOT_FOUND, LOGIN_USED, LOGIN_EXPIRED; RECORD_DAMAGED, VAULT_NEWER, IO
 */
export async function requirePending(deps: Pick<PendingDeps, 'pending' | 'now'>): Promise<PendingLogin> {
  return (await storedPending(deps)).login;
}

/**
 * Takes the pending login out if `state` is its own. Its secrets are durably gone from the disk when this returns, so that
 * neither a crash nor a second `finish` can send the exchange again; of two at once one gets it.
 * @throws STATE_MISMATCH, which leaves it pending: anybody can make up a state; as `requirePending`
 */
export function takePending(deps: PendingDeps, repo: OpenRepo, state: Secret): Promise<PendingSecrets> {
  return deps.withLock(() =>
    deps.critical(async () => {
      const stored = await storedPending(deps);
      const secrets = deps.pending.open(repo, stored);
      if (!state.equals(secrets.state)) throw mismatch();
      await deps.pending.markUsed(stored.login);
      return secrets;
    }),
  );
}

async function storedPending({
  pending,
  now,
}: Pick<PendingDeps, 'pending' | 'now'>): Promise<Extract<StoredLogin, { kind: 'pending' }>> {
  const stored = await pending.read();
  if (stored === null) throw notFound();
  const at = now();
  if (at < stored.login.createdAt) throw setBack();
  if (standingOf(stored, at)?.kind === 'expired') throw expired();
  if (stored.kind === 'used') throw used();
  return stored;
}

/** Null when nothing is pending. Nothing is opened. @throws RECORD_DAMAGED, VAULT_NEWER, IO */
export async function readPending({
  pending,
  now,
}: Pick<PendingDeps, 'pending' | 'now'>): Promise<PendingStanding | null> {
  return standingOf(await pending.read(), now());
}

/** Removes whatever lies there, a damaged one too. @returns whether a login was pending that can now not be finished. */
export function cancelPending(
  deps: PendingDeps,
): Promise<{ readonly wasPending: boolean; readonly wasDamaged: boolean }> {
  return deps.withLock(() =>
    deps.critical(async () => {
      const before = await deps.pending.read().catch((error: unknown) => {
        if (error instanceof RouterError && error.code === 'RECORD_DAMAGED') return 'damaged' as const;
        throw error;
      });
      await deps.pending.remove();
      if (before === 'damaged') return { wasPending: false, wasDamaged: true };
      return { wasPending: standingOf(before, deps.now())?.kind === 'pending', wasDamaged: false };
    }),
  );
}

/**
 * Removes a pending login that has expired: every `login` command that may write does. A damaged one is left, for the commands that need
 * it to say so.
 */
export async function sweepPending(deps: PendingDeps): Promise<void> {
  const isExpired = async () => {
    try {
      return (await readPending(deps))?.kind === 'expired';
    } catch (error) {
      if (error instanceof RouterError) return false;
      throw error;
    }
  };
  if (!(await isExpired())) return;
  await deps.withLock(() =>
    deps.critical(async () => {
      if (await isExpired()) await deps.pending.remove();
    }),
  );
}

function standingOf(stored: StoredLogin | null, now: number): PendingStanding | null {
  if (stored === null) return null;
  const { kind, login } = stored;
  const expiresAt = expiryOf(login);
  // A clock that was set back must not make it live longer.
  const isExpired = now >= expiresAt || now < login.createdAt;
  return { kind: isExpired ? 'expired' : kind, login, expiresAt };
}

function expiryOf({ createdAt }: PendingLogin): number {
  return createdAt + PENDING_LIFETIME;
}

const AGAIN = 'codex-router login start';

function notFound(): RouterError {
  return new RouterError('LOGIN_NOT_FOUND', 'no login is pending', { hint: AGAIN });
}

function used(): RouterError {
  return new RouterError(
    'LOGIN_USED',
    'the login that was begun here was finished or ended before: its answer is good for once',
    {
      hint: `codex-router list shows whether it was kept; else ${AGAIN}`,
    },
  );
}

function expired(): RouterError {
  return new RouterError('LOGIN_EXPIRED', 'the login was begun more than 15 minutes ago and has expired', {
    hint: AGAIN,
  });
}

function setBack(): RouterError {
  const message =
    'the clock of this machine was set back since the login was begun, so its 15 minutes cannot be told and it counts as expired';
  return new RouterError('LOGIN_EXPIRED', message, { hint: AGAIN });
}

function mismatch(): RouterError {
  return new RouterError(
    'STATE_MISMATCH',
    'that is the answer to another login than the one that is pending here',
    {
      hint: `give back the address that the last ${AGAIN} led to, or start again`,
    },
  );
}
