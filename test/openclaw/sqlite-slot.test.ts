import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { locateHost } from '../../src/openclaw/locate.js';
import { Secret } from '../../src/secret.js';
import type { Host } from '../../src/slot/host.js';
import type { Slot } from '../../src/slot/slot.js';
import { holdingOf, type SlotBench, shown, slotPromises } from '../contract/slot.js';
import {
  entryOf,
  loginOf,
  makeSqliteState,
  SLOT,
  SQLITE_RELEASES,
  type SqliteState,
  type SqliteStateOptions,
  withDatabase,
} from './sqlite-state.js';

const LATER = 4_102_444_800_000;
const BOB = 'openai:bob@example.test';
const alice = loginOf('alice');
const bob = loginOf('bob');
const carol = loginOf('carol');

async function locate(
  state: SqliteState,
  more: { waitMs?: number; signal?: AbortSignal } = {},
): Promise<Host> {
  return await locateHost({
    env: { HOME: path.join(state.dir, 'home') },
    platform: process.platform,
    options: { stateDir: state.dir },
    lock: { waitMs: more.waitMs ?? 300, ...(more.signal && { signal: more.signal }) },
  });
}

function stateIn(t: Test, options: SqliteStateOptions): SqliteState {
  const dir = realpathSync(mkdtempSync(path.join(tmpdir(), 'codex-router-sqlite-')));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return makeSqliteState(dir, options);
}

async function bench(t: Test, options: SqliteStateOptions) {
  const state = stateIn(t, options);
  t.teardown(() => {
    // Before the folder goes: teardowns run in reverse, and fail their test when they throw.
    const whole = state.integrity();
    if (whole !== 'ok') throw new Error(`a database is not whole: ${whole}`);
  });
  const host = await locate(state);
  return { state, host, slot: await slotOf(host) };
}

async function slotOf(host: Host, agent = 'main'): Promise<Slot> {
  return (await host.slotsFor(agent)).main;
}

async function put(slot: Slot, login: ReturnType<typeof loginOf>) {
  const { revision } = await slot.read();
  return await slot.replace({ expect: revision, put: holdingOf(login), takeOut: [] });
}

function fence(failed: boolean) {
  const mark = (what: string) =>
    `openclaw-oauth-refresh-fence:v1:${'a'.repeat(32)}:${failed ? 'failed:' : ''}${what}:${'b'.repeat(64)}`;
  const { access: _access, refresh: _refresh, ...rest } = entryOf(alice);
  return { ...rest, access: mark('access'), refresh: mark('refresh'), expires: 1 };
}

