import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import t, { type Test } from 'tap';
import { DECISIONS, isAgent, pathOf } from '../../src/cli/agent-guard.js';
import { type Cli, cliOf } from '../../src/cli/cli.js';
import { programOf } from '../../src/cli/program.js';
import { EXIT, EXIT_OF, RouterError } from '../../src/errors.js';
import { leaksOf, PROJECT, router, type Sandbox, sandbox } from '../kit/router.js';
import { makeState, readJson, SLOT, writeJson } from '../kit/state.js';
import { codexAuthJson, type Login, loginOf, people } from '../kit/tokens.js';

const EXEC = { OPENCLAW_SHELL: 'exec' };
const KEY = { CODEX_ROUTER_KEY: 'file' };

function silentCli(env: Record<string, string>): Cli {
  const nobody = () => Promise.reject(new Error('somebody was asked'));
  const terminal = {
    canAsk: false,
    stdinIsTerminal: false,
    colour: false,
    screen: null,
    page: null,
    isGone: false,
    answered: false,
    isUnheard: false,
    say: () => undefined,
    rewrite: () => undefined,
    live: () => null,
    write: () => undefined,
    ask: nobody,
    confirm: nobody,
    askSecret: nobody,
    readStdin: nobody,
    readStdinBytes: nobody,
  };
  const interruption = {
    signal: new AbortController().signal,
    status: null,
    critical: <T>(work: () => Promise<T>) => work(),
  };
  return cliOf(env, 'linux', true, terminal, interruption);
}

/** Every command that does something, by its words. */
function commandsOf(program: CommandUnknownOpts): Map<string, CommandUnknownOpts> {
  const found = new Map<string, CommandUnknownOpts>();
  const walk = (command: CommandUnknownOpts) => {
    for (const one of command.commands) {
      // A group without an action of its own ends in its help.
      if (one.commands.length === 0 || hasAction(one)) found.set(pathOf(one), one);
      walk(one);
    }
  };
  walk(program);
  return found;
}

function hasAction(command: CommandUnknownOpts): boolean {
  return '_actionHandler' in command && command._actionHandler !== null;
}

/** What comes of typing this, with every command's own work taken out: `ran`, or the code of the refusal. */
async function typed(t: Test, argv: readonly string[], env: Record<string, string>, config?: object) {
  const home = t.testdir(
    config === undefined ? {} : { 'codex-router': { 'config.json': JSON.stringify(config) } },
  );
  const program = programOf(silentCli({ HOME: home, XDG_CONFIG_HOME: home, ...env }), '0.0.0');
  let ran = false;
  for (const command of commandsOf(program).values()) {
    command.action(() => {
      ran = true;
    });
  }
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (error instanceof RouterError && !ran) return error;
    throw error;
  }
  return ran ? 'ran' : 'nothing';
}

const codeOf = (result: RouterError | string) => (result instanceof RouterError ? result.code : result);

t.test('every command has a decision about agents, and every decision a command', async (t) => {
  const commands = [...commandsOf(programOf(silentCli({}), '0.0.0')).keys()];
  t.ok(commands.length > 30);
  t.strictSame(
    commands.filter((name) => !Object.hasOwn(DECISIONS, name)),
    [],
    'decide it in agent-guard.ts',
  );
  t.strictSame(
    Object.keys(DECISIONS).filter((name) => !commands.includes(name)),
    [],
    'no such command',
  );
});

const LOOKS = [
  'list',
  'status',
  'usage',
  'usage --all',
  'explain',
  'history --limit 5',
  'doctor',
  'doctor --bundle',
  'host',
  'host --residue',
  'host adopt --dry-run',
  'login status',
  'vault status',
  'config get agents.allow',
  'config path',
  'config snippet cron --apply',
  'plugin path',
  'restore',
  'chat /codex_profile',
  'session show main',
  'failover check --session main',
  'failover status --names',
  'failover log',
  'failover unit --apply',
  'failover once --own-slot',
  'failover leave --session main',
  ...['use work', 'use work --move', 'undo', 'remove work', 'restore 1', 'logout work'].map(
    (words) => `${words} --dry-run`,
  ),
  ...['import', 'eject', 'uninstall', 'session set main', 'session clear main'].map(
    (words) => `${words} --dry-run`,
  ),
];

const ALLOWABLE = ['use work', 'use -', 'use work --session main', 'undo', 'sync'];

