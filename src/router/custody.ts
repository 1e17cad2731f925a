import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { identityKey, sameIdentity } from '../identity.js';
import type { Journal } from '../repo/journal.js';
import type { Fingerprint, IndexEntry, OpenRepo, Repo } from '../repo/repo.js';
import type { Host, HostNote, SlotGroup } from '../slot/host.js';
import type { Slot, SlotReading } from '../slot/slot.js';
import { refreshingInOwn, remedyAt, remedyIn } from './every-slot.js';
import { codexHas } from './lent.js';
import { readOwnership } from './owner.js';
import { loginsIn, neighbourId, parsePlace, storeOf } from './places.js';

/** A place outside OpenClaw that can hold a grant of ours: the Codex CLI's own auth.json. */
export interface OutsideHolder {
  /** Says who in an error sentence: "the Codex CLI (~/.codex)". */
  readonly name: string;
  /** The command that ends the double holding. */
  readonly remedy: string;
  /** Null when it holds no login. Throws when it cannot be understood. */
  read(): Promise<Holding | null>;
  /** How its login is taken from it; absent where that cannot be done. */
  readonly taking?: {
    /** Says what speaks against it, before anything is written. @throws what `LoginHome.admitTaking` throws */
    admit(): Promise<void>;
    /** As `LoginHome.take`. */
    take(shown: Holding, seal: (holding: Holding) => Promise<void>): Promise<void>;
  };
}

export interface CustodyDeps {
  readonly outside: readonly OutsideHolder[];
  /** Another OpenClaw on this machine, by its state directory. @throws HOST_NOT_FOUND when it is gone */
  hostAt(stateDir: string): Promise<Host>;
  /** Where else we have put logins. */
  readonly journal: Pick<Journal, 'read'>;
}

/** Who holds a grant beside the slots that are meant, in words, and the command that ends it. */
export type Holder = {
  readonly name: string;
  readonly remedy: string;
} & (
  | SlotHolder
  | { readonly kind: 'outside'; readonly outside: OutsideHolder; readonly login: Holding }
  /** Whose token it is there can only be told when the refresh is over. */
  | { readonly kind: 'refreshing'; readonly slot: Slot }
  /** Not ours to look into or to write to. */
  | { readonly kind: 'unknown' }
);

export interface SlotHolder {
  readonly kind: 'slot';
  readonly host: Host;
  readonly slot: Slot;
  readonly reading: SlotReading;
  /** The profile that holds it: the slot's own, or one beside it. */
  readonly profileId: string;
  readonly login: Holding;
}

export interface Custody {
  /** Everybody else who holds the grant. */
  readonly holders: readonly Holder[];
  /** The first of them; null when nobody does. */
  readonly holder: Holder | null;
  /** Places that could not be read, so that their holding is unknown. */
  readonly notes: readonly HostNote[];
}

/**
 * Derives who holds a grant by reading every slot outside `group` (null: every slot there is), the other OpenClaws we put it into, and
 * every outside holder, comparing fingerprints. What cannot be read is noted, never taken for empty.
 */
export async function holderOf(
  { entry, fingerprint }: { readonly entry: IndexEntry; readonly fingerprint: Fingerprint },
  repo: OpenRepo,
  host: Host | null,
  group: Pick<SlotGroup, 'main' | 'copies'> | null,
  { outside, hostAt, journal }: CustodyDeps,
): Promise<Custody> {
  const notes: HostNote[] = [];
  const own = group === null ? [] : [group.main, ...group.copies];
  const inGroup = new Set(own.map((slot) => slot.address.id));
  const holders: Holder[] = [...codexHas({ ...entry, fingerprint })];
  for (const slot of (await host?.allSlots()) ?? []) {
    if (host === null || inGroup.has(slot.address.id)) continue;
    const { agent } = slot.address;
    const name = `OpenClaw's agent ${agent}`;
    const reading = await readOrNote(() => slot.read(), `agent ${agent}`, notes);
    if (reading === null) {
      if (isPlaced(entry, slot)) holders.push(unreadable(name, `codex-router status`));
      continue;
    }
    for (const { login, profileId } of loginsIn(slot, reading)) {
      const same = repo.fingerprint(login.grant) === fingerprint;
      if (!same && !hasRotated(entry, login, neighbourId(slot.address, profileId))) continue;
      const isOccupant = profileId === slot.address.profileId;
      const remedy = await remedyIn(host, slot.address, profileId, identityKey(entry.identity));
      const who = isOccupant ? name : `${name} (${profileId})`;
      holders.push({ kind: 'slot', name: who, remedy, host, slot, reading, profileId, login });
    }
  }
  const known = [...inGroup].some((id) => storeOf(id) === storeOf(entry.placement?.slot ?? ''));
  if (!known) holders.push(...(await heldWherePlaced(entry, fingerprint, repo, host, hostAt, notes)));
  const elsewhere = await otherHosts(entry, host, journal);
  holders.push(...(await heldIn(elsewhere, entry, fingerprint, repo, hostAt, notes)));
  for (const place of outside) {
    const { name, remedy, read } = place;
    const noted = notes.length;
    const login = await readOrNote(read, name, notes);
    if (login === null) {
      // Law 1: what was knowingly left with a holder that cannot be read now, a locked keyring say, counts as being there.
      if (entry.sharedWith !== null && notes.length > noted) holders.push(unreadable(name, remedy));
      continue;
    }
    // What is there instead of a login that was left shared is what its other holder made of it.
    const shared = entry.sharedWith !== null && sameIdentity(login.identity, entry.identity);
    if (shared || repo.fingerprint(login.grant) === fingerprint)
      holders.push({ kind: 'outside', name, remedy, outside: place, login });
  }
  return { holders, holder: holders[0] ?? null, notes };
}

