import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { parseHost } from '../../plugin/host.js';
import { findProgram } from '../../plugin/program.js';
import { remembered } from '../../plugin/remembered.js';
import { runsOf } from '../../plugin/runs.js';
import { until } from '../kit/process.js';
import { PROJECT, sandbox } from '../kit/router.js';
import { DIRECT, type PlayedHostOptions, playHost } from './host.js';

const ANSWER = {
  schemaVersion: 1,
  ok: true,
  text: 'work is active here.',
  buttons: [],
  result: 'menu',
  session: 'agent:main:main',
  effective: null,
  pinsPending: false,
  dropsMessage: false,
  taken: null,
  closes: [],
  textIfTaken: null,
};

function folderOf(t: Test): string {
  const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'codex-router-test-')));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** A program in codex-router's place. */
function standIn(t: Test, body: string): string {
  const file = path.join(folderOf(t), 'codex-router.js');
  writeFileSync(
    file,
    `let input = ''; process.stdin.on('data', (data) => { input += data; }).on('end', () => { ${body} });`,
  );
  return file;
}

/** One that answers with `fields` in the document. */
function answering(t: Test, fields: object = {}): string {
  return standIn(t, `console.log(${JSON.stringify(JSON.stringify({ ...ANSWER, ...fields }))})`);
}

function hostWith(program: string, options: PlayedHostOptions = {}) {
  return playHost({ ...options, config: { program, ...options.config } });
}

t.test('asks for the right of the owner where only the owner may ask', async (t) => {
  const { commands } = await playHost();
  t.strictSame([...commands.keys()].sort(), ['codex_auth', 'codex_profile', 'codex_usage']);
  for (const command of commands.values()) {
    t.match(command, { acceptsArgs: true, requireAuth: true, requiredScopes: ['operator.admin'] });
  }
  const listed = await playHost({ config: { allowSenders: ['telegram:1001'] } });
  t.notOk(listed.commands.get('codex_auth')?.requiredScopes, 'the release would let nobody else through');
  const wrong = await playHost({ config: { allowSenders: 'telegram:1001' } });
  t.match(
    wrong.commands.get('codex_auth'),
    { requiredScopes: ['operator.admin'] },
    'a config that cannot be read',
  );
  t.match(await wrong.say('codex_profile', ''), { text: /config of its plugin is wrong/ });
  t.match(wrong.warnings.join(), /allowSenders is not a list/);
  t.strictSame(wrong.runs, []);
});

t.test('gives the real program the request on standard input and sends what it says', async (t) => {
  const box = sandbox(t);
  const program = path.join(PROJECT, 'dist', 'codex-router.js');
  const cleared = Object.fromEntries(Object.keys(process.env).map((name) => [name, undefined]));
  const env = { ...cleared, ...box.env, OPENCLAW_SHELL: 'exec', CODEX_ROUTER_SESSION_KEY: 'agent:main:evil' };
  const host = await hostWith(program, { env, runtime: { state: { resolveStateDir: () => box.stateDir } } });
  const secret = 'http://localhost:1455/auth/callback?code=CANARYcode&state=CANARYstate';
  const reply = await host.say('codex_auth', `finish ${secret} --session agent:main:evil`);
  t.ok(reply.text);
  t.notMatch(reply.text, /CANARY|does not understand|did not answer/);
  t.match(reply.text, /delete your message/);
  const [run] = host.runs;
  t.match(run?.argv, [process.execPath, realpathSync(program), 'chat', '--stdin']);
  t.notMatch(JSON.stringify([run?.argv, run?.env]), 'CANARY');
  t.match(JSON.parse(run?.input ?? ''), {
    text: `/codex_auth finish ${secret} --session agent:main:evil`,
    session: 'agent:main:main',
    sender: 'telegram:default:1001',
    isDirect: true,
  });
  t.match(run?.env, {
    OPENCLAW_SHELL: undefined,
    CODEX_ROUTER_SESSION_KEY: undefined,
    OPENCLAW_STATE_DIR: box.stateDir,
  });
});

