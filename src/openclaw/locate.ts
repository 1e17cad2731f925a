import { RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';
import type { GatewayHolds, Host, HostNote, ReloadOutcome } from '../slot/host.js';
import { isOwnSlot } from '../slot/own-slot.js';
import type { Slot } from '../slot/slot.js';
import { type AdapterDeps, type Adapters, directAdapters } from './adapters.js';
import { admitGrant } from './admission.js';
import { type AgentStores, existingSlots, groupSlots, noSuchAgent } from './agents.js';
import { choosingOf } from './choosing.js';
import { agentId, type HostConfig } from './config.js';
import { type Examined, examine } from './examine.js';
import { findGround, type Ground, type GroundDeps } from './ground.js';
import { keptFor } from './kept-connections.js';
import { labelFor } from './labels.js';
import { type Provider, slotOf } from './layout.js';
import type { LockPatience } from './locks.js';
import { ownSlotsOf } from './own-slots.js';
import { readOwner, removeOwner, writeOwner } from './owner-file.js';
import { type HostOptions, profileDir } from './places.js';
import { compareVersions, type Release, traitsOf } from './release.js';
import { PATIENCE, type Patience } from './store-file.js';

/** What `reload` and `activeRuns` need to know of the host to reach its gateway. */
export interface ReloadTarget {
  readonly stateDir: string;
  /** `SlotAddress.id` of the only slot whose login a gateway before 8.1 reports. */
  readonly mainSlot: string;
  readonly config: HostConfig;
  readonly release: Release | null;
  readonly provider: string;
  readonly env: Env;
}

export interface LocateDeps extends GroundDeps {
  readonly now?: () => number;
  readonly torn?: Patience;
  readonly lock?: LockPatience;
  /** The built src/openclaw/sdk-child.ts; without it no SDK is asked. */
  readonly sdkChild?: string;
  /** Ends a wait for OpenClaw's locks; nothing is written then. */
  readonly signal?: AbortSignal;
  /** Without it a switch is said to take effect after a reload. */
  readonly reload?: (target: ReloadTarget, slot: Slot, expiresAt: number | null) => Promise<ReloadOutcome>;
  /** Without it nobody can tell what a gateway holds. */
  readonly held?: (
    target: ReloadTarget,
    slot: Slot,
    expiresAt: number,
    withinMs?: number,
  ) => Promise<GatewayHolds>;
  /** Without it nobody can tell which sessions are in a turn. As the port Host has it. */
  readonly activeRuns?: (target: ReloadTarget, agent: string) => Promise<ReadonlySet<string> | null>;
}

/** How long a live holder of OpenClaw's lock is waited for; a refresh can hold it for up to two minutes. */
const LOCK: LockPatience = { waitMs: 5000 };

/**
 * Finds the OpenClaw state directory and everything about it that decides where the slot is. Reads only.
 * @throws HOST_NOT_FOUND, HOST_FOREIGN_OWNER, HOST_UNSUPPORTED, HOST_UNREADABLE, HOST_NODE_TOO_OLD, USAGE; IO when the system
 * refuses a look
 */
export async function locateHost(deps: LocateDeps): Promise<Host> {
  const { env, options } = deps;
  const ground = await findGround(deps);
  const found = await examine(ground);
  if (found.refusal !== null) throw found.refusal;
  const { stateDir, config, places } = ground;
  const { release, provider, layout } = found;
  const profileId = slotId(options.slot, provider);
  const traits = traitsOf(release, layout !== 'json');
  const lock = { ...(deps.lock ?? LOCK), ...(deps.signal && { signal: deps.signal }) };
  const now = deps.now ?? Date.now;
  const adapterDeps: AdapterDeps = {
    env,
    platform: deps.platform,
    profileId,
    traits,
    lock,
    now,
    ...(deps.torn && { torn: deps.torn }),
  };
  const adapters =
    found.needsSdk === null && options.via !== 'sdk'
      ? directAdapters(ground, found, adapterDeps)
      : await viaSdk(deps, ground, found, adapterDeps);
  const stores: AgentStores = {
    agents: ground.agents,
    defaultAgent: ground.defaultAgent,
    shared: adapters.shared,
    ownOf: adapters.ownOf,
    exists: adapters.exists,
    copiesMain: traits.copiesMain,
    release: release === null ? 'this OpenClaw (release unknown)' : `OpenClaw ${release.version}`,
  };
  const target: ReloadTarget = {
    stateDir,
    mainSlot: adapters.shared.address.id,
    config,
    release,
    provider,
    env,
  };
  // Seen on 6.1 to 7.35; 5.7 reports main's store whoever the default agent is.
  const reported = async (): Promise<ReloadTarget> =>
    provider === 'openai' ? { ...target, mainSlot: await reportedSlot(stores) } : target;

  return {
    summary: {
      stateDir,
      layout,
      release: release && { version: release.version, source: release.source },
      provider,
      formerProvider: provider === 'openai' ? 'openai-codex' : null,
      notes: [...found.notes, ...hostNotes(ground, options, profileId)],
    },
    agents: ground.agents,
    defaultAgent: stores.defaultAgent,
    slotsFor: async (agent) => await groupSlots(stores, namedAgent(agent, stores)),
    allSlots: async () => await existingSlots(stores),
    ...ownSlotsOf(stores, adapters, provider, (agent) => knownAgent(agent, stores)),
    pinsOf: (agent) => adapters.pinsOf(agentId(agent)),
    admit: async (expiresAt, now) => {
      const isDefaultSlot = profileId === slotOf(provider);
      await admitGrant(
        { release, traits, isDefaultSlot, env, home: places.home, platform: deps.platform },
        expiresAt,
        now,
      );
    },
    reload: async (slot, expiresAt) => {
      if (deps.reload === undefined) {
        return { effective: 'after-reload', proved: false, advice: 'restart the gateway', notes: [] };
      }
      return await deps.reload(await reported(), slot, expiresAt);
    },
    held: async (slot, expiresAt, withinMs) =>
      (await deps.held?.(await reported(), slot, expiresAt, withinMs)) ?? {
        kind: 'unknown',
        why: 'nobody asks it',
      },
    keptMs: keptFor(release?.version ?? null, config.value, provider),
    choosing: choosingOf(config, provider, release),
    activeRuns: async (agent) => (await deps.activeRuns?.(target, agentId(agent))) ?? null,
    owner: async () => await readOwner(stateDir, deps.torn),
    claim: async (owner, instead) => await writeOwner(stateDir, ground.uid, owner, instead),
    disown: async (owner) => await removeOwner(stateDir, ground.uid, owner),
    troubles: async () => {
      const { hostTroubles } = await import('./troubles.js');
      const { platform, torn = PATIENCE } = deps;
      return await hostTroubles({ ground, found, stores, traits, profileId, env, platform, torn });
    },
    labelFor: (email) => labelFor({ config, profileId, release, uid: ground.uid }, email),
  };
}

/** Before 8.1 a gateway reports what the default agent sees: its own entry over main's. */
async function reportedSlot({ defaultAgent, shared, ownOf }: AgentStores): Promise<string> {
  const own = ownOf(defaultAgent);
  if (own === shared) return shared.address.id;
  try {
    return (await own.read()).occupant.kind === 'absent' ? shared.address.id : own.address.id;
  } catch (error) {
    if (error instanceof RouterError) return shared.address.id;
    throw error;
  }
}

/** OpenClaw's mending of a name makes `main` of one without a letter or digit; a person did not mean that one. */
function namedAgent(given: string, stores: AgentStores): string {
  const id = agentId(given);
  if (id !== 'main' || given.trim().toLowerCase() === 'main') return id;
  throw noSuchAgent(stores, given);
}

function knownAgent(given: string, stores: AgentStores): string {
  const id = namedAgent(given, stores);
  if (stores.agents.includes(id)) return id;
  throw noSuchAgent(stores, given);
}

function slotId(given: string | undefined, provider: Provider): string {
  if (given === undefined) return slotOf(provider);
  if (
    isOwnSlot(given) ||
    !given.startsWith(`${provider}:`) ||
    !/^[^:]+:[A-Za-z0-9][A-Za-z0-9._@+-]{0,150}$/.test(given)
  ) {
    throw new RouterError('USAGE', `--slot must be a profile id of ${provider}`, {
      hint: `for example --slot ${slotOf(provider)}`,
    });
  }
  return given;
}

async function viaSdk(
  { options, sdkChild }: LocateDeps,
  ground: Ground,
  found: Examined,
  adapterDeps: AdapterDeps,
): Promise<Adapters> {
  if (sdkChild === undefined || options.via === 'direct') {
    throw new RouterError('HOST_UNSUPPORTED', found.needsSdk ?? 'the SDK cannot be used here', {
      hint: 'leave out --via direct, so that the installed OpenClaw is asked to write; nothing was touched',
    });
  }
  const { sdkAdapters } = await import('./sdk-adapters.js');
  return await sdkAdapters(ground, found, { ...adapterDeps, childPath: sdkChild });
}

function hostNotes(
  { places, config, installed }: Ground,
  { profile }: HostOptions,
  profileId: string,
): HostNote[] {
  const notes: HostNote[] = [];
  const touched = config.lastTouched;
  if (installed === null) {
    notes.push({
      code: 'RELEASE_NOT_INSTALLED',
      text: 'no installed OpenClaw was found: not on PATH, running or as a service',
    });
  } else if (touched !== null && compareVersions(touched, installed.version) > 0) {
    notes.push({
      code: 'STATE_FROM_LATER_RELEASE',
      text: `openclaw.json was last written by OpenClaw ${touched}, later than the installed ${installed.version}`,
    });
  }
  const configured = config.profiles[profileId];
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
