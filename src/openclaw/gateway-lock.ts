import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { readFile, realpath } from '../os/files.js';
import { isRunning } from './live-process.js';

export interface RunningGateway {
  readonly pid: number;
  /** Null when its lock does not tell (through 6.11). */
  readonly port: number | null;
  /** The lock lies in the state directory, where only its owner writes. */
  readonly trusted: boolean;
}

const lockSchema = z.looseObject({
  pid: z.int().check(z.positive()),
  configPath: z.string(),
  stateDir: z.optional(z.string()),
  port: z.catch(z.optional(z.int().check(z.minimum(1), z.maximum(65535))), undefined),
  role: z.optional(z.string()),
  startTime: z.optional(z.number()),
});

/**
 * The live gateway of a state directory, from the lock it holds while it runs: `gateway.<8 hex of sha256(configPath)>.lock`
 * in `<tmp>/openclaw-<uid>` (3.28 to 7.35) or `<state dir>/tmp/openclaw-<uid>` (8.1 on, there also `gateway.state.lock`,
 * whatever the config). Null when there is no such lock or its process is gone. Not found: one through 7.35 with another
 * temporary folder, or OPENCLAW_ALLOW_MULTI_GATEWAY=1.
 */
export async function runningGateway(
  configPath: string,
  stateDir: string,
  temporary: string = tmpdir(),
): Promise<RunningGateway | null> {
  const uid = process.getuid?.();
  const folder = uid === undefined ? 'openclaw' : `openclaw-${uid}`;
  const real = await realpath(stateDir).catch(() => stateDir);
  const hash = createHash('sha256').update(configPath).digest('hex').slice(0, 8);
  const inState = join(real, 'tmp', folder);
  return (
    (await readLock(join(inState, `gateway.${hash}.lock`), { configPath }, true)) ??
    (await readLock(join(inState, 'gateway.state.lock'), { stateDir: real }, true)) ??
    (await readLock(join(temporary, folder, `gateway.${hash}.lock`), { configPath }, false))
  );
}

async function readLock(
  path: string,
  expected: { readonly configPath?: string; readonly stateDir?: string },
  trusted: boolean,
): Promise<RunningGateway | null> {
  try {
    const lock = lockSchema.parse(JSON.parse(await readFile(path, 'utf8')));
    // From 8.1 on other programs that may not meet a gateway take the same lock.
    if ((lock.role ?? 'gateway') !== 'gateway') return null;
    if (expected.configPath !== undefined && lock.configPath !== expected.configPath) return null;
    if (expected.stateDir !== undefined && lock.stateDir !== expected.stateDir) return null;
    if (!isRunning(lock.pid, lock.startTime ?? null)) return null;
    return { pid: lock.pid, port: lock.port ?? null, trusted };
  } catch {
    return null;
  }
}
