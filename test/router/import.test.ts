import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  type ImportOptions as CliOptions,
  type ImportParts,
  importLogins,
} from '../../src/cli/commands/import.js';
import { ImportDocument } from '../../src/cli/contract.js';
import { parseAuthJson } from '../../src/codex/auth-json.js';
import { TAKING } from '../../src/codex/home.js';
import { codexLogins } from '../../src/codex/logins.js';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import { identityKey } from '../../src/identity.js';
import { absentRepo } from '../../src/repo/absent.js';
import type { OpenRepo } from '../../src/repo/repo.js';
import { applyImport, type ImportOptions, planImport, readStored } from '../../src/router/import.js';
import type { Candidate } from '../../src/router/import-step.js';
import { Secret } from '../../src/secret.js';
import type { Neighbour, Occupant, Revision, Slot } from '../../src/slot/slot.js';
import { fakeHost } from '../contract/fake-host.js';
import { type FakeRepo, fakeRepo } from '../contract/fake-repo.js';
import { fakeSlot } from '../contract/fake-slot.js';
import { findCanary } from '../kit/canary.js';
import { NONE } from '../kit/none.js';
import { type Sandbox, sandbox } from '../kit/router.js';
import { codexAuthJson, DAY, jwt, type Login, loginOf, type PersonName, payloadOf } from '../kit/tokens.js';

const PLAIN: ImportOptions = { alias: null, expect: null, replace: false };
const NOTHING_FOUND = { logins: [], skipped: [] };
const T0 = Date.parse('2026-11-20T12:00:00Z');

function holdingOf(login: Login): Holding {
  return parseAuthJson(codexAuthJson(login), 'auth.json');
}

/** A login of `name` issued `days` after T0; its nonce tells it apart. */
function issued(name: PersonName, days: number, nonce = `d${days}`): Login {
  return loginOf(name, { issuedAt: T0 + days * DAY, nonce });
}

/** The same login with an access token that does not say when it was issued. */
function undated(login: Login): Holding {
  const { iat: _, ...claims } = payloadOf(login.access);
  const holding = holdingOf(login);
  return { ...holding, grant: { ...holding.grant, accessToken: new Secret(jwt(login.nonce, claims)) } };
}

function from(repo: OpenRepo, login: Login | Holding, more: Partial<Candidate> = {}): Candidate {
  const holding = 'nonce' in login ? holdingOf(login) : login;
  return {
    holding,
    fingerprint: repo.fingerprint(holding.grant),
    from: 'a file',
    source: 'file',
    sharedWith: undefined,
    placement: null,
    ...more,
  };
}

async function put(repo: OpenRepo, candidates: readonly Candidate[], options: ImportOptions = PLAIN) {
  const plan = planImport(candidates, await readStored(repo, candidates), options);
  return { plan, imported: await applyImport(repo, plan) };
}

async function rejection(work: Promise<unknown>): Promise<RouterError> {
  return work.then(
    () => Promise.reject(new Error('nothing was refused')),
    (error) => (error instanceof RouterError ? error : Promise.reject(error)),
  );
}

const refreshOf = (holding: Holding | null | undefined) => holding?.grant.refreshToken.reveal();

t.test('the same identity again is updated in place, by its two ids and nothing else', async (t) => {
  const fake = fakeRepo();
  const repo = await fake.open();
  const first = issued('alice', 0);
  const { imported } = await put(repo, [from(repo, first)], { ...PLAIN, alias: 'home' });
  t.match(imported, [
    { result: 'added', entry: { verified: false, source: 'file', sharedWith: null, alias: 'home' } },
  ]);
  const next = loginOf('alice', { issuedAt: T0 + DAY, email: 'new@example.test', plan: 'pro' });
  const { imported: again } = await put(repo, [from(repo, next)]);
  t.match(again, [{ result: 'updated', entry: { alias: 'home', verified: false } }]);
  t.match(again[0]?.entry.identity, { email: 'new@example.test', plan: 'pro' });
  await put(repo, [from(repo, issued('alice-team', 0))]);
  await put(repo, [from(repo, issued('bob-team', 0))]);
  t.equal((await repo.list()).length, 3, 'one e-mail with two workspaces, one workspace with two people');
  t.match(fake.backUps, [{ holding: { identity: { accountId: first.accountId } } }]);
  t.equal(refreshOf(fake.backUps[0]?.holding), first.refresh, 'the grant that gave way is kept sealed');
});

