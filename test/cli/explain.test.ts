import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { startGatewayStandIn } from '../kit/gateway-stand-in.js';
import { leaksOf, type RouterOptions, router, type Sandbox, sandbox } from '../kit/router.js';
import {
  makeState,
  type OpenClawState,
  PIN,
  PROVIDER,
  profileOf,
  readJson,
  SLOT,
  type StateOptions,
  writeJson,
} from '../kit/state.js';
import { codexAuthJson, loginOf } from '../kit/tokens.js';
import { morningZone } from '../kit/zone.js';

const alice = loginOf('alice');
// A gateway tells a login by when it expires only.
const bob = loginOf('bob', { issuedAt: Date.now() - 60_000 });
const carol = loginOf('carol');
const MAIN = 'agent:main:main';
const LAYERS = ['choice', 'slot', 'order', 'pin', 'effective', 'usage', 'label'];

interface Seen {
  readonly layer: string;
  readonly identity: { readonly alias: string | null; readonly email: string | null } | null;
  readonly value: string | null;
  readonly verdict: string;
  readonly why: string | null;
}

interface Bench {
  readonly box: Sandbox;
  readonly state: OpenClawState;
  run(args: readonly string[], options?: RouterOptions): ReturnType<typeof router>;
  /** `explain --json`, which has all seven layers in their order; one by its name. */
  explain(...args: string[]): Promise<{
    readonly json: { agrees: boolean; first: string | null; remedy: string | null; layers: Seen[] };
    of(layer: string): Seen;
  }>;
}

/** Alice (a) and bob (b) are stored, and alice was routed. */
async function bench(
  t: Test,
  options: Partial<StateOptions> = {},
  routes = true,
  box = sandbox(t),
): Promise<Bench> {
  const state = makeState(box.stateDir, { release: '2026.5.7', slot: null, ...options });
  const env = { CODEX_ROUTER_KEY: 'file', TZ: morningZone() };
  const self: Bench = {
    box,
    state,
    run: (args, more = {}) => router(box, args, { ...more, env: { ...env, ...more.env } }),
    async explain(...args) {
      const { json, code } = await self.run(['explain', '--json', ...args]);
      t.equal(code, 0);
      t.strictSame(
        json.layers.map(({ layer }: Seen) => layer),
        LAYERS,
      );
      for (const { verdict, why } of json.layers) {
        if (verdict !== 'agrees' && !why) t.fail('a layer that does not agree says why');
      }
      return { json, of: (layer) => json.layers.find((one: Seen) => one.layer === layer) };
    },
  };
  for (const [alias, login] of Object.entries({ a: alice, b: bob })) {
    const run = await self.run(['import', '--from', '-', '--alias', alias], { input: codexAuthJson(login) });
    if (run.code !== 0) throw new Error(run.stderr);
  }
  if (routes) {
    const run = await self.run(['use', 'a', '--session', MAIN]);
    if (run.code !== 0) throw new Error(run.stderr);
  }
  t.teardown(() => {
    const leaks = leaksOf(box);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
  });
  return self;
}

/** Another program changes main's store. */
function edit(state: OpenClawState, change: (store: { profiles: Record<string, unknown> }) => void): void {
  const { profiles } = state.paths();
  const store = readJson(profiles) as { profiles: Record<string, unknown> };
  change(store);
  writeJson(profiles, store);
}

function select(state: OpenClawState, fields: object): void {
  const { state: file } = state.paths();
  writeJson(file, { ...(readJson(file) as object), ...fields });
}

/** `auth` of openclaw.json is this from now on. */
function configure({ configPath }: OpenClawState, auth: object): void {
  writeJson(configPath, { ...(readJson(configPath) as object), auth });
}

function pin(state: OpenClawState, key: string, fields: object): void {
  const { sessions } = state.paths();
  const all = readJson(sessions) as Record<string, object>;
  writeJson(sessions, { ...all, [key]: { ...all[key], ...fields } }, '');
}

