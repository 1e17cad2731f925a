import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { runProcess } from '../kit/process.js';
import { leaksOf, PROJECT, router, type Sandbox, sandbox, withoutEscapes } from '../kit/router.js';
import { makeState, readJson, SLOT, writeJson } from '../kit/state.js';
import { codexAuthJson, DAY, type Login, loginOf, makeLogin, people } from '../kit/tokens.js';

const KEY = { CODEX_ROUTER_KEY: 'file' };

/** A sandbox with an OpenClaw state and the given logins stored, as `alias=login`. */
async function stored(t: Test, logins: Record<string, Login>, slot: Login | null = null) {
  const box = sandbox(t);
  const state = makeState(box.stateDir, { release: '2026.5.7', slot });
  for (const [alias, login] of Object.entries(logins)) {
    const run = await store(box, login, ['--alias', alias]);
    t.equal(run.code, 0, run.stderr);
  }
  return { box, state };
}

const store = (box: Sandbox, login: Login, more: readonly string[] = []) =>
  router(box, ['import', '--from', '-', ...more], { input: codexAuthJson(login), env: KEY });

const emailInSlot = (state: ReturnType<typeof makeState>) =>
  (readJson(state.paths().profiles) as { profiles: Record<string, { email?: string }> }).profiles[SLOT]
    ?.email;

t.test('two logins, one email: both are stored, told apart, and each can be routed', async (t) => {
  const personal = loginOf('alice');
  const team = makeLogin({ ...people.alice, accountId: people['alice-team'].accountId, plan: 'team' });
  const { box, state } = await stored(t, { personal, team });
  const ambiguous = await router(box, ['use', people.alice.email, '--json']);
  t.equal(ambiguous.code, 3);
  t.equal(ambiguous.json.error.code, 'IDENTITY_AMBIGUOUS');
  t.equal(ambiguous.json.error.candidates.length, 2);
  const human = await router(box, ['use', people.alice.email]);
  t.match(human.stderr, new RegExp(`${personal.accountId.slice(0, 8)}.*\\n.*${team.accountId.slice(0, 8)}`));
  t.match(human.stderr, /^hint: /m);
  t.equal((await router(box, ['use', team.accountId, '--json'])).json.to.plan, 'team');
  const profile = (readJson(state.paths().profiles) as { profiles: Record<string, { accountId: string }> })
    .profiles;
  t.equal(profile[SLOT]?.accountId, team.accountId);
});

t.test('one workspace, two people: an accountId alone is refused with both', async (t) => {
  const { box } = await stored(t, { a: loginOf('alice-team'), b: loginOf('bob-team') });
  const run = await router(box, ['use', people['alice-team'].accountId, '--json']);
  t.equal(run.code, 3);
  t.strictSame(
    run.json.error.candidates.map((person: { userId: string }) => person.userId).sort(),
    [people['alice-team'].userId, people['bob-team'].userId].sort(),
  );
  const key = `${people['alice-team'].accountId}/${people['bob-team'].userId}`;
  t.equal((await router(box, ['use', key, '--json'])).json.to.userId, people['bob-team'].userId);
  t.match((await router(box, ['list'])).stdout, key, 'the list shows what tells them apart');
});

t.test('an unknown selector ends in 3 with the list; an empty repo says how to begin', async (t) => {
  const { box } = await stored(t, { a: loginOf('alice') });
  const run = await router(box, ['use', 'nobody', '--json']);
  t.match(run, { code: 3, json: { error: { code: 'IDENTITY_NOT_FOUND', candidates: [{ alias: 'a' }] } } });
  const empty = sandbox(t);
  makeState(empty.stateDir, { release: '2026.5.7', slot: null });
  const none = await router(empty, ['use', 'nobody']);
  t.equal(none.code, 3);
  t.match(none.stderr, /codex-router login/);
  t.notOk(existsSync(empty.routerHome), 'looking for nobody makes no vault');
});

