import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What the tests of the real keychain need; a missing one fails in CI and skips elsewhere. */
export function missingTools(): string | null {
  if (process.platform !== 'linux') return 'the Secret Service is tested on Linux';
  const tools = ['dbus-run-session', 'gnome-keyring-daemon', 'secret-tool', 'gdbus'];
  const missing = tools.filter((tool) => spawnSync('which', [tool]).status !== 0);
  return missing.length === 0 ? null : `not installed: ${missing.join(', ')}`;
}

export interface SessionOptions {
  /** Default true: a gnome-keyring with an unlocked login collection. */
  readonly keyring?: boolean;
  /** A rule of the bus's policy (dbus-daemon(1)), for instance one that denies a method. */
  readonly deny?: string;
}

export interface Session {
  readonly env: NodeJS.ProcessEnv;
  /** gnome-keyring's process; null without one, or when it has ended for good. */
  readonly daemon: ChildProcess | null;
  run(tool: string, ...args: string[]): { readonly status: number | null; readonly text: string };
  /** Locks the login collection. */
  lock(): void;
  /** A new daemon in the place of the present one, with the same keyring, unlocked. */
  restart(): Promise<void>;
  /** Adds a rule to the bus's policy, from now on; '' takes it away. */
  deny(rule: string): void;
  stop(): Promise<void>;
}

/** A session bus of its own under dbus-run-session that activates nothing; it ends with this process at the latest. */
export async function startSession({ keyring = true, deny = '' }: SessionOptions = {}): Promise<Session> {
  const home = mkdtempSync(join(tmpdir(), 'codex-router-bus-'));
  const runtime = join(home, 'run');
  mkdirSync(runtime, { mode: 0o700 });
  const config = join(home, 'bus.conf');
  const open = '<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>';
  const configure = (rule: string) =>
    writeFileSync(
      config,
      `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:tmpdir=${home}</listen><auth>EXTERNAL</auth>
<policy context="default">${open}${rule}</policy></busconfig>`,
    );
  configure(deny);
  const { DISPLAY: _, WAYLAND_DISPLAY: __, DBUS_SESSION_BUS_ADDRESS: ___, ...outer } = process.env;
  const base = { ...outer, HOME: home, XDG_RUNTIME_DIR: runtime, XDG_DATA_HOME: join(home, 'share') };
  // The session lives as long as this pipe is open: also a killed test leaves nothing behind.
  const bus = spawn(
    'dbus-run-session',
    [`--config-file=${config}`, '--', 'sh', '-c', 'echo "$DBUS_SESSION_BUS_ADDRESS"; exec cat'],
    { env: base, stdio: ['pipe', 'pipe', 'ignore'] },
  );
  const [line] = await once(bus.stdout, 'data');
  const env = { ...base, DBUS_SESSION_BUS_ADDRESS: String(line).trim() };
  const run = (tool: string, ...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(tool, args, { env, encoding: 'utf8' });
    return { status, text: `${stdout}${stderr}` };
  };
  let daemon = keyring ? startKeyring(env) : null;
  const stop = async () => {
    daemon?.kill('SIGKILL');
    const ended = once(bus, 'close');
    bus.stdin.end();
    await ended;
  };
  const locked = call(
    LOGIN,
    'org.freedesktop.DBus.Properties.Get',
    'org.freedesktop.Secret.Collection',
    'Locked',
  );
  const started = async () => {
    if (await happens(() => run('gdbus', ...locked).text.includes('false'))) return;
    await stop();
    throw new Error('gnome-keyring did not start');
  };
  if (keyring) await started();
  return {
    env,
    get daemon() {
      return daemon;
    },
    run,
    async restart() {
      if (daemon !== null && daemon.exitCode === null && daemon.signalCode === null) {
        const ended = once(daemon, 'exit');
        daemon.kill('SIGKILL');
        await ended;
      }
      daemon = startKeyring(env);
      await started();
    },
    deny(rule) {
      configure(rule);
      run(
        'gdbus',
        ...ask('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus.ReloadConfig'),
      );
    },
    lock() {
      const paths = `[objectpath '${LOGIN}']`;
      run('gdbus', ...call('/org/freedesktop/secrets', 'org.freedesktop.Secret.Service.Lock', paths));
    },
    stop,
  };
}

const LOGIN = '/org/freedesktop/secrets/collection/login';

function startKeyring(env: NodeJS.ProcessEnv): ChildProcess {
  const daemon = spawn('gnome-keyring-daemon', ['--foreground', '--unlock', '--components=secrets'], {
    env,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  daemon.stdin.end('test-login-password');
  return daemon;
}

function call(path: string, method: string, ...args: string[]): string[] {
  return ask('org.freedesktop.secrets', path, method, ...args);
}

function ask(destination: string, path: string, method: string, ...args: string[]): string[] {
  return ['call', '--session', '--dest', destination, '--object-path', path, '--method', method, ...args];
}

async function happens(seen: () => boolean): Promise<boolean> {
  const until = Date.now() + 15_000;
  while (!seen()) {
    if (Date.now() > until) return false;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return true;
}
