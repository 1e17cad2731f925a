import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { identityKey } from '../../src/identity.js';
import { openRepoAt } from '../../src/repo/store.js';
import { findCanary } from '../kit/canary.js';
import type { Issuer } from '../kit/issuer.js';
import { bare } from '../kit/process.js';
import type { Tester } from '../kit/real.js';
import type { JsonDocument, Owner, Sandbox } from '../kit/router.js';
import type { Stores } from '../kit/stores.js';
import type { Person } from '../kit/tokens.js';
import { testDeps } from '../repo/support.js';

/** Numbers from 0 to 1, the same for the same seed (Lehmer). */
export function chances(seed: number): () => number {
  let state = (seed % 2_147_483_646) + 1;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

export function oneOf<T>(chance: () => number, list: readonly T[]): T {
  const found = list[Math.min(list.length - 1, Math.floor(chance() * list.length))];
  if (found === undefined) throw new Error('there is nothing to choose from');
  return found;
}

/** People of an account each, as many as are wanted. */
export function crowd(count: number): readonly Person[] {
  return Array.from({ length: count }, (_, index) => ({
    accountId: `${String(index).padStart(8, '0')}-cccc-4ccc-8ccc-111111111111`,
    userId: `user-crowd-${index}`,
    email: `crowd${index}@example.test`,
    plan: 'plus',
  }));
}

export function keyOf({ accountId, userId }: Pick<Person, 'accountId' | 'userId'>): string {
  return `${accountId}/${userId}`;
}

export interface Ran {
  readonly args: readonly string[];
  readonly status: number;
  readonly json: JsonDocument;
}

/** A process that carries out one command line after the other as the program does. */
export interface Worker {
  /** @throws when it ended, showed a secret, or printed anything but one document */
  run(args: readonly string[]): Promise<Ran>;
}

/** Starts `count` workers under `node` in the sandbox; they end with the test. */
export async function startWorkers(
  t: Tester,
  box: Sandbox,
  node: string,
  count: number,
): Promise<readonly Worker[]> {
  const folder = mkdtempSync(path.join(tmpdir(), 'codex-router-race-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const outfile = path.join(folder, 'worker.mjs');
  await build({
    entryPoints: [fileURLToPath(new URL('./race-worker.ts', import.meta.url))],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external: ['keytar'],
    // Packages in CommonJS ask for Node's own modules with it.
    banner: {
      js: "import { createRequire } from 'node:module';const require = createRequire(import.meta.url);globalThis.__zod_globalConfig = { jitless: true };",
    },
    logLevel: 'error',
  });
  return Array.from({ length: count }, (_, index) => startWorker(t, box, [node, outfile], folder, index));
}

function startWorker(
  t: Tester,
  box: Sandbox,
  command: readonly string[],
  folder: string,
  index: number,
): Worker {
  const talkFile = path.join(folder, `talk.${index}`);
  const talk = openSync(talkFile, 'a');
  const [file = '', ...args] = bare(command, box.env);
  const child = spawn(file, args, { cwd: box.home, stdio: ['pipe', 'pipe', talk] });
  closeSync(talk);
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error('no pipes');
  const ask = conversation(t, child, stdin, stdout);
  const end = /\0(\d+)\n/;
  return {
    run: async (line) => {
      const heard = await ask(
        `${JSON.stringify({ args: line })}\n`,
        end,
        () => `the worker ended: ${readFileSync(talkFile, 'utf8').slice(-3000)}`,
      );
      const [, status] = end.exec(heard) ?? [];
      const printed = heard.replace(end, '');
      const said = readFileSync(talkFile, 'utf8').slice(-10_000);
      const leaks = findCanary([], { strings: { printed, said } });
      if (leaks.length > 0) throw new Error(`${line.join(' ')} showed a secret: ${JSON.stringify(leaks)}`);
      return { args: line, status: Number(status), json: JSON.parse(printed) };
    },
  };
}

/** What to send to a child, and the end of its answer; it is let end with the test. Throws what `gone` says when it ended before. */
function conversation(
  t: Owner,
  child: ChildProcess,
  stdin: Writable,
  answers: Readable,
): (line: string, end: RegExp, gone: () => string) => Promise<string> {
  let heard = '';
  let hasEnded = false;
  let wake: () => void = () => undefined;
  answers.setEncoding('utf8').on('data', (text: string) => {
    heard += text;
    wake();
  });
  child.on('close', () => {
    hasEnded = true;
    wake();
  });
  const closed = once(child, 'close');
  t.teardown(async () => {
    stdin.end();
    const patience = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await closed;
    clearTimeout(patience);
  });
  return async (line, end, gone) => {
    heard = '';
    stdin.write(line);
    while (!end.test(heard)) {
      if (hasEnded) throw new Error(gone());
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return heard;
  };
}

/** A real release that uses the login in its slot, and refreshes it when it is about to expire (race-host.mjs). */
export interface HostTurns {
  /** `count` turns at once; what went wrong with each, or null. */
  take(count: number): Promise<readonly (string | null)[]>;
}

const HOST = fileURLToPath(new URL('./race-host.mjs', import.meta.url));
const REDIRECT = fileURLToPath(new URL('../kit/redirect-guarded.mjs', import.meta.url));

export function hostTurns(
  t: Owner,
  box: Sandbox,
  issuer: Issuer,
  { node, root, profileId }: { readonly node: string; readonly root: string; readonly profileId: string },
): HostTurns {
  const env = {
    PATH: '/usr/bin:/bin',
    HOME: box.home,
    TMPDIR: box.tmp,
    XDG_CONFIG_HOME: box.env.XDG_CONFIG_HOME ?? '',
    CODEX_HOME: box.codexHome,
    OPENCLAW_STATE_DIR: box.stateDir,
    NO_COLOR: '1',
    NODE_OPTIONS: `--import=${REDIRECT}`,
    TEST_ISSUER_URL: issuer.url,
  };
  const [file = '', ...args] = bare([node, HOST, root, profileId], env);
  const child = spawn(file, args, { cwd: box.home, stdio: ['pipe', 'ignore', 'ignore', 'pipe'] });
  const [stdin, , , answers] = child.stdio;
  if (!(stdin instanceof Writable) || !(answers instanceof Readable)) throw new Error('no pipes');
  const ask = conversation(t, child, stdin, answers);
  return {
    take: async (count) => {
      const ended = () => `the host ended (${child.exitCode ?? child.signalCode})`;
      const heard = await ask(`${count}\n`, /\n/, ended);
      const outcomes = JSON.parse(heard) as readonly { readonly had?: boolean; readonly error?: string }[];
      return outcomes.map(({ had, error }) => error ?? (had ? null : 'no key'));
    },
  };
}

/** What lies where once everything is quiet. */
export interface Books {
  /** Refresh tokens of the repo by identity key. */
  readonly stored: ReadonlyMap<string, string>;
  /** Every login of every store of the host. */
  readonly held: readonly { readonly place: string; readonly refresh: string; readonly accountId: string }[];
  /** The account in the slot; null when it holds no login. */
  readonly active: string | null;
}

/** Reads everything. Nothing may run meanwhile. */
export async function readBooks(box: Sandbox, stores: Stores): Promise<Books> {
  const folders = { data: box.routerHome, config: path.join(box.env.XDG_CONFIG_HOME ?? '', 'codex-router') };
  const repo = await openRepoAt(testDeps({ folders, now: Date.now, firstRun: null })).open();
  const stored = new Map<string, string>();
  for (const { identity } of await repo.list()) {
    const key = identityKey(identity);
    stored.set(key, (await repo.load(key)).grant.refreshToken.reveal());
  }
  const held = stores
    .agents()
    .flatMap((agent) =>
      Object.entries(stores.profiles(agent)).flatMap(([profileId, { refresh, accountId }]) =>
        typeof refresh === 'string'
          ? [{ place: `${agent}/${profileId}`, refresh, accountId: String(accountId) }]
          : [],
      ),
    );
  const { accountId } = stores.slot() ?? {};
  return { stored, held, active: typeof accountId === 'string' ? accountId : null };
}

/**
 * What is wrong with the books: an identity whose newest grant is nowhere, or lies only where nobody would use it; a grant with two
 * holders; a slot that is none. Each person has one grant at the issuer, so the live token of its chain is the newest.
 */
export function wrongIn(books: Books, issuer: Issuer, persons: readonly Person[], slot: string): string[] {
  const wrong: string[] = [];
  const slots = books.held.filter(({ place }) => place === slot);
  if (slots.length !== 1) wrong.push(`the slot holds ${slots.length} logins`);
  for (const person of persons) {
    const stored = books.stored.get(keyOf(person));
    const held = books.held.filter(({ accountId }) => accountId === person.accountId);
    const newest = held[0]?.refresh ?? stored;
    if (newest === undefined) wrong.push(`${person.email} is nowhere`);
    else if (!issuer.isLive(newest)) {
      const where = held.length > 0 ? 'slot' : 'repo';
      const elsewhere = stored !== undefined && issuer.isLive(stored) ? ', the repo has a live one' : '';
      wrong.push(`${person.email}: the grant in the ${where} is spent${elsewhere}`);
    }
    if (held.length > 1)
      wrong.push(`${person.email} lies in ${held.map(({ place }) => place).join(' and ')}`);
    if (held.length === 1 && held[0]?.refresh !== stored)
      wrong.push(`${person.email}: what is in the slot was not brought home`);
  }
  return wrong;
}

/** How many of `persons` cannot be logged in any more with anything that lies anywhere. */
export function lostIn(books: Books, issuer: Issuer, persons: readonly Person[]): number {
  return persons.filter((person) => {
    const held = books.held.filter(({ accountId }) => accountId === person.accountId);
    const copies = [books.stored.get(keyOf(person)), ...held.map(({ refresh }) => refresh)];
    return !copies.some((token) => token !== undefined && issuer.isLive(token));
  }).length;
}
