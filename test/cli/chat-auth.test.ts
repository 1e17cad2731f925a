import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { findCanary } from '../kit/canary.js';
import { type Behaviour, type Issuer, startIssuer } from '../kit/issuer.js';
import { NONE } from '../kit/none.js';
import { leaksOf, PROJECT, type RouterOptions } from '../kit/router.js';
import { loginOf, type PersonName, people } from '../kit/tokens.js';
import { type ChatBox, chatBox, type Said } from './chat-machine.js';

const MINUTE = 60_000;
const MALLORY = { sender: 'telegram:default:6666', chat: 'telegram:default:6666' };
const ELSEWHERE = { chat: 'telegram:work:1001' };
const GROUP = { chat: 'telegram:default:-100', isDirect: false };

interface Bench extends Pick<ChatBox, 'box' | 'state' | 'run'> {
  readonly issuer: Issuer;
  readonly folder: string;
  /** ms by which every clock is moved from now on; 0 at first. */
  move(ms: number): void;
  /** What somebody writes behind /codex_auth. */
  auth(rest: string, changes?: Record<string, unknown>, options?: RouterOptions): Promise<Said>;
  /** What a button of an answer does. */
  press(answer: Said, button: string, changes?: Record<string, unknown>): Promise<Said>;
  /** Logs in with a link up to where the browser was sent to. */
  link(whom?: string, changes?: Record<string, unknown>): Promise<string>;
  stored(): Promise<readonly { readonly alias: string | null; readonly userId: string }[]>;
}

/** Whatever was said, and whatever was left, is searched when the test ends: for CANARY, and for each state and verifier. */
async function bench(t: Test, logins: readonly PersonName[] = []): Promise<Bench> {
  const issuer = await startIssuer(t);
  issuer.approveAs(people['alice-team']);
  const chat = await chatBox(t, Object.fromEntries(logins.map((name) => [name, loginOf(name)])));
  const { box } = chat;
  const clock = path.join(box.root, 'clock');
  writeFileSync(clock, '0');
  const env = {
    CODEX_ROUTER_TEST_ISSUER: issuer.url,
    CLOCK_SHIFT: clock,
    NODE_OPTIONS: `--import=${path.join(PROJECT, 'test/crash/clock-shift.mjs')}`,
  };
  const secrets: string[] = [];
  const said: string[] = [];
  const say: ChatBox['say'] = async (text, changes = {}, options = {}) => {
    const answer = await chat.say(text, changes, { ...options, env: { ...env, ...options.env } });
    if (answer.document.result !== 'login-begun') said.push(JSON.stringify(answer.document));
    return answer;
  };
  const auth: Bench['auth'] = (rest, changes, options) => say(`/codex_auth ${rest}`.trim(), changes, options);
  t.teardown(() => {
    const hidden = [...secrets, ...issuer.verifiers].filter((one) => one !== '');
    for (const secret of hidden) {
      if (said.some((text) => text.includes(secret))) throw new Error(`it was said: ${secret}`);
    }
    const left = filesIn(box.routerHome).filter((file) =>
      hidden.some((secret) => readFileSync(file, 'latin1').includes(secret)),
    );
    if (left.length > 0) throw new Error(`a state or verifier was left in ${left}`);
    const leaks = [...findCanary([], { strings: { said: said.join('\n') } }), ...leaksOf(box)];
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
  });
  return {
    box,
    state: chat.state,
    run: (args, options = {}) => chat.run(args, { ...options, env: { ...env, ...options.env } }),
    issuer,
    folder: path.join(box.routerHome, 'chat-logins'),
    move: (ms) => writeFileSync(clock, String(ms)),
    auth,
    press: (answer, button, changes) => say(dataOf(answer, button), changes),
    async link(whom = 'new', changes = {}) {
      const begun = await auth(`${whom} link`, changes);
      const url = /^http:\S+authorize\S+$/m.exec(begun.text)?.[0] ?? '';
      secrets.push(new URL(url).searchParams.get('state') ?? '');
      const answer = await fetch(url, { redirect: 'manual' });
      const back = answer.headers.get('location') ?? '';
      secrets.push(new URL(back).searchParams.get('code') ?? '');
      return back;
    },
    stored: async () => (await chat.run(['list', '--json'])).json.identities,
  };
}

function filesIn(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => path.join(folder, name))
    .filter((file) => statSync(file).isFile());
}

