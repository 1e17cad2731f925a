import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { photograph } from '../kit/photograph.js';
import { until } from '../kit/process.js';
import { leaksOf, type RouterOptions, router, type Sandbox, sandbox } from '../kit/router.js';
import { startRouter } from '../kit/start.js';
import {
  makeState,
  type OpenClawState,
  PIN,
  readJson,
  SLOT,
  type StateOptions,
  writeJson,
} from '../kit/state.js';
import { codexAuthJson, DAY, loginOf, type Person, type PersonName, people } from '../kit/tokens.js';
import { startUsageBackend, type UsageBackend, usageOf, windowOf } from '../kit/usage-backend.js';
import { morningZone } from '../kit/zone.js';

const MAIN = 'agent:main:main';
const ROOM = 'agent:main:discord:channel:555';
const OWN = 'openai-codex:router-1';
const HOUR = 3_600_000;

interface Bench {
  readonly box: Sandbox;
  readonly state: OpenClawState;
  readonly backend: UsageBackend;
  run(args: readonly string[], options?: RouterOptions): ReturnType<typeof router>;
  /** What is left to one, in percent. */
  left(name: PersonName, fiveHour: number, week?: number): void;
  configure(failover: object): void;
  /** The refresh token that a profile id of the store has. */
  tokenIn(profileId: string): unknown;
}

/** alice is in the slot, bob and carol are stored; only the main chat is there, quiet for an hour, unless others are given. */
async function bench(
  t: Test,
  sessions: NonNullable<StateOptions['sessions']> = { [MAIN]: { ...PIN } },
): Promise<Bench> {
  const box = sandbox(t);
  const backend = await startUsageBackend(t);
  const updatedAt = Date.now() - HOUR;
  const quiet = Object.entries(sessions).map(([key, fields]) => [key, { updatedAt, ...fields }]);
  const state = makeState(box.stateDir, {
    release: '2026.5.7',
    slot: loginOf('alice', { nonce: 'alice1' }),
    sessions: Object.fromEntries(quiet),
    order: [SLOT],
  });
  const env = { CODEX_ROUTER_KEY: 'file', CODEX_ROUTER_TEST_ISSUER: backend.url, TZ: morningZone() };
  Object.assign(box.env, env);
  const run: Bench['run'] = (args, options) => router(box, args, options);
  for (const name of ['alice', 'bob', 'carol'] as const) {
    const login = loginOf(name, { nonce: `${name}1`, expiresAt: Date.now() + 9 * DAY });
    const { code, stderr } = await run(['import', '--from', '-', '--alias', name], {
      input: codexAuthJson(login),
    });
    if (code !== 0) throw new Error(stderr);
  }
  t.teardown(() => {
    const leaks = leaksOf(box);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
  });
  return {
    box,
    state,
    backend,
    run,
    left: (name, fiveHour, week = 80) => {
      const limits = {
        allowed: true,
        limit_reached: false,
        primary_window: windowOf(100 - fiveHour, 18_000, 5400),
        secondary_window: windowOf(100 - week, 604_800, 345_600),
      };
      backend.answer(people[name], { body: usageOf(people[name], { rate_limit: limits }) });
    },
    configure: (failover) => {
      writeJson(path.join(box.env.XDG_CONFIG_HOME ?? '', 'codex-router', 'config.json'), { failover });
    },
    tokenIn: (profileId) => state.profiles()[profileId]?.refresh,
  };
}

const keyOf = ({ accountId, userId }: Person) => `${accountId}/${userId}`;
const tokenOf = (name: PersonName) => loginOf(name, { nonce: `${name}1` }).refresh;
const pinOf = (state: OpenClawState, key: string) => state.sessions()[key]?.authProfileOverride;

