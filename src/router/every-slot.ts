import { RouterError } from '../errors.js';
import { type Identity, sameIdentity } from '../identity.js';
import type { IndexEntry } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import { isOwnSlot, ownSlotNumber } from '../slot/own-slot.js';
import { isSlash } from '../slot/session.js';
import type { Neighbour, Slot, SlotAddress, SlotReading } from '../slot/slot.js';
import { shellWord } from '../text.js';
import { entryOrNull, nameOf } from './resolve.js';
import { type SettledDeps, settledReading } from './settled.js';

/** One session of one agent. */
export interface AgentSession {
  readonly agent: string;
  readonly key: string;
}

/** An own slot as it is now, and who is pinned to it. */
export interface OwnSlotView {
  readonly slot: Slot;
  readonly reading: SlotReading;
  /** 1 to `MOST_OWN_SLOTS`; one number is given out once in a host, whichever store it lies in. */
  readonly n: number;
  readonly pinned: readonly AgentSession[];
}

/** Where a login of ours can be: the slots of all stores, then the own slots. @throws what `Host.allSlots` throws */
export async function everySlot(host: Host): Promise<readonly Slot[]> {
  return [...(await host.allSlots()), ...(await host.everyOwnSlot())];
}

/** Every own slot, each once its host is not in the middle of refreshing it. @throws as `settledReading`; HOST_UNREADABLE for sessions */
export async function ownSlotViews(host: Host, deps: SettledDeps = {}): Promise<readonly OwnSlotView[]> {
  const slots = await host.everyOwnSlot();
  if (slots.length === 0) return [];
  const pins = await pinsOfAll(host);
  const views: OwnSlotView[] = [];
  for (const slot of slots) {
    const n = ownSlotNumber(slot.address.id);
    if (n === null) continue;
    const reading = await settledReading(slot, deps);
    const pinned = pins.flatMap(({ agent, key, pinnedTo }) =>
      pinnedTo === slot.address.profileId ? [{ agent, key }] : [],
    );
    views.push({ slot, reading, n, pinned });
  }
  return views;
}

/** Whether what is there was never a login of ours: whoever put it there decides about it and its sessions (law 4). */
export function isNative({ occupant }: Pick<SlotReading, 'occupant'>): boolean {
  return occupant.kind === 'foreign' && occupant.remains === undefined;
}

/** The sessions that are pinned to anything, of every agent. @throws HOST_UNREADABLE */
export async function pinsOfAll(
  host: Host,
): Promise<readonly (AgentSession & { readonly pinnedTo: string })[]> {
  const found: (AgentSession & { pinnedTo: string })[] = [];
  for (const agent of host.agents) {
    for (const { key, pinnedTo } of await host.pinsOf(agent).read()) {
      if (pinnedTo !== null) found.push({ agent, key, pinnedTo });
    }
  }
  return found;
}

/** The own slot beside this one that holds somebody; null for none. */
export function ownSlotWith(
  { neighbours }: Pick<SlotReading, 'neighbours'>,
  who: Identity,
): Extract<Neighbour, { kind: 'login' }> | null {
  for (const one of neighbours) {
    if (one.kind === 'login' && isOwnSlot(one.profileId) && sameIdentity(one.identity, who)) return one;
  }
  return null;
}

/**
 * The command that brings every session of an own slot back, and its login home. Nobody in it: all own slots are left, shown first where
 * that would move sessions of another; so too where sessions cannot be read.
 */
export async function leaveCommand(host: Host, profileId: string): Promise<string> {
  try {
    const inOwn = (await pinsOfAll(host)).filter(({ pinnedTo }) => isOwnSlot(pinnedTo));
    const mine = inOwn.filter(({ pinnedTo }) => pinnedTo === profileId).map(({ key }) => key);
    // A slash entry goes along with its chat.
    const chats = mine.filter((key) => !isSlash(key));
    if (mine.length > 0) return leaveSessions(chats.length > 0 ? chats : mine);
    return leaveAllCommand(inOwn.length > 0);
  } catch (error) {
    if (error instanceof RouterError) return leaveAllCommand(true);
    throw error;
  }
}

