import { requireReplacing } from '../../os/platform.js';
import {
  choose,
  type Listed,
  listBackUps,
  planRestore,
  type Restoration,
  restore,
} from '../../router/restore.js';
import { showText } from '../../text.js';
import { hostOrNull, writeDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { confirm } from '../confirm.js';
import { DONE, personIn, type RestoreDocument } from '../documents.js';
import type { HostOptions } from '../options.js';
import { phrase } from '../people.js';

export interface RestoreOptions extends HostOptions {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

/** `codex-router restore [number|id]`: lists the back-ups, or makes one the stored login of its identity. */
export async function runRestore(
  cli: Cli,
  which: string | undefined,
  options: RestoreOptions,
): Promise<void> {
  if (which === undefined) return listAll(cli, options);
  requireReplacing(cli.platform);
  const parts = compose(cli, options);
  const repo = await parts.openRepo();
  const deps = {
    ...writeDeps(cli, parts),
    host: await hostOrNull(parts),
    hostAt: parts.hostAt,
    withGrantLock: parts.withGrantLock,
  };
  // By its id from here on: a back-up that is made meanwhile moves the numbers.
  const { backUp } = choose(which, await listBackUps(repo));
  const planned = await planRestore(deps, repo, backUp.id);
  if (options.dryRun || !planned.changes) {
    const document = documentOf(planned, planned.changes ? 'planned' : 'unchanged');
    return cli.print(document, () => preview(document, planned).join('\n'));
  }
  if (!options.yes) {
    await confirm(cli, {
      preview: preview(documentOf(planned, 'planned'), planned),
      question: 'Restore it?',
      what: 'a restoration',
      declined: 'nothing was restored',
      look: 'codex-router restore',
    });
  }
  const done = await restore(deps, repo, planned);
  const document = documentOf(done, done.changes ? 'restored' : 'unchanged');
  cli.print(document, () => said(document));
  if (!cli.json) for (const { text } of document.notes) cli.say(`  note      ${showText(text, 300)}`);
}

async function listAll(cli: Cli, options: RestoreOptions): Promise<void> {
  const listed = await listBackUps(await compose(cli, options).openRepo());
  const document: RestoreDocument = {
    ...DONE,
    result: 'listed',
    backUps: listed.map(shown),
    sealed: false,
    notes: [],
  };
  cli.print(document, () => text(document));
}

type Shown = RestoreDocument['backUps'][number];

function shown({ number, backUp, entry, isStored }: Listed): Shown {
  const { id, at, identity, reason, trouble } = backUp;
  const person = identity === null ? null : personIn(identity, entry === null ? [] : [entry]);
  return { number, id, at, identity: person, reason, isStored, trouble };
}

function documentOf(
  { chosen, seals, notes }: Restoration,
  result: Exclude<RestoreDocument['result'], 'listed'>,
): RestoreDocument {
  return { ...DONE, result, backUps: [shown(chosen)], sealed: seals, notes: [...notes] };
}

function text({ backUps }: RestoreDocument): string {
  if (backUps.length === 0) return 'there are no back-ups: nothing has been overwritten in the last 30 days';
  return backUps.flatMap((backUp) => [headline(backUp), `    ${why(backUp)}`]).join('\n');
}

function headline({ number, at, identity }: Shown): string {
  const whose = identity === null ? 'cannot be opened' : phrase(identity);
  return `${`${number}`.padStart(2)}  ${dateOf(at)}  ${whose}`;
}

function why({ reason, isStored, trouble }: Shown): string {
  if (trouble !== null) return showText(trouble, 300);
  return `${showText(reason, 70)}${isStored ? '; the same login is stored now' : ''}`;
}

/** UTC, to the second. */
function dateOf(at: number): string {
  if (Math.abs(at) > 8.64e15) return 'at an unknown time';
  return `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')}Z`;
}

function preview(document: RestoreDocument, { chosen, changes }: Restoration): string[] {
  if (!changes) return [said(document)];
  const [backUp] = document.backUps;
  const what = chosen.entry === null ? 'nothing of that identity' : 'another login of that identity';
  const then = document.sealed ? ', sealed as a back-up first' : chosen.entry === null ? '' : ', set aside';
  return [
    ...(backUp === undefined
      ? []
      : [`will restore ${headline(backUp).trim()}`, `  made      ${why(backUp)}`]),
    `  stored    ${what}${then}`,
    ...document.notes.map(({ text }) => `  note      ${showText(text, 300)}`),
  ];
}

function said({ result, backUps }: RestoreDocument): string {
  const identity = backUps[0]?.identity ?? null;
  const whose = identity === null ? 'it' : phrase(identity);
  if (result === 'unchanged') return `that very login of ${whose} is stored already`;
  return `${whose} has the login again that gave way at ${dateOf(backUps[0]?.at ?? 0)}`;
}