const PERSONS = [
  'use work --move',
  'use work --fix-labels',
  'sync --wait',
  'sync --wait 5',
  'login',
  'login --browser',
  'login start',
  'login finish',
  'login cancel',
  'add work',
  'import',
  'import --from -',
  'alias work home',
  'remove work --yes',
  'restore 1 --yes',
  'refresh --all',
  'lend work --to codex',
  'unlend',
  'logout work --yes',
  'export --to x --plaintext --yes-write-my-tokens-unencrypted',
  'eject --yes',
  'uninstall --yes',
  'host adopt --yes',
  'doctor --bundle report.md',
  'vault init',
  'vault rekey --to file',
  'vault add-key passphrase',
  'vault status --check',
  'failover once --apply',
  'failover watch',
  'failover watch --apply',
  'failover stop',
  'failover once --shared-slot --apply',
  'failover leave --apply',
  'session set main',
  'session clear main',
  'config set agents.allow use',
];

t.test('an agent looks, does what it is allowed to, and nothing else', async (t) => {
  const all = { agents: { allow: ['use', 'undo', 'sync'] } };
  for (const line of LOOKS) t.equal(codeOf(await typed(t, line.split(' '), EXEC)), 'ran', line);
  for (const line of ALLOWABLE) {
    const words = line.split(' ');
    t.equal(codeOf(await typed(t, words, EXEC)), 'AGENT_REFUSED', `${line}: not unless allowed`);
    t.equal(codeOf(await typed(t, words, EXEC, all)), 'ran', `${line}: allowed`);
    const others = all.agents.allow.filter((ability) => ability !== words[0]);
    t.equal(codeOf(await typed(t, words, EXEC, { agents: { allow: others } })), 'AGENT_REFUSED', line);
  }
  for (const line of PERSONS) {
    t.equal(
      codeOf(await typed(t, line.split(' '), EXEC, all)),
      'AGENT_REFUSED',
      `${line}: whatever is allowed`,
    );
  }
  const tried = [...LOOKS, ...ALLOWABLE, ...PERSONS];
  const untried = Object.keys(DECISIONS).filter(
    (name) => !tried.some((line) => `${line} `.startsWith(`${name} `)),
  );
  t.strictSame(untried, ['plugin snippet'], 'each command is tried here');
});

t.test('a person is asked nothing about agents', async (t) => {
  for (const env of [{}, { OPENCLAW_SHELL: '' }, { OPENCLAW_SHELL: ' ' }, { OPENCLAW_SHELL: 'tui-local' }]) {
    for (const line of [...ALLOWABLE, ...PERSONS]) {
      t.equal(codeOf(await typed(t, line.split(' '), env)), 'ran', `${JSON.stringify(env)} ${line}`);
    }
  }
  for (const shell of ['exec', 'acp', 'acp-client', 'something new']) {
    t.ok(isAgent({ OPENCLAW_SHELL: shell }), shell);
    t.equal(codeOf(await typed(t, ['remove', 'work'], { OPENCLAW_SHELL: shell })), 'AGENT_REFUSED', shell);
  }
});

t.test('the refusal names the setting, or the person, and ends in 6', async (t) => {
  t.equal(EXIT_OF.AGENT_REFUSED, 6);
  const use = await typed(t, ['use', 'work'], EXEC);
  t.match(use, { message: /agents\.allow/, hint: /ask the person.*config set agents\.allow use/ });
  const remove = await typed(t, ['remove', 'work', '--yes'], EXEC);
  t.match(remove, { message: /codex-router remove is for a person/, hint: /ask the person/ });
  t.match(await typed(t, ['sync', '--wait'], EXEC), { message: /the very turn that runs it/ });
});

t.test('a configuration that cannot be understood allows nothing, and looking goes on', async (t) => {
  for (const config of [
    [],
    { agents: [] },
    { agents: { allow: 'use' } },
    { agents: { allow: ['remove'] } },
  ]) {
    t.equal(
      codeOf(await typed(t, ['use', 'work'], EXEC, config)),
      'CONFIG_UNREADABLE',
      JSON.stringify(config),
    );
    t.equal(codeOf(await typed(t, ['list'], EXEC, config)), 'ran');
    t.equal(codeOf(await typed(t, ['remove', 'work'], EXEC, config)), 'AGENT_REFUSED');
    t.equal(codeOf(await typed(t, ['use', 'work'], {}, config)), 'ran', 'a person is not stopped by it');
  }
});

const SKILL = readFileSync(path.join(PROJECT, 'skill', 'SKILL.md'), 'utf8');

