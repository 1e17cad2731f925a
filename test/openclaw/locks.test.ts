import { type ChildProcess, spawn } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import t, { type Test } from 'tap';
import { locateHost } from '../../src/openclaw/locate.js';
import { type HostLock, refreshLocks, storeLock, withHostLocks } from '../../src/openclaw/locks.js';
import { isRunning, judgeHolder, pidsTell, startTimeOf } from '../../src/os/live-process.js';
import { holdingOf } from '../contract/slot.js';
import { makeState } from '../kit/state.js';
import { loginOf } from '../kit/tokens.js';

const linux = process.platform === 'linux';
const nothing = () => Promise.resolve();
const SHORT = { waitMs: 150 };
/** The locks for a bare Node: with tap's loader each would take a second to start. */
const BUNDLE = path.join(t.testdir({}), 'locks.mjs');

t.before(async () => {
  const entry = fileURLToPath(new URL('../../src/openclaw/locks.ts', import.meta.url));
  await build({ entryPoints: [entry], outfile: BUNDLE, bundle: true, platform: 'node', format: 'esm' });
});

t.test('names the refresh lock as the release does, to the byte', async (t) => {
  // What `resolveOAuthRefreshLockPath` of the packages gives: 5.28, 6.1 and 6.5 the one, 6.6 to 9.6 the other.
  const names = {
    'openai openai:default': [
      'sha256-5745659ffbfd6177a09e335e5c3da5e6bc0c2ed19b67af51f537ea171e03ccd0',
      'lock-5440fa0b86d2697ef1152f7cb32a8157',
    ],
    'openai-codex openai-codex:default': [
      'sha256-cee1bbaed8073aace8170859a25616882c288ceeaa1119df363bf01cc0cdab65',
      'lock-7b9da1f0ba485a46aaec13e8c09ceb27',
    ],
    'openai openai:ünï\0x😀': [
      'sha256-1c709d5ddfa92af75063d330b9f3d0dfa17d307dd274606a1fd2ec51a0144efe',
      'lock-e90de67ea80e0cb05f761d4864cf2ed8',
    ],
  };
  const folder = path.join('/state', 'locks', 'oauth-refresh');
  for (const [who, [former = '', current = '']] of Object.entries(names)) {
    const [provider = '', profileId = ''] = who.split(' ');
    const of = (release: string | null) =>
      refreshLocks('/state', provider, profileId, release).map((lock) => path.relative(folder, lock.path));
    for (const release of ['2026.4.20', '2026.5.28', '2026.6.1', '2026.6.5']) t.same(of(release), [former]);
    for (const release of ['2026.6.6', '2026.6.8', '2026.6.11-beta.2', '2026.7.35', '2026.8.1', '2026.9.6']) {
      t.same(of(release), [current]);
    }
    for (const release of [null, 'dev', '']) t.same(of(release), [former, current], 'unknown: both');
  }
});

t.test('a proved holder keeps its lock however old it is', { skip: !linux }, async (t) => {
  const lock = lockIn(t.testdir({}));
  const holder = await sleeper(t);
  const payload = {
    pid: holder.pid,
    createdAt: '2020-01-01T00:00:00.000Z',
    starttime: startTimeOf(holder.pid ?? 0),
  };
  const text = `${JSON.stringify(payload, null, 2)}\n\t\t\t\t\t\t\t\t \t \n`;
  writeFileSync(`${lock.path}.lock`, text);
  await t.rejects(withHostLocks([lock], SHORT, nothing), {
    code: 'HOST_BUSY',
    message: `process ${holder.pid} holds`,
    hint: /^wait for its turn or refresh to end and run/,
  });
  t.equal(readFileSync(`${lock.path}.lock`, 'utf8'), text, 'left as it is, the whitespace of 9.x too');
  await end(holder);
  await withHostLocks([lock], SHORT, nothing);
  t.notOk(existsSync(`${lock.path}.lock`), 'and is free as soon as the holder is dead');
});

t.test(
  'waits while an OpenClaw takes a lock over, and says how to get past what a dead one left',
  async (t) => {
    const lock = lockIn(t.testdir({}));
    const guard = `${lock.path}.lock.reclaim`;
    mkdirSync(guard);
    await t.rejects(withHostLocks([lock], SHORT, nothing), {
      code: 'HOST_BUSY',
      hint: /rmdir '.*\.lock\.reclaim'/,
    });
    t.ok(existsSync(guard));
    const waiting = withHostLocks([lock], { waitMs: 30_000 }, async () => existsSync(`${lock.path}.lock`));
    setTimeout(() => rmSync(guard, { recursive: true }), 60);
    t.equal(await waiting, true);
  },
);

t.test('a lock on ordinary ground says who holds it', { skip: !linux }, async (t) => {
  const lock = lockIn(t.testdir({}));
  const payload = await withHostLocks([lock], SHORT, async () => readPayload(lock));
  t.match(payload, { pid: process.pid, createdAt: /^\d{4}-.*Z$/, starttime: startTimeOf(process.pid) });
});

