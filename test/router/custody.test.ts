import t from 'tap';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import type { OutsideHolder } from '../../src/router/custody.js';
import { fakeHost } from '../contract/fake-host.js';
import { type FakeSlot, fakeSlot } from '../contract/fake-slot.js';
import { codeOf } from './support.js';
import { keyOf, login, NOW, refreshOf, SLOT, vault } from './vaults.js';

const CODEX = 'the Codex CLI';

/** The Codex CLI's home in memory, with the hand of a Codex on it. */
function codexHome(first: Holding | null) {
  let held = first;
  let admits: RouterError | null = null;
  const holder: OutsideHolder = {
    name: CODEX,
    remedy: 'codex-router import --take',
    read: async () => held,
    taking: {
      admit: async () => {
        if (admits !== null) throw admits;
      },
      take: async (_shown, seal) => {
        if (held === null) throw new RouterError('SLOT_CHANGED', 'it is gone');
        await seal(held);
        held = null;
      },
    },
  };
  return {
    holder,
    get held() {
      return held;
    },
    puts: (next: Holding | null) => {
      held = next;
    },
    refuses: (error: RouterError) => {
      admits = error;
    },
  };
}

async function tokenIn(slot: FakeSlot): Promise<string | null> {
  const { occupant } = await slot.read();
  return occupant.kind === 'login' ? refreshOf(occupant) : null;
}

t.test(
  'a login in another agent is refused with who holds it, and taken from there with --move',
  async (t) => {
    const [main, ops] = [fakeSlot(), fakeSlot({ agent: 'ops' })];
    const host = fakeHost({ slots: [main, ops] });
    const one = vault();
    const [alice, bob] = [login('alice'), login('bob')];
    await one.store(alice, bob);
    await one.use(host, bob);
    ops.hostPuts(SLOT, alice);
    await t.rejects(one.use(host, alice), {
      code: 'IDENTITY_IN_USE',
      message: /^OpenClaw's agent ops holds this very login/,
      hint: new RegExp(`^codex-router use ${keyOf(alice)} --move`),
    });
    const planned = await one.use(host, alice, { move: true, dryRun: true });
    t.match(planned, { result: 'planned', moved: [{ name: "OpenClaw's agent ops" }] });
    t.equal(ops.replacements, 0);
    t.match(await one.use(host, alice, { move: true }), { result: 'switched', moved: [{ kind: 'slot' }] });
    t.equal(await tokenIn(main), refreshOf(alice));
    t.equal((await ops.read()).occupant.kind, 'absent');
    t.strictSame(
      host.reloads.slice(-2),
      [null, alice.grant.expiresAt],
      'the gateway is told of both, in that order',
    );
    t.equal((await one.entry(alice))?.placement?.slot, main.address.id);
    t.strictSame(await one.doctor(host), []);
  },
);

t.test('what the other agent made of the login is what is moved, and what goes into the slot', async (t) => {
  const [main, ops] = [fakeSlot(), fakeSlot({ agent: 'ops' })];
  const host = fakeHost({ slots: [main, ops] });
  const one = vault();
  const alice = login('alice');
  await one.store(alice);
  await one.use(host, alice, { agent: 'ops' });
  // Older by its own clock: only the grant we put there proves which one is newer.
  const rotated = login('alice', 'rotated in ops', NOW - 3 * 86_400_000);
  ops.hostPuts(SLOT, rotated);
  const answer = await one.use(host, alice, { move: true });
  t.match(answer.checkedIn, [{ result: 'taken-home' }]);
  t.equal(await tokenIn(main), refreshOf(rotated));
  t.equal(refreshOf(one.repo.sealed(keyOf(alice))), refreshOf(rotated));
  t.equal((await ops.read()).occupant.kind, 'absent');
});

t.test('a login beside the slot of another agent is taken out alone; the slot keeps its own', async (t) => {
  const [main, ops] = [fakeSlot(), fakeSlot({ agent: 'ops' })];
  const host = fakeHost({ slots: [main, ops] });
  const one = vault();
  const [alice, bob] = [login('alice'), login('bob')];
  await one.store(alice, bob);
  ops.hostPuts(SLOT, bob);
  ops.hostPuts('openai-codex:alice', alice);
  t.equal(await codeOf(one.use(host, alice)), 'IDENTITY_IN_USE');
  await one.use(host, alice, { move: true });
  t.equal(await tokenIn(main), refreshOf(alice));
  t.equal(await tokenIn(ops), refreshOf(bob));
  t.strictSame((await ops.read()).neighbours, []);
});

