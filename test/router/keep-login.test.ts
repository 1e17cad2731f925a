import t from 'tap';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import { identityKey } from '../../src/identity.js';
import type { SaveFacts } from '../../src/repo/repo.js';
import { planCheckIn } from '../../src/router/check-in.js';
import { examine } from '../../src/router/doctor.js';
import { type ArrivedLogin, type KeepDeps, keepLogin } from '../../src/router/keep-login.js';
import { refresh } from '../../src/router/refresh.js';
import { fakeHost } from '../contract/fake-host.js';
import { fakeJournal } from '../contract/fake-journal.js';
import { fakeRepo } from '../contract/fake-repo.js';
import { type FakeSlot, fakeSlot } from '../contract/fake-slot.js';
import { holdingOf } from '../contract/slot.js';
import { DAY, loginOf, type PersonName } from '../kit/tokens.js';
import { codeOf, SURROUNDINGS } from './support.js';

const SLOT = 'openai-codex:default';
const NOW = Date.UTC(2026, 10, 21);

const login = (name: PersonName, nonce = 'one', issuedAt = NOW - DAY) =>
  holdingOf(loginOf(name, { nonce, issuedAt, expiresAt: issuedAt + 10 * DAY }));
const refreshOf = (holding: Holding | null | undefined) => holding?.grant.refreshToken.reveal() ?? null;

const OLD = login('alice');
const NEW = login('alice', 'new', NOW);
const KEY = identityKey(OLD.identity);
const USE = 'codex-router use work --agent main';

/** Locks that wait for each other, as the real ones do. */
function mutexes(heard: string[]) {
  const tails = new Map<string, Promise<unknown>>();
  return <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const run = (tails.get(name) ?? Promise.resolve()).then(async () => {
      heard.push(`+${name}`);
      return work().finally(() => heard.push(`-${name}`));
    });
    tails.set(
      name,
      run.catch(() => undefined),
    );
    return run;
  };
}

/** A repo that stores `OLD` unless `stored` is null, beside one OpenClaw. */
async function bench(stored: SaveFacts | null = {}, slots: readonly FakeSlot[] = [fakeSlot()]) {
  const repo = fakeRepo(() => NOW);
  const open = await repo.open();
  if (stored !== null) await open.save(OLD, { source: 'codex', alias: 'work', ...stored });
  const locks: string[] = [];
  const within = mutexes(locks);
  const [first = fakeSlot(), ...more] = slots;
  const deps: KeepDeps = {
    host: fakeHost({ slots: [first, ...more] }),
    hostAt: async () => {
      throw new RouterError('HOST_NOT_FOUND', 'there is no OpenClaw');
    },
    outside: [],
    journal: fakeJournal(),
    withGrantLock: (who, work) => within(`grant ${identityKey(who)}`, work),
    withLock: (work) => within('router', work),
    critical: (work) => work(),
    now: () => NOW,
  };
  const arrived: ArrivedLogin = { holding: NEW, source: 'login', verified: true, alias: null };
  return {
    repo,
    open,
    deps,
    locks,
    slot: first,
    keep: (over: Partial<ArrivedLogin> = {}, with_: Partial<KeepDeps> = {}) =>
      keepLogin({ ...deps, ...with_ }, open, { ...arrived, ...over }),
  };
}

t.test('a new identity is added, as verified as it is', async (t) => {
  const { keep, repo, locks } = await bench(null);
  const workspace = { ...NEW, identity: { ...NEW.identity, workspace: 'Acme' } };
  const kept = await keep({ holding: workspace, alias: 'home' });
  t.match(kept, {
    result: 'added',
    former: null,
    notes: [],
    entry: {
      alias: 'home',
      source: 'login',
      verified: true,
      placement: null,
      identity: { workspace: 'Acme' },
    },
  });
  t.equal(refreshOf(repo.sealed(KEY)), refreshOf(NEW));
  t.same(repo.backUps, []);
  t.same(locks, [`+grant ${KEY}`, '+router', '-router', `-grant ${KEY}`]);
});

