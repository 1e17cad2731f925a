import t from 'tap';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import type { Doubt } from '../../src/repo/repo.js';
import { type Explanation, explain } from '../../src/router/explain.js';
import { CAUSES, LAYERS, SYMPTOMS } from '../../src/router/explain-layers.js';
import type { GatewayHolds, Host, HostChoosing, HostLabel } from '../../src/slot/host.js';
import type { SessionEntry } from '../../src/slot/pins.js';
import { fakeHost } from '../contract/fake-host.js';
import { type FakeSlot, fakeSlot } from '../contract/fake-slot.js';
import { DAY } from '../kit/tokens.js';
import { keyOf, login, NOW, vault } from './vaults.js';

const OLD = 'openai-codex';
const NEW = 'openai';
const MAIN = 'agent:main:main';

const CHOOSING: HostChoosing = {
  order: null,
  profiles: [],
  passesGoneOrder: true,
  expiredLast: true,
  restMovesPin: true,
  goneStops: false,
  labelsFromGateway: false,
};

const [alice, bob, carol] = [login('alice'), login('bob', 'one', NOW - 2 * DAY), login('carol')];

interface Bench {
  readonly provider: string;
  readonly slot: FakeSlot;
  readonly id: string;
  readonly router: ReturnType<typeof vault>;
  entry: Partial<SessionEntry>;
  others: Partial<SessionEntry>[];
  choosing: Partial<HostChoosing>;
  holds: GatewayHolds;
  label: HostLabel | null;
  change: (host: Host) => Host;
  /** The explanation of that state; its `agrees` layers say so without a cause, the others say why. */
  look(session?: string): Promise<Explanation>;
}

/** Alice (a) and bob (b) are stored, alice was routed, the main chat is pinned to the slot, and no gateway runs. */
async function bench(provider: 'openai' | 'openai-codex' = OLD, routes = true): Promise<Bench> {
  const id = `${provider}:default`;
  const slot = fakeSlot({ profileId: id });
  const router = vault();
  await router.store(alice, bob);
  await router.repo.setAlias(keyOf(alice), 'a');
  await router.repo.setAlias(keyOf(bob), 'b');
  const hosting = (self: Bench) =>
    self.change({
      ...fakeHost({ slots: [slot], sessions: [self.entry, ...self.others], provider }),
      choosing: { ...CHOOSING, ...self.choosing },
      held: async () => self.holds,
      labelFor: () => self.label,
    });
  const self: Bench = {
    provider,
    slot,
    id,
    router,
    entry: { key: MAIN, pinnedTo: id, pinSource: 'user' },
    others: [],
    choosing: {},
    holds: { kind: 'no-gateway' },
    label: null,
    change: (host) => host,
    look: async (session) => {
      const { repo, journal } = router;
      const seen = await explain(
        { repo, host: hosting(self), journal, env: {}, now: () => NOW },
        { agent: null, session: session ?? null },
      );
      t.strictSame(
        seen.layers.map(({ layer }) => layer),
        LAYERS,
      );
      for (const { layer, verdict, cause, why } of seen.layers) {
        t.equal(cause === null, verdict !== 'disagrees', `${layer} has a cause where it disagrees`);
        if (verdict !== 'agrees' && !why) t.fail(`${layer} does not agree and says why`);
        if (cause !== null) SEEN_CAUSES.add(cause);
      }
      if (seen.symptom !== null) SEEN_SYMPTOMS.add(seen.symptom);
      t.equal(seen.first === null, seen.symptom === null);
      return seen;
    },
  };
  if (routes) await router.use(hosting(self), alice);
  return self;
}

const SEEN_CAUSES = new Set<string>();
const SEEN_SYMPTOMS = new Set<string>();

/** What is the first to disagree, in four words. */
const told = ({ first, symptom }: Explanation) =>
  first === null ? null : [first.layer, first.cause, symptom, first.remedy];

const of = ({ layers }: Explanation, name: string) => layers.find(({ layer }) => layer === name);

const stats = (holding: Holding, selection: NonNullable<Holding['selection']>): Holding => ({
  ...holding,
  selection,
});

