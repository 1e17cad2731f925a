import { join } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError } from '../os/atomic.js';
import { readFile } from '../os/files.js';
import type { KeySurroundings } from './key-kind.js';
import { decodeBase64url } from './seal.js';

/** The credential a unit is given with `LoadCredentialEncrypted=codex-router.key:...` (systemd.exec). */
export const CREDENTIAL_NAME = 'codex-router.key';

/** Whether this process runs under a unit that was given credentials. */
export function credentialIsAtHand(deps: KeySurroundings): boolean {
  return Boolean(deps.env.CREDENTIALS_DIRECTORY);
}

/**
 * 32 bytes as base64 or base64url, from `$CREDENTIALS_DIRECTORY`. The file's bits are systemd's business (it uses access
 * lists that look like group-readable), so they are not judged here.
 * @throws KEY_MISSING outside such a unit, KEY_WRONG when the text is not 32 bytes, IO
 */
export async function readCredentialKey(
  deps: KeySurroundings,
  name: string = CREDENTIAL_NAME,
): Promise<Buffer> {
  const folder = deps.env.CREDENTIALS_DIRECTORY;
  if (!folder) throw missing('this process was given no systemd credentials');
  const text = await readCredential(join(folder, name));
  if (text === null) throw missing(`the systemd credential ${name} is not among those given`);
  const key = decodeBase64url(text.trim().replace(/=+$/, '').replaceAll('+', '-').replaceAll('/', '_'));
  if (key?.length !== 32) {
    throw new RouterError('KEY_WRONG', `the systemd credential ${name} is not 32 bytes of base64`, {
      hint: `make one: openssl rand -base64 32 | systemd-creds encrypt --name=${name} - ${name}.cred`,
    });
  }
  return key;
}

async function readCredential(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw ioError(error, path, 'read');
  }
}

function missing(why: string): RouterError {
  return new RouterError('KEY_MISSING', why, {
    hint: `run inside the unit that has LoadCredentialEncrypted=${CREDENTIAL_NAME}`,
  });
}
