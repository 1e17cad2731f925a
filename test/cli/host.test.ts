import {
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { leaksOf, router, type Sandbox, sandbox } from '../kit/router.js';
import { makeState, profileOf, type Release, SLOT, type StateOptions, writeJson } from '../kit/state.js';
import { type Login, loginOf } from '../kit/tokens.js';

const alice = loginOf('alice');
const bob = loginOf('bob');
const carol = loginOf('carol', { issuedAt: Date.UTC(2024, 0, 1) });

function host(t: Test, options: Partial<StateOptions> & { release: Release }) {
  const box = sandbox(t);
  const state = makeState(box.stateDir, { slot: alice, ...options });
  const look = async (...more: string[]) => (await router(box, ['host', '--json', ...more])).json;
  return { box, state, look };
}

/** A package on the sandbox's PATH that says it is that release. */
function install(box: Sandbox, version: string): void {
  const root = path.join(box.root, 'lib', 'node_modules', 'openclaw');
  mkdirSync(root, { recursive: true });
  writeFileSync(path.join(root, 'package.json'), JSON.stringify({ name: 'openclaw', version }));
  writeFileSync(path.join(box.bin, 'openclaw'), '#!/bin/sh\n', { mode: 0o755 });
}

function archive(file: string, logins: readonly Login[], mode = 0o600): void {
  const profiles = Object.fromEntries(
    logins.map((login, index) => [`openai-codex:${index}`, profileOf(login, '2026.5.7')]),
  );
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, JSON.stringify({ version: 1, profiles }, null, 2), { mode });
}

t.test('says what lies there and why it is routed so, without a vault and without writing', async (t) => {
  const { box, state, look } = host(t, {
    release: '2026.5.7',
    others: { 'openai-codex:bob': bob },
    agents: [{ id: 'research', slot: carol }, { id: 'ops' }],
  });
  const before = readFileSync(state.paths().profiles);
  const found = await look();
  t.match(found, {
    stateDir: state.dir,
    layout: 'json+state',
    release: { version: '2026.5.7' },
    provider: 'openai-codex',
    profileId: SLOT,
    via: 'direct',
    refusal: null,
    gateway: null,
    residue: null,
    agents: [
      { id: 'main', isDefault: true, runsOn: 'main' },
      { id: 'research', isDefault: false, runsOn: 'own' },
      { id: 'ops', isDefault: false, runsOn: 'main' },
    ],
  });
  const stores = found.stores.map((store: { path: string; state: string; profiles: string[] }) => [
    path.relative(state.dir, store.path),
    store.state,
    store.profiles.length,
  ]);
  t.strictSame(stores, [
    ['agents/main/agent/auth-profiles.json', 'used', 2],
    ['agents/main/agent/auth-state.json', 'used', 0],
    ['agents/main/sessions/sessions.json', 'used', 0],
    ['agents/research/agent/auth-profiles.json', 'used', 1],
    ['agents/research/agent/auth-state.json', 'used', 0],
    ['agents/research/sessions/sessions.json', 'empty', 0],
    ['agents/ops/sessions/sessions.json', 'empty', 0],
  ]);
  const locks = found.locks.map(({ kind, path: file }: { kind: string; path: string }) => [
    kind,
    path.relative(state.dir, file).replace(/(sha256|lock)-[0-9a-f]{32,64}/, '$1-'),
  ]);
  t.strictSame(locks, [
    // No package proves which release this is, so both names of its lock are taken.
    ['file', 'locks/oauth-refresh/sha256-.lock'],
    ['file', 'locks/oauth-refresh/lock-.lock'],
    ['file', 'agents/main/agent/auth-profiles.json.lock'],
    ['file', 'agents/main/sessions/sessions.json.lock'],
  ]);
  t.match(found.notes, [{ code: 'RELEASE_NOT_INSTALLED' }, { code: 'AGENTS_SHADOW', text: /research/ }]);

  const { stdout, stderr } = await router(box, ['host']);
  t.match(stdout, /^slot {6}openai-codex:default, provider openai-codex$/m);
  t.match(stdout, /^way {7}direct/m);
  t.match(
    stdout,
    /^agents {4}main {6}runs on main's login \(new chats land here\)\n {10}research {2}runs on a login of its own$/m,
  );
  t.match(stdout, /^gateway {3}none found$/m);
  t.notMatch(stdout, /\s$(?!\n?$)/m, 'no blank at the end of a line');
  t.equal(stderr, '');
  t.ok(readFileSync(state.paths().profiles).equals(before));
  t.notOk(existsSync(box.routerHome), 'no vault was made');
  t.strictSame(leaksOf(box), []);
});

