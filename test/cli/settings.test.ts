import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { FAILOVER_MEMBERS, nameOf } from '../../src/cli/failover-members.js';
import { allowAgents, readSettings, setFailover, settingsPath } from '../../src/cli/settings.js';
import type { Json } from '../../src/json.js';
import { FAILOVER_DEFAULTS, FAILOVER_RANGES } from '../../src/router/failover-settings.js';
import { router, sandbox } from '../kit/router.js';

const NOTHING = { agents: { allow: [] }, failover: FAILOVER_DEFAULTS };
/** As `config` tells it. */
const TOLD = {
  sessions: [],
  order: [],
  thresholdPercent: { fiveHour: 10, weekly: 5 },
  hysteresisPercent: 15,
  dwellMinutes: 30,
  restMinutes: 30,
  quietSeconds: 120,
  maxSwitchesPerHour: 2,
  hardFailures: 2,
  goodReads: 2,
  intervalSeconds: 300,
  notify: { command: null, message: null },
};

function written(t: Test, text: string): string {
  const folder = t.testdir();
  writeFileSync(settingsPath(folder), text);
  return folder;
}

t.test('without a file agents are allowed nothing but looking, and looking makes none', async (t) => {
  const folder = path.join(t.testdir(), 'not', 'there');
  t.same(await readSettings(folder), NOTHING);
  t.notOk(existsSync(folder));
});

t.test('what is set is read again, 0600, and whatever else the file holds stays', async (t) => {
  const folder = written(t, '{"agents":{"allow":["sync"],"later":{"x":1}},"theme":[1,null]}');
  t.same(await readSettings(folder), { ...NOTHING, agents: { allow: ['sync'] } });
  await allowAgents(folder, ['use', 'undo', 'use']);
  t.same(await readSettings(folder), { ...NOTHING, agents: { allow: ['use', 'undo'] } });
  t.same(JSON.parse(readFileSync(settingsPath(folder), 'utf8')), {
    agents: { allow: ['use', 'undo'], later: { x: 1 } },
    theme: [1, null],
  });
  t.same(readdirSync(folder), ['config.json'], 'no temporary file is left');
  await allowAgents(folder, []);
  t.same(await readSettings(folder), NOTHING);
  const fresh = path.join(t.testdir(), 'made');
  await allowAgents(fresh, ['use']);
  t.equal(statSync(settingsPath(fresh)).mode & 0o777, 0o600);
  t.equal(statSync(fresh).mode & 0o777, 0o700);
});

t.test('a file that cannot be understood is an error, is named, and is not written over', async (t) => {
  const broken = {
    '': /no JSON object/,
    '{"agents":': /no JSON object/,
    '[]': /no JSON object/,
    null: /no JSON object/,
    '{"agents":[]}': /agents\.allow is a list/,
    '{"agents":{"allow":"use"}}': /agents\.allow is a list/,
    '{"agents":{"allow":["use","remove"]}}': /"use", "undo", "sync"/,
    '{"agents":{"allow":[null]}}': /agents\.allow is a list/,
    '{"agents":{"allow":null}}': /agents\.allow is a list/,
    '{"failover":[]}': /failover is an object/,
    '{"failover":null}': /failover is an object/,
    '{"failover":{"sessions":"agent:main:main"}}': /failover\.sessions is a list of session keys/,
    '{"failover":{"sessions":["a",""]}}': /failover\.sessions is a list/,
    '{"failover":{"sessions":["a\\nb"]}}': /failover\.sessions is a list/,
    '{"failover":{"order":[7]}}': /failover\.order is a list of identities/,
    '{"failover":{"thresholdPercent":10}}': /failover\.thresholdPercent is an object/,
    '{"failover":{"thresholdPercent":{"fiveHour":"10"}}}':
      /failover\.thresholdPercent\.fiveHour is a whole number from 0 to 90/,
    '{"failover":{"thresholdPercent":{"weekly":91}}}': /failover\.thresholdPercent\.weekly is a whole number/,
    '{"failover":{"thresholdPercent":{"weekly":80},"hysteresisPercent":20}}': /stay below 100 together/,
    '{"failover":{"hysteresisPercent":90}}': /stay below 100 together/,
    '{"failover":{"dwellMinutes":0}}': /failover\.dwellMinutes is a whole number from 1 to 1440/,
    '{"failover":{"dwellMinutes":1.5}}': /failover\.dwellMinutes is a whole number/,
    '{"failover":{"hardFailures":1}}': /failover\.hardFailures is a whole number from 2 to 10/,
    '{"failover":{"intervalSeconds":59}}': /failover\.intervalSeconds is a whole number from 60 to 86400/,
    '{"failover":{"notify":true}}': /failover\.notify is an object/,
    '{"failover":{"notify":{"command":[]}}}': /failover\.notify\.command is a program and its arguments/,
    '{"failover":{"notify":{"command":"mail me"}}}': /failover\.notify\.command is a program/,
    '{"failover":{"notify":{"message":{"channel":"telegram"}}}}':
      /failover\.notify\.message is a channel and/,
  };
  for (const [text, message] of Object.entries(broken)) {
    const folder = written(t, text);
    const wanted = { code: 'CONFIG_UNREADABLE', message, hint: /mend the file/ };
    await t.rejects(readSettings(folder), wanted, text);
    await t.rejects(allowAgents(folder, ['use']), wanted, text);
    t.equal(readFileSync(settingsPath(folder), 'utf8'), text);
  }
  const folder = t.testdir();
  mkdirSync(settingsPath(folder));
  await t.rejects(readSettings(folder), { code: 'IO' });
});

