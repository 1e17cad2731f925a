import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { codexCli } from '../kit/codex-cli.js';
import { startIssuer } from '../kit/issuer.js';
import { photograph } from '../kit/photograph.js';
import { until } from '../kit/process.js';
import { pathOf, real } from '../kit/real.js';
import { leaksOf, PROJECT, router, sandbox } from '../kit/router.js';
import { gone, startRouter } from '../kit/start.js';
import { makeState } from '../kit/state.js';
import { people } from '../kit/tokens.js';

const LAUNCHER = path.join(PROJECT, 'test/interop/codex-0.169.0/node_modules/.bin/codex');

/** The real CLI is signed in as carol in the person's own home, and issues nothing but at the test's issuer. */
async function ready(t: Test) {
  const issuer = await startIssuer(t);
  const box = sandbox(t);
  const codex = codexCli(t, box, issuer);
  if (codex === null) return null;
  Object.assign(box.env, {
    CODEX_ROUTER_KEY: 'file',
    CODEX_ROUTER_TEST_ISSUER: issuer.url,
    CODEX_ROUTER_CODEX: pathOf('codex-0.169.0') ?? '',
    // Without these a revoke would go to the real issuer (facts: codex.md section 3.3).
    CODEX_REFRESH_TOKEN_URL_OVERRIDE: `${issuer.url}/oauth/token`,
    CODEX_REVOKE_TOKEN_URL_OVERRIDE: `${issuer.url}/oauth/revoke`,
  });
  await codex.login(people.carol);
  const homes = path.join(box.routerHome, 'codex-homes');
  return {
    issuer,
    box,
    own: codex.auth().tokens.refresh_token as string,
    state: makeState(box.stateDir, { release: '2026.5.7', slot: null }),
    home: () => readdirSync(homes).map((name) => path.join(homes, name)),
  };
}

/** The processes that have this CODEX_HOME. */
function codexIn(home: string): readonly { readonly pid: number; readonly exe: string }[] {
  return readdirSync('/proc').flatMap((name) => {
    try {
      const environ = readFileSync(`/proc/${name}/environ`, 'utf8').split('\0');
      if (!environ.includes(`CODEX_HOME=${home}`)) return [];
      return [{ pid: Number(name), exe: path.basename(readlinkSync(`/proc/${name}/exe`)) }];
    } catch {
      return [];
    }
  });
}

t.test(
  'two logins made by the real Codex: its own home is as it was, nothing is revoked, all three live on',
  async (t) => {
    const parts = await ready(t);
    if (!parts) return;
    const { issuer, box, own, home, state } = parts;
    const before = [photograph(box.codexHome), photograph(box.home)];
    const programs = [pathOf('codex-0.169.0') ?? '', LAUNCHER];
    for (const [index, person] of [people.alice, people['bob-team']].entries()) {
      issuer.approveAs(person);
      issuer.behaviour.pendingPolls = 1;
      const args = ['add', `login${index}`, '--yes', '--json', '--codex', programs[index] ?? ''];
      const run = await router(box, args, { env: { OPENAI_API_KEY: 'sk-x', CODEX_SQLITE_HOME: box.home } });
      t.match(run, { code: 0, json: { result: 'added', source: 'add', verified: true } });
      t.match(run.json.identity, { accountId: person.accountId, userId: person.userId });
      t.match(run.stderr, `${issuer.url}/codex/device`, 'Codex shows where to go');
      t.strictSame(home(), []);
    }
    t.strictSame([photograph(box.codexHome), photograph(box.home)], before);
    t.strictSame(issuer.of('revoke'), []);
    t.ok(issuer.isLive(own));
    for (const alias of ['login0', 'login1']) {
      t.match(await router(box, ['use', alias, '--json']), { code: 0 });
      const token = String(state.slot()?.refresh);
      t.match(await issuer.refresh(token), { ok: true }, `${alias} refreshes`);
    }
    t.strictSame(issuer.reuses(), []);
    t.strictSame(leaksOf(box), []);
  },
);

t.test('Ctrl-C while the real Codex waits ends it, and nothing is left', async (t) => {
  const parts = await ready(t);
  if (!parts) return;
  const { issuer, box, home } = parts;
  issuer.behaviour.pendingPolls = 1_000_000;
  const before = photograph(box.codexHome);
  const args = ['add', 'work', '--codex', LAUNCHER];
  const run = await router(box, args, { tty: [{ after: /TEST-[0-9A-F]{5}/, send: '\x03' }] });
  t.match(run, { code: 130, stdout: /codex login was stopped before it had made a login/ });
  t.strictSame(home(), []);
  t.equal(photograph(box.codexHome), before);
  t.strictSame(issuer.of('revoke'), []);
});

t.test(
  'killed with its launcher, the real Codex goes on; what it brings is stored by the next add',
  async (t) => {
    const parts = await ready(t);
    if (!parts) return;
    const { issuer, box, own, home } = parts;
    issuer.behaviour.pendingPolls = 1_000_000;
    issuer.approveAs(people.bob);
    const before = photograph(box.codexHome);
    const add = startRouter(t, box, ['add', 'work', '--yes', '--json', '--codex', LAUNCHER]);
    await until('Codex shows a code', () => add.said.stderr.includes('TEST-'));
    const [folder = ''] = home();
    const [launcher, binary] = ['node', 'codex'].map(
      (exe) => codexIn(folder).find((one) => one.exe === exe)?.pid ?? 0,
    );
    add.kill('SIGKILL');
    process.kill(launcher ?? 0, 'SIGKILL');
    await Promise.all([add.ended, gone(launcher ?? 0)]);
    const other = await router(box, ['add', 'home', '--yes', '--json', '--codex', '/bin/false']);
    t.match(other, { code: 5, json: { error: { code: 'LOGIN_FAILED' } } });
    t.ok(existsSync(folder), 'it is left alone');
    issuer.behaviour.pendingPolls = 0;
    await gone(binary ?? 0);
    t.ok(existsSync(path.join(folder, 'auth.json')));
    const again = await router(box, ['add', 'work', '--yes', '--json', '--codex', '/bin/false']);
    t.match(again, {
      code: 0,
      json: { result: 'added', identity: { alias: 'work', email: people.bob.email } },
    });
    t.strictSame(home(), []);
    t.equal(photograph(box.codexHome), before);
    t.strictSame(issuer.of('revoke'), []);
    t.ok(issuer.isLive(own));
    t.strictSame(leaksOf(box), []);
  },
);

t.test(
  'the real Codex, killed as it gives its file the last name, has made a login all the same',
  async (t) => {
    const parts = await ready(t);
    const strace = real(t, 'strace')?.strace;
    if (!parts || strace === undefined) return;
    const { issuer, box, own, home } = parts;
    issuer.approveAs(people.bob);
    const killed = path.join(box.bin, 'killed-codex');
    const inject = `-f -qq -o /dev/null -e trace=rename -e inject=rename:signal=KILL`;
    const text = `#!/bin/sh\nexec ${strace} ${inject} ${pathOf('codex-0.169.0')} "$@"\n`;
    writeFileSync(killed, text, { mode: 0o755 });
    const run = await router(box, ['add', 'work', '--yes', '--json', '--codex', killed]);
    t.match(run, { code: 0, json: { result: 'added', identity: { email: people.bob.email } } });
    t.notMatch(run.stderr, 'Successfully logged in', 'it did not come that far');
    t.strictSame(home(), []);
    t.ok(issuer.isLive(own));
    t.strictSame(issuer.of('revoke'), []);
    t.strictSame(leaksOf(box), []);
  },
);
