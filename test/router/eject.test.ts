import t from 'tap';
import type { Holding } from '../../src/holding.js';
import { eject, previewEject } from '../../src/router/eject.js';
import { previewTaking, takeHost } from '../../src/router/take-host.js';
import type { SessionEntry } from '../../src/slot/pins.js';
import { fakeHost } from '../contract/fake-host.js';
import { fakeSlot } from '../contract/fake-slot.js';
import { holdingOf } from '../contract/slot.js';
import { DAY, loginOf, type PersonName } from '../kit/tokens.js';
import { codeOf } from './support.js';
import { login, NOW, refreshOf, SLOT, vault } from './vaults.js';

const id = (name: PersonName) => `openai-codex:${name}@example.test`;
const chat = (
  key: string,
  pinnedTo: string | null,
  pinSource: string | null = 'user',
): Partial<SessionEntry> => ({
  key: `agent:main:${key}`,
  pinnedTo,
  pinSource,
});
const pinsOf = (host: { pinned: ReadonlyMap<string, string | null> }) =>
  Object.fromEntries([...host.pinned].map(([key, pin]) => [key.slice('agent:main:'.length), pin]));
const profilesOf = async (slot: ReturnType<typeof fakeSlot>) => {
  const { occupant, neighbours } = await slot.read();
  const own = occupant.kind === 'login' ? { [SLOT]: occupant.identity.userId } : {};
  return Object.fromEntries([
    ...Object.entries(own),
    ...neighbours.map((one) => [one.profileId, one.kind === 'login' ? one.identity.userId : one.what]),
  ]);
};

/** Two agents with several logins each, as a native setup leaves them. */
function native(...sessions: Partial<SessionEntry>[]) {
  const [alice, bob, carol] = [login('alice'), login('bob'), login('carol')];
  const main = fakeSlot();
  const research = fakeSlot({ agent: 'research' });
  main.hostPuts(id('alice'), alice);
  main.hostPuts(id('bob'), bob);
  main.hostPuts('openai-codex:key', { what: 'an API key' });
  main.hostOrders([id('bob'), id('alice')], id('alice'));
  research.hostPuts(id('carol'), carol);
  research.hostPuts(id('alice'), alice);
  research.hostOrders([], id('carol'));
  return { alice, bob, carol, main, research, host: fakeHost({ slots: [main, research], sessions }) };
}

t.test('every login is stored, and each store is left with the one its turns ran on', async (t) => {
  const { alice, bob, carol, main, research, host } = native();
  const mine = vault();
  const repo = await mine.repo.open();
  const planned = await previewTaking(mine.deps(host), repo);
  t.match(planned, {
    result: 'planned',
    stores: [
      { stays: { profileId: id('bob'), because: 'named' }, takeOut: [id('alice'), id('bob')] },
      { stays: { profileId: id('carol'), because: 'named' }, takeOut: [id('carol'), id('alice')] },
    ],
    affects: { agents: ['main', 'research'] },
  });
  t.equal(main.replacements + research.replacements, 0);
  t.strictSame(await mine.repo.list(), [], 'a preview stores nothing');

  const done = await takeHost(mine.deps(host), repo);
  t.match(done, { result: 'routed', reload: { effective: 'now' } });
  t.same(await profilesOf(main), { [SLOT]: bob.identity.userId, 'openai-codex:key': 'an API key' });
  t.same(await profilesOf(research), { [SLOT]: carol.identity.userId });
  t.match([await main.read(), await research.read()], [{ selectable: true }, { selectable: true }]);
  for (const one of [alice, bob, carol]) t.equal(refreshOf(mine.repo.sealed(keyOf(one))), refreshOf(one));
  t.match(await mine.entry(bob), { placement: { slot: `/fake#main#${SLOT}` } });
  t.match(await mine.entry(carol), { placement: { slot: `/fake#research#${SLOT}` } });
  t.match(await mine.entry(alice), { placement: null }, 'who went is parked');
  t.ok(await host.owner(), 'the host is ours');

  const before = main.replacements + research.replacements;
  t.match(await takeHost(mine.deps(host), repo), { result: 'already-routed' });
  t.match(await previewTaking(mine.deps(host), repo), { result: 'already-routed' });
  t.equal(main.replacements + research.replacements, before, 'and nothing is written again');
  t.match(await mine.use(host, alice), { result: 'switched' });
  t.match(await mine.use(host, bob), { result: 'switched' });
});