const expired = (holding: Holding): Holding => ({
  ...holding,
  grant: { ...holding.grant, expiresAt: NOW - 60_000 },
});

for (const provider of [OLD, NEW] as const) {
  t.test(`${provider}: after a switch nothing disagrees`, async (t) => {
    const it = await bench(provider);
    const seen = await it.look();
    t.strictSame(told(seen), null);
    for (const layer of ['choice', 'slot', 'order', 'pin', 'usage', 'label']) {
      t.match(of(seen, layer), { verdict: /^agrees$/, identity: alice.identity }, layer);
    }
    t.match(of(seen, 'effective'), { verdict: /^agrees$/, value: 'no gateway runs' });
  });
}

t.test('wrong account: what is in the slot is not what was chosen', async (t) => {
  const it = await bench();
  it.slot.hostPuts(it.id, bob);
  t.strictSame(told(await it.look()), ['slot', 'other-login', 'wrong-account', 'codex-router use a']);
  it.slot.hostPuts(it.id, carol);
  t.strictSame(told(await it.look()), ['slot', 'other-login', 'wrong-account', 'codex-router use a']);
  it.slot.hostPuts(it.id, null);
  t.strictSame(told(await it.look()), ['slot', 'slot-empty', 'wrong-account', 'codex-router use a']);
  it.slot.hostPuts(it.id, { what: 'an API key' });
  t.strictSame(told(await it.look()), ['slot', 'slot-foreign', 'wrong-account', null]);
  await it.router.repo.remove(keyOf(alice));
  it.slot.hostPuts(it.id, carol);
  t.strictSame(
    told(await it.look()),
    ['slot', 'other-login', 'wrong-account', 'codex-router import --from openclaw'],
    'neither the one nor the other is stored',
  );
});

t.test('wrong account: a switch that never came to its end comes before all else', async (t) => {
  const it = await bench();
  const [record] = it.router.journal.records;
  if (record === undefined) throw new Error('nothing was switched');
  it.router.journal.records.push({ ...record, id: 'x', step: 'begun' });
  it.slot.hostPuts(it.id, bob);
  t.strictSame(told(await it.look()), [
    'choice',
    'switch-unfinished',
    'switch-not-followed',
    'codex-router sync',
  ]);
  it.router.journal.records.push({ ...record, id: 'y', step: 'abandoned' });
  t.equal((await it.look()).first?.layer, 'choice', 'one that came to nothing is no choice');
});

t.test("wrong account: the agent's own store goes before the one that was routed", async (t) => {
  const it = await bench(NEW);
  const own = fakeSlot({ profileId: it.id, agent: 'main@own' });
  own.hostPuts(it.id, carol);
  it.change = (host) => ({
    ...host,
    allSlots: async () => [it.slot, own],
    slotsFor: async (agent) => ({ ...(await host.slotsFor(agent)), main: own }),
  });
  const seen = await it.look();
  t.strictSame(told(seen), ['slot', 'shadowed', 'wrong-account', 'codex-router use a --move']);
  t.match(of(seen, 'choice'), { identity: alice.identity });
  it.slot.hostPuts(it.id, null);
  t.equal((await it.look()).first?.remedy, 'codex-router use a');
  it.slot.hostPuts(it.id, alice);
  own.hostPuts(it.id, null);
  own.hostOrders(['openai:gone'], null);
  it.change = (host) => ({
    ...host,
    allSlots: async () => [it.slot, own],
    slotsFor: async (agent) => ({ ...(await host.slotsFor(agent)), choosers: [own] }),
  });
  t.match(told(await it.look()), ['order', 'chosen-over', 'wrong-account', 'codex-router use a']);
});

