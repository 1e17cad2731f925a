import {
  cpSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { identityKey, parseAccountId, parseUserId } from '../../src/identity.js';
import { recordName } from '../../src/repo/files.js';
import { PROJECT, program, type RouterRun } from '../kit/router.js';
import { readJson, writeJson } from '../kit/state.js';
import { codexAuthJson, DAY, type Login, loginOf, type Person, people } from '../kit/tokens.js';
import { faulted, makeRig, type Rig, said } from './rig.js';

/** Commands that open the vault and mean to change something. */
const ALL = {
  use: ['use', 'carol'],
  refresh: ['refresh', '--all'],
  sync: ['sync'],
  undo: ['undo'],
  restore: ['restore', '1', '--yes'],
} as const;

const NAMES = ['alice', 'bob', 'carol'] as const;

interface Scene extends Rig {
  readonly logins: Readonly<Record<(typeof NAMES)[number], Login>>;
  /** A file of codex-router's home. */
  file(...names: string[]): string;
  /** The sealed record of somebody. */
  record(who: Person): string;
  /** Runs `work` on what lies there now and puts all of it back afterwards; what was sent to the issuer stays sent. */
  aside(work: () => Promise<void>): Promise<void>;
  /** Each command must end with this error, and not one byte of ours or the host's may have changed, and nothing been sent. */
  refused(t: Test, commands: readonly (readonly string[])[], error: object, exit: number): Promise<void>;
}

/** Three stored identities, two switches, of which bob's is the last, a back-up of carol, and a host that has rotated bob's token. */
async function scene(t: Test): Promise<Scene> {
  const rig = await makeRig(t);
  const alice = await rig.add('alice', people.alice);
  const bob = await rig.add('bob', people.bob);
  await rig.add('carol', people.carol, { issuedAt: Date.now() - DAY });
  const carol = await rig.add('carol', people.carol);
  await rig.ok(['use', 'alice']);
  await rig.ok(['use', 'bob']);
  const file = (...names: string[]) => path.join(rig.box.routerHome, ...names);
  return {
    ...rig,
    logins: { alice, bob, carol },
    file,
    record: ({ accountId, userId }) => {
      const who = { accountId: parseAccountId(accountId), userId: parseUserId(userId) };
      return file('records', recordName(identityKey(who)));
    },
    async aside(work) {
      const kept = path.join(rig.box.root, 'kept');
      const folders = [rig.box.routerHome, rig.box.stateDir];
      const copy = (from: string, to: string) =>
        cpSync(from, to, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
      for (const folder of folders) copy(folder, path.join(kept, path.basename(folder)));
      await work();
      for (const folder of folders) {
        rmSync(folder, { recursive: true, force: true });
        copy(path.join(kept, path.basename(folder)), folder);
      }
      rmSync(kept, { recursive: true });
    },
    async refused(t, commands, error, exit) {
      const before = rig.files();
      const sent = rig.issuer.of('refresh').length;
      for (const args of commands) {
        const run = faulted(await rig.run([...args, '--json']));
        t.match(
          run,
          { code: exit, json: { error: { ...error, hint: /./ } } },
          `${args.join(' ')}: ${said(run)}`,
        );
      }
      t.same(rig.files(), before, 'nothing was written');
      t.equal(rig.issuer.of('refresh').length, sent, 'nothing was sent');
    },
  };
}

function flip(file: string, at: number): void {
  const bytes = readFileSync(file);
  const place = at < 0 ? bytes.length + at : at;
  bytes[place] = (bytes[place] ?? 0) ^ 1;
  writeFileSync(file, bytes);
}

t.test(
  'a journal of any kind stops no check-in and no switch, and what cannot be read is said',
  async (t) => {
    const it = await scene(t);
    const journal = it.file('journal.jsonl');
    const good = readFileSync(journal, 'utf8');
    const texts = {
      empty: '',
      garbage: 'not json\n{"v":1}\n[]\nnull\n{"v":2,"id":"x","at":1,"step":"done"}\n',
      torn: good.slice(0, -30),
      binary: Buffer.from(Array.from({ length: 4096 }, (_, place) => (place * 7919) % 256)),
      huge: `${'x'.repeat(1000)}\n`.repeat(20_000) + good,
      'one endless line': good + 'y'.repeat(8_000_000),
      'of nobody': `${good}${JSON.stringify({ v: 1, id: 'i', at: 1, slot: 'elsewhere', from: null, to: null, step: 'begun' })}\n`,
    };
    for (const [kind, text] of Object.entries(texts)) {
      await it.aside(async () => {
        writeFileSync(journal, text);
        const use = faulted(await it.run(['use', 'carol', '--json']));
        t.equal(use.code, 0, `${kind}: ${said(use)}`);
        const history = await it.run(['history', '--json']);
        t.match(history.json.switches[0], { to: { alias: 'carol' }, step: 'done' }, kind);
        const damaged = /garbage|torn|binary/.test(kind);
        t.equal(
          history.json.damagedLines > 0,
          damaged,
          `${kind}: ${history.json.damagedLines} damaged lines`,
        );
        t.match(await it.run(['undo', '--json']), { code: 0, json: { to: { alias: 'bob' } } }, kind);
      });
    }
    await it.aside(async () => {
      rmSync(journal);
      mkdirSync(journal);
      await it.refused(
        t,
        [ALL.use, ALL.sync, ALL.undo, ['refresh', 'alice']],
        { code: 'IO', message: /journal.*not a regular file/ },
        5,
      );
      rmSync(journal, { recursive: true });
      symlinkSync('journal.jsonl', journal);
      await it.refused(
        t,
        [ALL.use, ALL.sync, ALL.undo, ['refresh', 'alice']],
        { code: 'IO', message: /too many symbolic links/ },
        5,
      );
      t.equal((await it.run(['list'])).code, 0);
    });
  },
);

t.test(
  'a vault.json or index.json of a later release is refused by every command and left as it is',
  async (t) => {
    const it = await scene(t);
    for (const name of ['vault.json', 'index.json']) {
      await it.aside(async () => {
        const file = it.file(name);
        writeJson(file, { ...(readJson(file) as object), version: 2 });
        const newer = {
          code: 'VAULT_NEWER',
          message: /format version 2, newer than this codex-router knows/,
        };
        const more = [
          ['alias', 'bob', 'robert'],
          ['remove', 'alice', '--yes'],
          ['vault', 'rekey', '--to', 'file'],
          ['vault', 'status', '--check'],
          ['import', '--from', 'openclaw'],
        ];
        const every = [
          ...Object.values(ALL),
          ...more.filter(([, what]) => name === 'vault.json' || what !== 'rekey'),
        ];
        await it.refused(t, every, newer, 6);
      });
    }
    t.same(await it.lost(NAMES), []);
  },
);

t.test('a vault.json or index.json that is damaged or gone is no empty one', async (t) => {
  const it = await scene(t);
  const spoils: readonly ((file: string) => void)[] = [
    (file) => truncateSync(file, 40),
    (file) => writeFileSync(file, ''),
    (file) => writeFileSync(file, '[]'),
    (file) => writeFileSync(file, '{"version":1}'),
    (file) => rmSync(file),
  ];
  for (const spoil of spoils) {
    for (const name of ['vault.json', 'index.json']) {
      await it.aside(async () => {
        spoil(it.file(name));
        const input = codexAuthJson(loginOf('bob-team'));
        const isVault = name === 'vault.json';
        // Without an index the records tell who is stored, and not whether this is the vault that last wrote to the host.
        const code = isVault ? 'VAULT_DAMAGED' : /^VAULT_(DAMAGED|ROLLED_BACK)$/;
        await it.refused(t, [ALL.use, ALL.undo], { code }, 6);
        if (!isVault) return;
        const fresh = await it.run(['import', '--from', '-', '--json'], { input });
        t.match(fresh, { code: 6, json: { error: { code } } }, said(fresh));
      });
    }
  }
  // The index is rebuilt from the records, and nobody is lost.
  for (const spoil of spoils) {
    await it.aside(async () => {
      spoil(it.file('index.json'));
      const check = await it.run(['vault', 'status', '--check', '--json']);
      t.match(check, { code: 0, json: { check: { records: 3, rebuilt: 3 } } }, said(check));
      await it.ok(['sync']).catch(() => it.ok(['host', 'adopt', '--yes']));
      const { identities } = (await it.ok(['list', '--json'])).json;
      t.same(identities.map(({ alias }: { alias: string }) => alias).sort(), NAMES);
    });
  }
  t.same(await it.lost(NAMES), []);
});

t.test(
  "a sealed record that is another's, torn, altered, old or no file names itself, and the others are usable",
  async (t) => {
    const it = await scene(t);
    const victim = it.record(people.alice);
    const old = path.join(it.box.root, 'old-record');
    cpSync(victim, old);
    await it.ok(['refresh', 'alice']);
    const spoils: Readonly<Record<string, readonly [RegExp, () => void]>> = {
      swapped: [/was swapped with another identity's/, () => cpSync(it.record(people.carol), victim)],
      truncated: [/is damaged/, () => truncateSync(victim, 300)],
      empty: [/is damaged/, () => truncateSync(victim, 0)],
      'flipped in the seal': [/was altered|is damaged/, () => flip(victim, -60)],
      'flipped in the head': [/was altered|is damaged|was swapped/, () => flip(victim, 30)],
      'rolled back': [/was rolled back to an older one/, () => cpSync(old, victim)],
      gone: [/is missing/, () => rmSync(victim)],
    };
    for (const [kind, [sentence, spoil]] of Object.entries(spoils)) {
      await it
        .aside(async () => {
          await it.ok(['sync']);
          spoil();
          const damaged = { code: 'RECORD_DAMAGED', message: sentence };
          await it.refused(
            t,
            [
              ['use', 'alice'],
              ['vault', 'status', '--check'],
              ['refresh', 'alice'],
            ],
            damaged,
            6,
          );
          const all = await it.run(['refresh', 'carol', '--json']);
          t.match(all, { code: 0, json: { refreshed: [{ result: 'refreshed' }] } }, `${kind}: ${said(all)}`);
          t.match(await it.run(['list', '--json']), { json: { identities: { length: 3 } } });
          for (const other of kind === 'gone' ? ['carol', 'bob'] : ['carol']) {
            const use = await it.run(['use', other, '--json']);
            t.equal(use.code, 0, `${kind}: ${said(use)}`);
            t.ok(it.issuer.isLive(it.inSlot() ?? ''));
          }
          // Who logs in again has it back.
          const again = it.issuer.mint(people.alice);
          const imported = await it.run(['import', '--from', '-', '--replace', '--json'], {
            input: codexAuthJson(again),
          });
          t.equal(imported.code, 0, `${kind}: ${said(imported)}`);
          await it.ok(['use', 'alice']);
          t.equal(it.inSlot(), again.refresh);
          // What was put back is not what the issuer knows of carol by now.
          await it.ok(['use', 'carol']);
        })
        .catch((error) => t.fail(`${kind}: ${error}`));
      // Carol's stored login was spent in that scene: she logs in anew.
      await it.add('carol', people.carol, { issuedAt: Date.now() + 1000 }).catch(() => undefined);
    }
  },
);

t.test(
  "the damaged record of who is in the slot costs nobody's login, and the slot's own is brought home",
  async (t) => {
    const it = await scene(t);
    await it.hostRefreshes();
    const inSlot = it.inSlot();
    for (const spoil of [truncateSync, rmSync] as const) {
      await it.aside(async () => {
        spoil(it.record(people.bob));
        const use = faulted(await it.run(['use', 'carol', '--json']));
        t.equal(use.code, 0, said(use));
        t.ok(use.json.notes.some(({ code }: { code: string }) => code === 'RECORD_DAMAGED'));
        await it.ok(['use', 'bob']);
        t.equal(it.inSlot(), inSlot);
        await it.ok(['vault', 'status', '--check']);
      });
    }
  },
);

const OLDER = {
  code: 'VAULT_ROLLED_BACK',
  message: /^this vault is older than the one that last wrote here/,
};

t.test(
  'a vault that was put back from a copy is known by the host, and spends nothing a second time',
  async (t) => {
    const it = await scene(t);
    const copy = path.join(it.box.root, 'copy');
    cpSync(it.box.routerHome, copy, { recursive: true, preserveTimestamps: true });
    await it.ok(['refresh', '--all']);
    await it.hostRefreshes();
    await it.ok(['use', 'alice']);
    await it.hostRefreshes();
    await it.ok(['sync']);

    await it.aside(async () => {
      cpSync(path.join(copy, 'index.json'), it.file('index.json'), { preserveTimestamps: true });
      await it.refused(t, [ALL.use, ALL.refresh, ALL.sync, ALL.undo], OLDER, 6);
    });

    rmSync(it.box.routerHome, { recursive: true });
    cpSync(copy, it.box.routerHome, { recursive: true });
    await it.refused(t, [ALL.use, ALL.refresh, ALL.sync, ALL.undo], OLDER, 6);
    t.match((await it.run(['doctor', '--json'])).json.findings, [{ code: 'VAULT_ROLLED_BACK' }]);
    t.match((await it.run(['use', 'carol', '--dry-run', '--json'])).json.notes, [
      { code: 'VAULT_ROLLED_BACK' },
    ]);

    await it.ok(['host', 'adopt', '--yes']);
    // Alice is in the slot and so proved; the others may have been spent by whoever wrote here last.
    await it.ok(['sync']);
    for (const name of ['bob', 'carol']) {
      const use = await it.run(['use', name, '--json']);
      t.match(use, { code: 6, json: { error: { code: 'LOGIN_DOUBTFUL' } } }, said(use));
    }
    await it.run(['refresh', '--all']);
    t.same(it.issuer.reuses(), []);
    await it.add('bob', people.bob, { issuedAt: Date.now() + 1000 });
    await it.add('carol', people.carol, { issuedAt: Date.now() + 1000 });
    t.same(await it.lost(NAMES), []);
  },
);

t.test(
  'a back-up of another vault, an altered one and one of a later release are listed as such, and open never',
  async (t) => {
    const it = await scene(t);
    const other = await makeRig(t);
    await other.add('carol', people.carol, { issuedAt: Date.now() - DAY });
    await other.add('carol', people.carol);
    const theirs = path.join(other.box.routerHome, 'backups');
    const [foreign = ''] = readdirSync(theirs);
    const ours = it.file('backups');
    const [own = ''] = readdirSync(ours);
    cpSync(path.join(theirs, foreign), path.join(ours, foreign));
    const named = (at: number, id: string) =>
      path.join(ours, own.replace(/^\d+/, `${at}`).replace(/.{8}$/, id));
    cpSync(path.join(ours, own), named(1_700_000_000_000, 'aaaaaaaa'));
    const later = readJson(path.join(ours, own)) as object;
    writeJson(named(1_700_000_000_001, 'bbbbbbbb'), { ...later, version: 2 });
    writeFileSync(named(1_700_000_000_002, 'cccccccc'), 'no JSON');
    mkdirSync(named(1_700_000_000_003, 'dddddddd'));
    const list = await it.run(['restore', '--json']);
    t.equal(list.code, 0, said(list));
    const { backUps } = list.json;
    t.equal(backUps.length, 5, 'a folder is none');
    t.equal(backUps.filter(({ trouble }: { trouble: string | null }) => trouble === null).length, 1);
    for (const { id, trouble } of backUps) {
      if (trouble === null) continue;
      await it.refused(t, [['restore', id, '--yes']], { code: 'RECORD_DAMAGED' }, 6);
    }
    const sound = await it.run(['restore', own.slice(-8), '--yes', '--json']);
    t.match(sound, { code: 0, json: { result: 'restored' } }, said(sound));
    t.equal(it.issuer.of('refresh').length, 0);
  },
);

t.test(
  'an owner file that cannot be understood stops whatever writes, and host adopt mends it',
  async (t) => {
    const it = await scene(t);
    const owner = path.join(it.box.stateDir, 'codex-router.json');
    const good = readFileSync(owner, 'utf8');
    const writers = [ALL.use, ALL.refresh, ALL.sync, ALL.undo];
    const unreadable = { code: 'HOST_UNREADABLE', message: /codex-router\.json/ };
    const texts = {
      torn: good.slice(0, 40),
      empty: '',
      list: '[]',
      shapeless: '{"version":1,"vaultId":7}',
      binary: '\u0000\u0001',
    };
    for (const [kind, text] of Object.entries(texts)) {
      await it.aside(async () => {
        writeFileSync(owner, text);
        await it.refused(t, kind === 'torn' ? writers : [ALL.use], unreadable, 5);
        if (kind !== 'torn' && kind !== 'empty') return;
        t.match((await it.run(['doctor', '--json'])).json.findings, [{ code: 'OWNER_UNREADABLE' }], kind);
        const adopt = await it.run(['host', 'adopt', '--yes', '--json']);
        t.equal(adopt.code, 0, `${kind}: ${said(adopt)}`);
        const sync = await it.run(['sync', '--json']);
        t.equal(sync.code, 0, `${kind}: ${said(sync)}`);
      });
    }
    await it.aside(async () => {
      writeJson(owner, { ...(readJson(owner) as object), version: 2 });
      await it.refused(t, [...writers, ['host', 'adopt', '--yes']], { code: 'VAULT_NEWER' }, 6);
    });
    for (const make of [
      () => mkdirSync(owner),
      () => symlinkSync('nowhere', owner),
      () => symlinkSync('codex-router.json', owner),
    ]) {
      await it.aside(async () => {
        rmSync(owner);
        make();
        await it.refused(t, [ALL.use, ALL.sync], { code: /^(HOST_UNREADABLE|IO)$/ }, 5);
      });
    }
    await it.aside(async () => {
      const elsewhere = path.join(it.box.stateDir, 'elsewhere.json');
      writeFileSync(elsewhere, good);
      rmSync(owner);
      symlinkSync('elsewhere.json', owner);
      await it.ok(['use', 'carol']);
      t.ok(lstatSync(owner).isSymbolicLink(), 'a link that leads somewhere is followed and stays one');
      t.not(readFileSync(elsewhere, 'utf8'), good);
    });
    t.same(await it.lost(NAMES), []);
  },
);

t.test(
  'a grant that is revoked at the server is said, keeps its access token and is not asked for again',
  async (t) => {
    const it = await scene(t);
    const revoke = async (token: string) =>
      fetch(`${it.issuer.url}/oauth/revoke`, { method: 'POST', body: new URLSearchParams({ token }) });
    await revoke(it.logins.alice.refresh);
    const alice = faulted(await it.run(['refresh', 'alice', '--json']));
    t.match(
      alice,
      { code: 4, json: { error: { code: 'LOGIN_NEEDED', hint: /codex-router login/ } } },
      said(alice),
    );
    await it.ok(['use', 'alice']);
    t.equal(it.inSlot(), it.logins.alice.refresh, 'its access token is still good');
    await it.ok(['use', 'bob']);

    // The one in the slot is OpenClaw's to ask for; what is left of it comes home like any other.
    await revoke(it.logins.bob.refresh);
    t.match(await it.run(['refresh', 'bob', '--json']), {
      code: 6,
      json: { error: { code: 'IDENTITY_IN_USE' } },
    });
    await it.ok(['use', 'carol']);
    await revoke(it.logins.carol.refresh);
    await it.ok(['use', 'alice']);
    const all = faulted(await it.run(['refresh', '--all', '--json']));
    const results = Object.fromEntries(
      all.json.refreshed.map((one: { identity: { alias: string }; result: string }) => [
        one.identity.alias,
        one.result,
      ]),
    );
    t.match(all, { code: 4 });
    t.same(results, { alice: results.alice, bob: 'login-needed', carol: 'login-needed' });
    const sent = it.issuer.of('refresh').length;
    t.equal((await it.run(['refresh', '--all'])).code, 4);
    await it.ok(['sync']);
    t.equal(it.issuer.of('refresh').length, sent, 'a login that has ended is not asked for again');
    for (const name of ['bob', 'carol'] as const) await it.ok(['use', name]);
    for (const name of NAMES) await it.add(name, people[name], { issuedAt: Date.now() + 1000 });
    t.match((await it.ok(['list', '--json'])).json.identities, [
      { doubt: null },
      { doubt: null },
      { doubt: null },
    ]);
    t.same(await it.lost(NAMES), []);
  },
);

t.test(
  'a store of a wrong shape while a switch is unfinished is left alone, and the switch finished later',
  async (t) => {
    const it = await scene(t);
    const journal = it.file('journal.jsonl');
    const lines = readFileSync(journal, 'utf8').trimEnd().split('\n');
    t.match(lines.pop(), /"done"/);
    const { profiles, state, sessions } = it.state.paths();
    const shapes: readonly (readonly [string, unknown])[] = [
      [profiles, []],
      [profiles, { version: 1, profiles: [] }],
      [
        profiles,
        { version: 1, profiles: { 'openai-codex:default': { type: 'oauth', provider: 'openai-codex' } } },
      ],
      [state, { version: 1, order: 7 }],
      [sessions, []],
      [sessions, { 'agent:main:main': 7 }],
    ];
    for (const [place, [file, value]] of shapes.entries()) {
      await it.aside(async () => {
        writeFileSync(journal, `${lines.join('\n')}\n`);
        const good = readFileSync(file);
        writeJson(file, value);
        const bad = readFileSync(file, 'utf8');
        const told = `${path.basename(file)} ${JSON.stringify(value)}`;
        // Where it cannot be told who is in the slot, nobody is parked, and so nobody is asked about.
        const isUnknown = file === profiles && place < 2;
        for (const args of [ALL.use, ALL.sync, ALL.undo, ...(isUnknown ? [ALL.refresh] : [])]) {
          const run = faulted(await it.run([...args, '--json']));
          const isHeld = run.json.refreshed?.[0]?.result === 'held';
          const isSaid = run.code !== 0 || run.json.notes.length > 0 || isHeld;
          t.ok(isSaid || !isUnknown, `${told}: ${args.join(' ')}: ${said(run)}`);
          t.not(run.json.error?.code, 'BUG', `${told}: ${args.join(' ')}: ${said(run)}`);
          const isLeft = file === profiles || (file === sessions && Array.isArray(value));
          if (isLeft) t.equal(readFileSync(file, 'utf8'), bad, `${told} is not written over`);
        }
        t.equal(it.issuer.of('refresh').length, 0);
        writeFileSync(file, good);
        const sync = await it.run(['sync', '--json']);
        t.equal(sync.code, 0, `${told}: ${said(sync)}`);
        const [last] = (await it.ok(['history', '--json'])).json.switches;
        t.match(last.step, /^(done|abandoned)$/, told);
      });
    }
    t.same(await it.lost(NAMES), []);
  },
);

t.test('a home that leads in a circle, or may not be written, is one clear sentence', async (t) => {
  const it = await scene(t);
  const loop = path.join(it.box.root, 'loop');
  symlinkSync('loop', loop);
  for (const args of [...Object.values(ALL), ['import', '--from', 'openclaw'], ['list']]) {
    const run = faulted(await it.run([...args, '--json'], { env: { CODEX_ROUTER_HOME: loop } }));
    t.match(
      run,
      { code: 5, json: { error: { code: 'IO', message: /symbolic links/ } } },
      `${args.join(' ')}: ${said(run)}`,
    );
  }
  const told = faulted(await it.run(['status', '--json'], { env: { CODEX_ROUTER_HOME: loop } }));
  t.match(told, { code: 5, json: { identities: null, vault: { exists: null } } }, 'a look tells the rest');
  t.ok(
    told.json.notes.some(({ text }: { text: string }) => /symbolic links/.test(text)),
    said(told),
  );
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return;
  const before = it.files();
  const script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"';
  const readOnly = ['unshare', '-m', 'sh', '-c', script, it.box.routerHome, process.execPath];
  for (const args of Object.values(ALL)) {
    const main = path.join(PROJECT, 'dist', 'codex-router.js');
    const run = faulted(await program(it.box, [...readOnly, main], [...args, '--json'], { env: it.env }));
    t.match(
      run,
      { code: 5, json: { error: { code: 'IO', message: /read-only/ } } },
      `${args.join(' ')}: ${said(run)}`,
    );
  }
  t.same(it.files(), before);
  t.equal(it.issuer.of('refresh').length, 0);
  t.same(await it.lost(NAMES), []);
});

t.test(
  'processes that start at the same moment on nothing at all make one vault, and nobody is lost',
  async (t) => {
    for (let round = 0; round < 2; round += 1) {
      const rig = await makeRig(t);
      const start = async (name: (typeof NAMES)[number]): Promise<RouterRun> => {
        const input = codexAuthJson(rig.issuer.mint(people[name]));
        return faulted(await rig.run(['import', '--from', '-', '--alias', name, '--json'], { input }));
      };
      for (const [place, run] of (await Promise.all(NAMES.map(start))).entries()) {
        const lost = run.code !== 0;
        if (lost) t.match(run.json.error, { code: /^(VAULT_EXISTS|BUSY)$/, hint: /./ }, said(run));
        if (lost) await rig.add(NAMES[place] ?? 'alice', people[NAMES[place] ?? 'alice']);
      }
      t.match((await rig.ok(['vault', 'status', '--check', '--json'])).json, { check: { records: 3 } });
      const uses = await Promise.all(NAMES.map((name) => rig.run(['use', name, '--json'])));
      for (const run of uses) {
        faulted(run);
        if (run.code !== 0) t.match(run.json.error, { code: /^(BUSY|SLOT_CHANGED)$/, hint: /./ }, said(run));
      }
      t.ok(uses.some(({ code }) => code === 0));
      t.same(await rig.lost(NAMES), []);
    }
  },
);
