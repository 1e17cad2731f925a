import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import t, { type Test } from 'tap';
import { withRouterLock } from '../../src/os/lock.js';
import { bare, until } from '../kit/process.js';
import { real } from '../kit/real.js';
import { PROJECT, router, type Sandbox, sandbox } from '../kit/router.js';
import { type SqlStatement, sql } from '../kit/sqlite.js';
import { codexAuthJson, loginOf, people } from '../kit/tokens.js';

interface Ready {
  readonly box: Sandbox;
  /** How often the newer Node was started, and with what. */
  runs(): readonly string[];
}

/**
 * A state directory of the SQLite era with alice in its slot. `node` on PATH is the older one that runs this test; the newer one is
 * where `place` says. Null when Node 24 is not installed.
 */
function ready(t: Test, place: 'path' | 'beside' | 'nowhere' = 'path'): Ready | null {
  const found = real(t, 'node24');
  if (found === null) return null;
  t.match(process.versions.node, /^20\./, 'the tests run on a Node without node:sqlite');
  const box = sandbox(t);
  makeSqliteState(box.stateDir);
  const log = path.join(box.root, 'newer.log');
  const newer = (folder: string) => {
    mkdirSync(folder, { recursive: true });
    rmSync(path.join(folder, 'node'), { force: true });
    const script = `#!/bin/sh\necho "$@" >> '${log}'\nexec '${found.node24}' "$@"\n`;
    writeFileSync(path.join(folder, 'node'), script, { mode: 0o755 });
  };
  if (place === 'path') newer(box.bin);
  if (place === 'beside') {
    const prefix = path.join(box.root, 'prefix');
    newer(path.join(prefix, 'bin'));
    const root = path.join(prefix, 'lib', 'node_modules', 'openclaw');
    mkdirSync(root, { recursive: true });
    writeFileSync(path.join(root, 'package.json'), '{ "name": "openclaw", "version": "2026.7.35" }');
    writeFileSync(path.join(root, 'openclaw.mjs'), '#!/usr/bin/env node\n', { mode: 0o755 });
    symlinkSync(path.join(root, 'openclaw.mjs'), path.join(box.bin, 'openclaw'));
  }
  const env: Record<string, string> = box.env;
  env.CODEX_ROUTER_KEY = 'file';
  return {
    box,
    runs: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []),
  };
}

/** As 2026.7.35 keeps it: one database per agent. */
function makeSqliteState(stateDir: string): void {
  const folder = path.join(stateDir, 'agents', 'main', 'agent');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  mkdirSync(path.join(stateDir, 'state'), { mode: 0o700 });
  writeFileSync(path.join(stateDir, 'openclaw.json'), '{}');
  const { access, refresh, expires, email, accountId, plan } = loginOf('alice');
  const entry = {
    type: 'oauth',
    provider: 'openai',
    access,
    refresh,
    expires,
    email,
    accountId,
    chatgptPlanType: plan,
  };
  const store = JSON.stringify({ version: 1, profiles: { 'openai:default': entry } });
  const made: readonly SqlStatement[] = [
    ['PRAGMA user_version = 1'],
    [
      'CREATE TABLE auth_profile_store (store_key TEXT PRIMARY KEY, store_json TEXT NOT NULL, updated_at INTEGER NOT NULL) STRICT',
    ],
    [
      'CREATE TABLE auth_profile_state (state_key TEXT PRIMARY KEY, state_json TEXT NOT NULL, updated_at INTEGER NOT NULL) STRICT',
    ],
    ["INSERT INTO auth_profile_store VALUES ('primary', ?, 1)", store],
  ];
  sql(path.join(folder, 'openclaw-agent.sqlite'), made);
  sql(path.join(stateDir, 'state', 'openclaw.sqlite'), [['PRAGMA user_version = 1']]);
}

const importBob = (box: Sandbox) =>
  router(box, ['import', '--from', '-', '--alias', 'bob', '--json'], {
    input: codexAuthJson(loginOf('bob')),
  });

