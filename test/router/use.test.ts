import fc from 'fast-check';
import t from 'tap';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import { identityKey } from '../../src/identity.js';
import type { Who } from '../../src/repo/journal.js';
import { type UseDeps, type UseRequest, use } from '../../src/router/use.js';
import { type FakeHostOptions, fakeHost } from '../contract/fake-host.js';
import { fakeJournal } from '../contract/fake-journal.js';
import { type FakeRepo, fakeRepo } from '../contract/fake-repo.js';
import { type FakeSlot, fakeSlot } from '../contract/fake-slot.js';
import { holdingOf } from '../contract/slot.js';
import { DAY, loginOf, type PersonName } from '../kit/tokens.js';
import { SURROUNDINGS } from './support.js';

const SLOT = 'openai-codex:default';
const NOW = Date.now();

interface Bench {
  readonly repo: FakeRepo;
  readonly slot: FakeSlot;
  readonly host: ReturnType<typeof fakeHost>;
  readonly journal: ReturnType<typeof fakeJournal>;
  run(selector: string, request?: Partial<UseRequest>, deps?: Partial<UseDeps>): ReturnType<typeof use>;
  store(...holdings: Holding[]): Promise<void>;
  /** The refresh token in the slot. */
  token(): Promise<string | null>;
}

function bench(options: Omit<FakeHostOptions, 'slots'> & { slots?: FakeHostOptions['slots'] } = {}): Bench {
  const repo = fakeRepo(() => NOW);
  const slots = options.slots ?? [fakeSlot()];
  const host = fakeHost({ ...options, slots });
  const journal = fakeJournal();
  const [slot] = slots;
  return {
    repo,
    slot,
    host,
    journal,
    run: async (selector, request = {}, deps = {}) =>
      use(
        {
          repo,
          opening: repo.open(),
          host,
          outside: [],
          hostAt: async () => host,
          journal,
          ...SURROUNDINGS,
          now: () => NOW,
          env: {},
          ...deps,
        },
        { selector, agent: null, session: { kind: 'current' }, dryRun: false, ...request },
      ),
    async store(...holdings) {
      const open = await repo.open();
      for (const holding of holdings) await open.save(holding, { source: 'codex' });
    },
    async token() {
      const { occupant } = await slot.read();
      return occupant.kind === 'login' ? occupant.grant.refreshToken.reveal() : null;
    },
  };
}

const login = (name: PersonName, nonce = 'one', issuedAt = NOW - DAY) =>
  holdingOf(loginOf(name, { nonce, issuedAt, expiresAt: issuedAt + 10 * DAY }));
const keyOf = (holding: Holding) => identityKey(holding.identity);
const intent = (slot: string, from: Who | null, to: Who | null) => ({
  slot,
  from,
  to,
  pins: [],
  undoes: null,
});
const refreshOf = (holding: Holding | null) => holding?.grant.refreshToken.reveal() ?? null;
const codeOf = async (work: Promise<unknown>) =>
  work.then(
    () => 'no error',
    (error: unknown) => (error instanceof RouterError ? error.code : String(error)),
  );

t.test(
  'puts a stored identity into an empty slot, tells the gateway, and pins the current chat',
  async (t) => {
    const { run, store, token, host, journal } = bench({
      sessions: [
        { key: 'agent:main:main', updatedAt: 5 },
        { key: 'agent:main:cron:job', updatedAt: 9 },
      ],
    });
    const alice = login('alice');
    await store(alice, login('bob'));
    const answer = await run(alice.identity.accountId);
    t.equal(answer.result, 'switched');
    t.equal(answer.from, null);
    t.equal(await token(), refreshOf(alice));
    t.strictSame(
      [...host.pinned],
      [
        ['agent:main:main', SLOT],
        ['agent:main:cron:job', null],
      ],
    );
    t.strictSame(host.reloads, [alice.grant.expiresAt]);
    t.strictSame(answer.affects, { agents: ['main'], sessions: ['agent:main:main'] });
    t.equal(journal.records.at(-1)?.step, 'done');
  },
);

t.test('brings the tokens that the host rotated home before it replaces them', async (t) => {
  const { run, store, token, slot, repo } = bench();
  const [alice, bob] = [login('alice'), login('bob')];
  await store(alice, bob);
  await run(keyOf(alice));
  const rotated = login('alice', 'rotated', NOW);
  slot.hostPuts(SLOT, rotated);
  const answer = await run(keyOf(bob));
  t.match(answer.checkedIn, [{ result: 'taken-home' }]);
  t.equal(await token(), refreshOf(bob));
  t.equal(refreshOf(repo.sealed(keyOf(alice))), refreshOf(rotated));
  await run(keyOf(alice));
  t.equal(await token(), refreshOf(rotated), 'the rotated grant is what comes back');
});

t.test('a rotated grant wins over what we put there, whatever its clock says', async (t) => {
  const { run, store, slot, repo } = bench();
  const [alice, bob] = [login('alice', 'one', NOW), login('bob')];
  await store(alice, bob);
  await run(keyOf(alice));
  const rotated = login('alice', 'rotated', NOW - 5 * DAY);
  slot.hostPuts(SLOT, rotated);
  await run(keyOf(bob));
  t.equal(refreshOf(repo.sealed(keyOf(alice))), refreshOf(rotated));
});

t.test(
  'after a new login, the old grant in the slot is sealed as a back-up and the new one goes in',
  async (t) => {
    const { run, store, token, repo } = bench();
    const old = login('alice', 'old', NOW);
    await store(old);
    await run(keyOf(old));
    const renewed = login('alice', 'renewed', NOW - 2 * DAY);
    await store(renewed);
    const answer = await run(keyOf(old));
    t.equal(answer.result, 'switched', 'same identity, other grant');
    t.match(answer.checkedIn, [{ result: 'repo-newer' }]);
    t.equal(await token(), refreshOf(renewed));
    t.strictSame(
      repo.backUps.map(({ holding }) => refreshOf(holding)),
      [refreshOf(old), refreshOf(renewed)],
      'and the new one too, before it is written over the old one',
    );
  },
);

