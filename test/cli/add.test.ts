import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { codexStandIn, type Step } from '../kit/codex-stand-in.js';
import { type Issuer, startIssuer } from '../kit/issuer.js';
import { photograph } from '../kit/photograph.js';
import { until } from '../kit/process.js';
import { leaksOf, type RouterOptions, router, type Sandbox, sandbox } from '../kit/router.js';
import { gone, startRouter } from '../kit/start.js';
import { makeState } from '../kit/state.js';
import { codexAuthJson, type Login, loginOf, type Person, people } from '../kit/tokens.js';

const ADD = ['add', 'work', '--yes', '--json'] as const;

/** The person's own Codex home holds carol's login, a configuration and a state of its own. */
async function ready(t: Test) {
  const box = sandbox(t);
  const issuer = await startIssuer(t);
  box.env.CODEX_ROUTER_KEY = 'file';
  box.env.CODEX_ROUTER_TEST_ISSUER = issuer.url;
  writeFileSync(path.join(box.codexHome, 'auth.json'), codexAuthJson(issuer.mint(people.carol)), {
    mode: 0o600,
  });
  writeFileSync(path.join(box.codexHome, 'config.toml'), 'model = "gpt-5.5"\n');
  mkdirSync(path.join(box.codexHome, 'sessions'));
  const before = photograph(box.codexHome);
  t.teardown(() => {
    if (photograph(box.codexHome) !== before) throw new Error("the person's own Codex home has changed");
    if (issuer.reuses().length > 0) throw new Error('a token was spent twice');
  });
  const codex = codexStandIn(box);
  const homes = path.join(box.routerHome, 'codex-homes');
  return {
    box,
    issuer,
    codex,
    /** The throw-away homes that are there. */
    homes: () => (existsSync(homes) ? readdirSync(homes).map((name) => path.join(homes, name)) : []),
    add: (args: readonly string[] = ADD, options: RouterOptions = {}) => router(box, args, options),
    /** The next `codex login` makes a login of this person, at once or as told. */
    willLogIn: (person: Person, steps: readonly Step[] = [['put', 'auth.json']]): Login => {
      const login = issuer.mint(person);
      codex.does(steps, authOf(login, issuer));
      return login;
    },
    /** `add` as a process of its own. */
    start: () => startRouter(t, box, ADD),
  };
}

function authOf(login: Login, issuer: Issuer): string {
  return codexAuthJson(login, '0.169', { issuer: issuer.url });
}

async function identities(box: Sandbox) {
  const { json } = await router(box, ['list', '--json']);
  return json.identities.map((one: { alias: string; email: string }) => [one.alias, one.email]);
}

t.test("stores the login that the person's own Codex makes, and leaves nothing of it behind", async (t) => {
  const { box, issuer, codex, homes, add, willLogIn } = await ready(t);
  makeState(box.stateDir, { release: '2026.5.7', slot: null });
  const login = willLogIn(people['alice-team'], [
    ['say', 'open this: https://example.test'],
    ['put', 'auth.json'],
  ]);
  const own = {
    OPENAI_API_KEY: 'sk-CANARY',
    CODEX_API_KEY: 'x',
    CODEX_ACCESS_TOKEN: 'x',
    CODEX_SQLITE_HOME: '/x',
  };
  const run = await add(ADD, { env: { ...own, HTTPS_PROXY: 'http://127.0.0.1:9' } });
  t.match(run, {
    code: 0,
    json: { result: 'added', source: 'add', verified: true, workspace: 'Acme', former: null },
  });
  t.match(run.json.identity, { alias: 'work', accountId: people['alice-team'].accountId });
  t.match(run.stderr, 'open this: https://example.test', 'what Codex says is for the person, not for stdout');
  const ran = codex.ran();
  t.strictSame(ran?.args, ['login', '--device-auth', '--experimental_issuer', issuer.url]);
  t.match(ran, { mode: '700', config: /^cli_auth_credentials_store = "file"$/m });
  t.equal(ran?.cwd, ran?.home, 'no project has a say');
  t.equal(path.dirname(ran?.home ?? ''), path.join(box.routerHome, 'codex-homes'));
  const names = ran?.env ?? [];
  t.strictSame(
    names.filter((name) => name in own || name.startsWith('CODEX_ROUTER_')),
    [],
    'nothing that Codex would take for a login, and nothing of ours',
  );
  t.ok(
    ['HOME', 'PATH', 'HTTPS_PROXY'].every((name) => names.includes(name)),
    'the rest is as the person has it',
  );
  t.strictSame(homes(), []);
  t.strictSame(leaksOf(box), []);
  t.strictSame(issuer.of('revoke'), []);
  t.ok(issuer.isLive(login.refresh));
  const use = await router(box, ['use', 'work', '--json']);
  t.match(use.json, { result: 'switched', to: { alias: 'work' } });
});

