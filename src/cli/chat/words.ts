import { RouterError } from '../../errors.js';

/** Whom somebody means: what they typed, or the eight letters in the data of a button. */
export type Whom =
  | { readonly kind: 'typed'; readonly text: string }
  | { readonly kind: 'handle'; readonly text: string };

/** What somebody asked for in a chat. Nothing of it is a flag, a path or a session key. */
export type Words =
  | { readonly command: 'profile'; readonly verb: 'show' | 'undo' | 'explain' }
  | { readonly command: 'profile'; readonly verb: 'use'; readonly whom: Whom | null }
  | { readonly command: 'usage'; readonly verb: 'menu' | 'all' | 'active' }
  | { readonly command: 'usage'; readonly verb: 'show'; readonly whom: Whom }
  | { readonly command: 'usage'; readonly verb: 'delete'; readonly whom: Whom | null; readonly hard: boolean }
  /** `id` names the question in the data of a button; null when the answer was typed. */
  | { readonly command: 'profile' | 'usage'; readonly verb: 'yes' | 'no'; readonly id: string | null }
  | AuthWords;

/** What is behind /codex_auth as it was typed, a callback address perhaps; or a button's verb and what follows it. */
export type AuthWords =
  | { readonly command: 'auth'; readonly kind: 'typed'; readonly rest: string }
  | {
      readonly command: 'auth';
      readonly kind: 'button';
      readonly verb: string;
      readonly handle: string | null;
    };

/** Characters of what is no callback address. */
const LONGEST = 500;
const COMMAND = /^\/?codex[_-](profile|usage|auth)(?:@[A-Za-z0-9_]{1,64})?(?=\s|$)/i;
const BUTTON = /^\/?codex_(profile|usage|auth)_([a-z]+)(?:_([0-9a-z]{8}))?$/;

/** What a person may write, for who wrote something else. */
export const POSSIBLE = {
  profile:
    'you can write /codex_profile, /codex_profile use <name or number>, /codex_profile undo, /codex_profile explain',
  usage:
    'you can write /codex_usage, /codex_usage <name or number>, /codex_usage active, /codex_usage all, /codex_usage delete <name or number>',
  auth: 'you can write /codex_auth, /codex_auth <name or number>, /codex_auth new, /codex_auth finish, /codex_auth keep, /codex_auth discard, /codex_auth cancel',
} as const;

/**
 * A command as it was typed, with or without its slash and the bot's name, or the data of one of our buttons.
 * @throws USAGE with what is possible; the message repeats nothing of the text
 */
export function parseWords(text: string): Words {
  const trimmed = text.trim();
  const button = BUTTON.exec(trimmed);
  if (button !== null) return wordsOfButton(button);
  const found = COMMAND.exec(trimmed);
  const command = found?.[1]?.toLowerCase();
  if (command !== 'profile' && command !== 'usage' && command !== 'auth') {
    throw new RouterError('USAGE', 'that is none of the commands', {
      hint: 'you can write /codex_profile, /codex_usage or /codex_auth',
    });
  }
  const rest = trimmed.slice(found?.[0].length).trim();
  if (command === 'auth') return { command, kind: 'typed', rest };
  if (rest.length > LONGEST) throw new RouterError('USAGE', 'that is too long', { hint: POSSIBLE[command] });
  if (HOSTILE.test(rest)) {
    throw new RouterError('USAGE', 'there are characters in it that cannot be seen', {
      hint: 'type the command by hand, on one line',
    });
  }
  return command === 'profile' ? profileWords(rest) : usageWords(rest);
}

function profileWords(rest: string): Words {
  const command = 'profile';
  const [word, behind] = split(rest);
  if (rest === '') return { command, verb: 'show' };
  if (word === 'use') return { command, verb: 'use', whom: behind === '' ? null : typed(behind) };
  if (isAnswer(word, behind)) return { command, verb: word, id: behind === '' ? null : behind };
  if (behind === '') {
    if (word === 'undo' || word === 'explain') return { command, verb: word };
    // A line of the menu.
    if (/^\d{1,2}$/.test(word)) return { command, verb: 'use', whom: typed(word) };
  }
  throw unknown(command);
}

