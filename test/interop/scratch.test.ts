import t from 'tap';
import { startBackend } from '../kit/backend.js';
import { openclaw } from '../kit/openclaw.js';
import { sandbox } from '../kit/router.js';
import { makeState, profileOf, readJson, RELEASES, SLOT, writeJson } from '../kit/state.js';
import { loginOf } from '../kit/tokens.js';
for (const release of RELEASES) {
  t.test(release, async (t) => {
    const box = sandbox(t);
    const backend = await startBackend(t);
    const oc = openclaw(t, box, release);
    if (!oc) return;
    const alice = loginOf('alice'), bob = loginOf('bob');
    const state = makeState(box.stateDir, { release, slot: alice, baseUrl: backend.baseUrl });
    for (const login of [alice, bob]) {
      const store = readJson(state.paths().profiles) as any;
      store.profiles[SLOT] = profileOf(login, release);
      writeJson(state.paths().profiles, store);
      let s = Date.now();
      const turn = await oc.localTurn();
      console.error(release, 'turn', Date.now() - s, turn.code, JSON.stringify(backend.calls.map((c) => [c.via, c.path, c.email, c.accountHeader])), turn.stderr.slice(0, 1500));
      t.match(backend.take(), [{ bearer: login.access, accountHeader: login.accountId }]);
      s = Date.now();
      const status = await oc.json(['models', 'status', '--json']);
      console.error(release, 'status', Date.now() - s, JSON.stringify(status.auth?.oauth?.profiles));
    }
    const r = await oc.run(['models', 'auth', 'order', 'get', '--provider', 'openai-codex', '--json']);
    console.error(r.stdout);
  });
}
