import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { identityKey } from '../../src/identity.js';
import { openRepoAt } from '../../src/repo/store.js';
import { findCanary } from '../kit/canary.js';
import type { Issuer } from '../kit/issuer.js';
import { real, type Tester } from '../kit/real.js';
import type { Release } from '../kit/releases.js';
import { PROJECT, type RouterRun, router, type Sandbox, sandbox } from '../kit/router.js';
import type { Login, Person } from '../kit/tokens.js';
import { testDeps } from '../repo/support.js';
import { filesBelow, type HostView, viewHost } from './host-view.js';
import { type Program, type WriteCall, writeCalls } from './strace.js';

/** The Node that people run codex-router with; the suite itself runs under one that has node:sqlite. */
export const PEOPLES_NODE = process.env.CRASH_NODE ?? process.execPath;

/** An identity whose tokens must never be lost. */
export interface Known {
  readonly person: Person;
  /** Whether this refresh token is good for another login: the newest of its chain. */
  isNewest(refresh: string): boolean;
  /** It comes in with the command itself, so that it is nowhere before that has ended. */
  readonly arrives?: boolean;
  /** A sealed back-up of it is enough: the command lets it give way. */
  readonly sealed?: boolean;
}

/** One command in one situation. */
export interface Scenario {
  readonly name: string;
  /** The release whose own code must be able to read the host whenever codex-router was killed. */
  readonly eyes?: Release;
  /** Makes the situation in an empty sandbox; null when a real part that it takes is missing (see `real`). */
  prepare(t: Tester, box: Sandbox, env: Readonly<Record<string, string>>): Promise<Situation | null>;
  readonly args: readonly string[];
  readonly node?: string;
  /** Only every so many calls are killed at, unless CRASH_LONG is set; all without it. */
  readonly every?: number;
  /** What a person may do instead of the same command again; error codes that are right answers then. */
  readonly others: readonly { readonly args: readonly string[]; readonly allow?: readonly string[] }[];
}

export interface Situation {
  readonly known: readonly Known[];
  /** For `import --from -`. */
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Whose refusals of a token that was spent already are counted. */
  readonly issuer?: Issuer;
  /** Called each time before the situation is put back. */
  readonly reset?: () => void;
  /** Right answers of the same command once more, beside success. */
  readonly again?: readonly string[];
  /** What is wrong after the command has succeeded, beside what is always wrong; empty is right. */
  finished(seen: Sight): readonly string[];
}

/**
 * `killed`: what it was about to write may lie half-written beside its place. `failed`: it has tidied up, but did not do what it was
 * to do. `done`: that too.
 */
export type After = 'killed' | 'failed' | 'done';

/** Everything that holds a login, seen at once. */
export interface Sight {
  readonly host: HostView;
  readonly codex: readonly { readonly place: string; readonly refresh: string }[];
  /** What each stored identity's record gives, by identity key. */
  readonly stored: ReadonlyMap<string, { readonly refresh: string }>;
  /** What the sealed back-ups give. */
  readonly sealed: readonly { readonly refresh: string }[];
  readonly problems: readonly string[];
}

/** A sandbox that is put back into one situation again and again. */
export interface Bed {
  readonly box: Sandbox;
  readonly situation: Situation;
  /** Back to how the scenario begins, or to how `keep` saw it last. */
  restore(what?: 'kept'): void;
  keep(): void;
  /** The scenario's command, from the beginning. */
  readonly program: Program;
  /** A command as a person runs it. */
  run(args: readonly string[]): Promise<RouterRun>;
  look(): Promise<Sight>;
  /** What must be true whenever no command runs; empty is right. */
  wrongs(seen: Sight, after: After): readonly string[];
  /**
   * Makes every lock of codex-router as old as if its holder had died a minute ago. A killed holder's lock is waited out for
   * ten seconds, which one test proves; here that would be hours.
   */
  ageLocks(): void;
}

const TAKING = '.auth.json.codex-router-taking';

