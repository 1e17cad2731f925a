import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { FailoverWatchDocument } from '../../src/cli/contract-failover-watch.js';
import { startTimeOf } from '../../src/os/live-process.js';
import { simulatedClock } from '../kit/limits.js';
import { bare, until } from '../kit/process.js';
import { leaksOf, PROJECT, router, type Sandbox, sandbox } from '../kit/router.js';
import { makeState, type OpenClawState, SLOT } from '../kit/state.js';
import { codexAuthJson, type Login, loginOf, people } from '../kit/tokens.js';
import { startUsageBackend, type UsageBackend, usageOf, windowOf } from '../kit/usage-backend.js';
import { morningZone } from '../kit/zone.js';

const ROOM = 'agent:main:telegram:direct:1001';
const PROGRAM = path.join(PROJECT, 'dist', 'codex-router.js');

interface Watch {
  readonly pid: number;
  readonly ended: Promise<readonly [number | null, NodeJS.Signals | null]>;
  kill(signal: NodeJS.Signals): void;
  out(): string;
  lines(): readonly string[];
  /** Waits until what was printed matches. */
  says(pattern: RegExp): Promise<string>;
}

interface Bench {
  readonly box: Sandbox;
  readonly backend: UsageBackend;
  readonly state: OpenClawState;
  readonly work: Login;
  readonly home: Login;
  run(...args: string[]): ReturnType<typeof router>;
  watch(...args: string[]): Watch;
  config(failover: object): void;
  log(): Promise<
    readonly { readonly kind: string; readonly status: string | null; readonly code: string | null }[]
  >;
}

/** Two stored logins, the first of them in the slot of an OpenClaw with one session. */
async function bench(t: Test): Promise<Bench> {
  const box = sandbox(t);
  const backend = await startUsageBackend(t);
  const session = {
    channel: 'telegram',
    chatType: 'direct',
    lastChannel: 'telegram',
    lastTo: '1001',
    updatedAt: 1,
  };
  const state = makeState(box.stateDir, { release: '2026.5.7', slot: null, sessions: { [ROOM]: session } });
  const env = { CODEX_ROUTER_KEY: 'file', CODEX_ROUTER_TEST_ISSUER: backend.url, TZ: morningZone() };
  t.teardown(() => {
    const leaks = leaksOf(box);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
  });
  const run: Bench['run'] = (...args) => router(box, args, { env });
  const store = async (alias: string, login: Login) => {
    const { code, stderr } = await router(box, ['import', '--from', '-', '--alias', alias], {
      env,
      input: codexAuthJson(login),
    });
    if (code !== 0) throw new Error(stderr);
    return login;
  };
  const [work, home] = [await store('work', loginOf('alice-team')), await store('home', loginOf('alice'))];
  const used = await run('use', 'work');
  if (used.code !== 0) throw new Error(used.stderr);
  // Who has just come in would stay for its time.
  const clock = simulatedClock(box);
  clock.leap(40 * 60_000);
  return {
    box,
    backend,
    state,
    work,
    home,
    run,
    watch: (...args) => {
      const command = bare([process.execPath, PROGRAM, 'failover', 'watch', ...args], {
        ...box.env,
        ...env,
        ...clock.env,
      });
      const [file = '', ...words] = command;
      const child = spawn(file, words, { cwd: box.home, stdio: ['ignore', 'pipe', 'pipe'] });
      t.teardown(() => child.kill('SIGKILL'));
      let out = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          out += text;
        });
      }
      const ended = once(child, 'close').then(([code, signal]) => [code, signal] as const);
      return {
        pid: child.pid ?? 0,
        ended,
        kill: (signal) => void child.kill(signal),
        out: () => out,
        lines: () => out.split('\n').slice(0, -1),
        says: async (pattern) => {
          await until(`${pattern} in ${out}`, () => pattern.test(out));
          return out;
        },
      };
    },
    config: (failover) => {
      const folder = path.join(box.env.XDG_CONFIG_HOME ?? '', 'codex-router');
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      writeFileSync(path.join(folder, 'config.json'), JSON.stringify({ failover }), { mode: 0o600 });
    },
    log: async () => (await run('failover', 'log', '--limit', '1000', '--json')).json.events,
  };
}

const lockIn = (box: Sandbox) => path.join(box.routerHome, 'failover', 'watch.lock');
const ROUNDS = ['--session', ROOM, '--interval', '0.2'];
const spent = (login: Login) => ({
  body: usageOf(login, { rate_limit: { primary_window: windowOf(97, 18_000, 3 * 3600) } }),
});