t.test('wrong account: the order names another login first, wherever it is named', async (t) => {
  const it = await bench(NEW);
  it.slot.hostPuts('openai:carol', carol);
  it.entry = { key: MAIN };
  const FIRST = ['order', 'other-first', 'wrong-account', 'codex-router use a'];
  it.slot.hostOrders(['openai:carol', it.id], it.id);
  const stored = await it.look();
  t.strictSame(told(stored), FIRST);
  t.match(of(stored, 'order'), { identity: carol.identity, value: `openai:carol, ${it.id}` });
  t.match(of(stored, 'effective'), { cause: 'follows-order', identity: carol.identity });
  t.match(of(stored, 'usage'), { cause: 'follows-order', identity: carol.identity });
  t.match(of(stored, 'label'), { cause: 'follows-order', value: carol.identity.email });

  it.slot.hostOrders([], null);
  it.choosing = { order: ['openai:carol', it.id] };
  t.match(of(await it.look(), 'order'), { cause: 'other-first', readFrom: /^auth.order in openclaw.json/ });
  it.choosing = { profiles: [{ id: 'openai:carol', provider: NEW, mode: 'oauth' }] };
  const byProfiles = await it.look();
  t.strictSame(told(byProfiles), FIRST, 'the only one that auth.profiles names');
  t.match(of(byProfiles, 'order'), { why: /and not the slot/, readFrom: /^auth.profiles/ });
  it.slot.hostOrders([it.id], it.id);
  t.strictSame(told(await it.look()), null, 'a stored order goes before both');
});

t.test('an order of profiles that are gone leaves none to choose, or all, by the release', async (t) => {
  const it = await bench();
  it.entry = { key: MAIN };
  it.choosing = { passesGoneOrder: false };
  it.slot.hostOrders(['openai-codex:gone'], it.id);
  const none = await it.look();
  t.strictSame(told(none), ['order', 'nothing-chosen', 'wrong-account', 'codex-router use a']);
  t.match(of(none, 'effective'), { value: 'no login', why: /to no login at all/ });
  t.match(of(none, 'usage'), { verdict: 'unknown', value: 'nothing' });
  it.choosing = { passesGoneOrder: true };
  t.strictSame(told(await it.look()), null);
  it.choosing = { passesGoneOrder: false, profiles: [{ id: it.id, provider: OLD, mode: 'oauth' }] };
  t.strictSame(told(await it.look()), null, 'with profiles in openclaw.json every release passes it over');
});

t.test('openclaw.json keeps the slot out of every choice', async (t) => {
  for (const [configured, what] of [
    [{ provider: OLD, mode: 'api_key' }, 'mode oauth'],
    [{ provider: 'anthropic', mode: 'oauth' }, 'provider openai-codex'],
  ] as const) {
    const it = await bench();
    it.choosing = { profiles: [{ id: it.id, ...configured }] };
    const remedy = `openclaw config set auth.profiles.${it.id}.${what}`;
    t.strictSame(told(await it.look()), ['order', 'config-refuses', 'wrong-account', remedy]);
  }
  const it = await bench();
  it.choosing = { profiles: [{ id: it.id, provider: OLD, mode: 'oauth' }] };
  t.strictSame(told(await it.look()), null);
});

t.test('a switch that /status does not follow: the chat is pinned to something else', async (t) => {
  const it = await bench();
  it.slot.hostPuts('openai-codex:carol', carol);
  const here = `codex-router use a --session ${MAIN}`;
  it.entry = { key: MAIN, pinnedTo: 'openai-codex:carol', pinSource: 'user' };
  const beside = await it.look();
  t.strictSame(told(beside), ['pin', 'pinned-elsewhere', 'switch-not-followed', here]);
  t.match(of(beside, 'pin'), { identity: carol.identity });
  t.match(of(beside, 'effective'), { cause: 'follows-pin', identity: carol.identity, remedy: here });
  t.match(of(beside, 'usage'), { verdict: /^agrees$/, identity: alice.identity }, 'that follows the order');
  t.match(of(beside, 'label'), { cause: 'follows-pin', value: carol.identity.email });

  it.entry = { key: MAIN, pinnedTo: 'openai-codex:carol', pinSource: 'auto' };
  const auto = await it.look();
  t.equal(auto.first?.layer, 'pin');
  t.match(of(auto, 'effective'), { verdict: /^agrees$/ }, 'not in the order: the next turn drops it');

  it.entry = { key: MAIN, pinnedTo: 'openai-codex:gone', pinSource: 'user' };
  const gone = await it.look();
  t.strictSame(told(gone), ['pin', 'pinned-to-gone', 'switch-not-followed', here]);
  t.match(
    of(gone, 'effective'),
    { verdict: /^agrees$/ },
    'the next turn drops that pin and follows the order',
  );
  it.choosing = { goneStops: true };
  t.match(of(await it.look(), 'effective'), { cause: 'follows-pin', value: 'no login', remedy: here });
  it.entry = { key: MAIN, pinnedTo: 'personal:me:1', pinSource: 'user' };
  const own = await it.look();
  t.strictSame(told(own), ['pin', 'pinned-to-foreign', 'switch-not-followed', null]);
  for (const layer of ['effective', 'label']) t.match(of(own, layer), { verdict: 'unknown' }, layer);

  const renamed = await bench(NEW);
  renamed.entry = { key: MAIN, pinnedTo: 'openai-codex:default', pinSource: 'user' };
  t.strictSame(told(await renamed.look()), ['pin', 'pinned-to-gone', 'switch-not-followed', here]);
});

