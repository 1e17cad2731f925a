import { join } from 'node:path';
import * as z from 'zod/mini';
import { RouterError } from '../errors.js';
import type { Limits } from '../limits.js';
import { writeAtomic } from '../os/atomic.js';
import { FORMAT_VERSION, parseVersioned, readTextOrNull } from './format.js';

/** What was answered about one identity last. */
export interface LastUsage {
  /** ms epoch */
  readonly at: number;
  readonly limits: Limits;
}

/** By identity key. */
export type LastUsages = ReadonlyMap<string, LastUsage>;

/** `usage.json` in the data folder: the last answer about each identity, without a secret or an e-mail in it. */
export interface UsageFile {
  /** Empty where there is no such file. @throws VAULT_DAMAGED, VAULT_NEWER, IO */
  read(): Promise<LastUsages>;
  /**
   * Lays these over what is there, and leaves out whom `isKept` does not want. One that cannot be understood is written anew: it holds
   * nothing that is not asked for again. Under the router lock.
   * @throws VAULT_NEWER for a later release's, which is left; IO
   */
  keep(fresh: LastUsages, isKept: (key: string) => boolean): Promise<void>;
  /** Nothing of this identity is left; a file that cannot be understood goes whole. Under the router lock. @throws VAULT_NEWER, IO */
  forget(key: string): Promise<void>;
}

const window = z.object({
  name: z.nullable(z.string()),
  label: z.string(),
  seconds: z.nullable(z.number()),
  usedPercent: z.number(),
  leftPercent: z.number(),
  resetsAt: z.nullable(z.number()),
});
const last = z.object({
  at: z.number(),
  limits: z.object({
    plan: z.nullable(z.string()),
    allowed: z.nullable(z.boolean()),
    reached: z.boolean(),
    windows: z.array(window),
    credits: z.nullable(z.object({ unlimited: z.boolean(), balance: z.nullable(z.string()) })),
    spend: z.nullable(
      z.object({
        reached: z.boolean(),
        limit: z.nullable(z.string()),
        used: z.nullable(z.string()),
        resetsAt: z.nullable(z.number()),
      }),
    ),
  }),
});
const file = z.looseObject({ usage: z.record(z.string(), last) });

/** @param data the data folder */
export function usageFileIn(data: string): UsageFile {
  const path = join(data, 'usage.json');
  const read = async (): Promise<LastUsages> => {
    const text = await readTextOrNull(path);
    if (text === null) return new Map();
    const { data: known } = file.safeParse(parseVersioned(text, path, 'VAULT_DAMAGED'));
    if (known !== undefined) return new Map(Object.entries(known.usage));
    throw new RouterError('VAULT_DAMAGED', `${path} is damaged: it holds no usage`, {
      hint: 'delete it: codex-router usage makes a new one',
    });
  };
  const readOrForget = async (): Promise<LastUsages> => {
    try {
      return await read();
    } catch (error) {
      if (error instanceof RouterError && error.code === 'VAULT_DAMAGED') return new Map();
      throw error;
    }
  };
  const keep: UsageFile['keep'] = async (fresh, isKept) => {
    const all = [...(await readOrForget()), ...fresh].filter(([key]) => isKept(key));
    const text = JSON.stringify({ version: FORMAT_VERSION, usage: Object.fromEntries(all) }, null, 2);
    await writeAtomic(path, `${text}\n`);
  };
  return {
    read,
    keep,
    forget: async (key) => {
      if ((await readTextOrNull(path)) !== null) await keep(new Map(), (one) => one !== key);
    },
  };
}
