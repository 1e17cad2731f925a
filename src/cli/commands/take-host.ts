import { RouterError } from '../../errors.js';
import { sameIdentity } from '../../identity.js';
import { requireReplacing } from '../../os/platform.js';
import type { IndexEntry, OpenRepo, RepoView } from '../../repo/repo.js';
import { forecastImport, previewImport, readStored } from '../../router/import.js';
import { findInHost } from '../../router/import-openclaw.js';
import type { ImportOutcome } from '../../router/import-outcome.js';
import { type HostTaking, previewTaking, takeHost } from '../../router/take-host.js';
import type { Host } from '../../slot/host.js';
import { showText } from '../../text.js';
import { switchDeps, viewRepo, writeDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose } from '../compose.js';
import { confirm } from '../confirm.js';
import { type ImportDocument, personIn, slotOf } from '../documents.js';
import type { HostOptions, KeyOptions } from '../options.js';
import { phrase } from '../people.js';
import { importDocument } from './import-text.js';

export interface TakeHostOptions extends HostOptions, KeyOptions {
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly alias?: string;
  readonly expect?: string;
  readonly keep?: boolean;
  readonly replace?: boolean;
  readonly path?: string;
}

/** `codex-router import --from openclaw --take`: makes a native multi-profile OpenClaw a routed one. Previews, asks. */
export async function runTakeHost(cli: Cli, options: TakeHostOptions): Promise<void> {
  requireReplacing(cli.platform);
  refuseOthers(options);
  const dryRun = options.dryRun ?? false;
  // A vault that does not exist yet is made only once it is agreed to.
  const looking = compose(cli, options, false);
  const host = await looking.besideKeychain(looking.host);
  const view = await viewRepo(looking);
  const planned = await previewTaking({ ...writeDeps(cli, looking), host, journal: looking.journal }, view);
  const outcome = await forecast(host, planned, view, cli.now());
  if (dryRun || planned.result === 'already-routed')
    return show(cli, host, planned, outcome, await view.list());
  if (!options.yes) {
    await confirm(cli, {
      preview: preview(documentOf(host, planned, outcome, await view.list())),
      question: 'Route this OpenClaw?',
      what: 'routing an OpenClaw',
      declined: 'nothing was changed',
      look: 'codex-router import --from openclaw --take --dry-run',
    });
  }
  const isNew = (await looking.repo.standing()) === null;
  const parts = isNew ? compose(cli, options, true) : looking;
  const repo: OpenRepo = await parts.openRepo();
  const done = await takeHost(switchDeps(cli, parts, host), repo);
  show(cli, host, done, outcome, await repo.list());
}

/** It is about all logins of an OpenClaw at once. */
function refuseOthers({ alias, expect, keep, replace, path }: TakeHostOptions): void {
  const given = Object.entries({ alias, expect, keep, replace, path }).find(
    ([, value]) => value !== undefined,
  );
  if (given === undefined) return;
  throw new RouterError('USAGE', `--${given[0]} has no place beside --from openclaw --take`, {
    hint: 'codex-router import --help',
  });
}

/** By identity, what the logins of this OpenClaw change of what is stored. */
async function forecast(
  host: Host,
  { stores }: HostTaking,
  repo: RepoView,
  now: number,
): Promise<ImportOutcome> {
  const { candidates: found, skipped } = await findInHost(host, (grant) => repo.fingerprint(grant), now);
  // Of one person's several logins the one that the first slot keeps is stored.
  const candidates = found.filter(({ holding }) => {
    const kept = stores.find(
      ({ stays }) => stays !== null && sameIdentity(stays.login.identity, holding.identity),
    );
    return kept?.stays?.login.grant.refreshToken.equals(holding.grant.refreshToken) ?? true;
  });
  const stored = await readStored(repo, candidates);
  const options = { alias: null, expect: null, replace: false };
  return previewImport(forecastImport(candidates, stored, options, skipped), stored);
}

