import { createHash } from 'node:crypto';
import { RouterError } from '../errors.js';
import { writeAtomic } from '../os/atomic.js';
import { realpath } from '../os/files.js';
import { workFactorOf } from './age-passphrase.js';
import { type AgeStore, openAgeStore } from './age-store.js';
import type { CodexHome } from './home.js';
import type { CodexKeyring } from './keyring.js';
import { LARGEST_LOGIN, readBytes } from './login-file.js';

/** A place of a Codex home's login other than auth.json. */
export interface SecretPlace {
  /** Its name in sentences. */
  readonly name: string;
  /** The file it lies in; null for none. */
  readonly file: string | null;
  /** Null when it holds no login. @throws KEYCHAIN_*, PLATFORM_UNSUPPORTED, IDENTITY_UNREADABLE, IO */
  read(): Promise<SecretLogin | null>;
}

export interface SecretLogin {
  /** What would be the text of an auth.json. */
  readonly text: string;
  /** Makes everything ready for taking it away, which may take seconds, so that the removal itself is short. */
  prepareRemoval(): Promise<Removal>;
}

/**
 * To be called under Codex's locks. False, and nothing is done, when the login is no longer the very one that was read.
 * @param stillHeld throws when the locks are lost; called right before it writes.
 */
export type Removal = (stillHeld: () => Promise<void>) => Promise<boolean>;

const LOGINS = 'Codex Auth';
const PASSPHRASES = 'codex';

/** The item that Codex makes with `cli_auth_credentials_store = "keyring"` or `"auto"` (0.169, measured). */
export function keyringPlace(home: CodexHome, keyring: CodexKeyring): SecretPlace {
  const read = async () => {
    const mark = await markOf(home);
    return mark === null ? null : keyring.lookup(LOGINS, `cli|${mark}`);
  };
  return {
    name: 'the system keyring',
    file: null,
    read: async () => {
      const text = await read();
      if (text === null) return null;
      const removal: Removal = async (stillHeld) => {
        if ((await read()) !== text) return false;
        await stillHeld();
        await keyring.clear(LOGINS, `cli|${await markOf(home)}`);
        if ((await read()) === null) return true;
        throw new RouterError('KEYCHAIN_DENIED', "the keyring did not let go of Codex's login", {
          hint: 'unlock it, allow access, and run the command again',
        });
      };
      return { text, prepareRemoval: async () => removal };
    },
  };
}

/** The file that Codex keeps with `[features] secret_auth_storage = true` (0.169, measured). */
export function agePlace(home: CodexHome, file: string, keyring: CodexKeyring): SecretPlace {
  let last: { readonly bytes: Uint8Array; readonly store: AgeStore } | null = null;
  // Opening takes seconds, and one command reads it several times.
  const opened = async (bytes: Uint8Array): Promise<AgeStore> => {
    if (last !== null && isSame(last.bytes, bytes)) return last.store;
    const logN = workFactorOf(bytes);
    if (logN === null) throw unreadable(`${file} is not the age file that Codex writes`);
    const passphrase = await keyring.lookup(PASSPHRASES, `secrets|${await markOf(home)}`);
    if (passphrase === null) throw unreadable(`the system keyring has no passphrase for ${file}`);
    const store = await openAgeStore(bytes, passphrase, logN, file);
    last = { bytes, store };
    return store;
  };
  return {
    name: file,
    file,
    read: async () => {
      const bytes = await readBytes(file, LARGEST_LOGIN);
      if (bytes === null) return null;
      const store = await opened(bytes);
      if (store.login === null) return null;
      const prepareRemoval = async (): Promise<Removal> => {
        const rest = await store.withoutLogin();
        return async (stillHeld) => {
          const now = await readBytes(file, LARGEST_LOGIN);
          if (now === null || !isSame(now, bytes)) return false;
          await writeAtomic(file, rest, { beforeRename: stillHeld });
          return true;
        };
      };
      return { text: store.login, prepareRemoval };
    },
  };
}

/** What Codex tells its homes apart by in the keyring: 16 hex digits of SHA-256 over the folder's real path; null when there is no folder. */
async function markOf(home: CodexHome): Promise<string | null> {
  try {
    const folder = await realpath(home.folder);
    return createHash('sha256').update(folder).digest('hex').slice(0, 16);
  } catch {
    return null;
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function unreadable(message: string): RouterError {
  return new RouterError('IDENTITY_UNREADABLE', message, {
    hint: 'codex-router login makes a login of its own',
  });
}