t.test('a release that copies main’s login names the agents it ties together', async (t) => {
  const { look } = host(t, { release: '2026.3.28', agents: [{ id: 'research', slot: alice }] });
  const found = await look();
  t.match(found, {
    layout: 'json',
    agents: [{ runsOn: 'main' }, { id: 'research', runsOn: 'copy' }],
    notes: [{ code: 'RELEASE_NOT_INSTALLED' }, { code: 'AGENTS_TIED', text: /2026\.3\.28.*main, research/ }],
  });
  const { look: later } = host(t, { release: '2026.5.7', agents: [{ id: 'research', slot: alice }] });
  t.match(await later(), { agents: [{}, { id: 'research', runsOn: 'copy' }] }, 'the very same login');
});

t.test('a broken store of one agent is part of the answer', async (t) => {
  const { box, state, look } = host(t, { release: '2026.5.7', agents: [{ id: 'research', slot: bob }] });
  writeFileSync(state.paths('research').profiles, '{"version":1,"profiles":');
  const found = await look();
  t.match(found.agents, [
    { id: 'main', runsOn: 'main', trouble: null },
    { id: 'research', runsOn: 'unknown', trouble: /not complete JSON/ },
  ]);
  t.match(
    found.stores.find((store: { path: string }) => store.path === state.paths('research').profiles),
    { state: 'unreadable', trouble: /not complete JSON/, profiles: [] },
  );
  t.equal(found.refusal, null, 'main is still routed');
  t.match(
    (await router(box, ['host'])).stdout,
    /^ {10}unreadable +logins +agents\/research.*not complete JSON/m,
  );

  writeFileSync(state.paths().profiles, '[]');
  t.match((await look()).agents, [{ id: 'main', runsOn: 'unknown', trouble: /a list/ }, {}]);
});

t.test('a mixed state is shown with what use would say, and the remedy', async (t) => {
  const { box, state, look } = host(t, { release: '2026.5.7' });
  install(box, '2026.9.6');
  const found = await look();
  t.match(found, {
    layout: 'sqlite-shared',
    release: { version: '2026.9.6' },
    via: null,
    locks: [],
    agents: [{ runsOn: 'unknown' }],
    refusal: { code: 'HOST_UNSUPPORTED', message: /still lie in/, hint: /openclaw doctor --fix/ },
  });
  t.match(found.stores[0], { path: state.paths().profiles, state: 'leftover', profiles: [SLOT] });
  const use = await router(box, ['use', 'nobody', '--json']);
  t.equal(use.code === 0, false);
  const shown = await router(box, ['host']);
  t.equal(shown.code, 0, 'the look itself succeeded');
  t.match(shown.stdout, /^refused {3}.*\(HOST_UNSUPPORTED\)\nremedy {4}openclaw doctor --fix/m);
  t.strictSame((await look('--residue')).residue.files, [], 'what doctor still needs is no residue');
});

t.test('no host and a wrong option are errors; a running gateway is shown with its port', async (t) => {
  const { box, state, look } = host(t, { release: '2026.5.7' });
  t.match(await look('--slot', 'anthropic:default'), { error: { code: 'USAGE' } });
  t.match(await look('--slot', 'openai-codex:work'), { profileId: 'openai-codex:work' });
  const uid = process.getuid?.();
  const folder = path.join(state.dir, 'tmp', uid === undefined ? 'openclaw' : `openclaw-${uid}`);
  const { pid } = process;
  const lock = { pid, configPath: state.configPath, stateDir: state.dir, port: 18999, role: 'gateway' };
  writeJson(path.join(folder, 'gateway.state.lock'), lock);
  t.match(await look(), { gateway: { pid, port: 18999 } });
  t.match(
    (await router(box, ['host'])).stdout,
    new RegExp(`^gateway {3}runs on port 18999, process ${pid}$`, 'm'),
  );
  rmSync(state.dir, { recursive: true });
  t.match(await router(box, ['host']), { code: 5, stderr: /\(HOST_NOT_FOUND\)/ });
});

