import { deepStrictEqual } from 'node:assert';
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import t from 'tap';
import { identityKey } from '../../src/identity.js';
import type { Json, JsonObject } from '../../src/json.js';
import { recordName } from '../../src/repo/files.js';
import { readIndex, writeIndex } from '../../src/repo/index.js';
import { openedRepo } from '../../src/repo/opened.js';
import type { RepoDeps } from '../../src/repo/opening.js';
import { openRecord, parseHeader, sealRecord } from '../../src/repo/record.js';
import type { OpenRepo } from '../../src/repo/repo.js';
import { seal, unseal } from '../../src/repo/seal.js';
import { openRepoAt } from '../../src/repo/store.js';
import { initVault, type Vault } from '../../src/repo/vault.js';
import { Secret } from '../../src/secret.js';
import { holding, NOON, revealed, testDeps } from './support.js';

const ONE = holding('acc-1');
const TWO = holding('acc-2');
const KEY = identityKey(ONE.identity);

interface Bench {
  readonly deps: RepoDeps;
  readonly vault: Vault;
  readonly repo: OpenRepo;
  readonly files: { readonly index: string; readonly records: string; readonly backups: string };
  path(of: { identity: typeof ONE.identity }): string;
}

async function newBench(now: () => number = () => NOON): Promise<Bench> {
  const deps = testDeps({ now });
  const { vault } = await initVault(deps, { kind: 'file', keyFile: null });
  const { data } = deps.folders;
  const files = {
    index: join(data, 'index.json'),
    records: join(data, 'records'),
    backups: join(data, 'backups'),
  };
  return {
    deps,
    vault,
    files,
    repo: openedRepo({ files, vault, now }),
    path: (of) => join(files.records, recordName(identityKey(of.identity))),
  };
}

/** Puts `text` where a crash would have left it: newer than the index. */
function leave(path: string, text: string): void {
  writeFileSync(path, text);
  const later = new Date(Date.now() + 5000);
  utimesSync(path, later, later);
}

t.test('what is saved loads again, whole', async (t) => {
  const { repo, deps } = await newBench();
  await repo.save(ONE, { source: 'codex', alias: 'work' });
  await repo.save(TWO);
  const again = await openRepoAt({ ...deps, firstRun: null }).open();
  t.same(revealed(await again.load(KEY)), revealed(ONE));
  t.same(revealed(await again.load(identityKey(TWO.identity))), revealed(TWO));
});

t.test(
  'the list is in the order of adding, without the vault, and an absent repo is an empty list',
  async (t) => {
    const { repo, deps } = await newBench();
    t.same(await openRepoAt(testDeps()).list(), []);
    await repo.save(TWO, { source: 'codex' });
    await repo.save(ONE, { source: 'openclaw', alias: 'work', verified: true });
    await repo.save(TWO);
    const keyless = { ...deps, keyFile: '/nonexistent/key', firstRun: null };
    const list = await openRepoAt(keyless).list();
    t.same(
      list.map((entry) => [
        entry.identity.accountId,
        entry.revision,
        entry.source,
        entry.alias,
        entry.verified,
      ]),
      [
        ['acc-2', 2, 'codex', null, false],
        ['acc-1', 1, 'openclaw', 'work', true],
      ],
    );
  },
);

t.test('a save keeps what it is not told, and what tokens do not carry', async (t) => {
  let clock = NOON;
  const { repo } = await newBench(() => clock);
  const named = { ...ONE, identity: { ...ONE.identity, workspace: 'Acme' } };
  const first = await repo.save(named, {
    source: 'codex',
    alias: 'work',
    sharedWith: 'codex',
    verified: true,
  });
  clock += 1000;
  const same = await repo.save(ONE);
  t.equal(same.updatedAt, first.updatedAt, 'the grant did not change');
  const next = await repo.save(holding('acc-1', 'user-1', 2), { sharedWith: null });
  t.match(next, {
    identity: { workspace: 'Acme' },
    alias: 'work',
    source: 'codex',
    sharedWith: null,
    verified: true,
    addedAt: NOON,
    updatedAt: NOON + 1000,
    revision: 3,
  });
  t.equal((await repo.load(KEY)).identity.workspace, 'Acme');
});

