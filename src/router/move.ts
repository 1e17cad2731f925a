import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { identityKey } from '../identity.js';
import type { Fingerprint, IndexEntry, OpenRepo } from '../repo/repo.js';
import type { Host, HostNote, SlotGroup } from '../slot/host.js';
import type { Slot, SlotReading } from '../slot/slot.js';
import { type CheckIn, planCheckIn } from './check-in.js';
import { alsoHeld } from './check-ins.js';
import type { Holder, OutsideHolder, SlotHolder } from './custody.js';
import { claimHost, renewClaim, requireOwner } from './owner.js';
import { loginsIn, neighbourId } from './places.js';
import { pinsToTakeOff, takeOffPins } from './remove.js';
import type { SwitchPlan } from './switch-plan.js';

/** One place that a login is taken out of, once it is stored and before it goes into the slot. */
export type Move = SlotMove | OutsideMove;

interface SlotMove {
  readonly kind: 'slot';
  readonly name: string;
  readonly host: Host;
  readonly slot: Slot;
  readonly reading: SlotReading;
  /** Whether the slot's own entry goes, beside what lies next to it. */
  readonly clears: boolean;
  readonly takeOut: readonly string[];
  /** Sessions whose pin would point to nothing then, as `agent` and key. */
  readonly unpin: readonly { readonly agent: string; readonly key: string }[];
}

interface OutsideMove {
  readonly kind: 'outside';
  readonly name: string;
  readonly outside: OutsideHolder;
  readonly login: Holding;
}

export interface MovePlan {
  readonly moves: readonly Move[];
  /** How what is taken comes home first. */
  readonly checkIns: readonly CheckIn[];
}

/**
 * Decides how a login is taken from everybody else who holds it; nothing is written.
 * @param earlier the check-ins that are carried out before these.
 * @throws IDENTITY_IN_USE for a holder it cannot be taken from; AGENTS_TIED where the release would bring it back; HOST_OWNED and
 *   VAULT_ROLLED_BACK for another OpenClaw that is not ours; what `OutsideHolder.taking.admit` throws
 */
export async function planMoves(
  repo: OpenRepo,
  entry: IndexEntry,
  holders: readonly Holder[],
  earlier: readonly CheckIn[],
  now: number,
): Promise<MovePlan> {
  const checkIns: CheckIn[] = [];
  const moves: Move[] = [];
  const add = (held: Holding, checkIn: CheckIn) => {
    const kept = alsoHeld(repo, held, checkIn, [...earlier, ...checkIns]);
    if (kept !== null) checkIns.push(kept);
  };
  const inSlots = holders.filter((holder) => holder.kind === 'slot');
  for (const { host, slot } of firstOfEach(inSlots)) {
    const here = inSlots.filter((holder) => holder.slot.address.id === slot.address.id);
    await requireOwner(host, repo);
    const group = host.agents.includes(slot.address.agent) ? await host.slotsFor(slot.address.agent) : null;
    if (group !== null) refuseTied(group, slot, inSlots);
    for (const { login, profileId } of here) {
      add(login, await planCheckIn(repo, login, placeIn(slot, profileId, group), now));
    }
    moves.push(await slotMove(here));
  }
  for (const holder of holders) {
    if (holder.kind === 'slot') continue;
    const taking = holder.kind === 'outside' ? holder.outside.taking : undefined;
    if (holder.kind !== 'outside' || taking === undefined) throw inUse(holder, null);
    await taking.admit();
    const { name, outside, login } = holder;
    add(login, await planFromOutside(repo, entry, login));
    moves.push({ kind: 'outside', name, outside, login });
  }
  return { moves, checkIns };
}

/** @param command the one that takes it from there; null where none does. */
export function inUse({ name, remedy }: Holder, command: string | null): RouterError {
  const message = `${name} holds this very login, and one login serves one holder`;
  const hint = command === null ? remedy : `${command} takes it from there; or ${remedy}`;
  return new RouterError('IDENTITY_IN_USE', message, { hint });
}

function firstOfEach(holders: readonly SlotHolder[]): readonly SlotHolder[] {
  const ids = holders.map(({ slot }) => slot.address.id);
  return holders.filter(({ slot }, place) => ids.indexOf(slot.address.id) === place);
}

async function slotMove(here: readonly (SlotHolder & { readonly name: string })[]): Promise<Move> {
  const [first] = here;
  if (first === undefined) throw new Error('a move without a holder');
  const { name, host, slot, reading } = first;
  const gone = new Set(here.map(({ profileId }) => profileId));
  const own = slot.address.profileId;
  const all = [own, ...reading.neighbours.map(({ profileId }) => profileId)];
  const left = new Set(
    all.filter((id) => !gone.has(id) && (id !== own || reading.occupant.kind !== 'absent')),
  );
  const unpin = await pinsToTakeOff(host, slot, left);
  const takeOut = [...gone].filter((id) => id !== own);
  return { kind: 'slot', name, host, slot, reading, clears: gone.has(own), takeOut, unpin };
}

/** A copy that its release makes of main's login is known by main's place. */
function placeIn(slot: Slot, profileId: string, group: SlotGroup | null): string {
  const isCopy = group?.copies.some(({ address }) => address.id === slot.address.id) ?? false;
  const { address } = isCopy && group !== null && profileId === slot.address.profileId ? group.main : slot;
  return neighbourId(address, profileId === slot.address.profileId ? address.profileId : profileId);
}

