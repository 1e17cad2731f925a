import { basename } from 'node:path';
import { RouterError } from '../errors.js';
import { isObject, type Json, type JsonObject, parseJsonObject } from '../json.js';
import { passphraseIdentity, passphraseRecipient } from './age-passphrase.js';

/** What an age-encrypted store of Codex holds: texts by name, the login among them. */
export interface AgeStore {
  /** The text of an auth.json; null when it holds no login. */
  readonly login: string | null;
  /** The same store without the login, sealed anew; proved to hold every other secret as it was, where there is one. */
  withoutLogin(): Promise<Uint8Array>;
}

/** Under which the login lies (Codex 0.169, measured). */
const LOGIN = 'global/CODEX_AUTH';

/**
 * Opens `$CODEX_HOME/secrets/codex_auth.age`: age v1 under a passphrase, in it `{"version":1,"secrets":{<name>:<text>}}`.
 * @param where its name in sentences.
 * @param logN the work factor its header names, which `withoutLogin` keeps.
 * @throws IDENTITY_UNREADABLE
 */
export async function openAgeStore(
  bytes: Uint8Array,
  passphrase: string,
  logN: number,
  where: string,
): Promise<AgeStore> {
  const age = await import('age-encryption');
  const open = async (sealed: Uint8Array): Promise<string> => {
    const decrypter = new age.Decrypter();
    decrypter.addIdentity(passphraseIdentity(passphrase));
    return decrypter.decrypt(sealed, 'text');
  };
  let text: string;
  try {
    text = await open(bytes);
  } catch {
    // The library's own message may tell of the file's content.
    throw unreadable(`${where} does not open with the passphrase that Codex keeps for it`);
  }
  const { document, secrets } = parseStore(text, where);
  const { [LOGIN]: login, ...others } = secrets;
  return {
    login: textIn(login, where),
    withoutLogin: async () => {
      const rest = JSON.stringify({ ...document, secrets: others });
      const encrypter = new age.Encrypter();
      encrypter.addRecipient(
        passphraseRecipient(passphrase, logN, (args, body) => [new age.Stanza(args, body)]),
      );
      const sealed = await encrypter.encrypt(rest);
      // Opening takes seconds again, and proves nothing where nothing else is to be lost.
      if (Object.keys(others).length === 0 || (await open(sealed)) === rest) return sealed;
      throw new RouterError('BUG', `${basename(where)} could not be sealed anew; it is as it was`);
    },
  };
}

interface Store {
  /** The whole document, so that no field of it is lost. */
  readonly document: JsonObject;
  readonly secrets: JsonObject;
}

function parseStore(text: string, where: string): Store {
  const document = parseJsonObject(text);
  if (document === null) throw unreadable(`${where} holds something else than Codex writes`);
  const { version, secrets } = document;
  if (version !== 1) throw unreadable(`${where} is of another format than codex-router knows`);
  if (!isObject(secrets)) throw unreadable(`${where} holds something else than Codex writes`);
  return { document, secrets };
}

function textIn(value: Json | undefined, where: string): string | null {
  if (value === undefined) return null;
  if (typeof value === 'string') return value;
  throw unreadable(`${where} holds something else than Codex writes`);
}

function unreadable(message: string): RouterError {
  return new RouterError('IDENTITY_UNREADABLE', message, {
    hint: 'codex-router login makes a login of its own',
  });
}
