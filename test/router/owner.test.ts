import fc from 'fast-check';
import t from 'tap';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import { claimHost, ownerNotes, renewClaim, requireOwner } from '../../src/router/owner.js';
import { refreshes } from '../../src/router/refreshes.js';
import { fakeHost } from '../contract/fake-host.js';
import { fakeSlot } from '../contract/fake-slot.js';
import { DAY } from '../kit/tokens.js';
import { codeOf } from './support.js';
import { keyOf, login, NOW, refreshOf, SLOT, vault } from './vaults.js';

function shared() {
  const slot = fakeSlot();
  return { slot, host: fakeHost({ slots: [slot], sessions: [{ key: 'agent:main:main' }] }) };
}

t.test(
  'the first router that writes leaves its name, and the second is refused with nothing written',
  async (t) => {
    const { slot, host } = shared();
    const [one, other] = [vault(), vault()];
    const [alice, bob] = [login('alice'), login('bob')];
    await one.store(alice);
    await other.store(bob);
    await one.use(host, alice, { dryRun: true });
    t.equal(await host.owner(), null, 'looking leaves nothing');
    await one.use(host, alice);
    const owner = await host.owner();
    t.equal(owner?.vaultId, one.repo.vaultId);
    t.equal(owner?.generation, (await one.repo.standing())?.generation, 'up to the last write of the index');
    t.equal(await codeOf(other.use(host, bob)), 'HOST_OWNED');
    t.equal(slot.replacements, 1);
    t.strictSame(await host.owner(), owner);
    t.strictSame(other.journal.records, []);
    const planned = await other.use(host, bob, { dryRun: true });
    t.match(planned, { result: 'planned', notes: [{ code: 'HOST_OWNED' }] });
    t.equal((await one.use(host, alice)).result, 'already-active', 'the first goes on');
  },
);