function documentOf(
  host: Host,
  { result, stores, pins, affects, stored, reload, notes }: HostTaking,
  outcome: ImportOutcome,
  entries: readonly IndexEntry[],
): ImportDocument & { routing: NonNullable<ImportDocument['routing']> } {
  return {
    ...importDocument(outcome, true),
    result,
    routing: {
      stateDir: host.summary.stateDir,
      stores: stores.map(({ slot, stays, goes, left, changes }) => ({
        ...slotOf(slot.address),
        stays: stays && {
          identity: personIn(stays.login.identity, entries),
          was: stays.profileId,
          because: stays.because,
        },
        goes: goes.map(({ profileId, login }) => ({
          profileId,
          identity: personIn(login.identity, entries),
          stored:
            stored.find(({ from }) => from === `OpenClaw ${slot.address.agent}/${profileId}`)?.result ??
            'unchanged',
        })),
        left: left.map((one) => ({ ...one })),
        changes,
      })),
      pins: pins.map(({ agent, key, was, is, whose, moves }) => ({
        ...{ agent, key, was, is, moves },
        whose: whose && personIn(whose, entries),
      })),
      affects: { agents: [...affects.agents], sessions: [...affects.sessions] },
      effective: reload?.effective ?? null,
      proved: reload?.proved ?? false,
    },
    notes: [...outcome.notes, ...notes],
  };
}

function show(
  cli: Cli,
  host: Host,
  taking: HostTaking,
  outcome: ImportOutcome,
  entries: readonly IndexEntry[],
): void {
  const document = documentOf(host, taking, outcome, entries);
  if (taking.result === 'planned') {
    cli.print(document, () => preview(document).join('\n'));
    return;
  }
  const where = showText(host.summary.stateDir, 200);
  const already = taking.result === 'already-routed';
  cli.print(document, () => `the OpenClaw in ${where} ${already ? 'is already routed' : 'is routed now'}`);
  if (!cli.json) for (const line of already ? notesOf(document) : detail(document)) cli.say(line);
}

type Document = ReturnType<typeof documentOf>;

function preview(document: Document): string[] {
  const where = showText(document.routing.stateDir, 200);
  return [
    `will store every login of the OpenClaw in ${where}, and leave one slot in it`,
    ...detail(document),
    '  another   codex-router use <it> afterwards, if another one is to be in the slot',
    '  way back  codex-router eject',
  ];
}

const BECAUSE = {
  named: 'its order names it',
  'used-last': 'it was used last',
  'in-slot': 'it is in the slot',
  only: 'it is the only one',
  main: "this release keeps its agents on main's",
} as const;

function detail(document: Document): string[] {
  const { stores, pins, affects } = document.routing;
  const lines = stores.flatMap(({ agent, profileId, stays, goes, left }) => {
    const of = `agent ${showText(agent)}`;
    const kept =
      stays === null
        ? []
        : [`  stays     ${phrase(stays.identity)} in ${profileId} of ${of} (${BECAUSE[stays.because]})`];
    return [
      ...kept,
      ...goes.map(
        (one) => `  stored    ${phrase(one.identity)}, out of ${showText(one.profileId, 100)} of ${of}`,
      ),
      ...left.map(
        (one) => `  left      ${showText(one.profileId, 100)} of ${of}: ${showText(one.what, 200)}`,
      ),
    ];
  });
  const moved = pins.filter(({ moves }) => moves);
  const kept = pins.filter(({ is, was, moves }) => is !== null && is !== was && !moves).length;
  const freed = pins.filter(({ is, moves }) => is === null && !moves).length;
  return [
    ...lines,
    ...moved.map(({ key, was, whose, is }) => {
      const who = whose === null ? 'a login that is gone' : phrase(whose);
      const how = is === null ? 'its pin is taken off, and it' : 'it';
      return `  moves     ${showText(key, 100)} was set to ${who} (${showText(was, 80)}): ${how} runs on the slot from now on`;
    }),
    ...(kept > 0 ? [`  pins      ${kept} session(s) of who stays are pinned to the slot`] : []),
    ...(freed > 0 ? [`  pins      ${freed} pin(s) that OpenClaw had chosen are taken off`] : []),
    ...(affects.agents.length > 0
      ? [
          `  follows   ${affects.sessions.length} session(s) of ${affects.agents.map((one) => showText(one)).join(', ')}`,
        ]
      : []),
    ...notesOf(document),
  ];
}

function notesOf({ notes, skipped }: Document): string[] {
  return [
    ...skipped.map(({ from, reason }) => `  skipped   ${showText(from, 120)}: ${showText(reason, 300)}`),
    ...notes.map(({ text }) => `  note      ${showText(text, 300)}`),
  ];
}
