import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { RouterError } from '../errors.js';
import type { Env } from '../os/folders.js';
import type { KeychainOutcome, KeychainRequest } from './keychain-child.js';

export interface KeychainDeps {
  /** The built src/repo/keychain-child.ts. */
  readonly childPath: string;
  /** The Node that runs it. */
  readonly execPath: string;
  readonly env: Env;
  readonly platform: NodeJS.Platform;
  /** On a terminal a person may have to answer the keychain's own prompt: a longer deadline. */
  readonly isTerminal: boolean;
  /** ms; default 8,000, and 60,000 on a terminal. */
  readonly deadline?: number;
}

/**
 * The OS keychain, each call in a child process that is killed at its deadline.
 * Every method throws, within that time, KEYCHAIN_NO_BUS, _NO_SERVICE, _LIBRARY_MISSING, _LOCKED, _DENIED, _HUNG or
 * _CRASHED when the keychain cannot be used.
 */
export interface Keychain {
  /** Starts the child of the next call ahead of it; harmless when no call follows and `close` does. */
  warm(): void;
  /** Null only when the keychain is usable and has no such item; a locked one that reads as empty throws. */
  get(account: string): Promise<string | null>;
  /** Writes a new item and reads it back. The account must never have been used: overwriting can block for ever. */
  set(account: string, value: string): Promise<void>;
  /** False when there was no such item. */
  delete(account: string): Promise<boolean>;
  /** Proves that items can be written, read and deleted, on a random account. */
  probe(): Promise<void>;
  /** Ends a child that was warmed and not used. */
  close(): void;
}

export const SERVICE = 'codex-router';

/** Starts nothing and loads nothing until a method is called. */
export function openKeychain(deps: KeychainDeps): Keychain {
  let warm: Promise<ChildProcess> | null = null;

  async function call(op: KeychainRequest['op'], account: string, value?: string) {
    const deadline = deps.deadline ?? (deps.isTerminal ? 60_000 : 8_000);
    const child = await (warm ?? start(deps));
    warm = null;
    const request = { op, service: SERVICE, account, deadline, probe: `probe:${randomUUID()}` };
    const outcome = await exchange(child, value === undefined ? request : { ...request, value }, deadline);
    if (outcome.stage === 'done' && outcome.probe === null) return outcome.value;
    const { explainKeychain } = await import('./keychain-trouble.js');
    throw await explainKeychain(outcome, { env: deps.env, platform: deps.platform, deadline });
  }

  return {
    warm() {
      warm ??= start(deps);
    },
    async get(account) {
      const value = await call('get', account);
      return typeof value === 'string' ? value : null;
    },
    async set(account, value) {
      await call('set', account, value);
    },
    async delete(account) {
      return (await call('delete', account)) === true;
    },
    async probe() {
      await call('probe', '');
    },
    close() {
      warm?.then((child) => child.kill('SIGKILL'));
      warm = null;
    },
  };
}

async function start(deps: KeychainDeps): Promise<ChildProcess> {
  const { spawn } = await import('node:child_process');
  const child = spawn(deps.execPath, [deps.childPath], {
    env: { ...deps.env },
    stdio: ['pipe', 'pipe', 'ignore'],
    windowsHide: true,
  });
  // Both may fail before anybody asks: the exchange reads how the child ended instead.
  child.on('error', () => undefined);
  child.stdin?.on('error', () => undefined);
  return child;
}

function exchange(child: ChildProcess, request: KeychainRequest, deadline: number): Promise<KeychainOutcome> {
  return new Promise((resolve) => {
    let text = '';
    const finish = (outcome: KeychainOutcome) => {
      clearTimeout(timer);
      // An answer is complete at its newline; the child may linger inside the library, so it is not waited for.
      child.kill('SIGKILL');
      child.stdout?.destroy();
      resolve(outcome);
    };
    const ended = () => {
      if (child.signalCode !== null) return `signal ${child.signalCode}`;
      return child.exitCode === null ? 'no start' : `exit status ${child.exitCode}`;
    };
    const timer = setTimeout(() => finish({ stage: 'hung' }), deadline);
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (text.endsWith('\n')) finish(parseAnswer(text));
    });
    child.on('close', () => finish({ stage: 'crashed', how: ended() }));
    child.on('error', () => finish({ stage: 'crashed', how: 'no start' }));
    if (child.exitCode !== null || child.signalCode !== null) finish({ stage: 'crashed', how: ended() });
    child.stdin?.end(JSON.stringify(request));
  });
}

/** Our own child's line; anything else on stdout counts as a crash. */
function parseAnswer(text: string): KeychainOutcome {
  const unreadable = { stage: 'crashed', how: 'an unreadable answer' } as const;
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    return unreadable;
  }
  if (!isFields(answer)) return unreadable;
  const { stage, value, probe } = answer;
  if (stage === 'load' || stage === 'call') {
    return typeof answer.text === 'string' ? { stage, text: answer.text } : unreadable;
  }
  const told = value === null || typeof value === 'string' || typeof value === 'boolean';
  if (stage !== 'done' || !told || (probe !== null && typeof probe !== 'string')) return unreadable;
  return { stage, value, probe };
}

function isFields(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null;
}

/** The item of an unlocker: unique per key ever made. */
export function keychainAccount(unlockerId: string): string {
  return `vault:${unlockerId}`;
}

export function keyDeleted(): RouterError {
  return new RouterError('KEY_MISSING', "the vault's key was deleted from the OS keychain", {
    hint: 'restore the keychain item codex-router from a backup of the keychain',
  });
}
