import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { RouterError, systemErrorCode } from '../errors.js';
import { ioError } from './atomic.js';
import { mkdir, stat } from './files.js';

export type Env = { readonly [name: string]: string | undefined };

export interface RouterFolders {
  /** Vault, index, sealed records, journal, back-ups. */
  readonly data: string;
  /** Only the key file, so that a copy of the data folder does not carry its own key. */
  readonly config: string;
}

/**
 * `$CODEX_ROUTER_HOME`, else the platform's data folder; the key file's folder is the platform's config folder.
 * @throws USAGE when a variable is set to a relative path.
 */
export function routerFolders(env: Env, platform: NodeJS.Platform): RouterFolders {
  const home = homeFolder(env);
  const data = absolute(env, 'CODEX_ROUTER_HOME');
  if (platform === 'darwin') {
    const support = join(home, 'Library', 'Application Support');
    return { data: data ?? join(support, 'codex-router'), config: join(support, 'codex-router-key') };
  }
  if (platform === 'win32') {
    const local = env.LOCALAPPDATA ?? join(home, 'AppData', 'Local');
    const roaming = env.APPDATA ?? join(home, 'AppData', 'Roaming');
    return { data: data ?? join(local, 'codex-router'), config: join(roaming, 'codex-router') };
  }
  const xdgData = absolute(env, 'XDG_DATA_HOME') ?? join(home, '.local', 'share');
  const xdgConfig = absolute(env, 'XDG_CONFIG_HOME') ?? join(home, '.config');
  return { data: data ?? join(xdgData, 'codex-router'), config: join(xdgConfig, 'codex-router') };
}

export function homeFolder(env: Env): string {
  return env.HOME ?? env.USERPROFILE ?? homedir();
}

/** Creates `folder` and its missing parents, 0700 from birth; an existing one is left as it is. */
export async function ensureFolder(folder: string): Promise<void> {
  try {
    await makeFolder(folder);
  } catch (error) {
    if (!NO_ROOM.has(systemErrorCode(error) ?? '')) throw ioError(error, folder, 'write');
    throw new RouterError(
      'IO',
      `${folder} could not be made: what lies there, or above it, holds no folders`,
      {
        hint: 'make that folder yourself, mode 0700, or mend what is above it',
        cause: error,
      },
    );
  }
}

/** EEXIST: a file or a dangling link. ENOENT although the folder above is there: /proc and the like. */
const NO_ROOM: ReadonlySet<string> = new Set(['EEXIST', 'ENOENT']);

// Not Node's own `recursive`: it says ENOENT for a read-only file system, and under /proc it never ends (20, measured).
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: false, mode: 0o700 });
  } catch (error) {
    if (await isFolder(folder)) return;
    if (systemErrorCode(error) !== 'ENOENT' || dirname(folder) === folder) throw error;
    await makeFolder(dirname(folder));
    await mkdir(folder, { recursive: false, mode: 0o700 });
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

/**
 * Refuses a folder of another user: what is written there as somebody else, say with sudo, its owner could not replace.
 * One that does not exist yet will be ours.
 * @throws VAULT_PERMISSIONS, IO
 */
export async function refuseForeignFolder(folder: string): Promise<void> {
  const me = process.geteuid?.();
  if (me === undefined) return;
  const owner = await ownerOf(folder);
  if (owner === null || owner === me) return;
  throw new RouterError('VAULT_PERMISSIONS', `${folder} belongs to another user (uid ${owner})`, {
    hint: `run it as that user: sudo -u '#${owner}' -H codex-router ...`,
  });
}

async function ownerOf(folder: string): Promise<number | null> {
  try {
    return (await stat(folder)).uid;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw ioError(error, folder, 'read');
  }
}

function absolute(env: Env, name: string): string | null {
  const value = env[name];
  if (value === undefined || value === '') return null;
  if (!isAbsolute(value)) {
    throw new RouterError('USAGE', `${name} must be an absolute path`, {
      hint: `unset ${name} or give a full path`,
    });
  }
  return value;
}
