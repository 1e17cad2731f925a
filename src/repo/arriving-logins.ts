import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { RouterError, systemErrorCode } from '../errors.js';
import type { Grant } from '../grant.js';
import type { Identity } from '../identity.js';
import { ioError, removeLeftovers, unlinkDurably, writeAtomic } from '../os/atomic.js';
import { readdir, rmdir, stat } from '../os/files.js';
import { ensureFolder } from '../os/folders.js';
import { judgeHolder, pidsTell, startTimeOf } from '../os/live-process.js';
import { Secret } from '../secret.js';
import { expectWritten, FORMAT_VERSION, parseVersioned, readTextOrNull } from './format.js';
import type { OpenRepo } from './repo.js';
import type { Sealed } from './seal.js';

/** Whose login it is: what can be told without the key. */
export interface ArrivingPerson {
  readonly accountId: string;
  readonly userId: string;
  readonly email: string | null;
}

/** All that is needed to end a login. */
export type ArrivedGrant = Pick<Grant, 'refreshToken' | 'provenance'>;

type Sealer = Pick<OpenRepo, 'sealText' | 'unsealText'>;

/** The sealed copy of a login that is at hand and not stored yet. */
export interface ArrivingCopy {
  /** Durably, once it is stored, or revoked. @throws IO */
  drop(): Promise<void>;
}

/** A sealed copy that was left: whoever had that login has ended without storing or discarding it. */
export interface LeftArrival extends ArrivingCopy {
  readonly path: string;
  /** Null when the file is damaged. */
  readonly person: ArrivingPerson | null;
  /** How it came to be left, completing "the login". */
  readonly how: string;
  /** Null when it was altered, or sealed under another vault's key. */
  open(sealer: Sealer): ArrivedGrant | null;
}

/** `arriving/` in the data folder: a login between its exchange and its record, so that a kill leaves no grant that nobody knows of. */
export interface ArrivingLogins {
  /** Sealed durably and read back when it returns. @throws IO */
  put(sealer: Sealer, person: Identity, grant: ArrivedGrant): Promise<ArrivingCopy>;
  /** What processes that have ended left. Reads only. @throws IO, VAULT_NEWER */
  left(): Promise<readonly LeftArrival[]>;
  /** The paths of all of them, those of running processes too. @throws IO */
  all(): Promise<readonly string[]>;
}

/** Names tell who made them: pid, its start time (0 where unknown), and chance. */
const NAME = /^([1-9]\d*)-(\d+)-[0-9a-f]{12}\.json$/;
/** ms after which one whose maker cannot be judged counts as left. */
const LONG = 60 * 60 * 1000;

const personFormat = z.looseObject({
  accountId: z.string(),
  userId: z.string(),
  email: z.nullable(z.string()),
});
const file = z.looseObject({ person: personFormat, nonce: z.string(), sealed: z.string() });
const grantFormat = z.looseObject({
  refreshToken: z.string().check(z.minLength(1)),
  provenance: z.nullable(z.object({ issuer: z.string(), clientId: z.string() })),
});

/** @param now ms epoch */
export function arrivingLoginsIn(data: string, now: () => number): ArrivingLogins {
  const folder = join(data, 'arriving');

  async function names(): Promise<readonly string[]> {
    try {
      return (await readdir(folder)).filter((name) => NAME.test(name)).sort();
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return [];
      throw ioError(error, folder, 'read');
    }
  }

  async function drop(name: string): Promise<void> {
    await removeLeftovers(join(folder, name));
    await unlinkDurably(folder, name);
    // Another login's may lie there.
    await rmdir(folder).catch(() => undefined);
  }

  async function write(path: string, text: string): Promise<void> {
    for (let tries = 3; ; tries -= 1) {
      try {
        await ensureFolder(folder);
        await writeAtomic(path, text);
        return;
      } catch (error) {
        // Another process may have removed the folder as an empty one.
        if (tries === 1 || (await stat(folder).catch(() => null)) !== null) throw error;
      }
    }
  }

  return {
    async put(sealer, { accountId, userId, email }, { refreshToken, provenance }) {
      const person = { accountId, userId, email };
      const name = `${process.pid}-${startTimeOf(process.pid) ?? 0}-${randomBytes(6).toString('hex')}.json`;
      const plain = JSON.stringify({ refreshToken: refreshToken.reveal(), provenance });
      const box = sealer.sealText(purposeOf(person), plain);
      const text = `${JSON.stringify({ version: FORMAT_VERSION, person, ...box })}\n`;
      await write(join(folder, name), text);
      await expectWritten(join(folder, name), text);
      return { drop: () => drop(name) };
    },
    async left() {
      const found: LeftArrival[] = [];
      for (const name of await names()) {
        const path = join(folder, name);
        if (await isInUse(folder, name, now())) continue;
        const text = await readTextOrNull(path);
        if (text === null) continue;
        const content = parseContent(text, path);
        found.push({
          path,
          person: content?.person ?? null,
          how: 'that an interrupted codex-router had made',
          open: (sealer) => (content === null ? null : opened(sealer, content)),
          drop: () => drop(name),
        });
      }
      return found;
    },
    all: async () => (await names()).map((name) => join(folder, name)),
  };
}

async function isInUse(folder: string, name: string, now: number): Promise<boolean> {
  const [, pid, start] = NAME.exec(name) ?? [];
  const verdict = judgeHolder(pidsTell(folder), Number(pid), Number(start) || null);
  if (verdict !== 'unknown') return verdict === 'alive';
  const about = await stat(join(folder, name)).catch(() => null);
  return about !== null && Math.abs(now - about.mtimeMs) < LONG;
}

type Content = z.infer<typeof file>;

/** Null when it is damaged. @throws VAULT_NEWER */
function parseContent(text: string, path: string): Content | null {
  try {
    return file.safeParse(parseVersioned(text, path, 'RECORD_DAMAGED')).data ?? null;
  } catch (error) {
    if (error instanceof RouterError && error.code === 'RECORD_DAMAGED') return null;
    throw error;
  }
}

function opened(sealer: Sealer, { person, nonce, sealed }: Content): ArrivedGrant | null {
  const box: Sealed = { nonce, sealed };
  const plain = sealer.unsealText(purposeOf(person), box);
  const found = plain === null ? null : grantFormat.safeParse(JSON.parse(plain));
  if (!found?.success) return null;
  const { refreshToken, provenance } = found.data;
  return { refreshToken: new Secret(refreshToken), provenance };
}

/** Everything that stands there in the clear is authenticated by it. */
function purposeOf({ accountId, userId, email }: ArrivingPerson): string {
  return `arriving|${JSON.stringify([accountId, userId, email])}`;
}
