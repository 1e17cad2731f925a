import { createHmac, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { RouterError } from '../errors.js';
import type { IdentityKey } from '../identity.js';
import { writeAtomic } from '../os/atomic.js';
import { rename } from '../os/files.js';
import { ensureFolder } from '../os/folders.js';
import { expectWritten, FORMAT_VERSION, parseVersioned, readTextOrNull } from './format.js';

/** Eight characters that stand for an identity in the data of a button; they tell nothing to who has not this file. */
export type Handle = string & { readonly handle: unique symbol };

/** Who was shown a menu or asked a question, and where: nobody else's answer counts. */
export interface Asked {
  readonly sender: string;
  readonly chat: string;
}

/** Something that is done only once it was confirmed. */
export interface Question {
  /** What was asked: a stable word of the command that asks. */
  readonly kind: string;
  /** Whom it is about; null for nobody. */
  readonly subject: Handle | null;
  /** What the answer was shown, as the asker puts it; kept as a keyed hash. */
  readonly about: string;
  /** How many others were said to be touched. */
  readonly others: number;
}

/** A question that was answered in time by who was asked. */
export interface Confirmed extends Omit<Question, 'about'> {
  /** Whether it was asked about just that. */
  isAbout(text: string): boolean;
}

/**
 * `chat-state.json` in the data folder: the menus and questions of chats, for some minutes. No secret, no e-mail, no session, sender or
 * chat by its name: all keyed hashes under a salt of this file.
 */
export interface ChatState {
  /** @throws RECORD_DAMAGED, VAULT_NEWER, IO */
  handleOf(key: IdentityKey): Promise<Handle>;
  /** The menu last shown to them; it takes the place of an earlier one. */
  showMenu(asked: Asked, lines: readonly Handle[]): Promise<void>;
  /** Null when none was shown within `MENU_LASTS`. */
  menuOf(asked: Asked): Promise<readonly Handle[] | null>;
  /** Whether they have answered a question within `ANSWER_LASTS`: the same message may come once more and be no answer to the next. */
  hasAnswered(asked: Asked): Promise<boolean>;
  /** One question at a time is open for each; what it gives names this one in a button. */
  ask(asked: Asked, question: Question): Promise<string>;
  /**
   * The open question, which is none any more when this returns; null when there is none, it has expired, is of another kind, or `id`
   * names another.
   * @param id null for an answer that was typed without it, which counts only where `hasAnswered` is false
   */
  takeAnswered(asked: Asked, kinds: readonly string[], id: string | null): Promise<Confirmed | null>;
}

/** ms */
export const MENU_LASTS = 15 * 60 * 1000;
/** ms */
export const QUESTION_LASTS = 2 * 60 * 1000;
/** ms; 2026.9.6 delivers a message again for minutes while its answer cannot be sent. */
const ANSWER_LASTS = 15 * 60 * 1000;
const MOST = 100;
const MOST_LINES = 50;

const mark = z.string().check(z.regex(/^[a-z2-7]{8,52}$/));
const menu = z.looseObject({ asked: mark, at: z.int(), lines: z.array(mark) });
const question = z.looseObject({
  asked: mark,
  at: z.int(),
  id: mark,
  kind: z.string(),
  subject: z.nullable(mark),
  about: mark,
  others: z.int(),
});
const file = z.looseObject({
  salt: z.string().check(z.minLength(32)),
  menus: z.array(menu),
  questions: z.array(question),
  answers: z.optional(z.array(z.looseObject({ asked: mark, at: z.int() }))),
});
type Content = z.infer<typeof file>;

const NAME = 'chat-state.json';

/** @param withLock the router lock; @param now ms epoch */
export function chatStateIn(
  folder: string,
  withLock: <T>(work: () => Promise<T>) => Promise<T>,
  now: () => number,
): ChatState {
  const path = join(folder, NAME);

  async function read(): Promise<Content | null> {
    const text = await readTextOrNull(path);
    return text === null ? null : parsed(text);
  }

  async function parsed(text: string): Promise<Content> {
    try {
      const found = file.safeParse(parseVersioned(text, path, 'RECORD_DAMAGED'));
      if (found.success) return found.data;
    } catch (error) {
      if (!(error instanceof RouterError) || error.code !== 'RECORD_DAMAGED') throw error;
    }
    throw await setAside(path);
  }

  /** Changes what is there, and forgets what has expired. */
  async function change<T>(work: (content: Content) => T): Promise<T> {
    return withLock(async () => {
      const before = (await read()) ?? {
        salt: randomBytes(32).toString('base64url'),
        menus: [],
        questions: [],
      };
      const content: Content = {
        ...before,
        menus: lasting(before.menus, MENU_LASTS),
        questions: lasting(before.questions, QUESTION_LASTS),
        answers: lasting(before.answers ?? [], ANSWER_LASTS),
      };
      const result = work(content);
      const text = `${JSON.stringify({ ...content, version: FORMAT_VERSION })}\n`;
      await ensureFolder(folder);
      await writeAtomic(path, text);
      await expectWritten(path, text);
      return result;
    });
  }

  /** Neither older than `lasts`, nor from a time to come: a clock that was set back makes nothing last for ever. */
  function lasting<T extends { readonly at: number }>(all: readonly T[], lasts: number): T[] {
    return all.filter(({ at }) => isOpen(at, lasts)).slice(-MOST);
  }

  const isOpen = (at: number, lasts: number) => now() - at < lasts && at - now() < lasts;

  const isAnswered = (content: Content, asked: Asked) =>
    (content.answers ?? []).some(
      (one) => one.asked === ownerOf(content, asked) && isOpen(one.at, ANSWER_LASTS),
    );

  const content = async () => (await read()) ?? change((made) => made);

  return {
    handleOf: async (key) => parseHandle(hashed((await content()).salt, 'identity', key)),
    showMenu: (asked, lines) =>
      change((content) => {
        const owner = ownerOf(content, asked);
        content.menus = content.menus.filter((menu) => menu.asked !== owner);
        content.menus.push({ asked: owner, at: now(), lines: lines.slice(0, MOST_LINES) });
      }),
    async menuOf(asked) {
      const found = await content();
      const owner = ownerOf(found, asked);
      const shown = found.menus.find((menu) => menu.asked === owner && isOpen(menu.at, MENU_LASTS));
      return shown?.lines.map(parseHandle) ?? null;
    },
    hasAnswered: async (asked) => isAnswered(await content(), asked),
    ask: (asked, { kind, subject, about, others }) =>
      change((content) => {
        const owner = ownerOf(content, asked);
        const id = base32(randomBytes(5));
        const told = hashed(content.salt, 'about', about, 20);
        content.questions = content.questions.filter((open) => open.asked !== owner);
        content.questions.push({ asked: owner, at: now(), id, kind, subject, about: told, others });
        return id;
      }),
    async takeAnswered(asked, kinds, id) {
      const openIn = (content: Content) => {
        const owner = ownerOf(content, asked);
        if (id === null && isAnswered(content, asked)) return undefined;
        return content.questions.find(
          (one) =>
            one.asked === owner &&
            kinds.includes(one.kind) &&
            (id === null || one.id === id) &&
            isOpen(one.at, QUESTION_LASTS),
        );
      };
      // Nothing is written for an answer to nothing.
      if (openIn(await content()) === undefined) return null;
      return change((content) => {
        const open = openIn(content);
        if (open === undefined) return null;
        content.questions = content.questions.filter((one) => one !== open);
        content.answers = [...(content.answers ?? []), { asked: open.asked, at: now() }];
        const { kind, subject, about, others } = open;
        return {
          kind,
          subject: subject === null ? null : parseHandle(subject),
          others,
          isAbout: (text) => hashed(content.salt, 'about', text, 20) === about,
        };
      });
    },
  };
}

function ownerOf({ salt }: Content, { sender, chat }: Asked): string {
  return hashed(salt, 'asked', JSON.stringify([sender, chat]), 20);
}

/** Small letters that stand for `text`, eight for five bytes; they tell nothing to who has not the salt. */
export function hashed(salt: string, what: string, text: string, bytes = 5): string {
  return base32(
    createHmac('sha256', salt)
      .update(JSON.stringify([what, text]))
      .digest()
      .subarray(0, bytes),
  );
}

/** RFC 4648's alphabet, in small letters: a channel may change the case of neither digits nor these. */
function base32(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return (bits.match(/.{5}/g) ?? []).map((five) => LETTERS[Number.parseInt(five, 2)]).join('');
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz234567';

/** `text` is eight letters: checked when the file was read, or just made. */
function parseHandle(text: string): Handle {
  return text as Handle;
}

/** It holds nothing that is worth more than a new menu, so it is out of the way when the person hears of it. */
async function setAside(path: string): Promise<RouterError> {
  const aside = `${path}.damaged`;
  const message = 'the menus and open questions of chats could not be read';
  try {
    await rename(path, aside);
  } catch {
    return new RouterError('RECORD_DAMAGED', message, { hint: `delete ${path}: it holds no login` });
  }
  return new RouterError('RECORD_DAMAGED', `${message}, and were set aside as ${NAME}.damaged`, {
    hint: 'ask again: menus and buttons from before are no longer valid',
  });
}
