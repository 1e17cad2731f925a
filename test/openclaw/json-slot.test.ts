import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
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
import type { Holding } from '../../src/holding.js';
import { locateHost } from '../../src/openclaw/locate.js';
import { refreshLocks, storeLock, withHostLocks } from '../../src/openclaw/locks.js';
import type { Host } from '../../src/slot/host.js';
import type { Slot } from '../../src/slot/slot.js';
import { fakeSlot } from '../contract/fake-slot.js';
import { holdingOf, type SlotBench, shown, slotPromises } from '../contract/slot.js';
import {
  type AgentPaths,
  makeState,
  type OpenClawState,
  PROVIDER,
  profileOf,
  RELEASES,
  type Release,
  SLOT,
  type StateOptions,
} from '../kit/state.js';
import { CANARY, loginOf } from '../kit/tokens.js';

const LATER = 4_102_444_800_000;
const BOB = 'openai-codex:bob@example.test';

interface Bench {
  readonly state: OpenClawState;
  readonly files: AgentPaths;
  readonly host: Host;
  readonly slot: Slot;
}

/** Short waits, so that a refusal is quick; every test that needs a wait sets its own. */
async function bench(
  t: Test,
  options: StateOptions,
  more: { waitMs?: number; tornMs?: number } = {},
): Promise<Bench> {
  const state = makeState(t.testdir({}), options);
  const host = await locateHost({
    env: { HOME: path.join(state.dir, 'home') },
    platform: process.platform,
    options: { stateDir: state.dir },
    lock: { waitMs: more.waitMs ?? 300 },
    torn: { tornMs: more.tornMs ?? 60 },
  });
  return { state, files: state.paths(), host, slot: await slotOf(host) };
}

async function slotOf(host: Host): Promise<Slot> {
  const slot = (await host.allSlots())[0];
  if (slot === undefined) throw new Error('the host has no slot');
  return slot;
}

async function put(slot: Slot, holding: Holding | null | 'keep') {
  const { revision } = await slot.read();
  return await slot.replace({ expect: revision, put: holding, takeOut: [] });
}

/** Rewrites a JSON file the way the host's own hand would. */
function edit(file: string, change: (doc: Record<string, unknown>) => void): void {
  const doc = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { version: 1 };
  change(doc);
  writeFileSync(file, `${JSON.stringify(doc, null, 2)}\n`, { mode: 0o600 });
}

/** Everything below a folder: names, modes and bytes. */
function snapshot(folder: string): Record<string, string> {
  const all: Record<string, string> = {};
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const stat = statSync(path.join(folder, name));
    all[name] =
      `${stat.mode.toString(8)} ${stat.isFile() ? readFileSync(path.join(folder, name), 'utf8') : ''}`;
  }
  return all;
}

const WHAT = {
  'api-key': 'an API key',
  untold: 'a login whose owner cannot be told (its access token is opaque)',
};

t.test('the fake keeps what every slot promises', async (t) => {
  slotPromises(t, (): SlotBench => {
    const slot = fakeSlot();
    return {
      slot,
      hostPuts: (id, entry) => slot.hostPuts(id, typeof entry === 'string' ? { what: WHAT[entry] } : entry),
      hostOrders: (order, good) => slot.hostOrders(order, good),
      own: (n) => slot.own(n),
    };
  });
});

for (const release of RELEASES) {
  t.test(`the slot of ${release} keeps what every slot promises`, async (t) => {
    const make = async (t: Test): Promise<SlotBench> => {
      const { host, slot, files } = await bench(t, { release, slot: null });
      rmSync(files.profiles, { force: true });
      rmSync(files.state, { force: true });
      return {
        slot,
        hostPuts: (id, entry) =>
          edit(files.profiles, (doc) => {
            const profiles = { ...(doc.profiles as object) } as Record<string, unknown>;
            if (entry === null) delete profiles[id];
            else profiles[id] = typeof entry === 'string' ? FOREIGN[entry] : entryOf(entry);
            doc.profiles = profiles;
          }),
        hostOrders: (order, good) =>
          edit(stateFile(files, release), (doc) => {
            doc.order = { [PROVIDER]: order };
            doc.lastGood = good === null ? {} : { [PROVIDER]: good };
          }),
        own: (n) => host.ownSlot('main', n),
      };
    };
    slotPromises(t, make, PROVIDER, { tied: TIED.includes(release) });
  });
}

/** Through 4.15 main's logins are copied to the other agents. */
const TIED: readonly Release[] = ['2026.3.28'];

