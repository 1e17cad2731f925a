import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { findCanary } from '../kit/canary.js';
import { type Issuer, startIssuer } from '../kit/issuer.js';
import { leaksOf, type RouterOptions, type RouterRun, router, type Sandbox, sandbox } from '../kit/router.js';
import { makeState } from '../kit/state.js';
import { codexAuthJson, DAY, type Login, type LoginOptions, type Person, people } from '../kit/tokens.js';

interface Bench {
  readonly box: Sandbox;
  readonly issuer: Issuer;
  /** The Codex home's auth.json. */
  readonly file: string;
  /** With `--json`. */
  run(line: string, options?: RouterOptions): Promise<RouterRun>;
  /** A login handed out by the issuer, stored under `alias`. */
  add(alias: string, person: Person, options?: Partial<LoginOptions>): Promise<Login>;
  /** Codex is signed in as this person. */
  signIn(person: Person, options?: Partial<LoginOptions>): Login;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads the fields it expects
  auth(): any;
  /** The list entry of an alias. */
  // biome-ignore lint/suspicious/noExplicitAny: as above
  entry(alias: string): Promise<any>;
  config(...lines: string[]): void;
}

async function bench(t: Test): Promise<Bench> {
  const box = sandbox(t);
  const issuer = await startIssuer(t);
  box.env.CODEX_ROUTER_KEY = 'file';
  box.env.CODEX_ROUTER_TEST_ISSUER = issuer.url;
  makeState(box.stateDir, { release: '2026.5.7', slot: null });
  const file = path.join(box.codexHome, 'auth.json');
  const self: Bench = {
    box,
    issuer,
    file,
    run: (line, options) => router(box, [...line.split(' '), '--json'], options),
    async add(alias, person, options = {}) {
      const login = issuer.mint(person, options);
      const run = await router(box, ['import', '--from', '-', '--alias', alias], {
        input: textOf(login, issuer),
      });
      if (run.code !== 0) throw new Error(run.stderr);
      return login;
    },
    signIn(person, options = {}) {
      const login = issuer.mint(person, options);
      writeFileSync(file, textOf(login, issuer), { mode: 0o600 });
      return login;
    },
    auth: () => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : null),
    entry: async (alias) =>
      (await self.run('list')).json.identities.find((one: { alias: string }) => one.alias === alias),
    config: (...lines) => writeFileSync(path.join(box.codexHome, 'config.toml'), `${lines.join('\n')}\n`),
  };
  t.teardown(() => {
    const leaks = leaksOf(box);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
    if (issuer.reuses().length > 0) throw new Error('a token was spent twice');
  });
  return self;
}

function textOf(login: Login, issuer: Issuer): string {
  return codexAuthJson(login, '0.169', { issuer: issuer.url });
}

const refused = (code: string, exit = 6) => ({ code: exit, json: { error: { code } } });

