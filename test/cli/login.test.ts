import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { withRouterLock } from '../../src/os/lock.js';
import { type Behaviour, type Issuer, type RequestKind, startIssuer } from '../kit/issuer.js';
import { bare, until } from '../kit/process.js';
import {
  leaksOf,
  PROJECT,
  type RouterRun,
  router,
  type Sandbox,
  sandbox,
  withoutEscapes,
} from '../kit/router.js';
import { makeState, SLOT } from '../kit/state.js';
import { loginOf, people } from '../kit/tokens.js';

/** An issuer, and a codex-router that talks to nobody else. */
async function ready(t: Test, { vault = false } = {}): Promise<{ box: Sandbox; issuer: Issuer }> {
  const box = sandbox(t);
  const issuer = await startIssuer(t);
  box.env.CODEX_ROUTER_TEST_ISSUER = issuer.url;
  box.env.CODEX_ROUTER_KEY = 'file';
  if (vault) await router(box, ['vault', 'init', '--key', 'file']);
  return { box, issuer };
}

const identitiesIn = async (box: Sandbox) => (await router(box, ['list', '--json'])).json.identities;

/** The files codex-router has, without a secret in the clear. */
function filesOf(t: Test, box: Sandbox): readonly string[] {
  t.strictSame(leaksOf(box), []);
  if (!existsSync(box.routerHome)) return [];
  return readdirSync(box.routerHome, { recursive: true, encoding: 'utf8' }).sort();
}

/** The lines of talk of a run with `--json`. */
const linesOf = ({ stderr }: RouterRun) =>
  stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

t.test(
  'a first login makes the vault, shows the code alone on its line, and stores whom it was',
  async (t) => {
    const { box, issuer } = await ready(t);
    issuer.approveAs(people['alice-team']);
    issuer.behaviour.pendingPolls = 1;
    const run = await router(box, ['login', '--yes', '--alias', 'work']);
    t.equal(run.code, 0, run.stderr);
    t.match(run.stderr, new RegExp(`^ {2}${issuer.url}/codex/device$`, 'm'));
    t.match(run.stderr, /^ {2}TEST-[0-9A-F]{5}$/m);
    t.match(
      run.stderr,
      /logged in as alice@example\.test\n.*b2222222\S+ \/ user-alice\n {2}workspace {2}Acme\n {2}plan +team\n/,
    );
    t.match(run.stderr, /waiting for approval, 15 minutes left\n/);
    t.notMatch(run.stderr, /[▀▄█]|\u001b/, 'nothing is drawn where there is no terminal');
    t.equal(
      run.stdout,
      'work (alice@example.test, team, account b2222222): stored\nnext: codex-router use work\n',
    );
    t.match(await identitiesIn(box), [
      { alias: 'work', workspace: 'Acme', plan: 'team', verified: true, doubt: null },
    ]);
    t.strictSame(leaksOf(box), []);
  },
);

t.test('for programs: what to show comes as JSON lines, the outcome as one document', async (t) => {
  const { box, issuer } = await ready(t, { vault: true });
  const run = await router(box, ['login', '--yes', '--json', '--expect', people.alice.accountId]);
  const [shown, ...more] = linesOf(run);
  t.match(shown, { verificationUrl: `${issuer.url}/codex/device`, userCode: /^TEST-/, expiresAt: Number });
  t.match(
    more.find(({ identity }) => identity !== undefined),
    { identity: { userId: 'user-alice' } },
  );
  t.match(run.json, {
    result: 'added',
    identity: { ...people.alice, workspace: undefined, alias: null },
    workspace: null,
    source: 'login',
    verified: true,
    former: null,
    notes: [],
  });
});

