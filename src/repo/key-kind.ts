import { RouterError } from '../errors.js';
import type { Env, RouterFolders } from '../os/folders.js';
import type { Keychain } from './keychain.js';

/** Where a vault's key comes from. */
export type KeyKind = 'keychain' | 'file' | 'passphrase' | 'credential';

export const KEY_KINDS: readonly KeyKind[] = ['keychain', 'file', 'passphrase', 'credential'];

/** As a person reads it in a sentence. */
export const KEY_KIND_NAME: { readonly [Kind in KeyKind]: string } = {
  keychain: 'the OS keychain',
  file: 'a key file',
  passphrase: 'a passphrase',
  credential: 'a systemd credential',
};

/** What a key of any kind is made with and read with. */
export interface KeySurroundings {
  readonly folders: RouterFolders;
  /** Read: CODEX_ROUTER_KEY_FILE, CODEX_ROUTER_PASSPHRASE_FILE, CREDENTIALS_DIRECTORY and the session bus's variables. */
  readonly env: Env;
  readonly keychain: Keychain;
  /** Whether a person can be asked; `askSecret` is never called otherwise. */
  readonly isTerminal: boolean;
  readonly askSecret: (question: string) => Promise<string>;
  /** `--key-file`: where the key file is (open) or goes (init); absolute. Null: CODEX_ROUTER_KEY_FILE, else the recorded path. */
  readonly keyFile: string | null;
}

/**
 * @param from the flag or variable that `text` came from.
 * @param example what to type instead, in full.
 * @throws USAGE naming `from`.
 */
export function parseKeyKind(
  text: string,
  from: string,
  example = `${from.startsWith('--') ? `${from} ` : `${from}=`}file`,
): KeyKind {
  const kind = KEY_KINDS.find((known) => known === text);
  if (kind === undefined) {
    throw new RouterError('USAGE', `${from} must be one of ${KEY_KINDS.join(', ')}`, {
      hint: `for instance ${example}`,
    });
  }
  return kind;
}