t.test('only known local file systems tell anything about a pid', { skip: !linux }, (t) => {
  t.equal(pidsTell('/sys'), false, 'sysfs is none of them, as no network file system is');
  t.equal(pidsTell(path.join(t.testdir({}), 'nowhere')), false);
  t.end();
});

t.test('a holder that cannot be seen is neither alive nor dead', { skip: !linux }, async (t) => {
  const gone = await sleeper(t);
  const pid = gone.pid ?? 0;
  const start = startTimeOf(pid);
  t.equal(judgeHolder(false, pid, start), 'alive', 'this very process, whatever the folder');
  t.equal(judgeHolder(false, pid, (start ?? 0) + 1), 'unknown', 'its namesake elsewhere');
  t.equal(judgeHolder(true, pid, (start ?? 0) + 1), 'dead', 'a later process with its pid');
  t.equal(judgeHolder(true, pid, null), 'unknown', 'perhaps a later process with its pid');
  await end(gone);
  t.equal(judgeHolder(false, pid, start), 'unknown');
  t.equal(judgeHolder(true, pid, start), 'dead');
  t.equal(judgeHolder(true, pid, null), 'dead');
  t.equal(judgeHolder(true, 2 ** 40, null), 'dead', 'no pid at all');
  t.ok(isRunning(1, null), 'a process of somebody else is one');
});

/*
 * Containers, as the kernel makes them: `unshare --pid`. A folder in /dev/shm, because in the layer of a container that
 * runs these tests (overlay) pids would be believed.
 */
