import { RouterError } from '../errors.js';
import { sameIdentity } from '../identity.js';
import type { SwitchRecord } from '../repo/journal.js';
import type { IndexEntry, OpenRepo } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import { ownSlotNumber } from '../slot/own-slot.js';
import type { Slot } from '../slot/slot.js';
import { runningIn } from './carry-out.js';
import { planCheckIn } from './check-in.js';
import { LONGEST_TURN } from './chosen-pins.js';
import { pinsOfAll } from './every-slot.js';
import {
  emptyOwnSlot,
  forgetPlace,
  type OwnWriteDeps,
  pinAll,
  stillAsBefore,
  targetsFor,
} from './own-slot-writes.js';
import { parsePlace, storeOf } from './places.js';
import { nameOf } from './resolve.js';
import { settledReading } from './settled.js';

/** The own slot of this host that a record is about, and the profile its sessions go back to; null for any other slot. */
export async function ownSlotOf(
  host: Host,
  id: string,
): Promise<{ readonly slot: Slot; readonly back: string } | null> {
  const n = ownSlotNumber(id);
  if (n === null || parsePlace(id)?.stateDir !== host.summary.stateDir) return null;
  for (const agent of host.agents) {
    try {
      const slot = await host.ownSlot(agent, n);
      if (slot.address.id !== id) continue;
      const beside = (await host.allSlots()).find(({ address }) => storeOf(address.id) === storeOf(id));
      return beside === undefined ? null : { slot, back: beside.address.profileId };
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
    }
  }
  return null;
}

/**
 * Brings one record of an own slot to its end: what was on its way in is finished where the login is there and taken back where it is
 * not; what was on its way out goes out. Under the router lock.
 */
export async function recoverOwn(
  deps: OwnWriteDeps,
  repo: OpenRepo,
  { slot, back }: { readonly slot: Slot; readonly back: string },
  record: SwitchRecord,
): Promise<readonly HostNote[]> {
  const { to, from, step } = record;
  const isLeaving = record.pins.some(({ was }) => was === slot.address.profileId) || to === null;
  if (isLeaving) return goOut(deps, repo, { slot, back }, record);
  const { occupant } = await settledReading(slot, deps);
  const end = (how: 'done' | 'abandoned') => deps.journal.advance(record.id, how, deps.now());
  const entry = (await repo.list()).find(({ identity }) => to !== null && sameIdentity(identity, to));
  const isThere = occupant.kind === 'login' && to !== null && sameIdentity(occupant.identity, to);
  if (!isThere) {
    if (to !== null) await forgetPlace(repo, to, slot);
    await end(step === 'begun' ? 'abandoned' : 'done');
    const who = entry === undefined ? 'a login' : nameOf(entry);
    return step === 'begun' ? [takenBack(who, slot)] : [];
  }
  // A rotation on its first turn is what a crash must not lose sight of.
  await (await planCheckIn(repo, occupant, slot.address.id, deps.now())).carryOut();
  if (from !== null && to !== null && !sameIdentity(from, to)) await forgetPlace(repo, from, slot);
  const old = await stillAsBefore(deps.host, record.pins);
  const agents = [...new Set(record.pins.map(({ agent }) => agent))];
  const running = await runningIn(deps.host, agents);
  const mended = await pinAll(
    deps,
    targetsFor(deps.host, old, slot.address.profileId),
    slot.address.profileId,
    running,
  );
  if (mended.failed) return mended.notes;
  const open = mayRun(deps, record, running) || mended.outcomes.some(({ result }) => result === 'pending');
  if (step !== 'applied' || !open)
    await (open ? deps.journal.advance(record.id, 'applied', deps.now()) : end('done'));
  const said = step === 'applied' ? repairedNotes(old.length) : [finished(entry, slot)];
  return [...said, ...mended.notes];
}

async function goOut(
  deps: OwnWriteDeps,
  repo: OpenRepo,
  { slot, back }: { readonly slot: Slot; readonly back: string },
  record: SwitchRecord,
): Promise<readonly HostNote[]> {
  const { profileId } = slot.address;
  const isEmptied = record.to === null;
  const meant = new Set(record.pins.map(({ agent, key }) => `${agent} ${key}`));
  const pinned = (await pinsOfAll(deps.host)).filter(({ pinnedTo }) => pinnedTo === profileId);
  const there = pinned.filter(({ agent, key }) => meant.has(`${agent} ${key}`));
  const sessions = there.map(({ agent, key }) => ({ agent, key, was: profileId }));
  const agents = [...new Set(record.pins.map(({ agent }) => agent))];
  const running = await runningIn(deps.host, agents);
  const pins = await pinAll(deps, targetsFor(deps.host, sessions, back), back, running);
  if (pins.failed) return pins.notes;
  const others = pinned.length > there.length;
  // Somebody pinned to it since is not to be left without a login.
  if (isEmptied && !others) await emptyOwnSlot(deps, repo, slot);
  const open = mayRun(deps, record, running) || pins.outcomes.some(({ result }) => result === 'pending');
  if (record.step !== 'applied' || !open)
    await deps.journal.advance(record.id, open ? 'applied' : 'done', deps.now());
  if (record.step === 'applied') return [...repairedNotes(sessions.length), ...pins.notes];
  const text = `the leaving of ${profileId} had been interrupted; it is finished now`;
  return [{ code: 'FINISHED', text }, ...pins.notes];
}

/** Whether a turn that began before the record's last line may still be on its way. @param running null: it cannot be told */
function mayRun(
  { now }: Pick<OwnWriteDeps, 'now'>,
  { at }: SwitchRecord,
  running: ReadonlySet<string> | null,
): boolean {
  return running === null ? now() - at < LONGEST_TURN : running.size > 0;
}

function repairedNotes(count: number): readonly HostNote[] {
  if (count === 0) return [];
  const text = `OpenClaw had written over ${count} session pin(s) of an own slot: they are set again`;
  return [{ code: 'PINS_REPAIRED', text }];
}

function finished(entry: IndexEntry | undefined, { address }: Slot): HostNote {
  const who = entry === undefined ? 'a login' : nameOf(entry);
  const text = `the move of ${who} into ${address.profileId} had been interrupted; it is finished now`;
  return { code: 'FINISHED', text };
}

function takenBack(who: string, { address }: Slot): HostNote {
  const text = `the move of ${who} into ${address.profileId} had been interrupted before it was written: it counts as never made`;
  return { code: 'TAKEN_BACK', text };
}
