import fc from 'fast-check';
import t from 'tap';
import { RouterError } from '../../src/errors.js';
import { parseJsonObject } from '../../src/json.js';
import { parseSessionEntry } from '../../src/openclaw/session-entry.js';
import { chatSession, meantSession } from '../../src/router/chat-session.js';
import { chatsIn, parseChannelContext } from '../../src/slot/channel-context.js';
import type { Pins, SessionEntry } from '../../src/slot/pins.js';
import { agentMeant, currentSession } from '../../src/slot/session.js';

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

/** As the exec tool of 2026.6.11 to 9.6 writes it. */
const said = (sender: string | null, chat: string | null) =>
  JSON.stringify({ ...(sender && { sender: { id: sender } }), ...(chat && { chat: { id: chat } }) });

type Agents = { readonly [agent: string]: readonly SessionEntry[] | RouterError };

function hostOf(agents: Agents) {
  const pinsOf = (agent: string): Pins => ({
    agent,
    read: async () => {
      const entries = agents[agent] ?? [];
      if (entries instanceof RouterError) throw entries;
      return entries;
    },
    survey: () => Promise.reject(new Error('a survey reads only part of a large store')),
    set: () => Promise.reject(new Error('looking writes nothing')),
  });
  return { agents: Object.keys(agents), pinsOf };
}

/** The key that is meant, or why there is none. */
async function meant(agents: Agents, context: string, env: Record<string, string> = {}) {
  const all = { OPENCLAW_SHELL: 'exec', OPENCLAW_CHANNEL_CONTEXT: context, ...env };
  const wish = await meantSession(hostOf(agents), { kind: 'current' }, all);
  const agent = agentMeant(wish, all) ?? 'main';
  const entries = agents[agent] ?? [];
  return currentSession(entries instanceof RouterError ? [] : entries, wish, all);
}

const SLASH = entry('agent:main:telegram:slash:1001', { from: 'telegram:1001', to: 'slash:1001' });
const DIRECT = entry('agent:main:telegram:direct:1001', { from: 'telegram:1001', to: 'telegram:1001' });
const GROUP = entry('agent:main:telegram:group:-100', { from: 'telegram:group:-100', to: 'telegram:-100' });
const OTHERS = [
  SLASH,
  entry('agent:main:telegram:direct:10012', { from: 'telegram:10012', to: 'telegram:10012' }),
  entry('agent:main:telegram:group:-1001', { to: 'telegram:-1001' }),
  entry('agent:main:subagent:1001', { spawnedBy: DIRECT.key, to: 'telegram:1001' }),
  entry('agent:main:cron:1001', { to: 'telegram:1001' }),
  entry('agent:main:telegram:direct:1001:heartbeat', { to: 'telegram:1001' }),
];

t.test('exactly one session of the chat: that one, and it is said how it was found', async (t) => {
  const found = await meant({ main: [...OTHERS, DIRECT, GROUP] }, said('1001', '1001'));
  t.same(found, {
    key: DIRECT.key,
    why: 'the one session of the chat that OPENCLAW_CHANNEL_CONTEXT names',
  });
  t.equal((await meant({ main: [...OTHERS, DIRECT, GROUP] }, said('1001', '-100'))).key, GROUP.key);
  t.equal((await meant({ main: [...OTHERS, GROUP] }, said(null, '-100'))).key, GROUP.key, 'without a sender');
});

t.test('every spelling of a key that names the chat is found, in any case', async (t) => {
  for (const [key, chat] of [
    ['agent:main:direct:1001', '1001'],
    ['agent:main:telegram:dm:1001', '1001'],
    ['agent:main:telegram:bot2:direct:1001', '1001'],
    ['agent:main:telegram:direct:1001:thread:1001:5', '1001'],
    ['agent:main:telegram:group:-100:topic:42', '-100'],
    ['agent:main:slack:channel:c0ab', 'C0AB'],
    ['agent:main:feishu:group:oc_ab:sender:ou_1', 'oc_AB'],
    ['agent:main:matrix:channel:!room:example.test', '!Room:example.test'],
  ] as const) {
    t.equal((await meant({ main: [...OTHERS.slice(1), entry(key)] }, said('ou_1', chat))).key, key);
  }
});

