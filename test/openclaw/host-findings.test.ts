import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { takeAway } from '../../src/openclaw/aside.js';
import { locateHost } from '../../src/openclaw/locate.js';
import { temporaryBeside } from '../../src/os/atomic.js';
import { startTimeOf } from '../../src/os/live-process.js';
import type { FileAsFound, HostTrouble, TroubleCode } from '../../src/slot/trouble.js';
import { findCanary } from '../kit/canary.js';
import { sandbox } from '../kit/router.js';
import { makeState, SLOT, type StateOptions } from '../kit/state.js';
import { codexAuthJson, DAY, loginOf } from '../kit/tokens.js';

const posix = process.platform !== 'win32';
const isRoot = process.getuid?.() === 0;
const HOUR = 3_600_000;

function bench(t: Test, options: Partial<StateOptions> = {}) {
  const box = sandbox(t);
  const state = makeState(box.stateDir, { release: '2026.5.7', slot: loginOf('alice'), ...options });
  const refreshLocks = path.join(state.dir, 'locks', 'oauth-refresh');
  const look = async () => {
    const { HOME, CODEX_HOME, OPENCLAW_STATE_DIR } = box.env;
    const host = await locateHost({
      env: { HOME, CODEX_HOME, OPENCLAW_STATE_DIR, PATH: box.bin },
      platform: 'linux',
      options: {},
    });
    return (await host.troubles?.()) ?? [];
  };
  const kept: FileAsFound[] = [];
  return {
    box,
    state,
    look,
    kept,
    profiles: state.paths().profiles,
    refreshLock: path.join(refreshLocks, 'lock-7b9da1f0ba485a46aaec13e8c09ceb27.lock'),
    of: async (code: TroubleCode) => (await look()).filter((trouble) => trouble.code === code),
    only: async (code: TroubleCode): Promise<HostTrouble> => {
      const [first, ...more] = (await look()).filter((trouble) => trouble.code === code);
      if (first === undefined || more.length > 0) throw new Error(`not one ${code}`);
      return first;
    },
    mend: async ({ mend }: HostTrouble) => {
      const keep = async (before: FileAsFound) => `kept-${kept.push(before)}`;
      if (mend === null) throw new Error('there is no mend');
      return mend.carryOut(keep);
    },
  };
}

function aged(file: string, ms: number): void {
  const then = new Date(Date.now() - ms);
  utimesSync(file, then, then);
}

/** Every file and folder below, but for times; a file by its content. */
function picture(dir: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(dir, { withFileTypes: true, recursive: true }).map((entry) => {
      const file = path.join(entry.parentPath, entry.name);
      const content = entry.isFile() ? readFileSync(file).toString('latin1') : '';
      return [path.relative(dir, file), `${lstatSync(file).mode.toString(8)} ${content}`];
    }),
  );
}

async function sleeper(t: Test): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['-e', 'process.stdout.write("up"); setInterval(() => {}, 1000)']);
  t.teardown(() => child.kill('SIGKILL'));
  await new Promise((up) => child.stdout?.once('data', up));
  return child;
}

/** A pid that no process has any more. */
function deadPid(): number {
  return spawnSync(process.execPath, ['-e', '']).pid;
}

t.test('a host that is as it should be has no trouble, and a look changes nothing', async (t) => {
  for (const release of ['2026.3.28', '2026.5.7'] as const) {
    const { state, look } = bench(t, { release, agents: [{ id: 'research', slot: loginOf('bob') }] });
    const before = picture(state.dir);
    t.strictSame(await look(), [], release);
    t.strictSame(picture(state.dir), before);
  }
});

t.test('an old empty folder where a lock belongs is removed, and nothing else', async (t) => {
  const { state, profiles, refreshLock, of, only, mend, kept, look } = bench(t);
  const before = picture(state.dir);
  mkdirSync(`${profiles}.lock`);
  aged(`${profiles}.lock`, HOUR);
  const trouble = await only('LOCK_FOLDER');
  t.match(trouble, { part: 'lock', danger: true, remedy: `rmdir ${profiles}.lock` });
  t.match(trouble.text, `${profiles}.lock`);
  t.match(await mend(trouble), { text: /was removed$/, kept: null });
  t.strictSame(picture(state.dir), before);
  t.strictSame([kept, await look()], [[], []], 'an empty folder leaves nothing to keep');

  mkdirSync(path.dirname(refreshLock), { recursive: true, mode: 0o700 });
  for (const file of [refreshLock, `${state.paths().sessions}.lock`, `${profiles}.lock.reclaim`]) {
    if (file.endsWith('.reclaim')) writeFileSync(`${profiles}.lock`, '');
    mkdirSync(file);
    aged(file, HOUR);
    const [found] = await of('LOCK_FOLDER');
    t.match(found, { text: file, danger: file.includes('auth-profiles.json') });
    if (found) await mend(found);
    t.notOk(existsSync(file), path.basename(file));
  }
});

