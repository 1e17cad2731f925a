import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import t, { type Test } from 'tap';
import {
  type CodexHome,
  type CodexLogin,
  codexHome,
  findLeftover,
  readLogin,
  TAKING,
} from '../../src/codex/home.js';
import { findFlock, withCodexLocks } from '../../src/codex/locks.js';
import { linkTarget } from '../../src/codex/login-file.js';
import { admitTaking, resumeTaking, takeLogin } from '../../src/codex/take.js';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import { findCanary } from '../kit/canary.js';
import { bare, until } from '../kit/process.js';
import { PROJECT, type Sandbox, sandbox } from '../kit/router.js';
import { codexAuthJson, loginOf } from '../kit/tokens.js';

interface Scene {
  readonly box: Sandbox;
  readonly home: CodexHome;
  readonly login: CodexLogin;
  readonly text: string;
  readonly taken: string;
  /** What `seal` was given. */
  readonly sealed: Holding[];
  readonly seal: (holding: Holding) => Promise<void>;
}

async function scene(t: Test, text = codexAuthJson(loginOf('alice'))): Promise<Scene> {
  const box = sandbox(t);
  const home = await codexHome(box.env);
  writeFileSync(home.authJson, text, { mode: 0o600 });
  const login = await readLogin(home);
  if (login === null) throw new Error('the scene has no login');
  const sealed: Holding[] = [];
  const seal = async (holding: Holding) => void sealed.push(holding);
  return { box, home, login, text, taken: join(home.folder, TAKING), sealed, seal };
}

