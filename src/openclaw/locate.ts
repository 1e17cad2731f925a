import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError } from '../os/atomic.js';
import { realpath, stat } from '../os/files.js';
import type { Env } from '../os/folders.js';
import type { Host, HostNote, ReloadOutcome } from '../slot/host.js';
import type { Slot } from '../slot/slot.js';
import { admitGrant } from './admission.js';
import { type AgentStores, existingSlots, groupSlots, noSuchAgent } from './agents.js';
import { agentId, configuredPath, type HostConfig, readConfig } from './config.js';
import { jsonSlot } from './json-slot.js';
import { agentsOnDisk, JSON_PROVIDER, JSON_SLOT, type JsonLayout, refuseOtherEras } from './layout.js';
import type { LockPatience } from './locks.js';
import { foreignOwner } from './owner.js';
import { findPlaces, type HostOptions, type Places, profileDir } from './places.js';
import { compareVersions, findInstalled, LAST_JSON_RELEASE, type Release, traitsOf } from './release.js';
import { jsonPins } from './sessions.js';
import { PATIENCE, type Patience, statOf } from './store-file.js';

/** What `reload` and `activeRuns` need to know of the host to reach its gateway. */
export interface ReloadTarget {
  readonly stateDir: string;
  /** `SlotAddress.id` of the slot in the main store, the only one whose login a gateway reports. */
  readonly mainSlot: string;
  readonly config: HostConfig;
  readonly release: Release | null;
  readonly provider: string;
  readonly env: Env;
}

export interface LocateDeps {
  readonly env: Env;
  readonly platform: NodeJS.Platform;
  readonly options: HostOptions;
  /** Default: the process's working directory. */
  readonly cwd?: string;
  /** Our own user id; null on Windows. Default: the process's. */
  readonly uid?: number | null;
  readonly now?: () => number;
  readonly torn?: Patience;
  readonly lock?: LockPatience;
  /** Ends a wait for OpenClaw's locks; nothing is written then. */
  readonly signal?: AbortSignal;
  /** Without it a switch is said to take effect after a reload. */
  readonly reload?: (target: ReloadTarget, slot: Slot, expiresAt: number | null) => Promise<ReloadOutcome>;
  /** Without it nobody can tell which sessions are in a turn. As the port Host has it. */
  readonly activeRuns?: (target: ReloadTarget, agent: string) => Promise<ReadonlySet<string> | null>;
}

/** How long a live holder of OpenClaw's lock is waited for; a refresh can hold it for up to two minutes. */
const LOCK: LockPatience = { waitMs: 5000 };

/**
 * Finds the OpenClaw state directory and everything about it that decides where the slot is. Reads only.
 * @throws HOST_NOT_FOUND, HOST_FOREIGN_OWNER, HOST_UNSUPPORTED, HOST_UNREADABLE, USAGE; IO when the system refuses a look
 */
export async function locateHost(deps: LocateDeps): Promise<Host> {
  const { env, options } = deps;
  const uid = deps.uid === undefined ? (process.getuid?.() ?? null) : deps.uid;
  const places = findPlaces(env, deps.cwd ?? process.cwd(), options);
  const profileId = slotId(options.slot);
  const stateDir = await ownFolder(places, uid);
  const [config, onDisk, installed] = await Promise.all([
    readConfig(places.configPath),
    agentsOnDisk(stateDir),
    findInstalled(env, deps.platform),
  ]);

  const agents = [...new Set(['main', ...config.agents.map((agent) => agent.id), ...onDisk])];
  const dirOf = (agent: string): string => {
    const configured = config.agents.find((entry) => entry.id === agent)?.agentDir ?? null;
    if (configured === null) return join(stateDir, 'agents', agent, 'agent');
    return configuredPath(configured, `the agentDir of agent ${agent}`, env, places.home);
  };
  const dirs = new Map(agents.map((agent) => [agent, realFolder(dirOf(agent))]));
  const agentDir = (agent: string): string => dirs.get(agent) ?? dirOf(agent);
  const sharedDir = realFolder(places.mainAgentDir ?? join(stateDir, 'agents', 'main', 'agent'));

  // Only where no package tells the release does it matter what lies there.
  const hasStateFile =
    installed === null &&
    (await anyExists([sharedDir, ...dirs.values()].map((dir) => join(dir, 'auth-state.json'))));
  const release = installed ?? touchedBy(config, hasStateFile);
  await refuseOtherEras(stateDir, [sharedDir, ...dirs.values()], release);
  const traits = traitsOf(release, hasStateFile);
  const layout: JsonLayout = traits.stateFile ? 'json+state' : 'json';

  const patience = { ...(deps.lock ?? LOCK), ...(deps.signal && { signal: deps.signal }) };
  const slotIn = (agent: string, dir: string, store = agent): Slot =>
    jsonSlot({
      address: { id: `${stateDir}#${store}#${profileId}`, layout, agent, profileId },
      provider: JSON_PROVIDER,
      stateDir,
      profilesPath: join(dir, 'auth-profiles.json'),
      statePath: join(dir, 'auth-state.json'),
      traits,
      uid,
      torn: deps.torn ?? PATIENCE,
      lock: patience,
      now: deps.now ?? Date.now,
    });
  // Only OPENCLAW_AGENT_DIR or a configured agentDir part main's own store from the main one; both are main's.
  const sharedOwner = agents.find((agent) => agentDir(agent) === sharedDir);
  const shared =
    sharedOwner === undefined ? slotIn('main', sharedDir, '@shared') : slotIn(sharedOwner, sharedDir);
  const byDir = new Map([[sharedDir, shared]]);
  for (const agent of agents) {
    const dir = agentDir(agent);
    if (!byDir.has(dir)) byDir.set(dir, slotIn(agent, dir));
  }
  const stores: AgentStores = {
    agents,
    defaultAgent: (config.agents.find((agent) => agent.isDefault) ?? config.agents[0])?.id ?? 'main',
    shared,
    ownOf: (agent) => byDir.get(agentDir(agent)) ?? shared,
    copiesMain: traits.copiesMain,
    release: release === null ? 'this OpenClaw (release unknown)' : `OpenClaw ${release.version}`,
  };

  const target: ReloadTarget = {
    stateDir,
    mainSlot: shared.address.id,
    config,
    release,
    provider: JSON_PROVIDER,
    env,
  };

  return {
    summary: {
      stateDir,
      layout,
      release,
      provider: JSON_PROVIDER,
      notes: hostNotes(places, options, config, installed, profileId),
    },
    agents,
    defaultAgent: stores.defaultAgent,
    slotsFor: async (agent) => await groupSlots(stores, namedAgent(agent, stores)),
    allSlots: async () => await existingSlots(stores, agentDir),
    pinsOf: (agent) =>
      jsonPins({
        agent: agentId(agent),
        path: sessionsPath(stateDir, config, places, env, agentId(agent)),
        uid,
        torn: deps.torn ?? PATIENCE,
        lock: patience,
      }),
    admit: async (expiresAt, now) => {
      const facts = { release, traits, isDefaultSlot: profileId === JSON_SLOT, env, home: places.home };
      await admitGrant(facts, expiresAt, now);
    },
    reload: async (slot, expiresAt) => {
      if (deps.reload === undefined) {
        return { effective: 'after-reload', proved: false, advice: 'restart the gateway', notes: [] };
      }
      return await deps.reload(target, slot, expiresAt);
    },
    activeRuns: async (agent) => (await deps.activeRuns?.(target, agentId(agent))) ?? null,
  };
}

