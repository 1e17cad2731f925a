import fc from 'fast-check';
import t from 'tap';
import { RouterError } from '../../src/errors.js';
import { applyImport, planImport, readStored } from '../../src/router/import.js';
import { findInHost } from '../../src/router/import-openclaw.js';
import type { Candidate } from '../../src/router/import-step.js';
import { refresh } from '../../src/router/refresh.js';
import { carryOutRemoval, planRemoval } from '../../src/router/remove.js';
import { resolve } from '../../src/router/resolve.js';
import { sync } from '../../src/router/sync.js';
import { undo } from '../../src/router/undo.js';
import { use } from '../../src/router/use.js';
import { holdingOf } from '../contract/slot.js';
import { DAY, type Login, people } from '../kit/tokens.js';
import type { Weather } from './family.js';
import { figure, LONGER, SEED } from './figures.js';
import { Killed, type Trip } from './tripwire.js';
import {
  AGENTS,
  type Agent,
  type Command,
  type Look,
  type Mishap,
  makeWorld,
  nameOf,
  PEOPLE,
  tokensOf,
  type Who,
  type World,
} from './world.js';

/** What befalls a command. */
interface Luck {
  readonly trip: Trip | null;
  readonly race: Mishap['race'];
  readonly weather: readonly Weather[];
}

type Step =
  | { readonly do: 'login'; readonly who: Who }
  | { readonly do: 'revoke'; readonly who: Who }
  | { readonly do: 'host-login'; readonly who: Who; readonly agent: Agent }
  | { readonly do: 'host-refresh'; readonly agent: Agent; readonly lost: boolean }
  | { readonly do: 'clock'; readonly days: number }
  | ({ readonly do: 'import'; readonly who: Who } & Luck)
  | ({ readonly do: 'import-host' } & Luck)
  | ({ readonly do: 'sync' } & Luck)
  | ({ readonly do: 'use'; readonly who: Who; readonly agent: Agent; readonly move: boolean } & Luck)
  | ({ readonly do: 'undo'; readonly agent: Agent } & Luck)
  | ({ readonly do: 'remove'; readonly who: Who; readonly fromSlot: boolean } & Luck)
  | ({
      readonly do: 'refresh';
      readonly who: Who;
      readonly meanwhile: 'nothing' | 'import' | 'remove';
    } & Luck);

const who = fc.constantFrom(...PEOPLE);
const agent = fc.constantFrom(...AGENTS);
const rarely = <T>(what: fc.Arbitrary<T>, of = 3) =>
  fc.oneof({ arbitrary: fc.constant(null), weight: of }, { arbitrary: what, weight: 1 });
const luck = {
  trip: rarely(fc.record({ at: fc.nat(9), cut: fc.constantFrom('before', 'after', 'torn') }), 2),
  race: rarely(
    fc.oneof(
      fc.record({ before: fc.constant('call' as const), at: fc.integer({ min: 1, max: 60 }), agent }),
      fc.record({ before: fc.constant('write' as const), at: fc.nat(7), agent }),
    ),
  ),
  weather: fc.array(fc.constantFrom<Weather[]>('fair', 'down', 'lost-before', 'lost-after'), {
    maxLength: 3,
  }),
};
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ do: fc.constant('login'), who }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('import'), who, ...luck }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('import-host'), ...luck }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('use'), who, agent, move: fc.boolean(), ...luck }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('host-refresh'), agent, lost: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('host-login'), who, agent }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('refresh'),
      who,
      meanwhile: fc.constantFrom('nothing', 'nothing', 'import', 'remove'),
      ...luck,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('undo'), agent, ...luck }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remove'), who, fromSlot: fc.boolean(), ...luck }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('sync'), ...luck }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('clock'), days: fc.constantFrom(-1, 1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('revoke'), who }) },
);

