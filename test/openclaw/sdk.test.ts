import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import t, { type Test } from 'tap';
import { openSdk, type Sdk } from '../../src/openclaw/sdk.js';
import { sdkPins } from '../../src/openclaw/sdk-pins.js';
import { sdkSlot } from '../../src/openclaw/sdk-slot.js';
import { holdingOf } from '../contract/slot.js';
import { bare, until } from '../kit/process.js';
import { PROJECT, sandbox } from '../kit/router.js';
import { CANARY, loginOf } from '../kit/tokens.js';

const SLOT = 'openai:default';

interface Place {
  readonly root: string;
  readonly sdk: Sdk;
  readonly slot: ReturnType<typeof sdkSlot>;
}

/** @param childPath the helper; default the real one. @param files of the package `openclaw`, by name in dist/plugin-sdk. */
function placeOf(
  t: Test,
  more: {
    childPath?: string;
    child?: string;
    files?: Record<string, string>;
    node?: string;
    deadline?: number;
    env?: Record<string, string>;
  },
): Place {
  const root = t.testdir({
    'package.json': '{ "name": "openclaw", "version": "2099.1.1", "type": "module" }',
    'child.cjs': more.child ?? '',
    dist: { 'plugin-sdk': more.files ?? {} },
    state: {},
  });
  const built = path.join(PROJECT, 'dist', 'sdk-child.js');
  const sdk = openSdk({
    packageRoot: root,
    node: more.node ?? process.execPath,
    env: { PATH: '/usr/bin:/bin', HOME: root, ...more.env },
    stateDir: path.join(root, 'state'),
    configPath: path.join(root, 'state', 'openclaw.json'),
    childPath: more.childPath ?? (more.child === undefined ? built : path.join(root, 'child.cjs')),
    deadline: more.deadline ?? 20_000,
  });
  t.teardown(() => sdk.close());
  const slot = sdkSlot({
    address: { id: 'x', layout: 'sdk', agent: 'main', profileId: SLOT },
    shape: {
      provider: 'openai',
      profileId: SLOT,
      path: 'the store',
      stateApart: true,
      planField: true,
      overMain: false,
    },
    sdk,
    agentDir: null,
    now: Date.now,
  });
  return { root, sdk, slot };
}

/** A helper that answers each request with what `body` writes; `n` counts them, `say` writes to descriptor 3. */
function child(body: string): string {
  return `const fs = require('node:fs'); const say = (text) => fs.writeSync(3, text);
    fs.appendFileSync(__dirname + '/pids', process.pid + '\\n');
    let n = -1; let text = '';
    process.stdin.on('data', (chunk) => { text += chunk;
      for (let end; (end = text.indexOf('\\n')) !== -1; text = text.slice(end + 1)) { const line = text.slice(0, end); n += 1; if (n > 0) answer(line); } });
    process.stdin.on('end', () => process.exit(0));
    function answer(line) { ${body} }`;
}

const STORE = `say(JSON.stringify({ stage: 'store', store: { version: 1, profiles: {} } }) + '\\n');`;

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
}

function pidsIn(root: string): number[] {
  const file = path.join(root, 'pids');
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').map(Number) : [];
}

const alice = holdingOf(loginOf('alice'));

t.test(
  'a helper that answers nonsense is ended, said so, and the next question starts another',
  async (t) => {
    const { root, slot } = placeOf(t, {
      child: child(
        `if (!fs.existsSync(__dirname + '/again')) { fs.writeFileSync(__dirname + '/again', ''); say('{ "stage": "gl\\n'); } else { ${STORE} }`,
      ),
    });
    await t.rejects(slot.read(), { code: 'HOST_UNSUPPORTED', message: /^the SDK of OpenClaw 2099\.1\.1 / });
    t.same((await slot.read()).occupant, { kind: 'absent' });
    const [first = 0] = pidsIn(root);
    await until('the first one is gone', () => isGone(first));
  },
);

t.test('a helper that hangs is ended at the deadline', async (t) => {
  for (const hang of ['', 'for (;;) {}']) {
    const { root, slot } = placeOf(t, { child: child(hang), deadline: 400 });
    await t.rejects(slot.read(), {
      code: 'HOST_BUSY',
      message: /^the SDK of OpenClaw 2099\.1\.1 gave no answer/,
    });
    const [pid = 0] = pidsIn(root);
    await until('it is gone', () => isGone(pid));
  }
});

t.test(
  'a helper that dies halfway is told, with how it ended; after a write the next command is to look',
  async (t) => {
    const { slot } = placeOf(t, {
      child: child(
        `if (/"op":"read"/.test(line)) { ${STORE} } else { say('{ "stage": "sto'); process.kill(process.pid, 'SIGKILL'); }`,
      ),
    });
    const { revision } = await slot.read();
    await t.rejects(slot.replace({ expect: revision, put: alice, takeOut: [] }), {
      code: 'HOST_UNSUPPORTED',
      message: /signal SIGKILL/,
      hint: /codex-router status/,
    });
  },
);

