import fc from 'fast-check';
import t from 'tap';
import { parseAuthJson } from '../../src/codex/auth-json.js';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import { closeArchive, closedBy, isArchive, openArchive } from '../../src/repo/archive.js';
import { type ArchivedLogin, encodeArchive, parseArchive } from '../../src/repo/archive-document.js';
import { DOUBTS, SOURCES } from '../../src/repo/repo.js';
import { Secret } from '../../src/secret.js';
import { findCanary } from '../kit/canary.js';
import { CANARY, codexAuthJson, loginOf, type PersonName, people } from '../kit/tokens.js';

const holdingOf = (name: PersonName, nonce = 'n'): Holding =>
  parseAuthJson(codexAuthJson(loginOf(name, { nonce, issuedAt: 1_790_000_000_000 })), 'test');

/** Secrets as text, so that two holdings can be compared. */
function shown({ holding: { identity, grant, hostFields, selection }, ...facts }: ArchivedLogin): unknown {
  const { accessToken, refreshToken, idToken, ...rest } = grant;
  const tokens = [accessToken.reveal(), refreshToken.reveal(), idToken?.reveal() ?? null];
  return JSON.parse(JSON.stringify({ identity, tokens, rest, hostFields, selection, facts }));
}

const text = fc.string({ unit: 'grapheme', maxLength: 20 });
const object = fc.dictionary(fc.string({ maxLength: 8 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 });
const milliseconds = fc.integer({ min: 0, max: 4e12 });
const login: fc.Arbitrary<ArchivedLogin> = fc
  .record({
    name: fc.constantFrom(...(Object.keys(people) as PersonName[])),
    workspace: fc.option(text),
    hasIdToken: fc.boolean(),
    expiresAt: milliseconds,
    lastRefresh: fc.option(milliseconds),
    provenance: fc.option(fc.record({ issuer: fc.webUrl(), clientId: fc.string() })),
    hostFields: object,
    selection: fc.option(object),
    alias: fc.option(text),
    source: fc.constantFrom(...SOURCES),
    verified: fc.boolean(),
    doubt: fc.option(fc.constantFrom(...DOUBTS)),
    addedAt: milliseconds,
    updatedAt: milliseconds,
  })
  .map(
    ({
      name,
      workspace,
      hasIdToken,
      expiresAt,
      lastRefresh,
      provenance,
      hostFields,
      selection,
      ...facts
    }) => {
      const { identity, grant } = holdingOf(name);
      const idToken = hasIdToken ? grant.idToken : null;
      // As the parsers of other files make them: JSON has no other objects.
      const clean = JSON.parse(JSON.stringify({ hostFields, selection }));
      const holding = {
        identity: { ...identity, workspace },
        grant: { ...grant, idToken, expiresAt, lastRefresh, provenance },
        ...clean,
      };
      return { holding, ...facts };
    },
  );

t.test('what is encoded is what is parsed', async (t) => {
  fc.assert(
    fc.property(fc.array(login, { maxLength: 5 }), milliseconds, (logins, at) => {
      const read = parseArchive(encodeArchive(logins, at), 'x').map((one) => {
        if (one.login === null) throw new Error(one.reason);
        return shown(one.login);
      });
      t.strictSame(read, logins.map(shown));
    }),
    { numRuns: 100 },
  );
});

t.test(
  'any damage to a document is an error or a login left out, and never shows what is in it',
  async (t) => {
    const facts = {
      alias: 'a',
      source: 'codex',
      verified: true,
      doubt: null,
      addedAt: 1,
      updatedAt: 1,
    } as const;
    const whole = encodeArchive([{ holding: holdingOf('alice'), ...facts }], 0);
    const value = fc.oneof(
      fc.constantFrom(null, '', 0, [], {}, '../x', 'eyJhbGciOiJub25lIn0.e30.x'),
      fc.jsonValue(),
    );
    const paths = [
      'grant',
      'accountId',
      'userId',
      'alias',
      'doubt',
      'source',
      'hostFields',
      'grant.accessToken',
      'grant.refreshToken',
      'grant.idToken',
      'grant.provenance',
    ];
    fc.assert(
      fc.property(fc.constantFrom(...paths), value, (where, instead) => {
        const document = JSON.parse(whole);
        const [first = '', second] = where.split('.');
        if (second === undefined) document.identities[0][first] = instead;
        else document.identities[0][first][second] = instead;
        try {
          const said = parseArchive(JSON.stringify(document), 'x').map((one) =>
            one.login === null ? one.reason : '',
          );
          return findCanary([], { strings: { said: said.join() } }).length === 0;
        } catch (error) {
          return error instanceof RouterError && !error.message.includes(CANARY);
        }
      }),
      { numRuns: 300 },
    );
    fc.assert(
      fc.property(fc.nat(whole.length - 2), (length) => {
        t.throws(() => parseArchive(whole.slice(0, length), 'x'), { code: 'ARCHIVE_UNREADABLE' });
      }),
      { numRuns: 50 },
    );
  },
);

/** Made for this test; it opens nothing else. */
const KEY = 'AGE-SECRET-KEY-1PCKUHS8QZX977TR2FQ9ESF6UCDYA6FUYP6QKK0XXR4Q3CH8W5GEQ65VXMJ';
const RECIPIENT = 'age1aa20vltfkh5vnmc8xjphcfv49xt375efjl2zuh4h6y8dez387ensydgx46';

t.test('what is closed to a key is told apart, opens with that key, and no changed byte opens', async (t) => {
  const plain = encodeArchive([], 0);
  const keys = { identities: new Secret(`# created by somebody\n${KEY}\n`) };
  for (const armored of [false, true]) {
    const bytes = await closeArchive(plain, { kind: 'recipients', recipients: [RECIPIENT] }, armored);
    t.ok(isArchive(bytes));
    t.equal(await closedBy(bytes, 'x'), 'identity');
    t.equal(await openArchive(bytes, 'x', keys), plain);
    if (armored) continue;
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (place, change) => {
        const changed = Uint8Array.from(bytes);
        changed[place] = (changed[place] ?? 0) ^ change;
        const code = await openArchive(changed, 'x', keys).then(
          () => 'opened',
          (error: unknown) => (error instanceof RouterError ? error.code : String(error)),
        );
        // A changed stanza is one for somebody else.
        t.match(code, /^(ARCHIVE_UNREADABLE|KEY_WRONG)$/, `byte ${place}`);
      }),
      { numRuns: 100 },
    );
  }
  for (const other of ['', '{}', '{"tokens":{}}', 'age', plain.slice(5)]) {
    t.notOk(isArchive(new TextEncoder().encode(other)), other);
  }
  t.ok(isArchive(new TextEncoder().encode(plain)));
  t.equal(await closedBy(new TextEncoder().encode(plain), 'x'), 'none');
  const bytes = await closeArchive(plain, { kind: 'recipients', recipients: [RECIPIENT] }, false);
  const notKeys = { identities: new Secret('-----BEGIN OPENSSH PRIVATE KEY-----') };
  await t.rejects(openArchive(bytes, 'x', notKeys), { code: 'USAGE' });
});