export async function bedFor(t: Tester, scenario: Scenario): Promise<Bed | null> {
  if (real(t, 'strace') === null) return null;
  const box = sandbox(t);
  const aside = mkdtempSync(path.join(tmpdir(), 'codex-router-bed-'));
  t.teardown(() => rmSync(aside, { recursive: true, force: true }));
  const router0 = { ...box.env, CODEX_ROUTER_KEY: 'file' };
  const situation = await scenario.prepare(t, box, router0);
  if (situation === null) return null;
  const env = { ...router0, ...situation.env };
  const node = scenario.node ?? PEOPLES_NODE;
  copy(box.root, path.join(aside, 'start'));
  const before = viewHost(box.stateDir);
  const openBefore = open(box);

  const bed: Bed = {
    box,
    situation,
    program: {
      command: [node, path.join(PROJECT, 'dist', 'codex-router.js'), ...scenario.args],
      env,
      cwd: box.home,
      ...(situation.input === undefined ? {} : { input: situation.input }),
      reset: () => {
        situation.reset?.();
        bed.restore();
      },
    },
    restore: (what) => {
      for (const name of readdirSync(box.root)) rmSync(path.join(box.root, name), { recursive: true });
      copy(path.join(aside, what ?? 'start'), box.root);
    },
    keep: () => {
      rmSync(path.join(aside, 'kept'), { recursive: true, force: true });
      copy(box.root, path.join(aside, 'kept'));
    },
    run: (args) =>
      router(box, args, {
        env,
        node,
        ...(situation.input !== undefined && args.includes('-') ? { input: situation.input } : {}),
      }),
    look: async () => look(box),
    wrongs: (seen, after) => [
      ...seen.problems,
      ...seen.host.problems,
      ...lost(situation.known, seen, after),
      ...doubleHeld(seen),
      ...before.sessions
        .filter((key) => !seen.host.sessions.includes(key))
        .map((key) => `session ${key} is lost`),
      ...leaks(box, after),
      ...open(box).filter((wrong) => !openBefore.includes(wrong)),
    ],
    ageLocks: () => {
      const old = new Date(Date.now() - 60_000);
      if (!existsSync(box.routerHome)) return;
      for (const entry of readdirSync(box.routerHome, { recursive: true, withFileTypes: true })) {
        const folder = path.basename(entry.parentPath);
        if (entry.isDirectory() && (entry.name === 'router.lock' || folder === 'locks'))
          utimesSync(path.join(entry.parentPath, entry.name), old, old);
      }
    },
  };
  return bed;
}

/** Times and modes too: the repo asks whether a record is newer than the index. */
function copy(from: string, to: string): void {
  const { status, stderr } = spawnSync('cp', ['-a', `${from}/.`, `${to}/`], { encoding: 'utf8' });
  if (status === 0) return;
  const made = spawnSync('cp', ['-a', from, to], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`${stderr}${made.stderr}`);
}

async function look(box: Sandbox): Promise<Sight> {
  const problems: string[] = [];
  const stored = new Map<string, { refresh: string }>();
  const sealed: { refresh: string }[] = [];
  const folders = { data: box.routerHome, config: path.join(box.env.XDG_CONFIG_HOME ?? '', 'codex-router') };
  if (existsSync(path.join(box.routerHome, 'vault.json'))) {
    try {
      const repo = await openRepoAt(testDeps({ folders, now: Date.now, firstRun: null })).open();
      for (const { identity } of await repo.list()) {
        const key = identityKey(identity);
        try {
          const { grant } = await repo.load(key);
          stored.set(key, { refresh: grant.refreshToken.reveal() });
        } catch (error) {
          problems.push(`${key} does not open: ${error}`);
        }
      }
      for (const backUp of await repo.backUps()) {
        if (backUp.trouble !== null) problems.push(`back-up ${backUp.id}: ${backUp.trouble}`);
        else sealed.push({ refresh: (await repo.openBackUp(backUp.id)).grant.refreshToken.reveal() });
      }
    } catch (error) {
      problems.push(`the repo does not open: ${error}`);
    }
  }
  const codex = ['auth.json', TAKING].flatMap((name) => {
    const file = path.join(box.codexHome, name);
    if (!existsSync(file)) return [];
    try {
      return [{ place: name, refresh: String(JSON.parse(readFileSync(file, 'utf8')).tokens.refresh_token) }];
    } catch (error) {
      problems.push(`${name}: ${error}`);
      return [];
    }
  });
  return { host: viewHost(box.stateDir), codex, stored, sealed, problems };
}

/** Law 2: the newest grant of every identity is in some place that is read again. */
function lost(known: readonly Known[], seen: Sight, after: After): string[] {
  const inUse = [...seen.host.logins, ...seen.codex, ...seen.stored.values()];
  return known.flatMap(({ person, isNewest, arrives, sealed }) => {
    const anywhere = sealed ? [...inUse, ...seen.sealed] : inUse;
    if (arrives && after !== 'done') return [];
    return anywhere.some(({ refresh }) => isNewest(refresh))
      ? []
      : [`${person.email}: its newest grant is lost`];
  });
}

/**
 * Law 1: each grant lies in one program's store. The stored copy of what a slot holds is the same holder's, and what an import that takes
 * a login over has set aside is nobody's any more.
 */
function doubleHeld(seen: Sight): string[] {
  const outside = [...seen.host.logins, ...seen.codex.filter(({ place }) => place !== TAKING)];
  return outside
    .filter(({ refresh }, index) => outside.findIndex((other) => other.refresh === refresh) !== index)
    .map(({ place }) => `${place} holds a grant that lies in another place too`);
}

