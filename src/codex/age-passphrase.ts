import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import type { Identity, Recipient } from 'age-encryption';

/**
 * age's scrypt recipient (the age v1 format, "The scrypt recipient type") on Node's own scrypt: it runs beside the rest of the program,
 * where the package's would stop it for seconds, and it opens work factors above 20, which Codex chooses on a fast machine (the Rust crate age aims at a second).
 */
export function passphraseIdentity(passphrase: string): Identity {
  return {
    unwrapFileKey: async (stanzas) => {
      const [stanza, another] = stanzas;
      const [type, salt = '', factor = ''] = stanza?.args ?? [];
      if (stanza === undefined || another !== undefined || type !== 'scrypt') return null;
      const logN = parseFactor(factor);
      if (logN === null || stanza.body.length !== 32) return null;
      const key = await deriveKey(passphrase, Buffer.from(salt, 'base64'), logN);
      return opened(key, stanza.body);
    },
  };
}

export function passphraseRecipient(
  passphrase: string,
  logN: number,
  newStanza: (args: string[], body: Uint8Array) => ReturnType<Recipient['wrapFileKey']>,
): Recipient {
  return {
    wrapFileKey: async (fileKey) => {
      const salt = randomBytes(16);
      const key = await deriveKey(passphrase, salt, logN);
      const args = ['scrypt', salt.toString('base64').replace(/=+$/, ''), String(logN)];
      return newStanza(args, sealed(key, fileKey));
    },
  };
}

/** The work factor that the header of an age file names; null for a file that no passphrase opens. */
export function workFactorOf(file: Uint8Array): number | null {
  const head = Buffer.from(file.subarray(0, 200)).toString('latin1');
  return parseFactor(/^age-encryption\.org\/v1\n-> scrypt \S+ (\d+)\n/.exec(head)?.[1] ?? '');
}

/** 22 takes 4 GB and some ten seconds, and is the most that the program age takes. */
function parseFactor(text: string): number | null {
  const factor = /^[1-9]\d?$/.test(text) ? Number(text) : 0;
  return factor >= 1 && factor <= 22 ? factor : null;
}

function deriveKey(passphrase: string, salt: Uint8Array, logN: number): Promise<Buffer> {
  const labelled = Buffer.concat([Buffer.from('age-encryption.org/v1/scrypt'), salt]);
  const cost = { N: 2 ** logN, r: 8, p: 1, maxmem: 2 ** (logN + 10) + 2 ** 25 };
  return new Promise((settle, fail) => {
    scrypt(passphrase, labelled, 32, cost, (error, key) => (error === null ? settle(key) : fail(error)));
  });
}

const TAG = { authTagLength: 16 };
const NONCE = Buffer.alloc(12);

/** Null for the wrong passphrase. */
function opened(key: Uint8Array, body: Uint8Array): Uint8Array | null {
  const decipher = createDecipheriv('chacha20-poly1305', key, NONCE, TAG);
  decipher.setAuthTag(body.subarray(16));
  try {
    return Buffer.concat([decipher.update(body.subarray(0, 16)), decipher.final()]);
  } catch {
    return null;
  }
}

function sealed(key: Uint8Array, fileKey: Uint8Array): Uint8Array {
  const cipher = createCipheriv('chacha20-poly1305', key, NONCE, TAG);
  return Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()]);
}
