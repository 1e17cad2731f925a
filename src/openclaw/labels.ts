import { dirname, isAbsolute, join, resolve } from 'node:path';
import { RouterError } from '../errors.js';
import { isObject, type Json } from '../json.js';
import { ioError } from '../os/atomic.js';
import { readFile, stat } from '../os/files.js';
import type { FileChange, HostLabel, HostNote } from '../slot/host.js';
import { type HostConfig, readConfig } from './config.js';
import { includesAlong, type Json5, withoutMember } from './json5-member.js';
import { refuseForeignOwner } from './owner.js';
import { compareVersions, type Release } from './release.js';
import { writeUnchanged } from './store-file.js';

export interface LabelPlace {
  readonly config: HostConfig;
  readonly profileId: string;
  readonly release: Release | null;
  /** Our own user id; null where the platform has none. */
  readonly uid: number | null;
}

/**
 * The e-mail that openclaw.json gives a profile, which OpenClaw shows whoever is in it (3.28 to 9.6): null when it gives none, or
 * the one of the identity.
 * @param email of the identity that is, or will be, in the slot.
 */
export function labelFor(place: LabelPlace, email: string | null): HostLabel | null {
  const { config, profileId } = place;
  const shown = config.profiles[profileId]?.email ?? null;
  if (shown === null || (email !== null && shown.toLowerCase() === email.toLowerCase())) return null;
  const text = `openclaw.json gives ${profileId} the e-mail ${shown}, and OpenClaw shows that one whoever is in the slot: codex-router use --fix-labels takes it out`;
  return {
    shown,
    note: { code: 'CONFIG_NAMES_EMAIL', text },
    mend: async (gatewayRuns, before) => await mend(place, gatewayRuns, before),
  };
}

type Heard = (change: FileChange) => Promise<void>;

/** Through 9.1, as far as was tried, a gateway restarts itself for a change there; 9.6 takes it over. */
const TAKES_OVER = '2026.9.6';

async function mend(
  place: LabelPlace,
  gatewayRuns: boolean,
  before: Heard = async () => undefined,
): Promise<HostNote> {
  const { config, profileId, release } = place;
  if (gatewayRuns && restartsFor(config, release)) {
    const text = `the e-mail that openclaw.json gives ${profileId} was left: the running gateway would restart itself for that change. Stop it, then codex-router use --fix-labels again`;
    return { code: 'LABEL_LEFT', text };
  }
  await removeLabel(place, before);
  const text = `the e-mail that openclaw.json gave ${profileId} was taken out; OpenClaw now shows that of the login`;
  return { code: 'LABEL_REMOVED', text };
}

/** `gateway.reload.mode` (3.28 to 9.1: off, hot, restart, hybrid): with the first two a gateway never restarts itself. */
function restartsFor({ value }: HostConfig, release: Release | null): boolean {
  if (release !== null && compareVersions(release.version, TAKES_OVER) >= 0) return false;
  const reload = isObject(value.gateway) ? value.gateway.reload : undefined;
  const mode = isObject(reload) ? reload.mode : undefined;
  return mode !== 'off' && mode !== 'hot';
}

/**
 * Takes the e-mail out of the files in which it really stands; the rest of them stays byte for byte.
 * @throws HOST_FOREIGN_OWNER, HOST_UNREADABLE, HOST_BUSY when somebody keeps writing them, IO; the files are then as they were,
 * or without the e-mail.
 */
async function removeLabel({ config, profileId, uid, release }: LabelPlace, before: Heard): Promise<void> {
  const { default: json5 } = await import('json5');
  const path = ['auth', 'profiles', profileId, 'email'];
  for (const [file, rest] of await filesWith(config.path, path, json5, 0)) {
    await refuseForeignOwner([file], uid);
    const restarts = restartsFor(config, release);
    await removeFrom(file, rest, json5, async (bytes, next) => {
      const mode = (await stat(file)).mode & 0o7777;
      await before({ path: file, mode, bytes, next: Buffer.from(next, 'utf8'), restarts });
    });
  }
  if ((await readConfig(config.path)).profiles[profileId]?.email) {
    throw unreadable(config.path, `it still names an e-mail for ${profileId}`);
  }
}

/** OpenClaw merges what is included under what the including file says itself: each of them can have the member. */
async function filesWith(
  file: string,
  path: readonly string[],
  json5: Json5,
  depth: number,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map([[file, path]]);
  // `readConfig` has refused what goes round in a circle, is nested deeper or leads out of the folder.
  if (depth > 10) return found;
  const value = json5.parse<Json>((await bytesOf(file)).toString('utf8'));
  for (const { include, rest } of includesAlong(value, path)) {
    for (const name of Array.isArray(include) ? include : [include]) {
      if (typeof name !== 'string') continue;
      const included = isAbsolute(name) ? resolve(name) : join(dirname(file), name);
      for (const [more, at] of await filesWith(included, rest, json5, depth + 1)) found.set(more, at);
    }
  }
  return found;
}

async function removeFrom(
  file: string,
  path: readonly string[],
  json5: Json5,
  before: (bytes: Buffer, next: string) => Promise<void>,
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const bytes = await bytesOf(file);
    const text = bytes.toString('utf8');
    if (!Buffer.from(text, 'utf8').equals(bytes)) throw unreadable(file, 'it is not UTF-8 text');
    const next = edited(file, text, path, json5);
    if (next === null) return;
    await before(bytes, next);
    if (await writeUnchanged(file, next, bytes)) return;
    if (attempt === 5) throw busy(file);
  }
}

function edited(file: string, text: string, path: readonly string[], json5: Json5): string | null {
  try {
    return withoutMember(text, path, json5);
  } catch (error) {
    if (error instanceof SyntaxError) throw unreadable(file, error.message);
    throw error;
  }
}

async function bytesOf(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw ioError(error, file, 'read');
  }
}

function unreadable(file: string, why: string): RouterError {
  return new RouterError('HOST_UNREADABLE', `the e-mail cannot be taken out of ${file}: ${why}`, {
    hint: 'take auth.profiles.<slot>.email out by hand',
  });
}

function busy(file: string): RouterError {
  return new RouterError('HOST_BUSY', `another program keeps writing ${file}`, {
    hint: 'run the command again; nothing was changed there',
  });
}
