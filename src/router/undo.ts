import { RouterError } from '../errors.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { PinChange, SwitchRecord, Who } from '../repo/journal.js';
import type { IndexEntry, OpenRepo } from '../repo/repo.js';
import type { HostNote, ReloadOutcome, SlotGroup } from '../slot/host.js';
import { isOwnSlot } from '../slot/own-slot.js';
import type { PinOutcome } from '../slot/pins.js';
import { agentMeant, currentSession, keyMeant, type SessionWish } from '../slot/session.js';
import type { SlotAddress } from '../slot/slot.js';
import { meantSession } from './chat-session.js';
import { planCheckIns } from './check-ins.js';
import { refuseUnfit, settleWanted } from './doubt.js';
import { renewClaim, requireOwner } from './owner.js';
import { holds, recover } from './recover.js';
import { entryOf } from './resolve.js';
import { settledGroup, settledReading } from './settled.js';
import { switchTo } from './switch.js';
import type { SyncDeps } from './sync.js';

export interface UndoRequest {
  readonly agent: string | null;
  readonly dryRun: boolean;
}

export interface UndoAnswer {
  readonly result: 'undone' | 'planned';
  readonly slot: SlotAddress;
  /** Who leaves the slot, and who comes back; null for an empty slot. */
  readonly from: Identity | null;
  readonly to: IndexEntry | null;
  readonly pins: readonly PinOutcome[];
  readonly reload: ReloadOutcome | null;
  readonly notes: readonly HostNote[];
  /** The switch that is taken back. */
  readonly undoes: SwitchRecord;
}

/**
 * Takes the last switch of the agent's slot back that was not taken back yet: the identity before it returns with its newest tokens, and
 * the pins it had set are as they were. Twice takes back two.
 * @throws NOTHING_TO_UNDO, also where the slot no longer holds what that switch put there; IDENTITY_NOT_FOUND when who would come back
 *   was removed; otherwise as `use`
 */
export async function undo(deps: SyncDeps, request: UndoRequest): Promise<UndoAnswer> {
  const { host } = deps;
  const repo = await deps.opening;
  const here = await meantSession(host, { kind: 'current' }, deps.env);
  const agent = request.agent ?? agentMeant(here, deps.env) ?? host.defaultAgent;
  await requireOwner(host, repo);
  const earlier = request.dryRun ? [] : await recover(deps, repo, { except: null, reapply: false });
  const found = await undoable(deps, agent).catch((error: unknown) => {
    throw withEarlier(error, earlier);
  });
  const { from } = found.record;
  const settled =
    request.dryRun || from === null
      ? []
      : await settleWanted(deps, repo, (await stored(repo, from)).identity);
  const work = () =>
    deps.withLock(async () => {
      const { record, group } = await undoable(deps, agent);
      if (record.id !== found.record.id) throw changed();
      const to = record.from === null ? null : await stored(repo, record.from);
      const plan = { slot: group.main.address, from: await whoIn(group), to, undoes: record };
      if (request.dryRun) {
        const pins = (await theirsToPutBack(deps, group, record)).map(({ key, was }) => ({
          key,
          was: group.main.address.profileId,
          is: was,
          result: 'set' as const,
        }));
        return { ...plan, result: 'planned' as const, pins, reload: null, notes: group.notes };
      }
      if (to !== null) refuseUnfit(to, deps.now());
      // No chat may be left pinned to a slot that is empty; one that is pinned to a slot a moment too long follows it.
      const before = to === null ? await putPinsBack(deps, group, record) : null;
      const chat = await chatOf(deps, agent, here);
      const { reload, notes } =
        to === null
          ? await clear(deps, repo, group, record)
          : await back(deps, repo, to, { agent, record, chat });
      const pins = before ?? (await putPinsBack(deps, group, record));
      const said = [
        ...earlier,
        ...settled,
        ...pins.notes,
        ...notes,
        ...(await renewClaim(host, repo, deps.now())),
      ];
      return { ...plan, result: 'undone' as const, pins: pins.outcomes, reload, notes: said };
    });
  return from === null ? work() : deps.withGrantLock(from, work);
}

interface Undoable {
  readonly record: SwitchRecord;
  readonly group: SlotGroup;
}

async function undoable({ host, journal, ...deps }: SyncDeps, agent: string): Promise<Undoable> {
  const group = await host.slotsFor(agent);
  const record = lastChange(await journal.read(), group.main.address.id);
  if (record === null) throw nothing('no switch of this slot is left to take back');
  const { occupant } = await settledReading(group.main, deps);
  if (!holds(occupant, record.to)) {
    throw nothing('the slot has been changed since the last switch, so that cannot be taken back');
  }
  return { record, group };
}

/** The newest switch to somebody else that was carried out, is no undoing, and was not undone. */
function lastChange(records: readonly SwitchRecord[], slot: string): SwitchRecord | null {
  const made = records.filter((record) => record.slot === slot && isMade(record));
  const undone = new Set(made.map(({ undoes }) => undoes));
  return made.findLast(({ id, undoes }) => undoes === null && !undone.has(id)) ?? null;
}

function isMade({ step, from, to }: SwitchRecord): boolean {
  const isChange = from === null || to === null || !sameIdentity(from, to);
  return isChange && step !== 'begun' && step !== 'abandoned';
}

