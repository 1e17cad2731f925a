import t from 'tap';
import type { Holding } from '../../src/holding.js';
import { identityKey } from '../../src/identity.js';
import type { SwitchIntent, SwitchStep } from '../../src/repo/journal.js';
import { sync } from '../../src/router/sync.js';
import { undo } from '../../src/router/undo.js';
import { type UseRequest, use } from '../../src/router/use.js';
import { type FakeHostOptions, fakeHost } from '../contract/fake-host.js';
import { fakeJournal } from '../contract/fake-journal.js';
import { fakeRepo } from '../contract/fake-repo.js';
import { fakeSlot } from '../contract/fake-slot.js';
import { holdingOf } from '../contract/slot.js';
import { DAY, loginOf, type PersonName } from '../kit/tokens.js';
import { codeOf, SURROUNDINGS } from './support.js';

const SLOT = 'openai-codex:default';
const CHAT = 'agent:main:main';
const NOW = Date.now();

const login = (name: PersonName, nonce = 'one', issuedAt = NOW - DAY) =>
  holdingOf(loginOf(name, { nonce, issuedAt, expiresAt: issuedAt + 10 * DAY }));
const [alice, bob, carol] = [login('alice'), login('bob'), login('carol')];

function bench(options: Omit<FakeHostOptions, 'slots'> = {}) {
  const repo = fakeRepo(() => NOW);
  const slot = fakeSlot();
  const running = new Set<string>();
  const host = fakeHost({ sessions: [{ key: CHAT, updatedAt: 5 }], running, ...options, slots: [slot] });
  const journal = fakeJournal();
  const deps = () => ({
    repo,
    opening: repo.open(),
    host,
    outside: [],
    hostAt: async () => host,
    journal,
    ...SURROUNDINGS,
    now: () => NOW,
  });
  return {
    repo,
    slot,
    host,
    journal,
    running,
    use: (who: Holding, request: Partial<UseRequest> = {}) =>
      use(deps(), {
        selector: identityKey(who.identity),
        agent: null,
        session: { kind: 'current' },
        dryRun: false,
        ...request,
      }),
    undo: (dryRun = false) => undo(deps(), { agent: null, dryRun }),
    sync: () => sync(deps(), null),
    async store(...holdings: Holding[]) {
      const open = await repo.open();
      for (const holding of holdings) await open.save(holding, { source: 'codex' });
    },
    /** Whose refresh token is in the slot. */
    async token() {
      const { occupant } = await slot.read();
      return occupant.kind === 'login' ? occupant.grant.refreshToken.reveal() : null;
    },
    async left(intent: Partial<SwitchIntent>, step: SwitchStep) {
      const { address } = slot;
      const whole = { slot: address.id, from: null, to: null, pins: [], undoes: null, ...intent };
      const id = await journal.begin(whole, NOW);
      if (step !== 'begun') await journal.advance(id, step, NOW);
    },
  };
}

const refreshOf = (holding: Holding) => holding.grant.refreshToken.reveal();
const codes = (notes: readonly { readonly code: string }[]) => notes.map(({ code }) => code);

t.test(
  'the identity before the switch comes back with its newest tokens, and the pins as they were',
  async (t) => {
    const it = bench();
    await it.store(alice, bob);
    await it.use(alice, { session: { kind: 'none' } });
    const rotated = login('alice', 'rotated', NOW);
    it.slot.hostPuts(SLOT, rotated);
    await it.use(bob);
    t.strictSame([...it.host.pinned], [[CHAT, SLOT]]);
    const answer = await it.undo();
    t.match(answer, {
      result: 'undone',
      from: bob.identity,
      to: { identity: { userId: alice.identity.userId } },
    });
    t.equal(await it.token(), refreshOf(rotated));
    t.strictSame([...it.host.pinned], [[CHAT, null]], 'what was not pinned before is not pinned now');
    t.match(it.journal.records.at(-1), { undoes: it.journal.records.at(-2)?.id, step: 'done' });
  },
);

