import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { routeOf } from '../../plugin/route.js';
import type { CommandContext } from '../../plugin/sender.js';

/** What real gateways gave to a handler, and the session that the same chat's next message ran in. */
interface Recording {
  readonly release: string;
  readonly contexts: readonly Recorded[];
  readonly turns: readonly Turn[];
}
interface Recorded {
  /** `menu`: the channel's own list of commands; `slash`: the same on the way that 2026.3 took for other commands. */
  readonly way: 'menu' | 'text' | 'button' | 'slash' | 'webchat';
  readonly kind: string | null;
  readonly requiresScope: boolean;
  /** The bot has topics in direct chats. */
  readonly topics?: boolean;
  readonly context: CommandContext;
}
interface Turn {
  readonly config: object;
  readonly account: string;
  readonly kind: string;
  readonly topics?: boolean;
  readonly keys: readonly string[];
}

const RELEASES = ['2026.3.28', '2026.5.7', '2026.7.35', '2026.9.6'].map((release): Recording => {
  return JSON.parse(readFileSync(new URL(`./fixtures/ctx-${release}.json`, import.meta.url), 'utf8'));
});
const [OLDEST] = RELEASES as [Recording];
const LATER = RELEASES.slice(1);
const free = () => null;

function telegram(recording: Recording, account: string, kind: string): readonly Recorded[] {
  return recording.contexts.filter(
    ({ kind: its, context }) => its === kind && context.accountId === account && context.senderId === '1001',
  );
}

t.test('2026.3.28: the session that is derived is the one the next message of the chat runs in', (t) => {
  let compared = 0;
  for (const { config, account, kind, keys } of OLDEST.turns) {
    for (const { way, context } of telegram(OLDEST, account, kind)) {
      const { session, sessionWhy } = routeOf({ ...context, config }, free);
      const name = `${way}, ${kind}, ${account}, ${JSON.stringify(config)}`;
      if ('bindings' in config) {
        t.match({ session, sessionWhy }, { session: null, sessionWhy: /binds chats to agents/ }, name);
        continue;
      }
      t.equal(keys.length, 1, name);
      t.equal(session, keys[0], name);
      compared += 1;
    }
  }
  t.ok(compared > 60, `${compared} were compared`);
  t.end();
});

t.test('2026.3.28: nothing is named where openclaw.json or the host could send the chat elsewhere', (t) => {
  const direct = telegram(OLDEST, 'default', 'direct')[0]?.context ?? {};
  const topic = telegram(OLDEST, 'default', 'topic')[0]?.context ?? {};
  const second = telegram(OLDEST, 'alt', 'direct')[0]?.context ?? {};
  const links = { identityLinks: { alice: ['telegram:1001'] } };
  const doubtful: readonly [CommandContext, unknown, RegExp][] = [
    [direct, { bindings: [{ agentId: 'work', match: { channel: 'discord' } }] }, /binds chats/],
    [direct, { bindings: 'x' }, /binds chats/],
    [direct, { session: { dmScope: 'per-peer', ...links } }, /identityLinks/],
    [second, { session: links }, /identityLinks/],
    [direct, { session: { dmScope: 'per-person' } }, /dmScope/],
    [direct, { session: { dmScope: null } }, /dmScope/],
    [
      topic,
      { channels: { telegram: { groups: { '-100200': { topics: { 77: { agentId: 'x' } } } } } } },
      /topics/,
    ],
    [direct, { agents: { list: [{ id: 'Main Agent' }] } }, /cannot be told apart/],
    [direct, { agents: { list: 'main' } }, /cannot be told apart/],
    [direct, undefined, /cannot be read/],
    [direct, null, /cannot be read/],
  ];
  for (const [context, config, why] of doubtful) {
    const route = routeOf({ ...context, config }, free);
    t.match(route, { session: null, sessionWhy: why }, JSON.stringify(config));
  }
  t.equal(routeOf({ ...direct, config: { session: links } }, free).session, 'agent:main:main');
  t.equal(routeOf({ ...direct, config: { bindings: [] } }, free).session, 'agent:main:main');
  const group = telegram(OLDEST, 'alt', 'group')[0]?.context ?? {};
  t.match(routeOf({ ...group, config: {} }, free), { session: null, sessionWhy: /second bot account/ });
  t.end();
});

