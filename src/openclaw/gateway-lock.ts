import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { readFile } from '../os/files.js';
import { isRunning } from './live-process.js';

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
    if (lock.configPath !== configPath || !isRunning(lock.pid, lock.startTime ?? null)) return null;
    return lock.pid;
  } catch {
    return null;
  }
}
