import { join } from 'node:path';
import type { Env } from '../os/folders.js';
import type { Pins } from '../slot/pins.js';
import type { Slot, SlotAddress } from '../slot/slot.js';
import { configuredPath, type HostConfig } from './config.js';
import type { Examined } from './examine.js';
import type { Ground } from './ground.js';
import { jsonSlot } from './json-slot.js';
import { slotOf } from './layout.js';
import { type LockPatience, refreshLocks } from './locks.js';
import { ownSlotPlace } from './own-slots.js';
import type { Places } from './places.js';
import type { ReleaseTraits } from './release.js';
import { jsonPins } from './sessions.js';
import { sqlitePins } from './sqlite-pins.js';
import { sqliteSlot } from './sqlite-slot.js';
import type { StoreRows } from './sqlite-store.js';
import type { StoreShape } from './store-document.js';
import { PATIENCE, type Patience, statOf } from './store-file.js';

/** The slots and pins of one located OpenClaw, whichever way they are reached. */
export interface Adapters {
  /** The main store, which agents without an entry of their own read through to. */
  readonly shared: Slot;
  /** An agent's own store; the same object as `shared` where that is the same one. */
  ownOf(agent: string): Slot;
  /** Whether an agent's own store is there. @throws IO when it cannot be looked at */
  exists(agent: string): Promise<boolean>;
  pinsOf(agent: string): Pins;
  /** The own slot of that number in the store of one of the slots above. */
  ownSlotIn(slot: Slot, n: number): Slot;
}

export interface AdapterDeps {
  readonly env: Env;
  readonly platform: NodeJS.Platform;
  readonly profileId: string;
  readonly traits: ReleaseTraits;
  readonly torn?: Patience;
  readonly lock: LockPatience;
  readonly now: () => number;
}

/** One store: where it is, and how its slot is named. */
export interface StorePlace {
  readonly address: SlotAddress;
  readonly shape: StoreShape;
  /** The agent's folder; null for the store all agents share. */
  readonly folder: string | null;
  readonly path: string;
  readonly rows: StoreRows | null;
  /** The store that agents without an entry of their own read through to. */
  readonly isMain: boolean;
}

/** codex-router's own adapters, for the layouts there are fixtures for. */
export function directAdapters(ground: Ground, found: Examined, deps: AdapterDeps): Adapters {
  const { stateDir, uid, databases } = ground;
  const { lock, now, traits } = deps;
  const torn = deps.torn ?? PATIENCE;
  // Named when they are taken: a look takes none, and the older name is a hash. Only a package proves that one is not needed.
  const { installed } = ground;
  const locks = (profileIds: readonly string[]) =>
    traits.refreshLock || installed === null
      ? profileIds.flatMap((id) => refreshLocks(stateDir, found.provider, id, installed?.version ?? null))
      : [];
  const slotIn = (place: StorePlace): Slot => {
    const { address, shape, path, rows } = place;
    if (rows !== null) {
      return sqliteSlot({
        address,
        shape,
        path,
        databases,
        rows,
        statePath: found.statePath,
        locks,
        uid,
        lock,
        now,
      });
    }
    const folder = place.folder ?? ground.sharedDir;
    const statePath = join(folder, 'auth-state.json');
    const sealing = { stateDir, env: deps.env, home: ground.places.home, platform: deps.platform };
    return jsonSlot({ address, shape, sealing, profilesPath: path, statePath, locks, uid, torn, lock, now });
  };
  return {
    ...storesOf(ground, found, deps, slotIn),
    pinsOf: (agent) => {
      if (found.layout === 'sqlite-shared') {
        const path = join(ground.agentDir(agent), 'openclaw-agent.sqlite');
        return sqlitePins({ agent, path, databases, statePath: found.statePath, uid, lock, now });
      }
      const path = sessionsPath(stateDir, ground.config, ground.places, deps.env, agent);
      const gatewayRuns = async () => await runsGateway(ground);
      return jsonPins({
        agent,
        path,
        uid,
        torn,
        lock,
        gatewayRuns: traits.locksSessions ? null : gatewayRuns,
      });
    },
  };
}

