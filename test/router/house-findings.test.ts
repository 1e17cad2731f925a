import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import t from 'tap';
import { RouterError } from '../../src/errors.js';
import { identityKey } from '../../src/identity.js';
import { temporaryBeside } from '../../src/os/atomic.js';
import { startTimeOf } from '../../src/os/live-process.js';
import { watchLockIn, withRouterLock, withWatchLock } from '../../src/os/lock.js';
import { failoverLogIn } from '../../src/repo/failover-log.js';
import { failoverFolder, failoverStateIn } from '../../src/repo/failover-state.js';
import { recordName } from '../../src/repo/files.js';
import { journalIn } from '../../src/repo/journal.js';
import { pendingLoginsIn } from '../../src/repo/pending-logins.js';
import type { OpenRepo } from '../../src/repo/repo.js';
import { openRepoAt } from '../../src/repo/store.js';
import { usageFileIn } from '../../src/repo/usage-file.js';
import { addKey } from '../../src/repo/vault-keys.js';
import { clockNote } from '../../src/router/clock.js';
import type { Finding } from '../../src/router/finding.js';
import { houseFindings } from '../../src/router/house-findings.js';
import { spanText } from '../../src/router/times.js';
import { Secret } from '../../src/secret.js';
import { holding, LOCKED, memoryKeychain, testDeps } from '../repo/support.js';

const ONE = holding('acc-1');
const TWO = holding('acc-2');
const NOON = Date.now();
const HOUR = 3_600_000;
const UUID = '01234567-89ab-4cde-8f01-23456789abcd';

/** A vault with a key file and two logins, and how doctor sees it each time it looks. */
async function newHouse(key: 'file' | 'keychain' = 'file') {
  const keychain = memoryKeychain();
  const deps = testDeps({ now: () => NOON, keychain, firstRun: { key, ask: async () => 'stop' } });
  const { data, config } = deps.folders;
  const repo = await openRepoAt(deps).open();
  await repo.save(ONE);
  await repo.save(TWO);
  const open = (): Promise<OpenRepo | RouterError> =>
    openRepoAt({ ...deps, firstRun: null })
      .open()
      .catch((error: unknown) => {
        if (error instanceof RouterError) return error;
        throw error;
      });
  const look = async (more: { now?: number; placed?: (typeof ONE.grant)[] } = {}) => {
    const before = snapshot(data);
    const findings = await houseFindings({
      vault: deps,
      platform: 'linux',
      opened: await open(),
      placed: more.placed ?? [],
      withLock: (work) => withRouterLock(data, work),
      critical: (work) => work(),
      now: () => more.now ?? NOON,
    });
    t.strictSame(snapshot(data), before, 'looking writes nothing');
    return findings;
  };
  const mend = async (code: string): Promise<string> => {
    const finding = (await look()).find((one) => one.code === code);
    if (!finding?.mend) throw new Error(`${code} has no mend`);
    const { text } = await finding.mend.carryOut(async () => 'none');
    t.notOk(
      (await look()).some((one) => one.code === code),
      `${code} is gone after its mend`,
    );
    return text;
  };
  const record = (of: typeof ONE) => join(data, 'records', recordName(identityKey(of.identity)));
  return {
    deps,
    keychain,
    data,
    config,
    repo,
    look,
    mend,
    record,
    keyFile: join(config, key === 'file' ? (readdirSync(config)[0] ?? '') : ''),
  };
}

function snapshot(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true, encoding: 'utf8' })
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return entry.isFile() ? `${path} ${statSync(path).mode} ${readFileSync(path, 'base64')}` : path;
    })
    .sort();
}

const codes = (findings: readonly Finding[]) => findings.map(({ code }) => code).sort();
const old = (path: string) => utimesSync(path, new Date(NOON - HOUR), new Date(NOON - HOUR));

t.test('a house in order: nothing is found, with each kind of file of ours in it', async (t) => {
  const it = await newHouse();
  await it.repo.backUp(ONE, 'a test');
  await journalIn(it.data).begin({ slot: 's', from: null, to: null, pins: [], undoes: null }, NOON);
  await usageFileIn(it.data).keep(new Map(), () => true);
  await withRouterLock(it.data, async () => undefined);
  writeFileSync(join(it.config, 'config.json'), '{}', { mode: 0o600 });
  t.strictSame(await it.look(), []);
});

