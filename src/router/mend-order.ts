import { RouterError } from '../errors.js';
import type { OpenRepo } from '../repo/repo.js';
import type { Host } from '../slot/host.js';
import type { Cause } from './explain-layers.js';
import type { KeepBefore, Mend, Mended } from './finding.js';
import { claimHost } from './owner.js';
import { type ReadSlot, type SettledDeps, settledReading } from './settled.js';
import { choosingSlots, turnsGroup } from './turns-slot.js';

export interface OrderMendDeps extends SettledDeps {
  readonly host: Host;
  withLock<T>(work: () => Promise<T>): Promise<T>;
  critical<T>(work: () => Promise<T>): Promise<T>;
  /** ms epoch */
  readonly now: () => number;
}

/** What a stored order cures; not what the configuration says of the slot, nor a rest that passes by itself. */
const CURED: readonly (Cause | null)[] = [
  'chosen-over',
  'nothing-chosen',
  'takes-turns',
  'other-first',
  'other-behind',
  'last-good',
];

/** `mendOrder` as the mend of a finding; null for a cause that it does not cure. */
export function orderMend(
  deps: OrderMendDeps & { readonly opening: Promise<OpenRepo> },
  agent: string,
  profileId: string,
  cause: Cause | null,
): Mend | null {
  if (!CURED.includes(cause)) return null;
  const does = `make ${profileId} the order of agent ${agent}, alone, and its lastGood`;
  return { does, carryOut: async (keep) => mendOrder(deps, await deps.opening, agent, keep) };
}

/**
 * Makes the slot of an agent what turns without a pin choose, in each store that chooses for it; no login is written.
 * @throws HOST_OWNED, VAULT_ROLLED_BACK, SLOT_FOREIGN for a slot without a login, SLOT_CHANGED; what `Slot.replace` throws
 */
export async function mendOrder(
  deps: OrderMendDeps,
  repo: OpenRepo,
  agent: string,
  keep: KeepBefore,
): Promise<Mended> {
  const { host, withLock, critical, now } = deps;
  return withLock(async () => {
    const group = await turnsGroup(host, agent);
    const stores: ReadSlot[] = [];
    for (const slot of await choosingSlots(host, agent)) {
      const reading = await settledReading(slot, deps);
      if (!reading.selectable) stores.push({ slot, reading });
    }
    const { occupant } = await settledReading(group.main, deps);
    if (occupant.kind !== 'login') throw noLogin(agent);
    const slots = stores.map(({ slot, reading: { order, lastGood } }) => ({
      id: slot.address.id,
      order,
      lastGood,
    }));
    await claimHost(host, repo, now());
    const undo = slots.length === 0 ? null : await keep({ kind: 'selection', agent, slots });
    await critical(async () => {
      for (const { slot, reading } of stores) {
        const after = await slot.replace({ expect: reading.revision, put: 'keep', takeOut: [] });
        if (!after.selectable) throw notKept(agent, undo);
      }
    });
    const reload = await host.reload(group.main, occupant.grant.expiresAt);
    const where = stores.map(({ slot }) => slot.address.agent);
    const named = where.length === 0 ? agent : [...new Set(where)].join(', ');
    const text = `the order of agent ${named} leads to ${group.main.address.profileId} alone, and so does lastGood`;
    return { text, undo: undo && `codex-router doctor --undo ${undo}`, notes: reload.notes };
  });
}

function noLogin(agent: string): RouterError {
  return new RouterError('SLOT_FOREIGN', `the slot of agent ${agent} holds no login that could be chosen`, {
    hint: 'codex-router explain',
  });
}

function notKept(agent: string, undo: string | null): RouterError {
  return new RouterError('SLOT_CHANGED', `the order of agent ${agent} did not stay as it was written`, {
    hint: undo === null ? 'codex-router explain' : `codex-router doctor --undo ${undo} takes it back`,
  });
}
