import { readClaims } from '../../src/claims.js';
import { type IdentityKey, identityKey } from '../../src/identity.js';
import type { JsonObject } from '../../src/json.js';
import type { Limits, LimitWindow } from '../../src/limits.js';
import { freshMemory } from '../../src/router/failover-memory.js';
import type { RoundRequest } from '../../src/router/failover-plan.js';
import type { Memory } from '../../src/router/failover-policy.js';
import type { RoundMemory } from '../../src/router/failover-remembered.js';
import { failoverRound, type RoundDeps } from '../../src/router/failover-round.js';
import { FAILOVER_DEFAULTS, type FailoverSettings } from '../../src/router/failover-settings.js';
import type { UsageAnswer, UsageSource } from '../../src/router/usage-source.js';
import { type FakeHostOptions, fakeHost } from '../contract/fake-host.js';
import { fakeJournal } from '../contract/fake-journal.js';
import { type FakeRepo, fakeRepo } from '../contract/fake-repo.js';
import { type FakeSlot, fakeSlot } from '../contract/fake-slot.js';
import { holdingOf } from '../contract/slot.js';
import { DAY, loginOf, type PersonName, people } from '../kit/tokens.js';
import { SURROUNDINGS } from './support.js';

export const SLOT = 'openai-codex:default';
export const MAIN = 'agent:main:main';
export const NOW = Date.now();
const MINUTE = 60_000;

/** What the backend says of one: what is left of both windows, or how it refuses. */
export type Said = readonly [fiveHour: number, weekly: number] | Exclude<UsageAnswer['kind'], 'answered'>;

export interface RoundBench {
  readonly repo: FakeRepo;
  readonly slot: FakeSlot;
  readonly host: ReturnType<typeof fakeHost>;
  readonly journal: ReturnType<typeof fakeJournal>;
  /** Whose token was sent, in order. */
  readonly asked: PersonName[];
  /** What is remembered, by slot; `kept` counts the writes. */
  readonly memory: Map<string, Memory>;
  readonly kept: () => number;
  say(said: Partial<Record<PersonName, Said>>): void;
  /** Hears of each question before it is answered. */
  onAsk(listener: (name: PersonName) => void): void;
  round(request?: Partial<RoundRequest>, deps?: Partial<RoundDeps>): ReturnType<typeof failoverRound>;
  /** Stores these logins; the first one is put into the slot too. */
  begin(inSlot: PersonName | null, ...parked: readonly PersonName[]): Promise<void>;
  /** Lets ms pass. */
  pass(ms: number): void;
  now(): number;
  inSlot(): Promise<PersonName | null>;
}

export const keyOf = (name: PersonName): IdentityKey => identityKey(holdingFor(name).identity);
export const holdingFor = (name: PersonName, selection: JsonObject | null = null) =>
  holdingOf(loginOf(name, { nonce: `of${name}`, issuedAt: NOW - DAY, expiresAt: NOW + 9 * DAY }), {
    selection,
  });

const NAMES = Object.keys(people) as PersonName[];

/** A host in memory with one quiet chat that is pinned to the slot, unless told otherwise. */
export function roundBench(
  options: Omit<FakeHostOptions, 'slots'> & { readonly slots?: FakeHostOptions['slots'] } = {},
  settings: Partial<FailoverSettings> = {},
): RoundBench {
  let now = NOW;
  const repo = fakeRepo(() => now);
  const slots = options.slots ?? [fakeSlot()];
  const [slot] = slots;
  const sessions = options.sessions ?? [{ key: MAIN, pinnedTo: SLOT, pinSource: 'user' }];
  const host = fakeHost({ ...options, sessions, slots });
  const journal = fakeJournal();
  const asked: PersonName[] = [];
  const answers = new Map<PersonName, Said>();
  let listener = (_name: PersonName): void => undefined;
  const source: UsageSource = {
    ask: async (token) => {
      const claims = readClaims(token);
      const name = NAMES.find(
        (one) => people[one].accountId === claims?.accountId && people[one].userId === claims?.userId,
      );
      if (name === undefined) throw new Error('a token of nobody was sent');
      asked.push(name);
      listener(name);
      const said = answers.get(name) ?? [80, 80];
      if (typeof said === 'string') return { kind: said, why: 'the test says so' };
      const { accountId, userId, email } = people[name];
      return { kind: 'answered', limits: limitsOf(said, now), named: { accountId, userId, email } };
    },
  };
  const memories = new Map<string, Memory>();
  let kept = 0;
  const memory: RoundMemory = {
    read: async (id) => ({ memory: memories.get(id) ?? freshMemory(null), note: null }),
    change: async (id, next) => {
      kept += 1;
      memories.set(id, next(memories.get(id) ?? freshMemory(null)));
    },
  };
  return {
    repo,
    slot,
    host,
    journal,
    asked,
    memory: memories,
    kept: () => kept,
    say: (said) => {
      for (const name of NAMES) if (said[name] !== undefined) answers.set(name, said[name]);
    },
    onAsk: (next) => {
      listener = next;
    },
    round: (request = {}, deps = {}) =>
      failoverRound(
        {
          ...SURROUNDINGS,
          homes: async () => SURROUNDINGS.homes,
          repo,
          open: () => repo.open(),
          host,
          outside: [],
          hostAt: async () => host,
          journal,
          source,
          memory,
          settings: { ...FAILOVER_DEFAULTS, ...settings },
          now: () => now,
          ...deps,
        },
        { sessions: [MAIN], mode: 'named', apply: false, ...request },
      ),
    begin: async (inSlot, ...parked) => {
      const open = await repo.open();
      for (const name of inSlot === null ? parked : [inSlot, ...parked]) {
        await open.save(holdingFor(name), { source: 'codex', alias: name });
      }
      if (inSlot !== null) {
        slot.hostPuts(SLOT, holdingFor(inSlot));
        slot.hostOrders([SLOT], SLOT);
      }
    },
    pass: (ms) => {
      now += ms;
    },
    now: () => now,
    inSlot: async () => {
      const { occupant } = await slot.read();
      if (occupant.kind !== 'login') return null;
      return NAMES.find((name) => keyOf(name) === identityKey(occupant.identity)) ?? null;
    },
  };
}

function limitsOf([fiveHour, weekly]: readonly [number, number], now: number): Limits {
  const window = (label: string, seconds: number, leftPercent: number): LimitWindow => ({
    name: null,
    label,
    seconds,
    usedPercent: 100 - leftPercent,
    leftPercent,
    resetsAt: now + 90 * MINUTE,
  });
  return {
    plan: 'plus',
    allowed: true,
    reached: false,
    windows: [window('5 h', 18_000, fiveHour), window('week', 604_800, weekly)],
    credits: null,
    spend: null,
  };
}
