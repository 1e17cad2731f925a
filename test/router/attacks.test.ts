import { cpSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import type { IdentityKey } from '../../src/identity.js';
import { identityKey } from '../../src/identity.js';
import type { SwitchIntent } from '../../src/repo/journal.js';
import type { OpenRepo } from '../../src/repo/repo.js';
import { openRepoAt } from '../../src/repo/store.js';
import { planCheckIn } from '../../src/router/check-in.js';
import { applyImport, planImport, readStored } from '../../src/router/import.js';
import type { Candidate } from '../../src/router/import-step.js';
import { requireOwner } from '../../src/router/owner.js';
import { refresh } from '../../src/router/refresh.js';
import { refreshes } from '../../src/router/refreshes.js';
import { sync } from '../../src/router/sync.js';
import type { RefreshAnswer } from '../../src/router/token-endpoint.js';
import { undo } from '../../src/router/undo.js';
import { use } from '../../src/router/use.js';
import type { Host, SlotGroup } from '../../src/slot/host.js';
import { type FakeHostOptions, fakeHost } from '../contract/fake-host.js';
import { type FakeSlot, fakeSlot } from '../contract/fake-slot.js';
import { DAY } from '../kit/tokens.js';
import { testDeps } from '../repo/support.js';
import { codeOf } from './support.js';
import { keyOf, login, NOW, refreshOf, SLOT, type Surroundings, vault } from './vaults.js';

const CHAT = 'agent:main:main';
const [alice, bob, carol] = [login('alice'), login('bob'), login('carol')];

/** Two agents of one OpenClaw and a codex-router that routes it. */
function bench(options: Omit<FakeHostOptions, 'slots'> = {}, around: Surroundings = {}) {
  const [main, ops] = [fakeSlot(), fakeSlot({ agent: 'ops' })];
  const host = fakeHost({ sessions: [{ key: CHAT, updatedAt: 5 }], ...options, slots: [main, ops] });
  const one = vault(around);
  return {
    ...one,
    main,
    ops,
    host,
    sync: (on: Host = host) => sync(one.deps(on), null),
    undo: (on: Host = host) => undo(one.deps(on), { agent: null, dryRun: false }),
    async doubt(who: Holding, doubt: Parameters<OpenRepo['doubt']>[1]) {
      await (await one.repo.open()).doubt(keyOf(who), doubt);
    },
    /** What a crash or a running turn left in the journal. */
    async left(intent: Partial<SwitchIntent>, step: 'begun' | 'applied') {
      const whole = { slot: main.address.id, from: null, to: null, pins: [], undoes: null, ...intent };
      const id = await one.journal.begin(whole, NOW);
      if (step !== 'begun') await one.journal.advance(id, step, NOW);
    },
  };
}

/** Makes every read of a slot fail until the answer is called. */
function shut(slot: FakeSlot, code: 'SLOT_UNREADABLE' | 'HOST_BUSY' = 'SLOT_UNREADABLE'): () => void {
  const { read } = slot;
  slot.read = async () => {
    throw new RouterError(code, 'the store is torn');
  };
  return () => {
    slot.read = read;
  };
}

/** Makes every write of a slot fail until the answer is called. */
function jam(slot: FakeSlot): () => void {
  const { replace } = slot;
  slot.replace = async () => {
    throw new RouterError('HOST_BUSY', 'OpenClaw holds its lock', { hint: 'nothing was changed' });
  };
  return () => {
    slot.replace = replace;
  };
}

async function tokenIn(slot: FakeSlot): Promise<string | null> {
  const { occupant } = await slot.read();
  return occupant.kind === 'login' ? refreshOf(occupant) : null;
}

async function errorOf(work: Promise<unknown>): Promise<RouterError> {
  const error: unknown = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof RouterError) return error;
  throw new Error(`no refusal: ${String(error)}`);
}

const codes = (notes: readonly { readonly code: string }[]) => notes.map(({ code }) => code);