t.test('check and a plain once show the plan and write nothing: not a byte, nowhere', async (t) => {
  const { box, run, left, backend } = await bench(t);
  left('alice', 4);
  left('bob', 60);
  left('carol', 90);
  const before = photograph(box.root);
  for (const command of ['check', 'once']) {
    const asked = backend.questions.length;
    const { code, json } = await run(['failover', command, '--session', MAIN, '--json']);
    t.equal(code, 0);
    t.match(json, {
      apply: false,
      mode: 'named',
      sessions: [{ key: MAIN, runsOn: 'slot', status: 'switch_recommended' }],
      slots: [
        {
          current: { alias: 'alice' },
          status: 'switch_recommended',
          reason: 'remaining_below_threshold',
          held: null,
          to: { alias: 'carol' },
          changes: [{ session: MAIN, from: { alias: 'alice' }, to: { alias: 'carol' }, named: true }],
          others: { sessions: [], agents: [] },
          outcome: null,
        },
      ],
    });
    t.match(json.slots[0].why, /^5 h 4 % left \(leaves at 10 %\), resets \d\d:\d\d/);
    t.strictSame(
      backend.questions.slice(asked).map(({ bearer, accountHeader }) => [bearer, accountHeader]),
      ['alice', 'bob', 'carol'].map((name) => {
        const person = people[name as PersonName];
        return [keyOf(person), person.accountId];
      }),
      'each once, with its own token and workspace',
    );
  }
  t.equal(photograph(box.root), before);
});

