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