/** What must be true of who is where; everything else is asked of the issuer. */
interface Model {
  readonly stored: Set<Who>;
  readonly slots: Record<Agent, Who | null>;
  /** Who was in the slot before, for undo, the latest last; null when a crash or OpenClaw has blurred it. */
  readonly before: Record<Agent, (Who | null)[] | null>;
  /** What a killed switch may have left to be finished or made again. */
  readonly open: Record<Agent, readonly (Who | null)[]>;
}

/** What a step may have changed. */
interface Change {
  readonly slots?: Partial<Record<Agent, readonly (Who | null)[]>>;
  /** Who may be stored now and was not, or the other way round. */
  readonly stored?: readonly Who[];
}

/** Never an answer, whatever happened. */
const NEVER = new Set([
  'BUG',
  'RECORD_DAMAGED',
  'VAULT_DAMAGED',
  'VAULT_ROLLED_BACK',
  'SLOT_FOREIGN',
  'IDENTITY_MISMATCH',
]);

const seen = new Map<string, number>();
const count = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1);

type Outcome<T> =
  | { readonly is: 'done'; readonly answer: T }
  | { readonly is: 'refused' | 'killed'; readonly code: string };

async function run<T>(
  world: World,
  name: string,
  { trip, race, weather }: Luck,
  work: (command: Command) => Promise<T>,
  meanwhile: () => Promise<void> = async () => undefined,
): Promise<Outcome<T>> {
  const command = await world.command({ trip, race, weather, meanwhile });
  const outcome = await work(command).then(
    (answer): Outcome<T> => ({ is: 'done', answer }),
    (error: unknown): Outcome<T> => {
      if (error instanceof Killed) return { is: 'killed', code: 'KILLED' };
      if (!(error instanceof RouterError) || NEVER.has(error.code)) throw error;
      return { is: 'refused', code: error.code };
    },
  );
  const result = command.killed ? ({ is: 'killed', code: 'KILLED' } as const) : outcome;
  count(`${name} ${result.is === 'refused' ? result.code : result.is}`);
  return result;
}

const FAIR: Luck = { trip: null, race: null, weather: [] };
const selector = (name: Who) => `${people[name].accountId}/${people[name].userId}`;

async function take(world: World, model: Model, step: Step): Promise<Change> {
  const { files, issuer } = world;
  const inSlots = AGENTS.map((name) => model.slots[name]).filter((name) => name !== null);
  if (step.do === 'login') {
    forsake(world, [files.get(step.who)?.refresh]);
    files.set(step.who, issuer.login(step.who));
    return {};
  }
  if (step.do === 'revoke') {
    issuer.revoke(step.who);
    return {};
  }
  if (step.do === 'clock') {
    world.skew(step.days * DAY);
    return {};
  }
  if (step.do === 'host-refresh') {
    await world.hostRefresh(step.agent, step.lost);
    return {};
  }
  if (step.do === 'host-login') {
    const { slots, stored, sealed } = await world.look();
    const token = slots[step.agent];
    // What OpenClaw had rotated, or another login of the same person: gone by its owner's own hand.
    const isKept = token !== null && [...stored.values(), ...sealed].includes(token);
    if (!isKept) forsake(world, [token]);
    // A new login takes the place of the one before it, and nobody can tell it from a rotation of that.
    const old = stored.get(step.who) ?? null;
    const other = slots[step.agent === 'main' ? 'ops' : 'main'];
    if (old !== null && (other === null || issuer.familyOf(other) !== issuer.familyOf(old)))
      forsake(world, [old]);
    world.hostLogin(step.agent, step.who);
    model.slots[step.agent] = step.who;
    model.before[step.agent] = null;
    return {};
  }
  if (step.do === 'import') return importFile(world, model, step.who, step);
  if (step.do === 'import-host') {
    await run(world, step.do, step, async ({ deps, open }) => {
      const { candidates, skipped } = await findInHost(
        deps.host,
        (grant) => open.fingerprint(grant),
        deps.now(),
      );
      await deps.withLock(async () =>
        applyImport(open, planImport(candidates, await readStored(open, candidates), NO_CHOICE, skipped)),
      );
    });
    return { stored: inSlots };
  }
  if (step.do === 'sync') {
    await run(world, step.do, step, ({ deps }) => sync(deps, null));
    const slots = { main: [model.slots.main, ...model.open.main], ops: [model.slots.ops, ...model.open.ops] };
    return { stored: inSlots, slots };
  }
  if (step.do === 'refresh') return refreshStep(world, model, step);
  if (step.do === 'remove') return removeStep(world, model, step);
  if (step.do === 'undo') return undoStep(world, model, step);
  return useStep(world, model, step);
}

