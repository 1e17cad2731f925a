import {
  existsSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  renameSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { until } from '../kit/process.js';
import { PROJECT, type RouterOptions } from '../kit/router.js';
import { profileOf, readJson, SLOT, writeJson } from '../kit/state.js';
import { codexAuthJson, DAY, makeLogin, people } from '../kit/tokens.js';
import { faulted, makeRig, type Rig, said } from './rig.js';

/** A machine whose clock can be set. */
interface ClockRig extends Rig {
  /** The clock is wrong by so many ms from now on, in what runs already too. */
  set(shift: number): void;
  /** As `run`, and what it wrote bears the times of that clock. */
  run: Rig['run'];
}

const JUMPS = [
  { shift: DAY, where: 'ahead' },
  { shift: -DAY, where: 'behind' },
] as const;

async function clockRig(t: Test): Promise<ClockRig> {
  const rig = await makeRig(t);
  const file = path.join(rig.box.root, 'clock');
  let shift = 0;
  const set = (ms: number) => {
    shift = ms;
    // At one stroke, for a program that reads it just now.
    writeFileSync(`${file}.new`, String(ms));
    renameSync(`${file}.new`, file);
  };
  set(0);
  rig.env.CLOCK_SHIFT = file;
  rig.env.NODE_OPTIONS = `--import=${path.join(PROJECT, 'test/crash/clock-shift.mjs')}`;
  const run = async (args: readonly string[], options?: RouterOptions) => {
    const before = times(rig);
    const outcome = faulted(await rig.run(args, options));
    for (const [name, at] of times(rig)) {
      // The locks bear the program's own times already.
      if (before.get(name) === at || isLock(name)) continue;
      const seconds = (at + shift) / 1000;
      lutimesSync(name, seconds, seconds);
    }
    return outcome;
  };
  const ok = async (args: readonly string[], options?: RouterOptions) => {
    const outcome = await run(args, options);
    if (outcome.code !== 0) throw new Error(`${args.join(' ')}: ${said(outcome)}`);
    return outcome;
  };
  return { ...rig, set, run, ok };
}

function isLock(name: string): boolean {
  return /\/router\.lock$|\/locks\/[^/]+$/.test(name);
}

function times({ box }: Rig): ReadonlyMap<string, number> {
  const names = [box.routerHome, box.stateDir]
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => [
      folder,
      ...readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => path.join(folder, name)),
    ]);
  return new Map(names.map((name) => [name, lstatSync(name).mtimeMs]));
}

