import { RouterError } from '../errors.js';
import type { Host, SlotGroup } from '../slot/host.js';
import { isOwnSlot } from '../slot/own-slot.js';
import type { Occupant, Slot, SlotReading } from '../slot/slot.js';

export interface ReadSlot {
  readonly slot: Slot;
  readonly reading: SlotReading;
}

export interface SettledDeps {
  /** Heard once, when there is something to wait for. */
  readonly onRefreshing?: () => void;
  /** Ends the wait; nothing was written then. */
  readonly signal?: AbortSignal;
}

/** OpenClaw gives a refresh 120 s (9.6: `OAUTH_REFRESH_CALL_TIMEOUT_MS`) and settles its fence right after. */
const LIMIT_MS = 125_000;
const POLL_MS = 200;

/**
 * The slot once its host is not in the middle of refreshing it: the rotated token is on its way there, and writing before it has
 * come would lose it for good (law 2).
 * @throws HOST_BUSY past 125 s; what `Slot.read` throws
 */
export async function settledReading(
  slot: Slot,
  { onRefreshing, signal }: SettledDeps,
): Promise<SlotReading> {
  const deadline = performance.now() + LIMIT_MS;
  for (let attempt = 1; ; attempt += 1) {
    const reading = await slot.read();
    if (reading.occupant.kind !== 'refreshing') return reading;
    signal?.throwIfAborted();
    if (attempt === 1) onRefreshing?.();
    if (performance.now() >= deadline) throw stuck(slot);
    await new Promise((wake) => setTimeout(wake, POLL_MS));
  }
}

/** The slots that a switch of this group would read, the main one first, each as `settledReading` gives it. @throws as that */
export async function settledGroup(
  { main, copies }: Pick<SlotGroup, 'main' | 'copies'>,
  deps: SettledDeps,
): Promise<readonly ReadSlot[]> {
  const read: ReadSlot[] = [];
  for (const slot of [main, ...copies]) read.push({ slot, reading: await settledReading(slot, deps) });
  return read;
}

/**
 * Waits for every slot of a host in which a login of an account that is meant is being refreshed: whose token it is, and so who holds it,
 * can only be told afterwards. Slots that cannot be read are for others to tell.
 * @throws as `settledReading`
 */
export async function settleAccounts(
  host: Host,
  accountsMeant: () => Promise<readonly string[]>,
  deps: SettledDeps,
): Promise<void> {
  const wait = async (slot: Slot, occupant: Occupant) => {
    if (occupant.kind !== 'refreshing') return;
    const { accountId } = occupant;
    const isMeant = accountId === null || (await accountsMeant()).includes(accountId);
    if (isMeant) await settledReading(slot, deps);
  };
  let isOwnBusy = false;
  for (const slot of await host.allSlots()) {
    const reading = await readingOrNull(slot);
    if (reading === null) continue;
    // Beside its slot, an own slot's fence is only something that is no login.
    isOwnBusy ||= reading.neighbours.some(
      ({ kind, profileId }) => kind === 'foreign' && isOwnSlot(profileId),
    );
    await wait(slot, reading.occupant);
  }
  for (const slot of isOwnBusy ? await host.everyOwnSlot() : []) {
    const reading = await readingOrNull(slot);
    if (reading !== null) await wait(slot, reading.occupant);
  }
}

async function readingOrNull(slot: Slot): Promise<SlotReading | null> {
  try {
    return await slot.read();
  } catch (error) {
    if (error instanceof RouterError) return null;
    throw error;
  }
}

function stuck({ address }: Slot): RouterError {
  return new RouterError(
    'HOST_BUSY',
    `OpenClaw has been refreshing ${address.profileId} of agent ${address.agent} for two minutes`,
    { hint: 'send it one message or restart the gateway, then run the command again; nothing was changed' },
  );
}
