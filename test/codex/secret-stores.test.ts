import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Decrypter, Encrypter } from 'age-encryption';
import t, { type Test } from 'tap';
import { workFactorOf } from '../../src/codex/age-passphrase.js';
import { parseAuthJson } from '../../src/codex/auth-json.js';
import { codexHome } from '../../src/codex/home.js';
import { codexKeyring } from '../../src/codex/keyring.js';
import { findFlock } from '../../src/codex/locks.js';
import { codexLogins } from '../../src/codex/logins.js';
import { keyringPlace } from '../../src/codex/secret-places.js';
import { takeSecret } from '../../src/codex/take-secret.js';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import { type Sandbox, sandbox } from '../kit/router.js';
import { codexAuthJson, loginOf } from '../kit/tokens.js';

const PASSPHRASE = 'CANARYpassphraseOf44CharactersAsCodexMakes=';

interface Keyring {
  readonly box: Sandbox;
  /** Puts an item there, as another program would. */
  put(service: string, text: string): void;
  item(service: string): string | null;
  /** What secret-tool was asked, one line each. */
  asked(): readonly string[];
  /** Runs before secret-tool answers; a line of shell. */
  before(line: string): void;
}

/**
 * A secret-tool over files: the real one and a real service are in test/interop/codex-stores.test.ts. No bus is here, so what is
 * missing reads as a keyring that cannot be reached.
 */
function keyringIn(t: Test): Keyring {
  const box = sandbox(t);
  const items = join(box.root, 'items');
  const hook = join(box.root, 'hook');
  const log = join(box.root, 'asked');
  mkdirSync(items);
  writeFileSync(log, '');
  writeFileSync(hook, '');
  const script = `#!/bin/sh
echo "$*" >> '${log}'
. '${hook}'
item="${items}/$3"
case "$1" in
  lookup) [ -f "$item" ] && exec cat "$item"; exit 1;;
  clear) rm "$item" 2>/dev/null; exit 0;;
esac
`;
  writeFileSync(join(box.bin, 'secret-tool'), script);
  chmodSync(join(box.bin, 'secret-tool'), 0o755);
  const file = (service: string) => join(items, service);
  return {
    box,
    put: (service, text) => writeFileSync(file(service), text),
    item: (service) => (existsSync(file(service)) ? readFileSync(file(service), 'utf8') : null),
    asked: () => readFileSync(log, 'utf8').trim().split('\n'),
    before: (line) => writeFileSync(hook, `${line}\n`),
  };
}

function homeOf(box: Sandbox, store?: 'file' | 'keyring' | 'age') {
  const around = { env: box.env, platform: process.platform, uid: process.geteuid?.() ?? null };
  return codexLogins(around).home(store);
}

function configure(box: Sandbox, text: string): void {
  writeFileSync(join(box.codexHome, 'config.toml'), text);
}

async function rejection(work: Promise<unknown>): Promise<RouterError> {
  return work.then(
    () => Promise.reject(new Error('nothing was refused')),
    (error) => (error instanceof RouterError ? error : Promise.reject(error)),
  );
}

/** What `secrets/codex_auth.age` is made of, at a work factor that a test can afford. */
async function ageFile(secrets: Readonly<Record<string, string>>, extra: object = {}): Promise<Uint8Array> {
  const encrypter = new Encrypter();
  encrypter.setPassphrase(PASSPHRASE);
  encrypter.setScryptWorkFactor(6);
  return encrypter.encrypt(JSON.stringify({ version: 1, secrets, ...extra }));
}

async function opened(file: string) {
  const decrypter = new Decrypter();
  decrypter.addPassphrase(PASSPHRASE);
  return JSON.parse(await decrypter.decrypt(readFileSync(file), 'text'));
}

const tokenOf = (holding: Holding | null) => holding?.grant.refreshToken.reveal();