t.test('nothing the repo writes holds a token, and every file is 0600 in folders 0700', async (t) => {
  const { repo, deps } = await newBench();
  await repo.save(ONE);
  await repo.backUp(ONE, 'test');
  const data = deps.folders.data;
  for (const name of ['.', ...readdirSync(data, { recursive: true }).map(String)]) {
    const { mode } = statSync(join(data, name));
    const folder = statSync(join(data, name)).isDirectory();
    t.equal(mode & 0o777, folder ? 0o700 : 0o600, name);
    if (!folder) t.notMatch(readFileSync(join(data, name), 'utf8'), /CANARY|Q0FOQVJZ|DQU5BUl|NBTkFSW/, name);
  }
});

t.test('a fingerprint tells one grant from another and depends on the vault', async (t) => {
  const { repo } = await newBench();
  const other = await newBench();
  const again = { ...ONE.grant, accessToken: new Secret('CANARY.other.access') };
  t.equal(repo.fingerprint(ONE.grant), repo.fingerprint(again));
  t.not(repo.fingerprint(ONE.grant), repo.fingerprint(holding('acc-1', 'user-1', 2).grant));
  t.not(repo.fingerprint(ONE.grant), other.repo.fingerprint(ONE.grant));
  t.match(repo.fingerprint(ONE.grant), /^[0-9a-f]{32}$/);
});

t.test(
  'a place is remembered and forgotten, an alias set and taken, without touching the record',
  async (t) => {
    const { repo, deps, path } = await newBench();
    const { fingerprint } = await repo.save(ONE);
    const record = readFileSync(path(ONE), 'utf8');
    const placement = { slot: 's#main#p', fingerprint, at: NOON };
    await repo.place(KEY, placement);
    const closed = openRepoAt(deps);
    t.equal((await closed.setAlias(KEY, 'home')).alias, 'home');
    t.same((await closed.list())[0]?.placement, placement);
    await repo.place(KEY, null);
    t.match((await closed.list())[0], { placement: null, alias: 'home' });
    t.equal(readFileSync(path(ONE), 'utf8'), record);
    for (const call of [repo.place, repo.setAlias, closed.setAlias]) {
      await t.rejects(call(identityKey(TWO.identity), null), { code: 'IDENTITY_NOT_FOUND' });
    }
  },
);

t.test('a removed identity is gone, with its record and back-ups, and only it', async (t) => {
  const { repo, deps, files, path } = await newBench();
  await repo.save(ONE);
  await repo.save(TWO);
  await repo.backUp(ONE, 'a');
  await repo.backUp(TWO, 'b');
  await openRepoAt(deps).remove(KEY);
  t.notOk(existsSync(path(ONE)));
  t.same(
    (await repo.list()).map((entry) => entry.identity.accountId),
    ['acc-2'],
  );
  t.equal(readdirSync(files.backups).length, 1);
  await t.rejects(repo.load(KEY), { code: 'IDENTITY_NOT_FOUND' });
  await t.rejects(repo.remove(KEY), { code: 'IDENTITY_NOT_FOUND' });
  t.same(revealed(await repo.load(identityKey(TWO.identity))), revealed(TWO));
});

t.test('a damaged record says how: missing, swapped, rolled back, altered, of another vault', async (t) => {
  const { repo, path } = await newBench();
  const elsewhere = await newBench();
  await repo.save(ONE);
  await repo.save(TWO);
  await repo.save(TWO);
  const old = readFileSync(path(ONE), 'utf8');
  await repo.save(ONE);
  const good = readFileSync(path(ONE), 'utf8');
  const refuses = async (text: string, why: RegExp) => {
    writeFileSync(path(ONE), text);
    await t.rejects(repo.load(KEY), { code: 'RECORD_DAMAGED', message: why });
    t.same(revealed(await repo.load(identityKey(TWO.identity))), revealed(TWO), 'the other stays usable');
  };
  await refuses(readFileSync(path(TWO), 'utf8'), /swapped with another/);
  await refuses(old, /rolled back/);
  await refuses(old.replace('"revision":1', '"revision":2'), /altered/);
  await refuses(old.replace('"revision":1', '"revision":9'), /altered/);
  await refuses(readFileSync(path(TWO), 'utf8').replace('acc-2', 'acc-1'), /altered/);
  await refuses(sealRecord(elsewhere.vault, { holding: ONE, facts: FACTS }, 2), /another vault/);
  await refuses(good.slice(0, 100), /not JSON/);
  await refuses('', /not JSON/);
  renameSync(path(ONE), `${path(ONE)}.moved`);
  await t.rejects(repo.load(KEY), { code: 'RECORD_DAMAGED', message: /missing/ });
  writeFileSync(path(ONE), good);
  t.same(revealed(await repo.load(KEY)), revealed(ONE));
});