t.test('list and status look, and only look', async (t) => {
  const { box, state } = await stored(t, { a: loginOf('alice') }, loginOf('bob'));
  const files = [state.paths().profiles, state.paths().sessions, path.join(box.routerHome, 'index.json')];
  const before = files.map((file) => [readFileSync(file, 'utf8'), statSync(file).mtimeMs]);
  const list = await router(box, ['list', '--json']);
  t.match(list.json, {
    identities: [{ alias: 'a', active: false }],
    occupant: { email: people.bob.email, alias: null },
  });
  t.match((await router(box, ['list'])).stdout, /bob@example\.test.*not stored here/);
  t.equal((await router(box, ['status', '--json'])).json.slots[0].stored, false);
  t.strictSame(
    files.map((file) => [readFileSync(file, 'utf8'), statSync(file).mtimeMs]),
    before,
  );
});

t.test('list says which is active from the slot itself, and null when the slot cannot be read', async (t) => {
  const { box, state } = await stored(t, { a: loginOf('alice'), b: loginOf('bob') });
  await router(box, ['use', 'a']);
  const active = async () =>
    (await router(box, ['list', '--json'])).json.identities.map((row: { active: unknown }) => row.active);
  t.strictSame(await active(), [true, false]);
  writeFileSync(state.paths().profiles, '{"version":1,"profiles":');
  t.strictSame(await active(), [null, null]);
  t.match((await router(box, ['list'])).stderr, /note: .*auth-profiles\.json/);
});

t.test('an alias names one identity, and never something else', async (t) => {
  const { box } = await stored(t, { a: loginOf('alice'), b: loginOf('bob') });
  t.equal((await router(box, ['alias', 'a', 'work', '--json'])).json.identity.alias, 'work');
  t.equal((await router(box, ['alias', 'b', 'work', '--json'])).json.error.code, 'USAGE');
  t.equal((await router(box, ['alias', 'b', people.alice.accountId, '--json'])).code, 2);
  t.equal((await router(box, ['alias', 'b', '../x', '--json'])).code, 2);
  t.equal((await router(box, ['alias', 'work', '--remove', '--json'])).json.identity.alias, null);
  t.equal((await router(box, ['alias', 'b', '--json'])).code, 2, 'neither a name nor --remove');
});

