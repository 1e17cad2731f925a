import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import path from 'node:path';
import t, { type Test } from 'tap';
import { withRouterLock } from '../../src/os/lock.js';
import { pendingLoginsIn } from '../../src/repo/pending-logins.js';
import { type PendingDeps, startPending, takePending } from '../../src/router/pending-login.js';
import { Secret } from '../../src/secret.js';
import { fakeRepo } from '../contract/fake-repo.js';
import { findCanary } from '../kit/canary.js';
import { type Issuer, startIssuer } from '../kit/issuer.js';
import { bare, until } from '../kit/process.js';
import {
  leaksOf,
  PROJECT,
  type RouterOptions,
  type RouterRun,
  router,
  type Sandbox,
  sandbox,
} from '../kit/router.js';
import { people } from '../kit/tokens.js';

// Ports 1455 and 1457 are the client's own: only this file uses them, one test after another.

interface Bench {
  readonly box: Sandbox;
  readonly issuer: Issuer;
  readonly env: Readonly<Record<string, string>>;
  /** What lies there between `start` and `finish`. */
  readonly file: string;
  run(args: readonly string[], options?: RouterOptions): Promise<RouterRun>;
  /** Starts a login; the address to open. */
  start(...more: readonly string[]): Promise<string>;
  finish(input: string, ...more: readonly string[]): Promise<RouterRun>;
  /** How many logins the issuer gave or refused. */
  exchanges(): number;
  /** The stored identities. */
  stored(): Promise<RouterRun['json']['identities']>;
}

/** Everything codex-router printed or left is searched when the test ends: for CANARY, and for each state and verifier. */
async function bench(t: Test): Promise<Bench> {
  const box = sandbox(t);
  const issuer = await startIssuer(t);
  const env = { CODEX_ROUTER_KEY: 'file', CODEX_ROUTER_TEST_ISSUER: issuer.url };
  const states: string[] = [];
  const printed: string[] = [];
  const self: Bench = {
    box,
    issuer,
    env,
    file: path.join(box.routerHome, 'pending-login.json'),
    async run(args, options = {}) {
      const run = await router(box, args, { ...options, env: { ...env, ...options.env } });
      const isStart = args[0] === 'login' && args[1] === 'start';
      printed.push(isStart ? run.stderr : run.stdout + run.stderr);
      return run;
    },
    async start(...more) {
      const run = await self.run(['login', 'start', '--json', ...more]);
      if (run.code !== 0) throw new Error(run.stderr + run.stdout);
      states.push(new URL(run.json.url).searchParams.get('state') ?? '');
      return run.json.url;
    },
    finish: (input, ...more) => self.run(['login', 'finish', '--yes', '--json', ...more], { input }),
    exchanges: () => issuer.of('login').length,
    stored: async () => (await self.run(['list', '--json'])).json.identities,
  };
  t.teardown(() => {
    const secrets = [...states, ...issuer.verifiers];
    const shown = printed.flatMap((text) =>
      secrets.filter((secret) => codings(secret).some((one) => text.includes(one))),
    );
    if (shown.length > 0) throw new Error(`a state or verifier was printed: ${shown}`);
    const left = leftIn(box, secrets);
    if (left.length > 0) throw new Error(`a state or verifier was left: ${left}`);
    const leaks = leaksOf(box);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
  });
  return self;
}

/** A secret as it may be written: as it is, and in base64 and hex of its characters and of its bytes. */
function codings(secret: string): string[] {
  const forms = [Buffer.from(secret), Buffer.from(secret, 'base64url')];
  const coded = forms.flatMap((bytes) => [bytes.toString('base64').slice(0, 40), bytes.toString('hex')]);
  return [secret, ...coded, encodeURIComponent(secret)];
}

function leftIn(box: Sandbox, secrets: readonly string[]): string[] {
  const files = box.written
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => path.join(folder, name)),
    )
    .filter((file) => statSync(file).isFile());
  return files.filter((file) => {
    const text = readFileSync(file, 'latin1');
    return secrets.some((secret) => codings(secret).some((one) => text.includes(one)));
  });
}

/** A browser in which a person agrees: where it is sent back to. */
async function visit(url: string): Promise<string> {
  const answer = await fetch(url, { redirect: 'manual' });
  const back = answer.headers.get('location');
  if (answer.status !== 302 || back === null) throw new Error(`the issuer answered ${answer.status}`);
  return back;
}

