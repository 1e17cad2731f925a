import { closeSync, existsSync, openSync, readdirSync, readFileSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { type NativeState, nativeState } from '../kit/native.js';
import { real, type Tester } from '../kit/real.js';
import { type Release, releasesToRun } from '../kit/releases.js';
import { leaksOf, PROJECT, program, router, type Sandbox, sandbox } from '../kit/router.js';
import { query, sql, sqlAndDie } from '../kit/sqlite.js';
import { writeJson } from '../kit/state.js';
import { codexAuthJson, type Login, loginOf } from '../kit/tokens.js';

type Assert = Pick<typeof t, 'equal' | 'match' | 'notMatch' | 'ok' | 'strictSame'>;

/** One release of each SQLite layout, and the schema version it stamps on the database that holds the logins. */
const LAYOUTS = releasesToRun().filter((release) => ['2026.7.35', '2026.9.6'].includes(release));

/** A made state, a login in codex-router's store that could be used, and the one command under test. */
async function host(t: Tester, release: Release) {
  const box = sandbox(t);
  box.env.CODEX_ROUTER_KEY = 'file';
  const node = real(t, 'node24')?.node24;
  const state = await nativeState(t, box, release);
  if (!state || !node) return null;
  const bob = loginOf('bob');
  await router(box, ['import', '--from', '-', '--json'], { node, input: codexAuthJson(bob) });
  return {
    box,
    state,
    node,
    bob,
    use: async (who: Login, ...more: string[]) =>
      (await router(box, ['use', who.accountId, '--json', ...more], { node })).json,
  };
}

/** Where the logins of agent main are. */
function storeOf({ traits, shared, database }: NativeState): string {
  return traits.layout === 'sqlite-shared' ? shared : database();
}

/** Every file of the state directory by content, databases too, but for our own that says which vault routes it: a refusal leaves each byte as it was. An empty log is no log. */
function bytesOf(dir: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(dir, { withFileTypes: true, recursive: true })
      .filter(({ name }) => name !== 'codex-router.json')
      .filter((entry) => entry.isFile() && !entry.name.endsWith('-shm'))
      .map((entry) => path.join(entry.parentPath, entry.name))
      .filter((file) => !file.endsWith('-wal') || statSync(file).size > 0)
      .map((file) => [path.relative(dir, file), readFileSync(file).toString('latin1')]),
  );
}

/** That nothing of the host was written, and no token anywhere else. */
function untouched(t: Assert, box: Sandbox, before: Record<string, string>): void {
  const after = bytesOf(box.stateDir);
  t.strictSame(Object.keys(after).sort(), Object.keys(before).sort(), 'the same files');
  for (const [file, content] of Object.entries(before)) t.ok(after[file] === content, `${file} as it was`);
  t.strictSame(leaksOf(box), []);
}

