import { sameIdentity } from '../identity.js';
import { isOfProvider } from '../slot/companions.js';
import { isOwnSlot } from '../slot/own-slot.js';
import { shellWord } from '../text.js';
import { type Chosen, candidatesIn, type Run } from './explain-choice.js';
import { agrees, disagrees, type Layer, unknown } from './explain-layers.js';
import type { Scene } from './explain-scene.js';
import { heldIn, ownerOf } from './held.js';
import { ageText } from './times.js';

const GATEWAY = "the running gateway's models.authStatus";

/** What the session's next turn runs on: the gateway's copy of the profile that pin and order send it to. */
export async function effectiveLayer(scene: Scene, run: Run): Promise<Layer> {
  const { slot, reading, occupant } = scene;
  const base = { layer: 'effective' as const, readFrom: GATEWAY, identity: null, value: null };
  if (reading?.occupant.kind !== 'login') {
    return { ...base, ...unknown('there is no login in the slot to compare it with') };
  }
  const { profileId, by } = run;
  const pinnedTo = scene.session.entry?.pinnedTo ?? null;
  if (profileId === null && by === 'pin' && pinnedTo !== null && isOfProvider(pinnedTo, scene.host.summary)) {
    const why = `this release runs no turn of a session whose ${pinnedTo} is gone`;
    const remedy = scene.use(occupant, sessionFlag(scene));
    return { ...base, readFrom: 'the pin', value: 'no login', ...disagrees('follows-pin', why, remedy) };
  }
  if (profileId === null && by === 'pin') {
    return { ...base, readFrom: 'the pin', ...unknown('the session runs on what it is pinned to') };
  }
  if (profileId !== slot.address.profileId) {
    const other = candidatesIn(scene).find((one) => one.profileId === profileId);
    const value = other?.identity ? null : (profileId ?? 'no login');
    const shown = {
      ...base,
      readFrom: by === 'pin' ? 'the pin' : 'the order',
      identity: other?.identity ?? null,
      value,
    };
    if (by === 'pin' && profileId !== null && isOwnSlot(profileId)) {
      return { ...shown, ...agrees(`the pin sends its turns to ${profileId}, its own slot`) };
    }
    if (by === 'pin' && scene.isChosen) {
      return { ...shown, ...agrees(`the pin sends its turns to ${profileId}, as was chosen`) };
    }
    if (by === 'pin') {
      const remedy = scene.use(occupant, sessionFlag(scene));
      return { ...shown, ...disagrees('follows-pin', `the pin sends its turns to ${profileId}`, remedy) };
    }
    const now = by === 'turns' ? ', for now' : '';
    const where = profileId === null ? 'no login at all' : profileId;
    const why = `the order sends its turns to ${where}${now}`;
    return { ...shown, ...disagrees('follows-order', why, scene.use(occupant)) };
  }
  return { ...base, ...(await heldLayer(scene, reading.occupant.grant.expiresAt)) };
}

function sessionFlag({ session }: Scene): string {
  return session.key === null ? '' : ` --session ${shellWord(session.key)}`;
}

/** Whether the gateway's copy of the slot is what is in the slot. */
async function heldLayer(scene: Scene, expiresAt: number): Promise<Omit<Layer, 'layer' | 'readFrom'>> {
  const { host, slot, occupant, now, entries } = scene;
  const base = { identity: null, value: null };
  const held = await heldIn(host, slot, expiresAt);
  if (held.kind === 'unknown') return { ...base, ...unknown(held.why) };
  if (held.kind === 'no-gateway') {
    return { ...base, value: 'no gateway runs', ...agrees('the next gateway to start reads the slot') };
  }
  const asked =
    held.askedAt === null || now - held.askedAt < OLD ? '' : `, as it saw it ${ageText(held.askedAt, now)}`;
  if (held.expiresAt === expiresAt) {
    return { ...base, identity: occupant, ...agrees(asked === '' ? null : asked.slice(2)) };
  }
  const identity = ownerOf(held.expiresAt, entries);
  const value = held.expiresAt === null ? 'no login' : identity === null ? 'another login' : null;
  const why = `it has not read the slot since that was changed${asked}`;
  return { identity, value, ...disagrees('gateway-behind', why, scene.use(occupant)) };
}

/** ms */
const OLD = 2000;

/**
 * Whose quota OpenClaw's usage line shows: that of the first profile in the order, whatever the session is pinned to, with what the gateway
 * holds of it (facts: 3.28 to 9.6; on Codex's own runtime, from 7.35 on, it is the pin's).
 */
