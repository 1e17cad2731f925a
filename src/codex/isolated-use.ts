import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { judgeHolder, pidsTell, startTimeOf } from '../os/live-process.js';

/** ms after which nobody waits for a login any more: a device code lives for 15 minutes. */
const LONG = 60 * 60 * 1000;

/** A name for a home of this process: who made it is told from the first moment on. */
export function homeName(): string {
  return `${process.pid}-${startTimeOf(process.pid) ?? 0}-${randomBytes(6).toString('hex')}`;
}

export function isHomeName(name: string): boolean {
  return NAME.test(name);
}

const NAME = /^([1-9]\d*)-(\d+)-[0-9a-f]{12}$/;

/**
 * `used`: the `add` that made a home still runs, or a Codex that it started: killed alone, it leaves one that goes on waiting for the
 * person and then writes its login. `free`: nobody will write into it any more. `done-with-login`: nobody needs it once it holds a
 * login. Ask before looking into the home: what is found then is all that will ever be there.
 */
export type Use = 'used' | 'free' | 'done-with-login';

/**
 * Who still uses a home, whoever made it. Where that cannot be told (another container's home, a system without /proc), it counts as
 * used for an hour after it was last changed.
 * @param now ms epoch
 */
export function useOf(folder: string, now: number): Use {
  const [, pid, start] = NAME.exec(basename(folder)) ?? [];
  const tells = pidsTell(dirname(folder));
  const maker = judgeHolder(tells, Number(pid), Number(start) || null);
  const runs = codexIn(basename(folder));
  if (maker === 'alive' || runs === true) return 'used';
  if (runs === false && tells && maker === 'dead') return 'free';
  const isYoung = Math.abs(now - changedAt(folder)) < LONG;
  if (!isYoung) return 'free';
  return maker === 'dead' ? 'done-with-login' : 'used';
}

/** ms epoch; 0 for one that is gone. */
function changedAt(folder: string): number {
  return statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** The same of a home of this process, whose Codex has ended: killed alone, its launcher leaves the program itself. */
export function useOfOwn(folder: string): Use {
  return codexIn(basename(folder)) === true ? 'done-with-login' : 'free';
}

/** Whether a process of this person has that home for its CODEX_HOME; null where processes do not tell. Children inherit it. */
function codexIn(name: string): boolean | null {
  if (process.platform !== 'linux') return null;
  const wanted = new RegExp(`(?:^|\\0)CODEX_HOME=[^\\0]*/${name}/?(?:\\0|$)`);
  try {
    return readdirSync('/proc').some((pid) => /^\d+$/.test(pid) && wanted.test(environOf(pid)));
  } catch {
    return null;
  }
}

/** '' for one that has ended, or is another user's. */
function environOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1');
  } catch {
    return '';
  }
}