t.test('the tokens of an answer wait as long as it takes for another command to end', async (t) => {
  const renewed = login('alice', 'two', NOW);
  for (const [answer, token, doubt] of [
    [{ kind: 'renewed', grant: renewed.grant }, renewed, null],
    [new RouterError('ISSUER_FOREIGN', 'not sent'), alice, null],
  ] as const) {
    const it = bench();
    await it.store(alice);
    const waits: number[] = [];
    let isHeld = false;
    /** A lock that another command holds for ten minutes, from the moment the request has left. */
    async function withLock<T>(work: () => Promise<T>, waitMs = 30_000): Promise<T> {
      if (isHeld) waits.push(waitMs);
      if (isHeld && waitMs < 600_000) throw new RouterError('BUSY', 'another codex-router is at work');
      return work();
    }
    const endpoint = {
      refresh: async (): Promise<RefreshAnswer> => {
        isHeld = true;
        if (answer instanceof RouterError) throw answer;
        return answer;
      },
    };
    const deps = { ...it.deps(it.host), withLock, endpoint };
    const code = await codeOf(refresh(deps, await it.repo.open(), alice.identity, 'named'));
    t.equal(code, answer instanceof RouterError ? 'ISSUER_FOREIGN' : 'no error');
    t.equal(waits.length, 1);
    t.equal(refreshOf(it.repo.sealed(keyOf(alice))), refreshOf(token));
    t.equal((await it.entry(alice))?.doubt, doubt);
  }
});

t.test('a place it was put into that cannot be read now counts as holding it', async (t) => {
  await t.test('another agent', async (t) => {
    const it = bench();
    await it.store(alice);
    await it.use(it.host, alice, { agent: 'ops' });
    const open = shut(it.ops);
    const refusal = await errorOf(it.use(it.host, alice));
    t.match(refusal, { code: 'IDENTITY_IN_USE', message: /agent ops.*cannot be read now/ });
    t.equal(await codeOf(it.use(it.host, alice, { move: true })), 'IDENTITY_IN_USE', 'nor is it moved');
    t.equal(await tokenIn(it.main), null);
    open();
    t.equal(await tokenIn(it.ops), refreshOf(alice));
  });
  await t.test('another OpenClaw', async (t) => {
    const there = fakeSlot({ stateDir: '/other' });
    const other = fakeHost({ slots: [there], stateDir: '/other' });
    const it = bench({}, { elsewhere: { '/other': other } });
    await it.store(alice);
    await it.use(other, alice);
    const open = shut(there, 'HOST_BUSY');
    t.match(await errorOf(it.use(it.host, alice)), { code: 'IDENTITY_IN_USE', hint: /--state-dir \/other/ });
    open();
    other.allSlots = async () => {
      throw new RouterError('HOST_UNREADABLE', 'its configuration is torn');
    };
    t.equal(await codeOf(it.use(it.host, alice)), 'IDENTITY_IN_USE');
    t.equal(await tokenIn(it.main), null);
  });
  await t.test('but not an OpenClaw that is gone for good', async (t) => {
    const other = fakeHost({ slots: [fakeSlot({ stateDir: '/other' })], stateDir: '/other' });
    const it = bench();
    await it.store(alice);
    await it.use(other, alice);
    const deps = it.deps(it.host);
    const gone: typeof deps = {
      ...deps,
      hostAt: async () => {
        throw new RouterError('HOST_NOT_FOUND', 'there is no OpenClaw');
      },
    };
    const request = {
      selector: keyOf(alice),
      agent: null,
      session: { kind: 'none' },
      dryRun: false,
    } as const;
    const answer = await use(gone, request);
    t.equal(answer.result, 'switched');
    t.ok(codes(answer.notes).includes('HOLDER_UNKNOWN'));
    t.equal(await tokenIn(it.main), refreshOf(alice));
  });
  await t.test('nor one in which it was never put', async (t) => {
    const it = bench();
    await it.store(alice);
    shut(it.ops);
    t.match(await it.use(it.host, alice), { result: 'switched', notes: [{ code: 'HOLDER_UNREADABLE' }] });
  });
});

t.test(
  'host adopt remembers where a login was put when that slot cannot be read, and forgets an emptied one',
  async (t) => {
    const it = bench();
    await it.store(alice, bob);
    await it.use(it.host, alice, { agent: 'ops' });
    await it.use(it.host, bob);
    const open = shut(it.ops);
    it.main.hostPuts(SLOT, null);
    t.ok(codes((await it.adopt(it.host)).notes).includes('HOLDER_UNREADABLE'));
    t.equal((await it.entry(alice))?.placement?.slot, it.ops.address.id);
    t.equal((await it.entry(bob))?.placement, null);
    open();
    const rotated = login('alice', 'rotated', NOW);
    it.ops.hostPuts(SLOT, rotated);
    t.equal(await codeOf(it.use(it.host, alice)), 'IDENTITY_IN_USE', 'so what became of it there is known');
    await it.sync();
    t.equal(refreshOf(it.repo.sealed(keyOf(alice))), refreshOf(rotated));
  },
);

