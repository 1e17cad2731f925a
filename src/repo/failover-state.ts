import { join } from 'node:path';
import * as z from 'zod/mini';
import { type ErrorCode, EXIT_OF, RouterError } from '../errors.js';
import { FAILOVER_STATUSES, type FailoverMemory, type FailoverStatus } from '../failover.js';
import { identityKey, parseAccountId, parseUserId } from '../identity.js';
import { writeAtomic } from '../os/atomic.js';
import { ensureFolder } from '../os/folders.js';
import { FORMAT_VERSION, parseVersioned, readTextOrNull } from './format.js';

/** Failover's own folder in the data folder: state.json, events.jsonl and those rotated, the salt of its masks, watch.lock. */
export function failoverFolder(data: string): string {
  return join(data, 'failover');
}

/** What a watch says of itself; stays as it is when it is killed. */
export interface WatchStatus {
  readonly pid: number;
  /** ms epoch */
  readonly startedAt: number;
  readonly apply: boolean;
  /** ms */
  readonly intervalMs: number;
  /** How many sessions it looks after. */
  readonly sessions: number;
  /** ms epoch of the end of the last round; null before the first. */
  readonly lastRoundAt: number | null;
  readonly lastStatus: FailoverStatus | null;
  /** Where the last round ended with an error. */
  readonly lastError: ErrorCode | null;
  /** ms epoch of a clean end; null while it runs, or when it was killed. */
  readonly stoppedAt: number | null;
}

export interface FailoverState {
  /** What is remembered of a slot, by `SlotAddress.id`. */
  memoryOf(slot: string): FailoverMemory;
  /** Those of which anything is remembered. */
  readonly slots: readonly string[];
  /** Null when no watch ever ran. */
  readonly watch: WatchStatus | null;
  /** That the file could not be understood; null when it could, or is not there. */
  readonly note: { readonly code: 'FAILOVER_STATE_UNREADABLE'; readonly text: string } | null;
}

export interface FailoverStateChange {
  /** By slot; what is there of others stays. */
  readonly memories?: ReadonlyMap<string, FailoverMemory>;
  /** Left out: as it is. */
  readonly watch?: WatchStatus | null;
}

/** `failover/state.json` in the data folder, 0600. No secret, e-mail or session in it; identities by their ids. */
export interface FailoverStateFile {
  /**
   * Without the file nothing is remembered. From one that cannot be understood nothing is, but every slot counts as switched at `now`,
   * so that each dwell starts anew; `note` says so.
   * @param now ms epoch
   * @throws VAULT_NEWER, IO
   */
  read(now: number): Promise<FailoverState>;
  /**
   * Lays the change over what is there. Under the router lock.
   * @param anew whether a file that cannot be understood may be written anew: only where `--apply` was given. The slots it told of go on
   *   counting as switched at `now`.
   * @returns false when it could not be understood and was left
   * @throws VAULT_NEWER for a later release's, which is left; IO
   */
  keep(change: FailoverStateChange, anew: boolean, now: number): Promise<boolean>;
}

/** @param data the data folder */
export function failoverStateIn(data: string): FailoverStateFile {
  const folder = failoverFolder(data);
  const path = join(folder, 'state.json');
  /** Null for what cannot be understood. */
  const load = async (): Promise<Content | null> => {
    const text = await readTextOrNull(path);
    return text === null ? NOTHING : parseContent(text, path);
  };
  return {
    read: async (now) => {
      const content = await load();
      const { slots, watch, forgottenAt } = content ?? { ...NOTHING, forgottenAt: now };
      return {
        memoryOf: (slot) => slots.get(slot) ?? { ...UNKNOWN, since: forgottenAt },
        slots: [...slots.keys()],
        watch,
        note: content === null ? { code: 'FAILOVER_STATE_UNREADABLE', text: unreadableText(path) } : null,
      };
    },
    keep: async ({ memories = new Map(), watch }, anew, now) => {
      const known = await load();
      if (known === null && !anew) return false;
      const before = known ?? { ...NOTHING, forgottenAt: now };
      // Those written now go behind the others, and who is in front goes first.
      const others = [...before.slots].filter(([slot]) => !memories.has(slot));
      const slots = [...others, ...memories].slice(-MOST_SLOTS);
      const content = {
        version: FORMAT_VERSION,
        slots: Object.fromEntries(slots),
        watch: watch === undefined ? before.watch : watch,
        forgottenAt: before.forgottenAt,
      };
      await ensureFolder(folder);
      await writeAtomic(path, `${JSON.stringify(content, null, 2)}\n`);
      return true;
    },
  };
}

interface Content {
  readonly slots: ReadonlyMap<string, FailoverMemory>;
  readonly watch: WatchStatus | null;
  /** ms epoch at which a file that could not be understood was written anew: the last switch of every slot not in it; null for never. */
  readonly forgottenAt: number | null;
}

const NOTHING: Content = { slots: new Map(), watch: null, forgottenAt: null };
const UNKNOWN: FailoverMemory = { current: null, since: null, empty: 0, switches: [], identities: [] };
const MOST_SLOTS = 50;

const count = z.int().check(z.gte(0), z.lte(99));
const time = z.number().check(z.gte(0));
const person = z.pipe(
  z.string(),
  z.transform((text, context) => {
    const [account, user, ...rest] = text.split('/');
    try {
      if (rest.length === 0)
        return identityKey({ accountId: parseAccountId(account), userId: parseUserId(user) });
    } catch {
      // Told below.
    }
    context.issues.push({ code: 'custom', message: 'no identity', input: text });
    return z.NEVER;
  }),
);
const memory = z.object({
  current: z.nullable(person),
  since: z.nullable(time),
  empty: count,
  switches: z.array(time).check(z.maxLength(100)),
  identities: z
    .array(
      z.object({
        key: person,
        failures: count,
        goodReads: z.nullable(count),
        leftAt: z.nullable(time),
        seenAt: time,
      }),
    )
    .check(z.maxLength(100)),
});
const watch = z.object({
  pid: z.int().check(z.gte(1)),
  startedAt: time,
  apply: z.boolean(),
  intervalMs: time,
  sessions: z.int().check(z.gte(0)),
  lastRoundAt: z.nullable(time),
  lastStatus: z.nullable(z.enum(FAILOVER_STATUSES)),
  lastError: z.nullable(
    z.custom<ErrorCode>((code) => typeof code === 'string' && Object.hasOwn(EXIT_OF, code)),
  ),
  stoppedAt: z.nullable(time),
});
const file = z.looseObject({
  slots: z.record(z.string(), memory),
  watch: z.nullable(watch),
  forgottenAt: z.nullable(time),
});

/** Null for what is damaged. @throws VAULT_NEWER */
function parseContent(text: string, path: string): Content | null {
  try {
    const found = file.safeParse(parseVersioned(text, path, 'RECORD_DAMAGED'));
    if (!found.success) return null;
    const { slots, watch, forgottenAt } = found.data;
    return { slots: new Map(Object.entries(slots)), watch, forgottenAt };
  } catch (error) {
    if (error instanceof RouterError && error.code === 'RECORD_DAMAGED') return null;
    throw error;
  }
}

function unreadableText(path: string): string {
  return `what failover remembers could not be read: every slot counts as switched just now (${path} is written anew with --apply)`;
}