/** The command lines in one part of the skill, without the program's name. */
function linesIn(heading: string): string[][] {
  const part = SKILL.split(/^## /m).find((one) => one.startsWith(`${heading}\n`)) ?? '';
  return [...part.matchAll(/`codex-router ([^`]+)`/g)].map((match) => (match[1] ?? '').split(' '));
}

t.test('the skill names commands that exist, and each does what the skill says of it', async (t) => {
  const all = { agents: { allow: ['use', 'undo', 'sync'] } };
  for (const line of linesIn('Look')) t.equal(codeOf(await typed(t, line, EXEC)), 'ran', line.join(' '));
  for (const line of linesIn('Switch')) {
    t.equal(codeOf(await typed(t, line, EXEC)), 'AGENT_REFUSED', line.join(' '));
    t.equal(codeOf(await typed(t, line, EXEC, all)), 'ran', line.join(' '));
  }
  for (const line of linesIn('Never')) {
    t.equal(codeOf(await typed(t, line, EXEC, all)), 'AGENT_REFUSED', line.join(' '));
    t.equal(codeOf(await typed(t, line, {})), 'ran', `${line.join(' ')} is a command`);
  }
  const told = ['Look', 'Switch', 'Never'].map((heading) => linesIn(heading).length);
  t.ok(
    told.every((count) => count >= 3),
    String(told),
  );
  t.equal(
    [...SKILL.matchAll(/`codex-router [^`]+`/g)].length,
    told.reduce((sum, count) => sum + count, 0),
  );
  const codes = [...SKILL.matchAll(/^- (\d+): /gm)].map((match) => Number(match[1]));
  t.strictSame(codes, Object.values(EXIT), 'the exit codes are those of src/errors.ts');
});

t.test('the skill is of the form that every release of OpenClaw reads', async (t) => {
  const front = /^---\n([\s\S]*?)\n---\n/.exec(SKILL)?.[1] ?? '';
  // The docs of 2026.5.7 want `metadata` on one line.
  const fields = new Map(
    front.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
  );
  t.strictSame([...fields.keys()], ['name', 'description', 'homepage', 'user-invocable', 'metadata']);
  t.equal(fields.get('name'), 'codex-router');
  t.ok((fields.get('description') ?? '').length <= 1024);
  t.same(JSON.parse(fields.get('metadata') ?? ''), { openclaw: { requires: { bins: ['codex-router'] } } });
  const manifest = JSON.parse(readFileSync(path.join(PROJECT, 'package.json'), 'utf8'));
  t.ok(manifest.bin['codex-router']);
  t.ok(manifest.files.includes('skill'), 'it is in the package');
});

const store = (box: Sandbox, login: Login, alias: string) =>
  router(box, ['import', '--from', '-', '--alias', alias], { input: codexAuthJson(login), env: KEY });

async function stored(t: Test) {
  const box = sandbox(t);
  const state = makeState(box.stateDir, { release: '2026.5.7', slot: null });
  for (const [alias, login] of [['home', loginOf('alice')] as const, ['work', loginOf('bob')] as const]) {
    t.equal((await store(box, login, alias)).code, 0);
  }
  t.equal((await router(box, ['use', 'home', '--no-session'])).code, 0);
  const emailInSlot = () =>
    (readJson(state.paths().profiles) as { profiles: Record<string, { email?: string }> }).profiles[SLOT]
      ?.email;
  return { box, state, emailInSlot };
}

const allow = (box: Sandbox, ...what: string[]) => {
  const folder = path.join(box.env.XDG_CONFIG_HOME ?? '', 'codex-router');
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify({ agents: { allow: what }, mine: 1 }));
};

t.test('in an exec of OpenClaw the program refuses with 6 and has changed nothing', async (t) => {
  const { box, emailInSlot } = await stored(t);
  const index = () => readFileSync(path.join(box.routerHome, 'index.json'), 'utf8');
  const before = index();
  for (const args of [
    ['use', 'work'],
    ['undo'],
    ['remove', 'work', '--yes'],
    ['vault', 'rekey', '--to', 'file'],
  ]) {
    const run = await router(box, [...args, '--json'], { env: EXEC });
    t.equal(run.code, 6, args.join(' '));
    t.match(run.json, { ok: false, error: { code: 'AGENT_REFUSED', hint: /ask the person/ } });
  }
  const out = path.join(box.root, 'out');
  t.equal((await router(box, ['export', '--to', out], { env: EXEC })).code, 6);
  t.notOk(existsSync(out));
  t.equal(index(), before);
  t.equal(emailInSlot(), people.alice.email);
  t.equal((await router(box, ['list', '--json'], { env: EXEC })).code, 0);
  t.equal((await router(box, ['use', 'work', '--dry-run', '--json'], { env: EXEC })).json.result, 'planned');
  t.equal((await router(box, ['remove', '--help'], { env: EXEC })).code, 0);
  t.strictSame(leaksOf(box), []);
});

