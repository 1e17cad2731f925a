import { randomBytes, scrypt } from 'node:crypto';
import { RouterError } from '../errors.js';
import type { KeySurroundings } from './key-kind.js';
import { readPrivateFile } from './private-file.js';
import type { UnlockerOf } from './vault-file.js';

type Kdf = UnlockerOf<'passphrase'>['kdf'];

/** About 0.5 s and 128 MiB a try (facts: measured); the OWASP figure for scrypt. */
const COST = { n: 2 ** 17, r: 8, p: 1 } as const;
const SHORTEST = 8;

/** Whether the passphrase can be had without asking anybody. */
export function passphraseIsAtHand(deps: KeySurroundings): boolean {
  return Boolean(deps.env.CODEX_ROUTER_PASSPHRASE_FILE);
}

/** @throws KEY_MISSING when nobody can be asked, USAGE for one too short or typed differently twice, VAULT_PERMISSIONS */
export async function createPassphraseKey(
  deps: KeySurroundings,
): Promise<{ readonly key: Buffer; readonly kdf: Kdf }> {
  const passphrase = (await passphraseFromFile(deps)) ?? (await askTwice(deps));
  if (passphrase.length < SHORTEST) {
    throw new RouterError('USAGE', `a passphrase needs at least ${SHORTEST} characters`, {
      hint: 'a few random words are better than one clever one',
    });
  }
  const kdf: Kdf = { name: 'scrypt', ...COST, salt: randomBytes(16).toString('base64url') };
  return { key: await derive(passphrase, kdf), kdf };
}

/** A wrong passphrase derives a wrong key, which the caller finds when it unwraps. @throws KEY_MISSING, VAULT_PERMISSIONS */
export async function readPassphraseKey(
  deps: KeySurroundings,
  unlocker: UnlockerOf<'passphrase'>,
): Promise<Buffer> {
  const passphrase =
    (await passphraseFromFile(deps)) ?? (await ask(deps, 'passphrase of the codex-router vault'));
  return derive(passphrase, unlocker.kdf);
}

async function passphraseFromFile(deps: KeySurroundings): Promise<string | null> {
  const path = deps.env.CODEX_ROUTER_PASSPHRASE_FILE;
  if (!path) return null;
  const text = await readPrivateFile(path, 'the passphrase file');
  if (text === null) {
    throw new RouterError('KEY_MISSING', `the passphrase file ${path} is not there`, {
      hint: 'CODEX_ROUTER_PASSPHRASE_FILE must name a file that only you can read',
    });
  }
  return text.replace(/\r?\n$/, '');
}

async function askTwice(deps: KeySurroundings): Promise<string> {
  const first = await ask(deps, 'new passphrase for the codex-router vault');
  const second = await ask(deps, 'the same passphrase again');
  if (first !== second) {
    throw new RouterError('USAGE', 'the two passphrases differ', { hint: 'run the command again' });
  }
  return first;
}

async function ask(deps: KeySurroundings, question: string): Promise<string> {
  if (!deps.isTerminal) {
    throw new RouterError(
      'KEY_MISSING',
      'the vault needs its passphrase, and there is no terminal to ask on',
      {
        hint: 'put it into a file that only you can read and set CODEX_ROUTER_PASSPHRASE_FILE to its path',
      },
    );
  }
  return deps.askSecret(question);
}

// NFC: the same passphrase typed on another keyboard or system must give the same bytes.
function derive(passphrase: string, kdf: Kdf): Promise<Buffer> {
  const { n: N, r, p } = kdf;
  const options = { N, r, p, maxmem: 128 * N * r + 1024 * 1024 * (1 + p) };
  return new Promise((resolve, reject) => {
    scrypt(passphrase.normalize('NFC'), Buffer.from(kdf.salt, 'base64url'), 32, options, (error, key) => {
      if (error) reject(error);
      else resolve(key);
    });
  });
}
