import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import t from 'tap';
import { withRouterLock } from '../../src/os/lock.js';

const ROOT = join(import.meta.dirname, '..', '..');
const BUILT = t.testdir({});
await build({
  entryPoints: [join(ROOT, 'test/os/hold-lock.ts')],
  outfile: join(BUILT, 'hold-lock.js'),
  bundle: true,
  platform: 'node',
  format: 'esm',
  external: ['proper-lockfile'],
  logLevel: 'error',
});

function newFolder(): string {
  return join(mkdtempSync(join(tmpdir(), 'codex-router-test-')), 'data');
}

/** Another process that holds the lock of `folder` when this returns. */
async function holder(folder: string): Promise<ChildProcess> {
  const sign = join(mkdtempSync(join(tmpdir(), 'codex-router-test-')), 'held');
  const child = spawn(process.execPath, [join(BUILT, 'hold-lock.js'), folder, sign], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  await until(() => existsSync(sign));
  return child;
}

async function until(done: () => boolean): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!done()) {
    if (Date.now() > deadline) throw new Error('it did not happen');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

t.test('one at a time: what it guards is never interleaved, and the result comes back', async (t) => {
  const folder = newFolder();
  mkdirSync(folder);
  const path = join(folder, 'count');
  writeFileSync(path, '0');
  const add = () =>
    withRouterLock(folder, async () => {
      const count = Number(readFileSync(path, 'utf8'));
      await new Promise((resolve) => setTimeout(resolve, 5));
      writeFileSync(path, `${count + 1}`);
      return count;
    });
  const results = await Promise.all(Array.from({ length: 10 }, add));
  t.equal(readFileSync(path, 'utf8'), '10');
  t.same(
    results.sort((a, b) => a - b),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
});

t.test('the folder is made, and the lock is released also when the work fails', async (t) => {
  const folder = newFolder();
  await t.rejects(
    withRouterLock(folder, () => Promise.reject(new Error('mine'))),
    { message: 'mine' },
  );
  t.equal(statSync(folder).mode & 0o777, 0o700);
  t.notOk(existsSync(join(folder, 'router.lock')));
  t.equal(await withRouterLock(folder, async () => 'again', { wait: 0 }), 'again');
});

t.test('a live holder makes the others wait, then say busy', async (t) => {
  const folder = newFolder();
  await holder(folder);
  const refused = { code: 'BUSY', exitCode: 75, message: 'another codex-router is at work' };
  await t.rejects(
    withRouterLock(folder, async () => t.fail('it ran'), { wait: 300, onWait: () => t.fail('too early') }),
    refused,
  );
  let said = 0;
  const onWait = () => {
    said += 1;
  };
  await t.rejects(
    withRouterLock(folder, async () => t.fail('it ran'), { wait: 1500, onWait }),
    refused,
  );
  t.equal(said, 1, 'a long wait is said once');
});

t.test("a killed holder's lock is free at once, whatever time it bears", async (t) => {
  for (const age of [0, 86_400_000, -86_400_000]) {
    const folder = newFolder();
    const child = await holder(folder);
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    const lock = join(folder, 'router.lock');
    t.ok(existsSync(lock), 'it left its lock behind');
    const at = new Date(Date.now() - age);
    utimesSync(lock, at, at);
    t.equal(await withRouterLock(folder, async () => 'mine', { wait: 0 }), 'mine');
  }
});

t.test('a live holder keeps its lock, however old it looks after the clock was set', async (t) => {
  const folder = newFolder();
  await holder(folder);
  const yesterday = new Date(Date.now() - 86_400_000);
  utimesSync(join(folder, 'router.lock'), yesterday, yesterday);
  await t.rejects(
    withRouterLock(folder, async () => t.fail('it ran'), { wait: 300 }),
    { code: 'BUSY' },
  );
});

t.test(
  'a lock that names nobody who can be judged is free once it was seen unchanged for ten seconds',
  async (t) => {
    const names = {
      nobody: [],
      'a process that cannot be told from another': [`${process.pid}-0`],
      'a stray file': ['x'],
    };
    for (const [who, files] of Object.entries(names)) {
      const folder = newFolder();
      const lock = join(folder, 'router.lock');
      mkdirSync(lock, { recursive: true });
      for (const name of files) writeFileSync(join(lock, name), '');
      const tomorrow = new Date(Date.now() + 86_400_000);
      utimesSync(lock, tomorrow, tomorrow);
      let time = 0;
      const now = () => {
        time += 600;
        return time;
      };
      await t.rejects(
        withRouterLock(folder, async () => t.fail('it ran'), { wait: 7000, now }),
        { code: 'BUSY' },
        who,
      );
      const work = withRouterLock(folder, async () => 'mine', { wait: 30_000, now });
      if (who === 'a stray file') await t.rejects(work, { code: 'BUSY' }, 'what is not ours is not deleted');
      else t.equal(await work, 'mine', who);
    }
  },
);

t.test('of many that find a dead lock at the same moment one at a time gets it', async (t) => {
  const folder = newFolder();
  const lock = join(folder, 'router.lock');
  mkdirSync(lock, { recursive: true });
  writeFileSync(join(lock, '4194304-1'), '');
  let inside = 0;
  const work = async () => {
    inside += 1;
    t.equal(inside, 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    inside -= 1;
  };
  await Promise.all(Array.from({ length: 8 }, () => withRouterLock(folder, work)));
  t.notOk(existsSync(lock));
});

t.test('who lost the lock is told so before the next write, and no timer throws', async (t) => {
  const folder = newFolder();
  await withRouterLock(folder, async (lock) => {
    lock.check();
    // What a second owner does after this process was stopped for longer than the lock lives.
    const later = new Date(Date.now() + 3_600_000);
    utimesSync(join(folder, 'router.lock'), later, later);
    await until(() => lostIt(lock));
    t.throws(() => lock.check(), { code: 'BUSY', message: /another one took over/ });
  });
  t.ok(existsSync(join(folder, 'router.lock')), "the other's lock is left alone");
});

t.test('who was stopped too long knows it by the clock, before any timer runs', async (t) => {
  let stopped = 0;
  const now = () => Date.now() + stopped;
  const work = async (lock: { check(): void }) => {
    lock.check();
    stopped = 10_000;
    t.throws(() => lock.check(), { code: 'BUSY', message: /another one took over/ });
    await until(() => !lostIt(lock));
    t.pass('a new sign of life counts from then on');
  };
  await withRouterLock(newFolder(), work, { now });
});

t.test("nothing is written into another user's folder", async (t) => {
  const mine = process.geteuid?.() === 0;
  const folder = mine ? newFolder() : '/';
  if (mine) {
    mkdirSync(folder);
    chownSync(folder, 12345, 12345);
  }
  const before = readdirSync(folder);
  await t.rejects(
    withRouterLock(folder, async () => t.fail('it ran')),
    { code: 'VAULT_PERMISSIONS', message: /another user/, hint: /sudo -u '#\d+' -H codex-router/ },
  );
  t.strictSame(readdirSync(folder), before);
});

function lostIt(lock: { check(): void }): boolean {
  try {
    lock.check();
    return false;
  } catch {
    return true;
  }
}