t.test('says one clear sentence when the program does not answer', async (t) => {
  const cases: readonly [what: string, body: string, said: RegExp][] = [
    ['dies', 'process.exit(3)', /^codex-router ended with 3 without an answer/],
    ['is killed', "process.kill(process.pid, 'SIGKILL')", /^codex-router was stopped without an answer/],
    ['prints nonsense', 'console.log(\'{"text": [1]}\')', /without an answer that this plugin understands/],
    ['is of another release', 'console.log(\'{"schemaVersion":2,"ok":true,"text":"x"}\')', /update both/],
    ['says too much', "console.log('x'.repeat(9e6))", /without an answer/],
    ['hangs', 'setInterval(() => {}, 1000)', /^codex-router did not answer within 5 s and was stopped/],
    [
      'refuses without words for a chat',
      `console.log(JSON.stringify({ schemaVersion: 1, ok: false, error: { code: 'KEYCHAIN_LOCKED', message: 'the keychain is locked \\u202e', hint: 'unlock it' } }))`,
      /^The keychain is locked\. Next: unlock it$/,
    ],
    [
      'refuses in words for a chat',
      `console.log(JSON.stringify({ schemaVersion: 1, ok: false, error: { code: 'X', message: 'm', hint: null }, text: 'Ask /codex_profile first.' }))`,
      /^Ask \/codex_profile first\.$/,
    ],
  ];
  await Promise.all(
    cases.map(async ([what, body, said]) => {
      const host = await hostWith(standIn(t, body), { config: { timeoutSeconds: 5 } });
      const { text = '' } = await host.say('codex_profile', 'use work');
      t.match(text, said, what);
      t.ok(text.length < 400 && !text.includes('\n'), what);
    }),
  );
  const nothing = await playHost({ runtime: { system: {} }, config: { program: answering(t) } });
  t.match(await nothing.say('codex_profile', ''), { text: /does not let a plugin run a program/ });
  const broken = await playHost({
    config: { program: answering(t) },
    runtime: { system: { runCommandWithTimeout: () => Promise.reject(new Error('spawn ENOENT')) } },
  });
  t.match(await broken.say('codex_profile', ''), { text: /was stopped without an answer/ });
});

t.test('runs only a program that nobody else can have put there', async (t) => {
  const folder = folderOf(t);
  for (const name of ['bin', 'other']) mkdirSync(path.join(folder, name));
  const good = path.join(folder, 'codex-router.js');
  copyFileSync(answering(t), good);
  const around = {
    self: `file://${folder}/codex-router/index.js`,
    node: '/nowhere/bin/node',
    searchPath: '',
    user: process.getuid?.() ?? null,
  };
  const find = (configured: string | null, more = {}) => findProgram({ ...around, configured, ...more });
  t.strictSame(await find(good), { path: good });
  t.match(await find('codex-router'), {
    trouble: /not an absolute path; set plugins\.entries\.codex-router\.config\.program/,
  });
  t.match(await find(path.join(folder, 'gone.js')), { trouble: /does not exist/ });
  t.match(await find(folder), { trouble: /not a file/ });
  t.match(await find('/bin/sh'), { trouble: /not the codex-router\.js/ });
  const loose = path.join(folder, 'other', 'codex-router.js');
  copyFileSync(good, loose);
  chmodSync(loose, 0o666);
  t.match(await find(loose), { trouble: /written by everybody/ });
  if (around.user === 0) {
    chmodSync(loose, 0o644);
    chownSync(loose, 4242, 4242);
    t.match(await find(loose, { user: 4343 }), { trouble: /belongs to another user/ });
  }
  t.match(await find(null), { trouble: /was not found; install it/ });
  symlinkSync(good, path.join(folder, 'bin', 'codex-router'));
  t.strictSame(
    await find(null, { searchPath: `relative:${folder}/bin` }),
    { path: good },
    'on PATH, its link resolved',
  );
  t.strictSame(await find(null, { node: `${folder}/bin/node` }), { path: good }, 'beside Node');
  t.strictSame(
    await find(null, { self: `file://${folder}/plugin/index.js` }),
    { path: good },
    'beside a linked plugin',
  );
  writeFileSync(path.join(folder, 'other', 'codex-router'), '#!/bin/sh\n', { mode: 0o755 });
  t.match(
    await find(null, { searchPath: `${folder}/other` }),
    { trouble: /not found/ },
    'a wrapper is no program for Node',
  );
});

t.test('buttons go to Telegram with data that comes back to us, and nowhere else', async (t) => {
  const buttons = [
    [{ text: 'Work', data: 'codex_profile_use_ab12cd34' }],
    [
      { text: 'Too long', data: `codex_usage_${'x'.repeat(60)}` },
      { text: 'Not ours', data: 'other_1' },
    ],
  ];
  const host = await hostWith(answering(t, { buttons }));
  t.strictSame((await host.say('codex_profile', '')).channelData, {
    telegram: { buttons: [[{ text: 'Work', callback_data: 'codex_profile_:use_ab12cd34' }]] },
  });
  t.strictSame(
    await host.say('codex_profile', 'show', { channel: 'webchat', gatewayClientScopes: ['operator.admin'] }),
    { text: ANSWER.text },
  );
});

