import { RouterError } from '../errors.js';
import { type Identity, identityKey, sameIdentity } from '../identity.js';
import { shellWord } from '../text.js';
import { damagedIn } from './damaged.js';
import type { Mended } from './finding.js';
import { nameOf } from './resolve.js';
import { type SyncDeps, sync } from './sync.js';
import { turnsGroup } from './turns-slot.js';
import { type UseDeps, use } from './use.js';

export interface SlotMendDeps extends UseDeps, Pick<SyncDeps, 'pause'> {}

/**
 * Puts an identity into an agent's slot as `use` does, and pins nothing.
 * @throws SLOT_FOREIGN for what is there and is neither a login nor what is left of one of this identity's; otherwise as `use`
 */
export async function mendSlot(deps: SlotMendDeps, agent: string, who: Identity): Promise<Mended> {
  const { main, tied, agent: own } = await turnsGroup(deps.host, agent);
  const reading = await main.read();
  const { occupant } = reading;
  if (occupant.kind === 'foreign') {
    const owner = (await damagedIn(await deps.opening, [{ reading }])).get(occupant);
    if (owner === undefined || !sameIdentity(owner.identity, who)) throw foreign(agent, occupant.what);
  }
  // Another command may have switched since it was looked at, and what it chose is not taken back.
  const still = async () => {
    const last = (await deps.journal.read()).findLast(
      (one) => one.slot === main.address.id && one.step !== 'abandoned',
    );
    if (last !== undefined && (last.to === null || !sameIdentity(last.to, who))) throw switched(agent);
  };
  // One that cannot be switched alone is switched with the others.
  const request = { ...WITHOUT_PIN, selector: identityKey(who), agent: tied ? null : own, still };
  const answer = await use(deps, request);
  const { to, from, slot, reload, result, notes } = answer;
  const isBack = result === 'switched' && (from === null || !sameIdentity(from, to.identity));
  const named = own === deps.host.defaultAgent ? '' : ` --agent ${shellWord(own)}`;
  return {
    text: `${nameOf(to)} is in ${slot.profileId} of agent ${slot.agent} again`,
    undo: isBack ? `codex-router undo${named}` : null,
    notes: [...notes, ...(reload?.advice ? [{ code: 'NOT_YET_EFFECTIVE', text: reload.advice }] : [])],
  };
}

const WITHOUT_PIN = { session: { kind: 'none' }, dryRun: false } as const;

/**
 * Has the running gateway read the slot again, and proves it.
 * @throws HOST_BUSY when it has not, with what to do; otherwise as `use`
 */
export async function mendEffective(deps: SlotMendDeps, agent: string, who: Identity): Promise<Mended> {
  const { main, tied, agent: own } = await turnsGroup(deps.host, agent);
  const still = async () => {
    const { occupant } = await main.read();
    if (occupant.kind === 'login' && !sameIdentity(occupant.identity, who)) throw switched(agent);
  };
  const request = { ...WITHOUT_PIN, selector: identityKey(who), agent: tied ? null : own, still };
  const answer = await use(deps, request);
  const { reload, slot, notes } = answer;
  if (reload !== null && !reload.proved && reload.effective !== 'no-gateway') throw notRead(reload.advice);
  return { text: `the gateway has read ${slot.profileId} of agent ${slot.agent} again`, undo: null, notes };
}

/** Brings an interrupted switch to its end, as `sync` does. @throws as `sync` */
export async function mendChoice(deps: SlotMendDeps): Promise<Mended> {
  const { notes } = await sync(deps, null);
  return { text: 'the interrupted switch was brought to its end', undo: null, notes };
}

function switched(agent: string): RouterError {
  return new RouterError(
    'SLOT_CHANGED',
    `agent ${agent} was switched since it was looked at, and is left so`,
    {
      hint: 'codex-router doctor looks again; the slot was not changed',
    },
  );
}

function foreign(agent: string, what: string): RouterError {
  return new RouterError('SLOT_FOREIGN', `the slot of agent ${agent} holds ${what}, which is left`, {
    hint: 'move it to another profile id in OpenClaw, then codex-router doctor --fix',
  });
}

function notRead(advice: string | null): RouterError {
  return new RouterError('HOST_BUSY', 'the running gateway has not read the slot again', {
    hint: advice ?? 'codex-router doctor --fix again, or restart the gateway',
  });
}