const FACTS = {
  alias: null,
  source: 'file',
  verified: false,
  sharedWith: null,
  addedAt: NOON,
  updatedAt: NOON,
} as const;

t.test(
  'a crash between record and index heals: the newer record wins and the index is rebuilt from it',
  async (t) => {
    const { repo, deps, vault, files, path } = await newBench();
    await repo.save(ONE, { alias: 'work', source: 'codex' });
    const newer = holding('acc-1', 'user-1', 2);
    leave(
      path(ONE),
      sealRecord(vault, { holding: newer, facts: { ...FACTS, alias: 'work', source: 'codex' } }, 2),
    );
    leave(path(TWO), sealRecord(vault, { holding: TWO, facts: { ...FACTS, alias: 'new' } }, 1));
    const again = await openRepoAt(deps).open();
    t.match(await again.list(), [
      { alias: 'work', revision: 2, fingerprint: again.fingerprint(newer.grant), source: 'codex' },
      { alias: 'new', revision: 1 },
    ]);
    t.same(revealed(await again.load(KEY)), revealed(newer));
    t.same(revealed(await again.load(identityKey(TWO.identity))), revealed(TWO));
    t.equal((await openRepoAt(deps).list()).length, 1, 'looking writes nothing');
    t.same(await repo.mend(), { rebuilt: 2, removed: 0, unreadable: [] });
    t.equal((await openRepoAt(deps).list()).length, 2);
    t.same(await repo.mend(), { rebuilt: 0, removed: 0, unreadable: [] });
    t.ok(existsSync(files.index));
  },
);

t.test(
  'a save after such a crash counts on from the record, so nothing is ever sealed twice under one revision',
  async (t) => {
    const { repo, vault, path } = await newBench();
    await repo.save(ONE);
    leave(path(ONE), sealRecord(vault, { holding: ONE, facts: FACTS }, 7));
    t.equal((await repo.save(ONE)).revision, 8);
  },
);

t.test('a crash in the middle of a removal does not bring the identity back', async (t) => {
  const { repo, deps, files, path } = await newBench();
  await repo.save(ONE);
  await repo.save(TWO);
  const record = readFileSync(path(ONE), 'utf8');
  await repo.remove(KEY);
  leave(path(ONE), record);
  const again = await openRepoAt(deps).open();
  t.equal((await again.list()).length, 1);
  t.same(await repo.mend(), { rebuilt: 0, removed: 1, unreadable: [] });
  t.same(readdirSync(files.records), [recordName(identityKey(TWO.identity))]);
  t.equal((await repo.save(ONE)).revision, 1);
});

t.test('a lost index is never an empty list, and comes back from the records', async (t) => {
  const { repo, deps, files } = await newBench();
  await repo.save(ONE, { alias: 'work' });
  await repo.save(TWO);
  const before = await repo.list();
  renameSync(files.index, `${files.index}.lost`);
  await t.rejects(openRepoAt(deps).list(), {
    code: 'VAULT_DAMAGED',
    message: /index\.json is missing/,
    hint: 'codex-router vault status --check',
  });
  await repo.mend();
  const after = await openRepoAt(deps).list();
  const byName = (a: { identity: { accountId: string } }, b: { identity: { accountId: string } }) =>
    a.identity.accountId.localeCompare(b.identity.accountId);
  t.same(
    [...after].sort(byName),
    [...before].sort(byName).map((entry) => ({ ...entry, doubt: 'restored' })),
    'in doubt, because what only the index knew is gone',
  );
});

