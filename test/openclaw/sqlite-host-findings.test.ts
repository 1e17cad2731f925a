import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { locateHost } from '../../src/openclaw/locate.js';
import type { Before, Finding } from '../../src/router/finding.js';
import { hostFindings } from '../../src/router/host-findings.js';
import { claimOf } from '../../src/router/owner.js';
import type { Host } from '../../src/slot/host.js';
import { fakeJournal } from '../contract/fake-journal.js';
import { fakeRepo } from '../contract/fake-repo.js';
import { holdingOf } from '../contract/slot.js';
import { sandbox } from '../kit/router.js';
import { DAY } from '../kit/tokens.js';
import { SURROUNDINGS } from '../router/support.js';
import {
  CHATS,
  entryOf,
  loginOf,
  makeSqliteState,
  openDatabase,
  SLOT,
  SQLITE_RELEASES,
  type SqliteStateOptions,
} from './sqlite-state.js';

const NOW = Date.now();
const HOUR = 3_600_000;
const alice = loginOf('alice', { issuedAt: NOW - HOUR, expiresAt: NOW + 5 * DAY });
const bob = loginOf('bob');
const SILENT = { order: { openai: [SLOT] }, lastGood: { openai: SLOT } };
const PIN = { authProfileOverride: SLOT, authProfileOverrideSource: 'user' };

async function bench(t: Test, options: SqliteStateOptions) {
  const box = sandbox(t);
  mkdirSync(box.stateDir, { mode: 0o700 });
  const state = makeSqliteState(box.stateDir, options);
  t.teardown(() => {
    if (state.integrity() !== 'ok') throw new Error(state.integrity());
  });
  const { HOME, CODEX_HOME, OPENCLAW_STATE_DIR } = box.env;
  const env = { HOME, CODEX_HOME, OPENCLAW_STATE_DIR, PATH: box.bin };
  const repo = fakeRepo(() => NOW);
  await (await repo.open()).save(holdingOf(alice), { source: 'codex' });
  const journal = fakeJournal();
  const intent = { from: null, to: holdingOf(alice).identity, pins: [], undoes: null };
  // The default slot is called there what it was called before the provider was renamed.
  await journal.advance(
    await journal.begin({ ...intent, slot: `${state.dir}#main#openai-codex:default` }, NOW),
    'done',
    NOW,
  );
  const look = async () => {
    const real = await locateHost({ env, platform: 'linux', options: {}, now: () => NOW });
    if ((await real.owner()) === null) await real.claim(await claimOf(await repo.open(), NOW), null);
    const host: Host = {
      ...real,
      held: async () => ({ kind: 'no-gateway' }),
      activeRuns: async () => new Set(),
    };
    return hostFindings({
      ...{ repo, opening: repo.open(), host, outside: [], hostAt: async () => host, journal },
      ...{ ...SURROUNDINGS, now: () => NOW, env: {} },
    });
  };
  const kept: Before[] = [];
  return {
    state,
    kept,
    look,
    codes: async () => (await look()).map(({ code }) => code),
    mend: async (code: Finding['code']) => {
      const found = (await look()).filter((finding) => finding.code === code);
      const [{ mend } = { mend: null }] = found;
      if (found.length !== 1 || mend === null) throw new Error(`not one ${code} with a mend`);
      return mend.carryOut(async (before) => `kept-${kept.push(before)}`);
    },
  };
}