const keyOf = ({ identity }: Holding) => `${identity.accountId}/${identity.userId}`;

t.test('no pin is left dangling, and who is moved to another account is named', async (t) => {
  const { alice, host } = native(
    chat('a', id('alice')),
    chat('b', id('bob')),
    chat('auto', id('bob'), 'auto'),
    chat('gone', id('carol')),
    chat('other', 'anthropic:default'),
    chat('mine', 'personal:1:2'),
    chat('key', 'openai-codex:key'),
    chat('free', null),
  );
  const mine = vault();
  const done = await takeHost(mine.deps(host), await mine.repo.open());
  t.same(pinsOf(host), {
    a: null,
    b: SLOT,
    auto: null,
    gone: null,
    other: 'anthropic:default',
    mine: 'personal:1:2',
    key: 'openai-codex:key',
    free: null,
  });
  t.match(
    done.pins.filter(({ moves }) => moves).map(({ key, whose }) => [key, whose?.userId]),
    [
      ['agent:main:a', alice.identity.userId],
      ['agent:main:gone', undefined],
    ],
  );
  t.match(mine.journal.records, [{}, { step: 'done', pins: [{ key: 'agent:main:b', was: id('bob') }] }]);
  t.equal(
    await codeOf(mine.use(host, alice, { selector: '-' })),
    'NO_PREVIOUS',
    'it is no switch to go back from',
  );
});

t.test(
  'a pin that an upgrade left under the former name of its profile is that of the profile now',
  async (t) => {
    const slot = fakeSlot({ profileId: 'openai:default' });
    slot.hostPuts('openai:default', login('alice'));
    slot.hostPuts('openai:work', login('bob'));
    slot.hostOrders(['openai:default', 'openai:work'], null);
    const sessions = [chat('a', SLOT), chat('b', 'openai-codex:work'), chat('auto', SLOT, 'auto')];
    const host = fakeHost({ slots: [slot], provider: 'openai', sessions });
    const mine = vault();
    const done = await takeHost(mine.deps(host), await mine.repo.open());
    t.same(pinsOf(host), { a: 'openai:default', b: null, auto: null });
    t.match(
      done.pins.map(({ moves, whose }) => [moves, whose?.userId]),
      [
        [false, login('alice').identity.userId],
        [true, login('bob').identity.userId],
        [false, login('alice').identity.userId],
      ],
    );
  },
);

t.test('a pin to the slot whose account changes is said to move', async (t) => {
  const slot = fakeSlot();
  slot.hostPuts(SLOT, login('alice'));
  slot.hostPuts(id('bob'), login('bob'));
  slot.hostOrders([id('bob'), SLOT], null);
  const host = fakeHost({ slots: [slot], sessions: [chat('a', SLOT)] });
  const mine = vault();
  const done = await takeHost(mine.deps(host), await mine.repo.open());
  t.match(done.pins, [{ was: SLOT, is: SLOT, moves: true, whose: login('alice').identity }]);
});

t.test(
  'which login stays: the named one that is not cooling down, the last used, the one in the slot',
  async (t) => {
    const stays = async (prepare: (slot: ReturnType<typeof fakeSlot>) => void) => {
      const slot = fakeSlot();
      prepare(slot);
      const mine = vault();
      const { stores } = await previewTaking(mine.deps(fakeHost({ slots: [slot] })), await mine.repo.open());
      return [stores[0]?.stays?.profileId, stores[0]?.stays?.because];
    };
    const used = (name: PersonName, selection: Holding['selection']) =>
      holdingOf(loginOf(name, { issuedAt: NOW - DAY, expiresAt: NOW + DAY }), { selection });
    t.same(
      await stays((slot) => {
        slot.hostPuts(id('alice'), used('alice', { cooldownUntil: NOW + DAY }));
        slot.hostPuts(id('bob'), login('bob'));
        slot.hostOrders([id('alice'), id('bob')], id('alice'));
      }),
      [id('bob'), 'named'],
    );
    t.same(
      await stays((slot) => {
        slot.hostPuts(id('alice'), used('alice', { lastUsed: 1 }));
        slot.hostPuts(id('bob'), used('bob', { lastUsed: 2 }));
      }),
      [id('bob'), 'used-last'],
    );
    t.same(
      await stays((slot) => {
        slot.hostPuts(id('alice'), login('alice'));
        slot.hostPuts(SLOT, login('bob'));
      }),
      [SLOT, 'in-slot'],
    );
    t.same(await stays((slot) => slot.hostPuts(id('alice'), login('alice'))), [id('alice'), 'only']);
  },
);