t.test('an agent whose direct chats share one session: found by where its last message went', async (t) => {
  const main = (more: Partial<SessionEntry>) => [entry('agent:main:main', more), SLASH];
  const context = said('1001', '1001');
  t.equal((await meant({ main: main({ to: 'telegram:1001' }) }, context)).key, 'agent:main:main');
  t.equal((await meant({ main: main({ from: 'telegram:1001' }) }, context)).key, 'agent:main:main');
  t.equal((await meant({ main: main({ nativeChat: '1001' }) }, context)).key, 'agent:main:main');
  const another = await meant({ main: main({ to: 'telegram:2002' }) }, context);
  t.match(another, { key: null, why: /no session here.*nothing is guessed.*--session/ });
  const both = await meant({ main: [...main({ to: 'telegram:1001' }), DIRECT] }, context);
  t.match(both, { key: null, why: /^2 sessions can be the chat/ });
});

t.test('what can be several is none of them', async (t) => {
  const several: readonly (readonly SessionEntry[])[] = [
    [DIRECT, entry('agent:main:signal:direct:1001')],
    [entry('agent:main:telegram:group:-100:topic:1'), entry('agent:main:telegram:group:-100:topic:2')],
    [GROUP, entry('agent:main:telegram:group:-100:topic:1')],
    [entry('agent:main:telegram:bot1:direct:1001'), entry('agent:main:telegram:bot2:direct:1001')],
  ];
  for (const main of several) {
    for (const chat of ['1001', '-100']) {
      const found = await meant({ main }, said('1001', chat));
      t.equal(found.key, null, `${main.map(({ key }) => key)} for ${chat}`);
    }
  }
});

t.test('a sender alone, or somebody else of the group, names no chat', async (t) => {
  t.match(await meant({ main: [DIRECT] }, said('1001', null)), { key: null, why: /does not say which chat/ });
  t.equal((await meant({ main: [DIRECT] }, said('1001', '-100'))).key, null, 'a group without a session');
  const own = entry('agent:main:feishu:group:oc_1:sender:ou_2');
  t.equal((await meant({ main: [own] }, said('ou_1', 'oc_1'))).key, null);
  const topic = entry('agent:main:telegram:group:-5:topic:1001', { to: 'telegram:-5:topic:1001' });
  t.equal((await meant({ main: [topic] }, said('1001', '1001'))).key, null, 'the number of a topic');
});

t.test(
  "the chat of another agent is that agent's, and the same chat in two agents is nobody's",
  async (t) => {
    const work = entry('agent:work:telegram:direct:1001');
    const env = { OPENCLAW_CHANNEL_CONTEXT: said('1001', '1001') };
    const wish = await meantSession(
      hostOf({ main: OTHERS.slice(1), work: [work] }),
      { kind: 'current' },
      env,
    );
    t.match(wish, { kind: 'context', key: work.key });
    t.equal(agentMeant(wish, env), 'work');
    t.match(currentSession(OTHERS, wish, env), { key: null, why: /one of another agent/ }, '--agent main');
    t.match(await meant({ main: [DIRECT], work: [work] }, said('1001', '1001')), {
      key: null,
      why: /2 sessions/,
    });
    const broken = new RouterError('HOST_UNREADABLE', 'no');
    t.match(await meant({ main: [DIRECT], work: broken }, said('1001', '1001')), {
      key: null,
      why: /agent work cannot be read/,
    });
  },
);

t.test("a key that was told decides, and a person's --session before it", async (t) => {
  const main = [DIRECT, GROUP];
  const env = { CODEX_ROUTER_SESSION_KEY: GROUP.key };
  t.equal((await meant({ main }, said('1001', '1001'), env)).key, GROUP.key);
  t.equal((await meant({ main }, 'rubbish', env)).key, GROUP.key);
  const all = { ...env, OPENCLAW_CHANNEL_CONTEXT: said('1001', '1001') };
  const asked = { kind: 'key', key: DIRECT.key } as const;
  t.same(await meantSession(hostOf({ main }), asked, all), asked);
  t.equal(agentMeant({ kind: 'none' }, { CODEX_ROUTER_SESSION_KEY: 'agent:Work:main' }), 'work');
  t.equal(agentMeant({ kind: 'key', key: 'agent:home:main' }, all), 'home');
  t.equal(agentMeant({ kind: 'current' }, {}), null);
});

