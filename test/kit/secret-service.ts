import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { bare, outputOf, runProcess, until } from './process.js';
import { real, type Tester } from './real.js';
import type { Sandbox } from './router.js';

/** A real Secret Service: gnome-keyring on a session bus of its own, with its keyring in the sandbox. */
export interface SecretService {
  /** What a program needs to reach it, beside the sandbox's environment. */
  readonly env: Readonly<Record<string, string>>;
  /** The secret of an item, read by secret-tool; null when there is none or the collection is locked. */
  lookup(service: string, account: string): Promise<string | null>;
  /** Deletes an item, as a person would in a keyring manager. */
  clear(service: string, account: string): Promise<void>;
  lock(): Promise<void>;
  unlock(): Promise<void>;
  /** Stops the daemon in its tracks (SIGSTOP), until `resume`. */
  hang(): Promise<void>;
  resume(): void;
  stop(): Promise<void>;
}

const PASSWORD = 'test-login-password';
const COLLECTION = '/org/freedesktop/secrets/collection/login';

/**
 * Starts bus and daemon, unlocked, and adds the bus address to `box.env`, so that `router` finds the keychain. Both end
 * with the test. Null when they are not installed (see `real`).
 */
export async function secretService(t: Tester, box: Sandbox): Promise<SecretService | null> {
  const found = real(t, 'secret-service');
  if (found === null) return null;
  const base = {
    PATH: '/usr/bin:/bin',
    HOME: path.join(box.root, 'home'),
    TMPDIR: '/tmp',
    XDG_DATA_HOME: path.join(box.root, 'keyring'),
    XDG_RUNTIME_DIR: path.join(box.root, 'xdg', 'runtime'),
    LANG: 'C.UTF-8',
  };
  const unlockDaemon = `printf %s ${PASSWORD} | gnome-keyring-daemon --unlock --components=secrets >/dev/null`;
  // The bus lives as long as this shell, and that as long as the pipe to it.
  const script = `${unlockDaemon} && echo "$DBUS_SESSION_BUS_ADDRESS" && exec cat >/dev/null`;
  const [file = '', ...args] = bare([found['secret-service'], '--', 'sh', '-c', script], base);
  const session = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  session.stdin.on('error', () => undefined);
  let said = '';
  session.stderr.on('data', (chunk) => {
    said += chunk;
  });
  const ended = new Promise<void>((resolve) => session.on('close', () => resolve()));
  const stop = async () => {
    session.stdin.end();
    const patience = setTimeout(() => session.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(patience);
  };
  const address = await Promise.race([
    new Promise<string>((resolve) => createInterface({ input: session.stdout }).once('line', resolve)),
    ended.then(() => null),
  ]);
  if (address === null) throw new Error(`gnome-keyring did not start: ${said}`);
  const env = { ...base, DBUS_SESSION_BUS_ADDRESS: address };
  const run = async (...command: string[]) => runProcess(command, { env, cwd: box.root, timeout: 20_000 });
  const demand = async (...command: string[]) => {
    const result = await run(...command);
    if (result.code !== 0) throw new Error(`${command.join(' ')}\n${outputOf(result)}`);
    return result.stdout;
  };
  const ask = (destination: string, object: string, ...more: string[]) =>
    demand('dbus-send', '--session', '--print-reply', `--dest=${destination}`, object, ...more);
  const findDaemon = async () => {
    const answer = await ask(
      'org.freedesktop.DBus',
      '/org/freedesktop/DBus',
      'org.freedesktop.DBus.GetConnectionUnixProcessID',
      'string:org.freedesktop.secrets',
    );
    return Number(/uint32 (\d+)/.exec(answer)?.[1]);
  };
  let daemon: number | null = null;
  const signal = (name: NodeJS.Signals) => {
    try {
      if (daemon !== null) process.kill(daemon, name);
    } catch {
      // It has ended already.
    }
  };
  t.teardown(async () => {
    signal('SIGCONT');
    await stop();
    signal('SIGKILL');
  });
  // The daemon goes into the background before it has taken its name on the bus.
  const named = () => until('the daemon has its name', () => findDaemon().catch(() => null), 20_000);
  daemon = await named();
  box.env.DBUS_SESSION_BUS_ADDRESS = address;
  return {
    env: { DBUS_SESSION_BUS_ADDRESS: address },
    stop,
    lookup: async (service, account) => {
      const result = await run('secret-tool', 'lookup', 'service', service, 'account', account);
      return result.code === 0 && result.stdout !== '' ? result.stdout : null;
    },
    clear: async (service, account) => {
      await demand('secret-tool', 'clear', 'service', service, 'account', account);
    },
    lock: async () => {
      await ask(
        'org.freedesktop.secrets',
        '/org/freedesktop/secrets',
        'org.freedesktop.Secret.Service.Lock',
        `array:objpath:${COLLECTION}`,
      );
    },
    unlock: async () => {
      // Only a prompt or a private interface unlocks a running daemon; a new one with the password is unlocked.
      signal('SIGKILL');
      await demand('sh', '-c', unlockDaemon);
      daemon = await named();
    },
    hang: async () => signal('SIGSTOP'),
    resume: () => signal('SIGCONT'),
  };
}
