import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { launchdPlist, systemdUnit, type UnitPlan, unitEnvironment } from '../../src/cli/failover-units.js';
import { RouterError } from '../../src/errors.js';
import { PROJECT, router, sandbox } from '../kit/router.js';

const PLAN: UnitPlan = {
  node: process.execPath,
  program: path.join(PROJECT, 'dist', 'codex-router.js'),
  args: ['failover', 'watch', '--session', 'agent:main:main'],
  env: [['PATH', '/usr/bin:/bin']],
  apply: false,
};

/** Words that a shell, systemd or XML would take apart. */
const ODD = ['a b', '100%n', '$HOME', '"quoted"', '\\back', "it's", '<&>', 'agent:main:tui-é', '-100123'];

const verifies = spawnSync('systemd-analyze', ['--version']).status === 0;
const parses = spawnSync('python3', ['-c', 'import plistlib']).status === 0;

/** What systemd itself says of a unit; '' for nothing. */
function complaintsOf(folder: string, text: string): string {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = path.join(folder, 'codex-router-failover.service');
  writeFileSync(file, text, { mode: 0o600 });
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--user', '--man=no', file], {
    encoding: 'utf8',
    env: { ...process.env, XDG_RUNTIME_DIR: folder },
  });
  const ours = stderr.split('\n').filter((line) => line.includes('codex-router-failover'));
  return status === 0 && ours.length === 0 ? '' : `${status} ${stderr}`;
}

t.test('systemd finds nothing wrong with the unit, whatever a session is called', (t) => {
  if (!verifies) {
    t.equal(process.env.CI, undefined, 'systemd-analyze is missing');
    t.end();
    return;
  }
  t.equal(complaintsOf(t.testdir(), systemdUnit(PLAN)), '');
  const odd = systemdUnit({ ...PLAN, args: [...PLAN.args, ...ODD], apply: true });
  t.equal(complaintsOf(t.testdir(), odd), '');
  t.not(
    complaintsOf(t.testdir(), systemdUnit({ ...PLAN, node: '/nowhere/node' })),
    '',
    'it would find something',
  );
  t.end();
});

t.test('the unit starts again what failed, not what was stopped or is wrong, and has no privilege', (t) => {
  const lines = systemdUnit(PLAN).split('\n');
  for (const line of [
    `ExecStart=${PLAN.node} ${PLAN.program} failover watch --session agent:main:main`,
    'Restart=on-failure',
    'SuccessExitStatus=130 143',
    'RestartPreventExitStatus=2 6 75',
    'UMask=0077',
    'NoNewPrivileges=yes',
    'WantedBy=default.target',
  ]) {
    t.ok(lines.includes(line), line);
  }
  t.notMatch(lines.join('\n'), /User=|Capabilit|sudo|--apply|network|Socket/i);
  t.ok(path.isAbsolute(PLAN.node));
  t.end();
});

t.test('a word that systemd would expand or cut comes out as it was', (t) => {
  const unit = systemdUnit({ ...PLAN, args: ODD });
  const start = /^ExecStart=(.*)$/m.exec(unit)?.[1] ?? '';
  const words = [...start.matchAll(/"((?:\\.|[^"\\])*)"|(\S+)/g)].map(
    ([, quoted, plain]) =>
      plain ?? (quoted ?? '').replaceAll('%%', '%').replaceAll('$$', '$').replace(/\\(.)/g, '$1'),
  );
  t.strictSame(words.slice(2), ODD);
  t.notMatch(start.replaceAll('%%', '').replaceAll('$$', ''), /[%$]/, 'nothing is left to expand');
  for (const text of [systemdUnit, launchdPlist]) {
    t.throws(() => text({ ...PLAN, args: ['a\nExecStartPre=/bin/evil'] }), { code: 'USAGE' });
    t.throws(() => text({ ...PLAN, env: [['PATH', '/a\u0007']] }), RouterError);
  }
  t.end();
});

t.test('the plist is one, with the same words', (t) => {
  const text = launchdPlist({ ...PLAN, args: [...PLAN.args, ...ODD] });
  t.match(text, /<key>Crashed<\/key>\s*<true\/>/);
  if (!parses) {
    t.equal(process.env.CI, undefined, 'python3 is missing');
    t.end();
    return;
  }
  const script =
    'import plistlib,json,sys; json.dump(plistlib.loads(sys.stdin.buffer.read(), fmt=plistlib.FMT_XML), sys.stdout)';
  const plist = JSON.parse(execFileSync('python3', ['-c', script], { input: text, encoding: 'utf8' }));
  t.match(plist, {
    Label: 'codex-router.failover',
    RunAtLoad: true,
    Umask: 0o077,
    EnvironmentVariables: { PATH: '/usr/bin:/bin' },
  });
  t.strictSame(plist.ProgramArguments, [PLAN.node, PLAN.program, ...PLAN.args, ...ODD]);
  t.strictSame(plist.KeepAlive, { Crashed: true });
  t.end();
});