for (const release of SQLITE_RELEASES) {
  t.test(`the slot of ${release} keeps what every slot promises`, async (t) => {
    slotPromises(
      t,
      async (t): Promise<SlotBench> => {
        const { state, host, slot } = await bench(t, { release });
        return {
          slot,
          own: (n) => host.ownSlot('main', n),
          hostPuts: (id, entry) => {
            if (entry === null || entry === 'api-key' || entry === 'untold') {
              const key = { type: 'api_key', provider: 'openai', key: 'sk-CANARY' };
              const untold = { ...entryOf(alice), access: 'opaque-CANARY' };
              return state.put(id, entry === null ? null : entry === 'api-key' ? key : untold);
            }
            const { identity, grant, hostFields } = entry;
            return state.put(id, {
              ...hostFields,
              type: 'oauth',
              provider: 'openai',
              access: grant.accessToken.reveal(),
              refresh: grant.refreshToken.reveal(),
              expires: grant.expiresAt,
              email: identity.email,
              accountId: identity.accountId,
              ...(identity.plan === null ? {} : { chatgptPlanType: identity.plan }),
            });
          },
          hostOrders: (order, lastGood) =>
            state.choose({
              order: { openai: order },
              lastGood: lastGood === null ? {} : { openai: lastGood },
            }),
        };
      },
      'openai',
    );
  });

  t.test(
    `${release}: a switch changes the one entry and what chooses it, and not a byte beside it`,
    async (t) => {
      const { state, slot } = await bench(t, {
        release,
        profiles: {
          [SLOT]: { ...entryOf(alice), copyToAgents: false },
          'anthropic:default': { type: 'api_key', provider: 'anthropic', key: 'sk-CANARY', odd: [1] },
          [BOB]: bob,
        },
        selection: {
          order: { anthropic: ['anthropic:default'] },
          usageStats: { 'anthropic:default': { lastUsed: 7 } },
          odd: { kept: true },
        },
      });
      const modes = [state.stateDatabase, state.agentDatabase()].map((file) => statSync(file).mode);
      const after = await put(slot, carol);
      t.same(shown(after.occupant), shown({ ...holdingOf(carol) }));
      t.same(state.profiles()['anthropic:default'], {
        type: 'api_key',
        provider: 'anthropic',
        key: 'sk-CANARY',
        odd: [1],
      });
      t.same(state.profiles()[BOB], entryOf(bob));
      t.notOk(
        'copyToAgents' in (state.profiles()[SLOT] ?? {}),
        'fields of the entry leave with their identity',
      );
      t.match(state.selection(), {
        order: { anthropic: ['anthropic:default'], openai: [SLOT] },
        lastGood: { openai: SLOT },
        usageStats: { 'anthropic:default': { lastUsed: 7 } },
        odd: { kept: true },
      });
      t.same(
        [state.stateDatabase, state.agentDatabase()].map((file) => statSync(file).mode),
        modes,
      );
      withDatabase(state.store, (db) =>
        t.equal(db.prepare('PRAGMA journal_mode').get()?.journal_mode, 'wal'),
      );
    },
  );

  t.test(`${release}: looking leaves no file behind and changes none`, async (t) => {
    const { state, slot } = await bench(t, { release, profiles: { [SLOT]: alice } });
    const before = snapshot(state.dir);
    await slot.read();
    await locate(state);
    t.same(snapshot(state.dir), before);
  });

  t.test(`${release}: a block of the outgoing account leaves with it and comes back with it`, async (t) => {
    const blocked = {
      blockedUntil: LATER,
      blockedReason: 'subscription_limit',
      blockedSource: 'wham',
      lastUsed: 3,
    };
    const { state, slot } = await bench(t, {
      release,
      profiles: { [SLOT]: alice },
      selection: { usageStats: { [SLOT]: blocked } },
    });
    const reading = await slot.read();
    t.match(reading.occupant, { kind: 'login', selection: blocked });
    await put(slot, carol);
    t.notOk(
      (state.selection().usageStats as object | undefined) &&
        SLOT in (state.selection().usageStats as object),
    );
    const back = await slot.read();
    if (reading.occupant.kind !== 'login') throw new Error('no login');
    await slot.replace({ expect: back.revision, put: { ...reading.occupant }, takeOut: [] });
    t.match(state.selection(), { usageStats: { [SLOT]: blocked } });
  });

  t.test(
    `${release}: what the upgrade left under the old provider's name is mended with the choice`,
    async (t) => {
      const { state, slot } = await bench(t, {
        release,
        profiles: { [SLOT]: alice },
        selection: {
          order: { 'openai-codex': ['openai-codex:default'], openai: [SLOT] },
          lastGood: { 'openai-codex': 'openai-codex:default', openai: SLOT },
          usageStats: { 'openai-codex:default': { lastUsed: 1 } },
        },
      });
      const reading = await slot.read();
      t.equal(reading.selectable, false);
      const after = await slot.replace({ expect: reading.revision, put: 'keep', takeOut: [] });
      t.equal(after.selectable, true);
      t.same(state.selection(), { version: 1, order: { openai: [SLOT] }, lastGood: { openai: SLOT } });
    },
  );

  t.test(
    `${release}: an API key of the provider stays behind the slot, another login does not`,
    async (t) => {
      const key = { type: 'api_key', provider: 'openai', key: 'sk-CANARY' };
      const { state, slot } = await bench(t, {
        release,
        profiles: { [SLOT]: alice, [BOB]: bob, 'openai:key': key },
        selection: { order: { openai: [BOB, 'openai:key', SLOT] }, lastGood: { openai: BOB } },
      });
      t.equal((await slot.read()).selectable, false);
      t.equal((await put(slot, carol)).selectable, true);
      t.match(state.selection(), { order: { openai: [SLOT, 'openai:key'] }, lastGood: { openai: SLOT } });
    },
  );

  t.test(
    `${release}: tells a refresh that runs from one that failed, and neither from a login`,
    async (t) => {
      const { state, slot } = await bench(t, { release, profiles: { [SLOT]: fence(false) } });
      t.same((await slot.read()).occupant, { kind: 'refreshing', accountId: alice.accountId });
      state.put(SLOT, fence(true));
      t.match((await slot.read()).occupant, { kind: 'lost', accountId: alice.accountId });
      t.match((await put(slot, bob)).occupant, { kind: 'login', identity: { userId: bob.userId } });
      state.put(BOB, fence(true));
      t.match((await slot.read()).neighbours, [{ profileId: BOB, kind: 'foreign' }]);
    },
  );

  t.test(
    `${release}: refuses while OpenClaw's doctor holds its lease, and not after it ran out`,
    async (t) => {
      const { state, slot } = await bench(t, { release, profiles: { [SLOT]: alice } });
      const lease = (until: number | null) =>
        withDatabase(state.stateDatabase, (db) =>
          db
            .prepare(
              "INSERT OR REPLACE INTO state_leases (scope, lease_key, owner, expires_at, created_at, updated_at) VALUES ('core:agent-database-maintenance', 'global', 'doctor', ?, 1, 1)",
            )
            .run(until),
        );
      for (const until of [null, Date.now() + 60_000]) {
        lease(until);
        await t.rejects(put(slot, bob), { code: 'HOST_BUSY', message: /maintenance/ });
      }
      t.match(state.profiles()[SLOT], { refresh: alice.refresh });
      lease(Date.now() - 1);
      await put(slot, bob);
      t.match(state.profiles()[SLOT], { refresh: bob.refresh });
    },
  );

  t.test(`${release}: waits for another writer, and gives up with nothing written`, async (t) => {
    const { state, slot } = await bench(t, { release, profiles: { [SLOT]: alice } });
    const { revision } = await slot.read();
    const writer = await hold(t, state.store);
    await t.rejects(slot.replace({ expect: revision, put: holdingOf(bob), takeOut: [] }), {
      code: 'HOST_BUSY',
    });
    const patient = await slotOf(await locate(state, { waitMs: 20_000 }));
    const waiting = patient.replace({ expect: revision, put: holdingOf(bob), takeOut: [] });
    await writer.release();
    t.match((await waiting).occupant, { kind: 'login', identity: { userId: bob.userId } });
  });

  t.test(`${release}: reads and writes over the log a dead process left`, async (t) => {
    const { state, slot } = await bench(t, { release, profiles: { [SLOT]: alice } });
    const dead = await hold(
      t,
      state.store,
      `INSERT INTO schema_meta (meta_key, role, schema_version, created_at, updated_at) VALUES ('left', 'x', 1, 1, 1)`,
    );
    await dead.kill();
    t.ok(existsSync(`${state.store}-wal`) && statSync(`${state.store}-wal`).size > 0, 'it left its log');
    t.match((await slot.read()).occupant, { identity: { userId: alice.userId } });
    await put(slot, bob);
    t.notOk(existsSync(`${state.store}-wal`), 'and tidied it away, as the last one to close');
    withDatabase(state.store, (db) =>
      t.match(db.prepare("SELECT role FROM schema_meta WHERE meta_key = 'left'").get(), { role: 'x' }),
    );
  });

  t.test(`${release}: says of a damaged database that it is, and touches nothing`, async (t) => {
    const state = stateIn(t, { release, profiles: { [SLOT]: alice } });
    withDatabase(state.store, (db) => db.exec('PRAGMA wal_checkpoint(TRUNCATE)'));
    const { size } = statSync(state.store);
    const bytes = readFileSync(state.store);
    bytes.fill(0xee, 100, 4096);
    writeFileSync(state.store, bytes);
    const before = readFileSync(state.store);
    await t.rejects(locate(state), { code: 'SLOT_UNREADABLE', message: /damaged/ });
    writeFileSync(state.store, 'this is no database, and it is long enough to be looked at'.repeat(100));
    await t.rejects(locate(state), { code: 'SLOT_UNREADABLE' });
    writeFileSync(state.store, before);
    truncateSync(state.store, size - 5000);
    await t.rejects(locate(state), { code: 'SLOT_UNREADABLE' });
  });

  t.test(`${release}: a row that is not an object is an error, never an empty store`, async (t) => {
    const { state, slot } = await bench(t, { release, profiles: { [SLOT]: alice } });
    const [table, column] =
      release === '2026.7.35' ? ['auth_profile_store', 'store_json'] : ['config_machine_state', 'value_json'];
    const where = release === '2026.7.35' ? '' : "WHERE state_key = 'authProfiles.store'";
    for (const text of ['[]', '{"version":1,"profiles":', '']) {
      withDatabase(state.store, (db) => db.prepare(`UPDATE ${table} SET ${column} = ? ${where}`).run(text));
      await t.rejects(slot.read(), { code: 'SLOT_UNREADABLE' });
    }
  });
}

