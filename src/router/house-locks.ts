import { basename, dirname } from 'node:path';
import { type FoundLock, lookAtLock } from '../os/found-lock.js';
import { watchLockIn, withGrantLock, withRouterLock, withWatchLock } from '../os/lock.js';
import { type House, nameIn } from '../repo/house.js';
import { ROUTER_LOCK } from '../repo/house-files.js';
import { shellWord } from '../text.js';
import type { Finding } from './finding.js';
import type { HouseDeps } from './house-findings.js';
import { spanText } from './times.js';

/** ms for which no command holds a lock: past it, its holder hangs. */
const LONG = 2 * 60 * 1000;

/** codex-router's own locks that were left behind, are held for long, or cannot be taken at all. A live one is never touched. */
export async function lockFindings(deps: HouseDeps, { parts }: House): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const { path, role } of parts) {
    if (role !== 'lock' && role !== 'watch-lock') continue;
    const lock = await lookAtLock(path);
    // A watch holds its lock for as long as it runs.
    if (lock === null || (role === 'watch-lock' && lock.kind === 'alive')) continue;
    const finding = findingOf(deps, lock);
    if (finding !== null) findings.push(finding);
  }
  return findings;
}

function findingOf(deps: HouseDeps, lock: FoundLock): Finding | null {
  const { folders } = deps.vault;
  const { kind, pid, path } = lock;
  const name = nameIn(folders, path);
  const age = deps.now() - lock.since;
  const base = { part: 'lock', danger: false, remedy: null, mend: null } as const;
  if (kind === 'blocked') {
    const text = `${path} is no lock of codex-router's, and lies where one goes: every command that needs it waits and gives up`;
    return {
      ...base,
      code: 'OWN_LOCK_BLOCKED',
      text,
      remedy: `mv ${shellWord(path)} ${shellWord(`${path}.old`)}`,
    };
  }
  if (kind === 'dead') {
    const next = path === watchLockIn(folders.data) ? 'watch' : 'command';
    const text = `the lock ${name} was left by process ${pid}, which has ended; the next ${next} takes it away`;
    return { ...base, code: 'OWN_LOCK_LEFT', text, mend: release(lock, folders.data) };
  }
  if (age < LONG) return null;
  if (kind === 'alive') {
    const text = `process ${pid}, a codex-router, has held the lock ${name} for ${spanText(age)}: others wait for it and give up`;
    return { ...base, code: 'OWN_LOCK_HELD', text };
  }
  const who = pid === null ? 'names nobody' : `names process ${pid}, which cannot be judged from here`;
  const text = `the lock ${name} ${who}, and has lain there for ${spanText(age)}: the next command waits ten seconds and takes it away`;
  return {
    ...base,
    code: 'OWN_LOCK_LEFT',
    text,
    mend: kind === 'unnamed' ? release(lock, folders.data) : null,
  };
}

/** Takes the lock over as every command does, which removes the very file that was judged dead or none, and lets it go. */
function release({ path }: FoundLock, data: string): Finding['mend'] {
  const folder = dirname(path);
  const nothing = async () => undefined;
  return {
    does: `take the lock ${basename(path)} over and release it`,
    carryOut: async () => {
      const patience = { wait: 0 };
      if (path === watchLockIn(data)) await withWatchLock(data, nothing);
      else if (basename(path) === ROUTER_LOCK) await withRouterLock(folder, nothing, patience);
      else await withGrantLock(dirname(folder), basename(path), nothing, patience);
      return { text: `took the lock ${basename(path)} over and released it`, undo: null, notes: [] };
    },
  };
}
