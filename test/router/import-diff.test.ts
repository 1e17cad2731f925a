import t, { type Test } from 'tap';
import {
  type ImportOptions as CliOptions,
  type ImportParts,
  importLogins,
} from '../../src/cli/commands/import.js';
import { ImportDocument } from '../../src/cli/contract.js';
import { parseAuthJson } from '../../src/codex/auth-json.js';
import { codexLogins } from '../../src/codex/logins.js';
import { RouterError } from '../../src/errors.js';
import type { Holding } from '../../src/holding.js';
import { absentRepo } from '../../src/repo/absent.js';
import type { FoundLogin, FoundLogins, LoginStore } from '../../src/router/import-source.js';
import { Secret } from '../../src/secret.js';
import { type FakeRepo, fakeRepo } from '../contract/fake-repo.js';
import { findCanary } from '../kit/canary.js';
import { sandbox } from '../kit/router.js';
import { codexAuthJson, DAY, type Login, loginOf, type PersonName } from '../kit/tokens.js';

const T0 = Date.parse('2026-11-20T12:00:00Z');

function issued(name: PersonName, days: number, more: Partial<Login> = {}): Login {
  return loginOf(name, { issuedAt: T0 + days * DAY, nonce: `d${days}`, ...more });
}

function holdingOf(login: Login): Holding {
  return parseAuthJson(codexAuthJson(login), 'auth.json');
}

function found(login: Login, more: Partial<FoundLogin> = {}): FoundLogin {
  return { holding: holdingOf(login), from: `codex-auth ${login.userId}.json`, alias: null, ...more };
}

interface Scene {
  readonly fake: FakeRepo;
  readonly said: readonly string[];
  run(options: CliOptions, parts?: Partial<ImportParts>): Promise<ReturnType<typeof ImportDocument.parse>>;
  /** `--from codex-auth` over these. */
  tool(
    logins: readonly FoundLogin[],
    options?: CliOptions,
    skipped?: FoundLogins['skipped'],
  ): Promise<ReturnType<typeof ImportDocument.parse>>;
  /** What the last run printed as text. */
  text(): string;
}

function scene(t: Test): Scene {
  const box = sandbox(t);
  const fake = fakeRepo(() => T0);
  const said: string[] = [];
  let document: unknown;
  let text = '';
  const never = async (): Promise<never> => {
    throw new Error('that is not asked for');
  };
  const base: ImportParts = {
    canAsk: false,
    stdinIsTerminal: true,
    readStdin: never,
    ask: never,
    say: (line) => void said.push(line),
    print: (value, render) => {
      document = value;
      text = render();
    },
    json: false,
    logins: codexLogins({ env: box.env, platform: process.platform, uid: process.geteuid?.() ?? null }),
    stores: async () => [],
    archive: async () => ({ largest: 0, isArchive: () => false, open: never }),
    openRepo: fake.open,
    viewRepo: fake.open,
    host: never,
    withLock: (work) => work(),
    critical: (work) => work(),
    now: () => T0,
  };
  const run: Scene['run'] = async (options, parts = {}) => {
    await importLogins({ ...base, ...parts }, options);
    const shown = JSON.stringify(document) + text + said.join('\n');
    t.strictSame(findCanary([], { strings: { shown } }), []);
    return ImportDocument.parse(document);
  };
  return {
    fake,
    said,
    run,
    tool: (logins, options = {}, skipped = []) => {
      const store: LoginStore = {
        source: 'codex-auth',
        title: 'codex-auth',
        find: async () => ({ logins, skipped }),
      };
      return run({ from: 'codex-auth', ...options }, { stores: async () => [store] });
    },
    text: () => text,
  };
}

async function rejection(work: Promise<unknown>): Promise<RouterError> {
  return work.then(
    () => Promise.reject(new Error('nothing was refused')),
    (error) => (error instanceof RouterError ? error : Promise.reject(error)),
  );
}

