import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import {
  commandScopesOf,
  type PluginConfig,
  parsePluginConfig,
  silentReply,
  verdictOf,
} from '../../plugin/permission.js';
import { routeOf } from '../../plugin/route.js';
import type { CommandContext } from '../../plugin/sender.js';

const USE = '/codex_profile use work';
const LOOK = '/codex_profile';
const LOGIN = '/codex_auth new';
const DELETE = '/codex_usage delete old';
const KEY = 'plugins.entries.codex-router.config.allowSenders';

const DIRECT: CommandContext = {
  senderId: '1001',
  channel: 'telegram',
  isAuthorizedSender: true,
  agentId: 'main',
  sessionKey: 'agent:main:main',
  from: 'telegram:1001',
  to: 'telegram:1001',
  accountId: 'default',
  config: { commands: { ownerAllowFrom: ['telegram:1001'] } },
};
const GROUP: CommandContext = {
  ...DIRECT,
  sessionKey: 'agent:main:telegram:group:-100200:topic:77',
  from: 'telegram:group:-100200:topic:77',
  to: 'telegram:-100200',
  messageThreadId: 77,
};
const BROWSER: CommandContext = {
  senderId: 'openclaw-control-ui',
  channel: 'webchat',
  isAuthorizedSender: true,
  gatewayClientScopes: ['operator.admin'],
  agentId: 'main',
  sessionKey: 'agent:main:main',
  config: {},
};

function verdict(context: CommandContext, config: Partial<PluginConfig> = {}, text = USE) {
  return verdictOf(text, context, routeOf(context, null), { ...parsePluginConfig({}), ...config });
}

const named = (...allowSenders: string[]): Partial<PluginConfig> => ({ allowSenders });

t.test('an unauthorised sender gets nothing, whatever the config allows', (t) => {
  for (const isAuthorizedSender of [false, undefined, null, 'true', 1]) {
    for (const allowSenders of [[], ['*'], ['telegram:1001'], ['owner']]) {
      const context = { ...DIRECT, isAuthorizedSender, senderIsOwner: true };
      t.equal(verdict(context, { allowSenders }, LOOK).kind, 'silent');
    }
  }
  t.equal(verdict({ ...BROWSER, isAuthorizedSender: false }).kind, 'silent');
  t.end();
});

t.test('an empty allow-list is the owner alone', (t) => {
  t.equal(verdict({ ...DIRECT, senderIsOwner: true }).kind, 'allowed');
  t.equal(verdict({ ...DIRECT, senderIsOwner: false }).kind, 'silent');
  t.equal(verdict(BROWSER).kind, 'allowed');
  t.equal(verdict({ ...BROWSER, gatewayClientScopes: ['operator.read', 'operator.write'] }).kind, 'silent');
  t.equal(verdict({ ...DIRECT, senderIsOwner: true }, named('owner')).kind, 'allowed');
  t.end();
});

t.test('no word about the owner is a refusal that says what to write into the config', (t) => {
  const unknown: CommandContext[] = [
    DIRECT,
    { ...DIRECT, senderIsOwner: 'yes' },
    { ...DIRECT, senderIsOwner: 1 },
    // A scope that a channel's message carries is not the gateway's word.
    { ...DIRECT, gatewayClientScopes: ['operator.admin'] },
    { ...BROWSER, gatewayClientScopes: undefined },
    { ...BROWSER, gatewayClientScopes: 'operator.admin' },
  ];
  for (const context of unknown) {
    const answer = verdict(context);
    t.match(answer, { kind: 'refused', text: KEY }, JSON.stringify(context));
  }
  t.match(verdict(DIRECT), { text: /Add "telegram:1001" to plugins/ });
  t.match(verdict({ ...DIRECT, senderId: '@a:example.org', channel: 'matrix' }), {
    text: /Add "matrix:default:@a:example.org" to/,
  });
  t.end();
});

t.test('where no owner is named for the channel, whom the channel lets in is not taken for one', (t) => {
  const senderIsOwner = true;
  for (const ownerAllowFrom of [undefined, [], ['discord:1'], '', 'telegram:1001']) {
    const config = { commands: { ownerAllowFrom } };
    t.match(
      verdict({ ...DIRECT, senderIsOwner, config }),
      { kind: 'refused', text: KEY },
      String(ownerAllowFrom),
    );
  }
  t.match(verdict({ ...DIRECT, senderIsOwner, config: {} }), { kind: 'refused', text: KEY });
  t.equal(
    verdict({ ...DIRECT, senderIsOwner, config: { commands: { ownerAllowFrom: ['1001'] } } }).kind,
    'allowed',
  );
  t.end();
});