t.test('one identity stays one: it gets the newer grant, and the old one is sealed first', async (t) => {
  const { keep, repo, open } = await bench({ doubt: 'login-needed', verified: false });
  const kept = await keep({ source: 'add' });
  t.match(kept, {
    result: 'renewed',
    entry: { alias: 'work', source: 'add', verified: true, doubt: null },
    former: { sealed: true, place: 'parked', doubt: 'login-needed' },
    notes: [],
  });
  t.equal(
    kept.former?.text,
    'the login stored before is sealed as a back-up: codex-router restore lists it; what spoke against it (login-needed) is settled',
  );
  t.equal((await open.list()).length, 1);
  t.equal(refreshOf(repo.sealed(KEY)), refreshOf(NEW));
  t.same(
    repo.backUps.map(({ holding }) => refreshOf(holding)),
    [refreshOf(OLD)],
  );
  const calls = repo.calls.map((call) => call.split(' ')[0]);
  t.ok(calls.lastIndexOf('backUp') < calls.lastIndexOf('save'), 'sealed before anything is overwritten');
});

t.test('when sealing fails, nothing is overwritten', async (t) => {
  const { keep, repo } = await bench();
  repo.failNext('backUp', new RouterError('IO', 'the disk is full'));
  t.equal(await codeOf(keep()), 'IO');
  t.equal(refreshOf(repo.sealed(KEY)), refreshOf(OLD));
});

t.test('a stored login that cannot be opened is no reason to lose the new one', async (t) => {
  const { keep, repo } = await bench();
  repo.damage(KEY);
  t.match(await keep(), {
    result: 'renewed',
    former: { sealed: false, text: /could not be opened; its damaged record is set aside/ },
    notes: [{ code: 'RECORD_DAMAGED' }],
  });
  t.equal(refreshOf(repo.sealed(KEY)), refreshOf(NEW));
});

t.test('what the host knows of its entry stays, what it held against the old grant goes', async (t) => {
  const { keep, repo, open } = await bench();
  await open.save({ ...OLD, hostFields: { type: 'oauth' }, selection: { cooldownUntil: NOW + DAY } });
  await keep();
  t.match(repo.sealed(KEY), { hostFields: { type: 'oauth' }, selection: null });
});

for (const [how, rotated] of [
  ['as we put it there', false],
  ['rotated by OpenClaw since', true],
] as const) {
  t.test(
    `a slot that holds the old grant, ${how}, is left alone, and never wins over the login`,
    async (t) => {
      const { keep, open, slot, deps } = await bench();
      const held = rotated ? login('alice', 'rotated', NOW + DAY) : OLD;
      slot.hostPuts(SLOT, held);
      await open.place(KEY, { slot: slot.address.id, fingerprint: open.fingerprint(OLD.grant), at: 1 });
      const before = await slot.read();
      const kept = await keep();
      t.match(kept.former, { sealed: true, place: 'slot' });
      t.match(kept.former?.text, /agent main runs on the old one until codex-router use work --agent main/);
      t.same(await slot.read(), before, 'OpenClaw is not disturbed');
      const checkIn = await planCheckIn(open, held, slot.address.id, deps.now());
      t.match(checkIn, { result: 'repo-newer', fingerprint: kept.entry.fingerprint });
      t.notOk(checkIn.isStale, 'and it is no write-back to be repaired');
      const doctor = { ...SURROUNDINGS, ...deps, journal: { ...deps.journal, damaged: async () => 0 } };
      const found = await examine(doctor, open);
      t.equal(found.length, rotated ? 0 : 1);
      if (!rotated) t.match(found, [{ code: 'GRANT_OLDER', danger: false, remedy: USE }]);
    },
  );
}

t.test('an old grant that OpenClaw has by itself, under another profile, is remembered there', async (t) => {
  const { keep, open, slot, deps } = await bench();
  slot.hostPuts('openai-codex:alice', OLD);
  const kept = await keep();
  const place = `${slot.address.id.slice(0, slot.address.id.lastIndexOf('#') + 1)}openai-codex:alice`;
  t.match(kept, { former: { place: 'slot' }, entry: { placement: { slot: place } } });
  // What OpenClaw makes of it later is issued after the login, and still of the old grant.
  const rotated = login('alice', 'rotated', NOW + DAY);
  t.match(await planCheckIn(open, rotated, place, deps.now()), { result: 'repo-newer' });
});

t.test('a slot that is being refreshed is not waited for', async (t) => {
  const { keep, slot } = await bench();
  slot.hostPuts(SLOT, { kind: 'refreshing', accountId: OLD.identity.accountId });
  t.match(await keep(), { result: 'renewed', former: { place: 'slot' }, entry: { placement: null } });
});

