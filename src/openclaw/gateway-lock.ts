import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readFile, realpath } from '../os/files.js';
import { isRunning } from '../os/live-process.js';

export interface RunningGateway {
  readonly pid: number;
  /** Null when its lock does not tell (through 6.11). */
  readonly port: number | null;
  /** The lock lies in the state directory, where only its owner writes. */
  readonly trusted: boolean;
}

interface GatewayLock {
  readonly pid: number;
  readonly configPath: unknown;
  readonly stateDir: unknown;
  readonly port: number | null;
  readonly role: unknown;
  readonly startTime: number | null;
}

/** By hand, like all that `list` may read (docs/decisions/0006). Null for what is no lock. @throws SyntaxError */
export function parseGatewayLock(text: string): GatewayLock | null {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || !('pid' in value)) return null;
  const lock: { readonly [name: string]: unknown } = { ...value };
  const { pid, configPath, stateDir, port, role, startTime } = lock;
  if (typeof pid !== 'number' || !Number.isInteger(pid) || pid <= 0) return null;
  const known = typeof port === 'number' && Number.isInteger(port) && port > 0 && port < 65536;
  const started = typeof startTime === 'number' ? startTime : null;
  return { pid, configPath, stateDir, port: known ? port : null, role, startTime: started };
}

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
  const real = await realpath(stateDir).catch(() => stateDir);
  const name = gatewayLockName(configPath);
  const inState = gatewayFolder(join(real, 'tmp'));
  return (
    (await readLock(join(inState, name), { configPath }, true)) ??
    (await readLock(join(inState, 'gateway.state.lock'), { stateDir: real }, true)) ??
    (await readLock(join(gatewayFolder(temporary), name), { configPath }, false))
  );
}

/** Where the gateways of this user keep their locks, below the temporary folder that they have. */
export function gatewayFolder(temporary: string): string {
  const uid = process.getuid?.();
  return join(temporary, uid === undefined ? 'openclaw' : `openclaw-${uid}`);
}

export function gatewayLockName(configPath: string): string {
  return `gateway.${createHash('sha256').update(configPath).digest('hex').slice(0, 8)}.lock`;
}

async function readLock(
  path: string,
  expected: { readonly configPath?: string; readonly stateDir?: string },
  trusted: boolean,
): Promise<RunningGateway | null> {
  try {
    const lock = parseGatewayLock(await readFile(path, 'utf8'));
    if (lock === null) return null;
    // From 8.1 on other programs that may not meet a gateway take the same lock.
    if ((lock.role ?? 'gateway') !== 'gateway') return null;
    if (expected.configPath !== undefined && lock.configPath !== expected.configPath) return null;
    if (expected.stateDir !== undefined && lock.stateDir !== expected.stateDir) return null;
    if (!isRunning(lock.pid, lock.startTime)) return null;
    return { pid: lock.pid, port: lock.port, trusted };
  } catch {
    return null;
  }
}
