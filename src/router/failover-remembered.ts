import type { FailoverStateFile } from '../repo/failover-state.js';
import type { HostNote } from '../slot/host.js';
import type { Memory } from './failover-policy.js';

/** Where a round remembers what it saw, by `SlotAddress.id`. */
export interface RoundMemory {
  /** @throws VAULT_NEWER, IO */
  read(slot: string): Promise<{ readonly memory: Memory; readonly note: HostNote | null }>;
  /** @param next is given what is remembered then, by whoever wrote it. Without any lock held. @throws VAULT_NEWER, IO, BUSY */
  change(slot: string, next: (before: Memory) => Memory): Promise<void>;
}

/** For a look: what is remembered is read, and nothing new is. */
export function seenMemory(file: FailoverStateFile, now: () => number): RoundMemory {
  return {
    read: async (slot) => {
      const { memoryOf, note } = await file.read(now());
      return { memory: memoryOf(slot), note };
    },
    change: async () => undefined,
  };
}

/** For a watch that changes nothing: begins with what the file says and goes on by itself. One for the life of the watch. */
export function processMemory(file: FailoverStateFile, now: () => number): RoundMemory {
  const own = new Map<string, Memory>();
  const read = async (slot: string) => {
    const known = own.get(slot);
    if (known !== undefined) return { memory: known, note: null };
    const { memoryOf, note } = await file.read(now());
    return { memory: memoryOf(slot), note };
  };
  return {
    read,
    change: async (slot, next) => {
      own.set(slot, next((await read(slot)).memory));
    },
  };
}

/** For `--apply`: in the file, read anew under the router lock. */
export function fileMemory(
  file: FailoverStateFile,
  now: () => number,
  withLock: <T>(work: () => Promise<T>) => Promise<T>,
): RoundMemory {
  return {
    read: seenMemory(file, now).read,
    change: (slot, next) =>
      withLock(async () => {
        const { memoryOf } = await file.read(now());
        await file.keep({ memories: new Map([[slot, next(memoryOf(slot))]]) }, true, now());
      }),
  };
}
