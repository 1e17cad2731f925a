import { RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';
import type { Slot } from '../slot/slot.js';
import { type AdapterDeps, type Adapters, directAdapters, storesOf } from './adapters.js';
import type { Examined } from './examine.js';
import type { Ground } from './ground.js';
import { findHostNode, findHostPackage } from './host-node.js';
import { refreshLocks } from './locks.js';
import { compareVersions } from './release.js';
import { openSdk } from './sdk.js';
import { sdkPins } from './sdk-pins.js';
import { sdkSlot } from './sdk-slot.js';
import { readingOf, type StoreShape } from './store-document.js';

export interface SdkAdapterDeps extends AdapterDeps {
  /** The built src/openclaw/sdk-child.ts. */
  readonly childPath: string;
}

/** The first release whose plugin SDK has what is needed (run: 5.12 to 9.6). */
const FIRST_SDK = '2026.5.12';

/**
 * The installed release's own plugin SDK reads and writes: seconds instead of milliseconds, and right for a release newer than
 * codex-router knows.
 * @throws HOST_UNSUPPORTED when no OpenClaw that has one, or no Node that runs it, is found
 */
export async function sdkAdapters(ground: Ground, found: Examined, deps: SdkAdapterDeps): Promise<Adapters> {
  const { stateDir, config, uid } = ground;
  const { env, platform, lock, now } = deps;
  const search = { env, platform, stateDir, configPath: config.path, uid };
  const installed = await findHostPackage(search);
  if (installed === null)
    throw unusable(found, 'no installed OpenClaw was found to ask', 'put its openclaw on PATH');
  if (compareVersions(installed.version, FIRST_SDK) < 0) {
    throw unusable(found, `OpenClaw ${installed.version} has no SDK for it`, 'leave out --via sdk');
  }
  const limit = installed.schemas ?? schemasBefore(installed.version);
  if (limit !== null && (found.schemas.state > limit.state || found.schemas.agent > limit.agent)) {
    const why = `the installed OpenClaw ${installed.version} is too old for it (${limit.state} and ${limit.agent})`;
    throw unusable(found, why, 'install the later OpenClaw again that made it');
  }
  const node = await findHostNode(search, installed.engines);
  if (node === null) {
    throw unusable(found, `no Node was found that runs OpenClaw ${installed.version}`, 'put it on PATH');
  }
  const sdk = openSdk({
    packageRoot: installed.root,
    node: node.path,
    env: ownEnv(env, ground),
    stateDir,
    configPath: config.path,
    childPath: deps.childPath,
  });
  const locks = (profileIds: readonly string[]) =>
    profileIds.flatMap((id) => refreshLocks(stateDir, found.provider, id, installed.version));
  const stores = storesOf(ground, found, deps, ({ address, shape, folder, rows, isMain }) => {
    const agentDir = rows === 'shared' || isMain ? null : folder;
    const slot = sdkSlot({ address, shape, sdk, agentDir, now, locks, lock });
    return found.isFresh ? unwritten(slot, shape) : slot;
  });
  // Sessions of a fresh host are few or none, and where they are is known.
  const pinsOf = found.isFresh
    ? directAdapters(ground, found, deps).pinsOf
    : (agent: string) => sdkPins({ agent, sdk });
  return { ...stores, pinsOf };
}

/** A slot of a host without any login: looking does not ask the SDK, which would make the databases. */
function unwritten(slot: Slot, shape: StoreShape): Slot {
  let written = false;
  return {
    address: slot.address,
    read: async () => (written ? await slot.read() : readingOf(shape, { profiles: null, state: null })),
    replace: async (change) => {
      written = true;
      return await slot.replace(change);
    },
  };
}

/** What a release before 8.1 can read, which its package does not say; null for the betas of 7.2, each of which had its own. */
function schemasBefore(version: string): { readonly state: number; readonly agent: number } | null {
  const beta = compareVersions(version, '2026.7.2') === 0;
  return beta || compareVersions(version, '2026.8.1') >= 0 ? null : { state: 1, agent: 1 };
}

/** The child is told its host by openSdk; variables that point into another one stay out. */
function ownEnv(env: Env, { places }: Ground): Env {
  const { OPENCLAW_AGENT_DIR, PI_CODING_AGENT_DIR, OPENCLAW_PROFILE, ...rest } = env;
  return places.mainAgentDir === null ? rest : { ...rest, OPENCLAW_AGENT_DIR: places.mainAgentDir };
}

function unusable({ needsSdk }: Examined, why: string, hint: string): RouterError {
  const what = needsSdk === null ? '' : `${needsSdk}, and `;
  return new RouterError('HOST_UNSUPPORTED', `${what}${why}`, { hint: `${hint}; nothing was touched` });
}
