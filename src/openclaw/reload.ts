import { isAbsolute } from 'node:path';
import type { GatewayHolds, ReloadOutcome } from '../slot/host.js';
import { agentOf, canonicalKey } from '../slot/session.js';
import type { Slot } from '../slot/slot.js';
import { activeRuns, type GatewayPlace, reloadGateway } from './gateway.js';
import { parseGatewayConfig } from './gateway-config.js';
import { keptFor } from './kept-connections.js';
import type { ReloadTarget } from './locate.js';

/** Tells the gateway of a located host to re-read one slot. @param expiresAt as in the port Host. */
export async function reloadSlot(
  target: ReloadTarget,
  { address }: Slot,
  expiresAt: number | null,
  now: () => number,
): Promise<ReloadOutcome> {
  return await reloadGateway({
    ...placeOf(target),
    agent: address.agent,
    inMainStore: storeOf(address.id) === storeOf(target.mainSlot),
    provider: target.provider,
    profileId: address.profileId,
    expiresAt,
    now,
    keptFor: (version) => keptFor(version, target.config.value, target.provider),
  });
}

/** What the gateway of a located host holds in one slot, as in the port Host. */
export async function heldInSlot(
  target: ReloadTarget,
  { address }: Slot,
  expiresAt: number,
  now: () => number,
  withinMs?: number,
): Promise<GatewayHolds> {
  const { heldByGateway } = await import('./gateway-held.js');
  return await heldByGateway({
    ...placeOf(target),
    agent: address.agent,
    inMainStore: storeOf(address.id) === storeOf(target.mainSlot),
    provider: target.provider,
    profileId: address.profileId,
    expiresAt,
    now,
    ...(withinMs !== undefined && { limits: { exchange: withinMs, command: withinMs } }),
  });
}

/** The sessions of one agent in which the gateway of a located host is running a turn, as in the port Host. */
export async function runningSessions(
  target: ReloadTarget,
  agent: string,
): Promise<ReadonlySet<string> | null> {
  const running = await activeRuns(placeOf(target));
  if (running === null) return null;
  // A key without an agent (`global`) is everybody's.
  return new Set([...running].map(canonicalKey).filter((key) => [agent, null].includes(agentOf(key))));
}

/** An own slot is in the store of another: what is told of the one holds for the other. */
function storeOf(id: string): string {
  return id.slice(0, id.lastIndexOf('#'));
}

function placeOf({ stateDir, config, release, env }: ReloadTarget): GatewayPlace {
  return {
    config: parseGatewayConfig(config.value.gateway),
    configPath: config.path,
    stateDir,
    env,
    release: release?.version ?? null,
    // Only a package found on PATH has a path as its source.
    command: release !== null && isAbsolute(release.source) ? [release.source] : null,
  };
}
