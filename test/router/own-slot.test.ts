import t from 'tap';
import type { Holding } from '../../src/holding.js';
import { identityKey } from '../../src/identity.js';
import { leaveOwnSlot } from '../../src/router/leave-own-slot.js';
import { type OwnSlotRequest, useOwnSlot } from '../../src/router/own-slot.js';
import { refreshOrFail } from '../../src/router/refresh.js';
import { carryOutRemoval, planRemoval } from '../../src/router/remove.js';
import { sync } from '../../src/router/sync.js';
import { undo } from '../../src/router/undo.js';
import { type UseDeps, use } from '../../src/router/use.js';
import { type FakeHostOptions, fakeHost } from '../contract/fake-host.js';
import { fakeJournal } from '../contract/fake-journal.js';
import { fakeRepo } from '../contract/fake-repo.js';
import { fakeSlot } from '../contract/fake-slot.js';
import { holdingOf } from '../contract/slot.js';
import { DAY, loginOf, type PersonName } from '../kit/tokens.js';
import { codeOf, SURROUNDINGS } from './support.js';

const SHARED = 'openai-codex:default';
const OWN = 'openai-codex:router-1';
const NOW = Date.now();
const WORK = 'agent:main:telegram:direct:1001';
const HOME = 'agent:main:main';
const SLASH = 'agent:main:telegram:slash:1001';

const login = (name: PersonName, nonce = 'one', issuedAt = NOW - DAY) =>
  holdingOf(loginOf(name, { nonce, issuedAt, expiresAt: issuedAt + 10 * DAY }));
const keyOf = (holding: Holding) => identityKey(holding.identity);
const refreshOf = (holding: Holding | null) => holding?.grant.refreshToken.reveal() ?? null;

const SESSIONS = [
  { key: HOME, updatedAt: 9 },
  { key: WORK, updatedAt: 5, pinnedTo: SHARED, channel: 'telegram' },
  { key: SLASH, updatedAt: 5, channel: 'telegram', from: 'telegram:1001' },
  { key: 'agent:main:telegram:direct:2002', updatedAt: 3, pinnedTo: SHARED },
];

/** alice in the slot, bob and carol parked. */
async function bench(options: Omit<FakeHostOptions, 'slots'> = {}) {
  const repo = fakeRepo(() => NOW);
  const slot = fakeSlot();
  const host = fakeHost({ sessions: SESSIONS, ...options, slots: [slot] });
  const journal = fakeJournal();
  const deps = (more: Partial<UseDeps> = {}): UseDeps => ({
    repo,
    opening: repo.open(),
    host,
    outside: [],
    hostAt: async () => host,
    journal,
    ...SURROUNDINGS,
    now: () => NOW,
    env: {},
    ...more,
  });
  const [alice, bob, carol] = [login('alice'), login('bob'), login('carol')];
  const open = await repo.open();
  for (const holding of [alice, bob, carol]) await open.save(holding, { source: 'codex' });
  const asked = { agent: null, session: { kind: 'none' }, dryRun: false } as const;
  await use(deps(), { selector: keyOf(alice), ...asked });
  const token = async (n: number | null) => {
    const { occupant } = await (n === null ? slot : slot.own(n)).read();
    return occupant.kind === 'login' ? occupant.grant.refreshToken.reveal() : occupant.kind;
  };
  return {
    repo,
    slot,
    host,
    journal,
    alice,
    bob,
    carol,
    deps,
    token,
    use: (who: Holding) => use(deps(), { selector: keyOf(who), ...asked }),
    own: (who: Holding, request: Partial<OwnSlotRequest> = {}, more: Partial<UseDeps> = {}) =>
      useOwnSlot(deps(more), { selector: keyOf(who), sessions: [WORK], dryRun: false, ...request }),
    leave: (request: Partial<Parameters<typeof leaveOwnSlot>[1]> = {}, more: Partial<UseDeps> = {}) =>
      leaveOwnSlot(deps(more), { dryRun: false, ...request }),
    pins: () => Object.fromEntries(host.pinned),
  };
}

