import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import { isOpen } from '../repo/journal.js';
import type { Fingerprint, IndexEntry, OpenRepo } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import { MOST_OWN_SLOTS, ownSlotNumber } from '../slot/own-slot.js';
import type { Slot, SlotChange, SlotReading } from '../slot/slot.js';
import { type CheckIn, planCheckIn } from './check-in.js';
import { planCheckIns } from './check-ins.js';
import { holderOf } from './custody.js';
import { refuseUnfit } from './doubt.js';
import {
  fallbackNotes,
  inOwnSlot,
  leaveCommand,
  leaveSessions,
  type OwnSlotView,
  ownSlotViews,
  pinsOfAll,
} from './every-slot.js';
import { inUse } from './move.js';
import {
  leftNotes,
  type NamedSession,
  namedSessions,
  type OwnSlotPins,
  type OwnSlotScene,
  sharedSlot,
  targetsOf,
} from './own-slot-sessions.js';
import { ownerNotes, refuseTakenOver, requireOwner } from './owner.js';
import { parsePlace, storeOf } from './places.js';
import { entryOf, nameOf } from './resolve.js';
import { settleAccounts, settledReading } from './settled.js';
import { type PlanDeps, refuseOther } from './switch-plan.js';

/** How an identity goes into an own slot, decided on one reading of the host; nothing written yet. */
export interface OwnSlotPlan extends OwnSlotPins {
  readonly entry: IndexEntry;
  readonly holding: Holding;
  readonly fingerprint: Fingerprint;
  readonly slot: Slot;
  readonly reading: SlotReading;
  readonly n: number;
  readonly isNew: boolean;
  readonly put: SlotChange['put'];
  /** Who is in the own slot now; null for nobody. */
  readonly outgoing: Identity | null;
  /** Whom the named sessions ran on before. */
  readonly from: Identity | null;
  readonly checkIns: readonly CheckIn[];
  readonly notes: readonly HostNote[];
}

/** @throws as `useOwnSlot`; in every case nothing was written */
export async function planOwnSlot(
  deps: PlanDeps,
  repo: OpenRepo,
  wanted: Identity,
  sessions: readonly string[],
): Promise<OwnSlotPlan> {
  const { host } = deps;
  const now = deps.now();
  const owner = deps.looking ? await ownerNotes(host, repo) : [];
  if (!deps.looking) await requireOwner(host, repo);
  const entry = entryOf(wanted, await repo.list());
  await settleAccounts(host, async () => [wanted.accountId], deps);
  const named = await namedSessions(deps, sessions);
  const shared = await sharedSlot(host, named);
  const sharedReading = await settledReading(shared, deps);
  const views = await ownSlotViews(host, deps);
  const scene = { host, named, shared, sharedReading, views };
  const served = chooseServed(scene, wanted);
  await refuseHeld(host, served, views, entry);
  const n = served?.n ?? (await freeNumber(deps, views));
  const [{ agent } = { agent: host.defaultAgent }] = named;
  const slot = served?.slot ?? (await host.ownSlot(agent, n));
  const reading = served?.reading ?? (await settledReading(slot, deps));
  refuseForeign(slot, reading);

  const outgoing = reading.occupant.kind === 'login' ? reading.occupant : null;
  const own = outgoing === null ? [] : [await planCheckIn(repo, outgoing, slot.address.id, now)];
  const group = { main: shared };
  const beside = await planCheckIns(
    repo,
    group,
    [{ slot: shared, reading: sharedReading }],
    () => false,
    now,
  );
  const isOutgoing = (who: Identity) => outgoing !== null && sameIdentity(outgoing.identity, who);
  const checkIns = [...beside.filter(({ kept }) => !isOutgoing(kept.identity)), ...own];
  const home = own.find(({ kept }) => sameIdentity(kept.identity, wanted));
  const holding = home?.kept ?? (await repo.load(identityKey(wanted)));
  const fingerprint = home?.fingerprint ?? entry.fingerprint;
  refuseOther(holding, wanted);
  const custody = await holderOf({ entry, fingerprint }, repo, host, null, deps);
  const other = custody.holders.find((one) => one.kind !== 'slot' || !isSame(one.slot, one.profileId, slot));
  if (other !== undefined) throw inUse(other, null);
  const there = outgoing !== null && repo.fingerprint(outgoing.grant) === fingerprint;
  if (home === undefined) refuseTakenOver(entry);
  if (!there) refuseUnfit(entry, now);
  await host.admit(holding.grant.expiresAt, now);

  const pins = targetsOf(scene, slot.address.profileId, served);
  if (pins.following.length === 0) throw nobodyLeft(pins.left);
  return {
    entry,
    holding,
    fingerprint,
    slot,
    reading,
    n,
    isNew: served === null,
    put: there ? 'keep' : holding,
    outgoing: outgoing?.identity ?? null,
    from: outgoing?.identity ?? loginOf(sharedReading),
    checkIns,
    ...pins,
    notes: [
      ...owner,
      ...host.summary.notes,
      ...custody.notes,
      ...checkIns.flatMap(({ note }) => note ?? []),
      ...fallbackNotes(host),
      ...leftNotes(pins.left),
    ],
  };
}

