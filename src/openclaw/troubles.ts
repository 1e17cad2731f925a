import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';
import type { HostTrouble } from '../slot/trouble.js';
import { sessionsPath } from './adapters.js';
import { type AgentStores, existingSlots } from './agents.js';
import { codexTroubles } from './codex-trouble.js';
import type { Examined } from './examine.js';
import { gatewayFolder, gatewayLockName } from './gateway-lock.js';
import type { Ground } from './ground.js';
import { slotOf } from './layout.js';
import { leftoverTroubles, temporaryTroubles } from './leftover-troubles.js';
import { listStores } from './listed-stores.js';
import { type LockPlaces, lockTroubles } from './lock-troubles.js';
import { sessionsLock, storeLock } from './locks.js';
import { type Guarded, permissionTroubles } from './permission-troubles.js';
import type { ReleaseTraits } from './release.js';
import type { Patience } from './store-file.js';

/** One located OpenClaw, as far as its folders are looked over. */
export interface TroubleGround {
  readonly ground: Ground;
  readonly found: Examined;
  readonly stores: AgentStores;
  readonly traits: ReleaseTraits;
  readonly profileId: string;
  readonly env: Env;
  readonly platform: NodeJS.Platform;
  readonly torn: Patience;
}

/** As the port Host has it. What cannot be looked at is told in its place. */
export async function hostTroubles(place: TroubleGround): Promise<readonly HostTrouble[]> {
  const { ground, found } = place;
  const sources = [
    () => lockTroubles(lockPlaces(place)),
    () => permissionTroubles(ground.stateDir, guarded(place), ground.uid),
    () => leftovers(place),
    () => temporaryTroubles(writtenFolders(place)),
    async () => {
      const { env, platform, traits, profileId } = place;
      const isDefaultSlot = profileId === slotOf(found.provider);
      const facts = {
        release: found.release,
        traits,
        isDefaultSlot,
        env,
        home: ground.places.home,
        platform,
      };
      return await codexTroubles(facts, await existingSlots(place.stores));
    },
  ];
  const troubles: HostTrouble[] = [];
  for (const look of sources) troubles.push(...(await orTold(look)));
  return troubles;
}

async function orTold(look: () => Promise<readonly HostTrouble[]>): Promise<readonly HostTrouble[]> {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    const text = `a part of OpenClaw's folders could not be looked at: ${error.message}`;
    return [{ code: 'NOT_LOOKED_AT', part: 'permissions', danger: false, text, remedy: null, mend: null }];
  }
}

function agentFolders({ ground }: TroubleGround): readonly string[] {
  return [...new Set([ground.sharedDir, ...ground.agents.map((agent) => ground.agentDir(agent))])];
}

function sessionFiles({ ground, found, env }: TroubleGround): readonly string[] {
  if (found.layout === 'sqlite-shared') return [];
  const { stateDir, config, places, agents } = ground;
  return [...new Set(agents.map((agent) => sessionsPath(stateDir, config, places, env, agent)))];
}

function lockPlaces(place: TroubleGround): LockPlaces {
  const { ground, found } = place;
  const stores = found.layout.startsWith('json')
    ? agentFolders(place).map((folder) => storeLock(join(folder, 'auth-profiles.json')))
    : [];
  return {
    locks: [...stores, ...sessionFiles(place).map(sessionsLock)],
    folders: [{ path: refreshFolder(ground), staleMs: REFRESH_STALE_MS }],
    gateway: {
      file: join(gatewayFolder(tmpdir()), gatewayLockName(ground.places.configPath)),
      folder: gatewayFolder(join(ground.stateDir, 'tmp')),
    },
  };
}

/** As OpenClaw has it for its refresh locks (4.20 to 9.6). */
const REFRESH_STALE_MS = 180_000;

function refreshFolder({ stateDir }: Ground): string {
  return join(stateDir, 'locks', 'oauth-refresh');
}

/** Everything that holds a login, or the gateway's token, and the folders of agents. */
function guarded(place: TroubleGround): readonly Guarded[] {
  const { stateDir, places } = place.ground;
  const shared = databaseFiles(join(stateDir, 'state', 'openclaw.sqlite'));
  const own = agentFolders(place).flatMap((folder): Guarded[] => [
    { path: folder, kind: 'folder' },
    ...['auth-profiles.json', 'auth-state.json', 'auth.json'].map(
      (name): Guarded => ({ path: join(folder, name), kind: name === 'auth-state.json' ? 'file' : 'logins' }),
    ),
    ...databaseFiles(join(folder, 'openclaw-agent.sqlite')),
  ]);
  return [{ path: places.configPath, kind: 'file' }, ...shared, ...own];
}

function databaseFiles(path: string): readonly Guarded[] {
  return ['', '-wal', '-shm'].map((suffix): Guarded => ({ path: path + suffix, kind: 'logins' }));
}

async function leftovers(place: TroubleGround): Promise<readonly HostTrouble[]> {
  const { ground, found, traits, profileId, env, torn } = place;
  const stores = await listStores(ground, found, traits.stateFile, env, torn);
  // Where SQLite has the logins, its doctor takes an older store over (6.5 to 7.35).
  const mover = found.layout === 'sqlite-agent' ? 'openclaw doctor --fix' : null;
  return await leftoverTroubles({ stateDir: ground.stateDir, stores, profileId, refusal: null }, mover);
}

function writtenFolders(place: TroubleGround): readonly string[] {
  const { ground } = place;
  const sessions = sessionFiles(place).map((path) => join(path, '..'));
  return [...new Set([ground.stateDir, ...agentFolders(place), ...sessions, refreshFolder(ground)])];
}
