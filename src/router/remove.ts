import { RouterError } from '../errors.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import type { IndexEntry, OpenRepo, Repo } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import type { Slot, SlotReading } from '../slot/slot.js';
import { planCheckIn } from './check-in.js';

export interface RemoveDeps {
  readonly repo: Repo;
  /** Opens the vault; called only when a slot has to be checked in. */
  open(): Promise<OpenRepo>;
  readonly host: Host;
  withLock<T>(work: () => Promise<T>): Promise<T>;
  critical<T>(work: () => Promise<T>): Promise<T>;
  readonly now: () => number;
}

/** What a removal would do, for the person to confirm. */
export interface Removal {
  readonly entry: IndexEntry;
  /** Slots that hold this identity now and would be cleared. */
  readonly slots: readonly { readonly slot: Slot; readonly reading: SlotReading }[];
  /** Sessions whose pin would be taken off, as `agent` and key. */
  readonly unpin: readonly { readonly agent: string; readonly key: string }[];
  /** The profile ids OpenClaw has left for its turns after the slot is cleared. */
  readonly next: readonly string[];
  readonly notes: readonly HostNote[];
}

/**
 * Previews a removal; writes nothing.
 * @throws IDENTITY_IN_USE when the identity is in a slot and `fromSlot` is false.
 */
export async function planRemoval(deps: RemoveDeps, entry: IndexEntry, fromSlot: boolean): Promise<Removal> {
  const holding: { slot: Slot; reading: SlotReading }[] = [];
  const next = new Set<string>();
  const notes: HostNote[] = [];
  for (const slot of await deps.host.allSlots()) {
    const reading = await slot.read();
    if (holds(reading.occupant, entry.identity)) {
      holding.push({ slot, reading });
      for (const neighbour of reading.neighbours) next.add(neighbour.profileId);
    }
    const copies = reading.neighbours.filter((neighbour) => holds(neighbour, entry.identity));
    for (const { profileId } of copies) {
      notes.push({
        code: 'COPY_LEFT',
        text: `OpenClaw's agent ${slot.address.agent} keeps its own copy as ${profileId}`,
      });
    }
  }
  const first = holding[0];
  if (first !== undefined && !fromSlot) {
    throw new RouterError('IDENTITY_IN_USE', `it is active in ${first.slot.address.profileId} right now`, {
      hint: 'codex-router use <another> first, or add --from-slot to clear the slot too',
    });
  }
  const unpin = [];
  for (const { slot } of holding) {
    const { agent, profileId } = slot.address;
    const entries = await deps.host.pinsOf(agent).read();
    unpin.push(
      ...entries.filter((session) => session.pinnedTo === profileId).map(({ key }) => ({ agent, key })),
    );
  }
  return { entry, slots: holding, unpin, next: [...next], notes };
}

/**
 * Forgets the identity here; nothing is revoked at the server. A slot that held it is checked in and cleared first, pins
 * before content, so that no chat is left pinned to a login that is gone.
 */
export async function carryOutRemoval(deps: RemoveDeps, removal: Removal): Promise<readonly HostNote[]> {
  const repo = removal.slots.length > 0 ? await deps.open() : null;
  return deps.withLock(() =>
    deps.critical(async () => {
      const notes: HostNote[] = [];
      for (const { agent, key } of removal.unpin) await deps.host.pinsOf(agent).set([key], null);
      for (const { slot, reading } of removal.slots) {
        if (repo !== null && reading.occupant.kind === 'login') {
          await (await planCheckIn(repo, reading.occupant, slot.address.id, deps.now())).carryOut();
        }
        await slot.replace({ expect: reading.revision, put: null, takeOut: [] });
        notes.push(...(await deps.host.reload(slot, null)).notes);
      }
      await deps.repo.remove(identityKey(removal.entry.identity));
      return notes;
    }),
  );
}

function holds(login: { readonly kind: string; readonly identity?: Identity }, identity: Identity): boolean {
  return login.kind === 'login' && login.identity !== undefined && sameIdentity(login.identity, identity);
}
