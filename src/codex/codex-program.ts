import { accessSync, constants, statSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';

/** The Codex CLI as it is spawned, without a shell. */
export interface CodexProgram {
  readonly file: string;
  readonly args: readonly string[];
}

/**
 * The person's own Codex CLI: `named`, else CODEX_ROUTER_CODEX, else `codex` on PATH.
 * @throws CODEX_NOT_FOUND
 */
export function findCodex(env: Env, platform: NodeJS.Platform, named: string | null): CodexProgram {
  const wanted = named ?? (env.CODEX_ROUTER_CODEX || null);
  if (wanted !== null) {
    const found = programAt(resolve(wanted), platform);
    if (found !== null) return found;
    throw notFound(`${resolve(wanted)} is no program that can be run`);
  }
  const names = platform === 'win32' ? ['codex.exe', 'codex.cmd'] : ['codex'];
  for (const folder of (env.PATH ?? env.Path ?? '').split(platform === 'win32' ? ';' : ':')) {
    // A relative one would be another program in each folder.
    if (!isAbsolute(folder)) continue;
    for (const name of names) {
      const found = programAt(join(folder, name), platform);
      if (found !== null) return found;
    }
  }
  throw notFound('the Codex CLI is not on PATH');
}

function programAt(path: string, platform: NodeJS.Platform): CodexProgram | null {
  try {
    if (!statSync(path).isFile()) return null;
    accessSync(path, constants.X_OK);
  } catch {
    return null;
  }
  if (platform !== 'win32' || !/\.(cmd|ps1)$/i.test(path)) return { file: path, args: [] };
  // npm's own launcher would need a shell; it starts this script.
  const script = join(dirname(path), 'node_modules', '@openai', 'codex', 'bin', 'codex.js');
  try {
    return statSync(script).isFile() ? { file: process.execPath, args: [script] } : null;
  } catch {
    return null;
  }
}

export function notFound(message: string): RouterError {
  return new RouterError('CODEX_NOT_FOUND', message, {
    hint: 'npm install -g @openai/codex, or name it with --codex <path>; codex-router login needs no Codex CLI',
  });
}
