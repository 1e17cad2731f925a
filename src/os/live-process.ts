import { readdirSync, readFileSync, readlinkSync, realpathSync, statfsSync, statSync } from 'node:fs';
import { systemErrorCode } from '../errors.js';

/** Of a lock's holder; `unknown`: nothing but the lock's age tells. */
export type Verdict = 'alive' | 'dead' | 'unknown';

/** The initial pid namespace of every Linux kernel since 3.8 (`PROC_PID_INIT_INO`). */
const FIRST_NAMESPACE = 'pid:[4026531836]';
const OVERLAY = 0x794c7630;
/** Magic numbers (statfs(2)) of file systems that one machine alone can have mounted; what is not here is not judged. */
const LOCAL: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // xfs
  0x9123683e, // btrfs
  0x2fc12fc1, // zfs
  0xca451a4e, // bcachefs
  0xf2f52010, // f2fs
  0x3153464a, // jfs
  0x52654973, // reiserfs
  0x01021994, // tmpfs
  0x858458f6, // ramfs
  0xf15f, // ecryptfs
  0x4d44, // vfat
  0x2011bab0, // exfat
  0x7366746e, // ntfs3
  OVERLAY,
]);
/** 2020 in seconds: what 9.6 writes as `starttime` on macOS (s) and Windows (ms) is above, Linux' clock ticks are below. */
const WALL_CLOCK = 1_577_836_800;

/**
 * Whether everybody who can hold a lock in `folder` is a process that is seen from here, so that a pid without a process is
 * a dead holder's (docs/decisions/0030-pids-not-judged.md). False where that cannot be told, too. Looked at anew each
 * time, in a few calls. Not detected: a folder of this machine that it serves to others, or to a virtual machine.
 */
export function pidsTell(folder: string): boolean {
  if (process.platform !== 'linux') return !realpathSync(folder).startsWith('\\\\');
  try {
    const type = statfsSync(folder).type >>> 0;
    if (!LOCAL.has(type)) return false;
    // With hidepid the processes of others, and so of containers, are not seen.
    if (readlinkSync('/proc/self/ns/pid') === FIRST_NAMESPACE) return procText(1, 'status') !== null;
    // In a container; its own layer, which ends with it, is the one place that no other container mounts.
    return type === OVERLAY && statSync('/').dev === statSync(folder).dev;
  } catch {
    return false;
  }
}

/**
 * Whether the process that a lock names still is the one that took it.
 * @param tell `pidsTell` of the lock's folder.
 * @param starttime what the lock says of `startTimeOf`; null when it does not, and then a live pid proves nothing.
 */
export function judgeHolder(tell: boolean, pid: number, starttime: number | null): Verdict {
  const running = isRunning(pid, starttime);
  // The same pid, started in the same hundredth of a second: whatever the folder, that is the one.
  if (running && starttime !== null && startTimeOf(pid) === starttime) return 'alive';
  if (running || !tell) return 'unknown';
  if (process.platform === 'linux') return holderInContainer(pid, starttime);
  // A Linux container's lock in a folder that it shares with this machine (Docker Desktop).
  return starttime !== null && starttime < WALL_CLOCK ? 'unknown' : 'dead';
}

/** From outside, a process in a container has a pid of ours and, in NSpid, the one it knows itself (and its lock) by. */
function holderInContainer(pid: number, starttime: number | null): Verdict {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const [, ...inner] = numbersAfter('NSpid', procText(Number(name), 'status'));
    if (!inner.includes(pid)) continue;
    if (starttime === null) return 'unknown';
    if (startTimeOf(Number(name)) === starttime && isRunning(Number(name), starttime)) return 'alive';
  }
  return 'dead';
}

function numbersAfter(field: string, status: string | null): readonly number[] {
  const found = new RegExp(`^${field}:\\s+(.*)$`, 'm').exec(status ?? '');
  return found?.[1] === undefined ? [] : found[1].split(/\s+/).map(Number);
}

/**
 * Whether a process of our own pids runs and is the one meant. One of another user counts as alive, a zombie as gone.
 * @param starttime as for `judgeHolder`.
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
 * /proc/<pid>/stat; the name before it may hold blanks), the same number inside and outside of a container; null where
 * unknown.
 */
export function startTimeOf(pid: number): number | null {
  const text = procText(pid, 'stat');
  if (text === null) return null;
  const ticks = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[19]);
  return Number.isInteger(ticks) && ticks > 0 ? ticks : null;
}

/** Null too where /proc was left behind in a pid namespace that we are not in: its numbers are not our pids. */
function procText(pid: number, name: string): string | null {
  if (process.platform !== 'linux') return null;
  try {
    if (readlinkSync('/proc/self') !== String(process.pid)) return null;
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return null;
  }
}