/** The data of a button of that name. */
const dataOf = ({ document }: Said, name: string): string =>
  document.buttons.flat().find(({ text }: { text: string }) => text === name)?.data ?? `no button ${name}`;

t.test(
  'from nothing to a stored login in a chat: code, approval, whose it is, keep; never active by itself',
  async (t) => {
    const it = await bench(t);
    it.issuer.behaviour.pendingPolls = 1;
    const menu = await it.auth('');
    t.match(menu, { code: 0, document: { result: 'menu', buttons: [[{ data: 'codex_auth_new' }]] } });
    const begun = await it.auth('new work');
    t.match(begun, { code: 0, document: { result: 'login-begun', dropsMessage: false } });
    t.match(begun.text, new RegExp(`${it.issuer.url}/codex/device$`, 'm'));
    t.match(begun.text, /^TEST-[0-9A-F]{5}$/m, 'the code stands alone, to be copied');
    const [name = '', ...more] = readdirSync(it.folder);
    t.equal(more.length, 0);
    t.match(name, /^[0-9a-f]{32}\.json$/, 'neither sender nor chat is in its name');
    t.equal(statSync(it.folder).mode & 0o777, 0o700);
    t.equal(statSync(path.join(it.folder, name)).mode & 0o777, 0o600);
    t.notMatch(readFileSync(path.join(it.folder, name), 'utf8'), /1001|TEST-/);

    t.match(await it.auth('finish'), {
      code: 0,
      document: { result: 'login-pending' },
      text: /15 minutes left/,
    });
    it.move(2000);
    const held = await it.auth('finish');
    t.match(held, {
      code: 0,
      document: { result: 'login-held' },
      text: /alice@example\.test\.\nWorkspace: Acme\nPlan: team\n.*b2222222\S+ \/ user-alice\n/,
    });
    t.strictSame(await it.stored(), [], 'nothing is stored yet');
    const kept = await it.press(held, 'Keep it');
    t.match(kept, {
      code: 0,
      document: { result: 'login-kept' },
      text: /^work \(alice@example\.test, Acme, Team\) is stored\.\nIt was not made active: \/codex_profile use work /,
    });
    t.match(await it.stored(), [{ alias: 'work', verified: true, active: false, workspace: 'Acme' }]);
    t.match(await it.auth('keep'), { code: 4, document: { error: { code: 'LOGIN_USED' } } });
    t.equal(it.issuer.of('login').length, 1);
    t.strictSame(it.issuer.of('revoke'), []);
  },
);

t.test("a link's answer is taken once, from whoever began it, and never said again", async (t) => {
  const it = await bench(t, ['alice-team']);
  await it.auth('');
  const back = await it.link('1');
  const foreign = await it.link('new', MALLORY);
  const state = new URL(back).searchParams.get('state') ?? '';
  const cases: readonly (readonly [string, Record<string, unknown>, string, number])[] = [
    [back, MALLORY, 'STATE_MISMATCH', 6],
    [back, ELSEWHERE, 'LOGIN_NOT_FOUND', 4],
    [back, GROUP, 'CHAT_NOT_DIRECT', 6],
    [foreign, {}, 'STATE_MISMATCH', 6],
    [back.replace(state, `${state}x`), {}, 'STATE_MISMATCH', 6],
    [back.replace(/&state=[^&]*/, ''), {}, 'USAGE', 2],
    [new URL(back).searchParams.get('code') ?? '', {}, 'USAGE', 2],
    ['', {}, 'USAGE', 2],
    ['http://127.0.0.1:1455/auth/callback', {}, 'USAGE', 2],
    [`$(touch ${it.box.root}/x); ${back}`, {}, 'USAGE', 2],
  ];
  for (const [answer, changes, code, status] of cases) {
    const refused = await it.auth(`finish ${answer}`, changes);
    t.match(refused, { code: status, document: { error: { code }, dropsMessage: answer !== '' } }, code);
    t.notMatch(JSON.stringify(refused.document), /state=(?!\.\.\.)|CANARY/);
  }
  t.notOk(existsSync(path.join(it.box.root, 'x')));
  t.equal(it.issuer.of('login').length, 0, 'nothing was sent');
  const held = await it.auth(`finish <${back}>`);
  t.match(held, {
    code: 0,
    document: { result: 'login-held', dropsMessage: true },
    text: /already, as alice-team/,
  });
  t.equal(it.issuer.of('login').length, 1);
  t.match(await it.auth(`finish ${back}`), { document: { result: 'login-held' } }, 'a replay only shows it');
  t.equal(it.issuer.of('login').length, 1);
  t.match(await it.auth('keep'), {
    document: { result: 'login-kept' },
    text: /has the newer login now\.\nThe login stored before is sealed as a back-up\.\n/,
  });
  t.match(await it.auth(`finish ${back}`), { code: 4, document: { error: { code: 'LOGIN_USED' } } });
  t.equal((await it.stored()).length, 1);
  t.equal((await it.run(['restore', '--json'])).json.backUps.length, 1);
});

