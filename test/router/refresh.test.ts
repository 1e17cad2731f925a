import t from 'tap';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import { identityKey } from '../../src/identity.js';
import { type RefreshDeps, type RefreshOccasion, refresh } from '../../src/router/refresh.js';
import { refreshes } from '../../src/router/refreshes.js';
import type { RefreshAnswer } from '../../src/router/token-endpoint.js';
import { Secret } from '../../src/secret.js';
import { fakeHost } from '../contract/fake-host.js';
import { fakeJournal } from '../contract/fake-journal.js';
import { type FakeRepo, fakeRepo } from '../contract/fake-repo.js';
import { type FakeSlot, fakeSlot } from '../contract/fake-slot.js';
import { holdingOf } from '../contract/slot.js';
import { DAY, loginOf, type PersonName } from '../kit/tokens.js';
import { codeOf, SURROUNDINGS } from './support.js';

const SLOT = 'openai-codex:default';
const NOW = Date.now();

const login = (name: PersonName, nonce = 'one', issuedAt = NOW - DAY) =>
  holdingOf(loginOf(name, { nonce, issuedAt, expiresAt: issuedAt + 10 * DAY }));
const renewedBy = (holding: Holding): RefreshAnswer => ({ kind: 'renewed', grant: holding.grant });

interface Bench {
  readonly repo: FakeRepo;
  readonly slot: FakeSlot;
  /** The refresh tokens that were sent, in order. */
  readonly sent: string[];
  /** What is done while a request is under way. */
  meanwhile: () => Promise<void>;
  deps(): Promise<RefreshDeps>;
  run(holding: Holding, occasion?: RefreshOccasion): ReturnType<typeof refresh>;
  all(wish: Parameters<typeof refreshes>[1]): ReturnType<typeof refreshes>;
  doubtOf(holding: Holding): Promise<string | null>;
}

function bench(...answers: (RefreshAnswer | Error)[]): Bench {
  const repo = fakeRepo(() => NOW);
  const slot = fakeSlot();
  const host = fakeHost({ slots: [slot] });
  const sent: string[] = [];
  const deps = {
    host,
    outside: [],
    hostAt: async () => host,
    journal: fakeJournal(),
    ...SURROUNDINGS,
    now: () => NOW,
    endpoint: {
      refresh: async (grant: Holding['grant']) => {
        sent.push(grant.refreshToken.reveal());
        await self.meanwhile();
        const answer = answers.shift();
        if (answer === undefined) throw new Error('one request too many');
        if (answer instanceof Error) throw answer;
        return answer;
      },
    },
  };
  const self: Bench = {
    repo,
    slot,
    sent,
    meanwhile: async () => undefined,
    deps: async () => deps,
    run: async (holding, occasion = 'named') => refresh(deps, await repo.open(), holding.identity, occasion),
    all: (wish) => refreshes({ ...deps, repo, opening: repo.open() }, wish),
    doubtOf: async (holding) =>
      (await repo.list()).find(({ identity }) => identityKey(identity) === identityKey(holding.identity))
        ?.doubt ?? null,
  };
  return self;
}

const tokenIn = (repo: FakeRepo, holding: Holding) =>
  repo.sealed(identityKey(holding.identity))?.grant.refreshToken.reveal();

t.test('a parked identity gets the new tokens, stored before anybody hears of them', async (t) => {
  const alice = login('alice');
  const newer = login('alice', 'two', NOW);
  const it = bench(renewedBy(newer));
  const open = await it.repo.open();
  await open.save(alice, { source: 'codex' });
  it.meanwhile = async () => {
    t.equal(await it.doubtOf(alice), 'refresh-sent', 'a crash now is known to the next command');
  };
  t.match(await it.run(alice), { result: 'refreshed', why: null });
  t.strictSame(it.sent, [alice.grant.refreshToken.reveal()]);
  t.equal(tokenIn(it.repo, alice), newer.grant.refreshToken.reveal());
  t.equal(await it.doubtOf(alice), null);
});

t.test('an identity in a slot is never refreshed, whichever grant of it lies there', async (t) => {
  const alice = login('alice');
  for (const there of [alice, login('alice', 'another')]) {
    const it = bench();
    await (await it.repo.open()).save(alice, { source: 'codex' });
    it.slot.hostPuts(SLOT, there);
    t.match(await it.run(alice), { result: 'held' });
    t.strictSame(it.sent, []);
    t.equal(await it.doubtOf(alice), null);
  }
});