t.test(
  'a command on SQLite is carried out by the Node that can read it, with its input, answer and status',
  async (t) => {
    const at = ready(t);
    if (at === null) return;
    const { box, runs } = at;
    t.match((await importBob(box)).json, { ok: true }, 'stdin is read there, and only there');
    t.match(await router(box, ['use', 'bob', '--json', '--no-session']), {
      code: 0,
      stderr: '',
      json: { result: 'switched', slot: { profileId: 'openai:default' } },
    });
    t.match((await router(box, ['list', '--json'])).json, { occupant: { accountId: people.bob.accountId } });
    t.match(await router(box, ['use', 'nobody', '--json']), {
      code: 3,
      json: { error: { code: 'IDENTITY_NOT_FOUND' } },
    });
    t.match(await router(box, ['use', 'nobody']), {
      code: 3,
      stdout: '',
      stderr: /\(IDENTITY_NOT_FOUND\)\n/,
    });
    const commands = runs().filter((line) => !line.startsWith('-p'));
    t.strictSame(
      commands.map((line) => line.replace(/^\S+codex-router\.js /, '')),
      [
        'import --from - --alias bob --json',
        'use bob --json --no-session',
        'list --json',
        'use nobody --json',
        'use nobody',
      ],
      'each once, with the same words',
    );
  },
);

t.test('the Node beside the openclaw on PATH does it, past an older one on PATH', async (t) => {
  const at = ready(t, 'beside');
  if (at === null) return;
  t.match((await router(at.box, ['list', '--json'])).json, {
    ok: true,
    slot: { profileId: 'openai:default' },
  });
  t.equal(at.runs().length, 2, 'asked for its version, then run');
});

t.test(
  'with no such Node one sentence says which is needed; nothing was read, printed or made',
  async (t) => {
    const at = ready(t, 'nowhere');
    if (at === null) return;
    const { box } = at;
    for (const args of [
      ['list'],
      ['status'],
      ['use', 'bob'],
      ['import', '--from', '-'],
      ['remove', 'bob', '--yes'],
    ]) {
      const run = await router(box, [...args, '--json'], { input: codexAuthJson(loginOf('bob')) });
      t.match(run, {
        code: 5,
        json: {
          error: {
            code: 'HOST_NODE_TOO_OLD',
            message: new RegExp(`Node ${process.versions.node} .*22\\.13`),
          },
        },
      });
    }
    t.match(await router(box, ['list']), {
      code: 5,
      stdout: '',
      stderr: /^codex-router: [^\n]+ \(HOST_NODE_TOO_OLD\)\nhint: [^\n]+\n$/,
    });
    t.notOk(existsSync(box.routerHome));
  },
);