t.test(
  'a lent file holds no way to spend the login, and list, status and doctor say that it is lent',
  async (t) => {
    const { box, run, add, auth, file, entry } = await bench(t);
    const alice = await add('a', people.alice);
    const lent = await router(box, ['lend', 'a', '--to', 'codex']);
    t.match(
      lent.stdout,
      /^a \(.*is lent to the Codex CLI in .* until .*\nnext: codex-router unlend a ends it\n$/,
    );
    const { last_refresh, ...rest } = auth();
    t.ok(Date.parse(last_refresh) > 0);
    t.strictSame(rest, {
      auth_mode: 'chatgptAuthTokens',
      OPENAI_API_KEY: null,
      tokens: {
        id_token: alice.idToken,
        access_token: alice.access,
        refresh_token: '',
        account_id: alice.accountId,
      },
    });
    t.equal(statSync(file).mode & 0o777, 0o600);
    t.strictSame(readdirSync(box.codexHome).sort(), ['auth.json', 'auth.json.lock', 'auth.lock']);
    const lentTo = { tool: 'codex', folder: box.codexHome, what: 'access', until: alice.expires };
    t.strictSame((await entry('a')).lentTo, lentTo);
    const { notes } = (await run('status')).json;
    t.match(notes.at(-1), { code: 'LENT', text: /unlend a/ });
    t.match(await run('doctor'), { code: 0, json: { findings: [] } });
    t.match((await run('use a')).json, { result: 'switched' }, 'the login itself is still ours to route');
    t.match(await run('remove a --from-slot --yes'), refused('LENT'));
    t.match((await run('unlend')).json, { result: 'unlent', removed: true, what: 'access' });
    t.equal(auth(), null);
    t.equal((await entry('a')).lentTo, null);
    t.match((await run('unlend')).json, { result: 'unchanged', identity: null });
    t.match((await run('unlend a')).json, { result: 'unchanged', identity: { alias: 'a' } });
  },
);

t.test('what the Codex home has of other credentials, or cannot read, is never written over', async (t) => {
  const { add, run, file, config, auth, box } = await bench(t);
  await add('a', people.alice);
  for (const [text, code, exit] of [
    [JSON.stringify({ OPENAI_API_KEY: 'sk-CANARY' }), 'CHOICE_NEEDED', 2],
    [JSON.stringify({ auth_mode: 'apikey', OPENAI_API_KEY: 'sk-CANARY', tokens: null }), 'CHOICE_NEEDED', 2],
    [
      JSON.stringify({ auth_mode: 'personalAccessToken', personal_access_token: 'at-CANARY' }),
      'CHOICE_NEEDED',
      2,
    ],
    [JSON.stringify({ auth_mode: 'bedrockApiKey' }), 'CHOICE_NEEDED', 2],
    ['{"tokens":', 'IDENTITY_UNREADABLE', 6],
    ['', 'IDENTITY_UNREADABLE', 6],
  ] as const) {
    writeFileSync(file, text);
    for (const line of ['lend a', 'lend a --move --take'])
      t.match(await run(line), refused(code, exit), `${line}: ${text.slice(0, 40)}`);
    t.equal(readFileSync(file, 'utf8'), text);
  }
  rmSync(file);
  for (const [line, code] of [
    ['cli_auth_credentials_store = "keyring"', 'PLATFORM_UNSUPPORTED'],
    ["cli_auth_credentials_store='auto' # or file", 'PLATFORM_UNSUPPORTED'],
    ['cli_auth_credentials_store = "ephemeral"', 'PLATFORM_UNSUPPORTED'],
    ['forced_login_method = "api"', 'PLATFORM_UNSUPPORTED'],
    ['forced_chatgpt_workspace_id = "another"', 'IDENTITY_UNEXPECTED'],
    ['forced_chatgpt_workspace_id = [\n  "another", # theirs\n  "third",\n]', 'IDENTITY_UNEXPECTED'],
  ] as const) {
    config('model = "gpt-5.5"', line);
    t.match(await run('lend a'), refused(code), line);
    t.equal(auth(), null);
  }
  config(
    'cli_auth_credentials_store = "file"',
    'forced_login_method = "chatgpt"',
    `forced_chatgpt_workspace_id = ["another", "${people.alice.accountId}"]`,
    '[profiles.other]',
    'forced_login_method = "api"',
  );
  t.equal((await run('lend a')).code, 0);
  const missing = await run('lend a', { env: { CODEX_HOME: path.join(box.root, 'nowhere') } });
  t.match(missing, refused('LOGIN_NOT_FOUND', 4));
});

t.test('without CODEX_HOME an absent ~/.codex is made for its owner only', async (t) => {
  const { box, run, add } = await bench(t);
  await add('a', people.alice);
  rmSync(box.codexHome, { recursive: true });
  const env = { CODEX_HOME: undefined };
  t.match(await run('lend a', { env }), { code: 0, json: { folder: box.codexHome } });
  t.equal(statSync(box.codexHome).mode & 0o777, 0o700);
  t.match((await run('unlend a', { env })).json, { removed: true });
});

t.test('a link for auth.json, or for the folder, is followed and stays', async (t) => {
  const { box, run, add, file, auth, signIn } = await bench(t);
  await add('a', people.alice);
  const dotfiles = path.join(box.root, 'dotfiles');
  mkdirSync(dotfiles);
  symlinkSync(path.join(dotfiles, 'auth'), file);
  t.equal((await run('lend a')).code, 0, 'although it leads to nothing yet');
  t.equal(readlinkSync(file), path.join(dotfiles, 'auth'));
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.equal(auth().auth_mode, 'chatgptAuthTokens');
  const alias = path.join(box.root, 'codex');
  symlinkSync(box.codexHome, alias);
  const renewed = await run('lend a', { env: { CODEX_HOME: alias } });
  t.match(renewed.json, { result: 'renewed', folder: box.codexHome });
  t.match((await run('unlend a', { env: { CODEX_HOME: alias } })).json, { removed: true });
  t.ok(lstatSync(file).isSymbolicLink());
  t.strictSame(readdirSync(dotfiles), ['auth.lock'].concat([]).sort());
  const bob = signIn(people.bob);
  chmodSync(path.join(dotfiles, 'auth'), 0o644);
  t.equal((await run('lend a --take')).code, 0);
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.match((await run('unlend')).json, { restored: { email: people.bob.email } });
  t.match((await run('unlend')).json, { result: 'unchanged', identity: null }, 'again it signs nobody out');
  t.equal(auth().tokens.refresh_token, bob.refresh);
  rmSync(dotfiles, { recursive: true });
  t.match(await run('lend a'), refused('IO', 5), 'a link into a folder that is gone');
});

t.test(
  'the login that Codex had is only taken where that was said, and what an import left is finished first',
  async (t) => {
    const { box, run, add, signIn, auth, file, entry } = await bench(t);
    await add('a', people.alice);
    const bob = signIn(people.bob);
    t.match(await run('lend a'), refused('CHOICE_NEEDED', 2));
    const declined = await router(box, ['lend', 'a'], { tty: [{ after: 'Take it out?', send: '\r' }] });
    t.equal(declined.code, 130);
    t.equal(auth().tokens.refresh_token, bob.refresh);
    t.match((await run('list')).json.identities, [{ alias: 'a', lentTo: null }]);
    const carol = signIn(people.carol);
    renameSync(file, path.join(box.codexHome, '.auth.json.codex-router-taking'));
    writeFileSync(file, textOf(bob, { url: box.env.CODEX_ROUTER_TEST_ISSUER } as Issuer));
    const agreed = await router(box, ['lend', 'a'], { tty: [{ after: 'Take it out?', send: '\x1b[B\r' }] });
    t.equal(agreed.code, 0, agreed.stdout);
    t.match((await run('list')).json.identities, [
      { alias: 'a' },
      { email: people.carol.email, lentTo: null },
      { email: people.bob.email, lentTo: null },
    ]);
    t.strictSame(readdirSync(box.codexHome).sort(), ['auth.json', 'auth.json.lock', 'auth.lock']);
    t.notMatch(readFileSync(file, 'utf8'), carol.refresh);
    t.match((await run('unlend')).json.restored, { email: people.bob.email });
    t.match((await entry('a')).lentTo, null);
    t.match(await run('use a'), { code: 0 });
  },
);

t.test(
  'another identity takes the place of a lent one, and who was there first still comes back',
  async (t) => {
    const { run, add, signIn, auth, entry } = await bench(t);
    const alice = await add('a', people.alice);
    await add('c', people.carol);
    const bob = signIn(people.bob);
    t.equal((await run('lend a --take')).code, 0);
    t.match((await run('lend c')).json, { result: 'lent', displaced: { email: people.bob.email } });
    t.equal(auth().tokens.account_id, people.carol.accountId);
    t.equal((await entry('a')).lentTo, null);
    t.match((await run('lend c --move')).json, { result: 'moved', displaced: { email: people.bob.email } });
    t.match(await run('lend a --take'), { code: 6, json: { error: { code: 'LENT', hint: /unlend c/ } } });
    t.match((await run('unlend')).json, { handBack: 'unchanged', restored: { email: people.bob.email } });
    t.equal(auth().tokens.refresh_token, bob.refresh);
    t.match((await run('lend a --take')).json, { displaced: { email: people.bob.email } });
    t.equal(auth().tokens.access_token, alice.access);
  },
);

t.test('who was there before stays here where it was put to use meanwhile', async (t) => {
  const { run, add, signIn, auth, issuer } = await bench(t);
  await add('a', people.alice);
  const bob = signIn(people.bob);
  t.equal((await run('lend a --take')).code, 0);
  t.equal((await run(`use ${people.bob.accountId}`)).code, 0);
  const unlent = await run('unlend');
  t.match(unlent.json, { removed: true, restored: null, notes: [{ code: 'NOT_PUT_BACK', text: /in use/ }] });
  t.equal(auth(), null);
  t.ok(issuer.isLive(bob.refresh));
});

t.test('the own login of the identity itself comes back after its access token was lent', async (t) => {
  const { run, add, signIn, auth } = await bench(t);
  await add('a', people.alice, { issuedAt: Date.now() - DAY });
  const own = signIn(people.alice);
  t.match((await run('lend a --take')).json, { displaced: { alias: 'a' } });
  t.equal(auth().tokens.refresh_token, '');
  t.match((await run('unlend a')).json, { restored: { alias: 'a' } });
  t.equal(auth().tokens.refresh_token, own.refresh);
  t.match(await run('use a'), refused('IDENTITY_IN_USE'));
  t.match((await run('unlend a')).json, { handBack: 'unchanged', restored: null });
  t.equal(auth(), null);
  t.match(await run('use a'), { code: 0 });
});

t.test('only what is parked without doubt is handed over', async (t) => {
  const { run, add, signIn, auth, issuer, box } = await bench(t);
  await add('a', people.alice);
  const bob = await add('b', people.bob);
  await run('use a');
  t.match(await run('lend a --move'), {
    code: 6,
    json: { error: { code: 'IDENTITY_IN_USE', hint: /use <another>|use/ } },
  });
  issuer.behaviour.refreshFaults.push({ kind: 'drop' }, { kind: 'drop' });
  issuer.behaviour.graceMs = 60_000;
  t.equal((await run('refresh b')).code, 75);
  t.match(await run('lend b --move'), refused('LOGIN_DOUBTFUL'));
  t.equal((await run('lend b')).code, 0, 'its access token can be lent all the same');
  t.equal((await run('unlend b')).code, 0);
  t.equal(auth(), null);
  t.ok(issuer.isLive(bob.refresh), 'within the grace of the issuer');
  const carol = signIn(people.carol);
  await run('import --keep --alias c');
  t.match(await run('lend c --move', { env: { CODEX_HOME: box.tmp } }), refused('IDENTITY_IN_USE'));
  t.match((await run('lend c --move --take')).json, { result: 'moved', displaced: null });
  t.equal(auth().tokens.refresh_token, carol.refresh);
  t.equal((await run('unlend c')).code, 0);
  t.match(await run('lend c --move'), { code: 0 });
});

t.test(
  'a handed over login whose home is gone, replaced or logged out is in doubt, and said to be',
  async (t) => {
    const { run, add, signIn, auth, box, file, entry, issuer } = await bench(t);
    const alice = await add('a', people.alice);
    const lose: readonly (readonly [how: string, () => void])[] = [
      ['LENT_GONE', () => rmSync(file)],
      ['LENT_REPLACED', () => void signIn(people.bob)],
      ['HOME_GONE', () => renameSync(box.codexHome, path.join(box.root, 'away'))],
    ];
    for (const [code, how] of lose) {
      t.match(await run('lend a --move'), { code: 0 });
      how();
      t.match((await run('doctor')).json.findings, [{ code: 'LENT_GONE', remedy: 'codex-router unlend a' }]);
      t.match(
        await run('use a', { env: { CODEX_HOME: undefined, HOME: box.tmp } }),
        refused('IDENTITY_IN_USE'),
      );
      const unlent = await run('unlend a');
      t.match(unlent.json, {
        removed: false,
        notes: [{ code }, { code: 'LOGIN_DOUBTFUL', text: /refresh a/ }],
      });
      t.match(await entry('a'), { lentTo: null, doubt: 'lost-outside' });
      t.match(
        await run('lend a --move'),
        refused(code === 'HOME_GONE' ? 'LOGIN_NOT_FOUND' : 'LOGIN_DOUBTFUL', code === 'HOME_GONE' ? 4 : 6),
      );
      t.match((await run('refresh a')).json, { refreshed: [{ result: 'refreshed' }] });
      t.equal((await entry('a')).doubt, null);
      if (code === 'LENT_REPLACED') rmSync(file);
    }
    t.notOk(issuer.isLive(alice.refresh));
    t.equal(auth(), null);
  },
);

t.test('a handed over login that may be in a file which cannot be taken is not given up', async (t) => {
  const { run, add, auth, file, entry } = await bench(t);
  const alice = await add('a', people.alice);
  t.equal((await run('lend a --move')).code, 0);
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, JSON.stringify({ ...auth(), OPENAI_API_KEY: 'sk-CANARY' }));
  t.match(await run('unlend a'), refused('CHOICE_NEEDED', 2));
  writeFileSync(file, text.slice(0, 300));
  t.match(await run('unlend a'), refused('IDENTITY_UNREADABLE'));
  t.match(await entry('a'), { lentTo: { what: 'grant' }, doubt: null });
  t.match(await run('use a'), refused('IDENTITY_IN_USE'));
  writeFileSync(file, text);
  t.match((await run('unlend a')).json, { handBack: 'unchanged' });
  t.equal((await run('lend a --move')).code, 0);
  writeFileSync(file, JSON.stringify({ auth_mode: 'apikey', OPENAI_API_KEY: 'sk-CANARY', tokens: null }));
  t.match((await run('unlend a')).json, { notes: [{ code: 'LENT_REPLACED' }, { code: 'LOGIN_DOUBTFUL' }] });
  t.equal(auth().auth_mode, 'apikey', 'and the API key is left alone');
  t.ok(alice.refresh);
});

