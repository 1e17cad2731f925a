import { RouterError } from '../errors.js';
import type { Identity } from '../identity.js';
import type { OpenRepo } from '../repo/repo.js';
import { companionsOf } from '../slot/companions.js';
import type { Host, HostNote, ReloadOutcome } from '../slot/host.js';
import type { PinOutcome } from '../slot/pins.js';
import { agentOf, currentSession } from '../slot/session.js';
import type { SlotAddress } from '../slot/slot.js';
import { runningIn } from './carry-out.js';
import type { CheckInResult } from './check-in.js';
import { type AgentSession, isNative, type OwnSlotView, ownSlotViews } from './every-slot.js';
import { emptyOwnSlot, type OwnWriteDeps, pinAll, targetsFor, whoOf } from './own-slot-writes.js';
import { claimHost, renewClaim, requireOwner } from './owner.js';
import { recover } from './recover.js';
import type { UseDeps } from './use.js';

export interface LeaveRequest {
  /** These leave, with their companions; a slot that nobody is pinned to any more is emptied. */
  readonly sessions?: readonly string[];
  /** The whole slot of that number. Neither this nor `sessions`: every own slot of the host. */
  readonly n?: number;
  readonly dryRun: boolean;
  /** Looks once more under the router lock and may throw: nothing is written then. */
  readonly still?: () => Promise<void>;
}

export interface LeaveAnswer {
  readonly result: 'left' | 'planned' | 'nothing';
  readonly slots: readonly LeftSlot[];
  readonly notes: readonly HostNote[];
}

export interface LeftSlot {
  readonly slot: SlotAddress;
  readonly n: number;
  /** Who is, or was, in it; null for nobody. */
  readonly identity: Identity | null;
  /** Whether its login is (to be) taken home and its entry removed; not while another session is pinned to it. */
  readonly isEmptied: boolean;
  readonly pins: readonly PinOutcome[];
  /** How its login came home; null where it did not. */
  readonly checkedIn: CheckInResult | null;
  readonly reload: ReloadOutcome | null;
}

/**
 * Brings sessions out of their own slots back onto the slot: their pins first, then the login comes home and the entry goes. Idempotent.
 * @throws OWN_SLOT_NOT_FOUND for a session, or a number, that has none; SESSION_NOT_FOUND; as `use`
 */
export async function leaveOwnSlot(deps: UseDeps, request: LeaveRequest): Promise<LeaveAnswer> {
  const { host } = deps;
  const repo = await deps.opening;
  await requireOwner(host, repo);
  if (request.dryRun) {
    const slots = (await planLeaving(deps, request)).map(planned);
    return { result: slots.length === 0 ? 'nothing' : 'planned', slots, notes: [] };
  }
  const earlier = await recover(deps, repo, { except: null, reapply: false });
  return deps.withLock(async () => {
    await request.still?.();
    try {
      const done = await leaveAll(deps, repo, request);
      return { ...done, notes: [...earlier, ...done.notes] };
    } catch (error) {
      // What was asked for may just have been done, because an interrupted leaving was finished.
      const isDone = error instanceof RouterError && error.code === 'OWN_SLOT_NOT_FOUND';
      if (!isDone || !earlier.some(({ code }) => code === 'FINISHED')) throw error;
      return { result: 'left', slots: [], notes: earlier };
    }
  });
}

/** As `leaveOwnSlot`, under the router lock. */
export async function leaveAll(
  deps: OwnWriteDeps & Pick<UseDeps, 'critical'>,
  repo: OpenRepo,
  request: Pick<LeaveRequest, 'sessions' | 'n'>,
): Promise<LeaveAnswer> {
  const slots: LeftSlot[] = [];
  const notes: HostNote[] = [];
  for (const leaving of await planLeaving(deps, request)) {
    const left = await deps.critical(() => carryOutLeaving(deps, repo, leaving));
    slots.push(left.slot);
    notes.push(...left.notes);
  }
  if (slots.length > 0) notes.push(...(await renewClaim(deps.host, repo, deps.now())));
  return { result: slots.length === 0 ? 'nothing' : 'left', slots, notes };
}

interface Leaving {
  readonly view: OwnSlotView;
  readonly sessions: readonly AgentSession[];
  /** The profile id of the slot that they go back to. */
  readonly back: string;
  readonly isEmptied: boolean;
}

async function planLeaving(
  { host, env, ...settled }: Pick<OwnWriteDeps, 'host' | 'env' | 'onRefreshing' | 'signal'>,
  { sessions, n }: Pick<LeaveRequest, 'sessions' | 'n'>,
): Promise<readonly Leaving[]> {
  const views = await ownSlotViews(host, settled);
  const meant = sessions === undefined ? null : await meantSessions(host, env, views, sessions);
  const leaving: Leaving[] = [];
  for (const view of views) {
    if (n !== undefined && view.n !== n) continue;
    if (n === undefined && meant === null && isNative(view.reading)) continue;
    const going = view.pinned.filter((one) => meant === null || meant.has(nameOf(one)));
    if (meant !== null && going.length === 0) continue;
    const isEmptied = going.length === view.pinned.length && !isNative(view.reading);
    leaving.push({ view, sessions: going, back: await slotBeside(host, view), isEmptied });
  }
  if (n !== undefined && leaving.length === 0) throw notFound(`there is no own slot ${n}`);
  return leaving;
}

