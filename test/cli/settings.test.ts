import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { allowAgents, readSettings, settingsPath } from '../../src/cli/settings.js';
import { router, sandbox } from '../kit/router.js';

const NOTHING = { agents: { allow: [] } };

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
  t.same(await readSettings(folder), { agents: { allow: ['sync'] } });
  t.same(await allowAgents(folder, ['use', 'undo', 'use']), { agents: { allow: ['use', 'undo'] } });
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

t.test('members of another version are no error, whatever they are called', async (t) => {
  const folder = written(t, '{"__proto__":{"agents":{"allow":["use"]}},"constructor":1,"agents":{}}');
  t.same(await readSettings(folder), NOTHING);
});

t.test('config set, get and path: what a person sets is what is read', async (t) => {
  const box = sandbox(t);
  const file = path.join(box.env.XDG_CONFIG_HOME ?? '', 'codex-router', 'config.json');
  const before = await router(box, ['config', 'get', '--json']);
  t.same(before.json, { schemaVersion: 1, ok: true, path: file, settings: NOTHING });
  t.equal((await router(box, ['config', 'get'])).stdout, 'agents.allow = none\n');
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
