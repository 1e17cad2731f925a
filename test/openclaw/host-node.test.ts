import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { findHostNode, findHostPackage, type HostNodeDeps, satisfies } from '../../src/openclaw/host-node.js';
import { bare } from '../kit/process.js';
import { real } from '../kit/real.js';
import { sandbox } from '../kit/router.js';

interface Ground {
  readonly root: string;
  readonly newer: string;
  readonly deps: HostNodeDeps;
  /** A link to the newer Node. */
  link(...names: string[]): string;
  /** A package `openclaw` in this folder; its program. */
  install(folder: string, program: string, engines?: string): string;
}

/** PATH holds one empty folder and the older Node's; null when Node 24 is not installed. */
function groundOf(t: Test): Ground | null {
  const found = real(t, 'node24');
  if (found === null) return null;
  const { root, home, stateDir } = sandbox(t);
  const bin = path.join(root, 'on-path');
  mkdirSync(bin);
  const write = (file: string, text: string) => {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text, { mode: 0o755 });
    return file;
  };
  return {
    root,
    newer: found.node24,
    deps: {
      env: { PATH: `${bin}:relative:${path.dirname(process.execPath)}`, HOME: home },
      platform: 'linux',
      stateDir,
      configPath: path.join(stateDir, 'openclaw.json'),
      uid: process.getuid?.() ?? null,
    },
    link: (...names) => {
      const file = path.join(root, ...names);
      mkdirSync(path.dirname(file), { recursive: true });
      symlinkSync(found.node24, file);
      return file;
    },
    install: (folder, program, engines) => {
      const manifest = {
        name: 'openclaw',
        version: '2026.7.35',
        ...(engines && { engines: { node: engines } }),
      };
      write(path.join(root, folder, 'package.json'), JSON.stringify(manifest));
      return write(path.join(root, folder, 'openclaw.mjs'), program);
    },
  };
}

t.test('finds a Node with node:sqlite wherever OpenClaw has one', async (t) => {
  const cases: readonly [string, RegExp, (at: Ground) => void][] = [
    ['on PATH', /^PATH$/, (at) => void at.link('on-path', 'node')],
    [
      'named by the program itself',
      /names it$/,
      (at) => {
        const program = at.install('anywhere', `#!${at.link('own', 'node')}\n`);
        symlinkSync(program, path.join(at.root, 'on-path', 'openclaw'));
      },
    ],
    [
      'in the npm prefix of the program',
      /^the npm prefix of /,
      (at) => {
        // As a version manager lays it out: the folder is on PATH late, and an older Node comes first.
        const program = at.install('versions/v24/lib/node_modules/openclaw', '#!/usr/bin/env node\n');
        mkdirSync(path.join(at.root, 'versions/v24/bin'));
        symlinkSync(program, path.join(at.root, 'versions/v24/bin/openclaw'));
        symlinkSync(
          path.join(at.root, 'versions/v24/bin/openclaw'),
          path.join(at.root, 'on-path', 'openclaw'),
        );
        at.link('versions', 'v24', 'bin', 'node');
      },
    ],
    [
      'in a service of systemd',
      /^openclaw-gateway-work\.service$/,
      (at) => {
        const unit = `[Service]\nEnvironment=A=b\nExecStart="${at.link('with blank', 'node')}" --max-old-space-size=1 /opt/openclaw/dist/index.js gateway\n`;
        const folder = path.join(at.root, 'home', '.config', 'systemd', 'user');
        mkdirSync(folder, { recursive: true });
        writeFileSync(path.join(folder, 'openclaw-gateway-work.service'), unit);
        writeFileSync(path.join(folder, 'other.service'), '[Service]\nExecStart=/bin/false\n');
      },
    ],
  ];
  for (const [name, source, prepare] of cases) {
    await t.test(name, async (t) => {
      const at = groundOf(t);
      if (at === null) return;
      t.equal(await findHostNode(at.deps), null, 'none before');
      prepare(at);
      const found = await findHostNode(at.deps);
      t.match(found, { path: at.newer, version: /^24\./, source });
      t.equal(await findHostNode(at.deps, '>=26.1.0'), null, 'none that the package says it needs');
    });
  }
});