t.test('a Node that is not there and a helper that is not there are told', async (t) => {
  const gone = path.join(t.testdir({}), 'nothing');
  for (const wrong of [{ node: gone }, { childPath: gone }]) {
    await t.rejects(placeOf(t, wrong).slot.read(), {
      code: 'HOST_UNSUPPORTED',
      message: /ended without an answer/,
    });
  }
});

t.test('an answer to another question is not believed', async (t) => {
  const { slot, sdk } = placeOf(t, { child: child(`say('{"stage":"changed"}\\n');`) });
  await t.rejects(slot.read(), { code: 'HOST_UNSUPPORTED' });
  await t.rejects(sdkPins({ agent: 'main', sdk }).read(), { code: 'HOST_UNSUPPORTED' });
  const broken = placeOf(t, { child: child(`say('{"stage":"store","store":{"profiles":[]}}\\n');`) });
  await t.rejects(broken.slot.read(), { code: 'SLOT_UNREADABLE' });
});

t.test('tokens go through the pipe alone; the helper gets the host and nothing of ours', async (t) => {
  const env = {
    NODE_OPTIONS: '--no-warnings',
    CODEX_ROUTER_PASSPHRASE: `open ${CANARY}`,
    OPENCLAW_STATE_DIR: '/another',
    OPENCLAW_HOME: '/home/of/openclaw',
  };
  const { root, slot } = placeOf(t, {
    env,
    child:
      child(`fs.writeFileSync(__dirname + '/seen', JSON.stringify({ argv: process.argv, env: process.env })); fs.appendFileSync(__dirname + '/lines', line);
      if (/"op":"read"/.test(line)) { ${STORE} } else say(JSON.stringify({ stage: 'changed' }) + '\\n');`),
  });
  const { revision } = await slot.read();
  await t.rejects(slot.replace({ expect: revision, put: alice, takeOut: [] }), { code: 'SLOT_CHANGED' });
  const seen = JSON.parse(readFileSync(path.join(root, 'seen'), 'utf8'));
  t.notMatch(JSON.stringify(seen), CANARY);
  t.match(seen.env, {
    OPENCLAW_STATE_DIR: path.join(root, 'state'),
    OPENCLAW_CONFIG_PATH: path.join(root, 'state', 'openclaw.json'),
    OPENCLAW_HOME: '/home/of/openclaw',
  });
  // tap puts a NODE_OPTIONS of its own into every child's environment.
  t.notMatch(JSON.stringify(seen.env), /--no-warnings|CODEX_ROUTER/);
  t.match(readFileSync(path.join(root, 'lines'), 'utf8'), CANARY);
});

/** The package's provider-auth.js over a store in memory. */
const auth = (more: string) => ({
  'provider-auth.js': `const store = { version: 1, profiles: {} };
    export const ensureAuthProfileStoreForLocalUpdate = () => structuredClone(store);
    ${more}`,
});
const UPDATE = 'export async function updateAuthProfileStoreWithLock({ updater })';

t.test('what OpenClaw prints does not disturb the answers', async (t) => {
  const { slot } = placeOf(t, {
    files:
      auth(`const chatter = () => { console.log('{"stage":"changed"}'); console.error('x'.repeat(100000)); process.stdout.write('{"stage":"store"}\\n'); };
      chatter(); ${UPDATE} { chatter(); updater(store); chatter(); return store; }`),
  });
  const { revision } = await slot.read();
  const after = await slot.replace({ expect: revision, put: alice, takeOut: [] });
  t.match(after.occupant, { kind: 'login', identity: { email: 'alice@example.test' } });
});

t.test('a Ctrl-C that reaches the helper too does not stop what it has begun', async (t) => {
  const { root, slot } = placeOf(t, {
    files: auth(`import fs from 'node:fs'; const at = (name) => new URL('../../' + name, import.meta.url);
      ${UPDATE} { fs.writeFileSync(at('begun'), String(process.pid));
        while (!fs.existsSync(at('go'))) await new Promise((wake) => setTimeout(wake, 10));
        updater(store); return store; }`),
  });
  const { revision } = await slot.read();
  const writing = slot.replace({ expect: revision, put: alice, takeOut: [] });
  const begun = path.join(root, 'begun');
  const pid = await until('it has begun', () => existsSync(begun) && Number(readFileSync(begun, 'utf8')));
  for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM'] as const) process.kill(pid, signal);
  writeFileSync(path.join(root, 'go'), '');
  t.match((await writing).occupant, { kind: 'login' });
});

