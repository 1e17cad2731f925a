import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { findCanary } from '../kit/canary.js';
import { startIssuer } from '../kit/issuer.js';
import { real } from '../kit/real.js';
import { makeState, readJson, SLOT, writeJson } from '../kit/state.js';
import { loginOf, people } from '../kit/tokens.js';
import { keyPair, listed, machine, openedExport, secretFile } from './machine.js';

t.test('what one machine exports to a key, another imports; age opens it, and nobody else', async (t) => {
  const [here, there] = [machine(t), machine(t)];
  const [alice, bob] = [loginOf('alice'), loginOf('bob')];
  await here.add('home', alice);
  await here.add('work', bob);
  const key = await keyPair(there.box);
  const file = path.join(here.box.root, 'logins.age');
  const made = await here.run(['export', '--to', file, '--recipient', key.recipient, '--json']);
  t.equal(made.code, 0, made.stderr);
  t.match(made.json, {
    result: 'exported',
    file,
    closedBy: 'recipients',
    armor: false,
    identities: [
      { identity: { alias: 'home' }, heldBy: null },
      { identity: { alias: 'work' }, heldBy: null },
    ],
    notes: [{ code: 'COPY', text: /stops working as soon as the other is refreshed/ }],
  });
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.strictSame(findCanary([file]), [], 'nothing of a token can be read in it');
  t.strictSame(
    readdirSync(here.box.root).filter((name) => name.endsWith('.tmp')),
    [],
  );

  const document = await openedExport(file, key);
  t.match(document, {
    format: 'codex-router-export',
    version: 1,
    identities: [
      { grant: { refreshToken: alice.refresh } },
      { alias: 'work', grant: { accessToken: bob.access } },
    ],
  });
  await t.test('the age program opens it too', async (t) => {
    const programs = real(t, 'age');
    if (programs === null) return;
    const opened = spawnSync(programs.age, ['-d', '-i', key.file, file]);
    t.equal(opened.status, 0, opened.stderr.toString());
    t.strictSame(JSON.parse(opened.stdout.toString()), document);
  });

  const preview = await there.run(['import', '--from', file, '--identity', key.file, '--dry-run', '--json']);
  t.match(preview.json.imported, [{ result: 'added' }, { result: 'added' }], preview.stderr);
  t.strictSame(await listed(there), []);
  const read = await there.run(['import', '--from', file, '--identity', key.file, '--json']);
  t.equal(read.code, 0, read.stderr);
  t.match(read.json.imported, [{ source: 'archive', verified: false }, { identity: { alias: 'work' } }]);
  const said = { code: 'LOGIN_DOUBTFUL', text: /codex-router refresh home tells/ };
  for (const { json } of [preview, read]) t.match(json.notes, [{ code: 'COPY' }, said, { code: said.code }]);
  t.match(await listed(there), [
    { alias: 'home', doubt: 'restored', email: people.alice.email },
    { alias: 'work', doubt: 'restored', accountId: people.bob.accountId },
  ]);
  const again = await there.run(['import', '--from', file, '--identity', key.file, '--json']);
  t.match(again.json, { result: 'unchanged' });

  t.match(await there.run(['import', '--from', file, '--json']), {
    code: 2,
    json: { error: { code: 'CHOICE_NEEDED', hint: /--identity/ } },
  });
  const other = await keyPair(there.box, 'other.txt');
  t.match(await there.run(['import', '--from', file, '--identity', other.file, '--json']), {
    json: { error: { code: 'KEY_WRONG', message: /none of the keys given opens/ } },
  });
});

t.test('an archive that the age program made is imported, and a plain one', async (t) => {
  const [here, there] = [machine(t), machine(t)];
  await here.add('home', loginOf('alice'));
  const key = await keyPair(there.box);
  const plain = path.join(here.box.root, 'plain.json');
  t.match(await here.run(['export', '--to', plain, '--plaintext', '--json']), {
    code: 2,
    json: { error: { code: 'CHOICE_NEEDED', hint: /--yes-write-my-tokens-unencrypted/ } },
  });
  t.notOk(existsSync(plain), 'once is not enough');
  const made = await here.run([
    'export',
    '--to',
    plain,
    '--plaintext',
    '--yes-write-my-tokens-unencrypted',
    '--json',
  ]);
  t.match(made.json, { closedBy: null }, made.stderr);
  t.equal(statSync(plain).mode & 0o777, 0o600);
  const direct = machine(t);
  t.match((await direct.run(['import', '--from', plain, '--json'])).json.imported, [{ source: 'archive' }]);

  const programs = real(t, 'age');
  if (programs === null) return;
  for (const flags of [[], ['--armor']]) {
    const file = path.join(there.box.root, `made${flags.length}.age`);
    const sealed = spawnSync(programs.age, ['-r', key.recipient, ...flags, '-o', file, plain]);
    t.equal(sealed.status, 0, sealed.stderr.toString());
    const read = await there.run(['import', '--from', file, '--identity', key.file, '--json']);
    t.match(read.json, { ok: true, imported: [{ identity: { alias: 'home' } }] }, read.stderr);
  }
});

