import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { looksTorn, otherCredentials, parseAuthJson } from '../../src/codex/auth-json.js';
import { absentLogin, codexHome, readLogin } from '../../src/codex/home.js';
import { decodeLogin, LARGEST_LOGIN, readLoginFile } from '../../src/codex/login-file.js';
import { RouterError } from '../../src/errors.js';
import { sandbox } from '../kit/router.js';
import {
  CANARY,
  codexAuthJson,
  DAY,
  jwt,
  type Login,
  loginOf,
  OPENAI_ISSUER,
  payloadOf,
} from '../kit/tokens.js';

type Fields = Record<string, unknown>;

/** The file of a login with fields changed; undefined takes one away. */
function changed(login: Login, top: Fields, tokens: Fields = {}): string {
  const file = JSON.parse(codexAuthJson(login));
  return JSON.stringify({
    ...file,
    ...top,
    tokens: 'tokens' in top ? top.tokens : { ...file.tokens, ...tokens },
  });
}

function refusal(work: () => unknown): RouterError {
  try {
    work();
  } catch (error) {
    if (error instanceof RouterError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

async function rejection(work: Promise<unknown>): Promise<RouterError> {
  return work.then(
    () => Promise.reject(new Error('nothing was refused')),
    (error) => (error instanceof RouterError ? error : Promise.reject(error)),
  );
}

t.test('reads a login of every shape that Codex has written', async (t) => {
  const login = loginOf('alice');
  for (const era of ['historic', '0.163', '0.169'] as const) {
    const { identity, grant, hostFields, selection } = parseAuthJson(codexAuthJson(login, era), 'auth.json');
    t.match(
      identity,
      { accountId: login.accountId, userId: login.userId, email: login.email, plan: 'plus' },
      era,
    );
    t.equal(grant.refreshToken.reveal(), login.refresh);
    t.equal(grant.accessToken.reveal(), login.access);
    t.equal(grant.idToken?.reveal(), login.idToken);
    t.equal(grant.expiresAt, login.expires);
    t.equal(grant.lastRefresh, login.issued, 'a time of nanoseconds is read');
    t.strictSame(
      grant.provenance,
      era === '0.169' ? { issuer: OPENAI_ISSUER, clientId: 'app_EMoamEEZ73f0CkXaXp7hrann' } : null,
    );
    t.strictSame([hostFields, selection], [{}, null]);
  }
});

t.test(
  'reads what others write too: missing optional fields, an offset, a key beside the login',
  async (t) => {
    const login = loginOf('bob');
    const accepted: readonly (readonly [string, string])[] = [
      ['no account_id', changed(login, {}, { account_id: null })],
      ['no id_token', changed(login, {}, { id_token: undefined })],
      ['the access token as id_token', changed(login, {}, { id_token: login.access })],
      ['an id_token that is no JWT', changed(login, {}, { id_token: 'opaque' })],
      ['no OPENAI_API_KEY', changed(login, { OPENAI_API_KEY: undefined })],
      ['an offset in last_refresh', changed(login, { last_refresh: '2026-11-21T15:06:14+00:00' })],
      ['unknown fields', changed(login, { agent: 1 }, { more: [] })],
      [
        'an API key and tokens, without auth_mode',
        changed(login, { auth_mode: undefined, OPENAI_API_KEY: 'sk-CANARY' }),
      ],
      [
        'four tokens and nothing else',
        JSON.stringify({ tokens: JSON.parse(codexAuthJson(login, 'historic')).tokens }),
      ],
      ['last_refresh null', changed(login, { last_refresh: null })],
      ['an empty id_token and account_id', changed(login, {}, { id_token: '', account_id: '' })],
      ['an agent identity record beside it', changed(login, { agent_identity: { agent_id: CANARY } })],
      ['an agent identity JWT beside it', changed(login, { agent_identity: `a.b.${CANARY}` })],
      [
        'every other field of 0.169, null',
        changed(login, {
          agent_identity: null,
          personal_access_token: null,
          bedrock_api_key: null,
          bedrock_access_keys: null,
        }),
      ],
      [
        'oauth_provenance and login_owner_id null',
        changed(login, {}, { oauth_provenance: null, login_owner_id: null }),
      ],
      ['compact, as in a keyring', JSON.stringify(JSON.parse(codexAuthJson(login)))],
      [
        'a slash behind the issuer',
        changed(login, {}, { oauth_provenance: { issuer: `${OPENAI_ISSUER}/`, client_id: 'c' } }),
      ],
    ];
    for (const [name, text] of accepted) {
      t.equal(parseAuthJson(text, 'auth.json').identity.accountId, login.accountId, name);
    }
    t.equal(parseAuthJson(changed(login, {}, { id_token: 'opaque' }), 'x').grant.idToken, null);
  },
);

t.test(
  'without an exp the token is trusted as long as Codex trusts it, and without a date not at all',
  async (t) => {
    const login = loginOf('carol');
    const { exp: _, ...claims } = payloadOf(login.access);
    const access_token = jwt('no-exp', claims);
    const last_refresh = '2026-11-21T15:06:14.000Z';
    const dated = parseAuthJson(changed(login, { last_refresh }, { access_token }), 'auth.json');
    t.equal(dated.grant.expiresAt, Date.parse(last_refresh) + 8 * DAY);
    const undated = parseAuthJson(changed(login, { last_refresh: undefined }, { access_token }), 'auth.json');
    t.equal(undated.grant.expiresAt, 0);
    t.equal(undated.grant.lastRefresh, null);
  },
);

t.test(
  'refuses each thing that is not a usable login in one sentence that names the file and no secret',
  async (t) => {
    const login = loginOf('alice');
    const other = loginOf('alice-team');
    const tokens = (fields: Fields) => changed(login, {}, fields);
    const cases: readonly (readonly [string, string, RegExp])[] = [
      ['{"OPENAI_API_KEY":"sk-CANARY"}', 'LOGIN_NOT_FOUND', /holds an API key, not/],
      [changed(login, { auth_mode: 'apikey' }), 'LOGIN_NOT_FOUND', /holds an API key, not/],
      [tokens({ refresh_token: '  ' }), 'IDENTITY_UNREADABLE', /refresh_token/],
      [changed(login, { auth_mode: 'chatgptAuthTokens' }), 'LOGIN_NOT_FOUND', /lent to Codex/],
      [changed(login, { auth_mode: 'personalAccessToken' }), 'LOGIN_NOT_FOUND', /personalAccessToken/],
      [changed(login, { auth_mode: 'ChatGPT' }), 'LOGIN_NOT_FOUND', /another kind \(auth_mode ChatGPT\)/],
      [changed(login, { auth_mode: 'headers' }), 'LOGIN_NOT_FOUND', /auth_mode headers/],
      [
        `{"auth_mode":"agentIdentity","agent_identity":"a.b.${CANARY}"}`,
        'LOGIN_NOT_FOUND',
        /auth_mode agentIdentity/,
      ],
      [`{"agent_identity":{"agent_id":"${CANARY}"}}`, 'LOGIN_NOT_FOUND', /holds an agent identity, not/],
      [`{"personal_access_token":"at-${CANARY}"}`, 'LOGIN_NOT_FOUND', /holds a personal access token, not/],
      [
        '{"bedrock_api_key":{},"bedrock_access_keys":{}}',
        'LOGIN_NOT_FOUND',
        /Bedrock API key and Bedrock access/,
      ],
      [changed(login, { auth_mode: '\u001b[31mx' }), 'LOGIN_NOT_FOUND', /of an unknown kind/],
      [changed(login, { auth_mode: 7 }), 'IDENTITY_UNREADABLE', /no usable auth_mode/],
      [tokens({ refresh_token: '' }), 'LOGIN_NOT_FOUND', /without a refresh token/],
      ['{}', 'LOGIN_NOT_FOUND', /holds no ChatGPT login/],
      [changed(login, { tokens: null }), 'LOGIN_NOT_FOUND', /holds no ChatGPT login/],
      ['{"version":1,"profiles":{"openai-codex:default":{}}}', 'LOGIN_NOT_FOUND', /auth-profiles\.json/],
      [`\uFEFF${codexAuthJson(login)}`, 'IDENTITY_UNREADABLE', /byte order mark/],
      ['', 'IDENTITY_UNREADABLE', /is empty/],
      [' \n', 'IDENTITY_UNREADABLE', /is empty/],
      [codexAuthJson(login).slice(0, -40), 'IDENTITY_UNREADABLE', /not complete JSON/],
      [login.refresh, 'IDENTITY_UNREADABLE', /not complete JSON/],
      ['[]', 'IDENTITY_UNREADABLE', /not the object/],
      ['"text"', 'IDENTITY_UNREADABLE', /not the object/],
      ['null', 'IDENTITY_UNREADABLE', /not the object/],
      [changed(login, { tokens: 'x' }), 'IDENTITY_UNREADABLE', /no usable tokens:/],
      [tokens({ access_token: 5 }), 'IDENTITY_UNREADABLE', /no usable tokens\.access_token:/],
      [tokens({ refresh_token: undefined }), 'IDENTITY_UNREADABLE', /no usable tokens\.refresh_token:/],
      [changed(login, { last_refresh: 1763737574 }), 'IDENTITY_UNREADABLE', /no usable last_refresh/],
      [changed(login, { last_refresh: 'yesterday' }), 'IDENTITY_UNREADABLE', /not a date/],
      [tokens({ access_token: `opaque-${CANARY}` }), 'IDENTITY_UNREADABLE', /not a JWT/],
      [tokens({ account_id: other.accountId }), 'IDENTITY_MISMATCH', /two different workspaces/],
      [
        tokens({ id_token: loginOf('bob-team').idToken, account_id: null }),
        'IDENTITY_MISMATCH',
        /two different/,
      ],
      [tokens({ id_token: other.idToken }), 'IDENTITY_MISMATCH', /two different workspaces/],
      [
        tokens({ oauth_provenance: { issuer: OPENAI_ISSUER } }),
        'IDENTITY_UNREADABLE',
        /oauth_provenance\.client_id/,
      ],
      [
        tokens({ oauth_provenance: { issuer: OPENAI_ISSUER, client_id: ' ' } }),
        'IDENTITY_UNREADABLE',
        /client_id/,
      ],
    ];
    for (const [text, code, sentence] of cases) {
      const error = refusal(() => parseAuthJson(text, 'some/auth.json'));
      t.equal(error.code, code, error.message);
      t.match(error.message, sentence);
      t.match(error.message, 'some/auth.json');
      t.match(error.message, /^[^A-Z\n]?[^\n]*[^.\n]$/, 'one sentence');
      t.ok(error.hint, 'a next step');
      t.notMatch(`${error.message} ${error.hint} ${String(error.cause)}`, CANARY);
    }
  },
);

t.test('a refresh token is never bound to an issuer that is not OpenAI', async (t) => {
  const login = loginOf('alice');
  const from = (issuer: string) => codexAuthJson(login, '0.169', { issuer });
  const loopback = 'http://127.0.0.1:4455';
  for (const issuer of [
    'https://evil.example',
    'https://auth.openai.com.evil.example',
    'https://auth.openai.com@evil.example',
    'https://auth.openai.com:8443',
    'https://auth.openai.com/prefix',
    'https://auth.openai.com?x',
    'http://auth.openai.com',
    'auth.openai.com',
    '',
    loopback,
  ]) {
    t.equal(refusal(() => parseAuthJson(from(issuer), 'x')).code, 'ISSUER_FOREIGN', issuer);
  }
  t.equal(parseAuthJson(from(loopback), 'x', loopback).grant.provenance?.issuer, loopback, 'the test switch');
  t.equal(refusal(() => parseAuthJson(from(loopback), 'x', 'http://127.0.0.1:1')).code, 'ISSUER_FOREIGN');
  const evil = 'https://evil.example';
  t.equal(
    refusal(() => parseAuthJson(from(evil), 'x', evil)).code,
    'ISSUER_FOREIGN',
    'the switch is for loopback only',
  );
});

t.test('names every other credential that removing the file would destroy', async (t) => {
  const login = loginOf('alice');
  t.strictSame(otherCredentials(codexAuthJson(login)), []);
  t.strictSame(otherCredentials('half'), []);
  t.strictSame(
    otherCredentials(changed(login, { OPENAI_API_KEY: 'sk', bedrock_api_key: {}, agent_identity: null })),
    ['an API key', 'a Bedrock API key'],
  );
});

t.test('a Codex home that is named must exist, and the default one need not', async (t) => {
  const box = sandbox(t);
  const { folder } = await codexHome({ HOME: box.home });
  t.equal(folder, join(box.home, '.codex'));
  t.equal((await codexHome({ HOME: box.home, CODEX_HOME: '' })).folder, folder);
  for (const CODEX_HOME of [join(box.root, 'none'), process.execPath]) {
    const error = await rejection(codexHome({ CODEX_HOME }));
    t.match(error, { code: 'LOGIN_NOT_FOUND', message: CODEX_HOME });
  }
  const nowhere = await codexHome({ HOME: join(box.root, 'nobody') });
  t.equal(await readLogin(nowhere), null);
  t.match(await absentLogin(nowhere), { code: 'LOGIN_NOT_FOUND', hint: /codex login --device-auth/ });
});

t.test('says where Codex keeps its login when it is not in auth.json', async (t) => {
  const box = sandbox(t);
  const home = await codexHome(box.env);
  const config = (text: string) => writeFileSync(join(home.folder, 'config.toml'), text);
  const said = async () => (await absentLogin(home)).message;
  t.notMatch(await said(), 'keyring');
  config('model = "x"\ncli_auth_credentials_store = "keyring" # mine\r\n[features]\n');
  t.match(await said(), 'in the system keyring');
  config("cli_auth_credentials_store='auto'");
  t.match(await said(), 'in the system keyring');
  config('cli_auth_credentials_store = "ephemeral"');
  t.match(await said(), 'in memory only');
  config('[other]\ncli_auth_credentials_store = "keyring"');
  t.notMatch(await said(), 'keyring', 'a key of a table is another key');
});

t.test('a file that is being written in place is read again until it is whole', async (t) => {
  const box = sandbox(t);
  const home = await codexHome(box.env);
  const text = codexAuthJson(loginOf('alice'), '0.163');
  writeFileSync(home.authJson, text.slice(0, 900));
  t.ok(looksTorn(text.slice(0, 900)));
  const reading = readLogin(home);
  // Long enough for a reader without patience to have seen the half, short enough for one with it.
  await new Promise((resolve) => setTimeout(resolve, 150));
  writeFileSync(home.authJson, text);
  t.equal((await reading)?.holding.identity.accountId, loginOf('alice').accountId);
  writeFileSync(home.authJson, text.slice(0, 900));
  t.match(await rejection(readLogin(home)), { code: 'IDENTITY_UNREADABLE', message: /not complete JSON/ });
});

t.test('refuses a file that cannot be a login before parsing it', async (t) => {
  const box = sandbox(t);
  const file = (name: string, bytes: Buffer | string) => {
    writeFileSync(join(box.tmp, name), bytes);
    return join(box.tmp, name);
  };
  t.equal(await readLoginFile(join(box.tmp, 'none')), null);
  symlinkSync('none', join(box.tmp, 'dangling'));
  t.equal(await readLoginFile(join(box.tmp, 'dangling')), null);
  t.match(await rejection(readLoginFile(box.tmp)), { code: 'USAGE', message: /is a folder/ });
  t.match(await rejection(readLoginFile('/dev/null')), { code: 'USAGE', message: /not a regular file/ });
  const large = file('large', Buffer.alloc(LARGEST_LOGIN + 1, ' '));
  t.match(await rejection(readLoginFile(large)), { code: 'USAGE', message: /over 1 MB/ });
  t.equal((await readLoginFile(file('largest', Buffer.alloc(LARGEST_LOGIN, ' '))))?.length, LARGEST_LOGIN);
  t.equal(refusal(() => decodeLogin(Buffer.alloc(LARGEST_LOGIN + 1), 'x')).code, 'USAGE');
  const utf16 = file('utf16', Buffer.from(codexAuthJson(loginOf('alice')), 'utf16le').fill(0xff, 0, 1));
  t.match(await rejection(readLoginFile(utf16)), { code: 'IDENTITY_UNREADABLE', message: /not UTF-8/ });
});
