import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import t from 'tap';
import { identityKey } from '../../src/identity.js';
import type { Env } from '../../src/os/folders.js';
import { observeSecretService } from '../../src/os/session-bus.js';
import { type Keychain, openKeychain } from '../../src/repo/keychain.js';
import { openRepoAt } from '../../src/repo/store.js';
import { rekeyVault } from '../../src/repo/vault-keys.js';
import { missingTools, type Session, startSession } from './secret-service.js';
import { holding, revealed, testDeps } from './support.js';

const ROOT = join(import.meta.dirname, '..', '..');
// Beside the sources, so that `import('keytar')` finds the installed package; removed by tap.
const CHILD = join(t.testdir({}), 'keychain-child.js');
await build({
  entryPoints: [join(ROOT, 'src/repo/keychain-child.ts')],
  outfile: CHILD,
  bundle: true,
  platform: 'node',
  format: 'esm',
  external: ['keytar'],
  logLevel: 'error',
});

const missing = missingTools();
if (missing !== null && process.env.CI) throw new Error(`the real keychain must be tested in CI: ${missing}`);
const real = { skip: missing ?? false };

function keychain(
  env: Env,
  over: { childPath?: string; deadline?: number; isTerminal?: boolean } = {},
): Keychain {
  const base = {
    childPath: CHILD,
    execPath: process.execPath,
    platform: process.platform,
    isTerminal: false,
  };
  return openKeychain({ ...base, env, ...over });
}

async function during<Result>(
  session: Promise<Session>,
  use: (session: Session) => Promise<Result>,
): Promise<Result> {
  const started = await session;
  try {
    return await use(started);
  } finally {
    await started.stop();
  }
}

/** The environment of a program that no desktop started. */
function bare(): NodeJS.ProcessEnv {
  const {
    DBUS_SESSION_BUS_ADDRESS: _,
    XDG_RUNTIME_DIR: __,
    DISPLAY: ___,
    WAYLAND_DISPLAY: ____,
    ...env
  } = process.env;
  return env;
}

/** A helper that is another program, for what the real one cannot be made to do at will. */
function script(text: string): string {
  const path = join(mkdtempSync(join(tmpdir(), 'codex-router-test-')), 'child.mjs');
  writeFileSync(path, text);
  return path;
}

t.test('an item set is read by secret-tool, got and deleted; an absent one is null', real, async (t) => {
  await during(startSession(), async ({ env, run }) => {
    const chain = keychain(env);
    await chain.set('vault:one', 'abc_DEF-123');
    t.equal(
      run('secret-tool', 'lookup', 'service', 'codex-router', 'account', 'vault:one').text,
      'abc_DEF-123',
    );
    t.equal(await chain.get('vault:one'), 'abc_DEF-123');
    t.equal(await chain.get('vault:two'), null);
    t.equal(await chain.delete('vault:one'), true);
    t.equal(await chain.delete('vault:one'), false);
    await chain.probe();
    const left = run('secret-tool', 'search', '--all', 'service', 'codex-router').text;
    t.equal(left, '', 'no probe is left behind');
    t.equal(await observeSecretService(env), 'unlocked');
  });
});

t.test(
  'a vault whose key is in the real keychain opens, and a deleted item is told from a locked keyring',
  real,
  async (t) => {
    await during(startSession(), async ({ env, run, lock }) => {
      const chain = keychain(env);
      const deps = testDeps({ keychain: chain, env, firstRun: { key: null, ask: async () => 'stop' } });
      const one = holding('acc-1');
      await (await openRepoAt(deps).open()).save(one);
      t.match(deps.said, [/its key: the OS keychain/]);
      const load = async () =>
        revealed(await (await openRepoAt(deps).open()).load(identityKey(one.identity)));
      t.same(await load(), revealed(one));
      const file = JSON.parse(readFileSync(join(deps.folders.data, 'vault.json'), 'utf8'));
      const account = `vault:${file.unlockers[0].id}`;
      t.match(
        run('secret-tool', 'lookup', 'service', 'codex-router', 'account', account).text,
        /^[A-Za-z0-9_-]{43}$/,
      );
      lock();
      await t.rejects(load(), { code: 'KEYCHAIN_LOCKED', message: 'the keychain is locked' });
      t.equal((await openRepoAt(deps).list()).length, 1, 'the list needs no keychain');
      const moving = rekeyVault(deps, { kind: 'file', keyFile: null }, null);
      await t.rejects(moving, { code: 'KEYCHAIN_LOCKED' });
    });
    await during(startSession(), async ({ env, run }) => {
      const deps = testDeps({
        keychain: keychain(env),
        env,
        firstRun: { key: 'keychain', ask: async () => 'stop' },
      });
      await openRepoAt(deps).open();
      t.equal(run('secret-tool', 'clear', 'service', 'codex-router').status, 0);
      await t.rejects(openRepoAt(deps).open(), {
        code: 'KEY_MISSING',
        message: /deleted from the OS keychain/,
      });
    });
  },
);