t.test('while Codex holds its lock nothing is lent, and nothing is said to be', async (t) => {
  const { run, add, auth, box, entry } = await bench(t);
  await add('a', people.alice);
  const lock = path.join(box.codexHome, 'auth.json.lock');
  const holder = spawn('flock', ['-F', '-x', lock, 'cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(holder, 'exit');
  t.teardown(() => holder.stdin.end());
  holder.stdin.write('held\n');
  await once(holder.stdout, 'data');
  t.match(await run('lend a'), {
    code: 75,
    json: { error: { code: 'HOST_BUSY', hint: /run the command again/ } },
  });
  t.equal(auth(), null);
  t.equal((await entry('a')).lentTo, null);
  holder.stdin.end();
  await ended;
  t.equal((await run('lend a')).code, 0);
});

t.test('a login stored since the hand-over wins, and what Codex has is sealed', async (t) => {
  const { run, add, auth, box, issuer } = await bench(t);
  await add('a', people.alice, { issuedAt: Date.now() - DAY });
  t.equal((await run('lend a --move')).code, 0);
  const newer = await add('a', people.alice);
  t.match((await run('use a')).json, { result: 'switched' }, 'the newer one is parked');
  t.match(await run('restore 1 --yes'), refused('LENT'));
  t.match((await run('unlend a')).json, { handBack: 'repo-newer' });
  t.equal(auth(), null);
  t.strictSame(findCanary([box.codexHome]), []);
  t.ok(issuer.isLive(newer.refresh));
  t.ok((await run('restore')).json.backUps.length > 1);
});

t.test('what Codex made of a handed over login comes home whatever its clock says', async (t) => {
  const { run, add, signIn, issuer } = await bench(t);
  const alice = await add('a', people.alice);
  t.equal((await run('lend a --move')).code, 0);
  const rotated = signIn(people.alice, { issuedAt: Date.now() - 2 * DAY });
  t.match((await run('unlend a')).json, { handBack: 'taken-home' });
  t.match((await run('refresh a')).json, { refreshed: [{ result: 'refreshed' }] });
  t.equal(issuer.presentations(rotated.refresh), 1);
  t.equal(issuer.presentations(alice.refresh), 0);
});

t.test('import --take from the home of a hand-over ends it', async (t) => {
  const { run, add, entry, auth } = await bench(t);
  const alice = await add('a', people.alice);
  t.equal((await run('lend a --move')).code, 0);
  t.equal(auth().tokens.refresh_token, alice.refresh);
  t.match(await run('import --keep'), refused('LENT'));
  t.match((await run('import --take')).json, { imported: [{ identity: { alias: 'a' } }] });
  t.match(await entry('a'), { lentTo: null, doubt: null });
  t.match(await run('use a'), { code: 0 });
});

t.test(
  'an access token that another program lent is left to it, and so is the one of another identity',
  async (t) => {
    const { run, add, auth, file } = await bench(t);
    await add('a', people.alice);
    await add('b', people.bob);
    t.equal((await run('lend a')).code, 0);
    const text = readFileSync(file, 'utf8');
    t.equal((await run('unlend a')).code, 0);
    writeFileSync(file, text);
    t.match(await run('lend b --take'), { code: 6, json: { error: { code: 'LENT', hint: /codex logout/ } } });
    t.equal(readFileSync(file, 'utf8'), text);
    rmSync(file);
    t.equal((await run('lend b')).code, 0);
    writeFileSync(file, text);
    t.match((await run('doctor')).json.findings, [{ code: 'LENT_GONE' }]);
    t.match((await run('unlend b')).json, { removed: false, notes: [{ code: 'LENT_REPLACED' }] });
    t.equal(auth().tokens.account_id, people.alice.accountId);
  },
);

t.test(
  'one identity is lent to one home; which lending is meant has to be said where there are several',
  async (t) => {
    const { run, add, box } = await bench(t);
    await add('a', people.alice);
    await add('b', people.bob);
    const second = { env: { CODEX_HOME: path.join(box.root, 'second') } };
    mkdirSync(second.env.CODEX_HOME);
    t.equal((await run('lend a')).code, 0);
    t.match(await run('lend a', second), { code: 6, json: { error: { code: 'LENT', hint: /unlend a/ } } });
    t.equal((await run('lend b', second)).code, 0);
    t.match(await run('unlend', { env: { CODEX_HOME: box.tmp } }), refused('IDENTITY_AMBIGUOUS', 3));
    t.match((await run('unlend', second)).json, { identity: { alias: 'b' } });
    t.match((await run('unlend')).json, { identity: { alias: 'a' }, removed: true });
  },
);
