import { dirname, join } from 'node:path';
import * as z from 'zod/mini';
import { RouterError, systemErrorCode } from '../errors.js';
import { isObject, type Json, type JsonObject, parseJsonObject } from '../json.js';
import { ioError, writeAtomic } from '../os/atomic.js';
import { readFile } from '../os/files.js';
import { ensureFolder } from '../os/folders.js';
import type { FailoverSettings } from '../router/failover-settings.js';
import { FAILOVER_FILE, type FailoverMember, failoverComplaint, settingsOf } from './failover-members.js';

/** What agents can be allowed to do beside looking. */
export const AGENT_ABILITIES = ['use', 'undo', 'sync'] as const;
export type AgentAbility = (typeof AGENT_ABILITIES)[number];

export interface Settings {
  readonly agents: { readonly allow: readonly AgentAbility[] };
  readonly failover: FailoverSettings;
}

/** Members that this version does not know are left as they are. */
const FILE = z.looseObject({
  agents: z.optional(z.looseObject({ allow: z.optional(z.array(z.enum(AGENT_ABILITIES))) })),
  failover: z.optional(FAILOVER_FILE),
});

export function settingsPath(folder: string): string {
  return join(folder, 'config.json');
}

/**
 * What the person has set in `config.json` of this folder; without the file the defaults, which allow agents nothing but looking.
 * @throws CONFIG_UNREADABLE when it cannot be understood: it never counts as absent; IO
 */
export async function readSettings(folder: string): Promise<Settings> {
  const { agents, failover } = FILE.parse((await load(settingsPath(folder))) ?? {});
  return { agents: { allow: agents?.allow ?? [] }, failover: settingsOf(failover ?? {}) };
}

/** Writes what agents are allowed, and nothing else, 0600. Under the router's lock. @throws as `readSettings` */
export async function allowAgents(folder: string, allow: readonly AgentAbility[]): Promise<void> {
  const path = settingsPath(folder);
  const file = FILE.parse((await load(path)) ?? {});
  const next = { ...file, agents: { ...file.agents, allow: [...new Set(allow)] } };
  await save(path, next);
}

/**
 * Writes one setting of failover, and nothing else, 0600. Under the router's lock.
 * @param value null: the default again
 * @throws USAGE for a value out of its range, or one that the others leave no room for; as `readSettings`
 */
export async function setFailover(
  folder: string,
  { path: [name, inner] }: FailoverMember,
  value: Json,
): Promise<void> {
  const path = settingsPath(folder);
  const file = (await load(path)) ?? {};
  const before = isObject(file.failover) ? file.failover : {};
  const outer = before[name];
  const put = inner === undefined ? value : changed(isObject(outer) ? outer : {}, inner, value);
  const failover = changed(before, name, put);
  const { error } = FAILOVER_FILE.safeParse(failover);
  if (error?.issues[0] !== undefined) {
    throw new RouterError('USAGE', failoverComplaint(error.issues[0]), {
      hint: 'codex-router config set --help',
    });
  }
  await save(path, { ...file, failover });
}

/** @param value null takes the member out */
function changed(file: JsonObject, name: string, value: Json): JsonObject {
  const { [name]: _, ...others } = file;
  return value === null ? others : { ...others, [name]: value };
}

async function save(path: string, file: object): Promise<void> {
  await ensureFolder(dirname(path));
  await writeAtomic(path, `${JSON.stringify(file, null, 2)}\n`);
}

/** Null where there is no file. @throws CONFIG_UNREADABLE, IO */
async function load(path: string): Promise<JsonObject | null> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw ioError(error, path, 'read');
  }
  const value = parseJsonObject(text);
  if (value === null) throw unreadable(path, 'it is no JSON object');
  const { error } = FILE.safeParse(value);
  if (error === undefined) return value;
  const [issue] = error.issues;
  const [outer, ...inner] = issue?.path ?? [];
  if (issue !== undefined && outer === 'failover') {
    throw unreadable(path, failoverComplaint({ path: inner, message: issue.message }));
  }
  const wants = `agents.allow is a list of ${AGENT_ABILITIES.map((name) => `"${name}"`).join(', ')}`;
  throw unreadable(path, outer === 'agents' ? wants : `${String(outer)} is wrong`);
}

function unreadable(path: string, why: string): RouterError {
  return new RouterError('CONFIG_UNREADABLE', `cannot understand ${path}: ${why}`, {
    hint: 'mend the file, or delete it for the defaults',
  });
}