/** Where we put the stored grant there is now another of the same identity: what its host made of it. */
function hasRotated({ identity, placement, fingerprint }: IndexEntry, held: Holding, place: string): boolean {
  const ours = placement?.slot === place && placement.fingerprint === fingerprint;
  return ours && sameIdentity(held.identity, identity);
}

/**
 * The place we last left this identity's login in, where that is outside this host's slots: another OpenClaw, or a store this
 * command does not see. Null when the place no longer has it; a place that cannot be found is noted, for nobody can say.
 * @param repo closed where only identities can be compared.
 */
export async function placedElsewhere(
  entry: IndexEntry,
  repo: Repo | OpenRepo,
  host: Host | null,
  hostAt: CustodyDeps['hostAt'],
  notes: HostNote[],
): Promise<Holder | null> {
  const fingerprint = 'fingerprint' in repo ? entry.fingerprint : null;
  return (await heldWherePlaced(entry, fingerprint, repo, host, hostAt, notes))[0] ?? null;
}

async function heldWherePlaced(
  entry: IndexEntry,
  fingerprint: Fingerprint | null,
  repo: Repo | OpenRepo,
  host: Host | null,
  hostAt: CustodyDeps['hostAt'],
  notes: HostNote[],
): Promise<readonly Holder[]> {
  const { placement } = entry;
  const at = placement === null ? null : parsePlace(placement.slot);
  if (placement === null || at === null) return [];
  const { stateDir, agent } = at;
  const here = host !== null && stateDir === host.summary.stateDir;
  const name = here ? `the store of agent ${agent}` : `the OpenClaw in ${stateDir}`;
  const found = await readOrNote(
    async () => {
      const there = here ? host : await hostAt(stateDir);
      return { there, slots: await there.allSlots() };
    },
    name,
    notes,
  );
  if (found === null) {
    // One that is gone can spend nothing; one that is there and cannot be read now can.
    const isGone = notes.at(-1)?.code === 'HOLDER_UNKNOWN';
    return isGone ? [] : [unreadable(name, `codex-router status --state-dir ${stateDir}`)];
  }
  const { there, slots } = found;
  const store = slots.filter(({ address }) => storeOf(address.id) === at.store);
  if (store.length === 0) notes.push(unknownPlace(name));
  // What this host shows was compared already.
  if (here) return [];
  const taken = await takenOver(there, repo, name, notes);
  if (taken !== null) return [taken];
  const holders: Holder[] = [];
  for (const slot of slots) {
    const reading = await readOrNote(() => slot.read(), name, notes);
    const remedy = remedyAt(stateDir, slot, slot.address.profileId);
    if (reading === null) {
      if (isPlaced(entry, slot))
        holders.push(unreadable(name, `codex-router status --state-dir ${stateDir}`));
      continue;
    }
    const refreshing = reading.occupant.kind === 'refreshing' ? reading.occupant : null;
    const { accountId } = entry.identity;
    if (refreshing !== null && (refreshing.accountId ?? accountId) === accountId)
      holders.push({ kind: 'refreshing', name, remedy, slot });
    for (const { login, profileId } of loginsIn(slot, reading)) {
      if (!sameIdentity(login.identity, entry.identity)) continue;
      const same =
        fingerprint === null || ('fingerprint' in repo && repo.fingerprint(login.grant) === fingerprint);
      // What the placed store holds now is our grant, or what its host made of it since.
      const rotated = store.includes(slot) && placement.fingerprint === entry.fingerprint;
      const where = remedyAt(stateDir, slot, profileId);
      if (same || rotated)
        holders.push({ kind: 'slot', name, remedy: where, host: there, slot, reading, profileId, login });
    }
  }
  return [...holders, ...(await refreshingInOwn(there, entry.identity.accountId, name))];
}