function changed(url: string, name: string, value: string): string {
  const copy = new URL(url);
  copy.searchParams.set(name, value);
  return copy.href;
}

interface Begun {
  readonly said: () => string;
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>;
}

/** Runs codex-router and lets the test look at what it says meanwhile. */
function begin(
  t: Test,
  { box, env }: Bench,
  args: readonly string[],
  more: Record<string, string> = {},
): Begun {
  const [file = '', ...rest] = bare([process.execPath, path.join(PROJECT, 'dist/codex-router.js'), ...args], {
    ...box.env,
    ...env,
    ...more,
  });
  const child = spawn(file, rest, { cwd: box.home, stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const ended = new Promise<Awaited<Begun['ended']>>((resolve) => {
    child.on('close', (code) => {
      t.strictSame(findCanary([], { strings: { stdout, stderr } }), []);
      resolve({ code, stdout, stderr });
    });
  });
  return { said: () => stderr, kill: (signal) => child.kill(signal), ended };
}

/** The address that a running `login --browser` has shown. */
function shownBy({ said, ended }: Begun): Promise<string> {
  const died = ended.then(({ stderr }) => Promise.reject(new Error(`it ended: ${stderr}`)));
  died.catch(() => undefined);
  return Promise.race([
    until('the address is shown', () => /^ {2}(http:\S+authorize\S+)$/m.exec(said())?.[1]),
    died,
  ]);
}

function isTaken(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    }).on('error', () => resolve(false));
  });
}

/** Takes a port for the test; what it was asked. */
async function take(t: Test, port: number): Promise<readonly string[]> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.end();
  });
  await new Promise<void>((resolve, reject) =>
    server.once('error', reject).listen(port, '127.0.0.1', resolve),
  );
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return asked;
}

/** The pending file, changed as a text editor would. */
function edit(
  file: string,
  change: (content: { login: Record<string, unknown> } & Record<string, unknown>) => void,
): void {
  const content = JSON.parse(readFileSync(file, 'utf8'));
  change(content);
  writeFileSync(file, `${JSON.stringify(content)}\n`);
}

t.test('a login that was started is finished with the address that the browser ended on', async (t) => {
  const it = await bench(t);
  it.issuer.approveAs(people['alice-team']);
  const started = await it.run([
    'login',
    'start',
    '--alias',
    'work',
    '--expect',
    people['alice-team'].accountId,
    '--json',
  ]);
  t.match(started.json, {
    result: 'started',
    replaced: null,
    login: { alias: 'work', expect: people['alice-team'].accountId },
  });
  t.equal(started.json.login.expiresAt - started.json.login.startedAt, 15 * 60 * 1000);
  const url = new URL(started.json.url);
  t.equal(url.searchParams.get('allowed_workspace_id'), people['alice-team'].accountId);
  t.equal(statSync(it.file).mode & 0o777, 0o600);
  t.strictSame(
    leftIn(it.box, [url.searchParams.get('state') ?? '?']),
    [],
    'the state lies there sealed only',
  );
  t.match((await it.run(['login', 'status', '--json'])).json, {
    result: 'pending',
    login: started.json.login,
  });
  const back = await visit(started.json.url);
  t.equal(it.exchanges(), 0);
  const finished = await it.finish(`${back}\n`);
  t.equal(finished.code, 0, finished.stderr);
  t.match(finished.json, {
    result: 'added',
    identity: { alias: 'work', accountId: people['alice-team'].accountId },
    workspace: 'Acme',
    source: 'login',
    verified: true,
  });
  t.equal(it.exchanges(), 1);
  t.equal(it.issuer.verifiers.length, 1);
  t.match(await it.stored(), [{ alias: 'work' }]);
  t.match((await it.run(['login', 'status', '--json'])).json, { result: 'used' });
});

t.test(
  'on a terminal the address is asked for and not shown, and the person is asked before the login is kept',
  async (t) => {
    const it = await bench(t);
    const back = await visit(await it.start());
    const kept = await it.run(['login', 'finish'], {
      tty: [
        { after: 'address that the browser ended on', send: `${back}\r` },
        { after: 'Keep this login?', send: '\r' },
      ],
    });
    t.equal(kept.code, 0, kept.stdout);
    t.match(kept.stdout, 'alice@example.test');
    t.equal((await it.stored()).length, 1);
  },
);