/** Holds a lock as another Codex would, until the returned function is called. */
async function hold(t: Test, lock: string): Promise<() => Promise<void>> {
  const child = spawn('flock', ['-F', '-x', lock, 'cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const letGo = async () => {
    child.stdin.end();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  };
  t.teardown(letGo);
  child.stdin.write('held\n');
  await once(child.stdout, 'data');
  return letGo;
}

function isFree(lock: string): boolean {
  return spawnSync('flock', ['-n', '-x', lock, 'true']).status === 0;
}

async function rejection(work: Promise<unknown>): Promise<RouterError> {
  return work.then(
    () => Promise.reject(new Error('nothing was refused')),
    (error) => (error instanceof RouterError ? error : Promise.reject(error)),
  );
}

const flockOf = (box: Sandbox) => findFlock(box.env, process.platform);
const locks = (home: CodexHome) => [join(home.folder, 'auth.lock'), `${home.authJson}.lock`];

t.test('takes a login away, seals it, and leaves no copy of it', async (t) => {
  const { box, home, login, text, taken, sealed, seal } = await scene(t);
  await takeLogin(home, login, await flockOf(box), async (holding) => {
    t.notOk(existsSync(home.authJson), 'Codex no longer has it when it is sealed');
    t.equal(readFileSync(taken, 'utf8'), text, 'it is kept until it is sealed');
    for (const lock of locks(home)) t.ok(isFree(lock), `${lock} is not held while sealing`);
    await seal(holding);
  });
  t.match(sealed, [{ identity: { accountId: login.holding.identity.accountId } }]);
  t.equal(sealed[0]?.grant.refreshToken.reveal(), JSON.parse(text).tokens.refresh_token);
  t.strictSame(readdirSync(home.folder).sort(), ['auth.json.lock', 'auth.lock']);
  for (const lock of locks(home)) t.equal(statSync(lock).mode & 0o777, 0o600);
  t.strictSame(findCanary([box.root]), []);
});

t.test("waits for Codex's lock and takes what Codex wrote under it", async (t) => {
  const { box, home, login, sealed, seal } = await scene(t);
  const [authLock = '', jsonLock = ''] = locks(home);
  const letGo = await hold(t, jsonLock);
  const taking = takeLogin(home, login, await flockOf(box), seal);
  await until('it holds the first lock and waits for the second', () => !isFree(authLock));
  t.ok(existsSync(home.authJson), 'nothing is taken while Codex holds its lock');
  const rotated = loginOf('alice', { nonce: 'rotated' });
  writeFileSync(home.authJson, codexAuthJson(rotated));
  await letGo();
  await taking;
  t.equal(sealed[0]?.grant.refreshToken.reveal(), rotated.refresh);
  t.notOk(existsSync(home.authJson));
  t.ok(isFree(authLock) && isFree(jsonLock));
});

t.test('gives up when Codex holds a lock too long, and has changed nothing', async (t) => {
  const { box, home, login, text, sealed, seal } = await scene(t);
  const impatient = { ...(await flockOf(box)), waitSeconds: 0.2 };
  for (const lock of locks(home)) {
    const letGo = await hold(t, lock);
    t.match(await rejection(takeLogin(home, login, impatient, seal)), { code: 'HOST_BUSY', exitCode: 75 });
    t.equal(readFileSync(home.authJson, 'utf8'), text);
    t.strictSame(readdirSync(home.folder).sort(), ['auth.json', 'auth.json.lock', 'auth.lock']);
    await letGo();
    for (const each of locks(home)) t.ok(isFree(each), 'and holds no lock');
  }
  t.strictSame(sealed, []);
});

t.test('lets the locks go in time, so that Codex never waits in vain', async (t) => {
  const { box, home, login } = await scene(t);
  const hasty = { ...(await flockOf(box)), holdMs: 1000 };
  const slow = withCodexLocks(hasty, home.folder, login.file, async (stillHeld) => {
    await stillHeld();
    // Without giving a timer of this process a chance, as file calls that are carried out at once do.
    const deadline = Date.now() + 30_000;
    while (!locks(home).every(isFree) && Date.now() < deadline);
    t.ok(locks(home).every(isFree));
    await stillHeld();
    t.fail('it said that they were still held');
  });
  t.match(await rejection(slow), { code: 'HOST_BUSY', message: /too slow/ });
});

t.test('takes nothing when the locks were lost on the way', async (t) => {
  const { box, home, login, text, sealed, seal } = await scene(t);
  // Stands where `cat` holds the locks: it ends at once, and only then does the file become whole and could be taken.
  const whole = join(box.tmp, 'whole');
  writeFileSync(whole, text);
  writeFileSync(home.authJson, text.slice(0, 900));
  const later = `(sleep 0.3; mv '${whole}' '${home.authJson}') </dev/null >/dev/null 2>&1 &`;
  writeFileSync(join(box.bin, 'cat'), `#!/bin/sh\nread line\necho "$line"\n${later}\n`, { mode: 0o755 });
  t.match(await rejection(takeLogin(home, login, await flockOf(box), seal)), { code: 'HOST_BUSY' });
  t.equal(readFileSync(home.authJson, 'utf8'), text);
  t.strictSame(sealed, []);
});

t.test('takes the target of a link out of its own folder and leaves the link', async (t) => {
  const box = sandbox(t);
  const home = await codexHome(box.env);
  const vault = join(box.root, 'dotfiles');
  mkdirSync(vault);
  writeFileSync(join(vault, 'codex-auth.json'), codexAuthJson(loginOf('alice')));
  symlinkSync('../../dotfiles/codex-auth.json', home.authJson);
  const login = await readLogin(home);
  if (login === null) throw new Error('no login');
  t.equal(login.file, join(vault, 'codex-auth.json'));
  await takeLogin(home, login, await flockOf(box), async () => {
    t.strictSame(readdirSync(vault).sort(), [TAKING, 'codex-auth.json.lock']);
    t.equal(await findLeftover(home), join(vault, TAKING), 'a crash here is found through the dangling link');
  });
  t.strictSame(readdirSync(vault), ['codex-auth.json.lock']);
  t.equal(readlinkSync(home.authJson), '../../dotfiles/codex-auth.json');
  t.equal(await readLogin(home), null);
  symlinkSync('circle', join(box.root, 'circle'));
  t.match(await rejection(linkTarget(join(box.root, 'circle'))), { code: 'IO', message: /symbolic links/ });
});

t.test('puts the login back when it cannot be sealed, and says so', async (t) => {
  const { box, home, login, text } = await scene(t);
  const failing = takeLogin(home, login, await flockOf(box), async () => {
    throw new RouterError('IO', 'the disk is full', { hint: 'make room' });
  });
  t.match(await rejection(failing), {
    code: 'IO',
    message: /^the disk is full; the login was put back in /,
    hint: 'make room',
  });
  t.equal(readFileSync(home.authJson, 'utf8'), text);
  t.equal(statSync(home.authJson).mode & 0o777, 0o600);
  t.equal(await findLeftover(home), null);
  const bug = takeLogin(home, login, await flockOf(box), async () => {
    throw new TypeError('CANARY');
  });
  t.match(await rejection(bug), { code: 'BUG', message: /the login was put back/ });
  t.equal(readFileSync(home.authJson, 'utf8'), text);
});

t.test('never puts a login back over a new one', async (t) => {
  const { box, home, login, text, taken } = await scene(t);
  const next = codexAuthJson(loginOf('bob'));
  const failing = takeLogin(home, login, await flockOf(box), async () => {
    writeFileSync(home.authJson, next);
    throw new RouterError('IO', 'the disk is full');
  });
  t.match(await rejection(failing), { code: 'IO', message: `the login waits in ${taken}` });
  t.equal(readFileSync(home.authJson, 'utf8'), next);
  t.equal(readFileSync(taken, 'utf8'), text);
  t.equal(await findLeftover(home), taken);
});

t.test('takes nothing when another person is logged in by now', async (t) => {
  const { box, home, login, sealed, seal, taken } = await scene(t);
  const flock = await flockOf(box);
  const next = codexAuthJson(loginOf('alice-team'));
  writeFileSync(home.authJson, next);
  t.match(await rejection(takeLogin(home, login, flock, seal)), { code: 'SLOT_CHANGED' });
  t.equal(readFileSync(home.authJson, 'utf8'), next);
  renameSync(home.authJson, join(home.folder, 'elsewhere'));
  t.match(await rejection(takeLogin(home, login, flock, seal)), { code: 'SLOT_CHANGED' });
  renameSync(join(home.folder, 'elsewhere'), home.authJson);
  writeFileSync(taken, 'of another import');
  writeFileSync(home.authJson, codexAuthJson(loginOf('alice')));
  t.match(await rejection(takeLogin(home, login, flock, seal)), {
    code: 'SLOT_CHANGED',
    message: /another import/,
  });
  t.equal(readFileSync(taken, 'utf8'), 'of another import');
  t.strictSame(sealed, []);
});

t.test('keeps the file when it changed while it was being sealed', async (t) => {
  const { box, home, login } = await scene(t);
  const late = codexAuthJson(loginOf('alice', { nonce: 'late' }));
  const taking = takeLogin(home, login, await flockOf(box), async () => {
    writeFileSync(join(home.folder, TAKING), late);
  });
  t.match(await rejection(taking), { code: 'SLOT_CHANGED', message: /put back/ });
  t.equal(readFileSync(home.authJson, 'utf8'), late);
});

t.test('refuses before any write what it may not or cannot take', async (t) => {
  const { box, home, login, text } = await scene(t);
  const uid = process.getuid?.() ?? 0;
  await admitTaking(login, uid);
  await admitTaking(login, null);
  t.match(await rejection(admitTaking(login, uid + 1)), { code: 'HOST_FOREIGN_OWNER' });
  t.match(await rejection(admitTaking({ ...login, alsoHolds: ['an API key'] }, uid)), {
    code: 'CHOICE_NEEDED',
    message: /also holds an API key/,
    hint: /--keep/,
  });
  t.match(await rejection(findFlock(box.env, 'win32')), { code: 'PLATFORM_UNSUPPORTED', hint: /--keep/ });
  t.match(await rejection(findFlock({ PATH: box.tmp }, 'darwin')), { code: 'PLATFORM_UNSUPPORTED' });
  writeFileSync(join(box.bin, 'flock'), '#!/bin/sh\necho BusyBox\n', { mode: 0o755 });
  t.match(await rejection(findFlock(box.env, 'linux')), { code: 'PLATFORM_UNSUPPORTED' });
  writeFileSync(join(box.bin, 'flock'), '#!/bin/sh\necho util-linux\n', { mode: 0o755 });
  writeFileSync(join(box.bin, 'timeout'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
  t.match(await rejection(findFlock(box.env, 'linux')), { code: 'PLATFORM_UNSUPPORTED', message: /timeout/ });
  t.strictSame(readdirSync(home.folder), ['auth.json']);
  t.equal(readFileSync(home.authJson, 'utf8'), text);
  const gone = { ...login, file: join(home.folder, 'gone') };
  t.match(await rejection(admitTaking(gone, uid)), { code: 'IO', message: /gone/ });
});

t.test('a login whose sealing is killed is found, sealed and removed by the next import', async (t) => {
  const { box, home, text, taken, sealed, seal } = await scene(
    t,
    codexAuthJson(loginOf('carol', { nonce: 'c' })),
  );
  const program = join(box.root, 'take-and-hang.mjs');
  await build({
    entryPoints: [join(PROJECT, 'test/codex/take-and-hang.ts')],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
  });
  const [file = '', ...args] = bare([process.execPath, program], box.env);
  const child: ChildProcess = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  await Promise.race([once(child.stdout ?? child, 'data'), exited]);
  t.ok(child.kill('SIGKILL'), 'it was killed while it was sealing');
  t.strictSame((await exited)[1], 'SIGKILL');
  t.equal(readFileSync(taken, 'utf8'), text);
  t.equal(lstatSync(taken).mode & 0o777, 0o600);
  t.notOk(existsSync(home.authJson));
  for (const lock of locks(home)) await until(`${lock} is let go`, () => isFree(lock));

  const next = codexAuthJson(loginOf('bob'));
  writeFileSync(home.authJson, next);
  const leftover = await findLeftover(home);
  t.equal(leftover, taken);
  const failing = resumeTaking(home, taken, () => Promise.reject(new RouterError('IO', 'the disk is full')));
  t.match(await rejection(failing), { code: 'IO' });
  t.equal(readFileSync(taken, 'utf8'), text, 'a failure leaves it for the next time');
  await resumeTaking(home, taken, seal);
  t.equal(sealed[0]?.grant.refreshToken.reveal(), loginOf('carol', { nonce: 'c' }).refresh);
  t.equal(await findLeftover(home), null);
  t.equal(readFileSync(home.authJson, 'utf8'), next, 'a new login is left alone');
});