for (const release of SQLITE_RELEASES) {
  t.test(
    `${release}: a database that is as it should be has no finding; leases are left to the host`,
    async (t) => {
      const { codes } = await bench(t, {
        release,
        profiles: { [SLOT]: alice },
        selection: SILENT,
        agents: { research: null },
        sessions: CHATS,
      });
      t.strictSame(await codes(), []);
    },
  );

  t.test(
    `${release}: the order, a rest and pins are mended in their rows, and no login is written`,
    async (t) => {
      const failed = { cooldownUntil: NOW + HOUR, cooldownReason: 'auth', failureCounts: { auth: 1 } };
      const { state, kept, codes, mend } = await bench(t, {
        release,
        profiles: { [SLOT]: alice, 'openai:bob': bob },
        selection: {
          order: { openai: ['openai:bob', SLOT] },
          lastGood: { openai: 'openai:bob' },
          usageStats: {
            [SLOT]: { ...failed, lastFailureAt: NOW - 2 * HOUR, lastUsed: 5 },
            'openai:bob': { lastUsed: 6 },
          },
        },
        sessions: {
          ...CHATS,
          'agent:main:main': {
            ...CHATS['agent:main:main'],
            authProfileOverride: 'openai:gone',
            authProfileOverrideSource: 'user',
          },
        },
      });
      const [profiles, group] = [
        state.profiles(),
        release === '2026.7.35' ? null : state.session('agent:main:telegram:group:-100200'),
      ];
      t.strictSame(
        (await codes()).sort(),
        ['ORDER_ELSEWHERE', 'REST_STALE', ...(group ? ['PIN_ORPHANED'] : [])].sort(),
      );
      await mend('ORDER_ELSEWHERE');
      t.match(state.selection(), { ...SILENT, usageStats: { [SLOT]: failed } });
      await mend('REST_STALE');
      t.strictSame(state.selection().usageStats, { [SLOT]: { lastUsed: 5 }, 'openai:bob': { lastUsed: 6 } });
      if (group !== null) {
        t.match(await mend('PIN_ORPHANED'), { text: /^1 session\(s\)/ });
        t.match(state.session('agent:main:main'), { entry: PIN, row: { entry_valid: 1 } });
        t.strictSame(state.session('agent:main:telegram:group:-100200'), group);
      }
      t.strictSame(state.profiles(), profiles);
      t.match(kept[0], {
        kind: 'selection',
        slots: [{ order: ['openai:bob', SLOT], lastGood: 'openai:bob' }],
      });
      t.strictSame(await codes(), []);
    },
  );

  t.test(
    `${release}: an agent without a login whose store chooses over main’s is made to follow it`,
    async (t) => {
      const { state, codes, mend } = await bench(t, {
        release,
        profiles: { [SLOT]: alice },
        selection: SILENT,
        agents: { research: { profiles: {}, selection: { order: { openai: ['openai:gone'] }, other: 1 } } },
      });
      t.strictSame(await codes(), ['ORDER_ELSEWHERE']);
      await mend('ORDER_ELSEWHERE');
      t.notOk('order' in state.selection('research'));
      t.equal(state.selection('research').other, 1);
      t.strictSame(await codes(), []);
    },
  );

  t.test(
    `${release}: an open database, its log and its index are each narrowed while it is in use`,
    async (t) => {
      const { state, codes, mend, look } = await bench(t, {
        release,
        profiles: { [SLOT]: alice },
        selection: SILENT,
      });
      const database = openDatabase(state.store);
      t.teardown(() => database.close());
      database.exec('PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS in_use (x); DROP TABLE in_use');
      const files = [state.store, `${state.store}-wal`, `${state.store}-shm`];
      for (const file of files) chmodSync(file, 0o644);
      t.strictSame(await codes(), ['FILE_OPEN', 'FILE_OPEN', 'FILE_OPEN']);
      for (const { mend } of await look()) await mend?.carryOut(async () => 'kept');
      t.strictSame(
        files.map((file) => statSync(file).mode & 0o777),
        [0o600, 0o600, 0o600],
      );
      t.strictSame(await codes(), []);
      await t.rejects(mend('FILE_OPEN'), /not one FILE_OPEN/);
    },
  );

  t.test(
    `${release}: a folder where a refresh lock belongs is removed; a store it does not read is told`,
    async (t) => {
      const { state, codes, mend, look } = await bench(t, {
        release,
        profiles: { [SLOT]: alice },
        selection: SILENT,
      });
      const lock = path.join(
        state.dir,
        'locks',
        'oauth-refresh',
        'lock-5440fa0b86d2697ef1152f7cb32a8157.lock',
      );
      mkdirSync(lock, { recursive: true, mode: 0o700 });
      const then = new Date(NOW - HOUR);
      utimesSync(lock, then, then);
      await mend('LOCK_FOLDER');
      t.notOk(existsSync(lock));
      t.strictSame(await codes(), []);
      // From 8.1 on a host with such a file is refused before anything is looked at.
      const name = release === '2026.7.35' ? 'auth-profiles.json' : 'auth.json';
      const left = path.join(path.dirname(state.agentDatabase()), name);
      const profiles = { [SLOT]: entryOf(alice) };
      writeFileSync(left, JSON.stringify(name === 'auth.json' ? profiles : { version: 1, profiles }), {
        mode: 0o600,
      });
      const bytes = readFileSync(left);
      t.match(await look(), [{ code: 'STORE_LEFT', danger: true, mend: null }]);
      t.strictSame(readFileSync(left), bytes);
    },
  );
}