t.test('of the environment only paths and the gateway’s port go into a unit, and no secret', (t) => {
  const env = {
    HOME: '/home/a',
    CODEX_ROUTER_HOME: '/srv/router',
    OPENCLAW_STATE_DIR: '~/claw',
    OPENCLAW_OAUTH_DIR: '/srv/oauth',
    OPENCLAW_GATEWAY_PORT: '19001',
    TMPDIR: '/run/user/1/tmp',
    OPENCLAW_GATEWAY_TOKEN: 'CANARY-token',
    OPENAI_API_KEY: 'CANARY-key',
    HTTPS_PROXY: 'http://me:CANARY-word@proxy',
    CODEX_ROUTER_KEY: 'file',
    CODEX_ROUTER_KEY_FILE: 'relative',
    CODEX_ROUTER_TEST_ISSUER: 'http://127.0.0.1:1',
    PATH: '/evil:relative:/usr/bin',
  };
  t.strictSame(unitEnvironment(env, ['/opt/node/bin']), [
    ['PATH', '/opt/node/bin:/usr/local/bin:/usr/bin:/bin'],
    ['CODEX_ROUTER_HOME', '/srv/router'],
    ['OPENCLAW_OAUTH_DIR', '/srv/oauth'],
    ['OPENCLAW_STATE_DIR', '/home/a/claw'],
    ['TMPDIR', '/run/user/1/tmp'],
    ['OPENCLAW_GATEWAY_PORT', '19001'],
  ]);
  t.strictSame(unitEnvironment({ HOME: '/home/a', OPENCLAW_GATEWAY_PORT: 'CANARY-port' }, []).length, 1);
  t.end();
});

t.test('failover unit prints a dry run, applies only where it is told to, and writes nothing', async (t) => {
  const box = sandbox(t);
  const { code, stdout, stderr } = await router(
    box,
    ['failover', 'unit', '--systemd', '--session', 'agent:main:main'],
    {
      env: { HTTPS_PROXY: 'http://me:CANARY-word@proxy', OPENCLAW_GATEWAY_TOKEN: 'CANARY-token' },
    },
  );
  t.equal(code, 0);
  t.match(stdout, /^\[Unit\]\nDescription=codex-router failover watch \(dry run: changes nothing\)/);
  t.notMatch(stdout, /--apply|CANARY/);
  t.match(stderr, /systemctl --user .*enable --now codex-router-failover\.service/);
  t.match(stderr, /HTTPS_PROXY, OPENCLAW_GATEWAY_TOKEN may hold a secret, and no secret goes into the unit/);
  const words = /^ExecStart=(\S+) (\S+) /m.exec(stdout);
  for (const file of [words?.[1], words?.[2]])
    t.ok(path.isAbsolute(file ?? '') && existsSync(file ?? ''), String(file));
  const applied = await router(box, [
    'failover',
    'unit',
    '--launchd',
    '--own-slot',
    '--interval',
    '600',
    '--apply',
    '--json',
  ]);
  t.match(applied.json, {
    kind: 'launchd',
    apply: true,
    path: /Library\/LaunchAgents\/codex-router\.failover\.plist$/,
  });
  t.match(applied.json.text, /<string>--own-slot<\/string>[\s\S]*<string>--apply<\/string>/);
  t.match(applied.json.notes, [{ code: 'UNIT_APPLIES' }, { code: 'FAILOVER_NO_SESSIONS' }]);
  t.notOk(existsSync(box.routerHome));
  for (const args of [
    ['--systemd', '--launchd'],
    ['--interval', '5'],
    ['--own-slot', '--shared-slot'],
  ]) {
    t.match(await router(box, ['failover', 'unit', ...args, '--json']), { code: 2 });
  }
});

t.test('uninstall knows the service by the name that the unit is given', async (t) => {
  const box = sandbox(t);
  const { json } = await router(box, [
    'failover',
    'unit',
    '--systemd',
    '--session',
    'agent:main:main',
    '--json',
  ]);
  mkdirSync(path.dirname(json.path), { recursive: true, mode: 0o700 });
  writeFileSync(json.path, json.text, { mode: 0o600 });
  const preview = (await router(box, ['uninstall', '--dry-run', '--json'])).json;
  t.match(preview.removes, [{ kind: 'service', what: json.path }]);
  t.match(readFileSync(json.path, 'utf8'), /codex-router/);
});
