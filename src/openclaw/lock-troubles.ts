import type { Stats } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { systemErrorCode } from '../errors.js';
import { ioError } from '../os/atomic.js';
import { readdir, readFile } from '../os/files.js';
import { judgeHolder, pidsTell } from '../os/live-process.js';
import type { HostTrouble } from '../slot/trouble.js';
import { shellWord } from '../text.js';
import { takeAway } from './aside.js';
import { parseGatewayLock } from './gateway-lock.js';
import { notAsFound, statAt } from './judged.js';
import { type Holder, inspectHolder, parsePayload } from './lock-holder.js';
import type { HostLock } from './locks.js';

/** The host's lock files of one located OpenClaw. */
export interface LockPlaces {
  /** Those that are named after a file: `<path>.lock`. */
  readonly locks: readonly HostLock[];
  /** Folders of which every `*.lock` is one. */
  readonly folders: readonly { readonly path: string; readonly staleMs: number }[];
  /** A gateway's locks: a file, or a folder of this host alone in which every `*.lock` is one. */
  readonly gateway: { readonly file: string; readonly folder: string };
}

/**
 * Locks that nobody alive holds, and what lies where one belongs; a live holder is told too. Seen: a folder there makes whoever needs the lock
 * fail for ever (3.28, 5.7, 9.6); an empty file is waited for 30 s by 3.28 and 5.7, and by 9.6 for ever, 147 s at each attempt, and so is a
 * folder `<lock>.reclaim` there; a dead process' lock is taken over at once by all of them.
 */
export async function lockTroubles(places: LockPlaces): Promise<readonly HostTrouble[]> {
  const files = [
    ...places.locks.map(({ path, staleMs }) => ({ path: `${path}.lock`, staleMs })),
    ...(await Promise.all(places.folders.map(locksIn))).flat(),
  ];
  const troubles: HostTrouble[] = [];
  for (const { path, staleMs } of files) {
    // 8.1 and later take a lock away under a folder of this name; one that stays keeps everybody out.
    troubles.push(...(await troubleAt(path, staleMs)), ...(await guardTrouble(`${path}.reclaim`, staleMs)));
  }
  const { file, folder } = places.gateway;
  const gateway = (await locksIn({ path: folder, staleMs: 0 })).map(({ path }) => path);
  for (const path of [...gateway, file]) troubles.push(...(await gatewayTrouble(path)));
  return troubles;
}

async function locksIn({ path, staleMs }: LockPlaces['folders'][number]): Promise<readonly HostLock[]> {
  try {
    const names = (await readdir(path)).filter((name) => name.endsWith('.lock'));
    return names.sort().map((name) => ({ path: join(path, name), staleMs }));
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw ioError(error, path, 'read');
  }
}

async function troubleAt(path: string, staleMs: number): Promise<readonly HostTrouble[]> {
  const found = await statAt(path);
  if (found === null) return [];
  const holder = await inspectHolder(path, staleMs);
  if (holder.kind === 'orphan-folder') return [await folderTrouble(path, found, staleMs)];
  // There, and yet nothing to read: `wx` fails on it as on a lock.
  if (holder.kind === 'gone') return (await statAt(path)) === null ? [] : [linkTrouble(path)];
  if (holder.kind === 'held') return [heldTrouble(path, holder)];
  if (!isNobodys(path, holder.text)) {
    return [heldTrouble(path, { kind: 'held', pid: parsePayload(holder.text).pid, until: null })];
  }
  const isStillLeft = async () => {
    const now = await inspectHolder(path, staleMs);
    return now.kind === 'stale' && isNobodys(path, now.text);
  };
  return [leftTrouble(path, found, holder.text, isStillLeft)];
}

/** Proved: a lock may be taken over for its age alone, but whoever it names can be alive yet. One that names nobody nobody holds. */
function isNobodys(path: string, text: string): boolean {
  const { pid, starttime } = parsePayload(text);
  return pid === null || judgeHolder(pidsTell(dirname(path)), pid, starttime) === 'dead';
}

async function guardTrouble(path: string, staleMs: number): Promise<readonly HostTrouble[]> {
  const found = await statAt(path);
  return found?.isDirectory() ? [await folderTrouble(path, found, staleMs)] : [];
}