t.test(
  'code#state will do; a code without its state, and anything else, is refused and costs nothing',
  async (t) => {
    const it = await bench(t);
    const back = new URL(await visit(await it.start()));
    const [code, state] = ['code', 'state'].map((name) => back.searchParams.get(name));
    for (const bad of [
      '',
      `${code}`,
      `${back.origin}${back.pathname}?code=${code}`,
      'no',
      'x'.repeat(70_000),
    ]) {
      t.match(await it.finish(bad), { code: 2, json: { error: { code: 'USAGE' } } });
    }
    t.equal(it.exchanges(), 0);
    t.match(await it.finish(`${code}#${state}`), { code: 0, json: { result: 'added' } });
  },
);

t.test(
  'an answer to another login is refused, nothing is sent, and the right one is taken afterwards',
  async (t) => {
    const it = await bench(t);
    const first = await visit(await it.start());
    const again = await it.run(['login', 'start', '--json']);
    t.match(again.json.replaced, { alias: null, expect: null });
    const second = await visit(again.json.url);
    for (const wrong of [
      first,
      changed(second, 'state', 'guessed'),
      changed(second, 'state', `${new URL(second).searchParams.get('state')}x`),
    ]) {
      t.match(await it.finish(wrong), { code: 6, json: { error: { code: 'STATE_MISMATCH' } } });
    }
    t.equal(it.exchanges(), 0);
    t.match((await it.run(['login', 'status', '--json'])).json, { result: 'pending' });
    t.match(await it.finish(second), { code: 0, json: { result: 'added' } });
  },
);

t.test('a finished login cannot be finished again, and says so', async (t) => {
  const it = await bench(t);
  const back = await visit(await it.start('--alias', 'mine'));
  t.equal((await it.finish(back)).code, 0);
  t.notMatch(readFileSync(it.file, 'utf8'), 'sealed', 'the secrets are gone from the disk');
  for (const input of [back, 'anything']) {
    t.match(await it.finish(input), { code: 4, json: { error: { code: 'LOGIN_USED' } } });
  }
  t.equal(it.exchanges(), 1);
});

t.test('of two that finish at once exactly one sends the exchange', async (t) => {
  const it = await bench(t);
  const back = await visit(await it.start());
  const both = await Promise.all([it.finish(back), it.finish(back)]);
  t.strictSame(both.map(({ code }) => code).sort(), [0, 4]);
  t.match(both.find(({ code }) => code === 4)?.json, { error: { code: 'LOGIN_USED' } });
  t.equal(it.exchanges(), 1);
});

t.test('however the steps of many takers interleave, one gets the secrets', async (t) => {
  const folder = t.testdir();
  const deps: PendingDeps = {
    pending: pendingLoginsIn(folder),
    withLock: (work) => withRouterLock(folder, work),
    critical: (work) => work(),
    now: Date.now,
  };
  const secrets = { state: new Secret('state'), verifier: new Secret('verifier') };
  const wish = { redirectUri: 'http://127.0.0.1:1455/auth/callback', expect: null, alias: null };
  const opened = await fakeRepo().open();
  await startPending(deps, opened, wish, secrets);
  const takers = Array.from({ length: 8 }, () => takePending(deps, opened, secrets.state));
  const ends = await Promise.allSettled(takers);
  t.equal(ends.filter(({ status }) => status === 'fulfilled').length, 1);
  for (const end of ends) if (end.status === 'rejected') t.match(end.reason, { code: 'LOGIN_USED' });
});

t.test(
  'killed while the issuer answers, it is not sent again: the secrets were gone before the exchange was sent',
  async (t) => {
    const it = await bench(t);
    const back = await visit(await it.start());
    let kill = (_signal: NodeJS.Signals) => undefined as unknown;
    let before = '';
    it.issuer.behaviour.onAnswer = (kind) => {
      if (kind !== 'login') return;
      before = readFileSync(it.file, 'utf8');
      kill('SIGKILL');
    };
    const killed = await it.run(['login', 'finish', '--yes'], {
      input: back,
      onStart: (found) => {
        kill = found;
      },
    });
    t.equal(killed.signal, 'SIGKILL');
    t.match(before, '"kind":"used"');
    it.issuer.behaviour.onAnswer = () => undefined;
    t.match(await it.finish(back), { code: 4, json: { error: { code: 'LOGIN_USED' } } });
    t.equal(it.exchanges(), 1);
    t.strictSame(await it.stored(), []);
    t.match(await it.finish(await visit(await it.start())), { code: 0, json: { result: 'added' } });
  },
);

