import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import fc from 'fast-check';
import json5 from 'json5';
import t from 'tap';
import { readConfig } from '../../src/openclaw/config.js';
import { withoutMember } from '../../src/openclaw/json5-member.js';
import { labelFor } from '../../src/openclaw/labels.js';
import { router, sandbox } from '../kit/router.js';
import { makeState, PROVIDER, SLOT, writeJson } from '../kit/state.js';
import { codexAuthJson, loginOf, people } from '../kit/tokens.js';

const PATH = ['auth', 'profiles', SLOT, 'email'];

const RELEASE = { version: '2026.9.6', source: 'test' };

async function label(file: string, email: string | null, more: { uid?: number; version?: string } = {}) {
  const config = await readConfig(file);
  const uid = more.uid ?? process.getuid?.() ?? null;
  const release = { ...RELEASE, version: more.version ?? RELEASE.version };
  return labelFor({ config, profileId: SLOT, release, uid }, email);
}

function profile(email: string): object {
  return { provider: PROVIDER, mode: 'oauth', email };
}

t.test('the e-mail goes with its comma and its line, and every other byte stays', async (t) => {
  const of = (text: string) => withoutMember(text, PATH, json5);
  const inside = (body: string) => `// head\n{ auth: { "profiles": {\n  '${SLOT}': ${body},\n}}} // tail\n`;
  for (const [before, after] of [
    ['{"mode":"oauth","email":"a@b"}', '{"mode":"oauth"}'],
    ['{"email":"a@b","mode":"oauth"}', '{"mode":"oauth"}'],
    ['{ "a": 1, "email": "a@b", "mode": 2 }', '{ "a": 1, "mode": 2 }'],
    ['{ "mode": 2, "email": "a@b" }', '{ "mode": 2 }'],
    ["{email:'a@\"}b'}", '{}'],
    ['{\n    "mode": "oauth",\n    "email": "a@b"\n  }', '{\n    "mode": "oauth"\n  }'],
    [
      '{\r\n    // mine, and why: {"\r\n    email: "a\\"@b", // it lies\r\n    mode: "oauth", /* , */\r\n  }',
      '{\r\n    // mine, and why: {"\r\n    // it lies\r\n    mode: "oauth", /* , */\r\n  }',
    ],
    [
      '{ mode: "oauth" /* one */ , /* two */ email: "a@b" /* three */ }',
      '{ mode: "oauth" /* one */  /* two */ /* three */ }',
    ],
    ['{"email":"a","x":[{"email":1},\'}\',"]"],}', '{"x":[{"email":1},\'}\',"]"],}'],
    ['{"\\u0065mail":"a","x":+.5}', '{"x":+.5}'],
  ] as const) {
    const cut = of(inside(before));
    t.strictSame(
      cut?.replaceAll(/[ \t]+/g, ' '),
      inside(after).replaceAll(/[ \t]+/g, ' '),
      before.replaceAll(/\s+/g, ' '),
    );
  }
  t.equal(of(inside('{"mode":"oauth"}')), null, 'nothing to take out');
  t.equal(of('{"auth":{"profiles":{}}}'), null);
  t.throws(() => of(inside('{"email":"a","mode":1,"email":"b"}')), SyntaxError, 'a key given twice');
});

t.test('whatever the configuration holds, only the e-mail is gone from what it reads as', async (t) => {
  const value = fc.jsonValue({ maxDepth: 3 });
  const members = fc.dictionary(fc.string({ maxLength: 6 }), value, { maxKeys: 4 });
  const layouts = fc.constantFrom(undefined, 2, '\t');
  fc.assert(
    fc.property(
      fc.tuple(members, members, members, members),
      fc.tuple(layouts, fc.boolean(), fc.boolean()),
      ([root, auth, profiles, entry], [space, five, first]) => {
        const labelled = first ? { email: 'a@b', ...entry } : { ...entry, email: 'a@b' };
        const build = (own: object) => ({
          ...root,
          auth: { ...auth, profiles: { ...profiles, [SLOT]: own } },
        });
        const whole = build({ ...labelled, email: 'a@b' });
        const text = five ? json5.stringify(whole, null, space) : JSON.stringify(whole, null, space);
        const after = withoutMember(text, PATH, json5);
        const { email: _, ...rest } = labelled as Record<string, unknown>;
        const want = five
          ? json5.parse(json5.stringify(build(rest)))
          : JSON.parse(JSON.stringify(build(rest)));
        const read = five ? json5.parse(after ?? '') : JSON.parse(after ?? '');
        return JSON.stringify(read) === JSON.stringify(want);
      },
    ),
    { numRuns: 300 },
  );
  t.pass('300 configurations');
});