t.test(
  'whatever is wrong with the package is one sentence that names the release, and never its text',
  async (t) => {
    const secret = `Object.assign(new Error('${CANARY}'), { name: '${CANARY} 1' })`;
    const cases: readonly [string, Record<string, string>, object, object][] = [
      [
        'it cannot be loaded',
        auth(`throw ${secret};`),
        { code: 'HOST_UNSUPPORTED', message: /cannot be loaded/ },
        {},
      ],
      [
        'there is no such module',
        {},
        { code: 'HOST_UNSUPPORTED', message: /cannot be loaded \(ERR_MODULE_NOT_FOUND\)/ },
        {},
      ],
      [
        'it ends the process',
        auth('process.exit(3);'),
        { code: 'HOST_UNSUPPORTED', message: /exit status 3/ },
        {},
      ],
      [
        'it lacks the function',
        auth(''),
        {},
        { code: 'HOST_UNSUPPORTED', message: /has no updateAuthProfileStoreWithLock/ },
      ],
      ['its store stays locked', auth(`${UPDATE} { return null; }`), {}, { code: 'HOST_BUSY' }],
      [
        'its update throws',
        auth(`${UPDATE} { throw Object.assign(${secret}, { code: 'ERR_SQLITE' }); }`),
        {},
        { code: 'SLOT_UNREADABLE', message: /\(ERR_SQLITE\)/ },
      ],
      ['it fails to write', auth(`${UPDATE} { updater(store); return null; }`), {}, { code: 'IO' }],
      [
        'it cannot read its store',
        {
          'provider-auth.js': `export const ensureAuthProfileStoreForLocalUpdate = () => { throw Object.assign(${secret}, { code: 'AUTH_PROFILE_MIGRATION_REQUIRED' }); };
        ${UPDATE} { return null; }`,
        },
        {
          code: 'SLOT_UNREADABLE',
          message: /\(AUTH_PROFILE_MIGRATION_REQUIRED\)/,
          hint: /openclaw doctor --fix/,
        },
        {},
      ],
    ];
    for (const [name, files, reading, writing] of cases) {
      await t.test(name, async (t) => {
        const { slot } = placeOf(t, { files });
        const error = await failure(slot.read());
        t.match(error ?? {}, reading);
        t.equal(error === null, Object.keys(reading).length === 0);
        if (error !== null) {
          t.notMatch(`${error.message} ${error.hint}`, CANARY);
          t.match(error.message, /OpenClaw 2099\.1\.1/);
          return;
        }
        const { revision } = await slot.read();
        const second = await failure(slot.replace({ expect: revision, put: alice, takeOut: [] }));
        t.match(second, { ...writing, message: /OpenClaw 2099\.1\.1/ });
        t.match(second, writing);
        t.notMatch(`${second?.message} ${second?.hint}`, CANARY);
      });
    }
  },
);

async function failure(work: Promise<unknown>): Promise<{ message: string; hint?: string } | null> {
  try {
    await work;
    return null;
  } catch (error) {
    return error as { message: string; hint?: string };
  }
}

t.test('pins fail as one sentence too', async (t) => {
  const sessions = (text: string) => ({ 'session-store-runtime.js': text });
  for (const [text, expected] of [
    ['export const other = 1;', { code: 'HOST_UNSUPPORTED', message: /has no loadSessionStore/ }],
    [
      `export const listSessionEntries = () => { throw new Error('${CANARY}'); };`,
      { code: 'HOST_UNREADABLE' },
    ],
    ['export const listSessionEntries = () => [{ sessionKey: 1 }];', { code: 'HOST_UNREADABLE' }],
  ] as const) {
    await t.rejects(
      sdkPins({ agent: 'main', sdk: placeOf(t, { files: sessions(text) }).sdk }).read(),
      expected,
    );
  }
});

t.test('the helper does not hold its command up, and does not outlive it', async (t) => {
  for (const [how, body, status] of [
    ['stay', STORE, 0],
    ['leave', "fs.writeFileSync(__dirname + '/asked', ''); for (;;) {}", 7],
  ] as const) {
    const { root } = sandbox(t);
    const helper = path.join(root, 'child.cjs');
    writeFileSync(helper, child(body));
    const program = path.join(root, 'ask-and-leave.mjs');
    await build({
      entryPoints: [path.join(PROJECT, 'test/openclaw/ask-and-leave.ts')],
      outfile: program,
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'error',
    });
    const command = bare([process.execPath, program, helper, root, how], { PATH: '/usr/bin:/bin' });
    const run = spawn(command[0] ?? '', command.slice(1), { stdio: ['pipe', 'ignore', 'inherit'] });
    const ended = once(run, 'exit');
    if (how === 'leave') {
      await until('the helper was asked', () => existsSync(path.join(root, 'asked')));
      run.stdin.write('now\n');
    }
    t.strictSame(await ended, [status, null]);
    const [pid = 0] = pidsIn(root);
    await until('the helper is gone too', () => isGone(pid));
    t.pass(`${how}: gone`);
  }
});
