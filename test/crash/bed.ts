import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { identityKey } from '../../src/identity.js';
import { openRepoAt } from '../../src/repo/store.js';
import { findCanary } from '../kit/canary.js';
import { real, type Tester } from '../kit/real.js';
import type { Release } from '../kit/releases.js';
import { PROJECT, type RouterRun, router, type Sandbox, sandbox } from '../kit/router.js';
import type { Login, Person } from '../kit/tokens.js';
import { testDeps } from '../repo/support.js';
import { filesBelow, type HostView, viewHost } from './host-view.js';
import type { Program } from './strace.js';

/** The Node that people run codex-router with; the suite itself runs under one that has node:sqlite. */
export const PEOPLES_NODE = process.env.CRASH_NODE ?? process.execPath;

/** An identity whose tokens must never be lost. */
export interface Known {
  readonly person: Person;
  /** Whether this refresh token is good for another login: the newest of its chain. */
  isNewest(refresh: string): boolean;
  /** It comes in with the command itself, so that it is nowhere before that has ended. */
  readonly arrives?: boolean;
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
  /** What a person may do instead of the same command again; error codes that are right answers then. */
  readonly others: readonly { readonly args: readonly string[]; readonly allow?: readonly string[] }[];
}

export interface Situation {
  readonly known: readonly Known[];
  /** For `import --from -`. */
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Called each time before the situation is put back. */
  readonly reset?: () => void;
  /** Right answers of the same command once more, beside success. */
  readonly again?: readonly string[];
  /** What is wrong after the command has succeeded, beside what is always wrong; empty is right. */
  finished(seen: Sight): readonly string[];
}

/** Everything that holds a login, seen at once. */
export interface Sight {
  readonly host: HostView;
  readonly codex: readonly { readonly place: string; readonly refresh: string }[];
  /** What each stored identity's record gives, by identity key. */
  readonly stored: ReadonlyMap<string, { readonly refresh: string }>;
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
  /** What must be true whenever no command runs; `settled` once one has come to its end since the crash. Empty is right. */
  wrongs(seen: Sight, settled: boolean): readonly string[];
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
    wrongs: (seen, settled) => [
      ...seen.problems,
      ...seen.host.problems,
      ...lost(situation.known, seen, settled),
      ...doubleHeld(seen),
      ...before.sessions
        .filter((key) => !seen.host.sessions.includes(key))
        .map((key) => `session ${key} is lost`),
      ...leaks(box, settled),
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
  return { host: viewHost(box.stateDir), codex, stored, problems };
}

/** Law 2: the newest grant of every identity is in some place that is read again. */
function lost(known: readonly Known[], seen: Sight, settled: boolean): string[] {
  const anywhere = [...seen.host.logins, ...seen.codex, ...seen.stored.values()];
  return known.flatMap(({ person, isNewest, arrives }) => {
    if (arrives && !settled) return [];
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
function leaks(box: Sandbox, settled: boolean): string[] {
  const written = box.written.filter((folder) => existsSync(folder));
  const found = findCanary(written).map(({ where, coding }) => `${where} shows a token (${coding})`);
  for (const file of filesBelow(box.stateDir)) {
    const name = path.relative(box.stateDir, file);
    if (STORE.test(name)) continue;
    // What a killed write left lies in the store's own folder, 0600, until the next write there.
    if (!settled && LEFTOVER.test(name)) continue;
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

export function keyOf({ accountId, userId }: Person): string {
  return `${accountId}/${userId}`;
}

/** An identity whose newest login is this one. */
export function newest(login: Login, more: Partial<Known> = {}): Known {
  return { person: login, isNewest: (refresh) => refresh === login.refresh, ...more };
}