t.test('never replaces a grant that may be newer, and shows both dates', async (t) => {
  const fake = fakeRepo();
  const repo = await fake.open();
  const stored = issued('alice', 0);
  await put(repo, [from(repo, stored)]);
  const older: readonly (readonly [string, Candidate, RegExp])[] = [
    ['older', from(repo, issued('alice', -1)), /issued 2026-11-20T12:00:00Z, .*issued 2026-11-19T12:00:00Z/],
    [
      'of the same second',
      from(repo, issued('alice', 0, 'twin')),
      /2026-11-20T12:00:00Z.*2026-11-20T12:00:00Z/,
    ],
    ['undated', from(repo, undated(issued('alice', 9))), /2026-11-20T12:00:00Z.*issued at an unknown time/],
  ];
  for (const [name, candidate, dates] of older) {
    const error = await rejection(put(repo, [candidate]));
    t.match(error, { code: 'GRANT_NOT_NEWER', exitCode: 6, message: dates, hint: /--replace/ }, name);
    t.equal(refreshOf(fake.sealed(identityKey(candidate.holding.identity))), stored.refresh);
  }
  t.strictSame(fake.backUps, []);
  const [, old] = older[0] ?? [];
  if (old === undefined) throw new Error('no candidate');
  const { imported } = await put(repo, [old], { ...PLAIN, replace: true });
  t.match(imported, [{ result: 'replaced' }]);
  t.equal(refreshOf(fake.backUps[0]?.holding), stored.refresh);
  const calls = fake.calls.filter((call) => !call.startsWith('load'));
  t.match(calls.at(-2), /^backUp/, 'sealed before it is replaced');
  t.match(calls.at(-1), /^save/);
});

t.test('a stored grant without a date is not replaced by one with a date', async (t) => {
  const repo = await fakeRepo().open();
  await put(repo, [from(repo, undated(issued('bob', 0)))]);
  t.match(await rejection(put(repo, [from(repo, issued('bob', 5))])), {
    code: 'GRANT_NOT_NEWER',
    message: /issued at an unknown time/,
  });
});

t.test('a last_refresh that a file claims proves nothing', async (t) => {
  const repo = await fakeRepo().open();
  await put(repo, [from(repo, issued('bob', 0))]);
  const text = codexAuthJson(issued('bob', -1), '0.169', { lastRefresh: T0 + 99 * DAY });
  t.match(await rejection(put(repo, [from(repo, parseAuthJson(text, 'x'))])), { code: 'GRANT_NOT_NEWER' });
});

t.test('the same grant again changes nothing but what is known of it', async (t) => {
  const fake = fakeRepo();
  const repo = await fake.open();
  const login = issued('alice', 0);
  const key = identityKey(holdingOf(login).identity);
  const hostFields = { displayName: 'mine' };
  await repo.save(
    { ...holdingOf(login), hostFields, selection: { lastUsed: 1 } },
    { verified: true, source: 'codex' },
  );
  const saves = () => fake.calls.filter((call) => call.startsWith('save')).length;
  t.match((await put(repo, [from(repo, login)])).imported, [
    { result: 'unchanged', entry: { verified: true } },
  ]);
  t.equal(saves(), 1, 'nothing is written when nothing is new');
  await put(repo, [from(repo, login, { sharedWith: 'codex', source: 'codex' })]);
  await put(repo, [from(repo, login)], { ...PLAIN, alias: 'work' });
  t.match(await repo.list(), [{ sharedWith: 'codex', alias: 'work', verified: true }]);
  await put(repo, [from(repo, login, { sharedWith: null, source: 'codex' })]);
  t.match(await repo.list(), [{ sharedWith: null }]);
  const renewed = { ...issued('alice', 3), refresh: login.refresh, plan: 'team' };
  const { imported } = await put(repo, [from(repo, renewed)]);
  t.match(imported, [{ result: 'unchanged', entry: { verified: false, expiresAt: renewed.expires } }]);
  t.match(fake.sealed(key), { hostFields, selection: { lastUsed: 1 } }, "the host's fields stay");
  await put(repo, [from(repo, login)]);
  t.equal(
    fake.sealed(key)?.grant.expiresAt,
    renewed.expires,
    'an older copy of the same grant takes nothing back',
  );
  t.strictSame(fake.backUps, []);
});