t.test(
  'after a switch all seven layers speak of the same account, and nothing is written to say so',
  async (t) => {
    const { explain, run, state } = await bench(t);
    const files = [state.paths().profiles, state.paths().state, state.paths().sessions, state.configPath];
    const before = files.map((file) => readFileSync(file, 'utf8'));
    const { json, of } = await explain();
    t.match(json, {
      agrees: true,
      first: null,
      remedy: null,
      session: { key: MAIN },
      slot: { profileId: SLOT },
    });
    for (const layer of ['choice', 'slot', 'order', 'pin', 'usage', 'label']) {
      t.match(of(layer), { identity: { alias: 'a' }, verdict: /^agrees$/ }, layer);
    }
    t.match(of('effective'), { value: 'no gateway runs', verdict: /^agrees$/ });
    t.equal(of('label').value, alice.email);
    t.strictSame(
      files.map((file) => readFileSync(file, 'utf8')),
      before,
    );
    const { stdout } = await run(['explain']);
    t.match(stdout, /^1 choice {5}agrees {4}a \(alice@example\.test, plus, account a1111111\)$/m);
    t.match(stdout, /^all that could be read agrees$/m);
  },
);

t.test('wrong account: another program has put another login into the slot', async (t) => {
  const { explain, state, run } = await bench(t);
  edit(state, ({ profiles }) => {
    profiles[SLOT] = profileOf(bob, '2026.5.7');
  });
  const { json, of } = await explain();
  t.match(json, { agrees: false, first: 'slot', remedy: 'codex-router use a' });
  t.match(of('choice'), { identity: { alias: 'a' }, verdict: /^agrees$/ });
  t.match(of('slot'), { identity: { alias: 'b' }, verdict: 'disagrees' });
  t.match(of('usage'), { identity: { alias: 'b' } }, 'what is in the slot is what OpenClaw shows');
  t.equal((await run(['use', 'a'])).code, 0);
  t.match((await explain()).json, { agrees: true });
});

t.test('a switch that /status does not follow: the chat is pinned to another profile', async (t) => {
  const { explain, state, run } = await bench(t, { others: { 'openai-codex:carol': carol } });
  pin(state, MAIN, { ...PIN, authProfileOverride: 'openai-codex:carol' });
  const beside = await explain();
  t.match(beside.json, { first: 'pin', remedy: `codex-router use a --session ${MAIN}` });
  t.match(beside.of('pin'), { value: 'openai-codex:carol', identity: { email: carol.email } });
  t.equal((await run((beside.json.remedy ?? '').split(' ').slice(1))).code, 0);
  t.match((await explain()).of('pin'), { verdict: /^agrees$/ });

  pin(state, MAIN, { ...PIN, authProfileOverride: 'openai-codex:gone' });
  t.match((await explain()).of('pin'), {
    verdict: 'disagrees',
    why: /openai-codex:gone, which is not there any more/,
  });
  pin(state, MAIN, { ...PIN, authProfileOverride: 'personal:x:1' });
  const own = await explain();
  t.match(own.json, { first: 'pin', remedy: null }, "a person's own choice is left");
  t.match((await explain('--session', 'agent:main:telegram:direct:1001')).of('pin'), {
    value: 'none',
    verdict: /^agrees$/,
    why: 'it follows the order',
  });
  t.match((await explain('--session', 'agent:main:nowhere')).of('pin'), {
    verdict: 'unknown',
    why: /no session of that key/,
  });
});

