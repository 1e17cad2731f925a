import { RouterError } from '../errors.js';
import type { Identity } from '../identity.js';
import { type ExplainRequest, type Explanation, explain } from './explain.js';
import type { Cause, Layer } from './explain-layers.js';
import type { Finding, Mend } from './finding.js';
import type { FindingCode } from './finding-codes.js';
import { isRouted } from './host-scene.js';
import { fixLabel } from './mend-label.js';
import { orderMend } from './mend-order.js';
import { mendPin } from './mend-pin.js';
import { mendEffective, mendSlot, type SlotMendDeps } from './mend-slot.js';
import { entryOrNull, nameOf } from './resolve.js';

/**
 * The layers of `explain` that disagree, up to the first that can be mended: those after it follow from it. Of a slot that codex-router
 * does not route only what is broken in it: a host of one's own order and pins is left its choice.
 * @throws AGENT_NOT_FOUND, SESSION_NOT_FOUND; VAULT_DAMAGED, VAULT_NEWER, IO
 */
export async function layerFindings(
  deps: SlotMendDeps,
  request: ExplainRequest,
): Promise<readonly Finding[]> {
  const found = await explain(deps, request);
  if (request.session !== null && found.session.key === null) {
    throw new RouterError('SESSION_NOT_FOUND', found.session.why, { hint: 'openclaw sessions lists them' });
  }
  const entries = await deps.repo.list();
  const chosen = found.layers.find(({ layer }) => layer === 'choice')?.identity ?? null;
  const isOurs = chosen !== null && (await isRouted(deps.host));
  const findings: Finding[] = [];
  for (const layer of found.layers) {
    if (!isOurs && !BROKEN.includes(layer.cause)) continue;
    if (layer.verdict !== 'disagrees') continue;
    // A switch that is interrupted, or under way, is told by who reads the journal: what it has not written yet is not wrong.
    if (layer.layer === 'choice') break;
    // Whom a chat runs on elsewhere is for its person.
    if (layer.cause === 'pinned-to-foreign') continue;
    const { layer: part, why, remedy } = layer;
    const code: FindingCode = `${CODE_OF[part]}_DISAGREES`;
    const text = `${part} of agent ${found.agent}: ${why ?? 'it disagrees'}`;
    const stored = (who: Identity | null) => {
      const entry = who && entryOrNull(who, entries);
      return entry && { who: entry.identity, name: nameOf(entry) };
    };
    const mend = isOurs ? mendOf(deps, found, layer, stored) : null;
    findings.push({ code, part, danger: false, text, remedy, mend });
    if (mend !== null) break;
  }
  return findings;
}

const CODE_OF = {
  slot: 'SLOT',
  order: 'ORDER',
  pin: 'PIN',
  effective: 'EFFECTIVE',
  usage: 'USAGE',
  label: 'LABEL',
} as const;

/** A login that nobody can use, whoever put it there. */
const BROKEN: readonly (Cause | null)[] = ['login-damaged', 'login-lost'];
/** What can be put right in the slot by putting the one who was chosen in. */
const IN_SLOT: readonly (Cause | null)[] = ['other-login', 'slot-empty', 'login-damaged', 'login-lost'];
const IN_PIN: readonly (Cause | null)[] = ['pinned-elsewhere', 'pinned-to-gone'];

interface Stored {
  readonly who: Identity;
  readonly name: string;
}

function mendOf(
  deps: SlotMendDeps,
  { agent, slot, layers, session }: Explanation,
  { layer, cause }: Layer,
  stored: (who: Identity | null) => Stored | null,
): Mend | null {
  const identityOf = (which: Layer['layer']) =>
    stored(layers.find((one) => one.layer === which)?.identity ?? null);
  const { profileId } = slot;
  const opened = deps.opening;
  if (layer === 'slot' && IN_SLOT.includes(cause)) {
    const chosen = identityOf('choice');
    if (chosen === null) return null;
    const does = `put ${chosen.name} into ${profileId} of agent ${agent} again, as codex-router use does, and pin nothing`;
    return { does, carryOut: () => mendSlot(deps, agent, chosen.who) };
  }
  if (layer === 'order') return orderMend(deps, agent, profileId, cause);
  const { key } = session;
  const isFilled = layers.some((one) => one.layer === 'slot' && one.identity !== null);
  if (layer === 'pin' && key !== null && isFilled && IN_PIN.includes(cause)) {
    const does = `pin ${key} and its companion entries to ${profileId}`;
    return { does, carryOut: async (keep) => mendPin(deps, await opened, { agent, key }, keep) };
  }
  const occupant = identityOf('slot');
  if (layer === 'effective' && cause === 'gateway-behind' && occupant !== null) {
    const does = `have the running gateway read ${profileId} of agent ${agent} again`;
    return { does, carryOut: () => mendEffective(deps, agent, occupant.who) };
  }
  if (layer === 'label' && cause === 'config-email') {
    const does = `take the e-mail that openclaw.json gives ${profileId} out of it`;
    return { does, carryOut: async (keep) => fixLabel(deps, await opened, agent, keep) };
  }
  return null;
}