const NO_CHOICE = { alias: null, expect: null, replace: false };

async function importFile(world: World, model: Model, name: Who, luck: Luck): Promise<Change> {
  const login = world.files.get(name);
  if (login === undefined) return {};
  const { is } = await run(world, 'import', luck, ({ deps, open }) =>
    deps.withLock(async () => {
      const candidates = [candidateOf(login, open)];
      await applyImport(open, planImport(candidates, await readStored(open, candidates), NO_CHOICE));
    }),
  );
  if (is === 'done') {
    world.files.delete(name);
    model.stored.add(name);
  }
  return is === 'killed' ? { stored: [name] } : {};
}

function candidateOf(login: Login, open: Command['open']): Candidate {
  const holding = holdingOf(login);
  const fingerprint = open.fingerprint(holding.grant);
  return { holding, fingerprint, from: 'a file', source: 'file', sharedWith: undefined, placement: null };
}

async function useStep(world: World, model: Model, step: Extract<Step, { do: 'use' }>): Promise<Change> {
  const { who: wanted, agent: at, move } = step;
  const wasIn = model.slots[at];
  const outcome = await run(world, move ? 'use --move' : 'use', step, ({ deps }) =>
    use(
      { ...deps, move },
      { selector: selector(wanted), agent: at, session: { kind: 'none' }, dryRun: false, move },
    ),
  );
  const other = at === 'main' ? 'ops' : 'main';
  // Only where it is the very login; the same person may have another one there.
  const mayTake = move && model.slots[other] === wanted;
  const slots = { [other]: mayTake ? [wanted, null] : [model.slots[other]] };
  if (mayTake) model.before[other] = null;
  const stored = wasIn === null ? [] : [wasIn];
  if (outcome.is === 'done') {
    if (!model.stored.has(wanted)) throw new Error(`use put ${wanted} into the slot, who was not stored`);
    model.slots[at] = wanted;
    model.open[at] = [];
    if (wasIn !== wanted) model.before[at]?.push(wasIn);
    return { stored, slots };
  }
  if (outcome.is === 'refused') return { stored, slots };
  model.before[at] = null;
  model.open[at] = [wasIn, wanted];
  return { stored, slots: { ...slots, [at]: [wasIn, wanted] } };
}

async function undoStep(world: World, model: Model, step: Extract<Step, { do: 'undo' }>): Promise<Change> {
  const { agent: at } = step;
  const wasIn = model.slots[at];
  const stored = wasIn === null ? [] : [wasIn];
  const back = model.before[at];
  const outcome = await run(world, 'undo', step, ({ deps }) => undo(deps, { agent: at, dryRun: false }));
  if (outcome.is === 'refused') return { stored };
  if (outcome.is === 'done') {
    const { to } = outcome.answer;
    const name = to === null ? null : nameOf(to.identity);
    if (back !== null && back.pop() !== name) throw new Error(`undo brought back ${name}`);
    model.slots[at] = name;
    model.open[at] = [];
    return { stored };
  }
  const maybe = back === null ? [null, ...PEOPLE] : [wasIn, back.at(-1) ?? null];
  model.before[at] = null;
  model.open[at] = maybe;
  return { stored, slots: { [at]: maybe } };
}