t.test('what can be refused is refused before anybody is sent to a browser', async (t) => {
  const { box, issuer } = await ready(t);
  const refusals: [readonly string[], string, number][] = [
    [['login'], 'CHOICE_NEEDED', 2],
    [['login', '--yes', '--expect', 'a b'], 'USAGE', 2],
    [['login', '--yes', '--alias', 'not this'], 'USAGE', 2],
    [['login', '--yes', '--key', 'nowhere'], 'USAGE', 2],
    [['login', '--yes', 'more'], 'USAGE', 2],
  ];
  for (const [args, code, status] of refusals) {
    const run = await router(box, [...args, '--json']);
    t.match(run, { code: status, json: { error: { code } } }, args.join(' '));
  }
  const keyless = await router(box, ['login', '--yes', '--json'], { env: { CODEX_ROUTER_KEY: undefined } });
  t.match(keyless, { code: 5, json: { error: { code: 'KEY_CHOICE_NEEDED' } } });
  t.strictSame(filesOf(t, box), [], 'and before a vault is made');

  await router(box, ['login', '--yes', '--alias', 'work']);
  const { length } = issuer.requests;
  t.match(await router(box, ['login', '--yes', '--alias', 'work', '--json']), {
    code: 2,
    json: { error: { code: 'USAGE' } },
  });
  t.equal(issuer.requests.length, length, 'nobody was asked');
  // Nothing can be written where something else lies.
  const room = path.join(box.routerHome, 'room');
  mkdirSync(path.join(room, 'full'), { recursive: true, mode: 0o700 });
  t.match(await router(box, ['login', '--yes', '--json']), { code: 5, json: { error: { code: 'IO' } } });
  rmSync(room, { recursive: true });
  t.equal(issuer.requests.length, length, 'a folder that takes nothing is noticed in time');
  const named = await router(box, ['login', '--yes', '--expect', 'work', '--json']);
  const key = `${people.alice.accountId}/${people.alice.userId}`;
  t.match(named, { code: 2, json: { error: { code: 'USAGE', hint: `--expect ${key}` } } });
  t.equal(issuer.requests.length, length);
  const own = ['login', '--yes', '--alias', 'work', '--expect', people.alice.accountId];
  t.equal((await router(box, own)).code, 0, 'its own alias is free to it');
});

interface Fault {
  readonly what: string;
  readonly set: (behaviour: Behaviour) => void;
  readonly code: string;
  readonly status: number;
  readonly message: RegExp;
  readonly args?: readonly string[];
  /** Whether a login had been handed out, which is revoked then. */
  readonly revoked?: boolean;
}

const answered =
  (kind: keyof Behaviour['answers'], ...answers: { status: number; body: unknown }[]) =>
  (behaviour: Behaviour) => {
    behaviour.answers[kind] = [...answers];
  };

const TEAM = people['bob-team'].accountId;