export function usageLayer(scene: Scene, chosen: Chosen, effective: Layer): Layer {
  const { slot, occupant, reading } = scene;
  const base = {
    layer: 'usage' as const,
    readFrom: "the order's first profile, as OpenClaw's usage line does",
    identity: null,
    value: null,
  };
  if (reading === null || reading.occupant.kind === 'absent') {
    return { ...base, ...unknown(reading === null ? 'the store cannot be read' : 'the slot is empty') };
  }
  const [profileId] = chosen.ids;
  if (profileId === undefined) {
    return { ...base, value: 'nothing', ...unknown('no login is chosen, so that it shows none') };
  }
  const isTurn = chosen.turns > 1;
  if (profileId !== slot.address.profileId) {
    const identity = candidatesIn(scene).find((one) => one.profileId === profileId)?.identity ?? null;
    const shown = { ...base, identity, value: identity === null ? profileId : null };
    const isSame = identity !== null && occupant !== null && sameIdentity(identity, occupant);
    if (isSame) return { ...shown, ...agrees(`it is read from ${profileId}`) };
    const why = `it shows ${profileId}, not the slot${isTurn ? ', for now' : ''}`;
    return { ...shown, ...disagrees('follows-order', why, scene.use(occupant)) };
  }
  if (effective.cause === 'gateway-behind') {
    const { identity, value, remedy } = effective;
    const why = 'it shows the login that the gateway still has';
    return { ...base, identity, value, ...disagrees('gateway-behind', why, remedy) };
  }
  if (occupant === null) return { ...base, ...unknown('there is no login in the slot') };
  return { ...base, identity: occupant, ...agrees(isTurn ? 'for now: OpenClaw takes turns' : null) };
}

const CONFIGURED = 'openclaw.json, then the login';

/** The name that OpenClaw's /status shows for what the session runs on. */
export function labelLayer(scene: Scene, run: Run, effective: Layer): Layer {
  const { host, occupant, slot, session } = scene;
  const base = { layer: 'label' as const, identity: null, value: null };
  if (occupant === null) {
    return { ...base, readFrom: CONFIGURED, ...unknown('there is no login in the slot to compare it with') };
  }
  const pinnedTo = session.entry?.pinnedTo ?? null;
  if (pinnedTo !== null && !isOfProvider(pinnedTo, scene.host.summary)) {
    return { ...base, readFrom: CONFIGURED, ...unknown(`it is that of ${pinnedTo}`) };
  }
  // What the pin names is shown also while a turn would go elsewhere for a rest.
  const isThere = candidatesIn(scene).some((one) => one.profileId === pinnedTo);
  const shownId = isThere ? pinnedTo : run.profileId;
  if (shownId !== null && shownId !== slot.address.profileId) {
    const other = candidatesIn(scene).find((one) => one.profileId === shownId);
    const shown = { ...base, readFrom: `the login of ${shownId}`, identity: other?.identity ?? null };
    if (isThere && (isOwnSlot(shownId) || scene.isChosen)) {
      const value = other?.identity?.email ?? shownId;
      const what = isOwnSlot(shownId) ? 'its own slot' : 'as was chosen';
      return { ...shown, value, ...agrees(`it shows ${shownId}, ${what}`) };
    }
    const cause = isThere ? 'follows-pin' : 'follows-order';
    const remedy = scene.use(occupant, isThere ? sessionFlag(scene) : '');
    const value = other?.identity?.email ?? shownId;
    return { ...shown, value, ...disagrees(cause, `it shows ${shownId}, not the slot`, remedy) };
  }
  const label = host.labelFor?.(occupant.email) ?? null;
  if (label !== null) {
    const readFrom = 'auth.profiles in openclaw.json, which goes before the login';
    const why = 'openclaw.json names another e-mail, which is shown whoever is in the slot';
    const remedy = scene.use(occupant, ' --fix-labels');
    return { ...base, value: label.shown, readFrom, ...disagrees('config-email', why, remedy) };
  }
  if (host.choosing?.labelsFromGateway && effective.cause === 'gateway-behind') {
    const { identity, value, remedy } = effective;
    const why = 'it shows the login that the gateway still has';
    const shown = identity?.email ?? value;
    return {
      ...base,
      identity,
      value: shown,
      readFrom: "the gateway's copy",
      ...disagrees('gateway-behind', why, remedy),
    };
  }
  const readFrom = 'the login: openclaw.json names no other e-mail';
  const why = occupant.email === null ? 'the login names no e-mail' : null;
  return { ...base, identity: occupant, value: occupant.email, readFrom, ...agrees(why) };
}
