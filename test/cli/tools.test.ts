import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { leaksOf, type RouterOptions, router, sandbox } from '../kit/router.js';
import { codexAuthJson, DAY, loginOf, people } from '../kit/tokens.js';
import { everybody, plant } from '../tools/plant.js';

function bench(t: Test) {
  const box = sandbox(t);
  const vault = path.join(box.root, 'caam');
  const env = { CODEX_ROUTER_KEY: 'file', CAAM_HOME: vault };
  t.teardown(() => {
    const leaks = leaksOf(box);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
  });
  const run = (args: readonly string[], options: RouterOptions = {}) =>
    router(box, args, { ...options, env: { ...env, ...options.env } });
  const places: Readonly<Record<string, string>> = {
    'codex-oauth-profiles': box.stateDir,
    'codex-auth': box.codexHome,
    'codex-multi-auth': path.join(box.codexHome, 'multi-auth'),
    'oc-codex-multi-auth': path.join(box.home, '.opencode'),
    caam: path.join(vault, 'data', 'vault'),
    'codex-multipass': box.codexHome,
  };
  return { box, run, places };
}

const alice = people.alice.accountId;

t.test("each tool's logins come in under their own identities; what does not is said", async (t) => {
  for (const source of Object.keys(bench(t).places)) {
    const { run, places } = bench(t);
    plant(source, places[source] ?? '', everybody());
    const plan = await run(['import', '--from', source, '--dry-run', '--json']);
    t.equal(plan.code, 0, `${source}: ${plan.stderr}`);
    t.ok(plan.json.imported.length >= 2, source);
    t.equal((await run(['list', '--json'])).json.identities.length, 0, `${source}: a dry run stores nothing`);
    const done = await run(['import', '--from', source, '--json']);
    t.equal(done.code, 0, `${source}: ${done.stderr}`);
    t.match(done.json.notes, [{ code: 'SHARED_WITH_TOOL' }], source);
    const { identities } = (await run(['list', '--json'])).json;
    t.equal(identities.length, plan.json.imported.length, source);
    t.ok(
      identities.some(({ accountId }: { accountId: string }) => accountId === alice),
      source,
    );
    t.ok(
      done.json.imported.every((one: { source: string }) => one.source === source),
      source,
    );
    t.match((await run(['import', '--from', source, '--json'])).json, { result: 'unchanged' }, source);
  }
});

t.test('a store that is not there, or is damaged, stores nobody', async (t) => {
  const { run, places } = bench(t);
  t.match(await run(['import', '--from', 'codex-auth', '--json']), {
    code: 4,
    json: { error: { code: 'LOGIN_NOT_FOUND', hint: /--path/ } },
  });
  const pool = path.join(places['codex-multi-auth'] ?? '', 'openai-codex-accounts.json');
  mkdirSync(path.dirname(pool), { recursive: true });
  writeFileSync(pool, '{"version":3,"accounts":[{"refreshToken":"rt_CANARY_x"');
  t.match(await run(['import', '--from', 'codex-multi-auth', '--json']), {
    code: 6,
    json: { error: { code: 'IDENTITY_UNREADABLE', message: /not complete JSON/ } },
  });
});

t.test('of two logins of one identity in a store the newer comes in', async (t) => {
  const { run, places } = bench(t);
  const logins = everybody();
  const folder = plant('codex-multipass', places['codex-multipass'] ?? '', logins);
  const newer = loginOf('alice', { issuedAt: Date.now() + DAY });
  writeFileSync(path.join(folder, 'profiles', 'zz.json'), codexAuthJson(newer));
  const done = await run(['import', '--from', 'codex-multipass', '--json']);
  t.match(done.json.imported, [
    { identity: { alias: 'zz', accountId: alice } },
    { identity: { alias: 'work' } },
  ]);
  t.match(done.json.skipped, [{ reason: /API key/ }, { from: /personal/, reason: /is taken instead/ }]);
});

t.test('what Codex itself runs on is not taken from an older copy', async (t) => {
  const { run, places, box } = bench(t);
  plant('caam', places.caam ?? '', everybody());
  writeFileSync(
    path.join(box.codexHome, 'auth.json'),
    codexAuthJson(loginOf('alice', { issuedAt: Date.now() + DAY })),
  );
  const done = await run(['import', '--from', 'caam', '--json']);
  t.match(done.json.imported, [{ identity: { accountId: people.bob.accountId } }]);
  t.match(done.json.skipped, [{ from: /_original/ }, { reason: /import --take/ }]);
});
