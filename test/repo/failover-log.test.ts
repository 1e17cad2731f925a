import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { identityKey, parseAccountId, parseUserId } from '../../src/identity.js';
import { type FailoverEvent, failoverLogIn } from '../../src/repo/failover-log.js';

const NOON = Date.UTC(2026, 10, 22, 12);
const KB = 1024;

const keyOf = (name: string) =>
  identityKey({ accountId: parseAccountId(`acc-${name}`), userId: parseUserId(`user-${name}`) });
const SLOT = '/home/somebody/.openclaw#main#openai:default';
const CHAT = 'agent:main:telegram:direct:4711000';

const EVENT: FailoverEvent = {
  at: NOON,
  kind: 'switched',
  apply: true,
  slot: SLOT,
  sessions: [CHAT, 'agent:main:main'],
  from: keyOf('alice'),
  to: keyOf('bob'),
  reason: 'remaining_below_threshold',
  status: 'switched',
  held: null,
  code: null,
};

function place(t: Test) {
  const folder = path.join(t.testdir(), 'data', 'failover');
  return {
    folder,
    file: path.join(folder, 'events.jsonl'),
    log: failoverLogIn(path.dirname(folder)),
  };
}

const timesOf = (events: readonly { readonly at: number }[]) => events.map(({ at }) => at - NOON);

t.test('what happened is read again, with a mask for who and where it was', async (t) => {
  const { log } = place(t);
  await log.append(EVENT);
  await log.append({
    ...EVENT,
    at: NOON + 1,
    kind: 'failed',
    slot: null,
    sessions: [],
    from: null,
    to: keyOf('alice'),
    reason: null,
    status: null,
    held: 'busy',
    code: 'HOST_BUSY',
  });
  const [first, second] = await log.last(10);
  t.match(first, {
    at: NOON,
    kind: 'switched',
    apply: true,
    reason: 'remaining_below_threshold',
    status: 'switched',
    held: null,
    code: null,
  });
  t.match(second, { kind: 'failed', slot: null, sessions: [], from: null, held: 'busy', code: 'HOST_BUSY' });
  for (const mask of [first?.slot, ...(first?.sessions ?? []), first?.from, first?.to])
    t.match(mask, /^[a-z2-7]{8}$/);
  t.equal(second?.to, first?.from, 'the same for the same');
  t.not(first?.from, first?.to);
  t.equal(new Set([first?.slot, first?.from, first?.to, ...(first?.sessions ?? [])]).size, 5);
});

t.test('a person who knows a name can have its mask, and nobody else’s log has the same', async (t) => {
  const { log, folder } = place(t);
  t.equal(await log.maskOf('session', CHAT), null, 'before the first event there is none');
  t.notOk(existsSync(folder), 'and asking makes none');
  await log.append(EVENT);
  const [event] = await log.last(1);
  t.equal(await log.maskOf('session', CHAT), event?.sessions[0]);
  t.equal(await log.maskOf('identity', keyOf('bob')), event?.to);
  t.equal(await log.maskOf('slot', SLOT), event?.slot);
  const other = failoverLogIn(path.join(t.testdir({}), 'other'));
  await other.append(EVENT);
  t.not(await other.maskOf('identity', keyOf('bob')), event?.to);
});

t.test('no file of the log holds a name, a key or anything else that an event carried along', async (t) => {
  const { log, folder } = place(t);
  const more = { ...EVENT, message: 'rt_CANARY said in a session', email: 'alice@example.test' };
  await log.append(more);
  for (const name of readdirSync(folder)) {
    const text = readFileSync(path.join(folder, name), 'utf8');
    for (const secret of [
      'CANARY',
      'alice',
      'bob',
      'acc-',
      'user-',
      'example',
      '4711',
      'telegram',
      'openclaw',
      'home',
    ])
      t.notMatch(text, secret, `${name} without ${secret}`);
  }
});

t.test('its files are 0600 from birth in a folder of 0700', async (t) => {
  const { log, folder } = place(t);
  const before = process.umask(0);
  t.teardown(() => process.umask(before));
  await log.append(EVENT);
  t.equal(statSync(folder).mode & 0o777, 0o700);
  for (const name of readdirSync(folder))
    t.equal(statSync(path.join(folder, name)).mode & 0o777, 0o600, name);
});