t.test('a host that was never switched is as its person has set it up', async (t) => {
  const it = await bench(NEW, false);
  it.choosing = { order: ['openai:work'] };
  it.slot.hostPuts('openai:work', carol);
  it.entry = { key: MAIN, pinnedTo: 'openai:work', pinSource: 'user' };
  const elsewhere = await it.look();
  t.strictSame(told(elsewhere), null, 'nobody ever put anybody into the slot');
  t.match(of(elsewhere, 'choice'), { verdict: 'unknown' });
  t.match(of(elsewhere, 'pin'), { verdict: /^agrees$/, identity: carol.identity, value: 'openai:work' });

  it.entry = { key: MAIN, pinnedTo: 'anthropic:work', pinSource: 'user' };
  const foreign = await it.look();
  t.strictSame(told(foreign), null);
  t.match(of(foreign, 'pin'), { verdict: /^agrees$/, why: /runs on anthropic:work/ });

  it.slot.hostPuts(it.id, alice);
  it.choosing = { order: [it.id, 'openai:work'] };
  it.entry = { key: MAIN, pinnedTo: null };
  const behind = await it.look();
  t.strictSame(told(behind), null, 'OpenClaw may fall back on another login: that was set up so');
  t.match(of(behind, 'order'), { verdict: /^agrees$/, why: /another login is behind the slot/ });
  it.choosing = { order: ['openai:work', it.id] };
  t.strictSame(told(await it.look())?.slice(0, 2), ['order', 'other-first']);
});

t.test('a chat that is pinned to an empty slot is on a login that is gone', async (t) => {
  const it = await bench(NEW, false);
  it.slot.hostPuts('openai:work', carol);
  const empty = await it.look();
  const here = `codex-router use <accountId> --session ${MAIN}`;
  t.strictSame(told(empty), ['pin', 'pinned-to-gone', 'switch-not-followed', here]);
  t.match(of(empty, 'pin'), { identity: null, value: it.id });
});

t.test('where an order is read is named: the store of the agent that has it', async (t) => {
  const it = await bench(NEW);
  const own = fakeSlot({ profileId: it.id, agent: 'research' });
  own.hostPuts(it.id, bob);
  const host = { ...fakeHost({ slots: [it.slot, own], provider: NEW }), choosing: CHOOSING };
  const { repo, journal } = it.router;
  const look = (agent = 'research') =>
    explain({ repo, host, journal, env: {}, now: () => NOW }, { agent, session: null });
  t.match(of(await look(), 'order'), { readFrom: 'order and lastGood in the store of agent main' });
  own.hostOrders([it.id], it.id);
  t.strictSame(await look(' Research'), await look(), 'an agent is the same however it is written');
  t.match(of(await look(), 'order'), { readFrom: 'order and lastGood in the store of agent research' });
});