/** The process ends right after `work` has called `name` of `on`, or in the call itself. */
function killedAt<T extends object>(on: T, name: keyof T, when: 'before' | 'after', nth = 1): T {
  let calls = 0;
  return new Proxy(on, {
    get(target, property) {
      const value = Reflect.get(target, property);
      if (property !== name || typeof value !== 'function') return value;
      return async (...given: unknown[]) => {
        calls += 1;
        if (calls === nth && when === 'before') throw new Error('killed');
        const result = await value.apply(target, given);
        if (calls === nth) throw new Error('killed');
        return result;
      };
    },
  });
}

t.test(
  'the named session and its companions get a slot of their own, and nobody else is moved',
  async (t) => {
    const it = await bench();
    const before = await it.slot.read();
    const answer = await it.own(it.bob);
    t.match(answer, { result: 'switched', n: 1, isNew: true, slot: { profileId: OWN }, left: [] });
    t.equal(answer.from?.accountId, it.alice.identity.accountId);
    t.equal(await it.token(1), refreshOf(it.bob));
    t.equal(await it.token(null), refreshOf(it.alice));
    t.strictSame(it.pins(), {
      [HOME]: null,
      [WORK]: OWN,
      [SLASH]: OWN,
      'agent:main:telegram:direct:2002': SHARED,
    });
    const after = await it.slot.read();
    t.strictSame([after.order, after.lastGood, after.selectable], [before.order, before.lastGood, true]);
    t.equal(it.host.reloads.at(-1), it.bob.grant.expiresAt, 'the gateway is asked for the own slot');
    t.match(it.journal.records.at(-1), { slot: '/fake#main#router-1', step: 'done', from: null });
    const entry = (await it.repo.list()).find(({ identity }) => identity.userId === it.bob.identity.userId);
    t.equal(entry?.placement?.slot, '/fake#main#router-1');
  },
);

t.test('a dry run changes nothing and shows each session with whom it would leave', async (t) => {
  const it = await bench();
  const [pins, records, changes] = [it.pins(), it.journal.records.length, it.slot.replacements];
  const answer = await it.own(it.bob, { dryRun: true });
  t.match(answer, { result: 'planned', reload: null });
  t.strictSame(
    answer.pins.map(({ key, was, is }) => [key, was, is]),
    [
      [WORK, SHARED, OWN],
      [SLASH, null, OWN],
    ],
  );
  t.strictSame([it.pins(), it.journal.records.length, it.slot.replacements], [pins, records, changes]);
  t.equal(await it.token(1), 'absent');
});

t.test('run again it changes nothing', async (t) => {
  const it = await bench();
  await it.own(it.bob);
  const changes = it.slot.replacements;
  const answer = await it.own(it.bob);
  t.equal(answer.result, 'already-active');
  t.equal(it.slot.replacements, changes);
});

t.test(
  'the own slot that serves exactly these sessions is used again, and who was in it comes home',
  async (t) => {
    const it = await bench();
    await it.own(it.bob);
    const rotated = login('bob', 'rotated', NOW);
    it.slot.hostPuts(OWN, rotated);
    const answer = await it.own(it.carol);
    t.match(answer, { n: 1, isNew: false, checkedIn: [{ result: 'taken-home' }] });
    t.equal(await it.token(1), refreshOf(it.carol));
    t.equal(refreshOf(it.repo.sealed(keyOf(it.bob))), refreshOf(rotated));
    const entry = (await it.repo.list()).find(({ identity }) => identity.userId === it.bob.identity.userId);
    t.equal(entry?.placement, null, 'bob is parked');
  },
);

t.test('one grant lies in one slot: what is elsewhere is refused in both directions', async (t) => {
  const it = await bench();
  t.equal(await codeOf(it.own(it.alice)), 'IDENTITY_IN_USE');
  await it.own(it.bob);
  t.equal(await codeOf(it.own(it.bob, { sessions: [HOME] })), 'IN_OWN_SLOT');
  await t.rejects(it.use(it.bob), {
    code: 'IN_OWN_SLOT',
    hint: `codex-router failover leave --session ${WORK} --apply`,
  });
  const moved = use(it.deps(), {
    selector: keyOf(it.bob),
    agent: null,
    session: { kind: 'none' },
    dryRun: false,
    move: true,
  });
  t.equal(await codeOf(moved), 'IN_OWN_SLOT', 'not even where it was to be taken');
  t.equal(await it.token(null), refreshOf(it.alice));
  t.equal(await it.token(1), refreshOf(it.bob));
});

