import fc from 'fast-check';
import t from 'tap';
import { affectedBy, companionsOf, type PinRules } from '../../src/slot/companions.js';
import type { SessionEntry } from '../../src/slot/pins.js';
import { currentSession, findSession, isChat } from '../../src/slot/session.js';

const SLOT = 'openai-codex:default';
const RULES: PinRules = {
  slotProfileId: SLOT,
  provider: 'openai-codex',
  formerProvider: null,
  knownProfileIds: new Set([SLOT, 'openai-codex:other']),
};
const MAIN = 'agent:main:main';

function entry(key: string, more: Partial<SessionEntry> = {}): SessionEntry {
  return {
    key,
    updatedAt: 1,
    pinnedTo: null,
    pinSource: null,
    channel: null,
    from: null,
    to: null,
    accountId: null,
    spawnedBy: null,
    ...more,
  };
}

/** Keys that are never a current session, each more recent than any chat. */
const NEVER = [
  'agent:main:telegram:slash:1001',
  'agent:main:slash:7',
  'agent:main:subagent:9',
  'agent:main:main:subagent:9',
  'agent:main:cron:job1',
  'agent:main:cron:job1:run:8',
  'agent:main:main:heartbeat',
  'agent:main:acp:x',
  'agent:main:hook:mail',
  'hook:mail',
].map((key) => entry(key, { updatedAt: 99 }));

const CHATS = [
  MAIN,
  'agent:main:direct:1001',
  'agent:main:telegram:direct:1001',
  'agent:main:telegram:bot2:direct:1001',
  'agent:main:telegram:group:-100:topic:42',
  'agent:main:slack:channel:c1:thread:17.1',
  'agent:main:telegram:direct:cron',
  'agent:main:telegram:group:slash',
  'global',
].map((key) => entry(key));

t.test('the current session is the most recently active chat, and never another kind of entry', (t) => {
  for (const chat of CHATS) {
    const others = CHATS.filter((other) => other !== chat);
    const found = currentSession([...NEVER, ...others, { ...chat, updatedAt: 5 }], { kind: 'current' }, {});
    t.same(found, { key: chat.key, why: 'the most recently active chat' });
  }
  for (const other of NEVER) t.equal(isChat(other), false, other.key);
  const child = entry('agent:main:telegram:direct:2', { updatedAt: 9, spawnedBy: MAIN });
  t.equal(currentSession([entry(MAIN), child], { kind: 'current' }, {}).key, MAIN);
  t.same(currentSession(NEVER, { kind: 'current' }, {}), { key: null, why: 'the agent has no chat yet' });
  t.end();
});

t.test('the choice does not depend on the order of the store', (t) => {
  const times = fc.array(fc.integer({ min: 0, max: 3 }), {
    minLength: CHATS.length,
    maxLength: CHATS.length,
  });
  fc.assert(
    fc.property(
      times,
      fc.shuffledSubarray([...CHATS.keys()], { minLength: CHATS.length }),
      (at, shuffled) => {
        const entries = CHATS.map((chat, index) => ({ ...chat, updatedAt: at[index] ?? 0 }));
        const mixed = shuffled.flatMap((index) => entries[index] ?? []);
        const pick = (store: readonly SessionEntry[]) => currentSession(store, { kind: 'current' }, {}).key;
        return pick(mixed) === pick(entries);
      },
    ),
  );
  t.end();
});

t.test('inside a chat nothing is guessed: without a key there is no pin, and it is said', (t) => {
  for (const env of [{ OPENCLAW_SHELL: 'exec' }, { OPENCLAW_CHANNEL_CONTEXT: '{}' }]) {
    t.match(currentSession(CHATS, { kind: 'current' }, env), { key: null, why: /nothing is guessed/ });
    const told = { ...env, CODEX_ROUTER_SESSION_KEY: 'agent:main:telegram:direct:1001' };
    t.match(currentSession(CHATS, { kind: 'current' }, told), {
      key: 'agent:main:telegram:direct:1001',
      why: 'given by CODEX_ROUTER_SESSION_KEY',
    });
  }
  t.equal(
    currentSession(CHATS, { kind: 'current' }, { OPENCLAW_SHELL: '' }).why,
    'the most recently active chat',
  );
  t.end();
});