t.test('where everybody is an owner, nobody is', (t) => {
  for (const ownerAllowFrom of [['*'], ['telegram:*'], ['telegram:1001', ' * ']]) {
    const config = { commands: { ownerAllowFrom } };
    t.match(verdict({ ...DIRECT, senderIsOwner: true, config }), { kind: 'refused', text: KEY });
  }
  const config = { commands: { ownerAllowFrom: ['telegram:1001'] } };
  t.equal(verdict({ ...DIRECT, senderIsOwner: true, config }).kind, 'allowed');
  t.end();
});

t.test('a listed sender may ask; one who is not gets nothing; the owner is told what is missing', (t) => {
  t.equal(verdict(DIRECT, named('telegram:1001')).kind, 'allowed');
  t.equal(verdict(DIRECT, named('telegram:default:1001')).kind, 'allowed');
  t.equal(verdict(DIRECT, named('telegram:1002')).kind, 'silent');
  t.equal(verdict(DIRECT, named('owner', 'telegram:1002')).kind, 'silent');
  t.match(verdict(BROWSER, named('telegram:1001')), { kind: 'refused', text: /Add "owner"/ });
  t.equal(verdict(BROWSER, named('telegram:1001', 'owner')).kind, 'allowed');
  t.end();
});

t.test('an id counts in its own channel, and an account in its own account', (t) => {
  const list = named('telegram:1001');
  t.equal(verdict({ ...DIRECT, channel: 'discord' }, list).kind, 'silent');
  t.equal(verdict({ ...DIRECT, channel: 'Telegram' }, list).kind, 'silent');
  t.equal(verdict({ ...DIRECT, channel: undefined }, list).kind, 'silent');
  t.equal(verdict({ ...DIRECT, accountId: 'work' }, list).kind, 'allowed');
  t.equal(verdict({ ...DIRECT, accountId: 'work' }, named('telegram:default:1001')).kind, 'silent');
  t.equal(verdict({ ...DIRECT, accountId: 'work' }, named('telegram:work:1001')).kind, 'allowed');
  // `uuid` is an account in the entry and a part of the id in the sender.
  const ambiguous = { ...DIRECT, channel: 'signal', senderId: 'uuid:1001' };
  t.equal(verdict(ambiguous, named('signal:uuid:1001')).kind, 'silent');
  t.equal(verdict(ambiguous, named('signal:default:uuid:1001')).kind, 'allowed');
  t.end();
});

t.test('what only looks like a listed sender is another one', (t) => {
  const others = [
    '1001 ',
    ' 1001',
    '1001\n',
    '1001\u0000',
    '1001\u200b',
    '\u202e1001',
    '\uff11\uff10\uff10\uff11',
    '\u0661\u0660\u0660\u0661',
    '0001001',
    '1OO1',
    '',
  ];
  for (const senderId of others) {
    t.equal(
      verdict({ ...DIRECT, senderId }, named('telegram:1001')).kind,
      'silent',
      JSON.stringify(senderId),
    );
  }
  for (const senderId of [1001, ['1001'], { toString: () => '1001' }, null]) {
    t.equal(verdict({ ...DIRECT, senderId }, named('telegram:1001')).kind, 'silent');
  }
  t.equal(
    verdict({ ...DIRECT, channel: 't\u0435legram' }, named('telegram:1001')).kind,
    'silent',
    'a Cyrillic e',
  );
  t.end();
});

t.test('a channel that is not listed gets nothing', (t) => {
  const owner = { ...DIRECT, senderIsOwner: true };
  t.equal(verdict(owner, { allowChannels: ['webchat'] }).kind, 'silent');
  t.equal(verdict(owner, { allowChannels: ['telegram'] }).kind, 'allowed');
  t.equal(verdict(owner, { allowChannels: ['telegram:work'] }).kind, 'silent');
  t.equal(verdict({ ...owner, accountId: 'work' }, { allowChannels: ['telegram:work'] }).kind, 'allowed');
  t.equal(verdict({ ...owner, channel: ' telegram' }).kind, 'silent');
  t.end();
});

t.test('a login is only begun where one person alone reads along', (t) => {
  const list = named('telegram:1001');
  for (const text of [LOGIN, '/codex_auth', '/codex_auth finish http://x', 'codex_auth_keep_ab12cd34']) {
    t.equal(verdict(DIRECT, list, text).kind, 'allowed', text);
    t.match(verdict(GROUP, list, text), { kind: 'refused', text: /direct chat/ }, text);
  }
  t.equal(
    verdict({ ...DIRECT, from: 'telegram:777001', to: 'telegram:777001' }, list, LOGIN).kind,
    'refused',
  );
  t.equal(verdict({ ...DIRECT, from: undefined }, list, LOGIN).kind, 'refused', 'not known is a group');
  t.end();
});