t.test('both sides changed: the stored login is kept and the rotated one is sealed', async (t) => {
  const { run, store, slot, repo } = bench();
  const [old, bob] = [login('alice', 'old'), login('bob')];
  await store(old, bob);
  await run(keyOf(old));
  const rotated = login('alice', 'rotated', NOW);
  slot.hostPuts(SLOT, rotated);
  const renewed = login('alice', 'renewed', NOW);
  await store(renewed);
  await run(keyOf(bob));
  t.equal(refreshOf(repo.sealed(keyOf(old))), refreshOf(renewed));
  t.strictSame(
    repo.backUps.map(({ holding }) => refreshOf(holding)),
    [refreshOf(rotated)],
  );
});

t.test('an occupant that was never stored is imported before it is replaced', async (t) => {
  const { run, store, slot, repo } = bench();
  const [alice, stranger] = [login('alice'), login('carol')];
  await store(alice);
  slot.hostPuts(SLOT, { ...stranger, hostFields: { clientId: 'x' }, selection: { errorCount: 1 } });
  const answer = await run(keyOf(alice));
  t.match(answer.checkedIn, [{ result: 'imported', identity: { accountId: stranger.identity.accountId } }]);
  t.match(repo.sealed(keyOf(stranger)), { hostFields: { clientId: 'x' }, selection: { errorCount: 1 } });
  t.equal(refreshOf(repo.sealed(keyOf(stranger))), refreshOf(stranger));
});

t.test("where we never put a grant, the issuer's own time decides and the loser is sealed", async (t) => {
  for (const [slotIssued, kept] of [
    [NOW, 'slot'],
    [NOW - 3 * DAY, 'repo'],
    [NOW - DAY, 'repo'],
  ] as const) {
    const { run, store, slot, repo } = bench();
    const [mine, bob] = [login('alice', 'repo', NOW - DAY), login('bob')];
    await store(mine, bob);
    const theirs = login('alice', 'slot', slotIssued);
    slot.hostPuts(SLOT, theirs);
    await run(keyOf(bob));
    const [winner, loser] = kept === 'slot' ? [theirs, mine] : [mine, theirs];
    t.equal(refreshOf(repo.sealed(keyOf(mine))), refreshOf(winner), `${kept} wins`);
    t.strictSame(
      repo.backUps.map(({ holding }) => refreshOf(holding)),
      [refreshOf(loser)],
    );
  }
});

t.test('an API key in the slot stops the switch with nothing written', async (t) => {
  const { run, store, slot, repo, journal } = bench();
  const alice = login('alice');
  await store(alice);
  slot.hostPuts(SLOT, { what: 'an API key' });
  const calls = repo.calls.length;
  t.equal(await codeOf(run(keyOf(alice))), 'SLOT_FOREIGN');
  t.equal(slot.replacements, 0);
  t.strictSame(
    repo.calls.slice(calls).filter((call) => !/^(open|load)/.test(call)),
    [],
  );
  t.strictSame(journal.records, []);
});

t.test('whom a person chose is on record, also where the host held that login already', async (t) => {
  const { run, store, slot, journal } = bench();
  const alice = login('alice');
  await store(alice);
  slot.hostPuts(SLOT, alice);
  slot.hostOrders([SLOT], SLOT);
  t.equal((await run(keyOf(alice))).result, 'already-active');
  const { accountId, userId } = alice.identity;
  t.match(await journal.read(), [{ slot: slot.address.id, to: { accountId, userId }, step: 'done' }]);
  await run(keyOf(alice));
  t.equal((await journal.read()).length, 1, 'once is enough');
});

t.test('the active identity is not rewritten, but what makes it selectable is mended', async (t) => {
  const { run, store, slot, host } = bench({ sessions: [{ key: 'agent:main:main' }] });
  const alice = login('alice');
  await store(alice);
  await run(keyOf(alice));
  const before = slot.replacements;
  t.equal((await run(keyOf(alice))).result, 'already-active');
  t.equal(slot.replacements, before, 'nothing to mend, nothing written');
  slot.hostOrders(['openai-codex:other', SLOT], null);
  t.equal((await run(keyOf(alice))).result, 'already-active');
  t.equal((await slot.read()).selectable, true);
  t.equal(host.reloads.length, 3, 'the gateway is told each time: an earlier call may have failed');
});

t.test('a grant under another profile of the same store is moved, never doubled', async (t) => {
  const { run, store, slot } = bench();
  const [alice, bob, carol] = [login('alice'), login('bob'), login('carol')];
  slot.hostPuts(SLOT, alice);
  slot.hostPuts('openai-codex:bob', bob);
  slot.hostPuts('openai-codex:carol', carol);
  await store(alice, bob, carol);
  await run(keyOf(bob));
  const { occupant, neighbours } = await slot.read();
  t.match(occupant, { kind: 'login', identity: { accountId: bob.identity.accountId } });
  t.strictSame(
    neighbours.map(({ profileId }) => profileId),
    ['openai-codex:carol'],
  );
});

t.test('a neighbour that the host rotated is what goes into the slot', async (t) => {
  const { run, store, slot, token, repo } = bench();
  const [alice, bob] = [login('alice'), login('bob')];
  await store(alice);
  const open = await repo.open();
  const placement = {
    slot: '/fake#main#openai-codex:bob',
    fingerprint: open.fingerprint(bob.grant),
    at: NOW,
  };
  await open.save(bob, { source: 'openclaw', placement });
  slot.hostPuts(SLOT, alice);
  const rotated = login('bob', 'rotated', NOW);
  slot.hostPuts('openai-codex:bob', rotated);
  await run(keyOf(bob));
  t.equal(await token(), refreshOf(rotated));
  t.strictSame((await slot.read()).neighbours, []);
});