t.test(
  'a pending login lives for 15 minutes by the clock, also by one that was set back, and is removed then',
  async (t) => {
    const minute = 60_000;
    for (const [shift, lives] of [
      [14 * minute, true],
      [15 * minute, false],
      [-minute, false],
    ] as const) {
      const it = await bench(t);
      const back = await visit(await it.start());
      const clock = path.join(it.box.root, 'clock');
      writeFileSync(clock, String(shift));
      const options = {
        input: back,
        env: {
          CLOCK_SHIFT: clock,
          NODE_OPTIONS: `--import=${path.join(PROJECT, 'test/crash/clock-shift.mjs')}`,
        },
      };
      const run = await it.run(['login', 'finish', '--yes', '--json'], options);
      if (lives) t.equal(run.code, 0, run.stdout);
      else {
        const message = shift < 0 ? /^the clock of this machine was set back/ : /more than 15 minutes ago/;
        t.match(run, { code: 4, json: { error: { code: 'LOGIN_EXPIRED', message } } }, String(shift));
      }
      t.equal(it.exchanges(), lives ? 1 : 0);
      t.equal(existsSync(it.file), lives);
    }
  },
);

t.test('what was typed at the start cannot make the finish impossible', async (t) => {
  const self = await bench(t);
  const key = `${people.alice.accountId}/${people.alice.userId}`;
  self.issuer.approveAs(people.alice);
  t.equal((await self.finish(await visit(await self.start()))).code, 0);
  t.equal((await self.run(['alias', people.alice.accountId, 'me'])).code, 0);
  const named = await self.run(['login', 'start', '--expect', 'me', '--json']);
  t.match(named, { code: 2, json: { error: { code: 'USAGE', hint: `--expect ${key}` } } });
  const address = await visit(await self.start('--alias', 'work'));
  t.equal((await self.run(['alias', 'me', 'work'])).code, 0, 'the name is given away meanwhile');
  self.issuer.approveAs(people.bob);
  const back = await visit(await self.start('--alias', 'work2'));
  t.equal((await self.run(['alias', 'work', 'work2'])).code, 0);
  const run = await self.finish(back);
  t.match(run, { code: 0, json: { identity: { email: people.bob.email, alias: null } } });
  t.match(run.json.notes, [{ code: 'ALIAS_TAKEN' }]);
  t.equal((await self.finish(address)).code, 4, 'and the one it replaced is gone');
});

t.test('finish takes whom and what name start was not told, and refuses to be told otherwise', async (t) => {
  const it = await bench(t);
  const { accountId, userId } = people['alice-team'];
  it.issuer.approveAs(people.alice);
  const back = await visit(await it.start('--expect', people.alice.accountId, '--alias', 'me'));
  for (const more of [
    ['--expect', accountId],
    ['--expect', `${people.alice.accountId}/${userId}`],
    ['--alias', 'work'],
  ]) {
    const run = await it.finish(back, ...more);
    t.match(run, {
      code: 2,
      json: { error: { code: 'USAGE', message: /not what the login was started with/ } },
    });
  }
  t.equal(it.exchanges(), 0);
  const same = ['--expect', people.alice.accountId.toUpperCase(), '--alias', 'me'];
  t.match(await it.finish(back, ...same), { code: 0, json: { identity: { alias: 'me' } } });

  const other = await visit(await it.start());
  const refused = await it.finish(other, '--expect', accountId, '--alias', 'work');
  t.match(refused, { code: 6, json: { error: { code: 'IDENTITY_UNEXPECTED' } } });
  it.issuer.approveAs(people['alice-team']);
  const third = await visit(await it.start());
  const kept = await it.finish(third, '--expect', accountId.toUpperCase(), '--alias', 'work');
  t.match(kept, { code: 0, json: { identity: { accountId, alias: 'work' } } });
});

