import type { Identity } from '../identity.js';
import type { JsonObject } from '../json.js';
import { companionsOf, type PinRules } from '../slot/companions.js';
import type { SlotReading } from '../slot/slot.js';
import { shellWord } from '../text.js';
import type { Layer } from './explain-layers.js';
import { entryOf, type Scene } from './explain-scene.js';
import { clockText } from './usage-words.js';

/** Who comes first in the order: somebody, a profile that is no login of anybody's, or nobody that can be told. */
export type FirstInOrder =
  | { readonly kind: 'profile'; readonly profileId: string; readonly identity: Identity | null }
  | { readonly kind: 'unknown'; readonly why: string };

/** What turns without a pin, and later chats, run on. */
export function orderLayer(scene: Scene): { readonly layer: Layer; readonly first: FirstInOrder } {
  const { slot, reading, choosers } = scene;
  const { profileId, agent } = slot.address;
  const base = {
    layer: 'order' as const,
    readFrom: `order and lastGood in the store of agent ${agent}`,
    identity: null,
    value: null,
    remedy: null,
  };
  if (reading === null || reading.occupant.kind === 'absent') {
    const why = reading === null ? 'its store cannot be read' : 'the slot is empty';
    return { layer: { ...base, verdict: 'unknown', why }, first: { kind: 'unknown', why } };
  }
  const found = firstIn(scene, reading);
  const named = reading.order?.join(', ') ?? 'none';
  const isSlot = found.kind === 'profile' && found.profileId === profileId;
  const identity = found.kind === 'profile' ? found.identity : null;
  const shown = { ...base, identity, value: named };
  const disagrees = (why: string): Layer => ({
    ...shown,
    verdict: 'disagrees',
    why,
    remedy: scene.use(scene.occupant),
  });
  const rest = restIn(reading, scene.now);
  const others = reading.neighbours.filter(({ kind }) => kind === 'login');
  const why =
    choosers.length > 0
      ? `the own store of agent ${choosers.join(', ')} chooses over it`
      : found.kind === 'unknown'
        ? found.why
        : !isSlot
          ? `it names ${found.profileId} before the slot`
          : rest !== null && others.length > 0 && !reading.selectable
            ? `${rest}, and another login is behind it`
            : !reading.selectable && others.length > 0
              ? 'another login is behind the slot, which OpenClaw turns to when the slot fails or rests'
              : null;
  if (why !== null) return { layer: disagrees(why), first: found };
  return { layer: { ...shown, verdict: 'agrees', why: rest }, first: found };
}

/** Without a stored order a store with one login has nothing to choose. */
function firstIn({ slot, occupant }: Scene, { order, neighbours }: SlotReading): FirstInOrder {
  const { profileId } = slot.address;
  const own: FirstInOrder = { kind: 'profile', profileId, identity: occupant };
  const first = order?.find((id) => id === profileId || neighbours.some((one) => one.profileId === id));
  if (first === profileId) return own;
  const other = neighbours.find((one) => one.profileId === first);
  if (other !== undefined) {
    const { profileId: id } = other;
    return { kind: 'profile', profileId: id, identity: other.kind === 'login' ? other.identity : null };
  }
  const logins = neighbours.filter(({ kind }) => kind === 'login').length + 1;
  if (logins === 1) return own;
  return { kind: 'unknown', why: `no order is stored, so OpenClaw may take turns among ${logins} logins` };
}

/** Why the host passes the slot over for a while; null when it does not. */
function restIn({ occupant }: SlotReading, now: number): string | null {
  const stats: JsonObject = (occupant.kind === 'login' ? occupant.selection : null) ?? {};
  const resting = (['blocked', 'disabled', 'cooldown'] as const).find((what) => {
    const until = stats[`${what}Until`];
    return typeof until === 'number' && until > now;
  });
  if (resting === undefined) return null;
  const until = Number(stats[`${resting}Until`]);
  const reason = stats[`${resting}Reason`];
  const because = typeof reason === 'string' && /^[a-z_]{1,40}$/.test(reason) ? ` (${reason})` : '';
  return `OpenClaw lets the slot rest until ${clockText(until, now)}${because}`;
}

/** What the session that is meant says it runs on. */
export function pinLayer(scene: Scene): Layer {
  const { slot, reading, session, entries, host } = scene;
  const { profileId } = slot.address;
  const { provider, formerProvider } = host.summary;
  const base = {
    layer: 'pin' as const,
    readFrom: `the sessions of agent ${session.agent}`,
    identity: null,
    value: null,
    remedy: null,
  };
  const { key, entry } = session;
  if (key === null || entry === null) return { ...base, verdict: 'unknown', why: session.why };
  const { pinnedTo, pinSource } = entry;
  if (pinnedTo === null) {
    return {
      ...base,
      identity: scene.occupant,
      value: 'none',
      verdict: 'agrees',
      why: 'it follows the order',
    };
  }
  const neighbours = reading?.neighbours ?? [];
  if (pinnedTo === profileId) {
    const rules: PinRules = {
      slotProfileId: profileId,
      provider,
      formerProvider,
      knownProfileIds: new Set([profileId, ...neighbours.map((one) => one.profileId)]),
    };
    const apart = companionsOf(key, session.entries, rules).filter(
      (one) =>
        ![null, profileId].includes(session.entries.find((each) => each.key === one)?.pinnedTo ?? null),
    );
    const auto = pinSource === 'auto' ? 'OpenClaw chose it itself and may choose again' : null;
    const why = apart.length > 0 ? `${apart.length} companion entries name another profile` : auto;
    return { ...base, identity: scene.occupant, value: pinnedTo, verdict: 'agrees', why };
  }
  const other = neighbours.find((one) => one.profileId === pinnedTo);
  const identity =
    other?.kind === 'login' ? (entryOf(other.identity, entries)?.identity ?? other.identity) : null;
  const ours = [provider, formerProvider].some((name) => name !== null && pinnedTo.startsWith(`${name}:`));
  const disagrees = { ...base, identity, value: pinnedTo, verdict: 'disagrees' as const };
  if (!ours) {
    const why = `${key} runs on ${pinnedTo}, which is no login of ${provider}: codex-router leaves that choice`;
    return { ...disagrees, why };
  }
  const why =
    other === undefined && reading !== null
      ? `${key} is pinned to ${pinnedTo}, which is not there any more`
      : `${key} is pinned to ${pinnedTo}, not to the slot`;
  return { ...disagrees, why, remedy: scene.use(scene.occupant, ` --session ${shellWord(key)}`) };
}
