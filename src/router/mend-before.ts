import * as z from 'zod/mini';
import { damage } from '../repo/format.js';
import type { Before } from './finding.js';

const text = z.nullable(z.string());
const bytes = z.string();

const format = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('pins'),
    agent: z.string(),
    pins: z.array(z.object({ key: z.string(), was: text, is: text })),
  }),
  z.object({
    kind: z.literal('selection'),
    agent: z.string(),
    slots: z.array(z.object({ id: z.string(), order: z.nullable(z.array(z.string())), lastGood: text })),
  }),
  z.object({
    kind: z.literal('file'),
    path: z.string(),
    mode: z.int(),
    bytes: z.nullable(bytes),
    next: z.optional(bytes),
    restarts: z.optional(z.boolean()),
    nextMode: z.optional(z.int()),
  }),
]);

/** What is kept, and in which OpenClaw it stood. */
export interface Kept {
  readonly stateDir: string;
  readonly before: Before;
}

/** As it is sealed: JSON, the bytes of a file in base64url. */
export function encodeBefore(before: Before, stateDir: string): string {
  if (before.kind !== 'file') return JSON.stringify({ ...before, stateDir });
  const { bytes: held, next } = before;
  return JSON.stringify({
    ...before,
    stateDir,
    bytes: held && Buffer.from(held).toString('base64url'),
    ...(next !== undefined && { next: Buffer.from(next).toString('base64url') }),
  });
}

/** @throws RECORD_DAMAGED for what is no such text */
export function parseBefore(sealed: string, id: string): Kept {
  const value = parseJson(sealed, id);
  const place = z.object({ stateDir: z.string() }).safeParse(value);
  const found = format.safeParse(value);
  if (!found.success || !place.success) throw notOne(id);
  const { stateDir } = place.data;
  if (found.data.kind !== 'file') return { stateDir, before: found.data };
  const { bytes: held, next, restarts, nextMode, ...file } = found.data;
  const before: Before = {
    ...file,
    bytes: held === null ? null : Buffer.from(held, 'base64url'),
    ...(next !== undefined && { next: Buffer.from(next, 'base64url') }),
    ...(restarts !== undefined && { restarts }),
    ...(nextMode !== undefined && { nextMode }),
  };
  return { stateDir, before };
}

function parseJson(sealed: string, id: string): unknown {
  try {
    return JSON.parse(sealed);
  } catch {
    throw notOne(id);
  }
}

function notOne(id: string) {
  return damage(`the back-up ${id}`, 'what is sealed in it is not what stood somewhere', 'RECORD_DAMAGED');
}
