import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { RouterError } from '../errors.js';
import { ioError } from './atomic.js';
import { mkdir } from './files.js';

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
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw ioError(error, folder, 'write');
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
