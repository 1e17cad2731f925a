import t from 'tap';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import { identityKey } from '../../src/identity.js';
import { choose, listBackUps, planRestore, type RestoreDeps, restore } from '../../src/router/restore.js';
import { fakeHost } from '../contract/fake-host.js';
import { fakeRepo } from '../contract/fake-repo.js';
import { type FakeSlot, fakeSlot } from '../contract/fake-slot.js';
import { holdingOf } from '../contract/slot.js';
import { DAY, loginOf, type PersonName } from '../kit/tokens.js';

const SLOT = 'openai-codex:default';
const NOW = Date.UTC(2026, 5, 1);

const login = (name: PersonName, nonce = 'one', issuedAt = NOW - DAY) =>
  holdingOf(loginOf(name, { nonce, issuedAt, expiresAt: issuedAt + 10 * DAY }));
const keyOf = (holding: Holding) => identityKey(holding.identity);
const refreshOf = (holding: Holding | null | undefined) => holding?.grant.refreshToken.reveal() ?? null;

const ALICE = login('alice');
const OLDER = login('alice', 'older', NOW - 5 * DAY);
const NEWER = login('alice', 'newer', NOW);
const KEY = keyOf(ALICE);

/** A repo that stores `ALICE`, with `copies` in its back-ups, the last the newest; `slots` may hold what it wants. */
async function bench(copies: readonly Holding[] = [OLDER], slots: readonly FakeSlot[] = [fakeSlot()]) {
  const repo = fakeRepo(() => NOW);
  const open = await repo.open();
  await open.save(ALICE, { source: 'codex', alias: 'work', verified: true });
  for (const copy of copies) await open.backUp(copy, 'the slot held an older grant of this identity');
  const locks: string[] = [];
  const [first = fakeSlot(), ...more] = slots;
  const host = fakeHost({ slots: [first, ...more] });
  const deps: RestoreDeps = {
    host,
    hostAt: async () => {
      throw new RouterError('HOST_NOT_FOUND', 'there is no OpenClaw');
    },
    withGrantLock: async (who, work) => within(`grant ${identityKey(who)}`, work),
    withLock: async (work) => within('router', work),
    critical: (work) => work(),
    now: () => NOW,
  };
  async function within<T>(name: string, work: () => Promise<T>): Promise<T> {
    locks.push(`+${name}`);
    try {
      return await work();
    } finally {
      locks.push(`-${name}`);
    }
  }
  return {
    repo,
    open,
    deps,
    locks,
    slot: first,
    entry: async () => (await repo.list()).find(({ identity }) => identityKey(identity) === KEY),
    async run(which: string, over: Partial<RestoreDeps> = {}) {
      const chosen = choose(which, await listBackUps(open));
      const planned = await planRestore({ ...deps, ...over }, open, chosen.backUp.id);
      return restore({ ...deps, ...over }, open, planned);
    },
  };
}

t.test('the list counts from the newest and says which login is the stored one', async (t) => {
  const bob = login('bob');
  const { open, repo } = await bench([OLDER, bob, ALICE]);
  repo.damage('00000002');
  const listed = await listBackUps(open);
  t.match(listed, [
    {
      number: 1,
      backUp: { id: '00000003', identity: ALICE.identity },
      isStored: true,
      entry: { alias: 'work' },
    },
    { number: 2, backUp: { id: '00000002', identity: null }, isStored: null, entry: null },
    { number: 3, backUp: { id: '00000001', identity: OLDER.identity }, isStored: false },
  ]);
  t.equal(choose('3', listed).backUp.id, '00000001');
  t.equal(choose('00000001', listed).number, 3);
  for (const which of ['0', '4', '01', '-1', '1.0', '', ' 1', 'work', '0000000']) {
    t.throws(() => choose(which, listed), { code: 'BACKUP_NOT_FOUND', exitCode: 3 }, which);
  }
  t.throws(() => choose('2', listed), { code: 'RECORD_DAMAGED', exitCode: 6 });
});

