import { readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { identityKey, parseAccountId, parseUserId } from '../../src/identity.js';
import { type PastLook, usageHistoryIn } from '../../src/repo/usage-history.js';

const MINUTE = 60_000;
const DAY = 24 * 3_600_000;
const NOW = Date.UTC(2026, 10, 22, 12);

const keyOf = (name: string) =>
  identityKey({
    accountId: parseAccountId(`acc-${name}`),
    userId: parseUserId(`user-${name}`),
  });
const [alice, bob] = [keyOf('alice'), keyOf('bob')];
const stored = [alice, bob];

function look(at: number, ...left: number[]): PastLook {
  const windows = left.map((leftPercent, place) => ({
    name: null,
    seconds: [18_000, 604_800][place] ?? null,
    leftPercent,
    resetsAt: at + MINUTE,
  }));
  return { at, windows };
}

t.test('a look is kept when a whole percent has changed, else every half an hour', async (t) => {
  const history = usageHistoryIn(t.testdir());
  const add = (at: number, ...left: number[]) => history.add(new Map([[alice, look(at, ...left)]]), stored);
  await add(NOW, 62, 88);
  for (let minute = 1; minute < 30; minute += 1) await add(NOW + minute * MINUTE, 62.3, 88);
  await add(NOW + 30 * MINUTE, 62.3, 88);
  await add(NOW + 31 * MINUTE, 61, 88);
  await add(NOW + 32 * MINUTE, 61, 87);
  await add(NOW + 33 * MINUTE, 61);
  await add(NOW - DAY, 61);
  const looks = (await history.read())(alice);
  t.strictSame(
    looks.map(({ at, windows }) => [(at - NOW) / MINUTE, windows.map(({ leftPercent }) => leftPercent)]),
    [
      [-1440, [61]],
      [0, [62, 88]],
      [30, [62.3, 88]],
      [31, [61, 88]],
      [32, [61, 87]],
      [33, [61]],
    ],
    'also when a window comes or goes, and when the clock was set back',
  );
  t.match(looks[1]?.windows, [{ name: null, seconds: 18_000, resetsAt: NOW + MINUTE }, { seconds: 604_800 }]);
});

t.test('the file tells nobody’s name, is its owner’s alone, and a torn line loses only itself', async (t) => {
  const folder = path.join(t.testdir(), 'data');
  const history = usageHistoryIn(folder);
  t.strictSame((await history.read())(alice), [], 'none is none');
  await history.add(new Map([[alice, look(NOW, 62)]]), stored);
  const file = path.join(folder, 'usage-history.jsonl');
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.equal(statSync(folder).mode & 0o777, 0o700);
  const text = readFileSync(file, 'utf8');
  t.notMatch(text, /alice|@/);
  t.match(text, /^\{"v":1,"who":"[0-9a-f]{32}","at":\d+,"left":\[\[null,18000,62,\d+\]\]\}\n$/);
  writeFileSync(
    file,
    `${text}not json\n{"v":2,"who":"x"}\n[]\n{"v":1,"who":"a","at":"x","left":[]}\n${text.slice(0, 60)}`,
  );
  await history.add(new Map([[alice, look(NOW + MINUTE, 50)]]), stored);
  t.strictSame(
    (await history.read())(alice).map(({ at }) => at),
    [NOW, NOW + MINUTE],
  );
});

t.test(
  'of who is removed nothing is left, at once and also where somebody else had removed them',
  async (t) => {
    const folder = t.testdir();
    const history = usageHistoryIn(folder);
    const file = path.join(folder, 'usage-history.jsonl');
    const both = () => new Map([alice, bob].map((key) => [key, look(NOW, 62)]));
    await history.add(both(), stored);
    await history.forget(alice);
    const looks = await history.read();
    t.strictSame([looks(alice).length, looks(bob).length], [0, 1]);
    const [, ...more] = readFileSync(file, 'utf8').split('\n');
    t.strictSame(more, ['']);
    await history.add(both(), [alice]);
    t.strictSame([(await history.read())(alice).length, (await history.read())(bob).length], [1, 0]);
    await usageHistoryIn(path.join(folder, 'nowhere')).forget(alice);
    t.throws(() => statSync(path.join(folder, 'nowhere')), 'forgetting makes nothing');
  },
);

t.test(
  'it stays below its size: what is too old goes, then what says nothing new, then the oldest',
  async (t) => {
    const folder = t.testdir();
    const history = usageHistoryIn(folder);
    const file = path.join(folder, 'usage-history.jsonl');
    await history.add(new Map([[bob, look(NOW - 91 * DAY, 1)]]), stored);
    await history.add(new Map([[bob, look(NOW - DAY, 2)]]), stored);
    await history.add(new Map([[alice, look(NOW - DAY, 50)]]), stored);
    const [, bobs, line] = readFileSync(file, 'utf8').split('\n');
    // Alice was watched for very long, with nothing changing.
    writeFileSync(file, `${readFileSync(file, 'utf8')}${`${line}\n`.repeat(11_000)}`);
    const before = statSync(file).size;
    t.ok(before > 1024 * 1024);
    await history.add(new Map([[alice, look(NOW, 40)]]), stored);
    const looks = await history.read();
    t.strictSame(
      looks(bob).map(({ windows }) => windows[0]?.leftPercent),
      [2],
      'nothing that tells something gave way to it',
    );
    t.ok(looks(alice).length <= 3);
    t.equal(looks(alice).at(-1)?.at, NOW);
    const noisy = [...Array(12_000).keys()].map((place) => (line ?? '').replace(',50,', `,${place % 90},`));
    writeFileSync(file, `${bobs}\n${noisy.join('\n')}\n`);
    await history.add(new Map([[alice, look(NOW + MINUTE, 41)]]), stored);
    t.ok(statSync(file).size < 1024 * 1024);
    t.ok(statSync(file).size > 512 * 1024, 'and no more than need be');
    t.equal((await history.read())(alice).at(-1)?.at, NOW + MINUTE);
    t.equal((await history.read())(bob).length, 0, 'the oldest first');
  },
);