async function removeStep(
  world: World,
  model: Model,
  step: { readonly who: Who; readonly fromSlot: boolean } & Luck,
): Promise<Change> {
  const { who: gone, fromSlot } = step;
  if (!model.stored.has(gone)) return {};
  const had = tokensOf(await world.look()).filter((token) => world.issuer.familyOf(token)?.who === gone);
  const { is } = await run(world, 'remove', step, async ({ deps, open }) => {
    const { host, repo, hostAt, withLock, critical, now } = deps;
    const parts = {
      host,
      repo,
      hostAt,
      withLock,
      critical,
      now,
      journal: deps.journal,
      open: async () => open,
    };
    const entry = resolve(selector(gone), await repo.list());
    await carryOutRemoval(parts, await planRemoval(parts, entry, fromSlot), fromSlot);
  });
  if (is === 'refused') return {};
  forsake(world, had);
  const held = AGENTS.filter((name) => model.slots[name] === gone);
  for (const name of held) model.before[name] = null;
  if (is === 'done') {
    model.stored.delete(gone);
    for (const name of held) model.slots[name] = null;
    return {};
  }
  return { stored: [gone], slots: Object.fromEntries(held.map((name) => [name, [gone, null]])) };
}

async function refreshStep(
  world: World,
  model: Model,
  step: Extract<Step, { do: 'refresh' }>,
): Promise<Change> {
  const { who: name } = step;
  let began = false;
  const meanwhile = async () => {
    if (began) return;
    began = true;
    if (step.meanwhile === 'import') await importFile(world, model, name, FAIR);
    if (step.meanwhile === 'remove') await removeStep(world, model, { who: name, fromSlot: false, ...FAIR });
  };
  const work = async ({ deps, open }: Command) => {
    const { identity } = resolve(selector(name), await open.list());
    return refresh(deps, open, identity, 'named');
  };
  const outcome = await run(world, 'refresh', step, work, meanwhile);
  if (outcome.is === 'done') count(`refresh: ${outcome.answer?.result}`);
  return {};
}

function forsake({ issuer }: World, tokens: readonly (string | null | undefined)[]): void {
  for (const token of tokens) {
    const family = token == null ? undefined : issuer.familyOf(token);
    if (family) family.forsaken = true;
  }
}

/** The laws, after every step. */
function check(world: World, model: Model, look: Look, { slots = {}, stored = [] }: Change): void {
  const { issuer } = world;
  const fail = (what: string, figureOf = 'other failures'): never => {
    count(figureOf);
    throw new Error(what);
  };
  if (issuer.reuses.length > 0)
    fail(`a spent refresh token was presented: ${issuer.reuses[0]}`, 'reuse events');
  for (const name of AGENTS) {
    const is = world.occupant(name);
    const may = slots[name] ?? [model.slots[name]];
    if (!may.includes(is)) fail(`the slot of ${name} holds ${is}, not ${may.join(' or ')}`);
    if (is !== model.slots[name] && model.before[name] !== null) model.before[name] = null;
    model.slots[name] = is;
  }
  for (const name of PEOPLE) {
    if (look.stored.has(name) === model.stored.has(name)) continue;
    if (!stored.includes(name)) fail(`${name} is ${look.stored.has(name) ? '' : 'not '}stored`);
    if (look.stored.has(name)) model.stored.add(name);
    else model.stored.delete(name);
  }
  const all = tokensOf(look);
  const routed = [...look.stored.values(), ...Object.values(look.slots).filter((token) => token !== null)];
  for (const family of issuer.families) {
    if (family.revoked || family.forsaken) continue;
    const of = (token: string | null) => token !== null && issuer.familyOf(token) === family;
    const login = family.logins[family.delivered]?.refresh ?? '';
    const isInFile = [...world.files.values()].some(({ refresh }) => of(refresh));
    if (!isInFile && !all.includes(login))
      fail(`lost: ${login} of ${family.who} is nowhere`, 'identities lost');
    const holders = AGENTS.filter((name) => of(look.slots[name]));
    if (holders.length > 1) fail(`${login} of ${family.who} has two holders`);
    for (const name of holders) {
      const token = look.slots[name] ?? '';
      if (token !== login || issuer.spentByRouter.has(token)) {
        fail(`the slot of ${name} holds a spent token of ${family.who}`);
      }
    }
    const parked = [...look.stored.values()].find(of);
    if (parked !== undefined && holders.length === 0 && parked !== login) {
      fail(`a spent token of ${family.who} is stored, and ${login} lies elsewhere`);
    }
  }
  for (const name of model.stored) {
    const good = (tokens: readonly string[], orForsaken = false) =>
      tokens.some((token) => {
        const family = issuer.familyOf(token);
        return family?.who === name && (orForsaken || !family.forsaken) && issuer.isGood(token);
      });
    // A login that OpenClaw itself wrote over, rotated tokens and all, leaves only what gave way to it.
    const isForsaken = routed.some((token) => {
      const family = issuer.familyOf(token);
      return family?.who === name && family.forsaken;
    });
    if (good(all) && !good(routed, true) && !isForsaken)
      fail(`what is left of ${name} lies in a back-up only`);
  }
}

