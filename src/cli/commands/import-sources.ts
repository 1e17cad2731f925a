import { RouterError } from '../../errors.js';
import type { Holding } from '../../holding.js';
import type { IndexEntry, RepoView, Source } from '../../repo/repo.js';
import {
  applyImport,
  type ImportOptions as Decision,
  expectIdentity,
  forecastImport,
  type ImportPlan,
  nothingToImport,
  planImport,
  previewImport,
  readStored,
} from '../../router/import.js';
import { type HomeChoice, homeCandidate, importFromHome, previewFromHome } from '../../router/import-home.js';
import { type Found, findInHost } from '../../router/import-openclaw.js';
import type { ImportOutcome } from '../../router/import-outcome.js';
import type { FoundLogin, FoundLogins, LoginHome, LoginStore } from '../../router/import-source.js';
import type { Candidate } from '../../router/import-step.js';
import { claimHost, renewClaim, requireOwner } from '../../router/owner.js';
import type { HostNote } from '../../slot/host.js';
import { showText } from '../../text.js';
import { phrase } from '../people.js';
import type { Choice } from '../terminal.js';
import type { ImportOptions, ImportParts } from './import.js';

/** How long a piped stdin that nobody announced with `--from -` may stay silent, ms. */
const PATIENCE = 5000;

/** Where logins come from: one login of a Codex home, an OpenClaw, or copies that somebody else keeps. */
type From =
  | { readonly kind: 'home'; readonly home: LoginHome }
  | { readonly kind: 'openclaw' }
  | { readonly kind: 'copies'; readonly source: Source; find(): Promise<Copies> };

type Copies = FoundLogins & { readonly notes: readonly HostNote[] };

export interface Shown {
  readonly outcome: ImportOutcome;
  /** Everybody who is stored, then. */
  readonly entries: readonly IndexEntry[];
}

/** Imports from where the options say; with `--dry-run` it only says what that would come to. */
export async function importFrom(
  parts: ImportParts,
  decision: Decision,
  options: ImportOptions,
): Promise<Shown> {
  if (options.take && options.keep) throw usage('--take and --keep exclude each other');
  const from = await locate(parts, options);
  switch (from.kind) {
    case 'home':
      return fromHome(parts, from.home, decision, options);
    case 'openclaw':
      return fromOpenclaw(parts, decision, options);
    case 'copies':
      return fromCopies(parts, from, decision, options);
  }
}

async function locate(parts: ImportParts, options: ImportOptions): Promise<From> {
  const { from, path, take, keep } = options;
  const { logins } = parts;
  const chosen = take === true || keep === true;
  const isHome = from === undefined || from === 'codex';
  if (isHome && path !== undefined) throw usage("--path is for another tool's store, named with --from");
  if (from === undefined && !chosen && !parts.stdinIsTerminal) {
    const bytes = await parts.readStdin(await largest(parts), PATIENCE);
    if (bytes.length > 0) return oneFile(parts, 'standard input', bytes);
  }
  if (isHome) return { kind: 'home', home: await logins.home() };
  if (from === 'openclaw') {
    if (keep)
      throw usage('--keep is for a login in a Codex home: OpenClaw keeps its own unless --take is given');
    if (path !== undefined) throw usage('--state-dir names an OpenClaw, not --path');
    return { kind: 'openclaw' };
  }
  const store = (await parts.stores()).find(({ source }) => source === from);
  if (store === undefined && path !== undefined) throw usage("--path is for another tool's store");
  if (store === undefined && from !== '-') {
    const home = await logins.home('file');
    if (await home.isOwn(from)) return { kind: 'home', home };
  }
  if (chosen) throw usage('--take and --keep are for a login in a Codex home, and --take for OpenClaw');
  if (store !== undefined) {
    return { kind: 'copies', source: store.source, find: () => fromStore(store, path ?? null) };
  }
  if (from === '-')
    return oneFile(parts, 'standard input', await parts.readStdin(await largest(parts), null));
  return oneFile(parts, from, await logins.readFile(from, await largest(parts)));
}

async function largest(parts: ImportParts): Promise<number> {
  return Math.max(parts.logins.largest, (await parts.archive()).largest);
}

/** An auth.json, or an archive, which its first bytes tell. */
async function oneFile(parts: ImportParts, from: string, bytes: Uint8Array): Promise<From> {
  const archive = await parts.archive();
  if (archive.isArchive(bytes)) {
    const find = async (): Promise<Copies> => {
      const found = await archive.open(bytes, from);
      const text = `${showText(from, 100)} is a copy: a login that is refreshed on one machine stops working on the other`;
      return { ...found, notes: [{ code: 'COPY', text }] };
    };
    return { kind: 'copies', source: 'archive', find };
  }
  const holding = parts.logins.parse(bytes, from);
  const text = `${showText(from, 100)} is a copy: whoever holds the original shares this login, and the first to refresh it shuts the other out`;
  const notes = [{ code: 'COPY', text }];
  const find = async () => ({ logins: [{ holding, from, alias: null }], skipped: [], notes });
  return { kind: 'copies', source: 'file', find };
}

