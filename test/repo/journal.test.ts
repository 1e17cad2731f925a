import { appendFileSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseAccountId, parseUserId } from '../../src/identity.js';
import { journalIn, type Who } from '../../src/repo/journal.js';

const who = (name: string) => ({ accountId: parseAccountId(name), userId: parseUserId(`user-${name}`) });
const SLOT = '/state#main#openai-codex:default';
const intent = (from: Who | null, to: Who | null) => ({ slot: SLOT, from, to, pins: [], undoes: null });

t.test('a switch is remembered with how far it came, in a file only its owner reads', async (t) => {
  const folder = t.testdir();
  const journal = journalIn(folder);
  t.strictSame(await journal.read(), [], 'absent is empty');
  const first = await journal.begin(intent(null, who('alice')), 1);
  await journal.advance(first, 'swapped', 2);
  await journal.advance(first, 'done', 3);
  const second = await journal.begin(intent(who('alice'), who('bob')), 4);
  t.match(await journal.read(), [
    { id: first, slot: SLOT, from: null, to: who('alice'), step: 'done', at: 3 },
    { id: second, from: who('alice'), to: who('bob'), step: 'begun', at: 4 },
  ]);
  t.equal(statSync(join(folder, 'journal.jsonl')).mode & 0o777, 0o600);
});

t.test('a line torn by a crash is left out, and does not swallow the next one', async (t) => {
  const folder = t.testdir();
  const path = join(folder, 'journal.jsonl');
  const journal = journalIn(folder);
  const kept = await journal.begin(intent(null, who('alice')), 1);
  await journal.begin(intent(who('alice'), who('bob')), 2);
  truncateSync(path, statSync(path).size - 20);
  t.strictSame(
    (await journal.read()).map(({ id }) => id),
    [kept],
  );
  const next = await journal.begin(intent(who('alice'), who('carol')), 3);
  t.strictSame(
    (await journal.read()).map(({ id }) => id),
    [kept, next],
  );
});

t.test('lines of a later format, or of nobody, are left alone and left out', async (t) => {
  const folder = t.testdir();
  const path = join(folder, 'journal.jsonl');
  const journal = journalIn(folder);
  const id = await journal.begin(intent(null, who('alice')), 1);
  const foreign =
    '{"v":2,"id":"x","step":"begun"}\n[]\nnull\n7\n{"v":1}\n{"v":1,"id":"x","at":1,"step":"done","slot":7}\n';
  appendFileSync(path, foreign);
  t.strictSame(
    (await journal.read()).map((record) => record.id),
    [id],
  );
  t.ok(readFileSync(path, 'utf8').endsWith(foreign));
});

t.test('it is cut to the last 200 switches when it has grown large', async (t) => {
  const folder = t.testdir();
  const path = join(folder, 'journal.jsonl');
  const line = (index: number) =>
    `${JSON.stringify({ v: 1, id: `old${index}`, at: index, slot: SLOT, from: null, to: who('a'), step: 'done' })}\n`;
  writeFileSync(path, Array.from({ length: 3000 }, (_, index) => line(index)).join(''), { mode: 0o600 });
  const journal = journalIn(folder);
  const id = await journal.begin(intent(null, who('alice')), 9);
  const records = await journal.read();
  t.equal(records.length, 201);
  t.strictSame([records[0]?.id, records.at(-1)?.id], ['old2800', id]);
});

const pin = (key: string, was: string | null = null, agent = 'main') => ({ agent, key, was });
const chosen = (...keys: readonly string[]) => ({
  host: '/state',
  is: SLOT,
  pins: keys.map((key) => pin(key)),
});
const pinning = (...keys: readonly string[]) => ({
  ...intent(null, who('alice')),
  pins: keys.map((key) => pin(key)),
});

t.test(
  'from a choice of pins on no earlier record names its sessions, unless it was abandoned',
  async (t) => {
    const journal = journalIn(t.testdir());
    await journal.begin(pinning('a', 'b'), 1);
    const elsewhere = { ...pinning('a'), slot: '/other#main#openai-codex:default' };
    await journal.begin(elsewhere, 2);
    const first = await journal.choose(chosen('A ', 'c'), 3);
    await journal.begin(pinning('c', 'd'), 4);
    const abandoned = await journal.choose(chosen('d'), 5);
    await journal.advance(abandoned, 'abandoned', 6);
    await journal.advance(first, 'applied', 7);
    t.strictSame(
      (await journal.read()).map(({ pins }) => pins),
      [[pin('b')], [pin('a')], [pin('c'), pin('d')]],
      'of this host, of these sessions, and of what was before it',
    );
    t.match(await journal.choices(), [
      { id: first, step: 'applied', at: 7, is: SLOT, pins: [pin('A ')] },
      { id: abandoned, step: 'abandoned' },
    ]);
    t.equal((await journal.choices())[0]?.pins.length, 1, 'the later switch has set the other one');
    t.equal(await journal.damaged(), 0);
  },
);

t.test('a journal that is cut keeps what was chosen, and every choice that is not at its end', async (t) => {
  const folder = t.testdir();
  const journal = journalIn(folder);
  await journal.begin(pinning('a', 'b', 'c'), 1);
  await journal.advance(await journal.choose(chosen('a'), 2), 'done', 3);
  const open = await journal.choose(chosen('b'), 4);
  const line = `${JSON.stringify({ v: 1, id: 'x', at: 5, slot: SLOT, from: null, to: who('a'), step: 'done' })}\n`;
  appendFileSync(join(folder, 'journal.jsonl'), line.repeat(3000));
  await journal.begin(pinning('z'), 6);
  t.ok(statSync(join(folder, 'journal.jsonl')).size < 10_000);
  t.strictSame((await journal.read())[0]?.pins, [pin('c')]);
  t.match(await journal.choices(), [
    { step: 'done', pins: [pin('a')] },
    { id: open, step: 'begun', pins: [pin('b')] },
  ]);
  await journal.advance(open, 'done', 7);
  t.match((await journal.choices())[1], { id: open, step: 'done' });
});
