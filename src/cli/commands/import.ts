import { RouterError } from '../../errors.js';
import type { Holding } from '../../holding.js';
import type { IndexEntry, OpenRepo } from '../../repo/repo.js';
import {
  applyImport,
  type ImportOptions as Decision,
  expectIdentity,
  planImport,
  readStored,
} from '../../router/import.js';
import {
  type HomeChoice,
  homeCandidate,
  type ImportOutcome,
  importFromHome,
} from '../../router/import-home.js';
import { findInHost } from '../../router/import-openclaw.js';
import type { LoginHome, LoginSource } from '../../router/import-source.js';
import type { Candidate } from '../../router/import-step.js';
import { claimHost, renewClaim, requireOwner } from '../../router/owner.js';
import { candidateOf } from '../../router/resolve.js';
import type { Host } from '../../slot/host.js';
import { showText } from '../../text.js';
import { DONE, type ImportDocument } from '../documents.js';
import type { HostOptions, KeyOptions } from '../options.js';
import { phrase } from '../people.js';
import type { Choice } from '../terminal.js';

export interface ImportOptions extends HostOptions, KeyOptions {
  /** A file, `-` for standard input, `openclaw`; absent for the Codex home, or for standard input where it is piped. */
  readonly from?: string;
  readonly alias?: string;
  readonly expect?: string;
  readonly take?: boolean;
  readonly keep?: boolean;
  readonly replace?: boolean;
}

/** What `import` needs of the command line and of the parts that compose hands in. */
export interface ImportParts {
  readonly canAsk: boolean;
  readonly stdinIsTerminal: boolean;
  /**
   * All of stdin, as text.
   * @param patience ms to wait for the first byte; '' when none came, and stdin is let go. Null waits for ever.
   * @throws USAGE past `limit` bytes.
   */
  readStdin(limit: number, patience: number | null): Promise<string>;
  ask<T extends string>(question: string, choices: readonly Choice<T>[]): Promise<T>;
  say(line: string): void;
  print(document: ImportDocument, text: () => string): void;
  readonly json: boolean;
  readonly logins: LoginSource;
  openRepo(): Promise<OpenRepo>;
  host(): Promise<Host>;
  /** Holds the router's lock around `work`; never called around a question. */
  withLock<T>(work: () => Promise<T>): Promise<T>;
  /** Lets `work` end although a signal arrives. */
  critical<T>(work: () => Promise<T>): Promise<T>;
  now(): number;
}

/** How long a piped stdin that nobody announced with `--from -` may stay silent, ms. */
const PATIENCE = 5000;

type From =
  | { readonly kind: 'openclaw' }
  | { readonly kind: 'copy'; readonly holding: Holding; readonly from: string }
  | { readonly kind: 'home'; readonly home: LoginHome };

/** `codex-router import` */
export async function importLogins(parts: ImportParts, options: ImportOptions): Promise<void> {
  const decision: Decision = {
    alias: options.alias ?? null,
    expect: options.expect ?? null,
    replace: options.replace ?? false,
  };
  const from = await locate(parts, options);
  const outcome =
    from.kind === 'home'
      ? await fromHome(parts, from.home, decision, options)
      : await fromCopies(parts, from, decision);
  show(parts, outcome.result, outcome.entries);
}

interface Shown {
  readonly result: ImportOutcome;
  readonly entries: readonly IndexEntry[];
}

async function locate(parts: ImportParts, options: ImportOptions): Promise<From> {
  const { from, take, keep } = options;
  const { logins } = parts;
  if (take && keep) throw usage('--take and --keep exclude each other');
  const chosen = take === true || keep === true;
  if (from === undefined) {
    if (!chosen && !parts.stdinIsTerminal) {
      const text = await parts.readStdin(logins.largest, PATIENCE);
      if (text !== '') return copy(logins, text);
    }
    return { kind: 'home', home: await logins.home() };
  }
  if (from !== 'openclaw' && from !== '-') {
    const home = await logins.home();
    if (await home.isOwn(from)) return { kind: 'home', home };
  }
  if (chosen) throw usage('--take and --keep are for a login in a Codex home');
  if (from === 'openclaw') return { kind: 'openclaw' };
  if (from === '-') return copy(logins, await parts.readStdin(logins.largest, null));
  return { kind: 'copy', holding: await logins.readFile(from), from };
}

function copy(logins: LoginSource, text: string): From {
  const from = 'standard input';
  return { kind: 'copy', holding: logins.parse(text, from), from };
}

async function fromHome(
  parts: ImportParts,
  home: LoginHome,
  decision: Decision,
  options: ImportOptions,
): Promise<Shown> {
  const shown = await home.read();
  const leftover = await home.readLeftover();
  if (shown === null && leftover === null) throw await home.absence();
  const wanted = options.keep ? 'keep' : options.take ? 'take' : null;
  if (shown !== null) {
    if (wanted === null && !parts.canAsk) throw choiceNeeded(home);
    if (wanted !== 'keep') await home.admitTaking();
    if (decision.expect !== null) expectIdentity({ holding: shown, from: home.folder }, decision.expect);
  }
  const repo = await parts.openRepo();
  if (shown !== null) {
    // Decided once before the question, so that nobody is asked about what is then refused.
    const candidate = homeCandidate(home, shown, repo, 'keep');
    planImport([candidate], await readStored(repo, [candidate]), decision);
  }
  const choice = wanted ?? (shown === null ? 'take' : await askChoice(parts, home, shown));
  const result = await parts.withLock(() =>
    parts.critical(() => importFromHome(home, repo, shown, choice, decision)),
  );
  return { result, entries: await repo.list() };
}

