import { randomBytes } from 'node:crypto';
import { isAbsolute, join } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError } from '../os/atomic.js';
import { unlink } from '../os/files.js';
import type { KeySurroundings } from './key-kind.js';
import { createPrivateFile, readPrivateFile } from './private-file.js';
import { decodeBase64url } from './seal.js';
import type { UnlockerOf } from './vault-file.js';

/**
 * The key file: 32 random bytes as base64url and a newline. It guards back-ups, sync folders and stray copies of the data
 * folder, not against the same user or root.
 */
export async function createKeyFile(
  deps: KeySurroundings,
  names: { readonly vaultId: string; readonly id: string; readonly path: string | null },
): Promise<{ readonly key: Buffer; readonly path: string }> {
  const chosen = names.path ?? keyFileChosen(deps);
  const path = chosen ?? join(deps.folders.config, `vault-${names.vaultId}.${names.id.slice(0, 8)}.key`);
  if (!isAbsolute(path)) throw relative(path);
  const key = randomBytes(32);
  await createPrivateFile(path, `${key.toString('base64url')}\n`);
  return { key, path };
}

/**
 * Reads the key at the path the person chose now, else at the one vault.json recorded.
 * @throws KEY_MISSING, KEY_WRONG when it holds no key, VAULT_PERMISSIONS, IO
 */
export async function readKeyFile(deps: KeySurroundings, unlocker: UnlockerOf<'file'>): Promise<Buffer> {
  const path = keyFileChosen(deps) ?? unlocker.path;
  const text = await readPrivateFile(path, 'the key file');
  if (text === null) {
    throw new RouterError('KEY_MISSING', `the vault's key file ${path} is not there`, {
      hint: 'put it back, or say where it is with CODEX_ROUTER_KEY_FILE',
    });
  }
  const key = decodeBase64url(text.trim());
  if (key?.length !== 32) {
    throw new RouterError('KEY_WRONG', `${path} does not hold a key`, {
      hint: 'put the right file back, or say where it is with CODEX_ROUTER_KEY_FILE',
    });
  }
  return key;
}

/** Deletes the key file at the path vault.json recorded; one that is gone already is no error. */
export async function forgetKeyFile(unlocker: UnlockerOf<'file'>): Promise<void> {
  try {
    await unlink(unlocker.path);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw ioError(error, unlocker.path, 'write');
  }
}

function keyFileChosen(deps: KeySurroundings): string | null {
  const path = deps.keyFile ?? (deps.env.CODEX_ROUTER_KEY_FILE || null);
  if (path !== null && !isAbsolute(path)) throw relative(path);
  return path;
}

function relative(path: string): RouterError {
  return new RouterError('USAGE', `the path of a key file must be absolute, not ${path}`, {
    hint: 'give the full path',
  });
}
