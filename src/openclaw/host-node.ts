import { execFile } from 'node:child_process';
import { closeSync, openSync, readSync } from 'node:fs';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import { readFile, realpath, stat } from '../os/files.js';
import type { Env } from '../os/folders.js';
import { gatewayProgram, type HostProgram, serviceProgram } from './host-programs.js';
import { findInstalled, type Schemas, schemasOf } from './release.js';
import { hasSqlite } from './sqlite.js';

export interface HostNodeDeps {
  readonly env: Env;
  readonly platform: NodeJS.Platform;
  readonly stateDir: string;
  readonly configPath: string;
  /** Our own user id; null where the platform has none. */
  readonly uid: number | null;
}

/** A Node with `node:sqlite`. */
export interface HostNode {
  readonly path: string;
  readonly version: string;
  /** Where it was found, for a person. */
  readonly source: string;
}

/** The installed package `openclaw`. */
export interface HostPackage {
  readonly root: string;
  readonly version: string;
  /** The Nodes it says it runs under, as in its package.json; null when it does not say. */
  readonly engines: string | null;
  /** The latest `user_version` it can read of each database; null before 8.1, which does not say. */
  readonly schemas: Schemas | null;
  readonly source: string;
}

/**
 * A Node that can read SQLite: the one that runs this process, the ones on PATH, the one of the `openclaw` on PATH, the running
 * gateway's, a service's. Only one that is root's or ours and that not everybody may write is run to ask for its version.
 * @param engines with it, only a Node that fits (`HostPackage.engines`).
 */
export async function findHostNode(
  deps: HostNodeDeps,
  engines: string | null = null,
): Promise<HostNode | null> {
  if (hasSqlite() && satisfies(process.versions.node, engines)) {
    return { path: process.execPath, version: process.versions.node, source: 'this process' };
  }
  const asked = new Set<string>();
  for await (const { path, source } of candidates(deps)) {
    const real = await realpath(path).catch(() => null);
    if (real === null || asked.has(real)) continue;
    asked.add(real);
    if (!(await isTrusted(real, deps))) continue;
    const version = await versionOf(real, deps);
    if (version !== null && satisfies(version, engines)) return { path: real, version, source };
  }
  return null;
}

interface Candidate {
  readonly path: string;
  readonly source: string;
}

/** Looked for one after the other: most of the time the first one will do. */
async function* candidates(deps: HostNodeDeps): AsyncGenerator<Candidate> {
  const { env, platform, configPath, stateDir } = deps;
  const node = platform === 'win32' ? 'node.exe' : 'node';
  for (const folder of pathFolders(env)) yield { path: join(folder, node), source: 'PATH' };
  const installed = await findInstalled(env, platform);
  if (installed !== null) {
    const program = installed.source;
    const shebang = shebangOf(program);
    if (shebang !== null) yield { path: shebang, source: `${program} names it` };
    // <prefix>/lib/node_modules/openclaw/openclaw.mjs belongs to <prefix>/bin/node, also where a version manager keeps several.
    const prefix = await prefixOf(program);
    if (prefix !== null) yield { path: join(prefix, 'bin', node), source: `the npm prefix of ${program}` };
  }
  for (const program of [await gatewayProgram(configPath, stateDir), await serviceProgram(env, platform)]) {
    if (program !== null) yield { path: program.node, source: program.source };
  }
}

function pathFolders(env: Env): string[] {
  return (env.PATH ?? env.Path ?? '').split(delimiter).filter((folder) => isAbsolute(folder));
}

/** The interpreter a program names by its path; null for `#!/usr/bin/env node`, which PATH answers. */
function shebangOf(program: string): string | null {
  const start = Buffer.alloc(256);
  try {
    const file = openSync(program, 'r');
    try {
      readSync(file, start, 0, start.length, 0);
    } finally {
      closeSync(file);
    }
  } catch {
    return null;
  }
  const path = /^#!\s*(\/\S*)/.exec(start.toString('latin1'))?.[1];
  return path !== undefined && /^node/.test(path.slice(path.lastIndexOf('/') + 1)) ? path : null;
}

async function prefixOf(program: string): Promise<string | null> {
  const real = await realpath(program).catch(() => program);
  const at = real.indexOf(`${join('/lib', 'node_modules')}/`);
  return at === -1 ? null : real.slice(0, at);
}

/** Running it is running its owner's program as ourselves. */
async function isTrusted(path: string, { platform, uid }: HostNodeDeps): Promise<boolean> {
  if (platform === 'win32' || uid === null) return true;
  try {
    const [file, folder] = [await stat(path), await stat(dirname(path))];
    const owned = [file, folder].every((found) => found.uid === 0 || found.uid === uid);
    const writable =
      (file.mode & 0o002) !== 0 || ((folder.mode & 0o002) !== 0 && (folder.mode & 0o1000) === 0);
    return file.isFile() && owned && !writable;
  } catch {
    return false;
  }
}

