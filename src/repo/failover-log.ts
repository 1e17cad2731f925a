import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { type ErrorCode, EXIT_OF, systemErrorCode } from '../errors.js';
import {
  FAILOVER_HOLDS,
  FAILOVER_REASONS,
  FAILOVER_STATUSES,
  type FailoverHold,
  type FailoverReason,
  type FailoverStatus,
} from '../failover.js';
import type { IdentityKey } from '../identity.js';
import { parseJsonObject } from '../json.js';
import { ioError, syncFolder, unlinkDurably, writeAtomic } from '../os/atomic.js';
import { constants, open, rename } from '../os/files.js';
import { ensureFolder } from '../os/folders.js';
import { hashed } from './chat-state.js';
import { failoverFolder } from './failover-state.js';
import { readTextOrNull } from './format.js';

/**
 * `started`, `stopped`: a watch; `decided`: a round that changed nothing; `left`: an own slot was given up; `failed`: a round ended with an
 * error; `notify-failed`: the person could not be told.
 */
export const FAILOVER_EVENTS = [
  'started',
  'stopped',
  'decided',
  'switched',
  'left',
  'failed',
  'notify-failed',
] as const;
export type FailoverEventKind = (typeof FAILOVER_EVENTS)[number];

interface Told {
  /** ms epoch */
  readonly at: number;
  readonly kind: FailoverEventKind;
  /** Whether `--apply` was given. */
  readonly apply: boolean;
  readonly reason: FailoverReason | null;
  readonly status: FailoverStatus | null;
  readonly held: FailoverHold | null;
  /** An error's; null without one. */
  readonly code: ErrorCode | null;
}

/** What happened, with names as they are: the log masks them itself. */
export interface FailoverEvent extends Told {
  /** `SlotAddress.id` */
  readonly slot: string | null;
  /** Session keys. */
  readonly sessions: readonly string[];
  readonly from: IdentityKey | null;
  readonly to: IdentityKey | null;
}

/** Eight characters [a-z2-7] that stand for a slot, a session or an identity: a keyed hash under a salt of this log. */
export type Mask = string & { readonly mask: unique symbol };

/** An event as it is kept: who and where are masks, the same one for the same thing. */
export interface LoggedEvent extends Told {
  readonly slot: Mask | null;
  readonly sessions: readonly Mask[];
  readonly from: Mask | null;
  readonly to: Mask | null;
}

/** `failover/events.jsonl` in the data folder, 0600: 256 KB, then events.1.jsonl to events.3.jsonl, and the oldest goes. */
export interface FailoverLog {
  /** Adds one line. Under the router lock. @throws IO */
  append(event: FailoverEvent): Promise<void>;
  /** The last `count` events, oldest first; a line that is torn or of a later release is left out. Writes nothing. @throws IO */
  last(count: number): Promise<readonly LoggedEvent[]>;
  /** The mask this log has for something, so that a person who asks can be told the name; null before the first event. @throws IO */
  maskOf(what: MaskedKind, text: string): Promise<Mask | null>;
}

export type MaskedKind = 'slot' | 'session' | 'identity';

/** @param data the data folder */
export function failoverLogIn(data: string): FailoverLog {
  const folder = failoverFolder(data);
  const files = NAMES.map((name) => join(folder, name));
  const [newest = ''] = files;
  const saltPath = join(folder, 'salt');
  const readSalt = async (): Promise<string | null> => {
    const text = (await readTextOrNull(saltPath))?.trim() ?? '';
    return SALT.test(text) ? text : null;
  };
  /** One that cannot be used is written anew: what it masked keeps its masks, and only its name is not told any more. */
  const saltOrNew = async (): Promise<string> => {
    const known = await readSalt();
    if (known !== null) return known;
    const salt = randomBytes(32).toString('base64url');
    await writeAtomic(saltPath, `${salt}\n`);
    return salt;
  };
  return {
    append: async (event) => {
      await ensureFolder(folder);
      const line = `${JSON.stringify({ v: 1, ...maskedWith(await saltOrNew(), event) })}\n`;
      if ((await sizeOf(newest)) + line.length > LARGEST) await rotate(folder, files);
      await append(newest, line);
    },
    last: async (wanted) => {
      let events: readonly LoggedEvent[] = [];
      let newer = '';
      for (const path of files) {
        if (events.length >= wanted) break;
        const text = (await readTextOrNull(path)) ?? '';
        // It was rotated while it was read.
        if (text === newer) continue;
        newer = text;
        events = [...text.split('\n').flatMap((line) => parseLine(line) ?? []), ...events];
      }
      return wanted > 0 ? events.slice(-wanted) : [];
    },
    maskOf: async (what, text) => {
      const salt = await readSalt();
      return salt === null ? null : mask(salt, what, text);
    },
  };
}

