import { join } from 'node:path';
import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { sameIdentity } from '../identity.js';
import { otherCredentials, parseAuthJson } from './auth-json.js';
import type { CodexHome } from './home.js';
import { codexKeyring } from './keyring.js';
import { type Flock, findFlock, withCodexLocks } from './locks.js';
import { linkTarget } from './login-file.js';
import type { CodexSurroundings, LoginPlace } from './logins.js';
import { agePlace, keyringPlace, type SecretPlace } from './secret-places.js';
import { admitTaking, type Seal } from './take.js';

/** The stores of a home beside auth.json, each with the way to take its login; the age files first, as they replace the plain keyring. */
export function secretPlaces(
  home: CodexHome,
  around: CodexSurroundings,
  wanted: { readonly keyring: boolean; readonly age: readonly string[] },
  mayFail: boolean,
): readonly LoginPlace[] {
  const { env, platform, isTerminal = false } = around;
  const keyring = codexKeyring({ env, platform, isTerminal });
  const places = wanted.age.map((file) => agePlace(home, file, keyring));
  if (wanted.keyring) places.push(keyringPlace(home, keyring));
  return places.map((place) => loginPlace(home, around, place, mayFail));
}

function loginPlace(
  home: CodexHome,
  { env, platform, uid }: CodexSurroundings,
  place: SecretPlace,
  mayFail: boolean,
): LoginPlace {
  const admit = async (): Promise<void> => {
    const found = await place.read();
    if (found === null) return;
    const file = place.file ?? null;
    await admitTaking({ file, name: place.name, alsoHolds: otherCredentials(found.text) }, uid);
  };
  return {
    mayFail,
    read: async () => {
      const found = await place.read();
      return found === null ? null : parseAuthJson(found.text, place.name, home.testIssuer);
    },
    admitTaking: async () => {
      await findFlock(env, platform);
      await admit();
    },
    take: async (shown, seal) => {
      const flock = await findFlock(env, platform);
      await admit();
      await takeSecret(home, place, shown, flock, seal);
    },
  };
}

/** How often a login that changes under our hands is sealed again. */
const ATTEMPTS = 3;

/**
 * Moves a login out of a place that has no rename: it is sealed first; then, under Codex's own locks, taken away if it is still the very
 * one that was sealed, else sealed again. A crash in between leaves it in both: `use` sees it there, and the next import takes it away.
 * @param shown what the person was shown; `seal` gets what is really there, of the same identity.
 * @throws SLOT_CHANGED another identity or no login is there now; HOST_BUSY; what `seal` throws. What is left in Codex is said.
 */
export async function takeSecret(
  home: CodexHome,
  place: SecretPlace,
  shown: Holding,
  flock: Flock,
  seal: Seal,
): Promise<void> {
  const file = (await linkTarget(home.authJson)) ?? join(home.folder, 'auth.json');
  let sealed = false;
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const found = await place.read();
      if (found === null) throw changed(`the login of ${home.folder} is no longer there`);
      const login = parseAuthJson(found.text, place.name, home.testIssuer);
      const isShown = sameIdentity(login.identity, shown.identity);
      if (!isShown || otherCredentials(found.text).length > 0)
        throw changed(`${home.folder} has another login now`);
      await seal(login);
      sealed = true;
      const removal = await found.prepareRemoval();
      if (await withCodexLocks(flock, home.folder, file, removal)) return;
    }
    throw new RouterError('HOST_BUSY', `the login of ${home.folder} changes too often to be taken`, {
      hint: 'close Codex programs, and run codex-router import --take again',
    });
  } catch (error) {
    if (!sealed || !(error instanceof RouterError)) throw error;
    throw new RouterError(
      error.code,
      `${error.message}; the login is sealed, and still in ${place.name} too`,
      { hint: 'codex-router import --take again, before it is used', cause: error },
    );
  }
}

function changed(message: string): RouterError {
  return new RouterError('SLOT_CHANGED', message, { hint: 'codex-router import' });
}