t.test(
  'oauth label follows and usage does not; works sometimes: the order names, or leaves, another login',
  async (t) => {
    const { explain, run, state } = await bench(t, { others: { 'openai-codex:carol': carol } });
    select(state, { order: { [PROVIDER]: ['openai-codex:carol', SLOT] } });
    const first = await explain();
    t.match(first.json, { first: 'order', remedy: 'codex-router use a' });
    t.match(first.of('order'), { why: 'it names openai-codex:carol before the slot' });
    t.match(first.of('usage'), { identity: { email: carol.email }, verdict: 'disagrees' });
    t.match(first.of('label'), { identity: { alias: 'a' }, verdict: /^agrees$/ });

    select(state, { order: { [PROVIDER]: ['openai-codex:vanished', SLOT, 'openai-codex:carol'] } });
    t.match((await explain()).of('order'), {
      cause: 'other-behind',
      why: /another login is behind the slot/,
    });
    select(state, { order: undefined });
    t.match((await explain()).of('order'), {
      verdict: /^agrees$/,
      value: 'none',
      readFrom: /^auth.profiles/,
    });
    configure(state, { profiles: {} });
    const none = await explain();
    t.match(none.json, { first: 'order', symptom: 'works-sometimes', remedy: 'codex-router use a' });
    t.match(none.of('order'), { cause: 'takes-turns', value: 'none', why: /takes turns among 2 logins/ });
    const { stdout } = await run(['explain']);
    t.match(stdout, /^what it looks like: it works sometimes: not every turn runs on the same account$/m);
    configure(state, { order: { [PROVIDER]: ['openai-codex:carol', SLOT] } });
    t.match((await explain()).of('order'), {
      cause: 'other-first',
      readFrom: /^auth.order in openclaw.json/,
    });
    configure(state, { profiles: { [SLOT]: { provider: PROVIDER, mode: 'token' } } });
    t.match((await explain()).json, {
      first: 'order',
      remedy: `openclaw config set auth.profiles.${SLOT}.mode oauth`,
    });
    configure(state, { profiles: {} });

    select(state, {
      order: { [PROVIDER]: [SLOT] },
      usageStats: { [SLOT]: { cooldownUntil: Date.now() + 3_600_000, cooldownReason: 'rate_limit' } },
    });
    t.match((await explain()).of('order'), {
      verdict: /^agrees$/,
      why: /^OpenClaw lets the slot rest until \d\d:\d\d|, \d\d:\d\d \(rate_limit\)$/,
    });
  },
);

t.test('a broken token, an empty slot, something that is no login', async (t) => {
  const { explain, state } = await bench(t);
  const put = (change: object | null) =>
    edit(state, ({ profiles }) => {
      if (change === null) delete profiles[SLOT];
      else profiles[SLOT] = change;
    });
  const broken = async (cause: string, remedy: string | null) => {
    const seen = await explain();
    t.match(seen.json, { first: 'slot', remedy }, cause);
    t.match(seen.of('slot'), { cause });
    return seen;
  };
  put({ type: 'api_key', provider: PROVIDER, key: 'sk-CANARY' });
  t.match((await broken('slot-foreign', null)).of('slot'), { value: 'an API key' });
  put(null);
  const empty = await broken('slot-empty', 'codex-router use a');
  t.match(empty.of('slot'), { value: 'empty' });
  t.match(empty.of('order'), { verdict: 'unknown', why: 'the slot is empty' });
  const entry = profileOf(alice, '2026.5.7');
  put({ ...entry, access: String(entry.access).slice(0, 40) });
  await broken('login-damaged', 'codex-router use a');
  put({ ...entry, refresh: '' });
  await broken('login-damaged', 'codex-router use a');
  put(entry);
  select(state, {
    usageStats: {
      [SLOT]: {
        errorCount: 1,
        disabledUntil: Date.now() + 3_600_000,
        disabledReason: 'auth_permanent',
        failureCounts: { auth_permanent: 1 },
      },
    },
  });
  const refused = await broken('refresh-failing', `codex-router login --expect ${alice.accountId}`);
  t.match(refused.json, { symptom: 'broken-token' });
});

