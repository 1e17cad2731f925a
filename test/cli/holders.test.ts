import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { type Issuer, startIssuer } from '../kit/issuer.js';
import { leaksOf, type RouterOptions, router, type Sandbox, sandbox } from '../kit/router.js';
import { makeState, profileOf, readJson, SLOT, writeJson } from '../kit/state.js';
import { codexAuthJson, type Login, type LoginOptions, type Person, people } from '../kit/tokens.js';

const RELEASE = '2026.5.7';
const OWNER = 'codex-router.json';

/** One codex-router: a vault and a key of its own, on whatever OpenClaw is meant. */
interface Router {
  readonly home: string;
  run(args: readonly string[], options?: RouterOptions): ReturnType<typeof router>;
  /** A login handed out by the issuer, stored under `alias`. */
  add(alias: string, person: Person, options?: Partial<LoginOptions>): Promise<Login>;
}

function routerIn(box: Sandbox, issuer: Issuer, name: string): Router {
  const home = path.join(box.tmp, name);
  const env = {
    CODEX_ROUTER_HOME: path.join(home, 'data'),
    XDG_CONFIG_HOME: path.join(home, 'config'),
    CODEX_ROUTER_KEY: 'file',
    CODEX_ROUTER_TEST_ISSUER: issuer.url,
  };
  const self: Router = {
    home: env.CODEX_ROUTER_HOME,
    run: (args, options = {}) => router(box, args, { ...options, env: { ...env, ...options.env } }),
    async add(alias, person, options) {
      const login = issuer.mint(person, options);
      const run = await self.run(['import', '--from', '-', '--alias', alias], {
        input: codexAuthJson(login),
      });
      if (run.code !== 0) throw new Error(run.stderr);
      return login;
    },
  };
  return self;
}

type Store = { profiles: Record<string, { refresh: string; access: string; expires: number }> };

/** The OpenClaw of one state directory, with its own hand on its slots. */
function openClaw(issuer: Issuer, dir: string, agents: readonly string[] = []) {
  const state = makeState(dir, {
    release: RELEASE,
    slot: null,
    agents: agents.map((id) => ({ id, slot: null })),
  });
  const store = (agent = 'main') => readJson(state.paths(agent).profiles) as Store;
  const inSlot = (agent = 'main', profile = SLOT) => store(agent).profiles[profile]?.refresh;
  return {
    state,
    dir,
    inSlot,
    /** OpenClaw logs in, or copies a login, by itself. */
    puts(login: Login, agent = 'main', profile = SLOT) {
      const all = store(agent);
      writeJson(state.paths(agent).profiles, {
        ...all,
        profiles: { ...all.profiles, [profile]: profileOf(login, RELEASE) },
      });
    },
    /** OpenClaw refreshes what is in the slot. */
    async refreshes(agent = 'main') {
      const all = store(agent);
      const entry = all.profiles[SLOT];
      if (entry === undefined) throw new Error('the slot is empty');
      const answer = await issuer.refresh(entry.refresh);
      if (!answer.ok) throw new Error(`OpenClaw was refused: ${answer.error}`);
      all.profiles[SLOT] = { ...entry, refresh: answer.refresh, access: answer.access };
      writeJson(state.paths(agent).profiles, all);
    },
    owner: () => readJson(path.join(dir, OWNER)) as { vaultId: string; generation: number },
  };
}

async function bench(t: Test) {
  const box = sandbox(t);
  const issuer = await startIssuer(t);
  t.teardown(() => {
    const leaks = leaksOf(box);
    if (leaks.length > 0) throw new Error(`tokens leaked: ${JSON.stringify(leaks)}`);
    if (issuer.reuses().length > 0) throw new Error('a token was spent twice');
  });
  return { box, issuer, one: routerIn(box, issuer, 'one'), other: routerIn(box, issuer, 'other') };
}