t.test('unencrypted on a terminal is asked about, and no is no', async (t) => {
  const here = machine(t);
  await here.add('home', loginOf('alice'));
  const plain = path.join(here.box.root, 'plain.json');
  const no = await here.run(['export', '--to', plain, '--plaintext'], {
    tty: [{ after: 'Write them unencrypted?', send: '\r' }],
  });
  t.match(no.stdout, /nothing was written/);
  t.notOk(existsSync(plain));
});

t.test('a file that is there is replaced only when that is said, and is whole at any time', async (t) => {
  const here = machine(t);
  await here.add('home', loginOf('alice'));
  const file = secretFile(here.box, 'logins.age', 'mine');
  const folder = here.box.routerHome;
  for (const other of [file, path.join(folder, 'vault.json'), path.join(folder, 'new.age'), here.box.home]) {
    const run = await here.run(['export', '--to', other, '--recipient', RECIPIENT, '--force', '--json']);
    t.match(
      run,
      { code: 2, json: { error: { code: 'USAGE' } } },
      `${other}: no export, so it is not replaced`,
    );
  }
  t.equal(readFileSync(file, 'utf8'), 'mine');
  writeFileSync(file, 'age-encryption.org/v1\nold');
  const args = ['export', '--to', file, '--recipient', RECIPIENT, '--json'];
  t.match(await here.run(args), { code: 2, json: { error: { code: 'CHOICE_NEEDED', hint: /--force/ } } });
  t.match(readFileSync(file, 'utf8'), /old$/);
  t.equal((await here.run([...args, '--force'])).code, 0);
  t.match(readFileSync(file, 'latin1'), /^age-encryption\.org\/v1\n-> X25519 /);
  t.match(
    await here.run([
      'export',
      '--to',
      path.join(here.box.root, 'no', 'x'),
      '--recipient',
      RECIPIENT,
      '--json',
    ]),
    {
      json: { error: { code: 'IO' } },
    },
  );
});

/** Nobody's: its key was thrown away. */
const RECIPIENT = 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p';

t.test('what cannot be is said before anything is read or written', async (t) => {
  const here = machine(t);
  const file = path.join(here.box.root, 'x.age');
  const says = async (args: readonly string[], code: string, message: RegExp, input?: string) =>
    t.match(
      await here.run(['export', '--to', file, ...args, '--json'], input === undefined ? {} : { input }),
      { json: { error: { code, message } } },
      String(message),
    );
  await says(['--recipient', RECIPIENT], 'VAULT_MISSING', /./);
  await here.add('home', loginOf('alice'));
  await says(['--recipient', RECIPIENT, '--to', ''], 'USAGE', /--to names no file/);
  await says([], 'CHOICE_NEEDED', /needs a passphrase, and there is no terminal/);
  await says(['--recipient', 'age1nonsense'], 'USAGE', /age1nonsense is no age recipient/);
  const secret = 'AGE-SECRET-KEY-1CANARYCANARY';
  await says(['--recipient', secret], 'USAGE', /what was given is no age recipient/);
  await says(['--recipient', RECIPIENT, '--passphrase'], 'USAGE', /exclude each other/);
  await says(['--passphrase-file', '-'], 'USAGE', /at least 8 characters/, 'short');
  await says(['nobody', '--recipient', RECIPIENT], 'IDENTITY_NOT_FOUND', /./);
  t.notOk(existsSync(file));
});

