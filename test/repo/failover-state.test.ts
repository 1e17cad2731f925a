import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { FailoverMemory } from '../../src/failover.js';
import { identityKey, parseAccountId, parseUserId } from '../../src/identity.js';
import { failoverFolder, failoverStateIn, type WatchStatus } from '../../src/repo/failover-state.js';

const NOON = Date.UTC(2026, 10, 22, 12);
const SLOT = '/home/somebody/.openclaw#main#openai:default';

const keyOf = (name: string) =>
  identityKey({ accountId: parseAccountId(`acc-${name}`), userId: parseUserId(`user-${name}`) });

const MEMORY: FailoverMemory = {
  current: keyOf('alice'),
  since: NOON,
  empty: 1,
  switches: [NOON - 1, NOON],
  identities: [
    { key: keyOf('alice'), failures: 2, goodReads: null, leftAt: null, seenAt: NOON },
    { key: keyOf('bob'), failures: 0, goodReads: 1, leftAt: NOON - 1, seenAt: NOON },
  ],
};
const NOTHING = { current: null, since: null, empty: 0, switches: [], identities: [] };
const WATCH: WatchStatus = {
  pid: 4711,
  startedAt: NOON,
  apply: true,
  intervalMs: 300_000,
  sessions: 2,
  lastRoundAt: NOON + 1,
  lastStatus: 'healthy',
  lastError: 'HOST_BUSY',
  stoppedAt: null,
};

function place(t: Test, text?: string) {
  const data = path.join(t.testdir(), 'data');
  const file = path.join(failoverFolder(data), 'state.json');
  if (text !== undefined) {
    mkdirSync(failoverFolder(data), { recursive: true });
    writeFileSync(file, text);
  }
  return { data, file, state: failoverStateIn(data) };
}

const valid = (more: object = {}) =>
  JSON.stringify({ version: 1, slots: { [SLOT]: MEMORY }, watch: WATCH, forgottenAt: null, ...more });

t.test('without a file nothing is remembered, and looking makes none', async (t) => {
  const { data, state } = place(t);
  const { memoryOf, watch, note } = await state.read(NOON);
  t.strictSame([memoryOf(SLOT), watch, note], [NOTHING, null, null]);
  t.notOk(existsSync(data));
});

t.test('what is kept is read again, 0600 in a folder of 0700, and what is not named stays', async (t) => {
  const { file, state } = place(t);
  t.ok(await state.keep({ memories: new Map([[SLOT, MEMORY]]) }, false, NOON));
  t.ok(await state.keep({ watch: WATCH }, false, NOON));
  t.ok(await state.keep({ memories: new Map([['other', { ...MEMORY, empty: 0 }]]) }, true, NOON));
  const { memoryOf, watch, note } = await state.read(NOON);
  t.strictSame(memoryOf(SLOT), MEMORY);
  t.strictSame(memoryOf('other'), { ...MEMORY, empty: 0 });
  t.strictSame(memoryOf('third'), NOTHING);
  t.strictSame([watch, note], [WATCH, null]);
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.equal(statSync(path.dirname(file)).mode & 0o777, 0o700);
  t.strictSame(readdirSync(path.dirname(file)), ['state.json'], 'no temporary file is left');
  await state.keep({ watch: null }, false, NOON);
  t.equal((await state.read(NOON)).watch, null);
});

const broken: { readonly [what: string]: string } = {
  empty: '',
  'cut off': valid().slice(0, -20),
  'no object': '[]',
  'without a version': '{"slots":{}}',
  'another shape': '{"version":1,"slots":[],"watch":null,"forgottenAt":null}',
  'a memory of another shape': valid({ slots: { [SLOT]: { ...MEMORY, since: 'noon' } } }),
  'somebody who is nobody': valid({ slots: { [SLOT]: { ...MEMORY, current: '<acc>/user' } } }),
  'a count below nothing': valid({ slots: { [SLOT]: { ...MEMORY, empty: -1 } } }),
  'a watch of another shape': valid({ watch: { ...WATCH, lastError: 'rt_CANARY' } }),
  'zeroes, as after a power cut': '\0'.repeat(400),
};

t.test(
  'a file that cannot be understood is told of, and every slot counts as switched just now',
  async (t) => {
    for (const [what, text] of Object.entries(broken)) {
      const { file, state } = place(t, text);
      const { memoryOf, watch, note } = await state.read(NOON);
      t.strictSame(memoryOf(SLOT), { ...NOTHING, since: NOON }, what);
      t.equal(watch, null);
      t.match(note, { code: 'FAILOVER_STATE_UNREADABLE', text: /could not be read.*switched just now/ });
      t.notMatch(note?.text, /CANARY/);
      t.equal(await state.keep({ memories: new Map([[SLOT, MEMORY]]), watch: WATCH }, false, NOON), false);
      t.equal(readFileSync(file, 'utf8'), text, 'and is not written over without --apply');
    }
  },
);

t.test('with --apply a damaged file is written anew, and the slots it told of stay careful', async (t) => {
  const { state } = place(t, 'damaged');
  t.ok(await state.keep({ memories: new Map([[SLOT, MEMORY]]) }, true, NOON));
  await state.keep({ watch: WATCH }, false, NOON + 5);
  const { memoryOf, watch, note } = await state.read(NOON + 10);
  t.strictSame(memoryOf(SLOT), MEMORY);
  t.strictSame(memoryOf('other'), { ...NOTHING, since: NOON });
  t.strictSame([watch, note], [WATCH, null]);
});

t.test('the file of a later release is refused, and left', async (t) => {
  const text = valid({ version: 2 });
  const { file, state } = place(t, text);
  await t.rejects(state.read(NOON), { code: 'VAULT_NEWER' });
  await t.rejects(state.keep({ watch: null }, true, NOON), { code: 'VAULT_NEWER' });
  t.equal(readFileSync(file, 'utf8'), text);
});

t.test('what cannot be read at all is an error, and not taken for nothing', async (t) => {
  const { file, state } = place(t);
  mkdirSync(file, { recursive: true });
  await t.rejects(state.read(NOON), { code: 'IO' });
  await t.rejects(state.keep({ watch: WATCH }, true, NOON), { code: 'IO' });
});

t.test('it remembers 50 slots, those written last', async (t) => {
  const { file, state } = place(t);
  for (let slot = 0; slot < 60; slot += 1)
    await state.keep({ memories: new Map([[`slot ${slot}`, MEMORY]]) }, false, NOON);
  await state.keep({ memories: new Map([['slot 10', MEMORY]]) }, false, NOON);
  await state.keep({ memories: new Map([['one more', MEMORY]]) }, false, NOON);
  const { memoryOf } = await state.read(NOON);
  t.strictSame(memoryOf('slot 10'), MEMORY);
  t.strictSame(memoryOf('slot 11'), NOTHING);
  t.strictSame(memoryOf('slot 12'), MEMORY);
  t.equal(Object.keys(JSON.parse(readFileSync(file, 'utf8')).slots).length, 50);
});

t.test('a slot called like a part of every object is a slot as others', async (t) => {
  const { state } = place(t);
  for (const name of ['constructor', 'toString', '1']) {
    await state.keep({ memories: new Map([[name, MEMORY]]) }, false, NOON);
    const { memoryOf, note } = await state.read(NOON);
    t.strictSame(memoryOf(name), MEMORY, name);
    t.equal(note, null);
  }
});