t.test(
  'two routers on one OpenClaw: the second is refused until it adopts, and no token is spent twice',
  async (t) => {
    const { box, issuer, one, other } = await bench(t);
    const host = openClaw(issuer, box.stateDir);
    await one.add('alice', people.alice);
    await one.add('bob', people.bob);
    await other.add('carol', people.carol);

    t.equal((await one.run(['use', 'alice', '--dry-run'])).code, 0);
    t.notOk(existsSync(path.join(host.dir, OWNER)), 'looking leaves no file');
    t.equal((await one.run(['use', 'alice'])).code, 0);
    t.equal(statSync(path.join(host.dir, OWNER)).mode & 0o777, 0o600);
    t.strictSame(Object.keys(host.owner()).sort(), ['at', 'generation', 'vaultId', 'version']);
    await host.refreshes();

    const refused = await other.run(['use', 'carol', '--json']);
    t.match(refused, { code: 6, json: { error: { code: 'HOST_OWNED', hint: /host adopt/ } } });
    t.match(refused.json.error.message, new RegExp(`vault ${host.owner().vaultId.slice(0, 8)}`));
    t.match((await other.run(['use', 'carol', '--dry-run', '--json'])).json, {
      result: 'planned',
      notes: [{ code: 'HOST_OWNED' }],
    });
    t.match(await other.run(['doctor', '--json']), { code: 6, json: { findings: [{ code: 'HOST_OWNED' }] } });
    for (const look of ['list', 'status', 'host']) {
      const notes: { code: string }[] = (await other.run([look, '--json'])).json.notes;
      t.ok(
        notes.some(({ code }) => code === 'HOST_OWNED'),
        look,
      );
    }
    t.match(await other.run(['import', '--from', 'openclaw', '--json']), {
      code: 6,
      json: { error: { code: 'HOST_OWNED' } },
    });
    t.match(await other.run(['sync', '--json']), { code: 6, json: { error: { code: 'HOST_OWNED' } } });

    t.match(await other.run(['host', 'adopt', '--json']), {
      code: 2,
      json: { error: { code: 'CHOICE_NEEDED' } },
    });
    t.match(await other.run(['host', 'adopt', '--dry-run', '--json']), {
      code: 0,
      json: { result: 'planned', was: 'other', checkedIn: [{ result: 'imported' }] },
    });
    const vaultOfOne = host.owner().vaultId;
    t.match(await other.run(['host', 'adopt', '--yes', '--json']), { code: 0, json: { result: 'adopted' } });
    t.not(host.owner().vaultId, vaultOfOne);
    t.equal((await other.run(['use', 'carol'])).code, 0);
    await host.refreshes();
    // alice is parked with the other router now, and may be refreshed there.
    t.equal((await other.run(['refresh', people.alice.email, '--json'])).code, 0);

    t.match(await one.run(['use', 'bob', '--json']), { code: 6, json: { error: { code: 'HOST_OWNED' } } });
    t.equal((await one.run(['refresh', 'alice'])).code, 6, 'what was left there is not ours to refresh');
    const second = openClaw(issuer, path.join(box.root, 'second'));
    const elsewhere = await one.run(['use', 'alice', '--state-dir', second.dir, '--json']);
    t.match(elsewhere, { code: 6, json: { error: { code: 'IDENTITY_IN_USE' } } });

    const back = await one.run(['host', 'adopt', '--yes', '--json']);
    t.match(back.json, { was: 'other', doubted: [{ alias: 'alice' }] });
    t.match(await one.run(['use', 'alice', '--json']), {
      code: 6,
      json: { error: { code: 'LOGIN_DOUBTFUL' } },
    });
    t.not((await one.run(['refresh', 'alice'])).code, 0);
    t.match((await one.run(['doctor', '--json'])).json.findings, [{ code: 'LOGIN_DOUBTFUL', danger: false }]);
    t.equal((await one.run(['use', 'bob'])).code, 0);
    await host.refreshes();
    t.equal((await one.run(['use', people.carol.email])).code, 0, 'carol came home at the adoption');
    await host.refreshes();
    t.equal((await other.run(['use', people.alice.email, '--state-dir', second.dir])).code, 0);
    await second.refreshes();
    await one.add('alice', people.alice).catch(() => undefined);
    t.strictSame(issuer.reuses(), []);
  },
);

t.test(
  'the real host command still answers by itself, and a terminal is asked before a host is adopted',
  async (t) => {
    const { box, issuer, one, other } = await bench(t);
    openClaw(issuer, box.stateDir);
    await one.add('alice', people.alice);
    await one.run(['use', 'alice']);
    t.equal((await one.run(['host', '--json'])).json.stateDir, box.stateDir);
    t.match(await one.run(['host', 'adopt', '--json']), {
      code: 0,
      json: { result: 'unchanged', was: 'ours' },
    });
    const no = await other.run(['host', 'adopt'], { tty: [{ after: 'Take it over', send: '\r' }] });
    t.match(no.stdout, /another codex-router routes it/);
    t.equal((await other.run(['use', '-', '--json'])).json.error.code === 'HOST_OWNED', false);
    t.equal((await one.run(['use', 'alice'])).code, 0, 'nothing was taken over');
    t.equal((await other.run(['host', 'nonsense'])).code, 2);
  },
);

