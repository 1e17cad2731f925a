import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { identityKey, sameIdentity } from '../identity.js';
import type { Fingerprint, IndexEntry, OpenRepo } from '../repo/repo.js';
import type { Host, HostNote, SlotGroup } from '../slot/host.js';
import type { Neighbour, Occupant, SlotAddress } from '../slot/slot.js';

/** A place outside OpenClaw that can hold a grant of ours: the Codex CLI's own auth.json. */
export interface OutsideHolder {
  /** Says who in an error sentence: "the Codex CLI (~/.codex)". */
  readonly name: string;
  /** The command that ends the double holding. */
  readonly remedy: string;
  /** Null when it holds no login. Throws when it cannot be understood. */
  read(): Promise<Holding | null>;
}

export interface CustodyDeps {
  readonly outside: readonly OutsideHolder[];
  /** Another OpenClaw on this machine, by its state directory. @throws HOST_NOT_FOUND when it is gone */
  hostAt(stateDir: string): Promise<Host>;
}

export interface Custody {
  /** Who else holds the grant, in words; null when nobody does. */
  readonly holder: { readonly name: string; readonly remedy: string } | null;
  /** Places that could not be read, so that their holding is unknown. */
  readonly notes: readonly HostNote[];
}

/**
 * Derives who holds a grant by reading every slot outside `group`, the other OpenClaw we last put it into, and every outside
 * holder, comparing fingerprints. What cannot be read is noted, never taken for empty.
 */
export async function holderOf(
  { entry, fingerprint }: { readonly entry: IndexEntry; readonly fingerprint: Fingerprint },
  repo: OpenRepo,
  host: Host,
  group: SlotGroup,
  { outside, hostAt }: CustodyDeps,
): Promise<Custody> {
  const notes: HostNote[] = [];
  const inGroup = new Set([group.main, ...group.copies].map((slot) => slot.address.id));
  for (const slot of await host.allSlots()) {
    if (inGroup.has(slot.address.id)) continue;
    const held = await readable(() => slot.read(), `agent ${slot.address.agent}`, notes);
    if (held === null) continue;
    const { agent } = slot.address;
    const isIt = (login: Occupant | Neighbour, place: string) =>
      login.kind === 'login' &&
      (repo.fingerprint(login.grant) === fingerprint || hasRotated(entry, login, place));
    const name = `OpenClaw's agent ${agent}`;
    if (isIt(held.occupant, slot.address.id)) {
      return { holder: { name, remedy: `codex-router use <another> --agent ${agent}` }, notes };
    }
    const beside = held.neighbours.find((one) => isIt(one, neighbourId(slot.address, one.profileId)));
    if (beside !== undefined) {
      const remedy = `codex-router use ${identityKey(entry.identity)} --agent ${agent}`;
      return { holder: { name: `${name} (${beside.profileId})`, remedy }, notes };
    }
  }
  const known = [...inGroup].some(
    (id) => parsePlace(id)?.store === parsePlace(entry.placement?.slot ?? '')?.store,
  );
  const elsewhere = known ? null : await placedElsewhere(entry, repo, host, hostAt, notes);
  if (elsewhere !== null) return { holder: elsewhere, notes };
  for (const { name, remedy, read } of outside) {
    const held = await readable(read, name, notes);
    if (held !== null && repo.fingerprint(held.grant) === fingerprint)
      return { holder: { name, remedy }, notes };
  }
  return { holder: null, notes };
}

/** Where we put the stored grant there is now another of the same identity: what its host made of it. */
function hasRotated({ identity, placement, fingerprint }: IndexEntry, held: Holding, place: string): boolean {
  const ours = placement?.slot === place && placement.fingerprint === fingerprint;
  return ours && sameIdentity(held.identity, identity);
}

/** The id under which a neighbour's placement is remembered: the slot's own with the other profile's name. */
export function neighbourId({ id }: SlotAddress, profileId: string): string {
  return `${id.slice(0, id.lastIndexOf('#') + 1)}${profileId}`;
}

/**
 * The place we last left this identity's login in, where that is outside this host's slots: another OpenClaw, or a store this
 * command does not see. Null when the place no longer has it; a place that cannot be found is noted, for nobody can say.
 */
export async function placedElsewhere(
  entry: IndexEntry,
  repo: OpenRepo | null,
  host: Host | null,
  hostAt: CustodyDeps['hostAt'],
  notes: HostNote[],
): Promise<Custody['holder']> {
  const { placement } = entry;
  const at = placement === null ? null : parsePlace(placement.slot);
  if (placement === null || at === null) return null;
  const { stateDir, agent } = at;
  const here = host !== null && stateDir === host.summary.stateDir;
  const name = here ? `the store of agent ${agent}` : `the OpenClaw in ${stateDir}`;
  const slots = await readable(async () => (here ? host : await hostAt(stateDir)).allSlots(), name, notes);
  if (slots === null) return null;
  const store = slots.filter(({ address }) => parsePlace(address.id)?.store === at.store);
  if (store.length === 0) notes.push(unknownPlace(name));
  // What this host shows was compared already.
  if (here) return null;
  for (const slot of slots) {
    const reading = await readable(() => slot.read(), name, notes);
    const remedy = `codex-router use <another> --state-dir ${stateDir} --agent ${slot.address.agent}`;
    // Whose token it is there can only be told afterwards.
    const refreshing = reading?.occupant.kind === 'refreshing' ? reading.occupant : null;
    const accountId = entry.identity.accountId;
    if (refreshing !== null && (refreshing.accountId ?? accountId) === accountId) return { name, remedy };
    const logins = reading === null ? [] : [reading.occupant, ...reading.neighbours];
    for (const login of logins) {
      if (login.kind !== 'login' || !sameIdentity(login.identity, entry.identity)) continue;
      const same = repo === null || repo.fingerprint(login.grant) === entry.fingerprint;
      // What the placed store holds now is our grant, or what its host made of it since.
      const rotated = store.includes(slot) && placement.fingerprint === entry.fingerprint;
      if (same || rotated) {
        return { name, remedy };
      }
    }
  }
  return null;
}

function unknownPlace(name: string): HostNote {
  const text = `it was last put into ${name}, which cannot be found now: where it has gone, the login must not be used too`;
  return { code: 'HOLDER_UNKNOWN', text };
}

/** The parts of a `SlotAddress.id`; `store` is all but the profile id. Null for a text that is none. */
function parsePlace(slot: string): { stateDir: string; agent: string; store: string } | null {
  const [, store = '', stateDir = '', agent = ''] = /^((.+)#([^#]+))#[^#]+$/s.exec(slot) ?? [];
  return store === '' ? null : { stateDir, agent, store };
}

async function readable<T>(read: () => Promise<T>, name: string, notes: HostNote[]): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    if (error.code === 'HOST_NOT_FOUND') notes.push(unknownPlace(name));
    else notes.push({ code: 'HOLDER_UNREADABLE', text: `${name} could not be read: ${error.message}` });
    return null;
  }
}
