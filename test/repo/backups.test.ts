import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { identityKey } from '../../src/identity.js';
import { recordName } from '../../src/repo/files.js';
import { openedRepo } from '../../src/repo/opened.js';
import { parseHeader, sealRecord } from '../../src/repo/record.js';
import { initVault } from '../../src/repo/vault.js';
import { holding, NOON, revealed, testDeps } from './support.js';

const ONE = holding('acc-1');
const TWO = holding('acc-2');
const OLD = holding('acc-1', 'user-1', 7);
const DAY = 24 * 60 * 60 * 1000;

async function newBench() {
  let clock = NOON;
  const now = () => clock;
  const deps = testDeps({ now });
  const { vault } = await initVault(deps, { kind: 'file', keyFile: null });
  const { data } = deps.folders;
  const folder = join(data, 'backups');
  const files = { index: join(data, 'index.json'), records: join(data, 'records'), backups: folder };
  return {
    vault,
    folder,
    files,
    repo: openedRepo({ files, vault, now }),
    names: () => readdirSync(folder).sort(),
    pass: (ms: number) => {
      clock += ms;
    },
  };
}

t.test('back-ups are listed newest first, say whose and why, and open whole by their id', async (t) => {
  const { repo, pass } = await newBench();
  t.same(await repo.backUps(), [], 'without a folder there are none');
  await repo.backUp(ONE, 'the first');
  pass(1000);
  await repo.backUp(TWO, 'the second');
  pass(1000);
  await repo.backUp(OLD, 'the third');
  const found = await repo.backUps();
  t.match(found, [
    { at: NOON + 2000, identity: OLD.identity, reason: 'the third', trouble: null },
    { at: NOON + 1000, identity: TWO.identity, reason: 'the second', trouble: null },
    { at: NOON, identity: ONE.identity, reason: 'the first', trouble: null },
  ]);
  t.same(
    found.map(({ fingerprint }) => fingerprint),
    [OLD, TWO, ONE].map(({ grant }) => repo.fingerprint(grant)),
  );
  t.same(
    (await repo.backUps()).map(({ id }) => id),
    found.map(({ id }) => id),
    'ids stay',
  );
  const [third, second, first] = found.map(({ id }) => id);
  t.same(revealed(await repo.openBackUp(third ?? '')), revealed(OLD));
  t.same(revealed(await repo.openBackUp(second ?? '')), revealed(TWO));
  t.same(revealed(await repo.openBackUp(first ?? '')), revealed(ONE));
  for (const id of ['00000000', '1', '', '../index', '__proto__']) {
    await t.rejects(repo.openBackUp(id), { code: 'BACKUP_NOT_FOUND', exitCode: 3 }, id);
  }
});

t.test('a damaged back-up is listed as such, opens never, and hides no other', async (t) => {
  const { repo, vault, folder, names, pass } = await newBench();
  const elsewhere = await newBench();
  await repo.backUp(TWO, 'stays sound');
  pass(1000);
  await repo.backUp(ONE, 'to be damaged');
  await elsewhere.repo.backUp(ONE, 'of another vault');
  const name = names().at(-1) ?? '';
  const path = join(folder, name);
  const good = readFileSync(path, 'utf8');
  const id = name.slice(-8);
  const foreign = readFileSync(join(elsewhere.folder, elsewhere.names()[0] ?? ''), 'utf8');
  const twos = readFileSync(join(folder, names()[0] ?? ''), 'utf8');
  const asRecord = sealRecord(vault, { holding: ONE, facts: { ...FACTS } }, 1);
  const withHeader = (of: string, more: object) => `${JSON.stringify({ ...JSON.parse(of), ...more })}\n`;
  const damages: readonly [string, string, RegExp][] = [
    ['torn', good.slice(0, 90), /not JSON/],
    ['empty', '', /not JSON/],
    ['of another vault', foreign, /altered or belongs to another vault/],
    ["with another identity's content", twos, /its name is not the one/],
    ['with a later date', withHeader(good, { at: NOON + 5 }), /altered/],
    ['with another reason', withHeader(good, { reason: 'to be trusted' }), /altered/],
    ['without a reason', withHeader(good, { reason: undefined }), /header/],
    ['with another identity named', good.replace('acc-1', 'acc-2'), /altered/],
    ['altered in its body', flipped(good), /altered/],
    ['a record in its place', withHeader(asRecord, { at: NOON + 1000, reason: 'to be damaged' }), /altered/],
    ['of a later release', withHeader(good, { version: 99 }), /format version 99/],
  ];
  for (const [what, text, why] of damages) {
    writeFileSync(path, text);
    const [damaged, sound, ...none] = await repo.backUps();
    t.match(
      damaged,
      { id, at: NOON + 1000, identity: null, record: recordName(identityKey(ONE.identity)), trouble: why },
      what,
    );
    t.match(sound, { reason: 'stays sound', trouble: null }, what);
    t.same(none, []);
    const code = what === 'of a later release' ? 'VAULT_NEWER' : 'RECORD_DAMAGED';
    await t.rejects(repo.openBackUp(id), { code }, what);
  }
  writeFileSync(path, good);
  t.same(revealed(await repo.openBackUp(id)), revealed(ONE), 'put right again');
  t.equal(parseHeader(good, path).revision, 1);
});