async function back(
  deps: SyncDeps,
  repo: OpenRepo,
  to: IndexEntry,
  {
    agent,
    record,
    chat,
  }: { readonly agent: string; readonly record: SwitchRecord; readonly chat: string | null },
): Promise<{ readonly reload: ReloadOutcome; readonly notes: readonly HostNote[] }> {
  const wish = { agent, session: { kind: 'none' }, undoes: record.id, chat } as const;
  const { done } = await switchTo(deps, repo, to.identity, wish);
  return done;
}

/** The chat whose account changes under the eyes of who asks; null where none is known. It only decides what is said. */
async function chatOf(
  { host, env }: Pick<SyncDeps, 'host' | 'env'>,
  agent: string,
  here: SessionWish,
): Promise<string | null> {
  try {
    const { entries } = await host.pinsOf(agent).survey(keyMeant(here, env));
    return currentSession(entries, here, env).key;
  } catch (error) {
    if (error instanceof RouterError) return null;
    throw error;
  }
}

/** The slot was empty before: what is in it comes home, then it is cleared. */
async function clear(
  { host, journal, now, critical, ...deps }: SyncDeps,
  repo: OpenRepo,
  group: SlotGroup,
  { to, id }: SwitchRecord,
): Promise<{ readonly reload: ReloadOutcome; readonly notes: readonly HostNote[] }> {
  const readings = await settledGroup(group, deps);
  const checkIns = await planCheckIns(repo, group, readings, () => false, now());
  return critical(async () => {
    for (const checkIn of checkIns) await checkIn.carryOut();
    const slot = group.main.address.id;
    const record = await journal.begin({ slot, from: to, to: null, pins: [], undoes: id }, now());
    for (const { slot: held, reading } of readings) {
      if (reading.occupant.kind !== 'login') continue;
      await held.replace({ expect: reading.revision, put: null, takeOut: [] });
    }
    const entry =
      to === null ? null : ((await repo.list()).find((one) => sameIdentity(one.identity, to)) ?? null);
    if (entry?.placement?.slot === slot) await repo.place(identityKey(entry.identity), null);
    const reload = await host.reload(group.main, null);
    await journal.advance(record, 'done', now());
    return { reload, notes: [...group.notes, ...reload.notes] };
  });
}

/** The pins that still are as the switch set them, and whose former login is still there. */
async function theirsToPutBack(
  { host }: Pick<SyncDeps, 'host'>,
  group: SlotGroup,
  { pins }: SwitchRecord,
): Promise<readonly PinChange[]> {
  const { profileId } = group.main.address;
  const { neighbours } = await group.main.read();
  const there = new Set([profileId, ...neighbours.map((neighbour) => neighbour.profileId)]);
  const kept: PinChange[] = [];
  for (const agent of new Set(pins.map((pin) => pin.agent))) {
    const pinnedTo = new Map((await host.pinsOf(agent).read()).map((entry) => [entry.key, entry.pinnedTo]));
    for (const pin of pins) {
      // An own slot that a switch took a pin off was gone then: who is in it now came for other sessions.
      const exists = pin.was === null || (there.has(pin.was) && !isOwnSlot(pin.was));
      if (pin.agent === agent && exists && pinnedTo.get(pin.key) === profileId) kept.push(pin);
    }
  }
  return kept;
}

async function putPinsBack(
  deps: SyncDeps,
  group: SlotGroup,
  record: SwitchRecord,
): Promise<{ readonly outcomes: readonly PinOutcome[]; readonly notes: readonly HostNote[] }> {
  const outcomes: PinOutcome[] = [];
  const notes: HostNote[] = [];
  try {
    for (const { agent, key, was } of await theirsToPutBack(deps, group, record)) {
      const pins = deps.host.pinsOf(agent);
      const set = await deps.critical(() => pins.set([key], was));
      outcomes.push(...((await pins.keep?.(set, was)) ?? set));
    }
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    notes.push({ code: 'PINS_PENDING', text: `some session pins were left as they are: ${error.message}` });
  }
  return { outcomes, notes };
}

async function whoIn({ main }: SlotGroup): Promise<Identity | null> {
  const { occupant } = await main.read();
  return occupant.kind === 'login' ? occupant.identity : null;
}

/** @throws IDENTITY_NOT_FOUND */
async function stored(repo: OpenRepo, who: Who): Promise<IndexEntry> {
  const entries = await repo.list();
  const known = entries.find(({ identity }) => sameIdentity(identity, who));
  return entryOf(known?.identity ?? { ...who, email: null, plan: null, workspace: null }, entries);
}

function nothing(why: string): RouterError {
  return new RouterError('NOTHING_TO_UNDO', why, { hint: 'codex-router history' });
}

/** Where what was to be taken back is back by now, because an interrupted undo was finished, that is the news. */
function withEarlier(error: unknown, [first]: readonly HostNote[]): unknown {
  if (first === undefined || !(error instanceof RouterError) || error.code !== 'NOTHING_TO_UNDO')
    return error;
  return nothing(`${first.text}; ${error.message}`);
}

function changed(): RouterError {
  return new RouterError('BUSY', 'another codex-router switched this slot just now', {
    hint: 'codex-router history, then run it again',
  });
}
