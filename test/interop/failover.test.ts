import t, { type Test } from 'tap';
import { HOUR, type Limits, limitsOf } from '../kit/limits.js';
import { until } from '../kit/process.js';
import { everyReleaseAsked, type Release, releasesToRun } from '../kit/releases.js';
import { type JsonDocument, leaksOf } from '../kit/router.js';
import { DAY, type Person, payloadOf, people } from '../kit/tokens.js';
import { type TruthHost, truthHost } from '../kit/truth-host.js';
import { voicesOf } from '../kit/truth-voices.js';
import { Demand } from './failover-demand.js';

const MAIN = 'agent:main:main';
const ROOM = 'agent:main:discord:channel:555';
const THREAD = 'agent:main:slack:channel:c0123:thread:1700000000.000100';
const { alice, bob, carol } = people;
const team = people['bob-team'];
const MINUTE = 60_000;
/** ms */
const QUIET = 700;

const wanted: readonly Release[] = everyReleaseAsked ? ['2026.7.35', '2026.9.6'] : ['2026.9.6'];

interface Life {
  readonly host: TruthHost;
  readonly limits: Limits;
  /** `codex-router failover <line>`. @throws when it failed */
  failover(line: string): Promise<JsonDocument>;
  /** Whose login lies there, by its own token. */
  inSlot(profileId?: string): string | null;
  pinOf(session: string): unknown;
  /** By the model calls of a turn, once no other chat's work (2026.9.6 makes up titles) is among them. */
  wire(session: string): Promise<string>;
  readonly ownSlot: string;
  /** What no round for these sessions may change, as text; OpenClaw's own statistics of its logins apart. */
  besides(...sessions: readonly string[]): object;
  /** Waits until OpenClaw itself has written what it had to. */
  settle(): Promise<void>;
}

/** alice in the slot, bob and a Team seat parked, a thread that its person pinned to carol's login, which is not stored. */
async function life(t: Test, release: Release): Promise<Life | null> {
  const host = await truthHost(t, release, true);
  if (host === null) return null;
  const { state, clock, issuer } = host;
  const limits = limitsOf(issuer, clock);
  // Access tokens end within the week, each on another day: who is in the slot is renewed by OpenClaw, who is parked by codex-router.
  issuer.behaviour.accessTtl = (4 * DAY) / 1000;
  const logins = { alice: host.mint('alice', 2), bob: host.mint('bob', 3), team: host.mint('bob-team', 4) };
  state.plant(logins.alice);
  await host.add(logins.alice, 'first');
  await host.add(logins.bob, 'second');
  await host.add(logins.team, 'third');
  await host.run(['use', 'first', '--session', MAIN]);
  const isAsked = state.traits.layout === 'sqlite-shared';
  if (!isAsked) state.pin(THREAD, state.neighbourId);
  await host.start();
  if (isAsked) await voicesOf(host, []).say(THREAD, `/model ${host.model}@${state.neighbourId}`);
  clock.leap(HOUR);
  return {
    ...{ host, limits },
    failover: async (line) => {
      const document = await host.run(['failover', ...line.split(' ')]);
      if (!document.ok) throw new Error(`failover ${line}: ${JSON.stringify(document.error)}`);
      return document;
    },
    inSlot: (profileId = state.traits.slot) => {
      const access = state.profiles()[profileId]?.access;
      if (typeof access !== 'string') return null;
      const profile = payloadOf(access)['https://api.openai.com/profile'] as { readonly email: string };
      return profile.email;
    },
    wire: async (session) => {
      for (let attempt = 1; ; attempt += 1) {
        const on = await host.turn(session);
        if (!on.includes(',') || attempt === 4) return on;
      }
    },
    pinOf: (session) => state.sessions()[session]?.authProfileOverride,
    ownSlot: `${state.traits.provider}:router-1`,
    settle: async () => {
      let before = '';
      let since = 0;
      await until('OpenClaw writes nothing more', () => {
        const now = JSON.stringify([state.sessionRows(), state.profiles()]);
        if (now !== before) since = Date.now();
        before = now;
        return Date.now() - since > QUIET;
      });
    },
    besides: (...sessions) => {
      const { order, lastGood } = state.selection();
      // A gateway that runs writes the rest of its entries at times of its own; byte for byte is for test/cli/failover-audit.ts.
      const others = Object.entries(state.sessions()).filter(([key]) => !sessions.includes(key));
      return {
        profiles: state.profiles(),
        selection: { order, lastGood },
        others: others.map(([key, entry]) => [
          key,
          entry.authProfileOverride,
          entry.authProfileOverrideSource,
        ]),
      };
    },
  };
}

