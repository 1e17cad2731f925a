import { RouterError } from '../errors.js';
import type { Identity } from '../identity.js';
import { companionsOf, type PinRules } from '../slot/companions.js';
import type { Host } from '../slot/host.js';
import type { SessionEntry } from '../slot/pins.js';
import { agentOf, currentSession, findSession } from '../slot/session.js';
import { type Occupant, problemOf, type Slot } from '../slot/slot.js';
import { type SettledDeps, settledReading } from './settled.js';
import { type TurnsSlot, turnsSlot } from './turns-slot.js';

/** A login that sessions of an agent can be pinned to. */
export interface LoginPlace {
  readonly profileId: string;
  readonly kind: 'slot' | 'own-slot' | 'neighbour';
  /** Null for what is no login, and while OpenClaw refreshes it. */
  readonly identity: Identity | null;
  /** What is there instead of a login; null for a login, also for one that is being refreshed. */
  readonly problem: string | null;
  /** Null for a neighbour. */
  readonly slot: Slot | null;
  readonly refreshing: boolean;
}

/** One session, and what it can be pinned to. */
export interface SessionScene {
  readonly agent: string;
  readonly entry: SessionEntry;
  /** The agent's entries that were looked at; of a large store only those that can concern this session. */
  readonly entries: readonly SessionEntry[];
  readonly turns: TurnsSlot;
  /** The slot first, then the own slots, then what a native setup left beside them. */
  readonly places: readonly LoginPlace[];
}

/**
 * The session of a full key; or of one without its agent: the default agent's, else that of the only other agent that has one.
 * @throws SESSION_NOT_FOUND with the nearest keys; HOST_UNREADABLE, what `Slot.read` throws
 */
export async function sessionScene(host: Host, key: string, deps: SettledDeps | null): Promise<SessionScene> {
  const { agent, entry, entries } = await sessionIn(host, key);
  const turns = await turnsSlot(host, agent);
  return { agent, entry, entries, turns, places: await loginPlaces(host, agent, turns, deps) };
}

type Found = Pick<SessionScene, 'agent' | 'entry' | 'entries'>;

async function sessionIn(host: Host, key: string): Promise<Found> {
  const named = agentOf(key);
  const [first, others] =
    named === null
      ? [host.defaultAgent, host.agents.filter((agent) => agent !== host.defaultAgent)]
      : [named, host.agents.filter((agent) => agent !== named)];
  const looked = host.agents.includes(first) ? [await lookIn(host, first, key)] : [];
  const [here] = looked;
  if (here?.entry) return { ...here, entry: here.entry };
  for (const agent of others) looked.push(await lookIn(host, agent, key));
  const found = looked.flatMap((one) => (one.entry === null ? [] : [{ ...one, entry: one.entry }]));
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  // It says which keys are near.
  currentSession(
    looked.flatMap(({ entries }) => entries),
    { kind: 'key', key },
    {},
  );
  throw new RouterError('SESSION_NOT_FOUND', `${found.length} agents have a session of that key`, {
    hint: `did you mean ${found.map(({ entry }) => entry.key).join(', ')}`,
  });
}

async function lookIn(host: Host, agent: string, key: string) {
  const { entries } = await host.pinsOf(agent).survey(key);
  return { agent, entries, entry: findSession(entries, key) };
}

/**
 * What sessions of an agent can be pinned to.
 * @param deps waits for a refresh by OpenClaw to end, so that whose login it is can be told; null: does not
 */
export async function loginPlaces(
  host: Host,
  agent: string,
  { slot, reading }: TurnsSlot,
  deps: SettledDeps | null,
): Promise<readonly LoginPlace[]> {
  const { main } = await host.slotsFor(agent);
  const isThrough = main.address.id !== slot.address.id;
  const beside = [...(isThrough ? (await main.read()).neighbours : []), ...reading.neighbours];
  const places = [placeOf(slot, 'slot', await settled(slot, reading.occupant, deps))];
  for (const own of await host.ownSlots(agent)) {
    const { occupant } = await own.read();
    if (occupant.kind !== 'absent') places.push(placeOf(own, 'own-slot', await settled(own, occupant, deps)));
  }
  for (const { profileId, ...login } of beside) {
    if (places.some((place) => place.profileId === profileId)) continue;
    const whose =
      login.kind === 'login'
        ? { identity: login.identity, problem: null }
        : { identity: null, problem: login.what };
    places.push({ profileId, kind: 'neighbour', ...whose, slot: null, refreshing: false });
  }
  return places;
}

async function settled(slot: Slot, occupant: Occupant, deps: SettledDeps | null): Promise<Occupant> {
  return deps === null || occupant.kind !== 'refreshing'
    ? occupant
    : (await settledReading(slot, deps)).occupant;
}

function placeOf(slot: Slot, kind: 'slot' | 'own-slot', occupant: Occupant): LoginPlace {
  const base = { profileId: slot.address.profileId, kind, slot, refreshing: occupant.kind === 'refreshing' };
  if (occupant.kind === 'login') return { ...base, identity: occupant.identity, problem: null };
  return { ...base, identity: null, problem: base.refreshing ? null : (problemOf(occupant) ?? 'nothing') };
}

/**
 * The companions of the session, in the store's order. One that is pinned to the very login that the session itself is, or is going to
 * be, pinned to goes with it, as one that is pinned to the slot does.
 * @param is what the session is going to be pinned to; null: to nothing, or nobody asked
 */
export function companionsIn(host: Host, scene: SessionScene, is: string | null): string[] {
  const known = scene.places.map(({ profileId }) => profileId);
  const others = known.filter((id) => id !== scene.entry.pinnedTo && id !== is);
  return companionsOf(scene.entry.key, scene.entries, rulesOf(host, scene, others));
}

/** What would be a companion, and is pinned to another login of the provider. */
export function leftIn(host: Host, scene: SessionScene, is: string | null): string[] {
  const mine = companionsIn(host, scene, is);
  const all = companionsOf(scene.entry.key, scene.entries, rulesOf(host, scene, []));
  return all.filter((key) => !mine.includes(key) && scene.entries.find((one) => one.key === key)?.pinnedTo);
}

/** The chats that a slash entry is the companion of; empty for any other entry. */
export function chatsOf(host: Host, scene: SessionScene): string[] {
  return scene.entries.flatMap((entry) => {
    const mine = companionsIn(host, { ...scene, entry }, null);
    return entry.key !== scene.entry.key && mine.includes(scene.entry.key) ? [entry.key] : [];
  });
}

function rulesOf(
  { summary: { provider, formerProvider } }: Host,
  { turns }: SessionScene,
  others: readonly string[],
): PinRules {
  const { profileId } = turns.slot.address;
  const knownProfileIds = new Set([profileId, ...others]);
  return { slotProfileId: profileId, provider, formerProvider, knownProfileIds };
}
