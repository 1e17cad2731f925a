import type { IndexEntry } from '../../repo/repo.js';
import { shortTime } from '../../router/lent.js';
import { list } from '../../router/list.js';
import { candidateOf } from '../../router/resolve.js';
import { showText } from '../../text.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { DONE, type ListDocument, personIn, slotOf } from '../documents.js';
import type { HostOptions } from '../options.js';
import { peopleTable, phrase } from '../people.js';

export interface ListOptions extends HostOptions {
  readonly agent?: string;
}

/** `codex-router list`: reads the index and the slot; never opens the vault. */
export async function runList(cli: Cli, options: ListOptions): Promise<void> {
  const parts = compose(cli, options);
  const { identities, slot, occupant, notes } = await list(parts.repo, parts.host, options.agent ?? null);
  const entries = identities.map(({ entry }) => entry);
  const document: ListDocument = {
    ...DONE,
    identities: identities.map(({ entry, active }) => ({
      ...candidateOf(entry),
      workspace: entry.identity.workspace,
      active,
      verified: entry.verified,
      sharedWith: entry.sharedWith,
      lentTo: lentTo(entry),
      doubt: entry.doubt,
      expiresAt: entry.expiresAt,
    })),
    slot: slot === null ? null : slotOf(slot),
    occupant: occupant === null ? null : personIn(occupant, entries),
    notes: [...notes],
  };
  cli.print(document, () => text(document));
  if (!cli.json) for (const note of notes) cli.say(`note: ${showText(note.text, 300)}`);
}

function lentTo({ lent }: IndexEntry): ListDocument['identities'][number]['lentTo'] {
  if (lent === null) return null;
  return { tool: 'codex', folder: lent.folder, what: lent.what, until: lent.until ?? null };
}

function lentText({ folder, what, until }: NonNullable<ReturnType<typeof lentTo>>): string {
  const where = `the Codex CLI in ${showText(folder, 120)}`;
  if (what === 'grant') return `handed over to ${where}`;
  return `lent to ${where}${until === null ? '' : ` until ${shortTime(until)}`}`;
}

function text({ identities, slot, occupant }: ListDocument): string {
  if (identities.length === 0) {
    return 'no identity is stored yet: codex-router login';
  }
  const rows = identities.map((row) => ({ ...row, marker: row.active ? '*' : '' }));
  const lines = peopleTable(rows);
  const shared = identities.filter(({ sharedWith }) => sharedWith !== null);
  for (const person of shared) lines.push(`shared with Codex: ${phrase(person)}`);
  for (const person of identities) {
    if (person.lentTo !== null) lines.push(`${lentText(person.lentTo)}: ${phrase(person)}`);
    if (person.doubt !== null) lines.push(`${DOUBTED[person.doubt]}: ${phrase(person)}`);
  }
  if (slot !== null) {
    const where = `${slot.profileId} of OpenClaw's agent ${showText(slot.agent)}`;
    if (identities.some(({ active }) => active)) lines.push(`* active in ${where}`);
    else if (occupant !== null) lines.push(`active in ${where}: ${phrase(occupant)}, not stored here`);
    else lines.push(`none is active in ${where}`);
  }
  return lines.join('\n');
}

const DOUBTED = {
  'refresh-failed': 'its last refresh by OpenClaw failed, it may have to log in again',
  'refresh-sent': 'its last refresh got no answer, codex-router refresh asks again',
  'login-needed': 'the issuer has ended this login, codex-router login stores a new one',
  restored: 'put back from a back-up or an export, it may have been spent',
  'lost-outside': 'Codex had it and may have spent or revoked it, codex-router refresh tells',
  'taken-over': 'another codex-router took it over, codex-router login stores a new one',
  'revoke-sent': 'its logout did not end, codex-router logout ends it',
} as const;