const changesOf = ({ changes }: { changes: readonly { field: string; from: unknown; to: unknown }[] }) =>
  Object.fromEntries(changes.map(({ field, from, to }) => [field, [from, to]]));

t.test(
  'a dry run says of each identity what would become of it, field by field, and writes nothing',
  async (t) => {
    const { fake, tool, said } = scene(t);
    await tool([
      found(issued('alice', 0), { alias: 'home' }),
      found(issued('bob', 0)),
      found(issued('carol', 0)),
    ]);
    const calls = fake.calls.length;
    const logins = [
      found(issued('alice', 3, { email: 'new@example.test', plan: 'pro' }), { alias: 'other' }),
      found(issued('bob', -3)),
      found(issued('carol', 0)),
      found(issued('bob-team', 1), { alias: 'work' }),
    ];
    const skipped = [{ from: 'codex-auth broken.json', reason: 'it is not complete JSON' }];
    const document = await tool(logins, { dryRun: true }, skipped);
    t.match(document, { result: 'planned', skipped });
    t.strictSame(
      document.imported.map(({ identity, result, grant, newer }) => [identity.email, result, grant, newer]),
      [
        ['new@example.test', 'updated', 'another', true],
        ['carol@example.test', 'unchanged', 'same', null],
        ['bob@work.example.test', 'added', 'new', null],
      ],
    );
    const [alice, carol, team] = document.imported;
    t.equal(alice?.identity.alias, 'home', 'a name that a person gave stays');
    t.strictSame(alice && changesOf(alice), {
      email: ['alice@example.test', 'new@example.test'],
      plan: ['plus', 'pro'],
      issuedAt: ['2026-11-20T12:00:00Z', '2026-11-23T12:00:00Z'],
      expiresAt: ['2026-11-30T12:00:00Z', '2026-12-03T12:00:00Z'],
    });
    t.strictSame(carol?.changes, []);
    t.strictSame(team && changesOf(team), {
      email: [null, 'bob@work.example.test'],
      plan: [null, 'team'],
      alias: [null, 'work'],
      issuedAt: [null, '2026-11-21T12:00:00Z'],
      expiresAt: [null, '2026-12-01T12:00:00Z'],
      source: [null, 'codex-auth'],
    });
    t.match(document.refused, [
      {
        identity: { email: 'bob@example.test' },
        code: 'GRANT_NOT_NEWER',
        reason: /issued 2026-11-20T12:00:00Z, and this one, issued 2026-11-17T12:00:00Z/,
        from: 'codex-auth user-bob.json',
        grant: 'another',
        newer: false,
      },
    ]);
    t.strictSame(
      fake.calls.slice(calls).filter((call) => call !== 'open' && !call.startsWith('load')),
      [],
      'nothing was written',
    );
    t.equal(said.at(-1), 'nothing was written: this was a dry run');
  },
);

t.test('a dry run is readable', async (t) => {
  const { tool, text } = scene(t);
  await tool([found(issued('alice', 0)), found(issued('bob', 0)), found(issued('carol', 0))]);
  await tool(
    [
      found(issued('alice', 3, { plan: 'pro' }), { alias: 'home' }),
      found(issued('bob', -3)),
      found(issued('carol', 0)),
      found(issued('bob-team', 1)),
    ],
    { dryRun: true },
  );
  t.equal(
    text(),
    `updated    home (alice@example.test, pro, account a1111111)
           from     codex-auth user-alice.json
           login    another than the stored one, and later
           plan     plus -> pro
           alias    home
           issued   2026-11-20T12:00:00Z -> 2026-11-23T12:00:00Z
           expires  2026-11-30T12:00:00Z -> 2026-12-03T12:00:00Z
unchanged  carol@example.test (plus, account d4444444)
           from   codex-auth user-carol.json
           login  the same as the stored one
added      bob@work.example.test (team, account b2222222)
           from     codex-auth user-bob.json
           login    the first of this identity here
           issued   2026-11-21T12:00:00Z
           expires  2026-12-01T12:00:00Z
refused    bob@example.test (pro, account c3333333)
           another login of bob@example.test is stored, issued 2026-11-20T12:00:00Z, and this one, issued 2026-11-17T12:00:00Z, is not known to be newer (GRANT_NOT_NEWER)
           from     codex-auth user-bob.json
           login    another than the stored one, and not later
           issued   2026-11-20T12:00:00Z -> 2026-11-17T12:00:00Z
           expires  2026-11-30T12:00:00Z -> 2026-11-27T12:00:00Z`,
  );
});