/** Without any mishap every identity can be used, and is refreshed by whoever holds it. */
async function settle(world: World): Promise<void> {
  await run(world, 'last sync', FAIR, ({ deps }) => sync(deps, null));
  for (const name of (await world.look()).stored.keys()) {
    const isGood = async () => {
      const { stored, slots } = await world.look();
      const tokens = [stored.get(name), ...Object.values(slots)];
      return tokens.some((token) => {
        const family = token == null ? undefined : world.issuer.familyOf(token);
        return family?.who === name && !family.forsaken && world.issuer.isGood(token ?? '');
      });
    };
    if (!(await isGood())) continue;
    const refreshed = await run(world, 'last refresh', FAIR, async ({ deps, open }) => {
      const { identity } = resolve(selector(name), await open.list());
      return refresh(deps, open, identity, 'named');
    });
    if (refreshed.is !== 'done' || !['refreshed', 'held'].includes(refreshed.answer?.result ?? '')) {
      throw new Error(`${name} cannot be refreshed: ${JSON.stringify(refreshed)}`);
    }
    const used = await run(world, 'last use', FAIR, ({ deps }) =>
      use(
        { ...deps, move: true },
        { selector: selector(name), agent: 'main', session: { kind: 'none' }, dryRun: false, move: true },
      ),
    );
    if (used.is !== 'done') throw new Error(`${name} cannot be used: ${used.code}`);
    const before = (await world.look()).slots.main;
    await world.hostRefresh('main', false);
    if ((await world.look()).slots.main === before) throw new Error(`${name} does not work in OpenClaw`);
  }
  if (world.issuer.reuses.length > 0) throw new Error('a spent refresh token was presented in the end');
}

interface Run {
  readonly gateway: boolean;
  /** Who is stored to begin with. */
  readonly begin: readonly Who[];
  readonly steps: readonly Step[];
}

async function play(real: boolean, { gateway, begin, steps }: Run): Promise<void> {
  const world = await makeWorld(real, gateway);
  const model: Model = {
    stored: new Set(),
    slots: { main: null, ops: null },
    before: { main: [], ops: [] },
    open: { main: [], ops: [] },
  };
  try {
    const first = begin.flatMap((name): Step[] => [
      { do: 'login', who: name },
      { do: 'import', who: name, ...FAIR },
    ]);
    for (const step of [...first, ...steps]) {
      world.pass(60_000);
      const change = await take(world, model, step);
      count('steps');
      check(world, model, await world.look(), change);
    }
    await settle(world);
  } finally {
    world.remove();
  }
}

const runs: fc.Arbitrary<Run> = fc.record({
  gateway: fc.boolean(),
  begin: fc.subarray([...PEOPLE]),
  steps: fc.array(step, { minLength: 1, maxLength: 40, size: 'max' }),
});

