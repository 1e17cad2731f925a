import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import {
  runVaultAddKey,
  runVaultInit,
  runVaultRekey,
  runVaultStatus,
  type VaultCli,
} from '../../src/cli/commands/vault.js';
import { type ErrorCode, RouterError } from '../../src/errors.js';
import { identityKey } from '../../src/identity.js';
import { KEY_KINDS, type KeyKind } from '../../src/repo/key-kind.js';
import type { RepoDeps } from '../../src/repo/opening.js';
import { openRepoAt } from '../../src/repo/store.js';
import { initVault } from '../../src/repo/vault.js';
import { addKey, rekeyVault } from '../../src/repo/vault-keys.js';
import { vaultStatus } from '../../src/repo/vault-status.js';
import { holding, LOCKED, memoryKeychain, NOON, newFolders, revealed, testDeps } from './support.js';

const ONE = holding('acc-1');
const KEY = identityKey(ONE.identity);
const GOLDEN = join(import.meta.dirname, '..', 'fixtures', 'golden-vault', 'v1');

async function asksNobody(): Promise<string> {
  throw new Error('asked');
}

function choose(kind: KeyKind, keyFile: string | null = null) {
  return { kind, keyFile };
}

/** A file that only its owner can read, in a folder of its own. */
function privateFile(text: string): string {
  const path = join(mkdtempSync(join(tmpdir(), 'codex-router-test-')), 'private');
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

function credentials(text = Buffer.alloc(32, 7).toString('base64')): { CREDENTIALS_DIRECTORY: string } {
  const folder = mkdtempSync(join(tmpdir(), 'codex-router-test-'));
  writeFileSync(join(folder, 'codex-router.key'), `${text}\n`);
  return { CREDENTIALS_DIRECTORY: folder };
}

const PASSPHRASE = { CODEX_ROUTER_PASSPHRASE_FILE: privateFile('correct horse CANARY\n') };

/** Everything under the data folder, byte for byte. */
function snapshot(folder: string): { [name: string]: string } {
  const found: { [name: string]: string } = {};
  for (const name of readdirSync(folder, { recursive: true }).map(String)) {
    if (statSync(join(folder, name)).isFile()) found[name] = readFileSync(join(folder, name), 'base64');
  }
  return found;
}

async function opens(deps: RepoDeps): Promise<object> {
  return revealed(await (await openRepoAt({ ...deps, firstRun: null }).open()).load(KEY));
}

async function withOne(kind: KeyKind, over: Partial<RepoDeps> = {}) {
  const deps = testDeps(over);
  await initVault(deps, choose(kind));
  await (await openRepoAt(deps).open()).save(ONE);
  return deps;
}

const keyFileOf = (deps: RepoDeps) => join(deps.folders.config, readdirSync(deps.folders.config)[0] ?? '');

t.test('a vault opens again with each kind of key', async (t) => {
  const env = { ...PASSPHRASE, ...credentials() };
  for (const kind of KEY_KINDS) {
    const deps = await withOne(kind, { env });
    t.same(await opens(deps), revealed(ONE), kind);
    t.match(await vaultStatus(deps), { identities: 1, keys: [{ kind, primary: true, addedAt: NOON }] });
    const all = JSON.stringify(snapshot(deps.folders.data));
    t.notMatch(all, /CANARY/);
  }
});

t.test(
  'a key file vault starts no keychain child; a keychain vault starts it before anything else',
  async (t) => {
    const keychain = memoryKeychain();
    const deps = await withOne('file', { keychain });
    await opens(deps);
    t.same(new Set(keychain.calls), new Set(['close']));
    const chained = memoryKeychain();
    const other = await withOne('keychain', { keychain: chained });
    await rekeyVault(other, choose('keychain'), null);
    chained.calls.length = 0;
    await opens(other);
    t.same(chained.calls, ['warm', 'get', 'close'], 'also after vault.json was rewritten');
  },
);

t.test('a keychain item is written once, never overwritten, and is base64url of 32 bytes', async (t) => {
  const keychain = memoryKeychain();
  const deps = await withOne('keychain', { keychain });
  const [[account = '', value = ''] = []] = [...keychain.items];
  t.match(account, /^vault:[0-9a-f-]{36}$/);
  t.match(value, /^[A-Za-z0-9_-]{43}$/);
  await rekeyVault(deps, choose('keychain'), null);
  t.equal(keychain.items.size, 1);
  t.notOk(keychain.items.has(account), 'the old item is deleted');
  t.same(await opens(deps), revealed(ONE));
});

t.test(
  'a key file is 0600 in a folder 0700, apart from the data, and refused when others can read it',
  async (t) => {
    const deps = await withOne('file');
    const path = keyFileOf(deps);
    t.equal(statSync(path).mode & 0o777, 0o600);
    t.equal(statSync(deps.folders.config).mode & 0o777, 0o700);
    t.match(readFileSync(path, 'utf8'), /^[A-Za-z0-9_-]{43}\n$/);
    for (const mode of [0o640, 0o604, 0o620, 0o601]) {
      chmodSync(path, mode);
      await t.rejects(opens(deps), { code: 'VAULT_PERMISSIONS', hint: /chmod 600/ });
    }
    chmodSync(path, 0o600);
    t.same(await opens(deps), revealed(ONE));
  },
);

const notRoot = process.getuid?.() === 0 ? false : 'giving a file away needs root';
t.test('a key file of another user is refused', { skip: notRoot }, async (t) => {
  const deps = await withOne('file');
  chownSync(keyFileOf(deps), 12345, 12345);
  await t.rejects(opens(deps), { code: 'VAULT_PERMISSIONS', message: /another user/ });
});

t.test("no vault is made in another user's folder", { skip: notRoot }, async (t) => {
  const deps = testDeps();
  mkdirSync(deps.folders.data, { mode: 0o700 });
  chownSync(deps.folders.data, 12345, 12345);
  await t.rejects(initVault(deps, choose('file')), { code: 'VAULT_PERMISSIONS', hint: /sudo -u '#12345'/ });
  t.strictSame(readdirSync(deps.folders.data), []);
  t.notOk(existsSync(deps.folders.config), 'nor a key');
});

t.test('a key file elsewhere: given at init, by CODEX_ROUTER_KEY_FILE, or moved later', async (t) => {
  const elsewhere = join(mkdtempSync(join(tmpdir(), 'codex-router-test-')), 'usb', 'my.key');
  const deps = testDeps({ env: { CODEX_ROUTER_KEY_FILE: elsewhere } });
  await (await openRepoAt(deps).open()).save(ONE);
  t.match(await vaultStatus(deps), { keys: [{ path: elsewhere }] });
  t.same(await opens({ ...deps, env: {} }), revealed(ONE), 'the path is recorded');
  const moved = `${elsewhere}.moved`;
  renameSync(elsewhere, moved);
  await t.rejects(opens({ ...deps, env: {} }), { code: 'KEY_MISSING', message: new RegExp(elsewhere) });
  t.match((await vaultStatus(deps)).warnings, [/only one key/, /is not there/]);
  t.same(await opens({ ...deps, keyFile: moved }), revealed(ONE));
  const link = `${elsewhere}.link`;
  symlinkSync(moved, link);
  t.same(await opens({ ...deps, keyFile: link }), revealed(ONE), 'a symlink is followed');
  await t.rejects(opens({ ...deps, keyFile: 'relative.key' }), { code: 'USAGE' });
  const second = testDeps({ env: { CODEX_ROUTER_KEY_FILE: moved } });
  await t.rejects(openRepoAt(second).open(), { code: 'USAGE', message: /never overwritten/ });
  t.same(await opens({ ...deps, keyFile: moved }), revealed(ONE), 'the key survived that');
});

t.test('a wrong key is called wrong, whatever its kind', async (t) => {
  const filed = await withOne('file');
  await t.rejects(opens({ ...filed, keyFile: keyFileOf(await withOne('file')) }), { code: 'KEY_WRONG' });
  await t.rejects(opens({ ...filed, keyFile: privateFile('not a key\n') }), { code: 'KEY_WRONG' });
  const phrased = await withOne('passphrase', { env: PASSPHRASE });
  const wrong = { CODEX_ROUTER_PASSPHRASE_FILE: privateFile('wrong horse CANARY\n') };
  await t.rejects(opens({ ...phrased, env: wrong }), {
    code: 'KEY_WRONG',
    message: /passphrase does not open/,
  });
  const unit = await withOne('credential', { env: credentials() });
  const other = credentials(Buffer.alloc(32, 8).toString('base64url'));
  await t.rejects(opens({ ...unit, env: other }), { code: 'KEY_WRONG' });
  await t.rejects(opens({ ...unit, env: credentials('short') }), {
    code: 'KEY_WRONG',
    hint: /systemd-creds/,
  });
  const keychain = memoryKeychain();
  const chained = await withOne('keychain', { keychain });
  for (const account of keychain.items.keys()) keychain.items.set(account, 'changed');
  await t.rejects(opens(chained), { code: 'KEY_WRONG' });
});

t.test('a passphrase comes from a private file or a terminal, never from anywhere else', async (t) => {
  const asked: string[] = [];
  const typing = (...answers: string[]) => ({
    isTerminal: true,
    askSecret: async (question: string) => {
      asked.push(question);
      return answers.shift() ?? '';
    },
  });
  const deps = testDeps();
  await t.rejects(initVault(deps, choose('passphrase')), { code: 'KEY_MISSING', hint: /PASSPHRASE_FILE/ });
  await t.rejects(initVault({ ...deps, ...typing('one two three', 'other') }, choose('passphrase')), {
    code: 'USAGE',
    message: /differ/,
  });
  await t.rejects(initVault({ ...deps, ...typing('short', 'short') }, choose('passphrase')), {
    code: 'USAGE',
  });
  t.notOk(existsSync(join(deps.folders.data, 'vault.json')), 'nothing was made');
  // Decomposed and composed: the same passphrase on another keyboard.
  await initVault({ ...deps, ...typing('cafe\u0301 au lait', 'cafe\u0301 au lait') }, choose('passphrase'));
  t.ok(await openRepoAt({ ...deps, ...typing('caf\u00e9 au lait'), firstRun: null }).open());
  t.equal(asked.length, 7);
  await t.rejects(openRepoAt(deps).open(), { code: 'KEY_MISSING', hint: /PASSPHRASE_FILE/ });
  const file = privateFile('caf\u00e9 au lait\r\n');
  const env = { CODEX_ROUTER_PASSPHRASE_FILE: file };
  t.ok(await openRepoAt({ ...deps, env }).open());
  chmodSync(file, 0o644);
  await t.rejects(openRepoAt({ ...deps, env }).open(), { code: 'VAULT_PERMISSIONS' });
  rmSync(file);
  await t.rejects(openRepoAt({ ...deps, env }).open(), { code: 'KEY_MISSING', message: /passphrase file/ });
});

t.test('without a vault: a command that stores nothing makes none', async (t) => {
  const deps = testDeps({ firstRun: null });
  await t.rejects(openRepoAt(deps).open(), { code: 'VAULT_MISSING' });
  t.notOk(existsSync(deps.folders.data));
});

t.test(
  'the first run: --key decides, then CODEX_ROUTER_KEY, then a keychain that works, said aloud',
  async (t) => {
    const never = { key: null, ask: asksNobody };
    const kindOf = async (deps: RepoDeps) => {
      await openRepoAt(deps).open();
      return (await vaultStatus(deps)).keys[0]?.kind;
    };
    t.equal(
      await kindOf(testDeps({ env: { CODEX_ROUTER_KEY: 'keychain' }, firstRun: { ...never, key: 'file' } })),
      'file',
    );
    t.equal(await kindOf(testDeps({ env: { CODEX_ROUTER_KEY: 'file' }, firstRun: never })), 'file');
    const deps = testDeps({ firstRun: never, isTerminal: true });
    t.equal(await kindOf(deps), 'keychain');
    t.match(deps.said, [/its key: the OS keychain/]);
    const odd = testDeps({ env: { CODEX_ROUTER_KEY: 'cloud' }, firstRun: never });
    await t.rejects(openRepoAt(odd).open(), { code: 'USAGE', message: /CODEX_ROUTER_KEY must be one of/ });
  },
);

t.test('the first run without a usable keychain stops without a terminal and asks on one', async (t) => {
  const causes: ErrorCode[] = [
    'KEYCHAIN_NO_BUS',
    'KEYCHAIN_NO_SERVICE',
    'KEYCHAIN_LIBRARY_MISSING',
    'KEYCHAIN_LOCKED',
  ];
  for (const code of causes) {
    const keychain = memoryKeychain();
    keychain.trouble = new RouterError(code, `trouble of ${code}`);
    const firstRun = { key: null, ask: asksNobody };
    const deps = testDeps({ keychain, firstRun });
    await t.rejects(openRepoAt(deps).open(), {
      code: 'KEY_CHOICE_NEEDED',
      exitCode: 5,
      message: new RegExp(`trouble of ${code} \\(${code}\\)`),
      hint: /--key file, --key passphrase or --key credential/,
    });
    t.notOk(existsSync(deps.folders.data), 'nothing was made');
  }
  const keychain = memoryKeychain();
  keychain.trouble = LOCKED;
  const asked: string[] = [];
  const answer = (value: string) => ({
    key: null,
    ask: async (question: string) => {
      asked.push(question);
      return value;
    },
  });
  const stopping = testDeps({ keychain, isTerminal: true, firstRun: answer('stop') });
  await t.rejects(openRepoAt(stopping).open(), { code: 'KEYCHAIN_LOCKED' });
  const filing = testDeps({ keychain, isTerminal: true, firstRun: answer('file') });
  await openRepoAt(filing).open();
  t.match((await vaultStatus(filing)).keys, [{ kind: 'file' }]);
  t.match(filing.said, [/its key: a key file: \//]);
  t.match(asked, [/the keychain is locked/, /the keychain is locked/]);
});

t.test('an explicit keychain that fails is an error, not another kind of key', async (t) => {
  const keychain = memoryKeychain();
  keychain.trouble = LOCKED;
  const deps = testDeps({
    keychain,
    firstRun: { key: 'keychain', ask: async () => 'file' },
    isTerminal: true,
  });
  await t.rejects(openRepoAt(deps).open(), { code: 'KEYCHAIN_LOCKED' });
  t.notOk(existsSync(join(deps.folders.data, 'vault.json')));
});

t.test('never a new key over an existing vault, nor beside what one sealed', async (t) => {
  const deps = await withOne('file');
  const before = snapshot(deps.folders.data);
  const keys = readdirSync(deps.folders.config);
  await t.rejects(initVault(deps, choose('file')), { code: 'VAULT_EXISTS' });
  await t.rejects(runVaultInit(cliOf(deps).cli, { key: 'file' }), { code: 'VAULT_EXISTS', exitCode: 6 });
  t.same(snapshot(deps.folders.data), before);
  const vault = join(deps.folders.data, 'vault.json');
  renameSync(vault, `${vault}.lost`);
  const orphaned = { code: 'VAULT_DAMAGED', message: /vault\.json is missing/ };
  await t.rejects(openRepoAt(deps).open(), orphaned);
  await t.rejects(runVaultInit(cliOf(deps).cli, { key: 'file' }), orphaned);
  rmSync(join(deps.folders.data, 'index.json'));
  await t.rejects(openRepoAt(deps).open(), orphaned);
  await t.rejects(runVaultStatus(cliOf(deps).cli, {}), orphaned);
  t.same(readdirSync(deps.folders.config), keys, 'no key was made meanwhile');
});

t.test('of two programs that make the vault at once, one wins and the other says so', async (t) => {
  const deps = testDeps();
  const results = await Promise.allSettled([1, 2, 3].map(() => initVault(deps, choose('file'))));
  t.equal(results.filter((result) => result.status === 'fulfilled').length, 1);
  for (const result of results)
    if (result.status === 'rejected') t.match(result.reason, { code: 'VAULT_EXISTS' });
  t.equal(readdirSync(deps.folders.config).length, 1, 'the losers took their keys back');
  t.ok(await openRepoAt(deps).open());
});

t.test('a broken vault.json is refused untouched', async (t) => {
  const deps = await withOne('file');
  const path = join(deps.folders.data, 'vault.json');
  const good = readFileSync(path, 'utf8');
  const file = JSON.parse(good);
  const broken = ['', good.slice(0, 90), '{}', JSON.stringify({ ...file, unlockers: [] })];
  broken.push(JSON.stringify({ ...file, unlockers: [{ ...file.unlockers[0], kind: 'cloud' }] }));
  broken.push(JSON.stringify({ ...file, version: 0 }), JSON.stringify({ ...file, version: '1' }));
  for (const text of broken) {
    writeFileSync(path, text);
    await t.rejects(openRepoAt(deps).open(), { code: 'VAULT_DAMAGED' });
    await t.rejects(vaultStatus(deps), { code: 'VAULT_DAMAGED' });
    await t.rejects(rekeyVault(deps, choose('file'), null), { code: 'VAULT_DAMAGED' });
    t.equal(readFileSync(path, 'utf8'), text);
  }
});

t.test('a wrapped key cannot be moved to another vault, unlocker or kind', async (t) => {
  const deps = await withOne('file');
  const path = join(deps.folders.data, 'vault.json');
  const good = readFileSync(path, 'utf8');
  const other = '00000000-0000-4000-8000-000000000000';
  const file = JSON.parse(good);
  for (const text of [
    good.replace(file.vaultId, other),
    good.replace(`"id": "${file.unlockers[0].id}"`, `"id": "${other}"`),
  ]) {
    t.not(text, good);
    writeFileSync(path, text);
    await t.rejects(openRepoAt(deps).open(), { code: 'KEY_WRONG' });
  }
});

t.test(
  'rekey moves the vault to any other key, touches no record, and deletes the old key last',
  async (t) => {
    const env = { ...PASSPHRASE, ...credentials() };
    const keychain = memoryKeychain();
    const deps = await withOne('file', { env, keychain });
    const { 'vault.json': _, ...before } = snapshot(deps.folders.data);
    const oldKey = keyFileOf(deps);
    for (const kind of ['keychain', 'credential', 'passphrase', 'file'] as const) {
      await rekeyVault(deps, choose(kind), null);
      t.same(await opens(deps), revealed(ONE), kind);
      t.match(await vaultStatus(deps), { keys: { length: 1, 0: { kind } } });
      const { 'vault.json': __, ...after } = snapshot(deps.folders.data);
      t.same(after, before);
    }
    t.notOk(existsSync(oldKey));
    t.equal(keychain.items.size, 0);
  },
);

t.test('a rekey that fails changes nothing and leaves no new key behind', async (t) => {
  const keychain = memoryKeychain();
  const deps = await withOne('file', { keychain });
  const before = snapshot(deps.folders.data);
  keychain.trouble = LOCKED;
  await t.rejects(rekeyVault(deps, choose('keychain'), null), { code: 'KEYCHAIN_LOCKED' });
  await t.rejects(rekeyVault(deps, choose('credential'), null), { code: 'KEY_MISSING' });
  await t.rejects(rekeyVault(deps, choose('file'), 'passphrase'), {
    code: 'USAGE',
    message: /no key of kind passphrase/,
  });
  keychain.trouble = null;
  // Another program changes the vault while the new key is being made.
  const racing = {
    ...keychain,
    set: async (account: string, value: string) => {
      await keychain.set(account, value);
      const path = join(deps.folders.data, 'vault.json');
      writeFileSync(path, `${readFileSync(path, 'utf8')}\n`);
    },
  };
  await t.rejects(rekeyVault({ ...deps, keychain: racing }, choose('keychain'), null), { code: 'BUSY' });
  t.equal(keychain.items.size, 0);
  t.equal(
    Object.keys(snapshot(deps.folders.data)).length,
    Object.keys(before).length,
    'no temporary file is left',
  );
  t.same(await opens(deps), revealed(ONE));
});

/** Runs `work` as somebody whom file modes bind; everything in `folder` is theirs. */
async function unprivileged(folder: string, work: () => Promise<void>): Promise<void> {
  if (process.geteuid?.() !== 0) return work();
  for (const name of ['.', ...readdirSync(folder, { recursive: true }).map(String)]) {
    chownSync(join(folder, name), 65534, 65534);
  }
  process.seteuid?.(65534);
  try {
    await work();
  } finally {
    process.seteuid?.(0);
  }
}

t.test('a new key that vault.json names already is never taken back', async (t) => {
  const keychain = memoryKeychain();
  const deps = await withOne('file', { keychain });
  await opens(deps);
  await unprivileged(dirname(deps.folders.data), async () => {
    chmodSync(deps.folders.data, 0o300);
    await t.rejects(rekeyVault(deps, choose('keychain'), null), {
      code: 'IO',
      message: /was written, but is not proved durable/,
    });
    chmodSync(deps.folders.data, 0o700);
    t.equal(keychain.items.size, 1);
    t.same(await opens(deps), revealed(ONE));
  });
});

const noProc = process.platform === 'linux' ? false : 'opening the pipe of another process needs /proc';
t.test(
  'a passphrase comes out of a pipe that is still empty when it is opened',
  { skip: noProc },
  async (t) => {
    const deps = await withOne('passphrase', { env: PASSPHRASE });
    const script = 'exec 9< <(read go; echo "correct horse CANARY"); echo ready; exec sleep 60';
    const shell = spawn('bash', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
    t.teardown(() => shell.kill('SIGKILL'));
    await once(shell.stdout, 'data');
    const opening = opens({ ...deps, env: { CODEX_ROUTER_PASSPHRASE_FILE: `/proc/${shell.pid}/fd/9` } });
    // Late, so that a read which blocks the process would never end; the order makes no other difference.
    setTimeout(() => shell.stdin.write('go\n'), 300);
    t.same(await opening, revealed(ONE));
    const device = { CODEX_ROUTER_PASSPHRASE_FILE: '/dev/null' };
    await t.rejects(opens({ ...deps, env: device }), { code: /^(IO|VAULT_PERMISSIONS)$/ });
  },
);

t.test('who chose the key, or mistyped it, is sent to no other key', async (t) => {
  const keychain = memoryKeychain();
  const deps = await withOne('keychain', { keychain });
  await addKey({ ...deps, env: PASSPHRASE }, choose('passphrase'), null);
  const wrong = { CODEX_ROUTER_PASSPHRASE_FILE: privateFile('wrong horse CANARY\n') };
  await t.rejects(rekeyVault({ ...deps, env: wrong }, choose('file'), 'passphrase'), {
    code: 'KEY_WRONG',
    hint: /^try again$/,
  });
  keychain.trouble = LOCKED;
  await t.rejects(rekeyVault(deps, choose('file'), 'keychain'), {
    code: 'KEYCHAIN_LOCKED',
    hint: /^unlock it$/,
  });
  keychain.trouble = null;
  await rekeyVault({ ...deps, env: PASSPHRASE }, choose('passphrase'), null);
  await addKey({ ...deps, env: PASSPHRASE }, choose('keychain'), null);
  keychain.trouble = LOCKED;
  await t.rejects(opens({ ...deps, env: wrong }), {
    code: 'KEY_WRONG',
    hint: 'try again; if it is forgotten: codex-router vault rekey --to passphrase --with keychain',
  });
});

t.test('--key-file without a key file to name is refused, not dropped', async (t) => {
  const keyFile = '/nonexistent/some.key';
  for (const env of [{}, { CODEX_ROUTER_KEY: 'keychain' }]) {
    const deps = testDeps({ keyFile, env });
    await t.rejects(runVaultInit(cliOf(deps).cli, { keyFile }), { code: 'USAGE', message: /--key file/ });
    await t.rejects(runVaultInit(cliOf(deps).cli, { key: 'passphrase', keyFile }), { code: 'USAGE' });
    t.notOk(existsSync(deps.folders.data));
  }
  const deps = await withOne('file', { env: PASSPHRASE });
  const { cli } = cliOf({ ...deps, keyFile });
  await t.rejects(runVaultRekey(cli, { to: 'keychain', keyFile }), { code: 'USAGE' });
  await t.rejects(runVaultAddKey(cli, 'passphrase', { keyFile }), { code: 'USAGE' });
  t.match((await vaultStatus(deps)).keys, { length: 1 });
});

t.test('an old key that cannot be deleted is said aloud and opens nothing any more', async (t) => {
  const keychain = memoryKeychain();
  const stubborn = { ...keychain, delete: async () => Promise.reject(LOCKED) };
  const deps = await withOne('keychain', { keychain: stubborn });
  await rekeyVault(deps, choose('file'), null);
  t.match(deps.said, [/could not be deleted \(the keychain is locked\)/]);
  t.equal(keychain.items.size, 1);
  t.same(await opens(deps), revealed(ONE));
});

t.test('a lost keychain item is recovered with the second key', async (t) => {
  const keychain = memoryKeychain();
  const deps = await withOne('keychain', { keychain });
  await addKey({ ...deps, env: PASSPHRASE }, choose('passphrase'), null);
  t.same((await vaultStatus(deps)).warnings, []);
  keychain.items.clear();
  await t.rejects(opens(deps), {
    code: 'KEY_MISSING',
    message: /deleted from the OS keychain/,
    hint: 'codex-router vault rekey --to keychain --with passphrase',
  });
  const { cli } = cliOf({ ...deps, env: PASSPHRASE });
  await runVaultRekey(cli, { to: 'keychain', with: 'passphrase' });
  t.same(await opens(deps), revealed(ONE));
  t.match((await vaultStatus(deps)).keys, [{ kind: 'keychain' }, { kind: 'passphrase' }]);
});

t.test('another key is used by itself only when it asks nobody, and that is said', async (t) => {
  const keychain = memoryKeychain();
  const deps = await withOne('keychain', { keychain });
  await addKey({ ...deps, env: PASSPHRASE }, choose('passphrase'), null);
  keychain.trouble = LOCKED;
  let asked = 0;
  const terminal = {
    isTerminal: true,
    askSecret: async () => {
      asked += 1;
      return 'correct horse CANARY';
    },
  };
  await t.rejects(opens({ ...deps, ...terminal }), {
    code: 'KEYCHAIN_LOCKED',
    hint: /unlock it; or move to another key: codex-router vault rekey --to file --with passphrase/,
  });
  t.equal(asked, 0);
  t.same(await opens({ ...deps, env: PASSPHRASE }), revealed(ONE));
  t.match(deps.said, [/the keychain is locked; opened the vault with a passphrase instead/]);
  const wrong = { CODEX_ROUTER_PASSPHRASE_FILE: privateFile('wrong horse CANARY') };
  await t.rejects(opens({ ...deps, env: wrong }), { code: 'KEYCHAIN_LOCKED' });
});

t.test('add-key adds a kind, replaces the same kind in its place, and keeps a second key file', async (t) => {
  const deps = await withOne('file', { env: PASSPHRASE });
  await addKey(deps, choose('passphrase'), null);
  const changed = { CODEX_ROUTER_PASSPHRASE_FILE: privateFile('another horse CANARY\n') };
  const { replaced } = await addKey({ ...deps, env: changed }, choose('passphrase'), null);
  t.match(replaced, [{ kind: 'passphrase' }]);
  const usb = join(dirname(deps.folders.data), 'usb.key');
  await addKey(deps, choose('file', usb), null);
  t.match((await vaultStatus(deps)).keys, [
    { kind: 'file' },
    { kind: 'passphrase' },
    { kind: 'file', path: usb },
  ]);
  rmSync(keyFileOf(deps));
  t.same(await opens({ ...deps, env: {} }), revealed(ONE), 'with the second key file');
  t.same(await opens({ ...deps, env: changed }), revealed(ONE));
  await rekeyVault({ ...deps, env: changed }, choose('file'), 'passphrase');
  t.ok(existsSync(usb));
  t.same(await opens({ ...deps, env: {} }), revealed(ONE));
});

function cliOf(repoDeps: RepoDeps): { cli: VaultCli; documents: object[]; texts: string[] } {
  const documents: object[] = [];
  const texts: string[] = [];
  const print = (document: object, text: () => string) => {
    documents.push(JSON.parse(JSON.stringify(document)));
    texts.push(text());
  };
  return { cli: { repoDeps, ask: async () => 'stop', print }, documents, texts };
}

t.test('vault status opens nothing, shows every key and warns while there is only one', async (t) => {
  const deps = await withOne('file', { env: PASSPHRASE });
  rmSync(keyFileOf(deps));
  const { cli, documents, texts } = cliOf(deps);
  await runVaultStatus(cli, {});
  t.match(documents[0], {
    schemaVersion: 1,
    ok: true,
    vault: {
      exists: true,
      folder: deps.folders.data,
      formatVersion: 1,
      identities: 1,
      keys: [{ kind: 'file', primary: true }],
    },
    check: null,
  });
  t.match(
    texts[0],
    /1 identities\nkey: a key file: \/.*\nwarning: there is only one key.*\nwarning: the key file .* is not there/,
  );
  await t.rejects(runVaultStatus(cli, { check: true }), { code: 'KEY_MISSING' });
  const none = cliOf(testDeps());
  await runVaultStatus(none.cli, {});
  t.match(none.documents[0], { ok: true, vault: { exists: false, vaultId: null, identities: 0, keys: [] } });
  await t.rejects(runVaultStatus(none.cli, { check: true }), { code: 'VAULT_MISSING' });
});

t.test(
  'vault status --check opens every record, mends what a crash left and names what is damaged',
  async (t) => {
    const deps = await withOne('file');
    const { cli, documents } = cliOf(deps);
    renameSync(join(deps.folders.data, 'index.json'), join(deps.folders.data, 'lost'));
    await runVaultStatus(cli, {});
    t.match(documents[0], { vault: { identities: 1, warnings: [/only one/, /index\.json is missing/] } });
    await runVaultStatus(cli, { check: true });
    t.match(documents[1], { check: { opened: true, records: 1, rebuilt: 1, removed: 0 } });
    const index = join(deps.folders.data, 'index.json');
    writeFileSync(index, '{"version":1,');
    await t.rejects(runVaultStatus(cli, {}), {
      code: 'VAULT_DAMAGED',
      hint: /^codex-router vault status --check$/,
    });
    await runVaultStatus(cli, { check: true });
    t.match(documents[2], { check: { opened: true, records: 1, rebuilt: 1 }, vault: { identities: 1 } });
    t.equal(readFileSync(`${index}.damaged`, 'utf8'), '{"version":1,');
    t.match(deps.said, [/index\.json was damaged: it is kept/]);
    t.equal((await openRepoAt(deps).list()).length, 1);
    const newer = readFileSync(index, 'utf8').replace('"version": 1', '"version": 2');
    writeFileSync(index, newer);
    await t.rejects(runVaultStatus(cli, { check: true }), { code: 'VAULT_NEWER' });
    t.equal(readFileSync(index, 'utf8'), newer, 'what a later release wrote is not damage');
    writeFileSync(index, newer.replace('"version": 2', '"version": 1'));
    const records = join(deps.folders.data, 'records');
    writeFileSync(join(records, readdirSync(records)[0] ?? ''), 'torn');
    await t.rejects(runVaultStatus(cli, { check: true }), { code: 'RECORD_DAMAGED', message: /not JSON/ });
  },
);

t.test('vault init, add-key and rekey say what opens the vault now', async (t) => {
  const deps = testDeps({ env: PASSPHRASE });
  const { cli, documents, texts } = cliOf(deps);
  await runVaultInit(cli, { key: 'file' });
  await runVaultAddKey(cli, 'passphrase', {});
  await runVaultRekey(cli, { to: 'keychain' });
  t.match(documents, [
    { schemaVersion: 1, ok: true, vault: { exists: true, keys: [{ kind: 'file' }] } },
    { schemaVersion: 1, ok: true, added: 'passphrase', replaced: [], keys: { length: 2 } },
    {
      added: 'keychain',
      replaced: ['file'],
      keys: [
        { kind: 'keychain', primary: true },
        { kind: 'passphrase', primary: false },
      ],
    },
  ]);
  t.match(
    texts[2],
    /now opens with the OS keychain\nno longer with: file\nkey: the OS keychain\nkey: a passphrase \(further key\)/,
  );
  await t.rejects(runVaultRekey(cli, { to: 'cloud' }), { code: 'USAGE', exitCode: 2 });
  await t.rejects(runVaultAddKey(cli, 'cloud', {}), {
    code: 'USAGE',
    hint: 'for instance codex-router vault add-key passphrase',
  });
});

t.test('--key-file names the new key file of a rekey, not the one that opens the vault now', async (t) => {
  const deps = await withOne('file');
  const keyFile = join(dirname(deps.folders.data), 'usb', 'new.key');
  await runVaultRekey(cliOf({ ...deps, keyFile }).cli, { to: 'file', keyFile: 'usb/new.key' });
  t.match((await vaultStatus(deps)).keys, [{ kind: 'file', path: keyFile }]);
  t.same(await opens(deps), revealed(ONE));
});

/** The committed vault as a checkout of it, with the key as private as git cannot keep it. */
function goldenDeps(): RepoDeps {
  const folders = newFolders();
  cpSync(join(GOLDEN, 'data'), folders.data, { recursive: true });
  mkdirSync(folders.config);
  const keyFile = join(folders.config, 'golden.key');
  writeFileSync(keyFile, readFileSync(join(GOLDEN, 'golden.key')), { mode: 0o600 });
  return testDeps({ folders, keyFile, firstRun: null });
}

t.test('the golden vault of format 1 opens, with its key file and with its passphrase', async (t) => {
  const expected = JSON.parse(readFileSync(join(GOLDEN, 'expected.json'), 'utf8'));
  const byPassphrase = { CODEX_ROUTER_PASSPHRASE_FILE: privateFile('golden passphrase CANARY\n') };
  const filed = goldenDeps();
  for (const deps of [filed, { ...goldenDeps(), keyFile: '/nonexistent/key', env: byPassphrase }]) {
    const repo = await openRepoAt(deps).open();
    const entries = await repo.list();
    const holdings = await Promise.all(entries.map((entry) => repo.load(identityKey(entry.identity))));
    t.same(holdings.map(revealed), expected.holdings);
    t.same(
      holdings.map((one) => repo.fingerprint(one.grant)),
      expected.fingerprints,
    );
    t.same(
      entries.map((entry) => entry.fingerprint),
      expected.fingerprints,
    );
    t.same(await openRepoAt(deps).list(), entries);
  }
  t.same(snapshot(filed.folders.data), snapshot(join(GOLDEN, 'data')), 'looking changed nothing');
});

t.test(
  'a newer vault.json, index or record is refused by every command and left byte for byte',
  async (t) => {
    const first = '11111111-aaaa-4aaa-8aaa-111111111111';
    for (const file of ['vault.json', 'index.json', 'record']) {
      const deps = goldenDeps();
      const entries = await openRepoAt(deps).list();
      const [one] = entries;
      if (one === undefined) throw new Error('no golden identity');
      const held = holding(first, 'user-golden-one', 2);
      const record = readdirSync(join(deps.folders.data, 'records')).find((name) =>
        readFileSync(join(deps.folders.data, 'records', name), 'utf8').includes(first),
      );
      const path = join(deps.folders.data, file === 'record' ? `records/${record}` : file);
      const newer = readFileSync(path, 'utf8').replace(/"version":( ?)1/, '"version":$12');
      writeFileSync(path, newer);
      const before = snapshot(deps.folders.data);
      const open = () => openRepoAt(deps).open();
      const key = identityKey(one.identity);
      const refused = { code: 'VAULT_NEWER', exitCode: 6, hint: /update codex-router/ };
      await t.rejects(
        open().then((repo) => repo.load(key)),
        refused,
        `${file}: load`,
      );
      await t.rejects(
        open().then((repo) => repo.save(held)),
        refused,
        `${file}: save`,
      );
      if (file !== 'record')
        await t.rejects(
          open().then((repo) => repo.list()),
          refused,
          `${file}: list`,
        );
      if (file === 'vault.json') {
        await t.rejects(rekeyVault(deps, choose('keychain'), null), refused);
        await t.rejects(addKey(deps, choose('keychain'), null), refused);
        await t.rejects(vaultStatus(deps), refused);
        await t.rejects(initVault(deps, choose('file')), { code: 'VAULT_EXISTS' });
      }
      if (file === 'index.json') await t.rejects(openRepoAt(deps).list(), refused);
      if (file !== 'record') {
        await t.rejects(openRepoAt(deps).setAlias(key, 'x'), refused);
        await t.rejects(openRepoAt(deps).remove(key), refused);
      }
      t.same(snapshot(deps.folders.data), before, file);
    }
  },
);
