import { isAbsolute } from 'node:path';
import type { ReloadOutcome } from '../slot/host.js';
import type { Slot } from '../slot/slot.js';
import { reloadGateway } from './gateway.js';
import { parseGatewayConfig } from './gateway-config.js';
import type { ReloadTarget } from './locate.js';

/** Tells the gateway of a located host to re-read one slot. @param expiresAt as in the port Host. */
export async function reloadSlot(
  { stateDir, config, release, provider, env }: ReloadTarget,
  { address }: Slot,
  expiresAt: number | null,
  now: () => number,
): Promise<ReloadOutcome> {
  return await reloadGateway({
    config: parseGatewayConfig(config.value.gateway),
    configPath: config.path,
    stateDir,
    env,
    release: release?.version ?? null,
    // Only a package found on PATH has a path as its source.
    command: release !== null && isAbsolute(release.source) ? [release.source] : null,
    agent: address.agent,
    provider,
    profileId: address.profileId,
    expiresAt,
    now,
  });
}
