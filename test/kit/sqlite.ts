import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { bare } from './process.js';
import { pathOf } from './real.js';

/** Reads and writes a host's databases for a test, from Node 20 too: in a child of Node 24. */
export type SqlRow = Record<string, string | number | null>;
export type SqlStatement = readonly [sql: string, ...values: (string | number | null)[]];

const CHILD = fileURLToPath(new URL('./sqlite.mjs', import.meta.url));

/** Runs statements one after the other, outside a transaction unless they begin one. @throws what SQLite says. */
export function sql(file: string, statements: readonly SqlStatement[]): readonly SqlRow[][] {
  return child({ file, task: 'run', statements, write: true }) as SqlRow[][];
}

/** `sql` by a process that is killed right after: what it committed lies in the log, and nobody has the database open. */
export function sqlAndDie(file: string, statements: readonly SqlStatement[]): void {
  child({ file, task: 'run', statements, write: true, die: true }, 'SIGKILL');
}

/** The rows of one reading statement; nothing is written, but SQLite may leave a `-shm` beside a database with a log. */
export function query(file: string, statement: string, ...values: (string | number)[]): readonly SqlRow[] {
  return (child({ file, task: 'run', statements: [[statement, ...values]] }) as SqlRow[][])[0] ?? [];
}

/** Every row as JSON text, by table. */
export function rowsOf(file: string): Record<string, readonly string[]> {
  return child({ file, task: 'rows' }) as Record<string, readonly string[]>;
}

export function integrityOf(file: string): readonly string[] {
  return child({ file, task: 'integrity' }) as readonly string[];
}

/** Moves what a dead process left in the log into the database. */
export function settle(file: string): void {
  child({ file, task: 'settle' });
}

function child(task: object, ends: NodeJS.Signals | null = null): unknown {
  const node = pathOf('node24');
  if (node === null) throw new Error('Node 24 is missing: npm run interop:install -- node24');
  const [program = '', ...args] = bare([node, '--no-warnings', CHILD], {});
  const { status, signal, stdout, stderr, error } = spawnSync(program, args, {
    input: JSON.stringify(task),
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (error) throw error;
  if (ends !== null && signal === ends) return undefined;
  if (status !== 0) throw new Error(`SQLite: ${/^Error: (.*)/m.exec(stderr)?.[1] ?? stderr}`);
  return JSON.parse(stdout);
}