t.test(
  'a grant that gave way once is in doubt when it is imported over the one that replaced it',
  async (t) => {
    const it = bench();
    await it.store(alice, login('alice', 'rotated', NOW));
    const open = await it.repo.open();
    const candidate: Candidate = {
      holding: alice,
      fingerprint: open.fingerprint(alice.grant),
      from: 'a file',
      source: 'file',
      sharedWith: undefined,
      placement: null,
    };
    const plan = planImport([candidate], await readStored(open, [candidate]), {
      alias: null,
      expect: null,
      replace: true,
    });
    await applyImport(open, plan);
    t.equal(refreshOf(it.repo.sealed(keyOf(alice))), refreshOf(alice));
    t.equal((await it.entry(alice))?.doubt, 'restored');
    let sent = 0;
    const endpoint = {
      refresh: async (): Promise<RefreshAnswer> => {
        sent += 1;
        return { kind: 'failed', why: 'no network' };
      },
    };
    const { refreshed } = await refreshes({ ...it.deps(it.host), endpoint }, { kind: 'all' });
    t.match(refreshed, [{ result: 'doubtful' }]);
    t.equal(sent, 0, 'no round spends it');
    const { notes } = await it.use(it.host, alice);
    t.ok(codes(notes).includes('LOGIN_DOUBTFUL'), 'and who uses it hears of it');
  },
);

t.test('sync makes a switch again over what was in the slot before, not over a new login', async (t) => {
  for (const [name, there, isNew] of [
    ['the stored grant', bob, false],
    ['one that gave way to it', login('bob', 'old', NOW - 2 * DAY), false],
    ['a login made in OpenClaw since', login('bob', 'native', NOW), true],
  ] as const) {
    const it = bench({ running: null });
    await it.store(alice, login('bob', 'old', NOW - 2 * DAY), bob);
    await it.use(it.host, bob);
    await it.use(it.host, alice);
    t.equal(it.journal.records.at(-1)?.step, 'applied', 'a turn may be running');
    it.main.hostPuts(SLOT, there);
    const { notes } = await it.sync();
    t.ok(codes(notes).includes(isNew ? 'SLOT_CHANGED' : 'SLOT_REPAIRED'), name);
    t.equal(codes(notes).includes('SLOT_REPAIRED'), !isNew, name);
    t.equal(await tokenIn(it.main), refreshOf(isNew ? there : alice), name);
    if (isNew) t.equal(refreshOf(it.repo.sealed(keyOf(bob))), refreshOf(there), 'it comes home');
  }
});

t.test('one damaged record whose refresh got no answer stops nobody else', async (t) => {
  const renewed = login('carol', 'two', NOW);
  const it = bench();
  await it.store(alice, bob, carol);
  await it.use(it.host, bob);
  const rotated = login('bob', 'rotated', NOW);
  it.main.hostPuts(SLOT, rotated);
  await it.doubt(alice, 'refresh-sent');
  it.repo.damage(keyOf(alice));
  const synced = await it.sync();
  t.match(synced.refreshed, [{ entry: { identity: alice.identity }, result: 'failed', why: /altered/ }]);
  t.equal(refreshOf(it.repo.sealed(keyOf(bob))), refreshOf(rotated), 'the slot still came home');
  const endpoint = {
    refresh: async (): Promise<RefreshAnswer> => ({ kind: 'renewed', grant: renewed.grant }),
  };
  const { refreshed } = await refreshes({ ...it.deps(it.host), endpoint }, { kind: 'all' });
  t.strictSame(
    refreshed.map(({ entry, result }) => [entry.identity.userId, result]),
    [
      [alice.identity.userId, 'failed'],
      [bob.identity.userId, 'held'],
      [carol.identity.userId, 'refreshed'],
    ],
  );
});

t.test('one agent whose store cannot be told from others stops no command for another agent', async (t) => {
  const it = bench({ running: null });
  const torn: Host = {
    ...it.host,
    agents: ['ops', 'main'],
    slotsFor: async (agent): Promise<SlotGroup> => {
      if (agent === 'ops') throw new RouterError('SLOT_UNREADABLE', 'the store of ops is torn');
      return it.host.slotsFor(agent);
    },
  };
  shut(it.ops);
  await it.store(alice, bob);
  await it.use(torn, alice);
  await it.use(torn, bob);
  await it.left({ slot: '/other#main#openai-codex:default', to: alice.identity }, 'applied');
  t.equal((await it.use(torn, alice)).result, 'switched');
  t.match(await it.undo(torn), { result: 'undone', to: { identity: bob.identity } });
  const { slots, notes } = await it.sync(torn);
  t.match(slots, [{ slot: { agent: 'main' }, occupant: bob.identity }]);
  t.ok(notes.some(({ code, text }) => code === 'SLOT_UNREADABLE' && /agent ops/.test(text)));
});

