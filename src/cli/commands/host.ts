import { relative } from 'node:path';
import { RouterError } from '../../errors.js';
import { ownerNotes } from '../../router/owner.js';
import type { FoundStore, HostNote } from '../../slot/host.js';
import type { Residue } from '../../slot/residue.js';
import { showText } from '../../text.js';
import type { Cli } from '../cli.js';
import { compose, type Parts } from '../compose.js';
import { DONE, type HostDocument } from '../documents.js';
import type { HostOptions } from '../options.js';
import { table } from '../paint.js';

export interface HostCommandOptions extends HostOptions {
  readonly residue?: boolean;
}

/** `codex-router host`: what lies there and why it is routed as it is. Looks, and only looks; needs no vault. */
export async function runHost(cli: Cli, options: HostCommandOptions): Promise<void> {
  const parts = compose(cli, options);
  const found = await parts.foundHost();
  const residue = options.residue ? await parts.residue(found) : null;
  const document: HostDocument = {
    ...DONE,
    ...found,
    reasons: [...found.reasons],
    stores: found.stores.map((store) => ({ ...store, profiles: [...store.profiles] })),
    agents: [...found.agents],
    locks: [...found.locks],
    residue: residue && residueIn(residue, cli.now()),
    notes: [...found.notes, ...(found.refusal === null ? await owner(parts) : [])],
  };
  cli.print(document, () => (document.residue === null ? text(document) : residueText(document)));
}

/** Which codex-router routes it, where that is another; needs the index, and not the vault. */
async function owner(parts: Parts): Promise<readonly HostNote[]> {
  try {
    return await ownerNotes(await parts.host(), parts.repo);
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return [{ code: error.code, text: error.message }];
  }
}

function residueIn({ files, notLookedAt }: Residue, now: number): HostDocument['residue'] {
  return {
    files: files.map(({ logins, ...file }) => ({
      ...file,
      logins: logins.map((login) => ({
        ...login,
        expired: login.expiresAt === null ? null : login.expiresAt <= now,
      })),
    })),
    notLookedAt: [...notLookedAt],
  };
}

function text(document: HostDocument): string {
  const { stateDir, layout, release, provider, profileId, via, reasons, refusal, notes } = document;
  const version =
    release === null
      ? 'no package found'
      : `OpenClaw ${showText(release.version)} (${showText(release.source, 120)})`;
  const rows: [string, string][] = [
    ['host', showText(stateDir, 200)],
    ['', `${layout ?? 'layout unknown'}, ${version}`],
  ];
  if (profileId !== null) rows.push(['slot', `${showText(profileId)}, provider ${showText(provider)}`]);
  rows.push(['way', via === null ? 'none: a switch would be refused' : WAYS[via]]);
  rows.push(
    ...titled(
      'why',
      reasons.map((reason) => showText(reason.text, 300)),
    ),
  );
  rows.push(...titled('stores', table(document.stores.map((store) => storeCells(stateDir, store)))));
  rows.push(...titled('agents', table(document.agents.map(agentCells))));
  const locks = document.locks.map(({ kind, path }) => `${LOCKS[kind]} ${shownPath(stateDir, path)}`);
  rows.push(...titled('locks', locks));
  const { gateway } = document;
  const running = gateway === null ? 'none found' : `runs on port ${gateway.port}, process ${gateway.pid}`;
  rows.push(['gateway', running]);
  if (refusal !== null) {
    rows.push(['refused', `${showText(refusal.message, 300)} (${refusal.code})`]);
    if (refusal.hint !== null) rows.push(['remedy', showText(refusal.hint, 300)]);
  }
  rows.push(...notes.map((note): [string, string] => ['note', showText(note.text, 300)]));
  return linesOf(rows);
}

const WAYS = {
  direct: 'direct: codex-router writes',
  sdk: 'sdk: the installed OpenClaw writes',
} as const;

const LOCKS = { file: 'lock file', transaction: 'transaction in' } as const;

function storeCells(stateDir: string, store: FoundStore): string[] {
  const { path, holds, schema, state, profiles, trouble } = store;
  const what = [
    ...(schema === null ? [] : [`schema ${schema}`]),
    ...(trouble === null ? [] : [showText(trouble, 200)]),
    ...profiles.slice(0, 8).map((id) => showText(id, 60)),
    ...(profiles.length > 8 ? [`and ${profiles.length - 8} more`] : []),
  ];
  return [state, holds, shownPath(stateDir, path), what.join(', ')];
}

function agentCells({ id, isDefault, runsOn, trouble }: HostDocument['agents'][number]): string[] {
  const why = trouble === null ? '' : `: ${showText(trouble, 200)}`;
  return [showText(id), `${RUNS_ON[runsOn]}${why}${isDefault ? ' (new chats land here)' : ''}`];
}

const RUNS_ON = {
  own: 'runs on a login of its own',
  main: "runs on main's login",
  copy: "runs on a copy of main's login",
  unknown: 'cannot be told',
} as const;

function residueText({ stateDir, residue, refusal }: HostDocument): string {
  const { files, notLookedAt } = residue ?? { files: [], notLookedAt: [] };
  const rows: [string, string][] = [['host', showText(stateDir, 200)]];
  for (const { path, kind, readableByOthers, logins } of files) {
    const open = readableByOthers ? ', readable by other users' : '';
    rows.push([kind, `${shownPath(stateDir, path)}${open}`]);
    rows.push(...logins.map((login): [string, string] => ['', `  ${whose(login)}`]));
  }
  if (files.length === 0) rows.push(['residue', 'no login was found outside the stores that OpenClaw reads']);
  for (const { path, reason } of notLookedAt)
    rows.push(['unseen', `${shownPath(stateDir, path)}: ${reason}`]);
  if (files.length > 0) {
    rows.push(
      ...titled('remove', [
        ...(refusal === null
          ? []
          : ["not yet: OpenClaw's own upgrade is not done, and may still need these files"]),
        'nothing is removed by codex-router. A file that you no longer need: rm <file>. A database: stop OpenClaw, then',
        'sqlite3 <file> "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)". Removing a copy does not log anybody out.',
      ]),
    );
  }
  return linesOf(rows);
}

type ResidueLogin = NonNullable<HostDocument['residue']>['files'][number]['logins'][number];

function whose({ accountId, email, live, expired }: ResidueLogin): string {
  const who =
    accountId === null
      ? 'a login whose owner cannot be told'
      : `${showText(email, 40)} (account ${showText(accountId.slice(0, 8), 8)})`;
  const age = expired === null ? '' : expired ? ', access token expired' : ', access token still valid';
  return `${who}, ${LIVE[live]}${age}`;
}

const LIVE = {
  'same-as-slot': 'the very login in the slot',
  'same-as-profile': 'the very login of another profile',
  other: 'not one that OpenClaw runs on now',
} as const;

/** Paths in the state directory from there: they are what differs. */
function shownPath(stateDir: string, path: string): string {
  const inside = relative(stateDir, path);
  return showText(inside.startsWith('..') || inside === '' ? path : inside, 200);
}

function titled(title: string, lines: readonly string[]): [string, string][] {
  return lines.map((line, index) => [index === 0 ? title : '', line]);
}

function linesOf(rows: readonly (readonly [string, string])[]): string {
  return rows.map(([title, line]) => `${title.padEnd(10)}${line}`.trimEnd()).join('\n');
}
