import { RouterError } from '../errors.js';
import type { Identity } from '../identity.js';
import type { Env } from '../os/folders.js';
import type { Journal } from '../repo/journal.js';
import type { IndexEntry, Repo } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import type { Slot, SlotAddress, SlotReading } from '../slot/slot.js';
import { shellWord } from '../text.js';
import { isChosenPin } from './chosen-pins.js';
import { chosenIn, runOf } from './explain-choice.js';
import { effectiveLayer, labelLayer, usageLayer } from './explain-host.js';
import { type Layer, type Symptom, symptomOf } from './explain-layers.js';
import type { Scene } from './explain-scene.js';
import { orderLayer, pinLayer } from './explain-selection.js';
import { choiceLayer, slotLayer } from './explain-slot.js';
import { type LookedAt, lookedAt } from './looked-at.js';
import { ownerNotes } from './owner.js';
import { entryOrNull, typedSelectorOf } from './resolve.js';
import { turnsSlot } from './turns-slot.js';

export interface ExplainDeps {
  readonly repo: Repo;
  readonly host: Host;
  readonly journal: Pick<Journal, 'read' | 'choices'>;
  readonly env: Env;
  /** ms epoch */
  readonly now: () => number;
}

export interface ExplainRequest {
  readonly agent: string | null;
  /** The key of a session, as it was named. */
  readonly session: string | null;
}

export interface Explanation {
  readonly agent: string;
  readonly slot: SlotAddress;
  readonly session: Pick<LookedAt, 'key' | 'why'>;
  /** All seven, in their order. */
  readonly layers: readonly Layer[];
  /** The first that disagrees, with the command that mends it. */
  readonly first: Layer | null;
  /** What a person sees of that one. */
  readonly symptom: Symptom | null;
  readonly notes: readonly HostNote[];
}

/**
 * Which account each layer speaks of, and the first that disagrees with those before it. Opens no vault, changes, renews and makes
 * nothing read again; what cannot be read is `unknown`.
 * @throws AGENT_NOT_FOUND, VAULT_DAMAGED, VAULT_NEWER, IO
 */
export async function explain(deps: ExplainDeps, request: ExplainRequest): Promise<Explanation> {
  const { host, repo, journal } = deps;
  const scene = await sceneOf(deps, request);
  const { slot, session } = scene;
  const choice = await choiceLayer(journal, scene);
  const chosen = chosenIn(scene);
  const run = runOf(scene, chosen);
  const effective = await effectiveLayer(scene, run);
  const isRouted = choice.routed !== undefined;
  const pin = pinLayer(scene, isRouted);
  const layers = [
    choice.layer,
    slotLayer(scene, choice.routed),
    orderLayer(scene, chosen, isRouted),
    pin,
    effective,
    usageLayer(scene, chosen, effective),
    labelLayer(scene, run, effective),
  ];
  const first = layers.find(({ verdict }) => verdict === 'disagrees') ?? null;
  const { key, why } = session;
  return {
    agent: session.agent,
    slot: slot.address,
    session: { key, why },
    layers,
    first,
    symptom: first && symptomOf(first, pin),
    notes: [...(await ownerNotes(host, repo)), ...host.summary.notes],
  };
}

/** @throws as `explain` */
export async function sceneOf(
  { host, env, repo, journal, now }: ExplainDeps,
  request: ExplainRequest,
): Promise<Scene> {
  const session = await lookedAt(host, env, request);
  const entries = await repo.list();
  const { isOwn, ...found } = await lookAt(host, session.agent);
  const there = found.reading?.occupant;
  const occupant = there?.kind === 'login' ? there.identity : null;
  return {
    ...found,
    host,
    entries,
    session,
    isChosen: await isChosenPin({ host, journal }, session.agent, session.entry),
    now: now(),
    occupant: occupant && (entryOrNull(occupant, entries)?.identity ?? occupant),
    use: (whom, flags) => useCommand(whom, entries, isOwn ? session.agent : null, flags),
  };
}

type Look = Pick<
  Scene,
  'slot' | 'reading' | 'trouble' | 'neighbours' | 'order' | 'orderOf' | 'choosers' | 'shadows'
> & {
  readonly isOwn: boolean;
};

async function lookAt(host: Host, agent: string): Promise<Look> {
  try {
    const { slot, reading, choosers, isOwn } = await turnsSlot(host, agent);
    const beside = await besideOf(host, agent, slot);
    const both = beside === null ? [{ slot, reading }] : [{ slot, reading }, beside];
    // The agent's own goes before the one that all agents read.
    const from = (beside?.isMain === false ? both.toReversed() : both).find(
      (one) => one.reading.order !== null,
    );
    const known = new Set([slot.address.profileId, ...reading.neighbours.map(({ profileId }) => profileId)]);
    const more = (beside?.reading.neighbours ?? []).filter(({ profileId }) => !known.has(profileId));
    return {
      slot,
      reading,
      trouble: null,
      neighbours: [...reading.neighbours, ...more],
      order: from?.reading.order ?? null,
      orderOf: from?.slot.address.agent ?? null,
      choosers,
      shadows: beside?.isMain === true && agent === host.defaultAgent ? beside : null,
      isOwn,
    };
  } catch (error) {
    const [slot] = await host.allSlots();
    if (!(error instanceof RouterError) || error.code === 'AGENT_NOT_FOUND' || slot === undefined)
      throw error;
    const nothing = {
      reading: null,
      neighbours: [],
      order: null,
      orderOf: null,
      choosers: [],
      shadows: null,
    };
    return { slot, ...nothing, trouble: error, isOwn: false };
  }
}

interface Beside {
  readonly slot: Slot;
  readonly reading: SlotReading;
  /** The one all agents read, beside the agent's own; false for the agent's own, beside that. */
  readonly isMain: boolean;
}

/** The other store that OpenClaw reads for the agent's turns (from 4.20); null where there is none that can be read. */
async function besideOf(host: Host, agent: string, slot: Slot): Promise<Beside | null> {
  const group = await host.slotsFor(agent);
  if (group.tied) return null;
  const [main, ...others] = await host.allSlots();
  const isMain = main !== undefined && main.address.id !== slot.address.id;
  const beside = isMain ? main : others.find(({ address }) => address.agent === agent);
  if (beside === undefined) return null;
  try {
    return { slot: beside, reading: await beside.read(), isMain };
  } catch (error) {
    if (error instanceof RouterError) return null;
    throw error;
  }
}

/** Stores who is there and is not stored: what mends a layer can be told only then. */
export const IMPORT = 'codex-router import --from openclaw';

function useCommand(
  whom: Identity | null,
  entries: readonly IndexEntry[],
  agent: string | null,
  flags = '',
): string {
  const entry = whom === null ? null : entryOrNull(whom, entries);
  if (entry === null) return IMPORT;
  const selector = shellWord(typedSelectorOf(entry, entries));
  const named = agent === null || flags.includes('--session') ? '' : ` --agent ${shellWord(agent)}`;
  return `codex-router use ${selector}${named}${flags}`;
}