t.test(
  'an index that is broken, torn, of another vault or names one identity twice is refused untouched',
  async (t) => {
    const { repo, deps, files } = await newBench();
    const elsewhere = await newBench();
    await elsewhere.repo.save(TWO);
    await repo.save(ONE);
    const good = readFileSync(files.index, 'utf8');
    const index = JSON.parse(good);
    const broken = [
      '',
      good.slice(0, 50),
      `\ufeff${good}`,
      '[]',
      '{"version":"1"}',
      JSON.stringify({ ...index, identities: {} }),
      JSON.stringify({ ...index, identities: [...index.identities, ...index.identities] }),
      JSON.stringify({ ...index, identities: [{ ...index.identities[0], revision: '1' }] }),
    ];
    for (const text of broken) {
      writeFileSync(files.index, text);
      await t.rejects(
        openRepoAt(deps).list(),
        { code: 'VAULT_DAMAGED', hint: 'codex-router vault status --check' },
        text.slice(0, 20),
      );
      await t.rejects(repo.save(TWO), { code: 'VAULT_DAMAGED' });
      t.equal(readFileSync(files.index, 'utf8'), text);
    }
    writeFileSync(files.index, readFileSync(elsewhere.files.index));
    await t.rejects(repo.list(), { code: 'VAULT_DAMAGED', message: /another vault/ });
  },
);

t.test('unknown fields of the index survive every change', async (t) => {
  const { repo, files } = await newBench();
  await repo.save(ONE);
  await repo.save(TWO);
  const index = JSON.parse(readFileSync(files.index, 'utf8'));
  index.later = { a: 1 };
  index.identities[0].later = [2];
  index.identities[0].identity.later = 'x';
  writeFileSync(files.index, JSON.stringify(index));
  await repo.setAlias(KEY, 'work');
  await repo.save(ONE);
  await repo.remove(identityKey(TWO.identity));
  t.match(JSON.parse(readFileSync(files.index, 'utf8')), {
    later: { a: 1 },
    identities: [{ alias: 'work', later: [2], identity: { later: 'x' } }],
  });
});

t.test('a record that cannot be read is set aside by a save, not destroyed', async (t) => {
  const { repo, files, path } = await newBench();
  await repo.save(ONE);
  writeFileSync(path(ONE), 'torn');
  await repo.save(ONE);
  t.equal(readFileSync(`${path(ONE)}.damaged`, 'utf8'), 'torn');
  t.same(revealed(await repo.load(KEY)), revealed(ONE));
  await repo.remove(KEY);
  t.same(readdirSync(files.records), []);
});

