import { RouterError } from '../errors.js';
import { sceneOf } from './explain.js';
import { chosenIn } from './explain-choice.js';
import { orderLayer } from './explain-selection.js';
import type { Finding } from './finding.js';
import type { FindingCode } from './finding-codes.js';
import type { HostScene } from './host-scene.js';
import { orderMend } from './mend-order.js';
import type { SlotMendDeps } from './mend-slot.js';

/**
 * Agents whose turns do not land on the slot alone, though codex-router has filled it; each fault once, however many agents share it.
 * Slots that nobody routes are left their own choice.
 */
export async function orderFindings(
  deps: SlotMendDeps,
  { slots, main }: HostScene,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const told = new Set<string>();
  // Agents without a login of their own read through to main's, and are looked at with it: there can be hundreds.
  const routed = slots.filter(
    (seen) => seen.isRouted && (seen === main || seen.reading.occupant.kind !== 'absent'),
  );
  for (const agent of new Set(routed.map(({ slot }) => slot.address.agent))) {
    const found = await lookAt(deps, agent);
    if (found === null || !routed.some(({ slot }) => slot.address.id === found.slot.id)) continue;
    const { cause, why, remedy, slot, isConfigured } = found;
    const name = `${slot.id} ${cause} ${why}`;
    if (told.has(name)) continue;
    told.add(name);
    const code: FindingCode =
      cause === 'config-refuses' ? 'PROFILE_REFUSED' : isConfigured ? 'ORDER_IN_CONFIG' : 'ORDER_ELSEWHERE';
    const text = `order of agent ${agent}: ${why}`;
    const mend = orderMend(deps, agent, slot.profileId, cause);
    findings.push({ code, part: 'order', danger: false, text, remedy, mend });
  }
  return findings;
}

/** Null where the agent's turns land on its slot, or nothing can be told. */
async function lookAt(deps: SlotMendDeps, agent: string) {
  try {
    // At the end of all time no login rests: a rest is told by itself, and passes.
    const scene = { ...(await sceneOf(deps, { agent, session: null })), now: Number.POSITIVE_INFINITY };
    const chosen = chosenIn(scene);
    const { verdict, cause, why, remedy } = orderLayer(scene, chosen);
    if (verdict !== 'disagrees') return null;
    return { cause, why, remedy, slot: scene.slot.address, isConfigured: chosen.by === 'config' };
  } catch (error) {
    // What cannot be read is told by who looks for holders, and by who looks at our own house.
    if (error instanceof RouterError) return null;
    throw error;
  }
}