t.test('another login of the wanted identity under another profile is left where it is', async (t) => {
  const { run, store, slot, token, repo } = bench();
  const bob = login('bob', 'mine', NOW);
  await store(bob);
  slot.hostPuts('openai-codex:bob', login('bob', 'theirs', NOW - 2 * DAY));
  await run(keyOf(bob));
  t.equal(await token(), refreshOf(bob));
  t.equal((await slot.read()).neighbours.length, 1);
  t.equal(repo.backUps.length, 0, 'nothing of it was overwritten');
});

t.test('a login that somebody else holds is not put into a second place', async (t) => {
  const other = fakeSlot({ agent: 'ops' });
  const { run, store, slot } = bench({ slots: [fakeSlot(), other] });
  const [alice, bob] = [login('alice'), login('bob')];
  await store(alice, bob);
  other.hostPuts(SLOT, alice);
  t.equal(await codeOf(run(keyOf(alice))), 'IDENTITY_IN_USE');
  const codex = { name: 'the Codex CLI', remedy: 'codex-router import --take', read: async () => bob };
  t.equal(await codeOf(run(keyOf(bob), {}, { outside: [codex] })), 'IDENTITY_IN_USE');
  t.equal(slot.replacements, 0);
  const elsewhere = { ...codex, read: async () => login('bob', 'another login of bob') };
  t.equal((await run(keyOf(bob), {}, { outside: [elsewhere] })).result, 'switched');
});

t.test('a login that another OpenClaw of this machine was given is not put into a second one', async (t) => {
  const there = fakeSlot({ stateDir: '/other' });
  const other = fakeHost({ slots: [there] });
  const { run, store, repo } = bench();
  const alice = login('alice');
  const open = await repo.open();
  const placement = { slot: there.address.id, fingerprint: open.fingerprint(alice.grant), at: NOW };
  await store(login('bob'));
  await open.save(alice, { placement });
  there.hostPuts(SLOT, alice);
  const deps = { hostAt: async () => other };
  t.equal(await codeOf(run(keyOf(alice), {}, deps)), 'IDENTITY_IN_USE');
  there.hostPuts(SLOT, login('alice', 'rotated there', NOW));
  t.equal(await codeOf(run(keyOf(alice), {}, deps)), 'IDENTITY_IN_USE', 'its rotation is newer than ours');
  there.hostPuts(SLOT, login('carol'));
  t.equal((await run(keyOf(alice), {}, deps)).result, 'switched');
});

t.test('a login that lies beside the slot of another OpenClaw is found there too', async (t) => {
  const there = fakeSlot({ stateDir: '/other' });
  const other = fakeHost({ slots: [there] });
  const { run, repo } = bench();
  const alice = login('alice');
  const open = await repo.open();
  const placement = {
    slot: '/other#main#openai-codex:alice',
    fingerprint: open.fingerprint(alice.grant),
    at: NOW,
  };
  await open.save(alice, { source: 'openclaw', placement });
  there.hostPuts('openai-codex:alice', alice);
  t.equal(await codeOf(run(keyOf(alice), {}, { hostAt: async () => other })), 'IDENTITY_IN_USE');
});

t.test(
  'an older login in this slot does not make us forget that another OpenClaw has the newer one',
  async (t) => {
    const { run, store, slot, repo } = bench();
    const [alice, bob] = [login('alice'), login('bob', 'newer', NOW)];
    await store(alice);
    const open = await repo.open();
    const placement = {
      slot: '/other#main#openai-codex:default',
      fingerprint: open.fingerprint(bob.grant),
      at: NOW,
    };
    await open.save(bob, { placement });
    slot.hostPuts(SLOT, login('bob', 'older', NOW - 3 * DAY));
    await run(keyOf(alice));
    const entry = (await repo.list()).find(({ identity }) => identity.accountId === bob.identity.accountId);
    t.equal(entry?.placement?.slot, placement.slot);
  },
);

t.test('another OpenClaw that cannot be found is said to be unknown, not taken for nobody', async (t) => {
  const { run, repo } = bench();
  const alice = login('alice');
  const open = await repo.open();
  const placement = {
    slot: '/gone#main#openai-codex:default',
    fingerprint: open.fingerprint(alice.grant),
    at: NOW,
  };
  await open.save(alice, { placement });
  const hostAt = async () => {
    throw new RouterError('HOST_NOT_FOUND', 'there is none');
  };
  t.match(await run(keyOf(alice), {}, { hostAt }), {
    result: 'switched',
    notes: [{ code: 'HOLDER_UNKNOWN' }],
  });
});

t.test(
  'a copy that changes after the main slot was written: the answer still tells who was there before',
  async (t) => {
    const copy = fakeSlot({ agent: 'ops' });
    let first = true;
    const restlessCopy: FakeSlot = {
      ...copy,
      replace: async (change) => {
        if (first) copy.hostPuts(SLOT, login('carol', 'by the host', NOW));
        first = false;
        return copy.replace(change);
      },
    };
    const { run, store, journal } = bench({ copies: [restlessCopy] });
    const [alice, bob] = [login('alice'), login('bob')];
    await store(alice, bob);
    await run(keyOf(alice));
    first = true;
    const answer = await run(keyOf(bob));
    t.match(answer, { result: 'switched', from: { accountId: alice.identity.accountId } });
    t.match(journal.records.at(-1), { from: { accountId: alice.identity.accountId }, step: 'done' });
    t.equal(journal.records.length, 2);
  },
);

t.test('a holder that cannot be read is named, not taken for empty', async (t) => {
  const { run, store } = bench();
  const alice = login('alice');
  await store(alice);
  const broken = {
    name: 'the Codex CLI',
    remedy: '-',
    read: async () => {
      throw new RouterError('IDENTITY_UNREADABLE', 'auth.json is not JSON');
    },
  };
  t.match((await run(keyOf(alice), {}, { outside: [broken] })).notes, [{ code: 'HOLDER_UNREADABLE' }]);
});