const EVENT = {
  at: NOON,
  kind: 'decided',
  apply: false,
  slot: null,
  sessions: [],
  from: null,
  to: null,
  reason: null,
  status: 'healthy',
  held: null,
  code: null,
} as const;

t.test('failover’s own folder is known, down to the lock of a watch that has run for days', async (t) => {
  const it = await newHouse();
  await failoverStateIn(it.data).keep({ watch: null }, false, NOON);
  await failoverLogIn(it.data).append(EVENT);
  const rotated = join(failoverFolder(it.data), 'events.3.jsonl');
  writeFileSync(rotated, '', { mode: 0o600 });
  await withWatchLock(it.data, async () => {
    t.strictSame(await it.look({ now: NOON + 72 * HOUR }), []);
  });
  chmodSync(rotated, 0o644);
  chmodSync(failoverFolder(it.data), 0o755);
  writeFileSync(join(failoverFolder(it.data), 'events.4.jsonl'), '');
  t.strictSame(codes(await it.look()), ['HOUSE_OPEN', 'HOUSE_UNKNOWN']);
  await it.mend('HOUSE_OPEN');
  t.equal(statSync(rotated).mode & 0o777, 0o600);
  t.equal(statSync(failoverFolder(it.data)).mode & 0o777, 0o700);
});

t.test(
  'a state of failover that cannot be read is told of, and so is the lock of a watch that was killed',
  async (t) => {
    const it = await newHouse();
    await failoverStateIn(it.data).keep({ watch: null }, false, NOON);
    writeFileSync(join(failoverFolder(it.data), 'state.json'), 'torn');
    t.match(await it.look(), [{ code: 'HOUSE_UNREADABLE', remedy: 'codex-router failover check' }]);
    unlinkSync(join(failoverFolder(it.data), 'state.json'));
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    mkdirSync(watchLockIn(it.data), { mode: 0o700 });
    writeFileSync(join(watchLockIn(it.data), `${pid}-1`), '', { mode: 0o600 });
    t.match(await it.look(), [{ code: 'OWN_LOCK_LEFT', text: /the next watch takes it away/ }]);
    await it.mend('OWN_LOCK_LEFT');
    t.notOk(existsSync(watchLockIn(it.data)));
  },
);

t.test(
  'a vault that cannot be opened: one finding for that, with its remedy, and the rest is looked at',
  async (t) => {
    const it = await newHouse('keychain');
    it.keychain.trouble = LOCKED;
    chmodSync(join(it.data, 'index.json'), 0o644);
    writeFileSync(join(it.data, 'strange'), '');
    unlinkSync(it.record(ONE));
    const found = await it.look();
    t.strictSame(codes(found), ['HOUSE_OPEN', 'HOUSE_UNKNOWN', 'RECORD_MISSING', 'VAULT_CLOSED']);
    t.match(
      found.find(({ code }) => code === 'VAULT_CLOSED'),
      {
        text: /could not be opened.*the keychain is locked \(KEYCHAIN_LOCKED\)/,
        remedy: 'unlock it',
        mend: null,
      },
    );
    it.keychain.trouble = null;
    it.keychain.items.clear();
    t.strictSame(
      codes(await it.look()).filter((code) => /KEY|VAULT/.test(code)),
      ['VAULT_CLOSED'],
      'a deleted key is told once',
    );
    writeFileSync(join(it.data, 'vault.json'), 'x');
    t.match(
      (await it.look()).filter(({ part }) => part === 'vault').map(({ text }) => text),
      [/vault\.json is damaged/, /.*/],
    );
    rmSync(it.data, { recursive: true });
    mkdirSync(it.data, { mode: 0o700 });
    t.strictSame(codes(await it.look()), ['VAULT_MISSING']);
  },
);

t.test('keys: one that is gone, wrong, or open to others is named with what mends it', async (t) => {
  const it = await newHouse();
  await addKey({ ...it.deps, now: () => NOON }, { kind: 'keychain', keyFile: null }, null);
  t.strictSame(await it.look(), []);
  renameSync(it.keyFile, `${it.keyFile}.away`);
  t.match(
    (await it.look()).filter(({ code }) => code === 'KEY_GONE'),
    [
      {
        text: /the key that every command opens the vault with, a key file/,
        remedy: 'codex-router vault rekey --to file',
      },
    ],
    'the vault opened with the other one',
  );
  renameSync(`${it.keyFile}.away`, it.keyFile);
  it.keychain.items.clear();
  t.match(await it.look(), [
    { code: 'KEY_GONE', text: /a further key/, remedy: 'codex-router vault add-key keychain' },
  ]);
});