t.test('lists whose logins the archives keep, and deletes nothing', async (t) => {
  const { box, state, look } = host(t, {
    release: '2026.5.7',
    others: {
      'openai-codex:bob': bob,
      'openai-codex:sealed': { type: 'oauth', provider: 'openai-codex', oauthRef: { id: 'b'.repeat(32) } },
    },
  });
  const { dir } = state.paths();
  const files = {
    renamed: path.join(dir, 'auth-profiles.json.openai-provider-unification.1795291331159.bak'),
    migrated: path.join(dir, 'auth-profiles.json.migrated-2026-11-21T20-03-13.536Z-760dd227'),
    old: path.join(dir, 'auth.json'),
    quoted: path.join(state.dir, 'backups', 'openclaw.json.bak.1'),
    transcript: path.join(state.dir, 'agents', 'main', 'sessions', 'x.jsonl'),
    plugin: path.join(state.dir, 'plugins', 'one', 'copy.json'),
    large: path.join(state.dir, 'large.sqlite'),
    linked: path.join(state.dir, 'linked.json'),
    outside: path.join(box.root, 'outside.json'),
    sealed: path.join(state.dir, 'credentials', 'auth-profiles', `${'a'.repeat(32)}.json`),
    spokenOf: path.join(state.dir, 'credentials', 'auth-profiles', `${'b'.repeat(32)}.json`),
  };
  archive(files.renamed, [alice, bob, carol]);
  archive(files.migrated, [alice, alice], 0o644);
  writeJson(files.old, { 'openai-codex': profileOf(loginOf('bob-team'), '2026.5.7') });
  writeJson(files.quoted, { store: JSON.stringify({ a: profileOf(carol, '2026.5.7') }) });
  for (const file of [files.transcript, files.plugin, files.outside]) archive(file, [carol]);
  for (const file of [files.sealed, files.spokenOf]) {
    writeJson(file, { version: 1, profileId: 'openai-codex:x', encrypted: { ciphertext: 'CANARY' } });
  }
  writeFileSync(files.large, '');
  truncateSync(files.large, 65 * 1024 * 1024);
  symlinkSync(files.outside, files.linked);
  // Half a token, as in a file that a crash cut, is nobody's login.
  writeFileSync(path.join(dir, 'auth-profiles.json.bak'), `{"refresh":"${carol.refresh}`);

  const { residue } = await look('--residue');
  const shown = residue.files.map(
    ({ path: file, kind, readableByOthers, logins }: never) =>
      [
        path.relative(state.dir, file),
        kind,
        readableByOthers,
        (logins as { email: string; live: string; expired: boolean }[]).map(({ email, live, expired }) =>
          [email, live, expired].join(' '),
        ),
      ] as const,
  );
  const of = (file: string) => path.relative(state.dir, file);
  t.strictSame(
    new Map(shown.map(([file, ...rest]: readonly string[]) => [file, rest])),
    new Map<string, unknown[]>(
      Object.entries({
        [of(files.old)]: ['leftover', false, ['bob@work.example.test other false']],
        [of(files.migrated)]: ['archive', true, ['alice@example.test same-as-slot false']],
        [of(files.renamed)]: [
          'archive',
          false,
          [
            'alice@example.test same-as-slot false',
            'bob@example.test same-as-profile false',
            'carol@example.test other true',
          ],
        ],
        [of(files.sealed)]: ['sealed', false, [' other ']],
        [of(files.quoted)]: ['archive', false, ['carol@example.test other true']],
      }),
    ),
  );
  t.strictSame(residue.notLookedAt, [{ path: files.large, reason: 'it is larger than 64 MB' }]);

  const { stdout } = await router(box, ['host', '--residue']);
  t.match(
    stdout,
    /^archive {3}agents\/main\/agent\/auth-profiles\.json\.migrated-\S+, readable by other users\n {12}alice@example\.test \(account a1111111\), the very login in the slot, access token still valid$/m,
  );
  t.match(stdout, /^unseen {4}large\.sqlite: it is larger than 64 MB$/m);
  t.match(stdout, /^remove {4}nothing is removed by codex-router/m);
  for (const file of Object.values(files)) t.ok(existsSync(file), 'still there');

  const { renamed, migrated, old, quoted, sealed, large } = files;
  for (const file of [renamed, migrated, old, quoted, sealed, large]) rmSync(file);
  const none = await router(box, ['host', '--residue']);
  t.match(none.stdout, /^residue {3}no login was found outside the stores that OpenClaw reads$/m);
});