t.test(
  'a state on a read-only disk is read, and a switch says that it cannot be written',
  { skip: process.getuid?.() === 0 ? false : 'needs root' },
  async (t) => {
    const { execFileSync } = await import('node:child_process');
    const state = stateIn(t, { release: '2026.9.6', profiles: { [SLOT]: alice } });
    execFileSync('mount', ['--bind', state.dir, state.dir]);
    t.teardown(() => execFileSync('umount', ['--lazy', state.dir]));
    execFileSync('mount', ['-o', 'remount,ro,bind', state.dir]);
    const slot = await slotOf(await locate(state));
    t.match((await slot.read()).occupant, { identity: { userId: alice.userId } });
    await t.rejects(put(slot, bob), { code: 'IO' });
  },
);

t.test(
  'a database of another user is refused before anything is written',
  { skip: process.getuid?.() === 0 ? false : 'needs root' },
  async (t) => {
    const { state, slot } = await bench(t, { release: '2026.9.6', profiles: { [SLOT]: alice } });
    chownSync(state.store, 4321, 4321);
    await t.rejects(put(slot, bob), { code: 'HOST_FOREIGN_OWNER', hint: /sudo -u '#4321'/ });
    chownSync(state.store, 0, 0);
    chmodSync(state.store, 0o600);
  },
);