t.test(
  'an export takes home what OpenClaw has refreshed, and says whose copies it will outdate',
  async (t) => {
    const issuer = await startIssuer(t);
    const here = machine(t, issuer);
    const state = makeState(here.box.stateDir, { release: '2026.5.7', slot: null });
    await here.add('home', issuer.mint(people.alice));
    await here.add('work', issuer.mint(people.bob));
    await here.run(['use', 'home']);
    const store = readJson(state.paths().profiles) as {
      profiles: Record<string, { refresh: string; access: string }>;
    };
    const slot = store.profiles[SLOT];
    const fresh = await issuer.refresh(slot?.refresh ?? '');
    if (!fresh.ok || slot === undefined) throw new Error('no refresh');
    slot.refresh = fresh.refresh;
    slot.access = fresh.access;
    writeJson(state.paths().profiles, store);

    const key = await keyPair(here.box);
    const file = path.join(here.box.root, 'logins.age');
    const made = await here.run(['export', '--to', file, '--recipient', key.recipient, '--json']);
    t.match(made.json, {
      identities: [{ heldBy: "OpenClaw's agent main" }, { heldBy: null }],
      notes: [
        { code: 'TAKEN_HOME' },
        { code: 'COPY_WILL_AGE', text: /^home: OpenClaw's agent main runs on this login/ },
        { code: 'COPY' },
      ],
    });
    t.equal((await openedExport(file, key)).identities[0].grant.refreshToken, fresh.refresh);
    t.equal(issuer.of('refresh').length, 1, "OpenClaw's own, and none of ours");

    const only = path.join(here.box.root, 'only.age');
    t.match((await here.run(['export', '--to', only, '--recipient', key.recipient, 'work', '--json'])).json, {
      identities: [{ identity: { alias: 'work' } }],
    });
  },
);

t.test(
  'an older export never replaces a newer login, and what is imported again is tried before it is trusted',
  async (t) => {
    const issuer = await startIssuer(t);
    const here = machine(t, issuer);
    const old = issuer.mint(people.alice, { issuedAt: Date.now() - 60_000 });
    await here.add('home', old);
    const key = await keyPair(here.box);
    const file = path.join(here.box.root, 'logins.age');
    const args = ['--identity', key.file, '--json'];
    await here.run(['export', '--to', file, '--recipient', key.recipient]);
    t.equal((await here.run(['refresh', 'home'])).code, 0);
    t.match(await here.run(['import', '--from', file, ...args]), {
      code: 6,
      json: { error: { code: 'GRANT_NOT_NEWER' } },
    });
    t.match(await listed(here), [{ doubt: null }]);
    await here.run(['remove', 'home', '--yes']);
    t.equal((await here.run(['import', '--from', file, ...args])).code, 0);
    t.match(await listed(here), [{ alias: 'home', doubt: 'restored' }]);
    t.match((await here.run(['refresh', '--all', '--json'])).json.refreshed, [{ result: 'doubtful' }]);
    t.equal(issuer.presentations(old.refresh), 1, 'a round does not present it again');
  },
);

t.test('an archive with another issuer, or tokens of another person, is taken without those', async (t) => {
  const here = machine(t);
  await here.add('home', loginOf('alice'));
  await here.add('work', loginOf('bob'));
  await here.add('more', loginOf('carol'));
  const plain = path.join(here.box.root, 'plain.json');
  await here.run(['export', '--to', plain, '--plaintext', '--yes-write-my-tokens-unencrypted']);
  const document = readJson(plain) as { identities: { userId: string; grant: { provenance: unknown } }[] };
  const [first, second] = document.identities;
  if (first === undefined || second === undefined) throw new Error('nothing exported');
  first.grant.provenance = { issuer: 'https://auth.example.test', clientId: 'x' };
  second.userId = 'user-somebody';
  writeJson(plain, document);
  const there = machine(t);
  mkdirSync(there.box.stateDir, { recursive: true });
  const read = await there.run(['import', '--from', plain, '--json']);
  t.match(read.json, {
    imported: [{ identity: { alias: 'more' } }],
    skipped: [{ reason: /names an issuer that is not/ }, { reason: /its tokens are of/ }],
  });
});

t.test('an archive of which nothing can be used makes no vault', async (t) => {
  const here = machine(t);
  await here.add('home', loginOf('alice'));
  const plain = path.join(here.box.root, 'plain.json');
  await here.run(['export', '--to', plain, '--plaintext', '--yes-write-my-tokens-unencrypted']);
  const document = readJson(plain) as { identities: { userId: string }[] };
  const [only] = document.identities;
  if (only === undefined) throw new Error('nothing exported');
  only.userId = 'user-somebody';
  writeJson(plain, document);
  const there = machine(t);
  t.match(await there.run(['import', '--from', plain, '--json']), {
    code: 4,
    json: { error: { code: 'LOGIN_NOT_FOUND', message: /nothing can be imported: .*its tokens are of/ } },
  });
  t.notOk(existsSync(path.join(there.box.routerHome, 'vault.json')));
});

t.test('the command that is shown for another machine can be copied as it is', async (t) => {
  const here = machine(t);
  await here.add('home', loginOf('alice'));
  const folder = path.join(here.box.root, "two words, it's");
  mkdirSync(folder);
  const file = path.join(folder, 'x.age');
  const { stdout } = await here.run(['export', '--to', file, '--recipient', RECIPIENT]);
  const command = /import --from (.*)$/m.exec(stdout)?.[1] ?? '';
  t.equal(spawnSync('/bin/sh', ['-c', `printf %s ${command}`]).stdout.toString(), file);
});
