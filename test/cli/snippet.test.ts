import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { photograph } from '../kit/photograph.js';
import { runProcess } from '../kit/process.js';
import { type JsonDocument, type RouterOptions, router, type Sandbox, sandbox } from '../kit/router.js';
import { makeState } from '../kit/state.js';

const KINDS = ['order', 'fallbacks', 'cron'];
const KEY = "agent:main:telegram:direct:o'neil & co";

/** An OpenClaw without stores, and on PATH a program of that release which writes down how it was called. */
function openclawOf(t: Test, version: string | null) {
  const box = sandbox(t);
  mkdirSync(box.stateDir, { mode: 0o700 });
  if (version !== null) install(box, version);
  const ask = (args: readonly string[], options: RouterOptions = {}) =>
    router(box, ['config', 'snippet', ...args], options);
  const document = async (...args: readonly string[]): Promise<JsonDocument> =>
    (await ask([...args, '--json'])).json;
  return { box, ask, document };
}

function install(box: Sandbox, version: string): void {
  const root = path.join(box.root, 'lib', 'node_modules', 'openclaw');
  mkdirSync(root, { recursive: true });
  writeFileSync(path.join(root, 'package.json'), JSON.stringify({ name: 'openclaw', version }));
  const called = path.join(box.root, 'called');
  const script = `#!/bin/sh\n{ printf '%s\\0' openclaw "$@"; printf '\\n'; } >> ${called}\n`;
  writeFileSync(path.join(box.bin, 'openclaw'), script, { mode: 0o755 });
}

/** How openclaw was called, by a shell that was given this text. */
async function calledBy({ box }: { readonly box: Sandbox }, text: string): Promise<readonly string[][]> {
  const run = await runProcess(['sh', '-eu', '-c', text], { env: box.env, cwd: box.root });
  if (run.code !== 0 || run.stderr !== '') throw new Error(run.stderr);
  const called = path.join(box.root, 'called');
  if (!existsSync(called)) return [];
  const lines = readFileSync(called, 'utf8').split('\0\n').slice(0, -1);
  return lines.map((line) => line.split('\0'));
}

const wordsOf = ({ snippets }: JsonDocument): string[] =>
  snippets.flatMap(({ commands }: JsonDocument) => commands.flat());

t.test('each release gets commands that it knows', async (t) => {
  const eras = [
    ['2026.3.28', 'openai-codex', 'agent', ['--light-context']],
    ['2026.5.7', 'openai-codex', 'agent', ['--light-context', '--tools']],
    ['2026.5.28', 'openai-codex', 'agent', ['--light-context', '--tools']],
    ['2026.6.1', 'openai', 'agent', ['--light-context', '--tools']],
    ['2026.7.35', 'openai', 'scheduler', ['--declaration-key', '--command-argv']],
    ['2026.9.6', 'openai', 'scheduler', ['--declaration-key', '--command-argv']],
  ] as const;
  const telling = ['--light-context', '--tools', '--declaration-key', '--command-argv'];
  for (const [version, provider, runs, flags] of eras) {
    const { document } = openclawOf(t, version);
    const told = await document();
    t.match(told, { release: version, writtenFor: version, notes: [] }, version);
    t.strictSame(
      told.snippets.map(({ kind }: JsonDocument) => kind),
      KINDS,
    );
    const [order, , cron] = told.snippets;
    t.strictSame(order.commands[0].slice(-3), ['--provider', provider, `${provider}:default`]);
    t.equal(cron.runs, runs);
    const used = cron.commands[0].filter((word: string) => telling.includes(word));
    t.strictSame([...used].sort(), [...flags].sort(), version);
  }
});