t.test('a folder that a tool may be holding, or that holds something, is left', async (t) => {
  const { profiles, only, mend } = bench(t);
  const lock = `${profiles}.lock`;
  mkdirSync(lock);
  t.match(await only('LOCK_FOLDER'), { mend: null, text: /touched \d+ s ago, so a tool may be holding it$/ });
  writeFileSync(path.join(lock, 'owner.json'), '{}');
  aged(lock, HOUR);
  t.match(await only('LOCK_FOLDER'), { mend: null, remedy: /^look what is in it, then mv / });
  // Between the look and the mend somebody has taken it for his own.
  rmSync(path.join(lock, 'owner.json'));
  aged(lock, HOUR);
  const trouble = await only('LOCK_FOLDER');
  writeFileSync(path.join(lock, 'mine'), 'x');
  aged(lock, HOUR);
  await t.rejects(mend(trouble), { code: 'HOST_BUSY' });
  t.strictSame(readdirSync(lock), ['mine'], 'put back as it was');
  const filled = lstatSync(lock);
  await t.rejects(takeAway(lock, filled), { code: 'HOST_BUSY' });
  t.strictSame(
    [readdirSync(lock), readdirSync(path.dirname(lock)).filter((name) => name.endsWith('.tmp'))],
    [['mine'], []],
  );
  rmSync(lock, { recursive: true });
  mkdirSync(lock);
  await t.rejects(mend(trouble), { code: 'HOST_BUSY' });
  t.ok(existsSync(lock), 'another one, made since');
  rmSync(lock, { recursive: true });
  await t.rejects(mend(trouble), { code: 'HOST_BUSY' }, 'gone already');
});

t.test('the lock of a dead process is kept and removed; a live one’s is told and left', async (t) => {
  const { state, profiles, only, of, mend, kept } = bench(t);
  const lock = `${profiles}.lock`;
  const holder = await sleeper(t);
  const before = picture(state.dir);
  const write = (payload: object | string) => {
    const text = typeof payload === 'string' ? payload : JSON.stringify(payload, null, 2);
    writeFileSync(lock, text, { mode: 0o640 });
    return text;
  };
  const createdAt = new Date(Date.now() - HOUR).toISOString();
  const { pid = 0 } = holder;
  const live = write({ pid, createdAt, starttime: startTimeOf(pid) });
  t.match(await of('LOCK_HELD'), [
    { mend: null, remedy: null, text: `process ${pid} holds OpenClaw's lock ${lock}` },
  ]);
  t.strictSame([await of('LOCK_LEFT'), readFileSync(lock, 'utf8')], [[], live]);

  // As 3.28 writes it: a pid that runs, and nothing to tell it from an earlier process of that number.
  const old = write({ pid, createdAt });
  t.match(await of('LOCK_HELD'), [{ mend: null, text: `process ${pid} holds` }]);
  t.strictSame([await of('LOCK_LEFT'), readFileSync(lock, 'utf8')], [[], old]);

  const dead = deadPid();
  const text = write({ pid: dead, createdAt: new Date().toISOString() });
  const left = await only('LOCK_LEFT');
  t.match(left.text, `of process ${dead}, which is gone`);
  // Meanwhile somebody alive took it.
  write({ pid, createdAt, starttime: startTimeOf(pid) });
  await t.rejects(mend(left), { code: 'HOST_BUSY' });
  t.strictSame([readFileSync(lock, 'utf8'), kept], [live, []], 'a live lock is never touched');

  write({ pid: dead, createdAt: new Date().toISOString() });
  const again = await only('LOCK_LEFT');
  t.match(await mend(again), { kept: 'kept-1' });
  t.match(kept, [{ path: lock, mode: 0o640 }]);
  t.strictSame([Buffer.from(kept[0]?.bytes ?? []).length > 0, text.length > 0], [true, true]);
  t.strictSame(picture(state.dir), before);

  for (const broken of ['', '{"pid":']) {
    write(broken);
    t.strictSame((await of('LOCK_LEFT')).length, 0, 'it may be in the middle of being written');
    aged(lock, HOUR);
    t.match((await mend(await only('LOCK_LEFT'))).text, lock);
    t.notOk(existsSync(lock));
  }
  symlinkSync(path.join(state.dir, 'nowhere'), lock);
  t.match(await of('LOCK_FOLDER'), [{ mend: null, text: /a link to nothing/ }]);
});

