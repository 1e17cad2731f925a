import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { identityKey, sameIdentity } from '../identity.js';
import type { OpenRepo, RepoView } from '../repo/repo.js';
import type { HostNote } from '../slot/host.js';
import {
  applyImport,
  forecastImport,
  type ImportOptions,
  planImport,
  previewImport,
  readStored,
} from './import.js';
import type { Imported, ImportOutcome } from './import-outcome.js';
import type { LoginHome, Seal } from './import-source.js';
import type { Candidate } from './import-step.js';
import { endHandOver, refuseCopy } from './lent.js';

/** Whether the Codex home loses the login it gives (`take`), or knowingly keeps a copy (`keep`). */
export type HomeChoice = 'take' | 'keep';

/** @param choice null for what an interrupted import left over: that one was taken. */
export function homeCandidate(
  home: LoginHome,
  holding: Holding,
  repo: RepoView,
  choice: HomeChoice | null,
): Candidate {
  return {
    holding,
    fingerprint: repo.fingerprint(holding.grant),
    from: choice === null ? `an interrupted import from ${home.folder}` : home.folder,
    source: 'codex',
    sharedWith: choice === 'keep' ? 'codex' : null,
    placement: null,
    ...(choice !== 'keep' && { takenFrom: home.folder }),
  };
}

/**
 * Imports from a Codex home: first what an interrupted import left there, then its login. The caller holds the router's
 * lock and has opened the vault, because Codex's own locks are held in here and allow for neither.
 * @param shown the login the person was asked about; null when there is only a left-over.
 * @throws as `planImport` and the home; whatever was stored until then stays stored.
 */
export async function importFromHome(
  home: LoginHome,
  repo: OpenRepo,
  shown: Holding | null,
  choice: HomeChoice,
  options: ImportOptions,
): Promise<ImportOutcome> {
  const imported: Imported[] = [];
  const notes: HostNote[] = [];
  const store = async (candidate: Candidate, how: ImportOptions, isLeftover: boolean): Promise<void> => {
    const plan = planImport([candidate], await readStored(repo, [candidate]), how);
    imported.push(...(await applyImport(repo, plan)));
    await proveStored(repo, candidate.holding);
    const { sharedWith, holding } = candidate;
    if (sharedWith === null) await endHandOver(repo, holding.identity, home.folder, isLeftover);
  };
  if ((await home.readLeftover()) !== null) {
    const how = shown === null ? options : { ...options, alias: null, expect: null };
    await home.resume(resumeSeal(home, repo, notes, (candidate) => store(candidate, how, true)));
  }
  if (shown === null) return { imported, refused: [], skipped: [], notes };
  let sealed = false;
  const seal: Seal = async (holding) => {
    await store(homeCandidate(home, holding, repo, choice), options, false);
    sealed = true;
  };
  if (choice === 'take') {
    try {
      await home.take(shown, seal);
    } catch (error) {
      if (sealed) await markShared(repo, shown);
      throw error;
    }
    notes.push({
      code: 'TAKEN',
      text: `${home.folder} is signed out now: Codex programs still running should be closed`,
    });
  } else {
    await refuseCopy(repo, shown.identity, home.folder);
    await seal(await stillThere(home, shown));
    notes.push(shared(home));
  }
  return { imported, refused: [], skipped: [], notes };
}

/**
 * What `importFromHome` would do; writes nothing.
 * @param choice null while it is open: then both are told.
 */
export async function previewFromHome(
  home: LoginHome,
  repo: RepoView,
  there: {
    readonly shown: Holding | null;
    readonly leftover: Holding | null;
    readonly choice: HomeChoice | null;
  },
  options: ImportOptions,
): Promise<ImportOutcome> {
  const { shown, leftover, choice } = there;
  const forecast = async (candidate: Candidate, how: ImportOptions): Promise<ImportOutcome> => {
    const stored = await readStored(repo, [candidate]);
    return previewImport(forecastImport([candidate], stored, how), stored);
  };
  const outcomes: ImportOutcome[] = [];
  if (leftover !== null) {
    const how = shown === null ? options : { ...options, alias: null, expect: null };
    outcomes.push(await forecast(homeCandidate(home, leftover, repo, null), how));
  }
  const notes: HostNote[] = [];
  if (shown !== null) {
    outcomes.push(await forecast(homeCandidate(home, shown, repo, choice ?? 'take'), options));
    if (choice !== 'keep') {
      const how = choice === null ? 'with --take: ' : '';
      notes.push({ code: 'WOULD_TAKE', text: `${how}${home.folder} would be signed out` });
    }
    if (choice !== 'take') {
      const { code, text } = shared(home);
      notes.push({ code, text: choice === null ? `with --keep: ${text}` : text });
    }
  }
  return {
    imported: outcomes.flatMap(({ imported }) => imported),
    refused: outcomes.flatMap(({ refused }) => refused),
    skipped: [],
    notes: [...outcomes.flatMap((one) => one.notes), ...notes],
  };
}

function shared({ folder }: LoginHome): HostNote {
  return {
    code: 'SHARED_WITH_CODEX',
    text: `${folder} keeps this login too: the first of the two to refresh it shuts the other out, and the next codex login revokes it for both`,
  };
}

/** A left-over that lost against the stored login is kept sealed: its plaintext must not stay, and it may be the only copy. */
function resumeSeal(
  home: LoginHome,
  repo: OpenRepo,
  notes: HostNote[],
  store: (candidate: Candidate) => Promise<void>,
): Seal {
  return async (holding) => {
    try {
      await store(homeCandidate(home, holding, repo, null));
      notes.push({ code: 'RESUMED', text: `an interrupted import from ${home.folder} was finished` });
    } catch (error) {
      if (!(error instanceof RouterError && ['GRANT_NOT_NEWER', 'LENT'].includes(error.code))) throw error;
      const why =
        error.code === 'LENT' ? 'is of one that Codex has elsewhere' : 'is not newer than the stored one';
      await repo.backUp(holding, `left by an interrupted import: it ${why}`);
      await endHandOver(repo, holding.identity, home.folder, true);
      notes.push({
        code: 'BACKED_UP',
        text: `a login left by an interrupted import from ${home.folder} ${why}: sealed as a back-up`,
      });
    }
  };
}

/** Sealed here and not taken away there: whoever reads of it must not think that it is ours alone. */
async function markShared(repo: OpenRepo, { identity }: Holding): Promise<void> {
  const key = identityKey(identity);
  // The error that led here is the one to be told.
  await repo
    .load(key)
    .then((stored) => repo.save(stored, { sharedWith: 'codex' }))
    .catch(() => undefined);
}

async function stillThere(home: LoginHome, shown: Holding): Promise<Holding> {
  const now = await home.read();
  if (now !== null && sameIdentity(now.identity, shown.identity)) return now;
  throw new RouterError('SLOT_CHANGED', `${home.folder} has another login now`, {
    hint: 'codex-router import',
  });
}

/** The only other copy is about to be removed, so what the record gives back is compared with it. */
async function proveStored(repo: OpenRepo, holding: Holding): Promise<void> {
  const key = identityKey(holding.identity);
  const stored = await repo.load(key);
  if (stored.grant.refreshToken.equals(holding.grant.refreshToken)) return;
  throw new RouterError('RECORD_DAMAGED', `the sealed record of ${key} does not give back what was put in`, {
    hint: 'codex-router vault status --check',
  });
}