t.test('a press has the rights of the sender’s own command in that chat, or none', async (t) => {
  const host = await hostWith(answering(t));
  const heard: string[] = [];
  let cleared = 0;
  const press = async (fields: object = {}) => {
    heard.length = 0;
    await host.presses.get('codex_profile_')?.({
      ...{ senderId: '1001', accountId: 'default', conversationId: '1001', isGroup: false },
      auth: { isAuthorizedSender: true },
      callback: { payload: 'use_ab12cd34', chatId: '1001', messageId: 7 },
      respond: {
        reply: async ({ text }: { text: string }) => heard.push(text),
        clearButtons: async () => {
          cleared += 1;
        },
      },
      ...fields,
    });
    return heard.join();
  };
  t.match(await press(), /That menu is from before/, 'before any command');
  t.equal(host.runs.length, 0);
  await host.say('codex_profile', '', { sessionKey: 'agent:main:telegram:direct:1001' });
  t.equal(await press(), ANSWER.text);
  t.match(JSON.parse(host.runs.at(-1)?.input ?? ''), {
    text: 'codex_profile_use_ab12cd34',
    session: 'agent:main:telegram:direct:1001',
    sender: 'telegram:default:1001',
  });
  t.equal(cleared, 1, 'a menu is answered once');
  const runs = host.runs.length;
  await press();
  t.equal(host.runs.length, runs, 'the same press again');
  t.equal(await press({ senderId: '2002' }), '', 'another finger');
  t.equal(
    await press({ auth: { isAuthorizedSender: false }, callback: { payload: 'undo', chatId: '1001' } }),
    '',
  );
  t.equal(await press({ isGroup: true, callback: { payload: 'undo', chatId: '-1009' } }), '', 'another chat');
  t.equal(await press({ callback: { chatId: '1001' } }), '', 'no data');
  t.equal(host.runs.length, runs);
});

t.test('a command is remembered for a quarter of an hour, and not without end', async (t) => {
  const memory = remembered();
  memory.keep('telegram:default:1', 'telegram:default:1', DIRECT, 0);
  t.equal(memory.find('telegram:default:1', 'telegram:default:1', 899_999), DIRECT);
  t.equal(memory.find('telegram:default:1', 'telegram:default:1', 900_000), null);
  t.equal(memory.find('telegram:default:1', 'telegram:default:2', 0), null);
  t.equal(memory.find(null, null, 0), null);
  for (let index = 0; index < 200; index += 1) memory.keep(`s${index}`, 'c', DIRECT, 0);
  t.equal(memory.find('telegram:default:1', 'telegram:default:1', 0), null, 'the oldest goes');
  t.equal(memory.find('s0', 'c', 0), DIRECT);
});

t.test('asks once for what is asked twice at once, and again after a failure', async (t) => {
  const host = await hostWith(answering(t));
  const both = await Promise.all([host.say('codex_usage', 'all'), host.say('codex_usage', 'all')]);
  t.equal(host.runs.length, 1);
  t.equal(both.filter(({ text }) => text === ANSWER.text).length, 1);
  const failing = await hostWith(standIn(t, 'process.exit(1)'));
  await failing.say('codex_usage', 'all');
  await failing.say('codex_usage', 'all');
  t.equal(failing.runs.length, 2);
});

t.test('a stranger gets nothing, and nothing is run', async (t) => {
  const host = await hostWith(answering(t), { config: { allowSenders: ['telegram:2002'] } });
  t.match(await host.say('codex_profile', '', { senderIsOwner: undefined }), { suppressReply: true });
  t.strictSame(host.runs, []);
  t.match(host.warnings.join(), /not in allowSenders/);
});

t.test('a line comes before a slow answer, and only then', async (t) => {
  const slow = await hostWith(
    standIn(t, `setTimeout(() => console.log(${JSON.stringify(JSON.stringify(ANSWER))}), 3000)`),
  );
  const fast = await hostWith(answering(t));
  await Promise.all([
    slow.say('codex_usage', '', {
      messageThreadId: 42,
      from: 'telegram:group:-100:topic:42',
      to: 'telegram:-100',
    }),
    fast.say('codex_usage', ''),
  ]);
  t.match(slow.sent, [{ to: '-100', text: /One moment/, accountId: 'default', threadId: 42 }]);
  t.strictSame(fast.sent, []);
});