t.test('finds the item that Codex made for this very home, and shows secret-tool no secret', async (t) => {
  const { box, put, asked } = keyringIn(t);
  const login = loginOf('alice');
  configure(box, 'cli_auth_credentials_store = "keyring"');
  put('Codex Auth', JSON.stringify(JSON.parse(codexAuthJson(login))));
  t.equal(tokenOf(await (await homeOf(box)).read()), login.refresh);
  const mark = createHash('sha256').update(box.codexHome).digest('hex').slice(0, 16);
  t.strictSame(asked(), [`lookup service Codex Auth username cli|${mark}`]);
});

t.test('asks no keyring unless config.toml or an encrypted file gives cause', async (t) => {
  const { box, put, asked } = keyringIn(t);
  put('Codex Auth', codexAuthJson(loginOf('alice')));
  for (const config of [
    '',
    'cli_auth_credentials_store = "file"',
    '[x]\ncli_auth_credentials_store = "keyring"',
  ]) {
    configure(box, config);
    for (const store of ['keyring', 'age', undefined] as const) {
      t.equal(await (await homeOf(box, store)).read(), null, config);
    }
  }
  mkdirSync(join(box.codexHome, 'secrets'));
  writeFileSync(join(box.codexHome, 'secrets', 'codex_auth.age'), Buffer.alloc(208));
  t.equal(await (await homeOf(box)).read(), null, 'what a logout leaves is too small to hold a login');
  t.strictSame(asked(), ['']);
});

t.test('of several stores the one that Codex itself would read is read', async (t) => {
  const { box, put, before } = keyringIn(t);
  const [inKeyring, inFile] = [loginOf('alice'), loginOf('bob')];
  put('Codex Auth', codexAuthJson(inKeyring));
  writeFileSync(join(box.codexHome, 'auth.json'), codexAuthJson(inFile));
  const read = async (store?: 'file' | 'keyring') => tokenOf(await (await homeOf(box, store)).read());
  configure(box, 'cli_auth_credentials_store = "keyring"');
  t.equal(await read(), inKeyring.refresh);
  t.equal(await read('file'), inFile.refresh);
  configure(box, "cli_auth_credentials_store = 'auto' # falls back");
  t.equal(await read(), inKeyring.refresh);
  before('exit 1');
  t.equal(await read(), inFile.refresh, 'auto falls back to the file when there is no keyring');
  t.equal(await read('keyring'), undefined, 'and nobody holds anything there');
  configure(box, 'cli_auth_credentials_store = "keyring"');
  t.equal((await rejection(read())).code, 'KEYCHAIN_NO_BUS', 'keyring does not');
  t.equal((await rejection(read('keyring'))).code, 'KEYCHAIN_NO_BUS');
});

t.test('a login leaves the keyring only after it was sealed, and only as it was sealed', async (t) => {
  const box = sandbox(t);
  const home = await codexHome(box.env);
  let item: string | null = null;
  const place = keyringPlace(home, {
    lookup: async () => item,
    clear: async () => {
      item = null;
    },
  });
  const flock = await findFlock(box.env, process.platform);
  const [first, rotated] = [loginOf('alice', { nonce: 'one' }), loginOf('alice', { nonce: 'two' })];
  const shown = parseAuthJson(codexAuthJson(first), 'x');
  const take = (seal: (holding: Holding) => Promise<void>) => takeSecret(home, place, shown, flock, seal);
  item = codexAuthJson(first);
  const full = new RouterError('IO', 'the disk is full');
  t.equal(await rejection(take(() => Promise.reject(full))), full);
  t.equal(item, codexAuthJson(first), 'not sealed, not taken');

  const sealed: (string | undefined)[] = [];
  await take(async (holding) => {
    t.not(item, null, 'still there while it is sealed');
    sealed.push(tokenOf(holding));
    // Codex rotates it while the first one is being sealed.
    if (sealed.length === 1) item = codexAuthJson(rotated);
  });
  t.strictSame(sealed, [first.refresh, rotated.refresh]);
  t.equal(item, null);

  item = codexAuthJson(first);
  const foreign = codexAuthJson(loginOf('bob', { nonce: 'three' }));
  const swap = async () => {
    item = foreign;
  };
  t.match(await rejection(take(swap)), {
    code: 'SLOT_CHANGED',
    message: /another login now; the login is sealed, and still in the system keyring too/,
  });
  t.equal(item, foreign, 'the login of somebody else is not touched');

  let turn = 0;
  const spin = async () => {
    turn += 1;
    item = codexAuthJson(loginOf('alice', { nonce: `turn${turn}` }));
  };
  item = codexAuthJson(first);
  t.match(await rejection(take(spin)), { code: 'HOST_BUSY', message: /changes too often/ });
  t.not(item, null);
  const stuck = keyringPlace(home, {
    lookup: async () => codexAuthJson(first),
    clear: async () => undefined,
  });
  t.match(await rejection(takeSecret(home, stuck, shown, flock, async () => undefined)), {
    code: 'KEYCHAIN_DENIED',
    message: /did not let go/,
  });
});

