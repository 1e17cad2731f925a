import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { router, sandbox } from '../kit/router.js';
import {
  CHATS,
  entryOf,
  loginOf,
  makeSqliteState,
  openDatabase,
  SLOT,
  SQLITE_RELEASES,
  type SqliteStateOptions,
  withDatabase,
} from './sqlite-state.js';

const alice = loginOf('alice');
const bob = loginOf('bob');
const carol = loginOf('carol');

interface Store {
  readonly path: string;
  readonly holds: string;
  readonly state: string;
  readonly schema: number | null;
  readonly profiles: readonly string[];
  readonly trouble: string | null;
}

function host(t: Test, options: SqliteStateOptions) {
  const box = sandbox(t);
  mkdirSync(box.stateDir, { mode: 0o700 });
  const state = makeSqliteState(box.stateDir, options);
  const look = async (...more: string[]) => (await router(box, ['host', '--json', ...more])).json;
  const stores = async () =>
    (await look()).stores.map(({ path: file, holds, state: is, schema, profiles }: Store) =>
      [path.relative(state.dir, file), holds, is, schema, ...profiles].join(' '),
    );
  return { box, state, look, stores };
}

/** Everything below a folder, byte for byte. */
function contents(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort()
    .map((file) => `${file} ${createHash('sha256').update(readFileSync(file)).digest('hex')}`);
}

const SCHEMAS = { '2026.7.35': [1, 1], '2026.8.1': [15, 19], '2026.9.6': [18, 23] } as const;

for (const release of SQLITE_RELEASES) {
  t.test(
    `${release}: names each store, its schema, and the agents whose own login shadows main’s`,
    async (t) => {
      const { box, state, look, stores } = host(t, {
        release,
        profiles: { [SLOT]: alice, 'openai:bob': bob },
        agents: { research: { profiles: { [SLOT]: carol } }, ops: {}, new: null },
        sessions: CHATS,
      });
      const before = contents(state.dir);
      const found = await look();
      const shared = release !== '2026.7.35';
      t.match(found, {
        layout: shared ? 'sqlite-shared' : 'sqlite-agent',
        provider: 'openai',
        profileId: SLOT,
        via: 'direct',
        refusal: null,
        agents: [
          { id: 'main', runsOn: 'main' },
          { id: 'research', runsOn: 'own' },
          { id: 'ops', runsOn: 'main' },
          { id: 'new', runsOn: 'main' },
        ],
      });
      const [stateSchema, agentSchema] = SCHEMAS[release];
      const own = (agent: string) => `agents/${agent}/agent/openclaw-agent.sqlite`;
      const agentStores = (agent: string, state: string, ...ids: string[]) => [
        [own(agent), 'logins', state, agentSchema, ...ids].join(' '),
        ...(shared ? [`${own(agent)} sessions ${agent === 'main' ? 'used' : 'empty'} ${agentSchema}`] : []),
      ];
      t.strictSame(await stores(), [
        `state/openclaw.sqlite logins ${shared ? 'used' : 'empty'} ${stateSchema}${shared ? ` ${SLOT} openai:bob` : ''}`,
        ...(shared ? agentStores('main', 'empty') : agentStores('main', 'used', SLOT, 'openai:bob')),
        ...agentStores('research', 'used', SLOT),
        ...agentStores('ops', 'empty'),
      ]);
      t.match(found.locks.at(shared ? -1 : -2), { kind: 'transaction', path: state.agentDatabase() });
      t.strictSame(contents(state.dir), before, 'not a byte was changed, and no log was left');
      t.match((await router(box, ['host'])).stdout, /^ {10}research {2}runs on a login of its own$/m);
      t.strictSame((await look('--residue')).residue.files, []);
    },
  );
}

t.test('the broken database of one agent is unreadable, not the end of the answer', async (t) => {
  const { state, look } = host(t, {
    release: '2026.9.6',
    profiles: { [SLOT]: alice },
    agents: { research: { profiles: { [SLOT]: bob } } },
  });
  const file = state.agentDatabase('research');
  withDatabase(file, (db) => db.exec("UPDATE auth_profile_store SET store_json = '[]'"));
  let found = await look();
  t.match(
    found.stores.find((store: Store) => store.path === file),
    { state: 'unreadable', schema: 23, trouble: /holds no JSON object/ },
  );
  t.match(found, { layout: 'sqlite-shared', via: 'direct', refusal: null }, "it is nobody else's damage");
  writeFileSync(file, 'not a database, whatever its name says '.repeat(200));
  found = await look();
  t.match(
    found.stores.find((store: Store) => store.path === file),
    { state: 'unreadable', schema: null, trouble: /damaged/ },
  );
  t.match(
    found.stores.find((store: Store) => store.path === state.stateDatabase),
    { state: 'used', schema: 18, profiles: [SLOT] },
    'what could be read is still shown',
  );
  t.match(found.agents, [
    { id: 'main', runsOn: 'main' },
    { id: 'research', runsOn: 'unknown', trouble: /damaged/ },
  ]);
  t.strictSame((await look('--residue')).residue.files, [], 'and nothing of it is called residue');
});