t.test('a login that is started while another one is being finished waits for its own address', async (t) => {
  const it = await bench(t);
  it.issuer.approveAs(people.alice);
  const back = await visit(await it.start());
  let next: Promise<string> | null = null;
  it.issuer.behaviour.onAnswer = async (kind) => {
    if (kind !== 'login' || next !== null) return;
    next = it.start();
    await next;
  };
  t.match(await it.finish(back), { code: 0, json: { identity: { email: people.alice.email } } });
  it.issuer.approveAs(people.bob);
  const second = await visit((await next) ?? '');
  t.match(await it.finish(back), { code: 6, json: { error: { code: 'STATE_MISMATCH' } } });
  t.match(await it.finish(second), { code: 0, json: { identity: { email: people.bob.email } } });
  t.equal((await it.stored()).length, 2);
});

t.test('a folder in the place of the pending login is named, whatever is asked', async (t) => {
  const it = await bench(t);
  await it.run(['vault', 'init', '--key', 'file']);
  mkdirSync(it.file);
  for (const args of [['start'], ['finish', '--yes'], ['status'], ['cancel']]) {
    const run = await it.run(['login', ...args, '--json'], { input: 'x' });
    const error = { code: 'IO', message: /, where a login that was begun is kept, is a folder$/ };
    t.match(run, { code: 5, json: { error } }, args.join(' '));
  }
  t.ok(existsSync(it.file));
  t.equal((await it.run(['login', '--yes'])).code, 0, 'a login with a code does not need it');
});

t.test('talk that cannot be written costs nobody the login', async (t) => {
  const self = await bench(t);
  const back = await visit(await self.start());
  const args = [process.execPath, path.join(PROJECT, 'dist/codex-router.js'), 'login', 'finish', '--yes'];
  const [file = '', ...rest] = bare(args, { ...self.box.env, ...self.env });
  const full = openSync('/dev/full', 'w');
  const child = spawn(file, rest, { cwd: self.box.home, stdio: ['pipe', 'ignore', full] });
  closeSync(full);
  child.stdin?.end(back);
  const [code] = await once(child, 'close');
  t.equal(code, 0);
  t.equal((await self.stored()).length, 1);
});

t.test('an expired one is told once and removed by whichever login command comes next', async (t) => {
  const it = await bench(t);
  const expire = async () => {
    await it.start();
    edit(it.file, ({ login }) => {
      login.createdAt = Date.now() - 16 * 60_000;
    });
  };
  await expire();
  const names = readdirSync(it.box.routerHome).sort();
  t.match((await it.run(['login', 'status', '--json'])).json, { result: 'expired', login: { alias: null } });
  t.strictSame(readdirSync(it.box.routerHome).sort(), names, 'looking writes nothing');
  t.match((await it.run(['login', 'cancel', '--json'])).json, { result: 'none', wasDamaged: false });
  t.notOk(existsSync(it.file));
  await expire();
  t.match((await it.run(['login', 'start', '--json'])).json, { replaced: null });
  await expire();
  it.issuer.behaviour.pendingPolls = 0;
  t.equal((await it.run(['login', '--yes'])).code, 0, 'the login with a code');
  t.notOk(existsSync(it.file));
});

t.test('no pending login is said, cancelled or never begun', async (t) => {
  const it = await bench(t);
  t.match(await it.finish('x'), { code: 4, json: { error: { code: 'LOGIN_NOT_FOUND' } } });
  t.notOk(existsSync(it.box.routerHome), 'looking makes nothing');
  const back = await visit(await it.start());
  t.match((await it.run(['login', 'cancel', '--json'])).json, { result: 'cancelled', wasDamaged: false });
  t.notOk(existsSync(it.file));
  t.match(await it.finish(back), { code: 4, json: { error: { code: 'LOGIN_NOT_FOUND' } } });
  t.match((await it.run(['login', 'cancel', '--json'])).json, { result: 'none' });
  t.equal(it.exchanges(), 0);
});