t.test('sessions that were not named are never taken along', async (t) => {
  const it = await bench();
  await it.own(it.bob, { sessions: [WORK, HOME] });
  await t.rejects(it.own(it.carol), { code: 'OWN_SLOT_SHARED', message: new RegExp(HOME) });
  t.equal(await it.token(1), refreshOf(it.bob));
});

t.test('a session that somebody pinned to another login is left and told', async (t) => {
  const it = await bench({ sessions: [{ key: WORK, pinnedTo: 'anthropic:me' }, { key: HOME }] });
  const answer = await it.own(it.bob, { sessions: [WORK, HOME] });
  t.strictSame(answer.left, [{ key: WORK, pinnedTo: 'anthropic:me' }]);
  t.strictSame(it.pins(), { [WORK]: 'anthropic:me', [HOME]: OWN });
  t.equal(await codeOf(it.own(it.carol, { sessions: [WORK] })), 'USAGE', 'nobody would be in it');
  t.equal(await it.token(2), 'absent');
});

t.test('a number that a session is pinned to is not given to others', async (t) => {
  const it = await bench({ sessions: [{ key: WORK }, { key: HOME, pinnedTo: OWN }] });
  t.equal((await it.own(it.bob)).n, 2);
  t.equal(it.pins()[HOME], OWN);
});

t.test('a switch of the slot leaves the sessions of an own slot alone, also the current one', async (t) => {
  const it = await bench();
  await it.own(it.bob, { sessions: [HOME] });
  const asked = { agent: null, dryRun: false, selector: keyOf(it.carol) } as const;
  const answer = await use(it.deps(), { ...asked, session: { kind: 'current' } });
  t.match(answer.session, { key: null, why: /failover leave --session/ });
  t.notOk(answer.affects.sessions.includes(HOME));
  t.equal(it.pins()[HOME], OWN);
  await use(it.deps(), { ...asked, session: { kind: 'all' } });
  t.equal(it.pins()[HOME], OWN);
  t.equal(await it.token(1), refreshOf(it.bob));
});

t.test(
  'what OpenClaw renewed in an own slot comes home with use and with sync, and is not refreshed by us',
  async (t) => {
    const it = await bench();
    await it.own(it.bob);
    const first = login('bob', 'second', NOW);
    it.slot.hostPuts(OWN, first);
    t.match((await it.use(it.carol)).checkedIn, [{ result: 'taken-home' }]);
    t.equal(refreshOf(it.repo.sealed(keyOf(it.bob))), refreshOf(first));
    const second = login('bob', 'third', NOW + 1000);
    it.slot.hostPuts(OWN, second);
    const { slots } = await sync(it.deps(), null);
    t.equal(refreshOf(it.repo.sealed(keyOf(it.bob))), refreshOf(second));
    t.match(
      slots.map(({ slot, checkedIn }) => [slot.profileId, checkedIn.map(({ result }) => result)]),
      [
        [SHARED, ['unchanged']],
        [OWN, ['taken-home']],
      ],
    );
    const repo = await it.repo.open();
    const entry = (await it.repo.list()).find(({ identity }) => identity.userId === it.bob.identity.userId);
    if (entry === undefined) throw new Error('bob is gone');
    t.match(await refreshOrFail(it.deps(), repo, entry, 'round'), { result: 'held' });
    it.slot.hostPuts(OWN, 'refreshing');
    t.match(
      await refreshOrFail(it.deps(), repo, entry, 'round'),
      { result: 'held' },
      'nor while it is renewed',
    );
  },
);