t.test('a label is one only while it names somebody else', async (t) => {
  const dir = t.testdir({});
  const file = path.join(dir, 'openclaw.json');
  writeJson(file, { auth: { profiles: { [SLOT]: profile('Alice@example.test') } } });
  t.equal(await label(file, 'alice@example.test'), null);
  t.match((await label(file, 'bob@example.test'))?.note, {
    code: 'CONFIG_NAMES_EMAIL',
    text: /Alice@example\.test.*--fix-labels/,
  });
  t.match(await label(file, null), { note: { code: 'CONFIG_NAMES_EMAIL' } }, 'and of nobody it is a name');
  writeJson(file, { auth: { profiles: { [SLOT]: { provider: PROVIDER, mode: 'oauth' } } } });
  t.equal(await label(file, 'bob@example.test'), null);
});

t.test('an included file is mended where the e-mail really stands, in each of them', async (t) => {
  const dir = t.testdir({});
  const file = path.join(dir, 'openclaw.json');
  const entry = (more: string) => `{ profiles: { "${SLOT}": { mode: "oauth"${more} } } } // kept\n`;
  mkdirSync(path.join(dir, 'parts'));
  writeFileSync(file, '{ // main\n  auth: { $include: ["parts/a.json5", "./parts/b.json5"] },\n}\n', {
    mode: 0o600,
  });
  writeFileSync(path.join(dir, 'parts', 'a.json5'), entry(', email: "a@b"'), { mode: 0o600 });
  writeFileSync(path.join(dir, 'parts', 'real.json5'), entry(', email: "c@d"'), { mode: 0o600 });
  symlinkSync('real.json5', path.join(dir, 'parts', 'b.json5'));
  const main = readFileSync(file, 'utf8');
  t.match(await (await label(file, 'x@y'))?.mend(true), { code: 'LABEL_REMOVED' });
  t.equal(readFileSync(file, 'utf8'), main);
  t.equal(readFileSync(path.join(dir, 'parts', 'a.json5'), 'utf8'), entry(''));
  t.equal(readFileSync(path.join(dir, 'parts', 'real.json5'), 'utf8'), entry(''));
  t.ok(lstatSync(path.join(dir, 'parts', 'b.json5')).isSymbolicLink(), 'a link stays one');
  t.equal(await label(file, 'x@y'), null);
});

t.test(
  'refuses the file of another user and one that cannot be cut, and keeps what was written since it looked',
  async (t) => {
    const dir = t.testdir({});
    const file = path.join(dir, 'openclaw.json');
    const other = 'openai-codex:work';
    const write = () =>
      writeJson(file, { auth: { profiles: { [SLOT]: profile('a@b'), [other]: profile('c@d') } } });
    write();
    const before = readFileSync(file, 'utf8');
    const foreign = await label(file, 'x@y', { uid: (process.getuid?.() ?? 0) + 1 });
    await t.rejects(async () => foreign?.mend(false), { code: 'HOST_FOREIGN_OWNER' });
    t.equal(readFileSync(file, 'utf8'), before);

    const looked = await label(file, 'x@y');
    writeJson(file, { auth: { profiles: { [SLOT]: profile('a@b'), [other]: profile('c@d') } }, since: 1 });
    t.match(await looked?.mend(false), { code: 'LABEL_REMOVED' });
    t.match(
      JSON.parse(readFileSync(file, 'utf8')),
      { auth: { profiles: { [other]: { email: 'c@d' } } }, since: 1 },
      'what was written since the look is kept',
    );

    writeFileSync(file, `{auth:{profiles:{"${SLOT}":{email:"a@b",email:"c@d"}}}}`, { mode: 0o600 });
    const twice = readFileSync(file, 'utf8');
    const doubled = await label(file, 'x@y');
    await t.rejects(async () => doubled?.mend(false), {
      code: 'HOST_UNREADABLE',
      hint: /by hand/,
    });
    t.equal(readFileSync(file, 'utf8'), twice);
    t.strictSame(readdirSync(dir), ['openclaw.json'], 'no temporary file is left');
  },
);