t.test(
  'a key file that others can read is in danger, and its mend closes it and opens the vault',
  async (t) => {
    const it = await newHouse();
    chmodSync(it.keyFile, 0o640);
    const found = await it.look();
    t.strictSame(codes(found), ['HOUSE_OPEN', 'VAULT_CLOSED']);
    t.match(
      found.find(({ code }) => code === 'HOUSE_OPEN'),
      { danger: true, text: /the key of the vault is among it/ },
    );
    await it.mend('HOUSE_OPEN');
    t.equal(statSync(it.keyFile).mode & 0o777, 0o600);
    t.strictSame(await it.look(), []);
  },
);

t.test(
  'permissions: each is closed through its own handle, and nothing behind a link is touched',
  async (t) => {
    const it = await newHouse();
    const outside = join(it.data, '..', 'outside');
    writeFileSync(outside, '{}', { mode: 0o644 });
    symlinkSync(outside, join(it.data, 'usage.json.damaged'));
    for (const path of [it.data, join(it.data, 'records')]) chmodSync(path, 0o755);
    chmodSync(it.record(ONE), 0o666);
    const finding = (await it.look()).find(({ code }) => code === 'HOUSE_OPEN');
    t.match(finding?.text, /records, records\/[0-9a-f]{32}/);
    // What was a file when it was looked at is a link when it is mended.
    const away = join(it.data, '..', 'record');
    renameSync(it.record(ONE), away);
    symlinkSync(outside, it.record(ONE));
    const carryOut = async () => {
      await finding?.mend?.carryOut(async () => 'none');
    };
    await t.rejects(carryOut, { code: 'VAULT_PERMISSIONS' });
    t.equal(statSync(outside).mode & 0o777, 0o644);
    unlinkSync(it.record(ONE));
    renameSync(away, it.record(ONE));
    await it.mend('HOUSE_OPEN');
    t.equal(statSync(it.record(ONE)).mode & 0o777, 0o600);
    t.equal(statSync(it.data).mode & 0o777, 0o700);
    t.match(codes(await it.look()), ['HOUSE_LINKED', 'HOUSE_SET_ASIDE']);
    chmodSync(it.record(ONE), 0o400);
    await it.mend('HOUSE_MODE');
    chmodSync(it.record(ONE), 0o200);
    t.match(
      (await it.look()).filter(({ code }) => code === 'HOUSE_MODE'),
      [{ remedy: /^chmod u\+rwX .*records/, mend: null }],
      'what its owner is shut out of cannot be opened to be changed',
    );
    chmodSync(it.record(ONE), 0o600);
    t.equal(statSync(it.record(ONE)).mode & 0o777, 0o600);
  },
);

