import { RouterError } from '../../errors.js';
import { sameIdentity } from '../../identity.js';
import type { SwitchRecord, Who } from '../../repo/journal.js';
import type { IndexEntry } from '../../repo/repo.js';
import { candidateOf } from '../../router/resolve.js';
import { showText } from '../../text.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { DONE, type HistoryDocument } from '../documents.js';
import { phrase } from '../people.js';

export interface HistoryOptions {
  readonly limit?: string;
}

type Person = HistoryDocument['switches'][number]['from'];

/** `codex-router history`: reads the journal, and only that; no vault is opened. */
export async function runHistory(cli: Cli, { limit = '20' }: HistoryOptions): Promise<void> {
  const most = Number(limit);
  if (!Number.isInteger(most) || most < 1) {
    throw new RouterError('USAGE', '--limit wants a whole number', { hint: 'codex-router history --help' });
  }
  const { journal, repo } = compose(cli, {});
  const [records, entries] = [await journal.read(), await repo.list()];
  const undone = new Set(records.flatMap(({ undoes, step }) => (step === 'abandoned' ? [] : [undoes])));
  const document: HistoryDocument = {
    ...DONE,
    switches: [...records]
      .reverse()
      .slice(0, most)
      .map((record) => shown(record, entries, undone.has(record.id))),
    damagedLines: await journal.damaged(),
  };
  cli.print(document, () => text(document));
  if (!cli.json && document.damagedLines > 0) {
    cli.say(`note: ${document.damagedLines} line(s) of the journal cannot be understood and are left out`);
  }
}

function shown(
  { id, at, slot, from, to, step, pins, undoes }: SwitchRecord,
  entries: readonly IndexEntry[],
  undone: boolean,
): HistoryDocument['switches'][number] {
  return {
    id,
    at,
    slot,
    from: personOf(from, entries),
    to: personOf(to, entries),
    step,
    pins: pins.length,
    undoes,
    undone,
  };
}

/** Somebody who has been removed since is only known by the ids. */
function personOf(who: Who | null, entries: readonly IndexEntry[]): Person {
  if (who === null) return null;
  const entry = entries.find(({ identity }) => sameIdentity(identity, who));
  if (entry !== undefined) return candidateOf(entry);
  return { accountId: who.accountId, userId: who.userId, alias: null, email: null, plan: null };
}

const STEPS = {
  begun: 'interrupted before it was written',
  swapped: 'written, not at its end',
  applied: 'done, to be looked at again',
  done: 'done',
  abandoned: 'not made',
} as const;

function text({ switches }: HistoryDocument): string {
  if (switches.length === 0) return 'nothing has been switched yet';
  return switches
    .map(({ at, from, to, step, undoes, undone }) => {
      const how = undone ? 'undone' : undoes === null ? STEPS[step] : `undo, ${STEPS[step]}`;
      return `${dateOf(at)}  ${nameOf(from)} -> ${nameOf(to)}  (${how})`;
    })
    .join('\n');
}

function nameOf(person: Person): string {
  return person === null ? 'empty' : phrase(person);
}

/** Local time, to the minute. */
function dateOf(at: number): string {
  return showText(new Date(at).toLocaleString('sv-SE').slice(0, 16));
}
