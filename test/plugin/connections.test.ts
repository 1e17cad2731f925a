import path from 'node:path';
import t, { type Test } from 'tap';
import { connections } from '../../plugin/connections.js';
import type { Runs } from '../../plugin/runs.js';

const NOW = 1000;

/** Makes this process look like a gateway whose OpenClaw closes connections with `code`. */
function gateway(t: Test, code: string | null) {
  const module = { name: '@openclaw/ai', exports: { './internal/runtime': './runtime.cjs' } };
  const folder = t.testdir({
    'openclaw.cjs': '',
    ...(code === null
      ? {}
      : {
          node_modules: {
            '@openclaw': { ai: { 'package.json': JSON.stringify(module), 'runtime.cjs': code } },
          },
        }),
  });
  const { argv } = process;
  process.argv = [process.execPath, path.join(folder, 'openclaw.cjs')];
  t.teardown(() => {
    process.argv = argv;
  });
}

const closed: string[] = [];
Reflect.set(globalThis, 'closedInTest', closed);
const CLOSES = 'exports.cleanupSessionResources = (id) => void globalThis.closedInTest.push(id);';
const FAILS = 'exports.cleanupSessionResources = (id) => { if (id === "s-2") throw new Error("no"); };';

const runs = (running: readonly string[], idle: readonly string[]): Runs => ({
  running: () => running,
  idle: () => idle,
  isRunningIn: () => null,
  onEnd: () => undefined,
});

t.test('closes what is idle, and what it was asked to, and never what a turn is using', async (t) => {
  gateway(t, CLOSES);
  const { renew } = connections(runs(['s-run'], ['s-1', 's-2']), () => NOW);
  t.equal(await renew(['s-2', 's-3']), true);
  t.strictSame(closed.splice(0), ['s-1', 's-2', 's-3']);
  t.equal(await renew(['s-2', 's-run']), false);
  t.strictSame(closed.splice(0), ['s-1', 's-2']);
});

t.test('does not say that it closed what it could not', async (t) => {
  gateway(t, FAILS);
  const { renew } = connections(runs([], ['s-1']), () => NOW);
  t.equal(await renew(['s-2']), false);
  t.equal(await renew(['s-1']), true);
});

t.test('a release that has no way to close one', async (t) => {
  gateway(t, null);
  t.equal(await connections(runs([], ['s-1']), () => NOW).renew(['s-1']), false);
});