t.test('what a dry run shows is what the import then does', async (t) => {
  const { tool } = scene(t);
  await tool([found(issued('alice', 0)), found(issued('bob', 5))]);
  const logins = [
    found(issued('alice', 1), { alias: 'a' }),
    found(issued('bob', 0)),
    found(issued('carol', 0), { alias: 'a' }),
  ];
  for (const options of [{}, { replace: true }]) {
    const planned = await tool(logins, { ...options, dryRun: true });
    const done = await tool(logins, options);
    t.strictSame({ ...planned, result: 'imported' }, done);
  }
});

t.test('without a vault everything is new, and none is made', async (t) => {
  const { fake, run, tool } = scene(t);
  const parts = { openRepo: async () => t.fail('no vault is made'), viewRepo: async () => absentRepo() };
  const store: LoginStore = {
    source: 'caam',
    title: 'caam',
    find: async (path) => {
      t.equal(path, '/there');
      const twins = [
        found(issued('alice', 0)),
        found({ ...issued('bob', 0), refresh: issued('alice', 0).refresh }),
      ];
      return { logins: twins, skipped: [] };
    },
  };
  const document = await run(
    { from: 'caam', path: '/there', dryRun: true },
    { ...(parts as unknown as Partial<ImportParts>), stores: async () => [store] },
  );
  t.match(document, {
    imported: [{ result: 'added', source: 'caam' }],
    refused: [{ code: 'IDENTITY_MISMATCH', reason: /one grant cannot serve two identities/ }],
  });
  t.strictSame(fake.calls, []);
  t.equal((await rejection(tool([], { dryRun: true }))).code, 'LOGIN_NOT_FOUND');
});

t.test('a dry run of nothing but refused logins is shown, and the import itself fails', async (t) => {
  const { tool } = scene(t);
  await tool([found(issued('alice', 0))]);
  const older = [found(issued('alice', -1))];
  t.match(await tool(older, { dryRun: true }), { imported: [], refused: [{ code: 'GRANT_NOT_NEWER' }] });
  t.equal((await rejection(tool(older))).code, 'GRANT_NOT_NEWER');
});

t.test("a tool's own names become aliases where they can, and never in place of a person's", async (t) => {
  const { fake, tool } = scene(t);
  const document = await tool([
    found(issued('alice', 0), { alias: 'Work' }),
    found(issued('bob', 0), { alias: 'work' }),
    found(issued('carol', 0), { alias: 'my account!' }),
    found(issued('bob-team', 1), { alias: 'bob@work.example.test' }),
  ]);
  t.strictSame(
    (await fake.list()).map(({ alias }) => alias),
    ['Work', null, null, null],
  );
  t.match(
    document.notes.map(({ code, text }) => `${code} ${text}`),
    [
      /^ALIAS_LEFT_OUT codex-auth user-bob.json: its name work is left out: work already names another/,
      /^ALIAS_LEFT_OUT .*its name my account! is left out: an alias is/,
      /^SHARED_WITH_TOOL/,
    ],
  );
  const again = await tool([found(issued('alice', 0), { alias: 'home' })], { alias: 'mine' });
  t.match(again.imported, [{ identity: { alias: 'mine' } }], 'what a person types wins');
});