const on = (name: Who, at: Agent, luck = FAIR): Step => ({
  do: 'use',
  who: name,
  agent: at,
  move: false,
  ...luck,
});
const torn: Luck = { ...FAIR, trip: { at: 0, cut: 'torn' } };
const unanswered: Luck = { ...FAIR, weather: ['lost-after', 'lost-after'] };

/** Sequences that once went wrong, and what happened. */
const FOUND: readonly (readonly [string, Run])[] = [
  [
    'a check-in killed between record and index, then another rotation: the spent grant was kept',
    {
      gateway: false,
      begin: ['alice'],
      steps: [
        on('alice', 'main'),
        { do: 'host-refresh', agent: 'main', lost: false },
        { do: 'sync', ...torn },
        { do: 'host-refresh', agent: 'main', lost: false },
      ],
    },
  ],
  [
    'a login made in OpenClaw where a refresh of ours had left an old place: the ended one was kept',
    {
      gateway: false,
      begin: ['bob'],
      steps: [
        on('bob', 'ops'),
        { do: 'host-login', who: 'alice', agent: 'ops' },
        { do: 'refresh', who: 'bob', meanwhile: 'nothing', ...FAIR },
        { do: 'revoke', who: 'bob' },
        { do: 'host-login', who: 'bob', agent: 'ops' },
      ],
    },
  ],
  [
    'an undo of a switch whose former identity has a refresh without an answer',
    {
      gateway: false,
      begin: ['alice', 'bob'],
      steps: [
        on('alice', 'main'),
        on('bob', 'main'),
        { do: 'refresh', who: 'alice', meanwhile: 'nothing', ...unanswered },
        { do: 'undo', agent: 'main', ...FAIR },
      ],
    },
  ],
  [
    'an identity whose first save was cut between record and index could not be named',
    {
      gateway: false,
      begin: [],
      steps: [
        { do: 'login', who: 'bob' },
        { do: 'import', who: 'bob', ...FAIR },
        { do: 'remove', who: 'bob', fromSlot: false, ...FAIR },
        { do: 'host-login', who: 'alice', agent: 'main' },
        { do: 'sync', ...torn },
      ],
    },
  ],
  ...[0, 1, 2, 3, 4, 5].map((at): readonly [string, Run] => [
    `a switch to a renewed login killed after write ${at}, then a rotation of the old one: the renewed one was overwritten`,
    {
      gateway: false,
      begin: ['bob', 'alice-team'],
      steps: [
        on('alice-team', 'ops'),
        { do: 'login', who: 'alice-team' },
        { do: 'import', who: 'alice-team', ...FAIR },
        on('alice-team', 'ops', { ...FAIR, trip: { at, cut: 'after' } }),
        { do: 'host-refresh', agent: 'ops', lost: false },
        { do: 'sync', ...FAIR },
      ],
    },
  ]),
];

for (const [name, found] of FOUND) {
  t.test(`mended: ${name}`, async (t) => {
    for (const real of [true, false]) await t.resolves(play(real, found));
  });
}

for (const [name, real] of [
  ['the encrypted repo on disk', true],
  ['a repo in memory', false],
] as const) {
  t.test(
    `no sequence of commands, crashes and refreshes loses a grant or spends one twice: ${name}`,
    async (t) => {
      await fc.assert(
        fc.asyncProperty(runs, (run) => play(real, run)),
        {
          seed: real ? SEED : SEED + 1,
          numRuns: 300 * LONGER,
          endOnFailure: process.env.CRASH_SHRINK === '0',
          interruptAfterTimeLimit: 240_000 * LONGER,
        },
      );
      t.pass();
    },
  );
}

t.teardown(() => {
  figure('race steps', seen.get('steps') ?? 0);
  figure('reuse events', seen.get('reuse events') ?? 0);
  figure('identities lost', seen.get('identities lost') ?? 0);
  if (process.env.CRASH_SHOW)
    console.error(
      [...seen]
        .sort()
        .map(([what, n]) => `${n} ${what}`)
        .join('\n'),
    );
});