t.test(
  'of two logins of one person the one that turns run on stays stored, the other one is sealed',
  async (t) => {
    const slot = fakeSlot();
    const old = login('alice', 'old', NOW - 2 * DAY);
    const later = login('alice', 'later', NOW - DAY);
    slot.hostPuts(SLOT, later);
    slot.hostPuts(id('alice'), old);
    slot.hostOrders([id('alice')], id('alice'));
    const host = fakeHost({ slots: [slot] });
    const mine = vault();
    const repo = await mine.repo.open();
    await takeHost(mine.deps(host), repo);
    t.equal(refreshOf(mine.repo.sealed(keyOf(old))), refreshOf(old));
    t.same(
      mine.repo.backUps.map(({ holding }) => refreshOf(holding)),
      [refreshOf(later)],
    );
    t.match(await mine.entry(old), { placement: { fingerprint: repo.fingerprint(old.grant) } });
  },
);

t.test('a release that keeps its agents on one login is left on the one of main', async (t) => {
  const { bob, main, research, carol } = native();
  const host = fakeHost({ slots: [main, research], tied: true, sessions: [chat('a', id('bob'))] });
  const mine = vault();
  const done = await takeHost(mine.deps(host), await mine.repo.open());
  t.match(done.notes, [{ code: 'AGENTS_TIED' }]);
  t.same(await profilesOf(research), { [SLOT]: bob.identity.userId });
  t.match(await mine.entry(bob), { placement: { slot: `/fake#main#${SLOT}` } });
  t.match(await mine.entry(carol), { placement: null });
  t.same(pinsOf(host), { a: SLOT });
});

t.test(
  'a slot that holds an API key is not overwritten: nothing is stored and nothing is taken',
  async (t) => {
    const { main, research, host } = native();
    main.hostPuts(SLOT, { what: 'an API key' });
    const mine = vault();
    t.equal(await codeOf(takeHost(mine.deps(host), await mine.repo.open())), 'SLOT_FOREIGN');
    t.strictSame(await mine.repo.list(), []);
    main.hostPuts(SLOT, null);
    research.hostPuts(SLOT, { what: 'an API key' });
    const done = await takeHost(mine.deps(host), await mine.repo.open());
    t.match(done.stores[1], { stays: null, changes: false, left: [{ profileId: SLOT }, {}, {}] });
    t.equal(
      Object.keys(await profilesOf(research)).length,
      2,
      'another agent with one is left as it is, and said so',
    );
  },
);

t.test('nothing leaves OpenClaw when it cannot be stored, or is not given back', async (t) => {
  for (const call of ['save', 'load', 'place']) {
    const { main, research, host } = native();
    const mine = vault();
    mine.repo.failNext(call, new Error('the disk'));
    await t.rejects(takeHost(mine.deps(host), await mine.repo.open()), { message: 'the disk' });
    t.equal(main.replacements + research.replacements, 0, call);
    t.match(
      await takeHost(mine.deps(host), await mine.repo.open()),
      { result: 'routed' },
      'run again it goes on',
    );
  }
});

t.test('nothing leaves OpenClaw when the record gives back another login than was put in', async (t) => {
  const { main, research, host, bob } = native();
  const mine = vault();
  const repo = await mine.repo.open();
  const load = async (key: Parameters<typeof repo.load>[0]) => {
    const holding = await repo.load(key);
    return key === keyOf(bob) ? { ...holding, grant: login('bob', 'torn').grant } : holding;
  };
  t.equal(await codeOf(takeHost(mine.deps(host), { ...repo, load })), 'RECORD_DAMAGED');
  t.equal(main.replacements + research.replacements, 0);
});

