import { type Identity, sameIdentity } from '../identity.js';
import type { Host } from '../slot/host.js';
import type { Slot } from '../slot/slot.js';
import type { Layer } from './explain-layers.js';
import type { Scene } from './explain-scene.js';
import type { FirstInOrder } from './explain-selection.js';
import { ageText } from './usage-words.js';

/** What the running gateway has in memory: its turns run on that, whatever the store says. */
export async function effectiveLayer(scene: Scene): Promise<Layer> {
  const { host, slot, reading, occupant, now } = scene;
  const base = {
    layer: 'effective' as const,
    readFrom: "the running gateway's models.authStatus",
    identity: null,
    value: null,
    remedy: null,
  };
  if (reading?.occupant.kind !== 'login') {
    return { ...base, verdict: 'unknown', why: 'there is no login in the slot to compare it with' };
  }
  const { expiresAt } = reading.occupant.grant;
  const held = await heldIn(host, slot, expiresAt);
  if (held.kind === 'unknown') return { ...base, verdict: 'unknown', why: held.why };
  if (held.kind === 'no-gateway') {
    const why = 'the next gateway to start reads the slot';
    return { ...base, value: 'no gateway runs', verdict: 'agrees', why };
  }
  const asked =
    held.askedAt === null || now - held.askedAt < OLD ? '' : `, as it saw it ${ageText(held.askedAt, now)}`;
  // A login is told by when it expires: the gateway gives nothing else away.
  if (held.expiresAt === expiresAt) {
    return { ...base, identity: occupant, verdict: 'agrees', why: asked === '' ? null : asked.slice(2) };
  }
  const identity = ownerOf(held.expiresAt, scene);
  const value = held.expiresAt === null ? 'no login' : identity === null ? 'another login' : null;
  const why = `it has not read the slot since that was changed${asked}`;
  return { ...base, identity, value, verdict: 'disagrees', why, remedy: scene.use(occupant) };
}

/** ms */
const OLD = 2000;

async function heldIn(host: Host, slot: Slot, expiresAt: number) {
  const why = 'this host has nothing that could be asked';
  return (await host.held?.(slot, expiresAt)) ?? { kind: 'unknown' as const, why };
}

/** Whose stored login expires at that very millisecond; null for nobody's, and for several. */
function ownerOf(expiresAt: number | null, { entries }: Scene): Identity | null {
  const [one, other] = entries.filter((entry) => entry.expiresAt === expiresAt);
  return one === undefined || other !== undefined ? null : one.identity;
}

/**
 * Whose quota OpenClaw's usage line shows: that of the first profile in the order, whatever the session is pinned to, with what the gateway
 * holds of it (facts: 3.28 to 9.6).
 */
export function usageLayer(scene: Scene, first: FirstInOrder, effective: Layer): Layer {
  const { slot, occupant } = scene;
  const base = {
    layer: 'usage' as const,
    readFrom: "the order's first profile, as OpenClaw's usage line does",
    identity: null,
    value: null,
    remedy: null,
  };
  if (first.kind === 'unknown') return { ...base, verdict: 'unknown', why: first.why };
  const { profileId, identity } = first;
  if (profileId !== slot.address.profileId) {
    const shown = { ...base, identity, value: identity === null ? profileId : null };
    const isSame = identity !== null && occupant !== null && sameIdentity(identity, occupant);
    if (isSame) return { ...shown, verdict: 'agrees', why: `it is read from ${profileId}` };
    const why = `it shows ${profileId}, not the slot`;
    return { ...shown, verdict: 'disagrees', why, remedy: scene.use(occupant) };
  }
  if (effective.verdict === 'disagrees') {
    const { identity: held, value, remedy } = effective;
    const why = 'it shows the login that the gateway still has';
    return { ...base, identity: held, value, verdict: 'disagrees', why, remedy };
  }
  if (occupant === null) return { ...base, verdict: 'unknown', why: 'there is no login in the slot' };
  return { ...base, identity: occupant, verdict: 'agrees', why: null };
}

/** The e-mail that OpenClaw shows for the slot. */
export function labelLayer(scene: Scene): Layer {
  const { host, occupant } = scene;
  const base = { layer: 'label' as const, identity: null, remedy: null };
  if (occupant === null) {
    const why = 'there is no login in the slot to compare it with';
    return { ...base, value: null, readFrom: 'openclaw.json, then the login', verdict: 'unknown', why };
  }
  const label = host.labelFor?.(occupant.email) ?? null;
  if (label === null) {
    const readFrom = 'the login: openclaw.json names no other e-mail';
    const why = occupant.email === null ? 'the login names no e-mail' : null;
    return { ...base, identity: occupant, value: occupant.email, readFrom, verdict: 'agrees', why };
  }
  const readFrom = 'auth.profiles in openclaw.json, which goes before the login';
  const why = 'openclaw.json names another e-mail, which is shown whoever is in the slot';
  const remedy = scene.use(occupant, ' --fix-labels');
  return { ...base, value: label.shown, readFrom, verdict: 'disagrees', why, remedy };
}