t.test('a schema that was never tested is named, and the SDK is the way', async (t) => {
  const { state, look } = host(t, { release: '2026.9.6', profiles: { [SLOT]: alice } });
  withDatabase(state.stateDatabase, (db) => db.exec('PRAGMA user_version = 99'));
  const found = await look();
  t.match(found.stores[0], { schema: 99, state: 'used' });
  t.match(found.reasons.at(-1), { code: 'WAY_SDK', text: /schema 99/ });
  t.not(found.via, 'direct');
  t.strictSame(found.locks, [], 'OpenClaw takes its own');
  t.match(found.agents, [{ runsOn: 'main' }]);
});

t.test('logins in pages that are no longer in use are found, those in use are not', async (t) => {
  for (const auto of [0, 2]) {
    const { box, state, look } = host(t, {
      release: '2026.8.1',
      profiles: { [SLOT]: alice, 'openai:bob': bob },
      agents: { research: { profiles: { [SLOT]: carol } } },
    });
    const file = state.agentDatabase();
    withDatabase(file, (db) => db.exec(`PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = ${auto}; VACUUM`));
    // As 8.1's doctor does: through the agent's database into the shared one, which then holds it alone.
    const profiles = {
      [SLOT]: entryOf(alice),
      'openai:carol': { ...entryOf(carol), note: 'x'.repeat(3000) },
    };
    withDatabase(file, (db) => {
      db.exec('PRAGMA secure_delete = OFF; PRAGMA journal_mode = WAL');
      db.prepare("INSERT INTO auth_profile_store VALUES ('primary', ?, 1)").run(
        JSON.stringify({ version: 1, profiles }),
      );
    });
    t.strictSame((await look('--residue')).residue.files, [], 'in use it is a login in its place');
    withDatabase(file, (db) => db.exec('PRAGMA secure_delete = OFF; DELETE FROM auth_profile_store'));
    chmodSync(file, 0o644);
    const { residue } = await look('--residue');
    t.match(residue.files, [{ path: file, kind: 'database', readableByOthers: true }]);
    t.strictSame(
      residue.files[0].logins.map(({ email, live }: { email: string; live: string }) => `${email} ${live}`),
      ['alice@example.test same-as-slot', 'carol@example.test same-as-slot'],
      'carol’s is the slot of research',
    );
    const shown = (await router(box, ['host', '--residue'])).stdout;
    t.match(shown, /^database {2}agents\/main\/agent\/openclaw-agent\.sqlite, readable by other users$/m);
    withDatabase(file, (db) => db.exec('VACUUM; PRAGMA wal_checkpoint(TRUNCATE)'));
    t.strictSame((await look('--residue')).residue.files, [], 'what the hint says takes them away');
  }
});

t.test('logins in the log of a dead process are found', async (t) => {
  const { state, look } = host(t, { release: '2026.9.6', profiles: { [SLOT]: alice } });
  const file = state.agentDatabase();
  const stays = openDatabase(file);
  t.teardown(() => stays.close());
  stays.exec('PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; PRAGMA secure_delete = OFF');
  stays
    .prepare("INSERT INTO auth_profile_store VALUES ('primary', ?, 1)")
    .run(JSON.stringify({ version: 1, profiles: { [SLOT]: entryOf(bob) } }));
  stays.exec('DELETE FROM auth_profile_store');
  t.match((await look('--residue')).residue.files, [
    { path: file, kind: 'database', logins: [{ email: bob.email, live: 'other' }] },
  ]);
});

t.test('a store that this release no longer reads is a leftover, once the upgrade is done', async (t) => {
  const { state, look } = host(t, { release: '2026.7.35', profiles: { [SLOT]: alice } });
  const file = path.join(state.dir, 'agents', 'main', 'agent', 'auth-profiles.json');
  writeFileSync(file, JSON.stringify({ version: 1, profiles: { 'openai-codex:default': entryOf(bob) } }));
  const found = await look('--residue');
  t.match(
    found.stores.find((store: Store) => store.path === file),
    { state: 'leftover', profiles: ['openai-codex:default'] },
  );
  t.match(found.residue.files, [{ path: file, kind: 'leftover', logins: [{ email: bob.email }] }]);
  rmSync(file);
  t.strictSame((await look('--residue')).residue.files, []);
});
