import { fstatSync, statSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { EXIT_OF, RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';
import { type LiveHeard, type LiveScreen, liveScreen } from './live-screen.js';

export interface Choice<T extends string> {
  readonly value: T;
  readonly label: string;
  readonly hint?: string;
}

export interface Screen {
  readonly columns: number;
  /** By the locale: LC_ALL, LC_CTYPE, LANG. */
  readonly unicode: boolean;
  readonly colour: boolean;
}

/** The person at the other end: questions and talk go to stderr, so that stdout holds only data. */
export interface Terminal {
  /** Whether a question can be asked: stdin and stderr are a terminal. */
  readonly canAsk: boolean;
  readonly stdinIsTerminal: boolean;
  /** Whether stdout takes colours (a terminal, no NO_COLOR, TERM not dumb). */
  readonly colour: boolean;
  /** Whether a terminal that was there when the command began has been closed. */
  readonly isGone: boolean;
  /** Whether anything was written to stdout: then the command has given its answer. */
  readonly answered: boolean;
  /** Whether who read stdout has gone: what goes on writing has to end by itself. */
  readonly isUnheard: boolean;
  /** What talk goes to, where that is a terminal that can be drawn on (not TERM=dumb); else null. */
  readonly screen: Screen | null;
  /** The same for data: what stdout is. */
  readonly page: Screen | null;
  say(line: string): void;
  /** Shows `line` in place of the one it showed last, and '' nothing in its place. Only on a screen, and with nothing said in between. */
  rewrite(line: string): void;
  write(text: string): void;
  /** Takes over `page`, until it is closed. Null where there is none. */
  live(heard: LiveHeard): LiveScreen | null;
  ask<T extends string>(question: string, choices: readonly Choice<T>[]): Promise<T>;
  confirm(question: string): Promise<boolean>;
  /** @param mask shown in place of each character; '' for what is too long for that. */
  askSecret(question: string, mask?: string): Promise<string>;
  /**
   * All of stdin.
   * @param patience ms to wait for the first byte: '' when none came, and stdin is let go. Null waits for ever.
   * @throws USAGE past `limit` bytes.
   */
  readStdin(limit: number, patience: number | null): Promise<string>;
  /** The same, as it came. */
  readStdinBytes(limit: number, patience: number | null): Promise<Uint8Array>;
}

/** The process's own terminal. @throws INTERRUPTED from a question that was answered with Ctrl-C. */
export function processTerminal(proc: NodeJS.Process, env: Env, signal: AbortSignal): Terminal {
  // Node's streams and terminals are made when first needed: each costs milliseconds, and most commands need none.
  const isTerminal = (fd: number) =>
    proc.platform === 'win32' ? isatty(fd) : mayBeTerminal(fd) && isatty(fd);
  let isUnheard = false;
  const onUnheard = () => {
    isUnheard = true;
  };
  const [out, talk] = [output(proc, 'stdout', onUnheard), output(proc, 'stderr', () => undefined)];
  let answered = false;
  const dumb = env.TERM === 'dumb';
  const isGone = () => [0, 1, 2].some((fd) => mayBeTerminal(fd) && !isatty(fd));
  const screenOf = (columns: number | undefined): Screen => {
    const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || '';
    const unicode = proc.platform === 'win32' || /utf-?8/i.test(locale);
    return { columns: columns || 80, unicode, colour: !env.NO_COLOR };
  };
  let isWatched = false;
  /** Who waits for an answer on a terminal that is closed is told by the terminal, where nobody sends them a signal. */
  const watch = (): void => {
    if (isWatched) return;
    isWatched = true;
    const { stdin, stderr } = proc;
    const onEnd = () => isGone() && proc.emit('SIGHUP');
    stdin.on('error', onEnd).on('end', onEnd);
    stderr.on('error', onEnd);
    // Every prompt puts the mode back when it ends, and Node throws where there is none any more.
    const setMode = stdin.setRawMode?.bind(stdin);
    if (setMode !== undefined) stdin.setRawMode = (mode) => (isGone() ? stdin : setMode(mode));
  };
  const prompt = () => ({ input: proc.stdin, output: proc.stderr, signal });
  const say = (line: string): void => talk(`${line}\n`);
  return {
    get canAsk() {
      return isTerminal(0) && isTerminal(2);
    },
    get stdinIsTerminal() {
      return isTerminal(0);
    },
    get colour() {
      return !env.NO_COLOR && !dumb && isTerminal(1);
    },
    get isGone() {
      return isGone();
    },
    get answered() {
      return answered;
    },
    get isUnheard() {
      return isUnheard;
    },
    get screen() {
      return dumb || !isTerminal(2) ? null : screenOf(proc.stderr.columns);
    },
    get page() {
      return dumb || !isTerminal(1) ? null : screenOf(proc.stdout.columns);
    },
    live: (heard) => {
      if (dumb || !isTerminal(1)) return null;
      if (isTerminal(0)) watch();
      return liveScreen(proc, isTerminal(0), heard);
    },
    say,
    rewrite: (line) => talk(`\r\u001b[2K${line}`),
    write: (text) => {
      answered = true;
      out(text);
    },
    async ask(question, choices) {
      watch();
      if (dumb) return askPlainly(question, choices, (line) => readLine(proc, line, signal), say);
      const { select } = await import('@clack/prompts');
      const options: Choice<string>[] = [...choices];
      const answer = await select({ message: question, options, ...prompt() });
      return orInterrupted(choices.find(({ value }) => value === answer)?.value);
    },
    async confirm(question) {
      const answer = await this.ask(question, [
        { value: 'no', label: 'No' },
        { value: 'yes', label: 'Yes' },
      ]);
      return answer === 'yes';
    },
    async askSecret(question, mask) {
      watch();
      if (dumb) return readLine(proc, `${question}: `, signal, true);
      const { password } = await import('@clack/prompts');
      const answer = await password({ message: question, ...(mask !== undefined && { mask }), ...prompt() });
      return orInterrupted(typeof answer === 'string' ? answer : undefined);
    },
    readStdin: async (limit, patience) => (await readAll(proc.stdin, limit, patience)).toString('utf8'),
    readStdinBytes: (limit, patience) => readAll(proc.stdin, limit, patience),
  };
}

/** Whether it is worth asking node:tty: pipes, files and /dev/null are told by a look. */
function mayBeTerminal(fd: number): boolean {
  try {
    const found = fstatSync(fd);
    return found.isCharacterDevice() && found.rdev !== statSync('/dev/null').rdev;
  } catch {
    return false;
  }
}

/**
 * Writes to stdout or stderr at once. The process's own stream takes over where that cannot be done: on Windows, whose
 * consoles take no UTF-8, and for a full pipe that somebody made non-blocking.
 */
function output(
  proc: NodeJS.Process,
  name: 'stdout' | 'stderr',
  onUnheard: () => void,
): (text: string) => void {
  const fd = name === 'stdout' ? 1 : 2;
  let direct = proc.platform !== 'win32';
  let stream: NodeJS.WriteStream | null = null;
  return (text) => {
    let rest: Uint8Array = Buffer.from(text);
    try {
      while (direct && rest.length > 0) rest = rest.subarray(writeSync(fd, rest));
    } catch {
      // The stream meets the same trouble again and knows what to do with it.
      direct = false;
    }
    if (rest.length === 0) return;
    // Talk that cannot be written is lost: a command in the middle of its work must not end for it.
    stream ??= proc[name].on('error', (error) => {
      onUnheard();
      if (name === 'stdout') endUnwritten(proc, error);
    });
    stream.write(rest);
  };
}

/** `codex-router list | head -1`: a reader that has seen enough is no error of ours; a full disk is one of its own. */
function endUnwritten(proc: NodeJS.Process, error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') return;
  try {
    writeSync(
      2,
      `codex-router: the command was carried out, but its answer could not be written: ${error.code} (IO)\n`,
    );
  } catch {
    // Nobody is left to be told.
  }
  proc.exit(EXIT_OF.IO);
}

/** A question for a terminal that cannot move its cursor: numbered lines, one line as the answer. */
async function askPlainly<T extends string>(
  question: string,
  choices: readonly Choice<T>[],
  read: (prompt: string) => Promise<string>,
  say: (line: string) => void,
): Promise<T> {
  say(question);
  choices.forEach(({ label, hint }, index) => {
    say(`  ${index + 1}  ${label}${hint === undefined ? '' : `  (${hint})`}`);
  });
  for (;;) {
    const choice = choices[Number.parseInt(await read(`1-${choices.length}: `), 10) - 1];
    if (choice !== undefined) return choice.value;
  }
}

/** @param hidden whether what is typed is not shown; then the terminal's own echo is off and nothing else is drawn. */
async function readLine(
  proc: NodeJS.Process,
  prompt: string,
  signal: AbortSignal,
  hidden = false,
): Promise<string> {
  const [{ createInterface }, { Writable }] = await Promise.all([
    import('node:readline/promises'),
    import('node:stream'),
  ]);
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({
    input: proc.stdin,
    output: hidden ? nowhere : proc.stderr,
    terminal: hidden,
  });
  const ended = new Promise<never>((_, reject) => lines.once('close', () => reject(interrupted())));
  if (hidden) proc.stderr.write(prompt);
  try {
    return await Promise.race([lines.question(hidden ? '' : prompt, { signal }), ended]);
  } finally {
    if (hidden) proc.stderr.write('\n');
    ended.catch(() => undefined);
    lines.close();
  }
}

async function readAll(stdin: NodeJS.ReadStream, limit: number, patience: number | null): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  let silent = false;
  const timer =
    patience === null
      ? undefined
      : setTimeout(() => {
          silent = true;
          stdin.destroy();
        }, patience);
  try {
    for await (const chunk of stdin) {
      clearTimeout(timer);
      const bytes = Buffer.from(chunk);
      size += bytes.length;
      if (size > limit)
        throw new RouterError('USAGE', 'standard input is too long to be a login', {
          hint: 'codex-router import --from - < auth.json',
        });
      chunks.push(bytes);
    }
  } catch (error) {
    // Destroying the stream ends the loop with an error of its own kind.
    if (!silent) throw error;
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks);
}

function orInterrupted<T>(answer: T | undefined): T {
  if (answer === undefined) throw interrupted();
  return answer;
}

function interrupted(): RouterError {
  return new RouterError('INTERRUPTED', 'the question was left unanswered, so nothing was changed', {
    hint: 'run the command again',
  });
}
