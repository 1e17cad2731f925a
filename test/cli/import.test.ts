import { existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { leaksOf, router, type Sandbox, sandbox } from '../kit/router.js';
import { makeState } from '../kit/state.js';
import { codexAuthJson, DAY, loginOf } from '../kit/tokens.js';

const T0 = Date.parse('2026-11-20T12:00:00Z');

/** Everything that codex-router, Codex or OpenClaw keep in the sandbox, and when each was last written. */
function pictureOf(box: Sandbox): readonly string[] {
  const places = [box.routerHome, box.codexHome, box.stateDir, ...box.written].filter((place) =>
    existsSync(place),
  );
  return places.flatMap((place) =>
    readdirSync(place, { recursive: true, encoding: 'utf8' }).map((name) => {
      const file = path.join(place, name);
      const found = lstatSync(file);
      return `${file} ${found.mode} ${found.mtimeMs} ${found.isFile() ? readFileSync(file, 'base64') : ''}`;
    }),
  );
}

t.test('a dry run from every kind of source writes nothing: no vault, no lock, no move', async (t) => {
  const box = sandbox(t);
  box.env.CODEX_ROUTER_KEY = 'file';
  const text = codexAuthJson(loginOf('alice', { issuedAt: T0 }));
  writeFileSync(path.join(box.codexHome, 'auth.json'), text);
  writeFileSync(path.join(box.home, 'copy.json'), codexAuthJson(loginOf('bob', { issuedAt: T0 })));
  makeState(box.stateDir, { release: '2026.5.7', slot: loginOf('carol', { issuedAt: T0 }) });
  const sources: readonly (readonly string[])[] = [
    [],
    ['--take'],
    ['--keep'],
    ['--from', 'codex'],
    ['--from', path.join(box.home, 'copy.json')],
    ['--from', '-'],
    ['--from', 'openclaw'],
  ];
  const dryRuns = async (results: readonly string[]) => {
    const before = pictureOf(box);
    for (const [at, source] of sources.entries()) {
      const args = ['import', ...source, '--dry-run', '--json'];
      const run = await router(box, args, { input: source[1] === '-' ? text : '' });
      t.match(run.json, { result: 'planned', imported: [{ result: results[at] }] }, source.join(' '));
      t.strictSame(pictureOf(box), before, source.join(' '));
    }
  };
  await dryRuns(Array(7).fill('added'));
  await router(box, ['import', '--keep', '--json']);
  await router(box, ['import', '--from', 'openclaw', '--json']);
  await dryRuns(['unchanged', 'unchanged', 'unchanged', 'unchanged', 'added', 'unchanged', 'unchanged']);
  const later = codexAuthJson(loginOf('alice', { issuedAt: T0 + DAY, plan: 'pro' }));
  const planned = await router(box, ['import', '--from', '-', '--dry-run'], { input: later });
  t.match(
    planned.stdout,
    /^updated {4}alice@example.test \(pro, account a1111111\)\n {11}from {9}standard input\n {11}login {8}another .*\n {11}plan {9}plus -> pro\n/,
  );
  t.match(planned.stderr, /is a copy: .*\nnothing was written: this was a dry run\n$/s);
  t.strictSame(leaksOf(box), []);
});

t.test('--from names what there is, and says so of what there is not', async (t) => {
  const box = sandbox(t);
  const refused = async (args: readonly string[], code: string, exit: number) =>
    t.match(
      await router(box, ['import', ...args, '--dry-run', '--json']),
      { code: exit, json: { error: { code } } },
      args.join(' '),
    );
  await refused(['--from', 'codex'], 'LOGIN_NOT_FOUND', 4);
  await refused(['--from', 'caam'], 'LOGIN_NOT_FOUND', 4);
  await refused(['--from', './caam'], 'LOGIN_NOT_FOUND', 4);
  await refused(['--from', 'caam', '--take'], 'USAGE', 2);
  await refused(['--from', 'openclaw', '--path', '/x'], 'USAGE', 2);
  t.match((await router(box, ['import', '--help'])).stdout, /codex-multipass[\s\S]*--dry-run/);
});
