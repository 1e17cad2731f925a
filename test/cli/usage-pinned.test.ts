import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { leaksOf, type RouterOptions, router, type Sandbox, sandbox, withoutEscapes } from '../kit/router.js';
import { makeState, type OpenClawState } from '../kit/state.js';
import { codexAuthJson, DAY, type Login, loginOf, makeLogin, type Person, people } from '../kit/tokens.js';
import {
  startUsageBackend,
  type UsageBackend,
  type UsageReply,
  usageOf,
  windowOf,
} from '../kit/usage-backend.js';
import { morningZone } from '../kit/zone.js';

interface Bench {
  readonly box: Sandbox;
  readonly state: OpenClawState;
  readonly backend: UsageBackend;
  run(args: readonly string[], options?: RouterOptions): ReturnType<typeof router>;
  store(alias: string, login: Login): Promise<Login>;
}

async function bench(
  t: Test,
  inSlot: Login | null = null,
  others: Record<string, Login> = {},
): Promise<Bench> {
  const box = sandbox(t);
  const backend = await startUsageBackend(t);
  const state = makeState(box.stateDir, { release: '2026.5.7', slot: inSlot, others });
  const env = { CODEX_ROUTER_KEY: 'file', CODEX_ROUTER_TEST_ISSUER: backend.url, TZ: morningZone() };
  t.teardown(() => {
    const leaks = leaksOf(box);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
  });
  const run: Bench['run'] = (args, options = {}) =>
    router(box, args, { ...options, env: { ...env, ...options.env } });
  return {
    box,
    state,
    backend,
    run,
    async store(alias, login) {
      const { stderr, code } = await run(['import', '--from', '-', '--alias', alias], {
        input: codexAuthJson(login),
      });
      if (code !== 0) throw new Error(stderr);
      return login;
    },
  };
}

const keyOf = ({ accountId, userId }: Person) => `${accountId}/${userId}`;

t.test(
  'whatever is answered about the one who is named, nobody else is asked and nothing is asked twice',
  async (t) => {
    // Every other credential that could be fallen back to is there: another in the slot, one beside it, others stored, one in Codex.
    const { run, store, backend, box, state } = await bench(t, loginOf('bob'), {
      'openai-codex:carol': loginOf('carol'),
    });
    const work = await store('work', loginOf('alice-team'));
    await store('mate', loginOf('bob-team'));
    await store('home', loginOf('alice'));
    writeFileSync(
      path.join(box.codexHome, 'auth.json'),
      codexAuthJson(loginOf('alice-team', { nonce: 'codex' })),
    );
    const before = readFileSync(state.paths().profiles);
    const elsewhere = { location: `${backend.url}/backend-api/wham/usage?again` };
    const replies: readonly (readonly [string, UsageReply, string])[] = [
      ['401', { status: 401, body: { error: { code: 'token_invalidated' } } }, 'rejected'],
      ['401 expired', { status: 401, body: { detail: { code: 'token_expired' } } }, 'expired'],
      ['403', { status: 403, body: {} }, 'forbidden'],
      ['429', { status: 429, body: {}, headers: { 'retry-after': '1' } }, 'failed'],
      ['500', { status: 500, body: {} }, 'failed'],
      ['a redirect', { status: 307, body: {}, headers: elsewhere }, 'failed'],
      ['a broken connection', 'reset', 'unreachable'],
      ['nothing', 'hang', 'timeout'],
      ['a trickle', 'trickle', 'timeout'],
      ['another user', { body: usageOf(people['bob-team']) }, 'mismatch'],
      [
        'another account',
        { body: usageOf({ ...people.alice, userId: work.userId, accountId: 'acc-x' }) },
        'mismatch',
      ],
    ];
    for (const [name, reply, state] of replies) {
      backend.answer(work, reply);
      backend.questions.length = 0;
      const { json } = await run(['usage', 'work', '--timeout', state === 'timeout' ? '4' : '30', '--json']);
      t.match(json.usage, [{ identity: { alias: 'work' }, heldBy: 'store', state, limits: null }], name);
      t.strictSame(
        backend.questions,
        [
          {
            method: 'GET',
            path: '/backend-api/wham/usage',
            bearer: keyOf(work),
            accountHeader: work.accountId,
          },
        ],
        `${name}: one question, its own`,
      );
    }
    t.throws(() => statSync(path.join(box.routerHome, 'usage.json')), 'nothing of all that was kept');
    t.throws(() => statSync(path.join(box.routerHome, 'usage-history.jsonl')));
    t.ok(readFileSync(state.paths().profiles).equals(before));
  },
);