t.test(
  'agents: one without an entry reads through to main, one with its own is switched alone',
  async (t) => {
    for (const release of SQLITE_RELEASES) {
      const { state, host } = await bench(t, {
        release,
        profiles: { [SLOT]: alice },
        agents: { research: { profiles: { [SLOT]: bob } }, reader: {}, idle: null },
      });
      const main = await host.slotsFor('main');
      t.same(
        main.follows,
        ['main', 'idle', 'reader'].sort((a, b) => host.agents.indexOf(a) - host.agents.indexOf(b)),
        release,
      );
      t.equal(main.tied, false);
      const research = await host.slotsFor('research');
      t.same(research.follows, ['research']);
      await put(research.main, carol);
      t.match(state.profiles('research')[SLOT], { refresh: carol.refresh });
      t.match(state.profiles()[SLOT], { refresh: alice.refresh }, 'main keeps its own');
      const idle = await host.slotsFor('idle');
      t.not(idle.main, main.main, 'an agent asked for by name gets its own');
      await t.rejects(put(idle.main, bob), { code: 'HOST_UNSUPPORTED', message: /no database yet/ });
    }
  },
);

t.test(
  'an agent that only orders by itself is mended with main, so that its turns land on the slot',
  async (t) => {
    for (const release of SQLITE_RELEASES) {
      const { state, host } = await bench(t, {
        release,
        profiles: { [SLOT]: alice, [BOB]: bob },
        agents: {
          reader: {
            profiles: { 'anthropic:default': { type: 'api_key', provider: 'anthropic', key: 'sk-CANARY' } },
            selection: {
              order: { openai: [BOB], anthropic: ['x'] },
              usageStats: { [SLOT]: { blockedUntil: LATER } },
            },
          },
        },
      });
      const { choosers } = await host.slotsFor('main');
      t.equal(choosers.length, 1, release);
      const [chooser] = choosers;
      if (chooser === undefined) return;
      const reading = await chooser.read();
      t.match(reading, { occupant: { kind: 'absent' }, selectable: false });
      const after = await chooser.replace({ expect: reading.revision, put: 'keep', takeOut: [] });
      t.match(after, { occupant: { kind: 'absent' }, selectable: true });
      t.same(state.selection('reader'), { version: 1, order: { anthropic: ['x'] } });
      t.same((await host.slotsFor('main')).choosers, []);
    }
  },
);

t.test('a failed fence tells by its digest which token was sent', async (t) => {
  const generation = ['openclaw.oauth-refresh-generation', 1, SLOT, 'openai', 'refresh', alice.refresh];
  const digest = createHash('sha256').update(JSON.stringify(generation)).digest('hex');
  const mark = (what: string) => `openclaw-oauth-refresh-fence:v1:${'a'.repeat(32)}:failed:${what}:${digest}`;
  const entry = { ...entryOf(alice), access: mark('access'), refresh: mark('refresh'), expires: 1 };
  const { slot } = await bench(t, { release: '2026.9.6', profiles: { [SLOT]: entry } });
  const { occupant } = await slot.read();
  if (occupant.kind !== 'lost') return t.fail('not lost');
  t.equal(occupant.accountId, alice.accountId);
  t.equal(occupant.spent(new Secret(alice.refresh)), true);
  t.equal(occupant.spent(new Secret(bob.refresh)), false);
});

