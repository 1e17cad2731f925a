import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { openDatabases } from '../../src/openclaw/sqlite.js';
import { sqlitePins } from '../../src/openclaw/sqlite-pins.js';
import { companionsOf } from '../../src/slot/companions.js';
import type { Pins } from '../../src/slot/pins.js';
import {
  addSession,
  CHATS,
  loginOf,
  makeSqliteState,
  SLOT,
  type SqliteState,
  withDatabase,
} from './sqlite-state.js';

const NOW = 1_800_000_000_000;
const RELEASES = ['2026.8.1', '2026.9.6'] as const;

function bench(t: Test, release: (typeof RELEASES)[number]): { state: SqliteState; pins: Pins } {
  const dir = realpathSync(mkdtempSync(path.join(tmpdir(), 'codex-router-pins-')));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const state = makeSqliteState(dir, { release, profiles: { [SLOT]: loginOf('alice') }, sessions: CHATS });
  t.teardown(() => {
    const whole = state.integrity();
    if (whole !== 'ok') throw new Error(`a database is not whole: ${whole}`);
  });
  const file = state.agentDatabase();
  const pins = sqlitePins({
    agent: 'main',
    path: file,
    databases: openDatabases(),
    statePath: state.stateDatabase,
    uid: process.getuid?.() ?? null,
    lock: { waitMs: 300 },
    now: () => NOW,
  });
  return { state, pins };
}