for (const release of LAYOUTS) {
  t.test(`${release}: a schema version without a fixture is named, and not written`, async (t) => {
    const there = await host(t, release);
    if (!there) return;
    const { box, state, bob, use } = there;
    sql(storeOf(state), [
      ['PRAGMA user_version = 99'],
      ["UPDATE schema_meta SET schema_version = 99 WHERE meta_key = 'primary'"],
    ]);
    // The installed release is asked, and it may write its log.
    const { rest: _, ...before } = state.snapshot();
    const refused = await use(bob);
    t.match(refused, { ok: false, error: { code: /^(HOST_|SLOT_UNREADABLE)/ } });
    t.match(JSON.stringify(refused.error), /\b99\b/, 'the version is named');
    const { rest: __, ...after } = state.snapshot();
    t.strictSame(after, before);
    t.strictSame(leaksOf(box), []);
    t.strictSame(state.integrity(), []);
  });

  t.test(`${release}: while OpenClaw holds its maintenance lease, nothing is written`, async (t) => {
    const there = await host(t, release);
    if (!there) return;
    const { box, state, bob, use } = there;
    const lease = (until: number): void => {
      const now = Date.now();
      const given: Record<string, string | number> = {
        scope: 'core:agent-database-maintenance',
        lease_key: 'global',
        expires_at: until,
      };
      const row = query(state.shared, 'PRAGMA table_info(state_leases)').flatMap((column) => {
        const name = String(column.name);
        if (name in given) return [[name, given[name] ?? null] as const];
        if (column.notnull === 0) return [];
        return [[name, column.type === 'INTEGER' ? now : 'test'] as const];
      });
      sql(state.shared, [
        ['DELETE FROM state_leases'],
        [
          `INSERT INTO state_leases (${row.map(([name]) => name).join()}) VALUES (${row.map(() => '?').join()})`,
          ...row.map(([, value]) => value),
        ],
      ]);
    };
    lease(Date.now() + 60_000);
    const before = bytesOf(box.stateDir);
    t.match(await use(bob), { ok: false, error: { code: 'HOST_BUSY', message: /maintenance/ } });
    untouched(t, box, before);
    lease(Date.now() - 1000);
    t.match(await use(bob), { result: 'switched' }, 'a lease that has run out stops nobody');
    t.match(state.slot(), { refresh: bob.refresh });
    t.strictSame(state.integrity(), []);
  });

  t.test(`${release}: a damaged database is refused, never taken for an empty one`, async (t) => {
    const there = await host(t, release);
    if (!there) return;
    const { box, state, bob, use } = there;
    const file = storeOf(state);
    const table = state.traits.layout === 'sqlite-shared' ? 'config_machine_state' : 'auth_profile_store';
    const [{ rootpage } = {}] = query(file, 'SELECT rootpage FROM sqlite_schema WHERE name = ?', table);
    const [{ page_size: size } = {}] = query(file, 'PRAGMA page_size');
    const handle = openSync(file, 'r+');
    writeSync(
      handle,
      Buffer.alloc(Number(size), 0xa5),
      0,
      Number(size),
      (Number(rootpage) - 1) * Number(size),
    );
    closeSync(handle);
    const before = bytesOf(box.stateDir);
    t.match(await use(bob), { ok: false, error: { code: 'SLOT_UNREADABLE', message: /damaged/ } });
    const empty = await router(box, ['status', '--json'], { node: there.node });
    t.notMatch(empty.json, { slots: [{ occupant: null }] }, 'nor shown as empty');
    untouched(t, box, before);
  });

  t.test(
    `${release}: on read-only media the refusal says so, and the login that would go out is not lost`,
    async (t) => {
      const there = await host(t, release);
      if (!there) return;
      const { box, state, node, bob } = there;
      const before = bytesOf(box.stateDir);
      const mounted = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"';
      const { json } = await program(
        box,
        [
          'unshare',
          '--map-root-user',
          '--mount',
          'sh',
          '-c',
          mounted,
          box.stateDir,
          node,
          path.join(PROJECT, 'dist', 'codex-router.js'),
        ],
        ['use', bob.accountId, '--json'],
      );
      t.match(json, { ok: false, error: { code: 'IO', message: /read-only/ } });
      untouched(t, box, before);
      t.strictSame(state.integrity(), []);
    },
  );

  t.test(`${release}: what a killed process left in the log is what is checked in`, async (t) => {
    const there = await host(t, release);
    if (!there) return;
    const { box, state, bob, use } = there;
    const rotated = loginOf('alice', { nonce: 'rotated' });
    const file = storeOf(state);
    const [table, column] =
      state.traits.layout === 'sqlite-shared'
        ? ['config_machine_state', 'value_json']
        : ['auth_profile_store', 'store_json'];
    const { access, refresh, expires } = rotated;
    const place = `$.profiles."${state.traits.slot}"`;
    sqlAndDie(file, [
      [
        `UPDATE ${table} SET ${column} = json_set(${column}, '${place}.access', ?, '${place}.refresh', ?, '${place}.expires', ?)
         WHERE json_extract(${column}, '${place}.refresh') IS NOT NULL`,
        ...[access, refresh, expires],
      ],
    ]);
    t.ok(existsSync(`${file}-wal`) && statSync(`${file}-wal`).size > 0, 'the change is in the log alone');
    t.match(await use(bob), { result: 'switched', from: { userId: rotated.userId } });
    t.match(state.slot(), { refresh: bob.refresh });
    t.match(await use(rotated), { result: 'switched' });
    t.match(state.slot(), { access, refresh, expires }, 'the rotated login came back');
    t.strictSame(leaksOf(box), []);
    t.strictSame(state.integrity(), []);
  });

  t.test(`${release}: an agent that does not exist is named with those that do`, async (t) => {
    const there = await host(t, release);
    if (!there) return;
    const { box, bob, use } = there;
    const before = bytesOf(box.stateDir);
    const refused = await use(bob, '--agent', 'nobody');
    t.match(refused, { ok: false, error: { code: 'AGENT_NOT_FOUND', message: /nobody/, hint: /main/ } });
    untouched(t, box, before);
  });

  t.test(`${release}: JSON that appears after the migration is told, and never written`, async (t) => {
    const there = await host(t, release);
    if (!there) return;
    const { box, state, bob, use } = there;
    const carol = loginOf('carol');
    const file = state.paths().profiles;
    writeJson(file, {
      version: 1,
      profiles: {
        'openai-codex:default': { type: 'oauth', provider: 'openai-codex', refresh: carol.refresh },
      },
    });
    const before = bytesOf(box.stateDir);
    const answer = await use(bob);
    if (state.traits.layout === 'sqlite-shared') {
      t.match(answer, { ok: false, error: { code: 'HOST_UNSUPPORTED', hint: /openclaw doctor --fix/ } });
      untouched(t, box, before);
    } else {
      t.match(answer, { result: 'switched' });
      t.match(JSON.stringify(answer.notes), /leftover/, 'it is said');
      t.equal(readFileSync(file, 'latin1'), before[path.relative(box.stateDir, file)]);
      t.match(state.slot(), { refresh: bob.refresh });
    }
    t.strictSame(state.integrity(), []);
  });
}

if (LAYOUTS.includes('2026.9.6')) {
  t.test(
    '2026.9.6: a session row that is marked invalid is left to OpenClaw; the switch is not half done',
    async (t) => {
      const there = await host(t, '2026.9.6');
      if (!there) return;
      const { state, box, bob, use } = there;
      const key = 'agent:main:main';
      sql(state.database(), [['UPDATE session_nodes SET entry_valid = 0 WHERE session_key = ?', key]]);
      const before = state.snapshot();
      const answer = await use(bob);
      const after = state.snapshot();
      t.strictSame(after.sessions.main?.[key], before.sessions.main?.[key], 'the row is as it was');
      t.match(JSON.stringify(answer), /doctor --fix/, 'the remedy is told');
      const switched = answer.ok === true;
      t.match(
        state.slot(),
        { refresh: switched ? bob.refresh : state.logins.slot.refresh },
        'what was said is so',
      );
      t.strictSame(after.rest, before.rest);
      t.strictSame(leaksOf(box), []);
      t.strictSame(state.integrity(), []);
    },
  );
}
