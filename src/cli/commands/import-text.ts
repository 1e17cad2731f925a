import type { IndexEntry } from '../../repo/repo.js';
import type { Change, Difference } from '../../router/import-difference.js';
import type { Imported, ImportOutcome } from '../../router/import-outcome.js';
import { candidateOf, nameOf, selectorOf } from '../../router/resolve.js';
import type { HostNote } from '../../slot/host.js';
import { showText } from '../../text.js';
import { DONE, type ImportDocument } from '../documents.js';
import { table } from '../paint.js';
import { phrase } from '../people.js';
import type { ImportParts } from './import.js';

/** Prints what an import came to, or, of a dry run, what it would come to: by identity, with what differs. */
export function showImport(
  parts: Pick<ImportParts, 'print' | 'say' | 'json'>,
  outcome: ImportOutcome,
  entries: readonly IndexEntry[],
  dryRun: boolean,
): void {
  const document = importDocument(outcome, dryRun);
  parts.print(document, () => (dryRun ? planText(document) : doneText(document, entries)));
  if (parts.json) return;
  if (!dryRun) {
    for (const { identity, from, reason } of document.refused) {
      parts.say(`  refused   ${phrase(identity)}, in ${showText(from, 100)}: ${showText(reason, 300)}`);
    }
  }
  for (const { from, reason } of document.skipped) {
    parts.say(`  skipped   ${showText(from, 120)}: ${showText(reason, 300)}`);
  }
  if (!dryRun && document.imported.length > 1 && document.imported.some(({ verified }) => !verified)) {
    parts.say('  note      what is new is unverified until its first successful call');
  }
  for (const { text } of document.notes) parts.say(`  note      ${showText(text, 400)}`);
  if (dryRun) parts.say('nothing was written: this was a dry run');
}

type Item = ImportDocument['imported'][number];
type Refusal = ImportDocument['refused'][number];

export function importDocument(
  { imported, refused, skipped, notes }: ImportOutcome,
  dryRun: boolean,
): ImportDocument {
  const done = imported.some((one) => one.result !== 'unchanged') ? 'imported' : 'unchanged';
  return {
    ...DONE,
    result: dryRun ? 'planned' : done,
    imported: imported.map(itemOf),
    refused: refused.map(({ candidate, entry, error, difference }) => ({
      identity: candidateOf({ identity: candidate.holding.identity, alias: entry?.alias ?? null }),
      code: error.code,
      reason: error.message,
      from: candidate.from,
      source: candidate.source,
      ...differenceIn(difference),
    })),
    skipped: [...skipped],
    notes: [...notes, ...doubtNotes(imported)],
  };
}

/** What comes out of an export may have been spent since it was made. */
function doubtNotes(imported: readonly Imported[]): readonly HostNote[] {
  return imported.flatMap(({ entry, result }): HostNote[] => {
    if (result === 'unchanged' || entry.doubt !== 'restored') return [];
    const text = `whether the login of ${nameOf(entry)} was spent since it was written there is not known: codex-router refresh ${selectorOf(entry)} tells, once nobody else uses it`;
    return [{ code: 'LOGIN_DOUBTFUL', text }];
  });
}

function itemOf({ entry, result, from, difference }: Imported): Item {
  return {
    identity: candidateOf(entry),
    result,
    shared: entry.sharedWith,
    verified: entry.verified,
    from,
    source: entry.source,
    ...differenceIn(difference),
  };
}

function differenceIn({ grant, newer, changes }: Difference): Pick<Item, 'grant' | 'newer' | 'changes'> {
  return { grant, newer, changes: [...changes] };
}

// --- a dry run -----------------------------------------------------------------------------------------------------

const NAME: { readonly [field in Change['field']]: string } = {
  email: 'e-mail',
  plan: 'plan',
  workspace: 'workspace',
  alias: 'alias',
  issuedAt: 'issued',
  expiresAt: 'expires',
  sharedWith: 'shared with',
  source: 'source',
};

