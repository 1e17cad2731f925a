import { createReadStream, type Dirent } from 'node:fs';
import { join } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError } from '../os/atomic.js';
import { readdir } from '../os/files.js';
import { compareVersions, LAST_JSON_RELEASE, type Release } from './release.js';
import { statOf } from './store-file.js';

/** `json`: auth-profiles.json holds everything. `json+state`: order, lastGood and statistics lie in auth-state.json. */
export type JsonLayout = 'json' | 'json+state';

/** Provider and default slot of the layouts here: every release through 2026.5.28. */
export const JSON_PROVIDER = 'openai-codex';
export const JSON_SLOT = 'openai-codex:default';

/**
 * Refuses what these layouts do not cover, before anything is written: a release after 2026.5.28, or a state directory
 * whose logins a SQLite store owns (the JSON beside it is a leftover, and writing it would break that store).
 * @throws HOST_UNSUPPORTED naming what was found and the remedy.
 */
export async function refuseOtherEras(
  stateDir: string,
  agentDirs: readonly string[],
  release: Release | null,
): Promise<void> {
  const database = await findDatabase(stateDir, agentDirs);
  const newer = release !== null && compareVersions(release.version, LAST_JSON_RELEASE) > 0;
  const found = newer ? `OpenClaw ${release.version} (${release.source})` : 'OpenClaw 2026.6.5 or later';
  if (database !== null) {
    throw new RouterError('HOST_UNSUPPORTED', `${found} keeps its logins in SQLite (${database})`, {
      hint: `this codex-router covers the JSON stores through ${LAST_JSON_RELEASE}; nothing was touched`,
    });
  }
  if (newer) {
    throw new RouterError(
      'HOST_UNSUPPORTED',
      `${found} is newer than ${LAST_JSON_RELEASE}, the last release covered here`,
      { hint: 'if JSON stores are left over from an older one: openclaw doctor --fix; nothing was touched' },
    );
  }
}

/** What 8.1 and later write into the shared database once it owns the logins. */
const SHARED_STORE = ['auth.sharedStore', 'authProfiles.store'];

/** The database that owns the logins, or null. 6.5 to 7.35 keep one per agent; from 8.1 the shared one has them. */
async function findDatabase(stateDir: string, agentDirs: readonly string[]): Promise<string | null> {
  for (const folder of agentDirs) {
    const path = join(folder, 'openclaw-agent.sqlite');
    if ((await statOf(path)) !== null) return path;
  }
  // The shared database alone proves nothing: 6.1 has one for other purposes. SQLite stores text as it is.
  for (const suffix of ['', '-wal']) {
    const path = join(stateDir, 'state', `openclaw.sqlite${suffix}`);
    if (await containsAny(path, SHARED_STORE)) return path;
  }
  return null;
}

async function containsAny(path: string, words: readonly string[]): Promise<boolean> {
  // No database is a pipe or a device, and reading one could wait for ever.
  if (!(await statOf(path))?.isFile()) return false;
  let tail = '';
  for await (const chunk of createReadStream(path, { encoding: 'latin1' })) {
    const text = tail + String(chunk);
    if (words.some((word) => text.includes(word))) return true;
    tail = text.slice(-32);
  }
  return false;
}

/** Agent ids with a folder under `<stateDir>/agents`, sorted. */
export async function agentsOnDisk(stateDir: string): Promise<readonly string[]> {
  const folder = join(stateDir, 'agents');
  let found: Dirent[];
  try {
    found = await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw ioError(error, folder, 'read');
  }
  return found
    .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && AGENT_ID.test(entry.name))
    .map((entry) => entry.name)
    .sort();
}

const AGENT_ID = /^[a-z0-9][a-z0-9_-]{0,63}$/;