t.test('says that a tool keeps its copies, and which one Codex runs on', async (t) => {
  const { tool, text, said } = scene(t);
  const document = await tool([found(issued('alice', 0)), found(issued('bob', 0), { isActive: true })]);
  t.match(document.notes, [
    {
      code: 'SHARED_WITH_TOOL',
      text: /codex-auth still has its copy of each.*user-bob.json is the one Codex runs on now.*codex-router login/,
    },
  ]);
  t.match(document.imported, [{ source: 'codex-auth', shared: null, verified: false }, {}]);
  t.equal(
    text(),
    `added  alice@example.test (plus, account a1111111), from codex-auth user-alice.json
added  bob@example.test (pro, account c3333333), from codex-auth user-bob.json
next: codex-router use <selector>`,
  );
  t.match(said.join('\n'), 'unverified until its first successful call');
});

t.test('several logins are told in one line each, with what a person would notice', async (t) => {
  const { tool, text } = scene(t);
  await tool([found(issued('alice', 0))]);
  await tool([found(issued('alice', 1, { plan: 'pro' }), { alias: 'home' }), found(issued('bob', 0))]);
  t.match(text().split('\n'), [
    /^updated {2}home \(.*\): plan plus -> pro, alias - -> home, from codex-auth user-alice.json$/,
    /^added {4}bob@example.test/,
  ]);
});

t.test('an archive is known by its first bytes, in a file and on standard input', async (t) => {
  const { run } = scene(t);
  const opened: string[] = [];
  const bytes = Buffer.concat([Buffer.from('age-encryption.org/v1\n'), Buffer.from([0xff, 0xfe, 0x80])]);
  const parts: Partial<ImportParts> = {
    readStdin: async (limit) => {
      t.ok(limit >= 5_000_000, 'an archive may be larger than a login');
      return bytes;
    },
    archive: async () => ({
      largest: 5_000_000,
      isArchive: (head) => Buffer.from(head).toString('latin1').startsWith('age-encryption.org/v1'),
      open: async (given, from) => {
        t.strictSame(Buffer.from(given), bytes, 'as it came, no text of it');
        opened.push(from);
        return { logins: [found(issued('alice', 0), { alias: 'me' })], skipped: [] };
      },
    }),
  };
  t.match(await run({ from: '-' }, parts), {
    imported: [{ identity: { alias: 'me' }, source: 'archive' }],
    notes: [{ code: 'COPY' }],
  });
  t.match(await run({}, { ...parts, stdinIsTerminal: false }), { imported: [{ result: 'unchanged' }] });
  t.strictSame(opened, ['standard input', 'standard input']);
});

t.test('what cannot be meant is refused before anything is read', async (t) => {
  const { run, tool } = scene(t);
  const cases: readonly CliOptions[] = [
    { take: true, keep: true },
    { path: '/x' },
    { from: 'codex', path: '/x' },
    { from: 'openclaw', keep: true },
    { from: 'openclaw', path: '/x' },
    { from: '-', take: true },
    { from: '-', path: '/x' },
  ];
  for (const options of cases) {
    t.equal((await rejection(run(options))).code, 'USAGE', JSON.stringify(options));
  }
  t.equal((await rejection(tool([], { take: true }))).code, 'USAGE');
});

t.test('the access token that says nothing of its date is neither newer nor older', async (t) => {
  const { tool } = scene(t);
  await tool([found(issued('alice', 0))]);
  const holding = holdingOf(issued('alice', 4));
  const claims = holding.grant.accessToken.reveal().split('.');
  const payload = JSON.parse(Buffer.from(claims[1] ?? '', 'base64url').toString());
  payload.iat = undefined;
  const body = Buffer.from(JSON.stringify(payload)).toString('base64url');
  const accessToken = new Secret(`${claims[0]}.${body}.${claims[2]}`);
  const undated = { ...holding, grant: { ...holding.grant, accessToken } };
  const document = await tool([found(issued('alice', 4), { holding: undated })], { dryRun: true });
  t.match(document.refused, [{ code: 'GRANT_NOT_NEWER', newer: null }]);
});