t.test('a login that was left with a holder is not routed while that holder cannot be read', async (t) => {
  const { run, repo } = bench();
  const alice = login('alice');
  await (await repo.open()).save(alice, { sharedWith: 'codex' });
  const locked = {
    name: 'the Codex CLI (in the system keyring)',
    remedy: 'codex-router import --take',
    read: async () => {
      throw new RouterError('KEYCHAIN_LOCKED', 'it is locked');
    },
  };
  await t.rejects(run(keyOf(alice), {}, { outside: [locked] }), {
    code: 'IDENTITY_IN_USE',
    message: /the system keyring\), where it was left and which cannot be read now/,
  });
});

t.test('copies that a release makes of its main slot are swapped together and checked in once', async (t) => {
  const copy = fakeSlot({ agent: 'ops' });
  const { run, store, slot, repo } = bench({ copies: [copy] });
  const [alice, bob] = [login('alice'), login('bob')];
  await store(alice, bob);
  await run(keyOf(alice));
  const rotated = login('alice', 'rotated', NOW);
  slot.hostPuts(SLOT, rotated);
  copy.hostPuts(SLOT, rotated);
  const answer = await run(keyOf(bob));
  t.equal(answer.checkedIn.length, 1);
  t.strictSame(answer.affects.agents, ['main', 'ops']);
  for (const each of [slot, copy]) t.match((await each.read()).occupant, { identity: bob.identity });
  t.equal(refreshOf(repo.sealed(keyOf(alice))), refreshOf(rotated));
});

t.test('two rotated grants of one identity in two copies: both are kept, one of them sealed', async (t) => {
  const copy = fakeSlot({ agent: 'ops' });
  const { run, store, slot, repo } = bench({ copies: [copy] });
  const [alice, bob] = [login('alice'), login('bob')];
  await store(alice, bob);
  await run(keyOf(alice));
  const [first, second] = [login('alice', 'first', NOW), login('alice', 'second', NOW)];
  slot.hostPuts(SLOT, first);
  copy.hostPuts(SLOT, second);
  await run(keyOf(bob));
  t.equal(refreshOf(repo.sealed(keyOf(alice))), refreshOf(first));
  t.ok(repo.backUps.some(({ holding }) => refreshOf(holding) === refreshOf(second)));
});

/** A slot whose host rotates the login just before each of the first `times` writes. */
function restless(times: number): FakeSlot {
  const slot = fakeSlot();
  let left = times;
  return {
    ...slot,
    replace: async (change) => {
      if (left > 0) {
        left -= 1;
        slot.hostPuts(SLOT, login('alice', `rotated ${left}`, NOW));
      }
      return slot.replace(change);
    },
  };
}

t.test(
  'a slot that the host changes under us is decided anew, and the rotated token comes home',
  async (t) => {
    const slot = restless(2);
    const { run, store, repo, token } = bench({ slots: [slot] });
    const [alice, bob] = [login('alice'), login('bob')];
    await store(alice, bob);
    slot.hostPuts(SLOT, alice);
    t.equal((await run(keyOf(bob))).result, 'switched');
    t.equal(await token(), refreshOf(bob));
    t.match(refreshOf(repo.sealed(keyOf(alice))), /rotated 0/);
  },
);

t.test('a slot that never holds still ends in SLOT_CHANGED with nothing lost', async (t) => {
  const slot = restless(9);
  const { run, store, repo, token } = bench({ slots: [slot] });
  const [alice, bob] = [login('alice'), login('bob')];
  await store(alice, bob);
  slot.hostPuts(SLOT, alice);
  t.equal(await codeOf(run(keyOf(bob))), 'SLOT_CHANGED');
  t.match(await token(), /rotated 6/);
  t.equal(refreshOf(repo.sealed(keyOf(bob))), refreshOf(bob));
});

t.test('a token that the gateway rotates while it re-reads the slot comes home too', async (t) => {
  const slot = fakeSlot();
  const rotated = login('alice', 'late', NOW);
  const { run, store, repo } = bench({ slots: [slot], duringReload: () => slot.hostPuts(SLOT, rotated) });
  const alice = login('alice');
  await store(alice);
  await run(keyOf(alice));
  t.equal(refreshOf(repo.sealed(keyOf(alice))), refreshOf(rotated));
});

t.test('a dry run tells the whole plan and writes nothing', async (t) => {
  const { run, store, slot, repo, journal, host } = bench({ sessions: [{ key: 'agent:main:main' }] });
  const [alice, bob] = [login('alice'), login('bob')];
  await store(alice, bob);
  await run(keyOf(alice));
  slot.hostPuts(SLOT, login('alice', 'rotated', NOW));
  const before = [slot.replacements, repo.calls.length, journal.records.length, host.reloads.length];
  const answer = await run(keyOf(bob), { dryRun: true });
  t.equal(answer.result, 'planned');
  t.match(answer, { from: { accountId: alice.identity.accountId }, checkedIn: [{ result: 'taken-home' }] });
  t.match(answer.pins, [{ key: 'agent:main:main', is: SLOT }]);
  t.strictSame(
    repo.calls.slice(before[1]).filter((call) => !/^(open|load)/.test(call)),
    [],
  );
  t.strictSame(
    [slot.replacements, journal.records.length, host.reloads.length],
    [before[0], before[2], before[3]],
  );
});

t.test('"-" goes back to the identity before, and back again', async (t) => {
  const { run, store, token } = bench();
  const [alice, bob] = [login('alice'), login('bob')];
  await store(alice, bob);
  t.equal(await codeOf(run('-')), 'NO_PREVIOUS');
  await run(keyOf(alice));
  await run(keyOf(bob));
  await run('-');
  t.equal(await token(), refreshOf(alice));
  await run('-');
  t.equal(await token(), refreshOf(bob));
});