t.test('a vault put back from a back-up is told before it writes, and its logins are doubted', async (t) => {
  const { box, issuer, one } = await bench(t);
  const host = openClaw(issuer, box.stateDir);
  await one.add('alice', people.alice);
  // So the times of issue say nothing of which grant is the newer, as when all of it happens in one second.
  await one.add('bob', people.bob, { issuedAt: Date.now() + 60_000 });
  await one.run(['use', 'alice']);
  const saved = path.join(box.tmp, 'saved');
  cpSync(one.home, saved, { recursive: true });
  t.equal((await one.run(['refresh', 'bob'])).code, 0);
  await one.run(['use', 'bob']);
  await host.refreshes();
  const slot = host.inSlot();
  const ahead = host.owner().generation;
  rmSync(one.home, { recursive: true });
  cpSync(saved, one.home, { recursive: true });
  for (const name of ['x', 'y', 'z']) await one.run(['alias', 'alice', name]);
  await one.run(['alias', 'x', 'alice']).catch(() => undefined);

  t.match(await one.run(['use', 'bob', '--json']), {
    code: 6,
    json: { error: { code: 'VAULT_ROLLED_BACK' } },
  });
  t.match((await one.run(['doctor', '--json'])).json.findings, [{ code: 'VAULT_ROLLED_BACK', danger: true }]);
  const adopted = await one.run(['host', 'adopt', '--yes', '--json']);
  t.match(adopted.json, { was: 'ahead', checkedIn: [{ userId: people.bob.userId, result: 'taken-home' }] });
  t.ok(host.owner().generation > ahead, 'so that the copy it was put back over is told too');
  t.strictSame(
    adopted.json.doubted.map(({ userId }: { userId: string }) => userId),
    [people.alice.userId],
  );
  t.equal((await one.run(['use', 'bob'])).code, 0, 'bob was proved to be in the slot');
  t.equal(host.inSlot(), slot);
  await host.refreshes();
});

t.test('a damaged owner file stops every write, and only host adopt replaces it', async (t) => {
  const { box, issuer, one } = await bench(t);
  const host = openClaw(issuer, box.stateDir);
  await one.add('alice', people.alice);
  const file = path.join(host.dir, OWNER);
  for (const text of ['', '{"version":1', '{"version":1,"vaultId":""}', '[]']) {
    writeFileSync(file, text, { mode: 0o600 });
    const run = await one.run(['use', 'alice', '--json']);
    t.match(run, { code: 5, json: { error: { code: 'HOST_UNREADABLE' } } }, text);
    t.equal(readFileSync(file, 'utf8'), text);
  }
  writeFileSync(file, '{"version":2,"vaultId":"x"}', { mode: 0o600 });
  t.match(await one.run(['use', 'alice', '--json']), { code: 6, json: { error: { code: 'VAULT_NEWER' } } });
  t.match(await one.run(['host', 'adopt', '--yes', '--json']), {
    code: 6,
    json: { error: { code: 'VAULT_NEWER' } },
  });
  writeFileSync(file, '{', { mode: 0o600 });
  t.match(await one.run(['host', 'adopt', '--yes', '--json']), { code: 0, json: { was: 'unreadable' } });
  t.equal((await one.run(['use', 'alice'])).code, 0);
  const kept = { ...host.owner(), note: 'of another release' };
  writeJson(file, kept);
  await one.run(['alias', 'alice', 'al']);
  await one.run(['use', 'al']);
  t.match(host.owner(), { note: 'of another release' }, 'unknown fields are kept');
});

t.test('an index that was rebuilt from the records is not taken for an older vault', async (t) => {
  const { box, issuer, one } = await bench(t);
  const host = openClaw(issuer, box.stateDir);
  await one.add('alice', people.alice);
  await one.add('bob', people.bob);
  await one.run(['use', 'alice']);
  const index = path.join(one.home, 'index.json');
  writeFileSync(index, `${readFileSync(index, 'utf8')}]`);
  t.equal((await one.run(['vault', 'status', '--check'])).code, 0);
  t.equal((await one.run(['use', 'bob'])).code, 0);
  await host.refreshes();
});

