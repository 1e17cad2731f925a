import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** AES-256-GCM output as it lies in our files; both parts canonical base64url, `sealed` is ciphertext then 16-byte tag. */
export interface Sealed {
  readonly nonce: string;
  readonly sealed: string;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Seals `plain` under a 32-byte key with a fresh random nonce (NIST SP 800-38D, 8.2.2: safe for 2^32 messages per key).
 * `bound` is authenticated, not stored: opening needs the same text.
 */
export function seal(key: Buffer, bound: string, plain: Buffer): Sealed {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(Buffer.from(bound, 'utf8'));
  const sealed = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  return { nonce: nonce.toString('base64url'), sealed: sealed.toString('base64url') };
}

/** The plain bytes, or null when the key is another, a bit was changed, or `bound` differs. Never throws. */
export function unseal(key: Buffer, bound: string, box: Sealed): Buffer | null {
  const nonce = decodeBase64url(box.nonce);
  const bytes = decodeBase64url(box.sealed);
  if (nonce?.length !== NONCE_BYTES || bytes === null || bytes.length < TAG_BYTES) return null;
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(bound, 'utf8'));
    decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
    return Buffer.concat([decipher.update(bytes.subarray(0, bytes.length - TAG_BYTES)), decipher.final()]);
  } catch {
    return null;
  }
}

/** Strict: null unless `text` is exactly what encoding its bytes gives (Node's own decoder skips what it does not know). */
export function decodeBase64url(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : null;
}