t.test(
  "which sessions are pinned is the person's choice: one by its key, all that follow the slot, or none",
  async (t) => {
    const sessions = [
      { key: 'agent:main:main', updatedAt: 9 },
      { key: 'agent:main:telegram:direct:7', updatedAt: 5 },
      { key: 'agent:main:cron:job', updatedAt: 7 },
      { key: 'agent:main:other', updatedAt: 3, pinnedTo: 'anthropic:work' },
    ];
    const pinnedBy = async (session: UseRequest['session']) => {
      const { run, store, host } = bench({ sessions });
      const alice = login('alice');
      await store(alice);
      const answer = await run(keyOf(alice), { session });
      const pinned = [...host.pinned].filter(([, to]) => to === SLOT).map(([key]) => key);
      t.strictSame(
        answer.pins.map(({ key }) => key),
        pinned,
        'what is said is what was done',
      );
      t.equal(host.pinned.get('agent:main:other'), 'anthropic:work');
      return pinned;
    };
    t.strictSame(await pinnedBy({ kind: 'current' }), ['agent:main:main']);
    t.strictSame(await pinnedBy({ kind: 'key', key: 'telegram:direct:7' }), ['agent:main:telegram:direct:7']);
    t.strictSame(await pinnedBy({ kind: 'all' }), ['agent:main:main', 'agent:main:telegram:direct:7']);
    t.strictSame(await pinnedBy({ kind: 'none' }), []);
  },
);

t.test('an identity whose access token has expired is routed, and that is said', async (t) => {
  const { run, store, token } = bench();
  const expired = login('alice', 'old', NOW - 30 * DAY);
  await store(expired);
  t.match(await run(keyOf(expired)), { result: 'switched', notes: [{ code: 'ACCESS_EXPIRED' }] });
  t.equal(await token(), refreshOf(expired));
});

t.test('a session that does not exist fails before anything is written', async (t) => {
  const { run, store, slot } = bench({ sessions: [{ key: 'agent:main:main' }] });
  const alice = login('alice');
  await store(alice);
  t.equal(
    await codeOf(run(keyOf(alice), { session: { kind: 'key', key: 'agent:main:nobody' } })),
    'SESSION_NOT_FOUND',
  );
  t.equal(slot.replacements, 0);
});

t.test('inside a running turn a pin is pending, never called set', async (t) => {
  const { run, store } = bench({ sessions: [{ key: 'agent:main:main' }] });
  const alice = login('alice');
  await store(alice);
  const env = { OPENCLAW_SHELL: 'exec', CODEX_ROUTER_SESSION_KEY: 'agent:main:main' };
  t.match((await run(keyOf(alice), {}, { env })).pins, [{ key: 'agent:main:main', result: 'pending' }]);
});

t.test("a pin inside somebody else's running turn is pending too", async (t) => {
  const { run, store } = bench({
    sessions: [{ key: 'agent:main:Main' }],
    running: new Set(['agent:main:main']),
  });
  const alice = login('alice');
  await store(alice);
  t.match((await run(keyOf(alice))).pins, [{ key: 'agent:main:Main', result: 'pending' }]);
});

t.test('a chat on another provider keeps its pin, and the answer says so', async (t) => {
  const { run, store, host } = bench({ sessions: [{ key: 'agent:main:main', pinnedTo: 'anthropic:work' }] });
  const alice = login('alice');
  await store(alice);
  const answer = await run(keyOf(alice));
  t.strictSame(answer.pins, []);
  t.match(answer.session, { key: null, why: /anthropic:work/ });
  t.equal(host.pinned.get('agent:main:main'), 'anthropic:work');
});

t.test('a session store that is busy leaves the switch done and the pin pending', async (t) => {
  const { run, store, host, token, journal } = bench({ sessions: [{ key: 'agent:main:main' }] });
  const alice = login('alice');
  await store(alice);
  const busy = async () => {
    throw new RouterError('HOST_BUSY', 'process 7 holds it');
  };
  const blocked = { ...host, pinsOf: (agent: string) => ({ ...host.pinsOf(agent), set: busy }) };
  const answer = await run(keyOf(alice), {}, { host: blocked });
  t.match(answer, { result: 'switched', pins: [{ key: 'agent:main:main', is: null, result: 'pending' }] });
  t.match(answer.notes, [{ code: 'PINS_PENDING', text: /process 7/ }]);
  t.equal(await token(), refreshOf(alice));
  t.equal(journal.records.at(-1)?.step, 'swapped', 'the next run has something to finish');
  t.match(await run(keyOf(alice)), { result: 'already-active', pins: [{ result: 'set' }] });
  t.equal(journal.records.at(-1)?.step, 'done');
  t.equal(journal.records.length, 1);
});

t.test('pins are watched in all agents at once, and what was put back is counted', async (t) => {
  const { run, store, host } = bench({
    slots: [fakeSlot({ profileId: 'openai:default' })],
    copies: [fakeSlot({ agent: 'research', profileId: 'openai:default' })],
    provider: 'openai',
    sessions: [{ key: 'agent:main:telegram:direct:7', pinnedTo: 'openai-codex:default' }],
  });
  await store(login('bob'));
  const [entry] = await host.pinsOf('main').read();
  const steps: string[] = [];
  const pinsOf: typeof host.pinsOf = (agent) => ({
    ...host.pinsOf(agent),
    read: async () => (entry === undefined ? [] : [{ ...entry, key: `agent:${agent}:telegram:direct:7` }]),
    set: async (keys, id) => {
      steps.push(`set ${agent}`);
      return await host.pinsOf(agent).set(keys, id);
    },
    keep: async (outcomes, id) => {
      steps.push(`watch ${agent}`);
      await new Promise((wake) => setImmediate(wake));
      steps.push(`end ${id}`);
      return outcomes.map((outcome) => ({ ...outcome, repaired: 2 }));
    },
  });
  const answer = await run(keyOf(login('bob')), {}, { host: { ...host, pinsOf } });
  t.same(steps, [
    ...['set main', 'set research'],
    ...['watch main', 'watch research', 'end openai:default', 'end openai:default'],
  ]);
  const notes = answer.notes.filter(({ code }) => code === 'PINS_REPAIRED');
  t.match(notes, [{ text: /^2 session entries .* put back$/ }, { text: /^2 / }]);
});

