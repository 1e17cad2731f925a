import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { bare } from '../kit/process.js';
import { real, type Tester } from '../kit/real.js';
import type { Release } from '../kit/releases.js';
import { PROJECT, sandbox } from '../kit/router.js';

/** What an installed OpenClaw reads in a state directory. */
export interface RealLook {
  /** Refresh token by profile id. */
  readonly logins: Readonly<Record<string, string>>;
  /** Whether it finds the session; null for a release whose sessions are not asked for. */
  readonly session: boolean | null;
}

/** Whoever asks gives each state directory a path of its own: OpenClaw keeps a database open once it has seen it. */
export type RealEyes = (stateDir: string, session: string) => Promise<RealLook>;

const EYES = fileURLToPath(new URL('./real-look.mjs', import.meta.url));

/** Loads the plugin SDK of an installed release once; null when it is not installed (see `real`). It ends with the test. */
export function realEyes(t: Tester, release: Release): RealEyes | null {
  const found = real(t, 'node24', `openclaw-${release}`);
  if (found === null) return null;
  const box = sandbox(t);
  mkdirSync(box.stateDir);
  const env = {
    ...box.env,
    NO_COLOR: '1',
    npm_config_offline: 'true',
    NODE_COMPILE_CACHE: path.join(PROJECT, '.cache', 'node-compile'),
  };
  const root = path.dirname(found[`openclaw-${release}`]);
  const [file = '', ...args] = bare([found.node24, EYES, root], env);
  const child = spawn(file, args, { cwd: box.home, stdio: ['pipe', 'ignore', 'pipe', 'pipe'] });
  const closed = once(child, 'close');
  const [stdin, , stderr, answers] = child.stdio;
  if (!(stdin instanceof Writable) || !(answers instanceof Readable)) throw new Error('no pipes');
  stdin.on('error', () => undefined);
  let said = '';
  stderr?.on('data', (chunk) => {
    said += chunk;
  });
  t.teardown(async () => {
    stdin.end();
    const patience = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await closed;
    clearTimeout(patience);
  });
  const lines = createInterface({ input: answers })[Symbol.asyncIterator]();
  let last: Promise<unknown> = Promise.resolve();
  return (stateDir, session) => {
    const answered = last.then(async () => {
      stdin.write(`${JSON.stringify({ stateDir, session })}\n`);
      const { value: line, done } = await lines.next();
      if (done) throw new Error(`OpenClaw ${release} ended (${child.exitCode ?? child.signalCode}): ${said}`);
      const { error, ...look } = JSON.parse(line);
      if (error) throw new Error(`OpenClaw ${release}: ${error}`);
      return look as RealLook;
    });
    last = answered.catch(() => undefined);
    return answered;
  };
}
