import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { type Owner, type Sandbox, sandbox } from '../kit/router.js';
import { makeState } from '../kit/state.js';
import { type Login, makeLogin, people } from '../kit/tokens.js';
import { startUsageBackend, type UsageReply, usageOf } from '../kit/usage-backend.js';

const COUNT = 100;
/** s that an answer may take */
const ALLOWED = 3;
const ROUNDS = Number(process.env.ROUNDS) || 6;

const say = (text: string) => void process.stdout.write(`${text}\n`);

/** What the n-th of the hundred is answered. */
type Answers = (login: Login, place: number) => UsageReply | null;

const MIXES: { readonly [name: string]: Answers } = {
  'all answer at once': () => null,
  'a tenth each: hang, trickle, break, 401, 500; a tenth takes 1 s': (login, place) =>
    [
      'hang' as const,
      'trickle' as const,
      'reset' as const,
      { status: 401, body: {} },
      { status: 500, body: {} },
      { body: usageOf(login), afterMs: 1000 },
    ][place % 10] ?? null,
  'half of them hang': (_, place) => (place % 2 === 0 ? 'hang' : null),
  'all of them hang': () => 'hang',
};

/**
 * `usage --all` of 100 identities against a loopback backend: the time of all against the slowest answer that is allowed, and the memory
 * of the process over rounds of `--watch`.
 */
export async function benchUsage(project: string): Promise<void> {
  const program = path.join(project, 'dist', 'codex-router.js');
  const logins = [...Array(COUNT).keys()].map((place) =>
    makeLogin({ ...people.bob, accountId: `acc-${place}`, userId: `user-${place}` }),
  );
  say(
    `| \`usage --all\` of ${COUNT}, an answer may take ${ALLOWED} s | s | by the slowest allowed | states |`,
  );
  say('| --- | ---: | ---: | --- |');
  for (const [name, answers] of Object.entries(MIXES)) {
    const { box, env } = await made(logins, answers);
    const started = performance.now();
    const document = await printed(
      [program, 'usage', '--all', '--timeout', String(ALLOWED), '--json'],
      box,
      env,
    );
    const seconds = (performance.now() - started) / 1000;
    const ratio = seconds / ALLOWED;
    say(`| ${name} | ${seconds.toFixed(2)} | ${ratio.toFixed(2)} | ${statesOf(document)} |`);
  }
  await memory(program, logins);
}

async function made(logins: readonly Login[], answers: Answers) {
  const box = sandbox(untilExit);
  const others = Object.fromEntries(logins.map((login, place) => [`openai-codex:${place}`, login]));
  makeState(box.stateDir, { release: '2026.5.7', slot: null, others });
  const backend = await startUsageBackend(untilExit);
  logins.forEach((login, place) => {
    const reply = answers(login, place);
    if (reply !== null) backend.answer(login, reply);
  });
  return { box, env: { ...box.env, CODEX_ROUTER_TEST_ISSUER: backend.url } };
}

/** What is garbage is collected soon, so that what grows is what is kept. */
const SMALL_HEAP = ['--max-old-space-size=32', '--max-semi-space-size=1'];

/** Resident memory after each round. */
async function memory(program: string, logins: readonly Login[]): Promise<void> {
  for (const [name, answers] of Object.entries(MIXES).slice(0, 2)) {
    const { box, env } = await made(logins, answers);
    const args = [
      program,
      'usage',
      '--all',
      '--watch',
      '--interval',
      '0.05',
      '--timeout',
      String(ALLOWED),
      '--json',
    ];
    const child = spawn(process.execPath, [...SMALL_HEAP, ...args], {
      cwd: box.home,
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const sizes: number[] = [];
    for await (const _ of createInterface({ input: child.stdout })) {
      sizes.push(residentOf(child.pid ?? 0));
      if (sizes.length >= ROUNDS) break;
    }
    child.kill('SIGKILL');
    const [first = 0, last = 0] = [sizes[0], sizes.at(-1)];
    say(
      `\n${name}: MB resident after each of ${ROUNDS} rounds: ${sizes.map((size) => size.toFixed(0)).join(', ')}`,
    );
    say(`the last by the first: ${(last / first).toFixed(2)}`);
  }
}

function residentOf(pid: number): number {
  const [, kilobytes = '0'] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}

async function printed(
  command: readonly string[],
  box: Sandbox,
  env: Record<string, string>,
): Promise<string> {
  const child = spawn(process.execPath, command, {
    cwd: box.home,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const chunks: Buffer[] = [];
  for await (const chunk of child.stdout) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function statesOf(document: string): string {
  const rows: { state: string }[] = JSON.parse(document).usage;
  const counts = new Map<string, number>();
  for (const { state } of rows) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].map(([state, count]) => `${count} ${state}`).join(', ');
}

const untilExit: Owner = { teardown: (clean) => void process.on('exit', () => void clean()) };