t.test('2026.3.28: a chat that is bound elsewhere, or could be, is not given a session', (t) => {
  const asked: unknown[] = [];
  const bound = (conversation: unknown) => {
    asked.push(conversation);
    return 'agent:main:acp:1';
  };
  const at = (kind: string) => ({ ...telegram(OLDEST, 'default', kind)[0]?.context, config: {} });
  for (const kind of ['direct', 'direct topic', 'topic', 'general topic']) {
    t.match(routeOf(at(kind), bound), { session: null, sessionWhy: /bound to another session/ }, kind);
    t.match(routeOf(at(kind), null), { session: null, sessionWhy: /does not say whether/ }, kind);
    const broken = () => {
      throw new Error('no such export');
    };
    t.match(routeOf(at(kind), broken), { session: null, sessionWhy: /does not say whether/ }, kind);
  }
  t.equal(routeOf(at('group'), null).session, 'agent:main:telegram:group:-100100', 'a group is never bound');
  t.same(
    asked,
    ['1001', '1001:topic:42', '-100200:topic:77', '-100200:topic:1'].map((conversationId) => ({
      channel: 'telegram',
      accountId: 'default',
      conversationId,
    })),
  );
  t.end();
});

t.test('2026.3.28: of other channels no session is guessed', (t) => {
  const { context = {} } = OLDEST.contexts.find(({ way }) => way === 'webchat') ?? {};
  t.match(routeOf({ ...context, config: {} }, free), { session: null, sessionWhy: /only Telegram/ });
  const discord = { channel: 'discord', senderId: '1', from: 'discord:1', to: 'slash:1', config: {} };
  t.match(routeOf(discord, free), { session: null, sessionWhy: /only Telegram/ });
  t.end();
});

t.test('a release that gives the session key is taken at its word', (t) => {
  let taken = 0;
  for (const { release, contexts } of LATER) {
    for (const { way, kind, context } of contexts) {
      const name = `${release} ${way} ${kind} ${context.sessionKey}`;
      const isEarly = release === '2026.5.7' && way === 'menu' && /direct|business/.test(String(kind));
      if (isEarly || String(context.sessionKey).includes(':slash:')) continue;
      t.equal(routeOf({ ...context, config: {} }, null).session, context.sessionKey, name);
      taken += 1;
    }
  }
  t.ok(taken > 60, `${taken} were compared`);
  t.end();
});

t.test('what a command is given is the session that the next message runs in', (t) => {
  let compared = 0;
  for (const recording of LATER) {
    for (const { account, kind, topics, keys } of recording.turns) {
      const found = telegram(recording, account, kind).filter(
        (one) => !kind.includes('topic') || kind.startsWith('topic') || one.topics === topics,
      );
      for (const { way, context } of found) {
        // Of these the recorder named the target itself.
        if (way === 'slash') continue;
        const { session } = routeOf({ ...context, config: {} }, null);
        const name = `${recording.release} ${way} ${account} ${kind}`;
        if (session !== null) t.ok(keys.includes(session), `${name}: ${session} of ${keys.join()}`);
        compared += 1;
      }
    }
  }
  t.ok(compared > 10, `${compared} were compared`);
  t.end();
});

t.test('2026.5.7: the key that its menu of commands gives for a direct chat is mended or refused', (t) => {
  const [early] = LATER as [Recording];
  const at = (account: string, kind: string) => {
    const found = telegram(early, account, kind).find(({ way }) => way === 'menu')?.context;
    t.equal(found?.sessionKey, 'agent:main:main', 'as it was recorded');
    return { ...found, config: {} };
  };
  t.equal(routeOf(at('default', 'direct'), null).session, 'agent:main:main');
  t.equal(routeOf(at('alt', 'direct'), null).session, 'agent:main:telegram:alt:direct:1001');
  t.match(routeOf(at('default', 'direct topic'), null), { session: null, sessionWhy: /which topic/ });
  const bound = { ...at('alt', 'direct'), sessionKey: 'agent:main:subagent:1' };
  t.equal(routeOf(bound, null).session, 'agent:main:subagent:1', 'the host looked a binding up');
  const doubtful = { ...at('alt', 'direct'), config: { bindings: [{ agentId: 'x' }] } };
  t.equal(routeOf(doubtful, null).session, null);
  t.end();
});

