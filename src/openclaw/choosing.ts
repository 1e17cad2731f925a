import type { HostChoosing } from '../slot/host.js';
import type { HostConfig } from './config.js';
import { compareVersions, type Release } from './release.js';

/**
 * What openclaw.json and the release say of choosing among the provider's logins (`resolveAuthProfileOrder`, read in 3.28, 5.7, 7.35
 * and 9.6; which release began what: a look through 4.23 to 9.6). A release that cannot be told is taken for a late one.
 */
export function choosingOf(config: HostConfig, provider: string, release: Release | null): HostChoosing {
  const before = (bound: string) => release !== null && compareVersions(release.version, bound) < 0;
  const orders = Object.entries(config.order);
  const configured = orders.find(([name]) => name.trim().toLowerCase() === provider);
  return {
    order: configured?.[1] ?? null,
    profiles: Object.entries(config.profiles).map(([id, { provider: of, mode }]) => ({
      id,
      provider: of?.trim().toLowerCase() ?? null,
      mode,
    })),
    passesGoneOrder: provider === 'openai',
    expiredLast: !before('2026.8.1'),
    restMovesPin: !before('2026.5.4'),
    // 9.1 does not yet; of those between nothing is known.
    goneStops: !before('2026.9.2'),
    ...(before('2026.9.6') && { fallsBack: true }),
    // 3.28 does, 5.7 does not; of those between nothing is known.
    ...(before('2026.5.7') && { dropsUnordered: true }),
    labelsFromGateway: before('2026.4.20'),
  };
}
