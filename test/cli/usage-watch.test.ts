import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { bare, outputOf, type ProcessRun, runProcess, until } from '../kit/process.js';
import { leaksOf, PROJECT, program, router, type Sandbox, sandbox, withoutEscapes } from '../kit/router.js';
import { makeState } from '../kit/state.js';
import { codexAuthJson, type Login, loginOf, makeLogin, type Person, people } from '../kit/tokens.js';
import { startUsageBackend, type UsageBackend, usageOf, windowOf } from '../kit/usage-backend.js';

interface Bench {
  readonly box: Sandbox;
  readonly backend: UsageBackend;
  readonly env: Record<string, string>;
  run(...args: string[]): ReturnType<typeof router>;
  store(alias: string, login: Login): Promise<Login>;
  /** `usage --watch` without a terminal, until `isEnough` of the lines it has printed; then it gets `signal`. */
  watch(
    args: readonly string[],
    isEnough: (lines: readonly string[]) => boolean | Promise<boolean>,
  ): Promise<Watched>;
}

interface Watched extends ProcessRun {
  readonly lines: readonly string[];
}

async function bench(t: Test, inSlot: Login | null = null): Promise<Bench> {
  const box = sandbox(t);
  const backend = await startUsageBackend(t);
  makeState(box.stateDir, { release: '2026.5.7', slot: inSlot });
  const env = { CODEX_ROUTER_KEY: 'file', CODEX_ROUTER_TEST_ISSUER: backend.url, TZ: 'UTC' };
  t.teardown(() => {
    const leaks = leaksOf(box);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
  });
  const run: Bench['run'] = (...args) => router(box, args, { env });
  return {
    box,
    backend,
    env,
    run,
    async store(alias, login) {
      const { stderr, code } = await router(box, ['import', '--from', '-', '--alias', alias], {
        env,
        input: codexAuthJson(login),
      });
      if (code !== 0) throw new Error(stderr);
      return login;
    },
    async watch(args, isEnough) {
      let kill: (signal: NodeJS.Signals) => void = () => undefined;
      let stopped = false;
      const linesOf = (text: string) => text.split('\n').slice(0, -1);
      const ended = await runProcess(
        [process.execPath, path.join(PROJECT, 'dist', 'codex-router.js'), 'usage', '--watch', ...args],
        {
          env: { ...box.env, ...env },
          cwd: box.home,
          onStart: (send) => {
            kill = send;
          },
          onOutput: (output) => {
            if (stopped) return null;
            void Promise.resolve(isEnough(linesOf(output))).then((enough) => {
              if (!enough || stopped) return;
              stopped = true;
              kill('SIGTERM');
            });
            return null;
          },
        },
      );
      if (/CANARY|eyJ/.test(ended.stdout + ended.stderr)) throw new Error(`a secret: ${outputOf(ended)}`);
      return { ...ended, lines: linesOf(ended.stdout) };
    },
  };
}

const keyOf = ({ accountId, userId }: Person) => `${accountId}/${userId}`;