t.test(
  'asks for a code where no browser can be opened, for a browser where one can, or as told',
  async (t) => {
    const { codex, add, willLogIn } = await ready(t);
    const cases: readonly (readonly [string, Record<string, string>, readonly string[], boolean])[] = [
      ['on a desktop', { DISPLAY: ':0' }, [], false],
      ['over ssh', { DISPLAY: ':0', SSH_CONNECTION: 'a b c d' }, [], true],
      ['told so', { DISPLAY: ':0' }, ['--device-auth'], true],
      ['told otherwise', {}, ['--browser'], false],
    ];
    for (const [name, env, args, isDevice] of cases) {
      willLogIn(people.bob);
      // Only the device flow can be told of another issuer; where the file names it, it is still the test's own.
      t.equal((await add([...ADD, ...args, '--expect', people.bob.accountId], { env })).code, 0, name);
      t.equal(codex.ran()?.args.includes('--device-auth'), isDevice, name);
    }
    const both = await add([...ADD, '--browser', '--device-auth']);
    t.match(both, { code: 2, json: { error: { code: 'USAGE' } } });
  },
);

t.test('what can be refused is refused before Codex is started', async (t) => {
  const { box, codex, add, willLogIn, homes } = await ready(t);
  willLogIn(people.bob);
  const refusals: readonly (readonly [readonly string[], number, string, Record<string, string>?])[] = [
    [['add', '-', '--yes', '--json'], 2, 'USAGE'],
    [['add', 'a b', '--yes', '--json'], 2, 'USAGE'],
    [['add', 'work', '--json'], 2, 'CHOICE_NEEDED'],
    [['add', 'work', '--yes', '--expect', 'a/b/c', '--json'], 2, 'USAGE'],
    [[...ADD, '--codex', path.join(box.root, 'nowhere')], 5, 'CODEX_NOT_FOUND'],
    [ADD, 5, 'CODEX_NOT_FOUND', { CODEX_ROUTER_CODEX: box.root }],
    [ADD, 5, 'CODEX_NOT_FOUND', { PATH: path.join(box.root, 'empty') }],
  ];
  for (const [args, code, error, env = {}] of refusals) {
    t.match(await add(args, { env }), { code, json: { error: { code: error } } }, args.join(' '));
  }
  t.notOk(existsSync(path.join(box.routerHome, 'vault.json')), 'no vault was made for them');
  const missing = await add(['add', 'work', '--yes'], { env: { PATH: path.join(box.root, 'empty') } });
  t.match(missing.stderr, /npm install -g @openai\/codex.*codex-router login/);
  const input = codexAuthJson(loginOf('alice'));
  await router(box, ['import', '--from', '-', '--alias', 'work'], { input });
  t.match(await add(), { code: 2, json: { error: { code: 'USAGE', message: /already names another/ } } });
  t.equal(codex.ran(), null);
  t.strictSame(homes(), []);
});