t.test('a login that OpenClaw rotates meanwhile is taken as it is then', async (t) => {
  const { main, research, host, alice, bob } = native();
  const mine = vault();
  const repo = await mine.repo.open();
  const rotated = login('alice', 'rotated', NOW);
  const replace = main.replace.bind(main);
  let isFirst = true;
  const racing = Object.assign(Object.create(main), {
    replace: async (change: Parameters<typeof replace>[0]) => {
      if (isFirst) main.hostPuts(id('alice'), rotated);
      isFirst = false;
      return replace(change);
    },
  });
  const done = await takeHost(mine.deps(fakeHost({ slots: [racing, research] })), repo);
  t.equal(done.result, 'routed');
  t.equal(refreshOf(mine.repo.sealed(keyOf(alice))), refreshOf(rotated));
  t.same(await profilesOf(main), { [SLOT]: bob.identity.userId, 'openai-codex:key': 'an API key' });
  t.ok(host);
});

t.test('the pins of a crash after the slot was written are set by the next command', async (t) => {
  const { bob, main, research } = native();
  const host = fakeHost({ slots: [main, research], sessions: [chat('b', id('bob'))] });
  const mine = vault();
  const crash = { ...host, reload: async () => Promise.reject(new Error('killed')) };
  await t.rejects(takeHost(mine.deps(crash), await mine.repo.open()), { message: 'killed' });
  // Whatever came first, it goes on until nothing is left to do.
  const killed = {
    ...host,
    reload: async (...args: Parameters<typeof host.reload>) => {
      if (args[0].address.agent === 'main') throw new Error('killed');
      return host.reload(...args);
    },
  };
  await t.rejects(takeHost(mine.deps(killed), await mine.repo.open()), { message: 'killed' });
  t.same(pinsOf(host), { b: id('bob') }, 'it dangles');
  const done = await takeHost(mine.deps(host), await mine.repo.open());
  t.match(done.notes, [{ code: 'FINISHED' }]);
  t.same(pinsOf(host), { b: SLOT }, 'it is on who it was pinned to');
  t.equal((await main.read()).occupant.kind, 'login');
  t.match(await mine.entry(bob), { doubt: null });
});

t.test(
  'eject gives OpenClaw every parked login under a name of its own, beside who stays in the slot',
  async (t) => {
    const { alice, bob, carol, main, host } = native(chat('a', null), chat('s', SLOT));
    const mine = vault();
    const repo = await mine.repo.open();
    await takeHost(mine.deps(host), repo);
    const team = login('alice-team', 'team');
    await mine.store(team);
    await mine.repo.setAlias(keyOf(alice) as never, 'work');
    const planned = await previewEject(mine.deps(host), repo, null);
    t.match(planned, {
      result: 'planned',
      occupant: bob.identity,
      added: [
        { profileId: 'openai-codex:work' },
        { profileId: id('alice').replace('alice@', `${team.identity.email?.split('@')[0]}@`) },
      ],
      there: [
        { agent: 'main', profileId: SLOT },
        { agent: 'research', profileId: SLOT },
      ],
      left: [],
    });
    const done = await eject(mine.deps(host), repo, null);
    t.match(done, { result: 'ejected', reload: { effective: 'now' } });
    const { occupant, neighbours, named } = await main.read();
    t.equal(occupant.kind === 'login' && occupant.identity.userId, bob.identity.userId);
    t.same(
      neighbours.flatMap((one) => (one.kind === 'login' ? [[one.profileId, refreshOf(one)]] : [])),
      done.added.map(({ profileId }, place) => [profileId, refreshOf(place === 0 ? alice : team)]),
    );
    t.same(named, [SLOT, ...done.added.map(({ profileId }) => profileId)], 'the slot comes first');
    t.equal(await host.owner(), null, 'and nobody routes it any more');
    t.match(await mine.entry(alice), { placement: { slot: '/fake#main#openai-codex:work' } });
    t.same(pinsOf(host), { a: null, s: SLOT });
    t.ok(carol);

    t.match(await eject(mine.deps(host), repo, null), { result: 'already-ejected', added: [] });
    t.match(await previewEject(mine.deps(host), repo, null), { result: 'already-ejected' });
    t.match(await mine.use(host, alice), { result: 'switched' }, 'use takes over again');
    t.ok(await host.owner());
    t.same(
      Object.keys(await profilesOf(main)).includes('openai-codex:work'),
      false,
      'and moves the login into the slot',
    );
  },
);