t.test('twice takes back two switches, and then there is nothing left', async (t) => {
  const it = bench();
  await it.store(alice, bob, carol);
  for (const who of [alice, bob, carol]) await it.use(who);
  await it.undo();
  t.equal(await it.token(), refreshOf(bob));
  await it.undo();
  t.equal(await it.token(), refreshOf(alice));
  await it.undo();
  t.equal(await it.token(), null, 'the slot was empty at first');
  t.equal((await it.repo.list()).length, 3);
  t.equal(await codeOf(it.undo()), 'NOTHING_TO_UNDO');
});

t.test('the login that leaves an emptied slot comes home first', async (t) => {
  const it = bench();
  await it.store(alice);
  await it.use(alice);
  const rotated = login('alice', 'rotated', NOW);
  it.slot.hostPuts(SLOT, rotated);
  t.match(await it.undo(), { to: null });
  t.equal(await it.token(), null);
  t.equal(
    it.repo.sealed(identityKey(alice.identity))?.grant.refreshToken.reveal(),
    refreshOf(rotated),
    'the rotated token is not lost',
  );
  t.match((await it.repo.list())[0], { placement: null });
});

t.test('a slot that somebody else has changed since is left alone', async (t) => {
  const it = bench();
  await it.store(alice, bob);
  await it.use(alice);
  await it.use(bob);
  it.slot.hostPuts(SLOT, carol);
  t.equal(await codeOf(it.undo()), 'NOTHING_TO_UNDO');
  t.equal(await it.token(), refreshOf(carol));
});

t.test('a dry run says what would come back and writes nothing', async (t) => {
  const it = bench();
  await it.store(alice, bob);
  await it.use(alice);
  await it.use(bob);
  const [records, replacements] = [it.journal.records.length, it.slot.replacements];
  t.match(await it.undo(true), { result: 'planned', to: { identity: { userId: alice.identity.userId } } });
  t.equal(it.journal.records.length, records);
  t.equal(it.slot.replacements, replacements);
});

t.test('who would come back and was removed is named as not found', async (t) => {
  const it = bench();
  await it.store(alice, bob);
  await it.use(alice);
  await it.use(bob);
  await it.repo.remove(identityKey(alice.identity));
  t.equal(await codeOf(it.undo()), 'IDENTITY_NOT_FOUND');
  t.equal(await it.token(), refreshOf(bob));
});

t.test('undo and use - both go back, and an undone switch is no step of the way', async (t) => {
  const it = bench();
  await it.store(alice, bob, carol);
  await it.use(alice);
  await it.use(bob);
  await it.undo();
  await it.use(carol);
  await it.undo();
  t.equal(await it.token(), refreshOf(alice));
});

t.test(
  'a switch that stopped before its write is taken back by the next command, which says so',
  async (t) => {
    const it = bench();
    await it.store(alice, bob, carol);
    await it.use(alice);
    await it.left({ from: alice.identity, to: bob.identity }, 'begun');
    const { notes } = await it.use(carol);
    t.ok(codes(notes).includes('TAKEN_BACK'));
    t.strictSame(
      it.journal.records.map(({ step }) => step),
      ['done', 'abandoned', 'done'],
    );
  },
);

t.test('a switch that stopped before its pins is finished by sync, which says so', async (t) => {
  const it = bench();
  await it.store(alice);
  it.slot.hostPuts(SLOT, alice);
  it.slot.hostOrders([SLOT], SLOT);
  const pins = [{ agent: 'main', key: CHAT, was: null }];
  await it.left({ to: alice.identity, pins }, 'swapped');
  t.ok(codes((await it.sync()).notes).includes('FINISHED'));
  t.strictSame([...it.host.pinned], [[CHAT, SLOT]]);
  t.match(it.journal.records, [{ step: 'done' }]);
  t.strictSame((await it.sync()).notes, [], 'and then there is nothing left to say');
});

t.test('a stale copy that the host writes over a switch after a turn is put right by sync', async (t) => {
  const it = bench();
  await it.store(alice, bob);
  await it.use(alice);
  it.running.add(CHAT);
  const { pins } = await it.use(bob);
  t.match(pins, [{ result: 'already' }]);
  t.match(it.journal.records.at(-1), { step: 'applied' }, 'it will be looked at again');
  it.slot.hostPuts(SLOT, alice);
  it.running.clear();
  t.ok(codes((await it.sync()).notes).includes('SLOT_REPAIRED'));
  t.equal(await it.token(), refreshOf(bob));
});