t.test('it says first what it will do, for whom, and that it is a dry run; then it is quiet', async (t) => {
  const { box, watch, backend, state, work } = await bench(t);
  const before = readFileSync(state.paths().profiles, 'utf8');
  const one = watch(...ROUNDS);
  await until('six rounds', () => backend.questions.length >= 6);
  one.kill('SIGTERM');
  t.strictSame(await one.ended, [143, null]);
  const [first = '', second = '', third = '', ...more] = one.lines();
  t.match(first, /failover watch, dry run: changes nothing: looks every 1 s after [a-z2-7]{8}$/);
  t.match(second, /healthy: [a-z2-7]{8}, 62 % left$/);
  t.match(third, /stopped after \d+ rounds$/);
  t.strictSame(more, [], 'six rounds that came to the same are one line');
  t.notMatch(
    one.out(),
    new RegExp(`1001|${work.accountId}|example\\.test`),
    'what is not a terminal is told masks',
  );
  t.equal(readFileSync(state.paths().profiles, 'utf8'), before);
  t.notOk(existsSync(lockIn(box)));
});

t.test('with --names it says who and which session it is', async (t) => {
  const { watch } = await bench(t);
  const one = watch(...ROUNDS, '--names');
  await one.says(/healthy/);
  one.kill('SIGINT');
  t.strictSame(await one.ended, [130, null]);
  t.match(one.out(), /after agent:main:telegram:direct:1001\n.*healthy: work \(/);
});

t.test('with --json each line is a document of the schema', async (t) => {
  const { watch, backend, work } = await bench(t);
  const one = watch(...ROUNDS, '--json');
  await one.says(/"status":"healthy"/);
  backend.answer(work, spent(work));
  await one.says(/"status":"switch_recommended"/);
  one.kill('SIGTERM');
  await one.ended;
  const documents = one.lines().map((line) => FailoverWatchDocument.parse(JSON.parse(line)));
  t.equal(documents[0]?.event, 'started');
  t.equal(documents.at(-1)?.event, 'stopped');
  t.match(documents[0], { apply: false, sessions: [/^[a-z2-7]{8}$/] });
  t.ok(documents.filter(({ event }) => event === 'round').length >= 2);
  t.notMatch(one.out(), new RegExp(`1001|${work.accountId}`));
});

t.test('there is one: another says who it is and ends, and leaves the first alone', async (t) => {
  const { run, watch } = await bench(t);
  const one = watch(...ROUNDS);
  await one.says(/healthy/);
  const { code, json } = await run('failover', 'watch', '--session', ROOM, '--json');
  t.equal(code, 75);
  t.match(json.error, { code: 'BUSY', message: new RegExp(`process ${one.pid}$`), hint: /failover stop/ });
  t.match((await run('failover', 'status', '--json')).json, { running: 'yes', watch: { pid: one.pid } });
  one.kill('SIGTERM');
  t.strictSame(await one.ended, [143, null]);
});

t.test('one that was killed leaves a lock that the next one takes over', async (t) => {
  const { box, run, watch } = await bench(t);
  const one = watch(...ROUNDS);
  await one.says(/healthy/);
  one.kill('SIGKILL');
  await one.ended;
  t.ok(existsSync(lockIn(box)));
  t.match((await run('failover', 'status', '--json')).json, {
    running: 'no',
    watch: { wasKilled: true, nextAt: null },
  });
  t.match((await run('failover', 'stop', '--json')).json, { result: 'not-running' });
  const next = watch(...ROUNDS);
  await next.says(/healthy/);
  t.match((await run('failover', 'status', '--json')).json, {
    running: 'yes',
    watch: { pid: next.pid, wasKilled: false, apply: false, sessions: 1, lastStatus: 'healthy' },
  });
  next.kill('SIGINT');
  t.strictSame(await next.ended, [130, null]);
  t.notOk(existsSync(lockIn(box)));
});

t.test('one that cannot go on says why in its status and its log, and names nobody', async (t) => {
  const { run, watch, state, log } = await bench(t);
  const sessions = JSON.parse(readFileSync(state.paths().sessions, 'utf8'));
  const other = { ...sessions[ROOM], lastTo: '20028888' };
  const all = { ...sessions, 'agent:main:telegram:direct:20028888': other };
  writeFileSync(state.paths().sessions, JSON.stringify(all));
  const one = watch(...ROUNDS, '--apply');
  t.strictSame(await one.ended, [6, null]);
  t.match(one.out(), /direct:2002….*\(FAILOVER_SCOPE\)/);
  t.notMatch(one.out(), /20028888/);
  t.match((await run('failover', 'status', '--json')).json, {
    running: 'no',
    watch: { lastError: 'FAILOVER_SCOPE', wasKilled: false, stoppedAt: Number },
  });
  t.strictSame(
    (await log()).map(({ kind, code }) => [kind, code]),
    [
      ['started', null],
      ['failed', 'FAILOVER_SCOPE'],
      ['stopped', null],
    ],
  );
});

t.test('stop ends the one that runs and returns when it has ended; without one it says so', async (t) => {
  const { box, run, watch, log } = await bench(t);
  const none = await run('failover', 'stop');
  t.match(none, { code: 0, stdout: 'no failover watch runs\n' });
  const one = watch(...ROUNDS);
  await one.says(/healthy/);
  t.match((await run('failover', 'stop', '--json')).json, { result: 'stopped', pid: one.pid });
  t.notOk(startTimeOf(one.pid), 'its process is gone');
  t.strictSame(await one.ended, [143, null]);
  t.notOk(existsSync(lockIn(box)));
  t.strictSame(
    (await log()).map(({ kind }) => kind),
    ['started', 'decided', 'stopped'],
  );
  t.match((await run('failover', 'status', '--json')).json, { running: 'no', watch: { wasKilled: false } });
});

t.test('stop sends nothing to a process that only has the number of the watch', async (t) => {
  const { box, run } = await bench(t);
  const stranger = spawn('/bin/sleep', ['600'], { stdio: 'ignore' });
  t.teardown(() => stranger.kill('SIGKILL'));
  const pid = stranger.pid ?? 0;
  for (const [start, running] of [
    [(startTimeOf(pid) ?? 0) - 1, /^(no|unknown)$/],
    [0, /^unknown$/],
  ] as const) {
    mkdirSync(lockIn(box), { recursive: true, mode: 0o700 });
    for (const name of readdirSync(lockIn(box))) rmSync(path.join(lockIn(box), name));
    writeFileSync(path.join(lockIn(box), `${pid}-${start}`), '', { mode: 0o600 });
    t.match((await run('failover', 'status', '--json')).json.running, running);
    const { json } = await run('failover', 'stop', '--json');
    if (start === 0) t.match(json.error, { code: 'BUSY', message: /sent nothing/ });
    t.ok(startTimeOf(pid), 'it lives');
  }
});

t.test('a round that fails is told once, and the watch goes on', async (t) => {
  const { run, watch, state, log } = await bench(t);
  const one = watch(...ROUNDS);
  await one.says(/healthy/);
  const { profiles } = state.paths();
  const text = readFileSync(profiles, 'utf8');
  writeFileSync(profiles, '{ broken');
  const told = await one.says(/this round failed: [A-Z_]+; it is tried again at /);
  const failures = async () => (await run('failover', 'status', '--json')).json.watch.lastError;
  t.ok(await until('its status', failures));
  writeFileSync(profiles, text);
  await until('the next good round', async () => one.out().split('healthy').length === 3);
  one.kill('SIGTERM');
  t.strictSame(await one.ended, [143, null]);
  t.equal(told.split('this round failed').length, 2);
  t.match(one.out(), /stopped after \d+ rounds, \d+ failed/);
  t.ok((await log()).some(({ kind, code }) => kind === 'failed' && code !== null));
});

t.test('with --apply it switches, once, and remembers; the log tells, with masks', async (t) => {
  const { box, run, watch, backend, state, work, home, log } = await bench(t);
  const one = watch(...ROUNDS, '--apply', '--json');
  await one.says(/"status":"healthy"/);
  backend.answer(work, spent(work));
  await one.says(/"status":"switched"/);
  await one.says(/"status":"switched".*\n.*"status":"healthy"/);
  const asked = backend.questions.length;
  await until('more rounds', () => backend.questions.length > asked + 3);
  one.kill('SIGTERM');
  await one.ended;
  t.match(state.profiles()[SLOT], { accountId: people.alice.accountId });
  t.match((await run('failover', 'status', '--json')).json.slots, [
    {
      current: /^[a-z2-7]{8}$/,
      switchesInHour: 1,
      identities: [{ identity: /^[a-z2-7]{8}$/, leftAt: Number }],
    },
  ]);
  const shown = (await run('failover', 'status', '--names', '--json')).stdout;
  t.match(shown, new RegExp(`"current": "${home.accountId}/${home.userId}"`));
  const text = readFileSync(path.join(box.routerHome, 'failover', 'events.jsonl'), 'utf8');
  t.notMatch(text, new RegExp(`1001|${work.accountId}|${home.accountId}|example\\.test`));
  t.match((await run('failover', 'log', '--names')).stdout, /sessions agent:main:telegram:direct:1001/);
  t.equal((await log()).filter(({ kind }) => kind === 'switched').length, 1);
});

t.test('all that it writes is for its user only', async (t) => {
  const { box, watch } = await bench(t);
  const one = watch(...ROUNDS);
  await one.says(/healthy/);
  const folder = path.join(box.routerHome, 'failover');
  t.equal(statSync(folder).mode & 0o777, 0o700);
  for (const name of ['state.json', 'events.jsonl'])
    t.equal(statSync(path.join(folder, name)).mode & 0o777, 0o600);
  one.kill('SIGTERM');
  await one.ended;
});

t.test('what cannot be meant is refused before anything is locked or asked', async (t) => {
  const { box, run, backend, config } = await bench(t);
  t.match(await run('failover', 'watch', '--json'), {
    code: 2,
    json: { error: { code: 'FAILOVER_NO_SESSIONS' } },
  });
  for (const args of [
    ['--interval', 'soon'],
    ['--interval', '0'],
    ['--shared-slot', '--own-slot'],
  ]) {
    t.match(await run('failover', 'watch', '--session', ROOM, ...args, '--json'), { code: 2 });
  }
  t.match(await router(box, ['failover', 'watch', '--session', ROOM, '--interval', '59', '--json']), {
    code: 2,
    json: { error: { message: /60 at least/ } },
  });
  config({ intervalSeconds: 'soon' });
  t.match(await run('failover', 'watch', '--session', ROOM, '--json'), {
    code: 2,
    json: { error: { code: 'CONFIG_UNREADABLE' } },
  });
  t.equal(backend.questions.length, 0);
  t.notOk(existsSync(lockIn(box)));
});

t.test('a notification is told on standard input, once, without a name, a secret or a shell', async (t) => {
  const { box, watch, backend, config, work } = await bench(t);
  const heard = path.join(box.root, 'heard');
  const script = path.join(box.bin, 'hear');
  writeFileSync(
    script,
    `#!/bin/sh\ncat >> '${heard}'\nprintf '%s\\n' "$@" > '${heard}.argv'\nenv > '${heard}.env'\n`,
    { mode: 0o700 },
  );
  config({ notify: { command: [script, '$(touch pwned)', 'a b'] } });
  backend.answer(work, spent(work));
  const one = watch(...ROUNDS, '--json');
  await until('the notification', () => existsSync(`${heard}.env`));
  const asked = backend.questions.length;
  await until('three more rounds', () => backend.questions.length > asked + 6);
  one.kill('SIGTERM');
  await one.ended;
  const [only = '', ...more] = readFileSync(heard, 'utf8').trim().split('\n');
  t.strictSame(more, []);
  t.match(JSON.parse(only), {
    schemaVersion: 1,
    kind: 'would-switch',
    apply: false,
    from: /^[a-z2-7]{8}$/,
    to: /^[a-z2-7]{8}$/,
    reason: 'remaining_below_threshold',
    text: /from work to home/,
  });
  t.notMatch(only, new RegExp(`1001|${work.accountId}|example\\.test`));
  t.equal(readFileSync(`${heard}.argv`, 'utf8'), '$(touch pwned)\na b\n');
  t.notMatch(readFileSync(`${heard}.env`, 'utf8'), /CODEX_ROUTER|OPENCLAW/);
});

t.test('a notification that fails is told once and is not fatal', async (t) => {
  const { watch, backend, config, work, log } = await bench(t);
  config({ notify: { command: ['/nowhere/at-all'] } });
  backend.answer(work, spent(work));
  const one = watch(...ROUNDS);
  await one.says(
    /note: nobody was told by command: the notification command could not be started \(ENOENT\)/,
  );
  const asked = backend.questions.length;
  await until('more rounds', () => backend.questions.length > asked + 3);
  one.kill('SIGTERM');
  t.strictSame(await one.ended, [143, null]);
  t.equal(one.out().split('nobody was told').length, 2);
  t.equal((await log()).filter(({ kind }) => kind === 'notify-failed').length, 1);
});

t.test('an uninstall waits for nobody: it is refused while a watch runs', async (t) => {
  const { run, watch } = await bench(t);
  const one = watch(...ROUNDS);
  await one.says(/healthy/);
  t.match(await run('uninstall', '--yes', '--json'), {
    code: 75,
    json: { error: { hint: /failover stop/ } },
  });
  one.kill('SIGTERM');
  await one.ended;
});
