import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { leaksOf, router, type Sandbox, sandbox, withoutEscapes } from '../kit/router.js';
import { secretService } from '../kit/secret-service.js';
import { makeState, readJson, SLOT } from '../kit/state.js';
import { codexAuthJson, DAY, type Login, loginOf, people } from '../kit/tokens.js';

const KEY = { CODEX_ROUTER_KEY: 'file' };
const id = (name: 'alice' | 'bob' | 'carol') => `openai-codex:${people[name].email}`;

const store = (box: Sandbox, login: Login, more: readonly string[] = []) =>
  router(box, ['import', '--from', '-', ...more], { input: codexAuthJson(login), env: KEY });

/** A native OpenClaw of two agents and several logins, as their own `models auth login` leaves it. */
function native(t: Test) {
  const box = sandbox(t);
  Object.assign(box.env, KEY);
  const [alice, bob, carol] = [loginOf('alice'), loginOf('bob'), loginOf('carol')];
  const state = makeState(box.stateDir, {
    release: '2026.5.7',
    others: { [id('alice')]: alice, [id('bob')]: bob },
    order: [id('bob'), id('alice')],
    sessions: {
      'agent:main:main': { authProfileOverride: id('alice'), authProfileOverrideSource: 'user' },
      'agent:main:telegram:direct:1': { authProfileOverride: id('bob'), authProfileOverrideSource: 'user' },
      'agent:main:telegram:direct:2': {},
    },
    agents: [{ id: 'research', slot: carol }],
  });
  return { box, state, alice, bob, carol };
}

const pinIn = (state: ReturnType<typeof makeState>, key: string) =>
  state.sessions()[`agent:main:${key}`]?.authProfileOverride;

t.test(
  'a native OpenClaw is routed, named before it is done, and nothing is done without consent',
  async (t) => {
    const { box, state, alice, bob } = native(t);
    const before = readFileSync(state.paths().profiles, 'utf8');
    const command = ['import', '--from', 'openclaw', '--take'];
    const planned = await router(box, [...command, '--dry-run', '--json']);
    t.match(planned, {
      code: 0,
      json: {
        result: 'planned',
        imported: [{ result: 'added' }, { result: 'added' }, { result: 'added' }],
        routing: {
          stores: [
            {
              agent: 'main',
              profileId: SLOT,
              stays: { identity: { userId: bob.userId }, was: id('bob'), because: 'named' },
              goes: [{ profileId: id('alice'), stored: 'imported' }],
            },
            { agent: 'research', stays: { because: 'only' }, goes: [], changes: true },
          ],
          pins: [
            { key: 'agent:main:main', was: id('alice'), is: null, moves: true },
            { key: 'agent:main:telegram:direct:1', was: id('bob'), is: SLOT, moves: false },
          ],
          affects: { agents: ['main', 'research'] },
        },
      },
    });
    t.notOk(existsSync(box.routerHome), 'a dry run makes no vault');
    t.match(await router(box, [...command, '--json']), {
      code: 2,
      json: { error: { code: 'CHOICE_NEEDED' } },
    });
    t.match(await router(box, [...command, '--yes', '--alias', 'x', '--json']), { code: 2 });
    const no = await router(box, command, { tty: [{ after: 'Route this OpenClaw?', send: '\r' }] });
    t.match(
      withoutEscapes(no.stdout),
      /moves +agent:main:main was set to .*alice@example(.|\n)*nothing was changed/,
    );
    t.equal(readFileSync(state.paths().profiles, 'utf8'), before);
    t.notOk(existsSync(box.routerHome), 'and what is not agreed to makes no vault');

    const done = await router(box, [...command, '--yes', '--json']);
    t.match(done, { code: 0, json: { result: 'routed', routing: { effective: 'no-gateway' } } });
    t.strictSame(Object.keys(state.profiles()), [SLOT]);
    t.equal(state.slot()?.refresh, bob.refresh);
    t.match(state.selection(), { order: { 'openai-codex': [SLOT] }, lastGood: { 'openai-codex': SLOT } });
    t.equal(pinIn(state, 'main'), undefined);
    t.equal(pinIn(state, 'telegram:direct:1'), SLOT);
    t.match((await router(box, ['list', '--json'])).json, { identities: [{ active: true }, {}, {}] });
    const again = await router(box, [...command, '--yes']);
    t.match(again.stdout, /is already routed/);
    t.match(await router(box, ['use', people.alice.email, '--json']), { json: { result: 'switched' } });
    t.equal(state.slot()?.refresh, alice.refresh);
    t.strictSame(leaksOf(box), []);
  },
);