/** A login in a slot that serves nobody would only be kept from everybody. */
function nobodyLeft(left: OwnSlotPlan['left']): RouterError {
  const where = left.map(({ key, pinnedTo }) => `${key} to ${pinnedTo}`).join(', ');
  return new RouterError('USAGE', `every named session is pinned to another login: ${where}`, {
    hint: 'codex-router session clear <key> takes the pin off first',
  });
}

function loginOf({ occupant }: SlotReading): Identity | null {
  return occupant.kind === 'login' ? occupant.identity : null;
}

/** Whether a profile found in the store of `slot` is what `own` is. */
function isSame(slot: Slot, profileId: string, own: Slot): boolean {
  return profileId === own.address.profileId && storeOf(slot.address.id) === storeOf(own.address.id);
}

/**
 * The own slot that serves these sessions and no others, or that holds the identity and serves nobody; null for a new one.
 * @throws OWN_SLOT_SHARED when others would move with them
 */
function chooseServed(scene: OwnSlotScene, wanted: Identity): OwnSlotView | null {
  const { named, views, shared } = scene;
  const serving = views.filter(({ slot }) =>
    named.some(({ entry }) => entry.pinnedTo === slot.address.profileId),
  );
  const [first, second] = serving;
  if (first === undefined) {
    const idle = views.find(
      ({ pinned, reading, slot }) =>
        pinned.length === 0 &&
        reading.occupant.kind === 'login' &&
        sameIdentity(reading.occupant.identity, wanted) &&
        storeOf(slot.address.id) === storeOf(shared.address.id),
    );
    return idle ?? null;
  }
  if (second !== undefined) throw sharedWith('the named sessions have several slots of their own', named);
  const { targets } = targetsOf(scene, first.slot.address.profileId, first);
  const meant = new Set(
    targets.flatMap(({ pins, planned }) => planned.map(({ key }) => `${pins.agent} ${key}`)),
  );
  const others = first.pinned.filter(({ agent, key }) => !meant.has(`${agent} ${key}`));
  if (others.length === 0) return first;
  const keys = others.map(({ key }) => key).join(', ');
  throw sharedWith(`${first.slot.address.profileId} serves sessions that were not named: ${keys}`, named);
}

function sharedWith(message: string, named: readonly NamedSession[]): RouterError {
  const leave = leaveSessions(named.map(({ key }) => key));
  return new RouterError('OWN_SLOT_SHARED', message, {
    hint: `${leave}, then run the command again; or name the others too`,
  });
}

/** @throws IN_OWN_SLOT, IDENTITY_IN_USE where the identity sits in any other slot of the host */
async function refuseHeld(
  host: Host,
  served: OwnSlotView | null,
  views: readonly OwnSlotView[],
  entry: IndexEntry,
): Promise<void> {
  const holds = ({ occupant }: SlotReading) =>
    occupant.kind === 'login' && sameIdentity(occupant.identity, entry.identity);
  const own = views.find(({ slot, reading }) => slot !== served?.slot && holds(reading));
  if (own !== undefined) throw await inOwnSlot(host, nameOf(entry), own.slot.address.profileId);
  for (const slot of await host.allSlots()) {
    const { agent, profileId } = slot.address;
    if (!holds(await slot.read())) continue;
    throw new RouterError(
      'IDENTITY_IN_USE',
      `${nameOf(entry)} is in ${profileId} of agent ${agent} already`,
      {
        hint: `codex-router use <another> --agent ${agent} first, or name another identity`,
      },
    );
  }
}

/**
 * The lowest that no store has and no session is pinned to, nor may be again by the end of a turn that began before it left: a login
 * there would take those sessions along. @throws OWN_SLOTS_FULL
 */
async function freeNumber(
  { host, journal }: Pick<PlanDeps, 'host' | 'journal'>,
  views: readonly OwnSlotView[],
): Promise<number> {
  const pinned = (await pinsOfAll(host)).flatMap(({ pinnedTo }) => ownSlotNumber(pinnedTo) ?? []);
  const steps = new Map((await journal.read()).map(({ slot, step }) => [slot, step]));
  const open = [...steps].flatMap(([slot, step]) => {
    const isHere = parsePlace(slot)?.stateDir === host.summary.stateDir;
    return isHere && isOpen(step) ? (ownSlotNumber(slot) ?? []) : [];
  });
  const taken = new Set([...views.map(({ n }) => n), ...pinned, ...open]);
  for (let n = 1; n <= MOST_OWN_SLOTS; n += 1) if (!taken.has(n)) return n;
  const [first] = views;
  throw new RouterError('OWN_SLOTS_FULL', `all ${MOST_OWN_SLOTS} own slots are taken`, {
    hint: await leaveCommand(host, first?.slot.address.profileId ?? ''),
  });
}

function refuseForeign({ address }: Slot, { occupant }: SlotReading): void {
  if (occupant.kind !== 'foreign') return;
  throw new RouterError('SLOT_FOREIGN', `${address.profileId} holds ${occupant.what}`, {
    hint: 'move it to another profile id in OpenClaw, then run the command again',
  });
}