t.test('the entry of a slash command never is the current session', (t) => {
  for (const { release, contexts } of LATER) {
    for (const { context } of contexts.filter((one) => String(one.context.sessionKey).includes(':slash:'))) {
      t.match(
        routeOf({ ...context, config: {} }, null),
        { session: null, sessionWhy: /slash command/ },
        release,
      );
      t.equal(
        routeOf({ ...context, config: {} }, free).session,
        'agent:main:main',
        'its direct chat is known',
      );
      const inGroup = { ...context, from: 'telegram:group:-100100', config: {} };
      t.equal(routeOf(inGroup, free).session, null, 'in a group it serves every chat');
      const otherAgent = { ...context, sessionKey: 'agent:work:telegram:slash:1001', config: {} };
      t.equal(routeOf(otherAgent, free).session, null);
    }
  }
  t.equal(
    routeOf({ channel: 'slack', sessionKey: 'agent:main:slack:slash:U1', config: {} }, free).session,
    null,
  );
  t.end();
});

t.test('a chat is direct only where one person alone reads along', (t) => {
  for (const { release, contexts } of RELEASES) {
    for (const { way, kind, context } of contexts) {
      const { isDirect, session } = routeOf({ ...context, config: {} }, free);
      const expected =
        way === 'webchat' ? session === 'agent:main:main' : kind === 'direct' || kind === 'direct topic';
      t.equal(isDirect, expected, `${release} ${way} ${kind} ${session}`);
    }
  }
  const direct = LATER[2]?.contexts.find(({ kind }) => kind === 'direct')?.context ?? {};
  t.equal(routeOf(direct, null).isDirect, true);
  const others: CommandContext[] = [
    { ...direct, from: undefined },
    { ...direct, from: 'telegram:1002' },
    { ...direct, to: 'telegram:-100100' },
    { ...direct, to: 'telegram:group:1001' },
    { ...direct, from: 'telegram:-1001', to: 'telegram:-1001', senderId: '-1001' },
    { ...direct, senderId: undefined },
    { ...direct, sessionKey: 'agent:main:telegram:group:-100100' },
    { ...direct, accountId: 'a b' },
    { ...direct, messageThreadId: {} },
    { ...direct, channel: 'discord' },
  ];
  for (const context of others) t.equal(routeOf(context, free).isDirect, false, JSON.stringify(context));
  t.end();
});

t.test('of another channel only its own word for one sender makes a chat direct', (t) => {
  const at = (sessionKey: string, more: CommandContext = {}) =>
    routeOf(
      { channel: 'discord', senderId: 'U1', sessionKey, from: 'discord:U1', agentId: 'main', ...more },
      null,
    );
  t.equal(at('agent:main:discord:direct:u1').isDirect, true);
  t.equal(at('agent:main:discord:default:direct:u1').isDirect, true);
  t.equal(at('agent:main:direct:u1').isDirect, true);
  t.equal(at('agent:main:main').isDirect, false, 'groups can be folded into it');
  t.equal(at('agent:main:discord:direct:u2').isDirect, false);
  t.equal(at('agent:main:slack:direct:u1').isDirect, false);
  t.equal(at('agent:main:discord:work:direct:u1').isDirect, false);
  t.equal(at('agent:main:discord:channel:9').isDirect, false);
  t.equal(at('agent:main:discord:direct:u1', { to: 'channel:9' }).isDirect, false);
  t.equal(at('agent:main:direct:alice').isDirect, false, 'a name of identityLinks');
  t.end();
});