t.test('a Codex that makes no login ends in what happened, and its home is removed', async (t) => {
  const { codex, add, homes } = await ready(t);
  const cases: readonly (readonly [readonly Step[], number, string, RegExp])[] = [
    [[['end', 1]], 5, 'LOGIN_FAILED', /status 1/],
    [[['die', 'SIGKILL']], 5, 'LOGIN_FAILED', /by SIGKILL/],
    [[['die', 'SIGINT']], 130, 'INTERRUPTED', /stopped/],
    [[['end', 130]], 130, 'INTERRUPTED', /stopped/],
  ];
  for (const [steps, code, error, message] of cases) {
    codex.does(steps);
    t.match(await add(), { code, json: { error: { code: error, message } } }, JSON.stringify(steps));
    t.strictSame(homes(), []);
  }
});

t.test(
  'a Codex that ends well without a file may have used the keyring: its home, which names the place there, stays',
  async (t) => {
    const { box, codex, add, homes } = await ready(t);
    codex.does([]);
    t.match(await add(), {
      code: 5,
      json: { error: { code: 'LOGIN_FAILED', hint: /CODEX_HOME=.* codex-router import --take/ } },
    });
    const [home = ''] = homes();
    codex.does([['end', 1]]);
    t.match((await add()).stderr, `CODEX_HOME=${home} codex-router import --take`);
    t.strictSame(homes(), [home]);
    const { json } = await router(box, ['doctor', '--json']);
    t.match(json.findings, [{ code: 'ADD_UNFINISHED', text: `CODEX_HOME=${home}` }]);
    const looked = await router(box, ['import', '--take', '--json'], { env: { CODEX_HOME: home } });
    t.match(looked.json.error, { code: 'KEYCHAIN_NO_BUS' }, 'it looks there, and this sandbox has none');
  },
);

t.test('a login that came is kept however Codex ended', async (t) => {
  const { box, add, willLogIn, homes } = await ready(t);
  willLogIn(people.bob, [
    ['put', 'auth.json'],
    ['die', 'SIGKILL'],
  ]);
  t.match(await add(), { code: 0, json: { result: 'added' } });
  // Killed before it could give its file the last name.
  willLogIn(people.alice, [
    ['put', '.auth-q9GXSk'],
    ['die', 'SIGKILL'],
  ]);
  t.match(await add(['add', 'home', '--yes', '--json']), { code: 0, json: { result: 'added' } });
  t.strictSame(await identities(box), [
    ['work', people.bob.email],
    ['home', people.alice.email],
  ]);
  t.strictSame(homes(), []);
  t.strictSame(leaksOf(box), []);
});

t.test(
  'the login of another account than expected is revoked, not stored, and not left behind',
  async (t) => {
    const { box, issuer, add, willLogIn, homes } = await ready(t);
    const login = willLogIn(people['alice-team']);
    const run = await add([...ADD, '--expect', people.alice.accountId]);
    t.match(run, { code: 6, json: { error: { code: 'IDENTITY_UNEXPECTED', hint: /revoked/ } } });
    t.notOk(issuer.isLive(login.refresh));
    t.strictSame(await identities(box), []);
    t.strictSame(homes(), []);
    t.strictSame(leaksOf(box), []);
  },
);

t.test('the identity that is stored already stays one, with the newer login', async (t) => {
  const { box, issuer, add, willLogIn } = await ready(t);
  const first = willLogIn(people.bob);
  await add();
  const second = willLogIn(people.bob);
  const run = await add(['add', 'renewed', '--yes', '--json']);
  t.match(run, {
    code: 0,
    json: { result: 'renewed', identity: { alias: 'renewed' }, former: { sealed: true } },
  });
  t.strictSame(await identities(box), [['renewed', people.bob.email]]);
  t.ok(issuer.isLive(first.refresh) && issuer.isLive(second.refresh), 'none was revoked');
  t.strictSame(leaksOf(box), []);
});