t.test(
  'what is set of failover is read in ms, the rest has its default, and other members stay',
  async (t) => {
    const text = JSON.stringify({
      agents: { allow: ['use'] },
      failover: {
        sessions: ['agent:main:main', 'agent:main:main', 'agent:main:telegram:direct:1'],
        order: ['work'],
        thresholdPercent: { weekly: 0, daily: 3 },
        dwellMinutes: 60,
        quietSeconds: 10,
        notify: { command: ['notify-send', 'x'], later: 1 },
        soon: [1],
      },
    });
    const folder = written(t, text);
    const wanted = {
      ...FAILOVER_DEFAULTS,
      sessions: ['agent:main:main', 'agent:main:telegram:direct:1'],
      order: ['work'],
      thresholdPercent: { fiveHour: 10, weekly: 0 },
      dwellMs: 3_600_000,
      quietMs: 10_000,
      notify: { command: ['notify-send', 'x'] },
    };
    t.strictSame((await readSettings(folder)).failover, wanted);
    const { dwellMinutes: _, ...others } = JSON.parse(text).failover;
    const set = async (name: string, value: Json) => {
      const member = FAILOVER_MEMBERS.find((one) => nameOf(one) === name);
      if (member !== undefined) await setFailover(folder, member, value);
    };
    await set('failover.thresholdPercent.weekly', 7);
    await set('failover.notify.message', { channel: 'telegram', target: '1' });
    await set('failover.dwellMinutes', null);
    t.same(JSON.parse(readFileSync(settingsPath(folder), 'utf8')), {
      agents: { allow: ['use'] },
      failover: {
        ...others,
        thresholdPercent: { weekly: 7, daily: 3 },
        notify: {
          command: ['notify-send', 'x'],
          later: 1,
          message: { channel: 'telegram', target: '1' },
        },
      },
    });
    t.equal(statSync(settingsPath(folder)).mode & 0o077, 0);
    t.equal((await readSettings(folder)).failover.dwellMs, FAILOVER_DEFAULTS.dwellMs);
    t.strictSame(
      (await readSettings(written(t, '{"failover":{"notify":null}}'))).failover,
      FAILOVER_DEFAULTS,
    );
    t.equal((await readSettings(written(t, '{"failover":{"notify":{}}}'))).failover.notify, null);
  },
);

t.test('each number goes as far as it says, and not one further', async (t) => {
  for (const [name, { least, most }] of Object.entries(FAILOVER_RANGES)) {
    const at = (value: number) => {
      const thresholdPercent = { fiveHour: 0, weekly: 0 };
      return readSettings(written(t, JSON.stringify({ failover: { thresholdPercent, [name]: value } })));
    };
    await t.resolves(at(least), name);
    await t.resolves(at(most), name);
    await t.rejects(at(least - 1), { code: 'CONFIG_UNREADABLE', message: new RegExp(`failover\\.${name} `) });
    await t.rejects(at(most + 1), { code: 'CONFIG_UNREADABLE', message: new RegExp(`failover\\.${name} `) });
  }
});

t.test('members of another version are no error, whatever they are called', async (t) => {
  const folder = written(t, '{"__proto__":{"agents":{"allow":["use"]}},"constructor":1,"agents":{}}');
  t.same(await readSettings(folder), NOTHING);
});