t.test(
  'index and records: what a crash leaves is told apart from what is lost, and mended where it can be',
  async (t) => {
    const it = await newHouse();
    const index = join(it.data, 'index.json');
    const whole = readFileSync(index, 'utf8');
    const without = JSON.parse(whole);
    without.identities.pop();
    writeFileSync(index, JSON.stringify(without));
    t.match(await it.look(), [{ code: 'NOT_LISTED', remedy: 'codex-router vault status --check' }]);
    t.match(await it.mend('NOT_LISTED'), /listed 1 identity/);

    await it.repo.save(holding('acc-1', 'user-1', 2));
    writeFileSync(index, whole);
    t.match(await it.look(), [{ code: 'INDEX_BEHIND', text: /user-1@example.com/ }]);
    await it.mend('INDEX_BEHIND');

    writeFileSync(index, '{');
    t.match(await it.look(), [{ code: 'INDEX_DAMAGED' }]);
    t.match(
      await it.mend('INDEX_DAMAGED'),
      /kept the damaged index as index\.json\.damaged, listed 2 identities/,
    );
    unlinkSync(`${index}.damaged`);

    unlinkSync(index);
    t.match(await it.look(), [{ code: 'INDEX_MISSING', text: /beside 2 sealed identities/ }]);
    await it.mend('INDEX_MISSING');

    const other = { ...JSON.parse(readFileSync(index, 'utf8')), vaultId: UUID };
    const now = readFileSync(index, 'utf8');
    writeFileSync(index, JSON.stringify(other));
    t.match(
      (await it.look()).filter(({ code }) => code === 'INDEX_DAMAGED'),
      [{ text: /belongs to another vault/, mend: null }],
    );
    writeFileSync(index, now);

    const planted = join(it.data, 'records', '0'.repeat(32));
    writeFileSync(planted, '', { mode: 0o600 });
    t.match(await it.look(), [{ code: 'RECORD_UNKNOWN', mend: null }]);
    unlinkSync(planted);

    const removing = JSON.parse(now);
    removing.identities = removing.identities.filter(
      (one: { identity: { accountId: string } }) => one.identity.accountId !== 'acc-2',
    );
    removing.removing = { [basename(it.record(TWO))]: 9 };
    writeFileSync(index, JSON.stringify(removing));
    t.match(await it.look(), [{ code: 'REMOVAL_UNFINISHED' }]);
    await it.mend('REMOVAL_UNFINISHED');
    t.notOk(existsSync(it.record(TWO)));

    writeFileSync(it.record(ONE), 'x', { mode: 0o600 });
    t.match(await it.look(), [{ code: 'RECORD_DAMAGED', danger: true, mend: null }]);
    unlinkSync(it.record(ONE));
    t.match(await it.look(), [{ code: 'RECORD_MISSING', danger: true, remedy: 'codex-router restore' }]);
  },
);

t.test('locks of ours: a dead one is taken away, a live one is named and never touched', async (t) => {
  const it = await newHouse();
  const lock = join(it.data, 'router.lock');
  const locks = join(it.data, 'locks');
  const dead = spawnSync(process.execPath, ['--version']).pid;
  for (const path of [lock, join(locks, 'a'.repeat(32))]) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    writeFileSync(join(path, `${dead}-12345`), '');
  }
  t.match(await it.look(), [
    { code: 'OWN_LOCK_LEFT', text: new RegExp(`locks/a+ was left by process ${dead}`) },
    { code: 'OWN_LOCK_LEFT', text: /router\.lock was left/ },
  ]);
  for (const finding of await it.look()) await finding.mend?.carryOut(async () => 'none');
  t.strictSame(await it.look(), []);
  t.strictSame([existsSync(lock), readdirSync(locks)], [false, []]);

  mkdirSync(lock, { mode: 0o700 });
  const live = join(lock, `${process.pid}-${startTimeOf(process.pid)}`);
  writeFileSync(live, '');
  t.strictSame(await it.look(), [], 'a command that is at work is nothing wrong');
  old(live);
  t.match(await it.look(), [
    { code: 'OWN_LOCK_HELD', text: new RegExp(`process ${process.pid}.* for 1 h`), mend: null },
  ]);
  t.ok(existsSync(live));
  writeFileSync(join(lock, 'strange'), '');
  t.match(await it.look(), [{ code: 'OWN_LOCK_BLOCKED', mend: null }]);
});

t.test(
  'what a crash leaves is deleted once it is old, what is set aside or unknown is only named',
  async (t) => {
    const it = await newHouse();
    const temporary = temporaryBeside(join(it.data, 'records', '0'.repeat(32)));
    writeFileSync(temporary, 'half', { mode: 0o600 });
    t.strictSame(await it.look(), [], 'one that may be of a write that is under way is left');
    old(temporary);
    writeFileSync(`${it.record(ONE)}.damaged`, 'x', { mode: 0o600 });
    writeFileSync(join(it.data, 'notes.txt'), 'mine', { mode: 0o600 });
    writeFileSync(join(it.config, `vault-${UUID}.01234567.key`), 'another', { mode: 0o600 });
    t.match(await it.look(), [
      { code: 'HOUSE_TEMPORARY', text: /\.tmp/ },
      { code: 'HOUSE_SET_ASIDE', text: /\.damaged/, mend: null },
      { code: 'HOUSE_UNKNOWN', text: /notes\.txt/, mend: null },
      { code: 'KEY_FILE_UNUSED', mend: null },
    ]);
    await it.mend('HOUSE_TEMPORARY');
    t.notOk(existsSync(temporary));
    t.ok(existsSync(join(it.data, 'notes.txt')));
  },
);

