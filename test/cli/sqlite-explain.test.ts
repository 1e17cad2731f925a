import path from 'node:path';
import t from 'tap';
import { leaksOf, router, sandbox } from '../kit/router.js';
import { writeJson } from '../kit/state.js';
import { codexAuthJson, loginOf } from '../kit/tokens.js';
import { startUsageBackend } from '../kit/usage-backend.js';
import { entryOf, makeSqliteState, SLOT, SQLITE_RELEASES, withDatabase } from '../openclaw/sqlite-state.js';

const alice = loginOf('alice');
const bob = loginOf('bob');
const carol = loginOf('carol');
const CAROL = 'openai:carol@example.test';
const MAIN = 'agent:main:main';

for (const release of SQLITE_RELEASES) {
  t.test(
    `${release}: the layers are read from its databases, and the first that disagrees is mended`,
    async (t) => {
      const box = sandbox(t);
      const backend = await startUsageBackend(t);
      const state = makeSqliteState(box.stateDir, {
        release,
        profiles: { [CAROL]: carol },
        agents: { research: { profiles: { [SLOT]: carol } }, ops: {} },
        sessions: { [MAIN]: {} },
      });
      if (release === '2026.7.35') {
        const sessions = path.join(box.stateDir, 'agents', 'main', 'sessions', 'sessions.json');
        writeJson(sessions, { [MAIN]: { sessionId: 's', updatedAt: 1000 } }, '');
      }
      const env = { CODEX_ROUTER_KEY: 'file', CODEX_ROUTER_TEST_ISSUER: backend.url };
      const run = async (line: string, input?: string) => {
        const args = [...line.split(' '), '--json'];
        const done = await router(box, args, {
          env,
          node: process.execPath,
          ...(input !== undefined && { input }),
        });
        t.equal(done.code, 0, `${line}: ${done.stdout}`);
        return done.json;
      };
      await run('import --from - --alias a', codexAuthJson(alice));
      await run('import --from - --alias b', codexAuthJson(bob));
      await run(`use a --session ${MAIN}`);
      t.match(await run('explain'), { agrees: true, session: { key: MAIN } });

      state.put(SLOT, entryOf(bob));
      const other = await run('explain');
      t.match(other, {
        first: 'slot',
        remedy: 'codex-router use a',
        layers: [{}, { identity: { alias: 'b' } }],
      });
      t.match((await run('usage')).usage, [{ identity: { alias: 'b' }, state: 'answered', heldBy: 'slot' }]);
      await run('use a');

      state.choose({ order: { openai: [CAROL, SLOT] }, lastGood: { openai: SLOT } });
      const order = await run('explain');
      t.match(order, { first: 'order', remedy: 'codex-router use a' });
      t.match(order.layers[5], { layer: 'usage', identity: { email: carol.email }, verdict: 'disagrees' });
      await run('use a');
      t.match(await run('explain'), { agrees: true });

      // An agent's own order goes before the shared one, though it has no login of its own.
      state.choose({ order: { openai: ['openai:vanished'] } }, 'ops');
      const ops = await run('explain --agent ops');
      t.match(ops, { agent: 'ops', first: 'order' });
      t.match(ops.layers[2].why, /the own store of agent ops chooses over it/);
      const research = await run('explain --agent research');
      t.match(research.layers[1], { identity: { email: carol.email }, verdict: /^agrees$/ });
      t.match(research.layers[0], { verdict: 'unknown' }, 'nothing was routed there');

      const fence = (what: string) => `openclaw-oauth-refresh-fence:v1:${'0'.repeat(32)}:${what}`;
      const fenced = {
        ...entryOf(alice),
        access: fence('access:x'),
        refresh: fence('refresh:x'),
        expires: 1,
      };
      state.put(SLOT, fenced);
      t.match((await run('explain')).layers[1], {
        verdict: 'unknown',
        why: /renewing the login there just now/,
      });
      t.match((await run('usage')).usage, [{ identity: { alias: 'a' }, state: 'refreshing' }]);
      state.put(SLOT, { ...fenced, access: fence('failed:access:x'), refresh: fence('failed:refresh:x') });
      t.match(await run('explain'), {
        first: 'slot',
        symptom: 'broken-token',
        remedy: 'codex-router use a',
        layers: [{}, { cause: 'login-lost' }],
      });
      await run(`use a --session ${MAIN}`);

      // What an upgrade left under the provider's former name names nothing to this release: no order is fixed.
      state.choose({ order: { 'openai-codex': ['openai-codex:default'] } });
      const former = await run('explain');
      t.match(former, { first: 'order', symptom: 'works-sometimes', remedy: 'codex-router use a' });
      t.match(former.layers[2], { cause: 'takes-turns', why: /takes turns among 2 logins/ });
      await run('use a');
      t.match(await run('explain'), { agrees: true });

      if (release !== '2026.7.35') {
        // From 8.1 main has rows of its own, which go before the shared ones.
        putOwn(state.agentDatabase());
        const shadowed = await run('explain');
        const remedy = 'codex-router use a --move';
        t.match(shadowed, { first: 'slot', symptom: 'wrong-account', remedy });
        t.match(shadowed.layers[0], { identity: { alias: 'a' } });
        t.match(shadowed.layers[1], {
          cause: 'shadowed',
          identity: { email: carol.email },
          readFrom: /goes before the shared one/,
        });
        t.match((await run('status')).slots, [
          { agent: 'main', occupant: { alias: 'a' }, gateway: { taken: 'no-gateway' } },
          { agent: 'main', occupant: { email: carol.email }, stored: false },
          { agent: 'research' },
        ]);
        await run('use a --move');
        t.match(await run('explain'), { agrees: true });
      }
      t.strictSame(leaksOf(box), []);
    },
  );
}

/** Carol in main's own rows, as OpenClaw's SDK writes them where it is given main's folder. */
function putOwn(file: string): void {
  const store = { version: 1, profiles: { [SLOT]: entryOf(carol) } };
  withDatabase(file, (db) =>
    db
      .prepare("INSERT INTO auth_profile_store (store_key, store_json, updated_at) VALUES ('primary', ?, ?)")
      .run(JSON.stringify(store), Date.now()),
  );
}
