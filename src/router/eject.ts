import { RouterError } from '../errors.js';
import { type Identity, identityKey } from '../identity.js';
import type { IndexEntry, OpenRepo } from '../repo/repo.js';
import type { HostNote, ReloadOutcome } from '../slot/host.js';
import { isOwnSlot } from '../slot/own-slot.js';
import type { NewNeighbour, Slot, SlotAddress, SlotReading } from '../slot/slot.js';
import { type CustodyDeps, holderOf } from './custody.js';
import { refusalOf, soundHolding } from './eject-refusal.js';
import { isNative, type OwnSlotView, ownSlotViews } from './every-slot.js';
import { type LeftSlot, leaveAll } from './leave-own-slot.js';
import { claimHost, requireOwner } from './owner.js';
import { loginsIn, neighbourId } from './places.js';
import { type RecoverDeps, recover } from './recover.js';
import { LOG_IN_AGAIN } from './remedies.js';
import { nameOf } from './resolve.js';
import { settleAccounts, settledReading } from './settled.js';
import { bringHome } from './sync.js';

export type EjectDeps = RecoverDeps & CustodyDeps;

/** A parked identity on its way into OpenClaw. */
export interface Ejected {
  readonly entry: IndexEntry;
  readonly profileId: string;
}

export interface EjectPlan {
  readonly slot: SlotAddress;
  readonly occupant: Identity | null;
  /** Written beside the slot. */
  readonly added: readonly Ejected[];
  /** In OpenClaw already, where it stays. */
  readonly there: readonly (Ejected & { readonly agent: string })[];
  /** Not handed over, and what would change that. */
  readonly left: readonly { readonly entry: IndexEntry; readonly why: string; readonly remedy: string }[];
  /** Whether OpenClaw's order, which names the slot only, gets the other logins of the store again. */
  readonly opensOrder: boolean;
  /** Whether the owner file goes. */
  readonly disowns: boolean;
  readonly notes: readonly HostNote[];
}

export interface Ejection extends EjectPlan {
  readonly result: 'planned' | 'ejected' | 'already-ejected';
  readonly reload: ReloadOutcome | null;
}

interface Decided extends EjectPlan {
  readonly target: Slot;
  readonly reading: SlotReading;
  readonly beside: readonly NewNeighbour[];
}

/**
 * What `eject` would do; writes nothing.
 * @param agent beside whose slot the parked identities go; null for the agent a new chat lands on.
 * @throws as `eject`
 */
export async function previewEject(deps: EjectDeps, repo: OpenRepo, agent: string | null): Promise<Ejection> {
  await requireOwner(deps.host, repo);
  const plan = await decide(deps, repo, agent);
  const own = await leaveOwnPlan(deps);
  const notes = [...plan.notes, ...leftNotes(own)];
  const result = hasWork(plan) || own.length > 0 ? 'planned' : 'already-ejected';
  return { ...shown(plan), notes, result, reload: null };
}

/**
 * Leaves OpenClaw working without us: who is in a slot stays there, every parked identity becomes a native profile beside it in one
 * write, and the owner file goes. OpenClaw holds every grant then; what is sealed here is a copy that says where it is. Run again after
 * a crash it goes on. Called without any lock.
 * @throws HOST_OWNED, VAULT_ROLLED_BACK, SLOT_FOREIGN, SLOT_CHANGED, AGENT_NOT_FOUND, BUSY; what `Slot.replace`, the repo and `Host` throw
 */
export async function eject(deps: EjectDeps, repo: OpenRepo, agent: string | null): Promise<Ejection> {
  await requireOwner(deps.host, repo);
  const earlier = await recover(deps, repo, { except: null, reapply: true });
  const home = await deps.withLock(() => bringHome(deps, repo, deps.host));
  const [stale] = home.stale;
  if (stale !== undefined) throw writtenBack(stale.who);
  const left = await deps.withLock(() => leaveAll(deps, repo, {}));
  const { added } = await decide(deps, repo, agent);
  const locked = added.map(({ entry }) => identityKey(entry.identity)).sort();
  const work = () =>
    deps.withLock(async () => {
      const plan = await decide(deps, repo, agent);
      if ((await ownSlotViews(deps.host, deps)).some(isStill)) throw stillApart();
      // Another command may be refreshing what was parked since.
      if (plan.added.some(({ entry }) => !locked.includes(identityKey(entry.identity)))) throw changed();
      return deps.critical(() => carryOut(deps, repo, plan));
    });
  const who = added.map(({ entry }) => entry.identity).sort((a, b) => order(identityKey(a), identityKey(b)));
  const done = await who.reduceRight((inner, one) => () => deps.withGrantLock(one, inner), work)();
  return {
    ...done,
    notes: [...earlier, ...home.notes, ...left.notes, ...leftNotes(left.slots), ...done.notes],
  };
}