const FOREIGN = {
  'api-key': { type: 'api_key', provider: PROVIDER, key: `sk-${CANARY}` },
  untold: { type: 'oauth', provider: PROVIDER, access: `opaque-${CANARY}`, refresh: CANARY },
};

function entryOf(holding: Holding): Record<string, unknown> {
  return {
    type: 'oauth',
    provider: PROVIDER,
    access: holding.grant.accessToken.reveal(),
    refresh: holding.grant.refreshToken.reveal(),
    expires: holding.grant.expiresAt,
    email: holding.identity.email,
    accountId: holding.identity.accountId,
    ...holding.hostFields,
  };
}

function stateFile(files: AgentPaths, release: Release): string {
  return release === '2026.5.7' ? files.state : files.profiles;
}

t.test('writes exactly what the release itself would have written', async (t) => {
  const alice = loginOf('alice');
  const bob = loginOf('bob');
  for (const release of RELEASES) {
    const { slot, files, state } = await bench(t, {
      release,
      slot: {
        ...profileOf(alice, release),
        managedBy: 'codex-cli',
        idToken: alice.idToken,
        displayName: 'Alice',
        clientId: 'app_alice',
      },
      others: {
        'anthropic:default': { type: 'api_key', provider: 'anthropic', key: CANARY, odd: [1, { a: null }] },
      },
      usageStats: {
        [SLOT]: { errorCount: 4, cooldownUntil: LATER, lastUsed: 1 },
        'anthropic:default': { lastUsed: 2 },
      },
    });
    edit(files.profiles, (doc) => {
      doc.unknownTop = { kept: true };
    });
    await put(slot, holdingOf(bob));
    t.same(state.slot(), profileOf(bob, release), 'nothing of the old login is left in the entry');
    t.same(state.profiles()['anthropic:default'], {
      type: 'api_key',
      provider: 'anthropic',
      key: CANARY,
      odd: [1, { a: null }],
    });
    t.same(state.selection().order, { [PROVIDER]: [SLOT] });
    t.same(state.selection().lastGood, { [PROVIDER]: SLOT });
    t.same(state.selection().usageStats, { 'anthropic:default': { lastUsed: 2 } });
    const text = readFileSync(files.profiles, 'utf8');
    const doc = JSON.parse(text);
    t.equal(text, `${JSON.stringify(doc, null, 2)}\n`);
    t.same(doc.unknownTop, { kept: true });
    t.same(Object.keys(doc.profiles), [SLOT, 'anthropic:default'], 'entries keep their places');
    t.equal(existsSync(files.state), release === '2026.5.7', 'no state file where the release has none');
  }
});

t.test('an identity takes its fields and statistics along and brings them back', async (t) => {
  for (const release of RELEASES) {
    const { slot, state } = await bench(t, {
      release,
      slot: { ...profileOf(loginOf('alice'), release), displayName: 'Alice', mystery: { deep: [1] } },
      usageStats: {
        [SLOT]: { disabledUntil: LATER, disabledReason: 'billing', failureCounts: { billing: 2 } },
      },
    });
    const entry = state.slot();
    const stats = state.selection().usageStats;
    const { occupant } = await slot.read();
    if (occupant.kind !== 'login') return t.fail('no login in the slot');
    t.same(occupant.hostFields, { displayName: 'Alice', mystery: { deep: [1] } });
    await put(slot, holdingOf(loginOf('bob')));
    t.notOk(state.selection().usageStats?.[SLOT], 'the newcomer starts without the cooldown');
    await put(slot, occupant);
    t.same(state.slot(), entry);
    t.same(state.selection().usageStats, stats);
  }
});

t.test(
  'what ties an entry to another store, or belongs to its tokens, does not travel as a host field',
  async (t) => {
    const alice = loginOf('alice');
    const { slot, state } = await bench(t, {
      release: '2026.5.7',
      slot: {
        ...profileOf(alice, '2026.5.7'),
        managedBy: 'codex-cli',
        idToken: alice.idToken,
        mode: 'oauth',
      },
    });
    const { occupant } = await slot.read();
    if (occupant.kind !== 'login') return t.fail('no login in the slot');
    t.same(occupant.hostFields, {});
    t.equal(occupant.grant.idToken?.reveal(), alice.idToken, 'the id_token comes home with its grant');
    const hostFields = {
      access: 'x',
      managedBy: 'codex-cli',
      oauthRef: { id: 'x' },
      idToken: 'x',
      type: 'x',
      kept: 1,
    };
    await put(slot, { ...occupant, hostFields });
    t.same(state.slot(), { ...profileOf(alice, '2026.5.7'), kept: 1 });
  },
);