t.test('a new login keeps the fields of the host, and not the failures of the old grant', async (t) => {
  const fake = fakeRepo();
  const repo = await fake.open();
  const hostFields = { displayName: 'mine' };
  const old = { ...holdingOf(issued('alice', 0)), hostFields, selection: { disabledUntil: 9 } };
  await repo.save({ ...old, identity: { ...old.identity, workspace: 'Acme' } });
  await put(repo, [from(repo, issued('alice', 1))]);
  t.match(fake.sealed(identityKey(old.identity)), {
    hostFields,
    selection: null,
    identity: { workspace: 'Acme' },
  });
});

t.test('an expected account is compared before anything is stored', async (t) => {
  const fake = fakeRepo();
  const repo = await fake.open();
  const { accountId, userId } = loginOf('bob-team');
  const team = from(repo, issued('bob-team', 0));
  for (const expect of [
    loginOf('alice').accountId,
    `${accountId}/${loginOf('alice').userId}`,
    accountId.slice(0, 8),
  ]) {
    const error = await rejection(put(repo, [team], { ...PLAIN, expect }));
    t.match(error, { code: 'IDENTITY_UNEXPECTED', exitCode: 6, message: `${accountId}/${userId}` });
  }
  const mixed = [team, from(repo, issued('alice', 0))];
  t.equal((await rejection(put(repo, mixed, { ...PLAIN, expect: accountId }))).code, 'IDENTITY_UNEXPECTED');
  for (const expect of ['', 'a/b/c', ' ']) {
    t.equal((await rejection(put(repo, [team], { ...PLAIN, expect }))).code, 'USAGE');
  }
  t.strictSame(await repo.list(), []);
  await put(repo, [team], { ...PLAIN, expect: accountId });
  await put(repo, [team], { ...PLAIN, expect: `${accountId}/${userId}` });
  t.equal((await repo.list()).length, 1);
});

t.test('an alias is refused when it is taken, malformed, or for several', async (t) => {
  const repo = await fakeRepo().open();
  await put(repo, [from(repo, issued('alice', 0))], { ...PLAIN, alias: 'work' });
  const bob = from(repo, issued('bob', 0));
  for (const alias of ['work', 'WORK', '-', 'a b', '', loginOf('alice').accountId]) {
    t.equal((await rejection(put(repo, [bob], { ...PLAIN, alias }))).code, 'USAGE', alias);
  }
  const both = [bob, from(repo, issued('carol', 0))];
  t.match(await rejection(put(repo, both, { ...PLAIN, alias: 'two' })), {
    code: 'USAGE',
    message: /there are 2/,
  });
  t.equal((await repo.list()).length, 1);
  await put(repo, [from(repo, issued('alice', 1))], { ...PLAIN, alias: 'work' });
  t.match(await repo.list(), [{ alias: 'work' }], 'its own alias again is fine');
});

t.test('one grant is never stored under two identities', async (t) => {
  const repo = await fakeRepo().open();
  const home = issued('alice', 0);
  const switched = { ...issued('alice-team', 1), refresh: home.refresh };
  await put(repo, [from(repo, home)]);
  t.match(await rejection(put(repo, [from(repo, switched)])), { code: 'IDENTITY_MISMATCH' });
  const fresh = await fakeRepo().open();
  const { plan } = await put(fresh, [from(fresh, home), from(fresh, switched, { from: 'the other' })]);
  t.match(plan.steps, [{ result: 'added' }]);
  t.match(plan.refused, [{ candidate: { from: 'the other' }, error: { code: 'IDENTITY_MISMATCH' } }]);
});