t.test('an API key put into the slot ends an open switch, with a word', async (t) => {
  for (const [step, code, end] of [
    ['begun', 'TAKEN_BACK', 'abandoned'],
    ['applied', 'SLOT_CHANGED', 'done'],
  ] as const) {
    const it = bench();
    await it.store(alice, bob);
    await it.use(it.host, bob);
    await it.left({ from: bob.identity, to: alice.identity }, step);
    it.main.hostPuts(SLOT, { what: 'an API key' });
    t.ok(codes((await it.sync()).notes).includes(code), step);
    t.equal(it.journal.records.at(-1)?.step, end, step);
    t.notOk(codes((await it.sync()).notes).includes(code), 'once');
    t.match((await it.main.read()).occupant, { kind: 'foreign', what: 'an API key' });
  }
});

t.test('undo leaves the pins where they are when the switch itself is refused', async (t) => {
  await t.test('because somebody else holds the login now', async (t) => {
    const it = bench();
    await it.store(alice, bob);
    await it.use(it.host, alice, { session: { kind: 'none' } });
    await it.use(it.host, bob);
    t.equal(it.host.pinned.get(CHAT), SLOT);
    it.ops.hostPuts(SLOT, alice);
    t.equal(await codeOf(it.undo()), 'IDENTITY_IN_USE');
    t.equal(it.host.pinned.get(CHAT), SLOT);
    it.ops.hostPuts(SLOT, null);
    t.match(await it.undo(), { result: 'undone', pins: [{ key: CHAT, is: null }] });
    t.equal(it.host.pinned.get(CHAT), null);
  });
  await t.test('because OpenClaw holds its lock', async (t) => {
    const it = bench();
    await it.store(alice, bob);
    await it.use(it.host, alice, { session: { kind: 'none' } });
    await it.use(it.host, bob);
    const free = jam(it.main);
    t.equal(await codeOf(it.undo()), 'HOST_BUSY');
    t.equal(it.host.pinned.get(CHAT), SLOT);
    t.equal(await tokenIn(it.main), refreshOf(bob));
    free();
    await it.undo();
    t.equal(it.host.pinned.get(CHAT), null, 'and it can be undone later');
    t.equal(await tokenIn(it.main), refreshOf(alice));
  });
});

t.test(
  'a spent grant that OpenClaw writes back after its identity was parked and refreshed is stale too',
  async (t) => {
    const it = bench();
    const renewed = login('alice', 'two', NOW);
    await it.store(alice, bob);
    await it.use(it.host, alice);
    await it.use(it.host, bob);
    const endpoint = {
      refresh: async (): Promise<RefreshAnswer> => ({ kind: 'renewed', grant: renewed.grant }),
    };
    await refresh({ ...it.deps(it.host), endpoint }, await it.repo.open(), alice.identity, 'named');
    it.main.hostPuts(SLOT, alice);
    t.match(
      (await it.doctor(it.host)).filter(({ code }) => code === 'GRANT_SPENT'),
      [{ danger: true, text: /agent main .*alice.* may be spent/, remedy: 'codex-router sync' }],
    );
    const { slots, notes } = await it.sync();
    t.match(slots[0]?.checkedIn, [{ result: 'repo-newer' }]);
    t.ok(codes(notes).includes('SLOT_REPAIRED'));
    t.equal(await tokenIn(it.main), refreshOf(renewed));
    t.strictSame(
      (await it.doctor(it.host)).filter(({ code }) => code === 'GRANT_SPENT'),
      [],
    );
  },
);

t.test('a slot that cannot be written after --move took the login says from whom it was taken', async (t) => {
  const it = bench();
  await it.store(alice, bob);
  await it.use(it.host, bob);
  await it.use(it.host, alice, { agent: 'ops' });
  const free = jam(it.main);
  const refusal = await errorOf(it.use(it.host, alice, { move: true }));
  t.match(refusal, {
    code: 'HOST_BUSY',
    message: /holds its lock; it has been taken from OpenClaw's agent ops and is stored here/,
    hint: 'run the command again to finish it',
  });
  t.equal(await tokenIn(it.ops), null);
  free();
  t.match(await it.use(it.host, alice), { result: 'switched' });
  t.equal(await tokenIn(it.main), refreshOf(alice));
  const plain = jam(it.main);
  t.match(await errorOf(it.use(it.host, bob)), { code: 'HOST_BUSY', hint: 'nothing was changed' });
  plain();
});