for (const release of RELEASES) {
  t.test(
    `${release}: a pin is a person's choice, its row stays valid and everything else in it as it was`,
    async (t) => {
      const { state, pins } = bench(t, release);
      addSession(state.agentDatabase(), 'agent:main:telegram:direct:7', {
        updatedAt: 10,
        authProfileOverride: 'openai-codex:default',
        authProfileOverrideSource: 'auto',
        authProfileOverrideCompactionCount: 0,
        odd: { kept: [1] },
      });
      const before = state.session('agent:main:telegram:direct:7');
      const outcomes = await pins.set(
        ['agent:main:main', 'agent:main:telegram:direct:7', 'agent:main:gone'],
        SLOT,
      );
      t.same(outcomes, [
        { key: 'agent:main:main', was: null, is: SLOT, result: 'set' },
        { key: 'agent:main:telegram:direct:7', was: 'openai-codex:default', is: SLOT, result: 'set' },
        { key: 'agent:main:gone', was: null, is: null, result: 'gone' },
      ]);
      const after = state.session('agent:main:telegram:direct:7');
      const { authProfileOverrideCompactionCount: _count, ...rest } = before.entry;
      t.same(after.entry, {
        ...rest,
        authProfileOverride: SLOT,
        authProfileOverrideSource: 'user',
        updatedAt: NOW,
      });
      t.equal(after.row.entry_valid, 1);
      t.equal(after.row.updated_at, NOW, 'the row and the entry name the same time');
      t.same({ ...after.row, entry_json: 0, updated_at: 0 }, { ...before.row, entry_json: 0, updated_at: 0 });
      t.notOk(
        'authProfileOverride' in state.session('agent:main:telegram:slash:1001').entry,
        'no other row is touched',
      );
      t.same(
        (await pins.set(['agent:main:main'], SLOT)).map(({ result }) => result),
        ['already'],
      );
    },
  );

  t.test(`${release}: a pin that is taken off leaves no trace of it`, async (t) => {
    const { state, pins } = bench(t, release);
    const before = state.session('agent:main:main').entry;
    await pins.set(['agent:main:main'], SLOT);
    await pins.set(['agent:main:main'], null);
    t.same(state.session('agent:main:main').entry, { ...before, updatedAt: NOW });
    t.equal(state.session('agent:main:main').row.entry_valid, 1);
  });

  t.test(`${release}: a time ahead of ours is kept, so that no session falls behind itself`, async (t) => {
    const { state, pins } = bench(t, release);
    addSession(state.agentDatabase(), 'agent:main:ahead', { updatedAt: NOW + 5000 });
    await pins.set(['agent:main:ahead'], SLOT);
    t.equal(state.session('agent:main:ahead').entry.updatedAt, NOW + 5000);
  });

  t.test(
    `${release}: leaves a row the host has marked invalid, says why, and pins the one beside it`,
    async (t) => {
      const { state, pins } = bench(t, release);
      withDatabase(state.agentDatabase(), (db) =>
        db.exec(
          "UPDATE session_nodes SET entry_valid = 0 WHERE session_key = 'agent:main:telegram:slash:1001'",
        ),
      );
      const invalid = state.session('agent:main:telegram:slash:1001');
      t.match(await pins.set(['agent:main:main', 'agent:main:telegram:slash:1001'], SLOT), [
        { key: 'agent:main:main', result: 'set' },
        {
          key: 'agent:main:telegram:slash:1001',
          was: null,
          is: null,
          result: 'pending',
          why: /doctor --fix/,
        },
      ]);
      t.same(state.session('agent:main:telegram:slash:1001'), invalid);
    },
  );

  t.test(`${release}: an entry that is no JSON and that the host calls invalid hides no other`, async (t) => {
    const { state, pins } = bench(t, release);
    const key = 'agent:main:telegram:slash:1001';
    withDatabase(state.agentDatabase(), (db) =>
      db.exec(`UPDATE session_nodes SET entry_json = '{torn' WHERE session_key = '${key}'`),
    );
    t.equal((await pins.survey(null)).unread, 1);
    t.match(await pins.set(['agent:main:main', key], SLOT), [
      { result: 'set' },
      { result: 'pending', why: /invalid/ },
    ]);
    withDatabase(state.agentDatabase(), (db) =>
      db.exec(`UPDATE session_nodes SET entry_valid = 1 WHERE session_key = '${key}'`),
    );
    await t.rejects(pins.read(), { code: 'HOST_UNREADABLE' });
  });

  t.test(`${release}: refuses while the doctor holds its lease`, async (t) => {
    const { state, pins } = bench(t, release);
    withDatabase(state.stateDatabase, (db) =>
      db.exec(
        "INSERT INTO state_leases (scope, lease_key, owner, created_at, updated_at) VALUES ('core:agent-database-maintenance', 'global', 'doctor', 1, 1)",
      ),
    );
    await t.rejects(pins.set(['agent:main:main'], SLOT), { code: 'HOST_BUSY' });
    t.equal((await pins.read()).length, 4, 'looking goes on');
  });

  t.test(
    `${release}: finds the chat, its sender and its slash entry in the form this release gives them`,
    async (t) => {
      const { pins } = bench(t, release);
      const entries = await pins.read();
      t.match(
        entries.find(({ key }) => key === 'agent:main:main'),
        {
          channel: 'telegram',
          to: 'telegram:1001',
          from: 'telegram:1001',
          accountId: 'default',
          updatedAt: 5000,
        },
      );
      const rules = {
        slotProfileId: SLOT,
        provider: 'openai',
        formerProvider: 'openai-codex',
        knownProfileIds: new Set([SLOT]),
      };
      t.same(companionsOf('agent:main:main', entries, rules), ['agent:main:telegram:slash:1001']);
    },
  );

  t.test(
    `${release}: a survey of many sessions reads the recent ones, the slash entries and the one that is meant`,
    async (t) => {
      const { state, pins } = bench(t, release);
      withDatabase(state.agentDatabase(), (db) => {
        db.exec('BEGIN');
        const add = db.prepare(
          'INSERT INTO session_nodes (session_key, current_session_id, entry_json, updated_at) VALUES (?, ?, ?, ?)',
        );
        for (let n = 0; n < 300; n += 1)
          add.run(
            `agent:main:telegram:direct:${n + 5000}`,
            `s${n}`,
            JSON.stringify({ sessionId: `s${n}`, updatedAt: 10_000 + n }),
            10_000 + n,
          );
        db.exec('UPDATE session_nodes SET entry_valid = 1; COMMIT');
      });
      const { entries, unread } = await pins.survey('telegram:direct:5000');
      const keys = entries.map(({ key }) => key);
      t.ok(keys.includes('agent:main:telegram:direct:5000'), 'the one that is meant, though it is old');
      t.ok(keys.includes('agent:main:telegram:slash:1001'), 'the slash entry, though it is the oldest');
      t.ok(keys.includes('agent:main:telegram:direct:5299'), 'the latest');
      t.notOk(keys.includes('agent:main:telegram:direct:5001'));
      t.equal(unread + entries.length, 304);
      t.equal((await pins.read()).length, 304);
    },
  );

  t.test(`${release}: an agent without a database has no sessions, and none is made`, async (t) => {
    const { state } = bench(t, release);
    const nowhere = path.join(state.dir, 'agents', 'nobody', 'agent', 'openclaw-agent.sqlite');
    const pins = sqlitePins({
      agent: 'nobody',
      path: nowhere,
      databases: openDatabases(),
      statePath: state.stateDatabase,
      uid: null,
      lock: { waitMs: 100 },
      now: () => NOW,
    });
    t.same(await pins.read(), []);
    t.match(await pins.set(['agent:nobody:main'], SLOT), [{ result: 'gone' }]);
    t.throws(() => readFileSync(nowhere), { code: 'ENOENT' });
  });
}
