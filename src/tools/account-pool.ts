import { basename, dirname, join } from 'node:path';
import * as z from 'zod/mini';
import { readClaims } from '../claims.js';
import { Secret } from '../secret.js';
import type { Finds } from './found.js';
import { namesIn, otherVersion, readStore, unreadable } from './store-file.js';
import { find, holdingOf } from './token-login.js';

/** Account stores of version 3, and of 1, whose fields that matter here are the same; no release documents a 2. */
const READ: readonly unknown[] = [1, 3];
const NEWEST = 3;
const text = z.nullish(z.string());

const Account = z.object({
  accountId: text,
  accountIdSource: text,
  accountLabel: text,
  email: text,
  refreshToken: z.string(),
  accessToken: text,
  expiresAt: z.nullish(z.number()),
  authInvalidatedAt: z.nullish(z.number()),
});

const Pool = z.object({
  version: z.optional(z.unknown()),
  accounts: z.array(z.unknown()),
  activeIndex: z.optional(z.unknown()),
});

/** The names of a tool's files; both tools write the same form. */
export interface PoolFiles {
  readonly tool: string;
  readonly accounts: readonly string[];
  readonly flagged: readonly string[];
}

/**
 * What lies in one folder of such a tool, and in those of its projects. False when there is no accounts file at all.
 * @throws IDENTITY_UNREADABLE for one that cannot be understood: it never counts as empty
 */
export async function readPools(folder: string, files: PoolFiles, finds: Finds): Promise<boolean> {
  const own = await readFolder(folder, files, '', finds);
  let found = own;
  for (const project of (await namesIn(join(folder, 'projects'))) ?? []) {
    const there = join(folder, 'projects', project);
    found = (await readFolder(there, files, `projects/${project}/`, finds)) || found;
  }
  return found;
}

/** One accounts file, named by a person. */
export async function readPoolFile(path: string, tool: string, finds: Finds): Promise<boolean> {
  return readPool(path, `${tool} ${basename(path)}`, finds);
}

async function readFolder(folder: string, files: PoolFiles, shown: string, finds: Finds): Promise<boolean> {
  let found = false;
  for (const name of files.accounts) {
    const path = join(folder, name);
    found = await readPool(path, `${files.tool} ${shown}${name}`, finds);
    if (found) break;
    // Written before the file itself and removed after it: the write that it belongs to has not ended.
    if ((await namesIn(dirname(path)))?.includes(`${name}.wal`)) {
      throw unreadable(path, 'it is not there, and a write of it was interrupted');
    }
  }
  for (const name of files.flagged) {
    const flagged = await readStore(join(folder, name), Pool);
    for (const [place] of (flagged?.accounts ?? []).entries()) {
      const from = `${files.tool} ${shown}${name} #${place + 1}`;
      finds.skipped.push({ from, reason: 'the tool has set it aside as not working' });
    }
  }
  return found;
}

async function readPool(path: string, name: string, finds: Finds): Promise<boolean> {
  const pool = await readStore(path, Pool);
  if (pool === null) return false;
  if (!READ.includes(pool.version)) throw otherVersion(path, pool.version, NEWEST);
  for (const [place, value] of pool.accounts.entries()) {
    // Only said: whose an account is, its own token tells.
    const from = `${name} #${place + 1}`;
    const account = Account.safeParse(value);
    if (!account.success) {
      finds.skipped.push({ from, reason: 'it is not an account as the tool writes it' });
    } else if (account.data.authInvalidatedAt) {
      finds.skipped.push({ from, reason: 'the tool was told by the issuer that this login has ended' });
    } else {
      find(finds, from, () => loginOf(account.data, place === pool.activeIndex));
    }
  }
  return true;
}

/** The tools let a person send another workspace's id along with a login: that is no second identity, and its label is not this one's. */
function loginOf(account: z.infer<typeof Account>, isActive: boolean) {
  const { accessToken, refreshToken, expiresAt, accountId, accountIdSource, accountLabel, email } = account;
  const isChosen = accountIdSource === 'org' || accountIdSource === 'manual';
  const own = accessToken ? (readClaims(new Secret(accessToken))?.accountId ?? null) : null;
  const holding = holdingOf({
    access: accessToken || null,
    refresh: refreshToken,
    expires: expiresAt ?? null,
    accountId: isChosen ? null : accountId || null,
    email: email || null,
  });
  const isOther = isChosen && accountId !== own;
  return { holding, alias: isOther ? null : accountLabel || null, isActive };
}
