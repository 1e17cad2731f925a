import { RouterError } from '../errors.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { PinChange, SwitchRecord, Who } from '../repo/journal.js';
import type { IndexEntry, OpenRepo } from '../repo/repo.js';
import type { Host, HostNote, SlotGroup } from '../slot/host.js';
import type { Occupant } from '../slot/slot.js';
import { runningIn } from './carry-out.js';
import { recoverChoices } from './chosen-pins.js';
import { ownSlotOf, recoverOwn } from './own-slot-recover.js';
import { nameOf } from './resolve.js';
import { settledReading } from './settled.js';
import { type SwitchDeps, switchTo } from './switch.js';

export interface RecoverDeps extends SwitchDeps {
  withLock<T>(work: () => Promise<T>, waitMs?: number): Promise<T>;
  withGrantLock<T>(who: Who, work: () => Promise<T>): Promise<T>;
}

export interface RecoverWish {
  /** The switch that is about to be made anyway finishes its own record. */
  readonly except: { readonly slot: string; readonly to: Identity } | null;
  /** Puts a switch back that the host has written over with what it held before; else that is only said. */
  readonly reapply: boolean;
}

/**
 * Brings every switch of this host to an end that a crash left half done, or that a running turn may have written over: finished where the
 * slot holds the new identity, taken back where nothing had been written. Says each that was not as it should be; nothing when all is well.
 * What cannot be mended now is a note and stays open. Called without any lock.
 */
export async function recover(
  deps: RecoverDeps,
  repo: OpenRepo,
  wish: RecoverWish,
): Promise<readonly HostNote[]> {
  const notes: HostNote[] = [...(await recoverChoices(deps))];
  for (const { id, slot, to } of await openRecords(deps)) {
    if (wish.except?.slot === slot && to !== null && sameIdentity(wish.except.to, to)) continue;
    const group = await groupOf(deps.host, slot);
    const own = group === null ? await ownSlotOf(deps.host, slot) : null;
    if (group === null && own === null) continue;
    const work = async () => {
      const record = (await openRecords(deps)).find((open) => open.id === id);
      if (record === undefined) return;
      if (group !== null) notes.push(...(await recoverOne(deps, repo, group, record, wish.reapply)));
      else if (own !== null) notes.push(...(await deps.critical(() => recoverOwn(deps, repo, own, record))));
    };
    try {
      const locked = () => deps.withLock(work);
      await (to === null ? locked() : deps.withGrantLock(to, locked));
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      const text = `an earlier switch to ${await whoIs(repo, to)} could not be brought to its end: ${error.message}`;
      notes.push({ code: error.code, text });
    }
  }
  return notes;
}

/** The last switch of each slot, where it is not at its end. */
async function openRecords({ journal }: RecoverDeps): Promise<readonly SwitchRecord[]> {
  const last = new Map<string, SwitchRecord>();
  for (const record of await journal.read()) last.set(record.slot, record);
  return [...last.values()].filter(({ step }) => step !== 'done' && step !== 'abandoned');
}

/** Null for a slot that this host does not have (any more). */
async function groupOf(host: Host, slot: string): Promise<SlotGroup | null> {
  for (const agent of host.agents) {
    try {
      const group = await host.slotsFor(agent);
      if (group.main.address.id === slot) return group;
    } catch (error) {
      // A store that cannot be read is told of by who needs it.
      if (!(error instanceof RouterError)) throw error;
    }
  }
  return null;
}