t.test(
  'a pending login that was altered is an error and never looks like none; cancel removes it',
  async (t) => {
    const it = await bench(t);
    const back = await visit(await it.start('--expect', people.alice.accountId, '--alias', 'mine'));
    const sound = readFileSync(it.file, 'utf8');
    const damaged = { code: 6, json: { error: { code: 'RECORD_DAMAGED', hint: /login cancel/ } } };
    // What can be read without the key is bound to what cannot.
    const altered: Record<string, (login: Record<string, unknown>) => void> = {
      expect: (login) => {
        login.expect = null;
      },
      alias: (login) => {
        login.alias = 'other';
      },
      createdAt: (login) => {
        login.createdAt = Date.now() - 1000;
      },
      redirectUri: (login) => {
        login.redirectUri = 'http://127.0.0.1:1457/auth/callback';
      },
    };
    for (const [what, alter] of Object.entries(altered)) {
      edit(it.file, ({ login }) => alter(login));
      t.match(await it.finish(back), damaged, what);
      writeFileSync(it.file, sound);
    }
    edit(it.file, (content) => {
      content.sealed = String(content.sealed).replace(/^./, (first) => (first === 'A' ? 'B' : 'A'));
    });
    t.match(await it.finish(back), damaged, 'sealed');
    for (const text of [
      '',
      '{',
      '{}',
      '[]',
      '{"version":1,"kind":"pending"}',
      sound.slice(0, -20),
      sound.replace('pending', 'other'),
    ]) {
      writeFileSync(it.file, text);
      for (const args of [['status'], ['start'], ['finish', '--yes']]) {
        t.match(await it.run(['login', ...args, '--json'], { input: back }), damaged, `${args} ${text}`);
      }
      t.equal(readFileSync(it.file, 'utf8'), text);
    }
    writeFileSync(it.file, sound.replace('"version":1', '"version":2'));
    for (const args of [['status'], ['cancel']]) {
      t.match(await it.run(['login', ...args, '--json']), {
        code: 6,
        json: { error: { code: 'VAULT_NEWER' } },
      });
    }
    writeFileSync(it.file, '{');
    t.match((await it.run(['login', 'cancel', '--json'])).json, { result: 'cancelled', wasDamaged: true });
    t.notOk(existsSync(it.file));
    t.equal(it.exchanges(), 0);
  },
);

t.test('one that another vault sealed is not opened', async (t) => {
  const it = await bench(t);
  const back = await visit(await it.start());
  const file = readFileSync(it.file, 'utf8');
  rmSync(it.box.routerHome, { recursive: true });
  await it.run(['vault', 'init', '--json']);
  writeFileSync(it.file, file, { mode: 0o600 });
  t.match(await it.finish(back), { code: 6, json: { error: { code: 'RECORD_DAMAGED' } } });
});

t.test('an address on the command line is refused wherever it stands, and is not repeated', async (t) => {
  const it = await bench(t);
  const back = await visit(await it.start());
  const ways = [
    ['login', 'finish', back, '--yes'],
    ['login', 'finish', '--yes', '--callback-url', back],
    ['login', 'finish', `--callback-url=${back}`],
    ['login', 'finish', `--callback=${back}`],
    ['login', back],
    ['login', 'start', back],
    [back],
    [`${new URL(back).searchParams.get('code')}#state`],
  ];
  for (const args of ways) {
    const run = await it.run([...args, '--json']);
    t.match(run, { code: 2, json: { error: { code: 'USAGE' } } }, args.slice(0, 2).join(' '));
  }
  t.match((await it.run(['login', 'finish', back])).stderr, /take it for spent/);
  t.equal(it.exchanges(), 0);
});

t.test('what the issuer refuses ends in its own words, uses the login up, and stores nothing', async (t) => {
  const it = await bench(t);
  const said = [
    [{ error: 'access_denied' }, 'LOGIN_DENIED', 4, /declined/],
    [
      { error: 'access_denied', error_description: 'missing_codex_entitlement' },
      'LOGIN_DENIED',
      4,
      /not enabled/,
    ],
    [{ error: 'server_error' }, 'LOGIN_FAILED', 5, /server_error/],
  ] as const;
  for (const [error, code, status, message] of said) {
    it.issuer.behaviour.authorizeError = error;
    const back = await visit(await it.start());
    t.match(await it.finish(back), { code: status, json: { error: { code, message } } });
    t.match(await it.finish(back), { code: 4, json: { error: { code: 'LOGIN_USED' } } });
  }
  t.equal(it.exchanges(), 0);
  it.issuer.behaviour.authorizeError = null;
  const back = await visit(await it.start());
  const wrong = await it.finish(changed(back, 'code', 'never-given'));
  t.match(wrong, { code: 4, json: { error: { code: 'LOGIN_EXPIRED' } } });
  t.strictSame(await it.stored(), []);
});