/** The newest first. */
const NAMES = ['events.jsonl', 'events.1.jsonl', 'events.2.jsonl', 'events.3.jsonl'] as const;

/** Bytes of one file; a line is about 250, all of it ASCII. */
const LARGEST = 256 * 1024;
const SALT = /^[A-Za-z0-9_-]{43}$/;

/** A line stays short whatever is configured. */
const MOST_SESSIONS = 50;

/** Member by member: what else an object carries gets into no file. */
function maskedWith(
  salt: string,
  { at, kind, apply, slot, sessions, from, to, reason, status, held, code }: FailoverEvent,
): LoggedEvent {
  const one = (what: MaskedKind, text: string | null) => (text === null ? null : mask(salt, what, text));
  return {
    at,
    kind,
    apply,
    slot: one('slot', slot),
    sessions: sessions.slice(0, MOST_SESSIONS).map((key) => mask(salt, 'session', key)),
    from: one('identity', from),
    to: one('identity', to),
    reason,
    status,
    held,
    code,
  };
}

function mask(salt: string, what: MaskedKind, text: string): Mask {
  return hashed(salt, `failover ${what}`, text) as Mask;
}

async function rotate(folder: string, files: readonly string[]): Promise<void> {
  await unlinkDurably(folder, NAMES[NAMES.length - 1] ?? '');
  for (let place = files.length - 1; place > 0; place -= 1) {
    const [from = '', to = ''] = [files[place - 1], files[place]];
    try {
      await rename(from, to);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw ioError(error, from, 'write');
    }
  }
  await syncFolder(folder);
}

/** 0 where there is none. */
async function sizeOf(path: string): Promise<number> {
  try {
    const file = await open(path, 'r');
    try {
      return (await file.stat()).size;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return 0;
    throw ioError(error, path, 'read');
  }
}

async function append(path: string, line: string): Promise<void> {
  try {
    const file = await open(path, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT, 0o600);
    try {
      const { size } = await file.stat();
      const { buffer, bytesRead } = await file.read(Buffer.alloc(1), 0, 1, Math.max(0, size - 1));
      // A line torn by a crash must not swallow this one.
      await file.writeFile(bytesRead === 1 && buffer[0] !== 0x0a ? `\n${line}` : line);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw ioError(error, path, 'write');
  }
}

const maskText = z.custom<Mask>((text) => typeof text === 'string' && /^[a-z2-7]{8}$/.test(text));
const logged = z.object({
  v: z.literal(1),
  at: z.number(),
  kind: z.enum(FAILOVER_EVENTS),
  apply: z.boolean(),
  slot: z.nullable(maskText),
  sessions: z.array(maskText),
  from: z.nullable(maskText),
  to: z.nullable(maskText),
  reason: z.nullable(z.enum(FAILOVER_REASONS)),
  status: z.nullable(z.enum(FAILOVER_STATUSES)),
  held: z.nullable(z.enum(FAILOVER_HOLDS)),
  code: z.nullable(z.custom<ErrorCode>((code) => typeof code === 'string' && Object.hasOwn(EXIT_OF, code))),
});

/** Null for a torn or foreign line. */
function parseLine(text: string): LoggedEvent | null {
  const found = logged.safeParse(parseJsonObject(text));
  if (!found.success) return null;
  const { v: _, ...event } = found.data;
  return event;
}
