import { hkdfSync, randomBytes, randomUUID } from 'node:crypto';
import { RouterError } from '../errors.js';
import { createExclusively } from '../os/exclusive.js';
import { ensureFolder, type RouterFolders, refuseForeignFolder } from '../os/folders.js';
import { damage, FORMAT_VERSION, readTextOrNull } from './format.js';
import { KEY_KIND_NAME, type KeyKind, type KeySurroundings } from './key-kind.js';
import { createKey, forgetKey, isAtHand, type NewKey, readKey } from './key-source.js';
import {
  encodeVaultFile,
  parseVaultFile,
  type Unlocker,
  unwrapKey,
  type VaultFile,
  wrapKey,
} from './vault-file.js';
import { vaultPath } from './vault-path.js';

/** What the vault needs from outside. */
export interface VaultDeps extends KeySurroundings {
  /** Talk: which key source was chosen, what was left behind. */
  readonly say: (line: string) => void;
  /** ms epoch */
  readonly now: () => number;
}

/** An open vault: keys derived from the one that was unwrapped, each for one purpose. */
export interface Vault {
  readonly vaultId: string;
  /** AES-256-GCM key of records and back-ups. */
  readonly recordKey: Buffer;
  /** HMAC-SHA-256 key of fingerprints. */
  readonly fingerprintKey: Buffer;
}

/** vault.json, or null when there is none. @throws VAULT_NEWER, VAULT_DAMAGED, IO */
export async function readVaultFile(folders: RouterFolders): Promise<VaultFile | null> {
  const path = vaultPath(folders);
  const text = await readTextOrNull(path);
  return text === null ? null : parseVaultFile(text, path);
}

/**
 * Makes a new vault and its key. Order: key first, then vault.json at one stroke, so that a crash leaves at most an unused key.
 * @throws VAULT_EXISTS when there is one already, which is left untouched; whatever the key source throws.
 */
export async function initVault(deps: VaultDeps, choice: NewKey): Promise<{ vault: Vault; file: VaultFile }> {
  if ((await readTextOrNull(vaultPath(deps.folders))) !== null) throw exists(deps.folders);
  await refuseForeignFolder(deps.folders.data);
  await ensureFolder(deps.folders.data);
  const vaultId = randomUUID();
  const dataKey = randomBytes(32);
  const unlocker = await newUnlocker(deps, vaultId, dataKey, choice);
  const file: VaultFile = {
    version: FORMAT_VERSION,
    vaultId,
    createdAt: deps.now(),
    unlockers: [unlocker],
  };
  if (!(await createExclusively(vaultPath(deps.folders), encodeVaultFile(file)))) {
    await forgetKey(deps, unlocker);
    throw exists(deps.folders);
  }
  return { vault: deriveKeys(vaultId, dataKey), file };
}

/**
 * Opens the vault. The primary unlocker is tried first; another only if it needs no question, and that is said aloud.
 * @param withKind open with this kind of key and no other.
 * @throws KEYCHAIN_*, KEY_MISSING, KEY_WRONG, VAULT_PERMISSIONS; the hint names the command that recovers, if one can.
 */
export async function openVault(
  deps: VaultDeps,
  file: VaultFile,
  withKind: KeyKind | null = null,
): Promise<Vault> {
  return deriveKeys(file.vaultId, await unlock(deps, file, withKind));
}

/** The vault's own key, for `rekey`; as `openVault` otherwise. */
export async function unlock(deps: VaultDeps, file: VaultFile, withKind: KeyKind | null): Promise<Buffer> {
  const [primary, ...others] = withKind === null ? file.unlockers : ofKind(file, withKind);
  if (primary === undefined) throw damage(vaultPath(deps.folders), 'it names no key');
  let trouble: unknown;
  try {
    return await unlockWith(deps, file, primary);
  } catch (error) {
    trouble = error;
  }
  for (const other of others) {
    if (!isAtHand(deps, other)) continue;
    try {
      const dataKey = await unlockWith(deps, file, other);
      const why = trouble instanceof Error ? trouble.message : 'the first key failed';
      deps.say(`${why}; opened the vault with ${KEY_KIND_NAME[other.kind]} instead`);
      return dataKey;
    } catch {
      // The primary's error is the one to report: it is the key a person expects to be used.
    }
  }
  // Who chose the key wants that key.
  throw withKind === null ? withRecovery(trouble, file, primary) : trouble;
}

/** Makes a key of the chosen kind and wraps the vault's key under it. */
export async function newUnlocker(
  deps: VaultDeps,
  vaultId: string,
  dataKey: Buffer,
  choice: NewKey,
): Promise<Unlocker> {
  const id = randomUUID();
  const { key, fields } = await createKey(deps, vaultId, id, choice);
  const wrapped = wrapKey(key, vaultId, { id, kind: fields.kind }, dataKey);
  return { ...fields, id, addedAt: deps.now(), wrapped: { ...wrapped } };
}

async function unlockWith(deps: VaultDeps, file: VaultFile, unlocker: Unlocker): Promise<Buffer> {
  const dataKey = unwrapKey(await readKey(deps, unlocker), file.vaultId, unlocker);
  if (dataKey !== null) return dataKey;
  const what =
    unlocker.kind === 'passphrase' ? 'the passphrase' : KEY_KIND_NAME[unlocker.kind].replace(/^a /, 'the ');
  throw new RouterError('KEY_WRONG', `${what} does not open this vault`, {
    hint: unlocker.kind === 'passphrase' ? 'try again' : 'check that it belongs to this vault',
  });
}

function ofKind(file: VaultFile, kind: KeyKind): Unlocker[] {
  const found = file.unlockers.filter((unlocker) => unlocker.kind === kind);
  if (found.length > 0) return found;
  const kinds = file.unlockers.map((unlocker) => unlocker.kind).join(', ');
  throw new RouterError('USAGE', `this vault has no key of kind ${kind}`, { hint: `it has: ${kinds}` });
}

function withRecovery(trouble: unknown, file: VaultFile, primary: Unlocker): unknown {
  if (!(trouble instanceof RouterError)) return trouble;
  const other = file.unlockers.find((unlocker) => unlocker.kind !== primary.kind);
  if (other === undefined) return trouble;
  const gone = trouble.code === 'KEY_MISSING' || trouble.code === 'KEY_WRONG';
  const to = gone ? primary.kind : primary.kind === 'keychain' ? 'file' : 'keychain';
  const command = `codex-router vault rekey --to ${to} --with ${other.kind}`;
  const mistyped = primary.kind === 'passphrase' && trouble.code === 'KEY_WRONG';
  const instead = mistyped ? 'if it is forgotten' : 'or move to another key';
  const hint =
    gone && !mistyped ? command : `${trouble.hint ?? 'run it again later'}; ${instead}: ${command}`;
  return new RouterError(trouble.code, trouble.message, { hint, cause: trouble });
}

// RFC 5869: one key per purpose, so that a record key is never also a MAC key.
function deriveKeys(vaultId: string, dataKey: Buffer): Vault {
  const derive = (purpose: string) =>
    Buffer.from(hkdfSync('sha256', dataKey, vaultId, `codex-router|${FORMAT_VERSION}|${purpose}`, 32));
  return { vaultId, recordKey: derive('records'), fingerprintKey: derive('fingerprints') };
}

function exists(folders: RouterFolders): RouterError {
  return new RouterError('VAULT_EXISTS', `there is a vault already in ${folders.data}`, {
    hint: 'codex-router vault rekey --to <keychain|file|passphrase|credential> changes its key; a new key is never laid over it',
  });
}