t.test('what became of the one that was named is told apart from what else was settled', async (t) => {
  const it = bench();
  await it.store(alice, bob);
  await it.use(it.host, bob);
  await it.doubt(alice, 'refresh-sent');
  const renewed = login('alice', 'two', NOW);
  const endpoint = {
    refresh: async (): Promise<RefreshAnswer> => ({ kind: 'renewed', grant: renewed.grant }),
  };
  const deps = { ...it.deps(it.host), endpoint };
  const answer = await refreshes(deps, { kind: 'one', selector: keyOf(bob) });
  t.match(answer.named, { entry: { identity: bob.identity }, result: 'held' });
  t.strictSame(
    answer.refreshed.map(({ result }) => result),
    ['refreshed', 'held'],
  );
  await it.doubt(alice, 'refresh-sent');
  const settled = await refreshes(deps, { kind: 'one', selector: keyOf(alice) });
  t.match(settled.named, { entry: { identity: alice.identity }, result: 'refreshed' }, 'settled and named');
  t.equal(settled.refreshed.length, 1, 'it is asked about once');
  t.equal((await refreshes(deps, { kind: 'due' })).named, null);
});

t.test('what a rebuilt index lists is in doubt until a slot proves it', async (t) => {
  const deps = testDeps({ now: () => NOW });
  const repo = await openRepoAt(deps).open();
  for (const holding of [alice, bob]) t.equal((await repo.save(holding, { source: 'codex' })).doubt, null);
  await repo.doubt(keyOf(bob), 'login-needed');
  renameSync(join(deps.folders.data, 'index.json'), join(deps.folders.data, 'index.json.lost'));
  const again = await openRepoAt({ ...deps, firstRun: null }).open();
  await again.mend();
  const doubtOf = async (key: IdentityKey) =>
    (await again.list()).find(({ identity }) => identityKey(identity) === key)?.doubt;
  t.equal(await doubtOf(keyOf(alice)), 'restored');
  t.equal(await doubtOf(keyOf(bob)), 'restored');
  const found = await planCheckIn(again, alice, fakeSlot().address.id, NOW);
  t.equal(found.result, 'unchanged');
  await found.carryOut();
  t.equal(await doubtOf(keyOf(alice)), null, 'what a host runs on is alive');
  t.equal(await doubtOf(keyOf(bob)), 'restored');
});

t.test(
  'a vault put back from a back-up is refused after a hundred writes of its own, too',
  { timeout: 120_000 },
  async (t) => {
    const deps = testDeps({ now: () => NOW });
    const { data } = deps.folders;
    const host = fakeHost({ slots: [fakeSlot()] });
    const repo = await openRepoAt(deps).open();
    await repo.save(alice, { source: 'codex' });
    cpSync(data, `${data}.old`, { recursive: true });
    await repo.save(login('alice', 'rotated', NOW));
    const { generation = 0 } = (await repo.standing()) ?? {};
    await host.claim({ vaultId: repo.vaultId, generation, at: NOW }, null);
    t.equal(await codeOf(requireOwner(host, repo)), 'no error');
    rmSync(data, { recursive: true });
    renameSync(`${data}.old`, data);
    const old = await openRepoAt({ ...deps, firstRun: null }).open();
    t.equal(await codeOf(requireOwner(host, old)), 'VAULT_ROLLED_BACK');
    for (let write = 0; write < 100; write += 1)
      await old.setAlias(keyOf(alice), write % 2 === 0 ? 'a' : 'b');
    t.ok(((await old.standing())?.generation ?? 0) > generation);
    t.equal(await codeOf(requireOwner(host, old)), 'VAULT_ROLLED_BACK');
  },
);

t.test(
  'of two holders the one that was left already is named when the other cannot be written',
  async (t) => {
    const [main, ops, research] = [fakeSlot(), fakeSlot({ agent: 'ops' }), fakeSlot({ agent: 'research' })];
    const host = fakeHost({ slots: [main, ops, research] });
    const one = vault();
    await one.store(alice, bob);
    await one.use(host, bob);
    await one.use(host, alice, { agent: 'ops' });
    research.hostPuts(SLOT, alice);
    const free = jam(research);
    t.match(await errorOf(one.use(host, alice, { move: true })), {
      code: 'HOST_BUSY',
      message: /it has been taken from OpenClaw's agent ops and is stored here/,
      hint: 'run the command again to finish it',
    });
    t.equal(await tokenIn(ops), null);
    t.equal(await tokenIn(research), refreshOf(alice));
    free();
    t.match(await one.use(host, alice, { move: true }), { result: 'switched' });
    t.equal(await tokenIn(main), refreshOf(alice));
    t.equal(await tokenIn(research), null);
  },
);