t.test('what may be spent, what the issuer ended and what others hold is not handed over', async (t) => {
  const slot = fakeSlot();
  const host = fakeHost({ slots: [slot] });
  const [alice, bob, carol, team] = [login('alice'), login('bob'), login('carol'), login('bob-team', 'team')];
  const outside = [{ name: 'the Codex CLI', remedy: 'codex-router import --take', read: async () => team }];
  const mine = vault({ outside });
  const repo = await mine.repo.open();
  const copy = { ...login('carol'), identity: login('alice-team').identity };
  await mine.store(alice, bob, carol, team, {
    ...copy,
    grant: { ...alice.grant, accessToken: login('alice-team').grant.accessToken },
  });
  await repo.doubt(keyOf(bob) as never, 'login-needed');
  await repo.doubt(keyOf(carol) as never, 'refresh-sent');
  const done = await eject(mine.deps(host), repo, null);
  t.match(done.left, [
    { entry: { identity: bob.identity }, why: /ended/ },
    { entry: { identity: carol.identity }, why: /may be spent/, remedy: /refresh/ },
    { entry: { identity: team.identity }, why: /the Codex CLI holds it/ },
    { entry: { identity: copy.identity }, why: /the very login of alice@/ },
  ]);
  t.same(await profilesOf(slot), { [id('alice')]: alice.identity.userId }, 'an empty slot stays empty');
  t.same((await slot.read()).named, [id('alice')]);
});

t.test('an eject that was killed before or after its write is finished by the next one', async (t) => {
  for (const when of ['before', 'after'] as const) {
    const slot = fakeSlot();
    const host = fakeHost({ slots: [slot] });
    const mine = vault();
    const repo = await mine.repo.open();
    const [alice, bob] = [login('alice'), login('bob')];
    await mine.store(alice, bob);
    await mine.use(host, bob);
    const replace = slot.replace.bind(slot);
    const dying = Object.assign(Object.create(slot), {
      replace: async (change: Parameters<typeof replace>[0]) => {
        if (when === 'after') await replace(change);
        throw new Error('killed');
      },
    });
    const dead = {
      ...fakeHost({ slots: [dying] }),
      owner: host.owner,
      claim: host.claim,
      disown: host.disown,
    };
    await t.rejects(eject(mine.deps(dead), repo, null), { message: 'killed' });
    t.match(await eject(mine.deps(host), repo, null), { result: 'ejected' }, when);
    t.same(await profilesOf(slot), { [SLOT]: bob.identity.userId, [id('alice')]: alice.identity.userId });
    t.equal(await host.owner(), null);
    const findings = (await mine.doctor(host)).filter(({ danger }) => danger);
    t.same(findings, [], 'one grant, one holder');
  }
});

t.test('a host that another codex-router routes is neither taken nor ejected', async (t) => {
  const { main, host } = native();
  const theirs = vault();
  await takeHost(theirs.deps(host), await theirs.repo.open());
  const mine = vault();
  const repo = await mine.repo.open();
  await mine.store(login('alice-team'));
  const before = main.replacements;
  t.equal(await codeOf(takeHost(mine.deps(host), repo)), 'HOST_OWNED');
  t.equal(await codeOf(eject(mine.deps(host), repo, null)), 'HOST_OWNED');
  t.equal(main.replacements, before);
});

t.test(
  'who was chosen before a kill stays chosen, although the order may be the new one by then',
  async (t) => {
    const slot = fakeSlot();
    const [alice, bob] = [login('alice'), login('bob')];
    slot.hostPuts(SLOT, alice);
    slot.hostPuts(id('bob'), bob);
    slot.hostOrders([SLOT], SLOT);
    const host = fakeHost({ slots: [slot] });
    const mine = vault();
    const who = { accountId: bob.identity.accountId, userId: bob.identity.userId };
    const begun = { slot: slot.address.id, from: who, to: who, pins: [], undoes: null };
    await mine.journal.begin(begun, NOW);
    const repo = await mine.repo.open();
    t.match(await previewTaking(mine.deps(host), repo), { stores: [{ stays: { profileId: id('bob') } }] });
    await mine.store(bob);
    const done = await takeHost(mine.deps(host), repo);
    t.match(done.notes, [{ code: 'TAKEN_BACK' }]);
    t.same(await profilesOf(slot), { [SLOT]: bob.identity.userId });

    await mine.journal.begin(begun, NOW);
    t.match(await previewTaking(mine.deps(host), repo), { result: 'planned' }, 'what a kill left is work');
    t.match(await takeHost(mine.deps(host), repo), {
      result: 'already-routed',
      notes: [{ code: 'FINISHED' }],
    });
    t.match(await previewTaking(mine.deps(host), repo), { result: 'already-routed' });
  },
);