t.test('a chat request without a key is in no chat: the most recent one is never taken', async (t) => {
  const host = hostOf({ main: [DIRECT] });
  t.match(await chatSession(host, {}), { key: null, why: /nothing says which chat this is/ });
  t.match(await chatSession(host, { OPENCLAW_SHELL: 'exec' }), { key: null });
  t.match(await chatSession(host, { CODEX_ROUTER_SESSION_KEY: ' agent:main:x ' }), { key: 'agent:main:x' });
  t.match(await chatSession(host, { OPENCLAW_CHANNEL_CONTEXT: said('1001', '1001') }), { key: DIRECT.key });
  t.match(await chatSession(host, { OPENCLAW_CHANNEL_CONTEXT: said('9', '9') }), {
    key: null,
    why: /no session/,
  });
});

t.test('a hostile context is a value: it cannot be told which chat it is', async (t) => {
  const hostile = [
    'null',
    '[]',
    '"1001"',
    '1001',
    '{',
    '{"chat":{"id":"1001"}',
    '{}',
    '{"chat":null}',
    '{"chat":"1001"}',
    '{"chat":{"id":1001}}',
    '{"chat":{"id":["1001"]}}',
    '{"chat":{"id":""}}',
    '{"chat":{"id":"  "}}',
    '{"chat":{"id":"10\\u0000\\u001b[31m01"}}',
    '{"chat":{"id":"1001\\u202e"}}',
    '{"chat":[{"id":"1001"}]}',
    '{"sender":7,"chat":{"id":"1001"}}',
    '{"sender":{"id":{}},"chat":{"id":"1001"}}',
    '{"__proto__":{"chat":{"id":"1001"}}}',
    `{"chat":{"id":"${'1'.repeat(600)}"}}`,
    `{"chat":{"id":"1001","more":"${'x'.repeat(5000)}"}}`,
    '['.repeat(4000),
    '\ud800',
  ];
  for (const text of hostile) {
    t.equal(parseChannelContext(text), null, text.slice(0, 60));
    t.match(await meant({ main: [DIRECT] }, text), { key: null, why: /does not say which chat/ });
  }
  t.match(parseChannelContext('{"chat":{"id":" C1 ","name":"x"},"new":1}'), { chat: 'c1', sender: null });
});

t.test('no context finds a slash, sub-agent, cron or heartbeat entry, nor one that names another id', (t) => {
  const id = fc.stringMatching(/^[a-z0-9_!@.:-]{1,12}$/);
  const entries = fc.array(
    fc.record({ key: id.map((rest) => `agent:main:x:direct:${rest}`), to: id.map((rest) => `x:${rest}`) }),
  );
  fc.assert(
    fc.property(id, entries, (chat, raw) => {
      const found = chatsIn({ sender: null, chat }, [
        ...OTHERS,
        ...raw.map(({ key, to }) => entry(key, { to })),
      ]);
      return found.every(
        (one) =>
          !OTHERS.slice(3).includes(one) &&
          one !== SLASH &&
          (one.key.includes(chat) || one.to?.endsWith(chat)),
      );
    }),
  );
  t.end();
});

t.test('the route of a session is read from each layout of an entry', (t) => {
  const parsed = (text: string) => parseSessionEntry('agent:main:main', parseJsonObject(text) ?? {});
  const json = parsed(
    '{"lastTo":"telegram:1001","origin":{"from":"telegram:1001","nativeChannelId":"oc_1"}}',
  );
  t.match(json, { to: 'telegram:1001', from: 'telegram:1001', nativeChat: 'oc_1' });
  const sqlite = parsed(
    '{"delivery":{"origin":{"from":"telegram:7","nativeChannelId":"oc_7"},"context":{"to":"telegram:7"}}}',
  );
  t.match(sqlite, { to: 'telegram:7', from: 'telegram:7', nativeChat: 'oc_7' });
  for (const one of [json, sqlite]) {
    t.equal(chatsIn({ sender: null, chat: one === json ? 'oc_1' : '7' }, [one]).length, 1);
  }
  t.end();
});
