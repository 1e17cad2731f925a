import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import t, { type Test } from 'tap';
import { type HostLock, refreshLocks, withHostLocks } from '../../src/openclaw/locks.js';
import { real } from '../kit/real.js';
import { type Release, releasesToRun } from '../kit/releases.js';

/** OpenClaw's own file lock of each release (its public plugin SDK) against ours, on common and on foreign ground. */
const LOCKING = releasesToRun().filter((release) => release !== '2026.2.26');
const WITH_REFRESH_LOCK = LOCKING.filter((release) => release !== '2026.3.28');
const CONTAINER = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'];
const CREATED = { createdAt: /^\d{4}-.*Z$/ };
const BUNDLE = path.join(t.testdir({}), 'locks.mjs');

t.before(async () => {
  const entry = fileURLToPath(new URL('../../src/openclaw/locks.ts', import.meta.url));
  await build({ entryPoints: [entry], outfile: BUNDLE, bundle: true, platform: 'node', format: 'esm' });
});

for (const release of WITH_REFRESH_LOCK) {
  t.test(`${release} itself names the refresh lock as we do`, async (t) => {
    const dist = distOf(t, release);
    if (dist === null) return;
    const theirs = refreshLockPathOf(dist.folder);
    for (const [provider, id] of [
      ['openai', 'openai:default'],
      ['openai-codex', 'openai-codex:default'],
      ['openai', 'openai:ünï\0x😀'],
    ] as const) {
      t.same(
        refreshLocks('/state', provider, id, release).map((lock) => lock.path),
        [theirs(provider, id)],
      );
    }
  });
}

for (const release of LOCKING) {
  t.test(`${release} and we keep out of each other's lock`, async (t) => {
    const dist = distOf(t, release);
    if (dist === null) return;
    const lock = lockIn(t.testdir({}), release);

    const theirs = await running(t, [], openclawHolding(dist, lock));
    t.match(payloadOf(lock), { pid: theirs.pid, ...CREATED });
    await t.rejects(
      withHostLocks([lock], { waitMs: 100 }, async () => undefined),
      {
        code: 'HOST_BUSY',
        message: `process ${theirs.pid} holds`,
      },
    );
    t.match(payloadOf(lock), { pid: theirs.pid });
    await theirs.kill();
    await withHostLocks([lock], { waitMs: 100 }, async () => {
      t.match(payloadOf(lock), { pid: process.pid, ...CREATED }, 'a killed OpenClaw is taken over at once');
      t.equal((await running(t, [], openclawTrying(dist, lock))).said, 'refused', 'and does not take ours');
    });

    const ours = await running(t, [], routerHolding(lock));
    await ours.kill();
    t.ok(existsSync(`${lock.path}.lock`), 'we were killed while we held it');
    t.equal((await running(t, [], openclawTrying(dist, lock))).said, 'taken', 'which it sees at once');
  });

  t.test(
    `${release} in a container, and we outside or in another one, keep out of each other's lock`,
    async (t) => {
      const dist = distOf(t, release);
      if (dist === null) return;
      const lock = lockIn(shared(t), release);

      const theirs = await running(t, CONTAINER, openclawHolding(dist, lock));
      const before = readFileSync(`${lock.path}.lock`, 'utf8');
      t.not(payloadOf(lock).pid, theirs.pid, 'it knows itself by another pid');
      await t.rejects(
        withHostLocks([lock], { waitMs: 100 }, async () => undefined),
        { code: 'HOST_BUSY' },
      );
      t.match((await running(t, CONTAINER, routerTrying(lock))).said, 'HOST_BUSY');
      t.equal(readFileSync(`${lock.path}.lock`, 'utf8'), before, 'untouched');
      await theirs.kill();
      rmSync(`${lock.path}.lock`, { force: true });

      const ours = await running(t, CONTAINER, routerHolding(lock));
      const held = readFileSync(`${lock.path}.lock`, 'utf8');
      t.equal(
        (await running(t, [], openclawTrying(dist, lock))).said,
        'refused',
        'outside it does not take ours',
      );
      t.equal(
        (await running(t, CONTAINER, openclawTrying(dist, lock))).said,
        'refused',
        'nor in another one',
      );
      t.equal(readFileSync(`${lock.path}.lock`, 'utf8'), held);
      await ours.kill();
    },
  );
}

interface Dist {
  readonly node: string;
  readonly folder: string;
}

function distOf(t: Test, release: Release): Dist | null {
  const name = `openclaw-${release}` as const;
  const found = real(t, 'node24', name);
  return found === null ? null : { node: found.node24, folder: path.join(path.dirname(found[name]), 'dist') };
}

