import { RouterError } from '../errors.js';
import type { OutsideHolder } from '../router/custody.js';
import type { LoginSource } from '../router/import-source.js';

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
  return {
    name,
    remedy: 'codex-router import --take moves the login out of the Codex home',
    read: async () => {
      try {
        return await (await (await logins()).home(store)).read();
      } catch (error) {
        if (error instanceof RouterError && error.code === 'LOGIN_NOT_FOUND') return null;
        throw error;
      }
    },
    taking: {
      admit: async () => (await (await logins()).home(store)).admitTaking(),
      take: async (shown, seal) => (await (await logins()).home(store)).take(shown, seal),
    },
  };
}
