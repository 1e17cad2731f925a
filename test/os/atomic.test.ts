import {
  chmodSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RouterError } from '../../src/errors.js';
import { writeAtomic } from '../../src/os/atomic.js';
import { ensureFolder, routerFolders } from '../../src/os/folders.js';

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);

t.test('a new file is 0600 from birth and an old one keeps its mode', async (t) => {
  const folder = t.testdir({ old: 'before' });
  chmodSync(join(folder, 'old'), 0o640);
  const born: string[] = [];
  const beforeRename = async () => {
    born.push(
      ...readdirSync(folder)
        .filter((name) => name.endsWith('.tmp'))
        .map((name) => modeOf(join(folder, name))),
    );
  };
  await writeAtomic(join(folder, 'new'), 'text', { beforeRename });
  await writeAtomic(join(folder, 'old'), 'after');
  t.strictSame(born, ['600'], 'also before it has its name');
  t.equal(modeOf(join(folder, 'new')), '600');
  t.equal(modeOf(join(folder, 'old')), '640');
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
