import { spawn } from 'node:child_process';
import { type ErrorCode, RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';
import { observeSecretService } from '../os/session-bus.js';
import { LARGEST_LOGIN } from './login-file.js';

/** The system keyring as Codex uses it (the Rust crate keyring 3.6: attributes that keytar does not look for). */
export interface CodexKeyring {
  /**
   * The secret of an item; null only when the keyring is there, unlocked and has no such item.
   * @throws KEYCHAIN_*, PLATFORM_UNSUPPORTED, IDENTITY_UNREADABLE
   */
  lookup(service: string, account: string): Promise<string | null>;
  /** Deletes the item, also when there is none. @throws as `lookup` */
  clear(service: string, account: string): Promise<void>;
}

export interface KeyringDeps {
  readonly env: Env;
  readonly platform: NodeJS.Platform;
  /** On a terminal a person may have to answer the keyring's own prompt: a longer deadline. */
  readonly isTerminal: boolean;
  /** ms; default 8,000, and 60,000 on a terminal. */
  readonly deadline?: number;
}

/** How a helper program ended: `status` null when it was killed at the deadline, -1 when there is no such program. */
interface Ending {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly bytes: Buffer;
}

/**
 * Through a child of the system's own: `secret-tool` (libsecret), on macOS `security`. Neither is given a secret. Killed at the
 * deadline, because a hung daemon answers nobody.
 */
export function codexKeyring(deps: KeyringDeps): CodexKeyring {
  const { platform } = deps;
  if (platform === 'win32') return noKeyring();
  const deadline = deps.deadline ?? (deps.isTerminal ? 60_000 : 8_000);
  const run = (command: readonly string[]) => ending(command, deps.env, deadline);
  const explain = async (end: Ending): Promise<RouterError | null> => {
    if (end.status === -1) return trouble('KEYCHAIN_LIBRARY_MISSING', MISSING[platform] ?? MISSING_TOOL);
    if (end.signal !== null && end.status !== null) return trouble('KEYCHAIN_CRASHED', 'its program crashed');
    return platform === 'darwin' ? securityTrouble(end, deadline) : serviceTrouble(end, deps.env, deadline);
  };
  const isMac = platform === 'darwin';
  return {
    lookup: async (service, account) => {
      const command = isMac
        ? ['security', 'find-generic-password', '-s', service, '-a', account, '-w']
        : ['secret-tool', 'lookup', 'service', service, 'username', account];
      const end = await run(command);
      if (end.status === 0 && end.bytes.length > 0) return textOf(end.bytes);
      const error = await explain(end);
      if (error !== null) throw error;
      return null;
    },
    clear: async (service, account) => {
      const command = isMac
        ? ['security', 'delete-generic-password', '-s', service, '-a', account]
        : ['secret-tool', 'clear', 'service', service, 'username', account];
      const end = await run(command);
      if (end.status === 0) return;
      const error = await explain(end);
      if (error !== null) throw error;
    },
  };
}

function ending(command: readonly string[], env: Env, deadline: number): Promise<Ending> {
  const [file = '', ...args] = command;
  return new Promise((settle) => {
    const chunks: Buffer[] = [];
    let size = 0;
    let isLate = false;
    const child = spawn(file, args, { env: { ...env }, stdio: ['ignore', 'pipe', 'ignore'] });
    const timer = setTimeout(() => {
      isLate = true;
      child.kill('SIGKILL');
    }, deadline);
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= LARGEST_LOGIN) chunks.push(chunk);
    });
    const finish = (status: number | null, signal: NodeJS.Signals | null) => {
      clearTimeout(timer);
      settle({ status, signal, bytes: Buffer.concat(chunks) });
    };
    child.once('error', () => finish(-1, null));
    child.once('close', (status, signal) => finish(isLate ? null : (status ?? 1), signal));
  });
}

/** Exit 1 and nothing said is all that secret-tool 0.20 tells of a missing item and of a locked keyring (measured). */
async function serviceTrouble(end: Ending, env: Env, deadline: number): Promise<RouterError | null> {
  switch (await observeSecretService(env)) {
    case 'no-bus':
      return trouble('KEYCHAIN_NO_BUS', 'there is no session bus here');
    case 'no-service':
      return trouble('KEYCHAIN_NO_SERVICE', 'no keyring service answers on the session bus');
    case 'no-collection':
      return trouble('KEYCHAIN_LOCKED', 'it was never set up or unlocked in this session');
    case 'locked':
      return trouble('KEYCHAIN_LOCKED', 'it is locked');
    case 'silent':
      return trouble('KEYCHAIN_HUNG', 'its service does not answer');
    case 'unlocked':
      return end.status === null ? trouble('KEYCHAIN_HUNG', late(deadline)) : null;
  }
}

/** Exit statuses of security(1): 44 no such item; 36 no interaction allowed, 51 wrong passphrase, 128 dismissed. Not measured. */
function securityTrouble({ status }: Ending, deadline: number): RouterError | null {
  if (status === null) return trouble('KEYCHAIN_HUNG', late(deadline));
  if (status === 44) return null;
  return trouble('KEYCHAIN_DENIED', 'it is locked, or access was denied');
}

/** Never cut inside a character: what Codex stores is JSON in ASCII, or base64. */
function textOf(bytes: Buffer): string {
  return bytes.toString('utf8').replace(/\n$/, '');
}

function noKeyring(): CodexKeyring {
  const refuse = async (): Promise<never> => {
    throw new RouterError(
      'PLATFORM_UNSUPPORTED',
      "Codex keeps this login behind Windows' Credential Manager, which codex-router does not read",
      { hint: 'codex-router login makes a login of its own' },
    );
  };
  return { lookup: refuse, clear: refuse };
}

function late(deadline: number): string {
  return `it did not answer within ${Math.round(deadline / 100) / 10} s`;
}

const MISSING_TOOL = 'secret-tool, which reads it, is not installed';
const MISSING: { readonly [platform: string]: string } = {
  darwin: 'the program security, which reads it, is not there',
};

const HINT: { readonly [code in ErrorCode]?: string } = {
  KEYCHAIN_NO_BUS: 'run it inside your desktop session, or codex-router login makes a login of its own',
  KEYCHAIN_NO_SERVICE:
    'start gnome-keyring, KeePassXC or KWallet, or codex-router login makes a login of its own',
  KEYCHAIN_LIBRARY_MISSING:
    'install it (Debian: apt install libsecret-tools; Fedora: dnf install libsecret; Arch: pacman -S libsecret)',
  KEYCHAIN_LOCKED: 'unlock your keyring and run the command again',
  KEYCHAIN_DENIED: 'unlock it, allow access, and run the command again',
  KEYCHAIN_HUNG:
    'look for a keyring prompt waiting on the desktop, or restart the keyring service, then try again',
  KEYCHAIN_CRASHED: 'run the command again; nothing was changed',
};

function trouble(code: ErrorCode, why: string): RouterError {
  return new RouterError(code, `the keyring in which Codex keeps its login cannot be read: ${why}`, {
    hint: HINT[code] ?? 'run the command again',
  });
}