async function fromCopies(
  parts: ImportParts,
  from: Exclude<From, { kind: 'home' }>,
  decision: Decision,
): Promise<Shown> {
  const host = from.kind === 'openclaw' ? await parts.host() : null;
  // Before the vault is made or opened for somebody else's login.
  if (from.kind === 'copy' && decision.expect !== null) expectIdentity(from, decision.expect);
  const repo = await parts.openRepo();
  const result = await parts.withLock(async () => {
    const fingerprint: OpenRepo['fingerprint'] = (grant) => repo.fingerprint(grant);
    // What is imported from there is held there, so it has to be our host.
    if (host !== null) await requireOwner(host, repo);
    const found =
      from.kind === 'copy' || host === null
        ? { candidates: from.kind === 'copy' ? [copied(from, repo)] : [], skipped: [] }
        : await findInHost(host, fingerprint, parts.now());
    const plan = planImport(
      found.candidates,
      await readStored(repo, found.candidates),
      decision,
      found.skipped,
    );
    const { imported, renewed } = await parts.critical(async () => {
      if (host !== null) await claimHost(host, repo, parts.now());
      const imported = await applyImport(repo, plan);
      return { imported, renewed: host === null ? [] : await renewClaim(host, repo, parts.now()) };
    });
    const notes =
      from.kind === 'copy'
        ? [
            {
              code: 'COPY',
              text: `${from.from} is a copy: whoever holds the original shares this login, and the first to refresh it shuts the other out`,
            },
          ]
        : renewed;
    return { imported, skipped: plan.skipped, notes };
  });
  return { result, entries: await repo.list() };
}

function copied(from: Extract<From, { kind: 'copy' }>, repo: OpenRepo): Candidate {
  return {
    holding: from.holding,
    fingerprint: repo.fingerprint(from.holding.grant),
    from: from.from,
    source: 'file',
    sharedWith: undefined,
    placement: null,
  };
}

async function askChoice(parts: ImportParts, home: LoginHome, shown: Holding): Promise<HomeChoice> {
  const { identity } = shown;
  const who = phrase({ ...identity, alias: null });
  const answer = await parts.ask(
    `${showText(home.folder, 200)} is signed in as ${who}. Take this login over?`,
    [
      {
        value: 'take',
        label: 'Take it over',
        hint: 'Codex is signed out there; nobody can revoke it by logging in',
      },
      { value: 'keep', label: 'Copy it', hint: 'shared with Codex: the next codex login revokes it' },
      { value: 'stop', label: 'Do nothing' },
    ] satisfies readonly Choice<HomeChoice | 'stop'>[],
  );
  if (answer === 'stop') {
    throw new RouterError('INTERRUPTED', 'nothing was imported, and nothing was changed', {
      hint: 'codex-router import',
    });
  }
  return answer;
}

function show(parts: ImportParts, result: ImportOutcome, entries: readonly IndexEntry[]): void {
  const document: ImportDocument = {
    ...DONE,
    result: result.imported.some((one) => one.result !== 'unchanged') ? 'imported' : 'unchanged',
    imported: result.imported.map((one) => ({
      identity: candidateOf(one.entry),
      result: one.result,
      source: one.entry.source,
      shared: one.entry.sharedWith,
      verified: one.entry.verified,
    })),
    skipped: [...result.skipped],
    notes: [...result.notes],
  };
  parts.print(document, () => textOf(document, result, entries));
  if (parts.json) return;
  for (const { from, reason } of document.skipped) {
    parts.say(`  skipped   ${showText(from, 120)}: ${showText(reason, 300)}`);
  }
  for (const { text } of document.notes) parts.say(`  note      ${showText(text, 400)}`);
}

const HAPPENED = {
  added: 'stored',
  unchanged: 'was stored already',
  updated: 'updated with a newer login; the old one is kept sealed',
  replaced: 'replaced; the old login is kept sealed',
} as const;

function textOf(document: ImportDocument, result: ImportOutcome, entries: readonly IndexEntry[]): string {
  if (document.imported.length === 0) return 'nothing new was imported';
  const lines = document.imported.map(({ identity, result: what, verified, source }, index) => {
    const from = showText(result.imported[index]?.from, 100);
    const place = source === 'openclaw' ? `, from ${from}` : '';
    const trust = verified ? '' : ' (unverified until its first successful call)';
    return `${phrase(identity)}: ${HAPPENED[what]}${place}${trust}`;
  });
  const nexts = document.imported.map(({ identity, shared }) =>
    shared === null
      ? `next: codex-router use ${selector(identity, entries)}`
      : 'next: codex-router import --take, before it can be routed: one login serves one holder',
  );
  return [...lines, ...new Set(nexts)].join('\n');
}

/** The accountId, or the whole key where one workspace has several of the stored logins. */
function selector(
  { accountId, userId }: ImportDocument['imported'][number]['identity'],
  entries: readonly IndexEntry[],
): string {
  const several = entries.filter(({ identity }) => identity.accountId === accountId).length > 1;
  return several ? `${accountId}/${userId}` : accountId;
}

function choiceNeeded(home: LoginHome): RouterError {
  return new RouterError(
    'CHOICE_NEEDED',
    `choose what becomes of the login in ${home.folder}: --take moves it here, --keep copies it and leaves it shared`,
    { hint: 'codex-router import --take; a login from a pipe wants --from -' },
  );
}

function usage(message: string): RouterError {
  return new RouterError('USAGE', message, { hint: 'codex-router import --help' });
}