t.test('a file is full at 256 KB, the log at four of them, and the oldest events go', async (t) => {
  const { log, folder, file } = place(t);
  const sessions = Array.from({ length: 80 }, (_, place) => `agent:main:${place}`);
  const count = 1600;
  for (let at = 0; at < count; at += 1) await log.append({ ...EVENT, at: NOON + at, sessions });
  const names = readdirSync(folder).sort();
  t.strictSame(names, ['events.1.jsonl', 'events.2.jsonl', 'events.3.jsonl', 'events.jsonl', 'salt']);
  const sizes = names.slice(0, 4).map((name) => statSync(path.join(folder, name)).size);
  for (const size of sizes) t.ok(size <= 256 * KB && size > 0, String(size));
  for (const name of names) t.equal(statSync(path.join(folder, name)).mode & 0o777, 0o600);
  const all = await log.last(count);
  t.ok(all.length > 900 && all.length < count, `${all.length} are left`);
  t.strictSame(
    timesOf(all),
    Array.from({ length: all.length }, (_, place) => count - all.length + place),
    'the latest, in order, none twice',
  );
  t.equal(all[0]?.sessions.length, 50, 'a line stays short');
  t.strictSame(timesOf(await log.last(3)), [count - 3, count - 2, count - 1]);
  t.strictSame(await log.last(0), []);
  unlinkSync(file);
  unlinkSync(path.join(folder, 'events.2.jsonl'));
  t.ok((await log.last(count)).length > 0, 'a file that is gone is no error');
  await log.append({ ...EVENT, at: NOON - 1 });
  t.strictSame(timesOf(await log.last(1)), [-1]);
});

t.test('the last events are found across files', async (t) => {
  const { log, folder, file } = place(t);
  for (let at = 0; at < 4; at += 1) await log.append({ ...EVENT, at: NOON + at });
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  writeFileSync(path.join(folder, 'events.1.jsonl'), `${lines.slice(0, 2).join('\n')}\n`);
  writeFileSync(file, `${lines.slice(2).join('\n')}\n`);
  t.strictSame(timesOf(await log.last(3)), [1, 2, 3]);
  writeFileSync(path.join(folder, 'events.1.jsonl'), `${lines.slice(2).join('\n')}\n`);
  t.strictSame(timesOf(await log.last(9)), [2, 3], 'one that was rotated while it was read is read once');
});

t.test('a line that is torn, foreign or of a later release loses only itself', async (t) => {
  const { log, file } = place(t);
  await log.append(EVENT);
  const line = readFileSync(file, 'utf8');
  for (const foreign of [
    'no json',
    '[]',
    line.replace('"v":1', '"v":2').trim(),
    line.replace('"switched"', '"danced"').trim(),
    line.replace(/"from":"[a-z2-7]{8}"/, '"from":"rt_CANARY"').trim(),
    line.replace('"code":null', '"code":"toString"').trim(),
  ]) {
    t.not(foreign, line.trim());
    appendFileSync(file, `${foreign}\n`);
  }
  await log.append({ ...EVENT, at: NOON + 1 });
  t.strictSame(timesOf(await log.last(9)), [0, 1]);
  truncateSync(file, statSync(file).size - 30);
  t.strictSame(timesOf(await log.last(9)), [0], 'the torn last line is left out');
  await log.append({ ...EVENT, at: NOON + 2 });
  t.strictSame(timesOf(await log.last(9)), [0, 2], 'and does not swallow the next one');
});

t.test(
  'a salt that is damaged is made anew: older events stay, under masks nobody can ask for',
  async (t) => {
    const { log, folder } = place(t);
    await log.append(EVENT);
    for (const text of ['', 'short', '\0'.repeat(44)]) {
      writeFileSync(path.join(folder, 'salt'), text);
      t.equal(await log.maskOf('session', CHAT), null);
      await log.append(EVENT);
      const events = await log.last(2);
      t.not(events[0]?.to, events[1]?.to);
      t.equal(await log.maskOf('identity', keyOf('bob')), events[1]?.to);
    }
  },
);

t.test('a log that cannot be written is an error that names it', async (t) => {
  const { log, file } = place(t);
  mkdirSync(file, { recursive: true });
  await t.rejects(log.append(EVENT), { code: 'IO', message: /events\.jsonl/ });
  await t.rejects(log.last(1), { code: 'IO' });
});