async function fromStore(store: LoginStore, path: string | null): Promise<Copies> {
  const found = await store.find(path);
  if (found.logins.length === 0) return { ...found, notes: [] };
  const active = found.logins.find(({ isActive }) => isActive);
  const also = active === undefined ? '' : `, and ${showText(active.from, 80)} is the one Codex runs on now`;
  const text = `${store.title} still has its copy of each of these${also}. The first of two to refresh a login shuts the other out: stop using it there, or codex-router login for a login of our own`;
  return { ...found, notes: [{ code: 'SHARED_WITH_TOOL', text }] };
}

// --- a Codex home --------------------------------------------------------------------------------------------------

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
    if (wanted === null && !parts.canAsk && !options.dryRun) throw choiceNeeded(home);
    // A dry run without a choice shows what both have in common.
    if (wanted === 'take' || (wanted === null && !options.dryRun)) await home.admitTaking();
    if (decision.expect !== null) expectIdentity({ holding: shown, from: home.folder }, decision.expect);
  }
  if (options.dryRun) {
    const repo = await parts.viewRepo();
    const outcome = await previewFromHome(home, repo, { shown, leftover, choice: wanted }, decision);
    return { outcome, entries: await repo.list() };
  }
  const repo = await parts.openRepo();
  if (shown !== null) {
    // Decided once before the question, so that nobody is asked about what is then refused.
    const candidate = homeCandidate(home, shown, repo, wanted ?? 'take');
    planImport([candidate], await readStored(repo, [candidate]), decision);
  }
  const choice = wanted ?? (shown === null ? 'take' : await askChoice(parts, home, shown));
  const outcome = await parts.withLock(() =>
    parts.critical(() => importFromHome(home, repo, shown, choice, decision)),
  );
  return { outcome, entries: await repo.list() };
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

// --- OpenClaw, and copies ------------------------------------------------------------------------------------------

async function fromOpenclaw(parts: ImportParts, decision: Decision, options: ImportOptions): Promise<Shown> {
  const host = await parts.host();
  // What is imported from there is held there, so it has to be our host.
  const find = async (repo: RepoView): Promise<Found> => {
    await requireOwner(host, repo);
    return findInHost(host, (grant) => repo.fingerprint(grant), parts.now());
  };
  if (options.dryRun) return preview(parts, decision, find, []);
  const repo = await parts.openRepo();
  const outcome = await parts.withLock(async () => {
    const plan = await planFor(repo, await find(repo), decision);
    return parts.critical(async () => {
      await claimHost(host, repo, parts.now());
      const imported = await applyImport(repo, plan);
      const notes = [...plan.notes, ...(await renewClaim(host, repo, parts.now()))];
      return { ...plan, imported, notes };
    });
  });
  return { outcome, entries: await repo.list() };
}

async function fromCopies(
  parts: ImportParts,
  from: Extract<From, { kind: 'copies' }>,
  decision: Decision,
  options: ImportOptions,
): Promise<Shown> {
  const found = await from.find();
  // Before the vault is made or opened for somebody else's login.
  if (decision.expect !== null) for (const login of found.logins) expectIdentity(login, decision.expect);
  const candidates = (repo: RepoView): Found => ({
    candidates: found.logins.map((login) => copied(login, from.source, repo)),
    skipped: found.skipped,
  });
  // Before a vault is made for it.
  if (found.logins.length === 0) throw nothingToImport(found.skipped);
  if (options.dryRun) return preview(parts, decision, async (repo) => candidates(repo), found.notes);
  const repo = await parts.openRepo();
  const outcome = await parts.withLock(async () => {
    const plan = await planFor(repo, candidates(repo), decision);
    const imported = await parts.critical(() => applyImport(repo, plan));
    return { ...plan, imported, notes: [...plan.notes, ...found.notes] };
  });
  return { outcome, entries: await repo.list() };
}

async function preview(
  parts: ImportParts,
  decision: Decision,
  find: (repo: RepoView) => Promise<Found>,
  notes: readonly HostNote[],
): Promise<Shown> {
  const repo = await parts.viewRepo();
  const { candidates, skipped } = await find(repo);
  const stored = await readStored(repo, candidates);
  const outcome = previewImport(forecastImport(candidates, stored, decision, skipped), stored);
  return { outcome: { ...outcome, notes: [...outcome.notes, ...notes] }, entries: await repo.list() };
}

async function planFor(
  repo: RepoView,
  { candidates, skipped }: Found,
  decision: Decision,
): Promise<ImportPlan> {
  return planImport(candidates, await readStored(repo, candidates), decision, skipped);
}

function copied({ holding, from, alias, doubt }: FoundLogin, source: Source, repo: RepoView): Candidate {
  const fingerprint = repo.fingerprint(holding.grant);
  return { holding, fingerprint, from, source, alias, doubt, sharedWith: undefined, placement: null };
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