t.test('what lies beside the login in the keyring item is never destroyed', async (t) => {
  const { box, put, item } = keyringIn(t);
  configure(box, 'cli_auth_credentials_store = "keyring"');
  const text = JSON.stringify({
    ...JSON.parse(codexAuthJson(loginOf('alice'))),
    OPENAI_API_KEY: 'sk-CANARY',
  });
  put('Codex Auth', text);
  const home = await homeOf(box);
  t.match(await rejection(home.admitTaking()), {
    code: 'CHOICE_NEEDED',
    message: 'the system keyring also holds an API key, which taking the login away would destroy',
    hint: /--keep/,
  });
  t.equal(item('Codex Auth'), text);
});

t.test('a keyring that does not answer in time is given up', async (t) => {
  const { box, before } = keyringIn(t);
  before('exec sleep 30');
  const keyring = codexKeyring({
    env: box.env,
    platform: process.platform,
    isTerminal: false,
    deadline: 300,
  });
  t.match(await rejection(keyring.lookup('a', 'b')), { code: 'KEYCHAIN_NO_BUS' }, 'there is a better reason');
  const mac = codexKeyring({ env: box.env, platform: 'darwin', isTerminal: false, deadline: 300 });
  t.match(await rejection(mac.lookup('a', 'b')), { code: 'KEYCHAIN_LIBRARY_MISSING', message: /security/ });
  writeFileSync(join(box.bin, 'security'), '#!/bin/sh\nexec sleep 30\n', { mode: 0o755 });
  t.match(await rejection(mac.lookup('a', 'b')), { code: 'KEYCHAIN_HUNG', message: /within 0.3 s/ });
  const windows = codexKeyring({ env: box.env, platform: 'win32', isTerminal: false });
  t.equal((await rejection(windows.lookup('a', 'b'))).code, 'PLATFORM_UNSUPPORTED');
});

t.test("on macOS the system's own security is asked", async (t) => {
  const { box } = keyringIn(t);
  const log = join(box.root, 'security-asked');
  const security = (end: string) =>
    writeFileSync(join(box.bin, 'security'), `#!/bin/sh\necho "$*" >> '${log}'\n${end}\n`, { mode: 0o755 });
  const mac = codexKeyring({ env: box.env, platform: 'darwin', isTerminal: false });
  security('echo "{}"');
  t.equal(await mac.lookup('Codex Auth', 'cli|1'), '{}');
  await mac.clear('Codex Auth', 'cli|1');
  security('exit 44');
  t.equal(await mac.lookup('Codex Auth', 'cli|1'), null);
  security('exit 36');
  t.equal((await rejection(mac.lookup('Codex Auth', 'cli|1'))).code, 'KEYCHAIN_DENIED');
  t.strictSame(readFileSync(log, 'utf8').split('\n').slice(0, 2), [
    'find-generic-password -s Codex Auth -a cli|1 -w',
    'delete-generic-password -s Codex Auth -a cli|1',
  ]);
});