t.test('a locked keyring never reads as empty', real, async (t) => {
  await during(startSession(), async ({ env, lock }) => {
    const chain = keychain(env);
    await chain.set('vault:one', 'abc');
    lock();
    t.equal(await observeSecretService(env), 'locked');
    const locked = { code: 'KEYCHAIN_LOCKED', exitCode: 5, hint: /unlock your keyring/ };
    await t.rejects(chain.get('vault:one'), locked);
    await t.rejects(chain.get('vault:never'), locked);
    await t.rejects(chain.set('vault:two', 'abc'), locked);
    await t.rejects(chain.probe(), locked);
  });
});

t.test(
  'a bus without a keychain service, and no bus at all, are two different sentences',
  real,
  async (t) => {
    await during(startSession({ keyring: false }), async ({ env }) => {
      t.equal(await observeSecretService(env), 'no-service');
      await t.rejects(keychain(env).get('vault:one'), {
        code: 'KEYCHAIN_NO_SERVICE',
        message: /no keychain service/,
      });
      await t.rejects(keychain(env).probe(), { code: 'KEYCHAIN_NO_SERVICE' });
    });
    const stale = { ...bare(), DBUS_SESSION_BUS_ADDRESS: 'unix:path=/nonexistent/bus,guid=00' };
    for (const env of [bare(), stale, { ...bare(), XDG_RUNTIME_DIR: '/nonexistent' }]) {
      t.equal(await observeSecretService(env), 'no-bus');
      await t.rejects(keychain(env).probe(), { code: 'KEYCHAIN_NO_BUS', message: /no session bus/ });
    }
  },
);

t.test('a keychain that is unlocked and denies access says so', real, async (t) => {
  const deny = '<deny send_interface="org.freedesktop.Secret.Collection" send_member="CreateItem"/>';
  await during(startSession({ deny }), async ({ env }) => {
    await t.rejects(keychain(env).set('vault:one', 'abc'), {
      code: 'KEYCHAIN_DENIED',
      message: /denied access/,
    });
    await t.rejects(keychain(env).get('vault:one'), { code: 'KEYCHAIN_DENIED' });
  });
});

t.test('a stopped daemon is given up at the deadline, and works again when it resumes', real, async (t) => {
  await during(startSession(), async ({ env, daemon }) => {
    const chain = keychain(env, { deadline: 1500 });
    const patient = keychain(env);
    await patient.set('vault:one', 'abc');
    daemon?.kill('SIGSTOP');
    await t.rejects(chain.get('vault:one'), { code: 'KEYCHAIN_HUNG', message: /within 1\.5 s/ });
    t.equal(await observeSecretService(env), 'silent');
    daemon?.kill('SIGCONT');
    t.equal(await patient.get('vault:one'), 'abc');
  });
});

t.test(
  'a helper that dies by a signal, exits without an answer or cannot start is a crash, not an absence',
  async (t) => {
    const dies = (text: string) => keychain(process.env, { childPath: script(text) }).get('vault:one');
    const read = 'for await (const _ of process.stdin);';
    await t.rejects(dies(`${read} process.kill(process.pid, 'SIGSEGV'); setInterval(() => {}, 1000);`), {
      code: 'KEYCHAIN_CRASHED',
      exitCode: 5,
      message: /signal SIGSEGV/,
    });
    await t.rejects(dies('process.exit(3)'), { code: 'KEYCHAIN_CRASHED', message: /exit status 3/ });
    await t.rejects(dies(`${read} console.log('nonsense')`), {
      code: 'KEYCHAIN_CRASHED',
      message: /unreadable/,
    });
    for (const odd of [
      '[]',
      'null',
      '{"stage":"done"}',
      '{"stage":"done","value":{},"probe":null}',
      '{"stage":"load"}',
    ]) {
      await t.rejects(dies(`${read} console.log(${JSON.stringify(odd)})`), {
        code: 'KEYCHAIN_CRASHED',
        message: /unreadable/,
      });
    }
    const base = { childPath: CHILD, env: process.env, platform: process.platform, isTerminal: false };
    const gone = openKeychain({ ...base, execPath: '/nonexistent/node' });
    await t.rejects(gone.get('vault:one'), { code: 'KEYCHAIN_CRASHED', message: /no start/ });
  },
);