for (const release of wanted.filter((one) => releasesToRun().includes(one))) {
  t.test(`${release}: failover for named sessions, through a week of limits`, async (t) => {
    const there = await life(t, release);
    if (there === null) return;
    const { host, limits, failover, inSlot, pinOf, wire, ownSlot, besides, settle } = there;
    const { state, clock, issuer } = host;
    const keptTo = async (what: string) => {
      t.equal(await wire(THREAD), carol.email, `${what}: the thread runs on the login that its person chose`);
    };

    await t.test('a switch that would move others is refused, and they are listed', async (t) => {
      limits.give(alice, { fiveHour: 100, week: 2000 });
      limits.give(bob, { fiveHour: 100, week: 2000 });
      limits.give(team, { fiveHour: 100, week: 2000, weekSpent: 1000 });
      limits.spend(alice, 91);
      await settle();
      const before = besides();
      const refused = await host.run(['failover', 'once', '--session', ROOM, '--apply']);
      t.match(refused, { ok: false, error: { code: 'FAILOVER_SCOPE' } });
      t.match(JSON.stringify(refused.error), MAIN);
      t.notMatch(JSON.stringify(refused.error), THREAD, 'who is pinned elsewhere would not move');
      t.strictSame(besides(), before, 'nothing was written');
      t.equal(await wire(ROOM), alice.email);
    });

    await t.test('one session moves to a slot of its own, and on from there, and back', async (t) => {
      clock.leap(10 * MINUTE);
      limits.give(alice, { fiveHour: 100, week: 2000 });
      limits.spend(alice, 91);
      await settle();
      const before = besides(ROOM) as JsonDocument;
      const planned = await failover(`once --session ${ROOM} --own-slot`);
      t.match(planned.slots, [{ status: 'switch_recommended', to: { alias: 'second' } }]);
      t.strictSame(besides(ROOM), before, 'a plan writes nothing');
      const done = await failover(`once --session ${ROOM} --own-slot --apply`);
      t.match(done.slots, [{ status: 'switched', reason: 'remaining_below_threshold' }]);
      t.equal(inSlot(ownSlot), bob.email);
      const after = besides(ROOM) as JsonDocument;
      delete after.profiles[ownSlot];
      t.strictSame(after, before, 'no other session, login or choice was written');
      limits.give(alice, { fiveHour: 100, week: 2000 });
      t.equal(await wire(ROOM), bob.email, 'the named one');
      t.equal(await wire(MAIN), alice.email, 'one that was not named');
      await keptTo('own slot');

      limits.spend(bob, 91);
      clock.leap(40 * MINUTE);
      const on = await failover(`once --session ${ROOM} --own-slot --apply`);
      t.match(on.slots, [{ status: 'switched', to: { alias: 'third' } }]);
      t.equal(await wire(ROOM), team.email);
      t.equal(await wire(MAIN), alice.email);

      await failover(`leave --session ${ROOM} --apply`);
      t.equal(pinOf(ROOM), state.traits.slot);
      t.equal(state.profiles()[ownSlot], undefined, 'the login is stored again, nothing of it stays behind');
      t.equal(await wire(ROOM), alice.email);
    });

    const demand = new Demand(limits, [alice, bob, team]);
    await t.test('no switch comes in the middle of a turn', async (t) => {
      clock.leap(DAY);
      limits.give(alice, { fiveHour: 100, week: 2000 });
      limits.give(bob, { fiveHour: 100, week: 2000 });
      issuer.model.take();
      const go = issuer.model.hold();
      const turn = host.turn(MAIN);
      await until('the model was called', () => issuer.model.calls.length > 0);
      limits.spend(alice, 91);
      // Long after its message came: only the turn itself still tells that somebody is at work.
      clock.leap(10 * MINUTE);
      const held = await failover(`once --session ${MAIN} --session ${ROOM} --shared-slot --apply`);
      t.match(held.slots, [{ held: 'busy', outcome: null }]);
      t.equal(inSlot(), alice.email);
      go();
      t.equal(await turn, alice.email, 'it ends on whom it began with');
      const early = await failover(`once --session ${MAIN} --session ${ROOM} --shared-slot --apply`);
      t.match(early.slots, [{ held: 'busy' }], 'nor right after it');
      clock.leap(3 * MINUTE);
      const done = await failover(`once --session ${MAIN} --session ${ROOM} --shared-slot --apply`);
      t.match(done.slots, [{ status: 'switched', to: { alias: 'second' } }]);
      demand.moved(alice, clock.now());
      t.strictSame([await wire(MAIN), await wire(ROOM)], [bob.email, bob.email]);
      await keptTo('shared slot');
    });

    await t.test('a week: as many switches as the limits demand', async (t) => {
      clock.leap(DAY);
      const named = `--session ${MAIN} --session ${ROOM} --shared-slot --apply`;
      limits.give(alice, { fiveHour: 100, week: 450, weekSpent: 250, weekEndsIn: 2 * DAY });
      limits.give(bob, { fiveHour: 100, week: 450, weekSpent: 100, weekEndsIn: 5 * DAY });
      limits.give(team, { fiveHour: 100, week: 450, weekEndsIn: 6 * DAY });
      // Nobody's answer is missing because a parked token has ended: that is what a job with `refresh --all` is for.
      await host.run(['refresh', '--all']);
      // The order decides where several are fit.
      await host.run(['config', 'set', 'failover.order', 'first', 'second', 'third']);
      const figures = {
        rounds: 0,
        switches: 0,
        turns: 0,
        demanded: 0,
        refreshes: issuer.of('refresh').length,
      };
      const currentOf = () => demand.people.find(({ email }) => email === inSlot()) as Person;
      const round = async () => {
        const now = clock.now();
        const current = currentOf();
        const isExpired = Number(state.slot()?.expires) <= now;
        const expected = isExpired ? null : demand.next(current, now);
        const [slot] = (await failover(`once ${named}`)).slots;
        figures.rounds += 1;
        // OpenClaw is still at work on what comes after a turn: nobody moves, whatever the limits say.
        if (slot.held === 'busy') {
          t.equal(slot.outcome, null);
          return slot;
        }
        if (expected !== null) figures.demanded += 1;
        t.equal(
          slot.status === 'switched' ? slot.to.alias : null,
          expected && (ALIASES.get(expected) ?? null),
          'as demanded',
          {
            slot,
          },
        );
        if (slot.status === 'switched') figures.switches += 1;
        if (expected !== null) demand.moved(current, now);
        return slot;
      };
      for (let day = 0; day < 7; day += 1) {
        for (const spell of SPELLS[day % SPELLS.length] ?? []) {
          const on = await wire(figures.turns % 3 === 2 ? ROOM : MAIN);
          figures.turns += 1;
          t.equal(on, currentOf().email, 'on the wire is who is in the slot');
          limits.spend(currentOf(), spell);
          clock.leap(10 * MINUTE);
          // Of a job that looks every five minutes, the rounds in which something can happen.
          for (let tries = 0; tries < 30; tries += 1) {
            const { held } = await round();
            if (held === null) break;
            if (held !== 'busy') clock.leap(5 * MINUTE);
          }
          clock.leap(3 * HOUR);
        }
        clock.leap(15 * HOUR);
        await host.run(['refresh', '--all']);
      }
      figures.refreshes = issuer.of('refresh').length - figures.refreshes;
      t.equal(figures.switches, figures.demanded);
      t.ok(figures.switches >= 3, 'the week was one worth the name');
      t.strictSame([pinOf(MAIN), pinOf(ROOM)], [state.traits.slot, state.traits.slot]);
      t.comment(JSON.stringify(figures));
      await keptTo('after the week');
    });

    await t.test('no grant was lost on the way, and none spent twice', async (t) => {
      t.strictSame(issuer.reuses(), []);
      t.strictSame(issuer.graceRetries(), []);
      t.ok(issuer.isLive(String(state.slot()?.refresh)), 'the newest token of who is in the slot lies there');
      const parked = (await host.run(['refresh', '--all'])).refreshed;
      t.strictSame(
        parked.map(({ result }: JsonDocument) => result).sort(),
        ['held', 'refreshed', 'refreshed'],
        'and of each other one here',
      );
      t.strictSame(leaksOf(host.box), []);
      await host.stop();
      t.strictSame(state.integrity(), []);
    });
  });
}

const ALIASES = new Map<Person, string>([
  [alice, 'first'],
  [bob, 'second'],
  [team, 'third'],
]);

/** Calls that a person makes in the three spells of work of a day. */
const SPELLS: readonly (readonly number[])[] = [
  [40, 55, 20],
  [92, 10, 30],
  [15, 80, 60],
  [60, 35, 90],
];