async function recoverOne(
  deps: RecoverDeps,
  repo: OpenRepo,
  group: SlotGroup,
  record: SwitchRecord,
  reapply: boolean,
): Promise<readonly HostNote[]> {
  const { to, from, step } = record;
  const { occupant } = await settledReading(group.main, deps);
  const who = await whoIs(repo, to);
  const end = (how: 'done' | 'abandoned') => deps.journal.advance(record.id, how, deps.now());
  const entry = to === null ? null : await entryFor(repo, to);
  if (to === null || entry === null) {
    await end(holds(occupant, to) ? 'done' : 'abandoned');
    return [];
  }
  const pins = await stillOld(deps.host, record.pins);
  const again = () =>
    switchTo(deps, repo, entry.identity, { agent: group.agent, session: { kind: 'again', pins } });
  if (holds(occupant, to)) {
    if (step !== 'applied') {
      const { done } = await again();
      return done.notes.filter(({ code }) => code === 'FINISHED');
    }
    if (pins.length === 0) {
      const running = await runningIn(deps.host, group.follows);
      if (running === null || running.size === 0) await end('done');
      return [];
    }
    await again();
    const text = `OpenClaw had written over ${pins.length} session pin(s) of the switch to ${who}: they are set again`;
    return [{ code: 'PINS_REPAIRED', text }];
  }
  if (step === 'begun') {
    await forget(repo, to, record.slot);
    await end('abandoned');
    return [
      {
        code: 'TAKEN_BACK',
        text: `an earlier switch to ${who} had been interrupted before it reached the slot: it counts as never made, and what it had taken is stored`,
      },
    ];
  }
  const since = `the slot no longer holds ${who}, whom the last switch had put there`;
  if (!(await isOld(repo, occupant, from))) {
    await end('done');
    // What a failed refresh of the host left is told of by whoever looks at the slot.
    const isLost = occupant.kind === 'lost' || occupant.kind === 'refreshing';
    return isLost ? [] : [{ code: 'SLOT_CHANGED', text: `${since}: it was changed since` }];
  }
  if (!reapply) {
    await end('done');
    return [{ code: 'SLOT_OVERWRITTEN', text: `${since}: OpenClaw has written the one before back over it` }];
  }
  await again();
  return [
    { code: 'SLOT_REPAIRED', text: `OpenClaw had written over the switch to ${who}: it is made again` },
  ];
}

/** Whether the slot is as it was before a switch: empty, or with a grant of `from` that is stored or was. Another one is a new login. */
async function isOld(repo: OpenRepo, occupant: Occupant, from: Who | null): Promise<boolean> {
  if (!holds(occupant, from) || occupant.kind !== 'login' || from === null) return holds(occupant, from);
  const entry = await entryFor(repo, from);
  const print = repo.fingerprint(occupant.grant);
  return entry !== null && (entry.fingerprint === print || entry.former.includes(print));
}

/** The pins that are as they were before the switch; one that is something else by now was chosen since. */
async function stillOld(host: Host, pins: readonly PinChange[]): Promise<readonly PinChange[]> {
  const old: PinChange[] = [];
  for (const agent of new Set(pins.map((pin) => pin.agent))) {
    const pinnedTo = new Map((await host.pinsOf(agent).read()).map((entry) => [entry.key, entry.pinnedTo]));
    old.push(...pins.filter((pin) => pin.agent === agent && pinnedTo.get(pin.key) === pin.was));
  }
  return old;
}

/** Whether a slot holds this identity; for null, whether it is empty. */
export function holds(occupant: Occupant, who: Who | null): boolean {
  if (who === null) return occupant.kind === 'absent';
  return occupant.kind === 'login' && sameIdentity(occupant.identity, who);
}

async function entryFor(repo: OpenRepo, who: Who): Promise<IndexEntry | null> {
  return (await repo.list()).find(({ identity }) => sameIdentity(identity, who)) ?? null;
}

/** What was noted before the write does not hold: it was never made. */
async function forget(repo: OpenRepo, who: Who, slot: string): Promise<void> {
  const entry = await entryFor(repo, who);
  if (entry?.placement?.slot === slot) await repo.place(identityKey(entry.identity), null);
}

async function whoIs(repo: OpenRepo, who: Who | null): Promise<string> {
  if (who === null) return 'an empty slot';
  const entry = await entryFor(repo, who);
  return entry === null ? who.accountId : nameOf(entry);
}