t.test('on a terminal it draws in place, puts the screen back and leaves what it saw last', async (t) => {
  const { box, env, store, backend } = await bench(t);
  const work = await store('work', loginOf('alice-team'));
  await store('home', loginOf('alice'));
  const args = ['usage', '--all', '--watch', '--interval', '1'];
  const drawn = async (send: string, more: Record<string, string> = {}) =>
    router(box, args, { env: { ...env, ...more }, tty: [{ after: /next \d\d:\d\d:\d\d/, send }] });
  for (const [send, status] of [
    ['q', 0],
    ['\u0003', 130],
  ] as const) {
    const { stdout, code } = await drawn(send);
    t.equal(code, status, JSON.stringify(send));
    const [before = '', picture = '', after = '', ...more] = stdout.split(/\u001b\[\?1049[hl]/);
    t.strictSame(more, [], 'the alternate screen is entered once and left once');
    t.equal(before.trim(), '');
    t.ok(picture.startsWith('\u001b[?25l') && picture.endsWith('\u001b[?25h'), 'and so is the cursor hidden');
    t.notMatch(picture, /\u001b\[2?J\u001b\[\?2026h|\u001b\[2J/, 'it is never blank in between');
    t.match(
      withoutEscapes(picture),
      /^asked \d\d:\d\d:\d\d, next \d\d:\d\d:\d\d {3}q ends, r asks now\r?\n\r?\nwork \(/m,
    );
    t.match(withoutEscapes(after), /work .*\n {2}5 h .*62 % left.*\n.*\n\nhome /s);
    t.notMatch(after, /asked \d\d:|INTERRUPTED/);
  }
  backend.answer(work, { body: usageOf(work, { rate_limit: { primary_window: windowOf(99, 18_000, 60) } }) });
  const dumb = router(box, [...args, '--json'], { env, tty: [{ after: '"leftPercent":1', send: '\u0003' }] });
  await t.rejects(
    dumb,
    /did not print exactly one JSON document/,
    'with --json it draws nothing, terminal or not',
  );
});

t.test('a window of another size is drawn anew', async (t) => {
  const { box, env, store } = await bench(t);
  await store('work', loginOf('alice-team'));
  // What was answered is kept before it is drawn; from then on the window may be made smaller.
  const script = `(while [ ! -e '${box.routerHome}/usage.json' ]; do sleep 0.05; done; stty cols 40 </dev/tty) & exec "$@"`;
  const program40 = [
    '/bin/sh',
    '-c',
    script,
    'sh',
    process.execPath,
    path.join(PROJECT, 'dist', 'codex-router.js'),
  ];
  const { code, stdout } = await program(box, program40, ['usage', 'work', '--watch'], {
    env,
    tty: [{ after: /team, account\r*\n {4}b2222222\)/, send: 'q' }],
  });
  t.equal(code, 0, stdout);
});

t.test('a terminal that is closed ends it, and not by an abort with all its memory', async (t) => {
  const { box, env, store } = await bench(t);
  await store('work', loginOf('alice-team'));
  const status = path.join(box.root, 'status');
  const routerLine = `'${process.execPath}' '${path.join(PROJECT, 'dist', 'codex-router.js')}'`;
  const line = `stty cols 80 rows 24; trap '' HUP; ${routerLine} usage work --watch; echo $? > '${status}'`;
  const all = { TERM: 'xterm-256color', ...box.env, ...env, SHELL: '/bin/sh' };
  const [file = '', ...args] = bare(['/usr/bin/script', '--quiet', '--command', line, '/dev/null'], all);
  const script = spawn(file, args, { cwd: box.home, stdio: ['pipe', 'pipe', 'ignore'] });
  let shown = '';
  script.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
  });
  t.teardown(() => script.kill('SIGKILL'));
  await until('the picture', () => /next \d\d:/.test(shown));
  script.kill('SIGKILL');
  await until('its end', () => existsSync(status) && readFileSync(status, 'utf8') !== '');
  t.equal(readFileSync(status, 'utf8').trim(), '129');
});

t.test('who reads no more ends it', async (t) => {
  const { box, env, store } = await bench(t);
  await store('work', loginOf('alice-team'));
  const line = `'${process.execPath}' '${path.join(PROJECT, 'dist', 'codex-router.js')}' usage work --watch --interval 0.1 | head -1`;
  const { stdout, stderr } = await runProcess(['/bin/sh', '-c', line], {
    env: { ...box.env, ...env },
    cwd: box.home,
  });
  t.match(stdout, /^\S+ {2}work [^\n]*\n$/, stderr);
});

t.test('without a terminal each round adds a line for each, with its time and no escape code', async (t) => {
  const { store, watch, backend } = await bench(t);
  const work = await store('work', loginOf('alice-team'));
  const home = await store('home', loginOf('alice'));
  const { lines, code, stderr } = await watch(['--all', '--interval', '0.1'], (seen) => seen.length >= 6);
  t.equal(code, 143, stderr);
  t.equal(stderr, '');
  t.ok(lines.length >= 6);
  const stamp = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 {2}/;
  lines.forEach((line, place) => {
    t.match(line, stamp);
    t.match(line, place % 2 === 0 ? / {2}work \(/ : / {2}home \(/, 'in their order');
    t.match(line, / {2}5 h 62 % left, resets [^;]+; week 88 % left, resets /);
    t.notMatch(line, /\u001b/);
  });
  const [bearers, headers] = [new Set<string>(), new Set<string>()];
  for (const { bearer, accountHeader } of backend.questions) {
    bearers.add(bearer);
    headers.add(`${bearer} ${accountHeader}`);
  }
  t.strictSame([...bearers].sort(), [keyOf(home), keyOf(work)].sort());
  t.equal(headers.size, 2, 'each token with its own account, in every round');
});

t.test('with --json each line is a document; a round that fails ends nothing', async (t) => {
  const { store, watch, backend } = await bench(t);
  const work = await store('work', loginOf('alice-team'));
  const { lines } = await watch(['work', '--interval', '0.1', '--json'], (seen) => {
    if (seen.length === 1) backend.answer(work, 'reset');
    if (seen.at(-1)?.includes('"unreachable"')) backend.answer(work, { body: usageOf(work) });
    return seen.some((line) => line.includes('unreachable')) && seen.at(-1)?.includes('"answered"') === true;
  });
  const states = lines.map((line) => JSON.parse(line).usage[0].state);
  t.strictSame([...new Set(states)], ['answered', 'unreachable']);
  t.equal(states.at(-1), 'answered');
  t.match(JSON.parse(lines[0] ?? ''), { schemaVersion: 1, ok: true, meant: 'selectors' });
  t.ok(
    JSON.parse(lines[states.indexOf('unreachable')] ?? '').usage[0].limits,
    'the last known is still shown',
  );
});

t.test('who asks for patience gets it, and the others are asked on', async (t) => {
  const { store, watch, backend } = await bench(t);
  const work = await store('work', loginOf('alice-team'));
  const home = await store('home', loginOf('alice'));
  backend.answer(work, { status: 429, body: {}, headers: { 'retry-after': '3600' } });
  const { lines } = await watch(['--all', '--interval', '0.1'], (seen) => seen.length >= 10);
  const asked = (login: Login) => backend.questions.filter(({ bearer }) => bearer === keyOf(login)).length;
  t.equal(asked(work), 1, 'once in all rounds');
  t.ok(asked(home) >= 5);
  t.match(lines[0], /no usage: ChatGPT answered 429$/);
  t.match(lines[2], /no usage: ChatGPT answered 429; it is asked again in (1 h|60 min)/);
});

t.test(
  'what another process switches between two rounds is seen, and no lock is held meanwhile',
  async (t) => {
    const { run, store, watch, backend } = await bench(t);
    const work = await store('work', loginOf('alice-team'));
    const home = await store('home', loginOf('alice'));
    await run('use', 'work');
    let switched: Promise<unknown> | null = null;
    const { lines, stderr } = await watch(['--interval', '0.2', '--json'], async (seen) => {
      if (seen.length > 0) switched ??= run('use', 'home', '--json');
      return seen.at(-1)?.includes('"alias":"home"') === true;
    });
    t.match(await switched, { code: 0, json: { ok: true } });
    t.strictSame(
      [...new Set(lines.map((line) => JSON.parse(line).usage[0].identity.alias))],
      ['work', 'home'],
      stderr,
    );
    const of = (alias: string) =>
      lines.flatMap((line) => JSON.parse(line).usage).filter((row) => row.identity.alias === alias);
    t.ok(of('home').every((row) => row.state === 'answered' && row.heldBy === 'slot'));
    t.strictSame(
      new Set(backend.questions.map(({ bearer, accountHeader }) => `${bearer} ${accountHeader}`)),
      new Set([work, home].map((login) => `${keyOf(login)} ${login.accountId}`)),
    );
  },
);

t.test('the first Ctrl-C ends the questions; what was answered is shown and kept', async (t) => {
  const { box, env, store, backend } = await bench(t);
  const work = await store('work', loginOf('alice-team'));
  // Eight are asked at a time: the last of these is once the first, `work`, has answered.
  const hanging = Array.from({ length: 8 }, (_, place) =>
    makeLogin({ ...people.bob, accountId: `acc-${place}`, userId: `user-${place}` }),
  );
  for (const login of hanging) backend.answer(login, 'hang');
  const others = Object.fromEntries(hanging.map((login, place) => [`openai-codex:${place}`, login]));
  makeState(box.stateDir, { release: '2026.5.7', slot: null, others });
  const stopped = (args: readonly string[], asked: number) =>
    router(box, ['usage', ...args, '--timeout', '60', '--json'], {
      env,
      onStart: (kill) => {
        const before = backend.questions.length;
        const timer = setInterval(() => {
          if (backend.questions.length < before + asked) return;
          clearInterval(timer);
          kill('SIGINT');
        }, 20);
      },
    });
  const { code, json, stderr } = await stopped(['--all'], 9);
  t.equal(code, 130, stderr);
  t.match(json.usage[0], { identity: { alias: 'work' }, state: 'answered' });
  t.equal(json.usage.length, 9, 'nobody is left out');
  for (const row of json.usage.slice(1)) t.match(row, { state: 'interrupted', limits: null });
  const { json: later } = await router(box, ['usage', 'work', '--offline', '--json'], { env });
  t.ok(later.usage[0].limits);
  backend.answer(work, 'hang');
  const nothing = await stopped(['work'], 1);
  t.match(
    nothing,
    { code: 130, json: { error: { code: 'INTERRUPTED' } } },
    'with nothing to show it says so',
  );
});

t.test('what cannot be meant is refused before anybody is asked', async (t) => {
  const { box, backend } = await bench(t);
  for (const args of [
    ['--watch', '--history'],
    ['--watch', '--offline'],
    ['--interval', '30'],
    ['--days', '3'],
    ['--watch', '--interval', '0'],
    ['--watch', '--interval', 'soon'],
    ['--history', '--days', '91'],
  ]) {
    t.match(
      await router(box, ['usage', ...args, '--json'], { env: { CODEX_ROUTER_TEST_ISSUER: backend.url } }),
      { code: 2 },
    );
  }
  t.match(await router(box, ['usage', '--watch', '--interval', '14', '--json']), {
    code: 2,
    json: { error: { message: /15 at least/ } },
  });
});
