import { createHash, randomUUID } from 'node:crypto';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import { isOwnSlot, ownSlotAddress } from '../../src/slot/own-slot.js';
import {
  type Neighbour,
  type Occupant,
  problemOf,
  type Revision,
  type Slot,
  type SlotAddress,
  type SlotReading,
} from '../../src/slot/slot.js';

type Entry = Exclude<Occupant, { kind: 'absent' }>;

/** What the host's refresh, or a hand that is nobody's, left in the place of the tokens. */
export type FencedLogin = Extract<Occupant, { kind: 'refreshing' | 'lost' | 'foreign' }>;

/** A host's store in memory, with the host's own hand on it. */
export interface FakeSlot extends Slot {
  /** The host writes an entry by itself (a login, a rotation, an API key); null takes it out. */
  hostPuts(
    profileId: string,
    entry: Holding | { readonly what: string } | 'refreshing' | 'lost' | FencedLogin | null,
  ): void;
  /** The host's own order and lastGood. */
  hostOrders(order: readonly string[], lastGood: string | null): void;
  /** The own slot of that number in the same store. */
  own(n: number): Slot;
  /** Every change that was asked for, also a refused one. */
  readonly replacements: number;
}

export interface FakeSlotOptions {
  readonly agent?: string;
  readonly profileId?: string;
  /** Whose folder it says it is in. */
  readonly stateDir?: string;
  /** An agent's own store without the slot's entry: it should choose nothing. */
  readonly isChooser?: boolean;
}

/** An in-memory Slot that keeps the port's promises: nothing on disk, no locks. */
export function fakeSlot(options: FakeSlotOptions = {}): FakeSlot {
  const {
    agent = 'main',
    profileId = 'openai-codex:default',
    stateDir = '/fake',
    isChooser = false,
  } = options;
  const address: SlotAddress = { id: `${stateDir}#${agent}#${profileId}`, layout: 'fake', agent, profileId };
  const entries = new Map<string, { readonly entry: Entry; readonly mark: string }>();
  let order: readonly string[] = [];
  let lastGood: string | null = null;
  let replacements = 0;

  const put = (id: string, entry: Entry) => entries.set(id, { entry, mark: markOf(entry) });
  const revision = () => JSON.stringify([...entries].map(([id, { mark }]) => [id, mark])) as Revision;
  const read = async (): Promise<SlotReading> => ({
    revision: revision(),
    occupant: entries.get(profileId)?.entry ?? { kind: 'absent' },
    neighbours: [...entries].filter(([id]) => id !== profileId).map(neighbourOf),
    order: order.length > 0 ? order : null,
    lastGood,
    named: [...new Set([...order, ...(lastGood === null ? [] : [lastGood])])],
    selectable: isChooser
      ? order.length === 0 && lastGood === null
      : order.length === 1 && order[0] === profileId && lastGood === profileId,
  });

  const own = (n: number): Slot => {
    const at = ownSlotAddress(address, profileId.slice(0, profileId.indexOf(':')), n);
    const id = at.profileId;
    const readOwn = async (): Promise<SlotReading> => {
      const { order: ids, lastGood: good, named } = await read();
      return {
        revision: revision(),
        occupant: entries.get(id)?.entry ?? { kind: 'absent' },
        neighbours: [...entries].filter(([other]) => other !== id).map(neighbourOf),
        order: ids,
        lastGood: good,
        named,
        selectable: !order.includes(id),
      };
    };
    return {
      address: at,
      read: readOwn,
      async replace({ expect, put: change }) {
        replacements += 1;
        if (expect !== revision()) throw new RouterError('SLOT_CHANGED', 'the slot changed');
        if (change === null) entries.delete(id);
        else if (change !== 'keep') put(id, loginOf(change));
        order = order.filter((one) => one !== id);
        if (lastGood === id) lastGood = order[0] ?? null;
        return await readOwn();
      },
    };
  };

  return {
    address,
    read,
    own,
    async replace(change) {
      replacements += 1;
      const { beside } = change;
      if (change.expect !== revision() || beside?.some((one) => entries.has(one.profileId)))
        throw new RouterError('SLOT_CHANGED', 'the slot changed');
      const before = order;
      for (const id of change.takeOut) if (id !== profileId) entries.delete(id);
      if (change.put === null) {
        entries.delete(profileId);
        order = order.filter((id) => id !== profileId);
        if (lastGood === profileId) lastGood = null;
      } else if (change.put === 'keep' && change.choose !== undefined) {
        order = change.choose.order ?? [];
        lastGood = change.choose.lastGood;
      } else if (isChooser) {
        if (change.put !== 'keep') throw new Error('a store that only chooses was given a login');
        order = [];
        lastGood = null;
      } else {
        if (change.put !== 'keep') put(profileId, { ...loginOf(change.put) });
        order = [profileId];
        lastGood = profileId;
      }
      if (beside !== undefined) {
        for (const one of beside) put(one.profileId, loginOf(one.holding));
        const logins = [...entries].flatMap(([id, { entry }]) => (entry.kind === 'login' ? [id] : []));
        const own = logins.includes(profileId) ? [profileId] : [];
        const named = before.filter((id) => entries.has(id));
        const isOurs = !named.some((id) => id !== profileId && logins.includes(id));
        const others = isOurs ? logins.filter((id) => !id.startsWith('personal:') && !isOwnSlot(id)) : [];
        order = [...new Set([...own, ...beside.map((one) => one.profileId), ...named, ...others])];
        lastGood = order[0] ?? null;
      }
      return await read();
    },
    hostPuts(id, entry) {
      if (entry === null) entries.delete(id);
      else if (entry === 'refreshing') put(id, { kind: entry, accountId: null });
      else if (entry === 'lost') put(id, { kind: entry, accountId: null, spent: () => false });
      else if ('kind' in entry) put(id, entry);
      else put(id, 'what' in entry ? { kind: 'foreign', what: entry.what } : loginOf(entry));
    },
    hostOrders(ids, good) {
      order = ids;
      lastGood = good;
    },
    get replacements() {
      return replacements;
    },
  };
}

function neighbourOf([id, { entry }]: [string, { readonly entry: Entry }]): Neighbour {
  return entry.kind === 'login'
    ? { profileId: id, ...entry }
    : { profileId: id, kind: 'foreign', what: problemOf(entry) ?? '' };
}

function loginOf({ identity, grant, hostFields, selection }: Holding): Entry {
  return { kind: 'login', identity, grant: { ...grant, idToken: null }, hostFields, selection };
}

/** Changes whenever the entry does; statistics are not part of it. */
function markOf(entry: Entry): string {
  if (entry.kind !== 'login') return randomUUID();
  const { accessToken, refreshToken, expiresAt } = entry.grant;
  const text = JSON.stringify([accessToken.reveal(), refreshToken.reveal(), expiresAt, entry.hostFields]);
  return createHash('sha256').update(text).digest('hex');
}