t.test('in a group, or for nobody that is known, no login is made', async (t) => {
  const it = await bench(t, ['alice']);
  for (const ask of ['', 'new', 'keep']) {
    t.match(await it.auth(ask, GROUP), { code: 6, document: { error: { code: 'CHAT_NOT_DIRECT' } } }, ask);
  }
  for (const unknown of [{ sender: null }, { chat: null }]) {
    t.match(await it.auth('new', unknown), { code: 2, document: { error: { code: 'USAGE' } } });
  }
  t.strictSame(it.issuer.requests, []);
  t.notOk(existsSync(it.folder));
});

t.test('an agent makes no login', async (t) => {
  const it = await bench(t, ['alice']);
  const asAgent = { env: { OPENCLAW_SHELL: 'exec' } };
  for (const ask of ['new', 'finish', 'keep']) {
    t.match(
      await it.auth(ask, {}, asAgent),
      { code: 6, document: { error: { code: 'AGENT_REFUSED' } } },
      ask,
    );
  }
  t.strictSame(it.issuer.requests, []);
});

t.test('a stranger can do nothing with a login that is held, and its sender can still keep it', async (t) => {
  const it = await bench(t);
  await it.auth('new');
  const held = await it.auth('finish');
  for (const who of [ELSEWHERE, { sender: MALLORY.sender }]) {
    for (const ask of ['finish', 'keep', 'press']) {
      const refused = ask === 'press' ? await it.press(held, 'Keep it', who) : await it.auth(ask, who);
      t.match(refused, { code: 4, document: { error: { code: 'LOGIN_NOT_FOUND' } } }, ask);
      t.notMatch(refused.text, /alice|acme/i);
    }
  }
  t.equal((await it.auth('keep')).code, 0);
  t.strictSame(it.issuer.of('revoke'), []);
});

interface Fault {
  readonly what: string;
  readonly set?: (behaviour: Behaviour) => void;
  readonly person?: PersonName;
  readonly code: string;
  readonly status: number;
  readonly message: RegExp;
  /** Whether a login had been handed out, which is revoked then. */
  readonly revoked?: boolean;
  /** Whether /codex_auth finish may be written again. */
  readonly stays?: boolean;
}

const answered =
  (kind: keyof Behaviour['answers'], status: number, body: unknown) => (behaviour: Behaviour) => {
    behaviour.answers[kind] = [{ status, body }];
  };

