import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Places } from './places.js';

/**
 * Whether anything there is SQLite, by names only: any Node can look. Through 6.1 such a database holds no login yet.
 * What cannot be looked at counts as no: whoever reads it says what is wrong.
 */
export function holdsSqlite({ stateDir, mainAgentDir }: Places): boolean {
  const agents = join(stateDir, 'agents');
  const own = 'openclaw-agent.sqlite';
  return (
    existsSync(join(stateDir, 'state', 'openclaw.sqlite')) ||
    (mainAgentDir !== null && existsSync(join(mainAgentDir, own))) ||
    namesIn(agents).some((agent) => existsSync(join(agents, agent, 'agent', own)))
  );
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
