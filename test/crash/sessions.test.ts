import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { jsonPins } from '../../src/openclaw/sessions.js';
import type { PinOutcome } from '../../src/slot/pins.js';
import { bare } from '../kit/process.js';
import { real } from '../kit/real.js';
import { type Release, releasesToRun, traitsOf } from '../kit/releases.js';
import { leaksOf, router, type Sandbox, sandbox } from '../kit/router.js';
import { makeState, SLOT } from '../kit/state.js';
import { codexAuthJson, loginOf } from '../kit/tokens.js';
import { figure, LONGER, SEED } from './figures.js';

/** Those that write sessions.json without a lock that another process could take. */
const RELEASES = releasesToRun().filter(
  (release) => traitsOf(release).timedSessions && traitsOf(release).layout !== 'sqlite-shared',
);
/** Of racing, all releases together. */
const RACE_MS = 56_000 * LONGER;
const USES = Math.round(6 * LONGER);
const STORES = 20;
const ENTRIES = 40;
/** The longest pause between two writes of the host in one store: some ten a second, as at its busiest. */
const PAUSE_MS = 200;

interface Found {
  readonly steps: number;
  readonly updatesLost: number;
  readonly entriesLost: number;
  readonly risen: number;
}

const WRITER = fileURLToPath(new URL('./session-writer.mjs', import.meta.url));

/** The release itself at work on stores, until `stop`, which gives what it found missing; null when it is not installed. */
async function hostAtWork(t: Test, release: Release, home: string, files: readonly string[]) {
  const name = `openclaw-${release}` as const;
  const found = real(t, 'node24', name);
  if (found === null) return null;
  const { node24, [name]: entry } = found;
  const args = [node24, WRITER, path.dirname(entry), String(SEED), String(PAUSE_MS), ...files];
  const env = { PATH: '/usr/bin:/bin', HOME: home, OPENCLAW_STATE_DIR: path.join(home, 'state') };
  const [program = '', ...rest] = bare(args, env);
  const child = spawn(program, rest, { stdio: ['pipe', 'ignore', 'inherit', 'pipe'] });
  const closed = once(child, 'close');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  const [stdin, , , answers] = child.stdio;
  if (!(answers instanceof Readable)) throw new Error('no pipe');
  const lines = createInterface({ input: answers })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`the host ended (${child.exitCode ?? child.signalCode})`);
    return value;
  };
  await next();
  return {
    pid: child.pid,
    stop: async (): Promise<Found> => {
      stdin?.end();
      const sums: readonly Found[] = JSON.parse(await next());
      const total = (name: keyof Found) => sums.reduce((sum, found) => sum + found[name], 0);
      return {
        steps: total('steps'),
        updatesLost: total('updatesLost'),
        entriesLost: total('entriesLost'),
        risen: total('risen'),
      };
    },
  };
}

const keyOf = (index: number) => `agent:main:telegram:direct:${index}`;

function entries(): Record<string, object> {
  const entry = (index: number) => ({ sessionId: `s${index}`, updatedAt: Date.now(), counter: 0 });
  return Object.fromEntries(Array.from({ length: ENTRIES }, (_, index) => [keyOf(index), entry(index)]));
}

const pinIn = (file: string, key: string): unknown =>
  JSON.parse(readFileSync(file, 'utf8'))[key]?.authProfileOverride;

/** What was said to be set in one store, and what came of it. */
interface Tally {
  readonly promised: Map<string, string>;
  steps: number;
  repaired: number;
  broken: number;
  pending: number;
}

function settle(file: string, tally: Tally): void {
  for (const [key, id] of tally.promised) {
    if (pinIn(file, key) === id) continue;
    tally.broken += 1;
    tally.promised.delete(key);
  }
}

/** Pins two sessions after the other, now to the one login and now to the other, for as long as there is time. */
async function pinAway(file: string, end: number): Promise<Tally> {
  const pins = jsonPins({
    agent: 'main',
    path: file,
    uid: process.getuid?.() ?? null,
    torn: { tornMs: 1000 },
    lock: { waitMs: 5000 },
    gatewayRuns: async () => true,
  });
  const tally: Tally = { promised: new Map(), steps: 0, repaired: 0, broken: 0, pending: 0 };
  for (let step = SEED; performance.now() < end; step += 1) {
    settle(file, tally);
    const id = step % 2 === 0 ? SLOT : 'openai-codex:another';
    const keys = [...new Set([keyOf(step % ENTRIES), keyOf((step * 7 + 3) % ENTRIES)])];
    const set = await pins.set(keys, id);
    const kept: readonly PinOutcome[] = (await pins.keep?.(set, id)) ?? set;
    for (const { key, result, repaired = 0 } of kept) {
      if (result === 'pending') tally.pending += 1;
      if (result === 'set' || result === 'already') tally.promised.set(key, id);
      else tally.promised.delete(key);
      tally.repaired += repaired;
    }
    tally.steps += 1;
  }
  return tally;
}

