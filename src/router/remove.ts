import { RouterError } from '../errors.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { IndexEntry, OpenRepo, Repo } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import { isOwnSlot } from '../slot/own-slot.js';
import type { Slot, SlotReading } from '../slot/slot.js';
import { planCheckIn } from './check-in.js';
import { placedElsewhere } from './custody.js';
import { everySlot, leaveCommand, pinsOfAll } from './every-slot.js';
import { refuseLent } from './lent.js';
import { claimHost, renewClaim, requireOwner } from './owner.js';
import { type SettledDeps, settledReading } from './settled.js';

export interface RemoveDeps extends SettledDeps {
  readonly repo: Repo;
  /** Opens the vault; called only when a slot has to be checked in. */
  open(): Promise<OpenRepo>;
  /** Null when there is no OpenClaw here: then no slot can hold the identity. */
  readonly host: Host | null;
  /** As in CustodyDeps. */
  hostAt(stateDir: string): Promise<Host>;
  withLock<T>(work: () => Promise<T>): Promise<T>;
  critical<T>(work: () => Promise<T>): Promise<T>;
  readonly now: () => number;
}

/** What a removal would do, for the person to confirm. */
export interface Removal {
  readonly entry: IndexEntry;
  /** Slots that hold this identity now and would be cleared. */
  readonly slots: readonly { readonly slot: Slot; readonly reading: SlotReading }[];
  /** Sessions whose pin would be taken off, as `agent` and key. */
  readonly unpin: readonly { readonly agent: string; readonly key: string }[];
  /** The profile ids OpenClaw has left for its turns after the slot is cleared. */
  readonly next: readonly string[];
  readonly notes: readonly HostNote[];
}

/**
 * Previews a removal; writes nothing.
 * @throws LENT; IDENTITY_IN_USE when the identity is in a slot and `fromSlot` is false.
 */
export async function planRemoval(
  deps: Omit<RemoveDeps, 'open'>,
  entry: IndexEntry,
  fromSlot: boolean,
): Promise<Removal> {
  refuseLent(entry, ['access', 'grant']);
  const holding: { slot: Slot; reading: SlotReading }[] = [];
  const next = new Set<string>();
  const notes: HostNote[] = [];
  for (const slot of deps.host === null ? [] : await everySlot(deps.host)) {
    const reading = await readOrRefuse(slot, deps);
    if (holds(reading.occupant, entry.identity)) {
      holding.push({ slot, reading });
      for (const neighbour of reading.neighbours) next.add(neighbour.profileId);
    }
    // What lies beside an own slot, and an own slot itself, is told of by its own reading.
    const beside = isOwnSlot(slot.address.id) ? [] : reading.neighbours;
    const copies = beside.filter((one) => !isOwnSlot(one.profileId) && holds(one, entry.identity));
    for (const { profileId } of copies) {
      notes.push({
        code: 'COPY_LEFT',
        text: `OpenClaw's agent ${slot.address.agent} keeps its own copy as ${profileId}`,
      });
    }
  }
  const elsewhere = await placedElsewhere(entry, deps.repo, deps.host, deps.hostAt, notes);
  if (elsewhere?.kind === 'unknown') {
    // What another router has is no longer ours to clear; what is stored here may be forgotten.
    notes.push({ code: 'HELD_BY_OTHER', text: `${elsewhere.name} may still use this login` });
  } else if (elsewhere !== null) {
    throw new RouterError('IDENTITY_IN_USE', `${elsewhere.name} holds this login`, {
      hint: elsewhere.remedy,
    });
  }
  const first = holding[0];
  if (first !== undefined && !fromSlot) {
    throw new RouterError('IDENTITY_IN_USE', `it is active in ${first.slot.address.profileId} right now`, {
      hint: `${await wayOut(deps.host, first.slot)} first, or add --from-slot to clear the slot too`,
    });
  }
  const unpin: { agent: string; key: string }[] = [];
  const { host } = deps;
  if (host !== null && holding.length > 0) {
    await requireOwner(host, deps.repo);
    for (const { slot, reading } of holding) {
      const left = new Set(reading.neighbours.map(({ profileId }) => profileId));
      unpin.push(...(await pinsToTakeOff(host, slot, left)));
    }
  }
  return { entry, slots: holding, unpin, next: [...next], notes };
}

/** The command that takes an identity out of a slot. */
async function wayOut(host: Host | null, { address }: Slot): Promise<string> {
  const isOwn = host !== null && isOwnSlot(address.id);
  return isOwn ? leaveCommand(host, address.profileId) : 'codex-router use <another>';
}