t.test('a running gateway that would restart itself for the change is not made to', async (t) => {
  const dir = t.testdir({});
  const file = path.join(dir, 'openclaw.json');
  const auth = { profiles: { [SLOT]: profile('a@b') } };
  for (const [version, mode, running, code] of [
    ['2026.9.6', undefined, true, 'LABEL_REMOVED'],
    ['2026.9.1', undefined, true, 'LABEL_LEFT'],
    ['2026.7.35', 'restart', true, 'LABEL_LEFT'],
    ['2026.7.35', 'hot', true, 'LABEL_REMOVED'],
    ['2026.7.35', 'off', true, 'LABEL_REMOVED'],
    ['2026.7.35', undefined, false, 'LABEL_REMOVED'],
  ] as const) {
    writeJson(file, { auth, gateway: { ...(mode && { reload: { mode } }) } });
    const said = await (await label(file, 'x@y', { version }))?.mend(running);
    t.equal(said?.code, code, `${version} ${mode} ${running}`);
    t.equal((await readConfig(file)).profiles[SLOT]?.email, code === 'LABEL_LEFT' ? 'a@b' : null);
  }
});

t.test('use reports a label that would lie, and --fix-labels takes it out after the switch', async (t) => {
  const box = sandbox(t);
  box.env.CODEX_ROUTER_KEY = 'file';
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 9;
  const stop = () => new Promise((resolve) => server.close(resolve));
  t.teardown(stop);
  const state = makeState(box.stateDir, {
    release: '2026.5.7',
    slot: loginOf('alice'),
    port,
    config: { auth: { profiles: { [SLOT]: profile(people.alice.email) } } },
  });
  chmodSync(state.configPath, 0o640);
  const before = readFileSync(state.configPath, 'utf8');
  const labels = (run: { json: { notes: { code: string }[] } }) =>
    run.json.notes.map(({ code }) => code).filter((code) => /LABEL|CONFIG_NAMES/.test(code));
  for (const name of ['alice', 'bob'] as const) {
    const run = await router(box, ['import', '--from', '-'], { input: codexAuthJson(loginOf(name)) });
    t.equal(run.code, 0, run.stderr);
  }
  const use = async (...args: string[]) => await router(box, ['use', ...args, '--json']);
  t.strictSame(labels(await router(box, ['status', '--json'])), [], 'it names who is there');
  t.strictSame(labels(await use(people.bob.email, '--dry-run')), ['CONFIG_NAMES_EMAIL']);
  t.strictSame(labels(await use(people.bob.email)), ['CONFIG_NAMES_EMAIL']);
  t.strictSame(labels(await router(box, ['status', '--json'])), ['CONFIG_NAMES_EMAIL']);
  t.strictSame(labels(await use(people.alice.email)), [], 'back, it is the truth again');
  await use(people.bob.email);

  const left = await use(people.bob.email, '--fix-labels');
  t.match(left.json, { result: 'already-active' });
  t.strictSame(labels(left), ['LABEL_LEFT'], 'something answers on the gateway’s port');
  t.equal(readFileSync(state.configPath, 'utf8'), before);

  await stop();
  t.strictSame(labels(await use(people.bob.email, '--fix-labels', '--dry-run')), ['CONFIG_NAMES_EMAIL']);
  t.equal(readFileSync(state.configPath, 'utf8'), before, 'a plan writes nothing');
  t.strictSame(labels(await use(people.bob.email, '--fix-labels')), ['LABEL_REMOVED']);
  t.equal(
    readFileSync(state.configPath, 'utf8'),
    before.replace(/,\n *"email": "alice@example\.test"/, ''),
    'all the rest is as it was',
  );
  t.equal(statSync(state.configPath).mode & 0o777, 0o600, 'as OpenClaw itself writes it');
  t.strictSame(labels(await use(people.bob.email, '--fix-labels')), []);
});