t.test('logins that were begun and expired, back-ups past keeping, and what cannot be read', async (t) => {
  const it = await newHouse();
  const secrets = { state: new Secret('CANARY-state'), verifier: new Secret('CANARY-verifier') };
  const login = { createdAt: NOON - 60_000, redirectUri: 'http://127.0.0.1/', expect: null, alias: null };
  const pending = pendingLoginsIn(it.data);
  await pending.write(it.repo, login, secrets);
  t.strictSame(await it.look(), [], 'one that may still be finished');
  await pending.write(it.repo, { ...login, createdAt: NOON - HOUR }, secrets);
  t.match(await it.look(), [{ code: 'PENDING_EXPIRED', remedy: 'codex-router login cancel' }]);
  await it.mend('PENDING_EXPIRED');
  t.equal(await pending.read(), null);

  mkdirSync(join(it.data, 'backups'), { mode: 0o700, recursive: true });
  writeFileSync(join(it.data, 'backups', `${NOON - 31 * 24 * HOUR}-${'0'.repeat(32)}-01234567`), '', {
    mode: 0o600,
  });
  t.match(await it.look(), [{ code: 'BACKUPS_OLD', text: /^1 /, mend: null }]);
  for (let place = 0; place < 21; place += 1) {
    const name = `${NOON - place}-${'1'.repeat(32)}-0123456${place % 10}`;
    writeFileSync(join(it.data, 'backups', name), '', { mode: 0o600 });
  }
  t.match(await it.look(), [{ code: 'BACKUPS_OLD', text: /^2 / }], 'and the twenty-first of one identity');
  rmSync(join(it.data, 'backups'), { recursive: true });

  for (const name of ['usage.json', 'chat-state.json', 'pending-login.json'])
    writeFileSync(join(it.data, name), '', { mode: 0o600 });
  t.match(await it.look(), [
    { code: 'HOUSE_UNREADABLE', text: /pending-login/, remedy: /login cancel/ },
    { code: 'HOUSE_UNREADABLE', text: /usage\.json/ },
    { code: 'HOUSE_UNREADABLE', text: /chat-state/ },
  ]);
});

t.test('a clock that is wrong: by how much and which way, and nothing is mended', async (t) => {
  const it = await newHouse();
  t.strictSame(await it.look({ now: NOON - 59_000 }), [], 'a minute is nothing');
  t.match(await it.look({ now: NOON - 3 * HOUR }), [
    { code: 'CLOCK_AHEAD_BEFORE', text: /3 h from now/, remedy: 'timedatectl status', mend: null },
  ]);
  const claims = { iat: (NOON + 2 * HOUR) / 1000 };
  const token = `h.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.CANARY`;
  t.match(await it.look({ placed: [{ ...ONE.grant, accessToken: new Secret(token) }] }), [
    { code: 'CLOCK_BEHIND', text: /2 h from now, so the clock of this machine is behind/ },
  ]);
  const journal = journalIn(it.data);
  const intent = { slot: 's', from: null, to: null, pins: [], undoes: null };
  const id = await journal.begin(intent, NOON - HOUR);
  await journal.begin(intent, NOON - 2 * HOUR);
  t.match(await it.look(), [{ code: 'CLOCK_SET_BACK', text: /went back by 1 h, 2 h ago/ }]);
  t.strictSame(await it.look({ now: NOON + 30 * 24 * HOUR }), [], 'long ago');
  await journal.advance(id, 'done', NOON);
  // As a cut leaves them: each with the time of its last line.
  const copy = (at: number) => JSON.stringify({ v: 1, ...intent, id: `${at}`, at, step: 'done' });
  writeFileSync(join(it.data, 'journal.jsonl'), `${copy(NOON)}\n${copy(NOON - HOUR)}\n`);
  t.strictSame(await it.look(), [], 'what was copied says nothing of the clock');
  t.equal(clockNote(null), null);
  t.equal(clockNote(-60_000), null);
  t.match(clockNote(-90_000), { code: 'CLOCK_SKEW', text: /2 min behind/ });
  t.match(clockNote(7_800_000), { text: /2 h 10 min ahead of/ });
  t.strictSame(
    [spanText(10), spanText(59_700), spanText(3_599_999), spanText(172_800_000)],
    ['1 s', '1 min', '1 h', '2 d'],
  );
});