t.test(
  'the holder’s copy alone is asked with: an older one that is stored is not tried in its place',
  async (t) => {
    const { run, store, backend, state } = await bench(t);
    const stored = await store('work', loginOf('alice-team'));
    await store('home', loginOf('alice'));
    await run(['use', 'work']);
    const profiles = state.paths().profiles;
    const document = JSON.parse(readFileSync(profiles, 'utf8'));
    const inSlot = (login: Login) => {
      const slot = document.profiles['openai-codex:default'];
      Object.assign(slot, { access: login.access, refresh: login.refresh, expires: login.expires });
      writeFileSync(profiles, JSON.stringify(document));
    };
    // The stored copy is still good for days; the slot's, which is the login's holder's, is not.
    inSlot(loginOf('alice-team', { expiresAt: Date.now() - 1000, nonce: 'slot' }));
    for (const args of [['work'], [], ['--all']]) {
      const { json } = await run(['usage', ...args, '--json']);
      t.match(json.usage[0], { heldBy: 'slot', state: 'expired', remedy: null }, args.join());
    }
    t.strictSame(
      backend.questions.filter(({ bearer }) => bearer === keyOf(stored)),
      [],
      'no token of it was sent',
    );
    inSlot(loginOf('alice-team', { nonce: 'rejected' }));
    backend.answer(stored, { status: 401, body: {} });
    backend.questions.length = 0;
    t.match((await run(['usage', 'work', '--json'])).json.usage, [{ heldBy: 'slot', state: 'rejected' }]);
    t.equal(backend.questions.length, 1);
  },
);

t.test('a token of somebody else under an identity’s name is never sent', async (t) => {
  const { run, store, backend, box } = await bench(t);
  await store('work', loginOf('alice-team'));
  await run(['lend', 'work', '--move', '--json']);
  // Codex was logged in as somebody else since: it is not this identity's any more.
  writeFileSync(path.join(box.codexHome, 'auth.json'), codexAuthJson(loginOf('bob')));
  const { json } = await run(['usage', 'work', '--json']);
  t.equal(json.usage[0].heldBy, 'store');
  t.notOk(backend.questions.some(({ bearer }) => bearer === keyOf(people.bob)));
  for (const { bearer, accountHeader } of backend.questions) t.equal(bearer.split('/')[0], accountHeader);
});

t.test(
  'of 100 with every kind of answer nobody is lost, each has its own state, in their order',
  async (t) => {
    const logins = [...Array(100).keys()].map((place) =>
      makeLogin({ ...people.bob, accountId: `acc-${place}`, userId: `user-${place}` }),
    );
    const others = Object.fromEntries(logins.map((login, place) => [`openai-codex:${place}`, login]));
    const { run, backend } = await bench(t, null, others);
    const kinds: readonly (readonly [UsageReply | null, string])[] = [
      [null, 'answered'],
      ['hang', 'timeout'],
      [{ status: 500, body: {} }, 'failed'],
      ['trickle', 'timeout'],
      ['reset', 'unreachable'],
      [{ status: 401, body: {} }, 'rejected'],
      [null, 'answered'],
      [{ body: usageOf(people.carol) }, 'mismatch'],
      [{ status: 403, body: {} }, 'forbidden'],
      [{ status: 302, body: {}, headers: { location: backend.url } }, 'failed'],
    ];
    logins.forEach((login, place) => {
      const [reply] = kinds[place % 10] ?? [];
      if (reply) backend.answer(login, reply);
      // Each is told something only of its own.
      else
        backend.answer(login, {
          body: usageOf(login, { rate_limit: { a_window: windowOf(place, 18_000, 60) } }),
        });
    });
    const { json, stderr } = await run(['usage', '--all', '--timeout', '6', '--json']);
    t.equal(stderr, '', 'and nothing else is said');
    t.strictSame(
      json.usage.map(
        (row: { identity: Person; state: string; limits: { windows: { usedPercent: number }[] } | null }) => [
          row.identity.accountId,
          row.state,
          row.limits?.windows[0]?.usedPercent ?? null,
        ],
      ),
      logins.map(({ accountId }, place) => {
        const [, state] = kinds[place % 10] ?? [];
        return [accountId, state, state === 'answered' ? place : null];
      }),
    );
    t.equal(backend.questions.length, 100, 'each once');
    t.equal(new Set(backend.questions.map(({ bearer }) => bearer)).size, 100);
    t.ok(backend.questions.every(({ bearer, accountHeader }) => bearer.split('/')[0] === accountHeader));
  },
);