t.test('what is asked through chat is held to the same table', async (t) => {
  const { box, emailInSlot } = await stored(t);
  allow(box, 'undo');
  const chat = (text: string, env: Record<string, string> = EXEC) =>
    router(box, ['chat', text, '--session', 'agent:main:main', '--json'], { env });
  for (const text of ['/codex_profile use work', '/codex_auth work', '/codex_auth new']) {
    t.match(await chat(text), { code: 6, json: { ok: false, error: { code: 'AGENT_REFUSED' } } }, text);
  }
  t.match(await chat('/codex_profile'), { code: 0, json: { ok: true } });
  t.match((await chat('/codex_profile use work', {})).json, { result: 'confirm' }, 'a person is asked');
  t.match((await chat('/codex_profile yes')).json, { ok: false }, 'an agent cannot answer for them');
  t.equal(emailInSlot(), people.alice.email);
  await chat('/codex_profile use work', {});
  t.match(await chat('/codex_profile yes', {}), { code: 0, json: { result: 'switched' } }, 'a person');
  t.equal(emailInSlot(), people.bob.email);
});

t.test(
  'allowed, a switch inside a turn pins this chat as pending, and sync after it sets it again',
  async (t) => {
    const { box, state, emailInSlot } = await stored(t);
    allow(box, 'use', 'undo');
    const file = state.paths().sessions;
    const chats = ['agent:main:telegram:direct:1001', 'agent:main:telegram:direct:2002'] as const;
    const session = (id: string, at: number) => ({
      sessionId: id,
      updatedAt: at,
      lastTo: `telegram:${id}`,
      lastChannel: 'telegram',
    });
    writeJson(file, { [chats[0]]: session('1001', 1), [chats[1]]: session('2002', 2) });
    const turnEnds = readFileSync(file, 'utf8');
    const told = { ...EXEC, CODEX_ROUTER_SESSION_KEY: chats[0] };
    const run = await router(box, ['use', 'work', '--json'], { env: told });
    t.match(run.json, {
      result: 'switched',
      session: { key: chats[0], why: 'given by CODEX_ROUTER_SESSION_KEY' },
      pins: [{ key: chats[0], is: SLOT, result: 'pending' }],
    });
    t.equal(emailInSlot(), people.bob.email);
    const pinOf = (key: string) =>
      (readJson(file) as Record<string, { authProfileOverride?: string }>)[key]?.authProfileOverride;
    t.equal(pinOf(chats[0]), SLOT);
    writeFileSync(file, turnEnds);
    t.equal((await router(box, ['sync', '--json'], { env: EXEC })).code, 6, 'sync was not allowed');
    const sync = await router(box, ['sync', '--wait', '5', '--json']);
    t.match(sync.json.notes, [{ code: 'PINS_REPAIRED' }].concat(sync.json.notes.slice(1)));
    t.equal(pinOf(chats[0]), SLOT);
    t.equal(pinOf(chats[1]), undefined, 'the other chat is as it was');
  },
);

t.test(
  'the chat that the channel context names is pinned, and where it cannot be told none is',
  async (t) => {
    const { box, state } = await stored(t);
    allow(box, 'use');
    const file = state.paths().sessions;
    const key = 'agent:main:telegram:direct:1001';
    writeJson(file, {
      [key]: { sessionId: 'a', updatedAt: 1 },
      'agent:main:main': { sessionId: 'b', updatedAt: 9, lastTo: 'telegram:2002' },
    });
    const inChat = (id: string) => ({
      ...EXEC,
      OPENCLAW_CHANNEL_CONTEXT: JSON.stringify({ sender: { id }, chat: { id } }),
    });
    const here = await router(box, ['use', 'work', '--json'], { env: inChat('1001') });
    t.match(here.json.session, { key, why: /OPENCLAW_CHANNEL_CONTEXT/ });
    t.match((await router(box, ['status', '--json'], { env: inChat('1001') })).json.session, { key });
    const sessions = readFileSync(file, 'utf8');
    for (const env of [inChat('3003'), EXEC, { ...EXEC, OPENCLAW_CHANNEL_CONTEXT: 'x'.repeat(100_000) }]) {
      const run = await router(box, ['use', 'home', '--json'], { env });
      t.match(run.json, { session: { key: null, why: /nothing is guessed/ }, pins: [] });
      t.equal(readFileSync(file, 'utf8'), sessions);
    }
  },
);
