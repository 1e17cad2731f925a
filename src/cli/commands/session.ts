import { requireReplacing } from '../../os/platform.js';
import type { IndexEntry } from '../../repo/repo.js';
import {
  type ChosenSession,
  type ChosenSessionDeps,
  clearSession,
  setSession,
} from '../../router/chosen-session.js';
import { ownerNotes } from '../../router/owner.js';
import { entryOrNull } from '../../router/resolve.js';
import { type ShownEntry, showSession } from '../../router/shown-session.js';
import type { Host } from '../../slot/host.js';
import { showText } from '../../text.js';
import { writeDeps } from '../adapt.js';
import type { Cli } from '../cli.js';
import { compose, type Parts } from '../compose.js';
import { DONE, personIn, type SessionDocument, type SessionShowDocument, slotOf } from '../documents.js';
import type { HostOptions } from '../options.js';
import { phrase } from '../people.js';

export interface SessionClearOptions extends HostOptions {
  readonly dryRun?: boolean;
}

export interface SessionSetOptions extends SessionClearOptions {
  readonly to?: string;
}

/** `codex-router session show <key>`: looks, and only looks. */
export async function runSessionShow(cli: Cli, key: string, options: HostOptions): Promise<void> {
  const parts = compose(cli, options);
  const host = await parts.host();
  const { agent, slot, session, updatedAt, companions, companionOf, turn } = await showSession(host, key);
  const entries = await parts.repo.list();
  const document: SessionShowDocument = {
    ...DONE,
    agent,
    slot: slotOf(slot),
    session: entryOf(session, entries),
    updatedAt,
    companions: companions.map((one) => entryOf(one, entries)),
    companionOf: [...companionOf],
    turn,
    notes: [...(await ownerNotes(host, parts.repo))],
  };
  cli.print(document, () => shownText(document));
  if (!cli.json) sayNotes(cli, document);
}

function entryOf(
  { identity, ...entry }: ShownEntry,
  entries: readonly IndexEntry[],
): SessionShowDocument['session'] {
  return { ...entry, ...personOf(identity, entries) };
}

function personOf(identity: ShownEntry['identity'], entries: readonly IndexEntry[]) {
  if (identity === null) return { identity: null, stored: null };
  return { identity: personIn(identity, entries), stored: entryOrNull(identity, entries) !== null };
}

/** `codex-router session set <key>` */
export async function runSessionSet(cli: Cli, key: string, options: SessionSetOptions): Promise<void> {
  const { to = null, dryRun = false } = options;
  await change(cli, options, (deps) => setSession(deps, { key, to, dryRun }));
}

/** `codex-router session clear <key>` */
export async function runSessionClear(cli: Cli, key: string, options: SessionClearOptions): Promise<void> {
  await change(cli, options, (deps) => clearSession(deps, { key, dryRun: options.dryRun ?? false }));
}

async function change(
  cli: Cli,
  options: SessionClearOptions,
  work: (deps: ChosenSessionDeps) => Promise<ChosenSession>,
): Promise<void> {
  requireReplacing(cli.platform);
  const parts = compose(cli, options);
  const find = () => parts.host();
  const host = options.dryRun ? await find() : await parts.besideKeychain(find);
  const answer = await work(sessionDeps(cli, parts, host));
  const document = documentOf(answer, await parts.repo.list());
  cli.print(document, () => changedText(document));
  if (!cli.json) sayNotes(cli, document);
}

function sessionDeps(cli: Cli, parts: Parts, host: Host): ChosenSessionDeps {
  const { repo, openRepo, journal } = parts;
  return { ...writeDeps(cli, parts), repo, openRepo, journal, host, env: cli.env };
}

function documentOf(
  { result, agent, key, to, pins, notes }: ChosenSession,
  entries: readonly IndexEntry[],
): SessionDocument {
  return {
    ...DONE,
    result,
    agent,
    key,
    to: to && { profileId: to.profileId, place: to.kind, ...personOf(to.identity, entries) },
    pins: pins.map(({ key: one, was, is, result: outcome }) => ({ key: one, was, is, result: outcome })),
    notes: [...notes],
  };
}

function shownText({ agent, session, companions, companionOf, turn }: SessionShowDocument): string {
  const { key, identity, stored, problem } = session;
  const who = identity === null ? (problem ?? 'cannot be told') : `${phrase(identity)}${storedText(stored)}`;
  return [
    `${showText(key, 80)} of agent ${showText(agent)}`,
    `  pinned    ${pinText(session)}`,
    `  login     ${showText(who, 200)}`,
    `  turn      ${TURNS[turn]}`,
    ...companions.map((one) => `  companion ${showText(one.key, 80)}: ${pinText(one)}`),
    ...companionOf.map((one) => `  chat      ${showText(one, 80)}, whose companion it is`),
  ].join('\n');
}

function pinText({ pinnedTo, pinnedBy, place }: SessionShowDocument['session']): string {
  if (pinnedTo === null || place === null) return 'to nothing: it follows the order';
  const by = pinnedBy === 'host' ? 'as OpenClaw itself chose, which may choose again' : 'as a person chose';
  return `to ${showText(pinnedTo, 80)}, ${PLACES[place]}, ${by}`;
}

const PLACES = {
  slot: 'the slot',
  'own-slot': 'a slot of its own',
  neighbour: 'another login there',
  gone: 'which is gone',
  foreign: 'which is not a login of the provider',
} as const;

const TURNS = {
  running: 'one runs in it now',
  none: 'none runs in it now',
  unknown: 'whether one runs in it cannot be told',
} as const;

function storedText(stored: boolean | null): string {
  return stored === false ? ', not stored' : '';
}

function changedText({ result, key, to, pins }: SessionDocument): string {
  const shown = showText(key, 80);
  const where = to === null ? 'nothing' : whereText(to);
  const [own, ...companions] = pins;
  const lines = companions.map(
    ({ key: one, was, result: outcome }) =>
      `  companion ${showText(one, 80)}: ${OUTCOMES[outcome]}, before to ${showText(was ?? 'nothing', 80)}`,
  );
  if (result === 'planned') {
    const before = showText(own?.was ?? 'nothing', 80);
    const what =
      own?.result === 'already'
        ? `stays pinned to ${where}`
        : `would be pinned to ${where}, now to ${before}`;
    const each = companions.map(
      ({ key: one, was, result: outcome }) =>
        `  companion ${showText(one, 80)}: ${outcome === 'already' ? 'stays' : 'too'}, now to ${showText(was ?? 'nothing', 80)}`,
    );
    return [`${shown} ${what} (nothing was written)`, ...each].join('\n');
  }
  return [`${shown} ${SAID[result]} ${where}`, ...lines].join('\n');
}

function whereText({ profileId, identity, stored }: NonNullable<SessionDocument['to']>): string {
  const who = identity === null ? '' : `: ${phrase(identity)}${storedText(stored)}`;
  return `${showText(profileId, 80)}${who}`;
}

const SAID = {
  set: 'is now pinned to',
  cleared: 'is now pinned to',
  unchanged: 'is already pinned to',
  pending: 'is pending, not surely pinned yet, to',
} as const;

const OUTCOMES = {
  set: 'pinned too',
  already: 'was so',
  gone: 'is gone',
  pending: 'pending',
} as const;

function sayNotes(cli: Cli, { notes }: { readonly notes: SessionDocument['notes'] }): void {
  for (const { text } of notes) cli.say(`  note      ${showText(text, 400)}`);
}
