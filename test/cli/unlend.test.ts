import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { findCanary } from '../kit/canary.js';
import { lendBench, refused } from '../kit/lend-bench.js';
import { DAY, people } from '../kit/tokens.js';

t.test('who was there before stays here where it was put to use meanwhile', async (t) => {
  const { run, add, signIn, auth, issuer } = await lendBench(t);
  await add('a', people.alice);
  const bob = signIn(people.bob);
  t.equal((await run('lend a --take')).code, 0);
  t.equal((await run(`use ${people.bob.accountId}`)).code, 0);
  const unlent = await run('unlend');
  t.match(unlent.json, { removed: true, restored: null, notes: [{ code: 'NOT_PUT_BACK', text: /in use/ }] });
  t.equal(auth(), null);
  t.ok(issuer.isLive(bob.refresh));
});

t.test('the own login of the identity itself comes back after its access token was lent', async (t) => {
  const { run, add, signIn, auth } = await lendBench(t);
  await add('a', people.alice, { issuedAt: Date.now() - DAY });
  const own = signIn(people.alice);
  t.match((await run('lend a --take')).json, { displaced: { alias: 'a' } });
  t.equal(auth().tokens.refresh_token, '');
  t.match((await run('unlend a')).json, { restored: { alias: 'a' } });
  t.equal(auth().tokens.refresh_token, own.refresh);
  t.match(await run('use a'), refused('IDENTITY_IN_USE'));
  t.match((await run('unlend a')).json, { handBack: 'unchanged', restored: null });
  t.equal(auth(), null);
  t.match(await run('use a'), { code: 0 });
});

t.test(
  'a handed over login whose home is gone, replaced or logged out is in doubt, and said to be',
  async (t) => {
    const { run, add, signIn, auth, box, file, entry, issuer } = await lendBench(t);
    const alice = await add('a', people.alice);
    const lose: readonly (readonly [how: string, () => void])[] = [
      ['LENT_GONE', () => rmSync(file)],
      ['LENT_REPLACED', () => void signIn(people.bob)],
      ['HOME_GONE', () => renameSync(box.codexHome, path.join(box.root, 'away'))],
    ];
    for (const [code, how] of lose) {
      t.match(await run('lend a --move'), { code: 0 });
      how();
      t.match((await run('doctor')).json.findings, [{ code: 'LENT_GONE', remedy: 'codex-router unlend a' }]);
      t.match(
        await run('use a', { env: { CODEX_HOME: undefined, HOME: box.tmp } }),
        refused('IDENTITY_IN_USE'),
      );
      const unlent = await run('unlend a');
      t.match(unlent.json, {
        removed: false,
        notes: [{ code }, { code: 'LOGIN_DOUBTFUL', text: /refresh a/ }],
      });
      t.match(await entry('a'), { lentTo: null, doubt: 'lost-outside' });
      t.match(
        await run('lend a --move'),
        refused(code === 'HOME_GONE' ? 'LOGIN_NOT_FOUND' : 'LOGIN_DOUBTFUL', code === 'HOME_GONE' ? 4 : 6),
      );
      t.match((await run('refresh a')).json, { refreshed: [{ result: 'refreshed' }] });
      t.equal((await entry('a')).doubt, null);
      if (code === 'LENT_REPLACED') rmSync(file);
    }
    t.notOk(issuer.isLive(alice.refresh));
    t.equal(auth(), null);
  },
);

t.test('a handed over login that may be in a file which cannot be taken is not given up', async (t) => {
  const { run, add, auth, file, entry } = await lendBench(t);
  const alice = await add('a', people.alice);
  t.equal((await run('lend a --move')).code, 0);
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, JSON.stringify({ ...auth(), OPENAI_API_KEY: 'sk-CANARY' }));
  t.match(await run('unlend a'), refused('CHOICE_NEEDED', 2));
  writeFileSync(file, text.slice(0, 300));
  t.match(await run('unlend a'), refused('IDENTITY_UNREADABLE'));
  t.match(await entry('a'), { lentTo: { what: 'grant' }, doubt: null });
  t.match(await run('use a'), refused('IDENTITY_IN_USE'));
  writeFileSync(file, text);
  t.match((await run('unlend a')).json, { handBack: 'unchanged' });
  t.equal((await run('lend a --move')).code, 0);
  writeFileSync(file, JSON.stringify({ auth_mode: 'apikey', OPENAI_API_KEY: 'sk-CANARY', tokens: null }));
  t.match((await run('unlend a')).json, { notes: [{ code: 'LENT_REPLACED' }, { code: 'LOGIN_DOUBTFUL' }] });
  t.equal(auth().auth_mode, 'apikey', 'and the API key is left alone');
  t.ok(alice.refresh);
});

t.test('a login stored since the hand-over wins, and what Codex has is sealed', async (t) => {
  const { run, add, auth, box } = await lendBench(t);
  await add('a', people.alice, { issuedAt: Date.now() - DAY });
  t.equal((await run('lend a --move')).code, 0);
  t.equal((await run('login --yes')).code, 0);
  t.match((await run('use a')).json, { result: 'switched' }, 'the newer one is parked');
  t.match(await run('restore 1 --yes'), refused('LENT'));
  t.match((await run('unlend a')).json, { handBack: 'repo-newer' });
  t.equal(auth(), null);
  t.strictSame(findCanary([box.codexHome]), []);
  t.ok((await run('restore')).json.backUps.length > 1);
});

t.test('what Codex made of a handed over login comes home whatever its clock says', async (t) => {
  const { run, add, signIn, issuer } = await lendBench(t);
  const alice = await add('a', people.alice);
  t.equal((await run('lend a --move')).code, 0);
  const rotated = signIn(people.alice, { issuedAt: Date.now() - 2 * DAY });
  t.match((await run('unlend a')).json, { handBack: 'taken-home' });
  t.match((await run('refresh a')).json, { refreshed: [{ result: 'refreshed' }] });
  t.equal(issuer.presentations(rotated.refresh), 1);
  t.equal(issuer.presentations(alice.refresh), 0);
});

t.test('import --take from the home of a hand-over ends it', async (t) => {
  const { run, add, entry, auth } = await lendBench(t);
  const alice = await add('a', people.alice);
  t.equal((await run('lend a --move')).code, 0);
  t.equal(auth().tokens.refresh_token, alice.refresh);
  t.match(await run('import --keep'), refused('LENT'));
  t.match((await run('import --take')).json, { imported: [{ identity: { alias: 'a' } }] });
  t.match(await entry('a'), { lentTo: null, doubt: null });
  t.match(await run('use a'), { code: 0 });
});

t.test(
  'one identity is lent to one home; which lending is meant has to be said where there are several',
  async (t) => {
    const { run, add, box } = await lendBench(t);
    await add('a', people.alice);
    await add('b', people.bob);
    const second = { env: { CODEX_HOME: path.join(box.root, 'second') } };
    mkdirSync(second.env.CODEX_HOME);
    t.equal((await run('lend a')).code, 0);
    t.match(await run('lend a', second), { code: 6, json: { error: { code: 'LENT', hint: /unlend a/ } } });
    t.equal((await run('lend b', second)).code, 0);
    t.match(await run('unlend', { env: { CODEX_HOME: box.tmp } }), refused('IDENTITY_AMBIGUOUS', 3));
    t.match((await run('unlend', second)).json, { identity: { alias: 'b' } });
    t.match((await run('unlend')).json, { identity: { alias: 'a' }, removed: true });
  },
);