/** @param moves whether sessions would move with it, which its dry run shows first */
export function leaveAllCommand(moves: boolean): string {
  return `codex-router failover leave --all${moves ? '' : ' --apply'}`;
}

/** The command that brings these sessions back. */
export function leaveSessions(keys: readonly string[]): string {
  return `codex-router failover leave${keys.map((key) => ` --session ${shellWord(key)}`).join('')} --apply`;
}

/** The command that ends that a place of a store holds a login. @param selector whom it is of */
export async function remedyIn(
  host: Host,
  { agent, profileId: own }: SlotAddress,
  profileId: string,
  selector: string,
): Promise<string> {
  if (isOwnSlot(profileId)) return leaveCommand(host, profileId);
  return `codex-router use ${profileId === own ? '<another>' : selector} --agent ${agent}`;
}

/** As `remedyIn` for another OpenClaw of this machine. */
export function remedyAt(stateDir: string, { address }: Slot, profileId: string): string {
  return isOwnSlot(profileId)
    ? `${leaveAllCommand(true)} --state-dir ${stateDir}`
    : `codex-router use <another> --state-dir ${stateDir} --agent ${address.agent}`;
}

/** The own slots of another OpenClaw in which a login of the account is, or may be, being refreshed: beside its slot that is no login. */
export async function refreshingInOwn(host: Host, accountId: string, name: string) {
  const found: { kind: 'refreshing'; name: string; remedy: string; slot: Slot }[] = [];
  for (const slot of await host.everyOwnSlot()) {
    const occupant = await occupantOrNull(slot);
    if (occupant?.kind !== 'refreshing' || (occupant.accountId ?? accountId) !== accountId) continue;
    const remedy = remedyAt(host.summary.stateDir, slot, slot.address.profileId);
    found.push({ kind: 'refreshing', name, remedy, slot });
  }
  return found;
}

async function occupantOrNull(slot: Slot): Promise<SlotReading['occupant'] | null> {
  try {
    return (await slot.read()).occupant;
  } catch (error) {
    if (error instanceof RouterError) return null;
    throw error;
  }
}

/** One grant lies in one slot (law 1): what is in an own slot goes nowhere else before its sessions have left. */
export async function inOwnSlot(
  host: Host,
  name: string,
  profileId: string,
  here: Host = host,
): Promise<RouterError> {
  const message = `${name} is in ${profileId}, a slot of its own for some sessions`;
  const { stateDir } = host.summary;
  const leave = await leaveCommand(host, profileId);
  const hint = stateDir === here.summary.stateDir ? leave : `${leave} --state-dir ${shellWord(stateDir)}`;
  return new RouterError('IN_OWN_SLOT', message, { hint });
}

/** @throws IN_OWN_SLOT where an own slot beside one of these holds the identity */
export async function refuseInOwnSlot(
  host: Host,
  readings: readonly Pick<SlotReading, 'neighbours'>[],
  who: Identity,
  name: string,
): Promise<void> {
  for (const reading of readings) {
    const own = ownSlotWith(reading, who);
    if (own !== null) throw await inOwnSlot(host, name, own.profileId);
  }
}

/** Who is in an own slot beside a slot, for a list that tells who is in the slot. */
export function ownSlotNotes(
  neighbours: SlotReading['neighbours'],
  entries: readonly IndexEntry[],
): readonly HostNote[] {
  return neighbours.flatMap((one) => {
    if (one.kind !== 'login' || !isOwnSlot(one.profileId)) return [];
    const entry = entryOrNull(one.identity, entries);
    const who = entry === null ? (one.identity.email ?? one.identity.accountId) : nameOf(entry);
    return [{ code: 'OWN_SLOT', text: `${who} is in ${one.profileId}, a slot of its own for some sessions` }];
  });
}

/** For releases where a session that is not named may fall on the own slot's login. */
export function fallbackNotes({ choosing }: Pick<Host, 'choosing'>): readonly HostNote[] {
  if (choosing?.fallsBack !== true) return [];
  const text =
    'this OpenClaw may run a session that has no pin on this login too, when the renewal of the login in the slot is refused: 2026.9.6 and later do not';
  return [{ code: 'OWN_SLOT_FALLBACK', text }];
}
