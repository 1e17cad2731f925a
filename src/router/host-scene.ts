import { RouterError } from '../errors.js';
import type { Journal } from '../repo/journal.js';
import type { Host } from '../slot/host.js';
import type { Slot, SlotReading } from '../slot/slot.js';

/** A slot as it was read in one look. */
export interface SlotSeen {
  readonly slot: Slot;
  readonly reading: SlotReading;
  /** A switch of ours was the last word in it: what chooses it is codex-router's business. */
  readonly isRouted: boolean;
}

/** One look at every slot of a host. Those that cannot be read are left out: who looks for holders tells them. */
export interface HostScene {
  readonly host: Host;
  /** The store that agents without an entry of their own read through to; null where it cannot be read. */
  readonly main: SlotSeen | null;
  /** The main one among them. */
  readonly slots: readonly SlotSeen[];
}

/** @throws what `Host.allSlots` and the journal throw */
export async function sceneOfHost(host: Host, journal: Pick<Journal, 'read'>): Promise<HostScene> {
  const routed = (await isRouted(host)) ? await routedSlots(journal) : new Set<string>();
  const slots: SlotSeen[] = [];
  const all = await host.allSlots();
  for (const slot of all) {
    const reading = await readingOrNull(slot);
    if (reading !== null) slots.push({ slot, reading, isRouted: routed.has(slot.address.id) });
  }
  return { host, main: slots.find(({ slot }) => slot === all[0]) ?? null, slots };
}

/** Whether a codex-router's name is in the host: `eject` takes it out, and what chooses there is the person's again. */
export async function isRouted(host: Host): Promise<boolean> {
  try {
    return (await host.owner()) !== null;
  } catch (error) {
    // One that cannot be understood is told by who looks for owners; nothing is mended there.
    if (error instanceof RouterError) return false;
    throw error;
  }
}

async function routedSlots(journal: Pick<Journal, 'read'>): Promise<ReadonlySet<string>> {
  const last = new Map<string, boolean>();
  for (const { slot, step, to } of await journal.read()) {
    if (step !== 'abandoned') last.set(slot, to !== null);
  }
  return new Set([...last].flatMap(([slot, isRouted]) => (isRouted ? [slot] : [])));
}

async function readingOrNull(slot: Slot): Promise<SlotReading | null> {
  try {
    return await slot.read();
  } catch (error) {
    if (error instanceof RouterError) return null;
    throw error;
  }
}