t.test('an encrypted store is read, and gives up its login without losing any other secret', async (t) => {
  const { box, put } = keyringIn(t);
  put('codex', PASSPHRASE);
  const folder = join(box.codexHome, 'secrets');
  const file = join(folder, 'codex_auth.age');
  mkdirSync(folder);
  const login = loginOf('carol');
  const others = { 'global/GITHUB': 'CANARY-other', 'env/x/CODEX_AUTH': codexAuthJson(loginOf('bob')) };
  const written = await ageFile({ ...others, 'global/CODEX_AUTH': codexAuthJson(login) }, { later: [1] });
  writeFileSync(file, written, { mode: 0o644 });
  const home = await homeOf(box);
  const shown = await home.read();
  if (shown === null) throw new Error('no login');
  t.equal(tokenOf(shown), login.refresh);
  t.match(await rejection(home.take(shown, () => Promise.reject(new RouterError('IO', 'full')))), {
    code: 'IO',
  });
  t.strictSame(readFileSync(file), Buffer.from(written), 'not sealed, not taken');
  await home.take(shown, async (holding) => {
    t.equal(tokenOf(holding), login.refresh);
    t.strictSame(readFileSync(file), Buffer.from(written));
  });
  t.strictSame(await opened(file), { version: 1, secrets: others, later: [1] });
  t.equal(workFactorOf(readFileSync(file)), 6, 'sealed no weaker than before');
  t.equal(statSync(file).mode & 0o077, 0);
  t.strictSame(readdirSync(folder), ['codex_auth.age']);
  t.equal(await home.read(), null);
});

t.test('an encrypted store that changes meanwhile is sealed again before it is taken', async (t) => {
  const { box, put } = keyringIn(t);
  put('codex', PASSPHRASE);
  const file = join(box.codexHome, 'secrets', 'codex_auth.age');
  mkdirSync(join(box.codexHome, 'secrets'));
  const [first, rotated] = [loginOf('carol', { nonce: 'one' }), loginOf('carol', { nonce: 'two' })];
  writeFileSync(file, await ageFile({ 'global/CODEX_AUTH': codexAuthJson(first) }));
  const next = await ageFile({ 'global/CODEX_AUTH': codexAuthJson(rotated), more: 'CANARY' });
  const home = await homeOf(box, 'age');
  const shown = await home.read();
  if (shown === null) throw new Error('no login');
  const sealed: (string | undefined)[] = [];
  await home.take(shown, async (holding) => {
    sealed.push(tokenOf(holding));
    writeFileSync(file, next);
  });
  t.strictSame(sealed, [first.refresh, rotated.refresh]);
  t.strictSame(await opened(file), { version: 1, secrets: { more: 'CANARY' } });
});

t.test('an encrypted store that cannot be understood is an error of its own, never empty', async (t) => {
  const { box, put } = keyringIn(t);
  const folder = join(box.codexHome, 'secrets');
  mkdirSync(folder);
  const file = join(folder, 'cli_auth.age');
  const read = async () => (await homeOf(box)).read();
  const sound = await ageFile({ 'global/CODEX_AUTH': codexAuthJson(loginOf('carol')) });
  writeFileSync(file, sound);
  t.equal((await rejection(read())).code, 'KEYCHAIN_NO_BUS', 'the passphrase cannot be fetched');
  put('codex', `${PASSPHRASE}x`);
  t.match(await rejection(read()), {
    code: 'IDENTITY_UNREADABLE',
    message: /does not open with the passphrase/,
  });
  put('codex', PASSPHRASE);
  const cases: readonly (readonly [Uint8Array, RegExp])[] = [
    [Buffer.alloc(600, 'x'), /is not the age file/],
    [Buffer.from(sound).subarray(0, -3), /does not open/],
    [
      await ageFile({ 'global/CODEX_AUTH': codexAuthJson(loginOf('carol')) }, { version: 2 }),
      /another format/,
    ],
    [await ageFile({ pad: 'x'.repeat(600) }, { secrets: [], pad: 'x'.repeat(600) }), /something else/],
  ];
  for (const [bytes, message] of cases) {
    writeFileSync(file, bytes);
    t.match(await rejection(read()), { code: 'IDENTITY_UNREADABLE', message });
    t.strictSame(readFileSync(file), Buffer.from(bytes));
  }
});
