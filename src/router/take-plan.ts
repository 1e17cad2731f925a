import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { type Identity, sameIdentity } from '../identity.js';
import type { Journal, SwitchRecord, Who } from '../repo/journal.js';
import type { Host, HostNote } from '../slot/host.js';
import { isOwnSlot } from '../slot/own-slot.js';
import type { Slot, SlotChange, SlotReading } from '../slot/slot.js';
import { loginsIn } from './places.js';
import { type SettledDeps, settledReading } from './settled.js';
import { type PinMend, planPinMends } from './take-pins.js';

/** A login in a store, and the profile it is in. */
export interface Placed {
  readonly profileId: string;
  readonly login: Holding;
}

/**
 * Why a login stays: OpenClaw's order or lastGood names it before the others, it was used last, it is in the slot, it is the only
 * one, or the release keeps its agents on main's.
 */
export type Because = 'named' | 'used-last' | 'in-slot' | 'only' | 'main';

/** What becomes of one store of a native setup. */
export interface StoreTaking {
  readonly slot: Slot;
  readonly reading: SlotReading;
  /** Who is left, in the slot; null for a store that holds no login. */
  readonly stays: (Placed & { readonly because: Because }) | null;
  readonly goes: readonly Placed[];
  /** What is none of our business, or cannot be read. */
  readonly left: readonly { readonly profileId: string; readonly what: string }[];
  readonly put: SlotChange['put'];
  readonly takeOut: readonly string[];
  /** False for a store that is as it should be. */
  readonly changes: boolean;
}

/** How a native multi-profile OpenClaw becomes a routed one; nothing written yet. */
export interface TakingPlan {
  readonly stores: readonly StoreTaking[];
  readonly pins: readonly PinMend[];
  /** What follows the slots from then on. */
  readonly affects: { readonly agents: readonly string[]; readonly sessions: readonly string[] };
  readonly notes: readonly HostNote[];
}

export interface TakingDeps extends SettledDeps {
  readonly host: Host;
  /** Tells what an interrupted run had chosen. */
  readonly journal: Pick<Journal, 'read'>;
  readonly now: () => number;
}

/**
 * Decides for every store of every agent which login is left in its slot, and what happens to the others and to the pins on them.
 * @throws SLOT_FOREIGN when the main slot holds something that is no login and another login would have to go there; SLOT_UNREADABLE,
 *   HOST_*, IO: one store that cannot be read stops all, because what it holds could not be stored first
 */
export async function planTaking(deps: TakingDeps): Promise<TakingPlan> {
  const { host, now } = deps;
  const slots = await host.allSlots();
  const { tied } = await host.slotsFor(host.defaultAgent);
  const last = await lastRecords(deps);
  const stores: StoreTaking[] = [];
  const notes: HostNote[] = [...host.summary.notes];
  for (const slot of slots) {
    const reading = await settledReading(slot, deps);
    const main = tied ? (stores[0]?.stays ?? null) : null;
    stores.push(planStore(slot, reading, main, chosenBefore(last.get(slot.address.id)), now()));
    if (stores.length === 1) refuseForeignMain(stores[0]);
  }
  const mended = mendChoosers(stores);
  if (tied && mended.length > 1) notes.push(tiedNote(mended));
  const { pins, affects } = await planPinMends(host, mended);
  return { stores: mended, pins, affects, notes };
}

/** The last switch of each slot. */
async function lastRecords({ journal }: Pick<TakingDeps, 'journal'>) {
  return new Map((await journal.read()).map((record) => [record.slot, record]));
}

/** Whether a run was killed in the middle: whoever comes next finishes it. */
export async function isUnfinished({ host, journal }: TakingDeps): Promise<boolean> {
  const ids = (await host.allSlots()).map(({ address }) => address.id);
  const steps = [...(await lastRecords({ journal }))].flatMap(([id, { step }]) =>
    ids.includes(id) ? [step] : [],
  );
  return steps.some((step) => step === 'begun' || step === 'swapped');
}

/** Who was to stay, where a run was killed before the slot was written: of two files its order may be the new one already. */
function chosenBefore(record: SwitchRecord | undefined): Who | null {
  if (record === undefined || (record.step !== 'begun' && record.step !== 'abandoned')) return null;
  const { from, to } = record;
  return from !== null && to !== null && sameIdentity(from, to) ? to : null;
}