/** Whether we last put the stored login into the store of this slot. */
function isPlaced({ placement }: IndexEntry, { address }: Slot): boolean {
  return placement !== null && storeOf(placement.slot) === storeOf(address.id);
}

/** Law 1: what we put into a place that cannot be read now counts as being there. */
function unreadable(name: string, remedy: string): Holder {
  return { kind: 'unknown', name: `${name}, where it was left and which cannot be read now,`, remedy };
}

/** A host that another codex-router routes now has what we put there: that login is not ours any more. */
async function takenOver(
  there: Host,
  repo: Repo | OpenRepo,
  name: string,
  notes: HostNote[],
): Promise<Holder | null> {
  const { stateDir } = there.summary;
  const reading = await readOrNote(() => readOwnership(there, repo), name, notes);
  const refusal = reading?.refusal ?? null;
  if (refusal === null) return null;
  const who =
    refusal.code === 'HOST_OWNED'
      ? `${name}, which another codex-router routes now,`
      : `${name}, which a later state of this vault routes,`;
  return { kind: 'unknown', name: who, remedy: `codex-router host adopt --state-dir ${stateDir}` };
}

/** State directories, other than this host's and the one it is placed in, in one of whose slots we last put it. */
async function otherHosts(
  { identity, placement }: IndexEntry,
  host: Host | null,
  journal: CustodyDeps['journal'],
): Promise<readonly string[]> {
  const last = new Map<string, boolean>();
  for (const { slot, step, to } of await journal.read()) {
    if (step !== 'abandoned') last.set(slot, to !== null && sameIdentity(to, identity));
  }
  const here = [host?.summary.stateDir, parsePlace(placement?.slot ?? '')?.stateDir];
  const found = [...last].flatMap(([slot, isIt]) => (isIt ? (parsePlace(slot)?.stateDir ?? []) : []));
  return [...new Set(found)].filter((stateDir) => !here.includes(stateDir));
}

/** As `placedElsewhere` for hosts that we only remember: one that is gone holds nothing we would have to tell of. */
async function heldIn(
  stateDirs: readonly string[],
  { identity }: IndexEntry,
  fingerprint: Fingerprint,
  repo: OpenRepo,
  hostAt: CustodyDeps['hostAt'],
  notes: HostNote[],
): Promise<readonly Holder[]> {
  const holders: Holder[] = [];
  for (const stateDir of stateDirs) {
    const name = `the OpenClaw in ${stateDir}`;
    const gone: HostNote[] = [];
    const host = await readOrNote(() => hostAt(stateDir), name, gone);
    if (host === null) continue;
    for (const slot of (await readOrNote(() => host.allSlots(), name, notes)) ?? []) {
      const reading = await readOrNote(() => slot.read(), name, notes);
      if (reading === null) continue;
      for (const { login, profileId } of loginsIn(slot, reading)) {
        if (!sameIdentity(login.identity, identity) || repo.fingerprint(login.grant) !== fingerprint)
          continue;
        const remedy = remedyAt(stateDir, slot, profileId);
        holders.push({ kind: 'slot', name, remedy, host, slot, reading, profileId, login });
      }
    }
  }
  return holders;
}

function unknownPlace(name: string): HostNote {
  const text = `it was last put into ${name}, which cannot be found now: where it has gone, the login must not be used too`;
  return { code: 'HOLDER_UNKNOWN', text };
}

/** What cannot be read is noted, as `name`. */
export async function readOrNote<T>(
  read: () => Promise<T>,
  name: string,
  notes: HostNote[],
): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    if (error.code === 'HOST_NOT_FOUND') notes.push(unknownPlace(name));
    else notes.push({ code: 'HOLDER_UNREADABLE', text: `${name} could not be read: ${error.message}` });
    return null;
  }
}