function nameOf({ agent, key }: AgentSession): string {
  return `${agent} ${key}`;
}

/** The named ones and their companions in the same own slot. @throws SESSION_NOT_FOUND, OWN_SLOT_NOT_FOUND */
async function meantSessions(
  host: Host,
  env: OwnWriteDeps['env'],
  views: readonly OwnSlotView[],
  sessions: readonly string[],
): Promise<ReadonlySet<string>> {
  const meant = new Set<string>();
  for (const wish of sessions) {
    const agent = agentOf(wish) ?? host.defaultAgent;
    const entries = await host.pinsOf(agent).read();
    const { key } = currentSession(entries, { kind: 'key', key: wish }, env);
    const pin = entries.find((one) => one.key === key)?.pinnedTo ?? null;
    const view = views.find(({ slot }) => slot.address.profileId === pin);
    if (key === null || view === undefined) throw notFound(`${key ?? wish} has no slot of its own`);
    const { provider, formerProvider } = host.summary;
    const slotProfileId = view.slot.address.profileId;
    const knownProfileIds = new Set([
      slotProfileId,
      ...view.reading.neighbours.map((neighbour) => neighbour.profileId),
    ]);
    const rules = { slotProfileId, provider, formerProvider, knownProfileIds };
    for (const one of [key, ...companionsOf(key, entries, rules)]) meant.add(nameOf({ agent, key: one }));
  }
  return meant;
}

/** The profile id of the slot whose store this own slot is in; one that a variable moved has the same. */
async function slotBeside(host: Host, { slot }: OwnSlotView): Promise<string> {
  const all = await host.allSlots();
  const store = (id: string) => id.slice(0, id.lastIndexOf('#'));
  const beside = all.find(({ address }) => store(address.id) === store(slot.address.id));
  return (beside ?? all[0])?.address.profileId ?? `${host.summary.provider}:default`;
}

function planned({ view, sessions, back, isEmptied }: Leaving): LeftSlot {
  const { occupant } = view.reading;
  const was = view.slot.address.profileId;
  return {
    slot: view.slot.address,
    n: view.n,
    identity: occupant.kind === 'login' ? occupant.identity : null,
    isEmptied,
    pins: sessions.map(({ key }) => ({ key, was, is: back, result: 'set' })),
    checkedIn: null,
    reload: null,
  };
}

async function carryOutLeaving(
  deps: OwnWriteDeps,
  repo: OpenRepo,
  leaving: Leaving,
): Promise<{ readonly slot: LeftSlot; readonly notes: readonly HostNote[] }> {
  const { host, journal, now } = deps;
  const { view, sessions, back, isEmptied } = leaving;
  const { slot, reading } = view;
  const was = slot.address.profileId;
  await claimHost(host, repo, now());
  const who = reading.occupant.kind === 'login' ? whoOf(reading.occupant.identity) : null;
  const record = await journal.begin(
    {
      slot: slot.address.id,
      from: who,
      to: isEmptied ? null : who,
      pins: sessions.map((one) => ({ ...one, was })),
      undoes: null,
    },
    now(),
  );
  const agents = [...new Set(sessions.map(({ agent }) => agent))];
  const targets = targetsFor(
    host,
    sessions.map((one) => ({ ...one, was })),
    back,
  );
  const running = await runningIn(host, agents);
  const pins = await pinAll(deps, targets, back, running);
  const step = pins.failed ? null : await ended(deps, repo, leaving);
  if (step !== null) {
    const open = (running === null || running.size > 0) && step.reload?.effective !== 'no-gateway';
    const pending = open || pins.outcomes.some(({ result }) => result === 'pending');
    await journal.advance(record, pending ? 'applied' : 'done', now());
  }
  const left = planned(leaving);
  const checkedIn = step?.checkedIn ?? null;
  const isEmpty = step?.isEmpty ?? false;
  return {
    slot: { ...left, pins: pins.outcomes, isEmptied: isEmpty, checkedIn, reload: step?.reload ?? null },
    notes: [...pins.notes, ...(step?.reload?.notes ?? []), ...leftNotes(view, isEmpty)],
  };
}

async function ended(
  deps: OwnWriteDeps,
  repo: OpenRepo,
  { view, isEmptied }: Leaving,
): Promise<{
  readonly checkedIn: CheckInResult | null;
  readonly isEmpty: boolean;
  readonly reload: ReloadOutcome | null;
}> {
  if (!isEmptied) return { checkedIn: null, isEmpty: false, reload: null };
  const { checkedIn, isEmpty, reload } = await emptyOwnSlot(deps, repo, view.slot);
  return { checkedIn: checkedIn?.result ?? null, isEmpty, reload };
}

function leftNotes(
  { slot: { address }, reading: { occupant } }: OwnSlotView,
  isEmpty: boolean,
): readonly HostNote[] {
  if (occupant.kind === 'foreign' && !isEmpty) {
    const text = `${address.profileId} holds ${occupant.what}: what is not stored here is left there`;
    return [{ code: 'SLOT_FOREIGN', text }];
  }
  if (occupant.kind !== 'lost') return [];
  const text =
    'a refresh by OpenClaw failed and destroyed the login in the own slot: the stored copy is what is left';
  return [{ code: 'LOGIN_LOST', text }];
}

function notFound(message: string): RouterError {
  return new RouterError('OWN_SLOT_NOT_FOUND', message, { hint: 'codex-router status shows the own slots' });
}