t.test(
  'an agent that chose a login of its own under another id keeps it, until it is the one meant',
  async (t) => {
    for (const release of SQLITE_RELEASES) {
      const selection = { order: { openai: ['openai:work'] }, lastGood: { openai: 'openai:work' } };
      const research = { profiles: { 'openai:work': carol }, selection };
      const { host } = await bench(t, { release, profiles: { [SLOT]: alice }, agents: { research } });
      const main = await host.slotsFor('main');
      t.same([main.follows, main.choosers], [['main'], []], release);
      const group = await host.slotsFor('research');
      t.same(group.follows, ['research']);
      t.match(await put(group.main, bob), {
        selectable: true,
        occupant: { identity: { userId: bob.userId } },
        neighbours: [{ profileId: 'openai:work' }],
      });
    }
  },
);

t.test('a damaged database of another agent stops nobody but that agent', async (t) => {
  for (const release of SQLITE_RELEASES) {
    const research = { profiles: { [SLOT]: bob } };
    const state = stateIn(t, { release, profiles: { [SLOT]: alice }, agents: { research } });
    writeFileSync(state.agentDatabase('research'), 'this is no database'.repeat(100));
    const host = await locate(state);
    const after = await put((await host.slotsFor('main')).main, carol);
    t.match(after, { occupant: { identity: { userId: carol.userId } } });
    await t.rejects(host.slotsFor('research'), { code: 'SLOT_UNREADABLE' });
  }
});

t.test('a database that may not be written is refused before a log is made beside it', async (t) => {
  const { state, slot } = await bench(t, { release: '2026.9.6', profiles: { [SLOT]: alice } });
  const { revision } = await slot.read();
  const before = snapshot(state.dir);
  // Root may write anything: another user's process is asked.
  const script = `
    const { openDatabases } = await import(${JSON.stringify(import.meta.resolve('../../src/openclaw/sqlite.js'))});
    process.setgid(65534); process.setuid(65534);
    await openDatabases().write(process.argv[1], 'SLOT_UNREADABLE', { waitMs: 0 }, () => 1).catch((error) => console.log(error.code));`;
  chmodSync(state.dir, 0o755);
  chmodSync(path.join(state.dir, 'state'), 0o777);
  chmodSync(state.store, 0o444);
  const loader = process.execArgv.filter((argument) => argument.includes('typescript'));
  const run = spawnSync(process.execPath, [...loader, '--input-type=module', '-e', script, state.store], {
    encoding: 'utf8',
  });
  t.equal(run.stdout.trim(), 'IO', run.stderr);
  t.notOk(existsSync(`${state.store}-wal`));
  chmodSync(state.store, 0o600);
  chmodSync(path.join(state.dir, 'state'), 0o700);
  chmodSync(state.dir, 0o700);
  t.same(Object.keys(snapshot(state.dir)), Object.keys(before));
  await slot.replace({ expect: revision, put: holdingOf(bob), takeOut: [] });
});

/** Another process inside a write transaction of its own. */
async function hold(t: Test, file: string, more = 'SELECT 1') {
  const script = `const { DatabaseSync } = require('node:sqlite'); const d = new DatabaseSync(process.argv[1]);
    d.exec('BEGIN IMMEDIATE'); d.exec(process.argv[2]); if (process.argv[2] !== 'SELECT 1') d.exec('COMMIT'); console.log('held');
    process.stdin.once('data', () => { d.close(); process.exit(0); });`;
  const child = spawn(process.execPath, ['--no-warnings', '-e', script, file, more], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {},
  });
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  await new Promise<void>((resolve) => child.stdout.once('data', () => resolve()));
  return {
    release: async () => {
      child.stdin.write('go');
      await ended;
    },
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Every file below a folder: its name, mode, time and bytes. */
function snapshot(folder: string): Record<string, string> {
  const all: Record<string, string> = {};
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const found = statSync(path.join(folder, name));
    if (found.isFile())
      all[name] =
        `${found.mode} ${found.mtimeMs} ${readFileSync(path.join(folder, name)).toString('base64')}`;
  }
  return all;
}
