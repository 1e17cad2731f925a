import { dirname } from 'node:path';
import { systemErrorCode } from '../errors.js';
import { ioError } from '../os/atomic.js';
import { lstat, readFile } from '../os/files.js';
import { judgeHolder, pidsTell } from '../os/live-process.js';

/** Who holds a lock, as far as it can be told. */
export type Holder =
  | { readonly kind: 'gone' }
  /** `until`: ms epoch from which a lock counts as left behind whose holder cannot be judged; null for a proved one. */
  | { readonly kind: 'held'; readonly pid: number | null; readonly until: number | null }
  | { readonly kind: 'stale'; readonly text: string }
  | { readonly kind: 'orphan-folder' };

/**
 * OpenClaw's rule since 5.12: a proved holder keeps its lock however old it is, a dead or recycled process' is free at
 * once. Unlike there, a pid counts only where it means something (docs/decisions/0030-pids-not-judged.md), and what
 * cannot be judged goes by its age.
 * @throws IO when the lock cannot be read.
 */
export async function inspectHolder(path: string, staleMs: number): Promise<Holder> {
  let text: string;
  let modified: number;
  try {
    const found = await lstat(path);
    if (found.isDirectory()) return { kind: 'orphan-folder' };
    if (!found.isFile() && !found.isSymbolicLink()) return { kind: 'held', pid: null, until: null };
    modified = found.mtimeMs;
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return { kind: 'gone' };
    throw ioError(error, path, 'read');
  }
  const { pid, createdAt, starttime } = parsePayload(text);
  const verdict = pid === null ? 'unknown' : judgeHolder(pidsTell(dirname(path)), pid, starttime);
  if (verdict === 'dead') return { kind: 'stale', text };
  if (verdict === 'alive') return { kind: 'held', pid, until: null };
  const until = (createdAt ?? modified) + staleMs;
  return Date.now() > until ? { kind: 'stale', text } : { kind: 'held', pid, until };
}

/** What a lock's text says of its holder; null for what it does not say, and all of it for text that is no lock's. */
export function parsePayload(text: string): {
  pid: number | null;
  createdAt: number | null;
  starttime: number | null;
} {
  try {
    const value = JSON.parse(text) as { pid?: unknown; createdAt?: unknown; starttime?: unknown } | null;
    const created = typeof value?.createdAt === 'string' ? Date.parse(value.createdAt) : Number.NaN;
    return {
      pid: whole(value?.pid),
      createdAt: Number.isFinite(created) ? created : null,
      starttime: whole(value?.starttime),
    };
  } catch {
    return { pid: null, createdAt: null, starttime: null };
  }
}

function whole(value: unknown): number | null {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : null;
}