const FAULTS: readonly Fault[] = [
  {
    what: 'the person refuses',
    set: answered('device-token', { status: 400, body: { error: 'access_denied' } }),
    code: 'LOGIN_DENIED',
    status: 4,
    message: /^the login was refused in the browser$/,
  },
  {
    what: 'the code has expired',
    set: answered(
      'device-token',
      { status: 403, body: { error: 'authorization_pending' } },
      { status: 400, body: { error: 'expired_token' } },
    ),
    code: 'LOGIN_EXPIRED',
    status: 4,
    message: /^the code has expired: nobody approved it/,
  },
  {
    what: 'device login is not enabled',
    set: answered('usercode', { status: 404, body: '' }),
    code: 'LOGIN_FAILED',
    status: 5,
    message: /^the issuer offers no device login/,
  },
  {
    what: 'the issuer is broken from the start',
    set: answered('usercode', ...[1, 2, 3].map(() => ({ status: 500, body: '' }))),
    code: 'LOGIN_FAILED',
    status: 5,
    message: /^the login failed: the issuer answered 500$/,
  },
  {
    what: 'the issuer is too busy from the start',
    set: answered(
      'usercode',
      ...[1, 2, 3].map(() => ({ status: 429, body: { error: { code: 'rate_limit_exceeded' } } })),
    ),
    code: 'LOGIN_FAILED',
    status: 5,
    message: /^the login failed: the issuer answered 429 rate_limit_exceeded$/,
  },
  {
    what: 'the issuer answers garbage',
    set: answered('device-token', { status: 200, body: '{"authorization_code":' }),
    code: 'LOGIN_FAILED',
    status: 5,
    message: /^the login failed: the issuer answered 200 with something else/,
  },
  {
    what: 'the code is not taken any more',
    set: answered('login', { status: 400, body: { error: 'invalid_grant' } }),
    code: 'LOGIN_EXPIRED',
    status: 4,
    message: /^the issuer does not take the code of this login any more$/,
  },
  {
    what: 'the exchange fails',
    set: answered('login', { status: 503, body: '' }),
    code: 'LOGIN_FAILED',
    status: 5,
    message: /^the login could not be finished: the issuer answered 503$/,
  },
  {
    what: 'the exchange gives a refresh token and no login',
    set: answered('login', { status: 200, body: { access_token: 'CANARY', refresh_token: 'rt_CANARY' } }),
    code: 'LOGIN_FAILED',
    status: 5,
    message: /^the login could not be finished: the issuer answered 200 without the three tokens of a login$/,
    revoked: true,
  },
  {
    what: 'the exchange gives tokens of nobody',
    set: answered('login', {
      status: 200,
      body: { id_token: 'CANARY', access_token: 'CANARY', refresh_token: 'rt_CANARY' },
    }),
    code: 'IDENTITY_UNREADABLE',
    status: 6,
    message: /./,
    revoked: true,
  },
  {
    what: 'the right person in another workspace',
    set: () => undefined,
    args: ['--expect', `${TEAM}/user-alice`],
    code: 'IDENTITY_UNEXPECTED',
    status: 6,
    message: /^the right person logged in to another workspace: alice@example\.test \(a1111111/,
    revoked: true,
  },
  {
    what: 'another person',
    set: () => undefined,
    args: ['--expect', `${people.alice.accountId}/user-bob`],
    code: 'IDENTITY_UNEXPECTED',
    status: 6,
    message: /^another person of that workspace logged in: alice@example\.test/,
    revoked: true,
  },
  {
    what: 'somebody else altogether',
    set: () => undefined,
    args: ['--expect', TEAM],
    code: 'IDENTITY_UNEXPECTED',
    status: 6,
    message: /^somebody else logged in, or to another workspace: alice@example\.test/,
    revoked: true,
  },
  {
    what: 'a login that is revoked right after',
    set: (behaviour) => {
      behaviour.revokesLogins = true;
    },
    code: 'LOGIN_NEEDED',
    status: 4,
    message: /^the issuer has ended this login already: ChatGPT answered 401 token_invalidated$/,
    revoked: true,
  },
];

t.test('each fault ends in its own words and status, with nothing stored', async (t) => {
  const { box, issuer } = await ready(t, { vault: true });
  const before = filesOf(t, box);
  for (const { what, set, args = [], code, status, message, revoked = false } of FAULTS) {
    issuer.behaviour.answers = {};
    set(issuer.behaviour);
    const { length } = issuer.of('revoke');
    const run = await router(box, ['login', '--yes', '--json', ...args]);
    t.match(
      run,
      { code: status, json: { error: { code, message, hint: /nothing was stored|login --browser/ } } },
      what,
    );
    t.equal(issuer.of('revoke').length - length, revoked ? 1 : 0, `${what}: revoked`);
    t.strictSame(filesOf(t, box), before, what);
  }
  t.strictSame(await identitiesIn(box), []);
});

t.test('a login whose revocation fails is said to be valid still', async (t) => {
  const { box, issuer } = await ready(t, { vault: true });
  issuer.behaviour.revokeAnswer = { status: 400, body: {} };
  const run = await router(box, ['login', '--yes', '--json', '--expect', TEAM]);
  t.match(run.json.error, {
    code: 'IDENTITY_UNEXPECTED',
    hint: /^nothing was stored, it could not be revoked at the issuer \(the issuer answered 400\) and stays valid there; log in again/,
  });
});

t.test('an account that cannot be asked about is a note, and no reason to lose a login', async (t) => {
  const { box, issuer } = await ready(t, { vault: true });
  issuer.approveAs(people['bob-team']);
  issuer.behaviour.answers.accounts = [{ status: 503, body: '' }];
  const first = await router(box, ['login', '--yes', '--json']);
  t.match(first.json, {
    result: 'added',
    workspace: null,
    verified: false,
    notes: [{ code: 'ACCOUNT_UNKNOWN' }],
  });
  const again = await router(box, ['login', '--yes', '--json']);
  t.match(again.json, { result: 'renewed', workspace: 'Acme', verified: true, notes: [] });
});

const SIGNALS = [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const;
const STAGES = ['usercode', 'device-token', 'login', 'accounts'] as const satisfies readonly RequestKind[];

t.test('a signal at any stage leaves nothing behind, here or at the issuer', async (t) => {
  const { box, issuer } = await ready(t, { vault: true });
  const before = filesOf(t, box);
  for (const [place, stage] of STAGES.entries()) {
    for (const [signal, status] of stage === 'login' ? SIGNALS : SIGNALS.slice(0, 1)) {
      const { length } = issuer.of('revoke');
      let kill: (signal: NodeJS.Signals) => void = () => undefined;
      issuer.behaviour.onAnswer = async (kind) => {
        if (kind !== stage) return;
        kill(signal);
        // The answer must not overtake the signal; where the end is at once, nobody is there to hear it.
        await new Promise((later) => setTimeout(later, 200));
      };
      const run = await router(box, ['login', '--yes', '--json'], {
        onStart: (send) => {
          kill = send;
        },
      });
      const wasOut = place >= STAGES.indexOf('login');
      t.match(run, { code: status, json: { error: { code: 'INTERRUPTED' } } }, `${signal} at ${stage}`);
      t.equal(issuer.of('revoke').length - length, wasOut ? 1 : 0, `${signal} at ${stage}: revoked`);
      t.strictSame(filesOf(t, box), before, `${signal} at ${stage}`);
    }
  }
});

t.test('a login that cannot be stored is not revoked, and a person may mend what is wrong', async (t) => {
  const { box, issuer } = await ready(t, { vault: true });
  const records = path.join(box.routerHome, 'records');
  const mend = () => rmSync(records, { recursive: true, force: true });
  const spoil = () => {
    mend();
    writeFileSync(records, '', { mode: 0o600 });
  };
  issuer.behaviour.onAnswer = (kind) => kind === 'accounts' && spoil();
  const run = await router(box, ['login', '--yes', '--json']);
  const message = /^the login of alice@example\.test .* was made, but could not be stored: cannot read /;
  t.match(run, {
    code: 5,
    json: {
      error: {
        code: 'IO',
        message,
        hint: /; then log in again: that revokes this one first, unless it is stored after all$/,
      },
    },
  });
  t.equal((await router(box, ['login', '--yes', '--json'])).code, 5);
  t.equal(issuer.of('usercode').length, 1, 'a store that is broken from the start is told before the login');
  t.strictSame(issuer.of('revoke'), []);

  mend();
  const given = { after: 'Try to store it again?', send: '\u001b[B\r' };
  t.equal((await router(box, ['login', '--yes'], { tty: [given] })).code, 5, 'given up');
  mend();
  const mended = Object.assign(/Try to store it again\?/, {
    test: (text: string) => {
      const isAsked = text.includes('Try to store it again?');
      if (isAsked) mend();
      return isAsked;
    },
  });
  const again = await router(box, ['login', '--yes'], { tty: [{ after: mended, send: '\r' }] });
  t.equal(again.code, 0, again.stdout);
  t.match(await identitiesIn(box), [{ verified: true }]);
  t.equal(issuer.of('revoke').length, 2, 'the two before it were ended by the next login');
});

t.test('on a terminal a person sees the code to scan, the time that is left, and decides', async (t) => {
  const { box, issuer } = await ready(t, { vault: true });
  issuer.behaviour.pendingPolls = 1;
  const kept = await router(box, ['login'], { tty: [{ after: 'Keep this login?', send: '\r' }] });
  t.equal(kept.code, 0, kept.stdout);
  t.match(kept.stdout, /█▀▀▀▀▀█|█ ▄▄▄▄▄ █/, 'a QR code');
  t.match(kept.stdout, /waiting for your approval, 1[45]:\d\d left/);
  t.match(kept.stdout, /left; Ctrl-C stops\r\u001b\[2Klogged in as/, 'which gives way to the next line');
  t.match(kept.stdout, /stored +not yet/);

  const discarded = await router(box, ['login'], {
    tty: [{ after: 'Keep this login?', send: '\u001b[B\r' }],
  });
  t.equal(discarded.code, 130);
  t.match(discarded.stdout, /stored +already, as alice@example\.test: this is the newer login/);
  t.match(
    discarded.stdout,
    /codex-router: the login was discarded \(INTERRUPTED\)\s+hint: nothing was stored, it was revoked at the issuer/,
  );
  const stopped = await router(box, ['login'], { tty: [{ after: 'Keep this login?', send: '\u0003' }] });
  t.equal(stopped.code, 130);
  t.match(stopped.stdout, /hint: nothing was stored, it was revoked at the issuer/);
  t.equal(issuer.of('revoke').length, 2);

  const waiting = await router(box, ['login'], { tty: [{ after: 'Ctrl-C stops', send: '\u0003' }] });
  t.equal(waiting.code, 130);
  t.match(waiting.stdout, /\u001b\[2Kcodex-router: stopped \(INTERRUPTED\)/);
  t.equal(issuer.of('revoke').length, 2, 'nothing was handed out');
  t.equal((await identitiesIn(box)).length, 1);
});

t.test('a terminal that is closed at the question ends the command, and the login', async (t) => {
  const { box, issuer } = await ready(t, { vault: true });
  const status = path.join(box.root, 'status');
  const line = `stty cols 80 rows 24; trap '' HUP; '${process.execPath}' '${path.join(PROJECT, 'dist/codex-router.js')}' login; echo $? > '${status}'`;
  const env = { TERM: 'xterm-256color', ...box.env, SHELL: '/bin/sh' };
  const command = ['/usr/bin/script', '--quiet', '--command', line, '/dev/null'];
  const [file = '', ...args] = bare(command, env);
  const script = spawn(file, args, { cwd: box.home, stdio: ['pipe', 'pipe', 'ignore'] });
  let shown = '';
  script.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
  });
  t.teardown(() => script.kill('SIGKILL'));
  await until('the question', () => withoutEscapes(shown).includes('Keep this login?'));
  script.kill('SIGKILL');
  await until('its end', () => existsSync(status) && readFileSync(status, 'utf8') !== '');
  t.equal(
    readFileSync(status, 'utf8').trim(),
    '129',
    'as by the signal, and not by an abort with all its memory',
  );
  t.equal(issuer.of('revoke').length, 1);
  t.strictSame(await identitiesIn(box), []);
});

/** A login that is killed between its exchange and its record. */
async function killAfterExchange(box: Sandbox, issuer: Issuer): Promise<RouterRun> {
  let kill: (signal: NodeJS.Signals) => void = () => undefined;
  issuer.behaviour.onAnswer = async (kind) => {
    if (kind !== 'accounts') return;
    kill('SIGKILL');
    await new Promise((later) => setTimeout(later, 200));
  };
  const run = await router(box, ['login', '--yes'], {
    onStart: (send) => {
      kill = send;
    },
  });
  issuer.behaviour.onAnswer = () => undefined;
  return run;
}

/** What is left of killed logins; as old as need be where pids cannot be judged. */
function arrivingIn(box: Sandbox): readonly string[] {
  const folder = path.join(box.routerHome, 'arriving');
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder).map((name) => path.join(folder, name));
  for (const file of files) utimesSync(file, 1, 1);
  return files;
}

t.test('a login that was killed after its exchange is revoked by the next one, which says so', async (t) => {
  const { box, issuer } = await ready(t, { vault: true });
  issuer.approveAs(people['alice-team']);
  const killed = await killAfterExchange(box, issuer);
  t.equal(killed.signal, 'SIGKILL');
  t.strictSame(issuer.of('revoke'), []);
  const [file = '', ...more] = arrivingIn(box);
  t.equal(more.length, 0);
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.equal(statSync(path.dirname(file)).mode & 0o777, 0o700);
  t.strictSame(leaksOf(box), []);

  const whose = new RegExp(`^the login of ${people['alice-team'].email} \\(account b2222222`);
  t.match((await router(box, ['doctor', '--json'])).json, {
    inDanger: false,
    findings: [{ code: 'LOGIN_LEFT', text: whose, remedy: 'codex-router login' }],
  });
  t.match((await router(box, ['status', '--json'])).json.notes.at(-1), { code: 'LOGIN_LEFT', text: whose });
  const refusal = { code: 'ONLY_HERE', message: /arriving/, hint: /codex-router login or import/ };
  t.match(await router(box, ['uninstall', '--yes', '--json']), { code: 6, json: { error: refusal } });
  t.ok(existsSync(file), 'looking does not touch it');
  t.strictSame(issuer.of('revoke'), []);

  issuer.behaviour.revokeAnswer = { status: 503, body: {} };
  await router(box, ['import', '--from', path.join(box.root, 'nowhere')]);
  t.equal(issuer.of('revoke').length, 1);
  t.ok(existsSync(file), 'what could not be revoked is not forgotten');
  issuer.behaviour.revokeAnswer = null;
  issuer.approveAs(people.bob);
  const next = await router(box, ['login', '--yes']);
  t.equal(next.code, 0, next.stderr);
  t.match(
    next.stderr,
    /note: the login of alice@example\.test \(account b2222222\S+ .*was never stored, so it was revoked/,
  );
  t.equal(issuer.of('revoke').length, 2);
  t.notOk(existsSync(path.dirname(file)));
  t.match(await identitiesIn(box), [{ userId: people.bob.userId }]);
  t.match((await router(box, ['doctor', '--json'])).json, { findings: [] });
});

t.test('a second Ctrl-C after the exchange leaves nothing that the next login does not end', async (t) => {
  const { box, issuer } = await ready(t, { vault: true });
  let kill: (signal: NodeJS.Signals) => void = () => undefined;
  issuer.behaviour.revokeAnswer = { status: 503, body: {} };
  issuer.behaviour.onAnswer = async (kind) => {
    if (kind !== 'accounts' && kind !== 'revoke') return;
    kill('SIGINT');
    await new Promise((later) => setTimeout(later, 300));
  };
  const run = await router(box, ['login', '--yes'], {
    onStart: (send) => {
      kill = send;
    },
  });
  t.equal(run.code, 130);
  t.equal(arrivingIn(box).length, 1);
  issuer.behaviour.onAnswer = () => undefined;
  issuer.behaviour.revokeAnswer = null;
  t.match(await router(box, ['login', '--yes']), { code: 0, stderr: /so it was revoked at the issuer/ });
  t.equal(issuer.of('revoke').length, 2);
  t.strictSame(arrivingIn(box), []);
});

t.test('a login that was killed after it was stored is not revoked', async (t) => {
  const { box, issuer } = await ready(t, { vault: true });
  let [file, copy] = ['', Buffer.alloc(0)];
  issuer.behaviour.onAnswer = (kind) => {
    if (kind !== 'accounts') return;
    file = arrivingIn(box)[0] ?? '';
    copy = readFileSync(file);
  };
  t.equal((await router(box, ['login', '--yes'])).code, 0);
  issuer.behaviour.onAnswer = () => undefined;
  t.notOk(existsSync(file));
  // As if it had come no farther than its record.
  mkdirSync(path.dirname(file), { mode: 0o700 });
  writeFileSync(file, copy, { mode: 0o600 });
  t.equal(arrivingIn(box).length, 1);
  const next = await router(box, ['login', '--yes']);
  t.notMatch(next.stderr, /note:/);
  t.strictSame(issuer.of('revoke'), []);
  t.notOk(existsSync(file));
});

t.test(
  'while another codex-router is waited for, the first signal ends the login and revokes it',
  async (t) => {
    const { box, issuer } = await ready(t, { vault: true });
    let kill: (signal: NodeJS.Signals) => void = () => undefined;
    let free: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      free = resolve;
    });
    t.teardown(free);
    let holding: Promise<void> | null = null;
    issuer.behaviour.onAnswer = async (kind) => {
      if (kind !== 'accounts') return;
      await new Promise<void>((taken) => {
        holding = withRouterLock(box.routerHome, async () => {
          taken();
          await held;
        });
      });
      setTimeout(() => kill('SIGINT'), 2500);
    };
    const run = await router(box, ['login', '--yes', '--json'], {
      onStart: (send) => {
        kill = send;
      },
    });
    t.match(run, {
      code: 130,
      json: { error: { code: 'INTERRUPTED', hint: /^nothing was stored, it was revoked at the issuer/ } },
    });
    t.equal(issuer.of('revoke').length, 1);
    t.strictSame(arrivingIn(box), []);
    free();
    await holding;
  },
);