t.test(
  'looks are remembered without a name, shown as a chart or a table, and forgotten with their identity',
  async (t) => {
    const { run, store, backend, box } = await bench(t);
    const work = await store('work', loginOf('alice-team'));
    await store('home', loginOf('alice'));
    const none = await run(['usage', '--history', '--all']);
    t.match(none.stdout, /^work .*\n {2}nobody has looked since .*: codex-router usage looks\n\nhome /m);
    await run(['usage', '--all']);
    await run(['usage', '--all']);
    backend.answer(work, { body: usageOf(work, { rate_limit: { a_window: windowOf(80, 18_000, 600) } }) });
    await run(['usage', 'work']);
    const file = path.join(box.routerHome, 'usage-history.jsonl');
    const text = readFileSync(file, 'utf8');
    t.equal(text.trim().split('\n').length, 3, 'twice for work, once for home');
    t.equal(statSync(file).mode & 0o777, 0o600);
    t.notMatch(text, new RegExp(`alice|@|${work.accountId}|${work.userId}`));

    const asked = backend.questions.length;
    const keys = path.join(box.root, 'xdg', 'config', 'codex-router');
    renameSync(keys, `${keys}-away`);
    const { json, code } = await run(['usage', '--history', 'work', 'home', '--json']);
    t.equal(code, 0);
    t.match(json, {
      meant: 'selectors',
      history: [
        {
          identity: { alias: 'work' },
          stored: true,
          looks: [
            {
              windows: [
                { label: '5 h', leftPercent: 62 },
                { label: 'week', leftPercent: 88 },
              ],
            },
            { windows: [{ label: '5 h', leftPercent: 20 }] },
          ],
        },
        { identity: { alias: 'home' }, looks: [{}] },
      ],
    });
    t.equal(json.history[1].looks.length, 1);
    t.equal(backend.questions.length, asked, 'nobody was asked, and no key was needed');
    const { stdout } = await run(['usage', '--history', 'work', '--days', '1']);
    t.match(stdout, /^ {2}\d{4}-\d\d-\d\dT\S+ {2}5 h {4}20 % left {2}resets \d{4}-/m);
    const chart = withoutEscapes((await run(['usage', '--history', 'work'], { tty: [] })).stdout);
    t.match(chart, /^ {2}5 h {2}last 20 % left .*, least 20 %/m);
    t.match(chart, /^100 % │ +/m);
    for (const line of chart.split('\n')) t.ok([...line].length <= 80, line);
    for (const args of [['--ascii'], []]) {
      const env = args.length > 0 ? {} : { LANG: 'C' };
      t.match(
        withoutEscapes((await run(['usage', '--history', 'work', ...args], { tty: [], env })).stdout),
        /^ {2}0 % \| +#/m,
      );
    }
    t.match(
      (await run(['usage', '--history', 'work'], { tty: [], env: { TERM: 'dumb' } })).stdout,
      /T\S+ {2}5 h {4}20 % left/,
    );

    renameSync(`${keys}-away`, keys);
    await run(['remove', 'work', '--yes']);
    const left = readFileSync(file, 'utf8');
    t.equal(left.trim().split('\n').length, 1, 'at once, not with the next look');
    t.notOk(readFileSync(path.join(box.routerHome, 'usage.json'), 'utf8').includes(work.accountId));
    t.match(JSON.stringify((await run(['uninstall', '--dry-run', '--json'])).json), /usage-history\.jsonl/);
  },
);

t.test('a history that cannot be written is a note, and the answer is there', async (t) => {
  const { run, store, box } = await bench(t);
  await store('work', loginOf('alice-team', { expiresAt: Date.now() + DAY }));
  const file = path.join(box.routerHome, 'usage-history.jsonl');
  mkdirSync(file);
  const { code, json } = await run(['usage', 'work', '--json']);
  t.equal(code, 0);
  t.match(json, {
    usage: [{ state: 'answered' }],
    notes: [{ code: 'USAGE_NOT_KEPT', text: /not a regular file/ }],
  });
  t.match((await run(['usage', '--history', 'work', '--json'])).json, { error: { code: 'IO' } });
});