const INDENT = ' '.repeat(11);

function planText({ imported, refused }: ImportDocument): string {
  const shown = [
    ...imported.map((one) => [`${one.result.padEnd(9)}  ${phrase(one.identity)}`, ...linesOf(one)]),
    ...refused.map((one) => [
      `refused    ${phrase(one.identity)}`,
      `${INDENT}${showText(one.reason, 300)} (${one.code})`,
      ...linesOf(one),
    ]),
  ];
  return shown.map((lines) => lines.join('\n')).join('\n');
}

function linesOf(one: Item | Refusal): string[] {
  const rows = [
    ['from', showText(one.from, 120)],
    ['login', loginText(one)],
    ...changesOf(one).map(({ field, from, to }) => [
      NAME[field],
      from === null ? showText(to, 60) : `${showText(from, 60)} -> ${showText(to, 60)}`,
    ]),
  ];
  return table(rows).map((line) => `${INDENT}${line}`);
}

/** Of a new identity, what its first line does not say already. */
function changesOf({ grant, changes }: Item | Refusal): readonly Change[] {
  const said = ['email', 'plan', 'source'];
  return grant === 'new' ? changes.filter(({ field }) => !said.includes(field)) : changes;
}

function loginText({ grant, newer }: Item | Refusal): string {
  if (grant === 'new') return 'the first of this identity here';
  if (grant === 'same') return 'the same as the stored one';
  if (newer === null) return 'another than the stored one; which is later cannot be told';
  return newer ? 'another than the stored one, and later' : 'another than the stored one, and not later';
}

// --- an import -----------------------------------------------------------------------------------------------------

const HAPPENED = {
  added: 'stored',
  unchanged: 'was stored already',
  updated: 'updated with a newer login; the old one is kept sealed',
  replaced: 'replaced; the old login is kept sealed',
} as const;

function doneText({ imported }: ImportDocument, entries: readonly IndexEntry[]): string {
  const [first, another] = imported;
  if (first === undefined) return 'nothing new was imported';
  const lines =
    another === undefined
      ? [`${phrase(first.identity)}: ${HAPPENED[first.result]}${placeOf(first)}${trustIn(first)}`]
      : table(imported.map((one) => [one.result, `${phrase(one.identity)}${shortly(one)}${placeOf(one)}`]));
  const routable = imported.filter(({ shared }) => shared === null);
  const [only, more] = routable;
  if (only !== undefined) {
    lines.push(
      `next: codex-router use ${more === undefined ? selector(only.identity, entries) : '<selector>'}`,
    );
  }
  if (routable.length < imported.length) {
    lines.push('next: codex-router import --take, before it can be routed: one login serves one holder');
  }
  return lines.join('\n');
}

/** A login of one's own file or Codex home needs no place: the person has just named it. */
function placeOf({ from, source }: Item): string {
  return source === 'codex' || source === 'file' ? '' : `, from ${showText(from, 100)}`;
}

function trustIn({ verified }: Item): string {
  return verified ? '' : ' (unverified until its first successful call)';
}

/** What a person would notice of a change, in a few words. */
function shortly({ grant, changes }: Item): string {
  if (grant === 'new') return '';
  const told = changes
    .filter(({ field }) => ['email', 'plan', 'workspace', 'alias'].includes(field))
    .map(({ field, from, to }) => `${NAME[field]} ${showText(from, 30)} -> ${showText(to, 30)}`);
  return told.length === 0 ? '' : `: ${told.join(', ')}`;
}

/** The accountId, or the whole key where one workspace has several of the stored logins. */
function selector({ accountId, userId }: Item['identity'], entries: readonly IndexEntry[]): string {
  const several = entries.filter(({ identity }) => identity.accountId === accountId).length > 1;
  return several ? `${accountId}/${userId}` : accountId;
}