t.test(
  'a store that only chooses may hold the login beside its choice: it is taken from there too',
  async (t) => {
    const [main, chooser] = [fakeSlot(), fakeSlot({ agent: 'ops', isChooser: true })];
    const host = fakeHost({ slots: [main], choosers: [chooser] });
    const all = { ...host, allSlots: async () => [main, chooser] };
    const one = vault();
    const alice = login('alice');
    await one.store(alice);
    chooser.hostPuts('openai-codex:alice', alice);
    chooser.hostOrders(['openai-codex:alice'], null);
    t.equal(await codeOf(one.use(all, alice)), 'IDENTITY_IN_USE');
    t.equal((await one.use(all, alice, { move: true })).result, 'switched');
    t.strictSame((await chooser.read()).neighbours, []);
    t.equal((await chooser.read()).selectable, true);
  },
);

t.test('a login in another OpenClaw is taken from there, and only if we route that one', async (t) => {
  const there = fakeSlot({ stateDir: '/second' });
  const second = fakeHost({ slots: [there], stateDir: '/second' });
  const here = fakeSlot();
  const host = fakeHost({ slots: [here] });
  const one = vault({ elsewhere: { '/second': second } });
  const alice = login('alice');
  await one.store(alice);
  await one.use(second, alice);
  const rotated = login('alice', 'rotated there', NOW);
  there.hostPuts(SLOT, rotated);
  t.equal(await codeOf(one.use(host, alice)), 'IDENTITY_IN_USE');
  await one.use(host, alice, { move: true });
  t.equal(await tokenIn(here), refreshOf(rotated));
  t.equal((await there.read()).occupant.kind, 'absent');
  t.equal((await second.owner())?.generation !== undefined, true);

  await one.use(second, alice, { move: true });
  const other = vault();
  await other.adopt(second);
  t.equal(await codeOf(one.use(host, alice, { move: true })), 'IDENTITY_IN_USE');
  t.equal(await tokenIn(there), refreshOf(rotated));
});

t.test('a copy in a host that we put it into long ago is found by the journal', async (t) => {
  const there = fakeSlot({ stateDir: '/second' });
  const second = fakeHost({ slots: [there], stateDir: '/second' });
  const host = fakeHost({ slots: [fakeSlot()] });
  const one = vault({ elsewhere: { '/second': second } });
  const alice = login('alice');
  await one.store(alice);
  await one.use(second, alice);
  // An import from yet another place overwrote where it was put.
  await (await one.repo.open()).place(keyOf(alice), null);
  t.equal(await codeOf(one.use(host, alice)), 'IDENTITY_IN_USE');
});

t.test('a login in the Codex home is taken from there, whole, before it goes into the slot', async (t) => {
  const slot = fakeSlot();
  const host = fakeHost({ slots: [slot] });
  const alice = login('alice');
  const codex = codexHome(alice);
  const one = vault({ outside: [codex.holder] });
  await one.store(alice);
  t.equal(await codeOf(one.use(host, alice)), 'IDENTITY_IN_USE');
  codex.refuses(new RouterError('CHOICE_NEEDED', 'it also holds an API key'));
  t.equal(await codeOf(one.use(host, alice, { move: true })), 'CHOICE_NEEDED');
  t.equal(slot.replacements, 0);
  const free = codexHome(alice);
  const two = vault({ outside: [free.holder] });
  await two.store(alice);
  const answer = await two.use(fakeHost({ slots: [slot] }), alice, { move: true });
  t.match(answer.moved, [{ name: CODEX, kind: 'outside' }]);
  t.match(answer.notes, [{ code: 'TAKEN' }]);
  t.equal(free.held, null);
  t.equal(await tokenIn(slot), refreshOf(alice));
});

t.test('what Codex made of a login that was left shared counts as that login, and wins', async (t) => {
  const slot = fakeSlot();
  const host = fakeHost({ slots: [slot] });
  const alice = login('alice');
  const rotated = login('alice', 'rotated by codex', NOW - 4 * 86_400_000);
  const codex = codexHome(rotated);
  const one = vault({ outside: [codex.holder] });
  await (await one.repo.open()).save(alice, { source: 'codex', sharedWith: 'codex' });
  t.equal(await codeOf(one.use(host, alice)), 'IDENTITY_IN_USE', 'the stored one is spent');
  await one.use(host, alice, { move: true });
  t.equal(await tokenIn(slot), refreshOf(rotated));
  t.equal((await one.entry(alice))?.sharedWith, null);
  t.strictSame(
    one.repo.backUps.map(({ holding }) => refreshOf(holding)),
    [refreshOf(alice)],
  );
});