for (const { shift, where } of JUMPS) {
  t.test(`switches, refreshes and check-ins on a clock that jumps a day ${where} and back`, async (t) => {
    const rig = await clockRig(t);
    await rig.add('alice', people.alice);
    await rig.add('bob', people.bob);
    await rig.add('carol', people.carol);
    const steps: readonly (readonly string[])[] = [
      ['use', 'alice'],
      ['use', 'bob'],
      ['refresh', '--all'],
      ['use', 'alice'],
      ['sync'],
      ['refresh', '--due'],
      ['undo'],
      ['use', '-'],
      ['vault', 'status', '--check'],
    ];
    for (const [place, args] of steps.entries()) {
      rig.set(place % 2 === 0 ? 0 : shift);
      const run = await rig.run([...args, '--json']);
      t.equal(run.code, 0, `${args.join(' ')}: ${said(run)}`);
      if (rig.inSlot() !== undefined) await rig.hostRefreshes();
    }
    rig.set(shift);
    t.same(await rig.lost(['alice', 'bob']), [], 'all is there on the wrong clock');
    rig.set(0);
    t.same(await rig.lost(['alice', 'bob', 'carol']), [], 'and on the right one');
    t.same(rig.issuer.reuses(), []);
  });

  t.test(`a clock that jumps a day ${where} in the middle of a refresh`, async (t) => {
    const rig = await clockRig(t);
    const alice = await rig.add('alice', people.alice);
    await rig.add('bob', people.bob);
    rig.issuer.behaviour.refreshFaults = [{ kind: 'delay', ms: 3000 }];
    const running = rig.run(['refresh', 'alice', '--json']);
    await until('it was sent', () => rig.issuer.of('refresh').length === 1);
    rig.set(shift);
    // The next one starts on the new clock, to which the lock of the first looks a day old, or made tomorrow.
    const second = rig.run(['use', 'alice', '--json']);
    t.equal((await running).code, 0, said(await running));
    t.equal((await second).code, 0, said(await second));
    t.equal(rig.issuer.presentations(alice.refresh), 1, 'nobody sent that token a second time');
    t.ok(rig.issuer.isLive(rig.inSlot() ?? ''), 'the slot has what the refresh brought');
    rig.set(0);
    t.same(await rig.lost(['alice', 'bob']), []);
  });

  t.test(`a refresh killed right before the clock jumps a day ${where}`, async (t) => {
    const rig = await clockRig(t);
    await rig.add('alice', people.alice);
    rig.issuer.behaviour.graceMs = 10 * 60_000;
    rig.issuer.behaviour.refreshFaults = [{ kind: 'delay', ms: 60_000 }];
    const killed = await rig.run(['refresh', 'alice', '--json'], {
      onStart: (kill) => {
        until('it was sent', () => rig.issuer.of('refresh').length === 1).then(() => kill('SIGKILL'));
      },
    });
    t.equal(killed.signal, 'SIGKILL');
    rig.set(shift);
    const next = await rig.run(['refresh', '--due', '--json']);
    t.match(next, { code: 0, json: { refreshed: [{ result: 'refreshed' }] } }, said(next));
    t.same(await rig.lost(['alice']), []);
    t.equal(rig.issuer.graceRetries().length, 1, 'the same token was asked about once more');
  });

  t.test(`a dead holder's locks whose times lie a day ${where} stop nobody for long`, async (t) => {
    const rig = await clockRig(t);
    await rig.add('alice', people.alice);
    const [record = ''] = readdirSync(path.join(rig.box.routerHome, 'records'));
    const locks = [
      path.join(rig.box.routerHome, 'router.lock'),
      path.join(rig.box.routerHome, 'locks', record),
    ];
    for (const lock of locks) {
      mkdirSync(lock, { recursive: true });
      const at = new Date(Date.now() + shift);
      utimesSync(lock, at, at);
    }
    const use = await rig.run(['use', 'alice', '--json']);
    t.equal(use.code, 0, said(use));
    t.notOk(locks.some((lock) => existsSync(lock)));
  });

  t.test(`which copy wins is never told by a clock a day ${where}`, async (t) => {
    const rig = await clockRig(t);
    const alice = await rig.add('alice', people.alice);
    await rig.add('bob', people.bob);
    await rig.ok(['use', 'alice']);
    // OpenClaw rotates the grant, and the issuer's clock is wrong: what is newer says that it is older, or of tomorrow.
    await rig.hostRefreshes();
    const odd = makeLogin({ ...people.alice, issuedAt: alice.issued + shift });
    rig.issuer.adopt(odd);
    const { profiles } = rig.state.paths();
    const store = readJson(profiles) as { profiles: object };
    writeJson(profiles, {
      ...store,
      profiles: { ...store.profiles, [SLOT]: profileOf(odd, rig.state.release) },
    });
    rig.set(-shift);
    t.match((await rig.ok(['use', 'bob', '--json'])).json.checkedIn, [{ result: 'taken-home' }]);
    rig.set(shift);
    await rig.ok(['use', 'alice']);
    t.equal(rig.inSlot(), odd.refresh, 'what the host had rotated last');
    t.same(await rig.lost(['alice', 'bob']), []);
  });

  t.test(`a crash between record and index is noticed on a clock a day ${where}`, async (t) => {
    const rig = await clockRig(t);
    await rig.add('alice', people.alice, { issuedAt: Date.now() - 2 * DAY });
    const index = path.join(rig.box.routerHome, 'index.json');
    // The index was written on the wrong clock, the record behind it on the right one, or the other way round.
    rig.set(shift);
    await rig.ok(['alias', people.alice.accountId, 'al']);
    const before = readJson(index);
    const at = lstatSync(index).mtime;
    rig.set(0);
    const renewed = await rig.add('al', people.alice);
    writeJson(index, before);
    utimesSync(index, at, at);
    const use = await rig.run(['use', 'al', '--json']);
    t.match(
      use,
      { code: 0, json: { checkedIn: { length: 0 } } },
      `the record was taken as it is: ${said(use)}`,
    );
    t.equal(rig.inSlot(), renewed.refresh);
    t.match((await rig.ok(['use', 'al', '--json'])).json, { result: 'already-active' });
    t.same(await rig.lost(['al']), []);
  });

  t.test(`back-ups made a day ${where} push no other out`, async (t) => {
    const rig = await clockRig(t);
    const ages = [20, 10, 5, 3];
    await rig.add('alice', people.alice, { issuedAt: Date.now() - 29 * DAY });
    for (const age of ages) {
      rig.set(-age * DAY);
      const login = rig.issuer.mint(people.alice, { issuedAt: Date.now() - age * DAY });
      await rig.ok(['import', '--from', '-'], { input: codexAuthJson(login) });
    }
    rig.set(shift);
    const tomorrow = rig.issuer.mint(people.alice, { issuedAt: Date.now() - DAY });
    await rig.ok(['import', '--from', '-'], { input: codexAuthJson(tomorrow) });
    rig.set(0);
    const now = rig.issuer.mint(people.alice);
    await rig.ok(['import', '--from', '-'], { input: codexAuthJson(now) });
    const { backUps } = (await rig.ok(['restore', '--json'])).json;
    t.equal(backUps.length, ages.length + 2, JSON.stringify(backUps));
    t.ok(backUps.every(({ trouble }: { trouble: string | null }) => trouble === null));
  });
}

t.test(
  'what is due is told by the clock, and a wrong one asks a day early or late, never twice',
  async (t) => {
    const rig = await clockRig(t);
    await rig.add('soon', people.alice, { expiresAt: Date.now() + 36 * 3_600_000 });
    rig.set(-DAY);
    t.match((await rig.ok(['refresh', '--due', '--json'])).json, {
      refreshed: [],
      notDue: [{ alias: 'soon' }],
    });
    rig.set(DAY);
    t.match((await rig.ok(['refresh', '--due', '--json'])).json.refreshed, [{ result: 'refreshed' }]);
    rig.set(0);
    t.match((await rig.ok(['refresh', '--due', '--json'])).json, {
      refreshed: [],
      notDue: [{ alias: 'soon' }],
    });
    t.equal(rig.issuer.of('refresh').length, 1);
    t.same(await rig.lost(['soon']), []);
  },
);