t.test(
  'on a terminal it asks; a login that is not wanted is revoked, one without an answer is kept for later',
  async (t) => {
    const { box, issuer, add, willLogIn, homes, codex } = await ready(t);
    const unwanted = willLogIn(people.bob);
    const no = await add(['add', 'work'], { tty: [{ after: 'Keep this login?', send: '\x1b[B\r' }] });
    t.match(no.stdout, /the login was discarded/);
    t.notOk(issuer.isLive(unwanted.refresh));
    t.strictSame(homes(), []);
    const login = willLogIn(people.bob);
    const unanswered = await add(['add', 'work'], { tty: [{ after: 'Keep this login?', send: '\x03' }] });
    t.match(unanswered.stdout, /codex-router add work finishes it/);
    t.ok(issuer.isLive(login.refresh));
    t.equal(homes().length, 1);
    codex.does([['end', 9]]);
    t.match((await add()).json, { result: 'added', identity: { email: people.bob.email } });
    t.equal(codex.ran(), null);
    t.strictSame(homes(), []);
    t.strictSame(leaksOf(box), []);
  },
);

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  t.test(`${signal} while Codex waits ends both, and nothing is left`, async (t) => {
    const { box, codex, willLogIn, start, homes } = await ready(t);
    willLogIn(people.bob, [
      ['wait', 'approval'],
      ['put', 'auth.json'],
    ]);
    const add = start();
    await until('codex waits', () => codex.waits('approval'));
    add.kill(signal);
    t.strictSame(await add.ended, [status, null]);
    t.match(JSON.parse(add.said.stdout), { error: { code: 'INTERRUPTED' } });
    await gone(codex.ran()?.pid ?? 0);
    t.strictSame(homes(), []);
    t.strictSame(await identities(box), []);
  });

  t.test(`${signal} when the login is made already leaves it for the next add`, async (t) => {
    const { box, issuer, codex, willLogIn, start, homes, add } = await ready(t);
    const login = willLogIn(people.bob, [
      ['put', 'auth.json'],
      ['wait', 'never'],
    ]);
    const first = start();
    await until('the login is made', () => codex.waits('never'));
    first.kill(signal);
    t.strictSame(await first.ended, [status, null]);
    t.match(JSON.parse(first.said.stdout), { error: { code: 'INTERRUPTED', hint: /codex-router add work/ } });
    t.equal(homes().length, 1);
    codex.does([['end', 9]]);
    t.match(await add(), { code: 0, json: { result: 'added', identity: { alias: 'work' } } });
    t.equal(codex.ran(), null, 'no second login was made');
    t.ok(issuer.isLive(login.refresh));
    t.strictSame(homes(), []);
    t.strictSame(leaksOf(box), []);
  });
}

t.test(
  'killed alone, it leaves a Codex that goes on; nobody disturbs it, and what it brings is stored',
  async (t) => {
    const { box, codex, willLogIn, start, homes, add } = await ready(t);
    willLogIn(people.bob, [
      ['wait', 'approval'],
      ['put', 'auth.json'],
    ]);
    const first = start();
    await until('codex waits', () => codex.waits('approval'));
    first.kill('SIGKILL');
    await first.ended;
    const [home = ''] = homes();
    const { pid = 0 } = codex.ran() ?? {};
    const goOn = () => codex.go('approval');
    const input = codexAuthJson(loginOf('alice'));
    const imported = await router(box, ['import', '--from', '-', '--alias', 'home', '--json'], { input });
    t.equal(imported.code, 0);
    t.ok(existsSync(home), 'an import leaves it alone');
    goOn();
    await gone(pid);
    const doctor = await router(box, ['doctor', '--json']);
    t.match(doctor.json.findings, [
      { code: 'ADD_UNFINISHED', danger: false, remedy: 'codex-router add work' },
    ]);
    const status = await router(box, ['status', '--json']);
    t.match(status.json.notes.at(-1), { code: 'ADD_UNFINISHED', text: /codex-router add work/ });
    t.ok(existsSync(path.join(home, 'auth.json')), 'looking changes nothing');
    codex.does([['end', 9]]);
    const again = await add();
    t.match(again, {
      code: 0,
      json: { result: 'added', identity: { email: people.bob.email, alias: 'work' } },
    });
    t.ok(again.json.notes.some((note: { code: string }) => note.code === 'FINISHED'));
    t.equal(codex.ran(), null);
    t.strictSame(homes(), []);
    t.strictSame(leaksOf(box), []);
    t.match((await router(box, ['doctor', '--json'])).json, { findings: [] });
  },
);