t.test('brings back of old statistics only when the profile was last used', async (t) => {
  const { slot, state } = await bench(t, { release: '2026.5.7', slot: loginOf('alice') });
  const selection = { cooldownUntil: 1000, cooldownReason: 'rate_limit', errorCount: 2, lastUsed: 7 };
  await put(slot, holdingOf(loginOf('bob'), { selection }));
  t.same(state.selection().usageStats, { [SLOT]: { lastUsed: 7 } });
  await put(slot, holdingOf(loginOf('carol'), { selection: { errorCount: 2 } }));
  t.equal(state.selection().usageStats, undefined);
});

t.test('what an upgraded auth-profiles.json still says of the slot does not show through', async (t) => {
  const { slot, files, state } = await bench(t, {
    release: '2026.5.7',
    slot: loginOf('alice'),
    others: { [BOB]: loginOf('bob') },
  });
  edit(files.profiles, (doc) => {
    doc.order = { [PROVIDER]: [BOB], anthropic: ['anthropic:default'] };
    doc.usageStats = {
      [SLOT]: { cooldownUntil: LATER },
      [BOB]: { cooldownUntil: LATER },
      other: { lastUsed: 1 },
    };
  });
  const reading = await slot.read();
  t.match(reading.occupant, { selection: { cooldownUntil: LATER } }, 'it counts while it is there');
  await slot.replace({ expect: reading.revision, put: holdingOf(loginOf('carol')), takeOut: [BOB] });
  const doc = JSON.parse(readFileSync(files.profiles, 'utf8'));
  t.same(doc.order, { anthropic: ['anthropic:default'] });
  t.same(doc.usageStats, { other: { lastUsed: 1 } });
  t.same(Object.keys(state.profiles()), [SLOT]);
  t.equal((await slot.read()).selectable, true);
});

t.test('clearing leaves no trace of the slot in what chooses', async (t) => {
  for (const release of RELEASES) {
    const { slot, state } = await bench(t, {
      release,
      slot: loginOf('alice'),
      others: { [BOB]: loginOf('bob') },
      order: [SLOT, BOB],
      usageStats: { [SLOT]: { lastUsed: 1 }, [BOB]: { lastUsed: 2 } },
    });
    await put(slot, null);
    t.same(Object.keys(state.profiles()), [BOB]);
    t.same(state.selection().order, { [PROVIDER]: [BOB] });
    t.equal(state.selection().lastGood, undefined);
    t.same(state.selection().usageStats, { [BOB]: { lastUsed: 2 } });
  }
});

t.test('a store nobody needs to change is not written', async (t) => {
  const { slot, files } = await bench(t, { release: '2026.5.7', slot: loginOf('alice'), order: [SLOT] });
  const before = [files.profiles, files.state].map((file) => statSync(file, { bigint: true }).ino);
  await put(slot, 'keep');
  t.same(
    [files.profiles, files.state].map((file) => statSync(file, { bigint: true }).ino),
    before,
  );
});

