import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError } from '../os/atomic.js';
import { realpath, stat } from '../os/files.js';
import type { Env } from '../os/folders.js';
import { configuredPath, type HostConfig, readConfig } from './config.js';
import { agentsOnDisk } from './layout.js';
import { foreignOwner } from './owner.js';
import { findPlaces, type HostOptions, type Places } from './places.js';
import { findInstalled, type Release } from './release.js';
import { type Databases, openDatabases } from './sqlite.js';

/** Where an OpenClaw lies and who its agents are, before anything is known of how it stores their logins. */
export interface Ground {
  readonly places: Places;
  /** Symlinks resolved. */
  readonly stateDir: string;
  readonly config: HostConfig;
  /** The package on PATH, of the running gateway or of a service; null when there is none. */
  readonly installed: Release | null;
  /** Agent ids, `main` first, then those configured or found on disk. */
  readonly agents: readonly string[];
  /** The agent a new chat lands on. */
  readonly defaultAgent: string;
  /** An agent's own folder, links resolved. */
  agentDir(agent: string): string;
  /** The folder of main's store, which OPENCLAW_AGENT_DIR moves. */
  readonly sharedDir: string;
  readonly uid: number | null;
  /** This command's connections to the host's databases. */
  readonly databases: Databases;
}

export interface GroundDeps {
  readonly env: Env;
  readonly platform: NodeJS.Platform;
  readonly options: HostOptions;
  /** Default: the process's working directory. */
  readonly cwd?: string;
  /** Our own user id; null on Windows. Default: the process's. */
  readonly uid?: number | null;
}

/** @throws HOST_NOT_FOUND, HOST_FOREIGN_OWNER, HOST_UNREADABLE, USAGE; IO when the system refuses a look */
export async function findGround(deps: GroundDeps): Promise<Ground> {
  const { env, options } = deps;
  const uid = deps.uid === undefined ? (process.getuid?.() ?? null) : deps.uid;
  const places = findPlaces(env, deps.cwd ?? process.cwd(), options);
  const stateDir = await ownFolder(places, uid);
  const [config, onDisk, onPath] = await Promise.all([
    readConfig(places.configPath),
    agentsOnDisk(stateDir),
    findInstalled(env, deps.platform),
  ]);
  const installed = onPath ?? (await startedRelease(deps, stateDir, places.configPath, uid));
  const agents = [...new Set(['main', ...config.agents.map((agent) => agent.id), ...onDisk])];
  const dirOf = (agent: string): string => {
    const configured = config.agents.find((entry) => entry.id === agent)?.agentDir ?? null;
    if (configured === null) return join(stateDir, 'agents', agent, 'agent');
    return configuredPath(configured, `the agentDir of agent ${agent}`, env, places.home);
  };
  const dirs = new Map(agents.map((agent) => [agent, realFolder(dirOf(agent))]));
  return {
    places,
    stateDir,
    config,
    installed,
    agents,
    defaultAgent: (config.agents.find((agent) => agent.isDefault) ?? config.agents[0])?.id ?? 'main',
    agentDir: (agent) => dirs.get(agent) ?? dirOf(agent),
    sharedDir: realFolder(places.mainAgentDir ?? join(stateDir, 'agents', 'main', 'agent')),
    uid,
    databases: openDatabases(),
  };
}

/** Without an `openclaw` on PATH: the package of the running gateway, or of the one installed as a service. */
async function startedRelease(
  { env, platform }: GroundDeps,
  stateDir: string,
  configPath: string,
  uid: number | null,
): Promise<Release | null> {
  const { findHostPackage } = await import('./host-node.js');
  const found = await findHostPackage({ env, platform, stateDir, configPath, uid });
  return found === null
    ? null
    : { version: found.version, source: found.source, ...(found.schemas && { schemas: found.schemas }) };
}

async function ownFolder(places: Places, uid: number | null): Promise<string> {
  const { stateDir, said } = places;
  try {
    const real = await realpath(stateDir);
    const found = await stat(real);
    if (!found.isDirectory()) throw notFound(stateDir, said);
    if (uid !== null && found.uid !== uid) throw foreignOwner(real, found.uid, real);
    return real;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') throw notFound(stateDir, said);
    throw ioError(error, stateDir, 'read');
  }
}

function notFound(stateDir: string, said: string): RouterError {
  const why = said === 'home' ? '' : ` (from ${said})`;
  return new RouterError('HOST_NOT_FOUND', `there is no OpenClaw state directory at ${stateDir}${why}`, {
    hint: 'name it with --state-dir or OPENCLAW_STATE_DIR; a fresh OpenClaw makes one with openclaw onboard',
  });
}

/** The folder behind links, so that one store has one name; a missing one as it is written. */
function realFolder(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
