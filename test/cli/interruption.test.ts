import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { withRouterLock } from '../../src/os/lock.js';
import { bare } from '../kit/process.js';
import { PROJECT, router, sandbox } from '../kit/router.js';
import { makeState, SLOT } from '../kit/state.js';
import { codexAuthJson, loginOf, people } from '../kit/tokens.js';

async function ready(t: Test, port?: number) {
  const box = sandbox(t);
  const options = { release: '2026.5.7', slot: loginOf('alice') } as const;
  const state = makeState(box.stateDir, port === undefined ? options : { ...options, port });
  const env = { ...box.env, CODEX_ROUTER_KEY: 'file' };
  await router(box, ['import', '--from', '-', '--alias', 'bob'], {
    input: codexAuthJson(loginOf('bob')),
    env,
  });
  const start = () => {
    const [file = '', ...args] = bare(
      [process.execPath, path.join(PROJECT, 'dist/codex-router.js'), 'use', 'bob'],
      env,
    );
    const child = spawn(file, args, { stdio: 'ignore' });
    t.teardown(() => child.kill('SIGKILL'));
    return { child, ended: once(child, 'exit') };
  };
  return { box, state, start };
}

/** Waits for something that must come; the test's own time limit is the deadline. */
async function until(what: () => boolean): Promise<void> {
  while (!what()) await pause(10);
}

/**
 * Whether codex-router's own signal handlers are in place: SIGHUP is the last of them, and Node itself catches the other
 * two from its start (`SigCgt`, proc(5): bit 0 is signal 1).
 */
function handlesSignals(pid: number | undefined): boolean {
  // Until env(1) has become it, it looks like something else.
  if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith(process.execPath)) return false;
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return (Number.parseInt(caught?.slice(-1) ?? '0', 16) & 1) !== 0;
}

t.test('Ctrl-C before anything is begun ends at once, and nothing was written', async (t) => {
  const { box, state, start } = await ready(t);
  const before = readFileSync(state.paths().profiles, 'utf8');
  await withRouterLock(box.routerHome, async () => {
    const { child, ended } = start();
    // It cannot get past the lock that this test holds; what it handles signals with is in place early.
    await until(() => handlesSignals(child.pid));
    child.kill('SIGINT');
    t.strictSame(await ended, [130, null]);
  });
  t.equal(readFileSync(state.paths().profiles, 'utf8'), before);
  t.notOk(existsSync(path.join(box.routerHome, 'journal.jsonl')));
});

t.test(
  "Ctrl-C while OpenClaw's lock is waited for ends it, with nothing switched and nothing half-done",
  async (t) => {
    const { box, state, start } = await ready(t);
    const lock = `${state.paths().profiles}.lock`;
    // OpenClaw's own lock, held by a process that lives: this one.
    writeFileSync(lock, JSON.stringify({ pid: process.pid, createdAt: new Date().toISOString() }), {
      mode: 0o600,
    });
    const { child, ended } = start();
    await until(() => existsSync(path.join(box.routerHome, 'journal.jsonl')));
    child.kill('SIGINT');
    t.strictSame(await ended, [130, null]);
    rmSync(lock);
    t.match(state.profiles()[SLOT], { accountId: people.alice.accountId });
    t.equal((await router(box, ['status', '--json'])).json.interrupted, null);
  },
);

/** A gateway that takes connections and never says a word: the switch then waits for it, slot already written. */
async function silentGateway(t: Test): Promise<{ port: number; called: Promise<unknown> }> {
  const server = createServer();
  const called = once(server, 'connection');
  t.teardown(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return { port: typeof address === 'object' && address !== null ? address.port : 0, called };
}

t.test('Ctrl-C in the middle of a switch finishes it first, and leaves no lock behind', async (t) => {
  const gateway = await silentGateway(t);
  const { box, state, start } = await ready(t, gateway.port);
  const { child, ended } = start();
  await gateway.called;
  child.kill('SIGINT');
  t.strictSame(await ended, [130, null]);
  t.match(state.profiles()[SLOT], { accountId: people.bob.accountId });
  t.match(readFileSync(path.join(box.routerHome, 'journal.jsonl'), 'utf8'), /"step":"applied"}\n$/);
  const left = readdirSync(box.stateDir, { recursive: true, encoding: 'utf8' });
  t.strictSame(
    left.filter((name) => /\.(lock|tmp)$/.test(name)),
    [],
  );
  t.notOk(existsSync(path.join(box.routerHome, 'router.lock')));
});

t.test('a second signal ends it there; the next command finishes what was begun', async (t) => {
  const gateway = await silentGateway(t);
  const { box, state, start } = await ready(t, gateway.port);
  const { child, ended } = start();
  await gateway.called;
  child.kill('SIGINT');
  child.kill('SIGTERM');
  // Which of the two is seen first is the kernel's choice.
  t.match(await ended, [/^(130|143)$/, null]);
  t.match(state.profiles()[SLOT], { accountId: people.bob.accountId }, 'switched, not finished');
  t.match((await router(box, ['status', '--json'])).json.interrupted, { step: 'swapped' });
  const port = { OPENCLAW_GATEWAY_PORT: '9' };
  t.match((await router(box, ['use', 'bob', '--json'], { env: port })).json, { result: 'already-active' });
  t.equal((await router(box, ['status', '--json'])).json.interrupted, null);
  t.equal(
    (await router(box, ['list', '--json'])).json.identities.length,
    2,
    'alice was imported before the switch',
  );
});

t.test('an interrupted command still prints exactly one document', async (t) => {
  const gateway = await silentGateway(t);
  const { box } = await ready(t, gateway.port);
  const run = router(box, ['use', 'bob', '--json'], {
    onStart: (kill) => void gateway.called.then(() => kill('SIGINT')),
  });
  t.match(await run, { code: 130, json: { ok: false, error: { code: 'INTERRUPTED' } } });
});

t.test('a signal in the last moments of a switch leaves one document, whichever it is', async (t) => {
  const { box } = await ready(t);
  await router(box, ['use', 'bob']);
  const journal = path.join(box.routerHome, 'journal.jsonl');
  for (let round = 0; round < 8; round += 1) {
    const before = readFileSync(journal, 'utf8').split('"step":"done"').length;
    let ended = false;
    const stop = async (kill: (signal: NodeJS.Signals) => void) => {
      await until(() => ended || readFileSync(journal, 'utf8').split('"step":"done"').length > before);
      if (!ended) kill('SIGINT');
    };
    const stopped: Promise<void>[] = [];
    const run = await router(box, ['use', '-', '--json'], {
      onStart: (kill) => void stopped.push(stop(kill)),
    });
    ended = true;
    await Promise.all(stopped);
    // Node itself may end by the signal once it is shutting down: by then the answer is out.
    t.ok([0, 130].includes(run.code ?? -1) || run.signal === 'SIGINT', `${run.code} ${run.signal}`);
    t.type(JSON.parse(run.stdout).ok, 'boolean', 'exactly one document');
  }
});