t.test('a store that cannot be understood is refused in one sentence and left as it is', async (t) => {
  const whole = JSON.stringify({ version: 1, profiles: {} }, null, 2);
  const entry = (fields: object) =>
    JSON.stringify({
      version: 1,
      profiles: { [SLOT]: { type: 'oauth', provider: PROVIDER, refresh: CANARY, ...fields } },
    });
  const cases: ReadonlyArray<readonly [name: string, text: string | Buffer, message: RegExp, code?: string]> =
    [
      ['empty', '', /it is empty/],
      ['blank', ' \n', /it is empty/],
      ['half-written', whole.slice(0, -4), /not complete JSON/],
      ['not JSON', '<html>', /it is not JSON$/],
      ['with a byte-order mark', `\ufeff${whole}`, /byte-order mark/],
      ['not UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), /not UTF-8/],
      ['a list', '[]', /holds a list/],
      ['null', 'null', /holds null/],
      ['a string', '"x"', /holds a string/],
      ['without profiles', '{"version":1}', /profiles is missing/],
      ['profiles a list', '{"version":1,"profiles":[]}', /profiles has the wrong type/],
      ['version a text', '{"version":"1","profiles":{}}', /version has the wrong type/],
      ['order a text', '{"version":1,"profiles":{},"order":"x"}', /order has the wrong type/],
      [
        'lastGood of lists',
        '{"version":1,"profiles":{},"lastGood":{"openai-codex":[]}}',
        /lastGood.openai-codex has/,
      ],
      ['usageStats a list', '{"version":1,"profiles":{},"usageStats":[]}', /usageStats has the wrong type/],
      ['the slot a text', `{"version":1,"profiles":{"${SLOT}":"x"}}`, /it is not an object/],
      ['access a number', entry({ access: 5 }), /access has the wrong type/],
      ['expires a text', entry({ access: CANARY, expires: 'soon' }), /expires has the wrong type/],
      ['a newer version', '{"version":2,"profiles":{}}', /format 2/, 'HOST_UNSUPPORTED'],
      [
        'logins of 2026.6.1',
        '{"version":1,"profiles":{"openai:default":{"type":"oauth","provider":"openai"}}}',
        /2026\.6\.1 or later/,
        'HOST_UNSUPPORTED',
      ],
    ];
  const { slot, files, state } = await bench(t, { release: '2026.5.7', slot: loginOf('alice') });
  const { revision } = await slot.read();
  for (const [name, text, message, code = 'SLOT_UNREADABLE'] of cases) {
    writeFileSync(files.profiles, text);
    const before = snapshot(state.dir);
    await t.rejects(slot.read(), { code, message, hint: /./ }, `read: ${name}`);
    // An entry that changed is told as that before anyone asks what it is.
    const codes = new RegExp(`^(${code}|SLOT_CHANGED)$`);
    const change = { expect: revision, put: holdingOf(loginOf('bob')), takeOut: [] };
    await t.rejects(slot.replace(change), { code: codes }, name);
    t.same(snapshot(state.dir), before, `${name}: nothing was written`);
  }
});

t.test('a broken auth-state.json is refused the same way', async (t) => {
  const { slot, files } = await bench(t, { release: '2026.5.7', slot: loginOf('alice') });
  for (const text of ['', '{', '[]', '{"version":1,"usageStats":7}']) {
    writeFileSync(files.state, text);
    await t.rejects(slot.read(), { code: 'SLOT_UNREADABLE', message: /auth-state\.json/ });
  }
});

t.test('a file that is being written is read again until it is whole', async (t) => {
  const { slot, files } = await bench(
    t,
    { release: '2026.3.28', slot: loginOf('alice') },
    { tornMs: 20_000 },
  );
  const whole = readFileSync(files.profiles, 'utf8');
  writeFileSync(files.profiles, whole.slice(0, whole.length / 2));
  const reading = slot.read();
  const timer = setTimeout(() => writeFileSync(files.profiles, whole), 60);
  t.match(await reading, { occupant: { kind: 'login' } });
  clearTimeout(timer);
});

t.test('tells every kind of credential it must not overwrite', async (t) => {
  const alice = loginOf('alice');
  const kinds: ReadonlyArray<readonly [object, RegExp]> = [
    [{ type: 'api_key', key: CANARY }, /an API key$/],
    [{ mode: 'api_key', key: CANARY }, /an API key$/],
    [{ type: 'api_key', keyRef: { source: 'env', id: 'X' } }, /API key behind a SecretRef/],
    [{ type: 'token', token: CANARY }, /fixed token/],
    [{ type: 'token', tokenRef: { source: 'env', id: 'X' } }, /token behind a SecretRef/],
    [{ type: 'oauth', access: { source: 'env', id: 'X' }, refresh: CANARY }, /login behind a SecretRef/],
    [{ type: 'oauth', access: CANARY }, /without a refresh token/],
    [{ type: 'oauth', access: CANARY, refresh: '' }, /without a refresh token/],
    [
      { type: 'oauth', oauthRef: { source: 'openclaw-credentials', id: 'a' } },
      /a sealed login that cannot be opened \(.*oauthRef is of a format not known/,
    ],
    [{ type: 'passkey' }, /unknown kind/],
    [{ type: 'oauth', access: CANARY, refresh: CANARY }, /owner cannot be told \(.*not a JWT/],
    [
      { type: 'oauth', access: alice.access, accountId: loginOf('bob').accountId, refresh: CANARY },
      /owner cannot be told \(.*two different workspaces/,
    ],
    [
      { type: 'oauth', access: alice.access, idToken: loginOf('alice-team').idToken, refresh: CANARY },
      /owner cannot be told \(.*two different workspaces/,
    ],
    [{ type: 'oauth', provider: 'anthropic', access: CANARY, refresh: CANARY }, /another provider/],
  ];
  for (const [fields, what] of kinds) {
    const { slot } = await bench(t, { release: '2026.5.7', slot: { provider: PROVIDER, ...fields } });
    const { occupant } = await slot.read();
    t.match(occupant, { kind: 'foreign', what });
    t.notMatch(JSON.stringify(occupant), CANARY);
  }
});

t.test('a neighbour that cannot be read does not stop a switch of the slot', async (t) => {
  const broken = { type: 'oauth', provider: PROVIDER, access: [CANARY], refresh: CANARY };
  const { slot, state } = await bench(t, {
    release: '2026.5.7',
    slot: loginOf('alice'),
    others: { 'openai-codex:odd': broken },
  });
  const { neighbours } = await slot.read();
  t.match(neighbours, [{ profileId: 'openai-codex:odd', kind: 'foreign', what: /cannot be read/ }]);
  await put(slot, holdingOf(loginOf('bob')));
  t.same(state.profiles()['openai-codex:odd'], broken);
});

t.test('logins still in the older auth.json are not buried', async (t) => {
  const { slot, files } = await bench(t, { release: '2026.3.28', slot: null });
  rmSync(files.profiles);
  writeFileSync(path.join(files.dir, 'auth.json'), '{}');
  t.match((await slot.read()).occupant, { kind: 'foreign', what: /older auth\.json/ });
});

t.test('keeps a file’s link, closes it to others, and makes new ones 0600 in folders of 0700', async (t) => {
  const { slot, files, state } = await bench(t, { release: '2026.5.7', slot: loginOf('alice') });
  const real = path.join(state.dir, 'elsewhere.json');
  renameSync(files.profiles, real);
  symlinkSync(real, files.profiles);
  chmodSync(real, 0o640);
  rmSync(files.state, { force: true });
  await put(slot, holdingOf(loginOf('bob')));
  t.same(readdirSync(files.dir).sort(), ['auth-profiles.json', 'auth-state.json']);
  t.equal(JSON.parse(readFileSync(real, 'utf8')).profiles[SLOT].email, 'bob@example.test');
  t.equal(statSync(real).mode & 0o777, 0o600, 'what others could read they no longer can');
  t.equal(statSync(files.state).mode & 0o777, 0o600);
  t.equal(statSync(path.join(state.dir, 'locks')).mode & 0o777, 0o700);

  rmSync(real);
  await t.rejects(slot.read(), { code: 'SLOT_UNREADABLE', message: /link to a file that does not exist/ });
});

t.test('a store of another user is refused before anything is written', async (t) => {
  const state = makeState(t.testdir({}), { release: '2026.5.7', slot: loginOf('alice') });
  const env = { HOME: state.dir };
  const other = (process.getuid?.() ?? 0) + 1;
  const locate = { env, platform: process.platform, options: { stateDir: state.dir } };
  await t.rejects(locateHost({ ...locate, uid: other }), {
    code: 'HOST_FOREIGN_OWNER',
    message: /belongs to another user/,
    hint: /sudo -u/,
  });
});

t.test('a folder that cannot be written gives one sentence and loses nothing', async (t) => {
  const { slot, files, state } = await bench(t, { release: '2026.3.28', slot: loginOf('alice') });
  const { revision } = await slot.read();
  const before = readFileSync(files.profiles, 'utf8');
  await asPlainUser(state.dir, async () => {
    chmodSync(files.dir, 0o500);
    await t.rejects(slot.replace({ expect: revision, put: holdingOf(loginOf('bob')), takeOut: [] }), {
      code: /^(IO|HOST_FOREIGN_OWNER)$/,
    });
    chmodSync(files.dir, 0o700);
  });
  t.equal(readFileSync(files.profiles, 'utf8'), before);
  t.same(readdirSync(files.dir), ['auth-profiles.json']);
});

/** Root may write anywhere, so as root the work is done as nobody. */
async function asPlainUser(folder: string, work: () => Promise<void>): Promise<void> {
  const nobody = 65_534;
  if (process.getuid?.() !== 0) return await work();
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    chownSync(path.join(folder, name), nobody, nobody);
  }
  chownSync(folder, nobody, nobody);
  process.seteuid?.(nobody);
  try {
    await work();
  } finally {
    process.seteuid?.(0);
  }
}

t.test(
  'what the host writes without its lock, between reading and renaming, is never overwritten',
  async (t) => {
    // 2026.3.28 writes the store without its lock in several places (facts: section 1). The clock is asked in between.
    for (const release of RELEASES) {
      const state = makeState(t.testdir({}), { release, slot: loginOf('alice') });
      const files = state.paths();
      const hostWrites: Array<() => void> = [];
      const slot = await slotOf(
        await locateHost({
          env: { HOME: state.dir },
          platform: process.platform,
          options: { stateDir: state.dir },
          now: () => {
            hostWrites.shift()?.();
            return Date.now();
          },
        }),
      );
      const stats = { 'other:default': { lastUsed: 1 } };
      hostWrites.push(() =>
        edit(stateFile(files, release), (doc) => Object.assign(doc, { usageStats: stats })),
      );
      await put(slot, holdingOf(loginOf('bob')));
      t.equal(state.slot()?.email, 'bob@example.test');
      t.same(state.selection().usageStats, stats, 'statistics the host wrote meanwhile are kept');

      const rotated = profileOf(loginOf('bob', { nonce: 'rotated' }), release);
      const { revision } = await slot.read();
      hostWrites.push(() =>
        edit(files.profiles, (doc) => Object.assign(doc, { profiles: { [SLOT]: rotated } })),
      );
      const carol = holdingOf(loginOf('carol'), { selection: { cooldownUntil: LATER } });
      const change = { expect: revision, put: carol, takeOut: [] };
      await t.rejects(slot.replace(change), { code: 'SLOT_CHANGED' });
      t.same(state.slot(), rotated, 'a login the host rotated meanwhile is kept');
      t.same(state.selection().usageStats, stats, 'and so are its statistics');
    }
  },
);

t.test('a lock of a live process is waited for, named and never taken', async (t) => {
  const { slot, files } = await bench(t, { release: '2026.5.7', slot: loginOf('alice') });
  const { revision } = await slot.read();
  const lock = `${files.profiles}.lock`;
  for (const pid of [process.pid, 1]) {
    writeFileSync(lock, JSON.stringify({ pid, createdAt: new Date().toISOString() }));
    await t.rejects(slot.replace({ expect: revision, put: holdingOf(loginOf('bob')), takeOut: [] }), {
      code: 'HOST_BUSY',
      message: new RegExp(`process ${pid} holds`),
    });
    t.equal(JSON.parse(readFileSync(lock, 'utf8')).pid, pid, 'it is still there');
  }
});

t.test('a lock the host has taken over from us is not removed with ours', async (t) => {
  const { files } = await bench(t, { release: '2026.5.7', slot: loginOf('alice') });
  const lock = `${files.profiles}.lock`;
  const theirs = JSON.stringify({ pid: 1, createdAt: new Date().toISOString() });
  await withHostLocks([storeLock(files.profiles)], { waitMs: 100 }, async () => {
    t.match(JSON.parse(readFileSync(lock, 'utf8')), { pid: process.pid, createdAt: /^\d{4}-.*Z$/ });
    rmSync(lock);
    writeFileSync(lock, theirs);
  });
  t.equal(readFileSync(lock, 'utf8'), theirs);
});

t.test('lets the locks go when the work fails or the wait is called off', async (t) => {
  const { files } = await bench(t, { release: '2026.5.7', slot: loginOf('alice') });
  const lock = `${files.profiles}.lock`;
  const failing = withHostLocks([storeLock(files.profiles)], { waitMs: 100 }, () =>
    Promise.reject(new Error('no')),
  );
  await t.rejects(failing, { message: 'no' });
  t.notOk(existsSync(lock));
  writeFileSync(lock, JSON.stringify({ pid: process.pid, createdAt: new Date().toISOString() }));
  const calledOff = { waitMs: 60_000, signal: AbortSignal.abort(new Error('interrupted')) };
  await t.rejects(
    withHostLocks([storeLock(files.profiles)], calledOff, () => Promise.resolve()),
    { message: 'interrupted' },
  );
});

t.test('goes on as soon as a live holder lets go', async (t) => {
  const { slot, files } = await bench(t, { release: '2026.5.7', slot: loginOf('alice') }, { waitMs: 30_000 });
  const lock = `${files.profiles}.lock`;
  writeFileSync(lock, JSON.stringify({ pid: process.pid, createdAt: new Date().toISOString() }));
  const switched = put(slot, holdingOf(loginOf('bob')));
  setTimeout(() => rmSync(lock), 80);
  t.match(await switched, { occupant: { identity: { email: 'bob@example.test' } } });
  t.notOk(existsSync(lock), 'and leaves none behind');
});

t.test('a lock left by a dead or another, later process is taken over at once', async (t) => {
  const { slot, files } = await bench(t, { release: '2026.5.7', slot: loginOf('alice') });
  const lock = `${files.profiles}.lock`;
  const now = new Date().toISOString();
  const dead = await deadPid();
  const stale = [
    { pid: dead, createdAt: now },
    { pid: process.pid, createdAt: '2020-01-01T00:00:00.000Z' },
    ...(process.platform === 'linux' ? [{ pid: process.pid, createdAt: now, starttime: 1 }] : []),
  ];
  for (const payload of stale) {
    writeFileSync(lock, JSON.stringify(payload));
    await put(slot, holdingOf(loginOf('bob')));
    t.notOk(existsSync(lock));
  }
  writeFileSync(lock, '');
  await t.rejects(put(slot, holdingOf(loginOf('carol'))), { code: 'HOST_BUSY', message: /something holds/ });
  utimesSync(lock, new Date(0), new Date(0));
  await put(slot, holdingOf(loginOf('carol')));
  t.notOk(existsSync(lock), 'one that names nobody goes by its age');
});

t.test('a folder at a lock’s place is named with its remedy and never removed', async (t) => {
  const { slot, files, state } = await bench(t, { release: '2026.5.7', slot: loginOf('alice') });
  const before = readFileSync(files.profiles, 'utf8');
  mkdirSync(`${files.profiles}.lock`);
  await t.rejects(put(slot, holdingOf(loginOf('bob'))), {
    code: 'HOST_BUSY',
    message: /a folder lies where OpenClaw's lock belongs/,
    hint: /rmdir '.*auth-profiles\.json\.lock'/,
  });
  t.ok(existsSync(`${files.profiles}.lock`));
  t.equal(readFileSync(files.profiles, 'utf8'), before);
  t.same(readdirSync(path.join(state.dir, 'locks', 'oauth-refresh')), [], 'the lock taken first is let go');
});

t.test('a pipe at a lock’s place is not waited on for ever', async (t) => {
  const { slot, files } = await bench(t, { release: '2026.5.7', slot: loginOf('alice') });
  await pipeAt(`${files.profiles}.lock`);
  await t.rejects(put(slot, holdingOf(loginOf('bob'))), { code: 'HOST_BUSY', message: /^something holds/ });
});

t.test('locks that cannot be made say why: the file system, not a folder that is missing', async (t) => {
  const folder = t.testdir({});
  const script = `
    const { withHostLocks, refreshLocks } = await import(${JSON.stringify(import.meta.resolve('../../src/openclaw/locks.js'))});
    const locks = refreshLocks(${JSON.stringify(folder)}, 'openai-codex', 'openai-codex:default', '2026.5.7');
    await withHostLocks(locks, { waitMs: 100 }, async () => {}).catch((error) => process.stdout.write(error.message));`;
  const loader = process.execArgv.filter((argument) => argument.includes('typescript'));
  const node = [process.execPath, ...loader, '--input-type=module', '-e', script];
  const readOnly = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"';
  const inside = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', readOnly, folder];
  const namespaces = (await ran([...inside, 'true'])).status === 0;
  if (namespaces) {
    const { status, said } = await ran([...inside, ...node]);
    t.equal(status, 0);
    t.match(said, /^cannot write .*oauth-refresh: the file system is read-only$/);
  } else {
    const { said } = await ran(node.with(-1, script.replace(folder, path.join(folder, 'x'.repeat(300)))));
    t.match(said, /^cannot write .*oauth-refresh: the system said ENAMETOOLONG$/);
  }
  t.same(readdirSync(folder), []);
});

async function pipeAt(file: string): Promise<void> {
  if ((await ran(['mkfifo', file])).status !== 0) throw new Error('mkfifo failed');
}

/** Status -1 when there is no such program. */
async function ran([program = '', ...args]: readonly string[]): Promise<{ status: number; said: string }> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += chunk;
  });
  const status = await new Promise<number>((resolve) => {
    child.once('error', () => resolve(-1));
    child.once('close', (code) => resolve(code ?? -1));
  });
  return { status, said };
}

t.test('takes the refresh lock unless an installed release is known to have none', async (t) => {
  const name = 'sha256-cee1bbaed8073aace8170859a25616882c288ceeaa1119df363bf01cc0cdab65.lock';
  const folder = t.testdir({});
  for (const [release, version] of [
    ['2026.3.28', '2026.3.28'],
    ['2026.3.28', null],
    ['2026.5.7', '2026.5.7'],
    ['2026.5.7', null],
  ] as const) {
    const dir = path.join(folder, `${release}-${version}`);
    const state = makeState(dir, { release, slot: loginOf('alice') });
    const bin = path.join(dir, 'prefix', 'bin');
    if (version !== null) {
      const root = path.join(dir, 'prefix', 'lib', 'node_modules', 'openclaw');
      mkdirSync(root, { recursive: true });
      mkdirSync(bin);
      writeFileSync(path.join(root, 'package.json'), JSON.stringify({ name: 'openclaw', version }));
      writeFileSync(path.join(bin, 'openclaw'), '#!/bin/sh\n', { mode: 0o755 });
    }
    const host = await locateHost({
      env: { HOME: path.join(dir, 'home'), PATH: bin },
      platform: process.platform,
      options: { stateDir: state.dir },
      lock: { waitMs: 300 },
    });
    const locks = path.join(state.dir, 'locks', 'oauth-refresh');
    mkdirSync(locks, { recursive: true });
    const held = JSON.stringify({ pid: process.pid, createdAt: new Date().toISOString() });
    writeFileSync(path.join(locks, name), held);
    const switching = slotOf(host).then((slot) => put(slot, holdingOf(loginOf('bob'))));
    if (version === '2026.3.28') await t.resolves(switching, '3.28 has none');
    else
      await t.rejects(switching, { code: 'HOST_BUSY', message: /oauth-refresh/ }, `${release}, ${version}`);
  }
});

t.test(
  'a login beside the slot that OpenClaw is refreshing is not taken out: its new token would be lost',
  async (t) => {
    const { slot, state } = await bench(t, {
      release: '2026.5.7',
      slot: loginOf('alice'),
      others: { [BOB]: loginOf('bob') },
    });
    const locks = refreshLocks(state.dir, PROVIDER, BOB, '2026.5.7');
    const { revision } = await slot.read();
    const change = { expect: revision, put: 'keep', takeOut: [BOB] } as const;
    await withHostLocks(locks, { waitMs: 100 }, async () => {
      await t.rejects(slot.replace(change), { code: 'HOST_BUSY', message: /oauth-refresh/ });
      await t.resolves(slot.replace({ ...change, takeOut: [] }), 'it does not stop what leaves it alone');
    });
    t.same((await slot.replace(change)).neighbours, []);
  },
);

t.test('the owner file is removed by whoever read it last, and only as it was read', async (t) => {
  const { host, state } = await bench(t, { release: '2026.5.7', slot: null });
  const file = path.join(state.dir, 'codex-router.json');
  const owner = { vaultId: 'one', generation: 1, at: 5 };
  await host.disown(owner);
  await host.claim(owner, null);
  await t.rejects(host.disown({ ...owner, generation: 2 }), { code: 'SLOT_CHANGED' });
  t.same(await host.owner(), owner);
  writeFileSync(file, '{');
  await t.rejects(host.disown(owner), { code: 'HOST_UNREADABLE' });
  t.ok(existsSync(file));
  writeFileSync(file, JSON.stringify({ version: 1, ...owner }));
  await host.disown(owner);
  t.notOk(existsSync(file));
});

t.test('a program that ends while it holds the locks leaves none', async (t) => {
  const folder = t.testdir({ 'auth-profiles.json': '{}' });
  const script = `
    const { withHostLocks, storeLock } = await import(${JSON.stringify(import.meta.resolve('../../src/openclaw/locks.js'))});
    await withHostLocks([storeLock(${JSON.stringify(path.join(folder, 'auth-profiles.json'))})], { waitMs: 100 }, async () => {
      const { readdirSync } = await import('node:fs');
      process.stdout.write(readdirSync(${JSON.stringify(folder)}).join(' '));
      process.exit(3);
    });`;
  const loader = process.execArgv.filter((argument) => argument.includes('typescript'));
  const child = spawn(process.execPath, [...loader, '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += chunk;
  });
  t.equal(await exitOf(child), 3);
  t.equal(said, 'auth-profiles.json auth-profiles.json.lock', 'it was held');
  t.same(readdirSync(folder), ['auth-profiles.json']);
});

async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' });
  await exitOf(child);
  return child.pid ?? 0;
}

async function exitOf(child: ChildProcess): Promise<number | null> {
  return await new Promise((resolve) => child.once('exit', resolve));
}

t.test('no token is in what goes wrong', async (t) => {
  const { slot, files } = await bench(t, { release: '2026.5.7', slot: loginOf('alice') });
  const text = readFileSync(files.profiles, 'utf8');
  writeFileSync(files.profiles, text.slice(0, -9));
  const error = await slot.read().then(
    () => new Error('it was read'),
    (thrown: Error) => thrown,
  );
  t.match(error, { code: 'SLOT_UNREADABLE' });
  t.notMatch(`${error.message} ${error.stack} ${JSON.stringify(error)} ${error.cause}`, CANARY);
  writeFileSync(files.profiles, text);
  t.notMatch(JSON.stringify([await slot.read(), shown({ kind: 'absent' })]), CANARY);
});