t.test('pid namespaces', { skip: !linux }, async (t) => {
  const { status, said } = await ran(inside('true'));
  if (status !== 0) {
    if (process.env.CI) t.fail('CI must run these tests, and unshare --pid does not work here', { said });
    else t.pass('unshare --pid', { skip: 'it takes root' });
    return;
  }

  await t.test(
    'a lock held in a container is not taken from outside, and is free when its holder dies',
    async (t) => {
      for (const withStart of [true, false]) {
        const lock = lockIn(t.testdir({}));
        const holder = await foreignHolder(t, lock, withStart);
        const payload = readPayload(lock);
        t.match(payload, { pid: /^\d+$/ });
        t.not(payload.pid, holder.child.pid, 'known to itself by another pid');
        t.equal(isRunning(Number(payload.pid), null), false, 'which nobody has here');
        const text = readFileSync(`${lock.path}.lock`, 'utf8');
        await t.rejects(withHostLocks([lock], SHORT, nothing), {
          code: 'HOST_BUSY',
          message: `process ${payload.pid} holds`,
        });
        t.equal(readFileSync(`${lock.path}.lock`, 'utf8'), text);
        await holder.end();
        if (!pidsTell(path.dirname(lock.path))) continue;
        await withHostLocks([lock], SHORT, nothing);
        t.notOk(existsSync(`${lock.path}.lock`), 'taken over at once');
      }
    },
  );

  for (const [name, options] of Object.entries({
    'its own /proc': ['--mount-proc'],
    'the /proc of outside': [],
  })) {
    await t.test(
      `from a container with ${name}, a lock held outside is not taken before it is too old`,
      async (t) => {
        const lock = lockIn(shared(t));
        const holder = await sleeper(t);
        const starttime = startTimeOf(holder.pid ?? 0);
        const hold = (createdAt: number, more = {}) =>
          writeFileSync(
            `${lock.path}.lock`,
            JSON.stringify({ pid: holder.pid, createdAt: new Date(createdAt).toISOString(), ...more }),
          );
        for (const more of [{}, { starttime }]) {
          hold(Date.now(), more);
          const before = readFileSync(`${lock.path}.lock`, 'utf8');
          const { said } = await ran(inside(...taker(lock)).flatMap(withOptions(options)));
          t.match(said, /^HOST_BUSY process \d+ holds .* or 1[78]\d s if that program is gone/);
          t.equal(readFileSync(`${lock.path}.lock`, 'utf8'), before);
        }
        hold(Date.now() - lock.staleMs - 1000);
        const { said } = await ran(inside(...taker(lock)).flatMap(withOptions(options)));
        t.match(said, /^held \{/, 'one that is too old is');
        t.notMatch(
          said,
          /"pid"/,
          'and the lock taken there names no pid: an OpenClaw outside would take it for a dead one’s',
        );
        await end(holder);
      },
    );
  }

  await t.test('two that share a folder from two containers keep out of each other’s lock', async (t) => {
    const lock = lockIn(shared(t));
    const holder = await foreignHolder(t, lock, true);
    const { said } = await ran(inside(...taker(lock)));
    t.match(said, /^HOST_BUSY/);
    await holder.end();
    t.match(
      (await ran(inside(...taker(lock)))).said,
      /^HOST_BUSY/,
      'also when the other is dead, which nobody here can see',
    );
  });
});

t.test('a switch keeps owner and mode, and a state directory of another user is refused', async (t) => {
  const root = process.getuid?.() === 0;
  const me = root ? 65_534 : (process.getuid?.() ?? null);
  const folder = mkdtempSync(path.join(tmpdir(), 'codex-router-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const state = makeState(folder, { release: '2026.5.7', slot: loginOf('alice') });
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) =>
    path.join(folder, name),
  );
  if (root) for (const file of [folder, ...files]) chownSync(file, 65_534, 65_534);
  const look = (file: string) => {
    const { uid, gid, mode } = statSync(file);
    return `${uid}:${gid} ${(mode & 0o7777).toString(8)}`;
  };
  const before = Object.fromEntries(files.map((file) => [file, look(file)]));
  const locate = async (uid: number | null) =>
    await locateHost({
      env: { HOME: folder },
      platform: process.platform,
      options: { stateDir: folder },
      uid,
    });
  if (me !== null) {
    await t.rejects(locate(me + 1), {
      code: 'HOST_FOREIGN_OWNER',
      message: new RegExp(`belongs to another user \\(uid ${me}\\)$`),
      hint: `run it as that user: sudo -u '#${me}' -H codex-router ...`,
    });
  }
  if (root) process.setegid?.(65_534);
  if (root) process.seteuid?.(65_534);
  try {
    const [slot] = await (await locate(me)).allSlots();
    if (slot === undefined) throw new Error('the host has no slot');
    const { revision } = await slot.read();
    await slot.replace({ expect: revision, put: holdingOf(loginOf('bob')), takeOut: [] });
  } finally {
    if (root) process.seteuid?.(0);
    if (root) process.setegid?.(0);
  }
  t.match(state.slot(), { email: 'bob@example.test' });
  t.same(Object.fromEntries(files.map((file) => [file, look(file)])), before);
  for (const name of ['locks', 'locks/oauth-refresh']) {
    t.match(look(path.join(folder, name)), me === null ? / 700$/ : new RegExp(`^${me}:.* 700$`));
  }
});

function lockIn(folder: string): HostLock {
  return storeLock(path.join(folder, 'auth-profiles.json'));
}

/** A folder of the machine that no test's container has for itself. */
function shared(t: Test): string {
  const folder = mkdtempSync('/dev/shm/codex-router-test-');
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function readPayload(lock: HostLock): Record<string, unknown> {
  return JSON.parse(readFileSync(`${lock.path}.lock`, 'utf8'));
}

/** The command in a pid namespace of its own, which ends with the program. */
function inside(...command: readonly string[]): readonly string[] {
  return ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', ...command];
}

/** In place of `--mount-proc`. */
function withOptions(options: readonly string[]) {
  return (word: string) => (word === '--mount-proc' ? options : [word]);
}

/** The command that takes the lock, prints its payload, and lets go. */
function taker(lock: HostLock): readonly string[] {
  const script = `
    import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
    const { withHostLocks } = await import(${JSON.stringify(BUNDLE)});
    const lock = ${JSON.stringify(lock)};
    await withHostLocks([lock], { waitMs: 150 }, async () => {
      process.stdout.write('held ' + readFileSync(lock.path + '.lock', 'utf8'));
    }).catch((error) => process.stdout.write(error.code + ' ' + error.message + ' ' + error.hint));`;
  return [process.execPath, '--input-type=module', '-e', script];
}

/** Takes the lock in a container as OpenClaw does, 5.28 to 9.6 with its start time and earlier ones without. */
async function foreignHolder(
  t: Test,
  lock: HostLock,
  withStart: boolean,
): Promise<{ readonly child: ChildProcess; readonly end: () => Promise<void> }> {
  const script = `
    import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
    const stat = readFileSync('/proc/self/stat', 'utf8');
    const starttime = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
    const payload = { pid: process.pid, createdAt: new Date().toISOString()${withStart ? ', starttime' : ''} };
    writeFileSync(${JSON.stringify(`${lock.path}.lock`)}, JSON.stringify(payload, null, 2), { flag: 'wx', mode: 0o600 });
    process.stdout.write('held');
    setInterval(() => {}, 1000);`;
  // Pids are given out one after the other: it gets one that nobody has outside.
  let pid = 3;
  while (isRunning(pid, null)) pid += 1;
  const spend = `n=2; while [ $n -lt ${pid} ]; do : & wait; n=$((n+1)); done; "$@" & wait`;
  const [program = '', ...args] = inside(
    ...['sh', '-c', spend, 'sh', process.execPath, '--input-type=module', '-e', script],
  );
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH },
  });
  t.teardown(() => end(child));
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`the holder ended with ${code}`)));
  });
  return { child, end: () => end(child) };
}

async function sleeper(t: Test): Promise<ChildProcess> {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' });
  t.teardown(() => end(child));
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  return child;
}

/** Kills it and waits until its pid is gone. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGKILL');
  await ended;
}

async function ran([program = '', ...args]: readonly string[]): Promise<{ status: number; said: string }> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH } });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      said += chunk;
    });
  }
  const status = await new Promise<number>((resolve) => {
    child.once('error', () => resolve(-1));
    child.once('close', (code) => resolve(code ?? -1));
  });
  return { status, said };
}
