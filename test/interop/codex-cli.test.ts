import t from 'tap';
import { codexCli } from '../kit/codex-cli.js';
import { startIssuer } from '../kit/issuer.js';
import { sandbox } from '../kit/router.js';
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