const FACTS = {
  alias: null,
  source: 'file',
  verified: false,
  sharedWith: null,
  addedAt: NOON,
  updatedAt: NOON,
} as const;

/** Still base64url, another ciphertext. */
function flipped(text: string): string {
  return text.replace(/"sealed":"(.)/, (_, first) => `"sealed":"${first === 'A' ? 'B' : 'A'}`);
}

t.test('a back-up renamed to another identity or another time is detected', async (t) => {
  const { repo, folder, names } = await newBench();
  await repo.backUp(ONE, 'mine');
  const name = names()[0] ?? '';
  const [at = '', record = '', id = ''] = name.split('-');
  const renames = [
    `${at}-${recordName(identityKey(TWO.identity))}-${id}`,
    `${Number(at) + DAY}-${record}-${id}`,
  ];
  let now = name;
  for (const renamed of renames) {
    renameSync(join(folder, now), join(folder, renamed));
    now = renamed;
    t.match(await repo.backUps(), [{ id, identity: null, trouble: /its name is not the one/ }]);
    await t.rejects(repo.openBackUp(id), { code: 'RECORD_DAMAGED' });
  }
  renameSync(join(folder, now), join(folder, 'notes.txt'));
  t.same(await repo.backUps(), [], 'what has no name of ours is none of ours');
});

t.test('a folder in the place of a back-up is none, and stops no listing', async (t) => {
  const { repo, folder, names, pass } = await newBench();
  await repo.backUp(ONE, 'gone');
  const name = names()[0] ?? '';
  rmSync(join(folder, name));
  mkdirSync(join(folder, name));
  pass(1);
  await repo.backUp(TWO, 'sound');
  t.match(await repo.backUps(), [{ reason: 'sound' }]);
  t.equal((await repo.backUps()).length, 1);
});

t.test('at most 20 of each identity are kept, none older than 30 days', async (t) => {
  const { repo, names, pass } = await newBench();
  await repo.backUp(TWO, 'the only copy of another');
  for (let made = 1; made <= 22; made += 1) {
    pass(1000);
    await repo.backUp(ONE, `number ${made}`);
  }
  const found = await repo.backUps();
  t.equal(found.length, 21);
  t.equal(found[0]?.reason, 'number 22');
  t.equal(found.at(-2)?.reason, 'number 3');
  t.equal(
    found.at(-1)?.reason,
    'the only copy of another',
    'the logins of one never push out those of another',
  );
  pass(31 * DAY);
  await repo.backUp(TWO, 'a month later');
  t.equal(names().length, 1);
});

t.test('what was just sealed survives a clock that went back', async (t) => {
  const { repo, pass } = await newBench();
  for (let made = 1; made <= 20; made += 1) {
    pass(1000);
    await repo.backUp(OLD, 'before');
  }
  pass(-DAY);
  await repo.backUp(ONE, 'the only copy');
  const found = await repo.backUps();
  t.equal(found.length, 20);
  const fresh = found.find(({ reason }) => reason === 'the only copy');
  t.same(revealed(await repo.openBackUp(fresh?.id ?? '')), revealed(ONE));
});

t.test(
  'a save may say why the grant is in doubt, and a crash before the index does not forget it',
  async (t) => {
    const { repo, files } = await newBench();
    await repo.save(ONE);
    const index = readFileSync(files.index, 'utf8');
    t.equal((await repo.save(OLD, { doubt: 'restored' })).doubt, 'restored');
    t.equal((await repo.save(OLD)).doubt, 'restored', 'the same grant stays in doubt');
    const newest = readFileSync(files.index, 'utf8');
    writeFileSync(files.index, index);
    utimesSync(files.index, new Date(NOON - DAY), new Date(NOON - DAY));
    t.match(await repo.list(), [{ doubt: 'restored', fingerprint: repo.fingerprint(OLD.grant) }]);
    writeFileSync(files.index, newest);
    t.equal((await repo.save(ONE)).doubt, null, 'another grant does not inherit it');
  },
);