t.test('the login of somebody else than expected is refused, revoked and not stored', async (t) => {
  const it = await bench(t);
  const url = await it.start('--expect', people['alice-team'].accountId);
  it.issuer.approveAs(people.alice);
  t.match(await it.finish(await visit(url)), { code: 6, json: { error: { code: 'IDENTITY_UNEXPECTED' } } });
  t.equal(it.issuer.of('revoke').length, 1);
  t.strictSame(await it.stored(), []);
});

t.test('where nobody can be asked, that is said before anything is used up', async (t) => {
  const it = await bench(t);
  const back = await visit(await it.start());
  t.match(await it.run(['login', 'finish', '--json'], { input: back }), {
    code: 2,
    json: { error: { code: 'CHOICE_NEEDED' } },
  });
  t.match((await it.run(['login', 'status', '--json'])).json, { result: 'pending' });
  t.match(await it.run(['login', 'start', '--alias', '!', '--json']), { code: 2 });
  t.match(await it.run(['login', 'start', '--expect', 'a b', '--json']), { code: 2 });
  t.equal((await it.finish(back)).code, 0, 'neither start that was refused has replaced it');
});

t.test('options in front of the step count, and --browser excludes the steps', async (t) => {
  const it = await bench(t);
  await it.run(['login', '--alias', 'work', '--expect', people.bob.accountId, 'start']).then((run) => {
    t.match(run.stdout, `allowed_workspace_id=${people.bob.accountId}`);
  });
  t.match((await it.run(['login', 'status', '--json'])).json, {
    login: { alias: 'work', expect: people.bob.accountId },
  });
  t.match(await it.run(['login', '--browser', 'start', '--json']), { code: 2 });
  t.match(await it.run(['login', '--no-open', '--json']), { code: 2 });
});

t.test(
  'the browser of this machine is opened at an address without a secret, and comes back by itself',
  async (t) => {
    const it = await bench(t);
    const record = path.join(it.box.root, 'opened.json');
    const opener = path.join(it.box.bin, 'xdg-open');
    // Acts as the browser and the person in it.
    writeFileSync(
      opener,
      `#!${process.execPath}
const { writeFileSync, readFileSync } = require('node:fs');
const own = readFileSync('/proc/self/cmdline', 'latin1') + readFileSync('/proc/self/environ', 'latin1');
fetch(process.argv[2]).then(async (page) => writeFileSync('${record}', JSON.stringify({
  argv: process.argv.slice(2), own, url: page.url, status: page.status, text: await page.text(),
  headers: Object.fromEntries(page.headers) })));
`,
    );
    chmodSync(opener, 0o755);
    const run = await it
      .run(['login', '--browser', '--alias', 'work', '--yes', '--json'], { env: { DISPLAY: ':0' } })
      .catch((error: unknown) => t.fail('it ended otherwise', { error: String(error) }));
    if (typeof run !== 'object') return;
    t.match(run, { code: 0, json: { result: 'added', identity: { alias: 'work' } } }, run.stderr);
    const lines = run.stderr
      .trim()
      .split('\n')
      .map((line: string) => JSON.parse(line));
    t.match(
      lines.find(({ authorizeUrl }) => authorizeUrl)?.authorizeUrl,
      `${it.issuer.url}/oauth/authorize?`,
    );
    const opened = await until(
      'the browser is done',
      () => existsSync(record) && JSON.parse(readFileSync(record, 'utf8')),
    );
    const back = new URL(opened.url);
    t.equal(back.origin + back.pathname, 'http://127.0.0.1:1455/auth/callback');
    t.match(opened, {
      status: 200,
      text: /go back to the terminal/,
      headers: { 'referrer-policy': 'no-referrer' },
    });
    t.equal(opened.argv.length, 1);
    t.match(opened.argv[0], /^http:\/\/127\.0\.0\.1:1455\/login\/[\w-]{22}$/);
    const secrets = [
      ...it.issuer.verifiers,
      back.searchParams.get('state') ?? '?',
      back.searchParams.get('code') ?? '?',
    ];
    t.equal(secrets.length, 3);
    for (const secret of secrets) {
      t.notMatch(opened.own, secret);
      t.notMatch(opened.text, secret);
    }
    t.notMatch(opened.own, 'CODEX_ROUTER');
    t.strictSame(leftIn(it.box, secrets), []);
    t.notOk(await isTaken(1455));
    rmSync(record);
  },
);