t.test('of two that take one lock away, the one that another has put there since stays', async (t) => {
  const file = path.join(t.testdir({ lock: 'old' }), 'lock');
  const judged = lstatSync(file);
  renameSync(file, `${file}.gone`);
  writeFileSync(file, 'new');
  await t.rejects(takeAway(file, judged), { code: 'HOST_BUSY' });
  t.equal(readFileSync(file, 'utf8'), 'new');
  t.strictSame(readdirSync(path.dirname(file)).sort(), ['lock', 'lock.gone'], 'nothing is left aside');
});

t.test('a gateway’s lock whose process is gone is removed; a folder there is told', async (t) => {
  const { state, only, of, mend, kept } = bench(t);
  const folder = path.join(state.dir, 'tmp', `openclaw-${process.getuid?.() ?? ''}`.replace(/-$/, ''));
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const lock = path.join(folder, 'gateway.state.lock');
  const holder = await sleeper(t);
  const { pid = 0 } = holder;
  writeFileSync(lock, JSON.stringify({ pid, startTime: startTimeOf(pid), stateDir: state.dir }));
  t.strictSame(await of('LOCK_LEFT'), [], 'a gateway that runs');
  writeFileSync(lock, JSON.stringify({ pid: deadPid(), stateDir: state.dir }));
  await mend(await only('LOCK_LEFT'));
  t.strictSame([existsSync(lock), kept.length], [false, 1]);
  mkdirSync(lock);
  aged(lock, HOUR);
  await mend(await only('LOCK_FOLDER'));
  t.notOk(existsSync(lock));
});

t.test(
  'what others may read or replace is narrowed, without following a link',
  { skip: !posix },
  async (t) => {
    const { state, profiles, only, of, mend, kept } = bench(t);
    const bytes = readFileSync(profiles);
    chmodSync(profiles, 0o644);
    const shut = await only('FILE_OPEN');
    t.match(shut, { danger: false, text: /\(mode 0644\).*a folder above it keeps them out$/ });
    chmodSync(path.dirname(profiles), 0o755);
    for (const dir of [path.join(state.dir, 'agents', 'main'), path.join(state.dir, 'agents'), state.dir])
      chmodSync(dir, 0o711);
    const found = await of('FILE_OPEN');
    t.strictSame(
      found.map(({ danger, remedy }) => [danger, remedy]),
      [
        [false, `chmod 0700 ${path.dirname(profiles)}`],
        [true, `chmod 0600 ${profiles}`],
      ],
    );
    for (const trouble of found) await mend(trouble);
    t.strictSame(
      [statSync(profiles).mode & 0o777, statSync(path.dirname(profiles)).mode & 0o777],
      [0o600, 0o700],
    );
    t.strictSame(readFileSync(profiles), bytes);
    t.strictSame(
      kept.map(({ mode, bytes }) => [mode, bytes]),
      [
        [0o755, null],
        [0o644, null],
      ],
    );
    t.strictSame(await of('FILE_OPEN'), []);

    chmodSync(profiles, 0o666);
    const trouble = await only('FILE_OPEN');
    const elsewhere = path.join(state.dir, 'elsewhere.json');
    renameSync(profiles, elsewhere);
    symlinkSync(elsewhere, profiles);
    await t.rejects(mend(trouble), RouterErrorLike);
    t.equal(statSync(elsewhere).mode & 0o777, 0o666, 'what the link leads to was not touched');
    t.match(await of('FILE_LINKED'), [{ mend: null, text: `${profiles} is a link` }]);

    chmodSync(state.dir, 0o777);
    const writable = await only('FILE_OPEN');
    t.match(writable, { danger: true, text: /other users may write to the state directory/ });
    await mend(writable);
    t.equal(statSync(state.dir).mode & 0o777, 0o755);
  },
);

t.test(
  'a right that the owner had not is never given, and a file with a second name is left',
  { skip: !posix },
  async (t) => {
    const { state, profiles, only, mend, kept } = bench(t);
    chmodSync(profiles, 0o444);
    await mend(await only('FILE_OPEN'));
    t.equal(statSync(profiles).mode & 0o7777, 0o400);
    t.match(kept, [{ mode: 0o444, nextMode: 0o400 }]);

    chmodSync(profiles, 0o644);
    linkSync(profiles, path.join(state.dir, 'elsewhere.json'));
    t.match(await only('FILE_OPEN'), { mend: null, remedy: /^chmod 0600 / });
    t.equal(statSync(profiles).mode & 0o777, 0o644);
  },
);