/** One more turn of everybody. */
const moment = () => new Promise((wake) => setTimeout(wake, 500));

for (const release of RELEASES) {
  t.test(`${release}: neither the host nor we lose what the other has written to its sessions`, async (t) => {
    const box = sandbox(t);
    const files = Array.from({ length: STORES }, (_, index) => {
      const folder = path.join(box.root, `sessions-${index}`);
      mkdirSync(folder);
      const file = path.join(folder, 'sessions.json');
      writeFileSync(file, JSON.stringify(entries(), null, 2), { mode: 0o600 });
      return file;
    });
    const host = await hostAtWork(t, release, box.home, files);
    if (host === null) return;
    const end = performance.now() + RACE_MS / RELEASES.length;
    const tallies = await Promise.all(files.map((file) => pinAway(file, end)));
    await moment();
    for (const [index, file] of files.entries()) settle(file, tallies[index] ?? raise());
    const found = await host.stop();
    const ours = (name: 'steps' | 'repaired' | 'broken' | 'pending') =>
      tallies.reduce((sum, tally) => sum + tally[name], 0);
    figure('race steps', ours('steps') + found.steps);
    figure('session entries lost', found.entriesLost + found.updatesLost + ours('broken'));
    figure('session losses repaired', ours('repaired'));
    t.comment(
      `seed ${SEED}: ${ours('steps')} times pinned, ${found.steps} writes of the host, ` +
        `${ours('repaired')} pins put back, ${ours('pending')} pending`,
    );
    t.equal(found.entriesLost, 0, 'no entry of the host is gone');
    t.equal(found.updatesLost, 0, 'every counter is what the host has written last');
    t.equal(found.risen, 0, 'nothing that the host deleted has come back');
    t.equal(ours('broken'), 0, 'every pin that was said to be set stays');
    t.ok(ours('repaired') > 0, 'the host did write over pins');
    t.ok(ours('pending') < ours('steps'), 'and few were given up');
  });
}

function raise(): never {
  throw new Error('no such store');
}

/** What a gateway through 7.35 shows of itself; nothing answers at its port. */
function holdGatewayLock(box: Sandbox, configPath: string, pid: number | undefined): void {
  const folder = path.join(box.tmp, `openclaw-${process.getuid?.()}`);
  mkdirSync(folder, { mode: 0o700 });
  const hash = createHash('sha256').update(configPath).digest('hex').slice(0, 8);
  const lock = { pid, createdAt: new Date().toISOString(), configPath };
  writeFileSync(path.join(folder, `gateway.${hash}.lock`), JSON.stringify(lock), { mode: 0o600 });
}

t.test(
  'codex-router use beside a host in the middle of its turns: every session is pinned and none lost',
  async (t) => {
    const release = '2026.5.7';
    const box = sandbox(t);
    box.env.CODEX_ROUTER_KEY = 'file';
    const [alice, bob] = [loginOf('alice'), loginOf('bob-team')];
    const state = makeState(box.stateDir, { release, slot: alice });
    const file = state.paths().sessions;
    writeFileSync(file, JSON.stringify(entries(), null, 2));
    t.equal((await router(box, ['import', '--from', '-'], { input: codexAuthJson(bob) })).code, 0);
    const host = await hostAtWork(t, release, box.home, [file]);
    if (host === null) return;
    holdGatewayLock(box, state.configPath, host.pid);
    const tally: Tally = { promised: new Map(), steps: 0, repaired: 0, broken: 0, pending: 0 };
    for (let index = 0; index < USES; index += 1) {
      settle(file, tally);
      const key = keyOf(index % ENTRIES);
      const who = index % 2 === 0 ? bob : alice;
      const { json } = await router(box, ['use', who.accountId, '--session', key, '--json']);
      t.match(json, { ok: true, to: { userId: who.userId } });
      tally.steps += 1;
      for (const { key, result } of json.pins) {
        if (result === 'pending') tally.pending += 1;
        if (result === 'set' || result === 'already') tally.promised.set(key, SLOT);
      }
      for (const { code, text } of json.notes) {
        if (code === 'PINS_REPAIRED') tally.repaired += Number.parseInt(text, 10) || 0;
      }
    }
    await moment();
    settle(file, tally);
    const found = await host.stop();
    figure('race steps', tally.steps + found.steps);
    figure('session entries lost', found.entriesLost + found.updatesLost + tally.broken);
    figure('session losses repaired', tally.repaired);
    t.comment(`seed ${SEED}: ${found.steps} writes of the host, ${tally.repaired} pins put back`);
    t.match(found, { entriesLost: 0, updatesLost: 0, risen: 0 });
    t.equal(tally.broken, 0, 'every pin that was said to be set stays');
    t.ok(tally.promised.size > 0);
    t.same(leaksOf(box), []);
  },
);
