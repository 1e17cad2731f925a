import type { ChatDocument } from '../src/cli/chat/protocol.js';
import { bound, type Host, memberOf, textOf } from './host.js';
import { gatewayModule } from './sdk.js';

export type Taken = NonNullable<ChatDocument['taken']>;

/**
 * Whether the gateway we run in holds the login that the child put into its store. Where it still serves what it loaded at its
 * start, it is made to forget that first. From 2026.3.28 to 5.28, where it was seen to be the gateway's own view (3.28, 4.23, 5.7,
 * 5.12, 5.28); false elsewhere, and wherever a store holds a reference to a secret, which only the gateway's own reload resolves.
 */
export async function holds(host: Host, config: unknown, taken: Taken): Promise<boolean> {
  if (!MEASURED.test(textOf(host.runtime('version')) ?? '')) return false;
  try {
    const sdk = await gatewayModule('openclaw/plugin-sdk/agent-runtime');
    const agentDir = bound(host.runtime('agent'), 'resolveAgentDir')?.(config, taken.agent);
    const read = bound(sdk, 'ensureAuthProfileStore');
    const forget = bound(sdk, 'clearRuntimeAuthProfileStoreSnapshots');
    if (typeof agentDir !== 'string' || read === null || forget === null) return false;
    const look = () => memberOf(read(agentDir, { allowKeychainPrompt: false }), 'profiles');
    const before = look();
    if (isThere(before, taken)) return true;
    if (hasReference(before)) return false;
    forget();
    return isThere(look(), taken);
  } catch {
    return false;
  }
}

const MEASURED = /^2026\.(3\.(2[89]|3\d)|[45]\.\d+)(?![\d.])/;

function isThere(profiles: unknown, { profileId, expiresAt }: Taken): boolean {
  return memberOf(profiles, profileId, 'expires') === expiresAt;
}

function hasReference(profiles: unknown): boolean {
  if (typeof profiles !== 'object' || profiles === null) return true;
  return Object.values(profiles).some(
    (profile: unknown) =>
      memberOf(profile, 'keyRef') !== undefined || memberOf(profile, 'tokenRef') !== undefined,
  );
}
