/**
 * Run by Node 24, which has node:sqlite; stdin: { file, task, ... }; stdout: one JSON document.
 *   run        `statements` ([sql, ...values]) in order, each with its rows; `write` opens for writing, `die` ends the process
 *              by a signal after them, so that they stay in the log
 *   rows       every row of every ordinary table as JSON text, by table
 *   integrity  what PRAGMA integrity_check and foreign_key_check find; empty is right
 *   settle     moves the log into the database, so that the file alone is all of it
 */
import { readFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

const task = JSON.parse(readFileSync(0, 'utf8'));
const readOnly = task.task !== 'settle' && !task.write;
const database = new DatabaseSync(task.file, { readOnly });
database.exec('PRAGMA busy_timeout = 5000');

function all(sql, ...values) {
  return database.prepare(sql).all(...values);
}

const name = (table) => `"${table.replaceAll('"', '""')}"`;

const tasks = {
  run: () => {
    const rows = task.statements.map(([sql, ...values]) => all(sql, ...values));
    if (task.die) process.kill(process.pid, 'SIGKILL');
    return rows;
  },
  rows: () =>
    Object.fromEntries(
      all(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
      ).flatMap(({ name: table }) => {
        try {
          return [[table, all(`SELECT * FROM ${name(table)}`).map((row) => JSON.stringify(row, text))]];
        } catch {
          // A virtual table whose module this SQLite has not.
          return [];
        }
      }),
    ),
  integrity: () => [
    ...all('PRAGMA integrity_check').flatMap((row) => Object.values(row).filter((word) => word !== 'ok')),
    ...all('PRAGMA foreign_key_check').map((row) => `foreign key: ${JSON.stringify(row)}`),
  ],
  settle: () => all('PRAGMA wal_checkpoint(TRUNCATE)'),
};

function text(_key, value) {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  return typeof value === 'bigint' ? String(value) : value;
}

const answer = tasks[task.task]();
database.close();
process.stdout.write(JSON.stringify(answer, text));