t.test('remove previews, asks, and without a terminal wants --yes', async (t) => {
  const { box } = await stored(t, { a: loginOf('alice'), b: loginOf('bob') });
  t.match(await router(box, ['remove', 'a', '--json']), {
    code: 2,
    json: { error: { code: 'CHOICE_NEEDED' } },
  });
  t.equal((await router(box, ['remove', 'a', '--dry-run', '--json'])).json.result, 'planned');
  t.equal((await router(box, ['list', '--json'])).json.identities.length, 2);
  const no = await router(box, ['remove', 'a'], { tty: [{ after: 'Forget this identity', send: '\r' }] });
  t.match(withoutEscapes(no.stdout), /nothing was removed/);
  t.equal((await router(box, ['list', '--json'])).json.identities.length, 2);
  const yes = await router(box, ['remove', 'a'], {
    tty: [{ after: 'Forget this identity', send: '\x1b[B\r' }],
  });
  t.match(withoutEscapes(yes.stdout), /a \(alice@example\.test.*is forgotten here/);
  t.equal((await router(box, ['list', '--json'])).json.identities.length, 1);
});

t.test(
  'the active identity is not removed, unless the slot goes with it and the chat still runs',
  async (t) => {
    const { box, state } = await stored(t, { a: loginOf('alice') });
    writeJson(state.paths().profiles, {
      version: 1,
      profiles: { 'openai-codex:other': profile(loginOf('bob')) },
    });
    await router(box, ['use', 'a']);
    t.match(await router(box, ['remove', 'a', '--yes', '--json']), {
      code: 6,
      json: { error: { code: 'IDENTITY_IN_USE' } },
    });
    const run = await router(box, ['remove', 'a', '--yes', '--from-slot', '--json']);
    t.match(run, { code: 0, json: { result: 'removed', next: ['openai-codex:other'] } });
    t.ok(run.json.unpinned.includes('agent:main:main'));
    const left = readJson(state.paths().profiles) as { profiles: object };
    t.strictSame(Object.keys(left.profiles), ['openai-codex:other']);
    const sessions = readFileSync(state.paths().sessions, 'utf8');
    t.notMatch(sessions, /"authProfileOverride": "openai-codex:default"/);
    const order = existsSync(state.paths().state) ? readFileSync(state.paths().state, 'utf8') : '';
    t.notMatch(order, /openai-codex:default/);
  },
);

const profile = (login: Login) => ({
  type: 'oauth',
  provider: 'openai-codex',
  access: login.access,
  refresh: login.refresh,
  expires: login.expires,
  accountId: login.accountId,
});

t.test('nothing that codex-router wrote outside the slot holds a token, in any coding', async (t) => {
  const { box, state } = await stored(t, { a: loginOf('alice'), b: loginOf('bob') }, loginOf('carol'));
  for (const who of ['a', 'b', '-', 'b']) t.equal((await router(box, ['use', who])).code, 0);
  await router(box, ['remove', 'a', '--yes']);
  t.strictSame(leaksOf(box), []);
  t.match(
    readFileSync(state.paths().profiles, 'utf8'),
    /CANARY/,
    'the slot has one: the search would see it',
  );
});

const HOSTILE = '\u001b]0;pwn\u0007\u001b[31mwork\u202egnp.exe\u200b\u2066\r\nactive';

t.test('hostile names, e-mails and plans are inert wherever they are shown', async (t) => {
  const hostile = makeLogin({ ...people.alice, email: `${HOSTILE}@example.test`, plan: `plus${HOSTILE}` });
  const { box } = await stored(t, { b: loginOf('bob') });
  t.equal((await store(box, hostile)).code, 0);
  const runs = [
    await router(box, ['list']),
    await router(box, ['use', hostile.accountId]),
    await router(box, ['use', hostile.accountId, '--dry-run']),
    await router(box, ['status']),
    await router(box, ['use', 'zz']),
    await router(box, ['list', '--json']),
    await router(box, ['status', '--json']),
  ];
  for (const { stdout, stderr } of runs) {
    t.notMatch(
      stdout + stderr,
      /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/,
    );
  }
  t.equal(runs[5]?.json.identities[1].email, `${HOSTILE}@example.test`, 'data is escaped, not changed');
});

t.test('a table of ordinary logins fits 80 columns, and says what is active without colour', async (t) => {
  const { box } = await stored(t, {
    personal: loginOf('alice'),
    'a-rather-long-alias-of-mine': loginOf('bob-team'),
  });
  await router(box, ['use', 'personal']);
  const plain = await router(box, ['list']);
  for (const line of plain.stdout.split('\n')) t.ok(line.length <= 80, line);
  t.match(plain.stdout, /^\* {2}a1111111/m);
  for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
    const run = await router(box, ['use', 'personal'], { env, tty: [] });
    t.notMatch(run.stdout, /\u001b\[/, JSON.stringify(env));
  }
  t.match(
    (await router(box, ['use', 'personal'], { tty: [] })).stdout,
    /\u001b\[1m/,
    'colours on a terminal',
  );
});

t.test('without a name, use asks on a terminal and refuses elsewhere', async (t) => {
  const { box, state } = await stored(t, { a: loginOf('alice'), b: loginOf('bob') });
  t.match(await router(box, ['use', '--json']), { code: 2, json: { error: { code: 'CHOICE_NEEDED' } } });
  const run = await router(box, ['use'], { tty: [{ after: 'Which identity', send: '\x1b[B\r' }] });
  t.equal(run.code, 0, run.stdout);
  t.equal(emailInSlot(state), people.bob.email);
  const dumb = await router(box, ['use'], { env: { TERM: 'dumb' }, tty: [{ after: '1-2:', send: '1\r' }] });
  t.equal(dumb.code, 0, dumb.stdout);
  t.equal(emailInSlot(state), people.alice.email);
  const stopped = await router(box, ['use'], { tty: [{ after: 'Which identity', send: '\x03' }] });
  t.equal(stopped.code, 130);
  t.equal(emailInSlot(state), people.alice.email);
});

t.test('usage errors end in 2, in one sentence, with a hint, as text and as JSON', async (t) => {
  const box = sandbox(t);
  for (const args of [
    ['vault'],
    ['use', 'a', '--no-such'],
    ['frobnicate'],
    ['vault', 'rekey'],
    ['vault', 'init', '--key', 'gold'],
  ]) {
    const run = await router(box, [...args, '--json']);
    t.match(run, { code: 2, json: { ok: false, error: { code: 'USAGE' } } }, args.join(' '));
    const text = await router(box, args);
    t.match(text.stderr, /^codex-router: .* \(USAGE\)\nhint: .*\n$/, args.join(' '));
    t.equal(text.stdout, '');
  }
});

t.test('a reader that closes the pipe early is no error', async (t) => {
  const { box } = await stored(t, { a: loginOf('alice') });
  const shell = [
    'sh',
    '-c',
    '"$0" dist/codex-router.js list | true; "$0" dist/codex-router.js list 2>&1 >&- || true',
  ];
  const run = await runProcess([...shell, process.execPath], { env: box.env, cwd: PROJECT });
  t.notMatch(run.stderr + run.stdout, /EPIPE|Error/);
});

t.test("help has examples for every command, and the version is the package's", async (t) => {
  const box = sandbox(t);
  const commands = [
    ['import'],
    ['use'],
    ['list'],
    ['status'],
    ['alias'],
    ['remove'],
    ['vault', 'status'],
    ['vault', 'init'],
    ['vault', 'rekey'],
    ['vault', 'add-key'],
  ];
  for (const command of [[], ...commands]) {
    const run = await router(box, [...command, '--help']);
    t.match(run, { code: 0, stdout: /Examples:\n {2}codex/ }, command.join(' '));
  }
  const { version } = readJson(path.join(import.meta.dirname, '../../package.json')) as { version: string };
  t.equal((await router(box, ['--version'])).stdout, `${version}\n`);
  t.notOk(existsSync(box.routerHome), 'neither makes anything');
});

t.test('a login that gave way is listed, put back when asked, and taken back again', async (t) => {
  const first = loginOf('alice', { issuedAt: Date.now() - 2 * DAY });
  const second = loginOf('alice', { issuedAt: Date.now() - DAY });
  const { box, state } = await stored(t, { a: first });
  t.match((await router(box, ['restore'])).stdout, /there are no back-ups/);
  t.equal((await store(box, second)).code, 0);
  const listed = await router(box, ['restore', '--json']);
  t.match(listed.json, {
    result: 'listed',
    backUps: [{ number: 1, isStored: false, identity: { alias: 'a' } }],
  });
  const { id } = listed.json.backUps[0];
  t.match((await router(box, ['restore'])).stdout, /^ 1 {2}\d{4}-.*a \(alice@/);
  t.match(await router(box, ['restore', '1', '--json']), {
    code: 2,
    json: { error: { code: 'CHOICE_NEEDED' } },
  });
  t.match(await router(box, ['restore', '2', '--yes', '--json']), {
    code: 3,
    json: { error: { code: 'BACKUP_NOT_FOUND' } },
  });
  t.match((await router(box, ['restore', id, '--dry-run', '--json'])).json, {
    result: 'planned',
    sealed: true,
  });
  const no = await router(box, ['restore', '1'], { tty: [{ after: 'Restore it?', send: '\r' }] });
  t.match(withoutEscapes(no.stdout), /will restore .*a \(alice@(.|\n)*nothing was restored/);
  t.equal((await router(box, ['restore', '--json'])).json.backUps.length, 1, 'nothing was written so far');

  const back = await router(box, ['restore', id, '--yes', '--json']);
  t.match(back.json, {
    result: 'restored',
    sealed: true,
    notes: [{ code: 'OLDER_LOGIN' }, { code: 'RESTORED' }],
  });
  t.equal((await router(box, ['list', '--json'])).json.identities[0].doubt, 'restored');
  t.equal((await router(box, ['restore', id, '--yes', '--json'])).json.result, 'unchanged');
  await router(box, ['use', 'a']);
  t.equal(refreshInSlot(state), first.refresh);
  t.match(await router(box, ['restore', '1', '--yes', '--json']), {
    code: 6,
    json: { error: { code: 'IDENTITY_IN_USE' } },
  });
  const bob = await store(box, loginOf('bob'), ['--alias', 'b']);
  t.equal(bob.code, 0);
  await router(box, ['use', 'b']);
  const again = await router(box, ['restore', '1', '--yes']);
  t.match(again, { code: 0, stdout: /^a \(alice@.* has the login again that gave way at / });
  await router(box, ['use', 'a']);
  t.equal(refreshInSlot(state), second.refresh);
  t.strictSame(leaksOf(box), []);
});

const refreshInSlot = (state: ReturnType<typeof makeState>) =>
  (readJson(state.paths().profiles) as { profiles: Record<string, { refresh?: string }> }).profiles[SLOT]
    ?.refresh;