t.test('leaving takes the pins off first, brings the login home and removes the entry', async (t) => {
  const it = await bench();
  await it.own(it.bob);
  const rotated = login('bob', 'rotated', NOW);
  it.slot.hostPuts(OWN, rotated);
  const plan = await it.leave({ dryRun: true });
  t.match(plan, { result: 'planned', slots: [{ n: 1, isEmptied: true }] });
  t.equal(await it.token(1), refreshOf(rotated));
  const answer = await it.leave({ sessions: [WORK] });
  t.match(answer, { result: 'left', slots: [{ n: 1, isEmptied: true, checkedIn: 'taken-home' }] });
  t.equal(await it.token(1), 'absent');
  t.match(it.pins(), { [WORK]: SHARED, [SLASH]: SHARED, [HOME]: null });
  t.equal(refreshOf(it.repo.sealed(keyOf(it.bob))), refreshOf(rotated));
  t.equal((await it.use(it.bob)).result, 'switched', 'it is free again');
  t.equal((await it.leave()).result, 'nothing');
  t.equal(await codeOf(it.leave({ sessions: [WORK] })), 'OWN_SLOT_NOT_FOUND');
  t.equal(await codeOf(it.leave({ n: 3 })), 'OWN_SLOT_NOT_FOUND');
});

t.test('a slot that still serves another session keeps its login', async (t) => {
  const it = await bench();
  await it.own(it.bob, { sessions: [WORK, HOME] });
  const answer = await it.leave({ sessions: [HOME] });
  t.match(answer.slots, [{ isEmptied: false }]);
  t.match(it.pins(), { [WORK]: OWN, [HOME]: SHARED });
  t.equal(await it.token(1), refreshOf(it.bob));
});

t.test(
  'an identity in an own slot is removed only when that is asked for, and its sessions follow the slot',
  async (t) => {
    const it = await bench();
    await it.own(it.bob);
    const entry = (await it.repo.list()).find(({ identity }) => identity.userId === it.bob.identity.userId);
    if (entry === undefined) throw new Error('bob is gone');
    const deps = { ...it.deps(), open: () => it.repo.open() };
    await t.rejects(planRemoval(deps, entry, false), { code: 'IDENTITY_IN_USE', hint: /failover leave/ });
    const removal = await planRemoval(deps, entry, true);
    t.strictSame(removal.unpin.map(({ key }) => key).sort(), [WORK, SLASH].sort());
    await carryOutRemoval(deps, removal, true);
    t.equal(await it.token(1), 'absent');
    t.equal(await it.token(null), refreshOf(it.alice));
    t.match(it.pins(), { [WORK]: null, [HOME]: null, 'agent:main:telegram:direct:2002': SHARED });
  },
);

t.test('the command that a refusal names brings the login home as it stands', async (t) => {
  const it = await bench({ sessions: [{ key: WORK }, { key: HOME }, { key: "agent:main:o'clock here" }] });
  await it.own(it.bob, { sessions: [WORK, "agent:main:o'clock here"] });
  await t.rejects(it.use(it.bob), {
    code: 'IN_OWN_SLOT',
    hint: `codex-router failover leave --session ${WORK} --session 'agent:main:o'\\''clock here' --apply`,
  });
  await it.host.pinsOf('main').set([WORK, "agent:main:o'clock here"], SHARED);
  await t.rejects(it.use(it.bob), { code: 'IN_OWN_SLOT', hint: 'codex-router failover leave --all --apply' });
  await it.own(it.carol, { sessions: [HOME] });
  await t.rejects(
    it.use(it.bob),
    { code: 'IN_OWN_SLOT', hint: 'codex-router failover leave --all' },
    'others would move: a plan',
  );
});

t.test('a turn that writes its old pin back at its end is taken along by nobody', async (t) => {
  const running = new Set<string>();
  const it = await bench({ running });
  await it.own(it.bob, { sessions: [WORK, HOME] });
  running.add(WORK);
  await it.leave({ sessions: [WORK] });
  await it.host.pinsOf('main').set([WORK], OWN);
  running.clear();
  await sync(it.deps(), null);
  t.match(it.pins(), { [WORK]: SHARED, [HOME]: OWN }, 'the one that left alone');
  running.add(HOME);
  await it.leave({ sessions: [HOME] });
  const { n } = await it.own(it.carol, { sessions: [WORK] });
  t.equal(n, 2, 'the number is not given to another while it may come back');
  await it.host.pinsOf('main').set([HOME], OWN);
  running.clear();
  await sync(it.deps(), null);
  t.match(it.pins(), { [HOME]: SHARED, [WORK]: 'openai-codex:router-2' });
  t.ok(it.journal.records.every(({ step }) => step === 'done' || step === 'abandoned'));
});