function lockIn(folder: string, release: Release): HostLock {
  const [lock] = refreshLocks(folder, 'openai', 'openai:default', release);
  if (lock === undefined) throw new Error('no lock');
  mkdirSync(path.dirname(lock.path), { recursive: true });
  return lock;
}

/** A folder of the machine; in the layer of a container that runs these tests pids would be believed. */
function shared(t: Test): string {
  const folder = mkdtempSync('/dev/shm/codex-router-test-');
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function payloadOf(lock: HostLock): Record<string, unknown> {
  return JSON.parse(readFileSync(`${lock.path}.lock`, 'utf8'));
}

/** Its function, out of the chunk it is in: no entry point exports it in every release. */
function refreshLockPathOf(dist: string): (provider: string, profileId: string) => string {
  const chunk = readdirSync(dist)
    .filter((name) => /\.m?js$/.test(name))
    .map((name) => path.join(dist, name))
    .find((file) => readFileSync(file, 'utf8').includes('function resolveOAuthRefreshLockPath('));
  if (chunk === undefined) throw new Error(`no resolveOAuthRefreshLockPath in ${dist}`);
  const text = readFileSync(chunk, 'utf8');
  const source = ['oauthLockPathDigest', 'resolveOAuthRefreshLockPath']
    .map((name) => new RegExp(`^function ${name}\\([\\s\\S]*?^}`, 'm').exec(text)?.[0] ?? '')
    .join('\n');
  const file = path.join(
    path.dirname(BUNDLE),
    `${path.basename(path.dirname(path.dirname(path.dirname(dist))))}.cjs`,
  );
  writeFileSync(
    file,
    `const path = require('node:path'); const { createHash } = require('node:crypto');
    const resolveStateDir = () => '/state';\n${source}
    module.exports = resolveOAuthRefreshLockPath;`,
  );
  const module: { exports?: (provider: string, profileId: string) => string } = {};
  new Function('module', 'require', readFileSync(file, 'utf8'))(module, (name: string) =>
    process.getBuiltinModule(name as never),
  );
  if (module.exports === undefined) throw new Error('nothing was exported');
  return module.exports;
}

const RETRIES = '{ retries: 2, factor: 1, minTimeout: 50, maxTimeout: 50 }';

function openclawHolding(dist: Dist, lock: HostLock): readonly string[] {
  return openclawScript(
    dist,
    `await acquireFileLock(file, options); say('held'); setInterval(() => {}, 1000);`,
    lock,
  );
}

function openclawTrying(dist: Dist, lock: HostLock): readonly string[] {
  return openclawScript(
    dist,
    `await acquireFileLock(file, options).then(async (held) => { await held.release(); say('taken'); }, () => say('refused'));`,
    lock,
  );
}

function openclawScript(dist: Dist, body: string, lock: HostLock): readonly string[] {
  const sdk = pathToFileURL(path.join(dist.folder, 'plugin-sdk', 'file-lock.js')).href;
  return [
    dist.node,
    '--input-type=module',
    '-e',
    `const { acquireFileLock } = await import(${JSON.stringify(sdk)});
    const file = ${JSON.stringify(lock.path)};
    const options = { retries: ${RETRIES}, stale: ${lock.staleMs} };
    const say = (text) => process.stdout.write(text);
    ${body}`,
  ];
}

function routerHolding(lock: HostLock): readonly string[] {
  return routerScript(lock, `say('held'); await new Promise(() => setInterval(() => {}, 1000));`);
}

function routerTrying(lock: HostLock): readonly string[] {
  return routerScript(lock, `say('taken');`);
}

function routerScript(lock: HostLock, body: string): readonly string[] {
  return [
    process.execPath,
    '--input-type=module',
    '-e',
    `const { withHostLocks } = await import(${JSON.stringify(BUNDLE)});
    const say = (text) => process.stdout.write(text);
    await withHostLocks([${JSON.stringify(lock)}], { waitMs: 100 }, async () => { ${body} }).catch((error) => say(error.code));`,
  ];
}

interface Running {
  /** Of the program started, which for a container is unshare(1). */
  readonly pid: number | undefined;
  /** What it printed first. */
  readonly said: string;
  kill(): Promise<void>;
}

/** Starts it and waits until it has said something. */
async function running(t: Test, before: readonly string[], command: readonly string[]): Promise<Running> {
  const [program = '', ...args] = [...before, ...command];
  const env = { PATH: process.env.PATH, HOME: t.testdirName, TMPDIR: path.dirname(BUNDLE) };
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], env });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const kill = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  t.teardown(kill);
  const said = await new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.stdout.once('data', (chunk) => resolve(String(chunk)));
    void ended.then((code) => reject(new Error(`${program} said nothing and ended with ${code}`)));
  });
  return { pid: child.pid, said, kill };
}