t.test('a bus address that cannot be decoded is no bus', async (t) => {
  t.equal(await observeSecretService({ DBUS_SESSION_BUS_ADDRESS: 'unix:path=/run/%zz' }), 'no-bus');
});

t.test('a library that cannot be loaded is called missing', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'codex-router-test-'));
  const keytar = join(folder, 'node_modules', 'keytar');
  mkdirSync(keytar, { recursive: true });
  const childPath = join(folder, 'keychain-child.mjs');
  writeFileSync(childPath, readFileSync(CHILD));
  const refused = {
    code: 'KEYCHAIN_LIBRARY_MISSING',
    message: /cannot be loaded/,
    hint: /apt install libsecret-1-0/,
  };
  await t.rejects(keychain(bare(), { childPath }).probe(), refused, 'no package');
  // The package's own loader, with no binary for this machine: what it does without libsecret too.
  mkdirSync(join(keytar, 'lib'));
  const installed = join(ROOT, 'node_modules', 'keytar');
  writeFileSync(join(keytar, 'package.json'), readFileSync(join(installed, 'package.json')));
  writeFileSync(join(keytar, 'lib', 'keytar.js'), readFileSync(join(installed, 'lib', 'keytar.js')));
  await t.rejects(keychain(bare(), { childPath }).probe(), refused, 'no binary');
  if (process.platform !== 'linux') return;
  const broken = mkdtempSync(join(tmpdir(), 'codex-router-test-'));
  writeFileSync(join(broken, 'libsecret-1.so.0'), '');
  await t.rejects(keychain({ ...bare(), LD_LIBRARY_PATH: broken }).probe(), refused, 'no libsecret');
});

t.test('nothing secret is in the argv or the environment of the helper', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'codex-router-test-'));
  const seen = join(folder, 'seen.json');
  const childPath = script(`
    import { writeFileSync } from 'node:fs';
    let text = '';
    for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk;
    const { op, value, service } = JSON.parse(text);
    writeFileSync(${JSON.stringify(seen)}, JSON.stringify({ argv: process.argv, env: process.env, op, value, service }));
    console.log(JSON.stringify({ stage: 'done', value: true, probe: null }));`);
  await keychain({ PATH: process.env.PATH }, { childPath }).set('vault:one', 'CANARYkey');
  const { argv, env, ...request } = JSON.parse(readFileSync(seen, 'utf8'));
  t.same(request, { op: 'set', value: 'CANARYkey', service: 'codex-router' });
  t.notMatch(JSON.stringify([argv, env]), /CANARY/);
  t.equal(argv.length, 2);
});

t.test('a helper started ahead is used by the next call, and ended when none comes', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'codex-router-test-'));
  const childPath = script(`
    import { writeFileSync } from 'node:fs';
    writeFileSync(${JSON.stringify(folder)} + '/' + process.pid, '');
    for await (const _ of process.stdin);
    console.log(JSON.stringify({ stage: 'done', value: 'abc', probe: null }));`);
  const chain = keychain(process.env, { childPath });
  chain.warm();
  chain.warm();
  t.equal(await chain.get('vault:one'), 'abc');
  t.equal(readdirSync(folder).length, 1);
  chain.warm();
  await until(() => readdirSync(folder).length === 2);
  chain.close();
  const pids = readdirSync(folder).map(Number);
  await until(() => pids.every((pid) => !alive(pid)));
  t.pass('both are gone');
});

t.test('a helper whose parent was killed does not stay', real, async (t) => {
  await during(startSession(), async ({ env, daemon }) => {
    daemon?.kill('SIGSTOP');
    const orphan = spawn(process.execPath, [CHILD], { env, stdio: ['pipe', 'ignore', 'ignore'] });
    orphan.stdin.end(
      JSON.stringify({ op: 'get', service: 'codex-router', account: 'a', deadline: 200, probe: 'b' }),
    );
    await until(() => orphan.signalCode !== null);
    t.equal(orphan.signalCode, 'SIGKILL');
    daemon?.kill('SIGCONT');
  });
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function until(done: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!done()) {
    if (Date.now() > deadline) throw new Error('it did not happen');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