/** Law 3: a store that cannot be read may hold it, however long nobody has put it there. @throws as `settledReading` */
async function readOrRefuse(slot: Slot, deps: SettledDeps): Promise<SlotReading> {
  try {
    return await settledReading(slot, deps);
  } catch (error) {
    if (!(error instanceof RouterError) || error.code !== 'SLOT_UNREADABLE') throw error;
    const { agent } = slot.address;
    throw new RouterError(error.code, error.message, {
      hint: `whether agent ${agent} holds this login cannot be told: mend its store or put a good copy back (openclaw doctor, codex-router status), then run the command again`,
    });
  }
}

/** Pins to a login that is gone, of every agent whose turns run on that slot. @param left the profile ids that stay */
export async function pinsToTakeOff(
  host: Host,
  { address }: Slot,
  left: ReadonlySet<string>,
): Promise<{ agent: string; key: string }[]> {
  if (isOwnSlot(address.id)) {
    const all = await pinsOfAll(host);
    return all.flatMap(({ agent, key, pinnedTo }) =>
      pinnedTo === address.profileId ? [{ agent, key }] : [],
    );
  }
  const follows = host.agents.includes(address.agent)
    ? (await host.slotsFor(address.agent)).follows
    : host.agents;
  const pinned: { agent: string; key: string }[] = [];
  for (const agent of follows) {
    for (const { key, pinnedTo } of await host.pinsOf(agent).read()) {
      if (pinnedTo?.startsWith(`${host.summary.provider}:`) && !left.has(pinnedTo))
        pinned.push({ agent, key });
    }
  }
  return pinned;
}

/**
 * Forgets the identity here; nothing is revoked at the server. A slot that held it is checked in and cleared first, pins
 * before content, so that no chat is left pinned to a login that is gone. What is done is decided anew under the lock.
 * @returns what was really done, which the person may have changed by another command since they were asked
 * @throws IDENTITY_IN_USE, SLOT_CHANGED when the slot is not what was confirmed
 */
export async function carryOutRemoval(
  deps: RemoveDeps,
  confirmed: Removal,
  fromSlot: boolean,
): Promise<Removal> {
  const repo = confirmed.slots.length > 0 ? await deps.open() : null;
  return deps.withLock(async () => {
    // While the person thought about it, another command may have routed this very identity.
    const removal = await planRemoval(deps, confirmed.entry, fromSlot);
    if (removal.slots.length > 0 && repo === null) throw slotTaken();
    return deps.critical(async () => {
      const notes = repo === null ? [] : await clearSlots(deps, repo, removal);
      await deps.repo.remove(identityKey(removal.entry.identity));
      if (repo !== null && deps.host !== null) notes.push(...(await renewClaim(deps.host, repo, deps.now())));
      return { ...removal, notes: [...removal.notes, ...notes] };
    });
  });
}

/**
 * Checks the slots of a removal in and clears them, pins before content. Under the router lock, and to be let end.
 * @throws SLOT_CHANGED; HOST_UNREADABLE for a pin that cannot be taken off
 */
export async function clearSlots(
  deps: Pick<RemoveDeps, 'host' | 'now'>,
  repo: OpenRepo,
  { slots, unpin }: Pick<Removal, 'slots' | 'unpin'>,
): Promise<HostNote[]> {
  const { host, now } = deps;
  if (host === null || slots.length === 0) return [];
  const notes: HostNote[] = [];
  await claimHost(host, repo, now());
  await takeOffPins(host, unpin);
  for (const { slot, reading } of slots) {
    if (reading.occupant.kind === 'login') {
      await (await planCheckIn(repo, reading.occupant, slot.address.id, now())).carryOut();
    }
    await slot.replace({ expect: reading.revision, put: null, takeOut: [] });
    const reload = await host.reload(slot, null);
    if (reload.advice) notes.push({ code: 'RELOAD_NEEDED', text: reload.advice });
    notes.push(...reload.notes);
  }
  return notes;
}

/** Takes pins off before what they point to goes. @throws HOST_UNREADABLE for one that cannot be; the others may be off then */
export async function takeOffPins(
  host: Host,
  pins: readonly { readonly agent: string; readonly key: string }[],
): Promise<void> {
  for (const { agent, key } of pins) {
    const pins = host.pinsOf(agent);
    const set = await pins.set([key], null);
    const [outcome] = (await pins.keep?.(set, null)) ?? set;
    if (outcome?.why !== undefined) throw stillPinned(key, outcome.why);
  }
}

function stillPinned(key: string, why: string): RouterError {
  return new RouterError('HOST_UNREADABLE', `${key} cannot be unpinned: ${why}`, {
    hint: 'then run the command again; the login is still stored and still in the slot',
  });
}

function slotTaken(): RouterError {
  return new RouterError('SLOT_CHANGED', 'it was put into a slot in the meantime', {
    hint: 'look with codex-router status, then run the command again',
  });
}

function holds(login: { readonly kind: string; readonly identity?: Identity }, identity: Identity): boolean {
  return login.kind === 'login' && login.identity !== undefined && sameIdentity(login.identity, identity);
}
