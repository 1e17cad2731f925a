import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { RouterError } from '../../src/errors.js';
import { writeAtomic } from '../../src/os/atomic.js';
import { open, readFile } from '../../src/os/files.js';
import { ensureFolder, routerFolders } from '../../src/os/folders.js';

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);

t.test('a new file is 0600 from birth and an old one keeps its mode, but not for others', async (t) => {
  const folder = t.testdir({ old: 'before', strict: 'before' });
  chmodSync(join(folder, 'old'), 0o644);
  chmodSync(join(folder, 'strict'), 0o400);
  const born: string[] = [];
  const beforeRename = async () => {
    born.push(
      ...readdirSync(folder)
        .filter((name) => name.endsWith('.tmp'))
        .map((name) => modeOf(join(folder, name))),
    );
  };
  await writeAtomic(join(folder, 'new'), 'text', { beforeRename });
  await writeAtomic(join(folder, 'old'), 'after', { beforeRename });
  await writeAtomic(join(folder, 'strict'), 'after');
  t.strictSame(born, ['600', '600'], 'also before it has its name');
  t.equal(modeOf(join(folder, 'new')), '600');
  t.equal(modeOf(join(folder, 'old')), '600');
  t.equal(modeOf(join(folder, 'strict')), '400');
  t.equal(readFileSync(join(folder, 'old'), 'utf8'), 'after');
});

t.test('a symlink stays a symlink and its target is replaced', async (t) => {
  const folder = t.testdir({ real: { store: 'before' } });
  symlinkSync('real/store', join(folder, 'link'));
  await writeAtomic(join(folder, 'link'), 'after');
  t.equal(readlinkSync(join(folder, 'link')), 'real/store');
  t.ok(lstatSync(join(folder, 'link')).isSymbolicLink());
  t.equal(readFileSync(join(folder, 'real', 'store'), 'utf8'), 'after');
});

t.test('a write that is abandoned leaves the old file and no temporary one', async (t) => {
  const folder = t.testdir({ store: 'before' });
  const stop = async () => {
    throw new RouterError('SLOT_CHANGED', 'it changed');
  };
  await t.rejects(writeAtomic(join(folder, 'store'), 'after', { beforeRename: stop }), {
    code: 'SLOT_CHANGED',
  });
  t.strictSame(readdirSync(folder), ['store']);
  t.equal(readFileSync(join(folder, 'store'), 'utf8'), 'before');
});

t.test('what a killed write left behind is gone after the next one, and nothing else is', async (t) => {
  const id = '0c5b9f5e-8a4e-4a8e-9d5c-2f7d1f0e6a11';
  const foreign = [
    `.other.${id}.tmp`,
    `.store.7.${id}.tmp`,
    `.store.${id}`,
    '.store.tmp',
    `store.${id}.tmp`,
    `.store.x.${id}.tmp`,
  ];
  const left = { [`.store.${id}.tmp`]: 'CANARY', store: 'before' };
  const folder = t.testdir({ ...left, ...Object.fromEntries(foreign.map((name) => [name, 'theirs'])) });
  await writeAtomic(join(folder, 'store'), 'after');
  t.strictSame(readdirSync(folder).sort(), [...foreign, 'store'].sort());
});

/** Runs `work` as somebody whom file modes bind; `folder` is theirs. */
async function unprivileged(folder: string, work: () => Promise<void>): Promise<void> {
  if (process.geteuid?.() !== 0) return work();
  chownSync(folder, 65534, 65534);
  process.seteuid?.(65534);
  try {
    await work();
  } finally {
    process.seteuid?.(0);
  }
}

t.test('a write that cannot be proved durable says that it was made', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'codex-router-test-'));
  await unprivileged(folder, async () => {
    writeFileSync(join(folder, 'store'), 'before');
    chmodSync(folder, 0o300);
    await t.rejects(writeAtomic(join(folder, 'store'), 'after'), {
      code: 'IO',
      message: /was written, but is not proved durable: permission denied/,
    });
    chmodSync(folder, 0o700);
    t.equal(readFileSync(join(folder, 'store'), 'utf8'), 'after');
  });
});

t.test('a pipe never blocks: it is refused, or opened at once', async (t) => {
  const folder = t.testdir({});
  const pipe = join(folder, 'pipe');
  t.equal(spawnSync('mkfifo', [pipe]).status, 0);
  const refused = { code: 'IO', message: `cannot read ${pipe}: it is not a regular file` };
  await t.rejects(readFile(pipe), refused);
  await t.rejects(readFile('/dev/null', 'utf8'), { code: 'IO' });
  await t.rejects(open(pipe, 'a'), { code: 'ENXIO' });
  const file = await open(pipe, 'r');
  t.ok((await file.stat()).isFIFO());
  await file.close();
});

t.test('a folder that cannot be made is not said to be missing', async (t) => {
  const folder = t.testdir({ file: '' });
  symlinkSync('nowhere', join(folder, 'link'));
  const refused = {
    code: 'IO',
    message: /could not be made: what lies there, or above it, holds no folders/,
  };
  await t.rejects(ensureFolder(join(folder, 'file')), refused);
  await t.rejects(ensureFolder(join(folder, 'link', 'data')), refused);
  if (process.platform === 'linux') await t.rejects(ensureFolder('/proc/codex-router-test/data'), refused);
  await t.rejects(ensureFolder(join(folder, 'file', 'data')), { code: 'IO', message: /is not a folder/ });
});

t.test('a folder that is a file, or missing, is one clear sentence', async (t) => {
  const folder = t.testdir({ file: '' });
  await t.rejects(writeAtomic(join(folder, 'missing', 'store'), 'x'), {
    code: 'IO',
    message: /the folder does not exist/,
  });
  await t.rejects(writeAtomic(join(folder, 'file', 'store'), 'x'), {
    code: 'IO',
    message: /is not a folder/,
  });
});

t.test('folders are made 0700 whatever the umask, and existing ones are left alone', async (t) => {
  const folder = t.testdir({ theirs: {} });
  chmodSync(join(folder, 'theirs'), 0o755);
  const old = process.umask(0);
  t.teardown(() => process.umask(old));
  await ensureFolder(join(folder, 'theirs', 'a', 'b'));
  t.equal(modeOf(join(folder, 'theirs', 'a')), '700');
  t.equal(modeOf(join(folder, 'theirs', 'a', 'b')), '700');
  t.equal(modeOf(join(folder, 'theirs')), '755');
});

t.test('the key file never lies in the folder of what it opens', async (t) => {
  for (const platform of ['linux', 'darwin', 'win32'] as const) {
    const { data, config } = routerFolders({ HOME: '/home/me' }, platform);
    t.notOk(config.startsWith(`${data}/`) || config === data, `${platform}: ${data} ${config}`);
  }
  t.equal(routerFolders({ HOME: '/h', CODEX_ROUTER_HOME: '/x' }, 'linux').data, '/x');
  t.throws(() => routerFolders({ HOME: '/h', CODEX_ROUTER_HOME: 'x' }, 'linux'), { code: 'USAGE' });
});