t.test('what pins a chat to the slot is said, and a slash entry is never read', async (t) => {
  const it = await bench();
  it.entry = { key: MAIN, pinnedTo: it.id, pinSource: 'auto' };
  t.match(of(await it.look(), 'pin'), { verdict: /^agrees$/, why: /^OpenClaw chose it itself/ });
  const DIRECT = 'agent:main:telegram:direct:1001';
  const SLASH = 'agent:main:telegram:slash:1001';
  it.slot.hostPuts('openai-codex:carol', carol);
  it.entry = { key: DIRECT, pinnedTo: it.id, pinSource: 'user', channel: 'telegram' };
  it.others = [{ key: SLASH, channel: 'telegram', from: 'telegram:1001', pinnedTo: 'anthropic:x' }];
  t.match(
    of(await it.look(), 'pin'),
    { verdict: /^agrees$/, why: null },
    "a pin elsewhere makes it nobody's",
  );
  it.others = [{ key: SLASH, channel: 'telegram', from: 'telegram:1001', pinnedTo: 'openai-codex:gone' }];
  t.match(of(await it.look(), 'pin'), { verdict: /^agrees$/, why: /^1 companion entry names/ });
  t.match(of(await it.look(SLASH), 'pin'), {
    verdict: 'unknown',
    why: `no turn runs on a slash entry, and /status typed there shows ${DIRECT}: codex-router explain --session ${DIRECT}`,
  });
  t.match(of(await it.look('agent:main:nowhere'), 'pin'), {
    verdict: 'unknown',
    why: /no session of that key/,
  });
});

t.test('the label follows and the usage line does not', async (t) => {
  const it = await bench();
  it.slot.hostPuts('openai-codex:carol', carol);
  it.slot.hostOrders(['openai-codex:carol', it.id], it.id);
  const seen = await it.look();
  t.strictSame(told(seen), ['order', 'other-first', 'usage-not-followed', 'codex-router use a']);
  t.match(of(seen, 'label'), { verdict: /^agrees$/, identity: alice.identity });
  t.match(of(seen, 'effective'), { verdict: /^agrees$/ });
  t.match(of(seen, 'usage'), { cause: 'follows-order', identity: carol.identity });
});

t.test('the gateway still has the account before: turns and usage, and the label through 4.15', async (t) => {
  const it = await bench();
  it.holds = { kind: 'holds', expiresAt: bob.grant.expiresAt, askedAt: NOW - 120_000 };
  const seen = await it.look();
  t.strictSame(told(seen), ['effective', 'gateway-behind', 'usage-not-followed', 'codex-router use a']);
  t.match(of(seen, 'effective'), { identity: bob.identity, why: /as it saw it 2 min ago$/ });
  t.match(of(seen, 'usage'), { identity: bob.identity, cause: 'gateway-behind' });
  t.match(of(seen, 'label'), { verdict: /^agrees$/, identity: alice.identity });
  it.choosing = { labelsFromGateway: true };
  t.match(of(await it.look(), 'label'), { cause: 'gateway-behind', value: bob.identity.email });
  it.holds = { kind: 'holds', expiresAt: null, askedAt: null };
  t.match(of(await it.look(), 'effective'), { value: 'no login', cause: 'gateway-behind' });
  it.holds = { kind: 'holds', expiresAt: 7, askedAt: null };
  t.match(of(await it.look(), 'effective'), { value: 'another login', identity: null });
  it.holds = { kind: 'unknown', why: 'it does not say' };
  const silent = await it.look();
  t.match(silent, { first: null });
  t.match(of(silent, 'effective'), { verdict: 'unknown', why: 'it does not say' });
});

t.test('works sometimes: several logins and no fixed order', async (t) => {
  const it = await bench(NEW);
  it.entry = { key: MAIN };
  it.slot.hostPuts(it.id, stats(alice, { lastUsed: NOW - 1000 }));
  it.slot.hostPuts('openai:carol', stats(carol, { lastUsed: NOW - 9000 }));
  it.slot.hostOrders([], null);
  const SOMETIMES = ['order', 'takes-turns', 'works-sometimes', 'codex-router use a'];
  const seen = await it.look();
  t.strictSame(told(seen), SOMETIMES);
  t.match(of(seen, 'order'), { value: 'none', identity: null, why: /takes turns among 2 logins/ });
  t.match(of(seen, 'effective'), { identity: carol.identity, why: /for now$/ });
  t.match(of(seen, 'usage'), { identity: carol.identity, why: /for now$/ });
  it.slot.hostPuts('openai:carol', stats(carol, { lastUsed: NOW }));
  const turned = await it.look();
  t.strictSame(told(turned), SOMETIMES, 'also while it is the turn of the slot');
  t.match(of(turned, 'usage'), { verdict: /^agrees$/, why: /^for now/ });
  it.slot.hostPuts('openai:carol', expired(carol));
  t.match(of(await it.look(), 'usage'), { identity: alice.identity }, 'from 8.1 an expired one comes last');
  it.choosing = { expiredLast: false };
  t.match(of(await it.look(), 'usage'), { identity: carol.identity });
  it.slot.hostPuts('openai:carol', { what: 'an API key' });
  t.strictSame(told(await it.look()), null, 'an API key comes after the logins, always');
});

