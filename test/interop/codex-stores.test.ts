import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { findCanary } from '../kit/canary.js';
import { type CodexCli, type CodexOptions, codexCli } from '../kit/codex-cli.js';
import { type Issuer, startIssuer } from '../kit/issuer.js';
import { leaksOf, router, type Sandbox, sandbox } from '../kit/router.js';
import { type SecretService, secretService } from '../kit/secret-service.js';
import { makeState } from '../kit/state.js';
import { people } from '../kit/tokens.js';

interface Scene {
  readonly issuer: Issuer;
  readonly box: Sandbox;
  readonly service: SecretService;
  readonly codex: CodexCli;
}

/** The real Codex, whose login lies in a real keyring, and codex-router beside it with a key file. */
async function scene(t: Test, options: CodexOptions): Promise<Scene | null> {
  const issuer = await startIssuer(t);
  const box = sandbox(t);
  const service = await secretService(t, box);
  if (service === null) return null;
  const codex = codexCli(t, box, issuer, { ...options, env: service.env });
  if (codex === null) return null;
  Object.assign(box.env, { CODEX_ROUTER_TEST_ISSUER: issuer.url, CODEX_ROUTER_KEY: 'file' });
  makeState(box.stateDir, { release: '2026.5.7' });
  return { issuer, box, service, codex };
}

/** Everything below a folder, with what would change if it were written. */
function pictureOf(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.startsWith('tmp') && !name.startsWith('log'))
    .map((name) => {
      const found = lstatSync(path.join(folder, name));
      const bytes = found.isFile() ? readFileSync(path.join(folder, name)).toString('base64') : '';
      return `${name} ${found.mode} ${found.mtimeMs} ${bytes}`;
    });
}

const STORES: readonly (readonly [string, CodexOptions])[] = [
  ['in the keyring', { store: 'keyring' }],
  ['in the keyring, with the file to fall back on', { store: 'auto' }],
  ['age-encrypted under a passphrase in the keyring', { store: 'keyring', encrypted: true }],
];

for (const [where, options] of STORES) {
  t.test(`a login that Codex keeps ${where} is looked at, copied, and taken over`, async (t) => {
    const parts = await scene(t, options);
    if (parts === null) return;
    const { issuer, box, codex } = parts;
    await codex.login(people.alice);
    t.equal(codex.auth(), null, 'Codex wrote no auth.json');
    const who = { accountId: people.alice.accountId, email: people.alice.email };

    const [home, ours] = [pictureOf(box.codexHome), pictureOf(box.routerHome)];
    const planned = await router(box, ['import', '--dry-run', '--json']);
    t.match(planned.json, {
      result: 'planned',
      imported: [{ identity: who, result: 'added', grant: 'new', source: 'codex' }],
    });
    t.strictSame(pictureOf(box.codexHome), home, 'a dry run touches nothing of Codex');
    t.strictSame(pictureOf(box.routerHome), ours, 'and makes no vault');

    const kept = await router(box, ['import', '--keep', '--json']);
    t.match(kept.json, { imported: [{ identity: who, result: 'added', shared: 'codex' }] });
    t.match(
      (await router(box, ['use', who.accountId, '--json'])).json,
      { error: { code: 'IDENTITY_IN_USE' } },
      'what Codex holds there too is not routed',
    );

    // Each look at the encrypted store takes seconds of scrypt; what does not depend on the store is seen on the others.
    if (options.encrypted !== true) {
      const before = [pictureOf(box.codexHome), pictureOf(box.routerHome)];
      const again = await router(box, ['import', '--take', '--dry-run', '--json']);
      t.match(again.json, {
        result: 'planned',
        imported: [{ result: 'unchanged', changes: [{ field: 'sharedWith', from: 'codex', to: null }] }],
      });
      t.strictSame([pictureOf(box.codexHome), pictureOf(box.routerHome)], before, 'nor anything of a vault');
      t.match((await codex.run(['login', 'status'])).stderr, 'Logged in using ChatGPT');
    }

    const taken = await router(box, ['import', '--take', '--json']);
    t.match(taken.json, {
      imported: [
        { identity: who, shared: null, changes: [{ field: 'sharedWith', from: 'codex', to: null }] },
      ],
    });
    t.match((await codex.run(['login', 'status'])).stderr, 'Not logged in');
    t.match((await router(box, ['import', '--take', '--json'])).json, { error: { code: 'LOGIN_NOT_FOUND' } });

    t.strictSame(issuer.of('refresh'), [], 'nothing was refreshed by looking');
    t.match(
      (await router(box, ['refresh', who.accountId, '--json'])).json,
      { ok: true },
      'the grant is live',
    );
    t.match((await router(box, ['use', who.accountId, '--json'])).json, { result: 'switched' });
    if (options.encrypted !== true) await codex.login(people.bob);
    t.strictSame(issuer.of('revoke'), [], 'the next codex login found nothing to revoke');
    t.strictSame(leaksOf(box), []);
    t.strictSame(findCanary([box.codexHome]), []);
  });
}