t.test(
  'two logins of one identity at once: one identity, the older login sealed, nothing revoked',
  async (t) => {
    const { box, issuer } = await ready(t, { vault: true });
    let arrived = 0;
    issuer.behaviour.onAnswer = async (kind) => {
      if (kind !== 'accounts') return;
      arrived += 1;
      await until('both have their login', () => arrived >= 2);
    };
    const runs = await Promise.all([1, 2].map(() => router(box, ['login', '--yes', '--json'])));
    t.strictSame(runs.map(({ json }) => json.result).sort(), ['added', 'renewed']);
    t.equal((await identitiesIn(box)).length, 1);
    t.equal((await router(box, ['restore', '--json'])).json.backUps.length, 1);
    t.strictSame(issuer.of('revoke'), []);
    t.strictSame(arrivingIn(box), []);
  },
);

t.test('a record that a crash left unlisted is named by doctor and listed by the next login', async (t) => {
  const { box, issuer } = await ready(t, { vault: true });
  const index = path.join(box.routerHome, 'index.json');
  issuer.approveAs(people.bob);
  await router(box, ['login', '--yes']);
  const before = readFileSync(index);
  issuer.approveAs(people.alice);
  await router(box, ['login', '--yes']);
  const crash = () => writeFileSync(index, before, { mode: 0o600 });
  crash();
  t.match((await router(box, ['doctor', '--json'])).json, {
    findings: [{ code: 'NOT_LISTED', remedy: 'codex-router vault status --check' }],
  });
  const listing = (await router(box, ['list', '--json'])).json;
  t.match(
    [listing.identities.length, listing.notes[0]?.text],
    [1, /codex-router vault status --check lists it$/],
  );
  t.equal((await router(box, ['vault', 'status', '--check'])).code, 0);
  t.equal((await identitiesIn(box)).length, 2, 'as that hint promises');
  crash();
  t.equal((await router(box, ['refresh'])).code, 0);
  t.equal((await identitiesIn(box)).length, 2, 'listed by a round of refreshes');
  crash();
  issuer.behaviour.answers.usercode = [{ status: 404, body: '' }];
  t.equal((await router(box, ['login', '--yes'])).code, 5);
  t.equal((await identitiesIn(box)).length, 2, 'listed before anybody logs in');
});