t.test('works sometimes: another login behind the slot, or instead of it while it rests', async (t) => {
  const it = await bench(NEW);
  it.slot.hostPuts('openai:carol', carol);
  it.slot.hostOrders([it.id, 'openai:carol'], it.id);
  t.strictSame(told(await it.look()), ['order', 'other-behind', 'works-sometimes', 'codex-router use a']);
  const resting = stats(alice, { blockedUntil: NOW + 3_600_000, blockedReason: 'subscription_limit' });
  it.slot.hostPuts(it.id, resting);
  const seen = await it.look();
  t.strictSame(told(seen), ['order', 'slot-resting', 'works-sometimes', 'codex-router use a']);
  t.match(of(seen, 'order'), { why: /\(subscription_limit\), and runs on openai:carol meanwhile$/ });
  t.match(of(seen, 'effective'), { cause: 'follows-order', identity: carol.identity });
  t.match(
    of(seen, 'label'),
    { verdict: /^agrees$/, identity: alice.identity },
    'the pin is shown all the same',
  );
  it.choosing = { restMovesPin: false };
  t.match(of(await it.look(), 'effective'), { verdict: /^agrees$/ }, 'through 5.3 a person’s pin stays');
  it.slot.hostOrders([it.id], it.id);
  const alone = await it.look();
  t.strictSame(told(alone), null, 'a slot without a rival only rests');
  t.match(of(alone, 'order'), { why: /lets the slot rest until/ });
});

t.test('works sometimes: on an old slot lastGood decides when a refresh fails', async (t) => {
  const it = await bench();
  it.slot.hostPuts('openai-codex:carol', carol);
  t.strictSame(told(await it.look()), null);
  for (const good of ['openai-codex:carol', null]) {
    it.slot.hostOrders([it.id], good);
    t.strictSame(told(await it.look()), ['order', 'last-good', 'works-sometimes', 'codex-router use a']);
  }
  const later = await bench(NEW);
  later.slot.hostPuts('openai:carol', carol);
  later.slot.hostOrders([later.id], 'openai:carol');
  t.strictSame(told(await later.look()), null, 'from 6.1 on it chooses nothing');
});

