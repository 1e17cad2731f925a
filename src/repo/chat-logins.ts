import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { systemErrorCode } from '../errors.js';
import type { Holding } from '../holding.js';
import { ioError, removeLeftovers, unlinkDurably, writeAtomic } from '../os/atomic.js';
import { readdir } from '../os/files.js';
import { ensureFolder } from '../os/folders.js';
import type { Secret } from '../secret.js';
import type { ArrivingPerson } from './arriving-logins.js';
import {
  damaged,
  type ENDS,
  encodeHeld,
  encodeSecrets,
  parseHeld,
  parseSecrets,
  parseStored,
  purposeOf,
} from './chat-login-format.js';
import { expectWritten, FORMAT_VERSION, readTextOrNull } from './format.js';
import type { Who } from './journal.js';
import type { OpenRepo } from './repo.js';
import type { Sealed } from './seal.js';

/** One sender in one chat, as a hash: whose a login is that was begun there, and nobody else's. */
export type ChatOwner = string & { readonly chatOwner: unique symbol };

/** @param sender `ChatRequest.sender`. @param chat `ChatRequest.chat` */
export function chatOwnerOf(sender: string, chat: string): ChatOwner {
  const text = `chat-login|${JSON.stringify([sender, chat])}`;
  return createHash('sha256').update(text).digest('hex').slice(0, 32) as ChatOwner;
}

/** A login that was begun in a chat: what is known of it without the key. */
export interface ChatLogin {
  /** Eight of a to z and 2 to 7; a button names it by them. */
  readonly id: string;
  /** ms epoch */
  readonly startedAt: number;
  /** ms epoch after which it cannot be finished. */
  readonly expiresAt: number;
  readonly flow: 'device' | 'link';
  /** The only one that it may be of; null for anybody. */
  readonly wanted: Who | null;
  readonly alias: string | null;
}

export function newChatLoginId(): string {
  return [...randomBytes(8)].map((byte) => 'abcdefghijklmnopqrstuvwxyz234567'[byte % 32]).join('');
}

/** What the issuer's answer is fetched with. */
export type ChatLoginSecrets =
  | {
      readonly flow: 'device';
      readonly id: Secret;
      readonly userCode: string;
      /** ms between two questions. */
      readonly interval: number;
      /** ms epoch before which the issuer does not want to be asked again. */
      readonly askAfter: number;
    }
  | {
      readonly flow: 'link';
      readonly redirectUri: string;
      readonly state: Secret;
      readonly verifier: Secret;
    };

/** A login that was made and is neither stored nor revoked: it waits for the word of its sender. */
export interface HeldLogin {
  readonly holding: Holding;
  /** Whether its sender was told whose it is. */
  readonly isShown: boolean;
  /** Whether the backend accepted it. */
  readonly verified: boolean;
}

/** How a login ended. `sent`: its answer went to the issuer, and no word of what came of it was left here. */
export type ChatLoginEnd = (typeof ENDS)[number];

export type StoredChatLogin =
  | { readonly kind: 'begun'; readonly login: ChatLogin; readonly box: Sealed }
  | {
      readonly kind: 'held';
      readonly login: ChatLogin;
      /** ms epoch */
      readonly heldAt: number;
      readonly person: ArrivingPerson;
      readonly box: Sealed;
    }
  /** Nobody is to have it any more; what would revoke it is still here, because that is not known to be done. */
  | {
      readonly kind: 'ending';
      readonly login: ChatLogin;
      /** ms epoch */
      readonly endedAt: number;
      readonly how: ChatLoginEnd;
      readonly person: ArrivingPerson;
      readonly box: Sealed;
    }
  /** The secrets are gone. */
  | {
      readonly kind: 'used';
      readonly login: ChatLogin;
      /** ms epoch */
      readonly usedAt: number;
      readonly how: ChatLoginEnd;
    };

export type StoredAs<Kind extends StoredChatLogin['kind']> = Extract<StoredChatLogin, { kind: Kind }>;
type Sealer = Pick<OpenRepo, 'sealText' | 'unsealText'>;