t.test('an add that still runs is left alone by another one', async (t) => {
  const { box, codex, willLogIn, start, homes, add } = await ready(t);
  willLogIn(people.bob, [
    ['put', 'auth.json'],
    ['wait', 'end'],
  ]);
  const first = start();
  await until('the login is made', () => codex.waits('end'));
  const [home = ''] = homes();
  const other = await add(['add', 'home', '--yes', '--json', '--codex', '/bin/false']);
  t.match(other, { code: 5, json: { error: { code: 'LOGIN_FAILED' } } });
  t.ok(existsSync(path.join(home, 'auth.json')));
  t.match((await router(box, ['doctor', '--json'])).json, { findings: [] }, 'nothing is wrong with it');
  codex.go('end');
  t.strictSame(await first.ended, [0, null]);
  t.match(JSON.parse(first.said.stdout), { result: 'added', identity: { alias: 'work' } });
  t.strictSame(homes(), []);
  t.strictSame(await identities(box), [['work', people.bob.email]]);
});

t.test('both killed before a login was made: the next one removes what is left', async (t) => {
  const { codex, willLogIn, start, homes, add } = await ready(t);
  willLogIn(people.bob, [
    ['wait', 'approval'],
    ['put', 'auth.json'],
  ]);
  const first = start();
  await until('codex waits', () => codex.waits('approval'));
  const { pid = 0 } = codex.ran() ?? {};
  first.kill('SIGKILL');
  process.kill(pid, 'SIGKILL');
  await Promise.all([first.ended, gone(pid)]);
  t.equal(homes().length, 1);
  willLogIn(people.alice);
  t.match(await add(), { code: 0, json: { identity: { email: people.alice.email } } });
  t.ok(codex.ran() !== null);
  t.strictSame(homes(), []);
});

for (const command of ['import', 'login', 'add of another name'] as const) {
  t.test(`both killed with a login made: ${command} stores it first`, async (t) => {
    const { box, issuer, codex, willLogIn, start, homes } = await ready(t);
    const login = willLogIn(people.bob, [
      ['put', 'auth.json'],
      ['wait', 'never'],
    ]);
    const first = start();
    await until('the login is made', () => codex.waits('never'));
    const { pid = 0 } = codex.ran() ?? {};
    first.kill('SIGKILL');
    process.kill(pid, 'SIGKILL');
    await Promise.all([first.ended, gone(pid)]);
    willLogIn(people.alice);
    issuer.approveAs(people.alice);
    const input = codexAuthJson(loginOf('alice'));
    const args =
      command === 'import'
        ? ['import', '--from', '-', '--alias', 'home']
        : command === 'login'
          ? ['login', '--alias', 'home', '--yes']
          : ['add', 'home', '--yes'];
    const run = await router(box, [...args, '--json'], command === 'import' ? { input } : {});
    t.match(run, { code: 0 });
    t.match(run.stdout + run.stderr, /interrupted add of work is finished/);
    t.strictSame(await identities(box), [
      ['work', people.bob.email],
      ['home', people.alice.email],
    ]);
    t.ok(issuer.isLive(login.refresh));
    t.strictSame(homes(), []);
    t.strictSame(leaksOf(box), []);
  });
}

/** What a dead add left: nobody has this pid's start. */
function leave(box: Sandbox, files: Readonly<Record<string, string>>): string {
  const home = path.join(box.routerHome, 'codex-homes', `${process.pid}-1-0123456789ab`);
  mkdirSync(home, { recursive: true, mode: 0o700 });
  for (const [name, text] of Object.entries(files))
    writeFileSync(path.join(home, name), text, { mode: 0o600 });
  return home;
}

