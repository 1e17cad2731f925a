import { spawn } from 'node:child_process';
import type { Env } from './folders.js';

/**
 * What opens an address in the person's browser; null where none can be shown: no display, or a shell from another machine
 * whose screen is not the person's.
 */
export function browserOpener(env: Env, platform: NodeJS.Platform): readonly [string, ...string[]] | null {
  const isRemote = Boolean(env.SSH_CONNECTION || env.SSH_TTY || env.SSH_CLIENT);
  if (platform === 'linux' || platform.endsWith('bsd')) {
    // With `ssh -X`, whose display names a machine, the browser runs on this one and is shown on the other: that works.
    const isShown = isRemote ? !(env.DISPLAY ?? ':').startsWith(':') : env.DISPLAY || env.WAYLAND_DISPLAY;
    return isShown ? ['xdg-open'] : null;
  }
  if (isRemote) return null;
  if (platform === 'darwin') return ['/usr/bin/open'];
  // Not `start`, which is the shell's own and takes `&` apart.
  return platform === 'win32' ? ['rundll32.exe', 'url.dll,FileProtocolHandler'] : null;
}

/**
 * Opens `url` and does not wait: a browser may live as long as its window. Every user of this machine may read the arguments
 * of a program: nothing secret may be in `url`.
 * @returns whether the program was started; what it shows is not known.
 */
export function openBrowser(
  [program, ...args]: readonly [string, ...string[]],
  url: string,
  env: Env,
): Promise<boolean> {
  // What tells us where our key lies is no browser's business.
  const own = Object.entries(env).filter(([name]) => !name.startsWith('CODEX_ROUTER_'));
  const child = spawn(program, [...args, url], {
    env: Object.fromEntries(own),
    stdio: 'ignore',
    detached: true,
    windowsHide: true,
  });
  child.unref();
  return new Promise((resolve) => {
    child.once('spawn', () => resolve(true));
    child.once('error', () => resolve(false));
  });
}