t.test(
  'a holder that refreshes the login at the last moment is planned anew, and nothing is lost',
  async (t) => {
    const slot = fakeSlot();
    const ops = fakeSlot({ agent: 'ops' });
    const host = fakeHost({ slots: [slot, ops] });
    const one = vault();
    const alice = login('alice');
    await one.store(alice);
    await one.use(host, alice, { agent: 'ops' });
    const rotated = login('alice', 'rotated at the last moment', NOW);
    const replace = ops.replace;
    let first = true;
    const racing: FakeSlot = Object.assign(Object.create(ops), {
      replace: async (change: Parameters<FakeSlot['replace']>[0]) => {
        if (first) ops.hostPuts(SLOT, rotated);
        first = false;
        return replace(change);
      },
    });
    const race = { ...host, allSlots: async () => [slot, racing] };
    t.match(await one.use(race, alice, { move: true }), { result: 'switched', moved: [{ kind: 'slot' }] });
    t.equal(await tokenIn(slot), refreshOf(rotated));
    t.equal((await ops.read()).occupant.kind, 'absent');
  },
);

t.test('a crash between taking it out and putting it in leaves it in the repo alone', async (t) => {
  const [slot, ops] = [fakeSlot(), fakeSlot({ agent: 'ops' })];
  const host = fakeHost({ slots: [slot, ops] });
  const one = vault();
  const [alice, bob] = [login('alice'), login('bob')];
  await one.store(alice, bob);
  await one.use(host, bob);
  const rotated = login('alice', 'rotated in ops', NOW);
  await one.use(host, alice, { agent: 'ops' });
  ops.hostPuts(SLOT, rotated);
  const failing: FakeSlot = Object.assign(Object.create(slot), {
    replace: async () => {
      throw new RouterError('IO', 'the disk is full');
    },
  });
  const broken = {
    ...host,
    allSlots: async () => [failing, ops],
    slotsFor: async (agent: string) => ({ ...(await host.slotsFor(agent)), main: failing }),
  };
  t.equal(await codeOf(one.use(broken, alice, { move: true })), 'IO');
  t.equal(await tokenIn(slot), refreshOf(bob));
  t.equal((await ops.read()).occupant.kind, 'absent');
  t.equal(refreshOf(one.repo.sealed(keyOf(alice))), refreshOf(rotated));
  t.equal((await one.entry(alice))?.placement, null);
  t.strictSame(
    (await one.doctor(host)).filter(({ danger }) => danger),
    [],
  );
  t.equal((await one.use(host, alice)).result, 'switched', 'and nobody else has it any more');
});

t.test('pins of the other agent that would point to nothing are taken off first', async (t) => {
  const [main, ops] = [fakeSlot(), fakeSlot({ agent: 'ops' })];
  const host = fakeHost({ slots: [ops, main], sessions: [{ key: 'agent:main:main', pinnedTo: SLOT }] });
  const one = vault();
  const alice = login('alice');
  await one.store(alice);
  main.hostPuts(SLOT, alice);
  const answer = await one.use(host, alice, { agent: 'ops', move: true });
  t.match(answer.moved, [{ unpin: [{ agent: 'main', key: 'agent:main:main' }] }]);
  t.equal(host.pinned.get('agent:main:main'), null);
});

t.test('a login that a release keeps in all its agents is not taken from one of them', async (t) => {
  const [there, copy] = [fakeSlot({ stateDir: '/second' }), fakeSlot({ stateDir: '/second', agent: 'ops' })];
  const second = fakeHost({ slots: [there], copies: [copy], tied: true, stateDir: '/second' });
  const host = fakeHost({ slots: [fakeSlot()] });
  const one = vault({ elsewhere: { '/second': second } });
  const alice = login('alice');
  await one.store(alice);
  await one.use(second, alice);
  copy.hostPuts(SLOT, login('bob'));
  t.equal(await codeOf(one.use(host, alice, { move: true })), 'AGENTS_TIED');
  copy.hostPuts(SLOT, alice);
  await one.use(host, alice, { move: true });
  t.equal((await there.read()).occupant.kind, 'absent', 'all of them at once');
  t.equal((await copy.read()).occupant.kind, 'absent');
});