/** What leaves its own slot before anything else is done. */
async function leaveOwnPlan({ host }: EjectDeps): Promise<readonly Pick<LeftSlot, 'slot' | 'pins'>[]> {
  const views = (await ownSlotViews(host)).filter(({ reading }) => !isNative(reading));
  return views.map(({ slot, pinned }) => ({
    slot: slot.address,
    pins: pinned.map(({ key }) => ({ key, was: slot.address.profileId, is: null, result: 'set' })),
  }));
}

function leftNotes(slots: readonly Pick<LeftSlot, 'slot' | 'pins'>[]): readonly HostNote[] {
  return slots.map(({ slot, pins }) => {
    const text = `${pins.length} session(s) go from ${slot.profileId}, a slot of their own, back to the slot`;
    return { code: 'OWN_SLOT_LEFT', text };
  });
}

function isStill({ reading }: OwnSlotView): boolean {
  return reading.occupant.kind !== 'foreign';
}

/** A login left behind there would lie in OpenClaw twice. */
function stillApart(): RouterError {
  return new RouterError('BUSY', 'some sessions could not be brought out of their own slot', {
    hint: 'codex-router failover leave --all --apply, then run the command again; nothing was handed over',
  });
}

/** Everybody takes several of these locks in one order. */
function order(a: string, b: string): number {
  return a < b ? -1 : 1;
}

async function carryOut(deps: EjectDeps, repo: OpenRepo, plan: Decided): Promise<Ejection> {
  const { host, now } = deps;
  const { target, reading, beside, added } = plan;
  if (!hasWork(plan)) return { ...shown(plan), result: 'already-ejected', reload: null };
  const notes: HostNote[] = [];
  let reload: ReloadOutcome | null = null;
  if (beside.length > 0 || plan.opensOrder) {
    await claimHost(host, repo, now());
    for (const { entry, profileId } of added) {
      // Before the write: a crash in between finds nothing at that place, and the login parked.
      const slot = neighbourId(target.address, profileId);
      await repo.place(identityKey(entry.identity), { slot, fingerprint: entry.fingerprint, at: now() });
    }
    const after = await target.replace({ expect: reading.revision, put: 'keep', takeOut: [], beside });
    for (const one of beside) prove(target, after, one);
    const { occupant } = after;
    reload = await host.reload(target, occupant.kind === 'login' ? occupant.grant.expiresAt : null);
    notes.push(...reload.notes);
    if (reload.advice !== null) notes.push({ code: 'RELOAD_NEEDED', text: reload.advice });
  }
  const owner = await requireOwner(host, repo);
  if (owner !== null) await host.disown(owner);
  return { ...shown(plan), result: 'ejected', reload, notes: [...plan.notes, ...notes] };
}

function prove({ address }: Slot, { neighbours }: SlotReading, { profileId, holding }: NewNeighbour): void {
  const found = neighbours.find((one) => one.profileId === profileId);
  if (found?.kind === 'login' && found.grant.refreshToken.equals(holding.grant.refreshToken)) return;
  throw new RouterError(
    'SLOT_CHANGED',
    `${profileId} of agent ${address.agent} did not hold its login when it was read back`,
    { hint: 'codex-router doctor, then run the command again; every login is stored' },
  );
}

function hasWork({ added, opensOrder, disowns }: EjectPlan): boolean {
  return added.length > 0 || opensOrder || disowns;
}

function shown({ target: _, reading: __, beside: ___, ...plan }: Decided): EjectPlan {
  return plan;
}