t.test("of one person's two logins the first agent's is stored, once and for all", async (t) => {
  const box = sandbox(t);
  Object.assign(box.env, KEY);
  const older = loginOf('alice', { issuedAt: Date.now() - DAY });
  const newer = loginOf('alice');
  const agents = [{ id: 'research', slot: newer }];
  const state = makeState(box.stateDir, { release: '2026.5.7', slot: older, agents });
  const command = ['import', '--from', 'openclaw', '--take', '--yes', '--json'];
  const first = await router(box, command);
  t.match(first, { code: 0, json: { result: 'routed', skipped: [], imported: [{ result: 'added' }] } });
  t.match(first.json.imported[0].from, /main/);
  const backUps = async () => (await router(box, ['restore', '--json'])).json.backUps.length;
  t.equal(await backUps(), 1, "the other agent's is sealed");
  for (const _ of [1, 2]) {
    t.match(await router(box, command), { code: 0, json: { result: 'already-routed' } });
    t.equal(await backUps(), 1);
  }
  t.equal(state.slot()?.refresh, older.refresh);
  t.equal(state.slot('research')?.refresh, newer.refresh);
  t.match(await router(box, ['doctor', '--json']), { code: 0, json: { inDanger: false } });
});

t.test(
  'the order after eject names no profile that it did not name, and says of a key that it does not',
  async (t) => {
    const box = sandbox(t);
    Object.assign(box.env, KEY);
    const key = { type: 'api_key', provider: 'openai-codex', key: 'sk-CANARY' };
    const others = {
      [id('alice')]: loginOf('alice'),
      'openai-codex:key': key,
      'openai-codex:broken': { type: 'oauth', provider: 'openai-codex', access: 5, refresh: 'CANARY' },
      'personal:me': key,
    };
    const order = [SLOT, id('alice'), 'openai-codex:key'];
    const state = makeState(box.stateDir, { release: '2026.5.7', slot: loginOf('bob'), others, order });
    t.match(await router(box, ['import', '--from', 'openclaw', '--take', '--yes', '--json']), { code: 0 });
    const done = await router(box, ['eject', '--yes', '--json']);
    t.match(done, { code: 0, json: { result: 'ejected' } });
    t.match(state.selection(), { order: { 'openai-codex': [SLOT, id('alice')] } });
    const note = done.json.notes.find(({ code }: { code: string }) => code === 'NOT_IN_ORDER');
    t.match(note?.text, /openai-codex:key.*openclaw models auth order set --provider openai-codex/);
    t.notMatch(note?.text, /personal:/);
  },
);