function planStore(
  slot: Slot,
  reading: SlotReading,
  main: Placed | null,
  before: Who | null,
  now: number,
): StoreTaking {
  const { profileId } = slot.address;
  const { occupant } = reading;
  const logins = loginsIn(slot, reading).filter((one) => !isOwnSlot(one.profileId));
  const left = reading.neighbours.flatMap((one) => {
    const what = one.kind === 'foreign' ? one.what : 'a slot of its own for some sessions';
    return one.kind === 'foreign' || isOwnSlot(one.profileId) ? [{ profileId: one.profileId, what }] : [];
  });
  const nothing = { slot, reading, stays: null, goes: [], put: 'keep', takeOut: [], changes: false } as const;
  if (occupant.kind === 'foreign') {
    const others = logins.map((one) => ({
      profileId: one.profileId,
      what: 'a login that has no slot to go to',
    }));
    return { ...nothing, left: [{ profileId, what: occupant.what }, ...left, ...others] };
  }
  const chosen =
    main !== null && logins.length > 0
      ? { ...main, because: 'main' as const }
      : choose(reading, logins, profileId, before, now);
  if (chosen === null) return { ...nothing, left };
  const inSlot =
    occupant.kind === 'login' && occupant.grant.refreshToken.equals(chosen.login.grant.refreshToken);
  const goes = logins.filter(
    (one) =>
      !one.login.grant.refreshToken.equals(chosen.login.grant.refreshToken) ||
      (inSlot && one.profileId !== profileId),
  );
  const put = inSlot ? 'keep' : plain(chosen.login);
  const takeOut = logins.flatMap((one) => (one.profileId === profileId ? [] : [one.profileId]));
  const changes = put !== 'keep' || takeOut.length > 0 || !reading.selectable;
  return { slot, reading, stays: chosen, goes, left, put, takeOut, changes };
}

/** The login that this store's turns run on now, as far as the store tells. */
function choose(
  { named }: SlotReading,
  logins: readonly Placed[],
  slotId: string,
  before: Who | null,
  now: number,
): StoreTaking['stays'] {
  const [first, second] = logins;
  if (first === undefined) return null;
  if (second === undefined) return { ...first, because: 'only' };
  const begun = logins.filter(({ login }) => before !== null && sameIdentity(login.identity, before)).at(-1);
  if (begun !== undefined) return { ...begun, because: 'named' };
  const inOrder = named.flatMap((id) => logins.find(({ profileId }) => profileId === id) ?? []);
  // OpenClaw passes over one that is cooling down, as long as another one is not.
  const next = inOrder.find(({ login }) => !isCooling(login, now)) ?? inOrder[0];
  if (next !== undefined) return { ...next, because: 'named' };
  const used = [...logins].sort((a, b) => lastUsed(b.login) - lastUsed(a.login))[0];
  if (used !== undefined && lastUsed(used.login) > 0) return { ...used, because: 'used-last' };
  const inSlot = logins.find(({ profileId }) => profileId === slotId);
  return inSlot === undefined ? { ...first, because: 'named' } : { ...inSlot, because: 'in-slot' };
}

function isCooling({ selection }: Holding, now: number): boolean {
  const ends = [selection?.cooldownUntil, selection?.disabledUntil, selection?.blockedUntil];
  return ends.some((until) => typeof until === 'number' && until > now);
}

function lastUsed({ selection }: Holding): number {
  const at = selection?.lastUsed;
  return typeof at === 'number' ? at : 0;
}

/** A store without a login, whose order would choose among logins that are gone from the main one. */
function mendChoosers(stores: readonly StoreTaking[]): readonly StoreTaking[] {
  const gone = new Set(stores.flatMap(({ takeOut }) => takeOut));
  return stores.map((store) => {
    const { stays, reading, left } = store;
    const names = reading.named.some((id) => gone.has(id) && !left.some(({ profileId }) => profileId === id));
    const isFree = stays === null && reading.occupant.kind === 'absent';
    return isFree && names ? { ...store, changes: true } : store;
  });
}

function plain({ identity, grant, hostFields, selection }: Holding): Holding {
  return { identity, grant, hostFields, selection };
}

function refuseForeignMain(main: StoreTaking | undefined): void {
  if (main === undefined || main.reading.occupant.kind !== 'foreign') return;
  const { profileId, agent } = main.slot.address;
  throw new RouterError(
    'SLOT_FOREIGN',
    `${profileId} of agent ${agent} holds ${main.reading.occupant.what}, which codex-router does not overwrite`,
    {
      hint: 'move it to another profile id in OpenClaw, or name another slot with --slot; nothing was changed',
    },
  );
}

function tiedNote(stores: readonly StoreTaking[]): HostNote {
  const agents = stores.map(({ slot }) => slot.address.agent).join(', ');
  return { code: 'AGENTS_TIED', text: `this release keeps its agents on main's login: ${agents}` };
}

/** Whether a login of this identity is left in some slot. */
export function staysSomewhere(stores: readonly StoreTaking[], who: Identity): boolean {
  return stores.some(({ stays }) => stays !== null && sameIdentity(stays.login.identity, who));
}
