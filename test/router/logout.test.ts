import t from 'tap';
import { parseAuthJson } from '../../src/codex/auth-json.js';
import { RouterError } from '../../src/errors.js';
import { identityKey } from '../../src/identity.js';
import type { OpenRepo } from '../../src/repo/repo.js';
import type { OutsideHolder } from '../../src/router/custody.js';
import { type LogoutDeps, logout, planLogout } from '../../src/router/logout.js';
import type { RevokeAnswer } from '../../src/router/revocation.js';
import { fakeRepo } from '../contract/fake-repo.js';
import { codexAuthJson, loginOf } from '../kit/tokens.js';
import { codeOf, SURROUNDINGS } from './support.js';

const holdingOf = (nonce: string) => parseAuthJson(codexAuthJson(loginOf('alice', { nonce })), 'test');

async function bench(
  answer: (repo: OpenRepo) => Promise<RevokeAnswer>,
  outside: readonly OutsideHolder[] = [],
) {
  const fake = fakeRepo();
  const repo = await fake.open();
  const entry = await repo.save(holdingOf('one'), { alias: 'a' });
  const revoked: string[] = [];
  const deps: LogoutDeps = {
    ...SURROUNDINGS,
    repo,
    host: null,
    outside,
    hostAt: async () => {
      throw new Error('no other OpenClaw');
    },
    journal: { read: async () => [] },
    now: Date.now,
    revocation: {
      revoke: async ({ refreshToken }) => {
        revoked.push(refreshToken.reveal());
        return answer(repo);
      },
    },
  };
  return { fake, repo, entry, deps, revoked, key: identityKey(entry.identity) };
}

t.test('a login that was stored during the request is another one: it is kept, and said', async (t) => {
  const { repo, entry, deps } = await bench(async (repo) => {
    await repo.save(holdingOf('two'));
    return { kind: 'revoked' };
  });
  await t.rejects(logout(deps, entry, false), {
    code: 'BUSY',
    message: /another login of it was stored meanwhile/,
  });
  t.match(await repo.list(), [{ doubt: null, fingerprint: repo.fingerprint(holdingOf('two').grant) }]);
});

t.test('removed meanwhile is removed', async (t) => {
  const { repo, entry, deps } = await bench(async (repo) => {
    await repo.remove(identityKey(holdingOf('one').identity));
    return { kind: 'revoked' };
  });
  await logout(deps, entry, false);
  t.strictSame(await repo.list(), []);
});

t.test('the mark is there before the request leaves, and is taken back where none left', async (t) => {
  const { repo, entry, deps } = await bench(async (repo) => {
    t.match(await repo.list(), [{ doubt: 'revoke-sent' }]);
    throw new RouterError('ISSUER_FOREIGN', 'not there');
  });
  t.equal(await codeOf(logout(deps, entry, false)), 'ISSUER_FOREIGN');
  t.match(await repo.list(), [{ doubt: null }]);
});

t.test(
  'an unanswered request is made twice; that the second could not be made says nothing of the first',
  async (t) => {
    const answers: RevokeAnswer[] = [
      { kind: 'unanswered', why: 'it broke' },
      { kind: 'failed', why: 'no network' },
    ];
    const { repo, entry, deps, revoked } = await bench(async () => answers.shift() ?? { kind: 'revoked' });
    await t.rejects(logout(deps, entry, false), {
      code: 'REVOKE_FAILED',
      message: /is not known: no network/,
    });
    t.equal(revoked.length, 2);
    t.match(await repo.list(), [{ doubt: 'revoke-sent' }]);
    await logout(deps, entry, false);
    t.strictSame(await repo.list(), []);
  },
);

t.test('whoever else has the login would be signed out: it is refused with what ends that', async (t) => {
  const codex: OutsideHolder = {
    name: 'the Codex CLI',
    remedy: 'codex-router import --take',
    read: async () => holdingOf('one'),
  };
  const held = await bench(async () => ({ kind: 'revoked' }), [codex]);
  await t.rejects(planLogout(held.deps, held.entry, true), {
    code: 'IDENTITY_IN_USE',
    message: /the Codex CLI holds this login/,
    hint: 'codex-router import --take',
  });
  const { repo, deps, key, revoked } = await bench(async () => ({ kind: 'revoked' }));
  for (const what of ['access', 'grant'] as const) {
    const lent = await repo.lend(key, { folder: '/home/a/.codex', what, displaced: null, at: 1 });
    await t.rejects(logout(deps, lent, true), { code: 'LENT', hint: /^codex-router unlend a/ }, what);
  }
  t.strictSame(revoked, []);
});

t.test(
  'an older login in a back-up that cannot be revoked keeps everything stored; one that somebody runs on is left',
  async (t) => {
    const answers: RevokeAnswer[] = [{ kind: 'revoked' }, { kind: 'failed', why: 'it is busy' }];
    const { repo, entry, deps, revoked } = await bench(async () => answers.shift() ?? { kind: 'revoked' });
    await repo.backUp(holdingOf('old'), 'test');
    await repo.backUp(holdingOf('old'), 'the same once more');
    await repo.backUp(holdingOf('one'), 'the stored one');
    t.equal((await planLogout(deps, entry, false)).sealed.length, 1);
    await t.rejects(logout(deps, entry, false), {
      code: 'REVOKE_FAILED',
      message: /older one in a sealed back-up is not: it is busy/,
    });
    t.match(await repo.list(), [{ doubt: 'revoke-sent' }], 'its own login is revoked');
    await logout(deps, entry, false);
    t.strictSame(await repo.list(), []);
    t.equal(revoked.length, 4);

    const codex: OutsideHolder = { name: 'the Codex CLI', remedy: '-', read: async () => holdingOf('old') };
    const held = await bench(async () => ({ kind: 'revoked' }), [codex]);
    await held.repo.backUp(holdingOf('old'), 'test');
    const done = await logout(held.deps, held.entry, false);
    t.match(done.removal.notes, [
      { code: 'COPY_LEFT', text: /the Codex CLI runs on another login of a, which is not revoked/ },
    ]);
    t.equal(done.removal.notes.length, 1, 'said once');
    t.equal(held.revoked.length, 1);
  },
);

t.test(
  'a back-up that cannot be opened is named, before and after: what is in it is not revoked',
  async (t) => {
    const { fake, repo, entry, deps, revoked } = await bench(async () => ({ kind: 'revoked' }));
    await repo.backUp(holdingOf('old'), 'test');
    await repo.backUp(parseAuthJson(codexAuthJson(loginOf('bob')), 'test'), "somebody else's");
    for (const { id } of await repo.backUps()) fake.damage(id);
    const note = {
      code: 'NOT_REVOKED',
      text: /^back-up 00000001 of it cannot be opened, so its login is not revoked/,
    };
    for (const said of [await planLogout(deps, entry, false), await logout(deps, entry, false)]) {
      t.match(said, { sealed: [], removal: { notes: [note] } });
      t.equal(said.removal.notes.length, 1, 'of this identity only');
    }
    t.equal(revoked.length, 1);
  },
);

t.test(
  'a damaged record is refused before anything is sent or marked, with what can be done instead',
  async (t) => {
    const { fake, repo, entry, deps, revoked, key } = await bench(async () => ({ kind: 'revoked' }));
    fake.damage(key);
    const refusal = { code: 'RECORD_DAMAGED', hint: /codex-router restore .*codex-router remove a forgets/ };
    await t.rejects(planLogout(deps, entry, false), refusal);
    await t.rejects(logout(deps, entry, false), refusal);
    t.strictSame(revoked, []);
    t.match(await repo.list(), [{ doubt: null }]);
  },
);
