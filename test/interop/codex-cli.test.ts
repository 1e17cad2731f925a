import t from 'tap';
import { findCanary } from '../kit/canary.js';
import { codexCli } from '../kit/codex-cli.js';
import { startIssuer } from '../kit/issuer.js';
import { leaksOf, router, sandbox } from '../kit/router.js';
import { makeState } from '../kit/state.js';
import { people } from '../kit/tokens.js';

t.test('the stand-in issuer is one that the real CLI logs in at, refreshes at and runs on', async (t) => {
  const issuer = await startIssuer(t);
  const codex = codexCli(t, sandbox(t), issuer);
  if (!codex) return;
  issuer.behaviour.pendingPolls = 1;
  await codex.login(people['alice-team']);
  const first = codex.auth().tokens;
  t.match(first, { account_id: people['alice-team'].accountId, oauth_provenance: { issuer: issuer.url } });
  const [{ account }] = await codex.rpc(['account/read']);
  t.match(account, { email: 'alice@example.test', planType: 'team', workspaceName: 'Acme' });
  await codex.rpc(['account/read', { refreshToken: true }]);
  t.not(codex.auth().tokens.refresh_token, first.refresh_token);
  t.match(issuer.of('refresh'), [{ refreshReason: 'forced', form: 'json', error: null }]);
  const turn = await codex.exec('say hi');
  t.match(turn.stdout, 'for alice@example.test');
  t.match(issuer.model.calls, [
    { accountHeader: people['alice-team'].accountId, email: 'alice@example.test' },
  ]);
  await codex.login(people.bob);
  t.equal(issuer.of('revoke').length, 1, 'the next login revokes what the Codex home still holds');
});

/** A Codex home, an OpenClaw state and a vault with a key file; the issuer is the one a test may name. */
async function together(t: Parameters<typeof codexCli>[0]) {
  const issuer = await startIssuer(t);
  const box = sandbox(t);
  box.env.CODEX_ROUTER_KEY = 'file';
  box.env.CODEX_ROUTER_TEST_ISSUER = issuer.url;
  const codex = codexCli(t, box, issuer);
  return codex && { issuer, box, codex, state: makeState(box.stateDir, { release: '2026.5.7' }) };
}

t.test(
  'two logins taken over one after the other both live on; the next login revokes nothing',
  async (t) => {
    const parts = await together(t);
    if (!parts) return;
    const { issuer, box, codex, state } = parts;
    const both = [people.alice, people['bob-team']];
    for (const person of both) {
      await codex.login(person);
      const given = codex.auth().tokens.refresh_token;
      const { json } = await router(box, ['import', '--take', '--key', 'file', '--json']);
      t.match(json, {
        result: 'imported',
        imported: [{ identity: { accountId: person.accountId }, result: 'added' }],
      });
      t.equal(codex.auth(), null, 'the Codex home holds no login');
      t.strictSame(
        findCanary([box.codexHome]),
        [],
        `nothing of ${given.slice(0, 3)}... is left in the Codex home`,
      );
      t.match((await codex.run(['login', 'status'])).stderr, 'Not logged in');
    }
    for (const person of both) {
      const { json } = await router(box, ['use', person.accountId, '--json']);
      t.match(json, { result: 'switched', to: { userId: person.userId } });
      const token = String(state.slot()?.refresh);
      t.equal(issuer.isLive(token), true);
      t.match(await issuer.refresh(token), { ok: true }, `${person.email} refreshes`);
    }
    t.strictSame(issuer.of('revoke'), []);
    t.strictSame(issuer.reuses(), []);
    t.strictSame(
      issuer.of('refresh').map(({ who, status }) => [who, status]),
      both.map((person) => [`${person.accountId}/${person.userId}`, 200]),
    );
    t.strictSame(leaksOf(box), []);
  },
);

t.test('a login that is kept stays in the Codex home, works there, and is marked as shared', async (t) => {
  const parts = await together(t);
  if (!parts) return;
  const { issuer, box, codex } = parts;
  await codex.login(people.carol);
  const before = codex.auth();
  const { json } = await router(box, ['import', '--keep', '--json']);
  t.match(json, { imported: [{ result: 'added', shared: 'codex', verified: false }] });
  t.strictSame(codex.auth(), before);
  const [{ account }] = await codex.rpc(['account/read']);
  t.match(account, { email: people.carol.email });
  const list = await router(box, ['list', '--json']);
  t.match(list.json, {
    identities: [{ accountId: people.carol.accountId, sharedWith: 'codex', active: false }],
  });
  t.strictSame(issuer.of('revoke'), []);
  t.strictSame(issuer.of('refresh'), [], 'an import refreshes nothing');
  t.strictSame(leaksOf(box), []);
});

t.test('without a terminal and without a choice the Codex home is left as it was', async (t) => {
  const parts = await together(t);
  if (!parts) return;
  const { issuer, box, codex } = parts;
  await codex.login(people.bob);
  const before = codex.auth();
  const refused = await router(box, ['import', '--json']);
  t.match(refused, { code: 2, json: { error: { code: 'CHOICE_NEEDED' } } });
  const foreign = await router(box, ['import', '--take', '--json'], {
    env: { CODEX_ROUTER_TEST_ISSUER: undefined },
  });
  t.match(foreign, { code: 6, json: { error: { code: 'ISSUER_FOREIGN' } } }, 'its issuer is not OpenAI');
  t.strictSame(codex.auth(), before);
  t.match((await router(box, ['list', '--json'])).json, { identities: [] });
  t.equal(issuer.isLive(before.tokens.refresh_token), true);
});