/** OpenClaw's mending of a name makes `main` of one without a letter or digit; a person did not mean that one. */
function namedAgent(given: string, stores: AgentStores): string {
  const id = agentId(given);
  if (id !== 'main' || given.trim().toLowerCase() === 'main') return id;
  throw noSuchAgent(stores, given);
}

function slotId(given: string | undefined): string {
  if (given === undefined) return JSON_SLOT;
  if (!/^openai-codex:[A-Za-z0-9][A-Za-z0-9._@+-]{0,150}$/.test(given)) {
    throw new RouterError('USAGE', `--slot must be a profile id of ${JSON_PROVIDER}`, {
      hint: `for example --slot ${JSON_SLOT}`,
    });
  }
  return given;
}

async function ownFolder(places: Places, uid: number | null): Promise<string> {
  const { stateDir, said } = places;
  try {
    const real = await realpath(stateDir);
    const found = await stat(real);
    if (!found.isDirectory()) throw notFound(stateDir, said);
    if (uid !== null && found.uid !== uid) throw foreignOwner(real, found.uid);
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

async function anyExists(paths: readonly string[]): Promise<boolean> {
  for (const path of paths) if ((await statOf(path)) !== null) return true;
  return false;
}

/** With no package at hand, the release that last wrote openclaw.json, unless what lies there proves a later one. */
function touchedBy(config: HostConfig, hasStateFile: boolean): Release | null {
  if (config.lastTouched === null || !/^\d+\.\d+\.\d+/.test(config.lastTouched)) return null;
  if (hasStateFile && compareVersions(config.lastTouched, '2026.4.7') < 0) return null;
  return { version: config.lastTouched, source: 'openclaw.json meta.lastTouchedVersion' };
}

function sessionsPath(stateDir: string, config: HostConfig, places: Places, env: Env, agent: string): string {
  if (config.sessionStore === null) return join(stateDir, 'agents', agent, 'sessions', 'sessions.json');
  const path = config.sessionStore.replaceAll('{agentId}', agent);
  return configuredPath(path, 'session.store', env, places.home);
}

function hostNotes(
  places: Places,
  { profile }: HostOptions,
  config: HostConfig,
  installed: Release | null,
  profileId: string,
): HostNote[] {
  const notes: HostNote[] = [];
  const touched = config.lastTouched;
  if (installed === null) {
    notes.push({ code: 'RELEASE_NOT_INSTALLED', text: 'no openclaw was found on PATH' });
  } else if (touched !== null && compareVersions(touched, LAST_JSON_RELEASE) > 0) {
    notes.push({
      code: 'STATE_FROM_LATER_RELEASE',
      text: `openclaw.json was last written by OpenClaw ${touched}, later than the installed ${installed.version}`,
    });
  }
  const configured = config.profiles[profileId];
  if (configured?.email) {
    notes.push({
      code: 'CONFIG_NAMES_EMAIL',
      text: `openclaw.json gives ${profileId} an email of its own; OpenClaw shows that one whoever is in the slot`,
    });
  }
  if (configured?.mode && configured.mode !== 'oauth') {
    notes.push({
      code: 'CONFIG_MODE_DIFFERS',
      text: `openclaw.json says ${profileId} is of mode ${configured.mode}; OpenClaw will not use a login there`,
    });
  }
  const { said, stateDir } = places;
  if (profile !== undefined && said.endsWith('STATE_DIR') && profileDir(places.home, profile) !== stateDir) {
    notes.push({
      code: 'PROFILE_OVERRULED',
      text: `${said} is set and wins over --profile ${profile.trim()}, as in OpenClaw: this is ${stateDir}`,
    });
  }
  if (said === 'home' && /\.(clawdbot|moldbot)$/.test(stateDir)) {
    notes.push({
      code: 'LEGACY_STATE_DIR',
      text: `the state directory is of an older name: ${stateDir}`,
    });
  }
  return notes;
}