t.test('an unknown release is said to be that, and gets the newest known commands', async (t) => {
  const later = await openclawOf(t, '2027.1.2').document();
  t.match(later, { release: '2027.1.2', writtenFor: '2026.9.6', notes: [{ code: 'RELEASE_UNKNOWN' }] });
  t.match(later.notes[0].text, /2027\.1\.2 is not one that codex-router knows/);
  const earlier = await openclawOf(t, '2025.12.1').document();
  t.match(earlier, { release: '2025.12.1', notes: [{ code: 'RELEASE_UNKNOWN' }] });
  const { ask, document, box } = openclawOf(t, null);
  t.match(await document(), { release: null, writtenFor: '2026.9.6', notes: [{ code: 'RELEASE_UNKNOWN' }] });
  t.match((await ask([])).stdout, /^# note: no OpenClaw package was found.*2026\.9\.6\n/);
  makeState(box.stateDir, { release: '2026.5.7' });
  // It names the release that wrote it last.
  rmSync(path.join(box.stateDir, 'openclaw.json'));
  const stored = await document('order');
  t.match(stored, { release: null, writtenFor: '2026.5.28' }, 'what is stored tells the provider');
  t.ok(wordsOf(stored).includes('openai-codex:default'));
});

t.test('without any OpenClaw they can be read; one that was named must be there', async (t) => {
  const box = sandbox(t);
  const { json } = await router(box, ['config', 'snippet', '--json']);
  t.match(json, { ok: true, release: null, notes: [{ code: 'RELEASE_UNKNOWN' }] });
  const wrong = await router(box, ['config', 'snippet', '--state-dir', path.join(box.root, 'x'), '--json']);
  t.match(wrong.json, { ok: false, error: { code: 'HOST_NOT_FOUND' } });
});

t.test('a shell reads what is printed as the commands of the document, and as nothing else', async (t) => {
  for (const version of ['2026.5.7', '2026.9.6']) {
    const claw = openclawOf(t, version);
    const args = ['--session', KEY, '--session', 'b', '--model', 'spare/small', '--model', 'x/y:free'];
    const { snippets } = await claw.document(...args);
    const commands = snippets.flatMap((snippet: JsonDocument) => snippet.commands);
    t.strictSame(await calledBy(claw, (await claw.ask(args)).stdout), commands, version);
    const lines = snippets.flatMap(({ shell }: JsonDocument) => shell).join('\n');
    t.strictSame(await calledBy(claw, lines), [...commands, ...commands], `${version}, the lines`);
  }
});

t.test('the job is a dry run of these sessions, until --apply is asked for', async (t) => {
  const { document } = openclawOf(t, '2026.9.6');
  const argvOf = (told: JsonDocument): string[] => JSON.parse(wordsOf(told).at(-1) ?? '').slice(2);
  const dry = await document('cron', '--session', KEY, '--own-slot');
  t.strictSame(argvOf(dry), ['failover', 'once', '--session', KEY, '--own-slot']);
  t.match(dry.snippets[0].notes[0], /dry run/);
  const wet = await document('cron', '--session', KEY, '--apply', '--shared-slot');
  t.strictSame(argvOf(wet), ['failover', 'once', '--session', KEY, '--shared-slot', '--apply']);
  t.match(wet.snippets[0].notes[0], /it switches/);
  const all = await document();
  t.notOk(wordsOf(all).some((word) => word.includes('--apply')));
  t.strictSame(argvOf(all), ['failover', 'once'], 'the sessions of the configuration');
  t.strictSame(JSON.parse(wordsOf(all).at(-1) ?? '')[0], process.execPath);
});

t.test('an agent that OpenClaw starts is never told to switch', async (t) => {
  const { document } = openclawOf(t, '2026.5.7');
  const errand = wordsOf(await document('cron', '--session', 'agent:main:main')).at(-1) ?? '';
  t.match(errand, / failover check --session agent:main:main --json It only looks\./);
  t.notMatch(errand, /failover once|--apply/);
  for (const args of [['--apply'], ['cron', '--apply']]) {
    t.match((await document(...args)).error, {
      code: 'HOST_UNSUPPORTED',
      message: /agents may look but not switch/,
      hint: 'codex-router failover unit --apply',
    });
  }
});

t.test('an agent and an OpenClaw that are named stand in the commands', async (t) => {
  const { box, document } = openclawOf(t, '2026.5.7');
  const told = await document('--agent', 'research', '--state-dir', box.stateDir);
  const [order, , cron] = told.snippets;
  t.match(order.shell[0], / --agent research /);
  t.match(order.undo, / --agent research/);
  t.match(cron.shell[0], / --agent research /);
  t.match(cron.shell[0], ` --state-dir ${box.stateDir} `);
});

t.test(
  'an option without a part in what is printed, or that no command line can hold, is refused',
  async (t) => {
    const { ask } = openclawOf(t, '2026.9.6');
    const wrong = [
      ['model'],
      ['order', '--model', 'a/b'],
      ['fallbacks', '--session', 'a'],
      ['fallbacks', '--apply'],
      ['order', '--own-slot'],
      ['--own-slot', '--shared-slot'],
      ['--model', '--force'],
      ['--model', 'a b'],
      ['--session', 'a\nrm -rf x'],
      ['--agent', 'a\u0007'],
    ];
    for (const args of wrong) {
      const { code, json } = await ask([...args, '--json']);
      t.match({ code, json }, { code: 2, json: { error: { code: 'USAGE' } } }, args.join(' '));
    }
  },
);

t.test('asking writes nothing, and is for agents too', async (t) => {
  const { box, ask } = openclawOf(t, '2026.5.7');
  makeState(box.stateDir, { release: '2026.5.7' });
  const before = photograph(box.root);
  t.match((await ask(['--json'], { env: { OPENCLAW_SHELL: 'exec' } })).json, { ok: true });
  t.equal(photograph(box.root), before);
});