t.test('a Node that anybody may write, that hangs, or that lies is not used', async (t) => {
  const at = ready(t, 'path');
  if (at === null) return;
  const { box, runs } = at;
  const node = path.join(box.bin, 'node');
  chmodSync(node, 0o777);
  t.match((await router(box, ['list', '--json'])).json, { error: { code: 'HOST_NODE_TOO_OLD' } });
  t.strictSame(runs(), [], 'it was not even started');
  for (const script of ['exec sleep 60', 'echo 24.1.0', 'echo "24.1.0 sqlite" >&2', 'exit 1']) {
    rmSync(node);
    writeFileSync(node, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    t.match((await router(box, ['list', '--json'])).json, { error: { code: 'HOST_NODE_TOO_OLD' } }, script);
  }
  // One that says it can, and cannot: it is tried once.
  rmSync(node);
  const liar = `#!/bin/sh\n[ "$1" = -p ] && echo "24.1.0 sqlite" || exec '${process.execPath}' "$@"\n`;
  writeFileSync(node, liar, { mode: 0o755 });
  t.match(await router(box, ['list', '--json']), { code: 5, json: { error: { code: 'HOST_NODE_TOO_OLD' } } });
});

t.test(
  'commands that look at no OpenClaw, help, and states without SQLite stay with the Node they were started with',
  async (t) => {
    const at = ready(t);
    if (at === null) return;
    const { box, runs } = at;
    await router(box, ['vault', 'status', '--json']);
    await router(box, ['alias', 'bob', 'work', '--json']);
    await router(box, ['use', '--help']);
    await router(box, ['use', '--nonsense', '--json']);
    const other = path.join(box.root, 'json-era');
    mkdirSync(path.join(other, 'agents', 'main', 'agent'), { recursive: true, mode: 0o700 });
    await router(box, ['list', '--json', '--state-dir', other]);
    t.strictSame(runs(), []);
    await router(box, ['list', '--json', '--state-dir', box.stateDir], {
      env: { OPENCLAW_STATE_DIR: other },
    });
    t.equal(runs().length, 2, 'the option decides whose it is');
  },
);

t.test('a person can answer its questions', async (t) => {
  const at = ready(t);
  if (at === null) return;
  const { box } = at;
  await importBob(box);
  const run = await router(box, ['use', '--no-session'], { tty: [{ after: /bob/, send: '\r' }] });
  t.match(run, { code: 0, stdout: /is now active/ });
});

/** Waits for codex-router's own lock, which the test holds, in a command that is in the middle of things. */
const WAITING = 'waiting for another codex-router';

t.test('Ctrl-C on a terminal ends both, with one answer', async (t) => {
  const at = ready(t);
  if (at === null) return;
  const { box } = at;
  await importBob(box);
  await withRouterLock(box.routerHome, async () => {
    const run = await router(box, ['use', 'bob', '--no-session'], {
      tty: [{ after: WAITING, send: '\x03' }],
    });
    t.equal(run.code, 130);
    t.equal(run.stdout.split('INTERRUPTED').length, 2);
  });
});

t.test('Ctrl-C on a terminal counts once: what was begun is finished first', async (t) => {
  const at = ready(t);
  if (at === null) return;
  const { box } = at;
  await importBob(box);
  // A gateway that takes the connection and never says a word: the switch then waits for it, slot already written.
  const server = createServer();
  t.teardown(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  writeFileSync(
    path.join(box.stateDir, 'openclaw.json'),
    JSON.stringify({ gateway: { port, auth: { mode: 'none' } } }),
  );
  const line = `exec '${process.execPath}' '${path.join(PROJECT, 'dist', 'codex-router.js')}' use bob --no-session`;
  const [file = '', ...args] = bare(
    ['/usr/bin/script', '--quiet', '--return', '--command', line, '/dev/null'],
    { TERM: 'xterm-256color', ...box.env, SHELL: '/bin/sh' },
  );
  const run = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  let screen = '';
  run.stdout.on('data', (chunk) => {
    screen += chunk;
  });
  const ended = once(run, 'close');
  const journal = path.join(box.routerHome, 'journal.jsonl');
  await until(
    'the slot is written',
    () => existsSync(journal) && readFileSync(journal, 'utf8').includes('"step":"swapped"'),
  );
  run.stdin.write('\x03');
  t.strictSame(await ended, [130, null]);
  t.match(screen, /stopped, after finishing what was begun/);
  t.equal((await router(box, ['status', '--json'])).json.interrupted, null);
});

/** Starts `use bob`, which waits for the lock; resolves with the process, and its child once that waits. */
async function waiting(t: Test, box: Sandbox, more: readonly string[]) {
  const program = path.join(PROJECT, 'dist', 'codex-router.js');
  const [file = '', ...args] = bare(
    [process.execPath, program, 'use', 'bob', '--no-session', ...more],
    box.env,
  );
  const run = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => run.kill('SIGKILL'));
  const out = { stdout: '', stderr: '' };
  run.stdout.on('data', (chunk) => {
    out.stdout += chunk;
  });
  run.stderr.on('data', (chunk) => {
    out.stderr += chunk;
  });
  const ended = once(run, 'close');
  await until('it waits', () => out.stderr.includes(WAITING));
  const children = readFileSync(`/proc/${run.pid}/task/${run.pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .map(Number);
  t.equal(children.length, 1);
  return { run, ended, out, child: children[0] ?? 0 };
}

t.test(
  'a signal to the command reaches the one that carries it out, whose status it ends with',
  async (t) => {
    const at = ready(t);
    if (at === null) return;
    const { box } = at;
    await importBob(box);
    await withRouterLock(box.routerHome, async () => {
      for (const [signal, status] of [
        ['SIGINT', 130],
        ['SIGTERM', 143],
        ['SIGHUP', 129],
      ] as const) {
        const { run, ended, out, child } = await waiting(t, box, ['--json']);
        run.kill(signal);
        t.strictSame(await ended, [status, null], signal);
        t.match(JSON.parse(out.stdout), { error: { code: 'INTERRUPTED' } }, 'one document');
        t.notOk(existsSync(`/proc/${child}`));
      }
      const { ended, child } = await waiting(t, box, []);
      process.kill(child, 'SIGKILL');
      t.strictSame(await ended, [137, null], 'killed: 128 and the number of the signal');
    });
  },
);
