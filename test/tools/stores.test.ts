import { createHash } from 'node:crypto';
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseAuthJson } from '../../src/codex/auth-json.js';
import type { Holding } from '../../src/holding.js';
import { toolStores } from '../../src/tools/stores.js';
import { findCanary } from '../kit/canary.js';
import { codexAuthJson, DAY, loginOf, people } from '../kit/tokens.js';
import { everybody, plant } from './plant.js';

const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

function storeOf(source: string, env: Record<string, string>, live: Holding | null = null) {
  const store = toolStores({
    env,
    parseAuthJson: (bytes, where) => parseAuthJson(decode(bytes), where),
    live: async () => live,
  }).find((one) => one.source === source);
  if (store === undefined) throw new Error(`no store ${source}`);
  return store;
}

/** What a reader found, as one can compare it. Whatever it says in words holds no token. */
async function found(
  t: Test,
  source: string,
  env: Record<string, string>,
  path: string | null = null,
  live: Holding | null = null,
) {
  const { logins, skipped } = await storeOf(source, env, live).find(path);
  const said = JSON.stringify([skipped, logins.map(({ from, alias }) => [from, alias])]);
  t.strictSame(findCanary([], { strings: { said } }), []);
  return {
    logins: logins.map(({ holding, from, alias, isActive }) => ({
      who: `${holding.identity.accountId}/${holding.identity.userId}`,
      refresh: holding.grant.refreshToken.reveal(),
      expiresAt: holding.grant.expiresAt,
      workspace: holding.identity.workspace,
      from,
      alias,
      isActive: isActive ?? null,
    })),
    skipped,
  };
}

const keyOf = (name: keyof typeof people) => `${people[name].accountId}/${people[name].userId}`;

function print(folder: string): string {
  const hash = createHash('sha256');
  for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' }).toSorted()) {
    const path = join(folder, entry);
    const about = statSync(path);
    hash.update(`${entry} ${about.mode} ${about.mtimeMs} ${about.ino}`);
    if (about.isFile()) hash.update(readFileSync(path));
  }
  return hash.digest('hex');
}

/** Where each tool keeps its store below HOME, which variables move it, and the file without which there is none. */
const TOOLS = [
  {
    source: 'codex-oauth-profiles',
    at: '.openclaw',
    variable: 'OPENCLAW_STATE_DIR',
    file: 'codex-oauth-profiles.json',
  },
  { source: 'codex-auth', at: '.codex', variable: 'CODEX_HOME', file: 'accounts/registry.json' },
  {
    source: 'codex-multi-auth',
    at: '.codex/multi-auth',
    variable: 'CODEX_MULTI_AUTH_DIR',
    file: 'openai-codex-accounts.json',
  },
  {
    source: 'oc-codex-multi-auth',
    at: '.opencode',
    variable: null,
    file: 'oc-codex-multi-auth-accounts.json',
  },
  { source: 'caam', at: '.local/share/caam/vault', variable: null, file: null },
  { source: 'codex-multipass', at: '.codex', variable: 'CODEX_HOME', file: null },
] as const;

t.test(
  'every tool is found in its own place, by its variable and by a path, and its store is left as it was',
  async (t) => {
    for (const { source, at, variable } of TOOLS) {
      const home = t.testdir();
      const folder = plant(source, join(home, at), everybody());
      const before = print(home);
      const own = await found(t, source, { HOME: home });
      t.ok(own.logins.length >= 2, source);
      t.equal(print(home), before, `${source} is only read`);
      t.strictSame(await found(t, source, { HOME: '/nonexistent' }, folder), own, `${source}: a path`);
      if (variable !== null)
        t.strictSame(
          await found(t, source, { HOME: '/nonexistent', [variable]: folder }),
          own,
          `${source}: ${variable}`,
        );
      await t.rejects(
        storeOf(source, { HOME: join(home, 'nobody') }).find(null),
        { code: 'LOGIN_NOT_FOUND' },
        source,
      );
    }
  },
);

t.test(
  "an external router's profiles: either name for a token, the saved choice, what is no login is said",
  async (t) => {
    const logins = everybody();
    const folder = plant('codex-oauth-profiles', t.testdir(), logins);
    const all = await found(t, 'codex-oauth-profiles', {}, folder);
    t.match(all.logins, [
      {
        who: keyOf('alice'),
        refresh: logins.alice.refresh,
        alias: 'default',
        isActive: false,
        expiresAt: logins.alice.expires,
      },
      {
        who: keyOf('bob'),
        refresh: logins.bob.refresh,
        alias: 'secondary',
        isActive: true,
        workspace: "Bob's own",
      },
    ]);
    t.match(all.skipped, [
      { from: 'codex-oauth-profiles.json openai-codex:tertiary', reason: /no refresh token/ },
      { from: 'codex-oauth-profiles.json anthropic:default', reason: /another provider/ },
    ]);
    t.equal(
      (await found(t, 'codex-oauth-profiles', {}, join(folder, 'codex-oauth-profiles.json'))).logins.length,
      2,
    );
  },
);

