import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { systemErrorCode } from '../errors.js';
import { readFile } from '../os/files.js';

const lockSchema = z.looseObject({
  pid: z.int().check(z.positive()),
  configPath: z.string(),
  startTime: z.optional(z.number()),
});

/**
 * The pid of a live gateway that runs on `configPath`, from the lock it holds while it runs (3.28 and 5.7:
 * `<tmp>/openclaw-<uid>/gateway.<8 hex of sha256(configPath)>.lock`); the lock does not tell its port. Null when there is no
 * such lock or its process is gone. Not found: a gateway with another temporary folder, or OPENCLAW_ALLOW_MULTI_GATEWAY=1.
 */
export async function runningGateway(
  configPath: string,
  temporary: string = tmpdir(),
): Promise<number | null> {
  const uid = process.getuid?.();
  const folder = join(temporary, uid === undefined ? 'openclaw' : `openclaw-${uid}`);
  const hash = createHash('sha256').update(configPath).digest('hex').slice(0, 8);
  try {
    const lock = lockSchema.parse(JSON.parse(await readFile(join(folder, `gateway.${hash}.lock`), 'utf8')));
    if (lock.configPath !== configPath || !isAlive(lock.pid)) return null;
    if (lock.startTime !== undefined && (await startTimeOf(lock.pid)) !== lock.startTime) return null;
    return lock.pid;
  } catch {
    return null;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return systemErrorCode(error) === 'EPERM';
  }
}

/** Field 22 of /proc/<pid>/stat, by which OpenClaw on Linux tells a reused pid; the name before it may hold blanks. */
async function startTimeOf(pid: number): Promise<number | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[19]);
}
