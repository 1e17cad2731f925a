import { join } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError } from '../os/atomic.js';
import { readFile } from '../os/files.js';
import type { Env } from '../os/folders.js';
import { absolutePath } from './places.js';
import type { Release, ReleaseTraits } from './release.js';
import { filled } from './text.js';

export interface AdmissionFacts {
  readonly release: Release | null;
  readonly traits: ReleaseTraits;
  /** The profile id a switch writes; Codex's login is only ever copied over the default one. */
  readonly isDefaultSlot: boolean;
  readonly env: Env;
  readonly home: string;
  readonly platform: NodeJS.Platform;
}

const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Refuses what this release would do to a grant. A release that cannot be told, over a store without auth-state.json, may
 * be any through 4.5 and so one of the dangerous ones: it is refused like them, because a rotated token that is lost was
 * the only copy (law 2) and each remedy is cheap. Codex's keychain store (macOS) is not looked at.
 * @param expiresAt ms epoch of the grant that would go in.
 * @throws HOST_UNTRUSTED_WITH_GRANT with the remedy as hint; IO when Codex's auth.json cannot be read.
 */
export async function admitGrant(facts: AdmissionFacts, expiresAt: number, now: number): Promise<void> {
  const { release, traits } = facts;
  const doubtful = release === null && !traits.stateFile;
  const who = release === null ? 'an OpenClaw of unknown release' : `OpenClaw ${release.version}`;
  const doubt = doubtful ? ' (put openclaw on PATH if it is a safe one)' : '';
  // Elsewhere the key lies in a file, and what was sealed is opened again.
  const shut = facts.platform === 'darwin' && filled(facts.env.OPENCLAW_AUTH_PROFILE_SECRET_KEY) === null;
  if (traits.sealsTokens && shut) {
    throw untrusted(
      `${who} seals the slot's tokens with a key in its own keychain item, out of which they cannot come home`,
      'update OpenClaw to 2026.5.28, or give both of them the same OPENCLAW_AUTH_PROFILE_SECRET_KEY',
    );
  }
  if ((traits.losesRotation || doubtful) && expiresAt - now < DAY_MS) {
    throw untrusted(
      `${who} may refresh this login and lose the new token, and it has less than 24 hours left`,
      `codex-router login stores a new login of it, or update OpenClaw to 2026.4.20 or later${doubt}`,
    );
  }
  if ((traits.codexOverwrites || doubtful) && facts.isDefaultSlot) {
    const path = codexAuthPath(facts.env, facts.home);
    if ((await codexTokensAt(path)) !== null) {
      throw untrusted(
        `${who} copies Codex's own login (${path}) over the slot`,
        `codex-router import --take, or run OpenClaw with CODEX_HOME at an empty folder and say so here too${doubt}`,
      );
    }
  }
}

/** Where OpenClaw looks for Codex's login. @throws USAGE for a relative CODEX_HOME */
export function codexAuthPath(env: Env, home: string): string {
  const set = filled(env.CODEX_HOME);
  const folder = set === null ? join(home, '.codex') : absolutePath(set, home, 'CODEX_HOME');
  return join(folder, 'auth.json');
}

/** By OpenClaw's own test (3.28: `readCodexCliCredentials`): null unless both are there. Text it cannot parse it ignores. @throws IO */
export async function codexTokensAt(
  path: string,
): Promise<{ readonly access: string; readonly refresh: string } | null> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return null;
    throw ioError(error, path, 'read');
  }
  try {
    const file: unknown = JSON.parse(text);
    const tokens = typeof file === 'object' && file !== null && 'tokens' in file ? file.tokens : null;
    if (typeof tokens !== 'object' || tokens === null) return null;
    if (!('access_token' in tokens) || !('refresh_token' in tokens)) return null;
    const { access_token: access, refresh_token: refresh } = tokens;
    return isFilled(access) && isFilled(refresh) ? { access, refresh } : null;
  } catch {
    return null;
  }
}

function isFilled(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function untrusted(message: string, hint: string): RouterError {
  return new RouterError('HOST_UNTRUSTED_WITH_GRANT', message, { hint });
}