t.test('a slot that cannot be read may hold it: nothing is sent', async (t) => {
  const alice = login('alice');
  const it = bench();
  await (await it.repo.open()).save(alice, { source: 'codex' });
  it.slot.read = async () => {
    throw new RouterError('SLOT_UNREADABLE', 'the store is torn');
  };
  t.match(await it.run(alice), { result: 'held', remedy: 'codex-router doctor' });
  t.strictSame(it.sent, []);
});

t.test('a login shared with the Codex CLI is left to it', async (t) => {
  const alice = login('alice');
  const it = bench();
  await (await it.repo.open()).save(alice, { source: 'codex', sharedWith: 'codex' });
  t.match(await it.run(alice), { result: 'held' });
  t.strictSame(it.sent, []);
});

t.test('a refusal for good is remembered, keeps the access token, and is not asked for again', async (t) => {
  const alice = login('alice');
  const it = bench({ kind: 'refused', reason: 'invalidated', why: 'its refresh token was revoked' });
  await (await it.repo.open()).save(alice, { source: 'codex' });
  t.match(await it.run(alice), { result: 'login-needed', why: 'its refresh token was revoked' });
  t.equal(await it.doubtOf(alice), 'login-needed');
  t.equal(
    it.repo.sealed(identityKey(alice.identity))?.grant.accessToken.reveal(),
    alice.grant.accessToken.reveal(),
  );
  t.match(await it.run(alice), { result: 'login-needed' });
  t.equal(it.sent.length, 1);
});

t.test('what did not spend the token changes nothing', async (t) => {
  const alice = login('alice');
  const it = bench({ kind: 'failed', why: 'the issuer said to try later' });
  await (await it.repo.open()).save(alice, { source: 'codex' });
  t.match(await it.run(alice), { result: 'failed', why: 'the issuer said to try later' });
  t.equal(tokenIn(it.repo, alice), alice.grant.refreshToken.reveal());
  t.equal(await it.doubtOf(alice), null);
});

t.test('no answer after sending: the same token is sent once more, then it is said', async (t) => {
  const alice = login('alice');
  const newer = login('alice', 'two', NOW);
  const twice = bench({ kind: 'unanswered', why: 'no answer in 30 s' }, renewedBy(newer));
  await (await twice.repo.open()).save(alice, { source: 'codex' });
  t.match(await twice.run(alice), { result: 'refreshed' });
  t.strictSame(new Set(twice.sent), new Set([alice.grant.refreshToken.reveal()]));
  t.equal(twice.sent.length, 2);

  const never = bench(
    { kind: 'unanswered', why: 'no answer in 30 s' },
    { kind: 'failed', why: 'no network' },
    renewedBy(newer),
  );
  await (await never.repo.open()).save(alice, { source: 'codex' });
  t.match(
    await never.run(alice),
    { result: 'unanswered' },
    'that it could not be asked again settles nothing',
  );
  t.equal(await never.doubtOf(alice), 'refresh-sent');
  t.match(
    (await never.all({ kind: 'due' })).refreshed,
    [{ result: 'refreshed' }],
    'the next command asks again',
  );
  t.equal(await never.doubtOf(alice), null);
});

t.test('a crashed refresh that cannot be sent now stays in doubt', async (t) => {
  const alice = login('alice');
  const it = bench({ kind: 'failed', why: 'no network' });
  const open = await it.repo.open();
  await open.save(alice, { source: 'codex' });
  await open.doubt(identityKey(alice.identity), 'refresh-sent');
  t.match(await it.run(alice), { result: 'failed' });
  t.equal(await it.doubtOf(alice), 'refresh-sent');
});

t.test('a refresh that another process was in the middle of is not repeated to settle it', async (t) => {
  const alice = login('alice');
  const it = bench();
  await (await it.repo.open()).save(alice, { source: 'codex' });
  t.equal(await it.run(alice, 'settle'), null);
  t.strictSame(it.sent, []);
});

t.test("another person's tokens are refused, sealed, and stored over nobody", async (t) => {
  const alice = login('alice');
  for (const [name, other] of [
    ['another person', login('bob', 'two')],
    ['another workspace of the same person', login('alice-team', 'two')],
  ] as const) {
    const it = bench(renewedBy(other));
    await (await it.repo.open()).save(alice, { source: 'codex' });
    t.equal(await codeOf(it.run(alice)), 'IDENTITY_MISMATCH', name);
    t.equal(tokenIn(it.repo, alice), alice.grant.refreshToken.reveal());
    t.equal(tokenIn(it.repo, other), undefined);
    t.match(it.repo.backUps, [{ holding: { identity: { userId: other.identity.userId } } }]);
    t.equal(await it.doubtOf(alice), 'login-needed', 'the old token is spent');
  }
});

