/**
 * node test/interop/table.mjs
 *
 * Writes the table "Every release tried" between the markers of docs/hosts.md, from what the last run of releases.test.ts
 * recorded of each release (.cache/releases.jsonl). Fails when a release of test/interop was not run.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const HERE = import.meta.dirname;
const RESULTS = path.join(HERE, '..', '..', '.cache', 'releases.jsonl');
const DOCUMENT = path.join(HERE, '..', '..', 'docs', 'hosts.md');
const [BEGIN, END] = ['<!-- releases: begin (node test/interop/table.mjs) -->', '<!-- releases: end -->'];
const stop = (line) => {
  process.stderr.write(`${line}\n`);
  process.exit(1);
};

if (!existsSync(RESULTS)) stop('no results: npm run test:interop -- --all');
const last = new Map();
for (const line of readFileSync(RESULTS, 'utf8').trim().split('\n')) {
  const result = JSON.parse(line);
  last.set(result.release, result);
}
const numbers = (release) => release.split('.').map(Number);
const releases = readdirSync(HERE)
  .filter((name) => name.startsWith('openclaw-') && existsSync(path.join(HERE, name, 'package-lock.json')))
  .map((name) => name.slice('openclaw-'.length))
  .sort((a, b) => {
    const [[, month, day], [, otherMonth, otherDay]] = [numbers(a), numbers(b)];
    return month - otherMonth || day - otherDay;
  });
const missing = releases.filter((release) => !last.has(release));
if (missing.length > 0) stop(`not run: ${missing.join(', ')} (npm run test:interop -- --all)`);

const rows = releases.map((release) => {
  const { layout, schema, slot, lock, refreshCall, result } = last.get(release);
  const where = schema ? `${layout} ${schema}` : layout;
  return `| ${[release, where, `\`${slot}\``, lock, refreshCall, result].join(' | ')} |`;
});
const table = [
  '| release | layout (schema) | slot | lock | refresh call | result |',
  '| --- | --- | --- | --- | --- | --- |',
  ...rows,
].join('\n');

const text = readFileSync(DOCUMENT, 'utf8');
const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
if (from < 0 || to < from) stop('docs/hosts.md has no markers');
writeFileSync(DOCUMENT, `${text.slice(0, from + BEGIN.length)}\n${table}\n${text.slice(to)}`);
process.stdout.write(`${rows.length} releases\n`);