t.test('a group may be for looking only, or for nothing', (t) => {
  const list = named('telegram:1001');
  t.equal(verdict(GROUP, list, USE).kind, 'allowed');
  t.equal(verdict(GROUP, { ...list, groups: 'look' }, USE).kind, 'refused');
  t.equal(verdict(GROUP, { ...list, groups: 'look' }, DELETE).kind, 'refused');
  t.equal(verdict(GROUP, { ...list, groups: 'look' }, LOOK).kind, 'allowed');
  t.equal(verdict(GROUP, { ...list, groups: 'nothing' }, LOOK).kind, 'silent');
  t.equal(verdict(DIRECT, { ...list, groups: 'nothing' }, USE).kind, 'allowed');
  t.end();
});

t.test('the star lets anybody look and switch in a direct chat, and never log in or delete', (t) => {
  const star = named('*');
  t.equal(verdict(DIRECT, star, USE).kind, 'allowed');
  t.equal(verdict(GROUP, star, LOOK).kind, 'allowed');
  t.equal(verdict(GROUP, star, USE).kind, 'refused');
  for (const context of [DIRECT, GROUP]) {
    for (const text of [LOGIN, DELETE]) t.match(verdict(context, star, text), { kind: 'refused', text: KEY });
  }
  t.equal(verdict(DIRECT, named('*', 'telegram:1001'), LOGIN).kind, 'allowed', 'unless they are named too');
  t.end();
});

t.test('what a text asks for is never taken for less than it is', (t) => {
  const look = { ...named('telegram:1001'), groups: 'look' } as const;
  const looking = [
    '/codex_profile',
    'codex_profile',
    '/codex_profile@my_bot',
    '/CODEX_PROFILE explain',
    '/codex-usage',
  ];
  looking.push(
    'codex_profile_show',
    'codex_profile_explain',
    '/codex_usage all',
    '/codex_usage work',
    '/codex_usage 2',
  );
  looking.push('codex_usage_show_abcdefgh', '/codex_usage deleted-account');
  for (const text of looking) t.equal(verdict(GROUP, look, text).kind, 'allowed', text);
  const doing = ['/codex_profile use work', '/codex_profile 2', '/codex_profile undo', '/codex_profile yes'];
  doing.push('codex_profile_use_abcdefgh', '/codex_profile\u00a0use work', '/codex_profile explain work');
  doing.push(
    '/codex_usage delete work',
    '/codex_usage DELETE',
    '/codex_usage\tdelete work',
    '/codex_usage  delete x',
  );
  doing.push(
    'codex_usage_delete_abcdefgh',
    'codex_usage_hard_abcdefgh',
    'codex_usage_yes_abcdefgh',
    '/codex_usage yes',
  );
  doing.push(
    '/codex_usage\ndelete x',
    'codex_usage_:delete_abcdefgh',
    '',
    'hello',
    '/codex_auth',
    '/codex_authx',
  );
  for (const text of doing) t.equal(verdict(GROUP, look, text).kind, 'refused', JSON.stringify(text));
  for (const text of ['codex_usage_delete_abcdefgh', '/codex_usage yes', '/codex_usage hard x']) {
    t.equal(verdict(DIRECT, named('*'), text).kind, 'refused', text);
  }
  t.end();
});

t.test('e-mails are shown in a group only if the config says so, and never to anybody', (t) => {
  t.match(verdict(DIRECT, named('telegram:1001'), LOOK), { isDirect: true });
  t.match(verdict(DIRECT, named('*'), LOOK), { isDirect: false });
  t.match(verdict(GROUP, named('telegram:1001'), LOOK), { isDirect: false });
  t.match(verdict(GROUP, named('telegram:1001'), LOOK), { showsEmails: false });
  t.match(verdict(GROUP, { ...named('telegram:1001'), showEmailsInGroups: true }, LOOK), {
    showsEmails: true,
  });
  t.match(verdict(GROUP, { ...named('*'), showEmailsInGroups: true }, LOOK), { showsEmails: false });
  t.end();
});

t.test('the release is asked for the owner exactly where nobody else is allowed', (t) => {
  const scopes = (allowSenders: string[]) => commandScopesOf(parsePluginConfig({ allowSenders }));
  t.same(scopes([]), { requiredScopes: ['operator.admin'] });
  t.same(scopes(['owner']), { requiredScopes: ['operator.admin'] });
  t.same(scopes(['owner', 'telegram:1001']), {});
  t.same(scopes(['*']), {});
  t.end();
});

