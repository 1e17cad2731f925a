import { RouterError } from '../errors.js';
import { type Identity, sameIdentity } from '../identity.js';
import type { Env } from '../os/folders.js';
import type { Journal } from '../repo/journal.js';
import type { IndexEntry, Repo } from '../repo/repo.js';
import type { Host, HostNote } from '../slot/host.js';
import type { SlotAddress } from '../slot/slot.js';
import { shellWord } from '../text.js';
import { effectiveLayer, labelLayer, usageLayer } from './explain-host.js';
import type { Layer } from './explain-layers.js';
import { entryOf, type Scene } from './explain-scene.js';
import { orderLayer, pinLayer } from './explain-selection.js';
import { type LookedAt, lookedAt } from './looked-at.js';
import { problemIn } from './lost.js';
import { ownerNotes } from './owner.js';
import { typedSelectorOf } from './resolve.js';
import { turnsSlot } from './turns-slot.js';

export interface ExplainDeps {
  readonly repo: Repo;
  readonly host: Host;
  readonly journal: Pick<Journal, 'read'>;
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
  readonly notes: readonly HostNote[];
}

/**
 * Which account each layer speaks of, and the first that disagrees with those before it. Opens no vault, changes, renews and makes
 * nothing read again; what cannot be read is `unknown`.
 * @throws AGENT_NOT_FOUND, VAULT_DAMAGED, VAULT_NEWER, IO
 */
export async function explain(deps: ExplainDeps, request: ExplainRequest): Promise<Explanation> {
  const { host, repo } = deps;
  const session = await lookedAt(host, deps.env, request);
  const entries = await repo.list();
  const found = await lookAt(host, session.agent);
  const { slot, reading } = found;
  const occupant = reading?.occupant.kind === 'login' ? reading.occupant.identity : null;
  const named = (who: Identity): Identity => entryOf(who, entries)?.identity ?? who;
  const scene: Scene = {
    ...found,
    host,
    entries,
    session,
    now: deps.now(),
    occupant: occupant && named(occupant),
    use: (whom, flags) => useCommand(whom, entries, found.isOwn ? session.agent : null, flags),
  };
  const choice = await choiceLayer(deps, scene);
  const order = orderLayer(scene);
  const effective = await effectiveLayer(scene);
  const layers = [
    choice.layer,
    slotLayer(scene, choice.routed),
    order.layer,
    pinLayer(scene),
    effective,
    usageLayer(scene, order.first, effective),
    labelLayer(scene),
  ];
  const { key, why } = session;
  return {
    agent: session.agent,
    slot: slot.address,
    session: { key, why },
    layers,
    first: layers.find(({ verdict }) => verdict === 'disagrees') ?? null,
    notes: [...(await ownerNotes(host, repo)), ...host.summary.notes],
  };
}

async function lookAt(
  host: Host,
  agent: string,
): Promise<Pick<Scene, 'slot' | 'reading' | 'trouble' | 'choosers'> & { readonly isOwn: boolean }> {
  try {
    return { ...(await turnsSlot(host, agent)), trouble: null };
  } catch (error) {
    const [slot] = await host.allSlots();
    if (!(error instanceof RouterError) || error.code === 'AGENT_NOT_FOUND' || slot === undefined)
      throw error;
    return { slot, reading: null, trouble: error, choosers: [], isOwn: false };
  }
}

function useCommand(
  whom: Identity | null,
  entries: readonly IndexEntry[],
  agent: string | null,
  flags = '',
): string | null {
  const entry = whom === null ? null : entryOf(whom, entries);
  if (entry === null) return whom === null ? null : 'codex-router import --from openclaw';
  const selector = shellWord(typedSelectorOf(entry, entries));
  const named = agent === null || flags.includes('--session') ? '' : ` --agent ${shellWord(agent)}`;
  return `codex-router use ${selector}${named}${flags}`;
}

/** What codex-router last put into the slot; `routed`: undefined when it never did. */
async function choiceLayer(
  { journal }: ExplainDeps,
  { slot, entries }: Scene,
): Promise<{ readonly layer: Layer; readonly routed: Identity | null | undefined }> {
  const base = { layer: 'choice', readFrom: "codex-router's journal", identity: null, remedy: null } as const;
  const last = (await journal.read())
    .filter((record) => record.slot === slot.address.id && record.step !== 'abandoned')
    .at(-1);
  if (last === undefined) {
    const why = 'codex-router has switched nothing here yet';
    return { layer: { ...base, value: 'nothing yet', verdict: 'unknown', why }, routed: undefined };
  }
  const { to, step } = last;
  const routed =
    to && (entryOf(to, entries)?.identity ?? { ...to, email: null, plan: null, workspace: null });
  const layer: Layer = {
    ...base,
    identity: routed,
    value: routed === null ? 'empty' : null,
    ...(step === 'begun' || step === 'swapped'
      ? {
          verdict: 'disagrees',
          why: 'that switch has not come to its end, or is under way',
          remedy: 'codex-router sync',
        }
      : { verdict: 'agrees', why: null }),
  };
  return { layer, routed };
}

/** Who is in the slot now, beside whom codex-router put there. */
function slotLayer(scene: Scene, routed: Identity | null | undefined): Layer {
  const { host, slot, reading, trouble, entries, occupant } = scene;
  const { agent, profileId, layout } = slot.address;
  const readFrom = `${profileId} in the ${layout} store of agent ${agent}, ${host.summary.stateDir}`;
  const base = { layer: 'slot' as const, readFrom, identity: occupant, value: null, remedy: null };
  if (reading === null) {
    return { ...base, value: 'unreadable', verdict: 'unknown', why: trouble?.message ?? 'it cannot be read' };
  }
  const mend = scene.use(routed ?? null);
  if (reading.occupant.kind !== 'login') {
    const value = problemIn(slot, reading.occupant, entries) ?? 'empty';
    if (reading.occupant.kind === 'refreshing') {
      const why = 'OpenClaw is renewing the login there just now';
      return { ...base, value, verdict: 'unknown', why };
    }
    if (reading.occupant.kind === 'absent' && !routed) {
      return { ...base, value, verdict: 'agrees', why: null };
    }
    const why = routed ? 'no login is there any more' : 'no login that can be used is there';
    const holder = reading.occupant.kind === 'foreign' ? 'codex-router doctor' : mend;
    return { ...base, value, verdict: 'disagrees', why, remedy: holder };
  }
  const isStored = occupant !== null && entryOf(occupant, entries) !== null;
  const stored = isStored ? null : 'that login is not stored here';
  if (routed === undefined || (routed !== null && sameIdentity(routed, reading.occupant.identity))) {
    return { ...base, verdict: 'agrees', why: stored };
  }
  const why =
    routed === null
      ? 'codex-router had emptied it: another program has put a login in'
      : 'another program has put another login in since codex-router did';
  const remedy = routed === null || entryOf(routed, entries) === null ? scene.use(occupant) : mend;
  return { ...base, verdict: 'disagrees', why, remedy };
}
