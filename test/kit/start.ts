import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { bare, until } from './process.js';
import { type Owner, PROJECT, type Sandbox } from './router.js';

/** The built codex-router, running. */
export interface Started {
  kill(signal: NodeJS.Signals): void;
  /** What it has said so far. */
  readonly said: { readonly stdout: string; readonly stderr: string };
  /** Exit status and signal. */
  readonly ended: Promise<unknown>;
}

/** Starts it in the sandbox, without a terminal; killed at the latest when the test ends. */
export function startRouter(t: Owner, box: Sandbox, args: readonly string[]): Started {
  const program = path.join(PROJECT, 'dist', 'codex-router.js');
  const [file = '', ...rest] = bare([process.execPath, program, ...args], box.env);
  const child = spawn(file, rest, { cwd: box.home, stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    said.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    said.stderr += chunk;
  });
  return { kill: (signal) => child.kill(signal), said, ended: once(child, 'exit') };
}

/** Waits until no such process runs. */
export async function gone(pid: number): Promise<void> {
  await until(`process ${pid} ends`, () => {
    try {
      process.kill(pid, 0);
      return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
    } catch {
      return true;
    }
  });
}
