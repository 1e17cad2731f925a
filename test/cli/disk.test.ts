import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { runProcess } from '../kit/process.js';
import { PROJECT, router, sandbox } from '../kit/router.js';
import { makeState } from '../kit/state.js';
import { codexAuthJson, loginOf } from '../kit/tokens.js';

/** Mounting takes root; elsewhere these are skipped with this reason. */
const options =
  process.platform === 'linux' && process.getuid?.() === 0
    ? {}
    : { skip: 'mounting a disk takes root on Linux' };

async function ready(t: Test) {
  const box = sandbox(t);
  const state = makeState(box.stateDir, { release: '2026.5.7', slot: loginOf('alice') });
  const env = { ...box.env, CODEX_ROUTER_KEY: 'file' };
  await router(box, ['import', '--from', '-', '--alias', 'bob'], {
    input: codexAuthJson(loginOf('bob')),
    env,
  });
  return { box, state, env };
}

/** Everything below a folder but its folders, as `path: text`. */
function contents(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return Object.fromEntries(
    files.map((file) => {
      const full = path.join(file.parentPath, file.name);
      return [path.relative(folder, full), readFileSync(full, 'utf8')];
    }),
  );
}

const USE = [process.execPath, path.join(PROJECT, 'dist/codex-router.js'), 'use', 'bob', '--json'];

t.test('a read-only state directory is one clear sentence, and nothing changes', options, async (t) => {
  const { box, env } = await ready(t);
  const before = contents(box.stateDir);
  const script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"';
  const run = await runProcess(['unshare', '-m', 'sh', '-c', script, box.stateDir, ...USE], {
    env,
    cwd: box.home,
  });
  const { error } = JSON.parse(run.stdout);
  t.equal(run.code, 5, run.stdout + run.stderr);
  t.equal(error.code, 'IO');
  t.match(error.message, /read-only/);
  t.strictSame(contents(box.stateDir), before);
  t.equal((await router(box, ['status', '--json'])).json.interrupted, null);
});

t.test(
  'a full disk, however full: the old slot stays whole, no temporary file stays, both logins are stored',
  options,
  async (t) => {
    for (const free of [0, 1, 2, 3, 4, 6]) {
      const { box, env } = await ready(t);
      const [mount, after] = [path.join(box.root, 'mount'), path.join(box.root, 'after')];
      mkdirSync(mount);
      mkdirSync(after);
      // A disk of its own with so many free pages, on which the state directory lies.
      const script =
        'mount -t tmpfs -o size=4m none "$1" && cp -a "$2/." "$1" && dd if=/dev/zero of="$1/fill" bs=4k 2>/dev/null;' +
        ' truncate -s "-$((4 * $4))k" "$1/fill"; shift 4; "$@"; code=$?; cp -a "$MOUNT/." "$AFTER"; exit $code';
      const line = ['unshare', '-m', 'sh', '-c', script, 'sh', mount, box.stateDir, after, `${free}`, ...USE];
      const run = await runProcess(line, {
        env: { ...env, OPENCLAW_STATE_DIR: mount, MOUNT: mount, AFTER: `${after}/` },
        cwd: box.home,
      });
      const before = contents(box.stateDir);
      const now = contents(after);
      delete now.fill;
      const document = JSON.parse(run.stdout);
      t.strictSame(
        Object.keys(now).filter((name) => /\.(tmp|lock)$/.test(name)),
        [],
        `${free} pages`,
      );
      const slot = 'agents/main/agent/auth-profiles.json';
      if (document.ok) t.not(now[slot], before[slot], `${free} pages: it fitted`);
      else {
        t.equal(document.error.code, 'IO', `${free} pages`);
        t.equal(now[slot], before[slot], `${free} pages: the old slot is whole`);
      }
      const { json } = await router(box, ['list', '--json'], { env: { OPENCLAW_STATE_DIR: box.stateDir } });
      t.ok(json.identities.length >= 1);
    }
  },
);
