import t from 'tap';
import { type JsonDocument, leaksOf } from '../kit/router.js';
import { MAIN, type MakeBed, ROOM } from './failover-bed.js';

/** What the bed's logins are stored as. */
const ALIAS: Readonly<Record<string, string>> = { alice: 'first', bob: 'second', team: 'third' };

/** What every other command makes of an own slot that a failover has filled. */
export function ownSlotFeatures(layout: string, make: MakeBed): void {
  const bedOf = async (t: Parameters<MakeBed>[0]) => {
    const bed = await make(t);
    const filled = await bed.failover(`once --session ${ROOM} --own-slot --apply --json`);
    if (filled.code !== 0) throw new Error(filled.stdout + filled.stderr);
    const own = bed.stores.profiles()[bed.ownSlot];
    if (own === undefined) throw new Error('there is no own slot');
    const pinOf = (key: string) => bed.stores.sessions()[key]?.authProfileOverride ?? null;
    const ask = async (line: string): Promise<JsonDocument> =>
      (await bed.run([...line.split(' '), '--json'])).json;
    const onTheWire = (session: string) => ALIAS[bed.onTheWire(session) ?? ''] ?? '';
    return { bed, own, pinOf, ask, onTheWire, who: onTheWire(ROOM) };
  };

  t.test(`${layout}: who is in an own slot is shown, and is kept from everywhere else`, async (t) => {
    const { bed, own, ask, who } = await bedOf(t);
    const { slots } = await ask('status');
    t.match(
      slots.map(({ profileId }: JsonDocument) => profileId),
      [bed.slot, bed.ownSlot],
    );
    t.match((await ask('list')).notes, [
      { code: 'OWN_SLOT', text: new RegExp(`^${who} is in ${bed.ownSlot}`) },
    ]);
    for (const line of [`use ${who}`, `use ${who} --move`]) {
      const { error } = await ask(line);
      t.match(
        error,
        { code: 'IN_OWN_SLOT', hint: `codex-router failover leave --session ${ROOM} --apply` },
        line,
      );
    }
    t.match(await ask(`refresh ${who}`), { ok: false });
    t.match((await ask(`remove ${who} --yes`)).error, { code: 'IDENTITY_IN_USE', hint: /failover leave/ });
    t.match(await ask(`explain --session ${ROOM}`), { ok: true });
    const { findings } = await ask('doctor');
    const about = findings.filter(({ code }: JsonDocument) => /ORDER|PIN|GRANT/.test(code));
    t.strictSame(about, [], 'doctor has nothing against it');
    t.strictSame(bed.stores.profiles()[bed.ownSlot], own);
  });

  t.test(`${layout}: a switch of the slot leaves it and its session alone`, async (t) => {
    const { bed, own, ask, who, pinOf, onTheWire } = await bedOf(t);
    const third = ['second', 'third'].find((one) => one !== who) ?? '';
    t.match(await ask(`use ${third} --all-sessions`), { ok: true, result: 'switched' });
    t.strictSame([bed.stores.profiles()[bed.ownSlot], pinOf(ROOM)], [own, bed.ownSlot]);
    t.strictSame([onTheWire(MAIN), onTheWire(ROOM)], [third, who]);
    t.match(await ask('undo'), { ok: true });
    t.strictSame([bed.stores.profiles()[bed.ownSlot], pinOf(ROOM)], [own, bed.ownSlot]);
  });

  t.test(`${layout}: an import that takes native logins over does not take it`, async (t) => {
    const { bed, own, ask, pinOf } = await bedOf(t);
    t.match(await ask('import --from openclaw --take --yes'), { ok: true });
    t.strictSame([bed.stores.profiles()[bed.ownSlot], pinOf(ROOM)], [own, bed.ownSlot]);
    t.equal(bed.stores.profiles()[bed.neighbour], undefined, 'the native one is taken');
  });

  t.test(`${layout}: an identity that is removed from its own slot leaves nobody pinned to it`, async (t) => {
    const { bed, ask, who, pinOf, onTheWire } = await bedOf(t);
    t.match(await ask(`remove ${who} --from-slot --yes`), { ok: true });
    t.equal(bed.stores.profiles()[bed.ownSlot], undefined);
    t.equal(pinOf(ROOM), null);
    t.equal(onTheWire(ROOM), 'first');
  });

  t.test(`${layout}: a logout from its own slot asks for that, and leaves nobody pinned to it`, async (t) => {
    const { bed, ask, who, pinOf } = await bedOf(t);
    const { error } = await ask(`logout ${who} --yes`);
    t.match(error, { code: 'IDENTITY_IN_USE', hint: /failover leave/ });
    t.match(await ask(`logout ${who} --from-slot --yes`), { ok: true });
    t.equal(bed.stores.profiles()[bed.ownSlot], undefined);
    t.equal(pinOf(ROOM), null);
  });

  t.test(`${layout}: eject brings its session back first, and nothing is in OpenClaw twice`, async (t) => {
    const { bed, own, ask, pinOf } = await bedOf(t);
    const plan = await ask('eject --dry-run');
    t.ok(plan.notes.some(({ code }: JsonDocument) => code === 'OWN_SLOT_LEFT'));
    t.strictSame(bed.stores.profiles()[bed.ownSlot], own, 'a plan changes nothing');
    t.match(await ask('eject --yes'), { ok: true, result: 'ejected' });
    const profiles = bed.stores.profiles();
    t.equal(profiles[bed.ownSlot], undefined);
    t.equal(pinOf(ROOM), bed.slot);
    const tokens = Object.values(profiles).map(({ refresh }) => refresh);
    t.equal(tokens.filter((one) => one === own.refresh).length, 1, 'its login is a native one now');
    t.equal(new Set(tokens).size, tokens.length);
    t.strictSame(leaksOf(bed.box), []);
  });

  t.test(`${layout}: uninstall leaves no own slot behind`, async (t) => {
    const { bed, ask, pinOf } = await bedOf(t);
    t.match(await ask('uninstall --yes'), { ok: true, result: 'uninstalled' });
    t.equal(bed.stores.profiles()[bed.ownSlot], undefined);
    t.equal(pinOf(ROOM), bed.slot);
  });
}