t.test('of two routers that find no owner at the same moment one comes first', async (t) => {
  const { host } = shared();
  const [one, other] = [vault(), vault()];
  const [mine, theirs] = [await one.repo.open(), await other.repo.open()];
  const outcomes = await Promise.allSettled([claimHost(host, mine, NOW), claimHost(host, theirs, NOW)]);
  t.strictSame(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
});

t.test('an owner that cannot be read is never taken for nobody', async (t) => {
  const { slot, host } = shared();
  const one = vault();
  const alice = login('alice');
  await one.store(alice);
  const broken = { ...host, owner: async () => Promise.reject(new RouterError('HOST_UNREADABLE', 'torn')) };
  t.equal(await codeOf(one.use(broken, alice)), 'HOST_UNREADABLE');
  t.equal(slot.replacements, 0);
  t.match(await ownerNotes(broken, one.repo), [{ code: 'HOST_UNREADABLE' }]);
  t.match(
    await renewClaim(broken, await one.repo.open(), NOW),
    [{ code: 'HOST_UNREADABLE' }],
    'a note, at the end',
  );
  t.match(await one.doctor(broken), [{ code: 'OWNER_UNREADABLE', danger: true }]);
});

t.test('adopting brings home what is in the slot and doubts what was put there and is gone', async (t) => {
  const { slot, host } = shared();
  const [one, other] = [vault(), vault()];
  const [alice, bob, carol] = [login('alice'), login('bob'), login('carol')];
  await one.store(alice, carol);
  await one.use(host, alice);
  await other.store(bob);
  // The other takes it over with alice in the slot, and routes bob: alice is parked with it, and refreshed there.
  const taken = await other.adopt(host);
  t.match(taken, { was: 'other', checkedIn: [{ result: 'imported' }], doubted: [] });
  await other.use(host, bob);
  t.equal(await codeOf(one.use(host, carol)), 'HOST_OWNED', 'the first is refused from then on');

  const back = await one.adopt(host);
  t.match(back, { was: 'other', doubted: [{ identity: { accountId: alice.identity.accountId } }] });
  t.equal(back.doubted.length, 1, 'carol never was in that host');
  t.equal((await one.entry(alice))?.placement, null);
  t.equal((await host.owner())?.vaultId, one.repo.vaultId);
  const before = slot.replacements;
  t.equal(await codeOf(one.use(host, alice)), 'LOGIN_DOUBTFUL');
  t.equal(slot.replacements, before);
  t.equal((await one.use(host, carol)).result, 'switched');
  t.equal(refreshOf(one.repo.sealed(keyOf(bob))), refreshOf(bob), 'bob came home at the adoption');

  await one.store(login('alice', 'logged in again', NOW));
  t.equal((await one.use(host, alice)).result, 'switched', 'another login of alice is in no doubt');
});

t.test('a doubt ends when the login is found in the slot, rotated or not', async (t) => {
  const { slot, host } = shared();
  const one = vault();
  const alice = login('alice');
  await one.store(alice);
  const open = await one.repo.open();
  await open.doubt(keyOf(alice), 'taken-over');
  slot.hostPuts(SLOT, alice);
  t.equal((await one.use(host, alice)).result, 'already-active');
  t.equal((await one.entry(alice))?.doubt, null);

  await open.doubt(keyOf(alice), 'taken-over');
  await open.place(keyOf(alice), null);
  // Older by its own clock than the stored one: what the host runs on wins all the same.
  const rotated = login('alice', 'rotated there', NOW - 5 * 86_400_000);
  slot.hostPuts(SLOT, rotated);
  t.match(await one.adopt(host), { was: 'ours', checkedIn: [{ result: 'taken-home' }], doubted: [] });
  t.equal(refreshOf(one.repo.sealed(keyOf(alice))), refreshOf(rotated));
  t.equal((await one.entry(alice))?.doubt, null);
});

t.test('what the other router writes while it is being taken over comes home too', async (t) => {
  const { slot, host } = shared();
  const [one, other] = [vault(), vault()];
  const [alice, bob] = [login('alice'), login('bob')];
  await one.store(alice);
  await one.use(host, alice);
  await other.store(bob);
  const claim: typeof host.claim = async (owner, instead) => {
    slot.hostPuts(SLOT, login('alice', 'rotated at the last moment', NOW));
    await host.claim(owner, instead);
  };
  await other.adopt({ ...host, claim });
  t.match(refreshOf(other.repo.sealed(keyOf(alice))), /rotated at the last moment/);
});

t.test('a login left in a host that another router has taken is not ours to use elsewhere', async (t) => {
  const { host } = shared();
  const second = fakeHost({ slots: [fakeSlot({ stateDir: '/second' })], stateDir: '/second' });
  const one = vault({ elsewhere: { '/fake': host, '/second': second } });
  const other = vault();
  const [alice, bob] = [login('alice'), login('bob')];
  await one.store(alice);
  await other.store(bob);
  await one.use(host, alice);
  await other.adopt(host);
  await other.use(host, bob);
  await t.rejects(one.use(second, alice), {
    code: 'IDENTITY_IN_USE',
    hint: 'codex-router host adopt --state-dir /fake',
  });
  t.equal(await codeOf(one.use(second, alice, { move: true })), 'IDENTITY_IN_USE', 'nor to take from there');
  t.match(await one.doctor(second), [{ code: 'HOST_OWNED', danger: true }]);
});

t.test(
  'a vault that was put back from a back-up is told by the owner file, however much is written to it since',
  async (t) => {
    const { host } = shared();
    const one = vault();
    const [alice, bob] = [login('alice'), login('bob')];
    await one.store(alice, bob);
    await one.use(host, alice);
    const ahead = (await host.owner())?.generation ?? 0;
    const claimed = await host.owner();
    // The same vault, apart since before that switch.
    const older = vault();
    Object.assign(older.repo, { vaultId: one.repo.vaultId });
    const open = await older.repo.open();
    Object.assign(open, { vaultId: one.repo.vaultId });
    await older.store(alice, bob);
    t.equal(await codeOf(older.use(host, bob)), 'VAULT_ROLLED_BACK');
    await older.store(login('carol'));
    while (((await older.repo.standing())?.generation ?? 0) <= ahead) await older.store(login('carol'));
    t.equal(await codeOf(older.use(host, bob)), 'VAULT_ROLLED_BACK', 'also when it has counted past it');
    t.strictSame(await host.owner(), claimed);

    const answer = await older.adopt(host);
    t.equal(answer.was, 'ahead');
    t.strictSame(
      answer.doubted.map(({ identity }) => identity.email).sort(),
      ['bob@example.test', 'carol@example.test'],
      'all but the one that is proved to be in the slot',
    );
    t.ok(((await host.owner())?.generation ?? 0) > ahead);
    t.equal(await codeOf(older.use(host, bob)), 'LOGIN_DOUBTFUL');
    t.equal(await codeOf(one.use(host, bob)), 'VAULT_ROLLED_BACK', 'the other copy is refused now');
  },
);

t.test('the gate passes our own file and one of long ago', async (t) => {
  const { host } = shared();
  const one = vault();
  const open = await one.repo.open();
  t.equal(await requireOwner(host, open), null);
  await claimHost(host, open, NOW);
  const first = await host.owner();
  await one.store(login('alice'), login('bob'));
  await claimHost(host, open, NOW);
  t.strictSame(await host.owner(), first, 'claimed once');
  t.strictSame(await renewClaim(host, open, NOW), []);
  t.not((await host.owner())?.generation, first?.generation, 'renewed');
});

/** The server's side of every login: which refresh tokens are still good, and how often a spent one was presented. */
function issuerOf(logins: readonly Holding[]) {
  const live = new Set(logins.map((one) => one.grant.refreshToken.reveal()));
  let made = 0;
  const counts = { reuses: 0, refreshes: 0 };
  const next = (who: Holding, issuedAt: number): Holding => {
    made += 1;
    const name = NAMES.find((one) => keyOf(login(one)) === keyOf(who)) ?? 'alice';
    const holding = login(name, `n${made}`, issuedAt);
    live.add(holding.grant.refreshToken.reveal());
    return holding;
  };
  return {
    live,
    counts,
    next,
    refresh(who: Holding, issuedAt: number): Holding | null {
      const token = who.grant.refreshToken.reveal();
      counts.refreshes += 1;
      if (!live.delete(token)) {
        counts.reuses += 1;
        return null;
      }
      return next(who, issuedAt);
    },
  };
}

const NAMES = ['alice', 'bob', 'carol'] as const;

t.test('whatever two routers do on two hosts, no token is spent twice and none is lost', async (t) => {
  const total = { reuses: 0, refreshes: 0, uses: 0, adoptions: 0, moves: 0, refused: 0 };
  const who = fc.constantFrom(...NAMES);
  const which = fc.constantFrom(0, 1);
  const step = fc.record({
    what: fc.constantFrom('use', 'use', 'move', 'adopt', 'host-refresh', 'host-refresh', 'refresh', 'login'),
    who,
    router: which,
    host: which,
    // Clocks prove nothing: what is newer may have been issued earlier.
    issuedAt: fc.integer({ min: NOW - 3 * DAY, max: NOW }),
  });
  const steps = fc.array(step, { minLength: 10, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(steps, async (todo) => {
      const slots = [fakeSlot(), fakeSlot({ stateDir: '/second' })] as const;
      const hosts = [
        fakeHost({ slots: [slots[0]] }),
        fakeHost({ slots: [slots[1]], stateDir: '/second' }),
      ] as const;
      const first = NAMES.map((name) => login(name));
      const issuer = issuerOf(first);
      const elsewhere = { '/fake': hosts[0], '/second': hosts[1] };
      const routers = [vault({ elsewhere }), vault({ elsewhere })] as const;
      await routers[0].store(...first.slice(0, 2));
      await routers[1].store(...first.slice(2));
      for (const { what, who: name, router, host, issuedAt } of todo) {
        const [mine, there, slot] = [routers[router], hosts[host], slots[host]];
        if (mine === undefined || there === undefined || slot === undefined) throw new Error('no such one');
        const person = login(name);
        try {
          if (what === 'use' || what === 'move') {
            const { moved } = await mine.use(there, person, { move: what === 'move' });
            total.uses += 1;
            total.moves += moved.length;
          } else if (what === 'adopt') {
            total.adoptions += (await mine.adopt(there)).was === 'other' ? 1 : 0;
          } else if (what === 'login') {
            if (issuedAt % 4 === 0) await mine.store(issuer.next(person, issuedAt));
          } else if (what === 'host-refresh') {
            const { occupant } = await slot.read();
            const renewed = occupant.kind === 'login' ? issuer.refresh(occupant, issuedAt) : null;
            if (renewed !== null) slot.hostPuts(SLOT, renewed);
          } else {
            const endpoint = {
              refresh: async (grant: Holding['grant']) => {
                const renewed = issuer.refresh({ ...person, grant }, issuedAt);
                return renewed === null
                  ? { kind: 'refused' as const, reason: 'reused' as const, why: 'it was spent' }
                  : { kind: 'renewed' as const, grant: renewed.grant };
              },
            };
            await refreshes({ ...mine.deps(there), endpoint }, { kind: 'one', selector: keyOf(person) });
          }
        } catch (error) {
          if (!(error instanceof RouterError)) throw error;
          total.refused += 1;
        }
      }
      total.refreshes += issuer.counts.refreshes;
      total.reuses += issuer.counts.reuses;
      if (issuer.counts.reuses > 0) throw new Error('a token was spent twice');
      for (const person of first) {
        const copies = routers.map(({ repo }) => refreshOf(repo.sealed(keyOf(person))));
        for (const slot of slots) {
          const { occupant } = await slot.read();
          if (occupant.kind === 'login') copies.push(refreshOf(occupant));
        }
        for (const { repo } of routers) copies.push(...repo.backUps.map(({ holding }) => refreshOf(holding)));
        const isAlive = copies.some((token) => token !== null && issuer.live.has(token));
        if (!isAlive) throw new Error(`the login of ${person.identity.email} is lost`);
      }
    }),
    { numRuns: 150 },
  );
  t.comment(JSON.stringify(total));
  t.equal(total.reuses, 0);
  for (const count of [total.refreshes, total.uses, total.adoptions, total.moves]) t.ok(count > 0);
});
