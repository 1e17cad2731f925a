import { RouterError } from '../errors.js';
import type { Slot } from '../slot/slot.js';
import type { Finding, Mend } from './finding.js';
import { heldIn } from './held.js';
import type { HostScene } from './host-scene.js';
import type { SlotMendDeps } from './mend-slot.js';
import { requireOwner } from './owner.js';

/** ms for one question: there can be as many as agents. */
const EXCHANGE_MS = 6000;
/** ms for all of them, of the process's clock: one that hangs answers none. */
const ALL_MS = 15_000;

/**
 * Slots whose login the running gateway has not read since it was changed. Each is asked about by itself, until there is no gateway, or
 * no time left.
 */
export async function gatewayFindings(
  deps: SlotMendDeps,
  { host, slots }: HostScene,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const deadline = performance.now() + ALL_MS;
  for (const { slot, reading } of slots) {
    if (performance.now() > deadline) break;
    if (reading.occupant.kind !== 'login') continue;
    const { expiresAt } = reading.occupant.grant;
    const held = await heldIn(host, slot, expiresAt, EXCHANGE_MS);
    if (held.kind === 'no-gateway') break;
    if (held.kind === 'unknown' || held.expiresAt === expiresAt) continue;
    const { agent } = slot.address;
    const what = held.expiresAt === null ? 'no login' : 'another login';
    findings.push({
      code: 'GATEWAY_BEHIND',
      part: 'effective',
      danger: false,
      text: `the running gateway holds ${what} for agent ${agent} than its slot does: its next turn runs on that`,
      remedy: 'codex-router doctor --fix',
      mend: reloading(deps, slot),
    });
  }
  return findings;
}

function reloading({ host, opening, withLock }: SlotMendDeps, slot: Slot): Mend {
  const { agent } = slot.address;
  return {
    does: `make the running gateway read the slot of agent ${agent} again`,
    carryOut: async () => {
      const repo = await opening;
      return await withLock(async () => {
        await requireOwner(host, repo);
        const { occupant } = await slot.read();
        const expiresAt = occupant.kind === 'login' ? occupant.grant.expiresAt : null;
        const { proved, effective, advice, notes } = await host.reload(slot, expiresAt);
        const isGone = effective === 'no-gateway';
        if (!proved && !isGone) throw notTaken(agent, advice ?? 'restart the gateway');
        const text = isGone
          ? `no gateway runs any more: the next one to start reads the slot of agent ${agent}`
          : `the running gateway has read the slot of agent ${agent} again`;
        return { text, undo: null, notes };
      });
    },
  };
}

function notTaken(agent: string, advice: string): RouterError {
  return new RouterError('HOST_BUSY', `the gateway did not take over the slot of agent ${agent}`, {
    hint: advice,
  });
}
