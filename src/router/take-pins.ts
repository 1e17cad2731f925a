import { type Identity, sameIdentity } from '../identity.js';
import { affectedBy, isOfProvider } from '../slot/companions.js';
import type { Host } from '../slot/host.js';
import type { SessionEntry } from '../slot/pins.js';
import { loginsIn } from './places.js';
import type { StoreTaking } from './take-plan.js';

/** What becomes of one session's pin. */
export interface PinMend {
  readonly agent: string;
  readonly key: string;
  readonly was: string;
  /** The slot's id, or null: the pin is taken off. Equal to `was` where the pin stays and another account is behind it then. */
  readonly is: string | null;
  /** Whose account the session ran on by that pin; null when nobody can tell. */
  readonly whose: Identity | null;
  /** A person chose it, and from now on the session runs on another account. */
  readonly moves: boolean;
  /** `SlotAddress.id` of the slot that the session follows then. */
  readonly follows: string;
}

export interface PinMends {
  readonly pins: readonly PinMend[];
  readonly affects: { readonly agents: readonly string[]; readonly sessions: readonly string[] };
}

/**
 * A pin to a profile that goes is set on the slot where the very same person is in it and chose it, else taken off: a person's pin to an id
 * that is gone makes a chat unrunnable (openclaw #149502), and one that OpenClaw had chosen is OpenClaw's to choose again. Pins of other
 * providers, `personal:*`, and to what is left stay.
 * @throws HOST_UNREADABLE for sessions that cannot be read: no pin may be left dangling
 */
export async function planPinMends(host: Host, stores: readonly StoreTaking[]): Promise<PinMends> {
  const pins: PinMend[] = [];
  const agents: string[] = [];
  const sessions: string[] = [];
  for (const agent of host.agents) {
    const seen = seenBy(stores, agent);
    const entries = await host.pinsOf(agent).read();
    const mends = entries.flatMap((entry) => mendOf(host, agent, entry, seen) ?? []);
    pins.push(...mends);
    if (seen.every(({ changes }) => !changes) && mends.length === 0) continue;
    agents.push(agent);
    sessions.push(...sessionsOf(host, entries, seen));
  }
  return { pins, affects: { agents, sessions } };
}

/** The stores that an agent's sessions choose from, its own first. */
function seenBy(stores: readonly StoreTaking[], agent: string): readonly StoreTaking[] {
  const own = stores.filter(({ slot }) => slot.address.agent === agent);
  const [main] = stores;
  return main === undefined || own.includes(main) ? own : [...own, main];
}

function mendOf(
  { summary }: Host,
  agent: string,
  { key, pinnedTo, pinSource }: SessionEntry,
  seen: readonly StoreTaking[],
): PinMend | null {
  const { provider, formerProvider } = summary;
  const store = seen.find(({ stays }) => stays !== null);
  if (pinnedTo === null || !isOfProvider(pinnedTo, summary) || store?.stays == null) return null;
  const { profileId } = store.slot.address;
  // A copy of main's login is switched with main's slot.
  const { id } = (store.stays.because === 'main' ? (seen.at(-1) ?? store) : store).slot.address;
  const found = seen.flatMap(({ slot, reading }) => loginsIn(slot, reading));
  // An upgrade that renamed the provider has left pins to the former names of profiles (6.1 to 7.35).
  const former = formerProvider === null ? null : `${formerProvider}:`;
  const isFormer = former !== null && pinnedTo.startsWith(former);
  const meant = isFormer ? `${provider}:${pinnedTo.slice(former.length)}` : pinnedTo;
  const whose = found.find(({ profileId: one }) => one === meant)?.login.identity ?? null;
  const isSame = whose !== null && sameIdentity(whose, store.stays.login.identity);
  const isChosen = pinSource !== 'auto';
  const common = { agent, key, was: pinnedTo, whose, follows: id };
  if (idsAfter(seen).has(pinnedTo)) {
    const moves = pinnedTo === profileId && isChosen && whose !== null && !isSame;
    return moves ? { ...common, is: pinnedTo, moves } : null;
  }
  return { ...common, is: isSame && isChosen ? profileId : null, moves: isChosen && !isSame };
}

function idsAfter(seen: readonly StoreTaking[]): ReadonlySet<string> {
  return new Set(
    seen.flatMap(({ slot, stays, left }) => [
      ...(stays === null ? [] : [slot.address.profileId]),
      ...left.map(({ profileId }) => profileId),
    ]),
  );
}

function sessionsOf({ summary }: Host, entries: readonly SessionEntry[], seen: readonly StoreTaking[]) {
  const [first] = seen;
  if (first === undefined) return [];
  const { provider, formerProvider } = summary;
  const slotProfileId = first.slot.address.profileId;
  const rules = { slotProfileId, provider, formerProvider, knownProfileIds: idsAfter(seen) };
  return affectedBy(entries, rules).sessions;
}
