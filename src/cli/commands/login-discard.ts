import { RouterError } from '../../errors.js';
import type { Holding } from '../../holding.js';
import { type ArrivingCopy, arrivingLoginsIn } from '../../repo/arriving-logins.js';
import type { HostNote } from '../../slot/host.js';
import type { Aside, Reception } from './login-arrival.js';

/** Null when it could not be made: that is no reason to lose the login. */
export async function sealedCopy(
  { cli, parts, repo }: Reception,
  { identity, grant }: Holding,
  notes: HostNote[],
): Promise<ArrivingCopy | null> {
  try {
    return await arrivingLoginsIn(parts.folders.data, cli.now).put(repo, identity, grant);
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    notes.push({
      code: error.code,
      text: `it could not be sealed before it was asked about: ${error.message}`,
    });
    return null;
  }
}

/** One that stays is found to be stored, or revoked, by the next login. */
export async function dropped(copy: ArrivingCopy | null): Promise<void> {
  try {
    await copy?.drop();
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
  }
}

/** Of a question, or a wait, that a signal ended. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

/** ms that an end which a person wants waits for the issuer. */
const REVOKE_MS = 10_000;

/** Whether it is known not to be wanted: an interruption, and trouble with something else, say nothing of it. */
function isRefused(error: unknown): boolean {
  if (!(error instanceof RouterError)) return false;
  const { code, message } = error;
  return code === 'IDENTITY_UNEXPECTED' || code === 'LOGIN_NEEDED' || message === DISCARDED;
}

/** The end of a command whose login stays where the next one finds it. */
function leftAside({ cli }: Reception, { next }: Aside, error: unknown): unknown {
  const hint = `nothing was stored yet; ${next} finishes it`;
  if (error instanceof RouterError && error.code !== 'INTERRUPTED') {
    return new RouterError(error.code, error.message, { hint, cause: error });
  }
  if (!(error instanceof RouterError) && !cli.interruption.signal.aborted) return error;
  const message = 'stopped, the login is left where it was made';
  return new RouterError('INTERRUPTED', message, { hint, cause: error });
}

export const DISCARDED = 'the login was discarded';

/** Revokes what nobody will use, and says so in the error that it ends in. */
export async function discarded(
  reception: Reception,
  { grant }: Holding,
  copy: ArrivingCopy | null,
  error: unknown,
): Promise<unknown> {
  const { parts, source, aside } = reception;
  if (aside !== null && !isRefused(error)) return leftAside(reception, aside, error);
  // First: killed in between, a later run must not take in what is revoked.
  await aside?.drop();
  const end = await parts.revocation.revoke(grant, AbortSignal.timeout(REVOKE_MS));
  const isEnded = error instanceof RouterError && error.code === 'LOGIN_NEEDED';
  const isGone = end.kind === 'revoked' || isEnded;
  if (isGone) await dropped(copy);
  const what = isGone
    ? 'it was revoked at the issuer'
    : `it could not be revoked at the issuer (${end.why}) and stays valid there`;
  const hint = `nothing was stored, ${what}`;
  const later = isGone || copy === null ? '' : '; the next codex-router login tries to revoke it again';
  if (error instanceof RouterError) {
    const { code, message } = error;
    const next = error.hint ?? `codex-router ${source} starts again`;
    return new RouterError(code, message, { hint: `${hint}; ${next}${later}`, cause: error });
  }
  if (isAbort(error)) {
    const message = 'stopped, the login was discarded';
    return new RouterError('INTERRUPTED', message, { hint: `${hint}${later}`, cause: error });
  }
  return error;
}