t.test('a restored login is stored in doubt, and what it replaces is sealed first', async (t) => {
  const { repo, run, entry, locks } = await bench();
  const done = await run('1');
  t.match(done, { changes: true, seals: true, chosen: { backUp: { id: '00000001' } } });
  t.equal(refreshOf(repo.sealed(KEY)), refreshOf(OLDER));
  t.equal(refreshOf(repo.backUps.at(-1)?.holding), refreshOf(ALICE));
  t.match(await entry(), { doubt: 'restored', alias: 'work', verified: false, placement: null });
  t.same(
    done.notes.map(({ code }) => code),
    ['OLDER_LOGIN', 'RESTORED'],
  );
  t.match(done.notes.at(-1)?.text, /codex-router restore 1 takes this back/);
  t.same(locks, [`+grant ${KEY}`, '+router', '-router', `-grant ${KEY}`]);
  const calls = repo.calls.map((call) => call.split(' ')[0]);
  t.ok(calls.lastIndexOf('backUp') < calls.lastIndexOf('save'), 'sealed before anything is overwritten');
  await run('1');
  t.equal(refreshOf(repo.sealed(KEY)), refreshOf(ALICE), 'and restore 1 takes it back');
});

t.test('when sealing fails, nothing is overwritten', async (t) => {
  const { repo, run } = await bench();
  repo.failNext('backUp', new RouterError('IO', 'the disk is full'));
  await t.rejects(run('1'), { code: 'IO' });
  t.equal(refreshOf(repo.sealed(KEY)), refreshOf(ALICE));
});

t.test('the login that is stored already is nothing to do', async (t) => {
  const { repo, run, entry } = await bench([ALICE]);
  const calls = repo.calls.length;
  t.match(await run('1'), { changes: false, seals: false, notes: [] });
  t.notMatch(repo.calls.slice(calls), [/save|backUp|place|doubt/]);
  t.equal((await entry())?.doubt, null);
});

t.test('a preview writes nothing', async (t) => {
  const { repo, open, deps } = await bench();
  const calls = repo.calls.length;
  await planRestore(deps, open, '00000001');
  t.same(
    repo.calls.slice(calls).filter((call) => !call.startsWith('load')),
    [],
  );
});

t.test('a damaged record gives way to any copy that opens, and there is nothing to seal', async (t) => {
  const { repo, run } = await bench([ALICE]);
  repo.damage(KEY);
  const done = await run('1');
  t.match(done, { changes: true, seals: false, chosen: { isStored: true } });
  t.match(done.notes, [{ code: 'RECORD_DAMAGED' }, { code: 'RESTORED' }]);
  t.equal(repo.backUps.length, 1);
  t.equal(refreshOf(repo.sealed(KEY)), refreshOf(ALICE));
});

t.test('an identity that was removed comes back', async (t) => {
  const { repo, open, run, entry } = await bench();
  await open.remove(KEY);
  const done = await run('1');
  t.match(done, { changes: true, seals: false, chosen: { entry: null } });
  t.match(await entry(), { doubt: 'restored', alias: null });
  t.equal(refreshOf(repo.sealed(KEY)), refreshOf(OLDER));
  t.notMatch(done.notes.at(-1)?.text, /takes this back/);
});

t.test('refused while a slot, of any agent, runs on another login of the identity', async (t) => {
  for (const agent of [0, 1]) {
    const slots = [fakeSlot(), fakeSlot({ agent: 'ops' })];
    const { repo, run } = await bench([OLDER], slots);
    slots[agent]?.hostPuts(SLOT, NEWER);
    await t.rejects(run('1'), {
      code: 'IDENTITY_IN_USE',
      exitCode: 6,
      hint: new RegExp(`use <another> --agent ${agent === 0 ? 'main' : 'ops'}`),
    });
    t.equal(refreshOf(repo.sealed(KEY)), refreshOf(ALICE));
    t.equal(repo.backUps.length, 1, 'nothing was sealed for nothing');
    slots[agent]?.hostPuts(SLOT, login('bob'));
    await run('1');
    t.equal(refreshOf(repo.sealed(KEY)), refreshOf(OLDER), 'once it is parked it can be');
  }
});

