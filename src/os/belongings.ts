import { join } from 'node:path';
import { systemErrorCode } from '../errors.js';
import { ioError } from './atomic.js';
import { lstat, readdir, readFile, rmdir, unlink } from './files.js';
import { type Env, homeFolder } from './folders.js';

/** Something of codex-router outside its own folders. */
export interface Belonging {
  readonly kind: 'plugin' | 'service' | 'completion';
  readonly path: string;
}

/**
 * The one table of what an installation may have left where others look for it. The plugin's places are OpenClaw's own; the failover service
 * is put where `failover unit` says. Other services, and completions, do not ship yet: whoever installs one puts it under the name that is here.
 * @param stateDirs of the OpenClaws that we route.
 */
function table(env: Env, platform: NodeJS.Platform, stateDirs: readonly string[]): readonly Belonging[] {
  const home = homeFolder(env);
  const data = env.XDG_DATA_HOME || join(home, '.local', 'share');
  const config = env.XDG_CONFIG_HOME || join(home, '.config');
  // From 2026.5 on OpenClaw links a plugin's skill beside its own; a link to nothing is left when only the plugin goes.
  const plugins = stateDirs.flatMap((stateDir) => [
    join(stateDir, 'plugin-skills', 'codex-router'),
    join(stateDir, 'extensions', 'codex-router'),
  ]);
  const services =
    platform === 'darwin'
      ? ['codex-router.failover.plist', 'codex-router.plist'].map((name) =>
          join(home, 'Library', 'LaunchAgents', name),
        )
      : platform === 'win32'
        ? []
        : // What enables a unit is a link to it; it goes first.
          ['timers.target.wants/codex-router.timer', 'default.target.wants/codex-router.service']
            .concat(['default.target.wants/codex-router-failover.service', 'codex-router-failover.service'])
            .concat(['codex-router.timer', 'codex-router.service'])
            .map((name) => join(config, 'systemd', 'user', name));
  const completions = [
    join(data, 'bash-completion', 'completions', 'codex-router'),
    join(data, 'zsh', 'site-functions', '_codex-router'),
    join(config, 'fish', 'completions', 'codex-router.fish'),
  ];
  const all = (kind: Belonging['kind'], paths: readonly string[]) => paths.map((path) => ({ kind, path }));
  return [...all('plugin', plugins), ...all('service', services), ...all('completion', completions)];
}

/** Those that are there, and that name codex-router: another's file under our name is left. @throws IO */
export async function belongings(
  env: Env,
  platform: NodeJS.Platform,
  stateDirs: readonly string[],
): Promise<readonly Belonging[]> {
  const there: Belonging[] = [];
  for (const one of table(env, platform, stateDirs)) if (await isOurs(one)) there.push(one);
  return there;
}

async function isOurs({ kind, path }: Belonging): Promise<boolean> {
  const found = await kindOf(path);
  // A link to a plugin under development, or to a file of a package, is itself what was installed.
  if (found === 'link') return true;
  if (found === (kind === 'plugin' ? 'folder' : 'file')) {
    const told = kind === 'plugin' ? join(path, 'openclaw.plugin.json') : path;
    return (await readOrEmpty(told)).includes('codex-router');
  }
  return false;
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return '';
    throw ioError(error, path, 'read');
  }
}

async function kindOf(path: string): Promise<'file' | 'folder' | 'link' | 'other' | null> {
  try {
    const found = await lstat(path);
    if (found.isSymbolicLink()) return 'link';
    return found.isDirectory() ? 'folder' : found.isFile() ? 'file' : 'other';
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemErrorCode(error) ?? '')) return null;
    throw ioError(error, path, 'read');
  }
}

/** Removes a file, a link (not what it names), or a folder with all that is in it; one that is gone is no error. @throws IO */
export async function removeTree(path: string): Promise<void> {
  try {
    if ((await kindOf(path)) !== 'folder') return await unlink(path);
    for (const name of await readdir(path)) await removeTree(join(path, name));
    await rmdir(path);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw ioError(error, path, 'write');
  }
}
