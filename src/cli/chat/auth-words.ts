import { RouterError } from '../../errors.js';
import { type AuthWords, POSSIBLE, parseSelector, type Whom } from './words.js';

/** What is asked of logins in a chat. `id` names a login in the data of a button; null when it was typed. */
export type AuthAsk =
  | { readonly kind: 'menu' }
  /** `whom` null: anybody. */
  | {
      readonly kind: 'begin';
      readonly whom: Whom | null;
      readonly alias: string | null;
      readonly flow: 'device' | 'link';
    }
  | { readonly kind: 'finish'; readonly answer: string | null }
  | { readonly kind: 'keep' | 'drop'; readonly id: string | null };

/** @throws USAGE; the message repeats nothing of the text */
export function parseAuth(words: AuthWords): AuthAsk {
  return words.kind === 'typed' ? typedAsk(words.rest) : buttonAsk(words.verb, words.handle);
}

function typedAsk(rest: string): AuthAsk {
  if (rest === '') return { kind: 'menu' };
  const [, first = '', behind = ''] = /^(\S+)\s*(.*)$/su.exec(rest) ?? [];
  const word = first.toLowerCase();
  if (word === 'finish') return { kind: 'finish', answer: behind === '' ? null : behind };
  // Whoever forgets the word means it.
  if (holdsAnswer(rest)) return { kind: 'finish', answer: rest };
  if (word === 'keep' || word === 'discard' || word === 'cancel') {
    if (behind !== '') throw unknown();
    return { kind: word === 'keep' ? 'keep' : 'drop', id: null };
  }
  const [, name = '', isLink] = /^(.*?)(?:\s+(link))?$/isu.exec(word === 'new' ? behind : rest) ?? [];
  const flow = isLink !== undefined || name.toLowerCase() === 'link' ? 'link' : 'device';
  if (word === 'new') {
    const alias = name === '' || name.toLowerCase() === 'link' ? null : name;
    return { kind: 'begin', whom: null, alias, flow };
  }
  if (word === 'link') throw unknown();
  return { kind: 'begin', whom: { kind: 'typed', text: parseSelector(name) }, alias: null, flow };
}

function buttonAsk(verb: string, handle: string | null): AuthAsk {
  if (verb === 'start' && handle !== null) {
    return { kind: 'begin', whom: { kind: 'handle', text: handle }, alias: null, flow: 'device' };
  }
  if ((verb === 'keep' || verb === 'discard') && handle !== null) {
    return { kind: verb === 'keep' ? 'keep' : 'drop', id: handle };
  }
  if (handle !== null) throw unknown();
  if (verb === 'new') return { kind: 'begin', whom: null, alias: null, flow: 'device' };
  if (verb === 'finish') return { kind: 'finish', answer: null };
  if (verb === 'cancel') return { kind: 'drop', id: null };
  throw unknown();
}

/** Whether a text of a chat has, or may have, the answer of a login in it: an address that a browser ended on, or `code#state`. */
export function holdsAnswer(text: string): boolean {
  return /:\/\/|[?&#](?:code|state|error)=|\/auth\/callback|^\/?codex[_-]auth\S*\s+finish\s+\S|[\w.~-]{8,}#[\w.~-]{8,}/i.test(
    text,
  );
}

function unknown(): RouterError {
  return new RouterError('USAGE', '/codex_auth does not know that', { hint: POSSIBLE.auth });
}
