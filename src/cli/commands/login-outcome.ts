import { candidateOf } from '../../router/resolve.js';
import { showText } from '../../text.js';
import type { Cli } from '../cli.js';
import { DONE, type LoginDocument } from '../documents.js';
import { phrase } from '../people.js';
import type { Arrival } from './login-arrival.js';

/** Prints what became of a login that arrived. */
export function showArrival(cli: Cli, { kept, notes }: Arrival): void {
  const { entry, result, former, selector } = kept;
  const document: LoginDocument = {
    ...DONE,
    result,
    identity: candidateOf(entry),
    workspace: entry.identity.workspace,
    source: entry.source,
    verified: entry.verified,
    expiresAt: entry.expiresAt,
    former,
    notes: [...notes],
  };
  cli.print(document, () => textOf(document, selector));
  if (cli.json) return;
  for (const { text } of document.notes) cli.say(`  note      ${showText(text, 400)}`);
}

const HAPPENED: { readonly [result in LoginDocument['result']]: string } = {
  added: 'stored',
  renewed: 'has the newer login now',
  unchanged: 'was stored already',
};

function textOf({ identity, result, former, verified }: LoginDocument, selector: string): string {
  const trust = verified ? '' : ' (unverified until its first successful call)';
  return [
    `${phrase(identity)}: ${HAPPENED[result]}${trust}`,
    ...(former === null ? [] : [showText(former.text, 600)]),
    `next: codex-router use ${showText(selector, 200)}`,
  ].join('\n');
}