const RouterErrorLike = { code: /^(IO|HOST_BUSY)$/ };

t.test('a file of another user is told, and its mode is left', { skip: !isRoot }, async (t) => {
  const { profiles, only } = bench(t);
  chownSync(profiles, 12345, 12345);
  chmodSync(profiles, 0o644);
  t.match(await only('FILE_FOREIGN'), { mend: null, remedy: `sudo chown 0 ${profiles}` });
});

t.test('our own abandoned temporary files are kept and removed; others and young ones stay', async (t) => {
  const { state, profiles, of, mend, kept } = bench(t);
  const before = picture(state.dir);
  const ours = [profiles, state.paths().sessions, path.join(state.dir, 'codex-router.json')].map(
    temporaryBeside,
  );
  for (const file of ours) writeFileSync(file, 'half', { mode: 0o600 });
  t.strictSame(await of('TEMPORARY_LEFT'), [], 'a write may be under way');
  for (const file of ours) aged(file, HOUR);
  const theirs = `${profiles}.11111111-1111-4111-8111-111111111111.tmp`;
  writeFileSync(theirs, 'theirs', { mode: 0o600 });
  aged(theirs, HOUR);
  const found = await of('TEMPORARY_LEFT');
  t.strictSame(found.map(({ text }) => text.split(' ')[0]).sort(), [...ours].sort());
  for (const trouble of found) await mend(trouble);
  t.strictSame(
    kept.map(({ bytes }) => Buffer.from(bytes ?? []).toString()),
    ['half', 'half', 'half'],
  );
  rmSync(theirs);
  t.strictSame(picture(state.dir), before);
});

t.test(
  'a store that this release does not read is told, with danger while its login is in use',
  async (t) => {
    const alice = loginOf('alice');
    const { state, of, look } = bench(t, { slot: alice });
    const old = path.join(state.paths().dir, 'auth.json');
    const write = (refresh: string) =>
      writeFileSync(
        old,
        JSON.stringify({ 'openai-codex': { type: 'oauth', access: alice.access, refresh } }),
        { mode: 0o600 },
      );
    write(loginOf('bob').refresh);
    t.match(await of('STORE_LEFT'), [
      { danger: false, mend: null, remedy: `rm ${old}`, text: /and logins lie in it$/ },
    ]);
    write(alice.refresh);
    t.match(await of('STORE_LEFT'), [{ danger: true, text: /a login that is in use lies in it too$/ }]);
    writeFileSync(`${state.paths().profiles}.bak`, readFileSync(state.paths().profiles), { mode: 0o600 });
    t.match(await of('LOGIN_COPIES'), [
      { danger: false, mend: null, text: /^copies of 1 login\(s\) .*in use now$/ },
    ]);
    const shown = path.join(t.testdir({}), 'shown');
    writeFileSync(shown, JSON.stringify(await look()));
    t.strictSame(findCanary([shown]), [], 'no token is shown');
  },
);

t.test(
  'Codex’s login over the slot: told where the release copies it, with danger when it would at once',
  async (t) => {
    const now = Date.now();
    const alice = loginOf('alice', { issuedAt: now, expiresAt: now + 5 * DAY });
    for (const release of ['2026.3.28', '2026.5.7'] as const) {
      const { box, of } = bench(t, { release, slot: alice });
      const auth = path.join(box.codexHome, 'auth.json');
      const write = (days: number) =>
        writeFileSync(auth, codexAuthJson(loginOf('carol', { issuedAt: now, expiresAt: now + days * DAY })));
      write(6);
      const found = await of('CODEX_OVERWRITES');
      if (release === '2026.5.7') {
        t.strictSame(found, [], 'later releases leave the slot');
        continue;
      }
      const remedy = 'codex-router import --take';
      t.match(found, [{ danger: true, mend: null, remedy, text: /agent main at its next look$/ }]);
      write(4);
      t.match(await of('CODEX_OVERWRITES'), [{ danger: false, text: /as soon as Codex renews it$/ }]);
      writeFileSync(auth, codexAuthJson(alice));
      t.strictSame(await of('CODEX_OVERWRITES'), [], 'the very login that is in the slot');
      writeFileSync(auth, '{"OPENAI_API_KEY":"x"}');
      t.strictSame(await of('CODEX_OVERWRITES'), [], 'no login of Codex');
    }
    t.equal(SLOT, 'openai-codex:default');
  },
);