t.test(
  'a keyring that cannot be read is said, each reason in its own words, and nothing is stored',
  async (t) => {
    const parts = await scene(t, { store: 'keyring' });
    if (parts === null) return;
    const { box, service, codex } = parts;
    await codex.login(people.alice);
    const refused = async (code: string, message: RegExp, env: Record<string, string | undefined> = {}) => {
      const run = await router(box, ['import', '--take', '--json'], { env });
      t.match(run, { code: 5, json: { error: { code, message } } }, code);
    };
    await refused('KEYCHAIN_NO_BUS', /no session bus/, {
      DBUS_SESSION_BUS_ADDRESS: undefined,
      XDG_RUNTIME_DIR: undefined,
    });
    // All that PATH has but secret-tool.
    for (const name of ['flock', 'timeout', 'cat', 'sh'])
      symlinkSync(`/usr/bin/${name}`, path.join(box.bin, name));
    await refused('KEYCHAIN_LIBRARY_MISSING', /secret-tool, which reads it, is not installed/, {
      PATH: box.bin,
    });
    await service.lock();
    await refused('KEYCHAIN_LOCKED', /it is locked/);
    await service.unlock();
    await service.hang();
    await refused('KEYCHAIN_HUNG', /does not answer/);
    service.resume();
    t.strictSame(pictureOf(box.routerHome), [], 'nothing of ours was made');
    t.match((await codex.run(['login', 'status'])).stderr, 'Logged in using ChatGPT');
    for (const name of ['flock', 'timeout', 'cat', 'sh']) unlinkSync(path.join(box.bin, name));
    t.match((await router(box, ['import', '--keep', '--json'])).json, { imported: [{ result: 'added' }] });
    await service.lock();
    t.match(
      (await router(box, ['use', people.alice.accountId, '--json'])).json,
      { error: { code: 'IDENTITY_IN_USE', message: /the system keyring\), where it was left/ } },
      'what was left in a keyring that is locked now counts as being there',
    );
    await service.unlock();
    t.match((await router(box, ['import', '--take', '--json'])).json, { imported: [{ shared: null }] });
    t.match((await router(box, ['use', people.alice.accountId, '--json'])).json, { result: 'switched' });
  },
);

t.test(
  'killed between sealing and taking away, the login is in both, and is not routed until it is taken',
  async (t) => {
    const parts = await scene(t, { store: 'keyring' });
    if (parts === null) return;
    const { issuer, box, codex } = parts;
    await codex.login(people.alice);
    const wrapper = path.join(box.bin, 'secret-tool');
    // What codex-router starts is this, and its parent is codex-router.
    const script = '#!/bin/sh\n[ "$1" = clear ] && kill -9 $PPID && exit\nexec /usr/bin/secret-tool "$@"\n';
    writeFileSync(wrapper, script, { mode: 0o755 });
    const killed = await router(box, ['import', '--take', '--json']);
    t.equal(killed.signal, 'SIGKILL');
    unlinkSync(wrapper);
    const { accountId } = people.alice;
    t.match((await router(box, ['list', '--json'])).json, { identities: [{ accountId, sharedWith: null }] });
    t.match((await codex.run(['login', 'status'])).stderr, 'Logged in using ChatGPT');
    t.match((await router(box, ['use', accountId, '--json'])).json, { error: { code: 'IDENTITY_IN_USE' } });
    t.match((await router(box, ['import', '--take', '--json'])).json, {
      imported: [{ result: 'unchanged' }],
    });
    t.match((await codex.run(['login', 'status'])).stderr, 'Not logged in');
    t.match((await router(box, ['use', accountId, '--json'])).json, { result: 'switched' });
    t.strictSame(issuer.of('revoke'), []);
    t.strictSame(leaksOf(box), []);
  },
);