t.test('config set, get and path: what a person sets is what is read', async (t) => {
  const box = sandbox(t);
  const file = path.join(box.env.XDG_CONFIG_HOME ?? '', 'codex-router', 'config.json');
  const before = await router(box, ['config', 'get', '--json']);
  t.same(before.json, {
    schemaVersion: 1,
    ok: true,
    path: file,
    settings: { agents: { allow: [] }, failover: TOLD },
  });
  t.match(
    (await router(box, ['config', 'get'])).stdout,
    /^agents\.allow = none\nfailover\.sessions = none\n/,
  );
  t.notOk(existsSync(file));
  t.equal(
    (await router(box, ['config', 'set', 'agents.allow', 'use', 'sync'])).stdout,
    'agents.allow = use sync\n',
  );
  t.equal((await router(box, ['config', 'get', 'agents.allow'])).stdout, 'use sync\n');
  const set = await router(box, ['config', 'set', 'agents.allow', 'undo,use', '--json']);
  t.same(set.json.settings.agents.allow, ['undo', 'use']);
  t.equal((await router(box, ['config', 'path'])).stdout, `${file}\n`);
  t.equal((await router(box, ['config', 'set', 'agents.allow', 'none'])).stdout, 'agents.allow = none\n');
  const kept = readFileSync(file, 'utf8');
  for (const args of [
    ['set', 'agents.allow', 'remove'],
    ['set', 'agents.allow', 'use', 'none'],
    ['set', 'agents.allow', ''],
    ['set', 'agents.deny', 'use'],
    ['get', 'agents'],
  ]) {
    const run = await router(box, ['config', ...args, '--json']);
    t.match(run, { code: 2, json: { error: { code: 'USAGE' } } }, args.join(' '));
  }
  t.equal(readFileSync(file, 'utf8'), kept);
  const asked = await router(box, ['config', 'set', 'agents.allow', 'use', '--json'], {
    env: { OPENCLAW_SHELL: 'exec' },
  });
  t.match(asked, { code: 6, json: { error: { code: 'AGENT_REFUSED' } } });
  t.equal(readFileSync(file, 'utf8'), kept, 'an agent allows itself nothing');
});

t.test('config set and get take every setting of failover, and default takes it back', async (t) => {
  const box = sandbox(t);
  const run = (...args: string[]) => router(box, ['config', ...args]);
  for (const member of FAILOVER_MEMBERS) {
    const words = member.example[0].split(' ');
    const set = await run('set', nameOf(member), ...words);
    t.equal(set.stdout, `${nameOf(member)} = ${words.join(' ')}\n`, nameOf(member));
    t.equal((await run('get', nameOf(member))).stdout, `${words.join(' ')}\n`);
  }
  t.equal(
    (await run('get', 'failover.thresholdPercent')).stdout,
    'failover.thresholdPercent.fiveHour = 10\nfailover.thresholdPercent.weekly = 5\n',
  );
  const all = await run('get', 'failover');
  t.match(all.stdout, /^failover\.sessions = agent:main:main\nfailover\.order = work personal\n/);
  t.equal(all.stdout.trim().split('\n').length, FAILOVER_MEMBERS.length);
  t.match((await run('get', '--json')).json.settings.failover, {
    ...TOLD,
    sessions: ['agent:main:main'],
    order: ['work', 'personal'],
    notify: {
      command: ['notify-send', 'codex-router'],
      message: { channel: 'telegram', target: '123456789' },
    },
  });
  await run('set', 'failover.dwellMinutes', '45');
  await run('set', 'failover.sessions', 'none');
  const file = JSON.parse(readFileSync((await run('path')).stdout.trim(), 'utf8'));
  t.match(file.failover, { dwellMinutes: 45, sessions: [] });
  for (const member of FAILOVER_MEMBERS) await run('set', nameOf(member), 'default');
  t.same((await run('get', '--json')).json.settings.failover, TOLD);
  const kept = readFileSync((await run('path')).stdout.trim(), 'utf8');
  for (const [message, ...args] of [
    [/dwellMinutes is a whole number from 1 to 1440/, 'dwellMinutes', '0'],
    [/dwellMinutes is a whole number/, 'dwellMinutes', '1.5'],
    [/dwellMinutes is a whole number/, 'dwellMinutes', 'long'],
    [/dwellMinutes is a whole number/, 'dwellMinutes', '10', '20'],
    [/dwellMinutes is a whole number/, 'dwellMinutes', 'none'],
    [/intervalSeconds is a whole number from 60/, 'intervalSeconds', '59'],
    [/stay below 100 together/, 'hysteresisPercent', '90'],
    [/sessions is a list of session keys/, 'sessions', 'agent:main:\u001b[2J'],
    [/order is a list of identities/, 'order', ' '],
    [/notify\.message is a channel and a target/, 'notify.message', 'telegram'],
    [/set part by part: failover\.thresholdPercent\.fiveHour, failover/, 'thresholdPercent', '10'],
    [/set part by part: failover\.notify\.command, failover/, 'notify', 'none'],
    [/there is no such setting/, 'else', '10'],
  ] as const) {
    const [name = '', ...values] = args;
    const refused = await run('set', `failover.${name}`, ...values, '--json');
    t.match(refused, { code: 2, json: { error: { code: 'USAGE', message } } }, args.join(' '));
  }
  t.equal(readFileSync((await run('path')).stdout.trim(), 'utf8'), kept);
  const help = (await run('set', '--help')).stdout;
  for (const member of FAILOVER_MEMBERS) t.match(help, `codex-router config set ${nameOf(member)} `);
});