t.test('display disagrees with runtime: openclaw.json names another e-mail', async (t) => {
  const profiles = { [SLOT]: { provider: PROVIDER, mode: 'oauth', email: 'old@example.test' } };
  const { explain, run } = await bench(t, { config: { auth: { profiles } } });
  const { json, of } = await explain();
  t.match(json, { first: 'label', remedy: 'codex-router use a --fix-labels' });
  t.match(of('label'), { value: 'old@example.test', identity: null });
  t.equal((await run((json.remedy ?? '').split(' ').slice(1))).code, 0);
  t.match((await explain()).json, { agrees: true });
});

for (const release of ['2026.5.7', '2026.7.35']) {
  t.test(`${release}: the gateway still has the account before, and is not made to read`, async (t) => {
    const box = sandbox(t);
    const at = { release, stateDir: box.stateDir, provider: PROVIDER, profileId: SLOT };
    const gateway = await startGatewayStandIn(t, at);
    const { explain } = await bench(
      t,
      { port: gateway.port, slot: profileOf(alice, '2026.5.7') },
      false,
      box,
    );
    gateway.holds = bob.expires;
    const { json, of } = await explain();
    t.match(json, { first: 'effective', remedy: 'codex-router use a' });
    t.match(of('slot'), { identity: { alias: 'a' } });
    t.match(of('effective'), {
      identity: { alias: 'b' },
      why: /has not read the slot since that was changed/,
    });
    t.match(of('usage'), { identity: { alias: 'b' }, verdict: 'disagrees' });
    gateway.holds = null;
    t.match((await explain()).of('effective'), { value: 'no login', verdict: 'disagrees' });
    gateway.holds = alice.expires;
    t.match((await explain()).json, { agrees: true });
    const asked = gateway.asked.filter(({ method }) => method !== 'connect');
    // From 6.1 on `refresh` would make the gateway read its logins again; before, an answer without it may be old.
    const params = release === '2026.5.7' ? { refresh: true } : {};
    t.strictSame(
      asked,
      [1, 2, 3].map(() => ({ method: 'models.authStatus', params })),
    );
  });
}

t.test(
  'what a gateway holds is unknown where it cannot say, or where asking could renew the login',
  async (t) => {
    const box = sandbox(t);
    const at = {
      release: '2026.4.2',
      stateDir: box.stateDir,
      provider: PROVIDER,
      profileId: SLOT,
      serves: false,
    };
    const gateway = await startGatewayStandIn(t, at);
    const { explain, state } = await bench(
      t,
      { port: gateway.port, slot: profileOf(alice, '2026.5.7') },
      false,
      box,
    );
    t.match((await explain()).of('effective'), {
      verdict: 'unknown',
      why: /no way to ask a gateway which login it has/,
    });
    const soon = loginOf('alice', { expiresAt: Date.now() + 60_000 });
    edit(state, ({ profiles }) => {
      profiles[SLOT] = profileOf(soon, '2026.5.7');
    });
    gateway.asked.length = 0;
    t.match((await explain()).of('effective'), { verdict: 'unknown', why: /near its expiry/ });
    t.strictSame(gateway.asked, [], 'it was not asked at all');
  },
);

t.test('before anything was routed, the slot is what the others are compared with', async (t) => {
  const { explain, run, state } = await bench(
    t,
    { slot: carol, others: { 'openai-codex:work': alice } },
    false,
  );
  const { json, of } = await explain();
  t.match(of('choice'), { verdict: 'unknown', why: 'no switch by codex-router is on record here' });
  t.match(of('slot'), {
    verdict: /^agrees$/,
    why: 'that login is not stored here',
    identity: { alias: null },
  });
  t.match(json, { agrees: true, first: null });
  const { stdout } = await run(['explain']);
  t.match(stdout, /^3 order +agrees +carol@.*, no stored order$/m);
  t.match(stdout, /^4 pin +agrees +carol@.*, no pin$/m);
  configure(state, {});
  // Whoever is not stored cannot be put into a slot.
  t.match((await explain()).json, { first: 'order', remedy: 'codex-router import --from openclaw' });
  t.match(
    (await run(['explain'])).stdout,
    /^store that login first: .* import --from openclaw, then explain again$/m,
  );
});