t.test('finds the Node and the package of a service of launchd', async (t) => {
  const at = groundOf(t);
  if (at === null) return;
  const program = at.install('app', '');
  const folder = path.join(at.root, 'home', 'Library', 'LaunchAgents');
  mkdirSync(folder, { recursive: true });
  const words = [at.link('a&b', 'node').replace('&', '&amp;'), program, 'gateway'];
  const list = words.map((word) => `<string>${word}</string>`).join('\n');
  const plist = `<plist><dict><key>ProgramArguments</key>\n<array>\n${list}</array></dict></plist>`;
  writeFileSync(path.join(folder, 'ai.openclaw.gateway.plist'), plist);
  const deps = { ...at.deps, platform: 'darwin' } as const;
  t.match(await findHostNode(deps), { path: at.newer, source: 'ai.openclaw.gateway.plist' });
  t.match(await findHostPackage(deps), {
    root: path.join(at.root, 'app'),
    version: '2026.7.35',
    engines: null,
  });
});

t.test(
  'finds the Node and the package of the running gateway',
  { skip: process.platform !== 'linux' },
  async (t) => {
    const at = groundOf(t);
    if (at === null) return;
    const { stateDir, configPath } = at.deps;
    const program = at.install(
      'app',
      'process.stdout.write("up"); setInterval(() => undefined, 1000);',
      '>=24.15.0 <25 || >=25.9.0',
    );
    const [file = '', ...args] = bare([at.link('gw', 'node'), program, 'gateway', 'run'], {});
    const gateway = spawn(file, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    t.teardown(() => gateway.kill('SIGKILL'));
    await once(gateway.stdout, 'data');
    const hash = createHash('sha256').update(configPath).digest('hex').slice(0, 8);
    const folder = path.join(stateDir, 'tmp', `openclaw-${process.getuid?.()}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      path.join(folder, `gateway.${hash}.lock`),
      JSON.stringify({ pid: gateway.pid, configPath }),
    );
    t.match(await findHostNode(at.deps), { path: at.newer, source: 'the running gateway' });
    const found = await findHostPackage(at.deps);
    t.match(found, {
      root: path.join(at.root, 'app'),
      engines: '>=24.15.0 <25 || >=25.9.0',
      source: 'the running gateway',
    });
    t.match(await findHostNode(at.deps, found?.engines), { path: at.newer });
  },
);

t.test('finds the package behind the program on PATH, however it was put there', async (t) => {
  const layouts: readonly [string, string, string][] = [
    ['a link into the package', 'lib/node_modules/openclaw', 'link'],
    ['a wrapper in <prefix>/bin', 'lib/node_modules/openclaw', 'wrapper'],
    ['a wrapper in node_modules/.bin', 'openclaw', 'wrapper'],
  ];
  for (const [name, folder, how] of layouts) {
    const at = groundOf(t);
    if (at === null) return;
    const program = at.install(folder, '#!/usr/bin/env node\n', '>=22');
    const onPath = path.join(at.root, 'on-path', 'openclaw');
    if (how === 'link') symlinkSync(program, onPath);
    else writeFileSync(onPath, '#!/bin/sh\n', { mode: 0o755 });
    t.match(
      await findHostPackage(at.deps),
      { root: path.join(at.root, folder), version: '2026.7.35', engines: '>=22' },
      name,
    );
  }
  const at = groundOf(t);
  if (at === null) return;
  t.equal(await findHostPackage(at.deps), null, 'none');
});

t.test('neither runs nor trusts what another user may have written', async (t) => {
  const at = groundOf(t);
  if (at === null) return;
  const seen = path.join(at.root, 'seen');
  const node = path.join(at.root, 'on-path', 'node');
  writeFileSync(node, `#!/bin/sh\ntouch '${seen}'\nexec '${at.newer}' "$@"\n`, { mode: 0o755 });
  t.match(await findHostNode(at.deps), { path: node });
  rmSync(seen);
  const refused = async (why: string, deps = at.deps) => {
    t.equal(await findHostNode(deps), null, why);
    t.throws(() => rmSync(seen), { code: 'ENOENT' }, 'it was not started');
  };
  chmodSync(node, 0o757);
  await refused('it is world-writable');
  chmodSync(node, 0o755);
  chmodSync(path.dirname(node), 0o777);
  await refused('anybody may put another one there');
  chmodSync(path.dirname(node), 0o1777);
  t.match(await findHostNode(at.deps), { path: node }, 'only its owner may');
});

t.test('a package says which Node it needs', async (t) => {
  const range = '>=22.22.3 <23 || >=24.15.0 <25 || >=25.9.0';
  for (const version of ['22.22.3', '22.30.0', '24.15.0', '24.21.1', '25.9.0', '26.0.0'])
    t.ok(satisfies(version, range), version);
  for (const version of ['20.20.2', '22.13.0', '22.22.2', '23.0.0', '24.14.9', '25.0.0'])
    t.notOk(satisfies(version, range), version);
  t.ok(satisfies('1.0.0', null));
  t.ok(satisfies('24.0.0', 'lts/*'), 'what is not understood refuses nothing');
});
