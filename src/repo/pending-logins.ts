import { join } from 'node:path';
import * as z from 'zod/mini';
import { RouterError } from '../errors.js';
import { removeLeftovers, unlinkDurably, writeAtomic } from '../os/atomic.js';
import { stat } from '../os/files.js';
import { ensureFolder } from '../os/folders.js';
import { Secret } from '../secret.js';
import { expectWritten, FORMAT_VERSION, parseVersioned, readTextOrNull } from './format.js';
import type { OpenRepo } from './repo.js';
import type { Sealed } from './seal.js';

/** A login that was begun here and is finished in a browser elsewhere: what is known of it without the key. */
export interface PendingLogin {
  /** ms epoch */
  readonly createdAt: number;
  readonly redirectUri: string;
  /** Whom it has to be of; null when that was not said. */
  readonly expect: string | null;
  readonly alias: string | null;
}

/** What makes the answer of the browser worth something. */
export interface PendingSecrets {
  readonly state: Secret;
  readonly verifier: Secret;
}

/** What lies there: at most one login, and one that was finished is remembered until it would have expired. */
export type StoredLogin =
  | { readonly kind: 'pending'; readonly login: PendingLogin; readonly box: Sealed }
  /** The secrets are gone. */
  | { readonly kind: 'used'; readonly login: PendingLogin };

type Sealer = Pick<OpenRepo, 'sealText' | 'unsealText'>;

/** `pending-login.json` in the data folder. What writes is to be called under the router lock. */
export interface PendingLogins {
  /** Null when there is no file. @throws RECORD_DAMAGED, VAULT_NEWER, IO */
  read(): Promise<StoredLogin | null>;
  /** Sealed durably and read back when it returns; what lay there is gone. @throws IO */
  write(sealer: Sealer, login: PendingLogin, secrets: PendingSecrets): Promise<void>;
  /** @throws RECORD_DAMAGED when it was altered, or sealed under another vault's key. */
  open(sealer: Sealer, stored: Extract<StoredLogin, { kind: 'pending' }>): PendingSecrets;
  /** The secrets are durably gone when it returns. @throws IO */
  markUsed(login: PendingLogin): Promise<void>;
  /** Whatever lies there; nothing is no error. @throws IO */
  remove(): Promise<void>;
}

const login = z.looseObject({
  createdAt: z.int().check(z.positive()),
  redirectUri: z.string(),
  expect: z.nullable(z.string()),
  alias: z.nullable(z.string()),
});
const file = z.union([
  z.looseObject({ kind: z.literal('pending'), login, nonce: z.string(), sealed: z.string() }),
  z.looseObject({ kind: z.literal('used'), login }),
]);
const secretsFormat = z.looseObject({
  state: z.string().check(z.minLength(1)),
  verifier: z.string().check(z.minLength(1)),
});

const NAME = 'pending-login.json';

export function pendingLoginsIn(folder: string): PendingLogins {
  const path = join(folder, NAME);

  async function write(content: object): Promise<void> {
    await ensureFolder(folder);
    const text = `${JSON.stringify({ version: FORMAT_VERSION, ...content })}\n`;
    await writeAtomic(path, text);
    await expectWritten(path, text);
  }

  return {
    async read() {
      if (await isFolder(path)) throw noFile(path);
      const text = await readTextOrNull(path);
      if (text === null) return null;
      const found = file.safeParse(parseOurs(text, path));
      if (!found.success) throw damaged(path, 'it is not as it must be');
      const { data } = found;
      if (data.kind === 'used') return data;
      return { kind: 'pending', login: data.login, box: { nonce: data.nonce, sealed: data.sealed } };
    },
    async write(sealer, login, { state, verifier }) {
      const plain = JSON.stringify({ state: state.reveal(), verifier: verifier.reveal() });
      await write({ kind: 'pending', login, ...sealer.sealText(purposeOf(login), plain) });
    },
    open(sealer, { login, box }) {
      const plain = sealer.unsealText(purposeOf(login), box);
      const found = plain === null ? null : secretsFormat.safeParse(JSON.parse(plain));
      if (!found?.success) throw damaged(path, 'it was altered, or belongs to another vault');
      return { state: new Secret(found.data.state), verifier: new Secret(found.data.verifier) };
    },
    markUsed: (login) => write({ kind: 'used', login }),
    async remove() {
      await removeLeftovers(path);
      await unlinkDurably(folder, NAME);
    },
  };
}

/** Everything that stands there in the clear is authenticated by it. */
function purposeOf({ createdAt, redirectUri, expect, alias }: PendingLogin): string {
  return `pending-login|${JSON.stringify([createdAt, redirectUri, expect, alias])}`;
}

function parseOurs(text: string, path: string): object {
  try {
    return parseVersioned(text, path, 'RECORD_DAMAGED');
  } catch (error) {
    if (error instanceof RouterError && error.code === 'RECORD_DAMAGED')
      throw damaged(path, 'it cannot be read');
    throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  const about = await stat(path).catch(() => null);
  return about?.isDirectory() === true;
}

/** Whoever put it there has to take it away: it may hold anything. */
function noFile(path: string): RouterError {
  const hint = 'move that folder away, or use codex-router login; no stored login is touched';
  return new RouterError('IO', `${path}, where a login that was begun is kept, is a folder`, { hint });
}

/** There is no back-up of it, and none is needed: it holds no login yet. */
function damaged(path: string, why: string): RouterError {
  return new RouterError('RECORD_DAMAGED', `${path}, the login that was begun, is damaged: ${why}`, {
    hint: 'codex-router login cancel removes it; no stored login is touched',
  });
}