/** Asked where a session store is written; what only looks does not load the gateway's lock. */
async function runsGateway({ places, stateDir }: Ground): Promise<boolean> {
  const { runningGateway } = await import('./gateway-lock.js');
  return (await runningGateway(places.configPath, stateDir)) !== null;
}

/** Which store is whose; `slotIn` makes the slot of one. */
export function storesOf(
  ground: Ground,
  found: Examined,
  { profileId, traits }: Pick<AdapterDeps, 'profileId' | 'traits'>,
  slotIn: (place: StorePlace) => Slot,
): Omit<Adapters, 'pinsOf'> {
  const { stateDir, agents, agentDir, sharedDir } = ground;
  const placeOfSlot = new Map<Slot, StorePlace>();
  const made = (place: StorePlace): Slot => {
    const slot = slotIn(place);
    placeOfSlot.set(slot, place);
    return slot;
  };
  const { layout, provider, shared } = found;
  const file = layout.startsWith('json') ? 'auth-profiles.json' : 'openclaw-agent.sqlite';
  const rows = layout.startsWith('json') ? null : 'agent';
  const placeOf = (
    agent: string,
    folder: string | null,
    name: string,
    path: string,
    isMain = false,
  ): StorePlace => ({
    address: { id: `${stateDir}#${name}#${lastingName(profileId)}`, layout, agent, profileId },
    shape: {
      provider,
      profileId,
      path,
      stateApart: traits.stateFile,
      planField: traits.planField,
      overMain: rows !== null && !isMain,
    },
    folder,
    path,
    rows: folder === null ? 'shared' : rows,
    isMain,
  });
  // Only OPENCLAW_AGENT_DIR or a configured agentDir part main's own store from the main one; both are main's.
  const sharedOwner = agents.find((agent) => agentDir(agent) === sharedDir);
  const owner = sharedOwner ?? 'main';
  const main =
    shared?.rows === 'shared'
      ? made(placeOf(ground.defaultAgent, null, 'main', shared.path, true))
      : made(placeOf(owner, sharedDir, sharedOwner ?? '@shared', join(sharedDir, file), true));
  const byDir = new Map<string, Slot>(shared?.rows === 'shared' ? [] : [[sharedDir, main]]);
  for (const agent of agents) {
    const dir = agentDir(agent);
    // What was main's store before 8.1 is what all agents share since: its placements and journal go on.
    const name = shared?.rows === 'shared' && agent === 'main' ? 'main@own' : agent;
    if (!byDir.has(dir)) byDir.set(dir, made(placeOf(agent, dir, name, join(dir, file))));
  }
  return {
    shared: main,
    ownOf: (agent) => byDir.get(agentDir(agent)) ?? main,
    ownSlotIn: (slot, n) => slotIn(ownSlotPlace(placeOfSlot.get(slot), provider, n)),
    exists: async (agent) => (await statOf(join(agentDir(agent), file))) !== null,
  };
}

/** An agent's sessions.json, which need not exist. @throws HOST_UNREADABLE for a `session.store` that is no path */
/** The default slot keeps the name in its id that it had before 6.1 renamed it: an upgrade is no other slot. */
function lastingName(profileId: string): string {
  return profileId === slotOf('openai') ? slotOf('openai-codex') : profileId;
}

export function sessionsPath(
  stateDir: string,
  config: HostConfig,
  places: Places,
  env: Env,
  agent: string,
): string {
  if (config.sessionStore === null) return join(stateDir, 'agents', agent, 'sessions', 'sessions.json');
  const path = config.sessionStore.replaceAll('{agentId}', agent);
  return configuredPath(path, 'session.store', env, places.home);
}