t.test(
  'what an upgrade left over is looked for again after a run that could not pin, in every agent that follows',
  async (t) => {
    const research = fakeSlot({ agent: 'research', profileId: 'openai:default' });
    const { run, store, host } = bench({
      slots: [fakeSlot({ profileId: 'openai:default' })],
      copies: [research],
      provider: 'openai',
      sessions: [{ key: 'agent:main:telegram:direct:7', pinnedTo: 'openai-codex:default' }],
    });
    await store(login('bob'));
    const asked: string[] = [];
    let busy = true;
    const pinsOf: typeof host.pinsOf = (agent) => ({
      ...host.pinsOf(agent),
      read: async () => {
        asked.push(agent);
        return host.pinsOf(agent).read();
      },
      survey: async () => ({ entries: [], unread: 9 }),
      set: async (keys, id) => {
        if (busy) throw new RouterError('HOST_BUSY', 'process 7 holds it');
        return host.pinsOf(agent).set(keys, id);
      },
    });
    const deps = { host: { ...host, pinsOf } };
    const look = async () => {
      asked.length = 0;
      await run(keyOf(login('bob')), { session: { kind: 'current' } }, deps);
      return [...new Set(asked)];
    };
    t.same(await look(), ['main', 'research'], 'the stores were not mended yet');
    busy = false;
    t.same(await look(), ['main', 'research'], 'what could not be pinned is looked for again');
    t.same([...host.pinned], [['agent:main:telegram:direct:7', 'openai:default']]);
    t.same(await look(), [], 'once all is done, only what is recent is read');
  },
);

t.test(
  'a write that never happened is not an interrupted switch, and nothing is said to be placed',
  async (t) => {
    const slot = fakeSlot();
    const busy = async () => {
      throw new RouterError('HOST_BUSY', 'process 7 holds it');
    };
    const { run, store, repo, journal } = bench({ slots: [{ ...slot, replace: busy }] });
    const alice = login('alice');
    await store(alice);
    t.equal(await codeOf(run(keyOf(alice))), 'HOST_BUSY');
    t.equal(journal.records.at(-1)?.step, 'abandoned');
    t.equal((await repo.list())[0]?.placement, null);
  },
);

t.test('after a crash between the slot and the journal, "-" still goes back to the right one', async (t) => {
  const { run, store, token, slot, journal } = bench();
  const [alice, bob, carol] = [login('alice'), login('bob'), login('carol')];
  await store(alice, bob, carol);
  await run(keyOf(alice));
  await run(keyOf(carol));
  await journal.begin(intent(slot.address.id, carol.identity, bob.identity), NOW);
  slot.hostPuts(SLOT, bob);
  await run('-');
  t.equal(await token(), refreshOf(carol));
});

t.test('running it again finishes what a crash left, and says so in the journal', async (t) => {
  const { run, store, slot, journal } = bench();
  const [alice, bob] = [login('alice'), login('bob')];
  await store(alice, bob);
  await run(keyOf(alice));
  await journal.begin(intent(slot.address.id, alice.identity, bob.identity), NOW);
  slot.hostPuts(SLOT, bob);
  slot.hostOrders([SLOT], SLOT);
  t.equal((await run(keyOf(bob))).result, 'already-active');
  t.equal(journal.records.at(-1)?.step, 'done');
});

t.test('what a release would do to the grant is asked before anything is written', async (t) => {
  const { run, store, slot } = bench({
    admit: async () => {
      throw new RouterError('HOST_UNTRUSTED_WITH_GRANT', 'it never saves a rotated token');
    },
  });
  const alice = login('alice');
  await store(alice);
  t.equal(await codeOf(run(keyOf(alice))), 'HOST_UNTRUSTED_WITH_GRANT');
  t.equal(slot.replacements, 0);
});

t.test('whatever happens in whatever order, no login is lost and none is in two places', async (t) => {
  const names: readonly PersonName[] = ['alice', 'bob', 'carol'];
  const step = fc.oneof(
    fc.record({ do: fc.constant('use' as const), who: fc.constantFrom(...names) }),
    fc.record({ do: fc.constant('import' as const), who: fc.constantFrom(...names) }),
    fc.record({ do: fc.constant('rotate' as const), who: fc.constantFrom(...names) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const { run, store, slot, repo } = bench();
      /** Every grant that is alive at the server: the newest of each chain. */
      const alive = new Set<string>();
      let count = 0;
      await store(...names.map((name) => login(name, 'start')));
      for (const name of names) alive.add(refreshOf(login(name, 'start')) ?? '');
      for (const { do: what, who } of steps) {
        count += 1;
        if (what === 'use') await run(keyOf(login(who)));
        if (what === 'import') {
          const fresh = login(who, `login${count}`, NOW - count);
          const open = await repo.open();
          const old = repo.sealed(keyOf(fresh));
          if (old) await open.backUp(old, 'import');
          await store(fresh);
          alive.add(refreshOf(fresh) ?? '');
        }
        if (what === 'rotate') {
          const { occupant } = await slot.read();
          if (occupant.kind !== 'login') continue;
          const person = names.find(
            (name) =>
              login(name).identity.accountId === occupant.identity.accountId &&
              login(name).identity.userId === occupant.identity.userId,
          );
          if (person === undefined) continue;
          const next = login(person, `rotation${count}`, NOW - count);
          alive.delete(refreshOf(occupant) ?? '');
          alive.add(refreshOf(next) ?? '');
          slot.hostPuts(SLOT, next);
        }
      }
      const { occupant } = await slot.read();
      const kept = new Set([
        refreshOf(occupant.kind === 'login' ? occupant : null),
        ...names.map((name) => refreshOf(repo.sealed(keyOf(login(name))))),
        ...repo.backUps.map(({ holding }) => refreshOf(holding)),
      ]);
      for (const token of alive) if (!kept.has(token)) throw new Error(`${token} was lost`);
    }),
    { numRuns: 200, seed: 20261121 },
  );
  t.pass('200 sequences');
});