t.test('a chat without an entry, or a slash entry, is never made up from the environment', (t) => {
  const entries = [...CHATS, ...NEVER];
  const told = (key: string) =>
    currentSession(entries, { kind: 'current' }, { CODEX_ROUTER_SESSION_KEY: key });
  t.match(told('agent:main:telegram:direct:5'), { key: null, why: /has no entry/ });
  t.match(told('agent:work:main'), { key: null, why: /has no entry/ });
  t.match(told('agent:main:telegram:slash:1001'), { key: null, why: /slash entry/ });
  t.end();
});

t.test('--session takes a full key, a bare one, or names the nearest', (t) => {
  const given = (key: string) => currentSession(CHATS, { kind: 'key', key }, { OPENCLAW_SHELL: 'exec' }).key;
  t.equal(given(MAIN), MAIN);
  t.equal(given('main'), MAIN);
  t.equal(given(' Agent:Main:MAIN '), MAIN);
  t.equal(given('telegram:direct:1001'), 'agent:main:telegram:direct:1001');
  t.equal(findSession(CHATS, ''), null);
  t.equal(
    findSession([entry('agent:a:main'), entry('agent:b:main')], 'main'),
    null,
    'two agents: not guessed',
  );
  t.throws(() => given('telegram:direct:999'), {
    code: 'SESSION_NOT_FOUND',
    hint: /did you mean agent:main:telegram:direct:1001/,
  });
  t.throws(() => currentSession([entry('agent:main:\u001b[31mx')], { kind: 'key', key: 'x' }, {}), {
    code: 'SESSION_NOT_FOUND',
    hint: 'openclaw sessions lists them',
  });
  t.throws(() => currentSession([], { kind: 'key', key: MAIN }, {}), { code: 'SESSION_NOT_FOUND' });
  for (const kind of ['none', 'all'] as const) t.equal(currentSession(CHATS, { kind }, {}).key, null);
  t.end();
});

t.test(
  'a companion is the slash entry of the same agent, channel, sender and bot as the direct chat',
  (t) => {
    const slash = entry('agent:main:telegram:slash:1001', {
      channel: 'telegram',
      from: 'telegram:1001',
      accountId: 'default',
    });
    const others = [
      entry('agent:work:telegram:slash:1001', { channel: 'telegram', from: 'telegram:1001' }),
      entry('agent:main:discord:slash:1001', { channel: 'discord', from: 'discord:1001' }),
      entry('agent:main:telegram:slash:2002', { channel: 'telegram', from: 'telegram:2002' }),
      entry('agent:main:telegram:direct:2002', { channel: 'telegram' }),
      entry('agent:main:subagent:1', { spawnedBy: MAIN, pinnedTo: SLOT }),
      entry('agent:main:cron:1', { pinnedTo: SLOT }),
      entry('agent:main:main:heartbeat', { pinnedTo: SLOT }),
      entry('agent:main:acp:1', { pinnedTo: SLOT }),
    ];
    const direct = { channel: 'telegram', from: 'telegram:1001', to: 'telegram:1001', accountId: 'default' };
    const chats = [
      entry(MAIN, direct),
      entry('agent:main:direct:1001', direct),
      entry('agent:main:telegram:direct:1001', direct),
      entry('agent:main:telegram:dm:1001', direct),
      entry('agent:main:telegram:default:direct:1001', direct),
      entry('agent:main:telegram:direct:1001:thread:1001:5', direct),
    ];
    for (const chat of chats) {
      t.same(companionsOf(chat.key, [chat, slash, ...others], RULES), [slash.key], chat.key);
      t.same(companionsOf(chat.key, [chat, ...others], RULES), [], 'never created');
      t.same(companionsOf(chat.key, [chat, { ...slash, accountId: 'bot2' }], RULES), [], 'another bot');
      t.same(
        companionsOf(chat.key, [chat, { ...slash, from: 'telegram:group:-5' }], RULES),
        [],
        'used in a group',
      );
      t.same(
        companionsOf(chat.key, [chat, { ...slash, pinnedTo: 'personal:me' }], RULES),
        [],
        'pinned elsewhere',
      );
      t.same(companionsOf(chat.key, [chat, { ...slash, pinnedTo: SLOT }], RULES), [slash.key]);
    }
    const group = entry('agent:main:telegram:group:-5:topic:1', direct);
    t.same(companionsOf(group.key, [group, slash], RULES), [], 'a group has many senders');
    t.same(companionsOf(slash.key, [slash, ...chats], RULES), [], 'never derived from a slash entry');
    t.same(companionsOf('agent:main:nowhere', [slash, ...chats], RULES), []);
    t.end();
  },
);

