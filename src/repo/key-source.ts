import { randomBytes } from 'node:crypto';
import { RouterError } from '../errors.js';
import { CREDENTIAL_NAME, credentialIsAtHand, readCredentialKey } from './key-credential.js';
import { createKeyFile, forgetKeyFile, readKeyFile } from './key-file.js';
import type { KeyKind, KeySurroundings } from './key-kind.js';
import { createPassphraseKey, passphraseIsAtHand, readPassphraseKey } from './key-passphrase.js';
import { keychainAccount, keyDeleted } from './keychain.js';
import { decodeBase64url } from './seal.js';
import type { Unlocker, UnlockerOf } from './vault-file.js';

/** A key that is to be made. */
export interface NewKey {
  readonly kind: KeyKind;
  /** Where a new key file goes; null for the default place. */
  readonly keyFile: string | null;
}

/** What vault.json says of a key beside its id and the wrapped key. */
export type KeyFields =
  | { readonly kind: 'keychain' }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'passphrase'; readonly kdf: UnlockerOf<'passphrase'>['kdf'] }
  | { readonly kind: 'credential'; readonly name: string };

/**
 * A new 32-byte key, kept where its kind says, durably, before this returns. Nothing existing is overwritten.
 * @throws KEYCHAIN_*, KEY_MISSING, USAGE, VAULT_PERMISSIONS, IO
 */
export async function createKey(
  deps: KeySurroundings,
  vaultId: string,
  id: string,
  choice: NewKey,
): Promise<{ readonly key: Buffer; readonly fields: KeyFields }> {
  switch (choice.kind) {
    case 'keychain': {
      const key = randomBytes(32);
      await deps.keychain.set(keychainAccount(id), key.toString('base64url'));
      return { key, fields: { kind: 'keychain' } };
    }
    case 'file': {
      const { key, path } = await createKeyFile(deps, { vaultId, id, path: choice.keyFile });
      return { key, fields: { kind: 'file', path } };
    }
    case 'passphrase': {
      const { key, kdf } = await createPassphraseKey(deps);
      return { key, fields: { kind: 'passphrase', kdf } };
    }
    case 'credential':
      return { key: await readCredentialKey(deps), fields: { kind: 'credential', name: CREDENTIAL_NAME } };
  }
}

/** The key of an unlocker, which may still be the wrong one. @throws KEYCHAIN_*, KEY_MISSING, KEY_WRONG, VAULT_PERMISSIONS */
export function readKey(deps: KeySurroundings, unlocker: Unlocker): Promise<Buffer> {
  switch (unlocker.kind) {
    case 'keychain':
      return readKeychainKey(deps, unlocker);
    case 'file':
      return readKeyFile(deps, unlocker);
    case 'passphrase':
      return readPassphraseKey(deps, unlocker);
    case 'credential':
      return readCredentialKey(deps, unlocker.name);
  }
}

/**
 * Deletes a key that no vault needs any more. A passphrase and a credential are not ours to delete.
 * @returns false when the keychain knows no such item: it is gone already, or the keychain is locked, which looks the same to who deletes.
 */
export async function forgetKey(deps: KeySurroundings, unlocker: Unlocker): Promise<boolean> {
  if (unlocker.kind === 'keychain') return deps.keychain.delete(keychainAccount(unlocker.id));
  if (unlocker.kind === 'file') await forgetKeyFile(unlocker);
  return true;
}

/** Whether a key can be tried without asking a person anything. */
export function isAtHand(deps: KeySurroundings, unlocker: Unlocker): boolean {
  switch (unlocker.kind) {
    case 'keychain':
    case 'file':
      return true;
    case 'passphrase':
      return passphraseIsAtHand(deps);
    case 'credential':
      return credentialIsAtHand(deps);
  }
}

async function readKeychainKey(deps: KeySurroundings, unlocker: UnlockerOf<'keychain'>): Promise<Buffer> {
  const text = await deps.keychain.get(keychainAccount(unlocker.id));
  if (text === null) throw keyDeleted();
  const key = decodeBase64url(text);
  if (key?.length !== 32) {
    throw new RouterError('KEY_WRONG', 'the keychain item of this vault does not hold a key', {
      hint: 'it was changed from outside; restore it from a backup of the keychain',
    });
  }
  return key;
}
