import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { nativeState } from '../kit/native.js';
import { openclaw } from '../kit/openclaw.js';
import { real } from '../kit/real.js';
import { releasesToRun, traitsOf } from '../kit/releases.js';
import { leaksOf, router, sandbox } from '../kit/router.js';
import { integrityOf } from '../kit/sqlite.js';
import { databasesBelow, storesOf } from '../kit/stores.js';
import { codexAuthJson, loginOf } from '../kit/tokens.js';

const RELEASES = releasesToRun().filter((release) => ['2026.7.35', '2026.9.6'].includes(release));

for (const release of RELEASES) {
  t.test(
    `${release}: an OpenClaw that never held a login gets its first one through its own SDK`,
    async (t) => {
      const box = sandbox(t);
      box.env.CODEX_ROUTER_KEY = 'file';
      const claw = openclaw(t, box, release);
      const node = real(t, 'node24')?.node24;
      if (claw === null || node === undefined) return;
      mkdirSync(box.stateDir, { mode: 0o700 });
      const config = { gateway: { mode: 'local' }, agents: { list: [{ id: 'main', default: true }] } };
      writeFileSync(path.join(box.stateDir, 'openclaw.json'), JSON.stringify(config), { mode: 0o600 });
      const bob = loginOf('bob');
      await router(box, ['import', '--from', '-', '--json'], { node, input: codexAuthJson(bob) });
      for (const look of ['status', 'list', 'host']) {
        t.match((await router(box, [look, '--json'], { node })).json, { ok: true }, look);
      }
      t.strictSame(readdirSync(box.stateDir), ['openclaw.json'], 'looking makes no store');

      const { json } = await router(box, ['use', bob.accountId, '--json'], { node });
      t.match(json, {
        result: 'switched',
        to: { userId: bob.userId },
        slot: { layout: traitsOf(release).layout },
      });
      t.match(storesOf(box.stateDir, release).slot(), { refresh: bob.refresh, access: bob.access });
      const list = await claw.json(['models', 'auth', 'list', '--json']);
      t.match(list.profiles, [{ id: 'openai:default', email: bob.email }]);
      // From now on the store is known, and codex-router writes by itself.
      const again = await router(box, ['host', '--json'], { node });
      t.match(again.json, { via: 'direct' });
      for (const file of databasesBelow(box.stateDir)) t.strictSame(integrityOf(file), [], file);
      t.strictSame(leaksOf(box), []);
    },
  );

  t.test(`${release}: --via sdk switches to and fro, and a direct switch goes on from there`, async (t) => {
    const box = sandbox(t);
    box.env.CODEX_ROUTER_KEY = 'file';
    const state = await nativeState(t, box, release);
    const node = real(t, 'node24')?.node24;
    if (state === null || node === undefined) return;
    const bob = loginOf('bob');
    const alice = state.logins.slot;
    await router(box, ['import', '--from', '-', '--json'], { node, input: codexAuthJson(bob) });
    for (const [login, via] of [
      [bob, 'sdk'],
      [alice, 'direct'],
      [bob, 'sdk'],
    ] as const) {
      const { json } = await router(box, ['use', login.accountId, '--via', via, '--json'], { node });
      t.match(json, { result: 'switched', to: { userId: login.userId } }, via);
      t.match(state.slot(), { refresh: login.refresh });
      t.match(state.sessions()['agent:main:main'], { authProfileOverride: 'openai:default' });
    }
    t.strictSame(state.integrity(), []);
    t.strictSame(leaksOf(box), []);
  });
}