t.test('a login is moved between agents, and out of the Codex home, byte for byte otherwise', async (t) => {
  const { box, issuer, one } = await bench(t);
  const host = openClaw(issuer, box.stateDir, ['ops']);
  const alice = await one.add('alice', people.alice);
  await one.add('bob', people.bob);
  t.equal((await one.run(['use', 'alice', '--agent', 'ops'])).code, 0);
  await host.refreshes('ops');
  const rotated = host.inSlot('ops');
  t.not(rotated, alice.refresh);
  const refused = await one.run(['use', 'alice', '--json']);
  t.match(refused, { code: 6, json: { error: { code: 'IDENTITY_IN_USE', hint: /use alice --move/ } } });
  t.match((await one.run(['use', 'alice', '--move', '--dry-run', '--json'])).json, {
    result: 'planned',
    moved: [{ from: "OpenClaw's agent ops" }],
  });
  t.equal(host.inSlot('ops'), rotated);
  const moved = await one.run(['use', 'alice', '--move', '--json']);
  t.match(moved, {
    code: 0,
    json: { moved: [{ from: "OpenClaw's agent ops" }], checkedIn: [{ result: 'taken-home' }] },
  });
  t.equal(host.inSlot(), rotated);
  t.equal(host.inSlot('ops'), undefined);
  await host.refreshes();

  const bob = issuer.mint(people.bob);
  const auth = path.join(box.codexHome, 'auth.json');
  writeFileSync(auth, codexAuthJson(bob), { mode: 0o600 });
  writeFileSync(path.join(box.codexHome, 'config.toml'), 'model = "x"\n');
  t.equal((await one.run(['import', '--keep', '--replace'])).code, 0);
  t.match(await one.run(['use', 'bob', '--json']), { code: 6, json: { error: { code: 'IDENTITY_IN_USE' } } });
  // Codex refreshes the login it was left with: ours is spent by that.
  const answer = await issuer.refresh(bob.refresh);
  if (!answer.ok) throw new Error(answer.error);
  const now = { ...bob, access: answer.access, refresh: answer.refresh, idToken: answer.idToken };
  writeFileSync(auth, codexAuthJson(now), { mode: 0o600 });
  t.match(await one.run(['use', 'bob', '--json']), { code: 6, json: { error: { code: 'IDENTITY_IN_USE' } } });
  const before = readdirSync(box.codexHome).filter((name) => !/lock$/.test(name));
  const taken = await one.run(['use', 'bob', '--move', '--json']);
  t.match(taken, { code: 0, json: { moved: [{ from: 'the Codex CLI' }] } }, taken.stderr);
  t.equal(host.inSlot(), answer.refresh);
  t.strictSame(
    readdirSync(box.codexHome).filter((name) => !/lock$/.test(name)),
    before.filter((name) => name !== 'auth.json'),
  );
  t.equal(readFileSync(path.join(box.codexHome, 'config.toml'), 'utf8'), 'model = "x"\n');
  t.match((await one.run(['list', '--json'])).json.identities[1], { alias: 'bob', sharedWith: null });
  await host.refreshes();
  t.strictSame((await one.run(['doctor', '--json'])).json.findings, []);
});

t.test('doctor lists a planted duplicate and ends in 6; its remedy mends it', async (t) => {
  const { box, issuer, one } = await bench(t);
  const host = openClaw(issuer, box.stateDir, ['ops']);
  const alice = await one.add('alice', people.alice);
  await one.run(['use', 'alice']);
  const clean = await one.run(['doctor']);
  t.match(clean, { code: 0, stdout: /every login has one holder/ });
  host.puts(alice, 'ops', 'openai-codex:copy');
  writeFileSync(path.join(box.codexHome, 'auth.json'), codexAuthJson(alice), { mode: 0o600 });
  const files = [host.state.paths().profiles, path.join(one.home, 'index.json'), path.join(host.dir, OWNER)];
  const before = files.map((file) => [readFileSync(file, 'utf8'), statSync(file).mtimeMs]);
  const found = await one.run(['doctor', '--json']);
  t.match(found, {
    code: 6,
    json: { inDanger: true, findings: [{ code: 'GRANT_DUPLICATE', danger: true }] },
  });
  const [{ text, remedy }] = found.json.findings;
  t.match(text, /agent main and in OpenClaw's agent ops \(openai-codex:copy\) and in the Codex CLI/);
  t.equal((await one.run(['doctor'])).code, 6);
  t.strictSame(
    files.map((file) => [readFileSync(file, 'utf8'), statSync(file).mtimeMs]),
    before,
    'it only looks',
  );
  t.equal(issuer.of('refresh').length, 0);
  t.equal((await one.run(remedy.split(' ').slice(1))).code, 0);
  t.equal(host.inSlot(), alice.refresh);
  t.equal(host.inSlot('ops', 'openai-codex:copy'), undefined);
  t.notOk(existsSync(path.join(box.codexHome, 'auth.json')));
  t.equal((await one.run(['doctor'])).code, 0);
});