async function decide(deps: EjectDeps, repo: OpenRepo, agent: string | null): Promise<Decided> {
  const { host } = deps;
  const entries = await repo.list();
  await settleAccounts(host, async () => entries.map(({ identity }) => identity.accountId), deps);
  const { main: target } = await host.slotsFor(agent ?? host.defaultAgent);
  const reading = await settledReading(target, deps);
  const { occupant } = reading;
  const taken = new Set(await idsIn(host, host.summary.provider));
  const added: Ejected[] = [];
  const there: EjectPlan['there'][number][] = [];
  const left: EjectPlan['left'][number][] = [];
  const beside: NewNeighbour[] = [];
  const notes: HostNote[] = [...host.summary.notes];
  for (const entry of entries) {
    const { holders, notes: unread } = await holderOf(
      { entry, fingerprint: entry.fingerprint },
      repo,
      host,
      null,
      deps,
    );
    notes.push(...unread);
    const twin = added.find((one) => one.entry.fingerprint === entry.fingerprint)?.entry;
    // What is in an own slot leaves it first.
    const staying = holders.filter((one) => one.kind !== 'slot' || !isOwnSlot(one.profileId));
    const inHost = staying.find(
      (one) => one.kind === 'slot' && one.host.summary.stateDir === host.summary.stateDir,
    );
    const refusal = inHost === undefined ? await refusalOf(deps, entry, staying[0], twin) : null;
    if (inHost?.kind === 'slot') {
      there.push({ entry, profileId: inHost.profileId, agent: inHost.slot.address.agent });
    } else if (refusal !== null) {
      left.push({ entry, ...refusal });
    } else {
      const holding = await soundHolding(repo, entry);
      if (holding instanceof RouterError) {
        left.push({ entry, why: holding.message, remedy: holding.hint ?? LOG_IN_AGAIN });
        continue;
      }
      const profileId = freeId(host.summary.provider, entry, taken);
      taken.add(profileId);
      added.push({ entry, profileId });
      beside.push({ profileId, holding });
    }
  }
  const others = loginsIn(target, reading).flatMap(({ profileId }) =>
    profileId === target.address.profileId || profileId.startsWith('personal:') || isOwnSlot(profileId)
      ? []
      : [profileId],
  );
  const opensOrder = others.length > 0 && !others.some((id) => reading.named.includes(id));
  if (beside.length > 0 || opensOrder) notes.push(...unnamedNotes(host.summary.provider, reading));
  return {
    target,
    reading,
    beside,
    slot: target.address,
    occupant: occupant.kind === 'login' ? occupant.identity : null,
    added,
    there,
    left,
    opensOrder,
    disowns: (await host.owner()) !== null,
    notes,
  };
}

/** What no login is and the order does not name: whether it did before it was routed is not known. */
function unnamedNotes(provider: string, { neighbours, named }: SlotReading): readonly HostNote[] {
  const ids = neighbours.flatMap(({ kind, profileId }) =>
    kind === 'foreign' && !named.includes(profileId) && !profileId.startsWith('personal:') ? [profileId] : [],
  );
  if (ids.length === 0) return [];
  const text = `OpenClaw's order does not name ${ids.join(', ')}: openclaw models auth order set --provider ${provider} does, if it should`;
  return [{ code: 'NOT_IN_ORDER', text }];
}

/** An id in one agent's own store would hide the same id in the shared one. */
async function idsIn({ allSlots }: EjectDeps['host'], provider: string): Promise<readonly string[]> {
  const ids = [`${provider}:default`];
  for (const slot of await allSlots()) {
    ids.push(slot.address.profileId);
    const reading = await slot.read().catch((error: unknown) => {
      if (error instanceof RouterError) return null;
      throw error;
    });
    ids.push(...(reading?.neighbours ?? []).map(({ profileId }) => profileId));
  }
  return ids;
}

/** As OpenClaw itself names its profiles: by e-mail, unless the person has a shorter name for it. */
function freeId(provider: string, { alias, identity }: IndexEntry, taken: ReadonlySet<string>): string {
  const { accountId, email } = identity;
  const names = [alias, email, email === null ? null : `${email}-${accountId.slice(0, 8)}`, accountId];
  const fit = names.flatMap((name) => (name !== null && NAME.test(name) ? [name] : []));
  const numbered = Array.from(
    { length: taken.size + 1 },
    (_, place) => `${fit[0] ?? accountId}-${place + 2}`,
  );
  const ids = [...fit, ...numbered].map((name) => `${provider}:${name}`);
  const lower = new Set([...taken].map((id) => id.toLowerCase()));
  return ids.find((id) => !lower.has(id.toLowerCase())) ?? `${provider}:${accountId}-${identity.userId}`;
}

/** What every release takes for a profile's name. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@+-]{0,150}$/;

function writtenBack(who: Identity): RouterError {
  const name = nameOf({ alias: null, identity: who });
  return new RouterError(
    'SLOT_CHANGED',
    `OpenClaw has written an older login of ${name} back into its slot`,
    {
      hint: 'codex-router sync puts it right; then run the command again',
    },
  );
}

function changed(): RouterError {
  return new RouterError('BUSY', 'another codex-router changed what is parked just now', {
    hint: 'run the command again',
  });
}
