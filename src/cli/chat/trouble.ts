import { showText } from '../../text.js';
import type { ErrorDocument } from '../documents.js';
import { capital, withoutEmails } from './labels.js';

type Trouble = Pick<ErrorDocument['error'], 'code' | 'message' | 'hint'>;

/** Where nobody sits at the computer, the vault needs a key that the gateway's service can use by itself. */
const ELSE = 'or give the gateway a key of its own (docs/chat.md)';

/** Whole sentences for what a person in a chat meets most, and could not act on as it is said on a command line. */
const SAID: { readonly [code: string]: string | undefined } = {
  KEYCHAIN_LOCKED: `The keychain is locked: unlock it on the computer and ask again, ${ELSE}.`,
  KEYCHAIN_HUNG: `The keychain does not answer: look for its question on the computer's screen and ask again, ${ELSE}.`,
  KEYCHAIN_DENIED: `The keychain did not let codex-router in: allow it on the computer and ask again, ${ELSE}.`,
  KEYCHAIN_NO_BUS:
    'The keychain cannot be reached from the gateway: give it a key of its own (docs/chat.md).',
  KEYCHAIN_NO_SERVICE: `No keychain is running on the computer: start it and ask again, ${ELSE}.`,
  KEYCHAIN_LIBRARY_MISSING:
    "The computer's keychain library is missing: codex-router vault status, on the computer, says more (docs/chat.md).",
  KEYCHAIN_CRASHED: `The keychain failed: ask again, ${ELSE}.`,
  INTERRUPTED: 'It was stopped before it was done: ask again.',
};

/** The words of the command line that mean something else in a chat. */
const NO_TERMINAL = /, and there is no terminal to ask on/g;
const PATH = /(?<![\w./~-])(?:~|[A-Za-z]:)?[\\/](?:[^\s\\/,;:()]+[\\/])+[^\s,;:()]*/gu;

/** One line: what is wrong, and the next step. */
export function troubleText({ code, message, hint }: Trouble, showsEmails: boolean): string {
  const said = SAID[code] ?? sentence(message.replace(NO_TERMINAL, ', which nobody can type here'), hint);
  return inChat(said, showsEmails);
}

/** A line made safe to show there; in a group also without e-mails, and without the computer's folders. */
export function inChat(line: string, showsEmails: boolean): string {
  const safe = showText(line, 600);
  return showsEmails ? safe : withoutEmails(safe.replace(PATH, '(a file on the computer)'));
}

/** What has a command of its own in a chat. */
const IN_CHAT: { readonly [hint: string]: string | undefined } = {
  'codex-router list': '/codex_profile lists them',
  'codex-router login': '/codex_auth new, in a direct chat, stores one',
  'codex-router history': '/codex_profile shows how it is now',
  'codex-router status shows how things are': '/codex_profile shows how it is now',
};

function sentence(message: string, hint: string | null): string {
  const first = `${capital(message)}.`;
  if (hint === null || hint === '') return first;
  const step = (IN_CHAT[hint] ?? hint).replace(/run (?:the command|it) again/g, 'ask again');
  if (/^codex-router /.test(step)) return `${first} On the computer: ${step}`;
  return `${first} ${capital(step)}.`;
}