t.test(
  'a record with a sound header is set aside too when its body was altered or is another one',
  async (t) => {
    const { repo, vault, path } = await newBench();
    await repo.save(ONE);
    await repo.save(TWO);
    const good = readFileSync(path(ONE), 'utf8');
    const altered = good.replace(/"sealed":"(.)/, (_, first) => `"sealed":"${first === 'A' ? 'B' : 'A'}`);
    for (const text of [altered, readFileSync(path(TWO), 'utf8')]) {
      writeFileSync(path(ONE), text);
      await repo.save(ONE);
      t.equal(readFileSync(`${path(ONE)}.damaged`, 'utf8'), text);
      t.same(revealed(await repo.load(KEY)), revealed(ONE));
    }
    const claimed = sealRecord(vault, { holding: ONE, facts: FACTS }, 9).replace(
      '"revision":9',
      '"revision":99',
    );
    writeFileSync(path(ONE), claimed);
    t.equal((await repo.save(ONE)).revision, 4, 'an altered header counts for nothing');
  },
);

t.test('a change made by another program between reading and writing is not lost', async (t) => {
  const { repo, files } = await newBench();
  await repo.save(ONE);
  const { index, text } = await readIndex(files);
  await repo.setAlias(KEY, 'theirs');
  if (index === null) throw new Error('no index');
  await t.rejects(writeIndex(files, index, text), { code: 'BUSY' });
  t.match(await repo.list(), [{ alias: 'theirs' }]);
});

t.test(
  'back-ups are sealed, never open as records, and are capped at 20 of each identity and 30 days',
  async (t) => {
    let clock = NOON;
    const { repo, files, path } = await newBench(() => clock);
    await repo.save(ONE);
    await repo.backUp(ONE, 'old');
    clock += 31 * 24 * 3_600_000;
    await repo.backUp(ONE, 'before a replace');
    t.equal(readdirSync(files.backups).length, 1, 'the old one is gone');
    const [name = ''] = readdirSync(files.backups);
    const text = readFileSync(join(files.backups, name), 'utf8');
    t.match(JSON.parse(text), { version: 1, reason: 'before a replace', at: clock });
    writeFileSync(path(ONE), text);
    await t.rejects(repo.load(KEY), { code: 'RECORD_DAMAGED', message: /altered/ });
    for (let made = 0; made < 25; made += 1) {
      clock += 1;
      await repo.backUp(TWO, 'many');
    }
    const names = readdirSync(files.backups).filter((kept) => kept !== name);
    t.equal(names.length, 20);
    t.ok(
      names.every((kept) => Number(kept.split('-')[0]) > clock - 20),
      'the newest are kept',
    );
    t.ok(readdirSync(files.backups).includes(name), "and another identity's");
  },
);

t.test('opening undoes sealing, for every holding', async (t) => {
  const { vault } = await newBench();
  const anyJson: fc.Arbitrary<Json> = fc
    .jsonValue({ noUnicodeString: false })
    .map((value) => JSON.parse(JSON.stringify(value)));
  const fields: fc.Arbitrary<JsonObject> = fc.dictionary(
    fc.string().filter((name) => name !== '__proto__'),
    anyJson,
    { noNullPrototype: true },
  );
  const id = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._:@|=+-]{0,40}$/);
  await fc.assert(
    fc.asyncProperty(
      id,
      id,
      fc.string({ unit: 'binary' }),
      fields,
      fc.option(fields),
      fc.nat(),
      async (a, u, token, host, sel, rev) => {
        const base = holding(a, u);
        const grant = {
          ...base.grant,
          refreshToken: new Secret(`CANARY${token}`),
          idToken: null,
          provenance: null,
        };
        const whole = { ...base, grant, hostFields: host, selection: sel };
        const text = sealRecord(vault, { holding: whole, facts: FACTS }, rev + 1);
        const opened = openRecord(vault, parseHeader(text, 'x'), `${a}/${u}`, 'x');
        deepStrictEqual(revealed(opened.holding), revealed(whole));
      },
    ),
    { numRuns: 60 },
  );
  t.pass('every one came back the same');
});

t.test('no bit of a sealed record can be flipped unnoticed', async (t) => {
  const { vault } = await newBench();
  const text = sealRecord(vault, { holding: ONE, facts: FACTS }, 3);
  const bytes = Buffer.from(text);
  const opens = (altered: Buffer) => {
    try {
      const head = parseHeader(altered.toString('utf8'), 'x');
      if (head.identity !== KEY || head.revision !== 3) return false;
      openRecord(vault, head, KEY, 'x');
      return true;
    } catch {
      return false;
    }
  };
  t.ok(opens(bytes), 'the unaltered one opens');
  const unnoticed: number[] = [];
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const altered = Buffer.from(bytes);
    altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    if (opens(altered)) unnoticed.push(bit);
  }
  t.same(unnoticed, []);
});

t.test('sealed bytes open only with the same key and the same bound text', async (t) => {
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(key, key, fc.string(), fc.string(), fc.uint8Array(), (k, other, bound, elsewhere, plain) => {
      const box = seal(k, bound, Buffer.from(plain));
      deepStrictEqual(unseal(k, bound, box), Buffer.from(plain));
      if (!k.equals(other)) deepStrictEqual(unseal(other, bound, box), null);
      if (bound !== elsewhere) deepStrictEqual(unseal(k, elsewhere, box), null);
    }),
    { numRuns: 50 },
  );
  t.pass('no other key, no other text');
});
