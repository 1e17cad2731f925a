import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import t from 'tap';
import { PROJECT, program, sandbox } from '../kit/router.js';
import { makeState, readJson, SLOT } from '../kit/state.js';
import { codexAuthJson, loginOf, people } from '../kit/tokens.js';

/** npm itself, in the person's own environment: it has to reach its registry or its cache. */
const npm = (args: readonly string[], cwd: string) =>
  execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

t.test('the package, installed globally with install scripts blocked, routes a login', async (t) => {
  const box = sandbox(t);
  const [packed] = JSON.parse(
    npm(['pack', '--json', '--ignore-scripts', '--pack-destination', box.root], PROJECT),
  );
  const tarball = path.join(box.root, packed.filename);
  const files: string[] = packed.files.map((file: { path: string }) => file.path);
  t.ok(
    files.includes('dist/codex-router.js') &&
      files.includes('LICENSE') &&
      files.includes('dist/THIRD-PARTY-NOTICES.txt'),
  );
  t.strictSame(
    files.filter((file) => !/^(dist\/|docs\/|skill\/|[A-Z-]+\.md$|LICENSE$|package\.json$)/.test(file)),
    [],
  );

  const prefix = path.join(box.root, 'prefix');
  mkdirSync(prefix);
  npm(
    [
      'install',
      '--global',
      '--ignore-scripts',
      '--prefer-offline',
      '--no-audit',
      '--no-fund',
      '--prefix',
      prefix,
      tarball,
    ],
    box.root,
  );
  const installed = path.join(prefix, 'bin', 'codex-router');
  const run = (args: readonly string[], input?: string) =>
    program(box, [process.execPath, installed], args, {
      env: { CODEX_ROUTER_KEY: 'file' },
      ...(input && { input }),
    });

  const { version } = readJson(path.join(PROJECT, 'package.json')) as { version: string };
  t.equal((await run(['--version'])).stdout.trim(), version);
  const state = makeState(box.stateDir, { release: '2026.5.7', slot: null });
  t.equal((await run(['import', '--from', '-'], codexAuthJson(loginOf('alice')))).code, 0);
  t.match(await run(['use', people.alice.accountId, '--json']), { code: 0, json: { result: 'switched' } });
  const store = readJson(state.paths().profiles) as { profiles: Record<string, { accountId: string }> };
  t.equal(store.profiles[SLOT]?.accountId, people.alice.accountId);

  const modules = path.join(prefix, 'lib/node_modules/codex-router/node_modules');
  t.match(
    readJson(path.join(modules, 'keytar/package.json')),
    { name: '@github/keytar' },
    'the one dependency is there',
  );
});

t.test('publint has nothing to say', async (t) => {
  const { messages, pkg } = await publint({ pkgDir: PROJECT, strict: true });
  t.strictSame(
    messages.map((message) => formatMessage(message, pkg)),
    [],
  );
});