t.test('sender and chat are written so that no two are alike', (t) => {
  const direct = LATER[2]?.contexts.find(({ kind }) => kind === 'direct')?.context ?? {};
  const topic = LATER[2]?.contexts.find(({ kind }) => kind === 'topic')?.context ?? {};
  t.match(routeOf(direct, null), { sender: 'telegram:default:1001', chat: 'telegram:default:1001' });
  t.match(routeOf(topic, null), { sender: 'telegram:default:1001', chat: 'telegram:default:-100200:77' });
  const at = (from: string, messageThreadId?: string) =>
    routeOf({ channel: 'slack', senderId: '1', from, messageThreadId }, null).chat;
  t.not(at('slack:c1:7'), at('slack:c1', '7'), 'a thread is not a part of a name');
  t.not(at('slack:c1%3A7'), at('slack:c1:7'));
  const part = fc.stringMatching(/^[a-z0-9:%]{1,6}$/);
  const place = fc.record({ from: part, messageThreadId: fc.option(fc.stringMatching(/^[a-z0-9]{1,3}$/)) });
  fc.assert(
    fc.property(place, place, (one, other) => {
      const chatOf = (more: CommandContext) =>
        routeOf({ channel: 'discord', senderId: '1', accountId: 'a', ...more }, null).chat;
      const isSame = one.from === other.from && one.messageThreadId === other.messageThreadId;
      return chatOf(one) === null || chatOf(other) === null || (chatOf(one) === chatOf(other)) === isSame;
    }),
    { numRuns: 2_000 },
  );
  t.end();
});

t.test('a context that contradicts itself names no chat and no session', (t) => {
  const at = (kind: string) => telegram(OLDEST, 'default', kind)[0]?.context ?? {};
  const contradicting: readonly CommandContext[] = [
    { ...at('topic'), messageThreadId: 78 },
    { ...at('topic'), messageThreadId: undefined },
    { ...at('topic'), to: 'telegram:-100200:topic:78' },
    { ...at('group'), messageThreadId: 9 },
    { ...at('group'), to: 'telegram:1001' },
    { ...at('group'), from: 'telegram:group:1001' },
    { ...at('direct'), from: 'telegram:1001:topic:42', messageThreadId: 42 },
    { ...at('direct'), to: 'slash:1002' },
  ];
  for (const context of contradicting) {
    const route = routeOf({ ...context, config: {} }, free);
    t.match(route, { session: null, chat: null, isDirect: false }, JSON.stringify(context));
  }
  t.end();
});

t.test('a key that is not one is not handed on', (t) => {
  const direct = LATER[2]?.contexts.find(({ kind }) => kind === 'direct')?.context ?? {};
  for (const sessionKey of [
    'agent:main:main\n',
    'agent:main:\u202emain',
    'a b',
    'x'.repeat(600),
    7,
    {},
    ['agent:main:main'],
  ]) {
    t.match(routeOf({ ...direct, sessionKey }, free), { session: null, sessionWhy: /cannot be read/ });
  }
  t.end();
});

t.test('law: the text of the message changes nothing', (t) => {
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 0, max: 999 }), (text, index) => {
      const all = RELEASES.flatMap(({ contexts }) => contexts);
      const context = { ...all[index % all.length]?.context, config: {} };
      const said = { ...context, args: text, commandBody: text, body: text };
      return JSON.stringify(routeOf(said, free)) === JSON.stringify(routeOf(context, free));
    }),
  );
  t.end();
});

t.test('law: whatever a context holds, there is a route: a session or why there is none', (t) => {
  const value = fc.oneof(
    fc.anything(),
    fc.string(),
    fc.constantFrom(
      'telegram',
      'telegram:1001',
      'telegram:group:-1:topic:2',
      'slash:1001',
      '1001',
      'agent:main:main',
    ),
  );
  const fields = [
    'senderId',
    'channel',
    'channelId',
    'sessionKey',
    'from',
    'to',
    'accountId',
    'messageThreadId',
    'config',
  ];
  const context = fc.record(Object.fromEntries(fields.map((name) => [name, value])), { requiredKeys: [] });
  fc.assert(
    fc.property(context, (any) => {
      const { session, sessionWhy, sender } = routeOf(any, free);
      return (
        (session === null) !== (sessionWhy === null) && (sender === null || /^[\x21-\x7e]+$/.test(sender))
      );
    }),
    { numRuns: 3_000 },
  );
  t.end();
});
