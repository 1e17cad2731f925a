import { readFileSync } from 'node:fs';
import { isatty } from 'node:tty';
import { RouterError } from '../errors.js';
import type { Cli } from './cli.js';
import { sqliteHost } from './compose.js';
import type { HostOptions } from './options.js';

/** Set in the second run: a Node that turns out to be no better is not tried again. */
const GUARD = 'CODEX_ROUTER_RERUN';

/**
 * For a Node without node:sqlite: when the OpenClaw that is meant keeps anything in SQLite: runs this same command line under a Node
 * that has it, and gives its status; else null. Must come before anything is read from stdin, printed or locked.
 * @throws HOST_NODE_TOO_OLD when there is no such Node; USAGE as `findPlaces`.
 */
export async function rerunForSqlite(
  proc: NodeJS.Process,
  cli: Cli,
  options: HostOptions,
): Promise<number | null> {
  const host = await sqliteHost(cli, options, proc.cwd());
  if (host === null) return null;
  const found = cli.env[GUARD] === undefined ? await host.findNode() : null;
  if (found === null) throw tooOld(proc);
  return await runUnder(found, proc, cli.platform);
}

function tooOld({ versions }: NodeJS.Process): RouterError {
  return new RouterError(
    'HOST_NODE_TOO_OLD',
    `this OpenClaw keeps its logins in SQLite, which Node ${versions.node} cannot read, and no Node 22.13 or later was found`,
    { hint: 'run codex-router with the Node that runs OpenClaw, or put that one on PATH' },
  );
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The exit status of the same command line under `node`; 128 + n when signal n ended it. */
async function runUnder(node: string, proc: NodeJS.Process, platform: NodeJS.Platform): Promise<number> {
  const { spawn } = await import('node:child_process');
  const child = spawn(node, proc.argv.slice(1), { stdio: 'inherit', env: { ...proc.env, [GUARD]: '1' } });
  // From here on the second run answers, also to a signal: what this one would say would be a second answer.
  for (const signal of SIGNALS) {
    proc.removeAllListeners(signal);
    proc.on(signal, () => {
      if (!reachesBoth(signal, platform)) child.kill(signal);
    });
  }
  const ended = await new Promise<NodeJS.Signals | number | null>((resolve) => {
    child.on('exit', (code, signal) => resolve(signal ?? code));
    child.on('error', () => resolve(null));
  });
  if (ended === null) throw tooOld(proc);
  if (typeof ended === 'number') return ended;
  return 128 + proc.getBuiltinModule('node:os').constants.signals[ended];
}

/**
 * Whether the terminal has sent it to the second run too: it does with Ctrl-C and when it goes, to all that run in its foreground.
 * Sent twice, it would end at once what is to be finished first.
 */
function reachesBoth(signal: NodeJS.Signals, platform: NodeJS.Platform): boolean {
  if (signal === 'SIGTERM') return false;
  if (platform === 'win32') return true;
  if (platform !== 'linux') return hasTerminal();
  try {
    // proc(5): pid (name) state ppid pgrp session tty_nr tpgid
    const text = readFileSync('/proc/self/stat', 'utf8');
    const [, , group, , terminal, foreground] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return terminal !== '0' && group === foreground;
  } catch {
    return hasTerminal();
  }
}

function hasTerminal(): boolean {
  return isatty(0) || isatty(2);
}
