import path from 'node:path';
import t from 'tap';
import { leaksOf, router, sandbox } from '../kit/router.js';
import { readJson, writeJson } from '../kit/state.js';
import { codexAuthJson, loginOf } from '../kit/tokens.js';
import { entryOf, makeSqliteState, SLOT, SQLITE_RELEASES, withDatabase } from '../openclaw/sqlite-state.js';

const alice = loginOf('alice');
const bob = loginOf('bob');
const OWN = 'openai:router-2';
const CHAT = 'agent:main:telegram:direct:1001';
const SLASH = 'agent:main:telegram:slash:1001';
const MAIN = 'agent:main:main';
const origin = { provider: 'telegram', from: 'telegram:1001' };

for (const release of SQLITE_RELEASES) {
  t.test(
    `${release}: one session is set and cleared with its companion, and no other row is written`,
    async (t) => {
      const box = sandbox(t);
      const entries = { [CHAT]: {}, [SLASH]: { channel: 'telegram', origin }, [MAIN]: {} };
      const state = makeSqliteState(box.stateDir, {
        release,
        profiles: { [OWN]: bob },
        sessions: entries,
      });
      const file = path.join(box.stateDir, 'agents', 'main', 'sessions', 'sessions.json');
      if (release === '2026.7.35') {
        const bare = (fields: object, at: number) => ({ sessionId: `s${at}`, updatedAt: at, ...fields });
        writeJson(
          file,
          Object.fromEntries(Object.entries(entries).map(([key, fields], at) => [key, bare(fields, at + 1)])),
          '',
        );
      }
      const stored = (): Record<string, string> => {
        if (release === '2026.7.35') {
          const all = Object.entries(Object(readJson(file)));
          return Object.fromEntries(all.map(([key, entry]) => [key, JSON.stringify(entry)]));
        }
        const database = path.join(box.stateDir, 'agents', 'main', 'agent', 'openclaw-agent.sqlite');
        const rows = withDatabase(database, (db) =>
          db.prepare('SELECT session_key, entry_json, entry_valid FROM session_nodes').all(),
        );
        return Object.fromEntries(
          rows.map((row) => [String(row.session_key), `${row.entry_valid} ${row.entry_json}`]),
        );
      };
      const run = async (line: string, input?: string) => {
        const done = await router(box, [...line.split(' '), '--json'], {
          env: { CODEX_ROUTER_KEY: 'file' },
          node: process.execPath,
          ...(input !== undefined && { input }),
        });
        t.equal(done.code, 0, `${line}: ${done.stdout}`);
        return done.json;
      };
      await run('import --from - --alias a', codexAuthJson(alice));
      await run('import --from - --alias b', codexAuthJson(bob));
      state.put(SLOT, entryOf(alice));
      await run('use a --no-session');
      const before = stored();
      t.match(await run(`session set ${CHAT} --to b`), {
        result: 'set',
        to: { profileId: OWN, place: 'own-slot', identity: { alias: 'b' } },
        pins: [
          { key: CHAT, result: 'set' },
          { key: SLASH, result: 'set' },
        ],
      });
      const set = stored();
      for (const key of [CHAT, SLASH]) t.match(set[key], new RegExp(`"authProfileOverride": ?"${OWN}"`), key);
      t.equal(set[MAIN], before[MAIN]);
      t.match(await run(`session show ${CHAT}`), {
        session: { place: 'own-slot', identity: { alias: 'b' } },
      });
      t.match(await run(`session clear ${CHAT}`), {
        result: 'cleared',
        pins: [{ was: OWN, is: null }, { key: SLASH }],
      });
      for (const entry of Object.values(stored())) t.notMatch(entry, /authProfileOverride|^0 /);
      t.match(await run(`session show ${CHAT}`), { session: { pinnedTo: null, identity: { alias: 'a' } } });
      t.strictSame(leaksOf(box), []);
    },
  );
}
