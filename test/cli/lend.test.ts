import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
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
import t from 'tap';
import { lendBench, refused, textOf } from '../kit/lend-bench.js';
import { router } from '../kit/router.js';
import { people } from '../kit/tokens.js';

t.test('--dry-run shows who would be lent and who would be taken out, and writes nothing', async (t) => {
  const { box, run, add, file, entry } = await lendBench(t);
  await add('a', people.alice);
  await add('b', people.bob);
  t.match(await run('lend a --dry-run'), {
    code: 0,
    json: {
      result: 'planned',
      what: 'access',
      folder: box.codexHome,
      displaced: null,
      identity: { alias: 'a' },
    },
  });
  t.throws(() => statSync(file), 'nothing is there');
  t.equal((await entry('a')).lentTo, null);
  t.match((await run('lend b --move')).json, { result: 'moved' });
  const before = readFileSync(file);
  t.match((await run('lend a --dry-run')).json, { result: 'planned', displaced: { alias: 'b' } });
  t.match((await router(box, ['lend', 'a', '--dry-run'])).stdout, /first .*bob.* is taken out/);
  t.ok(readFileSync(file).equals(before));
  t.match((await run('unlend')).json, { result: 'unlent' });
});

t.test(
  'a lent file holds no way to spend the login, and list, status and doctor say that it is lent',
  async (t) => {
    const { box, run, add, auth, file, entry } = await lendBench(t);
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
  const { add, run, file, config, auth, box } = await lendBench(t);
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
  for (const [line, code, exit = 6] of [
    ['cli_auth_credentials_store = "keyring"', 'PLATFORM_UNSUPPORTED'],
    ["cli_auth_credentials_store='auto' # or file", 'PLATFORM_UNSUPPORTED'],
    ['cli_auth_credentials_store = "ephemeral"', 'PLATFORM_UNSUPPORTED'],
    ['forced_login_method = "api"', 'PLATFORM_UNSUPPORTED'],
    ['forced_chatgpt_workspace_id = "another"', 'IDENTITY_UNEXPECTED'],
    ['notify = [\n  ["a"],\n]\nforced_login_method = "api"', 'PLATFORM_UNSUPPORTED'],
    ['\'forced_login_method\' = "api"', 'PLATFORM_UNSUPPORTED'],
    ['about = """\n[no table]\n"""\nforced_login_method = \'api\'', 'PLATFORM_UNSUPPORTED'],
    ['forced_login_method = ', 'IO', 5],
    ['forced_chatgpt_workspace_id = [\n  "another", # theirs\n  "third",\n]', 'IDENTITY_UNEXPECTED'],
  ] as const) {
    config('model = "gpt-5.5"', line);
    t.match(await run('lend a'), refused(code, exit), line);
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
  const { box, run, add } = await lendBench(t);
  await add('a', people.alice);
  rmSync(box.codexHome, { recursive: true });
  const env = { CODEX_HOME: undefined };
  t.match(await run('lend a', { env }), { code: 0, json: { folder: box.codexHome } });
  t.equal(statSync(box.codexHome).mode & 0o777, 0o700);
  t.match((await run('unlend a', { env })).json, { removed: true });
});

t.test('a link for auth.json, or for the folder, is followed and stays', async (t) => {
  const { box, run, add, file, auth, signIn } = await lendBench(t);
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
    const { box, run, add, signIn, auth, file, entry, issuer } = await lendBench(t);
    await add('a', people.alice);
    const bob = signIn(people.bob);
    t.match(await run('lend a'), refused('CHOICE_NEEDED', 2));
    const declined = await router(box, ['lend', 'a'], { tty: [{ after: 'Take it out?', send: '\r' }] });
    t.equal(declined.code, 130);
    t.equal(auth().tokens.refresh_token, bob.refresh);
    t.match((await run('list')).json.identities, [{ alias: 'a', lentTo: null }]);
    const carol = signIn(people.carol);
    renameSync(file, path.join(box.codexHome, '.auth.json.codex-router-taking'));
    writeFileSync(file, textOf(bob, issuer));
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
    const { run, add, signIn, auth, entry } = await lendBench(t);
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

t.test('only what is parked without doubt is handed over', async (t) => {
  const { run, add, signIn, auth, issuer, box } = await lendBench(t);
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

t.test('while Codex holds its lock nothing is lent, and nothing is said to be', async (t) => {
  const { run, add, auth, box, entry } = await lendBench(t);
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

t.test(
  'an access token that another program lent is left to it, and so is the one of another identity',
  async (t) => {
    const { run, add, auth, file } = await lendBench(t);
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