t.test(
  'codex-auth: each account of its registry by its own file, aliases and workspace names from the registry',
  async (t) => {
    const logins = everybody();
    const folder = plant('codex-auth', t.testdir(), logins);
    const all = await found(t, 'codex-auth', {}, folder);
    t.strictSame(
      all.logins.map(({ who, alias, isActive, workspace }) => [who, alias, isActive, workspace]).toSorted(),
      [
        [keyOf('alice'), 'home', true, null],
        [keyOf('alice-team'), null, false, 'Acme'],
      ].toSorted(),
    );
    t.match(all.skipped, [
      { reason: /does not list it/ },
      { from: /user-carol/, reason: /its file is not there/ },
    ]);
    t.strictSame(await found(t, 'codex-auth', {}, join(folder, 'accounts')), all);
    t.strictSame(await found(t, 'codex-auth', {}, join(folder, 'accounts', 'registry.json')), all);
  },
);

t.test(
  'codex-multi-auth: its accounts and those of its projects; what it knows to be dead, or cannot tell, is said',
  async (t) => {
    const logins = everybody();
    const folder = plant('codex-multi-auth', t.testdir(), logins);
    const all = await found(t, 'codex-multi-auth', {}, folder);
    t.match(all.logins, [
      { who: keyOf('alice'), refresh: logins.alice.refresh, alias: 'Home', isActive: true },
      { who: keyOf('bob'), alias: null, isActive: false },
      {
        who: keyOf('alice-team'),
        alias: 'Acme',
        from: 'codex-multi-auth projects/site-0123456789ab/openai-codex-accounts.json #1',
      },
    ]);
    t.match(all.skipped, [
      { from: /#3$/, reason: /no access token/ },
      { from: /#4$/, reason: /told by the issuer/ },
      { from: /flagged.*#1$/, reason: /set it aside/ },
    ]);
    const home = t.testdir({
      '.codex': {
        'multi-auth': {},
        'openai-codex-accounts.json': readFileSync(join(folder, 'openai-codex-accounts.json')),
      },
    });
    t.equal((await found(t, 'codex-multi-auth', { HOME: home })).logins.length, 2, 'its old place');
  },
);

t.test('oc-codex-multi-auth: its file; accounts in the keychain are said not to be read', async (t) => {
  const home = t.testdir();
  const folder = plant('oc-codex-multi-auth', join(home, '.opencode'), everybody());
  const all = await found(t, 'oc-codex-multi-auth', { HOME: home });
  t.match(all.logins, [{ who: keyOf('alice'), alias: 'Home' }, { who: keyOf('bob') }]);
  const inKeychain = {
    code: 'LOGIN_NOT_FOUND',
    message: /in the OS keychain here, which codex-router does not read/,
  };
  await t.rejects(storeOf('oc-codex-multi-auth', { HOME: home, CODEX_KEYCHAIN: '1' }).find(null), inKeychain);
  t.equal((await found(t, 'oc-codex-multi-auth', { CODEX_KEYCHAIN: '1' }, folder)).logins.length, 2);
  const file = join(folder, 'oc-codex-multi-auth-accounts.json');
  cpSync(file, `${file}.migrated-to-keychain.2026-08-21T10-00-00-000Z`);
  unlinkSync(file);
  await t.rejects(storeOf('oc-codex-multi-auth', { HOME: home }).find(null), inKeychain);
});

t.test(
  "caam and codex-multipass: one auth.json for each profile, the tool's own copies left out",
  async (t) => {
    const caam = await found(t, 'caam', {}, plant('caam', t.testdir(), everybody()));
    t.match(caam.logins, [{ alias: 'alice@example.test', who: keyOf('alice') }, { alias: 'bob' }]);
    t.match(caam.skipped, [{ from: 'caam codex/_original', reason: /by itself/ }]);
    const base = t.testdir();
    plant('caam', join(base, 'data', 'vault'), everybody());
    t.equal((await found(t, 'caam', { CAAM_HOME: base })).logins.length, 2);
    t.equal(
      (await found(t, 'caam', { XDG_DATA_HOME: join(plantedIn(t, 'caam/vault'), '') })).logins.length,
      2,
    );

    const multipass = await found(
      t,
      'codex-multipass',
      {},
      plant('codex-multipass', t.testdir(), everybody()),
    );
    t.match(multipass.logins, [
      { alias: 'personal', isActive: false },
      { alias: 'work', isActive: true, who: keyOf('bob') },
    ]);
    t.match(multipass.skipped, [{ from: 'codex-multipass profiles/api.json', reason: /API key/ }]);
  },
);

function plantedIn(t: Test, at: string): string {
  const root = t.testdir();
  plant('caam', join(root, at), everybody());
  return root;
}

t.test('a copy of the login that Codex runs on is left out once Codex has refreshed it', async (t) => {
  const logins = everybody();
  const live = (login: ReturnType<typeof loginOf>) => parseAuthJson(codexAuthJson(login), 'live');
  for (const source of ['codex-auth', 'caam', 'codex-multipass']) {
    const folder = plant(source, t.testdir(), logins);
    const later = live(loginOf('alice', { issuedAt: Date.now() + DAY }));
    const all = await found(t, source, {}, folder, later);
    t.notOk(
      all.logins.some(({ who }) => who === keyOf('alice')),
      source,
    );
    t.ok(
      all.skipped.some(({ reason }) => /import --take/.test(reason)),
      source,
    );
    const same = await found(t, source, {}, folder, live(logins.alice));
    t.ok(
      same.logins.some(({ who }) => who === keyOf('alice')),
      `${source}: the same login is no older one`,
    );
    const earlier = live(loginOf('alice', { issuedAt: Date.now() - DAY }));
    t.ok((await found(t, source, {}, folder, earlier)).logins.some(({ who }) => who === keyOf('alice')));
  }
});

t.test('a damaged store, or one of another version, is an error and never empty', async (t) => {
  for (const { source, file } of TOOLS) {
    if (file === null) continue;
    const folder = plant(source, t.testdir(), everybody());
    const path = join(folder, file);
    const whole = readFileSync(path, 'utf8');
    for (const broken of [
      '',
      '{"vers',
      '[]',
      '"text"',
      '{}',
      whole.slice(0, -20),
      '\ufffe\ufffe',
      `${whole}x`,
    ]) {
      writeFileSync(path, broken);
      await t.rejects(
        storeOf(source, {}).find(folder),
        { code: 'IDENTITY_UNREADABLE' },
        `${source}: ${JSON.stringify(broken.slice(-12))}`,
      );
    }
    writeFileSync(path, Buffer.from([0x7b, 0xff, 0xfe]));
    await t.rejects(storeOf(source, {}).find(folder), { code: 'IDENTITY_UNREADABLE' }, `${source}: no UTF-8`);
    rmSync(path);
    mkdirSync(path);
    await t.rejects(storeOf(source, {}).find(folder), { code: 'USAGE' }, `${source}: a folder`);
  }
  const versions = [
    [
      'codex-auth',
      'accounts/registry.json',
      '"schema_version": 4',
      [
        ['5', 'update codex-router'],
        ['2', /update the tool/],
      ],
    ],
    [
      'codex-multi-auth',
      'openai-codex-accounts.json',
      '"version": 3',
      [
        ['4', 'update codex-router'],
        ['2', /update the tool/],
      ],
    ],
    [
      'oc-codex-multi-auth',
      'oc-codex-multi-auth-accounts.json',
      '"version": 3',
      [['4', 'update codex-router']],
    ],
  ] as const;
  for (const [source, file, mark, others] of versions) {
    const folder = plant(source, t.testdir(), everybody());
    const whole = readFileSync(join(folder, file), 'utf8');
    for (const [other, hint] of others) {
      writeFileSync(join(folder, file), whole.replace(mark, mark.replace(/\d/, other)));
      const error = await storeOf(source, {})
        .find(folder)
        .catch((caught: unknown) => caught);
      t.match(error, { code: 'IDENTITY_UNREADABLE', hint }, `${source} ${other}`);
    }
  }
  const folder = plant('codex-multi-auth', t.testdir(), everybody());
  const main = join(folder, 'openai-codex-accounts.json');
  writeFileSync(`${main}.wal`, '{}');
  unlinkSync(main);
  await t.rejects(storeOf('codex-multi-auth', {}).find(folder), {
    code: 'IDENTITY_UNREADABLE',
    message: /interrupted/,
  });
});

t.test('one login that cannot be understood is said and does not stop the others', async (t) => {
  const logins = everybody();
  for (const [source, file, token] of [
    ['codex-multi-auth', 'openai-codex-accounts.json', 'access'],
    ['codex-oauth-profiles', 'codex-oauth-profiles.json', 'access'],
  ] as const) {
    const folder = plant(source, t.testdir(), logins);
    const whole = readFileSync(join(folder, file), 'utf8');
    writeFileSync(join(folder, file), whole.replace(logins.alice[token], 'opaque'));
    const all = await found(t, source, {}, folder);
    t.notOk(
      all.logins.some(({ who }) => who === keyOf('alice')),
      source,
    );
    t.ok(
      all.logins.some(({ who }) => who === keyOf('bob')),
      source,
    );
    t.ok(
      all.skipped.some(({ reason }) => /cannot be told whose it is/.test(reason)),
      source,
    );
  }
  const folder = plant('codex-multi-auth', t.testdir(), {
    ...logins,
    alice: { ...logins.alice, accountId: people.carol.accountId },
  });
  t.match((await found(t, 'codex-multi-auth', {}, folder)).skipped, [
    { from: /#1$/, reason: /two different workspaces/ },
  ]);
});