t.test(
  'a Codex home that shares the old grant keeps it, and the new one is shared with nobody',
  async (t) => {
    const { keep } = await bench({ sharedWith: 'codex' });
    const codex = { name: 'the Codex CLI', remedy: 'import --take', read: async () => OLD };
    t.match(await keep({}, { outside: [codex] }), {
      former: { place: 'codex', text: /the Codex CLI keeps the old one and is not disturbed/ },
      entry: { sharedWith: null },
    });
  },
);

t.test('what was lent stays lent, and is said', async (t) => {
  const { keep, open } = await bench();
  const lending = { folder: '/home/me/.codex', what: 'access', displaced: null, at: NOW } as const;
  await open.lend(KEY, lending);
  t.match(await keep(), {
    former: { place: 'codex', text: /Codex CLI in \/home\/me\/.codex has an access token of the old login/ },
    entry: { lent: lending },
  });
});

t.test('a place that cannot be read is said to be unknown, and stops nothing', async (t) => {
  const { keep, open, slot } = await bench();
  await open.place(KEY, { slot: slot.address.id, fingerprint: open.fingerprint(OLD.grant), at: 1 });
  const broken = { ...slot, read: async () => Promise.reject(new RouterError('SLOT_UNREADABLE', 'torn')) };
  const host = { ...fakeHost({ slots: [slot] }), allSlots: async () => [broken] };
  const kept = await keep({}, { host });
  t.match(kept, {
    result: 'renewed',
    former: { place: 'unknown' },
    notes: [{ code: 'HOLDER_UNREADABLE' }],
  });
  t.equal(kept.notes.length, 1, 'said once');
  const gone = { ...host, allSlots: async () => Promise.reject(new RouterError('HOST_UNREADABLE', 'gone')) };
  t.match(await keep({ holding: login('alice', 'again', NOW) }, { host: gone }), { result: 'renewed' });
});

t.test('the very grant that is stored, or was before a newer one, changes nothing', async (t) => {
  const { keep, repo } = await bench();
  t.match(await keep({ holding: OLD, alias: 'home' }), {
    result: 'unchanged',
    former: null,
    entry: { alias: 'home' },
  });
  await keep();
  t.match(await keep({ holding: OLD }), { result: 'unchanged', former: null }, 'a left-over of long ago');
  t.equal(refreshOf(repo.sealed(KEY)), refreshOf(NEW));
  t.equal(repo.backUps.length, 1);
});

t.test('one grant cannot serve two identities', async (t) => {
  const { keep, open } = await bench();
  const { grant } = OLD;
  t.equal(await codeOf(keep({ holding: { ...login('alice-team'), grant } })), 'IDENTITY_MISMATCH');
  t.equal((await open.list()).length, 1);
});

t.test('an alias that somebody else got meanwhile costs the alias, not the login', async (t) => {
  const { keep } = await bench();
  t.match(await keep({ holding: login('bob'), alias: 'work' }), {
    result: 'added',
    entry: { alias: null },
    notes: [
      { code: 'ALIAS_TAKEN', text: 'it is stored without the alias: work already names another identity' },
    ],
  });
  t.match(await keep({ alias: 'work' }), { result: 'renewed', entry: { alias: 'work' }, notes: [] });
});

t.test('a refresh of the old grant that is under way ends first, and its tokens never win', async (t) => {
  const { keep, repo, open, deps } = await bench();
  const renewed = login('alice', 'renewed', NOW + 1000);
  let answer = () => undefined as unknown;
  const asked = new Promise<void>((sent) => {
    const endpoint = {
      refresh: () => {
        sent();
        return new Promise<{ kind: 'renewed'; grant: Holding['grant'] }>((resolve) => {
          answer = () => resolve({ kind: 'renewed', grant: renewed.grant });
        });
      },
    };
    const refreshing = refresh(
      { ...deps, endpoint, pause: async () => undefined },
      open,
      OLD.identity,
      'named',
    );
    refreshing.catch(() => undefined);
  });
  await asked;
  const keeping = keep();
  await new Promise((turn) => setImmediate(turn));
  t.equal(refreshOf(repo.sealed(KEY)), refreshOf(OLD), 'the login waits');
  answer();
  t.match(await keeping, { result: 'renewed', former: { doubt: null } });
  t.equal(refreshOf(repo.sealed(KEY)), refreshOf(NEW));
  t.same(
    repo.backUps.map(({ holding }) => refreshOf(holding)),
    [refreshOf(renewed)],
    'what came is sealed',
  );
});
