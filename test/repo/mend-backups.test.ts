import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import t from 'tap';
import { roleInFolder } from '../../src/repo/house-files.js';
import { mendBackupsIn } from '../../src/repo/mend-backups.js';
import { openedRepo } from '../../src/repo/opened.js';
import { initVault } from '../../src/repo/vault.js';
import { holding, NOON, testDeps } from './support.js';

const DAY = 24 * 60 * 60 * 1000;
const WHAT = '{"kind":"pins","agent":"main","pins":[{"key":"agent:main:CANARY","was":null,"is":"x"}]}';

async function bench() {
  let clock = NOON;
  const now = () => clock;
  const deps = testDeps({ now });
  const { vault } = await initVault(deps, { kind: 'file', keyFile: null });
  const { data } = deps.folders;
  const files = {
    index: join(data, 'index.json'),
    records: join(data, 'records'),
    backups: join(data, 'backups'),
  };
  const repo = openedRepo({ files, vault, now });
  const folder = join(data, 'mends');
  return {
    folder,
    repo,
    backups: mendBackupsIn(data, repo, now),
    paths: () => readdirSync(folder).map((name) => join(folder, name)),
    pass: (ms: number) => {
      clock += ms;
    },
  };
}

t.test(
  'what was kept opens as it was, the last one first, and is forgotten when it is dropped',
  async (t) => {
    const { backups, pass, paths } = await bench();
    await t.rejects(backups.open(null), { code: 'BACKUP_NOT_FOUND', hint: 'codex-router doctor' });
    const first = await backups.keep(WHAT);
    pass(1);
    const second = await backups.keep('second');
    t.match(await backups.open(null), { id: second, text: 'second', at: NOON + 1 });
    t.match(await backups.open(first), { id: first, text: WHAT });
    await backups.drop(second);
    t.match(await backups.open(null), { id: first });
    await t.rejects(backups.open('ffffffff'), { code: 'BACKUP_NOT_FOUND', hint: /doctor --undo/ });
    for (const path of paths()) {
      t.equal(statSync(path).mode & 0o777, 0o600);
      t.equal(roleInFolder('mends', basename(path)), 'mend-back-up', 'uninstall knows it');
      t.notMatch(readFileSync(path, 'utf8'), /CANARY|pins/, 'nothing of it is in the clear');
    }
  },
);

t.test(
  'one that was altered, renamed or cut off does not open, and none opens as anything else',
  async (t) => {
    const { backups, repo, paths, folder } = await bench();
    const id = await backups.keep(WHAT);
    const [path = ''] = paths();
    const text = readFileSync(path, 'utf8');
    const { nonce, sealed } = JSON.parse(text);
    for (const purpose of ['mend', `mend|${NOON}`, `mend|${NOON}|ffffffff`, `backup|${NOON}|${id}`])
      t.equal(repo.unsealText(purpose, { nonce, sealed }), null);
    t.equal(repo.unsealText(`mend|${NOON}|${id}`, { nonce, sealed }), WHAT);
    for (const bad of ['', text.slice(0, 40), text.replace(sealed.slice(0, 4), 'AAAA')]) {
      writeFileSync(path, bad);
      await t.rejects(backups.open(id), { code: 'RECORD_DAMAGED' });
    }
    writeFileSync(path, text);
    renameSync(path, join(folder, `${NOON + 1}-${id}.json`));
    await t.rejects(backups.open(id), { code: 'RECORD_DAMAGED' }, 'its name says when');
  },
);

t.test(
  'sixty are kept at most, none for longer than thirty days, and never the newest is dropped',
  async (t) => {
    const { backups, pass, paths } = await bench();
    for (let count = 0; count < 63; count += 1) {
      pass(1000);
      await backups.keep(`${count}`);
    }
    t.equal(paths().length, 60);
    t.match(await backups.open(null), { text: '62' });
    pass(31 * DAY);
    const last = await backups.keep('late');
    t.equal(paths().length, 1);
    pass(-60 * DAY);
    const early = await backups.keep('a clock that went back');
    t.match(await backups.open(early), { text: 'a clock that went back' });
    t.match(await backups.open(last), { text: 'late' });
  },
);

t.test('back-ups of logins and of mends do not see each other', async (t) => {
  const { backups, repo } = await bench();
  const id = await backups.keep(WHAT);
  await repo.backUp(holding('acc-1'), 'a reason');
  t.equal((await repo.backUps()).length, 1);
  await t.rejects(repo.openBackUp(id), { code: 'BACKUP_NOT_FOUND' });
  const [login] = await repo.backUps();
  await t.rejects(backups.open(login?.id ?? ''), { code: 'BACKUP_NOT_FOUND' });
});