t.test('for a person it is a short plan, in which nobody is named by e-mail unless asked', async (t) => {
  const { run, left } = await bench(t);
  left('alice', 4);
  left('carol', 90);
  const { stdout } = await run(['failover', 'check', '--session', MAIN]);
  t.match(stdout, /^dry run: nothing was written$/m);
  t.match(stdout, /^openai-codex:default of agent main: alice \(account .+\)$/m);
  t.match(stdout, /^ {2}status {4}switch_recommended, remaining_below_threshold, to carol/m);
  t.match(stdout, /^ {2}why {7}5 h 4 % left \(leaves at 10 %\), resets /m);
  t.match(stdout, /^ {2}change {4}agent:main:main: alice .+ -> carol /m);
  t.match(stdout, /^ {2}carol .+ {2}fit {6}5 h 90 % left, resets .+; week 80 % left/m);
  t.match(stdout, /^asked, each with its own login: alice, bob, carol$/m);
  t.notMatch(stdout, /example\.test|user-|\u001b/);
  const named = await run(['failover', 'check', '--session', MAIN, '--names']);
  t.match(named.stdout, /alice \(alice@example\.test, /);
  const drawn = await run(['failover', 'check', '--session', MAIN], { tty: [] });
  t.match(drawn.stdout, /alice@example\.test/, 'on a terminal its person alone reads');
  t.match(drawn.stdout, /\u001b\[33mswitch_recommended/);
});

t.test('what may end in a log of others names nobody, not even the other end of a direct chat', async (t) => {
  const chat = 'agent:main:telegram:direct:10017777';
  const { run, left } = await bench(t, { [chat]: { ...PIN }, 'agent:main:telegram:direct:20028888': {} });
  left('alice', 4);
  left('carol', 90);
  for (const line of [
    'once',
    'once --json',
    'once --apply',
    'once --apply --json',
    'leave',
    'leave --json',
  ]) {
    const { stdout, stderr } = await run(['failover', ...line.split(' '), '--session', chat]);
    t.match(stdout + stderr, /direct:(1001|2002)…/, line);
    t.notMatch(stdout + stderr, /10017777|20028888|example\.test|user-alice|a1111111-/, line);
  }
  const named = await run(['failover', 'once', '--session', chat, '--names', '--json']);
  t.match(named.json.slots, [
    {
      current: { accountId: people.alice.accountId, userId: people.alice.userId, email: people.alice.email },
      changes: [{ session: chat }],
      others: { sessions: ['agent:main:telegram:direct:20028888'] },
    },
  ]);
});

t.test('nor somebody who is not stored, whose e-mail a profile id or the settings hold', async (t) => {
  const [room, gone] = ['agent:main:whatsapp:group:1203634@g.us', 'agent:main:discord:channel:556'];
  const { run, configure, left } = await bench(t, {
    [MAIN]: { ...PIN },
    [room]: {
      ...PIN,
      authProfileOverride: 'openai-codex:dora@example.test',
      authProfileOverrideSource: 'auto',
    },
    [gone]: { ...PIN, authProfileOverride: 'openai-codex:emil+x@mail.example.test' },
  });
  configure({ sessions: [MAIN, room, gone], order: ['fritz@example.test', 'bob'] });
  left('alice', 4);
  for (const line of ['check', 'check --json']) {
    const { stdout, stderr } = await run(['failover', ...line.split(' ')]);
    t.match(stdout + stderr, /openai-codex:…@…/, line);
    t.match(stdout + stderr, /failover\.order names …@…/, line);
    t.match(stdout + stderr, /group:1203634@g\.us/, line);
    t.notMatch(stdout + stderr, /dora|emil|fritz|example\.test/, line);
  }
  const { stdout, stderr } = await run(['failover', 'check', '--names']);
  t.match(stdout + stderr, /emil\+x@mail\.example\.test/);
});

t.test('while enough is left nobody but the current one is asked', async (t) => {
  const { run, backend } = await bench(t);
  const { json, stdout } = await run(['failover', 'once', '--session', MAIN, '--apply', '--json']);
  t.match(json.slots, [{ status: 'healthy', reason: null, to: null, changes: [] }], stdout);
  t.strictSame(
    backend.questions.map(({ bearer }) => bearer),
    [keyOf(people.alice)],
  );
});

t.test('once --apply switches, proves it by a second look, remembers and logs it', async (t) => {
  const { box, run, left, state, tokenIn } = await bench(t);
  left('alice', 4);
  left('bob', 60);
  left('carol', 90);
  const { code, json, stderr } = await run(['failover', 'once', '--session', MAIN, '--apply', '--json']);
  t.equal(code, 0, stderr);
  t.match(json, {
    apply: true,
    slots: [
      {
        status: 'switched',
        outcome: {
          inSlot: { alias: 'carol' },
          pins: [{ key: MAIN, is: SLOT, result: 'already' }],
          effective: 'no-gateway',
          proved: false,
        },
        failure: null,
      },
    ],
  });
  t.equal(tokenIn(SLOT), tokenOf('carol'));
  t.equal(pinOf(state, MAIN), SLOT);
  const folder = path.join(box.routerHome, 'failover');
  t.equal(statSync(path.join(folder, 'state.json')).mode & 0o777, 0o600);
  const log = await run(['failover', 'log', '--json']);
  t.match(log.json.events, [{ kind: 'switched', apply: true, reason: 'remaining_below_threshold' }]);

  left('carol', 3);
  left('alice', 90);
  const again = await run(['failover', 'once', '--session', MAIN, '--apply', '--json']);
  t.match(again.json.slots, [{ held: 'dwell', to: null, current: { alias: 'carol' } }]);
  t.equal(tokenIn(SLOT), tokenOf('carol'), 'nobody goes to and fro');
  const undone = await run(['use', '-', '--json']);
  t.match(undone.json, { result: 'switched', to: { alias: 'alice' } }, 'use - goes back');
});

t.test('two hard failures are needed, and a look counts for neither', async (t) => {
  const { run, backend, tokenIn } = await bench(t);
  backend.answer(people.alice, { status: 403, body: { detail: 'no' } });
  const held = {
    status: 'unknown_current_usage',
    held: 'failures-not-sure',
    reason: 'current_profile_usage_error',
  };
  for (const line of ['check', 'check', 'once', 'once --apply', 'check']) {
    const { json } = await run(['failover', ...line.split(' '), '--session', MAIN, '--json']);
    if (line !== 'check') t.match(json.slots, [held], line);
  }
  t.equal(tokenIn(SLOT), tokenOf('alice'));
  const { json } = await run(['failover', 'once', '--apply', '--session', MAIN, '--json']);
  t.match(json.slots, [{ status: 'switched' }]);
});

t.test(
  'what others use is not moved for one session; its own slot is, and it goes back from there',
  async (t) => {
    const room = { channel: 'discord', chatType: 'channel' };
    const { box, run, left, state, tokenIn, backend } = await bench(t, { [MAIN]: { ...PIN }, [ROOM]: room });
    left('alice', 4);
    left('carol', 90);
    const before = photograph(box.root);
    const refused = await run(['failover', 'once', '--session', MAIN, '--apply', '--json']);
    t.equal(refused.code, 6);
    t.match(refused.json.error, { code: 'FAILOVER_SCOPE', message: new RegExp(ROOM), hint: /--own-slot/ });
    t.strictSame(backend.questions, [], 'nobody was asked');
    t.equal(photograph(box.root), before);
    const both = await run(['failover', 'once', '--shared-slot', '--own-slot', '--json']);
    t.match(both.json.error, { code: 'USAGE' });

    const entry = JSON.stringify(state.sessions()[ROOM]);
    const own = await run(['failover', 'once', '--session', MAIN, '--own-slot', '--apply', '--json']);
    t.match(own.json.slots, [
      { status: 'switched', outcome: { slot: { profileId: OWN }, inSlot: { alias: 'carol' } } },
    ]);
    t.match([tokenIn(SLOT), tokenIn(OWN)], [tokenOf('alice'), tokenOf('carol')]);
    t.equal(pinOf(state, MAIN), OWN);
    t.equal(JSON.stringify(state.sessions()[ROOM]), entry);

    const pinned = photograph(box.stateDir);
    const plan = await run(['failover', 'leave', '--session', MAIN, '--json']);
    t.match(plan.json, { result: 'planned', slots: [{ identity: { alias: 'carol' }, emptied: true }] });
    t.equal(photograph(box.stateDir), pinned, 'leave is a dry run too');
    const left_ = await run(['failover', 'leave', '--session', MAIN, '--apply', '--json']);
    t.match(left_.json, { result: 'left', slots: [{ pins: [{ key: MAIN, was: OWN, is: SLOT }] }] });
    t.match([tokenIn(SLOT), tokenIn(OWN)], [tokenOf('alice'), undefined]);
    t.equal(pinOf(state, MAIN), SLOT);
    t.equal(JSON.stringify(state.sessions()[ROOM]), entry);
  },
);

t.test('--shared-slot says who moves too, and writes none of them', async (t) => {
  const room = { channel: 'discord', chatType: 'channel' };
  const { run, left, state, tokenIn } = await bench(t, { [MAIN]: {}, [ROOM]: room });
  left('alice', 4);
  left('carol', 90);
  const entry = JSON.stringify(state.sessions()[ROOM]);
  const { json } = await run(['failover', 'once', '--session', MAIN, '--shared-slot', '--apply', '--json']);
  t.match(json.slots, [{ status: 'switched', others: { sessions: [ROOM] }, changes: [{ session: MAIN }] }]);
  t.equal(json.slots[0].changes.length, 1);
  t.equal(tokenIn(SLOT), tokenOf('carol'));
  t.equal(pinOf(state, MAIN), SLOT);
  t.equal(JSON.stringify(state.sessions()[ROOM]), entry);
});

t.test('the sessions and the order of the configuration count where none are named', async (t) => {
  const { run, left, configure, backend } = await bench(t);
  const none = await run(['failover', 'check', '--json']);
  t.equal(none.code, 2);
  t.match(none.json.error, { code: 'FAILOVER_NO_SESSIONS', hint: /--session/ });
  configure({ sessions: [MAIN, 'agent:main:gone'], order: ['bob'], thresholdPercent: { fiveHour: 50 } });
  left('alice', 40);
  const { json, code } = await run(['failover', 'check', '--json']);
  t.equal(code, 3, 'one that is missing is for a script to notice');
  t.match(json.sessions, [
    { status: 'no_candidate_available' },
    { key: 'agent:main:gone', status: 'missing_session' },
  ]);
  t.strictSame(
    backend.questions.map(({ bearer }) => bearer),
    [keyOf(people.alice), keyOf(people.bob)],
    'carol is not in the order: her token is not used',
  );
  configure({ sessions: [MAIN], thresholdPercent: { fiveHour: 400 } });
  t.match((await run(['failover', 'check', '--json'])).json.error, { code: 'CONFIG_UNREADABLE' });
});

t.test('what the person or OpenClaw has pinned elsewhere, or rests, is left to them', async (t) => {
  const { box, run, left, state, tokenIn } = await bench(t, {
    [MAIN]: { ...PIN, authProfileOverride: 'openai-codex:mine' },
    [ROOM]: { authProfileOverride: 'openai-codex:mine', authProfileOverrideSource: 'auto' },
  });
  const { profiles } = state.paths();
  const store = readJson(profiles) as { profiles: Record<string, unknown> };
  const mine = { ...(store.profiles[SLOT] as object), access: loginOf('bob-team').access };
  writeJson(profiles, { ...store, profiles: { ...store.profiles, 'openai-codex:mine': mine } });
  left('alice', 4);
  const before = photograph(box.stateDir);
  const { json } = await run(['failover', 'once', '--session', MAIN, '--session', ROOM, '--apply', '--json']);
  t.match(json, {
    sessions: [
      { runsOn: 'left', pinnedBy: 'person', status: null },
      { runsOn: 'left', pinnedBy: 'host', why: /OpenClaw itself/ },
    ],
    slots: [],
    asked: [],
  });
  t.equal(photograph(box.stateDir), before);
  t.equal(tokenIn(SLOT), tokenOf('alice'));
});

t.test('an agent may look, and only look', async (t) => {
  const { run, left } = await bench(t);
  left('alice', 4);
  const env = { OPENCLAW_SHELL: 'exec' };
  for (const line of ['check', 'once', 'once --own-slot']) {
    const { json } = await run(['failover', ...line.split(' '), '--session', MAIN, '--json'], { env });
    t.equal(json.ok, true, line);
  }
  for (const line of ['once --apply', 'once --own-slot --apply', 'leave --apply']) {
    const { json, code } = await run(['failover', ...line.split(' '), '--session', MAIN, '--json'], { env });
    t.equal(code, 6);
    t.match(json.error, { code: 'AGENT_REFUSED' }, line);
  }
});

t.test('Ctrl-C while somebody is asked ends it with nothing begun', async (t) => {
  const { box, backend, left, tokenIn } = await bench(t);
  left('alice', 4);
  backend.answer(people.carol, 'hang');
  const before = photograph(box.stateDir);
  const started = startRouter(t, box, ['failover', 'once', '--session', MAIN, '--apply', '--json']);
  await until('carol is asked', () => backend.questions.some(({ bearer }) => bearer === keyOf(people.carol)));
  started.kill('SIGINT');
  t.strictSame(await started.ended, [130, null]);
  t.match(JSON.parse(started.said.stdout), { error: { code: 'INTERRUPTED' } });
  t.equal(photograph(box.stateDir), before);
  t.equal(tokenIn(SLOT), tokenOf('alice'));
  t.notOk(existsSync(path.join(box.routerHome, 'failover', 'state.json')));
});

t.test('failover keeps no answer of the backend: what usage knows is not changed by it', async (t) => {
  const { box, run, left } = await bench(t);
  left('alice', 4);
  left('carol', 90);
  await run(['usage', '--all']);
  const file = path.join(box.routerHome, 'usage.json');
  const before = readFileSync(file);
  await run(['failover', 'once', '--session', MAIN, '--apply']);
  t.ok(readFileSync(file).equals(before));
});