const FAULTS: readonly Fault[] = [
  {
    what: 'the person refuses',
    set: answered('device-token', 400, { error: 'access_denied' }),
    code: 'LOGIN_DENIED',
    status: 4,
    message: /^the login was refused in the browser$/,
  },
  {
    what: 'the code has expired at the issuer',
    set: answered('device-token', 400, { error: 'expired_token' }),
    code: 'LOGIN_EXPIRED',
    status: 4,
    message: /^the code has expired/,
  },
  {
    what: 'the issuer is out of order for a while',
    set: answered('device-token', 503, ''),
    code: 'LOGIN_FAILED',
    status: 5,
    message: /^the issuer could not be asked: the issuer answered 503$/,
    stays: true,
  },
  {
    what: 'the issuer answers garbage',
    set: answered('device-token', 200, '{"authorization_code":'),
    code: 'LOGIN_FAILED',
    status: 5,
    message: /^the login failed: the issuer answered 200 with something else/,
    stays: true,
  },
  {
    what: 'the code is not taken any more',
    set: answered('login', 400, { error: 'invalid_grant' }),
    code: 'LOGIN_EXPIRED',
    status: 4,
    message: /^the issuer does not take the code of this login any more$/,
  },
  {
    what: 'the exchange fails',
    set: answered('login', 503, ''),
    code: 'LOGIN_FAILED',
    status: 5,
    message: /^the login could not be finished: the issuer answered 503$/,
  },
  {
    what: 'the exchange gives tokens of nobody',
    set: answered('login', 200, { id_token: 'CANARY', access_token: 'CANARY', refresh_token: 'rt_CANARY' }),
    code: 'IDENTITY_UNREADABLE',
    status: 6,
    message: /cannot be told whose it is/,
    revoked: true,
  },
  {
    what: 'the right person in another workspace',
    person: 'alice',
    code: 'IDENTITY_UNEXPECTED',
    status: 6,
    message: /^the right person logged in to another workspace/,
    revoked: true,
  },
  {
    what: 'another person of that workspace',
    person: 'bob-team',
    code: 'IDENTITY_UNEXPECTED',
    status: 6,
    message: /^another person of that workspace logged in/,
    revoked: true,
  },
  {
    what: 'somebody else altogether',
    person: 'bob',
    code: 'IDENTITY_UNEXPECTED',
    status: 6,
    message: /^somebody else logged in, or to another workspace/,
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

t.test(
  'each fault ends in its own words and status; what was handed out is revoked, and nothing is stored',
  async (t) => {
    const it = await bench(t, ['alice-team']);
    let isWaiting = false;
    for (const { what, set, person = 'alice-team', code, status, message, revoked, stays } of FAULTS) {
      const { behaviour } = it.issuer;
      it.issuer.approveAs(people[person]);
      const begun = await it.auth('alice-team');
      t.equal(/gives way/.test(begun.text), isWaiting, `${what}: what was before`);
      const { length } = it.issuer.of('revoke');
      set?.(behaviour);
      const refused = await it.auth('finish');
      t.match(refused, { code: status, document: { error: { code, message } } }, what);
      t.match(refused.text, /\/codex_auth/, `${what}: the next step`);
      t.notMatch(refused.text, /codex-router login/, `${what}: is none of a terminal`);
      t.equal(it.issuer.of('revoke').length - length, revoked === true ? 1 : 0, `${what}: revoked`);
      behaviour.answers = {};
      behaviour.revokesLogins = false;
      isWaiting = stays === true;
    }
    t.equal((await it.stored()).length, 1);
    t.strictSame((await it.run(['restore', '--json'])).json.backUps, [], 'and nothing gave way');
  },
);

t.test('slow_down is kept to: the issuer is left alone for longer', async (t) => {
  const it = await bench(t);
  it.issuer.behaviour.answers['device-token'] = [{ status: 429, body: { error: 'slow_down' } }];
  await it.auth('new');
  t.match(await it.auth('finish'), { code: 0, document: { result: 'login-pending' } });
  t.equal(it.issuer.of('device-token').length, 1);
  it.move(7000);
  t.match(await it.auth('finish'), { document: { result: 'login-held' } });
  const [first, second] = it.issuer.of('device-token');
  t.ok(first && second, 'asked again, and not before');
});

t.test('where the issuer has no device login, the link is the way', async (t) => {
  const it = await bench(t);
  it.issuer.behaviour.answers.usercode = [{ status: 404, body: '' }];
  const begun = await it.auth('new');
  t.match(begun, { document: { result: 'login-begun' }, text: /no login with a code/ });
  t.match(begun.text, /^http:\S+\/oauth\/authorize\?/m);
});

t.test(
  'a process that is killed after the exchange loses nothing: its sender finishes it, or it is ended later',
  async (t) => {
    const it = await bench(t);
    let kill: (signal: NodeJS.Signals) => void = () => undefined;
    const onStart = (send: typeof kill) => {
      kill = send;
    };
    const killed = async () => {
      it.issuer.behaviour.onAnswer = async (kind) => {
        if (kind !== 'accounts') return;
        kill('SIGKILL');
        await new Promise((later) => setTimeout(later, 200));
      };
      await t.rejects(it.auth('finish', {}, { onStart }));
      it.issuer.behaviour.onAnswer = () => undefined;
    };
    await it.auth('new');
    await killed();
    t.match(
      await it.auth('keep'),
      { code: 75, document: { error: { code: 'LOGIN_PENDING' } } },
      'not shown yet',
    );
    const held = await it.auth('finish');
    t.match(held, { document: { result: 'login-held' }, text: /Workspace: Acme/ });
    t.equal(it.issuer.of('login').length, 1, 'it was not exchanged again');
    t.match(await it.auth('keep'), { document: { result: 'login-kept' } });

    it.issuer.approveAs(people.bob);
    await it.auth('new');
    await killed();
    it.issuer.approveAs(people.carol);
    const other = await it.run(['login', '--yes', '--json']);
    t.equal(other.code, 0);
    t.notMatch(other.stderr, /bob/, 'an unrelated login leaves it to its sender');
    t.strictSame(it.issuer.of('revoke'), []);
    const { findings } = (await it.run(['doctor', '--json'])).json;
    // Whoever is killed leaves a lock.
    const others = findings.filter(({ code }: { code: string }) => code !== 'OWN_LOCK_LEFT');
    t.strictSame(others, []);
    const stop = { code: 'ONLY_HERE', message: /chat-logins/ };
    t.match(await it.run(['uninstall', '--yes', '--json']), { code: 6, json: { error: stop } });

    it.move(15 * MINUTE + 5000);
    const whose =
      /^the login of bob@example\.test \(account c3333333\S+ that was made in a chat and that nobody kept/;
    t.match((await it.run(['doctor', '--json'])).json, {
      findings: [
        { code: 'OWN_LOCK_LEFT' },
        { code: 'LOGIN_LEFT', text: whose, remedy: 'codex-router login' },
      ],
    });
    t.match((await it.run(['status', '--json'])).json.notes.at(-1), { code: 'LOGIN_LEFT', text: whose });
    t.strictSame(it.issuer.of('revoke'), [], 'looking does not touch it');
    const next = await it.run(['login', '--yes']);
    t.match(next.stderr, /note: the login of bob@example\.test .* so it was revoked at the issuer/);
    t.equal(it.issuer.of('revoke').length, 1);
    t.match((await it.run(['doctor', '--json'])).json, { findings: NONE });
    t.match(await it.auth('keep'), { code: 4, document: { error: { code: 'LOGIN_EXPIRED' } } });
    t.strictSame((await it.stored()).map(({ userId }) => userId).sort(), ['user-alice', 'user-carol']);
  },
);

t.test('what another chat left is ended by a login in this one, which is told nothing of it', async (t) => {
  const it = await bench(t);
  await it.auth('new', MALLORY);
  await it.auth('finish', MALLORY);
  it.move(16 * MINUTE);
  it.issuer.approveAs(people.bob);
  const begun = await it.auth('new');
  t.equal(it.issuer.of('revoke').length, 1);
  t.notMatch(JSON.stringify(begun.document), /alice/);
  t.match(await it.auth('keep', MALLORY), { code: 4, document: { error: { code: 'LOGIN_EXPIRED' } } });
});

t.test('a second login of the same sender takes the place of the first, and says so', async (t) => {
  const it = await bench(t);
  const first = await it.link();
  t.match(await it.auth('new'), { text: /^The login that you began before gives way to this one\.$/m });
  t.match(await it.auth(`finish ${first}`), { code: 2, document: { error: { code: 'USAGE' } } });
  const held = await it.auth('finish');
  const again = await it.auth('new');
  t.match(again, { code: 75, text: /a login waits for your word/i }, 'also when its message comes once more');
  t.equal(it.issuer.of('revoke').length, 0);
  await it.auth('discard');
  await it.auth('new');
  await it.auth('finish');
  for (const button of ['Keep it', 'Discard it']) {
    const refused = await it.press(held, button);
    t.match(refused, { code: 4, text: /^That button belongs to an earlier login/ }, button);
  }
  t.strictSame(await it.stored(), []);
});

t.test("a file that was changed, or is another vault's, opens nothing and can be cancelled", async (t) => {
  const it = await bench(t);
  await it.auth('new');
  await it.auth('finish');
  const file = path.join(it.folder, readdirSync(it.folder)[0] ?? '');
  const content = JSON.parse(readFileSync(file, 'utf8'));
  writeFileSync(file, JSON.stringify({ ...content, heldAt: content.heldAt + 1 }));
  t.match(await it.auth('keep'), { code: 6, document: { error: { code: 'RECORD_DAMAGED' } } });
  writeFileSync(file, 'x');
  t.match(await it.auth('finish'), { code: 6, document: { error: { code: 'RECORD_DAMAGED' } } });
  t.match((await it.run(['doctor', '--json'])).json, { findings: [{ code: 'LOGIN_LEFT' }] });
  t.match(await it.auth('cancel'), { code: 0, text: /damaged, and is removed/ });
  t.match(await it.auth('finish'), { code: 4, document: { error: { code: 'LOGIN_NOT_FOUND' } } });
});