t.test('a slot that changed since the person was asked refuses it under the lock', async (t) => {
  const { repo, open, deps, slot } = await bench();
  const planned = await planRestore(deps, open, '00000001');
  slot.hostPuts(SLOT, NEWER);
  await t.rejects(restore(deps, open, planned), { code: 'IDENTITY_IN_USE' });
  t.equal(refreshOf(repo.sealed(KEY)), refreshOf(ALICE));
});

t.test(
  'a slot that holds the very login of the copy refuses nothing, and it is known to be there',
  async (t) => {
    const { run, slot, entry, repo } = await bench();
    slot.hostPuts(SLOT, OLDER);
    const done = await run('1');
    t.same(
      done.notes.map(({ code }) => code),
      ['OLDER_LOGIN'],
      'its host runs on it, so it is in no doubt',
    );
    t.match(await entry(), { doubt: null, placement: { slot: slot.address.id } });
    t.equal(refreshOf(repo.sealed(KEY)), refreshOf(OLDER));
  },
);

t.test('another login of the identity beside the slot is noted; the very one is where it lies', async (t) => {
  const beside = await bench();
  beside.slot.hostPuts('openai-codex:old', NEWER);
  t.match((await beside.run('1')).notes, [{ code: 'COPY_LEFT', text: /openai-codex:old .* another login/ }]);
  t.match(await beside.entry(), { placement: null, doubt: 'restored' });
  const very = await bench();
  very.slot.hostPuts('openai-codex:old', OLDER);
  await very.run('1');
  t.match(await very.entry(), { placement: { slot: '/fake#main#openai-codex:old' }, doubt: null });
});

t.test('a slot that cannot be read is noted, and what was put there is not forgotten', async (t) => {
  const { run, slot, open, entry } = await bench();
  const placement = { slot: slot.address.id, fingerprint: open.fingerprint(ALICE.grant), at: 1 };
  await open.place(KEY, placement);
  const host = fakeHost({ slots: [slot] });
  const broken = {
    ...slot,
    read: async () => {
      throw new RouterError('SLOT_UNREADABLE', 'the store is torn');
    },
  };
  const done = await run('1', { host: { ...host, allSlots: async () => [broken] } });
  t.match(done.notes, [{ code: 'HOLDER_UNREADABLE', text: /torn/ }]);
  t.same((await entry())?.placement, placement);
  const parked = await bench();
  await parked.open.place(KEY, placement);
  await parked.run('1');
  t.equal((await parked.entry())?.placement, null, 'a slot that was read and holds it no more is forgotten');
});

t.test('a slot that OpenClaw is refreshing is waited for before anything is decided', async (t) => {
  const { run, slot, repo } = await bench();
  slot.hostPuts(SLOT, 'refreshing');
  await t.rejects(
    run('1', { onRefreshing: () => slot.hostPuts(SLOT, NEWER) }),
    { code: 'IDENTITY_IN_USE' },
    'what came out of it decides',
  );
  slot.hostPuts(SLOT, 'refreshing');
  await run('1', { onRefreshing: () => slot.hostPuts(SLOT, null) });
  t.equal(refreshOf(repo.sealed(KEY)), refreshOf(OLDER));
});

t.test('without an OpenClaw nothing can hold it', async (t) => {
  const { run, repo } = await bench();
  await run('1', { host: null });
  t.equal(refreshOf(repo.sealed(KEY)), refreshOf(OLDER));
});

t.test('refused while another OpenClaw holds what is stored', async (t) => {
  const { run, open, repo } = await bench();
  const other = fakeSlot({ stateDir: '/other' });
  other.hostPuts(SLOT, ALICE);
  const at = { slot: other.address.id, fingerprint: open.fingerprint(ALICE.grant), at: 1 };
  await open.place(KEY, at);
  const hostAt = async () => fakeHost({ slots: [other], stateDir: '/other' });
  await t.rejects(run('1', { hostAt }), { code: 'IDENTITY_IN_USE', message: /\/other/ });
  t.equal(refreshOf(repo.sealed(KEY)), refreshOf(ALICE));
});