t.test(
  "a pin that a turn's end wrote over is set again, one that the person has changed since is not",
  async (t) => {
    const it = bench({
      sessions: [
        { key: CHAT, updatedAt: 5 },
        { key: 'agent:main:other', updatedAt: 4 },
      ],
    });
    await it.store(alice);
    it.running.add(CHAT);
    await it.use(alice, { session: { kind: 'all' } });
    const pinned = new Map(it.host.pinned);
    t.strictSame([...pinned.values()], [SLOT, SLOT]);
    await it.host.pinsOf('main').set([CHAT], null);
    await it.host.pinsOf('main').set(['agent:main:other'], 'openai-codex:work');
    it.running.clear();
    t.ok(codes((await it.sync()).notes).includes('PINS_REPAIRED'));
    t.strictSame(
      [...it.host.pinned],
      [
        [CHAT, SLOT],
        ['agent:main:other', 'openai-codex:work'],
      ],
    );
  },
);

t.test(
  'sync brings rotated tokens home and imports whom it does not know, and touches no slot',
  async (t) => {
    const it = bench();
    await it.store(alice);
    await it.use(alice);
    const { replacements } = it.slot;
    const rotated = login('alice', 'rotated', NOW);
    it.slot.hostPuts(SLOT, rotated);
    t.match((await it.sync()).slots, [{ checkedIn: [{ result: 'taken-home' }] }]);
    t.equal(it.repo.sealed(identityKey(alice.identity))?.grant.refreshToken.reveal(), refreshOf(rotated));
    it.slot.hostPuts(SLOT, carol);
    t.match((await it.sync()).slots, [{ checkedIn: [{ result: 'imported' }] }]);
    t.equal(it.slot.replacements, replacements);
  },
);

t.test(
  'a login that is older than the stored one is left in the slot, and not sealed at every sync',
  async (t) => {
    const it = bench();
    await it.store(alice);
    await it.use(alice);
    const renewed = login('alice', 'again', NOW);
    await it.store(renewed);
    for (let round = 0; round < 3; round += 1) {
      t.match((await it.sync()).slots, [{ checkedIn: [{ result: 'repo-newer' }] }]);
    }
    t.strictSame(it.repo.backUps, []);
    it.slot.hostPuts(SLOT, login('alice', 'rotated', NOW + DAY));
    await it.use(alice);
    t.equal(await it.token(), refreshOf(renewed), 'the login made since wins over what the old grant became');
    t.equal(
      it.repo.backUps.length,
      2,
      'what the old grant became, and the renewed one before it was written',
    );
  },
);

t.test(
  'a spent grant that OpenClaw writes back over its own rotation is not taken home, and sync puts the newest in again',
  async (t) => {
    const it = bench();
    await it.store(alice);
    await it.use(alice);
    const rotated = login('alice', 'rotated', NOW);
    it.slot.hostPuts(SLOT, rotated);
    await it.sync();
    it.slot.hostPuts(SLOT, alice);
    const { slots, notes } = await it.sync();
    t.match(slots, [{ checkedIn: [{ result: 'repo-newer' }] }]);
    t.ok(codes(notes).includes('SLOT_REPAIRED'));
    t.equal(await it.token(), refreshOf(rotated));
    t.equal(it.repo.sealed(identityKey(alice.identity))?.grant.refreshToken.reveal(), refreshOf(rotated));
  },
);

t.test(
  'a rotation that says it is older than what it rotates wins, and what gives way is sealed',
  async (t) => {
    const it = bench();
    await it.store(alice);
    await it.use(alice);
    const odd = login('alice', 'odd', NOW - 3 * DAY);
    it.slot.hostPuts(SLOT, odd);
    await it.sync();
    t.equal(it.repo.sealed(identityKey(alice.identity))?.grant.refreshToken.reveal(), refreshOf(odd));
    t.match(it.repo.backUps, [{ holding: { grant: { expiresAt: alice.grant.expiresAt } } }]);
  },
);

t.test('an identity whose refresh got no answer does not reach a host', async (t) => {
  const it = bench();
  await it.store(alice);
  await (await it.repo.open()).doubt(identityKey(alice.identity), 'refresh-sent');
  t.equal(await codeOf(it.use(alice)), 'REFRESH_UNANSWERED');
  t.equal(await it.token(), null);
});
