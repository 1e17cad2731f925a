import { createServer } from 'node:http';
import t, { type Test } from 'tap';
import { revocation } from '../../src/codex/revoke.js';
import { Secret } from '../../src/secret.js';
import { listen } from '../kit/backend.js';
import { CODEX_CLIENT_ID } from '../kit/tokens.js';

const TOKEN = 'rt_CANARY_one';

interface Heard {
  readonly path: string;
  readonly body: unknown;
}

/** A server that answers every request so; `drop` resets the connection. */
async function issuer(t: Test, answer: { status: number; headers?: Record<string, string> } | 'drop') {
  const heard: Heard[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    heard.push({ path: request.url ?? '', body: JSON.parse(Buffer.concat(chunks).toString()) });
    if (answer === 'drop') return request.socket.resetAndDestroy();
    response.writeHead(answer.status, { ...answer.headers, connection: 'close' }).end(TOKEN);
  });
  const url = `http://127.0.0.1:${await listen(server, t)}`;
  return { url, heard };
}

const grant = { refreshToken: new Secret(TOKEN), provenance: null };

t.test('the request is the one that the Codex CLI makes', async (t) => {
  const { url, heard } = await issuer(t, { status: 200 });
  const { revoke } = revocation({ env: {}, testIssuer: url });
  t.strictSame(await revoke(grant), { kind: 'revoked' });
  const body = { token: TOKEN, token_type_hint: 'refresh_token', client_id: CODEX_CLIENT_ID };
  t.strictSame(heard, [{ path: '/oauth/revoke', body }]);
  await revoke({ ...grant, provenance: { issuer: url, clientId: 'app_other' } });
  t.match(heard[1], { body: { client_id: 'app_other' } });
});

t.test('what becomes of each answer, in words without the token', async (t) => {
  const expected: readonly [status: number, kind: string][] = [
    [200, 'revoked'],
    [204, 'revoked'],
    [303, 'unanswered'],
    [400, 'failed'],
    [401, 'failed'],
    [403, 'failed'],
    [429, 'failed'],
    [500, 'unanswered'],
    [502, 'unanswered'],
    // RFC 7009, section 2.2.1: "the client must assume the token still exists".
    [503, 'failed'],
  ];
  for (const [status, kind] of expected) {
    const { url } = await issuer(t, { status, headers: { location: 'http://127.0.0.1:9/' } });
    const answer = await revocation({ env: {}, testIssuer: url }).revoke(grant);
    t.equal(answer.kind, kind, String(status));
    t.notMatch(JSON.stringify(answer), /CANARY/);
  }
  const dropped = await issuer(t, 'drop');
  t.match(await revocation({ env: {}, testIssuer: dropped.url }).revoke(grant), { kind: 'unanswered' });
  const away = await revocation({ env: {}, testIssuer: 'http://127.0.0.1:9' }).revoke(grant);
  t.match(away, { kind: 'failed', why: /takes no connections/ });
});

t.test('a login of another issuer is not sent anywhere', async (t) => {
  const { url, heard } = await issuer(t, { status: 200 });
  const foreign = { ...grant, provenance: { issuer: 'https://auth.example.test', clientId: 'x' } };
  await t.rejects(revocation({ env: {}, testIssuer: url }).revoke(foreign), { code: 'ISSUER_FOREIGN' });
  t.strictSame(heard, []);
});
