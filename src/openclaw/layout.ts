import type { Dirent } from 'node:fs';
import { join } from 'node:path';
import { systemErrorCode } from '../errors.js';
import { ioError } from '../os/atomic.js';
import { readdir } from '../os/files.js';

/**
 * `json`: auth-profiles.json holds everything. `json+state`: order, lastGood and statistics lie in auth-state.json.
 * `sqlite-agent`: rows of each agent's database (6.5 to 7.35). `sqlite-shared`: rows of the shared one (8.1 and later).
 */
export type Layout = 'json' | 'json+state' | 'sqlite-agent' | 'sqlite-shared';

export type Provider = 'openai-codex' | 'openai';

/** The provider's id until 6.1 renamed it, and since. */
export function slotOf(provider: Provider): string {
  return `${provider}:default`;
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