/** `chat-logins/` in the data folder, one file for each owner. What writes is to be called under that owner's lock. */
export interface ChatLogins {
  /** Null when there is none. @throws RECORD_DAMAGED, VAULT_NEWER, IO */
  read(owner: ChatOwner): Promise<StoredChatLogin | null>;
  /** Sealed durably and read back when it returns; what lay there is gone. @throws IO */
  begin(sealer: Sealer, owner: ChatOwner, login: ChatLogin, secrets: ChatLoginSecrets): Promise<void>;
  /** As `begin`, for the login that was made. @param heldAt ms epoch */
  hold(sealer: Sealer, owner: ChatOwner, login: ChatLogin, held: HeldLogin, heldAt: number): Promise<void>;
  /** As `hold`, for a login that is going to be revoked. @param endedAt ms epoch */
  end(
    sealer: Sealer,
    owner: ChatOwner,
    login: ChatLogin,
    holding: Holding,
    how: ChatLoginEnd,
    endedAt: number,
  ): Promise<void>;
  /** The secrets are durably gone when it returns. @param usedAt ms epoch. @throws IO */
  markUsed(owner: ChatOwner, login: ChatLogin, how: ChatLoginEnd, usedAt: number): Promise<void>;
  /** Whatever lies there; nothing is no error. @throws IO */
  remove(owner: ChatOwner): Promise<void>;
  /** @throws RECORD_DAMAGED when it was altered, or sealed for another owner or under another vault's key. */
  openBegun(sealer: Sealer, owner: ChatOwner, stored: StoredAs<'begun'>): ChatLoginSecrets;
  /** @throws as `openBegun` */
  openHeld(sealer: Sealer, owner: ChatOwner, stored: StoredAs<'held' | 'ending'>): HeldLogin;
  /** All that have one, in no order that means anything. @throws IO */
  owners(): Promise<readonly ChatOwner[]>;
  pathOf(owner: ChatOwner): string;
}

const NAME = /^[0-9a-f]{32}\.json$/;

/** @param data our data folder */
export function chatLoginsIn(data: string): ChatLogins {
  const folder = join(data, 'chat-logins');
  const pathOf = (owner: ChatOwner) => join(folder, `${owner}.json`);

  async function write(owner: ChatOwner, content: object): Promise<void> {
    await ensureFolder(folder);
    const text = `${JSON.stringify({ version: FORMAT_VERSION, ...content })}\n`;
    await writeAtomic(pathOf(owner), text);
    await expectWritten(pathOf(owner), text);
  }

  function opened<Content>(
    sealer: Sealer,
    owner: ChatOwner,
    stored: StoredAs<'begun' | 'held' | 'ending'>,
    parse: (plain: string) => Content | null,
  ): Content {
    const plain = sealer.unsealText(purposeOf(owner, stored), stored.box);
    const found = plain === null ? null : parse(plain);
    if (found === null) throw damaged(pathOf(owner), 'it was altered, or belongs to another vault');
    return found;
  }

  return {
    pathOf,
    async read(owner) {
      const text = await readTextOrNull(pathOf(owner));
      return text === null ? null : parseStored(text, pathOf(owner));
    },
    async begin(sealer, owner, login, secrets) {
      const clear = { kind: 'begun', login } as const;
      await write(owner, { ...clear, ...sealer.sealText(purposeOf(owner, clear), encodeSecrets(secrets)) });
    },
    async hold(sealer, owner, login, held, heldAt) {
      const clear = { kind: 'held', login, heldAt, person: personOf(held.holding) } as const;
      await write(owner, { ...clear, ...sealer.sealText(purposeOf(owner, clear), encodeHeld(held)) });
    },
    async end(sealer, owner, login, holding, how, endedAt) {
      const clear = { kind: 'ending', login, how, endedAt, person: personOf(holding) } as const;
      const plain = encodeHeld({ holding, isShown: false, verified: false });
      await write(owner, { ...clear, ...sealer.sealText(purposeOf(owner, clear), plain) });
    },
    markUsed: (owner, login, how, usedAt) => write(owner, { kind: 'used', login, usedAt, how }),
    async remove(owner) {
      await removeLeftovers(pathOf(owner));
      await unlinkDurably(folder, `${owner}.json`);
    },
    openBegun: (sealer, owner, stored) => opened(sealer, owner, stored, parseSecrets),
    openHeld: (sealer, owner, stored) => opened(sealer, owner, stored, parseHeld),
    async owners() {
      try {
        return (await readdir(folder)).filter((name) => NAME.test(name)).map(parseOwner);
      } catch (error) {
        if (systemErrorCode(error) === 'ENOENT') return [];
        throw ioError(error, folder, 'read');
      }
    },
  };
}

function personOf({ identity: { accountId, userId, email } }: Holding): ArrivingPerson {
  return { accountId, userId, email };
}

function parseOwner(name: string): ChatOwner {
  return name.slice(0, 32) as ChatOwner;
}
