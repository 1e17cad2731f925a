import { delimiter, dirname, isAbsolute, join } from 'node:path';
import { readFile, realpath, stat } from '../os/files.js';
import type { Env } from '../os/folders.js';

/** An OpenClaw release and where it was read. */
export interface Release {
  readonly version: string;
  readonly source: string;
  /** The latest `user_version` its package says it can read of each database (8.1 and later); left out where it does not. */
  readonly schemas?: Schemas;
}

export interface Schemas {
  readonly state: number;
  readonly agent: number;
}

/** Calendar order of two versions; a suffix (`-1`, `-beta.2`) does not count. An unreadable one sorts first. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [numbers(a), numbers(b)];
  for (let index = 0; index < 3; index += 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function numbers(version: string): number[] {
  const found = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version.trim());
  return found === null ? [0, 0, 0] : found.slice(1).map(Number);
}

/**
 * What a release does with the slot. Boundaries come from a string scan of 39 releases plus a reading of 4.5, 4.15 and
 * 4.20; a release between two scanned ones counts as the more dangerous. `unknown` releases get the careful answer.
 */
export interface ReleaseTraits {
  /** Order, lastGood and usageStats live in auth-state.json (4.7; 4.5 still writes them into auth-profiles.json). */
  readonly stateFile: boolean;
  /** A refresh takes `locks/oauth-refresh/...` before the store's lock (4.20). */
  readonly refreshLock: boolean;
  /** Main's entry is copied over the other agents' without asking whose it is (through 4.15). */
  readonly copiesMain: boolean;
  /** Codex's auth.json replaces the slot's entry on a load (3.24 to 4.15). */
  readonly codexOverwrites: boolean;
  /** A refreshed token is used and never saved (3.24 to 3.31). */
  readonly losesRotation: boolean;
  /** Inline tokens are moved into a sealed side file on the next save (5.12; 5.18 no longer does). */
  readonly sealsTokens: boolean;
  /** The entry has `chatgptPlanType` (4.24). */
  readonly planField: boolean;
  /** sessions.json is written under its lock (through 4.29); from 5.2 on under none that another process could take. */
  readonly locksSessions: boolean;
}

export function traitsOf(release: Release | null, hasStateFile: boolean): ReleaseTraits {
  const v = release?.version;
  const from = (bound: string) => v !== undefined && compareVersions(v, bound) >= 0;
  const before = (bound: string) => v !== undefined && compareVersions(v, bound) < 0;
  return {
    stateFile: from('2026.4.7') || (v === undefined && hasStateFile),
    refreshLock: v === undefined || from('2026.4.20'),
    copiesMain: before('2026.4.20') || (v === undefined && !hasStateFile),
    codexOverwrites: from('2026.3.14') && before('2026.4.20'),
    losesRotation: from('2026.3.14') && before('2026.4.1'),
    sealsTokens: from('2026.5.8') && before('2026.5.18'),
    planField: from('2026.4.24') || (v === undefined && hasStateFile),
    locksSessions: before('2026.4.30') || (v === undefined && !hasStateFile),
  };
}

/**
 * The package behind the first `openclaw` on PATH: its link followed, else the node_modules of the npm prefix that
 * folder belongs to. Null when there is none; a package that cannot be read counts as none.
 */
export async function findInstalled(env: Env, platform: NodeJS.Platform): Promise<Release | null> {
  const names = platform === 'win32' ? ['openclaw.cmd', 'openclaw.ps1', 'openclaw'] : ['openclaw'];
  for (const folder of (env.PATH ?? env.Path ?? '').split(delimiter)) {
    if (!isAbsolute(folder)) continue;
    for (const name of names) {
      const program = await realFile(join(folder, name));
      if (program === null) continue;
      const found =
        (await versionAbove(program)) ??
        (await versionAt(join(folder, '..', 'lib', 'node_modules', 'openclaw'))) ??
        (await versionAt(join(folder, '..', 'openclaw'))) ??
        (await versionAt(join(folder, 'node_modules', 'openclaw')));
      if (found !== null) return { ...found, source: join(folder, name) };
    }
  }
  return null;
}

async function realFile(path: string): Promise<string | null> {
  try {
    const real = await realpath(path);
    return (await stat(real)).isFile() ? real : null;
  } catch {
    return null;
  }
}

type Manifest = Pick<Release, 'version' | 'schemas'>;

async function versionAbove(program: string): Promise<Manifest | null> {
  let folder = dirname(program);
  for (let depth = 0; depth < 4; depth += 1) {
    const version = await versionAt(folder);
    if (version !== null) return version;
    folder = dirname(folder);
  }
  return null;
}

async function versionAt(folder: string): Promise<Manifest | null> {
  try {
    const manifest: unknown = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
    if (typeof manifest !== 'object' || manifest === null) return null;
    if (!('name' in manifest) || manifest.name !== 'openclaw' || !('version' in manifest)) return null;
    if (typeof manifest.version !== 'string') return null;
    const schemas = schemasOf(manifest);
    return { version: manifest.version, ...(schemas !== null && { schemas }) };
  } catch {
    return null;
  }
}

/** `openclaw.schemaVersions` of package.json (8.1 and later). */
export function schemasOf(manifest: object): Schemas | null {
  const own: unknown = 'openclaw' in manifest ? manifest.openclaw : null;
  if (typeof own !== 'object' || own === null || !('schemaVersions' in own)) return null;
  const versions: unknown = own.schemaVersions;
  if (typeof versions !== 'object' || versions === null) return null;
  const { state, agent }: { readonly state?: unknown; readonly agent?: unknown } = versions;
  return typeof state === 'number' && typeof agent === 'number' ? { state, agent } : null;
}