t.test('eject hands every login over, previewed and confirmed, and use takes it back', async (t) => {
  const { box, state, alice, bob, carol } = native(t);
  await router(box, ['import', '--from', 'openclaw', '--take', '--yes']);
  await router(box, ['alias', people.alice.email, 'work']);
  const text = (await router(box, ['eject', '--dry-run'])).stdout;
  t.match(text, /goes +work \(alice@.* -> openai-codex:work/);
  t.match(text, /is there +bob@.*openai-codex:default of agent main/);
  t.match(await router(box, ['eject', '--json']), { code: 2, json: { error: { code: 'CHOICE_NEEDED' } } });
  t.strictSame(Object.keys(state.profiles()), [SLOT]);
  const yes = await router(box, ['eject'], {
    tty: [{ after: 'Hand these logins to OpenClaw?', send: '\x1b[B\r' }],
  });
  t.match(withoutEscapes(yes.stdout), /works without codex-router now; 1 login went into it/);
  t.match(state.profiles(), {
    [SLOT]: { refresh: bob.refresh },
    'openai-codex:work': { refresh: alice.refresh, email: people.alice.email },
  });
  t.equal(state.profiles('research')[SLOT]?.refresh, carol.refresh);
  t.match(state.selection(), { order: { 'openai-codex': [SLOT, 'openai-codex:work'] } });
  t.notOk(existsSync(path.join(box.stateDir, 'codex-router.json')));
  t.match(await router(box, ['eject', '--yes', '--json']), { json: { result: 'already-ejected' } });
  t.match(await router(box, ['doctor', '--json']), { code: 0, json: { inDanger: false } });
  t.match(await router(box, ['use', 'work', '--json']), { json: { result: 'switched' } });
  t.strictSame(Object.keys(state.profiles()), [SLOT]);
  t.ok(existsSync(path.join(box.stateDir, 'codex-router.json')));
  t.strictSame(leaksOf(box), []);
});

t.test(
  'uninstall leaves OpenClaw with every login and nothing of codex-router, but what is not ours',
  async (t) => {
    const { box, state, alice, bob } = native(t);
    await router(box, ['import', '--from', 'openclaw', '--take', '--yes']);
    await router(box, ['config', 'set', 'agents.allow', 'use']);
    const config = path.join(box.root, 'xdg', 'config');
    const plugin = path.join(box.stateDir, 'extensions', 'codex-router');
    mkdirSync(plugin, { recursive: true });
    writeFileSync(path.join(plugin, 'openclaw.plugin.json'), '{"id":"codex-router"}');
    const skill = path.join(box.stateDir, 'plugin-skills', 'codex-router');
    mkdirSync(path.dirname(skill));
    symlinkSync(path.join(plugin, 'skills', 'codex-router'), skill);
    const unit = path.join(config, 'systemd', 'user', 'codex-router.timer');
    mkdirSync(path.dirname(unit), { recursive: true });
    writeFileSync(unit, '[Unit]\nDescription=codex-router refresh --due\n');
    const theirs = path.join(config, 'fish', 'completions', 'codex-router.fish');
    mkdirSync(path.dirname(theirs), { recursive: true });
    writeFileSync(theirs, '# somebody else');
    const link = path.join(box.root, 'xdg', 'data', 'zsh', 'site-functions', '_codex-router');
    mkdirSync(path.dirname(link), { recursive: true });
    symlinkSync(path.join(box.root, 'nowhere'), link);
    const unknown = path.join(box.routerHome, 'notes.txt');
    writeFileSync(unknown, 'mine');

    const planned = (await router(box, ['uninstall', '--dry-run', '--json'])).json;
    t.match(planned, {
      result: 'planned',
      eject: { added: [{ identity: { userId: alice.userId } }], occupant: { userId: bob.userId } },
      stops: [],
      leaves: [unknown],
      identities: 3,
    });
    const kinds = planned.removes.map(({ kind }: { kind: string }) => kind);
    t.strictSame(
      [...new Set(kinds)],
      ['plugin', 'service', 'completion', 'data', 'key-file', 'vault', 'folder'],
    );
    t.ok(existsSync(unit));
    t.match(await router(box, ['uninstall', '--json']), {
      code: 2,
      json: { error: { code: 'CHOICE_NEEDED' } },
    });

    const done = await router(box, ['uninstall', '--yes']);
    t.match(done, { code: 0, stdout: /npm uninstall -g codex-router/, stderr: /leaves .*notes\.txt/ });
    t.strictSame(readdirSync(box.routerHome), ['notes.txt']);
    t.notOk(existsSync(path.join(config, 'codex-router')), 'the key file, the settings and their folder');
    for (const gone of [plugin, unit]) t.notOk(existsSync(gone), gone);
    t.strictSame(
      readdirSync(path.dirname(skill)),
      [],
      "the plugin's skill, which was a link to nothing by then",
    );
    t.ok(existsSync(theirs), "another's file under our name stays");
    t.match(
      Object.values(state.profiles())
        .map(({ refresh }) => refresh)
        .sort(),
      [alice.refresh, bob.refresh].sort(),
    );
    t.match(await router(box, ['uninstall', '--yes', '--json']), { json: { result: 'nothing-here' } });
    t.match((await router(box, ['list', '--json'])).json, { identities: [] });
  },
);

t.test(
  'a login that exists only here is not removed with the rest: it is named, with what keeps it',
  async (t) => {
    const box = sandbox(t);
    Object.assign(box.env, KEY);
    await store(box, loginOf('alice'), ['--alias', 'work']);
    const planned = await router(box, ['uninstall', '--dry-run', '--json']);
    t.match(planned, {
      code: 0,
      json: { eject: null, stops: [{ code: 'ONLY_HERE', identity: { alias: 'work' } }] },
    });
    for (const args of [
      ['uninstall', '--yes', '--json'],
      ['uninstall', '--json'],
    ]) {
      const refused = await router(box, args);
      t.match(refused, {
        code: 6,
        json: { error: { code: 'ONLY_HERE', message: /\bwork\b/, hint: /codex-router export/ } },
      });
    }
    t.match((await router(box, ['list', '--json'])).json, { identities: [{ alias: 'work' }] });
    await router(box, ['remove', 'work', '--yes']);
    t.match(await router(box, ['uninstall', '--yes', '--json']), {
      code: 0,
      json: { result: 'uninstalled' },
    });
    t.notOk(existsSync(box.routerHome));
  },
);

t.test('an exported login may go; a lent one and one that an interrupted add has left may not', async (t) => {
  const box = sandbox(t);
  Object.assign(box.env, KEY);
  await store(box, loginOf('alice'), ['--alias', 'work']);
  const lent = await router(box, ['lend', 'work', '--to', 'codex', '--yes', '--json']);
  t.equal(lent.code, 0, JSON.stringify(lent.json));
  const archive = path.join(box.root, 'logins.age');
  const passphrase = path.join(box.root, 'passphrase');
  writeFileSync(passphrase, 'correct horse battery staple', { mode: 0o600 });
  const exported = ['export', '--to', archive, '--passphrase-file', passphrase, '--json'];
  t.equal((await router(box, exported)).code, 0);
  t.match(await router(box, ['uninstall', '--yes', '--json']), {
    code: 6,
    json: { error: { code: 'LENT', hint: /codex-router unlend work/ } },
  });
  t.equal((await router(box, ['unlend', 'work', '--json'])).code, 0);

  const home = path.join(box.routerHome, 'codex-homes', '4194000-1-001122334455');
  mkdirSync(home, { recursive: true, mode: 0o700 });
  writeFileSync(path.join(home, 'auth.json'), codexAuthJson(loginOf('bob')), { mode: 0o600 });
  t.match(await router(box, ['uninstall', '--yes', '--json']), {
    code: 6,
    json: { error: { code: 'ONLY_HERE', message: /codex-homes/, hint: /codex-router import/ } },
  });
  t.ok(existsSync(path.join(home, 'auth.json')));
  rmSync(home, { recursive: true });
  const gone = await router(box, ['uninstall', '--yes', '--json']);
  t.match(gone, {
    code: 0,
    json: { result: 'uninstalled', notes: [{ code: 'ONLY_EXPORTED', text: /^work / }] },
  });
  t.notOk(existsSync(box.routerHome));
  t.ok(existsSync(archive));
});

t.test('an uninstall that was killed anywhere is finished by the next one', async (t) => {
  const { box, state, alice, bob } = native(t);
  await router(box, ['import', '--from', 'openclaw', '--take', '--yes']);
  const killed = await router(box, ['uninstall', '--yes'], {
    onStart: (kill) => {
      const watch = setInterval(() => {
        const records = path.join(box.routerHome, 'records');
        if (existsSync(records) && readdirSync(records).length === 3) return;
        clearInterval(watch);
        kill('SIGKILL');
      }, 1);
    },
  });
  t.comment(`ended with ${killed.signal ?? killed.code}`);
  t.match(await router(box, ['uninstall', '--yes', '--json']), { code: 0 });
  t.notOk(existsSync(box.routerHome));
  t.match(
    Object.values(state.profiles())
      .map(({ refresh }) => refresh)
      .sort(),
    [alice.refresh, bob.refresh].sort(),
  );
});

t.test('the keychain item goes last, and only its own', async (t) => {
  const box = sandbox(t);
  const keyring = await secretService(t, box);
  if (keyring === null) return;
  const made = await router(box, ['vault', 'init', '--key', 'keychain', '--json']);
  t.equal(made.code, 0, made.stderr);
  const vault = readJson(path.join(box.routerHome, 'vault.json')) as { unlockers: { id: string }[] };
  const account = `vault:${vault.unlockers[0]?.id}`;
  t.ok(await keyring.lookup('codex-router', account));
  const planned = await router(box, ['uninstall', '--dry-run', '--json']);
  t.match(planned.json.removes, [
    { kind: 'keychain-item', what: `codex-router ${account}` },
    { kind: 'vault' },
    { kind: 'folder', what: box.routerHome },
  ]);
  await keyring.lock();
  t.match(await router(box, ['uninstall', '--yes', '--json']), {
    code: 5,
    json: { error: { code: 'KEYCHAIN_LOCKED' } },
  });
  t.ok(existsSync(path.join(box.routerHome, 'vault.json')), 'which alone names the item');
  await keyring.unlock();
  t.ok(await keyring.lookup('codex-router', account));
  t.match(await router(box, ['uninstall', '--yes', '--json']), { code: 0, json: { result: 'uninstalled' } });
  t.equal(await keyring.lookup('codex-router', account), null);
  t.notOk(existsSync(box.routerHome));
});