t.test("an e-mail longer than any address is nobody's", async (t) => {
  const { box, issuer } = await ready(t, { vault: true });
  issuer.approveAs({ ...people.alice, email: `${'a'.repeat(400)}@example.test` });
  t.equal((await router(box, ['login', '--yes'])).code, 0);
  t.match(await identitiesIn(box), [{ email: null }]);
});

t.test('a terminal that cannot draw gets plain lines', async (t) => {
  const { box } = await ready(t, { vault: true });
  const dumb = await router(box, ['login'], {
    env: { TERM: 'dumb' },
    tty: [{ after: '1-2: ', send: '1\r' }],
  });
  t.equal(dumb.code, 0, dumb.stdout);
  t.notMatch(dumb.stdout, /[▀▄█]|\u001b/);
  const latin = await router(box, ['login', '--yes'], { env: { LANG: 'C' }, tty: [] });
  t.equal(latin.code, 0);
  t.notMatch(latin.stdout, /[▀▄█]/);
  const plain = await router(box, ['login', '--yes'], { env: { NO_COLOR: '1' }, tty: [] });
  t.match(plain.stdout, /[▀▄█]/);
  t.notMatch(plain.stdout, /\u001b\[97/);
});

t.test(
  'logging in again as somebody who is stored keeps one identity, with the old login sealed',
  async (t) => {
    const { box, issuer } = await ready(t);
    await router(box, ['login', '--yes', '--alias', 'me']);
    const run = await router(box, ['login', '--yes']);
    t.equal(run.code, 0, run.stderr);
    t.equal(
      run.stdout,
      'me (alice@example.test, plus, account a1111111): has the newer login now\n' +
        'the login stored before is sealed as a back-up: codex-router restore lists it\n' +
        'next: codex-router use me\n',
    );
    t.match(await identitiesIn(box), [{ alias: 'me' }]);
    const { backUps } = (await router(box, ['restore', '--json'])).json;
    t.match(backUps, [{ identity: { userId: 'user-alice' }, isStored: false }]);
    t.equal(backUps.length, 1);
    t.strictSame(issuer.of('revoke'), [], 'neither of the two is revoked');
  },
);

t.test('the login that OpenClaw runs on is left to it until the next use', async (t) => {
  const { box, issuer } = await ready(t);
  const login = loginOf('alice');
  issuer.adopt(login);
  const state = makeState(box.stateDir, { release: '2026.5.7', slot: login });
  await router(box, ['import', '--from', 'openclaw', '--alias', 'me']);
  const before = state.profiles()[SLOT];
  const run = await router(box, ['login', '--yes', '--json']);
  t.match(run.json, {
    result: 'renewed',
    former: { place: 'slot', sealed: true, text: /agent main runs on the old one until codex-router use/ },
  });
  t.strictSame(state.profiles()[SLOT], before, 'OpenClaw is not disturbed');
  t.match(await router(box, ['sync', '--json']), { code: 0 });
  t.strictSame(state.profiles()[SLOT], before, 'nor by a sync');
  t.ok(issuer.isLive(login.refresh));
  const doctor = await router(box, ['doctor', '--json']);
  t.match(doctor.json, {
    inDanger: false,
    findings: [{ code: 'GRANT_OLDER', remedy: 'codex-router use me --agent main' }],
  });
  t.match((await router(box, ['use', 'me', '--json'])).json, { result: 'switched' });
  const after = state.profiles()[SLOT] as { refresh: string };
  t.not(after.refresh, login.refresh);
  t.ok(issuer.isLive(after.refresh), 'the newer login is in the slot');
  t.equal((await identitiesIn(box)).length, 1);
});

t.test('an OpenClaw that cannot be understood is a note, and no reason to lose a login', async (t) => {
  const { box } = await ready(t);
  makeState(box.stateDir, { release: '2026.5.7' });
  writeFileSync(path.join(box.stateDir, 'openclaw.json'), '{ "agents": ');
  const run = await router(box, ['login', '--yes', '--json']);
  t.match(run.json, { result: 'added', notes: [{ text: /^OpenClaw was not looked at: / }] });
});
