import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { findCanary } from '../kit/canary.js';
import { NONE } from '../kit/none.js';
import { type RouterRun, router, type Sandbox, sandbox } from '../kit/router.js';
import { makeState, type OpenClawState } from '../kit/state.js';
import { codexAuthJson, makeLogin } from '../kit/tokens.js';
import { tracesOf } from '../kit/traces.js';

const KEY = { CODEX_ROUTER_KEY: 'file' };
/** The word that is in everything of this machine that is nobody else's business. */
const MARK = 'private-';

const login = (name: string, plan: string, account = name) =>
  makeLogin({
    accountId: `${MARK}acc-${account}`,
    userId: `${MARK}user-${name}`,
    email: `${MARK}${name}@${MARK}mail.example`,
    plan,
    workspace: `${MARK}workspace`,
    nonce: `${MARK}nonce`,
  });

/** A machine on which every name, id, path, label, alias, key and address is marked. */
async function marked(
  t: Test,
): Promise<{ box: Sandbox; state: OpenClawState; bundle: (...more: string[]) => Promise<RouterRun> }> {
  const box = sandbox(t);
  const home = (name: string) => path.join(box.root, `${MARK}${name}`);
  const stateDir = home('openclaw');
  const env = {
    ...KEY,
    CODEX_ROUTER_HOME: home('router'),
    OPENCLAW_STATE_DIR: stateDir,
    XDG_CONFIG_HOME: home('config'),
    HOSTNAME: `${MARK}host`,
    USER: `${MARK}user`,
    HTTPS_PROXY: '',
    NO_PROXY: `${MARK}proxy.example`,
  };
  mkdirSync(home('config'), { mode: 0o700 });
  const sessions = Object.fromEntries(
    [`agent:main:telegram:direct:${MARK}1`, `agent:main:${MARK}2`, `agent:main:discord:channel:${MARK}3`].map(
      (key, place) => [
        key,
        {
          sessionId: `${MARK}session-${place}`,
          updatedAt: 1000 + place,
          label: `${MARK}label`,
          displayName: `${MARK}name`,
          channel: place === 1 ? `${MARK}channel` : 'telegram',
          authProfileOverride: place === 0 ? `openai-codex:${MARK}profile` : 'openai-codex:default',
          authProfileOverrideSource: 'user',
        },
      ],
    ),
  );
  const state = makeState(stateDir, {
    release: '2026.5.7',
    slot: login('slot', `${MARK}plan`),
    others: { [`openai-codex:${MARK}profile`]: login('beside', 'plus') },
    agents: [{ id: `${MARK}agent`, slot: login('other', 'pro') }],
    sessions,
    port: 48_123,
    config: { [`${MARK}key`]: `${MARK}value` },
  });
  for (const [alias, who] of [
    [`${MARK}alias`, login('stored', 'team')],
    [`${MARK}alias2`, login('second', 'team', 'stored')],
  ] as const)
    await router(box, ['import', '--from', '-', '--alias', alias], { input: codexAuthJson(who), env });
  t.equal((await router(box, ['use', `${MARK}alias`, '--json'], { env })).json.ok, true);
  const dir = home('router');
  writeFileSync(path.join(dir, `${MARK}notes CANARY`), `${MARK}CANARY`);
  writeFileSync(path.join(dir, 'journal.jsonl'), `${MARK}damaged CANARY\n`, { flag: 'a' });
  chmodSync(path.join(dir, 'index.json'), 0o644);
  writeFileSync(path.join(home('config'), 'codex-router', `${MARK}other.key`), `${MARK}CANARY`);
  const bundle = (...more: string[]) => router(box, ['doctor', '--bundle', ...more], { env });
  return { box: { ...box, stateDir, routerHome: dir, env: { ...box.env, ...env } }, state, bundle };
}

function safe(t: Test, text: string, box: Sandbox, what: string): void {
  const host = readFileSync('/proc/sys/kernel/hostname', 'utf8').trim();
  for (const marker of [
    MARK,
    MARK.slice(0, -1),
    'CANARY',
    '48123',
    'test-gateway-token',
    box.root,
    host,
  ].filter((one) => one.length > 4))
    t.strictSame(tracesOf(text, marker), [], `${what}: ${marker}`);
  t.strictSame(findCanary([], { strings: { text } }), []);
  t.match(text, /^[\n -~]*$/, what);
}