function usageWords(rest: string): Words {
  const command = 'usage';
  const [word, behind] = split(rest);
  if (rest === '') return { command, verb: 'menu' };
  if (word === 'delete') {
    const hard = /^(.+?)\s+hard$/iu.exec(behind)?.[1] ?? null;
    const named = hard ?? behind;
    return { command, verb: 'delete', whom: named === '' ? null : typed(named), hard: hard !== null };
  }
  if (isAnswer(word, behind)) return { command, verb: word, id: behind === '' ? null : behind };
  if (behind === '') {
    if (word === 'all') return { command, verb: 'all' };
    if (word === 'default' || word === 'active') return { command, verb: 'active' };
  }
  return { command, verb: 'show', whom: typed(rest) };
}

function typed(text: string): Whom {
  return { kind: 'typed', text: parseSelector(text) };
}

/** Behind it the name of the question, where a channel turns a button into a typed command. */
function isAnswer(word: string, behind: string): word is 'yes' | 'no' {
  return (word === 'yes' || word === 'no') && /^(?:[a-z2-7]{8})?$/.test(behind);
}

function split(rest: string): [word: string, behind: string] {
  const [, word = '', behind = ''] = /^(\S*)\s*(.*)$/u.exec(rest) ?? [];
  return [word.toLowerCase(), behind];
}

/**
 * What names an identity: an alias, account, e-mail, the beginning of one, a number of the menu, or `-` for the one before.
 * @throws USAGE for what could be taken for a flag or a path
 */
export function parseSelector(text: string): string {
  const selector = unquoted(text.trim());
  if (selector === '-') return selector;
  if (selector.startsWith('-')) {
    throw new RouterError(
      'USAGE',
      'an identity never begins with a dash, and flags are not taken from a chat',
      {
        hint: '/codex_profile lists the identities; "-" alone is the one before',
      },
    );
  }
  if (!SELECTOR.test(selector)) {
    throw new RouterError('USAGE', 'that names no identity', {
      hint: '/codex_profile lists them by name and number',
    });
  }
  return selector;
}

/** Letters and digits first, as every alias, account and e-mail has them; inside also what those are written with. */
const SELECTOR = /^[\p{L}\p{N}][\p{L}\p{N}\p{M}._:@|=+/-]{0,419}$/u;

/** Some keyboards make their own quotation marks. */
function unquoted(text: string): string {
  return (
    /^(?:"([^"]*)"|'([^']*)'|[“„]([^“”]*)[“”]|‘([^‘’]*)’)$/u
      .exec(text)
      ?.slice(1)
      .find((inner) => inner !== undefined) ?? text
  );
}

/** Control, bidirectional and invisible characters, line breaks, and what no text has. */
const HOSTILE = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]|\p{Surrogate}/u;

function wordsOfButton([, command, verb, name]: RegExpExecArray): Words {
  if (command === 'auth') return { command, kind: 'button', verb: verb ?? '', handle: name ?? null };
  const whom: Whom | null = name === undefined ? null : { kind: 'handle', text: name };
  if ((verb === 'yes' || verb === 'no') && name !== undefined) {
    return { command: command === 'usage' ? command : 'profile', verb, id: name };
  }
  if (command === 'profile') {
    if (verb === 'use' && whom !== null) return { command, verb, whom };
    if (whom === null && (verb === 'show' || verb === 'undo' || verb === 'explain')) return { command, verb };
  }
  if (command === 'usage') {
    if (whom === null && (verb === 'menu' || verb === 'all' || verb === 'active')) return { command, verb };
    if (verb === 'show' && whom !== null) return { command, verb, whom };
    if ((verb === 'delete' || verb === 'hard') && whom !== null) {
      return { command, verb: 'delete', whom, hard: verb === 'hard' };
    }
  }
  throw unknown(command === 'usage' ? 'usage' : 'profile');
}

function unknown(command: 'profile' | 'usage'): RouterError {
  return new RouterError('USAGE', `/codex_${command} does not know that word`, { hint: POSSIBLE[command] });
}