t.test('doctor lists every grant in two places, and what mends it', async (t) => {
  const [main, ops] = [fakeSlot(), fakeSlot({ agent: 'ops' })];
  const there = fakeSlot({ stateDir: '/second' });
  const second = fakeHost({ slots: [there], stateDir: '/second' });
  const host = fakeHost({ slots: [main, ops] });
  const [alice, bob, carol] = [login('alice'), login('bob'), login('carol')];
  const codex = codexHome(bob);
  const one = vault({ outside: [codex.holder], elsewhere: { '/second': second } });
  await one.store(alice, carol);
  await one.use(second, carol);
  t.strictSame(await one.doctor(host), [], 'each has one holder');
  await one.store(bob);
  t.match(await one.doctor(host), [{ code: 'HELD_OUTSIDE', danger: false }]);
  main.hostPuts(SLOT, alice);
  main.hostPuts('openai-codex:alice', alice);
  ops.hostPuts(SLOT, bob);
  ops.hostPuts('openai-codex:carol', carol);
  const found = await one.doctor(host);
  t.strictSame(
    found.map(({ code, danger, remedy }) => [code, danger, remedy]),
    [
      ['GRANT_DUPLICATE', true, `codex-router use ${keyOf(alice)} --move`],
      ['GRANT_DUPLICATE', true, `codex-router use ${keyOf(bob)} --agent ops --move`],
      ['GRANT_DUPLICATE', true, `codex-router use ${keyOf(carol)} --agent ops --move`],
    ],
  );
  t.match(found[1]?.text, /OpenClaw's agent ops and in the Codex CLI/);
  t.match(found[2]?.text, /openai-codex:carol.* and in agent main of the OpenClaw in \/second/);
  for (const who of [alice, bob, carol]) {
    const agent = who === alice ? null : 'ops';
    await one.use(host, who, { agent, move: true });
    if (who === bob) await one.use(host, alice, { agent: 'main' });
  }
  t.strictSame(await one.doctor(host), [], 'its own remedies mend it');
});

t.test('copies that a release makes of one login are one holder', async (t) => {
  const [main, copy] = [fakeSlot(), fakeSlot({ agent: 'ops' })];
  const host = fakeHost({ slots: [main], copies: [copy] });
  const one = vault();
  await one.store(login('alice'));
  await one.use(host, login('alice'));
  copy.hostPuts(SLOT, login('alice'));
  t.strictSame(await one.doctor(host), []);
});

t.test(
  'doctor tells doubts, unfinished switches, damaged lines and what cannot be read, and writes nothing',
  async (t) => {
    const ops = fakeSlot({ agent: 'ops' });
    const host = fakeHost({ slots: [fakeSlot(), ops] });
    const one = vault();
    const [alice, bob] = [login('alice'), login('bob')];
    await one.store(alice, bob);
    const open = await one.repo.open();
    await open.doubt(keyOf(alice), 'refresh-sent');
    await open.place(keyOf(bob), {
      slot: '/gone#main#openai-codex:default',
      fingerprint: open.fingerprint(bob.grant),
      at: NOW,
    });
    const { accountId, userId } = alice.identity;
    const to = { accountId, userId };
    await one.journal.begin({ slot: '/fake#main#x', from: null, to, pins: [], undoes: null }, NOW);
    const unreadable: FakeSlot = Object.assign(Object.create(ops), {
      read: async () => {
        throw new RouterError('SLOT_UNREADABLE', 'it is not JSON');
      },
    });
    const calls = one.repo.calls.length;
    const gone = async (stateDir: string) => {
      if (stateDir === '/gone') throw new RouterError('HOST_NOT_FOUND', 'there is no OpenClaw');
      return host;
    };
    const { examine } = await import('../../src/router/doctor.js');
    const deps = {
      ...one.deps(host),
      hostAt: gone,
      host: { ...host, allSlots: async () => [fakeSlot(), unreadable] },
      journal: { ...one.journal, damaged: async () => 2 },
    };
    const found = await examine(deps, open);
    t.strictSame(
      found.map(({ code, danger }) => [code, danger]),
      [
        ['HOLDER_UNREADABLE', false],
        ['HOLDER_UNKNOWN', false],
        ['LOGIN_DOUBTFUL', false],
        ['SWITCH_UNFINISHED', false],
        ['JOURNAL_DAMAGED', false],
      ],
    );
    t.match(found[2], { remedy: `codex-router refresh ${keyOf(alice)}` });
    t.strictSame(
      one.repo.calls.slice(calls).filter((call) => !/^(open|load)/.test(call)),
      [],
    );
    t.equal(await host.owner(), null);
  },
);

t.test('one login under two identities is told', async (t) => {
  const one = vault();
  const alice = login('alice');
  const bob = { ...login('bob'), grant: alice.grant };
  await one.store(alice, bob);
  t.match(await one.doctor(null), [{ code: 'STORED_TWICE', danger: true }]);
});
