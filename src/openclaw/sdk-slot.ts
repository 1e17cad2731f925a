import { RouterError } from '../errors.js';
import { isObject } from '../json.js';
import type { Slot, SlotAddress, SlotChange, SlotReading } from '../slot/slot.js';
import { type HostLock, type LockPatience, withHostLocks } from './locks.js';
import { parseStore } from './profiles.js';
import type { Sdk, SdkResult } from './sdk.js';
import { encodeHolding } from './sdk-message.js';
import { changedIds, readingOf, type StoreShape, slotChanged } from './store-document.js';

export interface SdkSlotPlace {
  readonly address: SlotAddress;
  /** `stateApart` does not count: the SDK gives one document. */
  readonly shape: StoreShape;
  readonly sdk: Sdk;
  /** The agent's own folder; null for the store all agents share (through 7.35: main's). */
  readonly agentDir: string | null;
  readonly now: () => number;
  /** OpenClaw's refresh locks of these profiles, which the SDK does not take for a write; none by default. */
  readonly locks?: (profileIds: readonly string[]) => readonly HostLock[];
  readonly lock?: LockPatience;
}

/** The slot of a release whose stores only that release writes: its own SDK reads, compares and writes, under its own locks. */
export function sdkSlot(place: SdkSlotPlace): Slot {
  const { address, sdk, agentDir } = place;
  const shape: StoreShape = { ...place.shape, stateApart: false };
  return {
    address,
    read: async () => readingIn(shape, sdk, await sdk.ask({ op: 'read', agentDir }, 'SLOT_UNREADABLE')),
    replace: async (change) =>
      await withHostLocks(
        place.locks?.(changedIds(address, change)) ?? [],
        place.lock ?? { waitMs: 5000 },
        () => replace(place, shape, change),
      ),
  };
}

async function replace(
  { address, sdk, agentDir, now }: SdkSlotPlace,
  shape: StoreShape,
  { expect, put, takeOut, beside, choose, wake }: SlotChange,
): Promise<SlotReading> {
  const sent = put === null || put === 'keep' ? put : encodeHolding(put);
  const arriving = beside?.map(({ profileId, holding }) => ({ profileId, holding: encodeHolding(holding) }));
  const request = {
    op: 'replace',
    agentDir,
    shape,
    expect,
    put: sent,
    takeOut,
    ...(arriving !== undefined && { beside: arriving }),
    ...(choose !== undefined && { choose }),
    ...(wake !== undefined && { wake }),
    now: now(),
  } as const;
  const answer = await sdk.ask(request, 'SLOT_UNREADABLE');
  if (answer.stage === 'changed') throw slotChanged(address);
  const reading = readingIn(shape, sdk, answer);
  if (put !== null && put !== 'keep' && reading.occupant.kind === 'absent') throw notKept(address, sdk);
  return reading;
}

/** From 5.12 on OpenClaw leaves a login out of an agent's own store when main's is of the same account and lives as long. */
function notKept({ agent }: SlotAddress, { release }: Sdk): RouterError {
  return new RouterError(
    'HOST_UNSUPPORTED',
    `${release} keeps no login of its own for agent ${agent} while main's is of the same account`,
    { hint: `agent ${agent} runs on main's login of that account; leave out --agent to switch main` },
  );
}

function readingIn(shape: StoreShape, sdk: Sdk, answer: SdkResult): SlotReading {
  if (answer.stage !== 'store' || !isObject(answer.store)) throw unexpected(sdk);
  parseStore(shape.path, answer.store, shape.provider);
  return readingOf(shape, { profiles: answer.store, state: null });
}

/** An answer to another question. */
export function unexpected({ release }: Sdk): RouterError {
  return new RouterError('HOST_UNSUPPORTED', `the SDK of ${release} gave an answer that is none`, {
    hint: 'update codex-router',
  });
}