t.test('what an agent runs is told its session, by the hook of the release', async (t) => {
  const context = { sessionKey: 'agent:main:main' };
  const old = await playHost({ release: '2026.5.28' });
  const before = old.hooks.get('before_tool_call');
  t.strictSame(before?.({ toolName: 'exec', params: { command: 'ls', env: { A: '1' } } }, context), {
    params: { command: 'ls', env: { A: '1', CODEX_ROUTER_SESSION_KEY: 'agent:main:main' } },
  });
  t.equal(before?.({ toolName: 'read', params: {} }, context), undefined);
  t.equal(before?.({ toolName: 'exec', params: {} }, {}), undefined, 'no key is no key');
  for (const release of ['2026.6.1', '2026.10.1', '2027.1.1']) {
    const { hooks } = await playHost({ release });
    t.notOk(hooks.has('before_tool_call'), release);
    t.strictSame(hooks.get('resolve_exec_env')?.({}, context), {
      CODEX_ROUTER_SESSION_KEY: 'agent:main:main',
    });
  }
});

t.test('a pin that may have been lost in a run is looked at when that run has ended', async (t) => {
  const program = answering(t, { pinsPending: true });
  const syncs = (host: Awaited<ReturnType<typeof playHost>>) =>
    host.runs.filter(({ argv }) => argv[2] === 'sync');
  const host = await hostWith(program);
  const ran = host.hooks.get('after_tool_call');
  const end = (sessionKey: string, phase = 'end') =>
    host.event({ stream: 'lifecycle', sessionKey, data: { phase } });
  end('agent:main:main');
  ran?.({ toolName: 'exec', params: { command: 'ls' } }, { sessionKey: 'agent:main:main' });
  end('agent:main:main');
  ran?.(
    { toolName: 'exec', params: { command: 'codex-router use work' } },
    { sessionKey: 'agent:main:main' },
  );
  end('agent:main:other');
  end('agent:main:main', 'start');
  t.strictSame(host.runs, [], 'nothing before it is needed');
  end('agent:main:main');
  end('agent:main:main');
  await until('sync runs', async () => syncs(host).length > 0);
  await host.say('codex_profile', 'use work');
  end('agent:main:main', 'error');
  await until('sync runs again', async () => syncs(host).length > 1);
  t.strictSame(syncs(host)[0]?.argv.slice(2), ['sync', '--wait', '60', '--json']);
  t.equal(syncs(host).length, 2);

  const first = await hostWith(program, {
    release: '2026.3.28',
    api: { registerAgentEventSubscription: undefined },
  });
  await first.say('codex_profile', 'use work');
  first.hooks.get('agent_end')?.({}, { sessionKey: 'agent:main:main' });
  await until('sync runs on 2026.3.28', async () => syncs(first).length > 0);
});

t.test('does not believe that the gateway took a login which it has not seen there', async (t) => {
  const taken = { agent: 'main', profileId: 'openai:default', expiresAt: 1 };
  for (const release of ['2026.3.28', '2026.9.6']) {
    const host = await hostWith(answering(t, { taken, textIfTaken: 'It is there.' }), {
      release,
      runtime: { agent: { resolveAgentDir: () => '/nowhere' } },
    });
    t.equal((await host.say('codex_profile', 'use work')).text, ANSWER.text);
  }
});

t.test('refuses to be loaded by what is no OpenClaw', async (t) => {
  await t.rejects(playHost({ api: { registerCommand: undefined } }), /has no plugin commands/);
});

t.test('knows which sessions had a run and have none now', async (t) => {
  const listeners: ((event: object) => void)[] = [];
  const host = parseHost({
    registerCommand: () => undefined,
    registerAgentEventSubscription: ({ handle }: { handle: (event: object) => void }) =>
      listeners.push(handle),
  });
  const runs = runsOf(host, () => 1000);
  const ends: unknown[] = [];
  runs.onEnd((session) => ends.push(session));
  const tell = (runId: string, phase: string, more = {}) =>
    listeners[0]?.({ runId, sessionKey: 'agent:main:main', data: { phase }, ...more });
  tell('r1', 'start', { sessionId: 's1' });
  t.strictSame([runs.running(), runs.idle(1000)], [['s1'], []]);
  tell('r2', 'start', { sessionId: 's1' });
  tell('r1', 'end');
  t.strictSame([runs.running(), runs.idle(1000)], [['s1'], []], 'another run of it goes on');
  tell('r2', 'error');
  t.strictSame([runs.running(), runs.idle(1000)], [[], ['s1']]);
  t.strictSame(runs.idle(3_601_000), [], 'no connection is kept that long');
  t.match(ends, [{ key: 'agent:main:main', id: 's1' }, { id: 's1' }]);
});
