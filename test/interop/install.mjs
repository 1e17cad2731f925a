/**
 * npm run interop:install: installs the real components that the interop tests run, each from its own lock file. A folder
 * whose lock file is the one that was installed is left alone. No install script is run: none is needed here.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const HERE = import.meta.dirname;
const say = (line) => process.stdout.write(`${line}\n`);

for (const name of readdirSync(HERE).sort()) {
  const folder = path.join(HERE, name);
  if (!existsSync(path.join(folder, 'package-lock.json'))) continue;
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
  const { status } = spawnSync('npm', args, { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
  writeFileSync(mark, lock);
  say(`${name}: installed in ${((Date.now() - started) / 1000).toFixed(0)} s`);
}
