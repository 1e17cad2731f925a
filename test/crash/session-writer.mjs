/**
 * An OpenClaw at work on session stores: run by its own Node, it imports the installed release's plugin SDK and lets that read,
 * change and write, one change after the other in each store, with the pauses, the long and the empty changes of real turns.
 *   node session-writer.mjs <package> <seed> <longest pause, ms> <sessions.json>...
 * Says `go` on descriptor 3, stops when stdin ends, and then says what it found missing of what it had written, as JSON.
 */
import { readFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [root, seed, longest, ...stores] = process.argv.slice(2);
const sdk = path.join(root, 'dist', 'plugin-sdk', 'session-store-runtime.js');
const { updateSessionStore } = await import(pathToFileURL(sdk).href);

const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));
let stopped = false;
process.stdin.on('end', () => {
  stopped = true;
});
process.stdin.resume();

/** Marsaglia's xorshift: the same numbers for the same seed. */
function randomFrom(start) {
  let state = start | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

async function work(file, random) {
  const read = () => JSON.parse(readFileSync(file, 'utf8'));
  /** What this process has written last: a counter for each entry. */
  const belief = new Map(Object.entries(read()).map(([key, entry]) => [key, entry.counter]));
  const sum = { steps: 0, updatesLost: 0, entriesLost: 0, risen: 0 };
  const compare = (store) => {
    for (const [key, counter] of belief) {
      if (!Object.hasOwn(store, key)) {
        sum.entriesLost += 1;
        belief.delete(key);
      } else if (store[key].counter !== counter) {
        sum.updatesLost += 1;
        belief.set(key, store[key].counter);
      }
    }
    for (const key of Object.keys(store)) {
      if (belief.has(key)) continue;
      sum.risen += 1;
      belief.set(key, store[key].counter);
    }
  };
  for (let made = 0; !stopped; sum.steps += 1) {
    const [what, slow, rest] = [random(), random(), random()];
    const keys = [...belief.keys()];
    const key = keys[Math.floor(random() * keys.length)];
    await updateSessionStore(file, async (store) => {
      compare(store);
      if (slow < 0.3) await pause(slow * 20);
      if (what < 0.7) {
        const counter = (belief.get(key) ?? 0) + 1;
        store[key] = { ...store[key], counter, updatedAt: Date.now() };
        belief.set(key, counter);
      } else if (what < 0.8) {
        made += 1;
        store[`agent:main:made:${made}`] = { sessionId: `made-${made}`, updatedAt: Date.now(), counter: 0 };
        belief.set(`agent:main:made:${made}`, 0);
      } else if (what < 0.9 && key.includes(':made:')) {
        delete store[key];
        belief.delete(key);
      }
    });
    if (rest < 0.6) await pause((rest / 0.6) * Number(longest));
  }
  compare(read());
  return sum;
}

writeSync(3, 'go\n');
const sums = await Promise.all(
  stores.map((file, index) => work(file, randomFrom(Number(seed) * 7919 + index))),
);
writeSync(3, `${JSON.stringify(sums)}\n`);
process.exit(0);