t.test(
  'a damaged record is replaced only when that is asked for, or when the same grant heals it',
  async (t) => {
    const fake = fakeRepo();
    const repo = await fake.open();
    const login = issued('alice', 0);
    const key = identityKey(holdingOf(login).identity);
    await put(repo, [from(repo, login)]);
    fake.damage(key);
    t.equal((await rejection(put(repo, [from(repo, issued('alice', 1))]))).code, 'RECORD_DAMAGED');
    t.match((await put(repo, [from(repo, login)])).imported, [{ result: 'unchanged' }]);
    t.equal(refreshOf(await repo.load(key)), login.refresh);
    fake.damage(key);
    t.match((await put(repo, [from(repo, issued('alice', 1))], { ...PLAIN, replace: true })).imported, [
      { result: 'replaced' },
    ]);
  },
);

t.test('when sealing the old grant fails, the new one does not take its place', async (t) => {
  const fake = fakeRepo();
  const repo = await fake.open();
  const login = issued('alice', 0);
  await put(repo, [from(repo, login)]);
  fake.failNext('backUp', new RouterError('IO', 'the disk is full'));
  t.equal((await rejection(put(repo, [from(repo, issued('alice', 1))]))).code, 'IO');
  t.equal(refreshOf(fake.sealed(identityKey(holdingOf(login).identity))), login.refresh);
});

// --- the command, over real Codex homes ---------------------------------------------------------------------------

interface Scene {
  readonly box: Sandbox;
  readonly fake: FakeRepo;
  readonly authJson: string;
  readonly said: string[];
  readonly asked: string[];
  run(options: CliOptions, parts?: Partial<ImportParts>): Promise<ReturnType<typeof ImportDocument.parse>>;
  /** What the last run printed as text. */
  text(): string;
}

function isFree(lock: string): boolean {
  return !existsSync(lock) || spawnSync('flock', ['-n', '-x', lock, 'true']).status === 0;
}

function scene(t: Test): Scene {
  const box = sandbox(t);
  const fake = fakeRepo();
  const said: string[] = [];
  const asked: string[] = [];
  let document: unknown;
  let text = '';
  let locked = false;
  const around = { env: box.env, platform: process.platform, uid: process.geteuid?.() ?? null };
  const base: ImportParts = {
    canAsk: false,
    stdinIsTerminal: true,
    readStdin: async () => new Uint8Array(),
    ask: async (question) => {
      t.notOk(locked, 'our lock is not held while a person thinks');
      asked.push(question);
      throw new Error('nobody answers');
    },
    say: (line) => void said.push(line),
    print: (value, render) => {
      document = value;
      text = render();
    },
    json: false,
    logins: codexLogins(around),
    stores: async () => [],
    archive: async () => ({ largest: 0, isArchive: () => false, open: async () => NOTHING_FOUND }),
    viewRepo: async () => absentRepo(),
    openRepo: async () => {
      t.notOk(locked, 'the vault is opened before our lock is taken');
      t.ok(isFree(join(box.codexHome, 'auth.lock')), "and before Codex's");
      return fake.open();
    },
    host: async () => {
      throw new Error('no host is looked for');
    },
    withLock: async (work) => {
      locked = true;
      try {
        return await work();
      } finally {
        locked = false;
      }
    },
    critical: (work) => work(),
    now: () => T0,
  };
  return {
    box,
    fake,
    authJson: join(box.codexHome, 'auth.json'),
    said,
    asked,
    text: () => text,
    run: async (options, parts = {}) => {
      await importLogins({ ...base, ...parts }, options);
      const shown = JSON.stringify(document) + text + said.join('\n') + asked.join('\n');
      t.strictSame(findCanary([], { strings: { shown } }), []);
      return ImportDocument.parse(document);
    },
  };
}

