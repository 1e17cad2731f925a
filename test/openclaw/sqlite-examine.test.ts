import { chmodSync, mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { examine } from '../../src/openclaw/examine.js';
import { findGround } from '../../src/openclaw/ground.js';
import { locateHost } from '../../src/openclaw/locate.js';
import { makeState, SLOT as OLD_SLOT } from '../kit/state.js';
import {
  entryOf,
  loginOf,
  makeSqliteState,
  SLOT,
  type SqliteStateOptions,
  withDatabase,
} from './sqlite-state.js';

const alice = loginOf('alice');

function folder(t: Test): string {
  const dir = realpathSync(mkdtempSync(path.join(tmpdir(), 'codex-router-examine-')));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A package on PATH that says it is that release; null: none. */
function installed(
  dir: string,
  version: string | null,
  schemaVersions?: { readonly state: number; readonly agent: number },
): { HOME: string; PATH: string } {
  const root = `${dir}.package`;
  const env = { HOME: path.join(dir, 'home'), PATH: path.join(root, 'bin') };
  if (version === null) return env;
  mkdirSync(path.join(root, 'bin'), { recursive: true });
  mkdirSync(path.join(root, 'lib', 'node_modules', 'openclaw'), { recursive: true });
  writeFileSync(
    path.join(root, 'lib', 'node_modules', 'openclaw', 'package.json'),
    JSON.stringify({ name: 'openclaw', version, ...(schemaVersions && { openclaw: { schemaVersions } }) }),
  );
  writeFileSync(path.join(root, 'bin', 'openclaw'), '#!/bin/sh\n');
  chmodSync(path.join(root, 'bin', 'openclaw'), 0o755);
  return env;
}

async function look(
  t: Test,
  dir: string,
  version: string | null,
  schemas?: { readonly state: number; readonly agent: number },
) {
  t.teardown(() => rmSync(`${dir}.package`, { recursive: true, force: true }));
  const deps = {
    env: installed(dir, version, schemas),
    platform: process.platform,
    options: { stateDir: dir },
  };
  return { found: await examine(await findGround(deps)), locate: () => locateHost(deps) };
}

async function sqlite(t: Test, options: SqliteStateOptions, version: string | null) {
  const dir = folder(t);
  const state = makeSqliteState(dir, options);
  return { state, dir, ...(await look(t, dir, version)) };
}

/** The JSON store that a release before 6.5 left. */
function legacyJson(dir: string, provider = 'openai-codex'): string {
  const file = path.join(dir, 'agents', 'main', 'agent', 'auth-profiles.json');
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(
    file,
    JSON.stringify({ version: 1, profiles: { [`${provider}:default`]: { ...entryOf(alice), provider } } }),
    { mode: 0o600 },
  );
  return file;
}

t.test('each layout is told by what it holds, with the package and without it', async (t) => {
  for (const [release, layout, rows] of [
    ['2026.7.35', 'sqlite-agent', 'agent'],
    ['2026.8.1', 'sqlite-shared', 'shared'],
    ['2026.9.6', 'sqlite-shared', 'shared'],
  ] as const) {
    for (const version of [release, null]) {
      const { found, locate } = await sqlite(t, { release, profiles: { [SLOT]: alice } }, version);
      t.match(
        found,
        { layout, provider: 'openai', shared: { rows }, refusal: null, needsSdk: null },
        `${release}, package ${version}`,
      );
      const host = await locate();
      t.match(host.summary, { layout, provider: 'openai', formerProvider: 'openai-codex' });
      t.equal((await host.slotsFor('main')).main.address.profileId, SLOT);
      const codes = host.summary.notes.map(({ code }) => code);
      t.equal(codes.includes('RELEASE_NOT_INSTALLED'), version === null, 'no package is said');
    }
  }
});

t.test('6.1 keeps JSON under the new provider, and is told from 5.28', async (t) => {
  const dir = folder(t);
  legacyJson(dir, 'openai');
  t.match((await look(t, dir, '2026.6.1')).found, {
    layout: 'json+state',
    provider: 'openai',
    refusal: null,
  });
  t.match(
    (await look(t, dir, null)).found,
    { layout: 'json+state', provider: 'openai', refusal: null },
    'by its logins alone',
  );
  legacyJson(dir);
  t.match((await look(t, dir, '2026.5.28')).found, {
    layout: 'json+state',
    provider: 'openai-codex',
    refusal: null,
  });
  const unfinished = await look(t, dir, '2026.6.1');
  t.match(unfinished.found.refusal, {
    code: 'HOST_UNSUPPORTED',
    message: /still say openai-codex/,
    hint: /doctor --fix/,
  });
});

t.test('mixed states are named with their remedy, and nothing is routed', async (t) => {
  const cases: readonly [string, SqliteStateOptions, string | null, (dir: string) => void, RegExp, RegExp][] =
    [
      [
        'logins in JSON beside an empty agent database',
        { release: '2026.7.35' },
        '2026.7.35',
        (dir) => void legacyJson(dir),
        /still lie in .*auth-profiles\.json/,
        /doctor --fix/,
      ],
      [
        'JSON that appeared after the migration',
        { release: '2026.9.6', profiles: { [SLOT]: alice } },
        '2026.9.6',
        (dir) => void legacyJson(dir),
        /auth-profiles\.json lies beside/,
        /doctor --fix; where it cannot/,
      ],
      [
        'a later package over per-agent stores',
        { release: '2026.7.35', profiles: { [SLOT]: alice } },
        '2026.9.6',
        () => undefined,
        /upgrade is not done/,
        /doctor --fix/,
      ],
      [
        'an older package under SQLite stores',
        { release: '2026.7.35', profiles: { [SLOT]: alice } },
        '2026.5.28',
        () => undefined,
        /does not read/,
        /install the later OpenClaw/,
      ],
      [
        'an older package under a shared store',
        { release: '2026.9.6', profiles: { [SLOT]: alice } },
        '2026.7.35',
        () => undefined,
        /later OpenClaw/,
        /install the later/,
      ],
    ];
  for (const [name, options, version, prepare, message, hint] of cases) {
    const dir = folder(t);
    makeSqliteState(dir, options);
    prepare(dir);
    const { found, locate } = await look(t, dir, version);
    t.match(found.refusal, { code: 'HOST_UNSUPPORTED', message, hint }, name);
    await t.rejects(locate(), { code: 'HOST_UNSUPPORTED', message }, name);
  }
});

t.test('an agent database that the upgrade has not reached is named', async (t) => {
  const { dir, state } = await sqlite(t, { release: '2026.9.6', profiles: { [SLOT]: alice } }, '2026.9.6');
  const old = folder(t);
  const before = makeSqliteState(old, { release: '2026.7.35', profiles: { [SLOT]: alice } });
  mkdirSync(path.dirname(state.agentDatabase('research')), { recursive: true });
  withDatabase(before.agentDatabase(), (db) => db.exec('PRAGMA wal_checkpoint(TRUNCATE)'));
  renameSync(before.agentDatabase(), state.agentDatabase('research'));
  const { found } = await look(t, dir, '2026.9.6');
  t.match(found.refusal, { message: /upgrade .* is not done.*schema 1/, hint: /doctor --fix/ });
});

t.test('a leftover JSON that 6.5 to 7.35 ignore is said, and does not stop anything', async (t) => {
  const { dir } = await sqlite(t, { release: '2026.7.35', profiles: { [SLOT]: alice } }, '2026.7.35');
  legacyJson(dir);
  const { found } = await look(t, dir, '2026.7.35');
  t.match(found, { refusal: null, layout: 'sqlite-agent', notes: [{ code: 'JSON_LEFTOVER' }] });
});

t.test('main’s database can hold the logins of all agents (legacy-main)', async (t) => {
  const { dir, state } = await sqlite(t, { release: '2026.9.6', agents: { research: {} } }, '2026.9.6');
  withDatabase(state.stateDatabase, (db) =>
    db.exec("DELETE FROM config_machine_state WHERE state_key LIKE 'auth%'"),
  );
  withDatabase(state.agentDatabase(), (db) =>
    db
      .prepare("INSERT INTO auth_profile_store VALUES ('primary', ?, 1)")
      .run(JSON.stringify({ version: 1, profiles: { [SLOT]: entryOf(alice) } })),
  );
  const { found, locate } = await look(t, dir, '2026.9.6');
  t.match(found, {
    layout: 'sqlite-shared',
    shared: { rows: 'agent', path: state.agentDatabase() },
    refusal: null,
  });
  const group = await (await locate()).slotsFor('research');
  t.equal(group.main.address.agent, 'research', 'asked for by name');
  t.match(await (await locate()).slotsFor('main'), { follows: ['main', 'research'] });
});

t.test(
  'words about the store that are not known are refused, and so is a schema without a fixture',
  async (t) => {
    const { dir, state } = await sqlite(t, { release: '2026.9.6', profiles: { [SLOT]: alice } }, '2026.9.6');
    withDatabase(state.stateDatabase, (db) => db.exec('PRAGMA user_version = 99'));
    const later = await look(t, dir, '2026.9.6');
    t.match(later.found, { refusal: null, needsSdk: /schema 99/ });
    withDatabase(state.stateDatabase, (db) =>
      db.exec(
        `UPDATE config_machine_state SET value_json = '{"location":"elsewhere"}' WHERE state_key = 'auth.sharedStore'`,
      ),
    );
    await t.rejects(look(t, dir, '2026.9.6'), { code: 'HOST_UNSUPPORTED', message: /words unknown here/ });
  },
);

t.test('a state directory that came from elsewhere is said', async (t) => {
  const { dir, state } = await sqlite(t, { release: '2026.7.35', profiles: { [SLOT]: alice } }, '2026.7.35');
  withDatabase(state.stateDatabase, (db) => {
    const columns = db
      .prepare('PRAGMA table_info(agent_databases)')
      .all()
      .map(({ name }) => String(name));
    const values = columns.map((name) =>
      name === 'path'
        ? '/elsewhere/agents/main/agent/openclaw-agent.sqlite'
        : name === 'agent_id'
          ? 'main'
          : 1,
    );
    db.prepare(
      `INSERT INTO agent_databases (${columns.join()}) VALUES (${columns.map(() => '?').join()})`,
    ).run(...values);
  });
  t.match((await look(t, dir, '2026.7.35')).found.notes, [{ code: 'STATE_MOVED', text: /elsewhere/ }]);
});

t.test('a package that says which schemas it reads is believed', async (t) => {
  for (const [database, schema, refusal] of [
    ['state', 19, /schema 19, of a later OpenClaw/],
    ['agent', 24, /schema 24, of a later OpenClaw/],
    ['agent', 22, /upgrade .* is not done.*schema 22/],
  ] as const) {
    const dir = folder(t);
    const state = makeSqliteState(dir, { release: '2026.9.6', profiles: { [SLOT]: alice } });
    const file = database === 'state' ? state.stateDatabase : state.agentDatabase();
    withDatabase(file, (db) => db.exec(`PRAGMA user_version = ${schema}`));
    const { found } = await look(t, dir, '2026.9.6', { state: 18, agent: 23 });
    t.match(found.refusal, { code: 'HOST_UNSUPPORTED', message: refusal });
  }
});

t.test('agents named by entries, as 8.1 and later write them, are found', async (t) => {
  const { locate } = await sqlite(
    t,
    {
      release: '2026.9.6',
      profiles: { [SLOT]: alice },
      config: {
        agents: {
          ownership: 'explicit',
          entries: { main: {}, research: {} },
          defaults: { systemAgent: { agentId: 'research' } },
        },
      },
    },
    '2026.9.6',
  );
  const host = await locate();
  t.same(host.agents, ['main', 'research']);
  t.equal(host.defaultAgent, 'research');
});

t.test('a JSON store of before stays what it was', async (t) => {
  const dir = folder(t);
  makeState(dir, { release: '2026.5.7', slot: alice });
  const { found, locate } = await look(t, dir, '2026.5.7');
  t.match(found, { layout: 'json+state', provider: 'openai-codex', statePath: null });
  t.equal((await (await locate()).slotsFor('main')).main.address.profileId, OLD_SLOT);
});