t.test(
  'waits while the host refreshes, and brings home what it got before anything is overwritten',
  async (t) => {
    const { run, store, slot, repo, token } = bench();
    const [alice, bob] = [login('alice'), login('bob')];
    await store(alice, bob);
    await run(keyOf(alice));
    const rotated = login('alice', 'rotated', NOW);
    slot.hostPuts(SLOT, 'refreshing');
    let said = 0;
    const onRefreshing = () => {
      said += 1;
      t.equal(slot.replacements, 1, 'nothing is written meanwhile');
      slot.hostPuts(SLOT, rotated);
    };
    const answer = await run(keyOf(bob), {}, { onRefreshing });
    t.equal(said, 1);
    t.match(answer.checkedIn, [{ result: 'taken-home' }]);
    t.equal(refreshOf(repo.sealed(keyOf(alice))), refreshOf(rotated));
    t.equal(await token(), refreshOf(bob));
  },
);

t.test(
  'a login that another agent is refreshing just now is waited for, and is not handed out twice',
  async (t) => {
    const [alice, bob] = [login('alice'), login('bob')];
    const research = fakeSlot({ agent: 'research' });
    const { run, store, slot, token } = bench({ slots: [fakeSlot(), research] });
    await store(alice, bob);
    await run(keyOf(alice));
    await run(keyOf(bob), { agent: 'research' });
    research.hostPuts(SLOT, { kind: 'refreshing', accountId: bob.identity.accountId });
    const rotated = login('bob', 'rotated', NOW);
    const onRefreshing = () => research.hostPuts(SLOT, rotated);
    t.equal(await codeOf(run(keyOf(bob), { agent: 'main' }, { onRefreshing })), 'IDENTITY_IN_USE');
    t.equal(await token(), refreshOf(alice));
    research.hostPuts(SLOT, { kind: 'refreshing', accountId: 'somebody else' });
    const carol = login('carol');
    await store(carol);
    let waited = false;
    await run(
      keyOf(carol),
      { agent: 'main' },
      {
        onRefreshing: () => {
          waited = true;
        },
      },
    );
    t.equal(waited, false, "another account's refresh is waited for by nobody");
    t.equal(slot.address.agent, 'main');
  },
);

t.test(
  'a refresh that begins right after the switch and is not waited out leaves a switch that is done',
  async (t) => {
    const slot = fakeSlot();
    const stop = new AbortController();
    const { run, store, journal } = bench({
      slots: [slot],
      duringReload: () => slot.hostPuts(SLOT, 'refreshing'),
      sessions: [{ key: 'agent:main:main', updatedAt: 1 }],
    });
    await store(login('bob'));
    const answer = await run(
      keyOf(login('bob')),
      {},
      { onRefreshing: () => stop.abort(), signal: stop.signal },
    );
    t.equal(answer.result, 'switched');
    t.ok(answer.notes.some(({ code }) => code === 'INTERRUPTED'));
    t.match(answer.pins, [{ result: 'set' }]);
    t.equal(journal.records.at(-1)?.step, 'done');
  },
);

t.test('a wait for a refresh ends with Ctrl-C, with nothing written', async (t) => {
  const { run, store, slot } = bench();
  await store(login('bob'));
  slot.hostPuts(SLOT, 'refreshing');
  const stop = new AbortController();
  const onRefreshing = () => stop.abort();
  await t.rejects(run(keyOf(login('bob')), {}, { onRefreshing, signal: stop.signal }), {
    name: 'AbortError',
  });
  t.equal(slot.replacements, 0);
});

t.test(
  'a login that a failed refresh destroyed: the stored copy is kept, doubted, named and can be put back',
  async (t) => {
    const { run, store, slot, repo, token, journal } = bench();
    const [alice, bob] = [login('alice'), login('bob')];
    await store(alice, bob);
    await run(keyOf(alice));
    slot.hostPuts(SLOT, 'lost');
    const answer = await run(keyOf(bob));
    t.match(answer.from, { userId: alice.identity.userId }, 'whose it was is known from where we put it');
    t.ok(answer.notes.some(({ code, text }) => code === 'LOGIN_LOST' && /only one left/.test(text)));
    t.equal(refreshOf(repo.sealed(keyOf(alice))), refreshOf(alice));
    const doubts = async () =>
      Object.fromEntries((await repo.list()).map(({ identity, doubt }) => [identity.userId, doubt]));
    t.same(await doubts(), { [alice.identity.userId]: 'refresh-failed', [bob.identity.userId]: null });
    t.match(journal.records.at(-1), { step: 'done', from: { userId: alice.identity.userId } });
    await run('-');
    t.equal(await token(), refreshOf(alice), 'the way back puts it in');
    slot.hostPuts(SLOT, login('alice', 'rotated', NOW));
    await run(keyOf(bob));
    t.same((await doubts())[alice.identity.userId], null, 'a refresh that worked takes the doubt away');
  },
);

t.test('a login that was renewed since is not doubted for the old one that was lost', async (t) => {
  const { run, store, slot, repo, token } = bench();
  const [bob, renewed] = [login('bob'), login('bob', 'renewed', NOW)];
  await store(bob);
  await run(keyOf(bob));
  slot.hostPuts(SLOT, 'lost');
  await store(renewed);
  const answer = await run(keyOf(bob));
  t.ok(
    answer.notes.some(({ code, text }) => code === 'LOGIN_LOST' && /newer login of it is stored/.test(text)),
  );
  t.equal((await repo.list())[0]?.doubt, null);
  t.equal(await token(), refreshOf(renewed));
});

t.test('a lost login of nobody known here is replaced, and said', async (t) => {
  const { run, store, slot, token } = bench();
  const bob = login('bob');
  await store(bob);
  slot.hostPuts(SLOT, 'lost');
  const answer = await run(keyOf(bob));
  t.equal(answer.from, null);
  t.ok(answer.notes.some(({ code, text }) => code === 'LOGIN_LOST' && /log it in again/.test(text)));
  t.equal(await token(), refreshOf(bob));
});