t.test('a broken token, in all its shapes, has the one command that helps', async (t) => {
  const LOGIN = `codex-router login --expect ${alice.identity.accountId}`;
  const doubt = async (it: Bench, what: Doubt) => (await it.router.repo.open()).doubt(keyOf(alice), what);
  const shapes: [string, string | null, (it: Bench) => unknown, string][] = [
    [
      'a fence that a failed refresh left',
      'codex-router use a',
      (it) => it.slot.hostPuts(it.id, 'lost'),
      'login-lost',
    ],
    [
      'a fence, and the stored copy is ended too',
      LOGIN,
      async (it) => {
        it.slot.hostPuts(it.id, 'lost');
        await doubt(it, 'login-needed');
      },
      'login-lost',
    ],
    [
      'a cut access token',
      'codex-router use a',
      (it) =>
        it.slot.hostPuts(it.id, {
          kind: 'foreign',
          what: 'a login whose owner cannot be told',
          remains: { areOf: () => true },
        }),
      'login-damaged',
    ],
    [
      'a sealed side file that does not open',
      'openclaw models auth login --provider openai --profile-id openai:default',
      (it) => it.slot.hostPuts(it.id, { what: 'a sealed login that cannot be opened (no key)' }),
      'login-damaged',
    ],
    [
      'an entry of the wrong form',
      'openclaw models auth login --provider openai --profile-id openai:default',
      (it) => {
        const hint = 'look at the entry or log in again with openclaw models auth login';
        const broken = {
          ...it.slot,
          read: () => Promise.reject(new RouterError('SLOT_UNREADABLE', 'access', { hint })),
        };
        it.change = (host) => ({
          ...host,
          allSlots: async () => [broken],
          slotsFor: async (agent) => ({ ...(await host.slotsFor(agent)), main: broken }),
        });
      },
      'login-damaged',
    ],
    [
      'a store that is torn',
      null,
      (it) => {
        const broken = { ...it.slot, read: () => Promise.reject(new RouterError('SLOT_UNREADABLE', 'torn')) };
        it.change = (host) => ({
          ...host,
          allSlots: async () => [broken],
          slotsFor: async (agent) => ({ ...(await host.slotsFor(agent)), main: broken }),
        });
      },
      'login-damaged',
    ],
    [
      'expired, and its refresh was refused',
      LOGIN,
      (it) =>
        it.slot.hostPuts(
          it.id,
          stats(expired(alice), { errorCount: 2, failureCounts: { auth: 2, timeout: 1 } }),
        ),
      'refresh-failing',
    ],
    [
      'refused while it should still be good',
      LOGIN,
      (it) =>
        it.slot.hostPuts(it.id, stats(alice, { disabledUntil: NOW + DAY, disabledReason: 'auth_permanent' })),
      'refresh-failing',
    ],
    [
      'refused, and a newer login is stored',
      'codex-router use a',
      async (it) => {
        it.slot.hostPuts(it.id, stats(expired(alice), { failureCounts: { auth: 1 } }));
        await it.router.store(login('alice', 'logged in again', NOW));
      },
      'refresh-failing',
    ],
    ['ended by the issuer', LOGIN, (it) => doubt(it, 'login-needed'), 'login-ended'],
  ];
  for (const [shape, remedy, make, cause] of shapes) {
    await t.test(shape, async (t) => {
      const it = await bench(NEW);
      await make(it);
      t.strictSame(told(await it.look()), ['slot', cause, 'broken-token', remedy]);
    });
  }
});

t.test('a login that only looks broken is none', async (t) => {
  const it = await bench();
  it.slot.hostPuts(it.id, stats(expired(alice), { failureCounts: { rate_limit: 3 } }));
  const late = await it.look();
  t.strictSame(told(late), null);
  t.match(of(late, 'slot'), {
    verdict: /^unknown$/,
    why: /^its access token expired .* ago: OpenClaw renews it with the next turn, and where that fails only codex-router login --expect \S+ helps$/,
  });
  it.slot.hostPuts(it.id, 'refreshing');
  const renewing = await it.look();
  t.strictSame(told(renewing), null);
  t.match(of(renewing, 'slot'), { verdict: 'unknown', why: /renewing the login there just now/ });
  const busy = {
    ...it.slot,
    read: () => Promise.reject(new RouterError('HOST_BUSY', 'its writer is at work')),
  };
  it.change = (host) => ({
    ...host,
    allSlots: async () => [busy],
    slotsFor: async (agent) => ({ ...(await host.slotsFor(agent)), main: busy }),
  });
  const unread = await it.look();
  t.strictSame(told(unread), null, 'what cannot be read now is not known to be broken');
  t.match(of(unread, 'slot'), { verdict: 'unknown', why: 'its writer is at work' });
});

t.test('display disagrees with runtime: openclaw.json names another e-mail', async (t) => {
  const it = await bench();
  const note = { code: 'CONFIG_NAMES_EMAIL', text: 'it names another' };
  it.label = { shown: 'old@example.test', note, mend: async () => note };
  const seen = await it.look();
  t.strictSame(told(seen), ['label', 'config-email', 'display-differs', 'codex-router use a --fix-labels']);
  t.match(of(seen, 'label'), { value: 'old@example.test', identity: null });
});

t.test('every cause and every symptom was seen in one of these states', async (t) => {
  t.strictSame([...SEEN_CAUSES].sort(), [...CAUSES].sort());
  t.strictSame([...SEEN_SYMPTOMS].sort(), [...SYMPTOMS].sort());
});
