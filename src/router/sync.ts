import { RouterError } from '../errors.js';
import { type Identity, sameIdentity } from '../identity.js';
import type { OpenRepo } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import type { Slot, SlotAddress } from '../slot/slot.js';
import { runningIn } from './carry-out.js';
import type { CheckInResult } from './check-in.js';
import { planCheckIns } from './check-ins.js';
import { bringOwnHome, renewOwnSlot, withoutOwn } from './own-slot-home.js';
import { renewClaim, requireOwner } from './owner.js';
import { type RecoverDeps, recover } from './recover.js';
import { type RefreshDeps, type Refreshed, refreshOrFail } from './refresh.js';
import { type SettledDeps, settledGroup } from './settled.js';
import { switchTo } from './switch.js';

export interface SyncDeps extends RecoverDeps, Omit<RefreshDeps, 'host' | 'journal'> {
  readonly opening: Promise<OpenRepo>;
}

export interface SyncAnswer {
  readonly slots: readonly SyncedSlot[];
  /** Refreshes that had been interrupted, and what became of them now. */
  readonly refreshed: readonly Refreshed[];
  readonly notes: readonly HostNote[];
}

/** One slot and what came home from it. */
export interface SyncedSlot {
  readonly slot: SlotAddress;
  readonly occupant: Identity | null;
  readonly checkedIn: readonly { readonly identity: Identity; readonly result: CheckInResult }[];
}

/**
 * Brings the tokens of every slot of the host home, and to an end what a crash or a running turn left open. Puts nobody else into a slot.
 * @param waitMs ms to wait for running turns to end; null not to wait.
 * @throws HOST_OWNED, VAULT_ROLLED_BACK, KEY*, VAULT_*, BUSY; what one slot has against it is a note
 */
export async function sync(deps: SyncDeps, waitMs: number | null): Promise<SyncAnswer> {
  const { host } = deps;
  const notes: HostNote[] = [];
  if (waitMs !== null) notes.push(...(await turnsEnded(deps, waitMs)));
  const repo = await deps.opening;
  await requireOwner(host, repo);
  const refreshed = await settleSent(deps, repo);
  notes.push(...(await recover(deps, repo, { except: null, reapply: true })));
  const home = await deps.withLock(() => bringHome(deps, repo, host));
  notes.push(...home.notes);
  for (const stale of home.stale) notes.push(...(await putBack(deps, repo, stale)));
  return { slots: home.slots, refreshed, notes };
}

/** OpenClaw would spend the old grant a second time at its next refresh. */
async function putBack(
  deps: SyncDeps,
  repo: OpenRepo,
  { agent, who, own }: StaleSlot,
): Promise<readonly HostNote[]> {
  const name = who.email ?? who.accountId;
  try {
    const wish = { agent, session: { kind: 'none' } } as const;
    await deps.withGrantLock(who, () =>
      deps.withLock(async () => {
        if (own === undefined) await switchTo(deps, repo, who, wish);
        else await deps.critical(() => renewOwnSlot(deps, repo, own, who));
      }),
    );
    const text = `OpenClaw had written an older login of ${name} back: the stored one is in the slot again`;
    return [{ code: 'SLOT_REPAIRED', text }];
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    return [{ code: error.code, text: `the newer login of ${name} could not be put back: ${error.message}` }];
  }
}

/** Asks again about every grant whose refresh was sent and got no answer; the sooner, the likelier it is still accepted. */
export async function settleSent(deps: RefreshDeps, repo: OpenRepo): Promise<readonly Refreshed[]> {
  const settled: Refreshed[] = [];
  for (const entry of await repo.list()) {
    const { doubt } = entry;
    const one = doubt === 'refresh-sent' ? await refreshOrFail(deps, repo, entry, 'settle') : null;
    if (one !== null) settled.push(one);
  }
  return settled;
}

export interface HomeDeps extends SettledDeps {
  critical<T>(work: () => Promise<T>): Promise<T>;
  readonly now: () => number;
}

/** A slot in which the host has written a grant back that gave way to the stored one there. */
export interface StaleSlot {
  readonly agent: string;
  /** The own slot it is in; left out for the slot itself. */
  readonly own?: Slot;
  readonly who: Identity;
}

/**
 * Checks every slot of the host in, and every other profile of its stores that holds somebody stored. Under the router lock.
 * A slot that cannot be read is a note.
 */
export async function bringHome(
  deps: HomeDeps,
  repo: OpenRepo,
  host: Host,
): Promise<Pick<SyncAnswer, 'slots' | 'notes'> & { readonly stale: readonly StaleSlot[] }> {
  await requireOwner(host, repo);
  await repo.mend();
  const stale: StaleSlot[] = [];
  const slots: SyncedSlot[] = [];
  const notes: HostNote[] = [];
  const done = new Set<string>();
  for (const agent of host.agents) {
    try {
      const group = await host.slotsFor(agent);
      if (done.has(group.main.address.id)) continue;
      done.add(group.main.address.id);
      const known = await repo.list();
      const isKnown = (who: Identity) => known.some(({ identity }) => sameIdentity(identity, who));
      const readings = (await settledGroup(group, deps)).map(withoutOwn);
      const checkIns = await planCheckIns(repo, group, readings, isKnown, deps.now());
      notes.push(...checkIns.flatMap(({ note }) => note ?? []));
      await deps.critical(async () => {
        for (const checkIn of checkIns) {
          // Nothing is about to overwrite what is there, so it needs no back-up, least of all at every sync.
          if (checkIn.result !== 'repo-newer') await checkIn.carryOut();
        }
      });
      stale.push(
        ...checkIns.flatMap(({ isStale, kept }) => (isStale ? [{ agent, who: kept.identity }] : [])),
      );
      const occupant = readings[0]?.reading.occupant;
      slots.push({
        slot: group.main.address,
        occupant: occupant?.kind === 'login' ? occupant.identity : null,
        checkedIn: checkIns.map(({ kept, result }) => ({ identity: kept.identity, result })),
      });
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      notes.push({ code: error.code, text: `agent ${agent} was not checked in: ${error.message}` });
    }
  }
  const own = await bringOwnHome(deps, repo, host);
  slots.push(...own.slots);
  stale.push(...own.stale);
  notes.push(...own.notes);
  return { slots, stale, notes: [...notes, ...(await renewClaim(host, repo, deps.now()))] };
}

const POLL_MS = 500;

/** Waits until no turn runs in any agent of the host. */
async function turnsEnded({ host, signal, pause }: SyncDeps, waitMs: number): Promise<readonly HostNote[]> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    const running = await runningIn(host, host.agents);
    if (running === null) {
      const text = 'whether a turn is running cannot be told of this OpenClaw, so none was waited for';
      return [{ code: 'TURNS_UNKNOWN', text }];
    }
    if (running.size === 0) return [];
    if (performance.now() >= deadline) {
      const text = `a turn is still running in ${[...running].join(', ')}`;
      return [{ code: 'TURN_RUNNING', text }];
    }
    signal?.throwIfAborted();
    await pause(POLL_MS);
  }
}