t.test('import --take moves the login of the Codex home into the repo', async (t) => {
  const { box, fake, authJson, run, text } = scene(t);
  const login = issued('alice', 0);
  writeFileSync(authJson, codexAuthJson(login));
  const document = await run({ take: true, alias: 'home', expect: login.accountId });
  t.match(document, {
    result: 'imported',
    imported: [
      {
        identity: {
          accountId: login.accountId,
          userId: login.userId,
          alias: 'home',
          email: login.email,
          plan: 'plus',
        },
        result: 'added',
        source: 'codex',
        shared: null,
        verified: false,
      },
    ],
    skipped: [],
    notes: [{ code: 'TAKEN' }],
  });
  t.match(
    text(),
    /^home \(alice@example.test, plus, account a1111111\): stored \(unverified until .*\nnext: codex-router use a1111111-/,
  );
  t.equal(refreshOf(fake.sealed(identityKey(holdingOf(login).identity))), login.refresh);
  t.strictSame(findCanary([box.root]), [], 'no plaintext is left');
  t.match(await rejection(run({ take: true })), { code: 'LOGIN_NOT_FOUND' });
});

t.test('import --keep leaves the login, marks it as shared, and warns', async (t) => {
  const { authJson, run, said } = scene(t);
  const text = codexAuthJson(issued('alice', 0));
  writeFileSync(authJson, text);
  const document = await run({ keep: true });
  t.match(document, {
    imported: [{ result: 'added', shared: 'codex' }],
    notes: [{ code: 'SHARED_WITH_CODEX' }],
  });
  t.match(said.join('\n'), /next codex login revokes it/);
  t.equal(readFileSync(authJson, 'utf8'), text);
  const taken = await run({ take: true });
  t.match(taken, { result: 'unchanged', imported: [{ result: 'unchanged', shared: null }] });
  t.notOk(existsSync(authJson), 'a login that is stored already is still taken');
});

t.test('without a terminal the choice is demanded before anything is opened', async (t) => {
  const { fake, authJson, run } = scene(t);
  const text = codexAuthJson(issued('alice', 0));
  writeFileSync(authJson, text);
  t.match(await rejection(run({})), { code: 'CHOICE_NEEDED', exitCode: 2, message: /--take.*--keep/ });
  t.match(await rejection(run({ take: true, keep: true })), { code: 'USAGE' });
  t.match(await rejection(run({ take: true, from: '-' })), { code: 'USAGE' });
  t.strictSame(fake.calls, []);
  t.equal(readFileSync(authJson, 'utf8'), text);
});

t.test('on a terminal one question is asked, and taking is its first answer', async (t) => {
  const { fake, authJson, run } = scene(t);
  const answer = (value: string, seen: string[] = []): Partial<ImportParts> => ({
    canAsk: true,
    ask: async (question, choices) => {
      seen.push(question, ...choices.map((choice) => choice.value));
      const chosen = choices.find((choice) => choice.value === value);
      if (chosen === undefined) throw new Error('no such choice');
      return chosen.value;
    },
  });
  writeFileSync(authJson, codexAuthJson(issued('alice', 0)));
  const seen: string[] = [];
  t.match(await rejection(run({}, answer('stop', seen))), { code: 'INTERRUPTED' });
  t.match(seen, [/signed in as alice@example.test/, 'take', 'keep', 'stop']);
  t.ok(existsSync(authJson));
  t.strictSame(await fake.list(), []);
  t.match(await run({}, answer('keep')), { imported: [{ shared: 'codex' }] });
  t.match(await run({}, answer('take')), { imported: [{ shared: null }] });
  t.notOk(existsSync(authJson));

  writeFileSync(authJson, codexAuthJson(issued('alice', -5)));
  t.match(
    await rejection(run({}, { canAsk: true })),
    { code: 'GRANT_NOT_NEWER' },
    'refused without a question',
  );
  t.ok(existsSync(authJson));
});

t.test(
  'taking is refused, and nothing changes, when the file holds another credential or flock is missing',
  async (t) => {
    const { box, fake, authJson, run } = scene(t);
    const text = codexAuthJson(issued('alice', 0)).replace(
      '"OPENAI_API_KEY": null',
      '"OPENAI_API_KEY": "sk-CANARY"',
    );
    writeFileSync(authJson, text);
    t.match(await rejection(run({ take: true })), {
      code: 'CHOICE_NEEDED',
      message: /also holds an API key/,
    });
    const logins = codexLogins({ env: { ...box.env, PATH: box.tmp }, platform: 'darwin', uid: null });
    writeFileSync(authJson, codexAuthJson(issued('alice', 0)));
    t.match(await rejection(run({ take: true }, { logins })), {
      code: 'PLATFORM_UNSUPPORTED',
      hint: /--keep/,
    });
    t.strictSame(fake.calls, []);
    t.strictSame(readdirSync(box.codexHome), ['auth.json']);
    t.match(await run({ keep: true }, { logins }), { imported: [{ shared: 'codex' }] });
  },
);

t.test('a login that is sealed and could not be taken away is marked as shared', async (t) => {
  const { box, fake, authJson, run } = scene(t);
  writeFileSync(authJson, codexAuthJson(issued('alice', 0)));
  const source = codexLogins({ env: box.env, platform: process.platform, uid: process.geteuid?.() ?? null });
  const locked = new RouterError('KEYCHAIN_LOCKED', 'it is locked');
  const home = async () => {
    const real = await source.home();
    const take: typeof real.take = async (shown, seal) => {
      await seal(shown);
      throw locked;
    };
    return { ...real, take };
  };
  t.equal(await rejection(run({ take: true }, { logins: { ...source, home } })), locked);
  t.match(await fake.list(), [{ sharedWith: 'codex' }]);
  t.match(await run({ take: true }), { imported: [{ result: 'unchanged', shared: null }] });
  t.match(await fake.list(), [{ sharedWith: null }]);
});

t.test('a login that cannot be sealed is back in the Codex home', async (t) => {
  const { fake, authJson, run } = scene(t);
  const text = codexAuthJson(issued('alice', 0));
  writeFileSync(authJson, text);
  fake.failNext('save', new RouterError('IO', 'cannot write: the disk is full'));
  t.match(await rejection(run({ take: true })), {
    code: 'IO',
    message: /the disk is full; the login was put back/,
  });
  t.equal(readFileSync(authJson, 'utf8'), text);
});

t.test('what a killed import left is finished first, with or without a new login', async (t) => {
  const { box, fake, authJson, run } = scene(t);
  const leftover = join(box.codexHome, TAKING);
  const [first, second] = [issued('alice', 0), issued('bob', 0)];
  writeFileSync(leftover, codexAuthJson(first));
  t.match(await run({ alias: 'home' }), {
    imported: [{ result: 'added', shared: null, source: 'codex', identity: { alias: 'home' } }],
    notes: [{ code: 'RESUMED' }],
  });
  t.notOk(existsSync(leftover));

  writeFileSync(leftover, codexAuthJson(first));
  writeFileSync(authJson, codexAuthJson(second));
  const both = await run({ take: true, expect: second.accountId, alias: 'work' });
  t.match(both.imported, [{ result: 'unchanged' }, { result: 'added', identity: { alias: 'work' } }]);
  t.strictSame(findCanary([box.root]), []);

  const older = issued('alice', -1);
  writeFileSync(leftover, codexAuthJson(older));
  t.match(await run({}), { result: 'unchanged', imported: NONE, notes: [{ code: 'BACKED_UP' }] });
  t.equal(
    refreshOf(fake.backUps.at(-1)?.holding),
    older.refresh,
    'the loser is sealed before its plaintext goes',
  );
  t.strictSame(findCanary([box.root]), []);

  writeFileSync(leftover, 'torn');
  t.match(await rejection(run({})), { code: 'IDENTITY_UNREADABLE', message: leftover });
  t.ok(existsSync(leftover), 'what cannot be read is not removed');
});

t.test('a file and standard input are copies, and are called that', async (t) => {
  const { box, authJson, run } = scene(t);
  const file = join(box.tmp, 'copy.json');
  writeFileSync(file, codexAuthJson(issued('alice', 0)));
  t.match(await run({ from: file }), {
    imported: [{ result: 'added', source: 'file', shared: null }],
    notes: [{ code: 'COPY', text: /whoever holds the original shares/ }],
  });
  t.ok(existsSync(file));
  const readStdin = async () => Buffer.from(codexAuthJson(issued('bob', 0)));
  t.match(await run({ from: '-' }, { readStdin }), { imported: [{ result: 'added' }] });
  t.match(await run({}, { readStdin, stdinIsTerminal: false }), { imported: [{ result: 'unchanged' }] });
  t.match(await rejection(run({ from: join(box.tmp, 'none') })), { code: 'LOGIN_NOT_FOUND' });
  t.match(await rejection(run({ from: '-' })), {
    code: 'IDENTITY_UNREADABLE',
    message: /standard input is empty/,
  });

  writeFileSync(authJson, codexAuthJson(issued('carol', 0)));
  t.match(
    await rejection(run({}, { stdinIsTerminal: false })),
    { code: 'CHOICE_NEEDED' },
    'an empty stdin is none',
  );
  t.match(
    await rejection(run({ from: authJson })),
    { code: 'CHOICE_NEEDED' },
    'its own file is a home, not a copy',
  );
  await run({ from: authJson, take: true });
  t.notOk(existsSync(authJson));
});

t.test('hostile claims cannot reach the terminal', async (t) => {
  const { box, run, text, said } = scene(t);
  const file = join(box.tmp, 'hostile.json');
  const email = '\u001b]0;owned\u0007\u202eevil@example.test\nnext: rm -rf /';
  writeFileSync(file, codexAuthJson(loginOf('alice', { email, plan: '\u001b[31mpro' })));
  await run({ from: file });
  const shown = text() + said.join('');
  t.notMatch(shown.replaceAll('\n', ''), /\p{C}/u, 'no control, escape or bidirectional character');
  t.match(shown, 'evil@example.test');
  t.equal(text().split('\n').length, 2, 'one line who, one line what next');
});

// --- OpenClaw ------------------------------------------------------------------------------------------------------

function slotWith(
  agent: string,
  occupant: Occupant | RouterError,
  neighbours: readonly Neighbour[] = [],
): Slot {
  const profileId = 'openai-codex:default';
  return {
    address: { id: `/state#${agent}#${profileId}`, layout: 'json', agent, profileId },
    read: async () => {
      if (occupant instanceof RouterError) throw occupant;
      const chosen = { selectable: true, order: null, lastGood: null, named: [] };
      return { revision: 'r' as Revision, occupant, neighbours, ...chosen };
    },
    replace: async () => {
      throw new Error('import writes nothing into a host');
    },
  };
}

function hostOf(...slots: readonly Slot[]): Partial<ImportParts> {
  const host = { ...fakeHost({ slots: [fakeSlot()] }), allSlots: async () => slots };
  return { host: async () => host };
}

const inSlot = (login: Login, more: Partial<Holding> = {}): Occupant => ({
  kind: 'login',
  ...holdingOf(login),
  ...more,
});
const beside = (profileId: string, login: Login): Neighbour => ({
  profileId,
  kind: 'login',
  ...holdingOf(login),
});

t.test('import --from openclaw stores every login of every agent once, and where it lies', async (t) => {
  const { fake, run, text } = scene(t);
  const [alice, bob, carol] = [issued('alice', 0), issued('bob', 0), issued('carol', 0)];
  const main = slotWith(
    'main',
    inSlot(alice, { hostFields: { displayName: 'x' }, selection: { lastUsed: 1 } }),
    [beside('openai-codex:bob', bob), { profileId: 'openai-codex:key', kind: 'foreign', what: 'an API key' }],
  );
  const copy = slotWith('work', inSlot(alice), [beside('openai-codex:carol', carol)]);
  const broken = slotWith('sick', new RouterError('SLOT_UNREADABLE', 'the store is torn'));
  const empty = slotWith('new', { kind: 'absent' });
  const document = await run({ from: 'openclaw' }, hostOf(main, copy, broken, empty));
  t.match(
    document.imported.map(({ identity, result, source, shared }) => [identity.email, result, source, shared]),
    ['alice', 'bob', 'carol'].map((name) => [`${name}@example.test`, 'added', 'openclaw', null]),
  );
  t.strictSame(document.skipped, [
    { from: 'OpenClaw main/openai-codex:key', reason: 'it holds an API key' },
    { from: 'OpenClaw sick/openai-codex:default', reason: 'the store is torn' },
  ]);
  const entries = await fake.list();
  t.strictSame(
    entries.map(({ placement }) => placement?.slot),
    ['/state#main#openai-codex:default', '/state#main#openai-codex:bob', '/state#work#openai-codex:carol'],
  );
  for (const entry of entries) t.match(entry.placement, { fingerprint: entry.fingerprint, at: T0 });
  t.match(fake.sealed(identityKey(holdingOf(alice).identity)), {
    hostFields: { displayName: 'x' },
    selection: { lastUsed: 1 },
  });
  t.match(text(), 'from OpenClaw main/openai-codex:bob');
  const saves = fake.calls.length;
  t.match(await run({ from: 'openclaw' }, hostOf(main, copy, broken, empty)), { result: 'unchanged' });
  t.strictSame(
    fake.calls.slice(saves).filter((call) => call.startsWith('save')),
    [],
  );
});

t.test(
  'of two logins of one identity in OpenClaw the newest is taken and the other is reported',
  async (t) => {
    const { fake, run } = scene(t);
    const [old, fresh] = [issued('alice', 0), issued('alice', 2)];
    const hosts = hostOf(slotWith('main', inSlot(old)), slotWith('work', inSlot(fresh)));
    const document = await run({ from: 'openclaw' }, hosts);
    t.match(document, {
      imported: [{ result: 'added' }],
      skipped: [{ from: 'OpenClaw main/openai-codex:default' }],
    });
    t.equal(refreshOf(fake.sealed(identityKey(holdingOf(old).identity))), fresh.refresh);
  },
);

t.test(
  'a grant that the host rotated since we placed it is the newer one, whatever its dates say',
  async (t) => {
    const { fake, run } = scene(t);
    const placed = issued('alice', 0);
    await run({ from: 'openclaw' }, hostOf(slotWith('main', inSlot(placed))));
    const rotated = undated(issued('alice', 0, 'rotated'));
    const rotatedSlot = slotWith('main', { kind: 'login', ...rotated });
    t.match(await run({ from: 'openclaw' }, hostOf(rotatedSlot)), {
      imported: [{ result: 'updated', newer: true }],
    });
    t.equal(refreshOf(fake.backUps[0]?.holding), placed.refresh);

    const repo = await fake.open();
    const imported = issued('alice', 4);
    await put(repo, [from(repo, imported)], { ...PLAIN, replace: true });
    const stale = await rejection(run({ from: 'openclaw' }, hostOf(rotatedSlot)));
    t.equal(stale.code, 'GRANT_NOT_NEWER', 'a login imported since is not undone by the slot');
    t.equal(refreshOf(fake.sealed(identityKey(rotated.identity))), imported.refresh);
  },
);

t.test('when nothing in OpenClaw can be imported the reason is the answer', async (t) => {
  const { run } = scene(t);
  const foreign = slotWith('main', { kind: 'foreign', what: 'an API key' });
  t.match(await rejection(run({ from: 'openclaw' }, hostOf(foreign))), {
    code: 'LOGIN_NOT_FOUND',
    message: /OpenClaw main\/openai-codex:default: it holds an API key/,
  });
  t.match(await rejection(run({ from: 'openclaw' }, hostOf())), { code: 'LOGIN_NOT_FOUND' });
});