t.test(
  'a lost login is told apart from the one we put there: by its account, and by the token that was sent',
  async (t) => {
    const [bob, carol, dave] = [login('bob'), login('carol'), login('alice')];
    for (const sent of [true, false]) {
      const { run, store, slot, repo } = bench();
      await store(bob, carol, dave);
      await run(keyOf(bob));
      const { accountId } = carol.identity;
      slot.hostPuts(SLOT, {
        kind: 'lost',
        accountId,
        spent: (token) => sent && token.equals(carol.grant.refreshToken),
      });
      const answer = await run(keyOf(dave));
      t.match(answer.from, sent ? { accountId } : null, 'the host had put somebody else there since');
      const doubted = (await repo.list())
        .filter(({ doubt }) => doubt !== null)
        .map(({ identity }) => identity.userId);
      t.same(doubted, sent ? [carol.identity.userId] : [], 'and bob, who is parked, is not doubted');
    }
  },
);

t.test('putting a lost login back is no step on the way back', async (t) => {
  const { run, store, slot, token } = bench();
  const [alice, bob] = [login('alice'), login('bob')];
  await store(alice, bob);
  await run(keyOf(alice));
  await run(keyOf(bob));
  slot.hostPuts(SLOT, 'lost');
  t.equal((await run(keyOf(bob))).result, 'switched');
  t.equal(await token(), refreshOf(bob));
  await run('-');
  t.equal(await token(), refreshOf(alice));
});

t.test('sessions that cannot be read stop a switch only when one of them is to be pinned', async (t) => {
  const broken = new RouterError('HOST_UNREADABLE', 'cannot understand a session');
  const { run, store, host, token } = bench();
  const bob = login('bob');
  await store(bob);
  const pinsOf: typeof host.pinsOf = (agent) => ({
    ...host.pinsOf(agent),
    survey: async () => Promise.reject(broken),
    read: async () => Promise.reject(broken),
  });
  const deps = { host: { ...host, pinsOf } };
  t.equal(await codeOf(run(keyOf(bob), {}, deps)), 'HOST_UNREADABLE');
  t.equal(await token(), null, 'and nothing was written');
  const answer = await run(keyOf(bob), { session: { kind: 'none' } }, deps);
  t.equal(answer.result, 'switched');
  t.ok(answer.notes.some(({ text }) => /sessions of agent main were left alone/.test(text)));
});

t.test('a store that only chooses is silenced with the switch and is given no login', async (t) => {
  const chooser = fakeSlot({ agent: 'research', isChooser: true });
  const { run, store, token } = bench({ choosers: [chooser] });
  const bob = login('bob');
  await store(bob);
  chooser.hostOrders(['openai-codex:other'], 'openai-codex:other');
  await run(keyOf(bob));
  t.equal(await token(), refreshOf(bob));
  t.match(await chooser.read(), { occupant: { kind: 'absent' }, selectable: true });
  const { replacements } = chooser;
  t.equal((await run(keyOf(bob))).result, 'already-active');
  t.equal(chooser.replacements, replacements, 'and left alone once it is silent');
});

t.test('an agent that its release ties to the others is not switched alone', async (t) => {
  const { run, store, slot } = bench({ tied: true });
  const bob = login('bob');
  await store(bob);
  await t.rejects(run(keyOf(bob), { agent: 'main' }), { code: 'AGENTS_TIED', hint: /without --agent/ });
  t.equal(slot.replacements, 0);
  t.equal((await run(keyOf(bob))).result, 'switched');
});

t.test(
  'pins that an upgrade left on the old provider’s ids are rewritten, once, and no others',
  async (t) => {
    const slot = fakeSlot({ profileId: 'openai:default' });
    const { run, store, host } = bench({
      slots: [slot],
      provider: 'openai',
      sessions: [
        { key: 'agent:main:main', updatedAt: 9 },
        { key: 'agent:main:telegram:direct:7', updatedAt: 2, pinnedTo: 'openai-codex:default' },
        { key: 'agent:main:telegram:slash:7', updatedAt: 1, pinnedTo: 'openai-codex:bob@example.test' },
        { key: 'agent:main:cron:job', updatedAt: 3, pinnedTo: 'openai-codex:default' },
        { key: 'agent:main:telegram:group:-1', updatedAt: 4, pinnedTo: 'anthropic:default' },
        { key: 'agent:main:telegram:direct:8', updatedAt: 5, pinnedTo: 'personal:me:1' },
      ],
    });
    const bob = login('bob');
    await store(bob);
    const answer = await run(keyOf(bob));
    t.same(
      [...host.pinned],
      [
        ['agent:main:main', 'openai:default'],
        ['agent:main:telegram:direct:7', 'openai:default'],
        ['agent:main:telegram:slash:7', 'openai:default'],
        ['agent:main:cron:job', 'openai-codex:default'],
        ['agent:main:telegram:group:-1', 'anthropic:default'],
        ['agent:main:telegram:direct:8', 'personal:me:1'],
      ],
    );
    t.same(
      answer.pins.map(({ key, was, result }) => [key, was, result]),
      [
        ['agent:main:main', null, 'set'],
        ['agent:main:telegram:direct:7', 'openai-codex:default', 'set'],
        ['agent:main:telegram:slash:7', 'openai-codex:bob@example.test', 'set'],
      ],
    );
  },
);

t.test('--no-session pins nothing, what an upgrade left over included', async (t) => {
  const { run, store, host } = bench({
    slots: [fakeSlot({ profileId: 'openai:default' })],
    provider: 'openai',
    sessions: [{ key: 'agent:main:main', updatedAt: 9, pinnedTo: 'openai-codex:default' }],
  });
  await store(login('bob'));
  await run(keyOf(login('bob')), { session: { kind: 'none' } });
  t.same([...host.pinned], [['agent:main:main', 'openai-codex:default']]);
});
