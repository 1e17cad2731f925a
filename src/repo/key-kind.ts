import { RouterError } from '../errors.js';

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

/** @throws USAGE naming `from` (the flag or variable it came from). */
export function parseKeyKind(text: string, from: string): KeyKind {
  const kind = KEY_KINDS.find((known) => known === text);
  if (kind === undefined) {
    throw new RouterError('USAGE', `${from} must be one of ${KEY_KINDS.join(', ')}`, {
      hint: `for instance ${from.startsWith('--') ? `${from} ` : `${from}=`}file`,
    });
  }
  return kind;
}
