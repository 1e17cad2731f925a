import { join } from 'node:path';
import * as z from 'zod/mini';
import { RouterError, systemErrorCode } from '../errors.js';
import { type JsonObject, parseJsonObject } from '../json.js';
import { ioError, writeAtomic } from '../os/atomic.js';
import { readFile } from '../os/files.js';
import { ensureFolder } from '../os/folders.js';

/** What agents can be allowed to do beside looking. */
export const AGENT_ABILITIES = ['use', 'undo', 'sync'] as const;
export type AgentAbility = (typeof AGENT_ABILITIES)[number];

export interface Settings {
  readonly agents: { readonly allow: readonly AgentAbility[] };
}

/** Members that this version does not know are left as they are. */
const FILE = z.looseObject({
  agents: z.optional(z.looseObject({ allow: z.optional(z.array(z.enum(AGENT_ABILITIES))) })),
});

export function settingsPath(folder: string): string {
  return join(folder, 'config.json');
}

/**
 * What the person has set in `config.json` of this folder; without the file the defaults, which allow agents nothing but looking.
 * @throws CONFIG_UNREADABLE when it cannot be understood: it never counts as absent; IO
 */
export async function readSettings(folder: string): Promise<Settings> {
  const { agents } = FILE.parse((await load(settingsPath(folder))) ?? {});
  return { agents: { allow: agents?.allow ?? [] } };
}

/** Writes what agents are allowed, and nothing else, 0600. Under the router's lock. @throws as `readSettings` */
export async function allowAgents(folder: string, allow: readonly AgentAbility[]): Promise<Settings> {
  const path = settingsPath(folder);
  const file = FILE.parse((await load(path)) ?? {});
  const next = { ...file, agents: { ...file.agents, allow: [...new Set(allow)] } };
  await ensureFolder(folder);
  await writeAtomic(path, `${JSON.stringify(next, null, 2)}\n`);
  return { agents: { allow: next.agents.allow } };
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
  const where = error.issues[0]?.path.map(String).join('.') ?? '';
  const wants = `agents.allow is a list of ${AGENT_ABILITIES.map((name) => `"${name}"`).join(', ')}`;
  throw unreadable(path, where.startsWith('agents') ? wants : `${where} is wrong`);
}

function unreadable(path: string, why: string): RouterError {
  return new RouterError('CONFIG_UNREADABLE', `cannot understand ${path}: ${why}`, {
    hint: 'mend the file, or delete it for the defaults',
  });
}