t.test('a bundle names nobody: as text, as a document, and as a file', async (t) => {
  const { box, bundle } = await marked(t);
  const text = await bundle();
  t.equal(text.code, 0, text.stderr);
  safe(t, text.stdout + text.stderr, box, 'text');
  t.match(text.stdout, /^Read it before you paste it/m);
  const { stdout, stderr, json } = await bundle('--json');
  safe(t, stdout + stderr, box, 'document');
  t.match(json, {
    kind: 'bundle',
    vault: { state: 'OPEN', keys: ['file'], index: 'READ' },
    identities: [
      { identity: 'identity 1', plan: 'team' },
      { identity: 'identity 2', plan: 'team' },
      { plan: 'other', source: 'slot' },
    ],
    host: {
      found: {
        layout: 'json+state',
        release: '2026.5.7',
        releaseFrom: 'openclaw.json',
        agents: [{ agent: 'main' }, { agent: 'agent 1' }],
      },
      slots: [
        {
          agent: 'main',
          holds: 'login',
          identity: 'identity 1',
          neighbours: [{ profile: 'profile 1', holds: 'login' }],
        },
        { agent: 'agent 1' },
      ],
    },
    layers: {
      error: null,
      layers: [
        { layer: 'choice', identity: 'identity 1' },
        { layer: 'slot', identity: 'identity 1' },
      ],
    },
    switches: { count: 1, last: [{ kind: 'USE', step: 'done', to: 'identity 1' }] },
  });
  const codes = json.findings.findings.map(({ code }: { code: string }) => code);
  for (const code of ['JOURNAL_DAMAGED', 'HOUSE_OPEN', 'HOUSE_UNKNOWN']) t.ok(codes.includes(code), code);
  t.notOk(codes.includes('OTHER'));
  const kinds = json.host.sessions[0].kinds;
  t.match(
    kinds.find(({ kind }: { kind: string }) => kind === 'direct'),
    { channel: 'telegram' },
  );
  t.ok(json.environment.includes('NO_PROXY') && !json.environment.includes('HTTPS_PROXY'));

  const file = path.join(box.home, 'report.md');
  const written = await bundle(file);
  t.equal(written.code, 0);
  t.match(written.stdout, /report\.md\. Read it before you paste it/);
  t.equal(statSync(file).mode & 0o777, 0o600);
  safe(t, readFileSync(file, 'utf8'), box, 'file');
  const again = await bundle(file, '--json');
  t.match(again, { code: 2, json: { error: { code: 'USAGE', message: /exists already/ } } });
  t.match((await bundle(path.join(box.home, 'report.json'), '--json')).json, { kind: 'bundle-written' });
  t.equal(JSON.parse(readFileSync(path.join(box.home, 'report.json'), 'utf8')).kind, 'bundle');
});

t.test(
  'a bundle is made where nothing works: no key, no vault, no OpenClaw, one that cannot be read',
  async (t) => {
    const { box, state, bundle } = await marked(t);
    const keys = path.join(box.env.XDG_CONFIG_HOME ?? '', 'codex-router');
    renameSync(keys, `${keys}-away`);
    const locked = await bundle('--json');
    safe(t, locked.stdout + locked.stderr, box, 'locked');
    t.match(locked, {
      code: 0,
      json: { vault: { state: 'KEY_MISSING', index: 'READ' }, host: { found: { layout: 'json+state' } } },
    });
    t.ok(locked.json.findings.findings.some(({ code }: { code: string }) => code === 'VAULT_CLOSED'));
    renameSync(`${keys}-away`, keys);

    const vault = path.join(box.routerHome, 'vault.json');
    const whole = readFileSync(vault);
    writeFileSync(vault, `{"${MARK}CANARY`);
    const damaged = await bundle('--json');
    safe(t, damaged.stdout + damaged.stderr, box, 'damaged');
    t.match(damaged, { code: 0, json: { vault: { state: 'VAULT_DAMAGED', keys: NONE } } });
    writeFileSync(vault, whole);

    const profiles = state.paths().profiles;
    const store = readFileSync(profiles);
    writeFileSync(profiles, `{"${MARK}CANARY`);
    const torn = await bundle('--json');
    safe(t, torn.stdout + torn.stderr, box, 'torn');
    t.match(torn, { code: 0, json: { vault: { state: 'OPEN' } } });
    writeFileSync(profiles, store);

    writeFileSync(state.configPath, `{${MARK}CANARY`);
    const unread = await bundle('--json');
    safe(t, unread.stdout + unread.stderr, box, 'unreadable');
    t.match(unread, { code: 0, json: { vault: { state: 'OPEN' }, host: { error: String } } });
    t.ok(
      unread.json.findings.findings.some(({ code }: { code: string }) => code === 'HOUSE_OPEN'),
      'its own house is looked at',
    );

    // As a Node without SQLite finds the stores of a later release.
    mkdirSync(path.join(state.dir, 'state'));
    writeFileSync(path.join(state.dir, 'state', 'openclaw.sqlite'), `${MARK}CANARY`);
    const old = await router(box, ['doctor', '--bundle', '--json'], { env: { CODEX_ROUTER_RERUN: '1' } });
    safe(t, old.stdout + old.stderr, box, 'SQLite');
    t.match(old, { code: 0, json: { kind: 'bundle', host: { error: String } } });
    t.match(await bundle('--fix'), { code: 2, stderr: /--bundle only looks/ });

    rmSync(state.dir, { recursive: true });
    rmSync(box.routerHome, { recursive: true });
    const nothing = await bundle();
    safe(t, nothing.stdout + nothing.stderr, box, 'nothing');
    t.match(nothing, { code: 0, stdout: /state +VAULT_MISSING/ });
    t.match(nothing.stdout, /could not be looked at: HOST_NOT_FOUND/);
    t.notOk(existsSync(box.routerHome), 'nothing is made');
  },
);
