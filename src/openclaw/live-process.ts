import { readFileSync } from 'node:fs';
import { systemErrorCode } from '../errors.js';

/**
 * Whether the process a lock names still is the one that took it. One of another user counts as alive, a zombie as gone.
 * @param starttime what the lock says of `startTimeOf`; null when it does not.
 */
export function isRunning(pid: number, starttime: number | null): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return systemErrorCode(error) === 'EPERM';
  }
  if (/^State:\s+Z/m.test(procText(pid, 'status') ?? '')) return false;
  const now = starttime === null ? null : startTimeOf(pid);
  return now === null || now === starttime;
}

/**
 * The start of a process in clock ticks since boot, by which OpenClaw on Linux tells a reused pid (field 22 of
 * /proc/<pid>/stat; the name before it may hold blanks); null where unknown.
 */
export function startTimeOf(pid: number): number | null {
  const text = procText(pid, 'stat');
  if (text === null) return null;
  const ticks = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[19]);
  return Number.isInteger(ticks) && ticks > 0 ? ticks : null;
}

function procText(pid: number, name: string): string | null {
  if (process.platform !== 'linux') return null;
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return null;
  }
}
