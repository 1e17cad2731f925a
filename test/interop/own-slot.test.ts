import t from 'tap';
import { isOwnSlot } from '../../src/slot/own-slot.js';
import { ownSlot } from '../kit/own-slot.js';
import { everyReleaseAsked, type Release, releasesToRun, traitsOf } from '../kit/releases.js';
import { type JsonDocument, leaksOf } from '../kit/router.js';
import { people } from '../kit/tokens.js';
import { truthHost } from '../kit/truth-host.js';

const MAIN = 'agent:main:main';
const ROOM = 'agent:main:discord:channel:555';
const { alice, bob } = people;

/** One release of each layout that is kept in files or databases of its own kind; where time is short, one of files and one of databases. */
const wanted: readonly Release[] = everyReleaseAsked
  ? ['2026.5.7', '2026.7.35', '2026.9.6']
  : ['2026.5.7', '2026.9.6'];

for (const release of releasesToRun().filter((one) => wanted.includes(one))) {
  t.test(`OpenClaw ${release}: two slots, two accounts`, { timeout: 600_000 }, async (t) => {
    const host = await truthHost(t, release);
    if (host === null) return;
    const { state, box, node } = host;
    const own = `${traitsOf(release).provider}:router-1`;
    state.plant(host.mint('alice', 12));
    await host.add(host.mint('bob', 9), 'bob');
    // Who is in the slot comes home with the first switch, and is chosen with the second.
    for (const who of ['bob', alice.email]) await host.run(['use', who, '--no-session']);
    await host.start();
    const turns = async () => ({ main: await host.turn(MAIN), room: await host.turn(ROOM) });
    t.strictSame(await turns(), { main: alice.email, room: alice.email }, 'before, all on the slot');
    const others = () =>
      JSON.stringify(Object.entries(state.profiles('main')).filter(([id]) => !isOwnSlot(id)));
    const pinOf = (key: string) => state.sessions('main')[key]?.authProfileOverride ?? null;
    const before = { others: others(), order: state.selection('main').order, main: pinOf(MAIN) };

    const answer = await ownSlot(box, { op: 'use', selector: 'bob', sessions: [ROOM] }, node);
    t.match(answer, { ok: true, result: 'switched', n: 1 });
    // A busy machine's gateway may need longer for its proof than a command waits.
    let { reload } = answer;
    for (let again = 0; again < 3 && !reload.proved; again += 1) {
      ({ reload } = await ownSlot(box, { op: 'use', selector: 'bob', sessions: [ROOM] }, node));
    }
    t.equal(reload.proved, true, 'the gateway itself reports the login of the own slot');
    const isOld = release !== '2026.9.6';
    t.equal(
      answer.notes.some(({ code }: JsonDocument) => code === 'OWN_SLOT_FALLBACK'),
      isOld,
    );
    t.strictSame(
      { others: others(), order: state.selection('main').order, main: pinOf(MAIN) },
      before,
      'the other entries, the order and the session that was not named are as they were, byte for byte',
    );
    t.strictSame([pinOf(ROOM), state.profiles('main')[own]?.type], [own, 'oauth']);
    t.strictSame(await turns(), { main: alice.email, room: bob.email }, 'each on its own account');

    let renewed: unknown;
    await t.test('what OpenClaw renews in the own slot comes home', async (t) => {
      const held = state.profiles('main')[own];
      state.put(own, { ...held, expires: Date.now() - 60_000 });
      await host.tell();
      t.equal(await host.turn(ROOM), bob.email);
      renewed = state.profiles('main')[own]?.refresh;
      t.not(renewed, held?.refresh, 'it was renewed');
      const { slots } = await host.run(['sync']);
      t.match(
        slots.find(({ profileId }: JsonDocument) => profileId === own),
        { occupant: { email: bob.email } },
      );
      t.match(await host.run(['refresh', 'bob']), { ok: false }, 'it is OpenClaw that renews it');
    });

    await t.test("it is nobody else's", async (t) => {
      t.match(await host.run(['use', 'bob']), { ok: false, error: { code: 'IN_OWN_SLOT' } });
      const { slots } = await host.run(['status']);
      t.match(
        slots.map(({ profileId, occupant }: JsonDocument) => [profileId, occupant?.email]),
        [
          [traitsOf(release).slot, alice.email],
          [own, bob.email],
        ],
      );
      const { findings } = await host.run(['doctor']);
      const wrong = findings.filter(({ code }: JsonDocument) => /ORDER|PIN|GRANT/.test(code));
      t.strictSame(wrong, [], 'doctor finds nothing wrong with it');
      t.match(await host.run(['explain', '--session', ROOM]), { first: null });
    });

    const left = await ownSlot(box, { op: 'leave', sessions: [ROOM] }, node);
    t.match(left, { ok: true, result: 'left', slots: [{ n: 1, isEmptied: true }] });
    t.equal(state.profiles('main')[own], undefined);
    t.strictSame(await turns(), { main: alice.email, room: alice.email }, 'after, all on the slot again');
    t.equal(state.profiles('main')[own], undefined, 'no turn brings it back');
    t.match(await host.run(['use', 'bob']), { ok: true });
    t.equal(state.slot()?.refresh, renewed, 'no token was lost on the way');
    t.strictSame(leaksOf(box), []);
    await host.stop();
  });
}