t.test('where turns cannot be told of, a pin that a person changed much later is left', async (t) => {
  const it = await bench({ running: null });
  await it.own(it.bob);
  await it.host.pinsOf('main').set([WORK], SHARED);
  await sync(it.deps(), null);
  t.equal(it.pins()[WORK], OWN, 'at first it may have been the end of a turn');
  const later = { now: () => NOW + 600_001 };
  await sync(it.deps(later), null);
  await it.host.pinsOf('main').set([WORK], SHARED);
  await sync(it.deps(later), null);
  t.equal(it.pins()[WORK], SHARED);
});

t.test('undo puts no session into an own slot that others have by now', async (t) => {
  const it = await bench({ sessions: [{ key: WORK }, { key: HOME, pinnedTo: OWN }] });
  const asked = { agent: null, dryRun: false, selector: keyOf(it.bob) } as const;
  await use(it.deps(), { ...asked, session: { kind: 'key', key: HOME } });
  t.equal(it.pins()[HOME], SHARED);
  t.equal((await it.own(it.carol)).n, 1);
  await undo(it.deps(), { agent: null, dryRun: false });
  t.match(it.pins(), { [HOME]: SHARED, [WORK]: OWN });
});

t.test(
  'a login in an own slot of another OpenClaw is kept from this one, also while it is renewed',
  async (t) => {
    const it = await bench();
    await it.own(it.bob);
    const other = fakeHost({
      slots: [fakeSlot({ stateDir: '/other' })],
      stateDir: '/other',
      sessions: [{ key: HOME }],
    });
    const there = it.deps({ host: other, hostAt: async () => it.host });
    const asked = { selector: keyOf(it.bob), agent: null, session: { kind: 'none' }, dryRun: false } as const;
    const hint = `codex-router failover leave --session ${WORK} --apply --state-dir /fake`;
    await t.rejects(use(there, asked), { code: 'IN_OWN_SLOT', hint });
    it.slot.hostPuts(OWN, 'refreshing');
    t.equal(await codeOf(use(there, asked)), 'IDENTITY_IN_USE');
  },
);

t.test('a login that a failed refresh destroyed in an own slot leaves as parked', async (t) => {
  const it = await bench();
  await it.own(it.bob);
  it.slot.hostPuts(OWN, 'lost');
  t.match(await it.leave({ sessions: [WORK] }), {
    slots: [{ isEmptied: true, checkedIn: null }],
    notes: [{ code: 'LOGIN_LOST' }],
  });
  t.match(it.pins(), { [WORK]: SHARED, [SLASH]: SHARED });
  const entry = (await it.repo.list()).find(({ identity }) => identity.userId === it.bob.identity.userId);
  t.equal(entry?.placement, null);
  t.equal(refreshOf(it.repo.sealed(keyOf(it.bob))), refreshOf(it.bob), 'the stored copy is what is left');
});

t.test('what was never a login of ours is left where an own slot would be', async (t) => {
  const it = await bench({ sessions: [{ key: WORK }, { key: HOME, pinnedTo: 'openai-codex:router-3' }] });
  it.slot.hostPuts('openai-codex:router-3', { what: 'an API key' });
  await it.own(it.bob);
  t.match((await it.leave()).slots, [{ n: 1, isEmptied: true }]);
  t.equal(it.pins()[HOME], 'openai-codex:router-3');
  const { slots, notes } = await it.leave({ sessions: [HOME] });
  t.match(slots, [{ n: 3, isEmptied: false }]);
  t.match(notes, [{ code: 'SLOT_FOREIGN', text: /an API key/ }]);
  t.equal(it.pins()[HOME], SHARED);
  t.equal(await it.token(3), 'foreign', 'it is still there');
  await it.own(it.bob);
  await t.rejects(it.leave({}, dyingAt('pinned', it)), { message: 'killed' });
  it.slot.hostPuts(OWN, { what: 'an API key' });
  await sync(it.deps(), null);
  t.equal(await it.token(1), 'foreign', 'also where a leaving was interrupted');
  t.ok(it.journal.records.every(({ step }) => step === 'done' || step === 'abandoned'));
});