t.test('of what real gateways hand over, an empty allow-list lets only the owner through', (t) => {
  const seen = new Map<string, number>();
  for (const release of ['2026.3.28', '2026.5.7', '2026.7.35', '2026.9.6']) {
    const file = new URL(`./fixtures/ctx-${release}.json`, import.meta.url);
    for (const { context } of JSON.parse(readFileSync(file, 'utf8')).contexts) {
      const scopes: readonly string[] | undefined = context.gatewayClientScopes;
      // Without a required scope a release says nothing of the owner; 2026.3.28 never does, but for a client of the gateway.
      const isTold = scopes !== undefined || context.senderIsOwner !== undefined;
      const isOwner = scopes === undefined ? context.senderIsOwner : scopes.includes('operator.admin');
      const expected = !isTold ? 'refused' : isOwner ? 'allowed' : 'silent';
      t.equal(
        verdict({ ...context, config: DIRECT.config }, {}, LOOK).kind,
        expected,
        `${release} ${JSON.stringify(context)}`,
      );
      seen.set(`${release} ${expected}`, 1 + (seen.get(`${release} ${expected}`) ?? 0));
      const spelled = `${context.channel}:${context.senderId}`;
      const { kind } = verdict({ ...context, config: {} }, named(spelled), LOOK);
      t.equal(kind === 'allowed', context.channel !== 'webchat', `${release} ${spelled}`);
    }
  }
  for (const release of ['2026.5.7', '2026.7.35', '2026.9.6']) {
    for (const kind of ['refused', 'allowed', 'silent'])
      t.ok(seen.has(`${release} ${kind}`), `${release} ${kind}`);
  }
  t.ok(seen.has('2026.3.28 refused') && seen.has('2026.3.28 allowed'));
  t.end();
});

t.test('silence is what each release keeps silent about', (t) => {
  t.same(silentReply({}), { suppressReply: true }, '2026.3.28 would show the word');
  t.same(silentReply(DIRECT), { text: 'NO_REPLY', suppressReply: true });
  t.end();
});

t.test('a config that is not understood is an error of one sentence, never a wider permission', (t) => {
  const wrong: readonly unknown[] = [
    { allowSenders: 'telegram:1001' },
    { allowSenders: ['1001'] },
    { allowSenders: [1001] },
    { allowSenders: ['telegram:'] },
    { allowSenders: ['telegram:*'] },
    { allowSenders: ['telegram:work:*'] },
    { allowSenders: ['**'] },
    { allowSenders: [' telegram:1001'] },
    { allowSenders: ['Telegram:1001'] },
    { allowSenders: ['webchat:cli'] },
    { allowSenders: {} },
    { allowChannels: ['*'] },
    { allowChannels: ['telegram:'] },
    { groups: 'all' },
    { groups: null },
    { showEmailsInGroups: 'false' },
    { askBeforeMovingOthers: 0 },
    [],
    'x',
  ];
  for (const value of wrong) {
    t.throws(
      () => parsePluginConfig(value),
      { message: /^plugins\.entries\.codex-router\.config/ },
      JSON.stringify(value),
    );
  }
  const empty = {
    allowSenders: [],
    allowChannels: [],
    groups: 'use',
    showEmailsInGroups: false,
    askBeforeMovingOthers: true,
  };
  for (const value of [undefined, null, {}, { program: '/x' }]) t.same(parsePluginConfig(value), empty);
  t.end();
});

t.test('law: no sender passes a list that they are not on', (t) => {
  const word = fc.stringMatching(/^[a-z0-9]{1,6}$/);
  const id = fc.oneof(
    word,
    fc.string({ minLength: 1, maxLength: 8 }),
    fc.constantFrom('1001', '*', 'owner', '1:1'),
  );
  const entry = fc
    .tuple(word, fc.option(word), word)
    .map(([channel, account, name]) => [channel, account, name].filter((part) => part !== null).join(':'));
  let allowed = 0;
  fc.assert(
    fc.property(
      fc.uniqueArray(entry, { minLength: 1, maxLength: 5 }),
      fc.oneof(word, fc.constant('webchat')),
      fc.option(word),
      id,
      fc.option(fc.nat(4)),
      (allowSenders, channel, accountId, senderId, hit) => {
        const parts = hit === null ? [] : (allowSenders[hit % allowSenders.length] ?? '').split(':');
        const context: CommandContext = {
          ...DIRECT,
          channel: parts[0] ?? channel,
          accountId: parts.length === 3 ? parts[1] : accountId,
          senderId: parts.at(-1) ?? senderId,
          senderIsOwner: true,
        };
        const { kind } = verdict(
          context,
          { allowSenders: allowSenders.filter((one) => !one.startsWith('webchat:')) },
          LOOK,
        );
        const spelled = [
          `${context.channel}:${context.senderId}`,
          `${context.channel}:${context.accountId ?? 'default'}:${context.senderId}`,
        ];
        const isListed = context.channel !== 'webchat' && spelled.some((one) => allowSenders.includes(one));
        if (isListed) allowed += 1;
        return isListed === (kind === 'allowed');
      },
    ),
    { numRuns: 2_000 },
  );
  t.ok(allowed > 200, 'listed senders were among them');
  t.end();
});
