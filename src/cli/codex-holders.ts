import { RouterError } from '../errors.js';
import type { OutsideHolder } from '../router/custody.js';
import type { LoginHome, LoginSource } from '../router/import-source.js';

/** Each store of the Codex CLI's own home. One that is not there, or holds no ChatGPT login, holds nothing of ours. */
export function codexHolders(logins: () => Promise<LoginSource>): readonly OutsideHolder[] {
  return [
    codexHolder(logins, 'file', 'the Codex CLI'),
    codexHolder(logins, 'keyring', 'the Codex CLI (in the system keyring)'),
    codexHolder(logins, 'age', 'the Codex CLI (in its encrypted store)'),
  ];
}

function codexHolder(
  logins: () => Promise<LoginSource>,
  store: 'file' | 'keyring' | 'age',
  name: string,
): OutsideHolder {
  // One for the whole command: what took seconds to open is not opened again while it is the same.
  let found: Promise<LoginHome> | null = null;
  const home = (): Promise<LoginHome> => {
    found ??= logins().then((source) => source.home(store));
    return found;
  };
  return {
    name,
    remedy: 'codex-router import --take moves the login out of the Codex home',
    read: async () => {
      try {
        return await (await home()).read();
      } catch (error) {
        if (error instanceof RouterError && error.code === 'LOGIN_NOT_FOUND') return null;
        throw error;
      }
    },
    taking: {
      admit: async () => (await home()).admitTaking(),
      take: async (shown, seal) => (await home()).take(shown, seal),
    },
  };
}