t.test(
  'with --no-open, and without a display, only the address is shown; a stranger does not end the wait',
  async (t) => {
    const it = await bench(t);
    const opener = path.join(it.box.bin, 'xdg-open');
    const record = path.join(it.box.root, 'opened');
    writeFileSync(opener, `#!/bin/sh\necho "$@" > '${record}'\n`);
    chmodSync(opener, 0o755);
    for (const [args, env] of [
      [['--no-open'], { DISPLAY: ':0' }],
      [[], {}],
    ] as const) {
      const running = begin(t, it, ['login', '--browser', '--yes', ...args], env);
      const back = await visit(await shownBy(running));
      t.equal((await fetch(changed(back, 'state', 'guessed'))).status, 400);
      await until('the stranger is told', () => running.said().includes('still waiting'));
      t.equal((await fetch(back)).status, 200);
      const { code, stdout, stderr } = await running.ended;
      t.equal(code, 0, stderr);
      t.match(stdout, 'alice@example.test');
      t.notOk(existsSync(record));
    }
  },
);

t.test('an opener that is not there is told, and the login goes on', async (t) => {
  const it = await bench(t);
  const running = begin(t, it, ['login', '--browser', '--yes'], { DISPLAY: ':0', PATH: it.box.bin });
  const back = await visit(await shownBy(running));
  await until('it is told', () => running.said().includes('xdg-open could not be run'));
  await fetch(back);
  t.equal((await running.ended).code, 0);
});

t.test(
  'a taken port is left in peace: the next one is used, and with both taken the way without a port is named',
  async (t) => {
    const it = await bench(t);
    const asked = await take(t, 1455);
    const running = begin(t, it, ['login', '--browser', '--yes', '--no-open']);
    const back = await visit(await shownBy(running));
    t.equal(new URL(back).port, '1457');
    await fetch(back);
    t.equal((await running.ended).code, 0);
    const more = await take(t, 1457);
    const refused = await it.run(['login', '--browser', '--yes', '--json']);
    t.match(refused, {
      code: 75,
      json: { error: { code: 'BUSY', message: /1455 is taken, 1457 is taken/, hint: /login start/ } },
    });
    t.strictSame([...asked, ...more], [], 'nobody was asked to leave');
    t.equal((await it.finish(await visit(await it.start()))).code, 0, 'which works');
  },
);

t.test('Ctrl-C while the browser is away ends it, frees the port and leaves nothing behind', async (t) => {
  const it = await bench(t);
  await it.run(['vault', 'init', '--json']);
  const before = readdirSync(it.box.routerHome).sort();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const running = begin(t, it, ['login', '--browser', '--yes', '--no-open']);
    await shownBy(running);
    running.kill(signal);
    const { code, stderr } = await running.ended;
    t.equal(code, signal === 'SIGINT' ? 130 : 143);
    t.match(stderr, /stopped.*INTERRUPTED/);
    t.notOk(await isTaken(1455));
  }
  t.strictSame(readdirSync(it.box.routerHome).sort(), before);
  t.equal(it.exchanges(), 0);
});

t.test(
  'what the issuer refuses in the browser, and another person in it, end as they do in the other ways',
  async (t) => {
    const it = await bench(t);
    it.issuer.behaviour.authorizeError = {
      error: 'access_denied',
      error_description: 'missing_codex_entitlement',
    };
    const denied = begin(t, it, ['login', '--browser', '--yes']);
    t.match(await (await fetch(await visit(await shownBy(denied)))).text(), /did not come about/);
    t.match(await denied.ended, { code: 4, stderr: /Codex is not enabled for that workspace.*LOGIN_DENIED/ });
    it.issuer.behaviour.authorizeError = null;
    const other = begin(t, it, ['login', '--browser', '--yes', '--expect', people.bob.accountId]);
    const url = await shownBy(other);
    t.equal(new URL(url).searchParams.get('allowed_workspace_id'), people.bob.accountId);
    await fetch(await visit(url));
    t.match(await other.ended, { code: 6, stderr: /IDENTITY_UNEXPECTED/ });
    t.strictSame(await it.stored(), []);
  },
);
