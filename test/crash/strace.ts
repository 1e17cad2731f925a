import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { outputOf, type ProcessRun, runProcess } from '../kit/process.js';

/** A system call that can change what a crash leaves behind, on a file below the root that is watched or on a socket. */
export interface WriteCall {
  readonly name: string;
  /** It is the nth of its name in the program's main thread, those on other files counted too. */
  readonly nth: number;
  /** How many calls of each name that thread had made by then. */
  readonly counts: Readonly<Record<string, number>>;
  /** Name and paths below the root, what is random in them starred: the same in every run. */
  readonly what: string;
}

export type Errno = 'ENOSPC' | 'EIO' | 'EACCES' | 'EROFS';
export type Injection = 'kill' | Errno;

/** Written with and without `at`, and for both word lengths, as libuv and SQLite call them. */
const NAMES = [
  ...['openat', 'write', 'pwrite64', 'writev', 'pwritev', 'fsync', 'fdatasync', 'ftruncate', 'fallocate'],
  ...['rename', 'renameat', 'renameat2', 'link', 'linkat', 'symlink', 'symlinkat', 'unlink', 'unlinkat'],
  ...['mkdir', 'mkdirat', 'rmdir', 'utimensat', 'chmod', 'fchmod', 'fchmodat'],
  ...['connect', 'sendto', 'sendmsg'],
];
const ON_SOCKETS = /^(write|writev|connect|sendto|sendmsg)\((\d+)<(socket|TCP|TCPv6):/;

export interface Program {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly input?: string | Buffer;
  /** Before it runs, and before it is run again. */
  readonly reset: () => void;
}

/**
 * The write-relevant calls of a program on files below `root` and on sockets, in their order. What codex-router writes it
 * writes on its main thread at once (src/os/files.ts): they are the same in every run. @throws when it fails
 */
export async function writeCalls(program: Program, root: string): Promise<readonly WriteCall[]> {
  program.reset();
  const { run, calls } = await traced(program, root, null, true);
  if (run.code !== 0) throw new Error(`the command to trace failed\n${outputOf(run)}`);
  return calls;
}

/**
 * Runs the program until the `index`th of `calls`, which is not carried out: the program is killed by SIGKILL instead, so that what
 * lies there then is what all the calls before it did; or it returns the error, once.
 * @throws when another call was struck, however often it was tried
 */
export async function strike(
  program: Program,
  root: string,
  calls: readonly WriteCall[],
  index: number,
  injection: Injection,
): Promise<ProcessRun> {
  const asked = calls[index];
  if (asked === undefined) throw new Error(`there is no call ${index}`);
  const nthOfKind = calls.slice(0, index + 1).filter(({ what }) => what === asked.what).length;
  let [baseline, place, wanted] = [calls, index, asked];
  let { nth } = wanted;
  for (let attempt = 1; ; attempt += 1) {
    if (attempt % ANEW === 0) {
      // The baseline itself can be the odd one: it was written down while something else kept the machine busy.
      baseline = await writeCalls(program, root);
      place = placeOf(baseline, asked.what, nthOfKind);
      wanted = baseline[place] ?? asked;
      nth = wanted.nth;
    }
    program.reset();
    // strace 6.1 sends no signal in its faster mode.
    const fast = injection !== 'kill';
    const strike = `${wanted.name}:${fast ? `error=${injection}` : 'signal=KILL'}:when=${nth}`;
    const { run, calls: before, struck } = await traced(program, root, strike, fast);
    // Killed anywhere between the call before it and this one, it leaves the same behind.
    const there =
      struck !== null && before.length === place && (injection === 'kill' || struck.what === wanted.what);
    if (there && agree(baseline, before, place)) return run;
    if (attempt === ATTEMPTS) {
      throw new Error(`struck ${struck?.what ?? 'nothing'} instead of ${wanted.what}\n${outputOf(run)}`);
    }
    nth = betterGuess(baseline, before, place, nth);
  }
}

const ANEW = 8;
const ATTEMPTS = 39;

/** Where the nth call of that kind is, or the last of them. */
function placeOf(calls: readonly WriteCall[], kind: string, nth: number): number {
  const places = calls.flatMap(({ what }, place) => (what === kind ? [place] : []));
  const place = places[nth - 1] ?? places.at(-1);
  if (place === undefined) throw new Error(`there is no ${kind} any more`);
  return place;
}

/**
 * How many files are opened for reading depends on the time that passes (a folder that has just changed is looked at again), and so
 * do the writes to a child's pipe. The run that struck elsewhere tells how many they were there.
 */
function betterGuess(
  calls: readonly WriteCall[],
  before: readonly WriteCall[],
  index: number,
  nth: number,
): number {
  const wanted = calls[index];
  const passed = before[index];
  if (wanted === undefined || (passed !== undefined && passed.what === wanted.what))
    return passed?.nth ?? nth;
  const last = Math.min(before.length, index) - 1;
  const countAt = (all: readonly WriteCall[]) => all[last]?.counts[wanted.name] ?? 0;
  const shifted = wanted.nth + countAt(before) - countAt(calls);
  return shifted === nth ? nth + 1 : shifted;
}

function agree(calls: readonly WriteCall[], before: readonly WriteCall[], index: number): boolean {
  return calls.slice(0, index).every(({ what }, place) => before[place]?.what === what);
}

interface Traced {
  readonly run: ProcessRun;
  /** Those that succeeded, until one was struck. */
  readonly calls: readonly WriteCall[];
  /** The one that was not carried out. */
  readonly struck: WriteCall | null;
}

async function traced(
  { command, reset: _, ...rest }: Program,
  root: string,
  strike: string | null,
  fast: boolean,
): Promise<Traced> {
  const log = `${root}.strace`;
  try {
    const run = await runProcess(
      [
        ...['strace', '-f', '-y', '-qq', '-s', '0', '-o', log],
        ...(fast ? ['--seccomp-bpf'] : []),
        ...['-e', `trace=${NAMES.join(',')}`],
        ...(strike === null ? [] : ['-e', `inject=${strike}`]),
        ...command,
      ],
      rest,
    );
    return { run, ...parse(mainThread(readFileSync(log, 'utf8')), root) };
  } finally {
    rmSync(log, { force: true });
  }
}

/** The lines of the first process, whose main thread's id the trace begins with; calls that were cut in two joined again. */
function mainThread(trace: string): readonly string[] {
  const main = /^\d+/.exec(trace)?.[0];
  const lines: string[] = [];
  let begun = '';
  for (const line of trace.split('\n')) {
    const [, thread, text = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (thread !== main) continue;
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(text);
    if (text.endsWith('<unfinished ...>')) begun = text.slice(0, -'<unfinished ...>'.length);
    else lines.push(resumed ? begun + resumed[1] : text);
  }
  return begun !== '' && lines.every((line) => !line.startsWith(begun)) ? [...lines, `${begun}) = ?`] : lines;
}

function parse(lines: readonly string[], root: string): Omit<Traced, 'run'> {
  const counts = new Map<string, number>();
  const calls: WriteCall[] = [];
  for (const line of lines) {
    const name = /^(\w+)\(/.exec(line)?.[1];
    if (name === undefined) continue;
    const nth = (counts.get(name) ?? 0) + 1;
    counts.set(name, nth);
    const killed = /\) += \?$/.test(line);
    const faulty = line.endsWith('(INJECTED)');
    const where = whereOf(line, name, root);
    if (killed || faulty) {
      return { calls, struck: { name, nth, counts: {}, what: `${name} ${where ?? 'elsewhere'}` } };
    }
    if (where !== null && !/ = -1 /.test(line.replace(' = -1 EINPROGRESS', ''))) {
      calls.push({ name, nth, counts: Object.fromEntries(counts), what: `${name} ${where}` });
    }
  }
  return { calls, struck: null };
}

/** Null for what is not looked at: files elsewhere, pipes, and what is only read. */
function whereOf(line: string, name: string, root: string): string | null {
  if (name === 'openat' && !line.includes('O_CREAT')) return null;
  // A store's time is set as often as it takes to differ from the last one; what is in it stays the same. A lock's time is what it says.
  if (name === 'utimensat' && !line.includes('lock')) return null;
  const socket = ON_SOCKETS.exec(line);
  if (socket) return Number(socket[2]) > 2 ? 'socket' : null;
  const found = [...line.matchAll(/["<]([^"<>]*)[">]/g)].flatMap(([, word = '']) =>
    word.startsWith(`${root}/`) ? [path.relative(root, word)] : [],
  );
  // The working directory, which -y shows for AT_FDCWD.
  const files = found.filter((_, index) => !line.includes(`AT_FDCWD<${root}/`) || index > 0);
  return files.length === 0 ? null : [...new Set(files.map(starred))].join(' ');
}

function starred(file: string): string {
  return (
    file
      .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '*')
      .replace(/\d{13,16}-([0-9a-f]{32})-[0-9a-f]{8}/g, '*-$1-*')
      .replace(/\*\.[0-9a-f]{8}\.key/g, '*.key')
      .replace(/mends\/\.?\d{13,16}-[0-9a-f]{8}/g, 'mends/*')
      // A throw-away Codex home: who made it, and what tells it from others.
      .replace(/\/\d+-\d+-[0-9a-f]{12}(?=\/|$)/g, '/*')
      // The name of a lock's holder: its process and when that began.
      .replace(/\/\d+-\d+$/, '/*')
  );
}