const KILLS = ['begun', 'placed', 'written', 'told', 'pinned', 'ended'] as const;

t.test('killed at any step of the way in, the next command finishes it or takes it back', async (t) => {
  for (const step of KILLS) {
    for (const next of ['use', 'sync', 'own', 'leave'] as const) {
      const it = await bench();
      const { host, journal, slot } = it;
      const dying = dyingAt(step, it);
      await t.rejects(it.own(it.bob, {}, dying), { message: 'killed' }, step);
      if (next === 'use') await it.use(it.carol);
      if (next === 'sync') await sync(it.deps(), null);
      if (next === 'own') await it.own(it.bob);
      if (next === 'leave') await it.leave();
      const has = (await it.token(1)) === refreshOf(it.bob);
      const name = `${step}, then ${next}`;
      if (next === 'own') t.ok(has, name);
      if (next === 'leave') t.notOk(has, name);
      const pinned = Object.values(it.pins()).filter((pin) => pin === OWN).length;
      t.equal(pinned, has ? 2 : 0, `${name}: nobody is pinned to a login that is not there`);
      t.ok(
        journal.records.every((record) => ['done', 'abandoned'].includes(record.step)),
        `${name}: nothing is open`,
      );
      const entry = (await it.repo.list()).find(({ identity }) => identity.userId === it.bob.identity.userId);
      t.equal(entry?.placement?.slot ?? null, has ? '/fake#main#router-1' : null, name);
      t.ok(
        (await slot.read()).selectable && host.pinned.get(HOME) === null,
        `${name}: the others are as they were`,
      );
    }
  }
});

t.test('killed at any step of the way out, the next command finishes it', async (t) => {
  for (const step of ['begun', 'pinned', 'written', 'ended'] as const) {
    for (const next of ['use', 'sync', 'leave'] as const) {
      const it = await bench();
      await it.own(it.bob);
      const rotated = login('bob', 'rotated', NOW);
      it.slot.hostPuts(OWN, rotated);
      await t.rejects(
        it.leave({}, dyingAt(step === 'ended' ? 'done' : step, it)),
        { message: 'killed' },
        step,
      );
      if (next === 'use') await it.use(it.carol);
      if (next === 'sync') await sync(it.deps(), null);
      if (next === 'leave') await it.leave();
      const name = `${step}, then ${next}`;
      t.equal(await it.token(1), 'absent', name);
      t.match(it.pins(), { [WORK]: SHARED, [SLASH]: SHARED, [HOME]: null }, name);
      t.equal(refreshOf(it.repo.sealed(keyOf(it.bob))), refreshOf(rotated), `${name}: no token is lost`);
      t.ok(
        it.journal.records.every((record) => ['done', 'abandoned'].includes(record.step)),
        name,
      );
    }
  }
});

function dyingAt(
  step: (typeof KILLS)[number] | 'done',
  { host, journal, repo, slot }: Awaited<ReturnType<typeof bench>>,
): Partial<UseDeps> {
  if (step === 'begun') return { journal: killedAt(journal, 'begin', 'after') };
  if (step === 'ended') return { journal: killedAt(journal, 'advance', 'before', 2) };
  if (step === 'done') return { journal: killedAt(journal, 'advance', 'before') };
  if (step === 'placed' || step === 'written') {
    const when = step === 'placed' ? 'before' : 'after';
    const dead = (n: number) => killedAt(slot.own(n), 'replace', when);
    const own = async () => (await host.everyOwnSlot()).map(() => dead(1));
    return { host: { ...host, ownSlot: async (_, n) => dead(n), everyOwnSlot: own } };
  }
  if (step === 'told') return { host: killedAt(host, 'reload', 'after') };
  const pinsOf: typeof host.pinsOf = (agent) => killedAt(host.pinsOf(agent), 'set', 'after');
  return { host: { ...host, pinsOf }, repo };
}
