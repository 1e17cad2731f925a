import t from 'tap';
import { parseAuthJson } from '../../src/codex/auth-json.js';
import { identityKey } from '../../src/identity.js';
import { type ExportDeps, gatherExport, recordExport } from '../../src/router/export.js';
import { fakeRepo } from '../contract/fake-repo.js';
import { codexAuthJson, loginOf, type PersonName } from '../kit/tokens.js';
import { SURROUNDINGS } from './support.js';

const holdingOf = (name: PersonName, nonce: string) =>
  parseAuthJson(codexAuthJson(loginOf(name, { nonce })), 'test');

async function bench() {
  const fake = fakeRepo();
  const repo = await fake.open();
  await repo.save(holdingOf('alice', 'one'), { alias: 'a' });
  await repo.save(holdingOf('bob', 'one'), { alias: 'b' });
  const deps: ExportDeps = {
    ...SURROUNDINGS,
    repo,
    host: null,
    outside: [],
    hostAt: async () => {
      throw new Error('no other OpenClaw');
    },
    journal: { read: async () => [] },
    now: Date.now,
  };
  return { fake, repo, deps };
}

t.test('what is in an export is marked with the login that the file has, and no other', async (t) => {
  const { repo, deps } = await bench();
  const plan = await gatherExport(deps, []);
  await repo.save(holdingOf('bob', 'two'));
  const late = await recordExport(deps, plan);
  t.match(late, [{ alias: 'b' }], 'a login that came while the file was written is not in it');
  const entries = await repo.list();
  t.strictSame(
    entries.map(({ exported, fingerprint }) => exported === fingerprint),
    [true, false],
  );
  await repo.save(holdingOf('alice', 'two'));
  const [alice] = await repo.list();
  t.not(alice?.exported, alice?.fingerprint, 'a later login is not exported');
});

t.test('an export is whole or is not made; names one identity once', async (t) => {
  const { fake, deps, repo } = await bench();
  t.equal((await gatherExport(deps, ['a', 'alice@example.test', 'a'])).exported.length, 1);
  await t.rejects(gatherExport(deps, ['a', 'nobody']), { code: 'IDENTITY_NOT_FOUND' });
  const [alice] = await repo.list();
  fake.damage(identityKey(alice?.identity ?? holdingOf('alice', 'one').identity));
  await t.rejects(gatherExport(deps, []), { code: 'RECORD_DAMAGED' });
  t.equal((await gatherExport(deps, ['b'])).exported.length, 1);
});

t.test('what was handed over to Codex is said to be held there', async (t) => {
  const { deps, repo } = await bench();
  const [alice] = await repo.list();
  if (alice === undefined) throw new Error('nobody');
  const lending = { folder: '/home/a/.codex', what: 'grant', displaced: null, at: 1 } as const;
  await repo.lend(identityKey(alice.identity), lending);
  const { exported } = await gatherExport(deps, []);
  t.strictSame(
    exported.map(({ heldBy }) => heldBy),
    ['the Codex CLI in /home/a/.codex', null],
  );
});
