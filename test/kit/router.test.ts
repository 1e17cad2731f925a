import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { leaksOf, type Owner, program, sandbox, withoutEscapes } from './router.js';
import { CANARY } from './tokens.js';

/** The kit runs any program the way it runs codex-router: these are programs that misbehave. */
const run = (
  t: Owner,
  code: string,
  args: readonly string[] = [],
  more: Parameters<typeof program>[3] = {},
) => {
  const box = sandbox(t);
  const file = path.join(box.root, 'program.mjs');
  writeFileSync(file, code);
  return program(box, [process.execPath, file], args, more);
};

t.test('a program gets only the environment of its sandbox, and its input', async (t) => {
  const code = `let i='';for await (const c of process.stdin) i+=c;
    console.log(JSON.stringify({schemaVersion:1,ok:true,i,env:process.env}))`;
  const { json, code: exit } = await run(t, code, ['--json'], {
    input: 'typed',
    env: { EXTRA: '1', XDG_CACHE_HOME: undefined },
  });
  t.equal(exit, 0);
  t.equal(json.i, 'typed');
  t.strictSame(Object.keys(json.env).sort(), [
    ...['CODEX_HOME', 'CODEX_ROUTER_HOME', 'EXTRA', 'HOME', 'LANG', 'OPENCLAW_STATE_DIR', 'PATH', 'TMPDIR'],
    ...['XDG_CONFIG_HOME', 'XDG_DATA_HOME', 'XDG_RUNTIME_DIR', 'XDG_STATE_HOME'],
  ]);
});

t.test('a secret on stdout or stderr fails the run, plain or coded', async (t) => {
  await t.rejects(run(t, `console.log('rt_${CANARY}')`), /showed a secret.*stdout/);
  await t.rejects(
    run(t, `console.error(Buffer.from('x${CANARY}').toString('base64'))`),
    /showed a secret.*stderr/,
  );
});

t.test('anything but exactly one valid document fails a run with --json', async (t) => {
  const bad = [
    `console.log('{"schemaVersion":1,"ok":true}\\n{"schemaVersion":1,"ok":true}')`,
    `console.log('note'); console.log('{"schemaVersion":1,"ok":true}')`,
    `console.log('{"schemaVersion":2,"ok":true}')`,
    `console.log('{"schemaVersion":1,"ok":true}'); process.exitCode = 3`,
    `console.log('{"schemaVersion":1,"ok":false,"error":{"code":"USAGE","message":"m"}}')`,
    `console.log('{"schemaVersion":1,"ok":false,"error":{"message":"m"}}'); process.exitCode = 2`,
    '',
  ];
  for (const code of bad) await t.rejects(run(t, code, ['--json']), Error, code);
  const good = `console.log('{"schemaVersion":1,"ok":false,"error":{"code":"USAGE","message":"m"}}'); process.exitCode = 2`;
  t.match(await run(t, good, ['--json']), { code: 2, json: { error: { code: 'USAGE' } } });
});

t.test('a program that does not end is ended and fails the run', async (t) => {
  await t.rejects(run(t, 'setInterval(() => 0, 1000)', [], { timeout: 500 }), /did not end/);
});

t.test('on a terminal the program sees one, and is answered', async (t) => {
  const code = `import { createInterface } from 'node:readline/promises';
    const r = createInterface({ input: process.stdin, output: process.stderr });
    const a = await r.question('Who? '); const b = await r.question('Sure? '); r.close();
    console.log([a, b, process.stdin.isTTY, process.stdout.isTTY, process.stderr.columns].join('|')); process.exitCode = 6`;
  const tty = [
    { after: 'Who? ', send: 'alice\r' },
    { after: /Sure\? $/, send: 'y\r' },
  ];
  const whole = await run(t, code, [], { tty });
  t.equal(whole.code, 6);
  t.match(whole.stdout, 'alice|y|true|true|80');
  const split = await run(t, code, ["it's"], { tty, splitStdout: true });
  t.equal(split.code, 6);
  t.equal(split.stdout, 'alice|y|true||80\n');
  t.match(withoutEscapes(split.stderr), 'Sure? y');
  await t.rejects(run(t, `console.log('bye')`, [], { tty }), /never showed Who/);
});

t.test('what is left in the folders of codex-router is searched, and a sandbox is removed', async (t) => {
  let root = '';
  await t.test('inside', async (t) => {
    const box = sandbox(t);
    root = box.root;
    t.strictSame(leaksOf(box), []);
    writeFileSync(path.join(box.tmp, 'left'), CANARY);
    t.match(leaksOf(box), [{ where: path.join(box.tmp, 'left') }]);
  });
  t.throws(() => readdirSync(root), { code: 'ENOENT' });
});
