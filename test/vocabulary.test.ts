import { inspect } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { identityOf, readClaims } from '../src/claims.js';
import { EXIT, EXIT_OF, RouterError } from '../src/errors.js';
import { identityKey, parseAccountId } from '../src/identity.js';
import { Secret } from '../src/secret.js';
import { jwt, loginOf, makeLogin, people } from './kit/tokens.js';

const codeOf = (work: () => unknown) => {
  try {
    work();
    return 'no error';
  } catch (error) {
    return error instanceof RouterError ? error.code : String(error);
  }
};

t.test('a secret cannot be shown by accident', async (t) => {
  const secret = new Secret('rt_CANARY');
  const shown = [
    `${secret}`,
    JSON.stringify({ secret }),
    inspect({ secret }),
    inspect(secret, { showHidden: true, depth: 9 }),
  ];
  for (const text of shown) t.notMatch(text, /CANARY/);
  t.equal(secret.reveal(), 'rt_CANARY');
  t.ok(secret.equals(new Secret('rt_CANARY')));
});

t.test('who a login belongs to comes from its access token', async (t) => {
  const { access, idToken, accountId, userId, email, plan } = loginOf('alice-team');
  const identity = identityOf(new Secret(access), { accountId, idToken: new Secret(idToken) });
  t.strictSame(identity, { accountId, userId, email, plan, workspace: null });
  t.equal(identityKey(identity), `${accountId}/${userId}`);
});

t.test('a file that names two workspaces or two people is refused, showing both', async (t) => {
  const { access } = loginOf('alice');
  const other = loginOf('bob');
  t.equal(
    codeOf(() => identityOf(new Secret(access), { accountId: other.accountId })),
    'IDENTITY_MISMATCH',
  );
  t.equal(
    codeOf(() => identityOf(new Secret(access), { idToken: new Secret(other.idToken) })),
    'IDENTITY_MISMATCH',
  );
  const seat = makeLogin({ ...people.alice, userId: 'user-else' });
  t.equal(
    codeOf(() => identityOf(new Secret(access), { idToken: new Secret(seat.idToken) })),
    'IDENTITY_MISMATCH',
  );
  t.throws(() => identityOf(new Secret(access), { accountId: other.accountId }), {
    message: new RegExp(`${people.alice.accountId}.*${other.accountId}`),
  });
});

t.test('a token that is not a JWT, or says nothing of its owner, is refused', async (t) => {
  for (const token of [
    '',
    'opaque-CANARY',
    'a.b',
    'a.!!.c',
    `a.${Buffer.from('[1]').toString('base64url')}.c`,
  ]) {
    t.equal(
      codeOf(() => identityOf(new Secret(token))),
      'IDENTITY_UNREADABLE',
      token,
    );
  }
  const half = jwt('x', { 'https://api.openai.com/auth': { chatgpt_account_id: 'only-half' } });
  t.equal(
    codeOf(() => identityOf(new Secret(half))),
    'IDENTITY_UNREADABLE',
  );
  t.equal(
    codeOf(() => identityOf(new Secret(jwt('x', { 'https://api.openai.com/auth': [] })))),
    'IDENTITY_UNREADABLE',
  );
});

t.test('the older claim user_id names the seat where chatgpt_user_id is missing', async (t) => {
  const claims = { chatgpt_account_id: 'acme', user_id: 'user-old' };
  const token = new Secret(jwt('x', { 'https://api.openai.com/auth': claims, exp: 100, iat: 50 }));
  t.match(readClaims(token), { userId: 'user-old', expiresAt: 100_000, issuedAt: 50_000, email: null });
});

t.test('no bytes make the claims reader do anything but return or refuse', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (payload) => {
      const token = new Secret(`x.${Buffer.from(payload).toString('base64url')}.CANARY`);
      try {
        readClaims(token);
        return true;
      } catch (error) {
        return error instanceof RouterError;
      }
    }),
  );
});

t.test('an id that could be a path, a separator or a control character is no id', async (t) => {
  for (const id of ['', '../x', 'a/b', 'a b', '\u0000', 'é', 'x'.repeat(201), 7, null]) {
    t.equal(
      codeOf(() => parseAccountId(id)),
      'IDENTITY_UNREADABLE',
      String(id),
    );
  }
});

t.test('every error code ends the process with a status of the table', async (t) => {
  const statuses: readonly number[] = Object.values(EXIT);
  for (const [code, status] of Object.entries(EXIT_OF)) {
    t.ok(statuses.includes(status), code);
    t.match(code, /^[A-Z][A-Z_]+$/);
  }
  t.equal(new RouterError('BUSY', 'x').exitCode, 75);
  t.equal(new RouterError('SLOT_FOREIGN', 'x').exitCode, 6);
});
