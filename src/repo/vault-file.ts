import * as z from 'zod/mini';
import { damage, FORMAT_VERSION, parseVersioned } from './format.js';
import type { KeyKind } from './key-kind.js';
import { type Sealed, seal, unseal } from './seal.js';

const shared = {
  /** Unique per key ever made, so that a key source is written once and never overwritten. */
  id: z.uuid(),
  /** ms epoch */
  addedAt: z.number(),
  /** The vault's key, sealed under this unlocker's own key. */
  wrapped: z.looseObject({ nonce: z.string(), sealed: z.string() }),
};

// `kind` comes first: a glance at the text tells whether the keychain will be needed.
const unlockerFormat = z.discriminatedUnion('kind', [
  z.looseObject({ kind: z.literal('keychain'), ...shared }),
  z.looseObject({ kind: z.literal('file'), ...shared, path: z.string().check(z.minLength(1)) }),
  z.looseObject({
    kind: z.literal('passphrase'),
    ...shared,
    kdf: z.looseObject({
      name: z.literal('scrypt'),
      // Bounds, so that a vault.json from elsewhere cannot ask for all the memory there is.
      n: z.int().check(z.minimum(2 ** 14), z.maximum(2 ** 20)),
      r: z.int().check(z.minimum(1), z.maximum(16)),
      p: z.int().check(z.minimum(1), z.maximum(16)),
      salt: z.string().check(z.minLength(22)),
    }),
  }),
  z.looseObject({ kind: z.literal('credential'), ...shared, name: z.string().check(z.minLength(1)) }),
]);

const vaultFormat = z.looseObject({
  version: z.literal(FORMAT_VERSION),
  vaultId: z.uuid(),
  createdAt: z.number(),
  /** The first is the primary: the one every command opens with. */
  unlockers: z.array(unlockerFormat).check(z.minLength(1)),
});

/** One way to the vault's key, as vault.json holds it. Fields of other releases ride along. */
export type Unlocker = z.infer<typeof unlockerFormat>;
export type UnlockerOf<Kind extends KeyKind> = Extract<Unlocker, { kind: Kind }>;
/** vault.json: nothing in it is secret without one of the keys it names. */
export type VaultFile = z.infer<typeof vaultFormat>;

/** @throws VAULT_NEWER, VAULT_DAMAGED */
export function parseVaultFile(text: string, path: string): VaultFile {
  const found = vaultFormat.safeParse(parseVersioned(text, path, 'VAULT_DAMAGED'));
  if (!found.success) {
    throw damage(path, `its field ${found.error.issues[0]?.path.join('.') || '(top)'} is not as it must be`);
  }
  return found.data;
}

export function encodeVaultFile(file: VaultFile): string {
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** The vault's key sealed under `key`; bound to vault, unlocker and kind so that no part can be moved to another. */
export function wrapKey(
  key: Buffer,
  vaultId: string,
  who: Pick<Unlocker, 'id' | 'kind'>,
  dataKey: Buffer,
): Sealed {
  return seal(key, boundTo(vaultId, who), dataKey);
}

/** The vault's 32-byte key, or null when `key` is not the one it was wrapped under. */
export function unwrapKey(key: Buffer, vaultId: string, unlocker: Unlocker): Buffer | null {
  const dataKey = unseal(key, boundTo(vaultId, unlocker), unlocker.wrapped);
  return dataKey?.length === 32 ? dataKey : null;
}

function boundTo(vaultId: string, who: Pick<Unlocker, 'id' | 'kind'>): string {
  return `codex-router|${FORMAT_VERSION}|key|${vaultId}|${who.id}|${who.kind}`;
}
