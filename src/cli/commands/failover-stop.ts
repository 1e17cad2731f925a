import { RouterError, systemErrorCode } from '../../errors.js';
import { routerFolders } from '../../os/folders.js';
import { type FoundLock, lookAtLock } from '../../os/found-lock.js';
import { isRunning, startTimeOf } from '../../os/live-process.js';
import { watchLockIn } from '../../os/lock.js';
import { spanText } from '../../router/times.js';
import type { Cli } from '../cli.js';
import { pause } from '../compose.js';
import { DONE, type FailoverStopDocument } from '../documents.js';

export interface StopOptions {
  /** Seconds, as it was typed. */
  readonly timeout?: string;
}

/** `codex-router failover stop`: asks the running watch to end and waits until it has; a switch that it is in the middle of comes first. */
export async function runFailoverStop(cli: Cli, options: StopOptions): Promise<void> {
  const waitMs = waitOf(options);
  const path = watchLockIn(routerFolders(cli.env, cli.platform).data);
  const found = await lookAtLock(path);
  const pid = found?.pid ?? null;
  if (found === null || found.kind === 'dead' || found.kind === 'unnamed') {
    const document: FailoverStopDocument = { ...DONE, result: 'not-running', pid: null };
    return cli.print(document, () => 'no failover watch runs');
  }
  if (pid === null || !found.isHere) throw unsure(found);
  const start = startTimeOf(pid);
  signal(pid);
  await ended(cli, found, start, waitMs);
  const document: FailoverStopDocument = { ...DONE, result: 'stopped', pid };
  cli.print(document, () => `the failover watch (process ${pid}) has ended`);
}

/** s */
const [LONGEST, DEFAULT] = [3600, 90];

function waitOf({ timeout }: StopOptions): number {
  const seconds = timeout === undefined ? DEFAULT : Number(timeout);
  if (timeout?.trim() !== '' && seconds >= 0 && seconds <= LONGEST) return seconds * 1000;
  throw new RouterError('USAGE', `--timeout takes seconds, ${LONGEST} at most`, {
    hint: `codex-router failover stop --timeout ${DEFAULT}`,
  });
}

/** Where pids cannot be judged, a number may be anybody's: nothing is sent to it. */
function unsure({ path, pid, kind }: FoundLock): RouterError {
  if (kind === 'blocked') {
    const message = `${path} is no lock of codex-router's, so that nobody can tell whether a failover watch runs`;
    return new RouterError('BUSY', message, { hint: 'codex-router doctor' });
  }
  const message = `whether process ${pid} is the failover watch cannot be told from here, and it is sent nothing`;
  const hint = 'end the watch where it was started: Ctrl-C, systemctl --user stop, or launchctl bootout';
  return new RouterError('BUSY', message, { hint });
}

function signal(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch (error) {
    // It has ended by itself meanwhile.
    if (systemErrorCode(error) === 'ESRCH') return;
    throw new RouterError('BUSY', `process ${pid}, the failover watch, is another user's`, {
      hint: 'stop it as the user that started it',
      cause: error,
    });
  }
}

const STEP = 100;
const LONG = 2000;

async function ended(
  { say, interruption }: Cli,
  { path, pid, since }: FoundLock,
  start: number | null,
  waitMs: number,
): Promise<void> {
  for (let waited = 0; ; waited += STEP) {
    const now = await lookAtLock(path);
    const isHeld = now !== null && now.pid === pid && now.since === since && now.kind !== 'dead';
    if (!isHeld && (pid === null || start === null || !isRunning(pid, start))) return;
    if (waited >= waitMs) break;
    if (waited === LONG) say('waiting for the failover watch to finish what it has begun ...');
    await pause(STEP, interruption.signal);
  }
  throw new RouterError(
    'BUSY',
    `the failover watch (process ${pid}) has not ended within ${spanText(waitMs)}`,
    {
      hint: 'codex-router failover status; it ends when it has finished what it has begun',
    },
  );
}