async function folderTrouble(path: string, found: Stats, staleMs: number): Promise<HostTrouble> {
  const isEmpty = (await readdir(path)).length === 0;
  const age = Date.now() - found.mtimeMs;
  const isOld = age > staleMs;
  const word = shellWord(path);
  const text = `a folder lies where OpenClaw's lock belongs, and OpenClaw cannot get past it: ${path}`;
  const common = { code: 'LOCK_FOLDER', part: 'lock', danger: isStores(path), text } as const;
  if (!isOld) {
    const text = `${common.text}; it was touched ${Math.max(0, Math.round(age / 1000))} s ago, so a tool may be holding it`;
    return { ...common, text, remedy: `stop that tool, then rmdir ${word}`, mend: null };
  }
  if (!isEmpty)
    return {
      ...common,
      remedy: `look what is in it, then mv ${word} ${shellWord(`${path}.old`)}`,
      mend: null,
    };
  return {
    ...common,
    remedy: `rmdir ${word}`,
    mend: {
      does: `remove the empty folder ${path}`,
      carryOut: async () => {
        await takeAway(path, found);
        return { text: `the empty folder ${path} was removed`, kept: null };
      },
    },
  };
}

function linkTrouble(path: string): HostTrouble {
  const text = `a link to nothing lies where OpenClaw's lock belongs: ${path}`;
  return {
    code: 'LOCK_FOLDER',
    part: 'lock',
    danger: isStores(path),
    text,
    remedy: `rm ${shellWord(path)}`,
    mend: null,
  };
}

/** Where it cannot be taken, a turn writes its old copy of the logins without it, over what came since (3.28, 5.7). */
function isStores(path: string): boolean {
  return basename(path).startsWith('auth-profiles.json.lock');
}

function heldTrouble(path: string, { pid, until }: Extract<Holder, { kind: 'held' }>): HostTrouble {
  const wait =
    until === null ? '' : `, or nobody any more in ${Math.max(1, Math.ceil((until - Date.now()) / 1000))} s`;
  const text = `${pid === null ? 'something' : `process ${pid}`} holds OpenClaw's lock ${path}${wait}`;
  return { code: 'LOCK_HELD', part: 'lock', danger: false, text, remedy: null, mend: null };
}

function leftTrouble(
  path: string,
  found: Stats,
  judged: string,
  isStillLeft: () => Promise<boolean>,
): HostTrouble {
  const { pid } = parsePayload(judged);
  const whose =
    pid === null
      ? 'that names no process, which OpenClaw from 8.1 on never gets past'
      : `of process ${pid}, which is gone`;
  return {
    code: 'LOCK_LEFT',
    part: 'lock',
    danger: false,
    text: `OpenClaw's lock ${path} was left behind: it is one ${whose}`,
    remedy: null,
    mend: {
      does: `remove the lock ${path} that nobody holds`,
      carryOut: async (keep) => {
        if (!(await isStillLeft())) throw notAsFound(path);
        const kept = await keep({ path, mode: found.mode & 0o777, bytes: Buffer.from(judged) });
        await takeAway(path, found);
        return { text: `the lock ${path}, which nobody held, was removed`, kept };
      },
    },
  };
}

/** A gateway's lock has its own words; `runningGateway` reads the ones that are alive. */
async function gatewayTrouble(path: string): Promise<readonly HostTrouble[]> {
  const found = await statAt(path);
  if (found === null) return [];
  if (found.isDirectory()) return [await folderTrouble(path, found, GATEWAY_STALE_MS)];
  const judge = async (): Promise<string | null> => {
    try {
      const text = await readFile(path, 'utf8');
      const lock = parseGatewayLock(text);
      if (lock === null) return null;
      return judgeHolder(pidsTell(dirname(path)), lock.pid, lock.startTime) === 'dead' ? text : null;
    } catch {
      return null;
    }
  };
  const judged = await judge();
  return judged === null ? [] : [leftTrouble(path, found, judged, async () => (await judge()) === judged)];
}

const GATEWAY_STALE_MS = 180_000;