/** Law 5, and that no plaintext stays in the host beside its own stores. */
function leaks(box: Sandbox, after: After): string[] {
  const written = box.written.filter((folder) => existsSync(folder));
  const found = findCanary(written).map(({ where, coding }) => `${where} shows a token (${coding})`);
  for (const file of filesBelow(box.stateDir)) {
    const name = path.relative(box.stateDir, file);
    if (STORE.test(name)) continue;
    // What a killed write left lies in the store's own folder, 0600, until the next write there.
    if (after === 'killed' && LEFTOVER.test(name)) continue;
    if (readFileSync(file).includes('CANARY')) found.push(`${name} holds a token`);
  }
  return found;
}

const STORE =
  /(^|\/)(auth-profiles\.json(\.migrated-.*)?|openclaw(-agent)?\.sqlite(-wal|-shm|-journal)?|openclaw\.json(\.bak.*)?)$/;
const LEFTOVER = /\/\.auth-profiles\.json\.[-0-9a-f]{36}\.tmp$/;

/** Nothing of ours is open to others, and nothing of the host's was opened to them. */
function open(box: Sandbox): string[] {
  return [...box.written, box.stateDir, box.codexHome]
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder, { recursive: true, withFileTypes: true }))
    .flatMap((entry) => {
      const file = path.join(entry.parentPath, entry.name);
      const mode = entry.isSymbolicLink() ? 0 : statSync(file).mode & 0o077;
      // proper-lockfile makes its empty folder with the umask's mode.
      const lock = entry.name === 'router.lock' || path.basename(entry.parentPath) === 'locks';
      if (mode === 0 || (entry.isDirectory() && lock)) return [];
      return [`${path.relative(box.root, file)} is open to others (${mode.toString(8)})`];
    });
}

/**
 * What a kill cannot show, because the system's memory outlives it, and a power cut would: each file that is put in its place by a rename was
 * flushed after its last write, and the folder after the rename.
 */
function notDurable(calls: readonly WriteCall[]): readonly string[] {
  return calls.flatMap(({ name, what }, index) => {
    const [, from = '', to = ''] = what.split(' ');
    if (!name.startsWith('rename') || !from.endsWith('.tmp')) return [];
    const before = calls.slice(0, index).map((call) => call.what);
    const isFlushed = before.lastIndexOf(`fsync ${from}`) > before.lastIndexOf(`write ${from}`);
    const after = calls.slice(index + 1).map((call) => call.what);
    const isKept = after.includes(`fsync ${path.dirname(to)}`);
    return [
      ...(isFlushed ? [] : [`${to} is put in its place before it is flushed`]),
      ...(isKept ? [] : [`the name of ${to} is not flushed`]),
    ];
  });
}

/** Those whose name holds one of the words of CRASH_ONLY, `|` between them; all of them without it. */
export function chosen(scenarios: Readonly<Record<string, Scenario>>): readonly Scenario[] {
  const words = process.env.CRASH_ONLY?.split('|') ?? [''];
  return Object.values(scenarios).filter(({ name }) => words.some((word) => name.includes(word)));
}

/** Two beds of one scenario, for two processors; none when a real part is missing (see `real`). */
export async function twoBeds(t: Tester, scenario: Scenario): Promise<readonly Bed[]> {
  const first = await bedFor(t, scenario);
  const second = first && (await bedFor(t, scenario));
  return first === null || second === null ? [] : [first, second];
}

/** Does the work on each item once, each bed the next item as soon as it is free. */
export async function inParallel<T>(
  beds: readonly Bed[],
  items: readonly T[],
  work: (bed: Bed, item: T) => Promise<void>,
): Promise<void> {
  const waiting = [...items];
  await Promise.all(
    beds.map(async (bed) => {
      for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(bed, item);
    }),
  );
}

/** The calls of a whole run, whose end must be right before anything is broken. */
export async function callsOf(bed: Bed): Promise<readonly WriteCall[]> {
  const calls = await writeCalls(bed.program, bed.box.root);
  const seen = await bed.look();
  const wrongs = [...bed.wrongs(seen, 'done'), ...bed.situation.finished(seen), ...notDurable(calls)];
  if (wrongs.length > 0) throw new Error(wrongs.join('\n'));
  return calls;
}

export function keyOf({ accountId, userId }: Person): string {
  return `${accountId}/${userId}`;
}

/** An identity whose newest login is this one. */
export function newest(login: Login, more: Partial<Known> = {}): Known {
  return { person: login, isNewest: (refresh) => refresh === login.refresh, ...more };
}
