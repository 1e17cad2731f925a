import { RouterError } from '../errors.js';
import type { OpenRepo } from '../repo/repo.js';
import { companionsOf, isOfProvider, type PinRules } from '../slot/companions.js';
import type { Host } from '../slot/host.js';
import { canonicalKey } from '../slot/session.js';
import type { SlotAddress } from '../slot/slot.js';
import { runningIn } from './carry-out.js';
import type { KeepBefore, Mended } from './finding.js';
import { claimHost } from './owner.js';
import type { SettledDeps } from './settled.js';
import { turnsSlot } from './turns-slot.js';

export interface PinMendDeps extends SettledDeps {
  readonly host: Host;
  withLock<T>(work: () => Promise<T>): Promise<T>;
  critical<T>(work: () => Promise<T>): Promise<T>;
  /** ms epoch */
  readonly now: () => number;
}

/**
 * Pins one session, and its companions, to the agent's slot. A pin to another provider's login, or to a person's own, is left.
 * @throws HOST_OWNED, VAULT_ROLLED_BACK, SESSION_NOT_FOUND when it is gone, SLOT_CHANGED when the pin is one to be left by now, or no login is in the slot, HOST_BUSY
 * when a turn that runs, or the host, does not let it be set; what the ports throw
 */
export async function mendPin(
  deps: PinMendDeps,
  repo: OpenRepo,
  { agent, key }: { readonly agent: string; readonly key: string },
  keep: KeepBefore,
): Promise<Mended> {
  const { host, withLock, critical, now } = deps;
  return withLock(async () => {
    const { slot, reading } = await turnsSlot(host, agent);
    const { profileId } = slot.address;
    const { kind } = reading.occupant;
    if (kind !== 'login' && kind !== 'refreshing') throw nobody(slot.address);
    const pins = host.pinsOf(agent);
    const entries = await pins.read();
    const entry = entries.find((one) => one.key === key);
    if (entry === undefined) throw gone(key);
    const { provider, formerProvider } = host.summary;
    const knownProfileIds = new Set([profileId, ...reading.neighbours.map((one) => one.profileId)]);
    const rules: PinRules = { slotProfileId: profileId, provider, formerProvider, knownProfileIds };
    const { pinnedTo } = entry;
    if (pinnedTo !== null && !isOfProvider(pinnedTo, rules)) throw chosen(key, pinnedTo);
    const wasOf = new Map(entries.map((one) => [one.key, one.pinnedTo]));
    const keys = [key, ...companionsOf(key, entries, rules)];
    const changed = keys.filter((one) => wasOf.get(one) !== profileId);
    const running = await runningIn(host, [agent]);
    if (running !== null && changed.some((one) => running.has(canonicalKey(one)))) throw inTurn(key);
    await claimHost(host, repo, now());
    const before = changed.map((one) => ({ key: one, was: wasOf.get(one) ?? null, is: profileId }));
    const id = await keep({ kind: 'pins', agent, pins: before });
    const set = await critical(() => pins.set(keys, profileId));
    const outcomes = (await pins.keep?.(set, profileId)) ?? set;
    const left = outcomes.find(({ result }) => result === 'pending' || result === 'gone');
    if (left !== undefined) throw left.result === 'gone' ? gone(left.key) : pending(left.key, left.why);
    const more = changed.length > 1 ? ` and ${changed.length - 1} companion entries` : '';
    const text = `${key}${more} pinned to ${profileId}, before to ${pinnedTo ?? 'nothing'}`;
    return { text, undo: `codex-router doctor --undo ${id}`, notes: [] };
  });
}

function nobody({ profileId, agent }: SlotAddress): RouterError {
  return new RouterError(
    'SLOT_CHANGED',
    `no login is in ${profileId} of agent ${agent} that a chat could run on`,
    {
      hint: 'codex-router use <accountId>',
    },
  );
}

function gone(key: string): RouterError {
  return new RouterError('SESSION_NOT_FOUND', `${key} is not there any more`, {
    hint: 'codex-router doctor looks again',
  });
}

function chosen(key: string, profileId: string): RouterError {
  return new RouterError('SLOT_CHANGED', `${key} is pinned to ${profileId} by now, which was left`, {
    hint: 'codex-router explain',
  });
}

function inTurn(key: string): RouterError {
  return new RouterError('HOST_BUSY', `a turn runs in ${key}, which would write its old pin back`, {
    hint: 'codex-router doctor --fix when it has ended; nothing was changed',
  });
}

function pending(key: string, why = 'OpenClaw wrote the old pin back'): RouterError {
  return new RouterError('HOST_BUSY', `${key} was not pinned: ${why}`, {
    hint: 'codex-router doctor --fix again, between two turns',
  });
}
