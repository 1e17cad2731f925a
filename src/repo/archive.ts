import { RouterError } from '../errors.js';
import type { Secret } from '../secret.js';
import { FORMAT, unreadable } from './archive-document.js';

/** Bytes. A hundred identities take about 1 MB. */
export const LARGEST_ARCHIVE = 64 * 1024 * 1024;

/** How an export is closed: by a passphrase, or for the holders of keys. */
export type Closing =
  | { readonly kind: 'passphrase'; readonly passphrase: Secret }
  | { readonly kind: 'recipients'; readonly recipients: readonly string[] }
  | { readonly kind: 'none' };

/** What a file asks for: `none` for a document that lies there in the clear. */
export type Closed = 'passphrase' | 'identity' | 'none';

const BINARY = 'age-encryption.org/v1';
const ARMOR = '-----BEGIN AGE ENCRYPTED FILE-----';
const PLAIN = new RegExp(`^\\s*\\{\\s*"format"\\s*:\\s*"${FORMAT}"`);

/** Whether bytes begin as an export does: an age file, in binary or in text, or its document in the clear. */
export function isArchive(bytes: Uint8Array): boolean {
  const start = beginningOf(bytes);
  return start.startsWith(BINARY) || start.trimStart().startsWith(ARMOR) || PLAIN.test(start);
}

/**
 * Closes a document as the `age` program does (age-encryption.org/v1), and proves it by opening it again.
 * @throws USAGE for what is no recipient
 */
export async function closeArchive(plain: string, closing: Closing, armored: boolean): Promise<Uint8Array> {
  if (closing.kind === 'none') return new TextEncoder().encode(plain);
  const { Decrypter, Encrypter, armor } = await import('age-encryption');
  const encrypter = new Encrypter();
  const decrypter = new Decrypter();
  if (closing.kind === 'passphrase') {
    encrypter.setPassphrase(normal(closing.passphrase));
    decrypter.addPassphrase(normal(closing.passphrase));
  } else {
    for (const recipient of closing.recipients) addRecipient(encrypter, recipient);
    let fileKey: Uint8Array | null = null;
    // Whoever can open it is elsewhere: the key of this one file is listened for, so that it can be opened once here.
    encrypter.addRecipient({
      wrapFileKey: (key) => {
        fileKey = key.slice();
        return [];
      },
    });
    decrypter.addIdentity({ unwrapFileKey: () => fileKey });
  }
  const bytes = await encrypter.encrypt(plain);
  const closed = armored ? new TextEncoder().encode(armor.encode(bytes)) : bytes;
  const again = await decrypter.decrypt(
    armored ? armor.decode(new TextDecoder().decode(closed)) : closed,
    'text',
  );
  if (again !== plain) throw new RouterError('BUG', 'an export does not open to what was put in');
  return closed;
}

/** What has to be asked for to open these bytes. @throws ARCHIVE_UNREADABLE */
export async function closedBy(bytes: Uint8Array, from: string): Promise<Closed> {
  const start = beginningOf(bytes);
  if (PLAIN.test(start)) return 'none';
  const binary = await withoutArmor(bytes, from);
  const header = new TextDecoder().decode(binary.subarray(0, 64 * 1024)).split('\n--- ')[0] ?? '';
  return /\n-> scrypt /.test(header) ? 'passphrase' : 'identity';
}

/**
 * The document in an archive.
 * @param keys the passphrase, or the text of an age key file
 * @throws KEY_WRONG when it is not for these keys, ARCHIVE_UNREADABLE, USAGE for what is no key file
 */
export async function openArchive(
  bytes: Uint8Array,
  from: string,
  keys: { readonly passphrase: Secret } | { readonly identities: Secret } | null,
): Promise<string> {
  if (keys === null) return new TextDecoder().decode(bytes);
  const binary = await withoutArmor(bytes, from);
  const { Decrypter } = await import('age-encryption');
  const decrypter = new Decrypter();
  if ('passphrase' in keys) {
    // As it was typed, and as codex-router writes it: age itself takes the bytes as they come.
    for (const text of new Set([normal(keys.passphrase), keys.passphrase.reveal()]))
      decrypter.addPassphrase(text);
  } else {
    for (const line of keyLines(keys.identities)) addIdentity(decrypter, line);
  }
  try {
    return await decrypter.decrypt(binary, 'text');
  } catch (error) {
    // The library tells its errors apart by their words only; none of them quotes what it was given.
    const message = error instanceof Error ? error.message : '';
    if (!/no identity matched/.test(message)) throw broken(from);
    const what = 'passphrase' in keys ? 'the passphrase does not open' : 'none of the keys given opens';
    const hint =
      'passphrase' in keys ? 'run the command again' : 'codex-router import --identity <age key file>';
    throw new RouterError('KEY_WRONG', `${what} ${from}`, { hint });
  }
}

async function withoutArmor(bytes: Uint8Array, from: string): Promise<Uint8Array> {
  if (beginningOf(bytes).startsWith(BINARY)) return bytes;
  const { armor } = await import('age-encryption');
  try {
    return armor.decode(new TextDecoder().decode(bytes));
  } catch {
    throw broken(from);
  }
}

function addRecipient(encrypter: { addRecipient(recipient: string): void }, recipient: string): void {
  try {
    encrypter.addRecipient(recipient);
  } catch {
    const shown =
      /^[\x21-\x7e]{1,100}$/.test(recipient) && !/SECRET/i.test(recipient) ? recipient : 'what was given';
    throw new RouterError('USAGE', `${shown} is no age recipient`, {
      hint: 'a recipient begins with age1; age-keygen -y <key file> shows yours',
    });
  }
}

function addIdentity(decrypter: { addIdentity(identity: string): void }, line: string): void {
  try {
    decrypter.addIdentity(line);
  } catch {
    throw new RouterError('USAGE', 'the key file holds something that is no age key', {
      hint: 'it must be as age-keygen writes it; a key file that is itself encrypted is to be opened first: age -d',
    });
  }
}

function keyLines(text: Secret): readonly string[] {
  const lines = text
    .reveal()
    .split(/\r?\n/)
    .map((line) => line.trim());
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

/** The same passphrase typed on another keyboard or system must give the same bytes. */
function normal(passphrase: Secret): string {
  return passphrase.reveal().normalize('NFC');
}

function beginningOf(bytes: Uint8Array): string {
  return new TextDecoder('latin1').decode(bytes.subarray(0, 200));
}

function broken(from: string): RouterError {
  return unreadable(
    `${from} is damaged, cut off, or of a kind that codex-router does not know`,
    'take another copy of it',
  );
}