/** Where a release keeps its agents on one login, taking it from one of them would only last until the next start. */
function refuseTied(group: SlotGroup, slot: Slot, taken: readonly SlotHolder[]): void {
  const ids = taken.map((holder) => holder.slot.address.id);
  if (!group.tied || [group.main, ...group.copies].every(({ address }) => ids.includes(address.id))) return;
  throw new RouterError(
    'AGENTS_TIED',
    `the login cannot be taken from agent ${slot.address.agent} alone: this release keeps ${group.follows.join(', ')} on one login`,
    { hint: `codex-router use <another> --state-dir <there> first, which switches all of them` },
  );
}

/** What is outside is the stored grant, or what its other holder made of it: a shared one that differs was rotated there. */
async function planFromOutside(repo: OpenRepo, entry: IndexEntry, held: Holding): Promise<CheckIn> {
  const stored = await repo.load(identityKey(entry.identity));
  const fingerprint = repo.fingerprint(held.grant);
  const same = fingerprint === entry.fingerprint;
  const fresher = !same || held.grant.expiresAt > stored.grant.expiresAt;
  const grant = {
    ...held.grant,
    idToken: held.grant.idToken ?? stored.grant.idToken,
    provenance: held.grant.provenance ?? stored.grant.provenance,
  };
  const kept: Holding = fresher ? { ...stored, grant } : stored;
  const carryOut = async () => {
    if (!same) await repo.backUp(stored, 'the Codex CLI held a newer grant of this identity');
    if (fresher) await repo.save(kept);
  };
  return { result: same ? 'unchanged' : 'taken-home', kept, fingerprint, carryOut };
}

/** What outlives an attempt of a switch: who was taken from already. */
export interface Moved {
  moved?: Move[];
}

/**
 * Takes the login out of every place of the plan, each under its own holder's locks, after the check-ins and before it is written
 * anywhere. A crash in between leaves it in the repo alone.
 * @returns the plan as it is to be carried out now
 * @throws SLOT_CHANGED when a holder changed it meanwhile: plan again; what `Slot.replace` and `take` throw
 */
export async function carryOutMoves(
  { now }: { readonly now: () => number },
  repo: OpenRepo,
  plan: SwitchPlan,
  begun: Moved,
): Promise<{ readonly plan: SwitchPlan; readonly notes: readonly HostNote[] }> {
  if (plan.moves.length === 0) return { plan, notes: [] };
  const notes: HostNote[] = [];
  const key = identityKey(plan.entry.identity);
  let { slots } = plan;
  for (const move of plan.moves) {
    try {
      if (move.kind === 'outside') notes.push(...(await takeFromOutside(repo, move, plan.fingerprint)));
      else {
        const after = await takeFromSlot(repo, move, plan.fingerprint, notes, now);
        slots = slots.map((each) =>
          each.slot.address.id === move.slot.address.id ? { ...each, reading: after } : each,
        );
      }
    } catch (error) {
      throw withTaken(error, begun);
    }
    begun.moved = [...(begun.moved ?? []), move];
  }
  // It lies nowhere but in the repo now; a switch that fails from here on must not say otherwise.
  const entry = await repo.place(key, null);
  return { plan: { ...plan, entry, slots }, notes };
}

/** What `--move` had taken out elsewhere is no longer there: whoever reads "nothing was changed" would be misled. */
export function withTaken(error: unknown, { moved = [] }: Moved): unknown {
  if (moved.length === 0 || !(error instanceof RouterError)) return error;
  const from = moved.map(({ name }) => name).join(' and ');
  const message = `${error.message}; it has been taken from ${from} and is stored here`;
  return new RouterError(error.code, message, { hint: 'run the command again to finish it', cause: error });
}

async function takeFromSlot(
  repo: OpenRepo,
  { host, slot, reading, clears, takeOut, unpin }: SlotMove,
  fingerprint: Fingerprint,
  notes: HostNote[],
  now: () => number,
): Promise<SlotReading> {
  await claimHost(host, repo, now());
  await takeOffPins(host, unpin);
  // A slot without an entry of its own has nothing to be kept selectable.
  const put = clears || reading.occupant.kind === 'absent' ? null : 'keep';
  const after = await slot.replace({ expect: reading.revision, put, takeOut });
  if (loginsIn(slot, after).some(({ login }) => repo.fingerprint(login.grant) === fingerprint)) {
    throw new RouterError(
      'SLOT_CHANGED',
      `agent ${slot.address.agent} still held the login when it was read back`,
      {
        hint: 'codex-router doctor, then run the command again; the login is stored',
      },
    );
  }
  const { occupant } = after;
  const reload = await host.reload(slot, occupant.kind === 'login' ? occupant.grant.expiresAt : null);
  if (reload.advice !== null) notes.push({ code: 'RELOAD_NEEDED', text: reload.advice });
  notes.push(...reload.notes, ...(await renewClaim(host, repo, now())));
  return after;
}

async function takeFromOutside(
  repo: OpenRepo,
  { name, outside, login }: OutsideMove,
  fingerprint: Fingerprint,
): Promise<readonly HostNote[]> {
  const key = identityKey(login.identity);
  await outside.taking?.take(login, async (found) => {
    // Rotated since it was read: what was planned would put a spent one into the slot.
    if (repo.fingerprint(found.grant) !== repo.fingerprint(login.grant)) throw rotated(name);
    const stored = await repo.load(key);
    if (repo.fingerprint(stored.grant) !== fingerprint) throw rotated(name);
  });
  await repo.save(await repo.load(key), { sharedWith: null });
  return [{ code: 'TAKEN', text: `${name} is signed out now: its programs still running should be closed` }];
}

function rotated(name: string): RouterError {
  return new RouterError('SLOT_CHANGED', `${name} refreshed the login at the same moment`, {
    hint: 'run the command again; nothing was taken',
  });
}