const ANSWER_MS = 3000;
/** 22.13 has node:sqlite without a flag, 23.0 to 23.3 do not; a build may lack it. */
const QUESTION = "process.versions.node+(process.getBuiltinModule?.('node:sqlite')?' sqlite':'')";

/** Null for what is no Node, one without node:sqlite, and one that does not answer. */
async function versionOf(path: string, { env }: HostNodeDeps): Promise<string | null> {
  const { SystemRoot } = env;
  const answer = await new Promise<string>((resolve) => {
    execFile(
      path,
      ['-p', QUESTION],
      {
        env: SystemRoot === undefined ? {} : { SystemRoot },
        timeout: ANSWER_MS,
        killSignal: 'SIGKILL',
        maxBuffer: 10_000,
        windowsHide: true,
      },
      (error, stdout) => resolve(error === null ? stdout : ''),
    );
  });
  return /^(\d+\.\d+\.\d+)\S* sqlite\s*$/.exec(answer)?.[1] ?? null;
}

/**
 * The installed package: behind the `openclaw` on PATH, else of the running gateway, else of a service. Null when there is none.
 */
export async function findHostPackage(deps: HostNodeDeps): Promise<HostPackage | null> {
  const installed = await findInstalled(deps.env, deps.platform);
  if (installed !== null) {
    const folder = dirname(installed.source);
    const real = await realpath(installed.source).catch(() => installed.source);
    const roots = [
      join(folder, '..', 'lib', 'node_modules', 'openclaw'),
      join(folder, '..', 'openclaw'),
      join(folder, 'node_modules', 'openclaw'),
    ];
    const found = await firstPackage([...foldersAbove(real), ...roots], installed.source, deps);
    if (found !== null) return found;
  }
  for (const program of await startedPrograms(deps)) {
    if (program.script === null) continue;
    const real = await realpath(program.script).catch(() => null);
    const found = real === null ? null : await firstPackage(foldersAbove(real), program.source, deps);
    if (found !== null) return found;
  }
  return null;
}

async function startedPrograms({
  env,
  platform,
  configPath,
  stateDir,
}: HostNodeDeps): Promise<HostProgram[]> {
  const found = [await gatewayProgram(configPath, stateDir), await serviceProgram(env, platform)];
  return found.filter((program) => program !== null);
}

function foldersAbove(program: string): string[] {
  const folders = [dirname(program)];
  for (let depth = 1; depth < 4; depth += 1) folders.push(dirname(folders.at(-1) ?? program));
  return folders;
}

async function firstPackage(
  roots: readonly string[],
  source: string,
  deps: HostNodeDeps,
): Promise<HostPackage | null> {
  for (const root of roots) {
    const found = await packageAt(root, source);
    // Its code runs with the logins in hand.
    if (found !== null && (await isTrusted(join(root, 'package.json'), deps))) return found;
  }
  return null;
}

async function packageAt(root: string, source: string): Promise<HostPackage | null> {
  try {
    const manifest: unknown = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
    if (typeof manifest !== 'object' || manifest === null) return null;
    if (!('name' in manifest) || manifest.name !== 'openclaw') return null;
    if (!('version' in manifest) || typeof manifest.version !== 'string') return null;
    return {
      root,
      version: manifest.version,
      engines: enginesOf(manifest),
      schemas: schemasOf(manifest),
      source,
    };
  } catch {
    return null;
  }
}

function enginesOf(manifest: object): string | null {
  const engines: unknown = 'engines' in manifest ? manifest.engines : null;
  if (typeof engines !== 'object' || engines === null || !('node' in engines)) return null;
  return typeof engines.node === 'string' ? engines.node : null;
}

/** `>=24.16.0 <25 || >=26.1.0`: the comparators OpenClaw's packages use. One of another form is taken as fitting. */
export function satisfies(version: string, range: string | null): boolean {
  if (range === null) return true;
  return range.split('||').some((part) =>
    part
      .trim()
      .split(/\s+/)
      .every((term) => {
        const [, operator, bound] = /^(>=|<|>|<=)v?([\d.]+)$/.exec(term) ?? [];
        if (operator === undefined || bound === undefined) return true;
        const order = compare(version, bound);
        if (operator === '>=') return order >= 0;
        if (operator === '>') return order > 0;
        return operator === '<' ? order < 0 : order <= 0;
      }),
  );
}

function compare(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number));
  for (let index = 0; index < 3; index += 1) {
    const difference = (left?.[index] ?? 0) - (right?.[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