t.test('a login that was stored before its home could be removed is not taken for a new one', async (t) => {
  const { box, issuer, codex, add, willLogIn, homes } = await ready(t);
  const login = willLogIn(people.bob);
  await add();
  const wanted = JSON.stringify({ alias: 'work', expect: null });
  leave(box, { 'auth.json': authOf(login, issuer), 'codex-router-add.json': wanted });
  codex.does([['end', 9]]);
  t.match(await add(), { code: 0, json: { result: 'unchanged', identity: { alias: 'work' } } });
  t.strictSame(homes(), []);
  t.match((await router(box, ['refresh', 'work', '--json'])).code, 0);
  leave(box, { 'auth.json': authOf(login, issuer), 'codex-router-add.json': wanted });
  t.match(await add(), { code: 0, json: { result: 'unchanged' } }, 'nor when it was refreshed since');
  t.match((await router(box, ['refresh', 'work', '--json'])).code, 0, 'the newer one is what is stored');
  t.strictSame(await identities(box), [['work', people.bob.email]]);
  t.strictSame(leaksOf(box), []);
});

t.test('a left login whose name has gone to another identity is stored without it', async (t) => {
  const { box, issuer, codex, add, homes } = await ready(t);
  const input = codexAuthJson(loginOf('alice'));
  await router(box, ['import', '--from', '-', '--alias', 'work'], { input });
  const wanted = JSON.stringify({ alias: 'work', expect: null });
  leave(box, { 'auth.json': authOf(issuer.mint(people.bob), issuer), 'codex-router-add.json': wanted });
  codex.does([['end', 9]]);
  const run = await add();
  t.match(run, { code: 2, json: { error: { code: 'USAGE', message: /already names another/ } } });
  t.match(run.stderr, /interrupted add of work is finished/);
  t.strictSame(await identities(box), [
    ['work', people.alice.email],
    [null, people.bob.email],
  ]);
  t.equal(codex.ran(), null);
  t.strictSame(homes(), []);
});

t.test('a left login that its add would have refused is not stored', async (t) => {
  const { box, issuer, codex, add, willLogIn, homes } = await ready(t);
  const login = issuer.mint(people.bob);
  const wanted = JSON.stringify({ alias: 'home', expect: people.alice.accountId });
  leave(box, { 'auth.json': authOf(login, issuer), 'codex-router-add.json': wanted });
  willLogIn(people.carol);
  const run = await add();
  t.match(run, { code: 0, json: { identity: { email: people.carol.email } } });
  t.match(run.stderr, /was not stored, and it was revoked/);
  t.notOk(issuer.isLive(login.refresh));
  t.strictSame(await identities(box), [['work', people.carol.email]]);
  t.ok(codex.ran() !== null);
  t.strictSame(homes(), []);
});

t.test('a left file that cannot be read is never deleted, and said each time', async (t) => {
  const { box, issuer, add, willLogIn } = await ready(t);
  const whole = authOf(loginOf('bob'), issuer);
  const foreign = codexAuthJson(loginOf('bob'), '0.169', { issuer: 'https://evil.example.test' });
  for (const text of [whole.slice(0, whole.length / 2), '', '{"OPENAI_API_KEY":"sk-x"}', foreign]) {
    const home = leave(box, { 'auth.json': text });
    willLogIn(people.alice);
    const run = await add(['add', 'work', '--yes', '--json', '--expect', people.alice.accountId]);
    t.match(run.json, { ok: true, identity: { email: people.alice.email } });
    t.match(run.stderr, /may hold the only copy of a login, and it cannot be read/);
    t.equal(readFileSync(path.join(home, 'auth.json'), 'utf8'), text);
    t.match((await router(box, ['doctor', '--json'])).json.findings, [
      { code: 'ADD_UNFINISHED', remedy: null },
    ]);
    rmSync(home, { recursive: true });
  }
});

t.test('a torn login of a Codex that was killed while it wrote is kept', async (t) => {
  const { willLogIn, add, homes } = await ready(t);
  willLogIn(people.bob, [
    ['half', 'auth.json'],
    ['die', 'SIGKILL'],
  ]);
  const run = await add();
  t.match(run, { code: 6, json: { error: { code: 'IDENTITY_UNREADABLE' } } });
  t.equal(homes().length, 1);
});
