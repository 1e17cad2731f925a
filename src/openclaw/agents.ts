import { RouterError } from '../errors.js';
import type { Secret } from '../secret.js';
import type { HostNote, SlotGroup } from '../slot/host.js';
import type { Occupant, Slot, SlotReading } from '../slot/slot.js';

/** Which stores there are and who reads which. */
export interface AgentStores {
  /** Agent ids, `main` first. */
  readonly agents: readonly string[];
  readonly defaultAgent: string;
  /** The main store, which agents without an entry of their own read through to. */
  readonly shared: Slot;
  /** An agent's own store; the same object as `shared` where that is the same file. */
  readonly ownOf: (agent: string) => Slot;
  /** Whether an agent's own store is there. */
  readonly exists: (agent: string) => Promise<boolean>;
  /** Through 4.15: main's entry is copied over the agents' own. */
  readonly copiesMain: boolean;
  readonly release: string;
}

/**
 * Which slots a switch for `agent` writes.
 * Through 4.15, or when the release cannot be told: main's and every agent's own, one group. Later: the agent's own if it
 * has an entry or was asked for by name, else main's; and whatever holds a copy of that very grant.
 * @throws AGENT_NOT_FOUND naming the agents there are.
 */
export async function groupSlots(stores: AgentStores, agent: string): Promise<SlotGroup> {
  if (!stores.agents.includes(agent)) {
    throw noSuchAgent(stores, agent);
  }
  return stores.copiesMain ? await tied(stores, agent) : await apart(stores, agent);
}

export function noSuchAgent(stores: AgentStores, name: string): RouterError {
  const called = name.trim() === '' ? 'without a name' : name;
  return new RouterError('AGENT_NOT_FOUND', `OpenClaw has no agent ${called}`, {
    hint: `agents here: ${stores.agents.join(', ')}`,
  });
}

async function tied(stores: AgentStores, agent: string): Promise<SlotGroup> {
  const notes: HostNote[] = [];
  const copies: Slot[] = [];
  const follows: string[] = [];
  for (const other of stores.agents) {
    const own = stores.ownOf(other);
    if (own !== stores.shared) {
      const { occupant } = await own.read();
      if (occupant.kind === 'foreign') {
        notes.push({
          code: 'AGENT_FOREIGN',
          text: `agent ${other} runs on ${occupant.what} and was left alone`,
        });
        if (other === agent)
          return { agent, main: own, copies: [], follows: [agent], choosers: [], tied: false, notes };
        continue;
      }
      if (occupant.kind === 'login' && !copies.includes(own)) copies.push(own);
    }
    follows.push(other);
  }
  if (follows.length > 1) {
    notes.push({
      code: 'AGENTS_TIED',
      text: `${stores.release} copies main's login to its other agents; switched together: ${follows.join(', ')}`,
    });
  }
  return { agent, main: stores.shared, copies, follows, choosers: [], tied: follows.length > 1, notes };
}

async function apart(stores: AgentStores, agent: string): Promise<SlotGroup> {
  const notes: HostNote[] = [];
  const own = stores.ownOf(agent);
  const ownOccupant = own === stores.shared ? null : (await own.read()).occupant;
  const named = agent !== 'main' && agent !== stores.defaultAgent;
  const main = ownOccupant === null || (ownOccupant.kind === 'absent' && !named) ? stores.shared : own;
  if (main === own && ownOccupant?.kind === 'absent') {
    notes.push({
      code: 'AGENT_GETS_OWN_SLOT',
      text: `agent ${agent} had no login of its own and ran on main's; it gets one and no longer follows main`,
    });
  }
  const grant = refreshTokenOf((await main.read()).occupant);
  const copies: Slot[] = [];
  const follows: string[] = [];
  if (main !== stores.shared && (await holds(stores.shared, grant, 'main', notes)))
    copies.push(stores.shared);
  for (const other of stores.agents) {
    const slot = stores.ownOf(other);
    if (other === agent || slot === main || copies.includes(slot)) follows.push(other);
    else if (slot === stores.shared) continue;
    else if (await holds(slot, grant, other, notes)) {
      copies.push(slot);
      follows.push(other);
    } else if (await readsThrough(slot)) {
      if (main === stores.shared || copies.includes(stores.shared)) follows.push(other);
    }
  }
  if (follows.length > 1) {
    notes.push({ code: 'AGENTS_FOLLOW', text: `these agents run on the same login: ${follows.join(', ')}` });
  }
  const choosers = main === stores.shared ? await choosersOf(stores, agent, follows) : [];
  return { agent, main, copies, follows, choosers, tied: false, notes };
}

/**
 * Stores without the slot's entry whose own order or statistics still decide, for their agents, over what main's say. For `agent`
 * itself, which the person means, also one that chose another login of its own.
 */
async function choosersOf(stores: AgentStores, agent: string, follows: readonly string[]): Promise<Slot[]> {
  const choosers = new Set<Slot>();
  for (const other of follows) {
    const slot = stores.ownOf(other);
    if (slot === stores.shared || !slot.address.layout.startsWith('sqlite')) continue;
    const reading = await readable(slot);
    if (reading === null || reading.occupant.kind !== 'absent' || reading.selectable) continue;
    if (other === agent || !choosesOwn(reading)) choosers.add(slot);
  }
  return [...choosers];
}

/** Whether an agent without the slot's entry runs on another login of its own, which its order or lastGood names. */
export function choosesOwn({ neighbours, named }: SlotReading): boolean {
  return neighbours.some(({ profileId }) => named.includes(profileId));
}

async function readable(slot: Slot): Promise<SlotReading | null> {
  try {
    return await slot.read();
  } catch (error) {
    if (error instanceof RouterError) return null;
    throw error;
  }
}

/** Another agent's broken store must not stop a switch that does not touch it; it is said. */
async function holds(slot: Slot, grant: Secret | null, agent: string, notes: HostNote[]): Promise<boolean> {
  try {
    const token = refreshTokenOf((await slot.read()).occupant);
    return grant !== null && (token?.equals(grant) ?? false);
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    notes.push({ code: 'AGENT_UNREADABLE', text: `agent ${agent} was left alone: ${error.message}` });
    return false;
  }
}

async function readsThrough(slot: Slot): Promise<boolean> {
  const reading = await readable(slot);
  return reading !== null && reading.occupant.kind === 'absent' && !choosesOwn(reading);
}

function refreshTokenOf(occupant: Occupant): Secret | null {
  return occupant.kind === 'login' ? occupant.grant.refreshToken : null;
}

/** The main store and every agent's own store, unless it is known not to exist: one that cannot be looked at fails its reader. */
export async function existingSlots(stores: AgentStores): Promise<Slot[]> {
  const slots = [stores.shared];
  for (const agent of stores.agents) {
    const own = stores.ownOf(agent);
    if (slots.includes(own)) continue;
    if (await mayExist(stores, agent)) slots.push(own);
  }
  return slots;
}

async function mayExist(stores: AgentStores, agent: string): Promise<boolean> {
  try {
    return await stores.exists(agent);
  } catch (error) {
    if (error instanceof RouterError) return true;
    throw error;
  }
}