t.test('a thread’s base is its companion only while it follows the slot or a profile that is gone', (t) => {
  const thread = entry('agent:main:slack:channel:c1:thread:17.1');
  const base = (pinnedTo: string | null) => entry('agent:main:slack:channel:c1', { pinnedTo });
  for (const pinnedTo of [SLOT, 'openai-codex:gone']) {
    t.same(companionsOf(thread.key, [thread, base(pinnedTo)], RULES), ['agent:main:slack:channel:c1']);
  }
  for (const pinnedTo of [null, 'openai-codex:other', 'anthropic:default', 'personal:me']) {
    t.same(companionsOf(thread.key, [thread, base(pinnedTo)], RULES), []);
  }
  t.same(
    companionsOf('agent:main:slack:channel:c1', [base(SLOT), thread], RULES),
    [],
    'not the other way round',
  );
  t.end();
});

t.test('says whose account a switch changes, and which pins it leaves', (t) => {
  const entries = [
    entry(MAIN),
    entry('agent:main:a', { pinnedTo: SLOT }),
    entry('agent:main:b', { pinnedTo: 'openai-codex:gone' }),
    entry('agent:main:subagent:1', { pinnedTo: SLOT, spawnedBy: MAIN }),
    entry('agent:main:c', { pinnedTo: 'openai-codex:other' }),
    entry('agent:main:d', { pinnedTo: 'anthropic:default' }),
    entry('agent:main:e', { pinnedTo: 'personal:me' }),
    entry('agent:main:telegram:slash:1'),
    entry('agent:main:cron:1'),
  ];
  t.same(affectedBy(entries, RULES), {
    sessions: [MAIN, 'agent:main:a', 'agent:main:b', 'agent:main:subagent:1'],
    left: ['agent:main:c', 'agent:main:d', 'agent:main:e'],
  });
  t.end();
});

t.test('a companion is always another existing entry that no pin to another login protects', (t) => {
  const key = fc.constantFrom(...[...CHATS, ...NEVER].map((known) => known.key));
  const pinnedTo = fc.constantFrom(
    null,
    SLOT,
    'openai-codex:gone',
    'openai-codex:other',
    'anthropic:x',
    'personal:y',
  );
  const from = fc.constantFrom(null, 'telegram:1001', 'telegram:group:-5');
  const some = fc
    .record({ key, pinnedTo, from })
    .map((fields) => entry(fields.key, { channel: 'telegram', ...fields }));
  const store = fc.uniqueArray(some, { selector: (made) => made.key, minLength: 1 });
  let found = 0;
  fc.assert(
    fc.property(store, fc.nat(), (entries, index) => {
      const chosen = entries[index % entries.length];
      if (chosen === undefined) return false;
      const { left } = affectedBy(entries, RULES);
      const companions = companionsOf(chosen.key, entries, RULES);
      found += companions.length;
      return companions.every(
        (companion) =>
          entries.some((known) => known.key === companion) &&
          companion !== chosen.key &&
          !left.includes(companion) &&
          !/cron|subagent|heartbeat|acp|hook/.test(companion),
      );
    }),
    { numRuns: 2000, seed: 1 },
  );
  t.ok(found > 20, 'the property was tried on companions');
  t.end();
});
