import { RouterError } from '../errors.js';
import type { Holding } from '../holding.js';
import { identityKey, sameIdentity } from '../identity.js';
import type { Fingerprint, IndexEntry, OpenRepo } from '../repo/repo.js';
import type { Host, HostNote, SlotGroup } from '../slot/host.js';
import type { Neighbour, Occupant } from '../slot/slot.js';

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
    const isIt = (login: Occupant | Neighbour) =>
      login.kind === 'login' && repo.fingerprint(login.grant) === fingerprint;
    const name = `OpenClaw's agent ${agent}`;
    if (isIt(held.occupant)) {
      return { holder: { name, remedy: `codex-router use <another> --agent ${agent}` }, notes };
    }
    const beside = held.neighbours.find(isIt);
    if (beside !== undefined) {
      const remedy = `codex-router use ${identityKey(entry.identity)} --agent ${agent}`;
      return { holder: { name: `${name} (${beside.profileId})`, remedy }, notes };
    }
  }
  const elsewhere = await otherHostOf(entry, repo, host, hostAt, notes);
  if (elsewhere !== null) return { holder: elsewhere, notes };
  for (const { name, remedy, read } of outside) {
    const held = await readable(read, name, notes);
    if (held !== null && repo.fingerprint(held.grant) === fingerprint)
      return { holder: { name, remedy }, notes };
  }
  return { holder: null, notes };
}

/** The other OpenClaw that we put this identity into and that still has it, rotated or not; null when there is none. */
async function otherHostOf(
  { identity, placement, fingerprint }: IndexEntry,
  repo: OpenRepo,
  host: Host,
  hostAt: CustodyDeps['hostAt'],
  notes: HostNote[],
): Promise<Custody['holder']> {
  const stateDir = placement === null ? null : stateDirOf(placement.slot);
  if (placement === null || stateDir === null || stateDir === host.summary.stateDir) return null;
  const name = `the OpenClaw in ${stateDir}`;
  const held = await readable(
    async () => {
      const slots = await absentAsNull(hostAt(stateDir).then((other) => other.allSlots()));
      const slot = slots?.find(({ address }) => address.id === placement.slot);
      return slot === undefined ? null : slot.read();
    },
    name,
    notes,
  );
  if (held?.occupant.kind !== 'login' || !sameIdentity(held.occupant.identity, identity)) return null;
  // What it holds now is our grant, or what it made of it since.
  const ours = repo.fingerprint(held.occupant.grant) === fingerprint || placement.fingerprint === fingerprint;
  return ours ? { name, remedy: `codex-router use <another> --state-dir ${stateDir}` } : null;
}

/** The state directory in a `SlotAddress.id`; null for a text that is none. */
function stateDirOf(slot: string): string | null {
  return /^(.+)#[^#]+#[^#]+$/s.exec(slot)?.[1] ?? null;
}

async function absentAsNull<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof RouterError && error.code === 'HOST_NOT_FOUND') return null;
    throw error;
  }
}

async function readable<T>(read: () => Promise<T>, name: string, notes: HostNote[]): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    notes.push({ code: 'HOLDER_UNREADABLE', text: `${name} could not be read: ${error.message}` });
    return null;
  }
}