t.test('tokens that do not say whose they are are refused and sealed', async (t) => {
  const alice = login('alice');
  const opaque = { ...login('alice', 'two').grant, accessToken: new Secret('opaque-CANARY') };
  const it = bench({ kind: 'renewed', grant: opaque });
  await (await it.repo.open()).save(alice, { source: 'codex' });
  t.equal(await codeOf(it.run(alice)), 'IDENTITY_UNREADABLE');
  t.equal(tokenIn(it.repo, alice), alice.grant.refreshToken.reveal());
  t.equal(it.repo.backUps.length, 1);
});

t.test(
  'a login that is stored while the request is under way is not overwritten by its answer',
  async (t) => {
    const alice = login('alice');
    const imported = login('alice', 'imported', NOW);
    const it = bench(renewedBy(login('alice', 'two', NOW)));
    const open = await it.repo.open();
    await open.save(alice, { source: 'codex' });
    it.meanwhile = async () => void (await open.save(imported, { source: 'codex' }));
    t.match(await it.run(alice), { result: 'superseded' });
    t.equal(tokenIn(it.repo, alice), imported.grant.refreshToken.reveal());
    t.equal(await it.doubtOf(alice), null);
    t.equal(it.repo.backUps.length, 1, 'what came is sealed');
  },
);

t.test('an identity that is removed while the request is under way does not come back', async (t) => {
  const alice = login('alice');
  const it = bench(renewedBy(login('alice', 'two', NOW)));
  const open = await it.repo.open();
  await open.save(alice, { source: 'codex' });
  it.meanwhile = () => open.remove(identityKey(alice.identity));
  t.match(await it.run(alice), { result: 'superseded' });
  t.strictSame(await it.repo.list(), []);
});

t.test('an answer without a refresh token keeps the grant and settles it', async (t) => {
  const alice = login('alice');
  const newer = { ...login('alice', 'two', NOW).grant, refreshToken: alice.grant.refreshToken };
  const it = bench({ kind: 'renewed', grant: newer });
  await (await it.repo.open()).save(alice, { source: 'codex' });
  t.match(await it.run(alice), { result: 'refreshed' });
  t.equal(await it.doubtOf(alice), null);
  t.equal(
    it.repo.sealed(identityKey(alice.identity))?.grant.accessToken.reveal(),
    newer.accessToken.reveal(),
  );
});

t.test('a grant put back from a back-up, or taken over, is not spent by a round over all', async (t) => {
  for (const doubt of ['restored', 'taken-over', 'login-needed'] as const) {
    const it = bench();
    const alice = login('alice');
    const open = await it.repo.open();
    await open.save(alice, { source: 'codex' });
    await open.doubt(identityKey(alice.identity), doubt);
    const { refreshed } = await it.all({ kind: 'all' });
    t.match(refreshed, [{ result: doubt === 'login-needed' ? 'login-needed' : 'doubtful' }]);
    t.strictSame(it.sent, []);
  }
});

t.test(
  'a round refreshes what is due, leaves what is in the slot, and goes on after a failure',
  async (t) => {
    const [alice, bob, carol] = [login('alice'), login('bob'), login('carol')];
    const soon = NOW + DAY / 2;
    const due = ({ grant, ...rest }: Holding) => ({ ...rest, grant: { ...grant, expiresAt: soon } });
    const it = bench({ kind: 'failed', why: 'busy' }, renewedBy(login('carol', 'two', NOW)));
    const open = await it.repo.open();
    for (const holding of [due(alice), due(bob), due(carol), login('alice-team')]) {
      await open.save(holding, { source: 'codex' });
    }
    it.slot.hostPuts(SLOT, due(bob));
    const { refreshed, left } = await it.all({ kind: 'due' });
    t.strictSame(
      refreshed.map(({ entry, result }) => [entry.identity.email, result]),
      [
        [alice.identity.email, 'failed'],
        [bob.identity.email, 'held'],
        [carol.identity.email, 'refreshed'],
      ],
    );
    t.equal(left.length, 1);
  },
);
